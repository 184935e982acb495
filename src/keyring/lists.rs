//! Revocation lists: KRLs and flat lists of keys (S11).

use super::document::{Diagnostic, Owner, Source};
use super::sources::RevocationFile;
use super::{Authority, Key, Material, Reason, Revocation, load};
use crate::signature::ssh::{self, RevocationList};
use crate::signature::{Times, ssh::revocation};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A list in force.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    path: PathBuf,
    pub(super) revocation: Revocation,
    list: Arc<RevocationList>,
    /// Of the keys that it names by themselves or by their SHA-256, as people see them.
    fingerprints: Arc<Vec<String>>,
    /// Of its bytes and of what the configuration says about it.
    pub(super) digest: String,
}

impl Listed {
    /// Reads a list. Missing, unreadable, truncated, strange or empty is a fault (S039 to S044).
    pub(super) fn read(file: &RevocationFile, owner: Owner) -> Result<(Listed, Vec<u8>), Diagnostic> {
        let checked = load::read_trusted(&file.path, owner, revocation::MAX_FILE as u64)?;
        let list = match RevocationList::parse(&checked) {
            Ok(list) => list,
            Err(revocation::RevocationError::Empty) if file.allow_empty => RevocationList::empty(),
            Err(error) => return Err(fault(file, &checked, &error)),
        };
        // A KRL that was cut off behind its header is a well-formed list of nothing (S043).
        if list.is_empty() && !file.allow_empty {
            return Err(fault(file, &checked, &revocation::RevocationError::Empty));
        }
        Ok((Listed::of(file, list, &checked), checked))
    }

    /// What can be read of a list that may be broken (N15). `None` where that is nothing.
    pub(super) fn salvage(file: &RevocationFile) -> Option<Listed> {
        let bytes = load::read_trusted(&file.path, Owner::Unchecked, revocation::MAX_FILE as u64).ok()?;
        let list = RevocationList::salvage(&bytes);
        (!list.is_empty()).then(|| Listed::of(file, list, &bytes))
    }

    /// A key that a principal's file revokes and that the keyring does not hold: it may be certified.
    pub(super) fn of_key(path: &Path, revocation: &Revocation, blob: &[u8]) -> Listed {
        let digest = load::digest_of(&[(format!("{revocation:?}"), blob.to_vec())]);
        Listed::new(path, revocation, RevocationList::of_key(blob), digest)
    }

    fn of(file: &RevocationFile, list: RevocationList, bytes: &[u8]) -> Listed {
        let said = format!("{:?}", file.revocation);
        let digest = load::digest_of(&[(said, bytes.to_vec())]);
        Listed::new(&file.path, &file.revocation, list, digest)
    }

    fn new(path: &Path, revocation: &Revocation, list: RevocationList, digest: String) -> Listed {
        Listed {
            path: path.to_owned(),
            revocation: revocation.clone(),
            fingerprints: Arc::new(list.fingerprints().collect()),
            list: Arc::new(list),
            digest,
        }
    }

    /// Whether the list refuses something for what is judged at these times.
    pub(super) fn revokes(&self, subject: &ssh::Revocable<'_>, times: &Times) -> Option<ssh::Revoked> {
        let why = self.list.revokes(subject)?;
        let reason = self.revocation.reason;
        self.revocation
            .refuses(times)
            .then(|| ssh::Revoked { reason: format!("{reason}: {why}"), hard: reason == Reason::Compromised })
    }

    /// Marks the keys and authorities that the list has, and says which of them that changed.
    pub(super) fn mark(&self, keys: &mut [Key], authorities: &mut [Authority]) -> Vec<String> {
        let keys = keys.iter_mut().filter_map(|key| match &key.material {
            Material::Ssh(public) => Some((public.blob(), &mut key.revoked)),
            Material::OpenPgp(_) => None,
        });
        let authorities = authorities.iter_mut().map(|one| (one.key.blob(), &mut one.revoked));
        let mut changed = Vec::new();
        for (blob, revoked) in keys.chain(authorities) {
            if self.list.revokes_key(blob).is_some() && join(revoked, &self.revocation) {
                changed.push(data_encoding::HEXLOWER.encode(blob));
            }
        }
        changed
    }

    /// The keys that it calls compromised, whether the keyring holds them or not.
    pub(super) fn compromised(&self) -> impl Iterator<Item = (String, &Revocation)> + '_ {
        let hard = self.revocation.reason == Reason::Compromised;
        let keys = hard.then(|| self.fingerprints.iter()).into_iter().flatten();
        keys.map(|fingerprint| (fingerprint.clone(), &self.revocation))
    }

    /// Whether it names the key of this fingerprint, by itself or by its SHA-256.
    pub(super) fn names(&self, fingerprint: &str) -> bool {
        self.fingerprints.iter().any(|one| one == fingerprint)
    }

    /// Whether it lists nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// For people who ask what is in force.
    pub(super) fn shown(&self) -> (&Path, &Revocation, &RevocationList) {
        (&self.path, &self.revocation, &self.list)
    }

    /// Where it stands, for people.
    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }
}

/// Adds a revocation to what is known; whether that changed anything.
pub(super) fn join(known: &mut Option<Revocation>, news: &Revocation) -> bool {
    let joined = match known.clone() {
        Some(known) => known.join(news.clone()),
        None => news.clone(),
    };
    let changed = known.as_ref() != Some(&joined);
    *known = Some(joined);
    changed
}

fn fault(file: &RevocationFile, bytes: &[u8], error: &revocation::RevocationError) -> Diagnostic {
    let message = format!("this is no revocation list: {error}");
    let found = match error {
        revocation::RevocationError::Fault { place: revocation::Place::Line { line, column }, .. } => {
            let source = Source::new(&file.path, &String::from_utf8_lossy(bytes));
            load::at_line(&source, *line, *column, message)
        }
        _ => Diagnostic::whole(&file.path, message),
    };
    match error {
        revocation::RevocationError::Empty => {
            found.suggest("write `allow-empty = true` if nothing is revoked")
        }
        _ => found
            .suggest("make it again with `ssh-keygen -k -f FILE KEY...`, or list public keys, one a line"),
    }
}
