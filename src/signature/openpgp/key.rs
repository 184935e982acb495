//! One key packet: its fingerprint from its own bytes, its algorithm by our policy, and the arithmetic
//! from the `pgp` crate.

use super::signature::{RawSignature, key_id_of};
use crate::domain::text;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{PacketHeader, PublicKey};
use pgp::types::{
    EcdsaPublicParams, EddsaLegacyPublicParams, KeyDetails, PublicParams, SignatureBytes, Tag, VerifyingKey,
};
use std::fmt;

/// Smallest RSA modulus that is accepted, in bits (O4).
pub const MIN_RSA_BITS: u32 = 2048;

/// The algorithm of a key, as far as the policy tells algorithms apart (O4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// RSA with a modulus of this many bits.
    Rsa(u32),
    /// Ed25519 in its native (RFC 9580) encoding.
    Ed25519,
    /// Ed25519 in the encoding that GnuPG uses.
    Ed25519Legacy,
    /// Ed448.
    Ed448,
    /// ECDSA over NIST P-256, P-384 or P-521 (the number).
    Ecdsa(u16),
    /// DSA: too weak.
    Dsa,
    /// A key that encrypts and cannot sign.
    EncryptionOnly(&'static str),
    /// Another algorithm or curve, or numbers that are no key.
    Other(String),
}

impl KeyAlgorithm {
    /// Why no signature by such a key is accepted, or `None`.
    pub fn weakness(&self) -> Option<String> {
        match self {
            KeyAlgorithm::Rsa(bits) if *bits < MIN_RSA_BITS => Some(self.to_string()),
            KeyAlgorithm::Dsa | KeyAlgorithm::Other(_) => Some(self.to_string()),
            _ => None,
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyAlgorithm::Rsa(bits) => write!(f, "RSA-{bits}"),
            KeyAlgorithm::Ed25519 | KeyAlgorithm::Ed25519Legacy => write!(f, "Ed25519"),
            KeyAlgorithm::Ed448 => write!(f, "Ed448"),
            KeyAlgorithm::Ecdsa(bits) => write!(f, "ECDSA P-{bits}"),
            KeyAlgorithm::Dsa => write!(f, "DSA"),
            KeyAlgorithm::EncryptionOnly(name) => f.write_str(name),
            KeyAlgorithm::Other(name) => f.write_str(name),
        }
    }
}

/// Why a key packet cannot be used at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error("it is of an unsupported version")]
    Version,
    #[error("its encoding is broken")]
    Encoding,
    /// A point that is not on its curve, or one of small order (K073).
    #[error("it has a point that no key has")]
    Point,
}

/// A primary key or subkey.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) version: u8,
    pub(super) fingerprint: Vec<u8>,
    /// Seconds since the epoch.
    pub(super) created: i64,
    pub(super) algorithm: KeyAlgorithm,
    algorithm_id: u8,
    /// What is hashed for this key: framing octet, length, body.
    framed: Vec<u8>,
    /// `None` where the crate does not know the algorithm or refuses the numbers.
    material: Option<Box<PublicKey>>,
}

impl Key {
    pub(super) fn parse(body: &[u8]) -> Result<Self, KeyError> {
        let [version @ (4 | 6), t0, t1, t2, t3, algorithm_id, ..] = *body else {
            return Err(if matches!(body, [4 | 6, ..]) { KeyError::Encoding } else { KeyError::Version });
        };
        let (framed, hash) = if version == 4 {
            let length = u16::try_from(body.len()).map_err(|_| KeyError::Encoding)?;
            ([&[0x99][..], &length.to_be_bytes(), body].concat(), HashAlgorithm::Sha1)
        } else {
            let length = u32::try_from(body.len()).map_err(|_| KeyError::Encoding)?;
            ([&[0x9b][..], &length.to_be_bytes(), body].concat(), HashAlgorithm::Sha256)
        };
        // An error here is a detected SHA-1 collision attack.
        let fingerprint = hash.digest(&framed).map_err(|_| KeyError::Encoding)?;
        let length = u32::try_from(body.len()).map_err(|_| KeyError::Encoding)?;
        let header = PacketHeader::new_fixed(Tag::PublicKey, length);
        // The crate re-encodes what it understood to compute a fingerprint: a different one means that
        // it understood something else than these bytes.
        let material = PublicKey::try_from_reader(header, body)
            .ok()
            .filter(|key| key.fingerprint().as_bytes() == fingerprint)
            .map(Box::new);
        let algorithm = match &material {
            Some(key) => algorithm_of(key.public_params(), algorithm_id).ok_or(KeyError::Point)?,
            // The crate reads a point only if it lies on its curve.
            None if has_known_curve(algorithm_id, &body[6..]) => return Err(KeyError::Point),
            None => KeyAlgorithm::Other(format!("algorithm {algorithm_id} with unusable numbers")),
        };
        let created = i64::from(u32::from_be_bytes([t0, t1, t2, t3]));
        Ok(Self { version, fingerprint, created, algorithm, algorithm_id, framed, material })
    }

    pub(super) fn key_id(&self) -> [u8; 8] {
        key_id_of(&self.fingerprint)
    }

    pub(super) fn hex(&self) -> String {
        hex(&self.fingerprint)
    }

    /// What is hashed for this key.
    pub(super) fn framed(&self) -> &[u8] {
        &self.framed
    }

    /// The body of the key's packet.
    pub(super) fn body(&self) -> &[u8] {
        let header = if self.version == 4 { 3 } else { 5 };
        &self.framed[header..]
    }

    /// Whether this key made `signature` over `parts`: arithmetic, nothing else.
    pub(super) fn made(&self, signature: &RawSignature, parts: &[&[u8]]) -> bool {
        self.fits(signature, parts, false)
    }

    /// The same for a revocation, where neither a hash that is too short for the key's curve nor a hint
    /// that does not fit it is a reason to say no (O11).
    pub(super) fn revoked_by(&self, signature: &RawSignature, parts: &[&[u8]]) -> bool {
        self.fits(signature, parts, true)
    }

    fn fits(&self, signature: &RawSignature, parts: &[&[u8]], lenient: bool) -> bool {
        let versions_fit = match signature.version {
            6 => self.version == 6,
            _ => self.version == 4,
        };
        let Some(material) = self.material.as_ref().filter(|_| {
            // RSA has a second id, for keys that only sign.
            let same = |id: u8| if id == 3 { 1 } else { id };
            versions_fit && same(signature.key_algorithm) == same(self.algorithm_id)
        }) else {
            return false;
        };
        let Some(digest) = signature.digest(parts, lenient) else { return false };
        let point = match material.public_params() {
            PublicParams::Ed25519(params) => Some(&params.key),
            PublicParams::EdDSALegacy(EddsaLegacyPublicParams::Ed25519 { key }) => Some(key),
            _ => None,
        };
        if let Some(point) = point {
            // Strict, where the crate is not: no small-order points, one form for one signature (K074).
            let Some(bytes) = ed25519_bytes(signature.numbers()) else { return false };
            return point.verify_strict(&digest, &bytes.into()).is_ok();
        }
        if !lenient {
            return material.verify(signature.hash, &digest, signature.numbers()).is_ok();
        }
        // The crate refuses short hashes by their names and lengths. ECDSA takes the digest as a number,
        // which zeros in front of it do not change; Ed448 takes any octets.
        let (hash, digest) = match &self.algorithm {
            KeyAlgorithm::Ecdsa(bits) => {
                let width = usize::from(*bits).div_ceil(8);
                (HashAlgorithm::Sha512, [vec![0; width.saturating_sub(digest.len())], digest].concat())
            }
            KeyAlgorithm::Ed448 => (HashAlgorithm::Sha512, digest),
            _ => (signature.hash, digest),
        };
        material.verify(hash, &digest, signature.numbers()).is_ok()
    }
}

/// Whether the numbers of a key are a point on a curve that the crate computes with, or should be.
fn has_known_curve(algorithm_id: u8, numbers: &[u8]) -> bool {
    const CURVES: [&[u8]; 5] = [
        b"\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
        b"\x05\x2b\x81\x04\x00\x22",
        b"\x05\x2b\x81\x04\x00\x23",
        b"\x05\x2b\x81\x04\x00\x0a",
        b"\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01",
    ];
    match algorithm_id {
        19 | 22 => CURVES.iter().any(|oid| numbers.starts_with(oid)),
        27 | 28 => true,
        _ => false,
    }
}

/// Ed448 points whose multiples are few: by the ordinate 0, 1 or -1. Ordinates past the field's end would
/// be second names of points, and are refused with them.
fn is_small_ed448(point: &[u8]) -> bool {
    let [low, middle @ .., _sign] = point else { return true };
    let Some((low_half, high_half)) = middle.split_at_checked(27) else { return true };
    let all = |octets: &[u8], wanted: u8| octets.iter().all(|octet| *octet == wanted);
    // The field's prime is ff (28 times), fe, ff (27 times), from the lowest octet on.
    match high_half {
        [0, rest @ ..] if all(rest, 0) => *low < 2 && all(low_half, 0),
        [0xfe, rest @ ..] if all(rest, 0xff) => *low >= 0xfe && all(low_half, 0xff),
        [0xff, rest @ ..] => all(rest, 0xff),
        _ => false,
    }
}

fn ed25519_bytes(numbers: &SignatureBytes) -> Option<[u8; 64]> {
    match numbers {
        SignatureBytes::Native(bytes) => bytes[..].try_into().ok(),
        SignatureBytes::Mpis(mpis) => {
            let [r, s] = &mpis[..] else { return None };
            let mut out = [0; 64];
            for (half, number) in out.chunks_exact_mut(32).zip([r.as_ref(), s.as_ref()]) {
                let start = half.len().checked_sub(number.len())?;
                half[start..].copy_from_slice(number);
            }
            Some(out)
        }
    }
}

/// `None` for a point of small order: signatures by it fit everything (K073).
fn algorithm_of(params: &PublicParams, id: u8) -> Option<KeyAlgorithm> {
    Some(match params {
        // The crate's own type is a fork's: its size comes from the number's encoding.
        PublicParams::RSA(params) => {
            use pgp::ser::Serialize;
            let bits = params.to_bytes().ok().and_then(|bytes| bytes.first_chunk::<2>().copied());
            KeyAlgorithm::Rsa(bits.map_or(0, u16::from_be_bytes).into())
        }
        PublicParams::DSA(_) => KeyAlgorithm::Dsa,
        PublicParams::ECDSA(EcdsaPublicParams::P256 { .. }) => KeyAlgorithm::Ecdsa(256),
        PublicParams::ECDSA(EcdsaPublicParams::P384 { .. }) => KeyAlgorithm::Ecdsa(384),
        PublicParams::ECDSA(EcdsaPublicParams::P521 { .. }) => KeyAlgorithm::Ecdsa(521),
        PublicParams::ECDSA(other) => KeyAlgorithm::Other(format!("ECDSA {}", other.curve())),
        PublicParams::Ed25519(params) if !params.key.is_weak() => KeyAlgorithm::Ed25519,
        PublicParams::EdDSALegacy(EddsaLegacyPublicParams::Ed25519 { key }) if !key.is_weak() => {
            KeyAlgorithm::Ed25519Legacy
        }
        PublicParams::Ed25519(_) | PublicParams::EdDSALegacy(EddsaLegacyPublicParams::Ed25519 { .. }) => {
            return None;
        }
        PublicParams::EdDSALegacy(EddsaLegacyPublicParams::Unsupported { curve, .. }) => {
            KeyAlgorithm::Other(format!("EdDSA {curve}"))
        }
        PublicParams::Ed448(params) if is_small_ed448(&params.key.as_bytes()[..]) => return None,
        PublicParams::Ed448(_) => KeyAlgorithm::Ed448,
        PublicParams::Elgamal(_) => KeyAlgorithm::EncryptionOnly("Elgamal"),
        PublicParams::ECDH(_) => KeyAlgorithm::EncryptionOnly("ECDH"),
        PublicParams::X25519(_) => KeyAlgorithm::EncryptionOnly("X25519"),
        PublicParams::X448(_) => KeyAlgorithm::EncryptionOnly("X448"),
        _ => KeyAlgorithm::Other(format!("algorithm {id}")),
    })
}

/// Upper-case hexadecimal, as OpenPGP tools show fingerprints.
pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXUPPER.encode(bytes)
}

/// A hash algorithm's name for records.
pub(super) fn hash_name(hash: HashAlgorithm) -> String {
    text::escape(hash.to_string().to_ascii_lowercase().as_bytes())
}
