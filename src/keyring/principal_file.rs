//! One principal's file.

use super::accounts::{self, Listed};
use super::authority::{Authority, Scope};
use super::document::{Item, Place, Reader, Table, nearest};
use super::fido::application_matches;
use super::{FidoDemands, Key, Material, Reason, Revocation, Role, Roles, Suspension, Windows};
use crate::domain::{Principal, PrincipalKind, Timestamp, text};
use crate::signature::{Demand, ssh};
use std::ops::RangeInclusive;
use std::sync::Arc;
use toml::de::DeValue;

/// Longest name of a principal or group, in bytes.
const MAX_NAME: usize = 100;

/// Longest reason of a suspension or a removal, in characters.
pub(super) const MAX_REASON: usize = 200;

/// What a file says. Incomplete where the reader recorded errors.
#[derive(Debug)]
pub(super) struct PrincipalFile {
    pub(super) principal: Arc<Principal>,
    pub(super) accounts: Vec<Listed>,
    pub(super) keys: Vec<Key>,
    pub(super) authorities: Vec<Authority>,
    /// Nothing of the principal counts from then on.
    pub(super) suspended: Option<Suspension>,
    /// The principal is gone for good, which is a suspension too; the file keeps what was revoked.
    pub(super) removed: bool,
    /// Where the name stands.
    pub(super) place: Place,
}

const KINDS: &[(&str, PrincipalKind)] = &[
    ("person", PrincipalKind::Person),
    ("bot", PrincipalKind::Bot),
    ("agent", PrincipalKind::Agent),
    ("forge", PrincipalKind::Forge),
];

/// Whether this can name a principal or a group: `[a-z0-9][a-z0-9._-]*`, at most 100 bytes. Such names
/// are file names, selectors and words on terminals.
pub fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= MAX_NAME
        && name.bytes().next().is_some_and(fits)
        && name.bytes().all(|byte| fits(byte) || b"._-".contains(&byte))
}

/// Whether this looks like an address: one `@` with something around it, nothing invisible.
pub(super) fn is_email(email: &str) -> bool {
    let visible = text::escape(email.as_bytes()) == email && !email.contains([' ', '<', '>', ',']);
    let parts: Vec<&str> = email.split('@').collect();
    visible
        && email.len() <= 320
        && matches!(parts[..], [local, domain] if !local.is_empty() && !domain.is_empty())
}

/// Reads a principal's file. Every fault goes to `reader`; the keys that could be read are given even
/// then, because their revocations count (N15).
pub(super) fn read(reader: &Reader, stem: &str) -> PrincipalFile {
    let document = reader.parse();
    let top = Table::new(reader, &document, 0..0, "the principal's file");
    let name = top.require("name", &format!("write `name = \"{stem}\"`, the file's name without `.toml`"));
    let place = name.as_ref().map_or_else(|| reader.place(&(0..0)), |item| reader.place(&item.span));
    if let Some(item) = name
        && let Some(name) = item.string()
    {
        check_name(&item, name, stem);
    }
    let kind = top.get("kind").and_then(|item| item.word(KINDS)).unwrap_or_default();
    let mut emails = Vec::new();
    for (email, item) in top.get("emails").map(|item| item.strings()).unwrap_or_default() {
        if is_email(email) {
            emails.push(email.to_owned());
        } else {
            let shown = text::escape_short(email.as_bytes(), 60);
            item.error_with(format!("`{shown}` is no address"), "write it as name@example.org");
        }
    }
    let groups = top.get("groups").map(|item| group_names(&item)).unwrap_or_default();
    let accounts = top.get("accounts").map(|item| accounts::read(&item)).unwrap_or_default();
    let principal = Arc::new(Principal { name: stem.to_owned(), kind, emails, groups });
    let suspended = top.get("suspended").map(|item| suspension(&item).unwrap_or_else(Suspension::illegible));
    let removed = top.get("removed");
    let gone = removed.as_ref().map(|item| removal(item).unwrap_or_else(Suspension::illegible));
    let keys: Vec<Key> =
        top.tables("key", "[[key]]").into_iter().filter_map(|table| key(table, &principal)).collect();
    let authorities: Vec<Authority> =
        top.tables("authority", "[[authority]]").into_iter().filter_map(authority).collect();
    if let Some(item) = &removed {
        check_removed(item, &principal, accounts.is_empty(), &keys, &authorities);
    }
    let suspended = match (suspended, gone) {
        (Some(suspended), Some(gone)) => Some(suspended.join(gone)),
        (suspended, gone) => suspended.or(gone),
    };
    let removed = removed.is_some();
    top.finish();
    PrincipalFile { principal, accounts, keys, authorities, suspended, removed, place }
}

/// Reads a list of groups.
pub(crate) fn group_names(item: &Item<'_, '_>) -> Vec<String> {
    let mut groups = Vec::new();
    for (group, item) in item.strings() {
        if is_name(group) {
            groups.push(group.to_owned());
        } else {
            let shown = text::escape_short(group.as_bytes(), 60);
            let prefixed = group.strip_prefix("group:").filter(|rest| is_name(rest));
            let help = match prefixed {
                Some(rest) => format!("write \"{rest}\""),
                None => "use lower-case letters, digits, `.`, `_` and `-`".to_owned(),
            };
            item.error_with(format!("`{shown}` cannot name a group"), help);
        }
    }
    groups
}

fn check_name(item: &Item<'_, '_>, name: &str, stem: &str) {
    let shown = text::escape_short(name.as_bytes(), 60);
    if !is_name(name) {
        item.error_with(
            format!("`{shown}` cannot name a principal"),
            "use lower-case letters, digits, `.`, `_` and `-`",
        );
    } else if name != stem {
        let stem = text::escape_short(stem.as_bytes(), 60);
        item.error_with(
            format!("the file is called `{stem}.toml`, and the name in it is `{shown}`"),
            format!("rename the file to `{shown}.toml`, or write `name = \"{stem}\"`"),
        );
    }
}

/// What is left of somebody who was removed is revoked keys, and nothing that gives anybody anything.
fn check_removed(
    item: &Item<'_, '_>,
    principal: &Principal,
    no_accounts: bool,
    keys: &[Key],
    authorities: &[Authority],
) {
    let only = |what: &str| {
        item.error_with(
            format!("somebody who was removed keeps revoked keys only, and this file has {what}"),
            "take it out, or take `removed` out",
        );
    };
    if !no_accounts {
        only("`accounts`");
    }
    if !principal.groups.is_empty() {
        only("`groups`");
    }
    if let Some(key) = keys.iter().find(|key| key.revoked.is_none()) {
        only(&format!("{}, which is not revoked", key.id()));
    }
    if let Some(authority) = authorities.iter().find(|one| one.revoked.is_none()) {
        only(&format!("the authority {}, which is not revoked", authority.id()));
    }
}

/// Reads a removal; `None` after an error was recorded.
fn removal(item: &Item<'_, '_>) -> Option<Suspension> {
    const HELP: &str = "write `removed = { at = 2026-01-31T12:00:00Z, reason = \"...\" }`";
    suspension_like(item, "`removed`", HELP)
}

/// Reads a suspension; `None` after an error was recorded.
fn suspension(item: &Item<'_, '_>) -> Option<Suspension> {
    const HELP: &str = "write `suspended = { at = 2026-01-31T12:00:00Z, reason = \"...\" }`";
    suspension_like(item, "`suspended`", HELP)
}

fn suspension_like(item: &Item<'_, '_>, what: &'static str, help: &'static str) -> Option<Suspension> {
    let before = item.reader.count();
    let DeValue::Table(_) = item.value else {
        item.error_with(format!("{what} says when and why"), help);
        return None;
    };
    let table = item.table(what)?;
    let at = table.require("at", help).and_then(|item| item.time("at"));
    let reason = table.require("reason", help).and_then(|item| {
        let reason = item.string()?.to_owned();
        if reason.is_empty() || reason.chars().count() > MAX_REASON {
            item.error(format!("a reason has 1 to {MAX_REASON} characters"));
        }
        Some(text::escape(reason.as_bytes()))
    });
    table.finish();
    if item.reader.count() > before {
        return None;
    }
    Some(Suspension { at, reason: reason? })
}

/// Reads the roles of a key, or of what an authority certifies.
fn roles(item: &Item<'_, '_>) -> Roles {
    const HELP: &str = "write [\"commit\", \"tag\"] for example; left out, a key has all of them";
    let before = item.reader.count();
    let mut all = Vec::new();
    for (word, place) in item.strings() {
        match Role::WORDS.iter().find(|(name, _)| *name == word) {
            Some((_, role)) => all.push(*role),
            None => {
                let shown = text::escape_short(word.as_bytes(), 60);
                let message = format!("`{shown}` is no role: `commit`, `tag` or `push`");
                match nearest(word, Role::WORDS.iter().map(|(name, _)| *name)) {
                    Some(best) => place.error_with(message, format!("did you mean \"{best}\"?")),
                    None => place.error(message),
                }
            }
        }
    }
    if all.is_empty() && item.reader.count() == before {
        item.error_with("without a role the key never counts", HELP);
    }
    Roles::of(all).unwrap_or_default()
}

fn key(table: Table<'_, '_>, principal: &Arc<Principal>) -> Option<Key> {
    let reader = table.reader();
    let span = table.span().clone();
    let (ssh, openpgp) = (table.get("ssh"), table.get("openpgp"));
    let material = match (&ssh, &openpgp) {
        (Some(_), Some(item)) => {
            let message = "a `[[key]]` holds one key: `ssh` or `openpgp`, not both";
            reader.error_with(&item.key, message, "write a second `[[key]]`");
            None
        }
        (None, None) => {
            let help = "write `ssh = \"...\"` or `openpgp = \"\"\"...\"\"\"`";
            reader.error_with(&span, "this `[[key]]` holds no key", help);
            None
        }
        (Some(item), None) => parsed(item, Material::ssh),
        (None, Some(item)) => parsed(item, Material::openpgp),
    };
    let windows = windows(&table, "the key");
    let revoked = table.get("revoked").map(|item| revocation(&item).unwrap_or(Revocation::ILLEGIBLE));
    let roles = table.get("roles").map(|item| roles(&item)).unwrap_or_default();
    let before = reader.count();
    let fido = fido(&table);
    if let (Some(Material::Ssh(public)), false) = (&material, fido.is_empty() && before == reader.count()) {
        check_fido(reader, &span, public.application(), &fido);
    } else if let (Some(Material::OpenPgp(_)), false) = (&material, fido.is_empty()) {
        check_fido(reader, &span, None, &fido);
    }
    let place = reader.place(&span);
    table.finish();
    Some(Key {
        principal: Arc::clone(principal),
        material: material?,
        windows,
        roles,
        fido,
        revoked,
        suspended: None,
        place,
    })
}

/// Reads `valid-from` and `valid-until`.
fn windows(table: &Table<'_, '_>, what: &str) -> Windows {
    let valid_from = table.get("valid-from").and_then(|item| item.time("valid-from"));
    let until = table.get("valid-until");
    let valid_until = until.as_ref().and_then(|item| item.time("valid-until"));
    if let (Some(from), Some(end), Some(item)) = (valid_from, valid_until, until)
        && from >= end
    {
        item.error(format!("`valid-until` is not after `valid-from`, so {what} is never valid"));
    }
    Windows::one(valid_from, valid_until)
}

const DEMANDS: &[(&str, Demand)] = &[("required", Demand::Required), ("any", Demand::Any)];

/// Reads what is asked of FIDO signatures.
fn fido(table: &Table<'_, '_>) -> FidoDemands {
    let demand = |name: &'static str| table.get(name).and_then(|item| item.word(DEMANDS));
    let (touch, user_verification) = (demand("touch"), demand("user-verification"));
    let applications = table.get("applications").map(|item| {
        let before = item.reader.count();
        let mut names = Vec::new();
        for (name, place) in item.strings() {
            let stem = name.strip_suffix('*').unwrap_or(name);
            if name.is_empty() || stem.contains('*') || text::escape(stem.as_bytes()) != stem {
                let shown = text::escape_short(name.as_bytes(), 60);
                let message = format!("`{shown}` cannot be the name of a FIDO application");
                place.error_with(message, "write \"ssh:\" for example; a final `*` stands for any rest");
            } else {
                names.push(name.to_owned());
            }
        }
        if names.is_empty() && item.reader.count() == before {
            item.error_with("without an application the key never counts", "write [\"ssh:\"]");
        }
        names
    });
    FidoDemands { touch, user_verification, applications }
}

/// What is asked of FIDO keys must be asked of one, and of one that can meet it.
fn check_fido(reader: &Reader, span: &std::ops::Range<usize>, application: Option<&str>, fido: &FidoDemands) {
    let Some(application) = application else {
        reader.error_with(
            span,
            "`touch`, `user-verification` and `applications` are for FIDO keys, and this is none",
            "leave them out, or put the key's FIDO public key here (its type begins with `sk-`)",
        );
        return;
    };
    let fits = |names: &Vec<String>| names.iter().any(|name| application_matches(name, application));
    if fido.applications.as_ref().is_some_and(|names| !names.is_empty() && !fits(names)) {
        let shown = text::escape_short(application.as_bytes(), 60);
        reader.error(
            span,
            format!("the key was made for the application `{shown}`, which `applications` lacks"),
        );
    }
}

/// Reads an SSH certification authority.
fn authority(table: Table<'_, '_>) -> Option<Authority> {
    let reader = table.reader();
    let span = table.span().clone();
    let key = table
        .require("ssh", "write `ssh = \"...\"` with the authority's public key")
        .and_then(|item| parsed(&item, Material::ssh));
    const PATTERNS: &str = "write `principals = [\"*@example.org\"]`: whom it may certify";
    let principals = table.require("principals", PATTERNS);
    let patterns: Vec<String> = principals
        .as_ref()
        .map(|item| item.strings().into_iter().map(|(name, _)| name.to_owned()).collect())
        .unwrap_or_default();
    let list = principals.and_then(|item| {
        if !matches!(item.value, DeValue::Array(_)) {
            return None;
        }
        if let Some(one) = patterns.iter().find(|one| one.contains(',')) {
            let shown = text::escape_short(one.as_bytes(), 60);
            item.error_with(format!("`{shown}` is several patterns"), "write each as a string of its own");
            return None;
        }
        if patterns.iter().all(|one| one.starts_with('!')) {
            item.error_with("these patterns match nobody", PATTERNS);
            return None;
        }
        let list = ssh::PatternList::parse(&patterns.join(","));
        list.map_err(|error| item.error(format!("these are no patterns: {error}"))).ok()
    });
    let windows = windows(&table, "the authority");
    let revoked = table.get("revoked").map(|item| revocation(&item).unwrap_or(Revocation::ILLEGIBLE));
    let serials = table.get("serials").map(|item| serials(&item)).unwrap_or_default();
    let groups = table.get("groups").map(|item| group_names(&item)).unwrap_or_default();
    let roles = table.get("roles").map(|item| roles(&item)).unwrap_or_default();
    let fido = fido(&table);
    let place = reader.place(&span);
    table.finish();
    let Some(Material::Ssh(key)) = key else { return None };
    // Without patterns it certifies nobody, and its revocation counts all the same (N15).
    let scopes = list
        .map(|list| Scope { patterns, list, windows, serials, groups, roles, fido, place: place.clone() })
        .into_iter()
        .collect();
    Some(Authority { key, scopes, revoked, place })
}

/// Reads serial numbers: `"7"` or `"1000-1999"`, in strings because they are larger than TOML's numbers.
fn serials(item: &Item<'_, '_>) -> Vec<RangeInclusive<u64>> {
    const HELP: &str = "write [\"1000-1999\", \"4711\"]";
    let before = item.reader.count();
    let mut out = Vec::new();
    for (range, place) in item.strings() {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        match (from.trim().parse::<u64>(), to.trim().parse::<u64>()) {
            (Ok(from), Ok(to)) if from <= to => out.push(from..=to),
            _ => {
                let shown = text::escape_short(range.as_bytes(), 60);
                place.error_with(format!("`{shown}` is no range of serial numbers"), HELP);
            }
        }
    }
    if out.is_empty() && item.reader.count() == before {
        item.error_with("without a serial number no certificate counts", HELP);
    }
    out
}

fn parsed<E: std::fmt::Display>(
    item: &Item<'_, '_>,
    parse: impl Fn(&str) -> Result<Material, E>,
) -> Option<Material> {
    match parse(item.string()?) {
        Ok(material) => Some(material),
        Err(error) => {
            item.error(error.to_string());
            None
        }
    }
}

/// Reads a revocation; `None` after an error was recorded.
fn revocation(item: &Item<'_, '_>) -> Option<Revocation> {
    let before = item.reader.count();
    let table = match item.value {
        DeValue::Table(_) => item.table("`revoked`")?,
        _ => {
            item.error_with("`revoked` says when and why", HELP);
            return None;
        }
    };
    let at = table.require("at", HELP).and_then(|item| item.time("at"));
    let reason = table.require("reason", HELP).and_then(|item| item.word(Reason::WORDS));
    let effective_from = effective_from(&table, reason, at);
    table.finish();
    if item.reader.count() > before {
        return None;
    }
    Some(Revocation { at, effective_from, reason: reason? })
}

const HELP: &str = "write `revoked = { at = 2026-01-31T12:00:00Z, reason = \"superseded\" }`";

/// Reads `reason`, `at` and `effective-from` of a revocation list: without a reason it is a compromise,
/// without a time always.
pub(crate) fn revocation_of(table: &Table<'_, '_>) -> Revocation {
    let at = table.get("at").and_then(|item| item.time("at"));
    let reason = table.get("reason").and_then(|item| item.word(Reason::WORDS)).unwrap_or(Reason::Compromised);
    let effective_from = effective_from(table, Some(reason), at);
    Revocation { at, effective_from, reason }
}

fn effective_from(table: &Table<'_, '_>, reason: Option<Reason>, at: Option<Timestamp>) -> Option<Timestamp> {
    let from_item = table.get("effective-from");
    let effective_from = from_item.as_ref().and_then(|item| item.time("effective-from"));
    if let (Some(item), Some(reason)) = (&from_item, reason)
        && reason != Reason::Compromised
    {
        item.reader.error_with(
            &item.key,
            format!("`effective-from` goes with \"compromised\" only; a {reason} key is refused from `at`"),
            "leave it out",
        );
    }
    if let (Some(item), Some(from), Some(at)) = (&from_item, effective_from, at)
        && from > at
    {
        item.error("`effective-from` is after `at`: the compromise cannot follow its discovery");
    }
    effective_from
}
