//! Verifying one detached signature (O1 to O9, O14).

use super::certificate::Certificate;
use super::filing::strong;
use super::findings;
use super::key::{Key, KeyAlgorithm, hash_name, hex};
use super::packet::{next_packet, tag};
use super::signature::{Issuer, RawSignature, SignatureError, kind};
use super::validity::{Component, Moments, Refusal, timestamp};
use crate::signature::object::{Payload, SignatureFormat};
use crate::signature::{
    Finding, KeyFamily, KeyId, Keys, Rules, Scheme, SignatureStatus, Strength, Times, Trace,
    VerifiedSignature, armor,
};
use std::borrow::Cow;

/// Most keys that are tried for one signature (O6).
pub const MAX_CANDIDATES: usize = 8;

fn malformed(code: &'static str, why: impl Into<String>) -> SignatureStatus {
    SignatureStatus::Malformed { code, why: why.into() }
}

fn key_id(fingerprint: &[u8]) -> KeyId {
    KeyId { scheme: Scheme::OpenPgp, text: hex(fingerprint) }
}

/// What everything about one signature is asked with.
struct Question<'a> {
    keys: &'a dyn Keys,
    times: Times,
    rules: &'a Rules,
}

/// Verifies one detached, armored signature (O1 to O12).
///
/// Both the signature's own time and the receipt have to lie in the key's life (N13); without a receipt
/// the signature's own time alone. See `Moments`.
pub fn verify(
    armor: &[u8],
    payload: &Payload<'_>,
    keys: &dyn Keys,
    times: Times,
    rules: &Rules,
    trace: &mut Trace,
) -> SignatureStatus {
    check(armor, payload, &Question { keys, times, rules }, trace).unwrap_or_else(|status| status)
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
    question: &Question<'_>,
    trace: &mut Trace,
) -> Result<SignatureStatus, SignatureStatus> {
    let bytes = armor::decode(armor, SignatureFormat::OpenPgp).map_err(|fault| {
        trace.failed("armor", "G10", || fault.why);
        malformed(fault.code, fault.why)
    })?;
    let signature = only_signature(&bytes, question.rules, trace)?;
    let data = signed_data(&signature, payload, trace)?;
    let findings = findings::of_packet(&signature);
    let (issuer, named) = issuer(&signature, trace)?;
    if !strong(signature.hash) {
        let what = format!("the hash {}", hash_name(signature.hash));
        trace.failed("hash", "O4", || what.clone());
        return Err(SignatureStatus::WeakAlgorithm { key: named, what });
    }
    trace.passed("hash", "O4", || hash_name(signature.hash));
    let candidates = candidates(&issuer, question.keys);
    trace.noted("candidates", "O6", || match candidates.len() {
        0 => format!("the keyring has no key {}", named.text),
        count => format!("the keyring has {count} of {}", named.text),
    });
    if candidates.is_empty() {
        return Err(SignatureStatus::UnknownKey { key: named });
    }
    let parts: Vec<&[u8]> = data.iter().map(|part| &part[..]).collect();
    let mut best: Option<SignatureStatus> = None;
    // One key may be in many certificates: its arithmetic is the same in each.
    let mut computed: Vec<(&[u8], bool)> = Vec::new();
    for (certificate, component, key) in candidates {
        // Arithmetic decides who it was (O6); only then is it asked what that key is worth.
        let status = if let KeyAlgorithm::Other(what) = &key.algorithm {
            trace.noted("arithmetic", "O4", || format!("{what} is not computed"));
            SignatureStatus::WeakAlgorithm { key: key_id(&key.fingerprint), what: what.clone() }
        } else if once(&mut computed, key, || key.made(&signature, &parts)) {
            trace.passed("arithmetic", "O6", || format!("the key {} made it", key.hex()));
            judge(certificate, component, &signature, &findings, question, trace)
        } else {
            trace.noted("arithmetic", "O6", || format!("the key {} did not make it", key.hex()));
            continue;
        };
        if best.as_ref().is_none_or(|best| rank(&status) < rank(best)) {
            best = Some(status);
        }
    }
    Ok(best.unwrap_or_else(|| {
        trace.failed("arithmetic", "O6", || "no key that it may be by made it over these bytes");
        SignatureStatus::Bad { key: named }
    }))
}

/// What was computed for these very bytes of a key before, or is now.
fn once<'a>(computed: &mut Vec<(&'a [u8], bool)>, key: &'a Key, compute: impl FnOnce() -> bool) -> bool {
    if let Some((_, made)) = computed.iter().find(|(framed, _)| *framed == key.framed()) {
        return *made;
    }
    let made = compute();
    computed.push((key.framed(), made));
    made
}

/// One key can be in several certificates: who revoked it wins, then who vouches for it.
fn rank(status: &SignatureStatus) -> u8 {
    match status {
        SignatureStatus::Revoked { .. } => 0,
        SignatureStatus::Verified(_) => 1,
        _ => 2,
    }
}

/// Whom the signature names, and how that is said to people (O6).
fn issuer(signature: &RawSignature, trace: &mut Trace) -> Result<(Issuer, KeyId), SignatureStatus> {
    let (code, why) = match signature.issuer() {
        Ok(Issuer::Unnamed) => ("pgp.no_issuer", "the signature names no key"),
        Ok(issuer) => {
            let named = key_id(match &issuer {
                Issuer::Fingerprint(fingerprint) => fingerprint,
                Issuer::KeyId(id) => id,
                Issuer::Unnamed => &[],
            });
            trace.passed("issuer", "O6", || format!("it names {}", named.text));
            return Ok((issuer, named));
        }
        Err(why) => ("pgp.issuer", why),
    };
    trace.failed("issuer", "O6", || why);
    Err(malformed(code, why))
}

/// The keys that a signature may be by: every component key of the name that it gives, and no more than
/// [`MAX_CANDIDATES`].
fn candidates<'a>(issuer: &Issuer, keys: &'a dyn Keys) -> Vec<(&'a Certificate, Component, &'a Key)> {
    let certificates = match issuer {
        Issuer::Fingerprint(fingerprint) => keys.openpgp_by_fingerprint(fingerprint),
        Issuer::KeyId(id) => keys.openpgp_by_key_id(*id),
        Issuer::Unnamed => Vec::new(),
    };
    let fits = |key: &Key| match issuer {
        Issuer::Fingerprint(wanted) => *wanted == key.fingerprint,
        Issuer::KeyId(wanted) => *wanted == key.key_id(),
        Issuer::Unnamed => false,
    };
    let components = certificates.into_iter().flat_map(|certificate| {
        certificate.components().map(move |(component, key)| (certificate, component, key))
    });
    components.filter(|(_, _, key)| fits(key)).take(MAX_CANDIDATES).collect()
}

/// The one signature packet of an armor (O1 to O3, O5).
fn only_signature(bytes: &[u8], rules: &Rules, trace: &mut Trace) -> Result<RawSignature, SignatureStatus> {
    let packet = only_packet(bytes).inspect_err(|status| {
        trace.failed("packet", "O1", || status.to_string());
    })?;
    trace.passed("packet", "O1", || "one signature packet");
    let unsupported = |trace: &mut Trace, name, clause, what: String| {
        trace.failed(name, clause, || what.clone());
        Err(SignatureStatus::Unsupported { what: format!("OpenPGP {what}") })
    };
    let signature = match RawSignature::parse(packet) {
        Ok(signature) if signature.v3.is_none() => signature,
        // What GnuPG made long ago and nobody makes any more: for history alone, and told (O2).
        Ok(signature) if signature.version == 3 && rules.import => signature,
        Ok(signature) => {
            let what = format!("signature of version {}", signature.version);
            return unsupported(trace, "version", "O2", what);
        }
        Err(SignatureError::Version(version)) => {
            let cause = if version == 5 { " (LibrePGP)" } else { "" };
            return unsupported(trace, "version", "O2", format!("signature of version {version}{cause}"));
        }
        Err(SignatureError::Algorithm(id)) => {
            return unsupported(trace, "key-algorithm", "O4", format!("signature by algorithm {id}"));
        }
        Err(SignatureError::Frame(error)) => {
            trace.failed("packet", "O1", || error.to_string());
            return Err(malformed("pgp.packet", format!("the signature is broken: {error}")));
        }
    };
    trace.passed("version", "O2", || signature.version.to_string());
    match signature.kind {
        kind::BINARY => {}
        kind::TEXT if rules.text_signatures => {}
        // Text signatures make LF and CRLF the same, so that the object can change under them (O3).
        kind::TEXT => return unsupported(trace, "type", "O3", "text signature (type 0x01)".to_owned()),
        other => {
            let why = format!("a signature of type {other:#04x} is none over data");
            trace.failed("type", "O3", || why.clone());
            return Err(malformed("pgp.type", why));
        }
    }
    trace.passed("type", "O3", || format!("{:#04x}", signature.kind));
    if signature.v3.is_some() {
        // Its time and its issuer are in fields of their own, and it has nothing else to say.
        return Ok(signature);
    }
    signature.check_subpackets().map_err(|fault| {
        trace.failed("subpackets", "O5", || fault.1);
        malformed(fault.0, fault.1)
    })?;
    trace.passed("subpackets", "O5", || {
        format!("{} signed, {} unsigned", signature.hashed.len(), signature.unhashed.len())
    });
    Ok(signature)
}

/// The body of the one packet of an armor (O1).
fn only_packet(bytes: &[u8]) -> Result<&[u8], SignatureStatus> {
    let broken =
        |error: &dyn std::fmt::Display| malformed("pgp.packet", format!("the signature is broken: {error}"));
    let rest = &mut &bytes[..];
    let packet = next_packet(rest).map_err(|error| broken(&error))?;
    let Some(packet) = packet.filter(|packet| packet.tag == tag::SIGNATURE) else {
        return Err(malformed("pgp.packet", "the armor does not begin with a signature packet"));
    };
    if rest.is_empty() {
        return Ok(packet.body);
    }
    Err(match next_packet(rest) {
        Ok(_) => malformed("sig.multiple_packets", "there is more than one packet in the armor"),
        Err(error) => broken(&error),
    })
}

/// The bytes that are hashed for the object. Text signatures hash CRLF for every line's end; over a
/// payload that has a CR they would hold for another object too (O3).
fn signed_data<'a>(
    signature: &RawSignature,
    payload: &Payload<'a>,
    trace: &mut Trace,
) -> Result<[Cow<'a, [u8]>; 2], SignatureStatus> {
    let parts = [payload.before, payload.after];
    if signature.kind != kind::TEXT {
        return Ok(parts.map(Cow::Borrowed));
    }
    if parts.iter().any(|part| part.contains(&b'\r')) {
        let why = "a text signature over an object with a carriage return holds for another object too";
        trace.failed("type", "O3", || why);
        return Err(malformed("pgp.text_cr", why));
    }
    Ok(parts.map(|part| {
        let lines = part.split_inclusive(|byte| *byte == b'\n');
        Cow::Owned(lines.fold(Vec::with_capacity(part.len()), |mut out, line| {
            match line.strip_suffix(b"\n") {
                Some(line) => {
                    out.extend_from_slice(line);
                    out.extend_from_slice(b"\r\n");
                }
                None => out.extend_from_slice(line),
            }
            out
        }))
    }))
}

/// What the signature is worth, now that `component` is known to have made it (O7 to O12).
fn judge(
    certificate: &Certificate,
    component: Component,
    signature: &RawSignature,
    findings: &[Finding],
    question: &Question<'_>,
    trace: &mut Trace,
) -> SignatureStatus {
    let Question { keys, times, rules } = question;
    let key = certificate.component(component);
    let by = key_id(&key.fingerprint);
    trace.noted("component", "O7", || match component {
        Component::Primary => format!("the primary key of {}", certificate.fingerprint()),
        Component::Subkey(_) => format!("a subkey of {}", certificate.fingerprint()),
    });
    // `check_subpackets` made sure of it.
    let Some(created) = signature.created() else {
        return malformed("pgp.no_creation_time", "it has no time");
    };
    let moments = Moments::of(created, times);
    let newest = times.received.unwrap_or(times.now).as_second().saturating_add(rules.max_future);
    if created > newest {
        trace.failed("future", "1.9", || format!("signed at {}", timestamp(created)));
        return SignatureStatus::NotYetValid { key: by, what: "signature", from: timestamp(created) };
    }
    trace.passed("future", "1.9", || format!("signed at {}", timestamp(created)));
    let others = certificate.delegations(component, *keys);
    if others.unknown > 0 {
        trace.noted("designated-revoker", "O12", || "somebody named revoked it, whose key is not known");
    }
    let life = match certificate.judge(component, moments, &others.honoured, rules, trace) {
        Ok(life) => life,
        Err(refusal) => return refused(refusal, by),
    };
    if let Some(at) = signature.expires().filter(|at| *at <= moments.received) {
        trace.failed("signature-expiry", "O9", || format!("it expired at {}", timestamp(at)));
        return SignatureStatus::Expired { key: by, what: "signature", at: timestamp(at) };
    }
    trace.passed("signature-expiry", "O9", || match signature.expires() {
        Some(at) => format!("it expires at {}", timestamp(at)),
        None => "it does not expire".to_owned(),
    });
    let skew = created.abs_diff(times.object);
    if skew > rules.max_skew.unsigned_abs() {
        let why = format!("the signature's time is more than {} s away from the object's", rules.max_skew);
        trace.failed("skew", "1.9", || format!("{skew} s"));
        return malformed("time.skew", why);
    }
    trace.passed("skew", "1.9", || format!("{skew} s between the signature's time and the object's"));
    let algorithm = format!("{} {}", key.algorithm, hash_name(signature.hash));
    let mut findings = findings.to_vec();
    findings.extend(findings::of_key(certificate, key, life.silent_flags, &others));
    for finding in &findings {
        trace.noted("finding", finding.code, || finding.text.clone());
    }
    let signed_at = Some(timestamp(created));
    let certificate = certificate.fingerprint();
    let proof = VerifiedSignature::new(Scheme::OpenPgp, by.text, certificate, algorithm, signed_at);
    let strength = strength_of(&key.algorithm, hash_name(signature.hash));
    SignatureStatus::Verified(proof.with_strength(strength).with_findings(findings))
}

/// What the strength of a signature rests on; `None` for a kind of key that no signature counts of.
fn strength_of(algorithm: &KeyAlgorithm, hash: String) -> Option<Strength> {
    let (family, bits) = match algorithm {
        KeyAlgorithm::Rsa(bits) => (KeyFamily::Rsa, *bits),
        KeyAlgorithm::Ecdsa(bits) => (KeyFamily::Ecdsa, u32::from(*bits)),
        KeyAlgorithm::Ed25519 | KeyAlgorithm::Ed25519Legacy => (KeyFamily::Ed25519, 256),
        KeyAlgorithm::Ed448 => (KeyFamily::Ed448, 448),
        KeyAlgorithm::Dsa | KeyAlgorithm::EncryptionOnly(_) | KeyAlgorithm::Other(_) => return None,
    };
    Some(Strength { family, bits, hashes: vec![hash] })
}

fn refused(refusal: Refusal, key: KeyId) -> SignatureStatus {
    match refusal {
        Refusal::Revoked { reason, hard, .. } => SignatureStatus::Revoked { key, reason, hard },
        Refusal::Expired { what, at } => SignatureStatus::Expired { key, what, at: timestamp(at) },
        Refusal::NotYetValid { what, from } => {
            SignatureStatus::NotYetValid { key, what, from: timestamp(from) }
        }
        Refusal::WrongPurpose(why) => SignatureStatus::WrongPurpose {
            key,
            why: why.to_owned(),
            remedy: "using a key that may sign data",
        },
        Refusal::Weak(what) => SignatureStatus::WeakAlgorithm { key, what },
    }
}
