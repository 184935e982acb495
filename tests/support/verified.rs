//! Verified signatures for tests that start from facts.

use countersign::domain::{ObjectFormat, Timestamp};
use countersign::signature::{self, Keys, SignatureStatus, object, openpgp, ssh};

#[path = "ssh_craft.rs"]
mod ssh_craft;

/// The keys that [`verified_with`] verifies by.
enum Ring {
    Ssh(ssh::PublicKey),
    OpenPgp(Vec<openpgp::Certificate>),
}

impl Keys for Ring {
    fn has_ssh(&self, blob: &[u8]) -> bool {
        matches!(self, Ring::Ssh(key) if key.blob() == blob)
    }
    fn openpgp_by_fingerprint(&self, fingerprint: &[u8]) -> Vec<&openpgp::Certificate> {
        let Ring::OpenPgp(all) = self else { return Vec::new() };
        all.iter().filter(|one| one.component_fingerprints().iter().any(|own| own == fingerprint)).collect()
    }
    fn openpgp_by_key_id(&self, _: [u8; 8]) -> Vec<&openpgp::Certificate> {
        Vec::new()
    }
}

/// A commit that a FIDO key, or another one that is made here, has signed.
fn crafted(key: &ssh_craft::Key) -> (Vec<u8>, Ring) {
    let head = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\
                author Test Key <test@example.org> 1748736000 +0000\n\
                committer Test Key <test@example.org> 1748736000 +0000\n";
    let body = "\nsigned with a test key\n";
    let armor = String::from_utf8(key.sshsig(format!("{head}{body}").as_bytes())).unwrap();
    let signed = format!("{head}gpgsig {}\n{body}", armor.trim_end().replace('\n', "\n "));
    (signed.into_bytes(), Ring::Ssh(ssh::parse_public_key(&key.line()).unwrap()))
}

/// A status that says `verified`, which nobody can make but by verifying: a commit that some kind of test key
/// has signed, judged at `now`, seconds since the epoch. Whose it is, is each test's choice.
pub(crate) fn verified_with(kind: &str, now: i64) -> SignatureStatus {
    let ssh = |raw: &[u8], key: &str| (raw.to_vec(), Ring::Ssh(ssh::parse_public_key(key).unwrap()));
    let fido = |flags| ssh_craft::Key::ed25519(7).fido("ssh:").with(flags, 1);
    let (raw, ring) = match kind {
        "ed25519" => ssh(
            include_bytes!("../vectors/cases/ssh-signed.commit"),
            include_str!("../vectors/cases/ssh-signed.pub"),
        ),
        "rsa-2048" => ssh(
            include_bytes!("../vectors/cases/ssh-rsa-2048.commit"),
            include_str!("../vectors/cases/ssh-rsa-2048.pub"),
        ),
        "ecdsa-256" => crafted(&ssh_craft::Key::p256(7)),
        // Signed at 2025-05-01T00:00:00Z.
        "openpgp" => {
            let key = include_bytes!("../vectors/cases/openpgp-old.asc");
            let raw = include_bytes!("../vectors/cases/openpgp-old.commit").to_vec();
            (raw, Ring::OpenPgp(openpgp::Certificate::parse_all(key).unwrap()))
        }
        "fido-silent" => crafted(&fido(0)),
        "fido-touch" => crafted(&fido(1)),
        "fido-verified" => crafted(&fido(5)),
        other => panic!("there is no key `{other}`"),
    };
    let commit = object::parse_commit(ObjectFormat::Sha1, &raw).unwrap();
    let object::SignatureField::Present(block) = &commit.signature else { panic!("{kind} is signed") };
    let now = Timestamp::from_second(now).unwrap();
    let status = signature::verify_now(block, &commit.payload, &ring, now, commit.committer.time);
    assert!(matches!(status, SignatureStatus::Verified(_)), "{kind}: {status}");
    status
}
