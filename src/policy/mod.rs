//! The decision: a pure, total function of facts and rulesets.
//!
//! Nothing here reads git, a file, a clock, the network or the environment; what it knows is in
//! [`PushFacts`]. [`evaluate()`] never stops at the first violation.

pub mod bypass;
pub mod charset;
mod evaluate;
pub mod facts;
mod limits;
pub mod message;
mod pattern;
pub mod rules;
mod ruleset;
mod selector;
mod verdict;

pub use bypass::{Bypass, Proof};
pub use evaluate::{Observer, Step, evaluate, evaluate_until, evaluate_with};
pub use facts::PushFacts;
pub use limits::Limits;
pub use pattern::{Pattern, PatternError};
pub use ruleset::{Enforcement, Refs, Ruleset, Rulesets, SpecError, Tenant, Uncovered};
pub use selector::{Selector, SelectorError};
pub use verdict::{Coverage, Decision, RefVerdict, RulesetVerdict, Subject, Verdict, Violation, Waiver};
