//! The most expensive things of each kind at the caps of their size: objects that a push may bring, and
//! trust files that an operator may have. Each is a piece of work to be timed.
//!
//! Keys are test keys. Numbers that nobody has a key for cost as much to be told apart as real ones.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    missing_docs,
    reason = "each program uses its own part"
)]

use crate::crafted::{self, CraftedKey, CraftedSignature, ED448, ED25519};
use crate::keys::{BORN, KeyBox, NOW, at, commit, signed};
use crate::ssh_craft::{self, Cert, string, strings};
use countersign::domain::{ObjectFormat, ObjectId};
use countersign::git::verify_commit_id;
use countersign::keyring::Keyring;
use countersign::signature::object::{self, MAX_HEADER, Payload, SignatureField};
use countersign::signature::openpgp::Certificate;
use countersign::signature::ssh::{PatternList, RevocationList, allowed_signers, parse_public_key};
use countersign::signature::{self, Keys, Rules, Times, Trace, mergetag};
use data_encoding::BASE64;
use pgp::crypto::hash::HashAlgorithm;
use sha2::{Digest, Sha256};
use std::fs;
use std::hint::black_box;
use std::os::unix::fs::PermissionsExt;

/// What is timed, and under which bound it has to stay.
pub struct Worst {
    pub name: &'static str,
    pub what: What,
    pub run: Box<dyn Fn()>,
}

/// Who meets the cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Each object of a push.
    Object,
    /// Whoever loads the trust files, once.
    File,
}

const TREE: &str = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n";
const PARENT: &str = "parent 00112233445566778899aabbccddeeff00112233\n";
const WHO: &str = "Test Key <test@example.org> 1748736000 +0000\n";
/// The default of `[limits] object-bytes`.
const MAX_OBJECT: usize = 1 << 20;

fn tag_head() -> String {
    format!("object 00112233445566778899aabbccddeeff00112233\ntype commit\ntag v1\ntagger {WHO}\n")
}

/// Every relaxation that adds work.
fn everything() -> Rules {
    Rules { import: true, trailing_timestamps: true, text_signatures: true, ..Rules::default() }
}

/// As many repeats as fit into an object at the cap.
fn full(line: &str) -> String {
    line.repeat((MAX_OBJECT - 1_000) / line.len())
}

fn with_headers(lines: &str) -> Vec<u8> {
    format!("{TREE}author {WHO}committer {WHO}{lines}\nmessage\n").into_bytes()
}

/// Objects at the caps in the shapes that cost most to read.
pub fn objects() -> Vec<(&'static str, Vec<u8>)> {
    assert_eq!(MAX_HEADER, MAX_OBJECT);
    let armor = String::from_utf8(ssh_craft::Key::ed25519(1).sshsig(tag_head().as_bytes())).unwrap();
    let tag = |body: &str| format!("{}{}", tag_head(), full(body)).into_bytes();
    let parents = format!("{TREE}{}author {WHO}committer {WHO}\nmessage\n", full(PARENT));
    vec![
        ("headers", with_headers(&full("x y\n"))),
        ("one header of many lines", with_headers(&format!("x y\n{}", full(" \n")))),
        ("signature headers", with_headers(&full("gpgsig \n"))),
        ("bare signature headers", with_headers(&full("gpgsig\n"))),
        ("signature lines", with_headers(&format!("gpgsig x\n{}", full(" AAAA\n")))),
        ("carriage returns in a signature", with_headers(&format!("gpgsig x\n{}", full(" \r\n")))),
        ("mergetag headers", with_headers(&full("mergetag x\n"))),
        ("one mergetag of many lines", with_headers(&format!("mergetag x\n{}", full(" y\n")))),
        ("parents", parents.into_bytes()),
        ("message of empty lines", commit(NOW, &full("\n"))),
        ("message of one line", commit(NOW, &full("x"))),
        ("markers in a tag", tag("-----BEGIN PGP MESSAGE-----\n")),
        ("markers of signatures in a tag", tag("-----BEGIN PGP SIGNATURE-----\n")),
        ("signatures in a tag", tag(&armor)),
    ]
}

/// All that is done to the bytes of a commit or tag before policy sees it; gives the word for its signature.
fn read(raw: &[u8], id: &ObjectId, keys: &dyn Keys, rules: &Rules) -> &'static str {
    verify_commit_id(id, raw).unwrap();
    black_box(Sha256::digest(raw));
    let mut status = "no object";
    let _ = black_box(object::parents_lenient(ObjectFormat::Sha1, raw));
    let judge = |field: &SignatureField, payload: &Payload<'_>, time| {
        let times = Times::introduced(time, at(NOW));
        signature::judge(field, payload, keys, times, rules, &mut Trace::off())
    };
    if let Ok(commit) = object::parse_commit_by(ObjectFormat::Sha1, raw, rules, &mut Trace::off()) {
        status = judge(&commit.signature, &commit.payload, commit.committer.time).name();
        black_box(mergetag::judge(ObjectFormat::Sha1, &commit, rules, &mut Trace::off(), &mut |tag, _| {
            judge(&tag.signature, &tag.payload, tag.time())
        }));
    }
    if let Ok(tag) = object::parse_tag_by(ObjectFormat::Sha1, raw, rules, &mut Trace::off()) {
        status = judge(&tag.signature, &tag.payload, tag.time()).name();
    }
    status
}

/// The id of a commit's bytes, by the hasher whose detection of attacks costs time.
fn id_of(raw: &[u8]) -> ObjectId {
    let head = format!("commit {}\0", raw.len());
    let digest = HashAlgorithm::Sha1.digest(&[head.as_bytes(), raw].concat()).unwrap();
    ObjectId::from_bytes(&digest).unwrap()
}

fn object(name: &'static str, raw: Vec<u8>, keys: KeyBox, rules: Rules, expected: &'static str) -> Worst {
    let id = id_of(&raw);
    let run = Box::new(move || assert_eq!(read(black_box(&raw), &id, &keys, &rules), expected, "{name}"));
    Worst { name, what: What::Object, run }
}

/// The largest exponent of RSA that is computed with.
const LARGE: &[u8] = &[1, 0xff, 0xff, 0xff, 0xff];

/// A key of OpenSSH of this many bits, and a signature that is not by it.
fn ssh_rsa(bits: usize, exponent: &[u8]) -> (String, Vec<u8>) {
    let mut modulus = vec![0xa5; bits / 8];
    *modulus.last_mut().unwrap() = 0x6b;
    let number = |digits: &[u8]| {
        let sign: &[u8] = if digits[0] >= 0x80 { &[0] } else { &[] };
        string(&[sign, digits].concat())
    };
    let blob = [string(b"ssh-rsa"), number(exponent), number(&modulus)].concat();
    let line = format!("ssh-rsa {} test key, not a real one", BASE64.encode(&blob));
    let inner = strings(&[b"rsa-sha2-512", &vec![0x5a; bits / 8]]);
    (line, ssh_craft::armored(&ssh_craft::sshsig_blob(&blob, &inner)))
}

/// The packet of an OpenPGP key of RSA and one of a signature that names it and is not by it.
fn pgp_rsa(bits: usize, payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut modulus = vec![0xa5; bits / 8];
    *modulus.last_mut().unwrap() = 0x6b;
    let mut body = vec![4];
    body.extend(u32::try_from(BORN).unwrap().to_be_bytes());
    body.push(1);
    body.extend([crafted::mpi(&modulus), crafted::mpi(&[1, 0, 1])].concat());
    let framed = [&[0x99][..], &u16::try_from(body.len()).unwrap().to_be_bytes(), &body].concat();
    let fingerprint = HashAlgorithm::Sha1.digest(&framed).unwrap();
    let created = crafted::number(2, NOW);
    let issuer = crafted::subpacket(33, &[&[4][..], &fingerprint].concat());
    let hashed = [created, issuer].concat();
    let head = [&[4, 0, 1, 10][..], &u16::try_from(hashed.len()).unwrap().to_be_bytes(), &hashed].concat();
    let trailer = [&[4, 0xff][..], &u32::try_from(head.len()).unwrap().to_be_bytes()].concat();
    let digest = HashAlgorithm::Sha512.digest(&[payload, &head, &trailer].concat()).unwrap();
    let number = crafted::mpi(&vec![0x5a; bits / 8]);
    let signature = [&head[..], &[0, 0], &digest[..2], &number].concat();
    (body, crafted::signature_armor(&crafted::packet(2, &signature)))
}

/// A certificate whose subkeys are these.
fn with_subkeys(bodies: &[Vec<u8>]) -> Vec<u8> {
    let primary = CraftedKey::new(3, BORN);
    let mut out = crafted::simple(&primary, BORN);
    for body in bodies {
        let framed = [&[0x99][..], &u16::try_from(body.len()).unwrap().to_be_bytes(), body].concat();
        let binding = CraftedSignature::new(0x18, BORN).with(crafted::flags(2));
        out.extend(crafted::packet(14, body));
        out.extend(binding.packet(&primary, &[&primary.framed(), &framed]));
    }
    out
}

/// Signed objects at the caps.
fn signatures() -> Vec<Worst> {
    let mut all = Vec::new();
    let small = commit(NOW, "small\n");
    let large = commit(NOW, &full("a line of a message\n")[..MAX_OBJECT - 30_000]);
    let plain = Rules::default();

    let ed25519 = ssh_craft::Key::ed25519(1);
    let keys = KeyBox::ssh(&ed25519.line());
    all.push(object(
        "SSH Ed25519 over 1 MiB",
        signed(&large, &ed25519.sshsig(&large)),
        keys,
        plain.clone(),
        "verified",
    ));
    for (name, bits, exponent, expected) in [
        ("SSH RSA-4096 over 1 MiB", 4096, &[1, 0, 1][..], "bad"),
        ("SSH RSA-8192 over 1 MiB", 8192, &[1, 0, 1], "bad"),
        ("SSH RSA-8192, the largest exponent", 8192, LARGE, "bad"),
        ("SSH RSA-16384", 16384, &[1, 0, 1], "unsupported"),
    ] {
        let (line, armor) = ssh_rsa(bits, exponent);
        let keys =
            parse_public_key(&line).map(|key| KeyBox { ssh: vec![key.blob().to_vec()], ..KeyBox::default() });
        let raw = signed(&large, &armor);
        all.push(object(name, raw, keys.unwrap_or_default(), plain.clone(), expected));
    }

    // Certificates: as many and as long principals as the armor has room for.
    let authority = ssh_craft::Key::p256(9);
    for (name, principals) in [
        (
            "SSH certificate, 256 principals",
            (0..256).map(|n| format!("someone-{n:03}@example.org")).collect(),
        ),
        ("SSH certificate, one long principal", vec!["a".repeat(10_000)]),
    ] {
        let principals: Vec<String> = principals;
        let mut cert = Cert::new(BORN, NOW + 1_000);
        cert.principals = principals.iter().map(|name| name.as_bytes()).collect();
        let blob = cert.make(&ed25519, &authority);
        let raw = signed(&small, &ssh_craft::sshsig(&blob, &ed25519, &small));
        for (more, list) in [(false, "*@example.com".to_owned()), (true, slow_pattern())] {
            let keyring = keyring(&[("authority", authority_entry(&authority.line(), &list))]);
            let (raw, id) = (raw.clone(), id_of(&raw));
            let rules = plain.clone();
            let run = Box::new(move || assessed(&raw, &id, &keyring, &rules));
            let name = match (name, more) {
                (name, false) => name,
                ("SSH certificate, one long principal", true) => "the same, under a slow pattern",
                (_, true) => "256 principals under a slow pattern",
            };
            all.push(Worst { name, what: What::Object, run });
        }
    }

    // OpenPGP: large keys, several that could be meant, large packets.
    for (name, bits, count, expected) in [
        ("OpenPGP RSA-4096 over 1 MiB", 4096, 1, "bad"),
        ("OpenPGP RSA-8192 over 1 MiB", 8192, 1, "bad"),
        ("OpenPGP RSA-8192, eight keys to try", 8192, 8, "bad"),
        ("OpenPGP RSA-16384", 16384, 1, "weak-algorithm"),
    ] {
        let (body, armor) = pgp_rsa(bits, &large);
        let keys = KeyBox::openpgp(&crafted::key_armor(&with_subkeys(&vec![body; count])));
        all.push(object(name, signed(&large, &armor), keys, plain.clone(), expected));
    }
    for (name, algorithm) in [("OpenPGP Ed25519 over 1 MiB", ED25519), ("OpenPGP Ed448 over 1 MiB", ED448)] {
        let key = CraftedKey::of(algorithm, 5, 4, BORN);
        let keys = KeyBox::openpgp(&crafted::key_armor(&crafted::simple(&key, BORN)));
        let raw = signed(&large, &CraftedSignature::new(0, NOW).over(&key, &large));
        all.push(object(name, raw, keys, plain.clone(), "verified"));
    }
    let key = CraftedKey::new(6, BORN);
    let keys = || KeyBox::openpgp(&crafted::key_armor(&crafted::simple(&key, BORN)));
    let text = CraftedSignature::new(1, NOW)
        .over(&key, &String::from_utf8_lossy(&large).replace('\n', "\r\n").into_bytes());
    all.push(object(
        "OpenPGP text signature over 1 MiB",
        signed(&large, &text),
        keys(),
        everything(),
        "verified",
    ));
    let many = (0..1_600).fold(CraftedSignature::new(0, NOW), |one, _| one.unhashed(vec![2, 100, 0]));
    let raw = signed(&small, &many.over(&key, &small));
    all.push(object("OpenPGP with 1,600 subpackets", raw, keys(), plain.clone(), "verified"));

    // A certificate of the keyring that is as large as its file may be.
    let raw = signed(&large, &CraftedSignature::new(0, NOW).over(&key, &large));
    let mut packets = [key.primary(), crafted::user_id()].concat();
    for n in 0..4_000 {
        packets.extend(crafted::certify(&key, BORN + n, 3, vec![]));
    }
    let keys = KeyBox::openpgp(&packets);
    all.push(object(
        "OpenPGP by a key with 4,000 self-signatures",
        raw.clone(),
        keys,
        plain.clone(),
        "verified",
    ));
    let revoker = CraftedKey::new(7, BORN);
    let mut packets = [key.primary(), crafted::user_id()].concat();
    packets.extend(crafted::certify(&key, BORN, 3, crafted::revoker(&revoker)));
    let other = CraftedKey::new(8, BORN);
    for n in 0..64 {
        // They name the revoker, and are over another key.
        packets.extend(crafted::revocation(BORN + n, Some(0)).packet(&revoker, &[&other.framed()]));
    }
    let mut keys = KeyBox::openpgp(&packets);
    keys.openpgp.extend(KeyBox::openpgp(&crafted::simple(&revoker, BORN)).openpgp);
    all.push(object("OpenPGP by a key with 64 revocations by others", raw, keys, plain.clone(), "verified"));

    // Merged tags: as many as are looked at, each with its share of the object.
    for (name, bits) in
        [("merge of tags, all by SSH RSA-4096", 4096), ("merge of tags, all by SSH RSA-8192", 8192)]
    {
        let (line, armor) = ssh_rsa(bits, LARGE);
        let parent = "00112233445566778899aabbccddeeff00112233";
        let body = "a line of a merged tag\n".repeat(MAX_OBJECT / (mergetag::MAX_MERGE_TAGS + 1) / 25);
        let tag = format!("{}{body}{}", tag_head(), String::from_utf8(armor.clone()).unwrap());
        let header = format!("mergetag {}\n", tag.trim_end().replace('\n', "\n "));
        let merge = format!(
            "{TREE}parent {}\nparent {parent}\nauthor {WHO}committer {WHO}{}\nmerge\n",
            "11".repeat(20),
            header.repeat(mergetag::MAX_MERGE_TAGS)
        );
        let raw = signed(merge.as_bytes(), &armor);
        all.push(object(name, raw, KeyBox::ssh(&line), plain.clone(), "bad"));
    }
    all
}

/// A pattern that is as slow as can be.
fn slow_pattern() -> String {
    format!("*{}b", "a".repeat(5_000))
}

fn authority_entry(line: &str, patterns: &str) -> String {
    format!("[[authority]]\nssh = \"{line}\"\nprincipals = [\"{patterns}\"]\n")
}

/// A keyring of these files.
pub fn keyring(files: &[(&str, String)]) -> Keyring {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (name, text) in files {
        let path = directory.path().join(format!("{name}.toml"));
        fs::write(&path, format!("name = \"{name}\"\n{text}")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    Keyring::load(directory.path()).unwrap_or_else(|error| panic!("{error}")).keyring
}

fn assessed(raw: &[u8], id: &ObjectId, keyring: &Keyring, rules: &Rules) {
    verify_commit_id(id, raw).unwrap();
    let commit = object::parse_commit(ObjectFormat::Sha1, raw).unwrap();
    let times = Times::introduced(commit.committer.time, at(NOW));
    let status =
        signature::judge(&commit.signature, &commit.payload, keyring, times, rules, &mut Trace::off());
    assert_eq!(status.name(), "verified");
    black_box(keyring.assess(status, &times, rules));
}

/// A KRL with these sections behind its header.
fn krl(sections: &[u8]) -> Vec<u8> {
    [&b"SSHKRL\n\0\0\0\0\x01"[..], &[0; 24], &strings(&[b"", b""]), sections].concat()
}

/// Trust files at the caps.
pub fn of_files() -> Vec<Worst> {
    const LIST: usize = 16 << 20;
    let mut all = Vec::new();
    let mut file = |name, run: Box<dyn Fn()>| all.push(Worst { name, what: What::File, run });
    let list = |bytes: Vec<u8>| -> Box<dyn Fn()> {
        Box::new(move || drop(black_box(RevocationList::parse(&bytes).unwrap())))
    };

    let digests: Vec<u8> = (0..LIST / 40).flat_map(|n| string(&Sha256::digest(n.to_be_bytes()))).collect();
    file("KRL of 400,000 fingerprints", list(krl(&[&[5][..], &string(&digests)].concat())));
    let ed25519 = ssh_craft::Key::ed25519(4);
    let keys = string(&ed25519.blob()).repeat(LIST / 60);
    file("KRL of 270,000 keys", list(krl(&[&[2][..], &string(&keys)].concat())));
    let points: Vec<u8> = (1..=254_u8).flat_map(|seed| string(&ssh_craft::Key::p256(seed).blob())).collect();
    let points = points.repeat(LIST / 2 / points.len());
    file("KRL of 70,000 keys of ECDSA", list(krl(&[&[2][..], &string(&points)].concat())));
    let flat = format!("{}\n", ed25519.line()).repeat(LIST / (ed25519.line().len() + 1));
    file("flat list of 16 MiB", list(flat.into_bytes()));
    let mut signed = krl(&[&[2][..], &string(&keys)].concat());
    for _ in 0..16 {
        signed.push(4);
        signed.extend(string(&ed25519.blob()));
        let signature = ed25519.sign(&signed);
        signed.extend(string(&signature));
    }
    file("KRL of as many keys and 16 signatures", list(signed));

    let line = format!("someone@example.org namespaces=\"git\" {}\n", ed25519.line());
    let signers = line.repeat((8 << 20) / line.len()).into_bytes();
    file(
        "allowed_signers of 8 MiB",
        Box::new(move || drop(black_box(allowed_signers::parse(&signers, None).unwrap()))),
    );
    let broken = "x\n".repeat(100_000).into_bytes();
    file(
        "allowed_signers of broken lines",
        Box::new(move || drop(black_box(allowed_signers::parse(&broken, None).unwrap_err()))),
    );
    file("a pattern of 5 KB", Box::new(|| drop(black_box(PatternList::parse(&slow_pattern()).unwrap()))));

    let key = CraftedKey::new(6, BORN);
    let mut packets = [key.primary(), crafted::user_id()].concat();
    for n in 0..4_000 {
        packets.extend(crafted::certify(&key, BORN + n, 3, vec![]));
    }
    file(
        "certificate of 4,000 self-signatures",
        Box::new(move || drop(black_box(Certificate::parse_all(&packets).unwrap()))),
    );
    let mut foreign = crafted::simple(&key, BORN);
    let one = crafted::certify(&CraftedKey::new(7, BORN), BORN, 3, vec![]);
    foreign.extend(one.repeat((4_000_000 - foreign.len()) / one.len()));
    file(
        "certificate of 4 MiB of foreign signatures",
        Box::new(move || drop(black_box(Certificate::parse_all(&foreign).unwrap()))),
    );
    all
}

/// A certificate, asked for in a KRL with as many bitmaps as may be.
fn lookups() -> Vec<Worst> {
    let authority = ssh_craft::Key::ed25519(9);
    let mut parts = strings(&[&authority.blob(), b""]);
    for n in 0..99_000_u64 {
        let bitmap = [&(1_000_000 + n * 64).to_be_bytes()[..], &string(&[0x55; 8])].concat();
        parts.push(0x22);
        parts.extend(string(&bitmap));
    }
    let list = RevocationList::parse(&krl(&[&[1][..], &string(&parts)].concat())).unwrap();
    let (blob, key) = (authority.blob(), ssh_craft::Key::ed25519(1).blob());
    let run = Box::new(move || {
        let answer = list.revokes_certificate(&blob, black_box(u64::MAX), b"nobody", &key);
        assert!(black_box(answer).is_none());
    });
    vec![Worst { name: "asking a KRL of 99,000 bitmaps", what: What::Object, run }]
}

/// What each object of a push may cost.
pub fn of_objects() -> Vec<Worst> {
    let plain = objects().into_iter().map(|(name, raw)| {
        let id = id_of(&raw);
        let run = Box::new(move || {
            black_box(read(&raw, &id, &KeyBox::default(), &everything()));
        });
        Worst { name, what: What::Object, run: run as Box<dyn Fn()> }
    });
    plain.chain(signatures()).chain(lookups()).collect()
}
