//! When keys were last used, and what was said about those that end.

use super::Store;
use super::error::{StoreError, sql};
use super::sql as q;
use super::writer::Txn;
use crate::domain::Timestamp;
use rusqlite::params;
use std::collections::{BTreeSet, HashMap};

/// That a key ends soon, or has ended: what is told once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExpiryNotice {
    /// The key's fingerprint.
    pub key: String,
    /// When it ends.
    pub ends: Timestamp,
    /// How many days ahead this is told; 0 once it has ended.
    pub days: u16,
}

impl Store {
    /// When a push was last accepted that brought a commit or tag with a verified signature by a key, for each
    /// key that ever made one, by the fingerprint that the keyring holds it under; under that of a subkey as well.
    /// What was adopted was never judged and is not in it.
    ///
    /// # Errors
    /// Where the record cannot be read, and where it is older than it once was: then nobody knows what is missing.
    pub fn key_uses(&self) -> Result<HashMap<String, Timestamp>, StoreError> {
        if let Some(why) = self.rolled_back() {
            return Err(StoreError::RolledBack(why));
        }
        let step = "list when keys were used";
        let reader = self.reader()?;
        let mut statement = reader.prepare_cached(q::LIST_USES).map_err(sql(step))?;
        let mut rows = statement.query([]).map_err(sql(step))?;
        let mut uses = HashMap::new();
        while let Some(row) = rows.next().map_err(sql(step))? {
            let at = Timestamp::from_millisecond(row.get(1).map_err(sql(step))?)
                .map_err(|e| StoreError::Damaged(format!("the time of a signature: {e}")))?;
            uses.insert(row.get(0).map_err(sql(step))?, at);
        }
        Ok(uses)
    }

    /// Those of the notices that nobody has given before; from now on they count as given. One transaction, so
    /// that of several processes one gives each.
    pub fn claim_notices(&self, notices: Vec<ExpiryNotice>) -> Result<Vec<ExpiryNotice>, StoreError> {
        if notices.is_empty() {
            return Ok(notices);
        }
        self.write(move |txn| {
            txn.guard()?;
            let mut fresh = Vec::new();
            for notice in notices {
                let ends = notice.ends.as_millisecond();
                let given: Option<i64> = txn.value(q::FIND_NOTICE, params![notice.key, ends, notice.days])?;
                if given.is_none() {
                    txn.run(q::ADD_NOTICE, params![notice.key, ends, notice.days])?;
                    fresh.push(notice);
                }
            }
            Ok(fresh)
        })
    }
}

impl Txn<'_> {
    /// Notes that signatures by these keys were accepted.
    pub(super) fn use_keys(&self, keys: &BTreeSet<String>, at_ms: i64) -> Result<(), StoreError> {
        keys.iter().try_for_each(|key| self.run(q::USE_KEY, params![key, at_ms]))
    }
}
