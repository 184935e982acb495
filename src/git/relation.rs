//! Whether one commit descends from another.

use super::tree::{EntryKind, Tree};
use super::{GitError, Objects};
use crate::domain::{ObjectId, ObjectKind};
use crate::signature::object::parents_lenient;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// How a new tip relates to an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The old commit is the new one or an ancestor of it.
    Descends,
    /// It is not: commits are dropped, or the histories are unrelated.
    Diverges,
}

const FROM_NEW: u8 = 1;
const FROM_OLD: u8 = 2;
/// Reached from both, so all its ancestors are, too.
const STALE: u8 = 4;

/// Compares two commits; see `descends`.
pub fn relate<E: From<GitError>>(
    objects: &Objects,
    old: ObjectId,
    new: ObjectId,
    stop: &dyn Fn() -> Result<(), E>,
) -> Result<Relation, E> {
    descends(objects, old, &[new], stop)
}

/// Whether any of the new commits is the old one or descends from it. Their histories are painted, newest
/// claimed date first. Dates only steer the order: a wrong one costs time, never the answer, because the
/// walk goes on until every commit that is still waiting has been reached from both sides.
///
/// `stop` is asked again and again, so that a deadline can end a long walk; it returns an error then.
pub(super) fn descends<E: From<GitError>>(
    objects: &Objects,
    old: ObjectId,
    new: &[ObjectId],
    stop: &dyn Fn() -> Result<(), E>,
) -> Result<Relation, E> {
    if new.contains(&old) {
        return Ok(Relation::Descends);
    }
    match paint(&mut History::new(objects), old, new, true, stop)? {
        true => Ok(Relation::Descends),
        false => Ok(Relation::Diverges),
    }
}

/// The commits that `new` reaches and `old` does not, in no order. Where dates lie it may be some more.
///
/// # Errors
/// History that cannot be read, and what `stop` says; it is asked now and then.
pub fn between<E: From<GitError>>(
    objects: &Objects,
    old: ObjectId,
    new: ObjectId,
    stop: &dyn Fn() -> Result<(), E>,
) -> Result<Vec<ObjectId>, E> {
    if old == new {
        return Ok(Vec::new());
    }
    let mut history = History::new(objects);
    paint(&mut history, old, &[new], false, stop)?;
    Ok(history.only_new().collect())
}

/// The commits that `new` reaches and `old` does not, where `new` descends from `old`, and `None` where it does not:
/// like [`between`], and every commit on the way is proved to be what its id says. Whoever can write the
/// repository's files can put another one in the place of a commit that nobody reads again for its own sake.
///
/// # Errors
/// History that cannot be read or is not what its ids say, and what `stop` says; it is asked now and then.
pub fn proven_between<E: From<GitError>>(
    objects: &Objects,
    old: ObjectId,
    new: ObjectId,
    stop: &dyn Fn() -> Result<(), E>,
) -> Result<Option<HashSet<ObjectId>>, E> {
    let mut history = History { proven: true, ..History::new(objects) };
    paint(&mut history, old, &[new], false, stop)?;
    let descends = history.seen.get(&old).is_some_and(|old| old.flags & FROM_NEW != 0);
    Ok(descends.then(|| history.only_new().collect()))
}

/// Paints both histories until what is waiting has been reached from both sides. Whether `old` was reached from
/// the new commits, where that is all that is asked for.
fn paint<E: From<GitError>>(
    history: &mut History<'_>,
    old: ObjectId,
    new: &[ObjectId],
    until_met: bool,
    stop: &dyn Fn() -> Result<(), E>,
) -> Result<bool, E> {
    let mut queue: BinaryHeap<(i64, ObjectId)> = BinaryHeap::new();
    // How many entries of the queue have been reached from one side only.
    let mut waiting = 0_usize;
    let mut child = None;
    let mut reach: Vec<(ObjectId, u8)> = new.iter().map(|id| (*id, FROM_NEW)).collect();
    reach.push((old, FROM_OLD));
    loop {
        for (id, flags) in reach {
            let commit = history.commit(&id, child)?;
            let before = commit.flags;
            commit.flags |= flags;
            if commit.flags == before {
                continue;
            }
            if commit.queued {
                if before & STALE == 0 && commit.flags & STALE != 0 {
                    waiting -= 1;
                }
            } else {
                commit.queued = true;
                queue.push((commit.date, id));
                waiting += usize::from(commit.flags & STALE == 0);
            }
        }
        if waiting == 0 {
            return Ok(false);
        }
        let Some((_, id)) = queue.pop() else { return Ok(false) };
        // Each time: one object can take seconds to read.
        stop()?;
        let commit = history.commit(&id, None)?;
        commit.queued = false;
        waiting -= usize::from(commit.flags & STALE == 0);
        if until_met && id == old && commit.flags & FROM_NEW != 0 {
            return Ok(true);
        }
        if commit.flags & (FROM_NEW | FROM_OLD) == FROM_NEW | FROM_OLD {
            commit.flags |= STALE;
        }
        let flags = commit.flags;
        child = Some(id);
        reach = commit.parents.iter().map(|parent| (*parent, flags)).collect();
    }
}

struct Painted {
    parents: Vec<ObjectId>,
    date: i64,
    flags: u8,
    queued: bool,
}

/// Those of `targets` that are among `from` or are reached from them, through parents and annotated tags. Tips
/// that are trees or blobs reach themselves only. All of the history is walked where one is not reached.
pub fn reached<E: From<GitError>>(
    objects: &Objects,
    from: Vec<ObjectId>,
    mut targets: HashSet<ObjectId>,
    stop: &dyn Fn() -> Result<(), E>,
) -> Result<HashSet<ObjectId>, E> {
    let mut found = HashSet::new();
    let mut seen: HashSet<ObjectId> = from.iter().copied().collect();
    let mut meet = |id: &ObjectId, targets: &mut HashSet<ObjectId>| {
        if targets.remove(id) {
            found.insert(*id);
        }
    };
    from.iter().for_each(|id| meet(id, &mut targets));
    let (mut waiting, mut buffer) = (from, Vec::new());
    while let (false, Some(id)) = (targets.is_empty(), waiting.pop()) {
        stop()?;
        let unreadable = || GitError::Object { id, why: "what it points at cannot be read".to_owned() };
        let next = match objects.read_unchecked(&id, &mut buffer)? {
            None => return Err(GitError::Missing { id, child: None }.into()),
            Some(ObjectKind::Commit) => parents_lenient(objects.format(), &buffer).ok_or_else(unreadable)?,
            Some(ObjectKind::Tag) => {
                let line = buffer.split(|byte| *byte == b'\n').next().unwrap_or_default();
                let named = line.strip_prefix(b"object ").map(ObjectId::parse);
                vec![named.and_then(Result::ok).ok_or_else(unreadable)?]
            }
            Some(ObjectKind::Tree | ObjectKind::Blob) => Vec::new(),
        };
        for id in next {
            meet(&id, &mut targets);
            if seen.insert(id) {
                waiting.push(id);
            }
        }
    }
    Ok(found)
}

/// Whether one of some values, or anything in their histories, holds a tree. It may mean reading all of it, so it is
/// for what is rarely asked; `stop` is asked before each object.
///
/// # Errors
/// As [`reached`].
pub(super) fn reaches_tree<E: From<GitError>>(
    objects: &Objects,
    from: Vec<ObjectId>,
    tree: ObjectId,
    stop: &dyn Fn() -> Result<(), E>,
) -> Result<bool, E> {
    let mut seen: HashSet<ObjectId> = from.iter().copied().collect();
    let (mut waiting, mut buffer) = (from, Vec::new());
    while let Some(id) = waiting.pop() {
        if id == tree {
            return Ok(true);
        }
        stop()?;
        let first = |field: &[u8], raw: &[u8]| {
            let line = raw.split(|byte| *byte == b'\n').next().unwrap_or_default();
            line.strip_prefix(field).and_then(|hex| ObjectId::parse(hex).ok())
        };
        let mut next: Vec<ObjectId> = Vec::new();
        match objects.read_unchecked(&id, &mut buffer)? {
            None => return Err(GitError::Missing { id, child: None }.into()),
            Some(ObjectKind::Commit) => {
                next.extend(parents_lenient(objects.format(), &buffer).unwrap_or_default());
                next.extend(first(b"tree ", &buffer));
            }
            Some(ObjectKind::Tag) => next.extend(first(b"object ", &buffer)),
            Some(ObjectKind::Tree) => {
                let read = Tree::decode(objects.format(), &buffer, u64::MAX).map(|tree| tree.entries);
                let below =
                    read.unwrap_or_default().into_iter().filter(|entry| entry.kind == EntryKind::Tree);
                next.extend(below.map(|entry| entry.id));
            }
            Some(ObjectKind::Blob) => {}
        }
        waiting.extend(next.into_iter().filter(|id| seen.insert(*id)));
    }
    Ok(false)
}

/// What an object finally leads to, annotated tags followed without judging them; `None` where they cannot be
/// followed.
///
/// # Errors
/// One of the objects is missing or cannot be read.
pub fn leads_to(objects: &Objects, id: ObjectId) -> Result<Option<(ObjectId, ObjectKind)>, GitError> {
    let (mut id, mut buffer) = (id, Vec::new());
    for _ in 0..MAX_TAGS {
        let Some(found) = objects.find(&id)? else { return Err(GitError::Missing { id, child: None }) };
        if found.kind != ObjectKind::Tag {
            return Ok(Some((id, found.kind)));
        }
        objects.read_unchecked(&id, &mut buffer)?;
        let line = buffer.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match line.strip_prefix(b"object ").map(ObjectId::parse) {
            Some(Ok(target)) => id = target,
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// How many tags behind each other are followed.
const MAX_TAGS: usize = 16;

struct History<'a> {
    objects: &'a Objects,
    buffer: Vec<u8>,
    seen: HashMap<ObjectId, Painted>,
    /// Whether each commit is proved to be what its id says.
    proven: bool,
}

impl<'a> History<'a> {
    fn new(objects: &'a Objects) -> Self {
        History { objects, buffer: Vec::new(), seen: HashMap::new(), proven: false }
    }

    /// What only the new commits reach.
    fn only_new(self) -> impl Iterator<Item = ObjectId> {
        self.seen.into_iter().filter(|(_, commit)| commit.flags & FROM_OLD == 0).map(|(id, _)| id)
    }

    /// The commit's state, read on first sight; `child` is what led to it.
    fn commit(&mut self, id: &ObjectId, child: Option<ObjectId>) -> Result<&mut Painted, GitError> {
        match self.seen.entry(*id) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let (parents, date) = read(self.objects, id, child, self.proven, &mut self.buffer)?;
                Ok(entry.insert(Painted { parents, date, flags: 0, queued: false }))
            }
        }
    }
}

fn read(
    objects: &Objects,
    id: &ObjectId,
    child: Option<ObjectId>,
    proven: bool,
    buffer: &mut Vec<u8>,
) -> Result<(Vec<ObjectId>, i64), GitError> {
    let unreadable = |why: &str| GitError::Object { id: *id, why: why.to_owned() };
    let found = if proven { objects.read(id, buffer)? } else { objects.read_unchecked(id, buffer)? };
    match found {
        None => Err(GitError::Missing { id: *id, child }),
        Some(ObjectKind::Commit) => {
            let parents = parents_lenient(objects.format(), buffer)
                .ok_or_else(|| unreadable("its parents cannot be read"))?;
            Ok((parents, claimed_date(buffer)))
        }
        Some(_) => Err(unreadable("it is not a commit")),
    }
}

/// The committer's date, to steer by; anything unreadable is the epoch.
fn claimed_date(commit: &[u8]) -> i64 {
    let mut lines = commit.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
    let committer = lines.find_map(|line| line.strip_prefix(b"committer "));
    let seconds = committer.and_then(|line| line.rsplit(|byte| *byte == b' ').nth(1));
    seconds.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).unwrap_or(0)
}
