//! A new key for an old one, and a new copy of the same certificate.

use super::change::{ChangeOptions, Changed, Draft, broken, change};
use super::edit::{self, AddRequest, EditError};
use super::fido::application_matches;
use super::revoke::{known, time};
use super::select::{self, Held, KeyRef};
use super::{Key, Material, Position, Sources, Standing, material};
use crate::domain::{Timestamp, text};
use crate::signature::{Demand, Scheme, openpgp};
use jiff::SignedDuration;
use std::collections::BTreeSet;
use toml_edit::{Array, Item};

/// What takes the place of what.
#[derive(Clone, Debug)]
pub struct RotateRequest {
    /// Whose.
    pub name: String,
    /// The new key as a file holds it.
    pub key: Vec<u8>,
    /// The old ones; none is the one that the principal has.
    pub old: Vec<KeyRef>,
    /// How long the old ones still count.
    pub grace: SignedDuration,
    /// When the new one ends.
    pub until: Until,
    /// Whether a key that cannot be touched may take the place of one that has to be.
    pub without_fido: bool,
}

/// When a new key ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// When the first of the old ones would have ended anyway; never, where none would.
    Inherited,
    /// Then.
    At(Timestamp),
    /// Never.
    Never,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The new key's fingerprint.
    pub new: String,
    /// OpenPGP or SSH.
    pub scheme: Scheme,
    /// Whether it was not there before.
    pub added: bool,
    /// When it ends, by its entry.
    pub until: Option<Timestamp>,
    /// The old keys.
    pub old: Vec<Ended>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// An old key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its fingerprint.
    pub fingerprint: String,
    /// From when on it does not count.
    pub until: Timestamp,
    /// Whether that is news.
    pub changed: bool,
}

/// Adds a key and ends the old ones after a grace.
///
/// The new key is never good for more than the old ones were: it gets the roles that all of them have, the
/// strictest of what is asked of those that are FIDO keys, and their end. What the old key signed and what was received while it counted stays good. A second run changes nothing: an end is
/// never put off.
///
/// # Errors
/// See [`EditError`]; nothing was changed then.
pub fn rotate(
    sources: &Sources,
    request: &RotateRequest,
    options: &ChangeOptions<'_>,
) -> Result<Changed<Rotated>, EditError> {
    let now = options.purpose.at;
    let (material, written) = Material::from_file(&request.key)?;
    if request.grace < SignedDuration::ZERO {
        return Err(EditError::Invalid("a grace is not negative".to_owned()));
    }
    // Files are for people: the whole second that comes next.
    let end = Timestamp::from_second(now.as_second() + 1)
        .unwrap_or(now)
        .checked_add(request.grace)
        .map_err(|_| EditError::Invalid("this grace is too long".to_owned()))?;
    change(sources, options, |draft| rotated(draft, request, &material, &written, end, now))
}

fn rotated(
    draft: &mut Draft<'_>,
    request: &RotateRequest,
    material: &Material,
    written: &str,
    end: Timestamp,
    now: Timestamp,
) -> Result<Rotated, EditError> {
    let name = &request.name;
    known(draft.keyring, name)?;
    let (file, fingerprint, scheme) = (draft.path(name), material.fingerprint(), material.scheme());
    let held = edit::holder(draft.keyring, material);
    if let Some(key) = held {
        if key.principal.name != *name {
            return Err(EditError::Taken { key: key.id().to_string(), owner: key.principal.name.clone() });
        }
        if key.revoked.is_some() {
            return Err(EditError::Refused(format!("{} is revoked: make a new key", key.id())));
        }
    }
    let old = old_keys(draft, request, &file, &fingerprint, now)?;
    let added = held.is_none();
    let mut warnings = Vec::new();
    let until = match held {
        Some(key) => there_until(key, request.until)?,
        None => new_end(request.until, &old, end, now)?,
    };
    if added {
        warnings.extend(material.remarks().into_iter().map(|remark| format!("the key: {remark}")));
        let mut table = heir(material, written, &old, request.without_fido)?;
        // Who was to begin later does not begin earlier by it.
        let begins = old.iter().filter_map(|key| key.windows.begins()).max().filter(|from| *from > now);
        for (field, at) in [("valid-from", begins), ("valid-until", until)] {
            if let Some(at) = at {
                table.insert(field, toml_edit::value(time(at)));
            }
        }
        let document = draft.document(name)?;
        let tables = document
            .entry("key")
            .or_insert_with(|| Item::ArrayOfTables(toml_edit::ArrayOfTables::new()))
            .as_array_of_tables_mut()
            .ok_or_else(|| {
                EditError::Invalid(format!("`key` in `{name}.toml` is a list; write it as `[[key]]` first"))
            })?;
        tables.push(table);
    } else if scheme == Scheme::OpenPgp && old.is_empty() && request.old.is_empty() {
        return Err(EditError::Refused(format!(
            "{fingerprint} is the certificate that `{name}` has: take a newer copy of it with `countersign keyring \
             refresh`"
        )));
    }
    if let standing @ (Standing::Expired { .. }
    | Standing::NotYetValid { .. }
    | Standing::Revoked { .. }
    | Standing::Weak { .. }
    | Standing::Unusable { .. }) = material.standing(now, None)
    {
        return Err(EditError::Refused(format!(
            "the new key is {standing}, so `{name}` would be left without one"
        )));
    }
    if let Some(what) = material.weakness() {
        return Err(EditError::Refused(format!(
            "the new key is too weak ({what}), so `{name}` would be left without one"
        )));
    }
    // One that is there already has an entry of its own, which has to count when the old ones end.
    if let Some(key) = held.filter(|_| !old.is_empty())
        && !matches!(key.windows.at(end), Position::Inside { .. })
    {
        return Err(EditError::Refused(format!(
            "{} is there already, and by its `valid-from` and `valid-until` it does not count at {end}, when the old one \
             would end, so `{name}` would be left without one: correct its entry first",
            key.id()
        )));
    }
    let mut ended = Vec::new();
    for key in old {
        ended.push(end_one(draft, name, key, end)?);
    }
    Ok(Rotated { new: fingerprint, scheme, added, until, old: ended, warnings })
}

/// The keys that are to end: those that were named, or the only one that counts.
fn old_keys<'k>(
    draft: &Draft<'k>,
    request: &RotateRequest,
    file: &std::path::Path,
    new: &str,
    now: Timestamp,
) -> Result<Vec<&'k Key>, EditError> {
    let name = &request.name;
    let mut named = Vec::new();
    for wanted in &request.old {
        match select::one(draft.keyring, file, name, wanted)? {
            Held::Key(key) if key.material.fingerprint() == new => {
                return Err(EditError::Refused(format!("{} is the new key", key.id())));
            }
            Held::Key(key) => named.push(key),
            Held::Authority(authority) => {
                let message = format!("{} is an authority, which has no successor", authority.id());
                return Err(EditError::Refused(message));
            }
        }
    }
    if !named.is_empty() {
        return Ok(named);
    }
    let ours = draft.keyring.keys().iter().filter(|key| key.place.file == file);
    let others: Vec<&Key> = ours
        .filter(|key| key.material.fingerprint() != new && key.revoked.is_none())
        .filter(|key| !matches!(key.windows.at(now), Position::After { .. }))
        .collect();
    // Those with an end are on their way out already; a second run finds them.
    let mut open: Vec<&Key> = others.iter().copied().filter(|key| key.windows.ends().is_none()).collect();
    if open.is_empty() {
        open = others;
    }
    match open[..] {
        [_] => Ok(open),
        // The second run, long after the first.
        [] if draft.keyring.keys().iter().any(|key| key.material.fingerprint() == new) => Ok(Vec::new()),
        [] => {
            let message = format!("`{name}` has no key that counts; add one with `countersign keyring add`");
            Err(EditError::Refused(message))
        }
        _ => {
            let names: Vec<String> = open.iter().map(|key| key.material.fingerprint()).collect();
            Err(EditError::Refused(format!(
                "`{name}` has several keys: say which ends with `--old KEY`: {}",
                names.join(", ")
            )))
        }
    }
}

/// When a key ends that is there already: no second run changes it.
fn there_until(key: &Key, wanted: Until) -> Result<Option<Timestamp>, EditError> {
    let there = key.windows.ends();
    let same = match wanted {
        Until::Inherited => true,
        Until::At(at) => there == Some(at),
        Until::Never => there.is_none(),
    };
    if same {
        return Ok(there);
    }
    let ends = there.map_or_else(|| "without an end".to_owned(), |at| format!("until {at}"));
    Err(EditError::Refused(format!("{} is there already, {ends}: change `valid-until` by hand", key.id())))
}

/// When a new key ends: what was to end anyway does not last longer by being replaced.
fn new_end(
    wanted: Until,
    old: &[&Key],
    grace: Timestamp,
    now: Timestamp,
) -> Result<Option<Timestamp>, EditError> {
    let inherited = match wanted {
        Until::Never => return Ok(None),
        Until::At(at) if at > now => return Ok(Some(at)),
        Until::At(at) => {
            return Err(EditError::Invalid(format!("`--until {at}` is past: the new key would never count")));
        }
        Until::Inherited => {
            old.iter().filter_map(|key| Some((key.windows.ends()?, key))).min_by_key(|(at, _)| *at)
        }
    };
    match inherited {
        None => Ok(None),
        Some((at, _)) if at > grace => Ok(Some(at)),
        Some((at, key)) => Err(EditError::Refused(format!(
            "{} ends at {at}, and the new key would end with it: say when the new one ends, `--until TIME` or \
             `--until never`",
            key.id()
        ))),
    }
}

/// The new key's table, with what those of the old ones say about their use.
fn heir(
    material: &Material,
    written: &str,
    old: &[&Key],
    without_fido: bool,
) -> Result<toml_edit::Table, EditError> {
    let mut table = edit::key_table(material.scheme(), written);
    // Of several, what all of them may: a new key is never good for more.
    let roles = super::Role::ALL.into_iter().filter(|role| old.iter().all(|key| key.roles.has(*role)));
    match super::Roles::of(roles) {
        Some(roles) if roles.is_all() => {}
        Some(roles) => {
            table.insert("roles", toml_edit::value(roles.names().into_iter().collect::<Array>()));
        }
        None => {
            let message =
                "the old keys have no role in common: replace them one by one, each with `--old KEY`";
            return Err(EditError::Refused(message.to_owned()));
        }
    }
    let old: Vec<&Key> = old.iter().copied().filter(|key| application(&key.material).is_some()).collect();
    let Some(first) = old.first() else { return Ok(table) };
    let Some(own) = application(material) else {
        if without_fido {
            return Ok(table);
        }
        return Err(EditError::Refused(format!(
            "{} is a FIDO key, and the new one is none, so nobody could be asked to touch anything: if that is meant, \
             say `--without-fido`",
            first.id()
        )));
    };
    let demands: [(&str, Vec<Option<Demand>>); 2] = [
        ("touch", old.iter().map(|key| key.fido.touch).collect()),
        ("user-verification", old.iter().map(|key| key.fido.user_verification).collect()),
    ];
    for (field, said) in demands {
        if let Some(demand) = strictest(&said) {
            table.insert(field, toml_edit::value(demand.name()));
        }
    }
    if let Some(names) = applications(&old, own)? {
        table.insert("applications", toml_edit::value(names.into_iter().collect::<Array>()));
    }
    Ok(table)
}

/// What a FIDO key was made for.
fn application(material: &Material) -> Option<&str> {
    match material {
        Material::Ssh(key) => key.application(),
        Material::OpenPgp(_) => None,
    }
}

/// What several entries ask for together. One that says nothing asks for what the configuration does, which is at
/// least `any`.
fn strictest(said: &[Option<Demand>]) -> Option<Demand> {
    if said.contains(&Some(Demand::Required)) {
        return Some(Demand::Required);
    }
    if said.contains(&None) { None } else { said.first().copied().flatten() }
}

/// The applications that all of these entries allow, of which the new key's has to be one; nothing where one of
/// them leaves that to the configuration.
fn applications(old: &[&Key], own: &str) -> Result<Option<Vec<String>>, EditError> {
    let lists: Vec<&Vec<String>> = old.iter().filter_map(|key| key.fido.applications.as_ref()).collect();
    let allows = |list: &Vec<String>| list.iter().any(|name| application_matches(name, own));
    let refusing = old.iter().find(|key| key.fido.applications.as_ref().is_some_and(|list| !allows(list)));
    if let Some(key) = refusing {
        return Err(EditError::Refused(format!(
            "the new key was made for the application `{}`, which `applications` of {} lacks: make one for an \
             application that it has",
            text::escape_short(own.as_bytes(), 60),
            key.id()
        )));
    }
    if lists.len() < old.len() {
        return Ok(None);
    }
    let Some((first, others)) = lists.split_first() else { return Ok(None) };
    let common: Vec<String> =
        first.iter().filter(|name| others.iter().all(|list| list.contains(name))).cloned().collect();
    Ok(Some(if allows(&common) { common } else { vec![own.to_owned()] }))
}

fn end_one(draft: &mut Draft<'_>, name: &str, key: &Key, end: Timestamp) -> Result<Ended, EditError> {
    let fingerprint = key.material.fingerprint();
    if let Some(there) = key.windows.ends()
        && there <= end
    {
        return Ok(Ended { fingerprint, until: there, changed: false });
    }
    if let Some(from) = key.windows.begins()
        && from >= end
    {
        return Err(EditError::Refused(format!(
            "{} counts only from {from} on, after the grace: give a longer one, or revoke it",
            key.id()
        )));
    }
    let document = draft.document(name)?;
    let indexes = select::tables(document, "key", key.material.scheme(), &fingerprint, name)?;
    let tables = select::list_of(document, "key", name)?;
    for index in indexes {
        if let Some(table) = tables.get_mut(index) {
            table.insert("valid-until", toml_edit::value(time(end)));
        }
    }
    Ok(Ended { fingerprint, until: end, changed: true })
}

/// What a new copy of a certificate brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// The certificate.
    pub fingerprint: String,
    /// What is new, gone or other in it, for people; empty where it only differs in what does not matter.
    pub changes: Vec<String>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// Puts a newer copy of an OpenPGP certificate in the place of the one that is there.
///
/// # Errors
/// Whoever has another certificate, a copy that lacks a revocation, and whatever [`EditError`] says.
pub fn refresh(
    sources: &Sources,
    name: &str,
    key: &[u8],
    options: &ChangeOptions<'_>,
) -> Result<Changed<Refreshed>, EditError> {
    let now = options.purpose.at;
    let (new, written) = Material::from_file(key)?;
    if new.scheme() == Scheme::Ssh {
        let message = "an SSH key has no newer copies; for another key, use `countersign keyring rotate`";
        return Err(EditError::Refused(message.to_owned()));
    }
    change(sources, options, |draft| {
        known(draft.keyring, name)?;
        let fingerprint = new.fingerprint();
        let file = draft.path(name);
        let Some(key) = edit::holder(draft.keyring, &new) else {
            return Err(EditError::Refused(format!(
                "`{name}` does not have the certificate {fingerprint}: `countersign keyring rotate` replaces a key \
                 by another one, `add` adds one"
            )));
        };
        if key.principal.name != *name {
            return Err(EditError::Taken { key: key.id().to_string(), owner: key.principal.name.clone() });
        }
        if key.material.fingerprint() != fingerprint {
            let message = format!("it shares a component key with {}, which is there already", key.id());
            return Err(EditError::Invalid(message));
        }
        if key.place.file != file {
            return Err(broken(name));
        }
        edit::refuse_lost_revocations(key, &new, now)?;
        let request = AddRequest {
            name: name.to_owned(),
            kind: None,
            emails: Vec::new(),
            groups: Vec::new(),
            accounts: Vec::new(),
            key: None,
            reused: Vec::new(),
            returning: false,
        };
        edit::put_key(draft, &request, &new, &written, &options.purpose)?;
        let changes = differences(&key.material, &new, now);
        let mut warnings: Vec<String> =
            new.remarks().into_iter().map(|remark| format!("the key: {remark}")).collect();
        let standing = new.standing(now, key.windows.ends());
        if !matches!(standing, Standing::Valid { .. }) {
            warnings.push(format!("the key is {standing}: no signature by it is accepted"));
        }
        Ok(Refreshed { fingerprint, changes, warnings })
    })
}

/// What another copy of a certificate says that this one does not.
fn differences(old: &Material, new: &Material, now: Timestamp) -> Vec<String> {
    let mut changes = Vec::new();
    let (before, after) = (old.by_its_own_word().standing(now, None), new.standing(now, None));
    if before != after {
        changes.push(format!("it is {after}; it was {before}"));
    }
    let (Some(old), Some(new)) = (old.certificate(), new.certificate()) else { return changes };
    if new.lacks_revocations_of(old) {
        changes.push("it lacks a revocation".to_owned());
    }
    if old.lacks_revocations_of(new) {
        changes.push("it brings a revocation".to_owned());
    }
    let keys = |one: &openpgp::Certificate| {
        one.component_fingerprints().iter().map(|one| material::hex(one)).collect::<BTreeSet<_>>()
    };
    let ids = |one: &openpgp::Certificate| {
        let shown = one.user_ids().into_iter().map(|id| text::escape_short(&id, 80));
        shown.collect::<BTreeSet<_>>()
    };
    let (old_keys, new_keys, old_ids, new_ids) = (keys(old), keys(new), ids(old), ids(new));
    changes.extend(new_keys.difference(&old_keys).map(|one| format!("it has a new subkey {one}")));
    changes.extend(
        old_keys
            .difference(&new_keys)
            .map(|one| format!("it no longer has the subkey {one}: signatures by it are by an unknown key")),
    );
    changes.extend(new_ids.difference(&old_ids).map(|one| format!("it has a new user id {one}")));
    changes.extend(old_ids.difference(&new_ids).map(|one| format!("it no longer has the user id {one}")));
    changes
}
