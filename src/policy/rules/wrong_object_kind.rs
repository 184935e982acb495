//! `wrong-object-kind`: branches hold commits, tags what tags are for (T25).

use super::{Finding, Judges, Kind, Rule, Scope, options};
use crate::domain::{ObjectKind, text};
use serde::Deserialize;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "wrong-object-kind",
    summary: "a ref that holds another kind of object than it should",
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

/// What tags may finally point at. Branches hold commits, and notes do.
#[derive(Debug)]
struct WrongObjectKind {
    tags: Vec<ObjectKind>,
}

impl Rule for WrongObjectKind {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn judges(&self) -> Judges {
        KIND.judges
    }

    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let reference = scope.reference;
        let Some(tip) = reference.tip_kind else { return Vec::new() };
        let is_tag = reference.name.tag().is_some();
        // What a chain of annotated tags points at in the end.
        let held = if is_tag { reference.tags.last().map_or(tip, |tag| tag.target_kind) } else { tip };
        let allowed: &[ObjectKind] = if is_tag { &self.tags } else { &[ObjectKind::Commit] };
        if allowed.contains(&held) {
            return Vec::new();
        }
        let words: Vec<&str> = allowed.iter().map(|kind| kind.name()).collect();
        let (holds, help) = match (is_tag, tip) {
            (true, _) => ("points at", "tag a commit: `git tag -s NAME COMMIT`"),
            (false, ObjectKind::Tag) => {
                ("holds", "push the commit behind the tag: `git push REMOTE TAG^{commit}:REF`")
            }
            (false, _) => ("holds", "push a commit"),
        };
        vec![Finding {
            path: None,
            seen: format!("the ref {holds} a {}", held.name()),
            wanted: format!("a {}", words.join(" or a ")),
            help: help.to_owned(),
        }]
    }
}
