//! Who is called what, who is gone, and who belongs together.

use super::change::{ChangeOptions, Changed, Draft, change};
use super::edit::EditError;
use super::revoke::{check_line, known, moment, put, revocation_item, time};
use super::select::{self, Held};
use super::{Keyring, Reason, Revocation, Sources, principal_file};
use crate::domain::text;
use std::collections::BTreeMap;
use toml_edit::{Array, InlineTable, Value, value};

/// A name as people see it.
fn shown(name: &str) -> String {
    text::escape_short(name.as_bytes(), 60)
}

fn check_name(name: &str, what: &str) -> Result<(), EditError> {
    if principal_file::is_name(name) {
        return Ok(());
    }
    Err(EditError::Invalid(format!(
        "`{}` cannot name a {what}: use lower-case letters, digits, `.`, `_` and `-`, beginning with a letter or \
         digit",
        shown(name)
    )))
}

/// Lines of other files that are somebody's because of the name or an address. They would become somebody
/// else's.
fn refuse_lines(draft: &Draft<'_>, name: &str) -> Result<(), EditError> {
    let file = draft.path(name);
    let line = draft.keyring.keys().iter().find(|key| key.principal.name == name && key.place.file != file);
    match line {
        None => Ok(()),
        Some(key) => Err(EditError::Refused(format!(
            "{} is a key of `{name}` by {}: take it out there first, or it would be somebody else's",
            key.id(),
            key.place
        ))),
    }
}

/// Gives a principal another name. The caller makes sure that no ruleset names the old one.
///
/// # Errors
/// See [`EditError`]; nothing was changed then.
pub fn rename(
    sources: &Sources,
    old: &str,
    new: &str,
    options: &ChangeOptions<'_>,
) -> Result<Changed<()>, EditError> {
    check_name(new, "principal")?;
    change(sources, options, |draft| {
        let there = |name: &str| draft.keyring.parts.principals.iter().any(|one| one.name == name);
        if old != new && !there(old) && there(new) {
            return Err(EditError::Refused(format!(
                "there is nobody called `{}` in the keyring, and `{new}` is there: is it done already?",
                shown(old)
            )));
        }
        known(draft.keyring, old)?;
        if old == new {
            return Ok(());
        }
        if draft.keyring.removed().iter().any(|one| one == new) {
            return Err(EditError::Refused(format!(
                "`{new}` was removed, and the name is not given again: records name people by it"
            )));
        }
        if draft.keyring.principals().iter().any(|one| one.name == new) {
            return Err(EditError::Refused(format!("there is a `{new}` in the keyring already")));
        }
        refuse_lines(draft, old)?;
        // Certificates that name the old name would be for somebody who is not in the keyring.
        if let Some(authority) = certifies(draft.keyring, old) {
            return Err(EditError::Refused(format!(
                "the authority {authority} may certify `{old}`, and its certificates for that name would be for somebody \
                 else then: let it certify an address of `{old}` instead, or exclude `!{old}` in its `principals`"
            )));
        }
        let text = draft.document(old)?.to_string();
        let document = draft.create(new, &text)?;
        put(document, "name", Value::from(new));
        draft.remove(old)
    })
}

/// An authority that may speak for this name.
fn certifies(keyring: &Keyring, name: &str) -> Option<String> {
    let speaks = |one: &&super::Authority| one.scopes.iter().any(|scope| scope.list.matches(name));
    keyring.authorities().iter().find(speaks).map(|one| one.key.fingerprint())
}

/// What is left of somebody who was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Keys that were revoked for it, as retired.
    pub retired: Vec<String>,
    /// Keys that were revoked before and stay so.
    pub kept: Vec<String>,
    /// Groups that the principal was in.
    pub groups: Vec<String>,
    /// Accounts that it had.
    pub accounts: Vec<String>,
    /// It was removed before.
    pub already: bool,
}

/// Removes a principal for good. The file stays, as a gravestone: the name and the addresses, which are not
/// given again, and the keys, all of them revoked, so that nothing is forgotten that a key tainted. The
/// caller makes sure that no ruleset names the principal.
///
/// # Errors
/// See [`EditError`]; nothing was changed then.
pub fn remove(
    sources: &Sources,
    name: &str,
    reason: &str,
    options: &ChangeOptions<'_>,
) -> Result<Changed<Removed>, EditError> {
    check_line("reason", reason)?;
    let at = moment(options.purpose.at);
    change(sources, options, |draft| {
        let mut done = Removed {
            retired: Vec::new(),
            kept: Vec::new(),
            groups: Vec::new(),
            accounts: Vec::new(),
            already: draft.keyring.removed().iter().any(|one| one == name),
        };
        if done.already {
            return Ok(done);
        }
        known(draft.keyring, name)?;
        refuse_lines(draft, name)?;
        let (keyring, file) = (draft.keyring, draft.path(name));
        if let Ok(principal) = keyring.principal(name) {
            done.groups.clone_from(&principal.groups);
        }
        done.accounts = keyring.accounts_of(name).map(ToString::to_string).collect();
        let document = draft.document(name)?;
        for held in select::held(keyring, &file) {
            let fingerprint = held.fingerprint();
            let indexes = select::tables(document, held.list(), held.scheme(), &fingerprint, name)?;
            let tables = select::list_of(document, held.list(), name)?;
            let missing = |index: &usize| tables.get(*index).is_none_or(|one| !one.contains_key("revoked"));
            // One that is still to come leaves a key that counts, which would be there again with whoever returns.
            let coming = held.revoked().filter(|one| !one.applies(at));
            if coming.is_none() && !indexes.iter().any(missing) {
                done.kept.push(fingerprint);
                continue;
            }
            if let Held::Authority(authority) = held
                && authority.revoked.as_ref().is_none_or(|one| !one.applies(at))
            {
                return Err(EditError::Refused(format!(
                    "{} is an authority in the file of `{name}`: revoke it first, or move it to another file",
                    authority.id()
                )));
            }
            let retired = Revocation { at: Some(at), effective_from: None, reason: Reason::Retired };
            let retired = coming.map_or(retired.clone(), |one| one.clone().join(retired));
            for index in indexes {
                if let Some(table) = tables.get_mut(index)
                    && (coming.is_some() || !table.contains_key("revoked"))
                {
                    table.insert("revoked", revocation_item(&retired, None));
                }
            }
            done.retired.push(fingerprint);
        }
        for field in ["groups", "accounts", "suspended"] {
            document.remove(field);
        }
        let mut removed = InlineTable::new();
        removed.insert("at", time(at));
        removed.insert("reason", Value::from(reason.trim()));
        put(document, "removed", Value::InlineTable(removed));
        Ok(done)
    })
}

/// A change of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// They join.
    Join,
    /// They leave.
    Leave,
}

/// Who joined or left a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regrouped {
    /// Those for whom that is news.
    pub changed: Vec<String>,
    /// Those who were in it, or out of it, already.
    pub unchanged: Vec<String>,
    /// Who is in it now, principals of lines included.
    pub members: Vec<String>,
}

/// Lets principals join or leave a group, all of them or none.
///
/// # Errors
/// See [`EditError`]; nothing was changed then.
pub fn regroup(
    sources: &Sources,
    group: &str,
    names: &[String],
    membership: Membership,
    options: &ChangeOptions<'_>,
) -> Result<Changed<Regrouped>, EditError> {
    check_name(group, "group")?;
    let mut done = change(sources, options, |draft| {
        let mut done = Regrouped { changed: Vec::new(), unchanged: Vec::new(), members: Vec::new() };
        for name in names {
            known(draft.keyring, name)?;
            let broken =
                || EditError::Invalid(format!("`groups` in `{}.toml` is not a list of words", shown(name)));
            let document = draft.document(name)?;
            if membership == Membership::Leave && !document.contains_key("groups") {
                done.unchanged.push(name.clone());
                continue;
            }
            let item = document.entry("groups").or_insert_with(|| value(Array::new()));
            let list = item.as_array_mut().ok_or_else(broken)?;
            let place = list.iter().position(|one| one.as_str() == Some(group));
            match (membership, place) {
                (Membership::Join, None) => list.push(group),
                (Membership::Leave, Some(index)) => {
                    list.remove(index);
                }
                _ => {
                    done.unchanged.push(name.clone());
                    continue;
                }
            }
            done.changed.push(name.clone());
        }
        Ok(done)
    })?;
    done.value.members = groups(&done.keyring).remove(group).unwrap_or_default();
    Ok(done)
}

/// Every group that somebody is in, and who.
pub fn groups(keyring: &Keyring) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for principal in keyring.principals() {
        for group in &principal.groups {
            all.entry(group.clone()).or_default().push(principal.name.clone());
        }
    }
    all
}
