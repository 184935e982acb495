//! Deciding about a push, and noting what became of it.

use super::fault::{Fault, all_known};
use super::gate::{Gate, answer, request_id};
use super::locate::{self, Located};
use super::{pusher, record, render};
use crate::audit::{self, How};
use crate::domain::{ObjectId, PushContext, RefName, RepositoryId, Timestamp, text};
use crate::facts::{self, Budget, CollectError, Frontier, Inputs, Present, Standing};
use crate::git::Repository;
use crate::hook::wire::{Answer, Outcome, PROTOCOL, Request};
use crate::policy::{Decision, Verdict, evaluate_until};
use crate::store::{FrontierReader, Observed, Scope, Store, StoreError};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A decided push, ready to be recorded.
pub(super) struct Decided {
    pub(super) facts: crate::policy::PushFacts,
    pub(super) verdict: Verdict,
}

impl Decided {
    /// How it ends, for the record.
    pub(super) fn outcome(&self) -> audit::Outcome {
        match self.verdict.decision {
            Decision::Accept => audit::Outcome::Accept,
            Decision::Refuse => audit::Outcome::Refuse,
        }
    }
}

impl Gate {
    /// Decides about one push: facts, verdict, record, and only then the answer.
    pub fn admit(&self, request: &Request, peer: u32, abandoned: &AtomicBool) -> Answer {
        let started = Instant::now();
        let received_at = Gate::now();
        let id = request_id(request);
        let snapshot = match self.snapshot() {
            Ok(snapshot) => snapshot,
            Err(fault) => return self.fail(request, peer, &fault),
        };
        let asked = record::Asked::new(self, &id, request, peer, received_at, &snapshot);
        let contact = snapshot.config.contact.as_deref();
        let decided = self.decide(&asked, started, abandoned);
        let finished = decided.and_then(|decided| {
            if abandoned.load(Ordering::Relaxed) {
                return Err(Fault::Collect(CollectError::Abandoned));
            }
            // Nobody gets in unless it is written down first.
            let (record, updates, grants) = record::decision(&asked, &decided, started.elapsed());
            let counted = record::counted(&decided);
            let tagged_by = record::tagged_by(&decided);
            self.store.record_counted_decision(record, updates, grants, counted, tagged_by)?;
            Ok(decided)
        });
        match finished {
            Ok(Decided { facts, verdict }) => {
                self.metrics.decided(&verdict);
                let outcome = match verdict.decision {
                    Decision::Accept => Outcome::Accept,
                    Decision::Refuse => Outcome::Refuse,
                };
                let limit = snapshot.config.limits.violations;
                tracing::info!(
                    request_id = %id, repository = %request.git_dir.path, outcome = outcome.name(),
                    violations = verdict.violation_count, findings = facts.findings().len(),
                    microseconds = started.elapsed().as_micros(), "decided"
                );
                answer(&id, outcome, render::verdict(&facts, &verdict, &id, contact, limit))
            }
            Err(fault) => self.record_fault(&asked, &fault, started.elapsed()),
        }
    }

    /// Records that a push is undecided, and answers so.
    pub fn fail(&self, request: &Request, peer: u32, fault: &Fault) -> Answer {
        let id = request_id(request);
        let snapshot = self.current();
        let asked = record::Asked::new(self, &id, request, peer, Gate::now(), &snapshot);
        self.record_fault(&asked, fault, Duration::ZERO)
    }

    fn record_fault(&self, asked: &record::Asked<'_>, fault: &Fault, took: Duration) -> Answer {
        let id = asked.id;
        self.metrics.undecided(fault);
        tracing::error!(
            request_id = %id, repository = %text::escape(asked.request.git_dir.path.as_bytes()),
            code = fault.code(), %fault, "undecided"
        );
        let record = record::undecided(asked, fault, took);
        if let Err(error) = self.store.record_decision(record, Vec::new(), Vec::new()) {
            tracing::error!(request_id = %id, %error, "cannot record that a push was undecided");
        }
        let contact = asked.snapshot.config.contact.as_deref();
        answer(id, Outcome::Undecided, render::undecided(fault, id, contact))
    }

    fn decide(
        &self,
        asked: &record::Asked<'_>,
        started: Instant,
        abandoned: &AtomicBool,
    ) -> Result<Decided, Fault> {
        let record::Asked { request, snapshot, .. } = *asked;
        if request.protocol != PROTOCOL {
            return Err(Fault::Protocol(format!(
                "the hook speaks protocol {}, the daemon speaks {PROTOCOL}; install both from one release",
                request.protocol
            )));
        }
        if self.store.rolled_back().is_some() {
            // An operator may have settled it from another process: this looks again.
            self.store.check_writable()?;
        }
        let config = &snapshot.config;
        if let Some(namespace) = request.environment.get("GIT_NAMESPACE").filter(|name| !name.is_empty()) {
            return Err(Fault::Namespace(text::escape_short(namespace.as_bytes(), 100)));
        }
        let server = config.repositories.server;
        let pusher =
            pusher::identify(server, request, &snapshot.keyring, &config.signatures, asked.received_at)?;
        asked.pusher.replace(pusher.clone());
        let located = locate::locate(&config.repositories.root, request)?;
        self.identify(&config.repositories.root, &located)?;
        asked.repository.replace(Some(located.reference.clone()));
        all_known(config, &located.reference.name)?;
        self.source_allows(snapshot, &located.reference.name, request)?;
        let repository = &located.reference.id;
        self.note_seen(repository, &located.repository)?;
        let frontier = Recorded::new(&self.store, repository)?;
        let principal = pusher.principal().cloned();
        let context = PushContext {
            request_id: asked.id.clone(),
            repository: located.reference.clone(),
            pusher,
            push_options: request.push_options.iter().map(|option| option.0.clone()).collect(),
            received_at: asked.received_at,
        };
        let seconds = config.daemon.deadline.as_secs();
        let budget = || Budget { deadline: started + config.daemon.deadline, seconds, abandoned };
        let facts = facts::collect(Inputs {
            repository: &located.repository,
            context,
            pusher: principal,
            updates: facts::parse_updates(&request.updates.0),
            present: Present::InRepository,
            shallow_push: request.environment.get("GIT_SHALLOW_FILE").is_some_and(|file| !file.is_empty()),
            policy: &config.policy,
            limits: &config.limits,
            signatures: &config.signatures,
            namespaces: &config.repositories.namespaces,
            allow_symref_push: config.repositories.allow_symref_push,
            keyring: &snapshot.keyring,
            frontier: &frontier,
            budget: budget(),
        })?;
        self.report_drift(repository, &facts);
        let over = || budget().check().is_err();
        let verdict = evaluate_until(&facts, &config.policy, &over).ok_or_else(|| {
            let over = budget().check().err();
            Fault::Collect(over.unwrap_or(CollectError::Deadline { seconds }))
        })?;
        let mut decided = Decided { facts, verdict };
        self.judge_source(snapshot, &located, &mut decided, asked.received_at)?;
        Ok(decided)
    }

    /// Holds the repository against what is known of its identity (N3).
    pub(super) fn identify(&self, root: &Path, located: &Located) -> Result<(), Fault> {
        let Located { reference, device, inode, repository } = located;
        match self.store.observe_repository(&reference.id, &reference.name, *device, *inode)? {
            Observed::New | Observed::Same => Ok(()),
            Observed::Renamed { from } => {
                tracing::info!(%from, to = %reference.name, "a repository was renamed; its records stay");
                Ok(())
            }
            Observed::Conflict { other_name }
                if !locate::carries(root, &other_name, &reference.id, repository.common_dir()) =>
            {
                tracing::warn!(from = %other_name, to = %reference.name, "a repository was moved; its records stay");
                Ok(self.store.replace_repository_location(&reference.id, &reference.name, *device, *inode)?)
            }
            Observed::Conflict { other_name } => Err(Fault::Identity(format!(
                "{} carries the identity of `{other_name}`, which is still there: one of them is a copy; remove \
                 `countersign-id` from the copy, then run `countersign install` and `countersign adopt` on it",
                repository.common_dir().display()
            ))),
        }
    }

    /// A decided update is applied as soon as its ref is seen at that value (N10).
    pub(super) fn note_seen(&self, repository: &RepositoryId, opened: &Repository) -> Result<(), Fault> {
        let mut seen = Vec::new();
        let mut values: HashMap<RefName, Option<ObjectId>> = HashMap::new();
        for pending in self.store.pending(repository)? {
            let value = match values.entry(pending.reference.clone()) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => *new.insert(opened.resolve(&pending.reference)?.value),
            };
            if value == pending.new {
                seen.push((pending.request_id, pending.reference));
            }
        }
        if !seen.is_empty() {
            self.store.mark_applied(repository, &seen, How::Seen)?;
        }
        Ok(())
    }

    /// Says where refs were moved past the gate; what stands there is judged like anything new (N7).
    fn report_drift(&self, repository: &RepositoryId, facts: &crate::policy::PushFacts) {
        for reference in &facts.refs {
            match self.store.judged_tip(repository, &reference.name) {
                Ok(Some(judged)) if judged != reference.current => tracing::warn!(
                    repository = %facts.context.repository.name, reference = %reference.name,
                    judged = ?judged, found = ?reference.current, "a ref was moved past the gate"
                ),
                _ => {}
            }
        }
    }

    /// Notes what git did with an accepted push. The refs are looked at; nobody's word is taken.
    pub fn applied(&self, request: &Request, _peer: u32, _abandoned: &AtomicBool) -> Answer {
        let id = request_id(request);
        let done = self.snapshot().and_then(|snapshot| {
            let located = locate::locate(&snapshot.config.repositories.root, request)?;
            self.identify(&snapshot.config.repositories.root, &located)?;
            let repository = &located.reference.id;
            let named: Vec<RefName> = facts::parse_updates(&request.updates.0)
                .updates
                .into_iter()
                .map(|update| update.name)
                .collect();
            let mut applied = Vec::new();
            for pending in self.store.pending(repository)? {
                let value = located.repository.resolve(&pending.reference)?.value;
                if value == pending.new && named.contains(&pending.reference) {
                    applied.push((pending.request_id, pending.reference));
                }
            }
            self.store.mark_applied(repository, &applied, How::PostReceive)?;
            Ok(())
        });
        // Here nobody waits for it, and what was applied is noted.
        self.sweep();
        match done {
            Ok(()) => answer(&id, Outcome::Accept, String::new()),
            Err(fault) => {
                tracing::warn!(request_id = %id, %fault, "cannot note what was applied; the next push makes up for it");
                answer(&id, Outcome::Undecided, String::new())
            }
        }
    }
}

/// The store's record as the frontier.
pub(super) struct Recorded<'a> {
    store: &'a Store,
    repository: &'a RepositoryId,
    reader: FrontierReader,
    /// A ref that is taken to have held another value than the record has it at, so that nothing counts for it because
    /// of where it stands.
    standing_at: Option<(&'a RefName, Option<ObjectId>)>,
}

impl<'a> Recorded<'a> {
    pub(super) fn new(store: &'a Store, repository: &'a RepositoryId) -> Result<Self, StoreError> {
        Ok(Recorded { store, repository, reader: store.frontier(repository)?, standing_at: None })
    }

    /// The same, as if a ref had held this: what is tainted counts for it no more than for others, unless it held that
    /// there (N8, N32).
    pub(super) fn standing_at(self, reference: &'a RefName, value: Option<ObjectId>) -> Self {
        Recorded { standing_at: Some((reference, value)), ..self }
    }
}

impl Frontier for Recorded<'_> {
    fn standing(
        &self,
        ruleset: &str,
        reference: &RefName,
        commit: &ObjectId,
    ) -> Result<Option<Standing>, CollectError> {
        let scope = self.reader.scope_of(ruleset, reference, commit);
        Ok(scope.map_err(|e| CollectError::Record(e.to_string()))?.map(|scope| match scope {
            Scope::Shared => Standing::Shared,
            Scope::OwnRef => Standing::OwnRef,
        }))
    }

    fn has_record(&self, ruleset: &str) -> Result<bool, CollectError> {
        self.reader.has_record(ruleset).map_err(|e| CollectError::Record(e.to_string()))
    }

    fn tainted(&self, ruleset: &str, keys: &[(String, i64)]) -> Result<Vec<ObjectId>, CollectError> {
        self.reader.tainted(ruleset, keys).map_err(|e| CollectError::Record(e.to_string()))
    }

    fn judged_tip(&self, reference: &RefName) -> Result<Option<ObjectId>, CollectError> {
        if let Some((_, value)) = self.standing_at.filter(|(name, _)| *name == reference) {
            return Ok(value);
        }
        let tip = self.store.judged_tip(self.repository, reference);
        tip.map(Option::flatten).map_err(|e| CollectError::Record(e.to_string()))
    }

    fn received(&self, commit: &ObjectId) -> Result<Option<Timestamp>, CollectError> {
        self.reader.received(commit).map_err(|e| CollectError::Record(e.to_string()))
    }

    fn fido_counter(&self, key: &str, application: &str) -> Result<Option<u32>, CollectError> {
        self.reader.fido_counter(key, application).map_err(|e| CollectError::Record(e.to_string()))
    }

    fn fido_known(&self, key: &str, application: &str, object: &ObjectId) -> Result<bool, CollectError> {
        self.reader.fido_known(key, application, object).map_err(|e| CollectError::Record(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Record;
    use crate::domain::{Pusher, RepositoryRef, RequestId, Timestamp};
    use crate::store::{DecidedUpdate, Grant, Mode};

    #[test]
    fn n08_the_record_says_for_which_refs_a_commit_counts() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path(), Mode::ReadWrite).unwrap();
        let context = PushContext {
            request_id: RequestId::from_random([1; 16]),
            repository: RepositoryRef { id: RepositoryId("r".into()), name: "r".into() },
            pusher: Pusher::Unknown,
            push_options: Vec::new(),
            received_at: Timestamp::now(),
        };
        let name = |name: &str| RefName::parse(name.as_bytes()).unwrap();
        let (main, other) = (name("refs/heads/main"), name("refs/heads/other"));
        let id = |n| ObjectId::from_bytes(&[n; 20]).unwrap();
        let grant = |ruleset: &str, scope| Grant {
            reference: main.clone(),
            new: Some(id(1)),
            ruleset: ruleset.into(),
            scope,
            introduced: vec![id(1)],
            builds_on: Vec::new(),
            signed_by: Vec::new(),
        };
        let record = Record::decision(audit::Decision::new(&context, audit::Outcome::Accept, "c", "k"));
        let updates = vec![DecidedUpdate { reference: main.clone(), old: None, new: Some(id(1)) }];
        let grants = vec![grant("shared", Scope::Shared), grant("own", Scope::OwnRef)];
        store.record_decision(record, updates, grants).unwrap();
        let repository = context.repository.id;
        store.mark_applied(&repository, &[(context.request_id, main.clone())], How::Seen).unwrap();
        let reader = store.frontier(&repository).unwrap();
        let recorded = Recorded { store: &store, repository: &repository, reader, standing_at: None };
        let standing = |ruleset, reference| recorded.standing(ruleset, reference, &id(1)).unwrap();
        assert_eq!(standing("shared", &main), Some(Standing::Shared));
        assert_eq!(standing("shared", &other), Some(Standing::Shared));
        assert_eq!(standing("own", &main), Some(Standing::OwnRef));
        assert_eq!(standing("own", &other), None);
    }
}
