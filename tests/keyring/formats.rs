//! `countersign keyring import`: every other format, and what nobody should be able to sneak in.

use crate::craft::Key;
use crate::gnupg::{Gpg, NOW};
use crate::{Ring, cli_run, run};
use countersign::cli::common::Format;
use countersign::cli::keyring::{ImportArgs, KeyringCommand};
use countersign::keyring::{EditError, FileFormat, ImportRequest, Imported, import};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

fn key(seed: u8) -> String {
    Key::ed25519(seed).line()
}

fn file(name: &str, bytes: impl AsRef<[u8]>) -> ImportRequest {
    ImportRequest::of(Path::new(name), bytes.as_ref().to_vec())
}

fn named(request: ImportRequest, pairs: &[(&str, &str)]) -> ImportRequest {
    let names: BTreeMap<String, String> =
        pairs.iter().map(|(who, name)| ((*who).to_owned(), (*name).to_owned())).collect();
    ImportRequest { names, ..request }
}

fn of(request: ImportRequest, name: &str) -> ImportRequest {
    ImportRequest { principal: Some(name.to_owned()), ..request }
}

fn done(ring: &Ring, request: ImportRequest) -> Imported {
    import(ring.path(), &[request]).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(ring: &Ring, request: ImportRequest) -> String {
    let before = files(ring);
    let error = import(ring.path(), &[request]).expect_err("this must be refused").to_string();
    assert_eq!(files(ring), before, "nothing is written");
    error
}

fn files(ring: &Ring) -> Vec<(String, String)> {
    let mut all: Vec<_> = fs::read_dir(ring.path())
        .unwrap()
        .map(|one| one.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap())
        })
        .collect();
    all.sort();
    all
}

/// Everybody's keys: name, fingerprint.
fn held(ring: &Ring) -> Vec<(String, String)> {
    ring.load().keys().iter().map(|key| (key.principal.name.clone(), key.material.fingerprint())).collect()
}

/// A second run changes nothing.
fn again(ring: &Ring, request: ImportRequest) {
    let before = files(ring);
    let seen = done(ring, request);
    assert!(seen.files.is_empty() && seen.unchanged > 0, "{seen:?}");
    assert_eq!(files(ring), before);
}

#[test]
fn public_keys_need_somebody_to_say_whose_they_are() {
    let ring = Ring::new();
    let text = format!("# two\n{} alice@laptop\n\n{} \n", key(1), key(2));
    let error = refused(&ring, file("keys.pub", &text));
    assert!(error.contains("keys.pub:2:1") && error.contains("keys.pub:4:1"), "{error}");
    assert!(error.contains("--name SHA256:") && error.contains("comments prove nothing"), "{error}");
    let seen = done(&ring, of(file("keys.pub", &text), "alice"));
    assert_eq!((seen.sources[0].format, seen.files[0].added), (FileFormat::Pub, 2));
    assert!(files(&ring)[0].1.contains("alice@laptop"), "the comment is kept");
    again(&ring, file("keys.pub", &text));
    // One of them is somebody else's now.
    let error = refused(&ring, of(file("keys.pub", &text), "bob"));
    assert!(error.contains("is held by `alice` already"), "{error}");
    let third = Key::ed25519(3);
    let fingerprint = run("ssh-keygen", &["-lf", "/dev/stdin"], ring.path(), third.line().as_bytes());
    let fingerprint = String::from_utf8(fingerprint).unwrap();
    let fingerprint = fingerprint.split(' ').nth(1).unwrap();
    done(&ring, named(file("id.pub", third.line()), &[(fingerprint, "carol")]));
    assert_eq!(
        held(&ring).iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["alice", "alice", "carol"]
    );
}

#[test]
fn authorized_keys_say_more_than_keys() {
    let ring = Ring::new();
    let sk = Key::ed25519(9).fido("ssh:").line();
    let text = format!(
        "restrict,pty,no-X11-forwarding {} a\nexpiry-time=\"20300101Z\" {} b\nverify-required {sk} c\n\
         cert-authority,principals=\"alice,bob\" {} ca\n",
        key(1),
        key(2),
        key(4)
    );
    let request = || of(file("authorized_keys", &text), "alice");
    let seen = done(&ring, request());
    assert_eq!(seen.sources[0].format, FileFormat::AuthorizedKeys);
    let keyring = ring.load();
    assert_eq!(keyring.keys().len(), 3);
    assert_eq!(keyring.keys()[1].windows.ends(), Some(crate::time("2030-01-01T00:00:00Z")));
    assert!(keyring.keys()[2].fido.user_verification.is_some());
    assert_eq!(keyring.authorities()[0].scopes[0].patterns, ["alice", "bob"]);
    again(&ring, request());
    for (line, wanted) in [
        (format!("command=\"/bin/true\" {}", key(5)), "authorized_keys:1:1"),
        (format!("pty,command=\"a \\\" b\" {}", key(5)), "the option `command`"),
        (format!("from=\"10.0.0.0/8\" {}", key(5)), "the option `from`"),
        (format!("no-touch-required {}", key(5)), "the option `no-touch-required`"),
        (format!("restrict,shiny {}", key(5)), "the option `shiny`"),
        (format!("cert-authority {}", key(5)), "whom it may certify"),
        (format!("cert-authority,principals=\"*\" {}", key(5)), "the principals cannot be read"),
        (format!("principals=\"alice\" {}", key(5)), "goes with `cert-authority`"),
        (format!("expiry-time=\"20300101\" {}", key(5)), "names no time zone"),
        (format!("verify-required {}", key(5)), "this is none"),
        (format!("restrict \"{}", key(5)), "public key"),
        (format!("restrict,command=\"x {}", key(5)), "no other one"),
        ("restrict".to_owned(), "no key behind"),
        (
            format!("restrict {}\nrestrict ssh-ed25519-cert-v01@openssh.com AAAA", key(5)),
            "authorized_keys:2:10",
        ),
    ] {
        let error = refused(&ring, of(file("authorized_keys", &line), "alice"));
        assert!(error.contains(wanted), "{line}\n{error}");
    }
    let gitolite = format!("command=\"gitolite-shell dora\",restrict {}\n", key(6));
    let ignoring =
        ImportRequest { ignored_options: vec!["command".into()], ..file("authorized_keys", gitolite) };
    done(&ring, of(ignoring, "dora"));
}

#[test]
fn a_forges_files_are_their_users_and_nobodys_who_is_there() {
    let ring = Ring::new();
    let keys = format!("{}\n{}\n", key(1), key(2));
    let seen = done(&ring, file("Dora.keys", &keys));
    assert_eq!(seen.sources[0].format, FileFormat::Forge);
    assert_eq!(held(&ring)[0].0, "dora");
    again(&ring, file("dora.keys", &keys));
    // The account of that name on a forge need not be the same person.
    let error = refused(&ring, file("dora.keys", format!("{keys}{}\n", key(3))));
    assert!(error.contains("claims to be of `dora`, who is in the keyring"), "{error}");
    done(&ring, of(file("dora.keys", format!("{keys}{}\n", key(3))), "dora"));
    assert_eq!(held(&ring).len(), 3);
    let gpg = Gpg::new();
    let one = gpg.generate(NOW, "ed25519", "sign", "never");
    let armor = gpg.export(&one);
    let asked = ImportRequest { format: Some(FileFormat::Forge), ..file("emil.gpg", &armor) };
    done(&ring, asked.clone());
    assert!(held(&ring).contains(&("emil".to_owned(), one)));
    again(&ring, asked);
    let empty = "-----BEGIN PGP PUBLIC KEY BLOCK-----\nNote: no keys.\n\n\n=twTO\n-----END PGP PUBLIC KEY BLOCK-----\n";
    refused(&ring, file("nobody.gpg", empty));
    let error = refused(&ring, file("no body.keys", key(7)));
    assert!(error.contains("nothing in the file says whose"), "{error}");
}

#[test]
fn certificates_go_to_whom_they_name_unless_that_is_somebody() {
    let gpg = Gpg::new();
    let make = |id: &str| {
        let said =
            gpg.run(NOW, &["--status-fd", "1", "--quick-gen-key", id, "ed25519", "sign", "never"], b"");
        let said = String::from_utf8(said).unwrap();
        said.lines().find_map(|line| line.strip_prefix("[GNUPG:] KEY_CREATED P ")).unwrap().to_owned()
    };
    let alice = make("Alice (test key) <alice@example.org>");
    let bob = make("Bob (test key) <bob@example.org>");
    gpg.run(NOW, &["--quick-add-uid", &alice, "Alice (test key) <alice@example.com>"], b"");
    gpg.run(NOW, &["--quick-add-uid", &alice, "Alice without an address"], b"");
    let ring = Ring::new();
    ring.write("carol.toml", "name = \"carol\"\nemails = [\"c@example.org\"]\naccounts = [\"carol\"]\n");
    let (armored, binary) = (gpg.run(NOW, &["--armor", "--export"], b""), gpg.run(NOW, &["--export"], b""));
    let seen = done(&ring, file("team.asc", &armored));
    assert_eq!((seen.sources[0].format, seen.sources[0].entries), (FileFormat::OpenPgp, 2));
    assert_eq!(held(&ring), [("alice".to_owned(), alice.clone()), ("bob".to_owned(), bob.clone())]);
    let keyring = ring.load();
    let mut emails = keyring.principal("alice").unwrap().emails.clone();
    emails.sort();
    assert_eq!(emails, ["alice@example.com", "alice@example.org"]);
    again(&ring, file("team.asc", &armored));
    again(&ring, file("team.gpg", &binary));

    // A key that says it is of somebody who is there gets nothing by that.
    for (id, wanted) in [
        ("Mallory (test key) <c@example.org>", "claims to be of `carol`"),
        ("Mallory (test key) <carol@evil.example>", "claims to be of `carol`"),
        ("Mallory (test key) <alice@example.com>", "claims to be of `alice`"),
        ("nobody at all, a test key", "nothing in the file says whose"),
        ("../x (test key) <..@example.org>", "cannot name a principal"),
    ] {
        let other = Gpg::new();
        other.run(NOW, &["--quick-gen-key", id, "ed25519", "sign", "never"], b"");
        let fingerprint = other.fingerprints()[0].clone();
        let armor = other.export(&fingerprint);
        let error = refused(&ring, file("m.asc", &armor));
        assert!(error.contains(wanted) && error.contains(&format!("--name {fingerprint}=")), "{id}\n{error}");
    }
    let other = Gpg::new();
    other.run(
        NOW,
        &["--quick-gen-key", "Dora (test key) <dora@example.org>", "ed25519", "sign", "never"],
        b"",
    );
    let dora = other.fingerprints()[0].clone();
    other.run(NOW, &["--quick-add-uid", &dora, "Dora (test key) <ds@example.com>"], b"");
    let armor = other.export(&dora);
    let error = refused(&ring, file("d.asc", &armor));
    assert!(error.contains("several addresses, and they differ"), "{error}");
    done(&ring, named(file("d.asc", &armor), &[(&dora, "carol")]));
    assert_eq!(ring.load().principal("carol").unwrap().emails, ["c@example.org"], "claims add no address");
}

#[test]
fn a_newer_copy_takes_the_place_of_the_one_that_is_there_and_an_older_one_does_not() {
    let gpg = Gpg::new();
    let fingerprint = gpg.generate(NOW - 86_400, "ed25519", "sign", "2d");
    let old = gpg.export(&fingerprint);
    let ring = Ring::new();
    done(&ring, of(file("k.asc", &old), "alice"));
    gpg.run(NOW, &["--quick-set-expire", &fingerprint, "1y"], b"");
    let new = gpg.export(&fingerprint);
    let seen = done(&ring, file("k.asc", &new));
    assert_eq!((seen.files.len(), seen.files[0].updated, seen.files[0].added), (1, 1, 0));
    assert!(seen.files[0].diff.contains("--- alice.toml"));
    again(&ring, file("k.asc", &new));
    again(&ring, file("k.asc", &old));
    let revocation = gpg.prepared_revocation(&fingerprint);
    let revoked = [&new[..], &revocation].concat();
    let seen = done(&ring, file("k.asc", &revoked));
    assert_eq!(seen.files[0].updated, 1);
    assert_eq!(ring.load().keys()[0].standing(crate::time("2026-01-01T00:00:00Z")).name(), "revoked");
    let error = refused(&ring, file("k.asc", &new));
    assert!(error.contains("is revoked in the keyring and not in this copy"), "{error}");
}

#[test]
fn a_gnupg_home_is_read_and_left_as_it_is() {
    let gpg = Gpg::new();
    let fingerprint = gpg.generate(NOW, "ed25519", "sign", "never");
    // Settings of the home that would run a program or change the output.
    fs::write(gpg.home().join("gpg.conf"), "armor\nphoto-viewer \"touch /tmp/never\"\nno-such-option\n")
        .unwrap();
    let _ = fs::remove_file(gpg.home().join("trustdb.gpg"));
    let listing = |path: &Path| {
        let mut all: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|one| one.unwrap())
            .filter(|one| !one.file_name().to_string_lossy().starts_with("S."))
            .map(|one| (one.file_name(), one.metadata().unwrap().modified().unwrap()))
            .collect();
        all.sort();
        all
    };
    let before = listing(gpg.home());
    let ring = Ring::new();
    let args = |home: &Path, dry_run| {
        KeyringCommand::Import(ImportArgs {
            local: false,
            gnupg_home: Some(home.to_owned()),
            authorities: "cas".into(),
            dry_run,
            ..ImportArgs::default()
        })
    };
    let (_, out, _) = cli_run(&ring, args(gpg.home(), true), Format::Text).unwrap();
    assert!(out.contains("+emails = [\"test@example.org\"]") && files(&ring).is_empty(), "{out}");
    cli_run(&ring, args(gpg.home(), false), Format::Text).unwrap();
    assert_eq!(held(&ring), [("test".to_owned(), fingerprint)]);
    assert_eq!(listing(gpg.home()), before, "nothing in the home is touched");
    let (_, out, _) = cli_run(&ring, args(gpg.home(), false), Format::Text).unwrap();
    assert!(out.contains("nothing to do"), "{out}");
    let empty = tempfile::tempdir().unwrap();
    let error = cli_run(&ring, args(empty.path(), false), Format::Text).unwrap_err();
    assert!(error.contains("holds neither `pubring.kbx` nor `pubring.gpg`"), "{error}");
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0, "nothing is made in it");
    fs::write(empty.path().join("pubring.kbx"), b"this is no key box").unwrap();
    assert!(cli_run(&ring, args(empty.path(), false), Format::Text).is_err());
    let kbx = fs::read(gpg.home().join("pubring.kbx")).unwrap();
    let error = refused(&ring, file("pubring.kbx", kbx));
    assert!(error.contains("--gnupg-home"), "{error}");
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect()
}

#[test]
fn argo_cds_config_map_is_read() {
    let gpg = Gpg::new();
    let one = gpg.generate(NOW, "ed25519", "sign", "never");
    let armor = String::from_utf8(gpg.export(&one)).unwrap();
    let id = &one[24..];
    let manifest = |kind: &str, name: &str, id: &str, armor: &str| {
        format!(
            "apiVersion: v1\nkind: {kind}\nmetadata:\n  name: {name}\n  namespace: argocd\ndata:\n  {id}: |\n{}",
            indented(armor, 4)
        )
    };
    let yaml = manifest("ConfigMap", "argocd-gpg-keys-cm", id, &armor);
    let json = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "argocd-gpg-keys-cm"}, "data": {id: armor}});
    let ring = Ring::new();
    let seen = done(&ring, file("cm.yaml", &yaml));
    assert_eq!(seen.sources[0].format, FileFormat::ArgoCd);
    assert_eq!(held(&ring), [("test".to_owned(), one.clone())]);
    again(&ring, file("cm.yaml", &yaml));
    again(&ring, file("cm.json", serde_json::to_string_pretty(&json).unwrap()));
    again(&ring, file("cm.json", json.to_string()));
    for (text, wanted) in [
        (manifest("ConfigMap", "argocd-gpg-keys-cm", "0123456789ABCDEF", &armor), "cm.yaml:7:3"),
        (manifest("ConfigMap", "argocd-gpg-keys-cm", "key", &armor), "is not a key id"),
        (manifest("ConfigMap", "other", id, &armor), "is not `argocd-gpg-keys-cm`"),
        (manifest("Secret", "argocd-gpg-keys-cm", id, &armor), "the value is not base64"),
        (manifest("Pod", "argocd-gpg-keys-cm", id, &armor), "neither a ConfigMap nor a Secret"),
        (manifest("ConfigMap", "argocd-gpg-keys-cm", id, "nothing"), "not an OpenPGP public key"),
        (format!("{yaml}  {id}: |\n    x\n"), "this key is there twice"),
        (format!("{yaml}binaryData:\n  x: aGk=\n"), "`binaryData` is not read here"),
        (yaml.replace("metadata:", "metadata: &a"), "anchors"),
        (yaml.replace(": |", ": !!binary |"), "tags"),
        (yaml.replace("data:", "data: ["), "not YAML"),
    ] {
        let error = refused(&Ring::new(), file("cm.yaml", &text));
        assert!(error.contains(wanted), "{wanted}\n{error}");
    }
    let two = format!(
        "{armor}{}",
        String::from_utf8(gpg.export(&gpg.generate(NOW, "rsa2048", "sign", "never"))).unwrap()
    );
    let error = refused(&Ring::new(), file("cm.yaml", manifest("ConfigMap", "argocd-gpg-keys-cm", id, &two)));
    assert!(error.contains("there are 2 certificates in this value"), "{error}");
}

#[test]
fn a_secret_of_flux_is_read_and_secrets_in_it_are_not_shown() {
    let gpg = Gpg::new();
    let one = gpg.generate(NOW, "ed25519", "sign", "never");
    let armor = String::from_utf8(gpg.export(&one)).unwrap();
    let encoded = data_encoding::BASE64.encode(armor.as_bytes());
    let head =
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: keys\n  namespace: flux-system\ntype: Opaque\n";
    let text = format!(
        "---\n{head}data:\n  team.asc: {encoded}\nstringData:\n  alice.sshpub: {} a\n  bob.sshpub: |\n    {}\n",
        key(1),
        key(2)
    );
    let ring = Ring::new();
    let seen = done(&ring, file("flux.yaml", &text));
    assert_eq!(seen.sources[0].format, FileFormat::Flux);
    let names: Vec<String> = held(&ring).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["alice", "bob", "test"]);
    again(&ring, file("flux.yaml", &text));
    let error = refused(&ring, file("flux.yaml", format!("{head}stringData:\n  alice.sshpub: {}\n", key(3))));
    assert!(error.contains("`alice`, who is in the keyring"), "{error}");
    let by_field = named(
        file("flux.yaml", format!("{head}stringData:\n  alice.sshpub: {}\n", key(3))),
        &[("alice.sshpub", "alice")],
    );
    done(&ring, by_field);

    let dir = tempfile::tempdir().unwrap();
    crate::ssh_key(dir.path(), "id", &["-t", "ed25519"]);
    let private = fs::read_to_string(dir.path().join("id")).unwrap();
    let packed = data_encoding::BASE64.encode(private.as_bytes());
    let secret = gpg.run(NOW, &["--armor", "--export-secret-keys"], b"");
    let secret_packed = data_encoding::BASE64.encode(&secret);
    for text in [
        format!("{head}stringData:\n  identity: |\n{}", indented(&private, 4)),
        format!("{head}data:\n  identity: {packed}\n"),
        format!("{head}data:\n  a.sshpub: {packed}\n"),
        format!("{head}data:\n  a.asc: {secret_packed}\n"),
        format!(
            "{head}stringData:\n  a.asc: |\n{}",
            indented(&String::from_utf8(secret.clone()).unwrap(), 4)
        ),
        format!("{head}data:\n  password: {packed}\n"),
        private.clone(),
        String::from_utf8(secret.clone()).unwrap(),
    ] {
        let error = refused(&ring, file("flux.yaml", &text));
        assert!(error.contains("private key") || error.contains("neither `.asc`"), "{error}");
        let lines = private.lines().chain(packed.as_str().lines()).chain(secret_packed.lines());
        for line in lines.filter(|line| line.len() > 8 && !line.starts_with('-')) {
            assert!(!error.contains(&line[..8]), "{error}");
        }
        assert!(error.contains("flux.yaml:"), "{error}");
    }
    for (text, wanted) in [
        (format!("{head}data:\n  a.sshpub: '%%%'\n"), "not base64"),
        (format!("{head}stringData:\n  a.sshpub: ''\n"), "no key in this value"),
        (format!("{head}stringData:\n  a.sshpub: ssh-ed25519 AAAA\n"), "flux.yaml:8:3"),
        (format!("{head}stringData:\n  a.sshpub: restrict {}\n", key(1)), "options in front of the key"),
        (format!("{head}stringData: [a]\n"), "not a mapping"),
        (format!("{head}stringData:\n  a.sshpub: {}\n---\nkind: Pod\n", key(5)), "this is `Pod`"),
    ] {
        let error = refused(&ring, file("flux.yaml", &text));
        assert!(error.contains(wanted), "{wanted}\n{error}");
    }
}

#[test]
fn hostile_files_are_refused_in_time_and_with_a_place() {
    let ring = Ring::new();
    let begin = Instant::now();
    let junk: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let laughs = "apiVersion: v1\nkind: Secret\na: &a [x,x]\nb: [*a,*a]\n";
    let deep = format!("apiVersion: v1\nkind: Secret\ndata: {}", "[".repeat(1 << 20));
    let long = format!("ssh-ed25519 {}\n", "A".repeat(1 << 20));
    let many = "x\n".repeat(300_000);
    let packet = [&[0x99, 0xff, 0xff][..], &[0; 70]].concat();
    let flood: Vec<u8> = [0xcd, 0x01, b'x'].repeat(1 << 20);
    let cases: [(&str, Vec<u8>, &str); 12] = [
        ("a", junk, "neither text nor OpenPGP"),
        ("a", b"\0\0\0\0\0\0\0\0KBXf".to_vec(), "key box"),
        ("a", laughs.into(), "a:3:4"),
        ("a", deep.into_bytes(), "error"),
        ("a.pub", long.into_bytes(), "longer than 32 KiB"),
        ("a.pub", many.clone().into_bytes(), "in no format that is known"),
        ("authorized_keys", many.into_bytes(), "authorized_keys:50:1"),
        ("a.gpg", packet, "it ends too early"),
        ("a.gpg", flood, "not part of a public key"),
        ("a", Vec::new(), "nothing in the file"),
        ("a", b"# only a comment\n".to_vec(), "nothing in the file"),
        ("a", vec![0x99; (64 << 20) + 1], "larger than 64 MiB"),
    ];
    for (name, bytes, wanted) in cases {
        let error = refused(&ring, file(name, bytes));
        assert!(error.contains(wanted), "{wanted}\n{}", &error[..error.len().min(2000)]);
    }
    assert!(begin.elapsed().as_secs() < 60, "{:?}", begin.elapsed());
}

#[test]
fn a_certificate_that_too_many_have_signed_is_refused_with_the_way_out() {
    let gpg = Gpg::new();
    let one = gpg.generate(NOW, "ed25519", "sign", "never");
    let binary = gpg.run(NOW, &["--export", &one], b"");
    // The same foreign-looking signature again and again: an unreadable one costs no arithmetic.
    let junk = [&[0x89, 0x01, 0x00, 9][..], &[7; 255]].concat();
    let flooded = [&binary[..], &junk.repeat(5_000)].concat();
    let error = refused(&Ring::new(), file("k.gpg", flooded));
    assert!(error.contains("1 MiB is the most") && error.contains("export-minimal"), "{error}");
    let some = [&binary[..], &junk.repeat(1_000)].concat();
    let ring = Ring::new();
    done(&ring, file("k.gpg", &some));
    again(&ring, file("k.gpg", &binary));
}

/// A real signature of somebody else on the key, thousands of times: as on a key server that lets everybody sign.
#[test]
fn a_certificate_with_thousands_of_real_signatures_by_others() {
    let gpg = Gpg::new();
    let one = gpg.generate(NOW, "ed25519", "sign,cert", "never");
    let plain = gpg.run(NOW, &["--export", &one], b"");
    let other = gpg.generate(NOW, "rsa2048", "sign,cert", "never");
    gpg.run(NOW, &["--default-key", &other, "--quick-sign-key", &one], b"");
    let certified = gpg.run(NOW, &["--export", &one], b"");
    let by_other = certified.strip_prefix(&plain[..]).expect("it stands behind the user id").to_vec();
    assert!(by_other.len() > 250 && gpg.packets(&certified).contains(&other[24..]));
    let flooded = |times: usize| [&plain[..], &by_other.repeat(times)].concat();

    // Below the cap it is read, in a moment, and nothing of it goes out again.
    let (ring, began) = (Ring::new(), Instant::now());
    done(&ring, file("k.gpg", flooded(3_000)));
    assert_eq!(held(&ring), [("test".to_owned(), one.clone())]);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    let exported = {
        use countersign::keyring::export::{Selection, Target, openpgp};
        let (keyring, rules) = (ring.load(), countersign::signature::Rules::default());
        let selection = Selection {
            target: Target::OpenPgp,
            at: countersign::domain::Timestamp::now(),
            group: None,
            principal: None,
            rules: &rules,
            asked: &[],
            restricted: false,
            wider: false,
        };
        openpgp(&keyring.export(&selection, &|_| true), true)
    };
    assert!(exported.len() <= plain.len(), "{} bytes", exported.len());

    // Above it, every command that takes a certificate says how large one may be, and the way out.
    let large = flooded(5_000);
    let path = tempfile::NamedTempFile::new().unwrap();
    fs::write(path.path(), &large).unwrap();
    let named = path.path().to_str().unwrap();
    for words in [
        &["import", named, "--as", "openpgp"][..],
        &["add", "eve", "--key", named],
        &["rotate", "test", "--key", named],
        &["refresh", "test", "--key", named],
    ] {
        let before = files(&ring);
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(["keyring", "--keyring"])
            .arg(ring.path())
            .args(words)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {error}");
        assert!(error.contains("1 MiB") && error.contains("export-minimal"), "{words:?}: {error}");
        assert_eq!(files(&ring), before, "{words:?}");
    }
    // And what the message says works.
    let minimal = gpg.run(NOW, &["--export-options", "export-minimal", "--export", &one], b"");
    assert!(minimal.len() <= plain.len());
    done(&Ring::new(), file("k.gpg", minimal));
}

#[test]
fn several_files_are_one_change() {
    let ring = Ring::new();
    let one = file("alice.keys", key(1));
    let bad = file("bob.keys", "octopus");
    assert!(matches!(import(ring.path(), &[one.clone(), bad]), Err(EditError::Import(_))));
    assert!(files(&ring).is_empty());
    let twice = file("bob.keys", key(1));
    let error = import(ring.path(), &[one.clone(), twice]).unwrap_err().to_string();
    assert!(error.contains("held by `alice` already, by an earlier entry"), "{error}");
    import(ring.path(), &[one, file("bob.keys", key(2))]).unwrap();
    assert_eq!(files(&ring).len(), 2);
    let missing = KeyringCommand::Import(ImportArgs {
        local: false,
        files: vec![PathBuf::from("/nowhere/x.pub")],
        authorities: "cas".into(),
        ..ImportArgs::default()
    });
    assert!(cli_run(&ring, missing, Format::Text).unwrap_err().contains("cannot read"));
}

const RELEASE: &str = include_str!("../golden/keyring/release.asc");
const CONFIG_MAP: &str = include_str!("../golden/keyring/argocd-gpg-keys-cm.yaml");
const SECRET: &str = include_str!("../golden/keyring/flux-secret.yaml");

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 200, ..Default::default() })]
    /// A file that somebody damaged is read as it is, or refused: it never ends the program, and never leaves half
    /// of it in the keyring.
    #[test]
    fn damaged_files_never_do_harm(
        which in 0_usize..5,
        format in 0_usize..8,
        changes in proptest::collection::vec((0_usize..4000, proptest::prelude::any::<u8>()), 0..4),
        cut in 0_usize..4000,
    ) {
        let lines = format!("restrict {}\nexpiry-time=\"20300101Z\" {} x\n", key(1), key(2));
        let signers = format!("a@x {}\n*@y cert-authority {}\n", key(1), key(2));
        let mut bytes = [RELEASE, CONFIG_MAP, SECRET, &lines, &signers][which].as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if cut % 3 == 0 {
            bytes.truncate(cut % bytes.len());
        }
        let ring = Ring::new();
        let format = FileFormat::ALL.get(format).copied();
        let request = ImportRequest { format, ..of(file("alice.keys", &bytes), "alice") };
        match import(ring.path(), &[request]) {
            Ok(seen) => {
                let added: usize = seen.files.iter().map(|file| file.added).sum();
                let keyring = ring.load();
                proptest::prop_assert_eq!(added, keyring.keys().len() + keyring.authorities().len());
            }
            Err(error) => {
                proptest::prop_assert!(files(&ring).is_empty());
                proptest::prop_assert!(error.to_string().contains("alice"), "{}", error);
            }
        }
    }
}

/// Whoever makes a key writes into it what he likes: a name that two keys of a file go by is nobody's.
#[test]
fn an_address_that_two_certificates_claim_names_neither() {
    let (one, two, dir) = (Gpg::new(), Gpg::new(), Ring::new());
    for gpg in [&one, &two] {
        gpg.run(
            NOW,
            &["--quick-gen-key", "Alice (test key) <alice@example.org>", "ed25519", "sign", "never"],
            b"",
        );
    }
    let (mine, theirs) = (one.fingerprints()[0].clone(), two.fingerprints()[0].clone());
    let both = [one.export(&mine), two.export(&theirs)].concat();
    let error = refused(&dir, named(file("team.asc", &both), &[("alice@example.org", "alice")]));
    assert!(error.contains("several keys go by `alice@example.org`"), "{error}");
    assert!(error.contains(&format!("--name {mine}=")) && error.contains(&theirs), "{error}");
    // Alone it is enough, and so is the fingerprint.
    done(&dir, named(file("team.asc", &both), &[(&mine, "alice"), (&theirs, "mallory")]));
    let mut held = held(&dir);
    held.sort();
    let mut wanted = [("alice".to_owned(), mine.clone()), ("mallory".to_owned(), theirs)];
    wanted.sort();
    assert_eq!(held, wanted);
    let alone = Ring::new();
    done(&alone, named(file("alice.asc", one.export(&mine)), &[("alice@example.org", "alice")]));
}

#[test]
fn a_long_file_of_which_nobody_says_whose_it_is_is_refused_soon() {
    let ring = Ring::new();
    let line = |number| format!("{} {}\n", super::numbered_key(number), "x".repeat(100));
    let text: String = (0..20_000).map(line).collect();
    let begin = std::time::Instant::now();
    let error = refused(&ring, file("authorized_keys", text));
    assert!(error.contains("nothing in the file says whose"), "{}", &error[..200]);
    assert!(error.len() < 1 << 20, "{} bytes of faults", error.len());
    assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
}
