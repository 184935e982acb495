//! Certificates: bindings, flags, expiry, and what loads.

use super::*;
use countersign::keyring::{Keyring, Material, MaterialError};
use std::time::Instant;

/// A primary key that certifies, its subkey with this binding, and the word for a signature by the subkey.
fn bound(binding: impl FnOnce(&CraftedKey, &CraftedKey) -> Vec<u8>) -> &'static str {
    let (primary, subkey) = (key(1), key(2));
    let base = [primary.primary(), user_id(), certify(&primary, BORN, 1, vec![]), subkey.subkey()].concat();
    worth(&[base, binding(&primary, &subkey)].concat(), &subkey)
}

/// A binding for signing with this embedded signature, hashed or not.
fn with_back(back: CraftedSignature, by: Option<&CraftedKey>, hashed: bool) -> &'static str {
    bound(|primary, subkey| {
        let parts: [&[u8]; 2] = [&primary.framed(), &subkey.framed()];
        let embedded = subpacket(32, &back.body(by.unwrap_or(subkey), &parts));
        let binding = CraftedSignature::new(0x18, BORN).with(flags(2));
        let binding = if hashed { binding.with(embedded) } else { binding.unhashed(embedded) };
        binding.packet(primary, &parts)
    })
}

fn back() -> CraftedSignature {
    CraftedSignature::new(0x19, BORN)
}

#[test]
fn k038_k039_k040_k041_k042_back_signatures() {
    let none = |primary: &CraftedKey, subkey: &CraftedKey| {
        let parts: [&[u8]; 2] = [&primary.framed(), &subkey.framed()];
        CraftedSignature::new(0x18, BORN).with(flags(2)).packet(primary, &parts)
    };
    assert_eq!(bound(none), "wrong-purpose", "K038");
    assert_eq!(bound(|_, _| vec![]), "wrong-purpose", "not bound at all");
    for other in [key(1), key(3)] {
        assert_eq!(with_back(back(), Some(&other), true), "wrong-purpose", "K039");
    }
    assert_eq!(with_back(back(), None, false), "verified", "K040");
    assert_eq!(with_back(back(), None, true), "verified");
    for kind in [0x18, 0x1f, 0x10, 0x00, 0x20] {
        assert_eq!(with_back(CraftedSignature::new(kind, BORN), None, true), "wrong-purpose", "K041");
    }
    assert_eq!(with_back(back().with(number(3, DAY)), None, true), "wrong-purpose", "K042");
    assert_eq!(with_back(back().with(number(3, 900 * DAY)), None, true), "verified");
    assert_eq!(with_back(CraftedSignature::new(0x19, NOW + DAY), None, true), "wrong-purpose", "not begun");
    assert_eq!(with_back(back().with(notation(true)), None, true), "wrong-purpose", "O5 holds inside too");
    // GnuPG writes it where it is not signed.
    let gpg = Gpg::new();
    let primary = gpg.generate(BORN, "ed25519", "cert", "never");
    gpg.run(BORN, &["--quick-add-key", &primary, "ed25519", "sign", "never"], b"");
    let status = push(&by_gpg(&gpg, &primary, &[]), &keyring(&gpg.export(&primary)));
    assert_ne!(verified(&status).fingerprint(), primary);
    assert_eq!(verified(&status).certificate(), primary);
}

#[test]
fn k043_k044_keys_that_may_not_sign() {
    for of in [0x00, 0x01, 0x04, 0x08, 0x0c, 0x20] {
        assert_eq!(bound(|primary, subkey| bind(primary, subkey, BORN, of, vec![])), "wrong-purpose", "K043");
    }
    assert_eq!(bound(|primary, subkey| bind(primary, subkey, BORN, 0x02, vec![])), "verified");
    let unflagged = bound(|primary, subkey| {
        let parts: [&[u8]; 2] = [&primary.framed(), &subkey.framed()];
        let embedded = subpacket(32, &back().body(subkey, &parts));
        CraftedSignature::new(0x18, BORN).with(embedded).packet(primary, &parts)
    });
    assert_eq!(unflagged, "wrong-purpose", "O7: a subkey has to say that it signs");
    let key = key(1);
    for of in [0x01, 0x00, 0x20] {
        let certifying = [key.primary(), user_id(), certify(&key, BORN, of, vec![])].concat();
        assert_eq!(worth(&certifying, &key), "wrong-purpose", "K044");
    }
}

/// A primary key that says nowhere what it is for counts, because its keeper put it into the keyring
/// itself (O7). Once one of its signatures has said something, silence allows nothing.
#[test]
fn k044_a_primary_key_without_flags() {
    let key = key(1);
    let silent = |created| {
        let certification = CraftedSignature::new(0x13, created);
        certification.packet(&key, &[&key.framed(), &user_id_frame()])
    };
    let head = [key.primary(), user_id()].concat();
    let keys = keyring(&[&head[..], &silent(BORN)].concat());
    let status = push(&data().over(&key, &payload()), &keys);
    assert_eq!(findings(&status), ["pgp.no_key_flags"]);
    let spoken = [&head[..], &certify(&key, BORN, 1, vec![]), &silent(NOW - DAY)].concat();
    assert_eq!(worth(&spoken, &key), "wrong-purpose");
    let period = CraftedSignature::new(0x1f, NOW - DAY).with(number(9, 900 * DAY));
    let period = period.packet(&key, &[&key.framed()]);
    let spoken = [&head[..], &certify(&key, BORN, 1, vec![]), &period].concat();
    assert_eq!(worth(&spoken, &key), "wrong-purpose");
}

#[test]
fn k045_a_subkey_of_somebody_else() {
    let (owner, thief, subkey) = (key(1), key(2), key(3));
    let honest = [simple(&owner, BORN), subkey.subkey(), bind(&owner, &subkey, BORN, 2, vec![])].concat();
    let parts: [&[u8]; 2] = [&thief.framed(), &subkey.framed()];
    // The thief has the owner's back signature, which is over another primary key.
    let stolen = CraftedSignature::new(0x19, BORN).body(&subkey, &[&owner.framed(), &subkey.framed()]);
    let binding = CraftedSignature::new(0x18, NOW - DAY).with(flags(2)).with(subpacket(32, &stolen));
    let adopted = [simple(&thief, BORN), subkey.subkey(), binding.packet(&thief, &parts)].concat();
    assert_eq!(worth(&adopted, &subkey), "wrong-purpose");
    for both in [[&honest[..], &adopted].concat(), [&adopted[..], &honest].concat()] {
        let status = push(&data().over(&subkey, &payload()), &keyring(&both));
        assert_eq!(verified(&status).certificate(), owner.hex());
    }
}

#[test]
fn k046_k047_k048_an_expired_key() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "ed25519", "sign,cert", "110d");
    let ends = BORN + 110 * DAY;
    let certificate = gpg.export(&key);
    let keys = keyring(&certificate);
    let in_time = by_gpg(&gpg, &key, &[]);
    // K046: GnuPG signs with no expired key; prolonged, and the keyring has not heard of it.
    gpg.run(ends + DAY, &["--quick-set-expire", &key, "5y"], b"");
    let after = commit(ends + DAY, "after\n");
    let raw = signed(&after, &gpg.sign(ends + DAY, &key, &[], &after));
    for received in [Some(at(ends + DAY)), None] {
        let times = Times { object: ends + DAY, received, now: at(ends + DAY) };
        let status = judge(&raw, &keys, times, &Rules::default());
        assert!(matches!(status, SignatureStatus::Expired { what: "key", at: when, .. } if when == at(ends)));
    }
    // K047
    verified(&again(&in_time, &keys, NOW, ends + 9 * DAY));
    verified(&history(&in_time, &keys, ends + 9 * DAY));
    // K048
    let status = pushed(&in_time, &keys, ends);
    assert_eq!(word(&status), "expired");
    let text = status.to_string();
    assert!(
        text.contains("valid at the time that the signature claims but not when it was received"),
        "{text}"
    );
    verified(&pushed(&in_time, &keys, ends - 1));
    // Git cannot tell the three apart.
    let old = Gpg::new();
    old.run(NOW, &["--import"], &certificate);
    assert_eq!(git_says(&old, ends + DAY, &in_time), ("Y".to_owned(), false));
}

#[test]
fn k049_k050_k051_changed_expiry() {
    let key = key(1);
    let head = [key.primary(), user_id()].concat();
    let until = |created: i64, ends: i64| certify(&key, created, 3, number(9, ends - BORN));
    let armor = data().over(&key, &payload());
    for order in [[0, 1], [1, 0]] {
        let file = |signatures: [Vec<u8>; 2]| {
            keyring(&[&head[..], &order.map(|at| signatures[at].clone()).concat()].concat())
        };
        let extended = file([until(BORN, NOW - 50 * DAY), until(NOW - 60 * DAY, NOW + 50 * DAY)]);
        verified(&push(&armor, &extended));
        let shortened = file([until(BORN, NOW + 50 * DAY), until(NOW - 60 * DAY, NOW - 50 * DAY)]);
        assert_eq!(word(&push(&armor, &shortened)), "expired", "K050");
        let future = file([until(BORN, NOW - 50 * DAY), until(NOW + DAY, NOW + 50 * DAY)]);
        assert_eq!(word(&push(&armor, &future)), "expired", "K051");
        verified(&pushed(&data().over(&key, &payload()), &extended, NOW + DAY));
        let tie = file([until(BORN, NOW - 50 * DAY), until(BORN, NOW + 50 * DAY)]);
        assert_eq!(word(&push(&armor, &tie)), "expired", "the most restrictive of one second");
        // Made in a later self-signature's time, a signature of before is judged by both.
        let late = file([until(BORN, NOW - DAY), until(NOW + DAY, NOW + 50 * DAY)]);
        assert_eq!(word(&pushed(&armor, &late, NOW + 2 * DAY)), "expired");
    }
    // GnuPG replaces the self-signature. What was received before is judged by the one that is left.
    let gpg = Gpg::new();
    let real = gpg.generate(BORN, "ed25519", "sign,cert", "110d");
    let armor = by_gpg(&gpg, &real, &[]);
    gpg.run(NOW + DAY, &["--quick-set-expire", &real, "5y"], b"");
    let keys = keyring(&gpg.export(&real));
    verified(&pushed(&armor, &keys, NOW + 2 * DAY));
    verified(&again(&armor, &keys, NOW, NOW + 2 * DAY));
    verified(&history(&armor, &keys, NOW + 2 * DAY));
    assert_eq!(word(&push(&armor, &keys)), "not-yet-valid", "at a receipt before it was made");
}

/// What is said over the key alone and what is said over a user id hold together, whichever is newer: GnuPG lets
/// the former win, Sequoia the latter where it says something.
#[test]
fn k043_k049_k050_two_kinds_of_self_signature() {
    let key = key(1);
    let framed = key.framed();
    let direct = |created: i64, of: u8, more: Vec<u8>| {
        CraftedSignature::new(0x1f, created).with(flags(of)).with(more).packet(&key, &[&framed])
    };
    let until = |ends: i64| number(9, ends - BORN);
    let (old, new) = (BORN, NOW - 50 * DAY);
    for (first, second) in [(old, new), (new, old), (old, old)] {
        for (of_key, of_id, wanted) in [
            (direct(first, 3, until(NOW - DAY)), certify(&key, second, 3, vec![]), "expired"),
            (direct(first, 3, vec![]), certify(&key, second, 3, until(NOW - DAY)), "expired"),
            (direct(first, 3, until(NOW - DAY)), certify(&key, second, 3, until(NOW + DAY)), "expired"),
            (direct(first, 3, until(NOW + DAY)), certify(&key, second, 3, until(NOW - DAY)), "expired"),
            (direct(first, 1, vec![]), certify(&key, second, 3, vec![]), "wrong-purpose"),
            (direct(first, 3, vec![]), certify(&key, second, 1, vec![]), "wrong-purpose"),
            (direct(first, 3, until(NOW + DAY)), certify(&key, second, 3, until(NOW + DAY)), "verified"),
            (direct(first, 3, vec![]), certify(&key, second, 3, vec![]), "verified"),
        ] {
            let certificate = [key.primary(), of_key, user_id(), of_id].concat();
            assert_eq!(worth(&certificate, &key), wanted);
        }
    }
    // One that is not in force any more says nothing.
    let ended = direct(old, 1, number(3, DAY));
    assert_eq!(
        worth(&[key.primary(), ended, user_id(), certify(&key, new, 3, vec![])].concat(), &key),
        "verified"
    );
}

/// Nobody vouches for a key that does not exist yet.
#[test]
fn k038_k071_self_signatures_from_before_the_key() {
    let (primary, subkey) = (key(1), CraftedKey::new(2, BORN + DAY));
    let early = [primary.primary(), user_id(), certify(&primary, BORN - 1, 3, vec![])].concat();
    assert_eq!(worth(&early, &primary), "weak-algorithm");
    let revoked = [&early[..], &revoked(&primary, BORN - 1, None)].concat();
    assert_eq!(worth(&revoked, &primary), "revoked", "a revocation counts whatever its date");
    for (created, wanted) in [(BORN + DAY, "verified"), (BORN + DAY - 1, "wrong-purpose")] {
        let binding = bind(&primary, &subkey, created, 2, vec![]);
        assert_eq!(worth(&[simple(&primary, BORN), subkey.subkey(), binding].concat(), &subkey), wanted);
        let parts: [&[u8]; 2] = [&primary.framed(), &subkey.framed()];
        let back = CraftedSignature::new(0x19, created).body(&subkey, &parts);
        let binding = CraftedSignature::new(0x18, BORN + DAY).with(flags(2)).with(subpacket(32, &back));
        let file = [simple(&primary, BORN), subkey.subkey(), binding.packet(&primary, &parts)].concat();
        assert_eq!(worth(&file, &subkey), wanted);
    }
}

#[test]
fn k052_an_expired_subkey() {
    let gpg = Gpg::new();
    let primary = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    gpg.run(BORN, &["--quick-add-key", &primary, "ed25519", "sign", "110d"], b"");
    let subkey = gpg.fingerprints().pop().unwrap();
    let keys = keyring(&gpg.export(&primary));
    let (ends, armor) = (BORN + 110 * DAY, by_gpg(&gpg, &format!("{subkey}!"), &[]));
    assert_eq!(verified(&pushed(&armor, &keys, ends - 1)).fingerprint(), subkey);
    let status = pushed(&armor, &keys, ends);
    assert!(
        matches!(&status, SignatureStatus::Expired { what, .. } if what.starts_with("subkey")),
        "{status}"
    );
    verified(&again(&armor, &keys, NOW, ends));
    verified(&pushed(&by_gpg(&gpg, &format!("{primary}!"), &[]), &keys, ends));
    // The other way round: with the primary key its subkeys end.
    let (primary, subkey) = (key(1), key(2));
    let ended = certify(&primary, BORN, 3, number(9, 10 * DAY));
    let binding = bind(&primary, &subkey, BORN, 2, vec![]);
    let certificate = [primary.primary(), user_id(), ended, subkey.subkey(), binding].concat();
    assert_eq!(worth(&certificate, &subkey), "expired");
}

#[test]
fn k068_what_is_in_a_key_file() {
    let good = key_armor(&simple(&key(1), BORN));
    let other = key_armor(&simple(&key(2), BORN));
    let garbage = [b"garbage\n", &good[..]].concat();
    assert_eq!(load_error(&garbage), CertificateError::OutsideBlock { line: 1 });
    let behind = [&good[..], b"garbage\n"].concat();
    assert!(matches!(load_error(&behind), CertificateError::OutsideBlock { .. }));
    let text = |file: Vec<u8>| String::from_utf8(file).unwrap();
    let two = Material::openpgp(&text([good, other].concat())).unwrap_err();
    assert!(matches!(&two, MaterialError::Several(keys) if keys.len() == 2), "{two}");
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    let secret = gpg.run(NOW, &["--armor", "--export-secret-keys", &key], b"");
    assert_eq!(load_error(&secret), CertificateError::SecretKey);
    assert_eq!(load_error(&dearmored(&secret)), CertificateError::SecretKey);
    let line = text(secret.clone()).lines().nth(2).unwrap().to_owned();
    for said in [
        CertificateError::SecretKey.to_string(),
        Material::openpgp(&text(secret.clone())).unwrap_err().to_string(),
        Material::from_file(&secret).unwrap_err().to_string(),
        Material::from_file(&dearmored(&secret)).unwrap_err().to_string(),
    ] {
        assert!(!said.contains(&line[..8]), "{said}");
    }
}

/// The keyring of a directory with these files, by principal.
fn directory(files: &[(&str, String)]) -> Result<Keyring, String> {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    for (name, key) in files {
        let path = dir.path().join(format!("{name}.toml"));
        std::fs::write(&path, format!("name = \"{name}\"\nkind = \"person\"\n\n[[key]]\n{key}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    Keyring::load(dir.path()).map(|loaded| loaded.keyring).map_err(|error| error.to_string())
}

fn entry(packets: &[u8]) -> String {
    format!("openpgp = \"\"\"\n{}\"\"\"", String::from_utf8(key_armor(packets)).unwrap())
}

#[test]
fn k069_one_key_of_two_people() {
    let (first, second) = (simple(&key(1), BORN), simple(&key(2), BORN));
    directory(&[("ann", entry(&first)), ("bob", entry(&second))]).unwrap();
    let error = directory(&[("ann", entry(&first)), ("bob", entry(&first))]).unwrap_err();
    assert!(error.contains("ann"), "{error}");
    // By a subkey, too.
    let (primary, subkey) = (key(3), key(4));
    let with = [simple(&primary, BORN), subkey.subkey(), bind(&primary, &subkey, BORN, 2, vec![])].concat();
    directory(&[("ann", entry(&with)), ("bob", entry(&simple(&subkey, BORN)))]).unwrap_err();
}

/// The keyring holds keys, never names of keys.
#[test]
fn k070_an_id_instead_of_a_key() {
    let key = key(1);
    let hex = key.hex();
    for id in [&hex[..], &hex[24..], &hex[32..], "0x12345678"] {
        assert!(Material::openpgp(id).is_err(), "{id}");
        for field in ["openpgp", "fingerprint", "id", "key_id"] {
            directory(&[("ann", format!("{field} = \"{id}\""))]).unwrap_err();
        }
    }
}

#[test]
fn k071_a_key_that_vouches_for_nothing() {
    let (key, other) = (key(1), CraftedKey::new(2, BORN));
    let foreign = CraftedSignature::new(0x13, BORN).with(flags(3));
    let foreign = foreign.packet(&other, &[&key.framed(), &user_id_frame()]);
    let mut forged = certify(&key, BORN, 3, vec![]);
    *forged.last_mut().unwrap() ^= 1;
    let weak = CraftedSignature::new(0x13, BORN).with(flags(3)).hash(pgp::crypto::hash::HashAlgorithm::Sha1);
    let mut weak = weak.packet(&key, &[&key.framed(), &user_id_frame()]);
    *weak.last_mut().unwrap() ^= 1;
    for tail in [vec![], user_id(), [user_id(), foreign].concat(), [user_id(), forged].concat(), weak] {
        let error = load_error(&[key.primary(), tail].concat());
        assert_eq!(error, CertificateError::NoSelfSignature { fingerprint: key.hex() });
    }
}

#[test]
fn k072_packets_that_nobody_can_read() {
    let key = key(1);
    let armor = data().over(&key, &payload());
    let unknown_version = [&[9][..], &key.body[1..]].concat();
    for odd in [
        packet(60, b"private"),
        packet(40, b""),
        packet(14, &unknown_version),
        packet(2, b"\x09\x10\x1b\x0a"),
        packet(13, &[b'x'; 70_000]),
    ] {
        let packets = [key.primary(), odd, user_id(), certify(&key, BORN, 3, vec![])].concat();
        assert_eq!(findings(&push(&armor, &keyring(&packets))), ["pgp.certificate_packets"]);
        let revoked = [packets, revoked(&key, NOW - DAY, None)].concat();
        assert_eq!(word(&push(&armor, &keyring(&revoked))), "revoked", "behind it, and not lost");
    }
    // Types that a reader must know if it goes on, and a revocation that it cannot read.
    for tag in [1, 8, 9, 11, 18, 20, 22, 30, 39] {
        let packets = [simple(&key, BORN), packet(tag, b"x")].concat();
        assert_eq!(load_error(&packets), CertificateError::UnexpectedPacket(tag));
    }
    for body in [&b"\x05\x20\x1b\x0a"[..], b"\x04\x20\x63\x0a\0\0\0\0\0\0", b"\x09\x28"] {
        let packets = [simple(&key, BORN), packet(2, body)].concat();
        assert_eq!(load_error(&packets), CertificateError::UnreadableRevocation);
    }
}

/// A key packet of version 4 with these numbers, as the primary key of a file and as a subkey.
fn points(algorithm: u8, numbers: &[u8]) -> [CertificateError; 2] {
    let body = [&[4, 0x60, 0, 0, 0, algorithm][..], numbers].concat();
    let as_subkey = [simple(&key(1), BORN), packet(14, &body)].concat();
    [load_error(&packet(6, &body)), load_error(&as_subkey)]
}

#[test]
fn k073_points_that_no_key_has() {
    let wanted =
        [CertificateError::PrimaryKey("it has a point that no key has".into()), CertificateError::BadPoint];
    // Ed25519 of the orders 1, 2, 4 and 8: a signature by such a point can fit everything.
    let small = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ];
    for point in small {
        let point = data_encoding::HEXLOWER.decode(point.as_bytes()).unwrap();
        assert_eq!(points(ED25519, &point), wanted);
        let legacy = [&b"\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01\x01\x07\x40"[..], &point].concat();
        assert_eq!(points(EDDSA_LEGACY, &legacy), wanted);
    }
    // Ed448: the neutral element, its opposite, and the two of order 4.
    let minus_one = [&[0xfe][..], &[0xff; 27], &[0xfe], &[0xff; 27], &[0]].concat();
    for point in [[&[1][..], &[0; 56]].concat(), minus_one, vec![0; 57], [&[0; 56][..], &[0x80]].concat()] {
        assert_eq!(points(ED448, &point), wanted);
    }
    // Off the curve: no point at all.
    for (oid, size) in [
        (&b"\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"[..], 64),
        (b"\x05\x2b\x81\x04\x00\x22", 96),
        (b"\x05\x2b\x81\x04\x00\x23", 132),
    ] {
        for octet in [0, 1, 7] {
            let point = [&[4][..], &vec![octet; size]].concat();
            assert_eq!(points(19, &[oid, &mpi(&point)].concat()), wanted);
        }
    }
}

#[test]
fn k076_a_certificate_that_was_flooded() {
    let (key, other) = (key(1), CraftedKey::new(2, BORN));
    let armor = data().over(&key, &payload());
    // As short as signatures can be: 50,000 of them fit into a file.
    let foreign = packet(
        2,
        &[&b"\x04\x10\x01\x0a\0\0\0\x0a\x09\x10"[..], &other.key_id(), &[0, 0, 0, 8, 0x80]].concat(),
    );
    let flood = [simple(&key, BORN), foreign.repeat(50_000)].concat();
    let start = Instant::now();
    let keys = keyring(&flood);
    let loaded = start.elapsed();
    assert_eq!(keys.openpgp[0].findings().foreign_signatures, 50_000);
    let start = Instant::now();
    verified(&push(&armor, &keys));
    let judged = start.elapsed();
    assert!(loaded.as_secs() < 10 && judged.as_secs() < 2, "{loaded:?} {judged:?}");
    // A revocation at the end of it is not lost.
    let revoked = [flood.clone(), revoked(&key, NOW - DAY, None)].concat();
    assert_eq!(word(&push(&armor, &keyring(&revoked))), "revoked");
    // More than that is refused, before anything is computed.
    assert_eq!(load_error(&[flood, foreign.repeat(16_000)].concat()), CertificateError::TooMany);
    let large = CraftedSignature::new(0x10, NOW).packet(&other, &[&key.framed(), &user_id_frame()]);
    assert_eq!(load_error(&[simple(&key, BORN), large.repeat(50_000)].concat()), CertificateError::TooLarge);
    // In the key's own name they cost arithmetic, so there is an end to them.
    let mut forged = CraftedSignature::new(0x10, NOW);
    forged.breaks_prefix = true;
    let forged = forged.packet(&key, &[&key.framed(), &user_id_frame()]);
    assert_eq!(load_error(&[simple(&key, BORN), forged.repeat(5_000)].concat()), CertificateError::TooMany);
    let revocations = revocation(NOW, None).packet(&other, &[&key.framed()]).repeat(5_000);
    assert_eq!(load_error(&[simple(&key, BORN), revocations].concat()), CertificateError::TooMany);
}
