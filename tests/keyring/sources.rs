//! What stands beside the principals' files, and what it makes of verified signatures: authorities,
//! `allowed_signers` files, revocation lists, FIDO demands.

use crate::craft::{Cert, Key, sshsig};
use crate::{Ring, chmod, run, time};
use countersign::domain::{ObjectFormat, Timestamp};
use countersign::keyring::{AllowedSigners, Keyring, Reason, Revocation, RevocationFile, Role, Sources};
use countersign::signature::object::{SignatureField, parse_commit};
use countersign::signature::ssh::RevocationList;
use countersign::signature::ssh::parse_public_key;
use countersign::signature::{self, Demand, Rules, SignatureStatus, Times, Trace};
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

/// When everything here is signed and pushed: 2026-03-01.
const NOW: i64 = 1_772_323_200;

fn commit(armor: &dyn Fn(&[u8]) -> Vec<u8>, claimed: i64) -> Vec<u8> {
    let who = format!("Test Key <test@example.org> {claimed} +0000");
    let payload =
        format!("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor {who}\ncommitter {who}\n\nx\n");
    let folded = String::from_utf8(armor(payload.as_bytes())).unwrap().trim_end().replace('\n', "\n ");
    payload.replacen("\n\n", &format!("\ngpgsig {folded}\n\n"), 1).into_bytes()
}

fn judge_at(
    raw: &[u8],
    keyring: &Keyring,
    received: i64,
    rules: &Rules,
) -> (SignatureStatus, Option<String>, Vec<String>) {
    let commit = parse_commit(ObjectFormat::Sha1, raw).unwrap();
    let SignatureField::Present(block) = &commit.signature else { panic!("the commit is signed") };
    let times = Times::introduced(commit.committer.time, Timestamp::from_second(received).unwrap());
    let status = signature::verify(block, &commit.payload, keyring, times, rules, &mut Trace::off());
    let (status, principal) = keyring.assess(status, &times, rules);
    let groups = principal.as_ref().map(|one| one.groups.clone()).unwrap_or_default();
    (status, principal.map(|one| one.name.clone()), groups)
}

/// One word for the verdict on a commit made and pushed now, and who signed it.
fn judge(raw: &[u8], keyring: &Keyring) -> String {
    let (status, who, _) = judge_at(raw, keyring, NOW, &Rules::default());
    match status {
        SignatureStatus::Verified(_) => format!("verified by {}", who.unwrap()),
        other => other.name().to_owned(),
    }
}

/// The same, as if it stood on something that `role` is for.
fn judge_as(role: Role, raw: &[u8], keyring: &Keyring) -> String {
    let commit = parse_commit(ObjectFormat::Sha1, raw).unwrap();
    let SignatureField::Present(block) = &commit.signature else { panic!("the commit is signed") };
    let (times, rules) =
        (Times::introduced(commit.committer.time, Timestamp::from_second(NOW).unwrap()), Rules::default());
    let status = signature::verify(block, &commit.payload, keyring, times, &rules, &mut Trace::off());
    match keyring.assess_for(role, status, &times, &rules) {
        (SignatureStatus::Verified(_), who) => format!("verified by {}", who.unwrap().name),
        (other, _) => other.name().to_owned(),
    }
}

fn plain(key: &Key) -> Vec<u8> {
    commit(&|payload| key.sshsig(payload), NOW)
}

fn certified(key: &Key, cert: &Cert<'_>, authority: &Key) -> Vec<u8> {
    let blob = cert.make(key, authority);
    commit(&|payload| sshsig(&blob, key, payload), NOW)
}

fn cert<'a>(principals: &[&'a str]) -> Cert<'a> {
    Cert {
        principals: principals.iter().map(|one| one.as_bytes()).collect(),
        ..Cert::new(NOW - 60, NOW + 3600)
    }
}

fn authority_table(key: &Key, more: &str) -> String {
    format!("[[authority]]\nssh = \"{}\"\n{more}\n", key.line())
}

struct World {
    ring: Ring,
    beside: tempfile::TempDir,
    sources: Sources,
}

impl World {
    fn new() -> Self {
        let (ring, beside) = (Ring::new(), tempfile::tempdir().unwrap());
        let sources = Sources::directory(ring.path());
        World { ring, beside, sources }
    }

    fn beside(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.beside.path().join(name);
        fs::write(&path, bytes).unwrap();
        chmod(&path, 0o644);
        path
    }

    fn signers(&mut self, name: &str, text: &str, groups: &[&str]) -> &mut Self {
        let path = self.beside(name, text);
        self.sources.allowed_signers.retain(|one| one.path != path);
        let groups = groups.iter().map(|one| (*one).to_owned()).collect();
        self.sources.allowed_signers.push(AllowedSigners { path, groups, zone: None });
        self
    }

    fn revoked(&mut self, name: &str, bytes: impl AsRef<[u8]>, reason: Reason) -> &mut Self {
        let path = self.beside(name, bytes);
        self.sources.revocations.retain(|one| one.path != path);
        let revocation = Revocation { at: None, effective_from: None, reason };
        self.sources.revocations.push(RevocationFile { path, revocation, allow_empty: false });
        self
    }

    fn load(&self) -> Keyring {
        Keyring::load(&self.sources).map_err(|error| panic!("{error}")).unwrap().keyring
    }

    fn errors(&self) -> String {
        let error = Keyring::load(&self.sources).expect_err("this must not load").to_string();
        error
            .replace(self.ring.path().to_str().unwrap(), "DIR")
            .replace(self.beside.path().to_str().unwrap(), "BESIDE")
    }
}

// ---- allowed_signers

#[test]
fn s005_s008_lines_are_keys_of_their_principals() {
    let (ann, bob, eve) = (Key::ed25519(1), Key::p256(2), Key::ed25519(3));
    let mut world = World::new();
    world.ring.write("bob.toml", "name = \"bob\"\nemails = [\"bob@example.org\"]\ngroups = [\"ops\"]\n");
    let text = format!(
        "# a comment\n\nann@example.org,ann {}\nother@example.org,bob@example.org namespaces=\"git\" {}\n",
        ann.line(),
        bob.line()
    );
    world.signers("signers", &text, &["staff"]);
    let keyring = world.load();
    assert_eq!(judge(&plain(&ann), &keyring), "verified by ann@example.org");
    assert_eq!(judge(&plain(&bob), &keyring), "verified by bob", "an address of somebody with a file");
    assert_eq!(judge(&plain(&eve), &keyring), "unknown-key");
    let groups = |key: &Key| judge_at(&plain(key), &keyring, NOW, &Rules::default()).2;
    assert_eq!((groups(&ann), groups(&bob)), (vec!["staff".to_owned()], vec!["ops".to_owned()]));
    let names: Vec<&str> = keyring.principals().iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["ann@example.org", "bob"]);
    let place = &keyring.keys()[0].place;
    assert_eq!((place.line, place.file.ends_with("signers")), (3, true));
}

#[test]
fn s006_s007_s009_s010_s011_windows_hold_at_the_receipt_and_at_the_claim() {
    let ann = Key::ed25519(1);
    let mut world = World::new();
    let text = format!("ann valid-after=\"20260228Z\",valid-before=\"20260301Z\" {}\n", ann.line());
    world.signers("signers", &text, &[]);
    let keyring = world.load();
    let judge = |claimed: i64, received: i64| {
        let raw = commit(&|payload| ann.sshsig(payload), claimed);
        judge_at(&raw, &keyring, received, &Rules::default()).0.name()
    };
    assert_eq!(judge(NOW, NOW), "verified", "the last second counts");
    assert_eq!(judge(NOW + 1, NOW + 1), "expired");
    assert_eq!(judge(NOW - 86_400, NOW + 1), "expired", "a claim does not help");
    assert_eq!(judge(NOW - 86_401, NOW), "not-yet-valid");
    assert_eq!(judge(NOW - 86_400, NOW), "verified");
}

#[test]
fn s017_s018_the_lines_of_one_key_are_a_union() {
    let ann = Key::ed25519(1);
    let line = |options: &str| format!("ann {options} {}\n", ann.line());
    let mut world = World::new();
    let text = line("namespaces=\"file\"") + &line("namespaces=\"git\"");
    world.signers("signers", &text, &[]);
    assert_eq!(judge(&plain(&ann), &world.load()), "verified by ann");
    let text = line("valid-before=\"20250101Z\"") + &line("valid-after=\"20260101Z\"");
    world.signers("signers", &text, &[]);
    let keyring = world.load();
    assert_eq!(judge(&plain(&ann), &keyring), "verified by ann");
    let at =
        |second| judge_at(&commit(&|p| ann.sshsig(p), second), &keyring, second, &Rules::default()).0.name();
    assert_eq!(at(time("2025-06-01T00:00:00Z").as_second()), "not-yet-valid", "in the gap");
    assert_eq!(at(time("2024-06-01T00:00:00Z").as_second()), "verified");
    for options in ["namespaces=\"file\"", "namespaces=\"!git,*\""] {
        world.signers("signers", &line(options), &[]);
        assert_eq!(judge(&plain(&ann), &world.load()), "unknown-key", "{options} (S016, S020)");
    }
}

#[test]
fn s012_to_s015_s021_a_line_that_is_not_clear_refuses_everything() {
    let ann = Key::ed25519(1).line();
    for (line, wanted) in [
        ("ann valid-before=\"20300101\" KEY", "BESIDE/signers:3:19"),
        ("ann valid-after=\"20260102Z\",valid-before=\"20260101Z\" KEY", "BESIDE/signers:3:"),
        ("ann octopus KEY", "unknown option `octopus`"),
        ("ann ssh-ed25519 AAAA!", "BESIDE/signers:3:"),
        ("* KEY", "`*` is a pattern"),
        ("!bob@x,*@x KEY", "BESIDE/signers:3:1"),
        ("ann", "BESIDE/signers:3:"),
    ] {
        let mut world = World::new();
        let text = format!("# first\nbob {}\n{}\n", Key::ed25519(2).line(), line.replace("KEY", &ann));
        world.signers("signers", &text, &[]);
        let seen = world.errors();
        assert!(seen.contains(wanted) && seen.contains("help:"), "{line}\n{seen}");
    }
    let mut world = World::new();
    world.signers("signers", &format!("ann valid-before=\"202603010100\" {ann}\n"), &[]);
    world.sources.allowed_signers[0].zone = Some(jiff::tz::TimeZone::get("Europe/Berlin").unwrap());
    let until = world.load().keys()[0].windows.ends().unwrap();
    assert_eq!(until, time("2026-03-01T00:00:01Z"), "an hour east of UTC, and the last second counts");
}

#[test]
fn s8d_one_key_belongs_to_one_principal_across_all_sources() {
    let ann = Key::ed25519(1);
    let mut world = World::new();
    world.signers("signers", &format!("ann {0}\nbob {0}\n", ann.line()), &[]);
    let seen = world.errors();
    assert!(
        seen.contains("is held by `ann` already, at BESIDE/signers:1:1") && seen.contains(":2:1"),
        "{seen}"
    );
    world.ring.write(
        "ann.toml",
        &format!("name = \"ann\"\n[[key]]\nssh = \"{}\"\nvalid-until = 2020-01-01T00:00:00Z\n", ann.line()),
    );
    world.signers("signers", &format!("ann {}\n", ann.line()), &[]);
    assert!(
        world.errors().contains("is held by `ann` already, at DIR/ann.toml:2:1"),
        "no line may widen a window"
    );
    world.ring.write("ann.toml", "name = \"ann\"\nemails = [\"a@x\"]\n");
    world.ring.write("bob.toml", "name = \"bob\"\nemails = [\"b@x\"]\n");
    world.signers("signers", &format!("a@x,b@x {}\n", ann.line()), &[]);
    assert!(world.errors().contains("the line names `ann` and `bob`"));
    world.signers("signers", &format!("carol {}\n", ann.line()), &["one"]);
    world.signers("more", &format!("carol {}\n", Key::ed25519(2).line()), &["two"]);
    assert!(world.errors().contains("which gives other groups"));
}

#[test]
fn n15_files_beside_the_directory_are_trusted_like_it() {
    let ann = Key::ed25519(1);
    let mut world = World::new();
    world.signers("signers", &format!("ann {}\n", ann.line()), &[]);
    let path = world.sources.allowed_signers[0].path.clone();
    let before = world.load();
    chmod(&path, 0o664);
    assert!(world.errors().contains("can be written by its group"));
    chmod(&path, 0o644);
    chmod(world.beside.path(), 0o777);
    assert!(world.errors().contains("the directory can be written by"));
    chmod(world.beside.path(), 0o755);
    fs::rename(&path, world.beside.path().join("moved")).unwrap();
    assert!(world.errors().contains("cannot read the file"));
    world.signers("signers", &format!("ann {}\n# more\n", ann.line()), &[]);
    let after = world.load();
    assert_ne!(before.digest(), after.digest());
    world.sources.allowed_signers[0].groups = vec!["x".into()];
    assert_ne!(world.load().digest(), after.digest(), "what the configuration says is part of it");
}

// ---- authorities

#[test]
fn x001_x002_who_holds_a_certificate() {
    let (ca, laptop) = (Key::ed25519(9), Key::ed25519(1));
    let world = World::new();
    world.ring.write("ann.toml", "name = \"ann\"\nkind = \"bot\"\nemails = [\"ann@example.org\", \"ann@other.org\"]\ngroups = [\"sre\"]\n");
    world.ring.write("bob.toml", "name = \"bob\"\nemails = [\"bob@example.org\", \"bob@secret.org\"]\n");
    let table = authority_table(
        &ca,
        "principals = [\"*@example.org\", \"*@other.org\", \"!root@*\", \"ann\"]\ngroups = [\"staff\"]\nserials = [\"1-10\", \"77\"]",
    );
    world.ring.write("ca.toml", &format!("name = \"ca\"\nkind = \"forge\"\n{table}"));
    let keyring = world.load();
    let who = |principals: &[&str]| judge(&certified(&laptop, &cert(principals), &ca), &keyring);
    assert_eq!(who(&["ann@example.org"]), "verified by ann");
    assert_eq!(who(&["ann"]), "verified by ann");
    assert_eq!(who(&["nobody@evil.org", "ann@example.org", "ann@other.org"]), "verified by ann");
    assert_eq!(who(&["carol@example.org"]), "verified by carol@example.org");
    assert_eq!(who(&["carol@evil.org"]), "wrong-purpose", "not one of the patterns");
    assert_eq!(who(&["root@example.org"]), "wrong-purpose", "negation wins");
    assert_eq!(who(&["root@example.org", "carol@example.org"]), "verified by carol@example.org");
    assert_eq!(who(&["ann@example.org", "bob@example.org"]), "wrong-purpose", "ambiguous");
    assert_eq!(who(&["carol@example.org", "bob@secret.org"]), "wrong-purpose", "it may not speak for bob");
    assert_eq!(who(&["Ann@example.org"]), "verified by Ann@example.org", "names are exact");
    for odd in ["group:sre@example.org", "an n@example.org", "\u{430}nn@example.org", "@example.org"] {
        assert_eq!(who(&[odd]), "wrong-purpose", "{odd} can be nobody's name");
    }
    let groups =
        |name| judge_at(&certified(&laptop, &cert(&[name]), &ca), &keyring, NOW, &Rules::default()).2;
    assert_eq!((groups("ann"), groups("carol@example.org")), (vec!["sre".into()], vec!["staff".to_owned()]));
    let serial = |serial| judge(&certified(&laptop, &Cert { serial, ..cert(&["ann"]) }, &ca), &keyring);
    assert_eq!((serial(77), serial(11)), ("verified by ann".into(), "wrong-purpose".to_owned()));
    assert_eq!(judge(&plain(&ca), &keyring), "unknown-key", "an authority does not sign itself (X005)");
    assert_eq!(judge(&certified(&laptop, &cert(&["ann"]), &Key::ed25519(8)), &keyring), "unknown-key");
}

#[test]
fn x004_x013_an_authority_has_a_window_and_an_end() {
    let (ca, laptop) = (Key::ed25519(9), Key::ed25519(1));
    let raw = certified(&laptop, &cert(&["ann"]), &ca);
    for (more, wanted) in [
        ("valid-until = 2026-02-01T00:00:00Z", "expired"),
        ("valid-from = 2027-02-01T00:00:00Z", "not-yet-valid"),
        ("valid-from = 2026-02-01T00:00:00Z", "verified by ann"),
        ("revoked = { at = 2026-02-01T00:00:00Z, reason = \"retired\" }", "revoked"),
        ("revoked = { at = 2027-02-01T00:00:00Z, reason = \"retired\" }", "verified by ann"),
        ("revoked = { at = 2027-02-01T00:00:00Z, reason = \"compromised\" }", "revoked"),
    ] {
        let world = World::new();
        let table = authority_table(&ca, &format!("principals = [\"*\"]\n{more}"));
        world.ring.write("ca.toml", &format!("name = \"ca\"\n{table}"));
        let keyring = world.load();
        assert_eq!(judge(&raw, &keyring), wanted, "{more}");
        let compromised = keyring.compromised(Timestamp::from_second(NOW).unwrap());
        assert_eq!(compromised.len(), usize::from(more.contains("compromised")));
    }
    let world = World::new();
    let table = authority_table(&ca, "principals = [\"*\"]");
    world.ring.write("ca.toml", &format!("name = \"ca\"\n{table}"));
    let own = "revoked = { at = 2026-01-01T00:00:00Z, reason = \"compromised\" }";
    world.ring.write("eve.toml", &format!("name = \"eve\"\n[[key]]\nssh = \"{}\"\n{own}\n", laptop.line()));
    assert_eq!(judge(&raw, &world.load()), "revoked", "a certificate does not wash a key clean");
    let mut world = World::new();
    let line = |options: &str| format!("*@example.org cert-authority{options} {}\n", ca.line());
    let raw = certified(&laptop, &cert(&["ann@example.org"]), &ca);
    world.signers("signers", &(line("") + "x@y " + &laptop.line() + "\n"), &["staff"]);
    assert_eq!(judge(&raw, &world.load()), "verified by ann@example.org");
    world.signers("signers", &line(",valid-before=\"20260101Z\""), &[]);
    assert_eq!(judge(&raw, &world.load()), "expired");
    world.signers("signers", &(line(",valid-before=\"20260101Z\"") + &line("")), &[]);
    assert_eq!(judge(&raw, &world.load()), "verified by ann@example.org", "each line alone is enough");
    world.signers("signers", &line(",namespaces=\"file\""), &[]);
    assert_eq!(judge(&raw, &world.load()), "unknown-key");
}

#[test]
fn faults_of_authorities_are_reported() {
    let (ca, ann) = (Key::ed25519(9), Key::ed25519(1));
    for (more, wanted) in [
        ("", "`principals` is missing in [[authority]]"),
        ("principals = []", "these patterns match nobody"),
        ("principals = [\"!a\"]", "these patterns match nobody"),
        ("principals = [\"a,b\"]", "is several patterns"),
        ("principals = \"*\"", "write [\"*\"]"),
        ("principals = [\"\"]", "these are no patterns"),
        ("principals = [\"*\"]\nserials = [\"9-1\"]", "is no range of serial numbers"),
        ("principals = [\"*\"]\nserials = []", "without a serial number"),
        ("principals = [\"*\"]\ngroups = [\"SRE\"]", "cannot name a group"),
        ("principals = [\"*\"]\nserial = 1", "did you mean `serials`?"),
    ] {
        let world = World::new();
        world.ring.write("ca.toml", &format!("name = \"ca\"\n{}", authority_table(&ca, more)));
        let seen = world.errors();
        assert!(seen.contains(wanted) && seen.matches("error:").count() == 1, "{wanted}\n{seen}");
    }
    let mut world = World::new();
    let table = authority_table(&ca, "principals = [\"*\"]");
    let signs = format!("[[key]]\nssh = \"{}\"\n", ca.line());
    world.ring.write("ca.toml", &format!("name = \"ca\"\n{table}{signs}"));
    assert!(world.errors().contains("is an authority, at DIR/ca.toml:2:1"));
    world.ring.write("ca.toml", &format!("name = \"ca\"\n{table}"));
    world.ring.write("cb.toml", &format!("name = \"cb\"\n{table}"));
    assert!(world.errors().contains("is an authority already, at DIR/ca.toml:2:1"));
    fs::remove_file(world.ring.path().join("cb.toml")).unwrap();
    world.signers("signers", &format!("ann {}\n", ca.line()), &[]);
    assert!(world.errors().contains("is an authority, at DIR/ca.toml:2:1"));
    world.signers("signers", &format!("* cert-authority {}\nann {}\n", ca.line(), ann.line()), &[]);
    assert!(world.errors().contains("is an authority already, at DIR/ca.toml:2:1"));
}

// ---- FIDO

#[test]
fn f003_f004_f005_what_is_asked_of_a_fido_key() {
    let token = Key::ed25519(5).fido("ssh:");
    let judge = |key: &Key, more: &str, rules: &Rules| {
        let world = World::new();
        world.ring.write("ann.toml", &format!("name = \"ann\"\n[[key]]\nssh = \"{}\"\n{more}\n", key.line()));
        let (status, ..) = judge_at(&plain(key), &world.load(), NOW, rules);
        (status.name(), status.to_string())
    };
    let default = Rules::default();
    let lax = Rules { touch: Demand::Any, ..Rules::default() };
    let word = |key: Key, more: &str, rules: &Rules| judge(&key, more, rules).0;
    let untouched = || token.clone().with(0, 7);
    assert_eq!(word(token.clone().with(1, 7), "", &default), "verified");
    let (name, text) = judge(&untouched(), "", &default);
    assert!(name == "wrong-purpose" && text.contains("user present: no") && text.contains("touch"), "{text}");
    assert_eq!(word(untouched(), "touch = \"any\"", &default), "verified");
    assert_eq!(word(untouched(), "", &lax), "verified");
    assert_eq!(word(untouched(), "touch = \"required\"", &lax), "wrong-purpose");
    let verified = "user-verification = \"required\"";
    assert_eq!(word(token.clone().with(1, 7), verified, &default), "wrong-purpose");
    assert_eq!(word(token.clone().with(5, 7), verified, &default), "verified");
    let other = Key::p256(5).fido("webauthn.example.org");
    assert_eq!(word(other.clone(), "", &default), "wrong-purpose");
    assert_eq!(word(other, "applications = [\"webauthn.*\"]", &default), "verified");
}

#[test]
fn fido_demands_on_other_keys_are_a_fault() {
    for (key, more, wanted) in [
        (Key::ed25519(1), "touch = \"required\"", "are for FIDO keys, and this is none"),
        (Key::ed25519(1), "applications = [\"ssh:\"]", "are for FIDO keys, and this is none"),
        (
            Key::p256(1).fido("ssh:"),
            "applications = [\"ssh:git\"]",
            "the key was made for the application `ssh:`",
        ),
        (Key::p256(1).fido("ssh:"), "applications = []", "without an application"),
        (Key::p256(1).fido("ssh:"), "touch = \"yes\"", "`touch` cannot be \"yes\""),
    ] {
        let world = World::new();
        world.ring.write("ann.toml", &format!("name = \"ann\"\n[[key]]\nssh = \"{}\"\n{more}\n", key.line()));
        let seen = world.errors();
        assert!(seen.contains(wanted) && seen.matches("error:").count() == 1, "{wanted}\n{seen}");
    }
}

#[test]
fn s10_no_touch_required_relaxes_only_where_the_authority_says_any() {
    let (ca, token) = (Key::ed25519(9), Key::ed25519(5).fido("ssh:").with(0, 7));
    let judge = |more: &str, excused: bool| {
        let world = World::new();
        let table = authority_table(&ca, &format!("principals = [\"*\"]\n{more}"));
        world.ring.write("ca.toml", &format!("name = \"ca\"\n{table}"));
        let mut cert = cert(&["ann"]);
        if excused {
            cert.extensions = vec![(b"no-touch-required", Vec::new())];
        }
        judge(&certified(&token, &cert, &ca), &world.load())
    };
    assert_eq!(judge("", true), "wrong-purpose");
    assert_eq!(judge("touch = \"any\"", false), "wrong-purpose");
    assert_eq!(judge("touch = \"any\"", true), "verified by ann");
}

// ---- revocation lists

#[test]
fn s037_s038_a_flat_list_revokes_what_it_lists() {
    let (ann, bob, ca) = (Key::ed25519(1), Key::ed25519(2), Key::ed25519(9));
    let mut world = World::new();
    let lines = format!("ann {}\nbob {}\n*@x cert-authority {}\n", ann.line(), bob.line(), ca.line());
    world.signers("signers", &lines, &[]);
    world.revoked("list", format!("# gone\n{}\n", ann.line()), Reason::Compromised);
    let keyring = world.load();
    assert_eq!(judge(&plain(&ann), &keyring), "revoked");
    assert_eq!(judge(&plain(&bob), &keyring), "verified by bob");
    let now = Timestamp::from_second(NOW).unwrap();
    assert_eq!(keyring.compromised(now), [(keyring.keys()[0].id().text, i64::MIN)]);
    assert_eq!(keyring.keys()[0].standing(now).name(), "revoked");
    // A key that only a certificate vouches for is as compromised as one of the keyring, however it is listed.
    let laptop = Key::ed25519(5);
    let print = parse_public_key(&laptop.line()).unwrap().fingerprint();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("spec"), format!("sha256: {}\n", laptop.line())).unwrap();
    run("ssh-keygen", &["-q", "-k", "-f", "krl", "spec"], dir.path(), b"");
    let by_hash = fs::read(dir.path().join("krl")).unwrap();
    for list in [(laptop.line() + "\n").into_bytes(), by_hash] {
        world.revoked("list", list, Reason::Compromised);
        let keyring = world.load();
        assert_eq!(judge(&certified(&laptop, &cert(&["carol@x"]), &ca), &keyring), "revoked");
        assert_eq!(keyring.compromised(now), [(print.clone(), i64::MIN)]);
    }
    world.revoked("list", format!("{}\n", ann.line()), Reason::Compromised);
    let keyring = world.load();
    // Under a certificate of somebody else the key is no better.
    let raw = certified(&ann, &cert(&["carol@x"]), &ca);
    assert_eq!(judge(&raw, &keyring), "revoked");
    world.revoked("list", format!("{}\n", ca.line()), Reason::Compromised);
    let keyring = world.load();
    assert_eq!(judge(&certified(&bob, &cert(&["carol@x"]), &ca), &keyring), "revoked");
    assert_eq!(keyring.compromised(now).len(), 1, "an authority");
    world.revoked("list", format!("{}\n", ann.line()), Reason::Retired);
    let at = Some(Timestamp::from_second(NOW + 10).unwrap());
    world.sources.revocations[0].revocation.at = at;
    let keyring = world.load();
    assert_eq!(judge(&plain(&ann), &keyring), "verified by ann", "not yet");
    assert_eq!(judge_at(&plain(&ann), &keyring, NOW + 10, &Rules::default()).0.name(), "revoked");
    assert!(keyring.compromised(now).is_empty(), "retired is not compromised");
}

#[test]
fn s039_s040_s041_s043_s044_a_list_that_cannot_be_read_refuses_everything() {
    let ann = Key::ed25519(1);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("k.pub"), ann.line() + "\n").unwrap();
    run("ssh-keygen", &["-q", "-k", "-f", "krl", "k.pub"], dir.path(), b"");
    let krl = fs::read(dir.path().join("krl")).unwrap();
    let mut world = World::new();
    world.signers("signers", &format!("ann {}\n", ann.line()), &[]);
    world.revoked("list", &krl, Reason::Compromised);
    assert_eq!(judge(&plain(&ann), &world.load()), "revoked");
    for bytes in [&b""[..], b"# nothing\n", b"garbage\n", &krl[..krl.len() - 1], &krl[..20], &[0; 100]] {
        world.revoked("list", bytes, Reason::Compromised);
        assert!(world.errors().contains("this is no revocation list"), "{bytes:?}");
    }
    let mut critical = krl.clone();
    critical.extend([239, 0, 0, 0, 5, 0, 0, 0, 1, b'x']);
    world.revoked("list", &critical, Reason::Compromised);
    assert!(world.errors().contains("this is no revocation list"));
    world.revoked("list", "", Reason::Compromised);
    world.sources.revocations[0].allow_empty = true;
    assert_eq!(judge(&plain(&ann), &world.load()), "verified by ann");
    fs::remove_file(&world.sources.revocations[0].path).unwrap();
    assert!(
        world.errors().contains("cannot read the file"),
        "allowed to be empty is not allowed to be missing"
    );
}

#[test]
fn x013_lists_revoke_serial_numbers_and_key_ids() {
    let (ca, laptop) = (Key::ed25519(9), Key::ed25519(1));
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("ca.pub"), ca.line() + "\n").unwrap();
    let mut world = World::new();
    world.signers("signers", &format!("* cert-authority {}\n", ca.line()), &[]);
    let raw = certified(&laptop, &cert(&["ann"]), &ca);
    for (list, wanted) in [
        ("serial: 7\n", "revoked"),
        ("serial: 5-9\n", "revoked"),
        ("serial: 8\n", "verified by ann"),
        ("id: alice's laptop\n", "revoked"),
        ("id: bob's laptop\n", "verified by ann"),
    ] {
        fs::write(dir.path().join("spec"), list).unwrap();
        run("ssh-keygen", &["-q", "-k", "-f", "krl", "-s", "ca.pub", "spec"], dir.path(), b"");
        world.revoked("krl", fs::read(dir.path().join("krl")).unwrap(), Reason::Compromised);
        assert_eq!(judge(&raw, &world.load()), wanted, "{list}");
    }
}

#[test]
fn n15_revocations_in_rejected_sources_count_at_once() {
    let (ann, bob, ca, laptop) = (Key::ed25519(1), Key::ed25519(2), Key::ed25519(9), Key::ed25519(3));
    let mut world = World::new();
    let lines = format!("ann {}\nbob {}\n* cert-authority {}\n", ann.line(), bob.line(), ca.line());
    world.signers("signers", &lines, &[]);
    world.revoked("list", format!("{}\n", Key::ed25519(77).line()), Reason::Compromised);
    let good = world.load();
    assert_eq!(good.with_revocations_from(&world.sources).1, 0);
    // The new list has a broken line, so it does not load; the lines that are keys count.
    world.revoked("list", format!("{}\nbroken\n", ann.line()), Reason::Compromised);
    world.errors();
    let (kept, news) = good.with_revocations_from(&world.sources);
    assert!(news > 0 && kept.digest() != good.digest());
    assert_eq!(judge(&plain(&ann), &kept), "revoked");
    assert_eq!(judge(&plain(&bob), &kept), "verified by bob");
    assert_eq!(kept.with_revocations_from(&world.sources).1, 0, "the second time it is no news");
    // A table in a rejected directory revokes the key of a line, and an authority.
    let gone = "revoked = { at = 2026-01-01T00:00:00Z, reason = \"compromised\" }";
    world.ring.write(
        "x.toml",
        &format!(
            "name = \"y\"\n[[key]]\nssh = \"{}\"\n{gone}\n[[authority]]\nssh = \"{}\"\n{gone}\n",
            bob.line(),
            ca.line()
        ),
    );
    world.errors();
    let (kept, _) = good.with_revocations_from(&world.sources);
    let raw = certified(&laptop, &cert(&["carol"]), &ca);
    assert_eq!((judge(&raw, &good), judge(&raw, &kept)), ("verified by carol".into(), "revoked".to_owned()));
    assert_eq!(judge(&plain(&bob), &kept), "revoked");
}

// ---- all together

#[test]
fn ten_thousand_lines_load_and_are_found_at_once() {
    let line = |number| format!("p{number}@example.org {}\n", crate::numbered_key(number));
    let mut text: String = (0..10_000).map(line).collect();
    let mut world = World::new();
    let ann = Key::ed25519(1);
    text += &format!("ann {}\n", ann.line());
    world.signers("signers", &text, &[]);
    let start = Instant::now();
    let keyring = world.load();
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
    assert_eq!(keyring.keys().len(), 10_001);
    assert_eq!(judge(&plain(&ann), &keyring), "verified by ann");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    /// Taking a table or a line away that does not revoke anything never lets in what was refused, for
    /// anybody of the keyring or for a group.
    #[test]
    fn taking_a_key_away_never_lets_anything_in(
        lines in proptest::collection::vec((0_usize..5, 0_usize..6, proptest::bool::ANY), 1..6),
        tables in proptest::collection::vec((0_usize..2, 0_usize..6, proptest::bool::ANY), 0..3),
        names in proptest::collection::vec(0_usize..5, 1..4),
    ) {
        const PATTERNS: [&str; 6] = ["*@x", "a@x", "b@x", "*@y", "*", "c@y"];
        const NAMES: [&str; 5] = ["a@x", "b@x", "c@y", "d@x", "ann"];
        let (keys, cas) = ([Key::ed25519(1), Key::ed25519(2)], [Key::ed25519(8), Key::ed25519(9)]);
        let line = |(who, what, short): &(usize, usize, bool)| {
            let options = if *short { "valid-before=\"20200101Z\"" } else { "" };
            match what {
                0 | 1 => format!("{} {options} {}\n", NAMES[*who], keys[*what].line()),
                _ => {
                    let comma = if *short { "," } else { "" };
                    format!("{} cert-authority{comma}{options} {}\n", PATTERNS[*who], cas[1].line())
                }
            }
        };
        let table = |(_, pattern, grouped): &(usize, usize, bool)| {
            let groups = if *grouped { "groups = [\"sre\"]" } else { "" };
            authority_table(&cas[0], &format!("principals = [\"{}\"]\n{groups}", PATTERNS[*pattern]))
        };
        let load = |lines: &[(usize, usize, bool)], tables: &[(usize, usize, bool)]| {
            let mut world = World::new();
            world.ring.write("ann.toml", "name = \"ann\"\nemails = [\"a@x\"]\ngroups = [\"sre\"]\n");
            world.ring.write("bob.toml", "name = \"bob\"\nemails = [\"b@x\"]\n");
            world.ring.write("ca.toml", &format!("name = \"ca\"\n{}", tables.iter().map(table).collect::<String>()));
            world.signers("signers", &lines.iter().map(line).collect::<String>(), &["web"]);
            Keyring::load(&world.sources).ok().map(|loaded| loaded.keyring)
        };
        let principals: Vec<&str> = names.iter().map(|index| NAMES[*index]).collect();
        let mut commits = vec![plain(&keys[0]), plain(&keys[1])];
        commits.extend(cas.iter().map(|ca| certified(&keys[0], &cert(&principals), ca)));
        let accepted = |keyring: &Keyring| -> Vec<bool> {
            commits.iter().flat_map(|raw| {
                let (status, _, groups) = judge_at(raw, keyring, NOW, &Rules::default());
                let counts = matches!(status, SignatureStatus::Verified(_));
                let within = |group: &str| counts && groups.iter().any(|one| one == group);
                [counts, within("sre"), within("web")]
            }).collect()
        };
        let Some(whole) = load(&lines, &tables) else { return Ok(()) };
        let before = accepted(&whole);
        for at in 0..lines.len() + tables.len() {
            let (mut lines, mut tables) = (lines.clone(), tables.clone());
            if at < lines.len() { lines.remove(at); } else { tables.remove(at - lines.len()); }
            let less = load(&lines, &tables).unwrap();
            for (before, after) in before.iter().zip(accepted(&less)) {
                proptest::prop_assert!(*before || !after, "{lines:?} {tables:?} {principals:?}");
            }
        }
    }
}

// ---- lists that are cut off or emptied, and changes that are rejected

/// What `ssh-keygen -k` makes of `source`.
fn krl(dir: &std::path::Path, source: &str) -> Vec<u8> {
    fs::write(dir.join("spec"), source).unwrap();
    run("ssh-keygen", &["-q", "-k", "-f", "krl", "spec"], dir, b"");
    fs::read(dir.join("krl")).unwrap()
}

#[test]
fn s041_s043_a_krl_without_an_entry_is_as_empty_as_an_empty_file() {
    let ann = Key::ed25519(1);
    let dir = tempfile::tempdir().unwrap();
    let (whole, nothing) = (krl(dir.path(), &format!("key: {}\n", ann.line())), krl(dir.path(), ""));
    assert_eq!(RevocationList::parse(&nothing).unwrap().len(), 0);
    let mut world = World::new();
    world.signers("signers", &format!("ann {}\n", ann.line()), &[]);
    // Cut off behind its header, a list is a well-formed list of nothing.
    for bytes in [&nothing, &whole[..nothing.len()].to_vec()] {
        world.revoked("list", bytes, Reason::Compromised);
        let errors = world.errors();
        assert!(errors.contains("is empty") && errors.contains("allow-empty = true"), "{errors}");
    }
    world.sources.revocations[0].allow_empty = true;
    assert_eq!(judge(&plain(&ann), &world.load()), "verified by ann");
}

#[test]
fn n15_a_rejected_file_revokes_a_certified_key_that_no_entry_holds() {
    let (ca, stolen, laptop) = (Key::ed25519(9), Key::ed25519(3), Key::ed25519(4));
    let mut world = World::new();
    world.signers("signers", &format!("* cert-authority {}\n", ca.line()), &[]);
    let good = world.load();
    let raw = certified(&stolen, &cert(&["carol"]), &ca);
    assert_eq!(judge(&raw, &good), "verified by carol");
    let gone = "revoked = { at = 2026-01-01T00:00:00Z, reason = \"compromised\" }";
    world.ring.write(
        "carol.toml",
        &format!("name = \"carol\"\nsurprise = 1\n[[key]]\nssh = \"{}\"\n{gone}\n", stolen.line()),
    );
    world.errors();
    let (kept, news) = good.with_revocations_from(&world.sources);
    assert_eq!((judge(&raw, &kept), news), ("revoked".to_owned(), 1));
    assert_ne!(kept.digest(), good.digest());
    assert_eq!(judge(&certified(&laptop, &cert(&["carol"]), &ca), &kept), "verified by carol");
    let now = Timestamp::from_second(NOW).unwrap();
    assert_eq!(kept.compromised(now), [(fingerprint(&stolen), i64::MIN)]);
    assert_eq!(kept.with_revocations_from(&world.sources).1, 0, "the second time it is no news");
}

#[test]
fn n15_of_a_krl_that_breaks_off_what_can_be_read_counts() {
    let (ann, bob) = (Key::ed25519(1), Key::ed25519(2));
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new();
    world.signers("signers", &format!("ann {}\nbob {}\n", ann.line(), bob.line()), &[]);
    let good = world.load();
    let mut list = krl(dir.path(), &format!("key: {}\n", ann.line()));
    list.extend(b"\x05\0\0\0\x24\0\0\0\x20half a fing");
    world.revoked("list", &list, Reason::Compromised);
    world.errors();
    let (kept, news) = good.with_revocations_from(&world.sources);
    assert_eq!((judge(&plain(&ann), &kept), news), ("revoked".to_owned(), 1));
    assert_eq!(judge(&plain(&bob), &kept), "verified by bob");
    // Of nothing readable there is no news.
    world.revoked("list", &list[..10], Reason::Compromised);
    assert_eq!(kept.with_revocations_from(&world.sources).1, 0);
    let nothing = krl(dir.path(), "");
    world.revoked("list", nothing, Reason::Compromised);
    assert_eq!(kept.with_revocations_from(&world.sources).1, 0);
}

fn fingerprint(key: &Key) -> String {
    countersign::signature::ssh::parse_public_key(&key.line()).unwrap().fingerprint()
}

#[test]
fn n14_a_key_that_only_a_list_names_is_compromised_as_well() {
    let (ann, ca, inner) = (Key::ed25519(1), Key::ed25519(9), Key::ed25519(3));
    let dir = tempfile::tempdir().unwrap();
    let now = Timestamp::from_second(NOW).unwrap();
    let mut world = World::new();
    world.signers("signers", &format!("ann {}\n* cert-authority {}\n", ann.line(), ca.line()), &[]);
    for source in [
        format!("key: {}\n", inner.line()),
        format!("sha256: {}\n", inner.line()),
        format!("hash: {}\n", fingerprint(&inner)),
    ] {
        let source = format!("{source}key: {}\n", ann.line());
        world.revoked("list", krl(dir.path(), &source), Reason::Compromised);
        let mut found = world.load().compromised(now);
        found.sort();
        let mut wanted = vec![(fingerprint(&inner), i64::MIN), (fingerprint(&ann), i64::MIN)];
        wanted.sort();
        assert_eq!(found, wanted, "each once: {source}");
    }
    world.sources.revocations[0].revocation.effective_from = Some(now);
    let from = now.as_millisecond();
    assert!(world.load().compromised(now).contains(&(fingerprint(&inner), from)));
    world.revoked("list", format!("{}\n", inner.line()), Reason::Retired);
    assert_eq!(world.load().compromised(now), [], "retired is not compromised");
}

#[test]
fn every_fault_of_a_text_has_a_line_and_a_column() {
    let (ann, bob) = (Key::ed25519(1), Key::ed25519(2));
    let mut world = World::new();
    world.signers("signers", &format!("ann {}\n", ann.line()), &[]);
    let name = bob.line().split(' ').next().unwrap().to_owned();
    let encoded = bob.line().split(' ').nth(1).unwrap().to_owned();
    for (line, column) in [
        (format!("{name} {}", &encoded[..encoded.len() - 4]), 13),
        (format!("  {name}   A!{encoded} bob"), 17),
        (format!("ssh-rsa {encoded}"), 9),
        (format!("cert-authority {name} {encoded}"), 16),
        (name.clone(), 1),
        (format!("bob {name} {encoded}"), 1),
        ("serial: 5".to_owned(), 1),
        (format!("\u{feff}{name} {encoded}"), 1),
    ] {
        world.revoked("list", format!("# one\n{}\n{line}\n", ann.line()), Reason::Compromised);
        let errors = world.errors();
        assert!(errors.contains(&format!("BESIDE/list:3:{column}\n")), "{line}: {errors}");
    }
    world.sources.revocations.clear();
    let path = world.ring.write("bob.toml", "");
    fs::write(&path, b"name = \"bob\"\n# b\xfc cher\n").unwrap();
    let errors = world.errors();
    assert!(errors.contains("not UTF-8") && errors.contains("bob.toml:2:4"), "{errors}");
    // A byte order mark in front of a file is told as what it is.
    fs::remove_file(path).unwrap();
    world.signers("signers", &format!("\u{feff}ann {}\n", ann.line()), &[]);
    assert!(world.errors().contains("invisible character"));
}

#[test]
fn f005_applications_that_no_key_can_have_are_a_fault() {
    let (ca, token) = (Key::ed25519(9), Key::ed25519(2).fido("ssh:"));
    for names in ["\"\"", "\"s*h:\"", "\"ssh:\\u200b\"", "\"ssh:\", \"**\""] {
        let mut world = World::new();
        let more = format!("principals = [\"*\"]\napplications = [{names}]");
        let text = format!("name = \"x\"\n{}", authority_table(&ca, &more));
        world.ring.write("x.toml", &text);
        assert!(world.errors().contains("cannot be the name of a FIDO application"), "{names}");
        let text = format!("name = \"x\"\n[[key]]\nssh = \"{}\"\napplications = [{names}]\n", token.line());
        world.ring.write("x.toml", &text);
        assert!(world.errors().contains("cannot be the name of a FIDO application"), "{names}");
        world.sources.revocations.clear();
    }
}

#[test]
fn a_file_that_gives_no_key_is_a_warning() {
    let ann = Key::ed25519(1);
    let mut world = World::new();
    for text in [String::new(), "# nothing\n".to_owned(), format!("ann namespaces=\"file\" {}\n", ann.line())]
    {
        world.signers("signers", &text, &[]);
        let warnings = Keyring::load(&world.sources).unwrap().warnings;
        assert!(warnings.iter().any(|one| one.message.contains("it gives no key")), "{text}");
    }
    world.signers("signers", &format!("ann {}\n", ann.line()), &[]);
    assert!(
        Keyring::load(&world.sources).unwrap().warnings.iter().all(|one| !one.message.contains("no key"))
    );
}

#[test]
fn adding_a_key_that_a_list_revokes_is_told() {
    let ann = Key::ed25519(1);
    let mut world = World::new();
    world.revoked("list", ann.line() + "\n", Reason::Compromised);
    let request = crate::request("ann", ann.line());
    let added =
        countersign::keyring::add(&world.sources, &request, Timestamp::from_second(NOW).unwrap()).unwrap();
    assert!(
        added.key_added && added.warnings.iter().any(|one| one.contains("revoked (compromised)")),
        "{added:?}"
    );
}

#[test]
fn the_command_line_shows_authorities_and_sources() {
    let (ann, ca, token) = (Key::ed25519(1), Key::ed25519(9), Key::ed25519(2).fido("ssh:git"));
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        chmod(path.parent().unwrap(), 0o755);
        fs::write(&path, text).unwrap();
        chmod(&path, 0o644);
    };
    fs::create_dir(dir.path().join("root")).unwrap();
    write(
        "ring/ca.toml",
        format!(
            "name = \"ca\"\n[[authority]]\nssh = \"{}\"\nprincipals = [\"*@example.org\"]\ngroups = [\"staff\"]\nserials = [\"7\", \"9-12\"]\n",
            ca.line()
        ),
    );
    write(
        "ring/tom.toml",
        format!(
            "name = \"tom\"\n[[key]]\nssh = \"{}\"\ntouch = \"any\"\napplications = [\"ssh:git\"]\n",
            token.line()
        ),
    );
    write("signers", format!("ann {}\n", ann.line()));
    write("revoked", ann.line() + "\n");
    write("c.toml", "[daemon]\nsocket = \"s\"\nstate = \"state\"\n[keyring]\npath = \"ring\"\n\
        [[keyring.allowed-signers]]\npath = \"signers\"\ngroups = [\"sre\"]\n[[keyring.revocation]]\npath = \"revoked\"\n\
        reason = \"retired\"\n[repositories]\nroot = \"root\"\n[policy]\nuncovered = \"accept\"\n".to_owned());
    let ran = |more: &[&str]| {
        let mut args = vec!["--config", "c.toml", "keyring"];
        args.extend(more);
        String::from_utf8(run(env!("CARGO_BIN_EXE_countersign"), &args, dir.path(), b"")).unwrap()
    };
    let listed = ran(&["list"]);
    for wanted in [
        "*@example.org  authority",
        "allowed signers  1 key, 0 authorities; groups sre",
        "revocation list  1 entry: retired, refused always",
    ] {
        assert!(listed.contains(wanted), "no `{wanted}` in {listed}");
    }
    let json: serde_json::Value = serde_json::from_str(&ran(&["list", "--format", "json"])).unwrap();
    assert_eq!(json["sources"]["allowed_signers"][0]["keys"], 1);
    assert_eq!(json["sources"]["revocation_lists"][0]["revocation"]["reason"], "retired");
    let shown = ran(&["show", "ca"]);
    for wanted in ["certifies  *@example.org", "serials    7, 9-12", "groups     staff"] {
        assert!(shown.contains(wanted), "no `{wanted}` in {shown}");
    }
    let json: serde_json::Value = serde_json::from_str(&ran(&["show", "ca", "--format", "json"])).unwrap();
    assert_eq!(json["authorities"][0]["scopes"][0]["serials"], serde_json::json!(["7", "9-12"]));
    let shown = ran(&["show", "tom"]);
    assert!(shown.contains("touch         any") && shown.contains("applications  ssh:git"), "{shown}");
}

/// A certificate does not wash a key clean whose owner is suspended or gone.
#[test]
fn n14_a_key_of_somebody_suspended_or_removed_is_nobodys_under_a_certificate() {
    let (ca, laptop) = (Key::ed25519(9), Key::ed25519(1));
    let world = World::new();
    let table = authority_table(&ca, "principals = [\"*@example.org\"]");
    world.ring.write("ca.toml", &format!("name = \"ca\"\n{table}"));
    let ann = |top: &str, more: &str| {
        let text = format!("name = \"ann\"\n{top}[[key]]\nssh = \"{}\"\n{more}", laptop.line());
        world.ring.write("ann.toml", &text);
    };
    let other = certified(&laptop, &cert(&["annie@example.org"]), &ca);
    ann("", "");
    assert_eq!(judge(&other, &world.load()), "wrong-purpose", "the key is ann's");
    ann("emails = [\"annie@example.org\"]\n", "");
    assert_eq!(judge(&other, &world.load()), "verified by ann");
    ann("suspended = { at = 2020-01-01T00:00:00Z, reason = \"x\" }\n", "");
    assert_eq!(judge(&other, &world.load()), "revoked");
    ann(
        "removed = { at = 2020-01-01T00:00:00Z, reason = \"x\" }\n",
        "revoked = { at = 2099-01-01T00:00:00Z, reason = \"retired\" }\n",
    );
    assert_eq!(judge(&other, &world.load()), "revoked");
    let emails = "emails = [\"annie@example.org\"]\n";
    ann(&format!("{emails}suspended = {{ at = 2099-01-01T00:00:00Z, reason = \"x\" }}\n"), "");
    assert_eq!(judge(&other, &world.load()), "verified by ann");
}

/// Names are exact, so that nobody is taken for somebody else; but the spelling of an address is no way back.
#[test]
fn n14_no_spelling_of_an_address_gets_around_a_suspension() {
    let (ca, laptop, line) = (Key::ed25519(9), Key::ed25519(1), Key::ed25519(2));
    let mut world = World::new();
    let table = authority_table(&ca, "principals = [\"*@example.org\", \"*@EXAMPLE.org\"]");
    world.ring.write("ca.toml", &format!("name = \"ca\"\n{table}"));
    world.signers("signers", &format!("ANN@example.org {}\n", line.line()), &[]);
    for (names, plainly) in [
        (&["Ann@example.org"][..], "Ann@example.org"),
        (&["ann@EXAMPLE.org"], "ann@EXAMPLE.org"),
        (&["carol@example.org", "ANN@example.org"], "carol@example.org"),
    ] {
        let raw = certified(&laptop, &cert(names), &ca);
        let with = |more: &str| {
            world.ring.write("ann.toml", &format!("name = \"ann\"\nemails = [\"ann@example.org\"]\n{more}"));
            (judge(&raw, &world.load()), judge(&plain(&line), &world.load()))
        };
        let verified = |who: &str| format!("verified by {who}");
        assert_eq!(with(""), (verified(plainly), verified("ANN@example.org")));
        for gone in ["suspended", "removed"] {
            let gone = format!("{gone} = {{ at = 2020-01-01T00:00:00Z, reason = \"x\" }}\n");
            assert_eq!(with(&gone), ("revoked".into(), "revoked".into()), "{names:?} {gone}");
        }
        let later = "suspended = { at = 2099-01-01T00:00:00Z, reason = \"x\" }\n";
        assert_eq!(with(later).0, verified(plainly));
    }
    // An address that two have is the other's as well, whose own name it is not.
    world.ring.write("ann.toml", "name = \"ann\"\nemails = [\"x@example.org\"]\nsuspended = { at = 2020-01-01T00:00:00Z, reason = \"x\" }\n");
    let bob = format!("name = \"bob\"\nemails = [\"X@example.org\"]\n[[key]]\nssh = \"{}\"\n", laptop.line());
    world.ring.write("bob.toml", &bob);
    assert_eq!(judge(&plain(&laptop), &world.load()), "verified by bob");
}

/// A file that suspends whom only certificates name counts although the change that brings it is rejected.
#[test]
fn n15_a_rejected_file_suspends_whom_only_certificates_name() {
    let (ca, laptop) = (Key::ed25519(9), Key::ed25519(1));
    let world = World::new();
    let table = authority_table(&ca, "principals = [\"*@example.org\"]");
    world.ring.write("ca.toml", &format!("name = \"ca\"\n{table}"));
    let good = world.load();
    world.ring.write(
        "ann.toml",
        "name = \"ann\"\nemails = [\"ann@example.org\"]\nsuspended = { at = 2020-01-01T00:00:00Z, reason = \"x\" }\n",
    );
    world.ring.write("broken.toml", "name = 7\n");
    world.errors();
    let (kept, news) = good.with_revocations_from(&world.sources);
    assert!(news > 0);
    for (names, wanted) in [
        (&["ann@example.org"][..], "revoked"),
        (&["carol@example.org", "ann@example.org"], "revoked"),
        (&["carol@example.org"], "verified by carol@example.org"),
    ] {
        assert_eq!(judge(&certified(&laptop, &cert(names), &ca), &kept), wanted, "{names:?}");
    }
    assert_eq!(kept.with_revocations_from(&world.sources).1, 0, "the second time it is no news");
}

/// A `[[key]]` says what its key may do, and no certificate says otherwise.
#[test]
fn n14_a_listed_key_is_worth_no_more_under_a_certificate() {
    let (ca, laptop) = (Key::ed25519(9), Key::ed25519(1));
    let world = World::new();
    let table = authority_table(&ca, "principals = [\"*@example.org\"]");
    world.ring.write("ca.toml", &format!("name = \"ca\"\n{table}"));
    let raw = certified(&laptop, &cert(&["ann@example.org"]), &ca);
    let top = "name = \"ann\"\nemails = [\"ann@example.org\"]\n";
    let seen = |top: &str, more: &str, role: Role| {
        world.ring.write("ann.toml", &format!("{top}[[key]]\nssh = \"{}\"\n{more}\n", laptop.line()));
        judge_as(role, &raw, &world.load())
    };
    assert_eq!(seen(top, "", Role::Commit), "verified by ann");
    assert_eq!(seen(top, "roles = [\"push\"]", Role::Commit), "wrong-purpose");
    assert_eq!(seen(top, "roles = [\"push\"]", Role::Tag), "wrong-purpose");
    assert_eq!(seen(top, "roles = [\"tag\"]", Role::Tag), "verified by ann");
    assert_eq!(seen(top, "valid-until = 2026-02-01T00:00:00Z", Role::Commit), "expired");
    assert_eq!(seen(top, "valid-from = 2026-04-01T00:00:00Z", Role::Commit), "not-yet-valid");
    // Under another name neither, whether anybody has that name or not.
    world.ring.write("bob.toml", "name = \"bob\"\nemails = [\"bob@example.org\"]\n");
    for name in ["bob@example.org", "nobody@example.org"] {
        let raw = certified(&laptop, &cert(&[name]), &ca);
        assert_eq!(judge(&raw, &world.load()), "wrong-purpose", "{name}");
    }
    // A login is no signature, and the key is the same.
    let blob = cert(&["ann@example.org"]).make(&laptop, &ca);
    let login = |roles: &str| {
        seen(top, roles, Role::Commit);
        let now = Timestamp::from_second(NOW).unwrap();
        world.load().login(&blob, now, &Rules::default()).holder.is_ok()
    };
    assert!(login("roles = [\"push\"]") && !login("roles = [\"commit\"]"));
    // An authenticator that the entry wants touched has to be touched, whatever the certificate excuses.
    let token = Key::ed25519(5).fido("ssh:").with(0, 7);
    let table = authority_table(&ca, "principals = [\"*\"]\ntouch = \"any\"");
    world.ring.write("ca.toml", &format!("name = \"ca\"\n{table}"));
    let mut excused = cert(&["carol"]);
    excused.extensions = vec![(b"no-touch-required", Vec::new())];
    let raw = certified(&token, &excused, &ca);
    assert_eq!(judge(&raw, &world.load()), "verified by carol");
    for (more, wanted) in
        [("touch = \"required\"", "wrong-purpose"), ("touch = \"any\"", "verified by carol")]
    {
        let text = format!("name = \"carol\"\n[[key]]\nssh = \"{}\"\n{more}\n", token.line());
        world.ring.write("carol.toml", &text);
        assert_eq!(judge(&raw, &world.load()), wanted, "{more}");
    }
}

#[test]
fn n14_authorities_have_roles() {
    let (ca, laptop) = (Key::ed25519(9), Key::ed25519(1));
    let world = World::new();
    let raw = certified(&laptop, &cert(&["ann@example.org"]), &ca);
    let with = |tables: &[&str]| {
        let tables: String = tables
            .iter()
            .map(|more| authority_table(&ca, &format!("principals = [\"*@example.org\"]\n{more}")))
            .collect();
        world.ring.write("ca.toml", &format!("name = \"ca\"\n{tables}"));
    };
    let seen = |role| judge_as(role, &raw, &world.load());
    with(&["roles = [\"tag\", \"push\"]"]);
    assert_eq!(seen(Role::Commit), "wrong-purpose");
    assert_eq!(seen(Role::Tag), "verified by ann@example.org");
    let blob = cert(&["ann@example.org"]).make(&laptop, &ca);
    let now = Timestamp::from_second(NOW).unwrap();
    assert!(world.load().login(&blob, now, &Rules::default()).holder.is_ok());
    with(&["roles = [\"tag\"]"]);
    assert!(world.load().login(&blob, now, &Rules::default()).holder.is_err());
    // Each table is enough by itself; the groups of one that does not count are not given.
    with(&["roles = [\"tag\"]\ngroups = [\"taggers\"]", "roles = [\"commit\"]\ngroups = [\"writers\"]"]);
    assert_eq!(seen(Role::Commit), "verified by ann@example.org");
    assert_eq!(judge_at(&raw, &world.load(), NOW, &Rules::default()).2, ["writers"]);
    with(&["roles = []"]);
    assert!(world.errors().contains("without a role"), "{}", world.errors());
    with(&["roles = [\"comit\"]"]);
    assert!(world.errors().contains("did you mean \"commit\"?"), "{}", world.errors());
}
