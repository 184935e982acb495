//! `countersign verify`.

use super::check::git_dir;
use super::common::write_table;
use super::{CliError, Format};
use crate::domain::{ObjectId, RefName, Timestamp, text};
use crate::git;
use crate::keyring::Keyring;
use crate::service::{Beside, ExplainFault, ExplainRequest, Explanation, Ground, Receipt, Snapshot, explain};
use crate::signature::CheckResult;
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Arguments of `verify`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Nothing is recorded, and no daemon is asked. With a configuration, an object that the gate's record\n\
                        knows is judged as received then; every other one as if it came in now.\n\n\
                        Exit codes: 0 verified by a principal of the keyring, 1 not, 2 usage, 3 could not be decided.\n\n\
                        Examples:\n  \
                        countersign verify . HEAD\n  \
                        countersign verify /srv/git/infra/app.git v1.2 --ref refs/tags/v1.2\n  \
                        countersign verify . HEAD~3 --keyring ./keyring --at 2026-01-31T12:00:00Z --format json"
)]
pub struct VerifyArgs {
    /// The repository, bare or with a work tree
    #[arg(value_name = "REPO")]
    repo: PathBuf,
    /// The commit or annotated tag: an id, or any other name that git resolves
    #[arg(value_name = "OBJECT")]
    object: String,
    /// Judge as if it had been received then (RFC 3339)
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// The full name of the ref that holds it: a tag's name must fit, and the rulesets are named
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// A keyring to judge by, instead of a configuration
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    keyring: Option<PathBuf>,
    /// Do not ask git for its opinion
    #[arg(long)]
    no_git: bool,
}

/// Explains the object; the exit code is the verdict.
pub fn run(args: &VerifyArgs, config: &Path, format: Format, out: &mut dyn Write) -> Result<u8, CliError> {
    let usage = |text: String| CliError::usage(format!("error: {text}"));
    let (snapshot, keyring);
    let ground = match &args.keyring {
        Some(directory) => {
            keyring = Keyring::load(directory).map_err(CliError::usage)?.keyring;
            Ground::Keyring(&keyring)
        }
        None => {
            snapshot = Snapshot::load(config).map_err(CliError::usage)?.0;
            Ground::Gate(&snapshot)
        }
    };
    let git_dir = git_dir(&args.repo).map_err(usage)?;
    let reference = args.reference.as_ref().map(|name| RefName::parse(name.as_bytes())).transpose();
    let reference = reference.map_err(|e| usage(e.to_string()))?;
    let request = ExplainRequest {
        git_dir: &git_dir,
        object: match ObjectId::parse(args.object.as_bytes()) {
            // An id needs nobody's help.
            Ok(id) => id,
            Err(_) => git::command::rev_parse(&git_dir, &args.object).map_err(usage)?,
        },
        at: args.at,
        reference: reference.as_ref(),
        with_git: !args.no_git,
    };
    match explain(ground, &request) {
        Ok(made) => {
            match format {
                Format::Json => writeln!(out, "{:#}", to_json(&made)),
                Format::Text => print(out, &made, &args.repo),
            }
            .map_err(CliError::output)?;
            Ok(u8::from(!made.accepted()))
        }
        Err(ExplainFault::Object(why)) => Err(usage(why)),
        Err(fault) => {
            let message = format!("countersign could not decide. This is not a verdict.\n  cause: {fault}");
            match format {
                Format::Json => {
                    let value = json!({ "object": request.object.to_string(), "status": "undecided", "fault": fault.to_string() });
                    writeln!(out, "{value:#}").map_err(CliError::output)?;
                    Ok(3)
                }
                Format::Text => Err(CliError { message, code: 3 }),
            }
        }
    }
}

/// Colours, where they help and not where they would be read by a program.
#[derive(Clone, Copy)]
struct Style {
    colour: bool,
}

impl Style {
    fn here() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Style { colour: wanted && std::io::stdout().is_terminal() }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn heading(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn verdict(self, good: bool, text: &str) -> String {
        self.paint(if good { "32" } else { "31" }, text)
    }
}

/// A section: a heading, and rows with aligned columns.
fn section(out: &mut dyn Write, style: Style, name: &str, rows: &[Vec<String>]) -> std::io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.heading(name))?;
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            row.iter().enumerate().map(|(at, cell)| if at == 0 { format!("  {cell}") } else { cell.clone() })
        })
        .map(Iterator::collect)
        .collect();
    write_table(out, &rows)
}

fn row(name: &str, value: impl Into<String>) -> Vec<String> {
    vec![format!("{name:<10}"), value.into()]
}

fn print(out: &mut dyn Write, made: &Explanation, repo: &Path) -> std::io::Result<()> {
    let style = Style::here();
    let verdict = style.verdict(made.accepted(), made.status_name());
    writeln!(out, "{} {}: {verdict}", made.kind.name(), made.object)?;
    section(out, style, "object", &about(made, repo))?;
    section(out, style, "signature", &signature(made))?;
    section(out, style, "times", &times(made))?;
    writeln!(out, "\n{}", style.heading("checks"))?;
    let (name, clause) = (
        made.checks.iter().map(|check| check.name.len()).max().unwrap_or(0),
        made.checks.iter().map(|check| check.clause.len()).max().unwrap_or(0),
    );
    for check in &made.checks {
        let result = match check.result {
            CheckResult::Passed => style.paint("32", "passed"),
            CheckResult::Failed => style.paint("31", "failed"),
            CheckResult::Noted => style.paint("33", "noted "),
        };
        writeln!(out, "  {result}  {:<name$}  {:<clause$}  {}", check.name, check.clause, check.detail)?;
    }
    let mut rows = vec![row("status", made.status_name())];
    rows.extend(made.code().map(|code| row("code", code)));
    rows.push(row("because", made.phrase()));
    rows.extend(
        made.findings.iter().map(|finding| row("finding", format!("{}: {}", finding.code, finding.text))),
    );
    section(out, style, "verdict", &rows)?;
    section(out, style, "git", &git(made))
}

fn about(made: &Explanation, repo: &Path) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> =
        made.people.iter().map(|one| row(one.role, format!("{} <{}>", one.name, one.email))).collect();
    rows.extend(made.subject.as_ref().map(|subject| row("subject", subject.clone())));
    if let Some(target) = &made.target {
        rows.push(row("tag", target.name.clone()));
        rows.push(row("target", format!("{} {}", target.kind.name(), target.id)));
        let repo = text::escape(repo.as_os_str().as_encoded_bytes());
        rows.push(row("", format!("explain it with `countersign verify {repo} {}`", target.id)));
    }
    if let Some(reference) = &made.reference {
        rows.push(row("ref", reference.clone()));
    }
    let covering =
        made.covering.iter().map(|set| row("ruleset", format!("{} ({})", set.name, set.enforcement)));
    rows.extend(covering);
    rows
}

fn signature(made: &Explanation) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    rows.extend(made.format.map(|format| row("format", format)));
    rows.extend(made.key.as_ref().map(|key| row("key", key.text.clone())));
    if made.entry.as_ref() != made.key.as_ref().map(|key| &key.text) {
        rows.extend(made.entry.as_ref().map(|entry| row("entry", entry.clone())));
    }
    rows.extend(made.algorithm.as_ref().map(|algorithm| row("algorithm", algorithm.clone())));
    if let Some(principal) = &made.principal {
        let groups = if principal.groups.is_empty() {
            String::new()
        } else {
            format!(", of {}", principal.groups.join(", "))
        };
        // Without the arithmetic this is only whom the signature names.
        let name = match (made.accepted(), &made.entry) {
            (true, _) => "principal",
            (false, Some(_)) => "key of",
            (false, None) => "claims",
        };
        let owner = text::escape(principal.name.as_bytes());
        rows.push(row(name, format!("{owner} ({}){groups}", principal.kind.name())));
    }
    rows
}

fn times(made: &Explanation) -> Vec<Vec<String>> {
    let three = |name: &str, at: String, note: &str| vec![format!("{name:<10}"), at, note.to_owned()];
    let claimed = made.claimed.map(|seconds| match Timestamp::from_second(seconds) {
        Ok(at) => at.to_string(),
        Err(_) => format!("{seconds} s"),
    });
    let mut rows = Vec::new();
    rows.extend(claimed.map(|at| three("claimed", at, "by the object")));
    rows.extend(made.signed.map(|at| three("signed", at.to_string(), "inside the signature")));
    let note = match (&made.unrecorded, made.receipt) {
        (Some(why), _) => format!("as if it came in now: {why}"),
        (None, Receipt::Now) => "as if it came in now".to_owned(),
        (None, Receipt::Given) => "as --at says".to_owned(),
        (None, Receipt::Recorded) => "by the gate's record".to_owned(),
    };
    rows.push(three("received", made.received.to_string(), &note));
    rows.push(three("now", made.now.to_string(), ""));
    rows
}

fn git(made: &Explanation) -> Vec<Vec<String>> {
    let said = match &made.git {
        Beside::Off => return Vec::new(),
        Beside::NotCompared(why) => return vec![row("status", format!("not compared: {why}"))],
        Beside::Said(said) => said,
    };
    let accepts = if said.gits.accepts { "accepts" } else { "refuses" };
    let mut rows =
        vec![row("command", said.command), row("status", format!("{}, {accepts}", said.gits.status.name()))];
    rows.extend(said.lines.iter().map(|line| row("said", line.clone())));
    match &made.difference {
        None => rows.push(row("compared", "the same verdict")),
        Some(difference) => {
            let attack = difference.attack.map(|attack| format!(" ({attack})")).unwrap_or_default();
            rows.push(row("differs", format!("{}{attack}: {}", difference.code, difference.text)));
        }
    }
    rows
}

/// The explanation as one object; its keys are a contract (docs/verify.md).
fn to_json(made: &Explanation) -> Value {
    let people: Vec<Value> = made
        .people
        .iter()
        .map(|one| json!({ "role": one.role, "name": one.name, "email": one.email }))
        .collect();
    let covering: Vec<Value> =
        made.covering.iter().map(|set| json!({ "name": set.name, "enforcement": set.enforcement })).collect();
    let checks: Vec<Value> = made
        .checks
        .iter()
        .map(|check| {
            json!({ "name": check.name, "clause": check.clause, "result": check.result.name(), "detail": check.detail })
        })
        .collect();
    let findings: Vec<Value> =
        made.findings.iter().map(|one| json!({ "code": one.code, "text": one.text })).collect();
    let target = made.target.as_ref().map(
        |target| json!({ "id": target.id.to_string(), "kind": target.kind.name(), "name": target.name }),
    );
    let principal = made
        .principal
        .as_ref()
        .map(|one| json!({ "name": text::escape(one.name.as_bytes()), "kind": one.kind.name(), "groups": one.groups }));
    let git = match &made.git {
        Beside::Off => Value::Null,
        Beside::NotCompared(why) => json!({ "compared": false, "why": why }),
        Beside::Said(said) => json!({
            "compared": true, "command": said.command, "status": said.gits.status.name(),
            "accepts": said.gits.accepts, "said": said.lines,
        }),
    };
    let difference = made.difference.map(|one| {
        json!({ "code": one.code, "git_accepts": one.git_accepts, "attack": one.attack, "text": one.text })
    });
    json!({
        "object": made.object.to_string(), "kind": made.kind.name(), "accepted": made.accepted(),
        "status": made.status_name(), "code": made.code(), "text": made.phrase(),
        "ref": made.reference, "rulesets": covering,
        "people": people, "subject": made.subject, "target": target,
        "format": made.format, "key": made.key.as_ref().map(|key| key.text.clone()), "entry": made.entry,
        "algorithm": made.algorithm, "principal": principal,
        "times": {
            "claimed": made.claimed, "signed": made.signed.map(|at| at.to_string()),
            "received": made.received.to_string(), "receipt": made.receipt.name(),
            "unrecorded": made.unrecorded, "now": made.now.to_string(),
        },
        "checks": checks, "findings": findings, "git": git, "difference": difference,
    })
}
