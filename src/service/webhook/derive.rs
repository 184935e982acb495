//! What moved at a forge: from what was judged last and what is there now. Pure.
//!
//! Deliveries are lost, come twice, late and in any order, and whoever has one can send it again (N29). So they move
//! nothing: a ref moved from where it was judged to where it is found. What a delivery claims is used for two things.
//! If claims lead exactly from the one to the other, they say who did it and over which values. And every value that a
//! claim names, and that nobody has judged for this ref, is to be looked at, because it may have been there. So is a value
//! that is known, where a claim leads straight there from what was judged last, and that move is not on record: whoever
//! rewinds a ref and puts it back was there, too.

use crate::domain::{ObjectId, RefName};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// The value of a ref; `None` where there is no such ref.
pub type Value = Option<ObjectId>;

/// One ref move as a delivery tells it. Which delivery, is the place in the list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// What the ref is said to have held.
    pub before: Value,
    /// What it is said to hold since.
    pub after: Value,
}

/// A move that is to be judged, and that moves what was judged last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// From.
    pub old: Value,
    /// To.
    pub new: Value,
    /// The claim that says exactly this; `None` where nobody said so, and who did it is not known.
    pub told: Option<usize>,
}

/// A value that the ref may have had in between. It is judged for what it is; what was judged last stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The value.
    pub value: Value,
    /// The claim that says that the ref went to it from where it was judged last, if one says so.
    pub told: Option<usize>,
    /// The first claim that names it.
    pub named: usize,
}

/// What is to be judged of one ref.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Derived {
    /// First these, each seen from what was judged last.
    pub looks: Vec<Look>,
    /// Then these, one after the other.
    pub steps: Vec<Step>,
}

/// Derives what is to be judged of a ref that was judged at `judged` and is found at `found`, from claims in the order in
/// which they arrived. `known` says of an id whether it was judged for this ref before, or is an ancestor of
/// something that was, or will be, because it is one of `judged` and `found`. `recorded` says of a value whether there is
/// nothing to tell of the ref's having gone there straight from `judged`: it is on record, or it is on the way to `found`.
pub fn derive(
    judged: Value,
    found: Value,
    claims: &[Told],
    known: &dyn Fn(&ObjectId) -> bool,
    recorded: &dyn Fn(&Value) -> bool,
) -> Derived {
    let steps = steps(judged, found, claims);
    let mut settled: HashSet<Value> = HashSet::from([judged, found]);
    settled.extend(steps.iter().map(|step| step.new));
    let on_path: HashSet<usize> = steps.iter().filter_map(|step| step.told).collect();
    // Claims that say the same as the path are copies of what is on it.
    let moves: HashSet<(Value, Value)> = steps.iter().map(|step| (step.old, step.new)).collect();
    let mut looks: Vec<Look> = Vec::new();
    let mut at: HashMap<Value, usize> = HashMap::new();
    for (index, claim) in claims.iter().enumerate() {
        if on_path.contains(&index) || moves.contains(&(claim.before, claim.after)) {
            continue;
        }
        for value in [claim.before, claim.after] {
            let exact = value == claim.after && claim.before == judged && claim.before != claim.after;
            // Going where the ref was before is a move like any other, and so is that it was gone in between.
            let silent = exact && !recorded(&value);
            let unseen = match value {
                Some(id) => !settled.contains(&value) && (silent || !known(&id)),
                None => silent && found.is_some(),
            };
            if !unseen {
                continue;
            }
            let told = exact.then_some(index);
            match at.get(&value) {
                Some(place) => looks[*place].told = looks[*place].told.or(told),
                None => {
                    at.insert(value, looks.len());
                    looks.push(Look { value, told, named: index });
                }
            }
        }
    }
    Derived { looks, steps }
}

/// The moves from `judged` to `found`: over the values that claims name, where they lead there, or one that nobody told.
fn steps(judged: Value, found: Value, claims: &[Told]) -> Vec<Step> {
    if judged == found {
        // Claims that lead away and back again move nothing; where they led is looked at.
        return Vec::new();
    }
    let path = in_order(judged, found, claims).or_else(|| shortest(judged, found, claims));
    match path {
        Some(path) => {
            let step = |index: usize| Step {
                old: claims[index].before,
                new: claims[index].after,
                told: Some(index),
            };
            path.into_iter().map(step).collect()
        }
        None => vec![Step { old: judged, new: found, told: None }],
    }
}

/// Follows claims as they came, each once, as far as they lead on; rounds after the first are for late ones.
fn in_order(judged: Value, found: Value, claims: &[Told]) -> Option<Vec<usize>> {
    let mut leaving: HashMap<Value, VecDeque<usize>> = HashMap::new();
    let mut told = HashSet::new();
    for (index, claim) in claims.iter().enumerate() {
        // A copy of a claim tells nothing more.
        if claim.before != claim.after && told.insert((claim.before, claim.after)) {
            leaving.entry(claim.before).or_default().push_back(index);
        }
    }
    let (mut path, mut at, mut arrived) = (Vec::new(), judged, None);
    while let Some(index) = leaving.get_mut(&at).and_then(VecDeque::pop_front) {
        path.push(index);
        at = claims[index].after;
        if at == found {
            arrived = Some(path.len());
        }
    }
    path.truncate(arrived?);
    Some(path)
}

/// The shortest way, for claims that came in another order than they happened.
fn shortest(judged: Value, found: Value, claims: &[Told]) -> Option<Vec<usize>> {
    let mut leaving: HashMap<Value, Vec<usize>> = HashMap::new();
    for (index, claim) in claims.iter().enumerate() {
        leaving.entry(claim.before).or_default().push(index);
    }
    let mut came_by: HashMap<Value, usize> = HashMap::new();
    let mut waiting = VecDeque::from([judged]);
    while let Some(at) = waiting.pop_front() {
        for index in leaving.get(&at).into_iter().flatten() {
            let next = claims[*index].after;
            if next == judged || came_by.contains_key(&next) {
                continue;
            }
            came_by.insert(next, *index);
            if next == found {
                let mut path = vec![*index];
                let mut value = claims[*index].before;
                while value != judged {
                    let index = *came_by.get(&value)?;
                    path.push(index);
                    value = claims[index].before;
                }
                path.reverse();
                return Some(path);
            }
            waiting.push_back(next);
        }
    }
    None
}

/// A ref that was judged somewhere else than it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Which.
    pub reference: RefName,
    /// Where it was judged last.
    pub judged: Value,
    /// Where it is now.
    pub found: Value,
}

/// Why a list of refs is not believed (N30).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Vanished {
    /// There is none.
    #[error("the forge shows no refs at all; a repository does not lose all of them by a push")]
    NoRefs,
    /// There are others.
    #[error(
        "the forge shows none of the {0} refs that were judged; that is taken for a fault, not for deletions"
    )]
    AllGone(usize),
}

/// Compares all refs: those that were judged with those that are found and watched. Those that went away come first, so
/// that they are not in the way of others.
///
/// # Errors
/// See [`Vanished`]: the forge shows too little to be believed.
pub fn moved(
    judged: &[(RefName, Value)],
    found: &[(RefName, ObjectId)],
    watched: &dyn Fn(&RefName) -> bool,
) -> Result<Vec<Moved>, Vanished> {
    let there: BTreeMap<&RefName, ObjectId> =
        found.iter().filter(|(name, _)| watched(name)).map(|(name, id)| (name, *id)).collect();
    let standing: Vec<&RefName> = judged
        .iter()
        .filter(|(name, value)| value.is_some() && watched(name))
        .map(|(name, _)| name)
        .collect();
    if !standing.is_empty() {
        if found.is_empty() {
            return Err(Vanished::NoRefs);
        }
        // The only one may well be deleted, as long as there are others beside it.
        let gone = !standing.iter().any(|name| there.contains_key(*name));
        if gone && (there.is_empty() || standing.len() > 1) {
            return Err(Vanished::AllGone(standing.len()));
        }
    }
    let mut before: BTreeMap<&RefName, Value> =
        judged.iter().filter(|(name, _)| watched(name)).map(|(name, value)| (name, *value)).collect();
    let mut out = Vec::new();
    for (name, id) in &there {
        let judged = before.remove(name).flatten();
        if judged != Some(*id) {
            out.push(Moved { reference: (*name).clone(), judged, found: Some(*id) });
        }
    }
    let gone = before.into_iter().filter(|(_, value)| value.is_some());
    let gone: Vec<Moved> =
        gone.map(|(name, judged)| Moved { reference: name.clone(), judged, found: None }).collect();
    Ok(gone.into_iter().chain(out).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(n: u8) -> ObjectId {
        ObjectId::from_bytes(&[n; 20]).unwrap()
    }

    /// 0 is "no such ref".
    fn value(n: u8) -> Value {
        (n > 0).then(|| id(n))
    }

    fn claims(all: &[(u8, u8)]) -> Vec<Told> {
        all.iter().map(|(before, after)| Told { before: value(*before), after: value(*after) }).collect()
    }

    /// Where all that is known is on record as a move, too.
    fn run(judged: u8, found: u8, told: &[(u8, u8)], known: &[u8]) -> Derived {
        run_with(judged, found, told, known, known)
    }

    fn run_with(judged: u8, found: u8, told: &[(u8, u8)], known: &[u8], recorded: &[u8]) -> Derived {
        let n = |value: &Value| value.map_or(0, |id| id.as_bytes()[0]);
        let known = |id: &ObjectId| known.contains(&id.as_bytes()[0]);
        derive(value(judged), value(found), &claims(told), &known, &|value| recorded.contains(&n(value)))
    }

    /// Steps as `from, to, claim` and looks as `value, claim`.
    type Short = (Vec<(u8, u8, Option<usize>)>, Vec<(u8, Option<usize>)>);

    fn short(derived: &Derived) -> Short {
        let n = |value: Value| value.map_or(0, |id| id.as_bytes()[0]);
        (
            derived.steps.iter().map(|step| (n(step.old), n(step.new), step.told)).collect(),
            derived.looks.iter().map(|look| (n(look.value), look.told)).collect(),
        )
    }

    #[test]
    fn n29_a_move_has_a_pusher_only_if_an_event_says_exactly_this() {
        assert_eq!(short(&run(1, 2, &[(1, 2)], &[])), (vec![(1, 2, Some(0))], vec![]));
        assert_eq!(short(&run(1, 2, &[], &[])), (vec![(1, 2, None)], vec![]));
        // From elsewhere, to elsewhere.
        assert_eq!(short(&run(1, 2, &[(3, 2)], &[])), (vec![(1, 2, None)], vec![(3, None)]));
        assert_eq!(short(&run(1, 2, &[(1, 3)], &[])), (vec![(1, 2, None)], vec![(3, Some(0))]));
        assert_eq!(short(&run(1, 2, &[(2, 1)], &[])), (vec![(1, 2, None)], vec![]));
        // Created, deleted.
        assert_eq!(short(&run(0, 2, &[(0, 2)], &[])), (vec![(0, 2, Some(0))], vec![]));
        assert_eq!(short(&run(1, 0, &[(1, 0)], &[])), (vec![(1, 0, Some(0))], vec![]));
    }

    #[test]
    fn n29_several_moves_are_judged_each_in_whatever_order_they_are_told() {
        let all = [(1, 2), (2, 3), (3, 4)];
        let wanted: Vec<_> = [(1, 2), (2, 3), (3, 4)].into();
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
            let told: Vec<_> = order.iter().map(|at| all[*at]).collect();
            let (steps, looks) = short(&run(1, 4, &told, &[]));
            assert_eq!(steps.iter().map(|(a, b, _)| (*a, *b)).collect::<Vec<_>>(), wanted);
            assert!(steps.iter().all(|(a, b, at)| told[at.unwrap()] == (*a, *b)));
            assert!(looks.is_empty());
        }
        // One of them got lost.
        assert_eq!(
            short(&run(1, 4, &[(1, 2), (3, 4)], &[])),
            (vec![(1, 4, None)], vec![(2, Some(0)), (3, None)])
        );
        // Away, back, and on.
        let told = [(1, 2), (2, 1), (1, 3)];
        assert_eq!(short(&run(1, 3, &told, &[])).0, [(1, 2, Some(0)), (2, 1, Some(1)), (1, 3, Some(2))]);
        // Deleted and made again.
        assert_eq!(short(&run(1, 2, &[(1, 0), (0, 2)], &[])).0, [(1, 0, Some(0)), (0, 2, Some(1))]);
    }

    #[test]
    fn n29_a_value_that_is_gone_again_is_looked_at() {
        // There and back: the tip is where it was.
        assert_eq!(short(&run(1, 1, &[(1, 2), (2, 1)], &[])), (vec![], vec![(2, Some(0))]));
        // Only the way back was told.
        assert_eq!(short(&run(1, 1, &[(2, 1)], &[])), (vec![], vec![(2, None)]));
        // What was judged before is not looked at again.
        assert_eq!(short(&run(1, 1, &[(1, 2), (2, 1)], &[2])), (vec![], vec![]));
        // Gone in between, and how it came back was not told.
        assert_eq!(short(&run(1, 1, &[(1, 0)], &[])), (vec![], vec![(0, Some(0))]));
        assert_eq!(short(&run(1, 2, &[(1, 0)], &[])), (vec![(1, 2, None)], vec![(0, Some(0))]));
        // That something else was deleted some time is old news.
        assert_eq!(short(&run(1, 1, &[(3, 0)], &[3])), (vec![], vec![]));
    }

    #[test]
    fn n29_a_rewind_to_what_is_known_is_looked_at_unless_it_is_on_record() {
        // Back to what was judged before, and the tip is where it was again.
        let told = [(3, 1), (1, 3)];
        assert_eq!(short(&run_with(3, 3, &told, &[1, 2], &[])), (vec![], vec![(1, Some(0))]));
        assert_eq!(short(&run_with(3, 3, &told[..1], &[1, 2], &[])), (vec![], vec![(1, Some(0))]));
        // The way back came first, or everything twice.
        let turned = [(1, 3), (3, 1), (3, 1), (1, 3)];
        assert_eq!(short(&run_with(3, 3, &turned, &[1, 2], &[])), (vec![], vec![(1, Some(1))]));
        // On record as a move, it is a replay.
        assert_eq!(short(&run_with(3, 3, &told, &[1, 2], &[1])), (vec![], vec![]));
        // Late copies lead from elsewhere.
        assert_eq!(short(&run_with(3, 3, &[(1, 2), (2, 3), (2, 1)], &[1, 2], &[])), (vec![], vec![]));
        // Rewound, and moved on to elsewhere without a word: the move to there is not the one that was told.
        assert_eq!(short(&run_with(3, 4, &[(3, 1)], &[1, 2], &[])), (vec![(3, 4, None)], vec![(1, Some(0))]));
        // All of it told: these are the moves that are judged.
        let (steps, looks) = short(&run_with(3, 4, &[(3, 1), (1, 4)], &[1, 2], &[]));
        assert_eq!((steps, looks), (vec![(3, 1, Some(0)), (1, 4, Some(1))], vec![]));
        // It stayed there.
        assert_eq!(short(&run_with(3, 1, &[(3, 1)], &[1, 2], &[])), (vec![(3, 1, Some(0))], vec![]));
        // Gone and back: once.
        assert_eq!(short(&run_with(3, 3, &[(3, 0)], &[], &[])), (vec![], vec![(0, Some(0))]));
        assert_eq!(short(&run_with(3, 3, &[(3, 0)], &[], &[0])), (vec![], vec![]));
    }

    #[test]
    fn n29_what_comes_twice_or_again_changes_nothing() {
        assert_eq!(short(&run(1, 2, &[(1, 2), (1, 2)], &[])), (vec![(1, 2, Some(0))], vec![]));
        // All of it was judged already.
        assert_eq!(short(&run(3, 3, &[(1, 2), (2, 3)], &[1, 2])), (vec![], vec![]));
        // An old one beside a new one, whichever comes first.
        for told in [[(1, 2), (3, 4)], [(3, 4), (1, 2)]] {
            let (steps, looks) = short(&run(3, 4, &told, &[1, 2]));
            assert_eq!((steps.len(), looks.len()), (1, 0));
            assert!(steps[0].2.is_some());
        }
        // One that leads into nowhere from where it was judged does not hide the way.
        let (steps, looks) = short(&run(1, 4, &[(1, 9), (1, 3), (3, 4)], &[9]));
        assert_eq!((steps, looks), (vec![(1, 3, Some(1)), (3, 4, Some(2))], vec![]));
        // One that goes nowhere.
        assert_eq!(short(&run(1, 2, &[(1, 1), (0, 0)], &[])), (vec![(1, 2, None)], vec![]));
    }

    fn name(name: &str) -> RefName {
        RefName::parse(name.as_bytes()).unwrap()
    }

    #[test]
    fn n30_a_forge_that_shows_nothing_has_lost_nothing() {
        let watched = |name: &RefName| name.branch().is_some();
        let (main, next, other) =
            (name("refs/heads/main"), name("refs/heads/next"), name("refs/pull/1/head"));
        let judged = [(main.clone(), value(1)), (next.clone(), value(2)), (name("refs/heads/old"), None)];
        assert_eq!(moved(&judged, &[], &watched), Err(Vanished::NoRefs));
        let elsewhere = [(other.clone(), id(3)), (name("refs/heads/new"), id(4))];
        assert_eq!(moved(&judged, &elsewhere, &watched), Err(Vanished::AllGone(2)));
        assert_eq!(moved(&judged, &elsewhere[..1], &watched), Err(Vanished::AllGone(2)));
        // One of two may go.
        let one = moved(&judged, &[(main.clone(), id(1))], &watched).unwrap();
        assert_eq!(one, [Moved { reference: next.clone(), judged: value(2), found: None }]);
        // The only one may be renamed, but not just be gone.
        let only = [(main.clone(), value(1))];
        assert!(moved(&only, &[(other.clone(), id(3))], &watched).is_err());
        let renamed = moved(&only, &[(next.clone(), id(1))], &watched).unwrap();
        assert_eq!(renamed.len(), 2);
        assert_eq!(renamed[0].found, None, "what goes away is first");
        // Where nothing was, nothing is missing.
        assert_eq!(moved(&[], &[], &watched), Ok(vec![]));
        assert_eq!(moved(&[(main, None)], &[], &watched), Ok(vec![]));
    }

    #[test]
    fn only_what_differs_and_is_watched_has_moved() {
        let watched = |name: &RefName| name.branch().is_some();
        let judged = [
            (name("refs/heads/a"), value(1)),
            (name("refs/heads/b"), value(2)),
            (name("refs/heads/c"), None),
        ];
        let found = [
            (name("refs/heads/a"), id(1)),
            (name("refs/heads/b"), id(3)),
            (name("refs/heads/c"), id(4)),
            (name("refs/heads/d"), id(5)),
            (name("refs/pull/1/head"), id(6)),
        ];
        let all: Vec<_> = moved(&judged, &found, &watched)
            .unwrap()
            .into_iter()
            .map(|one| (one.reference.to_string(), one.judged, one.found))
            .collect();
        let wanted = [
            ("refs/heads/b".to_owned(), value(2), value(3)),
            ("refs/heads/c".to_owned(), None, value(4)),
            ("refs/heads/d".to_owned(), None, value(5)),
        ];
        assert_eq!(all, wanted);
    }

    proptest! {
        #[test]
        fn n29_claims_never_move_a_ref(
            judged in 0..6_u8,
            found in 0..6_u8,
            told in prop::collection::vec((0..6_u8, 0..6_u8), 0..12),
            known in prop::collection::vec(1..6_u8, 0..4),
            recorded in prop::collection::vec(0..6_u8, 0..4),
        ) {
            let derived = run_with(judged, found, &told, &known, &recorded);
            let all = claims(&told);
            // One unbroken way from what was judged to what is found, whatever was claimed.
            let mut at = value(judged);
            for step in &derived.steps {
                prop_assert_eq!(step.old, at);
                prop_assert_ne!(step.old, step.new);
                at = step.new;
                if let Some(index) = step.told {
                    prop_assert_eq!((all[index].before, all[index].after), (step.old, step.new));
                }
            }
            prop_assert_eq!(at, value(found));
            prop_assert!(judged != found || derived.steps.is_empty());
            // Nobody is said to have done what nobody said; a way is told from end to end or not at all.
            prop_assert!(derived.steps.iter().all(|step| step.told.is_some()) || derived.steps.len() == 1);
            let mut used: Vec<_> = derived.steps.iter().filter_map(|step| step.told).collect();
            used.sort_unstable();
            used.dedup();
            prop_assert_eq!(used.len(), derived.steps.iter().filter(|step| step.told.is_some()).count());
            // Every value that was claimed is judged, was judged, or is looked at; once.
            let mut seen: Vec<Value> = vec![value(judged), value(found)];
            seen.extend(derived.steps.iter().map(|step| step.new));
            for look in &derived.looks {
                prop_assert!(look.value.is_none() || !seen.contains(&look.value));
                if let Some(index) = look.told {
                    prop_assert_eq!((all[index].before, all[index].after), (value(judged), look.value));
                }
                if look.value.is_some() {
                    seen.push(look.value);
                }
            }
            // Every move from what was judged is judged as that, is on record, or leads where a judged move leads; and
            // what is known is looked at for no other reason.
            for (before, after) in told.iter().filter(|(before, after)| *before == judged && after != before) {
                let stepped = derived.steps.iter().any(|step| step.new == value(*after));
                let looked = derived.looks.iter().any(|look| {
                    let told = look.told.map(|index| told[index]);
                    look.value == value(*after) && told == Some((*before, *after))
                });
                prop_assert!(stepped || looked || recorded.contains(after) || *after == found);
            }
            for look in &derived.looks {
                let n = look.value.map_or(0, |id| id.as_bytes()[0]);
                let is_known = n == 0 || known.contains(&n);
                prop_assert!(!is_known || (look.told.is_some() && !recorded.contains(&n)));
            }
            for claim in told.iter().flat_map(|(before, after)| [*before, *after]).filter(|n| *n > 0) {
                prop_assert!(seen.contains(&value(claim)) || known.contains(&claim));
            }
        }

        #[test]
        fn n29_the_order_of_arrival_changes_nothing_that_is_judged(
            judged in 0..5_u8,
            found in 0..5_u8,
            told in prop::collection::vec((0..5_u8, 0..5_u8), 0..7),
            turn in 0..7_usize,
        ) {
            let values = |told: &[(u8, u8)]| {
                let derived = run(judged, found, told, &[]);
                let steps = derived.steps.iter().map(|step| step.new);
                let looks = derived.looks.iter().map(|look| look.value);
                let mut all: Vec<Value> = steps.chain(looks).flatten().map(Some).collect();
                all.push(value(judged));
                all.sort_unstable();
                all.dedup();
                all
            };
            let mut turned = told.clone();
            if !turned.is_empty() {
                let by = turn % turned.len();
                turned.rotate_left(by);
            }
            prop_assert_eq!(values(&told), values(&turned));
            let doubled: Vec<_> = told.iter().chain(&told).copied().collect();
            prop_assert_eq!(values(&told), values(&doubled));
        }
    }
}
