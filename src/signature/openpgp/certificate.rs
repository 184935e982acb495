//! An OpenPGP certificate: which of its signatures say what, whatever their position (O11).

use super::key::{Key, KeyAlgorithm};
use super::packet::{FrameError, tag};
use super::signature::RawSignature;
use super::validity::Component;
use std::fmt;

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
    /// A subkey has a point that is not on its curve, or one of small order (K073).
    #[error("a subkey cannot be used: it has a point that no key has")]
    BadPoint,
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
    /// Revocations that may be by a key that the certificate names as its revoker. Whether they are is
    /// asked with every signature that is judged, because the revoker's key is another one's (O12).
    pub designated_revocations: usize,
    /// Revocations that claim to be by the key itself and do not verify.
    pub false_revocations: usize,
    /// Self-signatures that were refused: weak hash, critical unknowns, duplicates.
    pub refused_self_signatures: usize,
    /// Self-signatures by SHA-1, which count only where the operator says so (O4).
    pub sha1_self_signatures: usize,
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
    /// Made with SHA-1: counted only where the operator says so (O4).
    pub(super) sha1: bool,
    /// Valid back signatures inside a binding.
    pub(super) back: Vec<Back>,
}

/// A valid back signature: from when until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Back {
    pub(super) created: i64,
    pub(super) expires: Option<i64>,
    pub(super) sha1: bool,
}

/// What a revocation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// A revocation by somebody whom the owner named, perhaps: the numbers are asked once the keyring is at
/// hand (O12).
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Delegated {
    pub(super) signature: RawSignature,
    pub(super) revocation: Revocation,
}

#[derive(Clone)]
pub(super) struct Subkey {
    pub(super) key: Key,
    pub(super) bindings: Vec<SelfSignature>,
    pub(super) revocations: Vec<Revocation>,
}

/// What a signature of a certificate is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Over {
    Primary,
    Identity(usize),
    Subkey(usize),
}

#[derive(Clone)]
pub(super) struct Identity {
    pub(super) tag: u8,
    pub(super) body: Vec<u8>,
    pub(super) framed: Vec<u8>,
}

/// An OpenPGP certificate, with every signature packet that its file held accounted for. Immutable.
#[derive(Clone)]
pub struct Certificate {
    pub(super) primary: Key,
    pub(super) subkeys: Vec<Subkey>,
    pub(super) identities: Vec<Identity>,
    /// Certifications of user ids and attributes.
    pub(super) certifications: Vec<SelfSignature>,
    /// Direct-key signatures.
    pub(super) direct: Vec<SelfSignature>,
    pub(super) revocations: Vec<Revocation>,
    /// Fingerprints of designated revokers.
    pub(super) revokers: Vec<Vec<u8>>,
    pub(super) delegated: Vec<Delegated>,
    /// Those of the delegated revocations that are proven with the keyring that holds the certificate, by the
    /// key that they concern. For what is shown and exported; a signature's judge asks anew.
    pub(super) honoured: Vec<(Component, Revocation)>,
    pub(super) findings: Findings,
    /// The signature packets that count, by what they are over, to write the certificate anew.
    pub(super) kept: Vec<(Over, Vec<u8>)>,
    /// Signatures computed so far, while it is loaded.
    pub(super) attempts: usize,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.fingerprint())
    }
}

impl Certificate {
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
}
