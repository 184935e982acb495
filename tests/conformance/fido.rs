//! Conformance cases F: FIDO authenticators. There is none here: keys, flags and counters are made in
//! software, and OpenSSH says that they are what hardware would make.

use crate::keys::*;
use crate::ssh::craft::{self, Key, strings};
use crate::ssh::{Ring, judged, keygen_verify, payload, proof, status, with, word};
use countersign::signature::{Fido, Rules, SignatureStatus};

fn tokens() -> [Key; 2] {
    [Key::ed25519(1).fido("ssh:"), Key::p256(1).fido("ssh:")]
}

fn ring(key: &Key) -> Ring {
    Ring { keys: vec![key.blob()], ..Ring::default() }
}

fn verdict(key: &Key) -> SignatureStatus {
    status(&with(&key.sshsig(&payload())), &ring(key))
}

fn keygen(key: &Key) -> bool {
    keygen_verify(&format!("alice {}\n", key.line()), &key.sshsig(&payload()), &payload(), "git").0
}

#[test]
fn f001_f002_a_touch() {
    for key in tokens() {
        let key = key.with(1, 0x0102_0304);
        assert!(keygen(&key), "what this suite makes is what OpenSSH takes");
        let raw = with(&key.sshsig(&payload()));
        let (status, trace) = judged(&raw, &ring(&key), None, &Rules::default());
        let proof = proof(status);
        let wanted = Fido {
            application: "ssh:".into(),
            user_present: true,
            user_verified: false,
            counter: 0x0102_0304,
        };
        assert_eq!(proof.fido(), Some(&wanted));
        assert_eq!(proof.algorithm(), format!("{} sha512", key.name()));
        assert_eq!(proof.fingerprint(), proof.certificate());
        assert_eq!(proof.findings(), []);
        let flags = trace.checks().iter().find(|check| check.name == "fido-flags").unwrap();
        assert_eq!(flags.detail, "flags 0x01: touched yes, user verified no; counter 16909060");
        // Another payload, another key, another application: not this signature.
        let other = signed(&commit(NOW, "other\n"), &key.sshsig(&payload()));
        assert_eq!(word(&self::status(&other, &ring(&key))), "bad");
        let moved = key.clone().fido("ssh:other");
        let armor = craft::sshsig(&moved.blob(), &key, &payload());
        assert_eq!(word(&self::status(&with(&armor), &ring(&moved))), "bad");
        assert_eq!(word(&self::status(&raw, &Ring::default())), "unknown-key");
    }
}

/// Whether a touch is asked for is the keyring's question; the proof says whether there was one.
#[test]
fn f003_no_touch() {
    for key in tokens() {
        let key = key.with(0, 1);
        let proof = proof(verdict(&key));
        assert!(!proof.fido().unwrap().user_present);
        assert!(keygen(&key), "ssh-keygen does not look at flags");
    }
}

#[test]
fn f004_who_was_there() {
    for key in tokens() {
        let fido = |flags: u8| proof(verdict(&key.clone().with(flags, 1))).fido().cloned().unwrap();
        assert!(!fido(0x01).user_verified);
        assert!(fido(0x05).user_verified && fido(0x05).user_present);
        let contradiction = key.clone().with(0x04, 1);
        assert_eq!(word(&verdict(&contradiction)), "fido.flags");
        assert!(keygen(&contradiction), "ssh-keygen does not look at flags");
    }
}

#[test]
fn f005_applications() {
    for name in ["ssh:", "ssh:git", "https://example.org"] {
        for key in [Key::ed25519(1), Key::p256(1)] {
            let key = key.fido(name);
            assert_eq!(proof(verdict(&key)).fido().unwrap().application, name);
        }
    }
    // No application that a key could have.
    for name in ["", "ssh:\n", "ssh:\u{7f}"] {
        assert_eq!(word(&verdict(&Key::ed25519(1).fido(name))), "ssh.key");
    }
    let key = strings(&[b"sk-ssh-ed25519@openssh.com", &Key::ed25519(1).blob()[19..], b"\xff"]);
    assert!(countersign::signature::ssh::PublicKey::from_blob(&key).is_err());
}

#[test]
fn f009_bytes_behind_flags_and_counter() {
    for key in tokens() {
        let signed = [
            &b"SSHSIG"[..],
            &strings(&[b"git", b"", b"sha512", &<sha2::Sha512 as sha2::Digest>::digest(payload())]),
        ]
        .concat();
        let inner = key.sign(&signed);
        let verdict = |inner: &[u8]| {
            let armor = craft::armored(&craft::sshsig_blob(&key.blob(), inner));
            word(&status(&with(&armor), &ring(&key)))
        };
        assert_eq!(verdict(&inner), "verified");
        assert_eq!(verdict(&[&inner[..], b"x"].concat()), "ssh.blob");
        for missing in 1..=5 {
            assert_eq!(verdict(&inner[..inner.len() - missing]), "ssh.blob");
        }
        let mut flags = inner.clone();
        let at = flags.len() - 5;
        flags[at] = 5;
        assert_eq!(verdict(&flags), "bad", "flags are signed");
        let mut counter = inner.clone();
        *counter.last_mut().unwrap() ^= 1;
        assert_eq!(verdict(&counter), "bad", "so is the counter");
    }
}

#[test]
fn f011_flags_that_announce_more() {
    for key in tokens() {
        for flags in [0x41, 0x81, 0xc5] {
            let proof = proof(verdict(&key.clone().with(flags, 1)));
            let codes: Vec<_> = proof.findings().iter().map(|finding| finding.code).collect();
            assert_eq!(codes, ["fido.flags"], "{flags:#x}");
        }
    }
}

/// A plain key's signature has no flags, and an authenticator's none without.
#[test]
fn kinds_do_not_mix() {
    let (plain, token) = (Key::ed25519(1), Key::ed25519(1).fido("ssh:"));
    let of = |key: &Key, signer: &Key| {
        word(&status(&with(&craft::sshsig(&key.blob(), signer, &payload())), &ring(key)))
    };
    assert_eq!(of(&plain, &token), "ssh.algorithm");
    assert_eq!(of(&token, &plain), "ssh.algorithm");
}
