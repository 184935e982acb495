//! What operators see of the webhooks of a running gate.

use super::figures::ByToken;
use super::live::lock;
use super::operate::OperateError;
use super::outbox::ReportHealth;
use crate::config::Source;
use crate::domain::{ObjectId, RefName, text};
use crate::service::Gate;
use crate::store::{ReportProgress, Unsound};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where an operator asks for a [`WebhookStatus`].
pub const WEBHOOK_STATUS_PATH: &str = "/webhooks/v1/status";

/// Most reports that are shown of those that were not taken.
const SHOWN: usize = 20;
/// Of how many of the newest reports those are looked for.
const LOOKED_AT: u32 = 1000;

/// The webhooks of a running gate. All texts are escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookStatus {
    /// The sources, in the order of the configuration.
    pub sources: Vec<SourceStatus>,
    /// Deliveries that were not authentic, since the start.
    pub unauthentic: u64,
    /// Why secrets cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_errors: Option<String>,
    /// Why the listener's certificate is not the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_error: Option<String>,
}

/// One source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its name.
    pub name: String,
    /// Its kind of forge.
    pub forge: String,
    /// The path that it delivers to.
    pub path: String,
    /// Deliveries by what became of them.
    pub deliveries: BTreeMap<String, u64>,
    /// Those that a token was believed for, beside a signing secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_token: Option<ByToken>,
    /// When one came last, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_delivery: Option<String>,
    /// When the forge tried the hook out last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ping: Option<String>,
    /// Deliveries that wait to be judged.
    pub waiting: u64,
    /// For how long the oldest of them has waited, in seconds.
    pub oldest_waiting_seconds: u64,
    /// How telling the forge goes; absent where it is told nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reports: Option<ReportHealth>,
    /// Reports that were not taken, newest first.
    pub troubled: Vec<TroubledReport>,
    /// The repositories.
    pub repositories: Vec<RepositoryStatus>,
}

/// One watched repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryStatus {
    /// Its configured name.
    pub name: String,
    /// The forge's id of it; absent until it is learnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether somebody has adopted it, so that it is judged (N9).
    pub adopted: bool,
    /// Deliveries that wait.
    pub waiting: u64,
    /// Why they wait, or why the repository cannot be judged though none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// For how long it could not be judged, in seconds; 0 where it can be.
    #[serde(default)]
    pub stuck_seconds: u64,
    /// The refs that are refused as they stand.
    #[serde(default)]
    pub unsound: Vec<UnsoundRef>,
}

/// A ref whose last move was refused, so that its next one is judged from what it held before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsoundRef {
    /// Its full name, escaped.
    #[serde(rename = "ref")]
    pub name: String,
    /// What it holds; absent where it is gone.
    pub tip: Option<String>,
    /// What it held when it was last sound; absent where it was not there.
    pub sound: Option<String>,
    /// The request whose decision refused what it holds.
    pub refused_by: String,
    /// Since when it is so, RFC 3339.
    pub since: String,
}

impl UnsoundRef {
    /// What is shown of a ref.
    pub fn of(name: &RefName, unsound: &Unsound) -> Self {
        let text = |id: Option<ObjectId>| id.map(|id| id.to_string());
        UnsoundRef {
            name: name.to_string(),
            tip: text(unsound.tip),
            sound: text(unsound.sound),
            refused_by: unsound.refused_by.as_str().to_owned(),
            since: crate::audit::rfc3339_ms(unsound.since),
        }
    }

    /// In a sentence.
    pub fn line(&self) -> String {
        let short =
            |id: &Option<String>| id.as_deref().map_or("nothing", |id| id.get(..10).unwrap_or(id)).to_owned();
        format!(
            "{} is refused at {} (decision {}), since {}; it is judged from {}",
            self.name,
            short(&self.tip),
            self.refused_by,
            self.since,
            short(&self.sound)
        )
    }
}

/// A report that was not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TroubledReport {
    /// The commit.
    pub commit: String,
    /// The context.
    pub context: String,
    /// How often it was tried.
    pub attempts: u64,
    /// Whether it is not tried any more.
    pub given_up: bool,
    /// Why it was not taken.
    pub why: String,
}

impl Gate {
    /// The state of all webhooks.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn webhook_status(&self) -> Result<WebhookStatus, OperateError> {
        let config = Arc::clone(&self.current().config);
        let figures = self.webhook_figures().unwrap_or_default();
        let mut health: BTreeMap<String, ReportHealth> =
            self.report_health()?.into_iter().map(|one| (one.source.clone(), one)).collect();
        let reports = self.store.reports(LOOKED_AT)?;
        let mut sources = Vec::new();
        for source in &config.sources {
            let own = figures.sources.get(&source.name).cloned().unwrap_or_default();
            let troubled = reports.iter().filter(|one| one.report.source == source.name);
            let troubled = troubled.filter(|one| !matches!(one.progress, ReportProgress::Sent(_)));
            let troubled = troubled.filter_map(|one| {
                Some(TroubledReport {
                    commit: one.report.commit.to_string(),
                    context: text::escape(one.report.context.as_bytes()),
                    attempts: one.attempts,
                    given_up: matches!(one.progress, ReportProgress::GivenUp(_) | ReportProgress::Full(_)),
                    why: one.note.clone()?,
                })
            });
            sources.push(SourceStatus {
                name: source.name.clone(),
                forge: source.forge.name().to_owned(),
                path: source.path.clone(),
                deliveries: own.deliveries,
                by_token: own.by_token,
                last_delivery: own.last_delivery,
                last_ping: own.last_ping,
                waiting: own.waiting,
                oldest_waiting_seconds: own.oldest_waiting_seconds,
                reports: health.remove(&source.name),
                troubled: troubled.take(SHOWN).collect(),
                repositories: self.watched_repositories(source)?,
            });
        }
        Ok(WebhookStatus {
            sources,
            unauthentic: figures.unauthentic,
            secret_errors: figures.secret_errors,
            certificate_error: figures.certificate_error,
        })
    }

    fn watched_repositories(&self, source: &Source) -> Result<Vec<RepositoryStatus>, OperateError> {
        let learnt = self.store.forge_repositories()?;
        let queued = self.store.queued_repositories()?;
        let mut all = Vec::new();
        for one in &source.repositories {
            let known = || {
                let mut found = learnt.iter().filter(|entry| {
                    entry.source == source.name && entry.name.eq_ignore_ascii_case(&one.name)
                });
                found.next().map(|entry| entry.id.clone())
            };
            let id = one.id.clone().or_else(known);
            let mut status =
                RepositoryStatus { name: one.name.clone(), id: id.clone(), ..Default::default() };
            if let Some(id) = id {
                let identity = crate::domain::RepositoryId(format!("{}:{id}", source.name));
                status.adopted = self.store.is_watched(&identity)?;
                let unsound = self.store.unsound_refs(&identity)?;
                status.unsound = unsound.iter().map(|(name, one)| UnsoundRef::of(name, one)).collect();
                status.waiting =
                    queued.iter().find(|one| one.repository == identity).map_or(0, |one| one.waiting);
                if status.waiting > 0 {
                    let first = self.store.queued_deliveries(&identity)?.into_iter().find_map(|one| one.note);
                    status.why = first;
                }
                if let Some((since, why)) = lock(&self.webhooks.waits).get(&identity) {
                    status.stuck_seconds = since.elapsed().as_secs();
                    status.why = status.why.or_else(|| Some(why.clone()));
                }
            }
            all.push(status);
        }
        Ok(all)
    }
}
