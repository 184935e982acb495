//! `wrong-object-kind`: tags are of what tags are for (T25).

use super::{Finding, Judges, Kind, Rule, Scope, options};
use crate::domain::{ObjectKind, text};
use serde::Deserialize;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "wrong-object-kind",
    summary: "a ref that leads to another kind of object than it should",
    judges: Judges::RefUpdate,
    build: |table| {
        let Options { tags } = options(table)?;
        let tags = match tags {
            None => vec![ObjectKind::Commit],
            Some(list) => list.iter().map(|word| kind(word)).collect::<Result<Vec<_>, _>>()?,
        };
        if tags.is_empty() {
            return Err("`tags = []` would refuse every tag; leave it out for commits alone".into());
        }
        Ok(Box::new(WrongObjectKind { tags }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    tags: Option<Vec<String>>,
}

const KINDS: [ObjectKind; 3] = [ObjectKind::Commit, ObjectKind::Tree, ObjectKind::Blob];

fn kind(word: &str) -> Result<ObjectKind, String> {
    KINDS.into_iter().find(|kind| kind.name() == word).ok_or_else(|| {
        format!("unknown kind `{}`, expected one of `commit`, `tree`, `blob`", text::escape(word.as_bytes()))
    })
}

/// What tags may finally point at. Other refs lead to commits.
#[derive(Debug)]
struct WrongObjectKind {
    tags: Vec<ObjectKind>,
}

impl Rule for WrongObjectKind {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    /// That branches hold commits, the built-in rules see to.
    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let reference = scope.reference;
        let Some(held) = reference.leads_to else { return Vec::new() };
        let is_tag = reference.name.tag().is_some();
        let allowed: &[ObjectKind] = if is_tag { &self.tags } else { &[ObjectKind::Commit] };
        if allowed.contains(&held) {
            return Vec::new();
        }
        let words: Vec<&str> = allowed.iter().map(|kind| kind.name()).collect();
        let help = if is_tag { "tag a commit: `git tag -s NAME COMMIT`" } else { "push a commit" };
        vec![Finding {
            path: None,
            seen: format!("the ref leads to a {}", held.name()),
            wanted: format!("a {}", words.join(" or a ")),
            help: help.to_owned(),
        }]
    }
}
