//! `countersign hook`: what git runs.

use super::CliError;
use crate::hook::{self, Failure, HookFile, HookKind};
use crate::service::Gate;
use clap::Subcommand;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The hooks.
#[derive(Subcommand, Debug)]
pub enum HookCommand {
    /// Decide about the push that git describes on standard input
    #[command(after_help = PRE_RECEIVE)]
    PreReceive(HookArgs),
    /// Report which refs of the push were applied
    #[command(after_help = POST_RECEIVE)]
    PostReceive(HookArgs),
}

const PRE_RECEIVE: &str =
    "`install` writes hook files that start a smaller program instead; this command is for servers
that want a command line, and for --standalone.

Example: countersign hook pre-receive --socket /run/countersign/hook.sock --server-uid 998";

const POST_RECEIVE: &str = "It goes beside pre-receive, with the same options. Without it the next push notes what became of this one.

Example: countersign hook post-receive --socket /run/countersign/hook.sock --server-uid 998";

/// How to reach a decision.
#[derive(clap::Args, Debug)]
pub struct HookArgs {
    /// Decide in this process, with the configuration that --config names; no daemon is asked
    #[arg(long, conflicts_with_all = ["socket", "server_uid"])]
    standalone: bool,
    /// The daemon's socket
    #[arg(long, value_name = "PATH", requires = "server_uid")]
    socket: Option<PathBuf>,
    /// The uid that the daemon must run as
    #[arg(long, value_name = "UID", requires = "socket")]
    server_uid: Option<u32>,
    /// How long to wait for the daemon, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,
    /// A hook to run first; if it refuses, so do we
    #[arg(long, value_name = "PATH")]
    chain: Option<PathBuf>,
}

/// Runs a hook. The configuration counts only if --config names it.
pub fn run(command: &HookCommand, config: Option<&Path>) -> Result<u8, CliError> {
    let (kind, args) = match command {
        HookCommand::PreReceive(args) => (HookKind::PreReceive, args),
        HookCommand::PostReceive(args) => (HookKind::PostReceive, args),
    };
    let usage = |text: &str| CliError::usage(format!("error: {text}"));
    let mut updates = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut updates);
    read.map_err(|e| usage(&format!("cannot read the list of updates: {e}")))?;
    match (args.standalone, &args.socket, args.server_uid) {
        (true, _, _) => {
            let config = config.ok_or_else(|| usage("--standalone needs --config FILE"))?;
            Ok(hook::run_hook(kind, args.chain.as_deref(), updates, |request| {
                let gate = Gate::standalone(config).map_err(|e| Failure::Environment(e.to_string()))?;
                let uid = rustix::process::geteuid().as_raw();
                let never = AtomicBool::new(false);
                // As in the daemon, a defect is an outage.
                let decide = std::panic::AssertUnwindSafe(|| match kind {
                    HookKind::PreReceive => gate.admit(request, uid, &never),
                    HookKind::PostReceive => gate.applied(request, uid, &never),
                });
                std::panic::catch_unwind(decide)
                    .map_err(|_| Failure::Environment("an internal error ended the decision".to_owned()))
            }))
        }
        (false, Some(socket), Some(server_uid)) => {
            let timeout = Duration::from_secs(u64::from(args.timeout));
            let file =
                HookFile { kind, socket: socket.clone(), server_uid, timeout, chain: args.chain.clone() };
            Ok(hook::run_hook(kind, args.chain.as_deref(), updates, |request| hook::ask(&file, request)))
        }
        _ => Err(usage("say --standalone, or --socket PATH --server-uid UID")),
    }
}
