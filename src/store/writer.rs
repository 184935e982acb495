//! The one thread that writes.
//!
//! A flush to disk costs the same for one record as for a hundred, so whatever waits while one
//! transaction is being flushed goes into the next one together. Each job has its own savepoint: a job
//! that fails takes nothing with it but itself.

use super::error::{StoreError, io, sql};
use super::mark::Mark;
use super::rollback::{self, Finding};
use super::sql as q;
use super::{Options, Shared, clock, lock};
use crate::audit::chain::Head;
use crate::audit::{Event, Record};
use crate::domain::Timestamp;
use rusqlite::{Connection, params};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

/// Tells a caller how its job ended; the argument is a failure of the transaction as a whole.
type Finish = Box<dyn FnOnce(Option<StoreError>) + Send>;
/// Runs inside a transaction, or is told why there is none. Says whether it succeeded.
type Job = Box<dyn FnOnce(Result<&mut Txn<'_>, StoreError>) -> (bool, Finish) + Send>;

/// The handle to the writer thread.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(shared: Arc<Shared>, connection: Connection) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel();
        let path = shared.database.clone();
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || Loop { shared, connection, last: Head::EMPTY }.run(&queue))
            .map_err(io("start the writer of", &path))?;
        Ok(Writer { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs `job` and returns when its transaction is durable, or rolled back.
    pub(super) fn submit<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Txn<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, wait) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |txn| {
            let result = txn.and_then(job);
            let ok = result.is_ok();
            let finish: Finish = Box::new(move |failed| {
                // Nobody listens any more if the caller's thread died; the outcome stands either way.
                let _ = answer.send(match failed {
                    Some(error) if ok => Err(error),
                    _ => result,
                });
            });
            (ok, finish)
        });
        let jobs = self.jobs.as_ref().ok_or(StoreError::WriterGone)?;
        jobs.send(job).map_err(|_| StoreError::WriterGone)?;
        // A panic in the thread drops the other end, which ends this wait too.
        wait.recv().map_err(|_| StoreError::WriterGone)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was reported to whoever waited for an answer.
            let _ = thread.join();
        }
    }
}

/// One write transaction, as a job sees it.
pub(super) struct Txn<'c> {
    pub(super) connection: &'c Connection,
    shared: &'c Shared,
    head: Head,
    finding: Option<Finding>,
    /// What is wrong with the machine's clock.
    clock: Option<String>,
}

impl Txn<'_> {
    /// Fails where nothing may be let in because the state was rolled back (N27), or because receipts
    /// would be dated back.
    pub(super) fn guard(&self) -> Result<(), StoreError> {
        if let Some(finding) = &self.finding {
            return Err(StoreError::RolledBack(finding.text.clone()));
        }
        self.forward()
    }

    /// Fails where the clock has run backwards: nothing at all is written then.
    fn forward(&self) -> Result<(), StoreError> {
        self.clock.clone().map_or(Ok(()), |why| Err(StoreError::Clock(why)))
    }

    /// Somebody said that the clock is right.
    pub(super) fn clock_was_set(&mut self) {
        self.clock = None;
    }

    /// Now, on the machine's clock.
    pub(super) fn now(&self) -> Timestamp {
        (self.shared.options.clock)()
    }

    pub(super) fn finding(&self) -> Option<&Finding> {
        self.finding.as_ref()
    }

    /// The end of the log, this transaction included.
    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// Appends to the log; returns the record's number.
    pub(super) fn append(&mut self, record: &Record) -> Result<u64, StoreError> {
        self.forward()?;
        let json = record.canonical()?;
        let at: Timestamp =
            record.at.parse().map_err(|_| StoreError::Invalid("a record's time is not RFC 3339"))?;
        let next = self.head.append(json.as_bytes());
        let columns = Columns::of(record);
        self.connection
            .prepare_cached(q::APPEND)
            .and_then(|mut s| {
                s.execute(params![
                    next.seq.cast_signed(),
                    next.hash.0,
                    json,
                    at.as_millisecond(),
                    columns.kind,
                    columns.repository,
                    columns.outcome,
                    columns.request_id,
                ])
            })
            .map_err(sql("append to the audit log"))?;
        self.head = next;
        Ok(next.seq)
    }

    /// What the store was opened with.
    pub(super) fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Bytes that the state may still fill.
    pub(super) fn room(&self) -> Result<u64, StoreError> {
        room(&self.shared.database)
    }

    /// Largest record that is stored, in bytes.
    pub(super) fn record_bytes(&self) -> usize {
        self.shared.options.record_bytes
    }
}

/// Bytes that are left on the file system.
fn room(path: &Path) -> Result<u64, StoreError> {
    let room = rustix::fs::statvfs(path).map_err(|e| io("measure the room for", path)(e.into()))?;
    Ok(room.f_bavail.saturating_mul(room.f_frsize))
}

/// What is copied out of a record, so that the log can be filtered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Columns<'r> {
    pub(super) kind: &'static str,
    pub(super) repository: Option<&'r str>,
    pub(super) outcome: Option<&'static str>,
    pub(super) request_id: Option<&'r str>,
}

impl<'r> Columns<'r> {
    pub(super) fn of(record: &'r Record) -> Self {
        let kind = record.event.kind();
        let (repository, outcome, request_id) = match &record.event {
            Event::Decision(d) => (Some(&d.repository), Some(d.outcome.name()), Some(d.request_id.as_str())),
            Event::Applied(a) => (Some(&a.repository), None, Some(a.request_id.as_str())),
            Event::Adopt(a) => (Some(&a.repository), None, None),
            Event::TaintAccepted(t) => (Some(&t.repository), None, None),
            Event::KeyringSource(s) => (Some(&s.repository), None, None),
            Event::Restore(r) => (Some(&r.repository), None, Some(r.request_id.as_str())),
            Event::Start(_)
            | Event::Stop(_)
            | Event::Reload(_)
            | Event::Recovered(_)
            | Event::KeyringChanged(_)
            | Event::KeyringFound(_) => (None, None, None),
        };
        Columns { kind, repository: repository.map(|r| r.id.as_str()), outcome, request_id }
    }
}

struct Loop {
    shared: Arc<Shared>,
    connection: Connection,
    /// The end of the log after this process's last commit.
    last: Head,
}

impl Loop {
    fn run(mut self, queue: &Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let mut batch = vec![first];
            batch.extend(queue.try_iter().take(self.shared.options.max_batch.saturating_sub(1)));
            self.batch(batch);
        }
    }

    fn batch(&mut self, jobs: Vec<Job>) {
        let mut finishes = Vec::with_capacity(jobs.len());
        let failed = self.transaction(jobs, &mut finishes).err();
        for finish in finishes {
            finish(failed.clone());
        }
    }

    fn transaction(&mut self, jobs: Vec<Job>, finishes: &mut Vec<Finish>) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let mut broken = None;
        let (head, finding, clock) = match self.begin() {
            Ok(begun) => begun,
            Err(error) => {
                broken = Some(error);
                (Head::EMPTY, None, None)
            }
        };
        let begun = head;
        let mut txn = Txn { connection: &self.connection, shared: &shared, head, finding, clock };
        let mut succeeded = 0;
        for job in jobs {
            if broken.is_none() {
                broken = self.connection.execute_batch(q::SAVEPOINT).map_err(sql("start a job")).err();
            }
            if let Some(error) = &broken {
                finishes.push(job(Err(error.clone())).1);
                continue;
            }
            let before = txn.head;
            let (ok, finish) = job(Ok(&mut txn));
            finishes.push(finish);
            if ok {
                succeeded += 1;
            } else {
                txn.head = before;
            }
            // Some errors (disk full, out of memory) end the whole transaction inside SQLite. What
            // ran before this job is then gone too, and what would run after it would be on its own.
            if self.connection.is_autocommit() {
                broken = Some(StoreError::Full("the transaction was cut short".to_owned()));
                continue;
            }
            let end = if ok { Ok(()) } else { self.connection.execute_batch(q::ROLLBACK_TO) };
            broken =
                end.and_then(|()| self.connection.execute_batch(q::RELEASE)).map_err(sql("end a job")).err();
        }
        let head = txn.head;
        if broken.is_none() && head != begun {
            broken = txn.note_clock(txn.now()).err();
        }
        if broken.is_none() {
            broken = self.connection.execute_batch(q::COMMIT).map_err(sql("commit")).err();
        }
        if let Some(error) = broken {
            if !self.connection.is_autocommit() {
                // If even this fails, the next `begin` fails as well, and so on: nothing is let in.
                let _ = self.connection.execute_batch(q::ROLLBACK);
            }
            return Err(error);
        }
        self.last = head;
        if succeeded > 0 {
            shared.commits.fetch_add(1, Ordering::Relaxed);
            shared.jobs.fetch_add(succeeded, Ordering::Relaxed);
        }
        self.advance_mark(head);
        Ok(())
    }

    /// Starts a transaction on a database that is still the right one and has room.
    fn begin(&self) -> Result<(Head, Option<Finding>, Option<String>), StoreError> {
        let shared = &self.shared;
        let path = &shared.database;
        // Writes to a deleted file succeed, and are gone.
        let identity = fs::symlink_metadata(path).map(|m| (m.dev(), m.ino())).ok();
        if identity != Some(shared.identity) {
            return Err(StoreError::Replaced(path.clone()));
        }
        let available = room(path)?;
        let reserve = shared.options.reserve_bytes;
        if available < reserve {
            return Err(StoreError::Full(format!("{available} bytes available, {reserve} are kept free")));
        }
        self.connection.execute_batch(q::BEGIN_WRITE).map_err(sql("lock the database for writing"))?;
        let head = rollback::head(&self.connection)?;
        let clock = clock::behind(&self.connection, &shared.options)?;
        Ok((head, self.finding(head)?, clock))
    }

    /// Whether the state is rolled back, looked at again because another process may have recovered it,
    /// and because a restored file can also appear under a running program.
    fn finding(&self, head: Head) -> Result<Option<Finding>, StoreError> {
        let known = lock(&self.shared.rolled_back).is_some();
        if !known && head.seq >= self.last.seq {
            return Ok(None);
        }
        let Some(mark) = &self.shared.mark else { return Ok(None) };
        let mut finding = rollback::compare(&self.connection, &self.shared.instance, &mark.read()?)?;
        if finding.is_none() && head.seq < self.last.seq {
            let (end, last) = (head.seq, self.last.seq);
            let text = format!("the audit log ends at record {end}, and record {last} was just written");
            finding = Some(Finding { text, known: Some(self.last) });
        }
        *lock(&self.shared.rolled_back) = finding.clone();
        Ok(finding)
    }

    fn advance_mark(&self, head: Head) {
        // A rolled-back state must not vouch for itself.
        if head.seq == 0 || lock(&self.shared.rolled_back).is_some() {
            return;
        }
        let Some(file) = &self.shared.mark else { return };
        let mark = Mark { instance: self.shared.instance.clone(), head };
        if let Err(error) = file.advance(&mark) {
            // The records are durable; only the check at the next start is weaker.
            tracing::warn!(%error, "the high-water mark was not moved");
        }
    }
}
