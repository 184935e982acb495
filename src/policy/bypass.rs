//! Who may break which rules of a ruleset (N19).
//!
//! Configuration alone makes a bypass: nothing that is pushed does, and a push option only asks for one
//! that is there. It is looked at after a rule has found a violation, so the record tells what was
//! accepted from what was let through.

use super::rules::{Judges, Rule, Scope};
use super::ruleset::Refs;
use super::selector::Selector;
use super::verdict::Subject;
use crate::domain::{Principal, PrincipalKind, Timestamp, text};

/// What shows that somebody is who a bypass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// Their verified signature on the very commit or tag that breaks the rule. It waives nothing else.
    Key,
    /// The server's word on who pushes.
    Pusher,
}

impl Proof {
    /// The word used in configuration and records.
    pub const fn name(self) -> &'static str {
        match self {
            Proof::Key => "key",
            Proof::Pusher => "pusher",
        }
    }
}

/// One `[[ruleset.bypass]]`.
#[derive(Clone, Debug)]
pub struct Bypass {
    /// Whom it is for.
    pub who: Vec<Selector>,
    /// What shows it.
    pub proof: Proof,
    /// The rules that they may break, by name.
    pub rules: Vec<String>,
    /// On which of the ruleset's refs; `None` for all of them.
    pub refs: Option<Refs>,
    /// Why it is there.
    pub reason: String,
    /// From when on it does nothing any more.
    pub expires: Option<Timestamp>,
    /// Whether the pusher has to ask for it, by the push option `countersign.bypass=RULE:REASON`.
    pub ask: bool,
}

/// How a violation was waived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waived {
    /// Who: `person:alice`.
    pub by: String,
    /// What showed it.
    pub proof: Proof,
    /// Why the bypass is there, escaped.
    pub reason: String,
    /// What the pusher gave as a reason, escaped, where the bypass has to be asked for.
    pub asked: Option<String>,
}

/// The start of the push option that asks for a bypass.
pub const PUSH_OPTION: &str = "countersign.bypass=";

impl Bypass {
    /// Whether it still does anything.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// Whether it waives what `rule` found about `subject`.
    pub fn waives(&self, rule: &dyn Rule, subject: Subject, scope: Scope<'_>) -> Option<Waived> {
        let context = &scope.facts.context;
        if !self.is_active(context.received_at) || !self.rules.iter().any(|name| name == rule.name()) {
            return None;
        }
        let default_branch = scope.facts.repository.default_branch.as_ref();
        if self.refs.as_ref().is_some_and(|refs| !refs.is_match(&scope.reference.name, default_branch)) {
            return None;
        }
        let who = match self.proof {
            Proof::Key => signer(rule, subject, scope)?,
            Proof::Pusher => scope.facts.pusher.as_deref()?,
        };
        if !self.who.iter().any(|one| one.matches(who)) || an_agent_takes_part(scope) {
            return None;
        }
        let asked = if self.ask { Some(asked(rule.name(), &context.push_options)?) } else { None };
        Some(Waived {
            by: text::escape(format!("{}:{}", who.kind, who.name).as_bytes()),
            proof: self.proof,
            reason: text::escape(self.reason.as_bytes()),
            asked,
        })
    }
}

/// Who verifiably signed the very object that is at fault, where the rule is about that object at all.
fn signer<'a>(rule: &dyn Rule, subject: Subject, scope: Scope<'a>) -> Option<&'a Principal> {
    // Rules about updates look at tags as objects, too; those that ask who pushes do not.
    if rule.is_about_the_pusher() && (rule.needs_pusher() || !matches!(subject, Subject::Tag(_))) {
        return None;
    }
    match subject {
        Subject::Ref => None,
        Subject::Commit(_) if rule.judges() != Judges::Commit => None,
        Subject::Commit(id) => scope.facts.commits.get(&id)?.signature.verified_by(),
        Subject::Tag(id) => scope.reference.tags.iter().find(|tag| tag.id == id)?.signature.verified_by(),
    }
}

/// Whether an agent pushes, or signed anything that the ref brings: nothing is waived then.
fn an_agent_takes_part(scope: Scope<'_>) -> bool {
    let agent = |one: &Principal| one.kind == PrincipalKind::Agent;
    // By whichever ruleset they were walked: one without rules about commits has none of its own. What another
    // ref of the push introduces comes to this one as well.
    let reference = scope.reference;
    let commits = reference.introduced.values().chain(reference.builds_on.values()).flatten();
    let commits = commits.filter_map(|id| scope.facts.commits.get(id)).map(|one| &one.signature);
    let tags = scope.reference.tags.iter().map(|tag| &tag.signature);
    // An agent's key counts against it even where its signature does not count for it.
    scope.facts.pusher.as_deref().is_some_and(agent)
        || reference.by_agent
        || commits.chain(tags).any(|signature| signature.principal.as_deref().is_some_and(agent))
}

/// The reason in the first push option that asks for this rule's bypass; none if it is empty.
fn asked(rule: &str, options: &[Vec<u8>]) -> Option<String> {
    let reason = |option: &Vec<u8>| {
        let rest = option.strip_prefix(PUSH_OPTION.as_bytes())?.strip_prefix(rule.as_bytes())?;
        let reason = rest.strip_prefix(b":")?.trim_ascii();
        (!reason.is_empty()).then(|| text::escape_short(reason, 200))
    };
    options.iter().find_map(reason)
}
