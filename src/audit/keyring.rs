//! What is written where the keyring's files are found changed.

use super::entries::{KeyringAuthor, KeyringFileEntry, RepositoryEntry, capped};
use serde::{Deserialize, Serialize};

/// Most entries of one list; the rest is counted.
const MOST: usize = 64;

/// The keyring in force is another one, and no command told of the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyringFoundEntry {
    /// Whose files differ, sorted; the first ones where there are too many for a record. Nobody where the
    /// change happened while no daemon ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub principals: Vec<String>,
    /// The files that differ, those beside the keyring's directory among them; the first ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<KeyringFileEntry>,
    /// How many files differ in all.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub files_total: u64,
    /// Digest of the keyring before.
    pub keyring_before: String,
    /// Digest of the keyring afterwards.
    pub keyring_after: String,
}

impl KeyringFoundEntry {
    /// An entry about two keyrings, without details.
    pub fn new(before: &str, after: &str) -> Self {
        KeyringFoundEntry {
            principals: Vec::new(),
            files: Vec::new(),
            files_total: 0,
            keyring_before: capped(before),
            keyring_after: capped(after),
        }
    }

    /// Says what differs; all names are escaped already.
    #[must_use]
    pub fn differing(mut self, principals: &[String], files: &[KeyringFileEntry]) -> Self {
        self.principals = principals.iter().take(MOST).map(|one| capped(one)).collect();
        self.files = files.iter().take(MOST).cloned().collect();
        self.files_total = files.len() as u64;
        self
    }
}

/// A commit of the ref that the keyring follows was taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyringSourceEntry {
    /// Of which repository.
    pub repository: RepositoryEntry,
    /// The ref; escaped.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The commit.
    pub commit: String,
    /// The one before, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_before: Option<String>,
    /// Why it counts.
    pub how: TakenHow,
    /// Who accepted it, or the account that the daemon runs under.
    pub by: KeyringAuthor,
    /// Why, in the words of whoever accepted it; escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Digest of the keyring with it.
    pub keyring: String,
    /// How many files of rulesets came with it.
    pub rulesets: u64,
    /// SHA-256 of the file that holds all of this beside the keyring's files, rulesets included.
    pub state: String,
}

/// Why a commit counts as the keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TakenHow {
    /// It was let in, seen in the ref, and judged again.
    Seen,
    /// It had been taken over before, and the files said otherwise.
    Restored,
    /// An operator said so.
    Accepted,
}

impl TakenHow {
    /// The word in the record.
    pub const fn name(self) -> &'static str {
        match self {
            TakenHow::Seen => "seen",
            TakenHow::Restored => "restored",
            TakenHow::Accepted => "accepted",
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Event, Record};

    #[test]
    fn n26_a_change_of_everything_still_fits_into_a_record() {
        let names: Vec<String> = (0..10_000).map(|n| format!("{n:064}")).collect();
        let file = |name: &String| KeyringFileEntry {
            name: "x".repeat(136) + name,
            before: Some("a".repeat(64)),
            after: Some("b".repeat(64)),
        };
        let files: Vec<_> = names.iter().map(file).collect();
        let entry = KeyringFoundEntry::new("x", "y").differing(&names, &files);
        assert_eq!((entry.principals.len(), entry.files.len(), entry.files_total), (MOST, MOST, 10_000));
        let record = Record::new("2026-01-02T03:04:05Z".parse().unwrap(), Event::KeyringFound(entry));
        let json = record.canonical().unwrap();
        assert!(json.len() < 40 << 10, "{}", json.len());
        assert!(json.contains("\"kind\":\"keyring-found\","), "{json}");
        assert_eq!(Record::parse(&json).unwrap(), record);
    }
}
