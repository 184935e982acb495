//! Signatures: algorithms, versions, types, subpackets, issuers.

use super::*;
use pgp::crypto::hash::HashAlgorithm;

#[test]
fn k001_rsa_of_accepted_sizes() {
    let gpg = Gpg::new();
    for bits in ["2048", "3072", "4096"] {
        let key = gpg.generate(BORN, &format!("rsa{bits}"), "sign,cert", "never");
        let keys = keyring(&gpg.export(&key));
        for (hash, shown) in [("SHA256", "sha256"), ("SHA512", "sha512")] {
            let armor = by_gpg(&gpg, &key, &["--digest-algo", hash]);
            let status = push(&armor, &keys);
            let proof = verified(&status);
            assert_eq!(proof.algorithm(), format!("RSA-{bits} {shown}"));
            assert_eq!((proof.fingerprint(), proof.certificate()), (&key[..], &key[..]));
            let wanted: &[&str] = if bits == "2048" { &["pgp.rsa_below_3072"] } else { &[] };
            assert_eq!(findings(&status), wanted);
        }
    }
    assert_eq!(git_says(&gpg, NOW, &by_gpg(&gpg, &gpg.fingerprints()[0], &[])).0, "G");
}

#[test]
fn k002_k006_elliptic_curves_by_gnupg() {
    let gpg = Gpg::new();
    for (algorithm, shown) in [
        ("ed25519", "Ed25519 sha"),
        ("nistp256", "ECDSA P-256 sha256"),
        ("nistp384", "ECDSA P-384 sha384"),
        ("nistp521", "ECDSA P-521 sha512"),
    ] {
        let key = gpg.generate(BORN, algorithm, "sign,cert", "never");
        let status = push(&by_gpg(&gpg, &key, &[]), &keyring(&gpg.export(&key)));
        assert!(verified(&status).algorithm().starts_with(shown), "{algorithm}");
        assert!(findings(&status).is_empty());
    }
    let legacy = CraftedKey::of(EDDSA_LEGACY, 1, 4, BORN);
    assert_eq!(worth(&simple(&legacy, BORN), &legacy), "verified");
}

#[test]
fn k003_k004_k005_native_keys_of_both_versions() {
    for (algorithm, version, shown) in [
        (ED25519, 4, "Ed25519 sha512"),
        (ED25519, 6, "Ed25519 sha512"),
        (ED448, 4, "Ed448 sha512"),
        (ED448, 6, "Ed448 sha512"),
    ] {
        let key = CraftedKey::of(algorithm, 1, version, BORN);
        let keys = keyring(&simple(&key, BORN));
        let armor = data().over(&key, &payload());
        let status = push(&armor, &keys);
        assert_eq!(verified(&status).algorithm(), shown);
        assert_eq!(verified(&status).fingerprint(), key.hex());
        // The crate agrees about what was crafted here: certificate and signature by its own reading.
        use pgp::composed::{Deserializable, DetachedSignature, SignedPublicKey};
        let public = SignedPublicKey::from_bytes(&simple(&key, BORN)[..]).unwrap();
        public.verify_bindings().unwrap();
        let (detached, _) = DetachedSignature::from_armor_single(&armor[..]).unwrap();
        detached.verify(&public, &payload()[..]).unwrap();
        let mut changed = signed(&payload(), &armor);
        *changed.last_mut().unwrap() ^= 1;
        let times = Times::introduced(NOW, at(NOW));
        assert_eq!(word(&judge(&changed, &keys, times, &Rules::default())), "bad");
        // A subkey of the same kind.
        let subkey = CraftedKey::of(algorithm, 2, version, BORN);
        let bound = [simple(&key, BORN), subkey.subkey(), bind(&key, &subkey, BORN, 2, vec![])].concat();
        assert_eq!(worth(&bound, &subkey), "verified");
    }
    // A version 6 signature cannot be by a version 4 key, nor the other way round.
    let (old, new) = (key(1), CraftedKey::of(ED25519, 1, 6, BORN));
    let mut lie = data().anonymous().with(subpacket(16, &old.key_id()));
    lie.version = Some(6);
    assert_eq!(word(&push(&lie.over(&old, &payload()), &keyring(&simple(&old, BORN)))), "bad");
    let mut lie = data().anonymous().with(subpacket(16, &new.key_id()));
    lie.version = Some(4);
    assert_eq!(word(&push(&lie.over(&new, &payload()), &keyring(&simple(&new, BORN)))), "bad");
}

/// The certificate of RFC 9580, appendix A.3, and a signature by the secret key of appendix A.4.
#[test]
fn k004_the_version_6_key_of_the_standard() {
    const CERTIFICATE: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----

xioGY4d/4xsAAAAg+U2nu0jWCmHlZ3BqZYfQMxmZu52JGggkLq2EVD34laPCsQYf
GwoAAABCBYJjh3/jAwsJBwUVCg4IDAIWAAKbAwIeCSIhBssYbE8GCaaX5NUt+mxy
KwwfHifBilZwj2Ul7Ce62azJBScJAgcCAAAAAK0oIBA+LX0ifsDm185Ecds2v8lw
gyU2kCcUmKfvBXbAf6rhRYWzuQOwEn7E/aLwIwRaLsdry0+VcallHhSu4RN6HWaE
QsiPlR4zxP/TP7mhfVEe7XWPxtnMUMtf15OyA51YBM4qBmOHf+MZAAAAIIaTJINn
+eUBXbki+PSAld2nhJh/LVmFsS+60WyvXkQ1wpsGGBsKAAAALAWCY4d/4wKbDCIh
BssYbE8GCaaX5NUt+mxyKwwfHifBilZwj2Ul7Ce62azJAAAAAAQBIKbpGG2dWTX8
j+VjFM21J0hqWlEg+bdiojWnKfA5AQpWUWtnNwDEM0g12vYxoWM8Y81W+bHBw805
I8kWVkXU6vFOi+HWvv/ira7ofJu16NnoUkhclkUrk0mXubZvyl4GBg==
-----END PGP PUBLIC KEY BLOCK-----
";
    const SEED: &[u8] = b"1972817b12be707e8d5f586ce61361201d344eb266a2c82fde6835762b65b0b7";
    let keys = keyring(CERTIFICATE.as_bytes());
    let fingerprint = "CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9";
    assert_eq!(keys.openpgp[0].fingerprint(), fingerprint);
    let seed = data_encoding::HEXLOWER.decode(SEED).unwrap().try_into().unwrap();
    let key = CraftedKey::from_seed(seed, ED25519, 6, 0x6387_7fe3);
    assert_eq!(key.hex(), fingerprint);
    let status = push(&data().over(&key, &payload()), &keys);
    assert_eq!(verified(&status).certificate(), fingerprint);
    assert_eq!(
        word(&push(&data().over(&CraftedKey::of(ED25519, 1, 6, BORN), &payload()), &keys)),
        "unknown-key"
    );
}

/// There is no profile in which DSA counts.
#[test]
fn k007_k008_weak_keys_are_named() {
    let gpg = Gpg::new();
    for (algorithm, wanted) in [("dsa2048", "DSA"), ("rsa1024", "RSA-1024")] {
        let key = gpg.generate(BORN, algorithm, "sign,cert", "never");
        let armor = by_gpg(&gpg, &key, &[]);
        let status = push(&armor, &keyring(&gpg.export(&key)));
        let SignatureStatus::WeakAlgorithm { what, key: by } = &status else {
            panic!("{algorithm}: {status}")
        };
        assert_eq!((&what[..], &by.text), (wanted, &key));
        assert_eq!(git_says(&gpg, NOW, &armor).0, "G", "git accepts {algorithm}");
    }
    // Curves that are not accepted: not even the key's own signatures can be checked.
    for curve in ["secp256k1", "brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"] {
        let key = gpg.generate(BORN, curve, "sign,cert", "never");
        let error = load_error(&gpg.export(&key));
        assert_eq!(error, CertificateError::PrimaryKey(format!("ECDSA {curve} is not supported")));
    }
    // As a subkey of a key that can be checked.
    let curve = gpg.generate(BORN, "brainpoolP256r1", "sign,cert", "never");
    let exported = dearmored(&gpg.export(&curve));
    assert_eq!(exported[0], 0x98, "a header of two octets");
    let subkey = packet(14, &exported[2..2 + usize::from(exported[1])]);
    let keys = keyring(&[simple(&key(1), BORN), subkey].concat());
    let status = push(&by_gpg(&gpg, &curve, &[]), &keys);
    assert!(
        matches!(&status, SignatureStatus::WeakAlgorithm { what, .. } if what == "ECDSA brainpoolP256r1")
    );
}

#[test]
fn k009_k010_k011_weak_hashes() {
    let gpg = Gpg::new();
    let rsa = gpg.generate(BORN, "rsa2048", "sign,cert", "never");
    let keys = keyring(&gpg.export(&rsa));
    for hash in ["SHA1", "RIPEMD160", "SHA224"] {
        let status = push(&by_gpg(&gpg, &rsa, &["--digest-algo", hash]), &keys);
        assert_eq!(word(&status), "weak-algorithm", "{hash}");
    }
    let key = key(1);
    let keys = keyring(&simple(&key, BORN));
    use HashAlgorithm::*;
    for hash in [Md5, Sha1, Ripemd160, Sha224] {
        let status = push(&data().hash(hash).over(&key, &payload()), &keys);
        assert_eq!(word(&status), "weak-algorithm", "{hash}");
    }
    for hash in [Sha256, Sha384, Sha512, Sha3_256, Sha3_512] {
        verified(&push(&data().hash(hash).over(&key, &payload()), &keys));
    }
}

#[test]
fn k012_sha_1_with_a_claim_from_long_ago() {
    let gpg = Gpg::new();
    let then = 1_262_304_000;
    let key = gpg.generate(then - DAY, "rsa2048", "sign,cert", "never");
    let keys = keyring(&gpg.export(&key));
    let old = commit(then, "from 2010\n");
    let raw = signed(&old, &gpg.sign(then, &key, &["--digest-algo", "SHA1"], &old));
    let import = Rules { import: true, sha1_bindings: true, ..Rules::default() };
    for rules in [Rules::default(), import] {
        for received in [None, Some(at(NOW))] {
            let times = Times { object: then, received, now: at(NOW) };
            assert_eq!(word(&judge(&raw, &keys, times, &rules)), "weak-algorithm");
        }
    }
}

#[test]
fn k013_k014_k015_k016_types_that_are_none_over_data() {
    let key = key(1);
    let keys = keyring(&simple(&key, BORN));
    let payload = payload();
    for kind in [2, 0x40, 0x10, 0x13, 0x18, 0x19, 0x1f, 0x20, 0x28, 0x30, 0x50, 0x60, 0xff] {
        // Some readers hash the first octet alone for two of them.
        for data in [&payload[..], &payload[..1], b""] {
            let armor = signature_armor(&CraftedSignature::new(kind, NOW).packet(&key, &[data]));
            assert_eq!(word(&push(&armor, &keys)), "pgp.type", "{kind:#x}");
        }
    }
    // A certification, made for the key itself, is no signature over the commit either.
    let certification = signature_armor(&certify(&key, NOW, 3, vec![]));
    assert_eq!(word(&push(&certification, &keys)), "pgp.type");
}

#[test]
fn k017_text_signatures() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    let keys = keyring(&gpg.export(&key));
    let times = Times::introduced(NOW, at(NOW));
    let text = Rules { text_signatures: true, ..Rules::default() };
    for message in ["one line\n", "two\n\nlines\n", "no end", "trailing blanks  \t\n", ""] {
        let payload = commit(NOW, message);
        let armor = gpg.sign(NOW, &key, &["--textmode"], &payload);
        assert!(gpg.packets(&armor).contains("sigclass 0x01"));
        let raw = signed(&payload, &armor);
        assert_eq!(word(&judge(&raw, &keys, times, &Rules::default())), "unsupported");
        let status = judge(&raw, &keys, times, &text);
        assert_eq!(findings(&status), ["pgp.text_signature"], "{message:?}");
        if message.contains('\n') {
            // The same signature fits another object, and is good for none that has a CR.
            let other = String::from_utf8(payload).unwrap().replace(message, &message.replace('\n', "\r\n"));
            let raw = signed(other.as_bytes(), &armor);
            assert_eq!(word(&judge(&raw, &keys, times, &text)), "pgp.text_cr");
        }
    }
    // The option changes nothing about binary signatures, over objects with a CR too.
    let payload = commit(NOW, "a line\r\n");
    let raw = signed(&payload, &gpg.sign(NOW, &key, &[], &payload));
    assert!(findings(&judge(&raw, &keys, times, &text)).is_empty());
}

#[test]
fn k018_k019_k020_k021_versions() {
    let key = key(1);
    let keys = keyring(&simple(&key, BORN));
    let payload = payload();
    // A real signature of version 3, as old programs made them.
    let fields = [&[0][..], &u32::try_from(NOW).unwrap().to_be_bytes()].concat();
    let digest = HashAlgorithm::Sha512.digest(&[&payload[..], &fields].concat()).unwrap();
    let Secret::Ed25519(secret) = &key.secret else { panic!("an Ed25519 key") };
    let numbers = ed25519_dalek::Signer::sign(&**secret, &digest).to_bytes();
    for version in [2, 3] {
        let body =
            [&[version, 5][..], &fields, &key.key_id(), &[ED25519, 10], &digest[..2], &numbers].concat();
        let status = push(&signature_armor(&packet(2, &body)), &keys);
        assert_eq!(word(&status), "unsupported");
        assert!(status.to_string().contains(&format!("version {version}")), "{status}");
        // On record it is judged as it was pushed; in history that predates the record version 3 counts.
        let raw = signed(&payload, &signature_armor(&packet(2, &body)));
        let import = Rules { import: true, ..Rules::default() };
        let times = Times { object: NOW, received: None, now: at(NOW) };
        assert_eq!(word(&judge(&raw, &keys, times, &Rules::default())), "unsupported");
        let old = judge(&raw, &keys, times, &import);
        if version == 3 {
            assert_eq!(findings(&old), ["import.version_3"]);
        } else {
            assert_eq!(word(&old), "unsupported");
        }
    }
    for version in [5, 7, 0, 255] {
        let mut body = data().body(&key, &[&payload]);
        body[0] = version;
        let status = push(&signature_armor(&packet(2, &body)), &keys);
        assert_eq!(word(&status), "unsupported");
        assert!(status.to_string().contains(&format!("version {version}")), "{status}");
        assert_eq!(status.to_string().contains("LibrePGP"), version == 5);
    }
}

#[test]
fn k022_k023_k024_creation_times() {
    let key = key(1);
    let keys = keyring(&simple(&key, BORN));
    for (signature, wanted) in [
        (data().bare(), "pgp.no_creation_time"),
        (data().bare().unhashed(number(2, NOW)), "pgp.no_creation_time"),
        (data().with(number(2, NOW)), "pgp.duplicate_subpacket"),
        (data().with(number(2, NOW - DAY)), "pgp.duplicate_subpacket"),
        (data().bare().with(subpacket(2, &[0; 3])), "pgp.subpacket"),
        (data().with(number(3, 0)).with(number(3, 60)), "pgp.duplicate_subpacket"),
        (data().with(flags(1)).with(flags(2)), "pgp.duplicate_subpacket"),
    ] {
        assert_eq!(word(&push(&signature.over(&key, &payload()), &keys)), wanted);
    }
    // A second time outside of what is signed is looked at by nobody.
    let status = push(&data().unhashed(number(2, NOW - 9 * DAY)).over(&key, &payload()), &keys);
    assert_eq!(verified(&status).signed_at(), Some(at(NOW)));
    assert_eq!(findings(&status), ["pgp.unhashed_subpacket"]);
}

#[test]
fn k025_k026_times_near_and_far() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    let keys = keyring(&gpg.export(&key));
    let made = |time: i64| gpg.sign(time, &key, &[], &payload());
    assert_eq!(word(&push(&made(NOW + 3_600), &keys)), "not-yet-valid");
    assert_eq!(word(&push(&made(NOW + 301), &keys)), "not-yet-valid");
    verified(&push(&made(NOW + 120), &keys));
    assert_eq!(word(&push(&made(NOW - 2 * DAY), &keys)), "time.skew");
    assert_eq!(word(&push(&made(NOW - 3_601), &keys)), "time.skew");
    verified(&push(&made(NOW - 30), &keys));
    // Both bounds are the operator's.
    let wide = Rules { max_future: 7_200, max_skew: 3 * DAY, ..Rules::default() };
    for time in [NOW + 3_600, NOW - 2 * DAY] {
        let times = Times::introduced(NOW, at(NOW));
        verified(&judge(&signed(&payload(), &made(time)), &keys, times, &wide));
    }
    assert_eq!(git_says(&gpg, NOW, &made(NOW - 2 * DAY)).0, "G", "git compares no times");
}

#[test]
fn k027_an_expired_signature() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    let keys = keyring(&gpg.export(&key));
    let armor = by_gpg(&gpg, &key, &["--default-sig-expire", "1d"]);
    verified(&push(&armor, &keys));
    let late = pushed(&armor, &keys, NOW + DAY);
    assert!(
        matches!(late, SignatureStatus::Expired { what: "signature", at: when, .. } if when == at(NOW + DAY))
    );
    // What came in time stays good.
    verified(&again(&armor, &keys, NOW, NOW + 9 * DAY));
    assert_eq!(git_says(&gpg, NOW + 2 * DAY, &armor).0, "X");
}

#[test]
fn k028_k029_k030_k031_k032_subpackets_that_are_not_understood() {
    let key = key(1);
    let keys = keyring(&simple(&key, BORN));
    let verdict = |signature: CraftedSignature| word(&push(&signature.over(&key, &payload()), &keys));
    for kind in [1, 5, 8, 17, 19, 31, 36, 37, 40, 90, 100, 101, 105, 110, 127] {
        let critical = subpacket(0x80 | kind, b"x");
        assert_eq!(verdict(data().with(critical.clone())), "pgp.critical_subpacket", "{kind}");
        assert_eq!(verdict(data().unhashed(critical)), "pgp.critical_subpacket", "{kind}");
        assert_eq!(verdict(data().with(subpacket(kind, b"x"))), "verified", "{kind}");
    }
    assert_eq!(verdict(data().with(notation(true))), "pgp.critical_notation");
    assert_eq!(verdict(data().with(notation(false)).with(notation(true))), "pgp.critical_notation");
    assert_eq!(verdict(data().with(notation(false))), "verified");
    let gpg = Gpg::new();
    let real = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    let keys = keyring(&gpg.export(&real));
    let critical = by_gpg(&gpg, &real, &["--sig-notation", "!a@example.org=b"]);
    assert_eq!(word(&push(&critical, &keys)), "pgp.critical_notation");
    let plain = by_gpg(&gpg, &real, &["--sig-notation", "a@example.org=b"]);
    assert!(findings(&push(&plain, &keys)).is_empty());
}

#[test]
fn k033_k034_k036_k037_whom_a_signature_names() {
    let (key, other, thief) = (key(1), key(2), key(3));
    let keys = keyring(&[simple(&key, BORN), simple(&other, BORN)].concat());
    let verdict = |signature: CraftedSignature, by: &CraftedKey| push(&signature.over(by, &payload()), &keys);
    let id = |key: &CraftedKey| subpacket(16, &key.key_id());
    let named = |key: &CraftedKey| subpacket(33, &[&[4][..], &key.fingerprint()].concat());
    // K033
    assert_eq!(word(&verdict(data().with(id(&other)), &key)), "pgp.issuer");
    assert_eq!(word(&verdict(data().unhashed(id(&other)), &key)), "pgp.issuer");
    assert_eq!(word(&verdict(data().unhashed(named(&other)), &key)), "pgp.issuer");
    // K034
    let status = verdict(data().anonymous().unhashed(id(&key)), &key);
    assert_eq!(verified(&status).fingerprint(), key.hex());
    assert!(findings(&status).is_empty(), "most real signatures are like this");
    // K036, K037
    for claim in [id(&key), named(&key)] {
        assert_eq!(word(&verdict(data().anonymous().unhashed(claim.clone()), &thief)), "bad");
        assert_eq!(word(&verdict(data().anonymous().with(claim.clone()), &thief)), "bad");
        assert_eq!(word(&verdict(data().anonymous().unhashed(claim), &other)), "bad", "of the keyring, too");
    }
    assert_eq!(word(&verdict(data().anonymous(), &key)), "pgp.no_issuer");
}

/// Nobody can make two keys of one id cheaply for a test: a keyring that answers for every id with
/// every key stands in.
#[test]
fn k035_two_keys_of_one_id() {
    struct Collision(KeyBox);
    impl Keys for Collision {
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
    let (first, second) = (key(1), key(2));
    let keys = Collision(keyring(&[simple(&first, BORN), simple(&second, BORN)].concat()));
    let armor = data().anonymous().with(subpacket(16, &second.key_id())).over(&second, &payload());
    assert_eq!(verified(&push(&armor, &keys)).fingerprint(), second.hex());
    // By the same id, made by the first of them: the id is the second's, so nothing fits.
    let armor = data().anonymous().with(subpacket(16, &second.key_id())).over(&first, &payload());
    assert_eq!(word(&push(&armor, &keys)), "bad");
}

#[test]
fn k074_a_second_form_of_the_same_signature() {
    // The order of the base point, from its lowest octet on.
    let order: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let key = key(1);
    let keys = keyring(&simple(&key, BORN));
    let mut bytes = data().packet(&key, &[&payload()]);
    let start = bytes.len() - 32;
    assert!(add(&mut bytes[start..], &order));
    assert_eq!(word(&push(&signature_armor(&bytes), &keys)), "bad");
    // The same in GnuPG's encoding, as two numbers.
    let legacy = CraftedKey::of(EDDSA_LEGACY, 1, 4, BORN);
    let keys = keyring(&simple(&legacy, BORN));
    let good = data().body(&legacy, &[&payload()]);
    verified(&push(&signature_armor(&packet(2, &good)), &keys));
    // Its `s` is the last number, of 32 octets or one or two less.
    let start = (1..=34).rev().map(|back| good.len() - back).find(|at| {
        let bits = usize::from(u16::from_be_bytes([good[*at], good[at + 1]]));
        bits > 230 && at + 2 + bits.div_ceil(8) == good.len()
    });
    let (head, s) = good.split_at(start.unwrap());
    let mut number = [&vec![0; 34 - s.len()][..], &s[2..]].concat();
    assert!(add(&mut number, &order));
    assert_eq!(word(&push(&signature_armor(&packet(2, &[head, &mpi(&number)].concat())), &keys)), "bad");
    // Ed448: its order, from the lowest octet on; there is room above it.
    let order = "f34458ab92c27823558fc58d72c26c219036d6ae49db4ec4e923ca7cffffffffffffffffffffffffffffffff\
                 ffffffffffffffffffffff3f00";
    let order = data_encoding::HEXLOWER.decode(order.as_bytes()).unwrap();
    let key = CraftedKey::of(ED448, 1, 4, BORN);
    let keys = keyring(&simple(&key, BORN));
    let mut bytes = data().packet(&key, &[&payload()]);
    verified(&push(&signature_armor(&bytes), &keys));
    let start = bytes.len() - 57;
    assert!(add(&mut bytes[start..], &order));
    assert_eq!(word(&push(&signature_armor(&bytes), &keys)), "bad");
}

/// Adds a number of little-endian octets to another one in place; whether it fits.
fn add(octets: &mut [u8], more: &[u8]) -> bool {
    let mut carry = 0;
    for (octet, more) in octets.iter_mut().zip(more) {
        let sum = u16::from(*octet) + u16::from(*more) + carry;
        *octet = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    carry == 0
}

#[test]
fn k075_numbers_that_are_zero() {
    let gpg = Gpg::new();
    for algorithm in ["nistp256", "nistp384", "nistp521"] {
        let key = gpg.generate(BORN, algorithm, "sign,cert", "never");
        let keys = keyring(&gpg.export(&key));
        let bytes = dearmored(&by_gpg(&gpg, &key, &[]));
        let body = &bytes[if bytes[0] & 3 == 1 { 3 } else { 2 }..];
        let octets = |from: usize| usize::from(u16::from_be_bytes([body[from], body[from + 1]]));
        let unhashed = 6 + octets(4);
        let head = unhashed + 2 + octets(unhashed) + 2;
        let (r, s) = body[head..].split_at(2 + octets(head).div_ceil(8));
        let rebuilt = |r: &[u8], s: &[u8]| signature_armor(&packet(2, &[&body[..head], r, s].concat()));
        verified(&push(&rebuilt(r, s), &keys));
        let (zero, padded) = ([0, 0], [0, 8, 0]);
        for (r, s) in [(&zero[..], s), (r, &zero[..]), (&zero, &zero), (&padded, s), (r, &padded)] {
            assert_eq!(word(&push(&rebuilt(r, s), &keys)), "bad", "{algorithm}");
        }
    }
}

#[test]
fn k077_a_wrong_prefix() {
    let key = key(1);
    let mut signature = data();
    signature.breaks_prefix = true;
    let status = push(&signature.over(&key, &payload()), &keyring(&simple(&key, BORN)));
    assert_eq!(word(&status), "bad");
}

#[test]
fn k078_a_signed_document_is_no_detached_signature() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    let keys = keyring(&gpg.export(&key));
    let clear = gpg.run(NOW, &["--local-user", &key, "--clear-sign"], &payload());
    assert_eq!(word(&push(&clear, &keys)), "sig.label");
    // Its signature part alone is one over text with other line ends, and a document of its own is
    // nothing that could be handed in.
    let text = String::from_utf8(clear).unwrap();
    let block = &text[text.find("-----BEGIN PGP SIGNATURE").unwrap()..];
    assert_eq!(word(&push(block.as_bytes(), &keys)), "unsupported");
    let inline = gpg.run(NOW, &["--local-user", &key, "--armor", "--sign"], &payload());
    assert_eq!(word(&push(&inline, &keys)), "sig.label", "PGP MESSAGE");
    let relabelled = String::from_utf8(inline).unwrap().replace("PGP MESSAGE", "PGP SIGNATURE");
    assert_eq!(word(&push(relabelled.as_bytes(), &keys)), "pgp.packet");
}
