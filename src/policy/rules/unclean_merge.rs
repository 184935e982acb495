//! `unclean-merge`: a merge brings what merging brings, and nothing besides (N20).

use super::{Finding, Judges, Kind, Rule, Scope, no_options};
use crate::domain::text;
use crate::policy::facts::{CommitFacts, Needs};

/// The rule's one word.
pub const NAME: &str = "unclean-merge";

/// The registry line.
pub const KIND: Kind = Kind {
    name: NAME,
    summary: "a merge whose tree is not what merging its parents gives",
    judges: Judges::Commit,
    build: |options| {
        no_options(&options)?;
        Ok(Box::new(UncleanMerge))
    },
};

/// How many paths are shown.
const SHOWN: usize = 5;

#[derive(Debug)]
struct UncleanMerge;

impl Rule for UncleanMerge {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn needs(&self) -> Needs {
        Needs::MERGES
    }

    fn check_commit(&self, commit: &CommitFacts, _: Scope<'_>) -> Vec<Finding> {
        let seen = match commit.parents[..] {
            [] | [_] => return Vec::new(),
            [one, two] => match &commit.merge {
                // A merge that brings one side to where the other is already adds nothing of its own either.
                Some(merge) if merge.clean || merge.touched.as_ref().is_some_and(|all| all.is_empty()) => {
                    return Vec::new();
                }
                _ if one == two => "one commit as both of its parents, so it is no merge".to_owned(),
                Some(merge) => {
                    let what = if merge.real {
                        format!("a tree that is not what merging {} and {} gives", one.short(), two.short())
                    } else {
                        "one parent that is an ancestor of the other, and not the tree of the other"
                            .to_owned()
                    };
                    what + &listed(merge.touched.as_deref())
                }
                None => "a tree that nobody has computed again".to_owned(),
            },
            _ => {
                format!("{} parents at once, which nobody can compute again", commit.parents.len())
            }
        };
        vec![Finding {
            path: None,
            seen,
            wanted: "merges as `git merge` makes them without a conflict".to_owned(),
            help: "merge again with `git merge` and its default settings, and put what has to change besides into \
                   a commit of its own; where there is a conflict, rebase one side first"
                .to_owned(),
        }]
    }
}

/// The paths that a merge changed by itself, as far as they are known.
fn listed(paths: Option<&[Vec<u8>]>) -> String {
    let Some(paths) = paths.filter(|paths| !paths.is_empty()) else { return String::new() };
    let shown: Vec<String> =
        paths.iter().take(SHOWN).map(|path| format!("`{}`", text::escape_short(path, 100))).collect();
    let more = paths.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(": {}{more}", shown.join(", "))
}
