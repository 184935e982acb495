//! `force-push`: a ref may only move forward.

use super::{Finding, Judges, Kind, Rule, no_options};
use crate::domain::UpdateKind;
use crate::policy::facts::RefFacts;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "force-push",
    summary: "an update that drops commits the ref had",
    judges: Judges::RefUpdate,
    build: |options| {
        no_options(&options)?;
        Ok(Box::new(ForcePush))
    },
};

#[derive(Debug)]
struct ForcePush;

impl Rule for ForcePush {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn judges(&self) -> Judges {
        KIND.judges
    }

    fn check_ref(&self, reference: &RefFacts) -> Option<Finding> {
        if reference.kind != UpdateKind::Force {
            return None;
        }
        let old = reference.current.map_or_else(String::new, |id| id.short());
        let branch = String::from_utf8_lossy(reference.name.branch().unwrap_or(b"BRANCH")).into_owned();
        Some(Finding {
            seen: format!("the new tip does not descend from {old}, which the ref holds now"),
            wanted: "an update that keeps every commit of the ref".to_owned(),
            help: format!(
                "bring in what is there with `git pull --rebase origin {branch}`, then push without --force; \
                 to undo a commit, push a `git revert` of it"
            ),
        })
    }
}
