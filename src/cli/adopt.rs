//! `countersign adopt`.

use super::{CliError, Format};
use crate::config::{self, Config};
use crate::service::{self, Adoption};
use crate::store::{self, Store};
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Arguments of `adopt`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Commits that are in the repository now count as judged for the listed refs, whoever made them.\n\
                        Look at them first. The adoption is written into the audit log.\n\n\
                        Example: countersign adopt /srv/git/infra/app.git"
)]
pub struct AdoptArgs {
    /// A repository below the configured root, with the hooks installed
    #[arg(value_name = "REPO")]
    repository: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Only for this ruleset
    #[arg(long, value_name = "NAME")]
    ruleset: Option<String>,
}

/// Lists the tips, asks, and adopts them.
pub fn run(
    args: &AdoptArgs,
    config_path: &Path,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let config = config::load(config_path).map_err(|e| CliError::usage(e.to_string()))?.config;
    let undecided = |e: &dyn std::fmt::Display| CliError { message: format!("error: {e}"), code: 3 };
    let store = Store::open(&config.daemon.state, store::Mode::ReadWrite).map_err(|e| undecided(&e))?;
    let who = who();
    let rolled_back = store.rolled_back();
    let (name, mut listed) =
        service::adoptions(&config, &store, &args.repository).map_err(|e| undecided(&e))?;
    if let Some(only) = &args.ruleset {
        if !config.policy.rulesets.iter().any(|set| set.name == *only) {
            return Err(CliError::usage(format!("error: there is no ruleset `{only}`")));
        }
        listed.retain(|adoption| adoption.ruleset == *only);
    }
    if format == Format::Text {
        print(out, &name, &listed, rolled_back.as_deref()).map_err(CliError::output)?;
    }
    if listed.is_empty() && rolled_back.is_none() {
        if format == Format::Json {
            writeln!(out, "{}", json(&name, &listed, 0)).map_err(CliError::output)?;
        }
        return Ok(0);
    }
    if !args.yes && !confirmed(out).map_err(CliError::output)? {
        return Err(CliError { message: "nothing was adopted".to_owned(), code: 1 });
    }
    if rolled_back.is_some() {
        store.adopt_rollback(&who).map_err(|e| undecided(&e))?;
    }
    let count =
        service::adopt(&config, &store, &args.repository, &listed, &who).map_err(|e| undecided(&e))?;
    match format {
        Format::Json => writeln!(out, "{}", json(&name, &listed, count)),
        Format::Text => writeln!(out, "adopted: {count} commits are trusted now"),
    }
    .map_err(CliError::output)?;
    Ok(0)
}

/// A hint after `install`, where history stands on covered refs and nobody vouched for it.
pub(super) fn needs_adoption(config: &Config, repository: &Path) -> Option<String> {
    let path = repository.display();
    let hint = || {
        Some(format!("if it has history on protected refs, look at it and run `countersign adopt {path}`"))
    };
    let Ok(store) = Store::open(&config.daemon.state, store::Mode::ReadOnly) else { return hint() };
    let Ok((_, listed)) = service::adoptions(config, &store, repository) else { return hint() };
    let missing: Vec<&str> =
        listed.iter().filter(|one| !one.has_record).map(|one| one.ruleset.as_str()).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "it has history on refs that {} covers: look at it, then run `countersign adopt {path}`; \
             until then pushes to them are undecided",
            missing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        )
    })
}

fn print(
    out: &mut dyn Write,
    name: &str,
    listed: &[Adoption],
    rolled_back: Option<&str>,
) -> std::io::Result<()> {
    if let Some(why) = rolled_back {
        writeln!(out, "The record was rolled back: {why}")?;
        writeln!(out, "Adopting accepts the record as it is now.")?;
    }
    if listed.is_empty() {
        return writeln!(
            out,
            "{name}: no ruleset that judges commits covers a ref with history; nothing to adopt"
        );
    }
    for adoption in listed {
        let again = if adoption.has_record { " (has a record already; this adds to it)" } else { "" };
        writeln!(out, "{name}: ruleset `{}`{again}", adoption.ruleset)?;
        for (reference, id) in &adoption.tips {
            writeln!(out, "  {id} {reference}")?;
        }
    }
    Ok(())
}

fn json(name: &str, listed: &[Adoption], commits: u64) -> serde_json::Value {
    let rulesets: Vec<_> = listed
        .iter()
        .map(|adoption| {
            let tips: Vec<_> = adoption
                .tips
                .iter()
                .map(|(reference, id)| serde_json::json!({ "ref": reference.to_string(), "commit": id.to_string() }))
                .collect();
            serde_json::json!({ "ruleset": adoption.ruleset, "tips": tips })
        })
        .collect();
    serde_json::json!({ "repository": name, "adopted": rulesets, "commits": commits })
}

fn confirmed(out: &mut dyn Write) -> std::io::Result<bool> {
    if !std::io::stdin().is_terminal() {
        writeln!(out, "not a terminal: say --yes to adopt without being asked")?;
        return Ok(false);
    }
    write!(out, "Trust everything that these tips reach? [y/N] ")?;
    out.flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// Who runs this, for the audit log: the account, and who became it.
fn who() -> String {
    let uid = rustix::process::getuid().as_raw();
    let login = std::env::var("SUDO_USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    let login = crate::domain::text::escape_short(login.as_bytes(), 64);
    if login.is_empty() { format!("uid {uid}") } else { format!("uid {uid} ({login})") }
}
