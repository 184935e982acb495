//! Properties of the decision over random facts and rulesets.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/verified.rs"]
mod verified;

use countersign::domain::{
    ObjectId, ObjectKind, Principal, PrincipalKind, PushContext, Pusher, RefName, RefUpdate, RepositoryId,
    RepositoryRef, RequestId, Timestamp, UpdateKind,
};
use countersign::policy::facts::{CommitFacts, Person, PushFacts, RefFacts, SignatureFacts, TagFacts};
use countersign::policy::{
    Decision, Enforcement, Pattern, Refs, Ruleset, Rulesets, Subject, Uncovered, Verdict, evaluate, rules,
};
use countersign::signature::{KeyId, Scheme, SignatureStatus};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

const NOW: i64 = 1_748_736_000;

// ---------------------------------------------------------------------------------------------------
// A model of what is pushed, and of a keyring that keys can be taken out of

/// Keys: two of alice, then one each of bob, of the forge, and of a bot without addresses.
const OWNERS: [(&str, PrincipalKind, &[&str], &[&str]); 5] = [
    ("alice", PrincipalKind::Person, &["sre"], &["alice@example.org"]),
    ("alice", PrincipalKind::Person, &["sre"], &["alice@example.org"]),
    ("bob", PrincipalKind::Person, &[], &["bob@example.org", "bob@example.net"]),
    ("web-flow", PrincipalKind::Forge, &[], &["noreply@forge.example"]),
    ("renovate", PrincipalKind::Bot, &["sre"], &[]),
];
const EMAILS: [&str; 7] = [
    "alice@example.org",
    "alice@EXAMPLE.org",
    "Alice@example.org",
    "bob@example.net",
    "noreply@forge.example",
    "mallory@example.com",
    "",
];

/// What a signature turns out to be while its key is in the keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    Verified,
    Bad,
    Expired,
    NotYetValid,
    Revoked,
    WrongPurpose,
    Weak,
}

#[derive(Clone, Debug)]
enum Signed {
    Not,
    Malformed,
    Unsupported,
    By(usize, Worth),
}

#[derive(Clone, Debug)]
struct Object {
    signed: Signed,
    emails: (usize, usize),
}

#[derive(Clone, Debug)]
struct Push {
    commits: Vec<Object>,
    tags: Vec<Object>,
    /// Which commits are new, for each of two refs.
    new: [Vec<bool>; 2],
}

fn signed() -> impl Strategy<Value = Signed> {
    let worth = prop_oneof![
        12 => Just(Worth::Verified),
        1 => Just(Worth::Bad),
        1 => Just(Worth::Expired),
        1 => Just(Worth::NotYetValid),
        1 => Just(Worth::Revoked),
        1 => Just(Worth::WrongPurpose),
        1 => Just(Worth::Weak),
    ];
    prop_oneof![
        1 => Just(Signed::Not),
        1 => Just(Signed::Malformed),
        1 => Just(Signed::Unsupported),
        24 => (0..OWNERS.len(), worth).prop_map(|(key, worth)| Signed::By(key, worth)),
    ]
}

fn object() -> impl Strategy<Value = Object> {
    // Mostly an address of the signer's, so that accepted pushes are not rare.
    (signed(), 0..EMAILS.len(), 0..EMAILS.len(), 0..4_usize).prop_map(|(signed, first, second, own)| {
        let emails = match (&signed, own) {
            (Signed::By(0 | 1, _), 1..) => (0, first),
            (Signed::By(2, _), 1..) => (3, first),
            (Signed::By(3, _), 1..) => (4, first),
            _ => (first, second),
        };
        Object { signed, emails }
    })
}

fn push() -> impl Strategy<Value = Push> {
    let new = || vec(any::<bool>(), 4);
    (vec(object(), 0..4), vec(object(), 0..3), new(), new()).prop_map(|(commits, tags, first, second)| Push {
        commits,
        tags,
        new: [first, second],
    })
}

/// Lines for `[ruleset.refuse]`; at least one rule is on.
fn refuse() -> impl Strategy<Value = toml::Table> {
    let allow = prop_oneof![
        Just("true"),
        Just("{ allow = [\"group:sre\"] }"),
        Just("{ allow = [\"kind:person\", \"forge:web-flow\"] }"),
        Just("{ allow = [\"person:bob\"] }"),
        Just("{ deny = [\"person:bob\", \"kind:bot\"] }"),
        Just("{ of = \"tag\", allow = [\"group:sre\"] }"),
        Just("{ of = [\"commit\", \"tag\"], allow = [\"kind:person\"], deny = [\"person:bob\"] }"),
        Just("{ refs = { \"refs/heads/*\" = [\"group:sre\"] } }"),
    ];
    let identity = prop_oneof![
        Just("true"),
        Just("{ match = \"committer\" }"),
        Just("{ match = [\"committer-or-author\", \"tagger\"] }"),
        Just("{ match = \"tagger\", except = [\"forge:web-flow\"] }"),
        Just("{ except = [\"forge:web-flow\", \"bot:renovate\"] }"),
    ];
    let bad = prop_oneof![Just("true"), Just("{ tags = true }")];
    let tag = prop_oneof![Just("true"), Just("{ nested = \"skip\" }")];
    let bad = proptest::option::of(bad);
    let (allow, identity) = (proptest::option::of(allow), proptest::option::of(identity));
    (any::<bool>(), bad, allow, identity, proptest::option::weighted(0.3, tag)).prop_map(
        |(unsigned, bad, allow, identity, tag)| {
            let mut text = String::new();
            let mut line = |name: &str, value: Option<&str>| {
                text.extend(value.map(|value| format!("{name} = {value}\n")));
            };
            line("unsigned-commit", unsigned.then_some("true"));
            line("untrusted-signer", allow);
            line("identity-mismatch", identity);
            line("unsigned-tag", tag);
            // What is left to a rule about commits has one of those.
            let none = !unsigned && identity.is_none();
            line("bad-signature", bad.or(none.then_some("true")));
            toml::from_str(&text).unwrap()
        },
    )
}

fn policy() -> impl Strategy<Value = Vec<(toml::Table, bool)>> {
    vec((refuse(), prop::bool::weighted(0.8)), 1..3)
}

// ---------------------------------------------------------------------------------------------------
// From the model to facts

/// A status that says `verified`, which nobody can make but by verifying.
static VERIFIED: LazyLock<SignatureStatus> = LazyLock::new(|| verified::verified_with("ed25519", NOW));

fn id(kind: u8, n: usize) -> ObjectId {
    let mut raw = [kind; 20];
    raw[19] = u8::try_from(n).unwrap();
    ObjectId::from_bytes(&raw).unwrap()
}

/// What the gate knows of a signature with this keyring.
fn signature(signed: &Signed, keyring: &BTreeSet<usize>) -> SignatureFacts {
    let at = Timestamp::from_second(NOW).unwrap();
    let status = match signed {
        Signed::Not => SignatureStatus::Unsigned,
        Signed::Malformed => SignatureStatus::Malformed { code: "sig.trailing", why: "x".to_owned() },
        Signed::Unsupported => SignatureStatus::Unsupported { what: "x".to_owned() },
        Signed::By(n, worth) => {
            let key = KeyId { scheme: Scheme::Ssh, text: format!("SHA256:{n}") };
            match worth {
                _ if !keyring.contains(n) => SignatureStatus::UnknownKey { key },
                Worth::Verified => VERIFIED.clone(),
                Worth::Bad => SignatureStatus::Bad { key },
                Worth::Expired => SignatureStatus::Expired { key, what: "key", at },
                Worth::NotYetValid => SignatureStatus::NotYetValid { key, what: "key", from: at },
                Worth::Revoked => SignatureStatus::Revoked { key, reason: "retired".to_owned(), hard: false },
                Worth::WrongPurpose => {
                    SignatureStatus::WrongPurpose { key, why: "x".to_owned(), remedy: "y" }
                }
                Worth::Weak => SignatureStatus::WeakAlgorithm { key, what: "x".to_owned() },
            }
        }
    };
    let owner = match signed {
        Signed::By(n, _) if keyring.contains(n) => Some(OWNERS[*n]),
        _ => None,
    };
    let owned = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect::<Vec<String>>();
    let principal = owner.map(|(name, kind, groups, emails)| {
        Arc::new(Principal { name: name.to_owned(), kind, emails: owned(emails), groups: owned(groups) })
    });
    SignatureFacts { status, principal, judged_at: at }
}

fn facts(push: &Push, policy: &Rulesets, keyring: &BTreeSet<usize>) -> PushFacts {
    let email = |n: usize| EMAILS[n].as_bytes().to_vec();
    let commits: Vec<CommitFacts> = push
        .commits
        .iter()
        .enumerate()
        .map(|(n, object)| CommitFacts {
            parents: n.checked_sub(1).map(|parent| id(1, parent)).into_iter().collect(),
            message: b"x\n".to_vec(),
            committer: Person { email: email(object.emails.0), ..Person::default() },
            author: Person { email: email(object.emails.1), ..Person::default() },
            ..CommitFacts::bare(id(1, n), signature(&object.signed, keyring))
        })
        .collect();
    let tip = id(1, push.commits.len().saturating_sub(1));
    let tags: Vec<TagFacts> = push
        .tags
        .iter()
        .enumerate()
        .map(|(n, object)| {
            let target = if n + 1 < push.tags.len() { id(2, n + 1) } else { tip };
            let tagger = Person { email: email(object.emails.0), ..Person::default() };
            let bare = TagFacts::bare(id(2, n), target, b"v1", signature(&object.signed, keyring));
            TagFacts { tagger: Some(tagger), ..bare }
        })
        .collect();
    let reference = |at: usize, name: &str| {
        let name = RefName::parse(name.as_bytes()).unwrap();
        let introduced: Vec<ObjectId> =
            commits.iter().zip(&push.new[at]).filter(|(_, new)| **new).map(|(commit, _)| commit.id).collect();
        let covering = policy.covering("app", &name, None);
        RefFacts {
            tip_kind: Some(ObjectKind::Commit),
            leads_to: Some(ObjectKind::Commit),
            tags: if at == 0 { tags.clone() } else { Vec::new() },
            introduced: covering.into_iter().map(|index| (index, introduced.clone())).collect(),
            ..RefFacts::bare(RefUpdate { name, old: None, new: Some(tip) }, UpdateKind::Create)
        }
    };
    let context = PushContext {
        request_id: RequestId::from_random([7; 16]),
        repository: RepositoryRef { id: RepositoryId("1".to_owned()), name: "app".to_owned() },
        pusher: Pusher::Unknown,
        push_options: Vec::new(),
        received_at: Timestamp::from_second(NOW).unwrap(),
    };
    PushFacts {
        refs: vec![reference(0, "refs/tags/v1"), reference(1, "refs/heads/main")],
        commits: commits.iter().map(|commit| (commit.id, commit.clone())).collect(),
        ..PushFacts::bare(context)
    }
}

fn rulesets(spec: &[(toml::Table, bool)]) -> Rulesets {
    let build = |(n, (refuse, enforce)): (usize, &(toml::Table, bool))| {
        let rules = refuse.iter().filter_map(|(name, value)| rules::build(name, value).unwrap()).collect();
        let enforcement = if *enforce { Enforcement::Enforce } else { Enforcement::Evaluate };
        let (repositories, refs) = (vec![Pattern::new("**").unwrap()], Refs::new(["refs/**"]).unwrap());
        Ruleset::new(&format!("set-{n}"), repositories, refs, enforcement, rules).unwrap()
    };
    let rulesets = spec.iter().enumerate().map(build).flat_map(Ruleset::split).collect();
    Rulesets { rulesets, uncovered: Uncovered::Accept }
}

/// What is refused, whatever the rule that says so.
fn refused(verdict: &Verdict) -> BTreeSet<(String, Subject, Vec<String>)> {
    let all = verdict.violations.iter().chain(&verdict.advisory);
    all.flat_map(|one| one.rulesets.iter().map(|set| (one.reference.clone(), one.subject, vec![set.clone()])))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// A key that is taken out of the keyring lets nothing in: no push, and no object under any ruleset.
    #[test]
    fn a_key_less_never_turns_a_refusal_into_an_accept(push in push(), spec in policy(), out in 0..OWNERS.len()) {
        let policy = rulesets(&spec);
        let with: BTreeSet<usize> = (0..OWNERS.len()).collect();
        let without: BTreeSet<usize> = with.iter().copied().filter(|key| *key != out).collect();
        let before = evaluate(&facts(&push, &policy, &with), &policy);
        let after = evaluate(&facts(&push, &policy, &without), &policy);
        if before.decision == Decision::Refuse {
            prop_assert_eq!(after.decision, Decision::Refuse);
        }
        let (before, after) = (refused(&before), refused(&after));
        prop_assert!(before.is_subset(&after), "{:?}", before.difference(&after));
    }

    /// Without any key, nothing that carries a signature passes a ruleset that judges it.
    #[test]
    fn an_empty_keyring_verifies_nothing(push in push(), spec in policy()) {
        let policy = rulesets(&spec);
        let verdict = evaluate(&facts(&push, &policy, &BTreeSet::new()), &policy);
        let signed = |n: &usize| push.new[1][*n] && !matches!(push.commits[*n].signed, Signed::Not);
        let refused = refused(&verdict);
        for n in (0..push.commits.len()).filter(signed) {
            for set in &policy.rulesets {
                let wanted =
                    ("refs/heads/main".to_owned(), Subject::Commit(id(1, n)), vec![set.name.clone()]);
                prop_assert!(refused.contains(&wanted), "{:?} {}", push.commits[n], set.name);
            }
        }
    }

    /// Every object is reported at most once on a ref by one ruleset (N17).
    #[test]
    fn n17_an_object_is_reported_once(push in push(), spec in policy()) {
        let policy = rulesets(&spec[..1]);
        let with: BTreeSet<usize> = (0..OWNERS.len()).collect();
        let verdict = evaluate(&facts(&push, &policy, &with), &policy);
        let all = verdict.violations.iter().chain(&verdict.advisory);
        let found: usize = all.map(|one| one.rulesets.len()).sum();
        prop_assert_eq!(refused(&verdict).len(), found, "{:?}", verdict.violations);
    }
}

/// The model is no farce: both outcomes are frequent, and taking a key out changes some of them.
#[test]
fn random_pushes_are_accepted_and_refused() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (mut accepted, mut refused, mut changed) = (0, 0, 0);
    for _ in 0..1_000 {
        let push = push().new_tree(&mut runner).unwrap().current();
        let policy = rulesets(&policy().new_tree(&mut runner).unwrap().current());
        let with: BTreeSet<usize> = (0..OWNERS.len()).collect();
        let without = BTreeSet::from([1, 2, 3, 4]);
        let judge = |keyring| evaluate(&facts(&push, &policy, keyring), &policy).decision == Decision::Accept;
        match (judge(&with), judge(&without)) {
            (true, false) => changed += 1,
            (true, true) => accepted += 1,
            (false, _) => refused += 1,
        }
    }
    assert!(accepted > 150 && refused > 150 && changed > 15, "{accepted} {refused} {changed}");
}
