//! Facts and rulesets in, verdict out.

use super::facts::{BuiltinFault, BuiltinRule, PushFacts, RefFacts};
use super::rules::{Finding, Judges};
use super::ruleset::{Enforcement, Ruleset, Rulesets, Uncovered};
use super::verdict::{Coverage, Decision, RefVerdict, RulesetVerdict, Subject, Verdict, Violation};
use crate::domain::{ObjectId, ObjectKind};
use std::collections::HashMap;

/// Judges a whole push. Every ref is judged by the built-in ruleset and by every configured one that
/// covers it; nothing is skipped after a first violation. The push is accepted as a whole or refused
/// as a whole.
pub fn evaluate(facts: &PushFacts, policy: &Rulesets) -> Verdict {
    let mut enforced = Findings::default();
    let mut advisory = Findings::default();
    for fault in &facts.faults {
        enforced.add(builtin(fault));
    }
    let refs =
        facts.refs.iter().map(|reference| judge_ref(facts, reference, policy, &mut enforced, &mut advisory));
    let refs: Vec<RefVerdict> = refs.collect();
    let clean = enforced.total() == 0;
    // A push without a single judged update has nothing that could be accepted.
    let decision = if clean && !refs.is_empty() { Decision::Accept } else { Decision::Refuse };
    Verdict {
        decision,
        violation_count: enforced.total(),
        violations: enforced.kept,
        advisory_count: advisory.total(),
        advisory: advisory.kept,
        refs,
    }
}

fn judge_ref(
    facts: &PushFacts,
    reference: &RefFacts,
    policy: &Rulesets,
    enforced: &mut Findings,
    advisory: &mut Findings,
) -> RefVerdict {
    let shown = reference.name.to_string();
    let pushed = reference.update.name.to_string();
    let own = |fault: &&BuiltinFault| fault.reference == shown || fault.reference == pushed;
    let own_faults = facts.faults.iter().filter(own).count();
    let mut verdicts = vec![RulesetVerdict {
        index: None,
        name: Ruleset::BUILTIN.to_owned(),
        enforcement: Enforcement::Enforce,
        introduced: 0,
        violations: own_faults,
    }];
    let mut coverage = match policy.uncovered {
        Uncovered::Accept => Coverage::UncoveredAccept,
        Uncovered::Refuse => Coverage::UncoveredRefuse,
    };
    for index in policy.covering(&facts.context.repository.name, &reference.name) {
        let ruleset = &policy.rulesets[index];
        let into = match ruleset.enforcement {
            Enforcement::Enforce => {
                if !(ruleset.included && coverage == Coverage::UncoveredRefuse) {
                    coverage = Coverage::Ruleset;
                }
                &mut *enforced
            }
            Enforcement::Evaluate | Enforcement::Off => &mut *advisory,
        };
        let violations = judge_by(facts, reference, index, ruleset, into);
        verdicts.push(RulesetVerdict {
            index: Some(index),
            name: ruleset.name.clone(),
            enforcement: ruleset.enforcement,
            introduced: reference.introduced.get(&index).map_or(0, Vec::len),
            violations,
        });
    }
    if coverage == Coverage::UncoveredRefuse {
        enforced.add(Violation {
            rule: "uncovered-ref",
            reference: shown,
            subject: Subject::Ref,
            seen: "no enforcing ruleset covers this ref".to_owned(),
            wanted: "a ref that a ruleset covers, since `uncovered = \"refuse\"`".to_owned(),
            help: "push to a covered ref, or ask an administrator to cover this one".to_owned(),
            rulesets: vec![Ruleset::BUILTIN.to_owned()],
        });
    }
    RefVerdict {
        name: reference.name.clone(),
        old: reference.current,
        new: reference.update.new,
        kind: reference.kind,
        coverage,
        rulesets: verdicts,
    }
}

/// Judges one ref by one ruleset; gives the number of violations.
fn judge_by(
    facts: &PushFacts,
    reference: &RefFacts,
    index: usize,
    ruleset: &Ruleset,
    into: &mut Findings,
) -> usize {
    let shown = reference.name.to_string();
    let mut count = 0;
    let mut add = |violation| {
        count += 1;
        into.add(violation);
    };
    let violation = |rule, subject, Finding { seen, wanted, help }| Violation {
        rule,
        reference: shown.clone(),
        subject,
        seen,
        wanted,
        help,
        rulesets: vec![ruleset.name.clone()],
    };
    for rule in ruleset.rules() {
        if let Some(finding) = rule.check_ref(reference) {
            add(violation(rule.name(), Subject::Ref, finding));
        }
    }
    for tag in &reference.tags {
        for rule in ruleset.rules() {
            if let Some(finding) = rule.check_tag(tag, reference, ruleset) {
                add(violation(rule.name(), Subject::Tag(tag.id), finding));
            }
        }
    }
    for id in reference.introduced.get(&index).into_iter().flatten() {
        let Some(commit) = facts.commits.get(id) else {
            without_facts(facts, *id, &shown).into_iter().for_each(&mut add);
            continue;
        };
        for rule in ruleset.rules().iter().filter(|rule| rule.judges() == Judges::Commit) {
            if let Some(finding) = rule.check_commit(commit, reference, ruleset) {
                add(violation(rule.name(), Subject::Commit(*id), finding));
            }
        }
    }
    count
}

/// A commit without facts is refused for whatever kept it from having any. It is never skipped: an
/// accept must not depend on somebody else having refused it.
fn without_facts(facts: &PushFacts, id: ObjectId, reference: &str) -> Vec<Violation> {
    let on_this_ref = |fault: &BuiltinFault| {
        let object = fault.object.or(Some((ObjectKind::Commit, id)));
        builtin(&BuiltinFault { reference: reference.to_owned(), object, ..fault.clone() })
    };
    match facts.object_faults.get(&id) {
        Some(faults) if !faults.is_empty() => faults.iter().map(on_this_ref).collect(),
        _ => vec![builtin(&BuiltinFault {
            rule: BuiltinRule::MalformedObject,
            reference: reference.to_owned(),
            object: Some((ObjectKind::Commit, id)),
            seen: "the commit could not be judged".to_owned(),
            wanted: BuiltinRule::MALFORMED_OBJECT_WANTED.to_owned(),
            help: BuiltinRule::MALFORMED_OBJECT_HELP.to_owned(),
        })],
    }
}

fn builtin(fault: &BuiltinFault) -> Violation {
    let subject = match fault.object {
        Some((ObjectKind::Commit, id)) => Subject::Commit(id),
        Some((ObjectKind::Tag, id)) => Subject::Tag(id),
        _ => Subject::Ref,
    };
    Violation {
        rule: fault.rule.name(),
        reference: fault.reference.clone(),
        subject,
        seen: fault.seen.clone(),
        wanted: fault.wanted.clone(),
        help: fault.help.clone(),
        rulesets: vec![Ruleset::BUILTIN.to_owned()],
    }
}

/// Violations without repeats: what two rulesets find alike is one block that names both. Only so many
/// are kept, so that a push cannot fill the memory with its own faults; the rest are counted.
#[derive(Default)]
struct Findings {
    kept: Vec<Violation>,
    index: HashMap<(&'static str, String, Subject, String), usize>,
    beyond: usize,
}

impl Findings {
    fn add(&mut self, violation: Violation) {
        let key = (violation.rule, violation.reference.clone(), violation.subject, violation.wanted.clone());
        match self.index.get(&key) {
            Some(&at) => {
                for name in violation.rulesets {
                    if !self.kept[at].rulesets.contains(&name) {
                        self.kept[at].rulesets.push(name);
                    }
                }
            }
            None if self.kept.len() >= Verdict::KEPT => self.beyond += 1,
            None => {
                self.index.insert(key, self.kept.len());
                self.kept.push(violation);
            }
        }
    }

    fn total(&self) -> usize {
        self.kept.len() + self.beyond
    }
}
