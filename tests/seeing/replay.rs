//! `countersign replay`: a proposed configuration over real decisions and over a branch.

use crate::support::gate::{Gate, PRODUCTION};
use crate::support::sandbox::Ran;
use crate::support::snapshot::Snapshot;
use crate::{json, named};
use serde_json::Value;
use std::fs;

/// Writes a proposed configuration beside the one in force, and gives its path.
fn proposed(gate: &Gate, change: impl Fn(&str) -> String) -> String {
    let path = gate.home.join("proposed.toml");
    fs::write(&path, change(&fs::read_to_string(gate.config()).unwrap())).unwrap();
    path.to_str().unwrap().to_owned()
}

fn replay(gate: &Gate, config: &str, more: &[&str]) -> Ran {
    let mut arguments = vec!["--config", config, "replay"];
    arguments.extend(more);
    gate.program(&arguments)
}

fn counts(document: &Value) -> [u64; 5] {
    ["newly_refused", "newly_accepted", "still_accepted", "still_refused", "unjudged"]
        .map(|key| document[key].as_u64().unwrap())
}

/// A gate with four decisions: two pushes that went in, one refused for good, one refused whose commits came in later.
fn decided() -> (Gate, std::path::PathBuf) {
    let (gate, alice) = Gate::production();
    let bare = gate.repository("infra/app");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: first");
    work.accepted(&["HEAD:refs/heads/main"]);
    work.commit(Some(&alice), "OPS-2: WIP of the second");
    work.accepted(&["HEAD:refs/heads/main"]);
    let good = work.id("HEAD");
    work.commit(None, "nobody signs this");
    work.push(&["HEAD:refs/heads/main"]).assert_refused(&["unsigned-commit", "missing-ticket"]);
    work.git(&["reset", "--quiet", "--hard", &good]).ok();
    // The rewind is refused; what it moves to is in the repository.
    work.push(&["--force", "HEAD~1:refs/heads/main"]).assert_refused(&["force-push"]);
    (gate, bare)
}

#[test]
fn the_same_policy_changes_nothing_and_names_what_it_cannot_judge() {
    let (gate, bare) = decided();
    let before = (gate.audit().len(), Snapshot::of(&gate.sandbox, &bare));
    let ran = replay(&gate, gate.config().to_str().unwrap(), &["--log", "--format", "json"]).ok();
    let document = json(&ran);
    assert_eq!(counts(&document), [0, 0, 2, 1, 1], "{document:#}");
    assert_eq!(document["unjudged_by_reason"]["objects-gone"], 1);
    let gone = &document["unjudged_pushes"][0];
    assert_eq!((&gone["was"], &gone["reason"]), (&"refuse".into(), &"objects-gone".into()));
    assert_eq!(gone["refs"][0]["ref"], "refs/heads/main");
    assert!(gone["request_id"].as_str().unwrap().len() == 32, "{gone}");
    assert_eq!(named(&document["rules"], "rule", "force-push")["pushes"], 1);
    // Nothing of it is on record, and nothing in the repository.
    assert_eq!((gate.audit().len(), Snapshot::of(&gate.sandbox, &bare)), before);
    assert!(gate.countersign(&["audit", "verify"]).ok().stdout.contains("records hold"));
}

#[test]
fn a_stricter_policy_names_whom_it_would_have_refused_and_a_weaker_one_whom_it_would_let_in() {
    let (gate, _) = decided();
    let stricter = proposed(&gate, |text| {
        text.replace(
            "force-push = true",
            "force-push = true\nwork-in-progress = { markers = [\"WIP\", \"OPS-2: WIP\"] }",
        )
    });
    let ran = replay(&gate, &stricter, &["--log", "--format", "json"]).ok();
    let document = json(&ran);
    // The first push is not blamed for the second one, nor the other way round.
    assert_eq!(counts(&document), [1, 0, 1, 1, 1], "{document:#}");
    let change = &document["changes"][0];
    assert_eq!(change["change"], "newly-refused");
    assert_eq!(change["rules"], serde_json::json!(["work-in-progress"]));
    assert!(change["violations"][0]["seen"].as_str().unwrap().contains("WIP"), "{change:#}");
    let rule = named(&document["rules"], "rule", "work-in-progress");
    assert_eq!((&rule["newly_refused"], &rule["rulesets"][0]), (&1.into(), &"production".into()));
    assert_eq!(document["pushers"][0]["newly_refused"], 1);

    let text = replay(&gate, &stricter, &["--log"]).ok().stdout;
    for part in [
        "4 decisions on record",
        "newly refused           1",
        "objects-gone",
        "work-in-progress",
        "infra/app",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    // 1 only for those who ask.
    assert_eq!(replay(&gate, &stricter, &["--log", "--fail-on", "new-refusals"]).code(), Some(1));
    assert_eq!(replay(&gate, &stricter, &["--log", "--fail-on", "new-acceptances"]).code(), Some(0));
    assert_eq!(replay(&gate, &stricter, &["--log", "--fail-on", "new-acceptances,unjudged"]).code(), Some(1));

    let weaker = proposed(&gate, |text| text.replace("force-push = true\n", ""));
    let document = json(&replay(&gate, &weaker, &["--log", "--format", "json"]).ok());
    assert_eq!(counts(&document), [0, 1, 2, 0, 1], "{document:#}");
    assert_eq!(document["changes"][0]["was"], "refuse");
    // A ruleset under evaluation refuses nobody, and says whom it would.
    let evaluated = proposed(&gate, |text| text.replace("\"enforce\"", "\"evaluate\""));
    let document = json(&replay(&gate, &evaluated, &["--log", "--format", "json"]).ok());
    assert_eq!(counts(&document), [0, 1, 2, 0, 1], "{document:#}");
    assert_eq!(named(&document["rules"], "rule", "force-push")["evaluated_pushes"], 1);
}

#[test]
fn windows_repositories_and_what_is_gone() {
    let (gate, bare) = decided();
    let config = gate.config().to_str().unwrap().to_owned();
    let run = |more: &[&str]| {
        let arguments = [&["--log", "--format", "json"], more].concat();
        json(&replay(&gate, &config, &arguments).ok())
    };
    assert_eq!(run(&["--last", "1"])["pushes"], 1);
    // The window begins later, and what was there before counts as judged.
    assert_eq!(counts(&run(&["--last", "3"])), [0, 0, 1, 1, 1]);
    assert_eq!(run(&["--repo", "infra/app"])["pushes"], 4);
    assert_eq!(run(&["--since", "2999-01-01T00:00:00Z"])["pushes"], 0);
    let ran = replay(&gate, &config, &["--log", "--repo", "infra/none"]);
    assert_eq!(ran.code(), Some(2), "{}", ran.stderr);
    for wrong in
        [&["--log", "--since", "yesterday"][..], &["--log", "--commits", "3"], &["--log", "--last", "0"], &[]]
    {
        assert_eq!(replay(&gate, &config, wrong).code(), Some(2), "{wrong:?}");
    }
    fs::rename(&bare, gate.sandbox.path("elsewhere.git")).unwrap();
    let document = run(&[]);
    assert_eq!(counts(&document), [0, 0, 0, 0, 4]);
    assert_eq!(document["unjudged_by_reason"]["repository-gone"], 4);
}

#[test]
fn n18_the_pusher_of_the_record_is_the_one_who_is_judged() {
    let gate = Gate::prepared(PRODUCTION);
    "server = \"gitolite\"".clone_into(&mut gate.repository_keys.borrow_mut());
    gate.configure(PRODUCTION);
    let alice = crate::support::signers::Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    gate.trust(&alice, "sre");
    let bob = crate::support::signers::Signer::ssh(&gate.sandbox, "bob", &["ed25519"]);
    let key = bob.public.to_str().unwrap();
    let add = ["keyring", "add", "bob", "--email", "bob@example.com", "--account", "bob", "--key", key];
    gate.countersign(&add).ok();
    gate.start();
    let bare = gate.repository("infra/app");
    let work = gate.clone_of(&bare).with_env("GL_USER", "bob");
    work.commit(Some(&alice), "OPS-1: first");
    work.accepted(&["HEAD:refs/heads/main"]);
    let with = |who: &str| {
        let rule = format!(
            "force-push = true\nunauthorized-pusher = {{ create = [\"{who}\"], update = [\"{who}\"] }}"
        );
        let config = proposed(&gate, |text| text.replace("force-push = true", &rule));
        json(&replay(&gate, &config, &["--log", "--format", "json"]).ok())
    };
    assert_eq!(counts(&with("person:bob")), [0, 0, 1, 0, 0]);
    let document = with("person:alice");
    assert_eq!(counts(&document), [1, 0, 0, 0, 0], "{document:#}");
    assert_eq!(document["pushers"][0]["pusher"], "bob");
}

#[test]
fn n13_a_push_is_judged_at_the_time_of_its_receipt() {
    let (gate, _) = decided();
    // Since then the key has been superseded: at the time it was good.
    let file = gate.home.join("keyring/alice.toml");
    let text = fs::read_to_string(&file).unwrap();
    let revoked = |reason: &str| {
        let end = "{ at = 2999-01-01T00:00:00Z, reason = \"REASON\" }".replace("REASON", reason);
        let at = text.find("[[key]]").unwrap() + "[[key]]\n".len();
        fs::write(&file, format!("{}revoked = {end}\n{}", &text[..at], &text[at..])).unwrap();
        let ran = replay(&gate, gate.config().to_str().unwrap(), &["--log", "--format", "json"]).ok();
        counts(&json(&ran))
    };
    assert_eq!(revoked("superseded"), [0, 0, 2, 1, 1]);
    // A stolen key was never good.
    assert_eq!(revoked("compromised"), [2, 0, 0, 1, 1]);
}

#[test]
fn a_release_branch_from_main_is_not_blamed_for_the_history_of_main() {
    let (gate, alice) = Gate::production();
    let bare = gate.repository("infra/app");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: WIP");
    work.accepted(&["HEAD:refs/heads/main"]);
    work.accepted(&["HEAD:refs/heads/release/1", "HEAD:refs/heads/scratch"]);
    let config = proposed(&gate, |text| {
        text.replace(
            "force-push = true",
            "force-push = true\nwork-in-progress = { markers = [\"OPS-1: WIP\"] }",
        )
    });
    let document = json(&replay(&gate, &config, &["--log", "--format", "json"]).ok());
    assert_eq!(counts(&document), [1, 0, 1, 0, 0], "{document:#}");
    // What only stands on a ref that no ruleset covers does not count as judged (N7).
    work.commit(Some(&alice), "OPS-1: WIP again");
    work.accepted(&["HEAD:refs/heads/scratch"]);
    work.accepted(&["HEAD:refs/heads/main"]);
    let document = json(&replay(&gate, &config, &["--log", "--format", "json"]).ok());
    assert_eq!(counts(&document), [2, 0, 2, 0, 0], "{document:#}");
}

#[test]
fn the_way_of_a_branch_is_judged_step_by_step() {
    let (gate, alice) = crate::gate(crate::POLICY);
    let bare = gate.bare("infra/app", &[]);
    let work = gate.clone_of(&bare);
    for message in ["OPS-1: base", "no ticket", "OPS-2: good"] {
        work.commit(Some(&alice), message);
    }
    // A merge is one step, with what it brings.
    work.git(&["checkout", "--quiet", "-b", "side", "HEAD~1"]).ok();
    work.commit(Some(&alice), "neither on the side");
    work.git(&["checkout", "--quiet", "-"]).ok();
    work.sign(Some(&alice), &["merge", "--quiet", "--no-ff", "-m", "OPS-3: merge", "side"]);
    let branch = work.git(&["symbolic-ref", "HEAD"]).ok().line().to_owned();
    work.git(&["branch", "-m", "main"]).ok();
    let config = gate.config().to_str().unwrap().to_owned();
    let repo = work.path.to_str().unwrap();
    let base = ["--repo", repo, "--ref", "refs/heads/main", "--repository", "infra/app"];
    let run = |more: &[&str]| replay(&gate, &config, &[&base[..], more].concat());
    let document = json(&run(&["--commits", "3", "--format", "json"]).ok());
    assert_eq!(counts(&document), [2, 0, 1, 0, 0], "{branch} {document:#}");
    assert_eq!(document["source"], "branch");
    assert_eq!(document["changes"][0]["receipt"], "now");
    assert_eq!(named(&document["rules"], "rule", "missing-ticket")["violations"], 2);
    assert_eq!(json(&run(&["--commits", "1", "--format", "json"]).ok())["pushes"], 1);
    // The whole history, its root included.
    assert_eq!(json(&run(&["--commits", "100", "--format", "json"]).ok())["pushes"], 4);
    // Bob has a bypass.
    let document = json(&run(&["--commits", "3", "--as", "bob", "--format", "json"]).ok());
    assert_eq!(counts(&document), [0, 0, 3, 0, 0], "{document:#}");
    assert_eq!(document["accepted_by_bypass"], 2);
    assert_eq!(run(&["--commits", "3", "--fail-on", "new-refusals"]).code(), Some(1));
    let none = ["--repo", repo, "--ref", "refs/heads/none", "--commits", "3"];
    assert_eq!(replay(&gate, &config, &none).code(), Some(2));
    assert!(!gate.state().join("audit.db").exists());
}

#[test]
fn the_same_policy_says_the_same_of_pushes_of_every_kind() {
    let (gate, alice) = Gate::production();
    let bare = gate.repository("infra/app");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: first");
    let first = work.id("HEAD");
    work.accepted(&["HEAD:refs/heads/main", "HEAD:refs/heads/scratch"]);
    work.commit(None, "unsigned, where nobody asks for it");
    work.accepted(&["HEAD:refs/heads/scratch"]);
    // Laundered: it stands in the repository, and is new to the ruleset.
    work.push(&["HEAD:refs/heads/main"]).assert_refused(&["unsigned-commit", "missing-ticket"]);
    work.accepted(&["--force", &format!("{first}:refs/heads/scratch")]);
    work.accepted(&["--delete", "refs/heads/scratch"]);
    work.git(&["reset", "--quiet", "--hard", &first]).ok();
    work.commit(Some(&alice), "OPS-2: second");
    work.accepted(&["HEAD:refs/heads/release/1"]);
    work.accepted(&["HEAD:refs/heads/main"]);
    work.push(&["--delete", "refs/heads/main"]).assert_refused(&["ref-deletion"]);
    work.sign(Some(&alice), &["tag", "-s", "-m", "one", "v1"]);
    work.accepted(&["refs/tags/v1"]);
    work.git(&["checkout", "--quiet", "-b", "side", &first]).ok();
    work.commit(Some(&alice), "OPS-3: side");
    work.sign(Some(&alice), &["merge", "--quiet", "--no-ff", "-m", "OPS-4: merge", "v1"]);
    work.accepted(&["HEAD:refs/heads/main"]);
    // A copy that is a directory or a file of another: names that others took later do not count against earlier ones.
    work.accepted(&["HEAD:refs/heads/Main2"]);
    work.accepted(&["HEAD:refs/heads/main2x"]);
    let policy =
        proposed(&gate, |text| text.replace("force-push = true", "force-push = true\ncase-collision = true"));
    let document = json(&replay(&gate, &policy, &["--log", "--format", "json"]).ok());
    let [newly_refused, newly_accepted, accepted, refused, unjudged] = counts(&document);
    assert_eq!((newly_refused, newly_accepted), (0, 0), "{document:#}");
    // The commit that was laundered is still there, so both refusals can be judged.
    assert_eq!((accepted, refused, unjudged), (10, 2, 0), "{document:#}");
}

#[test]
fn what_went_by_its_moment_or_was_never_decided_is_named() {
    let gate = Gate::prepared(PRODUCTION);
    let alice = crate::support::signers::Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    gate.trust(&alice, "sre");
    gate.start();
    let bare = gate.repository("infra/app");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: first");
    work.accepted(&["HEAD:refs/heads/main"]);
    work.accepted(&["HEAD:refs/heads/other"]);
    gate.sandbox.git(&bare, &["symbolic-ref", "refs/heads/alias", "refs/heads/other"]).ok();
    work.commit(Some(&alice), "OPS-2: second");
    work.push(&["HEAD:refs/heads/alias"]).assert_refused(&["symref-push"]);
    // It comes in later, so that its objects are there.
    work.accepted(&["HEAD:refs/heads/main"]);
    fs::write(bare.join("shallow"), format!("{}\n", work.id("HEAD"))).unwrap();
    work.push(&["HEAD:refs/heads/release/1"]).assert_undecided("shallow-repository");
    fs::remove_file(bare.join("shallow")).unwrap();
    let config = gate.config().to_str().unwrap().to_owned();
    let document = json(&replay(&gate, &config, &["--log", "--format", "json"]).ok());
    assert_eq!(counts(&document), [0, 0, 3, 0, 2], "{document:#}");
    let reasons = &document["unjudged_by_reason"];
    assert_eq!((&reasons["moment-gone"], &reasons["was-undecided"]), (&1.into(), &1.into()), "{document:#}");

    // Who pushed is not on record, and the proposal goes by it.
    let asking = proposed(&gate, |text| {
        text.replace("[repositories]\n", "[repositories]\nserver = \"sshd\"\n").replace(
            "force-push = true",
            "force-push = true\nunauthorized-pusher = { update = [\"group:sre\"] }",
        )
    });
    let document = json(&replay(&gate, &asking, &["--log", "--format", "json"]).ok());
    assert_eq!(document["unjudged_by_reason"]["no-pusher"], 2, "{document:#}");
    assert_eq!(document["newly_refused"], 0);

    // No record, no answer.
    let ran = replay(&gate, &config, &["--log", "--state", gate.sandbox.path("none").to_str().unwrap()]);
    assert_eq!(ran.code(), Some(3), "{}", ran.stderr);
}

#[test]
fn a_record_that_had_to_be_cut_is_named_and_later_pushes_are_judged() {
    let gate = Gate::prepared(PRODUCTION);
    let alice = crate::support::signers::Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    gate.trust(&alice, "sre");
    gate.start();
    let bare = gate.repository("infra/app");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: first");
    work.accepted(&["HEAD:refs/heads/main"]);
    // A refused push of more refs than its record can hold.
    work.commit(None, "unsigned");
    let names: Vec<String> =
        (0..900).map(|n| format!("HEAD:refs/heads/release/{}{n}", "x".repeat(80))).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    work.push(&all);
    work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    work.commit(Some(&alice), "OPS-2: second");
    work.accepted(&["HEAD:refs/heads/main"]);
    let config = gate.config().to_str().unwrap().to_owned();
    let document = json(&replay(&gate, &config, &["--log", "--format", "json"]).ok());
    assert_eq!(document["unjudged_by_reason"]["record-cut"], 1, "{document:#}");
    assert_eq!(counts(&document), [0, 0, 2, 0, 1]);
}
