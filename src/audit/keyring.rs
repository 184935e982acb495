//! What is written about a change of the keyring.

use super::entries::capped;
use serde::{Deserialize, Serialize};

/// Most entries of one list; the rest is counted.
const MOST: usize = 64;

/// How a change came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeHow {
    /// The command that made it told the daemon.
    Command,
    /// Nobody told: the files were found changed.
    Found,
}

impl ChangeHow {
    /// The word in the record.
    pub const fn name(self) -> &'static str {
        match self {
            ChangeHow::Command => "command",
            ChangeHow::Found => "found",
        }
    }
}

/// Who changed something, as the kernel says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorEntry {
    /// The user id of the process.
    pub uid: u32,
    /// The account of that number on this machine, escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The account that logged in, where the system keeps track of it: whoever became root is still
    /// that one. Escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// What the command itself says about the login. A claim and nothing more; escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
}

/// One file of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name in the keyring's directory, or its path where it lies elsewhere; escaped.
    pub name: String,
    /// The SHA-256 of what it held; absent where it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Of what it holds now; absent where it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The keyring changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyringChangeEntry {
    /// How that is known.
    pub how: ChangeHow,
    /// The change's own name. A crash may have put one on record twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The command: `add`, `revoke`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Who; absent where the files were found changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<OperatorEntry>,
    /// The key that signed the change, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// Why, as the operator said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whose files changed, sorted; the first ones where there are too many for a record.
    pub principals: Vec<String>,
    /// How many there are in all.
    pub principals_total: u64,
    /// The fingerprints of keys and authorities that came, went, or of which the entry changed, where the
    /// command said so; the first ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// How many there are in all.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub keys_total: u64,
    /// The files; the first ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileEntry>,
    /// Digest of the keyring before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Digest of the keyring afterwards.
    pub after: String,
}

impl KeyringChangeEntry {
    /// An entry about files that were found changed, from one keyring to another, without details.
    pub fn found(before: Option<&str>, after: &str) -> Self {
        KeyringChangeEntry {
            how: ChangeHow::Found,
            id: None,
            action: None,
            who: None,
            signer: None,
            reason: None,
            principals: Vec::new(),
            principals_total: 0,
            keys: Vec::new(),
            keys_total: 0,
            files: Vec::new(),
            before: before.map(capped),
            after: capped(after),
        }
    }

    /// Says whose files changed, escaped already.
    #[must_use]
    pub fn of_principals(mut self, names: &[String]) -> Self {
        (self.principals, self.principals_total) = first(names);
        self
    }

    /// Says which keys are concerned, escaped already.
    #[must_use]
    pub fn of_keys(mut self, fingerprints: &[String]) -> Self {
        (self.keys, self.keys_total) = first(fingerprints);
        self
    }

    /// Says which files changed; names are escaped already.
    #[must_use]
    pub fn of_files(mut self, files: &[FileEntry]) -> Self {
        self.files = files.iter().take(MOST).cloned().collect();
        self
    }
}

fn first(all: &[String]) -> (Vec<String>, u64) {
    (all.iter().take(MOST).map(|one| capped(one)).collect(), all.len() as u64)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Event, Record};

    fn long(prefix: char, count: usize) -> Vec<String> {
        (0..count).map(|n| format!("{}{n:05}", prefix.to_string().repeat(600))).collect()
    }

    #[test]
    fn n26_a_change_of_everything_still_fits_into_a_record() {
        let file = |name: &String| FileEntry {
            name: name.chars().rev().take(200).collect(),
            before: Some("a".repeat(64)),
            after: Some("b".repeat(64)),
        };
        let names: Vec<String> =
            long('n', 10_000).iter().map(|name| name.chars().rev().take(64).collect()).collect();
        let keys: Vec<String> =
            long('k', 10_000).iter().map(|key| key.chars().rev().take(64).collect()).collect();
        let files: Vec<FileEntry> = names.iter().map(file).collect();
        let entry =
            KeyringChangeEntry::found(Some("x"), "y").of_principals(&names).of_keys(&keys).of_files(&files);
        assert_eq!((entry.principals.len(), entry.principals_total), (MOST, 10_000));
        assert_eq!((entry.keys.len(), entry.keys_total), (MOST, 10_000));
        let record =
            Record::new("2026-01-02T03:04:05Z".parse().unwrap(), Event::KeyringChange(Box::new(entry)));
        let json = record.canonical().unwrap();
        assert!(json.len() < 40 << 10, "{}", json.len());
        assert!(json.contains("\"kind\":\"keyring-change\",\"how\":\"found\""), "{json}");
        assert_eq!(Record::parse(&json).unwrap(), record);
    }
}
