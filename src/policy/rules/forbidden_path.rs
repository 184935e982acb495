//! `forbidden-path`: what nobody adds, changes or deletes.

use super::paths::{Ground, Judge, Listed, Of, OnPaths, Paths, Span, deed, place};
use super::{Finding, Judges, Kind, options, yes};
use crate::domain::Change;
use serde::Deserialize;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "forbidden-path",
    summary: "a change of paths that nobody may change",
    judges: Judges::Commit,
    build: |table| {
        let Options { paths, except, changes, scope, case_insensitive } = options(table)?;
        let Some(paths) = paths else {
            return Err("it needs `paths = [\"**/*.pem\"]`: what nobody may add".into());
        };
        let deeds = changes.unwrap_or_else(|| vec![Deed::Add, Deed::Modify]);
        if deeds.is_empty() {
            return Err("`changes = []` forbids nothing; leave it out for \"add\" and \"modify\"".into());
        }
        let paths = Paths::new(Some(&paths), except.as_deref(), case_insensitive)?;
        Ok(Box::new(OnPaths { span: scope, judge: ForbiddenPath { paths, deeds } }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    paths: Option<Vec<String>>,
    except: Option<Vec<String>>,
    changes: Option<Vec<Deed>>,
    #[serde(default)]
    scope: Span,
    #[serde(default = "yes")]
    case_insensitive: bool,
}

/// What can be done to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Deed {
    Add,
    Modify,
    Delete,
}

impl Deed {
    const fn of(change: &Change) -> Self {
        match (&change.old, &change.new) {
            (None, _) => Deed::Add,
            (_, Some(_)) => Deed::Modify,
            (_, None) => Deed::Delete,
        }
    }

    const fn past(self) -> &'static str {
        match self {
            Deed::Add => "added",
            Deed::Modify => "changed",
            Deed::Delete => "deleted",
        }
    }
}

#[derive(Debug)]
struct ForbiddenPath {
    paths: Paths,
    deeds: Vec<Deed>,
}

impl Judge for ForbiddenPath {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn of(&self) -> Of {
        Of::Deeds
    }

    fn check(&self, ground: Ground<'_>, changes: &[&Change], out: &mut Listed) {
        let forbidden =
            |change: &&&Change| self.deeds.contains(&Deed::of(change)) && self.paths.concern(change);
        for change in changes.iter().filter(forbidden) {
            out.add(|| Finding {
                path: place(&change.path),
                seen: format!("a {} path that is forbidden", deed(change)),
                wanted: self.describe(),
                help: ground.restore(change),
            });
        }
    }

    fn describe(&self) -> String {
        let deeds: Vec<&str> = [Deed::Add, Deed::Modify, Deed::Delete]
            .into_iter()
            .filter(|deed| self.deeds.contains(deed))
            .map(Deed::past)
            .collect();
        format!("nothing {} at {}", deeds.join(" or "), self.paths.listed())
    }
}
