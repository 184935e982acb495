//! What a ref is judged from, and on whose account.
//!
//! A forge has moved a ref before anybody judges it, so what was judged last is where it stands, refused or not. But a
//! refused move is no ground to judge the next one from. Until the ref is put right, its moves are judged from what it
//! held before, its last sound value: as a hook would have judged them, which would never have let the refused one in.

use super::derive::Value;
use super::ground::{Case, Ground};
use crate::domain::{ObjectId, ObjectKind, Pusher, RefName};
use crate::forge::Actor;
use crate::git::{self, GitError, Mirror, Objects, Relation};
use crate::policy::Enforcement;
use crate::service::fault::Fault;
use crate::store::{Mover, Unsound};
use std::collections::{BTreeMap, HashSet};

/// Below which name the mirror keeps the sound values of refs that were moved away from them.
const SOUND: &str = "refs/countersign/sound";
/// Refused moves of one ref that are looked at one by one. Of more, whoever made one of them has a part in what stands.
const MOST_MOVES: usize = 100;
/// How many accounts a move is judged for, beside that of who made it. Of more, nobody knows whose it is.
const MOST_MOVERS: usize = 8;

/// What the refs of a repository hold and held.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// What they were judged at last, and hold, by name.
    present: Vec<(RefName, ObjectId)>,
    /// Those of them that a refused move has led there, or away.
    unsound: BTreeMap<RefName, Unsound>,
}

impl Standing {
    pub(super) fn new(judged: &[(RefName, Value)], unsound: Vec<(RefName, Unsound)>) -> Self {
        let mut present: Vec<(RefName, ObjectId)> =
            judged.iter().filter_map(|(name, value)| Some((name.clone(), (*value)?))).collect();
        present.sort();
        Standing { present, unsound: unsound.into_iter().collect() }
    }

    /// What the refs hold.
    pub(super) fn present(&self) -> &[(RefName, ObjectId)] {
        &self.present
    }

    fn tip(&self, name: &RefName) -> Value {
        let found = self.present.binary_search_by(|(one, _)| one.cmp(name));
        found.ok().map(|at| self.present[at].1)
    }

    /// What is known of a ref that was refused where it stands.
    pub(super) fn unsound(&self, name: &RefName) -> Option<&Unsound> {
        self.unsound.get(name)
    }

    /// What a ref held when it was last sound.
    pub(super) fn sound(&self, name: &RefName) -> Value {
        self.unsound.get(name).map_or_else(|| self.tip(name), |unsound| unsound.sound)
    }

    /// What the refs hold as far as it was let in; and the names that should not be there, and are.
    pub(super) fn let_in(&self) -> (Vec<(RefName, ObjectId)>, Vec<RefName>) {
        let mut all: BTreeMap<RefName, ObjectId> = self.present.iter().cloned().collect();
        let mut refused = Vec::new();
        for (name, unsound) in &self.unsound {
            match unsound.sound {
                Some(sound) => drop(all.insert(name.clone(), sound)),
                None if all.remove(name).is_some() => refused.push(name.clone()),
                None => {}
            }
        }
        (all.into_iter().collect(), refused)
    }

    /// What the mirror has names for: what the refs hold, and what they are judged from, by name.
    pub(super) fn kept(&self) -> Vec<(RefName, ObjectId)> {
        let mut all: BTreeMap<RefName, ObjectId> = self.present.iter().cloned().collect();
        all.extend(self.unsound.values().filter_map(|unsound| held(unsound.sound?)));
        all.into_iter().collect()
    }

    /// A ref was judged at another value.
    pub(super) fn moved(&mut self, name: &RefName, value: Value) {
        self.present.retain(|(one, _)| one != name);
        if let Some(id) = value {
            self.present.push((name.clone(), id));
            self.present.sort();
        }
    }

    /// A ref is sound where it stands.
    pub(super) fn set_sound(&mut self, name: &RefName) {
        self.unsound.remove(name);
    }

    /// A ref is refused where it stands.
    pub(super) fn set_unsound(&mut self, name: &RefName, now: Unsound, mover: Option<Mover>) {
        let tip = now.tip;
        let unsound = self.unsound.entry(name.clone()).or_insert_with(|| now.clone());
        unsound.tip = tip;
        unsound.refused_by = now.refused_by;
        unsound.moves.push((tip, mover));
    }
}

/// The name by which the mirror keeps a sound value.
fn held(sound: ObjectId) -> Option<(RefName, ObjectId)> {
    RefName::parse(format!("{SOUND}/{sound}").as_bytes()).ok().map(|name| (name, sound))
}

/// As the store knows an account.
pub(super) fn mover(actor: &Actor) -> Mover {
    Mover { login: actor.login.clone(), id: actor.id.clone() }
}

impl Ground<'_> {
    /// Keeps a sound value in the mirror before its ref leaves it.
    pub(super) fn hold(&self, mirror: &Mirror<'_>, sound: Value) {
        if let Some((name, id)) = sound.and_then(held) {
            self.move_refs(mirror, &[(name, Some(id))]);
        }
    }

    /// The value that a case is judged from, where its ref is refused as it stands.
    pub(super) fn sound_value(
        &self,
        objects: &Objects,
        case: &Case,
        unsound: &Unsound,
    ) -> Result<Value, Fault> {
        if let Some(sound) = unsound.sound
            && unsound.sound != case.update.new
            && objects.find(&sound)?.is_none()
        {
            return Err(Fault::SoundLost {
                reference: case.update.name.clone(),
                sound,
                refused_by: unsound.refused_by.clone(),
                repository: self.watched.name.clone(),
            });
        }
        Ok(unsound.sound)
    }

    /// Who made the refused moves of a ref.
    pub(super) fn movers(&self, unsound: &Unsound) -> Vec<Pusher> {
        unsound.moves.iter().map(|(_, mover)| self.pusher_of(mover.as_ref())).collect()
    }

    fn pusher_of(&self, mover: Option<&Mover>) -> Pusher {
        let actor = mover.map(|mover| Actor { login: mover.login.clone(), id: mover.id.clone() });
        self.pusher(actor.as_ref())
    }

    /// On whose account a case is judged beside that of who made the move: those whose refused moves it stands on.
    ///
    /// Before a hook, whoever pushes on top of what was refused brings all of it, and knows it. At a forge that is what
    /// is there: whoever builds on it may not even have seen that it was refused. So nobody's rights are lent to others
    /// that way. Whoever moves the ref away from what was refused answers for that alone.
    pub(super) fn others(
        &self,
        objects: &Objects,
        case: &Case,
        unsound: &Unsound,
    ) -> Result<Vec<Pusher>, Fault> {
        let Some(new) = case.update.new else { return Ok(Vec::new()) };
        let few = unsound.moves.len() <= MOST_MOVES;
        let keeps = match unsound.sound {
            // No such ref is where everything begins.
            None => true,
            Some(sound) => few && self.descends(objects, new, sound)?,
        };
        let mut movers: Vec<Option<&Mover>> = Vec::new();
        for (value, mover) in &unsound.moves {
            if *mover == case.mover || movers.contains(&mover.as_ref()) {
                continue;
            }
            let stands = match value {
                _ if !few => true,
                // What was lost with the ref is not there yet.
                None => !keeps,
                Some(value) => {
                    let below = match unsound.sound {
                        Some(sound) if keeps => self.descends(objects, sound, *value)?,
                        _ => false,
                    };
                    !below && self.descends(objects, new, *value)?
                }
            };
            if stands {
                movers.push(mover.as_ref());
            }
        }
        if movers.len() > MOST_MOVERS {
            return Ok(vec![Pusher::Unknown]);
        }
        Ok(movers.into_iter().map(|mover| self.pusher_of(mover)).collect())
    }

    /// Whether a value is another, or what that leads to is in its history.
    fn descends(&self, objects: &Objects, new: ObjectId, old: ObjectId) -> Result<bool, Fault> {
        let commit = |value: ObjectId| -> Result<Option<ObjectId>, Fault> {
            // Whatever a fetched value stands on is there.
            if objects.find(&value)?.is_none() {
                return Ok(None);
            }
            let found = git::leads_to(objects, value)?;
            Ok(found.filter(|(_, kind)| *kind == ObjectKind::Commit).map(|(id, _)| id))
        };
        if new == old {
            return Ok(true);
        }
        let (Some(new), Some(old)) = (commit(new)?, commit(old)?) else { return Ok(false) };
        let stop = || -> Result<(), Fault> {
            match self.stop.load(std::sync::atomic::Ordering::Relaxed) {
                true => Err(Fault::ShuttingDown),
                false => Ok(()),
            }
        };
        match git::relate(objects, old, new, &stop) {
            Ok(relation) => Ok(relation == Relation::Descends),
            // What was refused may be such that nobody can read it. What stands on it names it.
            Err(Fault::Git(GitError::Object { id, .. })) if id == old => {
                Ok(!git::reached(objects, vec![new], HashSet::from([old]), &stop)?.is_empty())
            }
            Err(fault) => Err(fault),
        }
    }

    /// Whether every enforcing ruleset that judges commits for a ref has let a value in there: consent of others is none
    /// for it (N28).
    pub(super) fn is_vouched_for(
        &self,
        objects: &Objects,
        name: &RefName,
        value: ObjectId,
        default_branch: Option<&RefName>,
    ) -> Result<bool, Fault> {
        let Some((commit, ObjectKind::Commit)) = git::leads_to(objects, value)? else { return Ok(false) };
        let policy = &self.snapshot.config.policy;
        let frontier = self.gate.store.frontier(&self.watched.id)?;
        for index in policy.covering(&self.watched.name, name, default_branch) {
            let ruleset = &policy.rulesets[index];
            let asked = ruleset.enforcement == Enforcement::Enforce
                && ruleset.judges_commits()
                && !ruleset.by_default;
            if asked && frontier.scope_of(&ruleset.name, name, &commit)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
