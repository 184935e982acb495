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

/// The order of the group of P-256.
const P256_ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

/// `order - number`, as an SSH mpint without its length.
fn negated(number: &[u8]) -> Vec<u8> {
    let order = data_encoding::HEXLOWER.decode(P256_ORDER.as_bytes()).unwrap();
    let number = number.strip_prefix(&[0]).unwrap_or(number);
    let number = [&vec![0; 32 - number.len()][..], number].concat();
    let mut out = [0_u8; 32];
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i16::from(order[at]) - i16::from(number[at]) - borrow;
        borrow = i16::from(difference < 0);
        out[at] = u8::try_from(difference + 256 * borrow).unwrap();
    }
    let start = out.iter().position(|byte| *byte != 0).unwrap();
    let sign = if out[start] >= 0x80 { &[0][..] } else { &[] };
    [sign, &out[start..]].concat()
}

/// ECDSA has two signatures for each that is made. Git takes both as well.
#[test]
fn the_other_s_of_ecdsa() {
    let mut scene = Scene::new();
    scene.ssh_key = scene.ssh.generate("other", "ecdsa", "256");
    let allowed = format!("test@example.org {}", Ssh::public(&scene.ssh_key));
    std::fs::write(scene.path().join(".git/allowed"), allowed).unwrap();
    let payload = plain();
    let raw = scene.ssh_signed(&payload);
    let blob = inside(&scene, &raw);
    let number = |at: usize| u32::from_be_bytes(blob[at..at + 4].try_into().unwrap()) as usize;
    let field = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    // Magic, version; key, namespace, reserved, hash; the signature: its kind, and two numbers.
    let start = (0..4).fold(10, |at, _| at + 4 + number(at));
    let numbers = start + 4 + 4 + number(start + 4);
    let s = numbers + 4 + 4 + number(numbers + 4);
    assert_eq!(s + 4 + number(s), blob.len());
    let pair = [&blob[numbers + 4..s], &field(&negated(&blob[s + 4..]))].concat();
    let signature = [&blob[start + 4..numbers], &field(&pair)].concat();
    let other = [&blob[..start], &field(&signature)].concat();
    let text = BASE64.encode(&other);
    let lines: Vec<_> = text.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let armor = format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"));
    let changed = scene.with_header(&payload, armor.as_bytes());
    assert_ne!(changed, raw);
    let keys = scene.keys();
    assert_eq!(accepted(&scene, &changed, &keys).unwrap(), accepted(&scene, &raw, &keys).unwrap());
    assert_eq!(scene.word(&changed, Git::Good), "verified");
}
