//! Adopting a trusted base: the history that a repository has now is vouched for, once (N9).

use super::evidence::{Evidence, EvidenceError};
use super::fault::Fault;
use super::locate;
use crate::config::Config;
use crate::domain::{ObjectFormat, ObjectId, ObjectKind, RefName};
use crate::git::{GitError, Objects};
use crate::signature::object::parents_lenient;
use crate::store::{Store, StoreError, Voucher};
use std::collections::HashSet;
use std::path::Path;

/// What adopting would mean for one ruleset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// The ruleset.
    pub ruleset: String,
    /// The covered refs and what they hold, exactly.
    pub tips: Vec<(RefName, ObjectId)>,
    /// Whether there is a record already; adopting again adds to it.
    pub has_record: bool,
}

/// Why a base cannot be adopted.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The repository cannot be used.
    #[error(transparent)]
    Repository(#[from] Fault),
    /// The record cannot be used.
    #[error("the audit log cannot be used: {0}")]
    Store(#[from] StoreError),
    /// What was shown is about something else.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// A ref moved between listing and adopting.
    #[error("{0} moved meanwhile; look at the list again")]
    Moved(RefName),
}

/// Lists what adopting the repository at `path` would take as trusted: every configured ruleset that
/// judges commits, with the refs it covers.
pub fn adoptions(config: &Config, store: &Store, path: &Path) -> Result<(String, Vec<Adoption>), AdoptError> {
    let located = locate::open(&config.repositories.root, path, None)?;
    let references = located.repository.references().map_err(Fault::from)?;
    let name = located.reference.name;
    let frontier = store.frontier(&located.reference.id)?;
    let mut out = Vec::new();
    for ruleset in config.policy.rulesets.iter().filter(|set| set.judges_commits()) {
        let tips: Vec<_> =
            references.iter().filter(|(reference, _)| ruleset.covers(&name, reference)).cloned().collect();
        if !tips.is_empty() {
            let has_record = frontier.has_record(&ruleset.name)?;
            out.push(Adoption { ruleset: ruleset.name.clone(), tips, has_record });
        }
    }
    Ok((name, out))
}

/// On whose behalf history is adopted, and what that person was shown.
#[derive(Clone, Copy, Debug)]
pub struct Adopter<'a> {
    /// Who.
    pub who: &'a str,
    /// Reports about the history.
    pub evidence: &'a [Evidence],
    /// Digest of the keyring in force; of no use without evidence.
    pub keyring: &'a str,
}

impl<'a> From<&'a str> for Adopter<'a> {
    /// Somebody who was shown nothing.
    fn from(who: &'a str) -> Self {
        Adopter { who, evidence: &[], keyring: "" }
    }
}

/// Adopts what [`adoptions`] listed, provided that it is still so. Returns how many commits that
/// are, each counted once for each ruleset. Who did it, and after being shown what, is written into the
/// audit log.
pub fn adopt<'a>(
    config: &Config,
    store: &Store,
    path: &Path,
    listed: &[Adoption],
    by: impl Into<Adopter<'a>>,
) -> Result<u64, AdoptError> {
    let by = by.into();
    let located = locate::open(&config.repositories.root, path, None)?;
    for one in by.evidence {
        one.check(&located.reference.name, listed)?;
    }
    store.replace_repository_location(
        &located.reference.id,
        &located.reference.name,
        located.device,
        located.inode,
    )?;
    for (reference, id) in listed.iter().flat_map(|adoption| &adoption.tips) {
        let now = located.repository.resolve(reference).map_err(Fault::from)?.value;
        if now != Some(*id) {
            return Err(AdoptError::Moved(reference.clone()));
        }
    }
    let mut total = 0;
    for adoption in listed {
        let about = by
            .evidence
            .iter()
            .filter(|one| adoption.tips.iter().any(|(name, tip)| (name, tip) == (&one.reference, &one.tip)));
        let evidence = about.map(|one| one.entry(by.keyring)).collect();
        let objects = located.repository.objects();
        let mut history = History::new(objects, adoption.tips.iter().map(|(_, id)| *id));
        total += store.adopt(
            &located.reference.id,
            &located.reference.name,
            &adoption.ruleset,
            &adoption.tips,
            &mut history,
            Voucher { who: by.who.to_owned(), evidence },
        )?;
    }
    Ok(total)
}

/// Every commit reachable from some tips, each once. Content is not judged: that is what adopting
/// means; only parents are read (N25).
pub(super) struct History<'a> {
    objects: &'a Objects,
    format: ObjectFormat,
    waiting: Vec<ObjectId>,
    seen: HashSet<ObjectId>,
    buffer: Vec<u8>,
}

impl<'a> History<'a> {
    pub(super) fn new(objects: &'a Objects, tips: impl Iterator<Item = ObjectId>) -> Self {
        let waiting: Vec<_> = tips.collect();
        let seen = waiting.iter().copied().collect();
        History { objects, format: objects.format(), waiting, seen, buffer: Vec::new() }
    }

    fn visit(&mut self, id: ObjectId) -> Result<Option<ObjectId>, GitError> {
        let error = |why: &str| GitError::Object { id, why: why.to_owned() };
        let kind = self.objects.read_unchecked(&id, &mut self.buffer)?;
        let (next, found) = match kind {
            None => return Err(GitError::Missing { id, child: None }),
            Some(ObjectKind::Commit) => {
                let parents = parents_lenient(self.format, &self.buffer);
                (parents.ok_or_else(|| error("its parents cannot be read"))?, Some(id))
            }
            Some(ObjectKind::Tag) => {
                let line = self.buffer.split(|byte| *byte == b'\n').next().unwrap_or_default();
                let target = line.strip_prefix(b"object ").and_then(|hex| ObjectId::parse(hex).ok());
                (vec![target.ok_or_else(|| error("its target cannot be read"))?], None)
            }
            Some(_) => (Vec::new(), None),
        };
        for one in next {
            if self.seen.insert(one) {
                self.waiting.push(one);
            }
        }
        Ok(found)
    }
}

impl Iterator for History<'_> {
    type Item = Result<ObjectId, GitError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let id = self.waiting.pop()?;
            match self.visit(id) {
                Ok(Some(commit)) => return Some(Ok(commit)),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
