//! When a commit came in: what re-verification goes by (reference 1.9).

use super::error::{StoreError, sql};
use super::sql as q;
use super::{Reader, Store};
use crate::domain::{ObjectId, RepositoryId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

/// The receipts of one repository. No transaction is held, so that a long report keeps the write-ahead
/// log from nothing; receipts are only ever added. Receipt times serve reports and
/// re-verification; they never let an object in (N13).
#[derive(Debug)]
pub struct Receipts {
    reader: Reader,
    repository: i64,
}

/// See [`Receipts::received`].
pub(super) fn received(
    connection: &Connection,
    repository: i64,
    commit: &ObjectId,
) -> Result<Option<Timestamp>, StoreError> {
    let at: Option<i64> = connection
        .prepare_cached(q::RECEIVED)
        .and_then(|mut s| s.query_row(params![repository, commit.as_bytes()], |row| row.get(0)).optional())
        .map_err(sql("look up a receipt"))?;
    let damaged = |e| StoreError::Damaged(format!("the time of a receipt: {e}"));
    at.map(|at| Timestamp::from_millisecond(at).map_err(damaged)).transpose()
}

impl Store {
    /// The receipts of `repository`; `None` if it was never seen.
    pub fn receipts(&self, repository: &RepositoryId) -> Result<Option<Receipts>, StoreError> {
        let reader = self.reader()?;
        let number = reader
            .prepare_cached(q::FIND_REPOSITORY)
            .and_then(|mut s| s.query_row([&repository.0], |row| row.get(0)).optional())
            .map_err(sql("find the repository"))?;
        Ok(number.map(|repository| Receipts { reader, repository }))
    }
}

impl Receipts {
    /// When a commit with a verified signature was first received that an applied update let in here.
    /// Adopted history has no receipt, unless it came in by a push as well.
    pub fn received(&self, commit: &ObjectId) -> Result<Option<Timestamp>, StoreError> {
        received(&self.reader, self.repository, commit)
    }

    /// Whether somebody decided to let this tainted commit stand: the number of the audit record.
    pub fn taint_accepted(&self, commit: &ObjectId) -> Result<Option<u64>, StoreError> {
        let seq: Option<i64> = self
            .reader
            .prepare_cached(q::TAINT_ACCEPTED)
            .and_then(|mut s| {
                s.query_row(params![self.repository, commit.as_bytes()], |row| row.get(0)).optional()
            })
            .map_err(sql("look up a decision about a tainted commit"))?;
        Ok(seq.map(i64::cast_unsigned))
    }
}
