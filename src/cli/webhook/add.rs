//! `countersign webhook add`.

use super::super::common::{CliError, Format};
use super::{ask, print_json, source};
use crate::config::Config;
use crate::service::webhook::{Register, Registered, WEBHOOK_REGISTER_PATH, hook_url, to_enter};
use serde_json::{Value, json};
use std::io::Write;

/// For which source, and which of its repositories.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
With [source.report] the running daemon makes the webhook by the forge's API; its token needs the
right to change webhooks for that. A webhook to the same address is changed and not made twice.
Without it, or with --print, this says what to enter at the forge. The secret itself is never shown.

Examples:
  countersign webhook add github
  countersign webhook add github --repository acme/infra --url https://gate.example.org
  countersign webhook add gitea --print

Exit codes: 0 made, changed, or printed; 1 the forge did not do it for some of the repositories; 2 usage
or configuration; 3 the daemon cannot be reached.")]
pub struct AddArgs {
    /// The source, as the configuration calls it
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Only for this repository of the source; may be repeated
    #[arg(long = "repository", value_name = "NAME")]
    pub repositories: Vec<String>,
    /// Where the forge reaches this gate [default: `link` of the source]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Only say what to enter at the forge
    #[arg(long)]
    pub print: bool,
}

pub(super) fn run(
    args: &AddArgs,
    config: &Config,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let source = source(config, &args.source)?;
    let usage = |error: &dyn std::fmt::Display| CliError::usage(format!("error: {error}"));
    let names: Vec<&str> = if args.repositories.is_empty() {
        source.repositories.iter().map(|one| one.name.as_str()).collect()
    } else {
        let find = |name: &String| {
            let found = source.repository(name).map(|one| one.name.as_str());
            let shown = crate::domain::text::escape_short(name.as_bytes(), 80);
            found.ok_or_else(|| usage(&format!("source `{}` has no repository `{shown}`", source.name)))
        };
        args.repositories.iter().map(find).collect::<Result<_, _>>()?
    };
    hook_url(source, args.url.as_deref()).map_err(|error| usage(&error))?;
    if args.print || source.report.is_none() {
        let enter = to_enter(source, args.url.as_deref()).map_err(|error| usage(&error))?;
        if format == Format::Json {
            print_json(&json!({ "source": source.name, "repositories": names, "enter": enter }), out)?;
            return Ok(0);
        }
        writeln!(out, "At the forge, for {}: {}", names.join(", "), enter.page)?;
        writeln!(out, "  URL:           {}", enter.url)?;
        writeln!(out, "  Content type:  {}", enter.content_type)?;
        writeln!(out, "  {:<14} what stands in {}", format!("{}:", enter.secret_field), enter.secret)?;
        writeln!(out, "  Events:        {}", enter.events.join(", "))?;
        writeln!(out, "Then `countersign webhook test {}` shows whether the daemon takes it.", source.name)?;
        return Ok(0);
    }
    let mut done: Vec<Value> = Vec::new();
    let mut failed = false;
    for name in names {
        let asked =
            Register { source: source.name.clone(), repository: name.to_owned(), url: args.url.clone() };
        let answer: Result<Registered, CliError> = ask(config, WEBHOOK_REGISTER_PATH, Some(&asked));
        match answer {
            Ok(made) => {
                let what = if made.created { "made" } else { "changed" };
                if format == Format::Text {
                    writeln!(out, "{name}: {what}, webhook {} to {}", made.id, made.url)?;
                }
                done.push(json!({ "repository": name, "result": what, "id": made.id, "url": made.url }));
            }
            // What the forge says of one repository says nothing of the next.
            Err(error) if error.message.contains("no daemon runs") || error.code == 2 => return Err(error),
            Err(error) => {
                failed = true;
                if format == Format::Text {
                    writeln!(out, "{name}: not made: {}", error.message.trim_start_matches("error: "))?;
                }
                done.push(json!({ "repository": name, "result": "failed", "why": error.message }));
            }
        }
    }
    if format == Format::Json {
        print_json(&json!({ "source": source.name, "repositories": done }), out)?;
    }
    Ok(u8::from(failed))
}
