//! Numbers for a monitoring system, in the text format of OpenMetrics: the only module that names
//! `prometheus_client`.
//!
//! What happens is counted where it happens, through [`Metrics`]; what can be looked up is looked up when somebody
//! asks, as a [`Reading`]. Labels are words of this program, by their type, and names of sources, which the
//! configuration gives: no name of a ref, a repository or a person, which whoever pushes could choose, is ever one.

use super::expiry::Expiring;
use super::fault::Fault;
use super::gate::Gate;
use super::webhook::{RESULTS, SourceFigures, WebhookFigures};
use crate::audit;
use crate::policy::{Decision, Enforcement, RulesetVerdict, Verdict};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The content type of [`Gate::metrics`].
pub const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper ends of the latency's buckets, seconds: the last one is the usual deadline.
const SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// For how long what the record says of itself holds. Strangers may ask.
const RECORD_AGE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    outcome: &'static str,
    mode: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Because {
    fault: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Within {
    days: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Judged {
    mode: &'static str,
    outcome: &'static str,
}

/// A source, by its name in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Taken {
    source: String,
    result: String,
}

/// What is counted while it happens. New kinds of events get their counters here.
#[derive(Debug)]
pub(super) struct Metrics {
    decisions: Family<Answered, Counter>,
    undecided: Family<Because, Counter>,
    judged: Family<Judged, Counter>,
    latency: Histogram,
    record: Mutex<Option<(Instant, InRecord)>>,
}

/// What the record says of itself; nothing where it cannot be read.
#[derive(Clone, Copy, Debug, Default)]
struct InRecord {
    length: Option<u64>,
    pending: Option<u64>,
}

/// What is looked up when somebody asks.
#[derive(Debug)]
struct Reading {
    uptime: Duration,
    ready: bool,
    faulty_tenants: usize,
    record: InRecord,
    /// For how long newer files have been rejected.
    rejected: Option<Duration>,
    principals: usize,
    keys: usize,
    authorities: usize,
    expiring: Expiring,
    turned_away: u64,
    webhooks: Option<WebhookFigures>,
}

impl Default for Metrics {
    /// All series are there from the start, at zero: the first event of a kind is a rise like any other.
    fn default() -> Self {
        let (decisions, undecided) = (Family::<Answered, Counter>::default(), Family::default());
        for (mode, outcome) in [
            (Enforcement::Enforce, "accept"),
            (Enforcement::Enforce, "refuse"),
            (Enforcement::Enforce, "undecided"),
            (Enforcement::Evaluate, "accept"),
            (Enforcement::Evaluate, "refuse"),
        ] {
            let _ = decisions.get_or_create(&Answered { outcome, mode: mode.name() });
        }
        for fault in Fault::CODES {
            let _ = undecided.get_or_create(&Because { fault });
        }
        let judged = Family::default();
        use audit::{Mode, Outcome};
        for mode in [Mode::Detected, Mode::Unannounced, Mode::Transient, Mode::Proposed] {
            for outcome in [Outcome::Accept, Outcome::Refuse, Outcome::Undecided] {
                let _ = judged.get_or_create(&Judged { mode: mode.name(), outcome: outcome.name() });
            }
        }
        Metrics { decisions, undecided, judged, latency: Histogram::new(SECONDS), record: Mutex::default() }
    }
}

impl Metrics {
    /// A push was decided. What rulesets under evaluation would have said counts besides.
    pub(super) fn decided(&self, verdict: &Verdict) {
        self.answered(verdict.decision.name(), Enforcement::Enforce);
        let evaluated = |set: &RulesetVerdict| set.enforcement == Enforcement::Evaluate && !set.exempt;
        if verdict.refs.iter().flat_map(|one| &one.rulesets).any(evaluated) {
            let would = if verdict.advisory_count == 0 { Decision::Accept } else { Decision::Refuse };
            self.answered(would.name(), Enforcement::Evaluate);
        }
    }

    /// A push could not be decided.
    pub(super) fn undecided(&self, fault: &Fault) {
        self.answered("undecided", Enforcement::Enforce);
        self.undecided.get_or_create(&Because { fault: fault.code() }).inc();
    }

    /// What a forge had was judged, or could not be.
    pub(super) fn judged(&self, mode: audit::Mode, outcome: audit::Outcome) {
        self.judged.get_or_create(&Judged { mode: mode.name(), outcome: outcome.name() }).inc();
    }

    fn answered(&self, outcome: &'static str, mode: Enforcement) {
        self.decisions.get_or_create(&Answered { outcome, mode: mode.name() }).inc();
    }

    fn text(&self, now: &Reading) -> Result<String, std::fmt::Error> {
        let mut all = Registry::with_prefix("countersign");
        let put = &mut all;
        put.register("build", "The program that runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        seconds(put, "uptime", "Time since the start", now.uptime);
        gauge(put, "ready", "Whether pushes can be decided at all, 1 or 0", u64::from(now.ready));
        let help =
            "Pushes by what was answered (enforce), and what rulesets under evaluation would have (evaluate)";
        put.register("decisions", help, self.decisions.clone());
        put.register("undecided", "Pushes that could not be decided, by the cause", self.undecided.clone());
        let help = "Time from the arrival of a request to its answer";
        put.register_with_unit("decision_duration", help, Unit::Seconds, self.latency.clone());
        if let Some(length) = now.record.length {
            gauge(put, "audit_log_records", "Records in the audit log", length);
        }
        if let Some(pending) = now.record.pending {
            gauge(
                put,
                "pending_updates",
                "Accepted updates of refs that git was not yet seen to make",
                pending,
            );
        }
        let rejected = u64::from(now.rejected.is_some());
        gauge(
            put,
            "reload_rejected",
            "Whether the files are rejected and the last good ones decide, 1 or 0",
            rejected,
        );
        let age = now.rejected.unwrap_or_default();
        seconds(put, "reload_rejected_age", "For how long they have been; 0 where they are not", age);
        gauge(put, "faulty_tenants", "Tenants whose files cannot be used", now.faulty_tenants);
        gauge(put, "keyring_principals", "Principals of the keyring in force", now.principals);
        gauge(put, "keyring_keys", "Keys of the keyring in force", now.keys);
        gauge(
            put,
            "keyring_authorities",
            "SSH certification authorities of the keyring in force",
            now.authorities,
        );
        let ending = Family::<Within, Gauge>::default();
        for (days, count) in [(7, now.expiring.within_7_days), (30, now.expiring.within_30_days)] {
            ending.get_or_create(&Within { days }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        put.register(
            "keyring_keys_ending",
            "Keys and authorities that are good and end within so many days",
            ending,
        );
        let ended = now.expiring.expired;
        gauge(put, "keyring_keys_ended", "Keys and authorities that have ended and are still there", ended);
        let help = "Connections and requests from whom nobody listens to";
        put.register("turned_away", help, ConstCounter::new(now.turned_away));
        let help = "What forges had, by how it was found (mode) and judged";
        put.register("webhook_judged", help, self.judged.clone());
        if let Some(webhooks) = &now.webhooks {
            of_webhooks(put, webhooks);
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &all)?;
        Ok(text)
    }
}

/// What is going on with the sources of webhooks.
fn of_webhooks(registry: &mut Registry, figures: &WebhookFigures) {
    let deliveries = Family::<Taken, Counter>::default();
    for (source, one) in &figures.sources {
        for result in RESULTS {
            let labels = Taken { source: source.clone(), result: (*result).to_owned() };
            let _ = deliveries.get_or_create(&labels);
        }
        for (result, count) in &one.deliveries {
            let labels = Taken { source: source.clone(), result: result.clone() };
            deliveries.get_or_create(&labels).inc_by(*count);
        }
    }
    let help = "Authentic deliveries since the state was made, by what became of them";
    registry.register("webhook_deliveries", help, deliveries);
    let each = |value: &dyn Fn(&SourceFigures) -> u64| {
        let family = Family::<Of, Gauge>::default();
        for (source, one) in &figures.sources {
            let value = i64::try_from(value(one)).unwrap_or(i64::MAX);
            family.get_or_create(&Of { source: source.clone() }).set(value);
        }
        family
    };
    registry.register("webhook_waiting", "Deliveries that are not judged yet", each(&|one| one.waiting));
    let help = "For how long the oldest of them has waited";
    let oldest = each(&|one| one.oldest_waiting_seconds);
    registry.register_with_unit("webhook_waiting_age", help, Unit::Seconds, oldest);
    let help = "Refs that are refused as they stand";
    registry.register("webhook_refs_unsound", help, each(&|one| one.refs_unsound));
    registry.register("webhook_reports_due", "Reports that are not sent yet", each(&|one| one.reports_due));
    let help = "For how long the oldest of them has waited";
    let oldest = each(&|one| one.oldest_report_seconds);
    registry.register_with_unit("webhook_reports_due_age", help, Unit::Seconds, oldest);
    let help = "Reports that the forge does not take";
    registry.register("webhook_reports_given_up", help, each(&|one| one.reports_given_up));
    let help = "Deliveries that a token was believed for, although signing is configured";
    let by_token = each(&|one| one.by_token.as_ref().map_or(0, |by_token| by_token.count));
    registry.register("webhook_by_token", help, by_token);
    let help = "Reports that the forge has no room for, so that it shows an older state";
    registry.register("webhook_reports_full", help, each(&|one| one.reports_full));
    let help = "Deliveries that were not authentic";
    registry.register("webhook_unauthentic", help, ConstCounter::new(figures.unauthentic));
    let help = "Requests of senders who had failed too often";
    registry.register("webhook_too_often", help, ConstCounter::new(figures.too_often));
    let trouble = u64::from(figures.degraded());
    gauge(
        registry,
        "webhook_trouble",
        "Whether secrets, certificate or figures cannot be used, 1 or 0",
        trouble,
    );
}

fn gauge<N>(registry: &mut Registry, name: &str, help: &str, value: N)
where
    N: TryInto<i64>,
{
    registry.register(name, help, ConstGauge::new(value.try_into().unwrap_or(i64::MAX)));
}

fn seconds(registry: &mut Registry, name: &str, help: &str, value: Duration) {
    registry.register_with_unit(name, help, Unit::Seconds, ConstGauge::new(value.as_secs_f64()));
}

impl Gate {
    /// The numbers, as text of the type [`METRICS_TYPE`].
    ///
    /// # Errors
    /// The text cannot be made.
    pub fn metrics(&self) -> Result<String, std::fmt::Error> {
        let health = self.health();
        let snapshot = self.current();
        let reading = Reading {
            uptime: self.uptime(),
            ready: health.ready,
            faulty_tenants: snapshot.config.tenants.iter().filter(|one| !one.faults.is_empty()).count(),
            record: self.in_record(),
            rejected: self.live.rejected().as_ref().map(super::reload::Rejected::age),
            principals: health.principals,
            keys: snapshot.keyring.keys().len(),
            authorities: snapshot.keyring.authorities().len(),
            expiring: health.expiring,
            turned_away: health.turned_away,
            webhooks: health.webhooks,
        };
        self.metrics.text(&reading)
    }

    /// How long it took to answer a push, waiting for a worker included.
    pub fn answered_after(&self, took: Duration) {
        self.metrics.latency.observe(took.as_secs_f64());
    }

    /// A client of ours sent something that is no request, which leaves its push undecided.
    pub fn not_understood(&self) {
        self.metrics.undecided(&Fault::Protocol(String::new()));
    }

    fn in_record(&self) -> InRecord {
        let mut known = self.metrics.record.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, found)) = *known
            && at.elapsed() < RECORD_AGE
        {
            return found;
        }
        let length = self.store.head().ok().map(|head| head.seq);
        let found = InRecord { length, pending: self.store.pending_count().ok() };
        *known = Some((Instant::now(), found));
        found
    }
}
