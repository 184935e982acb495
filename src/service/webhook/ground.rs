//! Judging one update in a mirror, and writing down what came of it.

use super::derive::Value;
use super::report::{self, Known, Target};
use super::sound::Standing;
use super::watched::Watched;
use crate::audit::{self, Decision as Entry, Event, JudgedFrom, Mode, Outcome, Peer, Record, RefEntry};
use crate::domain::{
    ObjectId, ObjectKind, Proof, PushContext, Pusher, RefName, RefUpdate, RepositoryRef, RequestId,
    Timestamp, text,
};
use crate::facts::{self, Budget, CollectError, Inputs, Present, Updates};
use crate::forge::Actor;
use crate::git::{self, Objects, Patience, Repository};
use crate::policy::{Coverage, Rulesets, evaluate_until};
use crate::service::admit::{Decided, Recorded};
use crate::service::fault::Fault;
use crate::service::gate::{Gate, Snapshot};
use crate::service::record;
use crate::store::{DecidedUpdate, Detected, Grant, Mover, NewReport, Scope, Unsound};
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
    pub(super) at: Timestamp,
    /// What the forge is told of it.
    pub(super) known: Option<Known>,
}

/// One update, and what is known of how it came about.
pub(super) struct Case {
    pub(super) update: RefUpdate,
    pub(super) pusher: Pusher,
    /// The account of it, as the store knows it.
    pub(super) mover: Option<Mover>,
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

    /// Facts and verdict on one update. `present` is what the refs hold as far as it was let in, `refused` are names that
    /// should not be there; `stood` is what the ref
    /// of the update counts as having held.
    pub(super) fn judge(
        &self,
        repository: &Repository,
        (present, refused): (&[(RefName, ObjectId)], &[RefName]),
        context: PushContext,
        update: RefUpdate,
        policy: &Rulesets,
        stood: Value,
    ) -> Result<Decided, Fault> {
        let config = &self.snapshot.config;
        let name = update.name.clone();
        let frontier = Recorded::new(&self.gate.store, &self.watched.id)?.standing_at(&name, stood);
        let pusher = context.pusher.principal().cloned();
        let (deadline, seconds) = (Instant::now() + config.daemon.deadline, config.daemon.deadline.as_secs());
        let budget = || Budget { deadline, seconds, abandoned: self.stop };
        let facts = facts::collect(Inputs {
            repository,
            context,
            pusher,
            updates: Updates { updates: vec![update], faults: Vec::new() },
            // What was judged last stands in the record, not in the refs of a mirror.
            present: Present::AsLetIn(present, refused),
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

    /// Judges a case and records it. A move moves what was judged last, accepted or not; any other case leaves it. Where
    /// the ref is refused as it stands, it is judged from its last sound value.
    pub(super) fn decide(
        &self,
        repository: &Repository,
        standing: &Standing,
        case: &Case,
        policy: &Rulesets,
    ) -> Result<Judgement, Fault> {
        let started = Instant::now();
        let name = &case.update.name;
        // What is proposed begins where the histories part, which whoever proposes it has found out.
        let unsound = standing.unsound(name).filter(|_| case.mode != Mode::Proposed);
        let objects = repository.objects();
        let from = match unsound {
            Some(unsound) => self.sound_value(objects, case, unsound)?,
            None => case.update.old,
        };
        let context = self.context(case)?;
        let (outcome, known, written) = match unsound {
            Some(unsound) if from == case.update.new => {
                let mut entry = self.blank(&context, case, Outcome::Accept, started.elapsed());
                entry.refs.push(RefEntry::new(&case.update, None, audit::Coverage::NotJudged));
                let known = self.put_back(repository, case, unsound)?;
                (Outcome::Accept, known, (Record::decision(entry), Vec::new(), Vec::new(), Vec::new()))
            }
            _ => {
                let mut pushers = vec![case.pusher.clone()];
                if let Some(unsound) = unsound {
                    pushers.extend(self.others(objects, case, unsound)?);
                }
                let update = RefUpdate { old: from, ..case.update.clone() };
                let (present, refused) = standing.let_in();
                let stood = standing.sound(name);
                let judge = |pusher: Pusher| {
                    let context = PushContext { pusher, ..context.clone() };
                    self.judge(repository, (&present, &refused), context, update.clone(), policy, stood)
                };
                let (decided, grants) = self.judge_each(pushers, policy, &context, case, judge)?;
                let blank = self.blank(&context, case, decided.outcome(), started.elapsed());
                let (record, _, _) = record::fill(blank, &decided, policy);
                let known = decided.verdict.refs.first();
                let known = known.map(|reference| Known::of(&decided.verdict, reference, policy));
                let written = (record, grants, record::counted(&decided), record::tagged_by(&decided));
                (decided.outcome(), known, written)
            }
        };
        let (mut record, grants, counted, tagged_by) = written;
        if let (Some(unsound), Event::Decision(decision)) = (unsound, &mut record.event) {
            for entry in &mut decision.refs {
                entry.old = case.update.old.map(|id| id.to_string());
                entry.judged_from = Some(judged_from(unsound));
            }
        }
        let moves = matches!(case.mode, Mode::Detected | Mode::Unannounced);
        let request = Some(&context.request_id);
        let mut report = known.as_ref().and_then(|known| self.report(objects, case, known, request));
        if let (Some(unsound), Some(report), Some(Known::Refused { .. })) = (unsound, &mut report, &known) {
            report.description.push_str(&since_refused(case, unsound));
        }
        let violations = record.as_decision().map_or(0, |decision| decision.violations.len());
        let update = DecidedUpdate { reference: name.clone(), old: case.update.old, new: case.update.new };
        let looked = case.update.new.filter(|_| case.mode == Mode::Transient);
        self.gate.store.record_detected(Detected {
            record,
            update: moves.then_some(update),
            from,
            mover: case.mover.clone(),
            values: looked.map(|value| (name.clone(), value)).into_iter().collect(),
            moves: case.moves(),
            // What was there for a while, or is only proposed, is frontier of nothing (N7).
            grants: if moves { grants } else { Vec::new() },
            counted: if moves { counted } else { Vec::new() },
            tagged_by: if moves { tagged_by } else { Vec::new() },
            finished: case.finished.clone(),
            reports: report.into_iter().collect(),
        })?;
        self.gate.outbox.ring();
        self.gate.metrics.judged(case.mode, outcome);
        tracing::info!(
            request_id = %context.request_id, repository = %self.watched.name, reference = %name,
            mode = case.mode.name(), outcome = outcome.name(), violations,
            "judged what a forge has"
        );
        Ok(Judgement { outcome, request: context.request_id, at: context.received_at, known })
    }

    /// Judges for each of several pushers, and takes what refuses; of what all may do, what the first is granted, and
    /// for no more refs than any of them.
    fn judge_each(
        &self,
        pushers: Vec<Pusher>,
        policy: &Rulesets,
        context: &PushContext,
        case: &Case,
        judge: impl Fn(Pusher) -> Result<Decided, Fault>,
    ) -> Result<(Decided, Vec<Grant>), Fault> {
        let mut first: Option<(Decided, Vec<Grant>)> = None;
        for pusher in pushers {
            let decided = judge(pusher)?;
            let blank = self.blank(context, case, decided.outcome(), Duration::ZERO);
            let (_, _, grants) = record::fill(blank, &decided, policy);
            if decided.outcome() == Outcome::Refuse {
                return Ok((decided, Vec::new()));
            }
            match &mut first {
                None => first = Some((decided, grants)),
                Some((_, kept)) => {
                    for grant in kept {
                        let same = grants.iter().find(|one| one.ruleset == grant.ruleset);
                        if same.is_none_or(|one| one.scope == Scope::OwnRef) {
                            grant.scope = Scope::OwnRef;
                        }
                    }
                }
            }
        }
        first.ok_or(Fault::Internal)
    }

    /// What there is to say of a ref that is back where it was sound. There is nothing to judge.
    fn put_back(
        &self,
        repository: &Repository,
        case: &Case,
        unsound: &Unsound,
    ) -> Result<Option<Known>, Fault> {
        let (name, default_branch) = (&case.update.name, repository.default_branch()?);
        let Some(value) = case.update.new.filter(|_| self.is_protected(name, default_branch.as_ref())) else {
            return Ok(None);
        };
        let vouched = self.is_vouched_for(repository.objects(), name, value, default_branch.as_ref())?;
        Ok(Some(Known::PutBack { vouched, refused_by: unsound.refused_by.clone() }))
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
            from: None,
            mover: None,
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
        let passed =
            case.mode == Mode::Transient && matches!(known, Known::Accepted { .. } | Known::PutBack { .. });
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

/// What a case was judged from, for the record.
fn judged_from(unsound: &Unsound) -> JudgedFrom {
    JudgedFrom {
        id: unsound.sound.map(|id| id.to_string()),
        refused_by: unsound.refused_by.as_str().to_owned(),
    }
}

/// Why a move was not judged from where it began, for the description of a report.
fn since_refused(case: &Case, unsound: &Unsound) -> String {
    let short = |value: Value| value.map_or_else(|| "nothing".to_owned(), |id| id.short());
    let (sound, old) = (short(unsound.sound), short(case.update.old));
    format!("; judged from {sound}: the move to {old} was refused as decision {}", unsound.refused_by)
}
