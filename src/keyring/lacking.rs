//! What another keyring would lack of the revocations that are in force.

use super::document::Owner;
use super::load::Scan;
use super::{Keyring, Revocation, Sources};
use crate::domain::{Timestamp, text};
use crate::signature::Scheme;
use std::collections::BTreeSet;

/// How many are named.
const NAMED: usize = 3;

/// Which revocations and suspensions that the directory holds now `keyring` lacks, for what arrives from `now` on: those
/// of keys that it does not hold among them, because a later one could bring the key back. One that was made later, or
/// with other words, is the same if it refuses as much. Gives, for people, whose each is, escaped.
pub fn lacks(sources: &Sources, keyring: &Keyring, now: Timestamp) -> BTreeSet<String> {
    let scan = Scan::of(&sources.dir, Owner::Unchecked, &[]);
    let mut lost = BTreeSet::new();
    for file in &scan.files {
        let name = text::escape_short(file.principal.name.as_bytes(), 100);
        let keys = file.keys.iter();
        let keys = keys.map(|key| (key.material.scheme(), key.material.fingerprint(), &key.revoked));
        let authorities = file.authorities.iter();
        let authorities = authorities.map(|one| (Scheme::Ssh, one.key.fingerprint(), &one.revoked));
        for (scheme, fingerprint, revoked) in keys.chain(authorities) {
            let Some(revoked) = revoked else { continue };
            let id = (scheme, fingerprint);
            let key = keyring.names.get(&id).map(|index| &keyring.parts.keys[*index].revoked);
            // Whether a table calls the key a signer's or an authority's: it is the key that is revoked.
            let authority = keyring.authority_names.get(&id.1).filter(|_| scheme == Scheme::Ssh);
            let authority = authority.map(|index| &keyring.parts.authorities[*index].revoked);
            let kept = |own: &Option<Revocation>| own.as_ref().is_some_and(|own| own.covers(revoked, now));
            let held: Vec<_> = key.into_iter().chain(authority).collect();
            if held.is_empty() || !held.into_iter().all(kept) {
                lost.insert(format!("{name} {}", id.1));
            }
        }
        // What the owner of a certificate says in it.
        for found in &file.keys {
            let id = (found.material.scheme(), found.material.fingerprint());
            let own = keyring.names.get(&id).map(|index| &keyring.parts.keys[*index].material);
            if own.is_some_and(|own| own.clone().take_revocations_of(&found.material)) {
                lost.insert(format!("{name} {}", id.1));
            }
        }
        if let Some(found) = &file.suspended {
            let own = keyring.parts.suspended.get(&file.principal.name);
            if !own.is_some_and(|own| own.covers(found, now)) {
                lost.insert(name);
            }
        }
    }
    lost
}

/// That they would be gone.
pub fn lacking(lost: &BTreeSet<String>) -> String {
    let (many, them) = if lost.len() == 1 {
        ("revocation or suspension that is", "it")
    } else {
        ("revocations or suspensions that are", "them")
    };
    let mut named: Vec<&str> = lost.iter().take(NAMED).map(String::as_str).collect();
    if lost.len() > NAMED {
        named.push("...");
    }
    format!(
        "it lacks {} {many} in force on the server ({}); add {them} to it first, with `countersign keyring revoke` or \
         `suspend`",
        lost.len(),
        named.join(", ")
    )
}
