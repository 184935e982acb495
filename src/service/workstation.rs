//! The machine of somebody who signs: what git is set to, and which keys are there. Everything is asked of
//! the programs that will be asked when a commit is made, as children without a shell; nothing is fetched.

use super::setup::{Candidate, Existing, Origin, Signing, ended_keys, secret_keys};
use crate::domain::text;
use crate::keyring::Material;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Variables that are about another repository than the one that is asked about.
const OF_A_REPOSITORY: [&str; 9] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
];

/// A machine, seen from a directory, which may be a repository.
#[derive(Clone, Debug)]
pub struct Workstation {
    directory: PathBuf,
}

/// Which of git's files is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The user's.
    Global,
    /// The repository's.
    Local,
}

impl Level {
    /// The option of `git config`.
    pub const fn option(self) -> &'static str {
        match self {
            Level::Global => "--global",
            Level::Local => "--local",
        }
    }
}

impl Workstation {
    /// As seen from `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Workstation { directory: directory.into() }
    }

    /// Git, as this user would run it there.
    pub(super) fn git(&self) -> Command {
        let mut command = Command::new("git");
        for name in OF_A_REPOSITORY {
            command.env_remove(name);
        }
        command.current_dir(&self.directory).env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0");
        // Not even what a partial clone lacks is fetched.
        command.env("GIT_NO_LAZY_FETCH", "1");
        command.stdin(Stdio::null());
        command
    }

    /// What git prints, without the line end.
    pub(super) fn ask(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.git().args(arguments).output().map_err(|e| format!("git cannot be run: {e}"))?;
        if !output.status.success() {
            return Err(said(&output));
        }
        line(output.stdout).ok_or_else(|| "git's answer is not UTF-8".to_owned())
    }

    /// A value of the configuration, of one level or in effect.
    ///
    /// # Errors
    /// What git says of a configuration that it cannot read.
    pub fn config(&self, options: &[&str], name: &str) -> Result<Option<String>, String> {
        let mut git = self.git();
        git.arg("config").args(options).args(["--get", name]);
        let output = git.output().map_err(|e| format!("git cannot be run: {e}"))?;
        match output.status.code() {
            Some(0) => Ok(line(output.stdout)),
            // Not set; for the level of a repository also: there is none.
            Some(1) => Ok(None),
            _ => Err(said(&output)),
        }
    }

    /// What stands at a level, and what is in effect.
    ///
    /// # Errors
    /// As for [`Workstation::config`].
    pub fn existing(&self, level: Level, name: &str) -> Result<Existing, String> {
        // A file that does not exist yet is an error for some versions of git, and no fault.
        let here = match level {
            Level::Global => self.config(&[level.option()], name).unwrap_or_default(),
            Level::Local => self.config(&[level.option()], name)?,
        };
        Ok(Existing { here, effective: self.config(&[], name)? })
    }

    /// Sets a value, in place of all that the level has under this name.
    ///
    /// # Errors
    /// What git says.
    pub fn set(&self, level: Level, name: &str, value: &str) -> Result<(), String> {
        self.ask(&["config", level.option(), "--replace-all", name, value]).map(drop)
    }

    /// Whether it is a repository.
    pub fn is_repository(&self) -> bool {
        self.ask(&["rev-parse", "--git-dir"]).is_ok()
    }

    /// The address that commits are made under by configuration.
    pub fn email(&self) -> Option<String> {
        self.config(&[], "user.email").ok().flatten().filter(|email| !email.is_empty())
    }

    /// The key that git is set to sign with; why it cannot be used, where it cannot.
    pub fn configured(&self) -> Option<Result<Candidate, String>> {
        let value = self.config(&[], "user.signingkey").ok().flatten()?;
        let format = self.config(&[], "gpg.format").ok().flatten();
        let told = |why: String| format!("user.signingkey `{}`: {why}", text::escape(value.as_bytes()));
        let found = match format.as_deref() {
            Some("ssh") => {
                let path = || self.config(&["--type=path"], "user.signingkey").ok().flatten();
                self.ssh_value(&value, path, Origin::Configured)
            }
            None | Some("openpgp") => self.openpgp(&value, Origin::Configured),
            Some(other) => Err(format!("gpg.format is `{}`", text::escape(other.as_bytes()))),
        };
        // It is set as it is: what it says works.
        Some(found.map(|one| Candidate { value: value.clone(), ..one }).map_err(told))
    }

    /// A key that somebody names: a file, `key::` and a public key, or a fingerprint.
    ///
    /// # Errors
    /// Why it is none.
    pub fn named(&self, word: &str) -> Result<Candidate, String> {
        let hexadecimal = word.trim_start_matches("0x");
        let fingerprint = hexadecimal.len() >= 16 && hexadecimal.bytes().all(|b| b.is_ascii_hexdigit());
        if fingerprint && !Path::new(word).exists() {
            return self.openpgp(word, Origin::Named);
        }
        if word.starts_with("SHA256:") {
            let (found, _) = self.found();
            let found = found.into_iter().find(|one| one.material.fingerprint() == word);
            let found = found.ok_or("no key with this fingerprint is in ~/.ssh or in ssh-agent")?;
            return Ok(Candidate { origin: Origin::Named, ..found });
        }
        let path = || {
            let path = std::path::absolute(word).ok()?;
            Some(path.to_str()?.to_owned())
        };
        self.ssh_value(word, path, Origin::Named)
    }

    /// Everything that could sign and that nobody has named, and what was found and cannot.
    pub fn found(&self) -> (Vec<Candidate>, Vec<String>) {
        let (mut all, mut notes) = (Vec::new(), Vec::new());
        let agent = agent();
        for path in public_keys() {
            let shown = text::escape(path.as_os_str().as_encoded_bytes());
            match ssh_file(&path, Origin::File) {
                Ok(one) if path.with_extension("").is_file() || agent.iter().any(|key| same(key, &one)) => {
                    all.push(one);
                }
                Ok(_) => notes.push(format!("{shown}: its private part is not there, nor in ssh-agent")),
                Err(why) => notes.push(format!("{shown}: {why}")),
            }
        }
        for key in agent {
            if !all.iter().any(|one| same(one, &key)) {
                all.push(key);
            }
        }
        if let Some(email) = self.email() {
            // In angle brackets it is exactly this address.
            for fingerprint in self.secret(&format!("<{email}>")) {
                match self.openpgp(&fingerprint, Origin::GnuPg) {
                    Ok(one) => all.push(one),
                    Err(why) => notes.push(format!("OpenPGP key {fingerprint}: {why}")),
                }
            }
        }
        (all, notes)
    }

    /// An SSH key as `user.signingkey` says it.
    fn ssh_value(
        &self,
        value: &str,
        path: impl Fn() -> Option<String>,
        origin: Origin,
    ) -> Result<Candidate, String> {
        let literal = value.strip_prefix("key::").or_else(|| value.starts_with("ssh-").then_some(value));
        if let Some(key) = literal {
            let material = Material::ssh(key).map_err(|e| e.to_string())?;
            let public = format!("{}\n", key.trim());
            return Ok(Candidate { origin, value: format!("key::{}", key.trim()), material, public });
        }
        let path = path().ok_or("this is not a path")?;
        let path = self.directory.join(path);
        // Of a private key only the public part beside it is read.
        let beside = PathBuf::from(format!("{}.pub", path.display()));
        let public =
            if path.extension() != Some(OsStr::new("pub")) && beside.is_file() { beside } else { path };
        ssh_file(&public, origin)
    }

    fn gpg(&self) -> Command {
        let name = |name| self.config(&["--type=path"], name).ok().flatten();
        let program = name("gpg.openpgp.program").or_else(|| name("gpg.program"));
        let mut command = Command::new(program.unwrap_or_else(|| "gpg".to_owned()));
        command.env("LC_ALL", "C").args(["--batch", "--no-tty", "--no-auto-key-locate"]).stdin(Stdio::null());
        command
    }

    /// Fingerprints of the secret keys that can sign.
    fn secret(&self, whose: &str) -> Vec<String> {
        let mut gpg = self.gpg();
        let output = gpg.args(["--with-colons", "--list-secret-keys", "--", whose]).output();
        output.map_or_else(|_| Vec::new(), |output| secret_keys(&String::from_utf8_lossy(&output.stdout)))
    }

    /// The secret key of `user.signingkey`, or else of this address, that has ended and is otherwise good.
    pub(super) fn ended_openpgp(&self, email: &str) -> Option<String> {
        match self.config(&[], "gpg.format").ok().flatten().as_deref() {
            None | Some("openpgp") => {}
            Some(_) => return None,
        }
        let configured = self.config(&[], "user.signingkey").ok().flatten();
        let whose = configured.unwrap_or_else(|| format!("<{email}>"));
        let mut gpg = self.gpg();
        gpg.args(["--with-colons", "--list-secret-keys", "--", whose.trim_end_matches('!')]);
        ended_keys(&String::from_utf8_lossy(&gpg.output().ok()?.stdout)).into_iter().next()
    }

    fn openpgp(&self, whose: &str, origin: Origin) -> Result<Candidate, String> {
        let secret = self.secret(whose.trim_end_matches('!'));
        let fingerprint = secret.first().ok_or("GnuPG has no secret key of it that can sign now")?;
        let mut gpg = self.gpg();
        gpg.args(["--armor", "--export-options", "export-minimal", "--export", "--", fingerprint]);
        let output = gpg.output().map_err(|e| format!("gpg cannot be run: {e}"))?;
        let (material, public) = Material::from_file(&output.stdout).map_err(|e| e.to_string())?;
        Ok(Candidate { origin, value: fingerprint.clone(), material, public })
    }
}

fn same(one: &Candidate, other: &Candidate) -> bool {
    one.material.fingerprint() == other.material.fingerprint()
}

/// `~/.ssh/id_*.pub`, by name.
fn public_keys() -> Vec<PathBuf> {
    let Some(home) = std::env::var_os("HOME") else { return Vec::new() };
    let Ok(entries) = fs::read_dir(Path::new(&home).join(".ssh")) else { return Vec::new() };
    let wanted = |path: &PathBuf| {
        let name = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
        name.starts_with("id_") && name.ends_with(".pub") && !name.ends_with("-cert.pub")
    };
    let mut all: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(wanted).collect();
    all.sort();
    all
}

fn ssh_file(path: &Path, origin: Origin) -> Result<Candidate, String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(64 << 10).read_to_end(&mut bytes));
    read.map_err(|e| e.to_string())?;
    let (material, public) = Material::from_file(&bytes).map_err(|e| e.to_string())?;
    if matches!(material, Material::OpenPgp(_)) {
        return Err("an OpenPGP key is named by its fingerprint, not by a file".to_owned());
    }
    let value = path.to_str().ok_or("the path is not UTF-8")?.to_owned();
    Ok(Candidate { origin, value, material, public: format!("{}\n", public.trim_end()) })
}

/// What ssh-agent offers.
fn agent() -> Vec<Candidate> {
    if std::env::var_os("SSH_AUTH_SOCK").is_none() {
        return Vec::new();
    }
    let output = Command::new("ssh-add").arg("-L").stdin(Stdio::null()).output();
    let Ok(output) = output else { return Vec::new() };
    if !output.status.success() {
        return Vec::new();
    }
    let read = |line: &str| {
        // Certificates are no keys of their own.
        let material = Material::ssh(line).ok()?;
        let public = format!("{line}\n");
        Some(Candidate { origin: Origin::Agent, value: format!("key::{line}"), material, public })
    };
    String::from_utf8_lossy(&output.stdout).lines().filter_map(read).collect()
}

/// What a program said, for people.
pub(super) fn said(output: &Output) -> String {
    let lines = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<String> = lines
        .lines()
        .filter(|line| !line.trim().is_empty())
        .take(10)
        .map(|line| text::escape_short(line.as_bytes(), 300))
        .collect();
    if lines.is_empty() { format!("it ended with {}", output.status) } else { lines.join("; ") }
}

fn line(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    Some(text.strip_suffix('\n').map_or(text.clone(), str::to_owned))
}

/// What the developer's `--signing` means where nothing was found.
pub fn make_command(signing: Option<Signing>, email: Option<&str>) -> String {
    let email = email.unwrap_or("ADDRESS");
    match signing {
        Some(Signing::OpenPgp) => {
            format!(
                "gpg --quick-generate-key {} ed25519 sign 2y",
                super::setup::quoted(&format!("<{email}>"))
            )
        }
        _ => format!("ssh-keygen -t ed25519 -C {} -f ~/.ssh/id_ed25519", super::setup::quoted(email)),
    }
}
