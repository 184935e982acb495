//! Trees that are made to hurt: small ones that stand for very much, deep ones, and malformed ones, by
//! who brought them.

use crate::world::{To, World, complete, never, paths, raw_tree};
use countersign::domain::{ObjectFormat, ObjectId};
use countersign::git::{
    ChangeBudget, Comparison, Counted, Differ, GitError, MalformedTree, Overrun, TreeFaultCode,
};
use std::time::{Duration, Instant};

/// Ten levels, each with ten times the level below it: 10 to the power of 10 files.
fn bomb(world: &World, lowest: ObjectId, mode: &str) -> ObjectId {
    let mut inner = lowest;
    let names: Vec<String> = (0..10).map(|index| format!("n{index}")).collect();
    for level in 0..10 {
        let mode = if level == 0 { mode } else { "40000" };
        let entries: Vec<_> = names.iter().map(|name| (mode, name.as_bytes(), inner)).collect();
        inner = world.tree(To::Push, &entries);
    }
    inner
}

fn overrun(comparison: Comparison) -> Overrun {
    match comparison {
        Comparison::TooLarge(overrun) => overrun,
        Comparison::Complete(difference) => panic!("complete, {} changes", difference.changes.len()),
        Comparison::Malformed(tree) => panic!("{tree:?}"),
    }
}

#[test]
fn n23_a_tree_bomb_ends_at_the_budget() {
    let world = World::sha1();
    let file = world.blob(To::Push, b"x");
    let root = bomb(&world, file, "100644");
    let repository = world.open();
    let started = Instant::now();
    let budget = ChangeBudget { changes: 100_000, ..ChangeBudget::default() };
    let mut differ = Differ::new(repository.objects(), budget).look_for_collisions();
    let over = overrun(differ.compare(None, Some(root), &never).unwrap());
    assert_eq!(over, Overrun { what: Counted::Changes, limit: 100_000, reached: 100_001 });
    // So it is from then on, whatever is asked.
    assert_eq!(overrun(differ.compare(None, None, &never).unwrap()), over);
    let budget = ChangeBudget { entries: 300_000, ..ChangeBudget::default() };
    let mut differ = Differ::new(repository.objects(), budget);
    assert_eq!(overrun(differ.compare(Some(root), None, &never).unwrap()).what, Counted::Entries);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn n23_a_bomb_without_a_single_file_ends_too() {
    let world = World::sha1();
    let nothing = world.tree(To::Push, &[]);
    let root = bomb(&world, nothing, "40000");
    let repository = world.open();
    let budget = ChangeBudget { entries: 200_000, ..ChangeBudget::default() };
    let mut differ = Differ::new(repository.objects(), budget);
    assert_eq!(overrun(differ.compare(None, Some(root), &never).unwrap()).what, Counted::Entries);
    let budget = ChangeBudget { changes: 1000, ..ChangeBudget::default() };
    let mut differ = Differ::new(repository.objects(), budget);
    assert_eq!(overrun(differ.compare(None, Some(root), &never).unwrap()).what, Counted::Changes);
}

#[test]
fn n23_a_deadline_ends_a_bomb() {
    let world = World::sha1();
    let file = world.blob(To::Push, b"x");
    let root = bomb(&world, file, "100644");
    let repository = world.open();
    let asked = std::cell::Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        if asked.get() > 500 {
            return Err(GitError::Refs { why: "time is over".to_owned() });
        }
        Ok(())
    };
    let mut differ = Differ::new(repository.objects(), ChangeBudget::default());
    let ended = differ.compare(None, Some(root), &stop);
    assert!(matches!(&ended, Err(GitError::Refs { why }) if why == "time is over"), "{ended:?}");
    assert!(differ.spent().entries <= 501 * 10);
}

#[test]
fn n23_deep_trees_and_long_paths_are_counted() {
    let world = World::sha1();
    let file = world.blob(To::Push, b"x");
    let mut tree = world.tree(To::Push, &[("100644", b"file", file)]);
    for _ in 0..40 {
        tree = world.tree(To::Push, &[("40000", b"d", tree)]);
    }
    let repository = world.open();
    let ask = |budget: ChangeBudget| {
        Differ::new(repository.objects(), budget).compare(None, Some(tree), &never).unwrap()
    };
    let budget = ChangeBudget::default();
    assert_eq!(
        paths(&complete(ask(ChangeBudget { depth: 40, ..budget }))),
        [format!("{}file", "d/".repeat(40)).as_bytes()]
    );
    let over = overrun(ask(ChangeBudget { depth: 39, ..budget }));
    assert_eq!(over, Overrun { what: Counted::Depth, limit: 39, reached: 40 });
    complete(ask(ChangeBudget { one_path_bytes: 84, ..budget }));
    assert_eq!(overrun(ask(ChangeBudget { one_path_bytes: 83, ..budget })).what, Counted::OnePathBytes);
    assert_eq!(overrun(ask(ChangeBudget { path_bytes: 83, ..budget })).what, Counted::PathBytes);
    assert_eq!(overrun(ask(ChangeBudget { tree_bytes: 100, ..budget })).what, Counted::TreeBytes);
    assert_eq!(overrun(ask(ChangeBudget { one_tree_bytes: 20, ..budget })).what, Counted::OneTreeBytes);
    // Thousands of levels: no stack is used up.
    for _ in 0..3_000 {
        tree = world_tree_fast(&world, tree);
    }
    let repository = world.open();
    let budget = ChangeBudget { depth: u64::MAX, one_path_bytes: u64::MAX, ..budget };
    let mut differ = Differ::new(repository.objects(), budget);
    assert_eq!(complete(differ.compare(None, Some(tree), &never).unwrap()).changes.len(), 1);
}

/// A tree with nothing but another one in it, as a loose object that no program had to write.
fn world_tree_fast(world: &World, inner: ObjectId) -> ObjectId {
    let raw = raw_tree(&[("40000", b"d", inner)]);
    let hex =
        gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Tree, &raw).unwrap().to_string();
    let directory = world.quarantine.join(&hex[..2]);
    std::fs::create_dir_all(&directory).unwrap();
    let loose = [format!("tree {}\0", raw.len()).as_bytes(), &raw].concat();
    std::fs::write(directory.join(&hex[2..]), stored(&loose)).unwrap();
    crate::world::id(&hex)
}

/// A zlib stream that does not compress.
fn stored(raw: &[u8]) -> Vec<u8> {
    let length = u16::try_from(raw.len()).unwrap();
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in raw {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    let head = [&[0x78, 0x01, 0x01][..], &length.to_le_bytes(), &(!length).to_le_bytes()].concat();
    [&head[..], raw, &(b << 16 | a).to_be_bytes()].concat()
}

fn malformed(comparison: Comparison) -> MalformedTree {
    match comparison {
        Comparison::Malformed(tree) => tree,
        other => panic!("{other:?}"),
    }
}

/// Malformed trees that can be read all the same, by their fault.
fn readable(file: ObjectId, other: ObjectId) -> Vec<(TreeFaultCode, Vec<u8>)> {
    let tree = |entries: &[(&str, &[u8], ObjectId)]| raw_tree(entries);
    vec![
        (TreeFaultCode::NotSorted, tree(&[("100644", b"b", file), ("100644", b"a", file)])),
        (
            TreeFaultCode::DuplicateName,
            tree(&[("100644", b"a", file), ("100644", b"a", other), ("100644", b"b", file)]),
        ),
        (
            TreeFaultCode::SlashInName,
            tree(&[("100644", b"a", file), ("100644", b"b", file), ("100644", b"c/d", file)]),
        ),
        (TreeFaultCode::ZeroPaddedMode, tree(&[("0100644", b"a", file), ("100644", b"b", file)])),
        (TreeFaultCode::LegacyFileMode, tree(&[("100664", b"a", file), ("100644", b"b", file)])),
        (TreeFaultCode::UnknownMode, tree(&[("140000", b"a", file), ("100644", b"b", file)])),
    ]
}

#[test]
fn a_malformed_tree_is_refused_when_the_push_brings_it_and_read_when_it_was_there() {
    let cases = [ObjectFormat::Sha1, ObjectFormat::Sha256].into_iter().flat_map(|format| {
        (0..6).flat_map(move |index| [To::Push, To::Repository].map(|side| (format, index, side)))
    });
    for (format, index, side) in cases {
        let world = World::new(format);
        let (file, other) = (world.blob(To::Repository, b"x"), world.blob(To::Repository, b"y"));
        let (code, raw) = readable(file, other).swap_remove(index);
        let good = world.tree(To::Push, &[("100644", b"a", file), ("100644", b"b", file)]);
        let good_above = world.tree(To::Push, &[("40000", b"dir", good)]);
        let bad = world.object(side, "tree", &raw);
        let above = world.tree(To::Push, &[("40000", b"dir", bad)]);
        let forth = world.compare(Some(good_above), Some(above));
        let back = world.compare(Some(above), Some(good_above));
        if side == To::Push {
            let tree = malformed(forth);
            assert_eq!((tree.id, tree.path.as_slice()), (bad, b"dir".as_slice()));
            assert_eq!(tree.faults[0].code, code);
            assert!(tree.faults[0].path.starts_with(b"dir/"), "{:?}", tree.faults);
            assert_eq!(malformed(back), tree);
            // Sent although it was there: that is nothing new.
            world.object(To::Repository, "tree", &raw);
            complete(world.compare(Some(good_above), Some(above)));
        } else {
            complete(back);
            let changes = complete(forth);
            let wanted: &[&[u8]] = match code {
                TreeFaultCode::NotSorted | TreeFaultCode::ZeroPaddedMode | TreeFaultCode::LegacyFileMode => {
                    &[]
                }
                TreeFaultCode::SlashInName => &[b"dir/c/d"],
                _ => &[b"dir/a"],
            };
            assert_eq!(paths(&changes), wanted, "{code:?}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_an_error_and_never_nothing() {
    let world = World::sha1();
    let file = world.blob(To::Repository, b"x");
    let good = world.tree(To::Push, &[("100644", b"a", file)]);
    let mut cut = raw_tree(&[("100644", b"a", file), ("100644", b"b", file)]);
    cut.pop();
    let unreadable =
        [cut, raw_tree(&[("100644", b"", file)]), raw_tree(&[("9", b"a", file)]), b"\0".to_vec()];
    for raw in unreadable {
        let bad = world.object(To::Repository, "tree", &raw);
        let repository = world.open();
        let mut differ = Differ::new(repository.objects(), ChangeBudget::default());
        let ended = differ.compare(Some(bad), Some(good), &never);
        assert!(matches!(ended, Err(GitError::Object { id, .. }) if id == bad), "{ended:?}");
        let brought = world.object(To::Push, "tree", &[&raw[..], b"  "].concat());
        let brought = malformed(world.compare(Some(good), Some(brought)));
        assert!(!brought.faults.is_empty());
    }
    let repository = world.open();
    let mut differ = Differ::new(repository.objects(), ChangeBudget::default());
    let absent = crate::world::id(&"7".repeat(40));
    for (old, new) in [(Some(absent), Some(good)), (Some(good), Some(absent)), (None, Some(absent))] {
        let ended = differ.compare(old, new, &never);
        assert!(matches!(ended, Err(GitError::Missing { id, .. }) if id == absent), "{ended:?}");
    }
    // A tree that is said to be a directory and is a file, or is nowhere.
    let liar = world.tree(To::Repository, &[("40000", b"a", file)]);
    let void = world.tree(To::Repository, &[("40000", b"a", absent)]);
    let repository = world.open();
    let mut differ = Differ::new(repository.objects(), ChangeBudget::default());
    let ended = differ.compare(None, Some(liar), &never);
    assert!(matches!(ended, Err(GitError::Object { id, .. }) if id == file), "{ended:?}");
    let ended = differ.compare(None, Some(void), &never);
    assert!(
        matches!(ended, Err(GitError::Missing { id, child }) if id == absent && child == Some(void)),
        "{ended:?}"
    );
    for (named, code) in
        [(good, None), (file, Some(TreeFaultCode::NoTree)), (absent, Some(TreeFaultCode::MissingTree))]
    {
        let directory = world.tree(To::Push, &[("40000", b"b", named)]);
        let brought = world.tree(To::Push, &[("40000", b"a", directory)]);
        let found = world.compare(None, Some(brought));
        match code {
            None => assert_eq!(complete(found).changes.len(), 1),
            Some(code) => {
                let tree = malformed(found);
                assert_eq!((tree.id, tree.path.as_slice()), (directory, b"a".as_slice()));
                assert_eq!((tree.faults[0].code, tree.faults[0].path.as_slice()), (code, b"a/b".as_slice()));
            }
        }
    }
}

#[test]
fn a_tree_that_is_not_what_its_id_says_is_an_error() {
    let world = World::sha1();
    let file = world.blob(To::Repository, b"x");
    let good = world.tree(To::Push, &[("100644", b"a", file)]);
    let other = world.tree(To::Push, &[("100644", b"b", file)]);
    let path = |id: &ObjectId| world.quarantine.join(&id.to_string()[..2]).join(&id.to_string()[2..]);
    std::fs::remove_file(path(&good)).unwrap();
    std::fs::copy(path(&other), path(&good)).unwrap();
    let repository = world.open();
    let mut differ = Differ::new(repository.objects(), ChangeBudget::default());
    let ended = differ.compare(None, Some(good), &never);
    assert!(matches!(ended, Err(GitError::Corrupt { id, .. }) if id == good), "{ended:?}");
}

#[test]
fn old_modes_can_be_tolerated_and_broken_trees_cannot() {
    let world = World::sha1();
    let file = world.blob(To::Repository, b"x");
    let legacy = world.tree(To::Push, &[("100664", b"a", file)]);
    let mut raw = raw_tree(&[("100664", b"a", file), ("100644", b"b", file)]);
    raw.pop();
    let broken = world.object(To::Push, "tree", &raw);
    let repository = world.open();
    let tolerated = [TreeFaultCode::LegacyFileMode, TreeFaultCode::Truncated];
    let mut differ = Differ::new(repository.objects(), ChangeBudget::default()).tolerating(&tolerated);
    assert_eq!(complete(differ.compare(None, Some(legacy), &never).unwrap()).changes.len(), 1);
    assert_eq!(malformed(differ.compare(None, Some(broken), &never).unwrap()).id, broken);
}

#[test]
fn names_for_rules_to_judge_come_as_they_are() {
    let world = World::sha1();
    let file = world.blob(To::Push, b"x");
    let hooks = world.tree(To::Push, &[("100755", b"post-checkout", file)]);
    let git = world.tree(To::Push, &[("40000", b"hooks", hooks)]);
    let nothing = world.tree(To::Push, &[]);
    let root = world.tree(
        To::Push,
        &[
            ("40000", b"..", git),
            ("40000", b".GIT", git),
            ("40000", b".git", nothing),
            ("100644", b"a\nb\xff", file),
        ],
    );
    let difference = complete(world.compare(None, Some(root)));
    let wanted: [&[u8]; 3] = [b"../hooks/post-checkout", b".GIT/hooks/post-checkout", b"a\nb\xff"];
    assert_eq!(paths(&difference), wanted);
    // No change shows this one.
    assert_eq!(difference.empty_directories, [b".git".to_vec()]);
}
