//! Which state of the ref that the keyring follows was taken over last: what the files beside the keyring say is held
//! against this, so that older ones are found out (N27).

use super::Store;
use super::error::{StoreError, sql};
use super::sql as q;
use crate::audit::{Event, KeyringSourceEntry, Record};
use crate::domain::Timestamp;
use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};

/// The row of `meta`.
const SOURCE: &str = "keyring-source";

/// What was taken over last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenMark {
    /// The repository's identity.
    pub repository_id: String,
    /// Its name.
    pub repository: String,
    /// The ref.
    pub reference: String,
    /// The directory of principals' files in it.
    pub path: String,
    /// The directory of rulesets, where they come from there as well.
    pub rulesets: Option<String>,
    /// The commit.
    pub commit: String,
    /// SHA-256 of the file that says so beside the keyring's files.
    pub state: String,
    /// When: RFC 3339, UTC.
    pub at: String,
}

fn parse(text: &str) -> Result<TakenMark, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Damaged(format!("what the keyring was taken over from: {error}")))
}

impl Store {
    /// What was taken over last; `None` where nothing ever was.
    ///
    /// # Errors
    /// Where the record cannot be read, and where it is older than it once was.
    pub fn taken(&self) -> Result<Option<TakenMark>, StoreError> {
        if let Some(why) = self.rolled_back() {
            return Err(StoreError::RolledBack(why));
        }
        let reader = self.reader()?;
        let text: Option<String> = reader
            .prepare_cached(q::GET_META)
            .and_then(|mut s| s.query_row([SOURCE], |row| row.get(0)).optional())
            .map_err(sql("read what the keyring was taken over from"))?;
        text.as_deref().map(parse).transpose()
    }

    /// Puts on record that `mark` was taken over, where it is `before` that was until now.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] where somebody else was faster.
    pub fn take(
        &self,
        before: Option<TakenMark>,
        mark: TakenMark,
        entry: KeyringSourceEntry,
        at: Timestamp,
    ) -> Result<u64, StoreError> {
        let text = serde_json::to_string(&mark)
            .map_err(|_| StoreError::Invalid("what was taken over cannot be written down"))?;
        self.write(move |txn| {
            txn.guard()?;
            let found: Option<String> = txn.value(q::GET_META, [SOURCE])?;
            if found.as_deref().map(parse).transpose()? != before {
                return Err(StoreError::Invalid("another state was taken over meanwhile"));
            }
            txn.run(q::PUT_META, [SOURCE, &text])?;
            txn.append(&Record::new(at, Event::KeyringSource(entry)))
        })
    }
}
