//! Which files matter, told leniently: what watches them must also see that a broken one was mended.

use super::SecretPlace;
use crate::keyring::document::{Owner, read_checked};
use globset::{GlobBuilder, GlobMatcher};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Largest configuration file that is looked into, in bytes.
const MAX_FILE: u64 = 4 << 20;
/// Most places; a configuration that names more does not load.
const MOST: usize = 4096;

/// Something whose change may be a change of configuration or keyring.
#[derive(Clone, Debug)]
pub enum Watched {
    /// One file, and the directory that it is in.
    File(PathBuf),
    /// The files of a directory whose names match.
    Files(PathBuf, GlobMatcher),
    /// The files of a keyring's directory.
    Keyring(PathBuf),
}

/// What the configuration at `path` is read from, as far as it can be understood: itself, what it
/// includes, and what its keyring is read from. Faults of any kind leave out what they hide.
pub fn watched(path: &Path) -> Vec<Watched> {
    let Some((path, base)) = place(path) else { return Vec::new() };
    let mut out = vec![Watched::File(path.clone())];
    let Some(document) = read(&path) else { return out };
    let keyring = document.get("keyring").and_then(Value::as_table);
    let at = |value: Option<&Value>| value.and_then(Value::as_str).map(|written| base.join(written));
    out.extend(at(keyring.and_then(|table| table.get("path"))).map(Watched::Keyring));
    for list in ["allowed-signers", "revocation"] {
        let tables = tables(keyring, list);
        out.extend(tables.filter_map(|table| at(table.get("path"))).map(Watched::File));
    }
    let policy = document.get("policy").and_then(Value::as_table);
    let tenants = tables(policy, "tenant").map(|table| table.get("include"));
    for include in std::iter::once(policy.and_then(|table| table.get("include"))).chain(tenants) {
        out.extend(at(include).and_then(|pattern| files(&pattern)));
    }
    let secrets = tables(Some(&document), "source").flat_map(source_files);
    out.extend(secrets.map(|written| Watched::File(base.join(written))));
    out.truncate(MOST);
    out
}

/// The files of secrets that deliveries are authenticated with. Other secrets are read when they are used.
fn source_files(source: &Table) -> Vec<PathBuf> {
    let listed = source.get("secrets").map(|value| match value {
        Value::Array(all) => all.iter().filter_map(Value::as_table).collect(),
        one => one.as_table().into_iter().collect::<Vec<_>>(),
    });
    let place = |table: &Table| -> Option<PathBuf> {
        if let Some(file) = table.get("file") {
            return file.as_str().map(PathBuf::from);
        }
        SecretPlace::Credential(table.get("credential")?.as_str()?.to_owned()).path()
    };
    listed.into_iter().flatten().filter_map(place).collect()
}

/// The hook socket that the configuration at `path` names, whatever else is wrong with it: whoever asks a
/// daemon why it rejects a configuration has just that configuration.
pub fn hook_socket(path: &Path) -> Option<PathBuf> {
    let (path, base) = place(path)?;
    let document = read(&path)?;
    let socket = document.get("daemon").and_then(Value::as_table)?.get("socket")?.as_str()?;
    Some(base.join(socket))
}

fn place(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let path = std::path::absolute(path).ok()?;
    let base = path.parent().unwrap_or(Path::new("/")).to_owned();
    Some((path, base))
}

fn read(path: &Path) -> Option<Table> {
    let bytes = read_checked(path, Owner::Unchecked, MAX_FILE).ok()?.bytes;
    String::from_utf8(bytes).ok()?.parse().ok()
}

fn tables<'d>(table: Option<&'d Table>, name: &str) -> impl Iterator<Item = &'d Table> {
    let list = table.and_then(|table| table.get(name)).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_table)
}

fn files(pattern: &Path) -> Option<Watched> {
    let name = pattern.file_name()?.to_str()?;
    let glob = GlobBuilder::new(name).literal_separator(true).build().ok()?;
    Some(Watched::Files(pattern.parent()?.to_owned(), glob.compile_matcher()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_understood_of_a_faulty_configuration_is_watched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gate.toml");
        let names = |text: &str| {
            fs::write(&path, text).unwrap();
            let name = |one: &Watched| {
                let path = match one {
                    Watched::File(path) | Watched::Files(path, _) | Watched::Keyring(path) => path,
                };
                path.strip_prefix(dir.path()).unwrap_or(path).display().to_string()
            };
            watched(&path).iter().map(name).collect::<Vec<_>>()
        };
        let text = "unknown = 1\n[keyring]\npath = \"keys\"\n[[keyring.allowed-signers]]\npath = \"/etc/a\"\n\
                    [[keyring.revocation]]\npath = \"r\"\n[policy]\ninclude = \"rules.d/*.toml\"\n\
                    [[policy.tenant]]\ninclude = \"acme/x.toml\"\n[[source]]\n\
                    secrets = [{ file = \"s\" }, 7, { env = \"X\" }]\n[[source]]\nsecrets = { file = \"/t\" }\n";
        assert_eq!(names(text), ["gate.toml", "keys", "/etc/a", "r", "rules.d", "acme", "s", "/t"]);
        assert_eq!(names("[keyring]\npath = 7\n"), ["gate.toml"]);
        assert_eq!(names("[keyring"), ["gate.toml"], "the file itself in any case");
        fs::remove_file(&path).unwrap();
        assert!(hook_socket(&path).is_none());
        fs::write(&path, "x = 1\n[daemon]\nsocket = \"run/hook.sock\"\n").unwrap();
        assert_eq!(hook_socket(&path), Some(dir.path().join("run/hook.sock")));
    }
}
