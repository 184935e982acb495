//! `countersign config schema`.

use super::CliError;
use crate::config;
use std::io::Write;

/// Print the JSON schema of the configuration file, all rules with their options included.
///
/// Editors complete and check by it. It says what can be written; whether a file loads, only `config check` knows:
/// whether paths exist, names are unique, patterns compile. Exits 0.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign config schema > countersign.schema.json
  countersign config schema --included > ruleset.schema.json

In TOML editors that know `#:schema`, write it on the first line of the configuration:
  #:schema ./countersign.schema.json")]
pub struct SchemaArgs {
    /// The schema of included files and of tenants' files, which hold `[[ruleset]]` only
    #[arg(long)]
    included: bool,
}

/// Runs `countersign config schema`; gives the exit code.
pub fn run(args: &SchemaArgs, out: &mut dyn Write) -> Result<u8, CliError> {
    let schema = if args.included { config::included_schema() } else { config::schema() };
    writeln!(out, "{schema:#}")?;
    Ok(0)
}
