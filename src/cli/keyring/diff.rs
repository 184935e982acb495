//! `countersign keyring diff`.

use super::super::check::git_dir;
use super::super::common::{CliError, Format};
use super::{load, print_json};
use crate::config;
use crate::domain::{Timestamp, text};
use crate::git::{self, FileLimits, Repository};
use crate::keyring::diff::{Change, diff};
use crate::keyring::{Keyring, LoadedKeyring, MAX_FILE, Sources};
use crate::service::{Grant, Shift, shift};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What to compare.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Both are directories of principals' files; comments, spelling and the order of things make no
difference. With a configuration it also says who gains and who loses what by its rulesets, as of
now. With --git REPO each may be REV:PATH, a directory in a commit of that repository. It is read from
the objects alone: git is not run, and nothing that the repository configures counts. REV is a ref, a
branch, a tag, HEAD or a full id; ~, ~N and ^ behind it go to first parents.

Examples:
  countersign keyring diff /etc/countersign/keyring ./keyring
  countersign keyring diff --git . main:keyring topic:keyring
  countersign keyring diff --git /srv/git/policy.git v1.2:keyring /etc/countersign/keyring
  countersign keyring diff old new --format json | jq '.gained[] | .principal'

Exits 0 when both mean the same, 1 when they differ, 2 when one of them does not load.")]
pub struct DiffArgs {
    /// The repository that `REV:PATH` is read from.
    #[arg(long, value_name = "REPO")]
    pub git: Option<PathBuf>,
    /// The directory as it was.
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The directory as it is, or would be.
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
}

pub(super) fn run(
    args: &DiffArgs,
    config: Option<&Path>,
    now: Timestamp,
    format: Format,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, CliError> {
    // Two directories can be compared where no gate is; a configuration that is there has to load.
    let config = match config.filter(|path| path.exists()) {
        Some(path) => Some(config::load(path).map_err(CliError::usage)?.config),
        None => None,
    };
    let repository = match &args.git {
        None => None,
        Some(repo) => {
            let git_dir = git_dir(repo).map_err(CliError::usage)?;
            Some(Repository::open(&git_dir, None).map_err(CliError::usage)?)
        }
    };
    let of = |dir: &PathBuf, err: &mut dyn Write| {
        let named = dir.to_str().and_then(|word| word.split_once(':'));
        match (&repository, named) {
            (Some(repository), Some((revision, path))) => of_revision(repository, dir, revision, path, err),
            (None, Some(_)) if !dir.exists() => Err(CliError::usage(format!(
                "`{}` is no directory; for one in a commit, say in which repository: `--git REPO`",
                text::escape(dir.as_os_str().as_encoded_bytes())
            ))),
            _ => load(&Sources::directory(dir), err),
        }
    };
    let (old, new) = (of(&args.old, err)?, of(&args.new, err)?);
    let changes = diff(&old, &new, now);
    let shifted = config.as_ref().map(|config| shift(config, &old, &new, now));
    let same = changes.is_empty();
    match format {
        Format::Json => {
            let changes: Vec<Value> = changes
                .iter()
                .map(|one| {
                    json!({
                        "what": one.what, "principal": one.principal, "key": one.key,
                        "old": one.old, "new": one.new,
                    })
                })
                .collect();
            let (gained, lost) = match &shifted {
                Some(Shift { gained, lost }) => (json!(gained), json!(lost)),
                None => (Value::Null, Value::Null),
            };
            print_json(&json!({ "same": same, "changes": changes, "gained": gained, "lost": lost }), out)?;
        }
        Format::Text if same => writeln!(out, "both mean the same")?,
        Format::Text => {
            print(&changes, out)?;
            match &shifted {
                Some(Shift { gained, lost }) if gained.is_empty() && lost.is_empty() => {
                    writeln!(out, "\nby the rulesets nobody gains or loses anything")?;
                }
                Some(Shift { gained, lost }) => {
                    writeln!(out)?;
                    grants("gains", gained, out)?;
                    grants("loses", lost, out)?;
                }
                None => writeln!(out, "\nrulesets were not looked at: there is no configuration")?,
            }
        }
    }
    Ok(u8::from(!same))
}

/// How much of a commit is read for a comparison.
const LIMITS: FileLimits = FileLimits { entries: 100_000, file: MAX_FILE, total: 256 << 20 };

/// The keyring in a directory of a commit. What is no principal's file there is not read.
fn of_revision(
    repository: &Repository,
    label: &Path,
    revision: &str,
    path: &str,
    err: &mut dyn Write,
) -> Result<Keyring, CliError> {
    let commit = git::commit_of(repository, revision).map_err(CliError::usage)?;
    let files = git::files_in(repository.objects(), &commit, path, LIMITS, |name| {
        name.ends_with(b".toml") && !name.starts_with(b".") && !name.starts_with(b"README")
    })
    .map_err(|error| {
        CliError::usage(format!("in `{}`: {error}", text::escape_short(revision.as_bytes(), 100)))
    })?;
    let named = files.into_iter().map(|(name, bytes)| match String::from_utf8(name) {
        Ok(name) => Ok((name, bytes)),
        Err(error) => {
            let shown = text::escape_short(error.as_bytes(), 100);
            Err(CliError::usage(format!("`{shown}` cannot name a principal's file")))
        }
    });
    let LoadedKeyring { keyring, warnings } =
        Keyring::of_files(label, named.collect::<Result<_, _>>()?).map_err(CliError::usage)?;
    for warning in warnings {
        writeln!(err, "{warning}")?;
    }
    Ok(keyring)
}

fn print(changes: &[Change], out: &mut dyn Write) -> io::Result<()> {
    let shown = |line: &str| text::escape(line.as_bytes());
    let mut about: Option<&Option<String>> = None;
    for one in changes {
        if about != Some(&one.principal) {
            about = Some(&one.principal);
            writeln!(out, "{}", one.principal.as_deref().map_or("authorities and lists".to_owned(), shown))?;
        }
        let key = one.key.as_deref().map(|key| format!(" {}", shown(key))).unwrap_or_default();
        let what = one.what.replace('-', " ");
        match (&one.old, &one.new) {
            (Some(old), Some(new)) => {
                writeln!(out, "  ~ {what}{key}\n      {}\n   -> {}", shown(old), shown(new))?;
            }
            (None, Some(new)) => writeln!(out, "  + {what}{key}: {}", shown(new))?,
            (Some(old), None) => writeln!(out, "  - {what}{key}: {}", shown(old))?,
            (None, None) => writeln!(out, "  ~ {what}{key}")?,
        }
    }
    Ok(())
}

fn grants(verb: &str, all: &[Grant], out: &mut dyn Write) -> io::Result<()> {
    all.iter().try_for_each(|one| writeln!(out, "{} {verb}, by {}: {}", one.principal, one.ruleset, one.what))
}
