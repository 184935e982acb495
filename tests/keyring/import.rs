//! `countersign keyring import`: from an `allowed_signers` file to principals' files.

use crate::craft::Key;
use crate::{Ring, cli_run, time};
use countersign::cli::common::Format;
use countersign::cli::keyring::{ImportArgs, KeyringCommand};
use countersign::keyring::{AllowedSigners, EditError, FileFormat, ImportRequest, Imported, Keyring, import};
use std::fs;
use std::path::{Path, PathBuf};

fn request(text: &str) -> ImportRequest {
    ImportRequest {
        file: AllowedSigners { path: PathBuf::from("signers"), groups: vec!["staff".into()], zone: None },
        authorities: "cas".into(),
        format: Some(FileFormat::AllowedSigners),
        ..ImportRequest::of(Path::new("signers"), text.as_bytes().to_vec())
    }
}

fn run(ring: &Ring, text: &str) -> Result<Imported, EditError> {
    import(ring.path(), &[request(text)])
}

fn names(ring: &Ring) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(ring.path())
        .unwrap()
        .map(|one| one.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

fn key(seed: u8) -> String {
    Key::ed25519(seed).line()
}

#[test]
fn lines_become_files_and_a_second_run_changes_nothing() {
    let ring = Ring::new();
    ring.write("bob.toml", "name = \"bob\" # kept\nemails = [\"bob@example.org\"]\n");
    let text = format!(
        "# people\nAlice.S@example.org valid-after=\"20260101Z\",valid-before=\"20261231Z\" {}\n\
         alice.s@other.org,Alice.S@example.org {}\nbob@example.org {}\n\
         x@y namespaces=\"file\" {}\n*@example.org,!root@* cert-authority {}\n",
        key(1),
        key(2),
        key(3),
        key(4),
        key(5)
    );
    let plan = import(ring.path(), &[ImportRequest { dry_run: true, ..request(&text) }]).unwrap();
    assert_eq!((plan.files.len(), names(&ring)), (3, vec!["bob.toml".to_owned()]), "nothing is written");
    let done = run(&ring, &text).unwrap();
    assert_eq!(done, plan);
    assert_eq!(done.sources[0].skipped, [5]);
    assert_eq!(names(&ring), ["alice.s.toml", "bob.toml", "cas.toml"]);
    let keyring = ring.load();
    let alice = keyring.principal("alice.s").unwrap();
    assert_eq!(alice.emails, ["Alice.S@example.org", "alice.s@other.org"]);
    assert_eq!(alice.groups, ["staff"]);
    let held: Vec<&str> = keyring.keys().iter().map(|key| key.principal.name.as_str()).collect();
    assert_eq!(held, ["alice.s", "alice.s", "bob"]);
    let windows = &keyring.keys()[0].windows;
    assert_eq!(windows.begins(), Some(time("2026-01-01T00:00:00Z")));
    assert_eq!(windows.ends(), Some(time("2026-12-31T00:00:01Z")), "its last second counts");
    let scope = &keyring.authorities()[0].scopes[0];
    assert_eq!(
        (&scope.patterns[..], &scope.groups[..]),
        (&["*@example.org".to_owned(), "!root@*".into()][..], &["staff".to_owned()][..])
    );
    assert!(fs::read_to_string(ring.path().join("bob.toml")).unwrap().contains("# kept"));
    let again = run(&ring, &text).unwrap();
    assert_eq!((again.files.len(), again.unchanged), (0, 4));
    assert_eq!(ring.load().digest(), keyring.digest());
}

#[test]
fn one_fault_writes_nothing_and_says_where() {
    for (text, wanted) in [
        (format!("a@x {}\nb@x octopus {}\n", key(1), key(2)), "signers:2:5"),
        (format!("a@x {}\nb@x {}\n", key(1), key(1)), "is held by `a` already"),
        (format!("a@x {0}\na@x valid-before=\"20200101Z\" {0}\n", key(1)), "signers:2:1"),
        (format!("a@x {}\na@y {}\n", key(1), key(2)), "an earlier line is for another `a`"),
        (
            format!("a@x {}\nbob@x {}\n", key(1), key(2)),
            "`bob` is in the keyring and has none of these addresses",
        ),
        (format!("a@x {}\n\"@\" {}\n", key(1), key(2)), "cannot name a principal"),
        (format!("a@x {}\n* cert-authority {}\n", key(1), key(1)), "is an authority"),
        (format!("a@x {}\nbob@example.org {}\n", key(1), key(9)), "is held by `eve` already"),
        (format!("a@x {}\neve@x {}\n", key(1), key(9)), "another window"),
        (format!("a@x valid-before=\"20300101\" {}\n", key(1)), "names no time zone"),
    ] {
        let ring = Ring::new();
        ring.write("bob.toml", "name = \"bob\"\nemails = [\"bob@example.org\"]\n");
        ring.write("eve.toml", &format!("name = \"eve\"\nemails = [\"eve@x\"]\n[[key]]\nssh = \"{}\"\nvalid-until = 2020-01-01T00:00:00Z\n", key(9)));
        let before = names(&ring);
        let seen = run(&ring, &text).unwrap_err().to_string();
        assert!(seen.contains(wanted), "{wanted}\n{seen}");
        assert_eq!(names(&ring), before, "{wanted}");
    }
}

#[test]
fn names_may_be_given_and_then_a_second_run_is_none() {
    let ring = Ring::new();
    let text = format!("\"Alice Smith\" {}\na@x {}\na@y {}\n", key(1), key(2), key(3));
    let with = |pairs: &[(&str, &str)]| ImportRequest {
        names: pairs.iter().map(|(word, name)| ((*word).to_owned(), (*name).to_owned())).collect(),
        ..request(&text)
    };
    assert!(import(ring.path(), &[request(&text)]).is_err());
    import(ring.path(), &[with(&[("a@y", "anton")])]).unwrap();
    assert_eq!(names(&ring), ["a.toml", "alice-smith.toml", "anton.toml"]);
    assert_eq!(import(ring.path(), &[request(&text)]).unwrap().unchanged, 3);
    assert!(import(ring.path(), &[with(&[("a@y", "../x")])]).is_err());
}

#[test]
fn the_command_line_imports() {
    let ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("signers");
    fs::write(&file, format!("ann@example.org valid-before=\"20300101\" {}\n", key(1))).unwrap();
    let args = |dry_run: bool, timezone: Option<&str>| {
        KeyringCommand::Import(ImportArgs {
            local: false,
            files: vec![file.clone()],
            allowed_signers: true,
            dry_run,
            timezone: timezone.map(str::to_owned),
            authorities: "ssh-authorities".into(),
            ..ImportArgs::default()
        })
    };
    let error = cli_run(&ring, args(false, None), Format::Text).unwrap_err();
    assert!(error.contains("signers:1:"), "{error}");
    assert!(cli_run(&ring, args(false, Some("Nowhere/Else")), Format::Text).is_err());
    let (_, out, _) = cli_run(&ring, args(true, Some("UTC")), Format::Text).unwrap();
    assert!(out.contains("would create") && out.contains("+emails = [\"ann@example.org\"]"), "{out}");
    assert!(Keyring::load(ring.path()).unwrap().keyring.keys().is_empty());
    let (_, out, _) = cli_run(&ring, args(false, Some("UTC")), Format::Json).unwrap();
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&json["written"], &json["files"][0]["principal"]), (&true.into(), &"ann".into()));
    assert_eq!(ring.load().keys().len(), 1);
    let (_, out, _) = cli_run(&ring, args(false, Some("UTC")), Format::Text).unwrap();
    assert!(out.contains("nothing to do"), "{out}");
}
