//! Revocation lists (S11): OpenSSH's binary KRL, or a flat list of public keys.
//!
//! Every list is read whole or not at all. Sizes are bounded by those of the file: a range of serial
//! numbers is kept as a range and a bitmap as its bytes.

mod krl;

use super::key::{self, PublicKey, SshKeyError};
use crate::domain::text;
use data_encoding::BASE64;
use pgp::crypto::hash::HashAlgorithm;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::fmt;

/// Largest list that is read, in bytes.
pub const MAX_FILE: usize = 16 * 1024 * 1024;

/// What is asked about when a signature is judged: may it be revoked?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocable<'a> {
    /// The key that made the signature, plain or certified: its blob (RFC 4253).
    Key(&'a [u8]),
    /// The key that made a certificate.
    Authority(&'a [u8]),
    /// A certificate.
    Certificate {
        /// The blob of the key that made it.
        authority: &'a [u8],
        /// Its number; authorities that count nothing leave it 0.
        serial: u64,
        /// What its authority calls it.
        key_id: &'a [u8],
        /// The blob of the plain key inside.
        key: &'a [u8],
    },
}

/// That something is revoked, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Why, for people, escaped.
    pub reason: String,
    /// Somebody else may have the key: what it signed proves nothing (N14).
    pub hard: bool,
}

/// Which entry of a list it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The key itself is listed.
    Key,
    /// The key's fingerprint is listed.
    Fingerprint,
    /// The key of the certificate's authority is listed.
    Authority,
    /// The certificate's serial number is listed.
    Serial,
    /// The certificate's key id is listed.
    KeyId,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Key => "the key is in a revocation list",
            Why::Fingerprint => "the key's fingerprint is in a revocation list",
            Why::Authority => "the authority's key is in a revocation list",
            Why::Serial => "the certificate's serial number is in a revocation list",
            Why::KeyId => "the certificate's key id is in a revocation list",
        })
    }
}

/// Where in a list a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Offset in a binary list, in bytes.
    Byte(usize),
    /// Place in a text, both from 1.
    Line {
        /// The line.
        line: usize,
        /// The byte in the line.
        column: usize,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Byte(at) => write!(f, "byte {at}"),
            Place::Line { line, column } => write!(f, "line {line}, column {column}"),
        }
    }
}

/// Why bytes are not a revocation list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// Nothing in it at all, or nothing but comments: as likely a mishap as an intention (S041). Whoever
    /// allows it takes [`RevocationList::empty`].
    #[error("the revocation list is empty")]
    Empty,
    /// More than [`MAX_FILE`] bytes.
    #[error("the revocation list is larger than 16 MiB")]
    TooLarge,
    /// A fault in one place.
    #[error("{place}: {fault}")]
    Fault {
        /// Where.
        place: Place,
        /// What.
        fault: Fault,
    },
}

/// What may be wrong with a revocation list. No message repeats what may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The list ends inside of an entry.
    #[error("the list ends too early")]
    Truncated,
    /// An entry is longer than what it is made of.
    #[error("there are bytes left over")]
    Trailing,
    /// A number in a form of which there is a shorter one.
    #[error("a number is not in its canonical form")]
    Number,
    /// Another version of the format.
    #[error("the list is of version {0} of the format, not 1")]
    Version(u32),
    /// Flags that are not defined.
    #[error("the list has flags that nobody has defined")]
    Flags,
    /// A section that is not known.
    #[error("a section of the unknown type {0}")]
    Section(u8),
    /// An extension that must be understood, and is not (S044).
    #[error("the critical extension `{0}` is not known")]
    Critical(String),
    /// The last serial number of a range is before its first.
    #[error("a range of serial numbers ends before it begins")]
    Range,
    /// A bitmap that goes beyond the largest serial number.
    #[error("a bitmap goes beyond the largest serial number")]
    Bitmap,
    /// A fingerprint of another length.
    #[error("a fingerprint has {0} bytes")]
    Fingerprint(usize),
    /// More sections of certificates than anybody has.
    #[error("the list has more than 100000 sections")]
    TooManySections,
    /// More signatures than anybody makes.
    #[error("the list has more than 16 signatures")]
    TooManySignatures,
    /// Something behind a signature.
    #[error("there is a section behind the signature, which therefore does not cover it")]
    BehindSignature,
    /// A signature that does not fit.
    #[error("the signature of the list does not verify")]
    Signature,
    /// A listed key is none.
    #[error("{0}")]
    Key(#[from] SshKeyError),
    /// The source that `ssh-keygen -k` makes a list from.
    #[error("`{0}:` is for the source of a KRL; make the list with `ssh-keygen -k -f LIST SOURCE`")]
    Source(&'static str),
    /// Bytes that are not UTF-8 in a text.
    #[error("this is neither a KRL nor a list of public keys")]
    Garbage,
}

/// What one authority's certificates, or any authority's, are revoked by.
#[derive(Clone, Debug, Default)]
struct Certificates {
    /// First and last serial number of each, sorted, without overlaps once the list is complete.
    ranges: Vec<(u64, u64)>,
    /// Each bit is a serial number, counted from the offset; the last byte has the lowest.
    bitmaps: Vec<(u64, Vec<u8>)>,
    key_ids: HashSet<Vec<u8>>,
}

impl Certificates {
    /// Sorts the ranges and joins those that touch.
    fn finish(&mut self) {
        self.ranges.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(self.ranges.len());
        for (first, last) in self.ranges.drain(..) {
            match joined.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => joined.push((first, last)),
            }
        }
        self.ranges = joined;
    }

    fn has_serial(&self, serial: u64) -> bool {
        let behind = self.ranges.partition_point(|(first, _)| *first <= serial);
        let in_range = behind.checked_sub(1).is_some_and(|index| serial <= self.ranges[index].1);
        in_range
            || self.bitmaps.iter().any(|(offset, bits)| {
                let Some(bit) = serial.checked_sub(*offset) else { return false };
                let byte = usize::try_from(bit / 8).ok().and_then(|back| bits.len().checked_sub(back + 1));
                byte.is_some_and(|index| bits[index] >> (bit % 8) & 1 == 1)
            })
    }
}

/// What a list says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The number of the list, by whoever made it; a flat list has none.
    pub version: u64,
    /// When it was made, seconds since the epoch; 0 where nothing says so.
    pub generated: u64,
    /// What its maker said about it, escaped.
    pub comment: String,
    /// Fingerprints of the keys that signed it; each signature fits, whoever they are.
    pub signed_by: Vec<String>,
}

/// A revocation list.
#[derive(Clone, Debug, Default)]
pub struct RevocationList {
    header: Header,
    keys: HashSet<Vec<u8>>,
    sha1: HashSet<[u8; 20]>,
    sha256: HashSet<[u8; 32]>,
    /// By the authority's key blob; the empty one is any authority.
    certificates: HashMap<Vec<u8>, Certificates>,
}

impl RevocationList {
    /// A list that revokes nothing.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Reads a list in either form.
    ///
    /// # Errors
    /// See [`RevocationError`]; the first fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, RevocationError> {
        if bytes.len() > MAX_FILE {
            return Err(RevocationError::TooLarge);
        }
        let mut list = Self::default();
        if bytes.starts_with(krl::MAGIC) {
            krl::read(bytes, &mut list)
                .map_err(|(at, fault)| RevocationError::Fault { place: Place::Byte(at), fault })?;
        } else if !bytes.is_empty() && krl::MAGIC.starts_with(bytes) {
            let place = Place::Byte(bytes.len());
            return Err(RevocationError::Fault { place, fault: Fault::Truncated });
        } else {
            list.read_keys(bytes)?;
            if list.keys.is_empty() {
                return Err(RevocationError::Empty);
            }
        }
        list.certificates.values_mut().for_each(Certificates::finish);
        Ok(list)
    }

    /// What can be read of a list that may be broken: of a text, every line that is a key; of a KRL,
    /// everything before the fault. For revocations that must not wait until the list is mended (N15).
    pub fn salvage(bytes: &[u8]) -> Self {
        let mut list = Self::default();
        if bytes.len() > MAX_FILE {
            return list;
        }
        if bytes.starts_with(krl::MAGIC) {
            // What was read stays in the list.
            let _ = krl::read(bytes, &mut list);
        } else {
            for line in bytes.split(|byte| *byte == b'\n') {
                // A line that is not understood revokes nothing.
                let _ = list.read_keys(line);
            }
        }
        list.certificates.values_mut().for_each(Certificates::finish);
        list
    }

    /// A list of one key, by its blob.
    pub fn of_key(blob: &[u8]) -> Self {
        Self { keys: HashSet::from([blob.to_vec()]), ..Self::default() }
    }

    /// The keys that are listed by themselves or by their SHA-256, named as OpenSSH shows them. A key that is
    /// listed by its SHA-1 can be recognised and not named, and certificates are no keys.
    pub fn fingerprints(&self) -> impl Iterator<Item = String> + '_ {
        let listed = self.keys.iter().map(|blob| key::fingerprint(blob));
        listed.chain(self.sha256.iter().map(key::fingerprint_of))
    }

    /// What the list says about itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How many keys, fingerprints, serial ranges, bitmaps and key ids are listed.
    pub fn len(&self) -> usize {
        let certificates = self.certificates.values();
        let of = |one: &Certificates| one.ranges.len() + one.bitmaps.len() + one.key_ids.len();
        self.keys.len() + self.sha1.len() + self.sha256.len() + certificates.map(of).sum::<usize>()
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a key is revoked, by its blob.
    pub fn revokes_key(&self, blob: &[u8]) -> Option<Why> {
        if self.keys.contains(blob) {
            return Some(Why::Key);
        }
        let sha1 = || match HashAlgorithm::Sha1.digest(blob) {
            Ok(digest) => {
                <[u8; 20]>::try_from(digest.as_slice()).is_ok_and(|digest| self.sha1.contains(&digest))
            }
            // Made to collide: nobody can say which of the two is meant.
            Err(_) => true,
        };
        let listed = !self.sha256.is_empty() && self.sha256.contains(&<[u8; 32]>::from(Sha256::digest(blob)))
            || !self.sha1.is_empty() && sha1();
        listed.then_some(Why::Fingerprint)
    }

    /// Whether a certificate is revoked: by the key inside, by its authority's key, or by its number or
    /// name, for its authority or for any.
    pub fn revokes_certificate(
        &self,
        authority: &[u8],
        serial: u64,
        key_id: &[u8],
        key: &[u8],
    ) -> Option<Why> {
        if let Some(why) = self.revokes_key(key) {
            return Some(why);
        }
        if self.revokes_key(authority).is_some() {
            return Some(Why::Authority);
        }
        for of in [authority, b""] {
            let Some(certificates) = self.certificates.get(of) else { continue };
            if certificates.has_serial(serial) {
                return Some(Why::Serial);
            }
            if certificates.key_ids.contains(key_id) {
                return Some(Why::KeyId);
            }
        }
        None
    }

    /// The answer for any of the questions that a verification asks.
    pub fn revokes(&self, subject: &Revocable<'_>) -> Option<Why> {
        match *subject {
            Revocable::Key(blob) => self.revokes_key(blob),
            Revocable::Authority(blob) => self.revokes_key(blob).map(|_| Why::Authority),
            Revocable::Certificate { authority, serial, key_id, key } => {
                self.revokes_certificate(authority, serial, key_id, key)
            }
        }
    }

    /// A flat list: public key lines, comments, empty lines.
    fn read_keys(&mut self, bytes: &[u8]) -> Result<(), RevocationError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let place = Place::Line { line, column: before.len() - start + 1 };
            RevocationError::Fault { place, fault: Fault::Garbage }
        })?;
        for (index, line) in text.split('\n').enumerate() {
            let line = line.strip_suffix('\r').unwrap_or(line);
            let trimmed = line.trim_start_matches([' ', '\t']);
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let blob = listed_line(trimmed).map_err(|fault| {
                let start = line.len() - trimmed.len();
                // What is wrong with a key stands behind its type.
                let of_key = !matches!(
                    fault,
                    Fault::Source(_)
                        | Fault::Key(
                            SshKeyError::Line
                                | SshKeyError::PrivateKey
                                | SshKeyError::Certificate(_)
                                | SshKeyError::Unsupported(_)
                        )
                );
                let name = trimmed.find([' ', '\t']).unwrap_or(0);
                let blanks = trimmed[name..].find(|letter| letter != ' ' && letter != '\t').unwrap_or(0);
                let column = start + if of_key { name + blanks } else { 0 } + 1;
                RevocationError::Fault { place: Place::Line { line: index + 1, column }, fault }
            })?;
            self.keys.insert(blob);
        }
        Ok(())
    }
}

/// The blob in a line `type base64 [comment]`.
fn listed_line(line: &str) -> Result<Vec<u8>, Fault> {
    for word in ["serial", "id", "key", "hash", "sha1", "sha256"] {
        if line.strip_prefix(word).is_some_and(|rest| rest.trim_start().starts_with(':')) {
            return Err(Fault::Source(word));
        }
    }
    match super::parse_public_key(line) {
        Ok(key) => Ok(key.blob().to_vec()),
        // A kind that no signature is accepted of may be listed all the same.
        Err(SshKeyError::Unsupported(_)) => {
            let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
            let name = words.next().unwrap_or_default();
            let encoded = words.next().unwrap_or_default();
            let blob = BASE64.decode(encoded.as_bytes()).map_err(|_| SshKeyError::Base64)?;
            if listed_name(&blob)? != name.as_bytes() {
                return Err(SshKeyError::TypeMismatch.into());
            }
            Ok(blob)
        }
        Err(error) => Err(error.into()),
    }
}

fn listed_name(blob: &[u8]) -> Result<&[u8], SshKeyError> {
    Ok(super::super::wire::Reader::new(blob).string()?)
}

/// A blob as a list may name it: a plain key. A broken one would match nothing, and somebody believes that
/// it is revoked.
fn listed_blob(blob: &[u8]) -> Result<(), Fault> {
    match PublicKey::from_blob(blob) {
        Ok(_) | Err(SshKeyError::Unsupported(_)) => Ok(()),
        Err(SshKeyError::Line) if !key::is_type_name(listed_name(blob)?) => {
            Err(SshKeyError::Encoding("it has no name").into())
        }
        Err(error) => Err(error.into()),
    }
}

fn shown(bytes: &[u8]) -> String {
    text::escape_short(bytes, 60)
}

#[cfg(test)]
mod tests;
