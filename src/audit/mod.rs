//! The audit record: what is written about every decision, and the hash chain that makes a change to
//! the past visible.
//!
//! [`Record`] is the stable, versioned JSON; [`chain`] links the lines. Neither knows where lines are
//! kept: that is the store's business.

pub mod chain;
mod entries;
mod keyring;
mod record;

pub use entries::{
    AdoptEntry, AppliedEntry, AppliedRef, Coverage, EvidenceEntry, FaultEntry, FindingEntry, How, JudgedBy,
    JudgedFrom, KeyringAuthor, KeyringChangeEntry, KeyringFileEntry, MAX_TEXT, Mode, ObjectEntry, Outcome,
    Peer, PusherEntry, RecoveredEntry, RefEntry, RepositoryEntry, RestoreEntry, RestoreStep, ServiceEntry,
    TaintEntry, Tip, Truncated, ViolationEntry, WaiverEntry, capped,
};
pub use keyring::{KeyringFoundEntry, KeyringSourceEntry, TakenHow};
pub use record::{Decision, Event, Record, RecordError, SCHEMA, rfc3339_ms};
