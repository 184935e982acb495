//! Taking deliveries: authenticate over the raw bytes, understand, look up, queue. Nothing is judged here.

use super::live::lock;
use crate::config::{Source, SourceRepository};
use crate::domain::{RepositoryId, Timestamp, text};
use crate::forge::{self, Event, ForgeRepository, Headers};
use crate::service::Gate;
use crate::store::{Accepted, NewDelivery, Pinned, StoreError};
use std::fmt::Arguments;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Deliveries that were not authentic, among the store's counters (N26).
pub(super) const UNAUTHENTIC: &str = "webhook";
/// Deliveries that were not even looked at, because their sender failed too often.
pub(super) const TOO_OFTEN: &str = "webhook-too-often";

/// Deliveries without a signature where signed ones are expected, too; counted besides what becomes of them.
pub(super) const BY_TOKEN: &str = "by-token";

/// How often faults are told in the log.
const COMPLAIN: Duration = Duration::from_secs(5);

/// A delivery as it came.
#[derive(Debug)]
pub struct Delivered<'a> {
    /// The name of the source at whose path it came.
    pub source: &'a str,
    /// Who sent it, as far as that is known.
    pub from: IpAddr,
    /// Its headers.
    pub headers: &'a Headers,
    /// Its body, as it came over the wire.
    pub body: &'a [u8],
}

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// On disk, and going to be judged.
    Queued,
    /// It came before.
    Duplicate,
    /// The forge tries the hook out.
    Ping,
    /// Authentic, and of no interest: another event, another repository, or nothing that can be read.
    Ignored(&'static str),
    /// Nobody knows who sent it; why, for people.
    Unauthentic(String),
    /// Authentic, perhaps, and there is no way to take it now; why, for people.
    NotNow(&'static str),
}

impl Gate {
    /// How long a sender who failed too often is not listened to yet; counts it.
    pub fn not_listening(&self, from: IpAddr) -> Option<Duration> {
        let left = lock(&self.webhooks.failures).over(from, Instant::now())?;
        self.store.note_unauthenticated(TOO_OFTEN, from.to_string().as_bytes());
        Some(left)
    }

    /// Takes a delivery. Where this says [`Received::Queued`] it is on disk.
    pub fn receive(&self, delivered: &Delivered<'_>) -> Received {
        let now = Gate::now();
        let received = self.take(delivered, now);
        if received == Received::Queued {
            lock(&self.webhooks.failures).heard(delivered.from, Instant::now());
        }
        let result = match &received {
            Received::Queued => "queued",
            Received::Duplicate => "duplicate",
            Received::Ping => "ping",
            Received::Ignored(why) => why,
            Received::NotNow(_) => "not-now",
            Received::Unauthentic(why) => {
                lock(&self.webhooks.failures).note(delivered.from, Instant::now());
                // A secret may be in any header of it, and anything in its body.
                let sample = format!("{} from {}: {why}", delivered.source, delivered.from);
                self.store.note_unauthenticated(UNAUTHENTIC, sample.as_bytes());
                return received;
            }
        };
        self.store.count_webhook(delivered.source, result, now);
        received
    }

    fn take(&self, delivered: &Delivered<'_>, now: Timestamp) -> Received {
        let snapshot = self.current();
        let Some(source) = snapshot.config.sources.iter().find(|one| one.name == delivered.source) else {
            return Received::NotNow("this source was just taken out of the configuration");
        };
        let known = self.webhooks.known.load();
        let Some(secrets) = known.secrets.get(&source.name).filter(|secrets| !secrets.is_empty()) else {
            self.complain(
                "secret",
                format_args!("source `{}`: no secret can be read, so no delivery can be taken", source.name),
            );
            return Received::NotNow("the gate cannot read its secret");
        };
        let authentic =
            match forge::authenticate(source.forge, secrets, delivered.headers, delivered.body, now) {
                Ok(authentic) => authentic,
                Err(error) => {
                    tracing::debug!(source = %source.name, from = %delivered.from, %error, "not authentic");
                    return Received::Unauthentic(error.to_string());
                }
            };
        if secrets.token_beside_signing() && !authentic.is_signed() {
            self.store.count_webhook(&source.name, BY_TOKEN, now);
        }
        let event = match forge::parse(&authentic) {
            Ok(event) => event,
            Err(error) => {
                let source = &source.name;
                self.complain(
                    "unreadable",
                    format_args!("source `{source}`: an authentic delivery cannot be read: {error}"),
                );
                return Received::Ignored("unreadable");
            }
        };
        let repository = match &event {
            Event::Push(push) => &push.repository,
            Event::Proposal(proposal) => &proposal.repository,
            Event::Ping(_) => return Received::Ping,
            Event::Ignored(_) => return Received::Ignored("ignored"),
        };
        let repository = match self.watched_as(source, repository, now) {
            Ok(Ok(repository)) => repository,
            Ok(Err(why)) => return Received::Ignored(why),
            Err(error) => return self.unable(&error),
        };
        let Ok(stored) = serde_json::to_string(&event) else {
            return Received::Ignored("unreadable");
        };
        let new = NewDelivery {
            source: source.name.clone(),
            id: authentic.delivery().map(str::to_owned),
            id_signed: authentic.is_signed(),
            digest: authentic.digest(),
            repository: repository.clone(),
            event: stored,
            received: now,
        };
        match self.store.accept_delivery(new) {
            Ok(Accepted::Queued(number)) => {
                tracing::debug!(source = %source.name, number, "queued");
                self.ring();
                Received::Queued
            }
            Ok(Accepted::Duplicate(_)) => {
                if !authentic.is_signed() {
                    self.hint(repository);
                }
                Received::Duplicate
            }
            Ok(Accepted::Full) => {
                self.complain("full", format_args!("source `{}`: the queue is full", source.name));
                Received::NotNow("the queue is full")
            }
            Err(error) => self.unable(&error),
        }
    }

    /// Which of the watched repositories a delivery is about, or why none (N3): the id decides. A name only decides
    /// where its id was never seen, and a name that has an id belongs to no other.
    fn watched_as(
        &self,
        source: &Source,
        told: &ForgeRepository,
        now: Timestamp,
    ) -> Result<Result<RepositoryId, &'static str>, StoreError> {
        let id = RepositoryId(format!("{}:{}", source.name, told.id));
        if source.repositories.iter().any(|one| one.id.as_ref() == Some(&told.id)) {
            return Ok(Ok(id));
        }
        let learnt = |one: &&SourceRepository| one.id.is_none();
        if let Some(name) = self.store.forge_repository_name(&source.name, &told.id)?
            && source.repository(&name).as_ref().is_some_and(learnt)
        {
            return Ok(Ok(id));
        }
        let Some(named) = source.repository(&told.path) else { return Ok(Err("unlisted")) };
        let other = |by: &str| {
            let (id, by) = (short(&told.id), short(by));
            self.complain("other", format_args!(
                "source `{}`: another repository ({id}, known is {by}) has taken the place of `{}`, and is ignored",
                source.name, named.name
            ));
            Ok(Err("other-repository"))
        };
        if let Some(by) = &named.id {
            return other(by);
        }
        match self.store.pin_forge_repository(&source.name, &told.id, &named.name, now)? {
            Pinned::Taken { by } => other(&by),
            Pinned::Known => Ok(Ok(id)),
            Pinned::New => {
                tracing::info!(source = %source.name, repository = %named.name, id = %id.0, "first heard of");
                Ok(Ok(id))
            }
            Pinned::Renamed { from } => {
                let from = text::escape(from.as_bytes());
                tracing::info!(source = %source.name, repository = %named.name, %from, id = %id.0, "renamed");
                Ok(Ok(id))
            }
        }
    }

    /// "No" and "could not tell" are different values: the forge may try again.
    fn unable(&self, error: &StoreError) -> Received {
        self.complain("store", format_args!("cannot take a delivery: {error}"));
        Received::NotNow("the gate cannot write its record")
    }

    /// Says loudly what somebody has to look into, now and then: whoever has caught a delivery can send it again
    /// and again, and must not be able to fill the log (N26). The counters have all of it.
    fn complain(&self, kind: &'static str, what: Arguments<'_>) {
        let last = lock(&self.webhooks.complained).get(kind).copied();
        if last.is_some_and(|at| at.elapsed() < COMPLAIN) {
            tracing::debug!("{what}");
            return;
        }
        lock(&self.webhooks.complained).insert(kind, Instant::now());
        tracing::error!("{what}");
    }
}

fn short(id: &str) -> String {
    text::escape_short(id.as_bytes(), 100)
}
