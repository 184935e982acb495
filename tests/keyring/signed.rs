//! Changes that somebody signs, with real keys by the real program, and what is made to look like it.

use super::edits::{cs, fingerprint, json, refuses, text};
use super::{ANN, Ring, principal, run, ssh_key};
use countersign::domain::Timestamp;
use countersign::keyring::{
    ChangeOptions, ChangeRecord, Keyring, Membership, Purpose, Sources, regroup, signer_of,
};
use std::cell::RefCell;
use std::path::Path;

/// A keyring with an operator whose private key is in a file.
fn operated() -> (Ring, tempfile::TempDir, String) {
    let (ring, keys) = (Ring::new(), tempfile::tempdir().unwrap());
    let line = ssh_key(keys.path(), "op", &["-t", "ed25519"]);
    ring.write("ann.toml", &principal("ann", ANN));
    ring.write("op.toml", &principal("op", line.trim()));
    (ring, keys, line.trim().to_owned())
}

fn sign(dir: &Path, key: &str, namespace: &str, text: &str) -> String {
    String::from_utf8(run(
        "ssh-keygen",
        &["-q", "-Y", "sign", "-n", namespace, "-f", key],
        dir,
        text.as_bytes(),
    ))
    .unwrap()
}

/// Makes a change and gives it, with the keyring as it was before.
fn changed(
    ring: &Ring,
    group: &str,
    signer: &dyn Fn(&ChangeRecord) -> Result<String, String>,
) -> (Keyring, ChangeRecord) {
    let before = ring.load();
    let kept = RefCell::new(None);
    let recorder = |record: &ChangeRecord| {
        kept.replace(Some(record.clone()));
        Ok(())
    };
    let options = ChangeOptions {
        purpose: Purpose::of("group-add", Timestamp::now()),
        dry_run: false,
        urgent: false,
        recorder: Some(&recorder),
        signer: Some(signer),
    };
    regroup(&Sources::directory(ring.path()), group, &["ann".to_owned()], Membership::Join, &options)
        .unwrap();
    (before, kept.into_inner().unwrap())
}

#[test]
fn a_change_is_signed_and_says_by_whom() {
    let (ring, keys, line) = operated();
    let key = keys.path().join("op");
    let key = key.to_str().unwrap();
    let done = json(&ring, &["group", "add", "sre", "ann", "--sign-with", key]);
    assert_eq!(done["signer"], format!("op {}", fingerprint(&line)));
    assert!(json(&ring, &["group", "add", "web", "ann"])["signer"].is_null());
    // A dry run signs nothing, so that it needs no key.
    let (code, _, err) =
        cs(&ring, &["group", "remove", "web", "ann", "--dry-run", "--sign-with", "/nonexistent"]);
    assert_eq!((code, err.as_str()), (0, ""));
    // Whoever cannot sign changes nothing.
    refuses(
        &ring,
        &["group", "add", "x", "ann", "--sign-with", "/nonexistent"],
        2,
        "cannot be signed, so nothing is changed",
    );
    ssh_key(keys.path(), "stranger", &["-t", "ed25519"]);
    let stranger = keys.path().join("stranger");
    refuses(
        &ring,
        &["group", "add", "x", "ann", "--sign-with", stranger.to_str().unwrap()],
        1,
        "does not count: ",
    );
}

/// By the state before: nobody signs what makes them somebody.
#[test]
fn n14_a_signer_must_count_before_the_change() {
    let (ring, keys, line) = operated();
    let key = keys.path().join("op");
    let key = key.to_str().unwrap();
    let new = ssh_key(keys.path(), "new", &["-t", "ed25519"]);
    let (new_file, new_key) = (keys.path().join("new.pub"), keys.path().join("new"));
    let own = ["add", "eve", "--key", new_file.to_str().unwrap(), "--sign-with", new_key.to_str().unwrap()];
    refuses(&ring, &own, 1, "does not count: ");
    assert!(!new.is_empty());
    let plain = text(&ring, "op.toml");
    for (more, why) in [
        ("revoked = { at = 2026-01-01T00:00:00Z, reason = \"retired\" }", "revoked"),
        ("revoked = { at = 2026-01-01T00:00:00Z, reason = \"compromised\" }", "revoked"),
        ("valid-until = 2026-01-01T00:00:00Z", "expired"),
        ("valid-from = 2099-01-01T00:00:00Z", "not valid before"),
        ("roles = [\"push\"]", "has the roles `push`"),
    ] {
        ring.write("op.toml", &format!("{plain}{more}\n"));
        let (code, out, err) = cs(&ring, &["group", "add", "sre", "ann", "--sign-with", key]);
        assert!(code == 1 && err.contains("does not count") && err.contains(why), "{more}: {out}{err}");
    }
    ring.write(
        "op.toml",
        &plain.replacen('\n', "\nsuspended = { at = 2026-01-01T00:00:00Z, reason = \"x\" }\n", 1),
    );
    refuses(&ring, &["group", "add", "sre", "ann", "--sign-with", key], 1, "suspended");
    // The last thing that a key signs may be its own end.
    ring.write("op.toml", &plain);
    let args = ["revoke", "op", &fingerprint(&line), "--reason", "retired", "--sign-with", key];
    assert_eq!(json(&ring, &args)["signer"], format!("op {}", fingerprint(&line)));
    refuses(&ring, &["group", "add", "sre", "ann", "--sign-with", key], 1, "revoked");
}

#[test]
fn a_signature_is_of_one_change_in_one_namespace() {
    let (ring, keys, line) = operated();
    let dir = keys.path();
    let good = |change: &ChangeRecord| Ok(sign(dir, "op", "countersign-keyring", &change.signed_text()));
    let (before, first) = changed(&ring, "one", &good);
    let now = Timestamp::now();
    let who = Some(format!("op {}", fingerprint(&line)));
    assert_eq!(signer_of(&before, &first, now), Ok(who.clone()));
    assert_eq!(first.by.signer, who);
    // What is unsigned is nobody's, whatever it says of itself.
    let claimed = ChangeRecord { signature: None, ..first.clone() };
    assert_eq!(signer_of(&before, &claimed, now), Ok(None));
    // A second change of the same kind, with the signature of the first; and the first, changed afterwards.
    let (between, second) = changed(&ring, "two", &good);
    let replayed = ChangeRecord { signature: first.signature.clone(), ..second.clone() };
    let edits: [fn(&mut ChangeRecord); 7] = [
        |change| change.id = "0".repeat(32),
        |change| change.action = "remove".into(),
        |change| change.reason = Some("another".into()),
        |change| change.principals.push("eve".into()),
        |change| change.files[0].after = None,
        |change| change.keyring_after = "0".repeat(64),
        |change| change.by.uid += 1,
    ];
    let edited = edits.map(|edit| {
        let mut change = first.clone();
        edit(&mut change);
        change
    });
    for change in edited.iter().chain([&replayed]) {
        let why = signer_of(&between, change, now).unwrap_err();
        assert!(why.contains("does not count"), "{why}");
    }
    // Of something else, and in another namespace: of commits above all.
    let text = first.signed_text();
    for (namespace, text) in
        [("git", text.as_str()), ("file", &text), ("countersign-keyring", "something else")]
    {
        let change = ChangeRecord { signature: Some(sign(dir, "op", namespace, text)), ..first.clone() };
        let why = signer_of(&before, &change, now).unwrap_err();
        assert!(
            why.contains(if namespace == "countersign-keyring" { "does not count" } else { "namespace" }),
            "{why}"
        );
    }
    for broken in ["", "-----BEGIN SSH SIGNATURE-----\n", "x", &"y".repeat(1 << 20)] {
        let change = ChangeRecord { signature: Some(broken.to_owned()), ..first.clone() };
        assert!(signer_of(&before, &change, now).is_err(), "{}", broken.len());
    }
}
