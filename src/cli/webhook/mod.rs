//! `countersign webhook`: forges that tell of pushes, and what they are told.

mod add;
mod deliveries;
mod list;
mod status;
mod tend;

pub use add::AddArgs;
pub use deliveries::{DeliveriesArgs, DeliveryState};
pub use list::ListArgs;
pub use status::StatusArgs;
pub use tend::{RedeliverArgs, SweepArgs, TestArgs};

use super::common::{CliError, Format};
use crate::config::{self, Config};
use crate::service::keyring_live::{Daemon, Unreachable};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Write;
use std::path::Path;

/// What to do with webhooks.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum WebhookCommand {
    /// Make the webhook at the forge, or say what to enter there.
    Add(AddArgs),
    /// List sources and their repositories, as the configuration and the record have them.
    List(ListArgs),
    /// Ask the running daemon how its webhooks fare, and what forges did not take.
    Status(StatusArgs),
    /// List deliveries, newest first, and what came of them.
    Deliveries(DeliveriesArgs),
    /// Have a delivery looked at once more, or have the forge send what did not arrive.
    Redeliver(RedeliverArgs),
    /// Have repositories looked at now, as if it were time for it, and say what was found.
    Sweep(SweepArgs),
    /// Send the daemon a signed sample over its own listener, and say what comes back.
    Test(TestArgs),
}

/// Runs `countersign webhook ...`; gives the exit code.
///
/// # Errors
/// Code 2 where the configuration does not load, or has no such source or repository; 3 where the daemon cannot be
/// reached, or nobody can tell.
pub fn run(
    command: &WebhookCommand,
    config_path: &Path,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let config = config::load(config_path).map_err(|e| CliError::usage(e.to_string()))?.config;
    match command {
        WebhookCommand::Add(args) => add::run(args, &config, format, out),
        WebhookCommand::List(_) => list::run(&config, format, out),
        WebhookCommand::Status(args) => status::run(args, &config, format, out),
        WebhookCommand::Deliveries(args) => deliveries::run(args, &config, format, out),
        WebhookCommand::Redeliver(args) => tend::redeliver(args, &config, format, out),
        WebhookCommand::Sweep(args) => tend::sweep(args, &config, format, out),
        WebhookCommand::Test(args) => tend::test(args, &config, format, out),
    }
}

/// Asks the daemon. What it refuses because of what was asked is an error of usage.
fn ask<T: DeserializeOwned>(
    config: &Config,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<T, CliError> {
    let body = body.map(serde_json::to_vec).transpose().map_err(|e| CliError::usage(e.to_string()))?;
    Daemon::of(config).webhooks(path, body.as_deref()).map_err(|error| match error {
        Unreachable::Refused { status: 404 | 422, why } => CliError::usage(format!("error: {why}")),
        Unreachable::Refused { status: 502 | 503, why } => {
            CliError { message: format!("error: {why}"), code: 3 }
        }
        error if error.is_absent() => {
            CliError { message: format!("error: no daemon runs, and this is its business: {error}"), code: 3 }
        }
        error => CliError { message: format!("error: {error}"), code: 3 },
    })
}

/// The source of that name.
fn source<'c>(config: &'c Config, name: &str) -> Result<&'c config::Source, CliError> {
    config.sources.iter().find(|source| source.name == name).ok_or_else(|| {
        let shown = crate::domain::text::escape_short(name.as_bytes(), 80);
        let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
        let help = match names.as_slice() {
            [] => "the configuration has none; see [[source]]".to_owned(),
            names => format!("there is {}", names.join(", ")),
        };
        CliError::usage(format!("error: no source is called `{shown}`\n  help: {help}"))
    })
}

fn print_json(value: &impl Serialize, out: &mut dyn Write) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(|e| CliError::usage(e.to_string()))?;
    writeln!(out, "{text}").map_err(CliError::output)
}
