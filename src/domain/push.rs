//! One push, as the server reports it.

use super::{ObjectId, Principal, RefName, Timestamp};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Identifies one request, in logs, in the audit record and in what the pusher reads: 32 hexadecimal
/// digits, made by the hook.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(String);

impl RequestId {
    /// Accepts 32 lower-case hexadecimal digits and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let ok = text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        ok.then(|| RequestId(text.to_owned()))
    }

    /// An id from 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        RequestId(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A requested move of one ref. Both sides `None` is malformed and never judged as anything else (N5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefUpdate {
    /// The ref, as pushed (before symbolic refs are resolved).
    pub name: RefName,
    /// What the pusher claims the ref to hold now; `None` to create it. A claim, not a fact (T18).
    pub old: Option<ObjectId>,
    /// What the ref shall hold; `None` to delete it.
    pub new: Option<ObjectId>,
}

/// What an update does to its ref, decided by the new id first (N5: new = zero is a deletion).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpdateKind {
    /// The ref does not exist yet.
    Create,
    /// The old tip is an ancestor of the new one, or the same.
    FastForward,
    /// Commits that the ref had are dropped, or its history is unrelated.
    Force,
    /// The ref goes away.
    Delete,
}

impl UpdateKind {
    /// The word used in records and output.
    pub const fn name(self) -> &'static str {
        match self {
            UpdateKind::Create => "create",
            UpdateKind::FastForward => "update",
            UpdateKind::Force => "force",
            UpdateKind::Delete => "delete",
        }
    }
}

/// The four kinds of git objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A commit.
    Commit,
    /// An annotated tag.
    Tag,
    /// A directory.
    Tree,
    /// A file's content.
    Blob,
}

impl ObjectKind {
    /// Git's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            ObjectKind::Commit => "commit",
            ObjectKind::Tag => "tag",
            ObjectKind::Tree => "tree",
            ObjectKind::Blob => "blob",
        }
    }
}

/// Who is pushing, as the configured server says (N18). Never taken from pushed content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pusher {
    /// No server kind is configured, so nobody vouches for an identity.
    Unknown,
    /// The configured server vouches for somebody.
    Known {
        /// The account; `#` and a number for one without a name, such as a deploy key. Where the key itself is
        /// the proof, its fingerprint. Not escaped.
        name: String,
        /// The variable that it came from.
        source: &'static str,
        /// Who of the keyring that is. `None`: nobody of the keyring, whatever the name looks like; such a
        /// pusher is in no group, and no selector of principals lets it in.
        principal: Option<Arc<Principal>>,
        /// What the identity rests on.
        proof: Proof,
        /// What else the server says, by variable, and under `key.` what is known of a key. For the record.
        details: BTreeMap<&'static str, String>,
    },
}

impl Pusher {
    /// Somebody who is only supposed to push, where no server was asked: `source` says what supposes it.
    pub fn supposed(name: &str, source: &'static str, principal: Option<Arc<Principal>>) -> Self {
        let details = BTreeMap::new();
        Pusher::Known { name: name.to_owned(), source, principal, proof: Proof::Server, details }
    }

    /// Who of the keyring pushes, where that is known.
    pub fn principal(&self) -> Option<&Arc<Principal>> {
        match self {
            Pusher::Unknown => None,
            Pusher::Known { principal, .. } => principal.as_ref(),
        }
    }
}

/// What a pusher's identity rests on. Either way it is the server that is believed: it says under which
/// account somebody logged in, or with which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The server's word for an account, which a principal lists as its own.
    Server,
    /// The server's word for the key that logged in, which is looked up in the keyring.
    Key,
}

impl Proof {
    /// The word in records.
    pub const fn name(self) -> &'static str {
        match self {
            Proof::Server => "server",
            Proof::Key => "key",
        }
    }
}

/// The stable identity of a repository: the id that `install` wrote into it (N3). A rename keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryId(pub String);

/// A repository as one request sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryRef {
    /// The stable identity, which records hang on.
    pub id: RepositoryId,
    /// The path below the configured root, without `.git`: what selectors match.
    pub name: String,
}

/// Everything about a push that is not in its objects.
#[derive(Clone, Debug)]
pub struct PushContext {
    /// Which request this is.
    pub request_id: RequestId,
    /// Where the push goes.
    pub repository: RepositoryRef,
    /// Who pushes.
    pub pusher: Pusher,
    /// Push options, untrusted text; recorded, never obeyed on their own (T11).
    pub push_options: Vec<Vec<u8>>,
    /// When the push was received: the only clock reading of a decision (N13).
    pub received_at: Timestamp,
}
