//! Who owns which key, valid when, revoked why.
//!
//! A [`Keyring`] is an immutable snapshot of a directory that holds one TOML file per principal. It is
//! what the signature module asks for candidate keys, and what afterwards says whether a verified
//! signature may count: [`Keyring::assess`] applies validity windows and revocations (N14). A keyring
//! loads whole or not at all; only revocations survive a rejected change (N15).

mod accounts;
mod authority;
mod change;
pub mod diff;
pub mod document;
mod edit;
pub mod export;
mod fido;
mod gravestone;
mod import;
mod lacking;
mod line_diff;
pub mod lint;
mod lists;
mod load;
mod material;
mod members;
mod principal_file;
mod revocation;
mod revoke;
mod roles;
mod rotate;
mod select;
mod signed;
mod signers;
mod sources;
mod suspension;
mod take;
pub mod whose;
mod windows;

pub use accounts::{Account, AccountError, LoginKey};
pub use authority::{Authority, Scope};
pub use change::{
    Author, ChangeOptions, ChangeRecord, Changed, ChangedFile, FileDigests, Purpose, Recorded, Recorder,
    Signer,
};
pub use edit::{AddRequest, Added, EditError, add, add_with};
pub use fido::FidoDemands;
pub use import::{
    FileFormat, ImportRequest, Imported, ImportedFile, ImportedSource, MAX_IMPORT, import, import_with,
};
pub use lacking::{lacking, lacks};
pub use load::{KeyringError, LoadedKeyring, MAX_FILE};
pub use material::{Material, MaterialError};
pub use members::{Membership, Regrouped, Removed, groups, regroup, remove, rename};
pub use principal_file::is_name;
pub(crate) use principal_file::{group_names, revocation_of};
pub use revocation::{Reason, Revocation};
pub use revoke::{RevokeRequest, Revoked, SuspendRequest, Suspended, resume, revoke, suspend};
pub use roles::{Role, Roles};
pub use rotate::{Ended, Refreshed, RotateRequest, Rotated, Until, refresh, rotate};
pub use select::{KeyRef, KeyRefError};
pub use signed::{CHANGE_NAMESPACE, MAX_SIGNATURE, signer_of};
pub use sources::{AllowedSigners, RevocationFile, Sources};
pub use suspension::Suspension;
pub use take::{Origin, Taken, as_if, take};
pub use windows::{Position, Window, Windows};

use crate::domain::{Principal, ServerKind, Timestamp};
use crate::signature::{KeyId, Keys, Rules, Scheme, SignatureStatus, Times, VerifiedSignature, openpgp, ssh};
use document::Place;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A key of the keyring, with what its owner's file says about it.
#[derive(Clone, Debug)]
pub struct Key {
    /// Whose it is.
    pub principal: Arc<Principal>,
    /// The public key itself.
    pub material: Material,
    /// When what it signs counts.
    pub windows: Windows,
    /// What it may be used for.
    pub roles: Roles,
    /// What is asked of its signatures, where it is a FIDO key.
    pub fido: FidoDemands,
    /// Why and since when it is refused.
    pub revoked: Option<Revocation>,
    /// Since when nothing of its owner counts.
    pub suspended: Option<Suspension>,
    /// Where its `[[key]]` table or its first line stands.
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
        if let Some(suspended) = &self.suspended
            && suspended.applies(now)
        {
            return Standing::Suspended { reason: suspended.reason.clone() };
        }
        if let Some(what) = self.material.weakness() {
            return Standing::Weak { what };
        }
        match self.windows.at(now) {
            Position::Inside { until } => self.material.standing(now, until),
            Position::Before { from } => Standing::NotYetValid { from },
            Position::After { at } => Standing::Expired { at },
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
    /// Its owner is suspended.
    Suspended {
        /// Why, in the keeper's words.
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
            Standing::Suspended { .. } => "suspended",
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
            Standing::Suspended { reason } => write!(f, "suspended ({reason})"),
            Standing::Weak { what } => write!(f, "too weak ({what})"),
            Standing::Unusable { why } => write!(f, "unusable ({why})"),
        }
    }
}

/// What the name of a key's file or field ends in, where one is made: enough of the fingerprint to tell the
/// keys of one principal apart.
fn export_name_suffix(material: &Material) -> String {
    match material {
        Material::Ssh(key) => {
            use sha2::Digest;
            data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(key.blob())[..8])
        }
        Material::OpenPgp(certificate) => certificate.key_id().to_ascii_lowercase(),
    }
}

/// An immutable snapshot of the keyring.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    parts: Parts,
    principals: Vec<Arc<Principal>>,
    ssh: HashMap<Vec<u8>, usize>,
    openpgp: HashMap<Vec<u8>, Vec<usize>>,
    key_ids: HashMap<[u8; 8], Vec<usize>>,
    /// Fingerprints as people see them, of keys and of all OpenPGP component keys.
    names: HashMap<(Scheme, String), usize>,
    authority_blobs: HashMap<Vec<u8>, usize>,
    authority_names: HashMap<String, usize>,
    /// Names and addresses of the principals with a file.
    called: HashMap<String, Vec<usize>>,
    /// Suspensions by the names and addresses of whom they are for, in lower case: of whoever has no file.
    suspended_words: HashMap<String, Suspension>,
    /// Whose account it is, by its name: the kind of server, or any, and the principal with a file.
    accounts: HashMap<String, Vec<(Option<ServerKind>, usize)>>,
    /// OpenPGP keys, subkeys among them, that their own owners, or those whom they named, revoked as
    /// compromised. Such revocations have always been (O10), so they are looked for once.
    compromised_by_owner: Vec<String>,
}

/// What a keyring is built from. The loader made sure that no key and no component key occurs twice, as a
/// key or as an authority.
#[derive(Clone, Debug, Default)]
struct Parts {
    /// Those with a file, by name.
    principals: Vec<Arc<Principal>>,
    /// The accounts of each of them, in the same order. No two principals have one that overlaps.
    accounts: Vec<Vec<Account>>,
    /// Those of whom nothing counts, with a file or without one.
    suspended: HashMap<String, Suspension>,
    /// Those who are gone, of the principals above: their names are not given again, what bears them counts
    /// no more, and their files keep what was revoked.
    removed: Vec<String>,
    /// Those whom only lines of `allowed_signers` files name.
    named_by_lines: Vec<Arc<Principal>>,
    /// Of the files in the order of their principals, then of the lines.
    keys: Vec<Key>,
    /// How many of them are of the files.
    of_files: usize,
    authorities: Vec<Authority>,
    lists: Vec<lists::Listed>,
    /// What it was read from, see [`Keyring::files`].
    files: Vec<(String, [u8; 32])>,
    digest: String,
}

impl Keyring {
    /// A keyring without keys: every signature is by an unknown key.
    pub fn empty() -> Self {
        Self::build(Parts { digest: load::digest_of(&[]), ..Parts::default() })
    }

    fn build(parts: Parts) -> Self {
        let mut made = Keyring { parts, ..Keyring::default() };
        for (index, key) in made.parts.keys.iter().enumerate() {
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
        for (index, authority) in made.parts.authorities.iter().enumerate() {
            made.authority_blobs.insert(authority.key.blob().to_vec(), index);
            made.authority_names.insert(authority.key.fingerprint(), index);
        }
        for (index, principal) in made.parts.principals.iter().enumerate() {
            for word in std::iter::once(&principal.name).chain(&principal.emails) {
                let known = made.called.entry(word.clone()).or_default();
                if !known.contains(&index) {
                    known.push(index);
                }
            }
        }
        let emails = |name: &str| {
            let found =
                made.called.get(name).into_iter().flatten().map(|index| &made.parts.principals[*index]);
            found.filter(|one| one.name == name).flat_map(|one| one.emails.clone()).collect::<Vec<_>>()
        };
        let mut suspended_words: HashMap<String, Suspension> = HashMap::new();
        for (name, suspension) in &made.parts.suspended {
            for word in emails(name).iter().chain([name]) {
                let word = word.to_ascii_lowercase();
                let joined = match suspended_words.remove(&word) {
                    Some(known) => known.join(suspension.clone()),
                    None => suspension.clone(),
                };
                suspended_words.insert(word, joined);
            }
        }
        made.suspended_words = suspended_words;
        // Whom an owner named to revoke is somebody else in the keyring, so that all of it has to be there.
        let certificates = made.parts.keys.iter().filter_map(|key| key.material.certificate());
        made.compromised_by_owner = certificates.flat_map(|one| one.compromised(&made)).collect();
        let keys = made.parts.keys.iter().enumerate();
        let honouring: Vec<(usize, openpgp::Certificate)> = keys
            .filter_map(|(index, key)| Some((index, key.material.certificate()?.honouring(&made)?)))
            .collect();
        for (index, certificate) in honouring {
            made.parts.keys[index].material = Material::OpenPgp(Box::new(certificate));
        }
        for (index, accounts) in made.parts.accounts.iter().enumerate() {
            for account in accounts {
                made.accounts.entry(account.name.clone()).or_default().push((account.server, index));
            }
        }
        let everybody = made.parts.principals.iter().chain(&made.parts.named_by_lines);
        let removed: HashSet<&String> = made.parts.removed.iter().collect();
        made.principals = everybody.filter(|one| !removed.contains(&one.name)).cloned().collect();
        made.principals.sort_by(|a, b| a.name.cmp(&b.name));
        made
    }

    /// SHA-256, in hexadecimal, over the names and bytes of the files that this was made from.
    pub fn digest(&self) -> &str {
        &self.parts.digest
    }

    /// What it was made from, each with its SHA-256: the names of the principals that have a file, and of
    /// every file beside the directory what the configuration says about it.
    pub fn files(&self) -> &[(String, [u8; 32])] {
        &self.parts.files
    }

    /// Everybody, by name.
    pub fn principals(&self) -> &[Arc<Principal>] {
        &self.principals
    }

    /// Fingerprints of the keys and authorities that are compromised at `now`, each once, in their order,
    /// with the time from which what it signed is tainted, milliseconds since the epoch (N14). An OpenPGP
    /// key, or a subkey alone, that its own owner revoked as compromised, or without a reason, is one from
    /// the beginning. A key that only a revocation list names is one as well: what it signed under a
    /// certificate stands somewhere.
    pub fn compromised(&self, now: Timestamp) -> Vec<(String, i64)> {
        let from = |revoked: &Revocation| {
            (revoked.reason == Reason::Compromised && revoked.applies(now))
                .then(|| revoked.effective_from.map_or(i64::MIN, |from| from.as_millisecond()))
        };
        let revoked = |id: KeyId, by: Option<&Revocation>| Some((id.text, from(by?)?));
        let keys = self.keys().iter().filter_map(|key| revoked(key.id(), key.revoked.as_ref()));
        let authorities = self.authorities().iter().filter_map(|one| revoked(one.id(), one.revoked.as_ref()));
        let by_owner = self.compromised_by_owner.iter().map(|text| (text.clone(), i64::MIN));
        let listed = self.parts.lists.iter().flat_map(lists::Listed::compromised);
        let listed = listed.filter_map(|(text, by)| Some((text, from(by)?)));
        let mut out: BTreeMap<String, i64> = BTreeMap::new();
        for (text, from) in keys.chain(authorities).chain(by_owner).chain(listed) {
            out.entry(text).and_modify(|known| *known = from.min(*known)).or_insert(from);
        }
        out.into_iter().collect()
    }

    /// Since when nothing of a principal counts, where that is so.
    pub fn suspension(&self, principal: &str) -> Option<&Suspension> {
        self.parts.suspended.get(principal)
    }

    /// The names of those who were removed and whose revoked keys are kept. They are nobody any more.
    pub fn removed(&self) -> &[String] {
        &self.parts.removed
    }

    /// Every key: those of the principals' files by name, then those of `allowed_signers` lines.
    pub fn keys(&self) -> &[Key] {
        &self.parts.keys
    }

    /// Every SSH certification authority.
    pub fn authorities(&self) -> &[Authority] {
        &self.parts.authorities
    }

    /// The revocation lists in force: where each was read, what the configuration says about what it lists,
    /// and the list. After a rejected change there may be two of one file (N15).
    pub fn revocation_lists(&self) -> impl Iterator<Item = (&Path, &Revocation, &ssh::RevocationList)> {
        self.parts.lists.iter().map(lists::Listed::shown)
    }

    /// The authority, by its fingerprint.
    pub fn authority(&self, fingerprint: &str) -> Option<&Authority> {
        self.authority_names.get(fingerprint).map(|index| &self.parts.authorities[*index])
    }

    /// The principals with a file that have this name or exactly this address.
    fn called(&self, word: &str) -> impl Iterator<Item = &Arc<Principal>> {
        self.called.get(word).into_iter().flatten().map(|index| &self.parts.principals[*index])
    }

    /// The key, by the fingerprint that people see, of an OpenPGP subkey as well. An OpenPGP key id
    /// finds nothing: it is an index and no identity (O6).
    pub fn find(&self, id: &KeyId) -> Option<&Key> {
        self.names.get(&(id.scheme, id.text.clone())).map(|index| &self.parts.keys[*index])
    }

    /// The key of a principal's file, as [`Keyring::find`]; lines of other files are not looked at.
    pub(crate) fn listed(&self, id: &KeyId) -> Option<&Key> {
        let index = *self.names.get(&(id.scheme, id.text.clone()))?;
        (index < self.parts.of_files).then(|| &self.parts.keys[index])
    }

    /// What a status is worth once the keyring's own windows and revocations are applied (N13, N14), and
    /// whose key it is.
    ///
    /// Soft revocations are asked at the receipt (without one, at the claimed time); windows at both, the
    /// receipt and the claimed time; a compromise counts for everything that was not received before it.
    /// Only a verified signature is changed, and only for the worse: to `Revoked`, `NotYetValid` or
    /// `Expired`, to `WrongPurpose` where a FIDO signature lacks what is asked of it or a certificate is
    /// for nobody the authority may speak for, or to `UnknownKey` where this snapshot does not hold the key
    /// that another one held. For every other status the principal is the owner of the key that the
    /// signature *names*, which proves nothing and is good for messages only.
    ///
    /// Under a certificate it is whom the certificate names; where that is nobody of the keyring, somebody
    /// made up for this signature, with the certificate's name and the authority's groups. Where a principal's
    /// file lists the certified key, what it says counts as well.
    ///
    /// As for a commit; [`Keyring::assess_for`] is for anything.
    pub fn assess(
        &self,
        status: SignatureStatus,
        times: &Times,
        rules: &Rules,
    ) -> (SignatureStatus, Option<Arc<Principal>>) {
        self.assess_for(Role::Commit, status, times, rules)
    }

    /// As [`Keyring::assess`], of a signature for what `role` says: to `WrongPurpose` where the key's entry
    /// lacks that role, and to `Revoked` where whose it is was suspended at the receipt.
    pub fn assess_for(
        &self,
        role: Role,
        status: SignatureStatus,
        times: &Times,
        rules: &Rules,
    ) -> (SignatureStatus, Option<Arc<Principal>>) {
        let SignatureStatus::Verified(signature) = &status else {
            let owner = status.key().and_then(|id| self.find(&id)).map(|key| Arc::clone(&key.principal));
            return (status, owner);
        };
        if let Some(certificate) = signature.ssh_certificate() {
            let (verdict, holder) = self.assess_certified(role, signature, certificate, times, rules);
            let key = KeyId { scheme: Scheme::Ssh, text: signature.fingerprint().to_owned() };
            // Whoever is suspended does not come back under another name.
            let owner = self.find(&key).map(|key| &key.principal);
            let concerned = holder.iter().chain(owner);
            let suspended = concerned.filter_map(|one| self.suspended_at(one, times)).next();
            return match (verdict, suspended) {
                (Err(worse), _) => (worse, holder),
                (Ok(()), Some(reason)) => (SignatureStatus::Revoked { key, reason, hard: false }, holder),
                (Ok(()), None) => {
                    let listing = holder
                        .as_ref()
                        .map_or(Ok(()), |holder| self.assess_listing(role, signature, holder, times, rules));
                    (listing.err().unwrap_or(status), holder)
                }
            };
        }
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
        if let Some(reason) = self.suspended_at(&key.principal, times) {
            return (SignatureStatus::Revoked { key: id, reason, hard: false }, owner);
        }
        match self.assess_entry(key, role, id, signature, times, rules) {
            Ok(()) => (status, owner),
            Err(worse) => (worse, owner),
        }
    }

    /// What a `[[key]]` or a line says of a signature by its key, but for who is gone.
    fn assess_entry(
        &self,
        key: &Key,
        role: Role,
        id: KeyId,
        signature: &VerifiedSignature,
        times: &Times,
        rules: &Rules,
    ) -> Result<(), SignatureStatus> {
        let what = "keyring entry";
        if !key.roles.has(role) {
            let (why, remedy) = (key.roles.lack(what, role), "using a key whose keyring entry has that role");
            return Err(SignatureStatus::WrongPurpose { key: id, why, remedy });
        }
        match key.windows.judge(times, signature.signed_at()) {
            Position::Inside { .. } => {}
            Position::Before { from } => return Err(SignatureStatus::NotYetValid { key: id, what, from }),
            Position::After { at } => return Err(SignatureStatus::Expired { key: id, what, at }),
        }
        match signature.fido().and_then(|fido| key.fido.lacks(fido, None, rules)) {
            Some(fido::Lack { why, remedy }) => Err(SignatureStatus::WrongPurpose { key: id, why, remedy }),
            None => Ok(()),
        }
    }

    /// Why nothing of a principal counts for what is judged at these times.
    ///
    /// Who has no file is not taken for somebody by the spelling of an address, but does not get around a
    /// suspension by it either; nor because the file that suspends him is part of a change that is rejected.
    fn suspended_at(&self, principal: &Principal, times: &Times) -> Option<String> {
        let name = &principal.name;
        let words: Vec<&String> = match self.called(name).any(|one| one.name == *name) {
            true => Vec::new(),
            false => std::iter::once(name).chain(&principal.emails).collect(),
        };
        let by_words =
            words.into_iter().filter_map(|word| self.suspended_words.get(&word.to_ascii_lowercase()));
        let mut all = self.suspension(name).into_iter().chain(by_words);
        all.find(|one| one.refuses(times)).map(Suspension::told)
    }

    fn certificates(&self, indexes: Option<&Vec<usize>>) -> Vec<&openpgp::Certificate> {
        let keys = indexes.into_iter().flatten().map(|index| &self.parts.keys[*index]);
        keys.filter_map(|key| key.material.certificate()).collect()
    }
}

impl Keys for Keyring {
    fn has_ssh(&self, blob: &[u8]) -> bool {
        self.ssh.contains_key(blob)
    }

    fn has_ssh_authority(&self, blob: &[u8]) -> bool {
        self.authority_blobs.contains_key(blob)
    }

    fn ssh_revoked(&self, subject: &ssh::Revocable<'_>, times: &Times) -> Option<ssh::Revoked> {
        let revoked = self.parts.lists.iter().filter_map(|listed| listed.revokes(subject, times));
        // The harder one, where several lists have it.
        revoked.reduce(|known, next| if next.hard && !known.hard { next } else { known })
    }

    fn openpgp_by_fingerprint(&self, fingerprint: &[u8]) -> Vec<&openpgp::Certificate> {
        self.certificates(self.openpgp.get(fingerprint))
    }

    fn openpgp_by_key_id(&self, key_id: [u8; 8]) -> Vec<&openpgp::Certificate> {
        self.certificates(self.key_ids.get(&key_id))
    }
}
