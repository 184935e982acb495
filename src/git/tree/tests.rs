use super::*;
use TreeFaultCode::*;
use proptest::prelude::*;

/// An entry as it lies in a tree.
fn raw(mode: &str, name: &[u8], id: &[u8]) -> Vec<u8> {
    [mode.as_bytes(), b" ", name, b"\0", id].concat()
}

fn sha1(parts: &[(&str, &str)]) -> Vec<u8> {
    parts.iter().flat_map(|(mode, name)| raw(mode, name.as_bytes(), &[7; 20])).collect()
}

fn decode(bytes: &[u8]) -> Tree<'_> {
    Tree::decode(ObjectFormat::Sha1, bytes, u64::MAX).unwrap()
}

fn codes(bytes: &[u8]) -> Vec<TreeFaultCode> {
    decode(bytes).faults.iter().map(|fault| fault.code).collect()
}

#[test]
fn what_is_cut_off_is_truncated() {
    let tree = sha1(&[("100644", "a"), ("40000", "b")]);
    assert_eq!(codes(&tree), []);
    let first = sha1(&[("100644", "a")]).len();
    for end in 1..tree.len() {
        if end == first {
            continue;
        }
        let cut = decode(&tree[..end]);
        assert_eq!(cut.faults.last().map(|fault| fault.code), Some(Truncated), "cut at {end}");
        assert!(!cut.whole);
        assert_eq!(cut.entries.len(), usize::from(end > first));
    }
    // A tree of the other format.
    assert!(!decode(&raw("100644", b"a", &[7; 32])).whole);
}

#[test]
fn names_that_no_tree_has() {
    assert_eq!(codes(&sha1(&[("100644", "")])), [EmptyName]);
    assert!(!decode(&sha1(&[("100644", "")])).whole);
    assert_eq!(codes(&sha1(&[("100644", "a/b")])), [SlashInName]);
    assert_eq!(codes(&sha1(&[("100644", "/")])), [SlashInName]);
    let tree = sha1(&[("100644", "a/b")]);
    assert_eq!(decode(&tree).entries[0].name, b"a/b");
}

#[test]
fn names_that_are_for_rules_to_judge_are_handed_out() {
    let tree =
        sha1(&[("40000", "."), ("40000", ".."), ("40000", ".GIT"), ("40000", ".git"), ("100644", "\n")]);
    let mut sorted = tree.clone();
    let mut decoded = decode(&tree);
    decoded.sort();
    sorted.clear();
    for entry in &decoded.entries {
        let mode = if entry.kind == EntryKind::Tree { "40000" } else { "100644" };
        sorted.extend(raw(mode, entry.name, &[7; 20]));
    }
    assert_eq!(codes(&sorted), []);
    assert_eq!(decode(&sorted).entries.len(), 5);
}

#[test]
fn modes() {
    let mode = |mode: &str| {
        (codes(&sha1(&[(mode, "a")])), decode(&sha1(&[(mode, "a")])).entries.first().map(|e| e.kind))
    };
    let leaf = |mode| Some(EntryKind::Leaf(mode));
    assert_eq!(mode("40000"), (vec![], Some(EntryKind::Tree)));
    assert_eq!(mode("100644"), (vec![], leaf(FileMode::File)));
    assert_eq!(mode("100755"), (vec![], leaf(FileMode::Executable)));
    assert_eq!(mode("120000"), (vec![], leaf(FileMode::Symlink)));
    assert_eq!(mode("160000"), (vec![], leaf(FileMode::Submodule)));
    assert_eq!(mode("040000"), (vec![ZeroPaddedMode], Some(EntryKind::Tree)));
    assert_eq!(mode("0100644"), (vec![ZeroPaddedMode], leaf(FileMode::File)));
    assert_eq!(mode("100664"), (vec![LegacyFileMode], leaf(FileMode::File)));
    assert_eq!(mode("100775"), (vec![LegacyFileMode], leaf(FileMode::Executable)));
    assert_eq!(mode("0100664"), (vec![UnknownMode], leaf(FileMode::File)));
    assert_eq!(mode("104755"), (vec![UnknownMode], leaf(FileMode::Executable)));
    assert_eq!(mode("40755"), (vec![UnknownMode], Some(EntryKind::Tree)));
    for other in ["0", "1", "10000", "644", "20666", "60660", "140000", "170000"] {
        assert_eq!(mode(other), (vec![UnknownMode], leaf(FileMode::Submodule)), "{other}");
    }
    for none in ["", "8", "100648", "x", "-1", "+100644", "0x81a4", "100644\t", "100644100644"] {
        assert_eq!(mode(none), (vec![MalformedMode], None), "{none}");
    }
}

#[test]
fn the_null_id_names_nothing() {
    let tree = [raw("160000", b"a", &[0; 20]), raw("100644", b"b", &[7; 20])].concat();
    assert_eq!(codes(&tree), [NullId]);
    assert_eq!(decode(&tree).entries.len(), 1);
}

#[test]
fn order_is_gits() {
    assert_eq!(codes(&sha1(&[("100644", "b"), ("100644", "a")])), [NotSorted]);
    assert_eq!(codes(&sha1(&[("100644", "foo"), ("100644", "foo.bar"), ("40000", "foo0")])), []);
    // A directory sorts as `foo/`.
    assert_eq!(codes(&sha1(&[("40000", "foo"), ("100644", "foo.bar")])), [NotSorted]);
    assert_eq!(codes(&sha1(&[("100644", "foo.bar"), ("40000", "foo"), ("100644", "foo0")])), []);
    // A submodule sorts as a file.
    assert_eq!(codes(&sha1(&[("160000", "foo"), ("100644", "foo.bar")])), []);
    // Bytes are compared as numbers from 0 to 255.
    let tree = [raw("100644", b"a\x7f", &[7; 20]), raw("100644", b"a\x80", &[7; 20])].concat();
    assert_eq!(codes(&tree), []);
}

#[test]
fn one_name_once() {
    assert_eq!(codes(&sha1(&[("100644", "a"), ("100644", "a")])), [DuplicateName]);
    assert_eq!(codes(&sha1(&[("100644", "a"), ("100755", "a")])), [DuplicateName]);
    assert_eq!(codes(&sha1(&[("40000", "a"), ("40000", "a")])), [DuplicateName]);
    assert_eq!(codes(&sha1(&[("100644", "a"), ("40000", "a")])), [DuplicateName]);
    // With what sorts between the two.
    let between = [("100644", "a"), ("100644", "a-b"), ("100644", "a-b.c"), ("40000", "a-c"), ("40000", "a")];
    assert_eq!(codes(&sha1(&between)), [DuplicateName]);
    let between = [("160000", "a"), ("100644", "a\x01"), ("100644", "a."), ("40000", "a.b"), ("40000", "a")];
    assert_eq!(codes(&sha1(&between)), [DuplicateName]);
    let nested = [("100644", "a"), ("100644", "a."), ("100644", "a.."), ("40000", "a."), ("40000", "a")];
    assert_eq!(codes(&sha1(&nested)), [DuplicateName, DuplicateName]);
}

#[test]
fn faults_are_counted_beyond_the_first_few() {
    let tree: Vec<u8> = (0..1000).flat_map(|_| raw("100664", b"a", &[7; 20])).collect();
    let decoded = decode(&tree);
    assert_eq!(decoded.faults.len(), MAX_FAULTS);
    assert_eq!(decoded.faults.len() + decoded.more_faults, 1000 + 999);
    assert!(decoded.whole);
}

#[test]
fn more_entries_than_asked_for() {
    let tree = sha1(&[("100644", "a"), ("100644", "b"), ("100644", "c")]);
    assert_eq!(Tree::decode(ObjectFormat::Sha1, &tree, 2), Err(TooManyEntries));
    assert_eq!(Tree::decode(ObjectFormat::Sha1, &tree, 3).unwrap().entries.len(), 3);
    assert_eq!(Tree::decode(ObjectFormat::Sha1, &[], 0).unwrap().entries.len(), 0);
    // What names nothing is work all the same.
    let null: Vec<u8> = (0..3).flat_map(|_| raw("160000", b"a", &[0; 20])).collect();
    assert_eq!(Tree::decode(ObjectFormat::Sha1, &null, 2), Err(TooManyEntries));
}

#[test]
fn a_fault_is_safe_to_show() {
    let fault = TreeFault { code: SlashInName, path: b"a/\x1b[31m".to_vec() };
    assert_eq!(fault.to_string(), "tree-slash-in-name at `a/\\x1b[31m`");
}

fn any_entries() -> impl Strategy<Value = Vec<(usize, Vec<u8>)>> {
    let name = prop::collection::vec(prop::sample::select(b"ab.-0/\x01\xff".as_slice()), 1..5);
    prop::collection::vec((0..5_usize, name), 0..12)
}

const MODES: [&str; 5] = ["40000", "100644", "100755", "120000", "160000"];

proptest! {
    /// No bytes make it fail, and what it takes without a fault it can write back.
    #[test]
    fn anything_is_decoded(bytes in prop::collection::vec(any::<u8>(), 0..200), wide: bool) {
        let format = if wide { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 };
        let tree = Tree::decode(format, &bytes, u64::MAX).unwrap();
        prop_assert!(tree.whole || !tree.faults.is_empty());
    }

    /// It says of a tree what can be said of the list of its names.
    #[test]
    fn faults_are_those_of_the_list(mut list in any_entries(), sorted: bool) {
        let key = |(mode, name): &(usize, Vec<u8>)| {
            let mut key = name.clone();
            if *mode == 0 {
                key.push(b'/');
            }
            key
        };
        if sorted {
            list.sort_by_key(key);
        }
        let bytes: Vec<u8> = list.iter().flat_map(|(mode, name)| raw(MODES[*mode], name, &[9; 20])).collect();
        let tree = decode(&bytes);
        prop_assert!(tree.whole);
        let total = |wanted: TreeFaultCode| tree.faults.iter().filter(|fault| fault.code == wanted).count();
        let slashes = list.iter().filter(|(_, name)| name.contains(&b'/')).count();
        prop_assert_eq!(total(SlashInName), slashes);
        let plain = slashes == 0;
        let keys: Vec<Vec<u8>> = list.iter().map(key).collect();
        if plain {
            prop_assert_eq!(total(NotSorted), keys.windows(2).filter(|pair| pair[0] > pair[1]).count());
            let mut names: Vec<&Vec<u8>> = list.iter().map(|(_, name)| name).collect();
            names.sort();
            let repeated = names.windows(2).any(|pair| pair[0] == pair[1]);
            if keys.is_sorted() {
                prop_assert_eq!(total(DuplicateName) > 0, repeated);
            }
        }
        for (entry, (mode, name)) in tree.entries.iter().zip(&list) {
            prop_assert_eq!(entry.name, name.as_slice());
            prop_assert_eq!(entry.kind == EntryKind::Tree, *mode == 0);
        }
        prop_assert_eq!(tree.entries.len(), list.len());
    }
}
