//! One signature packet, kept as the bytes it came as.
//!
//! What is hashed is the packet's own bytes, never a re-encoding of what was understood.

use super::packet::{self, FrameError, Subpacket, big_endian, sub, subpackets, take};
use pgp::crypto::hash::HashAlgorithm;
use pgp::types::{Mpi, SignatureBytes};

/// Signature types (RFC 9580 section 5.2.1).
pub(super) mod kind {
    pub(in super::super) const BINARY: u8 = 0x00;
    pub(in super::super) const TEXT: u8 = 0x01;
    pub(in super::super) const SUBKEY_BINDING: u8 = 0x18;
    pub(in super::super) const PRIMARY_BINDING: u8 = 0x19;
    pub(in super::super) const DIRECT_KEY: u8 = 0x1f;
    pub(in super::super) const KEY_REVOCATION: u8 = 0x20;
    pub(in super::super) const SUBKEY_REVOCATION: u8 = 0x28;
    pub(in super::super) const CERTIFICATION_REVOCATION: u8 = 0x30;
}

/// Why a signature packet cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SignatureError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("signature version {0}")]
    Version(u8),
    #[error("signature by algorithm {0}")]
    Algorithm(u8),
}

/// A parsed signature packet of version 3, 4 or 6. Version 3 counts in revocations (O11) and in old
/// history alone (O2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawSignature {
    pub(super) version: u8,
    pub(super) kind: u8,
    pub(super) key_algorithm: u8,
    pub(super) hash: HashAlgorithm,
    pub(super) hashed: Vec<Subpacket>,
    pub(super) unhashed: Vec<Subpacket>,
    /// The part of the packet that is hashed, from the version on (version 3: type and time).
    hashed_bytes: Vec<u8>,
    prefix: [u8; 2],
    salt: Vec<u8>,
    numbers: SignatureBytes,
    /// Version 3 has its issuer and time in fixed fields.
    pub(super) v3: Option<(u32, [u8; 8])>,
    /// The packet's body as it came.
    pub(super) body: Vec<u8>,
}

/// The version and type of a signature that may not be readable any further.
pub(super) fn peek_kind(body: &[u8]) -> Option<u8> {
    match *body {
        [2 | 3, _, kind, ..] | [_, kind, ..] => Some(kind),
        _ => None,
    }
}

impl RawSignature {
    pub(super) fn parse(body: &[u8]) -> Result<Self, SignatureError> {
        match body.first() {
            Some(2 | 3) => Self::parse_v3(body),
            Some(4 | 6) => Self::parse_v4_v6(body),
            Some(other) => Err(SignatureError::Version(*other)),
            None => Err(FrameError::Truncated.into()),
        }
    }

    fn parse_v3(body: &[u8]) -> Result<Self, SignatureError> {
        let rest = &mut &body[1..];
        if big_endian(rest, 1)? != 5 {
            return Err(SignatureError::Version(body[0]));
        }
        let hashed_bytes = take(rest, 5)?.to_vec();
        let time = u32::from_be_bytes([hashed_bytes[1], hashed_bytes[2], hashed_bytes[3], hashed_bytes[4]]);
        let mut issuer = [0; 8];
        issuer.copy_from_slice(take(rest, 8)?);
        let [key_algorithm, hash] = *array(rest)?;
        let prefix = *array(rest)?;
        Ok(Self {
            version: body[0],
            kind: hashed_bytes[0],
            key_algorithm,
            hash: hash.into(),
            hashed: Vec::new(),
            unhashed: Vec::new(),
            hashed_bytes,
            prefix,
            salt: Vec::new(),
            numbers: numbers(key_algorithm, rest)?,
            v3: Some((time, issuer)),
            body: body.to_vec(),
        })
    }

    fn parse_v4_v6(body: &[u8]) -> Result<Self, SignatureError> {
        let rest = &mut &body[..];
        let [version, kind, key_algorithm, hash] = *array(rest)?;
        let width = if version == 6 { 4 } else { 2 };
        let length = big_endian(rest, width)?;
        let hashed = subpackets(take(rest, length)?)?;
        let hashed_bytes = body[..body.len() - rest.len()].to_vec();
        let length = big_endian(rest, width)?;
        let unhashed = subpackets(take(rest, length)?)?;
        let prefix = *array(rest)?;
        let salt = if version == 6 {
            let length = big_endian(rest, 1)?;
            take(rest, length)?.to_vec()
        } else {
            Vec::new()
        };
        let numbers = numbers(key_algorithm, rest)?;
        let hash = HashAlgorithm::from(hash);
        Ok(Self {
            version,
            kind,
            key_algorithm,
            hash,
            hashed,
            unhashed,
            hashed_bytes,
            prefix,
            salt,
            numbers,
            v3: None,
            body: body.to_vec(),
        })
    }

    /// The digest over `parts` and this signature's own fields; `None` where the hash is unknown, the
    /// salt has the wrong size (version 6) or the two leading octets differ. They are a hint that anybody
    /// can change, so a `lenient` reader looks past them (O11).
    pub(super) fn digest(&self, parts: &[&[u8]], lenient: bool) -> Option<Vec<u8>> {
        if self.version == 6 && self.hash.salt_len() != Some(self.salt.len()) {
            return None;
        }
        if self.hash == HashAlgorithm::Sha1 {
            // At once, because only this says so when it finds an attack by collision (O4).
            let mut data = parts.concat();
            data.extend_from_slice(&self.hashed_bytes);
            data.extend(self.trailer()?);
            let digest = self.hash.digest(&data).ok()?;
            return (lenient || digest.starts_with(&self.prefix)).then_some(digest);
        }
        let mut hasher = self.hash.new_hasher().ok()?;
        hasher.update(&self.salt);
        for part in parts {
            hasher.update(part);
        }
        hasher.update(&self.hashed_bytes);
        hasher.update(&self.trailer()?);
        let digest = hasher.finalize().into_vec();
        (lenient || digest.starts_with(&self.prefix)).then_some(digest)
    }

    /// What is hashed behind the signature's own fields; nothing in version 3.
    fn trailer(&self) -> Option<Vec<u8>> {
        if self.v3.is_some() {
            return Some(Vec::new());
        }
        let length = u32::try_from(self.hashed_bytes.len()).ok()?;
        Some([&[self.version, 0xff][..], &length.to_be_bytes()].concat())
    }

    pub(super) fn numbers(&self) -> &SignatureBytes {
        &self.numbers
    }

    /// The first hashed subpacket of a type.
    pub(super) fn hashed(&self, kind: u8) -> Option<&[u8]> {
        self.hashed.iter().find(|subpacket| subpacket.kind == kind).map(|subpacket| &subpacket.data[..])
    }

    /// A hashed subpacket that is a number of four octets.
    pub(super) fn hashed_u32(&self, kind: u8) -> Option<u32> {
        self.hashed(kind)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// The claimed time of creation, in seconds since the epoch: hashed, or in version 3's own field.
    pub(super) fn created(&self) -> Option<i64> {
        self.hashed_u32(sub::CREATED).or(self.v3.map(|(time, _)| time)).map(i64::from)
    }

    /// When the signature itself expires, absolute; `None` for never.
    pub(super) fn expires(&self) -> Option<i64> {
        let period = self.hashed_u32(sub::EXPIRES).filter(|period| *period != 0)?;
        Some(self.created()? + i64::from(period))
    }

    /// Every embedded signature in either area; they are signed themselves, so the area is no matter.
    pub(super) fn embedded(&self) -> impl Iterator<Item = &[u8]> {
        let both = self.hashed.iter().chain(&self.unhashed);
        both.filter(|subpacket| subpacket.kind == sub::EMBEDDED).map(|subpacket| &subpacket.data[..])
    }

    /// The reason for a revocation, if it gives exactly one.
    pub(super) fn reason(&self) -> Option<u8> {
        let mut reasons = self.hashed.iter().filter(|subpacket| subpacket.kind == sub::REASON);
        let first = reasons.next()?.data.first().copied();
        if reasons.next().is_some() { None } else { first }
    }

    /// Whom the signature names as its maker.
    pub(super) fn issuer(&self) -> Result<Issuer, &'static str> {
        let mut fingerprint: Option<&[u8]> = None;
        let mut key_id: Option<[u8; 8]> = self.v3.map(|(_, issuer)| issuer);
        // Hashed first: where only one of several is looked at, it is the signed one.
        for subpacket in self.hashed.iter().chain(&self.unhashed) {
            match (subpacket.kind, &subpacket.data[..]) {
                (sub::ISSUER_FINGERPRINT, [version @ (4 | 6), bytes @ ..])
                    if bytes.len() == if *version == 4 { 20 } else { 32 } =>
                {
                    if *version != self.version {
                        return Err("the issuer's fingerprint is of another version than the signature");
                    }
                    if fingerprint.replace(bytes).is_some_and(|before| before != bytes) {
                        return Err("it names two different issuers");
                    }
                }
                (sub::ISSUER_FINGERPRINT, _) => return Err("the issuer's fingerprint is malformed"),
                (sub::ISSUER, bytes) => {
                    let bytes = bytes.try_into().map_err(|_| "the issuer's key id is malformed")?;
                    if key_id.replace(bytes).is_some_and(|before| before != bytes) {
                        return Err("it names two different issuers");
                    }
                }
                _ => {}
            }
        }
        match (fingerprint, key_id) {
            (Some(fingerprint), Some(id)) if key_id_of(fingerprint) != id => {
                Err("the issuer's fingerprint and key id contradict each other")
            }
            (Some(fingerprint), _) => Ok(Issuer::Fingerprint(fingerprint.to_vec())),
            (None, Some(id)) => Ok(Issuer::KeyId(id)),
            (None, None) => Ok(Issuer::Unnamed),
        }
    }

    /// Rules for every signature that speaks *for* something (O5): revocations are exempt (O11).
    pub(super) fn check_subpackets(&self) -> Result<(), Strict> {
        let mut seen = [false; 128];
        for subpacket in &self.hashed {
            let kind = usize::from(subpacket.kind);
            if seen[kind] && !matches!(subpacket.kind, sub::NOTATION | sub::REVOCATION_KEY | 35) {
                return Err(Strict("pgp.duplicate_subpacket", "a hashed subpacket occurs twice"));
            }
            seen[kind] = true;
        }
        for subpacket in self.hashed.iter().chain(&self.unhashed).filter(|subpacket| subpacket.critical) {
            match subpacket.kind {
                sub::NOTATION => {
                    return Err(Strict("pgp.critical_notation", "it has a critical notation"));
                }
                // Understood, or of no consequence here: times, flags, issuers, preferences.
                2 | 3 | 4 | 7 | 9 | 11 | 12 | 16 | 21..=30 | 32..=35 | 39 => {}
                _ => {
                    return Err(Strict(
                        "pgp.critical_subpacket",
                        "it has a critical subpacket that is not understood",
                    ));
                }
            }
        }
        let number = |kind: u8| self.hashed(kind).is_none_or(|data| data.len() == 4);
        if !number(sub::CREATED) || !number(sub::EXPIRES) || !number(sub::KEY_EXPIRES) {
            return Err(Strict("pgp.subpacket", "a time subpacket does not have four octets"));
        }
        if self.hashed(sub::CREATED).is_none() {
            return Err(Strict("pgp.no_creation_time", "its hashed part has no creation time"));
        }
        Ok(())
    }
}

/// A broken rule: reason code and the same for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Strict(pub(super) &'static str, pub(super) &'static str);

/// Whom a signature names as its maker (O6). A hint: who made it is known once the numbers fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Issuer {
    Fingerprint(Vec<u8>),
    KeyId([u8; 8]),
    Unnamed,
}

/// The 64-bit key id inside a fingerprint: its end for version 4, its beginning for version 6.
pub(super) fn key_id_of(fingerprint: &[u8]) -> [u8; 8] {
    let slice = if fingerprint.len() == 20 { &fingerprint[12..] } else { &fingerprint[..8] };
    slice.try_into().expect("fingerprints have 20 or 32 bytes")
}

fn array<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], FrameError> {
    let (taken, tail) = rest.split_first_chunk::<N>().ok_or(FrameError::Truncated)?;
    *rest = tail;
    Ok(taken)
}

/// The algorithm-specific part, which must end where the packet ends.
fn numbers(key_algorithm: u8, rest: &mut &[u8]) -> Result<SignatureBytes, SignatureError> {
    let mut mpis = |count: usize| -> Result<SignatureBytes, SignatureError> {
        let mut out = Vec::with_capacity(count);
        for _ in 0..count {
            let bits = big_endian(rest, 2)?;
            out.push(Mpi::from_slice(take(rest, bits.div_ceil(8))?));
        }
        Ok(SignatureBytes::Mpis(out))
    };
    let numbers = match key_algorithm {
        1 | 3 => mpis(1)?,
        17 | 19 | 22 => mpis(2)?,
        27 => SignatureBytes::Native(take(rest, 64)?.to_vec().into()),
        28 => SignatureBytes::Native(take(rest, 114)?.to_vec().into()),
        other => return Err(SignatureError::Algorithm(other)),
    };
    if rest.is_empty() { Ok(numbers) } else { Err(packet::FrameError::Trailing.into()) }
}
