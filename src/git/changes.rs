//! What differs between two trees: paths and entries, without renames, within counted budgets (N23).
//!
//! The answer is that of `git diff-tree -r --no-renames`: trees with equal ids are skipped, names are
//! bytes. Work and memory are bounded by the budget whatever the trees look like, and nothing here
//! recurses, so a small pack of trees that contain each other many times over costs no more than any other.

use super::tree::{EntryKind, TooManyEntries, Tree, TreeEntry, TreeFault, TreeFaultCode};
use super::{GitError, Objects, relation};
use crate::domain::{Change, Entry, ObjectId, ObjectKind, fold_name};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

/// How much may be compared for one push, all its commits together. The cap of a single thing counts
/// for each by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeBudget {
    /// Entries of trees that are looked at, those of both sides and of every comparison counted.
    pub entries: u64,
    /// Bytes of those trees.
    pub tree_bytes: u64,
    /// Changed paths.
    pub changes: u64,
    /// Bytes of the changed paths.
    pub path_bytes: u64,
    /// Bytes of one tree.
    pub one_tree_bytes: u64,
    /// Bytes of one path.
    pub one_path_bytes: u64,
    /// Directories above one path.
    pub depth: u64,
}

impl Default for ChangeBudget {
    fn default() -> Self {
        ChangeBudget {
            entries: 50_000_000,
            tree_bytes: 4 << 30,
            changes: 1_000_000,
            path_bytes: 256 << 20,
            one_tree_bytes: 64 << 20,
            one_path_bytes: 4096,
            depth: 256,
        }
    }
}

/// A figure of [`ChangeBudget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    /// [`ChangeBudget::entries`].
    Entries,
    /// [`ChangeBudget::tree_bytes`].
    TreeBytes,
    /// [`ChangeBudget::changes`].
    Changes,
    /// [`ChangeBudget::path_bytes`].
    PathBytes,
    /// [`ChangeBudget::one_tree_bytes`].
    OneTreeBytes,
    /// [`ChangeBudget::one_path_bytes`].
    OnePathBytes,
    /// [`ChangeBudget::depth`].
    Depth,
}

impl Counted {
    /// What is counted, for people.
    pub const fn noun(self) -> &'static str {
        match self {
            Counted::Entries => "tree entries",
            Counted::TreeBytes => "bytes of trees",
            Counted::Changes => "changed paths",
            Counted::PathBytes => "bytes of changed paths",
            Counted::OneTreeBytes => "bytes of one tree",
            Counted::OnePathBytes => "bytes of one path",
            Counted::Depth => "directories above one path",
        }
    }
}

/// A budget that did not suffice. Counting stops where it is passed, so `reached` is where that was and
/// not what all of it would have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun {
    /// Of what there is too much.
    pub what: Counted,
    /// How much there may be.
    pub limit: u64,
    /// At least this much there is.
    pub reached: u64,
}

/// What was spent so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Of [`ChangeBudget::entries`].
    pub entries: u64,
    /// Of [`ChangeBudget::tree_bytes`].
    pub tree_bytes: u64,
    /// Of [`ChangeBudget::changes`].
    pub changes: u64,
    /// Of [`ChangeBudget::path_bytes`].
    pub path_bytes: u64,
}

/// A tree that the push brought and that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedTree {
    /// The tree.
    pub id: ObjectId,
    /// Its path; empty for a commit's own tree.
    pub path: Vec<u8>,
    /// What is wrong, by whole path; never empty.
    pub faults: Vec<TreeFault>,
    /// How many more faults it has.
    pub more_faults: usize,
}

/// The outcome of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Everything that differs.
    Complete(Difference),
    /// The first malformed tree that was met. Nothing is said about the rest.
    Malformed(MalformedTree),
    /// A budget was passed; so it will be for whatever is asked next.
    TooLarge(Overrun),
}

/// Everything that differs between two trees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Ordered by path. A path comes once, unless an old, malformed tree has it twice.
    pub changes: Vec<Change>,
    /// Directories of the new side that are not as they were and have nothing in them: no change shows
    /// them.
    pub empty_directories: Vec<Vec<u8>>,
    /// Names that collide in a directory, one of them at least new to it. Found only where
    /// [`Differ::look_for_collisions`] was asked for.
    pub collisions: Vec<Collision>,
    /// How many more of them there are.
    pub more_collisions: u64,
}

/// Names in one directory that some file systems take for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collision {
    /// The directory's path; empty for the root.
    pub directory: Vec<u8>,
    /// The names, files and directories alike, in the order of the tree.
    pub names: Vec<CollidingName>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollidingName {
    /// The name.
    pub name: Vec<u8>,
    /// Whether the directory did not have it before. Of each collision one at least is.
    pub added: bool,
}

/// How many collisions of one comparison are kept, and how many names of each.
const MAX_COLLISIONS: usize = 256;
const MAX_COLLIDING_NAMES: usize = 257;
/// How many bytes of trees are kept for the next comparison: the new tree of one commit is the old one
/// of its children.
const KEPT_BYTES: usize = 16 << 20;

/// Compares trees for one push.
pub struct Differ<'a> {
    objects: &'a Objects,
    budget: ChangeBudget,
    spent: Spent,
    overrun: Option<Overrun>,
    tolerated: Vec<TreeFaultCode>,
    collisions: bool,
    let_in: Option<Vec<ObjectId>>,
    kept: Kept,
}

/// Why a comparison ends early.
enum End<E> {
    Over(Overrun),
    Malformed(MalformedTree),
    Failed(E),
}

impl<E: From<GitError>> From<GitError> for End<E> {
    fn from(error: GitError) -> Self {
        End::Failed(error.into())
    }
}

/// Two directories to compare; at least one side is there.
struct Task {
    /// Path of the directory above, with a slash at its end, or empty.
    above: Rc<[u8]>,
    /// The directory's name; empty for the root.
    name: Box<[u8]>,
    depth: u64,
    old: Option<ObjectId>,
    new: Option<ObjectId>,
    /// The trees that name them; none for the roots.
    in_old: Option<ObjectId>,
    in_new: Option<ObjectId>,
}

impl<'a> Differ<'a> {
    /// For one push. Nothing is tolerated in trees that the push brought.
    pub fn new(objects: &'a Objects, budget: ChangeBudget) -> Self {
        Differ {
            objects,
            budget,
            spent: Spent::default(),
            overrun: None,
            tolerated: Vec::new(),
            collisions: false,
            let_in: None,
            kept: Kept::default(),
        }
    }

    /// Takes for brought what none of these values reaches, also where the repository has it: it may have been refused
    /// before.
    #[must_use]
    pub fn with_nothing_but(mut self, let_in: Option<Vec<ObjectId>>) -> Self {
        self.let_in = let_in;
        self
    }

    /// Takes trees with these faults, also where the push brought them. A tree that cannot be read to
    /// its end is never taken.
    #[must_use]
    pub fn tolerating(mut self, codes: &[TreeFaultCode]) -> Self {
        self.tolerated = codes.to_vec();
        self
    }

    /// Looks for names that collide, too.
    #[must_use]
    pub fn look_for_collisions(mut self) -> Self {
        self.collisions = true;
        self
    }

    /// What was spent by all comparisons so far.
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// Compares two trees; `None` is a side without any.
    ///
    /// `stop` is asked before each tree, so that a deadline can end a long comparison; it returns an
    /// error then.
    ///
    /// # Errors
    /// Objects that are missing, unreadable or not what their id says; and what `stop` says.
    pub fn compare<E: From<GitError>>(
        &mut self,
        old: Option<ObjectId>,
        new: Option<ObjectId>,
        stop: &dyn Fn() -> Result<(), E>,
    ) -> Result<Comparison, E> {
        if let Some(overrun) = self.overrun {
            return Ok(Comparison::TooLarge(overrun));
        }
        match self.walk(old, new, stop) {
            Ok(mut difference) => {
                // A tree sorts a directory as if it ended in a slash, so this is the order of the trees.
                difference.changes.sort();
                difference.empty_directories.sort();
                difference.collisions.sort_by(|a, b| a.directory.cmp(&b.directory));
                Ok(Comparison::Complete(difference))
            }
            Err(End::Malformed(tree)) => Ok(Comparison::Malformed(tree)),
            Err(End::Over(overrun)) => {
                self.overrun = Some(overrun);
                Ok(Comparison::TooLarge(overrun))
            }
            Err(End::Failed(error)) => Err(error),
        }
    }

    fn walk<E: From<GitError>>(
        &mut self,
        old: Option<ObjectId>,
        new: Option<ObjectId>,
        stop: &dyn Fn() -> Result<(), E>,
    ) -> Result<Difference, End<E>> {
        let mut difference = Difference::default();
        let (above, name) = (Rc::from([]), Box::from([]));
        let root = Task { above, name, depth: 0, old, new, in_old: None, in_new: None };
        let mut tasks = vec![root];
        while let Some(task) = tasks.pop() {
            if task.old == task.new {
                continue;
            }
            let prefix: Rc<[u8]> = if task.name.is_empty() {
                task.above
            } else {
                [&task.above, &task.name[..], b"/"].concat().into()
            };
            self.within(Counted::Depth, task.depth, self.budget.depth)?;
            // A path below it is longer, so a longer prefix need not be followed.
            self.within(Counted::OnePathBytes, prefix.len() as u64, self.budget.one_path_bytes)?;
            stop().map_err(End::Failed)?;
            let old_raw = task.old.map(|id| self.load(&id, task.in_old, &prefix)).transpose()?;
            let new_raw = task.new.map(|id| self.load(&id, task.in_new, &prefix)).transpose()?;
            let decoded = |this: &mut Self, id: Option<ObjectId>, raw| match (id, raw) {
                (Some(id), Some(raw)) => this.decode(&id, raw, &prefix, stop),
                _ => Ok(Vec::new()),
            };
            let old = decoded(self, task.old, old_raw.as_deref())?;
            let new = decoded(self, task.new, new_raw.as_deref())?;
            if new.is_empty() && task.new.is_some() && !prefix.is_empty() {
                self.spend(Counted::Changes, 1)?;
                self.spend(Counted::PathBytes, prefix.len() as u64)?;
                difference.empty_directories.push(prefix[..prefix.len() - 1].to_vec());
            }
            let mut found = Found {
                changes: &mut difference.changes,
                tasks: &mut tasks,
                depth: task.depth + 1,
                old: task.old,
                new: task.new,
                added: false,
            };
            self.merge(&old, &new, &prefix, &mut found)?;
            if self.collisions && found.added {
                collide(&old, &new, &prefix, &mut difference);
            }
        }
        Ok(difference)
    }

    /// Goes through two directories side by side.
    fn merge<E>(
        &mut self,
        old: &[TreeEntry<'_>],
        new: &[TreeEntry<'_>],
        prefix: &Rc<[u8]>,
        found: &mut Found<'_>,
    ) -> Result<(), End<E>> {
        let (mut i, mut j) = (0, 0);
        loop {
            let order = match (old.get(i), new.get(j)) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.order(new),
            };
            match order {
                Ordering::Less => {
                    self.pair(Some(&old[i]), None, prefix, found)?;
                    i += 1;
                }
                Ordering::Greater => {
                    self.pair(None, Some(&new[j]), prefix, found)?;
                    j += 1;
                }
                Ordering::Equal => {
                    let run = |list: &[TreeEntry<'_>], from: usize| {
                        list[from..].iter().take_while(|entry| entry.order(&list[from]).is_eq()).count()
                    };
                    let (olds, news) = (run(old, i), run(new, j));
                    if olds == 1 && news == 1 {
                        self.pair(Some(&old[i]), Some(&new[j]), prefix, found)?;
                    } else {
                        self.repeated(&old[i..i + olds], &new[j..j + news], prefix, found)?;
                    }
                    (i, j) = (i + olds, j + news);
                }
            }
        }
    }

    /// One name several times, as malformed trees of old have it: what both sides have is the same, the
    /// rest is told as changes. That may tell too much and never too little.
    fn repeated<E>(
        &mut self,
        old: &[TreeEntry<'_>],
        new: &[TreeEntry<'_>],
        prefix: &Rc<[u8]>,
        found: &mut Found<'_>,
    ) -> Result<(), End<E>> {
        let has: HashSet<_> = old.iter().map(|entry| (entry.kind_key(), entry.id)).collect();
        let had: HashSet<_> = new.iter().map(|entry| (entry.kind_key(), entry.id)).collect();
        for entry in old.iter().filter(|entry| !had.contains(&(entry.kind_key(), entry.id))) {
            self.pair(Some(entry), None, prefix, found)?;
        }
        for entry in new.iter().filter(|entry| !has.contains(&(entry.kind_key(), entry.id))) {
            self.pair(None, Some(entry), prefix, found)?;
        }
        Ok(())
    }

    /// Two entries of one name, both directories or neither; or one that has no counterpart.
    fn pair<E>(
        &mut self,
        old: Option<&TreeEntry<'_>>,
        new: Option<&TreeEntry<'_>>,
        prefix: &Rc<[u8]>,
        found: &mut Found<'_>,
    ) -> Result<(), End<E>> {
        let Some(some) = new.or(old) else { return Ok(()) };
        found.added |= old.is_none();
        if some.kind == EntryKind::Tree {
            let (old, new) = (old.map(|entry| entry.id), new.map(|entry| entry.id));
            if old != new {
                found.tasks.push(Task {
                    above: Rc::clone(prefix),
                    name: some.name.into(),
                    depth: found.depth,
                    old,
                    new,
                    in_old: found.old,
                    in_new: found.new,
                });
            }
            return Ok(());
        }
        let entry = |entry: &TreeEntry<'_>| match entry.kind {
            EntryKind::Leaf(mode) => Some(Entry { mode, id: entry.id }),
            EntryKind::Tree => None,
        };
        let (old, new) = (old.and_then(entry), new.and_then(entry));
        if old == new {
            return Ok(());
        }
        let length = (prefix.len() + some.name.len()) as u64;
        self.within(Counted::OnePathBytes, length, self.budget.one_path_bytes)?;
        self.spend(Counted::Changes, 1)?;
        self.spend(Counted::PathBytes, length)?;
        found.changes.push(Change { path: [prefix, some.name].concat(), old, new });
        Ok(())
    }

    fn spend<E>(&mut self, what: Counted, count: u64) -> Result<(), End<E>> {
        let (spent, limit) = match what {
            Counted::Entries => (&mut self.spent.entries, self.budget.entries),
            Counted::TreeBytes => (&mut self.spent.tree_bytes, self.budget.tree_bytes),
            Counted::Changes => (&mut self.spent.changes, self.budget.changes),
            Counted::PathBytes => (&mut self.spent.path_bytes, self.budget.path_bytes),
            Counted::OneTreeBytes | Counted::OnePathBytes | Counted::Depth => return Ok(()),
        };
        *spent = spent.saturating_add(count);
        let reached = *spent;
        self.within(what, reached, limit)
    }

    fn within<E>(&self, what: Counted, reached: u64, limit: u64) -> Result<(), End<E>> {
        if reached > limit { Err(End::Over(Overrun { what, limit, reached })) } else { Ok(()) }
    }

    /// A tree of the push that names something as a directory which is none; or an error, where the tree that
    /// names it was there before, or none does.
    fn no_tree<E: From<GitError>>(
        &self,
        named_by: Option<ObjectId>,
        prefix: &[u8],
        code: TreeFaultCode,
        error: GitError,
    ) -> End<E> {
        let brought = named_by.map(|tree| self.objects.is_brought(&tree).map(|brought| (tree, brought)));
        let tree = match brought.transpose() {
            Ok(Some((tree, true))) => tree,
            Ok(_) => return error.into(),
            Err(error) => return error.into(),
        };
        let full = prefix.strip_suffix(b"/").unwrap_or(prefix);
        let path = full.iter().rposition(|byte| *byte == b'/').map_or(&full[..0], |at| &full[..at]).to_vec();
        let fault = TreeFault { code, path: full[..full.len().min(MAX_FAULT_PATH)].to_vec() };
        End::Malformed(MalformedTree { id: tree, path, faults: vec![fault], more_faults: 0 })
    }

    /// The bytes of a tree, proved to be what its id names.
    fn load<E: From<GitError>>(
        &mut self,
        id: &ObjectId,
        named_by: Option<ObjectId>,
        prefix: &[u8],
    ) -> Result<Rc<[u8]>, End<E>> {
        if let Some(raw) = self.kept.get(id) {
            self.spend(Counted::TreeBytes, raw.len() as u64)?;
            return Ok(raw);
        }
        let unreadable = |why: &str| GitError::Object { id: *id, why: why.to_owned() };
        // Its size before its bytes: a few bytes in a pack can be a huge tree.
        let Some(found) = self.objects.find(id)? else {
            let error = GitError::Missing { id: *id, child: named_by };
            return Err(self.no_tree(named_by, prefix, TreeFaultCode::MissingTree, error));
        };
        if found.kind != ObjectKind::Tree {
            let error = unreadable(&format!("it is a {} and not a tree", found.kind.name()));
            return Err(self.no_tree(named_by, prefix, TreeFaultCode::NoTree, error));
        }
        self.within(Counted::OneTreeBytes, found.size, self.budget.one_tree_bytes)?;
        self.spend(Counted::TreeBytes, found.size)?;
        let mut buffer = Vec::new();
        match self.objects.read(id, &mut buffer)? {
            Some(ObjectKind::Tree) => {}
            Some(_) => return Err(unreadable("it is not a tree").into()),
            None => return Err(GitError::Missing { id: *id, child: None }.into()),
        }
        let raw: Rc<[u8]> = buffer.into();
        self.kept.put(*id, &raw);
        Ok(raw)
    }

    fn counts_as_brought<E: From<GitError>>(
        &self,
        tree: &ObjectId,
        stop: &dyn Fn() -> Result<(), E>,
    ) -> Result<bool, End<E>> {
        if self.objects.is_brought(tree)? {
            return Ok(true);
        }
        let Some(let_in) = &self.let_in else { return Ok(false) };
        Ok(!relation::reaches_tree(self.objects, let_in.clone(), *tree, stop).map_err(End::Failed)?)
    }

    /// A tree's entries in their order.
    fn decode<'t, E: From<GitError>>(
        &mut self,
        id: &ObjectId,
        raw: &'t [u8],
        prefix: &[u8],
        stop: &dyn Fn() -> Result<(), E>,
    ) -> Result<Vec<TreeEntry<'t>>, End<E>> {
        let left = self.budget.entries.saturating_sub(self.spent.entries);
        let mut tree = match Tree::decode(self.objects.format(), raw, left) {
            Ok(tree) => tree,
            Err(TooManyEntries) => {
                self.spend(Counted::Entries, left + 1)?;
                return Ok(Vec::new());
            }
        };
        self.spend(Counted::Entries, tree.entries.len() as u64)?;
        let tolerated = tree.whole
            && tree.more_faults == 0
            && tree.faults.iter().all(|f| self.tolerated.contains(&f.code));
        if !tolerated && self.counts_as_brought(id, stop)? {
            let mut faults = tree.faults;
            for fault in &mut faults {
                fault.path.splice(0..0, prefix.iter().copied());
                fault.path.truncate(MAX_FAULT_PATH);
            }
            let path = prefix.strip_suffix(b"/").unwrap_or(prefix).to_vec();
            return Err(End::Malformed(MalformedTree {
                id: *id,
                path,
                faults,
                more_faults: tree.more_faults,
            }));
        }
        if !tree.whole {
            let last = tree.faults.last().map(ToString::to_string).unwrap_or_default();
            return Err(
                GitError::Object { id: *id, why: format!("its entries cannot be read: {last}") }.into()
            );
        }
        if tree.faults.iter().any(|fault| fault.code == TreeFaultCode::NotSorted) || tree.more_faults > 0 {
            tree.sort();
        }
        Ok(tree.entries)
    }
}

/// How much of the path of a fault is kept, bytes.
const MAX_FAULT_PATH: usize = 4096;

struct Found<'a> {
    changes: &'a mut Vec<Change>,
    tasks: &'a mut Vec<Task>,
    /// Of the tasks that are found.
    depth: u64,
    /// The directory's own trees.
    old: Option<ObjectId>,
    new: Option<ObjectId>,
    /// Whether the directory has an entry that it had not before.
    added: bool,
}

impl TreeEntry<'_> {
    fn kind_key(&self) -> Option<crate::domain::FileMode> {
        match self.kind {
            EntryKind::Tree => None,
            EntryKind::Leaf(mode) => Some(mode),
        }
    }
}

/// Finds the names of a directory's new side that collide, where one of them is added.
fn collide(old: &[TreeEntry<'_>], new: &[TreeEntry<'_>], prefix: &[u8], out: &mut Difference) {
    let mut first: HashMap<Cow<'_, [u8]>, usize> = HashMap::with_capacity(new.len());
    // Names that share a key, by the first of them.
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, entry) in new.iter().enumerate() {
        let leader = *first.entry(fold_name(entry.name)).or_insert(index);
        // One name twice is no collision, it is a malformed tree.
        if new[leader].name != entry.name {
            groups.entry(leader).or_insert_with(|| vec![leader]).push(index);
        }
    }
    if groups.is_empty() {
        return;
    }
    let before: HashSet<&[u8]> = old.iter().map(|entry| entry.name).collect();
    let added = |index: &usize| !before.contains(new[*index].name);
    for mut members in groups.into_values().filter(|members| members.iter().any(added)) {
        if out.collisions.len() == MAX_COLLISIONS {
            out.more_collisions += 1;
            continue;
        }
        // The added ones are what matters, so they are not the ones to leave off.
        members.sort_by_key(|index| !added(index));
        members.truncate(MAX_COLLIDING_NAMES);
        members.sort_unstable();
        let name = |index: usize| CollidingName { name: new[index].name.to_vec(), added: added(&index) };
        let directory = prefix.strip_suffix(b"/").unwrap_or(prefix).to_vec();
        out.collisions.push(Collision { directory, names: members.into_iter().map(name).collect() });
    }
}

/// Trees that were read lately, in two generations: when the younger one is full, the older one goes.
#[derive(Default)]
struct Kept {
    young: HashMap<ObjectId, Rc<[u8]>>,
    old: HashMap<ObjectId, Rc<[u8]>>,
    young_bytes: usize,
}

impl Kept {
    fn get(&mut self, id: &ObjectId) -> Option<Rc<[u8]>> {
        if let Some(raw) = self.young.get(id) {
            return Some(Rc::clone(raw));
        }
        let raw = self.old.remove(id)?;
        self.put(*id, &raw);
        Some(raw)
    }

    fn put(&mut self, id: ObjectId, raw: &Rc<[u8]>) {
        // What a map needs for an entry counts, too: there are many small trees.
        let cost = raw.len() + 128;
        if cost > KEPT_BYTES / 4 {
            return;
        }
        if self.young_bytes + cost > KEPT_BYTES / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += cost;
        self.young.insert(id, Rc::clone(raw));
    }
}
