//! Merges: real ones, faked ones, and what git makes of the same two commits.

use crate::support::history::Random;
use crate::support::sandbox::Sandbox;
use crate::world::{To, World, complete, id, never, paths};
use countersign::domain::ObjectId;
use countersign::git::{
    ChangeBudget, Differ, GitError, MergeError, MergeShape, Merger, Recomputed, Repository, merge_shape,
};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// A work tree whose merges are looked at.
struct Work {
    sandbox: Sandbox,
    path: PathBuf,
}

impl Work {
    fn new(format: &str) -> Self {
        let sandbox = Sandbox::new();
        let path = sandbox.work_tree("work", &[&format!("--object-format={format}")]);
        Work { sandbox, path }
    }

    fn git(&self, arguments: &[&str]) -> String {
        self.sandbox.git(&self.path, arguments).ok().line().to_owned()
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn commit(&self, message: &str) -> ObjectId {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.rev("HEAD")
    }

    fn rev(&self, what: &str) -> ObjectId {
        id(&self.git(&["rev-parse", what]))
    }

    /// Goes to a new branch at `from`.
    fn branch(&self, name: &str, from: &str) {
        self.git(&["checkout", "-q", "-f", "-B", name, from]);
    }

    /// Merges into the branch that is checked out; whether it went without a conflict.
    fn merge(&self, other: &str) -> bool {
        self.sandbox.git(&self.path, &["merge", "-q", "--no-ff", "--no-edit", other]).status.success()
    }

    fn recompute(&self, ours: &str, theirs: &str) -> Recomputed {
        self.ask(ours, theirs).unwrap()
    }

    fn ask(&self, ours: &str, theirs: &str) -> Result<Recomputed, MergeError> {
        let repository = Repository::open(&self.path.join(".git"), None).unwrap();
        let merger = Merger::new(repository.objects()).unwrap();
        merger.recompute(self.rev(ours), self.rev(theirs), later())
    }

    fn shape(&self, commit: &str) -> MergeShape {
        let repository = Repository::open(&self.path.join(".git"), None).unwrap();
        let parents: Vec<ObjectId> =
            self.git(&["log", "-1", "--format=%P", commit]).split_whitespace().map(id).collect();
        merge_shape(repository.objects(), &parents, &never).unwrap()
    }
}

const LINES: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n";

/// A base, and two branches that nobody has merged: each does its part to the same start.
fn diverged(format: &str, base: impl Fn(&Work), ours: impl Fn(&Work), theirs: impl Fn(&Work)) -> Work {
    let work = Work::new(format);
    work.write("file", LINES);
    base(&work);
    work.commit("base");
    work.branch("theirs", "main");
    theirs(&work);
    work.commit("theirs");
    work.branch("ours", "main");
    ours(&work);
    work.commit("ours");
    work
}

/// The merge is clean, and ours is git's.
#[track_caller]
fn clean(work: &Work) {
    let recomputed = work.recompute("ours", "theirs");
    assert!(work.merge("theirs"));
    assert_eq!(recomputed, Recomputed::Clean(work.rev("HEAD^{tree}")));
    assert_eq!(work.shape("HEAD"), MergeShape::Real);
}

#[test]
fn t06_an_evil_merge_is_not_what_is_recomputed() {
    let work = diverged("sha1", |_| {}, |w| w.write("a", "a"), |w| w.write("b", "b"));
    assert!(work.merge("theirs"));
    let tree = work.rev("HEAD^{tree}");
    work.write("sub/backdoor", "x");
    work.write("b", "not what theirs has");
    work.git(&["add", "-A"]);
    work.git(&["commit", "-q", "--amend", "--no-edit"]);
    assert_eq!(work.git(&["log", "-1", "--name-only", "--format="]), "", "git's log shows nothing");
    let repository = Repository::open(&work.path.join(".git"), None).unwrap();
    let merger = Merger::new(repository.objects()).unwrap();
    let recomputed = merger.recompute(work.rev("HEAD^1"), work.rev("HEAD^2"), later()).unwrap();
    assert_eq!(recomputed, Recomputed::Clean(tree));
    // What was done by hand is the difference to it.
    let objects = merger.objects().unwrap();
    let mut differ = Differ::new(&objects, ChangeBudget::default());
    let by_hand = differ.compare(Some(tree), Some(work.rev("HEAD^{tree}")), &never).unwrap();
    assert_eq!(paths(&complete(by_hand)), [b"b".as_slice(), b"sub/backdoor"]);
}

#[test]
fn a_recomputed_tree_that_the_repository_does_not_have_can_be_compared() {
    let work = diverged("sha1", |_| {}, |w| w.write("d/a", "a"), |w| w.write("d/b", "b"));
    let repository = Repository::open(&work.path.join(".git"), None).unwrap();
    let merger = Merger::new(repository.objects()).unwrap();
    let Recomputed::Clean(tree) = merger.recompute(work.rev("ours"), work.rev("theirs"), later()).unwrap()
    else {
        panic!("not clean");
    };
    assert_eq!(repository.objects().find(&tree).unwrap(), None, "nothing is written into the repository");
    let objects = merger.objects().unwrap();
    let mut differ = Differ::new(&objects, ChangeBudget::default());
    let difference = differ.compare(Some(work.rev("ours^{tree}")), Some(tree), &never).unwrap();
    assert_eq!(paths(&complete(difference)), [b"d/b".as_slice()]);
}

#[test]
fn clean_merges_of_every_kind() {
    for format in ["sha1", "sha256"] {
        let first = |text: &str| LINES.replacen("1\n", &format!("{text}\n"), 1);
        let last = |text: &str| LINES.replace("12\n", &format!("{text}\n"));
        clean(&diverged(format, |_| {}, |w| w.write("a", "a"), |w| w.write("b", "b")));
        clean(&diverged(
            format,
            |_| {},
            |w| w.write("file", &first("ours")),
            |w| w.write("file", &last("theirs")),
        ));
        // Renamed here, changed there.
        let renamed = |w: &Work| fs::rename(w.path.join("file"), w.path.join("moved")).unwrap();
        clean(&diverged(format, |_| {}, renamed, |w| w.write("file", &last("theirs"))));
        clean(&diverged(format, |_| {}, |w| w.write("file", &last("ours")), renamed));
        // The mode here, the content there.
        let run =
            |w: &Work| fs::set_permissions(w.path.join("file"), fs::Permissions::from_mode(0o755)).unwrap();
        clean(&diverged(format, |_| {}, run, |w| w.write("file", &last("theirs"))));
        // A link.
        let link = |w: &Work| symlink("../elsewhere", w.path.join("link")).unwrap();
        clean(&diverged(format, |_| {}, link, |w| w.write("b", "b")));
        // A submodule that one side moves.
        let module = |digit: &'static str| {
            move |w: &Work| {
                let commit = digit.repeat(if format == "sha1" { 40 } else { 64 });
                w.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},module")]);
                fs::create_dir_all(w.path.join("module")).unwrap();
            }
        };
        let work = diverged(format, |_| {}, |w| w.write("a", "a"), |w| w.write("b", "b"));
        work.branch("theirs", "main");
        module("3")(&work);
        work.git(&["commit", "-q", "-m", "module"]);
        work.branch("ours", "ours");
        clean(&work);
    }
}

#[test]
fn conflicts_are_told_with_their_paths() {
    let work = diverged("sha1", |_| {}, |w| w.write("file", "ours\n"), |w| w.write("file", "theirs\n"));
    let recomputed = work.recompute("ours", "theirs");
    let Recomputed::Conflict { tree, paths, more } = recomputed else { panic!("{recomputed:?}") };
    assert_eq!((paths, more), (vec![b"file".to_vec()], false));
    assert_ne!(tree, work.rev("ours^{tree}"));
    assert!(!work.merge("theirs"));
    // One side removes what the other one changes; names are bytes.
    let odd = "a\tb \u{e4}";
    let work = diverged(
        "sha1",
        |w| w.write(odd, "x\n"),
        |w| fs::remove_file(w.path.join(odd)).unwrap(),
        |w| w.write(odd, "y\n"),
    );
    let recomputed = work.recompute("ours", "theirs");
    assert!(
        matches!(&recomputed, Recomputed::Conflict { paths, .. } if paths == &[odd.as_bytes()]),
        "{recomputed:?}"
    );
    // Two submodules that went different ways.
    let module = |digit: &'static str| {
        move |w: &Work| {
            drop(w.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},m", digit.repeat(40))]))
        }
    };
    let work = Work::new("sha1");
    for (branch, from, digit) in
        [("main", None, "1"), ("theirs", Some("main"), "2"), ("ours", Some("main"), "3")]
    {
        if let Some(from) = from {
            work.branch(branch, from);
        }
        module(digit)(&work);
        work.git(&["commit", "-q", "-m", branch]);
    }
    assert!(matches!(work.recompute("ours", "theirs"), Recomputed::Conflict { .. }));
}

#[test]
fn conflicting_paths_without_end_are_cut() {
    let many = |text: &'static str| {
        move |w: &Work| {
            for index in 0..1500 {
                w.write(&format!("{}/{index:0200}", "d".repeat(100)), text);
            }
        }
    };
    let work = diverged("sha1", many("base"), many("ours"), many("theirs"));
    let recomputed = work.recompute("ours", "theirs");
    let Recomputed::Conflict { paths, more, .. } = recomputed else { panic!("{recomputed:?}") };
    assert!(more && paths.len() > 100 && paths.len() < 1500);
    assert!(paths.iter().all(|path| path.len() == 301));
}

#[test]
fn unrelated_histories_and_criss_cross() {
    let work = diverged("sha1", |_| {}, |w| w.write("a", "a"), |w| w.write("b", "b"));
    work.git(&["checkout", "-q", "--orphan", "island"]);
    work.commit("island");
    assert_eq!(work.recompute("ours", "island"), Recomputed::Unrelated);
    // Each merges the other's first commit: two merge bases.
    let work = diverged("sha1", |_| {}, |w| w.write("a", "a"), |w| w.write("b", "b"));
    let (ours, theirs) = (work.rev("ours"), work.rev("theirs"));
    assert!(work.merge(&theirs.to_string()));
    work.write("c", "c");
    work.commit("more of ours");
    work.branch("theirs", "theirs");
    assert!(work.merge(&ours.to_string()));
    work.write("file", &LINES.replace("12\n", "theirs\n"));
    work.commit("more of theirs");
    work.branch("ours", "ours");
    assert_eq!(work.git(&["merge-base", "--all", "ours", "theirs"]).lines().count(), 2);
    clean(&work);
}

#[test]
fn n20_what_only_looks_like_a_merge() {
    let work = Work::new("sha1");
    let first = work.commit("first");
    let second = work.commit("second");
    let third = work.commit("third");
    work.git(&["checkout", "-q", "-b", "side", &first.to_string()]);
    let side = work.commit("side");
    let other = {
        work.git(&["checkout", "-q", "-b", "other", &first.to_string()]);
        work.commit("other")
    };
    work.git(&["checkout", "-q", "--orphan", "island"]);
    let island = work.commit("island");
    let repository = Repository::open(&work.path.join(".git"), None).unwrap();
    let shape = |parents: &[ObjectId]| merge_shape(repository.objects(), parents, &never).unwrap();
    assert_eq!(shape(&[]), MergeShape::NotAMerge);
    assert_eq!(shape(&[third]), MergeShape::NotAMerge);
    assert_eq!(shape(&[third, third]), MergeShape::Repeated(third));
    assert_eq!(shape(&[third, first]), MergeShape::Ancestor(first));
    assert_eq!(shape(&[second, third]), MergeShape::Ancestor(second));
    assert_eq!(shape(&[third, side]), MergeShape::Real);
    assert_eq!(shape(&[third, side, other]), MergeShape::Real);
    assert_eq!(shape(&[third, island]), MergeShape::Real);
    assert_eq!(shape(&[third, side, first]), MergeShape::Ancestor(first));
    assert_eq!(shape(&[side, third, other, side]), MergeShape::Repeated(side));
    let absent = id(&"7".repeat(40));
    let ended = merge_shape(repository.objects(), &[third, absent], &never);
    assert!(matches!(ended, Err(GitError::Missing { .. })), "{ended:?}");
    let stop = || Err(GitError::Refs { why: "time is over".to_owned() });
    assert!(merge_shape(repository.objects(), &[third, side], &stop).is_err(), "the deadline is asked for");
    // An octopus made by git.
    work.branch("octopus", &third.to_string());
    work.git(&["merge", "-q", "--no-edit", "side", "other"]);
    assert_eq!(work.shape("octopus"), MergeShape::Real);
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { out.extend(files(&path)) } else { out.push(path) }
    }
    out.sort();
    out
}

#[test]
fn nothing_of_the_repository_has_a_say() {
    let work = diverged("sha1", |_| {}, |w| w.write("file", "ours\n"), |w| w.write("file", "theirs\n"));
    let pwned = work.sandbox.path("pwned");
    // A driver that takes ours, attributes in every place, replaced and grafted history, and hooks.
    let driver = format!("touch {}; true", pwned.display());
    work.git(&["config", "merge.evil.driver", &driver]);
    work.git(&["config", "merge.default", "evil"]);
    work.git(&["config", "merge.directoryRenames", "true"]);
    work.git(&["config", "core.fsmonitor", &driver]);
    work.git(&["config", "extensions.partialClone", "nowhere"]);
    work.git(&["config", "--unset", "extensions.partialClone"]);
    fs::create_dir_all(work.path.join(".git/info")).unwrap();
    fs::write(work.path.join(".git/info/attributes"), "* merge=evil\n").unwrap();
    work.git(&["replace", "theirs", "ours"]);
    fs::write(work.path.join(".git/info/grafts"), format!("{}\n", work.rev("ours"))).unwrap();
    let before = files(&work.path.join(".git"));
    assert!(matches!(work.recompute("ours", "refs/heads/theirs"), Recomputed::Conflict { .. }));
    assert_eq!(files(&work.path.join(".git")), before);
    assert!(!pwned.exists());
    // Attributes of the tree itself do not help either: a union is made by hand, as far as we can see.
    let work = diverged(
        "sha1",
        |w| w.write(".gitattributes", "file merge=union\n"),
        |w| w.write("file", &format!("{LINES}ours\n")),
        |w| w.write("file", &format!("{LINES}theirs\n")),
    );
    assert!(matches!(work.recompute("ours", "theirs"), Recomputed::Conflict { .. }));
    assert!(work.merge("theirs"), "git itself goes by them");
}

#[test]
fn commits_of_a_push_in_flight() {
    let world = World::sha1();
    let blob = |content: &[u8]| world.blob(To::Push, content);
    let (x, y) = (blob(b"x"), blob(b"y"));
    let tree = |entries: &[(&str, &[u8], ObjectId)]| world.tree(To::Push, entries).to_string();
    let commit = |tree: &str, parents: &[&str]| {
        let mut arguments = vec!["commit-tree", "-m", "x", tree];
        for parent in parents {
            arguments.extend(["-p", parent]);
        }
        world.git(To::Push, &arguments, b"")
    };
    let base = commit(&tree(&[("100644", b"a", x)]), &[]);
    let ours = commit(&tree(&[("100644", b"a", y)]), &[&base]);
    let theirs = commit(&tree(&[("100644", b"a", x), ("100644", b"b", x)]), &[&base]);
    let both = tree(&[("100644", b"a", y), ("100644", b"b", x)]);
    let repository = world.open();
    let merger = Merger::new(repository.objects()).unwrap();
    assert_eq!(merger.recompute(id(&ours), id(&theirs), later()).unwrap(), Recomputed::Clean(id(&both)));
    // One merger for many merges.
    assert_eq!(merger.recompute(id(&theirs), id(&ours), later()).unwrap(), Recomputed::Clean(id(&both)));
    // Time that is over, and objects that are not there, are no answers.
    let ended = merger.recompute(id(&ours), id(&theirs), Instant::now());
    assert!(matches!(ended, Err(MergeError::Time)), "{ended:?}");
    let ended = merger.recompute(id(&ours), id(&"7".repeat(40)), later());
    assert!(matches!(ended, Err(MergeError::Program(_))), "{ended:?}");
    let ended = merger.recompute(id(&ours), id(&both), later());
    assert!(matches!(ended, Err(MergeError::Program(_))), "{ended:?}");
    let base_tree = world.git(To::Push, &["rev-parse", &format!("{base}^{{tree}}")], b"");
    fs::remove_file(world.quarantine.join(&base_tree[..2]).join(&base_tree[2..])).unwrap();
    let ended = merger.recompute(id(&ours), id(&theirs), later());
    assert!(matches!(ended, Err(MergeError::Program(_))), "{ended:?}");
}

#[test]
fn random_merges_are_what_git_makes_of_them() {
    let (mut cleans, mut conflicts) = (0, 0);
    for (seed, format) in [(5, "sha1"), (6, "sha256")] {
        let mut random = Random(seed);
        for _ in 0..14 {
            let work = Work::new(format);
            let names = ["a", "b", "d/a", "d/b", "e/f/g"];
            let text = |random: &mut Random| {
                (0..12).map(|line| format!("{line} {}\n", random.below(2))).collect::<String>()
            };
            for name in names {
                let content = text(&mut random);
                work.write(name, &content);
            }
            work.commit("base");
            for branch in ["theirs", "ours"] {
                work.branch(branch, "main");
                for _ in 0..1 + random.below(2) {
                    let name = names[random.below(names.len())];
                    let path = work.path.join(name);
                    if !path.exists() {
                        continue;
                    }
                    match random.below(5) {
                        0 => fs::remove_file(path).unwrap(),
                        1 => {
                            let to = format!("{name}-moved-{}", random.below(2));
                            fs::rename(&path, work.path.join(to)).unwrap();
                        }
                        2 => work.write(&format!("new-{}", random.below(3)), branch),
                        _ => {
                            let old = fs::read_to_string(&path).unwrap();
                            let line = format!("{} ", random.below(12));
                            let changed = |text: &str| {
                                if text.starts_with(&line) {
                                    format!("{line}{branch}\n")
                                } else {
                                    format!("{text}\n")
                                }
                            };
                            work.write(name, &old.lines().map(changed).collect::<String>());
                        }
                    }
                }
                work.commit(branch);
            }
            let recomputed = work.recompute("ours", "theirs");
            if work.merge("theirs") {
                cleans += 1;
                assert_eq!(recomputed, Recomputed::Clean(work.rev("HEAD^{tree}")), "seed {seed}");
            } else {
                conflicts += 1;
                assert!(matches!(recomputed, Recomputed::Conflict { .. }), "seed {seed}: {recomputed:?}");
            }
        }
    }
    assert!(cleans >= 5 && conflicts >= 2, "{cleans} clean, {conflicts} in conflict");
}
