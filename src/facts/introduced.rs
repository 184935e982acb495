//! Which commits a ruleset has not judged yet (N7).

use super::{Budget, CollectError};
use crate::domain::{ObjectId, RefName};
use std::collections::{HashMap, HashSet};

/// What is on record: the commits that a ruleset accepted in enforce mode, for refs that it covered
/// then, and that were applied, together with its trusted base. The set is closed under ancestry, so a
/// walk may stop at any member.
pub trait Frontier {
    /// Whether this commit counts as judged for this ref under this ruleset.
    fn is_accepted(
        &self,
        ruleset: &str,
        reference: &RefName,
        commit: &ObjectId,
    ) -> Result<bool, CollectError>;
    /// Whether the ruleset has any record or base in this repository (N9).
    fn has_record(&self, ruleset: &str) -> Result<bool, CollectError>;
}

/// The commits between a tip and the frontier, parents before children.
#[derive(Debug, Default)]
pub(super) struct Introduced {
    pub(super) commits: Vec<ObjectId>,
    /// Members of the frontier at which the walk stopped: ancestors of the tip, all of them.
    pub(super) boundary: HashSet<ObjectId>,
    /// The walk stopped at the limit: there are more.
    pub(super) cut: bool,
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
    accepted: &dyn Fn(&ObjectId) -> Result<bool, CollectError>,
    parents: &mut Parents<'_>,
) -> Result<Introduced, CollectError> {
    let mut out = Introduced::default();
    let mut seen: HashSet<ObjectId> = HashSet::from([tip]);
    if accepted(&tip)? {
        out.boundary.insert(tip);
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
                if accepted(&parent)? {
                    out.boundary.insert(parent);
                    continue;
                }
                if out.commits.len() + stack.len() >= limit {
                    out.cut = true;
                    return Ok(out);
                }
                if seen.len().is_multiple_of(256) {
                    budget.check()?;
                }
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
        let stop = AtomicBool::new(false);
        let deadline = Instant::now() + Duration::from_secs(60);
        let budget = Budget { deadline, seconds: 60, abandoned: &stop };
        let accepted = |c: &ObjectId| Ok(accepted.iter().any(|n| id(*n) == *c));
        let mut parents = |_: Option<&ObjectId>, c: &ObjectId| {
            let found = history.iter().find(|(n, _)| id(*n) == *c).expect("the test's history is complete");
            Ok(found.1.iter().map(|n| id(*n)).collect())
        };
        let out = walk(id(tip), limit, &budget, &accepted, &mut parents).unwrap();
        (out.commits.iter().map(|c| c.as_bytes()[0]).collect(), out.cut)
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
    fn a_limit_cuts_and_says_so() {
        let history: &[(u8, &[u8])] = &[(1, &[]), (2, &[1]), (3, &[2]), (4, &[3])];
        assert!(run(4, 3, &[], history).1);
        assert!(!run(4, 4, &[], history).1);
    }
}
