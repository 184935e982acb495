//! `countersign config match`: which refs patterns hit, and which rulesets cover which refs.

use super::check::git_dir;
use super::common::write_table;
use super::{CliError, Format};
use crate::domain::{RefName, text};
use crate::git::Repository;
use crate::policy::Refs;
use crate::service::{Snapshot, coverage};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Show which refs of a repository patterns match; without a pattern, which rulesets cover which refs.
///
/// With patterns, exits 0 if a ref matches and 1 if none does; no configuration is needed. Without, exits 0, or 3 when
/// a tenant's files are faulty. Patterns that can match no ref at all are errors: 2.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Patterns are those of `refs` in a ruleset: full names, `*` stops at `/`, `**` spans it, `re:` starts a regular
expression, `~DEFAULT` is the branch that HEAD names, `~ALL` is every ref, `!` excludes whatever the order.

Examples:
  countersign config match 'refs/heads/release/**' --repo .
  countersign config match '~ALL' '!~DEFAULT' '!refs/heads/wip/**' --repo /srv/git/infra/app.git
  countersign config match --repo /srv/git/infra/app.git")]
pub struct MatchArgs {
    /// Patterns for refs, as one list
    #[arg(value_name = "PATTERN")]
    patterns: Vec<String>,
    /// The repository, bare or with a work tree
    #[arg(long, value_name = "DIR")]
    repo: PathBuf,
    /// Without patterns: the repository's name, for rulesets [default: its path below the configured root, or its own
    /// name]
    #[arg(long, value_name = "NAME", conflicts_with = "patterns")]
    repository: Option<String>,
}

/// Runs `countersign config match`; gives the exit code.
pub fn run(args: &MatchArgs, config: &Path, format: Format, out: &mut dyn Write) -> Result<u8, CliError> {
    let usage = |text: String| CliError::usage(format!("error: {text}"));
    let undecided = |text: String| CliError { message: format!("error: {text}"), code: 3 };
    let git_dir = git_dir(&args.repo).map_err(usage)?;
    let repository = Repository::open(&git_dir, None).map_err(|error| undecided(error.to_string()))?;
    if args.patterns.is_empty() {
        let (snapshot, _) = Snapshot::load(config).map_err(CliError::usage)?;
        let covered = coverage(&snapshot, args.repository.as_deref(), &repository);
        let covered = covered.map_err(|fault| undecided(fault.to_string()))?;
        match format {
            Format::Json => writeln!(out, "{:#}", json!(covered))?,
            Format::Text => {
                writeln!(out, "{}", covered.repository)?;
                let mut rows =
                    vec![["REF", "ENFORCED BY", "EVALUATED BY", "COVERAGE"].map(str::to_owned).to_vec()];
                let list =
                    |names: &[String]| if names.is_empty() { "-".to_owned() } else { names.join(", ") };
                rows.extend(covered.refs.iter().map(|one| {
                    let mark = if covered.default_branch.as_ref() == Some(&one.reference) {
                        " (~DEFAULT)"
                    } else {
                        ""
                    };
                    vec![
                        format!("{}{mark}", one.reference),
                        list(&one.enforce),
                        list(&one.evaluate),
                        one.coverage.to_owned(),
                    ]
                }));
                write_table(out, &rows)?;
            }
        }
        return Ok(0);
    }
    let refs = Refs::new(args.patterns.iter().map(String::as_str));
    let refs = refs.map_err(|error| usage(text::escape(error.to_string().as_bytes())))?;
    let including = args.patterns.iter().map(String::as_str).filter(|one| !one.starts_with('!'));
    let including =
        Refs::new(including).map_err(|error| usage(text::escape(error.to_string().as_bytes())))?;
    let references = repository.references().map_err(|error| undecided(error.to_string()))?;
    let default_branch = repository.default_branch().map_err(|error| undecided(error.to_string()))?;
    let (mut matched, mut excluded, mut others) = (Vec::new(), Vec::new(), Vec::new());
    let mut names: Vec<RefName> = references.into_iter().map(|(name, _)| name).collect();
    names.sort();
    for name in &names {
        let list = match (
            refs.is_match(name, default_branch.as_ref()),
            including.is_match(name, default_branch.as_ref()),
        ) {
            (true, _) => &mut matched,
            (false, true) => &mut excluded,
            (false, false) => &mut others,
        };
        list.push(name.to_string());
    }
    match format {
        Format::Json => {
            let document = json!({
                "patterns": args.patterns, "default_branch": default_branch.map(|name| name.to_string()),
                "matched": matched, "excluded": excluded, "others": others,
            });
            writeln!(out, "{document:#}")?;
        }
        Format::Text => {
            for name in &matched {
                writeln!(out, "{name}")?;
            }
            for name in &excluded {
                writeln!(out, "{name}  (excluded)")?;
            }
            let all = names.len();
            writeln!(out, "{} of {all} refs match, {} excluded", matched.len(), excluded.len())?;
        }
    }
    Ok(u8::from(matched.is_empty()))
}
