//! What happens between the push and the takeover, to the files that it is kept in, and by the hands of operators.

use super::site::{A_WHILE, POLICY, SOON, Site, principal};
use crate::support::gate::Gate;
use crate::support::signers::Signer;
use crate::support::wait_for;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Puts back what a directory held, as somebody does who has a backup.
fn restore(from: &Path, to: &Path) {
    for entry in fs::read_dir(to).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Ends the daemon between a push and its takeover. The daemon looks once a second, so now and then it was faster;
/// then another push is made.
fn pushed_and_not_taken(site: &Site, signer: &Signer) -> String {
    prepared_and_not_taken(site, signer, |_| {})
}

/// The same, with something done before each attempt.
fn prepared_and_not_taken(site: &Site, signer: &Signer, mut prepare: impl FnMut(u32)) -> String {
    for n in 0..20 {
        prepare(n);
        let tip = site.push(Some(signer), &format!("attempt {n}"));
        site.gate.kill();
        let taken = fs::read_to_string(site.marker()).unwrap();
        if !taken.contains(&tip) && !site.gate.home.join("keyring/.change").exists() {
            return tip;
        }
        site.gate.start();
        site.follows(&tip);
    }
    panic!("the daemon was always faster");
}

#[test]
fn n14_a_key_that_is_revoked_between_push_and_takeover_takes_nothing_over() {
    for stop in ["revoke", "suspend", "leave"] {
        let site = Site::accepted();
        let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
        site.write("bob.toml", &principal(&bob, "admins", ""));
        let tip = site.push(Some(&site.alice), "bob");
        site.follows(&tip);
        site.write("README", "by bob");
        let tip = pushed_and_not_taken(&site, &bob);
        let key = bob.public.to_str().unwrap();
        let command: Vec<&str> = match stop {
            "revoke" => vec!["keyring", "revoke", "bob", key, "--reason", "compromised"],
            "suspend" => vec!["keyring", "suspend", "bob", "--reason", "gone"],
            _ => vec!["keyring", "group", "remove", "admins", "bob", "--local", "--reason", "gone"],
        };
        let ran = site.gate.countersign(&command);
        assert!(matches!(ran.code(), Some(0 | 3)), "{ran:?}");
        site.gate.start();
        let before = site.state();
        assert_ne!(before.0, json!(tip));
        site.stays(&before, "is not signed as it has to be by the keyring in force now");
        // Nor after another push by somebody good on top of it.
        site.write("README", "by alice");
        site.add();
        site.clone().commit(Some(&site.alice), "on top");
        let push = site.clone().push(&["main"]);
        if stop == "leave" {
            push.assert_accepted();
            site.stays(&before, "is not signed as it has to be by the keyring in force now");
            let tip = site.clone().id("HEAD");
            site.accept(&tip).ok();
            site.follows(&tip);
        } else {
            push.assert_refused(&["broken-source"]);
        }
    }
}

#[test]
fn a_push_that_carries_a_key_and_a_commit_by_it_is_refused_whole() {
    let site = Site::accepted();
    let before = site.state();
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    site.write("bob.toml", &principal(&bob, "admins", ""));
    site.add();
    site.clone().commit(Some(&site.alice), "bob becomes an admin");
    let first = site.clone().id("HEAD");
    site.clone().commit(Some(&bob), "and acts as one");
    site.clone().push(&["main"]).assert_refused(&["untrusted-signer"]);
    // Beside another ref of the push neither.
    let both = [&format!("{first}:refs/heads/main"), "HEAD:refs/heads/next"];
    site.clone().push(&both).assert_accepted();
    site.follows(&first);
    assert_ne!(site.state(), before);
    // Now he is one, and what he signed before is judged now.
    site.clone().push(&["main"]).assert_accepted();
    site.follows(&site.clone().id("HEAD"));
}

#[test]
fn a_rewound_ref_gets_nothing_taken_over_even_by_a_push_on_top() {
    let site = Site::accepted();
    let first = site.clone().id("HEAD");
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    site.write("bob.toml", &principal(&bob, "sre", ""));
    let second = site.push(Some(&site.alice), "bob");
    site.follows(&second);
    let before = site.state();
    site.in_bare(&["update-ref", "refs/heads/main", &first]);
    site.stays(&before, "past the gate");
    assert_eq!(site.health()["status"], "degraded");
    site.clone().git(&["reset", "--quiet", "--hard", &first]).ok();
    site.write("README", "another line of history");
    let other = site.push(Some(&site.alice), "beside bob");
    site.stays(&before, "does not descend from");
    // The same after the daemon has started anew.
    site.gate.stop();
    site.gate.start();
    site.stays(&before, "does not descend from");
    // A merge of both goes on.
    site.clone().git(&["reset", "--quiet", "--hard", &second]).ok();
    site.clone().sign(Some(&site.alice), &["merge", "--quiet", "--no-ff", "-m", "both", &other]);
    site.clone().accepted(&["main"]);
    site.follows(&site.clone().id("HEAD"));
    wait_for("the health", SOON, || (site.health()["status"] == "ok").then_some(()));
}

#[test]
fn a_lost_state_is_said_and_never_an_older_one() {
    let site = Site::accepted();
    let saved = site.gate.sandbox.path("saved");
    let keyring = site.gate.home.join("keyring");
    copy(&keyring, &saved);
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    site.write("bob.toml", &principal(&bob, "sre", ""));
    let tip = site.push(Some(&site.alice), "bob");
    site.follows(&tip);
    let good = site.state();
    let other = site.gate.repository("app");
    let work = site.gate.clone_of(&other);
    work.commit(None, "anything");
    work.accepted(&["main"]);
    // The files of before, while the daemon runs: what is in force stays, and the files are put right.
    restore(&saved, &keyring);
    site.gate.signal(rustix::process::Signal::HUP);
    wait_for("the files to be put right", SOON, || {
        (site.state() == good && site.source()["fault"].is_null()).then_some(())
    });
    // While it is away, and the ref with them: nothing is decided until the ref is right again.
    site.gate.stop();
    restore(&saved, &keyring);
    site.in_bare(&["update-ref", "refs/heads/main", &format!("{tip}~1")]);
    let gone = site.bare.join("objects").join(&tip[..2]).join(&tip[2..]);
    let away = site.gate.sandbox.path("away");
    fs::rename(&gone, &away).unwrap();
    site.gate.start();
    work.commit(None, "more");
    work.push(&["main"]).assert_undecided("is not what was taken over last");
    assert_eq!(site.health()["ready"], false);
    assert!(site.health()["source_error"].is_string());
    fs::rename(&away, &gone).unwrap();
    site.in_bare(&["update-ref", "refs/heads/main", &tip]);
    wait_for("the state to be put right", SOON, || {
        (site.source()["fault"].is_null() && site.health()["ready"] == true).then_some(())
    });
    assert_eq!(site.state(), good);
    work.push(&["main"]).assert_accepted();
    // The marker alone.
    site.gate.stop();
    fs::remove_file(site.marker()).unwrap();
    site.gate.start();
    site.follows(&tip);
    assert_eq!(site.state(), good);
    // A marker that says something else.
    site.gate.stop();
    fs::write(site.marker(), "{").unwrap();
    let ran = site.gate.serve_fails();
    assert!(ran.stderr.contains(".source"), "{ran:?}");
    fs::remove_file(site.marker()).unwrap();
    site.gate.start();
    site.follows(&tip);
}

/// The daemon ends when the files are written and the record is not: what stands there is judged like any tip.
#[test]
fn files_without_their_record_are_judged_or_put_back() {
    let site = Site::accepted();
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    let mut old = site.state();
    let tip = prepared_and_not_taken(&site, &site.alice, |n| {
        old = site.state();
        site.write("bob.toml", &principal(&bob, &format!("sre{n}"), ""));
    });
    let (state, keyring) = (site.gate.state(), site.gate.home.join("keyring"));
    let [before, after] = ["before", "after"].map(|name| site.gate.sandbox.path(name));
    copy(&state, &before);
    site.gate.start();
    site.follows(&tip);
    let new = site.state();
    assert_ne!(old.1, new.1);
    site.gate.stop();
    copy(&keyring, &after);
    restore(&before, &state);
    site.gate.start();
    site.follows(&tip);
    assert_eq!(site.state(), new);
    let hows = |site: &Site| {
        let records = site.records("keyring-source");
        records.iter().map(|record| record["how"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(hows(&site).last().map(String::as_str), Some("seen"));
    // The ref is at something else: what is on record comes back.
    site.gate.stop();
    restore(&before, &state);
    restore(&after, &keyring);
    site.in_bare(&["update-ref", "refs/heads/main", &format!("{tip}~1")]);
    site.gate.start();
    wait_for("what is on record", SOON, || (site.state().1 == old.1).then_some(()));
    wait_for("pushes to be decided", SOON, || (site.health()["ready"] == true).then_some(()));
    assert_eq!(hows(&site).last().map(String::as_str), Some("restored"));
}

#[test]
fn a_lost_record_leaves_what_is_in_force_until_somebody_accepts() {
    let site = Site::accepted();
    site.gate.stop();
    fs::remove_dir_all(site.gate.state()).unwrap();
    fs::create_dir(site.gate.state()).unwrap();
    site.gate.start();
    wait_for("the fault", SOON, || {
        site.source()["fault"]
            .as_str()
            .is_some_and(|why| why.contains("nothing was accepted yet"))
            .then_some(())
    });
    assert_eq!(site.health()["status"], "degraded");
    let tip = site.clone().id("HEAD");
    site.accept(&tip).ok();
    site.follows(&tip);
    let record = site.records("keyring-source").pop().unwrap();
    assert_eq!((&record["commit"], &record["how"]), (&json!(tip), &json!("accepted")), "{record}");
    assert_eq!(record["reason"], "read by two");
}

#[test]
fn several_who_accept_at_once_leave_one_state() {
    let site = Site::new();
    let tip = site.clone().id("HEAD");
    let codes: Vec<Option<i32>> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..6)
            .map(|n| {
                let (config, tip) = (site.gate.config(), &tip);
                let sandbox = &site.gate.sandbox;
                let mut command = sandbox.command(crate::support::gate::PROGRAM, sandbox.root());
                command.args(["keyring", "source", "accept", tip, "--reason", &format!("number {n}")]);
                command.arg("--config").arg(config);
                scope.spawn(move || crate::support::sandbox::run(command, b"").code())
            })
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(codes.iter().all(|code| matches!(code, Some(0 | 3))) && codes.contains(&Some(0)), "{codes:?}");
    site.follows(&tip);
    let records = site.records("keyring-source");
    assert!(!records.is_empty() && records.iter().all(|one| one["commit"] == json!(tip)), "{records:?}");
    site.gate.countersign(&["audit", "verify"]).ok();
}

#[test]
fn a_daemon_that_is_killed_at_any_time_has_the_old_or_the_new_state() {
    let site = Site::accepted();
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    let carol = Signer::ssh(&site.gate.sandbox, "carol", &["ed25519"]);
    for round in 0..12_u64 {
        // Both or neither.
        let text = if round % 2 == 0 { "sre" } else { "ops" };
        site.write("bob.toml", &principal(&bob, text, ""));
        site.write("carol.toml", &principal(&carol, text, ""));
        let tip = site.push(Some(&site.alice), &format!("round {round}"));
        std::thread::sleep(Duration::from_millis(round * 110));
        site.gate.kill();
        let ran = site.gate.countersign(&["keyring", "list", "--format", "json"]).ok();
        let listed: Value = serde_json::from_str(&ran.stdout).unwrap();
        let groups = |who: &str| {
            let keys = listed["keys"].as_array().unwrap();
            keys.iter().find(|key| key["principal"] == who).map(|key| key["groups"].clone())
        };
        assert_eq!(groups("bob"), groups("carol"), "{listed}");
        site.gate.start();
        site.follows(&tip);
    }
    site.gate.countersign(&["audit", "verify"]).ok();
}

#[test]
fn edits_on_the_server_are_refused_and_local_ones_are_told() {
    let site = Site::accepted();
    let before = site.state();
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    let key = bob.public.to_str().unwrap();
    let add = ["keyring", "add", "bob", "--key", key];
    let live = site.gate.home.join("keyring");
    let edits: Vec<Vec<&str>> = vec![
        add.to_vec(),
        vec!["keyring", "import", key, "--principal", "bob"],
        vec!["keyring", "rename", "alice", "alicia"],
        vec!["keyring", "remove", "alice", "--reason", "left"],
        vec!["keyring", "group", "add", "sre", "alice"],
        vec!["keyring", "resume", "alice"],
        vec!["keyring", "rotate", "alice", "--key", key],
    ];
    for edit in &edits {
        let ran = site.gate.countersign(edit);
        assert_eq!(ran.code(), Some(1), "{edit:?}: {ran:?}");
        for said in ["infra/trust", "refs/heads/main", "--keyring", "push", "--local"] {
            assert!(ran.stderr.contains(said), "{said} of {edit:?}: {ran:?}");
        }
    }
    // Nor with the directory named, which needs no configuration.
    let ran = site.gate.program(&[&add[..], &["--keyring", live.to_str().unwrap()]].concat());
    assert!(ran.code() == Some(1) && ran.stderr.contains("--local"), "{ran:?}");
    let ran = site.gate.countersign(&[&add[..], &["--local"]].concat());
    assert!(ran.code() == Some(2) && ran.stderr.contains("--reason"), "why is said: {ran:?}");
    assert_eq!(site.state(), before);
    // In a clone they are what they always were.
    let clone = site.work.join("keyring");
    site.gate.program(&[&add[..], &["--keyring", clone.to_str().unwrap()]].concat()).ok();
    // Recovery is on record as what it is, and told until a commit takes its place.
    site.gate.countersign(&[&add[..], &["--local", "--reason", "all admins lost their keys"]].concat()).ok();
    let record = site.records("keyring-changed").pop().unwrap();
    assert_eq!((&record["action"], &record["local"]), (&json!("add"), &json!(true)), "{record}");
    assert_eq!(record["reason"], "all admins lost their keys");
    wait_for("the difference to be told", SOON, || {
        (site.source()["changed_here"] == json!(["bob"])).then_some(())
    });
    let status = site.gate.countersign(&["keyring", "status", "--wait", "10"]).ok();
    assert!(status.stdout.contains("bob"), "{status:?}");
    // Revoking and suspending need no flag: they only take away.
    site.gate.countersign(&["keyring", "suspend", "bob", "--reason", "a test"]).ok();
    let said = site.broken(Some(&site.alice), "bob without the suspension");
    assert!(said.contains("lacks 1 revocation or suspension"), "{said}");
}

#[test]
fn revoking_says_that_the_repository_has_to_have_it_too() {
    let site = Site::accepted();
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    site.write("bob.toml", &principal(&bob, "admins", ""));
    let tip = site.push(Some(&site.alice), "bob");
    site.follows(&tip);
    let key = bob.public.to_str().unwrap();
    let ran = site.gate.countersign(&["keyring", "revoke", "bob", key, "--reason", "retired"]).ok();
    assert!(ran.stderr.contains("infra/trust"), "{ran:?}");
}

#[test]
fn a_source_that_nothing_guards_is_no_configuration() {
    let gate = Gate::prepared(POLICY);
    let check = |policy: &str, why: &str| {
        gate.configure(policy);
        let ran = gate.countersign(&["config", "check"]);
        assert!(ran.code() == Some(2) && ran.stdout.contains(why), "{why}: {ran:?}");
    };
    check(POLICY, "nobody is in `group:admins`");
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    let key = alice.public.to_str().unwrap();
    let local = ["--local", "--reason", "first"];
    let add = ["keyring", "add", "alice", "--group", "admins", "--key", key];
    gate.countersign(&[&add[..], &local].concat()).ok();
    check(&POLICY.replace("group:admins", "group:nobody"), "nobody is in `group:nobody`");
    for signers in ["person:alice", "group:*", "*", "alice", "group:"] {
        check(&POLICY.replace("group:admins", signers), "names no group");
    }
    check(POLICY, "there is no repository `infra/trust`");
    let elsewhere = gate.sandbox.bare("elsewhere.git", &[]);
    fs::create_dir_all(gate.place("infra/trust").parent().unwrap()).unwrap();
    symlink(&elsewhere, gate.place("infra/trust")).unwrap();
    check(POLICY, "is not below the repository root");
    fs::remove_file(gate.place("infra/trust")).unwrap();
    let bare = gate.bare("infra/trust", &[]);
    check(POLICY, "countersign install");
    gate.install(&bare);
    gate.configure(POLICY);
    gate.countersign(&["config", "check"]).ok();
    // Its hook is gone, or does nothing.
    let hook = bare.join("hooks/pre-receive");
    let text = fs::read(&hook).unwrap();
    fs::remove_file(&hook).unwrap();
    check(POLICY, "countersign install");
    fs::write(&hook, "#!/bin/sh\nexit 0\n").unwrap();
    check(POLICY, "countersign install");
    fs::write(&hook, text).unwrap();
    gate.repository_keys.replace("namespaces = [\"refs/for/\"]".to_owned());
    check(POLICY, "namespaces");
    gate.repository_keys.replace(String::new());
    // A hook that decides by itself has nobody who looks at the ref.
    gate.configure(POLICY);
    let ran = gate.countersign(&["install", bare.to_str().unwrap(), "--standalone"]);
    assert!(!ran.status.success() && ran.stderr.contains("keyring.source"), "{ran:?}");
    std::thread::sleep(A_WHILE / 8);
}
