//! Why a state of the source is not taken over.

use super::super::check::CheckFault;
use super::super::fault::Fault;
use super::super::source_state::StateFault;
use super::MAX_REASON;
use crate::domain::ObjectId;
use crate::git::GitError;
use crate::keyring::EditError;
use crate::store::StoreError;

/// Why a state is not taken over.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The configuration has no `[keyring.source]`.
    #[error("the configuration in force has no [keyring.source]")]
    None,
    /// No reason, or an endless one.
    #[error("a reason has 1 to {MAX_REASON} characters")]
    Reason,
    /// Nobody accepted a first state.
    #[error("nothing was accepted yet: look at the ref, then `countersign keyring source accept COMMIT`")]
    NotAccepted,
    /// The state that was taken over last is of another source.
    #[error(
        "what was accepted last is of another repository, ref or directory: look at this one, then `countersign keyring source accept COMMIT`"
    )]
    Other,
    /// The repository cannot be used.
    #[error("{0}")]
    Repository(#[from] Fault),
    /// The ref is not there, or not a branch of its own.
    #[error("the ref is {0}")]
    Ref(&'static str),
    /// An operator named something else than the ref holds.
    #[error("the ref holds {0}; look at that one")]
    NotTheTip(ObjectId),
    /// The tip has no applied decision of the built-in ruleset.
    #[error("the ref was moved to {0} past the gate, or without a decision of its ruleset")]
    Undecided(ObjectId),
    /// The tip leaves out the state before.
    #[error("{tip} does not descend from {taken}, which was taken over last")]
    Sideways {
        /// What the ref holds.
        tip: ObjectId,
        /// What was taken over.
        taken: String,
    },
    /// Who signed it is not trusted any more.
    #[error("{tip}, or a commit before it, is not signed as it has to be by the keyring in force now: {why}")]
    NotSigned {
        /// What the ref holds.
        tip: ObjectId,
        /// What the ruleset says.
        why: String,
    },
    /// It could not be judged again.
    #[error("{0}")]
    Judge(String),
    /// The commit cannot be the keyring.
    #[error("{commit} cannot be taken over: {fault}")]
    State {
        /// The commit.
        commit: ObjectId,
        /// Why.
        fault: StateFault,
    },
    /// The keyring lacks a revocation, or cannot be written.
    #[error("{0}")]
    Keyring(#[from] EditError),
    /// The record.
    #[error("the record cannot be used: {0}")]
    Store(#[from] StoreError),
}

impl From<GitError> for SourceError {
    fn from(error: GitError) -> Self {
        SourceError::Repository(error.into())
    }
}

impl From<CheckFault> for SourceError {
    fn from(error: CheckFault) -> Self {
        SourceError::Judge(error.to_string())
    }
}
