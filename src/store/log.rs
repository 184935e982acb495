//! Reading and verifying the audit log.

use super::error::{StoreError, sql};
use super::mark::Found;
use super::sql as q;
use super::writer::Columns;
use super::{Mode, Reader, Store};
use crate::audit::chain::{Break, ChainReport, Hash, Head, Link, Verifier};
use crate::audit::{Event, Outcome, Record};
use crate::domain::{RefName, RepositoryId, RequestId, Timestamp};
use rusqlite::types::Value;
use std::collections::VecDeque;

/// Rows read at a time.
const PAGE: usize = 256;

/// Which records; all conditions must hold, and an absent one always does.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
    /// About this repository.
    pub repository: Option<RepositoryId>,
    /// That name this ref.
    pub reference: Option<RefName>,
    /// Decisions that ended so.
    pub outcome: Option<Outcome>,
    /// About this request.
    pub request_id: Option<RequestId>,
    /// Only records with a number beyond this one, in the direction of reading: to go on later.
    pub beyond: Option<u64>,
    /// At most so many.
    pub limit: Option<u64>,
    /// Newest first.
    pub reverse: bool,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its number.
    pub seq: u64,
    /// Its link in the chain.
    pub hash: Hash,
    /// The record's JSON, byte for byte as it was hashed.
    pub json: String,
}

impl LogEntry {
    /// The record, read from its JSON.
    pub fn record(&self) -> Result<Record, StoreError> {
        Ok(Record::parse(&self.json)?)
    }
}

/// The result of [`Store::log`]: reads the log page by page, so that it holds neither everything in
/// memory nor a transaction open.
#[derive(Debug)]
pub struct LogEntries {
    reader: Reader,
    statement: String,
    values: Vec<Value>,
    reference: Option<String>,
    cursor: i64,
    left: u64,
    page: VecDeque<LogEntry>,
    ended: bool,
}

impl Store {
    /// The records that match `filter`, in the order of their numbers or against it.
    pub fn log(&self, filter: Filter) -> Result<LogEntries, StoreError> {
        let mut conditions = Vec::new();
        let mut values = Vec::new();
        let mut add = |condition, value: Option<Value>| {
            if let Some(value) = value {
                conditions.push(condition);
                values.push(value);
            }
        };
        add("at_ms >=", filter.since.map(|at| Value::Integer(at.as_millisecond())));
        add("at_ms <=", filter.until.map(|at| Value::Integer(at.as_millisecond())));
        add("repository =", filter.repository.map(|id| Value::Text(id.0)));
        add("outcome =", filter.outcome.map(|outcome| Value::Text(outcome.name().to_owned())));
        add("request_id =", filter.request_id.map(|id| Value::Text(id.as_str().to_owned())));
        let start = if filter.reverse { i64::MAX } else { 0 };
        Ok(LogEntries {
            reader: self.reader()?,
            statement: q::log_page(filter.reverse, &conditions),
            values,
            reference: filter.reference.map(|name| name.to_string()),
            cursor: filter.beyond.map_or(start, u64::cast_signed),
            left: filter.limit.unwrap_or(u64::MAX),
            page: VecDeque::new(),
            ended: false,
        })
    }

    /// Verifies the whole log: the chain, that the columns used by filters say what the records say,
    /// and that the log reaches `known` (a head kept elsewhere; without one, the high-water mark).
    pub fn verify_log(&self, known: Option<Head>) -> Result<ChainReport, StoreError> {
        // Read first: the log may grow meanwhile, and must not seem too short.
        let mark = match &self.shared.mark {
            Some(file) => file.read()?,
            None => Found::Nothing,
        };
        let known = known.or(match mark {
            Found::Mark(mark) if mark.head.seq > 0 => Some(mark.head),
            _ => None,
        });
        let reader = self.reader()?;
        let step = "read the audit log";
        let mut statement = reader.prepare(q::SCAN_LOG).map_err(sql(step))?;
        let mut rows = statement.query([]).map_err(sql(step))?;
        let mut verifier = Verifier::new(known);
        let report = |head: Head, broken| ChainReport { records: head.seq, head, broken };
        while let Some(row) = rows.next().map_err(sql(step))? {
            let line = line(row).map_err(sql(step));
            let Ok((seq, hash, json)) = line else {
                // Another type or length than was ever written here.
                let head = verifier.head();
                return Ok(report(head, Some(Break::Changed { seq: head.seq + 1 })));
            };
            if let Err(broken) = verifier.push(Link { seq, hash, json: json.as_bytes() }) {
                return Ok(report(verifier.head(), Some(broken)));
            }
            if !columns_agree(row, &json).map_err(sql(step))? {
                let head = Head { seq: seq - 1, hash };
                return Ok(report(head, Some(Break::Changed { seq })));
            }
        }
        let head = verifier.head();
        Ok(report(head, verifier.finish().err()))
    }

    /// Whether this handle may write.
    pub fn mode(&self) -> Mode {
        self.shared.mode
    }
}

fn line(row: &rusqlite::Row<'_>) -> rusqlite::Result<(u64, Hash, String)> {
    Ok((row.get::<_, i64>(0)?.cast_unsigned(), Hash(row.get(1)?), row.get(2)?))
}

/// A record that filters cannot find is as good as removed.
fn columns_agree(row: &rusqlite::Row<'_>, json: &str) -> rusqlite::Result<bool> {
    let Ok(record) = Record::parse(json) else { return Ok(false) };
    let (at, kind): (i64, String) = (row.get(3)?, row.get(4)?);
    let (repository, outcome, request): (Option<String>, Option<String>, Option<String>) =
        (row.get(5)?, row.get(6)?, row.get(7)?);
    let stored = record.at.parse::<Timestamp>().map(Timestamp::as_millisecond);
    let columns = Columns::of(&record);
    Ok(stored.is_ok_and(|stored| stored == at)
        && columns.kind == kind
        && columns.repository == repository.as_deref()
        && columns.outcome == outcome.as_deref()
        && columns.request_id == request.as_deref())
}

impl LogEntries {
    fn fill(&mut self) -> Result<(), StoreError> {
        let step = "read the audit log";
        let mut values = vec![Value::Integer(self.cursor), Value::Integer(PAGE as i64)];
        values.extend(self.values.iter().cloned());
        let mut statement = self.reader.prepare_cached(&self.statement).map_err(sql(step))?;
        let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(sql(step))?;
        let mut read = 0;
        while let Some(row) = rows.next().map_err(sql(step))? {
            let (seq, hash, json) = line(row).map_err(sql(step))?;
            read += 1;
            self.cursor = seq.cast_signed();
            if self.reference.as_deref().is_none_or(|name| names_ref(&json, name)) {
                self.page.push_back(LogEntry { seq, hash, json });
            }
        }
        self.ended = read < PAGE;
        Ok(())
    }
}

/// Whether the record is about `name` (escaped).
fn names_ref(json: &str, name: &str) -> bool {
    // Most records are not, and this is much cheaper than reading them. Escaping for JSON only touches
    // quotes and backslashes, so names with either are looked at closely.
    if !name.contains(['"', '\\']) && !json.contains(name) {
        return false;
    }
    Record::parse(json).is_ok_and(|record| match &record.event {
        Event::Decision(decision) => decision.refs.iter().any(|entry| entry.name == name),
        Event::Applied(entry) => entry.refs.iter().any(|entry| entry.name == name),
        Event::Adopt(entry) => entry.tips.iter().any(|tip| tip.name == name),
        Event::KeyringSource(entry) => entry.reference == name,
        Event::Restore(entry) => entry.reference == name,
        Event::TaintAccepted(_)
        | Event::Start(_)
        | Event::Stop(_)
        | Event::Reload(_)
        | Event::Recovered(_)
        | Event::KeyringChanged(_)
        | Event::KeyringFound(_) => false,
    })
}

impl Iterator for LogEntries {
    type Item = Result<LogEntry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        while self.page.is_empty() && !self.ended {
            if let Err(error) = self.fill() {
                self.ended = true;
                return Some(Err(error));
            }
        }
        let entry = self.page.pop_front()?;
        self.left -= 1;
        Some(Ok(entry))
    }
}
