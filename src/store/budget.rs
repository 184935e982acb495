//! Keeps noise from filling the disk, without making the audit log something a pusher can switch off
//! (N26).

use super::{Store, lock};
use crate::domain::text;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Samples kept for each kind of unauthenticated event.
const SAMPLES: usize = 16;

/// Full records of refused and undecided pushes, counted for each repository and minute.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    minute: i64,
    used: HashMap<String, u64>,
}

impl Budgets {
    /// Counts one refused or undecided record. `Some(n)` where it is the n-th over `limit`.
    pub(super) fn spend(&mut self, whose: &str, at_ms: i64, limit: u64) -> Option<u64> {
        let minute = at_ms.div_euclid(60_000);
        // Only forward: a clock that jumps back must not give out a fresh budget each time.
        if minute > self.minute {
            self.minute = minute;
            self.used.clear();
        }
        let used = self.used.entry(whose.to_owned()).or_default();
        *used += 1;
        used.checked_sub(limit).filter(|over| *over > 0)
    }
}

/// Events that nobody authenticated, such as deliveries with a bad signature: counted in memory, with
/// the last few as a sample. They never cause a write.
#[derive(Debug, Default)]
pub(super) struct Unauthenticated(BTreeMap<&'static str, (u64, VecDeque<String>)>);

/// How often one kind of unauthenticated event happened since the store was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnauthenticatedCounter {
    /// What happened.
    pub kind: &'static str,
    /// How often.
    pub count: u64,
    /// The latest ones, oldest first, escaped and capped.
    pub samples: Vec<String>,
}

impl Store {
    /// Counts an event that nobody authenticated, and keeps `sample` as one of the latest (N26). In
    /// memory only.
    pub fn note_unauthenticated(&self, kind: &'static str, sample: &[u8]) {
        let mut all = lock(&self.shared.unauthenticated);
        let (count, samples) = all.0.entry(kind).or_default();
        *count += 1;
        if samples.len() == SAMPLES {
            samples.pop_front();
        }
        samples.push_back(text::escape_short(sample, 200));
    }

    /// The counters of [`Store::note_unauthenticated`], sorted by kind.
    pub fn unauthenticated(&self) -> Vec<UnauthenticatedCounter> {
        let all = lock(&self.shared.unauthenticated);
        let counter = |(kind, (count, samples)): (&&'static str, &(u64, VecDeque<String>))| {
            UnauthenticatedCounter { kind, count: *count, samples: samples.iter().cloned().collect() }
        };
        all.0.iter().map(counter).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n26_budgets_are_per_repository_and_minute() {
        let mut budgets = Budgets::default();
        let results: Vec<_> = (0..4).map(|_| budgets.spend("a", 60_000, 2)).collect();
        assert_eq!(results, [None, None, Some(1), Some(2)]);
        assert_eq!(budgets.spend("b", 60_000, 2), None);
        assert_eq!(budgets.spend("a", 1_000, 2), Some(3), "the clock went back");
        assert_eq!(budgets.spend("a", 120_000, 2), None);
        assert_eq!(budgets.spend("a", 120_000, 0), Some(2));
    }
}
