//! Facts about blobs, small and huge, wherever git keeps them.

use crate::support::history::Random;
use crate::world::{To, World, id};
use countersign::domain::{BlobFacts, ObjectFormat, ObjectId, Program};
use countersign::git::{Content, GitError, Repository, blob_content, blob_facts, blob_size};
use std::path::Path;

fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut random = Random(seed);
    // No zero byte, so that a file is not binary by chance.
    (0..size).map(|_| 1 + u8::try_from(random.below(255)).unwrap()).collect()
}

fn facts(repository: &Repository, blob: ObjectId) -> BlobFacts {
    blob_facts(repository.objects(), &blob).unwrap()
}

/// A loose object that says one size and goes on like this, not to its end.
fn unfinished(directory: &Path, hex: &str, size: u64, content: &[u8]) {
    let raw = [format!("blob {size}\0").as_bytes(), content].concat();
    let length = u16::try_from(raw.len()).unwrap();
    // A stored block that is not the last one.
    let file = [&[0x78, 0x01, 0x00][..], &length.to_le_bytes(), &(!length).to_le_bytes(), &raw].concat();
    std::fs::create_dir_all(directory.join(&hex[..2])).unwrap();
    std::fs::write(directory.join(&hex[..2]).join(&hex[2..]), file).unwrap();
}

#[test]
fn of_a_huge_blob_only_the_beginning_is_read() {
    let world = World::sha1();
    // Five gigabytes, of which there are some kilobytes: whoever reads on fails.
    unfinished(
        &world.quarantine,
        &"12".repeat(20),
        5 << 30,
        &[b"#!/bin/sh\n".as_slice(), &noise(1, 20_000)].concat(),
    );
    let huge = facts(&world.open(), id(&"12".repeat(20)));
    assert_eq!(huge, BlobFacts { size: 5 << 30, binary: false, lfs: None, program: Some(Program::Script) });
    let mut binary = noise(2, 20_000);
    binary[7999] = 0;
    unfinished(&world.quarantine, &"13".repeat(20), 5 << 30, &binary);
    assert!(facts(&world.open(), id(&"13".repeat(20))).binary);
    // Less than was promised is an error, not a short file.
    unfinished(&world.quarantine, &"14".repeat(20), 5 << 30, &noise(3, 100));
    let repository = world.open();
    let ended = blob_facts(repository.objects(), &id(&"14".repeat(20)));
    assert!(matches!(ended, Err(GitError::Object { .. })), "{ended:?}");
    assert_eq!(
        blob_content(repository.objects(), &id(&"12".repeat(20)), 4096).unwrap(),
        Content::TooLong(5 << 30)
    );
}

#[test]
fn blobs_loose_packed_and_in_deltas() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let world = World::new(format);
        let mut contents: Vec<Vec<u8>> = Vec::new();
        let base = noise(7, 3 << 20);
        for index in 0..6_u8 {
            let mut content = base.clone();
            // Changes at the beginning and in the middle, and one version begins with what was far behind.
            content[100] = index + 1;
            content[2 << 20] = index + 1;
            if index == 3 {
                content.rotate_left(2 << 20);
            }
            if index == 4 {
                content.splice(0..0, *b"\x7fELF\0");
            }
            contents.push(content);
        }
        contents.push(b"#!/usr/bin/env python\n".to_vec());
        contents.push(Vec::new());
        contents.push(b"a\0b".to_vec());
        let ids: Vec<ObjectId> = contents.iter().map(|content| world.blob(To::Repository, content)).collect();
        let check = |what: &str| {
            let repository = world.open();
            for (id, content) in ids.iter().zip(&contents) {
                let wanted = BlobFacts::of(content.len() as u64, content);
                assert_eq!(facts(&repository, *id), wanted, "{what}");
                assert_eq!(blob_size(repository.objects(), id).unwrap(), content.len() as u64);
                let whole = blob_content(repository.objects(), id, content.len() as u64).unwrap();
                assert_eq!(whole, Content::Whole(content.clone()), "{what}");
            }
        };
        check("loose");
        let entries: Vec<(&str, Vec<u8>, ObjectId)> = ids
            .iter()
            .enumerate()
            .map(|(index, id)| ("100644", format!("f{index}").into_bytes(), *id))
            .collect();
        let entries: Vec<_> = entries.iter().map(|(mode, name, id)| (*mode, name.as_slice(), *id)).collect();
        let tree = world.tree(To::Repository, &entries);
        let commit = world.git(To::Repository, &["commit-tree", "-m", "x", &tree.to_string()], b"");
        world.git(To::Repository, &["update-ref", "refs/heads/main", &commit], b"");
        world.git(To::Repository, &["repack", "-q", "-a", "-d", "-f", "--depth=50", "--window=10"], b"");
        let packs = std::fs::read_dir(world.bare.join("objects/pack")).unwrap();
        let index =
            packs.map(|file| file.unwrap().path()).find(|path| path.extension().unwrap() == "idx").unwrap();
        let listed = world.git(To::Repository, &["verify-pack", "-v", index.to_str().unwrap()], b"");
        assert!(listed.contains("chain length"), "{listed}");
        check("deltas");
        let offset = "repack.useDeltaBaseOffset=false";
        world.git(To::Repository, &["-c", offset, "repack", "-q", "-a", "-d", "-f"], b"");
        check("deltas by id");
        world.git(To::Repository, &["-c", "pack.window=0", "repack", "-q", "-a", "-d", "-F"], b"");
        check("whole");
    }
}

#[test]
fn what_is_missing_or_no_blob_is_an_error() {
    let world = World::sha1();
    let tree = world.tree(To::Push, &[]);
    let repository = world.open();
    let absent = id(&"7".repeat(40));
    assert!(
        matches!(blob_facts(repository.objects(), &absent), Err(GitError::Missing { id, .. }) if id == absent)
    );
    assert!(matches!(blob_content(repository.objects(), &absent, 10), Err(GitError::Missing { .. })));
    assert!(matches!(blob_facts(repository.objects(), &tree), Err(GitError::Object { .. })));
    let other = id(&"7".repeat(64));
    assert!(matches!(blob_size(repository.objects(), &other), Err(GitError::Missing { .. })));
}

#[test]
fn a_small_blob_that_is_not_what_its_id_says_is_an_error() {
    let world = World::sha1();
    let (a, b) = (world.blob(To::Push, b"a"), world.blob(To::Push, b"b"));
    let path = |id: ObjectId| world.quarantine.join(&id.to_string()[..2]).join(&id.to_string()[2..]);
    std::fs::remove_file(path(a)).unwrap();
    std::fs::copy(path(b), path(a)).unwrap();
    let ended = blob_facts(world.open().objects(), &a);
    assert!(matches!(ended, Err(GitError::Corrupt { .. })), "{ended:?}");
}

#[test]
fn the_target_of_a_link_is_its_content() {
    let world = World::sha1();
    let target = world.blob(To::Push, b"../../etc/passwd");
    let long = world.blob(To::Push, &[b'x'; 4097]);
    let repository = world.open();
    let read = |id| blob_content(repository.objects(), &id, countersign::git::MAX_LINK_TARGET).unwrap();
    assert_eq!(read(target), Content::Whole(b"../../etc/passwd".to_vec()));
    assert_eq!(read(long), Content::TooLong(4097));
}

#[test]
fn pointers_of_git_lfs_in_a_repository() {
    let world = World::sha1();
    let text =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 77\n", "ab".repeat(32));
    let pointer = world.blob(To::Push, text.as_bytes());
    let repository = world.open();
    let lfs = facts(&repository, pointer).lfs.unwrap();
    assert_eq!((lfs.size, lfs.oid), (77, [0xab; 32]));
}
