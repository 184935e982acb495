//! Asking git about one object with the keys of the keyring, for people who compare. Nothing that is
//! said here decides anything.
//!
//! Git is not let near the repository: the object's bytes go into an empty repository in a private
//! directory, so that neither the repository's configuration nor its replace refs, alternates or
//! promisors have a say. The programs run without a shell, with an environment made here, for a limited
//! time, and what they print is cut and escaped.

use super::differences::{GitStatus, Gits};
use crate::domain::{ObjectFormat, ObjectId, ObjectKind, Timestamp, text};
use crate::git::child::{self, Ended, Manner, Room, RunError, program};
use crate::keyring::{Key, Keyring, Material, Windows};
use crate::signature::ssh::PublicKey;
use crate::signature::{KeyId, Keys as _, Scheme};
use data_encoding::{BASE64, HEXUPPER};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long one program may take.
const TIME: Duration = Duration::from_secs(20);
/// Most certificates that are handed to gpg: a key id can be had by several.
const CERTIFICATES: usize = 8;
/// How much of what a program says is kept, in bytes.
const KEPT: usize = 16 << 10;
/// How much of that is shown, in lines and in characters a line.
const LINES: usize = 40;
const WIDTH: usize = 300;

/// What git made of the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Nobody asked.
    Off,
    /// It could not be asked, and why.
    NotCompared(String),
    /// It was.
    Said(Said),
}

/// What git said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The command, as a person would type it.
    pub command: &'static str,
    /// Its verdict.
    pub gits: Gits,
    /// It has asked gpg.
    pub by_gpg: bool,
    /// Its words, line by line, escaped and cut.
    pub lines: Vec<String>,
}

/// What git is asked about.
pub(super) struct Question<'a> {
    pub(super) id: ObjectId,
    pub(super) kind: ObjectKind,
    pub(super) raw: &'a [u8],
    /// By which kind of key the signature is, as far as git can tell.
    pub(super) tool: Tool,
    /// Whose keys count. SSH keys are all handed over, of the certificates only what git asks for.
    pub(super) keyring: &'a Keyring,
    /// The key or authority that the signature is by, as the keyring names it, where that is known.
    pub(super) named: Option<&'a KeyId>,
}

/// What git will call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    None,
    Gpg,
    SshKeygen,
}

impl Tool {
    /// By what looks like the first line of a signature, for objects that only git makes something of.
    pub(super) fn of(raw: &[u8]) -> Self {
        let has = |marker: &[u8]| raw.windows(marker.len()).any(|window| window == marker);
        if has(b"-----BEGIN SSH SIGNATURE-----") {
            Tool::SshKeygen
        } else if has(b"-----BEGIN PGP ") {
            Tool::Gpg
        } else {
            Tool::None
        }
    }
}

/// Asks git.
pub(super) fn ask(question: &Question<'_>) -> Beside {
    match attempt(question) {
        Ok(said) => Beside::Said(said),
        Err(why) => Beside::NotCompared(why),
    }
}

fn attempt(question: &Question<'_>) -> Result<Said, String> {
    let git = program("git")?;
    let gpg = program("gpg");
    let ssh_keygen = program("ssh-keygen");
    match question.tool {
        Tool::Gpg => drop(gpg.as_ref().map_err(Clone::clone)?),
        Tool::SshKeygen => drop(ssh_keygen.as_ref().map_err(Clone::clone)?),
        Tool::None => {}
    }
    let failed = |e: std::io::Error| format!("a private directory cannot be used: {e}");
    let room = Room::new().map_err(failed)?;
    repository(&room, question.id.format()).map_err(failed)?;
    let home = room.path("gnupg");
    private(&home).map_err(failed)?;
    // No agent, no network, no opinion about trust: who is trusted is the keyring's matter.
    let settings = "no-autostart\nno-tty\nbatch\ntrust-model always\nno-auto-key-retrieve\n\
                    no-auto-key-locate\nno-auto-check-trustdb\n";
    fs::write(home.join("gpg.conf"), settings).map_err(failed)?;
    let (file, lines) = allowed_signers(question.keyring, question.named);
    fs::write(room.path("allowed_signers"), file).map_err(failed)?;
    let object = ["hash-object", "-t", question.kind.name(), "-w", "--stdin", "--literally"];
    let stored = run(git_command(&room, &git).args(object), question.raw)?;
    if stored.code != Some(0) || stored.stdout.trim_ascii() != question.id.to_string().as_bytes() {
        return Err("git does not store the object".to_owned());
    }
    let (typed, verb) = match question.kind {
        ObjectKind::Tag => ("git verify-tag --raw", "verify-tag"),
        _ => ("git verify-commit --raw", "verify-commit"),
    };
    let verify = || {
        let missing = Path::new("/nonexistent");
        let path = |found: &Result<PathBuf, String>| {
            found.as_ref().map_or(missing.as_os_str(), |path| path.as_os_str()).to_owned()
        };
        let signers = room.path("allowed_signers");
        let settings = [
            ("gpg.program", path(&gpg)),
            ("gpg.openpgp.program", path(&gpg)),
            ("gpg.x509.program", missing.as_os_str().to_owned()),
            ("gpg.ssh.program", path(&ssh_keygen)),
            ("gpg.ssh.allowedSignersFile", signers.into_os_string()),
        ];
        let mut call = git_command(&room, &git);
        for (name, value) in settings {
            call.arg("-c").arg(setting(name, &value));
        }
        call.arg(verb).arg("--raw").arg(question.id.to_string());
        run(&mut call, b"")
    };
    let mut ended = verify()?;
    // Which certificate is needed gpg knows best, whatever we make of the signature.
    if let Ok(gpg) = &gpg {
        let wanted = missing_keys(&ended.stderr, question.keyring);
        if !wanted.is_empty() {
            import(&room, gpg, &wanted)?;
            ended = verify()?;
        }
    }
    if home.join("S.gpg-agent").exists()
        && let Ok(gpgconf) = program("gpgconf")
    {
        let mut kill = command(&room, &gpgconf);
        let _ = run(kill.arg("--homedir").arg(&home).args(["--kill", "all"]), b"");
    }
    let said = [ended.stdout.as_slice(), ended.stderr.as_slice()].concat();
    Ok(Said {
        command: typed,
        gits: Gits { accepts: ended.code == Some(0), status: read(&said), lines },
        by_gpg: said.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"[GNUPG:] ")),
        lines: shown(&said, &room),
    })
}

/// Git's verdict, read from what it said. Good for showing and comparing only.
fn read(said: &[u8]) -> GitStatus {
    let text = String::from_utf8_lossy(said);
    let word = |line: &str| {
        let rest = line.strip_prefix("[GNUPG:] ")?;
        Some(match rest.split(' ').next()? {
            "GOODSIG" => GitStatus::Good,
            "BADSIG" => GitStatus::Bad,
            "ERRSIG" if rest.ends_with(" 9") || rest.contains(" 9 ") => GitStatus::MissingKey,
            "ERRSIG" => GitStatus::Error,
            "EXPSIG" => GitStatus::ExpiredSignature,
            "EXPKEYSIG" => GitStatus::ExpiredKey,
            "REVKEYSIG" => GitStatus::Revoked,
            _ => return None,
        })
    };
    let mut words = text.lines().filter_map(word);
    match (words.next(), words.next()) {
        (Some(one), None) => return one,
        // Git calls more than one an error.
        (Some(_), Some(_)) => return GitStatus::Error,
        (None, _) => {}
    }
    let starts = |start: &str| text.lines().any(|line| line.starts_with(start));
    let has = |part: &str| text.contains(part);
    if starts("Good \"git\" signature for ") && !has("No principal matched") {
        GitStatus::Good
    } else if starts("Good \"git\" signature with ") || has("No principal matched") {
        GitStatus::Untrusted
    } else if has("incorrect signature") || has("Signature verification failed") {
        GitStatus::Bad
    } else if text.trim().is_empty() || has("no signature found") {
        GitStatus::Unsigned
    } else {
        GitStatus::Error
    }
}

/// Git's words for people: paths of the private directory taken out, escaped and cut.
fn shown(said: &[u8], room: &Room) -> Vec<String> {
    let text = String::from_utf8_lossy(said);
    let text = text.replace(&*room.directory().to_string_lossy(), "");
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let mut out: Vec<String> =
        lines.iter().take(LINES).map(|line| text::escape_short(line.as_bytes(), WIDTH)).collect();
    if lines.len() > LINES {
        out.push(format!("({} more lines)", lines.len() - LINES));
    }
    out
}

/// A repository without anything in it: git needs no more than these.
fn repository(room: &Room, format: ObjectFormat) -> std::io::Result<()> {
    let path = room.path("object.git");
    for directory in ["objects", "refs"] {
        fs::create_dir_all(path.join(directory))?;
    }
    fs::write(path.join("HEAD"), "ref: refs/heads/none\n")?;
    let settings = match format {
        ObjectFormat::Sha1 => "[core]\n\trepositoryformatversion = 0\n\tbare = true\n".to_owned(),
        ObjectFormat::Sha256 => "[core]\n\trepositoryformatversion = 1\n\tbare = true\n\
                                 [extensions]\n\tobjectformat = sha256\n"
            .to_owned(),
    };
    fs::write(path.join("config"), settings)
}

/// The keyring's SSH keys and authorities as git wants them, and how many of the lines name the key in
/// question.
fn allowed_signers(keyring: &Keyring, named: Option<&KeyId>) -> (String, usize) {
    let (mut file, mut lines) = (String::new(), 0);
    let mut line = |id: KeyId, principals: &str, options: &str, windows: &Windows, key: &PublicKey| {
        for window in windows.spans() {
            lines += usize::from(named == Some(&id));
            file.push_str(&format!("\"{principals}\" {options}namespaces=\"git\""));
            // OpenSSH's end is inclusive, the keyring's is not.
            let last = window.until.and_then(|at| Timestamp::from_second(at.as_second() - 1).ok());
            for (name, at) in [("valid-after", window.from), ("valid-before", last)] {
                if let Some(at) = at {
                    file.push_str(&format!(",{name}=\"{}\"", at.strftime("%Y%m%d%H%M%SZ")));
                }
            }
            file.push_str(&format!(" {} {}\n", key.algorithm(), BASE64.encode(key.blob())));
        }
    };
    for key in keyring.keys() {
        if let Material::Ssh(public) = &key.material {
            // A name that would be read as a list or a pattern is none that git can be told.
            let name = &key.principal.name;
            let literal =
                !name.is_empty() && !name.contains(['"', ',', '*', '?', '!', '\\']) && printable(name);
            line(key.id(), if literal { name } else { "unnamed" }, "", &key.windows, public);
        }
    }
    for authority in keyring.authorities() {
        for scope in &authority.scopes {
            let patterns = scope.patterns.join(",");
            if !patterns.is_empty() && !patterns.contains(['"', '\\']) && printable(&patterns) {
                line(authority.id(), &patterns, "cert-authority,", &scope.windows, &authority.key);
            }
        }
    }
    (file, lines)
}

fn printable(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// The keyring's certificates that hold the key which gpg did not find.
fn missing_keys<'k>(said: &[u8], keyring: &'k Keyring) -> Vec<&'k Key> {
    let text = String::from_utf8_lossy(said);
    let ids = text.lines().filter_map(|line| line.strip_prefix("[GNUPG:] NO_PUBKEY "));
    let mut found: Vec<&Key> = Vec::new();
    for id in ids.take(CERTIFICATES) {
        // 16 digits are a key id, more are a fingerprint; both are an index here and nothing else.
        let Ok(bytes) = HEXUPPER.decode(id.trim().as_bytes()) else { continue };
        let certificates = match <[u8; 8]>::try_from(bytes.as_slice()) {
            Ok(id) => keyring.openpgp_by_key_id(id),
            Err(_) => keyring.openpgp_by_fingerprint(&bytes),
        };
        for certificate in certificates {
            let id = KeyId { scheme: Scheme::OpenPgp, text: certificate.fingerprint() };
            found.extend(keyring.find(&id).filter(|key| found.iter().all(|other| other.id() != key.id())));
        }
    }
    found.truncate(CERTIFICATES);
    found
}

/// Hands certificates to gpg, as the keyring's files hold them.
fn import(room: &Room, gpg: &Path, keys: &[&Key]) -> Result<(), String> {
    for key in keys {
        let armor = armor_of(key).ok_or("the certificate cannot be read again from its file")?;
        let mut command = command(room, gpg);
        command.args(["--batch", "--quiet", "--no-autostart", "--import"]);
        // A key that this gpg cannot read is one that it will not find.
        run(&mut command, armor.as_bytes())?;
    }
    Ok(())
}

/// The certificate's text, from the file of its owner.
fn armor_of(key: &Key) -> Option<String> {
    let text = fs::read_to_string(&key.place.file).ok()?;
    let value: toml::Value = toml::from_str(&text).ok()?;
    let tables = value.get("key")?.as_array()?;
    let blocks = tables.iter().filter_map(|table| table.get("openpgp")?.as_str());
    let wanted = key.id();
    blocks
        .filter(|armor| Material::openpgp(armor).is_ok_and(|material| material.fingerprint() == wanted.text))
        .map(str::to_owned)
        .next()
}

/// `NAME=VALUE` for `git -c`.
fn setting(name: &str, value: &OsStr) -> OsString {
    let mut out = OsString::from(name);
    out.push("=");
    out.push(value);
    out
}

/// A program that knows no keys but those that it is given.
fn command(room: &Room, program: &Path) -> Command {
    let mut command = child::command(room, program);
    command.env("GNUPGHOME", room.path("gnupg"));
    command
}

fn git_command(room: &Room, git: &Path) -> Command {
    let mut command = command(room, git);
    command.arg("--git-dir").arg(room.path("object.git"));
    command
}

/// Runs a program to its end, or ends it and everything that it has started.
fn run(command: &mut Command, input: &[u8]) -> Result<Ended, String> {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().display().to_string();
    let manner = Manner { input, ..Manner::new(Instant::now() + TIME, KEPT) };
    child::run_as(command, &manner).map_err(|error| match error {
        RunError::Failed(why) => why,
        RunError::Time | RunError::Stopped => {
            format!("{name} did not end within {} seconds", TIME.as_secs())
        }
    })
}

/// Makes a directory for us alone; one that is there already is not taken.
fn private(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_is_read_line_by_line() {
        assert_eq!(read(b"[GNUPG:] GOODSIG AA x\n[GNUPG:] VALIDSIG"), GitStatus::Good);
        assert_eq!(read(b"[GNUPG:] EXPKEYSIG AA x\n"), GitStatus::ExpiredKey);
        assert_eq!(read(b"[GNUPG:] REVKEYSIG AA x\n"), GitStatus::Revoked);
        assert_eq!(read(b"[GNUPG:] ERRSIG AA 22 8 00 1600000000 9 FP\n"), GitStatus::MissingKey);
        assert_eq!(read(b"[GNUPG:] GOODSIG A\n[GNUPG:] GOODSIG B\n"), GitStatus::Error);
        // A user id cannot begin a line.
        assert_eq!(read(b"[GNUPG:] BADSIG AA evil [GNUPG:] GOODSIG\n"), GitStatus::Bad);
        assert_eq!(read(b"Good \"git\" signature for alice with ED25519 key SHA256:x\n"), GitStatus::Good);
        assert_eq!(
            read(b"Good \"git\" signature with ED25519 key SHA256:x\nNo principal matched.\n"),
            GitStatus::Untrusted
        );
        assert_eq!(read(b""), GitStatus::Unsigned);
        assert_eq!(read(b"error: x\n"), GitStatus::Error);
    }
}
