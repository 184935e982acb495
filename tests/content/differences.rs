//! Differences between trees, compared with git's own.

use crate::support::history::Random;
use crate::support::sandbox::Sandbox;
use crate::world::{To, World, by_git, complete, id, never, paths};
use countersign::domain::{Change, ObjectFormat, ObjectId};
use countersign::git::{ChangeBudget, Collision, Differ, Repository};
use std::collections::BTreeMap;
use std::path::Path;

/// A state of a work tree: what each path is.
type Files = BTreeMap<Vec<u8>, (&'static str, Vec<u8>)>;

const NAMES: [&[u8]; 11] =
    [b"a", b"b", b"a.b", b"a-b", b"a0", b"A", b"\xc3\xa9", b"\xff", b"\x01 \"q\\", b"a b", b"zz"];
const MODES: [&str; 6] = ["100644", "100644", "100644", "100755", "120000", "160000"];

fn random_path(random: &mut Random) -> Vec<u8> {
    let depth = 1 + random.below(4);
    let parts: Vec<&[u8]> = (0..depth).map(|_| NAMES[random.below(NAMES.len())]).collect();
    parts.join(&b'/')
}

fn step(random: &mut Random, files: &mut Files) {
    for _ in 0..1 + random.below(6) {
        let existing =
            (!files.is_empty()).then(|| files.keys().nth(random.below(files.len())).cloned().unwrap());
        match (random.below(4), existing) {
            (0, Some(path)) => drop(files.remove(&path)),
            (1, Some(path)) => {
                // Its content or mode, or nothing at all.
                let mode = MODES[random.below(MODES.len())];
                files.insert(path, (mode, vec![b'0' + u8::try_from(random.below(3)).unwrap()]));
            }
            _ => {
                let path = random_path(random);
                // What was in the way is replaced: a file by a directory, a directory by a file.
                let below = [&path[..], b"/"].concat();
                files.retain(|other, _| {
                    !other.starts_with(&below) && !path.starts_with(&[&other[..], b"/"].concat())
                });
                let mode = MODES[random.below(MODES.len())];
                files.insert(path, (mode, vec![b'0' + u8::try_from(random.below(3)).unwrap()]));
            }
        }
    }
}

/// Writes the states as commits and gives the ids of their trees.
fn import(sandbox: &Sandbox, repository: &Path, states: &[Files], format: ObjectFormat) -> Vec<String> {
    let mut stream: Vec<u8> = Vec::new();
    for (index, files) in states.iter().enumerate() {
        let date = 1_600_000_000 + index;
        stream.extend(
            format!(
                "commit refs/heads/main\nmark :{}\ncommitter C <c@example.com> {date} +0000\n",
                index + 1
            )
            .bytes(),
        );
        stream.extend(b"data 1\nx\n");
        if index > 0 {
            stream.extend(format!("from :{index}\n").bytes());
        }
        stream.extend(b"deleteall\n");
        for (path, (mode, content)) in files {
            let mut quoted = b"\"".to_vec();
            for byte in path {
                quoted.extend(format!("\\{byte:03o}").bytes());
            }
            quoted.push(b'"');
            if *mode == "160000" {
                let commit = format!("{:02x}", content[0]).repeat(format.hex_len() / 2);
                stream.extend(format!("M 160000 {commit} ").bytes());
                stream.extend(quoted);
                stream.push(b'\n');
            } else {
                stream.extend(format!("M {mode} inline ").bytes());
                stream.extend(quoted);
                stream.extend(format!("\ndata {}\n", content.len()).bytes());
                stream.extend(content);
                stream.push(b'\n');
            }
        }
    }
    sandbox.git_with_input(repository, &["fast-import", "--quiet", "--force"], &stream).ok();
    let listed = sandbox.git(repository, &["log", "--reverse", "--format=%T", "main"]).ok().stdout;
    listed.lines().map(str::to_owned).collect()
}

#[test]
fn random_histories_differ_as_git_says() {
    for (seed, format) in [(1, ObjectFormat::Sha1), (2, ObjectFormat::Sha256), (3, ObjectFormat::Sha1)] {
        let sandbox = Sandbox::new();
        let bare = sandbox.bare("r.git", &[&format!("--object-format={}", format.name())]);
        let mut random = Random(seed);
        let mut states = vec![Files::new()];
        for _ in 0..40 {
            let mut files = states.last().unwrap().clone();
            step(&mut random, &mut files);
            states.push(files);
        }
        let trees = import(&sandbox, &bare, &states, format);
        assert_eq!(trees.len(), states.len());
        let repository = Repository::open(&bare, None).unwrap();
        let mut differ = Differ::new(repository.objects(), ChangeBudget::default()).look_for_collisions();
        let mut pairs: Vec<(usize, usize)> = (1..trees.len()).map(|index| (index - 1, index)).collect();
        pairs.extend((0..20).map(|_| (random.below(trees.len()), random.below(trees.len()))));
        let mut total = 0;
        for (old, new) in pairs {
            let ours =
                complete(differ.compare(Some(id(&trees[old])), Some(id(&trees[new])), &never).unwrap());
            let wanted = by_git(&sandbox, &bare, &trees[old], &trees[new]);
            assert_eq!(ours.changes, wanted, "seed {seed}, {old} to {new}");
            assert_eq!(ours.empty_directories, Vec::<Vec<u8>>::new());
            total += wanted.len();
            // And by what is known of the states.
            assert_eq!(ours.changes.len(), changed(&states[old], &states[new]));
            // Back is the same with the sides exchanged.
            let back =
                complete(differ.compare(Some(id(&trees[new])), Some(id(&trees[old])), &never).unwrap());
            let exchanged: Vec<Change> =
                back.changes.into_iter().map(|c| Change { path: c.path, old: c.new, new: c.old }).collect();
            assert_eq!(exchanged, ours.changes);
        }
        assert!(total > 300, "too little happened: {total}");
        // Against nothing, everything is new.
        for (tree, files) in trees.iter().zip(&states) {
            let all = complete(differ.compare(None, Some(id(tree)), &never).unwrap());
            let wanted: Vec<&[u8]> = files.keys().map(Vec::as_slice).collect();
            assert_eq!(paths(&all), wanted);
            assert!(all.changes.iter().all(|change| change.old.is_none() && change.new.is_some()));
        }
    }
}

fn changed(old: &Files, new: &Files) -> usize {
    let gone = old.keys().filter(|path| !new.contains_key(*path)).count();
    gone + new.iter().filter(|(path, file)| old.get(*path) != Some(file)).count()
}

#[test]
fn t05_a_file_that_moves_is_seen_at_both_ends() {
    let world = World::sha1();
    let file = world.blob(To::Push, b"the same bytes, long enough to be taken for a rename\n");
    let before = world.tree(To::Push, &[("100644", b"guarded", file)]);
    let after = world.tree(To::Push, &[("100644", b"free", file)]);
    let difference = complete(world.compare(Some(before), Some(after)));
    assert_eq!(paths(&difference), [b"free".as_slice(), b"guarded"]);
    assert!(difference.changes[0].old.is_none() && difference.changes[1].new.is_none());
}

#[test]
fn the_same_on_both_sides_costs_nothing() {
    let world = World::sha1();
    let absent = id(&"7".repeat(40));
    let repository = world.open();
    let mut differ = Differ::new(repository.objects(), ChangeBudget::default());
    // Not even read.
    let same = complete(differ.compare(Some(absent), Some(absent), &never).unwrap());
    assert_eq!((same.changes.len(), differ.spent().entries), (0, 0));
    let below = world.tree(To::Push, &[("40000", b"same", absent)]);
    let file = world.blob(To::Push, b"x");
    let after = world.tree(To::Push, &[("100644", b"new", file), ("40000", b"same", absent)]);
    let repository = world.open();
    let mut differ = Differ::new(repository.objects(), ChangeBudget::default());
    let difference = complete(differ.compare(Some(below), Some(after), &never).unwrap());
    assert_eq!(paths(&difference), [b"new".as_slice()]);
    assert_eq!(differ.spent().entries, 3);
}

fn names(collision: &Collision) -> Vec<(&[u8], bool)> {
    collision.names.iter().map(|name| (name.name.as_slice(), name.added)).collect()
}

#[test]
fn t22_names_that_collide_where_case_does_not_count() {
    let world = World::sha1();
    let file = world.blob(To::Push, b"x");
    let other = world.blob(To::Push, b"y");
    let tree = |names: &[&[u8]], content: ObjectId| {
        let entries: Vec<_> = names.iter().map(|name| ("100644", *name, content)).collect();
        world.tree(To::Push, &entries)
    };
    let before = tree(&[b"README", b"other"], file);
    let after = tree(&[b"README", b"other", b"readme"], file);
    let found = complete(world.compare(Some(before), Some(after))).collisions;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].directory, b"");
    assert_eq!(names(&found[0]), [(b"README".as_slice(), false), (b"readme", true)]);
    // In every directory, the names of directories included, in every script and form.
    let dir = tree(&["e\u{301}".as_bytes(), "\u{c9}".as_bytes()], file);
    let root = world.tree(To::Push, &[("40000", b"Docs", dir), ("100644", b"docs", file)]);
    let found = complete(world.compare(None, Some(root))).collisions;
    let listed: Vec<(&[u8], usize)> = found.iter().map(|c| (c.directory.as_slice(), c.names.len())).collect();
    assert_eq!(listed, [(b"".as_slice(), 2), (b"Docs", 2)]);
    // One that was there before is nobody's fault now.
    let changed = tree(&[b"README", b"other", b"readme"], other);
    assert_eq!(complete(world.compare(Some(after), Some(changed))).collisions, []);
    let grown = tree(&[b"README", b"new", b"other", b"readme"], other);
    assert_eq!(complete(world.compare(Some(after), Some(grown))).collisions, []);
    // The same names in two directories do not collide.
    let a = tree(&[b"x"], file);
    let b = tree(&[b"X"], file);
    let root = world.tree(To::Push, &[("40000", b"a", a), ("40000", b"b", b)]);
    assert_eq!(complete(world.compare(None, Some(root))).collisions, []);
}

#[test]
fn t22_many_collisions_are_counted_and_new_ones_come_first() {
    let world = World::sha1();
    let file = world.blob(To::Push, b"x");
    let mut old: Vec<Vec<u8>> = Vec::new();
    for index in 0..600 {
        old.push(format!("A{index:03}").into_bytes());
        old.push(format!("a{index:03}").into_bytes());
    }
    let tree = |names: &[Vec<u8>]| {
        let mut names: Vec<&Vec<u8>> = names.iter().collect();
        names.sort();
        let entries: Vec<_> = names.iter().map(|name| ("100644", name.as_slice(), file)).collect();
        world.tree(To::Push, &entries)
    };
    let before = tree(&old);
    let all = complete(world.compare(None, Some(before)));
    assert_eq!((all.collisions.len(), all.more_collisions), (256, 344));
    old.extend([b"z".to_vec(), b"Z".to_vec()]);
    let grown = complete(world.compare(Some(before), Some(tree(&old))));
    assert_eq!((grown.collisions.len(), grown.more_collisions), (1, 0));
    assert_eq!(names(&grown.collisions[0]), [(b"Z".as_slice(), true), (b"z", true)]);
    // Thousands of spellings of one name: the added one is among those that are kept.
    let spelled = |bits: u32| -> Vec<u8> {
        (0..12).map(|bit| if bits >> bit & 1 == 1 { b'A' + bit } else { b'a' + bit }).collect()
    };
    let many: Vec<Vec<u8>> = (0..1000).map(spelled).collect();
    let (before, after) = (tree(&many[..999]), tree(&many));
    let found = complete(world.compare(Some(before), Some(after))).collisions;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].names.len(), 257);
    assert_eq!(found[0].names.iter().filter(|name| name.added).count(), 1);
}
