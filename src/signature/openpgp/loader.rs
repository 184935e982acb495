//! Loading key files: every packet is accounted for, whatever its position (O11).

use super::blocks;
use super::certificate::{Certificate, CertificateError, Findings, Identity, Subkey};
use super::filing::{Filed, hinted};
use super::key::{Key, KeyAlgorithm, KeyError, hex};
use super::packet::{next_packet, tag};
use super::signature::{RawSignature, kind, peek_kind};

/// Largest key file, in bytes.
const MAX_FILE: usize = 4 << 20;
/// Most packets in a key file: certificates that were flooded with foreign signatures have many (K076).
const MAX_PACKETS: usize = 1 << 16;
/// Most keys and subkeys in a key file: reading one costs arithmetic too.
const MAX_KEYS: usize = 1024;
/// Largest user id or attribute whose signatures are looked at, in bytes.
const MAX_IDENTITY: usize = 1 << 16;

impl Certificate {
    /// Reads every certificate of a key file: binary, or any number of armored blocks. A block that is
    /// a bare revocation certificate belongs to the key that it verifies against, the one before it
    /// first.
    ///
    /// # Errors
    /// See [`CertificateError`]. A revoked, expired or weak key is no error: see
    /// [`Certificate::standing`].
    pub fn parse_all(bytes: &[u8]) -> Result<Vec<Self>, CertificateError> {
        if bytes.len() > MAX_FILE {
            return Err(CertificateError::TooLarge);
        }
        let blocks = blocks::split(bytes)?;
        let mut groups: Vec<Group<'_>> = Vec::new();
        let mut loose = Vec::new();
        let (mut count, mut keys) = (0, 0);
        for block in &blocks {
            let mut rest = &block[..];
            let mut inside = false;
            while let Some(packet) = next_packet(&mut rest)? {
                count += 1;
                keys += usize::from(matches!(packet.tag, tag::PUBLIC_KEY | tag::PUBLIC_SUBKEY));
                if count > MAX_PACKETS || keys > MAX_KEYS {
                    return Err(CertificateError::TooMany);
                }
                match packet.tag {
                    tag::SECRET_KEY | tag::SECRET_SUBKEY => return Err(CertificateError::SecretKey),
                    tag::PUBLIC_KEY => {
                        inside = true;
                        groups.push(Group::new(packet.body)?);
                    }
                    tag::SIGNATURE if !inside => loose.push((groups.len(), packet.body)),
                    _ => match groups.last_mut().filter(|_| inside) {
                        Some(group) => group.packet(packet.tag, packet.body)?,
                        None => return Err(CertificateError::UnexpectedPacket(packet.tag)),
                    },
                }
            }
        }
        let mut certificates: Vec<Certificate> = Vec::new();
        for group in groups {
            let certificate = group.certificate()?;
            if certificates.iter().any(|known| known.primary.fingerprint == certificate.primary.fingerprint) {
                return Err(CertificateError::Duplicate { fingerprint: certificate.fingerprint() });
            }
            certificates.push(certificate);
        }
        for (after, body) in loose {
            attach(&mut certificates, after, body)?;
        }
        if certificates.is_empty() { Err(CertificateError::NotACertificate) } else { Ok(certificates) }
    }
}

/// Gives a revocation that stood in a block of its own to the key that made it, or whose revoker did.
fn attach(certificates: &mut [Certificate], after: usize, body: &[u8]) -> Result<(), CertificateError> {
    match peek_kind(body) {
        Some(kind::KEY_REVOCATION | kind::SUBKEY_REVOCATION) => {}
        _ => return Err(CertificateError::UnexpectedPacket(tag::SIGNATURE)),
    }
    let signature = RawSignature::parse(body).map_err(|_| CertificateError::UnreadableRevocation)?;
    let mut taken = false;
    for index in hinted(after.saturating_sub(1), certificates.len()) {
        let certificate = &mut certificates[index];
        match certificate.file_revocation(&signature, 0)? {
            Filed::Own => return Ok(()),
            // Whose it really is shows when a signature is judged: it may stay with several keys.
            Filed::Delegated => {
                certificate.findings.designated_revocations += 1;
                taken = true;
            }
            Filed::False | Filed::Foreign => {}
        }
    }
    if taken { Ok(()) } else { Err(CertificateError::StrayRevocation) }
}

/// The packets of one certificate, before anything is computed.
struct Group<'a> {
    primary: Key,
    subkeys: Vec<Key>,
    identities: Vec<Identity>,
    /// Bodies, each with the index of the component of its kind that it stood behind.
    signatures: Vec<(&'a [u8], usize)>,
    /// The index of the last component, among those of its kind.
    last: usize,
    ignored: usize,
}

impl<'a> Group<'a> {
    fn new(body: &'a [u8]) -> Result<Self, CertificateError> {
        let primary = Key::parse(body).map_err(|error| CertificateError::PrimaryKey(error.to_string()))?;
        // Nothing in the certificate could be checked, its revocations neither.
        if let KeyAlgorithm::Other(what) = &primary.algorithm {
            return Err(CertificateError::PrimaryKey(format!("{what} is not supported")));
        }
        Ok(Self {
            primary,
            subkeys: Vec::new(),
            identities: Vec::new(),
            signatures: Vec::new(),
            last: 0,
            ignored: 0,
        })
    }

    fn packet(&mut self, tag: u8, body: &'a [u8]) -> Result<(), CertificateError> {
        match tag {
            tag::SIGNATURE => self.signatures.push((body, self.last)),
            tag::PUBLIC_SUBKEY => match Key::parse(body) {
                // One that stands there twice is one: bindings and revocations that were shared out between
                // two would no longer be held against each other.
                Ok(key) => {
                    let known = self.subkeys.iter().position(|one| one.fingerprint == key.fingerprint);
                    self.last = known.unwrap_or(self.subkeys.len());
                    if known.is_none() {
                        self.subkeys.push(key);
                    }
                }
                Err(KeyError::Point) => return Err(CertificateError::BadPoint),
                Err(KeyError::Version | KeyError::Encoding) => self.ignored += 1,
            },
            tag::USER_ID | tag::USER_ATTRIBUTE => match u32::try_from(body.len()) {
                Ok(length) if body.len() <= MAX_IDENTITY => {
                    let frame = if tag == tag::USER_ID { 0xb4 } else { 0xd1 };
                    let framed = [&[frame][..], &length.to_be_bytes(), body].concat();
                    self.last = self.identities.len();
                    self.identities.push(Identity { tag, body: body.to_vec(), framed });
                }
                _ => self.ignored += 1,
            },
            tag::TRUST | tag::MARKER | tag::PADDING => {}
            // Types that RFC 9580 lets everybody ignore.
            40..=63 => self.ignored += 1,
            other => return Err(CertificateError::UnexpectedPacket(other)),
        }
        Ok(())
    }

    fn certificate(self) -> Result<Certificate, CertificateError> {
        let bind = |key| Subkey { key, bindings: Vec::new(), revocations: Vec::new() };
        let mut certificate = Certificate {
            primary: self.primary,
            subkeys: self.subkeys.into_iter().map(bind).collect(),
            identities: self.identities,
            certifications: Vec::new(),
            direct: Vec::new(),
            revocations: Vec::new(),
            revokers: Vec::new(),
            delegated: Vec::new(),
            honoured: Vec::new(),
            findings: Findings { ignored_packets: self.ignored, ..Findings::default() },
            kept: Vec::new(),
            attempts: 0,
        };
        // Revocations last: who may make them besides the key is known by then.
        let revokes =
            |body: &[u8]| matches!(peek_kind(body), Some(kind::KEY_REVOCATION | kind::SUBKEY_REVOCATION));
        for pass in [false, true] {
            for (body, hint) in self.signatures.iter().filter(|(body, _)| revokes(body) == pass) {
                certificate.file(body, *hint)?;
            }
        }
        let none = certificate.certifications.is_empty() && certificate.direct.is_empty();
        if none && certificate.findings.refused_self_signatures == 0 {
            return Err(CertificateError::NoSelfSignature {
                fingerprint: hex(&certificate.primary.fingerprint),
            });
        }
        Ok(certificate)
    }
}
