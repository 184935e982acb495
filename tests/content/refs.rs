//! The default branch, and the names of all refs.

use crate::support::history;
use crate::support::sandbox::Sandbox;
use countersign::git::{GitError, Repository};
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Instant;

fn open(path: &Path) -> Repository {
    Repository::open(path, None).unwrap()
}

fn names(path: &Path) -> Vec<String> {
    open(path).ref_names().unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn a_name_that_cannot_be_read_makes_no_shorter_list() {
    type Damage<'a> = (&'a str, &'a dyn Fn(&Path));
    let damage: [Damage<'_>; 7] = [
        ("no id", &|bare| fs::write(bare.join("packed-refs"), "garbage refs/heads/x\n").unwrap()),
        ("no name", &|bare| fs::write(bare.join("packed-refs"), format!("{}\n", "1".repeat(40))).unwrap()),
        ("cut", &|bare| {
            fs::write(bare.join("packed-refs"), format!("{} refs/heads/x", "1".repeat(40))).unwrap()
        }),
        ("a bad name", &|bare| {
            fs::write(bare.join("packed-refs"), format!("{} refs/heads/a..b\n", "1".repeat(40))).unwrap()
        }),
        ("a bad file", &|bare| fs::write(bare.join("refs/heads/a~b"), "x").unwrap()),
        ("a linked directory", &|bare| symlink("heads", bare.join("refs/alias")).unwrap()),
        ("a directory that is a file", &|bare| fs::create_dir_all(bare.join("packed-refs")).unwrap()),
    ];
    for (what, damage) in damage {
        let sandbox = Sandbox::new();
        let bare = sandbox.bare("r.git", &[]);
        let repository = open(&bare);
        damage(&bare);
        let ended = repository.ref_names();
        assert!(matches!(ended, Err(GitError::Refs { .. })), "{what}: {ended:?}");
    }
}

#[test]
fn names_of_ten_thousand_packed_refs_and_some_loose_ones() {
    let sandbox = Sandbox::new();
    let bare = sandbox.bare("r.git", &[]);
    assert_eq!(names(&bare), Vec::<String>::new());
    let ids = history::line(&sandbox, &bare, "refs/heads/main", 2);
    let mut updates = String::new();
    for index in 0..10_000 {
        writeln!(updates, "create refs/heads/team-{}/b-{index} {}", index % 50, ids[index % 2]).unwrap();
    }
    sandbox.git_with_input(&bare, &["update-ref", "--stdin"], updates.as_bytes()).ok();
    sandbox.git(&bare, &["tag", "-m", "annotated", "v1", &ids[0]]).ok();
    sandbox.git(&bare, &["pack-refs", "--all"]).ok();
    // Loose ones: new, above a packed one, symbolic, and broken.
    sandbox.git(&bare, &["update-ref", "refs/heads/loose/one", &ids[0]]).ok();
    sandbox.git(&bare, &["update-ref", "refs/heads/main", &ids[0]]).ok();
    sandbox.git(&bare, &["symbolic-ref", "refs/heads/alias", "refs/heads/main"]).ok();
    sandbox.git(&bare, &["update-ref", "-d", "refs/heads/team-1/b-1"]).ok();
    let started = Instant::now();
    let ours = names(&bare);
    eprintln!("names: {:?}", started.elapsed());
    let listed = sandbox.git(&bare, &["for-each-ref", "--format=%(refname)"]).ok().stdout;
    let mut wanted: Vec<&str> = listed.lines().collect();
    wanted.sort_unstable();
    assert_eq!(ours, wanted);
    assert_eq!(ours.len(), 10_000 + 3);
    // What git does not list, because it leads nowhere, is a name that is taken all the same.
    sandbox.git(&bare, &["symbolic-ref", "refs/heads/dangling", "refs/heads/nowhere"]).ok();
    fs::write(bare.join("refs/heads/broken"), "").unwrap();
    fs::write(bare.join("refs/heads/busy.lock"), "").unwrap();
    let more = names(&bare);
    assert_eq!(more.len(), ours.len() + 2);
    assert!(
        ["refs/heads/dangling", "refs/heads/broken"].iter().all(|name| more.iter().any(|one| one == name))
    );
}

#[test]
fn where_head_points() {
    let sandbox = Sandbox::new();
    let bare = sandbox.bare("r.git", &[]);
    let branch = |path: &Path| open(path).default_branch().unwrap().map(|name| name.to_string());
    assert_eq!(branch(&bare).as_deref(), Some("refs/heads/main"), "not born yet");
    let ids = history::line(&sandbox, &bare, "refs/heads/trunk", 1);
    sandbox.git(&bare, &["symbolic-ref", "HEAD", "refs/heads/trunk"]).ok();
    assert_eq!(branch(&bare).as_deref(), Some("refs/heads/trunk"));
    sandbox.git(&bare, &["update-ref", "--no-deref", "HEAD", &ids[0]]).ok();
    assert_eq!(branch(&bare), None);
    fs::remove_file(bare.join("HEAD")).unwrap();
    symlink("refs/heads/trunk", bare.join("HEAD")).unwrap();
    assert_eq!(branch(&bare).as_deref(), Some("refs/heads/trunk"), "a link in the file system");
    for bad in ["", "ref: \n", "ref: refs/heads/a..b\n", "garbage\n", "ref: /etc/passwd\n"] {
        let repository = {
            fs::remove_file(bare.join("HEAD")).unwrap();
            fs::write(bare.join("HEAD"), "ref: refs/heads/main\n").unwrap();
            open(&bare)
        };
        fs::write(bare.join("HEAD"), bad).unwrap();
        let ended = repository.default_branch();
        assert!(matches!(ended, Err(GitError::Refs { .. })), "{bad:?}: {ended:?}");
    }
    let repository = {
        fs::write(bare.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        open(&bare)
    };
    fs::write(bare.join("HEAD"), "x".repeat(100_000)).unwrap();
    assert!(repository.default_branch().is_err());
}
