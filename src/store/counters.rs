//! FIDO counters (S6): what an authenticator had counted to when it made the signatures that were let in.

use super::error::{StoreError, sql};
use super::sql as q;
use super::writer::Txn;
use super::{FrontierReader, Store};
use crate::audit::Record;
use crate::domain::{ObjectId, RefName};
use crate::store::{DecidedUpdate, Grant};
use rusqlite::{OptionalExtension, params};
use std::collections::HashMap;

/// The counter of one signature by a FIDO key on a commit or tag that an accepted push brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedSignature {
    /// The ref that brings it; one of the decision's updates.
    pub reference: RefName,
    /// The commit or tag.
    pub object: ObjectId,
    /// Fingerprint of the key that signed.
    pub key: String,
    /// The application that the key is for. Counters are of both together.
    pub application: String,
    /// What the authenticator had counted to.
    pub counter: u32,
}

impl Store {
    /// [`Store::record_decision`] of a push with FIDO signatures: their counters are on record once the
    /// updates that brought them are applied. `tagged_by` are the keys of the verified signatures on tags that it
    /// brings; those on commits are in the grants.
    pub fn record_counted_decision(
        &self,
        record: Record,
        updates: Vec<DecidedUpdate>,
        grants: Vec<Grant>,
        counted: Vec<CountedSignature>,
        tagged_by: Vec<String>,
    ) -> Result<u64, StoreError> {
        if counted.iter().any(|one| updates.iter().all(|update| update.reference != one.reference)) {
            return Err(StoreError::Invalid("a counter has no update"));
        }
        self.record_full(record, updates, grants, counted, tagged_by)
    }
}

impl FrontierReader {
    /// The highest counter of this key and application on any object that was let in and applied, in
    /// whatever repository; `None` if there is none.
    pub fn fido_counter(&self, key: &str, application: &str) -> Result<Option<u32>, StoreError> {
        let highest: Option<i64> = self
            .connection()
            .prepare_cached(q::HIGHEST_COUNTER)
            .and_then(|mut s| s.query_row([key, application], |row| row.get(0)))
            .map_err(sql("look up a FIDO counter"))?;
        let number = |value| u32::try_from(value).map_err(|_| StoreError::Damaged("a FIDO counter".into()));
        highest.map(number).transpose()
    }

    /// Whether this signature by the key was let in and applied before.
    pub fn fido_known(&self, key: &str, application: &str, object: &ObjectId) -> Result<bool, StoreError> {
        let found: Option<i64> = self
            .connection()
            .prepare_cached(q::KNOWN_COUNTER)
            .and_then(|mut s| {
                s.query_row(params![key, application, object.as_bytes()], |row| row.get(0)).optional()
            })
            .map_err(sql("look up a FIDO signature"))?;
        Ok(found.is_some())
    }
}

impl Txn<'_> {
    /// Notes the counters of an accepted push until its updates are applied.
    pub(super) fn add_counters(
        &self,
        seq: i64,
        refs: &HashMap<&RefName, i64>,
        counted: &[CountedSignature],
    ) -> Result<(), StoreError> {
        for one in counted {
            let reference = refs.get(&one.reference).ok_or(StoreError::Invalid("a counter has no update"))?;
            let object = one.object.as_bytes();
            self.run(
                q::ADD_PENDING_COUNTER,
                params![seq, reference, object, one.key, one.application, one.counter],
            )?;
        }
        Ok(())
    }

    /// Puts the counters of an applied update on record.
    pub(super) fn apply_counters(&self, seq: i64, reference: i64) -> Result<(), StoreError> {
        self.run(q::APPLY_COUNTERS, [seq, reference])
    }

    /// Forgets the counters of an update that is pending no more.
    pub(super) fn drop_counters(&self, seq: i64, reference: i64) -> Result<(), StoreError> {
        self.run(q::DROP_COUNTERS, [seq, reference])
    }
}
