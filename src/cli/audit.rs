//! `countersign audit`.

use super::{CliError, Format};
use crate::audit::{Body, Record};
use crate::config;
use crate::store::{Entry, Filter, Mode, Store};
use clap::Subcommand;
use std::io::Write;
use std::path::Path;

/// What to do with the log.
#[derive(Subcommand, Debug)]
pub enum AuditCommand {
    /// Print records, oldest first
    Log(LogArgs),
    /// Check the hash chain from the first record to the last one known
    Verify,
}

/// Which records.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "With --format json each record is one line, exactly as the hash chain covers it.\n\n\
                        Example: countersign audit log --repository infra/app --outcome refuse --limit 20"
)]
pub struct LogArgs {
    /// Only of this repository, by its name below the root
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    /// Only with this outcome
    #[arg(long, value_parser = ["accept", "refuse", "undecided"])]
    outcome: Option<String>,
    /// Only of this request
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// Only from this time on (RFC 3339, UTC)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// The last so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Prints or verifies the log.
pub fn run(
    command: &AuditCommand,
    config_path: &Path,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let config = config::load(config_path).map_err(|e| CliError::usage(e.to_string()))?.config;
    let failed = |e: &dyn std::fmt::Display| CliError { message: format!("error: {e}"), code: 3 };
    let store = Store::open(&config.daemon.state, Mode::ReadOnly).map_err(|e| failed(&e))?;
    match command {
        AuditCommand::Log(args) => {
            let since = match &args.since {
                None => None,
                Some(text) => {
                    let time: crate::domain::Timestamp =
                        text.parse().map_err(|e| CliError::usage(format!("error: --since `{text}`: {e}")))?;
                    Some(format!("{time:.3}"))
                }
            };
            let filter = Filter {
                repository: args.repository.clone(),
                outcome: args.outcome.clone(),
                request_id: args.request.clone(),
                since,
                limit: args.limit,
            };
            let entries = store.log(&filter).map_err(|e| failed(&e))?;
            for entry in &entries {
                match format {
                    Format::Json => writeln!(out, "{}", entry.record),
                    Format::Text => print(out, entry),
                }
                .map_err(CliError::output)?;
            }
            Ok(0)
        }
        AuditCommand::Verify => {
            let report = store.verify_log().map_err(|e| failed(&e))?;
            match (&report.broken, format) {
                (broken, Format::Json) => {
                    let first = broken.as_ref().map(|(sequence, _)| *sequence);
                    let why = broken.as_ref().map(|(_, why)| why.as_str());
                    let value = serde_json::json!({
                        "intact": report.intact, "head": report.head.to_string(), "broken_at": first, "why": why,
                    });
                    writeln!(out, "{value}")
                }
                (None, Format::Text) => writeln!(out, "{} records hold, head {}", report.intact, report.head),
                (Some((sequence, why)), Format::Text) => {
                    writeln!(out, "{} records hold; broken at record {sequence}: {why}", report.intact)
                }
            }
            .map_err(CliError::output)?;
            Ok(u8::from(report.broken.is_some()))
        }
    }
}

fn print(out: &mut dyn Write, entry: &Entry) -> std::io::Result<()> {
    let record: Record = match serde_json::from_str(&entry.record) {
        Ok(record) => record,
        Err(_) => {
            let shown = crate::domain::text::escape_short(entry.record.as_bytes(), 200);
            return writeln!(out, "{:>6}  not understood: {shown}", entry.sequence);
        }
    };
    write!(out, "{:>6}  {}  ", entry.sequence, record.time)?;
    match record.body {
        Body::Decision(decision) => {
            let pusher = decision.pusher.map_or_else(|| "unknown pusher".to_owned(), |pusher| pusher.name);
            let milliseconds = decision.duration_us as f64 / 1000.0;
            writeln!(
                out,
                "{:<9} {} by {pusher}, {milliseconds:.1} ms, request {}",
                decision.outcome, decision.repository, decision.request_id
            )?;
            for reference in &decision.refs {
                let id = |id: &Option<String>| {
                    id.as_ref().map_or_else(|| "-".to_owned(), |id| id.chars().take(10).collect())
                };
                let names: Vec<&str> =
                    reference.rulesets.iter().map(|ruleset| ruleset.name.as_str()).collect();
                let (old, new) = (id(&reference.old), id(&reference.new));
                writeln!(
                    out,
                    "        {} {} {old}..{new} [{}: {}]",
                    reference.kind,
                    reference.name,
                    reference.coverage,
                    names.join(", ")
                )?;
            }
            for commit in &decision.commits {
                let who = commit.principal.as_deref().unwrap_or("nobody known");
                writeln!(
                    out,
                    "        commit {} {} ({who})",
                    commit.id.get(..10).unwrap_or_default(),
                    commit.signature
                )?;
            }
            for violation in &decision.violations {
                writeln!(out, "        {}: {}: {}", violation.rule, violation.reference, violation.seen)?;
            }
            if decision.truncated > 0 {
                writeln!(out, "        ... {} more entries were left out", decision.truncated)?;
            }
            match decision.fault {
                Some(fault) => writeln!(out, "        cause[{}]: {}", fault.code, fault.message),
                None => Ok(()),
            }
        }
        Body::Applied(applied) => writeln!(
            out,
            "applied   {} {}, request {}",
            applied.reference,
            applied.new.as_deref().map_or("deleted", |id| id.get(..10).unwrap_or_default()),
            applied.request_id
        ),
        Body::Adopt(adopt) => writeln!(
            out,
            "adopt     {} for ruleset `{}` by {}: {} tips, {} commits",
            adopt.repository,
            adopt.ruleset,
            adopt.who,
            adopt.tips.len(),
            adopt.commits
        ),
        Body::Start(state) => {
            let digest: String = state.configuration.chars().take(12).collect();
            writeln!(out, "start     version {}, configuration {digest}", state.version)
        }
        Body::Reload(state) => match state.error {
            None => writeln!(
                out,
                "reload    configuration {}",
                state.configuration.chars().take(12).collect::<String>()
            ),
            Some(error) => writeln!(out, "reload    rejected: {}", error.lines().next().unwrap_or_default()),
        },
        Body::Stop => writeln!(out, "stop"),
        Body::Recovered { who, why } => writeln!(out, "recovered by {who}: {why}"),
    }
}
