//! Commits of the right people that would make a keyring which does not work: refused when they are pushed, and not
//! taken over where they stand in the ref all the same.

use super::site::{A_WHILE, Site, principal};
use crate::support::signers::Signer;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

type Spoil<'a> = (&'a str, Box<dyn Fn() + 'a>);

#[test]
fn a_push_of_a_state_that_would_not_load_is_refused_with_the_place() {
    let site = Site::accepted();
    let before = site.state();
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    let good = principal(&bob, "sre", "");
    let alice = fs::read_to_string(site.path("alice.toml")).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"b\xffb.toml");
    let cases: Vec<Spoil<'_>> = vec![
        (
            "keyring/bob.toml` is a symbolic link",
            Box::new(|| symlink("/etc/passwd", site.path("bob.toml")).unwrap()),
        ),
        ("cannot name a principal", Box::new(|| site.write("Alice.toml", &good))),
        ("cannot name a principal", Box::new(|| site.write("bob.TOML", &good))),
        ("keyring/b\\xffb.toml", Box::new(|| fs::write(site.work.join("keyring").join(odd), &good).unwrap())),
        (
            "not UTF-8 text",
            Box::new(|| fs::write(site.path("bob.toml"), b"name = \"bob\"\n# \xff\n").unwrap()),
        ),
        (
            "is executable",
            Box::new(|| {
                site.write("bob.toml", &good);
                fs::set_permissions(site.path("bob.toml"), fs::Permissions::from_mode(0o755)).unwrap();
            }),
        ),
        (
            "is a directory",
            Box::new(|| {
                fs::create_dir(site.path("bob.toml")).unwrap();
                site.write("bob.toml/x", "x");
            }),
        ),
        ("8388608", Box::new(|| site.write("bob.toml", &"#\n".repeat(5 << 20)))),
        ("keyring/bob.toml:2:1", Box::new(|| site.write("bob.toml", "name = \"bob\"\nunknown = 1\n"))),
        ("keyring/bob.toml:1:", Box::new(|| site.write("bob.toml", "name = [\n"))),
        ("keyring/bob.toml", Box::new(|| site.write("bob.toml", &alice.replace("\"alice\"", "\"bob\"")))),
        (
            "there is no directory `keyring`",
            Box::new(|| fs::remove_dir_all(site.work.join("keyring")).unwrap()),
        ),
        (
            "there is no principal's file",
            Box::new(|| {
                fs::remove_file(site.path("alice.toml")).unwrap();
                site.write("README", "nobody");
            }),
        ),
        (
            "differ only in case",
            Box::new(|| {
                let upper = site.work.join("Keyring");
                fs::create_dir_all(&upper).unwrap();
                fs::write(upper.join("alice.toml"), &good).unwrap();
            }),
        ),
    ];
    for (why, spoil) in cases {
        spoil();
        let said = site.broken(Some(&site.alice), why);
        assert!(said.contains(why), "{why}\n{said}");
        assert!(said.contains("countersign keyring check --keyring keyring"), "how to test it: {said}");
        assert!(!said.contains(site.gate.home.to_str().unwrap()), "no path of the server: {said}");
    }
    // A submodule is in the tree only.
    let commit = site.clone().id("HEAD");
    let entry = format!("160000,{commit},keyring/bob.toml");
    site.clone().git(&["update-index", "--add", "--cacheinfo", &entry]).ok();
    site.clone().commit(Some(&site.alice), "a submodule");
    let push = site.clone().push(&["main"]).assert_refused(&["broken-source"]);
    assert!(push.text().contains("submodule"), "{}", push.text());
    site.back();
    // A tag in place of a commit is refused as in every branch.
    site.clone().sign(Some(&site.alice), &["tag", "-m", "a tag", "v1"]);
    site.clone().push(&["v1:refs/heads/main"]).assert_refused(&["malformed-update"]);
    // Whoever may not sign is told that, and nothing of the files.
    site.write("bob.toml", "name = [\n");
    site.add();
    site.clone().commit(Some(&bob), "neither signed nor sound");
    let push = site.clone().push(&["main"]).assert_refused(&["untrusted-signer"]);
    assert!(!push.text().contains("bob.toml:1"), "{}", push.text());
    site.back();
    std::thread::sleep(A_WHILE);
    assert_eq!(site.state(), before);
    // What is beside the directory, or begins with a dot, is nobody's business.
    fs::create_dir_all(site.work.join("docs")).unwrap();
    fs::write(site.work.join("docs/Alice.toml"), "not = [").unwrap();
    site.write(".source", "{}");
    let tip = site.push(Some(&site.alice), "notes");
    site.follows(&tip);
}

#[test]
fn n04_an_alias_of_the_ref_is_the_ref() {
    let site = Site::accepted();
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    site.gate.repository_keys.replace("allow-symref-push = true".to_owned());
    site.gate.reconfigure(super::site::POLICY);
    site.in_bare(&["symbolic-ref", "refs/heads/alias", "refs/heads/main"]);
    site.write("bob.toml", "name = [\n");
    site.add();
    site.clone().commit(Some(&site.alice), "broken");
    site.clone().push(&["main:refs/heads/alias"]).assert_refused(&["broken-source"]);
    site.back();
    site.write("bob.toml", &principal(&bob, "admins", ""));
    site.add();
    site.clone().commit(Some(&bob), "by himself");
    site.clone().push(&["main:refs/heads/alias"]).assert_refused(&["untrusted-signer"]);
    site.back();
    site.write("bob.toml", &principal(&bob, "admins", ""));
    site.add();
    site.clone().commit(Some(&site.alice), "bob");
    site.clone().push(&["main:refs/heads/alias"]).assert_accepted();
    site.follows(&site.clone().id("HEAD"));
}

#[test]
fn a_push_that_locks_out_all_signers_is_refused() {
    let site = Site::accepted();
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    site.write("bob.toml", &principal(&bob, "sre", ""));
    let tip = site.push(Some(&site.alice), "bob");
    site.follows(&tip);
    let alice = fs::read_to_string(site.path("alice.toml")).unwrap();
    let key = alice.lines().find(|line| line.starts_with("ssh =")).unwrap();
    let cases = [
        alice.replace("\"admins\"", "\"sre\""),
        alice.replace(key, &format!("{key}\nvalid-until = \"2020-01-01T00:00:00Z\"")),
        alice.replace(key, &format!("{key}\nvalid-from = \"2999-01-01T00:00:00Z\"")),
        alice.replace(key, &format!("{key}\nroles = [\"tag\"]")),
        alice.replace(
            key,
            &format!("{key}\nrevoked = {{ at = \"2026-01-01T00:00:00Z\", reason = \"retired\" }}"),
        ),
        alice.replacen('\n', "\nsuspended = { at = \"2026-01-01T00:00:00Z\", reason = \"leave\" }\n", 1),
        alice.split("[[key]]").next().unwrap().to_owned(),
    ];
    for (index, text) in cases.iter().enumerate() {
        site.write("alice.toml", text);
        let said = site.broken(Some(&site.alice), "locked out");
        assert!(said.contains("nobody of `group:admins` could sign"), "{index}: {said}");
    }
    // With somebody else in the group she may go.
    site.write("bob.toml", &principal(&bob, "admins", ""));
    site.write("alice.toml", &cases[0]);
    let tip = site.push(Some(&site.alice), "bob takes over");
    site.follows(&tip);
    site.clone().commit(Some(&site.alice), "one more thing");
    site.clone().push(&["main"]).assert_refused(&["untrusted-signer"]);
}

#[test]
fn a_directory_with_too_many_files_is_refused() {
    let site = Site::accepted();
    let work = site.clone();
    let blob = site.gate.sandbox.git_with_input(&site.work, &["hash-object", "-w", "--stdin"], b"x").ok();
    let tree: String = (0..50_001).map(|n| format!("100644 blob {}\tp{n:06}.toml\n", blob.line())).collect();
    let inner = site.gate.sandbox.git_with_input(&site.work, &["mktree"], tree.as_bytes()).ok();
    let outer = format!("040000 tree {}\tkeyring\n", inner.line());
    let outer = site.gate.sandbox.git_with_input(&site.work, &["mktree"], outer.as_bytes()).ok();
    work.git(&["read-tree", outer.line()]).ok();
    work.commit(Some(&site.alice), "many");
    let push = work.push(&["main"]).assert_refused(&["broken-source"]);
    assert!(push.text().contains("more than 50000 entries"), "{}", push.text());
}

#[test]
fn a_broken_state_that_stands_in_the_ref_anyhow_is_not_taken_over() {
    let site = Site::accepted();
    let before = site.state();
    // It is let in, and only then it lacks what was revoked meanwhile: the daemon is away in between.
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    site.write("bob.toml", &principal(&bob, "sre", ""));
    let tip = site.push(Some(&site.alice), "bob");
    site.follows(&tip);
    let with_bob = site.state();
    assert_ne!(before, with_bob);
    let hook = site.bare.join("hooks/pre-receive");
    let hidden = site.bare.join("hooks/pre-receive.away");
    fs::rename(&hook, &hidden).unwrap();
    site.write("bob.toml", "name = [\n");
    site.add();
    let broken = site.clone().commit(Some(&site.alice), "broken");
    site.clone().git(&["push", "--quiet", site.bare.to_str().unwrap(), "main"]).ok();
    fs::rename(&hidden, &hook).unwrap();
    site.stays(&with_bob, "past the gate");
    assert!(site.source()["fault"].as_str().unwrap().contains(&broken));
    let ran = site.accept(&broken);
    assert!(ran.code() == Some(1) && ran.stderr.contains("keyring/bob.toml:1:"), "nor accepted: {ran:?}");
    assert_eq!(site.state(), with_bob);
}
