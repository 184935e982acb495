//! The rules, one file each. A rule is named by what it refuses, in kebab-case; that one word is the
//! configuration key, the file, the docs page, the test directory and what the pusher reads.
//!
//! To add one: write `<name>.rs` with a `KIND`, add it to [`ALL`], add `docs/rules/<name>.md` and
//! `tests/cases/<name>/`. Tests fail while one of them is missing.

pub mod bad_signature;
pub mod force_push;
pub mod identity_mismatch;
pub mod missing_ticket;
pub mod ref_creation;
pub mod ref_deletion;
pub mod unsigned_commit;
pub mod untrusted_signer;

use super::facts::{CommitFacts, RefFacts, TagFacts};
use super::ruleset::Ruleset;
use crate::domain::text;
use std::fmt::Debug;

/// What a rule looks at (N11). Only `Commit` rules are discharged by the frontier; the others see the
/// whole update, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judges {
    /// Each commit that the update introduces.
    Commit,
    /// The update as such.
    RefUpdate,
}

impl Judges {
    /// The word used in documentation.
    pub const fn name(self) -> &'static str {
        match self {
            Judges::Commit => "commit",
            Judges::RefUpdate => "ref-update",
        }
    }
}

/// What a rule found: seen, wanted, help. The caller adds rule, ref, subject and ruleset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was seen, escaped.
    pub seen: String,
    /// What the rule wants.
    pub wanted: String,
    /// The command or action that helps.
    pub help: String,
}

/// A configured rule. Its functions are pure and total.
pub trait Rule: Debug + Send + Sync {
    /// The rule's one word.
    fn name(&self) -> &'static str;

    /// What it looks at.
    fn judges(&self) -> Judges;

    /// Whether it belongs to the signature rules, which bring `bad-signature` with them (N17).
    fn is_about_signatures(&self) -> bool {
        false
    }

    /// Judges one introduced commit. Whether it is a violation must not depend on the ref: a commit that
    /// several refs introduce is judged once, and counts as judged for all refs of the ruleset then.
    fn check_commit(&self, commit: &CommitFacts, reference: &RefFacts, ruleset: &Ruleset) -> Option<Finding> {
        let _ = (commit, reference, ruleset);
        None
    }

    /// Judges one of the annotated tags between the new tip and what it finally points at. Tags are judged
    /// with every update that brings them to a ref, whatever the frontier holds.
    fn check_tag(&self, tag: &TagFacts, reference: &RefFacts, ruleset: &Ruleset) -> Option<Finding> {
        let _ = (tag, reference, ruleset);
        None
    }

    /// Judges the update as such, whatever the frontier holds. A rule about commits may have something to say
    /// of an update that leads to none.
    fn check_ref(&self, reference: &RefFacts) -> Option<Finding> {
        let _ = reference;
        None
    }

    /// Selectors of principals that its options name, for lints.
    fn selectors(&self) -> &[super::Selector] {
        &[]
    }
}

/// One line of the registry.
#[derive(Debug)]
pub struct Kind {
    /// The rule's one word.
    pub name: &'static str,
    /// One line for lists and help.
    pub summary: &'static str,
    /// What it looks at.
    pub judges: Judges,
    /// Builds it from its options: `true` is given as an empty table.
    pub build: fn(toml::Table) -> Result<Box<dyn Rule>, String>,
}

/// Every rule there is, by name.
pub const ALL: &[&Kind] = &[
    &bad_signature::KIND,
    &force_push::KIND,
    &identity_mismatch::KIND,
    &missing_ticket::KIND,
    &ref_creation::KIND,
    &ref_deletion::KIND,
    &unsigned_commit::KIND,
    &untrusted_signer::KIND,
];

/// Why a line of `[ruleset.refuse]` is not a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// No such rule.
    #[error("there is no rule `{0}`")]
    Unknown(String),
    /// Its options do not fit.
    #[error("rule `{rule}`: {why}")]
    Options {
        /// Which rule.
        rule: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// Builds the rule that `name = value` configures; `false` builds none.
pub fn build(name: &str, value: &toml::Value) -> Result<Option<Box<dyn Rule>>, BuildError> {
    let kind = ALL.iter().find(|kind| kind.name == name);
    let kind = kind.ok_or_else(|| BuildError::Unknown(text::escape(name.as_bytes())))?;
    let options = match value {
        toml::Value::Boolean(false) => return Ok(None),
        toml::Value::Boolean(true) => toml::Table::new(),
        toml::Value::Table(table) => table.clone(),
        _ => {
            let why = "its value is `true`, `false` or a table of options".to_owned();
            return Err(BuildError::Options { rule: kind.name, why });
        }
    };
    (kind.build)(options).map(Some).map_err(|why| BuildError::Options { rule: kind.name, why })
}

/// The command that makes a commit again: the tip is amended; what lies deeper is rebased, merges kept.
fn redo(commit: &CommitFacts, reference: &RefFacts, amend: &str, rebase: &str) -> String {
    if reference.update.new == Some(commit.id) {
        return format!("`{}`", format!("git commit --amend {amend}").trim_end());
    }
    let onto = commit.parents.first().map_or_else(|| "--root".to_owned(), |parent| parent.short());
    format!("`git rebase --rebase-merges {rebase} {onto}`")
}

/// Reads options into a rule's own struct, which refuses unknown keys.
fn options<T: serde::de::DeserializeOwned>(table: toml::Table) -> Result<T, String> {
    T::deserialize(table).map_err(|error| error.message().to_owned())
}

/// For rules that have no options.
fn no_options(table: &toml::Table) -> Result<(), String> {
    match table.keys().next() {
        None => Ok(()),
        Some(key) => Err(format!("it has no option `{}`; write `true`", text::escape(key.as_bytes()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sorted_and_unique() {
        assert!(ALL.windows(2).all(|pair| pair[0].name < pair[1].name));
    }

    #[test]
    fn unknown_rules_and_options_are_errors() {
        let yes = toml::Value::Boolean(true);
        assert_eq!(build("unsigned", &yes).unwrap_err(), BuildError::Unknown("unsigned".into()));
        assert!(build("force-push", &toml::Value::Boolean(false)).unwrap().is_none());
        assert!(matches!(build("force-push", &toml::Value::Integer(1)), Err(BuildError::Options { .. })));
        let table = toml::Value::Table(toml::toml! { allow = 1 });
        let error = build("force-push", &table).unwrap_err().to_string();
        assert_eq!(error, "rule `force-push`: it has no option `allow`; write `true`");
    }
}
