//! Every kind of verdict.

use crate::bench::Bench;
use crate::support::sandbox::run;
use crate::support::signers::Signer;
use std::fs;

#[test]
fn a_commit_by_ssh_is_verified_by_us_and_by_git() {
    let bench = Bench::new();
    let id = bench.commit(Some(&bench.alice), None);
    let made = bench.explain("HEAD", &[]);
    assert_eq!(made.code, Some(0));
    assert_eq!(made.text("/object"), id);
    assert_eq!((made.text("/format"), made.text("/principal/name")), ("ssh", "alice"));
    assert!(made.text("/key").starts_with("SHA256:"));
    assert_eq!(made.text("/times/receipt"), "now");
    assert_eq!((made.text("/git/status"), made.difference()), ("good", "same"));
    assert_eq!(made.text("/subject"), "OPS-1 change the thing");
}

#[test]
fn a_commit_by_openpgp_is_verified_by_us_and_by_git() {
    let bench = Bench::new();
    let bob = Signer::openpgp(&bench.gate.sandbox, "bob", "ed25519", "never", None);
    bench.gate.trust(&bob, "sre");
    bench.commit(Some(&bob), None);
    let made = bench.explain("HEAD", &[]);
    assert_eq!((made.code, made.text("/format")), (Some(0), "openpgp"));
    assert_eq!((made.text("/git/status"), made.difference()), ("good", "same"));
    assert!(made.text("/times/signed").ends_with('Z'));
}

#[test]
fn a_repository_with_sha256_ids() {
    let mut bench = Bench::new();
    bench.work = bench.gate.sandbox.work_tree("wide", &["--object-format=sha256"]);
    let id = bench.commit(Some(&bench.alice), None);
    assert_eq!(id.len(), 64);
    let made = bench.explain(&id, &[]);
    assert_eq!((made.code, made.text("/git/status"), made.difference()), (Some(0), "good", "same"));
}

#[test]
fn what_is_not_verified_ends_with_1_and_git_agrees() {
    let bench = Bench::new();
    bench.commit(None, None);
    let made = bench.explain("HEAD", &[]);
    assert_eq!(
        (made.status(), made.text("/git/status"), made.difference()),
        ("unsigned", "unsigned", "same")
    );

    let mallory = Signer::ssh(&bench.gate.sandbox, "mallory", &["ed25519"]);
    bench.commit(Some(&mallory), None);
    let made = bench.explain("HEAD", &[]);
    assert_eq!(
        (made.status(), made.text("/git/status"), made.difference()),
        ("unknown-key", "untrusted", "same")
    );
    assert!(made.value["principal"].is_null());

    let eve = Signer::openpgp(&bench.gate.sandbox, "eve", "ed25519", "never", None);
    bench.commit(Some(&eve), None);
    let made = bench.explain("HEAD", &[]);
    assert_eq!(
        (made.status(), made.text("/git/status"), made.difference()),
        ("unknown-key", "missing-key", "same")
    );

    let id = bench.commit(Some(&bench.alice), None);
    let raw = String::from_utf8(bench.raw("commit", &id)).unwrap();
    let changed = bench.store("commit", raw.replace("the thing", "another thing").as_bytes());
    let made = bench.explain(&changed, &[]);
    assert_eq!((made.status(), made.text("/git/status"), made.difference()), ("bad", "bad", "same"));
    // Whom it names is no proof, and is not called one.
    let text = bench.program(&changed, &[]).stdout;
    assert!(text.contains("claims      alice (person)") && !text.contains("  principal "), "{text}");
}

#[test]
fn an_annotated_tag_names_its_target_and_how_to_explain_it() {
    let bench = Bench::new();
    let commit = bench.commit(None, None);
    bench.sign(Some(&bench.alice), None, &["tag", "-m", "release", "v1"]);
    let made = bench.explain("v1", &["--ref", "refs/tags/v1"]);
    assert_eq!((made.text("/kind"), made.status(), made.difference()), ("tag", "verified", "same"));
    assert_eq!((made.text("/target/id"), made.text("/target/name")), (commit.as_str(), "v1"));
    assert_eq!(made.text("/git/command"), "git verify-tag --raw");
    let text = bench.program("v1", &[]).stdout;
    assert!(text.contains(&format!("verify {} {commit}`", bench.work.display())), "{text}");

    bench.sign(None, None, &["tag", "-a", "-m", "release", "v2"]);
    let made = bench.explain("v2", &[]);
    assert_eq!(
        (made.status(), made.text("/git/status"), made.difference()),
        ("unsigned", "unsigned", "same")
    );
}

#[test]
fn a_keyring_will_do_where_there_is_no_configuration() {
    let bench = Bench::new();
    bench.commit(Some(&bench.alice), None);
    let keyring = bench.gate.home.join("keyring");
    let keyring = ["--keyring", keyring.to_str().unwrap()];
    fs::write(bench.gate.config(), "broken").unwrap();
    assert_eq!(bench.explain("HEAD", &keyring).code, Some(0));
    let ran = bench.program("HEAD", &[]);
    assert_eq!((ran.code(), ran.stdout.as_str()), (Some(2), ""), "a broken configuration is no verdict");
    let both = [&keyring[..], &["--config", "x.toml"]].concat();
    assert_eq!(bench.program("HEAD", &both).code(), Some(2));
}

#[test]
fn git_is_not_asked_where_nobody_wants_it() {
    let bench = Bench::new();
    bench.commit(Some(&bench.alice), None);
    let made = bench.explain("HEAD", &["--no-git"]);
    assert!(made.value["git"].is_null());
    assert!(!bench.program("HEAD", &["--no-git"]).stdout.contains("\ngit\n"));
}

#[test]
fn the_rulesets_of_the_ref_are_named() {
    let bench = Bench::new();
    bench.gate.configure(crate::support::gate::PRODUCTION);
    let bare = bench.gate.bare("infra/app", &[]);
    bench.commit(Some(&bench.alice), None);
    bench.git(&["push", "--quiet", bare.to_str().unwrap(), "main"]);
    let mut there = bench;
    there.work = bare;
    let made = there.explain("main", &["--ref", "refs/heads/main"]);
    assert_eq!(made.text("/rulesets/0/name"), "production");
    assert_eq!(made.text("/rulesets/0/enforcement"), "enforce");
    let other = there.explain("main", &["--ref", "refs/heads/other"]);
    assert!(other.value["rulesets"].as_array().unwrap().iter().all(|one| one["name"] == "default"));
    assert_eq!(there.program("main", &["--ref", "refs/heads/a..b"]).code(), Some(2));
}

#[test]
fn a_certificate_is_judged_by_its_authority_and_git_is_told_of_it() {
    let bench = Bench::new();
    let sandbox = &bench.gate.sandbox;
    let authority = Signer::ssh(sandbox, "authority", &["ed25519"]);
    let carol = Signer::ssh(sandbox, "carol", &["ed25519"]);
    let file = bench.gate.home.join("keyring/laptops.toml");
    let line = fs::read_to_string(&authority.public).unwrap();
    let text = format!(
        "name = \"laptops\"\n[[authority]]\nssh = \"{}\"\nprincipals = [\"*@example.com\"]\ngroups = [\"sre\"]\n",
        line.trim()
    );
    fs::write(&file, text).unwrap();
    for (principal, status, gits, difference) in [
        ("carol@example.com", "verified", "good", "same"),
        ("carol@example.net", "wrong-purpose", "untrusted", "same"),
    ] {
        let mut command = sandbox.command("ssh-keygen", sandbox.root());
        command.arg("-q").arg("-s").arg(authority.public.with_extension(""));
        command.args(["-I", "laptop", "-V", "-1h:+1d", "-n", principal]).arg(&carol.public);
        run(command, b"").ok();
        let certificate = sandbox.path("home/carol-cert.pub");
        let key = format!("user.signingKey={}", certificate.display());
        let mut command = sandbox.command("git", &bench.work);
        command.args([
            "-c",
            "gpg.format=ssh",
            "-c",
            &key,
            "commit",
            "-q",
            "-S",
            "--allow-empty",
            "-m",
            "OPS-1",
        ]);
        run(command, b"").ok();
        let made = bench.explain("HEAD", &[]);
        let seen = (made.status(), made.text("/git/status"), made.difference());
        assert_eq!(seen, (status, gits, difference), "{:#}", made.value);
    }
}
