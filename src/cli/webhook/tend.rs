//! `countersign webhook redeliver`, `sweep` and `test`.

use super::super::common::{CliError, Format};
use super::{ask, print_json, source};
use crate::config::Config;
use crate::service::webhook::{
    Did, Redeliver, Sweep, Tried, Try, WEBHOOK_REDELIVER_PATH, WEBHOOK_SWEEP_PATH, WEBHOOK_TEST_PATH,
};
use std::io::Write;

/// Which delivery.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
What is kept of the delivery is queued again: its repository is looked at, and what it tells of is judged
unless it was. Judged deliveries are kept for a week. What never arrived is found by the sweep, or
delivered again by the forge's own pages.

Example:
  countersign webhook redeliver 4711

Exit codes: 0 queued, or it waits already; 2 usage, configuration, no such delivery; 3 the daemon cannot
be reached.")]
pub struct RedeliverArgs {
    /// Its number, as `webhook deliveries` shows it
    #[arg(value_name = "ID")]
    pub delivery: u64,
}

/// Which source.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
What has moved without a delivery is judged, and recorded as `unannounced`.

Example:
  countersign webhook sweep

Exit codes: 0 under way, 2 usage or configuration, 3 the daemon cannot be reached.")]
pub struct SweepArgs {
    /// A source; the others are looked at as well, which finds nothing that they would not find by themselves
    #[arg(value_name = "SOURCE")]
    pub source: Option<String>,
}

/// Which source, and where.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
The daemon signs a sample as the forge would, and sends it to its own listener; then the same with another
body, which has to be refused. The sample is about a repository that nobody watches: nothing is judged.
Through a proxy, or with TLS, give the address that the forge uses.

Examples:
  countersign webhook test github
  countersign webhook test github --url https://gate.example.org

Exit codes: 0 taken, and the other one refused; 1 not so; 2 usage or configuration; 3 the daemon, or the
address, cannot be reached.")]
pub struct TestArgs {
    /// The source, as the configuration calls it
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Where to send it, without the source's path [default: the listener]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

pub(super) fn redeliver(
    args: &RedeliverArgs,
    config: &Config,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let done: Did = ask(config, WEBHOOK_REDELIVER_PATH, Some(&Redeliver { delivery: args.delivery }))?;
    say(&done, format, out)
}

pub(super) fn sweep(
    args: &SweepArgs,
    config: &Config,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    if let Some(name) = &args.source {
        source(config, name)?;
    }
    let done: Did = ask(config, WEBHOOK_SWEEP_PATH, Some(&Sweep { source: args.source.clone() }))?;
    say(&done, format, out)
}

fn say(done: &Did, format: Format, out: &mut dyn Write) -> Result<u8, CliError> {
    match format {
        Format::Json => print_json(done, out)?,
        Format::Text => writeln!(out, "{}", done.text)?,
    }
    Ok(0)
}

pub(super) fn test(
    args: &TestArgs,
    config: &Config,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    source(config, &args.source)?;
    let asked = Try { source: args.source.clone(), url: args.url.clone() };
    let tried: Tried = ask(config, WEBHOOK_TEST_PATH, Some(&asked))?;
    match format {
        Format::Json => print_json(&tried, out)?,
        Format::Text => {
            writeln!(out, "{}: {} {}", tried.url, tried.status, tried.answer)?;
            writeln!(out, "the same with another body: {}", tried.tampered_status)?;
            let verdict = if tried.works { "the source works" } else { "the source does not work" };
            writeln!(out, "{verdict}")?;
        }
    }
    Ok(u8::from(!tried.works))
}
