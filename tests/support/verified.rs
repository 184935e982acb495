//! A verified signature for tests that start from facts.

use countersign::domain::{ObjectFormat, Timestamp};
use countersign::signature::{self, Keys, SignatureStatus, object, openpgp, ssh};

/// A status that says `verified`, which nobody can make but by verifying: one commit that git signed
/// with a test key, judged at `now`, seconds since the epoch. Whose it is, is each test's choice.
pub(crate) fn really_verified(now: i64) -> SignatureStatus {
    struct OneKey(ssh::PublicKey);
    impl Keys for OneKey {
        fn has_ssh(&self, blob: &[u8]) -> bool {
            self.0.blob() == blob
        }
        fn openpgp_by_fingerprint(&self, _: &[u8]) -> Vec<&openpgp::Certificate> {
            Vec::new()
        }
        fn openpgp_by_key_id(&self, _: [u8; 8]) -> Vec<&openpgp::Certificate> {
            Vec::new()
        }
    }
    let raw = include_bytes!("../vectors/cases/ssh-signed.commit");
    let key = ssh::parse_public_key(include_str!("../vectors/cases/ssh-signed.pub")).unwrap();
    let commit = object::parse_commit(ObjectFormat::Sha1, raw).unwrap();
    let object::SignatureField::Present(block) = &commit.signature else { panic!("the vector is signed") };
    let now = Timestamp::from_second(now).unwrap();
    let status = signature::verify_now(block, &commit.payload, &OneKey(key), now, commit.committer.time);
    assert!(matches!(status, SignatureStatus::Verified(_)), "{status}");
    status
}
