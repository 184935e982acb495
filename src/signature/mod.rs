//! Bytes and candidate keys in, [`SignatureStatus`] out.
//!
//! This module owns what a signature on a Git object means: the object grammar and the signed payload
//! ([`object`]), OpenPGP validity ([`openpgp`]) and SSHSIG validity ([`ssh`]). Crates do the arithmetic.
//! It works on raw object bytes, slices ranges and never rebuilds them. It knows no keyring: whoever
//! owns the keys implements [`Keys`].

pub mod object;
pub mod openpgp;
pub mod ssh;

mod armor;
mod status;
#[cfg(test)]
mod testing;
mod wire;

pub use status::{KeyId, Scheme, SignatureStatus, VerifiedSignature};

use crate::domain::Timestamp;

/// Where candidate keys come from. Only keys that an operator put there: never one that came along
/// with a commit.
pub trait Keys {
    /// Whether this exact OpenSSH public key blob (RFC 4253 encoding) is known.
    fn has_ssh(&self, blob: &[u8]) -> bool;
    /// Certificates with a component key (primary or subkey) of this full fingerprint.
    fn openpgp_by_fingerprint(&self, fingerprint: &[u8]) -> Vec<&openpgp::Certificate>;
    /// Certificates with a component key of this 64-bit key id: an index, never an identity (O6).
    fn openpgp_by_key_id(&self, key_id: [u8; 8]) -> Vec<&openpgp::Certificate>;
}

/// Verifies the signature block of an object that [`object`] has split.
///
/// `now` is the gate's clock at receipt (N13), `object_time` the committer's or tagger's claim, in
/// seconds since the epoch.
pub fn verify(
    signature: &object::SignatureBlock,
    payload: &object::Payload<'_>,
    keys: &dyn Keys,
    now: Timestamp,
    object_time: i64,
) -> SignatureStatus {
    if object_time == 0 {
        // Tools silently judge such an object at their own now (G14): nobody signs in 1970.
        return SignatureStatus::Malformed {
            code: "time.zero",
            why: "the object claims to be from the second 0 of 1970".to_owned(),
        };
    }
    match signature.format {
        object::SignatureFormat::OpenPgp => {
            openpgp::verify(&signature.armor, payload, keys, now, object_time)
        }
        object::SignatureFormat::Ssh => ssh::verify(&signature.armor, payload, keys, now, object_time),
        object::SignatureFormat::X509 => {
            SignatureStatus::Unsupported { what: "X.509 (CMS) signature".to_owned() }
        }
    }
}
