//! Objects, repositories and surroundings that were made to deceive or to break.

use crate::bench::Bench;
use crate::support::gate::PROGRAM;
use crate::support::sandbox::run;
use crate::support::signers::Signer;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

#[test]
fn what_is_no_commit_or_tag_is_a_matter_of_usage() {
    let bench = Bench::new();
    bench.commit(Some(&bench.alice), None);
    let absent = "1".repeat(40);
    let wide = "1".repeat(64);
    for object in ["HEAD^{tree}", "nothing", &absent, &wide, "", "--help=x", "HEAD..HEAD", "\u{1b}[31m"] {
        let mut command = bench.gate.sandbox.command(PROGRAM, bench.gate.sandbox.root());
        command.arg("verify").arg("--config").arg(bench.gate.config());
        command.arg("--").arg(&bench.work).arg(object);
        let ran = run(command, b"");
        assert_eq!((ran.code(), ran.stdout.as_str()), (Some(2), ""), "{object:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains('\u{1b}'));
    }
    let blob = bench.store("blob", b"-----BEGIN SSH SIGNATURE-----\n");
    assert_eq!(bench.program(&blob, &[]).code(), Some(2));
}

#[test]
fn repositories_that_cannot_be_read_are_undecided() {
    let bench = Bench::new();
    let id = bench.commit(Some(&bench.alice), None);
    // Another object's content under this id.
    let other = bench.commit(None, None);
    let place = |id: &str| bench.work.join(".git/objects").join(&id[..2]).join(&id[2..]);
    let (object, exchanged) = (place(&id), place(&other));
    fs::set_permissions(&object, fs::Permissions::from_mode(0o644)).unwrap();
    fs::copy(&exchanged, &object).unwrap();
    let ran = bench.program(&id, &[]);
    assert_eq!((ran.code(), ran.stdout.as_str()), (Some(3), ""));
    assert!(ran.stderr.contains("could not decide") && ran.stderr.contains(&id), "{}", ran.stderr);
    let ran = bench.program(&id, &["--format", "json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code(), value["status"].as_str()), (Some(3), Some("undecided")));

    fs::write(&object, "not an object").unwrap();
    assert_eq!(bench.program(&id, &[]).code(), Some(3));
    fs::write(bench.work.join(".git/shallow"), format!("{other}\n")).unwrap();
    assert_eq!(bench.program(&other, &[]).code(), Some(3));

    let mut nowhere = bench;
    nowhere.work = nowhere.gate.sandbox.path("nowhere");
    assert_eq!(nowhere.program("HEAD", &[]).code(), Some(2));
}

#[test]
fn malformed_objects_are_explained_too() {
    let bench = Bench::new();
    for raw in [&b""[..], b"\n\n", b"tree x\n\nmessage\n", b"\xff\xfe\n\n", b"tree", &[b'x'; 5000]] {
        let made = bench.explain(&bench.store("commit", raw), &[]);
        assert_eq!(made.status(), "malformed-object", "{raw:?}");
        assert!(made.text("/code").starts_with("obj."));
        let made = bench.explain(&bench.store("tag", raw), &[]);
        assert_eq!(made.status(), "malformed-object", "{raw:?}");
    }
    // A tag of something that is not there.
    let tag = format!(
        "object {}\ntype commit\ntag v1\ntagger A <a@example.com> 1700000000 +0000\n\nx\n",
        "1".repeat(40)
    );
    let made = bench.explain(&bench.store("tag", tag.as_bytes()), &[]);
    assert_eq!(made.text("/code"), "tag.target");
}

#[test]
fn an_object_that_is_too_large_is_not_read() {
    let bench = Bench::new();
    let id = bench.commit(None, None);
    let mut raw = bench.raw("commit", &id);
    raw.resize(3 << 20, b'x');
    let made = bench.explain(&bench.store("commit", &raw), &[]);
    assert_eq!((made.status(), made.text("/code")), ("too-large", "obj.too_large"));
    assert_eq!(made.difference(), "not compared");
}

#[test]
fn a21_replaced_objects_are_shown_as_they_are() {
    let bench = Bench::new();
    let unsigned = bench.commit(None, None);
    let signed = bench.commit(Some(&bench.alice), None);
    bench.git(&["replace", &unsigned, &signed]);
    let made = bench.explain(&unsigned, &[]);
    assert_eq!((made.text("/object"), made.status()), (unsigned.as_str(), "unsigned"));
    assert_eq!(
        (made.text("/git/status"), made.difference()),
        ("unsigned", "same"),
        "git sees no replacement, either"
    );
    let made = bench.explain("HEAD~1", &[]);
    assert_eq!((made.text("/object"), made.status()), (unsigned.as_str(), "unsigned"));
}

#[test]
fn a44_nothing_reaches_the_terminal_raw() {
    let bench = Bench::new();
    // In the idents, the message, a tag's name and the user id of a key.
    let id = bench.commit(None, None);
    let raw = String::from_utf8(bench.raw("commit", &id)).unwrap();
    let raw = raw
        .replace("Test Author", "A\u{1b}[31m\u{202e}r[GNUPG:] GOODSIG")
        .replace("OPS-1", "\u{1b}]0;owned\u{7}OPS-1");
    let made = bench.explain(&bench.sign_bytes(raw.as_bytes()), &[]);
    assert_eq!((made.status(), made.difference()), ("verified", "same"));
    assert!(made.text("/people/0/name").contains("\\x1b[31m\\u{202e}r"), "{:#}", made.value);
    let text = bench.program(made.text("/object"), &[]).stdout;
    assert!(text.contains("\\x1b]0;owned\\x07OPS-1"), "{text}");
    assert!(!text.contains('\u{202e}'));

    let tag =
        format!("object {id}\ntype commit\ntag v\u{1b}[2J\ntagger A <a@example.com> 1700000000 +0000\n\nx\n");
    let tag = bench.store("tag", tag.as_bytes());
    assert!(bench.program(&tag, &[]).stdout.contains("v\\x1b[2J"));

    let mut evil = Signer::openpgp(&bench.gate.sandbox, "evil\u{1b}[31m\u{202e}", "ed25519", "never", None);
    evil.name = "evil".to_owned();
    bench.gate.trust(&evil, "sre");
    bench.commit(Some(&evil), None);
    let made = bench.explain("HEAD", &[]);
    assert_eq!((made.status(), made.difference()), ("verified", "same"));
    assert!(!bench.program("HEAD", &[]).stdout.contains('\u{202e}'));
}

#[test]
fn the_repository_has_no_say_in_what_is_run() {
    let bench = Bench::new();
    bench.commit(Some(&bench.alice), None);
    let (program, mark) = (bench.gate.sandbox.path("evil"), bench.gate.sandbox.path("ran"));
    fs::write(&program, format!("#!/bin/sh\ntouch {}\nexit 0\n", mark.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let program = program.to_str().unwrap();
    for name in
        ["gpg.program", "gpg.openpgp.program", "gpg.ssh.program", "gpg.ssh.defaultKeyCommand", "core.pager"]
    {
        bench.git(&["config", name, program]);
    }
    bench.git(&["config", "gpg.ssh.allowedSignersFile", "/dev/null"]);
    bench.git(&["config", "gpg.minTrustLevel", "ultimate"]);
    let made = bench.explain("HEAD", &[]);
    assert_eq!((made.status(), made.text("/git/status"), made.difference()), ("verified", "good", "same"));
    assert!(!mark.exists(), "a program of the repository's configuration was run");
}

#[test]
fn programs_that_are_missing_are_named_and_no_error() {
    let bench = Bench::new();
    let bob = Signer::openpgp(&bench.gate.sandbox, "bob", "ed25519", "never", None);
    bench.gate.trust(&bob, "sre");
    let ssh = bench.commit(Some(&bench.alice), None);
    let openpgp = bench.commit(Some(&bob), None);
    let unsigned = bench.commit(None, None);
    let paths = std::env::var_os("PATH").unwrap();
    let git = std::env::split_paths(&paths).map(|at| at.join("git")).find(|git| git.exists()).unwrap();
    let (only_git, nothing) = (bench.gate.sandbox.path("only-git"), bench.gate.sandbox.path("nothing"));
    fs::create_dir(&only_git).unwrap();
    fs::create_dir(&nothing).unwrap();
    symlink(git, only_git.join("git")).unwrap();
    for (path, id, wanted) in [
        (&only_git, &ssh, "not compared: ssh-keygen is not installed"),
        (&only_git, &openpgp, "not compared: gpg is not installed"),
        (&only_git, &unsigned, "unsigned, refuses"),
        (&nothing, &ssh, "not compared: git is not installed"),
    ] {
        let mut command = bench.gate.sandbox.command(PROGRAM, bench.gate.sandbox.root());
        command.env("PATH", path).arg("verify").arg("--config").arg(bench.gate.config());
        command.arg(&bench.work).arg(id);
        let ran = run(command, b"");
        assert_eq!(ran.code(), Some(i32::from(*id == unsigned)), "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(wanted), "{wanted}: {}", ran.stdout);
    }
}

#[test]
fn a_message_that_quotes_another_kind_of_signature() {
    let bench = Bench::new();
    let bob = Signer::openpgp(&bench.gate.sandbox, "bob", "ed25519", "never", None);
    bench.gate.trust(&bob, "sre");
    let quote = "quoted:\n\n-----BEGIN SSH SIGNATURE-----\nx\n-----END SSH SIGNATURE-----\n";
    bench.sign(Some(&bob), None, &["commit", "--quiet", "--allow-empty", "-m", quote]);
    let made = bench.explain("HEAD", &[]);
    assert_eq!((made.status(), made.text("/git/status"), made.difference()), ("verified", "good", "same"));
}
