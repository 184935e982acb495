//! Durable state: the audit log, what was accepted and applied, and where repositories are. The only
//! module that names SQLite; all SQL is in `sql`.
//!
//! Writes go through one thread that puts everything that waits into one transaction, so that many
//! pushes share one flush to disk. Other processes may write beside it: the head of the log's hash
//! chain is read inside each transaction and never remembered.

mod frontier;
mod log;
mod mark;
mod open;
mod sql;
mod writer;

pub use frontier::{FrontierReader, Grant, Observed, Pending, Scope};
pub use log::{Entry, Filter};
pub use open::{Mode, Store};
pub use writer::Stats;

/// Why state could not be read or written. Nobody gets in then.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state directory or a file in it cannot be used.
    #[error("{path}: {why}")]
    Place {
        /// Which path.
        path: std::path::PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The database is of a newer program.
    #[error(
        "the state has schema version {found}, this program knows versions up to {known}; install a newer one"
    )]
    Newer {
        /// What was found.
        found: i64,
        /// What is known.
        known: i64,
    },
    /// The database cannot be made durable as it must be.
    #[error("the database does not run with {wanted}: it says `{found}`")]
    Durability {
        /// What was asked for.
        wanted: &'static str,
        /// What the database says.
        found: String,
    },
    /// The state is older than it was before (N27).
    #[error("{0}; run `countersign adopt REPO` once you know why")]
    RolledBack(String),
    /// Too little space is left on the disk.
    #[error("only {free} bytes are free on the disk of the audit log, {reserved} are kept in reserve")]
    Full {
        /// Free, bytes.
        free: u64,
        /// The reserve, bytes.
        reserved: u64,
    },
    /// The database reports an error.
    #[error("database: {0}")]
    Database(#[from] rusqlite::Error),
    /// What the caller was reading from failed while it was being written down.
    #[error("{0}")]
    Source(String),
    /// The writing thread is gone.
    #[error("the writer of the audit log has stopped")]
    Stopped,
    /// A change was asked of a store that was opened for reading.
    #[error("the state was opened for reading only")]
    ReadOnly,
}
