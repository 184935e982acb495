//! What a commit of the keyring's source holds, and whether it could be the keyring: asked of a push before it is let
//! in, and of what stands in the ref before it is taken over.

use crate::config::{self, Config, SOURCE_RULESET, TrustedSource};
use crate::domain::{ObjectId, Timestamp, text};
use crate::git::{FileLimits, FilesError, GitError, Objects, files_in};
use crate::keyring::document::Diagnostic;
use crate::keyring::{Keyring, as_if, is_name, lacking, lacks};
use crate::policy::{Subject, Violation};
use std::collections::BTreeMap;

/// What is read of principals' files: more does not fit into one change of the keyring.
const PRINCIPALS: FileLimits = FileLimits { entries: 50_000, file: 8 << 20, total: 64 << 20 };
/// What is read of files of rulesets.
const RULESETS: FileLimits = FileLimits { entries: 1_000, file: 4 << 20, total: 16 << 20 };
/// Most faults that are told at once.
const TOLD: usize = 3;
/// Longest fault that is told, in characters.
const LONGEST: usize = 400;
/// The rule by which a push of such a state is refused.
pub(super) const RULE: &str = "broken-source";

/// Why a commit cannot be the keyring.
#[derive(Debug, thiserror::Error)]
pub enum StateFault {
    /// The repository cannot be read, or an object is not what its id says.
    #[error(transparent)]
    Git(GitError),
    /// The configuration on disk does not load whatever the commit holds.
    #[error("the configuration does not load as it is")]
    Configuration,
    /// There is something else than plain files with names of principals, or they make no keyring. For people, one
    /// line, escaped.
    #[error("{what}")]
    Principals {
        /// What is wrong, with file, line and column.
        what: String,
    },
    /// The same of the rulesets.
    #[error("{what}")]
    Rulesets {
        /// What is wrong, with file, line and column.
        what: String,
    },
}

/// What a commit holds, which loads.
#[derive(Debug)]
pub(super) struct State {
    /// The principals' files, by name.
    pub(super) files: BTreeMap<String, String>,
    /// The files of rulesets, by name with its ending.
    pub(super) rulesets: BTreeMap<String, String>,
}

/// Reads the state of a commit, and makes sure that it could be taken over now.
///
/// # Errors
/// See [`StateFault`].
pub(super) fn read(
    objects: &Objects,
    commit: &ObjectId,
    config: &Config,
    source: &TrustedSource,
    now: Timestamp,
) -> Result<State, StateFault> {
    let principals = |what: String| StateFault::Principals { what };
    let found = named(objects, commit, &source.path, PRINCIPALS).map_err(|fault| fault.or(principals))?;
    let mut files = BTreeMap::new();
    for (name, content) in found {
        // Once: `bob.toml.toml` is not bob's file.
        files.insert(name.strip_suffix(".toml").unwrap_or(&name).to_owned(), content);
    }
    if files.is_empty() {
        let place = if source.path.is_empty() { "its root" } else { &source.path };
        return Err(principals(format!("there is no principal's file in `{place}`")));
    }
    let sources = &config.keyring;
    let keyring =
        as_if(sources, &files).map_err(|error| principals(told(error.diagnostics(), config, source)))?;
    if let Some(why) = source.locks_out(&keyring, now) {
        return Err(principals(why));
    }
    let lost = lacks(sources, &keyring, now);
    if !lost.is_empty() {
        return Err(principals(lacking(&lost)));
    }
    let rulesets = match &source.rulesets {
        None => BTreeMap::new(),
        Some(directory) => {
            let broken = |what: String| StateFault::Rulesets { what };
            named(objects, commit, directory, RULESETS)
                .map_err(|fault| fault.or(broken))?
                .into_iter()
                .collect()
        }
    };
    whole(config, source, &keyring, &rulesets)?;
    Ok(State { files, rulesets })
}

/// Whether the configuration loads with these rulesets, and lets this keyring guard them.
fn whole(
    config: &Config,
    source: &TrustedSource,
    keyring: &Keyring,
    rulesets: &BTreeMap<String, String>,
) -> Result<(), StateFault> {
    let loaded = if source.rulesets.is_some() {
        match config::load_proposing(&config.source, rulesets.clone()) {
            Ok(loaded) => Some(loaded.config),
            // Without any it has none of their faults.
            Err(_) if config::load_proposing(&config.source, BTreeMap::new()).is_err() => {
                return Err(StateFault::Configuration);
            }
            Err(error) => {
                return Err(StateFault::Rulesets { what: told(error.diagnostics(), config, source) });
            }
        }
    } else {
        None
    };
    let faults = config::source_faults(loaded.as_ref().unwrap_or(config), keyring);
    match faults.first() {
        Some(fault) => Err(StateFault::Principals { what: line(&fault.message) }),
        None => Ok(()),
    }
}

/// What keeps a directory from being one of plain files with plain names.
enum NamedFault {
    Git(GitError),
    Content(String),
}

impl NamedFault {
    fn or(self, content: impl FnOnce(String) -> StateFault) -> StateFault {
        match self {
            NamedFault::Git(error) => StateFault::Git(error),
            NamedFault::Content(what) => content(what),
        }
    }
}

/// The files of a directory that end in `.toml`, by name. Whatever looks like one has to be one: nothing is left
/// out that somebody might rely on.
fn named(
    objects: &Objects,
    commit: &ObjectId,
    directory: &str,
    limits: FileLimits,
) -> Result<Vec<(String, String)>, NamedFault> {
    let wanted = |name: &[u8]| !name.starts_with(b".") && name.to_ascii_lowercase().ends_with(b".toml");
    let found = files_in(objects, commit, directory, limits, wanted).map_err(|error| match error {
        FilesError::Git(error) => NamedFault::Git(error),
        FilesError::Content(why) => NamedFault::Content(why),
    })?;
    let mut files = Vec::new();
    for (name, bytes) in found {
        let mut shown = text::escape_short(&name, 100);
        if !directory.is_empty() {
            shown = format!("{directory}/{shown}");
        }
        let plain =
            std::str::from_utf8(&name).ok().filter(|name| name.strip_suffix(".toml").is_some_and(is_name));
        let Some(plain) = plain else {
            return Err(NamedFault::Content(format!(
                "`{shown}` cannot name a principal or a file of rulesets: use lower-case letters, digits, `.`, `_` \
                 and `-`, and the ending `.toml`"
            )));
        };
        let content = String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count();
            NamedFault::Content(format!("{shown}:{line}: the file is not UTF-8 text"))
        })?;
        files.push((plain.to_owned(), content));
    }
    Ok(files)
}

/// Faults for people, in one line, with the places that they have in the repository.
fn told(faults: &[Diagnostic], config: &Config, source: &TrustedSource) -> String {
    let base = config.source.parent().unwrap_or(&config.source);
    // What is said about other files may name them by where they lie on the server.
    let places = [(&*config.keyring.dir, source.path.as_str()), (base, "")];
    let in_repository = |words: String| {
        places.iter().fold(words, |words, (from, to)| {
            let to = if to.is_empty() { String::new() } else { format!("{to}/") };
            words.replace(&format!("{}/", from.display()), &to)
        })
    };
    let one = |fault: &Diagnostic| {
        let help = fault.suggestion.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
        line(&in_repository(format!("{}: {}{help}", fault.place(), fault.message)))
    };
    let mut said: Vec<String> = faults.iter().take(TOLD).map(one).collect();
    if faults.len() > TOLD {
        said.push(format!("and {} more", faults.len() - TOLD));
    }
    said.join("; ")
}

fn line(words: &str) -> String {
    let visible: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    visible
}

impl StateFault {
    /// The refusal of a push that leads to such a state; `None` where nobody can tell.
    pub(super) fn violation(&self, source: &TrustedSource) -> Option<Violation> {
        let (what, help) = match self {
            StateFault::Git(_) | StateFault::Configuration => return None,
            StateFault::Principals { what } => {
                let path = if source.path.is_empty() { "." } else { &source.path };
                (what, format!("test it before you push: countersign keyring check --keyring {path}"))
            }
            StateFault::Rulesets { what } => {
                let help = "test it before you push: countersign config check, with a configuration that includes them";
                (what, help.to_owned())
            }
        };
        Some(Violation {
            rule: RULE,
            reference: source.reference.to_string(),
            subject: Subject::Ref,
            path: None,
            seen: format!(
                "the keyring of this server follows this ref, and could not follow it there: {what}"
            ),
            wanted: "a commit whose keyring and rulesets load and keep their signers".to_owned(),
            help,
            note: None,
            rulesets: vec![SOURCE_RULESET.to_owned()],
        })
    }
}
