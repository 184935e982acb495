//! Why a key is refused, and since when (N14).

use crate::domain::Timestamp;
use crate::signature::Times;
use std::fmt;

/// Why a key is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Another key took its place.
    Superseded,
    /// It is not used any more.
    Retired,
    /// Somebody else may have it, so nothing that it signed proves anything.
    Compromised,
}

impl Reason {
    /// The word used in keyring files and records.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Superseded => "superseded",
            Reason::Retired => "retired",
            Reason::Compromised => "compromised",
        }
    }

    pub(super) const WORDS: &'static [(&'static str, Reason)] = &[
        ("superseded", Reason::Superseded),
        ("retired", Reason::Retired),
        ("compromised", Reason::Compromised),
    ];
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A revocation by the keyring's keeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// When we learned it. `None` only where a rejected file said so illegibly: then it is always.
    pub at: Option<Timestamp>,
    /// From when a compromised key is refused; `None` is always.
    pub effective_from: Option<Timestamp>,
    /// Why.
    pub reason: Reason,
}

impl Revocation {
    /// What a revocation that cannot be read means: the worst (N15).
    pub(super) const ILLEGIBLE: Revocation =
        Revocation { at: None, effective_from: None, reason: Reason::Compromised };

    /// Whether a push received at `now` may no longer use the key (N14): superseded and retired keys
    /// from the time we learned it, compromised ones from the compromise.
    pub fn applies(&self, now: Timestamp) -> bool {
        self.refused_from().is_none_or(|from| now >= from)
    }

    /// Whether a signature judged at these times does not count (N14). A compromise is undone only by a
    /// receipt before it, which is ours; a claimed time proves nothing against it.
    pub fn refuses(&self, times: &Times) -> bool {
        match self.reason {
            Reason::Superseded | Reason::Retired => self.applies(times.anchor()),
            Reason::Compromised => times.received.is_none_or(|received| self.applies(received)),
        }
    }

    /// From when pushes are refused; `None` is always.
    pub fn refused_from(&self) -> Option<Timestamp> {
        match self.reason {
            Reason::Superseded | Reason::Retired => self.at,
            Reason::Compromised => self.effective_from,
        }
    }

    /// Whether this refuses whatever the other one refuses of what arrives from `now` on, and taints as much.
    pub(super) fn covers(&self, other: &Revocation, now: Timestamp) -> bool {
        let (own, theirs) = (self.refused_from(), other.refused_from());
        match (self.reason, other.reason) {
            // When a compromise began says which of the past is tainted, so nothing but the same or more will do.
            (Reason::Compromised, Reason::Compromised) => is_no_later(own, theirs),
            (_, Reason::Compromised) => false,
            (_, Reason::Superseded | Reason::Retired) => {
                is_no_later(own, Some(theirs.map_or(now, |theirs| theirs.max(now))))
            }
        }
    }

    /// Both at once refuse whatever either refuses; the worse reason is the one told.
    pub(super) fn join(self, other: Revocation) -> Revocation {
        let earliest = |a: &Revocation, b: &Revocation| match (a.refused_from(), b.refused_from()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            _ => None,
        };
        let from = earliest(&self, &other);
        let at = match (self.at, other.at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            _ => None,
        };
        let reason = self.reason.max(other.reason);
        match reason {
            Reason::Superseded | Reason::Retired => Revocation { at: from, effective_from: None, reason },
            Reason::Compromised => Revocation { at, effective_from: from, reason },
        }
    }
}

/// Whether one beginning is not after another; `None` is always.
pub(super) fn is_no_later(one: Option<Timestamp>, other: Option<Timestamp>) -> bool {
    match (one, other) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(one), Some(other)) => one <= other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn n14_superseded_from_when_we_learned_compromised_always() {
        let at = Some(time("2026-01-01T00:00:00Z"));
        let early = time("2020-01-01T00:00:00Z");
        let soft = Revocation { at, effective_from: None, reason: Reason::Superseded };
        assert!(!soft.applies(early));
        assert!(soft.applies(time("2026-01-01T00:00:00Z")), "the boundary is refused");
        let hard = Revocation { at, effective_from: None, reason: Reason::Compromised };
        assert!(hard.applies(early), "without a date a compromise has always been");
        let since = Some(time("2025-06-01T00:00:00Z"));
        let dated = Revocation { at, effective_from: since, reason: Reason::Compromised };
        assert!(!dated.applies(early));
        assert!(dated.applies(time("2025-06-01T00:00:00Z")), "before we learned it");
    }

    #[test]
    fn n15_joining_never_refuses_less() {
        let times = [None, Some(time("2024-01-01T00:00:00Z")), Some(time("2026-01-01T00:00:00Z"))];
        let mut all = Vec::new();
        for (_, reason) in Reason::WORDS {
            for at in times {
                for effective_from in times {
                    all.push(Revocation { at, effective_from, reason: *reason });
                }
            }
        }
        for a in &all {
            for b in &all {
                let both = a.clone().join(b.clone());
                for now in ["2023-01-01T00:00:00Z", "2025-01-01T00:00:00Z", "2027-01-01T00:00:00Z"] {
                    let now = time(now);
                    assert_eq!(both.applies(now), a.applies(now) || b.applies(now), "{a:?} {b:?}");
                }
            }
        }
    }

    /// By what is refused, at all times from `now` on and for receipts before it, not by how it is written.
    #[test]
    fn n14_what_covers_a_revocation_refuses_as_much() {
        let now = time("2025-01-01T00:00:00Z");
        let times =
            [None, Some("2024-01-01T00:00:00Z"), Some("2025-06-01T00:00:00Z"), Some("2026-01-01T00:00:00Z")];
        let times = times.map(|at| at.map(time));
        let mut all = Vec::new();
        for (_, reason) in Reason::WORDS {
            for at in times {
                for effective_from in times {
                    all.push(Revocation { at, effective_from, reason: *reason });
                }
            }
        }
        let moments = [
            "2023-01-01T00:00:00Z",
            "2024-06-01T00:00:00Z",
            "2025-01-01T00:00:00Z",
            "2025-07-01T00:00:00Z",
            "2027-01-01T00:00:00Z",
        ];
        let moments = moments.map(time);
        let mut seen = [0, 0];
        for own in &all {
            assert!(own.covers(own, now), "{own:?}");
            for other in &all {
                let covers = own.covers(other, now);
                seen[usize::from(covers)] += 1;
                let new =
                    moments.iter().filter(|at| **at >= now).all(|at| own.applies(*at) || !other.applies(*at));
                let old = moments.iter().all(|at| own.applies(*at) || !other.applies(*at));
                let hard = other.reason == Reason::Compromised;
                let fine = if hard { own.reason == other.reason && old } else { new };
                assert_eq!(covers, fine, "{own:?} {other:?}");
            }
        }
        assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
    }
}
