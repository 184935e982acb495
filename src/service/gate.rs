//! The running gate: one snapshot of configuration and keyring, and the record.

use super::expiry::{Expiring, Told};
use super::fault::Fault;
use super::metrics::Metrics;
use super::operators::Budget;
use super::reload::{Live, Rejected};
use super::render;
use super::source::Seen;
use super::webhook::{Outbox, WebhookFigures, Webhooks};
use crate::audit::{Event, Record, ServiceEntry};
use crate::config::{self, Config};
use crate::domain::{RequestId, Timestamp, text};
use crate::hook::wire::{Answer, Outcome, PROTOCOL, Request};
use crate::keyring::{Keyring, Taken};
use crate::store::{self, Store};
use arc_swap::ArcSwap;
use serde::Serialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What one decision works with: configuration and keyring of one moment, never halves of two.
#[derive(Debug)]
pub struct Snapshot {
    /// The configuration.
    pub config: Arc<Config>,
    /// The keyring.
    pub keyring: Keyring,
}

impl Snapshot {
    /// Loads both.
    ///
    /// # Errors
    /// All diagnostics, as text for people.
    pub fn load(path: &Path) -> Result<(Self, Vec<config::Warning>), String> {
        Self::read(path)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n"))
    }

    /// The same with the diagnostics, never none of them.
    pub(super) fn read(path: &Path) -> Result<(Self, Vec<config::Warning>), Vec<config::Diagnostic>> {
        let mut attempts = 0;
        let (loaded, keyring) = loop {
            let loaded = config::load(path).map_err(|e| e.diagnostics().to_vec())?;
            let keyring = Keyring::load(&loaded.config.keyring).map_err(|e| e.diagnostics().to_vec())?;
            let Some(source) = &loaded.config.keyring_source else { break (loaded, keyring) };
            // Rulesets and keyring of one commit, never of two.
            let again = Taken::read(&loaded.config.keyring.dir).map_err(|fault| vec![fault])?;
            let again = again.filter(|(taken, _)| source.is_where(taken)).map(|(_, digest)| digest);
            if again == loaded.config.keyring_taken.as_ref().map(|taken| taken.digest.clone()) {
                break (loaded, keyring);
            }
            attempts += 1;
            if attempts == ATTEMPTS {
                let message = "the keyring is taken over from its source all the time; try again";
                return Err(vec![source.fault(message)]);
            }
        };
        let faults = config::source_faults(&loaded.config, &keyring.keyring);
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut warnings = loaded.warnings;
        warnings.extend(keyring.warnings);
        let snapshot = Snapshot { config: Arc::new(loaded.config), keyring: keyring.keyring };
        warnings.extend(config::lint(&snapshot.config, &snapshot.keyring, &[]));
        Ok((snapshot, warnings))
    }

    /// What is wrong with the files of tenants, for people; none where all is well.
    pub(super) fn tenant_faults(&self) -> Option<String> {
        let faults: Vec<String> = self
            .config
            .tenant_faults()
            .map(|(of, fault)| format!("tenant `{}`: {fault}", of.tenant.name))
            .collect();
        (!faults.is_empty()).then(|| faults.join("\n\n"))
    }

    /// Says loudly whose repositories are undecided now.
    pub(super) fn report_tenants(&self) {
        for one in self.config.tenants.iter().filter(|one| !one.faults.is_empty()) {
            let faults: Vec<String> = one.faults.iter().map(ToString::to_string).collect();
            tracing::error!(
                "the files of tenant `{}` cannot be used: every push to its repositories is undecided\n{}",
                one.tenant.name,
                faults.join("\n\n")
            );
        }
    }

    pub(super) fn entry(&self, error: Option<&str>) -> ServiceEntry {
        let error = error.map(|error| text::escape_short(error.as_bytes(), 2048));
        let mut entry =
            ServiceEntry::new(Some(&self.config.digest), Some(self.keyring.digest()), error.as_deref());
        let faulty = self.config.tenants.iter().filter(|one| !one.faults.is_empty());
        entry.faulty_tenants = faulty.map(|one| one.tenant.name.clone()).collect();
        entry
    }
}

/// How often what changes while it is read is read again.
const ATTEMPTS: usize = 5;

/// Why the gate cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Configuration or keyring; the text has every diagnostic.
    #[error("{0}")]
    Configuration(String),
    /// A hook that decides by itself found no state.
    #[error("there is no state at {0}; `countersign install --standalone` makes it, or restore it")]
    NoState(PathBuf),
    /// The record.
    #[error("error: the state at {path} cannot be used: {error}")]
    Store {
        /// The state directory.
        path: PathBuf,
        /// What is wrong.
        error: store::StoreError,
    },
}

/// The gate.
pub struct Gate {
    source: PathBuf,
    pub(super) store: Store,
    snapshot: ArcSwap<Snapshot>,
    pub(super) live: Live,
    pub(super) changes: Budget,
    pub(super) source_seen: Seen,
    started: Instant,
    /// When the store was last asked whether it can write, and what it said.
    state_asked: Mutex<Option<Instant>>,
    state_error: Mutex<Option<String>>,
    /// When stale updates were last dropped.
    swept: Mutex<Option<Instant>>,
    /// What was said about keys that end.
    pub(super) told: Told,
    /// What is to be told to forges.
    pub(super) outbox: Arc<Outbox>,
    pub(super) webhooks: Webhooks,
    pub(super) metrics: Metrics,
    daemon: bool,
}

/// For how long an accepted update may wait to be seen applied (N10).
const UNAPPLIED: Duration = Duration::from_secs(90 * 24 * 3600);
/// How often the ones that waited longer are dropped.
const SWEEP: Duration = Duration::from_secs(3600);
/// For how long an answer of the store about its health holds.
const STATE_AGE: Duration = Duration::from_secs(1);
/// Connections that were turned away, among the store's counters.
const TURNED_AWAY: &str = "hook";

/// What `GET /health` says.
#[derive(Debug, Serialize)]
pub struct Health {
    /// `ok`, or `degraded` with a reason below.
    pub status: &'static str,
    /// Whether pushes can be decided at all.
    pub ready: bool,
    /// The program's version.
    pub version: &'static str,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// SHA-256 of the configuration in force.
    pub configuration: String,
    /// SHA-256 of the keyring in force.
    pub keyring: String,
    /// Principals in the keyring.
    pub principals: usize,
    /// Keys of the keyring that end soon or have ended.
    pub expiring: Expiring,
    /// Why the last reload was rejected; the last good state is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reload_error: Option<String>,
    /// Why the ref that the keyring follows is not followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_error: Option<String>,
    /// What is wrong with the files of tenants; their repositories are undecided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_errors: Option<String>,
    /// Why the record cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_error: Option<String>,
    /// Connections turned away because of their account.
    pub turned_away: u64,
    /// What forges told, where any are configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhooks: Option<WebhookFigures>,
}

impl Gate {
    /// Loads everything and opens the record, for the daemon.
    pub fn start(path: &Path) -> Result<Self, StartError> {
        let gate = Self::open(path, true)?;
        let snapshot = gate.snapshot.load_full();
        snapshot.report_tenants();
        gate.note_changed_while_away();
        gate.note(Event::Start(snapshot.entry(None)));
        if let Some(why) = gate.store.rolled_back() {
            tracing::error!(%why, "the record is older than its own mark: every push is undecided until `countersign adopt`");
        }
        if let Ok(Some(why)) = gate.store.clock_behind() {
            tracing::error!(%why, "every push is undecided until the clock is right, or `countersign adopt`");
        }
        gate.tell_expiring(Gate::now());
        Ok(gate)
    }

    /// The same without a daemon, in the hook's own process. It needs its state: a hook that made an empty
    /// one would forget what was judged before. `countersign install --standalone` makes it.
    pub fn standalone(path: &Path) -> Result<Self, StartError> {
        Self::open(path, false)
    }

    fn open(path: &Path, daemon: bool) -> Result<Self, StartError> {
        let (snapshot, warnings) = Snapshot::load(path).map_err(StartError::Configuration)?;
        if let (false, Some(source)) = (daemon, &snapshot.config.keyring_source) {
            let message =
                "[keyring.source] needs the daemon: a hook that decides by itself looks at no ref afterwards";
            return Err(StartError::Configuration(source.fault(message).to_string()));
        }
        if daemon {
            for warning in &warnings {
                tracing::warn!("{}", warning.told());
            }
        }
        // A hook that decides by itself takes no deliveries, and needs no secrets.
        let webhooks = match daemon {
            true => Webhooks::start(&snapshot.config).map_err(StartError::Configuration)?,
            false => Webhooks::default(),
        };
        let state = snapshot.config.daemon.state.clone();
        if !daemon && !Store::exists(&state) {
            return Err(StartError::NoState(state));
        }
        let store = Store::open(&state, store::Mode::ReadWrite)
            .map_err(|error| StartError::Store { path: state, error })?;
        let gate = Gate {
            source: snapshot.config.source.clone(),
            store,
            live: Live::new(&snapshot),
            changes: Budget::default(),
            source_seen: Seen::default(),
            snapshot: ArcSwap::from_pointee(snapshot),
            started: Instant::now(),
            state_asked: Mutex::default(),
            state_error: Mutex::default(),
            swept: Mutex::default(),
            told: Told::default(),
            outbox: Arc::default(),
            webhooks,
            metrics: Metrics::default(),
            daemon,
        };
        gate.source_seen.block(gate.source_disagrees(&gate.current().config));
        Ok(gate)
    }

    /// For how long it has been there.
    pub(super) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Where configuration is read from.
    pub(super) fn source(&self) -> &Path {
        &self.source
    }

    /// Puts another state into force.
    pub(super) fn swap(&self, snapshot: Arc<Snapshot>) {
        self.snapshot.store(snapshot);
    }

    /// The snapshot in force.
    ///
    /// # Errors
    /// [`Fault::Stale`] if newer state has been rejected for too long (N15).
    pub(super) fn snapshot(&self) -> Result<Arc<Snapshot>, Fault> {
        let rejected = self.live.rejected();
        let snapshot = self.snapshot.load_full();
        match rejected.as_ref().filter(|rejected| rejected.too_old(&snapshot.config)) {
            Some(rejected) => Err(Fault::Stale { seconds: rejected.age().as_secs() }),
            None => Ok(snapshot),
        }
    }

    /// The snapshot in force, whatever its age.
    pub(super) fn current(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Where to listen, and the mode of the hook socket: others may connect only where other accounts
    /// may ask; who they are is checked in any case.
    pub fn addresses(&self) -> (PathBuf, Option<SocketAddr>, u32) {
        let snapshot = self.snapshot.load();
        let own = rustix::process::geteuid().as_raw();
        let others = snapshot.config.daemon.clients.iter().any(|uid| *uid != own);
        (
            snapshot.config.daemon.socket.clone(),
            snapshot.config.daemon.listen,
            if others { 0o666 } else { 0o600 },
        )
    }

    /// How long one decision may take.
    pub fn deadline(&self) -> Duration {
        self.snapshot.load().config.daemon.deadline
    }

    /// Whether an account may ask over the hook socket (N22).
    pub fn may_ask(&self, uid: u32) -> bool {
        self.snapshot.load().config.daemon.clients.contains(&uid)
    }

    /// Counts a connection that was turned away; a bounded sample is kept, nothing is written (N26).
    pub fn turned_away(&self, who: &str) {
        tracing::debug!(who, "turned away");
        self.store.note_unauthenticated(TURNED_AWAY, who.as_bytes());
    }

    /// The daemon's state.
    pub fn health(&self) -> Health {
        let state_error = self.state_error();
        let rejected = self.live.rejected();
        let snapshot = self.snapshot.load();
        let counters = self.store.unauthenticated();
        let stale = rejected.as_ref().is_some_and(|rejected| rejected.too_old(&snapshot.config));
        let source_error = self.source_seen.fault();
        let ready = state_error.is_none() && !stale && self.source_seen.blocked().is_none();
        let tenant_errors = snapshot.tenant_faults();
        let webhooks = self.webhook_figures();
        let well = rejected.is_none() && tenant_errors.is_none() && source_error.is_none();
        let well = well && !webhooks.as_ref().is_some_and(WebhookFigures::degraded);
        Health {
            status: if ready && well { "ok" } else { "degraded" },
            ready,
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: self.uptime().as_secs(),
            configuration: snapshot.config.digest.clone(),
            keyring: snapshot.keyring.digest().to_owned(),
            principals: snapshot.keyring.principals().len(),
            expiring: self.expiring(),
            reload_error: rejected.as_ref().map(Rejected::error),
            source_error,
            tenant_errors,
            state_error,
            turned_away: counters.iter().filter(|one| one.kind == TURNED_AWAY).map(|one| one.count).sum(),
            webhooks,
        }
    }

    /// Why nothing can be recorded now. Strangers may ask for the health, so the write lock is taken once
    /// a second at most and by one of them at a time; the others hear what was found last.
    fn state_error(&self) -> Option<String> {
        if let Ok(mut asked) = self.state_asked.try_lock()
            && asked.is_none_or(|at| at.elapsed() >= STATE_AGE)
        {
            let found = self.store.check_writable().err().map(|error| error.to_string());
            *self.state_error.lock().unwrap_or_else(PoisonError::into_inner) = found;
            *asked = Some(Instant::now());
        }
        self.state_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Drops accepted updates that git never made (N10), now and then.
    pub(super) fn sweep(&self) {
        let Ok(mut swept) = self.swept.try_lock() else { return };
        if swept.is_some_and(|at| at.elapsed() < SWEEP) {
            return;
        }
        *swept = Some(Instant::now());
        match self.store.drop_stale(Gate::now(), UNAPPLIED) {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "dropped accepted updates that were never applied"),
            Err(error) => tracing::warn!(%error, "cannot drop accepted updates that were never applied"),
        }
    }

    /// How requests get here, for the record.
    pub(super) fn transport(&self) -> &'static str {
        if self.daemon { "unix" } else { "standalone" }
    }

    /// Records the orderly end.
    pub fn stopped(&self) {
        self.write_webhook_counters();
        if self.daemon {
            self.note(Event::Stop(self.current().entry(None)));
        }
    }

    /// An answer that says "undecided", for when there is no way to say more.
    pub fn undecided(&self, request: &Request, fault: &Fault) -> Answer {
        let contact = self.snapshot.load().config.contact.clone();
        let id = request_id(request);
        answer(&id, Outcome::Undecided, render::undecided(fault, &id, contact.as_deref()))
    }

    /// An answer that says "taken".
    pub fn taken(&self, request: &Request) -> Answer {
        answer(&request_id(request), Outcome::Accept, String::new())
    }

    /// Writes a record that nothing waits for.
    pub(super) fn note(&self, event: Event) {
        if let Err(error) = self.store.append(Record::new(Gate::now(), event)) {
            tracing::error!(%error, "cannot write to the audit log");
        }
    }

    /// Now, on the gate's clock: the only reading for one request (N13).
    pub(super) fn now() -> Timestamp {
        Timestamp::now()
    }
}

/// The request's id, or a fresh one where it is malformed; the client notices the difference.
pub(super) fn request_id(request: &Request) -> RequestId {
    RequestId::parse(&request.request_id).unwrap_or_else(|| RequestId::from_random([0; 16]))
}

/// An answer of this version.
pub(super) fn answer(id: &RequestId, outcome: Outcome, text: String) -> Answer {
    Answer {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        request_id: id.as_str().to_owned(),
        outcome,
        text,
    }
}
