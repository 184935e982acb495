//! The keyring from a ref that the gate itself guards: who may change it, when a change counts, and everything
//! that must not.

mod broken;
mod hostile;
mod recovery;
mod rulesets;
mod site;

use crate::support::signers::Signer;
use crate::support::wait_for;
use serde_json::json;
use site::{A_WHILE, POLICY, SOON, Site, principal};
use std::fs;
use std::time::Duration;

#[test]
fn nothing_is_taken_over_before_somebody_accepts_the_first_state() {
    let site = Site::new();
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    let before = site.state();
    site.write("bob.toml", &principal(&bob, "sre", ""));
    let tip = site.push(Some(&site.alice), "bob");
    site.stays(&before, "nothing was accepted yet");
    let ran = site.accept(&site.clone().id("HEAD~1"));
    assert!(ran.code() == Some(1) && ran.stderr.contains(&tip), "only what the ref holds: {ran:?}");
    assert_eq!(site.accept("HEAD").code(), Some(1), "and only by its id");
    site.accept(&tip).ok();
    site.follows(&tip);
    let records = site.gate.audit();
    let change = records.iter().rfind(|record| record["kind"] == "keyring-changed").unwrap();
    assert_eq!((&change["action"], &change["principals"]), (&json!("source"), &json!(["bob"])), "{change}");
    assert!(change["reason"].as_str().unwrap().contains("accepted: read by two"), "{change}");
    // From now on by itself.
    fs::remove_file(site.path("bob.toml")).unwrap();
    let tip = site.push(Some(&site.alice), "without bob");
    site.follows(&tip);
    assert_eq!(site.state().1.len(), 1);
    std::thread::sleep(Duration::from_secs(5));
    let found = site.gate.audit().into_iter().filter(|record| record["kind"] == "keyring-found").count();
    assert_eq!(found, 0, "every change is on record as what it is");
    // What was taken over survives the daemon.
    site.gate.stop();
    site.gate.start();
    site.follows(&tip);
}

#[test]
fn only_the_signers_of_the_state_before_change_it_and_nothing_loosens_that() {
    let site = Site::accepted();
    let before = site.state();
    let (bob, mallory) = (
        Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]),
        Signer::ssh(&site.gate.sandbox, "mallory", &["ed25519"]),
    );
    site.write("bob.toml", &principal(&bob, "sre", ""));
    let tip = site.push(Some(&site.alice), "bob, who is no admin");
    site.follows(&tip);
    let after = site.state();
    assert_ne!(before, after);

    let work = site.clone();
    let attempt = |signer: Option<&Signer>, rules: &[&str]| {
        site.add();
        work.commit(signer, "let me in");
        work.push(&["main"]).assert_refused(rules);
        work.git(&["reset", "--quiet", "--hard", &tip]).ok();
    };
    // By himself into the group, by somebody unknown, by nobody.
    site.write("bob.toml", &principal(&bob, "admins", ""));
    attempt(Some(&bob), &["untrusted-signer"]);
    site.write("mallory.toml", &principal(&mallory, "admins", ""));
    attempt(Some(&mallory), &["untrusted-signer"]);
    site.write("mallory.toml", &principal(&mallory, "admins", ""));
    attempt(None, &["unsigned-commit"]);
    // An admin's commit on top does not carry them.
    site.write("mallory.toml", &principal(&mallory, "admins", ""));
    site.add();
    work.commit(Some(&mallory), "first");
    work.commit(Some(&site.alice), "and one by an admin");
    work.push(&["main"]).assert_refused(&["untrusted-signer"]);
    work.git(&["reset", "--quiet", "--hard", &tip]).ok();
    // Nor does a merge that an admin signed.
    work.git(&["checkout", "--quiet", "-b", "side"]).ok();
    site.write("mallory.toml", &principal(&mallory, "admins", ""));
    site.add();
    work.commit(None, "unsigned, on a side branch");
    work.push(&["side"]).assert_accepted();
    work.git(&["checkout", "--quiet", "main"]).ok();
    work.sign(Some(&site.alice), &["merge", "--quiet", "--no-ff", "-m", "merge", "side"]);
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    work.git(&["reset", "--quiet", "--hard", &tip]).ok();
    // Backwards, sideways, away.
    work.push(&["--force", "HEAD~1:refs/heads/main"]).assert_refused(&["force-push"]);
    work.push(&["--delete", "main"]).assert_refused(&["ref-deletion"]);
    std::thread::sleep(A_WHILE);
    assert_eq!(site.state(), after);
}

#[test]
fn a_ref_that_is_moved_without_a_decision_takes_nothing_over() {
    let site = Site::accepted();
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    site.write("bob.toml", &principal(&bob, "sre", ""));
    let tip = site.push(Some(&site.alice), "bob");
    site.follows(&tip);
    let before = site.state();
    // Objects come in through a ref that nobody guards; signed by an admin, even.
    let mallory = Signer::ssh(&site.gate.sandbox, "mallory", &["ed25519"]);
    site.write("mallory.toml", &principal(&mallory, "admins", ""));
    site.add();
    let work = site.clone();
    let next = work.commit(Some(&site.alice), "a draft that was never let in here");
    work.push(&["HEAD:refs/heads/draft"]).assert_accepted();
    site.in_bare(&["update-ref", "refs/heads/main", &next]);
    site.stays(&before, "past the gate");
    // Back to an older state of our own.
    let first = work.id("HEAD~2");
    site.in_bare(&["update-ref", "refs/heads/main", &first]);
    site.stays(&before, "past the gate");
    // Gone, or another ref in its place.
    site.in_bare(&["update-ref", "-d", "refs/heads/main"]);
    site.stays(&before, "not there");
    site.in_bare(&["symbolic-ref", "refs/heads/main", "refs/heads/draft"]);
    site.stays(&before, "symbolic");
    fs::remove_file(site.bare.join("refs/heads/main")).unwrap();
    // Another repository in its place, with all of it.
    site.in_bare(&["update-ref", "refs/heads/main", &tip]);
    wait_for("the fault to go", SOON, || site.source()["fault"].is_null().then_some(()));
    let id = fs::read_to_string(site.bare.join("countersign-id")).unwrap();
    fs::write(site.bare.join("countersign-id"), "f".repeat(32)).unwrap();
    wait_for("another identity", SOON, || site.source()["fault"].is_string().then_some(()));
    fs::write(site.bare.join("countersign-id"), id).unwrap();
    wait_for("the fault to go", SOON, || site.source()["fault"].is_null().then_some(()));
    assert_eq!(site.state(), before);
    // An operator can still say that a move was meant.
    site.in_bare(&["update-ref", "refs/heads/main", &next]);
    site.accept(&next).ok();
    site.follows(&next);
}

#[test]
fn n10_a_state_that_was_let_in_counts_when_it_is_seen_without_a_report() {
    let site = Site::accepted();
    fs::remove_file(site.bare.join("hooks/post-receive")).unwrap();
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    site.write("bob.toml", &principal(&bob, "sre", ""));
    let tip = site.push(Some(&site.alice), "bob");
    site.follows(&tip);
    // Let in by the gate, and refused by git itself in the end.
    let before = site.state();
    fs::remove_file(site.path("bob.toml")).unwrap();
    site.add();
    site.clone().commit(Some(&site.alice), "without bob");
    let lock = site.bare.join("refs/heads/main.lock");
    fs::write(&lock, "").unwrap();
    let pushed = site.clone().push_command(&["main"]).output().unwrap();
    assert!(!pushed.status.success());
    std::thread::sleep(A_WHILE);
    assert_eq!(site.state(), before, "never from the push that carries it");
    fs::remove_file(lock).unwrap();
}

#[test]
fn n14_a_revocation_made_on_the_server_is_never_taken_back_by_a_commit() {
    let site = Site::accepted();
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    site.write("bob.toml", &principal(&bob, "admins", ""));
    let tip = site.push(Some(&site.alice), "bob");
    site.follows(&tip);
    let key = bob.public.to_str().unwrap();
    let revoke = ["keyring", "revoke", "bob", key, "--reason", "compromised", "--note", "laptop lost"];
    site.gate.countersign(&revoke).ok();
    let before = site.state();
    // Another change, by somebody who has not heard of it; and one that forgets bob altogether.
    site.write("README", "nothing of interest");
    let said = site.broken(Some(&site.alice), "not about bob");
    assert!(said.contains("lacks 1 revocation"), "{said}");
    fs::remove_file(site.path("bob.toml")).unwrap();
    let said = site.broken(Some(&site.alice), "forget bob");
    assert!(said.contains("lacks 1 revocation"), "{said}");
    std::thread::sleep(A_WHILE);
    assert_eq!(site.state(), before);
    // By bob's key nothing is let in meanwhile.
    site.clone().commit(Some(&bob), "by a stolen key");
    site.clone().push(&["main"]).assert_refused(&["bad-signature"]);
    site.clone().git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    fs::copy(site.gate.home.join("keyring/bob.toml"), site.path("bob.toml")).unwrap();
    let tip = site.push(Some(&site.alice), "as on the server");
    site.follows(&tip);
}

#[test]
fn a_source_that_cannot_be_guarded_does_not_load() {
    let site = Site::new();
    let gate = &site.gate;
    gate.stop();
    let check = |policy: &str, why: &str| {
        gate.configure(policy);
        let ran = gate.countersign(&["config", "check"]);
        assert!(ran.code() == Some(2) && ran.stdout.contains(why), "{why}: {ran:?}");
    };
    check(&POLICY.replace("\"lax\"", "\"keyring-source\""), "keyring-source");
    check(&POLICY.replace("[\"group:admins\"]", "[]"), "without signers");
    check(&POLICY.replace("[\"group:admins\"]", "[\"nobody:x\"]"), "names no group");
    for repository in ["../escape", "infra/*", "/srv/x", "infra//trust", "re:.*", ""] {
        check(&POLICY.replace("infra/trust", repository), "is not used here");
    }
    check(&POLICY.replace("path = \"keyring\"", "path = \"../x\""), "is not used here");
    check(&POLICY.replace("ref = \"refs/heads/main\"", "ref = \"main\""), "no full ref name");
    check(&POLICY.replace("refs/heads/main\"\npath", "refs/tags/v1\"\npath"), "no full ref name of a branch");
    check(&POLICY.replace("signers", "singers"), "singers");
    gate.configure(POLICY);
    let ran = gate.countersign(&["config", "check"]);
    assert!(ran.code() == Some(0), "{ran:?}");
    let shown = gate.countersign(&["config", "show", "--repo", "infra/trust", "--ref", "refs/heads/main"]);
    assert!(shown.stdout.contains("keyring-source"), "{shown:?}");
}
