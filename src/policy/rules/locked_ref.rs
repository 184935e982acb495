//! `locked-ref`: nobody moves these refs.

use super::{Finding, Judges, Kind, Rule, Scope, no_options};
use crate::domain::UpdateKind;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "locked-ref",
    summary: "any push to the ref: creation, update, deletion",
    judges: Judges::RefUpdate,
    build: |options| {
        no_options(&options)?;
        Ok(Box::new(LockedRef))
    },
};

#[derive(Debug)]
struct LockedRef;

impl Rule for LockedRef {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let does = match scope.reference.kind {
            UpdateKind::Create => "creates",
            UpdateKind::FastForward => "updates",
            UpdateKind::Force => "rewrites",
            UpdateKind::Delete => "deletes",
        };
        vec![Finding {
            path: None,
            seen: format!("the push {does} a ref that is locked"),
            wanted: "no push to this ref while it is locked".to_owned(),
            help: "push to another branch, or ask an administrator whether the lock is still meant"
                .to_owned(),
        }]
    }
}
