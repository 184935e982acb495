//! What is to be judged, one after the other, and which deliveries are done with it.

use super::base::stored;
use super::derive::{Derived, Told, Value};
use super::review::{Claimed, Heard};
use crate::audit::Mode;
use crate::domain::{RefName, RequestId};
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
        // Where deliveries say the same of different accounts, one may be an old one that was sent again, and nobody
        // can tell who it was this time (N29).
        let actor = |told: Option<usize>| {
            let claim = claims.get(told?)?;
            let mut same = claims.iter().filter(|one| one.told == claim.told);
            same.all(|one| one.actor == claim.actor).then(|| claim.actor.clone())?
        };
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

/// Which deliveries wait for what: by ref, and place in the list of what is judged of it.
pub(super) struct Queue {
    waiting: BTreeMap<u64, BTreeSet<(RefName, usize)>>,
    claims: BTreeMap<RefName, Vec<(u64, Value, Value)>>,
    why: Option<String>,
    proposals: BTreeSet<u64>,
    /// The last decision about a move of each ref.
    decided: BTreeMap<RefName, String>,
}

impl Queue {
    /// A delivery waits for whatever it names a value of.
    pub(super) fn new(heard: &Heard, planned: &[(RefName, Vec<Item>)]) -> Self {
        let mut waiting: BTreeMap<u64, BTreeSet<(RefName, usize)>> =
            heard.pushes.iter().map(|number| (*number, BTreeSet::new())).collect();
        for (reference, items) in planned {
            for claim in heard.claims.get(reference).into_iter().flatten() {
                let Told { before, after } = claim.told;
                // The same move, if it is one of those; otherwise what it names.
                let exact = items.iter().position(|item| (item.old, item.new) == (before, after));
                let named = |item: &Item| [before, after].contains(&item.new);
                let places: Vec<usize> = match exact {
                    Some(place) => vec![place],
                    None => (0..items.len()).filter(|place| named(&items[*place])).collect(),
                };
                let of = waiting.entry(claim.delivery).or_default();
                of.extend(places.into_iter().map(|place| (reference.clone(), place)));
            }
            for number in &heard.vague {
                let all = (0..items.len()).map(|place| (reference.clone(), place));
                waiting.entry(*number).or_default().extend(all);
            }
        }
        let claims = heard.claims.iter().map(|(reference, claims)| {
            let moves = claims.iter().map(|one| (one.delivery, one.told.before, one.told.after));
            (reference.clone(), moves.collect())
        });
        Queue {
            waiting,
            claims: claims.collect(),
            why: None,
            proposals: BTreeSet::new(),
            decided: BTreeMap::new(),
        }
    }

    /// The deliveries that are done once this is judged.
    pub(super) fn finishing(&self, reference: &RefName, place: usize) -> Vec<u64> {
        let last = |left: &BTreeSet<(RefName, usize)>| {
            left.len() == 1 && left.first().is_some_and(|(name, at)| (name, *at) == (reference, place))
        };
        self.waiting.iter().filter(|(_, left)| last(left)).map(|(number, _)| *number).collect()
    }

    /// How deliveries say that a ref moved.
    pub(super) fn told(&self, reference: &RefName, deliveries: &[u64]) -> Vec<(Value, Value)> {
        let claims = self.claims.get(reference).into_iter().flatten();
        claims
            .filter(|(number, _, _)| deliveries.contains(number))
            .map(|(_, old, new)| (*old, *new))
            .collect()
    }

    /// This is judged and recorded, with the end of the deliveries that were finishing.
    pub(super) fn finished(&mut self, reference: &RefName, place: usize) {
        for number in self.finishing(reference, place) {
            self.waiting.remove(&number);
        }
        for left in self.waiting.values_mut() {
            left.remove(&(reference.clone(), place));
        }
    }

    /// A move of a ref was judged.
    pub(super) fn decided(&mut self, reference: &RefName, request: &RequestId) {
        self.decided.insert(reference.clone(), request.to_string());
    }

    /// What came of a delivery that led to nothing by itself. What it tells of may well be a part of a longer move.
    fn idle(&self, number: u64) -> String {
        let tells = |claims: &Vec<(u64, Value, Value)>| claims.iter().any(|(of, _, _)| *of == number);
        let about = self.claims.iter().filter(|(_, claims)| tells(claims));
        let decisions: BTreeSet<&String> = about.filter_map(|(name, _)| self.decided.get(name)).collect();
        let mut decisions = decisions.into_iter();
        match (decisions.next(), decisions.len()) {
            (Some(one), 0) => {
                format!(
                    "nothing of its own was left to judge: it was judged before, or as part of decision {one}"
                )
            }
            (Some(one), more) => format!(
                "nothing of its own was left to judge: it was judged before, or as part of decision {one} and {more} more"
            ),
            (None, _) => "nothing was left to judge: it was judged before, or is not watched".to_owned(),
        }
    }

    /// Something about a ref is undecided, and so is what comes after it.
    pub(super) fn blocked(&mut self, reference: &RefName, fault: &Fault) {
        self.why.get_or_insert_with(|| format!("{reference}: {fault}"));
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
        // What is left of a delivery is what was blocked.
        let (idle, waiting): (Vec<_>, Vec<_>) = self.waiting.iter().partition(|(_, left)| left.is_empty());
        let mut ended: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (number, _) in idle {
            ended.entry(self.idle(*number)).or_default().push(*number);
        }
        for (why, numbers) in ended {
            store.finish_deliveries(numbers, now, &why)?;
        }
        let mut waiting: Vec<u64> = waiting.into_iter().map(|(number, _)| *number).collect();
        waiting.extend(self.proposals);
        if let (false, Some(why)) = (waiting.is_empty(), &self.why) {
            stored(store.deliveries_wait(waiting, why), "cannot note why deliveries wait");
        }
        Ok(self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::super::derive;
    use super::*;
    use crate::domain::ObjectId;

    fn name(name: &str) -> RefName {
        RefName::parse(name.as_bytes()).unwrap()
    }

    fn id(n: u8) -> Value {
        (n > 0).then(|| ObjectId::from_bytes(&[n; 20]).unwrap())
    }

    #[test]
    fn n29_two_events_that_name_different_accounts_for_one_move_vouch_for_neither() {
        let claim = |before, after, login: &str| Claimed {
            delivery: 1,
            told: Told { before: id(before), after: id(after) },
            actor: Some(Actor { login: login.to_owned(), id: None }),
        };
        let who = |found: u8, claims: &[Claimed]| {
            let told: Vec<Told> = claims.iter().map(|one| one.told).collect();
            let derived = derive::derive(id(1), id(found), &told, &|_| false, &|_| false);
            let all = Item::all(id(1), &derived, claims, true);
            all.into_iter().map(|item| item.actor.map(|actor| actor.login)).collect::<Vec<_>>()
        };
        let alice = || claim(1, 2, "alice");
        assert_eq!(who(2, &[alice()]), [Some("alice".to_owned())]);
        assert_eq!(who(2, &[alice(), alice()]), [Some("alice".to_owned())], "a copy says the same");
        assert_eq!(who(2, &[alice(), claim(1, 2, "mallory")]), [None]);
        assert_eq!(who(1, &[alice(), claim(1, 2, "mallory")]), [None], "what was there for a while, too");
        assert_eq!(who(2, &[alice(), claim(3, 2, "mallory")]).last(), Some(&Some("alice".to_owned())));
    }

    #[test]
    fn a_delivery_is_done_with_the_last_of_what_it_names_and_never_with_what_waits() {
        let (a, b) = (name("refs/heads/a"), name("refs/heads/b"));
        let claim = |delivery, before, after| Claimed {
            delivery,
            told: Told { before: id(before), after: id(after) },
            actor: None,
        };
        let item = |old, new| Item { old: id(old), new: id(new), mode: Mode::Detected, actor: None };
        let mut heard = Heard { pushes: vec![1, 2, 3, 4, 5], vague: vec![4], ..Heard::default() };
        heard.claims.insert(a.clone(), vec![claim(1, 1, 2), claim(2, 2, 3), claim(3, 1, 2), claim(5, 8, 9)]);
        heard.claims.insert(b.clone(), vec![claim(2, 0, 5)]);
        let planned = [(a.clone(), vec![item(1, 2), item(2, 3)]), (b.clone(), vec![item(0, 5)])];
        let mut queue = Queue::new(&heard, &planned);
        assert_eq!(queue.finishing(&a, 0), [1, 3], "one that came twice is done at once");
        queue.finished(&a, 0);
        assert_eq!(queue.finishing(&a, 1), [0; 0]);
        queue.finished(&a, 1);
        assert_eq!(queue.finishing(&b, 0), [2, 4]);
        queue.blocked(&b, &Fault::ShuttingDown);
        let left: Vec<_> = queue.waiting.iter().map(|(number, left)| (*number, left.len())).collect();
        assert_eq!(left, [(2, 1), (4, 1), (5, 0)], "5 tells of what is long known");
        // It may have been a part of what was judged with it.
        assert!(!queue.idle(5).contains("decision"), "{}", queue.idle(5));
        let request = RequestId::from_random([7; 16]);
        queue.decided(&a, &request);
        assert!(queue.idle(5).ends_with(&format!("as part of decision {request}")), "{}", queue.idle(5));
        assert!(!queue.idle(6).contains("decision"), "nobody has heard of it");
    }
}
