//! Revocations: whose, when, and why.

use super::*;
use countersign::signature::Keys as _;
use pgp::crypto::hash::HashAlgorithm;

/// Long after everything.
const LATER: i64 = NOW + 30 * DAY;

/// The words for a signature of [`NOW`]: pushed later, received at [`NOW`] and judged again later, and in
/// history without a record.
fn three(armor: &[u8], keys: &KeyBox) -> [&'static str; 3] {
    [pushed(armor, keys, LATER), again(armor, keys, NOW, LATER), history(armor, keys, LATER)]
        .map(|status| word(&status))
}

#[test]
fn k053_a_subkey_that_is_not_used_any_more() {
    let gpg = Gpg::new();
    let primary = gpg.generate(BORN, "ed25519", "cert", "never");
    gpg.run(BORN, &["--quick-add-key", &primary, "ed25519", "sign", "never"], b"");
    let subkey = gpg.fingerprints().pop().unwrap();
    let armor = by_gpg(&gpg, &format!("{subkey}!"), &[]);
    gpg.converse(NOW + DAY, &["--edit-key", &primary], "key 1\nrevkey\ny\n3\n\ny\nsave\n");
    let keys = keyring(&gpg.export(&primary));
    assert_eq!(three(&armor, &keys), ["revoked", "verified", "verified"]);
    let status = pushed(&armor, &keys, LATER);
    assert!(matches!(&status, SignatureStatus::Revoked { reason, hard: false, .. } if reason == "retired"));
    assert_eq!(word(&again(&armor, &keys, NOW + 2 * DAY, LATER)), "revoked", "it came after the revocation");
    assert_eq!(git_says(&gpg, LATER, &armor), ("R".to_owned(), false));
    // By reasons that are soft and hard, crafted.
    let (primary, subkey) = (key(1), key(2));
    let bound = [simple(&primary, BORN), subkey.subkey(), bind(&primary, &subkey, BORN, 2, vec![])].concat();
    for (reason, soft) in [(0, false), (1, true), (2, false), (3, true), (32, true), (99, false)] {
        let keys = keyring(&[&bound[..], &subkey_revoked(&primary, &subkey, NOW + DAY, reason)].concat());
        let armor = data().over(&subkey, &payload());
        let wanted = if soft { ["revoked", "verified", "verified"] } else { ["revoked"; 3] };
        assert_eq!(three(&armor, &keys), wanted, "{reason}");
        assert_eq!(three(&data().over(&primary, &payload()), &keys), ["verified"; 3]);
    }
}

#[test]
fn k054_compromised() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    let armor = by_gpg(&gpg, &key, &[]);
    let block = gpg.revocation(NOW + DAY, &key, 1);
    let keys = keyring(&[gpg.export(&key), block.clone()].concat());
    assert_eq!(three(&armor, &keys), ["revoked"; 3]);
    for status in [pushed(&armor, &keys, LATER), history(&armor, &keys, LATER)] {
        let SignatureStatus::Revoked { reason, hard, .. } = &status else { panic!("{status}") };
        assert_eq!((&reason[..], *hard), ("compromised", true));
    }
    gpg.run(LATER, &["--import"], &block);
    assert_eq!(git_says(&gpg, LATER, &armor), ("R".to_owned(), false));
}

#[test]
fn k055_no_reason_is_a_hard_one() {
    let key = key(1);
    for reason in [None, Some(0), Some(4), Some(31), Some(33), Some(100)] {
        let keys = keyring(&[simple(&key, BORN), revoked(&key, NOW + DAY, reason)].concat());
        let armor = data().over(&key, &payload());
        assert_eq!(three(&armor, &keys), ["revoked"; 3], "{reason:?}");
        assert!(matches!(pushed(&armor, &keys, LATER), SignatureStatus::Revoked { hard: true, .. }));
    }
    // Two reasons are none.
    let both = revocation(NOW + DAY, Some(1)).with(subpacket(29, &[3])).packet(&key, &[&key.framed()]);
    let keys = keyring(&[simple(&key, BORN), both].concat());
    assert_eq!(three(&data().over(&key, &payload()), &keys), ["revoked"; 3]);
}

#[test]
fn k056_superseded_and_retired() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    let armor = by_gpg(&gpg, &key, &[]);
    for (menu, wanted) in [(2, "superseded"), (3, "retired")] {
        let keys = keyring(&[gpg.export(&key), gpg.revocation(NOW + DAY, &key, menu)].concat());
        assert_eq!(three(&armor, &keys), ["revoked", "verified", "verified"]);
        let status = pushed(&armor, &keys, LATER);
        let SignatureStatus::Revoked { reason, hard, .. } = &status else { panic!("{status}") };
        assert_eq!((&reason[..], *hard), (wanted, false));
        // In history its own time is the one that counts.
        let keys = keyring(&[gpg.export(&key), gpg.revocation(NOW - DAY, &key, menu)].concat());
        assert_eq!(three(&armor, &keys), ["revoked"; 3]);
    }
}

#[test]
fn k057_nothing_undoes_a_hard_revocation() {
    let key = key(1);
    let armor = data().over(&key, &payload());
    let renewed = certify(&key, NOW - DAY, 3, number(9, 900 * DAY));
    let direct = CraftedSignature::new(0x1f, NOW - DAY).with(flags(3)).packet(&key, &[&key.framed()]);
    for reason in [None, Some(2)] {
        let certificate =
            [simple(&key, BORN), revoked(&key, NOW - 5 * DAY, reason), renewed.clone(), direct.clone()];
        assert_eq!(three(&armor, &keyring(&certificate.concat())), ["revoked"; 3]);
    }
    for reason in [Some(1), Some(3)] {
        let certificate = [simple(&key, BORN), revoked(&key, NOW - 5 * DAY, reason), renewed.clone()];
        assert_eq!(three(&armor, &keyring(&certificate.concat())), ["verified"; 3], "a soft one");
        // A self-signature by SHA-1 undoes nothing that it could not have granted.
        let weak = CraftedSignature::new(0x13, NOW - DAY).with(flags(3)).hash(HashAlgorithm::Sha1);
        let weak = weak.packet(&key, &[&key.framed(), &user_id_frame()]);
        let certificate = [simple(&key, BORN), revoked(&key, NOW - 5 * DAY, reason), weak].concat();
        assert_eq!(three(&armor, &keyring(&certificate)), ["revoked"; 3]);
        // Undone later than it signed, by its own word: at that time the key was revoked.
        let late = certify(&key, NOW + DAY, 3, vec![]);
        let certificate = [simple(&key, BORN), revoked(&key, NOW - DAY, reason), late].concat();
        assert_eq!(three(&armor, &keyring(&certificate)), ["revoked"; 3]);
        // Revoked later than it signed, and undone: it was in life at both times.
        let late = certify(&key, NOW + 2 * DAY, 3, vec![]);
        let certificate = [simple(&key, BORN), revoked(&key, NOW + DAY, reason), late].concat();
        assert_eq!(three(&armor, &keyring(&certificate)), ["verified"; 3]);
    }
}

#[test]
fn k058_a_revocation_by_an_old_program() {
    let gpg = Gpg::new();
    for algorithm in ["rsa2048", "ed25519"] {
        let key = gpg.generate(BORN, algorithm, "sign,cert", "never");
        let args = ["--cert-digest-algo", "SHA1", "--armor", "--gen-revoke", &key];
        let block = gpg.converse(NOW - DAY, &args, "y\n0\n\ny\n");
        assert!(gpg.packets(&block).contains("digest algo 2,"));
        let keys = keyring(&[gpg.export(&key), block].concat());
        assert_eq!(three(&by_gpg(&gpg, &key, &[]), &keys), ["revoked"; 3]);
    }
    for algorithm in [ED25519, EDDSA_LEGACY] {
        let key = CraftedKey::of(algorithm, 1, 4, BORN);
        for hash in [HashAlgorithm::Md5, HashAlgorithm::Ripemd160, HashAlgorithm::Sha224] {
            let revocation = revocation(NOW - DAY, None).hash(hash).packet(&key, &[&key.framed()]);
            assert_eq!(worth(&[simple(&key, BORN), revocation].concat(), &key), "revoked", "{hash}");
        }
    }
}

#[test]
fn k059_k065_revocations_that_nothing_else_would_pass_with() {
    let (key, other) = (key(1), key(2));
    for revocation in [
        revocation(NOW - DAY, None).with(notation(true)),
        revocation(NOW - DAY, None).with(subpacket(0x80 | 105, b"x")),
        revocation(NOW - DAY, None).with(number(2, NOW - DAY)),
        revocation(NOW - DAY, None).with(number(3, 60)),
        revocation(NOW - DAY, None).bare(),
        CraftedSignature { breaks_prefix: true, ..revocation(NOW - DAY, None) },
        revocation(NOW - DAY, None).anonymous(),
        // Names that anybody could have written into it.
        revocation(NOW - DAY, None).unhashed(subpacket(16, &other.key_id())),
        revocation(NOW - DAY, None).anonymous().unhashed(subpacket(16, &other.key_id())),
        revocation(NOW - DAY, None).anonymous().unhashed(subpacket(16, b"short")),
        // K065
        revocation(NOW + 5 * DAY, Some(2)),
        revocation(NOW + 900 * DAY, Some(1)),
        revocation(NOW + 900 * DAY, Some(3)),
    ] {
        let certificate = [simple(&key, BORN), revocation.packet(&key, &[&key.framed()])].concat();
        assert_eq!(worth(&certificate, &key), "revoked");
    }
    // A soft one that is dated in the future of the receipt says nothing about what was received before.
    let keys = keyring(&[simple(&key, BORN), revoked(&key, NOW + 900 * DAY, Some(1))].concat());
    let armor = data().over(&key, &payload());
    assert_eq!(three(&armor, &keys), ["revoked", "verified", "verified"]);
}

#[test]
fn k060_a_revocation_in_a_block_of_its_own() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    let other = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    let (certificate, revocation) = (gpg.export(&key), gpg.prepared_revocation(&key));
    let armor = by_gpg(&gpg, &key, &[]);
    for file in [
        [&certificate[..], &revocation].concat(),
        [&revocation[..], &certificate].concat(),
        [&gpg.export(&other)[..], &certificate, &revocation].concat(),
        [&certificate[..], &gpg.export(&other), &revocation].concat(),
    ] {
        assert_eq!(three(&armor, &keyring(&file)), ["revoked"; 3]);
    }
    let stray = [gpg.export(&other), revocation].concat();
    assert_eq!(load_error(&stray), CertificateError::StrayRevocation);
}

#[test]
fn k061_a_revocation_anywhere_in_the_certificate() {
    let gpg = Gpg::new();
    let primary = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    gpg.run(BORN, &["--quick-add-key", &primary, "ed25519", "sign", "never"], b"");
    let armor = by_gpg(&gpg, &format!("{primary}!"), &[]);
    let revocation = dearmored(&gpg.prepared_revocation(&primary));
    let packets = split(&dearmored(&gpg.export(&primary)));
    assert_eq!(packets.len(), 5, "key, user id, certification, subkey, binding");
    for at in 1..=packets.len() {
        let mut file: Vec<_> = packets.clone();
        file.insert(at, revocation.clone());
        assert_eq!(three(&armor, &keyring(&file.concat())), ["revoked"; 3], "{at}");
    }
}

/// A subkey that stands in the file twice, its binding behind the one and its revocation behind the other.
#[test]
fn k061_a_revocation_behind_another_copy_of_the_subkey() {
    let (key, subkey) = (key(1), CraftedKey::new(2, BORN));
    let binding = bind(&key, &subkey, BORN, 2, vec![]);
    let revocation = subkey_revoked(&key, &subkey, NOW - DAY, 2);
    let armor = data().over(&subkey, &payload());
    for [first, second] in [[&binding, &revocation], [&revocation, &binding]] {
        let file = [simple(&key, BORN), subkey.subkey(), first.clone(), subkey.subkey(), second.clone()];
        let keys = keyring(&file.concat());
        assert_eq!(keys.openpgp[0].component_fingerprints().len(), 2);
        assert_eq!(three(&armor, &keys), ["revoked"; 3]);
        assert_eq!(keys.openpgp[0].compromised(&keys), [subkey.hex()]);
    }
}

/// The packets of a binary file by GnuPG, whole.
fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let (head, length) = match bytes[0] & 0xc3 {
            0x80 => (2, usize::from(bytes[1])),
            0x81 => (3, usize::from(u16::from_be_bytes([bytes[1], bytes[2]]))),
            other => panic!("an unexpected header {other:#x}"),
        };
        out.push(bytes[..head + length].to_vec());
        bytes = &bytes[head + length..];
    }
    out
}

#[test]
fn k062_k066_revocations_that_are_none() {
    let (key, stranger) = (key(1), CraftedKey::new(2, BORN));
    let framed = key.framed();
    let foreign = revocation(NOW - DAY, None).packet(&stranger, &[&framed]);
    let keys = keyring(&[simple(&key, BORN), foreign].concat());
    let armor = data().over(&key, &payload());
    assert_eq!(findings(&push(&armor, &keys)), ["pgp.foreign_revocation"]);
    // In the key's own name, but made by a stranger.
    let forged = revocation(NOW - DAY, None).anonymous().with(subpacket(16, &key.key_id()));
    let keys = keyring(&[simple(&key, BORN), forged.packet(&stranger, &[&framed])].concat());
    assert_eq!(findings(&push(&armor, &keys)), ["pgp.false_revocation"]);
    // K066: the key's own, of something else.
    let subkey = CraftedKey::new(3, BORN);
    let parts: [&[u8]; 2] = [&framed, &stranger.framed()];
    let of_stranger = CraftedSignature::new(0x28, NOW - DAY).packet(&key, &parts);
    let certificate =
        [simple(&key, BORN), subkey.subkey(), bind(&key, &subkey, BORN, 2, vec![]), of_stranger].concat();
    let keys = keyring(&certificate);
    for signer in [&key, &subkey] {
        let status = push(&data().over(signer, &payload()), &keys);
        assert_eq!(findings(&status), ["pgp.false_revocation"]);
    }
    // A key revocation over a subkey's frame is none of either.
    let odd = CraftedSignature::new(0x20, NOW - DAY).packet(&key, &[&framed, &subkey.framed()]);
    let keys = keyring(&[certificate, odd].concat());
    verified(&push(&armor, &keys));
}

/// A certificate that names `by` as its revoker, by a direct-key signature as GnuPG makes it.
fn with_revoker(key: &CraftedKey, by: &CraftedKey, hash: HashAlgorithm) -> Vec<u8> {
    let direct = CraftedSignature::new(0x1f, BORN).with(revoker(by)).hash(hash);
    [simple(key, BORN), direct.packet(key, &[&key.framed()])].concat()
}

#[test]
fn k063_k064_revocations_by_those_whom_the_owner_named() {
    let (key, helper, stranger) = (key(1), CraftedKey::new(2, BORN), CraftedKey::new(3, BORN));
    let armor = data().over(&key, &payload());
    for hash in [HashAlgorithm::Sha512, HashAlgorithm::Sha1, HashAlgorithm::Md5] {
        let named = with_revoker(&key, &helper, hash);
        for (reason, wanted) in [(None, ["revoked"; 3]), (Some(3), ["revoked", "verified", "verified"])] {
            let made = revocation(NOW + DAY, reason).packet(&helper, &[&key.framed()]);
            let certificate = [&named[..], &made].concat();
            let keys = keyring(&[&certificate[..], &simple(&helper, BORN)].concat());
            assert_eq!(three(&armor, &keys), wanted, "K063");
            // What it left is tainted alike.
            let held = keys.openpgp_by_fingerprint(&key.fingerprint());
            let tainted = if reason.is_none() { vec![key.hex()] } else { Vec::new() };
            assert_eq!(held[0].compromised(&keys), tainted, "K063");
            // In a block of its own, too.
            let file = [key_armor(&named), key_armor(&made), key_armor(&simple(&helper, BORN))].concat();
            assert_eq!(three(&armor, &keyring(&file)), wanted);
            // K064
            let status = pushed(&armor, &keyring(&certificate), LATER);
            assert_eq!(findings(&status), ["pgp.designated_revoker_unknown"]);
        }
    }
    // More revokers than anybody has: nobody could be asked for all of them.
    let named = (0..65).map(|seed| revoker(&CraftedKey::new(seed, BORN))).collect::<Vec<_>>().concat();
    let direct = CraftedSignature::new(0x1f, BORN).with(named).packet(&key, &[&key.framed()]);
    assert_eq!(load_error(&[simple(&key, BORN), direct].concat()), CertificateError::TooMany);
    // Somebody else in the revoker's name.
    let named = with_revoker(&key, &helper, HashAlgorithm::Sha512);
    let forged = revocation(NOW - DAY, None).anonymous().with(subpacket(16, &helper.key_id()));
    let forged = forged.packet(&stranger, &[&key.framed()]);
    let keys = keyring(&[named, forged, simple(&helper, BORN)].concat());
    assert_eq!(findings(&push(&armor, &keys)), ["pgp.false_revocation"]);
    // Named by nobody but himself: his own certificate does not make him one.
    let own_word = CraftedSignature::new(0x1f, BORN).with(revoker(&stranger));
    let own_word = own_word.packet(&stranger, &[&key.framed()]);
    let made = revocation(NOW - DAY, None).packet(&stranger, &[&key.framed()]);
    let keys = keyring(&[simple(&key, BORN), own_word, made, simple(&stranger, BORN)].concat());
    assert_eq!(findings(&push(&armor, &keys)), ["pgp.foreign_revocation"]);
}

/// Whom the compromise of a key concerns: the certificate by its primary key, a subkey by its own (O10, N14).
#[test]
fn k053_k054_k063_what_is_compromised() {
    let (key, first, second, helper) = (key(1), CraftedKey::new(2, BORN), CraftedKey::new(3, BORN), key(4));
    let mut base = with_revoker(&key, &helper, HashAlgorithm::Sha512);
    for subkey in [&first, &second] {
        base.extend([subkey.subkey(), bind(&key, subkey, BORN, 2, vec![])].concat());
    }
    let by_helper = |kind: u8, reason: u8, parts: &[&[u8]]| {
        CraftedSignature::new(kind, NOW + DAY).with(subpacket(29, &[reason])).packet(&helper, parts)
    };
    let (whole, part) = (key.framed(), first.framed());
    let none: [String; 0] = [];
    for (revocation, wanted) in [
        (vec![], vec![]),
        (revoked(&key, NOW + DAY, Some(2)), vec![key.hex()]),
        (revoked(&key, NOW + DAY, None), vec![key.hex()]),
        (revoked(&key, NOW + DAY, Some(3)), vec![]),
        (subkey_revoked(&key, &first, NOW + DAY, 2), vec![first.hex()]),
        (subkey_revoked(&key, &second, NOW + DAY, 0), vec![second.hex()]),
        (subkey_revoked(&key, &first, NOW + DAY, 1), vec![]),
        (by_helper(0x20, 2, &[&whole]), vec![key.hex()]),
        (by_helper(0x20, 1, &[&whole]), vec![]),
        (by_helper(0x28, 2, &[&whole, &part]), vec![first.hex()]),
        (by_helper(0x28, 3, &[&whole, &part]), vec![]),
    ] {
        let certificate = [&base[..], &revocation].concat();
        let keys = keyring(&[&certificate[..], &simple(&helper, BORN)].concat());
        assert_eq!(keys.openpgp[0].compromised(&keys), wanted);
        // What compromises it refuses everything it ever signed, and nothing else does.
        let primary = three(&data().over(&key, &payload()), &keys);
        let subkey = three(&data().over(&first, &payload()), &keys);
        assert_eq!(primary == ["revoked"; 3], wanted.contains(&key.hex()));
        assert_eq!(subkey == ["revoked"; 3], wanted.contains(&key.hex()) || wanted.contains(&first.hex()));
    }
    // Nobody knows the helper's key.
    let certificate = [&base[..], &by_helper(0x20, 2, &[&whole])].concat();
    let keys = keyring(&certificate);
    assert_eq!(keys.openpgp[0].compromised(&keys), none);
}

/// A copy of a certificate is held against another one, and takes its revocations over.
#[test]
fn k060_k061_revocations_of_another_copy() {
    let (key, subkey, helper) = (key(1), CraftedKey::new(2, BORN), CraftedKey::new(3, BORN));
    let mut base = with_revoker(&key, &helper, HashAlgorithm::Sha512);
    base.extend([subkey.subkey(), bind(&key, &subkey, BORN, 2, vec![])].concat());
    let read = |packets: &[u8]| Certificate::parse_all(packets).unwrap().remove(0);
    let plain = read(&base);
    assert!(plain.with_revocations_of(&plain).is_none() && !plain.lacks_revocations_of(&plain));
    for revocation in [
        revoked(&key, NOW - DAY, Some(3)),
        subkey_revoked(&key, &subkey, NOW - DAY, 2),
        revocation(NOW - DAY, None).packet(&helper, &[&key.framed()]),
    ] {
        let newer = read(&[&base[..], &revocation].concat());
        assert!(plain.lacks_revocations_of(&newer) && !newer.lacks_revocations_of(&plain));
        let merged = plain.with_revocations_of(&newer).unwrap();
        assert!(merged.with_revocations_of(&newer).is_none() && !merged.lacks_revocations_of(&newer));
        assert_eq!(merged.revocations(), newer.revocations());
        assert_ne!(merged.revocations(), plain.revocations());
        let keys = KeyBox { openpgp: vec![merged, read(&simple(&helper, BORN))], ..KeyBox::default() };
        assert_eq!(word(&push(&data().over(&subkey, &payload()), &keys)), "revoked");
    }
    // A copy without the subkey at all has lost what was said about it. Of a stranger nothing is taken.
    let without = read(&simple(&key, BORN));
    let newer = read(&[&base[..], &subkey_revoked(&key, &subkey, NOW - DAY, 2)].concat());
    assert!(without.lacks_revocations_of(&newer));
    let stranger = read(&[simple(&helper, BORN), revoked(&helper, NOW, None)].concat());
    assert!(plain.with_revocations_of(&stranger).is_none());
}

/// The same by GnuPG: its owner names a helper, and the helper revokes.
#[test]
fn k063_a_helper_revokes_with_gnupg() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    let helper = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    gpg.converse(BORN, &["--edit-key", &key], &format!("addrevoker\n{helper}\ny\nsave\n"));
    let armor = by_gpg(&gpg, &key, &[]);
    let block = gpg.converse(NOW - DAY, &["--armor", "--desig-revoke", &key], "y\ny\n1\n\ny\n");
    // GnuPG writes the key along with it, which one file may not hold twice.
    let twice = [gpg.export(&key), block.clone()].concat();
    assert!(matches!(load_error(&twice), CertificateError::Duplicate { .. }));
    gpg.run(NOW, &["--import"], &block);
    let file = gpg.export(&key);
    assert_eq!(findings(&push(&armor, &keyring(&file))), ["pgp.designated_revoker_unknown"]);
    let keys = keyring(&[file, gpg.export(&helper)].concat());
    assert_eq!(three(&armor, &keys), ["revoked"; 3]);
}

/// A user id gives no authority, so its end takes none: whose the key is and what addresses its owner
/// has stands in the keyring.
#[test]
fn k067_a_revoked_user_id() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    let user = "Test Key old address (not a real one) <old@example.org>";
    gpg.run(BORN, &["--quick-add-uid", &key, user], b"");
    gpg.run(NOW - DAY, &["--quick-revoke-uid", &key, user], b"");
    let exported = gpg.export(&key);
    assert!(gpg.packets(&exported).contains("sigclass 0x30"));
    let status = push(&by_gpg(&gpg, &key, &[]), &keyring(&exported));
    assert!(findings(&status).is_empty());
}
