//! `countersign adopt`.

use super::{CliError, Format};
use crate::config::{self, Config};
use crate::domain::RefName;
use crate::keyring::Keyring;
use crate::service::webhook::{ForgeAdoption, adopt_forge, forge_adoption};
use crate::service::{self, Adopter, Adoption, Evidence};
use crate::store::{self, Store};
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Arguments of `adopt`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Commits that are in the repository now count as judged for the listed refs, whoever made them.\n\
                        Look at them first. The adoption is written into the audit log.\n\n\
                        Examples: countersign adopt /srv/git/infra/app.git\n          \
                        countersign --format json check --history --repo /srv/git/infra/app.git --ref refs/heads/main > main.jsonl\n          \
                        countersign adopt /srv/git/infra/app.git --evidence main.jsonl\n          \
                        countersign adopt github/acme/infra"
)]
pub struct AdoptArgs {
    /// A repository below the configured root, with the hooks installed; or one of a `[[source]]`, by its name
    /// SOURCE/PATH
    #[arg(value_name = "REPO")]
    repository: PathBuf,
    /// For a repository of a source: what its forge has now, and not what was judged last or seen first
    #[arg(long)]
    anew: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Only for this ruleset
    #[arg(long, value_name = "NAME")]
    ruleset: Option<String>,
    /// What `check --history --format json` said about a tip; refused if it is about anything else
    #[arg(long, value_name = "FILE")]
    evidence: Vec<PathBuf>,
}

/// Most files of evidence: their summaries must fit into one record.
const MAX_EVIDENCE: usize = 32;

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
    let clock = store.clock_behind().map_err(|e| undecided(&e))?;
    let stop = AtomicBool::new(false);
    let of_forge = match args.repository.to_str() {
        Some(name) => forge_adoption(&config, &store, name, args.anew, &stop).map_err(|e| undecided(&e))?,
        None => None,
    };
    if args.anew && of_forge.is_none() {
        return Err(CliError::usage("error: `--anew` is for a repository of a `[[source]]`"));
    }
    let (name, mut listed) = match &of_forge {
        Some(adoption) => (adoption.name.clone(), adoption.rulesets.clone()),
        None => service::adoptions(&config, &store, &args.repository).map_err(|e| undecided(&e))?,
    };
    if let Some(only) = &args.ruleset {
        if !config.policy.rulesets.iter().any(|set| set.name == *only) {
            return Err(CliError::usage(format!("error: there is no ruleset `{only}`")));
        }
        listed.retain(|adoption| adoption.ruleset == *only);
    }
    let (evidence, keyring) = evidence(args, &config, &name, &listed)?;
    if format == Format::Text {
        if let Some(why) = &clock {
            let said = writeln!(
                out,
                "The log's clock has run backwards: {why}.\nAdopting says that the clock is right now."
            );
            said.map_err(CliError::output)?;
        }
        if let Some(adoption) = &of_forge {
            print_watched(out, adoption).map_err(CliError::output)?;
        }
        print(out, &name, &listed, rolled_back.as_deref()).map_err(CliError::output)?;
        evidence.iter().try_for_each(|one| show(out, one, &keyring)).map_err(CliError::output)?;
    }
    if listed.is_empty() && of_forge.is_none() && rolled_back.is_none() && clock.is_none() {
        if format == Format::Json {
            writeln!(out, "{}", json(&name, &listed, 0)).map_err(CliError::output)?;
        }
        return Ok(0);
    }
    if !args.yes && !confirmed(out, "Trust everything that these tips reach?").map_err(CliError::output)? {
        return Err(CliError { message: "nothing was adopted".to_owned(), code: 1 });
    }
    if clock.is_some() {
        store.adopt_clock(&who).map_err(|e| undecided(&e))?;
    }
    if rolled_back.is_some() {
        store.adopt_rollback(&who).map_err(|e| undecided(&e))?;
    }
    let by = Adopter { who: &who, evidence: &evidence, keyring: &keyring };
    let count = match of_forge {
        Some(mut adoption) => {
            adoption.rulesets.clone_from(&listed);
            adopt_forge(&store, &adoption, by, &stop).map_err(|e| undecided(&e))?.commits
        }
        None => service::adopt(&config, &store, &args.repository, &listed, by).map_err(|e| undecided(&e))?,
    };
    match format {
        Format::Json => writeln!(out, "{}", json(&name, &listed, count)),
        Format::Text => writeln!(out, "adopted: {count} commits are trusted now"),
    }
    .map_err(CliError::output)?;
    Ok(0)
}

/// The reports that were named, each about one of the tips, and the digest of the keyring in force.
fn evidence(
    args: &AdoptArgs,
    config: &Config,
    name: &str,
    listed: &[Adoption],
) -> Result<(Vec<Evidence>, String), CliError> {
    if args.evidence.is_empty() {
        return Ok((Vec::new(), String::new()));
    }
    let usage = |why: &dyn std::fmt::Display| CliError::usage(format!("error: {why}; nothing was adopted"));
    if args.evidence.len() > MAX_EVIDENCE {
        return Err(usage(&format!("at most {MAX_EVIDENCE} files of evidence at once")));
    }
    let keyring = Keyring::load(&config.keyring).map_err(|e| usage(&e))?.keyring;
    let mut out: Vec<Evidence> = Vec::new();
    for path in &args.evidence {
        let one = Evidence::read(path).map_err(|e| usage(&e))?;
        one.check(name, listed).map_err(|e| usage(&e))?;
        if out.iter().any(|before| before.reference == one.reference) {
            return Err(usage(&format!("two files of evidence are about {}", one.reference)));
        }
        out.push(one);
    }
    Ok((out, keyring.digest().to_owned()))
}

fn show(out: &mut dyn Write, evidence: &Evidence, keyring: &str) -> std::io::Result<()> {
    let counts: Vec<_> =
        evidence.statuses.iter().map(|(status, count)| format!("{count} {status}")).collect();
    writeln!(out, "evidence about {}: {}", evidence.reference, counts.join(", "))?;
    if evidence.keyring != keyring {
        writeln!(out, "  it was judged by another keyring than the one in force now")?;
    }
    Ok(())
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

fn print_watched(out: &mut dyn Write, adoption: &ForgeAdoption) -> std::io::Result<()> {
    let count = adoption.tips.len();
    match adoption.watched {
        true => writeln!(out, "{}: is judged; {count} refs stand where they were judged last", adoption.name),
        false => writeln!(out, "{}: from now on {count} refs are judged when they move", adoption.name),
    }?;
    // Those of rulesets are listed with them.
    let trusted =
        |name: &RefName| adoption.rulesets.iter().any(|set| set.tips.iter().any(|(of, _)| of == name));
    for (name, id) in adoption.tips.iter().filter(|(name, _)| !trusted(name)) {
        writeln!(out, "  {id} {name}")?;
    }
    for (name, refused_by) in &adoption.unsound {
        writeln!(
            out,
            "  {name}: its last move was refused as decision {refused_by}; adopted, it counts as sound"
        )?;
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

pub(super) fn confirmed(out: &mut dyn Write, question: &str) -> std::io::Result<bool> {
    if !std::io::stdin().is_terminal() {
        writeln!(out, "not a terminal: say --yes to go on without being asked")?;
        return Ok(false);
    }
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// Who runs this, for the audit log: the account, and who became it.
pub(super) fn who() -> String {
    let uid = rustix::process::getuid().as_raw();
    let login = std::env::var("SUDO_USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    let login = crate::domain::text::escape_short(login.as_bytes(), 64);
    if login.is_empty() { format!("uid {uid}") } else { format!("uid {uid} ({login})") }
}
