//! `countersign explain`.

use super::check::{git_dir, range, undecided, violation_json};
use super::{CliError, Format, policy};
use crate::domain::{Principal, RefName, text};
use crate::hook::wire::Outcome;
use crate::keyring::Keyring;
use crate::keyring::document::nearest;
use crate::policy::{Decision, Subject, Violation};
use crate::service::{
    CheckRequest, Effective, Reason, Reasons, RuleReasons, RulesetReasons, Snapshot, reasons, would_judge,
};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Show which rulesets and rules judge a push to a ref, what each saw, and why it passed or not.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
With OLD..NEW the push is judged here and now, as `check` does: no daemon is asked, nothing is recorded, and
everything that OLD reaches counts as judged. Exits 0 if it would be accepted, 1 if refused, 3 if nobody could tell.
Without a range, it shows what would judge the ref, and exits 0.

--as takes a principal of the keyring to be the pusher. That is a supposition: nobody vouches for it here, and the
gate itself only believes the server. Without it the pusher is unknown.

Examples:
  countersign explain --repo . --ref refs/heads/main
  countersign explain --repo . --ref refs/heads/main origin/main..HEAD
  countersign explain --repo /srv/git/infra/app.git --ref refs/heads/main --as bob main..topic --format json")]
pub struct ExplainArgs {
    /// The repository, bare or with a work tree
    #[arg(long, value_name = "DIR")]
    repo: PathBuf,
    /// The full name of the ref that would move
    #[arg(long = "ref", value_name = "REF")]
    reference: String,
    /// Whom to take for the pusher: a principal of the keyring
    #[arg(long = "as", value_name = "PRINCIPAL")]
    pusher: Option<String>,
    /// The repository's name, for rulesets [default: its path below the configured root, or its own name]
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    /// What the ref holds, and what it would hold
    #[arg(value_name = "OLD..NEW", allow_hyphen_values = true)]
    range: Option<String>,
}

/// Runs it; with a range, the exit code is the verdict.
pub fn run(args: &ExplainArgs, config: &Path, format: Format, out: &mut dyn Write) -> Result<u8, CliError> {
    let (snapshot, _) = Snapshot::load(config).map_err(CliError::usage)?;
    let usage = |text: String| CliError::usage(format!("error: {text}"));
    let git_dir = git_dir(&args.repo).map_err(usage)?;
    let reference = RefName::parse(args.reference.as_bytes()).map_err(|e| usage(e.to_string()))?;
    let pusher = args.pusher.as_deref().map(|name| principal(&snapshot.keyring, name)).transpose()?;
    let repository = args.repository.as_deref();
    let Some(written) = &args.range else {
        return match would_judge(&snapshot, &git_dir, repository, &reference) {
            Ok(effective) => {
                match format {
                    Format::Json => {
                        writeln!(out, "{:#}", Value::Object(policy::json(&effective, pusher.as_deref())))
                    }
                    Format::Text => {
                        supposed(out, pusher.as_deref())?;
                        policy::print(out, &effective, pusher.as_deref())
                    }
                }?;
                Ok(0)
            }
            Err(fault) => undecided(&fault, format, out),
        };
    };
    let (old, new) = range(&git_dir, written)?;
    let request = CheckRequest { git_dir: &git_dir, repository, reference, old, new, judged: None, pusher };
    match reasons(&snapshot, &request) {
        Ok(reasons) => {
            let outcome = match reasons.checked.verdict.decision {
                Decision::Accept => Outcome::Accept,
                Decision::Refuse => Outcome::Refuse,
            };
            let pusher = request.pusher.as_deref();
            match format {
                Format::Json => writeln!(out, "{:#}", document(outcome, &reasons, pusher)),
                Format::Text => print(out, outcome, &reasons, pusher),
            }?;
            Ok(outcome.exit_code())
        }
        Err(fault) => undecided(&fault, format, out),
    }
}

/// A principal by its name, with or without its kind before it.
pub(super) fn principal(keyring: &Keyring, written: &str) -> Result<Arc<Principal>, CliError> {
    let everybody = || keyring.principals().iter();
    let named =
        |one: &&Arc<Principal>| one.name == written || format!("{}:{}", one.kind, one.name) == written;
    everybody().find(named).cloned().ok_or_else(|| {
        let shown = text::escape_short(written.as_bytes(), 60);
        let bare = written.split_once(':').map_or(written, |(_, name)| name);
        let near = nearest(bare, everybody().map(|one| one.name.as_str()));
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        CliError::usage(format!("error: nobody in the keyring is called `{shown}`{hint}"))
    })
}

/// Says that a pusher is only supposed.
fn supposed(out: &mut dyn Write, pusher: Option<&Principal>) -> io::Result<()> {
    match pusher {
        Some(pusher) => writeln!(
            out,
            "supposing that {}:{} pushes, as --as says; the gate itself believes only the server",
            pusher.kind, pusher.name
        ),
        None => Ok(()),
    }
}

fn print(
    out: &mut dyn Write,
    outcome: Outcome,
    reasons: &Reasons,
    pusher: Option<&Principal>,
) -> io::Result<()> {
    supposed(out, pusher)?;
    let verdict = &reasons.checked.verdict;
    if let (Some(effective), Some(reference)) = (&reasons.effective, reasons.checked.facts.refs.first()) {
        let id = |id: Option<crate::domain::ObjectId>| id.map_or("nothing".to_owned(), |id| id.short());
        let (old, new) = (id(reference.current), id(reference.update.new));
        let kind = reference.kind.name();
        writeln!(out, "{} of {}: {kind}, {old} to {new}", effective.reference, effective.repository)?;
        if pusher.is_none() {
            writeln!(out, "the pusher is unknown; --as supposes one")?;
        }
        let coverage = verdict.refs.first().map_or("", |one| one.coverage.name());
        writeln!(out, "coverage: {coverage}")?;
        print_builtin(out, &reasons.builtin)?;
        for (ruleset, seen) in effective.rulesets.iter().zip(&reasons.rulesets) {
            writeln!(out)?;
            policy::head(out, ruleset)?;
            print_ruleset(out, ruleset.enforcement, seen, pusher)?;
        }
        policy::others(out, effective)?;
    } else {
        print_builtin(out, &reasons.builtin)?;
    }
    let count = verdict.violation_count;
    let violations = if count == 1 { "1 violation".to_owned() } else { format!("{count} violations") };
    match outcome {
        Outcome::Accept if verdict.waiver_count > 0 => {
            writeln!(out, "\nwould be accepted, {} waived by a bypass", verdict.waiver_count)
        }
        Outcome::Accept => writeln!(out, "\nwould be accepted"),
        _ => writeln!(out, "\nwould be refused: {violations}"),
    }
}

fn print_builtin(out: &mut dyn Write, found: &[Violation]) -> io::Result<()> {
    if found.is_empty() {
        return writeln!(out, "\nbuiltin: nothing found");
    }
    writeln!(out, "\nbuiltin")?;
    for violation in found {
        writeln!(out, "  refuse        {}", violation.rule)?;
        writeln!(out, "    {}: {}", about(violation.subject), violation.seen)?;
        writeln!(out, "      wanted: {}", violation.wanted)?;
        writeln!(out, "      help: {}", violation.help)?;
    }
    Ok(())
}

fn print_ruleset(
    out: &mut dyn Write,
    enforcement: &str,
    seen: &RulesetReasons,
    pusher: Option<&Principal>,
) -> io::Result<()> {
    if seen.exempt {
        return writeln!(out, "  not for this pusher, who is none of its actors: it judges nothing");
    }
    writeln!(out, "  introduced: {}", plural(seen.introduced, "commit"))?;
    if let Some(pusher) = pusher {
        for place in &seen.own_bypasses {
            writeln!(out, "  {}:{} has a bypass here  ({place})", pusher.kind, pusher.name)?;
        }
    }
    for rule in &seen.rules {
        print_rule(out, enforcement, rule)?;
    }
    Ok(())
}

fn print_rule(out: &mut dyn Write, enforcement: &str, rule: &RuleReasons) -> io::Result<()> {
    let place = rule.place.as_ref().map(|place| format!("  ({place})")).unwrap_or_default();
    writeln!(out, "  {:<13} {}: {}{place}", result(rule, enforcement), rule.rule, asked(rule))?;
    for Reason { subject, finding, waived } in &rule.found {
        writeln!(out, "    {}: {}", about(*subject), finding.seen)?;
        if let Some(path) = &finding.path {
            writeln!(out, "      path: {path}")?;
        }
        writeln!(out, "      wanted: {}", finding.wanted)?;
        match waived {
            Some(waived) => writeln!(out, "      waived: {waived}")?,
            None => writeln!(out, "      help: {}", finding.help)?,
        }
    }
    let hidden = (rule.violations + rule.waived).saturating_sub(rule.found.len());
    if hidden > 0 {
        writeln!(out, "    ... and {hidden} more")?;
    }
    Ok(())
}

/// What a rule came to, in one word.
fn result(rule: &RuleReasons, enforcement: &str) -> &'static str {
    let asked = rule.asked.update || rule.asked.tags + rule.asked.commits > 0;
    match (rule.violations, rule.waived) {
        (1.., _) if enforcement == "enforce" => "refuse",
        (1.., _) => "would-refuse",
        (0, 1..) => "waived",
        (0, 0) if asked => "pass",
        (0, 0) => "not-asked",
    }
}

fn asked(rule: &RuleReasons) -> String {
    let asked = rule.asked;
    let mut parts = Vec::new();
    if asked.update {
        parts.push("the update".to_owned());
    }
    if asked.tags > 0 {
        parts.push(plural(asked.tags, "tag"));
    }
    if asked.commits > 0 {
        parts.push(plural(asked.commits, "commit"));
    }
    let mut line = if parts.is_empty() {
        "there is nothing that it judges".to_owned()
    } else {
        format!("looked at {}", parts.join(", "))
    };
    if asked.skipped > 0 {
        line.push_str(&format!(
            "; {} from before effective-from left alone",
            plural(asked.skipped, "commit")
        ));
    }
    let found = rule.violations + rule.waived;
    if found > 0 {
        line.push_str(&format!("; {} found", plural(found, "violation")));
    }
    line
}

fn about(subject: Subject) -> String {
    match subject {
        Subject::Ref => "the update".to_owned(),
        Subject::Commit(id) => format!("commit {}", id.short()),
        Subject::Tag(id) => format!("tag {}", id.short()),
    }
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// The reasoning as a document; its keys are a contract.
fn document(outcome: Outcome, reasons: &Reasons, pusher: Option<&Principal>) -> Value {
    let update = reasons.checked.facts.refs.first();
    let effective = reasons.effective.as_ref();
    let rulesets: Vec<Value> = effective
        .iter()
        .flat_map(|effective: &&Effective| effective.rulesets.iter())
        .zip(&reasons.rulesets)
        .map(|(ruleset, seen)| {
            let rules: Vec<Value> =
                seen.rules.iter().map(|rule| rule_json(rule, ruleset.enforcement, seen.exempt)).collect();
            json!({
                "name": ruleset.name, "place": ruleset.place, "enforcement": ruleset.enforcement,
                "origin": ruleset.origin, "introduced": seen.introduced, "exempt": seen.exempt,
                "own_bypasses": seen.own_bypasses, "rules": rules,
            })
        })
        .collect();
    json!({
        "outcome": outcome.name(),
        "repository": effective.map(|one| &one.repository),
        "ref": effective.map(|one| &one.reference),
        "kind": update.map(|one| one.kind.name()),
        "old": update.and_then(|one| one.current).map(|id| id.to_string()),
        "new": update.and_then(|one| one.update.new).map(|id| id.to_string()),
        "pusher": policy::pusher_json(pusher),
        "coverage": reasons.checked.verdict.refs.first().map(|one| one.coverage.name()),
        "builtin": reasons.builtin.iter().map(violation_json).collect::<Vec<_>>(),
        "rulesets": rulesets,
        "others": effective.map(|one| &one.others),
        "violations": reasons.checked.verdict.violation_count,
        "waived": reasons.checked.verdict.waiver_count,
    })
}

fn rule_json(rule: &RuleReasons, enforcement: &str, exempt: bool) -> Value {
    let found: Vec<Value> = rule
        .found
        .iter()
        .map(|reason| {
            let finding = &reason.finding;
            let mut value = json!({
                "seen": finding.seen, "wanted": finding.wanted, "help": finding.help,
                "path": finding.path, "waived": reason.waived,
            });
            match reason.subject {
                Subject::Ref => {}
                Subject::Commit(id) => value["commit"] = json!(id.to_string()),
                Subject::Tag(id) => value["tag"] = json!(id.to_string()),
            }
            value
        })
        .collect();
    let asked = rule.asked;
    json!({
        "rule": rule.rule, "place": rule.place, "about": rule.about,
        "result": if exempt { "exempt" } else { result(rule, enforcement) },
        "asked": {
            "update": asked.update, "tags": asked.tags, "commits": asked.commits, "skipped": asked.skipped,
        },
        "violations": rule.violations, "waived": rule.waived, "found": found,
    })
}
