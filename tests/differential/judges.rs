//! What we say of an object, and what git, gpg, ssh-keygen and sqv say of the same.

use crate::objects::{Kind, Pgp};
use crate::signers::{Plain, Trust};
use countersign::domain::{ObjectFormat, Timestamp};
use countersign::keyring::Keyring;
use countersign::service::differences::{GitStatus, Gits, Ours};
use countersign::signature::object::{self, Payload, SignatureField, SignatureFormat};
use countersign::signature::{Rules, Scheme, SignatureStatus, Times, Trace, verify};
use pgp::crypto::hash::HashAlgorithm;
use sha2::{Digest, Sha512};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Everybody who judges, with the same keys.
pub struct Judges {
    root: tempfile::TempDir,
    keyring: Keyring,
    now: Timestamp,
    plain: Vec<Plain>,
}

/// What we say.
pub struct Verdict {
    pub status: SignatureStatus,
    pub fault: Option<&'static str>,
    pub scheme: Option<Scheme>,
}

impl Verdict {
    pub fn ours(&self) -> Ours<'_> {
        Ours { status: &self.status, fault: self.fault, scheme: self.scheme }
    }

    /// One word: what is wrong with the object, or the status, or why that is malformed.
    pub fn word(&self) -> &'static str {
        match (&self.fault, &self.status) {
            (Some(fault), _) => fault,
            (None, SignatureStatus::Malformed { code, .. }) => code,
            (None, status) => status.name(),
        }
    }
}

/// What sqv says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sqv {
    /// There is no OpenPGP signature to ask it about.
    NotAsked,
    Good,
    Refused,
}

impl Sqv {
    pub fn name(self) -> &'static str {
        match self {
            Sqv::NotAsked => "-",
            Sqv::Good => "good",
            Sqv::Refused => "refused",
        }
    }
}

impl Judges {
    pub fn new(trust: &Trust, now: i64) -> Self {
        let mut builder = tempfile::Builder::new();
        builder.prefix("cs-diff");
        // In memory, where that can be had: thousands of small files are read again and again.
        let memory = Path::new("/dev/shm");
        let root = builder.tempdir_in(memory).or_else(|_| builder.tempdir()).unwrap();
        let path = |name: &str| root.path().join(name);
        for (directory, mode) in [("gpg", 0o700), ("keyring", 0o755), ("home", 0o755), ("tmp", 0o755)] {
            fs::create_dir(path(directory)).unwrap();
            fs::set_permissions(path(directory), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::write(path("allowed"), &trust.allowed_signers).unwrap();
        fs::write(path("revoked"), &trust.revoked_ssh).unwrap();
        for (name, text) in &trust.keyring {
            let file = path("keyring").join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
        }
        let loaded = Keyring::load(&path("keyring")).unwrap_or_else(|error| panic!("{error}"));
        let judges =
            Judges { root, keyring: loaded.keyring, now: crate::keys::at(now), plain: trust.plain.clone() };
        for certificate in &trust.certificates {
            let mut gpg = judges.command("gpg");
            gpg.args(["--batch", "--quiet", "--no-autostart", "--import"]);
            let (ok, said) = judges.run(gpg, certificate);
            assert!(ok && !said.contains("skipped"), "gpg cannot read a certificate: {said}");
        }
        let mut export = judges.command("gpg");
        let file = judges.path("certificates.asc");
        export
            .args(["--batch", "--quiet", "--no-autostart", "--output"])
            .arg(&file)
            .args(["--armor", "--export"]);
        let (ok, said) = judges.run(export, b"");
        assert!(ok, "{said}");
        // Only now: gpg makes its trust database while it imports.
        let options = "no-auto-check-trustdb\ntrust-model always\nlock-never\nno-greeting\n";
        fs::write(judges.path("gpg/gpg.conf"), options).unwrap();
        let mut init = judges.command("git");
        init.args(["init", "--quiet", "--bare"]).arg(judges.path("objects.git"));
        let (ok, said) = judges.run(init, b"");
        assert!(ok, "{said}");
        judges
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.root.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("GNUPGHOME", self.path("gpg"))
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        command
    }

    /// Whether it ended with 0, and all that it said.
    fn run(&self, mut command: Command, input: &[u8]) -> (bool, String) {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} is needed: {error}"));
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let _ = stdin.write_all(input);
            });
            let output = child.wait_with_output().unwrap();
            let text = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8_lossy(&text).into_owned())
        })
    }

    /// Puts objects of one kind into the repository, as they are; gives their ids.
    pub fn store(&self, kind: Kind, objects: &[&[u8]]) -> Vec<String> {
        let mut names = String::new();
        for (index, raw) in objects.iter().enumerate() {
            let path = self.path("tmp").join(format!("{}{index}", kind.name()));
            fs::write(&path, raw).unwrap();
            names.push_str(path.to_str().unwrap());
            names.push('\n');
        }
        let mut git = self.command("git");
        git.arg("--git-dir").arg(self.path("objects.git"));
        git.args(["hash-object", "-t", kind.name(), "-w", "--literally", "--stdin-paths"]);
        let (ok, said) = self.run(git, names.as_bytes());
        assert!(ok, "{said}");
        let ids: Vec<String> = said.lines().map(str::to_owned).collect();
        assert_eq!(ids.len(), objects.len());
        ids
    }

    /// What git says of an object that it has.
    pub fn git(&self, kind: Kind, id: &str) -> (Gits, String) {
        let mut git = self.command("git");
        git.arg("--git-dir").arg(self.path("objects.git"));
        let allowed = self.path("allowed");
        let revoked = self.path("revoked");
        git.arg("-c").arg(format!("gpg.ssh.allowedSignersFile={}", allowed.display()));
        git.arg("-c").arg(format!("gpg.ssh.revocationFile={}", revoked.display()));
        let (accepts, said) = self.run(
            {
                git.args([if kind == Kind::Commit { "verify-commit" } else { "verify-tag" }, "--raw", id]);
                git
            },
            b"",
        );
        let gnupg = |word: &str| said.lines().any(|line| line.starts_with(&format!("[GNUPG:] {word}")));
        let status = match () {
            () if gnupg("BADSIG") => GitStatus::Bad,
            () if gnupg("EXPSIG") => GitStatus::ExpiredSignature,
            () if gnupg("EXPKEYSIG") => GitStatus::ExpiredKey,
            () if gnupg("REVKEYSIG") => GitStatus::Revoked,
            () if gnupg("NO_PUBKEY") => GitStatus::MissingKey,
            () if gnupg("ERRSIG") => GitStatus::Error,
            () if gnupg("GOODSIG") => GitStatus::Good,
            () if said.contains("Good \"git\" signature for") => GitStatus::Good,
            () if said.contains("Good \"git\" signature with") => GitStatus::Untrusted,
            () if said.contains("incorrect signature") => GitStatus::Bad,
            () if said.contains("no signature found") || said.is_empty() => GitStatus::Unsigned,
            () => GitStatus::Error,
        };
        (Gits { accepts, status, lines: 1 }, said)
    }

    /// What sqv says of the signature that git would take out of the object, over what git would say it
    /// signs.
    pub fn sqv(&self, kind: Kind, raw: &[u8], name: &str) -> (Sqv, String) {
        let (signature, payload) = as_git_splits(kind, raw);
        if !signature.starts_with(b"-----BEGIN PGP") {
            return (Sqv::NotAsked, String::new());
        }
        let file = |suffix: &str| self.path("tmp").join(format!("{name}{suffix}"));
        fs::write(file(".sig"), signature).unwrap();
        fs::write(file(".data"), payload).unwrap();
        let mut sqv = self.command("sqv");
        sqv.arg("--keyring").arg(self.path("certificates.asc")).arg(file(".sig")).arg(file(".data"));
        let (ok, said) = self.run(sqv, b"");
        (if ok { Sqv::Good } else { Sqv::Refused }, said)
    }

    /// Whether a signature repeats other octets than those that the digest begins with: gpg and sqv do not look.
    pub fn has_another_prefix(kind: Kind, raw: &[u8]) -> bool {
        let (signature, payload) = as_git_splits(kind, raw);
        let Some(pgp) = packet_of(&signature) else { return false };
        let hashed = pgp.hashed_part();
        let trailer =
            [&[pgp.head[0], 0xff][..], &u32::try_from(hashed.len()).unwrap().to_be_bytes()].concat();
        let digest = HashAlgorithm::from(pgp.head[3]).digest(&[&payload[..], &hashed, &trailer].concat());
        pgp.head[..2] == [4, 0] && digest.is_ok_and(|digest| digest[..2] != pgp.rest[..2])
    }

    /// Whether OpenSSL says that the numbers of a signature fit, for keys that gpg and sqv cannot read: those
    /// of version 6, and those of version 4 with the algorithms that came with it. What is hashed is put
    /// together here a second time (RFC 9580, section 5.2.4).
    pub fn openssl(&self, kind: Kind, raw: &[u8], name: &str) -> bool {
        let (signature, payload) = as_git_splits(kind, raw);
        let Some(pgp) = packet_of(&signature) else { return false };
        // An issuer's fingerprint, in the hashed area, is the length in one octet or five, a type, a version.
        let named = |plain: &&Plain| {
            let issuers = Pgp::subpackets(&pgp.hashed);
            issuers.iter().any(|one| {
                let kind = one.get(if one[0] == 255 { 5 } else { 1 });
                kind == Some(&33) && one.ends_with(&plain.fingerprint)
            })
        };
        let Some(key) = self.plain.iter().find(named) else { return false };
        let [version, _, algorithm, hash] = pgp.head;
        let (salt, numbers) = match version {
            6 => pgp.rest[3..].split_at(usize::from(pgp.rest[2])),
            _ => (&[][..], &pgp.rest[2..]),
        };
        let hashed = pgp.hashed_part();
        let trailer = [&[version, 0xff][..], &u32::try_from(hashed.len()).unwrap().to_be_bytes()].concat();
        let digest = Sha512::digest([salt, &payload, &hashed, &trailer].concat());
        if hash != 10 || algorithm != key.algorithm || digest[..2] != pgp.rest[..2] {
            return false;
        }
        let file = |suffix: &str| self.path("tmp").join(format!("{name}.{suffix}"));
        fs::write(file("der"), key.der()).unwrap();
        fs::write(file("digest"), digest).unwrap();
        fs::write(file("numbers"), numbers).unwrap();
        let mut openssl = self.command("openssl");
        openssl
            .args(["pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey"])
            .arg(file("der"));
        openssl.arg("-in").arg(file("digest")).arg("-sigfile").arg(file("numbers"));
        self.run(openssl, b"").0
    }

    /// The payload that git would verify.
    pub fn payload(kind: Kind, raw: &[u8]) -> Vec<u8> {
        as_git_splits(kind, raw).1
    }

    /// What we say, with the keyring's word.
    pub fn ours(&self, kind: Kind, raw: &[u8]) -> Verdict {
        let format = ObjectFormat::Sha1;
        let (field, payload, time) = match kind {
            Kind::Commit => match object::parse_commit(format, raw) {
                Ok(commit) => (commit.signature, commit.payload, commit.committer.time),
                Err(error) => return fault(error.code),
            },
            Kind::Tag => match object::parse_tag(format, raw) {
                Ok(tag) => {
                    let time = tag.time();
                    (tag.signature, tag.payload, time)
                }
                Err(error) => return fault(error.code),
            },
        };
        let (status, scheme) = self.status(&field, &payload, time);
        Verdict { status, fault: None, scheme }
    }

    fn status(
        &self,
        field: &SignatureField,
        payload: &Payload<'_>,
        time: i64,
    ) -> (SignatureStatus, Option<Scheme>) {
        match field {
            SignatureField::Absent => (SignatureStatus::Unsigned, None),
            SignatureField::Malformed { code, why } => {
                (SignatureStatus::Malformed { code, why: why.clone() }, None)
            }
            SignatureField::Present(block) => {
                let times = Times::introduced(time, self.now);
                let rules = Rules::default();
                let status = verify(block, payload, &self.keyring, times, &rules, &mut Trace::off());
                let scheme = match block.format {
                    SignatureFormat::OpenPgp => Some(Scheme::OpenPgp),
                    SignatureFormat::Ssh => Some(Scheme::Ssh),
                    SignatureFormat::X509 => None,
                };
                (self.keyring.assess(status, &times, &rules).0, scheme)
            }
        }
    }
}

/// The packet in an armor, if there is one as it is usually written.
fn packet_of(armor: &[u8]) -> Option<Pgp> {
    let text = std::str::from_utf8(armor).ok()?.strip_prefix("-----BEGIN PGP SIGNATURE-----\n")?;
    let lines = text.lines().filter(|line| !line.starts_with(['-', '=']) && !line.contains(": "));
    Pgp::read(&data_encoding::BASE64.decode(lines.collect::<String>().as_bytes()).ok()?)
}

fn fault(code: &'static str) -> Verdict {
    Verdict { status: SignatureStatus::Unsigned, fault: Some(code), scheme: None }
}

/// Signature and payload as git finds them, written here a second time and knowing nothing of the
/// program's own splitter. In a commit every header that begins with `gpgsig` leaves the payload with its
/// continuation lines, and those of the right name make the signature, put together. In a tag the last
/// line that begins like a signature begins it.
fn as_git_splits(kind: Kind, raw: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut signature, mut payload) = (Vec::new(), Vec::new());
    let lines = raw.split_inclusive(|byte| *byte == b'\n');
    match kind {
        Kind::Commit => {
            let (mut body, mut inside, mut taken) = (false, false, false);
            for line in lines {
                body |= line == b"\n";
                if body {
                    payload.extend_from_slice(line);
                    continue;
                }
                let continued = inside && line.starts_with(b" ");
                if !continued {
                    inside = line.starts_with(b"gpgsig");
                    taken = line.starts_with(b"gpgsig ");
                }
                if !inside {
                    payload.extend_from_slice(line);
                } else if taken {
                    let value = if continued { &line[1..] } else { &line[b"gpgsig ".len()..] };
                    signature.extend_from_slice(value);
                }
            }
        }
        Kind::Tag => {
            let markers: [&[u8]; 4] = [
                b"-----BEGIN PGP SIGNATURE-----",
                b"-----BEGIN PGP MESSAGE-----",
                b"-----BEGIN SSH SIGNATURE-----",
                b"-----BEGIN SIGNED MESSAGE-----",
            ];
            let mut at = 0;
            let mut start = raw.len();
            for line in lines {
                if markers.iter().any(|marker| line.starts_with(marker)) {
                    start = at;
                }
                at += line.len();
            }
            signature = raw[start..].to_vec();
            let (mut body, mut inside) = (false, false);
            for line in raw[..start].split_inclusive(|byte| *byte == b'\n') {
                body |= line == b"\n";
                let ours = line.starts_with(b"gpgsig ") || line.starts_with(b"gpgsig-sha256 ");
                inside = !body && (ours || inside && line.starts_with(b" "));
                if !inside {
                    payload.extend_from_slice(line);
                }
            }
        }
    }
    (signature, payload)
}
