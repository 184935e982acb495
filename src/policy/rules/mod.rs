//! The rules, one file each. A rule is named by what it refuses, in kebab-case; that one word is the
//! configuration key, the file, the docs page, the test directory and what the pusher reads.
//!
//! To add one: write `<name>.rs` with a `KIND`, add it to [`ALL`], add `docs/rules/<name>.md` and
//! `tests/cases/<name>/`. Tests fail while one of them is missing.

pub mod bad_signature;
pub mod case_collision;
mod catalog;
pub mod email_domain;
pub mod executable_binary;
pub mod forbidden_path;
pub mod force_push;
pub mod foreign_object;
pub mod foreign_root;
pub mod identity_mismatch;
pub mod large_file;
pub mod lightweight_tag;
pub mod locked_ref;
pub mod merge_commit;
pub mod message_format;
pub mod missing_signoff;
pub mod missing_ticket;
pub mod missing_user_presence;
pub mod protected_path;
pub mod pusher_mismatch;
pub mod ref_creation;
pub mod ref_deletion;
pub mod ref_name;
pub mod ref_shadowing;
pub mod stale_signature;
pub mod submodule;
pub mod symlink;
pub mod tag_name_mismatch;
pub mod tag_update;
pub mod too_many_files;
pub mod unauthorized_pusher;
pub mod unclean_merge;
pub mod unknown_identity;
pub mod unsafe_message;
pub mod unsafe_path;
pub mod unsigned_commit;
pub mod unsigned_tag;
pub mod untrusted_signer;
pub mod weak_signature;
pub mod work_in_progress;
pub mod wrong_object_kind;

mod paths;
mod people;
mod signed;

pub(crate) use catalog::option;
pub use catalog::{Opt, Shape, names_of, options_of};

use super::charset::{self, NoCharset};
use super::facts::{CommitFacts, Needs, PushFacts, RefFacts, TagFacts};
use super::ruleset::{Refs, Ruleset, Rulesets};
use crate::domain::{Principal, Timestamp, text};
use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

/// What a rule looks at (N11). Only `Commit` rules are discharged by the frontier; the others see the
/// whole update, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judges {
    /// Each commit that the update introduces.
    Commit,
    /// The update as such.
    RefUpdate,
    /// What the whole update changes, from the old tip to the new one.
    NetRange,
}

impl Judges {
    /// The word used in documentation.
    pub const fn name(self) -> &'static str {
        match self {
            Judges::Commit => "commit",
            Judges::RefUpdate => "ref-update",
            Judges::NetRange => "net-range",
        }
    }
}

/// What a rule found: seen, wanted, help. The caller adds rule, ref, subject and ruleset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// The path that it is about, escaped, where it is about one.
    pub path: Option<String>,
    /// What was seen, escaped.
    pub seen: String,
    /// What the rule wants.
    pub wanted: String,
    /// The command or action that helps.
    pub help: String,
}

/// Within what a rule judges: the push, one ref of it, the ruleset that the rule is part of, and all of
/// the policy.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The push.
    pub facts: &'a PushFacts,
    /// The ref that moves.
    pub reference: &'a RefFacts,
    /// The ruleset, and its index in the policy.
    pub ruleset: &'a Ruleset,
    /// Where that ruleset stands in the policy: what the facts name it by.
    pub index: usize,
    /// All rulesets.
    pub policy: &'a Rulesets,
}

/// A configured rule. Its functions are pure and total.
pub trait Rule: Debug + Send + Sync {
    /// Which rule it is.
    fn kind(&self) -> &'static Kind;

    /// The rule's one word.
    fn name(&self) -> &'static str {
        self.kind().name
    }

    /// What it looks at, configured as it is.
    fn judges(&self) -> Judges {
        self.kind().judges
    }

    /// Whether it belongs to the signature rules, which bring `bad-signature` with them (N17).
    fn is_about_signatures(&self) -> bool {
        false
    }

    /// Whether it wants something of the signatures of tags. Where a ruleset has such a rule, its `bad-signature`
    /// judges tags as well (N17).
    fn is_about_tag_signatures(&self) -> bool {
        false
    }

    /// What it wants beyond that of some refs: a ruleset of its own for each, see [`Ruleset::split`].
    fn on_refs(&self) -> Vec<(&Refs, Arc<dyn Rule>)> {
        Vec::new()
    }

    /// Judges one introduced commit. Whether it is a violation must not depend on the ref: a commit that
    /// several refs introduce is judged once, and counts as judged for all refs of the ruleset then.
    fn check_commit(&self, commit: &CommitFacts, scope: Scope<'_>) -> Vec<Finding> {
        let _ = (commit, scope);
        Vec::new()
    }

    /// Judges one of the annotated tags between the new tip and what it finally points at. Tags are judged
    /// with every update that brings them to a ref, whatever the frontier holds.
    fn check_tag(&self, tag: &TagFacts, scope: Scope<'_>) -> Vec<Finding> {
        let _ = (tag, scope);
        Vec::new()
    }

    /// Judges the update as such, or what it changes as a whole, whatever the frontier holds. A rule about
    /// commits may have something to say of an update that leads to none.
    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let _ = scope;
        Vec::new()
    }

    /// Whether it can refuse a commit whose signature counts. Only such a one is excused by a receipt
    /// (`effective-from`), so for a rule that refuses none of them a receipt changes nothing.
    fn refuses_what_is_verified(&self) -> bool {
        true
    }

    /// Which facts it needs that are not always there.
    fn needs(&self) -> Needs {
        Needs::NONE
    }

    /// Whether it is meaningless where the server does not say who pushes (N18): such a rule is a load
    /// error then.
    fn needs_pusher(&self) -> bool {
        false
    }

    /// Whether a bypass of it rests on who pushes, and never on who signed (N19).
    fn is_about_the_pusher(&self) -> bool {
        self.judges() != Judges::Commit
    }

    /// What it wants, options included, in one line for lists: what [`Finding::wanted`] says to a pusher.
    fn describe(&self) -> String {
        self.kind().summary.to_owned()
    }

    /// Selectors of principals that its options name, for lints.
    fn selectors(&self) -> &[super::Selector] {
        &[]
    }

    /// Whether it takes this principal's signature, where it asks whose it is.
    fn accepts_signer(&self, principal: &Principal) -> Option<bool> {
        let _ = principal;
        None
    }

    /// Those of them who alone may sign; empty where it does not say.
    fn allowed(&self) -> &[super::Selector] {
        &[]
    }
}

/// A rule as a ruleset has it: with what every rule can be given.
#[derive(Clone, Debug)]
pub struct Configured {
    /// The rule.
    pub rule: Arc<dyn Rule>,
    /// What the administrator wants said with each of its refusals: a text or an address (`help`).
    pub note: Option<String>,
    /// Commits that the gate's own record has from before this time, in this repository and by a signature
    /// that still counts, are not judged by it (`effective-from`, N13). No time that a commit claims is compared.
    pub effective_from: Option<Timestamp>,
    /// Its own options as they are written, for those who look at the policy; a rule that came with another
    /// has none.
    pub written: toml::Table,
}

impl From<Box<dyn Rule>> for Configured {
    fn from(rule: Box<dyn Rule>) -> Self {
        Configured { rule: rule.into(), note: None, effective_from: None, written: toml::Table::new() }
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
    &case_collision::KIND,
    &email_domain::KIND,
    &executable_binary::KIND,
    &forbidden_path::KIND,
    &force_push::KIND,
    &foreign_object::KIND,
    &foreign_root::KIND,
    &identity_mismatch::KIND,
    &large_file::KIND,
    &lightweight_tag::KIND,
    &locked_ref::KIND,
    &merge_commit::KIND,
    &message_format::KIND,
    &missing_signoff::KIND,
    &missing_ticket::KIND,
    &missing_user_presence::KIND,
    &protected_path::KIND,
    &pusher_mismatch::KIND,
    &ref_creation::KIND,
    &ref_deletion::KIND,
    &ref_name::KIND,
    &ref_shadowing::KIND,
    &stale_signature::KIND,
    &submodule::KIND,
    &symlink::KIND,
    &tag_name_mismatch::KIND,
    &tag_update::KIND,
    &too_many_files::KIND,
    &unauthorized_pusher::KIND,
    &unclean_merge::KIND,
    &unknown_identity::KIND,
    &unsafe_message::KIND,
    &unsafe_path::KIND,
    &unsigned_commit::KIND,
    &unsigned_tag::KIND,
    &untrusted_signer::KIND,
    &weak_signature::KIND,
    &work_in_progress::KIND,
    &wrong_object_kind::KIND,
];

/// The rules of the ruleset that comes with every configuration.
pub const BY_DEFAULT: [&str; 3] = [foreign_object::KIND.name, ref_name::KIND.name, ref_shadowing::KIND.name];

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
pub fn build(name: &str, value: &toml::Value) -> Result<Option<Configured>, BuildError> {
    let kind = ALL.iter().find(|kind| kind.name == name);
    let kind = kind.ok_or_else(|| BuildError::Unknown(text::escape(name.as_bytes())))?;
    let mut options = match value {
        toml::Value::Boolean(false) => return Ok(None),
        toml::Value::Boolean(true) => toml::Table::new(),
        toml::Value::Table(table) => table.clone(),
        _ => {
            let why = "its value is `true`, `false` or a table of options".to_owned();
            return Err(BuildError::Options { rule: kind.name, why });
        }
    };
    let error = |why: String| BuildError::Options { rule: kind.name, why };
    let note = note(options.remove("help")).map_err(error)?;
    let effective_from = options.remove("effective-from");
    let effective_from = effective_from.map(|value| time(&value)).transpose().map_err(error)?;
    let written = options.clone();
    let rule = (kind.build)(options).map_err(error)?;
    if effective_from.is_some() && rule.judges() != Judges::Commit {
        return Err(error(
            "`effective-from` is about commits on record, and this rule judges updates".into(),
        ));
    }
    if effective_from.is_some() && !rule.refuses_what_is_verified() {
        return Err(error(
            "`effective-from` exempts commits whose signature counts, and this rule refuses none of them: leave it out"
                .into(),
        ));
    }
    Ok(Some(Configured { rule: rule.into(), note, effective_from, written }))
}

/// Longest text of an administrator that goes with a refusal, bytes.
const MAX_NOTE: usize = 500;

fn note(value: Option<toml::Value>) -> Result<Option<String>, String> {
    match value {
        None => Ok(None),
        Some(toml::Value::String(note)) if !note.trim().is_empty() && note.len() <= MAX_NOTE => {
            Ok(Some(note))
        }
        Some(_) => Err(format!("`help` is a text or an address for the pusher, of at most {MAX_NOTE} bytes")),
    }
}

/// A point in time with an offset, as TOML has it.
fn time(value: &toml::Value) -> Result<Timestamp, String> {
    let text = match value {
        toml::Value::Datetime(time) => time.to_string(),
        toml::Value::String(text) => text.clone(),
        _ => String::new(),
    };
    text.parse().map_err(|_| "`effective-from` is a time with an offset such as 2026-01-31T00:00:00Z".into())
}

/// The command that makes a commit again: the tip is amended; what lies deeper is rebased, merges kept.
fn redo(commit: &CommitFacts, reference: &RefFacts, amend: &str, rebase: &str) -> String {
    if reference.update.new == Some(commit.id) {
        return format!("`{}`", format!("git commit --amend {amend}").trim_end());
    }
    let onto = commit.parents.first().map_or_else(|| "--root".to_owned(), |parent| parent.short());
    format!("`git rebase --rebase-merges {rebase} {onto}`")
}

/// The readings of a commit's message ([`charset::readings`]), or what is wrong where nobody can tell what it
/// says: then it holds nothing that is asked for, and may hold what is forbidden.
fn readings<'a>(commit: &'a CommitFacts, scope: Scope<'_>) -> Result<Vec<Cow<'a, [u8]>>, Finding> {
    let header = commit.encoding.as_deref();
    charset::readings(header, &commit.message).map_err(|why| Finding {
        path: None,
        seen: why.seen(header.unwrap_or_default()),
        wanted: format!("a message that can be read: {}", NoCharset::WANTED),
        help: format!(
            "unset `i18n.commitEncoding`, reword it with {}, then push again",
            redo(commit, scope.reference, "", "-i")
        ),
    })
}

/// The command that makes an annotated tag again.
fn retag(tag: &TagFacts) -> String {
    let name = signed::plain(&tag.name, "NAME");
    format!("`git tag --force --annotate {name} {}`", tag.target.short())
}

/// Reads options into a rule's own struct, which refuses unknown keys.
fn options<T: serde::de::DeserializeOwned>(table: toml::Table) -> Result<T, String> {
    T::deserialize(table).map_err(|error| error.message().to_owned())
}

/// What an option is that is on where it is left out.
const fn yes() -> bool {
    true
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
