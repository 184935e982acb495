//! What counted as judged at some moment of the past, as far as it can be told today.

use crate::domain::{ObjectId, ObjectKind, RefName, Timestamp};
use crate::facts::{CollectError, Frontier, Standing};
use crate::git::{GitError, Objects};
use crate::signature::object::parents_lenient;
use crate::store::Receipts;
use std::collections::{HashMap, HashSet};

/// What counts as judged. It only grows, as the gate's own record does.
pub(super) struct Past {
    everywhere: HashSet<ObjectId>,
    /// By the name of the ruleset.
    own: HashMap<String, HashSet<ObjectId>>,
    /// Receipts on record, and the moment before which they were there.
    receipts: Option<Receipts>,
    before: Option<Timestamp>,
}

impl Past {
    pub(super) fn new() -> Self {
        Past { everywhere: HashSet::new(), own: HashMap::new(), receipts: None, before: None }
    }

    /// With the gate's receipts.
    pub(super) fn with(receipts: Option<Receipts>) -> Self {
        Past { receipts, ..Past::new() }
    }

    /// From now on only receipts from before this moment count.
    pub(super) fn set_moment(&mut self, at: Timestamp) {
        self.before = Some(at);
    }

    /// Everything that a tip reaches counts, for all rulesets.
    pub(super) fn add_everywhere(&mut self, objects: &Objects, tip: ObjectId) -> Result<(), GitError> {
        reach(&mut self.everywhere, objects, tip)
    }

    /// Everything that a tip reaches counts for one ruleset.
    pub(super) fn add(&mut self, ruleset: &str, objects: &Objects, tip: ObjectId) -> Result<(), GitError> {
        if !self.own.contains_key(ruleset) {
            self.own.insert(ruleset.to_owned(), HashSet::new());
        }
        self.own.get_mut(ruleset).map_or(Ok(()), |own| reach(own, objects, tip))
    }
}

/// Adds a tip and what it reaches, up to what is there already. What is not in the repository any more is left out:
/// whoever needs it finds that it is missing.
fn reach(set: &mut HashSet<ObjectId>, objects: &Objects, tip: ObjectId) -> Result<(), GitError> {
    let mut waiting = vec![tip];
    let mut buffer = Vec::new();
    while let Some(id) = waiting.pop() {
        if set.contains(&id) {
            continue;
        }
        match objects.read_unchecked(&id, &mut buffer)? {
            Some(ObjectKind::Commit) => {
                set.insert(id);
                let parents = parents_lenient(objects.format(), &buffer);
                let why = || "its parents cannot be read".to_owned();
                waiting.extend(parents.ok_or_else(|| GitError::Object { id, why: why() })?);
            }
            Some(ObjectKind::Tag) => {
                let line = buffer.split(|byte| *byte == b'\n').next().unwrap_or_default();
                waiting.extend(line.strip_prefix(b"object ").and_then(|hex| ObjectId::parse(hex).ok()));
            }
            Some(_) | None => {}
        }
    }
    Ok(())
}

impl Frontier for Past {
    fn standing(
        &self,
        ruleset: &str,
        _: &RefName,
        commit: &ObjectId,
    ) -> Result<Option<Standing>, CollectError> {
        let own = self.own.get(ruleset).is_some_and(|own| own.contains(commit));
        Ok((own || self.everywhere.contains(commit)).then_some(Standing::Shared))
    }

    fn has_record(&self, _: &str) -> Result<bool, CollectError> {
        Ok(true)
    }

    fn tainted(&self, _: &str, _: &[(String, i64)]) -> Result<Vec<ObjectId>, CollectError> {
        Ok(Vec::new())
    }

    fn judged_tip(&self, _: &RefName) -> Result<Option<ObjectId>, CollectError> {
        Ok(None)
    }

    fn received(&self, commit: &ObjectId) -> Result<Option<Timestamp>, CollectError> {
        let (Some(receipts), Some(before)) = (&self.receipts, self.before) else { return Ok(None) };
        let at = receipts.received(commit).map_err(|e| CollectError::Record(e.to_string()))?;
        Ok(at.filter(|at| *at < before))
    }
}
