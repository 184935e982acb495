//! Conformance cases S: SSH keys and allowed_signers.

#[path = "../support/ssh_craft.rs"]
pub(crate) mod craft;

mod keyring;

use crate::keys::*;
use countersign::domain::{ObjectFormat, Timestamp};
use countersign::signature::ssh::allowed_signers::{self, Fault, Line};
use countersign::signature::ssh::revocation::{RevocationError, Why};
use countersign::signature::ssh::{self, PublicKey, Revocable, RevocationList, Revoked, SshKeyError};
use countersign::signature::ssh::{Weakness, parse_public_key};
use countersign::signature::{
    self, CheckResult, Keys, Rules, SignatureStatus, Times, Trace, VerifiedSignature, object, openpgp,
};
use craft::{Key, dearmored, string, strings};
use jiff::tz::TimeZone;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Keys, authorities and a revocation list, as a keyring holds them.
#[derive(Default)]
pub(crate) struct Ring {
    pub(crate) keys: Vec<Vec<u8>>,
    pub(crate) authorities: Vec<Vec<u8>>,
    pub(crate) revoked: RevocationList,
}

impl Ring {
    pub(crate) fn key(line: &str) -> Self {
        Ring { keys: vec![blob_of(line)], ..Ring::default() }
    }

    pub(crate) fn authority(blob: Vec<u8>) -> Self {
        Ring { authorities: vec![blob], ..Ring::default() }
    }
}

impl Keys for Ring {
    fn has_ssh(&self, blob: &[u8]) -> bool {
        self.keys.iter().any(|known| known == blob)
    }

    fn has_ssh_authority(&self, blob: &[u8]) -> bool {
        self.authorities.iter().any(|known| known == blob)
    }

    fn ssh_revoked(&self, subject: &Revocable<'_>, _: &Times) -> Option<Revoked> {
        self.revoked.revokes(subject).map(|why| Revoked { reason: why.to_string(), hard: false })
    }

    fn openpgp_by_fingerprint(&self, _: &[u8]) -> Vec<&openpgp::Certificate> {
        Vec::new()
    }

    fn openpgp_by_key_id(&self, _: [u8; 8]) -> Vec<&openpgp::Certificate> {
        Vec::new()
    }
}

pub(crate) fn blob_of(line: &str) -> Vec<u8> {
    parse_public_key(line).unwrap().blob().to_vec()
}

/// The verdict on a commit by the signature module alone.
pub(crate) fn judged(
    raw: &[u8],
    ring: &Ring,
    times: Option<Times>,
    rules: &Rules,
) -> (SignatureStatus, Trace) {
    let commit = object::parse_commit(ObjectFormat::Sha1, raw).unwrap();
    let mut trace = Trace::on();
    let status = match &commit.signature {
        object::SignatureField::Absent => SignatureStatus::Unsigned,
        object::SignatureField::Malformed { code, why } => {
            SignatureStatus::Malformed { code, why: why.clone() }
        }
        object::SignatureField::Present(block) => {
            let times = times.unwrap_or_else(|| Times::introduced(commit.committer.time, at(NOW)));
            signature::verify(block, &commit.payload, ring, times, rules, &mut trace)
        }
    };
    // Whatever refuses says so in the reasoning, and nothing else does.
    let failed = trace.checks().iter().any(|check| check.result == CheckResult::Failed);
    let before = matches!(&status, SignatureStatus::Malformed { code, .. } if code.starts_with("sig."));
    let verified = matches!(status, SignatureStatus::Verified(_));
    assert_eq!(failed, !(verified || before), "{status}: {:?}", trace.checks());
    (status, trace)
}

pub(crate) fn status(raw: &[u8], ring: &Ring) -> SignatureStatus {
    judged(raw, ring, None, &Rules::default()).0
}

/// One word: the status, or the code of a malformed signature.
pub(crate) fn word(status: &SignatureStatus) -> &'static str {
    match status {
        SignatureStatus::Malformed { code, .. } => code,
        other => other.name(),
    }
}

#[track_caller]
pub(crate) fn proof(status: SignatureStatus) -> VerifiedSignature {
    match status {
        SignatureStatus::Verified(proof) => proof,
        other => panic!("{other}"),
    }
}

pub(crate) fn payload() -> Vec<u8> {
    commit(NOW, "signed by ssh-keygen\n")
}

/// A commit with this armor.
pub(crate) fn with(armor: &[u8]) -> Vec<u8> {
    signed(&payload(), armor)
}

fn now() -> Times {
    Times::introduced(NOW, at(NOW))
}

/// A repository in which git verifies.
pub(crate) struct Git {
    dir: tempfile::TempDir,
}

impl Git {
    pub(crate) fn new(allowed: &str) -> Self {
        let git = Git { dir: tempfile::tempdir().unwrap() };
        git.run(&["init", "-q"], b"");
        let path = git.write("allowed", allowed.as_bytes());
        git.run(&["config", "gpg.ssh.allowedSignersFile", path.to_str().unwrap()], b"");
        git
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.dir.path()).args(args).env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("HOME", self.dir.path()).env("TZ", "UTC");
        command.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
        command
    }

    pub(crate) fn run(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        run(&mut self.command(args), input)
    }

    /// Whether `git verify-commit` succeeds, and what it says.
    pub(crate) fn verify(&self, raw: &[u8]) -> (bool, String) {
        let id = self.run(&["hash-object", "-t", "commit", "-w", "--stdin", "--literally"], raw);
        let id = String::from_utf8(id).unwrap();
        let output = self.command(&["verify-commit", "--raw", id.trim()]).output().unwrap();
        (output.status.success(), said(&output))
    }
}

fn said(output: &Output) -> String {
    [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat()
}

/// `ssh-keygen -Y verify` for `alice`.
pub(crate) fn keygen_verify(allowed: &str, armor: &[u8], payload: &[u8], namespace: &str) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let (list, signature) = (dir.path().join("allowed"), dir.path().join("signature"));
    std::fs::write(&list, allowed).unwrap();
    std::fs::write(&signature, armor).unwrap();
    let data = dir.path().join("data");
    std::fs::write(&data, payload).unwrap();
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "verify", "-I", "alice", "-n", namespace, "-f"]).arg(list).arg("-s").arg(signature);
    let output = command.stdin(std::fs::File::open(data).unwrap()).output().unwrap();
    (output.status.success(), said(&output))
}

/// A commit by a fresh Ed25519 key, with the key's line and path.
struct Made {
    ssh: Ssh,
    path: PathBuf,
    line: String,
    armor: Vec<u8>,
}

fn made() -> Made {
    let ssh = Ssh::new();
    let path = ssh.generate("key", "ed25519", "256");
    let line = Ssh::public(&path);
    let armor = Ssh::sign(&path, "git", &[], &payload());
    Made { ssh, path, line, armor }
}

impl Made {
    /// The same signature with a changed blob.
    fn changed(&self, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut blob = dearmored(&self.armor);
        change(&mut blob);
        craft::armored(&blob)
    }

    fn status(&self, armor: &[u8]) -> SignatureStatus {
        status(&with(armor), &Ring::key(&self.line))
    }
}

fn lines(text: &str) -> Vec<Line> {
    allowed_signers::parse(text.as_bytes(), None).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

/// Line and fault of the only fault.
#[track_caller]
fn refused(text: &str) -> (usize, Fault) {
    let mut errors = allowed_signers::parse(text.as_bytes(), None).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    let error = errors.remove(0);
    (error.line, error.fault)
}

#[test]
fn s001_s002_s004_keys_of_every_kind() {
    let ssh = Ssh::new();
    for (kind, bits, algorithm) in [
        ("ed25519", "256", "ssh-ed25519 sha512"),
        ("rsa", "2048", "rsa-sha2-512 sha512"),
        ("ecdsa", "256", "ecdsa-sha2-nistp256 sha512"),
        ("ecdsa", "384", "ecdsa-sha2-nistp384 sha512"),
        ("ecdsa", "521", "ecdsa-sha2-nistp521 sha512"),
    ] {
        let path = ssh.generate(&format!("{kind}{bits}"), kind, bits);
        let line = Ssh::public(&path);
        // More than one, because the length of an ECDSA signature varies.
        for message in ["a\n", "b\n", "c\n", "d\n"] {
            let payload = commit(NOW, message);
            let raw = signed(&payload, &Ssh::sign(&path, "git", &[], &payload));
            let (status, trace) = judged(&raw, &Ring::key(&line), None, &Rules::default());
            let proof = proof(status);
            assert_eq!(proof.algorithm(), algorithm);
            assert_eq!(proof.findings(), []);
            let names: Vec<_> = trace.checks().iter().map(|check| check.name).collect();
            assert_eq!(
                names,
                [
                    "armor",
                    "format",
                    "key",
                    "algorithm",
                    "namespace",
                    "hash",
                    "known-key",
                    "arithmetic",
                    "revocation"
                ]
            );
        }
    }
}

#[test]
fn s003_s023_rsa_and_digests_of_256_bits() {
    use ed25519_dalek::Signer;
    use ssh_key::{HashAlg, LineEnding, PrivateKey, SshSig};
    let ssh = Ssh::new();
    let path = ssh.generate("key", "rsa", "2048");
    let key = PrivateKey::from_openssh(std::fs::read_to_string(&path).unwrap()).unwrap();
    let data = SshSig::signed_data("git", HashAlg::Sha256, &payload()).unwrap();
    let signature = (key.key_data().rsa().unwrap(), Some(HashAlg::Sha256)).sign(&data);
    let sig = SshSig::new(key.public_key().key_data().clone(), "git", HashAlg::Sha256, signature).unwrap();
    let armor = sig.to_pem(LineEnding::LF).unwrap();
    let proof = proof(status(&with(armor.as_bytes()), &Ring::key(&Ssh::public(&path))));
    assert_eq!(proof.algorithm(), "rsa-sha2-256 sha256");
    let made = made();
    let short = Ssh::sign(&made.path, "git", &["-O", "hashalg=sha256"], &payload());
    assert_eq!(word(&made.status(&short)), "verified");
}

#[test]
fn s005_a_key_that_is_not_listed() {
    let (made, other) = (made(), self::made());
    assert_eq!(word(&status(&with(&made.armor), &Ring::key(&other.line))), "unknown-key");
    let (good, text) = Git::new(&format!("alice {}", other.line)).verify(&with(&made.armor));
    assert!(!good && text.contains("Good \"git\" signature with"), "{text}");
}

#[test]
fn s006_s007_s008_s009_windows_of_lines() {
    let made = made();
    let line = |window: &str| lines(&format!("alice {window} {}", made.line)).remove(0);
    let git = |window: &str| Git::new(&format!("alice {window} {}", made.line)).verify(&with(&made.armor)).0;
    // The commit is from 2025-06-01.
    for (window, wanted) in [
        ("valid-before=\"20250531Z\"", false),
        ("valid-after=\"20250602Z\"", false),
        ("valid-after=\"20250101Z\",valid-before=\"20251231Z\"", true),
        ("valid-after=\"20240101Z\",valid-before=\"20241231Z\"", false),
    ] {
        assert_eq!(line(window).covers(NOW), wanted, "{window}");
        assert_eq!(git(window), wanted, "{window}");
    }
}

#[test]
fn s010_the_last_second_is_inside() {
    let line = lines(&format!("alice valid-before=\"20250601000000Z\" {}", Key::ed25519(1).line())).remove(0);
    assert_eq!(line.valid_before, Some(NOW));
    assert!(line.covers(NOW) && !line.covers(NOW + 1));
    let made = made();
    for (time, wanted) in [(NOW, true), (NOW + 1, false)] {
        let payload = commit(time, "m\n");
        let raw = signed(&payload, &Ssh::sign(&made.path, "git", &[], &payload));
        let git = Git::new(&format!("alice valid-before=\"20250601000000Z\" {}", made.line));
        assert_eq!(git.verify(&raw).0, wanted);
    }
}

#[test]
fn s012_a_time_needs_a_zone() {
    let text = format!("alice valid-before=\"20250601\" {}\n", Key::ed25519(1).line());
    assert_eq!(refused(&text), (1, Fault::LocalTime("valid-before")));
    let zone = TimeZone::fixed(jiff::tz::offset(-5));
    let line = allowed_signers::parse(text.as_bytes(), Some(&zone)).unwrap().remove(0);
    assert_eq!(line.valid_before, Some(NOW + 5 * 3600));
}

#[test]
fn s013_s014_lines_that_mean_nothing() {
    let made = made();
    let good = format!("alice {}", made.line);
    for (line, wanted) in [
        (format!("alice valid-after=\"20250601Z\",valid-before=\"20250101Z\" {}", made.line), Fault::Window),
        (format!("alice octopus {}", made.line), Fault::UnknownOption("octopus".into())),
    ] {
        assert_eq!(refused(&format!("{good}{line}")), (2, wanted));
        // ssh-keygen skips the line and goes on.
        assert!(!keygen_verify(&line, &made.armor, &payload(), "git").0);
        assert!(keygen_verify(&format!("{line}{good}"), &made.armor, &payload(), "git").0);
    }
}

#[test]
fn s015_broken_base64_on_the_third_of_five_lines() {
    let made = made();
    let good = format!("alice {}", made.line);
    let broken = "bob ssh-ed25519 AAAAC3NzaC1lZDI1NTE5!AAAIOJaXzR\n";
    let text = format!("{good}{good}{broken}{good}{good}");
    assert_eq!(refused(&text), (3, Fault::Key(SshKeyError::Base64)));
    let error = allowed_signers::parse(text.as_bytes(), None).unwrap_err().remove(0);
    assert_eq!(error.to_string(), "line 3, column 17: the key is not valid base64");
    assert!(Git::new(&text).verify(&with(&made.armor)).0);
}

#[test]
fn s016_s017_s020_namespaces_of_lines() {
    let made = made();
    let file = format!("alice namespaces=\"file\" {}", made.line);
    let git = format!("alice namespaces=\"git\" {}", made.line);
    let excluded = format!("alice namespaces=\"!git,*\" {}", made.line);
    let counts = |text: &str| lines(text).iter().any(|line| line.signs_in(ssh::NAMESPACE));
    assert!(!counts(&file) && !counts(&excluded));
    assert!(counts(&git) && counts(&format!("{file}{git}")), "the union");
    assert!(!keygen_verify(&file, &made.armor, &payload(), "git").0);
    assert!(!keygen_verify(&excluded, &made.armor, &payload(), "git").0);
    // Git looks no further than at the first line's principals.
    let both = format!("{}{git}", file.replacen("alice", "bob", 1));
    assert!(counts(&both));
    assert!(!Git::new(&both).verify(&with(&made.armor)).0);
}

#[test]
fn s018_the_same_key_on_two_lines_with_disjoint_windows() {
    let made = made();
    let text = format!(
        "alice valid-before=\"20240101Z\" {}alice valid-after=\"20250101Z\" {}",
        made.line, made.line
    );
    let covered = |time: i64| lines(&text).iter().any(|line| line.covers(time));
    assert!(covered(NOW) && covered(1_600_000_000) && !covered(1_720_000_000));
    assert!(Git::new(&text).verify(&with(&made.armor)).0);
}

#[test]
fn s019_a_signature_for_another_namespace() {
    let made = made();
    let file = Ssh::sign(&made.path, "file", &[], &payload());
    assert_eq!(word(&made.status(&file)), "wrong-purpose");
    assert!(!Git::new(&format!("alice {}", made.line)).verify(&with(&file)).0);
}

#[test]
fn s021_a_plain_key_is_somebodys() {
    let made = made();
    let text = |principals: &str| format!("{principals} {}", made.line);
    assert_eq!(refused(&text("*")), (1, Fault::WildcardPrincipal("*".into())));
    assert_eq!(
        allowed_signers::parse(text("!bob@x,*@x").as_bytes(), None).unwrap_err().len(),
        2,
        "one fault for each"
    );
    let (good, said) = Git::new(&text("!bob@x,*@x")).verify(&with(&made.armor));
    assert!(good && said.contains("for !bob@x with"), "{said}");
}

#[test]
fn s022_s024_hashes_in_the_blob() {
    let made = made();
    let hash = |name: &[u8]| {
        made.changed(|blob| {
            let at = blob.windows(10).position(|window| window == b"\0\0\0\x06sha512").unwrap();
            blob.splice(at..at + 10, string(name));
        })
    };
    assert_eq!(word(&made.status(&hash(b"sha1"))), "weak-algorithm");
    assert_eq!(word(&made.status(&hash(b"sha384"))), "unsupported");
    assert_eq!(word(&made.status(&hash(b"sha256"))), "bad", "signed with the other");
}

#[test]
fn s025_s026_the_algorithm_is_one_of_the_keys() {
    let ssh = Ssh::new();
    let path = ssh.generate("key", "rsa", "2048");
    let armor = Ssh::sign(&path, "git", &[], &payload());
    let named = |name: &[u8]| {
        let blob = dearmored(&armor);
        let at = blob.windows(12).rposition(|window| window == b"rsa-sha2-512").unwrap();
        let inner = [&string(name), &blob[at + 12..]].concat();
        let key = blob_of(&Ssh::public(&path));
        status(&with(&craft::armored(&craft::sshsig_blob(&key, &inner))), &Ring::key(&Ssh::public(&path)))
    };
    assert_eq!(word(&named(b"rsa-sha2-512")), "verified");
    assert_eq!(word(&named(b"rsa-sha2-256")), "bad");
    assert_eq!(word(&named(b"ssh-rsa")), "weak-algorithm");
    assert_eq!(word(&named(b"ssh-ed25519")), "ssh.algorithm");
}

#[test]
fn s027_s028_s029_sizes_of_rsa_keys() {
    let ssh = Ssh::new();
    let path = ssh.generate("small", "rsa", "1024");
    let armor = Ssh::sign(&path, "git", &[], &payload());
    assert_eq!(word(&status(&with(&armor), &Ring::key(&Ssh::public(&path)))), "weak-algorithm");
    // Making a key of this size takes a minute, so this one was made before.
    let line = include_str!("../vectors/ssh/rsa8192.pub");
    let armor = include_bytes!("../vectors/ssh/rsa8192.sig");
    assert_eq!(parse_public_key(line).unwrap().bits(), 8192);
    assert_eq!(proof(status(&with(armor), &Ring::key(line))).algorithm(), "rsa-sha2-512 sha512");
    // A limit of the crate that does the arithmetic, told when the key is listed.
    let modulus = [&[0, 0xc1][..], &[0xc1; 2047]].concat();
    let blob = strings(&[b"ssh-rsa", &[1, 0, 1], &modulus]);
    let error = PublicKey::from_blob(&blob).unwrap_err();
    assert_eq!(error, SshKeyError::Unsupported("ssh-rsa with 16384 bits".into()));
    let armor = craft::armored(&craft::sshsig_blob(&blob, &strings(&[b"rsa-sha2-512", &[1; 2048]])));
    assert_eq!(word(&status(&with(&armor), &Ring::default())), "unsupported");
}

#[test]
fn s030_s031_s032_s033_the_blobs_own_fields() {
    let made = made();
    let git = Git::new(&format!("alice {}", made.line));
    let reserved = 6 + 4 + 4 + 51 + 4 + 3;
    for (armor, wanted, gits) in [
        (made.changed(|blob| blob[9] = 0), "ssh.version", true),
        (made.changed(|blob| blob[9] = 2), "ssh.version", false),
        (
            made.changed(|blob| {
                blob.splice(reserved..reserved + 4, string(b"x"));
            }),
            "ssh.reserved",
            true,
        ),
        (made.changed(|blob| blob.push(0)), "ssh.blob", false),
        (made.changed(|_| ()), "verified", true),
    ] {
        assert_eq!(word(&made.status(&armor)), wanted);
        assert_eq!(git.verify(&with(&armor)).0, gits, "{wanted}");
    }
}

#[test]
fn s034_s035_s036_who_and_what() {
    let (made, other) = (made(), self::made());
    assert_eq!(word(&status(&signed(&commit(NOW, "other\n"), &made.armor), &Ring::key(&made.line))), "bad");
    assert_eq!(word(&other.status(&made.armor)), "unknown-key");
    // The other key stands in the blob.
    let armor = made.changed(|blob| {
        blob[14..14 + 51].copy_from_slice(&blob_of(&other.line));
    });
    assert_eq!(word(&other.status(&armor)), "bad");
    assert_eq!(word(&made.status(&armor)), "unknown-key");
}

/// `ssh-keygen -k`: a list of what `source` says.
pub(crate) fn krl(dir: &Path, source: &str, authority: Option<&Path>) -> Vec<u8> {
    let (list, from) = (dir.join("list.krl"), dir.join("list.source"));
    std::fs::write(&from, source).unwrap();
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-k", "-f"]).arg(&list);
    if let Some(path) = authority {
        command.arg("-s").arg(path);
    }
    run(command.arg(&from), b"");
    std::fs::read(list).unwrap()
}

#[test]
fn s037_s038_a_flat_list() {
    let (made, other) = (made(), self::made());
    let text = format!("# stolen\n{}", made.line);
    let ring =
        |line: &str| Ring { revoked: RevocationList::parse(text.as_bytes()).unwrap(), ..Ring::key(line) };
    let status = self::status(&with(&made.armor), &ring(&made.line));
    assert_eq!(
        status.to_string().split_once(", ").unwrap().1,
        "which is revoked (the key is in a revocation list)"
    );
    assert_eq!(word(&self::status(&with(&other.armor), &ring(&other.line))), "verified");
    let git = Git::new(&format!("alice {}", made.line));
    let path = git.write("revoked", text.as_bytes());
    git.run(&["config", "gpg.ssh.revocationFile", path.to_str().unwrap()], b"");
    assert!(!git.verify(&with(&made.armor)).0);
}

#[test]
fn s040_s041_garbage_and_nothing() {
    let made = made();
    let git = Git::new(&format!("alice {}", made.line));
    let gits = |content: &[u8]| {
        let path = git.write("revoked", content);
        git.run(&["config", "gpg.ssh.revocationFile", path.to_str().unwrap()], b"");
        git.verify(&with(&made.armor)).0
    };
    assert!(matches!(RevocationList::parse(b"garbage\n").unwrap_err(), RevocationError::Fault { .. }));
    assert!(!gits(b"garbage\n"));
    assert_eq!(RevocationList::parse(b"").unwrap_err(), RevocationError::Empty);
    assert!(gits(b""), "git takes an empty file for a list of nothing");
    // Whoever wants that says so, and gets the list that revokes nothing.
    let ring = Ring { revoked: RevocationList::empty(), ..Ring::key(&made.line) };
    assert_eq!(word(&status(&with(&made.armor), &ring)), "verified");
}

#[test]
fn s042_every_kind_of_entry() {
    let made = made();
    let dir = tempfile::tempdir().unwrap();
    let authority = made.ssh.generate("authority", "ed25519", "256");
    let fingerprint = parse_public_key(&made.line).unwrap().fingerprint();
    let key = blob_of(&made.line);
    let ca = blob_of(&Ssh::public(&authority));
    for (source, wanted) in [
        (format!("key: {}", made.line), Why::Key),
        (format!("sha1: {}", made.line), Why::Fingerprint),
        (format!("sha256: {}", made.line), Why::Fingerprint),
        (format!("hash: {fingerprint}\n"), Why::Fingerprint),
    ] {
        let list = RevocationList::parse(&krl(dir.path(), &source, None)).unwrap();
        assert_eq!(list.revokes_key(&key), Some(wanted), "{source}");
        assert_eq!(list.revokes_key(&ca), None);
        let ring = Ring { revoked: list, ..Ring::key(&made.line) };
        assert_eq!(word(&status(&with(&made.armor), &ring)), "revoked", "{source}");
    }
    // Serial numbers in every form that ssh-keygen chooses, of one authority and of any.
    let dense: String = (1000..1200).step_by(2).map(|serial| format!("serial: {serial}\n")).collect();
    let source = format!("serial: 5\nserial: 10-20\nserial: 1000000000000\n{dense}id: alice's laptop\n");
    for of in [Some(authority.as_path()), None] {
        let list = match of {
            Some(path) => krl(dir.path(), &source, Some(path)),
            None => {
                // `-s none` is any authority.
                let (list, from) = (dir.path().join("any.krl"), dir.path().join("any.source"));
                std::fs::write(&from, &source).unwrap();
                run(
                    Command::new("ssh-keygen").args(["-q", "-k", "-s", "none", "-f"]).arg(&list).arg(&from),
                    b"",
                );
                std::fs::read(list).unwrap()
            }
        };
        let list = RevocationList::parse(&list).unwrap();
        for (serial, wanted) in [
            (5, true),
            (6, false),
            (9, false),
            (10, true),
            (20, true),
            (21, false),
            (1_000_000_000_000, true),
            (1000, true),
            (1001, false),
            (1198, true),
            (1199, false),
            (1200, false),
        ] {
            let found = list.revokes_certificate(&ca, serial, b"another", &key);
            assert_eq!(found, wanted.then_some(Why::Serial), "{serial} of {of:?}");
            let others = list.revokes_certificate(&key, serial, b"another", &ca);
            assert_eq!(others.is_some(), wanted && of.is_none(), "{serial} of another authority");
        }
        assert_eq!(list.revokes_certificate(&ca, 1, b"alice's laptop", &key), Some(Why::KeyId));
    }
    let list = krl(dir.path(), &format!("key: {}", Ssh::public(&authority)), None);
    let list = RevocationList::parse(&list).unwrap();
    assert_eq!(list.revokes_certificate(&ca, 1, b"x", &key), Some(Why::Authority));
}

/// Whatever form `ssh-keygen` finds shortest for serial numbers, lists, ranges or bitmaps: what went in is what
/// comes out, and nothing else.
#[test]
fn s042_serial_numbers_come_out_as_they_went_in() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, key) = (Key::ed25519(9), Key::ed25519(1));
    let authority = dir.path().join("ca.pub");
    std::fs::write(&authority, ca.line() + "\n").unwrap();
    let mut state: u64 = 42;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..12 {
        let base = 1 + random(5) * (u64::MAX / 5 - 2_000);
        let mut listed = std::collections::BTreeSet::new();
        let mut source = String::new();
        for _ in 0..=random(120) {
            let from = base + random(600);
            let to = from + if random(4) == 0 { random(40) } else { 0 };
            listed.extend(from..=to);
            let last = if to > from { format!("-{to}") } else { String::new() };
            source += &format!("serial: {from}{last}\n");
        }
        let list = RevocationList::parse(&krl(dir.path(), &source, Some(&authority))).unwrap();
        for serial in base.saturating_sub(70)..base + 720 {
            let found = list.revokes_certificate(&ca.blob(), serial, b"x", &key.blob());
            assert_eq!(found.is_some(), listed.contains(&serial), "{serial} of {source}");
        }
        for far in [0, base / 2, u64::MAX] {
            assert_eq!(
                list.revokes_certificate(&ca.blob(), far, b"x", &key.blob()).is_some(),
                listed.contains(&far)
            );
        }
    }
}

#[test]
fn s043_s044_lists_that_are_not_whole_or_not_understood() {
    let made = made();
    let dir = tempfile::tempdir().unwrap();
    let whole = krl(dir.path(), &format!("key: {}", made.line), None);
    let empty = krl(dir.path(), "", None).len();
    let git = Git::new(&format!("alice {}", made.line));
    for end in 1..whole.len() {
        // Cut off where a section would begin, it is a list of nothing; nothing in the format tells.
        if end != empty {
            assert!(RevocationList::parse(&whole[..end]).is_err(), "{end}");
        }
    }
    let path = git.write("revoked", &whole[..whole.len() - 1]);
    git.run(&["config", "gpg.ssh.revocationFile", path.to_str().unwrap()], b"");
    assert!(!git.verify(&with(&made.armor)).0);
    let extension = [strings(&[b"future"]), vec![1], strings(&[b""])].concat();
    let unknown = [&whole[..], &[255], &string(&extension)].concat();
    let error = RevocationList::parse(&unknown).unwrap_err().to_string();
    assert_eq!(error, format!("byte {}: the critical extension `future` is not known", whole.len() + 5));
}

#[test]
fn s045_a_commit_from_the_second_0() {
    let made = made();
    let payload = commit(0, "m\n");
    let raw = signed(&payload, &Ssh::sign(&made.path, "git", &[], &payload));
    assert_eq!(word(&status(&raw, &Ring::key(&made.line))), "time.zero");
    // Git takes no time for one, and judges at its own now.
    let expired = "valid-after=\"20200101Z\"";
    assert!(Git::new(&format!("alice {expired} {}", made.line)).verify(&raw).0);
}

#[test]
fn s046_dsa() {
    let numbers = [&[0, 0xc1][..], &[0xc1; 127]].concat();
    let blob = strings(&[b"ssh-dss", &numbers, &[1; 20], &[2; 20], &[3; 20]]);
    assert_eq!(PublicKey::from_blob(&blob).unwrap().weakness(), Some(Weakness::Dsa));
    let armor = craft::armored(&craft::sshsig_blob(&blob, &strings(&[b"ssh-dss", &[1; 40]])));
    let ring = Ring { keys: vec![blob], ..Ring::default() };
    assert_eq!(word(&status(&with(&armor), &ring)), "weak-algorithm");
}

#[test]
fn s047_s048_kinds_that_are_known_by_name_only() {
    let made = made();
    let named = |key: &[u8], algorithm: &[u8]| {
        let inner = [&strings(&[algorithm, &[0; 64]])[..], &[1, 0, 0, 0, 1], b"more"].concat();
        status(&with(&craft::armored(&craft::sshsig_blob(key, &inner))), &Ring::key(&made.line))
    };
    let mldsa = named(&strings(&[b"mldsa44-ed25519@openssh.com", &[0; 32]]), b"mldsa44-ed25519@openssh.com");
    assert_eq!(
        mldsa.to_string(),
        "a signature of an unsupported kind: SSH signature of type mldsa44-ed25519@openssh.com"
    );
    let web = b"webauthn-sk-ecdsa-sha2-nistp256@openssh.com";
    let status = named(&Key::p256(1).fido("ssh:").blob(), web);
    assert_eq!(word(&status), "unsupported");
    assert!(status.to_string().contains("webauthn-sk-ecdsa-sha2-nistp256@openssh.com"));
    assert_eq!(word(&named(&blob_of(&made.line), web)), "unsupported");
}

/// What OpenSSH tests itself with is signed in the namespace `unittest`: right, and not for git.
#[test]
fn s049_right_in_another_namespace() {
    let ssh = Ssh::new();
    for (kind, bits) in [("ed25519", "256"), ("ecdsa", "256"), ("rsa", "2048")] {
        let path = ssh.generate(kind, kind, bits);
        let armor = Ssh::sign(&path, "unittest", &[], &payload());
        let line = Ssh::public(&path);
        assert!(keygen_verify(&format!("alice {line}"), &armor, &payload(), "unittest").0);
        let status = status(&with(&armor), &Ring::key(&line));
        assert_eq!(word(&status), "wrong-purpose");
        assert!(status.to_string().contains("`unittest`"), "{status}");
    }
}

#[test]
fn s050_a_key_is_no_file_and_a_file_no_key() {
    let line = Key::ed25519(1).line();
    assert!(allowed_signers::parse(line.as_bytes(), None).is_err(), "a bare key as a list");
    assert_eq!(parse_public_key(&format!("alice {line}")), Err(SshKeyError::Line), "a list as a key");
    assert_eq!(
        parse_public_key("/home/alice/.ssh/id_ed25519.pub"),
        Err(SshKeyError::Line),
        "a path as a key"
    );
    assert!(RevocationList::parse(format!("alice {line}\n").as_bytes()).is_err());
}

/// S2: whoever re-wraps an armor makes another commit with the same signature.
#[test]
fn an_armor_of_another_width_is_found() {
    let made = made();
    for (width, usual) in [(70, true), (76, true), (64, true), (71, false), (20, false), (400, false)] {
        let armor = craft::armored_at(&dearmored(&made.armor), width);
        let (status, trace) = judged(&with(&armor), &Ring::key(&made.line), None, &Rules::default());
        assert_eq!(word(&status), "verified");
        let noted =
            trace.checks().iter().any(|check| check.name == "armor" && check.result == CheckResult::Noted);
        assert_eq!(noted, !usual, "{width}");
        let raw = with(&armor);
        let commit = object::parse_commit(ObjectFormat::Sha1, &raw).unwrap();
        let codes: Vec<_> = commit.findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, vec!["sig.wrapping"; usize::from(width != 70)], "{width}");
    }
    let text = String::from_utf8(made.armor.clone()).unwrap();
    let blanks = text.replacen("\nU1NI", "\nU1 NI", 1);
    assert_eq!(word(&made.status(blanks.as_bytes())), "sig.armor");
    assert!(Git::new(&format!("alice {}", made.line)).verify(&with(blanks.as_bytes())).0);
}

/// A keyring is asked at the times of the verification.
#[test]
fn revocations_are_asked_for_at_the_times_judged() {
    struct Asked(Ring, std::cell::RefCell<Vec<Times>>);
    impl Keys for Asked {
        fn has_ssh(&self, blob: &[u8]) -> bool {
            self.0.has_ssh(blob)
        }
        fn ssh_revoked(&self, _: &Revocable<'_>, times: &Times) -> Option<Revoked> {
            self.1.borrow_mut().push(*times);
            Some(Revoked { reason: "compromised".into(), hard: true })
        }
        fn openpgp_by_fingerprint(&self, _: &[u8]) -> Vec<&openpgp::Certificate> {
            Vec::new()
        }
        fn openpgp_by_key_id(&self, _: [u8; 8]) -> Vec<&openpgp::Certificate> {
            Vec::new()
        }
    }
    let made = made();
    let asked = Asked(Ring::key(&made.line), std::cell::RefCell::default());
    let raw = with(&made.armor);
    let commit = object::parse_commit(ObjectFormat::Sha1, &raw).unwrap();
    let object::SignatureField::Present(block) = &commit.signature else { panic!("signed") };
    let status =
        signature::verify(block, &commit.payload, &asked, now(), &Rules::default(), &mut Trace::off());
    assert!(matches!(status, SignatureStatus::Revoked { hard: true, .. }));
    assert_eq!(*asked.1.borrow(), [now()]);
    let _: Timestamp = now().now;
}
