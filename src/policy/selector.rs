//! Selecting principals: `group:sre`, `bot:renovate`.

use crate::domain::{Principal, PrincipalKind};
use std::fmt;

/// Names one or more principals of the keyring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// `group:NAME`: every member of a group.
    Group(String),
    /// `person:NAME`, `bot:NAME`, `agent:NAME`, `forge:NAME`: one principal, which must be of that kind.
    Named(PrincipalKind, String),
    /// `kind:person` and so on: every principal of a kind.
    Kind(PrincipalKind),
}

/// Why some text is not a selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` selects nobody: write `group:NAME`, `person:NAME`, `bot:NAME`, `agent:NAME`, `forge:NAME` or `kind:person`"
)]
pub struct SelectorError {
    /// As written.
    pub text: String,
}

impl Selector {
    /// Parses a selector.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let error = || SelectorError { text: text.to_owned() };
        let (prefix, name) = text.split_once(':').ok_or_else(error)?;
        if name.is_empty() {
            return Err(error());
        }
        match prefix {
            "group" => Ok(Selector::Group(name.to_owned())),
            "kind" => kind(name).map(Selector::Kind).ok_or_else(error),
            other => kind(other).map(|kind| Selector::Named(kind, name.to_owned())).ok_or_else(error),
        }
    }

    /// Whether this principal is meant.
    pub fn matches(&self, principal: &Principal) -> bool {
        match self {
            Selector::Group(group) => principal.groups.contains(group),
            Selector::Named(kind, name) => principal.kind == *kind && principal.name == *name,
            Selector::Kind(kind) => principal.kind == *kind,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Group(name) => write!(f, "group:{name}"),
            Selector::Named(kind, name) => write!(f, "{kind}:{name}"),
            Selector::Kind(kind) => write!(f, "kind:{kind}"),
        }
    }
}

fn kind(word: &str) -> Option<PrincipalKind> {
    [PrincipalKind::Person, PrincipalKind::Bot, PrincipalKind::Agent, PrincipalKind::Forge]
        .into_iter()
        .find(|kind| kind.name() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_by_group_name_and_kind() {
        let bot = Principal {
            name: "renovate".into(),
            kind: PrincipalKind::Bot,
            emails: Vec::new(),
            groups: vec!["automation".into()],
        };
        assert!(Selector::parse("group:automation").unwrap().matches(&bot));
        assert!(Selector::parse("bot:renovate").unwrap().matches(&bot));
        assert!(Selector::parse("kind:bot").unwrap().matches(&bot));
        assert!(!Selector::parse("person:renovate").unwrap().matches(&bot), "the kind is part of the name");
        for wrong in ["sre", "group:", "team:x", "kind:robot"] {
            assert!(Selector::parse(wrong).is_err(), "{wrong}");
        }
    }
}
