//! What merges are worth: whether each is one, and whether its tree is what merging its parents gives
//! (N20).

use super::changes::figures;
use super::{Budget, CollectError};
use crate::domain::{ObjectId, ObjectKind};
use crate::git::{Comparison, Differ, GitError, MergeShape, Merger, Objects, Recomputed, merge_shape};
use crate::policy::Limits;
use crate::policy::facts::{CommitFacts, MergeFacts};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Computes those of these commits again that are merges. A merge of more than two parents is never clean: git merges two at
/// a time, and in which order these were merged is nowhere to be read.
pub(super) fn recompute(
    ids: &HashSet<ObjectId>,
    commits: &mut HashMap<ObjectId, CommitFacts>,
    objects: &Objects,
    limits: &Limits,
    budget: &Budget<'_>,
) -> Result<(), CollectError> {
    let mut merger = None;
    let mut merged: Vec<(ObjectId, Recomputed)> = Vec::new();
    let asked = |commit: &&mut CommitFacts| commit.parents.len() > 1 && ids.contains(&commit.id);
    for commit in commits.values_mut().filter(asked) {
        let stop = || budget.check();
        let real = merge_shape(objects, &commit.parents, &stop)? == MergeShape::Real;
        let mut same = false;
        if let [ours, theirs] = commit.parents[..]
            && ours != theirs
            && is_tree(objects, commit.tree)?
        {
            let merger = match &merger {
                Some(merger) => merger,
                None => merger.insert(Merger::new(objects)?),
            };
            let recomputed = merger.recompute(ours, theirs, budget.deadline)?;
            same = recomputed == Recomputed::Clean(commit.tree);
            if !same {
                merged.push((commit.id, recomputed));
            }
        }
        let touched = same.then(|| Vec::new().into());
        commit.merge = Some(MergeFacts { real, clean: real && same, touched });
    }
    let Some(merger) = merger.filter(|_| !merged.is_empty()) else { return Ok(()) };
    // The trees that the merges made are nowhere else.
    let objects = merger.objects()?;
    let mut differ = Differ::new(&objects, figures(limits));
    // Always in one order, so that a budget which does not suffice ends at the same place.
    merged.sort_unstable_by_key(|(id, _)| *id);
    for (id, recomputed) in merged {
        if let Some(commit) = commits.get_mut(&id)
            && let Some(merge) = &mut commit.merge
        {
            merge.touched = touched(&mut differ, recomputed, commit.tree, budget)?;
        }
    }
    Ok(())
}

/// A commit whose tree is not there, or is none, is refused where that is looked at; git need not be asked.
fn is_tree(objects: &Objects, id: ObjectId) -> Result<bool, CollectError> {
    Ok(objects.find(&id)?.is_some_and(|found| found.kind == ObjectKind::Tree))
}

/// The paths that are not as merging leaves them; `None` where that cannot be told.
fn touched(
    differ: &mut Differ<'_>,
    recomputed: Recomputed,
    tree: ObjectId,
    budget: &Budget<'_>,
) -> Result<Option<Arc<[Vec<u8>]>>, CollectError> {
    let (merged, conflicts) = match recomputed {
        Recomputed::Clean(tree) => (tree, Vec::new()),
        Recomputed::Conflict { tree, paths, more: false } => (tree, paths),
        Recomputed::Conflict { more: true, .. } | Recomputed::Unrelated => return Ok(None),
    };
    match differ.compare(Some(merged), Some(tree), &|| budget.check()) {
        Ok(Comparison::Complete(difference)) => {
            let changed = difference.changes.into_iter().map(|change| change.path);
            let all: BTreeSet<Vec<u8>> = changed.chain(conflicts).collect();
            Ok(Some(all.into_iter().collect()))
        }
        Ok(Comparison::Malformed(_) | Comparison::TooLarge(_)) => Ok(None),
        // Broken trees are refused, or make the push undecided, where they are looked at.
        Err(CollectError::Git(GitError::Missing { .. } | GitError::Object { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}
