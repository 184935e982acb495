//! `countersign webhook status`.

use super::super::common::{CliError, Format, write_table};
use super::{ask, print_json, source};
use crate::config::Config;
use crate::service::webhook::{ReportHealth, SourceStatus, WEBHOOK_STATUS_PATH, WebhookStatus};
use std::io::{self, Write};

/// Which source.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign webhook status
  countersign webhook status github --format json | jq '.sources[].reports.error'
  countersign webhook status --format json | jq '.sources[].repositories[].unsound[]'

Exit codes: 0 nothing is wrong, 1 something is: secrets that cannot be read, deliveries or reports that
wait for more than five minutes, repositories that cannot be looked at for as long, reports that a forge does not take; 2 usage or configuration; 3 the
daemon cannot be reached. Refs that are refused as they stand are listed, and change nothing of that. Run it as root or as the daemon's account.")]
pub struct StatusArgs {
    /// Only this source
    #[arg(value_name = "SOURCE")]
    pub source: Option<String>,
}

/// What waits longer than this is in trouble, in seconds.
const LONG: u64 = 300;

pub(super) fn run(
    args: &StatusArgs,
    config: &Config,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    if let Some(name) = &args.source {
        source(config, name)?;
    }
    let mut status: WebhookStatus = ask(config, WEBHOOK_STATUS_PATH, None::<&()>)?;
    if let Some(name) = &args.source {
        status.sources.retain(|source| source.name == *name);
    }
    match format {
        Format::Json => print_json(&status, out)?,
        Format::Text => print(&status, out)?,
    }
    Ok(u8::from(is_wrong(&status)))
}

fn is_wrong(status: &WebhookStatus) -> bool {
    let stuck = |source: &SourceStatus| {
        source.oldest_waiting_seconds > LONG
            || source.repositories.iter().any(|one| one.adopted && one.stuck_seconds > LONG)
            || source.troubled.iter().any(|report| report.given_up || report.attempts > 3)
            || source.reports.as_ref().is_some_and(|reports| reports.error.is_some() || reports.full > 0)
    };
    status.secret_errors.is_some() || status.certificate_error.is_some() || status.sources.iter().any(stuck)
}

fn print(status: &WebhookStatus, out: &mut dyn Write) -> io::Result<()> {
    if status.sources.is_empty() {
        writeln!(out, "the configuration in force has no [[source]]")?;
    }
    for (title, error) in
        [("secrets", &status.secret_errors), ("the listener's certificate", &status.certificate_error)]
    {
        if let Some(error) = error {
            writeln!(out, "{title} cannot be used: {error}")?;
        }
    }
    for source in &status.sources {
        writeln!(out, "{} ({}) at {}", source.name, source.forge, source.path)?;
        let counts: Vec<String> =
            source.deliveries.iter().map(|(result, count)| format!("{count} {result}")).collect();
        let counts = if counts.is_empty() { "none yet".to_owned() } else { counts.join(", ") };
        writeln!(out, "  deliveries:  {counts}")?;
        if let Some(by_token) = &source.by_token {
            let last = by_token.last.as_deref().map_or(String::new(), |last| format!(", the last at {last}"));
            writeln!(
                out,
                "  by token:    {} believed by their token although signing is configured{last}",
                by_token.count
            )?;
        }
        writeln!(out, "  last one:    {}", source.last_delivery.as_deref().unwrap_or("-"))?;
        writeln!(
            out,
            "  waiting:     {}, the oldest for {} s",
            source.waiting, source.oldest_waiting_seconds
        )?;
        match &source.reports {
            Some(reports) => print_reports(reports, out)?,
            None => writeln!(out, "  reports:     none, [source.report] is not set")?,
        }
        for one in &source.troubled {
            let end = if one.given_up { "given up" } else { "tried again" };
            let commit = one.commit.get(..12).unwrap_or(&one.commit);
            writeln!(out, "    {commit} {}: {} (attempt {}, {end})", one.context, one.why, one.attempts)?;
        }
        let mut rows = Vec::new();
        for one in &source.repositories {
            let state = match (&one.id, one.adopted) {
                (_, true) => "judged".to_owned(),
                (Some(_), false) => "waits for `countersign adopt`".to_owned(),
                (None, false) => "waits for its first delivery, or an `id`".to_owned(),
            };
            let why = match (&one.why, one.waiting) {
                (None, _) => String::new(),
                (Some(why), 0) => format!("cannot be judged: {why}"),
                (Some(why), waiting) => format!("{waiting} wait: {why}"),
            };
            rows.push(vec![format!("  {}", one.name), state, why]);
        }
        write_table(out, &rows)?;
        for (repository, one) in
            source.repositories.iter().flat_map(|of| of.unsound.iter().map(|one| (&of.name, one)))
        {
            writeln!(out, "  {repository}: {}", one.line())?;
        }
    }
    if status.unauthentic > 0 {
        writeln!(out, "{} deliveries were not authentic since the start", status.unauthentic)?;
    }
    Ok(())
}

fn print_reports(reports: &ReportHealth, out: &mut dyn Write) -> io::Result<()> {
    let last = reports.last_sent.as_deref().unwrap_or("not yet");
    writeln!(
        out,
        "  reports:     {} sent since the start (last: {last}), {} wait, {} given up",
        reports.sent, reports.due, reports.given_up
    )?;
    if reports.full > 0 {
        writeln!(out, "  no room:     {} commits of which the forge shows an older state", reports.full)?;
    }
    if let Some(error) = &reports.error {
        let until = reports.paused_until.as_ref().map_or(String::new(), |at| format!("; not before {at}"));
        writeln!(out, "  trouble:     {error}{until}")?;
    }
    Ok(())
}
