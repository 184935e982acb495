//! Why a push is judged as it is: every ruleset that covers its ref, every rule of it, and what each saw.

use super::check::{self, CheckFault, CheckRequest, Checked, check_with};
use super::effective::{Effective, effective, is_for, place};
use super::gate::Snapshot;
use crate::domain::{RefName, Timestamp};
use crate::git::Repository;
use crate::policy::rules::{Finding, Scope};
use crate::policy::{Observer, Step, Subject, Verdict, Violation};
use std::collections::HashMap;
use std::path::Path;

/// Findings of one rule that are kept one by one; the rest are counted.
const KEPT: usize = 100;

/// A judgement with its reasoning.
#[derive(Debug)]
pub struct Reasons {
    /// The judgement.
    pub checked: Checked,
    /// The ref that moves, and all of the policy that is about it. It is another one than the one that was named
    /// where that is a symbolic ref. `None` where the update is too malformed to be judged at all.
    pub effective: Option<Effective>,
    /// What the rules saw, ruleset by ruleset, in the order of [`Effective::rulesets`].
    pub rulesets: Vec<RulesetReasons>,
    /// What the built-in rules found.
    pub builtin: Vec<Violation>,
}

/// What one ruleset came to.
#[derive(Debug)]
pub struct RulesetReasons {
    /// Its name.
    pub name: String,
    /// How many commits it had to judge.
    pub introduced: usize,
    /// It is not for this pusher, so it judged nothing (N18).
    pub exempt: bool,
    /// Its rules.
    pub rules: Vec<RuleReasons>,
    /// Which of its bypasses name the one who is taken to push, by place; with proof `key` they hold for what that
    /// principal signed only.
    pub own_bypasses: Vec<String>,
}

/// What one rule came to.
#[derive(Debug)]
pub struct RuleReasons {
    /// Its name.
    pub rule: &'static str,
    /// Where it is written; nowhere if another rule brought it.
    pub place: Option<String>,
    /// What it wants, or refuses.
    pub about: String,
    /// What it was asked about.
    pub asked: Asked,
    /// What it found, the first ones.
    pub found: Vec<Reason>,
    /// How many findings there are that nobody waived.
    pub violations: usize,
    /// How many were waived.
    pub waived: usize,
}

/// How often a rule was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// About the update as such, or what it changes as a whole.
    pub update: bool,
    /// About this many tags.
    pub tags: usize,
    /// About this many commits.
    pub commits: usize,
    /// Not about these: they are on record from before `effective-from`.
    pub skipped: usize,
}

/// One finding of a rule.
#[derive(Clone, Debug)]
pub struct Reason {
    /// About what.
    pub subject: Subject,
    /// What.
    pub finding: Finding,
    /// Whose bypass waived it, and why.
    pub waived: Option<String>,
}

/// Judges as [`super::check()`] does, and keeps the reasoning.
pub fn reasons(snapshot: &Snapshot, request: &CheckRequest<'_>) -> Result<Reasons, CheckFault> {
    let mut trace = Trace::default();
    let checked = check_with(snapshot, request, &mut trace)?;
    let (config, facts) = (&snapshot.config, &checked.facts);
    let Some(reference) = facts.refs.first() else {
        let builtin = checked.verdict.violations.clone();
        return Ok(Reasons { checked, effective: None, rulesets: Vec::new(), builtin });
    };
    let name = &facts.context.repository.name;
    let default_branch = facts.repository.default_branch.as_ref();
    let effective = effective(snapshot, name, &reference.name, default_branch, Timestamp::now())?;
    let mut rulesets = Vec::new();
    for judged in checked.verdict.refs.iter().flat_map(|one| &one.rulesets) {
        let Some(index) = judged.index else { continue };
        let ruleset = &config.policy.rulesets[index];
        let rules = ruleset.rules().iter().map(|configured| {
            let rule = configured.rule.as_ref();
            let seen = trace.steps.remove(&(index, rule.name())).unwrap_or_default();
            let waived_by = |reason: Reason| Reason {
                waived: waiver(&checked.verdict, &ruleset.name, rule.name(), &reason),
                ..reason
            };
            let found: Vec<Reason> = seen.found.into_iter().map(waived_by).collect();
            let waivers = checked.verdict.waivers.iter().map(|one| &one.violation);
            let own = |one: &&Violation| one.rule == rule.name() && one.rulesets.contains(&ruleset.name);
            let waived = waivers.filter(own).count();
            RuleReasons {
                rule: rule.name(),
                place: place(config, ruleset, rule.name()),
                about: rule.describe(),
                asked: seen.asked,
                violations: seen.count.saturating_sub(waived),
                waived,
                found,
            }
        });
        let rules = rules.collect();
        let pusher = facts.pusher.as_deref();
        let own = ruleset.bypass.iter().enumerate();
        let own = own.filter(|(_, one)| pusher.is_some_and(|pusher| is_for(one, pusher)));
        rulesets.push(RulesetReasons {
            name: ruleset.name.clone(),
            introduced: judged.introduced,
            exempt: judged.exempt,
            rules,
            own_bypasses: own
                .map(|(index, _)| place(config, ruleset, &format!("bypass {index}")).unwrap_or_default())
                .collect(),
        });
    }
    let builtin = crate::policy::Ruleset::BUILTIN;
    let own = |one: &&Violation| one.rulesets.iter().any(|name| name == builtin);
    let builtin = checked.verdict.violations.iter().filter(own).cloned().collect();
    Ok(Reasons { effective: Some(effective), rulesets, builtin, checked })
}

/// What would judge a push to a ref, whatever it brings. `repository` is the name that selectors match, as in
/// [`CheckRequest`].
pub fn would_judge(
    snapshot: &Snapshot,
    git_dir: &Path,
    repository: Option<&str>,
    reference: &RefName,
) -> Result<Effective, CheckFault> {
    let opened = Repository::open(git_dir, None)?;
    let name = check::name(snapshot, repository, &opened);
    let default_branch = opened.default_branch()?;
    let target = opened.resolve(reference)?.target;
    Ok(effective(snapshot, &name, &target, default_branch.as_ref(), Timestamp::now())?)
}

/// Whose bypass waived a finding, if any did.
fn waiver(verdict: &Verdict, ruleset: &str, rule: &str, reason: &Reason) -> Option<String> {
    let same = |one: &&crate::policy::Waiver| {
        let violation = &one.violation;
        violation.rule == rule
            && violation.subject == reason.subject
            && violation.path == reason.finding.path
            && violation.seen == reason.finding.seen
            && violation.rulesets.iter().any(|name| name == ruleset)
    };
    let waived = &verdict.waivers.iter().find(same)?.waived;
    let asked = waived.asked.as_ref().map_or_else(String::new, |asked| format!("; asked for: {asked}"));
    Some(format!("{}, by {}: {}{asked}", waived.by, waived.proof.name(), waived.reason))
}

/// What was asked, by ruleset and rule.
#[derive(Default)]
struct Trace {
    steps: HashMap<(usize, &'static str), Seen>,
}

#[derive(Default)]
struct Seen {
    asked: Asked,
    found: Vec<Reason>,
    count: usize,
}

impl Observer for Trace {
    fn step(&mut self, scope: Scope<'_>, step: Step<'_>) {
        let seen = self.steps.entry((scope.index, step.rule.rule.name())).or_default();
        match step.subject {
            Subject::Commit(_) if step.skipped => seen.asked.skipped += 1,
            Subject::Commit(_) => seen.asked.commits += 1,
            Subject::Tag(_) => seen.asked.tags += 1,
            Subject::Ref => seen.asked.update = true,
        }
        seen.count += step.found.len();
        let room = KEPT.saturating_sub(seen.found.len());
        seen.found.extend(step.found.iter().take(room).map(|finding| Reason {
            subject: step.subject,
            finding: finding.clone(),
            waived: None,
        }));
    }
}
