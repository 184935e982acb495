//! What sshd says that a client logged in with: the file that it makes with `ExposeAuthInfo yes`.
//!
//! The hook reads it, because it belongs to the account that git runs under and is gone when the session
//! ends. The daemon parses it.

use super::wire::{Bytes, Exposed};
use crate::domain::text;
use data_encoding::BASE64;
use rustix::fs::OFlags;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Largest file that is read, in bytes; a certificate has a few KiB.
pub const MAX_FILE: u64 = 64 << 10;

/// Most methods of one login; sshd itself asks for very few.
const MAX_METHODS: usize = 16;

/// One way in which the client has shown who it is. A login may need several, and all succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// `publickey`, `password`, `keyboard-interactive/pam`, …
    pub name: String,
    /// With `publickey`: the key, or the certificate around it, in the encoding of RFC 4253.
    pub key: Option<Vec<u8>>,
}

/// Reads the file that `SSH_USER_AUTH` names.
///
/// sshd makes it with mode 0600 as the account that logged in, under a new name. What is anything else was
/// not made by it: a link, a pipe, a file of somebody else or one that others can write or have another
/// name for.
pub fn read(path: &Path) -> Exposed {
    match read_checked(path, rustix::process::geteuid().as_raw()) {
        Ok(bytes) => Exposed::Content(Bytes(bytes)),
        Err(why) => Exposed::Unusable(why),
    }
}

fn read_checked(path: &Path, own: u32) -> Result<Vec<u8>, String> {
    if !path.is_absolute() {
        return Err("its path is relative".to_owned());
    }
    // Where sshd exposes nothing and lets clients set the variable, it could name any file of the account.
    if !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"sshauth.")) {
        return Err("its name is none that sshd gives".to_owned());
    }
    let unreadable = |error: std::io::Error| match rustix::io::Errno::from_io_error(&error) {
        Some(rustix::io::Errno::LOOP) => "it is a symbolic link".to_owned(),
        _ => format!("it cannot be read: {error}"),
    };
    // Without O_NONBLOCK a named pipe would hang the push.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).map_err(|error| error.to_string())?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let seen = file.metadata().map_err(unreadable)?;
    if !seen.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if seen.uid() != own && seen.uid() != 0 {
        return Err(format!("it belongs to user {}, not to user {own} or root", seen.uid()));
    }
    if seen.mode() & 0o077 != 0 {
        let mode = seen.mode() & 0o7777;
        return Err(format!("others than its owner may use it (mode {mode:04o}), so sshd did not make it"));
    }
    if seen.nlink() != 1 {
        return Err(format!("it has {} names, so sshd did not make it", seen.nlink()));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("it is larger than {MAX_FILE} bytes"));
    }
    Ok(bytes)
}

/// Reads what sshd wrote: a line for each method that the login took, in their order.
///
/// # Errors
/// A sentence about the first line that sshd would not write. Nothing of the file counts then.
pub fn parse(bytes: &[u8]) -> Result<Vec<Method>, String> {
    if bytes.is_empty() {
        return Err("it is empty".to_owned());
    }
    let whole = bytes.strip_suffix(b"\n").ok_or("its last line is not ended")?;
    let lines: Vec<&[u8]> = whole.split(|byte| *byte == b'\n').collect();
    if lines.len() > MAX_METHODS {
        return Err(format!("it has more than {MAX_METHODS} lines"));
    }
    let wrong = |(at, why): (usize, String)| format!("line {}: {why}", at + 1);
    lines.into_iter().enumerate().map(|(at, line)| method(line).map_err(|why| wrong((at, why)))).collect()
}

fn method(line: &[u8]) -> Result<Method, String> {
    if line.iter().any(|byte| byte.is_ascii_control()) {
        return Err("it has control characters".to_owned());
    }
    let mut words = line.split(|byte| *byte == b' ');
    let name = words.next().unwrap_or_default();
    let fits = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-/".contains(byte);
    if name.is_empty() || name.len() > 64 || !name.iter().all(fits) {
        return Err("it does not begin with a method".to_owned());
    }
    let (base, _) = name.split_at(name.iter().position(|byte| *byte == b'/').unwrap_or(name.len()));
    let key = match (name, base) {
        (b"publickey", _) => Some(key(words)?),
        (_, b"publickey") => return Err("`publickey` has no variants".to_owned()),
        // What follows other methods is for people: a host, a Kerberos name. It names no key of the user's.
        _ => None,
    };
    Ok(Method { name: text::escape(name), key })
}

/// The type and the base64 of a key, each by one space and nothing behind.
fn key<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Result<Vec<u8>, String> {
    let (Some(kind), Some(encoded), None) = (words.next(), words.next(), words.next()) else {
        return Err("`publickey` is not followed by a type and a key".to_owned());
    };
    let blob = BASE64.decode(encoded).map_err(|_| "the key is not valid base64".to_owned())?;
    let inside = blob.get(..4).and_then(|length| {
        let length = usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
        blob.get(4..4_usize.checked_add(length)?)
    });
    match inside {
        Some(inside) if inside == kind => Ok(blob),
        _ => Err("the type on the line is not the type inside the key".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, Instant};

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHt/gekdZBP6w6zAI00bJvEt0bEQaLT7MP0mPLMkK/qO";

    fn why(text: impl AsRef<[u8]>) -> String {
        parse(text.as_ref()).unwrap_err()
    }

    #[test]
    fn n18_each_method_of_a_login_is_read() {
        let written = format!(
            "publickey {KEY}\npassword\nkeyboard-interactive/pam\nhostbased {KEY} client user \"x\"\n"
        );
        let methods = parse(written.as_bytes()).unwrap();
        let names: Vec<&str> = methods.iter().map(|method| method.name.as_str()).collect();
        assert_eq!(names, ["publickey", "password", "keyboard-interactive/pam", "hostbased"]);
        // A host's key is not the user's.
        assert_eq!(methods.iter().filter(|method| method.key.is_some()).count(), 1);
        let blob = methods[0].key.as_ref().unwrap();
        assert!(blob.starts_with(b"\0\0\0\x0bssh-ed25519") && blob.len() == 51);
    }

    #[test]
    fn n18_what_sshd_would_not_write_counts_for_nothing() {
        assert!(why("").contains("empty"));
        assert!(why(format!("publickey {KEY}")).contains("not ended"));
        assert!(why("\n").contains("does not begin with a method"));
        assert!(why(format!("publickey {KEY}\n\n")).contains("line 2: it does not begin"));
        assert!(why(format!(" publickey {KEY}\n")).contains("does not begin"));
        assert!(why(format!("PublicKey {KEY}\n")).contains("does not begin"));
        assert!(why("publickey\n").contains("not followed by"));
        assert!(why("publickey ssh-ed25519\n").contains("not followed by"));
        assert!(why(format!("publickey {KEY} alice@laptop\n")).contains("not followed by"));
        assert!(why(format!("publickey  {KEY}\n")).contains("not followed by"));
        assert!(why(format!("publickey\t{KEY}\n")).contains("control"));
        assert!(why(format!("publickey {KEY}\r\n")).contains("control"));
        assert!(why(format!("publickey {KEY}\0\n")).contains("control"));
        assert!(why(format!("publickey/x {KEY}\n")).contains("no variants"));
        assert!(why(format!("publickey {KEY}=\n")).contains("base64"));
        assert!(why(format!("publickey {}\n", KEY.replace("ed25519 ", "rsa "))).contains("type"));
        assert!(why("publickey a AAAA\n").contains("type"));
        assert!(why("publickey a /////w==\n").contains("type"));
        assert!(why("password\n".repeat(MAX_METHODS + 1)).contains("lines"));
        assert!(why([0xff, b'\n']).contains("does not begin"));
    }

    fn refused(path: &Path) -> String {
        match read(path) {
            Exposed::Unusable(why) => why,
            Exposed::Content(_) => panic!("{} was read", path.display()),
        }
    }

    #[test]
    fn n18_only_a_file_as_sshd_makes_it_is_read() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("sshauth.x");
        let make = |mode: u32, bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        make(0o600, b"password\n");
        assert_eq!(read(&path), Exposed::Content(Bytes(b"password\n".to_vec())));
        for mode in [0o620, 0o602, 0o644, 0o640] {
            make(mode, b"password\n");
            assert!(refused(&path).contains(&format!("mode {mode:04o}")), "{mode:o}");
        }
        make(0o600, &vec![b'x'; usize::try_from(MAX_FILE).unwrap() + 1]);
        assert!(refused(&path).contains("larger"));
        make(0o600, b"password\n");
        let other = place.path().join("sshauth.y");
        std::os::unix::fs::symlink(&path, &other).unwrap();
        assert!(refused(&other).contains("symbolic link"));
        fs::remove_file(&other).unwrap();
        fs::hard_link(&path, &other).unwrap();
        assert!(refused(&path).contains("2 names") && refused(&other).contains("2 names"));
        fs::remove_file(&other).unwrap();
        let directory = place.path().join("sshauth.d");
        fs::create_dir(&directory).unwrap();
        assert!(refused(&directory).contains("not a regular file"));
        assert!(refused(Path::new("sshauth")).contains("relative"));
        assert!(refused(&place.path().join("sshauth.absent")).contains("cannot be read"));
        fs::rename(&path, place.path().join("object")).unwrap();
        assert!(refused(&place.path().join("object")).contains("none that sshd gives"));
        assert!(refused(Path::new("/dev/null")).contains("none that sshd gives"));
    }

    #[test]
    fn n18_a_pipe_does_not_hang_the_hook() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("sshauth.p");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let started = Instant::now();
        assert!(refused(&path).contains("not a regular file"));
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn n18_a_file_of_somebody_else_is_not_read() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("sshauth.x");
        fs::write(&path, "password\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        // Root gives it away; anybody else asks as another account would.
        let own = rustix::process::geteuid().as_raw();
        let asking = if std::os::unix::fs::chown(&path, Some(65534), None).is_ok() { own } else { own + 1 };
        assert!(read_checked(&path, asking).unwrap_err().contains("belongs to user"));
    }
}
