//! What a compromised key leaves behind: commits on record that count for nobody else any more (N8, N14).

use super::{Budget, CollectError};
use crate::domain::{ObjectId, ObjectKind};
use crate::git::Objects;
use crate::signature::object::parents_lenient;
use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};

/// The tainted commits of one ruleset. What is found out about a history is kept for all refs of a push, so
/// that it is looked through once.
pub(super) struct Taint {
    tainted: HashSet<ObjectId>,
    /// Whether a commit's history, itself included, holds a tainted one.
    known: RefCell<HashMap<ObjectId, bool>>,
}

/// The same, seen from one ref.
pub(super) struct RefTaint<'a> {
    taint: &'a Taint,
    /// What the ref held when the gate last judged it.
    tip: Option<ObjectId>,
    /// No other ref of the push could build on what is found out for this one.
    alone: bool,
    /// What the ref reached already: there it stands, until somebody decides.
    own: OnceCell<HashSet<ObjectId>>,
}

/// For whom an accepted commit still counts as judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    /// For everybody: nothing in its history is tainted.
    Shared,
    /// For this ref, which had it already, and for no other: not in this very push, either.
    OwnRef,
    /// Not for this ref: it is judged again.
    No,
}

impl Taint {
    pub(super) fn new(tainted: HashSet<ObjectId>) -> Self {
        Taint { tainted, known: RefCell::default() }
    }

    /// `tip` is what the ref held when the gate last judged it; `alone` is whether the push has no other ref.
    pub(super) fn of(&self, tip: Option<ObjectId>, alone: bool) -> RefTaint<'_> {
        RefTaint { taint: self, tip, alone, own: OnceCell::new() }
    }

    /// Whether a commit's history holds a tainted commit.
    fn is_below(&self, objects: &Objects, id: ObjectId, budget: &Budget<'_>) -> Result<bool, CollectError> {
        let mut known = self.known.borrow_mut();
        let mut buffer = Vec::new();
        // Depth first with an explicit stack: a commit is clean once all its parents are.
        let mut stack: Vec<(ObjectId, std::vec::IntoIter<ObjectId>)> = Vec::new();
        let mut next = Some(id);
        loop {
            if let Some(id) = next.take() {
                let found = self.tainted.contains(&id) || known.get(&id) == Some(&true);
                if found {
                    // So is everything that led here.
                    known.extend(stack.iter().map(|(child, _)| (*child, true)).chain([(id, true)]));
                    return Ok(true);
                }
                budget.check()?;
                // Ancestry has no cycles, so it is not met again before it is finished.
                if known.insert(id, false).is_none() {
                    stack.push((id, parents(objects, &id, &mut buffer)?.into_iter()));
                }
            }
            match stack.last_mut() {
                None => return Ok(false),
                Some((_, rest)) => match rest.next() {
                    Some(parent) => next = Some(parent),
                    None => drop(stack.pop()),
                },
            }
        }
    }
}

impl RefTaint<'_> {
    /// For whom an accepted commit still counts.
    pub(super) fn counts(
        &self,
        objects: &Objects,
        id: &ObjectId,
        budget: &Budget<'_>,
    ) -> Result<Counts, CollectError> {
        // Most pushes put something on top of what the ref holds. Whether that is tainted is of interest
        // only to other refs of the push.
        if self.alone && self.tip == Some(*id) {
            return Ok(Counts::OwnRef);
        }
        if !self.taint.is_below(objects, *id, budget)? {
            return Ok(Counts::Shared);
        }
        Ok(if self.own(objects, budget)?.contains(id) { Counts::OwnRef } else { Counts::No })
    }

    fn own(&self, objects: &Objects, budget: &Budget<'_>) -> Result<&HashSet<ObjectId>, CollectError> {
        if let Some(known) = self.own.get() {
            return Ok(known);
        }
        let mut own = HashSet::new();
        let mut buffer = Vec::new();
        let mut waiting: Vec<_> = self.tip.into_iter().collect();
        while let Some(id) = waiting.pop() {
            if own.insert(id) {
                budget.check()?;
                waiting.extend(parents(objects, &id, &mut buffer)?);
            }
        }
        Ok(self.own.get_or_init(|| own))
    }
}

/// What cannot be followed was on record, so it is history: it holds nothing that is known. Of an annotated
/// tag, which only a ref's value can be, it is what the tag points at.
fn parents(objects: &Objects, id: &ObjectId, buffer: &mut Vec<u8>) -> Result<Vec<ObjectId>, CollectError> {
    Ok(match objects.read_unchecked(id, buffer)? {
        Some(ObjectKind::Commit) => parents_lenient(objects.format(), buffer).unwrap_or_default(),
        Some(ObjectKind::Tag) => {
            let line = buffer.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let target = line.strip_prefix(b"object ").and_then(|hex| ObjectId::parse(hex).ok());
            target.into_iter().collect()
        }
        _ => Vec::new(),
    })
}
