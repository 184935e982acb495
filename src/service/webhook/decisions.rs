//! What people read behind the link of a report: what was judged, and why it ended so.
//!
//! Only what a reader of the repository may know is copied out of the record, field by field: no push options, no
//! account details, no addresses, and of a fault its code alone, because its text names places of this machine.

use crate::audit::{
    Coverage, Decision, JudgedFrom, ObjectEntry, Outcome, PusherEntry, RefEntry, ViolationEntry,
};
use crate::config::Source;
use crate::domain::RequestId;
use crate::policy::rules;
use crate::service::Gate;
use crate::store::{Filter, Store, StoreError};
use serde::Serialize;
use std::sync::Arc;

/// Records of one request: the decision and what became of it.
const RECORDS: u64 = 16;
/// Most entries of one list that are shown.
const SHOWN: usize = 200;

/// One decision, for people. All texts are escaped for a terminal, and not for HTML.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DecisionPage {
    /// The request's id.
    pub request: String,
    /// The repository's name.
    pub repository: String,
    /// When it was seen: RFC 3339, UTC.
    pub received_at: String,
    /// `accept`, `refuse` or `undecided`.
    pub outcome: &'static str,
    /// The account that pushed, where one event vouches for it.
    pub pusher: Option<String>,
    /// Why there is no verdict: a stable word.
    pub cause: Option<String>,
    /// What was judged.
    pub refs: Vec<RefView>,
    /// What was broken.
    pub violations: Vec<ViolationView>,
    /// What was broken and waived by a bypass: rule and whose bypass.
    pub waivers: Vec<WaiverView>,
    /// What rulesets under evaluation would have refused.
    pub advisory: Vec<ViolationView>,
    /// The commits that were looked at.
    pub commits: Vec<ObjectView>,
    /// The tags that were looked at.
    pub tags: Vec<ObjectView>,
    /// How many entries the lists lack.
    pub left_out: u64,
    /// Whom to ask, as configured.
    pub contact: Option<String>,
}

/// One ref of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefView {
    /// Its full name.
    pub name: String,
    /// What it held.
    pub old: Option<String>,
    /// What it holds.
    pub new: Option<String>,
    /// What it was judged from, where that is not what it held: that was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judged_from: Option<JudgedFrom>,
    /// How it moved.
    pub kind: Option<String>,
    /// Why it ended as it did.
    pub coverage: &'static str,
    /// The rulesets that judged it.
    pub rulesets: Vec<RulesetView>,
}

/// One ruleset that judged a ref.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RulesetView {
    /// Its name.
    pub name: String,
    /// `enforce` or `evaluate`.
    pub enforcement: String,
    /// New commits.
    pub introduced: u64,
    /// What it found.
    pub violations: u64,
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ViolationView {
    /// The rule.
    pub rule: String,
    /// What the rule is for.
    pub about: Option<&'static str>,
    /// The ref.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// The commit.
    pub commit: Option<String>,
    /// The tag.
    pub tag: Option<String>,
    /// The path.
    pub path: Option<String>,
    /// What was found.
    pub seen: String,
    /// What is asked for.
    pub wanted: String,
    /// The rulesets that ask for it.
    pub rulesets: Vec<String>,
}

/// One waived rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaiverView {
    /// The rule.
    pub rule: String,
    /// The commit.
    pub commit: Option<String>,
    /// Whose bypass.
    pub by: String,
}

/// One commit or tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectView {
    /// Its id.
    pub id: String,
    /// What its signature is worth.
    pub signature: String,
    /// Who signed.
    pub signer: Option<String>,
}

impl Gate {
    /// The decision that `id` names. Only decisions about repositories of sources whose reports link here are shown:
    /// their ids are made by this gate, of 128 random bits, and those who can read the reports know them.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn decision_page(&self, id: &str) -> Result<Option<DecisionPage>, StoreError> {
        let config = Arc::clone(&self.current().config);
        let links = |source: &Source| source.report.as_ref().is_some_and(|report| report.link.is_some());
        let names: Vec<String> = config
            .sources
            .iter()
            .filter(|source| links(source))
            .map(|source| format!("{}:", source.name))
            .collect();
        if names.is_empty() {
            return Ok(None);
        }
        let shown = |decision: &Decision| names.iter().any(|name| decision.repository.id.starts_with(name));
        find(&self.store, id, config.contact.as_deref(), shown)
    }
}

/// The decision that `id` names, if it is one of those that are `shown`.
fn find(
    store: &Store,
    id: &str,
    contact: Option<&str>,
    shown: impl Fn(&Decision) -> bool,
) -> Result<Option<DecisionPage>, StoreError> {
    let Some(request) = RequestId::parse(id) else { return Ok(None) };
    // The id of requests that had none of their own is no secret.
    if request == RequestId::from_random([0; 16]) {
        return Ok(None);
    }
    let filter = Filter { request_id: Some(request), limit: Some(RECORDS), ..Filter::default() };
    for entry in store.log(filter)? {
        let record = entry?.record()?;
        if let Some(decision) = record.as_decision().filter(|decision| shown(decision)) {
            return Ok(Some(page(decision, contact)));
        }
    }
    Ok(None)
}

/// What may be shown of a decision.
pub(super) fn page(decision: &Decision, contact: Option<&str>) -> DecisionPage {
    let pusher = match &decision.pusher {
        PusherEntry::Known { name, .. } => Some(name.clone()),
        PusherEntry::Unknown => None,
    };
    let mut left_out =
        decision.truncated.total() - decision.truncated.push_options - decision.truncated.findings;
    DecisionPage {
        request: decision.request_id.clone(),
        repository: decision.repository.name.clone(),
        received_at: decision.received_at.clone(),
        outcome: decision.outcome.name(),
        pusher,
        cause: decision.fault.as_ref().map(|fault| fault.code.clone()),
        refs: some(&decision.refs, &mut left_out, reference),
        violations: some(&decision.violations, &mut left_out, violation),
        waivers: some(&decision.waivers, &mut left_out, |waiver| WaiverView {
            rule: waiver.violation.rule.clone(),
            commit: waiver.violation.commit.clone(),
            by: waiver.by.clone(),
        }),
        advisory: some(&decision.advisory, &mut left_out, violation),
        commits: some(&decision.commits, &mut left_out, object),
        tags: some(&decision.tags, &mut left_out, object),
        left_out,
        contact: contact.map(|contact| crate::domain::text::escape(contact.as_bytes())),
    }
}

fn some<T, V>(list: &[T], left_out: &mut u64, view: impl Fn(&T) -> V) -> Vec<V> {
    *left_out += list.len().saturating_sub(SHOWN) as u64;
    list.iter().take(SHOWN).map(view).collect()
}

fn reference(entry: &RefEntry) -> RefView {
    RefView {
        name: entry.name.clone(),
        old: entry.old.clone(),
        new: entry.new.clone(),
        judged_from: entry.judged_from.clone(),
        kind: entry.kind.clone(),
        coverage: entry.coverage.name(),
        rulesets: entry
            .rulesets
            .iter()
            .map(|one| RulesetView {
                name: one.name.clone(),
                enforcement: one.enforcement.clone(),
                introduced: one.introduced,
                violations: one.violations,
            })
            .collect(),
    }
}

fn violation(entry: &ViolationEntry) -> ViolationView {
    ViolationView {
        rule: entry.rule.clone(),
        about: rules::ALL.iter().find(|kind| kind.name == entry.rule).map(|kind| kind.summary),
        reference: entry.reference.clone(),
        commit: entry.commit.clone(),
        tag: entry.tag.clone(),
        path: entry.path.clone(),
        seen: entry.seen.clone(),
        wanted: entry.wanted.clone(),
        rulesets: entry.rulesets.clone(),
    }
}

fn object(entry: &ObjectEntry) -> ObjectView {
    ObjectView { id: entry.id.clone(), signature: entry.status.clone(), signer: entry.signer.clone() }
}

/// In a sentence, why a ref ended as it did.
pub(super) fn coverage_words(name: &str) -> &'static str {
    let is = |coverage: Coverage| coverage.name() == name;
    if is(Coverage::Ruleset) {
        "judged by the rulesets below"
    } else if is(Coverage::UncoveredAccept) {
        "no enforcing ruleset covers this ref; such refs are let in, which is no verdict on the commits"
    } else if is(Coverage::UncoveredRefuse) {
        "no enforcing ruleset covers this ref, and such refs are refused"
    } else {
        "not judged"
    }
}

/// In a sentence, what an outcome means.
pub(super) fn outcome_words(name: &str) -> &'static str {
    let is = |outcome: Outcome| outcome.name() == name;
    if is(Outcome::Accept) {
        "This move of the ref breaks no rule that is enforced for it."
    } else if is(Outcome::Refuse) {
        "This move of the ref breaks rules. The forge had made it before it was judged, so the commits are visible \
         there; they should not be merged or deployed."
    } else {
        "It could not be decided. This is not a policy decision, and it is no consent either."
    }
}
