//! What somebody of the keyring may do, by the rulesets of the configuration.

use super::effective::{is_for, place, shown};
use crate::config::Config;
use crate::domain::{Principal, PrincipalKind, Timestamp};
use crate::keyring::{Key, Keyring, Role, Standing};
use crate::policy::rules::{bad_signature, protected_path, untrusted_signer};
use crate::policy::{Enforcement, Ruleset};
use serde::Serialize;
use std::collections::BTreeSet;

/// What one ruleset has to say about somebody. All text is escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ability {
    /// The ruleset.
    pub ruleset: String,
    /// Where it is written.
    pub place: Option<String>,
    /// `enforce`, `evaluate` or `off`.
    pub enforcement: &'static str,
    /// Its patterns for repositories.
    pub repositories: Vec<String>,
    /// Its patterns for refs, exclusions with `!`.
    pub refs: Vec<String>,
    /// Whether it takes this principal's signature: `yes`, `no`, or `any` where it does not ask who signs.
    pub signs: &'static str,
    /// Which rule says so.
    pub by: &'static str,
    /// Rules besides that name the principal: among them the `protected-path` lists that it is on.
    pub named_by: Vec<Naming>,
    /// `protected-path` rules whose lists it is not on.
    pub kept_from: Vec<Naming>,
    /// Bypasses that are for this principal. Agents have none.
    pub bypasses: Vec<Waiving>,
}

/// A rule that names somebody, or does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Naming {
    /// Which rule.
    pub rule: &'static str,
    /// What it wants, options included.
    pub about: String,
    /// Where it is written.
    pub place: Option<String>,
}

/// A bypass that is for somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waiving {
    /// Which rules it waives.
    pub rules: Vec<String>,
    /// `key` or `pusher`.
    pub proof: &'static str,
    /// On which of the ruleset's refs; all of them where this is not there.
    pub refs: Option<Vec<String>>,
    /// Until when.
    pub expires: Option<String>,
    /// Whether it does anything any more.
    pub active: bool,
    /// Where it is written.
    pub place: Option<String>,
}

/// What each ruleset of the configuration has to say about a principal. The one that comes with every configuration
/// asks nobody who they are and is left out.
pub fn abilities(config: &Config, principal: &Principal, now: Timestamp) -> Vec<Ability> {
    config.policy.configured().map(|ruleset| ability(config, ruleset, principal, now)).collect()
}

fn ability(config: &Config, ruleset: &Ruleset, principal: &Principal, now: Timestamp) -> Ability {
    let verdict = ruleset.rule(untrusted_signer::NAME).and_then(|rule| rule.accepts_signer(principal));
    let (signs, by) = match verdict {
        Some(true) => ("yes", untrusted_signer::NAME),
        Some(false) => ("no", untrusted_signer::NAME),
        // Whoever of the keyring signs: it must be good, and nobody asks whose it is.
        None if ruleset.has_rule(bad_signature::NAME) => ("yes", bad_signature::NAME),
        None => ("any", "no rule about signatures"),
    };
    let mut named_by = Vec::new();
    let mut kept_from = Vec::new();
    for one in ruleset.rules().iter().filter(|one| one.rule.name() != untrusted_signer::NAME) {
        let selectors = one.rule.selectors();
        let about = || Naming {
            rule: one.rule.name(),
            about: one.rule.describe(),
            place: place(config, ruleset, one.rule.name()),
        };
        if selectors.iter().any(|selector| selector.matches(principal)) {
            named_by.push(about());
        } else if one.rule.name() == protected_path::KIND.name {
            kept_from.push(about());
        }
    }
    let own = ruleset.bypass.iter().enumerate();
    let own = own.filter(|(_, bypass)| principal.kind != PrincipalKind::Agent && is_for(bypass, principal));
    let bypasses = own.map(|(index, bypass)| Waiving {
        rules: bypass.rules.clone(),
        proof: bypass.proof.name(),
        refs: bypass.refs.as_ref().map(super::effective::ref_patterns),
        expires: bypass.expires.map(|time| time.to_string()),
        active: bypass.is_active(now),
        place: place(config, ruleset, &format!("bypass {index}")),
    });
    Ability {
        ruleset: shown(&ruleset.name),
        place: place(config, ruleset, "name"),
        enforcement: ruleset.enforcement.name(),
        repositories: super::effective::patterns(&ruleset.repositories),
        refs: super::effective::ref_patterns(&ruleset.refs),
        signs,
        by,
        named_by,
        kept_from,
        bypasses: bypasses.collect(),
    }
}

/// One thing that somebody may do by one ruleset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Grant {
    /// Who.
    pub principal: String,
    /// By which ruleset.
    pub ruleset: String,
    /// What: `sign commits`, `sign tags`, or a rule or bypass in words.
    pub what: String,
}

/// Who gains and who loses what between two states of the keyring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Shift {
    /// What somebody may do only now.
    pub gained: Vec<Grant>,
    /// What somebody may do no more.
    pub lost: Vec<Grant>,
}

/// What the configuration makes of the difference between two keyrings, as of `now`. Somebody without a key that is
/// good then can sign nothing, whatever a ruleset says of them. Holders of certificates are not in it: whom an
/// authority will certify is not written anywhere.
pub fn shift(config: &Config, old: &Keyring, new: &Keyring, now: Timestamp) -> Shift {
    let (old, new) = (grants(config, old, now), grants(config, new, now));
    Shift { gained: new.difference(&old).cloned().collect(), lost: old.difference(&new).cloned().collect() }
}

fn grants(config: &Config, keyring: &Keyring, now: Timestamp) -> BTreeSet<Grant> {
    let able = |role| -> BTreeSet<&str> {
        let good = |key: &&Key| matches!(key.standing(now), Standing::Valid { .. }) && key.roles.has(role);
        keyring.keys().iter().filter(good).map(|key| key.principal.name.as_str()).collect()
    };
    let (commits, tags) = (able(Role::Commit), able(Role::Tag));
    let mut out = BTreeSet::new();
    for principal in keyring.principals() {
        // Of somebody who is suspended nothing counts, the server's word on who pushes neither.
        if keyring.suspension(&principal.name).is_some_and(|suspended| suspended.applies(now)) {
            continue;
        }
        let name = principal.name.as_str();
        let (signs_commits, signs_tags) = (commits.contains(name), tags.contains(name));
        for one in abilities(config, principal, now) {
            if one.enforcement == Enforcement::Off.name() {
                continue;
            }
            let mut add = |what: String| {
                let (principal, ruleset) = (shown(&principal.name), one.ruleset.clone());
                out.insert(Grant { principal, ruleset, what });
            };
            if one.signs == "yes" {
                for (able, what) in [(signs_commits, "sign commits"), (signs_tags, "sign tags")] {
                    if able {
                        add(what.to_owned());
                    }
                }
            }
            // What goes by the server's word needs no key.
            for naming in &one.named_by {
                add(format!("{}: {}", naming.rule, naming.about));
            }
            for waiving in one
                .bypasses
                .iter()
                .filter(|one| one.active && (signs_commits || signs_tags || one.proof == "pusher"))
            {
                add(format!("bypass {}", waiving.rules.join(", ")));
            }
        }
    }
    out
}
