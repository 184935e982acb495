//! What follows a refused move is judged from what the ref held before it, as a hook would have judged it.

use crate::forge::{Forge, NAME, moved, private, rules};
use crate::support::gate::PRODUCTION;
use crate::support::sshd::free_port;
use crate::support::wait_for;
use countersign::store::ReportState;
use serde_json::{Value, json};
use std::time::Duration;

const MAIN: &str = "refs/heads/main";
/// Only some may push, one may do so by force, and what lies below `deploy` is for nobody.
const WHO: &str = r#"
[policy]
uncovered = "accept"

[[ruleset]]
name = "production"
repositories = ["**"]
refs = ["refs/heads/main"]
enforcement = "enforce"

[[ruleset.bypass]]
who = ["person:bob"]
proof = "pusher"
rules = ["force-push"]
reason = "a test"

[ruleset.refuse]
unsigned-commit = true
force-push = true
ref-deletion = true
unauthorized-pusher = { create = ["group:sre"], update = ["group:sre"], force = ["group:sre"], delete = ["group:sre"] }
too-many-files = { max = 2, scope = "net" }
"#;

/// A forge that is told of what was judged.
fn scene(policy: &str) -> Forge {
    let mut forge = Forge::prepared();
    forge.policy = policy.to_owned();
    let token = forge.gate.sandbox.path("token");
    private(&token, "token-of-a-test");
    forge.source = format!(
        "[source.report]\napi = \"http://127.0.0.1:{}\"\ntoken = {{ file = \"{}\" }}\n",
        free_port(),
        token.display()
    );
    forge
}

fn started(forge: Forge) -> Forge {
    forge.start();
    forge.adopt();
    forge
}

/// What the forge is told of a commit of `main`.
fn said(forge: &Forge, commit: &str) -> Option<(ReportState, String)> {
    let all = forge.store().reports(1000).unwrap().into_iter();
    let mut of =
        all.filter(|one| one.report.commit.to_string() == commit && one.report.context.ends_with(MAIN));
    of.next().map(|one| (one.report.state, one.report.description))
}

#[track_caller]
fn wait_said(forge: &Forge, commit: &str, state: ReportState) -> String {
    wait_for(&format!("{commit} to be {state:?}"), Duration::from_secs(60), || {
        said(forge, commit).filter(|one| one.0 == state).map(|one| one.1)
    })
}

/// Waits for the decision about the move of `main` from one value to another.
#[track_caller]
fn step(forge: &Forge, old: Option<&str>, new: Option<&str>) -> Value {
    forge.decision(&format!("the move {old:?}..{new:?}"), |one| {
        let entry = &one["refs"][0];
        (&entry["ref"], &entry["old"], &entry["new"]) == (&json!(MAIN), &json!(old), &json!(new))
    })
}

#[track_caller]
fn is(one: &Value, outcome: &str, broken: &[&str], from: Option<&str>) {
    let found: (Option<&str>, Vec<String>) = (one["outcome"].as_str(), rules(one));
    assert_eq!(
        (found.0, found.1.iter().map(String::as_str).collect::<Vec<_>>()),
        (Some(outcome), broken.to_vec()),
        "{one}"
    );
    assert_eq!(one["refs"][0]["judged_from"]["id"].as_str(), from, "{one}");
}

#[test]
fn one_good_commit_on_top_of_a_refused_rewind_does_not_make_it_good() {
    let forge = started(scene(PRODUCTION));
    let work = forge.gate.clone_at(&forge.bare, "main");
    let first = work.id("HEAD");
    let second = work.commit(Some(&forge.alice), "OPS-2: signed");
    forge.push(&work, &["main"]);
    is(&step(&forge, Some(&first), Some(&second)), "accept", &[], None);
    forge.push(&work, &["--force", &format!("{first}:main")]);
    let refused = step(&forge, Some(&second), Some(&first));
    is(&refused, "refuse", &["force-push"], None);
    // On top of where it should not stand, everything is signed and has a ticket.
    work.git(&["reset", "--quiet", "--hard", &first]).ok();
    let third = work.commit(Some(&forge.alice), "OPS-3: signed");
    forge.push(&work, &["main"]);
    let one = step(&forge, Some(&first), Some(&third));
    is(&one, "refuse", &["force-push"], Some(&second));
    assert_eq!(one["refs"][0]["judged_from"]["refused_by"], refused["request_id"]);
    assert_eq!(one["refs"][0]["kind"], "force");
    let text = wait_said(&forge, &third, ReportState::Failure);
    let wanted = format!(
        "judged from {}: the move to {} was refused as decision {}",
        &second[..10],
        &first[..10],
        refused["request_id"].as_str().unwrap()
    );
    assert!(text.starts_with("refused: 1 violation (force-push); ") && text.ends_with(&wanted), "{text}");
    // The daemon is gone in between; nothing of it is forgotten.
    forge.gate.stop();
    forge.gate.start();
    let fourth = work.commit(Some(&forge.alice), "OPS-4: signed");
    forge.push(&work, &["main"]);
    is(&step(&forge, Some(&third), Some(&fourth)), "refuse", &["force-push"], Some(&second));
    // Whoever looks sees which branch it is.
    let listed = forge.gate.countersign(&["webhook", "list"]).ok().stdout;
    assert!(listed.contains(MAIN) && listed.contains("refused"), "{listed}");
    let shown = forge.gate.countersign(&["webhook", "status", "--format", "json"]).stdout;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let red = &shown["sources"][0]["repositories"][0]["unsound"];
    assert_eq!(
        (&red[0]["ref"], &red[0]["tip"], &red[0]["sound"]),
        (&json!(MAIN), &json!(fourth), &json!(second)),
        "{shown}"
    );
    let (_, metrics) = forge.gate.get("/metrics");
    assert!(metrics.contains("countersign_webhook_refs_unsound{source=\"forge\"} 1"), "{metrics}");
    // Put back, it is sound by that very push, and goes on from there.
    forge.push(&work, &["--force", &format!("{second}:main")]);
    let back = step(&forge, Some(&fourth), Some(&second));
    is(&back, "accept", &[], Some(&second));
    assert_eq!(back["refs"][0]["coverage"], "not-judged");
    let text = wait_said(&forge, &second, ReportState::Success);
    assert!(text.starts_with("accepted: back at"), "{text}");
    let log = forge.gate.countersign(&["audit", "log"]).ok().stdout;
    assert!(log.contains(&format!("judged from {}: the move to {}", &second[..10], &first[..10])), "{log}");
    work.git(&["reset", "--quiet", "--hard", &second]).ok();
    let fifth = work.commit(Some(&forge.alice), "OPS-5: signed");
    forge.push(&work, &["main"]);
    is(&step(&forge, Some(&second), Some(&fifth)), "accept", &[], None);
    let listed = forge.gate.countersign(&["webhook", "list"]).ok().stdout;
    assert!(!listed.contains(MAIN), "{listed}");
    forge.gate.countersign(&["audit", "verify"]).ok();
}

#[test]
fn what_was_rebased_away_from_a_refused_move_is_good_at_once() {
    let forge = started(scene(PRODUCTION));
    let work = forge.gate.clone_at(&forge.bare, "main");
    let first = work.id("HEAD");
    let good = work.commit(Some(&forge.alice), "OPS-2: signed");
    let bad = work.commit(None, "OPS-3: unsigned");
    forge.push(&work, &["main"]);
    is(&step(&forge, Some(&first), Some(&bad)), "refuse", &["unsigned-commit"], None);
    work.git(&["reset", "--quiet", "--hard", &good]).ok();
    let mended = work.commit(Some(&forge.alice), "OPS-3: signed");
    forge.push(&work, &["--force", "main"]);
    let one = step(&forge, Some(&bad), Some(&mended));
    is(&one, "accept", &[], Some(&first));
    assert_eq!(one["refs"][0]["kind"], "update");
    assert_eq!(one["refs"][0]["rulesets"][1]["introduced"], 2, "all of it is granted");
    wait_said(&forge, &mended, ReportState::Success);
    let next = work.commit(Some(&forge.alice), "OPS-4: signed");
    forge.push(&work, &["main"]);
    let one = step(&forge, Some(&mended), Some(&next));
    is(&one, "accept", &[], None);
    assert_eq!(one["refs"][0]["rulesets"][1]["introduced"], 1);
}

#[test]
fn a_deleted_branch_that_comes_back_elsewhere_stays_refused_and_at_its_place_it_does_not() {
    let forge = started(scene(PRODUCTION));
    forge.git(&["symbolic-ref", "HEAD", "refs/heads/other"]);
    let work = forge.gate.clone_at(&forge.bare, "main");
    let first = work.id("HEAD");
    let second = work.commit(Some(&forge.alice), "OPS-2: signed");
    forge.push(&work, &["main", "main:refs/heads/other"]);
    is(&step(&forge, Some(&first), Some(&second)), "accept", &[], None);
    forge.push(&work, &["--delete", "main"]);
    is(&step(&forge, Some(&second), None), "refuse", &["ref-deletion"], None);
    forge.push(&work, &[&format!("{first}:{MAIN}")]);
    is(&step(&forge, None, Some(&first)), "refuse", &["force-push"], Some(&second));
    forge.push(&work, &["--delete", "main"]);
    is(&step(&forge, Some(&first), None), "refuse", &["ref-deletion"], Some(&second));
    let third = work.commit(Some(&forge.alice), "OPS-3: signed");
    let tell = |new: &str| forge.push(&work, &[&format!("{new}:{MAIN}")]);
    tell(&second);
    is(&step(&forge, None, Some(&second)), "accept", &[], Some(&second));
    wait_said(&forge, &second, ReportState::Success);
    forge.push(&work, &["--delete", "main"]);
    forge.wait_judged(MAIN, None);
    // Brought back and forward in one is what a hook would have let in.
    tell(&third);
    is(&step(&forge, None, Some(&third)), "accept", &[], Some(&second));
}

#[test]
fn a_branch_that_should_not_be_is_sound_once_it_is_gone() {
    let mut policy = PRODUCTION.replace("ref-deletion = true", "ref-creation = true");
    policy = policy.replace("\"refs/heads/main\", ", "");
    let forge = started(scene(&policy));
    let work = forge.gate.clone_at(&forge.bare, "main");
    let release = "refs/heads/release/1";
    let base = work.id("HEAD");
    forge.push(&work, &[&format!("main:{release}")]);
    assert_eq!(rules(&forge.decided(release, &base)), ["ref-creation"]);
    let next = work.commit(Some(&forge.alice), "OPS-2: signed");
    forge.push(&work, &[&format!("main:{release}")]);
    let one = forge.decided(release, &next);
    assert_eq!(rules(&one), ["ref-creation"], "{one}");
    assert_eq!(
        (&one["refs"][0]["kind"], &one["refs"][0]["judged_from"]["id"]),
        (&json!("create"), &json!(null))
    );
    forge.push(&work, &["--delete", release]);
    let gone = forge.decision("the end of it", |one| {
        one["refs"][0]["ref"] == release && one["refs"][0]["new"] == json!(null)
    });
    assert_eq!(
        (&gone["outcome"], &gone["refs"][0]["coverage"]),
        (&json!("accept"), &json!("not-judged")),
        "{gone}"
    );
    forge.wait_judged(release, None);
    assert!(forge.store().unsound_refs(&forge.id()).unwrap().is_empty());
}

#[test]
fn n11_a_net_change_that_was_refused_is_refused_until_it_is_taken_back() {
    let policy = PRODUCTION.replace(
        "force-push = true",
        "force-push = true\ntoo-many-files = { max = 2, paths = [\"deploy/**\"], scope = \"net\" }",
    );
    let forge = started(scene(&policy));
    let work = forge.gate.clone_at(&forge.bare, "main");
    let first = work.id("HEAD");
    let directory =
        std::path::Path::new(work.git(&["rev-parse", "--show-toplevel"]).ok().line()).join("deploy");
    std::fs::create_dir(&directory).unwrap();
    for name in ["a", "b", "c"] {
        std::fs::write(directory.join(name), name).unwrap();
    }
    work.git(&["add", "."]).ok();
    let many = work.commit(Some(&forge.alice), "OPS-2: three files");
    forge.push(&work, &["main"]);
    is(&step(&forge, Some(&first), Some(&many)), "refuse", &["too-many-files"], None);
    let top = work.commit(Some(&forge.alice), "OPS-3: none");
    forge.push(&work, &["main"]);
    is(&step(&forge, Some(&many), Some(&top)), "refuse", &["too-many-files"], Some(&first));
    // A proposal that stands on it brings it, too.
    work.branch("topic", &top);
    let head = work.commit(Some(&forge.alice), "OPS-4: proposed");
    forge.push(&work, &[&format!("{head}:refs/pull/1/head")]);
    let body = json!({
        "action": "opened", "number": 1, "repository": { "id": 7, "full_name": "acme/infra" },
        "pull_request": {
            "number": 1,
            "head": { "ref": "topic", "sha": head, "repo": { "id": 9 } },
            "base": { "ref": "main", "sha": top, "repo": { "id": 7 } },
        },
    });
    assert_eq!(forge.deliver("pull_request", &body.to_string()), Some(202));
    let one = forge.decided(MAIN, &head);
    assert_eq!(
        (rules(&one), &one["refs"][0]["old"]),
        (vec!["too-many-files".to_owned()], &json!(first)),
        "{one}"
    );
    // Two files are left of it: as a whole, that may be.
    work.branch("main", &top);
    work.git(&["rm", "--quiet", "deploy/a"]).ok();
    let less = work.commit(Some(&forge.alice), "OPS-5: one less");
    forge.push(&work, &["main"]);
    is(&step(&forge, Some(&top), Some(&less)), "accept", &[], Some(&first));
    wait_said(&forge, &less, ReportState::Success);
}

#[test]
fn n29_steps_that_are_told_together_are_judged_one_from_the_other_only_if_it_was_let_in() {
    let forge = started(scene(PRODUCTION));
    let work = forge.gate.clone_at(&forge.bare, "main");
    let a = work.id("HEAD");
    let b = work.commit(Some(&forge.alice), "OPS-2: signed");
    forge.push(&work, &["main"]);
    forge.wait_judged(MAIN, Some(&b));
    forge.gate.stop();
    forge.push(&work, &["--force", &format!("{a}:main")]);
    work.git(&["reset", "--quiet", "--hard", &a]).ok();
    let c = work.commit(Some(&forge.alice), "OPS-3: signed");
    forge.push(&work, &["main"]);
    work.git(&["reset", "--quiet", "--hard", &b]).ok();
    let d = work.commit(Some(&forge.alice), "OPS-4: signed");
    forge.push(&work, &["--force", "main"]);
    crate::judging::queue(&forge, &[(&b, &a, "mallory"), (&a, &c, "alice"), (&c, &d, "alice")]);
    forge.gate.start();
    is(&step(&forge, Some(&b), Some(&a)), "refuse", &["force-push"], None);
    is(&step(&forge, Some(&a), Some(&c)), "refuse", &["force-push"], Some(&b));
    is(&step(&forge, Some(&c), Some(&d)), "accept", &[], Some(&b));
    // What was there for a while is seen from there, too, and stays what it was.
    forge.push(&work, &["--force", &format!("{a}:main")]);
    is(&step(&forge, Some(&d), Some(&a)), "refuse", &["force-push"], None);
    work.git(&["reset", "--quiet", "--hard", &a]).ok();
    let e = work.commit(Some(&forge.alice), "OPS-5: signed");
    forge.push(&work, &[&format!("{e}:refs/heads/elsewhere")]);
    forge.tell(MAIN, &a, &e, "mallory");
    let one = step(&forge, Some(&a), Some(&e));
    assert_eq!(one["mode"], "transient");
    is(&one, "refuse", &["force-push"], Some(&d));
    forge.wait_idle();
    assert_eq!(forge.judged(MAIN), Some(a));
}

#[test]
fn n09_what_somebody_vouches_for_is_sound() {
    let forge = started(scene(PRODUCTION));
    let work = forge.gate.clone_at(&forge.bare, "main");
    let first = work.id("HEAD");
    let bad = work.commit(None, "OPS-2: unsigned");
    forge.push(&work, &["main"]);
    is(&step(&forge, Some(&first), Some(&bad)), "refuse", &["unsigned-commit"], None);
    forge.wait_judged(MAIN, Some(&bad));
    let listed = forge.gate.countersign(&["adopt", NAME]);
    assert!(listed.stdout.contains("refused"), "whoever vouches is told: {}", listed.stdout);
    forge.gate.countersign(&["adopt", NAME, "--yes"]).ok();
    assert!(forge.store().unsound_refs(&forge.id()).unwrap().is_empty());
    let next = work.commit(Some(&forge.alice), "OPS-3: signed");
    forge.push(&work, &["main"]);
    is(&step(&forge, Some(&bad), Some(&next)), "accept", &[], None);
}

/// Alice and Bob may push, Bob by force; Mallory may not push at all, and signs well.
fn people() -> Forge {
    let forge = scene(WHO);
    forge.gate.repository_keys.replace("server = \"ghes\"\n".to_owned());
    let bob = crate::support::signers::Signer::ssh(&forge.gate.sandbox, "bob", &["ed25519"]);
    forge.gate.trust(&bob, "sre");
    for name in ["alice", "bob"] {
        let principal = forge.gate.home.join(format!("keyring/{name}.toml"));
        let text = std::fs::read_to_string(&principal).unwrap();
        std::fs::write(&principal, format!("accounts = [\"ghes:{name}\"]\n{text}")).unwrap();
    }
    started(forge)
}

#[test]
fn n18_nobody_lends_their_rights_to_whom_they_build_on() {
    let forge = people();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let base = work.id("HEAD");
    let first = work.commit(Some(&forge.alice), "signed");
    forge.push(&work, &["main"]);
    forge.tell(MAIN, &base, &first, "alice");
    is(&step(&forge, Some(&base), Some(&first)), "accept", &[], None);
    // Somebody who may not push, and then on top of it somebody who may.
    let theirs = work.commit(Some(&forge.alice), "by whom nobody asked");
    forge.push(&work, &["main"]);
    forge.tell(MAIN, &first, &theirs, "mallory");
    is(&step(&forge, Some(&first), Some(&theirs)), "refuse", &["unauthorized-pusher"], None);
    let top = work.commit(Some(&forge.alice), "on top of it");
    forge.push(&work, &["main"]);
    forge.tell(MAIN, &theirs, &top, "alice");
    is(&step(&forge, Some(&theirs), Some(&top)), "refuse", &["unauthorized-pusher"], Some(&first));
    // Whoever leaves it behind answers for what they bring alone.
    work.git(&["reset", "--quiet", "--hard", &first]).ok();
    let other = work.commit(Some(&forge.alice), "instead of it");
    forge.push(&work, &["--force", "main"]);
    forge.tell(MAIN, &top, &other, "alice");
    let one = step(&forge, Some(&top), Some(&other));
    is(&one, "accept", &[], Some(&first));
    assert_eq!(one["pusher"]["principal"], "alice");
    // Two who both may: a refused change that is taken back on top is what both of them may do.
    for name in ["x", "y", "z"] {
        let top = work.git(&["rev-parse", "--show-toplevel"]).ok().line().to_owned();
        std::fs::write(std::path::Path::new(&top).join(name), name).unwrap();
    }
    work.git(&["add", "."]).ok();
    let many = work.commit(Some(&forge.alice), "too many");
    forge.push(&work, &["main"]);
    forge.tell(MAIN, &other, &many, "bob");
    is(&step(&forge, Some(&other), Some(&many)), "refuse", &["too-many-files"], None);
    work.git(&["rm", "--quiet", "x", "y", "z"]).ok();
    let none = work.commit(Some(&forge.alice), "none of it");
    forge.push(&work, &["main"]);
    forge.tell(MAIN, &many, &none, "alice");
    is(&step(&forge, Some(&many), Some(&none)), "accept", &[], Some(&other));
}

#[test]
fn n19_a_bypass_is_for_what_its_holder_did() {
    let forge = people();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let base = work.id("HEAD");
    let first = work.commit(Some(&forge.alice), "signed");
    forge.push(&work, &["main"]);
    forge.tell(MAIN, &base, &first, "alice");
    forge.wait_judged(MAIN, Some(&first));
    // Alice may not rewind, and Bob goes on from where she left the branch: he has not forced anything.
    forge.push(&work, &["--force", &format!("{base}:main")]);
    forge.tell(MAIN, &first, &base, "alice");
    is(&step(&forge, Some(&first), Some(&base)), "refuse", &["force-push"], None);
    work.git(&["reset", "--quiet", "--hard", &base]).ok();
    let on = work.commit(Some(&forge.alice), "goes on");
    forge.push(&work, &["main"]);
    forge.tell(MAIN, &base, &on, "bob");
    is(&step(&forge, Some(&base), Some(&on)), "refuse", &["force-push"], Some(&first));
    // By force he may, if it is he who does it.
    work.git(&["reset", "--quiet", "--hard", &first]).ok();
    forge.push(&work, &["--force", "main"]);
    forge.tell(MAIN, &on, &first, "bob");
    is(&step(&forge, Some(&on), Some(&first)), "accept", &[], Some(&first));
    forge.push(&work, &["--force", &format!("{on}:main")]);
    forge.tell(MAIN, &first, &on, "bob");
    is(&step(&forge, Some(&first), Some(&on)), "accept", &[], None);
}

#[test]
fn n10_a_sound_value_that_is_nowhere_any_more_leaves_it_undecided_until_somebody_vouches() {
    let forge = started(scene(PRODUCTION));
    let work = forge.gate.clone_at(&forge.bare, "main");
    let first = work.id("HEAD");
    let second = work.commit(Some(&forge.alice), "OPS-2: signed");
    forge.push(&work, &["main"]);
    forge.wait_judged(MAIN, Some(&second));
    forge.push(&work, &["--force", &format!("{first}:main")]);
    is(&step(&forge, Some(&second), Some(&first)), "refuse", &["force-push"], None);
    // The mirror keeps it, also when it is made anew while the forge has it.
    let mirrors = forge.gate.state().join("mirrors");
    let mirror = || {
        let all = std::fs::read_dir(&mirrors).unwrap().map(|one| one.unwrap().path());
        all.into_iter().find(|path| path.is_dir() && path.join("HEAD").exists())
    };
    let holds = |what: &str| {
        wait_for("the mirror to hold it", Duration::from_secs(60), || {
            let names = forge.gate.sandbox.git(&mirror()?, &["for-each-ref", "refs/countersign/sound"]);
            names.stdout.contains(what).then_some(())
        });
    };
    holds(&second);
    forge.gate.stop();
    std::fs::remove_dir_all(mirror().unwrap()).unwrap();
    forge.gate.start();
    holds(&second);
    // Both have lost it.
    forge.gate.stop();
    std::fs::remove_dir_all(mirror().unwrap()).unwrap();
    forge.git(&["reflog", "expire", "--expire=now", "--all"]);
    forge.git(&["prune", "--expire=now"]);
    work.git(&["reset", "--quiet", "--hard", &first]).ok();
    let third = work.commit(Some(&forge.alice), "OPS-3: signed");
    forge.push(&work, &["main"]);
    forge.gate.start();
    let one = forge.decision("the fault", |one| one["fault"]["code"] == "sound-value-lost");
    let text = one["fault"]["message"].as_str().unwrap();
    assert!(text.contains(&second) && text.contains("countersign adopt forge/acme/infra --anew"), "{text}");
    assert!(!forge.decisions().iter().any(|one| moved(one, MAIN, &third) && one["outcome"] == "accept"));
    forge.gate.countersign(&["adopt", NAME, "--anew", "--yes"]).ok();
    let fourth = work.commit(Some(&forge.alice), "OPS-4: signed");
    forge.push(&work, &["main"]);
    is(&step(&forge, Some(&third), Some(&fourth)), "accept", &[], None);
}

#[test]
fn n33_a_branch_that_was_deleted_against_the_rules_is_still_in_nobodys_way() {
    let forge = started(scene(&format!(
        "{PRODUCTION}\n[[ruleset]]\nname = \"tags\"\nrepositories = [\"**\"]\nrefs = [\"refs/tags/**\"]\n\
         enforcement = \"enforce\"\n\n[ruleset.refuse]\nref-shadowing = true\n"
    )));
    forge.git(&["symbolic-ref", "HEAD", "refs/heads/other"]);
    let work = forge.gate.clone_at(&forge.bare, "main");
    let first = work.id("HEAD");
    forge.push(&work, &["main:refs/heads/other"]);
    forge.wait_judged("refs/heads/other", Some(&first));
    forge.push(&work, &["--delete", "main"]);
    is(&step(&forge, Some(&first), None), "refuse", &["ref-deletion"], None);
    forge.push(&work, &[&format!("{first}:refs/tags/main")]);
    let one = forge.decided("refs/tags/main", &first);
    assert_eq!(rules(&one), ["ref-shadowing"], "{one}");
}

#[test]
fn a_root_that_was_refused_is_no_root_of_the_repository() {
    let policy = PRODUCTION
        .replace("unsigned-commit = true", "foreign-root = true")
        .replace("untrusted-signer = { allow = [\"group:sre\"] }\nforce-push = true\n", "");
    let forge = started(scene(&policy));
    let work = forge.gate.clone_at(&forge.bare, "main");
    let first = work.id("HEAD");
    work.git(&["checkout", "--quiet", "--orphan", "foreign"]).ok();
    let root = work.commit(Some(&forge.alice), "OPS-2: from elsewhere");
    forge.push(&work, &["--force", &format!("{root}:{MAIN}")]);
    is(&step(&forge, Some(&first), Some(&root)), "refuse", &["foreign-root"], None);
    let top = work.commit(Some(&forge.alice), "OPS-3: on top of it");
    forge.push(&work, &[&format!("{top}:{MAIN}"), &format!("{top}:refs/heads/release/1")]);
    is(&step(&forge, Some(&root), Some(&top)), "refuse", &["foreign-root"], Some(&first));
    assert_eq!(rules(&forge.decided("refs/heads/release/1", &top)), ["foreign-root"]);
}
