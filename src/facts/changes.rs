//! What commits and whole updates change, and what the files are: trees and blobs, read within one budget for
//! the whole push (N23), and only where a rule needs them.

use super::faults::too_large;
use super::{Budget, CollectError};
use crate::domain::{Change, Entry, FileMode, ObjectId, ObjectKind, Program, text};
use crate::git::{
    self, ChangeBudget, Collision, Comparison, Content, Counted, Differ, Difference, GitError, MalformedTree,
    Objects, Overrun, TreeFaultCode,
};
use crate::policy::Limits;
use crate::policy::facts::{BlobFacts, BuiltinFault, BuiltinRule, CommitFacts, ParentChanges};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Up to this size a file is read as a whole, and of a larger one less than this.
const READ_OF_ONE: u64 = 1 << 20;
/// Old histories have these, and every reader takes them for what they are.
const TOLERATED: [TreeFaultCode; 1] = [TreeFaultCode::LegacyFileMode];

/// Two trees, and what differs.
type Pair = (Option<ObjectId>, Option<ObjectId>);

/// Several trees, and one that is compared with each of them.
type Joined = (Vec<Option<ObjectId>>, ObjectId);

/// Something to compare, or the fault that stands for it.
pub(super) type Known<T> = Result<T, BuiltinFault>;

/// What two trees differ in, as rules see it.
#[derive(Clone)]
struct Compared {
    changes: Arc<[Change]>,
    collisions: Arc<[(Vec<u8>, Vec<u8>)]>,
}

/// Reads trees and blobs for one push. No pair of trees is compared twice, and no blob is read twice.
pub(super) struct Contents<'a> {
    objects: &'a Objects,
    limits: &'a Limits,
    budget: &'a Budget<'a>,
    differ: Differ<'a>,
    compared: HashMap<Pair, Compared>,
    /// What several comparisons with one tree come to: many refs can stand on the same.
    joined: HashMap<Joined, Arc<[Change]>>,
    blobs: HashMap<ObjectId, BlobFacts>,
    blob_bytes: u64,
    /// The budget that did not suffice. Nothing more is read then.
    over: Option<BuiltinFault>,
}

impl<'a> Contents<'a> {
    /// `let_in` is all that counts as having been there, where that is not all that is.
    pub(super) fn new(
        objects: &'a Objects,
        limits: &'a Limits,
        budget: &'a Budget<'a>,
        let_in: Option<Vec<ObjectId>>,
    ) -> Self {
        let differ = Differ::new(objects, figures(limits)).tolerating(&TOLERATED).look_for_collisions();
        Contents {
            objects,
            limits,
            budget,
            differ: differ.with_nothing_but(let_in),
            compared: HashMap::new(),
            joined: HashMap::new(),
            blobs: HashMap::new(),
            blob_bytes: 0,
            over: None,
        }
    }

    /// The blobs that were looked into.
    pub(super) fn into_blobs(self) -> HashMap<ObjectId, BlobFacts> {
        self.blobs
    }

    /// What a commit changes against each of its parents.
    pub(super) fn of_commit(
        &mut self,
        commit: &CommitFacts,
        commits: &HashMap<ObjectId, CommitFacts>,
    ) -> Result<Known<Vec<ParentChanges>>, CollectError> {
        let mut parents: Vec<Option<ObjectId>> = commit.parents.iter().copied().map(Some).collect();
        if parents.is_empty() {
            parents.push(None);
        }
        let at = format!("at commit {}", commit.id.short());
        let mut whose = Whose { commit: Some(commit.id), old: None, at };
        let mut out = Vec::with_capacity(parents.len());
        for parent in parents {
            // A parent that is nowhere is a fault of its own; everything is new against it.
            whose.old = parent;
            let old = match parent {
                Some(parent) => self.tree_of(&parent, commits)?,
                None => None,
            };
            match self.compare((old, Some(commit.tree)), &whose)? {
                Ok(Compared { changes, collisions }) => {
                    out.push(ParentChanges { parent, changes, collisions });
                }
                Err(fault) => return Ok(Err(fault)),
            }
        }
        Ok(Ok(out))
    }

    /// What an update changes as a whole, from each of some trees on. A path comes once; it counts as new where it
    /// is new to one of them.
    pub(super) fn of_update(
        &mut self,
        from: &[Option<ObjectId>],
        to: ObjectId,
        tip: Option<ObjectId>,
        shown: &str,
    ) -> Result<Known<Arc<[Change]>>, CollectError> {
        let whose = Whose { commit: tip, old: None, at: format!("at what {shown} changes as a whole") };
        if let [old] = from {
            return Ok(self.compare((*old, Some(to)), &whose)?.map(|compared| compared.changes));
        }
        let key = (from.to_vec(), to);
        if let Some(known) = self.joined.get(&key) {
            return Ok(Ok(Arc::clone(known)));
        }
        let mut all: BTreeMap<Vec<u8>, Change> = BTreeMap::new();
        for old in from {
            let changes = match self.compare((*old, Some(to)), &whose)? {
                Ok(compared) => compared.changes,
                Err(fault) => return Ok(Err(fault)),
            };
            self.budget.check()?;
            for change in changes.iter() {
                let known = all.entry(change.path.clone()).or_insert_with(|| change.clone());
                if change.old.is_none() {
                    known.old = None;
                }
            }
        }
        let joined: Arc<[Change]> = all.into_values().collect();
        self.joined.insert(key, Arc::clone(&joined));
        Ok(Ok(joined))
    }

    /// Looks into the files that changes bring.
    pub(super) fn look_into<'c>(
        &mut self,
        changes: impl IntoIterator<Item = &'c Change>,
        commit: Option<ObjectId>,
        at: &str,
    ) -> Result<Known<()>, CollectError> {
        let whose = Whose { commit, old: None, at: at.to_owned() };
        for (count, change) in changes.into_iter().enumerate() {
            // Also where nothing has to be read: one list of changes can be that of many commits.
            if count % 1024 == 0 {
                self.budget.check()?;
            }
            let Some(entry) = change.new.filter(|entry| entry.mode.has_blob()) else { continue };
            if let Err(fault) = self.look_at(entry, &change.path, &whose)? {
                return Ok(Err(fault));
            }
        }
        Ok(Ok(()))
    }

    fn look_at(&mut self, entry: Entry, path: &[u8], whose: &Whose) -> Result<Known<()>, CollectError> {
        let link = entry.mode == FileMode::Symlink;
        if self.blobs.get(&entry.id).is_some_and(|known| !link || known.target.is_some()) {
            return Ok(Ok(()));
        }
        if let Some(fault) = &self.over {
            return Ok(Err(fault.clone()));
        }
        self.budget.check()?;
        match self.blob(entry.id, link) {
            Ok(facts) => {
                let size = facts.size.min(READ_OF_ONE);
                self.blobs.insert(entry.id, facts);
                self.blob_bytes = self.blob_bytes.saturating_add(size);
            }
            Err(error) => return self.of_the_push(error, whose.commit, entry.id, path, whose).map(Err),
        }
        let counted = [
            (self.blobs.len() as u64, self.limits.blobs, "files that are looked into", "blobs"),
            (self.blob_bytes, self.limits.blob_bytes, "bytes of files that are read", "blob-bytes"),
        ];
        for (reached, limit, noun, key) in counted {
            if reached > limit {
                return Ok(Err(self.overrun(reached, limit, noun, key, whose)));
            }
        }
        Ok(Ok(()))
    }

    fn blob(&self, id: ObjectId, link: bool) -> Result<BlobFacts, GitError> {
        let found = git::blob_facts(self.objects, &id)?;
        let target = match link.then(|| git::blob_content(self.objects, &id, git::MAX_LINK_TARGET)) {
            Some(content) => match content? {
                Content::Whole(target) => Some(target),
                // Longer than any system takes: the size tells.
                Content::TooLong(_) => None,
            },
            None => None,
        };
        Ok(BlobFacts {
            size: found.size,
            binary: found.binary,
            program: found.program.is_some_and(|program| program != Program::Script),
            lfs: found.lfs.map(|pointer| pointer.size),
            target,
        })
    }

    /// The tree of a commit; `None` where the commit cannot be read, which is a fault of the push already.
    pub(super) fn tree_of(
        &self,
        id: &ObjectId,
        commits: &HashMap<ObjectId, CommitFacts>,
    ) -> Result<Option<ObjectId>, CollectError> {
        if let Some(commit) = commits.get(id) {
            return Ok(Some(commit.tree));
        }
        let Some(found) = self.objects.find(id)? else { return Ok(None) };
        if found.kind != ObjectKind::Commit || found.size > self.limits.object_bytes as u64 {
            return if found.in_quarantine { Ok(None) } else { self.old_tree(id).map(Some) };
        }
        match self.old_tree(id) {
            Err(CollectError::Git(GitError::Object { .. })) if found.in_quarantine => Ok(None),
            tree => tree.map(Some),
        }
    }

    fn old_tree(&self, id: &ObjectId) -> Result<ObjectId, CollectError> {
        let mut raw = Vec::new();
        if self.objects.read(id, &mut raw)? != Some(ObjectKind::Commit) {
            return Err(GitError::Missing { id: *id, child: None }.into());
        }
        let line = raw.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let tree = line.strip_prefix(b"tree ").and_then(|hex| ObjectId::parse(hex).ok());
        let unreadable = || GitError::Object { id: *id, why: "its tree cannot be read".to_owned() };
        Ok(tree.ok_or_else(unreadable)?)
    }

    fn compare(&mut self, pair: Pair, whose: &Whose) -> Result<Known<Compared>, CollectError> {
        if pair.0 == pair.1 {
            return Ok(Ok(Compared { changes: Arc::default(), collisions: Arc::default() }));
        }
        if let Some(known) = self.compared.get(&pair) {
            return Ok(Ok(known.clone()));
        }
        if let Some(fault) = &self.over {
            return Ok(Err(fault.clone()));
        }
        let budget = self.budget;
        match self.differ.compare(pair.0, pair.1, &|| budget.check()) {
            Ok(Comparison::Complete(difference)) => {
                let Difference { changes, collisions, .. } = difference;
                let collisions = collisions.into_iter().flat_map(pairs).collect();
                let compared = Compared { changes: changes.into(), collisions };
                self.compared.insert(pair, compared.clone());
                Ok(Ok(compared))
            }
            Ok(Comparison::Malformed(tree)) => Ok(Err(bad_tree(&tree, whose))),
            Ok(Comparison::TooLarge(Overrun { what, limit, reached })) => {
                Ok(Err(self.overrun(reached, limit, what.noun(), option(what), whose)))
            }
            // The root of one side is missing, or is no tree.
            Err(CollectError::Git(
                error @ (GitError::Missing { id, child: None } | GitError::Object { id, .. }),
            )) if pair.0 == Some(id) || pair.1 == Some(id) => {
                let by = if pair.1 == Some(id) { whose.commit } else { whose.old };
                self.of_the_push(error, by, id, b"", whose).map(Err)
            }
            Err(error) => Err(error),
        }
    }

    /// What a commit names and is not there, or is something else: its own fault where the push brought the
    /// commit. Where the repository had it, the repository is broken, and nothing can be said of the push.
    fn of_the_push(
        &self,
        error: GitError,
        by: Option<ObjectId>,
        named: ObjectId,
        path: &[u8],
        whose: &Whose,
    ) -> Result<BuiltinFault, CollectError> {
        let brought = match by {
            Some(commit) => self.objects.find(&commit)?.is_some_and(|found| found.in_quarantine),
            None => false,
        };
        let why = match &error {
            GitError::Missing { .. } => "which neither the push nor the repository has".to_owned(),
            GitError::Object { why, .. } if why.starts_with("it is a ") => {
                format!("but {}", why.replacen(" and not", ", not", 1))
            }
            _ => return Err(error.into()),
        };
        if !brought {
            let child = by;
            return Err(match error {
                GitError::Missing { id, child: None } => GitError::Missing { id, child }.into(),
                error => error.into(),
            });
        }
        let what = match path {
            [] => "its tree".to_owned(),
            path => format!("`{}`", text::escape_short(path, 200)),
        };
        Ok(whose.malformed(format!("{what} is {}, {why}", named.short())))
    }

    fn overrun(&mut self, reached: u64, limit: u64, noun: &str, key: &str, whose: &Whose) -> BuiltinFault {
        // What is too much in one place is as much in each part of a push.
        let help = match key {
            "one-tree-bytes" => "spread the files of that directory over several",
            "one-path-bytes" | "tree-depth" => "use shorter paths, with fewer directories in each other",
            _ => "push the history in several parts",
        };
        let raise = if key == "one-tree-bytes" && limit >= Limits::LARGEST_OBJECT {
            String::new()
        } else {
            format!("; the administrator can raise `[limits] {key}`")
        };
        let fault = too_large(
            "",
            None,
            format!("the push has {reached} {noun} or more, counted {}", whose.at),
            format!("at most {limit} {noun}"),
            &format!("{help}{raise}"),
        );
        self.over = Some(fault.clone());
        fault
    }
}

/// The counted budgets of comparisons.
pub(super) fn figures(limits: &Limits) -> ChangeBudget {
    ChangeBudget {
        entries: limits.tree_entries,
        tree_bytes: limits.tree_bytes,
        changes: limits.changed_paths,
        path_bytes: limits.changed_path_bytes,
        one_tree_bytes: limits.one_tree_bytes,
        one_path_bytes: limits.one_path_bytes,
        depth: limits.tree_depth,
    }
}

/// Where something is found.
struct Whose {
    commit: Option<ObjectId>,
    /// The commit on the old side.
    old: Option<ObjectId>,
    at: String,
}

impl Whose {
    fn malformed(&self, seen: String) -> BuiltinFault {
        BuiltinFault {
            rule: BuiltinRule::MalformedObject,
            reference: String::new(),
            object: self.commit.map(|id| (ObjectKind::Commit, id)),
            seen,
            wanted: BuiltinRule::MALFORMED_OBJECT_WANTED.to_owned(),
            help: BuiltinRule::MALFORMED_OBJECT_HELP.to_owned(),
        }
    }
}

fn bad_tree(tree: &MalformedTree, whose: &Whose) -> BuiltinFault {
    let MalformedTree { id, path, faults, more_faults } = tree;
    let at = if path.is_empty() { String::new() } else { format!(" of `{}`", text::escape_short(path, 200)) };
    let more = if *more_faults > 0 || faults.len() > 3 {
        format!(" and {} more", more_faults + faults.len().saturating_sub(3))
    } else {
        String::new()
    };
    let faults: Vec<String> = faults.iter().take(3).map(ToString::to_string).collect();
    whose.malformed(format!("the tree {}{at} is malformed: {}{more}", id.short(), faults.join(", ")))
}

/// Which option of `[limits]` raises it.
const fn option(what: Counted) -> &'static str {
    match what {
        Counted::Entries => "tree-entries",
        Counted::TreeBytes => "tree-bytes",
        Counted::Changes => "changed-paths",
        Counted::PathBytes => "changed-path-bytes",
        Counted::OneTreeBytes => "one-tree-bytes",
        Counted::OnePathBytes => "one-path-bytes",
        Counted::Depth => "tree-depth",
    }
}

/// Each name that is new together with another one that it collides with, as full paths.
fn pairs(collision: Collision) -> Vec<(Vec<u8>, Vec<u8>)> {
    let Collision { directory, names } = collision;
    let full = |name: &[u8]| match directory.as_slice() {
        [] => name.to_vec(),
        directory => [directory, b"/", name].concat(),
    };
    let added = names.iter().enumerate().filter(|(_, one)| one.added);
    let mut out: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for (at, one) in added {
        // One that was there before rather than another new one.
        let others = || names.iter().enumerate().filter(|(other, _)| *other != at);
        let Some((_, other)) = others().find(|(_, other)| !other.added).or_else(|| others().next()) else {
            continue;
        };
        let pair = (full(&other.name), full(&one.name));
        if !out.contains(&(pair.1.clone(), pair.0.clone())) {
            out.push(pair);
        }
    }
    out
}
