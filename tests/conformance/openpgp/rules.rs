//! What holds for all of them: the operator's options, what is odd and told, the reasoning, bounds, and
//! that the order of packets is no matter.

use super::*;
use countersign::signature::CheckResult;
use pgp::crypto::hash::HashAlgorithm;
use proptest::prelude::*;
use std::time::Instant;

/// O4: bindings by SHA-1 count where the operator says so; hashes that are weaker still never do.
#[test]
fn k009_k058_self_signatures_by_sha_1() {
    let gpg = Gpg::new();
    let user = "Test Key sha1 (not a real one) <test@example.org>";
    let sha1 = ["--cert-digest-algo", "SHA1"];
    let make = [&sha1[..], &["--quick-gen-key", user, "rsa2048", "sign,cert", "never"]].concat();
    gpg.run(BORN, &make, b"");
    let primary = gpg.fingerprints().pop().unwrap();
    let raw = signed(&payload(), &by_gpg(&gpg, &primary, &[]));
    let keys = keyring(&gpg.export(&primary));
    assert!(keys.openpgp[0].findings().sha1_self_signatures >= 1);
    let times = Times::introduced(NOW, at(NOW));
    let lenient = Rules { sha1_bindings: true, ..Rules::default() };
    assert_eq!(word(&judge(&raw, &keys, times, &Rules::default())), "weak-algorithm");
    assert_eq!(verified(&judge(&raw, &keys, times, &lenient)).certificate(), primary);
    let weaker = key(1);
    for hash in [HashAlgorithm::Md5, HashAlgorithm::Ripemd160, HashAlgorithm::Sha224] {
        let certification = CraftedSignature::new(0x13, BORN).with(flags(3)).hash(hash);
        let certification = certification.packet(&weaker, &[&weaker.framed(), &user_id_frame()]);
        let keys = keyring(&[weaker.primary(), user_id(), certification].concat());
        let raw = signed(&payload(), &data().over(&weaker, &payload()));
        assert_eq!(word(&judge(&raw, &keys, times, &lenient)), "weak-algorithm", "{hash}");
    }
    // A back signature by SHA-1 is one of them.
    let (primary, subkey) = (key(1), key(2));
    let parts: [&[u8]; 2] = [&primary.framed(), &subkey.framed()];
    let back = CraftedSignature::new(0x19, BORN).hash(HashAlgorithm::Sha1).body(&subkey, &parts);
    let binding = CraftedSignature::new(0x18, BORN).with(flags(2)).with(subpacket(32, &back));
    let file = [simple(&primary, BORN), subkey.subkey(), binding.packet(&primary, &parts)].concat();
    let keys = keyring(&file);
    let raw = signed(&payload(), &data().over(&subkey, &payload()));
    assert_eq!(word(&judge(&raw, &keys, times, &Rules::default())), "wrong-purpose");
    verified(&judge(&raw, &keys, times, &lenient));
}

/// What anybody may do to a signature without its key is told; the verdict stays (G055). A checksum is the
/// armor's matter (G052), and is told once.
#[test]
fn k031_what_is_odd_about_a_packet() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    let keys = keyring(&gpg.export(&key));
    let text = String::from_utf8(by_gpg(&gpg, &key, &[])).unwrap();
    assert!(findings(&push(text.as_bytes(), &keys)).is_empty());
    let sum = text.lines().find(|line| line.starts_with('=')).expect("GnuPG writes a checksum");
    let wrong = text.replace(sum, if sum == "=AAAA" { "=AAAB" } else { "=AAAA" });
    let raw = signed(&payload(), wrong.as_bytes());
    let commit = object::parse_commit(ObjectFormat::Sha1, &raw).unwrap();
    assert_eq!(commit.findings.iter().map(|one| one.code).collect::<Vec<_>>(), ["sig.checksum"]);
    for text in [wrong, text.replace(&format!("{sum}\n"), "")] {
        assert!(findings(&push(text.as_bytes(), &keys)).is_empty());
    }
    let (crafted, noted) = (super::key(1), data().unhashed(notation(false)).unhashed(number(25, 1)));
    let status = push(&noted.over(&crafted, &payload()), &keyring(&simple(&crafted, BORN)));
    assert_eq!(findings(&status), ["pgp.unhashed_subpacket"]);
    assert!(verified(&status).findings()[0].text.ends_with("of type 20, 25"));
}

/// The steps of the reasoning, each with its clause, up to the one that decided.
#[test]
fn k038_k044_k046_the_reasoning() {
    let steps = |file: &[u8], armor: &[u8], received: i64| {
        let raw = signed(&payload(), armor);
        let commit = object::parse_commit(ObjectFormat::Sha1, &raw).unwrap();
        let object::SignatureField::Present(block) = &commit.signature else { panic!("signed") };
        let mut trace = Trace::on();
        let times = Times::introduced(NOW, at(received));
        let keys = keyring(file);
        let status = signature::verify(block, &commit.payload, &keys, times, &Rules::default(), &mut trace);
        let checks = trace.checks().to_vec();
        let failed = checks.iter().filter(|check| check.result == CheckResult::Failed);
        let failed: Vec<_> = failed.map(|check| check.name).collect();
        let good = matches!(status, SignatureStatus::Verified(_));
        assert_eq!(failed.is_empty(), good || word(&status) == "unknown-key", "{status} {failed:?}");
        assert!(failed.len() <= 1, "{failed:?}");
        (checks.iter().map(|check| format!("{} {}", check.name, check.clause)).collect::<Vec<_>>(), failed)
    };
    let (primary, subkey) = (key(1), key(2));
    let binding = bind(&primary, &subkey, BORN, 2, number(9, NOW + DAY - BORN));
    let file = [simple(&primary, BORN), subkey.subkey(), binding].concat();
    let armor = data().over(&subkey, &payload());
    let (all, _) = steps(&file, &armor, NOW);
    for wanted in [
        "packet O1",
        "version O2",
        "type O3",
        "subpackets O5",
        "issuer O6",
        "hash O4",
        "candidates O6",
        "arithmetic O6",
        "component O7",
        "future 1.9",
        "key-algorithm O4",
        "subkey-binding O7",
        "back-signature O7",
        "revocation O10",
        "key-life-at-signature O9",
        "key-life-at-receipt 1.9",
        "signature-expiry O9",
        "skew 1.9",
    ] {
        assert!(all.iter().any(|step| step == wanted), "{wanted}: {all:?}");
    }
    assert_eq!(steps(&file, &armor, NOW + DAY).1, ["key-life-at-receipt"]);
    let revoked = [&file[..], &revoked(&primary, NOW, None)].concat();
    assert_eq!(steps(&revoked, &armor, NOW).1, ["revocation"]);
    let one = |signature: CraftedSignature, by: &CraftedKey| signature.over(by, &payload());
    assert_eq!(steps(&file, &one(data(), &key(3)), NOW).1, [""; 0]);
    let claim = data().anonymous().with(subpacket(16, &primary.key_id()));
    assert_eq!(steps(&file, &one(claim, &key(3)), NOW).1, ["arithmetic"]);
    assert_eq!(steps(&file, &one(data().hash(HashAlgorithm::Sha1), &subkey), NOW).1, ["hash"]);
    assert_eq!(steps(&file, &one(CraftedSignature::new(1, NOW), &subkey), NOW).1, ["type"]);
    assert_eq!(steps(&file, &one(data().with(notation(true)), &subkey), NOW).1, ["subpackets"]);
    assert_eq!(steps(&file, &one(CraftedSignature::new(0, NOW - 9 * DAY), &subkey), NOW).1, ["skew"]);
    let early = CraftedSignature::new(0, NOW + 9 * DAY);
    assert_eq!(steps(&file, &one(early, &subkey), NOW).1, ["future"]);
    let encrypts = [simple(&primary, BORN), subkey.subkey(), bind(&primary, &subkey, BORN, 4, vec![])];
    assert_eq!(steps(&encrypts.concat(), &armor, NOW).1, ["key-flags"]);
}

/// Large input costs what its size allows. The bounds are far above what is measured, so that a slow machine
/// passes and a quadratic reader does not.
#[test]
fn k076_large_certificates_and_signatures() {
    let primary = key(1);
    let mut file = simple(&primary, BORN);
    for number in 0..1_000_i64 {
        let mut subkey = CraftedKey::of(ED25519, u8::try_from(number % 250).unwrap(), 4, BORN + number);
        // Padding in the binding makes it as large as the keyring allows.
        subkey.version = 4;
        file.extend(subkey.subkey());
        file.extend(bind(&primary, &subkey, BORN + number, 2, subpacket(20, &[0; 600])));
    }
    assert!(file.len() > 1 << 19 && file.len() < 4 << 20, "{}", file.len());
    let start = Instant::now();
    let keys = keyring(&file);
    let loaded = start.elapsed();
    let last = CraftedKey::of(ED25519, u8::try_from(999 % 250).unwrap(), 4, BORN + 999);
    let armor = data().over(&last, &payload());
    let start = Instant::now();
    verified(&push(&armor, &keys));
    let judged = start.elapsed();
    // As many subpackets as an armor of 16 KiB holds, two octets each.
    let many = data().unhashed([1, 90].repeat(5_500));
    let armor = many.over(&primary, &payload());
    assert!(armor.len() > 14_000 && armor.len() < 16_384, "{}", armor.len());
    let start = Instant::now();
    assert_eq!(findings(&push(&armor, &keys)), ["pgp.unhashed_subpacket"]);
    let subpackets = start.elapsed();
    eprintln!("1,000 subkeys loaded in {loaded:?}, judged in {judged:?}; 5,500 subpackets in {subpackets:?}");
    assert!(loaded.as_secs() < 20 && judged.as_secs() < 2 && subpackets.as_secs() < 2);
}

/// A certificate in its packets: the primary key, and the rest in an order of no meaning.
fn packets() -> (CraftedKey, CraftedKey, Vec<u8>, Vec<Vec<u8>>) {
    let (primary, subkey, third) = (key(1), key(2), key(3));
    let foreign = CraftedSignature::new(0x10, NOW);
    let rest = vec![
        user_id(),
        certify(&primary, BORN, 3, vec![]),
        certify(&primary, NOW - 40 * DAY, 3, number(9, 900 * DAY)),
        CraftedSignature::new(0x1f, BORN).with(revoker(&third)).packet(&primary, &[&primary.framed()]),
        foreign.packet(&third, &[&primary.framed(), &user_id_frame()]),
        subkey.subkey(),
        bind(&primary, &subkey, BORN, 2, vec![]),
        bind(&primary, &subkey, NOW - 30 * DAY, 2, number(9, 900 * DAY)),
        third.subkey(),
        bind(&primary, &third, BORN, 0x0c, vec![]),
        packet(60, b"private"),
    ];
    let head = primary.primary();
    (primary, subkey, head, rest)
}

fn words(file: &[u8], signers: &[&CraftedKey]) -> Vec<&'static str> {
    let keys = keyring(file);
    let armors = signers.iter().map(|signer| data().over(signer, &payload()));
    armors
        .flat_map(|armor| [push(&armor, &keys), history(&armor, &keys, NOW)])
        .map(|one| word(&one))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Packets of a certificate in any order behind the primary key say the same, with and without
    /// revocations among them.
    #[test]
    fn k061_k072_the_order_of_packets_is_no_matter(
        order in Just((0..14).collect::<Vec<usize>>()).prop_shuffle(),
        reason in prop::option::of(0_u8..5),
        revoked_subkey in any::<bool>(),
    ) {
        let (primary, subkey, head, mut all) = packets();
        if let Some(reason) = reason {
            all.push(revoked(&primary, NOW - 35 * DAY, Some(reason)));
        }
        if revoked_subkey {
            all.push(subkey_revoked(&primary, &subkey, NOW - DAY, 3));
        }
        let signers = [&primary, &subkey];
        let straight = words(&[&head[..], &all.concat()].concat(), &signers);
        let places = order.iter().filter_map(|at| all.get(*at));
        let shuffled = [&head[..], &places.flatten().copied().collect::<Vec<_>>()].concat();
        prop_assert_eq!(shuffled.len(), head.len() + all.concat().len());
        prop_assert_eq!(words(&shuffled, &signers), straight);
    }

    /// Bindings and revocations say the same behind one packet of their subkey and behind several.
    #[test]
    fn k052_k061_a_subkey_that_stands_there_several_times(
        days in prop::collection::vec((2_i64..100, 0_u8..3), 1..5),
        again in prop::collection::vec(any::<bool>(), 5),
        revoked in prop::option::of((2_i64..100, prop_oneof![Just(1), Just(2)])),
    ) {
        let (primary, subkey) = (key(1), key(2));
        let head = [simple(&primary, BORN), subkey.subkey()].concat();
        let mut tail: Vec<Vec<u8>> = days
            .iter()
            .map(|(days, kind)| {
                let more = match kind {
                    0 => vec![],
                    1 => number(9, 1),
                    _ => number(9, 900 * DAY),
                };
                bind(&primary, &subkey, NOW - days * DAY, 2, more)
            })
            .collect();
        tail.extend(revoked.map(|(days, reason)| subkey_revoked(&primary, &subkey, NOW - days * DAY, reason)));
        let once = [&head[..], &tail.concat()].concat();
        let mut several = head.clone();
        for (packet, again) in tail.iter().zip(again) {
            if again {
                several.extend(subkey.subkey());
            }
            several.extend(packet);
        }
        prop_assert_eq!(words(&several, &[&subkey]), words(&once, &[&subkey]));
    }

    /// Whatever is added to a certificate that is revoked for good, it does not count again.
    #[test]
    fn k057_nothing_that_is_added_undoes_a_revocation(
        chosen in prop::collection::vec((0_usize..11, 0_i64..60), 0..8),
        place in any::<prop::sample::Index>(),
        reason in prop::option::of(prop_oneof![Just(0_u8), Just(2), Just(77)]),
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let (primary, subkey, head, all) = packets();
        let mut tail = all.clone();
        for (which, days) in chosen {
            let when = NOW - days * DAY;
            tail.push(match which {
                0 => certify(&primary, when, 3, vec![]),
                1 => CraftedSignature::new(0x1f, when).with(flags(3)).packet(&primary, &[&primary.framed()]),
                2 => bind(&primary, &subkey, when, 2, vec![]),
                3 => revoked(&primary, when, Some(1)),
                4 => subkey_revoked(&primary, &subkey, when, 1),
                5 => packet(60, &noise),
                6 => packet(2, &noise),
                7 => user_id(),
                8 => subkey.subkey(),
                9 => CraftedSignature::new(0x30, when).packet(&primary, &[&primary.framed(), &user_id_frame()]),
                _ => revocation(when, None).packet(&key(9), &[&primary.framed()]),
            });
        }
        let at = place.index(tail.len() + 1);
        tail.insert(at, revoked(&primary, NOW - 50 * DAY, reason));
        let file = [&head[..], &tail.concat()].concat();
        // A file that does not load lets nothing in either.
        if Certificate::parse_all(&file).is_ok() {
            prop_assert_eq!(words(&file, &[&primary, &subkey]), ["revoked"; 4]);
        }
    }
}
