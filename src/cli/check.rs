//! `countersign check`.

use super::{CliError, Format, history};
use crate::domain::{ObjectId, RefName};
use crate::git;
use crate::hook::wire::Outcome;
use crate::policy::{Decision, Subject, Verdict, Violation};
use crate::service::{CheckFault, CheckRequest, HistoryRequest, Snapshot, check};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Arguments of `check`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "No daemon is asked and nothing is recorded. Everything that OLD reaches counts as judged; the gate\n\
                        itself goes by its record and may judge more. OLD or NEW may be empty, for a creation or a deletion.\n\n\
                        With --history instead of a range, every commit that the ref reaches is judged by its signature,\n\
                        and by nothing else: by its receipt where the gate has one on record (`recorded`), otherwise by the\n\
                        times that it claims (`unanchored`), which proves less. 0 if all are verified, 1 if not.\n\n\
                        With --self, git signs a commit outside of every repository as it would sign the next one here,\n\
                        and that is judged: 0 accepted, 1 refused, 3 nobody can tell, with the reason. See docs/signing.md.\n\n\
                        Examples: countersign check --repo . --ref refs/heads/main origin/main..HEAD\n          \
                        countersign check --self --keyring ./keyring\n          \
                        countersign check --self --tag v1.0 --keyring ./keyring\n          \
                        countersign check --self --ref refs/heads/main --config ./countersign.toml\n          \
                        countersign check --history --repo /srv/git/infra/app.git --ref refs/heads/main"
)]
pub struct CheckArgs {
    /// The repository, bare or with a work tree [with --self by default the one here]
    #[arg(long, value_name = "DIR", required_unless_present = "own")]
    pub(super) repo: Option<PathBuf>,
    /// The full name of the ref that would move [with --self by default refs/heads/main]
    #[arg(long = "ref", value_name = "REF", required_unless_present = "own")]
    pub(super) reference: Option<String>,
    /// The repository's name, for rulesets [default: its path below the configured root, or its own name]
    #[arg(long, value_name = "NAME")]
    pub(super) repository: Option<String>,
    /// What the ref holds, and what it would hold
    #[arg(
        value_name = "OLD..NEW",
        allow_hyphen_values = true,
        required_unless_present_any = ["history", "own"],
        conflicts_with_all = ["history", "own"]
    )]
    range: Option<String>,
    /// Judge every commit that the ref reaches, instead of a range
    #[arg(long)]
    history: bool,
    /// Threads that verify, with --history [default: one for each core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// How many commits that do not count are listed, with --history [default: 10]
    #[arg(long, value_name = "N")]
    first: Option<usize>,
    /// Say whether the next commit that is made on this machine would be accepted, and if not, what helps
    #[arg(long = "self", id = "own", conflicts_with_all = ["history", "jobs", "first"])]
    own: bool,
    /// With --self: the keyring, a directory or the file of one principal
    #[arg(long, value_name = "FILE|DIR", requires = "own", conflicts_with = "config")]
    pub(super) keyring: Option<PathBuf>,
    /// With --self: whose keys count, in OpenSSH's format
    #[arg(long, value_name = "FILE", requires = "own", conflicts_with_all = ["config", "keyring"])]
    pub(super) allowed_signers: Option<PathBuf>,
    /// With --self: the next tag, of this name, instead of the next commit
    #[arg(long, value_name = "NAME", requires = "own", conflicts_with = "reference")]
    pub(super) tag: Option<String>,
    /// With --self: the message of the next commit, without which no rule about messages is asked
    #[arg(long, value_name = "TEXT", requires = "own")]
    pub(super) message: Option<String>,
}

impl CheckArgs {
    /// Whether it is about this machine.
    pub(super) const fn is_self(&self) -> bool {
        self.own
    }
}

/// Commits that do not count and are listed, unless somebody says another number.
const FIRST: usize = 10;

/// Judges the range; the exit code is the verdict.
pub fn run(
    args: &CheckArgs,
    config: &Path,
    format: Format,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, CliError> {
    let (snapshot, _) = Snapshot::load(config).map_err(CliError::usage)?;
    let usage = |text: String| CliError::usage(format!("error: {text}"));
    let git_dir = git_dir(args.repo.as_deref().unwrap_or(Path::new("."))).map_err(usage)?;
    let reference = RefName::parse(args.reference.as_deref().unwrap_or_default().as_bytes())
        .map_err(|e| usage(e.to_string()))?;
    if args.history {
        let (repository, jobs) = (args.repository.as_deref(), args.jobs.unwrap_or(0));
        let request = HistoryRequest { git_dir: &git_dir, repository, reference, jobs };
        return history::run(&snapshot, &request, args.first.unwrap_or(FIRST), format, out, err);
    }
    if args.jobs.is_some() || args.first.is_some() {
        return Err(usage("--jobs and --first go with --history".to_owned()));
    }
    let (old, new) = range(&git_dir, args.range.as_deref().unwrap_or_default())?;
    let request = CheckRequest {
        git_dir: &git_dir,
        repository: args.repository.as_deref(),
        reference,
        old,
        new,
        judged: None,
        pusher: None,
    };
    match check(&snapshot, &request) {
        Ok(checked) => {
            let outcome = match checked.verdict.decision {
                Decision::Accept => Outcome::Accept,
                Decision::Refuse => Outcome::Refuse,
            };
            let id = checked.facts.context.request_id.as_str();
            match format {
                Format::Json => writeln!(out, "{:#}", verdict_json(outcome, id, &checked.verdict)),
                Format::Text if outcome == Outcome::Accept => {
                    write!(out, "{}", checked.text).and_then(|()| summary(out, &checked.verdict))
                }
                Format::Text => write!(out, "{}", checked.text),
            }
            .map_err(CliError::output)?;
            let _ = writeln!(err, "checked only: no daemon was asked and nothing was recorded");
            Ok(outcome.exit_code())
        }
        Err(fault) => Ok(undecided(&fault, format, out)?),
    }
}

/// What `OLD..NEW` names in a repository; one of them may be empty.
pub(super) fn range(git_dir: &Path, range: &str) -> Result<(Option<ObjectId>, Option<ObjectId>), CliError> {
    let usage = |text: String| CliError::usage(format!("error: {text}"));
    let (old, new) = range.split_once("..").ok_or_else(|| usage("write the range as OLD..NEW".to_owned()))?;
    let resolve = |expression: &str| -> Result<Option<ObjectId>, CliError> {
        if expression.is_empty() || expression.bytes().all(|byte| byte == b'0') {
            return Ok(None);
        }
        git::command::rev_parse(git_dir, expression).map(Some).map_err(usage)
    };
    let (old, new) = (resolve(old)?, resolve(new)?);
    if old.is_none() && new.is_none() {
        return Err(usage("OLD and NEW cannot both be empty".to_owned()));
    }
    Ok((old, new))
}

pub(super) fn undecided(fault: &CheckFault, format: Format, out: &mut dyn Write) -> Result<u8, CliError> {
    match format {
        Format::Json => {
            let value = json!({ "outcome": "undecided", "request_id": null, "fault": fault.to_string(), "refs": [], "violations": [] });
            writeln!(out, "{value:#}").map_err(CliError::output)?;
            Ok(Outcome::Undecided.exit_code())
        }
        Format::Text => {
            let message =
                format!("countersign could not decide. This is not a policy decision.\n  cause: {fault}");
            Err(CliError { message, code: Outcome::Undecided.exit_code() })
        }
    }
}

fn summary(out: &mut dyn Write, verdict: &Verdict) -> std::io::Result<()> {
    for reference in &verdict.refs {
        let names: Vec<&str> = reference.rulesets.iter().map(|set| set.name.as_str()).collect();
        writeln!(
            out,
            "accepted: {} ({}) by {}",
            reference.name,
            reference.coverage.name(),
            names.join(", ")
        )?;
    }
    Ok(())
}

/// The JSON verdict; its keys are a contract.
fn verdict_json(outcome: Outcome, request_id: &str, verdict: &Verdict) -> Value {
    let refs: Vec<Value> = verdict
        .refs
        .iter()
        .map(|reference| {
            let rulesets: Vec<Value> = reference
                .rulesets
                .iter()
                .map(|set| {
                    json!({
                        "name": set.name, "enforcement": set.enforcement.name(),
                        "introduced": set.introduced, "violations": set.violations,
                    })
                })
                .collect();
            json!({
                "ref": reference.name.to_string(), "kind": reference.kind.name(),
                "old": reference.old.map(|id| id.to_string()), "new": reference.new.map(|id| id.to_string()),
                "coverage": reference.coverage.name(), "rulesets": rulesets,
            })
        })
        .collect();
    let list = |violations: &[Violation]| violations.iter().map(violation_json).collect::<Vec<_>>();
    json!({
        "outcome": outcome.name(), "request_id": request_id, "refs": refs,
        "violations": list(&verdict.violations), "advisory": list(&verdict.advisory),
    })
}

pub(super) fn violation_json(violation: &Violation) -> Value {
    let mut value = json!({
        "rule": violation.rule, "ref": violation.reference, "seen": violation.seen,
        "wanted": violation.wanted, "help": violation.help, "rulesets": violation.rulesets,
    });
    match violation.subject {
        Subject::Ref => {}
        Subject::Commit(id) => value["commit"] = json!(id.to_string()),
        Subject::Tag(id) => value["tag"] = json!(id.to_string()),
    }
    value
}

/// A repository may be named by its work tree.
pub(super) fn git_dir(path: &Path) -> Result<PathBuf, String> {
    let physical = path.canonicalize().map_err(|e| format!("{}: {e}", path.display()))?;
    let inner = physical.join(".git");
    if inner.is_dir() {
        return Ok(inner);
    }
    match std::fs::read_to_string(&inner) {
        // A linked work tree: `gitdir: PATH`.
        Ok(text) => match text.trim_end().strip_prefix("gitdir: ") {
            Some(target) => physical.join(target).canonicalize().map_err(|e| format!("{target}: {e}")),
            None => Err(format!("{} is not understood", inner.display())),
        },
        Err(_) => Ok(physical),
    }
}
