//! `ref-deletion`: these refs stay.

use super::{Finding, Judges, Kind, Rule, Scope, no_options};
use crate::domain::UpdateKind;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "ref-deletion",
    summary: "a push that deletes a ref",
    judges: Judges::RefUpdate,
    build: |options| {
        no_options(&options)?;
        Ok(Box::new(RefDeletion))
    },
};

#[derive(Debug)]
struct RefDeletion;

impl Rule for RefDeletion {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let found = (scope.reference.kind == UpdateKind::Delete).then(|| Finding {
            path: None,
            seen: match scope.reference.current {
                Some(id) => format!("the push deletes the ref, which holds {}", id.short()),
                None => "the push deletes the ref".to_owned(),
            },
            wanted: "the ref stays".to_owned(),
            help: "leave the ref out of the push; an administrator can retire a protected ref".to_owned(),
        });
        found.into_iter().collect()
    }
}
