//! Reading Git repositories: the only module that names gix.
//!
//! It reads a bare repository together with the quarantine of a push in flight, follows alternates,
//! and never applies replace refs or grafts. A repository that it cannot read faithfully is an error,
//! never an empty history. Bytes of judged objects are hashed again and compared with their id.

mod address;
mod alternates;
mod bases;
mod blobs;
mod changes;
pub(crate) mod child;
pub mod command;
mod files;
mod head;
mod merge;
mod mirror;
mod names;
mod objects;
mod refs;
mod relation;
mod remote;
mod repository;
mod revision;
mod tree;

pub use address::{Address, AddressError, Scheme};
pub use blobs::{Content, MAX_LINK_TARGET, blob_content, blob_facts, blob_size};
pub use changes::{
    ChangeBudget, CollidingName, Collision, Comparison, Counted, Differ, Difference, MalformedTree, Overrun,
    Spent,
};
pub use files::{FileLimits, FilesError, NamedFile, files_in};
pub use merge::{MergeError, MergeShape, Merger, Recomputed, merge_shape};
pub use mirror::{Mirror, MirrorError, Place, Unfetched};
pub use objects::{Found, Objects, verify_commit_id};
pub use relation::{Relation, between, leads_to, proven_between, reached, relate};
pub use remote::{Credential, Listing, Patience, Remote, RemoteError};
pub use repository::{RefState, Repository};
pub use revision::{RevisionError, commit_of};
pub use tree::{EntryKind, TooManyEntries, Tree, TreeEntry, TreeFault, TreeFaultCode};

use crate::domain::ObjectId;
use std::path::PathBuf;

/// Why a repository or an object in it could not be read. Always "undecided", never a refusal.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// Not a repository, or its configuration cannot be read.
    #[error("cannot open the repository at {path}: {why}")]
    Open {
        /// Where.
        path: PathBuf,
        /// What the library says.
        why: String,
    },
    /// A repository with features that this reader does not know, so that it might misread it.
    #[error("the repository at {path} uses {feature}, which cannot be read faithfully")]
    Unsupported {
        /// Where.
        path: PathBuf,
        /// Which feature.
        feature: String,
    },
    /// A repository whose history is cut: what is behind the cut cannot be judged (N6).
    #[error(
        "the repository at {path} is shallow, so its history cannot be judged; complete it with \
         `git fetch --unshallow` there, or remove its `shallow` file if it is left over"
    )]
    Shallow {
        /// Where.
        path: PathBuf,
    },
    /// The quarantine is not where one can be.
    #[error("the quarantine path is not accepted: {why}")]
    Quarantine {
        /// What is wrong with it.
        why: String,
    },
    /// Refs could not be read.
    #[error("cannot read refs: {why}")]
    Refs {
        /// What the library says.
        why: String,
    },
    /// The object database could not be read.
    #[error("cannot read object {id}: {why}")]
    Object {
        /// Which object.
        id: ObjectId,
        /// What the library says.
        why: String,
    },
    /// An object that must be there is not.
    #[error("object {id} is missing{}", wanted_by(.child))]
    Missing {
        /// Which object.
        id: ObjectId,
        /// The commit or tag that names it, where one does.
        child: Option<ObjectId>,
    },
    /// An object's bytes are not what its id says, or hide a SHA-1 collision.
    #[error("object {id} does not have the content that its id names: {why}")]
    Corrupt {
        /// Which object.
        id: ObjectId,
        /// What was found.
        why: String,
    },
    /// Alternates cannot be followed.
    #[error("cannot follow the alternates of {path}: {why}")]
    Alternates {
        /// The object directory.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

fn wanted_by(child: &Option<ObjectId>) -> String {
    child.map_or_else(String::new, |child| format!(", and {child} needs it"))
}

/// The library's errors put the useful part into their sources.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}
