//! What `check --history` found out, shown when history is adopted (N9).

use super::adopt::Adoption;
use crate::audit::EvidenceEntry;
use crate::domain::{ObjectId, RefName};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Longest line of a report: longer ones were not written by this program.
const MAX_LINE: usize = 64 << 10;
/// Most kinds of verdict in a report.
const MAX_STATUSES: usize = 32;

/// A report of `check --history --format json` that is whole in itself. It proves nothing about who made
/// it: whoever adopts vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Where it was read.
    pub path: PathBuf,
    /// SHA-256 of the file.
    pub sha256: String,
    /// The repository's name.
    pub repository: String,
    /// The ref.
    pub reference: RefName,
    /// What the ref held.
    pub tip: ObjectId,
    /// How many commits there were with each verdict.
    pub statuses: BTreeMap<String, u64>,
    /// Digest of the keyring that they were judged by.
    pub keyring: String,
    /// Digest of the configuration that they were judged by.
    pub configuration: String,
}

/// Why a file is no evidence for an adoption.
#[derive(Debug, thiserror::Error)]
#[error("{path} is no evidence for this adoption: {why}")]
pub struct EvidenceError {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

#[derive(Deserialize)]
struct Line {
    commit: String,
    status: String,
}

#[derive(Deserialize)]
struct LastLine {
    summary: Summary,
}

#[derive(Deserialize)]
struct Summary {
    repository: String,
    #[serde(rename = "ref")]
    reference: String,
    tip: String,
    total: u64,
    statuses: BTreeMap<String, u64>,
    keyring: String,
    configuration: String,
    sha256: String,
}

impl Evidence {
    /// Reads a report and holds its summary against its lines.
    pub fn read(path: &Path) -> Result<Self, EvidenceError> {
        let wrong = |why: String| EvidenceError { path: path.to_owned(), why };
        let file = File::open(path).map_err(|e| wrong(e.to_string()))?;
        let mut lines = BufReader::new(file);
        let (mut whole, mut before) = (Sha256::new(), Sha256::new());
        let mut statuses: BTreeMap<String, u64> = BTreeMap::new();
        let mut total = 0_u64;
        let mut last = Vec::new();
        loop {
            let mut line = Vec::new();
            let length = read_line(&mut lines, &mut line).map_err(|e| wrong(e.to_string()))?;
            if length == 0 {
                break;
            }
            whole.update(&line);
            let number = total + 1;
            if !last.is_empty() {
                let understood: Line = serde_json::from_slice(&last)
                    .map_err(|e| wrong(format!("line {number} is not a verdict on a commit: {e}")))?;
                if ObjectId::parse(understood.commit.as_bytes()).is_err() {
                    return Err(wrong(format!("line {number} names no commit")));
                }
                if !is_word(&understood.status) {
                    return Err(wrong(format!("line {number} has no verdict")));
                }
                before.update(&last);
                *statuses.entry(understood.status).or_default() += 1;
                if statuses.len() > MAX_STATUSES {
                    return Err(wrong("it has more kinds of verdict than there are".to_owned()));
                }
                total += 1;
            }
            last = line;
        }
        let LastLine { summary } = serde_json::from_slice(&last)
            .map_err(|_| wrong("its last line is not a summary: the report is not finished".to_owned()))?;
        if !(is_hex(&summary.keyring) && is_hex(&summary.configuration)) {
            return Err(wrong("its summary names no keyring or configuration".to_owned()));
        }
        if data_encoding::HEXLOWER.encode(&before.finalize()) != summary.sha256 {
            return Err(wrong("its lines are not the ones that its summary was made from".to_owned()));
        }
        if statuses != summary.statuses || total != summary.total {
            return Err(wrong("its summary does not count what its lines say".to_owned()));
        }
        Ok(Evidence {
            path: path.to_owned(),
            sha256: data_encoding::HEXLOWER.encode(&whole.finalize()),
            repository: summary.repository,
            reference: RefName::parse(summary.reference.as_bytes()).map_err(|e| wrong(e.to_string()))?,
            tip: ObjectId::parse(summary.tip.as_bytes()).map_err(|e| wrong(e.to_string()))?,
            statuses,
            keyring: summary.keyring,
            configuration: summary.configuration,
        })
    }

    /// Whether it is about this repository, and about exactly a tip that would be adopted.
    pub fn check(&self, repository: &str, listed: &[Adoption]) -> Result<(), EvidenceError> {
        let wrong = |why: String| Err(EvidenceError { path: self.path.clone(), why });
        if self.repository != repository {
            let shown = crate::domain::text::escape_short(self.repository.as_bytes(), 200);
            return wrong(format!("it is about the repository `{shown}`, not `{repository}`"));
        }
        let held =
            listed.iter().flat_map(|adoption| &adoption.tips).find(|(name, _)| *name == self.reference);
        match held {
            None => wrong(format!("it is about {}, which is not adopted here", self.reference)),
            Some((_, tip)) if *tip != self.tip => {
                wrong(format!("it is about {} at {}, and the ref holds {tip}", self.reference, self.tip))
            }
            Some(_) => Ok(()),
        }
    }

    /// What is written into the audit log; `keyring` is the digest of the one in force.
    pub fn entry(&self, keyring: &str) -> EvidenceEntry {
        EvidenceEntry {
            sha256: self.sha256.clone(),
            reference: self.reference.to_string(),
            tip: self.tip.to_string(),
            statuses: self.statuses.clone(),
            keyring: self.keyring.clone(),
            keyring_in_force: self.keyring == keyring,
        }
    }
}

/// The words of verdicts are short; what is in a file may be anything.
fn is_word(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// One line with its end; an unfinished or endless one is an error.
fn read_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<usize> {
    let length = std::io::Read::take(&mut *from, MAX_LINE as u64 + 1).read_until(b'\n', line)?;
    if length > 0 && !line.ends_with(b"\n") {
        return Err(std::io::Error::other("a line has no end, or is too long"));
    }
    Ok(length)
}
