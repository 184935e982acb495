//! Opening: who may touch the files, which database it is, whether it keeps its promises.

use super::error::{StoreError, io, sql};
use super::mark::{Found, Mark, MarkFile};
use super::migrations::MIGRATIONS;
use super::rollback::{self, Finding};
use super::sql as q;
use super::{Mode, Options, Shared};
use crate::audit::chain::Head;
use rusqlite::{Connection, OpenFlags};
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

/// The database's file in the state directory.
const DATABASE: &str = "state.db";

impl super::Store {
    /// Whether there is state in a directory.
    pub fn exists(directory: &Path) -> bool {
        directory.join(DATABASE).is_file()
    }

    /// As `Store::exists`, where not being allowed to look is no answer.
    ///
    /// # Errors
    /// Nobody can tell.
    pub fn find(directory: &Path) -> Result<bool, StoreError> {
        let database = directory.join(DATABASE);
        match fs::metadata(&database) {
            Ok(metadata) => Ok(metadata.is_file()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(io("look at", &database)(e)),
        }
    }
}

/// `CSGN`, in the header of our databases.
pub(super) const APPLICATION_ID: i64 = 0x4353_474e;

/// The newest schema that this build knows.
fn schema_version() -> i64 {
    MIGRATIONS.len() as i64
}

/// Opens everything. The connection is the writer's in read-write mode, a reader's otherwise.
pub(super) fn open(
    directory: &Path,
    mode: Mode,
    options: Options,
) -> Result<(Shared, Connection), StoreError> {
    match mode {
        Mode::ReadWrite => prepare_directory(directory)?,
        Mode::ReadOnly if !directory.exists() => return Err(StoreError::Missing(directory.to_owned())),
        Mode::ReadOnly => {}
    }
    // The links that lead here are the administrator's business, one inside is nobody's.
    let directory = &fs::canonicalize(directory).map_err(io("find the state directory", directory))?;
    let owner = check_directory(directory)?;
    let database = directory.join(DATABASE);
    let mark_path = directory.join("high-water");

    let mark = MarkFile::open(&mark_path, mode == Mode::ReadWrite, &owner)?;
    if let Some(file) = &mark {
        check_file(&mark_path, &file.metadata()?, &owner)?;
    }
    // The lock is held until the database and its mark agree, so that two processes that start at the
    // same time do not take each other's half-made state for a lost one.
    let guard = match (&mark, mode) {
        (Some(file), Mode::ReadWrite) => Some(file.lock()?),
        _ => None,
    };
    // The mark is read before the database: other processes move the log first and the mark second.
    let found = match &mark {
        Some(file) => file.read()?,
        None => Found::Nothing,
    };
    let present = match fs::symlink_metadata(&database) {
        Ok(metadata) => Some(metadata),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(io("look at", &database)(e)),
    };
    match (present, mode) {
        (Some(metadata), _) => check_file(&database, &metadata, &owner)?,
        (None, Mode::ReadOnly) => return Err(StoreError::Missing(directory.to_owned())),
        (None, Mode::ReadWrite) => create_file(&database, directory, &owner)?,
    }
    let connection = connect(&database, mode, &options)?;
    let instance = match (version(&connection, &database)?, mode) {
        (Some(_), _) => None,
        (None, Mode::ReadOnly) => return Err(StoreError::Missing(directory.to_owned())),
        (None, Mode::ReadWrite) => Some(new_instance(&database)?),
    };
    let mut found = found;
    if let (Some(instance), Some(file)) = (&instance, &mark) {
        // A new database. A mark that has seen records belongs to a lost one and stays as evidence.
        let seen = match &found {
            Found::Nothing => false,
            Found::Unreadable => true,
            Found::Mark(mark) => mark.head.seq > 0,
        };
        if !seen {
            // Before the database has its tables: a crash in between leaves a mark at zero, which
            // counts as none.
            let fresh = Mark { instance: instance.clone(), head: Head::EMPTY };
            file.write(&fresh)?;
            found = Found::Mark(fresh);
        }
    }
    if mode == Mode::ReadWrite {
        migrate(&connection, instance.as_deref())?;
    }
    prove(&connection, mode)?;
    let instance: String = connection
        .query_row(q::GET_META, ["instance"], |row| row.get(0))
        .map_err(sql("read the instance of the database"))?;
    let finding: Option<Finding> = rollback::compare(&connection, &instance, &found)?;
    drop(guard);

    let metadata = fs::metadata(&database).map_err(io("look at", &database))?;
    let shared = Shared {
        identity: (metadata.dev(), metadata.ino()),
        database,
        mode,
        options,
        instance,
        mark,
        rolled_back: Mutex::new(finding),
        readers: Mutex::default(),
        budgets: Mutex::default(),
        unauthenticated: Mutex::default(),
        webhooks: Mutex::default(),
        commits: AtomicU64::new(0),
        jobs: AtomicU64::new(0),
    };
    Ok((shared, connection))
}

fn prepare_directory(directory: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(io("make the state directory", directory))
}

/// Whose the state is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    uid: u32,
    gid: u32,
    /// Root works on another account's state: it may, and must not leave files that the account cannot use.
    foreign: bool,
}

impl Owner {
    #[cfg(test)]
    pub(super) fn own() -> Self {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Owner { uid, gid, foreign: false }
    }

    /// Gives a file that was just made to the owner of the directory. Only ever a new file: whatever else
    /// stands there could be a second name of a file that root must not give away.
    pub(super) fn give(&self, file: &File) -> std::io::Result<()> {
        if !self.foreign {
            return Ok(());
        }
        let (uid, gid) = (rustix::fs::Uid::from_raw(self.uid), rustix::fs::Gid::from_raw(self.gid));
        Ok(rustix::fs::fchown(file, Some(uid), Some(gid))?)
    }
}

fn check_directory(directory: &Path) -> Result<Owner, StoreError> {
    let metadata = fs::metadata(directory).map_err(io("look at the state directory", directory))?;
    if !metadata.is_dir() {
        return Err(refuse(directory, "it is not a directory"));
    }
    check_mode(directory, &metadata)?;
    let us = rustix::process::geteuid().as_raw();
    let (uid, gid) = (metadata.uid(), metadata.gid());
    if us != 0 && uid != us && uid != 0 {
        return Err(refuse(
            directory,
            &format!("it belongs to user {uid}, and this runs as user {us}; run it as the owner or as root"),
        ));
    }
    Ok(Owner { uid, gid, foreign: us == 0 && uid != 0 })
}

fn check_file(path: &Path, metadata: &Metadata, owner: &Owner) -> Result<(), StoreError> {
    if !metadata.is_file() {
        return Err(refuse(path, "it is not a regular file"));
    }
    check_mode(path, metadata)?;
    let us = rustix::process::geteuid().as_raw();
    // Another account can put a second name of somebody else's file under root's hands.
    let trusted = if owner.foreign { vec![owner.uid] } else { vec![0, us] };
    if !trusted.contains(&metadata.uid()) {
        return Err(refuse(path, &format!("it belongs to user {}", metadata.uid())));
    }
    Ok(())
}

fn check_mode(path: &Path, metadata: &Metadata) -> Result<(), StoreError> {
    if metadata.mode() & 0o022 != 0 {
        let mode = metadata.mode() & 0o7777;
        return Err(refuse(path, &format!("its mode {mode:04o} lets others write to it; chmod go-w")));
    }
    Ok(())
}

fn refuse(path: &Path, why: &str) -> StoreError {
    StoreError::Unsafe { path: path.to_owned(), why: why.to_owned() }
}

/// Makes the database file itself, because SQLite would use the umask; its other files copy the mode.
fn create_file(database: &Path, directory: &Path, owner: &Owner) -> Result<(), StoreError> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(database)
        .map_err(io("make the database", database))?;
    owner.give(&file).map_err(io("hand over", database))?;
    File::open(directory).and_then(|dir| dir.sync_all()).map_err(io("flush", directory))
}

fn new_instance(database: &Path) -> Result<String, StoreError> {
    let mut raw = [0_u8; 16];
    getrandom::fill(&mut raw)
        .map_err(|e| io("draw a name for", database)(std::io::Error::other(e.to_string())))?;
    Ok(data_encoding::HEXLOWER.encode(&raw))
}

/// A connection with everything set that is a connection's own.
pub(super) fn connect(database: &Path, mode: Mode, options: &Options) -> Result<Connection, StoreError> {
    let access = match mode {
        Mode::ReadWrite => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Mode::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    // Neither URI names nor creation nor links: the path is a path, and the file exists. Run by root, SQLite
    // itself gives the files that it makes beside the database to the database's owner.
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(database, flags).map_err(sql("open the database"))?;
    connection.busy_timeout(options.busy_timeout).map_err(sql("set the busy timeout"))?;
    connection.set_prepared_statement_cache_capacity(64);
    let set = |name, value: &dyn rusqlite::ToSql| connection.pragma_update(None, name, value);
    set("synchronous", &"full")
        .and_then(|()| set("foreign_keys", &true))
        .and_then(|()| set("trusted_schema", &false))
        .and_then(|()| set("cache_size", &-16_384))
        .map_err(sql("configure the database"))?;
    if let Some(pages) = options.max_database_pages {
        connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .map_err(sql("set the quota of the database"))?;
    }
    Ok(connection)
}

/// The schema version, after checking that the database is ours; `None` for an empty file.
fn version(connection: &Connection, database: &Path) -> Result<Option<i64>, StoreError> {
    let number = |name| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map_err(sql("read the database's header"))
    };
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection
        .query_row(q::COUNT_TABLES, [], |row| row.get(0))
        .map_err(sql("read the database's schema"))?;
    if application == 0 && version == 0 && tables == 0 {
        return Ok(None);
    }
    if application != APPLICATION_ID {
        return Err(StoreError::NotOurs { path: database.to_owned(), found: application });
    }
    if version > schema_version() {
        return Err(StoreError::NewerSchema { found: version, known: schema_version() });
    }
    Ok(Some(version))
}

fn migrate(connection: &Connection, instance: Option<&str>) -> Result<(), StoreError> {
    let journal: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(sql("switch to write-ahead logging"))?;
    if journal != "wal" {
        return Err(StoreError::Setting { setting: "journal_mode", wanted: "wal", found: journal });
    }
    // The log is cut back to this size after a burst, instead of keeping its largest ever.
    connection
        .pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))
        .map_err(sql("limit the write-ahead log"))?;

    let step = || -> rusqlite::Result<()> {
        // Read again inside the transaction: another process may have migrated meanwhile.
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == schema_version() {
            return Ok(());
        }
        for script in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(0)) {
            connection.execute_batch(script)?;
        }
        if let Some(instance) = instance {
            connection.execute(q::SET_META, ["instance", instance])?;
        }
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        connection.pragma_update(None, "user_version", schema_version())
    };
    connection.execute_batch(q::BEGIN_WRITE).map_err(sql("lock the database to migrate it"))?;
    match step().and_then(|()| connection.execute_batch(q::COMMIT)) {
        Ok(()) => Ok(()),
        Err(error) => {
            // The first error is the one to report; a transaction that is gone already is fine.
            let _ = connection.execute_batch(q::ROLLBACK);
            Err(sql("migrate the database")(error))
        }
    }
}

/// Reads back what durability rests on: a pragma that is not understood is ignored without an error.
fn prove(connection: &Connection, mode: Mode) -> Result<(), StoreError> {
    let read = |name| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
            .map(|value| match value {
                rusqlite::types::Value::Integer(n) => n.to_string(),
                rusqlite::types::Value::Text(text) => text,
                other => format!("{other:?}"),
            })
            .map_err(sql("read the database's settings"))
    };
    for (setting, wanted) in [("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1")] {
        let found = read(setting)?;
        if found != wanted {
            return Err(StoreError::Setting { setting, wanted, found });
        }
    }
    let found = read("user_version")?.parse::<i64>().unwrap_or(0);
    if mode == Mode::ReadOnly && found < schema_version() {
        return Err(StoreError::OlderSchema { found, known: schema_version() });
    }
    Ok(())
}
