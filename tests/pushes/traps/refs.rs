//! Traps about refs: names, old values, aliases, hierarchies, and ways round a protected one.

use super::{Site, ZERO, ruleset};
use crate::support::gate::PRODUCTION;
use crate::support::sandbox::run;
use crate::support::wait_for;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

#[test]
fn trap_01_a_deletion_whatever_old_value_it_claims() {
    let site = Site::new();
    let unknown = "7".repeat(40);
    let next = site.work().commit(Some(&site.alice), "OPS-3: next");
    for old in [ZERO, &unknown, &site.base] {
        for (name, rules) in [
            ("refs/heads/main", &["malformed-update", "ref-deletion"][..]),
            ("refs/heads/topic", &["malformed-update"]),
        ] {
            // A deletion whatever it claims to delete: what claims to delete nothing contradicts itself first.
            let rules = if old == ZERO { &["malformed-update"][..] } else { rules };
            site.refused(&[(old, ZERO, name.as_bytes())], &[], rules);
            assert_eq!(site.work().server(name).as_ref(), Some(&site.tip));
            // And nothing else of the push is let in beside it.
            let fine = (site.tip.as_str(), next.as_str(), &b"refs/heads/main"[..]);
            if name != "refs/heads/main" {
                site.refused(&[fine, (old, ZERO, name.as_bytes())], &[&next], rules);
            }
        }
    }
    // Where creating is refused and deleting is not, it is no creation either.
    site.gate.reconfigure(&ruleset("\"refs/heads/**\"", "ref-creation = true"));
    site.refused(&[(ZERO, ZERO, b"refs/heads/topic")], &[], &["malformed-update"]);
    site.refused(&[(&unknown, ZERO, b"refs/heads/topic")], &[], &["malformed-update"]);
    // The honest one is what it says, and goes on record as that.
    let answer = site.send(&[(&site.tip, ZERO, b"refs/heads/topic")], &[]);
    assert!(answer.moved("refs/heads/topic"), "{}", answer.text);
    let record = site.recorded("accept", &[]);
    assert_eq!(
        (&record["refs"][0]["kind"], &record["refs"][0]["old"]),
        (&"delete".into(), &site.tip.as_str().into())
    );
}

#[test]
fn trap_02_deleting_and_creating_in_one_push_is_no_update() {
    let site = Site::new();
    let (main, topic) = (&b"refs/heads/main"[..], &b"refs/heads/topic"[..]);
    let (tip, base) = (site.tip.as_str(), site.base.as_str());
    site.refused(
        &[(tip, ZERO, main), (ZERO, base, main)],
        &[],
        &["force-push", "malformed-update", "ref-deletion"],
    );
    site.refused(
        &[(ZERO, base, main), (tip, ZERO, main)],
        &[],
        &["force-push", "malformed-update", "ref-deletion"],
    );
    site.refused(&[(tip, ZERO, topic), (ZERO, base, topic)], &[], &["malformed-update"]);
    site.refused(&[(tip, base, topic), (tip, tip, topic)], &[], &["malformed-update"]);
    // In two pushes it is a deletion first, which is a rule's to refuse.
    site.work().push(&[":main"]).assert_refused(&["ref-deletion"]);
    site.recorded("refuse", &["ref-deletion"]);
}

#[test]
fn trap_03_commits_that_came_in_by_another_ref_are_judged() {
    let site = Site::new();
    let work = site.work();
    let bad = work.commit(None, "OPS-3: unsigned");
    work.sign(None, &["tag", "-a", "-m", "annotated", "v1"]);
    work.sign(None, &["tag", "-a", "-m", "a tag of a tag", "v2", "v1"]);
    // All of it is in the repository: on a branch, in tags, in notes' hierarchy, and behind a signed commit.
    work.accepted(&["main:topic", "v1", "v2", "main:refs/notes/x"]);
    work.accepted(&["main:refs/tags/light"]);
    for target in ["main", "release/1"] {
        let push = work.push(&[&format!("main:{target}")]).assert_refused(&["unsigned-commit"]);
        assert!(push.text().contains(&bad[..10]), "{}", push.text());
        let record = site.recorded("refuse", &["unsigned-commit"]);
        assert_eq!(record["violations"][0]["commit"], bad.as_str());
    }
    // In one push with the ref that it is allowed on, whichever comes first.
    for refspecs in [["main:a", "main"], ["main", "main:z"]] {
        work.push(&refspecs).assert_refused(&["unsigned-commit"]);
    }
    work.commit(Some(&site.alice), "OPS-4: signed on top");
    work.accepted(&["main:topic"]);
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    // By a merge whose other side is fine.
    work.branch("main", &site.tip);
    work.sign(Some(&site.alice), &["merge", "--quiet", "--no-ff", "-m", "OPS-5: merge", &bad]);
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
}

#[test]
fn trap_04_replacing_objects_hides_nothing_and_is_no_ones_to_push() {
    let site = Site::new();
    let work = site.work();
    for name in [
        format!("refs/replace/{}", site.base),
        format!("refs/replace/{}", site.tip),
        "refs/original/refs/heads/main".to_owned(),
        "refs/bisect/bad".to_owned(),
        "refs/worktree/x".to_owned(),
        "refs/rewritten/x".to_owned(),
        "refs/anything/x".to_owned(),
    ] {
        let answer = site.send(&[(ZERO, &site.tip, name.as_bytes())], &[]);
        assert!(answer.rules().contains("unknown-namespace"), "{}", answer.text);
        assert_eq!(work.server(&name), None);
        assert_eq!(site.gate.last_decision()["outcome"], "refuse");
    }
    // No configuration lists those.
    site.gate.repository_keys.replace("namespaces = [\"refs/heads/\", \"refs/replace/\"]".to_owned());
    site.gate.configure(PRODUCTION);
    let ran = site.gate.countersign(&["config", "check"]);
    assert_eq!(ran.code(), Some(2), "{}", ran.stdout);
    site.gate.repository_keys.take();
    site.gate.configure(PRODUCTION);

    // Whoever puts one there on the server changes what other programs see, and nothing that is judged: the bad
    // commit is read as it is, and so is its parent.
    let bad = work.commit(None, "OPS-3: unsigned");
    work.commit(Some(&site.alice), "OPS-4: signed on top");
    work.accepted(&["main:topic"]);
    site.git(&["replace", &bad, &site.tip]);
    let push = work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    assert!(push.text().contains(&bad[..10]), "{}", push.text());
    site.git(&["replace", "-d", &bad]);
    site.git(&["replace", "--force", &work.id("main"), &site.tip]);
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    site.git(&["replace", "-d", &work.id("main")]);
    // An entry that leads to itself stops git; what it stands for is judged as ever.
    site.git(&["update-ref", &format!("refs/replace/{bad}"), &bad]);
    let push = run(work.push_command(&["main"]), b"");
    assert!(!push.status.success() && push.stderr.contains("error[unsigned-commit]"), "{}", push.stderr);
    // And so do grafts.
    site.git(&["update-ref", "-d", &format!("refs/replace/{bad}")]);
    fs::write(site.bare.join("info/grafts"), format!("{} {}\n", work.id("main"), site.tip)).unwrap();
    let push = run(work.push_command(&["main"]), b"");
    assert!(!push.status.success() && push.stderr.contains("error[unsigned-commit]"), "{}", push.stderr);
}

#[test]
fn trap_07_an_alias_is_judged_as_what_it_stands_for() {
    let site = Site::new();
    let work = site.work();
    site.git(&["symbolic-ref", "refs/heads/alias", "refs/heads/main"]);
    work.commit(None, "unsigned");
    work.push(&["main:alias"]).assert_refused(&["missing-ticket", "symref-push", "unsigned-commit"]);
    let record = site.recorded("refuse", &["missing-ticket", "symref-push", "unsigned-commit"]);
    assert_eq!(record["refs"][0]["ref"], "refs/heads/main", "the record names what would move: {record}");
    // One that leads nowhere yet would make its target.
    site.git(&["symbolic-ref", "refs/heads/dangling", "refs/heads/release/1"]);
    let push = run(work.push_command(&["main:dangling"]), b"");
    assert!(push.stderr.contains("error[symref-push]") && push.stderr.contains("error[unsigned-commit]"));
    assert_eq!(work.server("refs/heads/release/1"), None);
    site.git(&["symbolic-ref", "--delete", "refs/heads/dangling"]);
    work.push(&[":alias"]).assert_refused(&["ref-deletion", "symref-push"]);
    // A good commit is no reason either.
    work.branch("main", &site.tip);
    work.commit(Some(&site.alice), "OPS-3: signed");
    work.push(&["main:alias"]).assert_refused(&["symref-push"]);
    assert_eq!(work.server("refs/heads/main").as_ref(), Some(&site.tip));
}

#[test]
fn trap_08_commands_that_are_doomed_anyway_hide_no_other() {
    let site = Site::new();
    let work = site.work();
    site.git(&["config", "receive.hideRefs", "refs/heads/release/hidden"]);
    let good = work.commit(Some(&site.alice), "OPS-3: good");
    work.branch("bad", &site.tip);
    let bad = work.commit(None, "OPS-4: unsigned");
    let absent = "7".repeat(40);
    let main = (site.tip.as_str(), good.as_str(), &b"refs/heads/main"[..]);
    // Beside a good one, each of them refuses all: a hidden ref, an object that is nowhere, a name that is none.
    site.refused(&[main, (ZERO, &bad, b"refs/heads/release/hidden")], &[&good, &bad], &["unsigned-commit"]);
    site.refused(&[main, (ZERO, &absent, b"refs/heads/x")], &[&good], &["malformed-update"]);
    site.refused(&[(ZERO, &absent, b"refs/heads/x"), main], &[&good], &["malformed-update"]);
    site.refused(&[main, (ZERO, &good, b"refs/heads/a..b")], &[&good], &["malformed-update"]);
    // The doomed one does not keep the others from being judged.
    let unsigned = (site.tip.as_str(), bad.as_str(), &b"refs/heads/main"[..]);
    let rules = ["malformed-update", "unsigned-commit"];
    site.refused(&[unsigned, (ZERO, &absent, b"refs/heads/x")], &[&bad], &rules);
    // What is good and hidden: the gate lets it in and git does not, so it is on record and not applied.
    let answer = site.send(&[main, (ZERO, &good, b"refs/heads/release/hidden")], &[&good]);
    assert!(answer.moved("refs/heads/main") && !answer.moved("refs/heads/release/hidden"), "{}", answer.text);
    // Nobody waits for what was applied to be put on record.
    let request = site.gate.last_decision()["request_id"].clone();
    let applied = wait_for("the record of what was applied", Duration::from_secs(20), || {
        let own = |record: &Value| record["kind"] == "applied" && record["request_id"] == request;
        site.gate.audit().into_iter().find(own)
    });
    assert_eq!(applied["refs"].as_array().unwrap().len(), 1, "{applied}");
    assert_eq!(applied["refs"][0]["ref"], "refs/heads/main");
}

#[test]
fn trap_09_a_line_break_in_a_name_makes_no_second_line() {
    let site = Site::new();
    let work = site.work();
    let bad = work.commit(None, "OPS-3: unsigned");
    let planted = |tip: &str, name: &str| format!("refs/heads/x\n{} {tip} {name}", site.tip).into_bytes();
    for name in [
        planted(&bad, "refs/heads/main\n"),
        format!("refs/heads/x\r\n{ZERO} {} refs/heads/planted", site.tip).into_bytes(),
        format!("refs/heads/x\n{ZERO} refs/heads/planted").into_bytes(),
        b"refs/heads/x\n".to_vec(),
        b"\n".to_vec(),
    ] {
        let answer = site.send(&[(ZERO, &site.tip, &name)], &[&bad]);
        assert!(answer.rules().contains("malformed-update"), "{name:?}: {}", answer.text);
        assert_eq!(site.gate.last_decision()["outcome"], "refuse");
    }
    // A second line that is whole is one to whoever reads lines: it is judged like a real one.
    let answer = site.send(&[(ZERO, &site.tip, &planted(&bad, "refs/heads/main"))], &[&bad]);
    assert_eq!(answer.rules(), ["unsigned-commit"].into(), "{}", answer.text);
    // And where nothing is wrong with it, git refuses the name: nothing moves, and nothing counts as applied.
    let request = || site.gate.last_decision()["request_id"].clone();
    let fine = format!("refs/heads/x\n{ZERO} {} refs/heads/planted", site.tip).into_bytes();
    let answer = site.send(&[(ZERO, &site.tip, &fine)], &[]);
    assert!(!answer.text.contains("ok refs/heads/x"), "{}", answer.text);
    let applied = site.gate.audit().into_iter().filter(|one| one["kind"] == "applied");
    assert!(!applied.into_iter().any(|one| one["request_id"] == request()));
    for name in ["refs/heads/x", "refs/heads/planted"] {
        assert_eq!(work.server(name), None);
    }
    assert_eq!(work.server("refs/heads/main").as_ref(), Some(&site.tip));
    // No line of the log is of the pusher's making.
    let log = site.gate.countersign(&["audit", "log"]).ok().stdout;
    assert!(!log.lines().any(|line| line.starts_with(ZERO) || line.starts_with(&site.tip)), "{log}");
}

#[test]
fn trap_18_an_old_value_is_a_claim() {
    let site = Site::new();
    let work = site.work();
    let next = work.commit(Some(&site.alice), "OPS-3: next");
    for old in [ZERO, &site.base, &"7".repeat(40), &next] {
        let answer = site.refused(&[(old, &next, b"refs/heads/main")], &[&next], &["malformed-update"]);
        assert!(answer.text.contains(&site.tip[..10]), "it says what the ref holds: {}", answer.text);
        let record = site.gate.last_decision();
        assert_eq!(record["refs"][0]["old"], site.tip.as_str(), "the record has the real value: {record}");
    }
    // Whatever moves the ref between the decision and git's own transaction: the verdict was about this ref, this
    // old and this new value, and what was not applied counts for nothing.
    let raced = work.commit(Some(&site.alice), "OPS-4: judged from the tip");
    let hook = site.bare.join("hooks/update");
    fs::write(&hook, format!("#!/bin/sh\nexec git update-ref refs/heads/main {}\n", site.base)).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let push = run(work.push_command(&["main"]), b"");
    assert!(!push.status.success() && !push.stderr.contains("error["), "{}", push.stderr);
    fs::remove_file(&hook).unwrap();
    let record = site.recorded("accept", &[]);
    assert_eq!(
        (&record["refs"][0]["old"], &record["refs"][0]["new"]),
        (&site.tip.as_str().into(), &raced.as_str().into())
    );
    let applied = site.gate.audit().into_iter().filter(|one| one["kind"] == "applied");
    assert!(!applied.into_iter().any(|one| one["request_id"] == record["request_id"]));
    // The list changes meanwhile: the commits are judged again, by what holds then.
    site.gate.reconfigure(&PRODUCTION.replace("group:sre", "group:release"));
    work.push(&["main"]).assert_refused(&["untrusted-signer"]);
}

#[test]
fn trap_22_names_that_differ_in_case_only() {
    let site = Site::with(&format!(
        "{}case-collision = true\n",
        ruleset("\"refs/heads/main\", \"refs/heads/**\", \"refs/tags/**\"", "force-push = true")
    ));
    let work = site.work();
    for name in ["MAIN", "Main"] {
        let push = work.push(&[&format!("main:refs/heads/{name}")]).assert_refused(&["case-collision"]);
        assert!(push.text().contains("refs/heads/main"), "{}", push.text());
        site.recorded("refuse", &["case-collision"]);
    }
    // Two new ones in one push collide as well, and composed letters with those that they are made of.
    work.push(&["main:refs/heads/New", "main:refs/heads/new"]).assert_refused(&["case-collision"]);
    work.push(&["main:refs/heads/\u{e9}", "main:refs/heads/e\u{301}"]).assert_refused(&["case-collision"]);
    // Another spelling of a hierarchy is another hierarchy, with or without the rule.
    for name in ["refs/Heads/main", "refs/HEADS/main", "refs/Tags/v1"] {
        let answer = site.send(&[(ZERO, &site.tip, name.as_bytes())], &[]);
        assert!(answer.rules().contains("unknown-namespace"), "{}", answer.text);
    }
    assert_eq!(work.server("refs/heads/MAIN"), None);
}

#[test]
fn trap_23_a_history_that_is_cut_is_not_taken_for_whole() {
    let site = Site::new();
    let sandbox = &site.gate.sandbox;
    site.git(&["config", "receive.shallowUpdate", "true"]);
    let origin = sandbox.bare("elsewhere.git", &[]);
    let full = sandbox.work_tree("full", &[]);
    for n in 0..4 {
        sandbox.commit(&full, &format!("OPS-{n}: elsewhere"));
    }
    sandbox.git(&full, &["push", "--quiet", origin.to_str().unwrap(), "main"]).ok();
    let shallow = sandbox.path("shallow");
    let from = format!("file://{}", origin.display());
    sandbox.git(sandbox.root(), &["clone", "--quiet", "--depth=1", &from, shallow.to_str().unwrap()]).ok();
    let url = format!("file://{}", site.bare.display());
    for refspecs in [&["main:topic2"][..], &["main:release/9"], &["main:topic2", "main:release/9"]] {
        let push = sandbox.git(&shallow, &[&["push", &url], refspecs].concat());
        assert!(!push.status.success() && push.stderr.contains("error[shallow-graft]"), "{}", push.stderr);
        let record = site.gate.last_decision();
        assert!(record["outcome"] == "refuse" && record.to_string().contains("shallow-graft"), "{record}");
        assert!(!site.bare.join("shallow").exists());
    }
    assert_eq!(site.work().server("refs/heads/topic2"), None);
    // A repository that is cut already is not judged at all.
    fs::write(site.bare.join("shallow"), format!("{}\n", site.tip)).unwrap();
    site.work().commit(Some(&site.alice), "OPS-5: next");
    let push = run(site.work().push_command(&["main"]), b"");
    assert!(push.stderr.contains("cause[shallow-repository]"), "{}", push.stderr);
    assert_eq!(site.gate.last_decision()["outcome"], "undecided");
}

#[test]
fn trap_24_names_that_mislead_are_refused_without_being_asked_for() {
    let site = Site::new();
    let id = "3f2a9c1d04b5e6f708192a3b4c5d6e7f80910213";
    for name in [
        "refs/heads/HEAD".to_owned(),
        "refs/heads/head".to_owned(),
        "refs/tags/HEAD".to_owned(),
        "refs/heads/FETCH_HEAD".to_owned(),
        "refs/heads/refs/heads/x".to_owned(),
        "refs/heads/-delete".to_owned(),
        "refs/heads/x/--force".to_owned(),
        format!("refs/heads/{id}"),
        format!("refs/heads/{id}-fix"),
        format!("refs/tags/{id}"),
        "refs/heads/a\u{200b}b".to_owned(),
    ] {
        let answer = site.send(&[(ZERO, &site.tip, name.as_bytes())], &[]);
        assert_eq!(answer.rules(), ["ref-name"].into(), "{name}: {}", answer.text);
        site.recorded("refuse", &["ref-name"]);
        assert_eq!(site.work().server(&name), None);
    }
    // Whoever wants them turns it off.
    site.gate.reconfigure(
        &PRODUCTION.replace("[[ruleset]]", "[policy.defaults]\nref-name = false\n\n[[ruleset]]"),
    );
    assert!(site.send(&[(ZERO, &site.tip, b"refs/heads/HEAD")], &[]).moved("refs/heads/HEAD"));
}

#[test]
fn trap_25_what_a_ref_may_lead_to() {
    let refuse = "wrong-object-kind = true\nunsigned-commit = true";
    let site = Site::with(&ruleset("\"refs/heads/**\", \"refs/tags/**\"", refuse));
    let work = site.work();
    fs::write(work.path.join("file"), "content").unwrap();
    work.git(&["add", "file"]).ok();
    let tree = work.git(&["write-tree"]).ok().line().to_owned();
    let blob = work.git(&["hash-object", "-w", "file"]).ok().line().to_owned();
    for (id, word) in [(&tree, "tree"), (&blob, "blob")] {
        // A branch that holds no commit is refused whatever the rulesets say.
        let answer = site.send(&[(ZERO, id, b"refs/heads/odd")], &[id]);
        assert!(answer.rules().contains("malformed-update"), "{}", answer.text);
        let answer = site.send(&[(ZERO, id, b"refs/tags/odd")], &[id]);
        assert!(
            answer.rules().contains("wrong-object-kind") && answer.text.contains(word),
            "{}",
            answer.text
        );
        // Through as many tags as there may be.
        let mut inner = id.clone();
        for n in 0..3 {
            let name = format!("{word}{n}");
            work.sign(None, &["tag", "-a", "-m", "x", &name, &inner]);
            inner = work.id(&format!("refs/tags/{name}"));
            let push = work.push(&[&name]);
            assert!(push.rules().contains("wrong-object-kind"), "{}", push.text());
        }
    }
    // A chain that ends at a commit brings the commit before the judge.
    let bad = work.commit(None, "unsigned");
    work.sign(None, &["tag", "-a", "-m", "x", "outer", &bad]);
    work.sign(None, &["tag", "-a", "-m", "x", "outermost", "outer"]);
    let push = work.push(&["outermost"]).assert_refused(&["unsigned-commit"]);
    assert!(push.text().contains(&bad[..10]), "{}", push.text());
    // An annotated tag on a branch is no commit.
    let tag = work.id("refs/tags/outer");
    let answer = site.send(&[(ZERO, &tag, b"refs/heads/tagged")], &[&tag]);
    assert!(answer.rules().contains("malformed-update"), "{}", answer.text);
}

#[test]
fn trap_26_review_refs_are_no_way_to_a_branch() {
    let site = Site::new();
    let work = site.work();
    work.commit(None, "unsigned");
    for name in ["refs/for/main", "refs/for/refs/heads/main", "refs/drafts/main", "refs/changes/01/1/1"] {
        let push = work.push(&[&format!("main:{name}")]);
        assert!(push.rules().contains("unknown-namespace"), "{}", push.text());
        assert_eq!(site.gate.last_decision()["outcome"], "refuse");
    }
    // Listed, they are refs like any others: the short name of a protected one is taken, the rest nobody covers.
    site.gate
        .repository_keys
        .replace("namespaces = [\"refs/heads/\", \"refs/tags/\", \"refs/for/\"]".to_owned());
    site.gate.reconfigure(PRODUCTION);
    work.push(&["main:refs/for/main"]).assert_refused(&["ref-shadowing"]);
    // A server's program moves another ref than the one that was pushed.
    site.git(&["config", "receive.procReceiveRefs", "refs/for"]);
    let hook = site.bare.join("hooks/proc-receive");
    let script = format!("#!/bin/sh\ngit update-ref refs/heads/main {}\nexit 1\n", work.id("main"));
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    run(work.push_command(&["main:refs/for/x"]), b"");
    let record = site.gate.last_decision();
    assert_eq!(record["refs"][0]["coverage"], "uncovered-accept", "{record}");
    assert_eq!(work.server("refs/heads/main"), Some(work.id("main")), "the program has moved it");
    // The gate has let in nothing on `main`, and judges what it finds there like anything new.
    work.commit(Some(&site.alice), "OPS-3: signed on top");
    work.push(&["main"]).assert_refused(&["missing-ticket", "unsigned-commit"]);
    assert!(site.gate.log().contains("moved past the gate"), "{}", site.gate.log());
}

#[test]
fn n33_a_short_name_stays_that_of_the_protected_ref() {
    let site = Site::new();
    let work = site.work();
    for name in ["refs/tags/main", "refs/tags/origin/main", "refs/tags/heads/main", "refs/tags/remotes/main"]
    {
        let push = work.push(&[&format!("main:{name}")]).assert_refused(&["ref-shadowing"]);
        assert!(push.text().contains("refs/heads/main, which is protected"), "{}", push.text());
        site.recorded("refuse", &["ref-shadowing"]);
    }
    // In the other direction: a protected ref that something hides already.
    work.accepted(&["main:refs/tags/plain"]);
    site.git(&["tag", "release/2", "main"]);
    work.push(&["main:refs/heads/release/2"]).assert_refused(&["ref-shadowing"]);
    // Gone in the same push, it hides nothing.
    work.accepted(&["main:refs/heads/release/2", ":refs/tags/release/2"]);
}
