//! Changes of the keyring that somebody signed.

use super::change::ChangeRecord;
use super::{Keyring, Role};
use crate::domain::{Timestamp, text};
use crate::signature::object::Payload;
use crate::signature::{Rules, SignatureStatus, Times, Trace, ssh};

/// The namespace that changes are signed in: a signature on anything else, a commit among it, is none of a change.
pub const CHANGE_NAMESPACE: &str = "countersign-keyring";

/// Longest signature of a change, in bytes.
pub const MAX_SIGNATURE: usize = 16 << 10;

impl ChangeRecord {
    /// What is signed: everything about the change but who signed it. Its `id` is made up for it, so that no
    /// signature is good for a second change.
    pub fn signed_text(&self) -> String {
        let mut plain = self.clone();
        plain.by.signer = None;
        plain.signature = None;
        let json = serde_json::to_string(&plain).unwrap_or_default();
        format!("countersign keyring change, version 1\n{json}\n")
    }
}

/// Who signed a change: principal and fingerprint, by the keyring as it was before. Nothing where nobody did.
///
/// # Errors
/// It is signed, and the signature does not count: of something else, in another namespace, by a key that is
/// unknown, revoked, suspended, outside its window, or not for commits.
pub fn signer_of(keyring: &Keyring, change: &ChangeRecord, now: Timestamp) -> Result<Option<String>, String> {
    let Some(armor) = &change.signature else { return Ok(None) };
    if armor.len() > MAX_SIGNATURE {
        return Err("the signature of the change is too long".to_owned());
    }
    let text = change.signed_text();
    let payload = Payload { before: text.as_bytes(), after: b"" };
    let (times, rules) = (Times::introduced(now.as_second(), now), Rules::default());
    let trace = &mut Trace::off();
    let status = ssh::verify_in(CHANGE_NAMESPACE, armor.as_bytes(), &payload, keyring, times, &rules, trace);
    match keyring.assess_for(Role::Commit, status, &times, &rules) {
        (SignatureStatus::Verified(signature), Some(principal)) => {
            let name = text::escape_short(principal.name.as_bytes(), 100);
            Ok(Some(format!("{name} {}", signature.fingerprint())))
        }
        (SignatureStatus::Verified(_), None) => Err("the signature of the change is nobody's".to_owned()),
        (status, _) => Err(format!("the signature of the change does not count: {status}")),
    }
}
