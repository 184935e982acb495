//! `countersign keyring source`.

use super::super::common::{CliError, Format};
use super::print_json;
use crate::service::SourceStatus;
use crate::service::keyring_live::{Daemon, Unreachable};
use std::io::{self, Write};
use std::path::Path;

/// What to do about the ref that the keyring follows.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign keyring source show
  countersign keyring source show --format json | jq '.source.fault'
  git clone /srv/git/infra/trust.git && cd trust
  countersign keyring --keyring keyring add bob --group admins --key bob.pub
  countersign keyring check --keyring keyring
  git add keyring && git commit -S -m 'bob joins' && git push

The keyring, and rulesets with it, come from a branch of a repository that this gate guards, where
[keyring.source] of the configuration says so. A push there counts a second or two after it was
applied, if everything since the state before is signed by the groups in `signers`.

Exits 0 when it is followed or accepted, 1 when it is not or cannot be, 2 where there is no such
source, 3 when the daemon cannot be reached.")]
pub struct SourceArgs {
    /// What to do.
    #[command(subcommand)]
    command: SourceCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum SourceCommand {
    /// Show what was taken over last, what the ref holds, and why that is not taken over.
    #[command(after_help = "Example:\n  countersign keyring source show")]
    Show,
    /// Declare what the ref holds to be the keyring: the first time, and after it was moved on the server.
    Accept(AcceptArgs),
}

/// What to accept.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  git --git-dir /srv/git/infra/trust.git log --show-signature refs/heads/main
  countersign keyring source accept 3f786850e387550fdab836ed7e6dc881de23001b --reason 'first state, read by two'

The commit must be what the ref holds, and must load, as a keyring that has every revocation in force.
Nobody looks at its signatures: that is your part. It is on record who accepted it, and why. From then on what the gate lets in is taken over by
itself. Run it as root or as the daemon's account, with the daemon running.")]
struct AcceptArgs {
    /// The full id of the commit.
    commit: String,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(super) fn run(
    args: &SourceArgs,
    config: &Path,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let unreachable = |error: Unreachable| match error {
        Unreachable::Refused { status: 409, why } => CliError { message: format!("refused: {why}"), code: 1 },
        error => CliError { message: error.to_string(), code: 3 },
    };
    let daemon = Daemon::named_by(config).map_err(CliError::usage)?;
    let status = match &args.command {
        SourceCommand::Show => daemon.status(),
        SourceCommand::Accept(args) if args.reason.trim().is_empty() || args.reason.len() > 300 => {
            return Err(CliError::usage("a reason has 1 to 300 bytes"));
        }
        SourceCommand::Accept(args) => daemon.accept_source(&args.commit, &args.reason),
    };
    let status = status.map_err(unreachable)?;
    let Some(source) = status.source else {
        return Err(CliError::usage("the configuration in force has no [keyring.source]"));
    };
    match format {
        Format::Json => print_json(&serde_json::json!({ "source": source }), out)?,
        Format::Text => print(&source, out)?,
    }
    Ok(u8::from(source.fault.is_some()))
}

fn print(source: &SourceStatus, out: &mut dyn Write) -> io::Result<()> {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_owned());
    writeln!(out, "follows:       {} {} {}", source.repository, source.reference, source.path)?;
    if let Some(rulesets) = &source.rulesets {
        writeln!(out, "rulesets:      {rulesets}")?;
    }
    writeln!(out, "signed by:     {}", source.signers.join(", "))?;
    let at = source.taken_at.as_deref().map_or_else(String::new, |at| format!(", {at}"));
    writeln!(out, "taken over:    {}{at}", or_none(&source.commit))?;
    writeln!(out, "the ref holds: {}", or_none(&source.tip))?;
    told(source, out)
}

/// What is not as it should be.
pub(super) fn told(source: &SourceStatus, out: &mut dyn Write) -> io::Result<()> {
    if !source.changed_here.is_empty() {
        let names = source.changed_here.join(", ");
        writeln!(out, "changed here:  {names}; the next commit that is taken over overwrites it")?;
    }
    if let Some(why) = &source.fault {
        writeln!(out, "not followed:  {why}")?;
    }
    if !source.decides {
        writeln!(out, "               pushes are undecided until then, those to the ref itself aside")?;
    }
    Ok(())
}
