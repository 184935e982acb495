//! Rules about paths and about merges, at real pushes: what each commit and what the whole update changes.

use crate::support::clone::Clone;
use crate::support::gate::Gate;
use std::fs;

/// One ruleset on `main` and on releases with these rules.
fn ruleset(refuse: &str) -> String {
    format!(
        "[policy]\nuncovered = \"accept\"\n\n[[ruleset]]\nname = \"paths\"\nrepositories = [\"**\"]\n\
         refs = [\"refs/heads/main\", \"refs/heads/release/*\", \"refs/tags/**\"]\nenforcement = \"enforce\"\n\n\
         [ruleset.refuse]\n{refuse}\n"
    )
}

const NO_SECRETS: &str = "forbidden-path = { paths = [\"**/secret*\"] }";
const NO_SECRETS_NET: &str = "forbidden-path = { paths = [\"**/secret*\"], scope = \"net\" }";

/// Writes a file and stages it.
fn put(work: &Clone<'_>, path: &str, content: &str) {
    let full = work.path.join(path);
    fs::create_dir_all(full.parent().unwrap()).unwrap();
    fs::write(full, content).unwrap();
    work.git(&["add", "--", path]).ok();
}

/// Adds a commit that puts a file.
fn commit(work: &Clone<'_>, path: &str, content: &str) -> String {
    put(work, path, content);
    work.commit(None, &format!("put {path}"))
}

fn remove(work: &Clone<'_>, path: &str) -> String {
    work.git(&["rm", "--quiet", "--", path]).ok();
    work.commit(None, &format!("remove {path}"))
}

#[test]
fn n11_what_is_added_and_removed_again_is_seen_commit_by_commit_and_not_as_a_whole() {
    for (rules, seen) in [(NO_SECRETS, true), (NO_SECRETS_NET, false)] {
        let (gate, _) = Gate::with_alice(&ruleset(rules));
        let bare = gate.repository("app");
        let work = gate.clone_of(&bare);
        let base = commit(&work, "a", "a");
        work.accepted(&["main"]);
        let adds = commit(&work, "dir/secret.txt", "s");
        remove(&work, "dir/secret.txt");
        if seen {
            let push = work.push(&["main"]).assert_refused(&["forbidden-path"]);
            assert!(
                push.text().contains(&adds[..10]) && push.text().contains("dir/secret.txt"),
                "{}",
                push.text()
            );
            assert!(push.text().contains("1 violation,"), "{}", push.text());
        } else {
            // Both refs at once: what one of them hides, the other one shows.
            let push = work.push(&["main", &format!("{adds}:refs/heads/release/1")]);
            let push = push.assert_refused(&["forbidden-path"]);
            assert!(push.text().contains("refs/heads/release/1"), "{}", push.text());
            assert!(!push.text().contains("refs/heads/main"), "{}", push.text());
            work.accepted(&["main"]);
            // Back to where it is there.
            let push = work.push(&["--force", &format!("{adds}:main")]).assert_refused(&["forbidden-path"]);
            assert!(push.text().contains("dir/secret.txt"), "{}", push.text());
            work.accepted(&["--force", &format!("{base}:main")]);
        }
    }
}

#[test]
fn t03_a_file_that_came_in_by_an_uncovered_ref_is_seen_on_the_covered_one() {
    for rules in [NO_SECRETS, NO_SECRETS_NET] {
        let (gate, _) = Gate::with_alice(&ruleset(rules));
        let bare = gate.repository("app");
        let work = gate.clone_of(&bare);
        commit(&work, "a", "a");
        work.accepted(&["main"]);
        commit(&work, "secret", "s");
        work.accepted(&["main:scratch"]);
        for target in ["main:main", "main:refs/heads/release/1", "main:refs/tags/v1"] {
            let push = work.push(&[target]).assert_refused(&["forbidden-path"]);
            assert!(push.text().contains("secret"), "{}", push.text());
        }
        work.sign(None, &["tag", "-a", "-m", "x", "v2"]);
        work.push(&["v2"]).assert_refused(&["forbidden-path"]);
    }
}

#[test]
fn t05_a_file_that_is_moved_away_from_a_watched_path_is_seen() {
    for scope in ["each-commit", "net"] {
        let rules = format!(
            "forbidden-path = {{ paths = [\"watched/**\"], changes = [\"modify\", \"delete\"], scope = \"{scope}\" }}"
        );
        let (gate, _) = Gate::with_alice(&ruleset(&rules));
        let bare = gate.repository("app");
        let work = gate.clone_of(&bare);
        commit(&work, "watched/r\u{e9}gles", "the same content that moves\n");
        work.accepted(&["main"]);
        fs::create_dir(work.path.join("elsewhere")).unwrap();
        work.git(&["mv", "watched/r\u{e9}gles", "elsewhere/r\u{e9}gles"]).ok();
        work.commit(None, "move it");
        let push = work.push(&["main"]).assert_refused(&["forbidden-path"]);
        assert!(push.text().contains("watched/r\u{e9}gles"), "{}", push.text());
    }
}

/// Two branches that were let in, and a merge of them that is not committed yet.
fn merging<'g>(gate: &'g Gate) -> Clone<'g> {
    let bare = gate.repository("app");
    let work = gate.clone_of(&bare);
    commit(&work, "a", "a");
    work.accepted(&["main"]);
    work.branch("side", "main");
    commit(&work, "b", "b");
    work.branch("main", "main");
    commit(&work, "c", "c");
    work.accepted(&["main"]);
    work.git(&["merge", "--quiet", "--no-commit", "--no-ff", "side"]).ok();
    work
}

#[test]
fn t06_what_a_merge_brings_by_itself_is_seen() {
    let (gate, _) = Gate::with_alice(&ruleset(&format!("{NO_SECRETS}\nunclean-merge = true")));
    let work = merging(&gate);
    put(&work, "secret", "in the merge alone");
    let evil = work.commit(None, "merge");
    let push = work.push(&["main"]).assert_refused(&["forbidden-path", "unclean-merge"]);
    assert!(push.text().contains(&evil[..10]) && push.text().contains(": `secret`"), "{}", push.text());
    // Below the tip it is no better, nor where another file is changed.
    work.git(&["reset", "--quiet", "--hard", "HEAD^"]).ok();
    work.git(&["merge", "--quiet", "--no-commit", "--no-ff", "side"]).ok();
    put(&work, "c", "changed in the merge");
    work.commit(None, "merge");
    commit(&work, "d", "d");
    let push = work.push(&["main"]).assert_refused(&["unclean-merge"]);
    assert!(push.text().contains(": `c`"), "{}", push.text());
    // The clean one is let in, and so is one that only records the other branch.
    work.git(&["reset", "--quiet", "--hard", "HEAD^^"]).ok();
    work.git(&["merge", "--quiet", "--no-ff", "-m", "merge", "side"]).ok();
    work.accepted(&["main"]);
    work.branch("ahead", "main");
    commit(&work, "e", "e");
    work.branch("main", "main");
    work.git(&["merge", "--quiet", "--no-ff", "-m", "record", "ahead"]).ok();
    work.accepted(&["main"]);
}

#[test]
fn n20_what_only_looks_like_a_merge_is_refused() {
    let (gate, _) = Gate::with_alice(&ruleset("unclean-merge = true"));
    let bare = gate.repository("app");
    let work = gate.clone_of(&bare);
    commit(&work, "a", "a");
    let base = work.id("HEAD");
    commit(&work, "b", "b");
    work.accepted(&["main"]);
    put(&work, "evil", "evil");
    let tree = work.git(&["write-tree"]).ok().line().to_owned();
    let tip = work.id("HEAD");
    for (parents, seen) in [
        ([&base, &tip], "one parent that is an ancestor of the other"),
        ([&tip, &base], "one parent that is an ancestor of the other"),
    ] {
        let fake = work.git(&["commit-tree", "-m", "x", "-p", parents[0], "-p", parents[1], &tree]).ok();
        let push = work.push(&[&format!("{}:main", fake.line())]).assert_refused(&["unclean-merge"]);
        assert!(push.text().contains(seen) && push.text().contains("`evil`"), "{}", push.text());
    }
    let side = work.git(&["commit-tree", "-m", "side", "-p", &base, &tree]).ok().line().to_owned();
    let other = work.git(&["commit-tree", "-m", "other", "-p", &base, &tree]).ok().line().to_owned();
    let parents = ["-p", &tip, "-p", &side, "-p", &other];
    let octopus = work.git(&[&["commit-tree", "-m", "x"][..], &parents, &[&tree]].concat()).ok();
    let push = work.push(&[&format!("{}:main", octopus.line())]).assert_refused(&["unclean-merge"]);
    assert!(push.text().contains("3 parents at once"), "{}", push.text());
}

#[test]
fn a_linear_history_or_one_without_octopuses() {
    for (rule, two) in [("merge-commit = true", false), ("merge-commit = { octopus = true }", true)] {
        let (gate, _) = Gate::with_alice(&ruleset(rule));
        let work = merging(&gate);
        let before = work.id("HEAD");
        work.commit(None, "merge");
        if two {
            work.accepted(&["main"]);
        } else {
            let push = work.push(&["main"]).assert_refused(&["merge-commit"]);
            assert!(push.text().contains("2 parents"), "{}", push.text());
        }
        let tree = work.id("HEAD^{tree}");
        let parents = ["-p", &before, "-p", &work.id("side"), "-p", &work.id("side^")];
        let octopus = work.git(&[&["commit-tree", "-m", "x"][..], &parents, &[&tree]].concat()).ok();
        work.push(&["--force", &format!("{}:main", octopus.line())]).assert_refused(&["merge-commit"]);
    }
}

#[test]
fn a_second_beginning_is_foreign_and_the_first_is_not() {
    let (gate, _) = Gate::with_alice(&ruleset("foreign-root = true"));
    let bare = gate.repository("app");
    let work = gate.clone_of(&bare);
    commit(&work, "a", "a");
    // Its own, by way of a branch that no rule covers.
    work.accepted(&["main:trunk"]);
    gate.sandbox.git(&bare, &["symbolic-ref", "HEAD", "refs/heads/trunk"]).ok();
    commit(&work, "b", "b");
    work.accepted(&["main:refs/heads/release/1"]);
    work.accepted(&["main"]);
    work.git(&["checkout", "--quiet", "--orphan", "other"]).ok();
    let root = work.commit(None, "another beginning");
    let push = work.push(&["other:refs/heads/release/2"]).assert_refused(&["foreign-root"]);
    assert!(push.text().contains(&root[..10]), "{}", push.text());
    // That it is somewhere in the repository makes it nobody's own.
    work.accepted(&["other:scratch"]);
    work.push(&["other:refs/heads/release/2"]).assert_refused(&["foreign-root"]);
    work.git(&["checkout", "--quiet", "main"]).ok();
    work.git(&["merge", "--quiet", "--no-ff", "--allow-unrelated-histories", "-m", "both", "other"]).ok();
    work.push(&["main"]).assert_refused(&["foreign-root"]);
    gate.reconfigure(&ruleset(&format!("foreign-root = {{ allow = [\"{root}\"] }}")));
    work.accepted(&["main", "other:refs/heads/release/2"]);
    // An empty repository may begin as it likes.
    let empty = gate.repository("empty");
    let new = Clone::at(&gate, &empty, &work.path);
    new.accepted(&["main", "other:refs/heads/release/2"]);
}

#[test]
fn large_files_are_seen_wherever_they_come_in() {
    let rule = "large-file = { max = \"64 KiB\" }";
    let (gate, _) = Gate::with_alice(&ruleset(rule));
    let bare = gate.repository("app");
    let work = gate.clone_of(&bare);
    let large: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    let first = commit(&work, "large", &large);
    remove(&work, "large");
    let push = work.push(&["main"]).assert_refused(&["large-file"]);
    assert!(push.text().contains(&first[..10]) && push.text().contains("large"), "{}", push.text());
    work.git(&["checkout", "--quiet", "--orphan", "small"]).ok();
    commit(&work, "small", "small");
    work.accepted(&["small:main"]);
    // Packed as a difference to a small one, renamed, and put into a merge: its size is its size.
    commit(&work, "dir/large", &large);
    work.push(&["small:main"]).assert_refused(&["large-file"]);
    let tree = work.id("HEAD:dir");
    work.git(&["tag", "tree", &tree]).ok();
    work.push(&["tree"]).assert_refused(&["large-file"]);
    work.git(&["tag", "blob", "HEAD:dir/large"]).ok();
    work.push(&["blob"]).assert_refused(&["large-file"]);
}

#[test]
fn evaluated_only_nothing_is_refused_for_a_path() {
    let policy = ruleset(NO_SECRETS).replace("\"enforce\"", "\"evaluate\"");
    let (gate, _) = Gate::with_alice(&policy);
    let bare = gate.repository("app");
    let work = gate.clone_of(&bare);
    commit(&work, "secret", "s");
    let push = work.accepted(&["main"]);
    assert!(push.text().contains("`paths` under evaluation would refuse"), "{}", push.text());
    assert!(gate.last_decision().to_string().contains("forbidden-path"));
}
