//! A principal of whom nothing counts for a while.

use crate::domain::Timestamp;
use crate::signature::{SignatureStatus, Times};
use std::fmt;

/// Since when nothing of a principal counts, and why: N14's superseded for all of its keys, accounts and
/// certificates at once, and one that can be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspension {
    /// What arrives from then on does not count; `None` is always, where a file says it illegibly.
    pub at: Option<Timestamp>,
    /// Why, in the keeper's words. Escaped already.
    pub reason: String,
}

impl Suspension {
    /// What a suspension that cannot be read means: always (N15).
    pub(super) fn illegible() -> Self {
        Suspension { at: None, reason: "illegible".to_owned() }
    }

    /// Whether what arrives at `now` does not count.
    pub fn applies(&self, now: Timestamp) -> bool {
        self.at.is_none_or(|at| now >= at)
    }

    /// Whether a signature judged at these times does not count. What was received before stays good.
    pub(super) fn refuses(&self, times: &Times) -> bool {
        self.applies(times.anchor())
    }

    /// Whether this refuses whatever the other one refuses of what arrives from `now` on.
    pub(super) fn covers(&self, other: &Suspension, now: Timestamp) -> bool {
        super::revocation::is_no_later(self.at, other.at.map(|at| at.max(now)))
    }

    /// Both at once: the earlier one.
    pub(super) fn join(self, other: Suspension) -> Suspension {
        match (self.at, other.at) {
            (None, _) => self,
            (_, None) => other,
            (Some(own), Some(theirs)) => {
                if theirs < own {
                    other
                } else {
                    self
                }
            }
        }
    }

    /// The reason that a status gives for a signature by a suspended principal.
    pub(super) fn told(&self) -> String {
        match self.at {
            Some(at) => format!("{} since {at}", SignatureStatus::SUSPENDED),
            None => SignatureStatus::SUSPENDED.to_owned(),
        }
    }
}

impl fmt::Display for Suspension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "from {at}: {}", self.reason),
            None => write!(f, "always: {}", self.reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n15_the_earlier_suspension_holds() {
        let at = |text: &str| Suspension { at: Some(text.parse().unwrap()), reason: "x".into() };
        let (early, late) = (at("2026-01-01T00:00:00Z"), at("2026-02-01T00:00:00Z"));
        assert_eq!(early.clone().join(late.clone()), early);
        assert_eq!(late.clone().join(early.clone()), early);
        let (before, after) =
            ("2026-01-15T00:00:00Z".parse().unwrap(), "2026-03-01T00:00:00Z".parse().unwrap());
        assert!(early.covers(&late, before) && !late.covers(&early, before), "it begins later");
        assert!(late.covers(&early, after), "both have begun");
        let always = Suspension::illegible();
        assert!(always.covers(&early, before) && !early.covers(&always, after));
        assert_eq!(late.join(Suspension::illegible()), Suspension::illegible());
        assert!(early.applies("2026-01-01T00:00:00Z".parse().unwrap()), "the boundary is refused");
        assert!(!early.applies("2025-12-31T23:59:59Z".parse().unwrap()));
    }
}
