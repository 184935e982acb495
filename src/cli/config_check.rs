//! `countersign config check`: would this configuration load, and does it say what was meant?

use super::common::{CliError, Format};
use crate::config::{self, Diagnostic, Warning};
use crate::domain::RefName;
use crate::git::Repository;
use crate::keyring::Keyring;
use crate::policy::Refs;
use crate::service::guarded;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// Deepest directory below the root that is looked at for repositories.
const MAX_DEPTH: usize = 8;
/// Most repositories that are looked for: the question is only whether patterns match any.
const MAX_REPOSITORIES: usize = 100_000;
/// Most repositories whose refs are read for one ruleset.
const MAX_READ: usize = 1_000;

/// Check the configuration and the keyring without touching the daemon.
///
/// Exits 0 when they load, with warnings or without, and 2 when they do not.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  countersign --config /etc/countersign/countersign.toml config check
  countersign config check --format json | jq '.errors'

Run it before a reload, and in the pipeline of the repository that holds the configuration.")]
pub struct CheckArgs {}

/// Runs `countersign config check`; gives the exit code.
///
/// # Errors
/// Only where the output cannot be written; faults of the configuration are the output.
pub fn run(
    _args: &CheckArgs,
    config_path: &Path,
    format: Format,
    out: &mut dyn Write,
    _err: &mut dyn Write,
) -> Result<u8, CliError> {
    let mut errors: Vec<Diagnostic> = Vec::new();
    let mut warnings: Vec<Warning> = Vec::new();
    let mut summary = json!({});
    let mut counts = String::new();
    let mut faulty_tenants = 0;
    match config::load(config_path) {
        Err(error) => errors.extend_from_slice(error.diagnostics()),
        Ok(loaded) => {
            warnings.extend(loaded.warnings);
            let config = loaded.config;
            for source in &config.sources {
                let (_, faults) = source.read_secrets();
                for fault in faults {
                    match fault.elsewhere {
                        true => warnings.push(here_only(fault.diagnostic)),
                        false => errors.push(fault.diagnostic),
                    }
                }
                warnings.extend(source.weak_secrets());
                warnings.extend(source.unusable());
            }
            for fault in config.daemon.tls.iter().flat_map(config::Tls::faults) {
                match fault.elsewhere {
                    true => warnings.push(here_only(fault.diagnostic)),
                    false => errors.push(fault.diagnostic),
                }
            }
            errors.extend(config.tenant_faults().map(|(_, fault)| fault.clone()));
            faulty_tenants = config.tenants.iter().filter(|one| !one.faults.is_empty()).count();
            match Keyring::load(&config.keyring) {
                Err(error) => errors.extend_from_slice(error.diagnostics()),
                Ok(loaded) => {
                    warnings.extend(loaded.warnings);
                    let keyring = loaded.keyring;
                    errors.extend(config::source_faults(&config, &keyring));
                    if let Some(source) = &config.keyring_source
                        && let Err(why) = guarded(&config.repositories.root, &source.repository)
                    {
                        errors.push(
                            source.fault(format!("what [keyring.source] follows is not guarded: {why}")),
                        );
                    }
                    let repositories = repositories(&config.repositories.root);
                    // Rulesets are for what forges have as well.
                    let watched = config.sources.iter().flat_map(|source| {
                        source.repositories.iter().map(|one| format!("{}/{}", source.name, one.name))
                    });
                    let known: Vec<String> = repositories.iter().cloned().chain(watched).collect();
                    warnings.extend(config::lint(&config, &keyring, &known));
                    warnings.extend(unmatched_refs(&config, &repositories));
                    let rulesets = config.policy.configured().count();
                    let (principals, keys) = (keyring.principals().len(), keyring.keys().len());
                    counts = format!(
                        "{}, {}, {}",
                        counted(rulesets, "ruleset"),
                        counted(principals, "principal"),
                        counted(keys, "key")
                    );
                    summary = json!({
                        "digest": config.digest,
                        "keyring_digest": keyring.digest(),
                        "rulesets": rulesets,
                        "principals": principals,
                        "keys": keys,
                        "repositories": repositories.len(),
                        "sources": config.sources.len(),
                    });
                }
            }
        }
    }
    let code = if errors.is_empty() { 0 } else { 2 };
    match format {
        Format::Json => {
            let document = json!({
                "ok": errors.is_empty(),
                "config": config_path.to_string_lossy(),
                "summary": summary,
                "errors": errors.iter().map(error_json).collect::<Vec<_>>(),
                "warnings": warnings.iter().map(warning_json).collect::<Vec<_>>(),
            });
            writeln!(out, "{document:#}")?;
        }
        Format::Text => {
            for error in &errors {
                writeln!(out, "{error}\n")?;
            }
            for warning in &warnings {
                writeln!(out, "{warning}\n")?;
            }
            let warned = if warnings.is_empty() {
                String::new()
            } else {
                format!("; {}", counted(warnings.len(), "warning"))
            };
            let place = config::Place::whole(config_path);
            if errors.is_empty() {
                writeln!(out, "{place}: loads: {counts}{warned}")?;
            } else if faulty_tenants > 0 && !counts.is_empty() {
                let (tenants, errors) = (counted(faulty_tenants, "tenant"), counted(errors.len(), "error"));
                writeln!(out, "{place}: loads without the files of {tenants}: {counts}; {errors}{warned}")?;
            } else {
                writeln!(out, "{place}: does not load: {}{warned}", counted(errors.len(), "error"))?;
            }
        }
    }
    Ok(code)
}

/// What this process cannot have, and the daemon may.
fn here_only(fault: Diagnostic) -> Warning {
    let message = format!("{}: the daemon does not start without it", fault.message);
    Warning { message, place: Some(fault.place()) }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn error_json(error: &Diagnostic) -> Value {
    json!({
        "file": error.file.to_string_lossy(),
        "line": error.line,
        "column": error.column,
        "message": error.message,
        "suggestion": error.suggestion,
        "snippet": error.snippet,
    })
}

fn warning_json(warning: &Warning) -> Value {
    json!({
        "message": warning.message,
        "file": warning.place.as_ref().map(|place| place.file.to_string_lossy()),
        "line": warning.place.as_ref().map(|place| place.line),
        "column": warning.place.as_ref().map(|place| place.column),
    })
}

/// Names of the repositories below the root: relative, without `.git` (N3). What cannot be read is
/// left out; this is for warnings.
fn repositories(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![(root.to_owned(), 0)];
    while let Some((dir, depth)) = open.pop() {
        if found.len() >= MAX_REPOSITORIES {
            break;
        }
        let is_git_dir = |dir: &Path| dir.join("HEAD").is_file() && dir.join("objects").is_dir();
        let is_repository = depth > 0 && (is_git_dir(&dir) || is_git_dir(&dir.join(".git")));
        if is_repository {
            let name = dir.strip_prefix(root).unwrap_or(&dir).to_string_lossy().into_owned();
            found.push(name.strip_suffix(".git").unwrap_or(&name).to_owned());
            continue;
        }
        if depth == MAX_DEPTH {
            continue;
        }
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            // Links are not followed: a repository has one physical name (N3), and links make loops.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push((entry.path(), depth + 1));
            }
        }
    }
    found.sort();
    found
}

/// Ref patterns that match no ref of any repository their ruleset is for (N2): a mistyped branch is
/// protected in name only. Repositories without refs prove nothing, so they do not count.
fn unmatched_refs(config: &config::Config, repositories: &[String]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for ruleset in config.policy.configured().filter(|set| set.part_of.is_none()) {
        let mut refs = 0;
        let mut unmatched: Vec<Refs> = ruleset.refs.included().collect();
        let concerned = repositories.iter().filter(|name| ruleset.applies_to_repository(name));
        for name in concerned.take(MAX_READ) {
            let (found, default_branch) = references(&config.repositories.root, name);
            refs += found.len();
            let hit = |one: &Refs| found.iter().any(|name| one.is_match(name, default_branch.as_ref()));
            unmatched.retain(|one| !hit(one));
            if unmatched.is_empty() {
                break;
            }
        }
        if !unmatched.is_empty() && refs > 0 {
            let sources: Vec<String> = unmatched.iter().flat_map(Refs::sources).collect();
            let shown = config::listed(sources.iter().map(String::as_str));
            let verb = if sources.len() == 1 { "matches" } else { "match" };
            warnings.push(Warning {
                message: format!("{shown} of ruleset `{}` {verb} no ref that there is yet", ruleset.name),
                place: config.places.of(&ruleset.name, "refs").cloned(),
            });
        }
    }
    warnings
}

/// The repository of that name below the root, if it is there and can be read.
pub(super) fn open_below(root: &Path, name: &str) -> Option<Repository> {
    let places = [root.join(format!("{name}.git")), root.join(name), root.join(name).join(".git")];
    places.iter().find_map(|place| Repository::open(place, None).ok())
}

/// The refs of a repository by its name, and its default branch; none where it cannot be read, since this is for warnings.
fn references(root: &Path, name: &str) -> (Vec<RefName>, Option<RefName>) {
    let Some(opened) = open_below(root, name) else { return (Vec::new(), None) };
    let found = opened.references().unwrap_or_default();
    let default_branch = opened.default_branch().unwrap_or_default();
    (found.into_iter().map(|(reference, _)| reference).collect(), default_branch)
}
