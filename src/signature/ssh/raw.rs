//! Single signatures inside of SSHSIG blobs and certificates: algorithm, numbers and, from a FIDO
//! authenticator, flags and a counter (S3, S5). Strict arithmetic, and nothing but arithmetic.

use super::super::wire::{Reader, WireError};
use super::key::{Curve, Kind, PublicKey, check_name};
use ed25519_dalek::Verifier;
use sha2::{Digest, Sha256};
use ssh_key::encoding::Decode;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, HashAlg};

/// Somebody touched the authenticator.
pub(super) const USER_PRESENT: u8 = 0x01;
/// The authenticator knew who it was.
pub(super) const USER_VERIFIED: u8 = 0x04;
/// What an authenticator sets when more data follows, which SSH has no place for.
pub(super) const FOREIGN_FLAGS: u8 = 0x40 | 0x80;

/// A parsed signature whose algorithm is one of its key's.
pub(super) struct RawSignature<'a> {
    pub(super) algorithm: &'a [u8],
    numbers: &'a [u8],
    pub(super) fido: Option<Counted>,
}

/// What a FIDO authenticator signed along.
#[derive(Clone, Copy)]
pub(super) struct Counted {
    pub(super) flags: u8,
    pub(super) counter: u32,
}

/// Why bytes are not a signature by a key.
pub(super) enum RawFault<'a> {
    /// The encoding is broken.
    Wire(WireError),
    /// The numbers have a form that no signature has.
    Shape,
    /// An algorithm of another kind of key.
    Mismatch,
    /// RSA with SHA-1.
    Sha1,
    /// An algorithm that is not verified here.
    Unsupported(&'a [u8]),
}

impl From<WireError> for RawFault<'_> {
    fn from(error: WireError) -> Self {
        RawFault::Wire(error)
    }
}

impl<'a> RawSignature<'a> {
    /// Reads `string algorithm, string numbers`, and for a FIDO key `byte flags, uint32 counter`.
    pub(super) fn parse(blob: &'a [u8], key: &PublicKey) -> Result<Self, RawFault<'a>> {
        let mut reader = Reader::new(blob);
        let algorithm = reader.string()?;
        match (key.kind(), algorithm) {
            (Kind::Rsa { .. }, b"ssh-rsa") => return Err(RawFault::Sha1),
            (Kind::Rsa { .. }, b"rsa-sha2-256" | b"rsa-sha2-512") => {}
            (Kind::Rsa { .. }, _) => return Err(other(algorithm)),
            (_, name) if name == key.algorithm().as_bytes() => {}
            _ => return Err(other(algorithm)),
        }
        let numbers = reader.string()?;
        let fido = match key.kind() {
            Kind::SkEd25519 | Kind::SkEcdsa => {
                Some(Counted { flags: reader.byte()?, counter: reader.u32()? })
            }
            _ => None,
        };
        reader.end()?;
        let fits = match key.kind() {
            Kind::Ed25519 | Kind::SkEd25519 => numbers.len() == 64,
            Kind::Rsa { bits } => !numbers.is_empty() && numbers.len() <= bits.div_ceil(8),
            Kind::Ecdsa(curve) => scalars(numbers, curve).is_some(),
            Kind::SkEcdsa => scalars(numbers, Curve::P256).is_some(),
            Kind::Dsa => false,
        };
        if fits { Ok(Self { algorithm, numbers, fido }) } else { Err(RawFault::Shape) }
    }

    /// Whether the numbers fit. Nothing but numbers: everything else is decided elsewhere.
    pub(super) fn verifies(&self, key: &PublicKey, signed: &[u8]) -> bool {
        let framed = self.fido.map(|counted| {
            let application = key.application().unwrap_or_default();
            let mut data = Sha256::digest(application.as_bytes()).to_vec();
            data.push(counted.flags);
            data.extend_from_slice(&counted.counter.to_be_bytes());
            data.extend_from_slice(&Sha256::digest(signed));
            data
        });
        let signed = framed.as_deref().unwrap_or(signed);
        match key.kind() {
            Kind::Ed25519 | Kind::SkEd25519 => self.edwards(key, signed).unwrap_or(false),
            Kind::Ecdsa(curve) => self.weierstrass(key, curve, signed).unwrap_or(false),
            Kind::SkEcdsa => self.weierstrass(key, Curve::P256, signed).unwrap_or(false),
            Kind::Rsa { bits } => self.rsa(key, bits, signed),
            Kind::Dsa => false,
        }
    }

    /// Strict: no small-order points, one form of each signature.
    fn edwards(&self, key: &PublicKey, signed: &[u8]) -> Option<bool> {
        let point = ed25519_dalek::VerifyingKey::from_bytes(key.point()?.try_into().ok()?).ok()?;
        let signature = ed25519_dalek::Signature::from_slice(self.numbers).ok()?;
        Some(point.verify_strict(signed, &signature).is_ok())
    }

    fn weierstrass(&self, key: &PublicKey, curve: Curve, signed: &[u8]) -> Option<bool> {
        let (point, scalars) = (key.point()?, scalars(self.numbers, curve)?);
        // `from_slice` refuses zero and what is not below the order.
        Some(match curve {
            Curve::P256 => {
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
                key.verify(signed, &p256::ecdsa::Signature::from_slice(&scalars).ok()?).is_ok()
            }
            Curve::P384 => {
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
                key.verify(signed, &p384::ecdsa::Signature::from_slice(&scalars).ok()?).is_ok()
            }
            Curve::P521 => {
                let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
                key.verify(signed, &p521::ecdsa::Signature::from_slice(&scalars).ok()?).is_ok()
            }
        })
    }

    fn rsa(&self, key: &PublicKey, bits: usize, signed: &[u8]) -> bool {
        let hash = match self.algorithm {
            b"rsa-sha2-256" => HashAlg::Sha256,
            b"rsa-sha2-512" => HashAlg::Sha512,
            _ => return false,
        };
        let Ok(data) = KeyData::decode(&mut key.blob()) else { return false };
        let mut bytes = self.numbers.to_vec();
        // Some agents drop leading zeros; OpenSSH puts them back, and so do we.
        let missing = bits.div_ceil(8).saturating_sub(bytes.len());
        bytes.splice(0..0, std::iter::repeat_n(0, missing));
        let algorithm = Algorithm::Rsa { hash: Some(hash) };
        ssh_key::Signature::new(algorithm, bytes)
            .is_ok_and(|signature| data.verify(signed, &signature).is_ok())
    }
}

/// An algorithm that is not one of the key's: one that some other key may have, or one that is not
/// verified at all.
fn other(algorithm: &[u8]) -> RawFault<'_> {
    let known = matches!(algorithm, b"rsa-sha2-256" | b"rsa-sha2-512") || check_name(algorithm).is_ok();
    if known { RawFault::Mismatch } else { RawFault::Unsupported(algorithm) }
}

/// `mpint r, mpint s` as two numbers of the curve's length.
fn scalars(numbers: &[u8], curve: Curve) -> Option<Vec<u8>> {
    let size = curve.size();
    let mut reader = Reader::new(numbers);
    let mut out = Vec::with_capacity(2 * size);
    for _ in 0..2 {
        let number = reader.positive().ok()?;
        out.resize(out.len() + size.checked_sub(number.len())?, 0);
        out.extend_from_slice(number);
    }
    reader.end().ok()?;
    Some(out)
}
