//! Conformance cases K: OpenPGP keys and signatures.

mod keys;
mod revocations;
mod rules;
mod signatures;

use crate::crafted::*;
use crate::keys::{BORN, DAY, Gpg, KeyBox, NOW, at, commit, signed};
use countersign::domain::ObjectFormat;
use countersign::signature::openpgp::{Certificate, CertificateError};
use countersign::signature::{self, Keys, Rules, SignatureStatus, Times, Trace, VerifiedSignature, object};
use std::process::Command;

/// Any commit of [`NOW`].
fn payload() -> Vec<u8> {
    commit(NOW, "a commit of the test\n")
}

/// What a commit's signature is worth at these times and by these rules.
fn judge(raw: &[u8], keys: &dyn Keys, times: Times, rules: &Rules) -> SignatureStatus {
    let commit = object::parse_commit(ObjectFormat::Sha1, raw).unwrap();
    match &commit.signature {
        object::SignatureField::Absent => SignatureStatus::Unsigned,
        object::SignatureField::Malformed { code, why } => {
            SignatureStatus::Malformed { code, why: why.clone() }
        }
        object::SignatureField::Present(block) => {
            signature::verify(block, &commit.payload, keys, times, rules, &mut Trace::off())
        }
    }
}

/// A commit of [`NOW`] with this armor, as it comes in at `received`.
fn pushed(armor: &[u8], keys: &dyn Keys, received: i64) -> SignatureStatus {
    judge(&signed(&payload(), armor), keys, Times::introduced(NOW, at(received)), &Rules::default())
}

/// The same, received at [`NOW`].
fn push(armor: &[u8], keys: &dyn Keys) -> SignatureStatus {
    pushed(armor, keys, NOW)
}

/// The same, received at `received` and judged again at `now`.
fn again(armor: &[u8], keys: &dyn Keys, received: i64, now: i64) -> SignatureStatus {
    let times = Times { object: NOW, received: Some(at(received)), now: at(now) };
    judge(&signed(&payload(), armor), keys, times, &Rules::default())
}

/// The same, in history that the gate has no record of, judged at `now`.
fn history(armor: &[u8], keys: &dyn Keys, now: i64) -> SignatureStatus {
    let times = Times { object: NOW, received: None, now: at(now) };
    judge(&signed(&payload(), armor), keys, times, &Rules::default())
}

/// A data signature of [`NOW`].
fn data() -> CraftedSignature {
    CraftedSignature::new(0, NOW)
}

fn key(seed: u8) -> CraftedKey {
    CraftedKey::new(seed, BORN)
}

fn keyring(packets: &[u8]) -> KeyBox {
    KeyBox::openpgp(packets)
}

fn load_error(file: &[u8]) -> CertificateError {
    Certificate::parse_all(file).unwrap_err()
}

/// The word for a signature of [`NOW`] by `signer` that is pushed then, where the keyring holds this file.
fn worth(certificate: &[u8], signer: &CraftedKey) -> &'static str {
    word(&push(&data().over(signer, &payload()), &keyring(certificate)))
}

/// One word: the status, or the code of a malformed signature.
fn word(status: &SignatureStatus) -> &'static str {
    match status {
        SignatureStatus::Malformed { code, .. } => code,
        other => other.name(),
    }
}

#[track_caller]
fn verified(status: &SignatureStatus) -> &VerifiedSignature {
    let SignatureStatus::Verified(proof) = status else { panic!("{status}") };
    proof
}

/// The codes of what is odd about a good signature.
#[track_caller]
fn findings(status: &SignatureStatus) -> Vec<&'static str> {
    verified(status).findings().iter().map(|finding| finding.code).collect()
}

/// Signed by GnuPG at [`NOW`].
fn by_gpg(gpg: &Gpg, key: &str, more: &[&str]) -> Vec<u8> {
    gpg.sign(NOW, key, more, &payload())
}

/// What git makes of a commit, with GnuPG's home and as if it were `time`: `%G?`, and whether
/// `git verify-commit` is content.
fn git_says(gpg: &Gpg, time: i64, armor: &[u8]) -> (String, bool) {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("gpg-then");
    let clock = at(time).strftime("%Y%m%dT%H%M%S!").to_string();
    std::fs::write(&program, format!("#!/bin/sh\nexec gpg --faked-system-time '{clock}' \"$@\"\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(dir.path()).arg("-c").arg(format!("gpg.program={}", program.display()));
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.env("HOME", dir.path()).env("GNUPGHOME", gpg.home()).env_remove("GIT_DIR");
        command.args(args);
        command
    };
    crate::keys::run(&mut git(&["init", "-q"]), b"");
    let raw = signed(&payload(), armor);
    let write = ["hash-object", "-t", "commit", "-w", "--stdin", "--literally"];
    let id = String::from_utf8(crate::keys::run(&mut git(&write), &raw)).unwrap();
    let id = id.trim();
    let shown = crate::keys::run(&mut git(&["log", "-1", "--format=%G?", id]), b"");
    let content = git(&["verify-commit", id]).output().unwrap().status.success();
    (String::from_utf8(shown).unwrap().trim().to_owned(), content)
}
