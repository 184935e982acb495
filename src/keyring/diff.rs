//! What two states of a keyring differ in, as meaning and not as text.

use super::{Authority, FidoDemands, Key, Keyring, Revocation, Scope, Windows};
use crate::domain::{Principal, Timestamp};
use crate::signature::{Demand, openpgp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Whom it is about; nobody for authorities and lists.
    pub principal: Option<String>,
    /// Which key, authority or list it is about.
    pub key: Option<String>,
    /// What changed, a stable word: `key-added`, `window-changed`.
    pub what: &'static str,
    /// What was there, for people; `None` where nothing was.
    pub old: Option<String>,
    /// What is there now.
    pub new: Option<String>,
}

/// Everything that differs, by principal and key; the order of files, comments and spelling do not. `now` is when
/// certificates are looked at.
pub fn diff(old: &Keyring, new: &Keyring, now: Timestamp) -> Vec<Change> {
    let mut out = Vec::new();
    people(old, new, &mut out);
    keys(old, new, now, &mut out);
    authorities(old, new, &mut out);
    lists(old, new, &mut out);
    out.sort();
    out
}

/// Notes a difference between two texts, where there is one.
struct Notes<'a> {
    principal: Option<&'a str>,
    key: Option<&'a str>,
    out: &'a mut Vec<Change>,
}

impl Notes<'_> {
    fn note(&mut self, what: &'static str, old: Option<String>, new: Option<String>) {
        if old != new {
            let (principal, key) = (self.principal.map(str::to_owned), self.key.map(str::to_owned));
            self.out.push(Change { principal, key, what, old, new });
        }
    }

    /// What one list has and the other lacks.
    fn lists(&mut self, [added, removed]: [&'static str; 2], old: &[String], new: &[String]) {
        let (old, new): (BTreeSet<&String>, BTreeSet<&String>) = (old.iter().collect(), new.iter().collect());
        for gone in old.difference(&new) {
            self.note(removed, Some((*gone).clone()), None);
        }
        for fresh in new.difference(&old) {
            self.note(added, None, Some((*fresh).clone()));
        }
    }
}

fn people(old: &Keyring, new: &Keyring, out: &mut Vec<Change>) {
    let by_name = |keyring: &'_ Keyring| -> BTreeMap<String, Arc<Principal>> {
        keyring.principals().iter().map(|one| (one.name.clone(), Arc::clone(one))).collect()
    };
    let accounts = |keyring: &Keyring| -> BTreeMap<String, Vec<String>> {
        let all = keyring.account_holders();
        all.map(|(one, accounts)| (one.name.clone(), accounts.iter().map(ToString::to_string).collect()))
            .collect()
    };
    let (old_people, new_people) = (by_name(old), by_name(new));
    let (old_accounts, new_accounts) = (accounts(old), accounts(new));
    for name in old_people.keys().chain(new_people.keys()).collect::<BTreeSet<_>>() {
        let (before, after) = (old_people.get(name), new_people.get(name));
        let mut notes = Notes { principal: Some(name), key: None, out };
        let kind = |one: Option<&Arc<Principal>>| one.map(|one| one.kind.to_string());
        match (before, after) {
            (None, _) => notes.note("principal-added", None, kind(after)),
            (_, None) => notes.note("principal-removed", kind(before), None),
            _ => notes.note("kind-changed", kind(before), kind(after)),
        }
        let emails = |one: Option<&Arc<Principal>>| one.map(|one| one.emails.clone()).unwrap_or_default();
        let groups = |one: Option<&Arc<Principal>>| one.map(|one| one.groups.clone()).unwrap_or_default();
        notes.lists(["email-added", "email-removed"], &emails(before), &emails(after));
        notes.lists(["group-added", "group-removed"], &groups(before), &groups(after));
        let suspended = |keyring: &Keyring| keyring.suspension(name).map(ToString::to_string);
        let (was, is) = (suspended(old), suspended(new));
        let what = match (&was, &is) {
            (None, _) => "suspended",
            (_, None) => "resumed",
            _ => "suspension-changed",
        };
        notes.note(what, was, is);
        let listed = |all: &BTreeMap<String, Vec<String>>| all.get(name).cloned().unwrap_or_default();
        let (before, after) = (listed(&old_accounts), listed(&new_accounts));
        notes.lists(["account-added", "account-removed"], &before, &after);
    }
}

fn keys(old: &Keyring, new: &Keyring, now: Timestamp, out: &mut Vec<Change>) {
    let by_fingerprint = |keyring: &'_ Keyring| -> BTreeMap<String, usize> {
        keyring.keys().iter().enumerate().map(|(at, key)| (key.material.fingerprint(), at)).collect()
    };
    let (before, after) = (by_fingerprint(old), by_fingerprint(new));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let was = before.get(name).map(|at| &old.keys()[*at]);
        let is = after.get(name).map(|at| &new.keys()[*at]);
        let Some(owner) = is.or(was).map(|key| key.principal.name.clone()) else { continue };
        let mut notes = Notes { principal: Some(&owner), key: Some(name), out };
        match (was, is) {
            (Some(was), None) => notes.note("key-removed", Some(key_text(was)), None),
            (None, Some(is)) => {
                notes.note("key-added", None, Some(key_text(is)));
                notes.note("revoked", None, is.revoked.as_ref().map(revoked_text));
            }
            (Some(was), Some(is)) => changed(was, is, now, &mut notes),
            (None, None) => {}
        }
    }
}

fn changed(was: &Key, is: &Key, now: Timestamp, notes: &mut Notes<'_>) {
    let owner = |key: &Key| Some(key.principal.name.clone());
    notes.note("key-moved", owner(was), owner(is));
    notes.note("window-changed", Some(window_text(&was.windows)), Some(window_text(&is.windows)));
    revocation(was.revoked.as_ref(), is.revoked.as_ref(), notes);
    notes.note("roles-changed", Some(was.roles.to_string()), Some(is.roles.to_string()));
    notes.note("fido-changed", Some(fido_text(&was.fido)), Some(fido_text(&is.fido)));
    let (Some(was), Some(is)) = (was.material.certificate(), is.material.certificate()) else { return };
    let keys = |one: &openpgp::Certificate| -> BTreeMap<String, String> {
        let keys = one.component_keys(now).into_iter();
        keys.map(|key| (key.fingerprint, format!("{} {}", key.algorithm, key.standing))).collect()
    };
    let (was_keys, is_keys) = (keys(was), keys(is));
    for name in was_keys.keys().chain(is_keys.keys()).collect::<BTreeSet<_>>() {
        let (before, after) = (was_keys.get(name), is_keys.get(name));
        let what = match (before, after) {
            (None, _) => "subkey-added",
            (_, None) => "subkey-removed",
            _ => "subkey-changed",
        };
        let text = |one: Option<&String>| one.map(|text| format!("{name}: {text}"));
        notes.note(what, text(before), text(after));
    }
    let end = |one: &openpgp::Certificate| {
        Some(one.ends(now).map_or_else(|| "does not end".to_owned(), |at| format!("ends at {at}")))
    };
    notes.note("certificate-changed", end(was), end(is));
    // Bytes that mean something now or later and show in none of the above: revocations in the certificate.
    if was.revocations() != is.revocations() {
        let text = "other revocations inside the certificate".to_owned();
        notes.note("own-revocations-changed", None, Some(text));
    }
}

fn revocation(was: Option<&Revocation>, is: Option<&Revocation>, notes: &mut Notes<'_>) {
    let what = match (was, is) {
        (None, _) => "revoked",
        (_, None) => "revocation-removed",
        _ => "revocation-changed",
    };
    notes.note(what, was.map(revoked_text), is.map(revoked_text));
}

fn authorities(old: &Keyring, new: &Keyring, out: &mut Vec<Change>) {
    let all = old.authorities().iter().chain(new.authorities());
    for name in all.map(|one| one.key.fingerprint()).collect::<BTreeSet<_>>() {
        let (was, is) = (old.authority(&name), new.authority(&name));
        let mut notes = Notes { principal: None, key: Some(&name), out };
        let what = match (was, is) {
            (None, _) => "authority-added",
            (_, None) => "authority-removed",
            _ => "authority-changed",
        };
        notes.note(what, was.map(authority_text), is.map(authority_text));
        let of = |one: Option<&Authority>| one.and_then(|one| one.revoked.clone());
        revocation(of(was).as_ref(), of(is).as_ref(), &mut notes);
    }
}

fn lists(old: &Keyring, new: &Keyring, out: &mut Vec<Change>) {
    let by_path = |keyring: &Keyring| -> BTreeMap<String, String> {
        let lists = keyring.parts.lists.iter();
        lists
            .map(|list| {
                let (path, revocation, entries) = list.shown();
                let text =
                    format!("{} entries: {}; {}", entries.len(), revoked_text(revocation), list.digest);
                (path.to_string_lossy().into_owned(), text)
            })
            .collect()
    };
    let (old, new) = (by_path(old), by_path(new));
    for path in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let (was, is) = (old.get(path), new.get(path));
        let mut notes = Notes { principal: None, key: Some(path), out };
        let what = match (was, is) {
            (None, _) => "revocation-list-added",
            (_, None) => "revocation-list-removed",
            _ => "revocation-list-changed",
        };
        notes.note(what, was.cloned(), is.cloned());
    }
}

fn key_text(key: &Key) -> String {
    let (scheme, algorithm) = (key.material.scheme().name(), key.material.algorithm());
    let roles = if key.roles.is_all() { String::new() } else { format!(", for {}", key.roles) };
    format!("{scheme} {algorithm}, {}{roles}", window_text(&key.windows))
}

fn window_text(windows: &Windows) -> String {
    let spans = windows.spans().iter().map(|span| match (span.from, span.until) {
        (None, None) => "always".to_owned(),
        (Some(from), None) => format!("from {from}"),
        (None, Some(until)) => format!("until {until}"),
        (Some(from), Some(until)) => format!("from {from} until {until}"),
    });
    spans.collect::<Vec<_>>().join(" and ")
}

fn revoked_text(revoked: &Revocation) -> String {
    let time = |at: Option<Timestamp>| at.map_or_else(|| "always".to_owned(), |at| at.to_string());
    format!("{}, learned {}, refused from {}", revoked.reason, time(revoked.at), time(revoked.refused_from()))
}

fn fido_text(fido: &FidoDemands) -> String {
    let demand = |demand: Option<Demand>| demand.map_or("by default", Demand::name);
    let applications =
        fido.applications.as_ref().map_or_else(|| "by default".to_owned(), |all| all.join(", "));
    format!(
        "touch {}, user verification {}, applications {applications}",
        demand(fido.touch),
        demand(fido.user_verification)
    )
}

fn authority_text(authority: &Authority) -> String {
    let scope = |scope: &Scope| {
        let serials: Vec<String> =
            scope.serials.iter().map(|range| format!("{}-{}", range.start(), range.end())).collect();
        let mut text = format!("certifies {}, {}", scope.patterns.join(", "), window_text(&scope.windows));
        if !scope.groups.is_empty() {
            text.push_str(&format!(", groups {}", scope.groups.join(", ")));
        }
        if !serials.is_empty() {
            text.push_str(&format!(", serials {}", serials.join(", ")));
        }
        if !scope.roles.is_all() {
            text.push_str(&format!(", for {}", scope.roles));
        }
        if !scope.fido.is_empty() {
            text.push_str(&format!(", {}", fido_text(&scope.fido)));
        }
        text
    };
    authority.scopes.iter().map(scope).collect::<Vec<_>>().join("; ")
}
