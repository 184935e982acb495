//! Durable state: the audit log, the frontier of accepted commits, decided and applied updates,
//! repository identities, what forges told and what they are to be told.
//!
//! One SQLite database in WAL mode with `synchronous = FULL`: what a function here returned `Ok` for is
//! on disk. Writes go through one thread that puts everything waiting into one transaction; reads use
//! their own connections and never wait for it. Several processes may use one state directory at a time
//! (the daemon, `countersign adopt`, a standalone hook): the head of the log is read inside each write
//! transaction and never remembered.
//!
//! All calls block. Async code calls them from a blocking thread.

mod adopt;
mod budget;
mod clock;
mod counters;
mod decisions;
mod deliveries;
mod detected;
mod error;
mod forges;
mod frontier;
mod log;
mod mark;
mod migrations;
mod open;
mod receipts;
mod reports;
mod repositories;
mod rollback;
mod source;
mod sql;
mod taint;
mod unsound;
mod uses;
mod writer;

pub use adopt::{Base, Voucher};
pub use budget::UnauthenticatedCounter;
pub use counters::CountedSignature;
pub use decisions::{DecidedUpdate, Grant, Pending};
pub use deliveries::{
    Accepted, Delivery, NewDelivery, QueueFigures, QueueLimits, QueuedRepository, WebhookCounter,
};
pub use detected::Detected;
pub use error::StoreError;
pub use forges::{ForgeRepositoryEntry, Pinned};
pub use frontier::{FrontierReader, Scope};
pub use log::{Filter, LogEntries, LogEntry};
pub use receipts::Receipts;
pub use reports::{Again, Ending, Held, NewReport, Report, ReportFigures, ReportProgress, ReportState};
pub use repositories::{KnownRepository, Observed};
pub use source::TakenMark;
pub use taint::Tainted;
pub use unsound::{Mover, Unsound};
pub use uses::ExpiryNotice;

use crate::audit::chain::Head;
use crate::domain::Timestamp;
use budget::{Budgets, Unauthenticated};
use error::sql;
use mark::MarkFile;
use rusqlite::Connection;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use writer::{Txn, Writer};

/// What a handle may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Read and write; makes the directory and the database, and migrates an older one.
    ReadWrite,
    /// Read only; nothing is made or changed.
    ReadOnly,
}

/// Settings of a store; the defaults are right for production.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a write waits for another process's write. Must be below the decision deadline (N23).
    pub busy_timeout: Duration,
    /// Refuse to write when the file system has fewer bytes left than this. What is reserved is room
    /// for SQLite to finish and for an administrator to act in, so that a full disk stops pushes
    /// instead of damaging state.
    pub reserve_bytes: u64,
    /// Largest record, in bytes; longer ones lose list entries and count them (N26).
    pub record_bytes: usize,
    /// Refused and undecided records with all their lists, for each repository and minute; further ones
    /// are recorded without lists (N26). Accepted pushes are always recorded in full.
    pub full_records_per_minute: u64,
    /// Most jobs in one transaction.
    pub max_batch: usize,
    /// How much of what forges tell is kept (N26).
    pub queue: QueueLimits,
    /// Quota for the database, in pages of 4096 bytes; no quota if absent.
    pub max_database_pages: Option<u32>,
    /// The machine's clock.
    pub clock: fn() -> Timestamp,
    /// How far the clock may be behind the latest write before nothing is written any more.
    pub clock_tolerance: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            busy_timeout: Duration::from_secs(10),
            reserve_bytes: 16 << 20,
            record_bytes: 64 << 10,
            full_records_per_minute: 600,
            max_batch: 256,
            queue: QueueLimits::default(),
            max_database_pages: None,
            clock: Timestamp::now,
            clock_tolerance: Duration::from_secs(300),
        }
    }
}

/// What the writer has done since the store was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Durable transactions, each one flush to disk.
    pub commits: u64,
    /// Jobs that were in them. The quotient is the gain of group commit.
    pub jobs: u64,
}

/// An open state directory. Cheap to share behind an `Arc`; all methods take `&self`.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    writer: Option<Writer>,
}

/// What the writer, the readers and the handle have in common.
#[derive(Debug)]
struct Shared {
    database: PathBuf,
    /// Device and inode of the database when it was opened.
    identity: (u64, u64),
    mode: Mode,
    options: Options,
    instance: String,
    mark: Option<MarkFile>,
    rolled_back: Mutex<Option<rollback::Finding>>,
    readers: Mutex<Vec<Connection>>,
    budgets: Mutex<Budgets>,
    unauthenticated: Mutex<Unauthenticated>,
    webhooks: Mutex<deliveries::Counts>,
    commits: AtomicU64,
    jobs: AtomicU64,
}

/// Idle read connections that are kept.
const IDLE_READERS: usize = 8;

/// Locks, also after a panic elsewhere: what these mutexes guard is valid after every statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens the state in `directory` with the default [`Options`].
    ///
    /// Fails where the directory or database could be written by others, belongs to somebody else, was
    /// written by a newer build, or does not give the durability asked for. A state that was rolled
    /// back opens, and says so in [`Store::rolled_back`].
    pub fn open(directory: &Path, mode: Mode) -> Result<Store, StoreError> {
        Store::open_with(directory, mode, Options::default())
    }

    /// [`Store::open`] with other settings.
    pub fn open_with(directory: &Path, mode: Mode, options: Options) -> Result<Store, StoreError> {
        let (shared, connection) = open::open(directory, mode, options)?;
        let shared = Arc::new(shared);
        let writer = match mode {
            Mode::ReadOnly => {
                lock(&shared.readers).push(connection);
                None
            }
            Mode::ReadWrite => Some(Writer::start(Arc::clone(&shared), connection)?),
        };
        Ok(Store { shared, writer })
    }

    /// Why this state must not be built on, where it is older than it once was (N27). Everything is
    /// undecided until [`Store::adopt_rollback`].
    pub fn rolled_back(&self) -> Option<String> {
        lock(&self.shared.rolled_back).as_ref().map(|finding| finding.text.clone())
    }

    /// The random name of this database, made when it was.
    pub fn instance(&self) -> &str {
        &self.shared.instance
    }

    /// What the writer has done so far.
    pub fn stats(&self) -> Stats {
        Stats {
            commits: self.shared.commits.load(Ordering::Relaxed),
            jobs: self.shared.jobs.load(Ordering::Relaxed),
        }
    }

    /// The end of the audit log, to be kept elsewhere and given to [`Store::verify_log`] later.
    pub fn head(&self) -> Result<Head, StoreError> {
        rollback::head(&*self.reader()?)
    }

    /// Whether a write would succeed now, for health checks: takes the write lock, writes nothing.
    pub fn check_writable(&self) -> Result<(), StoreError> {
        self.write(|txn| txn.guard())
    }

    /// Runs `job` in a durable transaction.
    fn write<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Txn<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.as_ref().ok_or(StoreError::ReadOnly)?.submit(job)
    }

    /// A connection for reading.
    fn reader(&self) -> Result<Reader, StoreError> {
        let idle = lock(&self.shared.readers).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                let connection =
                    open::connect(&self.shared.database, self.shared.mode, &self.shared.options)?;
                connection.pragma_update(None, "query_only", true).map_err(sql("restrict a reader"))?;
                connection
            }
        };
        Ok(Reader { connection: Some(connection), shared: Arc::clone(&self.shared) })
    }
}

/// A read connection that goes back to the pool.
#[derive(Debug)]
struct Reader {
    connection: Option<Connection>,
    shared: Arc<Shared>,
}

impl Deref for Reader {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("taken only when dropped")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // A read transaction left open would keep the write-ahead log from shrinking.
        if !connection.is_autocommit() && connection.execute_batch(sql::ROLLBACK).is_err() {
            return;
        }
        let mut idle = lock(&self.shared.readers);
        if idle.len() < IDLE_READERS {
            idle.push(connection);
        }
    }
}
