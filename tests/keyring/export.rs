//! `countersign keyring export`: what other programs then accept is what is accepted here.

use crate::craft::{self, Cert, Key};
use crate::gnupg::{Gpg, Ssh, commit, signed};
use crate::{Ring, cli_run, run, status};
use countersign::cli::common::Format;
use countersign::cli::keyring::{ExportArgs, KeyringCommand};
use countersign::domain::{Principal, Timestamp};
use countersign::keyring::export::{Export, Selection, Target, allowed_signers, openpgp};
use countersign::keyring::{FileFormat, ImportRequest, Keyring, Material, import};
use countersign::signature::{Rules, Times};
use proptest::prelude::*;
use saphyr_parser::{Event, Parser};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const DAY: i64 = 86_400;

fn now() -> i64 {
    Timestamp::now().as_second()
}

fn chosen<'k>(keyring: &'k Keyring, target: Target, at: Timestamp, wider: bool) -> Export<'k> {
    let rules = Rules::default();
    let selection = Selection {
        target,
        at,
        group: None,
        principal: None,
        rules: &rules,
        asked: &[],
        restricted: false,
        wider,
    };
    keyring.export(&selection, &|_: &Principal| true)
}

fn signers_file(keyring: &Keyring, wider: bool) -> String {
    allowed_signers(&mut chosen(keyring, Target::AllowedSigners, Timestamp::now(), wider))
}

/// Whether git accepts a signed commit with nothing but what was exported.
fn git_accepts(raw: &[u8], signers: &str, ring: &[u8]) -> bool {
    let dir = tempfile::Builder::new().prefix("cs-git").tempdir().unwrap();
    run("git", &["init", "-q", "--bare", "."], dir.path(), b"");
    let home = dir.path().join("gnupg");
    fs::create_dir(&home).unwrap();
    crate::chmod(&home, 0o700);
    if !ring.is_empty() {
        let home = home.to_str().unwrap();
        run("gpg", &["--homedir", home, "--batch", "--quiet", "--import"], dir.path(), ring);
    }
    fs::write(dir.path().join("signers"), signers).unwrap();
    let id = run("git", &["hash-object", "-t", "commit", "-w", "--stdin", "--literally"], dir.path(), raw);
    let id = String::from_utf8(id).unwrap();
    let verified = Command::new("git")
        .current_dir(dir.path())
        .env("GNUPGHOME", &home)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args(["-c", "gpg.ssh.allowedSignersFile=signers", "verify-commit", id.trim()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    let _ = Command::new("gpgconf").arg("--homedir").arg(&home).args(["--kill", "all"]).output();
    verified.success()
}

fn we_accept(raw: &[u8], keyring: &Keyring) -> bool {
    let now = Timestamp::now();
    let claimed = status(raw, keyring, now);
    let object =
        countersign::signature::object::parse_commit(countersign::domain::ObjectFormat::Sha1, raw).unwrap();
    let times = Times::introduced(object.committer.time, now);
    keyring.assess(claimed, &times, &Rules::default()).0.name() == "verified"
}

/// Both say the same of a commit, and it is this.
#[track_caller]
fn same(what: &str, raw: &[u8], ring: &Ring, accepted: bool) {
    let keyring = ring.load();
    let signers = signers_file(&keyring, false);
    let certificates = openpgp(&chosen(&keyring, Target::OpenPgp, Timestamp::now(), false), false);
    assert_eq!(we_accept(raw, &keyring), accepted, "{what}: here");
    assert_eq!(git_accepts(raw, &signers, &certificates), accepted, "{what}: git with\n{signers}");
    if accepted {
        // Another message under the same signature is good to nobody.
        let split = raw.windows(2).position(|pair| pair == b"\n\n").unwrap();
        let other = [&raw[..split], b"\n\nanother message\n"].concat();
        assert!(!we_accept(&other, &keyring) && !git_accepts(&other, &signers, &certificates), "{what}");
    }
    // And what was exported says the same when it comes back.
    let again = Ring::new();
    let mut all = Vec::new();
    let of = |name: &str, bytes: Vec<u8>, format| ImportRequest {
        format: Some(format),
        principal: None,
        ..ImportRequest::of(Path::new(name), bytes)
    };
    if !signers.is_empty() {
        all.push(of("signers", signers.into_bytes(), FileFormat::AllowedSigners));
    }
    if !certificates.is_empty() {
        let one = of("ring.asc", certificates, FileFormat::OpenPgp);
        all.push(ImportRequest { principal: Some("somebody".into()), ..one });
    }
    if !all.is_empty() {
        import(again.path(), &all).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(we_accept(raw, &again.load()), accepted, "{what}: after coming back");
    }
}

fn import_pub(ring: &Ring, line: &str, extra: &str) {
    ring.write(
        "alice.toml",
        &format!(
            "name = \"alice\"\nemails = [\"alice@example.org\", \"a@example.com\"]\n[[key]]\nssh = \"{}\"\n{extra}",
            line.trim()
        ),
    );
}

#[test]
fn ssh_keys_of_every_kind_mean_the_same_to_git() {
    let ssh = Ssh::new();
    let stranger = ssh.generate("stranger", "ed25519", "256");
    for (kind, bits) in
        [("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521"), ("rsa", "3072")]
    {
        let path = ssh.generate(&format!("{kind}{bits}"), kind, bits);
        let payload = commit(now(), "m\n");
        let raw = signed(&payload, &Ssh::sign(&path, "git", &[], &payload));
        let ring = Ring::new();
        let request = ImportRequest {
            principal: Some("alice".into()),
            ..ImportRequest::of(Path::new("k.pub"), Ssh::public(&path).into_bytes())
        };
        import(ring.path(), &[request]).unwrap();
        same(&format!("{kind} {bits}"), &raw, &ring, true);
        let other = signed(&payload, &Ssh::sign(&stranger, "git", &[], &payload));
        same("another key", &other, &ring, false);
        let elsewhere = signed(&payload, &Ssh::sign(&path, "file", &[], &payload));
        same("another namespace", &elsewhere, &ring, false);
    }
}

#[test]
fn windows_and_revocations_mean_the_same_to_git() {
    let key = Key::ed25519(1);
    let at = |days: i64| Timestamp::from_second(now() + days * DAY).unwrap().to_string();
    let (before, after) = (at(-10), at(10));
    for (extra, age, accepted) in [
        (format!("valid-from = {before}\nvalid-until = {after}\n"), 0, true),
        (format!("valid-from = {before}\n"), 11, false),
        (format!("valid-from = {before}\n"), 9, true),
        (format!("valid-until = {before}\n"), 11, false),
        (format!("valid-from = {after}\n"), 0, false),
        (format!("revoked = {{ at = {before}, reason = \"superseded\" }}\n"), 0, false),
        (format!("revoked = {{ at = {after}, reason = \"retired\" }}\n"), 0, true),
        (format!("revoked = {{ at = {before}, reason = \"compromised\" }}\n"), 20, false),
        ("roles = [\"push\"]\n".to_owned(), 0, false),
    ] {
        let payload = commit(now() - age * DAY, "m\n");
        let raw = signed(&payload, &key.sshsig(&payload));
        let ring = Ring::new();
        import_pub(&ring, &key.line(), &extra);
        same(&extra, &raw, &ring, accepted);
    }
    // A revocation to come ends the key where others read it.
    let ring = Ring::new();
    import_pub(&ring, &key.line(), &format!("revoked = {{ at = {after}, reason = \"retired\" }}\n"));
    assert!(signers_file(&ring.load(), false).contains("valid-before=\""));
}

#[test]
fn fido_keys_are_exported_only_where_nobody_asks_for_what_the_format_cannot() {
    for key in [Key::ed25519(3).fido("ssh:"), Key::p256(4).fido("ssh:")] {
        let payload = commit(now(), "m\n");
        let touched = signed(&payload, &key.clone().with(1, 5).sshsig(&payload));
        let untouched = signed(&payload, &key.clone().with(0, 5).sshsig(&payload));
        let ring = Ring::new();
        import_pub(&ring, &key.line(), "touch = \"any\"\n");
        same("touched", &touched, &ring, true);
        // What comes back asks for a touch again, because the format did not say that none is wanted.
        assert!(we_accept(&untouched, &ring.load()));
        assert!(git_accepts(&untouched, &signers_file(&ring.load(), false), b""));
        for extra in ["", "touch = \"required\"\n", "touch = \"any\"\nuser-verification = \"required\"\n"] {
            let ring = Ring::new();
            import_pub(&ring, &key.line(), extra);
            let keyring = ring.load();
            assert!(!we_accept(&untouched, &keyring));
            assert!(!git_accepts(&untouched, &signers_file(&keyring, false), b""), "{extra}");
            assert!(
                git_accepts(&untouched, &signers_file(&keyring, true), b""),
                "this is what `--wider` means"
            );
            let export = chosen(&keyring, Target::AllowedSigners, Timestamp::now(), false);
            assert!(export.keys.is_empty() && export.notes.iter().all(|note| note.left_out), "{extra}");
        }
        let ring = Ring::new();
        import_pub(&ring, &Key::ed25519(3).fido("webauthn.example").line(), "touch = \"any\"\n");
        assert!(signers_file(&ring.load(), true).is_empty(), "it never counts, so nothing makes it wider");
    }
}

#[test]
fn certificates_mean_the_same_to_git() {
    let (authority, key) = (Key::ed25519(5), Key::ed25519(6));
    let payload = commit(now(), "m\n");
    let raw =
        |cert: &Cert<'_>| signed(&payload, &craft::sshsig(&cert.make(&key, &authority), &key, &payload));
    let cert = Cert::new(now() - DAY, now() + DAY);
    let table = |patterns: &str, extra: &str| {
        let ring = Ring::new();
        ring.write(
            "cas.toml",
            &format!(
                "name = \"cas\"\n[[authority]]\nssh = \"{}\"\nprincipals = {patterns}\n{extra}",
                authority.line()
            ),
        );
        ring
    };
    same("certified", &raw(&cert), &table("[\"*@example.org\"]", ""), true);
    same("for others", &raw(&cert), &table("[\"*@example.com\"]", ""), false);
    same("excluded", &raw(&cert), &table("[\"*@example.org\", \"!alice@*\"]", ""), false);
    let ended = Cert::new(now() - 9 * DAY, now() - 5 * DAY);
    same("ended", &raw(&ended), &table("[\"*@example.org\"]", ""), false);
    for extra in ["serials = [\"1-6\"]\n", "touch = \"required\"\n"] {
        let ring = table("[\"*@example.org\"]", extra);
        assert!(signers_file(&ring.load(), false).is_empty(), "{extra}");
        assert!(signers_file(&ring.load(), true).contains("cert-authority,namespaces=\"git\""));
    }
    // What is refused under certificates here, and nowhere else.
    for other in [
        "suspended = { at = 2026-01-01T00:00:00Z, reason = \"lost laptop\" }\n".to_owned(),
        format!(
            "[[key]]\nssh = \"{}\"\nrevoked = {{ at = 2026-01-01T00:00:00Z, reason = \"compromised\" }}\n",
            key.line()
        ),
    ] {
        let ring = table("[\"*@example.org\"]", "");
        ring.write("alice.toml", &format!("name = \"alice\"\nemails = [\"alice@example.org\"]\n{other}"));
        let keyring = ring.load();
        assert!(!we_accept(&raw(&cert), &keyring), "{other}");
        assert!(!git_accepts(&raw(&cert), &signers_file(&keyring, false), b""), "{other}");
        assert!(git_accepts(&raw(&cert), &signers_file(&keyring, true), b""), "{other}");
    }
    let until = Timestamp::from_second(now() - DAY).unwrap();
    let ring = table("[\"*@example.org\"]", &format!("valid-until = {until}\n"));
    same("an authority that ended", &raw(&cert), &ring, false);
}

/// Certificates as ssh-keygen makes them, for keys and authorities of every kind.
#[test]
fn certificates_of_ssh_keygen_mean_the_same_to_git() {
    let ssh = Ssh::new();
    let certify = |authority: &Path, key: &Path, names: &str, window: &str, more: &[&str]| {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-I", "test certificate", "-n", names, "-V", window, "-z", "7"]).args(more);
        let output = command.arg("-s").arg(authority).arg(key.with_extension("pub")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        key.with_file_name(format!("{}-cert.pub", key.file_name().unwrap().to_str().unwrap()))
    };
    for (kind, bits) in [("ed25519", "256"), ("ecdsa", "256"), ("rsa", "3072")] {
        let authority = ssh.generate(&format!("ca-{kind}"), kind, bits);
        let impostor = ssh.generate(&format!("impostor-{kind}"), kind, bits);
        let key = ssh.generate(&format!("key-{kind}"), kind, bits);
        let ring = Ring::new();
        let line = format!("*@example.org cert-authority,namespaces=\"git\" {}", Ssh::public(&authority));
        let request = ImportRequest {
            format: Some(FileFormat::AllowedSigners),
            ..ImportRequest::of(Path::new("allowed_signers"), line.into_bytes())
        };
        import(ring.path(), &[request]).unwrap();
        let payload = commit(now(), "m\n");
        let by = |certificate: &Path| signed(&payload, &Ssh::sign(certificate, "git", &[], &payload));
        for (what, by_whom, names, window, more, accepted) in [
            ("good", &authority, "alice@example.org", "-1d:+1d", &[][..], true),
            ("for others", &authority, "alice@example.com", "-1d:+1d", &[], false),
            ("ended", &authority, "alice@example.org", "-9d:-5d", &[], false),
            ("by another authority", &impostor, "alice@example.org", "-1d:+1d", &[], false),
            ("of a host", &authority, "alice@example.org", "-1d:+1d", &["-h"], false),
        ] {
            let certificate = certify(by_whom, &key, names, window, more);
            same(&format!("{kind}, {what}"), &by(&certificate), &ring, accepted);
        }
        // Without a certificate the key is nobody's.
        same(kind, &signed(&payload, &Ssh::sign(&key, "git", &[], &payload)), &ring, false);
    }
}

fn import_certificate(ring: &Ring, bytes: &[u8]) {
    let request = ImportRequest {
        principal: Some("alice".into()),
        ..ImportRequest::of(Path::new("k.asc"), bytes.to_vec())
    };
    import(ring.path(), &[request]).unwrap();
}

#[test]
fn openpgp_certificates_of_every_kind_mean_the_same_to_git() {
    let born = now() - 30 * DAY;
    let gpg = Gpg::new();
    let judge = |what: &str, signer: &str, exported: &[u8], signed_at: i64, accepted: bool| {
        let payload = commit(signed_at, "m\n");
        let raw = signed(&payload, &gpg.sign(signed_at, signer, &[], &payload));
        let ring = Ring::new();
        import_certificate(&ring, exported);
        same(what, &raw, &ring, accepted);
        ring
    };
    for algorithm in ["ed25519", "rsa3072", "nistp256", "nistp384", "nistp521"] {
        let one = gpg.generate(born, algorithm, "sign", "never");
        judge(algorithm, &one, &gpg.export(&one), now(), true);
        judge("older", &one, &gpg.export(&one), now() - 3 * DAY, true);
    }
    // A subkey signs, another one encrypts; the primary key only certifies.
    let one = gpg.generate(born, "ed25519", "cert", "never");
    gpg.run(born, &["--quick-add-key", &one, "ed25519", "sign", "90d"], b"");
    gpg.run(born, &["--quick-add-key", &one, "cv25519", "encr", "never"], b"");
    gpg.run(born + 60, &["--quick-add-uid", &one, "Another (test key) <other@example.com>"], b"");
    let ring = judge("a subkey", &one, &gpg.export(&one), now(), true);
    let keyring = ring.load();
    let export = chosen(&keyring, Target::OpenPgp, Timestamp::now(), false);
    let packets = gpg.packets(&openpgp(&export, true));
    assert_eq!(packets.matches(":public sub key packet:").count(), 1, "{packets}");
    assert_eq!(packets.matches(":user ID packet:").count(), 2);
    assert_eq!(export.keys[0].signers.len(), 1);
    // Revoked user ids stay revoked, expired and revoked keys do not go out.
    gpg.run(now() - DAY, &["--quick-revoke-uid", &one, "Another (test key) <other@example.com>"], b"");
    let ring = judge("a revoked user id", &one, &gpg.export(&one), now(), true);
    let out = openpgp(&chosen(&ring.load(), Target::OpenPgp, Timestamp::now(), false), true);
    assert!(gpg.packets(&out).contains("sigclass 0x30"));
    let one = gpg.generate(born, "ed25519", "sign", "10d");
    judge("expired", &one, &gpg.export(&one), born + DAY, false);
    gpg.run(now() - DAY, &["--quick-set-expire", &one, "1y"], b"");
    judge("extended", &one, &gpg.export(&one), now(), true);
    let with_revocation = [gpg.export(&one), gpg.prepared_revocation(&one)].concat();
    judge("revoked", &one, &with_revocation, now(), false);
    // A revoked subkey beside a good primary key.
    let one = gpg.generate(born, "ed25519", "sign,cert", "never");
    gpg.run(born, &["--quick-add-key", &one, "ed25519", "sign", "never"], b"");
    let subkey = gpg.fingerprints().last().unwrap().clone();
    let (primary, bang) = (format!("{one}!"), format!("{subkey}!"));
    let payload = commit(now(), "m\n");
    let by_subkey = signed(&payload, &gpg.sign(now(), &bang, &[], &payload));
    gpg.converse(now() - DAY, &["--edit-key", &one], "key 1\nrevkey\ny\n3\n\ny\nsave\n");
    let ring = judge("the primary key", &primary, &gpg.export(&one), now(), true);
    same("a revoked subkey", &by_subkey, &ring, false);
    // A subkey that ended beside a good primary key, and a key that nobody knows.
    let one = gpg.generate(born, "rsa3072", "sign,cert", "never");
    gpg.run(born, &["--quick-add-key", &one, "rsa3072", "sign", "10d"], b"");
    let subkey = format!("{}!", gpg.fingerprints().last().unwrap());
    let then = commit(born + DAY, "m\n");
    let by_ended = signed(&then, &gpg.sign(born + DAY, &subkey, &[], &then));
    let ring = judge("its primary key", &format!("{one}!"), &gpg.export(&one), now(), true);
    same("a subkey that ended", &by_ended, &ring, false);
    same("a stranger's", &by_subkey, &ring, false);
    // Signatures by others on the key do not go out.
    let one = primary.trim_end_matches('!');
    let other = gpg.generate(born, "ed25519", "sign,cert", "never");
    gpg.run(now() - DAY, &["--default-key", &other, "--quick-sign-key", one], b"");
    let ring = judge("signed by others", &primary, &gpg.export(one), now(), true);
    let out = openpgp(&chosen(&ring.load(), Target::OpenPgp, Timestamp::now(), false), true);
    let issuer = &other[24..];
    assert!(gpg.packets(&gpg.export(one)).contains(issuer) && !gpg.packets(&out).contains(issuer));
}

#[test]
fn what_a_certificate_does_not_say_itself_keeps_it_in() {
    let gpg = Gpg::new();
    let one = gpg.generate(now() - 30 * DAY, "ed25519", "sign", "60d");
    let armor = String::from_utf8(gpg.export(&one)).unwrap();
    let at = |days: i64| Timestamp::from_second(now() + days * DAY).unwrap();
    for (extra, out) in [
        (String::new(), true),
        (format!("valid-until = {}\n", at(40)), true),
        (format!("valid-until = {}\n", at(10)), false),
        (format!("valid-from = {}\n", at(-40)), true),
        (format!("valid-from = {}\n", at(-10)), false),
        (format!("revoked = {{ at = {}, reason = \"retired\" }}\n", at(5)), false),
        ("roles = [\"commit\", \"push\"]\n".to_owned(), false),
        ("roles = [\"commit\", \"tag\"]\n".to_owned(), true),
    ] {
        let ring = Ring::new();
        ring.write("a.toml", &format!("name = \"a\"\n[[key]]\nopenpgp = \"\"\"\n{armor}\"\"\"\n{extra}"));
        let keyring = ring.load();
        for target in [Target::OpenPgp, Target::ArgoCd, Target::FluxSecret] {
            let export = chosen(&keyring, target, Timestamp::now(), false);
            assert_eq!(export.keys.len(), usize::from(out), "{extra} {target:?} {:?}", export.notes);
            assert_eq!(export.notes.is_empty(), out);
            assert_eq!(chosen(&keyring, target, Timestamp::now(), true).keys.len(), 1, "{extra}");
        }
        assert!(chosen(&keyring, Target::AllowedSigners, Timestamp::now(), true).keys.is_empty());
    }
}

#[test]
fn addresses_that_would_be_patterns_do_not_go_out() {
    let ring = Ring::new();
    ring.write(
        "alice.toml",
        &format!(
            "name = \"alice\"\nemails = [\"b@x\", \"*@x\", \"!a@x\", \"a?@x\", \"#a@x\", \"a@x\"]\n[[key]]\nssh = \"{}\"\n",
            Key::ed25519(1).line()
        ),
    );
    ring.write(
        "bob.toml",
        &format!("name = \"bob\"\nemails = [\"*@y\"]\n[[key]]\nssh = \"{}\"\n", Key::ed25519(2).line()),
    );
    let keyring = ring.load();
    let mut export = chosen(&keyring, Target::AllowedSigners, Timestamp::now(), false);
    let text = allowed_signers(&mut export);
    assert!(text.starts_with("a@x,b@x namespaces=\"git\" ssh-ed25519 "), "{text}");
    assert!(text.contains("\nbob namespaces"), "{text}");
    assert_eq!(export.notes.len(), 2);
    assert!(export.notes[0].why.contains("*@x, !a@x, a?@x, #a@x") && !export.notes[0].left_out);
}

const RELEASE: &str = include_str!("../golden/keyring/release.asc");

fn golden_ring() -> Ring {
    let ring = Ring::new();
    ring.write(
        "alice.toml",
        &format!(
            "name = \"alice\"\nemails = [\"alice@example.org\", \"a.smith@example.com\"]\ngroups = [\"sre\"]\n\
             [[key]]\nssh = \"{}\"\nvalid-from = 2025-01-01T00:00:00Z\nvalid-until = 2027-01-01T00:00:00+01:00\n\
             [[key]]\nssh = \"{}\"\n[[key]]\nssh = \"{}\"\n",
            Key::ed25519(1).line(),
            Key::p256(2).line(),
            Key::ed25519(3).fido("ssh:").line()
        ),
    );
    ring.write(
        "123.toml",
        &format!("name = \"123\"\nkind = \"bot\"\n[[key]]\nssh = \"{}\"\n", Key::ed25519(4).line()),
    );
    ring.write(
        "release.toml",
        &format!("name = \"release\"\ngroups = [\"sre\"]\n[[key]]\nopenpgp = \"\"\"\n{RELEASE}\"\"\"\n"),
    );
    ring.write(
        "cas.toml",
        &format!(
            "name = \"cas\"\n[[authority]]\nssh = \"{}\"\nprincipals = [\"*@example.org\", \"!root@*\"]\n",
            Key::ed25519(5).line()
        ),
    );
    ring
}

fn args(target: Target) -> ExportArgs {
    ExportArgs {
        target: Some(target),
        at: Some("2026-03-01T00:00:00Z".into()),
        secret: "countersign-keys".into(),
        ..ExportArgs::default()
    }
}

#[test]
fn exports_match_the_golden_files_and_manifests_parse() {
    let ring = golden_ring();
    let url = |urls: &[&str]| urls.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    for (name, args) in [
        ("allowed_signers", args(Target::AllowedSigners)),
        ("release-ring.asc", args(Target::OpenPgp)),
        ("argocd-gpg-keys-cm.yaml", args(Target::ArgoCd)),
        (
            "appproject.yaml",
            ExportArgs {
                urls: url(&["https://git.example.org/infra/*", "!https://git.example.org/infra/\"x\""]),
                name: Some("true".into()),
                mode: Some("head".into()),
                ..args(Target::ArgoCdAppProject)
            },
        ),
        ("flux-secret.yaml", args(Target::FluxSecret)),
        (
            "gitrepository.yaml",
            ExportArgs {
                name: Some("app".into()),
                urls: url(&["ssh://git@git.example.org/infra/app"]),
                ..args(Target::FluxGitRepository)
            },
        ),
    ] {
        let (code, out, err) = cli_run(&ring, KeyringCommand::Export(args.clone()), Format::Text).unwrap();
        assert_eq!(code, 0);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/keyring").join(name);
        if std::env::var_os("COUNTERSIGN_WRITE_GOLDEN").is_some() {
            fs::write(&path, &out).unwrap();
            fs::write(path.with_extension("told"), &err).unwrap();
        }
        assert_eq!(out, fs::read_to_string(&path).unwrap(), "{name}");
        assert_eq!(err, fs::read_to_string(path.with_extension("told")).unwrap(), "{name}");
        let again = cli_run(&ring, KeyringCommand::Export(args), Format::Text).unwrap();
        assert_eq!(out, again.1, "the same bytes every time");
        if name.ends_with(".yaml") {
            let events: Vec<Event<'_>> = Parser::new_from_str(&out).map(|event| event.unwrap().0).collect();
            let words: Vec<&str> = events
                .iter()
                .filter_map(|event| match event {
                    Event::Scalar(text, ..) => Some(text.as_ref()),
                    _ => None,
                })
                .collect();
            assert_eq!(words[0], "apiVersion");
            let wanted: &[&str] = match name {
                "argocd-gpg-keys-cm.yaml" => &["ConfigMap", "argocd-gpg-keys-cm", "argocd", "data"],
                "appproject.yaml" => &[
                    "AppProject",
                    "true",
                    "sourceIntegrity",
                    "policies",
                    "head",
                    "!https://git.example.org/infra/\"x\"",
                ],
                "flux-secret.yaml" => &["Secret", "Opaque", "stringData", "flux-system"],
                _ => &["GitRepository", "HEAD", "secretRef", "countersign-keys"],
            };
            assert!(wanted.iter().all(|word| words.contains(word)), "{name}: {words:?}");
        }
    }
    // The manifests with keys come back as the keys that they were made of.
    for (name, format, count) in
        [("argocd-gpg-keys-cm.yaml", FileFormat::ArgoCd, 1), ("flux-secret.yaml", FileFormat::Flux, 3)]
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/keyring").join(name);
        let bytes = fs::read(&path).unwrap();
        let before = ring.load();
        let request = ImportRequest { format: Some(format), ..ImportRequest::of(&path, bytes.clone()) };
        let done = import(ring.path(), std::slice::from_ref(&request)).unwrap();
        assert_eq!((done.files.len(), done.unchanged), (0, count), "{name}");
        let fresh = Ring::new();
        import(fresh.path(), &[request]).unwrap();
        let keyring = fresh.load();
        for key in keyring.keys() {
            let known = before.find(&key.id()).unwrap();
            assert_eq!(known.principal.name, key.principal.name, "{name}");
        }
        assert_eq!(keyring.keys().len(), count);
    }
}

#[test]
fn the_command_line_chooses_and_tells() {
    let ring = golden_ring();
    let export = |args: ExportArgs| cli_run(&ring, KeyringCommand::Export(args), Format::Text);
    let lines = |args| export(args).unwrap().1.lines().count();
    assert_eq!(lines(args(Target::AllowedSigners)), 4, "two of alice, one of 123, the authority");
    assert_eq!(lines(ExportArgs { wider: true, ..args(Target::AllowedSigners) }), 5);
    assert_eq!(lines(ExportArgs { group: Some("sre".into()), ..args(Target::AllowedSigners) }), 2);
    assert_eq!(lines(ExportArgs { principal: Some("123".into()), ..args(Target::AllowedSigners) }), 1);
    let at = |at: &str| ExportArgs { at: Some(at.into()), ..args(Target::AllowedSigners) };
    // Where a listed key does not count, its certificates would: the authority stays here.
    assert_eq!(lines(at("2027-06-01T00:00:00Z")), 2);
    assert_eq!(lines(at("2024-06-01T00:00:00Z")), 2);
    let (_, out, err) = export(args(Target::OpenPgp)).unwrap();
    assert!(
        out.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----") && err.contains("the format has no SSH keys")
    );
    let (_, json, _) =
        cli_run(&ring, KeyringCommand::Export(args(Target::AllowedSigners)), Format::Json).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["keys"].as_array().unwrap().len(), 3);
    assert!(json["notes"].as_array().unwrap().iter().any(|note| note["left_out"] == true));
    for (args, wanted) in [
        (ExportArgs::default(), "--to FORMAT"),
        (at("yesterday"), "is no time"),
        (
            ExportArgs { group: Some("nobodys".into()), ..args(Target::AllowedSigners) },
            "nobody is in the group",
        ),
        (
            ExportArgs { principal: Some("alcie".into()), ..args(Target::AllowedSigners) },
            "did you mean `alice`",
        ),
        (ExportArgs { binary: true, ..args(Target::ArgoCd) }, "--binary"),
        (
            ExportArgs { mode: Some("HEAD".into()), ..args(Target::ArgoCdAppProject) },
            "the modes are strict, head",
        ),
        (args(Target::ArgoCdAppProject), "--url"),
        (ExportArgs { name: Some("x\ny".into()), ..args(Target::FluxSecret) }, "cannot name anything"),
        (
            ExportArgs {
                principal: Some("alice".into()),
                urls: vec!["*".into()],
                ..args(Target::ArgoCdAppProject)
            },
            "an empty list would not mean that nobody is accepted",
        ),
        (
            ExportArgs {
                repo: Some("a".into()),
                reference: Some("refs/heads/main".into()),
                ..args(Target::OpenPgp)
            },
            "need a configuration",
        ),
    ] {
        let error = export(args).unwrap_err();
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Whatever is exported comes back as the same keys with the same windows.
    #[test]
    fn what_is_exported_comes_back(
        people in proptest::collection::vec(
            (1_u8..200, proptest::option::of(1_600_000_000_i64..1_700_000_000), proptest::option::of(1_900_000_000_i64..2_000_000_000), any::<bool>()),
            1..6,
        ),
        flux in any::<bool>(),
    ) {
        let ring = Ring::new();
        let mut used = BTreeSet::new();
        for (index, (seed, from, until, p256)) in people.into_iter().enumerate() {
            if !used.insert(seed) {
                continue;
            }
            let key = if p256 { Key::p256(seed) } else { Key::ed25519(seed) };
            let mut text = format!("name = \"p{index}\"\nemails = [\"p{index}@example.org\"]\n[[key]]\nssh = \"{}\"\n", key.line());
            for (name, time) in [("valid-from", from), ("valid-until", until)] {
                if let Some(time) = time.filter(|_| !flux) {
                    text.push_str(&format!("{name} = {}\n", Timestamp::from_second(time).unwrap()));
                }
            }
            ring.write(&format!("p{index}.toml"), &text);
        }
        ring.write("release.toml", &format!("name = \"release\"\n[[key]]\nopenpgp = \"\"\"\n{RELEASE}\"\"\"\n"));
        let keyring = ring.load();
        let at: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let said = |keyring: &Keyring, ssh_only: bool| -> BTreeMap<String, String> {
            let keys = keyring.keys().iter().filter(|key| !ssh_only || matches!(key.material, Material::Ssh(_)));
            keys.map(|key| (key.material.fingerprint(), format!("{} {:?}", key.principal.name, key.windows))).collect()
        };
        let back = Ring::new();
        if flux {
            let export = chosen(&keyring, Target::FluxSecret, at, false);
            let manifest = countersign::keyring::export::Manifest { name: "k".into(), namespace: "n".into(), ..Default::default() };
            let text = countersign::keyring::export::flux_secret(&export, &manifest);
            import(back.path(), &[ImportRequest::of(Path::new("s.yaml"), text.into_bytes())]).unwrap();
        } else {
            let text = allowed_signers(&mut chosen(&keyring, Target::AllowedSigners, at, false));
            import(back.path(), &[ImportRequest::of(Path::new("s"), text.into_bytes())]).unwrap();
        }
        prop_assert_eq!(said(&back.load(), !flux), said(&keyring, !flux));
    }
}

pub(crate) const CONFIG: &str = r#"[daemon]
socket = "run/hook.sock"
state = "state"

[keyring]
path = "keyring"

[repositories]
root = "repositories"

[policy]
uncovered = "accept"

[[ruleset]]
name = "production"
repositories = ["infra/**"]
refs = ["refs/heads/main"]
enforcement = "enforce"

[ruleset.refuse]
unsigned-commit = true
untrusted-signer = { allow = ["group:sre"] }

[[ruleset]]
name = "default-branches"
repositories = ["infra/**"]
refs = ["~DEFAULT"]
enforcement = "enforce"

[ruleset.refuse]
untrusted-signer = { deny = ["person:zoe"] }

[[ruleset]]
name = "touched"
repositories = ["infra/**"]
refs = ["refs/heads/release"]
enforcement = "enforce"

[ruleset.refuse]
missing-user-presence = true
"#;

#[test]
fn only_keys_that_the_rulesets_of_a_ref_accept_go_out() {
    let place = tempfile::tempdir().unwrap();
    crate::chmod(place.path(), 0o755);
    let ring = place.path().join("keyring");
    fs::create_dir(&ring).unwrap();
    crate::chmod(&ring, 0o755);
    fs::create_dir(place.path().join("repositories")).unwrap();
    for (name, seed, group) in [("alice", 1, "sre"), ("bob", 2, "dev"), ("zoe", 3, "sre")] {
        let path = ring.join(format!("{name}.toml"));
        let key = Key::ed25519(seed).line();
        fs::write(&path, format!("name = \"{name}\"\ngroups = [\"{group}\"]\n[[key]]\nssh = \"{key}\"\n"))
            .unwrap();
        crate::chmod(&path, 0o644);
    }
    let authority = Key::ed25519(9).line();
    let path = ring.join("cas.toml");
    fs::write(&path, format!("name = \"cas\"\n[[authority]]\nssh = \"{authority}\"\nprincipals = [\"*\"]\n"))
        .unwrap();
    crate::chmod(&path, 0o644);
    let config = place.path().join("countersign.toml");
    fs::write(&config, CONFIG).unwrap();
    crate::chmod(&config, 0o644);
    let export = |reference: &str, repo: &str, wider: bool| {
        let args = ExportArgs {
            repo: Some(repo.into()),
            reference: Some(reference.into()),
            at: None,
            wider,
            ..args(Target::AllowedSigners)
        };
        let args = countersign::cli::keyring::KeyringArgs {
            keyring: None,
            sign_with: None,
            command: KeyringCommand::Export(args),
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = countersign::cli::keyring::run(&args, &config, Format::Text, &mut out, &mut err);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        code.map(|_| (text(out), text(err))).map_err(|error| (error.code, error.to_string()))
    };
    let (out, err) = export("refs/heads/main", "infra/app", false).unwrap();
    assert!(out.starts_with("alice namespaces") && out.lines().count() == 1, "{out}{err}");
    assert!(err.contains("left out") && err.contains("do not accept everybody whom it certifies"), "{err}");
    let (out, _) = export("refs/heads/main", "infra/app", true).unwrap();
    assert_eq!(out.lines().count(), 2, "alice and the authority, which is wider");
    // It may be the default branch.
    let (out, _) = export("refs/heads/other", "infra/app", false).unwrap();
    assert_eq!(out.lines().map(|line| line.split(' ').next().unwrap()).collect::<Vec<_>>(), ["alice", "bob"]);
    let (out, err) = export("refs/heads/release", "infra/app", false).unwrap();
    assert!(out.is_empty() && err.contains("what the rule `missing-user-presence` asks"), "{out}{err}");
    let (code, error) = export("refs/heads/main", "other", false).unwrap_err();
    assert!(code == 1 && error.contains("no enforced ruleset asks who signed"), "{error}");
    assert_eq!(export("main", "infra/app", false).unwrap_err().0, 2);
}

/// What is known to end people or keys later ends the authorities with them: the file may be old by then.
#[test]
fn n14_an_authority_goes_out_until_the_next_suspension_or_revocation_begins() {
    let (authority, key) = (Key::ed25519(5), Key::ed25519(6));
    let when = Timestamp::from_second(now() + 9 * DAY).unwrap();
    for other in [
        format!("suspended = {{ at = {when}, reason = \"leaves\" }}\n"),
        format!("[[key]]\nssh = \"{}\"\nrevoked = {{ at = {when}, reason = \"retired\" }}\n", key.line()),
    ] {
        let ring = Ring::new();
        let table = format!("[[authority]]\nssh = \"{}\"\nprincipals = [\"*\"]\n", authority.line());
        ring.write("cas.toml", &format!("name = \"cas\"\n{table}"));
        ring.write("alice.toml", &format!("name = \"alice\"\n{other}"));
        let written = signers_file(&ring.load(), false);
        let line = written.lines().find(|line| line.contains("cert-authority")).unwrap();
        assert!(line.contains("valid-before="), "{line}");
    }
}
