//! SSHSIG: signatures by OpenSSH keys (S1 to S5).
//!
//! The blob is read here, strictly; `ssh-key` and `ed25519-dalek` get single keys and raw signatures.

use super::wire::{self, Reader, WireError};
use super::{KeyId, Keys, Rules, Scheme, SignatureStatus, Times, Trace, VerifiedSignature};
use super::{armor, object::Payload, object::SignatureFormat};
use crate::domain::text;
use data_encoding::{BASE64, BASE64_NOPAD};
use ed25519_dalek::Verifier;
use sha2::{Digest, Sha256, Sha512};
use ssh_key::encoding::Decode;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg};
use std::fmt;

/// The namespace that git signs in (S1).
const NAMESPACE: &[u8] = b"git";
/// Smallest RSA modulus that is accepted, in bits (S3).
pub const MIN_RSA_BITS: usize = 2048;
/// Largest RSA modulus that can be verified, in bits: a limit of the `rsa` crate.
pub const MAX_RSA_BITS: usize = 8192;
/// Longest key line that is read, in bytes.
const MAX_KEY_LINE: usize = 16 * 1024;

/// Which algorithm a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ed25519,
    Ecdsa { name: &'static str, size: usize },
    Rsa { bits: usize },
    Dsa,
}

const ECDSA: [Kind; 3] = [
    Kind::Ecdsa { name: "ecdsa-sha2-nistp256", size: 32 },
    Kind::Ecdsa { name: "ecdsa-sha2-nistp384", size: 48 },
    Kind::Ecdsa { name: "ecdsa-sha2-nistp521", size: 66 },
];

/// A plain OpenSSH public key in canonical encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    blob: Vec<u8>,
    kind: Kind,
}

/// Why a key is too weak to be trusted (S3, S4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// DSA, which is tied to SHA-1 and 160 bits.
    Dsa,
    /// An RSA modulus of this many bits, fewer than [`MIN_RSA_BITS`].
    SmallRsa(usize),
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Weakness::Dsa => write!(f, "DSA"),
            Weakness::SmallRsa(bits) => write!(f, "RSA-{bits}"),
        }
    }
}

/// Why some text is not a public key that the keyring can hold. No message repeats the text: it may
/// be a secret key that somebody took for the public one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SshKeyError {
    /// A private key, in any of the usual containers.
    #[error("this is a private key; give the public one, usually in the file ending in .pub")]
    PrivateKey,
    /// An SSH certificate.
    #[error("this is an SSH certificate ({0}); only plain keys are supported")]
    Certificate(String),
    /// A kind of key that is known and not supported.
    #[error("keys of type {0} are not supported")]
    Unsupported(String),
    /// Not `type base64 [comment]` on one line.
    #[error("a public key is one line: type, base64, optional comment")]
    Line,
    /// Not canonical base64.
    #[error("the key is not valid base64")]
    Base64,
    /// The type on the line is not the one inside the key.
    #[error("the type on the line is not the type inside the key")]
    TypeMismatch,
    /// The key's encoding is broken.
    #[error("the key's encoding is broken: {0}")]
    Encoding(&'static str),
    /// The encoding is right, the numbers cannot be a key.
    #[error("this cannot be a key: {0}")]
    Invalid(&'static str),
}

impl From<WireError> for SshKeyError {
    fn from(error: WireError) -> Self {
        SshKeyError::Encoding(match error {
            WireError::Truncated => "it ends too early",
            WireError::Trailing => "there are bytes left over",
            WireError::Number => "a number is not in its canonical form",
        })
    }
}

/// Parses an OpenSSH public key line, `type base64 [comment]`, as in a `.pub` file. Options before the
/// type, as in `authorized_keys`, are refused.
///
/// # Errors
/// See [`SshKeyError`]. A weak key is no error: see [`PublicKey::weakness`].
pub fn parse_public_key(line: &str) -> Result<PublicKey, SshKeyError> {
    if line.contains("PRIVATE KEY-----") || line.starts_with("PuTTY-User-Key-File") {
        return Err(SshKeyError::PrivateKey);
    }
    let line = line.strip_suffix('\n').unwrap_or(line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.len() > MAX_KEY_LINE || line.chars().any(|c| c.is_control() && c != '\t') {
        return Err(SshKeyError::Line);
    }
    let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    let (Some(name), Some(encoded)) = (words.next(), words.next()) else {
        return Err(SshKeyError::Line);
    };
    check_name(name.as_bytes())?;
    let blob = BASE64.decode(encoded.as_bytes()).map_err(|_| SshKeyError::Base64)?;
    let key = PublicKey::from_blob(&blob)?;
    if key.algorithm() != name {
        return Err(SshKeyError::TypeMismatch);
    }
    Ok(key)
}

/// Names that are recognised and refused, so that the message can say what it is (S4). What does not
/// look like a name is not repeated: it may be part of a secret.
fn check_name(name: &[u8]) -> Result<(), SshKeyError> {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-@.".contains(byte);
    if name.len() > 64 || !name.contains(&b'-') || !name.iter().all(plain) {
        return Err(SshKeyError::Line);
    }
    if name.windows(7).any(|window| window == b"-cert-v") {
        Err(SshKeyError::Certificate(text::escape(name)))
    } else if matches!(name, b"ssh-ed25519" | b"ssh-rsa" | b"ssh-dss") || ecdsa(name).is_some() {
        Ok(())
    } else {
        Err(SshKeyError::Unsupported(text::escape(name)))
    }
}

fn ecdsa(algorithm: &[u8]) -> Option<Kind> {
    ECDSA.into_iter().find(|kind| kind.name().as_bytes() == algorithm)
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Ed25519 => "ssh-ed25519",
            Kind::Ecdsa { name, .. } => name,
            Kind::Rsa { .. } => "ssh-rsa",
            Kind::Dsa => "ssh-dss",
        }
    }
}

impl PublicKey {
    /// Reads a public key blob (RFC 4253 section 6.6), which must be in canonical encoding.
    ///
    /// # Errors
    /// See [`SshKeyError`]; a small-order Ed25519 point is one (K073).
    pub fn from_blob(blob: &[u8]) -> Result<Self, SshKeyError> {
        let mut reader = Reader::new(blob);
        let name = reader.string()?;
        check_name(name)?;
        let kind = match name {
            b"ssh-ed25519" => {
                let point = <[u8; 32]>::try_from(reader.string()?)
                    .map_err(|_| SshKeyError::Encoding("an Ed25519 key has 32 bytes"))?;
                let key = ed25519_dalek::VerifyingKey::from_bytes(&point)
                    .map_err(|_| SshKeyError::Invalid("not a point on the curve"))?;
                if key.is_weak() {
                    return Err(SshKeyError::Invalid("a point of small order, which verifies anything"));
                }
                Kind::Ed25519
            }
            b"ssh-rsa" => {
                let exponent = reader.positive()?;
                let modulus = reader.positive()?;
                let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
                if !odd(modulus) || !odd(exponent) || exponent == [1] || exponent.len() > 8 {
                    return Err(SshKeyError::Invalid("an RSA exponent or modulus that no key has"));
                }
                let bits = wire::bits(modulus);
                if bits > MAX_RSA_BITS {
                    return Err(SshKeyError::Unsupported(format!("ssh-rsa with {bits} bits")));
                }
                Kind::Rsa { bits }
            }
            b"ssh-dss" => {
                for _ in 0..4 {
                    reader.positive()?;
                }
                Kind::Dsa
            }
            _ => {
                let kind = ecdsa(name).ok_or(SshKeyError::Encoding("unknown type"))?;
                let Kind::Ecdsa { name, size } = kind else { unreachable!("ecdsa() finds only these") };
                if reader.string()? != &name.as_bytes()["ecdsa-sha2-".len()..] {
                    return Err(SshKeyError::Encoding("the curve is not that of the type"));
                }
                // Whether the point is on its curve is checked where it is used: off it, nothing verifies.
                let point = reader.string()?;
                if point.len() != 1 + 2 * size || point[0] != 4 {
                    return Err(SshKeyError::Encoding("the point is not in its uncompressed form"));
                }
                kind
            }
        };
        reader.end()?;
        Ok(Self { blob: blob.to_vec(), kind })
    }

    /// The key in the encoding of RFC 4253: what [`Keys::has_ssh`] is asked for.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// `SHA256:` and the digest of the blob in base64 without padding, as OpenSSH shows it.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.blob)
    }

    /// The key type by its OpenSSH name, `ssh-ed25519` for example.
    pub fn algorithm(&self) -> &'static str {
        self.kind.name()
    }

    /// Size of the key in bits: of the modulus or of the curve's field.
    pub fn bits(&self) -> usize {
        match self.kind {
            Kind::Ed25519 => 256,
            Kind::Ecdsa { size: 66, .. } => 521,
            Kind::Ecdsa { size, .. } => size * 8,
            Kind::Rsa { bits } => bits,
            Kind::Dsa => 1024,
        }
    }

    /// Why no signature by this key would be accepted, or `None`.
    pub fn weakness(&self) -> Option<Weakness> {
        match self.kind {
            Kind::Dsa => Some(Weakness::Dsa),
            Kind::Rsa { bits } if bits < MIN_RSA_BITS => Some(Weakness::SmallRsa(bits)),
            _ => None,
        }
    }
}

fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", BASE64_NOPAD.encode(&Sha256::digest(blob)))
}

/// A parsed SSHSIG blob (S1), slices of the armor's content.
struct SshSig<'a> {
    key: &'a [u8],
    namespace: &'a [u8],
    hash: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

fn malformed(code: &'static str, why: impl Into<String>) -> SignatureStatus {
    SignatureStatus::Malformed { code, why: why.into() }
}

impl<'a> SshSig<'a> {
    fn parse(blob: &'a [u8]) -> Result<Self, SignatureStatus> {
        let broken =
            |error: WireError| malformed("ssh.blob", format!("the SSH signature is broken: {error}"));
        let mut reader = Reader::new(blob);
        if reader.take(6).map_err(broken)? != b"SSHSIG" {
            return Err(malformed("ssh.blob", "the SSH signature does not begin with SSHSIG"));
        }
        // OpenSSH accepts version 0 as well and signs an empty `reserved` whatever the blob says (S1).
        if reader.u32().map_err(broken)? != 1 {
            return Err(malformed("ssh.version", "the SSH signature is not of version 1"));
        }
        let key = reader.string().map_err(broken)?;
        let namespace = reader.string().map_err(broken)?;
        if !reader.string().map_err(broken)?.is_empty() {
            return Err(malformed("ssh.reserved", "the reserved field of the SSH signature is not empty"));
        }
        let hash = reader.string().map_err(broken)?;
        let inner = reader.string().map_err(broken)?;
        reader.end().map_err(broken)?;
        let mut inner = Reader::new(inner);
        let algorithm = inner.string().map_err(broken)?;
        let signature = inner.string().map_err(broken)?;
        if let Err(error) = inner.end() {
            // FIDO signatures carry flags and a counter here; anything else has no business to.
            check_algorithm(algorithm)?;
            return Err(broken(error));
        }
        Ok(Self { key, namespace, hash, algorithm, signature })
    }
}

/// Refuses signature algorithms that are known and not accepted (S4).
fn check_algorithm(name: &[u8]) -> Result<(), SignatureStatus> {
    match name {
        b"rsa-sha2-256" | b"rsa-sha2-512" => Ok(()),
        _ => check_name(name).map_err(|_| unsupported(name)),
    }
}

fn unsupported(name: &[u8]) -> SignatureStatus {
    SignatureStatus::Unsupported { what: format!("SSH signature of type {}", text::escape_short(name, 60)) }
}

/// Verifies one armored SSHSIG (S1 to S4).
///
/// `times` are not looked at for plain keys: an SSHSIG carries no time, and when a key may sign is the
/// keyring's question.
pub fn verify(
    armor: &[u8],
    payload: &Payload<'_>,
    keys: &dyn Keys,
    times: Times,
    rules: &Rules,
    trace: &mut Trace,
) -> SignatureStatus {
    let _ = (times, rules, trace);
    check(armor, payload, keys).unwrap_or_else(|status| status)
}

fn check(armor: &[u8], payload: &Payload<'_>, keys: &dyn Keys) -> Result<SignatureStatus, SignatureStatus> {
    let blob =
        armor::decode(armor, SignatureFormat::Ssh).map_err(|fault| malformed(fault.code, fault.why))?;
    let sig = SshSig::parse(&blob)?;
    let key = PublicKey::from_blob(sig.key).map_err(|error| match error {
        SshKeyError::Certificate(name) | SshKeyError::Unsupported(name) => unsupported(name.as_bytes()),
        error => malformed("ssh.key", format!("the key in the SSH signature is broken: {error}")),
    })?;
    let id = KeyId { scheme: Scheme::Ssh, text: key.fingerprint() };
    let weak = |what: String| SignatureStatus::WeakAlgorithm { key: id.clone(), what };
    if let Some(weakness) = key.weakness() {
        return Err(weak(weakness.to_string()));
    }
    let algorithm = signature_algorithm(&key, &sig, &id)?;
    if sig.namespace != NAMESPACE {
        let namespace = text::escape_short(sig.namespace, 60);
        return Err(SignatureStatus::WrongPurpose {
            key: id,
            why: format!("it was made for the namespace `{namespace}`, not `git`"),
        });
    }
    let digest = match sig.hash {
        b"sha512" => digest::<Sha512>(payload),
        b"sha256" => digest::<Sha256>(payload),
        b"sha1" | b"md5" => return Err(weak(format!("the hash {}", text::escape(sig.hash)))),
        other => {
            let hash = text::escape_short(other, 60);
            return Err(SignatureStatus::Unsupported { what: format!("SSH signature with hash {hash}") });
        }
    };
    if !keys.has_ssh(sig.key) {
        return Err(SignatureStatus::UnknownKey { key: id });
    }
    let mut signed = b"SSHSIG".to_vec();
    for field in [sig.namespace, b"", sig.hash, &digest] {
        wire::put_string(&mut signed, field);
    }
    if !arithmetic(&key, algorithm, sig.signature, &signed) {
        return Err(SignatureStatus::Bad { key: id });
    }
    let words = [sig.algorithm, b" ", sig.hash].concat();
    Ok(SignatureStatus::Verified(VerifiedSignature::new(
        Scheme::Ssh,
        id.text.clone(),
        id.text,
        text::escape(&words),
        None,
    )))
}

fn digest<D: Digest>(payload: &Payload<'_>) -> Vec<u8> {
    let mut hasher = D::new();
    hasher.update(payload.before);
    hasher.update(payload.after);
    hasher.finalize().to_vec()
}

/// The signature's algorithm, which must be one of the key's (S3), and the shape of its numbers.
fn signature_algorithm(key: &PublicKey, sig: &SshSig<'_>, id: &KeyId) -> Result<Algorithm, SignatureStatus> {
    let mismatch = || malformed("ssh.algorithm", "the signature's algorithm is not one of the key's");
    let shape = || malformed("ssh.blob", "the SSH signature's numbers have the wrong form");
    match (key.kind, sig.algorithm) {
        (Kind::Ed25519, b"ssh-ed25519") if sig.signature.len() == 64 => Ok(Algorithm::Ed25519),
        (Kind::Ed25519, b"ssh-ed25519") => Err(shape()),
        (Kind::Rsa { .. }, b"ssh-rsa") => Err(SignatureStatus::WeakAlgorithm {
            key: id.clone(),
            what: "RSA with SHA-1 (ssh-rsa)".to_owned(),
        }),
        (Kind::Rsa { bits }, b"rsa-sha2-256" | b"rsa-sha2-512") => {
            if sig.signature.is_empty() || sig.signature.len() > bits.div_ceil(8) {
                return Err(shape());
            }
            let wide = sig.algorithm == b"rsa-sha2-512";
            Ok(Algorithm::Rsa { hash: Some(if wide { HashAlg::Sha512 } else { HashAlg::Sha256 }) })
        }
        (Kind::Ecdsa { name, size }, algorithm) if algorithm == name.as_bytes() => {
            let mut numbers = Reader::new(sig.signature);
            for _ in 0..2 {
                if numbers.positive().map_err(|_| shape())?.len() > size {
                    return Err(shape());
                }
            }
            numbers.end().map_err(|_| shape())?;
            Ok(Algorithm::Ecdsa {
                curve: match size {
                    32 => EcdsaCurve::NistP256,
                    48 => EcdsaCurve::NistP384,
                    _ => EcdsaCurve::NistP521,
                },
            })
        }
        (_, algorithm) => {
            check_algorithm(algorithm)?;
            Err(mismatch())
        }
    }
}

/// Whether the numbers fit. Nothing but numbers: everything else was decided before.
fn arithmetic(key: &PublicKey, algorithm: Algorithm, signature: &[u8], signed: &[u8]) -> bool {
    let Ok(data) = KeyData::decode(&mut key.blob.as_slice()) else { return false };
    if let KeyData::Ed25519(point) = &data {
        // Strict: `ssh-key` itself would accept small-order points and several forms of one signature.
        let (Ok(point), Ok(signature)) = (
            ed25519_dalek::VerifyingKey::from_bytes(&point.0),
            ed25519_dalek::Signature::from_slice(signature),
        ) else {
            return false;
        };
        return point.verify_strict(signed, &signature).is_ok();
    }
    let mut bytes = signature.to_vec();
    if let Kind::Rsa { bits } = key.kind {
        // Some agents drop leading zeros; OpenSSH puts them back, and so do we.
        let missing = bits.div_ceil(8).saturating_sub(bytes.len());
        bytes.splice(0..0, std::iter::repeat_n(0, missing));
    }
    ssh_key::Signature::new(algorithm, bytes).is_ok_and(|signature| data.verify(signed, &signature).is_ok())
}

#[cfg(test)]
mod tests;
