//! Where git says something else with the same keys, the reason is named.

use crate::bench::Bench;
use crate::support::signers::Signer;

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
