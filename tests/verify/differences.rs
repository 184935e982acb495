//! Where git says something else with the same keys, the reason is named.

use crate::bench::Bench;
use crate::craft;
use crate::support::sandbox::run;
use crate::support::signers::Signer;
use std::fs;

fn header_end(raw: &str) -> usize {
    raw.find("\n\n").unwrap() + 1
}

#[test]
fn a04_text_behind_the_signature() {
    let bench = Bench::new();
    let id = bench.commit(Some(&bench.alice), None);
    let raw = String::from_utf8(bench.raw("commit", &id)).unwrap();
    let end = " -----END SSH SIGNATURE-----\n";
    let raw = raw.replace(end, &format!("{end} nobody signed this\n"));
    let made = bench.explain(&bench.store("commit", raw.as_bytes()), &[]);
    assert_eq!((made.status(), made.text("/code")), ("malformed", "sig.trailing"));
    assert_eq!((made.text("/git/status"), made.difference()), ("good", "git-ignores-trailing-text"));

    bench.sign(Some(&bench.alice), None, &["tag", "-m", "release", "v1"]);
    let mut raw = bench.raw("tag", "v1");
    raw.extend_from_slice(b"nobody signed this\n");
    let made = bench.explain(&bench.store("tag", &raw), &[]);
    assert_eq!((made.status(), made.difference()), ("malformed", "git-ignores-trailing-text"));
}

#[test]
fn a02_headers_that_git_takes_out() {
    let bench = Bench::new();
    let id = bench.commit(Some(&bench.alice), None);
    let mut raw = String::from_utf8(bench.raw("commit", &id)).unwrap();
    raw.insert_str(header_end(&raw), "gpgsigfoo added later\n");
    let made = bench.explain(&bench.store("commit", raw.as_bytes()), &[]);
    assert_eq!(made.text("/code"), "sig.smuggled_header");
    assert_eq!((made.text("/git/status"), made.difference()), ("good", "git-strips-gpgsig-headers"));
}

#[test]
fn a01_a05_objects_that_readers_disagree_about() {
    let bench = Bench::new();
    let id = bench.commit(None, None);
    let raw = String::from_utf8(bench.raw("commit", &id)).unwrap();
    let (_, author) = raw.split_once("author ").unwrap();
    let author = author.lines().next().unwrap();
    let doubled = raw.replace("committer ", &format!("author {author}\ncommitter "));
    let made = bench.explain(&bench.sign_bytes(doubled.as_bytes()), &[]);
    assert_eq!((made.status(), made.text("/code")), ("malformed-object", "obj.dup_header"));
    assert_eq!((made.text("/git/status"), made.difference()), ("good", "git-reads-loose-objects"));

    let cut = bench.sign_bytes(format!("{raw}\0hidden\n").as_bytes());
    let made = bench.explain(&cut, &[]);
    assert_eq!((made.status(), made.text("/code")), ("malformed-object", "obj.nul"));
    assert_eq!((made.text("/git/status"), made.difference()), ("good", "git-stops-at-nul"));
}

#[test]
fn a10_a_tag_under_another_name() {
    let bench = Bench::new();
    bench.commit(None, None);
    bench.sign(Some(&bench.alice), None, &["tag", "-m", "release", "v1"]);
    let id = bench.git(&["rev-parse", "v1"]);
    bench.git(&["update-ref", "refs/tags/v9", &id]);
    let made = bench.explain("v9", &["--ref", "refs/tags/v9"]);
    assert_eq!((made.status(), made.text("/code")), ("wrong-name", "tag.name"));
    assert_eq!((made.text("/git/status"), made.difference()), ("good", "git-does-not-check-tag-names"));
    // Without a ref there is nothing to compare.
    assert_eq!(bench.explain("v9", &[]).code, Some(0));
}

#[test]
fn a13_a_key_whose_window_has_ended_and_a_date_before_that() {
    let bench = Bench::new();
    bench.keyring_entry("valid-until = 2024-01-01T00:00:00Z");
    bench.commit(Some(&bench.alice), Some("2023-06-01T12:00:00Z"));
    let made = bench.explain("HEAD", &[]);
    assert_eq!(made.status(), "expired");
    assert_eq!((made.text("/git/status"), made.difference()), ("good", "git-judges-at-claimed-time"));
    // As if it had come in then, both accept.
    let made = bench.explain("HEAD", &["--at", "2023-06-01T12:00:10Z"]);
    assert_eq!((made.status(), made.difference()), ("verified", "same"));
    assert_eq!(made.text("/times/receipt"), "given");
    // The last second of the window, and the first one after it: the same end for both.
    for (at, status, gits) in
        [("2023-12-31T23:59:59Z", "verified", "good"), ("2024-01-01T00:00:00Z", "expired", "untrusted")]
    {
        bench.commit(Some(&bench.alice), Some(at));
        let made = bench.explain("HEAD", &["--at", at]);
        assert_eq!(
            (made.status(), made.text("/git/status"), made.difference()),
            (status, gits, "same"),
            "{at}"
        );
    }
}

#[test]
fn a13_a_key_that_was_not_valid_yet_at_the_claimed_time() {
    let bench = Bench::new();
    bench.keyring_entry("valid-from = 2024-01-01T00:00:00Z");
    bench.commit(Some(&bench.alice), Some("2023-12-31T23:00:00Z"));
    let made = bench.explain("HEAD", &["--at", "2024-01-01T00:00:00Z"]);
    assert_eq!(made.text("/git/status"), "untrusted");
    match made.status() {
        "verified" => assert_eq!(made.difference(), "git-refuses-by-claimed-time"),
        status => assert_eq!((status, made.difference()), ("not-yet-valid", "same")),
    }
}

#[test]
fn a15_the_second_0_of_1970() {
    let bench = Bench::new();
    bench.commit(Some(&bench.alice), Some("@0 +0000"));
    let made = bench.explain("HEAD", &[]);
    assert_eq!(made.text("/code"), "time.zero");
    assert_eq!((made.text("/git/status"), made.difference()), ("good", "time-zero"));
}

#[test]
fn a_key_that_expired_after_the_receipt() {
    let bench = Bench::new();
    let time = "20200101T120000!";
    let old = Signer::openpgp(&bench.gate.sandbox, "old", "ed25519", "30d", Some(time));
    bench.gate.trust(&old, "sre");
    bench.commit(Some(&old), Some("2020-01-01T12:00:00Z"));
    let made = bench.explain("HEAD", &["--at", "2020-01-01T12:01:00Z"]);
    assert_eq!(made.status(), "verified");
    assert_eq!((made.text("/git/status"), made.difference()), ("expired-key", "expired-key-after-receipt"));
    let made = bench.explain("HEAD", &[]);
    assert_eq!(
        (made.status(), made.difference()),
        ("expired", "same"),
        "what comes in now is refused by both"
    );
}

#[test]
fn a_revocation_that_only_the_keyring_knows() {
    let bench = Bench::new();
    let bob = Signer::openpgp(&bench.gate.sandbox, "bob", "ed25519", "never", None);
    bench.gate.trust(&bob, "sre");
    bench.keyring_entry("revoked = { at = 2025-01-01T00:00:00Z, reason = \"compromised\" }");
    bench.commit(Some(&bench.alice), None);
    let made = bench.explain("HEAD", &[]);
    assert_eq!(made.status(), "revoked");
    assert_eq!((made.text("/git/status"), made.difference()), ("good", "git-does-not-know-the-keyring"));
    bench.commit(Some(&bob), None);
    assert_eq!(bench.explain("HEAD", &[]).difference(), "same", "the other key is as good as before");
}

#[test]
fn weak_keys_that_the_tools_take() {
    let bench = Bench::new();
    // OpenSSH's own minimum is 1024 bits; the keyring does not even load such a key, so nobody has it.
    let weak = Signer::ssh(&bench.gate.sandbox, "weak", &["rsa", "-b", "1024"]);
    bench.commit(Some(&weak), None);
    let made = bench.explain("HEAD", &[]);
    assert!(["weak-algorithm", "unknown-key"].contains(&made.status()), "{:#}", made.value);
    assert_eq!(made.difference(), "same", "git does not know the key, either");
}

/// The bytes of a commit with an armored signature in its header.
fn with_signature(raw: &[u8], armor: &[u8]) -> Vec<u8> {
    let (raw, armor) = (String::from_utf8_lossy(raw), String::from_utf8_lossy(armor));
    let folded = armor.trim_end().replace('\n', "\n ");
    raw.replacen("\n\n", &format!("\ngpgsig {folded}\n\n"), 1).into_bytes()
}

/// gpg's own signature over bytes.
fn gpg(bench: &Bench, more: &[&str], payload: &[u8]) -> Vec<u8> {
    let mut command = bench.gate.sandbox.command("gpg", bench.gate.sandbox.root());
    command
        .args(["--batch", "--quiet", "--armor", "--passphrase", "", "--pinentry-mode", "loopback"])
        .args(more);
    run(command, payload).ok().stdout.into_bytes()
}

#[test]
fn a06_a_text_signature() {
    let bench = Bench::new();
    let bob = Signer::openpgp(&bench.gate.sandbox, "bob", "ed25519", "never", None);
    bench.gate.trust(&bob, "sre");
    let unsigned = bench.commit(None, None);
    let raw = bench.raw("commit", &unsigned);
    let armor = gpg(&bench, &["--textmode", "--local-user", "bob@example.com", "--detach-sign"], &raw);
    let signed = with_signature(&raw, &armor);
    let made = bench.explain(&bench.store("commit", &signed), &[]);
    assert_eq!(made.status(), "unsupported", "{:#}", made.value);
    assert_eq!((made.text("/git/status"), made.difference()), ("good", "text-signature"));
    // What it does not keep from changing: the ends of lines.
    let changed = String::from_utf8(signed).unwrap().replace("change the thing\n", "change the thing\r\n");
    let made = bench.explain(&bench.store("commit", changed.as_bytes()), &[]);
    assert_eq!((made.text("/git/status"), made.difference()), ("good", "text-signature"));
    // Where such signatures count, that one still does not.
    bench.gate.configure(&format!("{}\n[signatures]\ntext-signatures = true\n", crate::bench::OPEN));
    let made = bench.explain(&bench.store("commit", &with_signature(&raw, &armor)), &[]);
    assert_eq!((made.status(), made.difference()), ("verified", "same"), "{:#}", made.value);
    let made = bench.explain(&bench.store("commit", changed.as_bytes()), &[]);
    assert_eq!((made.code, made.difference()), (Some(1), "text-signature"), "{:#}", made.value);
}

#[test]
fn a_signature_that_expired_after_the_receipt() {
    let bench = Bench::new();
    let time = "20200101T120000!";
    let bob = Signer::openpgp(&bench.gate.sandbox, "bob", "ed25519", "never", Some(time));
    bench.gate.trust(&bob, "sre");
    bench.sign(None, Some("2020-01-01T12:00:00Z"), &["commit", "-q", "--allow-empty", "-m", "old"]);
    let raw = bench.raw("commit", "HEAD");
    let faked = format!("--faked-system-time={time}");
    let sign = [&faked, "--default-sig-expire", "10d", "--local-user", "bob@example.com", "--detach-sign"];
    let armor = gpg(&bench, &sign, &raw);
    let id = bench.store("commit", &with_signature(&raw, &armor));
    let made = bench.explain(&id, &["--at", "2020-01-01T12:01:00Z"]);
    assert_eq!(made.status(), "verified", "{:#}", made.value);
    assert_eq!(
        (made.text("/git/status"), made.difference()),
        ("expired-signature", "expired-signature-after-receipt")
    );
    for more in [&[][..], &["--at", "2020-01-11T12:00:00Z"]] {
        let made = bench.explain(&id, more);
        assert_eq!((made.status(), made.difference()), ("expired", "same"), "{:#}", made.value);
    }
}

/// To gpg a revoked key never was any good. Here a key that was given up was, until then; a stolen one was not.
#[test]
fn a_key_that_is_revoked_for_all_times() {
    for (code, then, difference) in [("3", "verified", "revoked-key-all-times"), ("1", "revoked", "same")] {
        let bench = Bench::new();
        let bob = Signer::openpgp(&bench.gate.sandbox, "bob", "ed25519", "never", Some("20200101T120000!"));
        let mut command = bench.gate.sandbox.command("gpg", bench.gate.sandbox.root());
        command.args(["--no-tty", "--quiet", "--command-fd", "0", "--pinentry-mode", "loopback"]);
        command.args(["--passphrase", "", "--armor", "--gen-revoke", "bob@example.com"]);
        let revocation = run(command, format!("y\n{code}\n\ny\n").as_bytes()).ok().stdout;
        bench.commit(Some(&bob), Some("2020-01-01T12:00:00Z"));
        let certificate = fs::read_to_string(&bob.public).unwrap();
        fs::write(&bob.public, certificate + &revocation).unwrap();
        bench.gate.trust(&bob, "sre");
        let made = bench.explain("HEAD", &["--at", "2020-01-01T12:01:00Z"]);
        assert_eq!(made.status(), then, "{:#}", made.value);
        assert_eq!((made.text("/git/status"), made.difference()), ("revoked", difference));
        let made = bench.explain("HEAD", &[]);
        assert_eq!((made.status(), made.difference()), ("revoked", "same"), "{:#}", made.value);
    }
}

#[test]
fn a31_nobody_touched_the_authenticator() {
    let bench = Bench::new();
    let key = |flags| craft::Key::ed25519(5).fido("ssh:").with(flags, 7);
    let public = bench.gate.sandbox.path("token.pub");
    fs::write(&public, key(1).line() + "\n").unwrap();
    bench.gate.trust(&Signer::public_only("carol", public), "sre");
    let unsigned = bench.commit(None, None);
    let raw = bench.raw("commit", &unsigned);
    let signed = |flags| bench.store("commit", &with_signature(&raw, &key(flags).sshsig(&raw)));
    let made = bench.explain(&signed(1), &[]);
    assert_eq!((made.status(), made.difference()), ("verified", "same"), "{:#}", made.value);
    let made = bench.explain(&signed(0), &[]);
    assert_eq!(made.status(), "wrong-purpose", "{:#}", made.value);
    assert_eq!((made.text("/git/status"), made.difference()), ("good", "git-ignores-fido-flags"));
    assert!(made.text("/text").contains("touch"), "{:#}", made.value);
}

/// Git goes by the first line that has the key and passes over lines that it does not understand. Here every
/// line counts, and one that is not understood refuses the file. What git is asked beside an explanation is
/// the keyring, in which the lines are one already.
#[test]
fn a17_lines_of_which_git_reads_the_first_or_none() {
    let bench = Bench::new();
    fs::remove_file(bench.gate.home.join("keyring/alice.toml")).unwrap();
    let file = bench.gate.home.join("allowed_signers");
    let key = fs::read_to_string(&bench.alice.public).unwrap();
    let source = format!("[[keyring.allowed-signers]]\npath = \"{}\"\n", file.display());
    bench.gate.configure(&format!("{}\n{source}", crate::bench::OPEN));
    let id = bench.commit(Some(&bench.alice), None);
    let git = || {
        let signers = format!("gpg.ssh.allowedSignersFile={}", file.display());
        bench.gate.sandbox.git(&bench.work, &["-c", &signers, "verify-commit", &id]).status.success()
    };
    fs::write(&file, format!("deploy namespaces=\"file\" {key}alice namespaces=\"git\" {key}")).unwrap();
    let made = bench.explain(&id, &[]);
    assert_eq!(
        (made.status(), made.text("/principal/name"), made.difference()),
        ("verified", "alice", "same")
    );
    assert!(!git(), "the first line is about other files");
    fs::write(&file, format!("bob octopus {key}alice {key}")).unwrap();
    assert!(git(), "the first line is passed over");
    let ran = bench.program(&id, &[]);
    assert_eq!(ran.code(), Some(2), "{}", ran.stdout);
    assert!(ran.stderr.contains("allowed_signers:1:"), "{}", ran.stderr);
}
