//! `countersign keyring`: who owns which key.

mod add;
mod import;
mod list;
mod show;
mod status;
mod view;

pub use add::{AddArgs, Kind};
pub use import::ImportArgs;
pub use list::ListArgs;
pub use show::ShowArgs;
pub use status::StatusArgs;

use super::common::{CliError, Format};
use crate::config;
use crate::domain::{Timestamp, text};
use crate::keyring::{Keyring, LoadedKeyring, Material, Sources};
use serde_json::Value;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Show and change who owns which key.
#[derive(Clone, Debug, clap::Args)]
pub struct KeyringArgs {
    /// The keyring's directory; by default the one that the configuration names.
    #[arg(long, value_name = "DIR", global = true)]
    pub keyring: Option<PathBuf>,
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
    /// List every key and authority: whose it is and what it is worth.
    List(ListArgs),
    /// Show one principal and its keys.
    Show(ShowArgs),
    /// Ask the running daemon what is in force, and whether that is what the files say.
    Status(StatusArgs),
}

/// Runs `countersign keyring ...`; gives the exit code.
///
/// # Errors
/// Code 2 where the configuration or the keyring does not load, or the key cannot be added.
pub fn run(
    args: &KeyringArgs,
    config_path: &Path,
    format: Format,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, CliError> {
    // It has its answer also where the configuration does not load.
    if let KeyringCommand::Status(args) = &args.command {
        return status::run(args, config_path, format, out);
    }
    let now = Timestamp::now();
    let sources = match &args.keyring {
        Some(dir) => Sources::directory(dir),
        None => config::load(config_path).map_err(CliError::usage)?.config.keyring,
    };
    match &args.command {
        KeyringCommand::Add(args) => add::run(args, &sources, now, format, out, err),
        KeyringCommand::Import(args) => import::run(args, &sources, format, out),
        KeyringCommand::List(args) => list::run(args, &sources, &load(&sources, err)?, now, format, out),
        KeyringCommand::Show(args) => show::run(args, &sources, &load(&sources, err)?, now, format, out),
        KeyringCommand::Status(args) => status::run(args, config_path, format, out),
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
