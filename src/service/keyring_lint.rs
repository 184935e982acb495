//! What the keyring and the configuration do not agree about.

use super::effective::{place_of, shown};
use crate::config::Config;
use crate::domain::{PrincipalKind, Timestamp};
use crate::keyring::Keyring;
use crate::keyring::lint::{self, Lint, Severity};
use crate::policy::Selector;
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
    let mut members: BTreeMap<&str, Vec<&crate::domain::Principal>> = BTreeMap::new();
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
