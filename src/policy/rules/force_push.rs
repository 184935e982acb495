//! `force-push`: a ref may only move forward.

use super::{Finding, Judges, Kind, Rule, Scope, no_options};
use crate::domain::{UpdateKind, text};

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
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let reference = scope.reference;
        if reference.kind != UpdateKind::Force {
            return Vec::new();
        }
        let old = reference.current.map_or_else(String::new, |id| id.short());
        let help = match reference.name.branch() {
            Some(branch) => format!(
                "bring in what is there with `git pull --rebase origin {}`, then push without --force; \
                 to undo a commit, push a `git revert` of it",
                quoted(branch)
            ),
            None => "push under a new name; what a protected ref holds stays".to_owned(),
        };
        vec![Finding {
            path: None,
            seen: format!("the new tip does not descend from {old}, which the ref holds now"),
            wanted: "an update that keeps every commit of the ref".to_owned(),
            help,
        }]
    }
}

/// A name as it can be copied into a shell, which would act on some of what names may hold.
fn quoted(name: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._/-+@".contains(byte);
    let shown = text::escape(name);
    if name.iter().all(plain) { shown } else { format!("'{}'", shown.replace('\'', "'\\''")) }
}
