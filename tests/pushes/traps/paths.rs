//! Traps about content: what a list of changed paths does not show.

use super::{Site, ruleset};
use crate::support::clone::Clone;
use crate::support::gate::PRODUCTION;
use crate::support::receive_pack;
use crate::support::signers::Signer;
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

const PROTECTED: &str = "protected-path = { paths = [\"deploy/**\", \"gesch\u{fc}tzt/**\", \"CODEOWNERS\"], allow = [\"group:release\"] }";

fn write(work: &Clone<'_>, name: &str, text: &str) {
    let path = work.path.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    work.git(&["add", name]).ok();
}

/// A repository with protected paths that olga of `group:release` has filled, and alice may not touch.
fn protected() -> (Site, Signer) {
    let site = Site::with(&ruleset("\"refs/heads/main\", \"refs/heads/release/**\"", PROTECTED));
    let olga = Signer::ssh(&site.gate.sandbox, "olga", &["ed25519"]);
    site.gate.trust(&olga, "release");
    site.gate.reload();
    let work = site.work();
    for name in ["deploy/prod.yml", "deploy/nested/x.yml", "gesch\u{fc}tzt/a", "CODEOWNERS", "src/a", "src/b"]
    {
        write(
            &work,
            name,
            &format!("the content of {name}, long enough to be known again when it moves\n").repeat(9),
        );
    }
    work.commit(Some(&olga), "content");
    work.accepted(&["main"]);
    (site, olga)
}

#[test]
fn trap_05_a_move_is_seen_at_both_ends() {
    let (site, olga) = protected();
    let work = site.work();
    let start = work.id("main");
    let moves: [(&[&[&str]], &str); 5] = [
        // Away: shown as one path, and that one is not protected.
        (&[&["mv", "deploy/prod.yml", "src/prod.yml"]], "deploy/prod.yml"),
        (&[&["mv", "src/a", "deploy/a.yml"]], "deploy/a.yml"),
        // All of a directory, and one whose name is not ASCII.
        (&[&["mv", "deploy", "elsewhere"]], "deploy/nested/x.yml"),
        (&[&["mv", "gesch\u{fc}tzt", "offen"]], "gesch\u{fc}tzt/a"),
        // Two that change places.
        (&[&["mv", "CODEOWNERS", "t"], &["mv", "src/b", "CODEOWNERS"], &["mv", "t", "src/b"]], "CODEOWNERS"),
    ];
    for (commands, path) in moves {
        for command in commands {
            work.git(command).ok();
        }
        work.commit(Some(&site.alice), "a harmless move");
        let push = work.push(&["main"]).assert_refused(&["protected-path"]);
        assert!(push.text().contains(path), "no {path} in\n{}", push.text());
        let record = site.recorded("refuse", &["protected-path"]);
        let paths: BTreeSet<&str> =
            record["violations"].as_array().unwrap().iter().filter_map(|one| one["path"].as_str()).collect();
        assert!(paths.contains(path), "{record}");
        // There and back again: what the update changes in all is nothing, and each commit is judged.
        work.sign(Some(&site.alice), &["revert", "--no-edit", "HEAD"]);
        assert_eq!(work.id("HEAD^{tree}"), work.id(&format!("{start}^{{tree}}")));
        work.push(&["main"]).assert_refused(&["protected-path"]);
        // On a branch that is new.
        work.push(&["main:release/1"]).assert_refused(&["protected-path"]);
        work.git(&["reset", "--quiet", "--hard", &start]).ok();
    }
    work.git(&["mv", "src/a", "src/c"]).ok();
    work.commit(Some(&site.alice), "another move");
    work.accepted(&["main"]);
    work.git(&["mv", "deploy/prod.yml", "deploy/production.yml"]).ok();
    work.commit(Some(&olga), "by who may");
    work.accepted(&["main"]);
}

#[test]
fn trap_06_a_merge_brings_nothing_of_its_own() {
    let (site, _) = protected();
    let work = site.work();
    let start = work.id("main");
    // Both sides are fine, and neither touches what is protected.
    work.branch("side", &start);
    write(&work, "src/side", "s\n");
    let side = work.commit(Some(&site.alice), "on the side");
    work.branch("main", &start);
    write(&work, "src/main", "m\n");
    let mine = work.commit(Some(&site.alice), "meanwhile");
    let merge = |change: &dyn Fn()| {
        work.branch("main", &mine);
        work.git(&["merge", "--quiet", "--no-ff", "--no-commit", &side]).ok();
        change();
        work.sign(Some(&site.alice), &["commit", "--quiet", "-m", "Merge branch 'side'"]);
    };
    let evil: [(&dyn Fn(), &str); 3] = [
        (&|| write(&work, "deploy/planted.yml", "p\n"), "deploy/planted.yml"),
        (&|| write(&work, "deploy/prod.yml", "changed\n"), "deploy/prod.yml"),
        (&|| drop(work.git(&["rm", "--quiet", "CODEOWNERS"]).ok()), "CODEOWNERS"),
    ];
    for (change, path) in evil {
        merge(change);
        // Git's list of the merge shows nothing of it, or not against each side.
        let shown = work.git(&["log", "-1", "--name-only", "--format=", "HEAD"]).ok().stdout;
        assert!(!shown.contains(path), "{shown}");
        let push = work.push(&["main"]).assert_refused(&["protected-path"]);
        assert!(push.text().contains(path), "{}", push.text());
        site.recorded("refuse", &["protected-path"]);
    }
    // With the rule about merges, whatever it is that they add.
    let both = format!("{PROTECTED}\nunclean-merge = true");
    site.gate.reconfigure(&ruleset("\"refs/heads/main\", \"refs/heads/release/**\"", &both));
    merge(&|| write(&work, "src/planted", "p\n"));
    let push = work.push(&["main"]).assert_refused(&["unclean-merge"]);
    assert!(push.text().contains("src/planted"), "{}", push.text());
    merge(&|| ());
    work.accepted(&["main"]);
}

/// A few hundred bytes that stand for millions of files end in a refusal with figures, and soon.
#[test]
fn trap_19_a_tree_that_unfolds_to_millions_is_refused_with_figures() {
    let site = Site::with(&format!("{PRODUCTION}forbidden-path = {{ paths = [\"**/*.pem\"] }}\n"));
    let work = site.work();
    let mktree = |lines: String| {
        site.gate.sandbox.git_with_input(&work.path, &["mktree"], lines.as_bytes()).ok().line().to_owned()
    };
    let blob = site.object("blob", b"x");
    let mut tree = mktree((0..10).map(|n| format!("100644 blob {blob}\tf{n}\n")).collect());
    for _ in 0..9 {
        tree = mktree((0..10).map(|n| format!("040000 tree {tree}\td{n}\n")).collect());
    }
    let who = "A <a@example.org> 1748736000 +0000";
    let raw = format!("tree {tree}\nparent {}\nauthor {who}\ncommitter {who}\n\nOPS-3: a bomb\n", site.tip);
    let bomb = site.object("commit", raw.as_bytes());
    let began = Instant::now();
    // By hand: git's own checks would unfold it.
    let updates = [(site.tip.as_str(), bomb.as_str(), &b"refs/heads/main"[..])];
    let answer = receive_pack::push(&site.gate.sandbox, &site.bare, &work.path, &updates, &[&bomb], &[]);
    assert!(answer.rules().contains("push-too-large"), "{}", answer.text);
    assert!(answer.text.contains("at most 1000000 changed paths"), "{}", answer.text);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let record = site.gate.last_decision();
    assert!(record["outcome"] == "refuse" && record.to_string().contains("push-too-large"), "{record}");
    assert_eq!(work.server("refs/heads/main").as_ref(), Some(&site.tip));
}
