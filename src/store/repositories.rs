//! Which repository is which (N3).

use super::error::{StoreError, sql};
use super::sql as q;
use super::writer::Txn;
use super::{Store, frontier::Scope};
use crate::domain::{ObjectId, RefName, RepositoryId};
use rusqlite::{Connection, OptionalExtension, params};

/// What is known about a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownRepository {
    /// The stable identity.
    pub id: RepositoryId,
    /// The name it was last seen under.
    pub name: String,
    /// Device and inode of its Git directory, where it has one here and was seen.
    pub location: Option<(u64, u64)>,
}

/// What an observation of a repository means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Never seen before; it is known now.
    New,
    /// As it was.
    Same,
    /// The same directory under another name; the new name is known now.
    Renamed {
        /// The name before.
        from: String,
    },
    /// The same identity in another directory: a copy, or a move between file systems. Nothing was
    /// changed. Where the other one is gone, [`Store::replace_repository_location`] resolves it.
    Conflict {
        /// The name that the identity was last seen under; maybe the same one.
        other_name: String,
    },
}

/// A row of the table: number, name, location.
type Row = (i64, String, Option<(u64, u64)>);

fn find(connection: &Connection, id: &str) -> Result<Option<Row>, StoreError> {
    connection
        .prepare_cached(q::FIND_REPOSITORY)
        .and_then(|mut s| {
            s.query_row([id], |row| Ok((row.get(0)?, row.get(1)?, location(row.get(2)?, row.get(3)?))))
                .optional()
        })
        .map_err(sql("find the repository"))
}

/// SQLite's integers are signed; the bits are what counts.
fn location(device: Option<i64>, inode: Option<i64>) -> Option<(u64, u64)> {
    Some((device?.cast_unsigned(), inode?.cast_unsigned()))
}

impl Store {
    /// Remembers that the repository `id` was seen under `name`, in the directory with this device and
    /// inode, and says what that means (N3). Repositories without a directory here, such as a forge's,
    /// pass zeros.
    pub fn observe_repository(
        &self,
        id: &RepositoryId,
        name: &str,
        device: u64,
        inode: u64,
    ) -> Result<Observed, StoreError> {
        let seen = (device, inode);
        // Nearly always nothing changed, and then nothing is written.
        if let Some((_, known, Some(place))) = find(&*self.reader()?, &id.0)?
            && known == name
            && place == seen
        {
            return Ok(Observed::Same);
        }
        let (id, name) = (id.0.clone(), name.to_owned());
        self.write(move |txn| {
            let Some((_, known, place)) = find(txn.connection, &id)? else {
                txn.set_repository(q::ADD_REPOSITORY, &id, &name, seen)?;
                return Ok(Observed::New);
            };
            match place {
                Some(place) if place != seen => Ok(Observed::Conflict { other_name: known }),
                Some(_) if known == name => Ok(Observed::Same),
                Some(_) => {
                    txn.set_repository(q::SET_REPOSITORY, &id, &name, seen)?;
                    Ok(Observed::Renamed { from: known })
                }
                None => {
                    txn.set_repository(q::SET_REPOSITORY, &id, &name, seen)?;
                    Ok(Observed::New)
                }
            }
        })
    }

    /// Says that the repository `id` is the one here now, after a [`Observed::Conflict`] in which the
    /// other one is gone.
    pub fn replace_repository_location(
        &self,
        id: &RepositoryId,
        name: &str,
        device: u64,
        inode: u64,
    ) -> Result<(), StoreError> {
        let (id, name) = (id.0.clone(), name.to_owned());
        self.write(move |txn| {
            txn.set_repository(q::ADD_REPOSITORY, &id, &name, (device, inode))?;
            txn.set_repository(q::SET_REPOSITORY, &id, &name, (device, inode))
        })
    }

    /// All repositories ever seen, sorted by name.
    pub fn repositories(&self) -> Result<Vec<KnownRepository>, StoreError> {
        let reader = self.reader()?;
        let mut statement = reader.prepare_cached(q::LIST_REPOSITORIES).map_err(sql("list repositories"))?;
        let rows = statement
            .query_map([], |row| {
                Ok(KnownRepository {
                    id: RepositoryId(row.get(0)?),
                    name: row.get(1)?,
                    location: location(row.get(2)?, row.get(3)?),
                })
            })
            .map_err(sql("list repositories"))?;
        rows.collect::<Result<_, _>>().map_err(sql("list repositories"))
    }
}

impl Txn<'_> {
    fn set_repository(
        &self,
        statement: &str,
        id: &str,
        name: &str,
        (device, inode): (u64, u64),
    ) -> Result<(), StoreError> {
        self.run(statement, params![id, name, device.cast_signed(), inode.cast_signed()])
    }

    /// Executes a statement whose row count does not matter.
    pub(super) fn run(&self, statement: &str, values: impl rusqlite::Params) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(statement)
            .and_then(|mut s| s.execute(values))
            .map(drop)
            .map_err(sql("write to the database"))
    }

    /// One value of one row, if there is a row.
    pub(super) fn value<T: rusqlite::types::FromSql>(
        &self,
        statement: &str,
        values: impl rusqlite::Params,
    ) -> Result<Option<T>, StoreError> {
        self.connection
            .prepare_cached(statement)
            .and_then(|mut s| s.query_row(values, |row| row.get(0)).optional())
            .map_err(sql("read the database"))
    }

    fn number(&self, found: Option<i64>) -> Result<i64, StoreError> {
        found.ok_or_else(|| StoreError::Damaged("a row is missing that was just written".to_owned()))
    }

    /// The number and name of a repository that is known.
    pub(super) fn repository(&self, id: &str) -> Result<Option<(i64, String)>, StoreError> {
        Ok(find(self.connection, id)?.map(|(number, name, _)| (number, name)))
    }

    /// The number of a repository, which becomes known by `name` (without a place) if it was not.
    pub(super) fn intern_repository(&self, id: &str, name: &str) -> Result<i64, StoreError> {
        if let Some((number, _)) = self.repository(id)? {
            return Ok(number);
        }
        self.run(q::ADD_REPOSITORY, params![id, name, None::<i64>, None::<i64>])?;
        let found = self.repository(id)?.map(|(number, _)| number);
        self.number(found)
    }

    /// The number of a ruleset in a repository.
    pub(super) fn intern_ruleset(&self, repository: i64, name: &str) -> Result<i64, StoreError> {
        if let Some(number) = self.value(q::FIND_RULESET, params![repository, name])? {
            return Ok(number);
        }
        self.run(q::ADD_RULESET, params![repository, name])?;
        self.number(self.value(q::FIND_RULESET, params![repository, name])?)
    }

    /// The number of a ref in a repository.
    pub(super) fn intern_ref(&self, repository: i64, name: &RefName) -> Result<i64, StoreError> {
        if let Some(number) = self.find_ref(repository, name)? {
            return Ok(number);
        }
        self.run(q::ADD_REF, params![repository, name.as_bytes()])?;
        self.number(self.find_ref(repository, name)?)
    }

    pub(super) fn find_ref(&self, repository: i64, name: &RefName) -> Result<Option<i64>, StoreError> {
        self.value(q::FIND_REF, params![repository, name.as_bytes()])
    }

    /// Adds a commit to the accepted set. One shared row is enough, whichever ref it came through.
    pub(super) fn accept(
        &self,
        ruleset: i64,
        commit: &[u8],
        reference: i64,
        scope: Scope,
    ) -> Result<(), StoreError> {
        if scope == Scope::Shared && self.value::<i64>(q::HAS_SHARED, params![ruleset, commit])?.is_some() {
            return Ok(());
        }
        self.run(q::ACCEPT, params![ruleset, commit, reference, scope.column()])
    }
}

/// An id out of the database.
pub(super) fn object_id(bytes: &[u8]) -> Result<ObjectId, StoreError> {
    ObjectId::from_bytes(bytes).map_err(|e| StoreError::Damaged(format!("a stored object id: {e}")))
}

/// A ref name out of the database.
pub(super) fn ref_name(bytes: &[u8]) -> Result<RefName, StoreError> {
    RefName::parse(bytes).map_err(|e| StoreError::Damaged(format!("a stored ref name: {e}")))
}
