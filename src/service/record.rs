//! From a decision to what is written about it.

use super::admit::Decided;
use super::fault::Fault;
use super::gate::{Gate, Snapshot};
use crate::audit::{
    self, Decision, FindingEntry, ObjectEntry, Outcome, Peer, Record, RefEntry, ViolationEntry, WaiverEntry,
};
use crate::domain::{
    ObjectId, ObjectKind, PushContext, Pusher, RefUpdate, RepositoryId, RepositoryRef, RequestId, Timestamp,
    text,
};
use crate::facts;
use crate::hook::wire::Request;
use crate::policy::facts::{CommitFacts, SignatureFacts};
use crate::policy::{self, Coverage, Enforcement, PushFacts, RefVerdict, Subject, Violation, Waiver};
use crate::signature::{Finding, SignatureStatus};
use crate::store::{CountedSignature, DecidedUpdate, Grant, Scope};
use std::cell::RefCell;
use std::time::Duration;

/// Most entries of one list that are made ready for a record; the rest is only counted. More than fit into
/// a record in any case.
const MOST: usize = 1_000;

/// What was asked, by whom, when, and under which configuration.
pub(super) struct Asked<'a> {
    pub(super) id: &'a RequestId,
    pub(super) request: &'a Request,
    pub(super) received_at: Timestamp,
    pub(super) snapshot: &'a Snapshot,
    /// Known once the repository was found and its identity read.
    pub(super) repository: RefCell<Option<RepositoryRef>>,
    /// Known once the server's variable was looked at.
    pub(super) pusher: RefCell<Pusher>,
    peer: u32,
    transport: &'static str,
}

impl<'a> Asked<'a> {
    pub(super) fn new(
        gate: &Gate,
        id: &'a RequestId,
        request: &'a Request,
        peer: u32,
        received_at: Timestamp,
        snapshot: &'a Snapshot,
    ) -> Self {
        let (repository, pusher) = (RefCell::new(None), RefCell::new(Pusher::Unknown));
        Asked { id, request, received_at, snapshot, repository, pusher, peer, transport: gate.transport() }
    }

    /// A decision about this with nothing in its lists.
    fn blank(&self, context: &PushContext, outcome: Outcome, took: Duration) -> Decision {
        let snapshot = self.snapshot;
        let mut decision =
            Decision::new(context, outcome, &snapshot.config.digest, snapshot.keyring.digest());
        decision.duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let environment = &self.request.environment;
        let address = environment.get("SSH_CONNECTION").or(environment.get("REMOTE_ADDR"));
        decision.peer = Some(Peer {
            transport: self.transport.to_owned(),
            uid: Some(self.peer),
            address: address.map(|address| text::escape_short(address.as_bytes(), 200)),
        });
        decision
    }

    /// What is known of the push where it was not decided.
    fn context(&self) -> PushContext {
        let unknown = || RepositoryRef {
            id: RepositoryId(String::new()),
            name: self.request.git_dir.path.chars().take(1024).collect(),
        };
        PushContext {
            request_id: self.id.clone(),
            repository: self.repository.borrow().clone().unwrap_or_else(unknown),
            pusher: self.pusher.borrow().clone(),
            push_options: self.request.push_options.iter().map(|option| option.0.clone()).collect(),
            received_at: self.received_at,
        }
    }
}

/// The record of a decided push, and for an accepted one its ref moves and what they grant.
pub(super) fn decision(
    asked: &Asked<'_>,
    decided: &Decided,
    took: Duration,
) -> (Record, Vec<DecidedUpdate>, Vec<Grant>) {
    let record = asked.blank(&decided.facts.context, decided.outcome(), took);
    fill(record, decided, &asked.snapshot.config.policy)
}

/// The record of something decided, made of one with nothing in its lists.
pub(super) fn fill(
    mut record: Decision,
    decided: &Decided,
    policy: &policy::Rulesets,
) -> (Record, Vec<DecidedUpdate>, Vec<Grant>) {
    let Decided { facts, verdict } = decided;
    let accepted = verdict.decision == policy::Decision::Accept;
    record.refs = verdict.refs.iter().map(reference).collect();
    let left_out = &mut record.truncated;
    let mut commits: Vec<_> = facts.commits.values().collect();
    commits.sort_unstable_by_key(|commit| commit.id);
    left_out.commits += over(commits.len());
    record.commits =
        commits.iter().take(MOST).map(|one| object(&one.id, one.sha256, &one.signature)).collect();
    let tags = || facts.refs.iter().flat_map(|reference| &reference.tags);
    left_out.tags += over(tags().count());
    record.tags = tags().take(MOST).map(|one| object(&one.id, one.sha256, &one.signature)).collect();
    left_out.violations += over(verdict.violation_count);
    record.violations = verdict.violations.iter().take(MOST).map(violation).collect();
    left_out.waivers += over(verdict.waiver_count);
    record.waivers = verdict.waivers.iter().take(MOST).map(waiver).collect();
    left_out.advisory += over(verdict.advisory_count);
    record.advisory = verdict.advisory.iter().take(MOST).map(violation).collect();
    let findings = facts.findings();
    left_out.findings += over(findings.len());
    record.findings = findings.iter().take(MOST).map(finding).collect();
    let (mut updates, mut granted) = (Vec::new(), Vec::new());
    if accepted {
        updates.extend(verdict.refs.iter().map(|reference| DecidedUpdate {
            reference: reference.name.clone(),
            old: reference.old,
            new: reference.new,
        }));
        granted = grants(policy, facts, &verdict.refs);
    }
    (Record::decision(record), updates, granted)
}

/// The record of an outage.
pub(super) fn undecided(asked: &Asked<'_>, fault: &Fault, took: Duration) -> Record {
    let mut record = asked.blank(&asked.context(), Outcome::Undecided, took);
    let updates = facts::parse_updates(&asked.request.updates.0).updates;
    record.truncated.refs += over(updates.len());
    let entry = |update| RefEntry::new(update, None, audit::Coverage::NotJudged);
    record.refs = updates.iter().take(MOST).map(entry).collect();
    Record::decision(record.undecided(fault.code(), &text::escape(fault.to_string().as_bytes())))
}

/// What enforcing rulesets with commit rules accepted: only that ever becomes frontier (N7). What stands on
/// commits of one ref is of that ref (N8).
fn grants(policy: &policy::Rulesets, facts: &PushFacts, verdicts: &[RefVerdict]) -> Vec<Grant> {
    let mut out = Vec::new();
    for (reference, verdict) in facts.refs.iter().zip(verdicts) {
        for (index, introduced) in &reference.introduced {
            let ruleset = &policy.rulesets[*index];
            // What a bypass let through is of its ref alone.
            let waived = verdict.rulesets.iter().any(|one| one.index == Some(*index) && one.waived > 0);
            let own_ref = waived || reference.own_ref.contains(index);
            let signed = |id: &ObjectId| facts.commits.get(id).map(signers).unwrap_or_default();
            if ruleset.enforcement == Enforcement::Enforce {
                out.push(Grant {
                    reference: reference.name.clone(),
                    new: reference.update.new,
                    ruleset: ruleset.name.clone(),
                    scope: if own_ref { Scope::OwnRef } else { Scope::Shared },
                    introduced: introduced.clone(),
                    builds_on: reference.builds_on.get(index).cloned().unwrap_or_default(),
                    signed_by: introduced.iter().flat_map(signed).collect(),
                });
            }
        }
    }
    out
}

/// The counters of the FIDO signatures that an accepted push brings (S6).
pub(super) fn counted(decided: &Decided) -> Vec<CountedSignature> {
    if decided.verdict.decision != policy::Decision::Accept {
        return Vec::new();
    }
    let all = facts::fido_signatures(&decided.facts.refs, &decided.facts.commits).into_iter();
    let one = |(reference, object, key, fido): facts::FidoSignature| CountedSignature {
        reference,
        object,
        key,
        application: fido.application,
        counter: fido.counter,
    };
    all.map(one).collect()
}

/// The keys of the verified tags that an accepted push brings to refs that enforcing rulesets judge.
pub(super) fn tagged_by(decided: &Decided) -> Vec<String> {
    if decided.verdict.decision != policy::Decision::Accept {
        return Vec::new();
    }
    let judged = decided.facts.refs.iter().zip(&decided.verdict.refs);
    let judged = judged.filter(|(_, verdict)| verdict.coverage == Coverage::Ruleset);
    judged.flat_map(|(reference, _)| &reference.tags).flat_map(|tag| keys(&tag.signature)).collect()
}

/// The keys of a verified commit, as the keyring and its revocations name them: the one that the keyring
/// holds, and the one that signed, where that is another: a subkey, or a key under an OpenSSH certificate.
fn signers(commit: &CommitFacts) -> Vec<(ObjectId, String)> {
    keys(&commit.signature).into_iter().map(|key| (commit.id, key)).collect()
}

fn keys(signature: &SignatureFacts) -> Vec<String> {
    let SignatureStatus::Verified(signature) = &signature.status else { return Vec::new() };
    let mut keys = vec![signature.certificate().to_owned()];
    if signature.fingerprint() != signature.certificate() {
        keys.push(signature.fingerprint().to_owned());
    }
    keys
}

fn over(count: usize) -> u64 {
    count.saturating_sub(MOST) as u64
}

fn reference(verdict: &RefVerdict) -> RefEntry {
    let update = RefUpdate { name: verdict.name.clone(), old: verdict.old, new: verdict.new };
    let coverage = match verdict.coverage {
        Coverage::Ruleset => audit::Coverage::Ruleset,
        Coverage::UncoveredAccept => audit::Coverage::UncoveredAccept,
        Coverage::UncoveredRefuse => audit::Coverage::UncoveredRefuse,
    };
    verdict.rulesets.iter().fold(RefEntry::new(&update, Some(verdict.kind), coverage), |entry, set| {
        let (introduced, violations) = (set.introduced as u64, set.violations as u64);
        entry.judged_by(&set.name, set.enforcement.name(), introduced, violations)
    })
}

fn object(id: &ObjectId, sha256: [u8; 32], signature: &SignatureFacts) -> ObjectEntry {
    let mut entry = ObjectEntry::new(id, signature.status.name()).sha256(sha256);
    if let Some(key) = signature.status.key() {
        entry = entry.key(key.scheme.name(), &text::escape(key.text.as_bytes()));
    }
    match &signature.principal {
        Some(principal) => entry.signer(&text::escape(principal.name.as_bytes())),
        None => entry,
    }
}

fn finding((kind, id, finding): &(ObjectKind, ObjectId, &Finding)) -> FindingEntry {
    let entry = FindingEntry::new(finding.code, &finding.text);
    match kind {
        ObjectKind::Tag => entry.on_tag(id),
        _ => entry.on_commit(id),
    }
}

fn violation(violation: &Violation) -> ViolationEntry {
    let mut entry =
        ViolationEntry::new(violation.rule, &violation.seen, &violation.wanted, &violation.rulesets);
    if !violation.reference.is_empty() {
        entry.reference = Some(violation.reference.clone());
    }
    entry.path.clone_from(&violation.path);
    match &violation.subject {
        Subject::Ref => entry,
        Subject::Commit(id) => entry.on_commit(id),
        Subject::Tag(id) => entry.on_tag(id),
    }
}

fn waiver(waiver: &Waiver) -> WaiverEntry {
    let Waiver { violation: waived, enforced, waived: by } = waiver;
    WaiverEntry {
        violation: violation(waived),
        by: by.by.clone(),
        proof: Some(by.proof.name().to_owned()),
        reason: Some(by.reason.clone()),
        asked: by.asked.clone(),
        evaluated: !enforced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ObjectKind, RefName, UpdateKind};
    use crate::policy::facts::RefFacts;
    use crate::policy::{Pattern, Refs, Ruleset, Rulesets, Uncovered, rules};
    use std::collections::{HashMap, HashSet};

    #[test]
    fn a_finding_is_recorded_with_its_object() {
        let id = ObjectId::from_bytes(&[3; 20]).unwrap();
        let odd = Finding::new("armor.width", "lines of 60 columns");
        let commit = finding(&(ObjectKind::Commit, id, &odd));
        assert_eq!((commit.commit, commit.tag), (Some(id.to_string()), None));
        assert_eq!((commit.code.as_str(), commit.text.as_str()), ("armor.width", "lines of 60 columns"));
        let tag = finding(&(ObjectKind::Tag, id, &odd));
        assert_eq!((tag.commit, tag.tag), (None, Some(id.to_string())));
    }

    #[test]
    fn n08_grants_are_for_one_ref_where_the_walk_says_so() {
        let name = RefName::parse(b"refs/heads/main").unwrap();
        let ruleset = |name: &str, enforcement| {
            let everything = vec![Pattern::new("**").unwrap()];
            let refs = Refs::new(["refs/heads/**"]).unwrap();
            let options = toml::Value::Table(toml::toml! { projects = ["OPS"] });
            let rule = rules::build("missing-ticket", &options).unwrap().unwrap();
            Ruleset::new(name, everything, refs, enforcement, vec![rule]).unwrap()
        };
        let rulesets = vec![
            ruleset("shared", Enforcement::Enforce),
            ruleset("own", Enforcement::Enforce),
            ruleset("advice", Enforcement::Evaluate),
        ];
        let policy = Rulesets { rulesets, uncovered: Uncovered::Refuse };
        let new = ObjectId::from_bytes(&[3; 20]).unwrap();
        let update = RefUpdate { name, old: None, new: Some(new) };
        let reference = RefFacts {
            introduced: HashMap::from([(0, vec![new]), (1, vec![new]), (2, vec![new])]),
            own_ref: HashSet::from([1]),
            ..RefFacts::bare(update, UpdateKind::Create)
        };
        let context = PushContext {
            request_id: RequestId::from_random([1; 16]),
            repository: RepositoryRef { id: RepositoryId("1".into()), name: "a".into() },
            pusher: Pusher::Unknown,
            push_options: Vec::new(),
            received_at: Timestamp::UNIX_EPOCH,
        };
        let facts = PushFacts { refs: vec![reference], ..PushFacts::bare(context) };
        let verdict = policy::evaluate(&facts, &policy);
        let mut granted = grants(&policy, &facts, &verdict.refs);
        granted.sort_by(|a, b| a.ruleset.cmp(&b.ruleset));
        let found: Vec<_> = granted.iter().map(|one| (one.ruleset.as_str(), one.scope)).collect();
        assert_eq!(found, [("own", Scope::OwnRef), ("shared", Scope::Shared)]);
    }
}
