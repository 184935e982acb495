//! Protected paths and merges that real git makes: who answers for what a merge has done by itself (N20, T6).

use crate::support::clone::Clone;
use crate::support::gate::Gate;
use crate::support::signers::Signer;
use std::fs;

const POLICY: &str = r#"
[policy]
uncovered = "accept"

[[ruleset]]
name = "only"
repositories = ["**"]
refs = ["refs/heads/main"]
enforcement = "enforce"

[ruleset.refuse]
protected-path = { paths = ["deploy/**"], allow = ["group:sre"] }
forbidden-path = { paths = ["**/*.pem"] }
"#;

/// Writes a file and stages it.
fn write(work: &Clone<'_>, path: &str, text: &str) {
    let file = work.path.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
    work.git(&["add", "--all"]).ok();
}

fn commit(work: &Clone<'_>, signer: &Signer, path: &str, text: &str) {
    write(work, path, text);
    work.commit(Some(signer), &format!("write {path}"));
}

/// A gate, and a repository whose `main` has `deploy/x`, changed by alice, who may, since `topic` left it. Dave, who may
/// not, has changed `src/a` on `topic`.
fn diverged(then: impl FnOnce(&Clone<'_>, &Signer, &Signer)) {
    let (gate, alice) = Gate::with_alice(POLICY);
    let dave = Signer::ssh(&gate.sandbox, "dave", &["ed25519"]);
    gate.trust(&dave, "developers");
    gate.reload();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    write(&work, "src/a", "1\n");
    write(&work, "src/b", "1\n");
    commit(&work, &alice, "deploy/x", "1\n2\n3\n");
    work.accepted(&["main"]);
    work.branch("topic", "HEAD");
    commit(&work, &dave, "src/a", "2\n");
    work.git(&["checkout", "--quiet", "main"]).ok();
    commit(&work, &alice, "deploy/x", "1\n2\nfixed\n");
    work.accepted(&["main"]);
    then(&work, &alice, &dave);
}

/// Begins a merge, whether it conflicts or not.
fn begin(work: &Clone<'_>, options: &[&str], other: &str) {
    let arguments = [&["merge", "--quiet", "--no-ff", "--no-commit"], options, &[other]].concat();
    let _ = work.git(&arguments);
}

#[test]
fn n20_a_clean_merge_of_a_branch_that_was_behind_is_anybodys() {
    diverged(|work, _, dave| {
        begin(work, &[], "topic");
        work.commit(Some(dave), "merge topic");
        work.accepted(&["main"]);
    });
    // The other way round: `main` comes into the branch, and the branch to `main`.
    diverged(|work, _, dave| {
        work.git(&["checkout", "--quiet", "topic"]).ok();
        begin(work, &[], "main");
        work.commit(Some(dave), "merge main");
        work.accepted(&["topic:main"]);
    });
}

#[test]
fn n20_a_conflict_elsewhere_leaves_protected_files_alone() {
    diverged(|work, alice, dave| {
        commit(work, alice, "src/a", "3\n");
        work.accepted(&["main"]);
        work.git(&["checkout", "--quiet", "topic"]).ok();
        begin(work, &[], "main");
        write(work, "src/a", "2 and 3\n");
        work.commit(Some(dave), "merge main");
        work.accepted(&["topic:main"]);
    });
}

#[test]
fn n20_a_merge_without_fast_forward_is_anybodys() {
    diverged(|work, alice, dave| {
        work.branch("fix", "main");
        commit(work, alice, "deploy/x", "1\n2\nfixed again\n");
        work.git(&["checkout", "--quiet", "main"]).ok();
        begin(work, &[], "fix");
        work.commit(Some(dave), "merge fix");
        work.accepted(&["main"]);
    });
}

#[test]
fn n20_a_merge_that_drops_a_protected_change_is_its_signers() {
    diverged(|work, _, dave| {
        work.git(&["checkout", "--quiet", "topic"]).ok();
        begin(work, &["--strategy", "ours"], "main");
        work.commit(Some(dave), "merge main");
        let push = work.push(&["topic:main"]).assert_refused(&["protected-path"]);
        assert!(push.text().contains("path: deploy/x"), "{}", push.text());
        assert!(push.text().contains("person `dave`"), "{}", push.text());
    });
    // Somebody on the list may.
    diverged(|work, alice, _| {
        work.git(&["checkout", "--quiet", "topic"]).ok();
        begin(work, &["--strategy", "ours"], "main");
        work.commit(Some(alice), "merge main");
        work.accepted(&["topic:main"]);
    });
}

#[test]
fn n20_a_merge_with_an_ancestor_brings_nothing_back() {
    diverged(|work, _, _| {
        let (tip, older, tree) = (work.id("HEAD"), work.id("HEAD~1"), work.id("HEAD~1^{tree}"));
        let merge = work.git(&["commit-tree", "-p", &tip, "-p", &older, "-m", "merge", &tree]).ok();
        let push = work.push(&[&format!("{}:main", merge.line())]).assert_refused(&["protected-path"]);
        assert!(push.text().contains("path: deploy/x"), "{}", push.text());
        assert!(push.text().contains("no signature"), "{}", push.text());
    });
}

#[test]
fn t06_what_only_a_merge_changes_is_seen() {
    diverged(|work, _, dave| {
        begin(work, &[], "topic");
        write(work, "deploy/x", "1\n2\nevil\n");
        write(work, "deploy/new", "evil\n");
        write(work, "a/key.pem", "secret\n");
        work.commit(Some(dave), "merge topic");
        let push = work.push(&["main"]).assert_refused(&["protected-path", "forbidden-path"]);
        for path in ["deploy/x", "deploy/new", "a/key.pem"] {
            assert!(push.text().contains(&format!("path: {path}")), "{}", push.text());
        }
    });
}

#[test]
fn content_that_a_clean_merge_carries_to_a_protected_place_is_its_signers() {
    diverged(|work, alice, dave| {
        let text: String = (0..20).map(|n| format!("line {n}\n")).collect();
        commit(work, alice, "src/run.sh", &text);
        work.accepted(&["main"]);
        work.branch("side", "main");
        commit(work, dave, "src/run.sh", &format!("{text}evil\n"));
        work.git(&["checkout", "--quiet", "main"]).ok();
        work.git(&["mv", "src/run.sh", "deploy/run.sh"]).ok();
        work.commit(Some(alice), "move it to where it is protected");
        work.accepted(&["main"]);
        begin(work, &[], "side");
        work.commit(Some(dave), "merge side");
        let push = work.push(&["main"]).assert_refused(&["protected-path"]);
        assert!(push.text().contains("path: deploy/run.sh"), "{}", push.text());
    });
}

/// Listed around the hook by the account that could write there: names, sizes, modes, times, and what they hold.
#[test]
fn a_quarantine_is_read_and_nothing_is_written_to_it() {
    let (gate, alice) =
        Gate::with_alice(&format!("{POLICY}unclean-merge = true\nlarge-file = {{ max = \"1 MiB\" }}\n"));
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    commit(&work, &alice, "deploy/x", "1\n");
    work.accepted(&["main"]);
    work.branch("topic", "HEAD");
    commit(&work, &alice, "src/a", "2\n");
    work.git(&["checkout", "--quiet", "main"]).ok();
    commit(&work, &alice, "src/b", "2\n");
    begin(&work, &[], "topic");
    work.commit(Some(&alice), "merge topic");

    let hook = bare.join("hooks/pre-receive");
    let listed = gate.sandbox.path("listed");
    fs::create_dir(&listed).unwrap();
    fs::rename(&hook, hook.with_file_name("judge")).unwrap();
    let list = "cd \"$GIT_QUARANTINE_PATH\" && { find . -type d -printf '%P %m %i %T@\\n'; \
                find . -type f -printf '%P %s %m %i\\n'; find . -type f -exec sha256sum {} +; } | sort";
    let text = format!(
        "#!/bin/sh\n({list}) > {0}/before\n\"$(dirname \"$0\")/judge\" \"$@\"\ncode=$?\n({list}) > {0}/after\nexit $code\n",
        listed.display()
    );
    fs::write(&hook, text).unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();

    work.accepted(&["main"]);
    let read = |name: &str| fs::read_to_string(listed.join(name)).unwrap();
    assert!(read("before").lines().count() > 2, "{}", read("before"));
    assert_eq!(read("before"), read("after"));
    commit(&work, &alice, "x.pem", "secret\n");
    work.push(&["main"]).assert_refused(&["forbidden-path"]);
    assert_eq!(read("before"), read("after"));
}
