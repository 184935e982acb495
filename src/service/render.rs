//! What a pusher reads: compiler-style, one block a violation, all of them.

use super::fault::Fault;
use crate::domain::{RequestId, text};
use crate::policy::facts::BuiltinRule;
use crate::policy::{Decision, PushFacts, Subject, Verdict, Violation};
use std::fmt::Write as _;

/// Most codes of findings that one line names.
const CODES: usize = 5;

/// Renders a verdict on `facts`; empty for a plain accept. At most `limit` violations are shown, the rest are
/// counted. Every byte from outside was escaped when the violation was made.
pub(super) fn verdict(
    facts: &PushFacts,
    verdict: &Verdict,
    request: &RequestId,
    contact: Option<&str>,
    limit: usize,
) -> String {
    let mut out = String::new();
    for violation in verdict.violations.iter().take(limit) {
        block(&mut out, violation);
    }
    let hidden = verdict.violation_count.saturating_sub(limit.min(verdict.violations.len()));
    if hidden > 0 {
        let _ = writeln!(out, "... and {hidden} more");
    }
    if !verdict.advisory.is_empty() {
        let mut names: Vec<&str> =
            verdict.advisory.iter().flat_map(|v| v.rulesets.iter().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        let count = verdict.advisory_count;
        let _ = writeln!(
            out,
            "note: {} under evaluation would refuse this push ({}), nothing to do now",
            list("ruleset", &names),
            plural(count, "violation"),
        );
    }
    waivers(&mut out, verdict);
    findings(&mut out, facts);
    if verdict.decision == Decision::Refuse {
        let count = verdict.violation_count;
        let _ =
            writeln!(out, "countersign refused this push: {}, request {request}", plural(count, "violation"));
        if let Some(contact) = contact {
            let _ = writeln!(out, "{}", text::escape(contact.as_bytes()));
        }
    }
    out
}

/// Renders an outage. It begins differently from a refusal and says that it is none (N24).
pub(super) fn undecided(fault: &Fault, request: &RequestId, contact: Option<&str>) -> String {
    let mut out =
        String::from("countersign could not decide about this push. This is not a policy decision.\n");
    let _ = writeln!(out, "  cause[{}]: {}", fault.code(), text::escape(fault.to_string().as_bytes()));
    let _ = writeln!(out, "  request: {request}");
    // What takes too long now takes too long later.
    let help = if fault.code() == "deadline" {
        "push the history in several parts; the administrator of this server can raise `[limits] deadline`"
    } else {
        "try again later, or tell the administrator of this server"
    };
    let _ = writeln!(out, "  help: nothing was changed; {help}");
    if let Some(contact) = contact {
        let _ = writeln!(out, "{}", text::escape(contact.as_bytes()));
    }
    out
}

/// One line for everything odd that refuses nothing; the record has it one by one.
fn findings(out: &mut String, facts: &PushFacts) {
    let found = facts.findings();
    if found.is_empty() {
        return;
    }
    let mut codes: Vec<&str> = found.iter().map(|(_, _, finding)| finding.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let more = if codes.len() > CODES { ", ..." } else { "" };
    codes.truncate(CODES);
    let count = plural(found.len(), "finding");
    let _ = writeln!(out, "note: {count} on record ({}{more}), nothing is refused for it", codes.join(", "));
}

fn block(out: &mut String, violation: &Violation) {
    let reference = if violation.reference.is_empty() { "this push" } else { &violation.reference };
    let builtin = BuiltinRule::ALL.iter().any(|rule| rule.name() == violation.rule);
    // "has" reads well with what the configured rules see of an object; the built-in ones explain.
    let verb = if builtin { ":" } else { " has" };
    let _ = match violation.subject {
        Subject::Ref => writeln!(out, "error[{}]: {reference}: {}", violation.rule, violation.seen),
        Subject::Commit(id) => {
            writeln!(
                out,
                "error[{}]: commit {} on {reference}{verb} {}",
                violation.rule,
                id.short(),
                violation.seen
            )
        }
        Subject::Tag(id) => {
            writeln!(
                out,
                "error[{}]: tag {} on {reference}{verb} {}",
                violation.rule,
                id.short(),
                violation.seen
            )
        }
    };
    if let Some(path) = &violation.path {
        let _ = writeln!(out, "  path: {path}");
    }
    let _ = writeln!(out, "  wanted: {}", violation.wanted);
    let _ = writeln!(out, "  help: {}", violation.help);
    if let Some(note) = &violation.note {
        let _ = writeln!(out, "  see: {note}");
    }
}

/// One line for what a bypass let through: the pusher should know that it is on record.
fn waivers(out: &mut String, verdict: &Verdict) {
    let enforced: Vec<_> = verdict.waivers.iter().filter(|one| one.enforced).collect();
    if enforced.is_empty() {
        return;
    }
    let mut by: Vec<&str> = enforced.iter().map(|one| one.waived.by.as_str()).collect();
    let mut rules: Vec<&str> = enforced.iter().map(|one| one.violation.rule).collect();
    for list in [&mut by, &mut rules] {
        list.sort_unstable();
        list.dedup();
    }
    let _ = writeln!(
        out,
        "note: {} waived by the bypass of {} ({}), which is on record",
        plural(enforced.len(), "violation"),
        by.join(", "),
        rules.join(", "),
    );
}

fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

fn list(word: &str, names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("{word}{} {}", if names.len() == 1 { "" } else { "s" }, quoted.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        ObjectId, PushContext, Pusher, RefName, RefUpdate, RepositoryId, RepositoryRef, Timestamp, UpdateKind,
    };
    use crate::policy::facts::{CommitFacts, RefFacts, SignatureFacts, TagFacts};
    use crate::policy::{Rulesets, Uncovered, evaluate};
    use crate::signature::{Finding, SignatureStatus};
    use std::collections::HashMap;

    fn facts(codes: &[&'static str]) -> PushFacts {
        let signature = || SignatureFacts {
            status: SignatureStatus::Unsigned,
            principal: None,
            judged_at: Timestamp::UNIX_EPOCH,
        };
        let id = |n| ObjectId::from_bytes(&[n; 20]).unwrap();
        let mut commit = CommitFacts::bare(id(1), signature());
        commit.findings = codes.iter().map(|code| Finding::new(code, "odd")).collect();
        let mut tag = TagFacts::bare(id(2), id(1), b"v1", signature());
        tag.findings = codes.iter().take(1).map(|code| Finding::new(code, "odd")).collect();
        let reference = |name: &str| {
            let name = RefName::parse(name.as_bytes()).unwrap();
            let update = RefUpdate { name, old: None, new: Some(id(2)) };
            RefFacts { tags: vec![tag.clone()], ..RefFacts::bare(update, UpdateKind::Create) }
        };
        let context = PushContext {
            request_id: RequestId::from_random([1; 16]),
            repository: RepositoryRef { id: RepositoryId("1".into()), name: "a".into() },
            pusher: Pusher::Unknown,
            push_options: Vec::new(),
            received_at: Timestamp::UNIX_EPOCH,
        };
        PushFacts {
            refs: vec![reference("refs/tags/v1"), reference("refs/tags/v2")],
            commits: HashMap::from([(commit.id, commit)]),
            ..PushFacts::bare(context)
        }
    }

    fn rendered(codes: &[&'static str], uncovered: Uncovered) -> String {
        let facts = facts(codes);
        let judged = evaluate(&facts, &Rulesets { rulesets: Vec::new(), uncovered });
        verdict(&facts, &judged, &facts.context.request_id, None, 50)
    }

    #[test]
    fn findings_are_one_line_whatever_the_outcome() {
        assert_eq!(rendered(&[], Uncovered::Accept), "");
        // Of the commit two, and of the tag, which two refs share, one.
        let note = "note: 3 findings on record (a.b, c.d), nothing is refused for it\n";
        assert_eq!(rendered(&["c.d", "a.b"], Uncovered::Accept), note);
        let refused = rendered(&["c.d", "a.b"], Uncovered::Refuse);
        assert_eq!(refused.matches("note: ").count(), 1, "{refused}");
        assert!(refused.contains(note) && refused.starts_with("error[uncovered-ref]"), "{refused}");
        let many = rendered(&["a", "b", "c", "d", "e", "f", "f"], Uncovered::Accept);
        assert_eq!(many, "note: 8 findings on record (a, b, c, d, e, ...), nothing is refused for it\n");
    }
}
