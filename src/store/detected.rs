//! What forges did before anybody was asked: decided and applied at once.
//!
//! A ref of a forge has moved when it is judged. So the decision, the value that counts as judged from then on, what is
//! granted for an accepted one, the end of the deliveries that led to it, and what the forge is to be told are one
//! transaction: after a kill, each delivery has been judged, or is still queued.

use super::counters::CountedSignature;
use super::decisions::{DecidedUpdate, Grant, check};
use super::error::{StoreError, sql};
use super::reports::NewReport;
use super::sql as q;
use super::unsound::Mover;
use super::{Store, adopt, writer::Txn};
use crate::audit::{AdoptEntry, AppliedRef, Event, How, Outcome, Record, RepositoryEntry, RestoreEntry};
use crate::domain::{ObjectId, RefName, RepositoryId, Timestamp, text};
use rusqlite::{OptionalExtension, params};
use std::collections::{BTreeMap, BTreeSet};

/// A decision about something that a forge has let in already.
#[derive(Debug)]
pub struct Detected {
    /// The record.
    pub record: Record,
    /// The move that was judged, accepted or not; `None` where nothing moved, or nobody could tell.
    pub update: Option<DecidedUpdate>,
    /// What it was judged from: the last sound value of its ref, which is where the move begins unless that is what a
    /// refused one left.
    pub from: Option<ObjectId>,
    /// Who made the move, where a delivery vouches for that.
    pub mover: Option<Mover>,
    /// Other values that need not be looked at again for their refs.
    pub values: Vec<(RefName, ObjectId)>,
    /// Other moves that are on record with this.
    pub moves: Vec<(RefName, Option<ObjectId>, Option<ObjectId>)>,
    /// For an accepted move, what it adds to the frontier.
    pub grants: Vec<Grant>,
    /// For an accepted move, the counters of its FIDO signatures.
    pub counted: Vec<CountedSignature>,
    /// For an accepted move, the keys of its verified tags.
    pub tagged_by: Vec<String>,
    /// Deliveries that are done with this.
    pub finished: Vec<u64>,
    /// What the forge is to be told.
    pub reports: Vec<NewReport>,
}

impl Store {
    /// Records a decision about something that was let in already, and all that follows from it, in one transaction.
    /// Returns the number of the record.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] where the ref was meanwhile judged at another value than the move begins with: somebody
    /// else was faster, and nothing was changed.
    pub fn record_detected(&self, detected: Detected) -> Result<u64, StoreError> {
        let Detected { mut record, update, from, mover, values, moves, grants, counted, tagged_by, .. } =
            detected;
        let (finished, reports) = (detected.finished, detected.reports);
        let at: Timestamp =
            record.at.parse().map_err(|_| StoreError::Invalid("a record's time is not RFC 3339"))?;
        let at_ms = at.as_millisecond();
        let Event::Decision(decision) = &mut record.event else {
            return Err(StoreError::Invalid("this record is no decision"));
        };
        let outcome = decision.outcome;
        let updates: Vec<DecidedUpdate> = update.into_iter().collect();
        check(&updates, &grants)?;
        if counted.iter().any(|one| updates.iter().all(|update| update.reference != one.reference)) {
            return Err(StoreError::Invalid("a counter has no update"));
        }
        if outcome != Outcome::Accept {
            if !(grants.is_empty() && counted.is_empty() && tagged_by.is_empty()) {
                return Err(StoreError::Invalid("only what was accepted has grants"));
            }
            if outcome == Outcome::Undecided && !updates.is_empty() {
                return Err(StoreError::Invalid("what is undecided was not judged"));
            }
            self.shorten_over_budget(decision, at_ms);
        }
        decision.deliveries.clone_from(&finished);
        record.fit(self.shared.options.record_bytes)?;
        self.write(move |txn| {
            if outcome != Outcome::Undecided {
                txn.guard()?;
            }
            let seq = txn.append(&record)?;
            let Some(decision) = record.as_decision() else {
                return Err(StoreError::Invalid("this record is no decision"));
            };
            let (id, name) = (&decision.repository.id, &decision.repository.name);
            let repository = txn.intern_repository(id, name)?;
            // A rename is a new name for the same identity (N3).
            txn.run(q::SET_REPOSITORY_NAME, params![repository, name])?;
            for update in &updates {
                let reference = txn.intern_ref(repository, &update.reference)?;
                let tip: Option<Option<Vec<u8>>> = txn
                    .connection
                    .prepare_cached(q::TIP_OF)
                    .and_then(|mut s| s.query_row([reference], |row| row.get(0)).optional())
                    .map_err(sql("read the last known value of a ref"))?;
                if tip.flatten().as_deref() != update.old.as_ref().map(ObjectId::as_bytes) {
                    return Err(StoreError::Invalid("the ref was judged at another value meanwhile"));
                }
                let sound = txn.sound(reference, update.old.as_ref())?;
                if sound.as_deref() != from.as_ref().map(ObjectId::as_bytes) {
                    return Err(StoreError::Invalid(
                        "what the ref was judged from is not its last sound value",
                    ));
                }
                match outcome {
                    Outcome::Accept => txn.set_sound(reference)?,
                    _ => {
                        let (request, new) = (&decision.request_id, update.new.as_ref());
                        txn.set_unsound(reference, sound.as_deref(), request, at_ms)?;
                        txn.add_refused_move(reference, new, mover.as_ref())?;
                    }
                }
                let new = update.new.as_ref().map(ObjectId::as_bytes);
                for value in [update.old.as_ref(), update.new.as_ref()].into_iter().flatten() {
                    txn.run(q::ADD_JUDGED, params![reference, value.as_bytes()])?;
                }
                txn.run(q::SET_TIP, params![reference, new])?;
                txn.add_moved(reference, update.old.as_ref(), update.new.as_ref())?;
            }
            for (reference, old, new) in &moves {
                let reference = txn.intern_ref(repository, reference)?;
                txn.add_moved(reference, old.as_ref(), new.as_ref())?;
            }
            for (reference, value) in &values {
                let reference = txn.intern_ref(repository, reference)?;
                txn.run(q::ADD_JUDGED, params![reference, value.as_bytes()])?;
            }
            if outcome == Outcome::Accept && !updates.is_empty() {
                let request = &decision.request_id;
                let refs =
                    txn.add_pending(seq.cast_signed(), repository, request, at_ms, &updates, &grants)?;
                txn.add_counters(seq.cast_signed(), &refs, &counted)?;
                let signers = grants.iter().flat_map(|grant| &grant.signed_by).map(|(_, key)| key);
                let keys: BTreeSet<String> = signers.chain(&tagged_by).cloned().collect();
                txn.use_keys(&keys, at_ms)?;
                let (mut due, mut applied) = (Vec::new(), Vec::new());
                for update in &updates {
                    txn.apply(repository, request, &update.reference, &mut due)?;
                    let new = update.new.map(|id| id.to_string());
                    applied.push(AppliedRef { name: update.reference.to_string(), new });
                }
                txn.settle(repository, due)?;
                let entry = RepositoryEntry { id: id.clone(), name: name.clone() };
                txn.append_applied(&entry, BTreeMap::from([(request.as_str(), applied)]), How::Seen)?;
            }
            let note = format!("{} as decision {}", outcome.name(), decision.request_id);
            txn.finish_deliveries(&finished, at, &note)?;
            reports.iter().try_for_each(|report| txn.queue_report(report))?;
            Ok(seq)
        })
    }

    /// Records that a ref of a forge was moved back (N32), durably: what it holds now counts as what was judged last,
    /// and is sound.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] where the ref was meanwhile judged at another value.
    pub fn record_restored(
        &self,
        entry: RestoreEntry,
        reference: RefName,
        bad: Option<ObjectId>,
        good: Option<ObjectId>,
        reports: Vec<NewReport>,
    ) -> Result<u64, StoreError> {
        self.write(move |txn| {
            txn.guard()?;
            let repository = txn.intern_repository(&entry.repository.id, &entry.repository.name)?;
            let number = txn.intern_ref(repository, &reference)?;
            let tip: Option<Option<Vec<u8>>> = txn
                .connection
                .prepare_cached(q::TIP_OF)
                .and_then(|mut s| s.query_row([number], |row| row.get(0)).optional())
                .map_err(sql("read the last known value of a ref"))?;
            if tip.flatten().as_deref() != bad.as_ref().map(ObjectId::as_bytes) {
                return Err(StoreError::Invalid("the ref was judged at another value meanwhile"));
            }
            if let Some(good) = &good {
                txn.run(q::ADD_JUDGED, params![number, good.as_bytes()])?;
            }
            txn.run(q::SET_TIP, params![number, good.as_ref().map(ObjectId::as_bytes)])?;
            txn.set_sound(number)?;
            txn.add_moved(number, bad.as_ref(), good.as_ref())?;
            let at = txn.now();
            let seq = txn.append(&Record::new(at, Event::Restore(entry)))?;
            reports.iter().try_for_each(|report| txn.queue_report(report))?;
            Ok(seq)
        })
    }

    /// Whether the repository of a forge was adopted, so that what happens to it is judged (N9).
    pub fn is_watched(&self, repository: &RepositoryId) -> Result<bool, StoreError> {
        self.reader()?
            .prepare_cached(q::WATCHED)
            .and_then(|mut s| s.exists([&repository.0]))
            .map_err(sql("find a watched repository"))
    }

    /// Whether this value of a ref was judged, or is on record as gone.
    pub fn was_judged(
        &self,
        repository: &RepositoryId,
        reference: &RefName,
        value: &ObjectId,
    ) -> Result<bool, StoreError> {
        self.reader()?
            .prepare_cached(q::WAS_JUDGED)
            .and_then(|mut s| s.exists(params![repository.0, reference.as_bytes(), value.as_bytes()]))
            .map_err(sql("find a judged value"))
    }

    /// Whether it is on record that a ref went straight from one value to the other: judged as such, or told together
    /// with what was judged.
    pub fn was_moved(
        &self,
        repository: &RepositoryId,
        reference: &RefName,
        old: Option<&ObjectId>,
        new: Option<&ObjectId>,
    ) -> Result<bool, StoreError> {
        let key = params![repository.0, reference.as_bytes(), side(old), side(new)];
        self.reader()?
            .prepare_cached(q::WAS_MOVED)
            .and_then(|mut s| s.exists(key))
            .map_err(sql("find a judged move"))
    }

    /// Begins to judge what happens to the repository of a forge: from these values on, which are all that its
    /// watched refs hold. On behalf of somebody, and on record. What rulesets trust is adopted besides
    /// ([`Store::adopt`]).
    pub fn watch(
        &self,
        repository: &RepositoryId,
        name: &str,
        tips: &[(RefName, ObjectId)],
        who: &str,
    ) -> Result<(), StoreError> {
        let mut tips = tips.to_vec();
        tips.sort();
        if tips.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(StoreError::Invalid("a ref is adopted at two different tips"));
        }
        let (id, name) = (repository.0.clone(), text::escape(name.as_bytes()));
        let who = text::escape_short(who.as_bytes(), 200);
        self.write(move |txn| {
            txn.guard()?;
            let repository = txn.intern_repository(&id, &name)?;
            txn.run(q::SET_REPOSITORY_NAME, params![repository, name])?;
            let entry = AdoptEntry {
                repository: RepositoryEntry { id, name },
                ruleset: WATCHED.to_owned(),
                tips: Vec::new(),
                tips_total: tips.len() as u64,
                tips_digest: adopt::digest(&tips),
                commits: 0,
                who,
                evidence: Vec::new(),
            };
            let at = txn.now();
            let seq = adopt::append(txn, at, entry, &tips)?;
            txn.run(q::CLEAR_TIPS, [repository])?;
            txn.set_all_sound(repository)?;
            for (reference, tip) in &tips {
                let reference = txn.intern_ref(repository, reference)?;
                txn.run(q::SET_TIP, params![reference, tip.as_bytes()])?;
                txn.run(q::ADD_JUDGED, params![reference, tip.as_bytes()])?;
            }
            txn.run(q::WATCH, params![repository, seq.cast_signed()])
        })
    }
}

impl Txn<'_> {
    fn add_moved(
        &self,
        reference: i64,
        old: Option<&ObjectId>,
        new: Option<&ObjectId>,
    ) -> Result<(), StoreError> {
        self.run(q::ADD_MOVED, params![reference, side(old), side(new)])
    }
}

/// One side of a move; nothing where there was no such ref.
fn side(value: Option<&ObjectId>) -> &[u8] {
    value.map_or(&[], ObjectId::as_bytes)
}

/// What stands for the name of a ruleset in the record of [`Store::watch`]; no ruleset can be called so.
const WATCHED: &str = "(what is watched)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Decision, Mode as Judged};
    use crate::domain::{PushContext, Pusher, RepositoryRef, RequestId};
    use crate::store::{Accepted, Filter, Mode, NewDelivery, ReportState, Scope};

    fn id(n: u8) -> ObjectId {
        ObjectId::from_bytes(&[n; 20]).unwrap()
    }

    fn name(name: &str) -> RefName {
        RefName::parse(name.as_bytes()).unwrap()
    }

    fn repository() -> RepositoryId {
        RepositoryId("github:7".to_owned())
    }

    fn decision(request: u8, outcome: Outcome) -> Record {
        let context = PushContext {
            request_id: RequestId::from_random([request; 16]),
            repository: RepositoryRef { id: repository(), name: "github/acme/infra".into() },
            pusher: Pusher::Unknown,
            push_options: Vec::new(),
            received_at: Timestamp::now(),
        };
        let mut decision = Decision::new(&context, outcome, "c", "k");
        decision.mode = Some(Judged::Detected);
        Record::decision(decision)
    }

    fn detected(request: u8, outcome: Outcome, old: u8, new: u8) -> Detected {
        let (old, new) = ((old > 0).then(|| id(old)), (new > 0).then(|| id(new)));
        let main = name("refs/heads/main");
        let grant = |new| Grant {
            reference: main.clone(),
            new: Some(new),
            ruleset: "prod".into(),
            scope: Scope::Shared,
            introduced: vec![new],
            builds_on: Vec::new(),
            signed_by: vec![(new, "SHA256:k".into())],
        };
        let accepted = outcome == Outcome::Accept;
        Detected {
            record: decision(request, outcome),
            grants: new.filter(|_| accepted).map(grant).into_iter().collect(),
            update: Some(DecidedUpdate { reference: main.clone(), old, new }),
            from: old,
            mover: None,
            values: Vec::new(),
            moves: Vec::new(),
            counted: Vec::new(),
            tagged_by: Vec::new(),
            finished: Vec::new(),
            reports: Vec::new(),
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Mode::ReadWrite).unwrap();
        (dir, store)
    }

    fn deliver(store: &Store, n: u8) -> u64 {
        let new = NewDelivery {
            source: "github".into(),
            id: None,
            id_signed: false,
            digest: [n; 32],
            repository: repository(),
            event: "{}".into(),
            received: Timestamp::now(),
        };
        match store.accept_delivery(new).unwrap() {
            Accepted::Queued(number) => number,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn n10_what_a_forge_did_is_decided_and_applied_at_once() {
        let (_dir, store) = store();
        let main = name("refs/heads/main");
        store.watch(&repository(), "github/acme/infra", &[(main.clone(), id(1))], "me").unwrap();
        assert!(store.is_watched(&repository()).unwrap());
        let delivery = deliver(&store, 1);
        let report = NewReport {
            source: "github".into(),
            repository: repository(),
            commit: id(2),
            context: "countersign/refs/heads/main".into(),
            reference: Some(main.clone()),
            state: ReportState::Success,
            description: "fine".into(),
            proposed: false,
            request_id: None,
            at: Timestamp::now(),
        };
        let accepted = Detected {
            finished: vec![delivery],
            reports: vec![report],
            ..detected(1, Outcome::Accept, 1, 2)
        };
        store.record_detected(accepted).unwrap();
        assert_eq!(store.judged_tip(&repository(), &main).unwrap(), Some(Some(id(2))));
        assert!(store.is_accepted(&repository(), "prod", &main, &id(2)).unwrap());
        assert!(store.pending(&repository()).unwrap().is_empty());
        assert!(store.queued_deliveries(&repository()).unwrap().is_empty());
        assert_eq!(store.due_reports(Timestamp::now(), 9).unwrap().len(), 1);
        // A refused one moves what was judged last, too, and grants nothing.
        store.record_detected(detected(2, Outcome::Refuse, 2, 3)).unwrap();
        assert_eq!(store.judged_tip(&repository(), &main).unwrap(), Some(Some(id(3))));
        assert!(!store.is_accepted(&repository(), "prod", &main, &id(3)).unwrap());
        assert!(store.was_judged(&repository(), &main, &id(2)).unwrap());
        assert!(!store.was_judged(&repository(), &name("refs/heads/x"), &id(2)).unwrap());
        assert!(!store.was_judged(&repository(), &main, &id(9)).unwrap());
        // What comes next is judged from what was sound before it, by whoever knows that.
        let from_there = detected(3, Outcome::Accept, 3, 0);
        assert!(matches!(store.record_detected(from_there), Err(StoreError::Invalid(_))));
        assert_eq!(store.unsound_refs(&repository()).unwrap()[0].1.sound, Some(id(2)));
        let from_before = Detected { from: Some(id(2)), ..detected(3, Outcome::Accept, 3, 0) };
        store.record_detected(from_before).unwrap();
        assert_eq!(store.judged_tip(&repository(), &main).unwrap(), Some(None));
        let kinds: Vec<_> = store
            .log(Filter::default())
            .unwrap()
            .map(|entry| entry.unwrap().record().unwrap().event.kind())
            .collect();
        assert_eq!(kinds, ["adopt", "decision", "applied", "decision", "decision", "applied"]);
    }

    #[test]
    fn n29_nothing_is_judged_twice_and_half_a_decision_is_none() {
        let (_dir, store) = store();
        let main = name("refs/heads/main");
        store.watch(&repository(), "github/acme/infra", &[(main.clone(), id(1))], "me").unwrap();
        let delivery = deliver(&store, 1);
        store.record_detected(detected(1, Outcome::Refuse, 1, 2)).unwrap();
        let head = store.head().unwrap();
        // Somebody else who still thinks that it stands where it stood.
        let late = Detected { finished: vec![delivery], ..detected(2, Outcome::Accept, 1, 3) };
        assert!(matches!(store.record_detected(late), Err(StoreError::Invalid(_))));
        assert_eq!(store.head().unwrap(), head);
        assert_eq!(store.queued_deliveries(&repository()).unwrap().len(), 1);
        assert_eq!(store.judged_tip(&repository(), &main).unwrap(), Some(Some(id(2))));
        // Nobody could tell: that moves nothing.
        assert!(store.record_detected(detected(3, Outcome::Undecided, 2, 3)).is_err());
        let mut refused = detected(4, Outcome::Refuse, 2, 3);
        refused.grants = detected(4, Outcome::Accept, 2, 3).grants;
        assert!(store.record_detected(refused).is_err());
        // A value that is gone is on record, and moves nothing.
        let gap = Detected {
            update: None,
            values: vec![(main.clone(), id(8))],
            moves: vec![(main.clone(), Some(id(2)), Some(id(8))), (main.clone(), Some(id(2)), None)],
            ..detected(5, Outcome::Undecided, 0, 0)
        };
        store.record_detected(gap).unwrap();
        assert!(store.was_judged(&repository(), &main, &id(8)).unwrap());
        let moved = |reference: &RefName, old: u8, new: u8| {
            let value = |n: u8| (n > 0).then(|| id(n));
            store.was_moved(&repository(), reference, value(old).as_ref(), value(new).as_ref()).unwrap()
        };
        // Exactly these moves, in this direction and of this ref.
        assert!(moved(&main, 1, 2) && moved(&main, 2, 8) && moved(&main, 2, 0));
        assert!(!moved(&main, 2, 1) && !moved(&main, 8, 2) && !moved(&main, 0, 2) && !moved(&main, 2, 3));
        assert!(!moved(&name("refs/heads/x"), 1, 2));
        assert_eq!(store.judged_tip(&repository(), &main).unwrap(), Some(Some(id(2))));
    }

    #[test]
    fn n09_watching_anew_forgets_what_is_not_there() {
        let (_dir, store) = store();
        let (main, old) = (name("refs/heads/main"), name("refs/heads/old"));
        assert!(!store.is_watched(&repository()).unwrap());
        let both = [(main.clone(), id(1)), (old.clone(), id(2))];
        store.watch(&repository(), "github/acme/infra", &both, "me").unwrap();
        store.watch(&repository(), "github/acme/new", &both[..1], "me").unwrap();
        assert_eq!(store.judged_tips(&repository()).unwrap(), [(main, Some(id(1))), (old, None)]);
        assert_eq!(store.repositories().unwrap()[0].name, "github/acme/new");
    }
}
