//! What is to be judged, one after the other, and which deliveries are done with it.

use super::base::stored;
use super::derive::{Derived, Moved, Value};
use super::review::{Claimed, Heard};
use crate::audit::Mode;
use crate::domain::RefName;
use crate::forge::Actor;
use crate::service::fault::Fault;
use crate::service::gate::Gate;
use crate::store::Store;
use std::collections::{BTreeMap, BTreeSet};

/// One thing to judge.
pub(super) struct Item {
    pub(super) old: Value,
    pub(super) new: Value,
    pub(super) mode: Mode,
    /// Who did it, where an event says exactly this.
    pub(super) actor: Option<Actor>,
}

impl Item {
    /// What was derived of a ref that was judged last at `judged`, in order.
    pub(super) fn all(judged: Value, derived: &Derived, claims: &[Claimed], announced: bool) -> Vec<Item> {
        let actor = |told: Option<usize>| told.and_then(|index| claims.get(index)?.actor.clone());
        let looks = derived.looks.iter().map(|look| Item {
            old: judged,
            new: look.value,
            mode: Mode::Transient,
            actor: actor(look.told),
        });
        let moved = if announced { Mode::Detected } else { Mode::Unannounced };
        let steps = derived.steps.iter().map(|step| Item {
            old: step.old,
            new: step.new,
            mode: moved,
            actor: actor(step.told),
        });
        looks.chain(steps).collect()
    }
}

/// Which deliveries wait for which refs.
pub(super) struct Queue {
    waiting: BTreeMap<u64, BTreeSet<RefName>>,
    done: BTreeSet<u64>,
    why: Option<String>,
    proposals: BTreeSet<u64>,
}

impl Queue {
    pub(super) fn new(heard: &Heard, moved: &[Moved]) -> Self {
        let mut waiting = heard.refs.clone();
        for number in &heard.vague {
            let refs = waiting.entry(*number).or_default();
            refs.extend(moved.iter().map(|one| one.reference.clone()));
        }
        Queue { waiting, done: BTreeSet::new(), why: None, proposals: BTreeSet::new() }
    }

    /// The deliveries that are done once this ref is.
    pub(super) fn finishing(&self, reference: &RefName) -> Vec<u64> {
        let last = |refs: &BTreeSet<RefName>| refs.len() == 1 && refs.contains(reference);
        self.waiting.iter().filter(|(_, refs)| last(refs)).map(|(number, _)| *number).collect()
    }

    /// There is nothing to judge of a ref.
    pub(super) fn nothing(&mut self, reference: &RefName) {
        for refs in self.waiting.values_mut() {
            refs.remove(reference);
        }
    }

    /// All of a ref is judged and recorded, with the end of the deliveries that were finishing.
    pub(super) fn finished(&mut self, reference: &RefName) {
        let done = self.finishing(reference);
        self.done.extend(done.iter().copied());
        for refs in self.waiting.values_mut() {
            refs.remove(reference);
        }
        self.waiting.retain(|number, _| !self.done.contains(number));
    }

    /// Something about a ref is undecided.
    pub(super) fn blocked(&mut self, reference: &RefName, fault: &Fault) {
        self.why.get_or_insert_with(|| format!("{reference}: {fault}"));
        for refs in self.waiting.values_mut().filter(|refs| refs.contains(reference)) {
            // No ref is called so: it is never finished.
            refs.insert(never());
        }
    }

    /// Proposals that are undecided, and why.
    pub(super) fn wait_for(&mut self, proposals: BTreeMap<u64, String>) {
        for (number, why) in proposals {
            self.why.get_or_insert(why);
            self.proposals.insert(number);
        }
    }

    /// Ends the deliveries that led to nothing, and says of the others why they wait.
    pub(super) fn end(self, store: &Store, heard: &Heard) -> Result<Option<String>, Fault> {
        let now = Gate::now();
        for (number, why) in &heard.useless {
            store.finish_deliveries(vec![*number], now, why)?;
        }
        let blocked = |refs: &BTreeSet<RefName>| refs.contains(&never());
        let (waiting, idle): (Vec<_>, Vec<_>) = self.waiting.iter().partition(|(_, refs)| blocked(refs));
        let idle: Vec<u64> = idle.into_iter().map(|(number, _)| *number).collect();
        if !idle.is_empty() {
            let why = "nothing was left to judge: it was judged before, or is not watched";
            store.finish_deliveries(idle, now, why)?;
        }
        let mut waiting: Vec<u64> = waiting.into_iter().map(|(number, _)| *number).collect();
        waiting.extend(self.proposals);
        if let (false, Some(why)) = (waiting.is_empty(), &self.why) {
            stored(store.deliveries_wait(waiting, why), "cannot note why deliveries wait");
        }
        Ok(self.why)
    }
}

/// A name that is none of a watched ref.
fn never() -> RefName {
    RefName::parse(b"refs/never").expect("it follows git's rules")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> RefName {
        RefName::parse(name.as_bytes()).unwrap()
    }

    #[test]
    fn a_delivery_is_done_with_the_last_of_its_refs_and_never_with_one_that_waits() {
        let (a, b, c) = (name("refs/heads/a"), name("refs/heads/b"), name("refs/heads/c"));
        let mut heard = Heard::default();
        heard.refs.insert(1, [a.clone(), b.clone()].into());
        heard.refs.insert(2, [a.clone()].into());
        heard.refs.insert(3, [a.clone(), c.clone()].into());
        heard.refs.insert(4, BTreeSet::new());
        heard.vague.push(4);
        let moved = [Moved { reference: b.clone(), judged: None, found: None }];
        let mut queue = Queue::new(&heard, &moved);
        queue.blocked(&c, &Fault::ShuttingDown);
        assert_eq!(queue.finishing(&a), [2]);
        queue.finished(&a);
        assert_eq!(queue.finishing(&b), [1, 4]);
        queue.finished(&b);
        assert_eq!(queue.waiting.keys().copied().collect::<Vec<_>>(), [3]);
        assert!(queue.finishing(&c).is_empty());
    }
}
