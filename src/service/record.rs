//! From a decision to what is written about it.

use super::admit::Decided;
use super::fault::Fault;
use super::gate::Snapshot;
use crate::audit::{
    Body, CommitRecord, DecisionRecord, FaultRecord, PusherRecord, Record, RefRecord, RulesetRecord,
    ViolationRecord,
};
use crate::domain::{ObjectId, Pusher, RefName, RequestId, Timestamp, text};
use crate::hook::wire::Request;
use crate::policy::facts::SignatureFacts;
use crate::policy::{Enforcement, RefVerdict, Subject, Violation};
use crate::store::{Grant, Scope};
use std::time::Duration;

/// What was asked, by whom, when, and under which configuration.
pub(super) struct Asked<'a> {
    pub(super) id: &'a RequestId,
    pub(super) request: &'a Request,
    pub(super) peer: u32,
    pub(super) received_at: Timestamp,
    pub(super) snapshot: &'a Snapshot,
}

/// A moved ref: what it held, what it shall hold.
type Update = (RefName, Option<ObjectId>, Option<ObjectId>);

/// The record of a decided push, and what it grants once it is applied.
pub(super) fn decision(
    asked: &Asked<'_>,
    decided: &Decided,
    took: Duration,
) -> (Record, Vec<Grant>, Vec<Update>) {
    let Decided { facts, verdict } = decided;
    let mut record = blank(asked, took);
    record.outcome = verdict.decision.name().to_owned();
    record.repository_id.clone_from(&facts.context.repository.id.0);
    record.repository = text::escape(facts.context.repository.name.as_bytes());
    record.pusher = match &facts.context.pusher {
        Pusher::Unknown => None,
        Pusher::Known { name, source } => {
            Some(PusherRecord { name: name.clone(), source: (*source).to_owned() })
        }
    };
    record.refs = verdict.refs.iter().map(reference).collect();
    let mut commits: Vec<_> = facts.commits.values().collect();
    commits.sort_by_key(|commit| commit.id);
    record.commits = commits.into_iter().map(|commit| signed(commit.id, &commit.signature)).collect();
    let tags = facts.refs.iter().flat_map(|reference| &reference.tags);
    record.tags = tags.map(|tag| signed(tag.id, &tag.signature)).collect();
    let limit = asked.snapshot.config.limits.violations;
    record.violations = verdict.violations.iter().take(limit).map(violation).collect();
    record.advisory = verdict.advisory.iter().take(limit).map(violation).collect();
    let hidden = verdict.violation_count.saturating_sub(limit) + verdict.advisory_count.saturating_sub(limit);
    record.truncated = hidden as u64;
    let updates =
        verdict.refs.iter().map(|reference| (reference.name.clone(), reference.old, reference.new)).collect();
    (finish(asked, record), grants(asked, decided), updates)
}

/// The record of an outage.
pub(super) fn undecided(asked: &Asked<'_>, fault: &Fault, took: Duration) -> Record {
    let mut record = blank(asked, took);
    record.outcome = "undecided".to_owned();
    record.repository = text::escape_short(asked.request.git_dir.path.as_bytes(), 1024);
    record.fault = Some(FaultRecord {
        code: fault.code().to_owned(),
        message: text::escape_short(fault.to_string().as_bytes(), 2048),
    });
    finish(asked, record)
}

/// What enforcing rulesets with commit rules accepted: only that ever becomes frontier (N7).
fn grants(asked: &Asked<'_>, decided: &Decided) -> Vec<Grant> {
    let rulesets = &asked.snapshot.config.policy.rulesets;
    let mut out = Vec::new();
    for reference in &decided.facts.refs {
        for (index, commits) in &reference.introduced {
            let ruleset = &rulesets[*index];
            if ruleset.enforcement == Enforcement::Enforce {
                out.push(Grant {
                    reference: reference.name.clone(),
                    ruleset: ruleset.name.clone(),
                    scope: Scope::Shared,
                    commits: commits.clone(),
                });
            }
        }
    }
    out
}

fn blank(asked: &Asked<'_>, took: Duration) -> DecisionRecord {
    let option = |bytes: &crate::hook::wire::Bytes| text::escape_short(&bytes.0, 256);
    let address =
        asked.request.environment.get("SSH_CONNECTION").or(asked.request.environment.get("REMOTE_ADDR"));
    DecisionRecord {
        request_id: asked.id.as_str().to_owned(),
        duration_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        peer_uid: asked.peer,
        address: address.map(|address| text::escape_short(address.as_bytes(), 200)),
        push_options: asked.request.push_options.iter().map(option).collect(),
        configuration: asked.snapshot.config.digest.clone(),
        keyring: asked.snapshot.keyring.digest().to_owned(),
        ..DecisionRecord::default()
    }
}

fn finish(asked: &Asked<'_>, record: DecisionRecord) -> Record {
    Record::new(asked.received_at, Body::Decision(Box::new(record)))
}

fn reference(verdict: &RefVerdict) -> RefRecord {
    RefRecord {
        name: verdict.name.to_string(),
        old: verdict.old.map(|id| id.to_string()),
        new: verdict.new.map(|id| id.to_string()),
        kind: verdict.kind.name().to_owned(),
        coverage: verdict.coverage.name().to_owned(),
        rulesets: verdict
            .rulesets
            .iter()
            .map(|ruleset| RulesetRecord {
                name: ruleset.name.clone(),
                enforcement: ruleset.enforcement.name().to_owned(),
                introduced: ruleset.introduced,
                violations: ruleset.violations,
            })
            .collect(),
    }
}

fn signed(id: ObjectId, signature: &SignatureFacts) -> CommitRecord {
    CommitRecord {
        id: id.to_string(),
        signature: signature.status.name().to_owned(),
        principal: signature.principal.as_ref().map(|principal| text::escape(principal.name.as_bytes())),
        key: signature.status.key().map(|key| key.text),
    }
}

fn violation(violation: &Violation) -> ViolationRecord {
    let (commit, tag) = match violation.subject {
        Subject::Ref => (None, None),
        Subject::Commit(id) => (Some(id.to_string()), None),
        Subject::Tag(id) => (None, Some(id.to_string())),
    };
    ViolationRecord {
        rule: violation.rule.to_owned(),
        reference: violation.reference.clone(),
        commit,
        tag,
        seen: violation.seen.clone(),
        wanted: violation.wanted.clone(),
        rulesets: violation.rulesets.clone(),
    }
}
