//! What can go wrong in the store. Every error means that nothing was recorded.

use crate::audit::RecordError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A failure of the store. Whatever it is, the request that met it must not be let in.
///
/// Sources are shared, because one failed commit fails every job that was in it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error("cannot {step} `{path}`: {source}")]
    Io {
        /// What was tried.
        step: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: Arc<std::io::Error>,
    },
    /// The state directory or database could be changed by somebody else.
    #[error("`{path}` is not safe to use: {why}")]
    Unsafe {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// There is no database, and this mode does not make one.
    #[error("there is no state in `{0}`")]
    Missing(PathBuf),
    /// The file is a database of some other program.
    #[error("`{path}` is not a countersign database (application id {found:#010x})")]
    NotOurs {
        /// Which file.
        path: PathBuf,
        /// The id it carries.
        found: i64,
    },
    /// A newer build has written here.
    #[error(
        "the state has schema version {found}, and this build knows versions up to {known}: use the newer build, or restore a backup made before the upgrade"
    )]
    NewerSchema {
        /// The version found.
        found: i64,
        /// The newest version this build knows.
        known: i64,
    },
    /// An older build has written here, and this mode does not migrate.
    #[error(
        "the state has schema version {found}, and this build needs {known}: start the daemon once to migrate it"
    )]
    OlderSchema {
        /// The version found.
        found: i64,
        /// The version needed.
        known: i64,
    },
    /// A setting that durability rests on did not take.
    #[error(
        "the database does not do what it was told: {setting} is `{found}`, not `{wanted}` (is the state on a network file system?)"
    )]
    Setting {
        /// Which setting.
        setting: &'static str,
        /// The value it should have.
        wanted: &'static str,
        /// The value it has.
        found: String,
    },
    /// The database refused an operation.
    #[error("cannot {step}: {source}")]
    Sql {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        source: Arc<rusqlite::Error>,
    },
    /// There is not enough room left for records.
    #[error("no room left for the state: {0}")]
    Full(String),
    /// This handle was opened for reading.
    #[error("the state was opened for reading only")]
    ReadOnly,
    /// The state is older than what is known to have existed (N27).
    #[error("the state was rolled back: {0}; find out why, then run `countersign adopt REPO`")]
    RolledBack(String),
    /// The machine's clock is behind what is on record (1.9): receipts would get times from the past.
    #[error("{0}; set the clock right, or, where it is right now, run `countersign adopt REPO`")]
    Clock(String),
    /// The database file was exchanged or deleted under the running program.
    #[error("the database `{0}` was replaced or deleted while in use: restart the daemon")]
    Replaced(PathBuf),
    /// What is stored cannot be what was written.
    #[error("the state is damaged: {0}")]
    Damaged(String),
    /// The record could not be made.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The caller asked for something that contradicts itself.
    #[error("invalid use of the store: {0}")]
    Invalid(&'static str),
    /// The list of commits to adopt broke off.
    #[error("cannot list the commits to adopt: {0}")]
    Commits(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The writer is gone, so nothing can be recorded any more.
    #[error("the writer of the store has stopped")]
    WriterGone,
}

/// For `map_err` on file operations.
pub(super) fn io<'a>(step: &'static str, path: &'a Path) -> impl Fn(std::io::Error) -> StoreError + 'a {
    move |source| StoreError::Io { step, path: path.to_owned(), source: Arc::new(source) }
}

/// For `map_err` on database operations.
pub(super) fn sql(step: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |source| match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => {
            StoreError::Full(format!("cannot {step}, the disk or its quota is full"))
        }
        _ => StoreError::Sql { step, source: Arc::new(source) },
    }
}
