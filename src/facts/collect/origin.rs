//! Where the objects of a push come from: what it brings, what the repository has of its own, and what it
//! only borrows (N12).

use super::Collector;
use crate::domain::{ObjectId, ObjectKind};
use crate::facts::CollectError;
use crate::facts::inputs::Inputs;
use crate::git;
use crate::policy::facts::RefFacts;
use crate::signature::object;
use std::collections::HashSet;

/// Those of the commits and tags that only an alternate has. What is in them may be nobody's business here: their
/// ids are known to the pusher, and that is all that is certain (N12).
pub(super) fn unquotable<'a>(
    inputs: &Inputs<'_>,
    refs: &[RefFacts],
    commits: impl Iterator<Item = &'a ObjectId>,
) -> Result<HashSet<ObjectId>, CollectError> {
    let objects = inputs.repository.objects();
    let mut out = HashSet::new();
    for id in commits.copied().chain(refs.iter().flat_map(|one| &one.tags).map(|tag| tag.id)) {
        inputs.budget.check()?;
        if objects.is_borrowed(&id)? {
            out.insert(id);
        }
    }
    Ok(out)
}

impl Collector<'_> {
    /// Whether an agent signed something of what an update brings to a ref, where no ruleset looks at commits.
    /// Where the history cannot be followed, nobody can say that none did.
    pub(super) fn by_agent(&self, current: Option<ObjectId>, tip: ObjectId) -> Result<bool, CollectError> {
        let inputs = self.inputs;
        let objects = inputs.repository.objects();
        let stop = || inputs.budget.check();
        let old = current.map(|current| git::leads_to(objects, current)).transpose()?.flatten();
        let commits = match old {
            Some((old, ObjectKind::Commit)) => git::between(objects, old, tip, &stop),
            _ => self.brought(tip).map(|(brought, _)| brought),
        };
        let commits = match commits {
            Ok(commits) if commits.len() <= inputs.limits.commits => commits,
            Ok(_) | Err(CollectError::Git(git::GitError::Missing { .. } | git::GitError::Object { .. })) => {
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        for commit in commits {
            if self.judge.by_agent(&commit)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The commits that the push brings below a tip, and those that they stand on and it does not bring.
    pub(super) fn brought(&self, tip: ObjectId) -> Result<(Vec<ObjectId>, HashSet<ObjectId>), CollectError> {
        let inputs = self.inputs;
        let objects = inputs.repository.objects();
        let (mut brought, mut edge) = (Vec::new(), HashSet::new());
        let (mut seen, mut waiting, mut raw) = (HashSet::from([tip]), vec![tip], Vec::new());
        while let Some(id) = waiting.pop() {
            inputs.budget.check()?;
            // What is nowhere is a fault of its own.
            let Some(found) = objects.find(&id)? else { continue };
            if !found.in_quarantine {
                edge.insert(id);
                continue;
            }
            brought.push(id);
            if found.kind != ObjectKind::Commit || found.size > inputs.limits.object_bytes as u64 {
                continue;
            }
            objects.read_unchecked(&id, &mut raw)?;
            let parents = object::parents_lenient(objects.format(), &raw).unwrap_or_default();
            waiting.extend(parents.into_iter().filter(|parent| seen.insert(*parent)));
        }
        Ok((brought, edge))
    }

    /// What the push puts its own commits, or its tag, on top of, although only another repository has it (N12).
    pub(super) fn foreign_below(
        &mut self,
        new: ObjectId,
        tip: ObjectId,
    ) -> Result<Vec<ObjectId>, CollectError> {
        let objects = self.inputs.repository.objects();
        let (_, edge) = self.brought(tip)?;
        let mut borrowed = HashSet::new();
        for id in edge {
            // A tip that was not pushed is a matter of its own.
            if id != new && objects.is_borrowed(&id)? {
                borrowed.insert(id);
            }
        }
        let own = self.own(borrowed.clone())?;
        let mut foreign: Vec<ObjectId> = borrowed.difference(&own).copied().collect();
        foreign.sort_unstable();
        Ok(foreign)
    }

    /// Those of some objects that the repository's own refs reach.
    pub(super) fn own(&mut self, objects: HashSet<ObjectId>) -> Result<HashSet<ObjectId>, CollectError> {
        if objects.is_empty() {
            return Ok(objects);
        }
        let tips = self.present()?.iter().map(|(_, tip)| *tip).collect();
        let inputs = self.inputs;
        git::reached(inputs.repository.objects(), tips, objects, &|| inputs.budget.check())
    }

    /// Whether the repository's own refs reach an object (N12).
    pub(super) fn reaches(&mut self, id: ObjectId) -> Result<bool, CollectError> {
        Ok(!self.own(HashSet::from([id]))?.is_empty())
    }
}
