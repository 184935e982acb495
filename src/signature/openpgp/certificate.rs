//! Loading certificates: every packet of the file is accounted for, whatever its position (O11).
//!
//! Signatures are filed by their type and by what they verify over, never by where they stand, so
//! that shuffling a file changes nothing. Loading checks which signatures the certificate's own key
//! made; what they mean at some time is [`super::validity`].

use super::blocks;
use super::key::{Key, KeyAlgorithm, hex};
use super::packet::{FrameError, next_packet, sub, tag};
use super::signature::{Issuer, RawSignature, kind, peek_kind};
use pgp::crypto::hash::HashAlgorithm;
use std::fmt;

/// Largest key file, in bytes.
const MAX_FILE: usize = 4 << 20;
/// Most packets in a key file: certificates that were flooded with foreign signatures have many (K076).
const MAX_PACKETS: usize = 1 << 16;
/// Most keys and subkeys in a key file: reading one costs arithmetic too.
const MAX_KEYS: usize = 1024;
/// Most signatures of one certificate that are computed, matched to components. Foreign ones are not.
const MAX_ATTEMPTS: usize = 4096;
/// Largest user id or attribute whose signatures are looked at, in bytes.
const MAX_IDENTITY: usize = 1 << 16;
/// Most embedded signatures of one binding that are tried.
const MAX_EMBEDDED: usize = 4;

/// Why a key file cannot be used. No message repeats the file's content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// A secret key, by its armor or by its packets.
    #[error("this holds a secret key; export the public one with `gpg --export --armor`")]
    SecretKey,
    /// Neither an armored public key block nor binary OpenPGP.
    #[error("this is not an OpenPGP public key")]
    NotACertificate,
    /// More than 4 MiB.
    #[error("the key file is larger than 4 MiB")]
    TooLarge,
    /// More packets, keys, or signatures that have to be computed, than any real file has.
    #[error("the key file has too many packets, keys or signatures")]
    TooMany,
    /// Text that belongs to no armored block.
    #[error("line {line} is outside of a public key block")]
    OutsideBlock {
        /// The line, counted from 1.
        line: usize,
    },
    /// A broken armored block.
    #[error("the armor is broken at line {line}")]
    Armor {
        /// The line, counted from 1.
        line: usize,
    },
    /// The packets cannot be told apart.
    #[error("the key is broken: {0}")]
    Broken(&'static str),
    /// A packet that has no place in a certificate.
    #[error("the key file has a packet of type {0}, which is not part of a public key")]
    UnexpectedPacket(u8),
    /// The primary key cannot be used, so nothing in the certificate can be checked.
    #[error("the primary key cannot be used: {0}")]
    PrimaryKey(String),
    /// A revocation that this program cannot read. It might be of this key, so the key is not used.
    #[error("the key has a revocation that cannot be read")]
    UnreadableRevocation,
    /// A revocation certificate that fits no key of the file.
    #[error("the file has a revocation certificate that fits none of its keys")]
    StrayRevocation,
    /// The key vouches for nothing: no signature by it (K071).
    #[error("the key {fingerprint} has no signature by itself")]
    NoSelfSignature {
        /// The primary key's fingerprint.
        fingerprint: String,
    },
    /// The same certificate twice in one file.
    #[error("the key {fingerprint} is in the file twice; merge the two")]
    Duplicate {
        /// The primary key's fingerprint.
        fingerprint: String,
    },
}

impl From<FrameError> for CertificateError {
    fn from(error: FrameError) -> Self {
        CertificateError::Broken(match error {
            FrameError::Truncated => "it ends too early",
            FrameError::NoPacket => "there is something that is no packet",
            FrameError::Indefinite => "a packet has no definite length",
            FrameError::Trailing => "there are bytes left over",
        })
    }
}

/// What loading a certificate set aside. None of it gives the key more standing; all of it may be
/// worth telling the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Certifications and other signatures by other keys.
    pub foreign_signatures: usize,
    /// Revocations by other keys that the certificate does not name as its revokers (K062).
    pub foreign_revocations: usize,
    /// Revocations by a key that the certificate names as its revoker: not checked, not honoured, and
    /// a reason to ask (O12).
    pub designated_revocations: usize,
    /// Revocations that claim to be by the key itself and do not verify.
    pub false_revocations: usize,
    /// Self-signatures that were refused: weak hash, critical unknowns, duplicates.
    pub refused_self_signatures: usize,
    /// Other signatures that do not verify or belong to nothing here.
    pub false_signatures: usize,
    /// Signature packets of an unknown version or algorithm.
    pub unreadable_signatures: usize,
    /// Subkeys, user ids or packets of an unknown version or size.
    pub ignored_packets: usize,
}

/// Facts of a positive signature that was made by the primary key and passed O4 and O5.
#[derive(Clone, Debug)]
pub(super) struct SelfSignature {
    pub(super) created: i64,
    pub(super) expires: Option<i64>,
    /// Period of the key, in seconds from its creation; `None` for ever.
    pub(super) key_period: Option<u32>,
    /// First octet of the key flags, where the subpacket is there.
    pub(super) flags: Option<u8>,
    /// Valid back signatures inside a binding: from when until when.
    pub(super) back: Vec<(i64, Option<i64>)>,
}

/// A revocation that the primary key made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Revocation {
    pub(super) created: i64,
    pub(super) reason: Option<u8>,
}

impl Revocation {
    /// Superseded, retired and user-id reasons are soft. Everything else is hard, no or an unknown
    /// reason included (O10).
    pub(super) fn is_hard(self) -> bool {
        !matches!(self.reason, Some(1 | 3 | 32))
    }
}

#[derive(Clone)]
pub(super) struct Subkey {
    pub(super) key: Key,
    pub(super) bindings: Vec<SelfSignature>,
    pub(super) revocations: Vec<Revocation>,
}

#[derive(Clone)]
struct Identity {
    tag: u8,
    body: Vec<u8>,
    framed: Vec<u8>,
}

/// An OpenPGP certificate, with every signature packet that its file held accounted for. Immutable.
#[derive(Clone)]
pub struct Certificate {
    pub(super) primary: Key,
    pub(super) subkeys: Vec<Subkey>,
    identities: Vec<Identity>,
    /// Certifications of user ids and attributes.
    pub(super) certifications: Vec<SelfSignature>,
    /// Direct-key signatures.
    pub(super) direct: Vec<SelfSignature>,
    pub(super) revocations: Vec<Revocation>,
    /// Fingerprints of designated revokers.
    revokers: Vec<Vec<u8>>,
    findings: Findings,
    attempts: usize,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.fingerprint())
    }
}

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

    /// The primary key's fingerprint, upper-case hexadecimal.
    pub fn fingerprint(&self) -> String {
        self.primary.hex()
    }

    /// Raw fingerprints (20 or 32 bytes) of the primary key and then of every subkey: what
    /// [`crate::signature::Keys::openpgp_by_fingerprint`] is asked for.
    pub fn component_fingerprints(&self) -> Vec<Vec<u8>> {
        self.keys().map(|key| key.fingerprint.clone()).collect()
    }

    /// The 64-bit key ids in the order of [`Certificate::component_fingerprints`]: an index, never an
    /// identity (O6).
    pub fn key_ids(&self) -> Vec<[u8; 8]> {
        self.keys().map(Key::key_id).collect()
    }

    /// User ids as raw bytes, in the file's order, unverified and revoked ones included. They are what
    /// the key says of itself and no authority (O13).
    pub fn user_ids(&self) -> Vec<Vec<u8>> {
        let ids = self.identities.iter().filter(|identity| identity.tag == tag::USER_ID);
        ids.map(|identity| identity.body.clone()).collect()
    }

    /// The primary key's algorithm.
    pub fn algorithm(&self) -> &KeyAlgorithm {
        &self.primary.algorithm
    }

    /// What loading set aside.
    pub fn findings(&self) -> Findings {
        self.findings
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.primary).chain(self.subkeys.iter().map(|subkey| &subkey.key))
    }

    /// Files one signature packet, by its type. `hint` is the component that it stood behind: a subkey
    /// or an identity, tried first because it usually is the right one.
    fn file(&mut self, body: &[u8], hint: usize) -> Result<(), CertificateError> {
        let revokes_key = matches!(peek_kind(body), Some(kind::KEY_REVOCATION | kind::SUBKEY_REVOCATION));
        let Ok(signature) = RawSignature::parse(body) else {
            if revokes_key {
                return Err(CertificateError::UnreadableRevocation);
            }
            self.findings.unreadable_signatures += 1;
            return Ok(());
        };
        let ours = match signature.issuer() {
            Ok(Issuer::Fingerprint(issuer)) => issuer == self.primary.fingerprint,
            Ok(Issuer::KeyId(id)) => id == self.primary.key_id(),
            Ok(Issuer::Unnamed) => true,
            // Contradictory: a revocation gets the benefit of the doubt, nothing else does (O11).
            Err(_) => revokes_key,
        };
        if revokes_key {
            self.file_revocation(&signature, ours, hint)
        } else if ours {
            self.file_self_signature(&signature, hint)
        } else {
            self.findings.foreign_signatures += 1;
            Ok(())
        }
    }

    /// Key and subkey revocations, leniently (O11): any hash, any subpackets, any position, any time.
    fn file_revocation(
        &mut self,
        signature: &RawSignature,
        ours: bool,
        hint: usize,
    ) -> Result<(), CertificateError> {
        if !ours {
            let designated = match signature.issuer() {
                Ok(Issuer::Fingerprint(issuer)) => self.revokers.contains(&issuer),
                Ok(Issuer::KeyId(id)) => self.revokers.iter().any(|known| has_key_id(known, id)),
                _ => false,
            };
            if designated {
                self.findings.designated_revocations += 1;
            } else {
                self.findings.foreign_revocations += 1;
            }
            return Ok(());
        }
        // Without a creation time a revocation still revokes, and from the beginning.
        let revocation = Revocation { created: signature.created().unwrap_or(0), reason: signature.reason() };
        if signature.kind == kind::KEY_REVOCATION {
            self.count_attempt()?;
            if self.primary.made(signature, &[self.primary.framed()]) {
                self.revocations.push(revocation);
                return Ok(());
            }
        } else {
            for index in hinted(hint, self.subkeys.len()) {
                self.count_attempt()?;
                let parts = [self.primary.framed(), self.subkeys[index].key.framed()];
                if self.primary.made(signature, &parts) {
                    self.subkeys[index].revocations.push(revocation);
                    return Ok(());
                }
            }
        }
        self.findings.false_revocations += 1;
        Ok(())
    }

    /// Signatures that give the key standing, strictly (O4, O5, O7).
    fn file_self_signature(&mut self, signature: &RawSignature, hint: usize) -> Result<(), CertificateError> {
        let positive = matches!(signature.kind, kind::SUBKEY_BINDING | kind::DIRECT_KEY | 0x10..=0x13);
        if !positive {
            // Revoked user ids change nothing: a user id gives no authority (O13, K067).
            if signature.kind != kind::CERTIFICATION_REVOCATION {
                self.findings.false_signatures += 1;
            }
            return Ok(());
        }
        if !acceptable(signature) {
            self.findings.refused_self_signatures += 1;
            return Ok(());
        }
        let facts = SelfSignature {
            created: signature.created().unwrap_or(i64::MAX),
            expires: signature.expires(),
            key_period: signature.hashed_u32(sub::KEY_EXPIRES).filter(|period| *period != 0),
            flags: signature.hashed(sub::KEY_FLAGS).map(|flags| flags.first().copied().unwrap_or(0)),
            back: Vec::new(),
        };
        match signature.kind {
            kind::DIRECT_KEY => {
                self.count_attempt()?;
                if self.primary.made(signature, &[self.primary.framed()]) {
                    self.note_revokers(signature);
                    self.direct.push(facts);
                    return Ok(());
                }
            }
            kind::SUBKEY_BINDING => {
                for index in hinted(hint, self.subkeys.len()) {
                    self.count_attempt()?;
                    let parts = [self.primary.framed(), self.subkeys[index].key.framed()];
                    if self.primary.made(signature, &parts) {
                        let back = self.back_signatures(signature, index)?;
                        self.subkeys[index].bindings.push(SelfSignature { back, ..facts });
                        return Ok(());
                    }
                }
            }
            _ => {
                for index in hinted(hint, self.identities.len()) {
                    self.count_attempt()?;
                    let parts = [self.primary.framed(), &self.identities[index].framed];
                    if self.primary.made(signature, &parts) {
                        self.note_revokers(signature);
                        self.certifications.push(facts);
                        return Ok(());
                    }
                }
            }
        }
        self.findings.false_signatures += 1;
        Ok(())
    }

    /// The valid back signatures inside a binding: by the subkey, over both keys (O7). Never deeper:
    /// what is embedded in them is not looked at.
    fn back_signatures(
        &mut self,
        binding: &RawSignature,
        index: usize,
    ) -> Result<Vec<(i64, Option<i64>)>, CertificateError> {
        let mut back = Vec::new();
        for body in binding.embedded().take(MAX_EMBEDDED) {
            self.count_attempt()?;
            let Ok(embedded) = RawSignature::parse(body) else { continue };
            let subkey = &self.subkeys[index].key;
            let valid = embedded.kind == kind::PRIMARY_BINDING
                && acceptable(&embedded)
                && subkey.made(&embedded, &[self.primary.framed(), subkey.framed()]);
            if let Some(created) = embedded.created().filter(|_| valid) {
                back.push((created, embedded.expires()));
            }
        }
        Ok(back)
    }

    fn note_revokers(&mut self, signature: &RawSignature) {
        let named = signature.hashed.iter().filter(|subpacket| subpacket.kind == sub::REVOCATION_KEY);
        // Class octet, algorithm octet, fingerprint.
        self.revokers.extend(named.filter_map(|subpacket| subpacket.data.get(2..)).map(<[u8]>::to_vec));
    }

    fn count_attempt(&mut self) -> Result<(), CertificateError> {
        self.attempts += 1;
        if self.attempts > MAX_ATTEMPTS { Err(CertificateError::TooMany) } else { Ok(()) }
    }
}

fn has_key_id(fingerprint: &[u8], id: [u8; 8]) -> bool {
    if fingerprint.len() == 20 { fingerprint.ends_with(&id) } else { fingerprint.starts_with(&id) }
}

/// All indices below `count`, beginning with `hint`.
fn hinted(hint: usize, count: usize) -> impl Iterator<Item = usize> {
    let first = (hint < count).then_some(hint);
    first.into_iter().chain((0..count).filter(move |index| *index != hint))
}

/// Whether a positive signature may count at all: its version, hash (O4) and subpackets (O5).
fn acceptable(signature: &RawSignature) -> bool {
    matches!(signature.version, 4 | 6) && strong(signature.hash) && signature.check_subpackets().is_ok()
}

/// The hashes that are accepted for anything but a revocation (O4).
pub(super) fn strong(hash: HashAlgorithm) -> bool {
    use HashAlgorithm::{Sha3_256, Sha3_512, Sha256, Sha384, Sha512};
    matches!(hash, Sha256 | Sha384 | Sha512 | Sha3_256 | Sha3_512)
}

/// Gives a revocation that stood in a block of its own to the key that made it.
fn attach(certificates: &mut [Certificate], after: usize, body: &[u8]) -> Result<(), CertificateError> {
    match peek_kind(body) {
        Some(kind::KEY_REVOCATION | kind::SUBKEY_REVOCATION) => {}
        _ => return Err(CertificateError::UnexpectedPacket(tag::SIGNATURE)),
    }
    let signature = RawSignature::parse(body).map_err(|_| CertificateError::UnreadableRevocation)?;
    let first = after.saturating_sub(1);
    for index in hinted(first, certificates.len()) {
        let certificate = &mut certificates[index];
        let before = certificate.findings;
        certificate.file_revocation(&signature, true, 0)?;
        if certificate.findings == before {
            return Ok(());
        }
        certificate.findings = before;
    }
    Err(CertificateError::StrayRevocation)
}

/// The packets of one certificate, before anything is computed.
struct Group<'a> {
    primary: Key,
    subkeys: Vec<Key>,
    identities: Vec<Identity>,
    /// Bodies, each with the index of the component of its kind that it stood behind.
    signatures: Vec<(&'a [u8], usize)>,
    /// Whether the last component was a subkey.
    behind_subkey: bool,
    ignored: usize,
}

impl<'a> Group<'a> {
    fn new(body: &'a [u8]) -> Result<Self, CertificateError> {
        let primary = Key::parse(body).map_err(|error| CertificateError::PrimaryKey(error.to_string()))?;
        Ok(Self {
            primary,
            subkeys: Vec::new(),
            identities: Vec::new(),
            signatures: Vec::new(),
            behind_subkey: false,
            ignored: 0,
        })
    }

    fn packet(&mut self, tag: u8, body: &'a [u8]) -> Result<(), CertificateError> {
        match tag {
            tag::SIGNATURE => {
                let count = if self.behind_subkey { self.subkeys.len() } else { self.identities.len() };
                self.signatures.push((body, count.saturating_sub(1)));
            }
            tag::PUBLIC_SUBKEY => {
                self.behind_subkey = true;
                match Key::parse(body) {
                    Ok(key) => self.subkeys.push(key),
                    Err(_) => self.ignored += 1,
                }
            }
            tag::USER_ID | tag::USER_ATTRIBUTE => {
                self.behind_subkey = false;
                match u32::try_from(body.len()) {
                    Ok(length) if body.len() <= MAX_IDENTITY => {
                        let frame = if tag == tag::USER_ID { 0xb4 } else { 0xd1 };
                        let framed = [&[frame][..], &length.to_be_bytes(), body].concat();
                        self.identities.push(Identity { tag, body: body.to_vec(), framed });
                    }
                    _ => self.ignored += 1,
                }
            }
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
            findings: Findings { ignored_packets: self.ignored, ..Findings::default() },
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
