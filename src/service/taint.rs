//! What compromised keys left in repositories, and deciding to let it stand (N8, N14).

use super::fault::Fault;
use super::gate::Snapshot;
use super::history::{HistoryFault, Judge};
use super::locate;
use crate::domain::{ObjectId, ObjectKind, RefName, RepositoryId, Timestamp, text};
use crate::git::{GitError, Repository};
use crate::signature::object::parents_lenient;
use crate::signature::{KeyId, Scheme};
use crate::store::{KnownRepository, Store, StoreError, Tainted};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// What one compromised key left in one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaintedKey {
    /// The key's fingerprint, as the keyring names it: an OpenPGP subkey's own where it alone is
    /// compromised.
    pub key: String,
    /// Whose it is, where it is somebody's of the keyring.
    pub principal: Option<String>,
    /// The same for people, escaped.
    pub owner: String,
    /// From when on it is refused; `None` is always.
    pub since: Option<Timestamp>,
    /// When that was learned.
    pub learned: Option<Timestamp>,
    /// The commits, oldest receipt first.
    pub commits: Vec<Tainted>,
    /// The refs that reach one of them now; `None` where the repository cannot be read.
    pub refs: Option<Vec<RefName>>,
}

/// What compromised keys left in one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaintedRepository {
    /// The name it was last seen under.
    pub name: String,
    /// Its identity.
    pub id: RepositoryId,
    /// By key.
    pub keys: Vec<TaintedKey>,
    /// Why its refs cannot be read, if they cannot.
    pub unreadable: Option<String>,
}

/// Why taint cannot be told or decided about.
#[derive(Debug, thiserror::Error)]
pub enum TaintError {
    /// The record knows no such repository, or several.
    #[error("{0}")]
    Repository(String),
    /// What was asked for is not tainted.
    #[error("{0}")]
    NotTainted(String),
    /// The record cannot be used.
    #[error("the audit log cannot be used: {0}")]
    Store(#[from] StoreError),
    /// A commit cannot be judged.
    #[error(transparent)]
    History(#[from] HistoryFault),
    /// The repository or an object cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// What is tainted now, by repository and key; with `only`, in the repositories of that name or identity.
/// What an adopted base brought is not among it: nobody judged it, so the record does not know who signed
/// it. [`super::history()`] finds it.
pub fn tainted(
    snapshot: &Snapshot,
    store: &Store,
    only: Option<&str>,
) -> Result<Vec<TaintedRepository>, TaintError> {
    let keys = compromised(snapshot, store)?;
    let mut out = Vec::new();
    for known in known(store, only)? {
        let mut found = TaintedRepository {
            name: known.name.clone(),
            id: known.id.clone(),
            keys: Vec::new(),
            unreadable: None,
        };
        for (key, from) in &keys {
            let commits = store.tainted_by(&known.id, key, *from)?;
            if !commits.is_empty() {
                found.keys.push(describe(snapshot, key, *from, commits));
            }
        }
        if found.keys.is_empty() {
            continue;
        }
        match open(&snapshot.config.repositories.root, &known) {
            Ok(repository) => {
                for key in &mut found.keys {
                    let commits = key.commits.iter().map(|one| one.commit).collect();
                    match reaching(&repository, &commits) {
                        Ok(refs) => key.refs = Some(refs),
                        // What is on record is told all the same, and so are the other repositories.
                        Err(error) => found.unreadable = Some(error.to_string()),
                    }
                }
            }
            Err(fault) => found.unreadable = Some(fault.to_string()),
        }
        out.push(found);
    }
    Ok(out)
}

/// The compromised keys that signed something on record: revocation lists may have any number of others.
fn compromised(snapshot: &Snapshot, store: &Store) -> Result<Vec<(String, i64)>, TaintError> {
    Ok(store.signers(&snapshot.keyring.compromised(Timestamp::now()))?)
}

fn describe(snapshot: &Snapshot, key: &str, from: i64, commits: Vec<Tainted>) -> TaintedKey {
    let keyring = &snapshot.keyring;
    // A subkey goes by the entry that holds it; an authority has no owner, and neither has a key that only a
    // revocation list names.
    let by = |scheme| keyring.find(&KeyId { scheme, text: key.to_owned() });
    let entry = by(Scheme::Ssh).or_else(|| by(Scheme::OpenPgp));
    let authority = keyring.authority(key);
    let owner = match (entry, authority) {
        (Some(entry), _) => text::escape(entry.principal.name.as_bytes()),
        (None, Some(_)) => "an authority".to_owned(),
        (None, None) => "nobody of the keyring".to_owned(),
    };
    let revoked = entry.and_then(|one| one.revoked.as_ref());
    let revoked = revoked.or_else(|| authority.and_then(|one| one.revoked.as_ref()));
    TaintedKey {
        key: key.to_owned(),
        principal: entry.map(|entry| entry.principal.name.clone()),
        owner,
        since: (from > i64::MIN).then(|| Timestamp::from_millisecond(from).ok()).flatten(),
        learned: revoked.and_then(|revoked| revoked.at),
        commits,
        refs: None,
    }
}

/// The repositories on record, of a name or identity where one is asked for.
fn known(store: &Store, only: Option<&str>) -> Result<Vec<KnownRepository>, TaintError> {
    let mut known = store.repositories()?;
    if let Some(only) = only {
        known.retain(|one| one.name == only || one.id.0 == only);
        if known.is_empty() {
            return Err(TaintError::Repository(format!("the record knows no repository `{only}`")));
        }
    }
    Ok(known)
}

/// Opens the repository that is on record, where it still is.
fn open(root: &Path, known: &KnownRepository) -> Result<Repository, Fault> {
    let places = [root.join(&known.name), root.join(format!("{}.git", known.name))];
    let place = places.into_iter().flat_map(|place| [place.join(".git"), place]);
    let place = place.into_iter().find(|place| locate::read_id(place).is_ok_and(|id| id == known.id));
    let missing = || Fault::Identity(format!("there is no repository `{}` with that identity", known.name));
    Ok(locate::open(root, &place.ok_or_else(missing)?, None)?.repository)
}

/// The refs whose history holds one of these commits. Each commit is looked at once, however many refs
/// there are.
fn reaching(repository: &Repository, wanted: &HashSet<ObjectId>) -> Result<Vec<RefName>, GitError> {
    let objects = repository.objects();
    let mut known: HashMap<ObjectId, bool> = HashMap::new();
    let mut buffer = Vec::new();
    let mut out = Vec::new();
    for (name, tip) in repository.references()? {
        // Depth first with an explicit stack: an object's answer is known once those of all its parents are.
        let mut stack: Vec<(ObjectId, Vec<ObjectId>, usize, bool)> = Vec::new();
        let mut next = Some(tip);
        loop {
            if let Some(id) = next.take()
                && !known.contains_key(&id)
            {
                if wanted.contains(&id) {
                    known.insert(id, true);
                } else {
                    let parents = match objects.read_unchecked(&id, &mut buffer)? {
                        Some(ObjectKind::Commit) => parents_lenient(objects.format(), &buffer),
                        Some(ObjectKind::Tag) => {
                            let line = buffer.split(|byte| *byte == b'\n').next().unwrap_or_default();
                            let target = line.strip_prefix(b"object ");
                            target.and_then(|hex| ObjectId::parse(hex).ok()).map(|target| vec![target])
                        }
                        Some(ObjectKind::Tree | ObjectKind::Blob) => Some(Vec::new()),
                        None => return Err(GitError::Missing { id, child: None }),
                    };
                    let unreadable = || GitError::Object { id, why: "its parents cannot be read".to_owned() };
                    stack.push((id, parents.ok_or_else(unreadable)?, 0, false));
                }
            }
            let Some((id, parents, at, found)) = stack.last_mut() else { break };
            if *at > 0 {
                *found |= known.get(&parents[*at - 1]).copied().unwrap_or(false);
            }
            match parents.get(*at) {
                Some(parent) if !*found => {
                    next = Some(*parent);
                    *at += 1;
                }
                _ => {
                    known.insert(*id, *found);
                    stack.pop();
                }
            }
        }
        if known.get(&tip).copied().unwrap_or(false) {
            out.push(name);
        }
    }
    Ok(out)
}

/// Tainted commits that somebody may decide about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptable {
    /// The repository's name.
    pub name: String,
    /// Its identity.
    pub id: RepositoryId,
    /// The commits.
    pub commits: Vec<ObjectId>,
    /// The compromised keys that signed them.
    pub keys: Vec<String>,
}

/// Which commits of a repository.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// These.
    Commits(&'a [ObjectId]),
    /// All on record that this key signed.
    Key(&'a str),
}

/// The tainted commits that are meant. Nothing is accepted in advance: what is not tainted now cannot be.
/// Commits that the record knows no signer of, adopted ones, are read from the repository and judged.
pub fn acceptable(
    snapshot: &Snapshot,
    store: &Store,
    repository: &str,
    which: Which<'_>,
) -> Result<Acceptable, TaintError> {
    let mut found = known(store, Some(repository))?;
    let (Some(one), true) = (found.pop(), found.is_empty()) else {
        let text = format!("the record knows several repositories `{repository}`; name one by its identity");
        return Err(TaintError::Repository(text));
    };
    let keys = compromised(snapshot, store)?;
    let mut out =
        Acceptable { name: one.name.clone(), id: one.id.clone(), commits: Vec::new(), keys: Vec::new() };
    match which {
        Which::Key(wanted) => {
            let Some((key, from)) = keys.iter().find(|(key, _)| key == wanted) else {
                let text = format!("no compromised key `{wanted}` signed anything on record");
                return Err(TaintError::NotTainted(text));
            };
            out.commits = store.tainted_by(&one.id, key, *from)?.iter().map(|one| one.commit).collect();
            if out.commits.is_empty() {
                let text = format!("nothing in `{}` is tainted by the key {key}", one.name);
                return Err(TaintError::NotTainted(text));
            }
            out.keys.push(key.clone());
        }
        Which::Commits(wanted) => {
            let mut listed: HashMap<ObjectId, &str> = HashMap::new();
            let keys = store.signers(&keys)?;
            for (key, from) in &keys {
                listed
                    .extend(store.tainted_by(&one.id, key, *from)?.iter().map(|t| (t.commit, key.as_str())));
            }
            let mut opened = None;
            for id in wanted {
                let key = match listed.get(id) {
                    Some(key) => (*key).to_owned(),
                    None => {
                        if opened.is_none() {
                            let repository = open(&snapshot.config.repositories.root, &one);
                            opened = Some(repository.map_err(|e| TaintError::Repository(e.to_string()))?);
                        }
                        judged(snapshot, store, &one, opened.as_ref(), *id)?
                    }
                };
                out.commits.push(*id);
                if !out.keys.contains(&key) {
                    out.keys.push(key);
                }
            }
        }
    }
    Ok(out)
}

/// The key that taints a commit of which the record knows no signer.
fn judged(
    snapshot: &Snapshot,
    store: &Store,
    known: &KnownRepository,
    repository: Option<&Repository>,
    id: ObjectId,
) -> Result<String, TaintError> {
    let not = |why: String| TaintError::NotTainted(format!("commit {id} is not tainted: {why}"));
    let Some(repository) = repository else { return Err(not("it is not on record".to_owned())) };
    let mut raw = Vec::new();
    match repository.objects().read(&id, &mut raw)? {
        Some(ObjectKind::Commit) => {}
        Some(kind) => return Err(not(format!("it is a {}", kind.name()))),
        None => return Err(not(format!("`{}` does not have it", known.name))),
    }
    let receipts = store.receipts(&known.id)?;
    let judged = Judge::new(snapshot, repository.format()).judge(id, &raw, receipts.as_ref())?;
    match (judged.status, judged.key) {
        ("tainted", Some(key)) => Ok(key),
        ("tainted-accepted", _) => Err(not("somebody let it stand already".to_owned())),
        (status, _) => Err(not(judged.why.unwrap_or_else(|| status.to_owned()))),
    }
}

/// Lets tainted commits stand: from then on they count as judged for every ref again. Returns how many
/// were not let stand before.
pub fn accept_taint(
    store: &Store,
    accepted: &Acceptable,
    reason: &str,
    who: &str,
) -> Result<u64, TaintError> {
    let Acceptable { name, id, commits, keys } = accepted;
    Ok(store.accept_taint(id, name, commits, keys, reason, who)?)
}
