//! Bytes and candidate keys in, [`SignatureStatus`] out.
//!
//! This module owns what a signature on a Git object means: the object grammar and the signed payload
//! ([`object`]), OpenPGP validity ([`openpgp`]) and SSHSIG validity ([`ssh`]). Crates do the arithmetic.
//! It works on raw object bytes, slices ranges and never rebuilds them. It knows no keyring: whoever
//! owns the keys implements [`Keys`].

pub mod mergetag;
pub mod object;
pub mod openpgp;
pub mod ssh;

mod armor;
mod rules;
mod status;
#[cfg(test)]
mod testing;
mod wire;

pub use rules::{Check, CheckResult, Demand, Finding, MergeTags, Rules, Strictness, Times, Trace};
pub use status::{
    Fido, KeyFamily, KeyId, Scheme, SignatureStatus, SshCertificate, Strength, VerifiedSignature,
};

use crate::domain::Timestamp;

/// Where candidate keys come from. Only keys that an operator put there: never one that came along
/// with a commit.
pub trait Keys {
    /// Whether this exact OpenSSH public key blob (RFC 4253 encoding) is known.
    fn has_ssh(&self, blob: &[u8]) -> bool;
    /// Whether this exact OpenSSH public key blob is a certification authority whose user certificates
    /// count (S10). Such a key is not thereby one that may sign itself.
    fn has_ssh_authority(&self, blob: &[u8]) -> bool {
        let _ = blob;
        false
    }
    /// Whether a key, an authority or a certificate is revoked for what is judged at these times (S11).
    /// Asked of every signature that verifies: for a plain key once, under a certificate for the
    /// certificate, the key inside and the authority.
    fn ssh_revoked(&self, subject: &ssh::Revocable<'_>, times: &Times) -> Option<ssh::Revoked> {
        let _ = (subject, times);
        None
    }
    /// Certificates with a component key (primary or subkey) of this full fingerprint.
    fn openpgp_by_fingerprint(&self, fingerprint: &[u8]) -> Vec<&openpgp::Certificate>;
    /// Certificates with a component key of this 64-bit key id: an index, never an identity (O6).
    fn openpgp_by_key_id(&self, key_id: [u8; 8]) -> Vec<&openpgp::Certificate>;
}

/// Verifies the signature block of an object that [`object`] has split.
///
/// What the keyring's files say about the key (its windows and revocations, FIDO requirements, whose it
/// is) is not asked here: that is the keyring's part.
pub fn verify(
    signature: &object::SignatureBlock,
    payload: &object::Payload<'_>,
    keys: &dyn Keys,
    times: Times,
    rules: &Rules,
    trace: &mut Trace,
) -> SignatureStatus {
    if times.object == 0 {
        // Tools silently judge such an object at their own now (G14): nobody signs in 1970.
        trace.failed("object-time", "G14", || "the second 0 of 1970 is no time to judge by");
        return SignatureStatus::Malformed {
            code: "time.zero",
            why: "the object claims to be from the second 0 of 1970".to_owned(),
        };
    }
    match signature.format {
        object::SignatureFormat::OpenPgp => {
            openpgp::verify(&signature.armor, payload, keys, times, rules, trace)
        }
        object::SignatureFormat::Ssh if times.object > times.latest(rules) => {
            // An SSH signature has no time of its own; for OpenPGP the signature's time is held against this.
            trace.failed("object-time", "1.9", || "the object claims a time that has not come yet");
            SignatureStatus::Malformed {
                code: "time.future",
                why: "the object claims a time that had not come yet when it was received".to_owned(),
            }
        }
        object::SignatureFormat::Ssh => ssh::verify(&signature.armor, payload, keys, times, rules, trace),
        object::SignatureFormat::X509 => {
            trace.failed("format", "G11", || "X.509 (CMS) signatures are recognised, not verified");
            SignatureStatus::Unsupported { what: "X.509 (CMS) signature".to_owned() }
        }
    }
}

/// What stands where an object's signature may stand, judged: [`verify`] where it is a signature.
pub fn judge(
    field: &object::SignatureField,
    payload: &object::Payload<'_>,
    keys: &dyn Keys,
    times: Times,
    rules: &Rules,
    trace: &mut Trace,
) -> SignatureStatus {
    match field {
        object::SignatureField::Absent => SignatureStatus::Unsigned,
        object::SignatureField::Malformed { code, why } => {
            SignatureStatus::Malformed { code, why: why.clone() }
        }
        object::SignatureField::Present(block) => verify(block, payload, keys, times, rules, trace),
    }
}

/// [`verify`] for an object that comes in at `now`, by the default rules.
pub fn verify_now(
    signature: &object::SignatureBlock,
    payload: &object::Payload<'_>,
    keys: &dyn Keys,
    now: Timestamp,
    object_time: i64,
) -> SignatureStatus {
    let times = Times::introduced(object_time, now);
    verify(signature, payload, keys, times, &Rules::default(), &mut Trace::off())
}
