//! Conformance cases F: FIDO authenticators. There is none here: keys, flags and counters are made in
//! software, and OpenSSH says that they are what hardware would make.

use crate::keys::*;
use crate::ssh::craft::{self, Key, strings};
use crate::ssh::{Ring, judged, keygen_verify, payload, proof, status, with, word};
use crate::support::clone::Clone as WorkTree;
use crate::support::gate::{Gate, PRODUCTION};
use countersign::domain::Timestamp;
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

/// A gate that refuses what an authenticator did not count upwards, and whose keyring has one.
fn counting(key: &Key) -> Gate {
    let policy = format!("{PRODUCTION}\n[signatures]\nfido-counter = \"refuse\"\n");
    let gate = Gate::prepared(&policy);
    let file = gate.sandbox.path("token.pub");
    std::fs::write(&file, format!("{}\n", key.line())).unwrap();
    let add = ["keyring", "add", "alice", "--email", "alice@example.com", "--group", "sre", "--key"];
    gate.countersign(&[&add[..], &[file.to_str().unwrap()]].concat()).ok();
    gate.start();
    gate
}

/// Puts a commit by the authenticator, at this count, on top of `parent`, and gives its id.
fn counted(work: &WorkTree<'_>, key: &Key, counter: u32, parent: Option<&str>) -> String {
    let tree = work.git(&["hash-object", "-t", "tree", "-w", "/dev/null"]).ok().line().to_owned();
    let who = format!("Alice <alice@example.com> {} +0000", Timestamp::now().as_second());
    let parent = parent.map(|id| format!("parent {id}\n")).unwrap_or_default();
    let text = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\nOPS-1: counted to {counter}\n");
    let armor = key.clone().with(1, counter).sshsig(text.as_bytes());
    let file = work.path.join("object");
    std::fs::write(&file, signed(text.as_bytes(), &armor)).unwrap();
    work.git(&["hash-object", "-t", "commit", "-w", "object"]).ok().line().to_owned()
}

#[test]
fn f006_f008_a_counter_that_does_not_rise() {
    let key = Key::ed25519(1).fido("ssh:");
    let gate = counting(&key);
    let work = gate.clone_of(&gate.repository("infra/live"));
    let first = counted(&work, &key, 10, None);
    work.accepted(&[&format!("{first}:refs/heads/main")]);
    for counter in [9, 10, 0] {
        let next = counted(&work, &key, counter, Some(&first));
        let push = work.push(&[&format!("{next}:refs/heads/main")]).assert_refused(&["bad-signature"]);
        assert!(push.text().contains("10 was let in before"), "{}", push.text());
    }
    let next = counted(&work, &key, 11, Some(&first));
    work.accepted(&[&format!("{next}:refs/heads/main")]);
    // The same objects for another ref are known, whatever they counted to.
    work.accepted(&[&format!("{first}:refs/heads/release/1")]);
    // An authenticator counts for all repositories together.
    let other = gate.clone_of(&gate.repository("infra/other"));
    let late = counted(&other, &key, 11, None);
    other.push(&[&format!("{late}:refs/heads/main")]).assert_refused(&["bad-signature"]);
}

#[test]
fn f007_an_authenticator_that_does_not_count() {
    let key = Key::p256(1).fido("ssh:");
    let gate = counting(&key);
    let work = gate.clone_of(&gate.repository("infra/live"));
    let first = counted(&work, &key, 0, None);
    let told = || gate.last_decision().to_string().matches("fido.no_counter").count();
    work.accepted(&[&format!("{first}:refs/heads/main")]);
    assert_eq!(told(), 1, "{}", gate.last_decision());
    let second = counted(&work, &key, 0, Some(&first));
    work.accepted(&[&format!("{second}:refs/heads/main")]);
    assert_eq!(told(), 0, "once: {}", gate.last_decision());
    // One that began to count does not stop to.
    let third = counted(&work, &key, 5, Some(&second));
    work.accepted(&[&format!("{third}:refs/heads/main")]);
    let fourth = counted(&work, &key, 0, Some(&third));
    work.push(&[&format!("{fourth}:refs/heads/main")]).assert_refused(&["bad-signature"]);
}

#[test]
fn f010_another_order_inside_of_one_push() {
    let key = Key::ed25519(1).fido("ssh:");
    let gate = counting(&key);
    let work = gate.clone_of(&gate.repository("infra/live"));
    let mut tip = counted(&work, &key, 1, None);
    work.accepted(&[&format!("{tip}:refs/heads/main")]);
    for counter in [7, 5, 6] {
        tip = counted(&work, &key, counter, Some(&tip));
    }
    work.accepted(&[&format!("{tip}:refs/heads/main")]);
    // One number twice is two authenticators.
    for counter in [9, 8, 9] {
        tip = counted(&work, &key, counter, Some(&tip));
    }
    work.push(&[&format!("{tip}:refs/heads/main")]).assert_refused(&["bad-signature"]);
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
