//! `too-many-files`: a commit, or an update, changes so many paths at most.

use super::paths::{Ground, Judge, Listed, OnPaths, Paths, Span, stop_at};
use super::{Finding, Judges, Kind, options};
use crate::domain::Change;
use serde::Deserialize;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "too-many-files",
    summary: "a commit that changes too many paths",
    judges: Judges::Commit,
    build: |table| {
        let Options { max, paths, except, scope } = options(table)?;
        let Some(max) = max else {
            return Err("it needs `max = 1000`: how many paths may change".into());
        };
        if max == 0 {
            return Err("`max = 0` would refuse every change; `locked-ref` is for that".into());
        }
        let paths = Paths::new(paths.as_deref(), except.as_deref(), true)?;
        Ok(Box::new(OnPaths { span: scope, judge: TooManyFiles { max, paths, span: scope } }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    max: Option<u64>,
    paths: Option<Vec<String>>,
    except: Option<Vec<String>>,
    #[serde(default)]
    scope: Span,
}

#[derive(Debug)]
struct TooManyFiles {
    max: u64,
    paths: Paths,
    span: Span,
}

impl Judge for TooManyFiles {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn check(&self, ground: Ground<'_>, changes: &[&Change], out: &mut Listed) {
        let count = changes.iter().filter(|change| self.paths.has(&change.path)).count();
        if u64::try_from(count).is_ok_and(|count| count <= self.max) {
            return;
        }
        let gone =
            changes.iter().filter(|change| change.new.is_none() && self.paths.has(&change.path)).count();
        let deleted = if gone > 0 { format!(", {gone} of them deleted") } else { String::new() };
        out.add(|| Finding {
            path: None,
            seen: format!("{count} changed paths{deleted}"),
            wanted: self.describe(),
            help: match ground.commit {
                Some(commit) => {
                    let onto = commit.parents.first().map_or_else(|| "--root".to_owned(), |parent| parent.short());
                    format!("make several commits of it: `git rebase --rebase-merges -i {onto}`, {}, and there `git reset HEAD~1` and commit in parts", stop_at(commit))
                }
                None => "push it in parts, or ask for a higher limit".to_owned(),
            },
        });
    }

    fn describe(&self) -> String {
        let whole = match self.span {
            Span::EachCommit => "commit",
            Span::Net => "push",
        };
        let paths = if self.max == 1 { "path" } else { "paths" };
        let of = self.paths.listed();
        let of = if of.is_empty() { of } else { format!(" of {of}") };
        format!("at most {} changed {paths}{of} in one {whole}", self.max)
    }
}
