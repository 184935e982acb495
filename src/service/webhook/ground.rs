//! Judging one update in a mirror, and writing down what came of it.

use super::derive::Value;
use super::report::{self, Known, Target};
use super::watched::Watched;
use crate::audit::{self, Decision as Entry, Mode, Outcome, Peer, Record, RefEntry};
use crate::domain::{
    ObjectId, ObjectKind, Proof, PushContext, Pusher, RefName, RefUpdate, RepositoryRef, RequestId, text,
};
use crate::facts::{self, Budget, CollectError, Inputs, Present, Updates};
use crate::forge::Actor;
use crate::git::{self, Objects, Patience, Repository};
use crate::policy::{Coverage, Rulesets, evaluate_until};
use crate::service::admit::{Decided, Recorded};
use crate::service::fault::Fault;
use crate::service::gate::{Gate, Snapshot};
use crate::service::record;
use crate::store::{DecidedUpdate, Detected, NewReport};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Among the details of a pusher: the forge's id of the account.
pub(super) const ACCOUNT_ID: &str = "webhook.account-id";

/// What the judging of one repository stands on.
pub(super) struct Ground<'a> {
    pub(super) gate: &'a Gate,
    pub(super) snapshot: &'a Snapshot,
    pub(super) watched: &'a Watched,
    pub(super) stop: &'a AtomicBool,
}

/// What was decided about a case.
pub(super) struct Judgement {
    pub(super) outcome: Outcome,
    pub(super) request: RequestId,
    /// What the forge is told of it.
    pub(super) known: Option<Known>,
}

/// One update, and what is known of how it came about.
pub(super) struct Case {
    pub(super) update: RefUpdate,
    pub(super) pusher: Pusher,
    pub(super) mode: Mode,
    /// The deliveries that are done with it.
    pub(super) finished: Vec<u64>,
    /// What those tell of the ref's moves, which is on record with it.
    pub(super) told: Vec<(Value, Value)>,
    pub(super) proposal: Option<u64>,
}

impl Case {
    /// The moves that are on record once this is.
    fn moves(&self) -> Vec<(RefName, Value, Value)> {
        let looked = (self.mode == Mode::Transient).then_some((self.update.old, self.update.new));
        let all = looked.into_iter().chain(self.told.iter().copied());
        all.map(|(old, new)| (self.update.name.clone(), old, new)).collect()
    }
}

impl Ground<'_> {
    /// Patience for one thing that the network has a part in.
    pub(super) fn patience(&self) -> Patience<'_> {
        Patience { until: Instant::now() + self.watched.deadline, stop: self.stop }
    }

    /// Whether a ref is one that is judged: it lies in a hierarchy that may be pushed at all.
    pub(super) fn watches(&self, name: &RefName) -> bool {
        let hierarchies = &self.snapshot.config.repositories.namespaces;
        hierarchies.iter().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
    }

    /// Who did it, where an event says so of exactly this.
    pub(super) fn pusher(&self, actor: Option<&Actor>) -> Pusher {
        let Some(actor) = actor else { return Pusher::Unknown };
        let keyring = &self.snapshot.keyring;
        let mut details = BTreeMap::from([("webhook.source", self.watched.source.name.clone())]);
        if let Some(id) = &actor.id {
            details.insert(ACCOUNT_ID, id.chars().take(200).collect());
        }
        let holder = self
            .watched
            .accounts
            .and_then(|server| keyring.forge_account_holder(server, actor.id.as_deref(), &actor.login));
        let now = Gate::now();
        let suspended = holder.is_some_and(|holder| {
            keyring.suspension(&holder.name).is_some_and(|suspension| suspension.applies(now))
        });
        if let (true, Some(holder)) = (suspended, holder) {
            details.insert("account.status", format!("{} is suspended", holder.name));
        }
        Pusher::Known {
            name: actor.login.chars().take(256).collect(),
            source: "webhook",
            principal: holder.filter(|_| !suspended).map(Arc::clone),
            proof: Proof::Server,
            details,
        }
    }

    /// Facts and verdict on one update. `present` is what the refs were judged at; `without` is a ref that is taken to
    /// have held nothing.
    pub(super) fn judge(
        &self,
        repository: &Repository,
        present: &[(RefName, ObjectId)],
        context: PushContext,
        update: RefUpdate,
        policy: &Rulesets,
        without: Option<&RefName>,
    ) -> Result<Decided, Fault> {
        let config = &self.snapshot.config;
        let frontier = Recorded::new(&self.gate.store, &self.watched.id)?.without(without);
        let pusher = context.pusher.principal().cloned();
        let (deadline, seconds) = (Instant::now() + config.daemon.deadline, config.daemon.deadline.as_secs());
        let budget = || Budget { deadline, seconds, abandoned: self.stop };
        let facts = facts::collect(Inputs {
            repository,
            context,
            pusher,
            updates: Updates { updates: vec![update], faults: Vec::new() },
            // What was judged last stands in the record, not in the refs of a mirror.
            present: Present::AsItWas(present),
            shallow_push: false,
            policy,
            limits: &config.limits,
            signatures: &config.signatures,
            namespaces: &config.repositories.namespaces,
            allow_symref_push: config.repositories.allow_symref_push,
            keyring: &self.snapshot.keyring,
            frontier: &frontier,
            budget: budget(),
        })
        .map_err(|error| match error {
            CollectError::Abandoned => Fault::ShuttingDown,
            error => Fault::from(error),
        })?;
        let over = || budget().check().is_err();
        let verdict = evaluate_until(&facts, policy, &over).ok_or_else(|| match budget().check().err() {
            Some(CollectError::Abandoned) => Fault::ShuttingDown,
            Some(error) => Fault::from(error),
            None => Fault::Deadline { seconds },
        })?;
        Ok(Decided { facts, verdict })
    }

    /// What is known of a case before it is judged.
    pub(super) fn context(&self, case: &Case) -> Result<PushContext, Fault> {
        let mut random = [0_u8; 16];
        // An id that cannot be guessed: whoever knows it may look at the decision.
        getrandom::fill(&mut random).map_err(|_| Fault::Internal)?;
        Ok(PushContext {
            request_id: RequestId::from_random(random),
            repository: RepositoryRef { id: self.watched.id.clone(), name: self.watched.name.clone() },
            pusher: case.pusher.clone(),
            push_options: Vec::new(),
            received_at: Gate::now(),
        })
    }

    fn blank(&self, context: &PushContext, case: &Case, outcome: Outcome, took: Duration) -> Entry {
        let snapshot = self.snapshot;
        let mut entry = Entry::new(context, outcome, &snapshot.config.digest, snapshot.keyring.digest());
        entry.duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        entry.peer = Some(Peer { transport: "webhook".to_owned(), uid: None, address: None });
        entry.mode = Some(case.mode);
        entry.proposal = case.proposal;
        entry
    }

    /// Judges a case and records it. A move moves what was judged last, accepted or not; any other case leaves it.
    pub(super) fn decide(
        &self,
        repository: &Repository,
        present: &[(RefName, ObjectId)],
        case: &Case,
        policy: &Rulesets,
    ) -> Result<Judgement, Fault> {
        let started = Instant::now();
        let context = self.context(case)?;
        let decided = self.judge(repository, present, context.clone(), case.update.clone(), policy, None)?;
        let outcome = decided.outcome();
        let blank = self.blank(&context, case, outcome, started.elapsed());
        let (record, _, grants) = record::fill(blank, &decided, policy);
        let moves = matches!(case.mode, Mode::Detected | Mode::Unannounced);
        let name = &case.update.name;
        let known =
            decided.verdict.refs.first().map(|reference| Known::of(&decided.verdict, reference, policy));
        let request = Some(&context.request_id);
        let report = known.as_ref().and_then(|known| self.report(repository.objects(), case, known, request));
        let update = DecidedUpdate { reference: name.clone(), old: case.update.old, new: case.update.new };
        let looked = case.update.new.filter(|_| case.mode == Mode::Transient);
        self.gate.store.record_detected(Detected {
            record,
            update: moves.then_some(update),
            values: looked.map(|value| (name.clone(), value)).into_iter().collect(),
            moves: case.moves(),
            // What was there for a while, or is only proposed, is frontier of nothing (N7).
            grants: if moves { grants } else { Vec::new() },
            counted: if moves { record::counted(&decided) } else { Vec::new() },
            tagged_by: if moves { record::tagged_by(&decided) } else { Vec::new() },
            finished: case.finished.clone(),
            reports: report.into_iter().collect(),
        })?;
        self.gate.outbox.ring();
        self.gate.metrics.judged(case.mode, outcome);
        tracing::info!(
            request_id = %context.request_id, repository = %self.watched.name, reference = %name,
            mode = case.mode.name(), outcome = outcome.name(), violations = decided.verdict.violation_count,
            "judged what a forge has"
        );
        Ok(Judgement { outcome, request: context.request_id, known })
    }

    /// Records that a case is undecided. `values` need not be looked at again.
    pub(super) fn undecided(
        &self,
        case: &Case,
        fault: &Fault,
        values: Vec<(RefName, ObjectId)>,
        report: Option<NewReport>,
    ) -> Result<(), Fault> {
        let context = self.context(case)?;
        let mut entry = self.blank(&context, case, Outcome::Undecided, Duration::ZERO);
        if case.update.old.is_some() || case.update.new.is_some() {
            entry.refs.push(RefEntry::new(&case.update, None, audit::Coverage::NotJudged));
        }
        let entry = entry.undecided(fault.code(), &text::escape(fault.to_string().as_bytes()));
        self.gate.store.record_detected(Detected {
            record: Record::decision(entry),
            update: None,
            // One that waits is not done with.
            moves: if values.is_empty() { Vec::new() } else { case.moves() },
            values,
            grants: Vec::new(),
            counted: Vec::new(),
            tagged_by: Vec::new(),
            finished: case.finished.clone(),
            reports: report.into_iter().collect(),
        })?;
        self.gate.metrics.judged(case.mode, Outcome::Undecided);
        tracing::warn!(
            request_id = %context.request_id, repository = %self.watched.name, reference = %case.update.name,
            mode = case.mode.name(), code = fault.code(), %fault, "undecided"
        );
        Ok(())
    }

    /// What the forge is told about the new value of a ref, where it leads to a commit. That nobody judges a ref is said
    /// only where somebody waits for a verdict.
    pub(super) fn report(
        &self,
        objects: &Objects,
        case: &Case,
        known: &Known,
        request: Option<&RequestId>,
    ) -> Option<NewReport> {
        let name = &case.update.name;
        if *known == Known::Uncovered && !self.is_protected(name, None) {
            return None;
        }
        let (commit, _) = git::leads_to(objects, case.update.new?)
            .ok()
            .flatten()
            .filter(|(_, kind)| *kind == ObjectKind::Commit)?;
        // Another tag about the same commit may have been there for a while: that it passed is no consent to what the
        // ref holds, whose verdict stands under the same context.
        let passed = case.mode == Mode::Transient && matches!(known, Known::Accepted { .. });
        let beside = case.proposal.is_some() || passed;
        report::report(&self.target(commit, name, beside), known, request, None, Gate::now())
    }

    /// A commit, for a ref.
    pub(super) fn target<'t>(
        &'t self,
        commit: ObjectId,
        reference: &'t RefName,
        proposed: bool,
    ) -> Target<'t> {
        Target { watched: self.watched, reference, commit, proposed }
    }

    /// Whether an enforcing ruleset judges a ref, so that the forge is told about it (N28).
    pub(super) fn is_protected(&self, name: &RefName, default_branch: Option<&RefName>) -> bool {
        self.snapshot.config.policy.coverage(&self.watched.name, name, default_branch) == Coverage::Ruleset
    }
}
