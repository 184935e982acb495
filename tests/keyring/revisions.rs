//! `keyring diff` of revisions: read from the objects of a repository that is not trusted with anything.

use super::{ANN, BOB, chmod, principal, run};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Who commits here; the tests' own, and no real person.
const WHO: [&str; 4] = ["-c", "user.name=Test Key", "-c", "user.email=test@example.org"];

fn git(dir: &Path, args: &[&str]) -> String {
    let all = [&WHO[..], &["-c", "commit.gpgSign=false"], args].concat();
    String::from_utf8(run("git", &all, dir, b"")).unwrap().trim().to_owned()
}

fn git_with(dir: &Path, args: &[&str], input: &[u8]) -> String {
    String::from_utf8(run("git", &[&WHO[..], args].concat(), dir, input)).unwrap().trim().to_owned()
}

/// A work tree with `keyring/ann.toml` in the first commit, and `bob.toml` besides in the second.
fn repository() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    git(root, &["init", "-q", "-b", "main"]);
    fs::create_dir(root.join("keyring")).unwrap();
    fs::write(root.join("keyring/ann.toml"), principal("ann", ANN)).unwrap();
    fs::write(root.join("keyring/README.md"), "about it").unwrap();
    git(root, &["add", "."]);
    git(root, &["commit", "-q", "-m", "one"]);
    git(root, &["tag", "-a", "-m", "v1", "v1"]);
    fs::write(root.join("keyring/bob.toml"), principal("bob", BOB)).unwrap();
    git(root, &["add", "."]);
    git(root, &["commit", "-q", "-m", "two"]);
    chmod(&root.join("keyring"), 0o755);
    for name in ["ann.toml", "bob.toml", "README.md"] {
        chmod(&root.join("keyring").join(name), 0o644);
    }
    dir
}

/// Runs it where git is not to be had: nothing here may need it.
fn diff(root: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(["keyring", "diff", "--config", "/nonexistent/countersign.toml"]).args(args);
    command.current_dir(root).env_clear().env("PATH", "/nonexistent").stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn revisions_are_compared_by_what_they_mean() {
    let dir = repository();
    let root = dir.path();
    let head = git(root, &["rev-parse", "HEAD"]);
    for (old, new) in [
        ("main~1:keyring", "main:keyring"),
        ("v1:keyring", "HEAD:keyring/"),
        ("refs/tags/v1:keyring", &*format!("{head}:keyring")),
        ("HEAD^:keyring", "refs/heads/main:keyring"),
        ("v1:keyring", "keyring"),
    ] {
        let (code, out, err) = diff(root, &["--git", ".", old, new]);
        assert!(
            code == 1 && out.contains("bob\n") && out.contains("+ principal added"),
            "{old} {new}: {out}{err}"
        );
        assert!(!out.contains("ann\n") && err.is_empty() || new == "keyring", "{out}{err}");
    }
    let (code, out, _) = diff(root, &["--git", ".", "main:keyring", "HEAD:keyring"]);
    assert_eq!((code, out.as_str()), (0, "both mean the same\n"));
    // A bare repository, and packed objects.
    git(root, &["clone", "-q", "--bare", ".", "bare.git"]);
    git(&root.join("bare.git"), &["gc", "-q"]);
    let (code, out, err) = diff(root, &["--git", "bare.git", "v1:keyring", "main:keyring"]);
    assert!(code == 1 && out.contains("+ principal added"), "{out}{err}");
    // What is wrong in a file is told with its place.
    fs::write(root.join("keyring/bob.toml"), "name = \"eve\"\n").unwrap();
    git(root, &["commit", "-q", "-a", "-m", "three"]);
    let (code, _, err) = diff(root, &["--git", ".", "v1:keyring", "main:keyring"]);
    assert!(code == 2 && err.contains("main:keyring/bob.toml:1:"), "{err}");
}

#[test]
fn what_names_no_directory_of_a_revision_is_told() {
    let dir = repository();
    let root = dir.path();
    git(root, &["branch", "both"]);
    git(root, &["tag", "both"]);
    let blob = git(root, &["rev-parse", "HEAD:keyring/ann.toml"]);
    for (old, why) in [
        ("nowhere:keyring", "names no ref"),
        ("main:nowhere", "in `main`: there is no directory `nowhere`"),
        ("main:keyring/ann.toml", "is no directory"),
        ("both:keyring", "`refs/heads/both` or `refs/tags/both`: write all of it"),
        ("main~9:keyring", "goes behind the first commit"),
        ("main~99999999999999999999:keyring", "more than 10000 steps away"),
        ("main@{1}:keyring", "names no ref"),
        ("main^2:keyring", "only `~`, `~N` and `^`"),
        ("main~\u{e9}:keyring", "only `~`, `~N` and `^`"),
        ("--upload-pack=x:keyring", "names no ref"),
        (&format!("{blob}:keyring"), "is no commit"),
        (&format!("{}:keyring", "7".repeat(40)), "is missing"),
    ] {
        let (code, out, err) = diff(root, &["--git", ".", "--", old, "main:keyring"]);
        assert!(code == 2 && err.contains(why), "{old}: {out}{err}");
    }
    let (code, _, err) = diff(root, &["v1:keyring", "main:keyring"]);
    assert!(code == 2 && err.contains("--git REPO"), "{err}");
}

/// What the repository says about itself is nobody's word: no setting, no hook, no replacement, no program.
#[test]
fn nothing_that_a_repository_configures_counts() {
    let dir = repository();
    let root = dir.path();
    let mark = root.join("mark");
    let program = root.join("program");
    fs::write(&program, format!("#!/bin/sh\ntouch '{}'\n", mark.display())).unwrap();
    chmod(&program, 0o755);
    let program = program.to_str().unwrap();
    for setting in
        ["core.fsmonitor", "core.sshCommand", "core.alternateRefsCommand", "core.pager", "diff.external"]
    {
        git(root, &["config", setting, program]);
    }
    git(root, &["config", "core.hooksPath", root.to_str().unwrap()]);
    git(root, &["config", "filter.x.smudge", program]);
    fs::write(root.join(".git/info/attributes"), "* filter=x diff=x\n").unwrap();
    // The tip replaced by the first commit would make both sides the same.
    let (tip, first) = (git(root, &["rev-parse", "main"]), git(root, &["rev-parse", "v1^{commit}"]));
    git(root, &["update-ref", &format!("refs/replace/{tip}"), &first]);
    let _ = fs::remove_file(&mark);
    let (code, out, err) = diff(root, &["--git", ".", "v1:keyring", "main:keyring"]);
    assert!(code == 1 && out.contains("+ principal added"), "{out}{err}");
    assert!(!mark.exists(), "a program of the repository ran");
}

#[test]
fn trees_that_are_built_to_confuse_are_refused_soon() {
    let dir = repository();
    let root = dir.path();
    let begin = std::time::Instant::now();
    let tree_of =
        |raw: &[u8]| git_with(root, &["hash-object", "-w", "-t", "tree", "--literally", "--stdin"], raw);
    let commit_of = |keyring: &str| {
        let tree = git_with(root, &["mktree"], format!("040000 tree {keyring}\tkeyring\n").as_bytes());
        git(root, &["commit-tree", "-m", "hostile", &tree])
    };
    let blob = git_with(root, &["hash-object", "-w", "--stdin"], principal("ann", ANN).as_bytes());
    let raw_id = data_encoding::HEXLOWER.decode(blob.as_bytes()).unwrap();
    let entry = |mode: &str, name: &str| [mode.as_bytes(), b" ", name.as_bytes(), b"\0", &raw_id].concat();
    let twice = [entry("100644", "ann.toml"), entry("100644", "ann.toml")].concat();
    let unsorted = [entry("100644", "b.toml"), entry("100644", "a.toml")].concat();
    let cut = entry("100644", "ann.toml")[..20].to_vec();
    let slash = entry("100644", "../ann.toml");
    let link = entry("120000", "ann.toml");
    let module = entry("160000", "ann.toml");
    let many: Vec<u8> = (0..110_000).flat_map(|n| entry("100644", &format!("{n:06}.toml"))).collect();
    for (raw, why) in [
        (twice, "tree-duplicate-name"),
        (unsorted, "tree-not-sorted"),
        (cut, "tree-truncated"),
        (slash, "tree-slash-in-name"),
        (link, "`keyring/ann.toml` is a symbolic link"),
        (module, "`keyring/ann.toml` is a submodule"),
        (many, "more than 100000 entries"),
    ] {
        let commit = commit_of(&tree_of(&raw));
        let (code, out, err) = diff(root, &["--git", ".", "main:keyring", &format!("{commit}:keyring")]);
        assert!(code == 2 && err.contains(why), "{why}: {out}{err}");
    }
    // A file that is larger than any principal's, stored small.
    fs::write(root.join("keyring/ann.toml"), vec![b'#'; 9 << 20]).unwrap();
    git(root, &["commit", "-q", "-a", "-m", "large"]);
    let (code, _, err) = diff(root, &["--git", ".", "v1:keyring", "main:keyring"]);
    assert!(code == 2 && err.contains("`keyring/ann.toml` has 9437184 bytes"), "{err}");
    // One tree that is its own child a hundred times over: a path is only as deep as it is written.
    let mut tree = tree_of(&entry("100644", "ann.toml"));
    for _ in 0..70 {
        tree = git_with(root, &["mktree"], format!("040000 tree {tree}\tk\n").as_bytes());
    }
    let commit = git(root, &["commit-tree", "-m", "deep", &tree]);
    let (code, _, err) = diff(root, &["--git", ".", "v1:keyring", &format!("{commit}:{}", "k/".repeat(70))]);
    assert!(code == 2 && err.contains("deeper than 64"), "{err}");
    assert!(begin.elapsed().as_secs() < 60, "{:?}", begin.elapsed());
}
