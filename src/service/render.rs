//! What a pusher reads: compiler-style, one block a violation, all of them.

use super::fault::Fault;
use crate::domain::{RequestId, text};
use crate::policy::facts::BuiltinRule;
use crate::policy::{Decision, Subject, Verdict, Violation};
use std::fmt::Write as _;

/// Renders a verdict; empty for a plain accept. At most `limit` violations are shown, the rest are
/// counted. Every byte from outside was escaped when the violation was made.
pub(super) fn verdict(verdict: &Verdict, request: &RequestId, contact: Option<&str>, limit: usize) -> String {
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
    let _ = writeln!(
        out,
        "  help: nothing was changed; try again later, or tell the administrator of this server"
    );
    if let Some(contact) = contact {
        let _ = writeln!(out, "{}", text::escape(contact.as_bytes()));
    }
    out
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
    let _ = writeln!(out, "  wanted: {}", violation.wanted);
    let _ = writeln!(out, "  help: {}", violation.help);
}

fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

fn list(word: &str, names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("{word}{} {}", if names.len() == 1 { "" } else { "s" }, quoted.join(", "))
}
