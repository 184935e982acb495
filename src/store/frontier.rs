//! Which commits a ruleset has accepted (N7), for walks that ask about thousands of them.

use super::error::{StoreError, sql};
use super::sql as q;
use super::{Reader, Store};
use crate::domain::{ObjectId, RefName, RepositoryId};
use rusqlite::OptionalExtension;
use std::cell::RefCell;
use std::collections::HashMap;

/// For which refs an accepted commit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// For every ref that the ruleset covers.
    Shared,
    /// For the ref that it came through only: there was a waiver, or something tainted below (N8).
    OwnRef,
}

impl Scope {
    pub(super) fn column(self) -> i64 {
        match self {
            Scope::Shared => 0,
            Scope::OwnRef => 1,
        }
    }

    pub(super) fn from_column(value: i64) -> Self {
        // Whatever is not known to be shared counts for less.
        if value == 0 { Scope::Shared } else { Scope::OwnRef }
    }
}

/// The frontier of one repository, as it was when this was made: one connection and one read
/// transaction, so that a decision sees one state and nothing waits. Drop it soon; while it lives, the
/// write-ahead log cannot shrink.
#[derive(Debug)]
pub struct FrontierReader {
    reader: Reader,
    /// `None` for a repository that was never seen, for which nothing was accepted.
    repository: Option<i64>,
    rulesets: RefCell<HashMap<String, Option<(i64, bool)>>>,
    refs: RefCell<HashMap<RefName, Option<i64>>>,
}

impl Store {
    /// The frontier of `repository`, for any number of questions.
    pub fn frontier(&self, repository: &RepositoryId) -> Result<FrontierReader, StoreError> {
        let reader = self.reader()?;
        reader.execute_batch(q::BEGIN_READ).map_err(sql("start reading"))?;
        // The first read fixes what the transaction sees.
        let number = reader
            .prepare_cached(q::FIND_REPOSITORY)
            .and_then(|mut s| s.query_row([&repository.0], |row| row.get(0)).optional())
            .map_err(sql("find the repository"))?;
        Ok(FrontierReader {
            reader,
            repository: number,
            rulesets: RefCell::default(),
            refs: RefCell::default(),
        })
    }

    /// Whether `ruleset` has accepted `commit` for `reference`, in one question. For many, use
    /// [`Store::frontier`].
    pub fn is_accepted(
        &self,
        repository: &RepositoryId,
        ruleset: &str,
        reference: &RefName,
        commit: &ObjectId,
    ) -> Result<bool, StoreError> {
        self.frontier(repository)?.is_accepted(ruleset, reference, commit)
    }
}

impl FrontierReader {
    pub(super) fn connection(&self) -> &rusqlite::Connection {
        &self.reader
    }

    /// Whether `ruleset` has accepted `commit`, and the update that brought it was applied, so that it
    /// is not judged again for `reference` (N7, N8). Its ancestors are accepted too, then.
    pub fn is_accepted(
        &self,
        ruleset: &str,
        reference: &RefName,
        commit: &ObjectId,
    ) -> Result<bool, StoreError> {
        Ok(self.scope_of(ruleset, reference, commit)?.is_some())
    }

    /// [`Self::is_accepted`], and for which refs. A walk that stops at a commit of [`Scope::OwnRef`]
    /// makes a grant of that scope: its own commits stand on something that others must still judge (N8).
    pub fn scope_of(
        &self,
        ruleset: &str,
        reference: &RefName,
        commit: &ObjectId,
    ) -> Result<Option<Scope>, StoreError> {
        let Some((ruleset, _)) = self.ruleset(ruleset)? else { return Ok(None) };
        // No ref has the number -1, and 0 is the base, whose rows are shared.
        let reference = self.reference(reference)?.unwrap_or(-1);
        let scope: Option<i64> = self
            .reader
            .prepare_cached(q::SCOPE_OF)
            .and_then(|mut s| {
                s.query_row(rusqlite::params![ruleset, commit.as_bytes(), reference], |row| row.get(0))
            })
            .map_err(sql("look up an accepted commit"))?;
        Ok(scope.map(Scope::from_column))
    }

    /// The accepted commits that one of these keys signed and that were received from the given time on,
    /// milliseconds since the epoch: what a compromise taints (N14). What a base brought was not judged,
    /// so it is not known who signed it.
    pub fn tainted(&self, ruleset: &str, keys: &[(String, i64)]) -> Result<Vec<ObjectId>, StoreError> {
        let Some((ruleset, _)) = self.ruleset(ruleset)? else { return Ok(Vec::new()) };
        let step = "look up what a key signed";
        let mut out = Vec::new();
        for (key, from) in super::taint::signers(&self.reader, keys)? {
            let mut statement = self.reader.prepare_cached(q::TAINTED).map_err(sql(step))?;
            let mut rows = statement.query(rusqlite::params![ruleset, key, from]).map_err(sql(step))?;
            while let Some(row) = rows.next().map_err(sql(step))? {
                out.push(super::repositories::object_id(&row.get::<_, Vec<u8>>(0).map_err(sql(step))?)?);
            }
        }
        Ok(out)
    }

    /// Whether `ruleset` has any record here: an applied update that it accepted, or an adopted base,
    /// even of an empty repository. Without one, history on covered refs is undecided (N9).
    pub fn has_record(&self, ruleset: &str) -> Result<bool, StoreError> {
        Ok(self.ruleset(ruleset)?.is_some_and(|(_, on_record)| on_record))
    }

    fn ruleset(&self, name: &str) -> Result<Option<(i64, bool)>, StoreError> {
        if let Some(known) = self.rulesets.borrow().get(name) {
            return Ok(*known);
        }
        let found = match self.repository {
            None => None,
            Some(repository) => self
                .reader
                .prepare_cached(q::FIND_RULESET)
                .and_then(|mut s| {
                    s.query_row(rusqlite::params![repository, name], |row| Ok((row.get(0)?, row.get(1)?)))
                        .optional()
                })
                .map_err(sql("find the ruleset"))?,
        };
        self.rulesets.borrow_mut().insert(name.to_owned(), found);
        Ok(found)
    }

    fn reference(&self, name: &RefName) -> Result<Option<i64>, StoreError> {
        if let Some(known) = self.refs.borrow().get(name) {
            return Ok(*known);
        }
        let found = match self.repository {
            None => None,
            Some(repository) => self
                .reader
                .prepare_cached(q::FIND_REF)
                .and_then(|mut s| {
                    s.query_row(rusqlite::params![repository, name.as_bytes()], |row| row.get(0)).optional()
                })
                .map_err(sql("find the ref"))?,
        };
        self.refs.borrow_mut().insert(name.clone(), found);
        Ok(found)
    }
}
