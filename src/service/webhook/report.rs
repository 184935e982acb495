//! From a verdict to what the forge is told about it (N28).
//!
//! One context a target. Success is said only where an enforcing ruleset judged the commit for that very target, and
//! accepted it. Whatever is unknown is pending, which no forge takes for consent.

use crate::config::Source;
use crate::domain::{ObjectId, RefName, RepositoryId, RequestId, Timestamp, text};
use crate::forge::{Claim, State, context};
use crate::policy::{self, Coverage, RefVerdict, Rulesets, Verdict};
use crate::store::{NewReport, ReportState};

/// Most names of rules in a description: a forge shows about one line.
const NAMED: usize = 3;

/// Which commit is reported on, and for which target.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The source whose forge is told.
    pub source: &'a Source,
    /// Where.
    pub repository: &'a RepositoryId,
    /// The repository's name for rulesets.
    pub name: &'a str,
    /// The ref that holds it, or that a proposal wants to move to it.
    pub reference: &'a RefName,
    /// The commit; of a tag the one that it is about.
    pub commit: ObjectId,
}

/// What is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It was seen, and is going to be judged.
    Seen,
    /// It was judged and accepted: by which enforcing rulesets, and how many commits were new to them.
    Accepted {
        /// The rulesets.
        rulesets: Vec<String>,
        /// New commits.
        introduced: usize,
    },
    /// It was judged and refused: by which rules, and how many violations there are.
    Refused {
        /// The rules, most violations first.
        rules: Vec<String>,
        /// All violations.
        violations: usize,
    },
    /// It was let in because no enforcing ruleset judges it, which is no verdict.
    Uncovered,
    /// It could not be judged: a stable word for why.
    Undecided(String),
}

impl Known {
    /// What a verdict says about one of its refs.
    pub fn of(verdict: &Verdict, reference: &RefVerdict) -> Self {
        if verdict.decision == policy::Decision::Refuse {
            let mut counts: Vec<(usize, &str)> = Vec::new();
            for violation in &verdict.violations {
                match counts.iter_mut().find(|(_, rule)| *rule == violation.rule) {
                    Some((count, _)) => *count += 1,
                    None => counts.push((1, violation.rule)),
                }
            }
            counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
            let rules = counts.into_iter().map(|(_, rule)| rule.to_owned()).collect();
            return Known::Refused { rules, violations: verdict.violation_count };
        }
        match reference.coverage {
            Coverage::Ruleset => {
                let enforcing = || {
                    let enforces =
                        |enforcement: policy::Enforcement| enforcement == policy::Enforcement::Enforce;
                    // The built-in one has no place among those that are configured.
                    reference
                        .rulesets
                        .iter()
                        .filter(move |one| one.index.is_some() && enforces(one.enforcement))
                };
                Known::Accepted {
                    rulesets: enforcing().map(|one| one.name.clone()).collect(),
                    introduced: enforcing().map(|one| one.introduced).max().unwrap_or_default(),
                }
            }
            // An accept that nothing enforced is none (N2).
            Coverage::UncoveredAccept | Coverage::UncoveredRefuse => Known::Uncovered,
        }
    }

    const fn state(&self) -> ReportState {
        match self {
            Known::Accepted { .. } => ReportState::Success,
            Known::Refused { .. } => ReportState::Failure,
            Known::Seen | Known::Uncovered | Known::Undecided(_) => ReportState::Pending,
        }
    }

    fn description(&self) -> String {
        let shown = |name: &str| text::escape_short(name.as_bytes(), 40);
        let named = |names: &[String]| {
            let some: Vec<String> = names.iter().take(NAMED).map(|name| shown(name)).collect();
            format!("{}{}", some.join(", "), if names.len() > NAMED { ", ..." } else { "" })
        };
        match self {
            Known::Seen => "waiting to be judged; this is no verdict".to_owned(),
            Known::Accepted { rulesets, introduced } => {
                let commits = plural(*introduced, "new commit");
                format!("accepted: {commits}, judged by {}", named(rulesets))
            }
            Known::Refused { rules, violations } => {
                format!("refused: {} ({})", plural(*violations, "violation"), named(rules))
            }
            Known::Uncovered => "no verdict: no enforcing ruleset judges this ref".to_owned(),
            Known::Undecided(why) => {
                format!(
                    "no verdict: it could not be judged yet ({}); this is not a policy decision",
                    shown(why)
                )
            }
        }
    }
}

fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// What the forge is to be told; nothing where the source tells nobody. `note` is added to the description: what
/// was done about it.
pub fn report(
    target: &Target<'_>,
    known: &Known,
    request: Option<&RequestId>,
    note: Option<&str>,
    now: Timestamp,
) -> Option<NewReport> {
    target.source.report.as_ref()?;
    let mut description = known.description();
    if let Some(note) = note {
        description = format!("{}; {description}", text::escape(note.as_bytes()));
    }
    Some(NewReport {
        source: target.source.name.clone(),
        repository: target.repository.clone(),
        commit: target.commit,
        context: context(target.source.forge, target.reference),
        reference: Some(target.reference.clone()),
        state: known.state(),
        description,
        request_id: request.cloned(),
        at: now,
    })
}

/// What the forge is told of a new tip before it is judged. Nothing where no ruleset judges the ref: a status that
/// never becomes a verdict would only be in the way.
pub fn pending(
    target: &Target<'_>,
    policy: &Rulesets,
    default_branch: Option<&RefName>,
    now: Timestamp,
) -> Option<NewReport> {
    match policy.coverage(target.name, target.reference, default_branch) {
        Coverage::UncoveredAccept => None,
        Coverage::Ruleset | Coverage::UncoveredRefuse => report(target, &Known::Seen, None, None, now),
    }
}

/// [`pending`] for what an authentic delivery claims, which is a hint: to be queued with
/// [`Store::queue_new_reports`](crate::store::Store::queue_new_reports). Only branches: what a tag is about is not
/// known yet.
pub fn hinted(
    source: &Source,
    repository: &RepositoryId,
    name: &str,
    claims: &[Claim],
    policy: &Rulesets,
    default_branch: Option<&RefName>,
    now: Timestamp,
) -> Vec<NewReport> {
    let one = |claim: &Claim| {
        claim.reference.branch()?;
        let target = Target { source, repository, name, reference: &claim.reference, commit: claim.after? };
        pending(&target, policy, default_branch, now)
    };
    claims.iter().filter_map(one).collect()
}

/// The state in the words of `forge`.
pub(super) const fn state(state: ReportState) -> State {
    match state {
        ReportState::Pending => State::Pending,
        ReportState::Success => State::Success,
        ReportState::Failure => State::Failure,
        ReportState::Error => State::Error,
    }
}
