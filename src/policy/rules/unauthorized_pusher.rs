//! `unauthorized-pusher`: who may create, update, force and delete a ref. It rests on the server's word on who
//! pushes (N18).

use super::people::{any, called, listed, nobody, selectors};
use super::{Finding, Judges, Kind, Rule, Scope, options};
use crate::domain::UpdateKind;
use crate::policy::Selector;
use serde::Deserialize;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "unauthorized-pusher",
    summary: "a push by somebody who may not do this to the ref",
    judges: Judges::RefUpdate,
    build: |table| {
        let Options { create, update, force, delete } = options(table)?;
        let list = |written: Option<Vec<String>>| selectors(&written.unwrap_or_default());
        let rule = UnauthorizedPusher {
            create: list(create)?,
            update: list(update)?,
            force: list(force)?,
            delete: list(delete)?,
            named: Vec::new(),
        };
        let named = [&rule.create, &rule.update, &rule.force, &rule.delete];
        let named: Vec<Selector> = named.into_iter().flatten().cloned().collect();
        if named.is_empty() {
            return Err(
                "it would let nobody push at all, which `locked-ref` says; name who may `create`, `update`, `force` or \
                 `delete`"
                    .into(),
            );
        }
        Ok(Box::new(UnauthorizedPusher { named, ..rule }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    create: Option<Vec<String>>,
    update: Option<Vec<String>>,
    force: Option<Vec<String>>,
    delete: Option<Vec<String>>,
}

/// An action that is not named is open to nobody.
#[derive(Debug)]
struct UnauthorizedPusher {
    create: Vec<Selector>,
    update: Vec<Selector>,
    force: Vec<Selector>,
    delete: Vec<Selector>,
    named: Vec<Selector>,
}

impl Rule for UnauthorizedPusher {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn needs_pusher(&self) -> bool {
        true
    }

    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let (allowed, action, key) = match scope.reference.kind {
            UpdateKind::Create => (&self.create, "creates the ref", "create"),
            UpdateKind::FastForward => (&self.update, "updates the ref", "update"),
            UpdateKind::Force => (&self.force, "forces the ref to another history", "force"),
            UpdateKind::Delete => (&self.delete, "deletes the ref", "delete"),
        };
        let pusher = scope.facts.pusher.as_deref();
        if pusher.is_some_and(|pusher| any(allowed, pusher)) {
            return Vec::new();
        }
        let who = pusher.map_or_else(|| format!("{},", nobody(scope)), called);
        let wanted = match allowed.is_empty() {
            true => format!("nobody who {action}: `{key}` names nobody"),
            false => format!("a pusher among {}, where a push {action}", listed(allowed)),
        };
        let help = match pusher {
            Some(_) => "have somebody push it who may, or ask an administrator for a place on the list",
            None => {
                "ask the keyring's keeper to add your account to your entry, or push with another account"
            }
        };
        vec![Finding { path: None, seen: format!("{who} {action}"), wanted, help: help.to_owned() }]
    }

    fn selectors(&self) -> &[Selector] {
        &self.named
    }
}
