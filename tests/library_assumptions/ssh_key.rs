//! `ssh-key` 0.7.0-rc.11, row by row of what a caller must do itself. Version 0, `reserved`, text around
//! the armor, `ssh-rsa` and small RSA keys are in `ssh.rs`.

use crate::PAYLOAD;
use crate::craft::{self, Cert, Key, string, strings};
use crate::keys::*;
use ssh_key::certificate::CertType;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, Certificate, Fingerprint, HashAlg, PublicKey, SshSig};
use std::str::FromStr;

fn sshsig(armor: &[u8]) -> Result<SshSig, ssh_key::Error> {
    SshSig::from_pem(armor)
}

fn verifies(key: &Key, armor: &[u8]) -> bool {
    let public = PublicKey::from_openssh(&key.line()).unwrap();
    sshsig(armor).is_ok_and(|signature| public.verify("git", PAYLOAD, &signature).is_ok())
}

/// Line widths are the crate's business too: ours is to decide before it does.
#[test]
fn the_pem_decoder_wants_one_width_and_one_line_feed() {
    let key = Key::ed25519(1);
    let armor = key.sshsig(PAYLOAD);
    assert!(verifies(&key, &armor));
    let text = String::from_utf8(armor.clone()).unwrap();
    let blob = craft::dearmored(&armor);
    for width in [20, 64, 70, 71] {
        assert!(verifies(&key, &craft::armored_at(&blob, width)), "{width}");
    }
    let ragged = text.replacen("\nU1NI", "\nU1\nNI", 1);
    assert!(sshsig(ragged.as_bytes()).is_err());
    assert!(sshsig(text.replacen("\nU1NI", "\nU1 NI", 1).as_bytes()).is_err());
    assert!(sshsig(format!("{text}\n").as_bytes()).is_err(), "a second line feed");
    assert!(sshsig(text.trim_end().as_bytes()).is_ok(), "none");
    let stamped = format!("{text}-----BEGIN OPENTIMESTAMPS GIT TIMESTAMP-----\nAAAA\n");
    assert!(sshsig(stamped.as_bytes()).is_err());
}

#[test]
fn verify_checks_namespace_and_key() {
    let (key, other) = (Key::ed25519(1), Key::ed25519(2));
    let signature = sshsig(&key.sshsig(PAYLOAD)).unwrap();
    let public = |key: &Key| PublicKey::from_openssh(&key.line()).unwrap();
    assert!(public(&key).verify("git", PAYLOAD, &signature).is_ok());
    assert!(public(&key).verify("file", PAYLOAD, &signature).is_err());
    assert!(public(&key).verify("git", b"other", &signature).is_err());
    assert!(public(&other).verify("git", PAYLOAD, &signature).is_err());
}

#[test]
fn every_common_algorithm_verifies() {
    let ssh = Ssh::new();
    for (kind, bits) in
        [("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521"), ("rsa", "2048")]
    {
        let path = ssh.generate(&format!("{kind}{bits}"), kind, bits);
        let signature = sshsig(&Ssh::sign(&path, "git", &[], PAYLOAD)).unwrap();
        let public = PublicKey::from_openssh(&Ssh::public(&path)).unwrap();
        assert!(public.verify("git", PAYLOAD, &signature).is_ok(), "{kind} {bits}");
    }
}

/// A key of small order, by which one signature is right for every message.
#[test]
fn ed25519_is_not_strict() {
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let blob = strings(&[b"ssh-ed25519", &neutral]);
    let inner = strings(&[b"ssh-ed25519", &[&neutral[..], &[0; 32]].concat()]);
    let signature = sshsig(&craft::armored(&craft::sshsig_blob(&blob, &inner))).unwrap();
    let public = PublicKey::from_bytes(&blob).unwrap();
    assert!(public.verify("git", PAYLOAD, &signature).is_ok());
    assert!(public.verify("git", b"anything", &signature).is_ok());
}

/// The largest RSA key: what is beyond has to be told when it is listed.
#[test]
fn rsa_ends_at_8192_bits() {
    let line = include_str!("../vectors/ssh/rsa8192.pub");
    let signature = sshsig(include_bytes!("../vectors/ssh/rsa8192.sig")).unwrap();
    let public = PublicKey::from_openssh(line).unwrap();
    let payload = commit(NOW, "signed by ssh-keygen\n");
    assert!(public.verify("git", &payload, &signature).is_ok());
    let blob = strings(&[b"ssh-rsa", &[1, 0, 1], &[&[0, 0xc1][..], &[0xc1; 2047]].concat()]);
    let inner = strings(&[b"rsa-sha2-512", &[1; 2048]]);
    let signature = sshsig(&craft::armored(&craft::sshsig_blob(&blob, &inner))).unwrap();
    assert!(PublicKey::from_bytes(&blob).unwrap().verify("git", PAYLOAD, &signature).is_err(), "parsed only");
}

/// Whoever takes the crate's word for a FIDO signature takes one that nobody touched anything for.
#[test]
fn fido_signatures_verify_whatever_their_flags() {
    for key in [Key::ed25519(1).fido("ssh:"), Key::p256(1).fido("ssh:")] {
        for flags in [0x00, 0x01, 0x04, 0x05, 0xc0] {
            let key = key.clone().with(flags, 0);
            assert!(verifies(&key, &key.sshsig(PAYLOAD)), "{} {flags:#x}", key.name());
        }
    }
}

#[test]
fn webauthn_and_mldsa_are_unknown() {
    for name in ["webauthn-sk-ecdsa-sha2-nistp256@openssh.com", "mldsa44-ed25519@openssh.com"] {
        assert!(matches!(Algorithm::from_str(name), Ok(Algorithm::Other(_))), "{name}");
        let blob = strings(&[name.as_bytes(), &[0; 32]]);
        let inner = strings(&[name.as_bytes(), &[0; 64]]);
        let signature = sshsig(&craft::armored(&craft::sshsig_blob(&blob, &inner)));
        let verified = signature.is_ok_and(|signature| {
            PublicKey::from_bytes(&blob).is_ok_and(|key| key.verify("git", PAYLOAD, &signature).is_ok())
        });
        assert!(!verified);
    }
}

fn cert() -> Cert<'static> {
    Cert::new(NOW - DAY, NOW + DAY)
}

fn parsed(cert: &Cert<'_>) -> Result<Certificate, ssh_key::Error> {
    Certificate::from_bytes(&cert.make(&Key::ed25519(1), &Key::ed25519(9)))
}

fn authority() -> Fingerprint {
    PublicKey::from_openssh(&Key::ed25519(9).line()).unwrap().fingerprint(HashAlg::Sha256)
}

fn valid_at(certificate: &Certificate, time: i64) -> bool {
    certificate.validate_at(u64::try_from(time).unwrap(), [&authority()]).is_ok()
}

#[test]
fn an_sshsig_by_a_certificate_is_parsed_and_never_verified() {
    let key = Key::ed25519(1);
    let armor = craft::sshsig(&cert().make(&key, &Key::ed25519(9)), &key, PAYLOAD);
    let signature = sshsig(&armor).unwrap();
    let KeyData::Certificate(certificate) = signature.public_key() else { panic!("a certificate") };
    assert_eq!(certificate.public_key(), PublicKey::from_openssh(&key.line()).unwrap().key_data());
    assert!(PublicKey::from(signature.public_key().clone()).verify("git", PAYLOAD, &signature).is_err());
    assert!(!verifies(&key, &armor), "nor by the key inside");
}

#[test]
fn validate_at_asks_for_authority_time_and_signature_alone() {
    let good = parsed(&cert()).unwrap();
    assert!(valid_at(&good, NOW));
    assert!(!valid_at(&good, NOW + DAY) && valid_at(&good, NOW + DAY - 1) && !valid_at(&good, NOW - DAY - 1));
    let stranger = PublicKey::from_openssh(&Key::ed25519(8).line()).unwrap().fingerprint(HashAlg::Sha256);
    assert!(good.validate_at(u64::try_from(NOW).unwrap(), [&stranger]).is_err());
    let forged = Cert { signature: Some(Key::ed25519(9).sign(b"other")), ..cert() };
    assert!(!valid_at(&parsed(&forged).unwrap(), NOW));
    // None of these is looked at.
    let host = parsed(&Cert { kind: 2, ..cert() }).unwrap();
    assert!(valid_at(&host, NOW) && host.cert_type() == CertType::Host);
    assert!(valid_at(&parsed(&Cert { principals: vec![], ..cert() }).unwrap(), NOW));
    let critical = Cert { critical: vec![(b"force-command", string(b"/bin/true"))], ..cert() };
    assert!(valid_at(&parsed(&critical).unwrap(), NOW));
    let unknown = Cert { critical: vec![(b"future@example.org", string(b"x"))], ..cert() };
    assert!(valid_at(&parsed(&unknown).unwrap(), NOW));
}

#[test]
fn options_have_to_be_text() {
    let text = Cert { extensions: vec![(b"a@example.org", string(b"text"))], ..cert() };
    assert!(parsed(&text).is_ok());
    let binary = Cert { extensions: vec![(b"a@example.org", string(b"\xff\xfe"))], ..cert() };
    assert!(parsed(&binary).is_err());
    let unframed = Cert { extensions: vec![(b"a@example.org", b"text".to_vec())], ..cert() };
    assert!(parsed(&unframed).is_err(), "nor anything but a string in a string");
    let twice = Cert { critical: vec![(b"a", vec![]), (b"a", vec![])], ..cert() };
    assert!(parsed(&twice).is_err(), "their order is checked");
}

/// A certificate as the key of a certificate's authority is read, and its authority's, and so on.
#[test]
fn certificates_inside_of_certificates_are_read() {
    let inner = cert().make(&Key::ed25519(9), &Key::ed25519(8));
    let nested = parsed(&Cert { authority: Some(inner), ..cert() }).unwrap();
    assert!(nested.signature_key().is_certificate());
    assert!(!valid_at(&nested, NOW), "and refused when asked, because no certificate verifies anything");
}

/// There is no reader of `allowed_signers` files or KRLs; the one for `authorized_keys` is another format.
#[test]
fn authorized_keys_is_not_allowed_signers() {
    let line = format!("alice@example.org namespaces=\"git\" {}", Key::ed25519(1).line());
    assert!(ssh_key::authorized_keys::Entry::from_str(&line).is_err());
    let plain = format!("alice {}", Key::ed25519(1).line());
    let entry = ssh_key::authorized_keys::Entry::from_str(&plain);
    let options = entry.map(|entry| entry.config_opts().to_string());
    assert!(options.is_ok_and(|options| options == "alice"), "a principal is taken for an option");
}
