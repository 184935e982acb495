//! What a compromised key leaves behind: commits on record that count for nobody else any more (N8, N14).

use super::{Budget, CollectError};
use crate::domain::{ObjectId, ObjectKind};
use crate::git::Objects;
use crate::signature::object::parents_lenient;
use std::cell::RefCell;
use std::collections::HashSet;

/// The tainted commits of one ruleset, seen from one ref.
pub(super) struct Taint {
    tainted: HashSet<ObjectId>,
    /// What the ref reached already: there it stands, until somebody decides.
    own: HashSet<ObjectId>,
    /// Commits whose whole history was looked through and holds nothing tainted.
    clean: RefCell<HashSet<ObjectId>>,
}

impl Taint {
    /// `tip` is what the ref held when the gate last judged it.
    pub(super) fn new(
        objects: &Objects,
        tainted: HashSet<ObjectId>,
        tip: Option<ObjectId>,
        budget: &Budget<'_>,
    ) -> Result<Self, CollectError> {
        let mut own = HashSet::new();
        if let Some(tip) = tip {
            reach(objects, tip, &mut own, budget, &|_| false)?;
        }
        Ok(Taint { tainted, own, clean: RefCell::default() })
    }

    /// Whether an accepted commit still counts as judged for the ref.
    pub(super) fn counts(
        &self,
        objects: &Objects,
        id: &ObjectId,
        budget: &Budget<'_>,
    ) -> Result<bool, CollectError> {
        if self.own.contains(id) {
            return Ok(true);
        }
        let mut clean = self.clean.borrow_mut();
        let mut seen = clean.clone();
        let found = reach(objects, *id, &mut seen, budget, &|id| self.tainted.contains(id))?;
        if !found {
            *clean = seen;
        }
        Ok(!found)
    }
}

/// Adds what a commit reaches to `seen`, and stops early, with `true`, at a commit that is looked for. What
/// is in `seen` already is not looked at again.
fn reach(
    objects: &Objects,
    from: ObjectId,
    seen: &mut HashSet<ObjectId>,
    budget: &Budget<'_>,
    wanted: &dyn Fn(&ObjectId) -> bool,
) -> Result<bool, CollectError> {
    let mut buffer = Vec::new();
    let mut waiting = vec![from];
    while let Some(id) = waiting.pop() {
        if !seen.insert(id) {
            continue;
        }
        if wanted(&id) {
            return Ok(true);
        }
        if seen.len().is_multiple_of(1024) {
            budget.check()?;
        }
        // What cannot be followed was on record, so it is history: it holds nothing that is known.
        if objects.read_unchecked(&id, &mut buffer)? == Some(ObjectKind::Commit) {
            waiting.extend(parents_lenient(objects.format(), &buffer).unwrap_or_default());
        }
    }
    Ok(false)
}
