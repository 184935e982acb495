//! When a key counts: one span of time, or several.

use crate::domain::Timestamp;
use crate::signature::Times;

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first moment in it; `None` is always.
    pub from: Option<Timestamp>,
    /// The first moment after it; `None` is never.
    pub until: Option<Timestamp>,
}

/// The union of one or more spans of time (S8c).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows(Vec<Window>);

/// Where a moment lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// In a window that ends then, if it does.
    Inside {
        /// The first moment after it.
        until: Option<Timestamp>,
    },
    /// Before all of them, or between two: the next one begins then.
    Before {
        /// The first moment of the next one.
        from: Timestamp,
    },
    /// After all of them.
    After {
        /// When the last one ended.
        at: Timestamp,
    },
}

impl Windows {
    /// One span, which is not empty.
    pub fn one(from: Option<Timestamp>, until: Option<Timestamp>) -> Self {
        Windows(vec![Window { from, until }])
    }

    /// Both: what is in either is in the union. Spans that touch become one.
    #[must_use]
    pub fn union(mut self, other: Windows) -> Self {
        self.0.extend(other.0);
        // `None` sorts first, as the beginning that it is.
        self.0.sort_by_key(|window| window.from);
        let mut joined: Vec<Window> = Vec::new();
        for window in self.0 {
            match joined.last_mut() {
                Some(last) if last.until.is_none_or(|end| window.from.is_none_or(|from| from <= end)) => {
                    last.until = last.until.zip(window.until).map(|(a, b)| a.max(b));
                }
                _ => joined.push(window),
            }
        }
        Windows(joined)
    }

    /// The spans, in order, none empty, none touching another.
    pub fn spans(&self) -> &[Window] {
        &self.0
    }

    /// The first moment of the first one.
    pub fn begins(&self) -> Option<Timestamp> {
        self.0.first().and_then(|window| window.from)
    }

    /// The first moment after the last one.
    pub fn ends(&self) -> Option<Timestamp> {
        self.0.last().and_then(|window| window.until)
    }

    /// Where a moment lies.
    pub fn at(&self, time: Timestamp) -> Position {
        for window in &self.0 {
            match window {
                Window { from: Some(from), .. } if time < *from => return Position::Before { from: *from },
                Window { until: Some(until), .. } if time >= *until => {}
                Window { until, .. } => return Position::Inside { until: *until },
            }
        }
        Position::After { at: self.ends().unwrap_or(Timestamp::MAX) }
    }

    /// Where what decides lies: the receipt first, then the time that the signature or its object claims.
    /// Both must be inside (1.9); a claim alone lets nothing in (N13).
    pub(super) fn judge(&self, times: &Times, claimed: Option<Timestamp>) -> Position {
        let claimed = claimed.or_else(|| Timestamp::from_second(times.object).ok());
        let positions = [Some(times.anchor()), claimed].into_iter().flatten().map(|time| self.at(time));
        let mut inside = Position::Inside { until: None };
        for position in positions {
            match position {
                Position::Inside { .. } => inside = position,
                outside => return outside,
            }
        }
        inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn span(from: i64, until: i64) -> Windows {
        Windows::one(Some(at(from)), Some(at(until)))
    }

    #[test]
    fn s018_disjoint_windows_are_a_union_with_a_gap() {
        let both = span(100, 200).union(span(10, 20));
        assert_eq!(both.spans().len(), 2);
        assert_eq!(both.at(at(9)), Position::Before { from: at(10) });
        assert_eq!(both.at(at(19)), Position::Inside { until: Some(at(20)) });
        assert_eq!(both.at(at(20)), Position::Before { from: at(100) }, "the end is exclusive");
        assert_eq!(both.at(at(200)), Position::After { at: at(200) });
        assert_eq!((both.begins(), both.ends()), (Some(at(10)), Some(at(200))));
        assert_eq!(span(1, 2).union(span(2, 3)), span(1, 3));
        assert_eq!(span(1, 2).union(Windows::one(None, None)), Windows::one(None, None));
    }

    #[test]
    fn the_receipt_and_the_claim_must_both_be_inside() {
        let window = span(100, 200);
        let times = |object, received| Times { object, received: Some(at(received)), now: at(received) };
        assert!(matches!(window.judge(&times(150, 160), None), Position::Inside { .. }));
        assert_eq!(window.judge(&times(150, 200), None), Position::After { at: at(200) }, "backdated (S011)");
        assert_eq!(window.judge(&times(50, 160), None), Position::Before { from: at(100) });
        assert_eq!(window.judge(&times(150, 160), Some(at(99))), Position::Before { from: at(100) });
        let history = Times { object: 250, received: None, now: at(150) };
        assert_eq!(window.judge(&history, None), Position::After { at: at(200) });
    }

    fn any() -> impl Strategy<Value = Windows> {
        let edge = || proptest::option::of(0_i64..30);
        (edge(), edge()).prop_filter_map("empty", |(from, until)| match (from, until) {
            (Some(from), Some(until)) if from >= until => None,
            (from, until) => Some(Windows::one(from.map(at), until.map(at))),
        })
    }

    proptest! {
        #[test]
        fn a_union_holds_what_either_holds(all in proptest::collection::vec(any(), 1..6)) {
            let union = all.iter().cloned().reduce(Windows::union).unwrap();
            for second in -1..32 {
                let inside = |windows: &Windows| matches!(windows.at(at(second)), Position::Inside { .. });
                prop_assert_eq!(inside(&union), all.iter().any(inside));
            }
        }
    }
}
