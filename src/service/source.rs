//! The keyring, and rulesets with it, from a ref that this gate itself guards: what was let in there, seen there,
//! judged again and checked as a whole becomes the keyring's files.
//!
//! The directory of the configuration stays what is read; this is a deployment that is built in. What was taken over
//! last stands twice: beside the files, written in one step with them, and in the record, with what tells that file
//! from all others. The record has the say: files that it does not know are put right from the repository, and until
//! then pushes are undecided.
//!
//! A state is taken over only when the ref is seen at it, when the last applied decision on record is about exactly
//! that tip and was made by the built-in ruleset, when it descends from the state before, and when that ruleset is
//! content with every commit since by the keyring in force at that moment. Whoever can write to the repository's
//! files can move the ref, and gets none of that.

mod error;
mod taking;

use super::admit::Decided;
use super::check::{self, AllBut, Judging};
use super::fault::Fault;
use super::gate::{Gate, Snapshot};
use super::locate::{self, Located};
use super::operators::{Operator, operator};
use super::source_state::{self, StateFault};
use super::status::SourceStatus;
use crate::audit::TakenHow;
use crate::config::{Config, SOURCE_RULESET, TrustedSource};
use crate::domain::{
    ObjectId, PushContext, Pusher, RefName, RefUpdate, RepositoryRef, RequestId, Timestamp, text,
};
use crate::facts::{self, Present};
use crate::git::{GitError, proven_between};
use crate::hook::wire::Request;
use crate::keyring::Taken;
use crate::policy::{Decision, Ruleset, Verdict};
use crate::store::TakenMark;
pub use error::SourceError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For how long looking whether a state descends from another may take.
const WALK: Duration = Duration::from_secs(60);
/// For how long looking at the ref may take before something is wrong: longer than [`WALK`] and a decision.
const STUCK: Duration = Duration::from_secs(180);
/// Longest reason of an operator, in characters.
const MAX_REASON: usize = 300;

/// What was seen last, for the status and against saying the same again.
#[derive(Debug, Default)]
pub(super) struct Seen {
    last: Mutex<Last>,
    /// One at a time takes over.
    turn: Mutex<()>,
    /// Since when the ref is being looked at.
    looking: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Last {
    tip: Option<ObjectId>,
    fault: Option<String>,
    /// Why nothing is decided meanwhile.
    blocked: Option<String>,
    /// What is being taken over: the files have it, the record not yet.
    under_way: Option<String>,
}

impl Seen {
    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looking(&self) -> MutexGuard<'_, Option<Instant>> {
        self.looking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That looking at the ref does not end, if it does not: reading a file of the repository may hang.
    fn stuck(&self, now: Instant) -> Option<String> {
        let lasted = now.saturating_duration_since((*self.looking())?);
        (lasted > STUCK).then(|| {
            format!(
                "looking at the ref has not ended for {} seconds: a file of the repository may hang; put it right and \
                 start the daemon anew",
                lasted.as_secs()
            )
        })
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why pushes are undecided, if they are.
    pub(super) fn blocked(&self) -> Option<String> {
        self.last().blocked.clone()
    }

    pub(super) fn block(&self, why: Option<String>) {
        let mut last = self.last();
        if let Some(why) = &why
            && last.blocked.as_ref() != Some(why)
        {
            tracing::error!("pushes are undecided: {why}");
        }
        last.blocked = why;
    }

    /// What is wrong, if something is.
    pub(super) fn fault(&self) -> Option<String> {
        let stuck = self.stuck(Instant::now());
        let last = self.last();
        stuck.or_else(|| last.fault.clone()).or_else(|| last.blocked.clone())
    }
}

/// Why a state is taken over.
enum Cause<'a> {
    Seen,
    Restored,
    Accepted { reason: &'a str, by: Operator },
}

impl Cause<'_> {
    const fn how(&self) -> TakenHow {
        match self {
            Cause::Seen => TakenHow::Seen,
            Cause::Restored => TakenHow::Restored,
            Cause::Accepted { .. } => TakenHow::Accepted,
        }
    }
}

fn is_where(source: &TrustedSource, mark: &TakenMark) -> bool {
    mark.repository == source.repository
        && mark.reference == source.reference.to_string()
        && mark.path == source.path
        && mark.rulesets == source.rulesets
}

impl Gate {
    /// Why what the files hold is not what was taken over last; `None` where it is, or nothing has to be.
    pub(super) fn source_disagrees(&self, config: &Config) -> Option<String> {
        let source = config.keyring_source.as_ref()?;
        let mark = match self.store.taken() {
            Ok(mark) => mark.filter(|mark| is_where(source, mark)),
            Err(error) => return Some(format!("nobody can tell what was taken over last: {error}")),
        };
        let under_way = self.source_seen.last().under_way.clone();
        match (mark, &config.keyring_taken) {
            (None, None) => source.rulesets.is_some().then(|| {
                "the rulesets come from a ref of which nothing was accepted yet; see `countersign keyring source show`"
                    .to_owned()
            }),
            (Some(mark), Some(found)) if mark.state == found.digest => None,
            (_, Some(found)) if Some(&found.digest) == under_way.as_ref() => None,
            // Whoever pushes reads this: it names no repository.
            _ => Some(
                "what the keyring's directory holds is not what was taken over last from the ref that it follows; see \
                 `countersign keyring source show`"
                    .to_owned(),
            ),
        }
    }

    /// Whether a push may be decided as far as the source goes: one to the ref itself always, because a state that
    /// nobody has accepted has to come from somewhere.
    pub(super) fn source_allows(
        &self,
        snapshot: &Snapshot,
        name: &str,
        request: &Request,
    ) -> Result<(), Fault> {
        let Some(source) = &snapshot.config.keyring_source else { return Ok(()) };
        let Some(why) = self.source_seen.blocked() else { return Ok(()) };
        let updates = facts::parse_updates(&request.updates.0).updates;
        let own = !updates.is_empty() && updates.iter().all(|update| update.name == source.reference);
        if name == source.repository && own { Ok(()) } else { Err(Fault::Source(why)) }
    }

    /// Refuses a push that nothing else is wrong with where it leads the source to a state that could not be taken
    /// over.
    pub(super) fn judge_source(
        &self,
        snapshot: &Snapshot,
        located: &Located,
        decided: &mut Decided,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let Some(source) = &snapshot.config.keyring_source else { return Ok(()) };
        if located.reference.name != source.repository || decided.verdict.decision != Decision::Accept {
            return Ok(());
        }
        let moved = decided.facts.refs.iter().find(|reference| reference.name == source.reference);
        // Of a branch, so it is a commit: everything else was refused already.
        let Some(tip) = moved.and_then(|moved| moved.update.new) else { return Ok(()) };
        let objects = located.repository.objects();
        match source_state::read(objects, &tip, &snapshot.config, source, now) {
            Ok(_) => Ok(()),
            Err(StateFault::Git(error)) => Err(error.into()),
            Err(fault) => match fault.violation(source) {
                Some(violation) => {
                    decided.verdict.refuse(violation);
                    Ok(())
                }
                None => Err(Fault::Source(format!("what is pushed cannot be tested: {fault}"))),
            },
        }
    }

    /// Takes over what the ref holds, if it may be. Called every second, by a thread that does nothing else.
    pub(super) fn follow_source(&self) {
        *self.source_seen.looking() = Some(Instant::now());
        self.follow();
        *self.source_seen.looking() = None;
    }

    fn follow(&self) {
        let snapshot = self.current();
        let Some(source) = &snapshot.config.keyring_source else {
            *self.source_seen.last() = Last::default();
            return;
        };
        let _turn = self.source_seen.turn();
        let done = self.next_state(&snapshot, source);
        let fault = done.as_ref().err().map(|error| text::escape_short(error.to_string().as_bytes(), 2000));
        let mut last = self.source_seen.last();
        if let Some(why) = &fault
            && last.fault.as_ref() != Some(why)
        {
            tracing::error!(
                repository = %source.repository, reference = %source.reference,
                "the keyring's source is not followed: {why}"
            );
        }
        last.fault = fault;
    }

    fn next_state(&self, snapshot: &Snapshot, source: &TrustedSource) -> Result<(), SourceError> {
        let on_record = self.store.taken()?;
        // Where the ref cannot be read, that is the fault; where nothing counts yet, this is.
        let found = self.source_tip(snapshot, source);
        let mark = match &on_record {
            None => return Err(found.err().unwrap_or(SourceError::NotAccepted)),
            Some(mark) if is_where(source, mark) => mark.clone(),
            Some(_) => return Err(found.err().unwrap_or(SourceError::Other)),
        };
        let before = ObjectId::parse(mark.commit.as_bytes()).map_err(|_| SourceError::Other)?;
        // Files that nobody can read are put right like others.
        let held = Taken::read(&snapshot.config.keyring.dir).ok().flatten();
        let agrees = held.as_ref().is_some_and(|(_, digest)| *digest == mark.state);
        if !agrees {
            let half = held.as_ref().map(|(held, _)| held.commit.as_str());
            if let Ok((located, tip)) = &found
                && *tip != before
                && half == Some(tip.to_string().as_str())
                && located.reference.id.0 == mark.repository_id
                && self.may_follow(snapshot, source, located, *tip, before).is_ok()
            {
                // The daemon ended between the files and the record.
                return self.take_state(snapshot, source, located, *tip, on_record, &Cause::Seen);
            }
            let located = self.source_repository(snapshot, source)?;
            if located.reference.id.0 != mark.repository_id {
                return Err(SourceError::Other);
            }
            return self.take_state(snapshot, source, &located, before, on_record, &Cause::Restored);
        }
        let (located, tip) = found?;
        if located.reference.id.0 != mark.repository_id {
            return Err(SourceError::Other);
        }
        if tip == before {
            return Ok(());
        }
        self.may_follow(snapshot, source, &located, tip, before)?;
        self.take_state(snapshot, source, &located, tip, on_record, &Cause::Seen)
    }

    /// Whether the gate let exactly this in, on top of what was taken over last, and would let it in now.
    fn may_follow(
        &self,
        snapshot: &Snapshot,
        source: &TrustedSource,
        located: &Located,
        tip: ObjectId,
        before: ObjectId,
    ) -> Result<(), SourceError> {
        let id = &located.reference.id;
        // Decided is not applied (N10): the ref is seen at that value now.
        self.note_seen(id, &located.repository)?;
        let decided = self.store.judged_tip(id, &source.reference)? == Some(Some(tip))
            && self.store.is_accepted(id, SOURCE_RULESET, &source.reference, &tip)?;
        if !decided {
            return Err(SourceError::Undecided(tip));
        }
        let started = Instant::now();
        let stop = || match started.elapsed() > WALK {
            true => Err(GitError::Refs { why: "the history is too long to look through".to_owned() }),
            false => Ok(()),
        };
        // The frontier's commits are read by nobody again, and whoever can write the repository's files could put others
        // in their place.
        let Some(since) = proven_between(located.repository.objects(), before, tip, &stop)? else {
            return Err(SourceError::Sideways { tip, taken: before.to_string() });
        };
        self.still_signed(snapshot, source, located, tip, before, AllBut(since))
    }

    /// Judges everything since the state before by the keyring in force, to which revocations belong that are in the
    /// files and that no reload has seen yet (N15): a key may have been revoked since the push.
    fn still_signed(
        &self,
        snapshot: &Snapshot,
        source: &TrustedSource,
        located: &Located,
        tip: ObjectId,
        before: ObjectId,
        frontier: AllBut,
    ) -> Result<(), SourceError> {
        let keyring = snapshot.keyring.with_revocations_from(&snapshot.config.keyring).0;
        let now = Snapshot { config: Arc::clone(&snapshot.config), keyring };
        let context = PushContext {
            request_id: RequestId::from_random([0; 16]),
            repository: RepositoryRef {
                id: located.reference.id.clone(),
                name: located.reference.name.clone(),
            },
            pusher: Pusher::Unknown,
            push_options: Vec::new(),
            received_at: Gate::now(),
        };
        let update = RefUpdate { name: source.reference.clone(), old: Some(before), new: Some(tip) };
        let judging = Judging {
            repository: &located.repository,
            context,
            updates: vec![update],
            present: Present::AsClaimed,
            frontier: &frontier,
        };
        let (_, verdict) = check::judge(&now, judging, &mut ())?;
        match objection(&verdict, &source.reference) {
            None => Ok(()),
            Some(why) => Err(SourceError::NotSigned { tip, why }),
        }
    }

    /// An operator declares what the ref holds now to be the keyring: the first state, or one that is not
    /// taken over by itself (N9). It must load all the same.
    ///
    /// # Errors
    /// See [`SourceError`]; nothing was changed then.
    pub fn accept_source(
        &self,
        commit: &str,
        reason: &str,
        uid: u32,
        pid: Option<i32>,
    ) -> Result<(), SourceError> {
        if reason.trim().is_empty() || reason.chars().count() > MAX_REASON {
            return Err(SourceError::Reason);
        }
        let _turn = self.source_seen.turn();
        let snapshot = self.current();
        let source = snapshot.config.keyring_source.as_ref().ok_or(SourceError::None)?;
        let (located, tip) = self.source_tip(&snapshot, source)?;
        if tip.to_string() != commit {
            return Err(SourceError::NotTheTip(tip));
        }
        let on_record = self.store.taken()?;
        let cause = Cause::Accepted { reason: reason.trim(), by: operator(uid, pid) };
        self.take_state(&snapshot, source, &located, tip, on_record, &cause)?;
        self.source_seen.last().fault = None;
        Ok(())
    }

    fn source_repository(&self, snapshot: &Snapshot, source: &TrustedSource) -> Result<Located, SourceError> {
        let root = &snapshot.config.repositories.root;
        let places = [format!("{}.git", source.repository), source.repository.clone()];
        let place = places.iter().map(|name| root.join(name)).find(|place| place.is_dir());
        let located = locate::open(root, &place.unwrap_or_else(|| root.join(&places[0])), None)?;
        if located.reference.name != source.repository {
            return Err(SourceError::Other);
        }
        self.identify(root, &located)?;
        Ok(located)
    }

    fn source_tip(
        &self,
        snapshot: &Snapshot,
        source: &TrustedSource,
    ) -> Result<(Located, ObjectId), SourceError> {
        self.source_seen.last().tip = None;
        let located = self.source_repository(snapshot, source)?;
        let state = located.repository.resolve(&source.reference)?;
        if state.symbolic {
            return Err(SourceError::Ref("a symbolic one"));
        }
        let tip = state.value.ok_or(SourceError::Ref("not there"))?;
        self.source_seen.last().tip = Some(tip);
        Ok((located, tip))
    }

    /// For the status.
    pub(super) fn source_status(&self, snapshot: &Snapshot) -> Option<SourceStatus> {
        let source = snapshot.config.keyring_source.as_ref()?;
        let mark = self.store.taken().ok().flatten().filter(|mark| is_where(source, mark));
        let held = snapshot.config.keyring_taken.as_ref();
        let changed = held.map(|held| held.taken.changed_in(&snapshot.keyring)).unwrap_or_default();
        let fault = self.source_seen.fault();
        let last = self.source_seen.last();
        Some(SourceStatus {
            repository: source.repository.clone(),
            reference: source.reference.to_string(),
            path: source.path.clone(),
            rulesets: source.rulesets.clone(),
            signers: source.signers(),
            commit: mark.as_ref().map(|mark| mark.commit.clone()),
            taken_at: mark.map(|mark| mark.at),
            tip: last.tip.map(|tip| tip.to_string()),
            changed_here: changed.iter().take(MOST_CHANGED).cloned().collect(),
            fault,
            decides: last.blocked.is_none(),
        })
    }
}

/// Most files that a status names.
const MOST_CHANGED: usize = 50;

/// What the ruleset of the source, or the built-in one, has against an update of the ref. That neither judged it is an
/// objection, too.
fn objection(verdict: &Verdict, reference: &RefName) -> Option<String> {
    let own = [SOURCE_RULESET, Ruleset::BUILTIN];
    let judged = verdict.refs.iter().find(|judged| judged.name == *reference);
    let content = judged.is_some_and(|judged| {
        own.iter().all(|name| {
            let mut rulesets = judged.rulesets.iter().filter(|ruleset| ruleset.name == *name);
            rulesets.next().is_some_and(|one| one.violations == 0 && one.waived == 0 && !one.exempt)
        })
    });
    if content {
        return None;
    }
    let of_ours = |name: &String| own.contains(&name.as_str());
    let first = verdict.violations.iter().find(|violation| violation.rulesets.iter().any(of_ours));
    Some(first.map_or_else(
        || "its ruleset did not judge it".to_owned(),
        |violation| format!("{}: {}", violation.rule, violation.seen),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_that_does_not_end_is_said() {
        let (seen, started) = (Seen::default(), Instant::now());
        assert_eq!(seen.stuck(started), None);
        *seen.looking() = Some(started);
        assert_eq!(seen.stuck(started + STUCK), None);
        let why = seen.stuck(started + STUCK + Duration::from_secs(1)).unwrap();
        assert!(why.contains("181 seconds"), "{why}");
    }
}
