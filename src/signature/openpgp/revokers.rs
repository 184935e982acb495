//! Revocations by somebody else whom the key's owner named for that (O12).
//!
//! The revoker's key is in another certificate. A [`Certificate`] is read once and stays as it is, so the
//! keyring is asked whenever a signature is judged.

use super::certificate::{Certificate, Delegated, Revocation};
use super::filing::may_be;
use super::signature::kind;
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
