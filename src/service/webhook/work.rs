//! Who is judged next: a few threads, never two of them at one repository, and nobody forgotten.
//!
//! A repository is looked at when a delivery waits for it, when it is time for its sweep, when an earlier look left
//! something to come back to, or, now and then, when a delivery comes that came before. Whoever was looked at longest ago comes first. What fails is tried again, later each time.

use super::base::{stored, unwatchable};
use super::live::{Look, lock};
use super::review::{Memory, Reviewed};
use super::watched::Watched;
use crate::domain::RepositoryId;
use crate::service::gate::Gate;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many repositories are judged at a time.
const THREADS: usize = 4;
/// How often the queue is looked at without being told to: other processes may have put something there.
const POLL: Duration = Duration::from_secs(2);
/// How long after a look a delivery that came before leads to another one. Whoever has one can send it again and again, and
/// must not make the gate ask the forge each time.
const HINT_PAUSE: Duration = Duration::from_secs(20);
/// The first and the longest pause before something that failed is tried again.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What is known of one repository between two looks.
#[derive(Debug, Default)]
struct Entry {
    memory: Memory,
    /// When it was last looked at, and up to which wish of operators.
    looked: Option<Instant>,
    sweep: u64,
    /// When to look again, even if nobody tells.
    again: Option<Instant>,
    /// Not before.
    not_before: Option<Instant>,
    failures: u32,
}

#[derive(Debug, Default)]
struct Schedule {
    busy: HashSet<RepositoryId>,
    entries: HashMap<RepositoryId, Entry>,
}

struct Shared {
    gate: Arc<Gate>,
    stop: AtomicBool,
    schedule: Mutex<Schedule>,
}

/// The threads that judge what forges tell.
pub struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts them. What the queue holds from an earlier run is judged first.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(gate: &Arc<Gate>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            gate: Arc::clone(gate),
            stop: AtomicBool::new(false),
            schedule: Mutex::default(),
        });
        let mut workers = Workers { shared, threads: Vec::new() };
        for number in 0..THREADS {
            let shared = Arc::clone(&workers.shared);
            let thread = std::thread::Builder::new().name(format!("judge-{number}"));
            workers.threads.push(thread.spawn(move || shared.run())?);
        }
        Ok(workers)
    }

    /// Ends them: what is being judged is ended with its programs, and stays queued.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.gate.ring();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn run(&self) {
        let mut heard = 0;
        while !self.stopped() {
            match self.next() {
                Ok((watched, mut memory)) => {
                    let gate = &self.gate;
                    let judging = AssertUnwindSafe(|| gate.review(&watched, &mut memory, &self.stop));
                    let reviewed = catch_unwind(judging).unwrap_or_else(|_| {
                        tracing::error!(repository = %watched.name, "judging failed; it is tried again");
                        Reviewed { waits: Some("an internal error".to_owned()), ..Reviewed::default() }
                    });
                    self.put_back(&watched, memory, reviewed);
                    self.gate.ring();
                }
                Err(pause) => heard = self.gate.wait_for_deliveries(heard, pause),
            }
        }
    }

    /// Takes the repository that is to be looked at; or says how long there is nothing to do.
    fn next(&self) -> Result<(Watched, Memory), Duration> {
        let gate = &self.gate;
        let config = Arc::clone(&gate.current().config);
        let mut schedule = lock(&self.schedule);
        let now = Instant::now();
        let queued = match gate.store.queued_repositories() {
            Ok(queued) => queued,
            Err(error) => {
                tracing::error!(%error, "the queue cannot be read");
                return Err(POLL);
            }
        };
        let mut all: HashMap<RepositoryId, Watched> = HashMap::new();
        for one in Watched::all(&config, &gate.store) {
            match one {
                Ok(watched) => drop(all.insert(watched.id.clone(), watched)),
                Err(error) => tracing::debug!(%error, "a repository cannot be watched"),
            }
        }
        let told: HashSet<&RepositoryId> = queued.iter().map(|one| &one.repository).collect();
        for one in queued.iter().filter(|one| !all.contains_key(&one.repository)) {
            self.homeless(&config, &one.repository);
        }
        let wanted = lock(&gate.webhooks.sweeps).wanted.clone();
        let mut pause = POLL;
        let mut best: Option<(Option<Instant>, RepositoryId)> = None;
        for (id, watched) in &all {
            if schedule.busy.contains(id) {
                continue;
            }
            let entry = schedule.entries.entry(id.clone()).or_default();
            let asked = wanted.get(id).is_some_and(|number| entry.sweep < *number);
            let swept = match (entry.looked, watched.source.sweep) {
                (_, None) => None,
                (None, Some(_)) => Some(now),
                (Some(at), Some(every)) => Some(at + every),
            };
            let hinted = lock(&gate.webhooks.hints).contains(id);
            let hinted = hinted.then(|| entry.looked.map_or(now, |at| at + HINT_PAUSE));
            let due =
                [told.contains(id).then_some(now), swept, entry.again, hinted].into_iter().flatten().min();
            let due = due.map(|due| entry.not_before.map_or(due, |earliest| due.max(earliest)));
            // Who asks may know that what was wrong is right again.
            let Some(due) = due.map_or(asked.then_some(now), |due| Some(if asked { now } else { due }))
            else {
                continue;
            };
            if due > now {
                pause = pause.min(due - now);
            } else if best.as_ref().is_none_or(|(looked, _)| entry.looked < *looked) {
                best = Some((entry.looked, id.clone()));
            }
        }
        let chosen = best.and_then(|(_, id)| all.remove(&id));
        let Some(watched) = chosen else { return Err(pause.max(Duration::from_millis(5))) };
        schedule.busy.insert(watched.id.clone());
        let entry = schedule.entries.entry(watched.id.clone()).or_default();
        entry.sweep = wanted.get(&watched.id).copied().unwrap_or_default();
        lock(&gate.webhooks.hints).remove(&watched.id);
        Ok((watched, std::mem::take(&mut entry.memory)))
    }

    fn put_back(&self, watched: &Watched, memory: Memory, reviewed: Reviewed) {
        let mut schedule = lock(&self.schedule);
        schedule.busy.remove(&watched.id);
        let now = Instant::now();
        self.gate.webhooks.note_waits(&watched.id, reviewed.waits.as_deref(), now);
        let entry = schedule.entries.entry(watched.id.clone()).or_default();
        entry.memory = memory;
        entry.looked = Some(now);
        let look = Look {
            number: entry.sweep,
            moved: reviewed.moved,
            again: reviewed.again.map(|again| again.as_secs()).filter(|_| reviewed.waits.is_none()),
            waits: reviewed.waits.clone(),
        };
        lock(&self.gate.webhooks.sweeps).looks.insert(watched.id.clone(), look);
        entry.again = reviewed.again.map(|again| now + again);
        if reviewed.waits.is_none() {
            entry.failures = 0;
            entry.not_before = None;
            if reviewed.more {
                entry.again = Some(now);
            }
            return;
        }
        entry.failures = entry.failures.saturating_add(1);
        let pause = reviewed.again.unwrap_or_else(|| pause_after(entry.failures));
        entry.not_before = Some(now + pause);
        entry.again = entry.not_before;
    }

    /// Deliveries of a repository that cannot be looked at: it is not configured any more, or cannot be reached as it is
    /// configured.
    fn homeless(&self, config: &crate::config::Config, repository: &RepositoryId) {
        let gate = &self.gate;
        let found = Watched::find(config, &gate.store, repository);
        let Ok(deliveries) = gate.store.queued_deliveries(repository) else { return };
        let why = match found {
            Ok(Some(_)) => return,
            Ok(None) => {
                let numbers = deliveries.iter().map(|one| one.number).collect();
                let why = "no source has this repository any more";
                stored(gate.store.finish_deliveries(numbers, Gate::now(), why), "cannot end deliveries");
                return;
            }
            Err(error) => unwatchable(error).to_string(),
        };
        // Said once, not each time that the queue is looked at.
        let new = deliveries.iter().filter(|one| one.note.as_ref() != Some(&why));
        let numbers: Vec<u64> = new.map(|one| one.number).collect();
        if !numbers.is_empty() {
            tracing::warn!(repository = %repository.0, %why, "a repository waits");
            stored(gate.store.deliveries_wait(numbers, &why), "cannot note why deliveries wait");
        }
    }
}

/// How long to leave something alone that failed so many times in a row.
fn pause_after(failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_tried_later_each_time_and_never_given_up() {
        assert_eq!(pause_after(1), Duration::from_secs(2));
        assert_eq!(pause_after(2), Duration::from_secs(4));
        assert_eq!(pause_after(9), LONGEST_PAUSE);
        assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
    }
}
