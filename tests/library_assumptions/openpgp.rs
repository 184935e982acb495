//! The crate `pgp`: what it leaves to the caller (reference 2.1).

use crate::PAYLOAD;
use crate::keys::*;
use pgp::composed::{Deserializable, DetachedSignature, SignedPublicKey};
use pgp::packet::{Packet, PacketParser, SignatureType};
use pgp::types::KeyDetails;

fn public(armored: &[u8]) -> SignedPublicKey {
    SignedPublicKey::from_armor_single(armored).unwrap().0
}

fn detached(armored: &[u8]) -> DetachedSignature {
    DetachedSignature::from_armor_single(armored).unwrap().0
}

/// Whatever the validity, the numbers fit and the crate is content.
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
    let critical = ["--sig-notation", "!a@example.org=b"];
    let critical = detached(&gpg.sign(BORN, &expired, &critical, PAYLOAD));
    assert!(critical.verify(&public(&gpg.export(&expired)), PAYLOAD).is_ok(), "a critical notation");
}

#[test]
fn pgp_verifies_small_rsa_and_dsa() {
    let gpg = Gpg::new();
    for algorithm in ["rsa1024", "dsa2048"] {
        let key = gpg.generate(BORN, algorithm, "sign,cert", "never");
        let signature = detached(&gpg.sign(NOW, &key, &[], PAYLOAD));
        assert!(signature.verify(&public(&gpg.export(&key)), PAYLOAD).is_ok(), "{algorithm}");
    }
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
