//! `merge-commit`: a linear history, or at least one whose merges are of two.

use super::{Finding, Judges, Kind, Rule, Scope, options};
use crate::policy::facts::CommitFacts;
use serde::Deserialize;

/// The rule's one word.
pub const NAME: &str = "merge-commit";

/// The registry line.
pub const KIND: Kind = Kind {
    name: NAME,
    summary: "a commit with more than one parent",
    judges: Judges::Commit,
    build: |table| {
        let Options { octopus } = options(table)?;
        Ok(Box::new(MergeCommit { most: if octopus { 2 } else { 1 } }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    octopus: bool,
}

#[derive(Debug)]
struct MergeCommit {
    /// Parents.
    most: usize,
}

impl Rule for MergeCommit {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    /// Parents are counted as they are written: one that is named twice is two.
    fn check_commit(&self, commit: &CommitFacts, _: Scope<'_>) -> Vec<Finding> {
        let count = commit.parents.len();
        let Some(first) = commit.parents.first().filter(|_| count > self.most) else { return Vec::new() };
        let help = if self.most > 1 {
            format!("merge one branch at a time: start anew at {} with `git merge` for each", first.short())
        } else {
            format!(
                "put what is merged on top with `git rebase {}`, without `--rebase-merges`",
                first.short()
            )
        };
        vec![Finding { path: None, seen: format!("{count} parents"), wanted: self.describe(), help }]
    }

    fn describe(&self) -> String {
        if self.most > 1 { "merges of two branches at a time" } else { "a linear history, without merges" }
            .to_owned()
    }
}
