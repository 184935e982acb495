//! Facts and rulesets in, verdict out.

use super::facts::{BuiltinFault, BuiltinRule, Needs, PushFacts, RefFacts};
use super::rules::{Configured, Finding, Judges, Scope};
use super::ruleset::{Enforcement, Ruleset, Rulesets};
use super::verdict::{Coverage, Decision, RefVerdict, RulesetVerdict, Subject, Verdict, Violation, Waiver};
use crate::domain::{ObjectId, ObjectKind, text};
use std::collections::{HashMap, HashSet};

/// Told of every step of an evaluation: what `countersign explain` shows.
pub trait Observer {
    /// A rule was asked about something, and found this.
    fn step(&mut self, scope: Scope<'_>, step: Step<'_>);
}

impl Observer for () {
    fn step(&mut self, _: Scope<'_>, _: Step<'_>) {}
}

/// One question to one rule.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The rule, as it is configured.
    pub rule: &'a Configured,
    /// What it was asked about.
    pub subject: Subject,
    /// What it found; nothing where it is content.
    pub found: &'a [Finding],
    /// It was not asked: the commit is on record from before `effective-from`.
    pub skipped: bool,
}

/// Judges a whole push. Every ref is judged by the built-in ruleset and by every configured one that
/// covers it; nothing is skipped after a first violation. The push is accepted as a whole or refused
/// as a whole.
pub fn evaluate(facts: &PushFacts, policy: &Rulesets) -> Verdict {
    evaluate_with(facts, policy, &mut ())
}

/// The same, step by step in front of an observer. It sees everything and changes nothing.
pub fn evaluate_with(facts: &PushFacts, policy: &Rulesets, observer: &mut dyn Observer) -> Verdict {
    judge(facts, policy, observer, &|| false).0
}

/// The same under a deadline: `stop` is asked before each question to a rule, and no verdict comes of it once it
/// has said so. Facts that are small in memory can be much to judge, where many commits share them (N23).
pub fn evaluate_until(facts: &PushFacts, policy: &Rulesets, stop: &dyn Fn() -> bool) -> Option<Verdict> {
    let (verdict, stopped) = judge(facts, policy, &mut (), stop);
    (!stopped).then_some(verdict)
}

/// A verdict, and whether it says nothing because the judging was stopped.
fn judge(
    facts: &PushFacts,
    policy: &Rulesets,
    observer: &mut dyn Observer,
    stop: &dyn Fn() -> bool,
) -> (Verdict, bool) {
    let mut judgement = Judgement {
        facts,
        policy,
        concerned: policy.concerned(&facts.context.repository.name),
        observer,
        stop,
        stopped: false,
        enforced: Findings::default(),
        advisory: Findings::default(),
        waivers: Vec::new(),
        waiver_count: 0,
        carried: HashMap::new(),
    };
    for fault in &facts.faults {
        judgement.enforced.add(judgement.quotable(builtin(fault), false));
    }
    let refs: Vec<RefVerdict> = facts.refs.iter().map(|reference| judgement.reference(reference)).collect();
    let Judgement { enforced, advisory, waivers, waiver_count, stopped, .. } = judgement;
    let clean = enforced.total() == 0 && !stopped;
    // A push without a single judged update has nothing that could be accepted.
    let decision = if clean && !refs.is_empty() { Decision::Accept } else { Decision::Refuse };
    let verdict = Verdict {
        decision,
        violation_count: enforced.total(),
        violations: enforced.kept,
        advisory_count: advisory.total(),
        advisory: advisory.kept,
        waivers,
        waiver_count,
        refs,
    };
    (verdict, stopped)
}

struct Judgement<'a> {
    facts: &'a PushFacts,
    policy: &'a Rulesets,
    /// The rulesets that judge refs of this repository.
    concerned: Vec<usize>,
    observer: &'a mut dyn Observer,
    stop: &'a dyn Fn() -> bool,
    stopped: bool,
    enforced: Findings,
    advisory: Findings,
    waivers: Vec<Waiver>,
    waiver_count: usize,
    /// For each ruleset, the refs so far whose commits were let through by a bypass.
    carried: HashMap<usize, Vec<Carried<'a>>>,
}

/// What a bypass let through on one ref. Another ref of the push that stands on its commits has to be
/// entitled to it as well: a waiver is of one ref (N8).
struct Carried<'a> {
    /// The commits that the ref introduces, and those of other refs that it stands on.
    introduced: HashSet<&'a ObjectId>,
    /// Which rule found what about which of them.
    waived: Vec<(&'a Configured, Subject, Finding)>,
}

/// What one ruleset found on one ref.
#[derive(Default)]
struct Found {
    violations: usize,
    waived: usize,
}

impl<'a> Judgement<'a> {
    fn reference(&mut self, reference: &'a RefFacts) -> RefVerdict {
        let (facts, policy) = (self.facts, self.policy);
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
            waived: 0,
            exempt: false,
        }];
        let default_branch = facts.repository.default_branch.as_ref();
        let covering = policy.covering_among(&self.concerned, &reference.name, default_branch);
        let coverage = policy.coverage_by(&covering);
        for index in covering {
            let ruleset = &policy.rulesets[index];
            let exempt = ruleset.exempts(facts.pusher.as_deref());
            let found = if exempt {
                self.built_in(reference, index, ruleset)
            } else {
                self.by(reference, index, ruleset)
            };
            verdicts.push(RulesetVerdict {
                index: Some(index),
                name: ruleset.name.clone(),
                enforcement: ruleset.enforcement,
                introduced: reference.introduced.get(&index).map_or(0, Vec::len),
                violations: found.violations,
                waived: found.waived,
                exempt,
            });
        }
        if coverage == Coverage::UncoveredRefuse {
            self.enforced.add(Violation {
                rule: "uncovered-ref",
                reference: shown,
                subject: Subject::Ref,
                path: None,
                seen: "no enforcing ruleset covers this ref".to_owned(),
                wanted: "a ref that a ruleset covers, since `uncovered = \"refuse\"`".to_owned(),
                help: "push to a covered ref, or ask an administrator to cover this one".to_owned(),
                note: None,
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

    /// Whether the judging has to end. Once it has, nothing is asked any more.
    fn is_over(&mut self) -> bool {
        self.stopped = self.stopped || (self.stop)();
        self.stopped
    }

    /// What nobody is exempt from: the faults of the commits themselves (N1).
    fn built_in(&mut self, reference: &RefFacts, index: usize, ruleset: &Ruleset) -> Found {
        let mut found = Found::default();
        for id in reference.introduced.get(&index).into_iter().flatten() {
            if !self.facts.commits.contains_key(id) {
                for violation in without_facts(self.facts, *id, &reference.name.to_string()) {
                    found.violations += 1;
                    self.add(ruleset, violation);
                }
            }
        }
        found
    }

    /// Judges one ref by one ruleset.
    fn by(&mut self, reference: &'a RefFacts, index: usize, ruleset: &'a Ruleset) -> Found {
        let (facts, policy) = (self.facts, self.policy);
        let scope = Scope { facts, reference, ruleset, index, policy };
        let mut found = Found::default();
        let mut let_through = Vec::new();
        // A deletion leads to nothing that a rule about commits could have something to say of.
        let deleted = reference.update.new.is_none();
        // A rule is not asked about what is not known; the push is refused for that.
        let net_faults = reference.net_faults.get(&index).map(Vec::as_slice).unwrap_or_default();
        for fault in net_faults {
            found.violations += 1;
            self.add(ruleset, builtin(fault));
        }
        let unknown = |one: &Configured| !net_faults.is_empty() && one.rule.needs().has_any(Needs::CONTENT);
        for rule in ruleset.rules().iter().filter(|one| !(deleted && one.rule.judges() == Judges::Commit)) {
            if unknown(rule) {
                continue;
            }
            if self.is_over() {
                return found;
            }
            let findings = rule.rule.check_ref(scope);
            self.settle(scope, rule, Subject::Ref, findings, &mut found, &mut let_through);
        }
        for tag in &reference.tags {
            for rule in ruleset.rules() {
                let findings = rule.rule.check_tag(tag, scope);
                self.settle(scope, rule, Subject::Tag(tag.id), findings, &mut found, &mut let_through);
            }
        }
        // What a bypass is for on one ref says nothing of commits that other refs stand on.
        let_through.clear();
        let introduced = reference.introduced.get(&index).map(Vec::as_slice).unwrap_or_default();
        let needs = ruleset.needs();
        let faults_of = |id: &ObjectId| -> Vec<&BuiltinFault> {
            let known = [(Needs::CHANGES, &facts.content_faults), (Needs::BLOBS, &facts.file_faults)];
            let asked = known.into_iter().filter(|(kind, _)| needs.has(Needs::CHANGES) && needs.has(*kind));
            asked.flat_map(|(_, faults)| faults.get(id).into_iter().flatten()).collect()
        };
        let mut told: Vec<&BuiltinFault> = Vec::new();
        for id in introduced {
            let Some(commit) = facts.commits.get(id) else {
                for violation in without_facts(facts, *id, &reference.name.to_string()) {
                    found.violations += 1;
                    self.add(ruleset, violation);
                }
                continue;
            };
            let content_faults = faults_of(id);
            for fault in &content_faults {
                let fault = *fault;
                // A budget of the whole push is passed once, and not by each commit that comes after.
                if fault.object.is_none() && told.contains(&fault) {
                    continue;
                }
                told.extend(fault.object.is_none().then_some(fault));
                found.violations += 1;
                let fault = BuiltinFault { reference: reference.name.to_string(), ..fault.clone() };
                self.add(ruleset, self.quotable(builtin(&fault), true));
            }
            for rule in ruleset.rules().iter().filter(|one| one.rule.judges() == Judges::Commit) {
                if !content_faults.is_empty() && rule.rule.needs().has_any(Needs::CONTENT) {
                    continue;
                }
                let subject = Subject::Commit(*id);
                // A receipt says that the signature was good then. A key that was revoked or taken away since
                // exempts nothing.
                let verified = commit.signature.verified_by().is_some();
                let on_record = |from| verified && commit.received.is_some_and(|received| received < from);
                if rule.effective_from.is_some_and(on_record) {
                    self.observer.step(scope, Step { rule, subject, found: &[], skipped: true });
                    continue;
                }
                if self.is_over() {
                    return found;
                }
                let findings = rule.rule.check_commit(commit, scope);
                self.settle(scope, rule, subject, findings, &mut found, &mut let_through);
            }
        }
        self.carry(scope, introduced, &mut found, let_through);
        found
    }

    /// Holds what bypasses let through on the refs that this one stands on against its own, and keeps all
    /// of it for the refs that follow.
    fn carry(
        &mut self,
        scope: Scope<'a>,
        introduced: &'a [ObjectId],
        found: &mut Found,
        mut let_through: Vec<(&'a Configured, Subject, Finding)>,
    ) {
        let builds_on = scope.reference.builds_on.get(&scope.index).map(Vec::as_slice).unwrap_or_default();
        let all = self.carried.get(&scope.index).into_iter().flatten();
        let below = all.filter(|one| builds_on.iter().any(|id| one.introduced.contains(id)));
        let below: Vec<_> = below.flat_map(|one| one.waived.iter().cloned()).collect();
        for (rule, subject, finding) in below {
            self.settle(scope, rule, subject, vec![finding], found, &mut let_through);
        }
        if !let_through.is_empty() {
            let introduced = introduced.iter().chain(builds_on).collect();
            self.carried.entry(scope.index).or_default().push(Carried { introduced, waived: let_through });
        }
    }

    /// Sorts what a rule found into violations and waivers.
    fn settle(
        &mut self,
        scope: Scope<'a>,
        rule: &'a Configured,
        subject: Subject,
        findings: Vec<Finding>,
        found: &mut Found,
        let_through: &mut Vec<(&'a Configured, Subject, Finding)>,
    ) {
        self.observer.step(scope, Step { rule, subject, found: &findings, skipped: false });
        let ruleset = scope.ruleset;
        for finding in findings {
            let waived = ruleset.bypass.iter().find_map(|one| one.waives(rule.rule.as_ref(), subject, scope));
            if waived.is_some() {
                let_through.push((rule, subject, finding.clone()));
            }
            let Finding { path, seen, wanted, help } = finding;
            let violation = Violation {
                rule: rule.rule.name(),
                reference: scope.reference.name.to_string(),
                subject,
                path,
                seen,
                wanted,
                help,
                note: rule.note.as_ref().map(|note| text::escape(note.as_bytes())),
                rulesets: vec![ruleset.name.clone()],
            };
            let content = rule.rule.needs().has_any(Needs::CONTENT.and(Needs::MERGES));
            let violation = self.quotable(violation, content);
            match waived {
                Some(waived) => {
                    found.waived += 1;
                    self.waiver_count += 1;
                    if self.waivers.len() < Verdict::KEPT {
                        let enforced = ruleset.enforcement == Enforcement::Enforce;
                        self.waivers.push(Waiver { violation, enforced, waived });
                    }
                }
                None => {
                    found.violations += 1;
                    self.add(ruleset, violation);
                }
            }
        }
    }

    /// Adds a violation to where those of the ruleset go.
    fn add(&mut self, ruleset: &Ruleset, violation: Violation) {
        let violation = self.quotable(violation, false);
        self.list(ruleset).add(violation);
    }

    /// The violation as it may be told: what only another repository has is named by its id, which the pusher
    /// gave, and not quoted (N12). What a commit changes (`content`) tells of its parents, too.
    fn quotable(&self, violation: Violation, content: bool) -> Violation {
        let unquotable = &self.facts.unquotable;
        let hidden = match violation.subject {
            // What the update changes as a whole tells of what it begins with.
            Subject::Ref if content => self.facts.refs.iter().any(|one| {
                (one.foreign || !one.foreign_below.is_empty()) && one.name.to_string() == violation.reference
            }),
            _ if unquotable.is_empty() => false,
            Subject::Ref => false,
            Subject::Tag(id) => unquotable.contains(&id),
            Subject::Commit(id) => {
                let parents = self.facts.commits.get(&id).map_or(&[][..], |commit| &commit.parents);
                unquotable.contains(&id) || (content && parents.iter().any(|one| unquotable.contains(one)))
            }
        };
        if !hidden {
            return violation;
        }
        Violation {
            path: None,
            seen: "something that is not shown, since only another repository has it".to_owned(),
            help:
                "push it from a clone that does not know of the other repository, or ask an administrator to \
                   fetch it"
                    .to_owned(),
            ..violation
        }
    }

    /// Where a ruleset's violations go.
    fn list(&mut self, ruleset: &Ruleset) -> &mut Findings {
        match ruleset.enforcement {
            Enforcement::Enforce => &mut self.enforced,
            Enforcement::Evaluate | Enforcement::Off => &mut self.advisory,
        }
    }
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
        path: None,
        seen: fault.seen.clone(),
        wanted: fault.wanted.clone(),
        help: fault.help.clone(),
        note: None,
        rulesets: vec![Ruleset::BUILTIN.to_owned()],
    }
}

/// What makes two violations one: rule, ref, subject, path, what is wanted.
type Key = (&'static str, String, Subject, Option<String>, String);

/// Violations without repeats: what two rulesets find alike is one block that names both. Only so many
/// are kept, so that a push cannot fill the memory with its own faults; the rest are counted.
#[derive(Default)]
struct Findings {
    kept: Vec<Violation>,
    index: HashMap<Key, usize>,
    beyond: usize,
}

impl Findings {
    fn add(&mut self, violation: Violation) {
        let Violation { rule, reference, subject, path, wanted, .. } = &violation;
        let key = (*rule, reference.clone(), *subject, path.clone(), wanted.clone());
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
