//! The hash chain: each record's hash covers the one before it.

use sha2::{Digest, Sha256};
use std::fmt;

/// SHA-256 over the previous hash, the record's length and the record's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash(pub [u8; 32]);

impl ChainHash {
    /// What the first record follows.
    pub const GENESIS: ChainHash = ChainHash([0; 32]);

    /// Reads 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(ChainHash)
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The hash of a record that follows `previous`.
pub fn link(previous: &ChainHash, record: &[u8]) -> ChainHash {
    let mut hasher = Sha256::new();
    hasher.update(previous.0);
    hasher.update((record.len() as u64).to_be_bytes());
    hasher.update(record);
    ChainHash(hasher.finalize().into())
}

/// What walking the chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainReport {
    /// Records that hold.
    pub intact: u64,
    /// Sequence number of the first record that does not, and why.
    pub broken: Option<(u64, String)>,
    /// The last hash that holds.
    pub head: ChainHash,
}

/// Walks records in order.
#[derive(Debug)]
pub struct Verifier {
    next: u64,
    head: ChainHash,
    broken: Option<(u64, String)>,
}

impl Default for Verifier {
    fn default() -> Self {
        Verifier { next: 1, head: ChainHash::GENESIS, broken: None }
    }
}

impl Verifier {
    /// Takes the next record; what follows a break is not looked at.
    pub fn take(&mut self, sequence: u64, hash: &[u8], record: &[u8]) {
        if self.broken.is_some() {
            return;
        }
        let expected = link(&self.head, record);
        if sequence != self.next {
            self.broken = Some((self.next, format!("record {} is missing", self.next)));
        } else if ChainHash::from_bytes(hash) != Some(expected) {
            let why =
                format!("record {sequence} does not follow from the one before it: it was changed or moved");
            self.broken = Some((sequence, why));
        } else {
            self.head = expected;
            self.next += 1;
        }
    }

    /// Compares the end with one that is known from elsewhere: records may follow it, none before it
    /// may be missing.
    pub fn finish(self, known: Option<(u64, ChainHash)>) -> ChainReport {
        let intact = self.next - 1;
        let mut broken = self.broken;
        if let (None, Some((sequence, hash))) = (&broken, known)
            && (intact < sequence || (intact == sequence && self.head != hash))
        {
            broken =
                Some((intact + 1, format!("the log ends before record {sequence}, which is known to exist")));
        }
        ChainReport { intact, broken, head: self.head }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(records: &[&str]) -> Vec<(u64, ChainHash, String)> {
        let mut head = ChainHash::GENESIS;
        let mut sequence = 0;
        let mut next = |record: &&str| {
            head = link(&head, record.as_bytes());
            sequence += 1;
            (sequence, head, (*record).to_owned())
        };
        records.iter().map(&mut next).collect()
    }

    fn verify(rows: &[(u64, ChainHash, String)], known: Option<(u64, ChainHash)>) -> ChainReport {
        let mut verifier = Verifier::default();
        rows.iter().for_each(|(sequence, hash, record)| verifier.take(*sequence, &hash.0, record.as_bytes()));
        verifier.finish(known)
    }

    #[test]
    fn every_kind_of_tampering_is_found() {
        let good = chain(&["a", "b", "c", "d"]);
        let head = good[3].1;
        assert_eq!(verify(&good, Some((4, head))).broken, None);
        assert_eq!(verify(&good, Some((2, good[1].1))).broken, None, "records may follow a known one");

        let mut changed = good.clone();
        changed[1].2 = "B".into();
        assert_eq!(verify(&changed, None).broken.unwrap().0, 2);
        let mut removed = good.clone();
        removed.remove(1);
        assert_eq!(verify(&removed, None).broken.unwrap().0, 2);
        let mut swapped = good.clone();
        swapped.swap(1, 2);
        assert!(verify(&swapped, None).broken.is_some());
        assert_eq!(verify(&good[..3], Some((4, head))).broken.unwrap().0, 4, "a cut tail");
    }
}
