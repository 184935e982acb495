//! What the facts of a push say that commits and updates change, and what becomes of content that cannot be
//! told: a rule of the tests asks for it, and says nothing itself.

use crate::world::{To, World, id};
use countersign::domain::{
    FileMode, ObjectId, Principal, PrincipalKind, PushContext, Pusher, RefName, RefUpdate, RepositoryId,
    RepositoryRef, RequestId, Timestamp,
};
use countersign::facts::{Budget, CollectError, Frontier, Inputs, Present, Standing, Updates, collect};
use countersign::git::GitError;
use countersign::keyring::Keyring;
use countersign::policy::facts::{BuiltinFault, CommitFacts, Needs};
use countersign::policy::rules::{Configured, Finding, Judges, Kind, Rule, Scope};
use countersign::policy::{
    Decision, Enforcement, Limits, Pattern, PushFacts, Refs, Ruleset, Rulesets, Selector, Uncovered,
    evaluate, evaluate_until,
};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A rule that needs facts and finds nothing.
#[derive(Debug)]
struct Probe(Needs, Judges);

static PROBE: Kind = Kind {
    name: "probe",
    summary: "nothing",
    judges: Judges::Commit,
    build: |_| Err("it is made by hand".to_owned()),
};

impl Rule for Probe {
    fn kind(&self) -> &'static Kind {
        &PROBE
    }
    fn judges(&self) -> Judges {
        self.1
    }
    fn needs(&self) -> Needs {
        self.0
    }
}

const EACH: Probe = Probe(Needs::CHANGES, Judges::Commit);
const FILES: Probe = Probe(Needs::CHANGES.and(Needs::BLOBS), Judges::Commit);
const NET: Probe = Probe(Needs::NET, Judges::NetRange);
const PLAIN: Probe = Probe(Needs::NONE, Judges::Commit);

fn ruleset(name: &str, refs: &str, enforcement: Enforcement, rule: Probe) -> Ruleset {
    let rule: Box<dyn Rule> = Box::new(rule);
    let everything = vec![Pattern::new("**").unwrap()];
    let refs = Refs::new([refs]).unwrap();
    Ruleset::new(name, everything, refs, enforcement, vec![Configured::from(rule)]).unwrap()
}

fn all(rule: Probe) -> Vec<Ruleset> {
    vec![ruleset("all", "refs/**", Enforcement::Enforce, rule)]
}

/// A push of some refs onto a record of what was accepted.
struct Asked {
    updates: Vec<(&'static str, Option<ObjectId>, ObjectId)>,
    accepted: HashSet<ObjectId>,
    limits: Limits,
    pusher: Option<Arc<Principal>>,
    deadline: Duration,
}

impl Asked {
    fn of(updates: &[(&'static str, Option<ObjectId>, ObjectId)]) -> Self {
        Asked {
            updates: updates.to_vec(),
            accepted: HashSet::new(),
            limits: Limits::default(),
            pusher: None,
            deadline: Duration::from_secs(60),
        }
    }

    fn accepted(self, commits: &[ObjectId]) -> Self {
        Asked { accepted: commits.iter().copied().collect(), ..self }
    }

    fn limits(self, limits: Limits) -> Self {
        Asked { limits, ..self }
    }

    fn try_facts(&self, world: &World, policy: &Rulesets) -> Result<PushFacts, CollectError> {
        let repository = world.open();
        let stop = AtomicBool::new(false);
        let update = |(name, old, new): &(&str, Option<ObjectId>, ObjectId)| RefUpdate {
            name: RefName::parse(name.as_bytes()).unwrap(),
            old: *old,
            new: Some(*new),
        };
        collect(Inputs {
            repository: &repository,
            context: PushContext {
                request_id: RequestId::from_random([1; 16]),
                repository: RepositoryRef { id: RepositoryId("test".into()), name: "test".into() },
                pusher: Pusher::Unknown,
                push_options: Vec::new(),
                received_at: Timestamp::now(),
            },
            pusher: self.pusher.clone(),
            updates: Updates { updates: self.updates.iter().map(update).collect(), faults: Vec::new() },
            present: Present::AsClaimed,
            shallow_push: false,
            policy,
            limits: &self.limits,
            signatures: &countersign::signature::Rules::default(),
            namespaces: &["refs/".to_owned()],
            allow_symref_push: false,
            keyring: &Keyring::empty(),
            frontier: &Accepted(self.accepted.clone()),
            budget: Budget { deadline: Instant::now() + self.deadline, seconds: 60, abandoned: &stop },
        })
    }

    #[track_caller]
    fn facts(&self, world: &World, rulesets: Vec<Ruleset>) -> PushFacts {
        self.judged(world, rulesets).0
    }

    #[track_caller]
    fn judged(&self, world: &World, rulesets: Vec<Ruleset>) -> (PushFacts, countersign::policy::Verdict) {
        let policy = Rulesets { rulesets, uncovered: Uncovered::Accept };
        let facts = self.try_facts(world, &policy).unwrap();
        let verdict = evaluate(&facts, &policy);
        (facts, verdict)
    }
}

struct Accepted(HashSet<ObjectId>);

impl Frontier for Accepted {
    fn standing(&self, _: &str, _: &RefName, commit: &ObjectId) -> Result<Option<Standing>, CollectError> {
        Ok(self.0.contains(commit).then_some(Standing::Shared))
    }
    fn has_record(&self, _: &str) -> Result<bool, CollectError> {
        Ok(true)
    }
    fn tainted(&self, _: &str, _: &[(String, i64)]) -> Result<Vec<ObjectId>, CollectError> {
        Ok(Vec::new())
    }
    fn judged_tip(&self, _: &RefName) -> Result<Option<ObjectId>, CollectError> {
        Ok(None)
    }
}

fn commit(world: &World, to: To, tree: ObjectId, parents: &[ObjectId], message: &str) -> ObjectId {
    let parents: String = parents.iter().map(|parent| format!("parent {parent}\n")).collect();
    let who = "A <a@example.com> 1700000000 +0000";
    let raw = format!("tree {tree}\n{parents}author {who}\ncommitter {who}\n\n{message}\n");
    world.object(to, "commit", raw.as_bytes())
}

/// A tree of files, each with its own name as its content unless `name=content` is given.
fn files(world: &World, to: To, names: &[&str]) -> ObjectId {
    let mut entries: Vec<(String, ObjectId)> = names
        .iter()
        .map(|name| {
            let (name, content) = name.split_once('=').unwrap_or((name, name));
            (name.to_owned(), world.blob(to, content.as_bytes()))
        })
        .collect();
    entries.sort();
    let entries: Vec<_> = entries.iter().map(|(name, blob)| ("100644", name.as_bytes(), *blob)).collect();
    world.tree(to, &entries)
}

/// `+a -b ~c`, what was added, deleted and changed.
fn told(changes: &[countersign::domain::Change]) -> String {
    let one = |change: &countersign::domain::Change| {
        let sign = match (&change.old, &change.new) {
            (None, _) => '+',
            (_, None) => '-',
            _ => '~',
        };
        format!("{sign}{}", String::from_utf8_lossy(&change.path))
    };
    changes.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn each(facts: &PushFacts, commit: ObjectId) -> Vec<String> {
    facts.commits[&commit].changes.iter().map(|one| told(&one.changes)).collect()
}

fn net(facts: &PushFacts, place: usize) -> String {
    told(&facts.refs[place].net[&0])
}

#[test]
fn every_commit_against_every_parent_and_a_root_against_nothing() {
    let world = World::sha1();
    let base = commit(&world, To::Push, files(&world, To::Push, &["a", "b"]), &[], "base");
    let moved = commit(&world, To::Push, files(&world, To::Push, &["a", "c=b"]), &[base], "a move");
    let side = commit(&world, To::Push, files(&world, To::Push, &["a=2", "b"]), &[base], "side");
    let evil =
        commit(&world, To::Push, files(&world, To::Push, &["a=2", "c=b", "evil"]), &[moved, side], "merge");
    let facts = Asked::of(&[("refs/heads/x", None, evil)]).facts(&world, all(EACH));
    assert_eq!(each(&facts, base), ["+a +b"]);
    assert_eq!(facts.commits[&base].changes[0].parent, None);
    assert_eq!(each(&facts, moved), ["-b +c"], "from both sides (T5)");
    assert_eq!(each(&facts, side), ["~a"]);
    assert_eq!(each(&facts, evil), ["~a +evil", "-b +c +evil"], "T6");
    let parents: Vec<_> = facts.commits[&evil].changes.iter().map(|one| one.parent).collect();
    assert_eq!(parents, [Some(moved), Some(side)]);
    assert!(facts.blobs.is_empty() && facts.refs[0].net.is_empty());
    // Nobody asks: nothing is read.
    let facts = Asked::of(&[("refs/heads/x", None, evil)]).facts(&world, all(PLAIN));
    assert!(facts.commits[&evil].changes.is_empty());
}

#[test]
fn only_for_who_needs_it() {
    let world = World::sha1();
    let one = commit(&world, To::Push, files(&world, To::Push, &["a"]), &[], "one");
    let two = commit(&world, To::Push, files(&world, To::Push, &["a", "b"]), &[one], "two");
    let needs = || ruleset("needs", "refs/heads/main", Enforcement::Enforce, EACH);
    let plain = || ruleset("plain", "refs/**", Enforcement::Enforce, PLAIN);
    let asked = Asked::of(&[("refs/heads/main", None, one), ("refs/heads/other", None, two)]);
    let facts = asked.facts(&world, vec![needs(), plain()]);
    assert_eq!(each(&facts, one), ["+a"]);
    assert!(facts.commits[&two].changes.is_empty(), "no ruleset that needs it introduces it");
    let off = ruleset("needs", "refs/**", Enforcement::Off, EACH);
    let facts = asked.facts(&world, vec![off, plain()]);
    assert!(facts.commits[&one].changes.is_empty());
    // Nor for a pusher whom the ruleset does not judge.
    let mut exempt = needs();
    exempt.actors = vec![Selector::parse("person:alice").unwrap()];
    let bob = Principal { name: "bob".into(), kind: PrincipalKind::Person, emails: vec![], groups: vec![] };
    let asked = Asked { pusher: Some(Arc::new(bob)), ..asked };
    let facts = asked.facts(&world, vec![exempt, plain()]);
    assert!(facts.commits[&one].changes.is_empty());
}

#[test]
fn merges_are_computed_again_for_who_asks_what_they_are_worth() {
    let world = World::sha1();
    let base = commit(&world, To::Push, files(&world, To::Push, &["a"]), &[], "base");
    let [left, right] = [["a", "l"], ["a", "r"]]
        .map(|names| commit(&world, To::Push, files(&world, To::Push, &names), &[base], names[1]));
    let merge = commit(&world, To::Push, files(&world, To::Push, &["a", "l", "r"]), &[left, right], "merge");
    let asks =
        || ruleset("asks", "refs/heads/main", Enforcement::Enforce, Probe(Needs::MERGES, Judges::Commit));
    let plain = || ruleset("plain", "refs/**", Enforcement::Enforce, PLAIN);
    let worth = |name: &'static str, rulesets| {
        let asked = Asked::of(&[("refs/heads/main", None, base), (name, None, merge)]);
        asked.facts(&world, rulesets).commits[&merge].merge.clone().map(|merge| merge.clean)
    };
    assert_eq!(worth("refs/heads/topic", vec![asks(), plain()]), None, "no ruleset that asks judges it");
    let main = Asked::of(&[("refs/heads/main", None, merge)]);
    let facts = main.facts(&world, vec![asks(), plain()]);
    assert!(facts.commits[&merge].merge.as_ref().is_some_and(|merge| merge.clean && merge.real));
    let mut exempt = asks();
    exempt.actors = vec![Selector::parse("person:alice").unwrap()];
    let bob = Principal { name: "bob".into(), kind: PrincipalKind::Person, emails: vec![], groups: vec![] };
    let main = Asked { pusher: Some(Arc::new(bob)), ..main };
    assert_eq!(main.facts(&world, vec![exempt, plain()]).commits[&merge].merge, None);
}

#[test]
fn n18_what_an_exempt_pusher_brings_is_walked_again_and_its_faults_refuse() {
    let world = World::sha1();
    let tree = files(&world, To::Push, &["a"]);
    let one = commit(&world, To::Push, tree, &[], "one");
    let bad =
        world.object(To::Push, "commit", format!("tree {tree}\nparent {one}\nnot a commit\n").as_bytes());
    let tip = commit(&world, To::Push, files(&world, To::Push, &["a", "b"]), &[bad], "tip");
    let bob = Principal { name: "bob".into(), kind: PrincipalKind::Person, emails: vec![], groups: vec![] };
    let exempt = || {
        let mut exempt = ruleset("exempt", "refs/heads/*", Enforcement::Enforce, EACH);
        exempt.actors = vec![Selector::parse("person:alice").unwrap()];
        exempt
    };
    let judging = ruleset("judging", "refs/heads/*", Enforcement::Enforce, EACH);
    let updates = [("refs/heads/x", None, one), ("refs/heads/y", None, one)];
    let asked = Asked { pusher: Some(Arc::new(bob)), ..Asked::of(&updates) };
    let (facts, verdict) = asked.judged(&world, vec![exempt(), judging]);
    assert_eq!(verdict.decision, Decision::Accept);
    // Nothing relies on what the exempt one was shown: each ref has it all, and it counts for that ref alone.
    for reference in &facts.refs {
        assert_eq!(reference.introduced[&0], [one]);
        assert!(reference.own_ref.contains(&0));
    }
    assert_eq!((facts.refs[0].introduced[&1].len(), facts.refs[1].introduced[&1].len()), (1, 0));
    assert_eq!(facts.refs[1].builds_on[&1], [one]);
    assert_eq!(each(&facts, one), ["+a"]);

    let asked = Asked { updates: vec![("refs/heads/x", None, tip)], ..asked };
    let (facts, verdict) = asked.judged(&world, vec![exempt()]);
    assert!(facts.object_faults.contains_key(&bad));
    assert_eq!(verdict.decision, Decision::Refuse);
    assert_eq!(verdict.violations[0].rule, "malformed-object");
    assert!(verdict.refs[0].rulesets[1].exempt);
}

#[test]
fn n11_the_whole_of_an_update() {
    let world = World::sha1();
    let base = commit(&world, To::Repository, files(&world, To::Repository, &["a"]), &[], "base");
    let adds = commit(&world, To::Push, files(&world, To::Push, &["a", "secret"]), &[base], "adds");
    let removes = commit(&world, To::Push, files(&world, To::Push, &["a", "b"]), &[adds], "removes");
    let asked = Asked::of(&[("refs/heads/x", Some(base), removes)]).accepted(&[base]);
    let facts = asked.facts(&world, all(NET));
    assert_eq!(net(&facts, 0), "+b");
    assert!(facts.commits[&adds].changes.is_empty());
    let facts = asked.facts(&world, all(Probe(Needs::CHANGES.and(Needs::NET), Judges::Commit)));
    assert_eq!(
        (each(&facts, adds), each(&facts, removes)),
        (vec!["+secret".into()], vec!["+b -secret".into()])
    );
    assert_eq!(net(&facts, 0), "+b");
    // That all of it is on record changes nothing; and back again it is seen as well.
    let known = Asked::of(&[("refs/heads/x", Some(base), removes)]).accepted(&[base, adds, removes]);
    assert_eq!(net(&known.facts(&world, all(NET)), 0), "+b");
    let back = Asked::of(&[("refs/heads/x", Some(removes), adds)]).accepted(&[base, adds, removes]);
    assert_eq!(net(&back.facts(&world, all(NET)), 0), "-b +secret");
    // An update to what is there already.
    let same = Asked::of(&[("refs/heads/x", Some(adds), adds)]).accepted(&[base, adds]);
    assert_eq!(net(&same.facts(&world, all(NET)), 0), "");
}

#[test]
fn n11_a_new_ref_begins_where_something_was_judged() {
    let world = World::sha1();
    let base = commit(&world, To::Repository, files(&world, To::Repository, &["a"]), &[], "base");
    let left = commit(&world, To::Repository, files(&world, To::Repository, &["a", "l"]), &[base], "left");
    let right = commit(&world, To::Repository, files(&world, To::Repository, &["a", "r"]), &[base], "right");
    let next = commit(&world, To::Push, files(&world, To::Push, &["a", "l", "n"]), &[left], "next");
    let new = Asked::of(&[("refs/heads/x", None, next)]);
    assert_eq!(net(&new.facts(&world, all(NET)), 0), "+a +l +n", "nothing was judged");
    let new = new.accepted(&[base]);
    assert_eq!(net(&new.facts(&world, all(NET)), 0), "+l +n");
    let new = new.accepted(&[base, left]);
    assert_eq!(net(&new.facts(&world, all(NET)), 0), "+n");
    // Two of them: what is new to one of them counts, since nobody judged it beside the other.
    let tree = files(&world, To::Push, &["a", "l", "r", "evil"]);
    let merge = commit(&world, To::Push, tree, &[left, right], "merge");
    let two = Asked::of(&[("refs/heads/x", None, merge)]).accepted(&[base, left, right]);
    assert_eq!(net(&two.facts(&world, all(NET)), 0), "+evil +l +r");
    // One that stands on the other counts alone.
    let merge = commit(&world, To::Push, tree, &[left, base], "merge");
    let one = Asked::of(&[("refs/heads/x", None, merge)]).accepted(&[base, left]);
    assert_eq!(net(&one.facts(&world, all(NET)), 0), "+evil +r");
    // A tag is a ref.
    let raw = format!("object {merge}\ntype commit\ntag v1\ntagger T <t@x.org> 1700000000 +0000\n\nv1\n");
    let tag = world.object(To::Push, "tag", raw.as_bytes());
    let tagged = Asked::of(&[("refs/tags/v1", None, tag)]).accepted(&[base, left]);
    assert_eq!(net(&tagged.facts(&world, all(NET)), 0), "+evil +r");
    let moved = Asked::of(&[("refs/tags/v1", Some(tag), next)]).accepted(&[base, left]);
    assert_eq!(net(&moved.facts(&world, all(NET)), 0), "-evil +n -r");
}

#[test]
fn n11_another_ref_of_the_push_judges_no_range_for_this_one() {
    let world = World::sha1();
    let base = commit(&world, To::Repository, files(&world, To::Repository, &["a"]), &[], "base");
    let adds = commit(&world, To::Push, files(&world, To::Push, &["a", "secret"]), &[base], "adds");
    let removes = commit(&world, To::Push, files(&world, To::Push, &["a", "b"]), &[adds], "removes");
    let more = commit(&world, To::Push, files(&world, To::Push, &["a", "b", "c"]), &[removes], "more");
    for updates in [
        [("refs/heads/m", Some(base), removes), ("refs/heads/x", None, adds), ("refs/heads/y", None, more)],
        [("refs/heads/m", None, removes), ("refs/heads/x", None, adds), ("refs/heads/y", None, more)],
    ] {
        let facts = Asked::of(&updates).accepted(&[base]).facts(&world, all(NET));
        assert_eq!([net(&facts, 0), net(&facts, 1), net(&facts, 2)], ["+b", "+secret", "+b +c"]);
        assert!(facts.refs[1].introduced[&0].is_empty());
    }
}

#[test]
fn content_without_a_commit_is_told_as_new() {
    let world = World::sha1();
    let tree = files(&world, To::Push, &["a", "b"]);
    let blob = world.blob(To::Push, b"content");
    let raw = format!("object {tree}\ntype tree\ntag v1\ntagger T <t@x.org> 1700000000 +0000\n\nv1\n");
    let tag = world.object(To::Push, "tag", raw.as_bytes());
    let updates =
        [("refs/tags/t", None, tree), ("refs/tags/a", Some(tree), tag), ("refs/tags/b", None, blob)];
    for rule in [FILES, Probe(Needs::NET.and(Needs::BLOBS), Judges::NetRange)] {
        let facts = Asked::of(&updates).facts(&world, all(rule));
        assert_eq!([net(&facts, 0), net(&facts, 1), net(&facts, 2)], ["+a +b", "+a +b", "+"]);
        assert_eq!(facts.blobs[&blob].size, 7);
        assert_eq!(facts.blobs.len(), 3);
    }
    assert!(Asked::of(&updates).facts(&world, all(PLAIN)).refs[0].net.is_empty());
}

#[test]
fn what_files_are() {
    let world = World::sha1();
    let script = world.blob(To::Push, b"#!/bin/sh\n");
    let elf = world.blob(To::Push, b"\x7fELF\x02\0");
    let link = world.blob(To::Push, b"../../etc/passwd");
    let long = world.blob(To::Push, &[b'x'; 5000]);
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 99\n", "a".repeat(64));
    let lfs = world.blob(To::Push, pointer.as_bytes());
    let module = id(&"9".repeat(40));
    let tree = world.tree(
        To::Push,
        &[
            ("100755", b"a", script),
            ("100755", b"b", elf),
            ("120000", b"c", link),
            ("120000", b"d", long),
            ("100644", b"e", lfs),
            ("160000", b"f", module),
            ("100644", b"g", link),
        ],
    );
    let tip = commit(&world, To::Push, tree, &[], "x");
    let facts = Asked::of(&[("refs/heads/x", None, tip)]).facts(&world, all(FILES));
    let blob = |id: ObjectId| facts.blobs[&id].clone();
    assert!(!blob(script).program && !blob(script).binary && blob(script).target.is_none());
    assert!(blob(elf).program && blob(elf).binary);
    assert_eq!(blob(link).target.as_deref(), Some(&b"../../etc/passwd"[..]), "a link and a file");
    assert_eq!((blob(long).target, facts.blobs[&long].size), (None, 5000));
    assert_eq!(blob(lfs).lfs, Some(99));
    assert_eq!(facts.blobs.len(), 5, "no submodule");
    assert_eq!(facts.commits[&tip].changes[0].changes[5].new.unwrap().mode, FileMode::Submodule);
    // Nobody asks what they are.
    assert!(Asked::of(&[("refs/heads/x", None, tip)]).facts(&world, all(EACH)).blobs.is_empty());
}

#[test]
fn names_that_collide_are_told_where_they_come_in() {
    let world = World::sha1();
    let base = commit(&world, To::Push, files(&world, To::Push, &["a", "readme"]), &[], "base");
    let collides =
        commit(&world, To::Push, files(&world, To::Push, &["README", "a", "readme"]), &[base], "x");
    let later =
        commit(&world, To::Push, files(&world, To::Push, &["README", "a=2", "readme"]), &[collides], "y");
    let facts = Asked::of(&[("refs/heads/x", None, later)]).facts(&world, all(EACH));
    let pairs = |commit| facts.commits[&commit].changes[0].collisions.to_vec();
    assert_eq!(pairs(collides), [(b"readme".to_vec(), b"README".to_vec())]);
    assert!(pairs(base).is_empty() && pairs(later).is_empty());
}

// --- budgets

/// Why something of a commit's content is not known.
#[track_caller]
fn content_faults(facts: &PushFacts, commit: ObjectId) -> &[BuiltinFault] {
    facts.content_faults.get(&commit).or_else(|| facts.file_faults.get(&commit)).unwrap()
}

#[track_caller]
fn only_fault(faults: &[BuiltinFault]) -> &BuiltinFault {
    assert_eq!(faults.len(), 1, "{faults:?}");
    &faults[0]
}

#[test]
fn n23_each_budget_is_a_refusal_with_figures_and_its_option() {
    let world = World::sha1();
    let inner = files(&world, To::Push, &["a", "b", "c"]);
    let root = world.tree(To::Push, &[("40000", b"dir", inner), ("40000", b"two", inner)]);
    let one = commit(&world, To::Push, root, &[], "one");
    let two = commit(&world, To::Push, inner, &[one], "two");
    let three = commit(&world, To::Push, root, &[two], "three");
    let limits = Limits::default();
    let cases = [
        ("tree-entries", Limits { tree_entries: 7, ..limits.clone() }, "8 tree entries", "at most 7 "),
        ("tree-bytes", Limits { tree_bytes: 100, ..limits.clone() }, " bytes of trees", "at most 100 "),
        (
            "one-tree-bytes",
            Limits { one_tree_bytes: 60, ..limits.clone() },
            "bytes of one tree",
            "at most 60 ",
        ),
        ("tree-depth", Limits { tree_depth: 0, ..limits.clone() }, "1 directories", "at most 0 "),
        ("changed-paths", Limits { changed_paths: 5, ..limits.clone() }, "6 changed paths", "at most 5 "),
        (
            "changed-path-bytes",
            Limits { changed_path_bytes: 29, ..limits.clone() },
            "30 bytes of",
            "at most 29 ",
        ),
        ("one-path-bytes", Limits { one_path_bytes: 4, ..limits.clone() }, "5 bytes of one", "at most 4 "),
        ("blobs", Limits { blobs: 2, ..limits.clone() }, "3 files", "at most 2 "),
        ("blob-bytes", Limits { blob_bytes: 2, ..limits.clone() }, "3 bytes of files", "at most 2 "),
    ];
    for (key, limits, seen, wanted) in cases {
        let asked = Asked::of(&[("refs/heads/x", None, three)]).limits(limits);
        let (facts, verdict) = asked.judged(&world, all(FILES));
        let fault = only_fault(content_faults(&facts, one));
        assert!(fault.seen.contains(seen) && fault.wanted.starts_with(wanted), "{fault:?}");
        assert!(fault.help.contains(&format!("`[limits] {key}`")), "{fault:?}");
        assert_eq!(verdict.decision, Decision::Refuse);
        // Once, and not for each of the commits that come after.
        assert_eq!((verdict.violation_count, verdict.violations[0].rule), (1, "push-too-large"), "{key}");
        // Where the rulesets are only tried, nothing is refused.
        let tried = vec![ruleset("all", "refs/**", Enforcement::Evaluate, FILES)];
        let (_, verdict) = asked.judged(&world, tried);
        assert_eq!((verdict.decision, verdict.violation_count), (Decision::Accept, 0), "{key}");
        assert_eq!((verdict.advisory_count, verdict.advisory[0].rule), (1, "push-too-large"), "{key}");
    }
    // Without a path rule none of it counts.
    let nothing = Limits { tree_entries: 1, changed_paths: 1, ..Limits::default() };
    let (_, verdict) = Asked::of(&[("refs/heads/x", None, three)]).limits(nothing).judged(&world, all(PLAIN));
    assert_eq!(verdict.decision, Decision::Accept);
}

#[test]
fn n23_what_is_only_tried_costs_nothing_of_what_counts() {
    let world = World::sha1();
    let one = commit(&world, To::Push, files(&world, To::Push, &["a", "b", "c", "d", "e"]), &[], "one");
    let two = commit(&world, To::Push, files(&world, To::Push, &["a", "b"]), &[], "two");
    let rulesets = || {
        vec![
            ruleset("tried", "refs/heads/a", Enforcement::Evaluate, EACH),
            ruleset("counts", "refs/heads/b", Enforcement::Enforce, EACH),
        ]
    };
    let asked = Asked::of(&[("refs/heads/a", None, one), ("refs/heads/b", None, two)]);
    let asked = asked.limits(Limits { changed_paths: 4, ..Limits::default() });
    let (facts, verdict) = asked.judged(&world, rulesets());
    assert_eq!(each(&facts, two), ["+a +b"]);
    assert_eq!((verdict.decision, verdict.advisory_count), (Decision::Accept, 1));
}

#[test]
fn n23_what_is_only_tried_refuses_nothing_by_the_commits_that_it_shares() {
    let world = World::sha1();
    let tip = commit(&world, To::Push, files(&world, To::Push, &["a", "b", "c"]), &[], "tip");
    for rules in [[EACH, FILES], [NET, FILES], [PLAIN, EACH]] {
        let [counts, tried] = rules;
        let needs = (counts.0, tried.0);
        let limits = match needs {
            (Needs::NONE, _) => Limits { changed_paths: 2, ..Limits::default() },
            _ => Limits { blobs: 2, ..Limits::default() },
        };
        let rulesets = vec![
            ruleset("counts", "refs/**", Enforcement::Enforce, counts),
            ruleset("tried", "refs/**", Enforcement::Evaluate, tried),
        ];
        let (_, verdict) = Asked::of(&[("refs/heads/x", None, tip)]).limits(limits).judged(&world, rulesets);
        assert_eq!(verdict.decision, Decision::Accept, "{needs:?}: {:?}", verdict.violations);
        assert_eq!((verdict.violation_count, verdict.advisory_count), (0, 1), "{needs:?}");
    }
}

#[test]
fn the_same_two_trees_are_compared_once() {
    let world = World::sha1();
    let (a, b) = (files(&world, To::Push, &["a"]), files(&world, To::Push, &["b"]));
    let base = commit(&world, To::Push, a, &[], "base");
    let mut tip = base;
    for turn in 0..20 {
        tip = commit(&world, To::Push, if turn % 2 == 0 { b } else { a }, &[tip], &format!("{turn}"));
    }
    // 1 for the root, 2 for there and 2 for back.
    let limits = Limits { changed_paths: 5, ..Limits::default() };
    let updates =
        [("refs/heads/x", None, tip), ("refs/heads/y", None, tip), ("refs/heads/z", Some(base), tip)];
    let asked = Asked::of(&updates).limits(limits);
    let (facts, verdict) = asked.judged(&world, all(Probe(Needs::CHANGES.and(Needs::NET), Judges::Commit)));
    assert_eq!(verdict.decision, Decision::Accept, "{:?}", verdict.violations);
    assert_eq!(facts.commits.len(), 21);
    assert_eq!(each(&facts, tip), ["+a -b"]);
}

#[test]
fn n23_what_many_commits_or_refs_share_is_there_once() {
    let world = World::sha1();
    let names = files(&world, To::Push, &["A", "B", "a", "b"]);
    let nothing = world.tree(To::Push, &[]);
    let base = commit(&world, To::Push, nothing, &[], "base");
    let one = commit(&world, To::Push, names, &[base], "one");
    let back = commit(&world, To::Push, nothing, &[one], "back");
    let two = commit(&world, To::Push, names, &[back], "two");
    let facts = Asked::of(&[("refs/heads/x", None, two)]).facts(&world, all(EACH));
    let [one, two] = [one, two].map(|commit| &facts.commits[&commit].changes[0]);
    assert_eq!((one.changes.len(), one.collisions.len()), (4, 2));
    assert!(Arc::ptr_eq(&one.changes, &two.changes) && Arc::ptr_eq(&one.collisions, &two.collisions));
    // Nor is what a new ref changes against several commits told anew for each ref.
    let [left, right] = [["a", "l"], ["a", "r"]]
        .map(|names| commit(&world, To::Repository, files(&world, To::Repository, &names), &[], names[1]));
    let merge = commit(&world, To::Push, files(&world, To::Push, &["a", "e"]), &[left, right], "merge");
    let updates = [("refs/heads/x", None, merge), ("refs/heads/y", None, merge)];
    let facts = Asked::of(&updates).accepted(&[left, right]).facts(&world, all(NET));
    assert_eq!([net(&facts, 0), net(&facts, 1)], ["+e -l -r"; 2]);
    assert!(Arc::ptr_eq(&facts.refs[0].net[&0], &facts.refs[1].net[&0]));
}

/// Counts what it is asked.
#[derive(Debug)]
struct Counting(Arc<AtomicUsize>);

impl Rule for Counting {
    fn kind(&self) -> &'static Kind {
        &PROBE
    }
    fn needs(&self) -> Needs {
        Needs::CHANGES
    }
    fn check_commit(&self, _: &CommitFacts, _: Scope<'_>) -> Vec<Finding> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Vec::new()
    }
}

#[test]
fn n23_a_deadline_ends_the_judging_and_nothing_comes_of_it() {
    let world = World::sha1();
    let trees = [files(&world, To::Push, &["a"]), files(&world, To::Push, &["b"])];
    let mut tip = commit(&world, To::Push, trees[0], &[], "base");
    for turn in 1..20 {
        tip = commit(&world, To::Push, trees[turn % 2], &[tip], &format!("{turn}"));
    }
    let count = Arc::new(AtomicUsize::new(0));
    let rules: Vec<Configured> =
        (0..2).map(|_| Configured::from(Box::new(Counting(Arc::clone(&count))) as Box<dyn Rule>)).collect();
    let everything = vec![Pattern::new("**").unwrap()];
    let refs = Refs::new(["refs/**"]).unwrap();
    let counting = Ruleset::new("counting", everything, refs, Enforcement::Enforce, rules).unwrap();
    let policy = Rulesets { rulesets: vec![counting], uncovered: Uncovered::Accept };
    let asked = Asked::of(&[("refs/heads/x", None, tip), ("refs/heads/y", None, tip)]);
    let facts = asked.try_facts(&world, &policy).unwrap();
    for most in [0, 1, 7, 39] {
        count.store(0, Ordering::Relaxed);
        let verdict = evaluate_until(&facts, &policy, &|| count.load(Ordering::Relaxed) >= most);
        assert_eq!((verdict.is_none(), count.load(Ordering::Relaxed)), (true, most));
    }
    let verdict = evaluate_until(&facts, &policy, &|| false).unwrap();
    assert_eq!((verdict.decision, count.load(Ordering::Relaxed)), (Decision::Accept, 79));
}

#[test]
fn n23_over_time_is_undecided() {
    let world = World::sha1();
    let tip = commit(&world, To::Push, files(&world, To::Push, &["a"]), &[], "x");
    let asked = Asked { deadline: Duration::ZERO, ..Asked::of(&[("refs/heads/x", None, tip)]) };
    let policy = Rulesets { rulesets: all(FILES), uncovered: Uncovered::Accept };
    assert!(matches!(asked.try_facts(&world, &policy), Err(CollectError::Deadline { .. })));
}

// --- what is broken

#[test]
fn malformed_trees_of_the_push_refuse_the_refs_that_introduce_them() {
    let world = World::sha1();
    let good = files(&world, To::Push, &["a"]);
    let file = world.blob(To::Push, b"x");
    let absent = id(&"7".repeat(40));
    let unsorted = world.tree(To::Push, &[("100644", b"b", file), ("100644", b"a", file)]);
    let below = world.tree(To::Push, &[("40000", b"dir", unsorted)]);
    let cases = [
        (below, "of `dir` is malformed: tree-not-sorted at `dir/a`"),
        (world.tree(To::Push, &[("40000", b"dir", absent)]), "tree-missing-tree at `dir`"),
        (world.tree(To::Push, &[("40000", b"dir", file)]), "tree-no-tree at `dir`"),
        (absent, "its tree is 7777777777, which neither the push nor the repository has"),
        (file, "but it is a blob, not a tree"),
        (world.tree(To::Push, &[("100644", b"f", absent)]), "`f` is 7777777777, which neither"),
        (world.tree(To::Push, &[("100644", b"f", good)]), "but it is a tree, not a blob"),
    ];
    for (tree, seen) in cases {
        let one = commit(&world, To::Push, good, &[], "good");
        let bad = commit(&world, To::Push, tree, &[one], "bad");
        let tip = commit(&world, To::Push, good, &[bad], "good again");
        let updates = [("refs/heads/good", None, one), ("refs/heads/bad", None, tip)];
        let (facts, verdict) = Asked::of(&updates).judged(&world, all(FILES));
        let fault = only_fault(content_faults(&facts, bad));
        assert!(fault.seen.contains(seen), "{fault:?}");
        assert_eq!(verdict.decision, Decision::Refuse);
        let first = &verdict.violations[0];
        assert_eq!((first.rule, first.reference.as_str()), ("malformed-object", "refs/heads/bad"));
        assert!(verdict.violations.iter().all(|one| one.reference == "refs/heads/bad"));
        assert_eq!(verdict.refs[0].rulesets[1].violations, 0);
        // For a range it is the same.
        let only = [("refs/heads/bad", None, bad)];
        let (facts, verdict) =
            Asked::of(&only).judged(&world, all(Probe(Needs::NET.and(Needs::BLOBS), Judges::NetRange)));
        assert!(only_fault(&facts.refs[0].net_faults[&0]).seen.contains(seen));
        assert!(!facts.refs[0].net.contains_key(&0));
        assert_eq!((verdict.decision, verdict.violation_count), (Decision::Refuse, 1));
        assert_eq!(verdict.violations[0].reference, "refs/heads/bad");
    }
    // What old histories have is no fault.
    let legacy = world.tree(To::Push, &[("100664", b"a", file)]);
    let tip = commit(&world, To::Push, legacy, &[], "old");
    let (facts, verdict) = Asked::of(&[("refs/heads/x", None, tip)]).judged(&world, all(FILES));
    assert_eq!((verdict.decision, each(&facts, tip)), (Decision::Accept, vec!["+a".to_owned()]));
}

#[test]
fn a_broken_repository_is_undecided_and_never_the_fault_of_a_push() {
    let world = World::sha1();
    let good = files(&world, To::Push, &["a"]);
    let file = world.blob(To::Repository, b"x");
    let absent = id(&"7".repeat(40));
    let lacks = world.tree(To::Repository, &[("40000", b"dir", absent)]);
    let base = commit(&world, To::Repository, lacks, &[], "base");
    let nothing = commit(&world, To::Repository, absent, &[], "without a tree");
    for old in [base, nothing] {
        let tip = commit(&world, To::Push, good, &[old], "tip");
        let asked = Asked::of(&[("refs/heads/x", Some(old), tip)]).accepted(&[old]);
        for rule in [EACH, NET] {
            let policy = Rulesets { rulesets: all(rule), uncovered: Uncovered::Accept };
            let ended = asked.try_facts(&world, &policy);
            assert!(
                matches!(ended, Err(CollectError::Git(GitError::Missing { id, .. })) if id == absent),
                "{:?}",
                ended.err()
            );
        }
    }
    // Malformed ones that were there before are read as far as they can be.
    let unsorted = world.tree(To::Repository, &[("100644", b"b", file), ("100644", b"a", file)]);
    let base = commit(&world, To::Repository, unsorted, &[], "base");
    let tip = commit(&world, To::Push, good, &[base], "tip");
    let asked = Asked::of(&[("refs/heads/x", Some(base), tip)]).accepted(&[base]);
    assert_eq!(each(&asked.facts(&world, all(EACH)), tip), ["~a -b"]);
}
