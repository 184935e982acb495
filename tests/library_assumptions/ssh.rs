//! The crates `ssh-key` and `ed25519-dalek`: what they leave to the caller (reference 2.4).

use crate::PAYLOAD;
use crate::keys::*;
use ssh_key::{HashAlg, LineEnding, PrivateKey, SshSig};

fn ssh_key(path: &std::path::Path) -> PrivateKey {
    PrivateKey::from_openssh(std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The blob inside an armor, changed and armored again.
fn changed(armor: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> String {
    let text = String::from_utf8(armor.to_vec()).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("-----"));
    let mut blob = data_encoding::BASE64.decode(lines.collect::<String>().as_bytes()).unwrap();
    change(&mut blob);
    let encoded = data_encoding::BASE64.encode(&blob);
    let lines: Vec<_> =
        encoded.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
}

/// Where the `reserved` string begins in a blob by an Ed25519 key for the namespace `git`.
const RESERVED: usize = 6 + 4 + 4 + 51 + 4 + 3;

#[test]
fn ssh_key_accepts_version_0_and_a_reserved_field() {
    let ssh = Ssh::new();
    let path = ssh.generate("key", "ed25519", "256");
    let armor = Ssh::sign(&path, "git", &[], PAYLOAD);
    let key = ssh_key(&path);
    let verify = |pem: &str| {
        let signature = SshSig::from_pem(pem).unwrap();
        key.public_key().verify("git", PAYLOAD, &signature)
    };
    assert!(verify(&changed(&armor, |_| {})).is_ok());
    assert!(verify(&changed(&armor, |blob| blob[9] = 0)).is_ok(), "version 0");
    let reserved = changed(&armor, |blob| {
        blob[RESERVED + 3] = 1;
        blob.insert(RESERVED + 4, b'x');
    });
    assert_eq!(SshSig::from_pem(&reserved).unwrap().reserved(), b"x", "parsed, and hashed as it is");
    assert!(verify(&reserved).is_err(), "OpenSSH signs it empty and would accept this");
}

#[test]
fn ssh_key_tolerates_text_before_begin_and_refuses_text_after_end() {
    let ssh = Ssh::new();
    let path = ssh.generate("key", "ed25519", "256");
    let armor = String::from_utf8(Ssh::sign(&path, "git", &[], PAYLOAD)).unwrap();
    assert!(SshSig::from_pem(format!("preamble\n{armor}")).is_ok());
    assert!(SshSig::from_pem(format!("{armor}trailing\n")).is_err());
}

#[test]
fn ssh_key_without_sha1_refuses_ssh_rsa() {
    let ssh = Ssh::new();
    let path = ssh.generate("key", "rsa", "2048");
    let armor = Ssh::sign(&path, "git", &[], PAYLOAD);
    let pem = changed(&armor, |blob| {
        let from = blob.windows(12).rposition(|window| window == b"rsa-sha2-512").unwrap();
        blob.splice(from - 4..from + 12, [&[0, 0, 0, 7][..], b"ssh-rsa"].concat());
        // The outer string is five octets shorter now.
        let length = blob[from - 8..from - 4].try_into().map(u32::from_be_bytes).unwrap() - 5;
        blob[from - 8..from - 4].copy_from_slice(&length.to_be_bytes());
    });
    let signature = SshSig::from_pem(&pem).unwrap();
    assert_eq!(signature.algorithm(), ssh_key::Algorithm::Rsa { hash: None });
    let key = ssh_key(&path);
    assert!(key.public_key().verify("git", PAYLOAD, &signature).is_err());
}

#[test]
fn ssh_key_takes_any_rsa_size() {
    let ssh = Ssh::new();
    let path = ssh.generate("key", "rsa", "1024");
    let signature = SshSig::from_pem(Ssh::sign(&path, "git", &[], PAYLOAD)).unwrap();
    assert!(ssh_key(&path).public_key().verify("git", PAYLOAD, &signature).is_ok());
}

/// A FIDO key's signature with no flag at all: nobody touched anything.
#[test]
fn ssh_key_does_not_look_at_fido_flags() {
    use ed25519_dalek::{Signer, SigningKey};
    use sha2::{Digest, Sha256};
    let secret = SigningKey::from_bytes(&[1; 32]);
    let point = ssh_key::public::Ed25519PublicKey(*secret.verifying_key().as_bytes());
    let public = ssh_key::public::SkEd25519::new(point, "ssh:");
    let signed = SshSig::signed_data("git", HashAlg::Sha512, PAYLOAD).unwrap();
    let flags_and_counter = [0, 0, 0, 0, 1];
    let data = [&Sha256::digest(b"ssh:")[..], &flags_and_counter, &Sha256::digest(&signed)].concat();
    let bytes = [&secret.sign(&data).to_bytes()[..], &flags_and_counter].concat();
    let signature = ssh_key::Signature::new(ssh_key::Algorithm::SkEd25519, bytes).unwrap();
    let key = ssh_key::public::KeyData::SkEd25519(public);
    let sshsig = SshSig::new(key.clone(), "git", HashAlg::Sha512, signature).unwrap();
    let pem = sshsig.to_pem(LineEnding::LF).unwrap();
    let parsed = SshSig::from_pem(&pem).unwrap();
    assert!(ssh_key::PublicKey::from(key).verify("git", PAYLOAD, &parsed).is_ok());
}

/// `verify` of the Ed25519 crate accepts a key of small order, `verify_strict` does not.
#[test]
fn ed25519_is_lenient_unless_asked() {
    use ed25519_dalek::{Signature, Verifier, VerifyingKey};
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let key = VerifyingKey::from_bytes(&neutral).unwrap();
    assert!(key.is_weak());
    // R is the neutral element too, S is zero: right for every message.
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let signature = Signature::from_bytes(&bytes);
    assert!(key.verify(PAYLOAD, &signature).is_ok());
    assert!(key.verify_strict(PAYLOAD, &signature).is_err());
}
