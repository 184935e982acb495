//! The property of the grammar's section: an accepted commit, made by git, and every object that differs
//! from it in one bit.
//!
//! Outside of the signature header no such object is accepted. Inside of it, one may be: then it has the
//! same payload and the same key, and the bit lies in one of the places that `docs/signatures.md` lists.

use crate::keys::*;
use crate::objects::*;
use countersign::signature::object::{Payload, SignatureField, parse_commit};
use countersign::signature::{self, Rules, SignatureStatus, Times, Trace};
use data_encoding::BASE64;
use std::collections::BTreeSet;

/// Key and payload, where the bytes are accepted as a signed commit.
fn accepted(scene: &Scene, raw: &[u8], keys: &KeyBox) -> Option<(String, Vec<u8>)> {
    let commit = parse_commit(scene.format, raw).ok()?;
    let times = Times::introduced(commit.committer.time, at(NOW));
    let (field, Payload { before, after }) = (&commit.signature, commit.payload);
    let rules = Rules::default();
    let status = signature::judge(field, &commit.payload, keys, times, &rules, &mut Trace::off());
    let SignatureStatus::Verified(proof) = status else { return None };
    Some((proof.fingerprint().to_owned(), [before, after].concat()))
}

/// The bytes inside the armor of a commit's signature.
fn inside(scene: &Scene, raw: &[u8]) -> Vec<u8> {
    let commit = parse_commit(scene.format, raw).unwrap();
    let SignatureField::Present(block) = commit.signature else { panic!("signed") };
    let text = String::from_utf8(block.armor).unwrap();
    let data = text.lines().filter(|line| !line.starts_with(['-', '=']) && !line.contains(": "));
    BASE64.decode(data.collect::<String>().as_bytes()).unwrap()
}

/// What a byte of GnuPG's signature packet is for.
fn place(packet: &[u8], at: usize) -> &'static str {
    let start = if packet[0] & 3 == 0 { 2 } else { 3 };
    let number = |at: usize| usize::from(u16::from_be_bytes([packet[at], packet[at + 1]]));
    let unhashed = start + 6 + number(start + 4);
    let prefix = unhashed + 2 + number(unhashed);
    let mut mpi = prefix + 2;
    if at < start {
        return "packet header";
    } else if at < unhashed {
        return "hashed part";
    } else if at < prefix {
        return "unhashed subpackets";
    } else if at < mpi {
        return "digest prefix";
    }
    while mpi < packet.len() {
        if at < mpi + 2 {
            return "bit counts of the numbers";
        }
        mpi += 2 + number(mpi).div_ceil(8);
        if at < mpi {
            return "numbers";
        }
    }
    panic!("{at} lies behind the packet")
}

/// Flips every bit of the commit and gives the places inside of the header where that is accepted.
fn flipped(scene: &Scene, raw: &[u8]) -> BTreeSet<&'static str> {
    let keys = scene.keys();
    let (key, payload) = accepted(scene, raw, &keys).unwrap();
    let header = raw.len() - payload.len();
    let start = raw.windows(8).position(|window| window == b"\ngpgsig ").unwrap() + 1;
    let value = start + b"gpgsig ".len()..start + header;
    let original = inside(scene, raw);
    let mut found = BTreeSet::new();
    let mut changed = raw.to_vec();
    for at in 0..raw.len() {
        for bit in 0..8 {
            changed[at] ^= 1 << bit;
            if let Some(now) = accepted(scene, &changed, &keys) {
                assert!(value.contains(&at), "bit {bit} of byte {at} is not covered");
                assert_eq!(now, (key.clone(), payload.clone()), "bit {bit} of byte {at}");
                let decoded = inside(scene, &changed);
                assert_eq!(decoded.len(), original.len());
                let differs = decoded.iter().zip(&original).position(|(one, other)| one != other);
                found.insert(differs.map_or("armor checksum", |at| place(&original, at)));
            }
            changed[at] ^= 1 << bit;
        }
    }
    found
}

fn by_ssh(kind: &str, bits: &str) -> BTreeSet<&'static str> {
    let mut scene = Scene::new();
    scene.ssh_key = scene.ssh.generate("other", kind, bits);
    scene.git_ssh(&["commit", "-q", "-S", "--allow-empty", "-m", "subject\n\nbody \u{e9}"]);
    let raw = scene.cat("commit", "HEAD");
    flipped(&scene, &raw)
}

fn by_gpg(algorithm: &str) -> BTreeSet<&'static str> {
    let scene = Scene::with_gpg(algorithm);
    scene.git_pgp(&["commit", "-q", "-S", "--allow-empty", "-m", "subject\n\nbody \u{e9}"]);
    let raw = scene.cat("commit", "HEAD");
    flipped(&scene, &raw)
}

#[test]
fn no_bit_of_an_ssh_signed_commit_is_free() {
    for (kind, bits) in [("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "384")] {
        assert_eq!(by_ssh(kind, bits), BTreeSet::new(), "{kind}");
    }
}

#[test]
fn no_bit_of_an_rsa_ssh_signed_commit_is_free() {
    assert_eq!(by_ssh("rsa", "2048"), BTreeSet::new());
}

/// Where the free bits of an OpenPGP signature may lie. The first two always have some; whether a bit count
/// has any depends on the leading bits of the number.
#[track_caller]
fn assert_openpgp(found: &BTreeSet<&'static str>) {
    let listed = BTreeSet::from(["armor checksum", "unhashed subpackets", "bit counts of the numbers"]);
    assert!(found.is_subset(&listed), "{found:?}");
    assert!(found.contains("armor checksum") && found.contains("unhashed subpackets"), "{found:?}");
}

#[test]
fn the_free_bits_of_an_openpgp_signed_commit() {
    for algorithm in ["ed25519", "nistp256"] {
        assert_openpgp(&by_gpg(algorithm));
    }
}

#[test]
fn the_free_bits_of_an_rsa_openpgp_signed_commit() {
    assert_openpgp(&by_gpg("rsa2048"));
}
