//! One thread that writes: everything that waits goes into one transaction and one flush.

use super::StoreError;
use rusqlite::Connection;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Jobs in one transaction at most.
const GROUP: usize = 256;

/// How much was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Transactions, each flushed once.
    pub commits: u64,
    /// Jobs in them.
    pub jobs: u64,
}

#[derive(Default)]
struct Counters {
    commits: AtomicU64,
    jobs: AtomicU64,
}

pub(super) struct Writer {
    sender: Mutex<Option<Sender<Box<dyn Job>>>>,
    counters: Arc<Counters>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Something to write, and somebody who waits for it.
trait Job: Send {
    /// Runs inside the transaction; `false` undoes what it did, and only that.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Called once the transaction is durable, or is not going to be.
    fn finish(self: Box<Self>, failed: Option<StoreError>);
}

struct Typed<T, F> {
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    answer: SyncSender<Result<T, StoreError>>,
}

impl<T, F> Job for Typed<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        let result = match self.work.take() {
            Some(work) => work(connection),
            None => Err(StoreError::Stopped),
        };
        let done = result.is_ok();
        self.result = Some(result);
        done
    }

    fn finish(self: Box<Self>, failed: Option<StoreError>) {
        let result = match (self.result, failed) {
            (Some(Err(error)), _) | (_, Some(error)) => Err(error),
            (Some(Ok(value)), None) => Ok(value),
            (None, None) => Err(StoreError::Stopped),
        };
        // Whoever asked may be gone.
        let _ = self.answer.send(result);
    }
}

impl Writer {
    /// Starts the thread. `ready` is asked before each transaction, `after` told after each.
    pub(super) fn start(
        connection: Connection,
        ready: impl Fn() -> Result<(), StoreError> + Send + 'static,
        after: impl Fn(&Connection) + Send + 'static,
    ) -> Self {
        let (sender, receiver) = channel();
        let counters = Arc::new(Counters::default());
        let counted = Arc::clone(&counters);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(&connection, &receiver, &ready, &after, &counted))
            .ok();
        Writer { sender: Mutex::new(Some(sender)), counters, thread: Mutex::new(thread) }
    }

    /// Writes and waits until it is durable.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, wait) = sync_channel(1);
        let job = Box::new(Typed { work: Some(work), result: None, answer });
        match super::open::lock(&self.sender).as_ref() {
            Some(sender) => sender.send(job).map_err(|_| StoreError::Stopped)?,
            None => return Err(StoreError::Stopped),
        }
        wait.recv().map_err(|_| StoreError::Stopped)?
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            commits: self.counters.commits.load(Ordering::Relaxed),
            jobs: self.counters.jobs.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        super::open::lock(&self.sender).take();
        if let Some(thread) = super::open::lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

fn run(
    connection: &Connection,
    receiver: &Receiver<Box<dyn Job>>,
    ready: &dyn Fn() -> Result<(), StoreError>,
    after: &dyn Fn(&Connection),
    counters: &Counters,
) {
    while let Ok(first) = receiver.recv() {
        let begun = ready().and_then(|()| Ok(connection.execute_batch("BEGIN IMMEDIATE")?));
        if let Err(error) = begun {
            first.finish(Some(error));
            continue;
        }
        let mut group = Vec::new();
        let mut next = Some(first);
        while let Some(mut job) = next {
            run_one(connection, job.as_mut());
            group.push(job);
            next = if group.len() < GROUP { receiver.try_recv().ok() } else { None };
        }
        let failed = connection.execute_batch("COMMIT").err();
        match &failed {
            None => {
                counters.commits.fetch_add(1, Ordering::Relaxed);
                counters.jobs.fetch_add(group.len() as u64, Ordering::Relaxed);
                after(connection);
            }
            Some(_) => {
                let _ = connection.execute_batch("ROLLBACK");
            }
        }
        for job in group {
            let error = failed.as_ref().map(|error| StoreError::Source(format!("cannot commit: {error}")));
            job.finish(error);
        }
    }
}

/// A job that fails undoes its own writes and leaves the others alone. Should even that fail, the
/// commit will, too.
fn run_one(connection: &Connection, job: &mut dyn Job) {
    let _ = connection.execute_batch("SAVEPOINT job");
    if !job.run(connection) {
        let _ = connection.execute_batch("ROLLBACK TO job");
    }
    let _ = connection.execute_batch("RELEASE job");
}
