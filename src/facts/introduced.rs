//! Which commits a ruleset has not judged yet (N7).

use super::{Budget, CollectError};
use crate::domain::{ObjectId, RefName};
use std::collections::{HashMap, HashSet};

/// What is on record: the commits that a ruleset accepted in enforce mode, for refs that it covered
/// then, and that were applied, together with its trusted base. The set is closed under ancestry, so a
/// walk may stop at any member.
pub trait Frontier {
    /// Whether this commit counts as judged for this ref under this ruleset, and for which others.
    fn standing(
        &self,
        ruleset: &str,
        reference: &RefName,
        commit: &ObjectId,
    ) -> Result<Option<Standing>, CollectError>;
    /// Whether the ruleset has any record or base in this repository (N9).
    fn has_record(&self, ruleset: &str) -> Result<bool, CollectError>;
    /// The accepted commits that these keys signed, each key from a time on, milliseconds since the epoch
    /// (N14).
    fn tainted(&self, ruleset: &str, keys: &[(String, i64)]) -> Result<Vec<ObjectId>, CollectError>;
    /// What the ref held when the gate last saw one of its own decisions applied to it.
    fn judged_tip(&self, reference: &RefName) -> Result<Option<ObjectId>, CollectError>;
    /// The highest counter on record of a FIDO key, by fingerprint and application (S6). Where nothing is
    /// recorded, nothing is known.
    fn fido_counter(&self, key: &str, application: &str) -> Result<Option<u32>, CollectError> {
        let _ = (key, application);
        Ok(None)
    }
    /// Whether the key's signature on this object is on record.
    fn fido_known(&self, key: &str, application: &str, object: &ObjectId) -> Result<bool, CollectError> {
        let _ = (key, application, object);
        Ok(false)
    }
}

/// For which refs a judged commit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// For every ref that the ruleset covers.
    Shared,
    /// For the ref that it came through, and no other (N8).
    OwnRef,
}

/// The commits between a tip and the frontier, parents before children.
#[derive(Debug, Default)]
pub(super) struct Introduced {
    pub(super) commits: Vec<ObjectId>,
    /// Members of the frontier at which the walk stopped: ancestors of the tip, all of them.
    pub(super) boundary: HashSet<ObjectId>,
    /// One of those counts for this ref only. What stands on it counts for no other ref either (N8).
    pub(super) own_ref: bool,
    /// Those of the boundary that another ref of the same push introduces.
    pub(super) builds_on: Vec<ObjectId>,
    /// The walk stopped at the limit: there are more.
    pub(super) cut: bool,
}

/// Why a walk stops at a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is on record as judged.
    Judged(Standing),
    /// An earlier ref of this push introduces it, for the same ruleset: it is judged there.
    InThisPush,
}

impl Introduced {
    fn stop_at(&mut self, commit: ObjectId, stop: Stop) {
        self.boundary.insert(commit);
        match stop {
            Stop::Judged(standing) => self.own_ref |= standing == Standing::OwnRef,
            Stop::InThisPush => self.builds_on.push(commit),
        }
    }
}

/// Gives a commit's parents; the first argument is the child that led to it.
pub(super) type Parents<'a> =
    dyn FnMut(Option<&ObjectId>, &ObjectId) -> Result<Vec<ObjectId>, CollectError> + 'a;

/// Walks from `tip` and stops at members of the frontier. Dates play no part, so skewed ones cannot
/// hide a commit; nor does any other ref of the repository, so their number costs nothing.
///
/// `parents` is asked for a commit's parents once, together with the child that led to it.
pub(super) fn walk(
    tip: ObjectId,
    limit: usize,
    budget: &Budget<'_>,
    stop: &dyn Fn(&ObjectId) -> Result<Option<Stop>, CollectError>,
    parents: &mut Parents<'_>,
) -> Result<Introduced, CollectError> {
    let mut out = Introduced::default();
    let mut seen: HashSet<ObjectId> = HashSet::from([tip]);
    if let Some(stop) = stop(&tip)? {
        out.stop_at(tip, stop);
        return Ok(out);
    }
    // Depth first with an explicit stack: a commit is put out once all its parents are.
    let mut stack = vec![(tip, parents(None, &tip)?.into_iter())];
    while let Some((id, rest)) = stack.last_mut() {
        let id = *id;
        match rest.next() {
            None => {
                out.commits.push(id);
                stack.pop();
            }
            Some(parent) => {
                if !seen.insert(parent) {
                    continue;
                }
                if let Some(stop) = stop(&parent)? {
                    out.stop_at(parent, stop);
                    continue;
                }
                if out.commits.len() + stack.len() >= limit {
                    out.cut = true;
                    return Ok(out);
                }
                // Each time: one object can take seconds to read.
                budget.check()?;
                let next = parents(Some(&id), &parent)?.into_iter();
                stack.push((parent, next));
            }
        }
    }
    Ok(out)
}

/// Commits' parents, remembered across the refs and rulesets of one push.
pub(super) type ParentCache = HashMap<ObjectId, Vec<ObjectId>>;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};

    fn id(n: u8) -> ObjectId {
        ObjectId::from_bytes(&[n; 20]).unwrap()
    }

    fn run(tip: u8, limit: usize, accepted: &[u8], history: &[(u8, &[u8])]) -> (Vec<u8>, bool) {
        let out = walked(tip, limit, accepted, &[], history);
        (out.commits.iter().map(|c| c.as_bytes()[0]).collect(), out.cut)
    }

    fn walked(tip: u8, limit: usize, shared: &[u8], own: &[u8], history: &[(u8, &[u8])]) -> Introduced {
        let stop = AtomicBool::new(false);
        let deadline = Instant::now() + Duration::from_secs(60);
        let budget = Budget { deadline, seconds: 60, abandoned: &stop };
        let accepted = |c: &ObjectId| {
            let among = |list: &[u8]| list.iter().any(|n| id(*n) == *c);
            let own = among(own).then_some(Standing::OwnRef);
            Ok(if among(shared) { Some(Standing::Shared) } else { own }.map(Stop::Judged))
        };
        let mut parents = |_: Option<&ObjectId>, c: &ObjectId| {
            let found = history.iter().find(|(n, _)| id(*n) == *c).expect("the test's history is complete");
            Ok(found.1.iter().map(|n| id(*n)).collect())
        };
        walk(id(tip), limit, &budget, &accepted, &mut parents).unwrap()
    }

    #[test]
    fn n08_what_stands_on_a_commit_of_one_ref_is_of_that_ref() {
        let history: &[(u8, &[u8])] = &[(1, &[]), (2, &[1]), (3, &[1]), (4, &[2, 3]), (5, &[4])];
        assert!(!walked(5, 100, &[2, 3], &[], history).own_ref);
        // One parent of a merge is enough, and the order does not matter.
        assert!(walked(5, 100, &[2], &[3], history).own_ref);
        assert!(walked(5, 100, &[3], &[2], history).own_ref);
        assert!(walked(5, 100, &[], &[5], history).own_ref, "the tip itself");
        // What lies behind the edge of the walk is not looked at: the edge says it all.
        assert!(!walked(5, 100, &[4], &[2], history).own_ref);
        assert!(!walked(5, 100, &[], &[], history).own_ref);
    }

    #[test]
    fn parents_come_before_children_and_each_once() {
        let history: &[(u8, &[u8])] = &[(1, &[]), (2, &[1]), (3, &[1]), (4, &[2, 3])];
        assert_eq!(run(4, 100, &[], history).0, [1, 2, 3, 4]);
        assert_eq!(run(4, 100, &[1], history).0, [2, 3, 4]);
        assert_eq!(run(4, 100, &[2, 1], history).0, [3, 4]);
        assert_eq!(run(4, 100, &[4], history).0, [0_u8; 0]);
    }

    #[test]
    fn n23_no_commit_is_read_once_the_time_is_over() {
        let abandoned = AtomicBool::new(false);
        let deadline = Instant::now() + Duration::from_secs(60);
        let budget = Budget { deadline, seconds: 60, abandoned: &abandoned };
        let mut read = 0;
        let mut parents = |_: Option<&ObjectId>, commit: &ObjectId| {
            read += 1;
            abandoned.store(read == 3, std::sync::atomic::Ordering::Relaxed);
            Ok(vec![id(commit.as_bytes()[0] + 1)])
        };
        let walked = walk(id(1), 200, &budget, &|_| Ok(None), &mut parents);
        assert!(matches!(walked, Err(CollectError::Abandoned)));
        assert_eq!(read, 3);
    }

    #[test]
    fn a_limit_cuts_and_says_so() {
        let history: &[(u8, &[u8])] = &[(1, &[]), (2, &[1]), (3, &[2]), (4, &[3])];
        assert!(run(4, 3, &[], history).1);
        assert!(!run(4, 4, &[], history).1);
    }
}
