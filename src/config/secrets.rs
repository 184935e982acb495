//! Secrets: named in the configuration, kept elsewhere, and read when they are needed.

use super::values;
use crate::domain::text;
use crate::forge::Secret;
use crate::keyring::document::{Diagnostic, Item, own_uid};
use rustix::fs::OFlags;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Largest secret, in bytes: the private key of an app, with room.
const MAX_SECRET: u64 = 64 << 10;
/// Where systemd puts the credentials of a service.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretPlace {
    /// In a file; an absolute path.
    File(PathBuf),
    /// In a variable of the program's environment, which it has from its start.
    Env(String),
    /// Among the credentials that systemd gives to the service.
    Credential(String),
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretPlaceError {
    /// The file cannot be read.
    #[error("cannot read {place}: {error}")]
    Unreadable {
        /// Which.
        place: SecretPlace,
        /// Why.
        error: io::Error,
    },
    /// Somebody else can read or change it.
    #[error("{place} {why}")]
    Open {
        /// Which.
        place: SecretPlace,
        /// What is wrong with it.
        why: String,
        /// What to do.
        help: String,
    },
    /// It is something else, or too large.
    #[error("{place} {why}")]
    Odd {
        /// Which.
        place: SecretPlace,
        /// What is wrong with it.
        why: String,
    },
    /// There is nothing in it.
    #[error("{0} is empty")]
    Empty(SecretPlace),
    /// This process has no such variable, or no credentials: another one may.
    #[error("{place} is not there: {why}")]
    NotHere {
        /// Which.
        place: SecretPlace,
        /// Why not.
        why: &'static str,
    },
}

impl SecretPlaceError {
    /// Whether another process than this one may well find the secret: one that systemd starts, or of another
    /// account.
    pub fn is_of_this_process(&self) -> bool {
        match self {
            SecretPlaceError::NotHere { .. } => true,
            SecretPlaceError::Unreadable { error, .. } => error.kind() == io::ErrorKind::PermissionDenied,
            _ => false,
        }
    }

    /// What to do about it, where that can be said.
    pub fn help(&self) -> Option<&str> {
        match self {
            SecretPlaceError::Open { help, .. } => Some(help),
            _ => None,
        }
    }
}

impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretPlace::File(path) => {
                write!(f, "the secret file `{}`", text::escape(path.as_os_str().as_encoded_bytes()))
            }
            SecretPlace::Env(name) => write!(f, "the variable `{name}`"),
            SecretPlace::Credential(name) => write!(f, "the credential `{name}`"),
        }
    }
}

impl SecretPlace {
    /// The file that it is in; `None` for variables, and for credentials in a process that has none.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            SecretPlace::File(path) => Some(path.clone()),
            SecretPlace::Env(_) => None,
            SecretPlace::Credential(name) => {
                let directory = PathBuf::from(std::env::var_os(CREDENTIALS)?);
                directory.is_absolute().then(|| directory.join(name))
            }
        }
    }

    /// Reads it, without the end of line that editors put behind it.
    ///
    /// # Errors
    /// There is none, or others than the account that runs this and root could read it.
    pub fn read(&self) -> Result<Secret, SecretPlaceError> {
        let mut bytes = match self {
            SecretPlace::Env(name) => match std::env::var_os(name) {
                Some(value) => value.into_encoded_bytes(),
                None => {
                    let why = "this process was started without it";
                    return Err(SecretPlaceError::NotHere { place: self.clone(), why });
                }
            },
            SecretPlace::File(_) | SecretPlace::Credential(_) => match self.path() {
                Some(path) => self.read_file(&path)?,
                None => {
                    let why = "systemd gives it to the service, with `LoadCredential=`";
                    return Err(SecretPlaceError::NotHere { place: self.clone(), why });
                }
            },
        };
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        Secret::new(bytes).ok_or_else(|| SecretPlaceError::Empty(self.clone()))
    }

    fn read_file(&self, path: &Path) -> Result<Vec<u8>, SecretPlaceError> {
        let unreadable = |error| SecretPlaceError::Unreadable { place: self.clone(), error };
        let odd = |why: String| SecretPlaceError::Odd { place: self.clone(), why };
        // Without O_NONBLOCK a named pipe put here would hang the reader.
        let flags =
            i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).expect("both flags are low bits");
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
        // What is checked is the file that is read, whatever happens to its name meanwhile.
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(odd("is not a regular file".to_owned()));
        }
        self.check(metadata.mode() & 0o7777, metadata.uid())?;
        let mut bytes = Vec::new();
        (&mut file).take(MAX_SECRET + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MAX_SECRET {
            return Err(odd(format!("is larger than {MAX_SECRET} bytes")));
        }
        Ok(bytes)
    }

    /// A file of our own account is for nobody else; one of root's may be there for our group.
    fn check(&self, mode: u32, owner: u32) -> Result<(), SecretPlaceError> {
        let own = own_uid();
        let open = |why: String, help: &str| {
            Err(SecretPlaceError::Open { place: self.clone(), why, help: help.to_owned() })
        };
        if owner != 0 && owner != own {
            return open(
                format!("belongs to user {owner}, who can read and change it"),
                "let root own it, or the account that runs this",
            );
        }
        let forbidden = if owner == own && own != 0 { 0o077 } else { 0o027 };
        match mode & forbidden {
            0 => Ok(()),
            _ if mode & 0o007 != 0 => open(
                format!("is open to everybody (mode {mode:04o})"),
                "chmod o-rwx,g-w it, and change the secret",
            ),
            _ => {
                open(format!("is open to its group (mode {mode:04o})"), "chmod 600 it, and change the secret")
            }
        }
    }
}

/// Largest file with certificates, in bytes.
const MAX_CERTIFICATES: u64 = 4 << 20;

/// Reads a file of certificates: no secret, but a file, with at least one in it.
///
/// # Errors
/// What is wrong with it, for people.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<u8>, String> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let shown = text::escape(path.as_os_str().as_encoded_bytes());
    let unreadable = |error: io::Error| format!("cannot read the certificate `{shown}`: {error}");
    // Opening a named pipe would wait for whoever writes to it.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(format!("`{shown}` is not a regular file"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_CERTIFICATES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_CERTIFICATES {
        return Err(format!("`{shown}` is larger than {MAX_CERTIFICATES} bytes"));
    }
    if !bytes.windows(BEGIN.len()).any(|window| window == BEGIN) {
        return Err(format!("there is no certificate in the file `{shown}`"));
    }
    Ok(bytes)
}

/// Reads where a secret is: `{ file = "…" }`, `{ env = "…" }` or `{ credential = "…" }`, and the words of `more` beside it.
pub(super) fn place<'r, 'd>(
    item: &Item<'r, 'd>,
    base: &Path,
    more: &mut dyn FnMut(&crate::keyring::document::Table<'r, 'd>),
) -> Option<SecretPlace> {
    const HELP: &str = "write { file = \"…\" }, { env = \"…\" } or { credential = \"…\" }";
    // Whatever stands here may be the secret itself: the line is not shown.
    let hidden = |message: &str| {
        item.reader.push(Diagnostic::at(item.reader.place(&item.span), message).suggest(HELP));
    };
    if !matches!(item.value, toml::de::DeValue::Table(_)) {
        hidden("secrets do not stand in the configuration, which others may read: this says where one is");
        return None;
    }
    let table = item.table("the place of a secret")?;
    let found = [table.get("file"), table.get("env"), table.get("credential")];
    more(&table);
    table.finish_unseen();
    let [file, env, credential] = found;
    match (file, env, credential) {
        (Some(file), None, None) => values::path(&file, base).map(SecretPlace::File),
        (None, Some(env), None) => {
            let name = env.string()?;
            let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
            if !first || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                hidden("`env` is the name of a variable, without `$`");
                return None;
            }
            Some(SecretPlace::Env(name.to_owned()))
        }
        (None, None, Some(credential)) => {
            let name = credential.string()?;
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@:".contains(&byte);
            if name.is_empty() || name.starts_with('.') || name.len() > 255 || !name.bytes().all(plain) {
                hidden("`credential` is the name of a credential, as in `LoadCredential=`");
                return None;
            }
            Some(SecretPlace::Credential(name.to_owned()))
        }
        _ => {
            hidden("a secret is in exactly one of `file`, `env` and `credential`");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn file(bytes: &[u8], mode: u32) -> (tempfile::TempDir, SecretPlace) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, SecretPlace::File(path))
    }

    #[test]
    fn a_secret_is_the_bytes_of_its_file_without_one_end_of_line() {
        for (bytes, wanted) in [
            (&b"hunter2"[..], &b"hunter2"[..]),
            (b"hunter2\n", b"hunter2"),
            (b"hunter2\r\n", b"hunter2"),
            (b"hunter2\n\n", b"hunter2\n"),
            (b" hunter2 \n", b" hunter2 "),
            (b"\xff\0\n", b"\xff\0"),
        ] {
            let (_dir, place) = file(bytes, 0o600);
            assert_eq!(place.read().unwrap().expose(), wanted, "{bytes:?}");
        }
        for empty in [&b""[..], b"\n", b"\r\n"] {
            let (_dir, place) = file(empty, 0o600);
            assert!(matches!(place.read(), Err(SecretPlaceError::Empty(_))), "{empty:?}");
        }
    }

    #[test]
    fn what_others_can_read_is_no_secret() {
        for mode in [0o604, 0o644, 0o666, 0o602, 0o620, 0o660, 0o777, 0o601] {
            let (_dir, place) = file(b"hunter2", mode);
            let error = place.read().unwrap_err();
            assert!(matches!(error, SecretPlaceError::Open { .. }), "{mode:o}: {error}");
            assert!(!error.to_string().contains("hunter2"));
            assert!(error.help().is_some() && !error.is_of_this_process());
        }
        for mode in [0o600, 0o400, 0o700] {
            let (_dir, place) = file(b"hunter2", mode);
            assert!(place.read().is_ok(), "{mode:o}");
        }
        let place = SecretPlace::File("/x".into());
        let own = own_uid();
        let other = if own == 4711 { 4712 } else { 4711 };
        assert!(place.check(0o400, other).is_err(), "who owns it can read it");
        assert!(place.check(0o440, 0).is_ok(), "of root, for our group");
        assert!(place.check(0o460, 0).is_err());
        assert!(place.check(0o444, 0).is_err());
        assert_eq!(place.check(0o440, own).is_ok(), own == 0);
    }

    #[test]
    fn what_is_no_file_does_not_hang_the_reader() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(SecretPlace::File(dir.path().into()).read(), Err(SecretPlaceError::Odd { .. })));
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        assert!(matches!(SecretPlace::File(pipe).read(), Err(SecretPlaceError::Odd { .. })));
        let missing = SecretPlace::File(dir.path().join("missing")).read().unwrap_err();
        assert!(matches!(missing, SecretPlaceError::Unreadable { .. }) && !missing.is_of_this_process());
        let (_dir, large) = file(&vec![b'x'; MAX_SECRET as usize + 1], 0o600);
        assert!(matches!(large.read(), Err(SecretPlaceError::Odd { .. })));
    }

    #[test]
    fn variables_and_credentials_that_are_not_here_may_be_elsewhere() {
        for place in
            [SecretPlace::Env("COUNTERSIGN_NO_SUCH".into()), SecretPlace::Credential("no-such".into())]
        {
            let error = place.read().unwrap_err();
            assert!(error.is_of_this_process(), "{error}");
        }
    }
}
