//! The clock of the log runs forward (reference 1.9).
//!
//! Receipt times decide whether a key was valid when something came in, and whether something came in
//! before a compromise. A clock that was set back would date receipts into the past, where an expired or
//! stolen key was still good. So the store remembers the latest time at which it wrote, and writes
//! nothing once the machine's clock is behind it by more than a little.

use super::error::{StoreError, sql};
use super::sql as q;
use super::writer::Txn;
use super::{Options, Store};
use crate::audit::{Event, Record, RecoveredEntry};
use crate::domain::{Timestamp, text};
use rusqlite::{Connection, OptionalExtension};

/// The row of `meta`, milliseconds since the epoch.
const CLOCK: &str = "clock";

/// The latest time at which something was written.
fn latest(connection: &Connection) -> Result<Option<i64>, StoreError> {
    let text: Option<String> = connection
        .prepare_cached(q::GET_META)
        .and_then(|mut s| s.query_row([CLOCK], |row| row.get(0)).optional())
        .map_err(sql("read the clock of the audit log"))?;
    let damaged = |_| StoreError::Damaged("the clock of the audit log is not a number".to_owned());
    text.map(|text| text.parse().map_err(damaged)).transpose()
}

/// What is wrong with the clock, for the operator.
pub(super) fn behind(connection: &Connection, options: &Options) -> Result<Option<String>, StoreError> {
    let Some(latest) = latest(connection)? else { return Ok(None) };
    let now = (options.clock)();
    let late = latest.saturating_sub(now.as_millisecond());
    if u128::try_from(late).unwrap_or(0) <= options.clock_tolerance.as_millis() {
        return Ok(None);
    }
    let shown = |ms| Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| format!("{at:.0}"));
    Ok(Some(format!(
        "the clock says {now:.0}, {} s before {}, when the audit log was last written",
        late / 1000,
        shown(latest)
    )))
}

impl Txn<'_> {
    /// Remembers that something was written now.
    pub(super) fn note_clock(&self, now: Timestamp) -> Result<(), StoreError> {
        let now = now.as_millisecond();
        let latest = latest(self.connection)?.map_or(now, |latest| latest.max(now));
        self.run(q::PUT_META, [CLOCK, &latest.to_string()])
    }
}

impl Store {
    /// What is wrong with the machine's clock, as far as the log can tell. Nothing is recorded, and so
    /// nobody let in, until it is set right or [`Store::adopt_clock`] says that it is right now.
    pub fn clock_behind(&self) -> Result<Option<String>, StoreError> {
        behind(&*self.reader()?, &self.shared.options)
    }

    /// Says on behalf of `who` that the clock is right now and was ahead before: writes a `recovered`
    /// record, and the log goes on from this time. `Ok(None)` where nothing was wrong; otherwise the
    /// record's number.
    pub fn adopt_clock(&self, who: &str) -> Result<Option<u64>, StoreError> {
        let who = text::escape_short(who.as_bytes(), 200);
        let options = self.shared.options.clone();
        self.write(move |txn| {
            let Some(finding) = behind(txn.connection, &options)? else { return Ok(None) };
            let now = (options.clock)();
            let entry = RecoveredEntry { who, finding, known_seq: None, known_hash: None };
            txn.run(q::PUT_META, [CLOCK, &now.as_millisecond().to_string()])?;
            txn.clock_was_set();
            txn.append(&Record::new(now, Event::Recovered(entry))).map(Some)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::migrations::MIGRATIONS;
    use super::*;

    #[test]
    fn a_state_of_before_the_clock_was_kept_takes_it_from_its_log() {
        let older = |records: &[i64]| {
            let connection = Connection::open_in_memory().unwrap();
            connection.execute_batch(MIGRATIONS[0]).unwrap();
            for (seq, at) in records.iter().enumerate() {
                let values = rusqlite::params![seq as i64 + 1, [0_u8; 32], "{}", at, "start"];
                let insert =
                    "insert into audit_log (seq, hash, record, at_ms, kind) values (?1, ?2, ?3, ?4, ?5)";
                connection.execute(insert, values).unwrap();
            }
            connection.execute_batch(MIGRATIONS[1]).unwrap();
            connection
        };
        assert_eq!(latest(&older(&[])).unwrap(), None);
        let past = older(&[5_000, 9_000, 7_000]);
        assert_eq!(latest(&past).unwrap(), Some(9_000));
        assert_eq!(behind(&past, &Options::default()).unwrap(), None);
        let ahead = older(&[Timestamp::now().as_millisecond() + 301_000, 1]);
        assert!(behind(&ahead, &Options::default()).unwrap().is_some());
        let damaged = older(&[]);
        damaged.execute(q::PUT_META, [CLOCK, "soon"]).unwrap();
        assert!(matches!(behind(&damaged, &Options::default()), Err(StoreError::Damaged(_))));
    }
}
