//! `countersign keyring rename`, `remove` and `group`.

use super::super::common::{CliError, Format, write_table};
use super::apply::{Action, ChangeArgs, Ground};
use super::{load, print_json};
use crate::config::Naming;
use crate::domain::text;
use crate::keyring::{self, Membership};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Who gets another name.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  countersign keyring rename alice alice.smith --reason 'second alice'

While a ruleset names the old name, this is refused: write the new name beside it first, rename, and
take the old one out. What is on record keeps the name that it was written with.")]
pub struct RenameArgs {
    /// The name that there is.
    pub old: String,
    /// The new one: lower-case letters, digits, `.`, `_` and `-`.
    pub new: String,
    /// How.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// Who is removed for good.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  countersign keyring remove alice --reason 'left the company'

The file stays, as a gravestone: the name and the addresses, which are not given again, and the keys,
those that count as retired from now on. So records still say who it was, and what a compromised key
tainted is not forgotten. Groups and accounts go. Refused while a ruleset names the principal. To stop
somebody for a while, use `countersign keyring suspend`.")]
pub struct RemoveArgs {
    /// Who.
    pub name: String,
    /// Why; it stands in the file and in the audit log.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Show what would change in the file, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Edit here although the keyring follows a ref of a repository; needs a reason.
    #[arg(long)]
    pub local: bool,
}

/// What to do with groups.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign keyring group list
  countersign keyring group add sre alice bob --reason 'on call from March'
  countersign keyring group remove sre alice")]
pub struct GroupArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: GroupCommand,
}

/// What to do with groups.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum GroupCommand {
    /// Let principals join a group.
    #[command(after_help = "Example:\n  countersign keyring group add sre alice bob --dry-run")]
    Add(MembersArgs),
    /// Let principals leave a group.
    #[command(after_help = "Example:\n  countersign keyring group remove sre alice")]
    Remove(MembersArgs),
    /// List the groups, who is in them, and which rulesets name them.
    #[command(after_help = "Example:\n  countersign keyring group list --format json")]
    List,
}

/// Who joins or leaves.
#[derive(Clone, Debug, clap::Args)]
pub struct MembersArgs {
    /// The group.
    pub group: String,
    /// Who; all of them or none.
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// How.
    #[command(flatten)]
    pub change: ChangeArgs,
}

fn named(what: &str, namings: &[Naming], then: &str) -> CliError {
    let places: Vec<String> = namings.iter().map(|naming| format!("  {naming}")).collect();
    CliError { message: format!("{what} is named by\n{}\n{then}", places.join("\n")), code: 1 }
}

pub(super) fn rename(args: &RenameArgs, ground: &mut Ground<'_>) -> Result<u8, CliError> {
    let (old, new) = (&args.old, &args.new);
    // Who has both names loses nobody and lets nobody slip through in between.
    let namings = ground.namings(|naming| naming.names(old))?;
    let alone: Vec<Naming> = namings.iter().filter(|naming| !naming.names(new)).cloned().collect();
    if !alone.is_empty() {
        let then =
            format!("write `{}` beside it first, and take `{}` out afterwards", shown(new), shown(old));
        return Err(named(&format!("`{}`", shown(old)), &alone, &then));
    }
    let action = Action::of("rename", &args.change);
    let done = ground.change(action, |sources, options| keyring::rename(sources, old, new, options))?;
    let mut said = vec![match (done.files.is_empty(), args.change.dry_run) {
        (true, _) => format!("`{new}` is the name already; nothing to do"),
        (false, true) => format!("would rename `{old}` to `{new}`"),
        (false, false) => format!("renamed `{old}` to `{new}`"),
    }];
    said.extend(namings.iter().map(|naming| format!("take `{old}` out of {naming}")));
    let still: Vec<String> = namings.iter().map(ToString::to_string).collect();
    ground.report(action, &done, &said, json!({ "principal": new, "old": old, "still_named": still }))
}

fn shown(name: &str) -> String {
    text::escape_short(name.as_bytes(), 60)
}

pub(super) fn remove(args: &RemoveArgs, ground: &mut Ground<'_>) -> Result<u8, CliError> {
    let name = &args.name;
    let namings = ground.namings(|naming| naming.names(name))?;
    if !namings.is_empty() {
        return Err(named(&format!("`{}`", shown(name)), &namings, "take the name out there first"));
    }
    let before = ground.shut()?;
    let action = Action {
        name: "remove",
        reason: Some(&args.reason),
        dry_run: args.dry_run,
        local: args.local,
        urgent: false,
    };
    let done =
        ground.change(action, |sources, options| keyring::remove(sources, name, &args.reason, options))?;
    let removed = &done.value;
    let mut said = vec![match (removed.already, args.dry_run) {
        (true, _) => format!("`{name}` was removed already; nothing to do"),
        (false, true) => format!("would remove `{name}`"),
        (false, false) => format!("removed `{name}`"),
    }];
    said.extend(removed.retired.iter().map(|key| format!("  {key} is retired")));
    said.extend(removed.kept.iter().map(|key| format!("  {key} was revoked before and stays so")));
    let lists = [("groups", &removed.groups), ("accounts", &removed.accounts)];
    for (what, words) in lists.into_iter().filter(|(_, words)| !words.is_empty()) {
        said.push(format!("  its {what} are gone: {}", words.join(", ")));
    }
    let warnings = ground.left_behind(&done.keyring, &removed.groups, &before)?;
    let details = json!({
        "principal": name,
        "warnings": warnings,
        "already": removed.already,
        "retired": removed.retired,
        "kept": removed.kept,
        "groups": removed.groups,
        "accounts": removed.accounts,
    });
    ground.report(action, &done, &said, details)
}

pub(super) fn group(args: &GroupArgs, ground: &mut Ground<'_>) -> Result<u8, CliError> {
    match &args.command {
        GroupCommand::Add(args) => regroup(args, Membership::Join, ground),
        GroupCommand::Remove(args) => regroup(args, Membership::Leave, ground),
        GroupCommand::List => list(ground),
    }
}

fn regroup(args: &MembersArgs, membership: Membership, ground: &mut Ground<'_>) -> Result<u8, CliError> {
    let name = match membership {
        Membership::Join => "group-add",
        Membership::Leave => "group-remove",
    };
    let before = ground.shut()?;
    let action = Action::of(name, &args.change);
    let done = ground.change(action, |sources, options| {
        keyring::regroup(sources, &args.group, &args.names, membership, options)
    })?;
    let (group, value) = (&args.group, &done.value);
    let mut said = Vec::new();
    let (verb, would, already) = match membership {
        Membership::Join => ("joined", "would join", "is in"),
        Membership::Leave => ("left", "would leave", "is not in"),
    };
    let verb = if args.change.dry_run { would } else { verb };
    said.extend(value.changed.iter().map(|name| format!("`{name}` {verb} `{group}`")));
    said.extend(value.unchanged.iter().map(|name| format!("`{name}` {already} `{group}` already")));
    let left: &[String] = if value.changed.is_empty() { &[] } else { std::slice::from_ref(group) };
    let warnings = ground.left_behind(&done.keyring, left, &before)?;
    let details = json!({
        "group": group,
        "principals": value.changed,
        "unchanged": value.unchanged,
        "members": value.members,
        "warnings": warnings,
    });
    ground.report(action, &done, &said, details)
}

fn list(ground: &mut Ground<'_>) -> Result<u8, CliError> {
    let keyring = load(&ground.sources, ground.err)?;
    let groups = keyring::groups(&keyring);
    let namings = ground.config.as_ref().map(crate::config::namings).unwrap_or_default();
    let by = |group: &str| -> Vec<String> {
        namings.iter().filter(|naming| naming.names_group(group)).map(|naming| naming.what.clone()).collect()
    };
    match ground.format {
        Format::Json => {
            let all: BTreeMap<&String, Value> = groups
                .iter()
                .map(|(group, members)| (group, json!({ "members": members, "named_by": by(group) })))
                .collect();
            print_json(&json!({ "groups": all }), ground.out)?;
        }
        Format::Text if groups.is_empty() => {
            writeln!(
                ground.out,
                "nobody is in a group; add one with `countersign keyring group add GROUP NAME`"
            )?;
        }
        Format::Text => {
            let mut rows = vec![["GROUP", "MEMBERS", "NAMED BY"].map(str::to_owned).to_vec()];
            for (group, members) in &groups {
                let by = by(group);
                let by = if by.is_empty() { "-".to_owned() } else { by.join("; ") };
                let members: Vec<String> = members.iter().map(|name| shown(name)).collect();
                rows.push(vec![shown(group), members.join(", "), by]);
            }
            write_table(ground.out, &rows)?;
        }
    }
    Ok(0)
}
