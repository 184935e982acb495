//! Merged tags, crafted; those that git makes are conformance cases.

use super::super::object::parse_commit;
use super::*;
use crate::domain::Timestamp;
use crate::signature::testing::*;
use crate::signature::{Scheme, VerifiedSignature};
use ed25519_dalek::SigningKey;
use proptest::prelude::*;

const MAIN: &str = "00112233445566778899aabbccddeeff00112233";
const TOPIC: &str = "112233445566778899aabbccddeeff0011223344";

fn tag(object: &str, kind: &str) -> Vec<u8> {
    let head = format!("object {object}\ntype {kind}\ntag v1\n");
    let tag = format!("{head}tagger Test Key <test@example.org> {NOW} +0000\n\nrelease\n").into_bytes();
    let armor = CraftedSsh::default().make(&SigningKey::from_bytes(&[1; 32]), &tag);
    [tag, armor].concat()
}

fn merge(tags: &[Vec<u8>]) -> Vec<u8> {
    let parents = format!("parent {MAIN}\nparent {TOPIC}\n");
    let headers: Vec<u8> = tags.iter().flat_map(|tag| header("mergetag", tag)).collect();
    [format!("{TREE}{parents}{AUTHOR}{COMMITTER}").as_bytes(), &headers, b"\nmerge\n"].concat()
}

fn judged(raw: &[u8], merge_tags: MergeTags) -> (Vec<MergedTag>, usize) {
    let keys = KeyBox { ssh: vec![ssh_blob(&SigningKey::from_bytes(&[1; 32]))], ..KeyBox::default() };
    let rules = Rules { merge_tags, ..Rules::default() };
    let commit = parse_commit(ObjectFormat::Sha1, raw).unwrap();
    let mut asked = 0;
    let merged = judge(ObjectFormat::Sha1, &commit, &rules, &mut Trace::off(), &mut |tag, trace| {
        asked += 1;
        let times = crate::signature::Times::introduced(tag.time(), at(NOW));
        crate::signature::judge(&tag.signature, &tag.payload, &keys, times, &rules, trace)
    });
    (merged, asked)
}

fn codes(raw: &[u8]) -> Vec<&'static str> {
    let (merged, _) = judged(raw, MergeTags::Report);
    merged.iter().map(|one| one.finding().map_or("good", |finding| finding.code)).collect()
}

fn verified() -> SignatureStatus {
    let text = || "x".to_owned();
    SignatureStatus::Verified(VerifiedSignature::new(Scheme::Ssh, text(), text(), text(), None::<Timestamp>))
}

#[test]
fn the_tag_is_unfolded_byte_for_byte() {
    assert_eq!(codes(&merge(&[tag(TOPIC, "commit")])), ["good"]);
    // A line that begins with a space itself, and an empty one.
    assert_eq!(unfold(b"a\n  b\n \n c"), b"a\n b\n\nc");
}

#[test]
fn what_it_names_is_asked_before_who_signed_it() {
    for (object, kind, wanted) in [
        (MAIN, "commit", "mergetag.first_parent"),
        ("2233445566778899aabbccddeeff001122334455", "commit", "mergetag.not_parent"),
        (TOPIC, "tree", "mergetag.bad"),
    ] {
        let (merged, asked) = judged(&merge(&[tag(object, kind)]), MergeTags::Report);
        assert_eq!(merged[0].finding().unwrap().code, wanted);
        assert_eq!(asked, 0);
    }
    // A parent that is there twice was still not merged.
    let twice = String::from_utf8(merge(&[tag(MAIN, "commit")])).unwrap();
    let twice = twice.replacen(&format!("parent {TOPIC}"), &format!("parent {MAIN}"), 1);
    assert_eq!(codes(twice.as_bytes()), ["mergetag.first_parent"]);
}

#[test]
fn whatever_is_no_strict_signed_tag_is_bad() {
    let good = String::from_utf8(tag(TOPIC, "commit")).unwrap();
    for (from, to) in [
        ("tag v1\n", "tag v1\ntag v1\n"),
        ("\nrelease", "\nforged"),
        ("tagger", "gpgsig x\ntagger"),
        ("-----END SSH SIGNATURE-----\n", "-----END SSH SIGNATURE-----\nmore\n"),
        (&format!(" {NOW} "), " 0 "),
    ] {
        let changed = good.replacen(from, to, 1);
        assert_ne!(changed, good);
        assert_eq!(codes(&merge(&[changed.into_bytes()])), ["mergetag.bad"], "{to}");
    }
    let unsigned = good.split_once("-----BEGIN").unwrap().0;
    assert_eq!(codes(&merge(&[unsigned.into()])), ["mergetag.bad"]);
    let raw = [format!("{TREE}{AUTHOR}{COMMITTER}").as_bytes(), b"mergetag \n\nm\n"].concat();
    assert_eq!(codes(&raw), ["mergetag.bad"]);
}

#[test]
fn a_commit_cannot_make_the_gate_verify_without_end() {
    let many = vec![tag(TOPIC, "commit"); MAX_MERGE_TAGS + 5];
    let (merged, asked) = judged(&merge(&many), MergeTags::Report);
    assert_eq!(asked, MAX_MERGE_TAGS);
    assert_eq!(merged.last().unwrap().finding().unwrap().code, "mergetag.bad");
    assert_eq!(judged(&merge(&many), MergeTags::Ignore), (Vec::new(), 0));
}

#[test]
fn a_veto_only_ever_takes_away() {
    let refuse = Rules { merge_tags: MergeTags::Refuse, ..Rules::default() };
    let odd = [MergedTag::Odd(Finding::new("mergetag.unknown_key", "odd"))];
    let good = [MergedTag::Good { name: "v1".to_owned() }];
    assert_eq!(word(&veto(verified(), &odd, &refuse)), "mergetag.bad");
    assert_eq!(word(&veto(verified(), &[good[0].clone(), odd[0].clone()], &refuse)), "mergetag.bad");
    assert_eq!(word(&veto(verified(), &odd, &Rules::default())), "verified");
    assert_eq!(word(&veto(verified(), &good, &refuse)), "verified");
    for merged in [&odd[..], &good[..], &[]] {
        assert_eq!(veto(SignatureStatus::Unsigned, merged, &refuse), SignatureStatus::Unsigned);
        let malformed = SignatureStatus::Malformed { code: "sig.cr", why: String::new() };
        assert_eq!(veto(malformed.clone(), merged, &refuse), malformed);
    }
}

proptest! {
    #[test]
    fn nothing_panics(at in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>(),
                      insert in proptest::collection::vec(prop::sample::select(b"\n -<>0\r\xff".to_vec()), 0..12)) {
        let good = tag(TOPIC, "commit");
        let (at, cut) = (at.index(good.len()), cut.index(good.len()));
        let changed = [&good[..at.min(cut)], &insert, &good[at.max(cut)..]].concat();
        // Folded by hand: what is inside need not be text.
        let folded: Vec<u8> = changed.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\n "[..]);
        let head = format!("{TREE}parent {MAIN}\nparent {TOPIC}\n{AUTHOR}{COMMITTER}");
        let raw = [head.as_bytes(), b"mergetag ", &folded, b"\n\nmerge\n"].concat();
        // Line feeds at the end of a tag are no part of it, and those inside its base64 mean nothing.
        let bare = |tag: &[u8]| {
            let marker = b"-----BEGIN SSH SIGNATURE-----\n";
            let begin = tag.windows(marker.len()).position(|window| window == marker);
            let (text, armor) = tag.split_at(begin.map_or(tag.len(), |begin| begin + marker.len()));
            [text, &armor.iter().copied().filter(|byte| *byte != b'\n').collect::<Vec<_>>()].concat()
        };
        let same = bare(&changed) == bare(&good);
        if let Ok(commit) = parse_commit(ObjectFormat::Sha1, &raw) {
            prop_assert_eq!(commit.merge_tags.len(), 1);
            prop_assert!(same || codes(&raw) != ["good"], "{}", String::from_utf8_lossy(&raw));
        }
    }
}
