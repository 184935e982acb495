//! Which commits and updates the changes of are needed, and for which rulesets.

use super::changes::{Contents, Known};
use super::inputs::Inputs;
use super::{Budget, CollectError};
use crate::domain::{Change, Entry, FileMode, ObjectId, ObjectKind, RefName};
use crate::git::{self, Objects, Relation};
use crate::policy::facts::{BlobFacts, BuiltinFault, BuiltinRule, CommitFacts, Needs, RefFacts};
use crate::policy::{Enforcement, Ruleset};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Where what a ruleset has judged already ends below a ref, by the place of the ref in the push and that of the
/// ruleset in the policy.
pub(super) type Edges = HashMap<(usize, usize), BTreeSet<ObjectId>>;

/// Commits that are compared with each other to leave off those that others stand on. Of more of them none is
/// left off: that may tell too much and never too little.
const MAX_RELATED: usize = 8;

/// What was found beside the facts of commits and refs.
#[derive(Default)]
pub(super) struct Found {
    /// Why it is not known what commits change.
    pub(super) faults: HashMap<ObjectId, Vec<BuiltinFault>>,
    /// Why it is not known what files they bring.
    pub(super) file_faults: HashMap<ObjectId, Vec<BuiltinFault>>,
    pub(super) blobs: HashMap<ObjectId, BlobFacts>,
}

/// Fills in what commits and updates change, for each ruleset that covers a ref, judges this pusher and has a rule
/// that needs it. Enforcing ones come first: what others cost is not at their expense.
pub(super) fn fill(
    inputs: &Inputs<'_>,
    default_branch: Option<&RefName>,
    edges: Edges,
    refs: &mut [RefFacts],
    commits: &mut HashMap<ObjectId, CommitFacts>,
) -> Result<Found, CollectError> {
    let policy = inputs.policy;
    let mut asked: Vec<(bool, usize, usize, Needs)> = Vec::new();
    for (place, reference) in refs.iter().enumerate().filter(|(_, one)| one.update.new.is_some()) {
        for index in policy.covering(&inputs.context.repository.name, &reference.name, default_branch) {
            let ruleset: &Ruleset = &policy.rulesets[index];
            let needs = ruleset.needs();
            if needs.has_any(Needs::CONTENT) && !ruleset.exempts(inputs.pusher.as_deref()) {
                asked.push((ruleset.enforcement != Enforcement::Enforce, place, index, needs));
            }
        }
    }
    if asked.is_empty() {
        return Ok(Found::default());
    }
    let edges = whole(edges, refs);
    asked.sort_unstable_by_key(|(later, place, index, _)| (*later, *place, *index));
    let objects = inputs.repository.objects();
    let mut filler = Filler {
        objects,
        budget: &inputs.budget,
        contents: Contents::new(objects, inputs.limits, &inputs.budget, inputs.let_in()),
        commits,
        faults: HashMap::new(),
        file_faults: HashMap::new(),
        looked_into: HashSet::new(),
    };
    for (_, place, index, needs) in asked {
        let reference = &refs[place];
        if needs.has(Needs::CHANGES) {
            for id in reference.introduced.get(&index).into_iter().flatten() {
                filler.commit(*id, needs.has(Needs::BLOBS))?;
            }
        }
        if !needs.has(Needs::NET) && reference.bare_content().is_none() {
            continue;
        }
        let net = filler.update(reference, edges.get(&(place, index)), needs.has(Needs::BLOBS))?;
        let shown = reference.name.to_string();
        let reference = &mut refs[place];
        match net {
            Ok(changes) => {
                reference.net.insert(index, changes);
            }
            Err(fault) => {
                reference.net_faults.insert(index, vec![BuiltinFault { reference: shown, ..fault }]);
            }
        }
    }
    let Filler { contents, faults, file_faults, .. } = filler;
    Ok(Found { faults, file_faults, blobs: contents.into_blobs() })
}

/// What an earlier ref of the push introduces is judged there, commit by commit. What the later ref changes as a
/// whole nobody judges but with that ref, so it begins where that of the earlier one does.
fn whole(mut edges: Edges, refs: &[RefFacts]) -> Edges {
    // Each commit is introduced once for a ruleset, unless what introduces it counts for one ref only.
    let mut by: HashMap<(usize, ObjectId), usize> = HashMap::new();
    for (place, reference) in refs.iter().enumerate() {
        for (index, builds_on) in &reference.builds_on {
            let earlier: BTreeSet<usize> =
                builds_on.iter().filter_map(|id| by.get(&(*index, *id)).copied()).collect();
            let mut inherited: BTreeSet<ObjectId> = BTreeSet::new();
            for earlier in earlier {
                inherited.extend(edges.get(&(earlier, *index)).into_iter().flatten());
            }
            if !inherited.is_empty() {
                edges.entry((place, *index)).or_default().extend(inherited);
            }
        }
        for (index, introduced) in reference.introduced.iter().filter(|_| refs.len() > 1) {
            by.extend(introduced.iter().map(|id| ((*index, *id), place)));
        }
    }
    edges
}

struct Filler<'a, 'c> {
    objects: &'a Objects,
    budget: &'a Budget<'a>,
    contents: Contents<'a>,
    commits: &'c mut HashMap<ObjectId, CommitFacts>,
    faults: HashMap<ObjectId, Vec<BuiltinFault>>,
    /// Apart from those, since not every ruleset asks what files are.
    file_faults: HashMap<ObjectId, Vec<BuiltinFault>>,
    looked_into: HashSet<ObjectId>,
}

impl Filler<'_, '_> {
    fn commit(&mut self, id: ObjectId, blobs: bool) -> Result<(), CollectError> {
        // One without facts is refused for what it lacks.
        let Some(commit) = self.commits.get(&id) else { return Ok(()) };
        if self.faults.contains_key(&id) {
            return Ok(());
        }
        if commit.changes.is_empty() {
            match self.contents.of_commit(commit, self.commits)? {
                Ok(changes) => {
                    if let Some(commit) = self.commits.get_mut(&id) {
                        commit.changes = changes;
                    }
                }
                Err(fault) => {
                    self.faults.insert(id, vec![fault]);
                    return Ok(());
                }
            }
        }
        if blobs && self.looked_into.insert(id) {
            let changes = self.commits.get(&id).map_or(&[][..], |commit| commit.changes.as_slice());
            let changes = changes.iter().flat_map(|one| one.changes.iter());
            let at = format!("at commit {}", id.short());
            if let Err(fault) = self.contents.look_into(changes, Some(id), &at)? {
                self.file_faults.insert(id, vec![fault]);
            }
        }
        Ok(())
    }

    fn update(
        &mut self,
        reference: &RefFacts,
        edges: Option<&BTreeSet<ObjectId>>,
        blobs: bool,
    ) -> Result<Known<Arc<[Change]>>, CollectError> {
        let Some(new) = reference.update.new else { return Ok(Ok(Arc::default())) };
        let tip = reference.tags.last().map_or(new, |tag| tag.target);
        let shown = reference.name.to_string();
        let changes = match reference.leads_to {
            // A fault keeps it from being known, and refuses the push.
            None | Some(ObjectKind::Tag) => return Ok(Err(unknown())),
            Some(ObjectKind::Blob) => {
                let entry = Entry { mode: FileMode::File, id: tip };
                Ok(Arc::from([Change { path: Vec::new(), old: None, new: Some(entry) }]))
            }
            Some(ObjectKind::Tree) => self.contents.of_update(&[None], tip, None, &shown)?,
            Some(ObjectKind::Commit) => {
                let Some(to) = self.contents.tree_of(&tip, self.commits)? else { return Ok(Err(unknown())) };
                let from = match reference.current {
                    Some(current) => vec![self.content(current)?],
                    None => self.judged(edges)?,
                };
                self.contents.of_update(&from, to, Some(tip), &shown)?
            }
        };
        if let (true, Ok(changes)) = (blobs, &changes) {
            let at = format!("at what {shown} changes as a whole");
            let commit = (reference.leads_to == Some(ObjectKind::Commit)).then_some(tip);
            if let Err(fault) = self.contents.look_into(changes.iter(), commit, &at)? {
                return Ok(Err(fault));
            }
        }
        Ok(changes)
    }

    /// The tree behind a ref's present value; `None` where there is none.
    fn content(&self, value: ObjectId) -> Result<Option<ObjectId>, CollectError> {
        match git::leads_to(self.objects, value)? {
            Some((id, ObjectKind::Commit)) => self.contents.tree_of(&id, self.commits),
            Some((id, ObjectKind::Tree)) => Ok(Some(id)),
            _ => Ok(None),
        }
    }

    /// The trees of what was judged already, without those that others of them stand on; no tree at all where
    /// nothing was.
    fn judged(&self, edges: Option<&BTreeSet<ObjectId>>) -> Result<Vec<Option<ObjectId>>, CollectError> {
        let mut edges: Vec<ObjectId> = edges.into_iter().flatten().copied().collect();
        let stop = || self.budget.check();
        if edges.len() <= MAX_RELATED {
            let mut at = 0;
            while at < edges.len() {
                let mut below = false;
                for other in edges.iter().filter(|other| **other != edges[at]) {
                    below |= git::relate(self.objects, edges[at], *other, &stop)? == Relation::Descends;
                }
                if below {
                    edges.remove(at);
                } else {
                    at += 1;
                }
            }
        }
        let mut trees: Vec<Option<ObjectId>> = Vec::new();
        let mut seen = HashSet::new();
        // There can be as many of them as there are parents in the push.
        for edge in edges {
            stop()?;
            let tree = self.contents.tree_of(&edge, self.commits)?;
            if seen.insert(tree) {
                trees.push(tree);
            }
        }
        if trees.is_empty() {
            trees.push(None);
        }
        Ok(trees)
    }
}

/// For an update that leads to nothing that can be read. What keeps it from that is told with the push.
fn unknown() -> BuiltinFault {
    BuiltinFault {
        rule: BuiltinRule::MalformedObject,
        reference: String::new(),
        object: None,
        seen: "what the update changes cannot be told".to_owned(),
        wanted: BuiltinRule::MALFORMED_OBJECT_WANTED.to_owned(),
        help: BuiltinRule::MALFORMED_OBJECT_HELP.to_owned(),
    }
}
