//! Whether the library reads git's repositories as git does: real repositories, real quarantines of
//! pushes in flight, and git itself as the judge.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use countersign::domain::{
    ObjectFormat, ObjectId, ObjectKind, PushContext, Pusher, RefName, RefUpdate, RepositoryId, RepositoryRef,
    RequestId, Timestamp,
};
use countersign::facts::{Budget, CollectError, Frontier, Inputs, Present, Standing, Updates, collect};
use countersign::git::{GitError, Relation, Repository, relate};
use countersign::keyring::Keyring;
use countersign::policy::{
    Enforcement, Limits, Pattern, PushFacts, Refs, Ruleset, Rulesets, Uncovered, rules,
};
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::history::{self, Dag, Dates, Random};
use support::quarantine::BlockedPush;
use support::sandbox::Sandbox;

fn id(hex: &str) -> ObjectId {
    ObjectId::parse(hex.as_bytes()).unwrap()
}

fn name(text: &str) -> RefName {
    RefName::parse(text.as_bytes()).unwrap()
}

fn open(path: &Path) -> Repository {
    Repository::open(path, None).unwrap()
}

fn refusal(path: &Path, quarantine: Option<&Path>) -> GitError {
    match Repository::open(path, quarantine) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

fn loose(repository: &Path, id: &str) -> PathBuf {
    repository.join("objects").join(&id[..2]).join(&id[2..])
}

/// Replaces a file that may be read-only.
fn overwrite(path: &Path, content: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, content).unwrap();
}

// --- the quarantine of a push in flight ---------------------------------------------------------

/// Pushes `count` commits and reads all of them while the push waits for its hook.
fn read_from_quarantine(format: &str, count: usize) {
    let sandbox = Sandbox::new();
    let option = format!("--object-format={format}");
    let bare = sandbox.bare("server.git", &[&option]);
    let work = sandbox.work_tree("work", &[&option]);
    let base = sandbox.commit(&work, "base");
    sandbox.git(&work, &["push", "--quiet", bare.to_str().unwrap(), "main"]).ok();
    let pushed = history::line(&sandbox, &work, "refs/heads/topic", count);

    let push = BlockedPush::start(&sandbox, &work, &bare, &["topic"]);
    let quarantine = push.quarantine.clone().unwrap();
    let packs = fs::read_dir(quarantine.join("pack")).map_or(0, Iterator::count);
    assert_eq!(packs > 0, count > 100, "git keeps a large push as a pack and unpacks a small one");

    let repository = Repository::open(&bare, Some(&quarantine)).unwrap();
    assert_eq!(repository.format().name(), format);
    let objects = repository.objects();
    let mut buffer = Vec::new();
    for hex in &pushed {
        let found = objects.find(&id(hex)).unwrap().unwrap();
        assert_eq!((found.kind, found.in_quarantine), (ObjectKind::Commit, true));
        assert_eq!(objects.read(&id(hex), &mut buffer).unwrap(), Some(ObjectKind::Commit));
        assert_eq!(found.size, buffer.len() as u64);
    }
    let found = objects.find(&id(&base)).unwrap().unwrap();
    assert!(!found.in_quarantine, "what the repository had before is not part of the push");
    objects.read(&id(&base), &mut buffer).unwrap().unwrap();
    let absent = if format == "sha1" { "7".repeat(40) } else { "7".repeat(64) };
    assert_eq!(objects.find(&id(&absent)).unwrap(), None);

    let without = open(&bare);
    assert_eq!(without.objects().find(&id(&pushed[0])).unwrap(), None, "only the quarantine has it");
    drop(repository);
    push.finish(true).ok();
    assert!(objects_has(&bare, &pushed[count - 1]));
}

fn objects_has(repository: &Path, hex: &str) -> bool {
    open(repository).objects().find(&id(hex)).unwrap().is_some()
}

#[test]
fn loose_quarantine_sha1() {
    read_from_quarantine("sha1", 1);
}

#[test]
fn packed_quarantine_sha1() {
    read_from_quarantine("sha1", 500);
}

#[test]
fn loose_quarantine_sha256() {
    read_from_quarantine("sha256", 1);
}

#[test]
fn packed_quarantine_sha256() {
    read_from_quarantine("sha256", 500);
}

#[test]
fn a_push_that_only_deletes_has_no_quarantine() {
    let sandbox = Sandbox::new();
    let bare = sandbox.bare("server.git", &[]);
    let work = sandbox.work_tree("work", &[]);
    let commit = sandbox.commit(&work, "base");
    sandbox.git(&work, &["push", "--quiet", bare.to_str().unwrap(), "main", "main:gone"]).ok();
    let push = BlockedPush::start(&sandbox, &work, &bare, &[":gone"]);
    assert_eq!(push.quarantine, None);
    assert_eq!(push.updates, format!("{commit} {} refs/heads/gone\n", "0".repeat(40)));
    assert_eq!(open(&bare).resolve(&name("refs/heads/gone")).unwrap().value, Some(id(&commit)));
}

#[test]
fn an_object_of_the_other_format_is_nowhere() {
    let sandbox = Sandbox::new();
    let bare = sandbox.bare("server.git", &[]);
    let repository = open(&bare);
    assert_eq!(repository.format(), ObjectFormat::Sha1);
    assert_eq!(repository.objects().find(&id(&"7".repeat(64))).unwrap(), None);
}

#[test]
fn objects_behind_nested_relative_alternates() {
    let sandbox = Sandbox::new();
    for directory in ["a", "deep/er"] {
        fs::create_dir_all(sandbox.path(directory)).unwrap();
    }
    let base = sandbox.bare("deep/er/base.git", &[]);
    let pool = sandbox.bare("deep/pool.git", &[]);
    let fork = sandbox.bare("a/fork.git", &[]);
    let work = sandbox.work_tree("work", &[]);
    let push = |to: &Path, what: &[&str]| {
        let mut arguments = vec!["push", "--quiet", to.to_str().unwrap()];
        arguments.extend(what);
        sandbox.git(&work, &arguments).ok();
    };
    // Each level has something of its own, one of them packed.
    let first = history::line(&sandbox, &work, "refs/heads/main", 150);
    push(&base, &["main"]);
    sandbox.git(&base, &["gc", "--quiet"]).ok();
    fs::write(pool.join("objects/info/alternates"), "../../er/base.git/objects\n").unwrap();
    sandbox.git(&work, &["checkout", "--quiet", "--force", "main"]).ok();
    let second = sandbox.commit(&work, "in the pool");
    push(&pool, &["main"]);
    fs::write(fork.join("objects/info/alternates"), "../../../deep/pool.git/objects\n").unwrap();
    let third = sandbox.commit(&work, "in the fork");
    push(&fork, &["main"]);
    let fourth = sandbox.commit(&work, "in the push");
    assert!(!loose(&fork, &second).exists() && !loose(&pool, &first[0]).exists());

    let blocked = BlockedPush::start(&sandbox, &work, &fork, &["main"]);
    let repository = Repository::open(&fork, blocked.quarantine.as_deref()).unwrap();
    let mut buffer = Vec::new();
    for (hex, quarantined) in
        [(&first[0], false), (&first[149], false), (&second, false), (&third, false), (&fourth, true)]
    {
        let found = repository.objects().find(&id(hex)).unwrap().unwrap();
        assert_eq!(found.in_quarantine, quarantined);
        repository.objects().read(&id(hex), &mut buffer).unwrap().unwrap();
    }
    let never = || Ok::<(), GitError>(());
    let relation = relate(repository.objects(), id(&first[0]), id(&fourth), &never).unwrap();
    assert_eq!(relation, Relation::Descends);
}

// --- housekeeping beside us ---------------------------------------------------------------------

/// Repacks, again and again and with new commits each time, while everything is read in a loop.
fn read_beside(housekeeping: &'static [&'static [&'static str]], keep_open: bool) {
    let sandbox = Sandbox::new();
    let bare = sandbox.bare("server.git", &[]);
    let ids: Vec<ObjectId> =
        history::line(&sandbox, &bare, "refs/heads/main", 200).iter().map(|hex| id(hex)).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..12 {
                // Loose ones, then a small pack, so that each repack makes another file.
                history::line(&sandbox, &bare, &format!("refs/heads/loose-{round}"), 3);
                history::line(&sandbox, &bare, &format!("refs/heads/pack-{round}"), 40);
                for arguments in housekeeping {
                    sandbox.git(&bare, arguments).ok();
                }
            }
            done.store(true, Ordering::Release);
        });
        let mut buffer = Vec::new();
        let mut rounds = 0;
        let mut kept = keep_open.then(|| open(&bare));
        while !done.load(Ordering::Acquire) || rounds == 0 {
            let fresh = if keep_open { None } else { Some(open(&bare)) };
            let repository = fresh.as_ref().or(kept.as_ref()).unwrap();
            for id in &ids {
                let found = repository.objects().read(id, &mut buffer);
                assert!(matches!(found, Ok(Some(ObjectKind::Commit))), "round {rounds}: {id}: {found:?}");
            }
            assert_eq!(
                repository.resolve(&name("refs/heads/main")).unwrap().value,
                ids.last().copied(),
                "refs are packed beside us, too"
            );
            rounds += 1;
        }
        kept.take();
    });
}

/// What git does to files when a ref moves and when refs are packed, in the same steps and without its starting time:
/// each move is packed at once.
fn move_and_pack(bare: &Path, ids: &[ObjectId]) {
    let (loose, packed) = (bare.join("refs/heads/main"), bare.join("packed-refs"));
    let replace = |path: &Path, content: String| {
        let lock = path.with_extension("lock");
        fs::write(&lock, content).unwrap();
        fs::rename(&lock, path).unwrap();
    };
    for id in ids {
        replace(&loose, format!("{id}\n"));
        replace(
            &packed,
            format!(
                "# pack-refs with: peeled fully-peeled sorted \n{id} refs/heads/main\n{} refs/heads/rest\n",
                ids[0]
            ),
        );
        fs::remove_file(&loose).unwrap();
    }
}

#[test]
fn a_ref_that_is_packed_beside_us_is_never_absent_and_never_goes_back() {
    let sandbox = Sandbox::new();
    let bare = sandbox.bare("server.git", &[]);
    let line: Vec<ObjectId> =
        history::line(&sandbox, &bare, "refs/heads/main", 400).iter().map(|hex| id(hex)).collect();
    sandbox.git(&bare, &["pack-refs", "--all"]).ok();
    let rounds: Vec<ObjectId> = (0..3_000).map(|round| line[round * line.len() / 3_000]).collect();
    move_and_pack(&bare, &rounds[..1]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            move_and_pack(&bare, &rounds);
            done.store(true, Ordering::Release);
        });
        for keep_open in [true, false] {
            let (done, bare, line) = (&done, &bare, &line);
            scope.spawn(move || {
                let main = name("refs/heads/main");
                let kept = open(bare);
                let mut last = 0;
                let mut seen = |found: Option<ObjectId>, how: &str| {
                    let found = found.unwrap_or_else(|| panic!("{how}: the ref is not there"));
                    let at = line.iter().position(|id| *id == found).unwrap();
                    assert!(at >= last, "{how}: the ref stood at {last} before, and at {at} now");
                    last = at;
                };
                let mut ended = false;
                while !ended {
                    ended = done.load(Ordering::Acquire);
                    let fresh = (!keep_open).then(|| open(bare));
                    let repository = fresh.as_ref().unwrap_or(&kept);
                    seen(repository.resolve(&main).unwrap().value, "resolve");
                    let all = repository.references().unwrap();
                    seen(all.iter().find(|(name, _)| *name == main).map(|(_, id)| *id), "references");
                    assert!(repository.ref_names().unwrap().contains(&main), "it is not among the names");
                }
                assert_eq!(last, line.len() - 1, "the last move is seen once it was made");
            });
        }
    });
}

#[test]
fn a_gc_beside_a_long_reader() {
    read_beside(&[&["gc", "--quiet", "--prune=now"]], true);
}

#[test]
fn a_gc_beside_short_readers() {
    read_beside(&[&["gc", "--quiet", "--prune=now"]], false);
}

#[test]
fn a_repack_beside_a_long_reader() {
    read_beside(&[&["repack", "-q", "-a", "-d"], &["pack-refs", "--all"]], true);
}

#[test]
fn a_repack_beside_short_readers() {
    read_beside(&[&["repack", "-q", "-a", "-d"], &["pack-refs", "--all"]], false);
}

#[test]
fn every_layout_that_housekeeping_leaves_behind() {
    type Layout = &'static [&'static [&'static str]];
    let layouts: [(&str, Layout); 6] = [
        ("several packs under one index", &[&["multi-pack-index", "write"]]),
        ("one index, its chain", &[&["multi-pack-index", "write", "--incremental"]]),
        ("geometric", &[&["repack", "-q", "-d", "--geometric=2", "--write-midx"]]),
        (
            "a cruft pack",
            &[&["update-ref", "-d", "refs/heads/one"], &["gc", "--quiet", "--cruft", "--no-prune"]],
        ),
        ("old index", &[&["-c", "pack.indexVersion=1", "repack", "-q", "-a", "-d", "-F"]]),
        (
            "bitmaps and graphs",
            &[&["repack", "-q", "-a", "-d", "-b"], &["commit-graph", "write", "--reachable"]],
        ),
    ];
    for format in ["sha1", "sha256"] {
        for (what, commands) in layouts {
            let sandbox = Sandbox::new();
            let bare = sandbox.bare("server.git", &[&format!("--object-format={format}")]);
            let mut ids = Vec::new();
            for branch in ["one", "two", "three"] {
                ids.extend(history::line(&sandbox, &bare, &format!("refs/heads/{branch}"), 130));
            }
            for arguments in commands {
                let ran = sandbox.git(&bare, arguments);
                // An older git may not know an option; the index version is not for SHA-256.
                assert!(
                    ran.status.success() || format == "sha256" || what == "one index, its chain",
                    "{what}: {}",
                    ran.stderr
                );
            }
            ids.extend(history::line(&sandbox, &bare, "refs/heads/after", 3));
            let repository = open(&bare);
            let mut buffer = Vec::new();
            for hex in &ids {
                let found = repository.objects().read(&id(hex), &mut buffer);
                assert!(matches!(found, Ok(Some(ObjectKind::Commit))), "{what}, {format}: {hex}: {found:?}");
            }
        }
    }
}

// --- refs ---------------------------------------------------------------------------------------

#[test]
fn packed_and_loose_refs() {
    let sandbox = Sandbox::new();
    let bare = sandbox.bare("server.git", &[]);
    let ids = history::line(&sandbox, &bare, "refs/heads/main", 3);
    sandbox.git(&bare, &["update-ref", "refs/heads/both", &ids[0]]).ok();
    sandbox.git(&bare, &["update-ref", "refs/heads/deleted", &ids[0]]).ok();
    sandbox.git(&bare, &["tag", "-m", "annotated", "v1", &ids[2]]).ok();
    sandbox.git(&bare, &["pack-refs", "--all"]).ok();
    sandbox.git(&bare, &["update-ref", "refs/heads/both", &ids[1]]).ok();
    sandbox.git(&bare, &["update-ref", "refs/heads/loose", &ids[1]]).ok();
    sandbox.git(&bare, &["update-ref", "-d", "refs/heads/deleted"]).ok();
    let tag = sandbox.git(&bare, &["rev-parse", "refs/tags/v1"]).ok().line().to_owned();

    let repository = open(&bare);
    let value = |text: &str| repository.resolve(&name(text)).unwrap().value;
    assert_eq!(value("refs/heads/main"), Some(id(&ids[2])));
    assert_eq!(value("refs/heads/both"), Some(id(&ids[1])), "the loose one wins");
    assert_eq!(value("refs/heads/loose"), Some(id(&ids[1])));
    assert_eq!(value("refs/heads/deleted"), None);
    assert_eq!(value("refs/tags/v1"), Some(id(&tag)), "the tag itself, not what it points at");
    let listed = sandbox.git(&bare, &["for-each-ref", "--format=%(objectname) %(refname)"]).ok().stdout;
    let mut ours: Vec<String> =
        repository.references().unwrap().iter().map(|(name, id)| format!("{id} {name}")).collect();
    let mut wanted: Vec<&str> = listed.lines().collect();
    ours.sort();
    wanted.sort();
    assert_eq!(ours, wanted);
}

#[test]
fn n04_symbolic_refs_are_followed_to_the_ref_that_would_move() {
    let sandbox = Sandbox::new();
    let bare = sandbox.bare("server.git", &[]);
    let ids = history::line(&sandbox, &bare, "refs/heads/main", 1);
    let link = |from: &str, to: &str| {
        sandbox.git(&bare, &["symbolic-ref", from, to]).ok();
    };
    link("refs/heads/alias", "refs/heads/main");
    link("refs/heads/nested", "refs/heads/alias");
    link("refs/heads/dangling", "refs/heads/not-yet");
    let repository = open(&bare);
    let resolve = |text: &str| repository.resolve(&name(text)).unwrap();
    let main = resolve("refs/heads/main");
    assert!(!main.symbolic);
    for alias in ["refs/heads/alias", "refs/heads/nested"] {
        let found = resolve(alias);
        assert!(found.symbolic);
        assert_eq!((found.target, found.value), (name("refs/heads/main"), Some(id(&ids[0]))));
    }
    let dangling = resolve("refs/heads/dangling");
    assert_eq!(
        (dangling.target, dangling.symbolic, dangling.value),
        (name("refs/heads/not-yet"), true, None)
    );

    link("refs/heads/circle-a", "refs/heads/circle-b");
    link("refs/heads/circle-b", "refs/heads/circle-a");
    let circle = repository.resolve(&name("refs/heads/circle-a"));
    assert!(matches!(circle, Err(GitError::Refs { .. })), "{circle:?}");
}

#[test]
fn n04_a_link_in_the_file_system_is_a_symbolic_ref_as_git_sees_it() {
    let sandbox = Sandbox::new();
    let bare = sandbox.bare("server.git", &[]);
    let ids = history::line(&sandbox, &bare, "refs/heads/main", 1);
    symlink("refs/heads/main", bare.join("refs/heads/alias")).unwrap();
    let target = sandbox.git(&bare, &["symbolic-ref", "refs/heads/alias"]).ok();
    assert_eq!(target.line(), "refs/heads/main", "git follows it");
    match open(&bare).resolve(&name("refs/heads/alias")) {
        Ok(found) => {
            assert_eq!((found.target, found.value), (name("refs/heads/main"), Some(id(&ids[0]))));
            assert!(found.symbolic);
        }
        Err(error) => assert!(matches!(error, GitError::Refs { .. }), "{error}"),
    }
}

#[test]
fn names_are_never_completed() {
    let sandbox = Sandbox::new();
    let bare = sandbox.bare("server.git", &[]);
    let ids = history::line(&sandbox, &bare, "refs/imported", 2);
    let set = |name: &str, id: &str| {
        sandbox.git(&bare, &["update-ref", name, id]).ok();
    };
    for packed in [false, true] {
        let which = |text: &str| format!("{text}-{packed}");
        for decoy in ["refs/heads/", "refs/tags/", "refs/remotes/", "refs/"] {
            set(&format!("{decoy}{}", which("refs/heads/absent")), &ids[0]);
            set(&format!("{decoy}{}", which("refs/heads/there")), &ids[0]);
        }
        set(&format!("refs/remotes/{}/HEAD", which("refs/heads/remote")), &ids[0]);
        set(&which("refs/heads/there"), &ids[1]);
        set(&which("refs/heads/short"), &ids[1]);
        if packed {
            sandbox.git(&bare, &["pack-refs", "--all"]).ok();
            // Packed and shadowed by a loose decoy.
            set(&which("refs/tags/refs/heads/short"), &ids[0]);
        }
        let repository = open(&bare);
        let value = |text: &str| repository.resolve(&name(&which(text))).unwrap().value;
        assert_eq!(value("refs/heads/absent"), None);
        assert_eq!(value("refs/heads/remote"), None);
        assert_eq!(value("refs/heads/there"), Some(id(&ids[1])));
        assert_eq!(value("refs/heads/short"), Some(id(&ids[1])));
        assert_eq!(value("refs/heads/refs/heads/there"), Some(id(&ids[0])));
        assert_eq!(value("refs/heads/refs/heads/short"), None);
        assert_eq!(value("refs/short"), None);
    }
}

#[test]
fn a_ref_that_cannot_be_read_is_an_error_and_not_an_absence() {
    type Damage = fn(&Path);
    let damage: [(&str, Damage); 4] = [
        ("empty", |bare| fs::write(bare.join("refs/heads/bad"), "").unwrap()),
        ("garbage", |bare| fs::write(bare.join("refs/heads/bad"), "garbage\n").unwrap()),
        ("short id", |bare| fs::write(bare.join("refs/heads/bad"), "abcdef\n").unwrap()),
        ("packed", |bare| fs::write(bare.join("packed-refs"), "# pack-refs with: \ngarbage\n").unwrap()),
    ];
    for (what, damage) in damage {
        let sandbox = Sandbox::new();
        let bare = sandbox.bare("server.git", &[]);
        history::line(&sandbox, &bare, "refs/heads/main", 1);
        damage(&bare);
        let listed = Repository::open(&bare, None).and_then(|repository| repository.references());
        assert!(listed.is_err(), "{what}: {listed:?}");
        let found = Repository::open(&bare, None).and_then(|r| r.resolve(&name("refs/heads/bad")));
        assert!(found.is_err(), "{what}: {found:?}");
    }
}

#[test]
fn n03_a_work_tree_is_known_by_its_common_directory() {
    let sandbox = Sandbox::new();
    let bare = sandbox.bare("server.git", &[]);
    let ids = history::line(&sandbox, &bare, "refs/heads/main", 1);
    let linked = sandbox.path("linked");
    sandbox.git(&bare, &["worktree", "add", "--quiet", linked.to_str().unwrap(), "main"]).ok();
    let git_dir = bare.join("worktrees/linked");
    let repository = open(&git_dir);
    assert_eq!(repository.common_dir(), bare);
    assert_eq!(repository.resolve(&name("refs/heads/main")).unwrap().value, Some(id(&ids[0])));
    assert!(repository.objects().find(&id(&ids[0])).unwrap().is_some());
}

// --- repositories that cannot be read faithfully ------------------------------------------------

#[test]
fn reftable_is_refused() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("server.git");
    let made = sandbox
        .git(sandbox.root(), &["init", "--quiet", "--bare", "--ref-format=reftable", path.to_str().unwrap()]);
    if !made.status.success() {
        assert!(made.stderr.contains("ref-format"), "{}", made.stderr);
        // A git that does not know the format has not made it: then it is made by hand.
        sandbox.git(sandbox.root(), &["init", "--quiet", "--bare", path.to_str().unwrap()]).ok();
        sandbox.git(&path, &["config", "core.repositoryFormatVersion", "1"]).ok();
        sandbox.git(&path, &["config", "extensions.refStorage", "reftable"]).ok();
        fs::create_dir(path.join("reftable")).unwrap();
    }
    let error = refusal(&path, None);
    assert!(matches!(error, GitError::Unsupported { .. } | GitError::Open { .. }), "{error}");
}

#[test]
fn unknown_extensions_are_refused() {
    for (version, key, value) in [
        ("1", "extensions.somethingNew", "true"),
        ("1", "extensions.partialClone", "origin"),
        ("1", "extensions.refStorage", "other"),
        ("1", "extensions.compatObjectFormat", "sha256"),
        ("2", "core.bare", "true"),
    ] {
        let sandbox = Sandbox::new();
        let bare = sandbox.bare("server.git", &[]);
        let config = bare.join("config");
        let config = config.to_str().unwrap();
        for (key, value) in [("core.repositoryFormatVersion", version), (key, value)] {
            sandbox.git(sandbox.root(), &["config", "--file", config, key, value]).ok();
        }
        let error = refusal(&bare, None);
        let shown = matches!(error, GitError::Unsupported { .. } | GitError::Open { .. });
        assert!(shown, "{key}: {error}");
    }
}

#[test]
fn n06_a_shallow_repository_is_refused() {
    let sandbox = Sandbox::new();
    let origin = sandbox.bare("origin.git", &[]);
    history::line(&sandbox, &origin, "refs/heads/main", 5);
    let url = format!("file://{}", origin.display());
    let shallow = sandbox.path("shallow.git");
    let arguments = ["clone", "--quiet", "--bare", "--depth=2", &url, shallow.to_str().unwrap()];
    sandbox.git(sandbox.root(), &arguments).ok();
    let error = refusal(&shallow, None);
    assert!(matches!(error, GitError::Shallow { .. }), "{error}");
    assert!(error.to_string().contains("--unshallow"), "it names the way out: {error}");
}

#[test]
fn what_is_no_repository_is_refused() {
    let sandbox = Sandbox::new();
    let bare = sandbox.bare("server.git", &[]);
    assert!(matches!(refusal(&sandbox.path("home"), None), GitError::Open { .. }));
    assert!(matches!(refusal(&sandbox.path("nowhere"), None), GitError::Open { .. }));
    overwrite(&bare.join("config"), b"[core\nnonsense");
    assert!(matches!(refusal(&bare, None), GitError::Open { .. }));
}

#[test]
fn replace_refs_and_grafts_do_not_apply() {
    let sandbox = Sandbox::new();
    let bare = sandbox.bare("server.git", &[]);
    let ids = history::line(&sandbox, &bare, "refs/heads/main", 4);
    let stranger = history::line(&sandbox, &bare, "refs/heads/other", 6).pop().unwrap();
    sandbox.git(&bare, &["replace", &ids[2], &stranger]).ok();
    fs::create_dir_all(bare.join("info")).unwrap();
    fs::write(bare.join("info/grafts"), format!("{}\n", ids[3])).unwrap();
    let cut = sandbox.git(&bare, &["rev-list", "--count", &ids[3]]).ok();
    assert_eq!(cut.line(), "1", "git itself sees a history that was cut");

    let repository = open(&bare);
    let mut buffer = Vec::new();
    repository.objects().read(&id(&ids[2]), &mut buffer).unwrap().unwrap();
    let text = String::from_utf8(buffer).unwrap();
    assert!(text.contains(&ids[1]) && text.contains("OPS-3 line"), "{text}");
    let never = || Ok::<(), GitError>(());
    let relation = relate(repository.objects(), id(&ids[0]), id(&ids[3]), &never).unwrap();
    assert_eq!(relation, Relation::Descends);
}

#[test]
fn content_that_its_id_does_not_name_is_corrupt() {
    let sandbox = Sandbox::new();
    for format in ["sha1", "sha256"] {
        let bare = sandbox.bare(format, &[&format!("--object-format={format}")]);
        let ids = history::line(&sandbox, &bare, "refs/heads/main", 2);
        let other = fs::read(loose(&bare, &ids[1])).unwrap();
        overwrite(&loose(&bare, &ids[0]), &other);
        let mut buffer = Vec::new();
        let found = open(&bare).objects().read(&id(&ids[0]), &mut buffer);
        assert!(matches!(found, Err(GitError::Corrupt { .. })), "{found:?}");
    }
}

#[test]
fn a_damaged_object_is_an_error_and_not_an_absence() {
    let sandbox = Sandbox::new();
    let bare = sandbox.bare("server.git", &[]);
    let ids = history::line(&sandbox, &bare, "refs/heads/main", 2);
    let whole = fs::read(loose(&bare, &ids[0])).unwrap();
    let mut buffer = Vec::new();
    for (what, content) in [("empty", &b""[..]), ("garbage", b"garbage"), ("cut", &whole[..whole.len() / 2])]
    {
        overwrite(&loose(&bare, &ids[0]), content);
        let found = open(&bare).objects().read(&id(&ids[0]), &mut buffer);
        assert!(found.is_err(), "{what}: {found:?}");
    }
    overwrite(&loose(&bare, &ids[0]), &whole);

    history::line(&sandbox, &bare, "refs/heads/long", 150);
    sandbox.git(&bare, &["gc", "--quiet", "--prune=now"]).ok();
    let packs = fs::read_dir(bare.join("objects/pack")).unwrap().map(|entry| entry.unwrap().path());
    let (index, pack) =
        packs.fold((None, None), |(index, pack), path| match path.extension().and_then(|e| e.to_str()) {
            Some("idx") => (Some(path), pack),
            Some("pack") => (index, Some(path)),
            _ => (index, pack),
        });
    // Without its index a pack is not there for anybody, git included; what may not happen is that
    // something else is found in it.
    for (path, may_be_absent) in [(pack.unwrap(), false), (index.unwrap(), true)] {
        let whole = fs::read(&path).unwrap();
        let damage = [("empty", &b""[..]), ("garbage", &[7; 4096]), ("cut", &whole[..whole.len() / 2])];
        for (what, content) in damage {
            overwrite(&path, content);
            for hex in &ids {
                let mut buffer = Vec::new();
                let found = open(&bare).objects().read(&id(hex), &mut buffer);
                let expected = match &found {
                    Err(_) | Ok(Some(ObjectKind::Commit)) => true,
                    Ok(None) => may_be_absent,
                    Ok(Some(_)) => false,
                };
                assert!(expected, "{what} {}: {found:?}", path.display());
            }
        }
        overwrite(&path, &whole);
    }
}

/// A stream of zlib that compresses nothing.
fn stored(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let count = data.chunks(0xffff).count();
    for (index, block) in data.chunks(0xffff).enumerate() {
        let length = u16::try_from(block.len()).unwrap();
        out.push(u8::from(index + 1 == count));
        out.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
        out.extend(block);
    }
    let (a, b) = data.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    out.extend((b << 16 | a).to_be_bytes());
    out
}

/// A size as entries of packs begin with it: four bits beside the type, then seven each.
fn entry_head(kind: u8, size: usize) -> Vec<u8> {
    let mut out = vec![kind << 4 | (size & 0xf) as u8];
    out.extend(little(size >> 4));
    if size >> 4 == 0 {
        out.pop();
    } else {
        out[0] |= 0x80;
    }
    out
}

/// A number in groups of seven bits, the lowest first.
fn little(mut number: usize) -> Vec<u8> {
    let mut out = vec![(number & 0x7f) as u8];
    while number >= 0x80 {
        *out.last_mut().unwrap() |= 0x80;
        number >>= 7;
        out.push((number & 0x7f) as u8);
    }
    out
}

/// A pack whose second object is small and a difference to the first one, which has `size` bytes.
fn pack_on_a_base_of(size: usize, small: &[u8]) -> Vec<u8> {
    let base = [small, &vec![b'x'; size - small.len()]].concat();
    let mut pack = [&b"PACK\0\0\0\x02\0\0\0\x02"[..], &entry_head(1, size), &stored(&base)].concat();
    let mut back = pack.len() - 12;
    let count = u16::try_from(small.len()).unwrap().to_le_bytes();
    let delta = [little(size), little(small.len()), vec![0xb0, count[0], count[1]]].concat();
    pack.extend(entry_head(6, delta.len()));
    let mut distance = vec![(back & 0x7f) as u8];
    while back >= 0x80 {
        back = (back >> 7) - 1;
        distance.insert(0, (back & 0x7f) as u8 | 0x80);
    }
    pack.extend([distance, stored(&delta)].concat());
    let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha1);
    hasher.update(&pack);
    pack.extend(hasher.try_finalize().unwrap().as_slice());
    pack
}

/// Commits of a few hundred bytes cost a pusher nothing that are stored as differences to a commit of
/// hundreds of megabytes, which compresses to nothing itself. Reading each means to unpack the other.
#[test]
fn n23_what_stands_on_a_huge_object_is_not_read() {
    let sandbox = Sandbox::new();
    let who = "A <a@example.org> 1748736000 +0000";
    let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    let small = format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nsmall {}\n", "y".repeat(300));
    for (size, readable) in [(1 << 20, true), ((64 << 20) + 1, false)] {
        let bare = sandbox.bare(&format!("{size}.git"), &[]);
        let path = bare.join("objects/pack/pack-crafted.pack");
        fs::write(&path, pack_on_a_base_of(size, small.as_bytes())).unwrap();
        sandbox.git(&bare, &["index-pack", path.to_str().unwrap()]).ok();
        let hash = ["hash-object", "-t", "commit", "--stdin"];
        let hex = sandbox.git_with_input(&bare, &hash, small.as_bytes()).ok().line().to_owned();
        assert_eq!(sandbox.git(&bare, &["cat-file", "commit", &hex]).ok().stdout, small);
        let repository = open(&bare);
        let found = repository.objects().find(&id(&hex)).unwrap().unwrap();
        assert_eq!((found.kind, found.size), (ObjectKind::Commit, small.len() as u64));
        let mut buffer = Vec::new();
        let read = repository.objects().read(&id(&hex), &mut buffer);
        assert_eq!(read.is_ok(), readable, "{read:?}");
        assert_eq!(buffer == small.as_bytes(), readable);
    }
}

#[test]
fn n22_a_quarantine_lies_in_the_object_directory_or_is_refused() {
    let sandbox = Sandbox::new();
    let bare = sandbox.bare("server.git", &[]);
    let outside = sandbox.path("outside");
    fs::create_dir(&outside).unwrap();
    let link = bare.join("objects/tmp_objdir-incoming-link");
    symlink(&outside, &link).unwrap();
    let nested = bare.join("objects/pack/tmp_objdir-incoming-nested");
    fs::create_dir_all(&nested).unwrap();
    let file = bare.join("objects/tmp_objdir-incoming-file");
    fs::write(&file, "").unwrap();
    let dotted = bare.join("objects/../../outside");
    let good = bare.join("objects/tmp_objdir-incoming-good");
    fs::create_dir(&good).unwrap();
    let absent = bare.join("objects/tmp_objdir-incoming-absent");
    for path in [&outside, &link, &nested, &file, &dotted, &absent, &bare.join("objects")] {
        let error = refusal(&bare, Some(path));
        assert!(matches!(error, GitError::Quarantine { .. }), "{}: {error}", path.display());
    }
    assert!(Repository::open(&bare, Some(&good)).is_ok());
}

// --- histories whose dates lie ------------------------------------------------------------------

#[test]
fn relations_are_what_git_says_they_are() {
    for (seed, dates) in [(1, Dates::Honest), (2, Dates::Random), (3, Dates::Reversed), (4, Dates::Random)] {
        let sandbox = Sandbox::new();
        let bare = sandbox.bare("server.git", &[]);
        let dag = Dag::random(&sandbox, &bare, seed, 60, dates);
        let repository = open(&bare);
        let never = || Ok::<(), GitError>(());
        let mut random = Random(seed + 100);
        for round in 0..3600 {
            // All pairs against the known history; git itself, a process each, for some of them.
            let (old, new) = (round / 60, round % 60);
            let wanted = dag.closure(&[new]).contains(&old);
            let found = relate(repository.objects(), id(&dag.ids[old]), id(&dag.ids[new]), &never).unwrap();
            assert_eq!(found == Relation::Descends, wanted, "{dates:?}: {old} in {new}");
            if random.below(40) == 0 {
                let arguments = ["merge-base", "--is-ancestor", &dag.ids[old], &dag.ids[new]];
                let git = sandbox.git(&bare, &arguments).code() == Some(0);
                assert_eq!(git, wanted, "{dates:?}: git of {old} in {new}");
            }
        }
    }
}

/// A record that holds everything behind some tips.
struct Accepted(HashSet<ObjectId>, Standing);

impl Frontier for Accepted {
    fn standing(&self, _: &str, _: &RefName, commit: &ObjectId) -> Result<Option<Standing>, CollectError> {
        Ok(self.0.contains(commit).then_some(self.1))
    }

    fn has_record(&self, _: &str) -> Result<bool, CollectError> {
        Ok(true)
    }

    fn tainted(&self, _: &str, _: &[(String, i64)]) -> Result<Vec<ObjectId>, CollectError> {
        Ok(Vec::new())
    }

    fn judged_tip(&self, _: &RefName) -> Result<Option<ObjectId>, CollectError> {
        Ok(None)
    }
}

/// The commits that a push of `new` introduces, in the order in which they are judged.
fn introduced(repository: &Repository, new: ObjectId, frontier: &Accepted) -> Vec<ObjectId> {
    collected(repository, new, frontier).refs[0].introduced[&0].clone()
}

fn collected(repository: &Repository, new: ObjectId, frontier: &Accepted) -> PushFacts {
    let options = toml::toml! { projects = ["OPS"] };
    let rule = rules::build("missing-ticket", &toml::Value::Table(options)).unwrap().unwrap();
    let everything = vec![Pattern::new("**").unwrap()];
    let refs = Refs::new(["refs/heads/**"]).unwrap();
    let ruleset = Ruleset::new("all", everything, refs, Enforcement::Enforce, vec![rule]).unwrap();
    let policy = Rulesets { rulesets: vec![ruleset], uncovered: Uncovered::Refuse };
    let keyring = no_keys();
    let stop = AtomicBool::new(false);
    let facts = collect(Inputs {
        repository,
        context: PushContext {
            request_id: RequestId::from_random([1; 16]),
            repository: RepositoryRef { id: RepositoryId("test".into()), name: "test".into() },
            pusher: Pusher::Unknown,
            push_options: Vec::new(),
            received_at: Timestamp::now(),
        },
        pusher: None,
        updates: Updates {
            updates: vec![RefUpdate { name: name("refs/heads/pushed"), old: None, new: Some(new) }],
            faults: Vec::new(),
        },
        present: Present::InRepository,
        shallow_push: false,
        policy: &policy,
        limits: &Limits::default(),
        signatures: &countersign::signature::Rules::default(),
        namespaces: &["refs/heads/".to_owned()],
        allow_symref_push: false,
        keyring: &keyring,
        frontier,
        budget: Budget { deadline: Instant::now() + Duration::from_secs(60), seconds: 60, abandoned: &stop },
    })
    .unwrap();
    assert_eq!(facts.faults, []);
    facts
}

#[test]
fn n08_a_push_on_top_of_commits_of_one_ref_is_known_as_such() {
    let sandbox = Sandbox::new();
    let bare = sandbox.bare("server.git", &[]);
    let dag = Dag::random(&sandbox, &bare, 5, 20, Dates::Honest);
    let repository = open(&bare);
    for (standing, own) in [(Standing::Shared, false), (Standing::OwnRef, true)] {
        let accepted = dag.closure(&[10]).iter().map(|index| id(&dag.ids[*index])).collect();
        let facts = collected(&repository, id(&dag.ids[10]), &Accepted(accepted, standing));
        assert!(facts.refs[0].introduced[&0].is_empty());
        assert_eq!(facts.refs[0].own_ref.contains(&0), own);
    }
}

fn no_keys() -> Keyring {
    Keyring::empty()
}

#[test]
fn n07_introduced_commits_are_what_git_says_they_are() {
    for (seed, dates) in [(11, Dates::Honest), (12, Dates::Random), (13, Dates::Reversed)] {
        let sandbox = Sandbox::new();
        let bare = sandbox.bare("server.git", &[]);
        let dag = Dag::random(&sandbox, &bare, seed, 60, dates);
        // Without it, git's own answer has commits too many where dates lie.
        sandbox.git(&bare, &["commit-graph", "write", "--reachable"]).ok();
        let repository = open(&bare);
        let indexes = dag.indexes();
        let mut random = Random(seed + 100);
        for _ in 0..150 {
            let new = random.below(60);
            let tips: Vec<usize> = (0..random.below(5)).map(|_| random.below(60)).collect();
            let hidden = dag.closure(&tips);
            let accepted = hidden.iter().map(|index| id(&dag.ids[*index])).collect();
            let frontier = Accepted(accepted, Standing::Shared);
            let found = introduced(&repository, id(&dag.ids[new]), &frontier);

            let wanted: HashSet<usize> = dag.closure(&[new]).difference(&hidden).copied().collect();
            let order: Vec<usize> = found.iter().map(|id| indexes[id.to_string().as_str()]).collect();
            let set: HashSet<usize> = order.iter().copied().collect();
            assert_eq!(order.len(), set.len(), "each once");
            assert_eq!(set, wanted, "{dates:?}: {new} without {tips:?}");
            for (place, index) in order.iter().enumerate() {
                let before = &order[..place];
                let parents = dag.parents[*index].iter().filter(|parent| wanted.contains(parent));
                assert!(parents.clone().all(|parent| before.contains(parent)), "parents come first");
            }

            let mut arguments = vec!["rev-list", "--topo-order", &dag.ids[new], "--not"];
            arguments.extend(tips.iter().map(|tip| dag.ids[*tip].as_str()));
            let git = sandbox.git(&bare, &arguments).ok();
            let git: HashSet<usize> = git.stdout.lines().map(|line| indexes[line]).collect();
            assert_eq!(git, wanted, "{dates:?}: git of {new} without {tips:?}");
        }
    }
}
