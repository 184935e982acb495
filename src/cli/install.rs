//! `countersign install` and `countersign uninstall`.

use super::{CliError, Format};
use crate::config;
use crate::service::{Done, InstallError, InstallMode, install as put_in, uninstall as take_out};
use crate::store::{self, Store};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Arguments of `install`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Doing it again is harmless. Hooks that are there already are kept as `<hook>.chained` and run\n\
                        first. A repository that has history on protected refs also needs `countersign adopt`.\n\n\
                        Example: countersign install /srv/git/infra/*.git"
)]
pub struct InstallArgs {
    /// Bare repositories below the configured root
    #[arg(required = true, value_name = "REPO")]
    repositories: Vec<PathBuf>,
    /// Decide in the hook's own process, for hosts where no daemon can run
    #[arg(long)]
    standalone: bool,
    /// The uid that the daemon runs as [default: the owner of the state directory]
    #[arg(long, value_name = "UID", conflicts_with = "standalone")]
    server_uid: Option<u32>,
    /// The hook client [default: `countersign-hook` beside this program]
    #[arg(long, value_name = "PATH", conflicts_with = "standalone")]
    hook_client: Option<PathBuf>,
}

/// Arguments of `uninstall`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: countersign uninstall /srv/git/infra/app.git")]
pub struct UninstallArgs {
    /// Repositories
    #[arg(required = true, value_name = "REPO")]
    repositories: Vec<PathBuf>,
}

/// How much longer than the daemon's own deadline the hook waits.
const MARGIN: Duration = Duration::from_secs(10);

/// Installs into every repository; goes on after a failure and ends with 2 if there was one.
pub fn install(
    args: &InstallArgs,
    config_path: &Path,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let config = config::load(config_path).map_err(|e| CliError::usage(e.to_string()))?.config;
    let program = std::env::current_exe().map_err(|e| CliError::usage(format!("error: {e}")))?;
    let mode = if args.standalone {
        if config.keyring_source.is_some() {
            let why = "error: [keyring.source] needs the daemon: a hook that decides by itself looks at no ref afterwards";
            return Err(CliError::usage(why));
        }
        // The hook itself never makes state: one that is gone must be noticed.
        Store::open(&config.daemon.state, store::Mode::ReadWrite)
            .map_err(|e| CliError::usage(format!("error: {e}")))?;
        InstallMode::Standalone { program, config: config.source.clone() }
    } else {
        let client = match &args.hook_client {
            Some(path) => {
                path.canonicalize().map_err(|e| CliError::usage(format!("error: {}: {e}", path.display())))?
            }
            None => program.with_file_name("countersign-hook"),
        };
        if !client.is_file() {
            let text =
                format!("error: there is no hook client at {}; name it with --hook-client", client.display());
            return Err(CliError::usage(text));
        }
        let server_uid = match args.server_uid {
            Some(uid) => uid,
            None => std::fs::metadata(&config.daemon.state).map(|seen| seen.uid()).map_err(|e| {
                let state = config.daemon.state.display();
                CliError::usage(format!(
                    "error: {state}: {e}; start the daemon once, or say which account it runs as with --server-uid"
                ))
            })?,
        };
        InstallMode::Daemon {
            client,
            socket: config.daemon.socket.clone(),
            server_uid,
            timeout: config.daemon.deadline + MARGIN,
        }
    };
    let mut failed = false;
    for path in &args.repositories {
        let outcome = put_in(path, &config.repositories.root, &mode);
        let note =
            outcome.as_ref().ok().and_then(|done| super::adopt::needs_adoption(&config, &done.repository));
        failed |= outcome.is_err();
        match (format, outcome) {
            (Format::Json, outcome) => writeln!(out, "{}", json("installed", path, outcome, note)),
            (Format::Text, Ok(done)) => {
                writeln!(out, "{}: installed {}", done.repository.display(), done.hooks.join(" and "))
                    .map_err(CliError::output)?;
                let chained = done.chained.iter().map(|hook| format!("runs first: {}", hook.display()));
                chained.chain(note).try_for_each(|line| writeln!(out, "  {line}"))
            }
            (Format::Text, Err(error)) => writeln!(out, "error: {}: {error}", path.display()),
        }
        .map_err(CliError::output)?;
    }
    Ok(if failed { 2 } else { 0 })
}

/// Uninstalls from every repository.
pub fn uninstall(args: &UninstallArgs, format: Format, out: &mut dyn Write) -> Result<u8, CliError> {
    let mut failed = false;
    for path in &args.repositories {
        let outcome = take_out(path);
        failed |= outcome.is_err();
        match (format, outcome) {
            (Format::Json, outcome) => writeln!(out, "{}", json("removed", path, outcome, None)),
            (Format::Text, Ok(done)) if done.hooks.is_empty() => {
                writeln!(out, "{}: nothing of ours is installed", done.repository.display())
            }
            (Format::Text, Ok(done)) => {
                writeln!(out, "{}: removed {}", done.repository.display(), done.hooks.join(" and "))
                    .map_err(CliError::output)?;
                done.chained.iter().try_for_each(|hook| writeln!(out, "  put back: {}", hook.display()))
            }
            (Format::Text, Err(error)) => writeln!(out, "error: {}: {error}", path.display()),
        }
        .map_err(CliError::output)?;
    }
    Ok(if failed { 2 } else { 0 })
}

/// One line of JSON for each repository.
fn json(
    word: &str,
    path: &Path,
    outcome: Result<Done, InstallError>,
    note: Option<String>,
) -> serde_json::Value {
    match outcome {
        Ok(done) => serde_json::json!({
            "repository": done.repository.display().to_string(), word: done.hooks, "note": note,
            "chained": done.chained.iter().map(|hook| hook.display().to_string()).collect::<Vec<_>>(),
        }),
        Err(error) => {
            serde_json::json!({ "repository": path.display().to_string(), "error": error.to_string() })
        }
    }
}
