//! What is to be judged of one repository, ref by ref, and fetching it.

use super::derive::{self, Moved, Told, Value};
use super::ground::Ground;
use super::moves::Item;
use super::review::Heard;
use crate::domain::{ObjectId, RefName};
use crate::git::{self, GitError, Mirror, RemoteError, Repository};
use crate::service::fault::Fault;
use std::collections::{HashMap, HashSet};

/// What need not be looked at, of what claims about one ref name.
struct Seen {
    known: HashSet<ObjectId>,
    recorded: HashSet<Value>,
}

impl Seen {
    fn derive(&self, judged: Value, found: Value, told: &[Told]) -> derive::Derived {
        let known = |id: &ObjectId| self.known.contains(id);
        derive::derive(judged, found, told, &known, &|value| self.recorded.contains(value))
    }
}

impl Ground<'_> {
    /// Fetches what is not there; what cannot be had, and why.
    pub(super) fn fetch(
        &self,
        mirror: &Mirror<'_>,
        ids: &[ObjectId],
    ) -> Result<HashMap<ObjectId, RemoteError>, Fault> {
        let there = mirror.judged()?;
        let mut wanted = Vec::new();
        for id in ids {
            if there.objects().find(id)?.is_none() {
                wanted.push(*id);
            }
        }
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let watched = self.watched;
        Ok(mirror.fetch(&watched.remote, &wanted, watched.quota, self.patience())?.into_iter().collect())
    }

    /// What is to be judged, ref by ref: those that moved, and those that claims speak of. All of it is fetched then.
    pub(super) fn plan(
        &self,
        mirror: &Mirror<'_>,
        heard: &Heard,
        moved: &[Moved],
        judged: &HashMap<RefName, Value>,
        tips: &HashMap<RefName, ObjectId>,
        lost: &mut HashMap<ObjectId, RemoteError>,
    ) -> Result<Vec<(RefName, Vec<Item>)>, Fault> {
        let repository = mirror.repository()?;
        let mut order: Vec<&RefName> = moved.iter().map(|one| &one.reference).collect();
        order.extend(heard.claims.keys().filter(|name| !moved.iter().any(|one| one.reference == **name)));
        let mut plans = Vec::new();
        for name in order {
            let at = judged.get(name).copied().flatten();
            let found = tips.get(name).copied();
            let claims = heard.claims.get(name).map_or(&[][..], Vec::as_slice);
            let told: Vec<Told> = claims.iter().map(|one| one.told).collect();
            let known = self.known(&repository, name, at, found, &told)?;
            let known = self.recorded(name, at, &told, known)?;
            plans.push((name.clone(), at, found, told, known));
        }
        let mut wanted = Vec::new();
        for (_, at, found, told, known) in &plans {
            let derived = known.derive(*at, *found, told);
            wanted.extend(derived.looks.iter().filter_map(|look| look.value));
            wanted.extend(derived.steps.iter().filter_map(|step| step.new));
        }
        wanted.retain(|id| !lost.contains_key(id));
        lost.extend(self.fetch(mirror, &wanted)?);
        let mut out = Vec::new();
        for (name, at, found, told, known) in plans {
            let is_lost = |value: Value| value.is_some_and(|id| lost.contains_key(&id));
            let mut derived = known.derive(at, found, &told);
            // A way over something that cannot be had is no way.
            let inner = derived.steps.len().saturating_sub(1);
            let broken: HashSet<Value> =
                derived.steps[..inner].iter().map(|step| step.new).filter(|value| is_lost(*value)).collect();
            if !broken.is_empty() {
                let whole = |one: &Told| !broken.contains(&one.before) && !broken.contains(&one.after);
                let kept: Vec<usize> = (0..told.len()).filter(|index| whole(&told[*index])).collect();
                let rest: Vec<Told> = kept.iter().map(|index| told[*index]).collect();
                let mut without = known.derive(at, found, &rest);
                for step in &mut without.steps {
                    step.told = step.told.map(|index| kept[index]);
                }
                let first = known.derive(at, at, &told).looks;
                derived.steps = without.steps;
                let on_path: HashSet<Value> = derived.steps.iter().map(|step| step.new).collect();
                derived.looks = first
                    .into_iter()
                    .filter(|look| look.value.is_none() || !on_path.contains(&look.value))
                    .collect();
            }
            let claims = heard.claims.get(&name).map_or(&[][..], Vec::as_slice);
            let announced = !claims.is_empty() || !heard.vague.is_empty();
            out.push((name, Item::all(at, &derived, claims, announced)));
        }
        Ok(out)
    }

    /// What there is nothing to tell of, of moves straight from what was judged last: they are on record, or lead to what
    /// is only known because it is on the way to what is found.
    fn recorded(
        &self,
        name: &RefName,
        judged: Value,
        told: &[Told],
        known: (HashSet<ObjectId>, HashSet<ObjectId>),
    ) -> Result<Seen, Fault> {
        let (mut known, between) = known;
        let mut recorded = HashSet::new();
        for after in told.iter().filter(|one| one.before == judged).map(|one| one.after) {
            let on_the_way = after.is_some_and(|id| between.contains(&id));
            let (old, new) = (judged.as_ref(), after.as_ref());
            if on_the_way || self.gate.store.was_moved(&self.watched.id, name, old, new)? {
                recorded.insert(after);
            }
        }
        known.extend(between);
        Ok(Seen { known, recorded })
    }

    /// Those ids of claims about a ref that need not be looked at: they were, or are ancestors of what was; and those
    /// that are only ancestors of what will be.
    fn known(
        &self,
        repository: &Repository,
        name: &RefName,
        judged: Value,
        found: Value,
        told: &[Told],
    ) -> Result<(HashSet<ObjectId>, HashSet<ObjectId>), Fault> {
        let mut unknown: HashSet<ObjectId> =
            told.iter().flat_map(|one| [one.before, one.after]).flatten().collect();
        let mut known = HashSet::new();
        for id in unknown.clone() {
            let judged_before = Some(id) == judged || Some(id) == found;
            if judged_before || self.gate.store.was_judged(&self.watched.id, name, &id)? {
                unknown.remove(&id);
                known.insert(id);
            }
        }
        let objects = repository.objects();
        for id in unknown.clone() {
            if objects.find(&id)?.is_none() {
                unknown.remove(&id);
            }
        }
        let stop = || -> Result<(), Fault> {
            match self.stop.load(std::sync::atomic::Ordering::Relaxed) {
                true => Err(Fault::ShuttingDown),
                false => Ok(()),
            }
        };
        let mut reached = Vec::new();
        for tip in [judged, found] {
            let there = match tip {
                Some(id) if !unknown.is_empty() => objects.find(&id)?.is_some(),
                _ => false,
            };
            let tips = tip.filter(|_| there).into_iter().collect::<Vec<_>>();
            let found: HashSet<ObjectId> = match tips.is_empty() {
                true => HashSet::new(),
                false => match git::reached(objects, tips, unknown.clone(), &stop) {
                    Ok(found) => found,
                    // What nobody can read makes nothing below it known, and keeps no other ref waiting (N30).
                    Err(Fault::Git(GitError::Object { .. })) => HashSet::new(),
                    Err(fault) => return Err(fault),
                },
            };
            unknown.retain(|id| !found.contains(id));
            reached.push(found);
        }
        let between = reached.pop().unwrap_or_default();
        known.extend(reached.into_iter().flatten());
        Ok((known, between))
    }
}
