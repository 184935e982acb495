//! Taking key files apart into certificates, and writing a certificate anew with nothing but what counts.

use super::blocks;
use super::certificate::{Certificate, CertificateError, Over};
use super::filing::{Filed, hinted};
use super::key::{KeyAlgorithm, hex};
use super::packet::{next_packet, tag};
use super::signature::{RawSignature, kind, peek_kind};
use super::validity::{Component, Moments, timestamp};
use crate::domain::Timestamp;
use crate::signature::{Rules, Trace};

/// Most packets in a file of many certificates.
const MAX_PACKETS: usize = 1 << 20;
/// Most certificates in a file.
const MAX_CERTIFICATES: usize = 20_000;

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// One certificate of a key file, not looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its packets, in binary.
    pub bytes: Vec<u8>,
    /// The line of the armored block that it stands in, from 1; 0 in a binary file.
    pub line: usize,
    /// Where it begins in the block or the binary file, in bytes.
    pub offset: usize,
}

/// A key of a certificate whose signatures over data count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// Upper-case hexadecimal.
    pub fingerprint: String,
    /// 16 upper-case hexadecimal digits.
    pub key_id: String,
    /// When it was made: nothing it signs is older.
    pub created: Timestamp,
    /// When it ends, by its own word.
    pub until: Option<Timestamp>,
}

/// Takes a key file apart: binary, or any number of armored blocks, of any number of certificates. A
/// revocation in a block of its own goes to the certificate that it is for.
///
/// # Errors
/// See [`CertificateError`]; that the certificates themselves can be read is not asked.
pub fn pieces(bytes: &[u8]) -> Result<Vec<Piece>, CertificateError> {
    let blocks = blocks::split(bytes)?;
    let armored = bytes.first().is_some_and(|first| *first < 0x80);
    let text = if armored { String::from_utf8_lossy(bytes) } else { "".into() };
    let begins = text.lines().enumerate().filter(|(_, line)| line.trim_end_matches('\r') == BEGIN);
    let mut begins = begins.map(|(index, _)| index + 1);
    let mut out: Vec<Piece> = Vec::new();
    let mut loose = Vec::new();
    let mut count = 0;
    for block in &blocks {
        let line = begins.next().unwrap_or(0);
        let mut rest = &block[..];
        let mut inside = false;
        loop {
            let before = rest;
            let Some(packet) = next_packet(&mut rest)? else { break };
            let raw = &before[..before.len() - rest.len()];
            count += 1;
            match packet.tag {
                tag::SECRET_KEY | tag::SECRET_SUBKEY => return Err(CertificateError::SecretKey),
                tag::PUBLIC_KEY => {
                    inside = true;
                    let offset = block.len() - before.len();
                    out.push(Piece { bytes: raw.to_vec(), line, offset });
                }
                tag::SIGNATURE if !inside => loose.push((out.len(), packet.body, raw)),
                other => match out.last_mut().filter(|_| inside) {
                    Some(piece) => piece.bytes.extend_from_slice(raw),
                    None => return Err(CertificateError::UnexpectedPacket(other)),
                },
            }
            if count > MAX_PACKETS || out.len() > MAX_CERTIFICATES {
                return Err(CertificateError::TooMany);
            }
        }
    }
    for (after, body, raw) in loose {
        attach(&mut out, after, body, raw)?;
    }
    if out.is_empty() { Err(CertificateError::NotACertificate) } else { Ok(out) }
}

/// Puts a revocation that stood alone behind the certificate that it is for, where it counts as well.
fn attach(pieces: &mut [Piece], after: usize, body: &[u8], raw: &[u8]) -> Result<(), CertificateError> {
    match peek_kind(body) {
        Some(kind::KEY_REVOCATION | kind::SUBKEY_REVOCATION) => {}
        _ => return Err(CertificateError::UnexpectedPacket(tag::SIGNATURE)),
    }
    let signature = RawSignature::parse(body).map_err(|_| CertificateError::UnreadableRevocation)?;
    let mut taken = false;
    for index in hinted(after.saturating_sub(1), pieces.len()) {
        let Ok(mut certificates) = Certificate::parse_all(&pieces[index].bytes) else { continue };
        let Some(certificate) = certificates.first_mut() else { continue };
        match certificate.file_revocation(&signature, 0)? {
            Filed::Own => {
                pieces[index].bytes.extend_from_slice(raw);
                return Ok(());
            }
            Filed::Delegated => {
                pieces[index].bytes.extend_from_slice(raw);
                taken = true;
            }
            Filed::False | Filed::Foreign => {}
        }
    }
    if taken { Ok(()) } else { Err(CertificateError::StrayRevocation) }
}

impl Certificate {
    /// The certificate anew, in binary: the primary key, the user ids that it vouches for, the subkeys that
    /// may sign data, and the signatures about them that count, those by SHA-1 not among them. The same for
    /// every copy that says the same.
    pub fn minimal(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut kept: Vec<_> = self.kept.iter().collect();
        kept.sort();
        kept.dedup();
        let put_all = |out: &mut Vec<u8>, over: Over| {
            for (_, body) in kept.iter().filter(|(found, _)| *found == over) {
                put(out, tag::SIGNATURE, body);
            }
        };
        put(&mut out, tag::PUBLIC_KEY, self.primary.body());
        put_all(&mut out, Over::Primary);
        for (index, identity) in self.identities.iter().enumerate() {
            let vouched = kept.iter().any(|(over, _)| *over == Over::Identity(index));
            if identity.tag == tag::USER_ID && vouched {
                put(&mut out, tag::USER_ID, &identity.body);
                put_all(&mut out, Over::Identity(index));
            }
        }
        for (index, subkey) in self.subkeys.iter().enumerate() {
            let signs = subkey.key.algorithm.weakness().is_none()
                && !matches!(subkey.key.algorithm, KeyAlgorithm::EncryptionOnly(_))
                && self.honoured(Component::Subkey(index)).is_empty()
                && self.bound(index, &Rules::default(), &mut Trace::off()).is_ok();
            if signs {
                put(&mut out, tag::PUBLIC_SUBKEY, subkey.key.body());
                put_all(&mut out, Over::Subkey(index));
            }
        }
        out
    }

    /// Whether another copy says nothing that is newer than what this one says: no revocation that this one
    /// lacks, and of no key or user id something later. Programs that change an expiry drop what they said
    /// before, so an older copy has signatures that a newer one lacks.
    pub fn is_up_to_date_with(&self, other: &Certificate) -> bool {
        let named = |certificate: &Certificate, over: Over| match over {
            Over::Primary => Vec::new(),
            Over::Identity(index) => certificate.identities[index].framed.clone(),
            Over::Subkey(index) => certificate.subkeys[index].key.fingerprint.clone(),
        };
        let created = |body: &[u8]| RawSignature::parse(body).ok().and_then(|signature| signature.created());
        let mut own: std::collections::HashMap<Vec<u8>, Vec<&Vec<u8>>> = std::collections::HashMap::new();
        for (over, body) in &self.kept {
            own.entry(named(self, *over)).or_default().push(body);
        }
        let old = |(over, body): &(Over, Vec<u8>)| {
            let Some(known) = own.get(&named(other, *over)) else { return false };
            let revokes = matches!(
                peek_kind(body),
                Some(kind::KEY_REVOCATION | kind::SUBKEY_REVOCATION | kind::CERTIFICATION_REVOCATION)
            );
            let newest = known.iter().filter_map(|body| created(body)).max();
            known.contains(&body) || !revokes && created(body) <= newest
        };
        self.primary.fingerprint == other.primary.fingerprint && other.kept.iter().all(old)
    }

    /// The keys whose signatures over data count at `now`, by the default rules and the certificate's own
    /// word.
    pub fn signers(&self, now: Timestamp) -> Vec<Signer> {
        let moments = Moments::at(now.as_second());
        let rules = Rules::default();
        let components = self.components();
        let alive = components.filter_map(|(component, key)| {
            let life =
                self.judge(component, moments, &self.honoured(component), &rules, &mut Trace::off()).ok()?;
            Some(Signer {
                fingerprint: key.hex(),
                key_id: hex(&key.key_id()),
                created: timestamp(key.created),
                until: life.ends.map(timestamp),
            })
        });
        alive.collect()
    }

    /// The primary key's id: 16 upper-case hexadecimal digits.
    pub fn key_id(&self) -> String {
        hex(&self.primary.key_id())
    }
}

/// Writes a packet of a type below 16 with the header that all programs read.
fn put(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    let first = 0x80 | tag << 2;
    if let Ok(length) = u8::try_from(body.len()) {
        out.extend_from_slice(&[first, length]);
    } else if let Ok(length) = u16::try_from(body.len()) {
        out.push(first | 1);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(first | 2);
        out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    }
    out.extend_from_slice(body);
}
