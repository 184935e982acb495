//! What the revocations of a certificate say about all that its keys ever signed, those by somebody else
//! whom the key's owner named for that among them (O10, O12), and taking them over into another copy.
//!
//! The revoker's key is in another certificate. A [`Certificate`] is read once and stays as it is, so the
//! keyring is asked whenever a signature is judged.

use super::certificate::{Certificate, Delegated, Over, Revocation};
use super::filing::may_be;
use super::signature::{kind, peek_kind};
use super::validity::Component;
use crate::signature::Keys;

/// What became of the revocations by others that concern one key.
#[derive(Debug, Default)]
pub(super) struct Delegations {
    /// Made by a named revoker whose key is known: they count like the owner's own.
    pub(super) honoured: Vec<Revocation>,
    /// How many nobody could check, because no named revoker's key is known (K064).
    pub(super) unknown: usize,
    /// How many claim to be by a known revoker and do not verify.
    pub(super) unproven: usize,
}

impl Certificate {
    /// Fingerprints of the keys that their owner, or somebody whom the owner named, revoked for a reason
    /// that says, or does not rule out, that another one has them: nothing that they ever signed proves
    /// anything (O10). The whole certificate goes by its primary key, a subkey by its own. `keys` is asked
    /// for the keys of those whom the owner named.
    pub fn compromised(&self, keys: &dyn Keys) -> Vec<String> {
        let hard = |own: &[Revocation], component| {
            let is_hard = |one: &Revocation| one.is_hard();
            own.iter().any(is_hard) || self.delegations(component, keys).honoured.iter().any(is_hard)
        };
        if hard(&self.revocations, Component::Primary) {
            return vec![self.fingerprint()];
        }
        let subkeys = self.subkeys.iter().enumerate();
        let revoked = subkeys.filter(|(index, one)| hard(&one.revocations, Component::Subkey(*index)));
        revoked.map(|(_, one)| one.key.hex()).collect()
    }

    /// This certificate as the keyring `keys` sees it: what those whom the owner named have revoked is revoked
    /// for whoever asks it what it is good for. `None` where nobody else revoked anything.
    pub fn honouring(&self, keys: &dyn Keys) -> Option<Certificate> {
        if self.delegated.is_empty() {
            return None;
        }
        let of = |(component, _)| {
            let honoured = self.delegations(component, keys).honoured;
            honoured.into_iter().map(move |revocation| (component, revocation))
        };
        let honoured = self.components().flat_map(of).collect();
        Some(Certificate { honoured, ..self.clone() })
    }

    /// This certificate as it stands in a file, whatever a keyring makes of what others revoked.
    pub fn by_its_own_word(&self) -> Certificate {
        Certificate { honoured: Vec::new(), ..self.clone() }
    }

    /// The revocations by others that are proven and concern this key.
    pub(super) fn honoured(&self, component: Component) -> Vec<Revocation> {
        let ours = self.honoured.iter().filter(|(concerned, _)| *concerned == component);
        ours.map(|(_, revocation)| *revocation).collect()
    }

    /// Whether `other`, a copy of this certificate, has a revocation that this one does not have.
    pub fn lacks_revocations_of(&self, other: &Certificate) -> bool {
        let lacks = |own: &[Revocation], theirs: &[Revocation]| theirs.iter().any(|one| !own.contains(one));
        lacks(&self.revocations, &other.revocations)
            || other.delegated.iter().any(|one| !self.delegated.contains(one))
            || other.subkeys.iter().any(|theirs| {
                let own = self.subkeys.iter().find(|one| one.key.fingerprint == theirs.key.fingerprint);
                lacks(own.map_or(&[], |one| &one.revocations[..]), &theirs.revocations)
            })
    }

    /// This certificate with the revocations that `other`, a copy of it, has besides; nothing else is taken
    /// over. `None` where that is none, or `other` is no copy.
    pub fn with_revocations_of(&self, other: &Certificate) -> Option<Certificate> {
        fn add<T: Clone + PartialEq>(known: &mut Vec<T>, more: &[T]) -> bool {
            let before = known.len();
            for one in more {
                if !known.contains(one) {
                    known.push(one.clone());
                }
            }
            known.len() > before
        }
        if self.primary.fingerprint != other.primary.fingerprint {
            return None;
        }
        let mut merged = self.clone();
        let mut news = add(&mut merged.revocations, &other.revocations);
        for subkey in &mut merged.subkeys {
            let theirs = other.subkeys.iter().find(|one| one.key.fingerprint == subkey.key.fingerprint);
            news |= theirs.is_some_and(|theirs| add(&mut subkey.revocations, &theirs.revocations));
        }
        // Who may revoke is said by the owner, too, and matters together with the revocation alone.
        if add(&mut merged.delegated, &other.delegated) {
            add(&mut merged.revokers, &other.revokers);
            news = true;
        }
        let revokes =
            |body: &[u8]| matches!(peek_kind(body), Some(kind::KEY_REVOCATION | kind::SUBKEY_REVOCATION));
        for (over, body) in other.kept.iter().filter(|(_, body)| revokes(body)) {
            let over = match over {
                Over::Subkey(index) => {
                    let theirs = &other.subkeys[*index].key.fingerprint;
                    merged.subkeys.iter().position(|one| one.key.fingerprint == *theirs).map(Over::Subkey)
                }
                other => Some(*other),
            };
            if let Some(kept) = over.map(|over| (over, body.clone()))
                && !merged.kept.contains(&kept)
            {
                merged.kept.push(kept);
            }
        }
        news.then_some(merged)
    }

    /// What the revocations say, in a form that is good for nothing but telling two copies apart.
    pub fn revocations(&self) -> String {
        let subkeys = self.subkeys.iter().filter(|one| !one.revocations.is_empty());
        let subkeys: Vec<_> = subkeys.map(|one| (one.key.hex(), &one.revocations)).collect();
        let delegated: Vec<_> = self.delegated.iter().map(|one| &one.signature).collect();
        format!("{:?} {subkeys:?} {delegated:?}", self.revocations)
    }

    /// Asks `keys` for the revokers' keys. Whether such a key is itself alive and well is not asked: a
    /// doubtful revocation refuses, which is the safe side (O11).
    pub(super) fn delegations(&self, component: Component, keys: &dyn Keys) -> Delegations {
        let mut out = Delegations::default();
        for delegated in &self.delegated {
            let over_subkey = delegated.signature.kind == kind::SUBKEY_REVOCATION;
            let subkey = match component {
                Component::Primary if over_subkey => continue,
                Component::Subkey(index) if over_subkey => Some(&self.subkeys[index].key),
                _ => None,
            };
            let mut parts = vec![self.primary.framed()];
            parts.extend(subkey.map(|key| key.framed()));
            match self.is_by_revoker(delegated, &parts, keys) {
                Some(true) => out.honoured.push(delegated.revocation),
                // One over another subkey looks the same.
                Some(false) => out.unproven += usize::from(!over_subkey),
                None => out.unknown += 1,
            }
        }
        out
    }

    /// `None` where the key of no revoker that it may be by is known.
    fn is_by_revoker(&self, delegated: &Delegated, parts: &[&[u8]], keys: &dyn Keys) -> Option<bool> {
        let issuer = delegated.signature.issuer();
        let mut known = None;
        for revoker in self.revokers.iter().filter(|revoker| may_be(&issuer, revoker)) {
            for certificate in keys.openpgp_by_fingerprint(revoker) {
                let mut components = certificate.components().map(|(_, key)| key);
                let key = components.find(|key| key.fingerprint == *revoker);
                let made = key.map(|key| key.revoked_by(&delegated.signature, parts));
                known = known.max(made);
            }
        }
        known
    }
}
