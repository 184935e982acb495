//! Facts and rulesets in, verdict out.

use super::facts::{BuiltinFault, BuiltinRule, PushFacts, RefFacts};
use super::rules::{Finding, Judges};
use super::ruleset::{Enforcement, Ruleset, Rulesets, Uncovered};
use super::verdict::{Coverage, Decision, RefVerdict, RulesetVerdict, Subject, Verdict, Violation};
use crate::domain::ObjectKind;

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
    let clean = enforced.violations.is_empty();
    // A push without a single judged update has nothing that could be accepted.
    let decision = if clean && !refs.is_empty() { Decision::Accept } else { Decision::Refuse };
    Verdict { decision, violations: enforced.violations, advisory: advisory.violations, refs }
}

fn judge_ref(
    facts: &PushFacts,
    reference: &RefFacts,
    policy: &Rulesets,
    enforced: &mut Findings,
    advisory: &mut Findings,
) -> RefVerdict {
    let shown = reference.name.to_string();
    let own_faults = facts.faults.iter().filter(|fault| fault.reference == shown).count();
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
        let found = judge_by(facts, reference, index, ruleset);
        verdicts.push(RulesetVerdict {
            index: Some(index),
            name: ruleset.name.clone(),
            enforcement: ruleset.enforcement,
            introduced: reference.introduced.get(&index).map_or(0, Vec::len),
            violations: found.len(),
        });
        let into = match ruleset.enforcement {
            Enforcement::Enforce => {
                coverage = Coverage::Ruleset;
                &mut *enforced
            }
            Enforcement::Evaluate | Enforcement::Off => &mut *advisory,
        };
        found.into_iter().for_each(|violation| into.add(violation));
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

fn judge_by(facts: &PushFacts, reference: &RefFacts, index: usize, ruleset: &Ruleset) -> Vec<Violation> {
    let mut found = Vec::new();
    let shown = reference.name.to_string();
    let violation = |rule, subject, Finding { seen, wanted, help }| Violation {
        rule,
        reference: shown.clone(),
        subject,
        seen,
        wanted,
        help,
        rulesets: vec![ruleset.name.clone()],
    };
    for rule in ruleset.rules().iter().filter(|rule| rule.judges() == Judges::RefUpdate) {
        if let Some(finding) = rule.check_ref(reference) {
            found.push(violation(rule.name(), Subject::Ref, finding));
        }
    }
    for id in reference.introduced.get(&index).into_iter().flatten() {
        // A commit without facts could not be read as one; the built-in ruleset says why. To skip it
        // here would make the accept depend on that.
        let Some(commit) = facts.commits.get(id) else {
            let finding = Finding {
                seen: "the commit does not follow the object grammar".to_owned(),
                wanted: BuiltinRule::MALFORMED_OBJECT_WANTED.to_owned(),
                help: BuiltinRule::MALFORMED_OBJECT_HELP.to_owned(),
            };
            found.push(violation(BuiltinRule::MalformedObject.name(), Subject::Commit(*id), finding));
            continue;
        };
        for rule in ruleset.rules().iter().filter(|rule| rule.judges() == Judges::Commit) {
            if let Some(finding) = rule.check_commit(commit, reference, ruleset) {
                found.push(violation(rule.name(), Subject::Commit(*id), finding));
            }
        }
    }
    found
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

/// Violations without repeats: what two rulesets find alike is one block that names both.
#[derive(Default)]
struct Findings {
    violations: Vec<Violation>,
    index: std::collections::HashMap<(&'static str, String, Subject, String), usize>,
}

impl Findings {
    fn add(&mut self, violation: Violation) {
        let key = (violation.rule, violation.reference.clone(), violation.subject, violation.wanted.clone());
        match self.index.get(&key) {
            Some(&at) => {
                for name in violation.rulesets {
                    if !self.violations[at].rulesets.contains(&name) {
                        self.violations[at].rulesets.push(name);
                    }
                }
            }
            None => {
                self.index.insert(key, self.violations.len());
                self.violations.push(violation);
            }
        }
    }
}
