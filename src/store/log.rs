//! Appending to the audit log and reading it.

use super::open::{Store, head};
use super::{Grant, StoreError, frontier};
use crate::audit::{Body, ChainReport, DecisionRecord, Record, Verifier, link};
use crate::domain::{ObjectId, RefName, RepositoryId, Timestamp};
use rusqlite::{Connection, params, params_from_iter, types::Value};

/// One record as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 1, without gaps.
    pub sequence: u64,
    /// Its hash in the chain, hexadecimal.
    pub hash: String,
    /// The line of JSON that the chain covers.
    pub record: String,
}

/// Which records to read.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only of this repository, by name.
    pub repository: Option<String>,
    /// Only with this outcome.
    pub outcome: Option<String>,
    /// Only of this request.
    pub request_id: Option<String>,
    /// Only from this time on, RFC 3339 in UTC.
    pub since: Option<String>,
    /// The last so many; all if `None`.
    pub limit: Option<usize>,
}

/// A moved ref: what it held, what it shall hold.
pub(super) type Update = (RefName, Option<ObjectId>, Option<ObjectId>);

impl Store {
    /// Appends a record and returns its number once it is durable.
    pub fn append(&self, record: Record) -> Result<u64, StoreError> {
        self.write(move |connection| append(connection, record))
    }

    /// Records a decision, durably, before anybody hears of it. What an accepted one will grant is kept
    /// until its refs are seen applied (N10).
    ///
    /// # Errors
    /// Any: then nobody gets in. An accept is refused while the state is rolled back (N27).
    pub fn record_decision(
        &self,
        mut record: Record,
        grants: Vec<Grant>,
        updates: Vec<Update>,
    ) -> Result<u64, StoreError> {
        let Body::Decision(decision) = &mut record.body else { return self.append(record) };
        let accepted = decision.outcome == "accept";
        if accepted && let Some(why) = self.rolled_back() {
            return Err(StoreError::RolledBack(why));
        }
        let now = Timestamp::now();
        if !accepted && !self.in_budget(&decision.repository, now) {
            shorten(decision);
        }
        let repository = RepositoryId(decision.repository_id.clone());
        let request_id = decision.request_id.clone();
        self.write(move |connection| {
            let sequence = append(connection, record)?;
            if accepted {
                frontier::keep_pending(
                    connection,
                    &repository,
                    &request_id,
                    &updates,
                    &grants,
                    now.as_second(),
                )?;
            }
            Ok(sequence)
        })
    }

    /// Reads records, oldest first.
    pub fn log(&self, filter: &Filter) -> Result<Vec<Entry>, StoreError> {
        let mut conditions = Vec::new();
        let mut values: Vec<Value> = Vec::new();
        let mut add = |column: &str, comparison: &str, value: &Option<String>| {
            if let Some(value) = value {
                values.push(Value::Text(value.clone()));
                conditions.push(format!("{column} {comparison} ?{}", values.len()));
            }
        };
        add("repository", "=", &filter.repository);
        add("outcome", "=", &filter.outcome);
        add("request_id", "=", &filter.request_id);
        add("time", ">=", &filter.since);
        let all = if conditions.is_empty() { "TRUE".to_owned() } else { conditions.join(" AND ") };
        let limit = filter.limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
        let query = format!("SELECT seq, hash, record FROM log WHERE {all} ORDER BY seq DESC LIMIT {limit}");
        let connection = self.reader()?;
        let mut entries = {
            let mut statement = connection.prepare(&query)?;
            let rows = statement.query_map(params_from_iter(values), |row| {
                let hash: Vec<u8> = row.get(1)?;
                let record: Vec<u8> = row.get(2)?;
                Ok(Entry {
                    sequence: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
                    hash: data_encoding::HEXLOWER.encode(&hash),
                    record: String::from_utf8_lossy(&record).into_owned(),
                })
            })?;
            rows.collect::<Result<Vec<_>, _>>()?
        };
        self.give_back(connection);
        entries.reverse();
        Ok(entries)
    }

    /// Walks the whole chain and holds its end against the high-water mark.
    pub fn verify_log(&self) -> Result<ChainReport, StoreError> {
        let known = self.known_head();
        let connection = self.reader()?;
        let mut verifier = Verifier::default();
        {
            let mut statement = connection.prepare("SELECT seq, hash, record FROM log ORDER BY seq")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let sequence = u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0);
                let (hash, record): (Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(2)?);
                verifier.take(sequence, &hash, &record);
            }
        }
        self.give_back(connection);
        Ok(verifier.finish(known))
    }
}

pub(super) fn append(connection: &Connection, record: Record) -> Result<u64, StoreError> {
    let time = record.time.clone();
    let (event, outcome, repository, request) = columns(&record.body);
    let bytes = record.to_bytes();
    let (last, previous) = head(connection)?;
    let hash = link(&previous, &bytes);
    let sequence = last + 1;
    connection
        .prepare_cached(
            "INSERT INTO log (seq, hash, time, event, outcome, repository, request_id, record) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            sequence as i64,
            hash.0.as_slice(),
            time,
            event,
            outcome,
            repository,
            request,
            bytes
        ])?;
    Ok(sequence)
}

type Columns = (&'static str, Option<String>, Option<String>, Option<String>);

fn columns(body: &Body) -> Columns {
    match body {
        Body::Decision(record) => (
            "decision",
            Some(record.outcome.clone()),
            Some(record.repository.clone()),
            Some(record.request_id.clone()),
        ),
        Body::Applied(record) => ("applied", None, None, Some(record.request_id.clone())),
        Body::Adopt(record) => ("adopt", None, Some(record.repository.clone()), None),
        Body::Start(_) => ("start", None, None, None),
        Body::Reload(_) => ("reload", None, None, None),
        Body::Stop => ("stop", None, None, None),
        Body::Recovered { .. } => ("recovered", None, None, None),
    }
}

/// What is left of a refusal when somebody makes too many of them: everything but the lists.
fn shorten(decision: &mut DecisionRecord) {
    let dropped =
        decision.commits.len() + decision.tags.len() + decision.violations.len() + decision.advisory.len();
    decision.commits.clear();
    decision.tags.clear();
    decision.advisory.clear();
    decision.violations.truncate(1);
    decision.push_options.clear();
    decision.refs.truncate(1);
    decision.truncated += dropped as u64;
}
