//! Collecting what policy judges: everything about a push, complete, or an error that makes the push
//! undecided.

mod changes;
mod collect;
mod content;
mod counters;
mod faults;
mod inputs;
mod introduced;
mod judge;
mod merges;
mod people;
mod taint;
mod updates;

pub use collect::collect;
pub use counters::{FidoSignature, fido_signatures, judge_counter};
pub use inputs::{Inputs, Present};
pub use introduced::{Frontier, Standing};
pub use updates::{Updates, parse_updates};

use crate::domain::ObjectId;
use crate::git::{self, GitError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Why facts could not be collected. Every one of them makes the push undecided.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The repository or an object could not be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The record of what was accepted before could not be read.
    #[error("cannot read the record of accepted commits: {0}")]
    Record(String),
    /// The time is over (N23).
    #[error("the deadline of {seconds} s passed while commits were being judged")]
    Deadline {
        /// The whole budget, seconds.
        seconds: u64,
    },
    /// Nobody waits for the answer any more.
    #[error("the client went away before the decision")]
    Abandoned,
    /// Covered refs have history that nobody vouched for (N9).
    #[error(
        "ruleset `{ruleset}` covers refs of `{repository}` that have history, but no trusted base is on record; \
         look at that history, then run `countersign adopt {path}` on the server"
    )]
    NoTrustedBase {
        /// Which ruleset.
        ruleset: String,
        /// Which repository, by name.
        repository: String,
        /// Where it lies.
        path: String,
    },
    /// A merge could not be computed again.
    #[error(transparent)]
    Merge(#[from] git::MergeError),
    /// A worker thread died.
    #[error("a worker failed while judging commit {0}")]
    Worker(ObjectId),
}

/// When to give up: at a deadline, or when nobody waits any more.
#[derive(Debug)]
pub struct Budget<'a> {
    /// When the time is over.
    pub deadline: Instant,
    /// The whole budget, for the message, seconds.
    pub seconds: u64,
    /// Set when the client is gone.
    pub abandoned: &'a AtomicBool,
}

impl Budget<'_> {
    /// Fails once the time is over or the client is gone.
    pub fn check(&self) -> Result<(), CollectError> {
        if self.abandoned.load(Ordering::Relaxed) {
            return Err(CollectError::Abandoned);
        }
        if Instant::now() >= self.deadline {
            return Err(CollectError::Deadline { seconds: self.seconds });
        }
        Ok(())
    }
}
