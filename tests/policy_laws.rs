//! Laws that hold whatever is pushed and whatever is configured, over random facts and rulesets of every
//! rule there is.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/every_rule.rs"]
mod every_rule;
#[path = "support/verified.rs"]
mod verified;

use countersign::domain::{
    Change, Entry, FileMode, ObjectId, ObjectKind, Principal, PrincipalKind, PushContext, Pusher, RefName,
    RefUpdate, RepositoryId, RepositoryRef, RequestId, Timestamp, UpdateKind,
};
use countersign::policy::facts::{
    BlobFacts, CommitFacts, MergeFacts, ParentChanges, Person, PushFacts, RefFacts, RefNames,
    RepositoryFacts, SignatureFacts, TagFacts,
};
use countersign::policy::rules::{Configured, Judges, Scope};
use countersign::policy::{
    Bypass, Decision, Enforcement, Observer, Pattern, Proof, Refs, Ruleset, Rulesets, Selector, Step,
    Subject, Uncovered, Verdict, evaluate, evaluate_with, rules,
};
use countersign::signature::{KeyId, Scheme, SignatureStatus};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, LazyLock};

const NOW: i64 = 1_748_736_000;
const DAY: i64 = 86_400;

// ---------------------------------------------------------------------------------------------------
// A model of what is pushed

/// Who signs, commits and pushes.
const PEOPLE: [(&str, PrincipalKind, &[&str]); 3] = [
    ("alice", PrincipalKind::Person, &["sre"]),
    ("bob", PrincipalKind::Person, &[]),
    ("helper", PrincipalKind::Agent, &["sre"]),
];
const MESSAGES: [&[u8]; 8] = [
    b"OPS-1: do it\n",
    b"OPS-1: do it\n\nBecause.\n\nSigned-off-by: alice <alice@example.org>\n",
    b"no ticket in a subject that is rather long\n",
    b"fixup! OPS-1: do it\n",
    b"OPS-1: \xe2\x80\xae it od\n",
    b"OPS-1: \xff\n",
    b"Revert \"OPS-1: do it\"\n\nThis reverts commit 0101010101010101010101010101010101010101.\n",
    b"",
];
const PATHS: [&[u8]; 9] = [
    b"src/main.rs",
    b"deploy/production.yaml",
    b"deploy",
    b".github/workflows/ci.yml",
    b"SRC/main.rs",
    b"vendor/lib",
    b".git/config",
    b"a/\xe2\x80\xae.txt",
    b"con.txt",
];
const REFS: [&str; 6] = [
    "refs/heads/main",
    "refs/heads/MAIN",
    "refs/heads/release/1",
    "refs/heads/OPS-1-x",
    "refs/tags/v1",
    "refs/tags/main",
];

/// What makes the signature of a signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Ed25519,
    Rsa,
    /// A security key that was touched.
    Fido,
    /// Signed a month ago.
    Old,
    /// It does not fit.
    Bad,
}

const KEYS: [Key; 5] = [Key::Ed25519, Key::Rsa, Key::Fido, Key::Old, Key::Bad];

#[derive(Clone, Debug)]
struct Commit {
    signer: Option<usize>,
    key: Key,
    people: (usize, usize),
    message: usize,
    encoding: bool,
    parents: usize,
    clean: bool,
    /// Days ago that the record has it from.
    received: Option<i64>,
    changes: Vec<Changed>,
}

#[derive(Clone, Debug)]
struct Changed {
    path: usize,
    old: Option<FileMode>,
    new: Option<FileMode>,
    size: u64,
    program: bool,
}

#[derive(Clone, Debug)]
struct Ref {
    name: usize,
    kind: UpdateKind,
    /// Which of the commits it introduces.
    new: Vec<bool>,
    /// Annotated tags: who signed it with what, and whether it is made for a name of the model.
    tags: Vec<(Option<usize>, Key, bool)>,
    foreign: bool,
    /// It leads to a tree.
    tree: bool,
}

#[derive(Clone, Debug)]
struct Push {
    commits: Vec<Commit>,
    refs: Vec<Ref>,
    pusher: Option<usize>,
    has_history: bool,
}

fn mode() -> impl Strategy<Value = FileMode> {
    select(vec![FileMode::File, FileMode::File, FileMode::Executable, FileMode::Symlink, FileMode::Submodule])
}

fn changed() -> impl Strategy<Value = Changed> {
    let maybe = || proptest::option::weighted(0.7, mode());
    (0..PATHS.len(), maybe(), maybe(), select(vec![1_u64, 1 << 20, 1 << 33]), any::<bool>())
        .prop_map(|(path, old, new, size, program)| Changed { path, old, new, size, program })
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![3 => Just(Key::Ed25519), 2 => select(&KEYS[..])]
}

fn commit() -> impl Strategy<Value = Commit> {
    let anybody = || 0..PEOPLE.len();
    (
        (proptest::option::weighted(0.8, anybody()), key()),
        (0..=PEOPLE.len(), 0..=PEOPLE.len()),
        prop_oneof![3 => Just(1_usize), 1 => 0..MESSAGES.len()],
        prop::bool::weighted(0.1),
        prop_oneof![3 => Just(1_usize), 1 => 0..4_usize],
        any::<bool>(),
        proptest::option::of(0..400_i64),
        vec(changed(), 0..3),
    )
        .prop_map(|((signer, key), people, message, encoding, parents, clean, received, changes)| {
            // Mostly the signer's own, so that accepted pushes are not rare.
            let people = match signer {
                Some(signer) if people.0 != 1 => (signer, signer),
                _ => people,
            };
            Commit { signer, key, people, message, encoding, parents, clean, received, changes }
        })
}

fn reference() -> impl Strategy<Value = Ref> {
    let kinds = vec![UpdateKind::Create, UpdateKind::FastForward, UpdateKind::Force, UpdateKind::Delete];
    let tag = (proptest::option::weighted(0.8, 0..PEOPLE.len()), key(), any::<bool>());
    (
        0..REFS.len(),
        select(kinds),
        vec(any::<bool>(), 3),
        vec(tag, 0..2),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(name, kind, new, tags, foreign, tree)| Ref { name, kind, new, tags, foreign, tree })
}

fn push() -> impl Strategy<Value = Push> {
    let pusher = proptest::option::weighted(0.8, 0..PEOPLE.len());
    (vec(commit(), 0..4), vec(reference(), 1..4), pusher, any::<bool>()).prop_map(
        |(commits, refs, pusher, has_history)| {
            let mut names = HashSet::new();
            let refs = refs.into_iter().filter(|one| names.insert(one.name)).collect();
            Push { commits, refs, pusher, has_history }
        },
    )
}

// ---------------------------------------------------------------------------------------------------
// A model of a policy

#[derive(Clone, Debug)]
struct Set {
    /// Rules, by their place in the registry and that of the options.
    rules: Vec<(usize, usize)>,
    enforcement: Enforcement,
    refs: &'static str,
    bypass: Option<(usize, bool)>,
    actors: bool,
}

fn rule() -> impl Strategy<Value = (usize, usize)> {
    (0..rules::ALL.len(), 0..3_usize)
}

fn set() -> impl Strategy<Value = Set> {
    let enforcement = prop_oneof![
        6 => Just(Enforcement::Enforce),
        2 => Just(Enforcement::Evaluate),
        1 => Just(Enforcement::Off),
    ];
    (
        vec(rule(), 1..5),
        enforcement,
        select(vec!["refs/**", "refs/heads/**", "refs/tags/**", "refs/heads/main", "~DEFAULT"]),
        proptest::option::weighted(0.5, (0..PEOPLE.len(), any::<bool>())),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(rules, enforcement, refs, bypass, actors)| Set {
            rules,
            enforcement,
            refs,
            bypass,
            actors,
        })
}

fn configured(rule: (usize, usize)) -> Configured {
    let name = rules::ALL[rule.0].name;
    let options = every_rule::options(name);
    let table: toml::Table = toml::from_str(&format!("x = {}", options[rule.1 % options.len()])).unwrap();
    rules::build(name, &table["x"]).unwrap().unwrap()
}

/// The rulesets; each keeps its name wherever it stands.
fn policy(sets: &[(usize, Set)]) -> Rulesets {
    let build = |(number, set): &(usize, Set)| {
        let mut names = HashSet::new();
        let mut own: Vec<Configured> = Vec::new();
        for rule in &set.rules {
            if names.insert(rule.0) {
                own.push(configured(*rule));
            }
        }
        let bypass = set.bypass.map(|(who, key)| Bypass {
            who: vec![Selector::parse(&format!("{}:{}", PEOPLE[who].1.name(), PEOPLE[who].0)).unwrap()],
            proof: if key { Proof::Key } else { Proof::Pusher },
            rules: own.iter().map(|one| one.rule.name().to_owned()).collect(),
            refs: None,
            reason: "a test".to_owned(),
            expires: None,
            ask: false,
        });
        let repositories = vec![Pattern::new("**").unwrap()];
        let refs = Refs::new([set.refs]).unwrap();
        let mut made =
            Ruleset::new(&format!("set-{number}"), repositories, refs, set.enforcement, own).unwrap();
        made.bypass.extend(bypass);
        if set.actors {
            made.actors.push(Selector::parse("group:sre").unwrap());
        }
        made
    };
    Rulesets {
        rulesets: sets.iter().map(build).flat_map(Ruleset::split).collect(),
        uncovered: Uncovered::Accept,
    }
}

fn sets() -> impl Strategy<Value = Vec<(usize, Set)>> {
    vec(set(), 1..4).prop_map(|sets| sets.into_iter().enumerate().collect())
}

// ---------------------------------------------------------------------------------------------------
// From the models to facts

/// One signature of each [`Key`] that verifies.
static VERIFIED: LazyLock<[SignatureStatus; 4]> = LazyLock::new(|| {
    ["ed25519", "rsa-2048", "fido-touch", "openpgp"].map(|kind| verified::verified_with(kind, NOW))
});

fn id(kind: u8, n: usize) -> ObjectId {
    let mut raw = [kind; 20];
    raw[19] = u8::try_from(n).unwrap();
    ObjectId::from_bytes(&raw).unwrap()
}

fn name(text: &str) -> RefName {
    RefName::parse(text.as_bytes()).unwrap()
}

fn principal(n: usize) -> Arc<Principal> {
    let (name, kind, groups) = PEOPLE[n];
    let groups = groups.iter().map(|one| (*one).to_owned()).collect();
    Arc::new(Principal { name: name.to_owned(), kind, emails: vec![format!("{name}@example.org")], groups })
}

/// Somebody of the model; one beyond them is a stranger.
fn person(n: usize) -> Person {
    let Some((name, ..)) = PEOPLE.get(n) else {
        return Person { name: b"X".to_vec(), email: b"x@example.com".to_vec(), at: NOW, principal: None };
    };
    Person {
        name: name.as_bytes().to_vec(),
        email: format!("{name}@example.org").into_bytes(),
        at: NOW,
        principal: Some(principal(n)),
    }
}

fn signature(signer: Option<usize>, key: Key) -> SignatureFacts {
    let by = |kind: Key| VERIFIED[KEYS.iter().position(|one| *one == kind).unwrap()].clone();
    let status = match (signer, key) {
        (None, _) => SignatureStatus::Unsigned,
        (_, Key::Bad) => {
            let key = KeyId { scheme: Scheme::Ssh, text: "SHA256:testtesttest".to_owned() };
            SignatureStatus::Bad { key }
        }
        (_, key) => by(key),
    };
    SignatureFacts {
        status,
        principal: signer.map(principal),
        judged_at: Timestamp::from_second(NOW).unwrap(),
    }
}

fn changes(commit: usize, list: &[Changed]) -> Arc<[Change]> {
    let entry = |at: usize, mode: FileMode| Entry { mode, id: id(3, commit * 8 + at) };
    let mut out: Vec<Change> = list
        .iter()
        .enumerate()
        .filter(|(_, one)| one.old.is_some() || one.new.is_some())
        .map(|(at, one)| Change {
            path: PATHS[one.path].to_vec(),
            old: one.old.map(|mode| Entry { mode, id: id(4, commit * 8 + at) }),
            new: one.new.map(|mode| entry(at, mode)),
        })
        .collect();
    out.sort();
    out.dedup_by(|a, b| a.path == b.path);
    out.into()
}

fn commit_facts(push: &Push) -> Vec<CommitFacts> {
    let make = |(n, commit): (usize, &Commit)| {
        let parents: Vec<ObjectId> = (0..commit.parents).map(|parent| id(5, n * 4 + parent)).collect();
        let changed = changes(n, &commit.changes);
        let against =
            |parent| ParentChanges { parent, changes: Arc::clone(&changed), collisions: Arc::default() };
        CommitFacts {
            message: MESSAGES[commit.message].to_vec(),
            author: person(commit.people.0),
            committer: person(commit.people.1),
            encoding: commit.encoding.then(|| b"ISO-8859-1".to_vec()),
            received: commit.received.map(|days| Timestamp::from_second(NOW - days * DAY).unwrap()),
            changes: match parents.len() {
                0 => vec![against(None)],
                _ => parents.iter().map(|parent| against(Some(*parent))).collect(),
            },
            merge: (parents.len() > 1).then(|| MergeFacts {
                real: commit.clean || n % 2 == 0,
                clean: commit.clean,
                touched: match (commit.clean, n % 2) {
                    (true, _) => Some(Vec::new().into()),
                    (false, 0) => Some(changed.iter().map(|one| one.path.clone()).collect()),
                    (false, _) => None,
                },
            }),
            parents,
            ..CommitFacts::bare(id(1, n), signature(commit.signer, commit.key))
        }
    };
    push.commits.iter().enumerate().map(make).collect()
}

fn facts(push: &Push, policy: &Rulesets) -> PushFacts {
    let commits = commit_facts(push);
    let default = name("refs/heads/main");
    let reference = |(at, one): (usize, &Ref)| {
        let own = name(REFS[one.name]);
        let deleted = one.kind == UpdateKind::Delete;
        let leads_to = if one.tree { ObjectKind::Tree } else { ObjectKind::Commit };
        let fresh = commits.iter().zip(&one.new).filter(|(_, new)| **new && !deleted);
        let introduced: Vec<ObjectId> = fresh.map(|(commit, _)| commit.id).collect();
        let covering = policy.covering("app", &own, Some(&default));
        let all: Vec<Changed> = push.commits.iter().flat_map(|one| one.changes.clone()).collect();
        let tags = if deleted { &[][..] } else { &one.tags[..] };
        let tags = tags.iter().enumerate().map(|(n, (signer, key, own_name))| TagFacts {
            tagger: Some(person(signer.unwrap_or(0))),
            message: b"OPS-1: a release\n".to_vec(),
            ..TagFacts::bare(
                id(2, at * 4 + n),
                id(1, 0),
                if *own_name { b"v1" } else { b"other" },
                signature(*signer, *key),
            )
        });
        RefFacts {
            current: (one.kind != UpdateKind::Create).then(|| id(6, at)),
            tip_kind: (!deleted).then_some(leads_to),
            leads_to: (!deleted).then_some(leads_to),
            tags: tags.collect(),
            introduced: covering.iter().map(|index| (*index, introduced.clone())).collect(),
            net: covering.iter().map(|index| (*index, changes(0, &all))).collect(),
            foreign: one.foreign,
            ..RefFacts::bare(RefUpdate { name: own, old: None, new: (!deleted).then(|| id(1, 0)) }, one.kind)
        }
    };
    let pusher = push.pusher.map(principal);
    let context = PushContext {
        request_id: RequestId::from_random([7; 16]),
        repository: RepositoryRef { id: RepositoryId("1".to_owned()), name: "app".to_owned() },
        pusher: match &pusher {
            None => Pusher::Unknown,
            Some(one) => Pusher::supposed(&one.name, "GL_USER", Some(Arc::clone(one))),
        },
        push_options: Vec::new(),
        received_at: Timestamp::from_second(NOW).unwrap(),
    };
    let blobs = push.commits.iter().enumerate().flat_map(|(n, commit)| {
        commit.changes.iter().enumerate().map(move |(at, one)| {
            let facts = BlobFacts {
                size: one.size,
                binary: one.program,
                program: one.program,
                lfs: None,
                target: Some(b"../../etc/passwd".to_vec()),
            };
            (id(3, n * 8 + at), facts)
        })
    });
    let refs: Vec<RefFacts> = push.refs.iter().enumerate().map(reference).collect();
    let names: RefNames = refs.iter().map(|one| one.name.clone()).collect();
    PushFacts {
        repository: RepositoryFacts {
            default_branch: Some(default.clone()),
            has_history: push.has_history,
            names,
            ..RepositoryFacts::default()
        },
        blobs: blobs.collect(),
        refs,
        commits: commits.iter().map(|commit| (commit.id, commit.clone())).collect(),
        pusher,
        ..PushFacts::bare(context)
    }
}

/// What is refused and by whom, whatever the order in which it was found.
fn refusals(verdict: &Verdict) -> BTreeSet<(String, String, Subject, Option<String>, String)> {
    let one = |violation: &countersign::policy::Violation| {
        let sets: BTreeSet<&String> = violation.rulesets.iter().collect();
        let what = format!("{} {sets:?}", violation.rule);
        let wanted = format!("{} {}", violation.seen, violation.wanted);
        (what, violation.reference.clone(), violation.subject, violation.path.clone(), wanted)
    };
    verdict.violations.iter().chain(&verdict.advisory).map(one).collect()
}

/// Which rules were asked on which ref, in which ruleset.
#[derive(Default)]
struct Asked(HashSet<(RefName, String, &'static str, Subject)>);

impl Observer for Asked {
    fn step(&mut self, scope: Scope<'_>, step: Step<'_>) {
        let set = scope.ruleset.name.clone();
        self.0.insert((scope.reference.name.clone(), set, step.rule.rule.name(), step.subject));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// Another rule in a ruleset never lets in what was refused without it.
    #[test]
    fn n15_a_rule_more_never_turns_a_refusal_into_an_accept(
        push in push(), sets in sets(), more in rule(), at in 0..3_usize
    ) {
        let mut tighter = sets.clone();
        let at = at % tighter.len();
        tighter[at].1.rules.push(more);
        let (before, after) = (policy(&sets), policy(&tighter));
        let refused = evaluate(&facts(&push, &before), &before).decision == Decision::Refuse;
        let still = evaluate(&facts(&push, &after), &after).decision == Decision::Refuse;
        prop_assert!(!refused || still, "{:?}", rules::ALL[more.0].name);
    }

    /// Another ruleset never lets in what was refused without it, wherever it stands.
    #[test]
    fn n15_a_ruleset_more_never_turns_a_refusal_into_an_accept(
        push in push(), sets in sets(), more in set(), at in 0..4_usize
    ) {
        let mut joined = sets.clone();
        joined.insert(at % (sets.len() + 1), (9, more));
        let (before, after) = (policy(&sets), policy(&joined));
        let refused = evaluate(&facts(&push, &before), &before).decision == Decision::Refuse;
        let still = evaluate(&facts(&push, &after), &after).decision == Decision::Refuse;
        prop_assert!(!refused || still);
    }

    /// Neither the order of the refs nor that of the rulesets means anything.
    #[test]
    fn the_order_of_refs_and_of_rulesets_means_nothing(
        push in push(), sets in sets(), refs in any::<prop::sample::Index>(), turn in any::<prop::sample::Index>()
    ) {
        let mut other = sets.clone();
        other.rotate_left(turn.index(sets.len()));
        other.reverse();
        let (before, after) = (policy(&sets), policy(&other));
        let one = facts(&push, &before);
        let mut two = facts(&push, &after);
        let count = two.refs.len();
        two.refs.rotate_left(refs.index(count));
        let (one, two) = (evaluate(&one, &before), evaluate(&two, &after));
        prop_assert_eq!(one.decision, two.decision);
        prop_assert_eq!(one.violation_count, two.violation_count);
        prop_assert_eq!(refusals(&one), refusals(&two));
    }

    /// An accept names, for every ref, the rulesets that judged it, and each of their rules was asked about
    /// everything that it judges.
    #[test]
    fn n15_an_accept_means_that_every_rule_was_asked(push in push(), sets in sets()) {
        let policy = policy(&sets);
        let facts = facts(&push, &policy);
        let mut asked = Asked::default();
        let verdict = evaluate_with(&facts, &policy, &mut asked);
        if verdict.decision == Decision::Refuse {
            return Ok(());
        }
        prop_assert_eq!(verdict.refs.len(), facts.refs.len());
        for (said, reference) in verdict.refs.iter().zip(&facts.refs) {
            prop_assert_eq!(&said.name, &reference.name);
            prop_assert_eq!(&said.rulesets[0].name, Ruleset::BUILTIN);
            for (index, set) in policy.rulesets.iter().enumerate() {
                if !set.covers("app", &reference.name, Some(&name("refs/heads/main"))) {
                    continue;
                }
                let own = said.rulesets.iter().find(|one| one.index == Some(index));
                prop_assert!(own.is_some(), "{} is not named", set.name);
                if own.unwrap().exempt {
                    prop_assert!(set.exempts(facts.pusher.as_deref()));
                    continue;
                }
                let deleted = reference.update.new.is_none();
                for one in set.rules() {
                    let rule = one.rule.name();
                    let was = |subject| {
                        asked.0.contains(&(reference.name.clone(), set.name.clone(), rule, subject))
                    };
                    let commits = one.rule.judges() == Judges::Commit;
                    prop_assert!(was(Subject::Ref) || (deleted && commits), "{rule}");
                    prop_assert!(reference.tags.iter().all(|tag| was(Subject::Tag(tag.id))), "{rule}");
                    let mut introduced = reference.introduced[&index].iter();
                    prop_assert!(!commits || introduced.all(|id| was(Subject::Commit(*id))), "{rule}");
                }
            }
        }
    }

    /// The same facts and the same policy give the same verdict to the byte, however they lie in memory.
    #[test]
    fn the_same_facts_give_the_same_bytes(push in push(), sets in sets()) {
        let judged = || {
            let policy = policy(&sets);
            format!("{:?}", evaluate(&facts(&push, &policy), &policy))
        };
        prop_assert_eq!(judged(), judged());
    }

    /// A rule judges a commit alike on all refs: what was accepted on one counts for the others (N7).
    #[test]
    fn n07_what_a_rule_says_of_a_commit_does_not_depend_on_the_ref(push in push(), own in rule()) {
        let set = Set {
            rules: vec![own], enforcement: Enforcement::Enforce, refs: "refs/**", bypass: None, actors: false,
        };
        let policy = policy(&[(0, set)]);
        let facts = facts(&push, &policy);
        let ruleset = &policy.rulesets[0];
        for commit in facts.commits.values() {
            let said: BTreeSet<bool> = facts
                .refs
                .iter()
                .filter(|one| one.update.new.is_some())
                .flat_map(|reference| {
                    let scope = Scope { facts: &facts, reference, ruleset, index: 0, policy: &policy };
                    ruleset.rules().iter().map(move |one| one.rule.check_commit(commit, scope).is_empty())
                        .collect::<Vec<_>>().into_iter().reduce(|a, b| a && b)
                })
                .collect();
            prop_assert!(said.len() <= 1, "{}", rules::ALL[own.0].name);
        }
    }
}

/// The models are no farce: every rule refuses some of what they make and lets some of it in, and pushes are
/// accepted, refused and let through.
#[test]
fn every_rule_refuses_something_and_lets_something_in() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    let pushes: Vec<Push> = (0..400).map(|_| push().new_tree(&mut runner).unwrap().current()).collect();
    let mut farce = Vec::new();
    for (place, kind) in rules::ALL.iter().enumerate() {
        let all = every_rule::options(kind.name).len();
        let set = |options, refs| Set {
            rules: vec![(place, options)],
            enforcement: Enforcement::Enforce,
            refs,
            bypass: None,
            actors: false,
        };
        let (mut refused, mut accepted) = (0, 0);
        let choices = (0..all).flat_map(|options| ["refs/**", "refs/heads/main"].map(|refs| (options, refs)));
        for policy in choices.map(|(options, refs)| policy(&[(0, set(options, refs))])) {
            for push in &pushes {
                let verdict = evaluate(&facts(push, &policy), &policy);
                let own = verdict.violations.iter().any(|one| one.rule == kind.name);
                refused += usize::from(own);
                accepted += usize::from(verdict.decision == Decision::Accept);
            }
        }
        if refused == 0 || accepted == 0 {
            farce.push(format!("{}: refused {refused}, accepted {accepted}", kind.name));
        }
    }
    assert!(farce.is_empty(), "{farce:#?}");
    let (mut accepted, mut refused, mut waived) = (0, 0, 0);
    for push in pushes.iter().cycle().take(2_000) {
        let policy = policy(&sets().new_tree(&mut runner).unwrap().current());
        let verdict = evaluate(&facts(push, &policy), &policy);
        match verdict.decision {
            Decision::Accept if verdict.waiver_count > 0 => waived += 1,
            Decision::Accept => accepted += 1,
            Decision::Refuse => refused += 1,
        }
    }
    assert!(accepted > 200 && refused > 200 && waived > 10, "{accepted} {refused} {waived}");
}
