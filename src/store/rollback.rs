//! Is this database the one that was written last (N27)?

use super::error::{StoreError, sql};
use super::mark::{Found, Mark};
use super::sql as q;
use super::{Store, lock};
use crate::audit::chain::{Hash, Head};
use crate::audit::{Event, Record, RecoveredEntry, capped};
use crate::domain::{Timestamp, text};
use rusqlite::{Connection, OptionalExtension};

/// What is wrong with the state.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// For the operator.
    pub(super) text: String,
    /// The mark that the database does not live up to.
    pub(super) known: Option<Head>,
}

/// The end of the log.
pub(super) fn head(connection: &Connection) -> Result<Head, StoreError> {
    let row = connection
        .prepare_cached(q::HEAD)
        .and_then(|mut s| {
            s.query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?))).optional()
        })
        .map_err(sql("read the end of the audit log"))?;
    Ok(row.map_or(Head::EMPTY, |(seq, hash)| Head { seq: seq.cast_unsigned(), hash: Hash(hash) }))
}

/// Compares the database with what the mark says; `None` is fine.
///
/// The mark may be behind the log (another process is about to move it, or a power cut lost its last
/// change), never ahead, because the log is durable before the mark moves.
pub(super) fn compare(
    connection: &Connection,
    instance: &str,
    found: &Found,
) -> Result<Option<Finding>, StoreError> {
    let mark = match found {
        Found::Nothing => {
            let text = "the high-water mark beside the database is missing".to_owned();
            return Ok(Some(Finding { text, known: None }));
        }
        Found::Unreadable => {
            let text = "the high-water mark beside the database is unreadable".to_owned();
            return Ok(Some(Finding { text, known: None }));
        }
        Found::Mark(mark) => mark,
    };
    let known = Some(mark.head);
    let seq = mark.head.seq;
    if mark.instance != instance {
        let text = format!("the database is not the one that wrote record {seq}: it was lost or exchanged");
        return Ok(Some(Finding { text, known }));
    }
    if seq == 0 {
        return Ok(None);
    }
    let hash: Option<[u8; 32]> = connection
        .prepare_cached(q::HASH_AT)
        .and_then(|mut s| s.query_row([seq.cast_signed()], |row| row.get(0)).optional())
        .map_err(sql("read the audit log"))?;
    let text = match hash {
        Some(hash) if Hash(hash) == mark.head.hash => return Ok(None),
        Some(_) => format!("record {seq} of the audit log is not the one that was written"),
        None => {
            let end = head(connection)?.seq;
            format!("the audit log ends at record {end}, and record {seq} is known to have been written")
        }
    };
    Ok(Some(Finding { text, known }))
}

impl Store {
    /// Accepts a rolled-back state as it is, on behalf of `who`: writes a `recovered` record and a new
    /// mark (N27). `Ok(None)` where nothing was wrong; otherwise the record's number.
    ///
    /// What the lost part of the log had accepted is not accepted any more: commits from then are judged
    /// again, or adopted.
    pub fn adopt_rollback(&self, who: &str) -> Result<Option<u64>, StoreError> {
        let who = text::escape_short(who.as_bytes(), 200);
        let recovered = self.write(move |txn| {
            let Some(finding) = txn.finding().cloned() else { return Ok(None) };
            let event = Event::Recovered(RecoveredEntry {
                who,
                finding: capped(&finding.text),
                known_seq: finding.known.map(|head| head.seq),
                known_hash: finding.known.map(|head| head.hash.to_string()),
            });
            txn.append(&Record::new(Timestamp::now(), event))?;
            Ok(Some(txn.head()))
        })?;
        let Some(head) = recovered else { return Ok(None) };
        // A crash before this line leaves the state rolled back, with one record more.
        if let Some(file) = &self.shared.mark {
            let _lock = file.lock()?;
            file.write(&Mark { instance: self.shared.instance.clone(), head })?;
        }
        *lock(&self.shared.rolled_back) = None;
        Ok(Some(head.seq))
    }
}
