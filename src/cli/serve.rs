//! `countersign serve`.

use super::CliError;
use crate::http;
use crate::service::Gate;
use crate::service::webhook::Workers;
use std::path::Path;
use std::sync::Arc;

/// Arguments of `serve`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "SIGTERM lets pushes in flight finish and ends. Changes of configuration and keyring are noticed\n\
                        within seconds; SIGHUP reads both at once. A bad one is reported and the last good one stays.\n\n\
                        Example: countersign --config /etc/countersign/countersign.toml serve"
)]
pub struct ServeArgs {
    /// Log lines as JSON objects
    #[arg(long)]
    log_json: bool,
}

/// Runs the daemon until it is told to stop.
pub fn run(args: &ServeArgs, config: &Path) -> Result<u8, CliError> {
    start_logging(args.log_json);
    let gate = Arc::new(Gate::start(config).map_err(|e| CliError::usage(e.to_string()))?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::usage(format!("error: cannot start: {e}")))?;
    // What forges told is judged by threads of its own, which end with what they are at: it stays queued.
    let workers = Workers::start(&gate).map_err(|e| CliError::usage(format!("error: cannot start: {e}")))?;
    let served = runtime.block_on(http::serve(gate));
    workers.stop();
    served.map_err(|e| CliError::usage(format!("error: {e}")))?;
    Ok(0)
}

fn start_logging(json: bool) {
    use std::io::IsTerminal;
    let level = tracing_subscriber::EnvFilter::try_from_env("COUNTERSIGN_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(level)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if json { builder.json().init() } else { builder.init() }
}
