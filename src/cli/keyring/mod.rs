//! `countersign keyring`: who owns which key.

mod add;
mod apply;
mod check;
mod confirm;
mod diff;
mod export;
mod gnupg;
mod import;
mod list;
mod members;
mod revoke;
mod rotate;
mod show;
mod sign;
mod source;
mod status;
mod view;
mod whose;

pub use add::{AddArgs, Kind};
pub use apply::ChangeArgs;
pub use check::CheckArgs;
pub use diff::DiffArgs;
pub use export::ExportArgs;
pub use import::ImportArgs;
pub use list::{ListArgs, OfFormat, Within};
pub use members::{GroupArgs, GroupCommand, MembersArgs, RemoveArgs, RenameArgs};
pub use revoke::{ResumeArgs, RevocationReason, RevokeArgs, SuspendArgs};
pub use rotate::{RefreshArgs, RotateArgs};
pub use show::ShowArgs;
pub use source::SourceArgs;
pub use status::StatusArgs;
pub use whose::WhoseArgs;

use super::common::{CliError, Format};
use crate::config;
use crate::domain::{Timestamp, text};
use crate::keyring::{Keyring, LoadedKeyring, Material, Sources};
use apply::Ground;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Show and change who owns which key.
#[derive(Clone, Debug, clap::Args)]
pub struct KeyringArgs {
    /// The keyring's directory; by default the one that the configuration names.
    #[arg(long, value_name = "DIR", global = true)]
    pub keyring: Option<PathBuf>,
    /// Sign what is changed with this SSH key; a public one is looked for in the agent.
    #[arg(long, value_name = "KEY", global = true)]
    pub sign_with: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: KeyringCommand,
}

/// What to do with the keyring.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum KeyringCommand {
    /// Add a public key, and if need be its owner.
    Add(AddArgs),
    /// Write what a file of another program says into the keyring.
    Import(ImportArgs),
    /// Write keys as other programs read them.
    Export(ExportArgs),
    /// List every key and authority: whose it is and what it is worth.
    List(ListArgs),
    /// Show one principal, its keys, and what it may do.
    Show(ShowArgs),
    /// Look for what should be seen to: keys that end, weak ones, groups that nothing names.
    Check(CheckArgs),
    /// Say what two keyrings differ in, and who gains and loses what.
    Diff(DiffArgs),
    /// Say whose a key, or the signature on a commit or tag, is.
    Whose(WhoseArgs),
    /// Ask the running daemon what is in force, and whether that is what the files say.
    Status(StatusArgs),
    /// Look at the ref that the keyring follows, and accept what it holds.
    Source(SourceArgs),
    /// Revoke a key of a principal, or all of them.
    Revoke(RevokeArgs),
    /// Let nothing of a principal count from now on, until it is resumed.
    Suspend(SuspendArgs),
    /// Let a suspended principal count again.
    Resume(ResumeArgs),
    /// Add a new key and end the old one after a grace.
    Rotate(RotateArgs),
    /// Take a newer copy of an OpenPGP certificate.
    Refresh(RefreshArgs),
    /// Give a principal another name.
    Rename(RenameArgs),
    /// Remove a principal for good, and keep what was revoked.
    Remove(RemoveArgs),
    /// Let principals join and leave groups.
    Group(GroupArgs),
}

/// Runs `countersign keyring ...`; gives the exit code.
///
/// # Errors
/// Code 2 where the configuration or the keyring does not load, or what was given cannot be used; 1 where
/// the change is refused; 3 where it cannot be put on record, or another edit is in progress.
pub fn run(
    args: &KeyringArgs,
    config_path: &Path,
    format: Format,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, CliError> {
    run_at(args, config_path, Timestamp::now(), format, out, err)
}

/// The same as if it were `now`.
///
/// # Errors
/// As [`run`].
pub fn run_at(
    args: &KeyringArgs,
    config_path: &Path,
    now: Timestamp,
    format: Format,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, CliError> {
    if let KeyringCommand::Diff(diff) = &args.command {
        let wanted = args.keyring.is_none();
        return diff::run(diff, wanted.then_some(config_path), now, format, out, err);
    }
    // These have their answers also where the configuration does not load.
    match &args.command {
        KeyringCommand::Status(args) => return status::run(args, config_path, format, out),
        KeyringCommand::Source(args) => return source::run(args, config_path, format, out),
        _ => {}
    }
    let (sources, config) = match &args.keyring {
        Some(dir) => (Sources::directory(dir), None),
        None => {
            let config = config::load(config_path).map_err(CliError::usage)?.config;
            (config.keyring.clone(), Some(config))
        }
    };
    let ground = &mut Ground { sources, config, sign_with: args.sign_with.as_deref(), now, format, out, err };
    match &args.command {
        KeyringCommand::Add(args) => add::run(args, ground),
        KeyringCommand::Import(args) => import::run(args, ground),
        KeyringCommand::Export(args) => export::run(args, ground),
        KeyringCommand::List(args) => list::run(args, ground),
        KeyringCommand::Show(args) => show::run(args, ground),
        KeyringCommand::Check(args) => check::run(args, ground),
        KeyringCommand::Diff(_) => Ok(2),
        KeyringCommand::Whose(args) => whose::run(args, config_path, ground),
        KeyringCommand::Revoke(args) => revoke::run(args, ground),
        KeyringCommand::Suspend(args) => revoke::suspend(args, ground),
        KeyringCommand::Resume(args) => revoke::resume(args, ground),
        KeyringCommand::Rotate(args) => rotate::run(args, ground),
        KeyringCommand::Refresh(args) => rotate::refresh(args, ground),
        KeyringCommand::Rename(args) => members::rename(args, ground),
        KeyringCommand::Remove(args) => members::remove(args, ground),
        KeyringCommand::Group(args) => members::group(args, ground),
        KeyringCommand::Status(args) => status::run(args, config_path, format, ground.out),
        KeyringCommand::Source(args) => source::run(args, config_path, format, ground.out),
    }
}

fn load(sources: &Sources, err: &mut dyn Write) -> Result<Keyring, CliError> {
    let LoadedKeyring { keyring, warnings } = Keyring::load(sources).map_err(CliError::usage)?;
    for warning in warnings {
        writeln!(err, "{warning}")?;
    }
    Ok(keyring)
}

/// Reads at most one byte more than a key may have; the rest would be refused anyway.
fn read_key(path: &Path) -> Result<Vec<u8>, CliError> {
    read_input(path, Material::MAX_LEN as u64 + 1)
}

fn read_input(path: &Path, limit: u64) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    match read {
        Ok(_) => Ok(bytes),
        Err(error) => {
            let shown = text::escape(path.as_os_str().as_encoded_bytes());
            Err(CliError::usage(format!("cannot read `{shown}`: {error}")))
        }
    }
}

fn print_json(value: &Value, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{value:#}")
}
