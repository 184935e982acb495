//! `countersign config test`: fixture files against the configuration.

use super::{CliError, Format};
use crate::domain::text;
use crate::service::{Snapshot, fixtures, run_fixture};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Test the configuration: each file describes a push and says what is expected of it.
///
/// Exits 0 when all files hold, 1 when one does not or cannot be read, 2 when the configuration does not load or the
/// directory holds no file.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
A file says which push it is and what becomes of it:

  about = \"whoever pushes, main keeps its commits\"
  repository = \"infra/app\"
  pusher = \"alice\"

  [[update]]
  ref = \"refs/heads/main\"
  kind = \"force\"

  [[commit]]
  name = \"fix\"
  by = \"alice\"
  message = \"OPS-1: fix it\"
  changes = [\"M src/lib.rs\"]

  [expect]
  outcome = \"refuse\"

  [[expect.violation]]
  rule = \"force-push\"

docs/seeing.md has every key. People are those of the keyring; no repository is involved.

Examples:
  countersign config test policy-tests
  countersign --config countersign.toml config test policy-tests --format json | jq '.failed'")]
pub struct TestArgs {
    /// The directory of the files; all that end in `.toml` are run, those in directories below it too
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Runs `countersign config test`; gives the exit code.
pub fn run(args: &TestArgs, config: &Path, format: Format, out: &mut dyn Write) -> Result<u8, CliError> {
    let (snapshot, _) = Snapshot::load(config).map_err(CliError::usage)?;
    let shown = |path: &Path| text::escape(path.as_os_str().as_encoded_bytes());
    let files = fixtures(&args.dir)
        .map_err(|error| CliError::usage(format!("error: {}: {error}", shown(&args.dir))))?;
    if files.is_empty() {
        return Err(CliError::usage(format!("error: there is no `.toml` file in {}", shown(&args.dir))));
    }
    let ran: Vec<_> = files.iter().map(|file| run_fixture(&snapshot, file)).collect();
    let failed = ran.iter().filter(|one| !one.wrong.is_empty()).count();
    let passed = ran.len() - failed;
    match format {
        Format::Json => {
            let one = |one: &crate::service::FixtureRun| -> Value {
                json!({
                    "file": shown(&one.file), "about": one.about, "ok": one.wrong.is_empty(), "wrong": one.wrong,
                })
            };
            let all: Vec<Value> = ran.iter().map(one).collect();
            writeln!(out, "{:#}", json!({ "passed": passed, "failed": failed, "files": all }))?;
        }
        Format::Text => {
            for one in &ran {
                let word = if one.wrong.is_empty() { "ok    " } else { "FAILED" };
                let about = if one.about.is_empty() { String::new() } else { format!("  {}", one.about) };
                writeln!(out, "{word} {}{about}", shown(&one.file))?;
                for line in one.wrong.iter().flat_map(|wrong| wrong.lines()) {
                    writeln!(out, "         {line}")?;
                }
            }
            writeln!(out, "{passed} passed, {failed} failed")?;
        }
    }
    Ok(u8::from(failed > 0))
}
