//! The verifier beside others: thousands of signed and damaged objects, judged by this program, by git with
//! gpg and ssh-keygen, and by Sequoia's `sqv`. They are not expected to agree: what each difference is
//! must be known. Nothing may be accepted here that all of the others refuse.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, unreachable_pub)]

#[path = "../support/crafted.rs"]
mod crafted;
#[path = "../support/keys.rs"]
mod keys;
#[path = "../support/ssh_craft.rs"]
mod ssh_craft;

mod certificates;
mod judges;
mod objects;
mod odd_keys;
mod signers;

use countersign::domain::text;
use countersign::service::differences::{GitStatus, UNEXPLAINED, classify};
use judges::{Judges, Sqv};
use objects::{Kind, Random, Signed, mutate, mutations};
use std::collections::{BTreeMap, HashSet};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where the mutations begin; a failure names the number that makes the object again.
const SEED: u64 = 20_260_601;
/// Damaged objects, besides those that are as their keys signed them.
const DAMAGED: usize = 2_800;
/// As many as there are processors in the smallest machine that runs this.
const THREADS: usize = 2;

/// Behind the name of an object whose signature repeats other octets than the digest's first two.
const ANOTHER_PREFIX: &str = " (another prefix)";

/// A difference that is known.
struct Known {
    /// Our word; all that begin so, where it ends with `*`.
    ours: &'static str,
    /// Whether it is the other who accepts.
    accepts: bool,
    /// How the object's name ends, and what the other says; empty for any.
    how: &'static str,
    said: &'static str,
    why: &'static str,
}

const fn accepts(ours: &'static str, why: &'static str) -> Known {
    Known { ours, accepts: true, how: "", said: "", why }
}

/// Why we and sqv differ: the first that fits.
const SQV: &[Known] = &[
    accepts("obj.*", "it sees a payload and no object, so that the object's grammar is no matter to it"),
    accepts("sig.smuggled_header", "how git takes the signature out of the object is no matter to it"),
    accepts("sig.multiple_headers", "how git takes the signature out of the object is no matter to it"),
    accepts("sig.misplaced_header", "how git takes the signature out of the object is no matter to it"),
    accepts("sig.armor", "it reads blanks, odd heads and odd lines in an armor"),
    accepts("sig.cr", "it reads an armor with carriage returns"),
    accepts("sig.label", "it reads any text on the END line, and signatures called messages"),
    accepts("sig.leading", "it reads text before the BEGIN line and behind it"),
    accepts("sig.trailing", "it reads nothing behind the END line"),
    accepts("sig.truncated", "it needs no END line"),
    accepts(
        "sig.multiple_packets",
        "one good signature among several is enough for it; it skips marker packets",
    ),
    accepts("sig.multiple_blocks", "it reads the first armor only"),
    accepts("pgp.packet", "it skips marker packets and reads partial and indeterminate lengths"),
    accepts("pgp.duplicate_subpacket", "of a subpacket that is there twice it takes one"),
    accepts("pgp.issuer", "who an unsigned hint names is no matter to it; here hints must not contradict"),
    accepts("pgp.critical_*", "critical subpackets count in the hashed area only"),
    accepts("time.*", "it does not know the object's time"),
    accepts(
        "expired",
        "it asks whether the key was valid when it signed, not whether it is valid at the receipt",
    ),
    accepts("revoked", "it accepts what was signed before a soft revocation, and does not know the keyring"),
    accepts("unsupported", "it accepts text signatures"),
    accepts("weak-algorithm", "it accepts SHA-224, and DSA until 2030"),
    Known {
        ours: "bad",
        accepts: true,
        how: ANOTHER_PREFIX,
        said: "",
        why: "it does not look at the two octets of the digest that a signature repeats",
    },
    Known {
        ours: "verified",
        accepts: false,
        how: "",
        said: "was created after the --not-after date",
        why: "a signature of the future is refused at once; here a clock may be minutes wrong",
    },
    Known {
        ours: "verified",
        accepts: false,
        how: ": a number with leading zeros",
        said: "Malformed",
        why: "it refuses numbers with leading zeros; old programs wrote such",
    },
];

/// Differences to git that `service::differences` leaves to be looked at, or of which it says less. These
/// were looked at.
const GIT: &[Known] = &[
    Known {
        ours: "bad",
        accepts: true,
        how: ANOTHER_PREFIX,
        said: "GOODSIG",
        why: "gpg does not look at the two octets of the digest that a signature repeats",
    },
    Known {
        ours: "bad",
        accepts: true,
        how: ": s of the other sign",
        said: "with ED25519",
        why: "OpenSSH accepts Ed25519 numbers that are not reduced, so that one signature has several forms",
    },
    Known {
        ours: "verified",
        accepts: false,
        how: "",
        said: "[GNUPG:] NODATA 4",
        why: "gpg does not read an armor whose checksum is wrong; it is optional, and proves nothing",
    },
    Known {
        ours: "verified",
        accepts: false,
        how: "",
        said: "[GNUPG:] NODATA 1",
        why: "gpg says that the signature is good, and fails for want of a checksum at the armor's end",
    },
];

fn known(all: &'static [Known], ours: &str, accepts: bool, how: &str, said: &str) -> Option<&'static Known> {
    all.iter().find(|one| {
        let fits = match one.ours.strip_suffix('*') {
            Some(start) => ours.starts_with(start),
            None => ours == one.ours,
        };
        fits && one.accepts == accepts && how.ends_with(one.how) && said.contains(one.said)
    })
}

struct Object {
    seed: u64,
    name: String,
    kind: Kind,
    raw: Vec<u8>,
    /// It was made of an object that is accepted, by one change: it is wrong in nothing else.
    near: bool,
}

/// All objects: first every signed one as it is, then every mutation of some, then more by chance, three
/// of four of them made of what is accepted.
fn generate(signed: &[Signed], judges: &Judges) -> Vec<Object> {
    let mut all: Vec<Object> = Vec::new();
    for one in signed {
        all.push(Object {
            seed: 0,
            name: one.name.clone(),
            kind: one.kind,
            raw: one.assemble(),
            near: false,
        });
    }
    let accepted = |one: &&Signed| judges.ours(one.kind, &one.assemble()).ours().accepts();
    let good: Vec<&Signed> = signed.iter().filter(accepted).collect();
    // Each way of damage at least once for each kind of object and signature, by the plainest keys.
    let mut turn: Vec<(&Signed, &'static str)> = Vec::new();
    for name in PLAINEST {
        let base = signed.iter().find(|one| one.name == name).unwrap();
        turn.extend(mutations(base).into_iter().map(|what| (base, what)));
    }
    for number in 0..DAMAGED as u64 {
        let seed = SEED + number;
        let mut random = Random::new(seed);
        let (base, what) = match turn.get(usize::try_from(number).unwrap()) {
            Some(one) => *one,
            None => {
                let base =
                    if random.below(4) > 0 { random.pick::<&Signed>(&good) } else { random.pick(signed) };
                (base, *random.pick(&mutations(base)))
            }
        };
        let raw = mutate(what, base, signed, &mut random);
        let near = good.iter().any(|one| one.name == base.name) && raw != base.assemble();
        all.push(Object { seed, name: format!("{}: {what}", base.name), kind: base.kind, raw, near });
    }
    all
}

/// One of each algorithm, by which every way of damage is tried.
const PLAINEST: [&str; 12] = [
    "ed25519 commit",
    "ed25519 tag",
    "rsa2048 commit",
    "p256 commit",
    "version 6 Ed25519 commit",
    "ssh-ed25519 commit",
    "ssh-ed25519 tag",
    "ssh-p256 commit",
    "ssh-rsa2048 commit",
    "sk-ed25519 touched commit",
    "sk-p256 touched tag",
    "a certificate commit",
];

/// What came out for one object.
struct Outcome {
    name: String,
    ours: &'static str,
    accepts: bool,
    near: bool,
    git: (bool, GitStatus),
    sqv: Sqv,
    /// The kinds of difference to git and to sqv.
    kinds: Vec<String>,
    faults: Vec<(&'static str, String)>,
}

fn judge(judges: &Judges, object: &Object, id: &str, signed: &HashSet<&[u8]>) -> Outcome {
    let verdict = judges.ours(object.kind, &object.raw);
    let ours = verdict.ours();
    let (gits, git_said) = judges.git(object.kind, id);
    // Two mutations can give the same bytes, and may be judged at the same time.
    let own = format!("{id}-{}", object.seed);
    let (sqv, sqv_said) = judges.sqv(object.kind, &object.raw, &own);
    let accepts = ours.accepts();
    let mut kinds = Vec::new();
    let mut faults = Vec::new();
    let said = format!("git {:?}: {git_said}\nsqv {sqv:?}: {sqv_said}", gits.status);
    let mut fault = |what: &'static str| {
        let status = format!("{} ({:?})", verdict.word(), verdict.status);
        let shown = text::escape(&object.raw);
        let (seed, name) = (object.seed, &object.name);
        let shown = format!("  seed {seed}, {name}\n  we: {status}\n{said}\n  object {id}: {shown}\n");
        faults.push((what, shown));
    };
    let word = verdict.word();
    let prefix = if Judges::has_another_prefix(object.kind, &object.raw) { ANOTHER_PREFIX } else { "" };
    let name = format!("{}{prefix}", object.name);
    // Keys that are newer than both: somebody else has to say that the numbers fit.
    let others = gits.accepts || sqv == Sqv::Good;
    let openssl = accepts && !others && judges.openssl(object.kind, &object.raw, &own);
    if let Some(difference) = classify(&ours, &gits) {
        let verb = if gits.accepts { "accepts" } else { "refuses" };
        // What is known here is told more exactly there.
        if let Some(one) = known(GIT, word, gits.accepts, &name, &git_said).filter(|_| !openssl) {
            kinds.push(format!("git {verb}: {word}: {}", one.why));
        } else if difference.code != UNEXPLAINED {
            kinds.push(format!("git {verb}: {}", difference.code));
        } else {
            fault("an unexplained difference to git");
        }
    }
    if sqv != Sqv::NotAsked && accepts != (sqv == Sqv::Good) {
        let verb = if accepts { "refuses" } else { "accepts" };
        match known(SQV, word, !accepts, &name, &sqv_said) {
            _ if openssl => kinds.push("sqv refuses: verified: it does not know the key's kind".to_owned()),
            Some(one) => kinds.push(format!("sqv {verb}: {}: {}", one.ours, one.why)),
            None => fault("an unexplained difference to sqv"),
        }
    }
    if openssl {
        kinds.push("openssl alone agrees: gpg 2.2 and sqv 1.1 do not know the key's kind".to_owned());
    } else if accepts && !others {
        fault("accepted here and refused by everybody else");
    }
    if accepts && !signed.contains(&Judges::payload(object.kind, &object.raw)[..]) {
        fault("accepted here, and no key signed it");
    }
    let git = (gits.accepts, gits.status);
    Outcome { name, ours: verdict.word(), accepts, near: object.near, git, sqv, kinds, faults }
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
    let objects = generate(&signed, &judges);
    assert!(objects.len() >= 2_000);
    let payloads: HashSet<&[u8]> = signed.iter().map(|one| &one.payload[..]).collect();
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
                    let outcome = judge(&judges, object, &ids[at], &payloads);
                    outcomes.lock().unwrap().push(outcome);
                }
            });
        }
    });
    report(&outcomes.into_inner().unwrap());
}

fn report(outcomes: &[Outcome]) {
    let mut table: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    let mut kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for one in outcomes {
        let git = if one.git.0 { "accepts" } else { one.git.1.name() };
        *table.entry((one.ours, git, one.sqv.name())).or_default() += 1;
        for kind in &one.kinds {
            kinds.entry(kind).or_default().push(&one.name);
        }
    }
    eprintln!("{} objects\n\n{:<28} {:<18} {:<8} objects", outcomes.len(), "we", "git", "sqv");
    for ((ours, git, sqv), count) in &table {
        eprintln!("{ours:<28} {git:<18} {sqv:<8} {count}");
    }
    eprintln!("\ndifferences by kind");
    for (kind, names) in &mut kinds {
        names.sort_unstable();
        eprintln!("{:>6}  {kind} ({})", names.len(), names[0]);
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
    // Nor would one whose objects are all broken beyond doubt: most are one step from being accepted.
    let near: Vec<&Outcome> = outcomes.iter().filter(|one| one.near).collect();
    let alone = near.iter().filter(|one| !one.accepts && (one.git.0 || one.sqv == Sqv::Good)).count();
    let kept = near.iter().filter(|one| one.accepts).count();
    eprintln!(
        "\n{} are one step from an accepted one: {kept} accepted, {alone} refused here alone",
        near.len()
    );
    assert!(near.len() >= 1_500 && kept >= 100 && alone >= 400, "{} near, {kept}, {alone}", near.len());
}
