//! Figures about webhooks, for `GET /health` and metrics.

use super::live::lock;
use super::receive::{BY_TOKEN, TOO_OFTEN, UNAUTHENTIC};
use crate::domain::Timestamp;
use crate::forge::Secrets;
use crate::service::Gate;
use crate::store::StoreError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// For how long figures hold.
const AGE: Duration = Duration::from_secs(1);

/// What becomes of authentic deliveries: the words of [`SourceFigures::deliveries`].
pub const RESULTS: [&str; 8] =
    ["queued", "duplicate", "ping", "ignored", "unlisted", "other-repository", "unreadable", "not-now"];

/// What is going on with webhooks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WebhookFigures {
    /// By the name of the source.
    pub sources: BTreeMap<String, SourceFigures>,
    /// Deliveries that were not authentic, since the start.
    pub unauthentic: u64,
    /// Requests of senders who had failed too often, since the start.
    pub too_often: u64,
    /// Why secrets cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_errors: Option<String>,
    /// Why the listener's certificate is not the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_error: Option<String>,
    /// Why there are no figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What is going on with one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourceFigures {
    /// Authentic deliveries since the state was made, by what became of them, one of [`RESULTS`].
    pub deliveries: BTreeMap<String, u64>,
    /// Those that a token was believed for; absent where it is no way around a signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_token: Option<ByToken>,
    /// When the forge tried the hook out last, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_ping: Option<String>,
    /// When an authentic delivery came last, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_delivery: Option<String>,
    /// Deliveries that wait.
    pub waiting: u64,
    /// For how long the oldest of them has waited, in seconds.
    pub oldest_waiting_seconds: u64,
    /// Refs that are refused as they stand.
    pub refs_unsound: u64,
    /// Reports that are not sent yet.
    pub reports_due: u64,
    /// For how long the oldest of them has waited, in seconds.
    pub oldest_report_seconds: u64,
    /// Reports that the forge does not take.
    pub reports_given_up: u64,
    /// Reports that the forge has no room for, so that it shows an older state.
    pub reports_full: u64,
}

/// Deliveries without a signature, of a source that has a token and a signing secret: as long as some come, the token
/// cannot go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByToken {
    /// How many, since the state was made.
    pub count: u64,
    /// When the last of them came, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

impl WebhookFigures {
    /// Whether somebody has to do something.
    pub fn degraded(&self) -> bool {
        self.secret_errors.is_some() || self.certificate_error.is_some() || self.error.is_some()
    }
}

impl Gate {
    /// What is going on with webhooks; `None` where no source is configured. Strangers may ask for it: it is counted
    /// once a second at most.
    pub fn webhook_figures(&self) -> Option<WebhookFigures> {
        let mut last = lock(&self.webhooks.figures);
        if let Some((at, figures)) = &*last
            && at.elapsed() < AGE
        {
            return figures.clone();
        }
        let figures = self.count_webhooks();
        *last = Some((Instant::now(), figures.clone()));
        figures
    }

    fn count_webhooks(&self) -> Option<WebhookFigures> {
        let current = self.current();
        let certificate_error = lock(&self.webhooks.certificate_error).clone();
        if current.config.sources.is_empty() && certificate_error.is_none() {
            return None;
        }
        let counters = self.store.unauthenticated();
        let count = |kind| counters.iter().find(|one| one.kind == kind).map_or(0, |one| one.count);
        let known = self.webhooks.known.load();
        let faults = &known.faults;
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let mut figures = WebhookFigures {
            unauthentic: count(UNAUTHENTIC),
            too_often: count(TOO_OFTEN),
            secret_errors: (!faults.is_empty()).then(|| faults.join("\n\n")),
            certificate_error,
            ..WebhookFigures::default()
        };
        for source in &current.config.sources {
            let both = known.secrets.get(&source.name).is_some_and(Secrets::token_beside_signing);
            let by_token = both.then(ByToken::default);
            figures
                .sources
                .insert(source.name.clone(), SourceFigures { by_token, ..SourceFigures::default() });
        }
        if let Err(error) = self.fill(&mut figures.sources) {
            figures.error = Some(error.to_string());
        }
        Some(figures)
    }

    fn fill(&self, sources: &mut BTreeMap<String, SourceFigures>) -> Result<(), StoreError> {
        let now = Gate::now();
        let since = |at: Option<Timestamp>| {
            at.map_or(0, |at| u64::try_from(now.as_second() - at.as_second()).unwrap_or(0))
        };
        for counter in self.store.webhook_counters()? {
            let Some(figures) = sources.get_mut(&counter.source) else { continue };
            let last = Some(counter.last.to_string());
            // These are among the others.
            if counter.result == BY_TOKEN {
                figures.by_token = figures.by_token.take().map(|_| ByToken { count: counter.count, last });
                continue;
            }
            match counter.result.as_str() {
                "ping" => figures.last_ping = last,
                _ => figures.last_delivery = last.max(figures.last_delivery.take()),
            }
            figures.deliveries.insert(counter.result, counter.count);
        }
        for queue in self.store.queue_figures()? {
            // A source that is not configured any more may still have work.
            let figures = sources.entry(queue.source).or_default();
            figures.waiting = queue.waiting;
            figures.oldest_waiting_seconds = since(queue.oldest);
        }
        for (repository, count) in self.store.unsound_figures()? {
            // The name of a source has no colon. What nobody watches any more is nobody's trouble.
            let source = repository.0.split(':').next().unwrap_or_default();
            if let Some(figures) = sources.get_mut(source) {
                figures.refs_unsound += count;
            }
        }
        for reports in self.store.report_figures()? {
            let figures = sources.entry(reports.source).or_default();
            figures.reports_due = reports.due;
            figures.oldest_report_seconds = since(reports.oldest);
            figures.reports_given_up = reports.given_up;
            figures.reports_full = reports.full;
        }
        Ok(())
    }
}
