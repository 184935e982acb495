//! What the keyring's commands do to pushes: roles, suspension, and what goes on record.

use crate::support::clone::Clone;
use crate::support::gate::{Gate, PRODUCTION};
use crate::support::signers::Signer;
use crate::support::sshd::{Options, Sshd};
use serde_json::{Value, json};
use std::fs;

/// [`PRODUCTION`], and releases that are signed tags.
fn with_tags() -> String {
    format!(
        "{PRODUCTION}\n[[ruleset]]\nname = \"releases\"\nrepositories = [\"**\"]\nrefs = [\"refs/tags/v*\"]\n\
         enforcement = \"enforce\"\n\n[ruleset.refuse]\nunsigned-tag = true\n\
         untrusted-signer = {{ of = \"tag\", allow = [\"group:sre\"] }}\n"
    )
}

/// Adds a line behind the only key of somebody's file.
fn add_line(gate: &Gate, name: &str, line: &str) {
    let file = gate.home.join(format!("keyring/{name}.toml"));
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}{line}\n")).unwrap();
}

#[test]
fn n14_a_suspended_principal_signs_nothing_until_it_is_resumed() {
    let (gate, alice) = Gate::production();
    let work = gate.clone_of(&gate.repository("infra/live"));
    work.commit(Some(&alice), "OPS-1: before");
    work.accepted(&["main"]);
    gate.countersign(&["keyring", "suspend", "alice", "--reason", "laptop lost"]).ok();
    gate.reload();
    work.commit(Some(&alice), "OPS-2: meanwhile");
    let push = work.push(&["main"]).assert_refused(&["bad-signature"]);
    assert!(push.text().contains("its holder is suspended since "), "{}", push.text());
    assert!(push.text().contains("keyring resume"), "{}", push.text());
    // What was received before stays good.
    let repository = gate.place("infra/live");
    let check = ["check", "--history", "--repo", repository.to_str().unwrap(), "--ref", "refs/heads/main"];
    let ran = gate.countersign(&check).ok();
    assert!(ran.stdout.contains("verified"), "{}", ran.stdout);
    let seen = gate.countersign(&["verify", work.path.to_str().unwrap(), "HEAD"]);
    assert_eq!(seen.code(), Some(1), "{}{}", seen.stdout, seen.stderr);
    assert!(seen.stdout.contains("suspension") && seen.stdout.contains("laptop lost"), "{}", seen.stdout);
    gate.countersign(&["keyring", "resume", "alice", "--reason", "found"]).ok();
    gate.reload();
    work.accepted(&["main"]);
}

#[test]
fn n14_a_key_counts_for_its_roles_only() {
    let gate = Gate::prepared(&with_tags());
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    let tagger = Signer::ssh(&gate.sandbox, "tagger", &["ed25519"]);
    gate.trust(&alice, "sre");
    gate.trust(&tagger, "sre");
    add_line(&gate, "alice", "roles = [\"commit\"]");
    add_line(&gate, "tagger", "roles = [\"tag\"]");
    gate.start();
    let work = gate.clone_of(&gate.repository("infra/live"));
    work.commit(Some(&tagger), "OPS-1: by the key for releases");
    let push = work.push(&["main"]).assert_refused(&["bad-signature"]);
    let text = push.text();
    assert!(text.contains("its keyring entry has the roles `tag` and not `commit`"), "{text}");
    assert!(text.contains("using a key whose keyring entry has that role"), "{text}");
    work.sign(
        Some(&alice),
        &["commit", "--quiet", "--allow-empty", "--amend", "--no-edit", "--reset-author", "-S"],
    );
    work.accepted(&["main"]);
    work.sign(Some(&alice), &["tag", "-s", "-m", "release", "v1"]);
    let push = work.push(&["v1"]).assert_refused(&["bad-signature"]);
    assert!(push.text().contains("has the roles `commit` and not `tag`"), "{}", push.text());
    work.sign(Some(&tagger), &["tag", "-f", "-s", "-m", "release", "v1"]);
    work.accepted(&["v1"]);
}

#[test]
fn n18_a_login_needs_the_role_push() {
    let gate = Gate::prepared(PRODUCTION);
    gate.repository_keys.replace("server = \"sshd-key\"".to_owned());
    gate.configure(PRODUCTION);
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    gate.trust(&alice, "sre");
    add_line(&gate, "alice", "roles = [\"commit\"]");
    gate.start();
    let keys = gate.sandbox.path("authorized_keys");
    fs::copy(&alice.public, &keys).unwrap();
    let options = Options { lines: "ExposeAuthInfo yes", authorized_keys: Some(&keys), ..Options::default() };
    let sshd = Sshd::with(&gate.sandbox, &options);
    let bare = gate.repository("infra/live");
    let private = alice.public.with_extension("");
    let work = gate.clone_of(&bare).over(sshd.url(&bare), &sshd.client_with(&[&private]));
    work.commit(Some(&alice), "OPS-1: base");
    work.accepted(&["main"]);
    let pusher = gate.last_decision()["pusher"].clone();
    assert_eq!(
        (&pusher["principal"], &pusher["details"]["key.status"]),
        (&Value::Null, &json!("wrong-purpose")),
        "{pusher}"
    );
}

#[test]
fn n18_the_account_of_a_suspended_principal_is_nobodys() {
    let gate = Gate::prepared(PRODUCTION);
    // What narrows a ruleset to others must not let the suspended one slip through.
    let policy = PRODUCTION
        .replace("enforcement = \"enforce\"", "enforcement = \"enforce\"\nactors = [\"person:bob\"]");
    gate.repository_keys.replace("server = \"gitolite\"".to_owned());
    gate.configure(&policy);
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    let bob = Signer::ssh(&gate.sandbox, "bob", &["ed25519"]);
    for signer in [&alice, &bob] {
        gate.trust(signer, "sre");
        let key = signer.public.to_str().unwrap();
        gate.countersign(&["keyring", "add", &signer.name, "--account", &signer.name, "--key", key]).ok();
    }
    gate.start();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let by_alice = || Clone::at(&gate, &bare, &work.path).with_env("GL_USER", "alice");
    work.commit(None, "unsigned, and the ruleset is for bob's pushes only");
    by_alice().accepted(&["main"]);
    gate.countersign(&["keyring", "suspend", "alice", "--reason", "laptop lost"]).ok();
    gate.reload();
    work.commit(None, "unsigned again");
    by_alice().push(&["main"]).assert_refused(&["missing-ticket", "unsigned-commit"]);
    let pusher = gate.last_decision()["pusher"].clone();
    assert_eq!(
        (&pusher["principal"], &pusher["details"]["account.status"]),
        (&Value::Null, &json!("alice is suspended")),
        "{pusher}"
    );
}

#[test]
fn every_change_is_on_record_with_who_what_and_why() {
    let (gate, alice) = Gate::production();
    let key = alice.public.to_str().unwrap();
    let changes = || -> Vec<Value> {
        gate.audit().into_iter().filter(|record| record["kind"] == "keyring-changed").collect()
    };
    assert!(changes().is_empty(), "before the daemon ran for the first time there was no log");
    let ran = gate.countersign(&[
        "keyring", "group", "add", "web", "alice", "--reason", "new team", "--format", "json",
    ]);
    let said: Value = serde_json::from_str(&ran.ok().stdout).unwrap();
    assert_eq!(said["recorded"], true);
    gate.countersign(&["keyring", "revoke", "alice", key, "--reason", "compromised", "--note", "stolen"])
        .ok();
    // Nothing to do and a dry run are nothing to put on record.
    gate.countersign(&["keyring", "group", "add", "web", "alice"]).ok();
    gate.countersign(&["keyring", "group", "remove", "web", "alice", "--dry-run"]).ok();
    let all = changes();
    assert_eq!(all.len(), 2, "{all:?}");
    let (first, second) = (&all[0], &all[1]);
    assert_eq!((&first["action"], &first["reason"]), (&json!("group-add"), &json!("new team")));
    assert_eq!(first["id"], said["change"]);
    assert_eq!((&first["principals"], &first["keys"]), (&json!(["alice"]), &json!([])));
    assert_eq!(first["by"]["uid"], rustix::process::getuid().as_raw());
    assert_eq!((&second["action"], &second["reason"]), (&json!("revoke"), &json!("compromised: stolen")));
    assert_eq!(second["keys"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&second["files"][0]["name"], &second["files"][0]["before"]),
        (&json!("alice.toml"), &first["files"][0]["after"])
    );
    assert_eq!(second["keyring_before"], first["keyring_after"]);
    let shown = gate.countersign(&["audit", "log"]).ok().stdout;
    assert!(
        shown.contains("keyring   revoke alice by uid ") && shown.contains(": compromised: stolen\n"),
        "{shown}"
    );
    assert!(shown.contains("        alice.toml "), "{shown}");
    gate.countersign(&["audit", "verify"]).ok();
    // The daemon takes over the state that the record names.
    gate.reload();
    let work = gate.clone_of(&gate.repository("infra/live"));
    work.commit(Some(&alice), "OPS-1: with a stolen key");
    work.push(&["main"]).assert_refused(&["bad-signature"]);
    assert_eq!(gate.last_decision()["keyring"], second["keyring_after"]);
}

#[test]
fn a_log_that_cannot_be_written_stops_what_gives_and_not_what_takes() {
    let (gate, alice) = Gate::production();
    gate.stop();
    let database = gate.state().join("state.db");
    fs::rename(&database, gate.sandbox.path("state.db")).unwrap();
    fs::write(&database, "not a database").unwrap();
    let ran = gate.countersign(&["keyring", "group", "add", "web", "alice"]);
    assert_eq!(ran.code(), Some(3), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("nothing was changed, because it would not be on record"), "{}", ran.stderr);
    let file = gate.home.join("keyring/alice.toml");
    assert!(!fs::read_to_string(&file).unwrap().contains("web"));
    let key = alice.public.to_str().unwrap();
    let ran = gate.countersign(&["keyring", "revoke", "alice", key, "--reason", "compromised"]);
    assert_eq!(ran.code(), Some(3), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("the change stands and is not on record"), "{}", ran.stderr);
    assert!(fs::read_to_string(&file).unwrap().contains("compromised"));
}

#[test]
fn who_is_named_by_a_ruleset_is_neither_renamed_nor_removed() {
    let named = |allow: &str| PRODUCTION.replace("[\"group:sre\"]", allow);
    let gate = Gate::prepared(&named("[\"person:alice\", \"group:web\"]"));
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    gate.trust(&alice, "web");
    let refused = |arguments: &[&str], why: &str| {
        let ran = gate.countersign(arguments);
        assert_eq!(ran.code(), Some(1), "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("ruleset `production`, rule `untrusted-signer`"), "{}", ran.stderr);
        assert!(ran.stderr.contains("countersign.toml:"), "{}", ran.stderr);
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
    };
    refused(&["keyring", "remove", "alice", "--reason", "left"], "take the name out there first");
    refused(&["keyring", "rename", "alice", "asmith"], "write `asmith` beside it first");
    let ran = gate.countersign(&["keyring", "group", "remove", "web", "alice"]).ok();
    assert!(
        ran.stderr.contains("warning: nobody is in `web` now, which ruleset `production`"),
        "{}",
        ran.stderr
    );
    let shown = gate.countersign(&["keyring", "group", "add", "web", "alice"]).ok();
    assert!(shown.stdout.contains("`alice` joined `web`"), "{}", shown.stdout);
    let shown = gate.countersign(&["keyring", "group", "list"]).ok().stdout;
    assert!(shown.contains("web    alice    ruleset `production`, rule `untrusted-signer`\n"), "{shown}");
    gate.configure(&named("[\"person:alice\", \"person:asmith\"]"));
    let ran = gate.countersign(&["keyring", "rename", "alice", "asmith"]).ok();
    assert!(ran.stdout.contains("take `alice` out of ruleset `production`"), "{}", ran.stdout);
    gate.configure(&format!(
        "{}\n[[ruleset.bypass]]\nwho = [\"person:asmith\"]\nproof = \"key\"\nrules = [\"missing-ticket\"]\nreason = \"x\"\n",
        named("[\"group:web\"]")
    ));
    let ran = gate.countersign(&["keyring", "remove", "asmith", "--reason", "left"]);
    assert!(ran.code() == Some(1) && ran.stderr.contains("`bypass`"), "{}{}", ran.stdout, ran.stderr);
}
