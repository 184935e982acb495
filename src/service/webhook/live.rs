//! What the webhooks of a running gate have in memory: secrets, bad tries, and a bell for those who judge.

use super::WebhookFigures;
use super::failures::Failures;
use crate::config::{Config, Diagnostic};
use crate::domain::RepositoryId;
use crate::forge::{Secret, Secrets};
use crate::service::Gate;
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often counters are written down.
const WRITE_DOWN: Duration = Duration::from_secs(10);
/// For how long deliveries are gathered before those who judge look at them.
const GATHER: Duration = Duration::from_millis(25);

/// Secrets by the name of their source, and what is wrong with others.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) secrets: BTreeMap<String, Secrets>,
    pub(super) faults: Vec<Diagnostic>,
}

/// In memory only.
#[derive(Default)]
pub(in crate::service) struct Webhooks {
    pub(super) known: ArcSwap<Known>,
    pub(super) failures: Mutex<Failures>,
    pub(super) certificate_error: Mutex<Option<String>>,
    pub(super) figures: Mutex<Option<(Instant, Option<WebhookFigures>)>>,
    /// Repositories that cannot be judged, since when, and why.
    pub(super) waits: Mutex<BTreeMap<RepositoryId, (Instant, String)>>,
    /// When each kind of fault was told in the log last.
    pub(super) complained: Mutex<BTreeMap<&'static str, Instant>>,
    written: Mutex<Option<Instant>>,
    rung: Mutex<u64>,
    bell: Condvar,
    /// Repositories of which was told again what had been told before.
    pub(super) hints: Mutex<HashSet<RepositoryId>>,
    /// What somebody wanted to be looked at.
    pub(super) sweeps: Mutex<Sweeps>,
}

/// Repositories that operators want to be looked at, and what was found.
#[derive(Default)]
pub(super) struct Sweeps {
    /// How often somebody wanted that.
    number: u64,
    /// The last time for each.
    pub(super) wanted: BTreeMap<RepositoryId, u64>,
    /// The last look at each.
    pub(super) looks: BTreeMap<RepositoryId, Look>,
}

/// What a look at a repository has found.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    /// Which wish it has answered.
    pub(super) number: u64,
    /// Refs that were not where they were judged last.
    pub(super) moved: usize,
    /// In how many seconds those of them are judged that nobody has told of yet.
    pub(super) again: Option<u64>,
    /// Why it is not up to date.
    pub(super) waits: Option<String>,
}

/// Locks, also after a panic elsewhere: what these mutexes guard is valid after every statement.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A source that listens at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listens {
    /// Its name.
    pub source: String,
    /// The largest body that it takes, in bytes.
    pub max_body: usize,
}

/// What the listener proves itself with: PEM.
pub struct ListenerKeys {
    /// Certificates, the listener's own first.
    pub certificate: Vec<u8>,
    /// The private key.
    pub key: Secret,
}

/// Reads all secrets of a configuration.
fn read(config: &Config) -> Known {
    let mut known = Known::default();
    for source in &config.sources {
        let (secrets, faults) = source.read_secrets();
        known.secrets.insert(source.name.clone(), secrets);
        known.faults.extend(faults.into_iter().map(|fault| fault.diagnostic));
    }
    known
}

impl Webhooks {
    /// With the secrets of a configuration, all of which must be there.
    ///
    /// # Errors
    /// Every secret that cannot be used.
    pub(in crate::service) fn start(config: &Config) -> Result<Self, String> {
        let known = read(config);
        if !known.faults.is_empty() {
            return Err(told(&known.faults));
        }
        for warning in config.sources.iter().flat_map(|source| source.weak_secrets()) {
            tracing::warn!("{warning}");
        }
        Ok(Webhooks { known: ArcSwap::from_pointee(known), ..Webhooks::default() })
    }
}

impl Webhooks {
    /// Keeps why a repository cannot be judged, which nobody else says where no delivery waits for it.
    pub(super) fn note_waits(&self, id: &RepositoryId, why: Option<&str>, now: Instant) {
        let mut waits = lock(&self.waits);
        match why {
            None => drop(waits.remove(id)),
            Some(why) => {
                let since = waits.get(id).map_or(now, |(since, _)| *since);
                waits.insert(id.clone(), (since, why.to_owned()));
            }
        }
    }
}

fn told(faults: &[Diagnostic]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

impl Gate {
    /// Reads the secrets of all sources again. One that cannot be read any more authenticates nothing any more:
    /// it may be gone because somebody else knows it.
    pub(in crate::service) fn read_webhook_secrets(&self) {
        let known = read(&self.current().config);
        let before = self.webhooks.known.load();
        if known.faults != before.faults {
            match known.faults.is_empty() {
                true => tracing::info!("all secrets of webhooks can be read again"),
                false => tracing::error!("secrets of webhooks cannot be used:\n{}", told(&known.faults)),
            }
        }
        self.webhooks.known.store(Arc::new(known));
    }

    /// Writes down what was counted, now and then.
    pub(in crate::service) fn tend_webhooks(&self) {
        let mut written = lock(&self.webhooks.written);
        if written.is_some_and(|at| at.elapsed() < WRITE_DOWN) {
            return;
        }
        *written = Some(Instant::now());
        drop(written);
        self.write_webhook_counters();
    }

    pub(in crate::service) fn write_webhook_counters(&self) {
        if let Err(error) = self.store.flush_webhook_counters() {
            tracing::warn!(%error, "cannot write down how often webhooks came");
        }
    }

    /// Which source listens at the path of a URL, if one does.
    pub fn listens(&self, path: &str) -> Option<Listens> {
        let current = self.current();
        let source = current.config.sources.iter().find(|source| source.path == path)?;
        Some(Listens { source: source.name.clone(), max_body: source.max_body })
    }

    /// Whether `peer` is a proxy whose word counts on whom it speaks for.
    pub fn is_trusted_proxy(&self, peer: IpAddr) -> bool {
        self.current().config.daemon.trusted_proxies.iter().any(|network| network.contains(peer))
    }

    /// The certificate and key of the listener, read now; `None` where it speaks in the clear.
    ///
    /// # Errors
    /// What is wrong with the files, for people.
    pub fn listener_keys(&self) -> Option<Result<ListenerKeys, String>> {
        let current = self.current();
        let tls = current.config.daemon.tls.as_ref()?;
        let read = tls.read().map(|(certificate, key)| ListenerKeys { certificate, key });
        Some(read.map_err(|fault| match &fault.diagnostic.suggestion {
            Some(help) => format!("{}; {help}", fault.diagnostic.message),
            None => fault.diagnostic.message.clone(),
        }))
    }

    /// Says that the listener's certificate was taken, or why the one before it stays in use.
    pub fn certificate_read(&self, error: Option<String>) {
        *lock(&self.webhooks.certificate_error) = error;
    }

    /// Tells those who judge that there is work.
    pub(super) fn ring(&self) {
        *lock(&self.webhooks.rung) += 1;
        self.webhooks.bell.notify_all();
    }

    /// Has a repository looked at before its sweep, and not more often than [`super::work`] allows: what came before says
    /// nothing, but a ref that moves there, back and there again is told in the same words.
    pub(super) fn hint(&self, repository: RepositoryId) {
        if lock(&self.webhooks.hints).insert(repository) {
            self.ring();
        }
    }

    /// Has all watched repositories looked at, as if it were time for it.
    pub(super) fn sweep_forges(&self, repositories: impl IntoIterator<Item = RepositoryId>) -> u64 {
        let mut sweeps = lock(&self.webhooks.sweeps);
        sweeps.number += 1;
        let number = sweeps.number;
        sweeps.wanted.extend(repositories.into_iter().map(|id| (id, number)));
        drop(sweeps);
        self.ring();
        number
    }

    /// Waits until there is more work than when `heard` was returned, at most for `patience`; gives what to pass the
    /// next time.
    pub fn wait_for_deliveries(&self, heard: u64, patience: Duration) -> u64 {
        let rung = lock(&self.webhooks.rung);
        let waited = self.webhooks.bell.wait_timeout_while(rung, patience, |rung| *rung == heard);
        let (rung, out) = waited.unwrap_or_else(PoisonError::into_inner);
        if out.timed_out() {
            return *rung;
        }
        drop(rung);
        // In a burst, what comes a moment later is work of the same round: whoever looks for work goes through all
        // that waits.
        std::thread::sleep(GATHER.min(patience));
        *lock(&self.webhooks.rung)
    }
}
