//! SSHSIG: signatures by OpenSSH keys.

use super::{Keys, SignatureStatus, object::Payload};
use crate::domain::Timestamp;

/// Verifies one armored SSHSIG.
pub fn verify(
    armor: &[u8],
    payload: &Payload<'_>,
    keys: &dyn Keys,
    now: Timestamp,
    object_time: i64,
) -> SignatureStatus {
    let _ = (armor, payload, keys, now, object_time);
    SignatureStatus::Unsigned
}
