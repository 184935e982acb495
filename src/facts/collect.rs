//! From updates and a repository to [`PushFacts`].

mod origin;

use super::CollectError;
use super::content::{self, Edges};
use super::counters;
use super::faults::{cut, malformed_object, malformed_update, no_branch, shallow, too_large};
use super::inputs::{Inputs, Present};
use super::introduced::{self, Introduced, ParentCache, Standing, Stop};
use super::judge::Judge;
use super::merges;
use super::people;
use super::taint::{Counts, RefTaint, Taint};
use crate::domain::{ObjectId, ObjectKind, RefName, RefUpdate, UpdateKind};
use crate::git::{self, Found, Relation};
use crate::policy::facts::{BuiltinFault, BuiltinRule, Needs, PushFacts, RefFacts, RepositoryFacts};
use crate::policy::{Enforcement, Ruleset};
use origin::unquotable;
use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

/// Collects the facts of one push.
///
/// # Errors
/// Whatever keeps a fact from being known; the push is undecided then. What is merely wrong with the
/// push is a fault in the facts.
pub fn collect(inputs: Inputs<'_>) -> Result<PushFacts, CollectError> {
    let mut collector = Collector {
        judge: Judge::new(
            inputs.repository,
            inputs.keyring,
            inputs.limits,
            inputs.signatures,
            &inputs.context,
            &inputs.budget,
        ),
        parents: ParentCache::new(),
        walked: HashMap::new(),
        taints: HashMap::new(),
        inputs: &inputs,
        edges: Edges::new(),
        faults: Vec::new(),
        present: None,
        default_branch: inputs.repository.default_branch()?,
        needs: inputs.needs(),
    };
    let mut refs = collector.refs()?;
    let mut repository = collector.repository(&refs)?;
    let Collector { judge, mut faults, needs, edges, default_branch, .. } = collector;
    let (mut commits, object_faults) = judge.finish()?;
    if needs.has(Needs::PEOPLE) {
        people::name(&mut refs, &mut commits, inputs.keyring.principals());
    }
    if needs.has(Needs::HISTORY) && repository.has_history {
        let roots = commits.values().filter(|commit| commit.parents.is_empty()).map(|commit| commit.id);
        repository.own_roots = own_roots(&inputs, default_branch.as_ref(), roots)?;
    }
    if needs.has(Needs::MERGES) {
        let ids = for_rules_about_merges(&inputs, &refs);
        merges::recompute(&ids, &mut commits, inputs.repository.objects(), inputs.limits, &inputs.budget)?;
    }
    let content = if needs.has_any(Needs::CONTENT) {
        content::fill(&inputs, default_branch.as_ref(), edges, &mut refs, &mut commits)?
    } else {
        content::Found::default()
    };
    if needs.has(Needs::RECEIVED) {
        for commit in commits.values_mut() {
            commit.received = inputs.frontier.received(&commit.id)?;
        }
    }
    counters::check(&mut refs, &mut commits, inputs.frontier, inputs.signatures)?;
    let unquotable = match inputs.present {
        Present::InRepository => unquotable(&inputs, &refs, commits.keys().chain(object_faults.keys()))?,
        // Whoever judges a range in a clone of their own, or what is on record, can read all of it.
        Present::AsClaimed | Present::AsItWas(_) | Present::AsLetIn(..) => HashSet::new(),
    };
    inputs.budget.check()?;
    let mut all = inputs.updates.faults;
    all.append(&mut faults);
    Ok(PushFacts {
        context: inputs.context,
        refs,
        commits,
        faults: all,
        object_faults,
        content_faults: content.faults,
        file_faults: content.file_faults,
        pusher: inputs.pusher,
        repository,
        blobs: content.blobs,
        unquotable,
    })
}

/// The commits that a ruleset has to judge which asks what merges are worth. To compute a merge again is dear,
/// and other refs and rulesets have no use for it.
fn for_rules_about_merges(inputs: &Inputs<'_>, refs: &[RefFacts]) -> HashSet<ObjectId> {
    let asks = |index: usize| {
        let ruleset = &inputs.policy.rulesets[index];
        ruleset.needs().has(Needs::MERGES) && !ruleset.exempts(inputs.pusher.as_deref())
    };
    let introduced = refs.iter().flat_map(|reference| &reference.introduced);
    introduced.filter(|(index, _)| asks(**index)).flat_map(|(_, commits)| commits).copied().collect()
}

/// Those roots that the default branch stands on, before the push.
fn own_roots(
    inputs: &Inputs<'_>,
    default_branch: Option<&RefName>,
    roots: impl Iterator<Item = ObjectId>,
) -> Result<HashSet<ObjectId>, CollectError> {
    let objects = inputs.repository.objects();
    let mut there = HashSet::new();
    for root in roots {
        // What the push brings cannot have been there.
        if !objects.is_brought(&root)? {
            there.insert(root);
        }
    }
    let Some(name) = default_branch.filter(|_| !there.is_empty()) else { return Ok(HashSet::new()) };
    let tip = match inputs.present {
        Present::InRepository | Present::AsClaimed => inputs.repository.resolve(name)?.value,
        // What stands in the repository is not what stood, or counted, when this is judged.
        Present::AsItWas(refs) | Present::AsLetIn(refs, _) => {
            let moved = inputs.updates.updates.iter().find(|update| update.name == *name);
            let other = || refs.iter().find(|(one, _)| one == name).map(|(_, id)| *id);
            moved.map_or_else(other, |update| update.old)
        }
    };
    let Some(tip) = tip else { return Ok(HashSet::new()) };
    git::reached(objects, vec![tip], there, &|| inputs.budget.check())
}

struct Collector<'a> {
    inputs: &'a Inputs<'a>,
    judge: Judge<'a>,
    parents: ParentCache,
    /// For each ruleset, the commits that it judges for earlier refs of this push. A history that many
    /// refs share is walked and judged once.
    walked: HashMap<usize, HashSet<ObjectId>>,
    /// For each ruleset, what compromised keys did to its commits on record, if they did anything.
    taints: HashMap<usize, Option<Rc<Taint>>>,
    /// Where what was judged already ends, by ref and ruleset.
    edges: Edges,
    faults: Vec<BuiltinFault>,
    /// The repository's refs, read at most once.
    present: Option<Vec<(RefName, ObjectId)>>,
    default_branch: Option<RefName>,
    /// What the rules of this repository ask for.
    needs: Needs,
}

impl Collector<'_> {
    fn refs(&mut self) -> Result<Vec<RefFacts>, CollectError> {
        let inputs = self.inputs;
        let count = inputs.updates.updates.len();
        if count > inputs.limits.refs {
            self.faults.push(too_large(
                "",
                None,
                format!("the push moves {count} refs"),
                format!("at most {} refs in one push", inputs.limits.refs),
                "push the refs in several parts",
            ));
            return Ok(Vec::new());
        }
        let mut targets = HashSet::new();
        let mut refs = Vec::with_capacity(count);
        for update in &inputs.updates.updates {
            inputs.budget.check()?;
            let facts = self.reference(update, refs.len())?;
            if !targets.insert(facts.name.clone()) {
                let seen = format!("the push moves {} more than once", facts.name);
                self.faults.push(malformed_update(&update.name.to_string(), seen));
            }
            refs.push(facts);
        }
        Ok(refs)
    }

    fn reference(&mut self, update: &RefUpdate, place: usize) -> Result<RefFacts, CollectError> {
        let inputs = self.inputs;
        let state = match inputs.present {
            Present::InRepository => inputs.repository.resolve(&update.name)?,
            Present::AsClaimed | Present::AsItWas(_) | Present::AsLetIn(..) => {
                git::RefState { target: update.name.clone(), symbolic: false, value: update.old }
            }
        };
        let shown = state.target.to_string();
        self.check_name(update, &state, &shown);
        let mut facts = RefFacts {
            update: update.clone(),
            name: state.target,
            current: state.value,
            kind: UpdateKind::Delete,
            tip_kind: None,
            leads_to: None,
            tags: Vec::new(),
            introduced: HashMap::new(),
            builds_on: HashMap::new(),
            own_ref: HashSet::new(),
            net: HashMap::new(),
            net_faults: HashMap::new(),
            foreign: false,
            foreign_below: Vec::new(),
            by_agent: false,
        };
        let Some(new) = update.new else { return Ok(facts) };
        let Some(found) = inputs.repository.objects().find(&new)? else {
            self.faults
                .push(malformed_update(&shown, format!("the new object {} is not there", new.short())));
            facts.kind = if facts.current.is_none() { UpdateKind::Create } else { UpdateKind::Force };
            return Ok(facts);
        };
        facts.tip_kind = Some(found.kind);
        facts.foreign = self.needs.has(Needs::FOREIGN)
            && inputs.repository.objects().is_borrowed(&new)?
            && !self.reaches(new)?;
        if facts.name.branch().is_some() && found.kind != ObjectKind::Commit {
            self.faults.push(no_branch(&shown, new, found.kind));
        }
        let covering = inputs.policy.covering(
            &inputs.context.repository.name,
            &facts.name,
            self.default_branch.as_ref(),
        );
        let enforced =
            covering.iter().any(|index| inputs.policy.rulesets[*index].enforcement == Enforcement::Enforce);
        let tip = self.peel(new, found, enforced, &shown, &mut facts)?;
        // Whether a walk met the ref's present value, which settles how the two relate.
        let mut descends = false;
        for index in covering.iter().copied() {
            let ruleset = &inputs.policy.rulesets[index];
            if let (true, Some(tip)) = (ruleset.judges_commits(), tip) {
                let walked = self.introduced(index, &facts.name, tip, &shown)?;
                descends |= facts.current.is_some_and(|current| {
                    walked.boundary.contains(&current) || walked.commits.contains(&current)
                });
                // Nobody judged what an exempt pusher brings: it counts for this ref alone (N8, N18).
                if walked.own_ref || ruleset.exempts(inputs.pusher.as_deref()) {
                    facts.own_ref.insert(index);
                }
                // A walk that was cut has not seen where what was judged begins.
                if !walked.cut {
                    let judged = walked.boundary.iter().filter(|id| !walked.builds_on.contains(id));
                    self.edges.insert((place, index), judged.copied().collect());
                }
                facts.introduced.insert(index, walked.commits);
                facts.builds_on.insert(index, walked.builds_on);
            }
        }
        let walked = facts
            .introduced
            .keys()
            .any(|index| inputs.policy.rulesets[*index].enforcement == Enforcement::Enforce);
        if let (Some(tip), false) = (tip, walked) {
            self.check_tip(tip, &shown)?;
        }
        if let Some(tip) = tip {
            let bypass = covering.iter().any(|index| !inputs.policy.rulesets[*index].bypass.is_empty());
            facts.by_agent = bypass && facts.introduced.is_empty() && self.by_agent(facts.current, tip)?;
            if self.needs.has(Needs::FOREIGN) && !facts.foreign && inputs.repository.objects().borrows() {
                facts.foreign_below = self.foreign_below(new, tip)?;
            }
        }
        facts.kind =
            if descends { UpdateKind::FastForward } else { self.kind(facts.current, new, tip, &shown)? };
        Ok(facts)
    }

    /// What the built-in ruleset has to say of the name and of the claimed old value.
    fn check_name(&mut self, update: &RefUpdate, state: &git::RefState, shown: &str) {
        let inputs = self.inputs;
        if state.symbolic && !inputs.allow_symref_push {
            self.faults.push(BuiltinFault {
                rule: BuiltinRule::SymrefPush,
                reference: update.name.to_string(),
                object: None,
                seen: format!("the ref is a symbolic ref to {shown}"),
                wanted: "a push to the ref that really moves".to_owned(),
                help: format!("push to {shown} instead"),
            });
        }
        if inputs.shallow_push {
            self.faults
                .push(shallow(shown, "the push comes from a shallow clone and cuts history".to_owned()));
        }
        let allowed = |name: &RefName| {
            let hierarchies = inputs.namespaces.iter();
            hierarchies.clone().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
        };
        if !allowed(&update.name) || !allowed(&state.target) {
            self.faults.push(BuiltinFault {
                rule: BuiltinRule::UnknownNamespace,
                reference: update.name.to_string(),
                object: None,
                seen: "the ref lies outside the hierarchies of this server".to_owned(),
                wanted: format!("a ref below {}", inputs.namespaces.join(", ")),
                help: "push to a branch or a tag; the administrator can list more under `[repositories] namespaces`"
                    .to_owned(),
            });
        }
        if update.old != state.value {
            let say = |id: Option<ObjectId>| id.map_or_else(|| "nothing".to_owned(), |id| id.short());
            self.faults.push(malformed_update(
                shown,
                format!("the push moves the ref from {}, but it holds {}", say(update.old), say(state.value)),
            ));
        }
    }

    /// Follows annotated tags to what they tag; `None` where that is no commit.
    fn peel(
        &mut self,
        new: ObjectId,
        found: Found,
        enforced: bool,
        shown: &str,
        facts: &mut RefFacts,
    ) -> Result<Option<ObjectId>, CollectError> {
        let objects = self.inputs.repository.objects();
        let (mut id, mut found) = (new, found);
        loop {
            match found.kind {
                ObjectKind::Tag => {}
                kind => {
                    facts.leads_to = Some(kind);
                    return Ok((kind == ObjectKind::Commit).then_some(id));
                }
            }
            if facts.tags.len() >= self.inputs.limits.tag_depth {
                self.faults.push(too_large(
                    shown,
                    Some((ObjectKind::Tag, new)),
                    format!("more than {} annotated tags point at each other", self.inputs.limits.tag_depth),
                    format!("at most {} levels of annotated tags", self.inputs.limits.tag_depth),
                    "tag the commit itself",
                ));
                return Ok(None);
            }
            let (tag, mut problems) = self.judge.tag(&id, found)?;
            let judged = |collector: &Self| -> Result<bool, CollectError> {
                Ok(enforced || collector.counts_as_brought(id, found)?)
            };
            let Some(tag) = tag else {
                if judged(self)? {
                    problems.iter_mut().for_each(|fault| fault.reference = shown.to_owned());
                    self.faults.append(&mut problems);
                }
                return Ok(None);
            };
            let target = tag.facts.target;
            facts.tags.push(tag.facts);
            let Some(next) = objects.find(&target)? else {
                if !found.in_quarantine {
                    return Err(git::GitError::Missing { id: target, child: Some(id) }.into());
                }
                let seen =
                    format!("its target {} is neither in the push nor in the repository", target.short());
                let fault = malformed_object(ObjectKind::Tag, id, seen);
                self.faults.push(BuiltinFault { reference: shown.to_owned(), ..fault });
                return Ok(None);
            };
            if next.kind != tag.target_kind && judged(self)? {
                self.faults.push(BuiltinFault {
                    rule: BuiltinRule::MalformedObject,
                    reference: shown.to_owned(),
                    object: Some((ObjectKind::Tag, id)),
                    seen: format!("the tag calls a {} a {}", next.kind.name(), tag.target_kind.name()),
                    wanted: BuiltinRule::MALFORMED_OBJECT_WANTED.to_owned(),
                    help: BuiltinRule::MALFORMED_OBJECT_HELP.to_owned(),
                });
            }
            (id, found) = (target, next);
        }
    }

    fn introduced(
        &mut self,
        index: usize,
        name: &RefName,
        tip: ObjectId,
        shown: &str,
    ) -> Result<Introduced, CollectError> {
        let inputs = self.inputs;
        let ruleset = &inputs.policy.rulesets[index];
        let enforced = ruleset.enforcement == Enforcement::Enforce;
        let has_record = inputs.frontier.has_record(&ruleset.name)?;
        if enforced && !has_record && self.covers_history(ruleset)? {
            return Err(CollectError::NoTrustedBase {
                ruleset: ruleset.name.clone(),
                repository: inputs.context.repository.name.clone(),
                path: inputs.repository.common_dir().display().to_string(),
            });
        }
        let taint = self.taint(index, has_record)?;
        let taint = taint.as_deref().map(|taint| self.seen_from(taint, name)).transpose()?;
        // Something was met that counts for this ref only because the ref had it before it was tainted.
        let on_taint = Cell::new(false);
        let in_this_push = self.walked.get(&index);
        let left = inputs.limits.commits.saturating_sub(in_this_push.map_or(0, HashSet::len));
        let stop = |id: &ObjectId| {
            if in_this_push.is_some_and(|walked| walked.contains(id)) {
                return Ok(Some(Stop::InThisPush));
            }
            if has_record && let Some(standing) = inputs.frontier.standing(&ruleset.name, name, id)? {
                // History that holds a tainted commit is of the refs that had it already (N8).
                let counts = match &taint {
                    Some(taint) => taint.counts(inputs.repository.objects(), id, &inputs.budget)?,
                    None => Counts::Shared,
                };
                if counts != Counts::No {
                    on_taint.set(on_taint.get() || counts == Counts::OwnRef);
                    return Ok(Some(Stop::Judged(standing)));
                }
            }
            // A ruleset that is only evaluated refuses nothing and gets no record, so it looks at what the
            // push brings: to judge a whole history at every push would teach nobody anything.
            let advisory = !enforced && !has_record;
            let known =
                advisory && !inputs.repository.objects().find(id)?.is_some_and(|found| found.in_quarantine);
            Ok(known.then_some(Stop::Judged(Standing::Shared)))
        };
        let (judge, cache) = (&mut self.judge, &mut self.parents);
        let mut cut_by_absence = Vec::new();
        let mut absent = HashSet::new();
        let mut parents = |child: Option<&ObjectId>, id: &ObjectId| {
            if let Some(known) = cache.get(id) {
                return Ok(known.clone());
            }
            match judge.commit(id)? {
                Some(parents) => {
                    cache.insert(*id, parents.clone());
                    Ok(parents)
                }
                None => {
                    let quarantined = match child {
                        Some(child) => {
                            inputs.repository.objects().find(child)?.is_some_and(|f| f.in_quarantine)
                        }
                        None => false,
                    };
                    if !quarantined {
                        return Err(git::GitError::Missing { id: *id, child: child.copied() }.into());
                    }
                    cut_by_absence.push((child.copied(), *id));
                    absent.insert(*id);
                    Ok(Vec::new())
                }
            }
        };
        let mut walked = introduced::walk(tip, left, &inputs.budget, &stop, &mut parents)?;
        for (child, id) in cut_by_absence {
            self.faults.push(cut(shown, child, id));
        }
        // What is nowhere is no commit to judge; the fault above refuses the push for it.
        walked.commits.retain(|id| !absent.contains(id));
        // What counts for one ref only cannot stand in for another one's history (N8). On record what stands on
        // tainted commits is shared all the same: whether it counts is asked anew at each push, because
        // somebody may let them stand.
        if !(walked.own_ref || on_taint.get() || ruleset.exempts(inputs.pusher.as_deref())) {
            self.walked.entry(index).or_default().extend(&walked.commits);
        }
        if walked.cut && enforced {
            self.faults.push(too_large(
                shown,
                None,
                format!("the push introduces more than {} commits", inputs.limits.commits),
                format!("at most {} commits that are not judged yet", inputs.limits.commits),
                "push the history in several parts; the administrator can raise `[limits] commits` or adopt a base",
            ));
        }
        Ok(walked)
    }

    /// What compromised keys did to the commits that a ruleset has on record, if they did anything.
    fn taint(&mut self, index: usize, has_record: bool) -> Result<Option<Rc<Taint>>, CollectError> {
        if let Some(known) = self.taints.get(&index) {
            return Ok(known.clone());
        }
        let inputs = self.inputs;
        if !has_record {
            return Ok(None);
        }
        let keys = inputs.keyring.compromised(inputs.context.received_at);
        let tainted = if keys.is_empty() || !has_record {
            Vec::new()
        } else {
            inputs.frontier.tainted(&inputs.policy.rulesets[index].name, &keys)?
        };
        let taint = (!tainted.is_empty()).then(|| Rc::new(Taint::new(tainted.into_iter().collect())));
        self.taints.insert(index, taint.clone());
        Ok(taint)
    }

    fn seen_from<'t>(&self, taint: &'t Taint, name: &RefName) -> Result<RefTaint<'t>, CollectError> {
        let alone = self.inputs.updates.updates.len() == 1;
        Ok(taint.of(self.inputs.frontier.judged_tip(name)?, alone))
    }

    /// Whether the repository has a ref that a ruleset covers, and so history that nobody vouched for.
    fn covers_history(&mut self, ruleset: &Ruleset) -> Result<bool, CollectError> {
        let (repository, default_branch) =
            (&self.inputs.context.repository.name, self.default_branch.clone());
        let covers = |name| ruleset.covers(repository, name, default_branch.as_ref());
        Ok(self.present()?.iter().any(|(name, _)| covers(name)))
    }

    fn present(&mut self) -> Result<&[(RefName, ObjectId)], CollectError> {
        if let Present::AsItWas(refs) | Present::AsLetIn(refs, _) = self.inputs.present {
            return Ok(refs);
        }
        if self.present.is_none() {
            self.present = Some(self.inputs.repository.references()?);
        }
        Ok(self.present.as_deref().unwrap_or_default())
    }

    /// What is known of the repository as a whole, after the refs have moved.
    fn repository(&mut self, refs: &[RefFacts]) -> Result<RepositoryFacts, CollectError> {
        let needs = self.needs;
        let default_branch = self.default_branch.clone();
        if !needs.has(Needs::NAMES) && !needs.has(Needs::HISTORY) {
            return Ok(RepositoryFacts { default_branch, ..RepositoryFacts::default() });
        }
        let present = self.present()?;
        let has_history = !present.is_empty();
        let mut names: BTreeSet<RefName> = present.iter().map(|(name, _)| name.clone()).collect();
        if let Present::AsLetIn(_, refused) = self.inputs.present {
            names.extend(refused.iter().cloned());
        }
        for reference in refs {
            match reference.update.new {
                Some(_) => names.insert(reference.name.clone()),
                None => names.remove(&reference.name),
            };
        }
        let names = names.into_iter().collect();
        Ok(RepositoryFacts { default_branch, has_history, names, own_roots: HashSet::new() })
    }

    /// A tip whose commits no enforcing ruleset judges must at least be well-formed if the push brought it.
    fn check_tip(&mut self, tip: ObjectId, shown: &str) -> Result<(), CollectError> {
        let Some(found) = self.inputs.repository.objects().find(&tip)? else { return Ok(()) };
        if !found.in_quarantine && self.inputs.let_in().is_none() {
            return Ok(());
        }
        let faults = self.judge.grammar(&tip)?;
        if faults.is_empty() || !self.counts_as_brought(tip, found)? {
            return Ok(());
        }
        for mut fault in faults {
            fault.reference = shown.to_owned();
            self.faults.push(fault);
        }
        Ok(())
    }

    /// Whether the push brought an object. A copy of what a forge has keeps what was refused, too: that is no better
    /// when it comes again.
    fn counts_as_brought(&self, id: ObjectId, found: Found) -> Result<bool, CollectError> {
        let Some(let_in) = self.inputs.let_in().filter(|_| !found.in_quarantine) else {
            return Ok(found.in_quarantine);
        };
        let (objects, stop) = (self.inputs.repository.objects(), || self.inputs.budget.check());
        Ok(git::reached(objects, let_in, HashSet::from([id]), &stop)?.is_empty())
    }

    fn kind(
        &mut self,
        current: Option<ObjectId>,
        new: ObjectId,
        tip: Option<ObjectId>,
        shown: &str,
    ) -> Result<UpdateKind, CollectError> {
        let Some(current) = current else { return Ok(UpdateKind::Create) };
        if current == new {
            return Ok(UpdateKind::FastForward);
        }
        let objects = self.inputs.repository.objects();
        // What the ref holds is not judged (N25).
        let old = git::leads_to(objects, current)?.filter(|(_, kind)| *kind == ObjectKind::Commit);
        let (Some((old, _)), Some(tip)) = (old, tip) else { return Ok(UpdateKind::Force) };
        if objects.find(&tip)?.is_some_and(|found| found.size > self.inputs.limits.object_bytes as u64) {
            // The push is refused for it already, and it is too large to read just to relate it.
            return Ok(UpdateKind::Force);
        }
        let check = || self.inputs.budget.check();
        match git::relate(objects, old, tip, &check) {
            Ok(Relation::Descends) => Ok(UpdateKind::FastForward),
            Ok(Relation::Diverges) => Ok(UpdateKind::Force),
            // The push itself brings a commit without its history: that is a fault of the push, and how the
            // tips relate cannot be told.
            Err(CollectError::Git(git::GitError::Missing { id, child: Some(child) }))
                if objects.find(&child)?.is_some_and(|found| found.in_quarantine) =>
            {
                self.faults.push(cut(shown, Some(child), id));
                Ok(UpdateKind::Force)
            }
            // So it is if what it brings cannot be understood.
            Err(CollectError::Git(git::GitError::Object { id, why }))
                if objects.find(&id)?.is_some_and(|found| found.in_quarantine) =>
            {
                let fault = malformed_object(ObjectKind::Commit, id, why);
                self.faults.push(BuiltinFault { reference: shown.to_owned(), ..fault });
                Ok(UpdateKind::Force)
            }
            Err(error) => Err(error),
        }
    }
}
