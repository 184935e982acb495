//! `countersign config import`.

use super::{CliError, Format};
use crate::domain::text;
use crate::import::{self, Imported, MAX_INPUT, Weight, import};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Turn the rules of another system into rulesets: TOML for a file that the configuration includes.
///
/// Exits 0 when all that the source refuses is refused by the result, 1 when it is weaker somewhere, 2 when a file
/// cannot be read. No configuration is needed, nothing is fetched, nobody is granted anything.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
What has no equal is a comment in the result, with the reason, and a line on standard error:
  not imported   the source refuses something that the result lets in
  to fill in     the result is stricter until somebody writes who is meant
  left out       it says nothing about pushes

Patterns are converted exactly or not at all. docs/importing.md says what becomes of each rule.

Examples:
  countersign config import github-ruleset ruleset.json > rulesets.d/github.toml
  countersign config import gitlab push-rule.json protected-branches.json --repositories 'group/project'
  countersign config import gitolite gitolite.conf --output rulesets.d/gitolite.toml")]
pub struct ImportArgs {
    /// What the files are
    #[arg(value_enum, value_name = "FORMAT")]
    from: From,
    /// The files; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Which repositories are meant, as patterns of a ruleset; for GitLab required
    #[arg(long, value_name = "PATTERN", num_args = 1)]
    repositories: Vec<String>,
    /// Write the result to this file, which must not be there yet [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The formats.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum From {
    /// A ruleset of GitHub as JSON, as its export or its API writes it, or an array of them
    GithubRuleset,
    /// GitLab's push rules, protected branches, protected tags, as its API writes them
    Gitlab,
    /// gitolite.conf
    Gitolite,
}

/// Imports; gives the exit code.
pub fn run(
    args: &ImportArgs,
    format: Format,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, CliError> {
    for pattern in &args.repositories {
        let wrong =
            |why: String| CliError::usage(format!("error: --repositories: {}", text::escape(why.as_bytes())));
        crate::policy::Pattern::new(pattern).map_err(|error| wrong(error.to_string()))?;
        if pattern.starts_with('!') {
            return Err(wrong("repositories cannot be excluded".to_owned()));
        }
    }
    let mut files = Vec::new();
    for path in &args.files {
        let bytes =
            read(path).map_err(|error| CliError::usage(format!("error: {}: {error}", shown(path))))?;
        files.push((path, bytes));
    }
    let kind = match args.from {
        From::GithubRuleset => import::Format::GithubRuleset,
        From::Gitlab => import::Format::Gitlab,
        From::Gitolite => import::Format::Gitolite,
    };
    let texts: Vec<Vec<u8>> = files.iter().map(|(_, bytes)| bytes.clone()).collect();
    let imported = import(kind, &texts, &args.repositories).map_err(|(at, error)| {
        let file = files.get(at).map_or_else(String::new, |(path, _)| shown(path));
        CliError::usage(format!("error: {file}: {error}"))
    })?;
    let toml = match format {
        Format::Json => format!("{:#}\n", document(&imported)),
        Format::Text => imported.toml.clone(),
    };
    match &args.output {
        None => out.write_all(toml.as_bytes())?,
        Some(path) => {
            let failed = |error| CliError::usage(format!("error: {}: {error}", shown(path)));
            let mut file = File::create_new(path).map_err(failed)?;
            file.write_all(toml.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        }
    }
    let count = |weight| imported.notes.iter().filter(|note| note.weight == weight).count();
    for note in &imported.notes {
        let word = match note.weight {
            Weight::Weaker => "not imported",
            Weight::Stricter => "to fill in",
            Weight::Aside => "left out",
        };
        let _ = writeln!(err, "{word}: {} ({})", note.what, note.why);
    }
    let (weaker, stricter) = (count(Weight::Weaker), count(Weight::Stricter));
    let _ = writeln!(
        err,
        "{} rulesets; {weaker} parts not imported, {stricter} to fill in, {} left out",
        imported.rulesets,
        count(Weight::Aside)
    );
    if weaker > 0 {
        let _ = writeln!(err, "warning: the result is weaker than the source where parts are not imported");
    }
    Ok(u8::from(weaker > 0))
}

fn shown(path: &Path) -> String {
    text::escape(path.as_os_str().as_encoded_bytes())
}

/// No more than what can be imported, and one byte, so that it is seen to be too much.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = MAX_INPUT as u64 + 1;
    if path == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.take(most).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// The result as a document; its keys are a contract.
fn document(imported: &Imported) -> Value {
    let notes: Vec<Value> = imported
        .notes
        .iter()
        .map(|note| json!({ "weight": note.weight.name(), "what": note.what, "why": note.why }))
        .collect();
    json!({ "schema": 1, "toml": imported.toml, "rulesets": imported.rulesets, "notes": notes })
}
