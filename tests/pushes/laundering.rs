//! Getting commits onto a protected ref by a way round: none of them works (N7 to N10).

use crate::support::gate::{Gate, PRODUCTION};
use crate::support::history;
use crate::support::signers::Signer;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A repository whose `main` has one accepted commit.
fn scene(policy: &str) -> (Gate, Signer, PathBuf) {
    let (gate, alice) = Gate::with_alice(policy);
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    work.accepted(&["main"]);
    (gate, alice, bare)
}

#[test]
fn n07_not_through_an_uncovered_branch() {
    let (gate, alice, bare) = scene(PRODUCTION);
    let work = gate.clone_at(&bare, "main");
    work.commit(None, "OPS-2: unsigned");
    work.accepted(&["main:topic"]);
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    work.push(&["main:release/1"]).assert_refused(&["unsigned-commit"]);
    work.commit(Some(&alice), "OPS-3: signed on top");
    work.accepted(&["main:topic"]);
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
}

#[test]
fn n07_not_through_a_tag() {
    let (gate, _, bare) = scene(PRODUCTION);
    let work = gate.clone_at(&bare, "main");
    work.commit(None, "OPS-2: unsigned");
    work.sign(None, &["tag", "-a", "-m", "annotated", "v1"]);
    work.sign(None, &["tag", "light"]);
    work.accepted(&["v1", "light"]);
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
}

#[test]
fn n07_not_through_another_ref_of_the_same_push() {
    let (gate, _, bare) = scene(PRODUCTION);
    let work = gate.clone_at(&bare, "main");
    work.commit(None, "OPS-2: unsigned");
    for refspecs in [["main:a-topic", "main"], ["main", "main:z-topic"], ["main:refs/tags/v1", "main"]] {
        work.push(&refspecs).assert_refused(&["unsigned-commit"]);
    }
}

#[test]
fn n07_not_through_a_selector_that_is_widened() {
    let narrow = PRODUCTION.replace("\"refs/heads/main\", \"refs/heads/release/**\"", "\"refs/heads/main\"");
    assert_ne!(narrow, PRODUCTION);
    let (gate, alice, bare) = scene(&narrow);
    let work = gate.clone_at(&bare, "main");
    work.commit(None, "OPS-2: unsigned");
    work.accepted(&["main:release/1"]);
    gate.reconfigure(PRODUCTION);
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    work.commit(Some(&alice), "OPS-3: signed on top");
    work.push(&["main:release/1"]).assert_refused(&["unsigned-commit"]);
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
}

#[test]
fn n07_not_by_way_of_an_evaluation() {
    let evaluate = PRODUCTION.replace("\"enforce\"", "\"evaluate\"");
    let (gate, alice) = Gate::with_alice(&evaluate);
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(None, "OPS-1: unsigned, under evaluation");
    work.accepted(&["main"]);
    gate.reconfigure(PRODUCTION);
    // Nothing was ever accepted in earnest: somebody has to vouch for what is there.
    work.commit(Some(&alice), "OPS-2: signed on top");
    work.push(&["main"]).assert_undecided("countersign adopt");
}

#[test]
fn n07_not_by_way_of_an_evaluation_in_between() {
    let (gate, alice, bare) = scene(PRODUCTION);
    let work = gate.clone_at(&bare, "main");
    gate.reconfigure(&PRODUCTION.replace("\"enforce\"", "\"evaluate\""));
    work.commit(None, "OPS-2: unsigned, under evaluation");
    work.accepted(&["main"]);
    gate.reconfigure(PRODUCTION);
    work.commit(Some(&alice), "OPS-3: signed on top");
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
}

#[test]
fn n07_not_through_a_ref_that_was_moved_behind_the_gate() {
    let (gate, alice, bare) = scene(PRODUCTION);
    let work = gate.clone_at(&bare, "main");
    let unsigned = work.commit(None, "OPS-2: unsigned");
    work.accepted(&["main:topic"]);
    gate.sandbox.git(&bare, &["update-ref", "refs/heads/main", &unsigned]).ok();
    work.commit(Some(&alice), "OPS-3: signed on top");
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    assert!(gate.log().contains("moved past the gate"), "drift is reported:\n{}", gate.log());
}

#[test]
fn n07_what_one_ruleset_accepted_is_new_to_another() {
    let two = format!(
        "{PRODUCTION}\n[[ruleset]]\nname = \"tickets\"\nrepositories = [\"**\"]\nrefs = [\"refs/heads/topic/**\"]\n\n\
         [ruleset.refuse]\nmissing-ticket = {{ projects = [\"OPS\"], where = [\"subject\"] }}\n"
    );
    let (gate, _, bare) = scene(&two);
    let work = gate.clone_at(&bare, "main");
    work.commit(None, "OPS-2: unsigned, with a ticket");
    work.accepted(&["main:topic/1"]);
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
}

#[test]
fn n07_what_was_accepted_on_one_covered_ref_is_not_judged_again_on_another() {
    let (gate, alice, bare) = scene(PRODUCTION);
    let work = gate.clone_at(&bare, "main");
    work.commit(Some(&alice), "OPS-2: next");
    work.accepted(&["main"]);
    // Her key is gone, her commits stay accepted.
    fs::remove_file(gate.home.join("keyring/alice.toml")).unwrap();
    let olga = Signer::ssh(&gate.sandbox, "olga", &["ed25519"]);
    gate.trust(&olga, "sre");
    gate.reload();
    work.accepted(&["main:release/1"]);
    // And so they do when the rules of the ruleset change.
    gate.reconfigure(&PRODUCTION.replace("\"OPS\"", "\"SEC\""));
    work.commit(Some(&olga), "SEC-1: another project");
    work.accepted(&["main"]);
}

#[test]
fn n09_history_that_nobody_vouched_for_is_undecided_until_it_is_adopted() {
    let (gate, alice) = Gate::production();
    let bare = gate.bare("infra/old", &[]);
    let work = gate.clone_of(&bare);
    work.commit(None, "long before the gate");
    work.accepted(&["main"]);
    gate.install(&bare);
    work.commit(Some(&alice), "OPS-1: the first with the gate");
    let push = work.push(&["main"]).assert_undecided("countersign adopt");
    assert!(push.text().contains(bare.to_str().unwrap()), "{}", push.text());
    work.accepted(&["main:topic"]);

    // Without --yes and without anybody to ask, nothing is adopted.
    let asked = gate.countersign(&["adopt", bare.to_str().unwrap()]);
    assert!(!asked.status.success(), "{}", asked.stdout);
    work.push(&["main"]).assert_undecided("countersign adopt");

    let adopted = gate.adopt(&bare).ok();
    assert!(
        adopted.stdout.contains("refs/heads/main") && adopted.stdout.contains("production"),
        "{}",
        adopted.stdout
    );
    work.accepted(&["main"]);
    let log = gate.countersign(&["audit", "log"]).ok().stdout;
    assert!(log.contains("adopt"), "{log}");
    work.commit(None, "OPS-2: unsigned");
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
}

#[test]
fn n09_a_lost_state_does_not_vouch_for_anything() {
    let (gate, alice, bare) = scene(PRODUCTION);
    let work = gate.clone_at(&bare, "main");
    gate.stop();
    fs::remove_dir_all(gate.state()).unwrap();
    gate.start();
    work.commit(Some(&alice), "OPS-2: after the loss");
    work.push(&["main"]).assert_undecided("countersign adopt");
    gate.adopt(&bare).ok();
    work.accepted(&["main"]);
}

#[test]
fn n10_what_was_decided_but_not_applied_is_judged_again() {
    let (gate, alice, bare) = scene(PRODUCTION);
    let olga = Signer::ssh(&gate.sandbox, "olga", &["ed25519"]);
    gate.trust(&olga, "sre");
    gate.reload();
    let work = gate.clone_at(&bare, "main");
    work.commit(Some(&alice), "OPS-2: stopped by another hook");
    let update = bare.join("hooks/update");
    fs::write(&update, "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(&update, fs::Permissions::from_mode(0o755)).unwrap();
    let push = crate::support::sandbox::run(work.push_command(&["main"]), b"");
    assert!(!push.status.success() && !push.stderr.contains("error["), "{}", push.stderr);
    fs::remove_file(&update).unwrap();

    fs::remove_file(gate.home.join("keyring/alice.toml")).unwrap();
    gate.reload();
    work.commit(Some(&olga), "OPS-3: on top");
    work.push(&["main"]).assert_refused(&["untrusted-signer"]);
}

#[test]
fn n10_a_ref_that_is_seen_at_its_decided_value_is_applied() {
    let (gate, alice, bare) = scene(PRODUCTION);
    let olga = Signer::ssh(&gate.sandbox, "olga", &["ed25519"]);
    gate.trust(&olga, "sre");
    gate.reload();
    let work = gate.clone_at(&bare, "main");
    fs::rename(bare.join("hooks/post-receive"), bare.join("hooks/post-receive.off")).unwrap();
    work.commit(Some(&alice), "OPS-2: nobody reports that it is in");
    work.accepted(&["main"]);
    fs::remove_file(gate.home.join("keyring/alice.toml")).unwrap();
    gate.reload();
    work.commit(Some(&olga), "OPS-3: on top");
    work.accepted(&["main"]);
}

#[test]
fn n25_the_form_of_old_history_does_not_matter() {
    let (gate, alice) = Gate::production();
    let bare = gate.bare("infra/old", &[]);
    let work = gate.clone_of(&bare);
    let tree = gate.sandbox.git_with_input(&work.path, &["mktree"], b"").ok();
    let who = "A <a@example.com> 1700000000 +0000";
    let odd = format!("tree {0}\nauthor {who}\nauthor {who}\ncommitter {who}\n\nodd\n", tree.line());
    let arguments = ["hash-object", "-t", "commit", "-w", "--literally", "--stdin"];
    let odd = gate.sandbox.git_with_input(&work.path, &arguments, odd.as_bytes()).ok();
    work.branch("main", odd.line());
    let base = format!("{}:refs/heads/main", odd.line());
    let pushed = crate::support::sandbox::run(work.push_command(&[&base]), b"");
    pushed.ok();
    gate.install(&bare);
    gate.adopt(&bare).ok();
    work.commit(Some(&alice), "OPS-1: on top");
    let pushed = crate::support::sandbox::run(work.push_command(&["main"]), b"").ok();
    assert!(!pushed.stderr.contains("countersign"), "{}", pushed.stderr);
}

#[test]
fn n10_every_ref_of_a_push_with_thousands_of_them_is_applied() {
    let tickets = |project: &str| {
        format!(
            "[policy]\nuncovered = \"accept\"\n\n[[ruleset]]\nname = \"tickets\"\nrepositories = [\"**\"]\n\
             refs = [\"refs/heads/**\"]\n\n[ruleset.refuse]\n\
             missing-ticket = {{ projects = [\"{project}\"], where = [\"subject\"] }}\n"
        )
    };
    let (gate, _) = Gate::with_alice(&tickets("OPS"));
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let count = 1500;
    let ids = history::line(&gate.sandbox, &work.path, "refs/import", count);
    let updates: String =
        ids.iter().enumerate().map(|(n, id)| format!("create refs/heads/r/{n} {id}\n")).collect();
    gate.sandbox.git_with_input(&work.path, &["update-ref", "--stdin"], updates.as_bytes()).ok();
    work.accepted(&["refs/heads/r/*:refs/heads/r/*"]);
    gate.reconfigure(&tickets("SEC"));
    for n in [0, count / 2, count - 1] {
        work.git(&["checkout", "--quiet", "--force", &format!("r/{n}")]).ok();
        work.commit(None, "SEC-1: on top of what was accepted");
        work.accepted(&[&format!("HEAD:refs/heads/r/{n}")]);
    }
    let records = gate.audit();
    let applied = records.iter().filter(|record| record["kind"] == "applied");
    let applied: usize = applied.map(|record| record["refs"].as_array().unwrap().len()).sum();
    assert!(applied >= count, "{applied} of {count}");
}

#[test]
fn n23_refs_that_share_a_history_have_its_faults_once() {
    let policy = "[policy]\nuncovered = \"accept\"\n\n[[ruleset]]\nname = \"signed\"\nrepositories = [\"**\"]\n\
                  refs = [\"refs/heads/**\"]\n\n[ruleset.refuse]\nunsigned-commit = true\n";
    let (gate, _) = Gate::with_alice(policy);
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let ids = history::line(&gate.sandbox, &work.path, "refs/import", 40);
    let updates: String =
        (0..30).map(|n| format!("create refs/heads/r/{n} {}\n", ids[ids.len() - 1 - n % 5])).collect();
    gate.sandbox.git_with_input(&work.path, &["update-ref", "--stdin"], updates.as_bytes()).ok();
    let push = work.push(&["refs/heads/r/*:refs/heads/r/*"]).assert_refused(&["unsigned-commit"]);
    assert!(push.ran.stderr.contains("refused this push: 40 violations"), "{}", push.ran.stderr);
}

#[test]
fn n08_what_a_compromised_key_left_behind_is_of_its_own_ref_alone() {
    let (gate, alice, bare) = scene(PRODUCTION);
    let carol = Signer::ssh(&gate.sandbox, "carol", &["ed25519"]);
    gate.trust(&carol, "sre");
    gate.reload();
    let work = gate.clone_at(&bare, "main");
    let clean = work.commit(Some(&carol), "OPS-2: before it");
    work.accepted(&["main"]);
    let stolen = work.commit(Some(&alice), "OPS-3: by a key that is stolen");
    work.accepted(&["main:release/1"]);

    let file = gate.config().parent().unwrap().join("keyring/alice.toml");
    let text = fs::read_to_string(&file).unwrap();
    let key = text.find("[[key]]").unwrap() + "[[key]]\n".len();
    let revoked = "revoked = { at = 2026-01-01T00:00:00Z, reason = \"compromised\" }\n";
    fs::write(&file, format!("{}{revoked}{}", &text[..key], &text[key..])).unwrap();
    gate.reload();

    for target in ["main", "release/2"] {
        work.push(&[&format!("{stolen}:refs/heads/{target}")]).assert_refused(&["bad-signature"]);
    }
    work.commit(Some(&carol), "OPS-4: on top of it");
    work.push(&["main"]).assert_refused(&["bad-signature"]);
    work.accepted(&["main:release/1"]);
    work.push(&["main:release/2"]).assert_refused(&["bad-signature"]);
    // What alice signed before on `main` stands there; it goes nowhere else.
    work.branch("main", &clean);
    work.commit(Some(&carol), "OPS-5: on what stood already");
    work.accepted(&["main"]);
    work.push(&["main:release/3"]).assert_refused(&["bad-signature"]);
}

/// What its own ref may build on, another ref may not by coming along in the same push.
#[test]
fn n08_tainted_history_does_not_reach_another_ref_beside_its_own() {
    let (gate, alice, bare) = scene(PRODUCTION);
    let carol = Signer::ssh(&gate.sandbox, "carol", &["ed25519"]);
    gate.trust(&carol, "sre");
    gate.reload();
    let work = gate.clone_at(&bare, "main");
    let stolen = work.commit(Some(&alice), "OPS-2: by a key that is stolen");
    work.accepted(&["main"]);
    crate::history::edit_key(&gate, "alice", crate::history::STOLEN);
    gate.reload();
    let next = work.commit(Some(&carol), "OPS-3: on top of it");
    for target in ["release/1", "a/before"] {
        let policy = PRODUCTION.replace("\"refs/heads/main\",", "\"refs/heads/main\", \"refs/heads/a/**\",");
        gate.reconfigure(&policy);
        work.push(&["main", &format!("main:{target}")]).assert_refused(&["bad-signature"]);
        work.push(&["main", &format!("{stolen}:refs/heads/{target}")]).assert_refused(&["bad-signature"]);
    }
    work.accepted(&["main"]);
    assert_eq!(work.server("refs/heads/main").as_deref(), Some(next.as_str()));
    for target in ["release/1", "a/before"] {
        work.push(&[&format!("main:{target}")]).assert_refused(&["bad-signature"]);
    }
}
