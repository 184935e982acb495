//! The hash chain over audit records.
//!
//! `hash_n = SHA-256(hash_(n-1) || length of the record as 8 bytes, big-endian || canonical JSON)`.
//! The chain shows a changed, removed or reordered line. A tail cut off at the end shows only against a
//! [`Head`] that was kept elsewhere: the high-water mark beside the database (N27), or an export.

use sha2::{Digest, Sha256};
use std::fmt;

/// One link of the chain: a SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first record links to.
    pub const GENESIS: Hash = Hash([0; 32]);

    /// Parses 64 lower-case hexadecimal digits.
    pub fn parse(hex: &str) -> Option<Self> {
        let raw = data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?;
        raw.try_into().ok().map(Hash)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The end of a chain: the sequence number of its last record and that record's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of the last record; the first record is 1, an empty chain is at 0.
    pub seq: u64,
    /// Hash of the last record.
    pub hash: Hash,
}

impl Head {
    /// The head of a chain without records.
    pub const EMPTY: Head = Head { seq: 0, hash: Hash::GENESIS };

    /// The head after `json` was appended.
    pub fn append(&self, json: &[u8]) -> Head {
        Head { seq: self.seq + 1, hash: link(&self.hash, json) }
    }
}

/// The hash of a record whose canonical JSON is `json` and whose predecessor has the hash `previous`.
pub fn link(previous: &Hash, json: &[u8]) -> Hash {
    let mut digest = Sha256::new();
    digest.update(previous.0);
    digest.update((json.len() as u64).to_be_bytes());
    digest.update(json);
    Hash(digest.finalize().into())
}

/// One stored line, as it is to be verified.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// The number that the line claims.
    pub seq: u64,
    /// The hash that the line claims.
    pub hash: Hash,
    /// The record's bytes, exactly as stored.
    pub json: &'a [u8],
}

/// What is wrong with a chain, at the first place where something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// The line's bytes or hash are not what was appended, or the line before it was exchanged.
    #[error("record {seq} was changed: its hash does not follow from its content and its predecessor")]
    Changed {
        /// The first record that does not fit.
        seq: u64,
    },
    /// Numbers are missing.
    #[error("record {seq} is missing: the next one present is {found}")]
    Removed {
        /// The first number that is missing.
        seq: u64,
        /// The number that stands in its place.
        found: u64,
    },
    /// A number comes again, or later than it should.
    #[error("record {found} stands where record {seq} belongs")]
    Reordered {
        /// The number expected.
        seq: u64,
        /// The number found.
        found: u64,
    },
    /// The chain ends before a head that is known to have existed.
    #[error("the log was cut off: record {seq} is missing, and record {known} is known to have existed")]
    Truncated {
        /// The first number that is missing.
        seq: u64,
        /// The known head's number.
        known: u64,
    },
    /// The chain is sound in itself, but it is not the chain that a known head belongs to.
    #[error("record {seq} is not the one that is known to have existed: the log was replaced or forked")]
    Forked {
        /// The known head's number.
        seq: u64,
    },
}

impl Break {
    /// The first sequence number at which the chain is not what it should be.
    pub fn seq(&self) -> u64 {
        match self {
            Break::Changed { seq }
            | Break::Removed { seq, .. }
            | Break::Reordered { seq, .. }
            | Break::Truncated { seq, .. }
            | Break::Forked { seq } => *seq,
        }
    }
}

/// The result of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainReport {
    /// How many records were sound.
    pub records: u64,
    /// The last sound record.
    pub head: Head,
    /// The first fault, if any. Nothing after it was looked at.
    pub broken: Option<Break>,
}

/// Verifies a chain line by line, for logs that do not fit into memory.
#[derive(Clone, Debug)]
pub struct Verifier {
    head: Head,
    known: Option<Head>,
}

impl Verifier {
    /// A verifier at the start of a chain. `known` is a head kept elsewhere, which the chain must reach.
    pub fn new(known: Option<Head>) -> Self {
        Verifier { head: Head::EMPTY, known }
    }

    /// Checks the next line. After an error the verifier must not be used further.
    pub fn push(&mut self, line: Link<'_>) -> Result<(), Break> {
        let next = self.head.append(line.json);
        if line.seq > next.seq {
            // Swapped neighbours also look like a gap first; either way this is the first wrong place.
            return Err(Break::Removed { seq: next.seq, found: line.seq });
        }
        if line.seq < next.seq {
            return Err(Break::Reordered { seq: next.seq, found: line.seq });
        }
        if line.hash != next.hash {
            return Err(Break::Changed { seq: next.seq });
        }
        if self.known.is_some_and(|known| known.seq == next.seq && known.hash != next.hash) {
            return Err(Break::Forked { seq: next.seq });
        }
        self.head = next;
        Ok(())
    }

    /// Ends the verification: the chain must have reached the known head.
    pub fn finish(self) -> Result<Head, Break> {
        match self.known {
            Some(known) if known.seq > self.head.seq => {
                Err(Break::Truncated { seq: self.head.seq + 1, known: known.seq })
            }
            _ => Ok(self.head),
        }
    }

    /// The last sound record so far.
    pub fn head(&self) -> Head {
        self.head
    }
}

/// Verifies a whole chain from its first record on.
pub fn verify<'a>(lines: impl IntoIterator<Item = Link<'a>>, known: Option<Head>) -> ChainReport {
    let mut verifier = Verifier::new(known);
    for line in lines {
        if let Err(fault) = verifier.push(line) {
            return report(verifier.head(), Some(fault));
        }
    }
    let head = verifier.head();
    report(head, verifier.finish().err())
}

fn report(head: Head, broken: Option<Break>) -> ChainReport {
    ChainReport { records: head.seq, head, broken }
}

/// One line of an export: `{"seq":…,"hash":"…","record":…}`, with the record's bytes as they are hashed.
pub fn export_line(seq: u64, hash: &Hash, json: &str) -> String {
    format!("{{\"seq\":{seq},\"hash\":\"{hash}\",\"record\":{json}}}")
}

/// Takes a line of [`export_line`] apart again; `None` where it is none. The record's bytes come back
/// exactly, because the hash is over bytes and not over values.
pub fn parse_export_line(line: &str) -> Option<Link<'_>> {
    let rest = line.strip_prefix("{\"seq\":")?;
    let (seq, rest) = rest.split_once(",\"hash\":\"")?;
    let (hash, rest) = rest.split_once("\",\"record\":")?;
    let json = rest.strip_suffix('}')?;
    Some(Link { seq: seq.parse().ok()?, hash: Hash::parse(hash)?, json: json.as_bytes() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(lines: &[&str]) -> Vec<(u64, Hash, String)> {
        let mut head = Head::EMPTY;
        let mut out = Vec::new();
        for line in lines {
            head = head.append(line.as_bytes());
            out.push((head.seq, head.hash, (*line).to_owned()));
        }
        out
    }

    fn check(lines: &[(u64, Hash, String)], known: Option<Head>) -> ChainReport {
        verify(
            lines.iter().map(|(seq, hash, json)| Link { seq: *seq, hash: *hash, json: json.as_bytes() }),
            known,
        )
    }

    #[test]
    fn the_formula_is_fixed() {
        // Worked out independently: sha256 of 32 zero bytes, 00..02 and `{}`.
        let head = Head::EMPTY.append(b"{}");
        let mut by_hand = Sha256::new();
        by_hand.update([0_u8; 32]);
        by_hand.update([0, 0, 0, 0, 0, 0, 0, 2]);
        by_hand.update(b"{}");
        assert_eq!(head.hash.0, <[u8; 32]>::from(by_hand.finalize()));
        assert_eq!(head.hash.to_string(), "14eb4f582cbffb5fb74b22b210f14dd5c698b4c67a9a0956a08c293bc04919ca");
    }

    #[test]
    fn finds_every_kind_of_tampering() {
        let good = chain(&["{\"a\":1}", "{\"a\":2}", "{\"a\":3}", "{\"a\":4}"]);
        let head = Head { seq: 4, hash: good[3].1 };
        assert_eq!(check(&good, Some(head)).broken, None);
        assert_eq!(check(&good, None).head, head);

        let mut changed = good.clone();
        changed[1].2 = "{\"a\":9}".into();
        assert_eq!(check(&changed, None).broken, Some(Break::Changed { seq: 2 }));

        // Whoever recomputes the changed line's hash is found one line later.
        let mut rehashed = changed.clone();
        rehashed[1].1 = link(&rehashed[0].1, rehashed[1].2.as_bytes());
        assert_eq!(check(&rehashed, None).broken, Some(Break::Changed { seq: 3 }));

        let mut removed = good.clone();
        removed.remove(1);
        assert_eq!(check(&removed, None).broken, Some(Break::Removed { seq: 2, found: 3 }));
        for (at, line) in removed.iter_mut().enumerate() {
            line.0 = at as u64 + 1;
        }
        assert_eq!(check(&removed, None).broken, Some(Break::Changed { seq: 2 }), "renumbered");

        let mut swapped = good.clone();
        swapped.swap(1, 2);
        assert_eq!(check(&swapped, None).broken.unwrap().seq(), 2);
        let mut doubled = good.clone();
        doubled.insert(2, good[1].clone());
        assert_eq!(check(&doubled, None).broken, Some(Break::Reordered { seq: 3, found: 2 }));

        let cut = &good[..3];
        assert_eq!(check(cut, None).broken, None, "a cut tail is invisible without a known head");
        assert_eq!(check(cut, Some(head)).broken, Some(Break::Truncated { seq: 4, known: 4 }));

        let fork = chain(&["{\"a\":1}", "{\"a\":2}", "{\"a\":3}", "{\"a\":5}", "{}"]);
        assert_eq!(check(&fork, Some(head)).broken, Some(Break::Forked { seq: 4 }));
        assert_eq!(check(&[], Some(head)).broken, Some(Break::Truncated { seq: 1, known: 4 }));
    }

    #[test]
    fn length_is_part_of_the_hash() {
        assert_ne!(link(&Hash::GENESIS, b"ab"), link(&link(&Hash::GENESIS, b"a"), b"b"));
    }

    #[test]
    fn exports_round_trip_byte_for_byte() {
        for (seq, hash, json) in chain(&["{\"x\":\"},\\\"record\\\":\"}", "{}"]) {
            let line = export_line(seq, &hash, &json);
            let link = parse_export_line(&line).unwrap();
            assert_eq!((link.seq, link.hash, link.json), (seq, hash, json.as_bytes()));
        }
        assert!(parse_export_line("{}").is_none());
    }
}
