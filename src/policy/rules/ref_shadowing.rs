//! `ref-shadowing`: no ref is found where people ask for a protected one (N33).

use super::{Finding, Judges, Kind, Rule, Scope, no_options};
use crate::domain::{RefName, UpdateKind, text};
use crate::policy::facts::Needs;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "ref-shadowing",
    summary: "a ref whose short name is that of a protected ref elsewhere",
    judges: Judges::RefUpdate,
    build: |options| {
        no_options(&options)?;
        Ok(Box::new(RefShadowing))
    },
};

#[derive(Debug)]
struct RefShadowing;

impl Rule for RefShadowing {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn needs(&self) -> Needs {
        Needs::NAMES
    }

    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let reference = scope.reference;
        if reference.kind == UpdateKind::Delete {
            return Vec::new();
        }
        let repository = &scope.facts.repository;
        let default_branch = repository.default_branch.as_ref();
        let protected = |name: &RefName| {
            scope.policy.protects(&scope.facts.context.repository.name, name, default_branch)
        };
        let exists = |name: &RefName| repository.names.contains(name);
        let Some((hierarchy, short)) = parts(&reference.name) else { return Vec::new() };
        // What this ref would stand in front of.
        let hidden = stripped(short)
            .into_iter()
            .flat_map(|short| elsewhere(hierarchy, short.to_vec()))
            .find(|name| exists(name) && protected(name));
        if let Some(hidden) = hidden {
            return vec![finding(&reference.name, &hidden, short)];
        }
        // What stands in front of this one. A ref that has been in the way all along is no fault of a push
        // to the protected ref; one that would be in the way of a new ref is.
        if reference.kind != UpdateKind::Create || !protected(&reference.name) {
            return Vec::new();
        }
        let mut before = prefixed(short)
            .into_iter()
            .flat_map(|short| elsewhere(hierarchy, short))
            .filter(|name| exists(name));
        before
            .next()
            .map(|other| {
                let shown = text::escape(short);
                Finding {
                    path: None,
                    seen: format!("{other} exists, and git finds it where people ask for `{shown}`"),
                    wanted: "a protected ref whose short name no other ref has".to_owned(),
                    help: "push under another name, or have the other ref deleted first".to_owned(),
                }
            })
            .into_iter()
            .collect()
    }
}

fn finding(name: &RefName, hidden: &RefName, short: &[u8]) -> Finding {
    Finding {
        path: None,
        seen: format!(
            "`{}` also means {hidden}, which is protected, and git may find {name} first",
            text::escape(short)
        ),
        wanted: "no other ref whose short name is that of a protected one".to_owned(),
        help: "push under another name".to_owned(),
    }
}

/// What people write before a short name.
const PREFIXES: [&[u8]; 5] = [b"origin/", b"heads/", b"tags/", b"remotes/", b"refs/"];
/// The hierarchies in which git looks for a short name.
const HIERARCHIES: [&[u8]; 3] = [b"heads", b"tags", b"remotes"];

/// `heads` and `main` of `refs/heads/main`.
fn parts(name: &RefName) -> Option<(&[u8], &[u8])> {
    let below = name.as_bytes().strip_prefix(b"refs/")?;
    let at = below.iter().position(|byte| *byte == b'/')?;
    Some((&below[..at], &below[at + 1..]))
}

/// The short name, and what is left of it after each way to write more than that; `refs/heads/main` as a
/// short name has two.
fn stripped(short: &[u8]) -> Vec<&[u8]> {
    let mut out = vec![short];
    let mut at = 0;
    while let Some(one) = out.get(at).copied() {
        at += 1;
        out.extend(
            PREFIXES.iter().filter_map(|prefix| one.strip_prefix(*prefix)).filter(|rest| !rest.is_empty()),
        );
        if at > 8 {
            break;
        }
    }
    out
}

/// The ways to write a short name.
fn prefixed(short: &[u8]) -> Vec<Vec<u8>> {
    let mut out = vec![short.to_vec()];
    out.extend(PREFIXES.iter().map(|prefix| [prefix, short].concat()));
    out.extend(HIERARCHIES.iter().map(|hierarchy| [&b"refs/"[..], hierarchy, b"/", short].concat()));
    out
}

/// That short name in the other hierarchies.
fn elsewhere(hierarchy: &[u8], short: Vec<u8>) -> Vec<RefName> {
    let others = HIERARCHIES.iter().filter(|one| **one != hierarchy);
    others.filter_map(|one| RefName::parse(&[&b"refs/"[..], one, b"/", &short].concat()).ok()).collect()
}
