//! The audit record: who, what, when, why, as stable JSON, and the hash chain over it.
//!
//! Pure: the store writes and reads, this module says what is written and whether it still holds.

mod chain;
mod record;

pub use chain::{ChainHash, ChainReport, Verifier, link};
pub use record::{
    AdoptRecord, AppliedRecord, Body, CommitRecord, DecisionRecord, FaultRecord, How, PusherRecord, Record,
    RefRecord, RulesetRecord, StateRecord, TipRecord, ViolationRecord,
};

/// Version of the record's JSON. New fields may appear under the same number; none changes its meaning.
pub const SCHEMA: u32 = 1;

/// Largest record, bytes (N26). Lists are cut to fit and say how many entries were left out.
pub const MAX_RECORD: usize = 64 << 10;
