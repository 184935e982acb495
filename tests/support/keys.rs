//! Real keys by the real tools, in directories that go away. Every user id says that it is a test key.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part")]

use countersign::domain::Timestamp;
use countersign::signature::openpgp::Certificate;
use countersign::signature::ssh::parse_public_key;
use countersign::signature::{Keys, SignatureStatus, object};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The time at which tests judge: 2025-06-01.
pub const NOW: i64 = 1_748_736_000;
pub const DAY: i64 = 86_400;
/// When keys are made unless a test says otherwise.
pub const BORN: i64 = NOW - 100 * DAY;

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

#[derive(Default)]
pub struct KeyBox {
    pub ssh: Vec<Vec<u8>>,
    pub openpgp: Vec<Certificate>,
}

impl KeyBox {
    pub fn openpgp(file: &[u8]) -> Self {
        Self { openpgp: Certificate::parse_all(file).unwrap(), ..Self::default() }
    }

    pub fn ssh(line: &str) -> Self {
        Self { ssh: vec![parse_public_key(line).unwrap().blob().to_vec()], ..Self::default() }
    }
}

impl Keys for KeyBox {
    fn has_ssh(&self, blob: &[u8]) -> bool {
        self.ssh.iter().any(|known| known == blob)
    }

    fn openpgp_by_fingerprint(&self, fingerprint: &[u8]) -> Vec<&Certificate> {
        let has = |one: &&Certificate| one.component_fingerprints().iter().any(|known| known == fingerprint);
        self.openpgp.iter().filter(has).collect()
    }

    fn openpgp_by_key_id(&self, key_id: [u8; 8]) -> Vec<&Certificate> {
        self.openpgp.iter().filter(|one| one.key_ids().contains(&key_id)).collect()
    }
}

/// Runs a program to its end with `input`; anything but success is the test's failure, with what the
/// program said.
pub fn run(command: &mut Command, input: &[u8]) -> Vec<u8> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} is needed: {error}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {said}");
    output.stdout
}

/// A GnuPG home of its own.
pub struct Gpg {
    home: tempfile::TempDir,
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let mut kill = Command::new("gpgconf");
        let _ = kill.arg("--homedir").arg(self.home.path()).args(["--kill", "all"]).output();
    }
}

impl Gpg {
    pub fn new() -> Self {
        // Short, because the agent's socket lives below it.
        Self { home: tempfile::Builder::new().prefix("cs-gpg").tempdir().unwrap() }
    }

    /// GnuPG as if it were `time`.
    pub fn run(&self, time: i64, args: &[&str], input: &[u8]) -> Vec<u8> {
        let clock = at(time).strftime("%Y%m%dT%H%M%S!").to_string();
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(self.home.path()).args(["--batch", "--no-tty", "--yes", "--quiet"]);
        command.args(["--pinentry-mode", "loopback", "--passphrase", "", "--faked-system-time", &clock]);
        run(command.args(args), input)
    }

    /// A dialogue: `answers` are what a person would type.
    pub fn converse(&self, time: i64, args: &[&str], answers: &str) -> Vec<u8> {
        let clock = at(time).strftime("%Y%m%dT%H%M%S!").to_string();
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(self.home.path()).args(["--no-tty", "--quiet", "--command-fd", "0"]);
        command.args(["--pinentry-mode", "loopback", "--passphrase", "", "--faked-system-time", &clock]);
        run(command.args(args), answers.as_bytes())
    }

    /// Makes a primary key and gives its fingerprint.
    pub fn generate(&self, time: i64, algorithm: &str, usage: &str, expire: &str) -> String {
        let id = format!("Test Key {algorithm} {usage} (not a real one) <test@example.org>");
        let said =
            self.run(time, &["--status-fd", "1", "--quick-gen-key", &id, algorithm, usage, expire], b"");
        // Its own word: the order in which keys are listed is another one in some versions.
        let said = String::from_utf8(said).unwrap();
        let line = said.lines().find_map(|line| line.strip_prefix("[GNUPG:] KEY_CREATED P "));
        line.expect("GnuPG tells which key it made").trim().to_owned()
    }

    /// Fingerprints of all keys and subkeys, in the key ring's order.
    pub fn fingerprints(&self) -> Vec<String> {
        let listing = self.run(NOW, &["--with-colons", "--with-subkey-fingerprint", "--list-keys"], b"");
        let text = String::from_utf8(listing).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("fpr:"));
        lines.map(|line| line.trim_matches(':').to_owned()).collect()
    }

    pub fn export(&self, key: &str) -> Vec<u8> {
        self.run(NOW, &["--armor", "--export", key], b"")
    }

    /// A detached signature; `key!` means exactly this key.
    pub fn sign(&self, time: i64, key: &str, more: &[&str], payload: &[u8]) -> Vec<u8> {
        let mut args = vec!["--armor", "--detach-sign", "--local-user", key];
        args.extend(more);
        self.run(time, &args, payload)
    }

    /// The revocation certificate that GnuPG made together with the key, in usable form.
    pub fn prepared_revocation(&self, fingerprint: &str) -> Vec<u8> {
        let path = self.home.path().join("openpgp-revocs.d").join(format!("{fingerprint}.rev"));
        let text = std::fs::read_to_string(path).unwrap();
        let block = text.split_once("\n:-----BEGIN").unwrap().1;
        format!("-----BEGIN{block}").into_bytes()
    }

    /// A revocation certificate with a reason code of GnuPG's menu: 1 compromised, 2 superseded, 3 retired.
    pub fn revocation(&self, time: i64, fingerprint: &str, menu: u8) -> Vec<u8> {
        let answers = format!("y\n{menu}\n\ny\n");
        self.converse(time, &["--armor", "--gen-revoke", fingerprint], &answers)
    }

    /// `gpg --list-packets` of some bytes.
    pub fn packets(&self, bytes: &[u8]) -> String {
        String::from_utf8_lossy(&self.run(NOW, &["--list-packets"], bytes)).into_owned()
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }
}

/// A directory with OpenSSH keys.
pub struct Ssh {
    dir: tempfile::TempDir,
}

impl Ssh {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// Makes a key and gives its path; the public part has `.pub` behind it.
    pub fn generate(&self, name: &str, kind: &str, bits: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-N", "", "-C", "test key, not a real one", "-t", kind, "-b", bits, "-f"]);
        run(command.arg(&path), b"");
        path
    }

    pub fn public(path: &Path) -> String {
        std::fs::read_to_string(path.with_extension("pub")).unwrap()
    }

    pub fn sign(path: &Path, namespace: &str, more: &[&str], payload: &[u8]) -> Vec<u8> {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(path).args(more);
        run(&mut command, payload)
    }
}

/// An unsigned commit that claims `time`.
pub fn commit(time: i64, message: &str) -> Vec<u8> {
    let who = format!("Test Key <test@example.org> {time} +0000");
    let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    format!("tree {tree}\nauthor {who}\ncommitter {who}\n\n{message}").into_bytes()
}

/// The same with a signature header, as git writes it.
pub fn signed(payload: &[u8], armor: &[u8]) -> Vec<u8> {
    let split = payload.windows(2).position(|pair| pair == b"\n\n").unwrap() + 1;
    let folded = String::from_utf8(armor.to_vec()).unwrap().trim_end().replace('\n', "\n ");
    [&payload[..split], format!("gpgsig {folded}\n").as_bytes(), &payload[split..]].concat()
}

/// What a commit's signature is worth at `now`.
pub fn verify_at(raw: &[u8], keys: &KeyBox, now: i64) -> SignatureStatus {
    use countersign::domain::ObjectFormat;
    let commit = object::parse_commit(ObjectFormat::Sha1, raw).unwrap();
    match &commit.signature {
        object::SignatureField::Absent => SignatureStatus::Unsigned,
        object::SignatureField::Malformed { code, why } => {
            SignatureStatus::Malformed { code, why: why.clone() }
        }
        object::SignatureField::Present(block) => {
            countersign::signature::verify_now(block, &commit.payload, keys, at(now), commit.committer.time)
        }
    }
}

pub fn verify(raw: &[u8], keys: &KeyBox) -> SignatureStatus {
    verify_at(raw, keys, NOW)
}
