//! `countersign taint`.

use super::adopt::{confirmed, who};
use super::{CliError, Format};
use crate::domain::{ObjectId, text};
use crate::service::{self, Acceptable, Snapshot, TaintError, TaintedKey, TaintedRepository, Which};
use crate::store::{Mode, Store};
use clap::Subcommand;
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// What to do about what compromised keys left behind.
#[derive(Subcommand, Debug)]
pub enum TaintCommand {
    /// List the repositories, refs and commits that compromised keys tainted
    List(ListArgs),
    /// Decide to let tainted commits stand; written into the audit log, and for good
    Accept(AcceptArgs),
}

/// Which repositories.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Tainted commits stay where they are: on their own ref they count as judged, on others they are\n\
                        judged again and refused. What was adopted was never judged, so its signers are not on record:\n\
                        `countersign check --history` names the tainted commits there. Exit code 1 if there are any.\n\n\
                        Example: countersign taint list --repository infra/app"
)]
pub struct ListArgs {
    /// Only of this repository, by its name below the root or by its id
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
}

/// Which commits, and why.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "From then on the commits count as judged for every ref, and are not listed any more. Nothing takes\n\
                        this back, a further compromise of the key included. The keyring still refuses what the key signs anew.\n\n\
                        Example: countersign taint accept --repository infra/app --key SHA256:... --reason \"reviewed, SEC-7\""
)]
pub struct AcceptArgs {
    /// The repository, by its name below the root or by its id
    #[arg(long, value_name = "NAME")]
    repository: String,
    /// These commits, by their full ids
    #[arg(long = "commit", value_name = "ID", num_args = 1.., required_unless_present = "key")]
    commits: Vec<String>,
    /// All on record that this compromised key signed, by its fingerprint
    #[arg(long, value_name = "FINGERPRINT", conflicts_with = "commits")]
    key: Option<String>,
    /// Why they may stand, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Runs the subcommand.
pub fn run(
    command: &TaintCommand,
    config: &Path,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let (snapshot, _) = Snapshot::load(config).map_err(CliError::usage)?;
    let mode = match command {
        TaintCommand::List(_) => Mode::ReadOnly,
        TaintCommand::Accept(_) => Mode::ReadWrite,
    };
    let state = &snapshot.config.daemon.state;
    let store = Store::open(state, mode).map_err(|e| failed(&e.into()))?;
    match command {
        TaintCommand::List(args) => list(args, &snapshot, &store, format, out),
        TaintCommand::Accept(args) => accept(args, &snapshot, &store, format, out),
    }
}

/// A name that stands for nothing is a matter of usage; everything else is nobody's verdict.
fn failed(error: &TaintError) -> CliError {
    let code = match error {
        TaintError::Repository(_) | TaintError::NotTainted(_) => 2,
        TaintError::Store(_) | TaintError::History(_) | TaintError::Git(_) => 3,
    };
    CliError { message: format!("error: {error}"), code }
}

fn list(
    args: &ListArgs,
    snapshot: &Snapshot,
    store: &Store,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let found = service::tainted(snapshot, store, args.repository.as_deref()).map_err(|e| failed(&e))?;
    match format {
        Format::Json => {
            let repositories: Vec<_> = found.iter().map(repository_json).collect();
            writeln!(out, "{:#}", json!({ "repositories": repositories }))
        }
        Format::Text if found.is_empty() => writeln!(out, "nothing on record is tainted"),
        Format::Text => found.iter().try_for_each(|one| print(out, one)),
    }
    .map_err(CliError::output)?;
    Ok(u8::from(!found.is_empty()))
}

fn repository_json(found: &TaintedRepository) -> serde_json::Value {
    let key = |key: &TaintedKey| {
        let commits: Vec<_> = key
            .commits
            .iter()
            .map(|one| {
                let refs: Vec<_> = one.refs.iter().map(ToString::to_string).collect();
                json!({ "commit": one.commit.to_string(), "received": one.received.to_string(), "through": refs })
            })
            .collect();
        let refs = key.refs.as_ref().map(|refs| refs.iter().map(ToString::to_string).collect::<Vec<_>>());
        json!({
            "key": key.key, "principal": key.principal, "since": key.since.map(|at| at.to_string()),
            "learned": key.learned.map(|at| at.to_string()), "refs": refs, "commits": commits,
        })
    };
    json!({
        "repository": found.name, "id": found.id.0, "unreadable": found.unreadable,
        "keys": found.keys.iter().map(key).collect::<Vec<_>>(),
    })
}

fn print(out: &mut dyn Write, found: &TaintedRepository) -> std::io::Result<()> {
    writeln!(out, "{}", text::escape(found.name.as_bytes()))?;
    if let Some(why) = &found.unreadable {
        writeln!(out, "  its refs cannot be read: {why}")?;
    }
    for key in &found.keys {
        let since = key.since.map_or_else(|| "always".to_owned(), |at| format!("{at}"));
        let learned = key.learned.map_or_else(String::new, |at| format!(", learned {at}"));
        writeln!(out, "  key {} of {}, compromised since {since}{learned}", key.key, key.owner)?;
        match key.refs.as_deref() {
            None => {}
            Some([]) => writeln!(out, "    no ref reaches them now")?,
            Some(refs) => refs.iter().try_for_each(|name| writeln!(out, "    ref {name}"))?,
        }
        for one in &key.commits {
            let through: Vec<_> = one.refs.iter().map(ToString::to_string).collect();
            let through = if through.is_empty() { "a base".to_owned() } else { through.join(", ") };
            writeln!(out, "    {} received {:.0} through {through}", one.commit, one.received)?;
        }
    }
    Ok(())
}

fn accept(
    args: &AcceptArgs,
    snapshot: &Snapshot,
    store: &Store,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    if args.reason.trim().is_empty() {
        return Err(CliError::usage("error: --reason is empty: say why the commits may stand"));
    }
    let commits = args
        .commits
        .iter()
        .map(|id| {
            ObjectId::parse(id.as_bytes()).map_err(|e| CliError::usage(format!("error: --commit {id}: {e}")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let which = args.key.as_deref().map_or(Which::Commits(&commits), Which::Key);
    let meant = service::acceptable(snapshot, store, &args.repository, which).map_err(|e| failed(&e))?;
    let Acceptable { name, commits, keys, .. } = &meant;
    if format == Format::Text {
        let mut show = || {
            writeln!(out, "{}: tainted by {}", text::escape(name.as_bytes()), keys.join(", "))?;
            commits.iter().try_for_each(|id| writeln!(out, "  {id}"))
        };
        show().map_err(CliError::output)?;
    }
    let question = "Let these commits stand, for every ref and for good?";
    if !args.yes && !confirmed(out, question).map_err(CliError::output)? {
        return Err(CliError { message: "nothing was accepted".to_owned(), code: 1 });
    }
    let count = service::accept_taint(store, &meant, &args.reason, &who()).map_err(|e| failed(&e))?;
    match format {
        Format::Json => {
            let ids: Vec<_> = commits.iter().map(ObjectId::to_string).collect();
            writeln!(
                out,
                "{}",
                json!({ "repository": name, "keys": keys, "commits": ids, "accepted": count })
            )
        }
        Format::Text => writeln!(out, "accepted: {count} commits stand"),
    }
    .map_err(CliError::output)?;
    Ok(0)
}
