//! The commands that change what is there: what they say, what they write, what they refuse.

use super::{ANN, BOB, Ring, chmod, principal, run, ssh_key};
use countersign::domain::Timestamp;
use countersign::keyring::{AllowedSigners, ChangeOptions, Keyring, Membership, Sources, regroup};
use countersign::signature::{KeyId, Scheme};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs the program; what it prints has `DIR` and `TIME` instead of what differs between runs.
pub(super) fn cs(ring: &Ring, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.arg("keyring").args(args).arg("--keyring").arg(ring.path());
    command.env_clear().env("LC_ALL", "C").env("LOGNAME", "keeper").stdin(Stdio::null());
    let output = command.output().unwrap();
    let dir = ring.path().to_str().unwrap();
    let plain = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).unwrap().replace(dir, "DIR");
        let kept = text.lines().filter(|line| !line.contains("the account that runs this can change"));
        kept.map(|line| format!("{}\n", timeless(line))).collect::<String>()
    };
    (output.status.code().unwrap(), plain(&output.stdout), plain(&output.stderr))
}

/// Times of the day on which the test runs become `TIME`; others stay.
fn timeless(line: &str) -> String {
    let today = Timestamp::now().to_string()[..10].to_owned();
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(&today) {
        let end = rest[at..].find('Z').map_or(rest.len(), |end| at + end + 1);
        out.push_str(&rest[..at]);
        out.push_str("TIME");
        rest = &rest[end..];
    }
    out + rest
}

#[track_caller]
pub(super) fn says(ring: &Ring, args: &[&str], wanted: &str) {
    let (code, out, err) = cs(ring, args);
    assert_eq!((code, out.as_str()), (0, wanted), "{err}");
}

#[track_caller]
pub(super) fn refuses(ring: &Ring, args: &[&str], code: i32, why: &str) {
    let before = all(ring.path());
    let (seen, out, err) = cs(ring, args);
    assert_eq!(seen, code, "{out}{err}");
    assert!(err.contains(why), "{err}");
    assert_eq!(all(ring.path()), before, "a refusal writes nothing");
}

pub(super) fn json(ring: &Ring, args: &[&str]) -> serde_json::Value {
    let mut all = args.to_vec();
    all.extend(["--format", "json"]);
    let (code, out, err) = cs(ring, &all);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

fn all(dir: &Path) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().is_some_and(|name| name != ".lock"))
        .map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    files
}

pub(super) fn text(ring: &Ring, name: &str) -> String {
    fs::read_to_string(ring.path().join(name)).unwrap()
}

/// `ann` and `bob`, with comments that have to survive.
pub(super) fn two() -> Ring {
    let ring = Ring::new();
    let ann = principal("ann", ANN).replace("\n\n[[key]]", " # since 2020\n\n# her laptop\n[[key]]");
    ring.write("ann.toml", &ann);
    ring.write("bob.toml", &principal("bob", BOB));
    ring
}

pub(super) fn fingerprint(key: &str) -> String {
    countersign::keyring::Material::ssh(key).unwrap().fingerprint()
}

#[test]
fn n14_revoke_says_what_it_does_and_does_it_once() {
    let ring = two();
    let key = fingerprint(ANN);
    let short = &key[..15];
    let at = "2026-03-01T09:00:00Z";
    let args = ["revoke", "ann", short, "--reason", "superseded", "--at", at, "--note", "new laptop"];
    let mut dry = args.to_vec();
    dry.push("--dry-run");
    says(
        &ring,
        &dry,
        &format!(
            "would revoke ssh key {key} of `ann`: superseded, refused from {at}\n\
             --- ann.toml\n+++ ann.toml\n@@ -3,3 +3,4 @@\n # her laptop\n [[key]]\n ssh = \"{ANN}\"\n\
             +revoked = {{ at = {at}, reason = \"superseded\" }} # new laptop\n"
        ),
    );
    assert!(!text(&ring, "ann.toml").contains("revoked"), "a dry run writes nothing");
    says(
        &ring,
        &args,
        &format!("revoked ssh key {key} of `ann`: superseded, refused from {at}\nwrote DIR/ann.toml\n"),
    );
    let written = text(&ring, "ann.toml");
    assert!(written.contains("name = \"ann\" # since 2020\n\n# her laptop\n[[key]]\n"), "{written}");
    says(
        &ring,
        &args,
        &format!("ssh key {key} of `ann` is revoked already: superseded, refused from {at}\n"),
    );
    assert_eq!(text(&ring, "ann.toml"), written);

    // What is there is never made weaker, and nobody is left to believe that it was.
    let later = ["revoke", "ann", short, "--reason", "superseded", "--at", "2026-04-01T00:00:00Z"];
    refuses(&ring, &later, 1, "is refused from 2026-03-01T09:00:00Z already, which is not made later");
    let worse = json(&ring, &["revoke", "ann", short, "--reason", "compromised"]);
    assert_eq!(worse["changed"], true);
    assert_eq!(worse["keys"][0]["revoked"]["reason"], "compromised");
    assert_eq!(worse["keys"][0]["revoked"]["effective_from"], serde_json::Value::Null);
    assert_eq!(worse["recorded"], serde_json::Value::Null, "nobody keeps a record of a bare directory");
    assert_eq!(worse["files"][0]["principal"], "ann");
    refuses(&ring, &args, 1, "is revoked as compromised already, which is not made weaker");
    let narrower = ["--reason", "compromised", "--effective-from", "2026-02-01T00:00:00Z"];
    refuses(&ring, &[&["revoke", "ann", short][..], &narrower].concat(), 1, "is refused always already");
}

#[test]
fn revoke_refuses_what_it_cannot_mean() {
    let ring = two();
    let key = fingerprint(ANN);
    let ann = |more: &[&'static str]| -> Vec<String> {
        ["revoke", "ann", &key].iter().chain(more).map(|word| (*word).to_owned()).collect()
    };
    for (more, code, why) in [
        (&["--reason", "retired", "--effective-from", "2026-01-01T00:00:00Z"][..], 2, "`compromised` only"),
        (&["--reason", "compromised", "--at", "2999-01-01T00:00:00Z"], 2, "not learned in the future"),
        (
            &[
                "--reason",
                "compromised",
                "--at",
                "2026-01-01T00:00:00Z",
                "--effective-from",
                "2026-01-02T00:00:00Z",
            ],
            2,
            "cannot follow its discovery",
        ),
        (&["--reason", "retired", "--at", "tomorrow"], 2, "write a time with its zone"),
        (&["--reason", "retired", "--at", "2026-01-01"], 2, "write a time with its zone"),
        (&["--reason", "retired", "--note", "two\nlines"], 2, "nobody sees, or several lines"),
        (&["--reason", "stolen"], 2, "superseded, retired, compromised"),
        (&["--all", "--reason", "retired"], 2, "cannot be used with"),
    ] {
        let args = ann(more);
        refuses(&ring, &args.iter().map(String::as_str).collect::<Vec<_>>(), code, why);
    }
    let retired = ["--reason", "retired"];
    let with = |name: &'static str, key: &str| -> Vec<String> {
        ["revoke", name, key].iter().chain(&retired).map(|word| (*word).to_owned()).collect()
    };
    for (name, key, code, why) in [
        ("ann", fingerprint(BOB).as_str(), 1, "is a key of `bob`, not of `ann`"),
        ("ann", "SHA256:AAAAAAAA", 1, "`ann` has no key `SHA256:AAAAAAAA`"),
        ("ann", "SHA256:abc", 2, "too short to name a key"),
        ("ann", "nowhere.pub", 2, "names no key"),
        ("an", fingerprint(ANN).as_str(), 1, "nobody called `an` in the keyring; did you mean `ann`?"),
    ] {
        let args = with(name, key);
        refuses(&ring, &args.iter().map(String::as_str).collect::<Vec<_>>(), code, why);
    }
    // A fault anywhere in the keyring stops every change.
    ring.write("eve.toml", "name = \"mallory\"\n");
    refuses(&ring, &["revoke", "ann", &key, "--reason", "retired"], 2, "eve.toml:1:");
}

#[test]
fn revoke_takes_files_key_ids_authorities_and_everything() {
    let ring = two();
    let dir = tempfile::tempdir().unwrap();
    let line = ssh_key(dir.path(), "id", &["-t", "ed25519"]);
    let ca = ssh_key(dir.path(), "ca", &["-t", "ed25519"]);
    fs::write(ring.path().join("carol.toml"), {
        let first = principal("carol", line.trim());
        let table =
            |who: &str| format!("\n[[authority]]\nssh = \"{}\"\nprincipals = [\"{who}\"]\n", ca.trim());
        format!("{first}{}{}", table("*@a.example.org"), table("*@b.example.org"))
    })
    .unwrap();
    chmod(&ring.path().join("carol.toml"), 0o644);
    let file = dir.path().join("id.pub");
    let done = json(&ring, &["revoke", "carol", file.to_str().unwrap(), "--reason", "retired"]);
    assert_eq!(done["keys"][0]["fingerprint"], fingerprint(line.trim()).as_str());
    let done = json(&ring, &["revoke", "carol", "--all", "--reason", "compromised"]);
    assert_eq!(done["keys"].as_array().unwrap().len(), 2, "{done}");
    let keyring = ring.load();
    assert!(keyring.authorities()[0].revoked.is_some());
    assert_eq!(
        text(&ring, "carol.toml").matches("reason = \"compromised\"").count(),
        3,
        "each table says it"
    );
    refuses(&ring, &["revoke", "nobody", "--all", "--reason", "retired"], 1, "there is nobody called");
    ring.write("dave.toml", "name = \"dave\"\naccounts = [\"dave\"]\n");
    refuses(&ring, &["revoke", "dave", "--all", "--reason", "retired"], 1, "`dave` has no key");
}

#[test]
fn n14_suspend_and_resume() {
    let ring = two();
    let args = ["suspend", "ann", "--reason", "laptop lost", "--at", "2026-03-01T09:00:00Z"];
    says(&ring, &args, "suspended `ann`, from 2026-03-01T09:00:00Z: laptop lost\nwrote DIR/ann.toml\n");
    says(&ring, &args, "`ann` is suspended already, from 2026-03-01T09:00:00Z: laptop lost\n");
    let listed = json(&ring, &["list"]);
    assert_eq!(listed["keys"][0]["standing"], "suspended");
    assert_eq!(listed["keys"][0]["suspended"]["reason"], "laptop lost");
    assert_eq!(listed["keys"][1]["suspended"], serde_json::Value::Null);
    let (_, shown, _) = cs(&ring, &["show", "ann"]);
    assert!(shown.contains("suspended  from 2026-03-01T09:00:00Z: laptop lost\n"), "{shown}");
    assert!(shown.contains("standing   suspended (laptop lost)\n"), "{shown}");
    let later = ["suspend", "ann", "--reason", "x", "--at", "2026-04-01T00:00:00Z"];
    refuses(&ring, &later, 1, "is suspended from 2026-03-01T09:00:00Z already");
    let earlier = json(&ring, &["suspend", "ann", "--reason", "x", "--at", "2026-02-01T00:00:00Z"]);
    assert_eq!(earlier["suspended"]["at"], "2026-02-01T00:00:00Z");
    refuses(&ring, &["suspend", "ann", "--reason", " "], 2, "a reason has 1 to 200 characters");
    refuses(&ring, &["suspend", "eve", "--reason", "x"], 1, "there is nobody called `eve`");
    refuses(&ring, &["resume", "eve"], 1, "there is nobody called `eve`");
    says(
        &ring,
        &["resume", "ann", "--dry-run"],
        "would let `ann` count again, suspended from 2026-02-01T00:00:00Z: x\n--- ann.toml\n+++ ann.toml\n\
         @@ -1,5 +1,4 @@\n name = \"ann\" # since 2020\n-suspended = { at = 2026-02-01T00:00:00Z, reason = \"x\" }\n \n \
         # her laptop\n [[key]]\n",
    );
    says(
        &ring,
        &["resume", "ann"],
        "`ann` counts again; it was suspended from 2026-02-01T00:00:00Z: x\nwrote DIR/ann.toml\n",
    );
    says(&ring, &["resume", "ann"], "`ann` is not suspended; nothing to do\n");
    assert_eq!(json(&ring, &["resume", "ann"])["was"], serde_json::Value::Null);
    let (_, out, _) = cs(&ring, &["suspend", "bob", "--reason", "x"]);
    assert_eq!(out, "suspended `bob`, from TIME: x\nwrote DIR/bob.toml\n");
}

#[test]
fn rotate_adds_the_new_and_ends_the_old_after_a_grace() {
    let ring = two();
    let dir = tempfile::tempdir().unwrap();
    let line = ssh_key(dir.path(), "new", &["-t", "ed25519"]);
    let (new, old) = (fingerprint(line.trim()), fingerprint(ANN));
    let file = dir.path().join("new.pub");
    let file = file.to_str().unwrap();
    let with_roles = text(&ring, "ann.toml") + "roles = [\"commit\"]\n";
    ring.write("ann.toml", &with_roles);
    for (args, code, why) in [
        (vec!["rotate", "ann", "--key", file, "--grace", "7"], 2, "write 7d, 12h, 30m or 0"),
        (vec!["rotate", "ann", "--key", file, "--grace", "99999999999d"], 2, "too long"),
        (vec!["rotate", "bob", "--key", "/nowhere"], 2, "cannot read"),
        (vec!["rotate", "eve", "--key", file], 1, "there is nobody called"),
        (vec!["rotate", "ann", "--key", file, "--old", "SHA256:AAAAAAAA"], 1, "has no key"),
    ] {
        refuses(&ring, &args, code, why);
    }
    let (_, dry, _) = cs(&ring, &["rotate", "ann", "--key", file, "--grace", "0", "--dry-run"]);
    let wanted =
        format!("would add ssh key {new} to `ann`\nkey {old} would count until TIME\n--- ann.toml\n");
    assert!(dry.starts_with(&wanted), "{dry}");
    let done = json(&ring, &["rotate", "ann", "--key", file, "--reason", "new laptop"]);
    assert_eq!(done["new"]["added"], true);
    assert_eq!(done["old"][0]["fingerprint"], old.as_str());
    let until: Timestamp = done["old"][0]["valid_until"].as_str().unwrap().parse().unwrap();
    let days = (until.as_second() - Timestamp::now().as_second()) as f64 / 86_400.0;
    assert!((6.9..=7.001).contains(&days), "{days}");
    let keyring = ring.load();
    assert_eq!(keyring.keys()[0].windows.ends(), Some(until));
    let newer = &keyring.keys()[1];
    assert_eq!((newer.material.fingerprint(), newer.roles.to_string()), (new, "commit".to_owned()));
    // A second run puts nothing off.
    let written = text(&ring, "ann.toml");
    assert!(written.contains("# her laptop"), "{written}");
    let (code, _, err) = cs(&ring, &["rotate", "ann", "--key", file, "--grace", "30d"]);
    assert_eq!((code, text(&ring, "ann.toml")), (0, written), "{err}");
    // Which of two, has to be said.
    let third = ssh_key(dir.path(), "third", &["-t", "ed25519"]);
    let fourth = ssh_key(dir.path(), "fourth", &["-t", "ed25519"]);
    ring.write("bob.toml", &format!("{}\n[[key]]\nssh = \"{}\"\n", principal("bob", BOB), third.trim()));
    let file = dir.path().join("fourth.pub");
    let args = ["rotate", "bob", "--key", file.to_str().unwrap()];
    refuses(&ring, &args, 1, "say which ends with `--old KEY`");
    let bob = fingerprint(BOB);
    let done = json(&ring, &[&args[..], &["--old", &bob, "--grace", "0"]].concat());
    assert_eq!(done["old"].as_array().unwrap().len(), 1);
    refuses(&ring, &["rotate", "ann", "--key", file.to_str().unwrap()], 2, "is held by `bob` already");
    let revoked = fingerprint(fourth.trim());
    json(&ring, &["revoke", "bob", &revoked, "--reason", "retired"]);
    refuses(&ring, &args, 1, "is revoked: make a new key");
}

fn gpg(dir: &Path, args: &[&str]) -> Vec<u8> {
    let mut all =
        vec!["--batch", "--no-tty", "--yes", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""];
    all.extend(args);
    run("gpg", &all, dir, b"")
}

#[test]
fn refresh_takes_a_newer_copy_and_says_what_is_new() {
    let ring = two();
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    chmod(dir, 0o700);
    gpg(dir, &["--quick-gen-key", "Test Key <carol@example.org>", "ed25519", "sign", "30d"]);
    let listing = String::from_utf8(gpg(dir, &["--with-colons", "--list-keys"])).unwrap();
    let id = listing.lines().find_map(|line| line.strip_prefix("fpr:")).unwrap().trim_matches(':').to_owned();
    let export = |name: &str| {
        let bytes = gpg(dir, &["--armor", "--export", &id]);
        let path = dir.join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let first = export("first.asc");
    json(&ring, &["add", "carol", "--key", &first]);
    let commented = format!("# carol's file\n{}", text(&ring, "carol.toml"));
    ring.write("carol.toml", &format!("{commented}roles = [\"tag\"]\n"));
    gpg(dir, &["--quick-set-expire", &id, "2099-01-01"]);
    gpg(dir, &["--quick-add-key", &id, "ed25519", "sign", "1y"]);
    let second = export("second.asc");

    refuses(&ring, &["refresh", "ann", "--key", &second], 2, "is held by `carol` already");
    refuses(&ring, &["refresh", "eve", "--key", &second], 1, "there is nobody called");
    let ssh = dir.join("ann.pub");
    fs::write(&ssh, ANN).unwrap();
    refuses(&ring, &["refresh", "ann", "--key", ssh.to_str().unwrap()], 1, "an SSH key has no newer copies");
    refuses(&ring, &["rotate", "carol", "--key", &second], 1, "countersign keyring refresh");

    let (code, dry, err) = cs(&ring, &["refresh", "carol", "--key", &second, "--dry-run"]);
    assert!(code == 0 && dry.contains("--- carol.toml\n+++ carol.toml\n"), "{dry}{err}");
    let done = json(&ring, &["refresh", "carol", "--key", &second]);
    let changes = done["changes"].to_string();
    assert!(changes.contains("it is valid") && changes.contains("it has a new subkey "), "{changes}");
    let written = text(&ring, "carol.toml");
    assert!(written.starts_with("# carol's file\n") && written.contains("roles = [\"tag\"]"), "{written}");
    let again = format!("`carol` has this copy of {id} already; nothing to do\n");
    says(&ring, &["refresh", "carol", "--key", &second], &again);
    // The older copy has no revocation to lose, and says what it takes away.
    let back = json(&ring, &["refresh", "carol", "--key", &first, "--dry-run"]);
    assert!(back["changes"].to_string().contains("no longer has the subkey"), "{back}");
    assert_eq!(back["changed"], false);

    // A revocation that the keyring has is not lost again.
    let reverted = fs::read_to_string(dir.join("openpgp-revocs.d").join(format!("{id}.rev"))).unwrap();
    let block = reverted.split_once("\n:-----BEGIN").unwrap().1;
    fs::write(dir.join("rev.asc"), format!("-----BEGIN{block}")).unwrap();
    gpg(dir, &["--import", "rev.asc"]);
    let third = export("third.asc");
    let done = json(&ring, &["refresh", "carol", "--key", &third]);
    assert!(done["changes"].to_string().contains("it brings a revocation"), "{done}");
    assert!(done["warnings"].to_string().contains("no signature by it is accepted"), "{done}");
    refuses(
        &ring,
        &["refresh", "carol", "--key", &second],
        2,
        "is revoked in the keyring and not in this copy",
    );
    // Named by its key id and by the beginning of its fingerprint; a subkey is not the certificate.
    let subkey = listing_subkey(dir, &id);
    refuses(&ring, &["revoke", "carol", &subkey, "--reason", "retired"], 1, "is a subkey of");
    json(&ring, &["revoke", "carol", &id[id.len() - 16..].to_lowercase(), "--reason", "retired"]);
    let done = json(&ring, &["revoke", "carol", &id[..8], "--reason", "retired"]);
    assert_eq!((&done["changed"], &done["keys"][0]["fingerprint"]), (&false.into(), &id.as_str().into()));
    let _ = Command::new("gpgconf").args(["--kill", "all"]).env("GNUPGHOME", dir).status();
}

fn listing_subkey(dir: &Path, id: &str) -> String {
    let listing = gpg(dir, &["--with-colons", "--with-subkey-fingerprint", "--list-keys", id]);
    let listing = String::from_utf8(listing).unwrap();
    let all: Vec<&str> = listing.lines().filter_map(|line| line.strip_prefix("fpr:")).collect();
    all.last().unwrap().trim_matches(':').to_owned()
}

#[test]
fn rename_moves_the_file_and_nothing_else() {
    let ring = two();
    says(
        &ring,
        &["rename", "ann", "ann.smith"],
        "renamed `ann` to `ann.smith`\nremoved DIR/ann.toml\nwrote DIR/ann.smith.toml\n",
    );
    let written = text(&ring, "ann.smith.toml");
    assert!(written.starts_with("name = \"ann.smith\" # since 2020\n\n# her laptop\n"), "{written}");
    assert!(!ring.path().join("ann.toml").exists());
    assert_eq!(ring.load().keys()[0].principal.name, "ann.smith");
    refuses(&ring, &["rename", "ann", "ann.smith"], 1, "is it done already?");
    refuses(&ring, &["rename", "ann.smith", "bob"], 1, "there is a `bob` in the keyring already");
    refuses(&ring, &["rename", "ann.smith", "Ann"], 2, "cannot name a principal");
    refuses(&ring, &["rename", "ann.smith", "../ann"], 2, "cannot name a principal");
    refuses(&ring, &["rename", "eve", "mallory"], 1, "there is nobody called `eve`");
    says(&ring, &["rename", "bob", "bob"], "`bob` is the name already; nothing to do\n");
    let dry = json(&ring, &["rename", "bob", "robert", "--dry-run"]);
    assert!(dry["files"][0]["diff"].as_str().unwrap().contains("+++ /dev/null"), "{dry}");
    assert_eq!((&dry["files"][0]["after"], &dry["changed"]), (&serde_json::Value::Null, &false.into()));
    // A certificate for that name would be somebody else's.
    let dir = tempfile::tempdir().unwrap();
    let ca = ssh_key(dir.path(), "ca", &["-t", "ed25519"]);
    let ca = format!("name = \"ca\"\n\n[[authority]]\nssh = \"{}\"\nprincipals = [\"b*\"]\n", ca.trim());
    ring.write("ca.toml", &ca);
    refuses(&ring, &["rename", "bob", "robert"], 1, "may certify `bob`");
}

#[test]
fn remove_leaves_a_gravestone_and_forgets_no_revocation() {
    let ring = two();
    let (ann, bob) = (fingerprint(ANN), fingerprint(BOB));
    let more = text(&ring, "bob.toml").replacen(
        "\n\n",
        "\nemails = [\"bob@example.org\"]\ngroups = [\"sre\"]\naccounts = [\"bob\"]\n\n",
        1,
    );
    ring.write("bob.toml", &more);
    json(&ring, &["revoke", "ann", &ann, "--reason", "compromised"]);
    let taint = ring.load().compromised(Timestamp::now());
    says(
        &ring,
        &["remove", "ann", "--reason", "left"],
        &format!("removed `ann`\n  {ann} was revoked before and stays so\nwrote DIR/ann.toml\n"),
    );
    assert_eq!(ring.load().compromised(Timestamp::now()), taint, "what it tainted is not forgotten");
    says(
        &ring,
        &["remove", "bob", "--reason", "left"],
        &format!(
            "removed `bob`\n  {bob} is retired\n  its groups are gone: sre\n  its accounts are gone: bob\nwrote DIR/bob.toml\n"
        ),
    );
    says(&ring, &["remove", "bob", "--reason", "left"], "`bob` was removed already; nothing to do\n");
    let keyring = ring.load();
    assert!(keyring.principals().is_empty(), "nobody selects them any more");
    assert_eq!(keyring.removed(), ["ann", "bob"]);
    assert_eq!(keyring.keys().len(), 2, "records still say whose key it was");
    let written = text(&ring, "bob.toml");
    assert!(written.contains("emails = [\"bob@example.org\"]") && !written.contains("accounts"), "{written}");
    // The name is not given again, and nothing can be done with it.
    let dir = tempfile::tempdir().unwrap();
    ssh_key(dir.path(), "id", &["-t", "ed25519"]);
    let key = dir.path().join("id.pub");
    let key = key.to_str().unwrap();
    refuses(&ring, &["add", "bob", "--key", key], 1, "was removed, and the name is not given again");
    refuses(&ring, &["suspend", "bob", "--reason", "x"], 1, "`bob` was removed from the keyring");
    refuses(&ring, &["show", "bob"], 1, "`bob` was removed from the keyring");
    json(&ring, &["add", "carol", "--key", key]);
    refuses(&ring, &["rename", "carol", "bob"], 1, "was removed, and the name is not given again");
    refuses(&ring, &["remove", "eve", "--reason", "x"], 1, "there is nobody called");
    // By hand neither.
    for (old, new, why) in [
        ("revoked = ", "#", "which is not revoked"),
        ("emails", "groups = [\"sre\"]\nemails", "this file has `groups`"),
        ("emails", "accounts = [\"bob\"]\nemails", "this file has `accounts`"),
        ("removed = {", "removed = 1 #", "`removed` says when and why"),
    ] {
        ring.write("bob.toml", &written.replacen(old, new, 1));
        let error = ring.errors();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn an_authority_is_not_removed_by_the_way() {
    let ring = Ring::new();
    let ca = format!("name = \"ca\"\n\n[[authority]]\nssh = \"{ANN}\"\nprincipals = [\"*@example.org\"]\n");
    ring.write("ca.toml", &ca);
    refuses(&ring, &["remove", "ca", "--reason", "x"], 1, "revoke it first");
    json(&ring, &["revoke", "ca", "--all", "--reason", "retired"]);
    json(&ring, &["remove", "ca", "--reason", "x"]);
}

#[test]
fn groups_are_joined_and_left_by_all_or_by_none() {
    let ring = two();
    says(
        &ring,
        &["group", "list"],
        "nobody is in a group; add one with `countersign keyring group add GROUP NAME`\n",
    );
    says(
        &ring,
        &["group", "add", "sre", "ann", "bob"],
        "`ann` joined `sre`\n`bob` joined `sre`\nwrote DIR/ann.toml\nwrote DIR/bob.toml\n",
    );
    says(&ring, &["group", "add", "sre", "ann"], "`ann` is in `sre` already\n");
    says(&ring, &["group", "list"], "GROUP  MEMBERS   NAMED BY\nsre    ann, bob  -\n");
    assert_eq!(json(&ring, &["group", "list"])["groups"]["sre"]["members"][1], "bob");
    refuses(&ring, &["group", "remove", "sre", "ann", "eve"], 1, "there is nobody called `eve`");
    refuses(&ring, &["group", "add", "Group", "ann"], 2, "cannot name a group");
    let dry = json(&ring, &["group", "remove", "sre", "ann", "--dry-run"]);
    assert!(
        dry["files"][0]["diff"].as_str().unwrap().contains("-groups = [\"sre\"]\n+groups = []\n"),
        "{dry}"
    );
    let done = json(&ring, &["group", "remove", "sre", "ann"]);
    assert_eq!((&done["principals"][0], &done["members"][0]), (&"ann".into(), &"bob".into()));
    says(&ring, &["group", "remove", "sre", "ann"], "`ann` is not in `sre` already\n");
}

#[test]
fn roles_are_read_strictly() {
    let ring = Ring::new();
    for (roles, why) in [
        ("[]", "without a role the key never counts"),
        ("[\"comit\"]", "did you mean \"commit\"?"),
        ("[\"sign\"]", "`sign` is no role"),
        ("\"tag\"", "roles"),
    ] {
        ring.write("ann.toml", &format!("{}roles = {roles}\n", principal("ann", ANN)));
        let error = ring.errors();
        assert!(error.contains(why), "{error}");
    }
    ring.write("ann.toml", &format!("{}roles = [\"tag\", \"push\"]\n", principal("ann", ANN)));
    assert_eq!(json(&ring, &["list"])["keys"][0]["roles"], serde_json::json!(["tag", "push"]));
    let (_, shown, _) = cs(&ring, &["show", "ann"]);
    assert!(shown.contains("roles      tag, push\n"), "{shown}");
    let principal = principal("ann", ANN);
    for (line, why) in [
        ("suspended = true", "`suspended` says when and why"),
        ("suspended = { at = 2026-01-01, reason = \"x\" }", "at"),
        ("suspended = { at = 2026-01-01T00:00:00Z }", "reason"),
        ("suspended = { at = 2026-01-01T00:00:00Z, reason = \"\" }", "1 to 200 characters"),
    ] {
        ring.write("ann.toml", &principal.replacen('\n', &format!("\n{line}\n"), 1));
        assert!(ring.errors().contains(why), "{}", ring.errors());
        // N15: what cannot be read is the strictest that it can be.
        ring.write("ann.toml", &principal);
        let good = ring.load();
        ring.write("ann.toml", &principal.replacen('\n', &format!("\n{line}\n"), 1));
        let (saved, news) = good.with_revocations_from(ring.path());
        assert!(news == 1 && saved.suspension("ann").is_some_and(|one| one.at.is_none()), "{line}");
        assert_ne!(saved.digest(), good.digest());
    }
}

#[test]
fn two_writers_lose_nothing_and_a_reader_never_sees_half_a_change() {
    let ring = two();
    let sources = Sources::directory(ring.path());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let sources = &sources;
                scope.spawn(move || {
                    let both = ["ann".to_owned(), "bob".to_owned()];
                    for round in 0..200 {
                        let group = format!("w{writer}-{round}");
                        let options = ChangeOptions::unrecorded("group-add", Timestamp::now());
                        let made = regroup(sources, &group, &both, Membership::Join, &options);
                        made.unwrap_or_else(|error| panic!("round {round} of writer {writer}: {error}"));
                    }
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while !done.load(Ordering::Relaxed) {
                let keyring = Keyring::load(&sources).unwrap_or_else(|error| panic!("{error}")).keyring;
                let [ann, bob] = keyring.principals() else { panic!("somebody is gone") };
                assert_eq!(ann.groups, bob.groups, "half a change");
                seen += 1;
            }
            seen
        });
        let ended: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        // Before anything can panic: the reader waits for it.
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 10);
        assert!(ended.iter().all(Result::is_ok), "a writer failed");
    });
    let keyring = ring.load();
    assert!(
        keyring.principals().iter().all(|one| one.groups.len() == 400),
        "200 rounds of both, nothing lost"
    );
}

#[test]
fn a_full_disk_leaves_the_old_state() {
    let ring = two();
    let names: Vec<String> = (0..40).map(|n| format!("\"group-with-a-long-name-{n}\"")).collect();
    let large = principal("ann", ANN).replacen('\n', &format!("\ngroups = [{}]\n", names.join(", ")), 1);
    ring.write("ann.toml", &large);
    let before = all(ring.path());
    // No file may grow beyond one block, and the signal that comes with that is ignored.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_countersign")]);
    command.args(["keyring", "group", "add", "sre", "ann", "bob", "--keyring"]).arg(ring.path());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("cannot write"), "{said}");
    assert_eq!(all(ring.path()), before);
    json(&ring, &["group", "add", "sre", "ann", "bob"]);
}

#[test]
fn what_others_can_write_is_not_edited() {
    let ring = two();
    chmod(&ring.path().join("bob.toml"), 0o664);
    refuses(&ring, &["group", "add", "sre", "ann"], 2, "can be written by its group");
    chmod(&ring.path().join("bob.toml"), 0o644);
    chmod(ring.path(), 0o777);
    refuses(&ring, &["group", "add", "sre", "ann"], 2, "can be written by its group and everybody else");
    chmod(ring.path(), 0o755);
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("ann.toml");
    fs::rename(ring.path().join("ann.toml"), &target).unwrap();
    std::os::unix::fs::symlink(&target, ring.path().join("ann.toml")).unwrap();
    refuses(&ring, &["group", "add", "sre", "ann"], 2, "is a symbolic link");
}

/// What the real command line reads: an argument of a command that shares its name with a global one panics only
/// there.
#[test]
fn the_program_itself_imports() {
    let ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ann.pub");
    fs::write(&file, format!("{ANN} a test key\n")).unwrap();
    let file = file.to_str().unwrap();
    let seen = json(&ring, &["import", file, "--as", "pub", "--principal", "ann"]);
    assert_eq!(seen["files"][0]["principal"], "ann", "{seen}");
    let (code, _, err) = cs(&ring, &["import", file, "--as", "pub", "--allowed-signers"]);
    assert!(code == 2 && err.contains("cannot be used with"), "{err}");
}

#[test]
fn n14_a_suspension_to_come_does_not_keep_one_from_now() {
    let ring = two();
    json(&ring, &["suspend", "ann", "--reason", "leaves", "--at", "2099-01-01T00:00:00Z"]);
    let (code, out, _) = cs(&ring, &["suspend", "ann", "--reason", "laptop stolen"]);
    assert_eq!((code, out.as_str()), (0, "suspended `ann`, from TIME: laptop stolen\nwrote DIR/ann.toml\n"));
    assert!(ring.load().suspension("ann").unwrap().applies(Timestamp::now()));
    // From now on is what holds; a second one changes nothing.
    let (_, out, _) = cs(&ring, &["suspend", "ann", "--reason", "again"]);
    assert!(out.starts_with("`ann` is suspended already, from TIME: laptop stolen"), "{out}");
}

/// N14: what is learned of a key after its owner left taints what it signed all the same.
#[test]
fn n14_a_key_of_somebody_removed_can_still_be_revoked_as_compromised() {
    let ring = two();
    let ann = fingerprint(ANN);
    json(&ring, &["remove", "ann", "--reason", "left"]);
    assert!(ring.load().compromised(Timestamp::now()).is_empty());
    json(&ring, &["revoke", "ann", &ann, "--reason", "compromised"]);
    assert_eq!(ring.load().compromised(Timestamp::now()), [(ann, i64::MIN)]);
    assert_eq!(ring.load().removed(), ["ann"]);
}

#[test]
fn a_new_key_gets_no_role_that_no_old_one_has() {
    let ring = Ring::new();
    let ann = format!(
        "{}roles = [\"commit\"]\n\n[[key]]\nssh = \"{BOB}\"\nroles = [\"push\"]\n",
        principal("ann", ANN)
    );
    ring.write("ann.toml", &ann);
    let dir = tempfile::tempdir().unwrap();
    ssh_key(dir.path(), "new", &["-t", "ed25519"]);
    let file = dir.path().join("new.pub");
    let (one, two) = (fingerprint(ANN), fingerprint(BOB));
    let args = ["rotate", "ann", "--key", file.to_str().unwrap(), "--old", &one, "--old", &two];
    refuses(&ring, &args, 1, "have no role in common");
    let done = json(&ring, &args[..6]);
    assert_eq!(done["new"]["added"], true);
    assert_eq!(ring.load().keys()[2].roles.to_string(), "commit");
}

/// Lines of `allowed_signers` files are not the keyring's to change, so that nobody may believe that they are.
#[test]
fn revoking_everything_says_what_is_left() {
    let place = Lines::new();
    place.principal("ann", &principal("ann", ANN));
    place.signers(&format!("ann {BOB}\n"));
    let run = |args: &[&str]| place.run(args);
    let (code, out, err) = run(&["revoke", "ann", "--all", "--reason", "compromised"]);
    assert!(out.contains("revoked ssh key"), "{out}{err}");
    // No daemon runs that could confirm it: that outranks what is left.
    assert!(code == 3 && err.contains(&fingerprint(BOB)) && err.contains("signers:1"), "{code} {out}{err}");
    let (code, out, _) = run(&["revoke", "ann", "--all", "--reason", "compromised", "--format", "json"]);
    let seen: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, seen["not_revoked"][0].as_str()), (3, Some(fingerprint(BOB).as_str())), "{out}");
    // Whoever is suspended signs nothing by any line.
    assert_eq!(run(&["suspend", "ann", "--reason", "x"]).0, 3, "in force when a daemon starts");
}

/// A place with a configuration that names an `allowed_signers` file beside the keyring. No daemon runs, so that what
/// waits for one ends with 3.
pub(super) struct Lines {
    pub(super) place: tempfile::TempDir,
}

impl Lines {
    pub(super) fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        chmod(place.path(), 0o755);
        for dir in ["keyring", "repositories"] {
            fs::create_dir(place.path().join(dir)).unwrap();
            chmod(&place.path().join(dir), 0o755);
        }
        let made = Lines { place };
        let signers = "\n[[keyring.allowed-signers]]\npath = \"signers\"\ngroups = [\"staff\"]\n";
        let config = super::export::CONFIG.split("\n[[ruleset]]").next().unwrap();
        made.write("countersign.toml", &format!("{config}{signers}"));
        made
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.place.path().join(name);
        fs::write(&path, text).unwrap();
        chmod(&path, 0o644);
    }

    pub(super) fn principal(&self, name: &str, text: &str) {
        self.write(&format!("keyring/{name}.toml"), text);
    }

    pub(super) fn signers(&self, text: &str) {
        self.write("signers", text);
    }

    pub(super) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.place.path().join("keyring").join(name)).unwrap()
    }

    pub(super) fn run(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.arg("keyring").args(args).arg("--config").arg(self.place.path().join("countersign.toml"));
        let output = command.env_clear().stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    pub(super) fn sources(&self) -> Sources {
        let mut sources = Sources::directory(self.place.path().join("keyring"));
        sources.allowed_signers.push(AllowedSigners {
            path: self.place.path().join("signers"),
            groups: vec!["staff".to_owned()],
            zone: None,
        });
        sources
    }

    pub(super) fn load(&self) -> Keyring {
        Keyring::load(self.sources()).unwrap_or_else(|error| panic!("{error}")).keyring
    }
}

/// N14: everybody who has keys can be suspended, whatever file they stand in.
#[test]
fn n14_whom_only_lines_name_gets_a_file_that_suspends_them() {
    let place = Lines::new();
    let dir = tempfile::tempdir().unwrap();
    let third = ssh_key(dir.path(), "third", &["-t", "ed25519"]);
    let (kind, third) = third.trim().rsplit_once(' ').unwrap();
    assert_eq!(third, "ann@laptop");
    place.signers(&format!(
        "ann@example.org,a.n@example.org {ANN}\nann@example.org {BOB}\nbob@example.org {kind}\n"
    ));
    let before = place.load();
    assert_eq!(before.keys().iter().filter(|key| key.principal.name == "ann@example.org").count(), 2);
    let (code, out, err) = place.run(&["suspend", "ann@example.org", "--reason", "laptop lost"]);
    assert_eq!(code, 3, "no daemon runs that could confirm it: {out}{err}");
    assert!(out.starts_with("suspended `ann`, from ") && out.contains("`ann` is a new file"), "{out}");
    let written = place.text("ann.toml");
    assert!(written.contains("emails = [\"ann@example.org\", \"a.n@example.org\"]"), "{written}");
    assert!(written.contains("groups = [\"staff\"]"), "{written}");
    let keyring = place.load();
    let standing = |keyring: &Keyring, key: &str| {
        let id = KeyId { scheme: Scheme::Ssh, text: fingerprint(key) };
        keyring.find(&id).unwrap().standing(Timestamp::now()).name()
    };
    assert_eq!((standing(&keyring, ANN), standing(&keyring, BOB)), ("suspended", "suspended"));
    assert_eq!(standing(&keyring, kind), "valid", "nobody else is");
    // The last good state, which has the line's owner by the address, is suspended as well.
    place.principal("eve", "name = \"mallory\"\n");
    let (kept, news) = before.with_revocations_from(place.sources());
    assert_eq!((news > 0, standing(&kept, ANN), standing(&kept, kind)), (true, "suspended", "valid"));
    fs::remove_file(place.place.path().join("keyring/eve.toml")).unwrap();
    // Again, by either name; and back.
    let (_, out, _) = place.run(&["suspend", "ann@example.org", "--reason", "x"]);
    assert!(out.starts_with("`ann` is suspended already"), "{out}");
    let (code, out, err) = place.run(&["resume", "ann@example.org"]);
    assert!(code == 0 && out.starts_with("`ann` counts again"), "{out}{err}");
    let keyring = place.load();
    assert_eq!(standing(&keyring, ANN), "valid");
    assert_eq!(keyring.principal("ann").unwrap().groups, ["staff"]);
}

#[test]
fn who_gets_a_file_never_gets_one_of_somebody_else() {
    let place = Lines::new();
    place.principal("ann", "name = \"ann\"\nemails = [\"other@example.org\"]\n");
    place.signers(&format!("ann@example.org {ANN}\nAnn {BOB}\n"));
    for (args, why) in [
        (&["suspend", "ann@example.org", "--reason", "x"][..], "`ann` is somebody else"),
        (&["suspend", "ann@example.org", "--reason", "x", "--as", "Ann"], "cannot name one"),
        (&["suspend", "Ann", "--reason", "x", "--as", "anna"], "no file can be for all of its lines"),
        (&["suspend", "zoe@example.org", "--reason", "x"], "there is nobody called `zoe@example.org`"),
        (&["revoke", "Ann", "--all", "--reason", "retired"], "countersign keyring suspend 'Ann'"),
    ] {
        let (code, out, err) = place.run(args);
        assert!(code == 1 && err.contains(why), "{code} {out}{err}");
    }
    assert_eq!(
        fs::read_dir(place.place.path().join("keyring"))
            .unwrap()
            .flatten()
            .filter(|one| { one.file_name().to_string_lossy().ends_with(".toml") })
            .count(),
        1,
        "nothing was written"
    );
    let (code, out, err) = place.run(&["suspend", "ann@example.org", "--reason", "x", "--as", "ann.2"]);
    assert!(code == 3 && out.starts_with("suspended `ann.2`"), "{out}{err}");
    // Whom only an authority speaks for: on purpose only.
    place.signers(&format!("ann@example.org {ANN}\n*@example.org cert-authority {BOB}\n"));
    let args = ["suspend", "zoe@example.org", "--reason", "x"];
    let (code, _, err) = place.run(&args);
    assert!(code == 1 && err.contains("`--certified`"), "{err}");
    let (code, out, err) = place.run(&[&args[..], &["--certified"]].concat());
    assert!(code == 3 && out.starts_with("suspended `zoe`"), "{out}{err}");
    assert!(place.load().suspension("zoe").is_some());
}
