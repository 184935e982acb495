//! What a running gate says about its configuration and keyring.

use crate::config::Diagnostic;
use crate::domain::text;
use serde::{Deserialize, Serialize};

/// Where an operator asks for a [`Status`].
pub const STATUS_PATH: &str = "/keyring/v1/status";
/// Where an operator has the files read at once; the answer is a [`Status`].
pub const RELOAD_PATH: &str = "/keyring/v1/reload";
/// Where an operator accepts what the keyring's source holds.
pub const SOURCE_PATH: &str = "/keyring/v1/source";
/// Where a command tells of a change that it made.
pub const CHANGES_PATH: &str = "/keyring/v1/changes";

/// Largest change that is read, bytes: one of every file of a large keyring.
pub const MAX_CHANGE: usize = 8 << 20;

/// Most faults that are told; a keyring may have as many as files.
const MOST: usize = 100;

/// What becomes of a change that a command told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// The number of its record.
    pub seq: u64,
}

/// The state of a running gate. All texts are escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// When what is in force was loaded: RFC 3339, UTC.
    pub loaded_at: String,
    /// The configuration in force.
    pub configuration: InForce,
    /// The keyring in force.
    pub keyring: KeyringInForce,
    /// The ref that the keyring follows, where there is one.
    #[serde(default)]
    pub source: Option<SourceStatus>,
    /// When the files were last looked at; absent where nothing watches them.
    #[serde(default)]
    pub watched_at: Option<String>,
    /// Since when the files are changing, and not left alone yet.
    #[serde(default)]
    pub changing_since: Option<String>,
    /// Whether the last good state still decides (N15).
    pub decides: bool,
    /// Until when it does, where newer files are rejected.
    #[serde(default)]
    pub last_good_until: Option<String>,
    /// What was rejected and is not mended yet.
    #[serde(default)]
    pub rejected: Option<Rejection>,
}

/// A file, and the digest of what was read from it and its includes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// The file.
    pub path: String,
    /// SHA-256, in hexadecimal.
    pub digest: String,
}

/// A keyring in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyringInForce {
    /// The directory of the principals' files.
    pub directory: String,
    /// The `allowed_signers` files.
    pub allowed_signers: Vec<String>,
    /// The revocation lists.
    pub revocation_lists: Vec<String>,
    /// SHA-256 over everything that it was read from, in hexadecimal; another one where revocations of a
    /// rejected keyring were added.
    pub digest: String,
    /// How many principals it has.
    pub principals: usize,
    /// How many keys.
    pub keys: usize,
    /// How many SSH certification authorities.
    pub authorities: usize,
}

/// The ref that the keyring follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// The repository.
    pub repository: String,
    /// The ref.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The directory in it; empty for the root.
    pub path: String,
    /// The directory of rulesets in it, where those are followed, too.
    #[serde(default)]
    pub rulesets: Option<String>,
    /// Who has to sign.
    pub signers: Vec<String>,
    /// The commit that was taken over last, and when.
    #[serde(default)]
    pub commit: Option<String>,
    /// When that was.
    #[serde(default)]
    pub taken_at: Option<String>,
    /// What the ref held when it was last looked at.
    #[serde(default)]
    pub tip: Option<String>,
    /// Whose files were changed on the server since, sorted, the first ones: the next commit that is taken over
    /// overwrites them.
    #[serde(default)]
    pub changed_here: Vec<String>,
    /// Why that is not taken over.
    #[serde(default)]
    pub fault: Option<String>,
    /// Whether pushes are decided meanwhile.
    #[serde(default)]
    pub decides: bool,
}

/// Files that cannot be taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// When files that do not load were first seen.
    pub since: String,
    /// When they were read last.
    pub last: String,
    /// How many revocations were taken from them all the same.
    pub revocations_taken: usize,
    /// What is wrong, by file and position; the first ones.
    pub faults: Vec<Fault>,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The file.
    pub file: String,
    /// Line, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// Column, from 1; 0 where the file as a whole is meant.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default)]
    pub help: Option<String>,
}

impl From<&Diagnostic> for Fault {
    fn from(found: &Diagnostic) -> Self {
        let shown = |text: &str| text::escape_short(text.as_bytes(), 1000);
        Fault {
            file: text::escape(found.file.as_os_str().as_encoded_bytes()),
            line: found.line,
            column: found.column,
            message: shown(&found.message),
            help: found.suggestion.as_deref().map(shown),
        }
    }
}

/// The faults that are told.
pub(super) fn told(faults: &[Diagnostic]) -> Vec<Fault> {
    faults.iter().take(MOST).map(Fault::from).collect()
}
