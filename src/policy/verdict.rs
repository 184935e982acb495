//! What a decision looks like.

use super::bypass::Waived;
use super::ruleset::Enforcement;
use crate::domain::{ObjectId, RefName, UpdateKind};

/// Whether the push may go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// All of it.
    Accept,
    /// None of it.
    Refuse,
}

impl Decision {
    /// The word used in records and output.
    pub const fn name(self) -> &'static str {
        match self {
            Decision::Accept => "accept",
            Decision::Refuse => "refuse",
        }
    }
}

/// What a violation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// The ref update as such.
    Ref,
    /// A commit.
    Commit(ObjectId),
    /// An annotated tag.
    Tag(ObjectId),
}

/// One broken rule, with what was seen and what was wanted. All text is escaped already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule that is broken.
    pub rule: &'static str,
    /// The ref, escaped.
    pub reference: String,
    /// What about it.
    pub subject: Subject,
    /// The path that it is about, where it is about one, escaped.
    pub path: Option<String>,
    /// What was seen.
    pub seen: String,
    /// What the rule wants.
    pub wanted: String,
    /// The command or action that helps.
    pub help: String,
    /// What the administrator says about it, escaped.
    pub note: Option<String>,
    /// The rulesets that say so.
    pub rulesets: Vec<String>,
}

/// A violation that a bypass waived (N19).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    /// What was waived.
    pub violation: Violation,
    /// Whether it would have refused the push: `false` in a ruleset that is only evaluated.
    pub enforced: bool,
    /// By whom and why.
    pub waived: Waived,
}

/// How a ref came to be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// At least one enforcing ruleset covers it.
    Ruleset,
    /// None does, and `uncovered = "accept"` lets it in (N2).
    UncoveredAccept,
    /// None does, and `uncovered = "refuse"`.
    UncoveredRefuse,
}

impl Coverage {
    /// The word used in records.
    pub const fn name(self) -> &'static str {
        match self {
            Coverage::Ruleset => "ruleset",
            Coverage::UncoveredAccept => "uncovered-accept",
            Coverage::UncoveredRefuse => "uncovered-refuse",
        }
    }
}

/// What one ruleset said of one ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesetVerdict {
    /// The ruleset's index in the configuration; `None` for the built-in one.
    pub index: Option<usize>,
    /// Its name, `builtin` for the built-in one.
    pub name: String,
    /// Whether its refusals count.
    pub enforcement: Enforcement,
    /// How many commits it judged.
    pub introduced: usize,
    /// How many violations it found that nobody waived.
    pub violations: usize,
    /// How many of what it found was waived, in this ref or in those of the push that it stands on: what
    /// it judged counts for this ref alone then (N8).
    pub waived: usize,
    /// It is not for this pusher, so it judged nothing (N18).
    pub exempt: bool,
}

/// The verdict on one ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefVerdict {
    /// The ref that moves, after symbolic refs are resolved.
    pub name: RefName,
    /// What it holds.
    pub old: Option<ObjectId>,
    /// What it shall hold.
    pub new: Option<ObjectId>,
    /// What the update does.
    pub kind: UpdateKind,
    /// Whether a ruleset covers it.
    pub coverage: Coverage,
    /// Every ruleset that judged it, the built-in one first.
    pub rulesets: Vec<RulesetVerdict>,
}

/// The outcome of [`super::evaluate()`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Accept only if nothing that is enforced is violated.
    pub decision: Decision,
    /// What enforcing rulesets and the built-in one refuse: the first [`Verdict::KEPT`].
    pub violations: Vec<Violation>,
    /// How many of them there are altogether.
    pub violation_count: usize,
    /// What rulesets in evaluate mode would have refused: the first [`Verdict::KEPT`].
    pub advisory: Vec<Violation>,
    /// How many of them there are altogether.
    pub advisory_count: usize,
    /// What was broken and waived: the first [`Verdict::KEPT`].
    pub waivers: Vec<Waiver>,
    /// How many of them there are altogether.
    pub waiver_count: usize,
    /// Per ref, who judged it.
    pub refs: Vec<RefVerdict>,
}

impl Verdict {
    /// Violations that are kept one by one; the rest are only counted.
    pub const KEPT: usize = 1_000;

    /// Adds what is wrong with what an otherwise acceptable push leads to, and that no fact about it shows.
    pub fn refuse(&mut self, violation: Violation) {
        self.decision = Decision::Refuse;
        self.violation_count += 1;
        let reference =
            self.refs.iter_mut().find(|reference| reference.name.to_string() == violation.reference);
        let own = |ruleset: &&mut RulesetVerdict| violation.rulesets.contains(&ruleset.name);
        if let Some(ruleset) = reference.and_then(|reference| reference.rulesets.iter_mut().find(own)) {
            ruleset.violations += 1;
        }
        self.violations.push(violation);
    }
}
