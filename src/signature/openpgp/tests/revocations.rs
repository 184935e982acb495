//! Revocations: hard and soft, of keys and subkeys, by others, wherever they stand in a file.

use super::*;

#[test]
fn o10_revoked_keys() {
    let key = PgpKey::new(1);
    for (reason, when, renewed, wanted) in [
        (Some(2), NOW - DAY, false, "revoked"),
        (None, NOW - DAY, false, "revoked"),
        (Some(0), NOW - DAY, false, "revoked"),
        (Some(77), NOW - DAY, false, "revoked"),
        (Some(1), NOW - DAY, false, "revoked"),
        (Some(3), NOW - DAY, false, "revoked"),
        (Some(2), NOW - 5 * DAY, true, "revoked"),
        (None, NOW - 5 * DAY, true, "revoked"),
        (Some(1), NOW - 5 * DAY, true, "verified"),
        (Some(3), NOW - 5 * DAY, true, "verified"),
        (Some(1), NOW + 5 * DAY, true, "revoked"),
        (Some(2), NOW + 5 * DAY, false, "revoked"),
        (Some(1), BORN - DAY, false, "verified"),
    ] {
        let mut certificate = simple(&key);
        certificate.extend(revocation(&key, when, reason));
        if renewed {
            certificate.extend(packet(13, USER_ID));
            certificate.extend(certify(&key, NOW - 2 * DAY, 3, vec![]));
        }
        assert_eq!(worth(&certificate, &key), wanted, "{reason:?} {renewed}");
    }
    let mut certificate = simple(&key);
    certificate.extend(revocation(&key, NOW - DAY, Some(2)));
    let standing = keys(&certificate).openpgp[0].standing(at(NOW));
    assert_eq!(standing, Standing::Revoked { reason: "compromised".into(), since: at(NOW - DAY) });
}

#[test]
fn o10_revoked_subkeys() {
    let (primary, subkey, third) = (PgpKey::new(1), PgpKey::new(2), PgpKey::new(3));
    let revoked = |reason: u8, target: &PgpKey| {
        let revocation = PgpSig::new(0x28, NOW - 5 * DAY).with(subpacket(29, &[reason]));
        revocation.packet(&primary, &[&primary.framed(), &target.framed()])
    };
    let both = |tail: Vec<Vec<u8>>| {
        [
            simple(&primary),
            packet(14, &subkey.body),
            bind(&primary, &subkey, BORN, 2, vec![]),
            packet(14, &third.body),
            bind(&primary, &third, BORN, 2, vec![]),
            tail.concat(),
        ]
        .concat()
    };
    // It stands behind the wrong subkey and still finds its own.
    let certificate = both(vec![revoked(1, &subkey)]);
    assert_eq!(worth(&certificate, &subkey), "revoked");
    assert_eq!(worth(&certificate, &third), "verified", "K066");
    assert_eq!(worth(&certificate, &primary), "verified");
    let rebound = || bind(&primary, &subkey, NOW - 2 * DAY, 2, vec![]);
    assert_eq!(worth(&both(vec![revoked(1, &subkey), rebound()]), &subkey), "verified");
    assert_eq!(worth(&both(vec![revoked(0, &subkey), rebound()]), &subkey), "revoked");
    let primary_revoked = both(vec![revocation(&primary, NOW - DAY, Some(1))]);
    assert_eq!(worth(&primary_revoked, &subkey), "revoked", "a revoked primary takes all with it");
}

#[test]
fn o11_revocations_are_honoured_where_nothing_else_would_be() {
    let key = PgpKey::new(1);
    let over = key.framed();
    let notation = [&[0x80, 0, 0, 0, 0, 1, 0, 1][..], b"nv"].concat();
    let other = PgpKey::new(2);
    for revocation in [
        revoke(NOW - DAY, None).hash(HashAlgorithm::Sha1),
        revoke(NOW - DAY, None).hash(HashAlgorithm::Md5),
        revoke(NOW - DAY, None).with(subpacket(0x80 | 20, &notation)),
        revoke(NOW - DAY, None).with(subpacket(0x80 | 105, b"x")),
        revoke(NOW - DAY, None).with(number(2, NOW - DAY)),
        revoke(NOW - DAY, None).with(number(3, 60)),
        revoke(NOW - DAY, Some(1)).with(subpacket(29, &[3])),
        revoke(NOW - DAY, None).anonymous(),
        revoke(NOW - DAY, None).unhashed(subpacket(16, &other.key_id())),
        PgpSig { hashed: Vec::new(), ..revoke(NOW - DAY, None) },
    ] {
        let certificate = [simple(&key), revocation.packet(&key, &[&over])].concat();
        assert_eq!(worth(&certificate, &key), "revoked");
    }
}

/// Every order of packets that keeps the primary first says the same.
#[test]
fn o11_position_is_no_matter() {
    let (key, subkey) = (PgpKey::new(1), PgpKey::new(2));
    let parts: [&[u8]; 2] = [&key.framed(), &subkey.framed()];
    let packets = [
        packet(13, USER_ID),
        certify(&key, BORN, 3, vec![]),
        packet(14, &subkey.body),
        bind(&key, &subkey, BORN, 2, vec![]),
        PgpSig::new(0x28, NOW - DAY).packet(&key, &parts),
    ];
    let mut count = 0;
    permute(&mut [0, 1, 2, 3, 4], 0, &mut |order| {
        let shuffled: Vec<u8> = order.iter().flat_map(|at| packets[*at].clone()).collect();
        let certificate = [packet(6, &key.body), shuffled].concat();
        assert_eq!(worth(&certificate, &subkey), "revoked");
        assert_eq!(worth(&certificate, &key), "verified");
        let revoked = [certificate, revocation(&key, NOW - DAY, None)].concat();
        assert_eq!(worth(&revoked, &key), "revoked");
        count += 1;
    });
    assert_eq!(count, 120);
}

fn permute(order: &mut [usize], from: usize, each: &mut impl FnMut(&[usize])) {
    if from == order.len() {
        return each(order);
    }
    for at in from..order.len() {
        order.swap(from, at);
        permute(order, from + 1, each);
        order.swap(from, at);
    }
}

#[test]
fn o11_a_revocation_in_a_block_of_its_own() {
    let (key, other) = (PgpKey::new(1), PgpKey::new(2));
    let revoked = key_block(&revocation(&key, NOW - DAY, None));
    let (one, two) = (key_block(&simple(&key)), key_block(&simple(&other)));
    for file in [
        [&one[..], &revoked].concat(),
        [&one[..], b"\n\n", &revoked].concat(),
        [&one[..], &two, &revoked].concat(),
        [&revoked[..], &one].concat(),
        String::from_utf8([&one[..], &revoked].concat()).unwrap().replace('\n', "\r\n").into_bytes(),
    ] {
        assert_eq!(worth(&file, &key), "revoked");
        if file.len() > one.len() + two.len() {
            assert_eq!(worth(&file, &other), "verified");
        }
    }
    assert_eq!(error(&[&two[..], &revoked].concat()), CertificateError::StrayRevocation);
    assert_eq!(error(&revoked), CertificateError::StrayRevocation);
    let certification = key_block(&certify(&key, BORN, 3, vec![]));
    assert_eq!(error(&[&one[..], &certification].concat()), CertificateError::UnexpectedPacket(2));
}

#[test]
fn k062_k064_revocations_by_others() {
    let (key, other) = (PgpKey::new(1), PgpKey::new(2));
    let foreign = PgpSig::new(0x20, NOW - DAY).packet(&other, &[&key.framed()]);
    let certificate = [simple(&key), foreign.clone()].concat();
    assert_eq!(worth(&certificate, &key), "verified");
    assert_eq!(keys(&certificate).openpgp[0].findings().foreign_revocations, 1);
    let revoker = subpacket(12, &[&[0x80, 27][..], &other.fingerprint()].concat());
    let direct = PgpSig::new(0x1f, BORN).with(revoker).packet(&key, &[&key.framed()]);
    let certificate =
        [packet(6, &key.body), foreign, direct, simple(&key)[packet(6, &key.body).len()..].to_vec()];
    let findings = keys(&certificate.concat()).openpgp[0].findings();
    assert_eq!((findings.designated_revocations, findings.foreign_revocations), (1, 0), "O12");
    // By the key's own word, but not by its numbers.
    let mut forged = revocation(&key, NOW - DAY, None);
    *forged.last_mut().unwrap() ^= 1;
    let certificate = [simple(&key), forged].concat();
    assert_eq!(keys(&certificate).openpgp[0].findings().false_revocations, 1);
}

#[test]
fn an_unreadable_revocation_makes_the_key_unusable() {
    let key = PgpKey::new(1);
    let mut body = revoke(NOW - DAY, None).body(&key, &[&key.framed()]);
    body[2] = 99;
    let file = [simple(&key), packet(2, &body)].concat();
    assert_eq!(error(&file), CertificateError::UnreadableRevocation);
    body[0] = 5;
    assert_eq!(error(&[simple(&key), packet(2, &body)].concat()), CertificateError::UnreadableRevocation);
    // Another unreadable signature is none of our business.
    body[1] = 0x10;
    let certificate = [simple(&key), packet(2, &body)].concat();
    assert_eq!(keys(&certificate).openpgp[0].findings().unreadable_signatures, 1);
}
