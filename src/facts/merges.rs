//! What merges are worth: whether each is one, and whether its tree is what merging its parents gives
//! (N20).

use super::{Budget, CollectError};
use crate::domain::ObjectId;
use crate::git::{MergeShape, Merger, Objects, Recomputed, merge_shape};
use crate::policy::facts::{CommitFacts, MergeFacts};
use std::collections::HashMap;

/// Computes every merge of the push again. A merge of more than two parents is never clean: git merges two at
/// a time, and in which order these were merged is nowhere to be read.
pub(super) fn recompute(
    commits: &mut HashMap<ObjectId, CommitFacts>,
    objects: &Objects,
    budget: &Budget<'_>,
) -> Result<(), CollectError> {
    let mut merger = None;
    for commit in commits.values_mut().filter(|commit| commit.parents.len() > 1) {
        let stop = || budget.check();
        let real = merge_shape(objects, &commit.parents, &stop)? == MergeShape::Real;
        let same = match commit.parents[..] {
            [ours, theirs] if ours != theirs => {
                let merger = match &merger {
                    Some(merger) => merger,
                    None => merger.insert(Merger::new(objects)?),
                };
                merger.recompute(ours, theirs, budget.deadline)? == Recomputed::Clean(commit.tree)
            }
            _ => false,
        };
        let touched = same.then(|| Vec::new().into());
        commit.merge = Some(MergeFacts { real, clean: real && same, touched });
    }
    Ok(())
}
