//! What somebody who is no operator tries, with commits of the right people or with the repository's files.

use super::site::{A_WHILE, POLICY, SOON, Site, principal};
use crate::support::sandbox::{Ran, run};
use crate::support::signers::Signer;
use crate::support::wait_for;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// A command in a work tree's keyring, as somebody does who is told to do it there.
fn in_clone(site: &Site, arguments: &[&str]) -> Ran {
    let keyring = site.work.join("keyring");
    let keyring = ["--keyring", keyring.to_str().unwrap()];
    site.gate.program(&[&["keyring"], arguments, &keyring[..]].concat()).ok()
}

fn loose(bare: &Path, id: &str) -> PathBuf {
    bare.join("objects").join(&id[..2]).join(&id[2..])
}

/// One file for reviewers, and another one that counts.
#[test]
fn two_files_are_never_one_principals() {
    let site = Site::accepted();
    let before = site.state();
    let mallory = Signer::ssh(&site.gate.sandbox, "mallory", &["ed25519"]);
    let alice = fs::read_to_string(site.path("alice.toml")).unwrap();
    let key = fs::read_to_string(&mallory.public).unwrap();
    site.write("alice.toml.toml", &format!("{alice}\n[[key]]\nssh = \"{}\"\n", key.trim()));
    let said = site.broken(Some(&site.alice), "a second file of alice's");
    assert!(said.contains("alice.toml.toml"), "{said}");
    std::thread::sleep(A_WHILE);
    assert_eq!(site.state(), before);
}

#[test]
fn n14_what_is_revoked_is_not_left_out_first_and_brought_back_then() {
    let site = Site::accepted();
    let sandbox = &site.gate.sandbox;
    let carol = Signer::openpgp(sandbox, "carol", "ed25519", "1y", None);
    in_clone(&site, &["add", "carol", "--group", "sre", "--key", carol.public.to_str().unwrap()]);
    let ca = Signer::ssh(sandbox, "ca", &["ed25519"]);
    let line = fs::read_to_string(&ca.public).unwrap();
    let authority = format!(
        "name = \"ca\"\nkind = \"bot\"\n[[authority]]\nssh = \"{}\"\nprincipals = [\"*\"]\n",
        line.trim()
    );
    site.write("ca.toml", &authority);
    let tip = site.push(Some(&site.alice), "carol, and an authority");
    site.follows(&tip);
    let live = site.gate.home.join("keyring");
    let carols = carol.public.to_str().unwrap();
    site.gate.countersign(&["keyring", "revoke", "carol", carols, "--reason", "compromised"]).ok();
    let revoked = fs::read_to_string(live.join("ca.toml")).unwrap().replace(
        "principals",
        "revoked = { at = 2026-01-01T00:00:00Z, reason = \"compromised\" }\nprincipals",
    );
    fs::write(live.join("ca.toml"), &revoked).unwrap();
    site.gate.reload();
    fs::copy(live.join("carol.toml"), site.path("carol.toml")).unwrap();
    fs::remove_file(site.path("ca.toml")).unwrap();
    let said = site.broken(Some(&site.alice), "without the authority");
    assert!(said.contains("lacks 1 revocation"), "{said}");
    site.write("ca.toml", &revoked);
    fs::remove_file(site.path("carol.toml")).unwrap();
    let said = site.broken(Some(&site.alice), "without carol");
    assert!(said.contains("lacks 1 revocation"), "{said}");
    site.write("ca.toml", &revoked);
    fs::copy(live.join("carol.toml"), site.path("carol.toml")).unwrap();
    let tip = site.push(Some(&site.alice), "as on the server");
    site.follows(&tip);
}

/// The command that is told is the one that helps, although it runs later than the one on the server.
#[test]
fn n14_the_same_revocation_made_in_the_repository_is_the_same() {
    for reason in ["retired", "superseded", "compromised", "suspend"] {
        let site = Site::accepted();
        let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
        site.write("bob.toml", &principal(&bob, "sre", ""));
        let tip = site.push(Some(&site.alice), "bob");
        site.follows(&tip);
        let key = bob.public.to_str().unwrap();
        let command: Vec<&str> = match reason {
            "suspend" => vec!["suspend", "bob", "--reason", "gone"],
            _ => vec!["revoke", "bob", key, "--reason", reason],
        };
        site.gate.countersign(&[&["keyring"], &command[..]].concat()).ok();
        std::thread::sleep(std::time::Duration::from_millis(1100));
        // What says less, or begins later, is not the same.
        if reason == "compromised" {
            in_clone(&site, &["revoke", "bob", key, "--reason", "retired"]);
            let said = site.broken(Some(&site.alice), "a lesser reason");
            assert!(said.contains("lacks 1 revocation"), "{said}");
        }
        let text = fs::read_to_string(site.path("bob.toml")).unwrap();
        let late = match reason {
            "suspend" => {
                text.replacen('\n', "\nsuspended = { at = 2099-01-01T00:00:00Z, reason = \"x\" }\n", 1)
            }
            "compromised" => format!(
                "{text}revoked = {{ at = 2026-01-01T00:00:00Z, effective-from = 2026-01-01T00:00:00Z, reason = \"compromised\" }}\n"
            ),
            _ => format!("{text}revoked = {{ at = 2099-01-01T00:00:00Z, reason = \"{reason}\" }}\n"),
        };
        site.write("bob.toml", &late);
        let said = site.broken(Some(&site.alice), "later");
        assert!(said.contains("lacks 1 revocation"), "{reason}: {said}");
        in_clone(&site, &command);
        let tip = site.push(Some(&site.alice), "as I was told");
        site.follows(&tip);
        let shown = site.gate.countersign(&["keyring", "list", "--revoked", "--format", "json"]);
        assert!(reason == "suspend" || shown.stdout.contains("bob"), "{shown:?}");
    }
}

/// Whoever can write the repository's files puts another commit in the place of an old one, which nobody signs
/// again, so that a draft beside the state in force seems to stand on it.
#[test]
fn a_forged_object_makes_no_descent() {
    let site = Site::new();
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    site.write("bob.toml", &principal(&bob, "admins", ""));
    let first = site.push(Some(&site.alice), "bob is an admin");
    site.accept(&first).ok();
    site.follows(&first);
    let work = site.clone();
    site.write("README", "a draft");
    site.add();
    let draft = work.commit(Some(&site.alice), "a draft, on the state with bob as an admin");
    work.push(&["HEAD:refs/heads/draft"]).assert_accepted();
    site.back();
    site.write("bob.toml", &principal(&bob, "sre", ""));
    let second = site.push(Some(&site.alice), "bob is no admin any more");
    site.follows(&second);
    let before = site.state();
    // The old one goes on to the new one, and a walk by dates finds that before it finds the opposite.
    for (id, parent, date) in [(&first, &second, 1_u64 << 33), (&second, &first, 1)] {
        let tree = work.id(&format!("{id}^{{tree}}"));
        let who = format!("x <x@example.com> {date} +0000");
        let forged = format!("tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n\nx\n");
        let arguments = ["hash-object", "-t", "commit", "-w", "--stdin", "--literally"];
        let forged = site.gate.sandbox.git_with_input(&site.bare, &arguments, forged.as_bytes()).ok();
        let place = loose(&site.bare, id);
        assert!(place.exists(), "it was pushed as a loose object");
        fs::remove_file(&place).unwrap();
        fs::copy(loose(&site.bare, forged.line()), &place).unwrap();
    }
    // Git itself would notice; whoever can write there asks the gate without it.
    let mut hook = site.gate.sandbox.command(site.bare.join("hooks/pre-receive"), &site.bare);
    hook.env("GIT_DIR", &site.bare);
    run(hook, format!("{second} {draft} refs/heads/main\n").as_bytes()).ok();
    fs::write(site.bare.join("refs/heads/main"), format!("{draft}\n")).unwrap();
    site.stays(&before, "does not have the content that its id names");
}

/// A repository that cannot be read to its end keeps nobody from hearing of a revocation.
#[test]
fn n15_a_repository_that_hangs_does_not_keep_revocations_out() {
    let site = Site::accepted();
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    site.write("bob.toml", &principal(&bob, "admins", ""));
    let tip = site.push(Some(&site.alice), "bob");
    site.follows(&tip);
    // Opening a pipe waits for somebody who writes. As the ref it is found out.
    let pipe = |name: &str| {
        let path = site.bare.join(name);
        fs::remove_file(&path).unwrap();
        let mut command = site.gate.sandbox.command("mkfifo", site.gate.sandbox.root());
        command.arg(&path);
        run(command, b"").ok();
    };
    pipe("refs/heads/main");
    wait_for("the pipe to be found out", SOON, || {
        site.source()["fault"].as_str().is_some_and(|why| why.contains("no plain file")).then_some(())
    });
    pipe("countersign-id");
    std::thread::sleep(A_WHILE);
    let file = site.gate.home.join("keyring/bob.toml");
    let text = fs::read_to_string(&file).unwrap();
    let entry = "revoked = { at = 2026-01-01T00:00:00Z, reason = \"retired\" }\n";
    fs::write(&file, format!("{text}{entry}")).unwrap();
    wait_for("the edit to be found", SOON, || {
        site.records("keyring-found").iter().any(|one| one["principals"] == json!(["bob"])).then_some(())
    });
}

/// Rules about who pushes say nothing about the state that was pushed.
#[test]
fn rules_about_pushers_do_not_keep_a_state_from_being_taken_over() {
    let policy = format!(
        "{POLICY}\n[[ruleset]]\nname = \"pushers\"\nrepositories = [\"infra/*\"]\nrefs = [\"refs/heads/main\"]\n\
         enforcement = \"enforce\"\n[ruleset.refuse]\nunauthorized-pusher = {{ create = [\"person:alice\"], \
         update = [\"person:alice\"] }}\n"
    );
    let site = Site::accepted();
    site.gate.repository_keys.replace("server = \"git-http-backend\"".to_owned());
    let alice = fs::read_to_string(site.path("alice.toml")).unwrap();
    let with = alice.replacen('\n', "\naccounts = [\"git-http-backend:alice\"]\n", 1);
    site.write("alice.toml", &with);
    let tip = site.push(Some(&site.alice), "alice's account");
    site.follows(&tip);
    site.gate.reconfigure(&policy);
    let work = site.clone().with_env("REMOTE_USER", "alice");
    site.write("README", "more");
    site.add();
    let tip = work.commit(Some(&site.alice), "more");
    work.accepted(&["main"]);
    site.follows(&tip);
}

/// A section that is taken out takes rulesets with it: nobody should learn that from an accepted push.
#[test]
fn a_section_that_is_taken_out_is_said() {
    let policy = POLICY.replace("path = \"keyring\"\n", "path = \"keyring\"\nrulesets = \"rules\"\n");
    let site = Site::with(&policy, |site| {
        fs::create_dir_all(site.work.join("rules")).unwrap();
        let text = "[[ruleset]]\nname = \"linear\"\nrepositories = [\"app\"]\nrefs = [\"refs/heads/main\"]\n\
                    enforcement = \"enforce\"\n[ruleset.refuse]\nforce-push = true\n";
        fs::write(site.work.join("rules/linear.toml"), text).unwrap();
    });
    let tip = site.clone().id("HEAD");
    site.accept(&tip).ok();
    site.follows(&tip);
    site.gate.configure(POLICY.split("[keyring.source]").next().unwrap());
    let ran = site.gate.countersign(&["config", "check"]).ok();
    let said = [ran.stdout, ran.stderr].concat();
    assert!(said.contains("no [keyring.source] follows it now, and a file of rulesets"), "{said}");
    fs::remove_file(site.marker()).unwrap();
    let ran = site.gate.countersign(&["config", "check"]).ok();
    assert!(![ran.stdout, ran.stderr].concat().contains("keyring.source"));
}
