//! `countersign check --self`.

use super::check::CheckArgs;
use super::{CliError, Format};
use crate::domain::{RefName, text};
use crate::service::{SelfBasis, SelfChecked, SelfRequest, SelfWhat, Snapshot, self_check};
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
    let (what, reference) = match &args.tag {
        // To git it would be an option.
        Some(name) if name.starts_with('-') => {
            return Err(usage(format!("`{}` is no name of a tag", text::escape(name.as_bytes()))));
        }
        Some(name) => (SelfWhat::Tag(name.clone()), format!("refs/tags/{name}")),
        None => {
            let branch = args.reference.clone().unwrap_or_else(|| "refs/heads/main".to_owned());
            (SelfWhat::Commit, branch)
        }
    };
    let reference = RefName::parse(reference.as_bytes()).map_err(|e| usage(e.to_string()))?;
    if what == SelfWhat::Commit && !reference.as_bytes().starts_with(b"refs/heads/") {
        return Err(usage("commits go to branches: name one, or a tag with --tag".to_owned()));
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
        what,
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
        writeln!(out, "  help: {}", fix.text)?;
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
        "outcome": checked.outcome.name(), "reason": checked.reason, "steps": steps,
        "fix": checked.fix.as_ref().map(|fix| &fix.text),
        "command": checked.fix.as_ref().and_then(|fix| fix.command.as_ref()),
        "by": checked.fix.as_ref().map(|fix| fix.by.name()),
        "key": checked.key, "principal": checked.principal, "public": checked.public,
    })
}
