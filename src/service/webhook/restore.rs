//! Taking back what a forge should not have let in (N32): off unless somebody configured it.
//!
//! A branch goes back to the newest commit on the first-parent line that passes the rulesets of now. Nothing goes towards
//! a commit that is tainted or that nobody can judge, nothing is taken back from an administrator, and whoever pushes the
//! same again wins for an hour: the gate does not fight with a program. What is dropped stays in the mirror under a name,
//! and everything that is tried stands in the record before it is done.

use super::ground::{ACCOUNT_ID, Ground, Judgement};
use super::report::{self, Known};
use super::sound::Standing;
use crate::audit::{Event, Mode, Record, RestoreEntry, RestoreStep};
use crate::domain::{
    ObjectId, ObjectKind, PushContext, Pusher, RefName, RefUpdate, RepositoryRef, Timestamp,
};
use crate::git::{Mirror, Objects, Repository};
use crate::policy::Rulesets;
use crate::service::fault::Fault;
use crate::service::gate::Gate;
use crate::signature::object::parents_lenient;
use crate::store::Filter;
use std::time::Duration;

/// Most commits that are looked at to find one to go back to. Each of them is judged.
const CANDIDATES: usize = 50;
/// For how long the same pair is not restored again, and how many restores a ref may have in it.
const PAUSE: Duration = Duration::from_secs(3600);
const MOST: usize = 3;
/// Below which name the mirror keeps what is dropped.
const RECOVERY: &str = "refs/countersign/recovery";

/// Whether a name of the mirror is one that keeps what was dropped.
pub(super) fn is_recovery(name: &RefName) -> bool {
    name.as_bytes().strip_prefix(RECOVERY.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
}

/// The refused move of a branch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused<'a> {
    /// Which branch.
    pub(super) reference: &'a RefName,
    /// What it held when it was last sound.
    pub(super) before: Option<ObjectId>,
    /// What it holds, and should not.
    pub(super) bad: Option<ObjectId>,
    /// Who moved it since, move by move.
    pub(super) pushers: &'a [Pusher],
}

/// What is to become of it.
enum Way {
    /// To this value.
    To(Option<ObjectId>),
    /// It stays, and why.
    Stay(&'static str),
}

impl Ground<'_> {
    /// Moves a branch back whose move was refused, where that is configured and right; gives what it holds then. Whatever
    /// goes wrong is on record, and leaves the branch to people.
    pub(super) fn restore(
        &self,
        mirror: &Mirror<'_>,
        refused: &Refused<'_>,
        judgement: &Judgement,
        standing: &Standing,
    ) -> Result<Option<Option<ObjectId>>, Fault> {
        let source = &self.watched.source;
        if !source.restore || refused.reference.branch().is_none() {
            return Ok(None);
        }
        let named = RepositoryRef { id: self.watched.id.clone(), name: self.watched.name.clone() };
        let text = |id: Option<ObjectId>| id.map(|id| id.to_string());
        let entry = RestoreEntry {
            repository: (&named).into(),
            reference: refused.reference.to_string(),
            bad: text(refused.bad),
            good: None,
            step: RestoreStep::Left,
            request_id: judgement.request.as_str().to_owned(),
            recovery: None,
            why: None,
        };
        let way =
            match self.forbids(refused) {
                Some(why) => Way::Stay(why),
                None => match self.way_back(&mirror.judged()?, refused, standing) {
                    Ok(way) => way,
                    Err(fault @ (Fault::ShuttingDown | Fault::Store(_))) => return Err(fault),
                    // Further back would be where nobody has looked either.
                    Err(fault) => {
                        self.note(entry.at(
                            RestoreStep::Left,
                            Some(&format!("it could not be judged where to: {fault}")),
                        ))?;
                        return Ok(None);
                    }
                },
            };
        let good = match way {
            Way::To(good) if good != refused.bad => good,
            Way::To(_) => return Ok(None),
            Way::Stay(why) => {
                self.note(entry.at(RestoreStep::Left, Some(why)))?;
                return Ok(None);
            }
        };
        let mut entry = RestoreEntry { good: text(good), ..entry };
        if let Some(why) = self.tried_lately(refused, good)? {
            self.note(entry.at(RestoreStep::Left, Some(why)))?;
            return Ok(None);
        }
        // What is dropped is kept before it is.
        if let Some(bad) = refused.bad {
            let name = format!("{RECOVERY}/{}", judgement.request);
            let reference = RefName::parse(name.as_bytes()).map_err(|_| Fault::Internal)?;
            mirror.move_refs(&[(reference, Some(bad))], self.patience())?;
            entry.recovery = Some(name);
        }
        self.note(entry.at(RestoreStep::Begun, None))?;
        let pushed =
            mirror.push_back(&self.watched.remote, refused.reference, refused.bad, good, self.patience());
        if let Err(error) = pushed {
            self.note(entry.at(RestoreStep::Failed, Some(&error.to_string())))?;
            return Ok(None);
        }
        let to = good.map_or_else(|| "removed".to_owned(), |good| format!("moved back to {}", good.short()));
        let note = format!("{} was {to} by countersign", refused.reference);
        let told = refused.bad.and_then(|bad| {
            let target = self.target(bad, refused.reference, false);
            report::report(
                &target,
                judgement.known.as_ref()?,
                Some(&judgement.request),
                Some(&note),
                Gate::now(),
            )
        });
        let done = entry.at(RestoreStep::Done, None);
        self.restored(done, refused.reference, refused.bad, good, told.into_iter().collect())?;
        Ok(Some(good))
    }

    /// Whether a move is one that this gate made, and did not live to write down.
    pub(super) fn is_own(
        &self,
        reference: &RefName,
        bad: Option<ObjectId>,
        good: Option<ObjectId>,
    ) -> Result<bool, Fault> {
        if !self.watched.source.restore || reference.branch().is_none() {
            return Ok(false);
        }
        let lately = self.lately(reference)?;
        let Some(last) = lately.iter().rev().find(|one| one.step != RestoreStep::Left) else {
            return Ok(false);
        };
        let text = |id: Option<ObjectId>| id.map(|id| id.to_string());
        // One that failed may have arrived all the same.
        let tried = matches!(last.step, RestoreStep::Begun | RestoreStep::Failed);
        if !tried || last.bad != text(bad) || last.good != text(good) {
            return Ok(false);
        }
        self.restored(last.at(RestoreStep::Done, None), reference, bad, good, Vec::new())?;
        Ok(true)
    }

    fn restored(
        &self,
        entry: RestoreEntry,
        reference: &RefName,
        bad: Option<ObjectId>,
        good: Option<ObjectId>,
        reports: Vec<crate::store::NewReport>,
    ) -> Result<(), Fault> {
        tracing::warn!(
            repository = %self.watched.name, reference = %reference, request_id = entry.request_id,
            bad = entry.bad, good = entry.good, recovery = entry.recovery, "a branch was moved back at the forge"
        );
        self.gate.store.record_restored(entry, reference.clone(), bad, good, reports)?;
        self.gate.outbox.ring();
        Ok(())
    }

    fn note(&self, entry: RestoreEntry) -> Result<(), Fault> {
        if entry.step != RestoreStep::Begun {
            tracing::warn!(
                repository = %self.watched.name, reference = entry.reference, request_id = entry.request_id,
                step = entry.step.name(), why = entry.why, "a branch that should not have moved was not moved back"
            );
        }
        self.gate.store.append(Record::new(Gate::now(), Event::Restore(entry)))?;
        Ok(())
    }

    /// Why a move is not taken back, whatever it was.
    fn forbids(&self, refused: &Refused<'_>) -> Option<&'static str> {
        let source = &self.watched.source;
        refused.pushers.iter().rev().find_map(|pusher| match pusher {
            Pusher::Known { name, details, .. }
                if source.is_administrator(name, details.get(ACCOUNT_ID).map(String::as_str)) =>
            {
                Some("an administrator moved it")
            }
            Pusher::Unknown if !source.administrators.is_empty() => {
                Some("nobody knows who moved it, and it may have been an administrator")
            }
            _ => None,
        })
    }

    /// What was tried of a ref within [`PAUSE`], oldest first.
    fn lately(&self, reference: &RefName) -> Result<Vec<RestoreEntry>, Fault> {
        let since = Timestamp::now().checked_sub(PAUSE).unwrap_or(Timestamp::UNIX_EPOCH);
        let filter = Filter {
            since: Some(since),
            repository: Some(self.watched.id.clone()),
            reference: Some(reference.clone()),
            ..Filter::default()
        };
        let mut found = Vec::new();
        for entry in self.gate.store.log(filter)? {
            if let Event::Restore(entry) = entry?.record()?.event {
                found.push(entry);
            }
        }
        Ok(found)
    }

    fn tried_lately(
        &self,
        refused: &Refused<'_>,
        good: Option<ObjectId>,
    ) -> Result<Option<&'static str>, Fault> {
        let lately = self.lately(refused.reference)?;
        let mut begun = lately.iter().filter(|one| one.step == RestoreStep::Begun);
        let text = |id: Option<ObjectId>| id.map(|id| id.to_string());
        if begun.clone().any(|one| one.bad == text(refused.bad) && one.good == text(good)) {
            return Ok(Some("the same was taken back within the hour, and somebody made it again"));
        }
        Ok(begun.nth(MOST - 1).map(|_| "this branch was moved back three times within the hour"))
    }

    /// Where a branch goes back to.
    fn way_back(
        &self,
        repository: &Repository,
        refused: &Refused<'_>,
        standing: &Standing,
    ) -> Result<Way, Fault> {
        let Some(before) = refused.before else {
            return Ok(match self.watched.source.restore_created {
                true => Way::To(None),
                false => Way::Stay("it was not there before, and `restore-created` is off"),
            });
        };
        let objects = repository.objects();
        let mut looked = 0;
        // From what is there; and, where that does not lead to what was there before, from that.
        let mut starts = Vec::new();
        if let Some(bad) = refused.bad {
            starts.push((first_parent(objects, bad)?, Some(before)));
        }
        // Who moved it to what is below that was looked at when it was judged. It may have been left there because an
        // administrator did it, so with administrators nothing goes below it.
        let administrators = !self.watched.source.administrators.is_empty();
        starts.push((Some(before), administrators.then_some(before)));
        for (index, (start, until)) in starts.iter().enumerate() {
            let line = first_parents(objects, *start, *until)?;
            // What was made beside the line that was there is no way back to it.
            if index + 1 < starts.len() && line.last() != Some(&before) {
                continue;
            }
            for candidate in line {
                looked += 1;
                if looked > CANDIDATES {
                    return Ok(Way::Stay("none of the 50 newest commits on the line passes"));
                }
                // Above what was sound, all that came since is one change, as it would have been in one push.
                let whole = (index + 1 < starts.len() && candidate != before).then_some(before);
                if Some(candidate) != refused.bad
                    && self.passes(repository, refused, candidate, whole, standing)?
                {
                    return Ok(Way::To(Some(candidate)));
                }
            }
            if index + 1 < starts.len() {
                // The rest of it is the other line without its tip, which was looked at.
                continue;
            }
        }
        Ok(Way::Stay(match administrators {
            true => "what it held before does not pass, and an administrator may have moved it there",
            false => "no commit on the line passes",
        }))
    }

    /// Whether the rulesets of now accept a commit as the tip of the branch, and nothing below it is tainted. `whole` is
    /// where its change begins, if not with its first parent.
    fn passes(
        &self,
        repository: &Repository,
        refused: &Refused<'_>,
        candidate: ObjectId,
        whole: Option<ObjectId>,
        standing: &Standing,
    ) -> Result<bool, Fault> {
        let case = self.case(
            &RefUpdate { name: refused.reference.clone(), old: None, new: Some(candidate) },
            Mode::Proposed,
        );
        // Its own change is what rules about a range see; commits that nobody has accepted are judged one by one.
        let old = match whole {
            Some(sound) => Some(sound),
            None => first_parent(repository.objects(), candidate)?,
        };
        let update = RefUpdate { old, ..case.update.clone() };
        let (present, names) = standing.let_in();
        let passes = |pusher: Pusher, policy: &Rulesets| -> Result<bool, Fault> {
            let context = PushContext { pusher, ..self.context(&case)? };
            // That the branch had it already is no excuse here.
            let decided =
                self.judge(repository, (&present, &names), context, update.clone(), policy, None)?;
            // What stands on something that a bypass let in is of that ref alone, and no ground to go back to.
            let waived = decided.verdict.waiver_count > 0
                || decided.facts.refs.iter().any(|facts| !facts.own_ref.is_empty());
            let known = decided.verdict.refs.first().map(|one| Known::of(&decided.verdict, one, policy));
            Ok(!waived && matches!(known, Some(Known::Accepted { .. })))
        };
        if !passes(Pusher::Unknown, &self.snapshot.config.policy.for_proposals())? {
            return Ok(false);
        }
        // What came since is let in by that: it has to be what those who pushed it may push.
        let pushers = if whole.is_some() { refused.pushers } else { &[] };
        for pusher in pushers {
            if !passes(pusher.clone(), &self.snapshot.config.policy)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The first-parent line from `start` on, up to and with `until`, at most [`CANDIDATES`] commits and one.
fn first_parents(
    objects: &Objects,
    start: Option<ObjectId>,
    until: Option<ObjectId>,
) -> Result<Vec<ObjectId>, Fault> {
    let mut line = Vec::new();
    let mut next = start;
    while let Some(id) = next {
        line.push(id);
        if Some(id) == until || line.len() > CANDIDATES {
            break;
        }
        next = first_parent(objects, id)?;
    }
    Ok(line)
}

fn first_parent(objects: &Objects, id: ObjectId) -> Result<Option<ObjectId>, Fault> {
    let mut buffer = Vec::new();
    if objects.read(&id, &mut buffer)? != Some(ObjectKind::Commit) {
        return Ok(None);
    }
    Ok(parents_lenient(objects.format(), &buffer).and_then(|parents| parents.first().copied()))
}
