//! Who owns keys.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What sort of actor a principal is. Some rules treat them differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrincipalKind {
    /// A human being.
    #[default]
    Person,
    /// Automation that acts on a schedule or on events, such as a dependency updater.
    Bot,
    /// Automation that acts on its own judgement. Never trusted with a bypass (N19).
    Agent,
    /// A forge's own key, which signs merges and web edits on behalf of others.
    Forge,
}

impl PrincipalKind {
    /// The word that configuration and selectors use (`person`, `bot`, `agent`, `forge`).
    pub const fn name(self) -> &'static str {
        match self {
            PrincipalKind::Person => "person",
            PrincipalKind::Bot => "bot",
            PrincipalKind::Agent => "agent",
            PrincipalKind::Forge => "forge",
        }
    }
}

impl fmt::Display for PrincipalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One person or robot of the keyring, owner of one or more keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The name in the keyring, unique there: `[a-z0-9][a-z0-9._-]*`.
    pub name: String,
    /// What sort of actor it is.
    pub kind: PrincipalKind,
    /// Addresses that are this principal's.
    pub emails: Vec<String>,
    /// Groups, for selectors such as `group:sre`.
    pub groups: Vec<String>,
}
