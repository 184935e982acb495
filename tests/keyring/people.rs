//! Who is there, who comes and who goes: accounts without keys, gravestones, addresses.

use super::craft::Key;
use super::edits::{Lines, cs, fingerprint, json, refuses, says, text, two};
use super::gnupg::{Gpg, NOW};
use super::{ANN, Ring, chmod, principal, ssh_key};
use countersign::domain::Timestamp;
use countersign::signature::Demand;
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

#[test]
fn words_are_added_without_a_key() {
    let ring = two();
    says(
        &ring,
        &["add", "ann", "--account", "gitlab:ann", "--email", "ann@example.org", "--group", "sre"],
        "updated `ann`\nwrote DIR/ann.toml\n",
    );
    let written = text(&ring, "ann.toml");
    assert!(written.contains("# since 2020") && written.contains("accounts = [\"gitlab:ann\"]"), "{written}");
    says(&ring, &["add", "ann", "--account", "gitlab:ann"], "`ann` has all of that already; nothing to do\n");
    let done = json(&ring, &["add", "ann", "--account", "gitea:#17"]);
    assert_eq!((&done["changed"], &done["key_added"]), (&true.into(), &false.into()));
    assert!(done["fingerprint"].is_null() && done["format"].is_null(), "{done}");
    refuses(&ring, &["add", "ann"], 2, "give `--key`, or something else");
    refuses(&ring, &["add", "ann", "--email", "nowhere"], 2, "is no address");
    refuses(&ring, &["add", "bob", "--account", "ann"], 2, "overlaps with `gitlab:ann`");
    refuses(&ring, &["add", "ann", "--kind", "bot", "--group", "x"], 2, "`ann` is a person, not a bot");
    // A mistyped name makes nobody.
    refuses(
        &ring,
        &["add", "an", "--account", "x"],
        1,
        "no file of `an` in the keyring (did you mean `ann`?)",
    );
    says(
        &ring,
        &["add", "deploy", "--kind", "bot", "--account", "deploy"],
        "created `deploy`\nwrote DIR/deploy.toml\n",
    );
    assert_eq!(ring.load().principal("deploy").unwrap().kind.name(), "bot");
    let before = fingerprint(ANN);
    assert_eq!(ring.load().keys().iter().filter(|key| key.material.fingerprint() == before).count(), 1);
}

/// Nobody gets the address of somebody who left without a word: commits that claim it would be theirs.
#[test]
fn an_address_of_somebody_removed_is_not_given_again_in_silence() {
    let ring = two();
    json(&ring, &["add", "ann", "--email", "Info@example.org", "--email", "ann@example.org"]);
    json(&ring, &["remove", "ann", "--reason", "left"]);
    let dir = tempfile::tempdir().unwrap();
    ssh_key(dir.path(), "id", &["-t", "ed25519"]);
    let key = dir.path().join("id.pub");
    let key = key.to_str().unwrap();
    let why = "is an address of `ann`, who was removed";
    for args in [
        &["add", "bob", "--email", "ann@example.org"][..],
        &["add", "bob", "--email", "ANN@example.org"],
        &["add", "carol", "--email", "info@Example.org", "--key", key],
        &[
            "add",
            "bob",
            "--email",
            "ann@example.org",
            "--email",
            "info@example.org",
            "--reuse-address",
            "ann@example.org",
            "--reason",
            "x",
        ],
    ] {
        refuses(&ring, args, 1, why);
    }
    let again = ["add", "bob", "--email", "info@example.org", "--reuse-address", "info@example.org"];
    refuses(&ring, &again, 2, "--reason");
    refuses(
        &ring,
        &["add", "bob", "--email", "b@x.org", "--reuse-address", "c@x.org", "--reason", "x"],
        2,
        "goes with",
    );
    let two_lines = [&again[..], &["--reason", "two\nlines"]].concat();
    refuses(&ring, &two_lines, 2, "nobody sees, or several lines");
    let done = json(&ring, &[&again[..], &["--reason", "the team's address"]].concat());
    let changed: Vec<&str> =
        done["files"].as_array().unwrap().iter().map(|file| file["principal"].as_str().unwrap()).collect();
    assert_eq!(changed, ["ann", "bob"], "both files are on record");
    let stone = text(&ring, "ann.toml");
    assert!(stone.contains("] # info@example.org is of `bob` since "), "{stone}");
    assert!(stone.contains(": the team's address"), "{stone}");
    let keyring = ring.load();
    assert_eq!(keyring.principal("bob").unwrap().emails, ["info@example.org"]);
    assert_eq!(json(&ring, &[&again[..], &["--reason", "x"]].concat())["changed"], false);
    // By hand it is told of.
    ring.write("bob.toml", &text(&ring, "bob.toml").replace("info@", "Ann@"));
    let (code, out, err) = cs(&ring, &["check"]);
    assert!(code == 1 && out.contains("`bob` has an address of `ann`, who was removed"), "{out}{err}");
}

/// A certificate says an address, and not since when it is whose.
#[test]
fn giving_an_address_again_that_an_authority_certifies_is_told() {
    let ring = two();
    let ca = Key::ed25519(9).line();
    let table = format!("[[authority]]\nssh = \"{ca}\"\nprincipals = [\"*@example.org\"]\n");
    ring.write("ca.toml", &format!("name = \"ca\"\n{table}"));
    json(&ring, &["add", "ann", "--email", "ann@example.org"]);
    json(&ring, &["remove", "ann", "--reason", "left"]);
    let again =
        ["add", "bob", "--email", "ann@example.org", "--reuse-address", "ann@example.org", "--reason", "x"];
    let told = json(&ring, &again)["warnings"].clone();
    assert!(told[0].as_str().unwrap().contains("issued before count as `bob`'s from now on"), "{told}");
    assert_eq!(json(&ring, &again)["warnings"], serde_json::json!([]), "it was said");
}

#[test]
fn an_import_gives_no_address_of_somebody_removed_either() {
    let ring = two();
    json(&ring, &["add", "ann", "--email", "ann@example.org"]);
    json(&ring, &["remove", "ann", "--reason", "left"]);
    let dir = tempfile::tempdir().unwrap();
    let line = ssh_key(dir.path(), "id", &["-t", "ed25519"]);
    let file = dir.path().join("signers");
    fs::write(&file, format!("carol@example.org,ann@example.org {line}")).unwrap();
    let args = ["import", file.to_str().unwrap(), "--allowed-signers"];
    refuses(&ring, &args, 1, "`ann` was removed");
    fs::write(&file, format!("carol@example.org,Ann@Example.org {line}")).unwrap();
    refuses(&ring, &args, 1, "is an address of `ann`, who was removed");
    fs::write(&file, format!("carol@example.org,ann@example.org {line}")).unwrap();
    let reuse = ["--reuse-address", "ann@example.org", "--reason", "it is hers now"];
    let ca = Key::ed25519(9).line();
    let table = format!("[[authority]]\nssh = \"{ca}\"\nprincipals = [\"*@example.org\"]\n");
    ring.write("ca.toml", &format!("name = \"ca\"\n{table}"));
    let told = json(&ring, &[&args[..], &reuse].concat())["warnings"].clone();
    assert!(told[0].as_str().unwrap().contains("issued before count as `carol`'s from now on"), "{told}");
    assert_eq!(told.as_array().unwrap().len(), 1, "{told}");
    assert_eq!(json(&ring, &[&args[..], &reuse].concat())["warnings"], serde_json::json!([]), "it was said");
    assert_eq!(ring.load().principal("carol").unwrap().emails, ["carol@example.org", "ann@example.org"]);
    assert!(text(&ring, "ann.toml").contains("is of `carol` since "), "{}", text(&ring, "ann.toml"));
}

#[test]
fn n14_somebody_who_comes_back_brings_no_revoked_key_along() {
    let ring = two();
    json(&ring, &["add", "ann", "--email", "ann@example.org", "--group", "sre", "--account", "ann"]);
    let dir = tempfile::tempdir().unwrap();
    let new = ssh_key(dir.path(), "new", &["-t", "ed25519"]);
    fs::write(dir.path().join("old.pub"), ANN).unwrap();
    let (new_file, old_file) = (dir.path().join("new.pub"), dir.path().join("old.pub"));
    let (new_file, old_file) = (new_file.to_str().unwrap(), old_file.to_str().unwrap());
    let back = |more: &[&'static str]| [&["add", "ann", "--returning"][..], more].concat();
    let why = ["--reason", "hired again"];
    json(&ring, &["remove", "ann", "--reason", "left"]);
    let stone = ring.load();
    refuses(
        &ring,
        &["add", "ann", "--key", new_file],
        1,
        "countersign keyring add ann --returning --reason TEXT",
    );
    refuses(&ring, &back(&["--group", "sre"]), 2, "--reason");
    refuses(&ring, &[&back(&why)[..], &["--key", old_file]].concat(), 1, "stays revoked: make a new key");
    refuses(&ring, &["add", "zoe", "--returning", "--reason", "x", "--key", new_file], 1, "was ever removed");
    refuses(&ring, &[&back(&why)[..], &["--kind", "bot"]].concat(), 2, "`ann` is a person, not a bot");
    let args = [&back(&why)[..], &["--key", new_file, "--group", "web"]].concat();
    let (_, out, _) = cs(&ring, &args);
    let print = fingerprint(new.trim());
    let wanted = format!(
        "`ann` is back, and what was revoked stays revoked\nadded ssh key {print} to `ann`\nwrote DIR/ann.toml\n"
    );
    assert_eq!(out, wanted);
    let keyring = ring.load();
    let ann = keyring.principal("ann").unwrap();
    assert_eq!(
        (&ann.groups[..], &ann.emails[..]),
        (&["web".to_owned()][..], &["ann@example.org".to_owned()][..])
    );
    assert_eq!(keyring.accounts_of("ann").count(), 0, "what went with the removal does not come back");
    assert!(keyring.removed().is_empty());
    let standings: Vec<&str> = keyring
        .keys()
        .iter()
        .filter(|key| key.principal.name == "ann")
        .map(|key| key.standing(Timestamp::now()).name())
        .collect();
    assert_eq!(standings, ["revoked", "valid"]);
    assert_eq!(keyring.keys()[0].revoked, stone.keys()[0].revoked, "just as it was");
    // A second run changes nothing.
    assert_eq!(json(&ring, &args)["changed"], false);
    // Without anything but the name: somebody without a key for now.
    json(&ring, &["remove", "bob", "--reason", "left"]);
    let (code, out, _) = cs(&ring, &["add", "bob", "--returning", "--reason", "back", "--dry-run"]);
    assert!(code == 0 && out.contains("-removed = {"), "{out}");
    assert_eq!(ring.load().removed(), ["bob"]);
}

/// A revocation that is still to come is no reason to leave a key of somebody removed good until then.
#[test]
fn n14_who_is_removed_leaves_no_key_that_is_revoked_only_later() {
    let ring = two();
    for reason in ["superseded", "retired"] {
        let coming = format!("revoked = {{ at = 2099-01-01T00:00:00Z, reason = \"{reason}\" }}\n");
        ring.write("ann.toml", &format!("{}{coming}", principal("ann", ANN)));
        json(&ring, &["remove", "ann", "--reason", "left"]);
        json(&ring, &["add", "ann", "--returning", "--reason", "hired again"]);
        let keyring = ring.load();
        let key = keyring.keys().iter().find(|key| key.principal.name == "ann").unwrap();
        assert!(key.revoked.as_ref().unwrap().applies(Timestamp::now()), "{}", text(&ring, "ann.toml"));
    }
    let ca = Key::ed25519(9).line();
    ring.write(
        "ann.toml",
        &format!(
            "name = \"ann\"\n[[authority]]\nssh = \"{ca}\"\nprincipals = [\"*\"]\n\
             revoked = {{ at = 2099-01-01T00:00:00Z, reason = \"retired\" }}\n"
        ),
    );
    refuses(&ring, &["remove", "ann", "--reason", "left"], 1, "is an authority in the file of `ann`");
}

fn public(dir: &tempfile::TempDir, name: &str, line: &str) -> String {
    let path = dir.path().join(name);
    fs::write(&path, format!("{line}\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn rotating_puts_no_end_off() {
    let ring = two();
    let dir = tempfile::tempdir().unwrap();
    let new = public(&dir, "new.pub", &Key::ed25519(41).line());
    let with = |more: &str| ring.write("ann.toml", &format!("{}{more}\n", principal("ann", ANN)));
    with("valid-until = 2099-12-31T00:00:00Z");
    let (_, out, _) = cs(&ring, &["rotate", "ann", "--key", &new, "--dry-run"]);
    assert!(out.contains("  it ends at 2099-12-31T00:00:00Z\n"), "{out}");
    let until = |more: &[&str]| {
        let done = json(&ring, &[&["rotate", "ann", "--key", &new, "--dry-run"][..], more].concat());
        done["new"]["valid_until"].as_str().map(str::to_owned)
    };
    assert_eq!(until(&[]).as_deref(), Some("2099-12-31T00:00:00Z"));
    assert_eq!(until(&["--until", "2098-01-01T00:00:00Z"]).as_deref(), Some("2098-01-01T00:00:00Z"));
    assert_eq!(until(&["--until", "never"]), None);
    refuses(&ring, &["rotate", "ann", "--key", &new, "--until", "2020-01-01T00:00:00Z"], 2, "is past");
    refuses(&ring, &["rotate", "ann", "--key", &new, "--until", "soon"], 2, "a time with its zone");
    // One that ends before the grace does, ends the new one with it: that is nobody's wish.
    let soon = Timestamp::now().as_second() + 3600;
    with(&format!("valid-until = {}", Timestamp::from_second(soon).unwrap()));
    refuses(&ring, &["rotate", "ann", "--key", &new], 1, "say when the new one ends");
    // Of several, the first end counts, and a beginning to come is none sooner.
    let other = Key::ed25519(42).line();
    with(&format!(
        "valid-until = 2099-12-31T00:00:00Z\n\n[[key]]\nssh = \"{other}\"\nvalid-from = {}\nvalid-until = 2098-12-31T00:00:00Z",
        Timestamp::from_second(soon).unwrap()
    ));
    let (one, two) = (fingerprint(ANN), fingerprint(&other));
    let args = ["rotate", "ann", "--key", &new, "--old", &one, "--old", &two];
    json(&ring, &args);
    let keyring = ring.load();
    let new_key = fingerprint(&Key::ed25519(41).line());
    let key = keyring.keys().iter().find(|key| key.material.fingerprint() == new_key).unwrap();
    assert_eq!(key.windows.ends().map(|at| at.to_string()).as_deref(), Some("2098-12-31T00:00:00Z"));
    assert_eq!(key.windows.begins().map(Timestamp::as_second), Some(soon));
    assert_eq!(json(&ring, &args)["changed"], false, "a second run changes nothing");
    refuses(&ring, &[&args[..], &["--until", "never"]].concat(), 1, "is there already, until 2098-12-31");
}

/// The entry of a key that is there already says when it counts.
#[test]
fn rotating_to_a_key_that_does_not_count_then_leaves_nobody_without_one() {
    let ring = two();
    let dir = tempfile::tempdir().unwrap();
    let line = Key::ed25519(41).line();
    let new = public(&dir, "new.pub", &line);
    for window in ["valid-until = 2020-01-01T00:00:00Z", "valid-from = 2099-01-01T00:00:00Z"] {
        ring.write("ann.toml", &format!("{}\n[[key]]\nssh = \"{line}\"\n{window}\n", principal("ann", ANN)));
        refuses(&ring, &["rotate", "ann", "--key", &new], 1, "would be left without one: correct its entry");
    }
    ring.write("ann.toml", &format!("{}\n[[key]]\nssh = \"{line}\"\n", principal("ann", ANN)));
    assert_eq!(json(&ring, &["rotate", "ann", "--key", &new])["changed"], true);
}

#[test]
fn rotating_loosens_nothing_that_is_asked_of_fido_keys() {
    let ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    let token = |seed: u8| Key::ed25519(seed).fido("ssh:").line();
    let (first, second) = (token(51), token(52));
    let new = public(&dir, "new.pub", &token(53));
    let plain = public(&dir, "plain.pub", &Key::ed25519(54).line());
    let other = public(&dir, "other.pub", &Key::ed25519(55).fido("ssh:other").line());
    let (one, two) = (fingerprint(&first), fingerprint(&second));
    let both = ["--old", &one, "--old", &two];
    let seen = |a: &str, b: &str| {
        let text = format!("{}{a}\n\n[[key]]\nssh = \"{second}\"\n{b}\n", principal("ann", &first));
        ring.write("ann.toml", &text);
        json(&ring, &[&["rotate", "ann", "--key", &new][..], &both].concat());
        ring.load().keys().last().unwrap().fido.clone()
    };
    let (required, any) = (Some(Demand::Required), Some(Demand::Any));
    // Whichever comes first, the strictest holds; what one leaves to the configuration stays there.
    for (a, b, touch, verification) in [
        ("touch = \"any\"", "touch = \"required\"", required, None),
        ("", "user-verification = \"required\"", None, required),
        ("touch = \"any\"", "", None, None),
        ("touch = \"any\"", "touch = \"any\"\nuser-verification = \"any\"", any, None),
    ] {
        for (a, b) in [(a, b), (b, a)] {
            let fido = seen(a, b);
            assert_eq!((fido.touch, fido.user_verification), (touch, verification), "{a} {b}");
        }
    }
    let list = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    let names = |words: &str| format!("applications = {words}");
    assert_eq!(seen(&names("[\"ssh:\", \"ssh:o*\"]"), &names("[\"ssh:\"]")).applications, list(&["ssh:"]));
    assert_eq!(seen(&names("[\"ssh:*\"]"), &names("[\"ssh:\"]")).applications, list(&["ssh:"]));
    assert_eq!(seen(&names("[\"ssh:*\"]"), &names("[\"*\"]")).applications, list(&["ssh:"]));
    assert_eq!(seen(&names("[\"ssh:\"]"), "").applications, None);
    // A key for something else, and one that cannot be touched.
    let text = format!("{}{}\n", principal("ann", &first), names("[\"ssh:\"]"));
    ring.write("ann.toml", &text);
    refuses(&ring, &["rotate", "ann", "--key", &other], 1, "which `applications` of");
    refuses(&ring, &["rotate", "ann", "--key", &plain], 1, "say `--without-fido`");
    ring.write("ann.toml", &principal("ann", &first));
    refuses(&ring, &["rotate", "ann", "--key", &plain], 1, "say `--without-fido`");
    json(&ring, &["rotate", "ann", "--key", &plain, "--without-fido"]);
    // One that asked for nothing special is replaced by one that asks for no less.
    ring.write("ann.toml", &text);
    json(&ring, &["rotate", "ann", "--key", &new]);
    assert_eq!(ring.load().keys().last().unwrap().fido.applications, list(&["ssh:"]));
}

/// Not being allowed to look for the record is no answer: nobody may take it for "there is none".
#[test]
fn where_nobody_may_look_for_the_record_nothing_is_changed() {
    const OTHER: u32 = 54_321;
    let place = Lines::new();
    let root = place.place.path();
    place.principal("ann", &principal("ann", ANN));
    fs::create_dir(root.join("state")).unwrap();
    place.write("signers", "");
    let mut program = PathBuf::from(env!("CARGO_BIN_EXE_countersign"));
    let root_runs = rustix::process::geteuid().is_root();
    if root_runs {
        // Root may look everywhere, so it is somebody else who runs it, on a keyring of their own.
        let copy = root.join("program");
        fs::copy(&program, &copy).unwrap();
        program = copy;
        chmod(&program, 0o755);
        for path in ["keyring", "keyring/ann.toml", "signers", "countersign.toml"] {
            chown(root.join(path), Some(OTHER), Some(OTHER)).unwrap();
        }
    }
    chmod(&root.join("state"), if root_runs { 0o700 } else { 0o000 });
    let run = |args: &[&str]| {
        let mut command = Command::new(&program);
        if root_runs {
            command.uid(OTHER).gid(OTHER).current_dir("/");
        }
        command.arg("keyring").args(args).arg("--config").arg(root.join("countersign.toml"));
        let output = command.env_clear().stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let before = place.text("ann.toml");
    let (code, out, err) = run(&["group", "add", "sre", "ann"]);
    assert_eq!(code, 3, "{out}{err}");
    for part in [
        "nothing was changed, because it would not be on record",
        "state.db",
        "Permission denied",
        "as root or as the daemon's account",
    ] {
        assert!(err.contains(part), "{part}: {err}");
    }
    assert_eq!(place.text("ann.toml"), before);
    // What only takes away goes on, and says that it is not on record.
    let (code, out, err) = run(&["suspend", "ann", "--reason", "laptop lost"]);
    assert!(code == 3 && err.contains("the change stands and is not on record"), "{out}{err}");
    assert!(place.text("ann.toml").contains("suspended = "));
    // Looking needs no record, and claims nothing about what is in it.
    let (code, out, err) = run(&["list", "--format", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, listed["keys"][0]["last_used"].as_str()), (0, Some("unknown")), "{err}");
    chmod(&root.join("state"), 0o755);
}

/// A GnuPG home in which one certificate is of a kind that is not read here does not keep the others out.
#[test]
fn an_import_can_leave_out_what_it_cannot_read_and_says_so() {
    let gpg = Gpg::new();
    let make = |address: &str, algorithm: &str| {
        let id = format!("Test Key (not a real one) <{address}>");
        gpg.run(NOW, &["--quick-gen-key", &id, algorithm, "sign", "never"], b"");
    };
    make("ann@example.org", "ed25519");
    make("odd@example.org", "brainpoolP256r1");
    make("bob@example.org", "ed25519");
    let fingerprints = gpg.fingerprints();
    let home = gpg.home().to_str().unwrap();
    let args = ["import", "--gnupg-home", home];
    let ring = Ring::new();
    refuses(&ring, &args, 2, "certificate 2 of 3");
    let skipping = [&args[..], &["--skip-unreadable"]].concat();
    let (code, out, err) = cs(&ring, &[&skipping[..], &["--dry-run"]].concat());
    assert!(code == 1 && err.contains("left out: ") && err.contains("certificate 2 of 3"), "{out}{err}");
    assert!(ring.load().principals().is_empty());
    let (code, out, err) = cs(&ring, &[&skipping[..], &["--format", "json"]].concat());
    let seen: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, seen["sources"][0]["unreadable"].as_array().unwrap().len()), (1, 1), "{err}");
    let names: Vec<String> = ring.load().principals().iter().map(|one| one.name.clone()).collect();
    assert_eq!(names, ["ann", "bob"]);
    // By what is wanted: the odd one is somebody else's affair, unless it is what was wanted.
    let ring = Ring::new();
    for words in [["--only", "BOB@example.org"], ["--only", &fingerprints[2].to_lowercase()]] {
        let (code, out, err) = cs(&ring, &[&args[..], &words].concat());
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        assert_eq!(ring.load().principals().len(), 1);
        assert_eq!(ring.load().principals()[0].name, "bob");
    }
    for (word, why) in
        [("odd@example.org", "certificate 2 of 3"), ("zoe@example.org", "goes by `zoe@example.org`")]
    {
        let all = [&args[..], &["--only", "ann@example.org", "--only", word, "--skip-unreadable"]].concat();
        refuses(&ring, &all, 2, why);
    }
    // Nothing at all is no import, and a private key is never left out.
    let file = tempfile::tempdir().unwrap();
    let odd = file.path().join("odd.asc");
    fs::write(&odd, gpg.export("odd@example.org")).unwrap();
    refuses(&ring, &["import", odd.to_str().unwrap(), "--skip-unreadable"], 2, "odd.asc");
    let secret = gpg.run(NOW, &["--armor", "--export-secret-keys", "ann@example.org"], b"");
    fs::write(&odd, [gpg.export("bob@example.org"), secret].concat()).unwrap();
    refuses(
        &ring,
        &["import", odd.to_str().unwrap(), "--skip-unreadable", "--only", "bob@example.org"],
        2,
        "private key",
    );
}
