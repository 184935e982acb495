//! Sending what is in the outbox: until the forge took it, the newest state of each context only, and never faster
//! than the forge allows.
//!
//! One thread looks who has something to be told and starts one short-lived thread a source, so that a forge that is
//! down or slow keeps nobody else waiting, and judging never waits at all. Of one source one call is on its way at a
//! time: a verdict cannot be overtaken by the state that it replaced.

use super::carry::{Carrier, Endpoint};
use super::tell::{Ended, not_carried, send};
use crate::config::{ReportIdentity, Reporting, Source};
use crate::domain::{Timestamp, text};
use crate::forge::{
    self, ApiToken, AppError, AppKey, InstallationToken, Outcome, installation_token, read_installation_token,
};
use crate::service::Gate;
use crate::store::{Ending, Held, Report, StoreError};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// How often the outbox is looked at where nobody rings.
const EVERY: Duration = Duration::from_secs(1);
/// Most reports of a source that are read at once.
const AT_ONCE: u32 = 50;
/// The first wait of a report that was not taken, in seconds; it doubles up to the longest.
const FIRST_WAIT: i64 = 5;
const LONGEST_WAIT: i64 = 1800;
/// The same for a source as a whole.
const SOURCE_FIRST_WAIT: i64 = 1;
const SOURCE_LONGEST_WAIT: i64 = 60;
/// Waits of a report that the forge refuses as such, in seconds. Then it is given up: somebody may have given a
/// right in the meantime, or not.
const REFUSED_WAITS: [i64; 3] = [600, 3600, 6 * 3600];
/// The wait where our own configuration or secrets are at fault.
const FAULT_WAIT: i64 = 60;
/// A token is renewed so long before its end.
const RENEW: i64 = 300;

/// What the outbox has in memory. The reports themselves are in the store.
#[derive(Default)]
pub(in crate::service) struct Outbox {
    /// What carries calls; set when the daemon is about to run.
    carrier: OnceLock<Arc<dyn Carrier>>,
    rung: Mutex<bool>,
    bell: Condvar,
    sources: Mutex<HashMap<String, SourceState>>,
}

/// How it goes with one source.
#[derive(Debug, Default)]
struct SourceState {
    /// Nothing is sent before.
    not_before: Option<Timestamp>,
    /// Calls in a row that the forge did not answer, or answered with trouble of its own.
    failures: u32,
    /// What went wrong last; gone once something is taken.
    error: Option<(Timestamp, String)>,
    /// When something was taken last.
    sent: Option<Timestamp>,
    sent_count: u64,
    failed_count: u64,
    /// The token of an App's installation.
    token: Option<(Reporting, InstallationToken)>,
}

/// How the reports of a source fare.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct ReportHealth {
    /// The source.
    pub source: String,
    /// Reports that wait to be sent.
    pub due: u64,
    /// Since when the oldest of them waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<String>,
    /// Reports that the forge does not want.
    pub given_up: u64,
    /// Reports that the forge has no room for: it shows an older state of those commits.
    #[serde(default)]
    pub full: u64,
    /// Calls that the forge took since the start.
    pub sent: u64,
    /// Calls that failed since the start.
    pub failed: u64,
    /// When the forge took something last, since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sent: Option<String>,
    /// What is wrong since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Nothing is sent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outbox {
    /// Says that there is something new.
    pub(in crate::service) fn ring(&self) {
        *lock(&self.rung) = true;
        self.bell.notify_all();
    }

    /// What carries calls.
    pub(super) fn carrier(&self) -> Option<Arc<dyn Carrier>> {
        self.carrier.get().cloned()
    }

    fn wait(&self, most: Duration) {
        let rung = lock(&self.rung);
        let (mut rung, _) =
            self.bell.wait_timeout_while(rung, most, |rung| !*rung).unwrap_or_else(PoisonError::into_inner);
        *rung = false;
    }

    /// The next call is made with another token of the App.
    pub(super) fn forget_token(&self, source: &str) {
        self.with(source, |state| state.token = None);
    }

    fn with<T>(&self, source: &str, work: impl FnOnce(&mut SourceState) -> T) -> T {
        work(lock(&self.sources).entry(source.to_owned()).or_default())
    }
}

/// Sends until it is dropped; what is on its way then is finished.
pub struct Sending {
    ended: Arc<AtomicBool>,
    gate: Arc<Outbox>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.gate.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Starts to send a gate's reports.
///
/// # Errors
/// Where there is no thread to be had.
pub fn send_reports(gate: Arc<Gate>, carrier: Arc<dyn Carrier>) -> std::io::Result<Sending> {
    let ended = Arc::new(AtomicBool::new(false));
    let (over, outbox) = (Arc::clone(&ended), Arc::clone(&gate.outbox));
    // A second one would have nothing else to carry.
    let _ = outbox.carrier.set(Arc::clone(&carrier));
    let thread = std::thread::Builder::new().name("reports".to_owned()).spawn(move || {
        let busy: Arc<Mutex<HashSet<String>>> = Arc::default();
        let mut running: Vec<std::thread::JoinHandle<()>> = Vec::new();
        while !over.load(Ordering::Relaxed) {
            // A defect must not end this in silence.
            let due = catch_unwind(AssertUnwindSafe(|| gate.store.due_sources(Gate::now())));
            match due {
                Ok(Ok(sources)) => {
                    for source in sources {
                        running.extend(start(&gate, &carrier, &busy, &over, source));
                    }
                }
                Ok(Err(error)) => tracing::warn!(%error, "the reports to forges cannot be read"),
                Err(_) => tracing::error!("an internal error while looking for reports"),
            }
            running.retain(|thread| !thread.is_finished());
            gate.outbox.wait(EVERY);
        }
        for thread in running {
            let _ = thread.join();
        }
    })?;
    Ok(Sending { ended, gate: outbox, thread: Some(thread) })
}

/// Starts a thread for a source that has none, and may be asked now.
fn start(
    gate: &Arc<Gate>,
    carrier: &Arc<dyn Carrier>,
    busy: &Arc<Mutex<HashSet<String>>>,
    over: &Arc<AtomicBool>,
    source: String,
) -> Option<std::thread::JoinHandle<()>> {
    let now = Gate::now();
    // No pause is longer: one that is comes of a clock that was set back since.
    let longest = seconds(now, 2 * LONGEST_WAIT.max(forge::LONGEST_WAIT));
    let paused =
        gate.outbox.with(&source, |state| state.not_before.is_some_and(|at| at > now && at <= longest));
    if paused || !lock(busy).insert(source.clone()) {
        return None;
    }
    let (gate, carrier, over) = (Arc::clone(gate), Arc::clone(carrier), Arc::clone(over));
    let (mine, name) = (Arc::clone(busy), source.clone());
    let thread = std::thread::Builder::new().name("reports-source".to_owned()).spawn(move || {
        let sent = catch_unwind(AssertUnwindSafe(|| send_due(&gate, carrier.as_ref(), &over, &source)));
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(source, %error, "what became of a report cannot be noted"),
            Err(_) => {
                tracing::error!(source, "an internal error while sending reports");
                let wait = seconds(Gate::now(), SOURCE_LONGEST_WAIT);
                gate.outbox.with(&source, |state| state.not_before = Some(wait));
            }
        }
        lock(&mine).remove(&source);
    });
    match thread {
        Ok(thread) => Some(thread),
        Err(error) => {
            tracing::warn!(%error, "no thread to send reports with");
            lock(busy).remove(&name);
            None
        }
    }
}

/// Sends what is due of a source, one after the other, until there is no more or the forge wants a pause.
fn send_due(gate: &Gate, carrier: &dyn Carrier, over: &AtomicBool, name: &str) -> Result<(), StoreError> {
    for report in gate.store.due_reports_of(name, Gate::now(), AT_ONCE)? {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let config = Arc::clone(&gate.current().config);
        let (ended, held) = send(gate, carrier, &config, &report)?;
        let now = Gate::now();
        if note(gate, &report, ended, held, now)? == Next::Pause {
            break;
        }
    }
    // There may be more, or a newer state of what was on its way.
    gate.outbox.ring();
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Next {
    Go,
    Pause,
}

fn note(gate: &Gate, report: &Report, ended: Ended, held: Held, now: Timestamp) -> Result<Next, StoreError> {
    let name = &report.report.source;
    if let Ended::Sent | Ended::Unchanged = ended {
        // `false` says that there is a newer one by now, which is sent next.
        gate.store.report_sent(report, now, held)?;
        if let Ended::Sent = ended {
            gate.outbox.with(name, |state| {
                state.failures = 0;
                state.not_before = None;
                state.error = None;
                state.sent = Some(now);
                state.sent_count += 1;
            });
        }
        return Ok(Next::Go);
    }
    let (why, when, pause) = match ended {
        Ended::Sent | Ended::Unchanged => return Ok(Next::Go),
        Ended::Later { at, why, all } => {
            let own = seconds(now, jittered(back_off(report.attempts, FIRST_WAIT, LONGEST_WAIT)));
            let when = at.map_or(own, |at| at.max(own));
            let failures = gate.outbox.with(name, |state| state.failures);
            let short =
                seconds(now, jittered(back_off(failures.into(), SOURCE_FIRST_WAIT, SOURCE_LONGEST_WAIT)));
            let pause = if all { at.map_or(short, |at| at.max(short)) } else { short };
            (why, Ok(when), Some(pause))
        }
        Ended::Fault(why) => {
            let when = seconds(now, jittered(FAULT_WAIT));
            (why, Ok(when), Some(when))
        }
        Ended::Refused(why) => {
            let wait = usize::try_from(report.attempts).ok().and_then(|at| REFUSED_WAITS.get(at));
            (why, wait.map(|wait| seconds(now, jittered(*wait))).ok_or(Ending::GivenUp), None)
        }
        Ended::Full(why) => (why, Err(Ending::Full), None),
    };
    tracing::warn!(
        source = name,
        repository = report.report.repository.0,
        commit = %report.report.commit,
        attempts = report.attempts + 1,
        why,
        given_up = when.is_err(),
        "a report was not taken"
    );
    gate.store.report_failed(report, now, &why, when, held)?;
    gate.outbox.with(name, |state| {
        state.failed_count += 1;
        state.error = Some((now, why));
        if pause.is_some() {
            state.failures = state.failures.saturating_add(1);
            state.not_before = pause;
        }
    });
    Ok(if pause.is_some() { Next::Pause } else { Next::Go })
}

/// Doubles with every attempt.
fn back_off(attempts: u64, first: i64, longest: i64) -> i64 {
    let factor = 1_i64.checked_shl(u32::try_from(attempts).unwrap_or(u32::MAX).min(30)).unwrap_or(i64::MAX);
    first.saturating_mul(factor).min(longest)
}

/// Between that and half as much again, so that not everybody comes at once.
fn jittered(wait: i64) -> i64 {
    let mut random = [0; 2];
    // Without chance it is that.
    let _ = getrandom::fill(&mut random);
    wait + wait * i64::from(u16::from_le_bytes(random)) / (2 * i64::from(u16::MAX))
}

/// So many seconds later.
pub(super) fn seconds(now: Timestamp, wait: i64) -> Timestamp {
    Timestamp::from_millisecond(now.as_millisecond().saturating_add(wait.saturating_mul(1000)))
        .unwrap_or(Timestamp::MAX)
}

/// Where the API of a source is.
pub(super) fn endpoint(reporting: &Reporting) -> Endpoint {
    Endpoint { base: reporting.api.clone(), authority: reporting.authority.clone() }
}

/// What the API of a source is asked with: the configured token, or one that its App is given.
pub(super) fn api_token(
    gate: &Gate,
    carrier: &dyn Carrier,
    source: &Source,
    reporting: &Reporting,
) -> Result<ApiToken, Ended> {
    let now = Gate::now();
    let known = gate.outbox.with(&source.name, |state| {
        let (of, token) = state.token.as_ref()?;
        let good = of == reporting && token.expires.as_second() - now.as_second() > RENEW;
        good.then(|| token.token.clone())
    });
    if let Some(token) = known {
        return Ok(token);
    }
    let made = new_token(carrier, reporting, now)?;
    if let Some(expires) = made.expires {
        let token = InstallationToken { token: made.token.clone(), expires };
        gate.outbox.with(&source.name, |state| state.token = Some((reporting.clone(), token)));
    }
    Ok(made.token)
}

struct Made {
    token: ApiToken,
    /// Absent for one that is configured, which is read anew each time.
    expires: Option<Timestamp>,
}

fn new_token(carrier: &dyn Carrier, reporting: &Reporting, now: Timestamp) -> Result<Made, Ended> {
    let fault =
        |error: &dyn std::fmt::Display| Ended::Fault(text::escape_short(error.to_string().as_bytes(), 300));
    match &reporting.identity {
        ReportIdentity::Token(place) => {
            let token = place.read().map_err(|error| fault(&error))?;
            Ok(Made { token: ApiToken { user: reporting.user.clone(), token }, expires: None })
        }
        ReportIdentity::App { id, installation, key } => {
            let pem = key.read().map_err(|error| fault(&error))?;
            let app = |error: AppError| fault(&error);
            let jwt = AppKey::from_pem(&pem).and_then(|key| key.token(id, now)).map_err(app)?;
            let call = installation_token(installation, &[], &jwt).map_err(app)?;
            let reply = carrier
                .carry(&endpoint(reporting), &call, reporting.deadline)
                .map_err(|error| not_carried(&error))?;
            match forge::outcome(forge::ForgeKind::GitHub, &reply, now) {
                Outcome::Sent => {
                    let made = read_installation_token(&reply).map_err(app)?;
                    Ok(Made { token: made.token, expires: Some(made.expires) })
                }
                // Without a token nothing can be sent at all.
                Outcome::RetryAt { at, why, .. } => {
                    Err(Ended::Later { at: Some(at), why: format!("no token for the App: {why}"), all: true })
                }
                Outcome::Rejected(why) | Outcome::Full(why) => {
                    Err(Ended::Fault(format!("no token for the App: {why}")))
                }
            }
        }
    }
}

impl Gate {
    /// How the reports of each source fare; sorted by name.
    ///
    /// # Errors
    /// The outbox cannot be read.
    pub fn report_health(&self) -> Result<Vec<ReportHealth>, StoreError> {
        let mut all: HashMap<String, ReportHealth> = HashMap::new();
        for source in &self.current().config.sources {
            if source.report.is_some() {
                let health = ReportHealth { source: source.name.clone(), ..ReportHealth::default() };
                all.insert(source.name.clone(), health);
            }
        }
        for figures in self.store.report_figures()? {
            let one = all.entry(figures.source.clone()).or_default();
            one.source = figures.source;
            (one.due, one.given_up, one.full) = (figures.due, figures.given_up, figures.full);
            one.oldest = figures.oldest.map(shown);
        }
        let now = Gate::now();
        for (name, state) in lock(&self.outbox.sources).iter() {
            let Some(one) = all.get_mut(name) else { continue };
            (one.sent, one.failed) = (state.sent_count, state.failed_count);
            one.last_sent = state.sent.map(shown);
            one.error = state.error.as_ref().map(|(_, why)| why.clone());
            one.paused_until = state.not_before.filter(|at| *at > now).map(shown);
        }
        let mut all: Vec<ReportHealth> = all.into_values().collect();
        all.sort_by(|a, b| a.source.cmp(&b.source));
        Ok(all)
    }
}

fn shown(at: Timestamp) -> String {
    format!("{at:.0}")
}
