//! Naming a key of somebody's: by its fingerprint, by a part of it, by its key id, or by the key itself.

use super::change::broken;
use super::edit::EditError;
use super::{Authority, Key, Keyring, Material, Revocation};
use crate::domain::text;
use crate::signature::Scheme;
use std::path::Path;
use toml_edit::{ArrayOfTables, DocumentMut, Item};

/// Shortest part of a fingerprint that names a key.
const MIN_PREFIX: usize = 8;

/// Which key is meant.
#[derive(Clone, Debug)]
pub enum KeyRef {
    /// `SHA256:` and the first characters of the fingerprint, case included.
    Ssh(String),
    /// The first digits of an OpenPGP fingerprint, or a whole key id; upper case.
    OpenPgp(String),
    /// The key itself.
    Key(Box<Material>),
}

/// Why a text names no key. It may be the name of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyRefError(String);

impl KeyRef {
    /// Reads `SHA256:...`, or hexadecimal digits with or without `0x` and blanks.
    ///
    /// # Errors
    /// It is neither, or too short.
    pub fn parse(named: &str) -> Result<Self, KeyRefError> {
        let shown = text::escape_short(named.as_bytes(), 100);
        let short = || {
            KeyRefError(format!("`{shown}` is too short to name a key: give {MIN_PREFIX} characters or more"))
        };
        if let Some(rest) = named.strip_prefix("SHA256:") {
            let plain = rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte));
            return match (plain, rest.len() >= MIN_PREFIX) {
                (true, true) => Ok(KeyRef::Ssh(named.to_owned())),
                (true, false) => Err(short()),
                (false, _) => Err(KeyRefError(format!("`{shown}` is no fingerprint"))),
            };
        }
        let digits: String = named.split_whitespace().collect();
        let digits = digits.strip_prefix("0x").unwrap_or(&digits);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(KeyRefError(format!(
                "`{shown}` names no key: give a fingerprint (SHA256:... or hexadecimal digits), an OpenPGP key id, or a file"
            )));
        }
        if digits.len() < MIN_PREFIX {
            return Err(short());
        }
        Ok(KeyRef::OpenPgp(digits.to_ascii_uppercase()))
    }

    fn names(&self, material: &Material) -> bool {
        let fingerprint = material.fingerprint();
        match (self, material.scheme()) {
            (KeyRef::Ssh(prefix), Scheme::Ssh) => fingerprint.starts_with(prefix.as_str()),
            (KeyRef::OpenPgp(digits), Scheme::OpenPgp) => {
                let key_id = material.components().first().map(|(_, id)| super::material::hex(id));
                fingerprint.starts_with(digits.as_str()) || key_id.as_deref() == Some(digits)
            }
            (KeyRef::Key(key), scheme) => key.scheme() == scheme && key.fingerprint() == fingerprint,
            _ => false,
        }
    }

    /// Whether it names a subkey of the certificate.
    fn names_subkey(&self, material: &Material) -> bool {
        let KeyRef::OpenPgp(digits) = self else { return false };
        material.components().iter().skip(1).any(|(fingerprint, id)| {
            super::material::hex(fingerprint).starts_with(digits.as_str())
                || super::material::hex(id) == *digits
        })
    }

    fn shown(&self) -> String {
        match self {
            KeyRef::Ssh(words) | KeyRef::OpenPgp(words) => text::escape_short(words.as_bytes(), 100),
            KeyRef::Key(key) => key.fingerprint(),
        }
    }
}

/// A key or an authority in a principal's file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held<'k> {
    Key(&'k Key),
    Authority(&'k Authority),
}

impl<'k> Held<'k> {
    pub(super) fn fingerprint(&self) -> String {
        match self {
            Held::Key(key) => key.material.fingerprint(),
            Held::Authority(authority) => authority.key.fingerprint(),
        }
    }

    /// What the file itself says: a revocation list may say more.
    pub(super) fn scheme(&self) -> Scheme {
        match self {
            Held::Key(key) => key.material.scheme(),
            Held::Authority(_) => Scheme::Ssh,
        }
    }

    pub(super) fn revoked(&self) -> Option<&'k Revocation> {
        match self {
            Held::Key(key) => key.revoked.as_ref(),
            Held::Authority(authority) => authority.revoked.as_ref(),
        }
    }

    /// In which list of tables it stands.
    pub(super) fn list(&self) -> &'static str {
        match self {
            Held::Key(_) => "key",
            Held::Authority(_) => "authority",
        }
    }
}

/// The keys and authorities of a principal's file, in its order.
pub(super) fn held<'k>(keyring: &'k Keyring, file: &Path) -> Vec<Held<'k>> {
    let keys = keyring.keys().iter().filter(|key| key.place.file == file).map(Held::Key);
    let authorities = keyring.authorities().iter().filter(|one| one.place.file == file).map(Held::Authority);
    keys.chain(authorities).collect()
}

/// The one key or authority that is meant, of those in a principal's file.
pub(super) fn one<'k>(
    keyring: &'k Keyring,
    file: &Path,
    name: &str,
    wanted: &KeyRef,
) -> Result<Held<'k>, EditError> {
    let all = held(keyring, file);
    let material = |held: &Held<'_>| match held {
        Held::Key(key) => key.material.clone(),
        Held::Authority(authority) => Material::Ssh(authority.key.clone()),
    };
    let found: Vec<&Held<'_>> = all.iter().filter(|one| wanted.names(&material(one))).collect();
    let shown = wanted.shown();
    match found[..] {
        [one] => return Ok(*one),
        [] => {}
        _ => {
            let names: Vec<String> = found.iter().map(|one| one.fingerprint()).collect();
            return Err(EditError::Refused(format!(
                "`{shown}` names several keys of `{name}`: {}",
                names.join(", ")
            )));
        }
    }
    if let Some(one) = all.iter().find(|one| wanted.names_subkey(&material(one))) {
        return Err(EditError::Refused(format!(
            "`{shown}` is a subkey of {}: name the certificate itself, or let its owner revoke the subkey and take \
             the new copy with `countersign keyring refresh`",
            one.fingerprint()
        )));
    }
    // In another file, or in none?
    let elsewhere = keyring.keys().iter().find(|key| wanted.names(&key.material));
    let why = match elsewhere {
        Some(key) if key.principal.name == name => {
            format!("{} stands in {}, which is not this keyring's to change", key.id(), key.place)
        }
        Some(key) => format!("{} is a key of `{}`, not of `{name}`", key.id(), key.principal.name),
        None => format!("`{name}` has no key `{shown}`"),
    };
    Err(EditError::Refused(why))
}

/// The tables of a document that hold this key: one of a key, perhaps several of an authority.
pub(super) fn tables(
    document: &DocumentMut,
    list: &'static str,
    scheme: Scheme,
    fingerprint: &str,
    name: &str,
) -> Result<Vec<usize>, EditError> {
    let Some(item) = document.get(list) else { return Err(broken(name)) };
    let Some(tables) = item.as_array_of_tables() else {
        let message = format!("`{list}` in `{name}.toml` is a list; write it as `[[{list}]]` first");
        return Err(EditError::Invalid(message));
    };
    let holds = |table: &toml_edit::Table| {
        let field = match scheme {
            Scheme::Ssh => "ssh",
            Scheme::OpenPgp => "openpgp",
        };
        let written = table.get(field).and_then(Item::as_str);
        let material = written.and_then(|text| match scheme {
            Scheme::Ssh => Material::ssh(text).ok(),
            Scheme::OpenPgp => Material::openpgp(text).ok(),
        });
        material.is_some_and(|material| material.fingerprint() == fingerprint)
    };
    let found: Vec<usize> =
        tables.iter().enumerate().filter(|(_, table)| holds(table)).map(|(index, _)| index).collect();
    if found.is_empty() { Err(broken(name)) } else { Ok(found) }
}

/// The list of tables, to be changed.
pub(super) fn list_of<'d>(
    document: &'d mut DocumentMut,
    list: &'static str,
    name: &str,
) -> Result<&'d mut ArrayOfTables, EditError> {
    document.get_mut(list).and_then(Item::as_array_of_tables_mut).ok_or_else(|| broken(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_names_a_key() {
        assert!(matches!(KeyRef::parse("SHA256:abcd+/01"), Ok(KeyRef::Ssh(_))));
        assert!(matches!(KeyRef::parse("0xdead beef"), Ok(KeyRef::OpenPgp(digits)) if digits == "DEADBEEF"));
        for (short, why) in [
            ("SHA256:abc", "too short"),
            ("abcdef0", "too short"),
            ("SHA256:ab cd ef gh", "no fingerprint"),
            ("alice.pub", "names no key"),
            ("", "names no key"),
        ] {
            let error = KeyRef::parse(short).unwrap_err().to_string();
            assert!(error.contains(why), "{short}: {error}");
        }
    }
}
