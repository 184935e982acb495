//! Rulesets from the same commit as the keyring.

use super::site::{A_WHILE, POLICY, SOON, Site, principal};
use crate::support::signers::Signer;
use crate::support::wait_for;
use serde_json::json;
use std::fs;

const TICKETS: &str = "[[ruleset]]\nname = \"tickets\"\nrepositories = [\"app\"]\nrefs = [\"refs/heads/main\"]\n\
                       enforcement = \"enforce\"\n[ruleset.refuse]\nmissing-ticket = { projects = [\"OPS\"] }\n";

fn policy() -> String {
    POLICY.replace("path = \"keyring\"\n", "path = \"keyring\"\nrulesets = \"rules\"\n")
}

fn site() -> Site {
    Site::with(&policy(), |site| write(site, "tickets.toml", TICKETS))
}

fn write(site: &Site, name: &str, text: &str) {
    fs::create_dir_all(site.work.join("rules")).unwrap();
    fs::write(site.work.join("rules").join(name), text).unwrap();
}

#[test]
fn rulesets_of_the_commit_are_in_force_and_nothing_is_decided_before_they_are() {
    let site = site();
    let app = site.gate.repository("app");
    let work = site.gate.clone_of(&app);
    work.commit(None, "no ticket");
    // The source itself can be pushed to, so that there is something to accept; nothing else.
    work.push(&["main"]).assert_undecided("nothing was accepted yet");
    assert_eq!(site.health()["ready"], false);
    site.write("README", "more");
    let tip = site.push(Some(&site.alice), "more");
    site.accept(&tip).ok();
    site.follows(&tip);
    assert_eq!(site.health()["ready"], true);
    work.push(&["main"]).assert_refused(&["missing-ticket"]);
    let shown = site.gate.countersign(&["config", "show", "--repo", "app", "--ref", "refs/heads/main"]).ok();
    assert!(shown.stdout.contains("tickets"), "{shown:?}");
    // Loosened by a commit, once it is taken over.
    write(&site, "tickets.toml", &TICKETS.replace("OPS", "SEC"));
    let tip = site.push(Some(&site.alice), "another project");
    site.follows(&tip);
    work.git(&["commit", "--quiet", "--amend", "--allow-empty", "-m", "SEC-1: a ticket"]).ok();
    work.push(&["main"]).assert_accepted();
    // By nobody else.
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    fs::remove_file(site.work.join("rules/tickets.toml")).unwrap();
    site.add();
    site.clone().commit(Some(&bob), "no tickets");
    site.clone().push(&["main"]).assert_refused(&["untrusted-signer"]);
    site.back();
    // Keyring and rulesets change in one step, and both survive the daemon.
    site.write("bob.toml", &principal(&bob, "sre", ""));
    write(
        &site,
        "signed.toml",
        &TICKETS.replace("tickets", "signed").replace(
            "missing-ticket = { projects = [\"OPS\"] }",
            "untrusted-signer = { allow = [\"group:sre\"] }",
        ),
    );
    let tip = site.push(Some(&site.alice), "bob, and only bob");
    site.follows(&tip);
    site.gate.adopt(&app).ok();
    site.gate.kill();
    site.gate.start();
    work.commit(Some(&site.alice), "SEC-2: not in the group");
    work.push(&["main"]).assert_refused(&["untrusted-signer"]);
    work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    work.commit(Some(&bob), "SEC-2: in the group");
    work.push(&["main"]).assert_accepted();
    let record = site.records("keyring-source").pop().unwrap();
    assert_eq!(record["commit"], json!(tip));
    site.gate.countersign(&["config", "check"]).ok();
}

#[test]
fn rulesets_that_would_not_load_are_refused_when_they_are_pushed() {
    let site = site();
    let tip = site.clone().id("HEAD");
    site.accept(&tip).ok();
    site.follows(&tip);
    let cases = [
        ("rules/more.toml:3:", TICKETS.replace("repositories", "repos"), "more.toml"),
        ("already", TICKETS.to_owned(), "more.toml"),
        ("keyring-source", TICKETS.replace("\"tickets\"", "\"keyring-source\""), "more.toml"),
        ("only holds `[[ruleset]]`", "[policy]\nuncovered = \"accept\"\n".to_owned(), "more.toml"),
        ("rules/more.TOML", TICKETS.to_owned(), "more.TOML"),
        ("rules/M\u{f6}re.toml", TICKETS.to_owned(), "M\u{f6}re.toml"),
    ];
    for (why, text, name) in cases {
        write(&site, name, &text);
        let said = site.broken(Some(&site.alice), why);
        assert!(said.contains(why) || said.contains("rules/M\\"), "{why}\n{said}");
        assert!(said.contains("countersign config check"), "how to test it: {said}");
        assert!(!said.contains(site.gate.home.to_str().unwrap()), "no path of the server: {said}");
    }
    fs::remove_dir_all(site.work.join("rules")).unwrap();
    let said = site.broken(Some(&site.alice), "no rules");
    assert!(said.contains("there is no directory `rules`"), "{said}");
    assert_eq!(site.source()["commit"], json!(tip));
}

#[test]
fn lost_rulesets_let_nobody_in() {
    let site = site();
    let tip = site.clone().id("HEAD");
    site.accept(&tip).ok();
    site.follows(&tip);
    let app = site.gate.repository("app");
    let work = site.gate.clone_of(&app);
    work.commit(None, "no ticket");
    let gone = site.bare.with_extension("away");
    site.gate.stop();
    fs::rename(&site.bare, &gone).unwrap();
    let text = fs::read_to_string(site.marker()).unwrap();
    fs::remove_file(site.marker()).unwrap();
    site.gate.start();
    work.push(&["main"]).assert_undecided("is not what was taken over last");
    // With fewer of them neither: the file is another one than the record knows.
    site.gate.stop();
    fs::write(site.marker(), text.replace("OPS", "SEC")).unwrap();
    site.gate.start();
    work.push(&["main"]).assert_undecided("is not what was taken over last");
    std::thread::sleep(A_WHILE);
    work.push(&["main"]).assert_undecided("is not what was taken over last");
    fs::rename(&gone, &site.bare).unwrap();
    wait_for("the state to be put right", SOON, || site.source()["fault"].is_null().then_some(()));
    work.push(&["main"]).assert_refused(&["missing-ticket"]);
    assert!(fs::read_to_string(site.marker()).unwrap().contains("OPS"));
}
