//! Who owns which key, valid when, revoked why.
//!
//! A [`Keyring`] is an immutable snapshot of a directory that holds one TOML file per principal. It is
//! what the signature module asks for candidate keys, and what afterwards says whether a verified
//! signature may count: [`Keyring::assess`] applies validity windows and revocations (N14). A keyring
//! loads whole or not at all; only revocations survive a rejected change (N15).

pub mod document;
mod edit;
mod load;
mod material;
mod principal_file;
mod revocation;

pub use edit::{AddRequest, Added, EditError, add};
pub use load::{KeyringError, LoadedKeyring};
pub use material::{Material, MaterialError};
pub use revocation::{Reason, Revocation};

use crate::domain::{Principal, Timestamp};
use crate::signature::{KeyId, Keys, Rules, Scheme, SignatureStatus, Times, openpgp};
use document::Place;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A key of the keyring, with what its owner's file says about it.
#[derive(Clone, Debug)]
pub struct Key {
    /// Whose it is.
    pub principal: Arc<Principal>,
    /// The public key itself.
    pub material: Material,
    /// Nothing signed by it counts before this time.
    pub valid_from: Option<Timestamp>,
    /// Nothing signed by it counts from this time on.
    pub valid_until: Option<Timestamp>,
    /// Why and since when it is refused.
    pub revoked: Option<Revocation>,
    /// Where its `[[key]]` table stands.
    pub place: Place,
}

impl Key {
    /// How the key is named to people: `SHA256:...` for SSH, the primary key's upper-case hexadecimal
    /// fingerprint for OpenPGP.
    pub fn id(&self) -> KeyId {
        KeyId { scheme: self.material.scheme(), text: self.material.fingerprint() }
    }

    /// What the keyring and the key say about signatures made with it at `now`.
    pub fn standing(&self, now: Timestamp) -> Standing {
        if let Some(revoked) = &self.revoked
            && revoked.applies(now)
        {
            return Standing::Revoked { reason: revoked.reason.name().to_owned() };
        }
        if let Some(what) = self.material.weakness() {
            return Standing::Weak { what };
        }
        if let Some(from) = self.valid_from
            && now < from
        {
            return Standing::NotYetValid { from };
        }
        match self.valid_until {
            Some(at) if now >= at => Standing::Expired { at },
            until => self.material.standing(now, until),
        }
    }
}

/// Whether a key is good for anything right now, for people who read a list of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its signatures count, until the time given, if any.
    Valid {
        /// When the key or its entry ends.
        until: Option<Timestamp>,
    },
    /// The key or its entry ended.
    Expired {
        /// When.
        at: Timestamp,
    },
    /// The key or its entry has not begun.
    NotYetValid {
        /// When it will.
        from: Timestamp,
    },
    /// Revoked by its owner or by the keyring's keeper.
    Revoked {
        /// Why.
        reason: String,
    },
    /// No signature by such a key is accepted.
    Weak {
        /// What is too weak.
        what: String,
    },
    /// The key cannot sign commits.
    Unusable {
        /// What is missing.
        why: String,
    },
}

impl Standing {
    /// One word for records and output.
    pub const fn name(&self) -> &'static str {
        match self {
            Standing::Valid { .. } => "valid",
            Standing::Expired { .. } => "expired",
            Standing::NotYetValid { .. } => "not-yet-valid",
            Standing::Revoked { .. } => "revoked",
            Standing::Weak { .. } => "weak",
            Standing::Unusable { .. } => "unusable",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Standing::Valid { until: None } => f.write_str("valid"),
            Standing::Valid { until: Some(at) } => write!(f, "valid until {at}"),
            Standing::Expired { at } => write!(f, "expired at {at}"),
            Standing::NotYetValid { from } => write!(f, "not valid before {from}"),
            Standing::Revoked { reason } => write!(f, "revoked ({reason})"),
            Standing::Weak { what } => write!(f, "too weak ({what})"),
            Standing::Unusable { why } => write!(f, "unusable ({why})"),
        }
    }
}

/// An immutable snapshot of the keyring.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    principals: Vec<Arc<Principal>>,
    keys: Vec<Key>,
    digest: String,
    ssh: HashMap<Vec<u8>, usize>,
    openpgp: HashMap<Vec<u8>, Vec<usize>>,
    key_ids: HashMap<[u8; 8], Vec<usize>>,
    /// Fingerprints as people see them, of keys and of all OpenPGP component keys.
    names: HashMap<(Scheme, String), usize>,
}

impl Keyring {
    /// A keyring without keys: every signature is by an unknown key.
    pub fn empty() -> Self {
        Self::build(Vec::new(), Vec::new(), load::digest_of(&[]))
    }

    /// Principals sorted by name; keys in the order of their principals. The loader made sure that no
    /// component key occurs twice.
    fn build(principals: Vec<Arc<Principal>>, keys: Vec<Key>, digest: String) -> Self {
        let mut made = Keyring { principals, keys, digest, ..Keyring::default() };
        for (index, key) in made.keys.iter().enumerate() {
            let scheme = key.material.scheme();
            made.names.insert((scheme, key.material.fingerprint()), index);
            match &key.material {
                Material::Ssh(public) => {
                    made.ssh.insert(public.blob().to_vec(), index);
                }
                Material::OpenPgp(_) => {
                    for (fingerprint, key_id) in key.material.components() {
                        made.names.insert((scheme, material::hex(&fingerprint)), index);
                        made.openpgp.entry(fingerprint).or_default().push(index);
                        made.key_ids.entry(key_id).or_default().push(index);
                    }
                }
            }
        }
        made
    }

    /// SHA-256, in hexadecimal, over the names and bytes of the files that this was made from.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Everybody, by name.
    pub fn principals(&self) -> &[Arc<Principal>] {
        &self.principals
    }

    /// Fingerprints of the keys that are compromised at `now`, each with the time from which what it
    /// signed is tainted, milliseconds since the epoch (N14). An OpenPGP key that its own owner revoked as
    /// compromised, or without a reason, is one from the beginning.
    pub fn compromised(&self, now: Timestamp) -> Vec<(String, i64)> {
        let from = |key: &Key| {
            if key.material.certificate().is_some_and(openpgp::Certificate::compromised) {
                return Some(i64::MIN);
            }
            let revoked = key.revoked.as_ref()?;
            (revoked.reason == Reason::Compromised && revoked.applies(now))
                .then(|| revoked.effective_from.map_or(i64::MIN, |from| from.as_millisecond()))
        };
        self.keys.iter().filter_map(|key| Some((key.material.fingerprint(), from(key)?))).collect()
    }

    /// Every key, by its principal's name.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The key, by the fingerprint that people see, of an OpenPGP subkey as well. An OpenPGP key id
    /// finds nothing: it is an index and no identity (O6).
    pub fn find(&self, id: &KeyId) -> Option<&Key> {
        self.names.get(&(id.scheme, id.text.clone())).map(|index| &self.keys[*index])
    }

    /// What a status is worth once the keyring's own windows and revocations are applied (N13, N14), and
    /// whose key it is.
    ///
    /// Windows and soft revocations are asked at the receipt (without one, at the claimed time); a
    /// compromise counts for everything that was not received before it. Only a verified signature is
    /// changed, and only for the worse: to `Revoked`, `NotYetValid` or `Expired`, or to `UnknownKey` where
    /// this snapshot does not hold the key that another one held. For every other status the principal is
    /// the owner of the key that the signature *names*, which proves nothing and is good for messages only.
    pub fn assess(
        &self,
        status: SignatureStatus,
        times: &Times,
        rules: &Rules,
    ) -> (SignatureStatus, Option<Arc<Principal>>) {
        let _ = rules;
        let SignatureStatus::Verified(signature) = &status else {
            let owner = status.key().and_then(|id| self.find(&id)).map(|key| Arc::clone(&key.principal));
            return (status, owner);
        };
        let scheme = signature.scheme();
        let id = KeyId { scheme, text: signature.fingerprint().to_owned() };
        let entry = KeyId { scheme, text: signature.certificate().to_owned() };
        let Some(key) = self.find(&entry) else { return (SignatureStatus::UnknownKey { key: id }, None) };
        let owner = Some(Arc::clone(&key.principal));
        if let Some(revoked) = &key.revoked
            && revoked.refuses(times)
        {
            let hard = revoked.reason == Reason::Compromised;
            let reason = revoked.reason.name().to_owned();
            return (SignatureStatus::Revoked { key: id, reason, hard }, owner);
        }
        let anchor = times.anchor();
        match (key.valid_from, key.valid_until) {
            (Some(from), _) if anchor < from => {
                (SignatureStatus::NotYetValid { key: id, what: "keyring entry", from }, owner)
            }
            (_, Some(at)) if anchor >= at => {
                (SignatureStatus::Expired { key: id, what: "keyring entry", at }, owner)
            }
            _ => (status, owner),
        }
    }

    fn certificates(&self, indexes: Option<&Vec<usize>>) -> Vec<&openpgp::Certificate> {
        let keys = indexes.into_iter().flatten().map(|index| &self.keys[*index]);
        keys.filter_map(|key| key.material.certificate()).collect()
    }
}

impl Keys for Keyring {
    fn has_ssh(&self, blob: &[u8]) -> bool {
        self.ssh.contains_key(blob)
    }

    fn openpgp_by_fingerprint(&self, fingerprint: &[u8]) -> Vec<&openpgp::Certificate> {
        self.certificates(self.openpgp.get(fingerprint))
    }

    fn openpgp_by_key_id(&self, key_id: [u8; 8]) -> Vec<&openpgp::Certificate> {
        self.certificates(self.key_ids.get(&key_id))
    }
}
