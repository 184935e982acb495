//! Conformance cases X: OpenSSH user certificates.

use crate::keys::*;
use crate::ssh::craft::{self, Cert, Key, strings};
use crate::ssh::{Git, Ring, blob_of, judged, keygen_verify, krl, payload, proof, status, with, word};
use countersign::signature::ssh::allowed_signers;
use countersign::signature::ssh::revocation::RevocationList;
use countersign::signature::{CheckResult, Rules, SignatureStatus, Strictness, Times, VerifiedSignature};
use std::path::{Path, PathBuf};
use std::process::Command;

const HOUR: i64 = 3_600;

/// A certificate in force at [`NOW`].
fn cert() -> Cert<'static> {
    Cert::new(NOW - HOUR, NOW + HOUR)
}

fn authority() -> Key {
    Key::ed25519(9)
}

fn user() -> Key {
    Key::ed25519(1)
}

fn ring() -> Ring {
    Ring::authority(authority().blob())
}

/// The verdict on a commit under this certificate.
fn under(cert: &Cert<'_>, ring: &Ring) -> SignatureStatus {
    let blob = cert.make(&user(), &authority());
    status(&with(&craft::sshsig(&blob, &user(), &payload())), ring)
}

/// The same at other times.
fn under_at(cert: &Cert<'_>, times: Times, rules: &Rules) -> SignatureStatus {
    let blob = cert.make(&user(), &authority());
    judged(&with(&craft::sshsig(&blob, &user(), &payload())), &ring(), Some(times), rules).0
}

/// A key that a certificate by ssh-keygen vouches for.
struct Real {
    ssh: Ssh,
    authority: PathBuf,
    key: PathBuf,
}

impl Real {
    fn new(kind: &str, bits: &str) -> Self {
        let ssh = Ssh::new();
        let authority = ssh.generate("authority", kind, bits);
        let key = ssh.generate("key", "ed25519", "256");
        Real { ssh, authority, key }
    }

    /// `ssh-keygen -s`, and a commit's signature with what it made.
    fn sign(&self, more: &[&str]) -> Vec<u8> {
        self.sign_for(&self.key, more)
    }

    fn sign_for(&self, key: &Path, more: &[&str]) -> Vec<u8> {
        let mut command = Command::new("ssh-keygen");
        command.arg("-q").arg("-s").arg(&self.authority).args(["-I", "alice's laptop", "-z", "7"]);
        run(command.args(more).arg(key.with_extension("pub")), b"");
        let certificate =
            key.with_file_name(format!("{}-cert.pub", key.file_name().unwrap().to_str().unwrap()));
        Ssh::sign(&certificate, "git", &[], &payload())
    }

    fn ring(&self) -> Ring {
        Ring::authority(blob_of(&Ssh::public(&self.authority)))
    }
}

const ALICE: [&str; 4] = ["-n", "alice@example.org", "-V", "20250501000000Z:20250701000000Z"];

fn facts(proof: &VerifiedSignature) -> (&str, u64, &[String]) {
    let certificate = proof.ssh_certificate().unwrap();
    (&certificate.key_id, certificate.serial, &certificate.principals)
}

#[test]
fn x001_a_users_certificate() {
    for (kind, bits) in [("ed25519", "256"), ("ecdsa", "384"), ("rsa", "2048")] {
        let real = Real::new(kind, bits);
        let authority = Ssh::public(&real.authority);
        for (of, size) in [("ed25519", "256"), ("ecdsa", "256"), ("rsa", "2048")] {
            let key = real.ssh.generate(&format!("user-{of}"), of, size);
            let armor = real.sign_for(&key, &ALICE);
            let (status, trace) = judged(&with(&armor), &real.ring(), None, &Rules::default());
            let proof = proof(status);
            assert_eq!(facts(&proof), ("alice's laptop", 7, &["alice@example.org".to_owned()][..]));
            let print = |line: &str| craft_fingerprint(line);
            assert_eq!(proof.certificate(), print(&authority), "the keyring's entry is the authority");
            assert_eq!(proof.fingerprint(), print(&Ssh::public(&key)), "the certified key signed");
            assert_eq!(proof.findings(), []);
            let passed: Vec<_> = trace.checks().iter().map(|check| check.name).collect();
            for name in [
                "certificate",
                "authority",
                "certificate-signature",
                "certificate-type",
                "certificate-principals",
                "certificate-options",
                "certificate-window",
                "revocation",
            ] {
                assert!(passed.contains(&name), "{name} in {passed:?}");
            }
            assert!(trace.checks().iter().all(|check| check.result == CheckResult::Passed));
        }
    }
    let real = Real::new("ed25519", "256");
    let git = Git::new(&format!("*@example.org cert-authority {}", Ssh::public(&real.authority)));
    let (good, said) = git.verify(&with(&real.sign(&ALICE)));
    assert!(good && said.contains("for alice@example.org with"), "{said}");
}

fn craft_fingerprint(line: &str) -> String {
    countersign::signature::ssh::parse_public_key(line).unwrap().fingerprint()
}

/// Which patterns a certificate's principal must match is the line's; who takes it from the certificate
/// is the keyring.
#[test]
fn x002_patterns_of_an_authority() {
    let text = format!("*@example.org cert-authority {}\n", authority().line());
    let line = allowed_signers::parse(text.as_bytes(), None).unwrap().remove(0);
    let patterns = line.patterns().unwrap();
    let proof = proof(under(&cert(), &ring()));
    let matched = |proof: &VerifiedSignature| {
        proof.ssh_certificate().unwrap().principals.iter().any(|name| patterns.matches(name))
    };
    assert!(matched(&proof));
    let other = Cert { principals: vec![b"alice@example.com"], ..cert() };
    assert!(!matched(&self::proof(under(&other, &ring()))));
}

#[test]
fn x003_the_window() {
    let rules = Rules::default();
    let window = |after: i64, before: i64| Cert::new(after, before);
    // The commit claims NOW. Received then as well, and, without an anchor, never.
    for times in
        [Times::introduced(NOW, at(NOW)), Times { object: NOW, received: None, now: at(NOW + 900 * DAY) }]
    {
        let word_of = |cert: &Cert<'_>| word(&under_at(cert, times, &rules));
        assert_eq!(word_of(&window(NOW - HOUR, NOW + HOUR)), "verified");
        assert_eq!(word_of(&window(NOW - HOUR, NOW - 1)), "expired");
        assert_eq!(word_of(&window(NOW - HOUR, NOW)), "expired", "the end is not inside");
        assert_eq!(word_of(&window(NOW - HOUR, NOW + 1)), "verified");
        assert_eq!(word_of(&window(NOW + 1, NOW + HOUR)), "not-yet-valid");
        assert_eq!(word_of(&window(NOW, NOW + HOUR)), "verified", "the beginning is");
    }
    let expired = under_at(&window(NOW - HOUR, NOW), Times::introduced(NOW, at(NOW)), &rules);
    assert!(
        matches!(expired, SignatureStatus::Expired { what: "certificate", at: end, .. } if end == at(NOW))
    );
    let real = Real::new("ed25519", "256");
    let old = real.sign(&["-n", "alice", "-V", "20250101000000Z:20250301000000Z"]);
    assert_eq!(word(&status(&with(&old), &real.ring())), "expired");
    // A claim from before the certificate, received while it is in force.
    let early = under_at(&window(NOW + 10, NOW + HOUR), Times::introduced(NOW, at(NOW + 20)), &rules);
    assert_eq!(word(&early), "not-yet-valid");
    // A claim within, received before: the clock of whoever signed runs ahead.
    let ahead = under_at(&window(NOW - 10, NOW + HOUR), Times::introduced(NOW, at(NOW - 20)), &rules);
    assert_eq!(word(&ahead), "not-yet-valid");
    let negative = Times { object: -5, received: None, now: at(NOW) };
    assert_eq!(word(&under_at(&window(0, NOW), negative, &rules)), "not-yet-valid");
}

#[test]
fn x005_an_authority_is_no_signer_and_a_signer_no_authority() {
    let plain = Ring { keys: vec![authority().blob()], ..Ring::default() };
    assert_eq!(word(&under(&cert(), &plain)), "unknown-key");
    let armor = authority().sshsig(&payload());
    assert_eq!(word(&status(&with(&armor), &ring())), "unknown-key");
    // The same to ssh-keygen.
    let line = format!("alice cert-authority {}\n", authority().line());
    assert!(!keygen_verify(&line, &armor, &payload(), "git").0);
    assert!(keygen_verify(&line.replace("cert-authority ", ""), &armor, &payload(), "git").0);
}

#[test]
fn x006_principals() {
    let nobody = Cert { principals: vec![], ..cert() };
    let status = under(&nobody, &ring());
    assert_eq!(word(&status), "wrong-purpose");
    assert!(status.to_string().contains("names no principal"), "{status}");
    let two = Cert { principals: vec![b"a@example.org", b"b@example.org"], ..cert() };
    assert_eq!(facts(&proof(under(&two, &ring()))).2, ["a@example.org", "b@example.org"]);
    for name in [&b""[..], b"a\0b", b"a\nb", b"\xff"] {
        assert_eq!(
            word(&under(&Cert { principals: vec![b"a", name], ..cert() }, &ring())),
            "ssh.certificate"
        );
    }
    let many = Cert { principals: vec![b"a"; 257], ..cert() };
    assert_eq!(word(&under(&many, &ring())), "ssh.certificate");
    // ssh-keygen does not verify for somebody else than the certificate names.
    let blob = Cert { principals: vec![b"bob"], before: u64::MAX, ..cert() }.make(&user(), &authority());
    let armor = craft::sshsig(&blob, &user(), &payload());
    assert!(
        !keygen_verify(&format!("alice cert-authority {}\n", authority().line()), &armor, &payload(), "git")
            .0
    );
}

#[test]
fn x007_a_hosts_certificate() {
    let real = Real::new("ed25519", "256");
    let host = real.sign(&["-h", "-n", "alice@example.org", "-V", "20250501000000Z:20250701000000Z"]);
    let status = status(&with(&host), &real.ring());
    assert!(matches!(&status, SignatureStatus::WrongPurpose { why, .. } if why.contains("host")), "{status}");
    for kind in [0, 2, 3, u32::MAX] {
        assert_eq!(word(&under(&Cert { kind, ..cert() }, &ring())), "wrong-purpose");
    }
}

#[test]
fn x008_critical_options() {
    let line = format!("alice@example.org cert-authority {}\n", authority().line());
    for name in [&b"force-command"[..], b"source-address", b"future@example.org", b"no-touch-required", b""] {
        let critical = Cert { critical: vec![(name, strings(&[b"x"]))], ..cert() };
        assert_eq!(word(&under(&critical, &ring())), "wrong-purpose", "{}", String::from_utf8_lossy(name));
        // As an extension any of them may be there.
        let extension = Cert { extensions: vec![(name, strings(&[b"x"]))], ..cert() };
        assert_eq!(word(&under(&extension, &ring())), "verified");
    }
    let real = Real::new("ed25519", "256");
    for option in ["force-command=/bin/true", "source-address=10.0.0.0/8"] {
        let armor = real.sign(&[&ALICE[..], &["-O", option]].concat());
        assert_eq!(word(&status(&with(&armor), &real.ring())), "wrong-purpose");
        let git = Git::new(&line.replace(&authority().line(), Ssh::public(&real.authority).trim()));
        assert!(git.verify(&with(&armor)).0, "git does not look at {option}");
    }
}

#[test]
fn x009_verify_required() {
    let critical = Cert { critical: vec![(b"verify-required", vec![])], ..cert() };
    let token = |flags: u8| Key::p256(3).fido("ssh:").with(flags, 1);
    for (flags, wanted) in [(0x01, "wrong-purpose"), (0x00, "wrong-purpose"), (0x05, "verified")] {
        let blob = critical.make(&token(flags), &authority());
        let status = status(&with(&craft::sshsig(&blob, &token(flags), &payload())), &ring());
        assert_eq!(word(&status), wanted, "{flags:#x}");
        if let SignatureStatus::Verified(proof) = status {
            assert!(proof.ssh_certificate().unwrap().verify_required);
        }
    }
    // A key that is no authenticator's cannot meet it.
    assert_eq!(word(&under(&critical, &ring())), "wrong-purpose");
    let valued = Cert { critical: vec![(b"verify-required", b"x".to_vec())], ..cert() };
    assert_eq!(word(&under(&valued, &ring())), "ssh.certificate");
    let plain = token(0);
    let blob = Cert { extensions: vec![(b"no-touch-required", vec![])], ..cert() }.make(&plain, &authority());
    let proof = proof(status(&with(&craft::sshsig(&blob, &plain, &payload())), &ring()));
    assert!(proof.ssh_certificate().unwrap().no_touch_required);
    assert!(!proof.fido().unwrap().user_present);
}

#[test]
fn x010_an_extension_of_any_bytes() {
    let binary = vec![0xff, 0x00, 0x1b, 0x80];
    let extensions = vec![(&b"binary@example.org"[..], binary), (b"permit-pty", vec![])];
    let proof = proof(under(&Cert { extensions, ..cert() }, &ring()));
    assert_eq!(proof.certificate(), craft_fingerprint(&authority().line()));
    let reserved = Cert { reserved: b"anything", ..cert() };
    assert_eq!(word(&under(&reserved, &ring())), "verified", "to be ignored");
    let key_id = Cert { key_id: b"\x1b[31m\xff", ..cert() };
    assert_eq!(facts(&self::proof(under(&key_id, &ring()))).0, "\\x1b[31m\\xff");
}

#[test]
fn x011_an_authority_that_signs_with_sha1() {
    let real = Real::new("rsa", "2048");
    let sha1 = real.sign(&[&ALICE[..], &["-t", "ssh-rsa"]].concat());
    let status = status(&with(&sha1), &real.ring());
    assert!(
        matches!(&status, SignatureStatus::WeakAlgorithm { what, .. } if what.contains("SHA-1")),
        "{status}"
    );
    let short = real.sign(&[&ALICE[..], &["-t", "rsa-sha2-256"]].concat());
    assert_eq!(word(&self::status(&with(&short), &real.ring())), "verified");
    let small = Real::new("rsa", "1024");
    assert_eq!(word(&self::status(&with(&small.sign(&ALICE)), &small.ring())), "weak-algorithm");
}

#[test]
fn x012_a_certificate_as_an_authoritys_key() {
    let inner = cert().make(&authority(), &Key::ed25519(8));
    let nested = Cert { authority: Some(inner.clone()), ..cert() };
    let ring = Ring { authorities: vec![authority().blob(), inner.clone()], ..Ring::default() };
    let status = under(&nested, &ring);
    assert_eq!(word(&status), "ssh.certificate");
    assert!(status.to_string().contains("itself a certificate"), "{status}");
    // As deep as it fits into an armor: looked at, and not read.
    let mut deep = inner;
    while deep.len() < 8_000 {
        deep = Cert { authority: Some(deep), ..cert() }.make(&user(), &authority());
    }
    let armor = craft::sshsig(&deep, &user(), &payload());
    assert_eq!(word(&self::status(&with(&armor), &ring)), "ssh.certificate");
}

#[test]
fn x013_what_may_be_revoked() {
    let real = Real::new("ed25519", "256");
    let armor = real.sign(&ALICE);
    let dir = tempfile::tempdir().unwrap();
    let authority = Ssh::public(&real.authority);
    let of_ca = |source: &str| krl(dir.path(), source, Some(&real.authority));
    for (list, why) in [
        (krl(dir.path(), &format!("key: {authority}"), None), "authority's key"),
        (krl(dir.path(), &format!("sha256: {authority}"), None), "authority's key"),
        (krl(dir.path(), &format!("key: {}", Ssh::public(&real.key)), None), "the key is"),
        (authority.clone().into_bytes(), "authority's key"),
        (Ssh::public(&real.key).into_bytes(), "the key is"),
        (of_ca("serial: 7\n"), "serial number"),
        (of_ca("serial: 1-100\n"), "serial number"),
        (of_ca("id: alice's laptop\n"), "key id"),
    ] {
        let ring = Ring { revoked: RevocationList::parse(&list).unwrap(), ..real.ring() };
        let status = status(&with(&armor), &ring);
        assert!(
            matches!(&status, SignatureStatus::Revoked { reason, .. } if reason.contains(why)),
            "{why}: {status}"
        );
    }
    for list in [of_ca("serial: 8-100\nid: alice\n"), krl(dir.path(), "", None)] {
        let ring = Ring { revoked: RevocationList::parse(&list).unwrap(), ..real.ring() };
        assert_eq!(word(&status(&with(&armor), &ring)), "verified");
    }
    // The certificate itself, as ssh-keygen revokes it: by its number.
    let file = std::fs::read_to_string(real.key.with_file_name("key-cert.pub")).unwrap();
    let list = RevocationList::parse(&of_ca(&file)).unwrap();
    assert_eq!(word(&status(&with(&armor), &Ring { revoked: list, ..real.ring() })), "revoked");
}

#[test]
fn x014_a_listed_key_under_an_unknown_authority() {
    let ring = Ring { keys: vec![user().blob()], ..Ring::default() };
    assert_eq!(word(&under(&cert(), &ring)), "unknown-key");
    assert_eq!(word(&status(&with(&user().sshsig(&payload())), &ring)), "verified", "by itself it counts");
    // A known authority's name on somebody else's work.
    let forged = Cert { authority: Some(authority().blob()), ..cert() }.make(&user(), &Key::ed25519(8));
    let armor = craft::sshsig(&forged, &user(), &payload());
    assert_eq!(word(&status(&with(&armor), &self::ring())), "bad");
    // A right certificate, and a signature by another key than the certified one.
    let stolen = cert().make(&user(), &authority());
    let armor = craft::sshsig(&stolen, &Key::ed25519(2), &payload());
    assert_eq!(word(&status(&with(&armor), &self::ring())), "bad");
}

#[test]
fn x015_received_after_the_end() {
    let day = Rules::default();
    assert_eq!(day.certificate_grace, DAY);
    let end = NOW + HOUR;
    let received = |time: i64, rules: &Rules| {
        word(&under_at(&Cert::new(NOW - HOUR, end), Times::introduced(NOW, at(time)), rules))
    };
    assert_eq!(received(end + 2 * DAY, &day), "expired");
    assert_eq!(received(end + DAY, &day), "expired", "the end is not inside");
    assert_eq!(received(end + DAY - 1, &day), "verified");
    let none = Rules { certificate_grace: 0, ..Rules::default() };
    assert_eq!((received(end, &none), received(end - 1, &none)), ("expired", "verified"));
    // The grace is for the receipt. A claim after the end is a claim after the end.
    let late = under_at(&Cert::new(NOW - HOUR, NOW - 10), Times::introduced(NOW, at(NOW)), &day);
    assert_eq!(word(&late), "expired");
    // Without an anchor, the claim alone.
    let old = Times { object: NOW, received: None, now: at(end + 900 * DAY) };
    assert_eq!(word(&under_at(&Cert::new(NOW - HOUR, end), old, &day)), "verified");
}

#[test]
fn x016_for_ever() {
    let real = Real::new("ed25519", "256");
    let armor = real.sign(&["-n", "alice@example.org"]);
    let proof = proof(status(&with(&armor), &real.ring()));
    let codes: Vec<_> = proof.findings().iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["ssh.certificate_forever"]);
    assert_eq!(proof.ssh_certificate().unwrap().valid_before, u64::MAX);
    let long = Cert { before: u64::MAX - 1, ..cert() };
    assert_eq!(self::proof(under(&long, &ring())).findings().len(), 1, "an end that no clock reaches");
    let year_9998 = Cert { before: 253_370_764_800, ..cert() };
    assert_eq!(self::proof(under(&year_9998, &ring())).findings(), [], "an end is an end");
    // Whoever wants certificates to end says so.
    let strict = Rules { endless_certificates: Strictness::Refuse, ..Rules::default() };
    let times = Times::introduced(NOW, at(NOW));
    for before in [u64::MAX, u64::MAX - 1] {
        let status = under_at(&Cert { before, ..cert() }, times, &strict);
        assert!(
            matches!(&status, SignatureStatus::WrongPurpose { why, .. } if why.contains("for ever")),
            "{status}"
        );
    }
    assert_eq!(word(&under_at(&year_9998, times, &strict)), "verified");
}

#[test]
fn x017_a_window_of_nothing() {
    for (after, before) in [(NOW + HOUR, NOW - HOUR), (NOW, NOW)] {
        assert_eq!(word(&under(&Cert::new(after, before), &ring())), "ssh.certificate_window");
    }
}

#[test]
fn x018_options_twice_or_out_of_order() {
    let option = |name: &'static [u8]| (name, vec![]);
    let twice = vec![option(b"verify-required"), option(b"verify-required")];
    let out_of_order = vec![option(b"b"), option(b"a")];
    for options in [twice, out_of_order] {
        let critical = Cert { critical: options.clone(), ..cert() };
        assert_eq!(word(&under(&critical, &ring())), "ssh.certificate");
        let extensions = Cert { extensions: options, ..cert() };
        assert_eq!(word(&under(&extensions, &ring())), "ssh.certificate");
    }
    let in_order = Cert { extensions: vec![option(b"a"), option(b"aa"), option(b"b")], ..cert() };
    assert_eq!(word(&under(&in_order, &ring())), "verified");
}

/// S10: bytes behind the certificate or in the authority's signature are no part of anything.
#[test]
fn bytes_left_over_are_refused() {
    assert_eq!(word(&under(&Cert { trailing: b"x", ..cert() }, &ring())), "ssh.certificate");
    let signature = strings(&[b"ssh-ed25519", &[1; 63]]);
    let short = Cert { signature: Some(signature), ..cert() };
    assert_eq!(word(&under(&short, &ring())), "ssh.certificate");
    let other = strings(&[b"ecdsa-sha2-nistp256", &[1; 64]]);
    assert_eq!(word(&under(&Cert { signature: Some(other), ..cert() }, &ring())), "ssh.certificate");
    let unknown = strings(&[b"future@example.org-x", &[1; 64]]);
    assert_eq!(word(&under(&Cert { signature: Some(unknown), ..cert() }, &ring())), "unsupported");
}

/// An authority may live in an authenticator; that nobody touched it is told.
#[test]
fn an_authority_in_an_authenticator() {
    for (flags, wanted) in [(1, vec![]), (0, vec!["ssh.authority_untouched"])] {
        let authority = Key::ed25519(9).fido("ssh:").with(flags, 4);
        let blob = cert().make(&user(), &authority);
        let armor = craft::sshsig(&blob, &user(), &payload());
        let proof = proof(status(&with(&armor), &Ring::authority(authority.blob())));
        let codes: Vec<_> = proof.findings().iter().map(|finding| finding.code).collect();
        assert_eq!(codes, wanted);
    }
}

/// Certificates of this suite's own making are what OpenSSH makes: ssh-keygen reads and accepts them.
#[test]
fn openssh_accepts_the_crafted_certificates() {
    for (key, authority) in [
        (Key::ed25519(1), Key::ed25519(9)),
        (Key::p256(1), Key::p256(9)),
        (Key::p256(1).fido("ssh:"), Key::ed25519(9)),
        (Key::ed25519(1).fido("ssh:"), Key::ed25519(9).fido("ssh:")),
    ] {
        let cert = Cert { principals: vec![b"alice"], before: u64::MAX, ..cert() };
        let armor = craft::sshsig(&cert.make(&key, &authority), &key, &payload());
        let line = format!("alice cert-authority {}\n", authority.line());
        let (good, said) = keygen_verify(&line, &armor, &payload(), "git");
        assert!(good, "{}: {said}", key.name());
        assert_eq!(word(&status(&with(&armor), &Ring::authority(authority.blob()))), "verified");
    }
}
