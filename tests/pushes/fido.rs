//! FIDO counters across real pushes (S6). The authenticator is one in software.

use crate::craft::Key;
use crate::support::clone::Clone;
use crate::support::gate::{Gate, PRODUCTION};
use std::fs;
use std::path::PathBuf;

fn token(counter: u32) -> Key {
    Key::ed25519(5).fido("ssh:").with(1, counter)
}

/// A gate that knows the token, and a repository.
fn scene(strictness: &str) -> (Gate, PathBuf) {
    let gate = Gate::prepared(&format!("{PRODUCTION}\n[signatures]\nfido-counter = \"{strictness}\"\n"));
    let key = gate.sandbox.path("token.pub");
    fs::write(&key, token(1).line() + "\n").unwrap();
    let add = ["keyring", "add", "alice", "--group", "sre", "--key", key.to_str().unwrap()];
    gate.countersign(&add).ok();
    gate.start();
    let bare = gate.repository("infra/live");
    (gate, bare)
}

/// Adds a commit that the token signs as its signature of that number.
fn commit(work: &Clone<'_>, counter: u32, message: &str) {
    work.commit(None, &format!("OPS-1: {message}"));
    let raw = work.git(&["cat-file", "commit", "HEAD"]).ok().stdout;
    let armor = String::from_utf8(token(counter).sshsig(raw.as_bytes())).unwrap();
    let folded = armor.trim_end().replace('\n', "\n ");
    let file = work.path.join("signed-object");
    fs::write(&file, raw.replacen("\n\n", &format!("\ngpgsig {folded}\n\n"), 1)).unwrap();
    let id = work.git(&["hash-object", "-t", "commit", "-w", "signed-object"]).ok().line().to_owned();
    fs::remove_file(&file).unwrap();
    work.git(&["reset", "--quiet", "--soft", &id]).ok();
}

#[test]
fn f006_f008_f010_a_counter_that_did_not_rise_is_refused() {
    let (gate, bare) = scene("refuse");
    let work = gate.clone_of(&bare);
    commit(&work, 14, "a rebase signs in another order");
    commit(&work, 12, "than it pushes");
    work.accepted(&["main"]);
    work.accepted(&["main:release/1"]);
    work.git(&["branch", "good"]).ok();
    commit(&work, 13, "lower than the highest");
    let seen = work.push(&["main"]);
    assert!(seen.text().contains("its counter is 13, and 14 was let in before"), "{}", seen.text());
    seen.assert_refused(&["bad-signature"]);
    work.git(&["reset", "--quiet", "--soft", "good"]).ok();
    commit(&work, 14, "equal");
    work.push(&["main"]).assert_refused(&["bad-signature"]);
    work.git(&["reset", "--quiet", "--soft", "good"]).ok();
    commit(&work, 15, "twice");
    commit(&work, 15, "in one push");
    let seen = work.push(&["main"]);
    assert!(seen.text().contains("another signature in this push"), "{}", seen.text());
    seen.assert_refused(&["bad-signature"]);
    work.git(&["reset", "--quiet", "--soft", "good"]).ok();
    commit(&work, 15, "higher");
    work.accepted(&["main"]);
    work.accepted(&["main:release/2"]);
}

#[test]
fn f006_a_counter_that_did_not_rise_is_let_in_where_it_is_only_told() {
    let (gate, bare) = scene("report");
    let work = gate.clone_of(&bare);
    commit(&work, 14, "first");
    work.accepted(&["main"]);
    commit(&work, 3, "lower");
    work.accepted(&["main"]);
}

/// What `countersign verify` says of an object that no ruleset has judged is what the gate would say of it.
#[test]
fn f006_the_explanation_knows_the_counters_on_record() {
    for (strictness, status, code) in [("refuse", "wrong-purpose", 1), ("report", "verified", 0)] {
        let (gate, bare) = scene(strictness);
        let work = gate.clone_of(&bare);
        commit(&work, 14, "first");
        work.accepted(&["main"]);
        let first = work.id("HEAD");
        commit(&work, 3, "lower");
        work.accepted(&["main:topic"]);
        let explain = |id: &str| {
            let ran =
                gate.countersign(&["verify", bare.to_str().unwrap(), id, "--no-git", "--format", "json"]);
            let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
            (value["status"].as_str().unwrap().to_owned(), ran.code().unwrap(), ran.stdout)
        };
        let (known, ended, text) = explain(&first);
        assert_eq!((known.as_str(), ended), ("verified", 0), "{text}");
        let (told, ended, text) = explain(&work.id("HEAD"));
        assert_eq!((told.as_str(), ended), (status, code), "{text}");
        assert!(text.contains("its counter is 3, and 14 was let in before"), "{text}");
        let push = work.push(&["main"]);
        assert_eq!(push.ran.status.success(), code == 0, "the gate says the same: {}", push.text());
    }
}
