//! What was accepted and applied (N7–N10), and where repositories are (N3).

use super::open::Store;
use super::{StoreError, log};
use crate::audit::{AdoptRecord, AppliedRecord, Body, How, Record, TipRecord};
use crate::domain::{ObjectId, RefName, RepositoryId, RequestId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;
use std::sync::Mutex;

/// For which refs commits count as judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// For every ref that the ruleset covers.
    Shared,
    /// Only for the ref they came through (N8).
    OwnRef,
}

/// What an accepted update makes frontier once it is applied: for one ruleset, the commits that it
/// introduced. Together with what was accepted before they are closed under ancestry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The ref that moves.
    pub reference: RefName,
    /// The ruleset that accepted, in enforce mode.
    pub ruleset: String,
    /// For which refs it counts.
    pub scope: Scope,
    /// The introduced commits.
    pub commits: Vec<ObjectId>,
}

/// An accepted update that nobody has seen applied yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The request that decided it.
    pub request_id: RequestId,
    /// The ref.
    pub reference: RefName,
    /// What it held.
    pub old: Option<ObjectId>,
    /// What it shall hold.
    pub new: Option<ObjectId>,
}

/// Where a repository is, compared with where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// As before, or new.
    Same,
    /// The same directory under a new name; the new name is on record now.
    Renamed {
        /// The old name.
        from: String,
    },
    /// Another directory with the same identity: a copy, or it was moved. Nothing was changed.
    Conflict {
        /// The name on record.
        other: String,
    },
}

/// How long an accepted update may wait to be seen applied, seconds.
const PENDING_SECONDS: i64 = 24 * 3600;
/// Most of them that are looked at in one request.
const MAX_PENDING: usize = 1_000;

/// Reads the frontier of one repository: one connection, one moment, for a whole request.
pub struct FrontierReader<'a> {
    store: &'a Store,
    connection: Option<Connection>,
    repository: String,
    scopes: Mutex<HashMap<String, Option<i64>>>,
    refs: Mutex<HashMap<RefName, Option<i64>>>,
}

impl FrontierReader<'_> {
    /// Whether this commit counts as judged for this ref under this ruleset.
    pub fn is_accepted(
        &self,
        ruleset: &str,
        reference: &RefName,
        commit: &ObjectId,
    ) -> Result<bool, StoreError> {
        let Some(scope) = self.scope(ruleset)? else { return Ok(false) };
        let reference = self.reference(reference)?.unwrap_or(0);
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(
            "SELECT 1 FROM accepted WHERE scope = ?1 AND id = ?2 AND (own = 0 OR own = ?3) LIMIT 1",
        )?;
        Ok(statement.exists(params![scope, commit.as_bytes(), reference])?)
    }

    /// Whether the ruleset ever accepted anything in this repository, or has a base (N9).
    pub fn has_record(&self, ruleset: &str) -> Result<bool, StoreError> {
        Ok(self.scope(ruleset)?.is_some())
    }

    fn scope(&self, ruleset: &str) -> Result<Option<i64>, StoreError> {
        if let Some(known) = super::open::lock(&self.scopes).get(ruleset) {
            return Ok(*known);
        }
        let found = self
            .connection()?
            .prepare_cached("SELECT id FROM scopes WHERE repository = ?1 AND ruleset = ?2")?
            .query_row(params![self.repository, ruleset], |row| row.get(0))
            .optional()?;
        super::open::lock(&self.scopes).insert(ruleset.to_owned(), found);
        Ok(found)
    }

    fn reference(&self, name: &RefName) -> Result<Option<i64>, StoreError> {
        if let Some(known) = super::open::lock(&self.refs).get(name) {
            return Ok(*known);
        }
        let found = find_ref(self.connection()?, name)?;
        super::open::lock(&self.refs).insert(name.clone(), found);
        Ok(found)
    }

    fn connection(&self) -> Result<&Connection, StoreError> {
        self.connection.as_ref().ok_or(StoreError::Stopped)
    }
}

impl Drop for FrontierReader<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // Ending a read transaction cannot lose anything; if it fails, the connection goes.
            if connection.execute_batch("COMMIT").is_ok() {
                self.store.give_back(connection);
            }
        }
    }
}

impl Store {
    /// The frontier of a repository as it is at this moment.
    pub fn frontier(&self, repository: &RepositoryId) -> Result<FrontierReader<'_>, StoreError> {
        let connection = self.reader()?;
        connection.execute_batch("BEGIN")?;
        Ok(FrontierReader {
            store: self,
            connection: Some(connection),
            repository: repository.0.clone(),
            scopes: Mutex::default(),
            refs: Mutex::default(),
        })
    }

    /// Accepted updates that nobody has seen applied yet, newest first.
    pub fn pending(&self, repository: &RepositoryId) -> Result<Vec<Pending>, StoreError> {
        let connection = self.reader()?;
        let found = {
            let mut statement = connection.prepare_cached(
                "SELECT pending.request_id, refs.name, pending.old, pending.new FROM pending \
                 JOIN refs ON refs.id = pending.ref \
                 WHERE pending.repository = ?1 AND pending.decided >= ?2 ORDER BY pending.id DESC LIMIT ?3",
            )?;
            let oldest = Timestamp::now().as_second() - PENDING_SECONDS;
            let rows = statement.query_map(params![repository.0, oldest, MAX_PENDING as i64], |row| {
                Ok(PendingRow { request: row.get(0)?, name: row.get(1)?, old: row.get(2)?, new: row.get(3)? })
            })?;
            rows.collect::<Result<Vec<_>, _>>()?
        };
        self.give_back(connection);
        found
            .into_iter()
            .map(|PendingRow { request, name, old, new }| {
                let damaged = || StoreError::Source("a pending update on record is damaged".to_owned());
                Ok(Pending {
                    request_id: RequestId::parse(&request).ok_or_else(damaged)?,
                    reference: RefName::parse(&name).map_err(|_| damaged())?,
                    old: optional_id(old).map_err(|()| damaged())?,
                    new: optional_id(new).map_err(|()| damaged())?,
                })
            })
            .collect()
    }

    /// Notes that decided updates were applied: what they grant becomes frontier, the refs' values become
    /// the judged tips, and older pending updates of the same refs are dropped. Doing it twice is
    /// harmless.
    pub fn mark_applied(
        &self,
        repository: &RepositoryId,
        updates: &[(RequestId, RefName)],
        how: How,
    ) -> Result<(), StoreError> {
        if updates.is_empty() {
            return Ok(());
        }
        let (repository, updates) = (repository.0.clone(), updates.to_vec());
        self.write(move |connection| {
            updates.iter().try_for_each(|(request, name)| apply(connection, &repository, request, name, how))
        })
    }

    /// What a ref held when the gate last saw one of its own decisions applied to it; `None` if never.
    pub fn judged_tip(
        &self,
        repository: &RepositoryId,
        reference: &RefName,
    ) -> Result<Option<Option<ObjectId>>, StoreError> {
        let connection = self.reader()?;
        let found = connection
            .prepare_cached(
                "SELECT tips.value FROM tips JOIN refs ON refs.id = tips.ref \
                 WHERE tips.repository = ?1 AND refs.name = ?2",
            )?
            .query_row(params![repository.0, reference.as_bytes()], |row| row.get::<_, Option<Vec<u8>>>(0))
            .optional()?;
        self.give_back(connection);
        let damaged = |()| StoreError::Source("a judged tip on record is damaged".to_owned());
        found.map(optional_id).transpose().map_err(damaged)
    }

    /// Adopts a trusted base: every commit of `commits` counts as judged for the ruleset's refs (N9).
    /// All or nothing; returns how many were new.
    pub fn adopt<E: std::fmt::Display>(
        &self,
        repository: &RepositoryId,
        name: &str,
        ruleset: &str,
        tips: &[(RefName, ObjectId)],
        commits: &mut dyn Iterator<Item = Result<ObjectId, E>>,
        who: &str,
    ) -> Result<u64, StoreError> {
        // Read before the transaction begins: it must not wait for the object database.
        let all = commits.collect::<Result<Vec<_>, _>>().map_err(|e| StoreError::Source(e.to_string()))?;
        let (repository, ruleset, tips) = (repository.0.clone(), ruleset.to_owned(), tips.to_vec());
        let (name, who) = (name.to_owned(), who.to_owned());
        self.write(move |connection| {
            let scope = intern_scope(connection, &repository, &ruleset)?;
            let mut new = 0_u64;
            let mut insert = connection.prepare_cached(
                "INSERT INTO accepted (scope, id, own, via) VALUES (?1, ?2, 0, 0) ON CONFLICT DO NOTHING",
            )?;
            for commit in &all {
                new += insert.execute(params![scope, commit.as_bytes()])? as u64;
            }
            for (reference, id) in &tips {
                set_tip(connection, &repository, intern_ref(connection, reference)?, Some(id.as_bytes()))?;
            }
            let shown = tips
                .iter()
                .map(|(reference, id)| TipRecord { reference: reference.to_string(), id: id.to_string() });
            let record = AdoptRecord {
                who,
                repository_id: repository,
                repository: name,
                ruleset,
                tips: shown.collect(),
                commits: new,
                truncated: 0,
            };
            log::append(connection, Record::new(Timestamp::now(), Body::Adopt(record)))?;
            Ok(new)
        })
    }

    /// Compares where a repository is with where it was, and remembers it if that is new or a rename.
    pub fn observe_repository(
        &self,
        id: &RepositoryId,
        name: &str,
        device: u64,
        inode: u64,
    ) -> Result<Observed, StoreError> {
        let connection = self.reader()?;
        let known: Option<(String, String, String)> = connection
            .prepare_cached("SELECT name, device, inode FROM repositories WHERE id = ?1")?
            .query_row(params![id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        self.give_back(connection);
        match known {
            None => {
                self.replace_repository_location(id, name, device, inode)?;
                Ok(Observed::Same)
            }
            Some((before, at, node)) if at == device.to_string() && node == inode.to_string() => {
                if before == name {
                    return Ok(Observed::Same);
                }
                self.replace_repository_location(id, name, device, inode)?;
                Ok(Observed::Renamed { from: before })
            }
            Some((other, _, _)) => Ok(Observed::Conflict { other }),
        }
    }

    /// Remembers where a repository is from now on.
    pub fn replace_repository_location(
        &self,
        id: &RepositoryId,
        name: &str,
        device: u64,
        inode: u64,
    ) -> Result<(), StoreError> {
        let (id, name) = (id.0.clone(), name.to_owned());
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO repositories (id, name, device, inode) VALUES (?1, ?2, ?3, ?4) \
                     ON CONFLICT (id) DO UPDATE SET name = ?2, device = ?3, inode = ?4",
                )?
                .execute(params![id, name, device.to_string(), inode.to_string()])?;
            Ok(())
        })
    }
}

struct PendingRow {
    request: String,
    name: Vec<u8>,
    old: Option<Vec<u8>>,
    new: Option<Vec<u8>>,
}

/// Keeps an accepted push's updates and grants until they are seen applied.
pub(super) fn keep_pending(
    connection: &Connection,
    repository: &RepositoryId,
    request_id: &str,
    updates: &[log::Update],
    grants: &[Grant],
    now: i64,
) -> Result<(), StoreError> {
    drop_pending(
        connection,
        "pending.repository = ?1 AND pending.decided < ?2",
        params![repository.0, now - PENDING_SECONDS],
    )?;
    for (name, old, new) in updates {
        let reference = intern_ref(connection, name)?;
        connection
            .prepare_cached(
                "INSERT INTO pending (repository, request_id, ref, old, new, decided) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                repository.0,
                request_id,
                reference,
                old.as_ref().map(ObjectId::as_bytes),
                new.as_ref().map(ObjectId::as_bytes),
                now
            ])?;
        let pending = connection.last_insert_rowid();
        for grant in grants.iter().filter(|grant| grant.reference == *name) {
            let own = match grant.scope {
                Scope::Shared => 0,
                Scope::OwnRef => reference,
            };
            let mut commits = Vec::with_capacity(grant.commits.len() * 20);
            grant.commits.iter().for_each(|commit| commits.extend_from_slice(commit.as_bytes()));
            // The width of an id stands in front, so that the list can be split again.
            let width = grant.commits.first().map_or(20, |commit| commit.as_bytes().len()) as u8;
            commits.insert(0, width);
            // The scope comes into being only when something is applied: a decision that never was must
            // not look like a record (N9, N10).
            connection
                .prepare_cached(
                    "INSERT INTO grants (pending, ruleset, own, commits) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![pending, grant.ruleset, own, commits])?;
        }
    }
    Ok(())
}

fn apply(
    connection: &Connection,
    repository: &str,
    request: &RequestId,
    name: &RefName,
    how: How,
) -> Result<(), StoreError> {
    let Some(reference) = find_ref(connection, name)? else { return Ok(()) };
    let found: Option<(i64, Option<Vec<u8>>)> = connection
        .prepare_cached("SELECT id, new FROM pending WHERE repository = ?1 AND request_id = ?2 AND ref = ?3")?
        .query_row(params![repository, request.as_str(), reference], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    // Somebody else was faster.
    let Some((pending, new)) = found else { return Ok(()) };
    let grants: Vec<(String, i64, Vec<u8>)> = connection
        .prepare_cached("SELECT ruleset, own, commits FROM grants WHERE pending = ?1")?
        .query_map(params![pending], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (ruleset, own, commits) in grants {
        let scope = intern_scope(connection, repository, &ruleset)?;
        let mut insert = connection.prepare_cached(
            "INSERT INTO accepted (scope, id, own, via) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        )?;
        let (width, ids) =
            commits.split_first().map_or((20, &[][..]), |(width, ids)| (usize::from(*width), ids));
        for id in ids.chunks_exact(width.max(1)) {
            insert.execute(params![scope, id, own, reference])?;
        }
    }
    set_tip(connection, repository, reference, new.as_deref())?;
    // Decisions about this ref that are older than what was just applied can no longer happen.
    drop_pending(
        connection,
        "pending.repository = ?1 AND pending.ref = ?2 AND pending.id <= ?3",
        params![repository, reference, pending],
    )?;
    let id = optional_id(new)
        .map_err(|()| StoreError::Source("a pending update on record is damaged".to_owned()))?;
    let record = AppliedRecord {
        request_id: request.as_str().to_owned(),
        repository_id: repository.to_owned(),
        reference: name.to_string(),
        new: id.map(|id| id.to_string()),
        how,
    };
    log::append(connection, Record::new(Timestamp::now(), Body::Applied(record)))?;
    Ok(())
}

fn drop_pending(
    connection: &Connection,
    which: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<(), StoreError> {
    let grants = format!("DELETE FROM grants WHERE pending IN (SELECT id FROM pending WHERE {which})");
    connection.prepare_cached(&grants)?.execute(values)?;
    connection.prepare_cached(&format!("DELETE FROM pending WHERE {which}"))?.execute(values)?;
    Ok(())
}

fn set_tip(
    connection: &Connection,
    repository: &str,
    reference: i64,
    value: Option<&[u8]>,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO tips (repository, ref, value) VALUES (?1, ?2, ?3) \
             ON CONFLICT (repository, ref) DO UPDATE SET value = ?3",
        )?
        .execute(params![repository, reference, value])?;
    Ok(())
}

fn find_ref(connection: &Connection, name: &RefName) -> Result<Option<i64>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id FROM refs WHERE name = ?1")?;
    Ok(statement.query_row(params![name.as_bytes()], |row| row.get(0)).optional()?)
}

fn intern_ref(connection: &Connection, name: &RefName) -> Result<i64, StoreError> {
    if let Some(id) = find_ref(connection, name)? {
        return Ok(id);
    }
    connection.prepare_cached("INSERT INTO refs (name) VALUES (?1)")?.execute(params![name.as_bytes()])?;
    Ok(connection.last_insert_rowid())
}

fn intern_scope(connection: &Connection, repository: &str, ruleset: &str) -> Result<i64, StoreError> {
    connection
        .prepare_cached("INSERT INTO scopes (repository, ruleset) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![repository, ruleset])?;
    let mut statement =
        connection.prepare_cached("SELECT id FROM scopes WHERE repository = ?1 AND ruleset = ?2")?;
    Ok(statement.query_row(params![repository, ruleset], |row| row.get(0))?)
}

fn optional_id(bytes: Option<Vec<u8>>) -> Result<Option<ObjectId>, ()> {
    bytes.map(|bytes| ObjectId::from_bytes(&bytes)).transpose().map_err(|_| ())
}
