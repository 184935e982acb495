//! `countersign webhook redeliver`, `sweep` and `test`.

use super::super::common::{CliError, Format};
use super::{ask, print_json, source};
use crate::config::Config;
use crate::service::webhook::{
    Did, Redeliver, Resend, Resent, Sweep, Swept, SweptRepository, Tried, Try, WEBHOOK_REDELIVER_PATH,
    WEBHOOK_RESEND_PATH, WEBHOOK_SWEEP_PATH, WEBHOOK_TEST_PATH, named,
};
use std::io::Write;
use std::time::{Duration, Instant};

/// Which delivery.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
With ID, the forge is not asked: what is kept of the delivery is queued again, its repository is looked
at, and what it tells of is judged unless it was. Judged deliveries are kept for a week.

What never arrived is not kept here. With --from-forge, the forge is asked which deliveries of our webhook
did not arrive, and to send them again. GitHub and GitLab can do that, with the token or App of
[source.report], which needs the right to manage webhooks; of others use the pages. Whatever moved is found
by the sweep without that.

Examples:
  countersign webhook redeliver 4711
  countersign webhook redeliver --from-forge github/acme/infra --since 3h

Exit codes: 0 queued, or the forge was asked for all that it could not deliver; 1 the forge did not take
all of it; 2 usage, configuration, no such delivery, a forge that has no such call; 3 the daemon or the
forge cannot be reached.")]
pub struct RedeliverArgs {
    /// Its number, as `webhook deliveries` shows it
    #[arg(value_name = "ID", required_unless_present = "from_forge", conflicts_with = "from_forge")]
    pub delivery: Option<u64>,
    /// Have the forge send again what did not arrive
    #[arg(long, value_name = "SOURCE/REPOSITORY")]
    pub from_forge: Option<String>,
    /// Of how long ago: 90s, 30m, 6h, 2d
    #[arg(long, value_name = "TIME", default_value = "1h", requires = "from_forge", value_parser = span)]
    pub since: u64,
    /// Where the webhook sends to, without the source's path [default: `link` of the source]
    #[arg(long, value_name = "URL", requires = "from_forge")]
    pub url: Option<String>,
}

/// Seconds, of a number and a unit.
fn span(text: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len());
    let scale = match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        "d" => Some(86_400),
        _ => None,
    };
    let seconds = number.parse::<u64>().ok().zip(scale).and_then(|(number, scale)| number.checked_mul(scale));
    seconds.ok_or_else(|| "write 90s, 30m, 6h or 2d".to_owned())
}

/// Which source or repository.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
What has moved is judged. What nobody told of is recorded as `unannounced`, after a minute in which its
delivery may still come. The command waits for what is found, a minute at most.

Examples:
  countersign webhook sweep
  countersign webhook sweep github/acme/infra --format json

Exit codes: 0 all is where it was judged last; 1 something has moved; 2 usage or configuration, no such
source or repository; 3 the daemon cannot be reached, or a repository could not be looked at.")]
pub struct SweepArgs {
    /// A source, or one of its repositories [default: all sources]
    #[arg(value_name = "SOURCE[/REPOSITORY]")]
    pub of: Option<String>,
}

/// How long the command waits for what is found.
const PATIENCE: Duration = Duration::from_secs(60);

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
    if let Some(of) = &args.from_forge {
        return resend(of, args, config, format, out);
    }
    let Some(delivery) = args.delivery else {
        return Err(CliError::usage("error: give ID or --from-forge".to_owned()));
    };
    let done: Did = ask(config, WEBHOOK_REDELIVER_PATH, Some(&Redeliver { delivery }))?;
    say(&done, format, out)
}

fn resend(
    of: &str,
    args: &RedeliverArgs,
    config: &Config,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let found = named(config, Some(of)).map_err(|error| CliError::usage(format!("error: {error}")))?;
    let (Some((source, repository)), true) = (found.first(), of.contains('/')) else {
        return Err(CliError::usage(
            "error: webhooks are of one repository: write SOURCE/REPOSITORY".to_owned(),
        ));
    };
    let asked = Resend {
        source: source.name.clone(),
        repository: repository.name.clone(),
        url: args.url.clone(),
        since_seconds: args.since,
    };
    let resent: Resent = ask(config, WEBHOOK_RESEND_PATH, Some(&asked))?;
    match format {
        Format::Json => print_json(&resent, out)?,
        Format::Text => {
            let (failed, listed) = (resent.failed, resent.listed);
            writeln!(out, "{}: {failed} of {listed} deliveries did not arrive in that time", resent.url)?;
            writeln!(out, "the forge sends {} of them again", resent.asked.len())?;
            if let Some(why) = &resent.stopped {
                writeln!(out, "not asked for the rest: {why}")?;
            }
        }
    }
    Ok(u8::from(resent.stopped.is_some()))
}

pub(super) fn sweep(
    args: &SweepArgs,
    config: &Config,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let until = Instant::now() + PATIENCE;
    let mut asked = Sweep { of: args.of.clone(), number: None };
    named(config, args.of.as_deref()).map_err(|error| CliError::usage(format!("error: {error}")))?;
    let swept: Swept = loop {
        let swept: Swept = ask(config, WEBHOOK_SWEEP_PATH, Some(&asked))?;
        if swept.repositories.iter().all(ended) || Instant::now() >= until {
            break swept;
        }
        asked.number = Some(swept.number);
    };
    match format {
        Format::Json => print_json(&swept, out)?,
        Format::Text if swept.repositories.is_empty() => writeln!(out, "there is no repository to look at")?,
        Format::Text => {
            for one in &swept.repositories {
                writeln!(out, "{}: {}", one.name, found(one))?;
            }
        }
    }
    let unknown = swept.repositories.iter().any(|one| !one.looked_at || one.waits.is_some());
    let moved = swept.repositories.iter().any(|one| one.moved > 0);
    Ok(if unknown { 3 } else { u8::from(moved) })
}

fn ended(one: &SweptRepository) -> bool {
    one.looked_at || one.waits.is_some()
}

fn found(one: &SweptRepository) -> String {
    if let Some(why) = &one.waits {
        return format!("waits: {why}");
    }
    if !one.looked_at {
        return "not looked at yet".to_owned();
    }
    let refs = if one.moved == 1 { "ref has" } else { "refs have" };
    match (one.moved, one.judged_in_seconds) {
        (0, _) => "all is where it was judged last".to_owned(),
        (moved, None) => format!("{moved} {refs} moved, and was judged now"),
        (moved, Some(wait)) => {
            format!("{moved} {refs} moved; what nobody has told of is judged in {wait} s")
        }
    }
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
