//! `countersign bypass`: who may break which rules.

use super::common::write_table;
use super::{CliError, Format, policy};
use crate::domain::Timestamp;
use crate::service::{EffectiveBypass, Snapshot, bypasses};
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// Subcommands of `bypass`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum BypassCommand {
    /// List all bypasses: whom they are for, what shows that it is them, of which rules, until when
    List(ListArgs),
}

/// Arguments of `bypass list`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Those that have expired or expire first come first. An expired one does nothing, and loading warns of it.
What was really waived is in the audit log: `countersign audit log`.

Examples:
  countersign bypass list
  countersign bypass list --repo infra/app
  countersign bypass list --expiring 14 --format json | jq '.bypasses[] | .place'

Exits 0 whatever it finds, 2 when the configuration does not load.")]
pub struct ListArgs {
    /// Only those of rulesets that are for this repository, by its name below the root
    #[arg(long, value_name = "NAME")]
    repo: Option<String>,
    /// Only those that are active and expire within so many days
    #[arg(long, value_name = "DAYS")]
    expiring: Option<u32>,
}

/// Runs `countersign bypass`; gives the exit code.
pub fn run(
    command: &BypassCommand,
    config: &Path,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let BypassCommand::List(args) = command;
    let (snapshot, _) = Snapshot::load(config).map_err(CliError::usage)?;
    let now = Timestamp::now();
    let mut all = bypasses(&snapshot, args.repo.as_deref(), now);
    if let Some(days) = args.expiring {
        let soon = i64::from(days) * 86_400;
        all.retain(|one| one.state == "active" && one.seconds_left.is_some_and(|left| left <= soon));
    }
    // Nobody knows what the rulesets of a faulty tenant would let through.
    let concerned = |tenant: &&crate::config::TenantFiles| {
        !tenant.faults.is_empty() && args.repo.as_ref().is_none_or(|name| tenant.tenant.has(name))
    };
    let faulty: Vec<&str> =
        snapshot.config.tenants.iter().filter(concerned).map(|one| one.tenant.name.as_str()).collect();
    match format {
        Format::Json => {
            let document = json!({ "now": now.to_string(), "bypasses": all, "faulty_tenants": faulty });
            writeln!(out, "{document:#}")?;
        }
        Format::Text => {
            print(out, &all)?;
            for name in faulty {
                writeln!(out, "the files of tenant `{name}` cannot be used: what they say is not listed")?;
            }
        }
    }
    Ok(0)
}

fn print(out: &mut dyn Write, all: &[EffectiveBypass]) -> std::io::Result<()> {
    if all.is_empty() {
        return writeln!(out, "no bypass");
    }
    let header = ["STATE", "RULESET", "WHO", "PROOF", "RULES", "REFS", "EXPIRES", "PLACE"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for one in all {
        let refs =
            one.refs.as_ref().map_or_else(|| "all of the ruleset's".to_owned(), |refs| refs.join(", "));
        rows.push(vec![
            one.state.to_owned(),
            one.ruleset.clone(),
            one.who.join(", "),
            one.proof.to_owned(),
            one.rules.join(", "),
            refs,
            expires(one),
            one.place.clone().unwrap_or_default(),
        ]);
    }
    write_table(out, &rows)?;
    for one in all {
        let members =
            if one.members.is_empty() { "nobody of the keyring".to_owned() } else { one.members.join(", ") };
        let ask = if one.ask { "; has to be asked for" } else { "" };
        writeln!(out, "\n{} for {}: {}", one.ruleset, one.rules.join(", "), one.reason)?;
        writeln!(out, "  {members}, {}{ask}", policy::proof(one.proof))?;
    }
    Ok(())
}

fn expires(one: &EffectiveBypass) -> String {
    const DAY: i64 = 86_400;
    match (&one.expires, one.seconds_left) {
        (Some(time), Some(left)) if left > 0 && left < 2 * DAY => format!("{time} (in {} h)", left / 3600),
        (Some(time), Some(left)) if left > 0 => format!("{time} (in {} days)", left / DAY),
        (Some(time), _) => time.clone(),
        (None, _) => "never".to_owned(),
    }
}
