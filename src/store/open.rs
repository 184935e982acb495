//! Opening the state.

use super::mark::{Mark, MarkFile};
use super::writer::{Stats, Writer};
use super::{StoreError, sql};
use crate::audit::{Body, ChainHash, Record};
use crate::domain::Timestamp;
use data_encoding::HEXLOWER;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What the state is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Reading and writing; made if it is not there.
    ReadWrite,
    /// Reading only; an error if it is not there.
    ReadOnly,
}

/// Free space below which nothing is accepted any more, bytes (N26).
const RESERVED: u64 = 16 << 20;
/// How long a writer waits for another process.
const BUSY: Duration = Duration::from_secs(10);
/// Samples of turned-away connections that are kept, in memory.
const SAMPLES: usize = 16;
/// Refusals and outages that one repository may have written in full per minute; further ones are
/// written without their lists (N26).
const FULL_PER_MINUTE: u32 = 600;

/// Open state.
pub struct Store {
    pub(super) database: PathBuf,
    pub(super) mode: Mode,
    pub(super) readers: Mutex<Vec<Connection>>,
    pub(super) writer: Option<Writer>,
    mark: Arc<MarkFile>,
    rolled_back: Arc<Mutex<Option<String>>>,
    unauthenticated: Mutex<HashMap<String, (u64, Vec<String>)>>,
    pub(super) budget: Mutex<HashMap<String, (i64, u32)>>,
}

impl Store {
    /// Opens the state in a directory that only its owner can reach.
    ///
    /// # Errors
    /// A directory that others can write, a database of a newer program, or one that cannot be made
    /// durable (WAL with full flushes, proved by asking back).
    pub fn open(state: &Path, mode: Mode) -> Result<Self, StoreError> {
        check_directory(state, mode)?;
        let database = state.join("countersign.db");
        let mark = Arc::new(MarkFile::new(state));
        // The mark is read before the database: the database only grows, so this order cannot make a
        // busy neighbour look like a rollback.
        let known = mark.read().map_err(|why| StoreError::Place { path: state.to_owned(), why })?;
        let connection = connect(&database, mode)?;
        let rolled_back = Arc::new(Mutex::new(compare(&connection, known.as_ref())?));
        let writer = match mode {
            Mode::ReadOnly => None,
            Mode::ReadWrite => {
                let instance = instance(&connection)?;
                let after = after_commit(Arc::clone(&mark), instance, Arc::clone(&rolled_back));
                let (place, file) = (state.to_owned(), database.clone());
                let identity = identity(&database)?;
                let ready = move || {
                    still_there(&file, identity)?;
                    free_space(&place)
                };
                Some(Writer::start(connect(&database, mode)?, ready, after))
            }
        };
        Ok(Store {
            database,
            mode,
            readers: Mutex::new(vec![connection]),
            writer,
            mark,
            rolled_back,
            unauthenticated: Mutex::default(),
            budget: Mutex::default(),
        })
    }

    /// Why the state is not trusted, if it is older than it was (N27). Looks again each time, since an
    /// operator may have settled it from another process.
    pub fn rolled_back(&self) -> Option<String> {
        let mut state = lock(&self.rolled_back);
        if state.is_some()
            && let (Ok(known), Ok(connection)) = (self.mark.read(), self.reader())
            && let Ok(found) = compare(&connection, known.as_ref())
        {
            *state = found;
            self.give_back(connection);
        }
        state.clone()
    }

    /// Accepts the state as it is, which is written into the log, and makes it the new mark.
    pub fn adopt_rollback(&self, who: &str) -> Result<(), StoreError> {
        let why = lock(&self.rolled_back).clone().unwrap_or_else(|| "nothing was wrong".to_owned());
        self.append(Record::new(Timestamp::now(), Body::Recovered { who: who.to_owned(), why }))?;
        let connection = self.reader()?;
        let instance = instance(&connection)?;
        let (sequence, hash) = head(&connection)?;
        self.give_back(connection);
        let place = |e: std::io::Error| StoreError::Place { path: self.database.clone(), why: e.to_string() };
        self.mark.write(&Mark { instance, sequence, hash }).map_err(place)?;
        *lock(&self.rolled_back) = None;
        Ok(())
    }

    /// The known end of the log, for verification.
    pub(super) fn known_head(&self) -> Option<(u64, ChainHash)> {
        self.mark.read().ok().flatten().map(|mark| (mark.sequence, mark.hash))
    }

    /// Counts an event that nobody vouches for; a few samples are kept in memory, nothing is written, so
    /// that strangers cannot fill the disk (N26).
    pub fn note_unauthenticated(&self, kind: &str, sample: &str) {
        let mut events = lock(&self.unauthenticated);
        let (count, samples) = events.entry(kind.to_owned()).or_default();
        *count += 1;
        if samples.len() < SAMPLES {
            samples.push(sample.to_owned());
        }
    }

    /// How many such events there were.
    pub fn unauthenticated(&self, kind: &str) -> u64 {
        lock(&self.unauthenticated).get(kind).map_or(0, |(count, _)| *count)
    }

    /// Transactions and the writes in them.
    pub fn stats(&self) -> Stats {
        self.writer.as_ref().map_or_else(Stats::default, Writer::stats)
    }

    /// Whether this repository may still have its refusals written in full this minute (N26).
    pub(super) fn in_budget(&self, repository: &str, now: Timestamp) -> bool {
        let minute = now.as_second() / 60;
        let mut budget = lock(&self.budget);
        if budget.len() > 10_000 {
            budget.retain(|_, (at, _)| *at == minute);
        }
        let entry = budget.entry(repository.to_owned()).or_insert((minute, 0));
        if entry.0 != minute {
            *entry = (minute, 0);
        }
        entry.1 += 1;
        entry.1 <= FULL_PER_MINUTE
    }

    pub(super) fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.as_ref().ok_or(StoreError::ReadOnly)?.submit(job)
    }

    pub(super) fn reader(&self) -> Result<Connection, StoreError> {
        match lock(&self.readers).pop() {
            Some(connection) => Ok(connection),
            None => connect(&self.database, self.mode),
        }
    }

    pub(super) fn give_back(&self, connection: Connection) {
        let mut readers = lock(&self.readers);
        if readers.len() < 16 {
            readers.push(connection);
        }
    }
}

/// A poisoned lock guards plain data that is whole at any time.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check_directory(state: &Path, mode: Mode) -> Result<(), StoreError> {
    let error = |why: String| StoreError::Place { path: state.to_owned(), why };
    if mode == Mode::ReadWrite && !state.exists() {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(state);
        made.map_err(|e| error(e.to_string()))?;
    }
    let seen = fs::metadata(state).map_err(|e| error(e.to_string()))?;
    let own = rustix::process::geteuid().as_raw();
    if seen.uid() != own && own != 0 {
        return Err(error(format!("it belongs to uid {}, and this process runs as uid {own}", seen.uid())));
    }
    if seen.permissions().mode() & 0o022 != 0 {
        return Err(error("others can write it; `chmod 700` it".to_owned()));
    }
    Ok(())
}

fn connect(database: &Path, mode: Mode) -> Result<Connection, StoreError> {
    let flags = match mode {
        Mode::ReadWrite => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        Mode::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let fresh = mode == Mode::ReadWrite && !database.exists();
    let connection = Connection::open_with_flags(database, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    if fresh {
        let mode = fs::Permissions::from_mode(0o600);
        let place = |e: std::io::Error| StoreError::Place { path: database.to_owned(), why: e.to_string() };
        fs::set_permissions(database, mode).map_err(place)?;
    }
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(32);
    if mode == Mode::ReadWrite {
        migrate(&connection)?;
    }
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = sql::MIGRATIONS.len() as i64;
    if version > known {
        return Err(StoreError::Newer { found: version, known });
    }
    Ok(connection)
}

fn migrate(connection: &Connection) -> Result<(), StoreError> {
    // Full flushes at every commit, and a log that survives a crash at any point: asked for, then proved.
    let journal: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if journal != "wal" {
        return Err(StoreError::Durability { wanted: "journal_mode = WAL", found: journal });
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    if synchronous != 2 {
        return Err(StoreError::Durability { wanted: "synchronous = FULL", found: synchronous.to_string() });
    }
    let known = sql::MIGRATIONS.len() as i64;
    let version = |connection: &Connection| -> Result<i64, StoreError> {
        Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
    };
    if version(connection)? >= known {
        return Ok(());
    }
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let result = (|| {
        // Another process may have been faster.
        for (index, script) in sql::MIGRATIONS.iter().enumerate().skip(version(connection)?.max(0) as usize) {
            connection.execute_batch(script)?;
            connection.pragma_update(None, "user_version", index as i64 + 1)?;
        }
        connection.pragma_update(None, "application_id", sql::APPLICATION_ID)?;
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(|e| StoreError::Source(e.to_string()))?;
        connection.execute(
            "INSERT INTO meta (key, value) VALUES ('instance', ?1) ON CONFLICT (key) DO NOTHING",
            params![HEXLOWER.encode(&random)],
        )?;
        Ok(())
    })();
    connection.execute_batch(if result.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    result
}

pub(super) fn instance(connection: &Connection) -> Result<String, StoreError> {
    Ok(connection.query_row("SELECT value FROM meta WHERE key = 'instance'", [], |row| row.get(0))?)
}

/// The last record's sequence number and hash.
pub(super) fn head(connection: &Connection) -> Result<(u64, ChainHash), StoreError> {
    let last = connection
        .prepare_cached("SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))
        .optional()?;
    match last {
        None => Ok((0, ChainHash::GENESIS)),
        Some((sequence, hash)) => {
            let hash = ChainHash::from_bytes(&hash)
                .ok_or_else(|| StoreError::Source(format!("record {sequence} has a damaged hash")))?;
            Ok((u64::try_from(sequence).unwrap_or(0), hash))
        }
    }
}

/// Holds the database against the mark; says what is wrong.
fn compare(connection: &Connection, known: Option<&Mark>) -> Result<Option<String>, StoreError> {
    let Some(known) = known else { return Ok(None) };
    if instance(connection)? != known.instance {
        return Ok(Some(
            "the audit log is not the one that was here before: it was lost or replaced".to_owned(),
        ));
    }
    if known.sequence == 0 {
        return Ok(None);
    }
    let hash: Option<Vec<u8>> = connection
        .query_row("SELECT hash FROM log WHERE seq = ?1", params![known.sequence as i64], |row| row.get(0))
        .optional()?;
    Ok(match hash {
        Some(hash) if ChainHash::from_bytes(&hash) == Some(known.hash) => None,
        Some(_) => {
            Some(format!("record {} of the audit log is not the one that was there before", known.sequence))
        }
        None => {
            let (sequence, _) = head(connection)?;
            Some(format!("the audit log ends at record {sequence}, but it had {} before", known.sequence))
        }
    })
}

fn after_commit(
    mark: Arc<MarkFile>,
    instance: String,
    rolled_back: Arc<Mutex<Option<String>>>,
) -> impl Fn(&Connection) + Send + 'static {
    move |connection| {
        if lock(&rolled_back).is_some() {
            return;
        }
        // What fails here is found at the next start at the latest: the mark lags, nothing is lost.
        if let Ok((sequence, hash)) = head(connection) {
            let _ = mark.write(&Mark { instance: instance.clone(), sequence, hash });
        }
    }
}

/// Device and inode of the database.
fn identity(database: &Path) -> Result<(u64, u64), StoreError> {
    let place = |e: std::io::Error| StoreError::Place { path: database.to_owned(), why: e.to_string() };
    fs::metadata(database).map(|seen| (seen.dev(), seen.ino())).map_err(place)
}

/// A database that was deleted or replaced under a running process still takes writes, which nobody
/// would ever see.
fn still_there(database: &Path, before: (u64, u64)) -> Result<(), StoreError> {
    if identity(database)? == before {
        return Ok(());
    }
    let why = "it was replaced while this process was running; restart it".to_owned();
    Err(StoreError::Place { path: database.to_owned(), why })
}

fn free_space(state: &Path) -> Result<(), StoreError> {
    match rustix::fs::statvfs(state) {
        Ok(seen) => {
            let free = seen.f_bavail.saturating_mul(seen.f_frsize);
            if free < RESERVED { Err(StoreError::Full { free, reserved: RESERVED }) } else { Ok(()) }
        }
        Err(e) => Err(StoreError::Place { path: state.to_owned(), why: e.to_string() }),
    }
}
