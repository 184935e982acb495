//! `foreign-root`: history that has nothing to do with the repository's own.

use super::{Finding, Judges, Kind, Rule, Scope, options};
use crate::domain::{ObjectId, text};
use crate::policy::facts::{CommitFacts, Needs};
use serde::Deserialize;

/// The rule's one word.
pub const NAME: &str = "foreign-root";

/// The registry line.
pub const KIND: Kind = Kind {
    name: NAME,
    summary: "a commit without a parent, where the repository has a history already",
    judges: Judges::Commit,
    build: |table| {
        let Options { allow } = options(table)?;
        let Some(written) = allow else { return Ok(Box::new(ForeignRoot { allow: Vec::new() })) };
        if written.is_empty() {
            return Err("`allow = []` allows nothing; leave it out".into());
        }
        let root = |written: &String| {
            ObjectId::parse(written.as_bytes()).map_err(|_| {
                let shown = text::escape_short(written.as_bytes(), 80);
                format!("`{shown}` in `allow` is no full id of a commit, as `git rev-list --max-parents=0 main` prints it")
            })
        };
        let allow = written.iter().map(root).collect::<Result<_, String>>()?;
        Ok(Box::new(ForeignRoot { allow }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    allow: Option<Vec<String>>,
}

#[derive(Debug)]
struct ForeignRoot {
    allow: Vec<ObjectId>,
}

impl Rule for ForeignRoot {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn needs(&self) -> Needs {
        Needs::HISTORY
    }

    fn check_commit(&self, commit: &CommitFacts, scope: Scope<'_>) -> Vec<Finding> {
        let repository = &scope.facts.repository;
        let known = || self.allow.contains(&commit.id) || repository.own_roots.contains(&commit.id);
        if !commit.parents.is_empty() || !repository.has_history || known() {
            return Vec::new();
        }
        vec![Finding {
            path: None,
            seen: "no parent, and is not where the history of this repository begins".to_owned(),
            wanted: "commits on top of the history that the repository has".to_owned(),
            help: "put the work on top with `git rebase --root --onto origin/BRANCH`; an administrator can list the \
                   commit under `allow`"
                .to_owned(),
        }]
    }
}
