//! Taking back what a forge should not have let in (N32).

use crate::forge::{Forge, ZERO, private};
use crate::support::forge_api::{Answer, ForgeApi};
use crate::support::signers::Signer;
use crate::support::wait_for;
use countersign::domain::{ObjectFormat, ObjectId, RefName, RepositoryId};
use countersign::git::{Address, Credential, Patience, Place, Remote};
use serde_json::Value;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(60);
const MAIN: &str = "refs/heads/main";

/// A forge whose source has these keys, judged from now on.
fn scene(keys: &str) -> Forge {
    let mut forge = Forge::prepared();
    forge.source = keys.to_owned();
    forge.start();
    forge.adopt();
    forge
}

fn records(forge: &Forge) -> Vec<Value> {
    forge.gate.audit().into_iter().filter(|one| one["kind"] == "restore").collect()
}

#[track_caller]
fn record(forge: &Forge, step: &str) -> Value {
    wait_for(&format!("a restore that is {step}"), SOON, || {
        records(forge).into_iter().find(|one| one["step"] == step)
    })
}

fn at_the_forge(forge: &Forge, reference: &str) -> Option<String> {
    let ran = forge.gate.sandbox.git(&forge.bare, &["rev-parse", "--quiet", "--verify", reference]);
    ran.status.success().then(|| ran.line().to_owned())
}

#[test]
fn n32_a_branch_goes_back_to_the_newest_commit_that_passes_and_what_is_dropped_is_kept() {
    let api = ForgeApi::plain(|_, _| Answer::new(201, "{}"));
    let place = tempfile::tempdir().unwrap();
    let token = place.path().join("token");
    private(&token, "token-of-a-test");
    let report =
        format!("[source.report]\napi = \"{}\"\ntoken = {{ file = \"{}\" }}\n", api.base(), token.display());
    let forge = scene(&format!("restore = true\n{report}"));
    let work = forge.gate.clone_at(&forge.bare, "main");
    let before = work.id("HEAD");
    let good = work.commit(Some(&forge.alice), "OPS-2: signed");
    let bad = work.commit(None, "OPS-3: nobody signed this");
    let worse = work.commit(Some(&forge.alice), "OPS-4: on top of it");
    forge.push(&work, &["main"]);
    forge.tell(MAIN, &before, &worse, "mallory");
    let done = record(&forge, "done");
    assert_eq!(
        (done["bad"].as_str(), done["good"].as_str()),
        (Some(worse.as_str()), Some(good.as_str())),
        "{done}"
    );
    assert_eq!(at_the_forge(&forge, MAIN), Some(good.clone()));
    forge.wait_judged(MAIN, Some(&good));
    // What was dropped is there, under its name, in the mirror.
    let mirrors = forge.gate.state().join("mirrors");
    let mirror = std::fs::read_dir(mirrors)
        .unwrap()
        .map(|one| one.unwrap().path())
        .find(|path| path.is_dir())
        .unwrap();
    let recovery = done["recovery"].as_str().unwrap();
    assert!(recovery.starts_with("refs/countersign/recovery/"), "{recovery}");
    let kept = forge.gate.sandbox.git(&mirror, &["rev-list", recovery]).ok().stdout;
    assert!(kept.contains(&bad) && kept.contains(&worse), "{kept}");
    // It is announced, where the refusal is.
    wait_for("the announcement", SOON, || {
        let asked = api.asked();
        let told = asked.iter().rfind(|one| one.path.ends_with(&worse) && one.text("state") == "failure")?;
        told.text("description").contains("was moved back to").then_some(())
    });
    let steps: Vec<Value> = records(&forge).iter().map(|one| one["step"].clone()).collect();
    assert_eq!(steps, ["begun", "done"], "what is about to be done is on record before it is");
    // Our own move is no move to judge, however often it is looked at.
    let decisions = forge.decisions().len();
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(forge.decisions().len(), decisions);
    forge.gate.countersign(&["audit", "verify"]).ok();
    let log = forge.gate.countersign(&["audit", "log"]).ok().stdout;
    assert!(log.contains("restore done: forge/acme/infra"), "{log}");
    // And the branch goes on from there.
    work.git(&["reset", "--quiet", "--hard", &good]).ok();
    let next = work.commit(Some(&forge.alice), "OPS-5: signed");
    forge.push(&work, &["main"]);
    forge.tell(MAIN, &good, &next, "alice");
    assert_eq!(forge.decided(MAIN, &next)["outcome"], "accept");
    // What was dropped is still kept, however often the mirror is looked at since.
    forge.wait_judged(MAIN, Some(&next));
    std::thread::sleep(Duration::from_secs(3));
    let kept = forge.gate.sandbox.git(&mirror, &["rev-list", recovery]).ok().stdout;
    assert!(kept.contains(&worse), "{kept}");
}

#[test]
fn n32_a_commit_on_the_way_counts_with_all_that_came_since_the_branch_was_sound() {
    let mut forge = Forge::prepared();
    forge.source = "restore = true".to_owned();
    let net = "force-push = true\ntoo-many-files = { max = 1, scope = \"net\" }";
    forge.policy = forge.policy.replace("force-push = true", net);
    forge.start();
    forge.adopt();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let before = work.id("HEAD");
    let top = work.git(&["rev-parse", "--show-toplevel"]).ok().line().to_owned();
    let commits: Vec<String> = ["a", "b", "c"]
        .iter()
        .map(|name| {
            std::fs::write(std::path::Path::new(&top).join(name), name).unwrap();
            work.git(&["add", "."]).ok();
            work.commit(Some(&forge.alice), &format!("OPS-2: {name}"))
        })
        .collect();
    forge.push(&work, &["main"]);
    forge.tell(MAIN, &before, &commits[2], "mallory");
    // The second one has one file of its own, and two with the first.
    assert_eq!(record(&forge, "done")["good"], commits[0].as_str());
    assert_eq!(at_the_forge(&forge, MAIN), Some(commits[0].clone()));
}

#[test]
fn n32_a_branch_goes_to_nothing_new_that_whoever_brought_it_may_not_push() {
    let mut forge = Forge::prepared();
    forge.source = "restore = true".to_owned();
    let who = "force-push = true\nunauthorized-pusher = { update = [\"group:sre\"] }";
    forge.policy = forge.policy.replace("force-push = true", who);
    forge.gate.repository_keys.replace("server = \"ghes\"\n".to_owned());
    forge.start();
    forge.adopt();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let before = work.id("HEAD");
    work.commit(Some(&forge.alice), "OPS-2: signed by somebody else");
    let bad = work.commit(None, "OPS-3: unsigned");
    forge.push(&work, &["main"]);
    forge.tell(MAIN, &before, &bad, "mallory");
    assert_eq!(record(&forge, "done")["good"], before.as_str());
    assert_eq!(at_the_forge(&forge, MAIN), Some(before));
}

#[test]
fn n32_nothing_is_taken_back_unless_it_is_configured() {
    let forge = scene("");
    let work = forge.gate.clone_at(&forge.bare, "main");
    let before = work.id("HEAD");
    let bad = work.commit(None, "OPS-3: unsigned");
    forge.push(&work, &["main"]);
    forge.tell(MAIN, &before, &bad, "mallory");
    assert_eq!(forge.decided(MAIN, &bad)["outcome"], "refuse");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!((at_the_forge(&forge, MAIN), records(&forge).len()), (Some(bad), 0));
}

#[test]
fn n32_a_rewound_and_a_deleted_branch_come_back_and_the_same_again_is_left() {
    let forge = scene("restore = true");
    let work = forge.gate.clone_at(&forge.bare, "main");
    let first = work.id("HEAD");
    let second = work.commit(Some(&forge.alice), "OPS-2: signed");
    forge.push(&work, &["main"]);
    forge.tell(MAIN, &first, &second, "alice");
    forge.wait_judged(MAIN, Some(&second));
    forge.push(&work, &["--force", &format!("{first}:{MAIN}")]);
    forge.tell(MAIN, &second, &first, "mallory");
    record(&forge, "done");
    assert_eq!(at_the_forge(&forge, MAIN), Some(second.clone()));
    // Within the hour, whoever does the same again wins, so that nobody fights with a program.
    forge.push(&work, &["--force", &format!("{first}:{MAIN}")]);
    forge.tell(MAIN, &second, &first, "mallory");
    let left = record(&forge, "left");
    assert!(left["why"].as_str().unwrap().contains("within the hour"), "{left}");
    assert_eq!(at_the_forge(&forge, MAIN), Some(first.clone()));
    // Another pair is another matter: a protected branch that is deleted comes back, to what was sound.
    forge.git(&["symbolic-ref", "HEAD", "refs/heads/other"]);
    forge.push(&work, &[&format!("{first}:refs/heads/other")]);
    forge.git(&["update-ref", "-d", MAIN]);
    forge.tell(MAIN, &first, ZERO, "mallory");
    wait_for("the branch to come back", SOON, || at_the_forge(&forge, MAIN));
    assert_eq!(at_the_forge(&forge, MAIN), Some(second));
}

#[test]
fn n32_an_administrator_is_known_by_the_forges_id_of_the_account_whatever_it_is_called() {
    // All accounts of this forge have the number 1000.
    for (administrator, step) in [("#1000", "left"), ("#1001", "begun")] {
        let forge = scene(&format!("restore = true\nadministrators = [\"{administrator}\"]"));
        let work = forge.gate.clone_at(&forge.bare, "main");
        let (before, bad) = (work.id("HEAD"), work.commit(None, "OPS-3: unsigned"));
        forge.push(&work, &["main"]);
        forge.tell(MAIN, &before, &bad, "#1001");
        record(&forge, step);
    }
}

#[test]
fn n32_nothing_is_taken_back_from_an_administrator_or_from_whom_nobody_knows() {
    let forge = scene("restore = true\nadministrators = [\"Root\"]");
    let work = forge.gate.clone_at(&forge.bare, "main");
    let before = work.id("HEAD");
    let bad = work.commit(None, "OPS-3: unsigned");
    forge.push(&work, &["main"]);
    forge.tell(MAIN, &before, &bad, "root");
    let left = record(&forge, "left");
    assert_eq!(left["why"], "an administrator moved it");
    let worse = work.commit(None, "OPS-4: unsigned, and told by nobody");
    forge.push(&work, &["main"]);
    wait_for("the second one to be left", SOON, || {
        records(&forge)
            .into_iter()
            .find(|one| one["why"].as_str().is_some_and(|why| why.contains("nobody knows")))
    });
    assert_eq!(at_the_forge(&forge, MAIN), Some(worse));
    assert!(!records(&forge).iter().any(|one| one["step"] == "begun"));
}

#[test]
fn n32_an_administrators_move_below_that_of_another_is_not_taken_back_either() {
    let forge = scene("restore = true\nadministrators = [\"Root\"]");
    let work = forge.gate.clone_at(&forge.bare, "main");
    let before = work.id("HEAD");
    let hotfix = work.commit(None, "OPS-3: unsigned, by an administrator");
    forge.push(&work, &["main"]);
    forge.tell(MAIN, &before, &hotfix, "root");
    assert_eq!(record(&forge, "left")["why"], "an administrator moved it");
    let bad = work.commit(None, "OPS-4: unsigned");
    forge.push(&work, &["main"]);
    forge.tell(MAIN, &hotfix, &bad, "mallory");
    let left = wait_for("the second one to be left", SOON, || {
        let all = records(&forge);
        all.into_iter().find(|one| one["step"] != "begun" && one["bad"] == bad.as_str())
    });
    assert_eq!(left["step"], "left", "{left}");
    assert_eq!(at_the_forge(&forge, MAIN), Some(bad));
}

#[test]
fn n32_an_administrators_move_told_together_with_that_of_another_is_not_taken_back_either() {
    let mut forge = Forge::prepared();
    forge.source = "restore = true\nadministrators = [\"Root\"]".to_owned();
    forge.start();
    forge.adopt();
    forge.gate.stop();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let before = work.id("HEAD");
    let hotfix = work.commit(None, "OPS-3: unsigned, by an administrator");
    let bad = work.commit(None, "OPS-4: unsigned");
    forge.push(&work, &["main"]);
    crate::judging::queue(&forge, &[(&before, &hotfix, "root"), (&hotfix, &bad, "mallory")]);
    forge.gate.start();
    let end = wait_for("an end", SOON, || records(&forge).into_iter().find(|one| one["step"] != "begun"));
    assert_eq!(end["step"], "left", "{end}");
    assert_eq!(at_the_forge(&forge, MAIN), Some(bad));
}

#[test]
fn n32_a_branch_that_was_made_is_deleted_only_if_that_is_configured() {
    for (keys, gone) in [("restore = true", false), ("restore = true\nrestore-created = true", true)] {
        let forge = scene(keys);
        let work = forge.gate.clone_at(&forge.bare, "main");
        let bad = work.commit(None, "OPS-3: unsigned");
        let release = "refs/heads/release/1";
        forge.push(&work, &[&format!("main:{release}")]);
        forge.tell(release, ZERO, &bad, "mallory");
        let end = record(&forge, if gone { "done" } else { "left" });
        assert_eq!(end["ref"], release);
        assert_eq!(at_the_forge(&forge, release).is_none(), gone, "{end}");
    }
}

#[test]
fn n32_nothing_goes_back_to_a_tainted_commit() {
    let mut forge = Forge::prepared();
    forge.source = "restore = true".to_owned();
    let bob = Signer::ssh(&forge.gate.sandbox, "bob", &["ed25519"]);
    forge.gate.trust(&bob, "sre");
    forge.start();
    forge.adopt();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let clean = work.id("HEAD");
    let tainted = work.commit(Some(&bob), "OPS-2: signed by bob");
    forge.push(&work, &["main"]);
    forge.tell(MAIN, &clean, &tainted, "bob");
    assert_eq!(forge.decided(MAIN, &tainted)["outcome"], "accept");
    forge.gate.countersign(&["keyring", "revoke", "bob", "--all", "--reason", "compromised"]).ok();
    let bad = work.commit(None, "OPS-3: unsigned");
    forge.push(&work, &["main"]);
    forge.tell(MAIN, &tainted, &bad, "mallory");
    let done = record(&forge, "done");
    assert_eq!(done["good"], clean, "{done}");
    assert_eq!(at_the_forge(&forge, MAIN), Some(clean));
}

#[test]
fn n32_a_branch_that_moved_on_is_not_touched() {
    let forge = Forge::prepared();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let id = |hex: &str| ObjectId::parse(hex.as_bytes()).unwrap();
    let first = id(&work.id("HEAD"));
    let second = id(&work.commit(Some(&forge.alice), "OPS-2: signed"));
    let third = id(&work.commit(Some(&forge.alice), "OPS-3: signed"));
    forge.push(&work, &["main"]);
    let stop = AtomicBool::new(false);
    let patience = || Patience { until: Instant::now() + SOON, stop: &stop };
    let root = tempfile::tempdir().unwrap();
    let place = Place::take(&root.path().join("mirrors"), &RepositoryId("x:1".into()), patience()).unwrap();
    let mirror = place.make(ObjectFormat::Sha1).unwrap();
    let remote = Remote {
        address: Address::parse(&forge.url).unwrap(),
        credential: Credential::None,
        known_hosts: None,
        authorities: None,
        proxy: None,
    };
    assert!(mirror.fetch_base(&remote, &[third], 1 << 30, patience()).unwrap().is_empty());
    let main = RefName::parse(MAIN.as_bytes()).unwrap();
    let back = |bad, good| mirror.push_back(&remote, &main, bad, good, patience());
    for wrong in [Some(second), Some(first), None] {
        assert!(back(wrong, Some(first)).is_err(), "{wrong:?} is not what it holds");
        assert!(back(wrong, None).is_err());
        assert_eq!(at_the_forge(&forge, MAIN), Some(third.to_string()));
    }
    back(Some(third), Some(second)).unwrap();
    assert_eq!(at_the_forge(&forge, MAIN), Some(second.to_string()));
}
