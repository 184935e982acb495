//! What is judged whatever the configuration says: names, ids, hierarchies, aliases, cut histories.

use crate::support::gate::{Gate, PRODUCTION};
use crate::support::receive_pack::{self, Answer, Update};
use crate::support::sandbox::run;
use crate::support::signers::Signer;
use crate::support::snapshot::{Snapshot, assert_clean};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const ZERO: &str = "0000000000000000000000000000000000000000";

/// A repository with `main` at `tip`, one signed commit above `base`.
struct Scene {
    gate: Gate,
    alice: Signer,
    bare: PathBuf,
    work: PathBuf,
    base: String,
    tip: String,
}

impl Scene {
    fn new() -> Self {
        let (gate, alice) = Gate::production();
        let bare = gate.repository("infra/live");
        let work = gate.clone_of(&bare);
        let base = work.commit(Some(&alice), "OPS-1: base");
        let tip = work.commit(Some(&alice), "OPS-2: tip");
        work.accepted(&["main", "main:topic"]);
        let path = work.path.clone();
        Scene { gate, alice, bare, work: path, base, tip }
    }

    /// Sends the updates by hand; the repository must stay as it is.
    #[track_caller]
    fn refused(&self, updates: &[Update<'_>], revisions: &[&str]) -> Answer {
        let before = Snapshot::of(&self.gate.sandbox, &self.bare);
        let answer = self.send(updates, revisions, &[]);
        let after = Snapshot::of(&self.gate.sandbox, &self.bare);
        assert_eq!(before, after, "{}", answer.text);
        assert_clean(&self.gate.sandbox, &self.bare);
        answer
    }

    fn send(&self, updates: &[Update<'_>], revisions: &[&str], environment: &[(&str, &str)]) -> Answer {
        receive_pack::push(&self.gate.sandbox, &self.bare, &self.work, updates, revisions, environment)
    }
}

#[track_caller]
fn assert_rules(answer: &Answer, rules: &[&str]) {
    assert!(!answer.is_undecided(), "{}", answer.text);
    assert_eq!(answer.rules(), rules.iter().copied().collect(), "{}", answer.text);
}

#[test]
fn n05_a_deletion_is_judged_as_one_whatever_the_claimed_old_id_says() {
    let scene = Scene::new();
    let unknown = "7".repeat(40);
    for (old, name, rules) in [
        (ZERO, &b"refs/heads/main"[..], &["malformed-update"][..]),
        (ZERO, b"refs/heads/topic", &["malformed-update"]),
        (&unknown, b"refs/heads/main", &["malformed-update", "ref-deletion"]),
        (&unknown, b"refs/heads/topic", &["malformed-update"]),
        (&scene.base, b"refs/heads/main", &["malformed-update", "ref-deletion"]),
        (&scene.tip, b"refs/heads/main", &["ref-deletion"]),
    ] {
        assert_rules(&scene.refused(&[(old, ZERO, name)], &[]), rules);
    }
}

#[test]
fn n05_the_same_ref_twice_is_malformed() {
    let scene = Scene::new();
    let main = &b"refs/heads/main"[..];
    let answer = scene.refused(&[(&scene.tip, ZERO, main), (ZERO, &scene.base, main)], &[]);
    assert!(answer.rules().contains("malformed-update"), "{}", answer.text);
    let topic = &b"refs/heads/topic"[..];
    let answer = scene.refused(&[(&scene.tip, ZERO, topic), (ZERO, &scene.base, topic)], &[]);
    assert!(answer.rules().contains("malformed-update"), "{}", answer.text);
}

#[test]
fn n05_a_claimed_old_id_must_be_the_value_of_the_ref() {
    let scene = Scene::new();
    let answer = scene.refused(&[(&scene.base, &scene.tip, b"refs/heads/topic")], &[]);
    assert_rules(&answer, &["malformed-update"]);
    let answer = scene.refused(&[(ZERO, &scene.tip, b"refs/heads/topic")], &[]);
    assert_rules(&answer, &["malformed-update"]);
    let answer = scene.refused(&[(&scene.tip, &scene.tip, b"refs/heads/absent")], &[]);
    assert_rules(&answer, &["malformed-update"]);
}

#[test]
fn n05_names_that_break_the_rules_are_malformed() {
    let scene = Scene::new();
    for name in [
        &b"refs/heads/a..b"[..],
        b"refs/heads/a b",
        b"refs/heads/x\n0000000000000000000000000000000000000000 refs/heads/y",
        b"refs/heads/.hidden",
        b"refs/heads/x.lock",
        b"refs/heads/\x1b[31m",
    ] {
        let answer = scene.refused(&[(ZERO, &scene.tip, name)], &[]);
        assert!(answer.rules().contains("malformed-update"), "{name:?}: {}", answer.text);
        assert!(!answer.hooks.contains('\u{1b}'), "{:?}", answer.hooks);
    }
}

#[test]
fn n04_a_name_that_is_no_text_is_covered_like_any_other() {
    let scene = Scene::new();
    let work = scene.gate.clone_of(&scene.bare);
    let unsigned = work.commit(None, "OPS-9: unsigned");
    let before = Snapshot::of(&scene.gate.sandbox, &scene.bare);
    for name in [&b"refs/heads/release/\xff\xfe"[..], "refs/heads/release/\u{202e}\u{e9}".as_bytes()] {
        let updates = [(ZERO, unsigned.as_str(), name)];
        let answer =
            receive_pack::push(&scene.gate.sandbox, &scene.bare, &work.path, &updates, &[&unsigned], &[]);
        assert!(answer.rules().contains("unsigned-commit"), "{}", answer.text);
        assert!(
            !answer.hooks.contains('\u{202e}') && !answer.hooks.contains('\u{fffd}'),
            "{:?}",
            answer.hooks
        );
    }
    assert_eq!(before, Snapshot::of(&scene.gate.sandbox, &scene.bare));
}

#[test]
fn n05_a_new_object_that_is_absent_is_malformed() {
    let scene = Scene::new();
    let answer = scene.refused(&[(ZERO, &"7".repeat(40), b"refs/heads/new")], &[]);
    assert_rules(&answer, &["malformed-update"]);
}

#[test]
fn n01_hierarchies_that_nobody_configured_are_refused() {
    let scene = Scene::new();
    for name in [
        format!("refs/replace/{}", scene.base),
        "refs/original/refs/heads/main".to_owned(),
        "refs/changes/1".to_owned(),
        "refs/pull/1/head".to_owned(),
        "refs/Heads/main".to_owned(),
        "refs/stash".to_owned(),
    ] {
        let answer = scene.refused(&[(ZERO, &scene.tip, name.as_bytes())], &[]);
        // What stands below misleads as well, which other rules say.
        assert!(answer.rules().contains("unknown-namespace"), "{}", answer.text);
    }
}

#[test]
fn n04_a_push_to_an_alias_is_refused_and_judged_as_its_target() {
    let scene = Scene::new();
    let sandbox = &scene.gate.sandbox;
    for (alias, target) in
        [("refs/heads/alias", "refs/heads/main"), ("refs/heads/nested", "refs/heads/alias")]
    {
        sandbox.git(&scene.bare, &["symbolic-ref", alias, target]).ok();
    }
    let work = scene.gate.clone_at(&scene.bare, "main");
    work.commit(None, "unsigned");
    for alias in ["alias", "nested"] {
        let push = work.push(&[&format!("main:{alias}")]);
        push.assert_refused(&["missing-ticket", "symref-push", "unsigned-commit"]);
    }
    // One that points at nothing yet would create its target.
    sandbox.git(&scene.bare, &["symbolic-ref", "refs/heads/dangling", "refs/heads/release/1"]).ok();
    let push = run(work.push_command(&["main:dangling"]), b"");
    for rule in ["missing-ticket", "symref-push", "unsigned-commit"] {
        assert!(push.stderr.contains(&format!("error[{rule}]: ")), "{}", push.stderr);
    }
    assert_eq!(work.server("refs/heads/release/1"), None);
}

#[test]
fn n04_where_aliases_are_allowed_they_are_judged_as_their_targets() {
    let scene = Scene::new();
    scene.gate.repository_keys.replace("allow-symref-push = true".to_owned());
    scene.gate.reconfigure(PRODUCTION);
    scene.gate.sandbox.git(&scene.bare, &["symbolic-ref", "refs/heads/alias", "refs/heads/main"]).ok();
    let work = scene.gate.clone_at(&scene.bare, "main");
    work.commit(None, "OPS-3: unsigned");
    work.push(&["main:alias"]).assert_refused(&["unsigned-commit"]);
    work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    let next = work.commit(Some(&scene.alice), "OPS-4: signed");
    work.accepted(&["main:alias"]);
    assert_eq!(work.server("refs/heads/main"), Some(next));
    work.push(&[":alias"]).assert_refused(&["ref-deletion"]);
}

#[test]
fn n04_an_alias_and_its_target_do_not_move_in_one_push() {
    let scene = Scene::new();
    scene.gate.repository_keys.replace("allow-symref-push = true".to_owned());
    scene.gate.reconfigure(PRODUCTION);
    scene.gate.sandbox.git(&scene.bare, &["symbolic-ref", "refs/heads/alias", "refs/heads/main"]).ok();
    let work = scene.gate.clone_at(&scene.bare, "main");
    let next = work.commit(Some(&scene.alice), "OPS-3: signed");
    let after = work.commit(Some(&scene.alice), "OPS-4: signed");
    let refspecs = [format!("{next}:refs/heads/main"), format!("{after}:refs/heads/alias")];
    work.push(&[&refspecs[0], &refspecs[1]]).assert_refused(&["malformed-update"]);
    work.push(&[&refspecs[0], ":refs/heads/alias"]).assert_refused(&["malformed-update", "ref-deletion"]);
}

#[test]
fn n04_a_namespace_is_undecided() {
    let scene = Scene::new();
    let answer = scene.send(&[(ZERO, &scene.tip, b"refs/heads/new")], &[], &[("GIT_NAMESPACE", "tenant")]);
    assert!(answer.is_undecided() && answer.text.contains("namespace"), "{}", answer.text);
}

#[test]
fn n06_a_push_that_cuts_history_is_refused() {
    let scene = Scene::new();
    let sandbox = &scene.gate.sandbox;
    sandbox.git(&scene.bare, &["config", "receive.shallowUpdate", "true"]).ok();
    let url = format!("file://{}", scene.bare.display());
    let shallow = sandbox.path("shallow");
    let origin = sandbox.bare("elsewhere.git", &[]);
    let full = sandbox.work_tree("full", &[]);
    for n in 0..4 {
        sandbox.commit(&full, &format!("OPS-{n}: elsewhere"));
    }
    sandbox.git(&full, &["push", "--quiet", origin.to_str().unwrap(), "main"]).ok();
    let from = format!("file://{}", origin.display());
    sandbox.git(sandbox.root(), &["clone", "--quiet", "--depth=1", &from, shallow.to_str().unwrap()]).ok();
    let before = Snapshot::of(sandbox, &scene.bare);
    let push = sandbox.git(&shallow, &["push", &url, "main:topic2", "main:release/9"]);
    assert!(!push.status.success() && push.stderr.contains("error[shallow-graft]"), "{}", push.stderr);
    assert_eq!(before, Snapshot::of(sandbox, &scene.bare));
    assert!(!scene.bare.join("shallow").exists());
}

#[test]
fn n03_records_follow_a_repository_that_is_renamed() {
    let scene = Scene::new();
    let renamed = scene.gate.place("infra/renamed");
    std::fs::rename(&scene.bare, &renamed).unwrap();
    let work = scene.gate.clone_at(&renamed, "main");
    work.commit(Some(&scene.alice), "OPS-3: after the move");
    work.accepted(&["main"]);
}

#[test]
fn n03_a_copy_does_not_inherit_what_the_original_was_trusted_with() {
    let scene = Scene::new();
    let copy = scene.gate.place("infra/copy");
    copy_directory(&scene.bare, &copy);
    let work = scene.gate.clone_at(&copy, "main");
    work.commit(Some(&scene.alice), "OPS-3: to the copy");
    work.push(&["main"]).assert_undecided("countersign-id");
}

#[test]
fn n03_names_are_physical_however_the_path_is_written() {
    let scene = Scene::new();
    let sandbox = &scene.gate.sandbox;
    let link = sandbox.path("link");
    std::os::unix::fs::symlink(scene.gate.home.join("repositories"), &link).unwrap();
    let work = scene.gate.clone_at(&scene.bare, "main");
    work.commit(None, "OPS-3: unsigned");
    let url = link.join("infra/../infra/live.git");
    let work = work.over(url.to_str().unwrap().to_owned(), "false");
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    assert_eq!(scene.gate.last_decision()["repository"]["name"], "infra/live");
}

#[test]
fn n03_a_repository_with_a_work_tree_is_named_without_its_git_directory() {
    let scene = Scene::new();
    let sandbox = &scene.gate.sandbox;
    let tree = sandbox.work_tree("gate/repositories/infra/tree", &[]);
    scene.gate.install(&tree.join(".git"));
    sandbox.git(&tree, &["checkout", "--quiet", "-b", "elsewhere"]).ok();
    let linked = sandbox.path("linked");
    sandbox.commit(&tree, "a start");
    sandbox.git(&tree, &["worktree", "add", "--quiet", "-b", "more", linked.to_str().unwrap()]).ok();
    for path in [tree.join(".git"), tree.clone(), linked] {
        let work = scene.gate.clone_of(&tree.join(".git"));
        let work = work.over(path.to_str().unwrap().to_owned(), "false");
        work.commit(None, "OPS-3: unsigned");
        work.push(&["main"]).assert_refused(&["unsigned-commit"]);
        assert_eq!(scene.gate.last_decision()["repository"]["name"], "infra/tree");
    }
    let work = scene.gate.clone_of(&tree.join(".git"));
    work.commit(Some(&scene.alice), "OPS-4: signed");
    work.accepted(&["main"]);
}

#[test]
fn n03_a_repository_outside_the_root_is_undecided() {
    let scene = Scene::new();
    let sandbox = &scene.gate.sandbox;
    let outside = sandbox.bare("outside.git", &[]);
    for hook in ["pre-receive", "post-receive"] {
        std::fs::copy(scene.bare.join("hooks").join(hook), outside.join("hooks").join(hook)).unwrap();
    }
    std::fs::copy(scene.bare.join("countersign-id"), outside.join("countersign-id")).unwrap();
    let work = scene.gate.clone_of(&outside);
    work.commit(Some(&scene.alice), "OPS-1: outside");
    work.push(&["main"]).assert_undecided("not below the repository root");
    // A link below the root does not make it one of ours.
    std::os::unix::fs::symlink(&outside, scene.gate.place("linked")).unwrap();
    let work = work.over(scene.gate.place("linked").to_str().unwrap().to_owned(), "false");
    work.push(&["main"]).assert_undecided("not below the repository root");
}

#[test]
fn a_commit_that_two_readers_could_understand_differently_is_refused_on_every_ref() {
    let scene = Scene::new();
    let sandbox = &scene.gate.sandbox;
    let tree = sandbox.git(&scene.work, &["rev-parse", "HEAD^{tree}"]).ok();
    let who = "A <a@example.com> 1700000000 +0000";
    let twice =
        format!("tree {0}\nauthor {who}\nauthor {who}\ncommitter {who}\n\nOPS-1: two authors\n", tree.line());
    let arguments = ["hash-object", "-t", "commit", "-w", "--literally", "--stdin"];
    let id = sandbox.git_with_input(&scene.work, &arguments, twice.as_bytes()).ok();
    let answer = scene.refused(&[(ZERO, id.line(), b"refs/heads/odd")], &[id.line()]);
    assert!(answer.rules().contains("malformed-object"), "{}", answer.text);
}

fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn n04_a_link_to_a_directory_among_the_refs_is_no_way_to_another_name() {
    let (gate, alice) = Gate::production();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    work.accepted(&["main:release/0"]);
    symlink("release", bare.join("refs/heads/alias")).unwrap();
    work.commit(None, "unsigned");
    work.push(&["main:refs/heads/alias/1"]).assert_undecided("repository-unreadable");
    fs::remove_file(bare.join("refs/heads/alias")).unwrap();
}
