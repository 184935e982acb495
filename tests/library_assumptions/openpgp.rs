//! The crate `pgp`: what it leaves to the caller, row by row of the table in reference 2.1.

use crate::PAYLOAD;
use crate::crafted::*;
use crate::keys::*;
use pgp::composed::{Deserializable, DetachedSignature, SignedPublicKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Packet, PacketParser, SignatureType};
use pgp::types::KeyDetails;

fn public(armored: &[u8]) -> SignedPublicKey {
    SignedPublicKey::from_armor_single(armored).unwrap().0
}

fn detached(armored: &[u8]) -> DetachedSignature {
    DetachedSignature::from_armor_single(armored).unwrap().0
}

/// Whether the crate calls this crafted signature over [`PAYLOAD`] good.
fn good(signature: &CraftedSignature, key: &CraftedKey) -> bool {
    over(&signature.packet(key, &[PAYLOAD]), &simple(key, BORN))
}

fn over(packets: &[u8], certificate: &[u8]) -> bool {
    let key = SignedPublicKey::from_bytes(certificate).unwrap();
    let Ok(signature) = DetachedSignature::from_bytes(packets) else { return false };
    signature.verify(&key, PAYLOAD).is_ok()
}

fn key() -> CraftedKey {
    CraftedKey::new(1, BORN)
}

fn data() -> CraftedSignature {
    CraftedSignature::new(0, NOW)
}

/// Row 1: any type passes, and those of no data are hashed over the first octet of it.
#[test]
fn row_01_the_type_is_not_looked_at() {
    let key = key();
    assert!(good(&data(), &key));
    for kind in [0x02, 0x40] {
        let signature = CraftedSignature::new(kind, NOW).packet(&key, &[&PAYLOAD[..1]]);
        assert!(over(&signature, &simple(&key, BORN)), "{kind:#x}");
    }
    for kind in [0x10, 0x18, 0x1f, 0x20] {
        assert!(!good(&CraftedSignature::new(kind, NOW), &key), "{kind:#x}: no way to hash data");
    }
}

/// Row 2: a text signature fits both forms of line end.
#[test]
fn row_02_text_is_normalised() {
    let key = key();
    let public = SignedPublicKey::from_bytes(&simple(&key, BORN)[..]).unwrap();
    let signature = CraftedSignature::new(1, NOW).packet(&key, &[b"a\r\nb\r\n"]);
    let signature = DetachedSignature::from_bytes(&signature[..]).unwrap();
    assert!(signature.verify(&public, b"a\nb\n").is_ok());
    assert!(signature.verify(&public, b"a\r\nb\r\n").is_ok());
}

/// Row 3: version 3 is verified; 5 is not.
#[test]
fn row_03_version_3_counts() {
    let key = key();
    let fields = [&[0][..], &u32::try_from(NOW).unwrap().to_be_bytes()].concat();
    let hash = HashAlgorithm::Sha512;
    let digest = hash.digest(&[PAYLOAD, &fields].concat()).unwrap();
    let Secret::Ed25519(secret) = &key.secret else { panic!("an Ed25519 key") };
    let numbers = ed25519_dalek::Signer::sign(&**secret, &digest).to_bytes();
    let body = [&[3, 5][..], &fields, &key.key_id(), &[ED25519, 10], &digest[..2], &numbers].concat();
    assert!(over(&packet(2, &body), &simple(&key, BORN)));
    let mut body = data().body(&key, &[PAYLOAD]);
    body[0] = 5;
    assert!(!over(&packet(2, &body), &simple(&key, BORN)));
}

/// Row 4: a time that is not there, not signed, or in the future.
#[test]
fn row_04_the_creation_time_is_not_looked_at() {
    assert!(good(&data().bare(), &key()));
    assert!(good(&data().bare().unhashed(number(2, NOW)), &key()));
    assert!(good(&CraftedSignature::new(0, i64::from(u32::MAX)), &key()), "the year 2106");
}

/// Row 5: an expired signature.
#[test]
fn row_05_the_signatures_expiry_is_not_looked_at() {
    assert!(good(&CraftedSignature::new(0, BORN).with(number(3, 1)), &key()));
}

/// Row 6: of two subpackets the first one is what the crate shows.
#[test]
fn row_06_the_first_of_two_subpackets_wins() {
    let signature = data().with(number(2, NOW - DAY));
    assert!(good(&signature, &key()));
    let packets = signature.packet(&key(), &[PAYLOAD]);
    let parsed = DetachedSignature::from_bytes(&packets[..]).unwrap();
    assert_eq!(i64::from(parsed.signature.created().unwrap().as_secs()), NOW);
}

/// Row 7: critical notations pass.
#[test]
fn row_07_critical_notations_pass() {
    assert!(good(&data().with(notation(true)), &key()));
    let gpg = Gpg::new();
    let real = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    let critical = detached(&gpg.sign(NOW, &real, &["--sig-notation", "!a@example.org=b"], PAYLOAD));
    assert!(critical.verify(&public(&gpg.export(&real)), PAYLOAD).is_ok());
}

/// Row 8: critical subpackets of the experimental types pass; of other unknown types they do not.
#[test]
fn row_08_critical_experimental_types_pass() {
    for kind in 100..=110 {
        assert!(good(&data().with(subpacket(0x80 | kind, b"x")), &key()), "{kind}");
    }
    assert!(!good(&data().with(subpacket(0x80 | 90, b"x")), &key()));
}

/// Row 9: hashes that are broken. Ed25519 has a least digest size; RSA has none.
#[test]
fn row_09_weak_hashes() {
    for hash in [HashAlgorithm::Md5, HashAlgorithm::Sha1, HashAlgorithm::Ripemd160, HashAlgorithm::Sha224] {
        assert!(!good(&data().hash(hash), &key()), "{hash}: too short for Ed25519");
    }
    let gpg = Gpg::new();
    let rsa = gpg.generate(BORN, "rsa2048", "sign,cert", "never");
    for hash in ["SHA1", "RIPEMD160", "SHA224"] {
        let signature = detached(&gpg.sign(NOW, &rsa, &["--digest-algo", hash], PAYLOAD));
        assert!(signature.verify(&public(&gpg.export(&rsa)), PAYLOAD).is_ok(), "{hash}");
    }
}

/// Row 10: RSA of any size.
#[test]
fn row_10_small_rsa_keys_count() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "rsa1024", "sign,cert", "never");
    let signature = detached(&gpg.sign(NOW, &key, &[], PAYLOAD));
    assert!(signature.verify(&public(&gpg.export(&key)), PAYLOAD).is_ok());
}

/// Row 11: any algorithm that the crate computes.
#[test]
fn row_11_dsa_keys_count() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "dsa2048", "sign,cert", "never");
    let signature = detached(&gpg.sign(NOW, &key, &[], PAYLOAD));
    assert!(signature.verify(&public(&gpg.export(&key)), PAYLOAD).is_ok());
}

/// Row 12: a key that is younger than its signature.
#[test]
fn row_12_key_creation_is_not_looked_at() {
    assert!(good(&CraftedSignature::new(0, BORN - DAY), &key()));
}

/// Row 13: a key that had expired when it signed.
#[test]
fn row_13_key_expiry_is_not_looked_at() {
    let key = key();
    let expired = [key.primary(), user_id(), certify(&key, BORN, 3, number(9, DAY))].concat();
    assert!(over(&data().packet(&key, &[PAYLOAD]), &expired));
    assert!(SignedPublicKey::from_bytes(&expired[..]).unwrap().verify_bindings().is_ok());
}

/// Row 14: a key that its owner revoked, even where the parser kept the revocation.
#[test]
fn row_14_revocations_are_not_looked_at() {
    let key = key();
    let tail = [user_id(), certify(&key, BORN, 3, vec![])].concat();
    let file = [key.primary(), revoked(&key, BORN + DAY, Some(2)), tail].concat();
    assert_eq!(SignedPublicKey::from_bytes(&file[..]).unwrap().details.revocation_signatures.len(), 1);
    assert!(over(&data().packet(&key, &[PAYLOAD]), &file));
}

/// Row 15: the flags of the key that signed.
#[test]
fn row_15_key_flags_are_not_looked_at() {
    let key = key();
    let certifies = [key.primary(), user_id(), certify(&key, BORN, 1, vec![])].concat();
    assert!(over(&data().packet(&key, &[PAYLOAD]), &certifies));
}

/// Row 16: a subkey that never agreed; only `verify_bindings` asks, and for a back signature only where
/// the binding says that the key signs.
#[test]
fn row_16_bindings_are_not_asked_for() {
    let (primary, subkey) = (key(), CraftedKey::new(2, BORN));
    let parts: [&[u8]; 2] = [&primary.framed(), &subkey.framed()];
    let signature = data().packet(&subkey, &[PAYLOAD]);
    let parsed = DetachedSignature::from_bytes(&signature[..]).unwrap();
    for (of, wanted) in [(2, false), (0x0c, true)] {
        let binding = CraftedSignature::new(0x18, BORN).with(flags(of)).packet(&primary, &parts);
        let certificate = [simple(&primary, BORN), subkey.subkey(), binding].concat();
        let public = SignedPublicKey::from_bytes(&certificate[..]).unwrap();
        assert!(parsed.verify(&public.public_subkeys[0], PAYLOAD).is_ok());
        assert_eq!(public.verify_bindings().is_ok(), wanted, "{of:#x}");
    }
    let unbound = [simple(&primary, BORN), subkey.subkey()].concat();
    assert!(SignedPublicKey::from_bytes(&unbound[..]).unwrap().public_subkeys.is_empty(), "dropped");
}

/// Row 17: one fitting issuer in either area is enough, whatever the others say.
#[test]
fn row_17_issuers_of_either_area() {
    let (key, other) = (key(), CraftedKey::new(2, BORN));
    assert!(good(&data().unhashed(subpacket(16, &other.key_id())), &key), "contradictory");
    assert!(good(&data().anonymous().unhashed(subpacket(16, &key.key_id())), &key));
    assert!(!good(&data().anonymous().with(subpacket(16, &other.key_id())), &key), "only somebody else");
}

/// Row 18: there is no look-up, so no answer to two keys of one id: the key is whoever the caller tries, and
/// without a name anybody.
#[test]
fn row_18_the_caller_tries_keys() {
    let (key, other) = (key(), CraftedKey::new(2, BORN));
    let named = data().anonymous().with(subpacket(16, &key.key_id()));
    let anonymous = data().anonymous();
    for signature in [&named, &anonymous] {
        assert!(over(&signature.packet(&key, &[PAYLOAD]), &simple(&key, BORN)));
        assert!(!over(&signature.packet(&key, &[PAYLOAD]), &simple(&other, BORN)));
        assert!(!over(&signature.packet(&other, &[PAYLOAD]), &simple(&key, BORN)));
    }
}

/// The text above the table: what the crate does look at when it verifies.
#[test]
fn what_verify_does_look_at() {
    let (key, new) = (key(), CraftedKey::of(ED25519, 1, 6, BORN));
    assert!(!good(&CraftedSignature { breaks_prefix: true, ..data() }, &key), "the leading octets");
    assert!(good(&data(), &new));
    for (lie, signer) in [(6, &key), (4, &new)] {
        let lie = CraftedSignature { version: Some(lie), ..data().anonymous() };
        assert!(!good(&lie, signer), "the key's version");
    }
    let named = subpacket(33, &[&[6][..], &new.fingerprint()].concat());
    assert!(!good(&data().anonymous().with(named), &key), "the version of the issuer's fingerprint");
    // The salt of version 6 has the hash's size: one octet less than it should have.
    let mut body = data().body(&new, &[PAYLOAD]);
    let at = body.len() - 64 - 32 - 1;
    assert_eq!(body[at], 32, "the salt's length for SHA-512");
    body[at] = 31;
    body.remove(at + 1);
    assert!(!over(&packet(2, &body), &simple(&new, BORN)));
}

/// SHA-1 finds an attack by collision and says so: what fingerprints and old revocations rest on here.
#[test]
fn sha_1_detects_collisions() {
    // The beginning of the first published collision (M. Stevens et al., 2017).
    let start = "255044462d312e330a25e2e3cfd30a0a0a312030206f626a0a3c3c2f57696474682032203020522f4865696768742033\
                 203020522f547970652034203020522f537562747970652035203020522f46696c7465722036203020522f436f6c6f72\
                 53706163652037203020522f4c656e6774682038203020522f42697473506572436f6d706f6e656e7420383e3e0a7374\
                 7265616d0affd8fffe00245348412d3120697320646561642121212121852fec092339759c39b1a1c63c4c97e1fffe01";
    let blocks = "7346dc9166b67e118f029ab621b2560ff9ca67cca8c7f85ba84c79030c2b3de218f86db3a90901d5df45c14f26fedfb3\
                  dc38e96ac22fe7bd728f0e45bce046d23c570feb141398bb552ef5a0a82be331fea48037b8b5d71f0e332edf93ac3500\
                  eb4ddc0decc1a864790c782c76215660dd309791d06bd0af3f98cda4bc4629b1";
    let prefix = data_encoding::HEXLOWER.decode(format!("{start}{blocks}").as_bytes()).unwrap();
    assert_eq!(prefix.len(), 320);
    assert!(HashAlgorithm::Sha1.digest(&prefix).is_err());
    assert!(HashAlgorithm::Sha1.digest(&prefix[..319]).is_ok());
}

/// Each row of the table has a test of its own.
#[test]
fn every_row_has_its_test() {
    let source = include_str!("openpgp.rs");
    for row in 1..=18 {
        assert_eq!(source.matches(&format!("#[test]\nfn row_{row:02}_")).count(), 1, "row {row}");
    }
}

/// `SignedPublicKey`: parsing verifies nothing, and `verify_bindings` is neither necessary nor
/// sufficient: content with bare and revoked keys, not content with real ones that others certified.
#[test]
fn a_certificate_is_parsed_and_not_verified() {
    let (key, other) = (key(), CraftedKey::new(2, BORN));
    let read = |packets: &[u8]| SignedPublicKey::from_bytes(packets).unwrap();
    let mut forged = certify(&key, BORN, 3, vec![]);
    *forged.last_mut().unwrap() ^= 1;
    let parsed = read(&[key.primary(), user_id(), forged].concat());
    assert_eq!(parsed.details.users.len(), 1);
    assert!(parsed.verify_bindings().is_err());
    assert!(read(&key.primary()).verify_bindings().is_ok(), "nothing vouches for it");
    let revoked = [key.primary(), revoked(&key, NOW, None), user_id(), certify(&key, BORN, 3, vec![])];
    assert!(read(&revoked.concat()).verify_bindings().is_ok(), "revoked");
    let foreign = CraftedSignature::new(0x10, NOW).packet(&other, &[&key.framed(), &user_id_frame()]);
    assert!(read(&[simple(&key, BORN), foreign].concat()).verify_bindings().is_err(), "certified by another");
    let by_other = revocation(NOW, None).packet(&other, &[&key.framed()]);
    let designated = [key.primary(), by_other, user_id(), certify(&key, BORN, 3, vec![])].concat();
    assert!(read(&designated).verify_bindings().is_err(), "revoked by another");
}

/// What stands in a file and is not there afterwards, without an error.
#[test]
fn the_certificate_parser_drops_things() {
    let key = key();
    let read = |packets: &[u8]| SignedPublicKey::from_bytes(packets).unwrap();
    assert_eq!(read(&[simple(&key, BORN), user_id()].concat()).details.users.len(), 1, "an unsigned user id");
    for odd in [packet(60, b"x"), packet(14, &[9; 9]), packet(10, b"PGP")] {
        let parsed = read(&[simple(&key, BORN), odd].concat());
        assert!(parsed.public_subkeys.is_empty() && parsed.verify_bindings().is_ok());
    }
    // Whatever stands right behind the primary key is taken for a direct signature.
    let stray = certify(&key, BORN, 3, vec![]);
    let parsed = read(&[key.primary(), stray, user_id(), certify(&key, BORN, 3, vec![])].concat());
    assert_eq!(parsed.details.direct_signatures.len(), 1);
    assert_ne!(parsed.details.direct_signatures[0].typ(), Some(SignatureType::Key));
}

#[test]
fn armor_is_read_leniently() {
    let armor = String::from_utf8(key_armor(&simple(&key(), BORN))).unwrap();
    let fine = |text: String| SignedPublicKey::from_armor_single(text.as_bytes()).is_ok();
    assert!(fine(format!("junk before it\n{armor}")));
    assert!(fine(armor.replace("\n-----END", "\n=AAAA\n-----END")), "a wrong checksum");
    // The label decides what a detached signature is.
    let signature = String::from_utf8(data().over(&key(), PAYLOAD)).unwrap();
    let relabelled = signature.replace("PGP SIGNATURE", "PGP MESSAGE");
    assert!(DetachedSignature::from_armor_single(signature.as_bytes()).is_ok());
    assert!(DetachedSignature::from_armor_single(relabelled.as_bytes()).is_err());
}

/// Several at once, by GnuPG: whatever the validity, the numbers fit and the crate is content.
#[test]
fn pgp_verify_is_content_with_expired_revoked_and_sha1() {
    let gpg = Gpg::new();
    let expired = gpg.generate(BORN, "ed25519", "sign,cert", "30d");
    let signature = detached(&gpg.sign(BORN + DAY, &expired, &[], PAYLOAD));
    let key = public(&gpg.export(&expired));
    assert!(signature.verify(&key, PAYLOAD).is_ok(), "expired in {}", BORN + 30 * DAY);
    assert!(key.verify_bindings().is_ok());

    let revoked = gpg.generate(BORN, "rsa2048", "sign,cert", "never");
    let signature = detached(&gpg.sign(NOW, &revoked, &["--digest-algo", "SHA1"], PAYLOAD));
    gpg.run(NOW, &["--import"], &gpg.prepared_revocation(&revoked));
    let key = public(&gpg.export(&revoked));
    assert_eq!(key.details.revocation_signatures.len(), 1);
    assert!(signature.verify(&key, PAYLOAD).is_ok(), "revoked, and by SHA-1");
    assert!(key.verify_bindings().is_ok());

    let expiring = detached(&gpg.sign(BORN, &expired, &["--default-sig-expire", "1d"], PAYLOAD));
    assert!(expiring.verify(&public(&gpg.export(&expired)), PAYLOAD).is_ok(), "an expired signature");
}

/// A signature of type 0x02 is hashed over the first octet of the data alone.
#[test]
fn pgp_hashes_one_octet_for_standalone_signatures() {
    use ed25519_dalek::{Signer, SigningKey};
    let secret = SigningKey::from_bytes(&[1; 32]);
    let mut body = vec![4, 0, 0, 0, 1, 27];
    body.extend(secret.verifying_key().as_bytes());
    let key = pgp::packet::PublicKey::try_from_reader(
        pgp::packet::PacketHeader::new_fixed(pgp::types::Tag::PublicKey, 38),
        &body[..],
    )
    .unwrap();
    let head = [4, 2, 27, 8, 0, 6, 5, 2, 0, 0, 0, 1];
    let trailer = [4, 0xff, 0, 0, 0, 12];
    let hash = pgp::crypto::hash::HashAlgorithm::Sha256;
    let digest = hash.digest(&[&PAYLOAD[..1], &head, &trailer].concat()).unwrap();
    let mut packet = vec![0xc2, 12 + 2 + 2 + 64];
    packet.extend([&head[..], &[0, 0], &digest[..2], &secret.sign(&digest).to_bytes()].concat());
    let Some(Ok(Packet::Signature(signature))) = PacketParser::new(&packet[..]).next() else {
        panic!("a signature")
    };
    assert_eq!(signature.typ(), Some(SignatureType::Standalone));
    assert!(signature.verify(&key, PAYLOAD).is_ok());
    assert!(signature.verify(&key, &b"something else"[..]).is_ok(), "the same first letter");
}

#[test]
fn pgp_reads_the_first_armor_block_only() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    let other = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    let read = |file: &[u8]| {
        let (all, _) = SignedPublicKey::from_armor_many(file).unwrap();
        all.map(|one| one.unwrap().details.revocation_signatures.len()).collect::<Vec<_>>()
    };
    assert_eq!(read(&[gpg.export(&key), gpg.export(&other)].concat()), [0], "one of two keys");
    // With a revocation behind it not even the key is found, and there is no error.
    let file = [gpg.export(&key), gpg.prepared_revocation(&key)].concat();
    assert!(read(&file).is_empty());
}

fn dearmor(armored: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(armored.to_vec()).unwrap();
    let body = text.split_once("\n\n").unwrap().1;
    let lines = body.lines().take_while(|line| !line.starts_with('=') && !line.starts_with("-----"));
    data_encoding::BASE64.decode(lines.collect::<String>().as_bytes()).unwrap()
}

#[test]
fn pgp_drops_a_revocation_behind_a_user_id() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    let packets = [dearmor(&gpg.export(&key)), dearmor(&gpg.prepared_revocation(&key))].concat();
    let parsed = SignedPublicKey::from_bytes(&packets[..]).unwrap();
    assert!(parsed.details.revocation_signatures.is_empty());
    let kept = parsed.details.users.iter().flat_map(|user| &user.signatures);
    assert!(kept.into_iter().all(|one| one.typ() != Some(SignatureType::KeyRevocation)));
    // This program finds it there.
    let certificate = &countersign::signature::openpgp::Certificate::parse_all(&packets).unwrap()[0];
    assert!(certificate.standing(at(NOW)).to_string().starts_with("revoked"));
}

/// Signature packets of a certificate: as the crate's raw iterator sees them, as GnuPG does, and as
/// this program has to account for them.
#[test]
fn pgp_raw_packets_are_all_there() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "ed25519", "cert", "never");
    let other = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    gpg.run(BORN, &["--quick-add-key", &key, "ed25519", "sign", "never"], b"");
    gpg.run(BORN, &["--quick-add-uid", &key, "Second Test Key <second@example.org>"], b"");
    gpg.run(BORN, &["--local-user", &other, "--quick-sign-key", &key], b"");
    gpg.run(NOW, &["--import"], &gpg.prepared_revocation(&key));
    let exported = gpg.export(&key);
    let listed = gpg.packets(&exported);
    let wanted = listed.lines().filter(|line| line.starts_with(":signature packet:")).count();
    assert_eq!(wanted, 6, "two user ids certified twice, a binding, a revocation:\n{listed}");
    let bytes = dearmor(&exported);
    let raw = PacketParser::new(&bytes[..]).filter(|one| matches!(one, Ok(Packet::Signature(_)))).count();
    assert_eq!(raw, wanted);
    let certificate = &countersign::signature::openpgp::Certificate::parse_all(&exported).unwrap()[0];
    let findings = certificate.findings();
    assert_eq!(findings.foreign_signatures, 2);
    let ignored = [findings.false_signatures, findings.unreadable_signatures, findings.false_revocations];
    assert_eq!(ignored, [0, 0, 0]);
}

/// Fingerprints are computed from what the crate re-encodes; this program computes them from the file
/// and uses a key only where the two agree.
#[test]
fn pgp_and_gpg_agree_on_fingerprints() {
    let gpg = Gpg::new();
    for algorithm in ["ed25519", "rsa2048", "nistp256", "dsa2048"] {
        let key = gpg.generate(BORN, algorithm, "sign,cert", "never");
        let parsed = public(&gpg.export(&key)).primary_key.fingerprint();
        assert_eq!(data_encoding::HEXUPPER.encode(parsed.as_bytes()), key);
    }
}

#[test]
fn pgp_detached_signature_takes_the_first_of_two() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    let one = dearmor(&gpg.sign(NOW, &key, &[], PAYLOAD));
    let other = dearmor(&gpg.sign(NOW, &key, &[], b"other"));
    let both = [one, other].concat();
    let first = DetachedSignature::from_bytes(&both[..]).unwrap();
    assert!(first.verify(&public(&gpg.export(&key)), PAYLOAD).is_ok());
}
