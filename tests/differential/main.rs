//! The verifier beside others: thousands of signed and damaged objects, judged by this program, by git with
//! gpg and ssh-keygen, and by Sequoia's `sqv`. They are not expected to agree: what each difference is
//! must be known. Nothing may be accepted here that all of the others refuse.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, unreachable_pub)]

#[path = "../support/keys.rs"]
#[allow(dead_code, unreachable_pub)]
mod keys;

mod judges;
mod objects;
mod signers;

use countersign::domain::text;
use countersign::service::differences::{GitStatus, UNEXPLAINED, classify};
use judges::{Judges, Sqv};
use objects::{Kind, Random, Signed, mutate, mutations};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where the mutations begin; a failure names the number that makes the object again.
const SEED: u64 = 20_260_601;
/// Damaged objects, besides those that are as their keys signed them.
const DAMAGED: usize = 2_200;
/// As many as there are processors in the smallest machine that runs this.
const THREADS: usize = 2;

/// Why we and sqv differ: our word, whether it is sqv that accepts, and the reason. The first that fits.
const SQV: &[(&str, bool, &str)] = &[];

struct Object {
    seed: u64,
    name: String,
    kind: Kind,
    raw: Vec<u8>,
}

/// All objects: first every signed one as it is, then every mutation of some, then more by chance.
fn generate(signed: &[Signed]) -> Vec<Object> {
    let mut all: Vec<Object> = Vec::new();
    for one in signed {
        all.push(Object { seed: 0, name: one.name.clone(), kind: one.kind, raw: one.assemble() });
    }
    // Each way of damage at least once for each kind of object and signature, by the plainest keys.
    let mut turn: Vec<(&Signed, &'static str)> = Vec::new();
    for name in ["ed25519 commit", "ed25519 tag", "ssh-ed25519 commit", "ssh-ed25519 tag"] {
        let base = signed.iter().find(|one| one.name == name).unwrap();
        turn.extend(mutations(base).into_iter().map(|what| (base, what)));
    }
    for number in 0..DAMAGED as u64 {
        let seed = SEED + number;
        let mut random = Random::new(seed);
        let (base, what) = match turn.get(usize::try_from(number).unwrap()) {
            Some(one) => *one,
            None => {
                let base = random.pick(signed);
                (base, *random.pick(&mutations(base)))
            }
        };
        let raw = mutate(what, base, signed, &mut random);
        all.push(Object { seed, name: format!("{}: {what}", base.name), kind: base.kind, raw });
    }
    all
}

/// What came out for one object.
struct Outcome {
    ours: &'static str,
    accepts: bool,
    git: (bool, GitStatus),
    sqv: Sqv,
    /// The kinds of difference to git and to sqv.
    kinds: Vec<String>,
    faults: Vec<(&'static str, String)>,
}

fn judge(judges: &Judges, object: &Object, id: &str) -> Outcome {
    let verdict = judges.ours(object.kind, &object.raw);
    let ours = verdict.ours();
    let (gits, git_said) = judges.git(object.kind, id);
    let (sqv, sqv_said) = judges.sqv(object.kind, &object.raw, id);
    let accepts = ours.accepts();
    let mut kinds = Vec::new();
    let mut faults = Vec::new();
    let others = format!("git {:?}: {git_said}\nsqv {sqv:?}: {sqv_said}", gits.status);
    let mut fault = |what: &'static str| {
        let status = format!("{} ({:?})", verdict.word(), verdict.status);
        let shown = text::escape(&object.raw);
        let (seed, name) = (object.seed, &object.name);
        let shown = format!("  seed {seed}, {name}\n  we: {status}\n{others}\n  object {id}: {shown}\n");
        faults.push((what, shown));
    };
    if let Some(difference) = classify(&ours, &gits) {
        kinds.push(format!("git {}: {}", if gits.accepts { "accepts" } else { "refuses" }, difference.code));
        if difference.code == UNEXPLAINED {
            fault("an unexplained difference to git");
        }
    }
    if sqv != Sqv::NotAsked && accepts != (sqv == Sqv::Good) {
        let word = verdict.word();
        match SQV.iter().find(|(ours, good, _)| *ours == word && *good == (sqv == Sqv::Good)) {
            Some((_, good, why)) => {
                kinds.push(format!("sqv {}: {word}: {why}", if *good { "accepts" } else { "refuses" }));
            }
            None => fault("an unexplained difference to sqv"),
        }
    }
    if accepts && !gits.accepts && sqv != Sqv::Good {
        fault("accepted here and refused by everybody else");
    }
    Outcome { ours: verdict.word(), accepts, git: (gits.accepts, gits.status), sqv, kinds, faults }
}

fn have_sqv() -> bool {
    let mut sqv = Command::new("sqv");
    sqv.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    sqv.status().is_ok_and(|status| status.success())
}

#[test]
fn every_difference_to_git_and_sequoia_is_one_that_is_known() {
    assert!(have_sqv(), "sqv is needed: `apt-get install sqv`, or run scripts/test, which does so");
    // Not a fixed time: none of the others can be told another one than the clock's.
    let now = countersign::domain::Timestamp::now().as_second();
    let (signed, trust) = signers::Workshop::new(now).work();
    let judges = Judges::new(&trust, now);
    let objects = generate(&signed);
    assert!(objects.len() >= 2_000);
    let mut ids = vec![String::new(); objects.len()];
    for kind in [Kind::Commit, Kind::Tag] {
        let which: Vec<usize> = (0..objects.len()).filter(|at| objects[*at].kind == kind).collect();
        let raw: Vec<&[u8]> = which.iter().map(|at| &objects[*at].raw[..]).collect();
        for (at, id) in which.into_iter().zip(judges.store(kind, &raw)) {
            ids[at] = id;
        }
    }
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(object) = objects.get(at) else { break };
                    let outcome = judge(&judges, object, &ids[at]);
                    outcomes.lock().unwrap().push(outcome);
                }
            });
        }
    });
    report(&outcomes.into_inner().unwrap());
}

fn report(outcomes: &[Outcome]) {
    let mut table: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for one in outcomes {
        let git = if one.git.0 { "accepts" } else { one.git.1.name() };
        *table.entry((one.ours, git, one.sqv.name())).or_default() += 1;
        for kind in &one.kinds {
            *kinds.entry(kind).or_default() += 1;
        }
    }
    eprintln!("{} objects\n\n{:<28} {:<18} {:<8} objects", outcomes.len(), "we", "git", "sqv");
    for ((ours, git, sqv), count) in &table {
        eprintln!("{ours:<28} {git:<18} {sqv:<8} {count}");
    }
    eprintln!("\ndifferences by kind");
    for (kind, count) in &kinds {
        eprintln!("{count:>6}  {kind}");
    }
    let mut groups: BTreeMap<(&str, &str, &str, &str), Vec<&String>> = BTreeMap::new();
    for one in outcomes {
        for (what, shown) in &one.faults {
            let key = (*what, one.ours, one.git.1.name(), one.sqv.name());
            groups.entry(key).or_default().push(shown);
        }
    }
    for ((what, ours, git, sqv), faults) in &groups {
        eprintln!("\n{what}: {ours}, git {git}, sqv {sqv}: {} objects, one of them", faults.len());
        eprintln!("{}", faults[0]);
    }
    assert!(groups.is_empty(), "{} unexplained groups: see above", groups.len());
    // A harness in which nothing is ever accepted would find no difference either.
    let all = |one: &&Outcome| one.accepts && one.git.0 && one.sqv != Sqv::Refused;
    let agreed = outcomes.iter().filter(all).count();
    assert!(agreed >= 150, "only {agreed} objects are accepted by everybody");
    let refused = outcomes.iter().filter(|one| !one.accepts && !one.git.0).count();
    assert!(refused >= 500, "only {refused} objects are refused by everybody");
}
