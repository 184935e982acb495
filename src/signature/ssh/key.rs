//! OpenSSH public keys (S4): the blob of RFC 4253, read strictly.

use super::super::wire::{self, Reader, WireError};
use crate::domain::text;
use data_encoding::{BASE64, BASE64_NOPAD};
use sha2::{Digest, Sha256};
use std::fmt;

/// Smallest RSA modulus that is accepted, in bits (S3).
pub const MIN_RSA_BITS: usize = 2048;
/// Largest RSA modulus that can be verified, in bits: a limit of the `rsa` crate (S029).
pub const MAX_RSA_BITS: usize = 8192;
/// Longest key line that is read, in bytes.
const MAX_KEY_LINE: usize = 16 * 1024;
/// Longest FIDO application that is read, in bytes.
const MAX_APPLICATION: usize = 256;
/// What the name of a certificate type ends in.
const CERTIFICATE: &[u8] = b"-cert-v01@openssh.com";

/// A curve of NIST's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    const fn name(self) -> &'static [u8] {
        match self {
            Curve::P256 => b"nistp256",
            Curve::P384 => b"nistp384",
            Curve::P521 => b"nistp521",
        }
    }

    /// Length of a coordinate in bytes.
    pub(super) const fn size(self) -> usize {
        match self {
            Curve::P256 => 32,
            Curve::P384 => 48,
            Curve::P521 => 66,
        }
    }

    fn has(self, point: &[u8]) -> bool {
        match self {
            Curve::P256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(point).is_ok(),
            Curve::P384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(point).is_ok(),
            Curve::P521 => p521::ecdsa::VerifyingKey::from_sec1_bytes(point).is_ok(),
        }
    }
}

/// Which algorithm a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ed25519,
    Ecdsa(Curve),
    Rsa { bits: usize },
    Dsa,
    SkEd25519,
    SkEcdsa,
}

impl Kind {
    /// The kind of a plain key by its name; the size of an RSA key is not known yet.
    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"ssh-ed25519" => Kind::Ed25519,
            b"ssh-rsa" => Kind::Rsa { bits: 0 },
            b"ssh-dss" => Kind::Dsa,
            b"ecdsa-sha2-nistp256" => Kind::Ecdsa(Curve::P256),
            b"ecdsa-sha2-nistp384" => Kind::Ecdsa(Curve::P384),
            b"ecdsa-sha2-nistp521" => Kind::Ecdsa(Curve::P521),
            b"sk-ssh-ed25519@openssh.com" => Kind::SkEd25519,
            b"sk-ecdsa-sha2-nistp256@openssh.com" => Kind::SkEcdsa,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Kind::Ed25519 => "ssh-ed25519",
            Kind::Ecdsa(Curve::P256) => "ecdsa-sha2-nistp256",
            Kind::Ecdsa(Curve::P384) => "ecdsa-sha2-nistp384",
            Kind::Ecdsa(Curve::P521) => "ecdsa-sha2-nistp521",
            Kind::Rsa { .. } => "ssh-rsa",
            Kind::Dsa => "ssh-dss",
            Kind::SkEd25519 => "sk-ssh-ed25519@openssh.com",
            Kind::SkEcdsa => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }
}

/// A plain OpenSSH public key in canonical encoding, of a FIDO authenticator or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    blob: Vec<u8>,
    kind: Kind,
    application: Option<String>,
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
    #[error("this is an SSH certificate ({0}); give the plain key, or list its authority's key")]
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

/// Whether text is a private key in any of the usual containers.
pub(super) fn looks_private(text: &str) -> bool {
    text.contains("PRIVATE KEY-----") || text.trim_start().starts_with("PuTTY-User-Key-File")
}

/// Parses an OpenSSH public key line, `type base64 [comment]`, as in a `.pub` file. Options before the
/// type, as in `authorized_keys`, are refused.
///
/// # Errors
/// See [`SshKeyError`]. A weak key is no error: see [`PublicKey::weakness`].
pub fn parse_public_key(line: &str) -> Result<PublicKey, SshKeyError> {
    if looks_private(line) {
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

/// Whether `name` looks like the name of a key type at all. What does not is not repeated in a message:
/// it may be part of a secret.
pub(super) fn is_type_name(name: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-@.".contains(byte);
    name.len() <= 64 && name.contains(&b'-') && name.iter().all(plain)
}

/// Names that are recognised and refused, so that the message can say what it is (S4).
pub(super) fn check_name(name: &[u8]) -> Result<(), SshKeyError> {
    if !is_type_name(name) {
        return Err(SshKeyError::Line);
    }
    if name.windows(7).any(|window| window == b"-cert-v") {
        Err(SshKeyError::Certificate(text::escape(name)))
    } else if Kind::of(name).is_some() {
        Ok(())
    } else {
        Err(SshKeyError::Unsupported(text::escape(name)))
    }
}

/// The name of the plain key type behind that of a certificate type, where it is one of ours.
pub(super) fn certified_type(name: &[u8]) -> Option<&'static str> {
    // The names of FIDO types have their domain at the end, and a certificate's takes its place.
    let plain = name.strip_suffix(CERTIFICATE)?;
    if plain.contains(&b'@') {
        return None;
    }
    let kind = Kind::of(plain).or_else(|| Kind::of(&[plain, b"@openssh.com"].concat()))?;
    Some(kind.name())
}

impl PublicKey {
    /// Reads a public key blob (RFC 4253 section 6.6), which must be in canonical encoding.
    ///
    /// # Errors
    /// See [`SshKeyError`]; a small-order Ed25519 point is one (K073), and a point off its curve.
    pub fn from_blob(blob: &[u8]) -> Result<Self, SshKeyError> {
        let mut reader = Reader::new(blob);
        let name = reader.string()?;
        check_name(name)?;
        let (kind, application) = read_numbers(name, &mut reader)?;
        reader.end()?;
        Ok(Self { blob: blob.to_vec(), kind, application })
    }

    /// The plain key inside a certificate: `reader` stands behind the nonce and ends up behind the key.
    pub(super) fn read_certified(name: &'static str, reader: &mut Reader<'_>) -> Result<Self, SshKeyError> {
        let before = reader.rest();
        let (kind, application) = read_numbers(name.as_bytes(), reader)?;
        let numbers = &before[..before.len() - reader.rest().len()];
        let mut blob = Vec::with_capacity(4 + name.len() + numbers.len());
        wire::put_string(&mut blob, name.as_bytes());
        blob.extend_from_slice(numbers);
        Ok(Self { blob, kind, application })
    }

    /// The key in the encoding of RFC 4253: what [`Keys::has_ssh`](crate::signature::Keys::has_ssh) is
    /// asked for.
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
            Kind::Ed25519 | Kind::SkEd25519 | Kind::SkEcdsa => 256,
            Kind::Ecdsa(Curve::P521) => 521,
            Kind::Ecdsa(curve) => curve.size() * 8,
            Kind::Rsa { bits } => bits,
            Kind::Dsa => 1024,
        }
    }

    /// The application that a FIDO key is for, `ssh:` by default; `None` for any other key (S5).
    pub fn application(&self) -> Option<&str> {
        self.application.as_deref()
    }

    /// Why no signature by this key would be accepted, or `None`.
    pub fn weakness(&self) -> Option<Weakness> {
        match self.kind {
            Kind::Dsa => Some(Weakness::Dsa),
            Kind::Rsa { bits } if bits < MIN_RSA_BITS => Some(Weakness::SmallRsa(bits)),
            _ => None,
        }
    }

    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    /// The point of a key on a curve, as it stands in the blob.
    pub(super) fn point(&self) -> Option<&[u8]> {
        let mut reader = Reader::new(&self.blob);
        reader.string().ok()?;
        match self.kind {
            Kind::Ed25519 | Kind::SkEd25519 => reader.string().ok(),
            Kind::Ecdsa(_) | Kind::SkEcdsa => {
                reader.string().ok()?;
                reader.string().ok()
            }
            Kind::Rsa { .. } | Kind::Dsa => None,
        }
    }
}

/// What follows the name in a key blob, and the nonce in a certificate.
fn read_numbers(name: &[u8], reader: &mut Reader<'_>) -> Result<(Kind, Option<String>), SshKeyError> {
    let kind = Kind::of(name).ok_or(SshKeyError::Encoding("unknown type"))?;
    let mut application = None;
    let kind = match kind {
        Kind::Ed25519 => {
            edwards(reader)?;
            kind
        }
        Kind::SkEd25519 => {
            edwards(reader)?;
            application = Some(read_application(reader)?);
            kind
        }
        Kind::Ecdsa(curve) => {
            weierstrass(curve, reader)?;
            kind
        }
        Kind::SkEcdsa => {
            weierstrass(Curve::P256, reader)?;
            application = Some(read_application(reader)?);
            kind
        }
        Kind::Rsa { .. } => Kind::Rsa { bits: rsa(reader)? },
        Kind::Dsa => {
            for _ in 0..4 {
                reader.positive()?;
            }
            kind
        }
    };
    Ok((kind, application))
}

fn edwards(reader: &mut Reader<'_>) -> Result<(), SshKeyError> {
    let point = <[u8; 32]>::try_from(reader.string()?)
        .map_err(|_| SshKeyError::Encoding("an Ed25519 key has 32 bytes"))?;
    let key = ed25519_dalek::VerifyingKey::from_bytes(&point)
        .map_err(|_| SshKeyError::Invalid("not a point on the curve"))?;
    if key.is_weak() {
        return Err(SshKeyError::Invalid("a point of small order, which verifies anything"));
    }
    Ok(())
}

fn weierstrass(curve: Curve, reader: &mut Reader<'_>) -> Result<(), SshKeyError> {
    if reader.string()? != curve.name() {
        return Err(SshKeyError::Encoding("the curve is not that of the type"));
    }
    let point = reader.string()?;
    if point.len() != 1 + 2 * curve.size() || point[0] != 4 {
        return Err(SshKeyError::Encoding("the point is not in its uncompressed form"));
    }
    if !curve.has(point) {
        return Err(SshKeyError::Invalid("not a point on the curve"));
    }
    Ok(())
}

fn rsa(reader: &mut Reader<'_>) -> Result<usize, SshKeyError> {
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
    Ok(bits)
}

fn read_application(reader: &mut Reader<'_>) -> Result<String, SshKeyError> {
    let bytes = reader.string()?;
    let text =
        std::str::from_utf8(bytes).map_err(|_| SshKeyError::Invalid("its application is not UTF-8"))?;
    if text.is_empty() || text.len() > MAX_APPLICATION || text.chars().any(char::is_control) {
        return Err(SshKeyError::Invalid("a FIDO application that no key has"));
    }
    Ok(text.to_owned())
}

pub(super) fn fingerprint(blob: &[u8]) -> String {
    fingerprint_of(&Sha256::digest(blob).into())
}

/// The fingerprint of the blob with this digest.
pub(super) fn fingerprint_of(digest: &[u8; 32]) -> String {
    format!("SHA256:{}", BASE64_NOPAD.encode(digest))
}
