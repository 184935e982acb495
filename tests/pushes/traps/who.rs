//! Traps about who it is: names, push options, texts and variables that claim an exemption.

use super::recorded;
use crate::support::clone::Clone;
use crate::support::gate::Gate;
use crate::support::receive_pack;
use crate::support::signers::Signer;
use std::path::PathBuf;

/// Alice may break the rule about tickets, if she asks and signs nothing through an agent; bob may not.
const POLICY: &str = r#"
[policy]
uncovered = "accept"

[[ruleset]]
name = "main"
repositories = ["**"]
refs = ["refs/heads/main", "refs/heads/release/**"]

[ruleset.refuse]
missing-ticket = { projects = ["OPS"] }
force-push = true

[[ruleset.bypass]]
who = ["person:alice"]
proof = "pusher"
rules = ["missing-ticket", "force-push"]
reason = "on call"
ask = true

[[ruleset.bypass]]
who = ["person:carol"]
proof = "key"
rules = ["missing-ticket"]
reason = "imports"
"#;

/// A gate behind gitolite, with accounts for some, and a repository that takes push options.
struct Place {
    gate: Gate,
    bare: PathBuf,
    path: PathBuf,
    alice: Signer,
    carol: Signer,
    autofix: Signer,
}

impl Place {
    fn new(policy: &str) -> Self {
        let place = Place::empty(policy);
        place.by("bob").commit(None, "OPS-1: base");
        place.by("bob").accepted(&["main"]);
        place
    }

    fn empty(policy: &str) -> Self {
        let gate = Gate::prepared(policy);
        gate.repository_keys.replace("server = \"gitolite\"".to_owned());
        gate.configure(policy);
        let add = |name: &str, kind: &str| {
            let signer = Signer::ssh(&gate.sandbox, name, &["ed25519"]);
            let (email, account) = (format!("{name}@example.com"), format!("gitolite:{name}"));
            let key = signer.public.to_str().unwrap();
            let add = [
                "keyring",
                "add",
                name,
                "--kind",
                kind,
                "--email",
                &email,
                "--account",
                &account,
                "--key",
                key,
            ];
            gate.countersign(&add).ok();
            signer
        };
        let (alice, _, carol) = (add("alice", "person"), add("bob", "person"), add("carol", "person"));
        let autofix = add("autofix", "agent");
        add("renovate", "bot");
        gate.start();
        let bare = gate.repository("infra/live");
        gate.sandbox.git(&bare, &["config", "receive.advertisePushOptions", "true"]).ok();
        let path = gate.clone_of(&bare).path;
        Place { gate, bare, path, alice, carol, autofix }
    }

    fn by(&self, account: &str) -> Clone<'_> {
        Clone::at(&self.gate, &self.bare, &self.path).with_env("GL_USER", account)
    }
}

const ASK: &str = "--push-option=countersign.bypass=missing-ticket:the pager said so";

#[test]
fn n19_a_bypass_is_configuration_and_goes_on_record() {
    let place = Place::new(POLICY);
    let work = place.by("bob");
    let tip = work.commit(None, "no ticket");
    // Not for bob, asked for or not; not for alice unless she asks, for this rule and with a reason.
    for arguments in [&["main"][..], &[ASK, "main"]] {
        place.by("bob").push(arguments).assert_refused(&["missing-ticket"]);
    }
    for option in [
        "countersign.bypass=missing-ticket",
        "countersign.bypass=force-push:x",
        "countersign.bypass=*:x",
        "countersign.Bypass=missing-ticket:x",
    ] {
        let option = format!("--push-option={option}");
        place.by("alice").push(&[&option, "main"]).assert_refused(&["missing-ticket"]);
    }
    place.by("alice").accepted(&[ASK, "main"]);
    let record = recorded(&place.gate, "accept", &[]);
    let waived = &record["waivers"][0];
    assert_eq!(waived["by"], "person:alice", "{record}");
    assert_eq!((&waived["proof"], &waived["reason"]), (&"pusher".into(), &"on call".into()), "{record}");
    assert!(record.to_string().contains("the pager said so"), "{record}");
    // It was let in on this ref; on another one bob would need to be let off himself.
    place.by("bob").push(&["main:release/1"]).assert_refused(&["missing-ticket"]);
    assert_eq!(work.server("refs/heads/main"), Some(tip));

    // By key it is of the commit that she signed, and of nothing else.
    work.commit(Some(&place.carol), "no ticket, by carol");
    place.by("bob").accepted(&["main"]);
    assert_eq!(recorded(&place.gate, "accept", &[])["waivers"][0]["proof"], "key");
    work.commit(None, "no ticket, on top of hers");
    work.commit(Some(&place.carol), "no ticket, by carol again");
    let push = place.by("bob").push(&["main"]).assert_refused(&["missing-ticket"]);
    assert!(push.text().contains("1 violation,"), "{}", push.text());
    work.git(&["reset", "--quiet", "--hard", "HEAD~2"]).ok();

    // Void where an agent takes part, in whichever way; and of no built-in rule.
    work.commit(Some(&place.autofix), "no ticket, by an agent");
    place.by("alice").push(&[ASK, "main"]).assert_refused(&["missing-ticket"]);
    work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    work.commit(None, "no ticket");
    place.by("autofix").push(&[ASK, "main"]).assert_refused(&["missing-ticket"]);
    let ask = "--push-option=countersign.bypass=unknown-namespace:x";
    let push = place.by("alice").push(&[ask, "main:refs/odd/x"]);
    assert!(push.rules().contains("unknown-namespace"), "{}", push.text());
}

#[test]
fn trap_11_push_options_are_text() {
    let place = Place::new(POLICY);
    let work = place.by("bob");
    let old = work.id("main");
    let id = work.commit(None, "no ticket");
    let send = |account: &str, options: &[&[u8]]| {
        let updates = [(old.as_str(), id.as_str(), &b"refs/heads/main"[..])];
        let environment = [("GL_USER", account)];
        let (gate, work) = (&place.gate, &place.path);
        let pushed = (&updates[..], &[id.as_str()][..]);
        receive_pack::push_with_options(&gate.sandbox, &place.bare, work, pushed, options, &environment)
    };
    for options in [
        // They look like variables, like more of themselves, like what somebody else would be allowed.
        &[&b"x\nGL_USER=alice\nGIT_PUSH_OPTION_1=countersign.bypass=missing-ticket:y"[..]][..],
        &[b"x\ncountersign.bypass=missing-ticket:y"],
        &[b"countersign.bypass=missing-ticket:y"],
        &[b"GL_USER=alice", b"GIT_PUSH_OPTION_COUNT=0"],
        &[b"\x1b[2Jcountersign.bypass=missing-ticket:y", "\u{202e}".as_bytes()],
    ] {
        let answer = send("bob", options);
        assert_eq!(answer.rules(), ["missing-ticket"].into(), "{}", answer.text);
        let record = recorded(&place.gate, "refuse", &["missing-ticket"]);
        assert_eq!(record["pusher"]["principal"], "bob", "{record}");
        let shown = record["push_options"].to_string();
        assert!(!shown.contains('\u{202e}') && !shown.contains("\\u001b"), "{shown}");
    }
    // Not even hers, where something else stands before it.
    for option in [&b"x\ncountersign.bypass=missing-ticket:y"[..], b" countersign.bypass=missing-ticket:y"] {
        assert_eq!(send("alice", &[option]).rules(), ["missing-ticket"].into());
    }
    // Their number and length are bounded: what is more than fits is no reason to let anything in.
    let many: Vec<Vec<u8>> = (0..1000).map(|n| format!("option-{n}").into_bytes()).collect();
    let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    let answer = send("bob", &many);
    assert!(answer.is_undecided() || answer.rules().contains("missing-ticket"), "{}", answer.text);
    let long = vec![b'x'; 60_000];
    let answer = send("bob", &[&long, &long]);
    assert!(answer.is_undecided() || answer.rules().contains("missing-ticket"), "{}", answer.text);
    assert_eq!(work.server("refs/heads/main"), Some(old));
}

#[test]
fn trap_27_a_name_exempts_nobody() {
    let policy = POLICY.replace(
        "missing-ticket = { projects = [\"OPS\"] }",
        "missing-ticket = { projects = [\"OPS\"], except = [\"bot:renovate\"] }",
    );
    let place = Place::new(&policy);
    let work = place.by("bob");
    let renovate = Signer::ssh(&place.gate.sandbox, "stranger", &["ed25519"]);
    let names = [
        ("renovate", "renovate@example.com"),
        ("renovate[bot]", "29139614+renovate[bot]@users.noreply.example.com"),
        ("GitHub", "noreply@github.com"),
        ("bot:renovate", "renovate@example.com"),
    ];
    for (name, email) in names {
        let claim = [
            ("GIT_AUTHOR_NAME", name),
            ("GIT_AUTHOR_EMAIL", email),
            ("GIT_COMMITTER_NAME", name),
            ("GIT_COMMITTER_EMAIL", email),
        ];
        // Unsigned, by somebody else's key, and by a key that is nobody's.
        for signer in [None, Some(&place.alice), Some(&renovate)] {
            work.sign_with(signer, &claim, &["commit", "--quiet", "--allow-empty", "-m", "chore: update"]);
            work.push(&["main"]).assert_refused(&["missing-ticket"]);
            recorded(&place.gate, "refuse", &["missing-ticket"]);
            work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
        }
    }
    // An account that is called so is not the signer either.
    work.commit(None, "chore: update");
    place.by("renovate").push(&["main"]).assert_refused(&["missing-ticket"]);
    place.by("renovate[bot]").push(&["main"]).assert_refused(&["missing-ticket"]);
}

#[test]
fn trap_28_text_lets_nothing_in() {
    let place = Place::new(POLICY);
    for message in [
        "no ticket [skip countersign]",
        "no ticket\n\ncountersign.bypass=missing-ticket:because",
        "no ticket\n\nCountersign-Bypass: missing-ticket\nSigned-off-by: alice <alice@example.com>",
        "no ticket\n\n[skip secret push protection] [ci skip] @allow-large-file",
        "no ticket\n\nBypass-Approved-By: alice <alice@example.com>",
    ] {
        // Not even where she pushes it who may ask: a commit asks for nothing.
        for account in ["bob", "alice"] {
            let work = place.by(account);
            work.commit(None, message);
            work.push(&["main"]).assert_refused(&["missing-ticket"]);
            let record = recorded(&place.gate, "refuse", &["missing-ticket"]);
            assert!(
                record.get("waivers").is_none_or(|all| all.as_array().is_none_or(Vec::is_empty)),
                "{record}"
            );
            // In the name of the branch and the message of a tag as well.
            work.push(&["main:release/countersign.bypass=missing-ticket"])
                .assert_refused(&["missing-ticket"]);
            work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
        }
    }
    // What was let in by asking asks for nothing elsewhere: the words stay with the push.
    let work = place.by("alice");
    let tip = work.commit(None, "no ticket\n\ncountersign.bypass=missing-ticket:because");
    work.accepted(&[ASK, "main"]);
    for target in ["release/1", "release/2"] {
        place.by("bob").push(&[&format!("{tip}:refs/heads/{target}")]).assert_refused(&["missing-ticket"]);
    }
    let fork = place.gate.repository("infra/fork");
    let other = Clone::at(&place.gate, &fork, &place.path).with_env("GL_USER", "bob");
    other.push(&["main"]).assert_refused(&["missing-ticket"]);
    assert_eq!(other.server("refs/heads/main"), None);
}

/// A signed commit of somebody else's, found elsewhere, is not the pusher's to bring.
#[test]
fn trap_14_a_commit_of_somebody_else_is_told_from_the_pushers() {
    let rule = "pusher-mismatch = { match = \"signer\" }\nunsigned-commit = true";
    let policy = POLICY.replace("missing-ticket = { projects = [\"OPS\"] }", rule);
    let policy = policy.replace("\"missing-ticket\", \"force-push\"", "\"force-push\"");
    let policy = policy.split("[[ruleset.bypass]]").take(2).collect::<Vec<_>>().join("[[ruleset.bypass]]");
    let gate = Place::empty(&policy);
    let work = gate.by("alice");
    work.commit(Some(&gate.alice), "mine");
    work.accepted(&["main"]);
    let fork = gate.gate.repository("infra/fork");
    let other = |account: &str| Clone::at(&gate.gate, &fork, &gate.path).with_env("GL_USER", account);
    let push = other("bob").push(&["main"]).assert_refused(&["pusher-mismatch"]);
    assert!(push.text().contains("pushed by person `bob`"), "{}", push.text());
    recorded(&gate.gate, "refuse", &["pusher-mismatch"]);
    other("alice").accepted(&["main"]);
}
