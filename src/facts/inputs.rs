//! What facts are collected from.

use super::{Budget, Frontier, Updates};
use crate::domain::{ObjectId, Principal, PushContext, RefName};
use crate::git::Repository;
use crate::keyring::Keyring;
use crate::policy::facts::Needs;
use crate::policy::{Enforcement, Limits, Rulesets};
use crate::signature::Rules;
use std::sync::Arc;

/// Everything that [`super::collect()`] works from.
pub struct Inputs<'a> {
    /// The repository, opened together with the quarantine.
    pub repository: &'a Repository,
    /// Who, where, when.
    pub context: PushContext,
    /// The principal whose account pushes, where the keyring lists the account.
    pub pusher: Option<Arc<Principal>>,
    /// What git says the push does.
    pub updates: Updates,
    /// Where the present value of a ref comes from.
    pub present: Present<'a>,
    /// Whether git reports that the push comes with a shallow file (N6).
    pub shallow_push: bool,
    /// The rulesets in force.
    pub policy: &'a Rulesets,
    /// The counted budgets.
    pub limits: &'a Limits,
    /// How signatures are judged.
    pub signatures: &'a Rules,
    /// Ref hierarchies that may be pushed.
    pub namespaces: &'a [String],
    /// Whether a push to a symbolic ref is judged as a push to its target instead of refused (N4).
    pub allow_symref_push: bool,
    /// The keys that count.
    pub keyring: &'a Keyring,
    /// What was accepted before.
    pub frontier: &'a dyn Frontier,
    /// When to give up.
    pub budget: Budget<'a>,
}

impl Inputs<'_> {
    /// Which facts the rules of all rulesets for this repository need.
    pub(super) fn needs(&self) -> Needs {
        let name = &self.context.repository.name;
        let sets = self.policy.rulesets.iter().filter(|set| set.enforcement != Enforcement::Off);
        sets.filter(|set| set.applies_to_repository(name)).fold(Needs::NONE, |sum, set| sum.and(set.needs()))
    }

    /// What a forge has let in, where the repository holds more than that: all values that count, those of the refs
    /// that are judged included.
    pub(super) fn let_in(&self) -> Option<Vec<ObjectId>> {
        let Present::AsLetIn(refs, _) = self.present else { return None };
        let judged = self.updates.updates.iter().filter_map(|update| update.old);
        Some(refs.iter().map(|(_, id)| *id).chain(judged).collect())
    }
}

/// Where the present value of a ref comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present<'a> {
    /// From the repository: what an update claims is held against it (T18).
    InRepository,
    /// From the update itself: for judging a range in some clone of the repository.
    AsClaimed,
    /// From the update itself, and all other refs from here: for judging again what is on record.
    AsItWas(&'a [(RefName, ObjectId)]),
    /// The same for what a forge has let in, and names that are there although they were refused: they are in the way
    /// of others, and what they hold counts for nothing.
    AsLetIn(&'a [(RefName, ObjectId)], &'a [RefName]),
}
