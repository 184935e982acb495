//! Revoking keys and suspending principals.

use super::change::{ChangeOptions, Changed, Draft, change};
use super::edit::EditError;
use super::principal_file::MAX_REASON;
use super::select::{self, Held, KeyRef};
use super::{Keyring, Reason, Revocation, Sources, Suspension, import, principal_file};
use crate::domain::{Timestamp, text};
use crate::signature::Scheme;
use toml_edit::{Array, Datetime, DocumentMut, InlineTable, Item, Value, value};

/// What to revoke.
#[derive(Clone, Debug)]
pub struct RevokeRequest {
    /// Whose.
    pub name: String,
    /// Which keys and authorities; `None` is all of the principal's file.
    pub keys: Option<Vec<KeyRef>>,
    /// Why.
    pub reason: Reason,
    /// When it was learned; `None` is now.
    pub at: Option<Timestamp>,
    /// For compromised keys: since when; `None` is always.
    pub effective_from: Option<Timestamp>,
    /// A comment for those who read the file.
    pub note: Option<String>,
}

/// A key that is revoked now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Its fingerprint.
    pub fingerprint: String,
    /// OpenPGP or SSH.
    pub scheme: Scheme,
    /// Whether it was not, or less.
    pub changed: bool,
    /// What is in force.
    pub revocation: Revocation,
}

/// Revokes keys of a principal. What is there is never made weaker: both together hold.
///
/// # Errors
/// See [`EditError`]; nothing was changed then.
pub fn revoke(
    sources: &Sources,
    request: &RevokeRequest,
    options: &ChangeOptions<'_>,
) -> Result<Changed<Vec<Revoked>>, EditError> {
    let now = options.purpose.at;
    let at = request.at.unwrap_or_else(|| moment(now));
    if request.reason != Reason::Compromised && request.effective_from.is_some() {
        return Err(EditError::Invalid(format!(
            "`--effective-from` goes with `compromised` only; a {} key is refused from `--at`",
            request.reason
        )));
    }
    if request.reason == Reason::Compromised && at > now {
        return Err(EditError::Invalid("a compromise that is known is not learned in the future".to_owned()));
    }
    if request.effective_from.is_some_and(|from| from > at) {
        return Err(EditError::Invalid(
            "`--effective-from` is after `--at`: the compromise cannot follow its discovery".to_owned(),
        ));
    }
    if let Some(note) = &request.note {
        check_line("note", note)?;
    }
    let wanted = Revocation { at: Some(at), effective_from: request.effective_from, reason: request.reason };
    change(sources, options, |draft| {
        // Who was removed may turn out to have lost a key before.
        if !draft.keyring.removed().contains(&request.name) {
            known(draft.keyring, &request.name)?;
        }
        let file = draft.path(&request.name);
        let keys: Vec<Held<'_>> = match &request.keys {
            None => select::held(draft.keyring, &file),
            Some(keys) => {
                let one = |key| select::one(draft.keyring, &file, &request.name, key);
                keys.iter().map(one).collect::<Result<_, _>>()?
            }
        };
        if keys.is_empty() {
            let message = format!("`{}` has no key in the keyring; `suspend` stops the rest", request.name);
            return Err(EditError::Refused(message));
        }
        let mut done = Vec::new();
        for key in keys {
            done.push(revoke_one(draft, request, &wanted, key)?);
        }
        Ok(done)
    })
}

fn revoke_one(
    draft: &mut Draft<'_>,
    request: &RevokeRequest,
    wanted: &Revocation,
    key: Held<'_>,
) -> Result<Revoked, EditError> {
    let (name, fingerprint, scheme) = (&request.name, key.fingerprint(), key.scheme());
    let document = draft.document(name)?;
    let indexes = select::tables(document, key.list(), scheme, &fingerprint, name)?;
    // What is in force may come from a list; what is written is what the file says and what is asked for.
    let written = own(key, document, &indexes);
    let joined = match &written {
        None => wanted.clone(),
        Some(known) => {
            refuse_weaker(request, &fingerprint, known, wanted)?;
            known.clone().join(wanted.clone())
        }
    };
    let changed = written.as_ref() != Some(&joined);
    if changed {
        let tables = select::list_of(document, key.list(), name)?;
        for index in indexes {
            if let Some(table) = tables.get_mut(index) {
                table.insert("revoked", revocation_item(&joined, request.note.as_deref()));
            }
        }
    }
    Ok(Revoked { fingerprint, scheme, changed, revocation: joined })
}

/// The revocation in the file, where it stands in it.
fn own(key: Held<'_>, document: &DocumentMut, indexes: &[usize]) -> Option<Revocation> {
    let tables = document.get(key.list()).and_then(Item::as_array_of_tables)?;
    let said =
        indexes.iter().any(|index| tables.get(*index).is_some_and(|table| table.contains_key("revoked")));
    if said { key.revoked().cloned() } else { None }
}

/// What somebody asks for and would not get is refused, so that nobody believes it.
fn refuse_weaker(
    request: &RevokeRequest,
    fingerprint: &str,
    known: &Revocation,
    wanted: &Revocation,
) -> Result<(), EditError> {
    let by_hand = "to take that back, edit the file by hand";
    if known.reason > wanted.reason {
        return Err(EditError::Refused(format!(
            "{fingerprint} is revoked as {} already, which is not made weaker; {by_hand}",
            known.reason
        )));
    }
    let later = |known: Option<Timestamp>, wanted: Option<Timestamp>| match (known, wanted) {
        (None, Some(_)) => true,
        (Some(known), Some(wanted)) => wanted > known,
        (_, None) => false,
    };
    let asked = match wanted.reason {
        Reason::Compromised => request.effective_from,
        _ => request.at,
    };
    if asked.is_some() && later(known.refused_from(), asked) {
        let from = known.refused_from().map_or_else(|| "always".to_owned(), |at| format!("from {at}"));
        return Err(EditError::Refused(format!(
            "{fingerprint} is refused {from} already, which is not made later; {by_hand}"
        )));
    }
    Ok(())
}

/// Whom to suspend.
#[derive(Clone, Debug)]
pub struct SuspendRequest {
    /// Who: a name, or an address that is one principal's.
    pub name: String,
    /// From when on; `None` is now.
    pub at: Option<Timestamp>,
    /// Why; it stands in the file.
    pub reason: String,
    /// How somebody is to be called who has no file yet; `None` is after the address.
    pub file_name: Option<String>,
    /// Whether it may be somebody whom nothing but an authority speaks for.
    pub certified: bool,
}

/// Who is suspended now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspended {
    /// The principal's name, which may be a new one.
    pub name: String,
    /// What is in force.
    pub suspension: Suspension,
    /// Whether a file was made for it.
    pub created: bool,
    /// Keys of others who bear the address as well, and who they were: they are suspended, too.
    pub others: Vec<(String, String)>,
}

/// Suspends a principal: nothing of it that arrives from then on counts.
///
/// Whom only lines of `allowed_signers` files name gets a file, which outranks them: with the address that the
/// lines have, so that they are its lines, and with their groups, so that it is as before once it is resumed.
///
/// # Errors
/// See [`EditError`]; nothing was changed then.
pub fn suspend(
    sources: &Sources,
    request: &SuspendRequest,
    options: &ChangeOptions<'_>,
) -> Result<Changed<Suspended>, EditError> {
    check_line("reason", &request.reason)?;
    let now = options.purpose.at;
    change(sources, options, |draft| {
        let (name, created, others) = match with_file(draft.keyring, &request.name)? {
            Some(name) => (name, false, Vec::new()),
            None => {
                let (name, others) = give_file(draft, request)?;
                (name, true, others)
            }
        };
        if !created {
            known(draft.keyring, &name)?;
        }
        if let Some(there) = draft.keyring.suspension(&name).cloned() {
            match (request.at, there.at) {
                (Some(wanted), Some(at)) if wanted < at => {}
                // From now on is what was asked for, and this one only comes.
                (None, Some(at)) if at > now => {}
                (Some(wanted), Some(at)) if wanted > at => {
                    return Err(EditError::Refused(format!(
                        "`{name}` is suspended from {at} already; to suspend from a later time, `resume` first"
                    )));
                }
                _ => return Ok(Suspended { name, suspension: there, created, others }),
            }
        }
        let at = request.at.unwrap_or_else(|| moment(now));
        let mut table = InlineTable::new();
        table.insert("at", time(at));
        table.insert("reason", Value::from(request.reason.trim()));
        put(draft.document(&name)?, "suspended", Value::InlineTable(table));
        let suspension = Suspension { at: Some(at), reason: text::escape(request.reason.trim().as_bytes()) };
        Ok(Suspended { name, suspension, created, others })
    })
}

/// Who with a file has this name or, where nobody is called so, this address; nobody where only lines or nothing
/// at all knows it.
fn with_file(keyring: &Keyring, word: &str) -> Result<Option<String>, EditError> {
    if keyring.parts.principals.iter().any(|one| one.name == word) {
        return Ok(Some(word.to_owned()));
    }
    let found: Vec<String> = keyring.called(word).map(|one| one.name.clone()).collect();
    match &found[..] {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        _ => {
            let shown = text::escape_short(word.as_bytes(), 60);
            let all = found.join("`, `");
            Err(EditError::Refused(format!("`{shown}` is an address of `{all}`: say which by the name")))
        }
    }
}

/// Makes a file for somebody without one that all of its keys are by then; gives its name, and what besides is.
fn give_file(
    draft: &mut Draft<'_>,
    request: &SuspendRequest,
) -> Result<(String, Vec<(String, String)>), EditError> {
    let (keyring, word) = (draft.keyring, request.name.as_str());
    let shown = text::escape_short(word.as_bytes(), 60);
    let by_lines = keyring.parts.named_by_lines.iter().find(|one| one.name == word);
    if by_lines.is_none() {
        let speaks =
            keyring.authorities().iter().any(|one| one.scopes.iter().any(|one| one.list.matches(word)));
        match (speaks && principal_file::is_email(word), request.certified) {
            (true, true) => {}
            (true, false) => {
                let near = keyring.principal(word).err().flatten();
                let hint = near.map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
                return Err(EditError::Refused(format!(
                    "nothing in the keyring is for `{shown}`, but an authority may certify it. To refuse whoever has \
                     such a certificate, run it again with `--certified`.{hint}"
                )));
            }
            (false, _) => return known(keyring, word).map(|()| (String::new(), Vec::new())),
        }
    }
    let places = || {
        let ours = keyring.keys().iter().filter(|key| key.principal.name == word);
        ours.map(|key| key.place.to_string()).collect::<Vec<_>>().join(", ")
    };
    let name = match &request.file_name {
        Some(name) => name.clone(),
        None if principal_file::is_name(word) => word.to_owned(),
        None => import::called_after(word),
    };
    let quoted = shown.replace('\'', "'\\''");
    let again = format!("countersign keyring suspend '{quoted}' --as NAME --reason TEXT");
    if !principal_file::is_name(&name) {
        let name = text::escape_short(name.as_bytes(), 60);
        return Err(EditError::Refused(format!(
            "`{shown}` has no file, and `{name}` cannot name one: give it a name with `{again}`"
        )));
    }
    if name != word
        && keyring.parts.principals.iter().chain(&keyring.parts.named_by_lines).any(|one| one.name == name)
    {
        return Err(EditError::Refused(format!(
            "`{shown}` has no file, and `{name}` is somebody else: give it a name of its own with `{again}`"
        )));
    }
    let mut emails: Vec<&str> = Vec::new();
    emails.extend(principal_file::is_email(word).then_some(word));
    let own = by_lines.map(|one| one.emails.as_slice()).unwrap_or_default();
    for email in own.iter().map(String::as_str).filter(|email| *email != word) {
        // An address that somebody else's lines have as well would take those along.
        let others = keyring.parts.named_by_lines.iter().filter(|one| one.name != word);
        if !others.into_iter().any(|one| one.emails.iter().any(|other| other == email)) {
            emails.push(email);
        }
    }
    let mut document = DocumentMut::new();
    document.insert("name", value(name.as_str()));
    document.insert("kind", value("person"));
    document.insert("emails", value(emails.into_iter().collect::<Array>()));
    let groups: Array = by_lines.iter().flat_map(|one| one.groups.iter().map(String::as_str)).collect();
    if !groups.is_empty() {
        document.insert("groups", value(groups));
    }
    let made = document.to_string();
    let overlay = [(format!("{name}.toml"), Some(made.clone()))];
    let after = Keyring::load_with(draft.sources, &overlay).map_err(EditError::Result)?.keyring;
    let mut others = Vec::new();
    for key in keyring.keys() {
        let owner = after.find(&key.id()).map(|key| key.principal.name.as_str());
        match (key.principal.name == word, owner == Some(&name)) {
            (true, false) => {
                return Err(EditError::Refused(format!(
                    "`{shown}` is no name of a file and no address, so no file can be for all of its lines: take them \
                     out ({}), or put the keys into a list of `[[keyring.revocation]]`",
                    places()
                )));
            }
            (false, true) => others.push((key.material.fingerprint(), key.principal.name.clone())),
            _ => {}
        }
    }
    draft.create(&name, &made)?;
    Ok((name, others))
}

/// Lets a suspended principal count again; gives its name and what was in force. Revocations stay.
///
/// # Errors
/// See [`EditError`]; nothing was changed then.
pub fn resume(
    sources: &Sources,
    name: &str,
    options: &ChangeOptions<'_>,
) -> Result<Changed<(String, Option<Suspension>)>, EditError> {
    change(sources, options, |draft| {
        let name = with_file(draft.keyring, name)?.unwrap_or_else(|| name.to_owned());
        known(draft.keyring, &name)?;
        let there = draft.keyring.suspension(&name).cloned();
        if there.is_some() {
            draft.document(&name)?.remove("suspended");
        }
        Ok((name, there))
    })
}

/// Somebody with a file in the keyring, who has not been removed.
pub(super) fn known(keyring: &Keyring, name: &str) -> Result<(), EditError> {
    if keyring.removed().iter().any(|one| one == name) {
        return Err(EditError::Refused(format!("`{name}` was removed from the keyring")));
    }
    if keyring.parts.principals.iter().any(|one| one.name == name) {
        return Ok(());
    }
    let shown = text::escape_short(name.as_bytes(), 60);
    Err(EditError::Refused(match keyring.principal(name) {
        Ok(_) => format!(
            "`{shown}` has no file in the keyring, only lines in other files; `countersign keyring suspend '{}' --reason \
             TEXT` makes one that stops them all",
            shown.replace('\'', "'\\''")
        ),
        Err(near) => {
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            format!("there is nobody called `{shown}` in the keyring{hint}")
        }
    }))
}

/// What goes into a file as a line of text: visible, and not too long.
pub(super) fn check_line(what: &str, line: &str) -> Result<(), EditError> {
    if line.trim().is_empty() || line.chars().count() > MAX_REASON {
        return Err(EditError::Invalid(format!("a {what} has 1 to {MAX_REASON} characters")));
    }
    if text::escape(line.as_bytes()) != line.replace('\\', "\\\\") {
        return Err(EditError::Invalid(format!(
            "the {what} has characters that nobody sees, or several lines"
        )));
    }
    Ok(())
}

/// Sets a value and keeps the comments around the one that was there.
pub(super) fn put(document: &mut DocumentMut, key: &str, news: Value) {
    match document.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = news;
            *old.decor_mut() = decor;
        }
        None => {
            document.insert(key, value(news));
        }
    }
}

pub(super) fn revocation_item(revocation: &Revocation, note: Option<&str>) -> Item {
    let mut table = InlineTable::new();
    if let Some(at) = revocation.at {
        table.insert("at", time(at));
    }
    table.insert("reason", Value::from(revocation.reason.name()));
    if let Some(from) = revocation.effective_from {
        table.insert("effective-from", time(from));
    }
    let mut made = Value::InlineTable(table);
    if let Some(note) = note {
        made.decor_mut().set_suffix(format!(" # {}", note.trim()));
    }
    Item::Value(made)
}

/// A time as TOML has it.
pub(super) fn time(at: Timestamp) -> Value {
    let written = at.to_string();
    written.parse::<Datetime>().map_or_else(|_| Value::from(written), Value::from)
}

/// Now, as files have it: milliseconds, as receipts. Whole seconds would reach back to pushes that came before.
pub(super) fn moment(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}
