//! Warnings that need more than the file: the keyring, and the repositories there are.

use super::{Config, Warning};
use crate::domain::{Principal, text};
use crate::keyring::Keyring;
use crate::keyring::document::nearest;
use crate::policy::rules::{identity_mismatch, untrusted_signer};
use crate::policy::{Pattern, Refs, Ruleset, Selector};

/// What loads and yet cannot have been meant: an empty keyring, selectors that name nobody, signers whom
/// `identity-mismatch` always refuses, rulesets for repositories that are not there (N2).
///
/// `repositories` are the names of the repositories below the root; with none, nothing is said about
/// patterns.
pub fn lint(config: &Config, keyring: &Keyring, repositories: &[String]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if keyring.keys().is_empty() && keyring.authorities().is_empty() {
        let shown = text::escape(config.keyring.dir.as_os_str().as_encoded_bytes());
        warnings.push(Warning::general(format!(
            "the keyring `{shown}` is empty: every signature is by an unknown key; add one with `countersign \
             keyring add NAME --key FILE`"
        )));
    }
    for ruleset in config.policy.configured().filter(|set| set.part_of.is_none()) {
        let warn = |key: &str, message: String| Warning {
            message,
            place: config.places.of(&ruleset.name, key).cloned(),
        };
        let known = |name: &String| ruleset.applies_to_repository(name);
        if !repositories.is_empty() && !repositories.iter().any(known) {
            let message = format!("ruleset `{}` matches none of the known repositories", ruleset.name);
            warnings.push(warn("repositories", message));
        } else if let Some(message) = unmatched(ruleset, repositories) {
            warnings.push(warn("repositories", message));
        }
        if let Some(message) = with_ending(ruleset) {
            warnings.push(warn("repositories", message));
        }
        for message in not_pushed(ruleset, &config.repositories.namespaces) {
            warnings.push(warn("refs", message));
        }
        for (rule, selector) in selectors(ruleset) {
            if let Some(message) = names_nobody(selector, keyring) {
                warnings.push(warn(rule, message));
            }
        }
        // A pusher who is known and among no actors is not judged at all.
        for message in ruleset.actors.iter().filter_map(|one| names_nobody(one, keyring)) {
            warnings.push(warn("actors", message));
        }
        for (index, bypass) in ruleset.bypass.iter().enumerate() {
            for message in bypass.who.iter().filter_map(|one| names_nobody(one, keyring)) {
                warnings.push(warn(&format!("bypass {index}"), message));
            }
        }
        if let Some(message) = without_emails(ruleset, keyring) {
            warnings.push(warn(identity_mismatch::NAME, message));
        }
    }
    warnings
}

/// The patterns of a ruleset for repositories that match none, where others do.
fn unmatched(ruleset: &Ruleset, repositories: &[String]) -> Option<String> {
    if repositories.is_empty() {
        return None;
    }
    let matches = |pattern: &&Pattern| repositories.iter().any(|name| pattern.is_match(name.as_bytes()));
    let lost: Vec<&Pattern> = ruleset.repositories.iter().filter(|pattern| !matches(pattern)).collect();
    let shown = listed(lost.iter().map(|pattern| pattern.source()));
    let verb = if lost.len() == 1 { "matches" } else { "match" };
    (!lost.is_empty())
        .then(|| format!("{shown} of ruleset `{}` {verb} none of the known repositories", ruleset.name))
}

/// Patterns for repositories with the ending that names do not have here (N3).
fn with_ending(ruleset: &Ruleset) -> Option<String> {
    let lost: Vec<&str> =
        ruleset.repositories.iter().map(Pattern::source).filter(|source| source.ends_with(".git")).collect();
    let bare = listed(lost.iter().map(|source| source.trim_end_matches(".git").trim_end_matches('\\')));
    let shown = listed(lost.iter().copied());
    (!lost.is_empty()).then(|| format!("{shown}: names of repositories are without `.git`; write {bare}"))
}

/// Patterns that match only refs which nobody can push: a mistyped hierarchy protects nothing.
fn not_pushed(ruleset: &Ruleset, namespaces: &[String]) -> Vec<String> {
    let pushed = |refs: &Refs| {
        let sources = refs.sources();
        let Some(source) = sources.first().filter(|source| source.starts_with("refs/")) else { return true };
        let begin = source.split(['*', '?', '[', '{', '\\']).next().unwrap_or_default();
        namespaces.iter().any(|one| begin.starts_with(one.as_str()) || one.starts_with(begin))
    };
    let lost = ruleset.refs.included().filter(|refs| !pushed(refs));
    let message = |refs: Refs| {
        let shown = listed(refs.sources().iter().map(String::as_str));
        format!("{shown} of ruleset `{}` is in none of the `namespaces` that may be pushed", ruleset.name)
    };
    lost.map(message).collect()
}

/// Patterns for people, the first of them.
pub fn listed<'a>(patterns: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<String> =
        patterns.map(|one| format!("`{}`", text::escape_short(one.as_bytes(), 80))).collect();
    let mut shown = all.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if all.len() > NAMED {
        shown.push_str(&format!(" and {} more", all.len() - NAMED));
    }
    shown
}

/// Most principals or patterns that one warning names.
const NAMED: usize = 5;

/// Who may sign by this ruleset, and cannot match because the keyring has no address of theirs.
fn without_emails(ruleset: &Ruleset, keyring: &Keyring) -> Option<String> {
    let exempt = ruleset.rule(identity_mismatch::NAME)?.selectors();
    let allowed = ruleset.rule(untrusted_signer::NAME).map(|rule| rule.allowed()).unwrap_or_default();
    let any =
        |selectors: &[Selector], principal: &Principal| selectors.iter().any(|one| one.matches(principal));
    let concerned = |principal: &&Principal| {
        principal.emails.is_empty()
            && !any(exempt, principal)
            && (allowed.is_empty() || any(allowed, principal))
    };
    let everybody = keyring.principals().iter().map(|principal| principal.as_ref());
    let name = |one: &Principal| format!("`{}:{}`", one.kind, text::escape(one.name.as_bytes()));
    let names: Vec<String> = everybody.filter(concerned).map(name).collect();
    let mut shown = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        shown.push_str(&format!(" and {} more", names.len() - NAMED));
    }
    let message = format!(
        "the keyring has no e-mail of {shown}, so nothing that they sign passes; add one with `countersign \
         keyring add NAME --email ADDRESS --key FILE`"
    );
    (!names.is_empty()).then_some(message)
}

fn selectors(ruleset: &Ruleset) -> impl Iterator<Item = (&'static str, &Selector)> {
    ruleset.rules().iter().flat_map(|one| {
        let name = one.rule.name();
        one.rule.selectors().iter().map(move |selector| (name, selector))
    })
}

/// That a selector names nobody of the keyring, and whom it may mean; `None` where it names somebody.
pub(crate) fn names_nobody(selector: &Selector, keyring: &Keyring) -> Option<String> {
    let everybody = || keyring.principals().iter().map(|principal| principal.as_ref());
    if everybody().any(|principal| selector.matches(principal)) {
        return None;
    }
    let shown = text::escape(selector.to_string().as_bytes());
    let hint = match selector {
        Selector::Group(name) => {
            nearest(name, everybody().flat_map(|principal| principal.groups.iter().map(String::as_str)))
                .map(|near| format!("; did you mean `group:{near}`?"))
        }
        Selector::Named(_, name) => {
            let same = everybody().find(|principal| principal.name == *name);
            let near = || nearest(name, everybody().map(|principal| principal.name.as_str()));
            let near = || near().and_then(|near| everybody().find(|principal| principal.name == near));
            same.or_else(near).map(|Principal { name, kind, .. }| format!("; did you mean `{kind}:{name}`?"))
        }
        Selector::Kind(_) => None,
    };
    Some(format!("`{shown}` selects nobody in the keyring{}", hint.unwrap_or_default()))
}
