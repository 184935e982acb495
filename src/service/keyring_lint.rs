//! What the keyring and the configuration do not agree about.

use super::effective::{place_of, shown};
use crate::config::Config;
use crate::domain::{Principal, PrincipalKind, Timestamp};
use crate::keyring::lint::{self, Lint, Severity};
use crate::keyring::{Key, Keyring, Role, Standing};
use crate::policy::rules::untrusted_signer;
use crate::policy::{Enforcement, Selector};
use std::collections::{BTreeMap, BTreeSet};

/// Groups that nothing in the configuration names, selectors that name nobody, bypasses for agents. Nothing is said
/// where a tenant's files cannot be used: nobody knows what they would name.
pub fn keyring_lints(config: &Config, keyring: &Keyring, now: Timestamp) -> Vec<Lint> {
    let mut out = Vec::new();
    let known = config.tenant_faults().next().is_none();
    if known {
        unused_groups(config, keyring, &mut out);
    }
    nobody(config, keyring, &mut out);
    for (ruleset, enforcement) in shut(config, keyring, now) {
        let severity = match enforcement {
            Enforcement::Enforce => Severity::Error,
            Enforcement::Evaluate | Enforcement::Off => Severity::Warning,
        };
        let place = place_of(config, &ruleset, untrusted_signer::NAME);
        let message = format!(
            "nobody can sign for ruleset `{}`: none of those whom it allows has a key that is good now",
            shown(&ruleset)
        );
        let remedy = "add a key, let somebody join whom it allows, or allow somebody else";
        out.push(Lint::new("nobody-can-sign", severity, place, message, remedy));
    }
    agents(config, keyring, now, &mut out);
    out
}

/// The selectors of the configuration, with the ruleset and the key that they are written under.
fn selectors(config: &Config) -> Vec<(&str, String, &Selector)> {
    let mut out = Vec::new();
    for set in config.policy.configured().filter(|set| set.part_of.is_none()) {
        for one in set.rules() {
            let name = one.rule.name();
            out.extend(one.rule.selectors().iter().map(|selector| (&*set.name, name.to_owned(), selector)));
        }
        out.extend(set.actors.iter().map(|selector| (&*set.name, "actors".to_owned(), selector)));
        for (index, bypass) in set.bypass.iter().enumerate() {
            let key = format!("bypass {index}");
            out.extend(bypass.who.iter().map(|selector| (&*set.name, key.clone(), selector)));
        }
    }
    out
}

/// The rulesets that say who may sign, and by whose word nobody can now: pushes to their refs are refused,
/// whoever signs. Those that are off are left out.
pub fn shut(config: &Config, keyring: &Keyring, now: Timestamp) -> Vec<(String, Enforcement)> {
    let good = |key: &&Key| {
        let signs = key.roles.has(Role::Commit) || key.roles.has(Role::Tag);
        signs && matches!(key.standing(now), Standing::Valid { .. })
    };
    let mut able: Vec<&Principal> = keyring.keys().iter().filter(good).map(|key| &*key.principal).collect();
    able.dedup_by(|a, b| a.name == b.name);
    // Whom an authority will certify is not written anywhere: whoever it may is taken to be certified.
    let certifying =
        keyring.authorities().iter().filter(|one| matches!(one.standing(now), Standing::Valid { .. }));
    let scopes: Vec<_> = certifying
        .flat_map(|one| &one.scopes)
        .filter(|scope| scope.roles.has(Role::Commit) || scope.roles.has(Role::Tag))
        .collect();
    let certified = |name: &str| scopes.iter().any(|scope| scope.list.matches(name));
    let known = keyring.principals().iter().filter(|one| {
        let suspended = keyring.suspension(&one.name).is_some_and(|one| one.applies(now));
        !scopes.is_empty()
            && !suspended
            && (certified(&one.name) || one.emails.iter().any(|email| certified(email)))
    });
    able.extend(known.map(|one| &**one));
    let strangers: Vec<Principal> = scopes
        .iter()
        .map(|scope| Principal {
            name: String::new(),
            kind: PrincipalKind::Person,
            emails: Vec::new(),
            groups: scope.groups.clone(),
        })
        .collect();
    let mut out = Vec::new();
    for set in config.policy.configured().filter(|set| set.enforcement != Enforcement::Off) {
        let Some(rule) = set.rule(untrusted_signer::NAME) else { continue };
        let mut everybody = able.iter().copied().chain(&strangers);
        let named = rule
            .allowed()
            .iter()
            .any(|one| matches!(one, Selector::Named(PrincipalKind::Person, name) if certified(name)));
        if !named && !everybody.any(|one| rule.accepts_signer(one) != Some(false)) {
            out.push((set.name.to_string(), set.enforcement));
        }
    }
    out
}

/// Groups that holders of certificates and people of `allowed_signers` lines are in, whoever they are.
fn given_groups<'a>(config: &'a Config, keyring: &'a Keyring) -> impl Iterator<Item = &'a String> {
    let scopes = keyring.authorities().iter().flat_map(|one| &one.scopes).flat_map(|scope| &scope.groups);
    scopes.chain(config.keyring.allowed_signers.iter().flat_map(|file| &file.groups))
}

fn unused_groups(config: &Config, keyring: &Keyring, out: &mut Vec<Lint>) {
    let used: BTreeSet<&str> = selectors(config)
        .into_iter()
        .filter_map(|(_, _, selector)| match selector {
            Selector::Group(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    let mut members: BTreeMap<&str, Vec<&Principal>> = BTreeMap::new();
    for principal in keyring.principals() {
        for group in &principal.groups {
            members.entry(group).or_default().push(principal);
        }
    }
    for group in given_groups(config, keyring) {
        members.entry(group).or_default();
    }
    for (group, people) in members.iter().filter(|(group, _)| !used.contains(*group)) {
        let place = people.first().and_then(|first| lint::place_of(keyring, &config.keyring.dir, first));
        let message = format!("no ruleset names the group `{group}`, which has {} members", people.len());
        let message = if people.len() == 1 { message.replace("1 members", "1 member") } else { message };
        let remedy =
            format!("name `group:{group}` in a ruleset, or take the group out of its members' files");
        out.push(Lint::new("unused-group", Severity::Warning, place, message, remedy));
    }
}

fn nobody(config: &Config, keyring: &Keyring, out: &mut Vec<Lint>) {
    let given: BTreeSet<&String> = given_groups(config, keyring).collect();
    for (ruleset, key, selector) in selectors(config) {
        let certified = match selector {
            Selector::Group(name) => given.contains(name),
            Selector::Named(PrincipalKind::Person, name) => keyring
                .authorities()
                .iter()
                .any(|one| one.scopes.iter().any(|scope| scope.list.matches(name))),
            Selector::Kind(PrincipalKind::Person) => !keyring.authorities().is_empty(),
            _ => false,
        };
        let Some(message) = crate::config::names_nobody(selector, keyring).filter(|_| !certified) else {
            continue;
        };
        let within = match key.strip_prefix("bypass ") {
            Some(_) => "a bypass".to_owned(),
            None => format!("`{key}`"),
        };
        let message = format!("{message}: {within} of ruleset `{}`", shown(ruleset));
        let remedy = "correct the name, add whom it means, or take it out";
        let place = place_of(config, ruleset, &key);
        out.push(Lint::new("selector-matches-nobody", Severity::Warning, place, message, remedy));
    }
}

fn agents(config: &Config, keyring: &Keyring, now: Timestamp, out: &mut Vec<Lint>) {
    for set in config.policy.configured().filter(|set| set.part_of.is_none()) {
        for (index, bypass) in set.bypass.iter().enumerate().filter(|(_, bypass)| bypass.is_active(now)) {
            let agents = keyring
                .principals()
                .iter()
                .filter(|one| one.kind == PrincipalKind::Agent && super::effective::is_for(bypass, one));
            let names: Vec<String> = agents.map(|one| format!("`{}`", shown(&one.name))).collect();
            if names.is_empty() {
                continue;
            }
            let place = place_of(config, &set.name, &format!("bypass {index}"));
            let message = format!(
                "a bypass of ruleset `{}` is for {}, and nothing is waived for an agent",
                shown(&set.name),
                names.join(", ")
            );
            let remedy = "take the agent out of the group, or name the people who may";
            out.push(Lint::new("bypass-for-agent", Severity::Warning, place, message, remedy));
        }
    }
}
