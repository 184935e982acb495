//! What somebody who was removed leaves behind: a name and addresses that are nobody else's.

use super::Keyring;
use super::change::Draft;
use super::edit::EditError;
use super::revoke::{check_line, moment};
use crate::domain::{Principal, Timestamp, text};
use toml_edit::{DocumentMut, Item, Value};

/// Mail programs do not tell cases apart, and people do not either.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Why an address is not given without a word.
fn refusal(address: &str, former: &Principal) -> String {
    format!(
        "`{}` is an address of `{}`, who was removed: history names that one by it, and commits that claim it would \
         be somebody else's. Where it really is somebody else's now, say so: `--reuse-address {0} --reason TEXT`",
        text::escape_short(address.as_bytes(), 100),
        former.name
    )
}

/// Takes the addresses that `name` gets away from those who were removed, where `reused` says so. Each file that had
/// one says who has it now and why.
pub(super) fn hand_over(
    draft: &mut Draft<'_>,
    name: &str,
    addresses: &[String],
    reused: &[String],
    why: (Option<&str>, Timestamp),
) -> Result<(), EditError> {
    for address in addresses {
        while let Some(former) = former_owner_in(draft, name, address)? {
            if !reused.iter().any(|one| same(one, address)) {
                return Err(EditError::Refused(refusal(address, &former)));
            }
            let Some(reason) = why.0 else {
                return Err(EditError::Invalid("`--reuse-address` needs a `--reason`".to_owned()));
            };
            check_line("reason", reason)?;
            let note = format!("{address} is of `{name}` since {}: {}", moment(why.1), reason.trim());
            take(draft.document(&former.name)?, address, &note)
                .ok_or_else(|| super::change::broken(&former.name))?;
        }
    }
    Ok(())
}

/// What is said where authorities may certify an address that was given again: by the name alone nobody can tell a
/// certificate for the one who left from one for whoever has it now.
pub(super) fn certified(keyring: &Keyring, name: &str, reused: &[String]) -> Vec<String> {
    let mut told = Vec::new();
    for address in reused {
        for authority in keyring.authorities().iter().filter(|one| one.revoked.is_none()) {
            if authority.scopes.iter().any(|scope| scope.list.matches(address)) {
                told.push(format!(
                    "certificates for {} that the authority {} issued before count as `{name}`'s from now on, whoever has \
                     their keys: have those that have not ended revoked by their serial numbers, in a list of \
                     `[[keyring.revocation]]`",
                    text::escape_short(address.as_bytes(), 100),
                    authority.key.fingerprint()
                ));
            }
        }
    }
    told
}

/// Of those who still have it in the draft.
fn former_owner_in(draft: &mut Draft<'_>, name: &str, address: &str) -> Result<Option<Principal>, EditError> {
    let keyring = draft.keyring;
    let removed = keyring.parts.principals.iter().filter(|one| keyring.removed().contains(&one.name));
    for one in removed.filter(|one| one.name != name && one.emails.iter().any(|email| same(email, address))) {
        let emails = draft.document(&one.name)?.get("emails").and_then(Item::as_array);
        let listed =
            |list: &toml_edit::Array| list.iter().filter_map(Value::as_str).any(|email| same(email, address));
        if emails.is_some_and(listed) {
            return Ok(Some(Principal::clone(one)));
        }
    }
    Ok(None)
}

/// Takes an address out of a list and says why behind it.
fn take(document: &mut DocumentMut, address: &str, note: &str) -> Option<()> {
    let value = document.get_mut("emails")?.as_value_mut()?;
    let list = value.as_array_mut()?;
    list.retain(|one| !one.as_str().is_some_and(|one| same(one, address)));
    let decor = value.decor_mut();
    let said = decor.suffix().and_then(|suffix| suffix.as_str()).unwrap_or_default().trim().to_owned();
    let said = if said.is_empty() { format!(" # {note}") } else { format!(" {said}; {note}") };
    decor.set_suffix(said);
    Some(())
}
