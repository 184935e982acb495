//! What is judged, who did it, and what counts afterwards.

use crate::forge::{Forge, NAME, ZERO, moved, rules};
use crate::support::wait_for;
use countersign::store::ReportState;
use serde_json::json;

#[test]
fn n09_a_repository_waits_until_somebody_vouches_for_it() {
    let forge = Forge::prepared();
    forge.start();
    let work = forge.work();
    let first = work.git(&["ls-remote", work.url(), "main"]).stdout[..40].to_owned();
    forge.tell("refs/heads/main", ZERO, &first, "alice");
    let waits = |one: &serde_json::Value| one["fault"]["code"] == "waits-for-adopt";
    let said = forge.decision("that it waits", waits);
    assert_eq!(said["repository"]["name"], NAME);
    assert_eq!(said["outcome"], "undecided");
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(forge.decisions().len(), 1, "said once, and nothing is judged");
    let note = wait_for("the delivery to say why it waits", std::time::Duration::from_secs(20), || {
        forge.store().queued_deliveries(&forge.id()).unwrap()[0].note.clone()
    });
    assert!(note.contains("countersign adopt forge/acme/infra"), "{note}");
    let listed = forge.gate.countersign(&["adopt", NAME]);
    assert_eq!(listed.code(), Some(1), "it asks");
    assert!(listed.stdout.contains(&first), "{}", listed.stdout);
    forge.gate.countersign(&["adopt", "forge/acme/other", "--yes"]);
    forge.gate.countersign(&["adopt", NAME, "--yes"]).ok();
    forge.wait_idle();
    assert_eq!(forge.judged("refs/heads/main"), Some(first));
    assert_eq!(forge.decisions().len(), 1, "what was adopted is not judged");
}

#[test]
fn n29_pushes_are_judged_by_the_same_rules_and_have_the_pusher_of_their_event() {
    let forge = Forge::prepared();
    let principal = forge.gate.home.join("keyring/alice.toml");
    let mut text = std::fs::read_to_string(&principal).unwrap();
    text.insert_str(0, "accounts = [\"ghes:alice\"]\n");
    std::fs::write(&principal, text).unwrap();
    forge.start();
    forge.adopt();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let before = work.id("HEAD");
    let good = work.commit(Some(&forge.alice), "OPS-2: signed");
    forge.push(&work, &["main"]);
    forge.tell("refs/heads/main", &before, &good, "alice");
    let one = forge.decided("refs/heads/main", &good);
    assert_eq!((one["outcome"].as_str(), one["mode"].as_str()), (Some("accept"), Some("detected")), "{one}");
    assert_eq!(one["pusher"]["name"], "alice");
    assert_eq!(one["pusher"]["principal"], "alice");
    assert_eq!(one["pusher"]["source"], "webhook");
    assert_eq!(one["deliveries"], json!([1]));
    assert_eq!(one["refs"][0]["old"], before);
    // Unsigned, and without a ticket: refused, and what was judged last is where the forge is all the same.
    let bad = work.commit(None, "no ticket");
    forge.push(&work, &["main"]);
    forge.tell("refs/heads/main", &good, &bad, "mallory");
    let one = forge.decided("refs/heads/main", &bad);
    assert_eq!(one["outcome"], "refuse");
    assert_eq!(rules(&one), ["missing-ticket", "unsigned-commit"]);
    assert_eq!((&one["pusher"]["name"], &one["pusher"]["principal"]), (&json!("mallory"), &json!(null)));
    forge.wait_judged("refs/heads/main", Some(&bad));
    // What stands on it is refused for it, too: nothing was granted (N7).
    let later = work.commit(Some(&forge.alice), "OPS-3: on top");
    forge.push(&work, &["main"]);
    forge.tell("refs/heads/main", &good, &later, "alice");
    let one = forge.decided("refs/heads/main", &later);
    assert_eq!(one["outcome"], "refuse");
    assert_eq!(one["pusher"]["identity"], "unknown", "the event says something else than what happened");
    forge.wait_idle();
    let verified = forge.gate.countersign(&["audit", "verify"]);
    verified.ok();
}

#[test]
fn n29_several_pushes_that_are_told_late_are_judged_each_with_its_pusher() {
    let forge = Forge::running();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let a = work.id("HEAD");
    forge.gate.stop();
    let b = work.commit(Some(&forge.alice), "OPS-2: b");
    forge.push(&work, &["main"]);
    let c = work.commit(Some(&forge.alice), "OPS-3: c");
    forge.push(&work, &["main"]);
    work.git(&["reset", "--quiet", "--hard", &b]).ok();
    let d = work.commit(Some(&forge.alice), "OPS-4: d");
    forge.push(&work, &["--force", "main"]);
    // Told in the wrong order, one of them twice.
    queue(&forge, &[(&c, &d, "bob"), (&a, &b, "alice"), (&b, &c, "carol"), (&a, &b, "alice")]);
    forge.gate.start();
    forge.wait_judged("refs/heads/main", Some(&d));
    forge.wait_idle();
    let all = forge.decisions();
    let by = |new: &str| all.iter().filter(|one| moved(one, "refs/heads/main", new)).collect::<Vec<_>>();
    for (new, who, outcome) in [(&b, "alice", "accept"), (&c, "carol", "accept"), (&d, "bob", "refuse")] {
        let [one] = by(new)[..] else { panic!("{new} is judged once: {all:#?}") };
        assert_eq!((one["pusher"]["name"].as_str(), one["outcome"].as_str()), (Some(who), Some(outcome)));
        assert_eq!(one["mode"], "detected");
    }
    assert_eq!(rules(by(&d)[0]), ["force-push"]);
}

/// Puts deliveries about `main` into the queue, as the listener would.
pub fn queue(forge: &Forge, moves: &[(&String, &String, &str)]) {
    use countersign::domain::{ObjectId, RefName, Timestamp};
    use countersign::forge::{Actor, Claim, Event, ForgeRepository, Push};
    use countersign::store::{Accepted, Mode, NewDelivery, Store};
    let store = Store::open(&forge.gate.state(), Mode::ReadWrite).unwrap();
    for (number, (before, after, who)) in moves.iter().enumerate() {
        let id = |hex: &str| ObjectId::parse_optional(hex.as_bytes()).unwrap();
        let event = Event::Push(Push {
            repository: ForgeRepository { id: "7".into(), path: "acme/infra".into() },
            claims: vec![Claim {
                reference: RefName::parse(b"refs/heads/main").unwrap(),
                before: id(before),
                after: id(after),
            }],
            unreadable: Vec::new(),
            actor: Some(Actor { login: (*who).to_owned(), id: None }),
        });
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&(number as u64).to_be_bytes());
        let new = NewDelivery {
            source: "forge".into(),
            id: None,
            id_signed: false,
            digest,
            repository: forge.id(),
            event: serde_json::to_string(&event).unwrap(),
            received: Timestamp::now(),
        };
        assert!(matches!(store.accept_delivery(new).unwrap(), Accepted::Queued(_)));
    }
}

#[test]
fn n29_a_push_whose_webhook_was_suppressed_is_found() {
    let forge = Forge::running();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let bad = work.commit(None, "hidden");
    work.git(&["tag", "v1"]).ok();
    forge.push(&work, &["main", "v1", "main:refs/heads/side", "main:refs/pull/1/head"]);
    let one = forge.decided("refs/heads/main", &bad);
    assert_eq!((one["outcome"].as_str(), one["mode"].as_str()), (Some("refuse"), Some("unannounced")));
    assert_eq!(one["pusher"]["identity"], "unknown");
    for reference in ["refs/tags/v1", "refs/heads/side"] {
        assert_eq!(forge.decided(reference, &bad)["refs"][0]["coverage"], "uncovered-accept");
    }
    forge.push(&work, &["--delete", "side"]);
    forge.wait_judged("refs/heads/side", None);
    assert_eq!(forge.judged("refs/pull/1/head"), None, "what the forge makes itself is not watched");
    let count = forge.decisions().len();
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(forge.decisions().len(), count, "nothing is judged twice");
}

#[test]
fn n29_a_value_that_was_there_for_a_while_is_judged_or_is_a_gap() {
    let forge = Forge::running();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let start = work.id("HEAD");
    // There and away again, and the objects are still there.
    let there = work.commit(None, "for a while");
    forge.push(&work, &["main"]);
    forge.push(&work, &["--force", &format!("{start}:main")]);
    // There and away again, and nothing is left of it.
    work.git(&["reset", "--quiet", "--hard", &start]).ok();
    let gone = work.commit(None, "gone");
    forge.tell("refs/heads/main", &start, &there, "mallory");
    forge.tell("refs/heads/main", &there, &start, "mallory");
    forge.tell("refs/heads/main", &start, &gone, "mallory");
    forge.tell("refs/heads/main", &gone, &start, "mallory");
    let one = forge.decided("refs/heads/main", &there);
    assert_eq!((one["outcome"].as_str(), one["mode"].as_str()), (Some("refuse"), Some("transient")), "{one}");
    assert_eq!(one["pusher"]["name"], "mallory");
    let one = forge.decided("refs/heads/main", &gone);
    assert_eq!((one["outcome"].as_str(), one["mode"].as_str()), (Some("undecided"), Some("transient")));
    assert_eq!(one["fault"]["code"], "gap");
    forge.wait_idle();
    assert_eq!(forge.judged("refs/heads/main"), Some(start.clone()), "that moves nothing");
    // The same again, with other ids of delivery: nothing is judged again.
    let count = forge.decisions().len();
    forge.tell("refs/heads/main", &start, &there, "mallory");
    forge.tell("refs/heads/main", &start, &gone, "mallory");
    forge.wait_idle();
    assert_eq!(forge.decisions().len(), count);
}

/// It never rests for as long as a delivery is waited for, and is judged all the same.
#[test]
fn n29_a_ref_that_moves_on_and_on_without_deliveries_is_judged() {
    let forge = Forge::running();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let ids: Vec<String> = (0..30).map(|n| work.commit(None, &format!("OPS-{n}: on and on"))).collect();
    // Outside of what is watched.
    forge.push(&work, &["main:refs/pull/1/head"]);
    let begun = std::time::Instant::now();
    let mut turn = 0;
    let found = loop {
        forge.git(&["update-ref", "refs/heads/main", &ids[turn % ids.len()]]);
        turn += 1;
        let mut all = forge.decisions().into_iter();
        if let Some(one) = all.find(|one| one["refs"][0]["ref"] == "refs/heads/main") {
            break one;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{turn} moves, and nobody looked");
        std::thread::sleep(std::time::Duration::from_millis(80));
    };
    assert_eq!((found["mode"].as_str(), found["outcome"].as_str()), (Some("unannounced"), Some("refuse")));
}

#[test]
fn n29_an_event_that_lies_moves_nothing() {
    let forge = Forge::running();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let start = work.id("HEAD");
    let other = work.commit(None, "elsewhere");
    forge.push(&work, &["main:refs/heads/side"]);
    forge.wait_judged("refs/heads/side", Some(&other));
    forge.tell("refs/heads/main", &start, ZERO, "mallory");
    forge.tell("refs/heads/main", &start, &other, "mallory");
    forge.tell("refs/heads/new", ZERO, &other, "mallory");
    forge.wait_idle();
    assert_eq!(forge.judged("refs/heads/main"), Some(start));
    assert_eq!(forge.judged("refs/heads/new"), None);
    let about = forge.decisions().into_iter().filter(|one| one["refs"][0]["ref"] != "refs/heads/side");
    let modes: Vec<_> =
        about.filter(|one| one["refs"][0]["ref"] != json!(null)).map(|one| one["mode"].clone()).collect();
    assert!(!modes.is_empty() && modes.iter().all(|mode| mode == "transient"), "{modes:?}");
}

#[test]
fn n28_success_is_for_the_target_that_an_enforcing_ruleset_judged() {
    let mut forge = Forge::prepared();
    let nobody = crate::support::sshd::free_port();
    crate::forge::private(&forge.gate.sandbox.path("token"), "a test token");
    forge.source = format!(
        "[source.report]\napi = \"http://127.0.0.1:{nobody}\"\ntoken = {{ file = \"{}\" }}\n",
        forge.gate.sandbox.path("token").display()
    );
    forge.start();
    forge.adopt();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let good = work.commit(Some(&forge.alice), "OPS-2: signed");
    forge.push(&work, &["main", "main:refs/heads/side"]);
    forge.decided("refs/heads/main", &good);
    forge.decided("refs/heads/side", &good);
    let bad = work.commit(None, "OPS-3: unsigned");
    forge.push(&work, &["main:refs/heads/release/1", "main:refs/heads/side"]);
    forge.decided("refs/heads/release/1", &bad);
    forge.decided("refs/heads/side", &bad);
    let mut said: Vec<_> = forge
        .store()
        .reports(100)
        .unwrap()
        .into_iter()
        .map(|one| (one.report.context, one.report.commit.to_string(), one.report.state))
        .collect();
    said.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [
        ("countersign/refs/heads/main".to_owned(), good, ReportState::Success),
        ("countersign/refs/heads/release/1".to_owned(), bad, ReportState::Failure),
    ];
    assert_eq!(said, expected, "nothing is said of what nobody judges");
}

#[test]
fn n28_what_a_tag_was_for_a_while_does_not_hide_what_it_is() {
    let mut forge = Forge::prepared();
    crate::forge::private(&forge.gate.sandbox.path("token"), "a test token");
    forge.source = format!(
        "[source.report]\napi = \"http://127.0.0.1:{}\"\ntoken = {{ file = \"{}\" }}\n",
        crate::support::sshd::free_port(),
        forge.gate.sandbox.path("token").display()
    );
    forge.policy.push_str(
        "\n[[ruleset]]\nname = \"tags\"\nrepositories = [\"**\"]\nrefs = [\"refs/tags/**\"]\n\
         enforcement = \"enforce\"\n\n[ruleset.refuse]\nlightweight-tag = true\n",
    );
    forge.start();
    forge.adopt();
    let (work, tag) = (forge.gate.clone_at(&forge.bare, "main"), "refs/tags/v1");
    let commit = work.id("HEAD");
    forge.push(&work, &[&format!("main:{tag}")]);
    assert_eq!(forge.decided(tag, &commit)["outcome"], "refuse");
    let said = || {
        let mut all = forge.store().reports(100).unwrap().into_iter();
        all.find(|one| one.report.context.ends_with(tag)).unwrap().report.state
    };
    assert_eq!(said(), ReportState::Failure);
    // A tag of the same commit that breaks no rule, and back again.
    forge.gate.stop();
    work.git(&["tag", "-a", "-m", "fine", "fine"]).ok();
    let fine = work.id("refs/tags/fine");
    forge.push(&work, &["--force", &format!("{fine}:{tag}")]);
    forge.push(&work, &["--force", &format!("{commit}:{tag}")]);
    forge.gate.start();
    forge.tell(tag, &commit, &fine, "mallory");
    forge.tell(tag, &fine, &commit, "mallory");
    let one = forge.decided(tag, &fine);
    assert_eq!((one["outcome"].as_str(), one["mode"].as_str()), (Some("accept"), Some("transient")), "{one}");
    forge.wait_idle();
    assert_eq!(said(), ReportState::Failure, "the tag holds what was refused");
}

#[test]
fn n11_a_proposal_is_judged_for_what_it_would_bring_and_moves_nothing() {
    let forge = Forge::running();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let start = work.id("HEAD");
    // The target goes on, and the proposal stands on where it was.
    let next = work.commit(Some(&forge.alice), "OPS-2: goes on");
    forge.push(&work, &["main"]);
    forge.wait_judged("refs/heads/main", Some(&next));
    work.branch("good", &start);
    let good = work.commit(Some(&forge.alice), "OPS-3: proposed");
    work.branch("bad", &start);
    let bad = work.commit(None, "proposed");
    forge.push(&work, &[&format!("{good}:refs/pull/1/head"), &format!("{bad}:refs/pull/2/head")]);
    for (number, head) in [(1, &good), (2, &bad)] {
        let body = json!({
            "action": "opened", "number": number, "repository": { "id": 7, "full_name": "acme/infra" },
            "pull_request": {
                "number": number,
                "head": { "ref": "topic", "sha": head, "repo": { "id": 9 } },
                "base": { "ref": "main", "sha": next, "repo": { "id": 7 } },
            },
        });
        assert_eq!(forge.deliver("pull_request", &body.to_string()), Some(202));
    }
    for (number, head, outcome, broken) in
        [(1, &good, "accept", vec![]), (2, &bad, "refuse", vec!["missing-ticket", "unsigned-commit"])]
    {
        let one = forge.decided("refs/heads/main", head);
        assert_eq!(
            (one["outcome"].as_str(), one["mode"].as_str()),
            (Some(outcome), Some("proposed")),
            "{one}"
        );
        assert_eq!(one["proposal"], number);
        assert_eq!(rules(&one), broken, "it is no force push, although the target is not its ancestor");
        assert_eq!(one["refs"][0]["old"], start);
    }
    forge.wait_idle();
    assert_eq!(forge.judged("refs/heads/main"), Some(next));
    // It was accepted as a proposal; merged, it is judged like anything new.
    work.branch("main", &good);
    forge.push(&work, &["--force", "main"]);
    let one = forge.decision("the forced push", |one| {
        moved(one, "refs/heads/main", &good) && one["mode"] == "unannounced"
    });
    assert_eq!(rules(&one), ["force-push"]);
    assert_eq!(one["refs"][0]["rulesets"][1]["introduced"], 1);
}

#[test]
fn sha256_repositories_are_judged() {
    let forge = Forge::with_format("sha256");
    forge.start();
    forge.adopt();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let before = work.id("HEAD");
    let bad = work.commit(None, "OPS-2: unsigned");
    forge.push(&work, &["main"]);
    forge.tell("refs/heads/main", &before, &bad, "alice");
    let one = forge.decided("refs/heads/main", &bad);
    assert_eq!(
        (rules(&one), one["pusher"]["name"].as_str()),
        (vec!["unsigned-commit".to_owned()], Some("alice"))
    );
}

#[test]
fn n30_the_packs_of_a_mirror_are_bounded_and_what_was_dropped_is_still_there() {
    let forge = Forge::running();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let first = work.id("HEAD");
    let dropped = work.commit(Some(&forge.alice), "OPS-2: it is rewound later");
    forge.push(&work, &["main"]);
    forge.tell("refs/heads/main", &first, &dropped, "alice");
    forge.wait_judged("refs/heads/main", Some(&dropped));
    forge.push(&work, &["--force", &format!("{first}:refs/heads/main")]);
    forge.tell("refs/heads/main", &dropped, &first, "alice");
    forge.wait_judged("refs/heads/main", Some(&first));
    // Each of them is judged by itself, and kept in a pack of its own.
    let mut pushed = vec![dropped];
    for n in 0..40 {
        let commit = work.commit(None, &format!("topic {n}"));
        forge.push(&work, &[&format!("HEAD:refs/heads/topic/{n}")]);
        pushed.push(commit);
    }
    let last = pushed.last().unwrap().clone();
    forge.wait_judged("refs/heads/topic/39", Some(&last));
    let mut mirrors =
        std::fs::read_dir(forge.gate.state().join("mirrors")).unwrap().map(|one| one.unwrap().path());
    let mirror = mirrors.find(|path| path.is_dir()).unwrap();
    let packs = || {
        let all = std::fs::read_dir(mirror.join("objects/pack")).unwrap();
        all.filter(|one| one.as_ref().unwrap().path().extension().is_some_and(|end| end == "pack")).count()
    };
    wait_for("the packs to be rolled up", std::time::Duration::from_secs(60), || {
        let judged = (0..40).all(|n| forge.judged(&format!("refs/heads/topic/{n}")).is_some());
        (judged && packs() <= 32).then_some(())
    });
    for commit in &pushed {
        forge.gate.sandbox.git(&mirror, &["cat-file", "-e", &format!("{commit}^{{tree}}")]).ok();
    }
    // Nothing is in the way of what comes next.
    let next = work.commit(None, "and on");
    forge.push(&work, &["HEAD:refs/heads/topic/39"]);
    forge.wait_judged("refs/heads/topic/39", Some(&next));
}
