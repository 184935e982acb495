//! OpenPGP cases on crafted packets; the names give the clause or the conformance case.

use super::*;
use crate::signature::object::Payload;
use crate::signature::testing::*;
use crate::signature::{KeyId, Rules, SignatureStatus, Times, Trace};
use pgp::crypto::hash::HashAlgorithm;
use proptest::prelude::*;

mod revocations;

const PAYLOAD: &[u8] = b"tree of the payload\n";

fn verdict(armor: &[u8], keys: &KeyBox) -> SignatureStatus {
    verdict_at(armor, keys, NOW)
}

/// As if received at `now`; the object claims [`NOW`].
fn verdict_at(armor: &[u8], keys: &KeyBox, now: i64) -> SignatureStatus {
    verify(
        armor,
        &Payload { before: PAYLOAD, after: b"" },
        keys,
        Times::introduced(NOW, at(now)),
        &Rules::default(),
        &mut Trace::off(),
    )
}

fn data() -> PgpSig {
    PgpSig::new(0, NOW)
}

/// The word for a signature by key 1, whose certificate is `certificate`.
fn worth(certificate: &[u8], signer: &PgpKey) -> &'static str {
    word(&verdict(&data().over(signer, PAYLOAD), &keys(certificate)))
}

fn error(packets: &[u8]) -> CertificateError {
    Certificate::parse_all(packets).unwrap_err()
}

fn revoke(created: i64, reason: Option<u8>) -> PgpSig {
    let revocation = PgpSig::new(0x20, created);
    match reason {
        Some(reason) => revocation.with(subpacket(29, &[reason])),
        None => revocation,
    }
}

fn revocation(key: &PgpKey, created: i64, reason: Option<u8>) -> Vec<u8> {
    revoke(created, reason).packet(key, &[&key.framed()])
}

#[test]
fn k003_k004_a_good_signature_of_either_version() {
    for version in [4, 6] {
        let key = PgpKey::of_version(1, version, BORN);
        let certificate = if version == 4 {
            simple(&key)
        } else {
            let direct = PgpSig::new(0x1f, BORN).with(subpacket(27, &[3]));
            [packet(6, &key.body), direct.packet(&key, &[&key.framed()])].concat()
        };
        let keys = keys(&certificate);
        let status = verdict(&data().over(&key, PAYLOAD), &keys);
        let SignatureStatus::Verified(proof) = &status else { panic!("{status}") };
        assert_eq!(proof.fingerprint(), keys.openpgp[0].fingerprint());
        assert_eq!(proof.certificate(), proof.fingerprint());
        assert_eq!(proof.algorithm(), "Ed25519 sha512");
        assert_eq!(proof.signed_at(), Some(at(NOW)));
        assert_eq!(keys.openpgp[0].standing(at(NOW)), Standing::Usable { until: None });
    }
}

#[test]
fn a_version_6_key_lives_by_its_direct_signature_alone() {
    let key = PgpKey::of_version(1, 6, BORN);
    assert_eq!(worth(&simple(&key), &key), "weak-algorithm", "only a certified user id");
}

#[test]
fn o01_exactly_one_packet() {
    let key = PgpKey::new(1);
    let keys = keys(&simple(&key));
    let one = data().packet(&key, &[PAYLOAD]);
    let marker = packet(10, b"PGP");
    for (packets, wanted) in [
        ([&one[..], &one].concat(), "sig.multiple_packets"),
        ([&marker[..], &one].concat(), "pgp.packet"),
        ([&one[..], &marker].concat(), "sig.multiple_packets"),
        ([&one[..], b"\0"].concat(), "pgp.packet"),
        (packet(11, b"b\0\0\0\0\0text"), "pgp.packet"),
        (one[..one.len() - 1].to_vec(), "pgp.packet"),
        (b"\xc2\xe0".to_vec(), "pgp.packet"),
        (packet(2, b""), "pgp.packet"),
    ] {
        assert_eq!(word(&verdict(&pgp_armor(&packets), &keys)), wanted);
    }
    // An old-format header is the same packet (G053).
    let body = data().body(&key, &[PAYLOAD]);
    let old = [&[0x89][..], &u16::try_from(body.len()).unwrap().to_be_bytes(), &body].concat();
    assert_eq!(word(&verdict(&pgp_armor(&old), &keys)), "verified");
}

#[test]
fn o02_versions() {
    let key = PgpKey::new(1);
    let keys = keys(&simple(&key));
    // Read as another version, its fields stand elsewhere: broken, where that version is one that is read.
    for (version, wanted) in
        [(2, "unsupported"), (3, "unsupported"), (5, "unsupported"), (7, "unsupported"), (6, "pgp.packet")]
    {
        let mut body = data().body(&key, &[PAYLOAD]);
        body[0] = version;
        assert_eq!(word(&verdict(&pgp_armor(&packet(2, &body)), &keys)), wanted, "{version}");
    }
    let v3 = [&[3, 5, 0][..], &[0; 4], &[1; 8], &[27, 10, 0, 0], &[0; 64]].concat();
    let status = verdict(&pgp_armor(&packet(2, &v3)), &keys);
    assert_eq!(status, SignatureStatus::Unsupported { what: "OpenPGP signature of version 3".into() });
}

#[test]
fn o03_types() {
    let key = PgpKey::new(1);
    let keys = keys(&simple(&key));
    for kind in [1, 2, 0x10, 0x13, 0x18, 0x19, 0x1f, 0x20, 0x28, 0x40, 0x50, 0xff] {
        let parts: &[&[u8]] = if matches!(kind, 2 | 0x40) { &[&PAYLOAD[..1]] } else { &[PAYLOAD] };
        let signature = PgpSig::new(kind, NOW);
        let status = verdict(&pgp_armor(&signature.packet(&key, parts)), &keys);
        let wanted = if kind == 1 { "unsupported" } else { "pgp.type" };
        assert_eq!(word(&status), wanted, "{kind:#x}");
    }
}

#[test]
fn o04_hashes() {
    use HashAlgorithm::*;
    let key = PgpKey::new(1);
    let keys = keys(&simple(&key));
    for (hash, wanted) in [
        (Sha256, "verified"),
        (Sha384, "verified"),
        (Sha512, "verified"),
        (Sha3_256, "verified"),
        (Sha3_512, "verified"),
        (Sha224, "weak-algorithm"),
        (Sha1, "weak-algorithm"),
        (Ripemd160, "weak-algorithm"),
        (Md5, "weak-algorithm"),
    ] {
        assert_eq!(word(&verdict(&data().hash(hash).over(&key, PAYLOAD), &keys)), wanted, "{hash}");
    }
    // K012: a claimed time long ago buys nothing.
    let old = PgpSig::new(0, 1_262_304_000).hash(Sha1).over(&key, PAYLOAD);
    assert_eq!(word(&verdict(&old, &keys)), "weak-algorithm");
}

#[test]
fn o05_subpackets_of_a_data_signature() {
    let key = PgpKey::new(1);
    let keys = keys(&simple(&key));
    let none = || PgpSig { hashed: Vec::new(), ..data() };
    let notation = [&[0x80, 0, 0, 0, 0, 1, 0, 1][..], b"nv"].concat();
    for (signature, wanted) in [
        (none(), "pgp.no_creation_time"),
        (none().unhashed(number(2, NOW)), "pgp.no_creation_time"),
        (data().with(number(2, NOW)), "pgp.duplicate_subpacket"),
        (data().with(number(2, NOW - 1)), "pgp.duplicate_subpacket"),
        (data().with(number(3, 9)).with(number(3, 0)), "pgp.duplicate_subpacket"),
        (none().with(subpacket(2, &[0; 3])), "pgp.subpacket"),
        (data().with(subpacket(3, &[0; 5])), "pgp.subpacket"),
        (data().with(subpacket(90, b"x")), "verified"),
        (data().with(subpacket(0x80 | 90, b"x")), "pgp.critical_subpacket"),
        (data().unhashed(subpacket(0x80 | 90, b"x")), "pgp.critical_subpacket"),
        (data().with(subpacket(0x80 | 100, b"x")), "pgp.critical_subpacket"),
        (data().with(subpacket(0x80 | 110, b"x")), "pgp.critical_subpacket"),
        (data().with(subpacket(20, &notation)), "verified"),
        (data().with(subpacket(20, &notation)).with(subpacket(20, &notation)), "verified"),
        (data().with(subpacket(0x80 | 20, &notation)), "pgp.critical_notation"),
        (data().unhashed(subpacket(20, &notation)), "verified"),
        (data().anonymous().with(vec![5, 2]), "pgp.packet"),
        (data().with(vec![0]), "pgp.packet"),
        (PgpSig { break_prefix: true, ..data() }, "bad"),
    ] {
        assert_eq!(word(&verdict(&signature.over(&key, PAYLOAD), &keys)), wanted);
    }
}

#[test]
fn o06_issuers() {
    let key = PgpKey::new(1);
    let other = PgpKey::new(2);
    let keys = keys(&[simple(&key), simple(&other)].concat());
    let named = |key: &PgpKey| subpacket(33, &[&[4][..], &key.fingerprint()].concat());
    let id = |key: &PgpKey| subpacket(16, &key.key_id());
    for (signature, wanted) in [
        (data().anonymous(), "pgp.no_issuer"),
        (data().anonymous().unhashed(id(&key)), "verified"),
        (data().anonymous().with(id(&key)), "verified"),
        (data().anonymous().unhashed(named(&key)), "verified"),
        (data().unhashed(id(&key)), "verified"),
        (data().unhashed(id(&other)), "pgp.issuer"),
        (data().unhashed(named(&other)), "pgp.issuer"),
        (data().anonymous().with(id(&key)).unhashed(id(&other)), "pgp.issuer"),
        (data().anonymous().with(subpacket(16, &[0; 7])), "pgp.issuer"),
        (data().anonymous().with(subpacket(33, &[4; 20])), "pgp.issuer"),
        (data().anonymous().with(subpacket(33, &[&[6][..], &[1; 32]].concat())), "pgp.issuer"),
        (data().anonymous().unhashed(named(&other)), "bad"),
        (data().anonymous().unhashed(id(&other)), "bad"),
    ] {
        assert_eq!(word(&verdict(&signature.over(&key, PAYLOAD), &keys)), wanted);
    }
    let stranger = PgpKey::new(3);
    let status = verdict(&data().over(&stranger, PAYLOAD), &keys);
    let SignatureStatus::UnknownKey { key: KeyId { text, .. } } = status else { panic!("{status}") };
    assert_eq!(text, data_encoding::HEXUPPER.encode(&stranger.fingerprint()));
    let claim = data().anonymous().unhashed(id(&key)).over(&stranger, PAYLOAD);
    assert_eq!(word(&verdict(&claim, &keys)), "bad", "K037");
}

#[test]
fn o07_signing_subkeys() {
    let (primary, subkey, other) = (PgpKey::new(1), PgpKey::new(2), PgpKey::new(3));
    let base =
        [packet(6, &primary.body), packet(13, USER_ID), certify(&primary, BORN, 0x01, vec![])].concat();
    let parts: [&[u8]; 2] = [&primary.framed(), &subkey.framed()];
    let binding = |more: Vec<u8>| {
        let binding = PgpSig::new(0x18, BORN).with(subpacket(27, &[2])).with(more);
        binding.packet(&primary, &parts)
    };
    let embedded = |back: PgpSig, signer: &PgpKey| subpacket(32, &back.body(signer, &parts));
    let back = || PgpSig::new(0x19, BORN);
    for (binding, wanted) in [
        (bind(&primary, &subkey, BORN, 2, vec![]), "verified"),
        (binding(embedded(back(), &subkey)), "verified"),
        (binding(vec![]), "wrong-purpose"),
        (binding(embedded(back(), &other)), "wrong-purpose"),
        (binding(embedded(back(), &primary)), "wrong-purpose"),
        (binding(embedded(PgpSig::new(0x18, BORN), &subkey)), "wrong-purpose"),
        (binding(embedded(back().with(number(3, DAY)), &subkey)), "wrong-purpose"),
        (binding(embedded(back().hash(HashAlgorithm::Sha3_256), &subkey)), "verified"),
        (binding(subpacket(32, b"\x04")), "wrong-purpose"),
        (bind(&primary, &subkey, BORN, 0x0c, vec![]), "wrong-purpose"),
        (bind(&other, &subkey, BORN, 2, vec![]), "wrong-purpose"),
        (bind(&primary, &subkey, BORN, 2, number(9, 10 * DAY)), "expired"),
        (bind(&primary, &subkey, BORN, 2, subpacket(0x80 | 20, &[0; 8])), "wrong-purpose"),
        (vec![], "wrong-purpose"),
    ] {
        let certificate = [&base[..], &packet(14, &subkey.body), &binding].concat();
        assert_eq!(worth(&certificate, &subkey), wanted);
    }
    let certificate =
        [&base[..], &packet(14, &subkey.body), &bind(&primary, &subkey, BORN, 2, vec![])].concat();
    assert_eq!(worth(&certificate, &primary), "wrong-purpose", "K044: the primary only certifies");
    let status = verdict(&data().over(&subkey, PAYLOAD), &keys(&certificate));
    let SignatureStatus::Verified(proof) = status else { panic!("{status}") };
    assert_ne!(proof.fingerprint(), proof.certificate());
    let without = PgpSig::new(0x18, BORN).unhashed(embedded(back(), &subkey)).packet(&primary, &parts);
    let unflagged = [&base[..], &packet(14, &subkey.body), &without].concat();
    assert_eq!(worth(&unflagged, &subkey), "wrong-purpose", "no flags at all");
}

#[test]
fn k045_an_adopted_subkey_proves_nothing_for_the_adopter() {
    let (owner, thief, subkey) = (PgpKey::new(1), PgpKey::new(2), PgpKey::new(3));
    let honest = [simple(&owner), packet(14, &subkey.body), bind(&owner, &subkey, BORN, 2, vec![])].concat();
    let parts: [&[u8]; 2] = [&thief.framed(), &subkey.framed()];
    let mut adopted = [simple(&thief), packet(14, &subkey.body)].concat();
    adopted.extend(PgpSig::new(0x18, NOW - DAY).with(subpacket(27, &[2])).packet(&thief, &parts));
    assert_eq!(worth(&adopted, &subkey), "wrong-purpose");
    // A revocation by the adopter does not reach the owner's key either.
    adopted.extend(PgpSig::new(0x28, NOW - DAY).packet(&thief, &parts));
    for both in [[&honest[..], &adopted].concat(), [&adopted[..], &honest].concat()] {
        let status = verdict(&data().over(&subkey, PAYLOAD), &keys(&both));
        let SignatureStatus::Verified(proof) = status else { panic!("{status}") };
        assert_eq!(proof.certificate(), data_encoding::HEXUPPER.encode(&owner.fingerprint()));
    }
}

#[test]
fn o08_the_newest_self_signature_in_force_decides() {
    let key = PgpKey::new(1);
    let head = [packet(6, &key.body), packet(13, USER_ID)].concat();
    let certified = |created: i64, period: i64| certify(&key, created, 3, number(9, period));
    let worth = |signatures: &[Vec<u8>]| worth(&[&head[..], &signatures.concat()].concat(), &key);
    let age = NOW - BORN;
    assert_eq!(worth(&[certified(BORN, age - DAY)]), "expired");
    assert_eq!(worth(&[certified(BORN, age + DAY)]), "verified");
    assert_eq!(worth(&[certified(BORN, age)]), "expired", "the last second is over");
    for order in [[0, 1], [1, 0]] {
        let extended = [certified(BORN, 20 * DAY), certified(BORN + 10 * DAY, 900 * DAY)];
        assert_eq!(worth(&order.map(|at| extended[at].clone())), "verified", "K049");
        let shortened = [certified(BORN, 900 * DAY), certified(BORN + 10 * DAY, 20 * DAY)];
        assert_eq!(worth(&order.map(|at| shortened[at].clone())), "expired", "K050");
        let future = [certified(BORN, 20 * DAY), certified(NOW + DAY, 900 * DAY)];
        assert_eq!(worth(&order.map(|at| future[at].clone())), "expired", "K051");
        let tie = [certified(BORN, 20 * DAY), certified(BORN, 900 * DAY)];
        assert_eq!(worth(&order.map(|at| tie[at].clone())), "expired");
        let flags = [certify(&key, BORN, 3, vec![]), certify(&key, BORN, 1, vec![])];
        assert_eq!(worth(&order.map(|at| flags[at].clone())), "wrong-purpose");
    }
    assert_eq!(worth(&[certify(&key, BORN, 3, number(3, DAY))]), "wrong-purpose", "certification expired");
    assert_eq!(worth(&[certify(&key, NOW + DAY, 3, vec![])]), "not-yet-valid");
    // GnuPG replaces self-signatures: a younger one speaks for the time before it, but only once it is
    // in force itself.
    let replaced = keys(&[&head[..], &certified(NOW + DAY, 900 * DAY)].concat());
    let armor = data().over(&key, PAYLOAD);
    assert_eq!(word(&verdict_at(&armor, &replaced, NOW)), "not-yet-valid");
    assert_eq!(word(&verdict_at(&armor, &replaced, NOW + DAY)), "verified");
    let replaced = keys(&[&head[..], &certify(&key, NOW + DAY, 1, vec![])].concat());
    assert_eq!(word(&verdict_at(&armor, &replaced, NOW + DAY)), "wrong-purpose");
    let revoker = PgpSig::new(0x1f, NOW - DAY).with(subpacket(12, &[&[0x80, 27][..], &[9; 20]].concat()));
    let silent = revoker.packet(&key, &[&key.framed()]);
    let certificate = [packet(6, &key.body), silent, packet(13, USER_ID), certified(BORN, 20 * DAY)].concat();
    assert_eq!(super::tests::worth(&certificate, &key), "expired", "a direct signature that says nothing");
}

#[test]
fn o09_times_of_the_signature() {
    let key = PgpKey::new(1);
    let certificate = simple(&key);
    let keys = keys(&certificate);
    let made = |created: i64| word(&verdict(&PgpSig::new(0, created).over(&key, PAYLOAD), &keys));
    assert_eq!(made(NOW + 120), "verified", "K025");
    assert_eq!(made(NOW + 301), "not-yet-valid");
    assert_eq!(made(NOW - 30), "verified", "K026");
    assert_eq!(made(NOW - 3600), "verified");
    assert_eq!(made(NOW - 3600 - 1), "time.skew");
    assert_eq!(made(NOW - 2 * DAY), "time.skew");
    assert_eq!(made(BORN - 1), "not-yet-valid");
    let expiring = data().with(number(3, 60)).over(&key, PAYLOAD);
    assert_eq!(word(&verdict(&expiring, &keys)), "verified");
    let status = verdict_at(&expiring, &keys, NOW + 60);
    assert_eq!(word(&status), "expired", "K027");
    assert!(matches!(status, SignatureStatus::Expired { what: "signature", .. }));
    assert_eq!(
        word(&verdict_at(&data().with(number(3, 0)).over(&key, PAYLOAD), &keys, NOW + DAY)),
        "verified"
    );
}

#[test]
fn n13_a_key_that_has_expired_since_does_not_let_old_dates_in() {
    let key = PgpKey::new(1);
    let certificate =
        [packet(6, &key.body), packet(13, USER_ID), certify(&key, BORN, 3, number(9, NOW + DAY - BORN))]
            .concat();
    let keys = keys(&certificate);
    let armor = data().over(&key, PAYLOAD);
    assert_eq!(word(&verdict_at(&armor, &keys, NOW + DAY - 1)), "verified");
    let status = verdict_at(&armor, &keys, NOW + DAY);
    assert!(
        matches!(&status, SignatureStatus::Expired { what, at: when, .. }
            if what.starts_with("key, valid at the time that the signature claims") && *when == at(NOW + DAY)),
        "{status}"
    );
    assert_eq!(keys.openpgp[0].standing(at(NOW + DAY)), Standing::Expired { at: at(NOW + DAY) });
    assert_eq!(keys.openpgp[0].standing(at(NOW)), Standing::Usable { until: Some(at(NOW + DAY)) });
}

#[test]
fn k035_two_keys_of_one_id_are_told_apart_by_arithmetic() {
    struct Collision(KeyBox);
    impl crate::signature::Keys for Collision {
        fn has_ssh(&self, _: &[u8]) -> bool {
            false
        }
        fn openpgp_by_fingerprint(&self, fingerprint: &[u8]) -> Vec<&Certificate> {
            self.0.openpgp_by_fingerprint(fingerprint)
        }
        fn openpgp_by_key_id(&self, _: [u8; 8]) -> Vec<&Certificate> {
            self.0.openpgp.iter().collect()
        }
    }
    let key = PgpKey::new(1);
    let file: Vec<u8> = (2..20).flat_map(|seed| simple(&PgpKey::new(seed))).chain(simple(&key)).collect();
    let keys = Collision(keys(&file));
    let armor = data().anonymous().with(subpacket(16, &key.key_id())).over(&key, PAYLOAD);
    let status = verify(
        &armor,
        &Payload { before: PAYLOAD, after: b"" },
        &keys,
        Times::introduced(NOW, at(NOW)),
        &Rules::default(),
        &mut Trace::off(),
    );
    assert_eq!(word(&status), "verified", "a keyring that answers too much changes nothing");
}

#[test]
fn certificates_that_are_refused() {
    let key = PgpKey::new(1);
    let bare = packet(6, &key.body);
    let id = packet(13, USER_ID);
    let fingerprint = data_encoding::HEXUPPER.encode(&key.fingerprint());
    let bare_error = CertificateError::NoSelfSignature { fingerprint: fingerprint.clone() };
    let good = key_block(&simple(&key));
    for (file, wanted) in [
        (Vec::new(), CertificateError::NotACertificate),
        (b"hello\n".to_vec(), CertificateError::NotACertificate),
        (pgp_armor(b"\xc2\x01x"), CertificateError::NotACertificate),
        (bare.clone(), bare_error.clone()),
        ([&bare[..], &id].concat(), bare_error),
        (simple(&key).repeat(2), CertificateError::Duplicate { fingerprint }),
        ([b"garbage\n", &good[..]].concat(), CertificateError::OutsideBlock { line: 1 }),
        ([&good[..], b"x\n"].concat(), CertificateError::OutsideBlock { line: 10 }),
        (good[..good.len() - 20].to_vec(), CertificateError::Armor { line: 9 }),
        (packet(5, b"SECRET"), CertificateError::SecretKey),
        ([simple(&key), packet(7, b"SECRET")].concat(), CertificateError::SecretKey),
        (
            String::from_utf8(good.clone()).unwrap().replace("PUBLIC", "PRIVATE").into_bytes(),
            CertificateError::SecretKey,
        ),
        ([simple(&key), packet(1, b"x")].concat(), CertificateError::UnexpectedPacket(1)),
        ([packet(14, &key.body), simple(&key)].concat(), CertificateError::UnexpectedPacket(14)),
        (simple(&key)[..20].to_vec(), CertificateError::Broken("it ends too early")),
        (
            [simple(&key), b"\xc2\xe0xx".to_vec()].concat(),
            CertificateError::Broken("a packet has no definite length"),
        ),
        (vec![0xc6; (4 << 20) + 1], CertificateError::TooLarge),
        (packet(10, b"PGP").repeat(1 << 17)[..1 << 20].to_vec(), CertificateError::UnexpectedPacket(10)),
        ([simple(&key), packet(10, b"").repeat(1 << 17)].concat(), CertificateError::TooMany),
        ([simple(&key), packet(14, &key.body).repeat(1100)].concat(), CertificateError::TooMany),
        (packet(6, &[3; 20]), CertificateError::PrimaryKey("it is of an unsupported version".into())),
    ] {
        assert_eq!(error(&file), wanted);
        assert!(!error(&file).to_string().contains("SECRET"));
    }
}

#[test]
fn k072_k076_what_does_not_matter_is_counted_and_bounded() {
    let (key, other) = (PgpKey::new(1), PgpKey::new(2));
    let foreign = PgpSig::new(0x10, NOW).packet(&other, &[&key.framed(), &user_id_frame()]);
    let flooded = [simple(&key), foreign.repeat(20_000)].concat();
    assert_eq!(keys(&flooded).openpgp[0].findings().foreign_signatures, 20_000);
    assert_eq!(worth(&flooded, &key), "verified");
    // Forged ones in the key's own name cost arithmetic, so there is an end to them.
    let forged = PgpSig { break_prefix: true, ..PgpSig::new(0x10, NOW) };
    let forged = forged.packet(&key, &[&key.framed(), &user_id_frame()]);
    assert_eq!(error(&[simple(&key), forged.repeat(5000)].concat()), CertificateError::TooMany);
    let odd =
        [simple(&key), packet(60, b"x"), packet(14, &[9; 9]), packet(12, b""), packet(13, &[0; 70_000])];
    let odd = odd.concat();
    assert_eq!(keys(&odd).openpgp[0].findings().ignored_packets, 3);
    assert_eq!(worth(&odd, &key), "verified");
}

#[test]
fn weak_self_signatures_and_weak_points() {
    let key = PgpKey::new(1);
    let weak = PgpSig::new(0x13, BORN).with(subpacket(27, &[3])).hash(HashAlgorithm::Sha1);
    let weak = weak.packet(&key, &[&key.framed(), &user_id_frame()]);
    let certificate = [packet(6, &key.body), packet(13, USER_ID), weak].concat();
    assert_eq!(worth(&certificate, &key), "weak-algorithm");
    let keys = keys(&certificate);
    assert_eq!(keys.openpgp[0].findings().sha1_self_signatures, 1);
    assert!(keys.openpgp[0].standing(at(NOW)).to_string().starts_with("weak: "));
    // K073: the neutral element as a key.
    let mut point = PgpKey::new(1);
    point.body.truncate(6);
    point.body.extend([1]);
    point.body.extend([0; 31]);
    assert_eq!(super::key::Key::parse(&point.body).unwrap_err(), super::key::KeyError::Point);
}

/// Numbers that are no key: refused or never good, and no arithmetic that panics.
#[test]
fn degenerate_numbers_do_not_panic() {
    let mpi = |bytes: &[u8]| [&u16::try_from(bytes.len() * 8).unwrap().to_be_bytes()[..], bytes].concat();
    let numbers: [&[u8]; 6] = [b"", b"\0", b"\x01", b"\x02", &[0xff; 32], &[0xfe; 256]];
    let signature = |algorithm: u8, count: usize, number: &[u8]| {
        let mut body = vec![4, 0x20, algorithm, 10, 0, 6, 5, 2, 0, 0, 0, 1, 0, 0, 0, 0];
        (0..count).for_each(|_| body.extend(mpi(number)));
        body
    };
    for (algorithm, key_numbers, signature_numbers) in [(1, 2, 1), (3, 2, 1), (17, 4, 2)] {
        for (first, second) in numbers.iter().flat_map(|a| numbers.iter().map(move |b| (a, b))) {
            let mut body = vec![4, 0, 0, 0, 1, algorithm];
            (0..key_numbers).for_each(|at| body.extend(mpi(if at % 2 == 0 { first } else { second })));
            let key = super::key::Key::parse(&body).unwrap();
            for number in numbers {
                let mut packet = signature(algorithm, signature_numbers, number);
                let parsed = super::signature::RawSignature::parse(&packet).unwrap();
                // Fit the two leading octets, so that the arithmetic is reached.
                let digest = {
                    let tail = [4, 0xff, 0, 0, 0, 12];
                    HashAlgorithm::Sha512.digest(&[&packet[..12], &tail].concat()).unwrap()
                };
                packet[14..16].copy_from_slice(&digest[..2]);
                let fitting = super::signature::RawSignature::parse(&packet).unwrap();
                assert!(!key.made(&parsed, &[]) && !key.made(&fitting, &[]), "{algorithm}");
            }
        }
    }
    for oid in [&b"\x2a\x86\x48\xce\x3d\x03\x01\x07"[..], b"\x2b\x81\x04\x00\x23", b"\x55", b""] {
        for point in [&[4; 65][..], &[0; 65], &[4], b""] {
            let head = [4, 0, 0, 0, 1, 19, u8::try_from(oid.len()).unwrap()];
            match super::key::Key::parse(&[&head[..], oid, &mpi(point)].concat()) {
                Ok(key) => assert!(oid.len() < 2 && key.algorithm.weakness().is_some()),
                Err(error) => assert_eq!(error, super::key::KeyError::Point),
            }
        }
    }
}

#[test]
fn what_keyring_commands_show() {
    let (primary, subkey) = (PgpKey::new(1), PgpKey::new(2));
    let certificate = &keys(
        &[simple(&primary), packet(14, &subkey.body), bind(&primary, &subkey, BORN, 0x0c, vec![])].concat(),
    )
    .openpgp[0];
    assert_eq!(certificate.user_ids(), [USER_ID]);
    assert_eq!(certificate.component_fingerprints(), [primary.fingerprint(), subkey.fingerprint()]);
    assert_eq!(certificate.key_ids()[1].to_vec(), subkey.key_id());
    assert_eq!(certificate.algorithm().to_string(), "Ed25519");
    let certifying =
        [packet(6, &primary.body), packet(13, USER_ID), certify(&primary, BORN, 1, vec![])].concat();
    let standing = keys(&certifying).openpgp[0].standing(at(NOW));
    assert_eq!(standing.to_string(), "no signing key: it has no flag for signing data");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Truncated, changed and random input: a refusal, never a panic, never a proof.
    #[test]
    fn nothing_panics(cut in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), bit in 0..8_u8,
                      noise in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (primary, subkey) = (PgpKey::new(1), PgpKey::new(2));
        let certificate = [simple(&primary), packet(14, &subkey.body),
            bind(&primary, &subkey, BORN, 2, vec![]), revocation(&primary, NOW, None)].concat();
        let good = keys(&simple(&primary));
        let signature = data().unhashed(subpacket(16, &primary.key_id())).packet(&primary, &[PAYLOAD]);
        for whole in [&certificate, &signature] {
            let mut changed = whole.clone();
            changed[place.index(whole.len())] ^= 1 << bit;
            let cut = &whole[..cut.index(whole.len())];
            for bytes in [cut, &changed[..], &noise, &[cut, &noise].concat()] {
                if let Ok(certificates) = Certificate::parse_all(bytes) {
                    for certificate in &certificates {
                        let _ = certificate.standing(at(NOW)).to_string();
                    }
                }
                let _ = Certificate::parse_all(&key_block(bytes));
                let status = verdict(&pgp_armor(bytes), &good);
                // A flipped bit can hit what is not signed: the unhashed issuer or a length's form.
                prop_assert!(word(&status) != "verified" || bytes == &changed[..] || bytes == &whole[..]);
            }
        }
        let _ = verdict(&noise, &good);
    }

    /// Whatever the signed bytes become, the signature is not good for them.
    #[test]
    fn a_changed_payload_never_verifies(place in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let key = PgpKey::new(1);
        let armor = data().over(&key, PAYLOAD);
        let mut changed = PAYLOAD.to_vec();
        changed[place.index(PAYLOAD.len())] ^= 1 << bit;
        let status = verify(&armor, &Payload { before: &changed, after: b"" }, &keys(&simple(&key)), Times::introduced(NOW, at(NOW)), &Rules::default(), &mut Trace::off());
        prop_assert_eq!(word(&status), "bad");
    }
}
