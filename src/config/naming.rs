//! Where a configuration names principals and groups.

use super::{Config, Place};
use crate::policy::Selector;

/// One place that names somebody.
#[derive(Clone, Debug)]
pub struct Naming {
    /// What it is: "ruleset `prod`, rule `untrusted-signer`".
    pub what: String,
    /// Where it stands, where that is known.
    pub place: Option<Place>,
    /// Whom it names.
    pub selectors: Vec<Selector>,
}

/// Every rule, list of actors and bypass of every ruleset that names somebody, those of tenants and those
/// that are off among them.
pub fn namings(config: &Config) -> Vec<Naming> {
    let mut all = Vec::new();
    for ruleset in config.policy.configured().filter(|set| set.part_of.is_none()) {
        let mut push = |part: String, key: &str, selectors: &[Selector]| {
            if !selectors.is_empty() {
                let place = config.places.of(&ruleset.name, key);
                all.push(Naming {
                    what: format!("ruleset `{}`, {part}", ruleset.name),
                    place: place.or_else(|| config.places.of(&ruleset.name, "name")).cloned(),
                    selectors: selectors.to_vec(),
                });
            }
        };
        push("`actors`".to_owned(), "actors", &ruleset.actors);
        for (index, bypass) in ruleset.bypass.iter().enumerate() {
            push("`bypass`".to_owned(), &format!("bypass {index}"), &bypass.who);
        }
        for configured in ruleset.rules() {
            let name = configured.rule.name();
            let mut selectors = configured.rule.selectors().to_vec();
            for one in configured.rule.allowed() {
                if !selectors.contains(one) {
                    selectors.push(one.clone());
                }
            }
            push(format!("rule `{name}`"), name, &selectors);
        }
    }
    all
}

impl Naming {
    /// Whether it names this principal by its name, of whatever kind.
    pub fn names(&self, principal: &str) -> bool {
        self.selectors.iter().any(|one| matches!(one, Selector::Named(_, name) if name == principal))
    }

    /// Whether it names this group.
    pub fn names_group(&self, group: &str) -> bool {
        self.selectors.iter().any(|one| matches!(one, Selector::Group(name) if name == group))
    }
}

impl std::fmt::Display for Naming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{} ({place})", self.what),
            None => f.write_str(&self.what),
        }
    }
}
