//! `countersign check --self`.

use super::check::CheckArgs;
use super::{CliError, Format};
use crate::domain::RefName;
use crate::service::{SelfBasis, SelfChecked, SelfRequest, Snapshot, self_check};
use crate::signature::CheckResult;
use serde_json::json;
use std::io::{self, Write};
use std::path::Path;

/// Judges the next commit; the exit code is the verdict.
///
/// # Errors
/// Code 2 where the repository, the keyring or the configuration cannot be used.
pub(super) fn run(
    args: &CheckArgs,
    config: Option<&Path>,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let usage = |text: String| CliError::usage(format!("error: {text}"));
    let reference = args.reference.as_deref().unwrap_or("refs/heads/main");
    let reference = RefName::parse(reference.as_bytes()).map_err(|e| usage(e.to_string()))?;
    if !reference.as_bytes().starts_with(b"refs/heads/") {
        return Err(usage("--self is about commits: name a branch".to_owned()));
    }
    let snapshot;
    let basis = match (&args.keyring, &args.allowed_signers, config) {
        (Some(path), _, _) => SelfBasis::Keyring(path),
        (None, Some(path), _) => SelfBasis::AllowedSigners(path),
        (None, None, Some(config)) => {
            snapshot = Snapshot::load(config).map_err(CliError::usage)?.0;
            SelfBasis::Gate(&snapshot)
        }
        (None, None, None) => SelfBasis::Nothing,
    };
    let request = SelfRequest {
        repo: args.repo.as_deref().unwrap_or(Path::new(".")),
        reference,
        repository: args.repository.as_deref(),
        message: args.message.as_deref(),
        basis,
    };
    let checked = self_check(&request).map_err(|e| usage(e.to_string()))?;
    match format {
        Format::Json => writeln!(out, "{:#}", to_json(&checked)),
        Format::Text => print(out, &checked),
    }
    .map_err(CliError::output)?;
    Ok(checked.outcome.exit_code())
}

const fn word(result: CheckResult) -> &'static str {
    match result {
        CheckResult::Passed => "passed",
        CheckResult::Failed => "failed",
        CheckResult::Noted => "noted",
    }
}

fn print(out: &mut dyn Write, checked: &SelfChecked) -> io::Result<()> {
    for step in &checked.steps {
        writeln!(out, "  {:<6}  {:<9}  {}", word(step.result), step.name, step.detail)?;
    }
    writeln!(out, "\n{}: {}", checked.outcome.name(), checked.reason)?;
    if let Some(fix) = &checked.fix {
        writeln!(out, "  help: {fix}")?;
    }
    if let Some(public) = &checked.public {
        write!(out, "\nyour public key:\n\n{public}")?;
    }
    Ok(())
}

/// Its keys are a contract (docs/signing.md).
fn to_json(checked: &SelfChecked) -> serde_json::Value {
    let steps: Vec<_> = checked
        .steps
        .iter()
        .map(|step| json!({ "name": step.name, "result": word(step.result), "detail": step.detail }))
        .collect();
    json!({
        "outcome": checked.outcome.name(), "reason": checked.reason, "fix": checked.fix, "steps": steps,
        "key": checked.key, "principal": checked.principal, "public": checked.public,
    })
}
