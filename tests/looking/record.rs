//! When keys were last used, by the gate's own record.

use crate::support::gate::{Gate, PRODUCTION};
use crate::support::sandbox::Ran;
use crate::support::signers::Signer;
use crate::support::wait_for;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

const WITH_TAGS: &str = "\n[[ruleset]]\nname = \"tags\"\nrepositories = [\"**\"]\nrefs = [\"refs/tags/**\"]\n\
                         enforcement = \"enforce\"\n\n[ruleset.refuse]\nunsigned-tag = true\n";

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// What the list says of each principal's key.
fn last_used(gate: &Gate) -> Vec<(String, String)> {
    let ran = gate.countersign(&["keyring", "list", "--format", "json"]).ok();
    let keys = json(&ran)["keys"].as_array().unwrap().clone();
    let word = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    keys.iter().map(|one| (word(one, "principal"), word(one, "last_used"))).collect()
}

fn of(gate: &Gate, name: &str) -> String {
    last_used(gate).into_iter().find(|(principal, _)| principal == name).unwrap().1
}

#[test]
fn commits_and_tags_that_were_let_in_are_uses() {
    let gate = Gate::prepared(&format!("{PRODUCTION}{WITH_TAGS}"));
    let people: Vec<Signer> =
        ["alice", "bob", "carol"].map(|name| Signer::ssh(&gate.sandbox, name, &["ed25519"])).to_vec();
    for (signer, group) in people.iter().zip(["sre", "developers", "sre"]) {
        gate.trust(signer, group);
    }
    gate.start();
    let [alice, bob, _] = &people[..] else { panic!("three") };
    let work = gate.clone_of(&gate.repository("app"));
    for name in ["alice", "bob", "carol"] {
        assert_eq!(of(&gate, name), "never");
    }
    work.commit(Some(bob), "OPS-1: by somebody who may not");
    work.push(&["main"]).assert_refused(&["untrusted-signer"]);
    assert_eq!(of(&gate, "bob"), "never", "a refused push is no use");
    work.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    work.git(&["update-ref", "-d", "HEAD"]);
    work.commit(Some(alice), "OPS-1: by somebody who may");
    work.accepted(&["main"]);
    let used = of(&gate, "alice");
    assert!(used.parse::<countersign::domain::Timestamp>().is_ok(), "{used}");
    work.sign(Some(bob), &["tag", "-s", "-m", "release", "v1"]);
    work.accepted(&["v1"]);
    assert!(of(&gate, "bob").starts_with("20"), "a tag is a use");
    assert_eq!(of(&gate, "carol"), "never");
    let ran = gate.countersign(&["keyring", "list", "--never-used"]).ok();
    assert!(ran.stdout.contains("carol") && !ran.stdout.contains("alice"), "{}", ran.stdout);
    let shown = gate.countersign(&["keyring", "show", "alice"]).ok().stdout;
    assert!(shown.contains(&format!("last used  {used}\n")), "{shown}");
}

#[test]
fn what_cannot_be_read_is_unknown_and_never_never() {
    let gate = Gate::prepared(PRODUCTION);
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    gate.trust(&alice, "sre");
    let unknown = |why: &str| {
        assert_eq!(of(&gate, "alice"), "unknown", "{why}");
        let ran = gate.countersign(&["keyring", "list"]).ok();
        assert!(ran.stdout.contains("unknown") && !ran.stdout.contains("never"), "{why}: {}", ran.stdout);
        assert!(ran.stderr.contains("when keys were last used is unknown"), "{why}: {}", ran.stderr);
        let ran = gate.countersign(&["keyring", "list", "--never-used"]);
        assert_eq!(ran.code(), Some(3), "{why}: {ran:?}");
        assert!(ran.stdout.is_empty() && ran.stderr.contains("nobody can tell"), "{why}: {ran:?}");
    };
    unknown("no state was ever made");
    gate.start();
    gate.stop();
    assert_eq!(of(&gate, "alice"), "never");
    // An older copy of the record: what it lacks nobody knows.
    let work = {
        gate.start();
        gate.clone_of(&gate.repository("app"))
    };
    gate.stop();
    let database = gate.state().join("state.db");
    let old = fs::read(&database).unwrap();
    gate.start();
    work.commit(Some(&alice), "OPS-1: let in");
    work.accepted(&["main"]);
    gate.stop();
    assert!(of(&gate, "alice").starts_with("20"));
    for beside in ["state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(gate.state().join(beside));
    }
    fs::write(&database, old).unwrap();
    unknown("the record is older than its mark");
    fs::write(&database, b"no database").unwrap();
    unknown("the record is damaged");
    fs::set_permissions(gate.state(), fs::Permissions::from_mode(0o777)).unwrap();
    unknown("others can write the record");
}

#[test]
fn the_daemon_tells_of_keys_that_end_once() {
    let gate = Gate::prepared(PRODUCTION);
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    gate.trust(&alice, "sre");
    let file = gate.home.join("keyring/alice.toml");
    let text = fs::read_to_string(&file).unwrap();
    let end = |days: i64| {
        let at = countersign::domain::Timestamp::now().as_second() + days * 86_400 + 3600;
        let at = countersign::domain::Timestamp::from_second(at).unwrap();
        fs::write(&file, format!("{text}valid-until = {at}\n")).unwrap();
    };
    end(5);
    gate.start();
    let log = gate.log();
    assert_eq!(log.matches("a key expires in 5 days").count(), 1, "{log}");
    let health: Value = serde_json::from_str(&gate.get("/health").1).unwrap();
    assert_eq!(health["expiring"]["within_7_days"], 1, "{health:#}");
    assert_eq!(health["expiring"]["within_30_days"], 1, "{health:#}");
    gate.reload();
    gate.stop();
    gate.start();
    assert!(!gate.log().contains("a key expires"), "{}", gate.log());
    end(20);
    gate.reload();
    wait_for("the notice", Duration::from_secs(10), || {
        gate.log().contains("a key expires in 20 days").then_some(())
    });
    gate.stop();
}
