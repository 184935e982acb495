//! `submodule`: which other repositories belong to this one is decided, not slipped in.

use super::paths::{Ground, Judge, Listed, OnPaths, Paths, Span, bare_name, place, word};
use super::{Finding, Judges, Kind, options};
use crate::domain::{Change, FileMode};
use serde::Deserialize;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "submodule",
    summary: "a submodule that is added or moved",
    judges: Judges::Commit,
    build: |table| {
        let Options { paths, except, moves, gitmodules, scope } = options(table)?;
        let paths = Paths::new(paths.as_deref(), except.as_deref(), true)?;
        Ok(Box::new(OnPaths { span: scope, judge: Submodule { paths, moves, gitmodules } }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    paths: Option<Vec<String>>,
    except: Option<Vec<String>>,
    #[serde(default = "refuse")]
    moves: What,
    #[serde(default)]
    gitmodules: What,
    #[serde(default)]
    scope: Span,
}

/// What becomes of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum What {
    #[default]
    Accept,
    Refuse,
}

const fn refuse() -> What {
    What::Refuse
}

#[derive(Debug)]
struct Submodule {
    paths: Paths,
    /// Another commit for a submodule that is there.
    moves: What,
    /// Changes of the file that says where submodules come from.
    gitmodules: What,
}

impl Judge for Submodule {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn check(&self, ground: Ground<'_>, changes: &[&Change], out: &mut Listed) {
        for change in changes {
            // What some file system takes for it is read as it.
            let list = || bare_name(&change.path) == bare_name(b".gitmodules");
            if self.gitmodules == What::Refuse && list() {
                out.add(|| Finding {
                    path: place(&change.path),
                    seen: match change.new {
                        Some(_) => "another list of submodules".to_owned(),
                        None => "the list of submodules deleted".to_owned(),
                    },
                    wanted: "no change of `.gitmodules`".to_owned(),
                    help: ground.restore(change),
                });
            }
            let Some(new) = change.new else { continue };
            if new.mode != FileMode::Submodule || !self.paths.has(&change.path) {
                continue;
            }
            let old = change.old.filter(|old| old.mode == FileMode::Submodule);
            if old.is_some() && self.moves == What::Accept {
                continue;
            }
            let seen = match old {
                None => format!("a new submodule (mode 160000) at commit {}", new.id.short()),
                Some(old) => format!("a submodule moved from {} to {}", old.id.short(), new.id.short()),
            };
            out.add(|| Finding {
                path: place(&change.path),
                seen,
                wanted: self.describe(),
                help: match old {
                    None => ground.redo(&format!("git rm --cached {}", word(&change.path))),
                    Some(_) => ground.restore(change),
                },
            });
        }
    }

    fn describe(&self) -> String {
        let of = self.paths.listed();
        let of = if of.is_empty() { of } else { format!(" at {of}") };
        match self.moves {
            What::Refuse => format!("no submodule added or moved{of}"),
            What::Accept => format!("no submodule added{of}"),
        }
    }
}
