//! `ref-creation`: nobody makes new refs of these names by pushing.

use super::{Finding, Judges, Kind, Rule, Scope, no_options};
use crate::domain::UpdateKind;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "ref-creation",
    summary: "a push that creates a ref",
    judges: Judges::RefUpdate,
    build: |options| {
        no_options(&options)?;
        Ok(Box::new(RefCreation))
    },
};

#[derive(Debug)]
struct RefCreation;

impl Rule for RefCreation {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let found = (scope.reference.kind == UpdateKind::Create).then(|| Finding {
            path: None,
            seen: "the ref does not exist yet".to_owned(),
            wanted: "an update of a ref that exists".to_owned(),
            help: "push to a name outside the protected pattern, or ask an administrator to create the ref"
                .to_owned(),
        });
        found.into_iter().collect()
    }
}
