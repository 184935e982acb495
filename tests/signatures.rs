//! Signatures by the real tools: GnuPG, ssh-keygen and git itself. What no tool would make is in the
//! unit tests of `src/signature`.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/keys.rs"]
mod keys;

use countersign::domain::ObjectFormat;
use countersign::signature::openpgp::{Certificate, CertificateError, Standing};
use countersign::signature::ssh::{SshKeyError, Weakness, parse_public_key};
use countersign::signature::{SignatureStatus, object};
use keys::*;
use std::path::Path;
use std::process::Command;

#[track_caller]
fn assert_verified(status: &SignatureStatus, certificate: &str) {
    let SignatureStatus::Verified(proof) = status else { panic!("{status}") };
    assert_eq!(proof.certificate(), certificate);
}

/// A commit at [`NOW`], signed by this key.
fn signed_by(gpg: &Gpg, key: &str, more: &[&str]) -> Vec<u8> {
    let payload = commit(NOW, "signed\n");
    signed(&payload, &gpg.sign(NOW, key, more, &payload))
}

#[test]
fn s001_s002_s004_ssh_keys_of_every_kind() {
    let ssh = Ssh::new();
    let payload = commit(NOW, "signed by ssh-keygen\n");
    for (kind, bits, algorithm) in [
        ("ed25519", "256", "ssh-ed25519 sha512"),
        ("ecdsa", "256", "ecdsa-sha2-nistp256 sha512"),
        ("ecdsa", "384", "ecdsa-sha2-nistp384 sha512"),
        ("ecdsa", "521", "ecdsa-sha2-nistp521 sha512"),
        ("rsa", "2048", "rsa-sha2-512 sha512"),
    ] {
        let path = ssh.generate(&format!("{kind}{bits}"), kind, bits);
        let line = Ssh::public(&path);
        let keys = KeyBox::ssh(&line);
        let raw = signed(&payload, &Ssh::sign(&path, "git", &[], &payload));
        let status = verify(&raw, &keys);
        let SignatureStatus::Verified(proof) = &status else { panic!("{kind} {bits}: {status}") };
        assert_eq!(proof.algorithm(), algorithm);
        let shown = run(Command::new("ssh-keygen").arg("-lf").arg(path.with_extension("pub")), b"");
        assert!(String::from_utf8(shown).unwrap().contains(proof.fingerprint()));
        assert_eq!(parse_public_key(&line).unwrap().bits().to_string(), bits);

        let short = Ssh::sign(&path, "git", &["-O", "hashalg=sha256"], &payload);
        assert!(matches!(verify(&signed(&payload, &short), &keys), SignatureStatus::Verified(_)));
        let file = signed(&payload, &Ssh::sign(&path, "file", &[], &payload));
        assert!(matches!(verify(&file, &keys), SignatureStatus::WrongPurpose { .. }), "S016");
        let unknown = verify(&raw, &KeyBox::default());
        assert!(matches!(unknown, SignatureStatus::UnknownKey { .. }), "S005");
        let mut changed = raw.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(matches!(verify(&changed, &keys), SignatureStatus::Bad { .. }), "S034");
    }
}

#[test]
fn s027_a_small_rsa_key() {
    let ssh = Ssh::new();
    let path = ssh.generate("small", "rsa", "1024");
    let line = Ssh::public(&path);
    assert_eq!(parse_public_key(&line).unwrap().weakness(), Some(Weakness::SmallRsa(1024)));
    let payload = commit(NOW, "m\n");
    let raw = signed(&payload, &Ssh::sign(&path, "git", &[], &payload));
    assert!(matches!(verify(&raw, &KeyBox::ssh(&line)), SignatureStatus::WeakAlgorithm { .. }));
    let secret = std::fs::read_to_string(&path).unwrap();
    assert_eq!(parse_public_key(&secret), Err(SshKeyError::PrivateKey));
}

/// ssh-keygen always signs with SHA-512; agents and hardware may not.
#[test]
fn s003_rsa_with_sha_256() {
    use ed25519_dalek::Signer;
    use ssh_key::{HashAlg, LineEnding, PrivateKey, SshSig};
    let ssh = Ssh::new();
    let path = ssh.generate("key", "rsa", "3072");
    let key = PrivateKey::from_openssh(std::fs::read_to_string(&path).unwrap()).unwrap();
    let payload = commit(NOW, "m\n");
    let data = SshSig::signed_data("git", HashAlg::Sha256, &payload).unwrap();
    let signature = (key.key_data().rsa().unwrap(), Some(HashAlg::Sha256)).sign(&data);
    let public = key.public_key().key_data().clone();
    let sshsig = SshSig::new(public, "git", HashAlg::Sha256, signature).unwrap();
    let raw = signed(&payload, sshsig.to_pem(LineEnding::LF).unwrap().as_bytes());
    let status = verify(&raw, &KeyBox::ssh(&Ssh::public(&path)));
    let SignatureStatus::Verified(proof) = &status else { panic!("{status}") };
    assert_eq!(proof.algorithm(), "rsa-sha2-256 sha256");
}

#[test]
fn openpgp_keys_of_every_kind() {
    let gpg = Gpg::new();
    for (algorithm, shown) in [
        ("ed25519", "Ed25519 sha"),
        ("rsa2048", "RSA-2048 sha512"),
        ("nistp256", "ECDSA P-256 sha256"),
        ("nistp384", "ECDSA P-384 sha384"),
        ("nistp521", "ECDSA P-521 sha512"),
    ] {
        let fingerprint = gpg.generate(BORN, algorithm, "sign,cert", "never");
        let keys = KeyBox::openpgp(&gpg.export(&fingerprint));
        let raw = signed_by(&gpg, &fingerprint, &[]);
        let status = verify(&raw, &keys);
        let SignatureStatus::Verified(proof) = &status else { panic!("{algorithm}: {status}") };
        assert_eq!((proof.fingerprint(), proof.certificate()), (&fingerprint[..], &fingerprint[..]));
        assert!(proof.algorithm().starts_with(shown), "{}", proof.algorithm());
        assert_eq!(proof.signed_at(), Some(at(NOW)));
        assert_eq!(keys.openpgp[0].standing(at(NOW)), Standing::Usable { until: None });

        let mut changed = raw.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(matches!(verify(&changed, &keys), SignatureStatus::Bad { .. }), "C004");
        let stranger = verify(&raw, &KeyBox::default());
        assert_eq!(stranger.key().unwrap().text, fingerprint);
        assert!(matches!(stranger, SignatureStatus::UnknownKey { .. }), "C009");
        assert_eq!(Certificate::parse_all(&gpg.run(NOW, &["--export", &fingerprint], b"")).unwrap().len(), 1);
    }
    // A whole key ring in one file, and a signature that has no other hint than a key id (K034).
    let keys = KeyBox::openpgp(&gpg.run(NOW, &["--armor", "--export"], b""));
    assert_eq!(keys.openpgp.len(), 5);
    let last = gpg.fingerprints().pop().unwrap();
    assert_verified(&verify(&signed_by(&gpg, &last, &[]), &keys), &last);
}

#[test]
fn k007_k008_k009_weak_keys_and_hashes() {
    let gpg = Gpg::new();
    let small = gpg.generate(BORN, "rsa1024", "sign,cert", "never");
    let keys = KeyBox::openpgp(&gpg.export(&small));
    let status = verify(&signed_by(&gpg, &small, &[]), &keys);
    assert!(matches!(&status, SignatureStatus::WeakAlgorithm { what, .. } if what == "RSA-1024"), "{status}");
    assert_eq!(keys.openpgp[0].standing(at(NOW)).to_string(), "weak: RSA-1024");

    let dsa = gpg.generate(BORN, "dsa2048", "sign,cert", "never");
    let keys = KeyBox::openpgp(&gpg.export(&dsa));
    let status = verify(&signed_by(&gpg, &dsa, &[]), &keys);
    assert!(matches!(status, SignatureStatus::WeakAlgorithm { .. }), "{status}");

    let key = gpg.generate(BORN, "rsa2048", "sign,cert", "never");
    let keys = KeyBox::openpgp(&gpg.export(&key));
    for hash in ["SHA1", "RIPEMD160", "SHA224"] {
        let status = verify(&signed_by(&gpg, &key, &["--digest-algo", hash]), &keys);
        assert!(matches!(status, SignatureStatus::WeakAlgorithm { .. }), "{hash}: {status}");
    }
    for hash in ["SHA256", "SHA384", "SHA512"] {
        assert_verified(&verify(&signed_by(&gpg, &key, &["--digest-algo", hash]), &keys), &key);
    }
    let text = verify(&signed_by(&gpg, &key, &["--textmode"]), &keys);
    assert!(matches!(text, SignatureStatus::Unsupported { .. }), "K017");
    let expiring = signed_by(&gpg, &key, &["--default-sig-expire", "1d"]);
    assert_verified(&verify(&expiring, &keys), &key);
    assert!(matches!(
        verify_at(&expiring, &keys, NOW + DAY),
        SignatureStatus::Expired { what: "signature", .. }
    ));
    let commented = signed_by(&gpg, &key, &["--comment", "hello: world", "--emit-version"]);
    assert_verified(&verify(&commented, &keys), &key);
    let noted = signed_by(&gpg, &key, &["--sig-notation", "a@example.org=b"]);
    assert_verified(&verify(&noted, &keys), &key);
    let critical = verify(&signed_by(&gpg, &key, &["--sig-notation", "!a@example.org=b"]), &keys);
    assert!(matches!(critical, SignatureStatus::Malformed { code: "pgp.critical_notation", .. }));
}

#[test]
fn k046_k048_expired_keys() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "ed25519", "sign,cert", "30d");
    let ends = BORN + 30 * DAY;
    let keys = KeyBox::openpgp(&gpg.export(&key));
    let alive = BORN + 10 * DAY;
    let payload = commit(alive, "made in time\n");
    let raw = signed(&payload, &gpg.sign(alive, &key, &[], &payload));
    assert_verified(&verify_at(&raw, &keys, alive), &key);
    let late = verify(&raw, &keys);
    assert!(
        matches!(&late, SignatureStatus::Expired { what, at: when, .. }
            if what.starts_with("key, valid") && *when == at(ends)),
        "{late}"
    );
    assert_eq!(keys.openpgp[0].standing(at(NOW)), Standing::Expired { at: at(ends) });

    // Prolonged by the owner: alive again, for what is signed since and for what was signed before.
    gpg.run(NOW - DAY, &["--quick-set-expire", &key, "1y"], b"");
    let renewed = KeyBox::openpgp(&gpg.export(&key));
    assert_verified(&verify(&raw, &renewed), &key);
    assert_verified(&verify(&signed_by(&gpg, &key, &[]), &renewed), &key);
}

#[test]
fn k054_k060_revoked_keys() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    let certificate = gpg.export(&key);
    let raw = signed_by(&gpg, &key, &[]);
    let prepared = gpg.prepared_revocation(&key);
    // Appended as a block of its own, before or behind: what a person does who is in a hurry.
    for file in [[&certificate[..], &prepared].concat(), [&prepared[..], &certificate].concat()] {
        let keys = KeyBox::openpgp(&file);
        assert!(matches!(verify(&raw, &keys), SignatureStatus::Revoked { .. }));
        assert!(matches!(keys.openpgp[0].standing(at(NOW)), Standing::Revoked { .. }));
    }
    let stray = [&certificate[..], &{
        let other = Gpg::new();
        let key = other.generate(BORN, "ed25519", "sign,cert", "never");
        other.prepared_revocation(&key)
    }]
    .concat();
    assert_eq!(Certificate::parse_all(&stray).unwrap_err(), CertificateError::StrayRevocation);

    for (menu, wanted) in [(1, "compromised"), (2, "superseded"), (3, "retired")] {
        let block = gpg.revocation(NOW - DAY, &key, menu);
        let keys = KeyBox::openpgp(&[&certificate[..], &block].concat());
        let status = verify(&raw, &keys);
        assert!(matches!(&status, SignatureStatus::Revoked { reason, .. } if reason == wanted), "{status}");
    }
    // K058: by an old tool, with SHA-1, where nothing else by SHA-1 counts.
    let old = gpg.generate(BORN, "rsa2048", "sign,cert", "never");
    let args = ["--cert-digest-algo", "SHA1", "--armor", "--gen-revoke", &old];
    let block = gpg.converse(NOW - DAY, &args, "y\n0\n\ny\n");
    assert!(gpg.packets(&block).contains("digest algo 2,"));
    let keys = KeyBox::openpgp(&[&gpg.export(&old)[..], &block].concat());
    let status = verify(&signed_by(&gpg, &old, &[]), &keys);
    assert!(matches!(status, SignatureStatus::Revoked { .. }), "{status}");
    // Imported and exported again: GnuPG moves it to its place.
    gpg.run(NOW, &["--import"], &prepared);
    let keys = KeyBox::openpgp(&gpg.export(&key));
    assert!(matches!(verify(&raw, &keys), SignatureStatus::Revoked { .. }));
}

#[test]
fn a_key_whose_self_signatures_are_by_sha1() {
    let gpg = Gpg::new();
    let id = "Test Key sha1 (not a real one) <test@example.org>";
    gpg.run(
        BORN,
        &["--cert-digest-algo", "SHA1", "--quick-gen-key", id, "rsa2048", "sign,cert", "never"],
        b"",
    );
    let key = gpg.fingerprints().pop().unwrap();
    let keys = KeyBox::openpgp(&gpg.export(&key));
    let status = verify(&signed_by(&gpg, &key, &[]), &keys);
    assert!(matches!(status, SignatureStatus::WeakAlgorithm { .. }), "{status}");
    assert!(matches!(keys.openpgp[0].standing(at(NOW)), Standing::Weak { .. }));
    // The way out: prolong it, which signs it again.
    gpg.run(NOW - DAY, &["--cert-digest-algo", "SHA512", "--quick-set-expire", &key, "2y"], b"");
    let keys = KeyBox::openpgp(&gpg.export(&key));
    assert_verified(&verify(&signed_by(&gpg, &key, &[]), &keys), &key);
}

#[test]
fn k038_k043_k052_k053_subkeys() {
    let gpg = Gpg::new();
    let primary = gpg.generate(BORN, "ed25519", "cert", "never");
    for (algorithm, usage, expire) in
        [("ed25519", "sign", "never"), ("ed25519", "sign", "120d"), ("cv25519", "encr", "never")]
    {
        gpg.run(BORN, &["--quick-add-key", &primary, algorithm, usage, expire], b"");
    }
    let subkeys = gpg.fingerprints().split_off(1);
    let keys = KeyBox::openpgp(&gpg.export(&primary));
    for subkey in &subkeys[..2] {
        let status = verify(&signed_by(&gpg, &format!("{subkey}!"), &[]), &keys);
        let SignatureStatus::Verified(proof) = &status else { panic!("{status}") };
        assert_eq!((proof.fingerprint(), proof.certificate()), (&subkey[..], &primary[..]));
    }
    let of_second = signed_by(&gpg, &format!("{}!", subkeys[1]), &[]);
    let late = verify_at(&of_second, &keys, NOW + 30 * DAY);
    assert!(
        matches!(&late, SignatureStatus::Expired { what, .. } if what.starts_with("subkey, valid")),
        "{late}"
    );
    assert_eq!(keys.openpgp[0].standing(at(NOW)), Standing::Usable { until: None });

    let of_first = signed_by(&gpg, &format!("{}!", subkeys[0]), &[]);
    gpg.converse(NOW - DAY, &["--edit-key", &primary], "key 1\nrevkey\ny\n3\n\ny\nsave\n");
    let revoked = KeyBox::openpgp(&gpg.export(&primary));
    let status = verify(&of_first, &revoked);
    assert!(matches!(&status, SignatureStatus::Revoked { reason, .. } if reason == "retired"), "{status}");
    assert_verified(&verify(&of_second, &revoked), &primary);

    let encrypting = Gpg::new();
    let key = encrypting.generate(BORN, "ed25519", "cert", "never");
    encrypting.run(BORN, &["--quick-add-key", &key, "rsa2048", "encr", "never"], b"");
    let standing = KeyBox::openpgp(&encrypting.export(&key)).openpgp[0].standing(at(NOW));
    assert!(matches!(standing, Standing::NoSigningKey { .. }), "{standing}");
}

#[test]
fn a_secret_key_is_refused_and_not_repeated() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    for args in [&["--armor", "--export-secret-keys"][..], &["--export-secret-keys"]] {
        let file = gpg.run(NOW, args, b"");
        assert_eq!(Certificate::parse_all(&file).unwrap_err(), CertificateError::SecretKey);
    }
    assert_eq!(
        Certificate::parse_all(&gpg.sign(NOW, &key, &[], b"x")).unwrap_err(),
        CertificateError::NotACertificate
    );
    let clear = gpg.run(NOW, &["--clear-sign"], b"text\n");
    assert_eq!(Certificate::parse_all(&clear).unwrap_err(), CertificateError::NotACertificate, "O14");
    let raw = signed(&commit(NOW, "m\n"), &clear);
    assert!(matches!(verify(&raw, &KeyBox::default()), SignatureStatus::Malformed { code: "sig.label", .. }));
}

/// Section 3.2: flipping a bit inside of the signature header is refused, or leaves payload and key the
/// same. This is the whole list of what may change unnoticed in a signature by GnuPG.
#[test]
fn what_is_malleable_in_an_openpgp_signature_header() {
    let gpg = Gpg::new();
    let key = gpg.generate(BORN, "ed25519", "sign,cert", "never");
    let keys = KeyBox::openpgp(&gpg.export(&key));
    let payload = commit(NOW, "signed\n");
    let raw = signed_by(&gpg, &key, &["--comment", "test"]);
    let text = String::from_utf8(raw.clone()).unwrap();
    let (start, end) = (text.find("gpgsig").unwrap(), text.find("\n\n").unwrap() + 1);
    let (mut comment, mut checksum, mut data) = (0, 0, 0);
    for (index, bit) in (start..end).flat_map(|index| (0..8).map(move |bit| (index, bit))) {
        let mut changed = raw.clone();
        changed[index] ^= 1 << bit;
        let Ok(parsed) = object::parse_commit(ObjectFormat::Sha1, &changed) else { continue };
        let object::SignatureField::Present(block) = &parsed.signature else { continue };
        let status = countersign::signature::verify_now(block, &parsed.payload, &keys, at(NOW), NOW);
        if let SignatureStatus::Verified(proof) = status {
            assert_eq!(proof.certificate(), key);
            assert_eq!([parsed.payload.before, parsed.payload.after].concat(), payload);
            let line = text[..index].rfind('\n').map_or(0, |at| at + 1);
            match &text[line..line + 2] {
                " C" => comment += 1,
                " =" => checksum += 1,
                _ => data += 1,
            }
        }
    }
    assert!(comment > 0, "the text of the comment");
    assert!(checksum > 0, "the checksum, which nothing reads");
    // The bit counts of the two numbers of an EdDSA signature within the same count of octets, three low
    // bits each at most; and the type octet of the one unhashed subpacket, a key id that the hashed
    // fingerprint makes superfluous.
    assert!(data <= 6 + 8, "{data}");
}

/// Certificates and signatures of every algorithm with a few octets changed: numbers that are no key
/// reach the arithmetic, and nothing panics.
#[test]
fn changed_certificates_do_not_panic() {
    let gpg = Gpg::new();
    let payload = commit(NOW, "m\n");
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        // xorshift: the same changes every time.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % u64::try_from(below).unwrap()).unwrap()
    };
    for algorithm in ["ed25519", "rsa2048", "nistp256", "nistp521", "dsa2048"] {
        let key = gpg.generate(BORN, algorithm, "sign,cert", "never");
        gpg.run(BORN, &["--quick-add-key", &key, "rsa2048", "sign", "never"], b"");
        let raw = signed(&payload, &gpg.sign(NOW, &format!("{key}!"), &[], &payload));
        let whole = gpg.run(NOW, &["--export", &key], b"");
        for _ in 0..MUTATIONS {
            let mut changed = whole.clone();
            for _ in 0..=next(3) {
                // Mostly near the start, where the primary key's numbers are.
                let reach = if next(2) == 0 { 300.min(whole.len()) } else { whole.len() };
                changed[next(reach)] = u8::try_from(next(256)).unwrap();
            }
            changed.truncate(whole.len() - next(2) * next(40));
            let Ok(certificates) = Certificate::parse_all(&changed) else { continue };
            let keys = KeyBox { openpgp: certificates, ..KeyBox::default() };
            let _ = verify(&raw, &keys).to_string();
            keys.openpgp.iter().for_each(|one| drop(one.standing(at(NOW)).to_string()));
        }
    }
}

/// How many changed certificates of each algorithm are tried.
const MUTATIONS: usize = 200;

/// A repository whose commits and tags git itself makes and signs.
fn repository(dir: &Path, format: &str) {
    git(dir, &["init", "-q", "--object-format", format], b"");
    git(dir, &["config", "user.name", "Test Key"], b"");
    git(dir, &["config", "user.email", "test@example.org"], b"");
}

fn git(dir: &Path, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("git");
    command.arg("-C").arg(dir).args(args).env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", dir);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
    run(&mut command, input)
}

/// The clock of the machine: git signs at no other time.
fn real_now() -> i64 {
    countersign::domain::Timestamp::now().as_second()
}

#[test]
fn git_signs_commits_and_tags_with_ssh() {
    let ssh = Ssh::new();
    let path = ssh.generate("key", "ed25519", "256");
    let keys = KeyBox::ssh(&Ssh::public(&path));
    for (name, format) in [("sha1", ObjectFormat::Sha1), ("sha256", ObjectFormat::Sha256)] {
        let dir = tempfile::tempdir().unwrap();
        repository(dir.path(), name);
        git(dir.path(), &["config", "gpg.format", "ssh"], b"");
        git(dir.path(), &["config", "user.signingKey", path.to_str().unwrap()], b"");
        git(dir.path(), &["commit", "-q", "-S", "--allow-empty", "-m", "subject\n\nbody é"], b"");
        git(dir.path(), &["commit", "-q", "-S", "--allow-empty", "-m", "second"], b"");
        git(dir.path(), &["tag", "-s", "-m", "release", "v1"], b"");
        let raw = git(dir.path(), &["cat-file", "commit", "HEAD"], b"");
        let commit = object::parse_commit(format, &raw).unwrap();
        let object::SignatureField::Present(block) = &commit.signature else { panic!("signed") };
        let verdict = |payload: &object::Payload<'_>, block: &object::SignatureBlock, time: i64| {
            countersign::signature::verify_now(block, payload, &keys, at(real_now()), time)
        };
        let status = verdict(&commit.payload, block, commit.committer.time);
        assert!(matches!(status, SignatureStatus::Verified(_)), "{status}");
        assert_eq!(object::parents_lenient(format, &raw), Some(commit.parents.clone()));
        assert_eq!(commit.parents.len(), 1);

        let raw = git(dir.path(), &["cat-file", "tag", "v1"], b"");
        let tag = object::parse_tag(format, &raw).unwrap();
        let object::SignatureField::Present(block) = &tag.signature else { panic!("signed") };
        let status = verdict(&tag.payload, block, tag.time());
        assert!(matches!(status, SignatureStatus::Verified(_)), "{status}");
        assert_eq!((tag.name, tag.message), (&b"v1"[..], &b"release\n"[..]));
        assert_eq!(
            tag.target.to_string().as_bytes(),
            git(dir.path(), &["rev-parse", "HEAD"], b"").trim_ascii()
        );
    }
}

#[test]
fn git_signs_commits_and_tags_with_gnupg() {
    let gpg = Gpg::new();
    let key = gpg.generate(real_now() - DAY, "ed25519", "sign,cert", "never");
    let keys = KeyBox::openpgp(&gpg.export(&key));
    let dir = tempfile::tempdir().unwrap();
    repository(dir.path(), "sha1");
    let program = dir.path().join("gpg");
    let script = format!("#!/bin/sh\nexec gpg --homedir '{}' --batch \"$@\"\n", gpg.home().display());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    git(dir.path(), &["config", "gpg.program", program.to_str().unwrap()], b"");
    git(dir.path(), &["config", "user.signingKey", &key], b"");
    git(dir.path(), &["commit", "-q", "-S", "--allow-empty", "-m", "subject"], b"");
    git(dir.path(), &["tag", "-s", "-m", "release", "v1"], b"");

    let raw = git(dir.path(), &["cat-file", "commit", "HEAD"], b"");
    assert_verified(&verify_at(&raw, &keys, real_now()), &key);
    let raw = git(dir.path(), &["cat-file", "tag", "v1"], b"");
    let tag = object::parse_tag(ObjectFormat::Sha1, &raw).unwrap();
    let object::SignatureField::Present(block) = &tag.signature else { panic!("signed") };
    let status = countersign::signature::verify_now(block, &tag.payload, &keys, at(real_now()), tag.time());
    assert_verified(&status, &key);
}

/// What git calls good and the gate does not: each was accepted by `git verify-commit`.
#[test]
fn git_calls_these_good() {
    let ssh = Ssh::new();
    let path = ssh.generate("key", "ed25519", "256");
    let keys = KeyBox::ssh(&Ssh::public(&path));
    let payload = commit(NOW, "m\n");
    let text = String::from_utf8(signed(&payload, &Ssh::sign(&path, "git", &[], &payload))).unwrap();
    let dir = tempfile::tempdir().unwrap();
    repository(dir.path(), "sha1");
    let allowed = dir.path().join("allowed");
    std::fs::write(&allowed, format!("test@example.org {}", Ssh::public(&path))).unwrap();
    git(dir.path(), &["config", "gpg.ssh.allowedSignersFile", allowed.to_str().unwrap()], b"");
    for (raw, code) in [
        (text.replacen("gpgsig ", "gpgsigfoo smuggled\ngpgsig ", 1), "sig.smuggled_header"),
        (text.replacen("gpgsig ", "gpgsig-sha256 junk\ngpgsig ", 1), "sig.smuggled_header"),
        (
            text.replacen("-----END SSH SIGNATURE-----\n", "-----END SSH SIGNATURE-----\n unsigned\n", 1),
            "sig.trailing",
        ),
        (
            text.replacen("\n U1NI", "\n U1 NI", 1).replacen(
                "SSH SIGNATURE-----\n U",
                "SSH SIGNATURE-----\n U ",
                1,
            ),
            "sig.armor",
        ),
    ] {
        let id =
            git(dir.path(), &["hash-object", "-t", "commit", "-w", "--stdin", "--literally"], raw.as_bytes());
        let id = String::from_utf8(id).unwrap();
        git(dir.path(), &["verify-commit", id.trim()], b"");
        let status = verify(raw.as_bytes(), &keys);
        assert!(
            matches!(&status, SignatureStatus::Malformed { code: found, .. } if *found == code),
            "{status}"
        );
    }
}
