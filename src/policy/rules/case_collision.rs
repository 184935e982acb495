//! `case-collision`: no two refs that a file system may take for one (T22).

use super::{Finding, Judges, Kind, Rule, Scope, no_options};
use crate::domain::{RefName, UpdateKind, fold_name};
use crate::policy::facts::Needs;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "case-collision",
    summary: "a new ref that differs from another in case only",
    judges: Judges::RefUpdate,
    build: |options| {
        no_options(&options)?;
        Ok(Box::new(CaseCollision))
    },
};

#[derive(Debug)]
struct CaseCollision;

impl Rule for CaseCollision {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn needs(&self) -> Needs {
        Needs::NAMES
    }

    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let reference = scope.reference;
        if reference.kind != UpdateKind::Create {
            return Vec::new();
        }
        let Some(other) = scope.facts.repository.names.same_but_for_case(&reference.name) else {
            return Vec::new();
        };
        let parts = |name: &RefName| name.as_bytes().iter().filter(|byte| **byte == b'/').count();
        let seen = if fold_name(other.as_bytes()) == fold_name(reference.name.as_bytes()) {
            format!("the name is that of {other} where case does not count")
        } else if parts(other) > parts(&reference.name) {
            format!("the name is that of a directory of {other} where case does not count")
        } else {
            format!("the name lies in a directory that is {other} where case does not count")
        };
        vec![Finding {
            path: None,
            seen,
            wanted:
                "names that differ in more than case, since many clones are on file systems that ignore it"
                    .to_owned(),
            help: "push under another name, or delete the other ref first".to_owned(),
        }]
    }
}
