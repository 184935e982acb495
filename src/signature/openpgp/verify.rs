//! Verifying one detached signature (O1 to O9, O14).

use super::certificate::{Certificate, strong};
use super::key::{hash_name, hex};
use super::packet::{next_packet, tag};
use super::signature::{Issuer, RawSignature, SignatureError, kind};
use super::validity::{Component, Refusal, timestamp};
use crate::signature::object::{Payload, SignatureFormat};
use crate::signature::{KeyId, Keys, Rules, Scheme, SignatureStatus, Times, Trace, VerifiedSignature, armor};

/// Most keys that are tried for one signature (O6).
pub const MAX_CANDIDATES: usize = 8;

fn malformed(code: &'static str, why: impl Into<String>) -> SignatureStatus {
    SignatureStatus::Malformed { code, why: why.into() }
}

fn key_id(fingerprint: &[u8]) -> KeyId {
    KeyId { scheme: Scheme::OpenPgp, text: hex(fingerprint) }
}

/// Verifies one detached, armored signature (O1 to O9).
///
/// Both the signature's own time and the receipt have to lie in the key's life (N13); without a receipt
/// the signature's own time alone.
pub fn verify(
    armor: &[u8],
    payload: &Payload<'_>,
    keys: &dyn Keys,
    times: Times,
    rules: &Rules,
    trace: &mut Trace,
) -> SignatureStatus {
    check(armor, payload, keys, times, rules, trace).unwrap_or_else(|status| status)
}

/// The time that the one signature in an armor claims in its hashed part, seconds since the epoch: for
/// objects that claim none themselves. Nothing else about the signature is looked at.
pub fn claimed_time(armor: &[u8]) -> Option<i64> {
    let bytes = armor::decode(armor, SignatureFormat::OpenPgp).ok()?;
    let packet = next_packet(&mut &bytes[..]).ok()?.filter(|packet| packet.tag == tag::SIGNATURE)?;
    RawSignature::parse(packet.body).ok()?.created()
}

fn check(
    armor: &[u8],
    payload: &Payload<'_>,
    keys: &dyn Keys,
    times: Times,
    rules: &Rules,
    trace: &mut Trace,
) -> Result<SignatureStatus, SignatureStatus> {
    let _ = &trace;
    let bytes =
        armor::decode(armor, SignatureFormat::OpenPgp).map_err(|fault| malformed(fault.code, fault.why))?;
    let signature = only_signature(&bytes)?;
    let created = signature.created().ok_or_else(|| malformed("pgp.no_creation_time", "it has no time"))?;
    let issuer = signature.issuer().map_err(|why| malformed("pgp.issuer", why))?;
    let (named, certificates) = match &issuer {
        Issuer::Fingerprint(fingerprint) => (key_id(fingerprint), keys.openpgp_by_fingerprint(fingerprint)),
        Issuer::KeyId(id) => (key_id(id), keys.openpgp_by_key_id(*id)),
        Issuer::Unnamed => return Err(malformed("pgp.no_issuer", "the signature names no key")),
    };
    if !strong(signature.hash) {
        return Err(SignatureStatus::WeakAlgorithm {
            key: named,
            what: format!("the hash {}", hash_name(signature.hash)),
        });
    }
    let candidates = certificates.into_iter().flat_map(|certificate| {
        let fits = |fingerprint: &[u8], id: [u8; 8]| match &issuer {
            Issuer::Fingerprint(wanted) => *wanted == fingerprint,
            Issuer::KeyId(wanted) => *wanted == id,
            Issuer::Unnamed => false,
        };
        certificate
            .components()
            .filter(move |(_, key)| fits(&key.fingerprint, key.key_id()))
            .map(move |(component, key)| (certificate, component, key))
    });
    let mut known = false;
    let mut best: Option<SignatureStatus> = None;
    for (certificate, component, key) in candidates.take(MAX_CANDIDATES) {
        known = true;
        // Arithmetic decides who it was (O6); only then is it asked what that key is worth.
        if key.made(&signature, &[payload.before, payload.after]) {
            let by = key_id(&key.fingerprint);
            let status = judge(certificate, component, &signature, created, by, times, rules);
            if best.as_ref().is_none_or(|best| rank(&status) < rank(best)) {
                best = Some(status);
            }
        }
    }
    Ok(match best {
        Some(status) => status,
        None if known => SignatureStatus::Bad { key: named },
        None => SignatureStatus::UnknownKey { key: named },
    })
}

/// One key can be in several certificates: who revoked it wins, then who vouches for it.
fn rank(status: &SignatureStatus) -> u8 {
    match status {
        SignatureStatus::Revoked { .. } => 0,
        SignatureStatus::Verified(_) => 1,
        _ => 2,
    }
}

/// The one signature packet of an armor (O1 to O3, O5).
fn only_signature(bytes: &[u8]) -> Result<RawSignature, SignatureStatus> {
    let broken =
        |error: &dyn std::fmt::Display| malformed("pgp.packet", format!("the signature is broken: {error}"));
    let rest = &mut &bytes[..];
    let packet = next_packet(rest).map_err(|error| broken(&error))?;
    let Some(packet) = packet.filter(|packet| packet.tag == tag::SIGNATURE) else {
        return Err(malformed("pgp.packet", "the armor does not begin with a signature packet"));
    };
    if !rest.is_empty() {
        return Err(match next_packet(rest) {
            Ok(_) => malformed("sig.multiple_packets", "there is more than one packet in the armor"),
            Err(error) => broken(&error),
        });
    }
    let unsupported = |what: String| SignatureStatus::Unsupported { what };
    let signature = match RawSignature::parse(packet.body) {
        Ok(signature) if signature.v3.is_none() => signature,
        Ok(signature) => {
            return Err(unsupported(format!("OpenPGP signature of version {}", signature.version)));
        }
        Err(SignatureError::Version(version)) => {
            let cause = if version == 5 { " (LibrePGP)" } else { "" };
            return Err(unsupported(format!("OpenPGP signature of version {version}{cause}")));
        }
        Err(SignatureError::Algorithm(id)) => {
            return Err(unsupported(format!("OpenPGP signature by algorithm {id}")));
        }
        Err(SignatureError::Frame(error)) => return Err(broken(&error)),
    };
    match signature.kind {
        kind::BINARY => {}
        // Text signatures make LF and CRLF the same, so that the object can change under them (O3).
        0x01 => return Err(unsupported("OpenPGP text signature (type 0x01)".to_owned())),
        other => {
            let why = format!("a signature of type {other:#04x} is none over data");
            return Err(malformed("pgp.type", why));
        }
    }
    signature.check_subpackets().map_err(|fault| malformed(fault.0, fault.1))?;
    Ok(signature)
}

/// What the signature is worth, now that `by` is known to have made it (O7 to O10).
fn judge(
    certificate: &Certificate,
    component: Component,
    signature: &RawSignature,
    created: i64,
    by: KeyId,
    times: Times,
    rules: &Rules,
) -> SignatureStatus {
    // The time at which the key had to be valid besides the signature's own.
    let now = times.received.map_or(created, |received| received.as_second());
    if created > times.received.unwrap_or(times.now).as_second() + rules.max_future {
        return SignatureStatus::NotYetValid { key: by, what: "signature", from: timestamp(created) };
    }
    if let Err(refusal) = certificate.judge(component, created, now) {
        return match refusal {
            Refusal::Revoked { reason, hard, .. } => SignatureStatus::Revoked { key: by, reason, hard },
            Refusal::Expired { what, at } => SignatureStatus::Expired { key: by, what, at: timestamp(at) },
            Refusal::NotYetValid { what, from } => {
                SignatureStatus::NotYetValid { key: by, what, from: timestamp(from) }
            }
            Refusal::WrongPurpose(why) => SignatureStatus::WrongPurpose { key: by, why: why.to_owned() },
            Refusal::Weak(what) => SignatureStatus::WeakAlgorithm { key: by, what },
        };
    }
    if let Some(at) = signature.expires().filter(|at| *at <= now) {
        return SignatureStatus::Expired { key: by, what: "signature", at: timestamp(at) };
    }
    if created.abs_diff(times.object) > rules.max_skew.unsigned_abs() {
        let why = format!("the signature's time is more than {} s away from the object's", rules.max_skew);
        return malformed("time.skew", why);
    }
    let algorithm = certificate
        .components()
        .find(|(one, _)| *one == component)
        .map(|(_, key)| format!("{} {}", key.algorithm, hash_name(signature.hash)))
        .unwrap_or_default();
    SignatureStatus::Verified(VerifiedSignature::new(
        Scheme::OpenPgp,
        by.text,
        certificate.fingerprint(),
        algorithm,
        Some(timestamp(created)),
    ))
}
