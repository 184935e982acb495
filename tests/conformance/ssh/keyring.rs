//! The cases that the keyring decides: windows, namespaces and owners of lines, revocation files, what is
//! asked of FIDO keys, and for whom an authority speaks.

use super::craft::{self, Cert, Key};
use super::{Git, keygen_verify, krl, made, payload, with, word};
use crate::keys::*;
use countersign::domain::ObjectFormat;
use countersign::keyring::{AllowedSigners, Keyring, Reason, Revocation, RevocationFile, Sources};
use countersign::signature::{self, Demand, Rules, SignatureStatus, Times, Trace, object};
use jiff::tz::TimeZone;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A keyring's files.
struct Files {
    dir: tempfile::TempDir,
    sources: Sources,
}

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let principals = dir.path().join("keyring");
        std::fs::create_dir(&principals).unwrap();
        for path in [dir.path(), &principals] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Files { dir, sources: Sources::directory(principals) }
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    /// With an `allowed_signers` file.
    fn lines(text: &str) -> Self {
        Files::lines_in(text, None)
    }

    fn lines_in(text: &str, zone: Option<TimeZone>) -> Self {
        let mut files = Files::new();
        let path = files.write("allowed_signers", text.as_bytes());
        files.sources.allowed_signers.push(AllowedSigners { path, groups: Vec::new(), zone });
        files
    }

    /// With the file of one principal called `alice`.
    fn alice(tables: &str) -> Self {
        let files = Files::new();
        let text = format!("name = \"alice\"\nemails = [\"alice@example.org\"]\n{tables}");
        files.write("keyring/alice.toml", text.as_bytes());
        files
    }

    fn revoking(mut self, content: &[u8], allow_empty: bool) -> Self {
        let path = self.write("revoked", content);
        self.revoked_by(path, allow_empty);
        self
    }

    fn revoked_by(&mut self, path: PathBuf, allow_empty: bool) {
        let revocation = Revocation { at: Some(at(BORN)), effective_from: None, reason: Reason::Compromised };
        self.sources.revocations.push(RevocationFile { path, revocation, allow_empty });
    }

    fn load(&self) -> Keyring {
        Keyring::load(&self.sources).unwrap_or_else(|error| panic!("{error}")).keyring
    }

    /// Why it does not load.
    #[track_caller]
    fn fault(&self) -> String {
        Keyring::load(&self.sources).expect_err("this must not load").to_string()
    }

    fn status(&self, raw: &[u8]) -> SignatureStatus {
        self.judged(raw, None, &Rules::default()).0
    }

    /// Verdict and owner of a commit that comes in at the time it claims, or at others.
    fn judged(&self, raw: &[u8], times: Option<Times>, rules: &Rules) -> (SignatureStatus, Option<String>) {
        let commit = object::parse_commit(ObjectFormat::Sha1, raw).unwrap();
        let object::SignatureField::Present(block) = &commit.signature else { panic!("signed") };
        let claimed = commit.committer.time;
        let times = times.unwrap_or_else(|| Times::introduced(claimed, at(claimed)));
        let keyring = self.load();
        let status = signature::verify(block, &commit.payload, &keyring, times, rules, &mut Trace::off());
        let (status, owner) = keyring.assess(status, &times, rules);
        (status, owner.map(|owner| owner.name.clone()))
    }
}

fn by(key: &Key) -> Vec<u8> {
    with(&key.sshsig(&payload()))
}

/// A commit that claims `time`.
fn by_at(key: &Key, time: i64) -> Vec<u8> {
    let payload = commit(time, "m\n");
    signed(&payload, &key.sshsig(&payload))
}

#[test]
fn s001_s005_s012_whose_key_it_is() {
    let key = Key::ed25519(1);
    let files = Files::lines(&format!("alice@example.org {}\n", key.line()));
    let (status, owner) = files.judged(&by(&key), None, &Rules::default());
    assert_eq!((word(&status), owner.as_deref()), ("verified", Some("alice@example.org")));
    assert_eq!(word(&files.status(&by(&Key::ed25519(2)))), "unknown-key");
    // The comment is nobody's name.
    let text = format!("alice {} bob@example.org\n", key.line());
    assert_eq!(Files::lines(&text).judged(&by(&key), None, &Rules::default()).1.as_deref(), Some("alice"));
}

#[test]
fn s006_s007_s008_s009_s010_windows_of_lines() {
    let key = Key::ed25519(1);
    for (window, wanted) in [
        ("valid-before=\"20250531Z\"", "expired"),
        ("valid-after=\"20250602Z\"", "not-yet-valid"),
        ("valid-after=\"20250101Z\",valid-before=\"20251231Z\"", "verified"),
        ("valid-after=\"20240101Z\",valid-before=\"20241231Z\"", "expired"),
        // The commit is from midnight of 2025-06-01: the last second, and one after it.
        ("valid-before=\"20250601Z\"", "verified"),
        ("valid-before=\"20250531235959Z\"", "expired"),
        ("valid-after=\"20250601Z\"", "verified"),
        ("valid-after=\"20250601000001Z\"", "not-yet-valid"),
    ] {
        let files = Files::lines(&format!("alice {window} {}\n", key.line()));
        assert_eq!(word(&files.status(&by(&key))), wanted, "{window}");
    }
}

#[test]
fn s011_a_backdated_commit() {
    let made = made();
    let line = format!("alice valid-before=\"20250630Z\" {}", made.line);
    let files = Files::lines(&line);
    let received = Times::introduced(NOW, at(NOW + 90 * DAY));
    let rules = Rules::default();
    assert_eq!(word(&files.judged(&with(&made.armor), Some(received), &rules).0), "expired");
    assert_eq!(word(&files.status(&with(&made.armor))), "verified", "received while it was valid");
    // Git has nothing but the claim, and it is September.
    assert!(Git::new(&line).verify(&with(&made.armor)).0);
}

#[test]
fn s012_a_time_without_a_zone() {
    let key = Key::ed25519(1);
    let text = format!("alice valid-before=\"20250601\" {}\n", key.line());
    assert!(Files::lines(&text).fault().contains("names no time zone"));
    let west = Files::lines_in(&text, Some(TimeZone::fixed(jiff::tz::offset(-5))));
    assert_eq!(word(&west.status(&by(&key))), "verified");
    let east = Files::lines_in(&text, Some(TimeZone::fixed(jiff::tz::offset(5))));
    assert_eq!(word(&east.status(&by(&key))), "expired");
}

#[test]
fn s013_s014_s015_s021_one_bad_line_refuses_the_keyring() {
    let good = format!("alice {}\n", Key::ed25519(1).line());
    let key = Key::ed25519(2).line();
    for (line, wanted) in [
        (format!("bob valid-after=\"20250601Z\",valid-before=\"20250101Z\" {key}"), "valid-before"),
        (format!("bob octopus {key}"), "octopus"),
        (format!("bob {}", key.replacen("AAAA", "A!AA", 1)), "base64"),
        (format!("* {key}"), "pattern"),
        (format!("!bob@x,*@x {key}"), "!bob@x"),
    ] {
        let fault = Files::lines(&format!("{good}# two\n{line}\n# four\n# five\n")).fault();
        assert!(fault.contains(wanted) && fault.contains("allowed_signers:3:"), "{fault}");
    }
}

#[test]
fn s016_s017_s020_namespaces_of_lines() {
    let key = Key::ed25519(1);
    let line = |namespaces: &str| format!("alice namespaces=\"{namespaces}\" {}\n", key.line());
    for (text, wanted) in [
        (line("file"), "unknown-key"),
        (line("!git,*"), "unknown-key"),
        (line("git"), "verified"),
        (line("file") + &line("git"), "verified"),
        (line("git") + &line("file"), "verified"),
    ] {
        assert_eq!(word(&Files::lines(&text).status(&by(&key))), wanted, "{text}");
    }
}

#[test]
fn s018_disjoint_windows_of_one_key() {
    let key = Key::ed25519(1);
    let line = |window: &str| format!("alice {window} {}\n", key.line());
    let text = line("valid-before=\"20240101Z\"") + &line("valid-after=\"20250101Z\"");
    let files = Files::lines(&text);
    assert_eq!(word(&files.status(&by(&key))), "verified");
    assert_eq!(word(&files.status(&by_at(&key, 1_600_000_000))), "verified");
    assert_eq!(word(&files.status(&by_at(&key, 1_720_000_000))), "not-yet-valid", "in the gap");
}

#[test]
fn s037_s038_s042_lists_of_what_is_revoked() {
    let (key, other, authority) = (Key::ed25519(1), Key::ed25519(2), Key::ed25519(9));
    let text = format!(
        "alice {}\nbob {}\n*@example.org cert-authority {}\n",
        key.line(),
        other.line(),
        authority.line()
    );
    let dir = tempfile::tempdir().unwrap();
    for list in [
        format!("# stolen\n{}\n", key.line()).into_bytes(),
        krl(dir.path(), &format!("key: {}\n", key.line()), None),
        krl(dir.path(), &format!("sha1: {}\n", key.line()), None),
        krl(dir.path(), &format!("sha256: {}\n", key.line()), None),
    ] {
        let files = Files::lines(&text).revoking(&list, false);
        assert!(matches!(files.status(&by(&key)), SignatureStatus::Revoked { hard: true, .. }));
        assert_eq!(word(&files.status(&by(&other))), "verified");
    }
}

#[test]
fn s039_s040_s041_s043_s044_lists_that_cannot_be_read() {
    let key = Key::ed25519(1);
    let text = format!("alice {}\n", key.line());
    let dir = tempfile::tempdir().unwrap();
    let whole = krl(dir.path(), &format!("key: {}\n", Key::ed25519(2).line()), None);
    let mut missing = Files::lines(&text);
    missing.revoked_by(Path::new("/nowhere/at/all").to_owned(), true);
    assert!(missing.fault().contains("/nowhere/at/all"));
    let extension = [craft::strings(&[b"future"]), vec![1], craft::strings(&[b""])].concat();
    let unknown = [&whole[..], &[255], &craft::string(&extension)].concat();
    for (content, wanted) in [
        (&b"garbage\n"[..], "one line"),
        (b"", "empty"),
        (&whole[..whole.len() - 1], "ends too early"),
        (&unknown, "critical extension `future`"),
    ] {
        let fault = Files::lines(&text).revoking(content, false).fault();
        assert!(fault.contains(wanted), "{fault}");
    }
    let allowed = Files::lines(&text).revoking(b"", true);
    assert_eq!(word(&allowed.status(&by(&key))), "verified");
    // Git warns of a list that is missing, and goes on.
    let made = made();
    let git = Git::new(&format!("alice {}", made.line));
    git.run(&["config", "gpg.ssh.revocationFile", "/nowhere/at/all"], b"");
    assert!(git.verify(&with(&made.armor)).0);
}

#[test]
fn s045_the_second_0() {
    let key = Key::ed25519(1);
    let files = Files::lines(&format!("alice {}\n", key.line()));
    let received = Times { object: 0, received: Some(at(NOW)), now: at(NOW) };
    let verdict = files.judged(&by_at(&key, 0), Some(received), &Rules::default()).0;
    assert_eq!(word(&verdict), "time.zero");
}

#[test]
fn s050_a_path_where_a_key_belongs() {
    let fault = Files::alice("[[key]]\nssh = \"/home/alice/.ssh/id_ed25519.pub\"\n").fault();
    assert!(fault.contains("public key is one line"), "{fault}");
    let file = Files::alice(&format!("[[key]]\nssh = \"alice {}\"\n", Key::ed25519(1).line()));
    assert!(file.fault().contains("public key is one line"));
}

fn key_of(key: &Key, more: &str) -> Files {
    Files::alice(&format!("[[key]]\nssh = \"{}\"\n{more}\n", key.line()))
}

#[test]
fn f003_a_touch_is_asked_for() {
    for key in [Key::ed25519(1).fido("ssh:"), Key::p256(1).fido("ssh:")] {
        let untouched = key.clone().with(0, 1);
        for (more, untouched_is) in [
            ("", "wrong-purpose"),
            ("touch = \"required\"", "wrong-purpose"),
            ("touch = \"any\"", "verified"),
        ] {
            let files = key_of(&key, more);
            assert_eq!(word(&files.status(&by(&untouched))), untouched_is, "{more}");
            assert_eq!(word(&files.status(&by(&key))), "verified");
        }
        // What an entry does not say, the configuration does.
        let any = Rules { touch: Demand::Any, ..Rules::default() };
        assert_eq!(word(&key_of(&key, "").judged(&by(&untouched), None, &any).0), "verified");
        let line = format!("alice {}\n", key.line());
        assert!(keygen_verify(&line, &untouched.sshsig(&payload()), &payload(), "git").0);
    }
}

#[test]
fn f004_who_it_was_is_asked_for() {
    for key in [Key::ed25519(1).fido("ssh:"), Key::p256(1).fido("ssh:")] {
        let files = key_of(&key, "user-verification = \"required\"");
        assert_eq!(word(&files.status(&by(&key.clone().with(0x01, 1)))), "wrong-purpose");
        assert_eq!(word(&files.status(&by(&key.clone().with(0x05, 1)))), "verified");
        assert_eq!(word(&files.status(&by(&key.clone().with(0x04, 1)))), "fido.flags");
        let any = key_of(&key, "touch = \"any\"\nuser-verification = \"any\"");
        assert_eq!(word(&any.status(&by(&key.clone().with(0x04, 1)))), "fido.flags", "whatever is asked");
    }
}

#[test]
fn f005_applications_are_listed() {
    let (git, web) = (Key::ed25519(1).fido("ssh:git"), Key::ed25519(2).fido("webauthn-rp"));
    assert_eq!(word(&key_of(&git, "").status(&by(&git))), "verified", "ssh:* by default");
    assert_eq!(word(&key_of(&web, "").status(&by(&web))), "wrong-purpose");
    let line = format!("alice {}\n", web.line());
    assert_eq!(word(&Files::lines(&line).status(&by(&web))), "wrong-purpose");
    let only = Rules { fido_applications: vec!["ssh:".to_owned()], ..Rules::default() };
    assert_eq!(word(&key_of(&git, "").judged(&by(&git), None, &only).0), "wrong-purpose");
    let own = key_of(&git, "applications = [\"ssh:git\"]");
    assert_eq!(word(&own.judged(&by(&git), None, &only).0), "verified", "the entry says more");
    assert!(key_of(&git, "applications = [\"ssh:\"]").fault().contains("ssh:git"));
}

fn authority() -> Key {
    Key::ed25519(9)
}

fn certified(cert: &Cert<'_>) -> Vec<u8> {
    let user = Key::ed25519(1);
    with(&craft::sshsig(&cert.make(&user, &authority()), &user, &payload()))
}

fn cert() -> Cert<'static> {
    Cert::new(NOW - DAY, NOW + DAY)
}

fn ca(options: &str) -> Files {
    Files::lines(&format!("*@example.org {options} {}\n", authority().line()))
}

#[test]
fn x001_x002_x006_for_whom_an_authority_speaks() {
    let files = ca("cert-authority");
    let rules = Rules::default();
    let (status, owner) = files.judged(&certified(&cert()), None, &rules);
    assert_eq!((word(&status), owner.as_deref()), ("verified", Some("alice@example.org")));
    for name in [&b"alice@example.com"[..], b"alice", b"alice@example.org.evil", b"Alice@Example.Org"] {
        let other = Cert { principals: vec![name], ..cert() };
        assert_eq!(
            word(&files.status(&certified(&other))),
            "wrong-purpose",
            "{}",
            String::from_utf8_lossy(name)
        );
    }
    let excluded = Files::lines(&format!("*@example.org,!alice@* cert-authority {}\n", authority().line()));
    assert_eq!(word(&excluded.status(&certified(&cert()))), "wrong-purpose");
}

#[test]
fn x004_the_authoritys_window_and_the_certificates() {
    let expired = "cert-authority,valid-before=\"20250501Z\"";
    let future = "cert-authority,valid-after=\"20250701Z\"";
    let current = "cert-authority,valid-after=\"20250501Z\",valid-before=\"20250701Z\"";
    let late = Cert::new(NOW - 2 * DAY, NOW - DAY);
    for (options, cert, wanted) in [
        (expired, cert(), "expired"),
        (future, cert(), "not-yet-valid"),
        (current, cert(), "verified"),
        (current, late.clone(), "expired"),
        (expired, late, "expired"),
    ] {
        assert_eq!(word(&ca(options).status(&certified(&cert))), wanted, "{options}");
    }
}

#[test]
fn x005_x014_authorities_and_keys_are_not_each_other() {
    assert_eq!(word(&ca("cert-authority").status(&by(&authority()))), "unknown-key");
    let plain = Files::lines(&format!("alice@example.org {}\n", authority().line()));
    assert_eq!(word(&plain.status(&certified(&cert()))), "unknown-key");
    assert_eq!(word(&plain.status(&by(&authority()))), "verified");
    let inner = Files::lines(&format!("alice@example.org {}\n", Key::ed25519(1).line()));
    assert_eq!(word(&inner.status(&certified(&cert()))), "unknown-key");
    let other =
        Files::lines(&format!("*@example.org cert-authority,namespaces=\"file\" {}\n", authority().line()));
    assert_eq!(word(&other.status(&certified(&cert()))), "unknown-key", "an authority for other things");
}

#[test]
fn x013_revoked_authority_serial_name_and_key() {
    let ssh = Ssh::new();
    let dir = tempfile::tempdir().unwrap();
    let path = ssh.generate("ca", "ed25519", "256");
    // The list names its authority by key, so a public key file is enough.
    std::fs::write(path.with_extension("pub"), format!("{}\n", authority().line())).unwrap();
    let public = path.with_extension("pub");
    let of_ca = |source: &str| krl(dir.path(), source, Some(&public));
    for (list, why) in [
        (krl(dir.path(), &format!("key: {}\n", authority().line()), None), "authority"),
        (of_ca("serial: 7\n"), "serial number"),
        (of_ca("id: alice's laptop\n"), "key id"),
        (krl(dir.path(), &format!("key: {}\n", Key::ed25519(1).line()), None), "the key is"),
    ] {
        let status = ca("cert-authority").revoking(&list, false).status(&certified(&cert()));
        assert!(
            matches!(&status, SignatureStatus::Revoked { reason, .. } if reason.contains(why)),
            "{status}"
        );
    }
    let others = ca("cert-authority").revoking(&of_ca("serial: 8\nid: bob\n"), false);
    assert_eq!(word(&others.status(&certified(&cert()))), "verified");
}

#[test]
fn f003_x009_a_certificate_says_more_about_touches() {
    let user = Key::p256(4).fido("ssh:").with(0, 1);
    let signed = |cert: &Cert<'_>| with(&craft::sshsig(&cert.make(&user, &authority()), &user, &payload()));
    let relaxed = Cert { extensions: vec![(b"no-touch-required", vec![])], ..cert() };
    let files = ca("cert-authority");
    let any = Rules { touch: Demand::Any, ..Rules::default() };
    assert_eq!(word(&files.status(&signed(&relaxed))), "wrong-purpose", "the gate asks for a touch");
    assert_eq!(word(&files.judged(&signed(&relaxed), None, &any).0), "verified");
    assert_eq!(word(&files.judged(&signed(&cert()), None, &any).0), "wrong-purpose", "the certificate asks");
}
