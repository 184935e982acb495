//! What forges are to be told: an outbox. A row stays until the forge took it, and a newer one for the same commit
//! and context takes its place.

use super::Store;
use super::deliveries::time;
use super::error::{StoreError, sql};
use super::repositories::{object_id, ref_name};
use super::sql as q;
use super::writer::Txn;
use crate::domain::{ObjectId, RefName, RepositoryId, RequestId, Timestamp};
use rusqlite::{OptionalExtension, Row, params};
use std::time::Duration;

/// For how long a report that was sent is remembered, so that the same one is not sent again.
const REMEMBERED: Duration = Duration::from_secs(90 * 24 * 3600);

/// What a report says about a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportState {
    /// Nobody can tell yet. Whatever is unknown is this.
    Pending,
    /// It may be merged and deployed.
    Success,
    /// It may not.
    Failure,
    /// The gate is at fault; it may not.
    Error,
}

impl ReportState {
    const ALL: [ReportState; 4] =
        [ReportState::Pending, ReportState::Success, ReportState::Failure, ReportState::Error];

    fn column(self) -> i64 {
        match self {
            ReportState::Pending => 0,
            ReportState::Success => 1,
            ReportState::Failure => 2,
            ReportState::Error => 3,
        }
    }

    fn from_column(value: i64) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|state| state.column() == value);
        found.ok_or_else(|| StoreError::Damaged("the state of a report".to_owned()))
    }
}

/// What a forge is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReport {
    /// The source whose forge it is for.
    pub source: String,
    /// Where.
    pub repository: RepositoryId,
    /// About which commit.
    pub commit: ObjectId,
    /// The context, one for each target (N28).
    pub context: String,
    /// The ref that it is about, where it is about one.
    pub reference: Option<RefName>,
    /// The verdict.
    pub state: ReportState,
    /// One line for people.
    pub description: String,
    /// It is about what a pull or merge request would bring to the ref, or about what passed there for a while, which
    /// takes back nothing that was said of the ref itself: of the two the worse counts (N28).
    pub proposed: bool,
    /// The decision that it links to.
    pub request_id: Option<RequestId>,
    /// When it was found.
    pub at: Timestamp,
}

/// How far a report has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportProgress {
    /// Not sent yet.
    Due {
        /// Not before.
        not_before: Timestamp,
    },
    /// The forge has it.
    Sent(Timestamp),
    /// The forge does not want it.
    GivenUp(Timestamp),
    /// The forge has no room for another status of this commit and context, and keeps an older one.
    Full(Timestamp),
}

/// Why a report is not tried any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// See [`ReportProgress::GivenUp`].
    GivenUp,
    /// See [`ReportProgress::Full`].
    Full,
}

/// That a call went out whose end nobody knows: it may take effect later than what was said after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// How often the newest state is still to be sent.
    pub times: u32,
    /// When next.
    pub at: Timestamp,
}

/// What the forge has of a commit's context, whichever report said it, and how certain that is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// SHA-256 of the last status that it took; absent where nobody knows.
    pub status: Option<Vec<u8>>,
    /// The same of the check run.
    pub check: Option<Vec<u8>>,
    /// What the check run is called, and who made it.
    pub remote: Option<String>,
    /// Whether the newest state is to be sent again although it was taken.
    pub again: Option<Again>,
}

/// A report on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its number; a newer report in its place has another.
    pub number: u64,
    /// What it says.
    pub report: NewReport,
    /// How often sending was tried.
    pub attempts: u64,
    /// How far it is.
    pub progress: ReportProgress,
    /// Why it was not sent yet.
    pub note: Option<String>,
    /// What the forge has in this place.
    pub held: Held,
}

/// How many reports of a source there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportFigures {
    /// Which source.
    pub source: String,
    /// To be sent.
    pub due: u64,
    /// When the oldest of those was made.
    pub oldest: Option<Timestamp>,
    /// Sent, and remembered.
    pub sent: u64,
    /// Given up.
    pub given_up: u64,
    /// Those for which the forge has no room.
    pub full: u64,
}

impl Store {
    /// Queues reports, durably. One that says what was sent last changes nothing.
    pub fn queue_reports(&self, reports: Vec<NewReport>) -> Result<(), StoreError> {
        self.write(move |txn| reports.iter().try_for_each(|report| txn.queue_report(report)))
    }

    /// The reports that are to be sent by `now`, or to be sent again, at most `limit`, the most urgent first.
    pub fn due_reports(&self, now: Timestamp, limit: u32) -> Result<Vec<Report>, StoreError> {
        self.reports_by(&q::reports_due(), params![now.as_millisecond(), limit])
    }

    /// The sources that have reports to be sent by `now`, by name.
    pub fn due_sources(&self, now: Timestamp) -> Result<Vec<String>, StoreError> {
        let step = "list sources with reports";
        let reader = self.reader()?;
        let mut statement = reader.prepare_cached(&q::due_sources()).map_err(sql(step))?;
        let rows = statement.query_map([now.as_millisecond()], |row| row.get(0)).map_err(sql(step))?;
        rows.collect::<Result<_, _>>().map_err(sql(step))
    }

    /// [`Store::due_reports`] of one source: one that is down has no part in what others are told.
    pub fn due_reports_of(
        &self,
        source: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Report>, StoreError> {
        self.reports_by(&q::reports_due_of(), params![now.as_millisecond(), limit, source])
    }

    /// Queues those of the reports that nothing is known for, neither queued nor sent nor given up: a hint that
    /// comes late or twice takes no verdict back.
    pub fn queue_new_reports(&self, reports: Vec<NewReport>) -> Result<(), StoreError> {
        self.write(move |txn| {
            for report in &reports {
                let key = params![report.repository.0, report.commit.as_bytes(), report.context];
                let known: Option<i64> = txn.value(q::KNOWN_REPORT, key)?;
                if known.is_none() {
                    txn.queue_report(report)?;
                }
            }
            Ok(())
        })
    }

    /// The newest reports, whatever became of them: at most `limit`, newest first.
    pub fn reports(&self, limit: u32) -> Result<Vec<Report>, StoreError> {
        self.reports_by(&q::reports_newest(), params![limit])
    }

    /// Says what the forge has in a report's place, whichever report is there by now. Called before a call goes out
    /// as well, so that an end that nobody notes is unknown, and not forgotten.
    pub fn report_held(&self, report: &NewReport, held: Held) -> Result<(), StoreError> {
        let report = report.clone();
        self.write(move |txn| txn.hold_report(&report, &held))
    }

    /// Says that the forge took a report, and what it has now. `false` where a newer one has taken its place, which
    /// is then due.
    pub fn report_sent(&self, sent: &Report, at: Timestamp, held: Held) -> Result<bool, StoreError> {
        let (number, report) = (sent.number.cast_signed(), sent.report.clone());
        self.write(move |txn| {
            txn.hold_report(&report, &held)?;
            txn.changed(q::SENT_REPORT, params![number, at.as_millisecond()])
        })
    }

    /// Says that a report was not taken and why, what the forge has now, and when it is tried again, or that it is
    /// not. `false` where a newer one has taken its place.
    pub fn report_failed(
        &self,
        failed: &Report,
        at: Timestamp,
        why: &str,
        next: Result<Timestamp, Ending>,
        held: Held,
    ) -> Result<bool, StoreError> {
        let (number, report, why) = (failed.number.cast_signed(), failed.report.clone(), why.to_owned());
        self.write(move |txn| {
            txn.hold_report(&report, &held)?;
            match next {
                Ok(when) => txn.changed(q::LATER_REPORT, params![number, when.as_millisecond(), why]),
                Err(ending) => {
                    let done = match ending {
                        Ending::GivenUp => 2,
                        Ending::Full => 3,
                    };
                    txn.changed(q::END_REPORT, params![number, at.as_millisecond(), why, done])
                }
            }
        })
    }

    /// How many reports there are, for each source that ever had one; sorted by name.
    pub fn report_figures(&self) -> Result<Vec<ReportFigures>, StoreError> {
        let step = "count reports";
        let reader = self.reader()?;
        let mut statement = reader.prepare_cached(q::REPORT_ROOM).map_err(sql(step))?;
        let mut rows = statement.query([]).map_err(sql(step))?;
        let mut all: std::collections::BTreeMap<String, ReportFigures> = Default::default();
        while let Some(row) = rows.next().map_err(sql(step))? {
            let source: String = row.get(0).map_err(sql(step))?;
            let count = row.get::<_, i64>(2).map_err(sql(step))?.cast_unsigned();
            let figures = all
                .entry(source.clone())
                .or_insert_with(|| ReportFigures { source, ..ReportFigures::default() });
            match row.get::<_, i64>(1).map_err(sql(step))? {
                0 => {
                    figures.due = count;
                    figures.oldest = Some(time(row.get(3).map_err(sql(step))?)?);
                }
                1 => figures.sent = count,
                2 => figures.given_up = count,
                _ => figures.full = count,
            }
        }
        Ok(all.into_values().collect())
    }

    fn reports_by(&self, statement: &str, values: impl rusqlite::Params) -> Result<Vec<Report>, StoreError> {
        let step = "read reports";
        let reader = self.reader()?;
        let mut statement = reader.prepare_cached(statement).map_err(sql(step))?;
        let mut rows = statement.query(values).map_err(sql(step))?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(sql(step))? {
            all.push(report(row)?);
        }
        Ok(all)
    }
}

fn report(row: &Row<'_>) -> Result<Report, StoreError> {
    let step = "read a report";
    let text = |at| row.get::<_, Option<String>>(at).map_err(sql(step));
    let need = |at| row.get::<_, String>(at).map_err(sql(step));
    let number = |at| row.get::<_, i64>(at).map_err(sql(step));
    let bytes = |at| row.get::<_, Option<Vec<u8>>>(at).map_err(sql(step));
    let request = |id: String| {
        RequestId::parse(&id).ok_or_else(|| StoreError::Damaged("a stored request id".to_owned()))
    };
    let ended = || time(row.get::<_, Option<i64>>(13).map_err(sql(step))?.unwrap_or_default());
    let progress = match number(12)? {
        0 => ReportProgress::Due { not_before: time(number(11)?)? },
        1 => ReportProgress::Sent(ended()?),
        2 => ReportProgress::GivenUp(ended()?),
        _ => ReportProgress::Full(ended()?),
    };
    Ok(Report {
        number: number(0)?.cast_unsigned(),
        report: NewReport {
            source: need(1)?,
            repository: RepositoryId(need(2)?),
            commit: object_id(&bytes(3)?.unwrap_or_default())?,
            context: need(4)?,
            reference: bytes(5)?.as_deref().map(ref_name).transpose()?,
            state: ReportState::from_column(number(6)?)?,
            description: need(7)?,
            proposed: number(15)? != 0,
            request_id: text(8)?.map(request).transpose()?,
            at: time(number(9)?)?,
        },
        attempts: number(10)?.cast_unsigned(),
        progress,
        note: text(14)?,
        held: held(row, 16).map_err(sql(step))?,
    })
}

/// What the forge has, from the five columns of a row that begin at `first`.
fn held(row: &Row<'_>, first: usize) -> rusqlite::Result<Held> {
    let (times, at): (u32, Option<i64>) = (row.get(first + 3)?, row.get(first + 4)?);
    let at = at.and_then(|at| Timestamp::from_millisecond(at).ok());
    Ok(Held {
        remote: row.get(first)?,
        status: row.get(first + 1)?,
        check: row.get(first + 2)?,
        again: at.filter(|_| times > 0).map(|at| Again { times, at }),
    })
}

impl Txn<'_> {
    /// Queues a report, in this transaction.
    pub(super) fn queue_report(&self, new: &NewReport) -> Result<(), StoreError> {
        let step = "find a report";
        let commit = new.commit.as_bytes();
        let request = new.request_id.as_ref().map(RequestId::as_str);
        type Known = (i64, i64, String, Option<String>, i64, bool, Held);
        let known: Option<Known> = self
            .connection
            .prepare_cached(q::FIND_REPORT)
            .and_then(|mut s| {
                s.query_row(params![new.repository.0, commit, new.context], |row| {
                    let (number, state, description) = (row.get(0)?, row.get(1)?, row.get(2)?);
                    Ok((number, state, description, row.get(3)?, row.get(4)?, row.get(5)?, held(row, 6)?))
                })
                .optional()
            })
            .map_err(sql(step))?;
        let mut kept = Held::default();
        if let Some((number, state, description, of, done, proposed, held)) = known {
            // Nothing that a proposal would bring makes the ref itself any better. What is replaced here is consent,
            // so there is nothing to be remembered of it.
            let consent = ReportState::Success.column();
            if new.proposed && !proposed && state != consent {
                return Ok(());
            }
            let same =
                state == new.state.column() && description == new.description && of.as_deref() == request;
            // What was given up may be asked for again. What is found of the ref itself is more than what was proposed,
            // in whatever words: no proposal takes it back.
            if same && done != 2 && (new.proposed || !proposed) {
                return Ok(());
            }
            kept = held;
            self.run(q::DROP_REPORT, [number])?;
        }
        let at = new.at.as_millisecond();
        self.run(
            q::ADD_REPORT,
            params![
                new.source,
                new.repository.0,
                commit,
                new.context,
                new.reference.as_ref().map(RefName::as_bytes),
                new.state.column(),
                new.description,
                request,
                at,
                new.proposed,
                kept.remote,
                kept.status,
                kept.check,
                kept.again.map_or(0, |again| again.times),
                kept.again.map(|again| again.at.as_millisecond()),
            ],
        )?;
        self.drop_old_reports(at)
    }

    fn hold_report(&self, of: &NewReport, held: &Held) -> Result<(), StoreError> {
        let values = params![
            of.repository.0,
            of.commit.as_bytes(),
            of.context,
            held.remote,
            held.status,
            held.check,
            held.again.map_or(0, |again| again.times),
            held.again.map(|again| again.at.as_millisecond()),
        ];
        self.run(q::HOLD_REPORT, values)
    }

    fn drop_old_reports(&self, now: i64) -> Result<(), StoreError> {
        let age = i64::try_from(REMEMBERED.as_millis()).unwrap_or(i64::MAX);
        let old = self
            .connection
            .prepare_cached(q::OLD_REPORTS)
            .and_then(|mut s| {
                s.query_map([now.saturating_sub(age)], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()
            })
            .map_err(sql("find old reports"))?;
        old.into_iter().try_for_each(|number| self.run(q::DROP_REPORT, [number]))
    }

    /// Whether a statement changed a row.
    pub(super) fn changed(&self, statement: &str, values: impl rusqlite::Params) -> Result<bool, StoreError> {
        self.connection
            .prepare_cached(statement)
            .and_then(|mut s| s.execute(values))
            .map(|rows| rows > 0)
            .map_err(sql("write to the database"))
    }
}

#[cfg(test)]
mod tests;
