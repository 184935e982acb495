//! SSHSIG cases; the names give the clause or the conformance case.

use super::key::fingerprint;
use super::*;
use crate::signature::object::{Payload, SignatureFormat};
use crate::signature::testing::*;
use crate::signature::{Rules, Times, Trace, armor};
use data_encoding::BASE64;
use ed25519_dalek::SigningKey;
use proptest::prelude::*;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn keyring() -> KeyBox {
    KeyBox { ssh: vec![ssh_blob(&key())], ..KeyBox::default() }
}

fn status(sig: &CraftedSsh<'_>) -> SignatureStatus {
    check_armor(&sig.make(&key(), b"payload"))
}

fn check_armor(armor: &[u8]) -> SignatureStatus {
    verdict(armor, &keyring())
}

fn verdict(armor: &[u8], keys: &KeyBox) -> SignatureStatus {
    verify(
        armor,
        &Payload { before: b"pay", after: b"load" },
        keys,
        Times::introduced(NOW, at(NOW)),
        &Rules::default(),
        &mut Trace::off(),
    )
}

fn blob_of(armor: &[u8]) -> Vec<u8> {
    armor::decode(armor, SignatureFormat::Ssh).unwrap()
}

#[test]
fn s001_a_known_key() {
    let status = status(&CraftedSsh::default());
    let SignatureStatus::Verified(proof) = &status else { panic!("{status}") };
    assert_eq!(proof.algorithm(), "ssh-ed25519 sha512");
    assert_eq!(proof.fingerprint(), fingerprint(&ssh_blob(&key())));
    assert_eq!(proof.certificate(), proof.fingerprint());
    assert_eq!(proof.signed_at(), None);
}

#[test]
fn s005_s034_s035_who_and_what() {
    let stranger = CraftedSsh::default().make(&SigningKey::from_bytes(&[2; 32]), b"payload");
    assert_eq!(word(&check_armor(&stranger)), "unknown-key");
    let other = CraftedSsh::default().make(&key(), b"other payload");
    assert_eq!(word(&check_armor(&other)), "bad");
}

#[test]
fn s01_every_field_of_the_blob() {
    let sig = CraftedSsh::default;
    for (sig, wanted) in [
        (CraftedSsh { hash: b"sha256", ..sig() }, "verified"),
        (CraftedSsh { version: 0, ..sig() }, "ssh.version"),
        (CraftedSsh { version: 2, ..sig() }, "ssh.version"),
        (CraftedSsh { reserved: b"x", ..sig() }, "ssh.reserved"),
        (CraftedSsh { trailing: b"\0", ..sig() }, "ssh.blob"),
        (CraftedSsh { inner_trailing: b"\x01\0\0\0\x01", ..sig() }, "ssh.blob"),
        (CraftedSsh { namespace: b"file", ..sig() }, "wrong-purpose"),
        (CraftedSsh { namespace: b"git\0", ..sig() }, "wrong-purpose"),
        (CraftedSsh { namespace: b"", ..sig() }, "wrong-purpose"),
        (CraftedSsh { hash: b"sha1", ..sig() }, "weak-algorithm"),
        (CraftedSsh { hash: b"sha384", ..sig() }, "unsupported"),
        (CraftedSsh { hash: b"", ..sig() }, "unsupported"),
    ] {
        assert_eq!(word(&status(&sig)), wanted);
    }
}

/// A blob with this key and this inner signature.
fn blob(key: &[u8], inner: &[u8]) -> Vec<u8> {
    let blob = [&b"SSHSIG"[..], &1_u32.to_be_bytes(), &strings(&[key, b"git", b"", b"sha512", inner])];
    ssh_armor(&blob.concat())
}

#[test]
fn s036_s026_the_key_and_the_algorithm_must_be_one() {
    let armor = CraftedSsh::default().make(&key(), b"payload");
    let foreign = ssh_blob(&SigningKey::from_bytes(&[2; 32]));
    let mut bytes = blob_of(&armor);
    // Another key stands in the blob: unknown, and if it is known, not the one that signed.
    bytes[14..14 + foreign.len()].copy_from_slice(&foreign);
    let mut keys = keyring();
    assert_eq!(word(&verdict(&ssh_armor(&bytes), &keys)), "unknown-key");
    keys.ssh.push(foreign);
    assert_eq!(word(&verdict(&ssh_armor(&bytes), &keys)), "bad");

    let ours = ssh_blob(&key());
    for (algorithm, wanted) in [
        (&b"rsa-sha2-512"[..], "ssh.algorithm"),
        (b"ecdsa-sha2-nistp256", "ssh.algorithm"),
        (b"ssh-rsa", "ssh.algorithm"),
        (b"sk-ssh-ed25519@openssh.com", "ssh.algorithm"),
        (b"webauthn-sk-ecdsa-sha2-nistp256@openssh.com", "unsupported"),
        (b"ssh-mldsa44-ed25519@openssh.com", "unsupported"),
        (b"nonsense", "unsupported"),
    ] {
        let armor = blob(&ours, &strings(&[algorithm, &[0; 64]]));
        assert_eq!(word(&check_armor(&armor)), wanted, "{}", String::from_utf8_lossy(algorithm));
    }
    assert_eq!(word(&check_armor(&blob(&ours, &strings(&[b"ssh-ed25519", &[0; 63]])))), "ssh.blob");
}

fn rsa_blob(bytes: usize) -> Vec<u8> {
    let mut modulus = vec![0xc1; bytes];
    modulus.insert(0, 0);
    strings(&[b"ssh-rsa", &[1, 0, 1], &modulus])
}

#[test]
fn s025_s027_s046_weak_keys_and_algorithms() {
    let signed = |key: &[u8], algorithm: &[u8]| blob(key, &strings(&[algorithm, &[1; 128]]));
    assert_eq!(word(&check_armor(&signed(&rsa_blob(128), b"rsa-sha2-512"))), "weak-algorithm");
    assert_eq!(word(&check_armor(&signed(&rsa_blob(255), b"rsa-sha2-512"))), "weak-algorithm");
    assert_eq!(word(&check_armor(&signed(&rsa_blob(256), b"rsa-sha2-512"))), "unknown-key");
    assert_eq!(word(&check_armor(&signed(&rsa_blob(256), b"ssh-rsa"))), "weak-algorithm");
    assert_eq!(word(&check_armor(&signed(&rsa_blob(1025), b"rsa-sha2-512"))), "unsupported", "S029");
    let dsa = strings(&[b"ssh-dss", &[1], &[1], &[1], &[1]]);
    assert_eq!(word(&check_armor(&signed(&dsa, b"ssh-dss"))), "weak-algorithm");
}

#[test]
fn s047_s048_unsupported_kinds_have_names() {
    for name in ["mldsa44-ed25519@openssh.com", "webauthn-sk-ecdsa-sha2-nistp256@openssh.com", "ssh-foo@x"] {
        let armor = blob(&strings(&[name.as_bytes(), &[0; 32]]), &strings(&[name.as_bytes(), &[0; 64]]));
        let status = check_armor(&armor);
        assert_eq!(word(&status), "unsupported");
        assert!(status.to_string().contains(name), "{status}");
    }
}

#[test]
fn k073_k074_ed25519_is_strict() {
    // The neutral element verifies everything that a lenient check is given.
    let mut point = [0; 32];
    point[0] = 1;
    let weak = strings(&[b"ssh-ed25519", &point]);
    assert!(matches!(PublicKey::from_blob(&weak), Err(SshKeyError::Invalid(_))));
    assert_eq!(word(&check_armor(&blob(&weak, &strings(&[b"ssh-ed25519", &[0; 64]])))), "ssh.key");
    // S plus the group order: the same signature in another form.
    let armor = CraftedSsh::default().make(&key(), b"payload");
    let mut bytes = blob_of(&armor);
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let start = bytes.len() - 32;
    let mut carry = 0_u16;
    for (byte, add) in bytes[start..].iter_mut().zip(ORDER) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry.to_le_bytes()[0];
        carry >>= 8;
    }
    assert_eq!(word(&check_armor(&ssh_armor(&bytes))), "bad");
}

#[test]
fn k075_ecdsa_numbers() {
    let point = |seed: u8| {
        let secret = p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap();
        secret.verifying_key().to_sec1_point(false).as_bytes().to_vec()
    };
    let key = strings(&[b"ecdsa-sha2-nistp256", b"nistp256", &point(1)]);
    let number = |r: &[u8], s: &[u8]| {
        let inner = strings(&[b"ecdsa-sha2-nistp256", &strings(&[r, s])]);
        word(&check_armor(&blob(&key, &inner)))
    };
    assert_eq!(number(&[1], &[1]), "unknown-key");
    assert_eq!(number(&[], &[1]), "ssh.blob");
    assert_eq!(number(&[1], &[0]), "ssh.blob");
    assert_eq!(number(&[0x80], &[1]), "ssh.blob");
    assert_eq!(number(&[0, 1], &[1]), "ssh.blob");
    assert_eq!(number(&[1; 33], &[1]), "ssh.blob");
    // The order of the curve, and more than it, are no numbers of a signature.
    assert_eq!(number(&[&[0][..], &[0xff; 32]].concat(), &[1]), "unknown-key");
    let mut keys = keyring();
    keys.ssh.push(key.clone());
    let zeros =
        blob(&key, &strings(&[b"ecdsa-sha2-nistp256", &strings(&[&[&[0][..], &[0xff; 32]].concat(), &[1]])]));
    assert_eq!(word(&verdict(&zeros, &keys)), "bad");
    // A point off the curve is no key at all.
    let mut off = point(1);
    off[64] ^= 1;
    let off = strings(&[b"ecdsa-sha2-nistp256", b"nistp256", &off]);
    assert_eq!(PublicKey::from_blob(&off), Err(SshKeyError::Invalid("not a point on the curve")));
    let armor = blob(&off, &strings(&[b"ecdsa-sha2-nistp256", &strings(&[&[1], &[1]])]));
    assert_eq!(word(&check_armor(&armor)), "ssh.key");
}

#[test]
fn public_key_lines() {
    let line = format!("ssh-ed25519 {} test key", BASE64.encode(&ssh_blob(&key())));
    let parsed = parse_public_key(&line).unwrap();
    assert_eq!(parsed.blob(), ssh_blob(&key()));
    assert_eq!((parsed.algorithm(), parsed.bits(), parsed.weakness()), ("ssh-ed25519", 256, None));
    assert!(parse_public_key(&format!("{line}\r\n")).is_ok());
    assert!(parse_public_key(&format!("  {}", line.replace(' ', "\t"))).is_ok());
    let rsa = |bytes: usize| parse_public_key(&format!("ssh-rsa {}", BASE64.encode(&rsa_blob(bytes))));
    assert_eq!(rsa(256).unwrap().weakness(), None);
    assert_eq!(rsa(128).unwrap().weakness(), Some(Weakness::SmallRsa(1024)));
    let encoded = |blob: &[u8]| BASE64.encode(blob);
    for (line, wanted) in [
        (String::new(), SshKeyError::Line),
        ("ssh-ed25519".to_owned(), SshKeyError::Line),
        (format!("{line}\n{line}"), SshKeyError::Line),
        (line.replace("ssh-ed25519", "ssh-rsa"), SshKeyError::TypeMismatch),
        (line.replace("AAAA", "AAA "), SshKeyError::Base64),
        (line.replace("AAAA", "AAA*"), SshKeyError::Base64),
        (format!("namespaces=\"git\" {line}"), SshKeyError::Line),
        ("b3BlbnNzaC1rZXktdjEAAAAABG5vbmU more".to_owned(), SshKeyError::Line),
        (format!("ssh-ed25519 {}", encoded(b"")), SshKeyError::Line),
        (
            format!("ssh-ed25519 {}", encoded(&[&ssh_blob(&key())[..], b"x"].concat())),
            SshKeyError::Encoding("there are bytes left over"),
        ),
        (
            format!("ssh-ed25519-cert-v01@openssh.com {}", encoded(b"x")),
            SshKeyError::Certificate("ssh-ed25519-cert-v01@openssh.com".into()),
        ),
        (
            format!("ssh-foo@openssh.com {}", encoded(b"x")),
            SshKeyError::Unsupported("ssh-foo@openssh.com".into()),
        ),
    ] {
        assert_eq!(parse_public_key(&line), Err(wanted), "{line}");
    }
}

#[test]
fn private_keys_are_refused_and_not_repeated() {
    for text in [
        "-----BEGIN OPENSSH PRIVATE KEY-----\nSECRETSECRET\n",
        "-----BEGIN RSA PRIVATE KEY-----\nSECRETSECRET\n",
        "PuTTY-User-Key-File-3: SECRETSECRET\n",
    ] {
        let error = parse_public_key(text).unwrap_err();
        assert_eq!(error, SshKeyError::PrivateKey);
        assert!(!error.to_string().contains("SECRET"));
    }
}

#[path = "../../../tests/support/ssh_craft.rs"]
mod craft;

/// A keyring of one authority.
struct Authority(Vec<u8>);

impl crate::signature::Keys for Authority {
    fn has_ssh(&self, _: &[u8]) -> bool {
        false
    }

    fn has_ssh_authority(&self, blob: &[u8]) -> bool {
        blob == self.0
    }

    fn openpgp_by_fingerprint(&self, _: &[u8]) -> Vec<&crate::signature::openpgp::Certificate> {
        Vec::new()
    }

    fn openpgp_by_key_id(&self, _: [u8; 8]) -> Vec<&crate::signature::openpgp::Certificate> {
        Vec::new()
    }
}

/// A certificate with something in every field, for an authenticator's key and by another one's.
fn certificate() -> (Vec<u8>, craft::Key, Authority) {
    let key = craft::Key::p256(3).fido("ssh:").with(5, 9);
    let authority = craft::Key::ed25519(4).fido("ssh:");
    let made = craft::Cert {
        critical: vec![(b"verify-required", vec![])],
        extensions: vec![(b"a@example.org", b"\xff\xfe".to_vec()), (b"no-touch-required", vec![])],
        ..craft::Cert::new(NOW - DAY, NOW + DAY)
    };
    (made.make(&key, &authority), key, Authority(authority.blob()))
}

fn under(authority: &Authority, blob: &[u8]) -> &'static str {
    let payload = Payload { before: b"pay", after: b"load" };
    let times = Times::introduced(NOW, at(NOW));
    word(&verify(&craft::armored(blob), &payload, authority, times, &Rules::default(), &mut Trace::off()))
}

/// Cut off, changed in any bit, with any length made huge: a refusal, and no panic.
#[test]
fn a_certificate_cut_and_changed_everywhere() {
    let (made, key, authority) = certificate();
    let whole = blob_of(&craft::sshsig(&made, &key, b"payload"));
    assert_eq!(under(&authority, &whole), "verified");
    for end in 0..whole.len() {
        assert_ne!(under(&authority, &whole[..end]), "verified", "cut at {end}");
    }
    for at in 0..whole.len() {
        for bit in [0, 3, 7] {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            assert_ne!(under(&authority, &changed), "verified", "bit {bit} of {at}");
        }
    }
    for end in 0..made.len() {
        assert!(certificate::Certificate::parse(&made[..end]).is_err(), "cut at {end}");
        let cut = blob_of(&craft::sshsig(&made[..end], &key, b"payload"));
        assert_ne!(under(&authority, &cut), "verified");
    }
    for at in 0..made.len() - 4 {
        let mut changed = made.clone();
        changed[at..at + 4].copy_from_slice(&[0xff; 4]);
        let _ = certificate::Certificate::parse(&changed);
    }
}

#[test]
fn a_signature_cut_everywhere() {
    for key in [
        craft::Key::ed25519(1),
        craft::Key::p256(2),
        craft::Key::ed25519(1).fido("ssh:"),
        craft::Key::p256(2).fido("ssh:"),
    ] {
        let keys = KeyBox { ssh: vec![key.blob()], ..KeyBox::default() };
        let whole = blob_of(&key.sshsig(b"payload"));
        assert_eq!(word(&verdict(&ssh_armor(&whole), &keys)), "verified");
        for end in 0..whole.len() {
            assert_ne!(word(&verdict(&ssh_armor(&whole[..end]), &keys)), "verified");
        }
        for end in 0..key.blob().len() {
            assert!(PublicKey::from_blob(&key.blob()[..end]).is_err());
        }
    }
}

#[test]
fn names_of_certificate_types() {
    use super::key::certified_type;
    assert_eq!(certified_type(b"ssh-ed25519-cert-v01@openssh.com"), Some("ssh-ed25519"));
    assert_eq!(certified_type(b"sk-ssh-ed25519-cert-v01@openssh.com"), Some("sk-ssh-ed25519@openssh.com"));
    for name in [
        &b"ssh-ed25519"[..],
        b"sk-ssh-ed25519@openssh.com-cert-v01@openssh.com",
        b"sk-ssh-ed25519@openssh.com",
        b"ssh-ed25519-cert-v00@openssh.com",
        b"ssh-future-cert-v01@openssh.com",
        b"-cert-v01@openssh.com",
    ] {
        assert_eq!(certified_type(name), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Truncated, changed and random blobs: a refusal, never a panic, never a proof.
    #[test]
    fn nothing_panics(cut in any::<prop::sample::Index>(), at_ in any::<prop::sample::Index>(), bit in 0..8_u8,
                      noise in proptest::collection::vec(any::<u8>(), 0..200)) {
        let whole = blob_of(&CraftedSsh::default().make(&key(), b"payload"));
        let mut changed = whole.clone();
        changed[at_.index(whole.len())] ^= 1 << bit;
        let cut = cut.index(whole.len());
        for bytes in [whole[..cut].to_vec(), changed, noise.clone(), [&b"SSHSIG\0\0\0\x01"[..], &noise].concat()] {
            prop_assert!(word(&check_armor(&ssh_armor(&bytes))) != "verified");
            let _ = PublicKey::from_blob(&bytes);
        }
        let _ = parse_public_key(&String::from_utf8_lossy(&noise));
        let _ = check_armor(&noise);
    }
}

/// What `ssh-keygen` signs in the namespace `unittest` is right at the layer of the arithmetic, and there is
/// nothing else that the namespace layer refuses it for. `tests/vectors/ssh/make` makes them.
#[test]
fn s049_another_namespace_is_right_arithmetic() {
    macro_rules! vector {
        ($name:literal) => {
            (
                include_str!(concat!("../../../tests/vectors/ssh/unittest-", $name, ".pub")),
                include_bytes!(concat!("../../../tests/vectors/ssh/unittest-", $name, ".sig")).as_slice(),
            )
        };
    }
    let payload = Payload { before: b"pay", after: b"load" };
    for (line, armor) in [
        vector!("ed25519"),
        vector!("ecdsa256"),
        vector!("ecdsa384"),
        vector!("ecdsa521"),
        vector!("rsa2048"),
    ] {
        let blob = blob_of(armor);
        let mut sig = sshsig::SshSig::parse(&blob).unwrap();
        assert_eq!(sig.namespace, b"unittest");
        let key = parse_public_key(line).unwrap();
        assert_eq!(sig.key, key.blob());
        let raw = raw::RawSignature::parse(sig.signature, &key).ok().unwrap();
        assert!(raw.verifies(&key, &sig.signed(&payload).unwrap()), "{line}");
        let keys = KeyBox { ssh: vec![key.blob().to_vec()], ..KeyBox::default() };
        assert_eq!(word(&verdict(armor, &keys)), "wrong-purpose");
        // The namespace is signed: as ours it is nobody's.
        sig.namespace = b"git";
        assert!(!raw.verifies(&key, &sig.signed(&payload).unwrap()), "{line}");
    }
}
