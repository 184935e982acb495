//! `foreign-object`: a ref holds what was pushed to this repository, not what it can borrow (N12).

use super::{Finding, Judges, Kind, Rule, Scope, no_options};
use crate::policy::facts::Needs;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "foreign-object",
    summary: "a new tip that only another repository has",
    judges: Judges::RefUpdate,
    build: |options| {
        no_options(&options)?;
        Ok(Box::new(ForeignObject))
    },
};

#[derive(Debug)]
struct ForeignObject;

impl Rule for ForeignObject {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn needs(&self) -> Needs {
        Needs::FOREIGN
    }

    /// Nothing of the object is told but its id, which the pusher knows.
    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let reference = scope.reference;
        let Some(new) = reference.update.new else { return Vec::new() };
        let below = &reference.foreign_below;
        let seen = match (reference.foreign, below.first()) {
            (true, _) => format!("{} was not pushed, and no ref of this repository reaches it", new.short()),
            (false, Some(first)) => {
                let more =
                    if below.len() > 1 { format!(" and {} more", below.len() - 1) } else { String::new() };
                format!(
                    "the push builds on {}{more}, which was not pushed and which no ref of this repository reaches",
                    first.short()
                )
            }
            (false, None) => return Vec::new(),
        };
        vec![Finding {
            path: None,
            seen,
            wanted: "a tip that this push brings, or that the repository has itself".to_owned(),
            help: "push it from a clone that has it and has not heard of it from here: \
                   `git push --no-thin` after `git fetch` from where it is; or ask an administrator to fetch it"
                .to_owned(),
        }]
    }
}
