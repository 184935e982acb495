//! `countersign config show`: the rules in effect for a ref.

use super::config_check::open_below;
use super::{CliError, Format, policy};
use crate::domain::{RefName, Timestamp};
use crate::service::{Snapshot, effective};
use serde_json::Value;
use std::io::Write;
use std::path::Path;

/// Show the rules in effect for a ref, with all options, where each is written, and who may break them.
///
/// Exits 0; 2 when the configuration does not load; 3 when a tenant's files are faulty, so that nobody can tell.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
The repository need not exist yet. Where it does, its HEAD says what `~DEFAULT` is.

Examples:
  countersign config show --repo infra/app --ref refs/heads/main
  countersign config show --repo new/app --ref refs/heads/main --default-branch refs/heads/main
  countersign config show --repo infra/app --ref refs/tags/v1 --format json | jq '.rulesets[].rules'")]
pub struct ShowArgs {
    /// The repository's name, as rulesets match it: its path below the root, without `.git`
    #[arg(long, value_name = "NAME")]
    repo: String,
    /// The full name of the ref
    #[arg(long = "ref", value_name = "REF")]
    reference: String,
    /// The full name of the repository's default branch [default: what its HEAD names]
    #[arg(long, value_name = "REF")]
    default_branch: Option<String>,
}

/// Runs `countersign config show`; gives the exit code.
pub fn run(args: &ShowArgs, config: &Path, format: Format, out: &mut dyn Write) -> Result<u8, CliError> {
    let (snapshot, _) = Snapshot::load(config).map_err(CliError::usage)?;
    let name = |written: &str| {
        RefName::parse(written.as_bytes()).map_err(|error| CliError::usage(format!("error: {error}")))
    };
    let reference = name(&args.reference)?;
    let default_branch = match &args.default_branch {
        Some(written) => Some(name(written)?),
        None => open_below(&snapshot.config.repositories.root, &args.repo)
            .and_then(|repository| repository.default_branch().ok().flatten()),
    };
    let found = effective(&snapshot, &args.repo, &reference, default_branch.as_ref(), Timestamp::now());
    let found = found.map_err(|fault| CliError { message: format!("error: {fault}"), code: 3 })?;
    match format {
        Format::Json => writeln!(out, "{:#}", Value::Object(policy::json(&found, None)))?,
        Format::Text => policy::print(out, &found, None)?,
    }
    Ok(0)
}
