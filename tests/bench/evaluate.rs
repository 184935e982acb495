//! The decision alone, on facts in memory: 200 rulesets, a repository of 10,000 refs, a push of 1,000
//! commits; and how it grows with each of these. Aimed at: 5 ms for 1,000 commits, and at most linear.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "../support/verified.rs"]
mod verified;

use countersign::domain::{
    ObjectId, ObjectKind, Principal, PrincipalKind, PushContext, Pusher, RefName, RefUpdate, RepositoryId,
    RepositoryRef, RequestId, Timestamp, UpdateKind,
};
use countersign::policy::facts::{
    CommitFacts, Person, PushFacts, RefFacts, RefNames, RepositoryFacts, SignatureFacts,
};
use countersign::policy::{
    Decision, Enforcement, Pattern, Refs, Ruleset, Rulesets, Uncovered, evaluate, rules,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;

const NOW: i64 = 1_748_736_000;

/// What every ruleset of the bench refuses: one rule or more of each group that is judged on facts
/// that are always there.
const REFUSE: &str = r#"
    unsigned-commit = true
    untrusted-signer = { allow = ["group:sre", "bot:renovate"] }
    identity-mismatch = true
    weak-signature = { min-bits = { rsa = 2048 } }
    force-push = true
    ref-deletion = true
    missing-ticket = { projects = ["OPS", "SEC"], where = ["subject", "trailer"] }
    message-format = { subject-max = 72 }
    work-in-progress = true
    unsafe-message = true
"#;

/// `count` rulesets of which every `covering`-th covers `main`, each the others with refs of its own; and the
/// ruleset that comes with them.
fn policy(count: usize, covering: usize) -> Rulesets {
    policy_of(&toml::from_str(REFUSE).unwrap(), count, covering)
}

/// The same with rulesets that refuse this.
fn policy_of(table: &toml::Table, count: usize, covering: usize) -> Rulesets {
    let built = |refuse: &toml::Table| -> Vec<_> {
        refuse.iter().filter_map(|(name, value)| rules::build(name, value).unwrap()).collect()
    };
    let mut rulesets: Vec<Ruleset> = (0..count)
        .map(|n| {
            let own = format!("refs/heads/team-{n}/**");
            let refs = if n % (count / covering) == 0 {
                Refs::new(["refs/heads/main", &own, "!refs/heads/team-*/wip/**"])
            } else {
                Refs::new([&own, "refs/heads/release/*-hotfix", "!refs/heads/team-*/wip/**"])
            };
            let repositories = vec![Pattern::new("infra/**").unwrap()];
            Ruleset::new(&format!("set-{n}"), repositories, refs.unwrap(), Enforcement::Enforce, built(table))
                .unwrap()
        })
        .collect();
    let all: toml::Table =
        toml::from_str("ref-name = true\nref-shadowing = true\nforeign-object = true").unwrap();
    rulesets.extend(Ruleset::by_default(&rulesets, built(&all)));
    Rulesets { rulesets, uncovered: Uncovered::Accept }
}

fn id(n: usize) -> ObjectId {
    let mut raw = [1; 20];
    raw[12..].copy_from_slice(&(n as u64).to_be_bytes());
    ObjectId::from_bytes(&raw).unwrap()
}

fn name(text: &str) -> RefName {
    RefName::parse(text.as_bytes()).unwrap()
}

/// A push of a line of signed commits to `main`, and as many other branches as asked for at its tip, to a
/// repository with 10,000 refs.
fn facts(policy: &Rulesets, commits: usize, branches: usize) -> PushFacts {
    let status = verified::verified_with("ed25519", NOW);
    let at = Timestamp::from_second(NOW).unwrap();
    let alice = Arc::new(Principal {
        name: "alice".to_owned(),
        kind: PrincipalKind::Person,
        emails: vec!["alice@example.org".to_owned()],
        groups: vec!["sre".to_owned()],
    });
    let person =
        Person { name: b"Alice".to_vec(), email: b"alice@example.org".to_vec(), ..Person::default() };
    let commit = |n: usize| CommitFacts {
        parents: n.checked_sub(1).map(id).into_iter().collect(),
        message: format!("OPS-{}: change what is to be changed\n\nAnd say why, in a line or two.\n", n + 1)
            .into_bytes(),
        author: person.clone(),
        committer: person.clone(),
        ..CommitFacts::bare(
            id(n),
            SignatureFacts { status: status.clone(), principal: Some(Arc::clone(&alice)), judged_at: at },
        )
    };
    let tip = id(commits - 1);
    let reference = |text: &str, introduced: Vec<ObjectId>| {
        let name = name(text);
        let covering = policy.covering("infra/app", &name, None);
        RefFacts {
            tip_kind: Some(ObjectKind::Commit),
            leads_to: Some(ObjectKind::Commit),
            introduced: covering.into_iter().map(|index| (index, introduced.clone())).collect(),
            ..RefFacts::bare(RefUpdate { name, old: None, new: Some(tip) }, UpdateKind::Create)
        }
    };
    let mut refs = vec![reference("refs/heads/main", (0..commits).map(id).collect())];
    refs.extend((1..branches).map(|n| reference(&format!("refs/heads/team-{}/{n}", n % 400), Vec::new())));
    let names = (0..10_000).map(|n| name(&format!("refs/heads/team-{}/{n}", n % 400))).collect::<RefNames>();
    let context = PushContext {
        request_id: RequestId::from_random([7; 16]),
        repository: RepositoryRef { id: RepositoryId("1".to_owned()), name: "infra/app".to_owned() },
        pusher: Pusher::Unknown,
        push_options: Vec::new(),
        received_at: at,
    };
    PushFacts {
        refs,
        commits: (0..commits).map(|n| (id(n), commit(n))).collect(),
        repository: RepositoryFacts { has_history: true, names, ..RepositoryFacts::default() },
        ..PushFacts::bare(context)
    }
}

fn measure(
    criterion: &mut Criterion,
    group: &str,
    cases: impl IntoIterator<Item = (usize, Rulesets, PushFacts)>,
) {
    let mut group = criterion.benchmark_group(group);
    for (figure, policy, facts) in cases {
        let verdict = evaluate(&facts, &policy);
        assert_eq!(verdict.decision, Decision::Accept, "{:?}", verdict.violations.first());
        group.throughput(Throughput::Elements(facts.commits.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(figure), |bencher| {
            bencher.iter(|| evaluate(black_box(&facts), black_box(&policy)));
        });
    }
    group.finish();
}

fn all(criterion: &mut Criterion) {
    let case = |figure, rulesets, covering, commits, refs| {
        let policy = policy(rulesets, covering);
        let facts = facts(&policy, commits, refs);
        (figure, policy, facts)
    };
    measure(criterion, "commits", [250, 500, 1_000, 2_000, 4_000].map(|n| case(n, 200, 1, n, 1)));
    measure(criterion, "rulesets", [50, 100, 200, 400].map(|n| case(n, n, 1, 1_000, 1)));
    measure(criterion, "covering rulesets", [1, 2, 5, 10, 200].map(|n| case(n, 200, n, 1_000, 1)));
    measure(criterion, "refs that move", [1, 10, 100, 1_000, 10_000].map(|n| case(n, 200, 1, 1_000, n)));
}

/// Each rule by itself, in one ruleset.
fn each(criterion: &mut Criterion) {
    let table: toml::Table = toml::from_str(REFUSE).unwrap();
    let mut group = criterion.benchmark_group("rule");
    for (name, value) in table {
        let policy = policy_of(&toml::Table::from_iter([(name.clone(), value)]), 1, 1);
        let facts = facts(&policy, 1_000, 1);
        group
            .bench_function(name, |bencher| bencher.iter(|| evaluate(black_box(&facts), black_box(&policy))));
    }
    group.finish();
}

criterion_group!(benches, all, each);
criterion_main!(benches);
