//! The keyring from a ref that the gate itself guards: who may change it, when a change counts, and everything
//! that must not.

use crate::support::clone::Clone;
use crate::support::gate::Gate;
use crate::support::signers::Signer;
use crate::support::wait_for;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
/// Long enough for several looks.
const A_WHILE: Duration = Duration::from_secs(4);

/// A second ruleset does its best to loosen the first.
const POLICY: &str = r#"
[policy]
uncovered = "accept"

[[ruleset]]
name = "lax"
repositories = ["**"]
refs = ["refs/heads/main"]
enforcement = "evaluate"

[ruleset.refuse]
untrusted-signer = { allow = ["person:bob", "person:mallory"] }

[[ruleset.bypass]]
who = ["person:bob", "person:mallory"]
rules = ["untrusted-signer"]
proof = "key"
reason = "to see whether it helps"

[keyring.source]
repository = "infra/trust"
ref = "refs/heads/main"
path = "keyring"
signers = ["group:admins"]
"#;

struct Site {
    gate: Gate,
    alice: Signer,
    bare: PathBuf,
    work: PathBuf,
}

fn principal(signer: &Signer, group: &str, more: &str) -> String {
    let key = fs::read_to_string(&signer.public).unwrap();
    let name = &signer.name;
    format!(
        "name = \"{name}\"\nkind = \"person\"\nemails = [\"{name}@example.com\"]\ngroups = [\"{group}\"]\n{more}\n\
         [[key]]\nssh = \"{}\"\n",
        key.trim()
    )
}

impl Site {
    /// A repository with the keyring as it is, by alice of `group:admins`, which nobody accepted yet.
    fn new() -> Self {
        let gate = Gate::prepared(POLICY);
        let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
        gate.trust(&alice, "admins");
        gate.start();
        let bare = gate.repository("infra/trust");
        let work = gate.clone_of(&bare).path.clone();
        let site = Site { gate, alice, bare, work };
        site.write("alice.toml", &fs::read_to_string(site.gate.home.join("keyring/alice.toml")).unwrap());
        site.add();
        site.clone().commit(Some(&site.alice), "the keyring");
        site.clone().accepted(&["main"]);
        site
    }

    fn accepted() -> Self {
        let site = Site::new();
        let tip = site.clone().id("HEAD");
        site.accept(&tip).ok();
        site
    }

    fn clone(&self) -> Clone<'_> {
        Clone::at(&self.gate, &self.bare, &self.work)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.work.join("keyring").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.work.join("keyring")).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn add(&self) {
        self.clone().git(&["add", "--all"]).ok();
    }

    /// Commits what is in the work tree and pushes it.
    fn push(&self, signer: Option<&Signer>, message: &str) -> String {
        self.add();
        self.clone().commit(signer, message);
        self.clone().accepted(&["main"]);
        self.clone().id("HEAD")
    }

    fn accept(&self, commit: &str) -> crate::support::sandbox::Ran {
        self.gate.countersign(&["keyring", "source", "accept", commit, "--reason", "read by two"])
    }

    fn source(&self) -> Value {
        let ran = self.gate.countersign(&["keyring", "source", "show", "--format", "json"]);
        let shown: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
        assert_eq!(ran.code(), Some(i32::from(shown["source"]["fault"].is_string())), "{ran:?}");
        shown["source"].clone()
    }

    /// Waits until the commit is what the keyring was taken over from.
    #[track_caller]
    fn follows(&self, commit: &str) {
        wait_for("the state to be taken over", SOON, || {
            let now = self.source();
            (now["commit"] == commit && now["fault"].is_null()).then_some(())
        });
        self.gate.countersign(&["keyring", "status", "--wait", "15"]).ok();
    }

    /// Waits until it is said why the ref is not followed, and holds that nothing changed.
    #[track_caller]
    fn stays(&self, before: &(Value, Vec<String>), why: &str) {
        wait_for(why, SOON, || {
            self.source()["fault"].as_str().is_some_and(|text| text.contains(why)).then_some(())
        });
        std::thread::sleep(A_WHILE);
        assert_eq!(self.state(), *before, "{why}");
        assert!(self.gate.log().contains("is not followed"));
    }

    /// The commit that was taken over, and who is in force.
    fn state(&self) -> (Value, Vec<String>) {
        let keyring = self.gate.home.join("keyring");
        let mut names: Vec<String> = fs::read_dir(keyring)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".toml"))
            .collect();
        names.sort();
        let text =
            names.iter().map(|name| fs::read_to_string(self.gate.home.join("keyring").join(name)).unwrap());
        (self.source()["commit"].clone(), text.collect())
    }

    fn in_bare(&self, arguments: &[&str]) {
        self.gate.sandbox.git(&self.bare, arguments).ok();
    }
}

#[test]
fn nothing_is_taken_over_before_somebody_accepts_the_first_state() {
    let site = Site::new();
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    let before = site.state();
    site.write("bob.toml", &principal(&bob, "sre", ""));
    let tip = site.push(Some(&site.alice), "bob");
    site.stays(&before, "nothing was accepted yet");
    let ran = site.accept(&site.clone().id("HEAD~1"));
    assert!(ran.code() == Some(1) && ran.stderr.contains(&tip), "only what the ref holds: {ran:?}");
    assert_eq!(site.accept("HEAD").code(), Some(1), "and only by its id");
    site.accept(&tip).ok();
    site.follows(&tip);
    let records = site.gate.audit();
    let change = records.iter().rfind(|record| record["kind"] == "keyring-changed").unwrap();
    assert_eq!((&change["action"], &change["principals"]), (&json!("source"), &json!(["bob"])), "{change}");
    assert!(change["reason"].as_str().unwrap().contains("accepted: read by two"), "{change}");
    // From now on by itself.
    fs::remove_file(site.path("bob.toml")).unwrap();
    let tip = site.push(Some(&site.alice), "without bob");
    site.follows(&tip);
    assert_eq!(site.state().1.len(), 1);
    std::thread::sleep(Duration::from_secs(5));
    let found = site.gate.audit().into_iter().filter(|record| record["kind"] == "keyring-found").count();
    assert_eq!(found, 0, "every change is on record as what it is");
    // What was taken over survives the daemon.
    site.gate.stop();
    site.gate.start();
    site.follows(&tip);
}

#[test]
fn only_the_signers_of_the_state_before_change_it_and_nothing_loosens_that() {
    let site = Site::accepted();
    let before = site.state();
    let (bob, mallory) = (
        Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]),
        Signer::ssh(&site.gate.sandbox, "mallory", &["ed25519"]),
    );
    site.write("bob.toml", &principal(&bob, "sre", ""));
    let tip = site.push(Some(&site.alice), "bob, who is no admin");
    site.follows(&tip);
    let after = site.state();
    assert_ne!(before, after);

    let work = site.clone();
    let attempt = |signer: Option<&Signer>, rules: &[&str]| {
        site.add();
        work.commit(signer, "let me in");
        work.push(&["main"]).assert_refused(rules);
        work.git(&["reset", "--quiet", "--hard", &tip]).ok();
    };
    // By himself into the group, by somebody unknown, by nobody.
    site.write("bob.toml", &principal(&bob, "admins", ""));
    attempt(Some(&bob), &["untrusted-signer"]);
    site.write("mallory.toml", &principal(&mallory, "admins", ""));
    attempt(Some(&mallory), &["untrusted-signer"]);
    site.write("mallory.toml", &principal(&mallory, "admins", ""));
    attempt(None, &["unsigned-commit"]);
    // An admin's commit on top does not carry them.
    site.write("mallory.toml", &principal(&mallory, "admins", ""));
    site.add();
    work.commit(Some(&mallory), "first");
    work.commit(Some(&site.alice), "and one by an admin");
    work.push(&["main"]).assert_refused(&["untrusted-signer"]);
    work.git(&["reset", "--quiet", "--hard", &tip]).ok();
    // Nor does a merge that an admin signed.
    work.git(&["checkout", "--quiet", "-b", "side"]).ok();
    site.write("mallory.toml", &principal(&mallory, "admins", ""));
    site.add();
    work.commit(None, "unsigned, on a side branch");
    work.push(&["side"]).assert_accepted();
    work.git(&["checkout", "--quiet", "main"]).ok();
    work.sign(Some(&site.alice), &["merge", "--quiet", "--no-ff", "-m", "merge", "side"]);
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    work.git(&["reset", "--quiet", "--hard", &tip]).ok();
    // Backwards, sideways, away.
    work.push(&["--force", "HEAD~1:refs/heads/main"]).assert_refused(&["force-push"]);
    work.push(&["--delete", "main"]).assert_refused(&["ref-deletion"]);
    std::thread::sleep(A_WHILE);
    assert_eq!(site.state(), after);
}

#[test]
fn a_ref_that_is_moved_without_a_decision_takes_nothing_over() {
    let site = Site::accepted();
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    site.write("bob.toml", &principal(&bob, "sre", ""));
    let tip = site.push(Some(&site.alice), "bob");
    site.follows(&tip);
    let before = site.state();
    // Objects come in through a ref that nobody guards; signed by an admin, even.
    let mallory = Signer::ssh(&site.gate.sandbox, "mallory", &["ed25519"]);
    site.write("mallory.toml", &principal(&mallory, "admins", ""));
    site.add();
    let work = site.clone();
    let next = work.commit(Some(&site.alice), "a draft that was never let in here");
    work.push(&["HEAD:refs/heads/draft"]).assert_accepted();
    site.in_bare(&["update-ref", "refs/heads/main", &next]);
    site.stays(&before, "past the gate");
    // Back to an older state of our own.
    let first = work.id("HEAD~2");
    site.in_bare(&["update-ref", "refs/heads/main", &first]);
    site.stays(&before, "past the gate");
    // Gone, or another ref in its place.
    site.in_bare(&["update-ref", "-d", "refs/heads/main"]);
    site.stays(&before, "not there");
    site.in_bare(&["symbolic-ref", "refs/heads/main", "refs/heads/draft"]);
    site.stays(&before, "symbolic");
    fs::remove_file(site.bare.join("refs/heads/main")).unwrap();
    // Another repository in its place, with all of it.
    site.in_bare(&["update-ref", "refs/heads/main", &tip]);
    wait_for("the fault to go", SOON, || site.source()["fault"].is_null().then_some(()));
    let id = fs::read_to_string(site.bare.join("countersign-id")).unwrap();
    fs::write(site.bare.join("countersign-id"), "f".repeat(32)).unwrap();
    wait_for("another identity", SOON, || site.source()["fault"].is_string().then_some(()));
    fs::write(site.bare.join("countersign-id"), id).unwrap();
    wait_for("the fault to go", SOON, || site.source()["fault"].is_null().then_some(()));
    assert_eq!(site.state(), before);
    // An operator can still say that a move was meant.
    site.in_bare(&["update-ref", "refs/heads/main", &next]);
    site.accept(&next).ok();
    site.follows(&next);
}

#[test]
fn n10_a_state_that_was_let_in_counts_when_it_is_seen_without_a_report() {
    let site = Site::accepted();
    fs::remove_file(site.bare.join("hooks/post-receive")).unwrap();
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    site.write("bob.toml", &principal(&bob, "sre", ""));
    let tip = site.push(Some(&site.alice), "bob");
    site.follows(&tip);
    // Let in by the gate, and refused by git itself in the end.
    let before = site.state();
    fs::remove_file(site.path("bob.toml")).unwrap();
    site.add();
    site.clone().commit(Some(&site.alice), "without bob");
    let lock = site.bare.join("refs/heads/main.lock");
    fs::write(&lock, "").unwrap();
    let pushed = site.clone().push_command(&["main"]).output().unwrap();
    assert!(!pushed.status.success());
    std::thread::sleep(A_WHILE);
    assert_eq!(site.state(), before, "never from the push that carries it");
    fs::remove_file(lock).unwrap();
}

#[test]
fn a_tree_that_is_no_plain_keyring_is_not_taken_over() {
    let site = Site::accepted();
    let mut before = site.state();
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    let good = principal(&bob, "sre", "");
    type Spoil<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let cases: Vec<Spoil<'_>> = vec![
        ("symbolic link", Box::new(|| symlink("/etc/passwd", site.path("bob.toml")).unwrap())),
        ("no name of a principal's file", Box::new(|| site.write("Alice.toml", &good))),
        ("no name of a principal's file", Box::new(|| site.write("alice.TOML", &good))),
        (
            "is a directory",
            Box::new(|| {
                fs::create_dir(site.path("bob.toml")).unwrap();
                site.write("bob.toml/x", "x");
            }),
        ),
        ("bytes", Box::new(|| site.write("bob.toml", &"#\n".repeat(5 << 20)))),
        ("would not load", Box::new(|| site.write("bob.toml", "name = \"bob\"\nunknown = 1\n"))),
        ("edited", Box::new(|| site.write("bob.toml", "name = [\n"))),
        ("no directory", Box::new(|| fs::remove_dir_all(site.work.join("keyring")).unwrap())),
    ];
    for (why, spoil) in cases {
        spoil();
        site.push(Some(&site.alice), why);
        wait_for(why, SOON, || {
            let fault = site.source()["fault"].clone();
            fault.as_str().is_some_and(|text| text.contains(why)).then_some(())
        });
        assert_eq!(site.state(), before, "{why}");
        let status = site.gate.countersign(&["keyring", "status"]);
        assert_eq!(status.code(), Some(0), "what is in force is what the files say: {status:?}");
        // Put right by the next commit.
        site.clone().git(&["reset", "--quiet", "--hard", "HEAD"]).ok();
        let _ = fs::remove_dir_all(site.work.join("keyring"));
        site.write("alice.toml", &before.1[0]);
        let tip = site.push(Some(&site.alice), "put right");
        site.follows(&tip);
        before = site.state();
    }
    // A submodule is in the tree only.
    let commit = site.clone().id("HEAD");
    let entry = format!("160000,{commit},keyring/bob.toml");
    site.clone().git(&["update-index", "--add", "--cacheinfo", &entry]).ok();
    site.clone().commit(Some(&site.alice), "a submodule");
    site.clone().accepted(&["main"]);
    site.stays(&before, "submodule");
}

#[test]
fn n14_a_revocation_made_on_the_server_is_never_taken_back_by_a_commit() {
    let site = Site::accepted();
    let bob = Signer::ssh(&site.gate.sandbox, "bob", &["ed25519"]);
    site.write("bob.toml", &principal(&bob, "admins", ""));
    let tip = site.push(Some(&site.alice), "bob");
    site.follows(&tip);
    let key = bob.public.to_str().unwrap();
    let revoke = ["keyring", "revoke", "bob", key, "--reason", "compromised", "--note", "laptop lost"];
    site.gate.countersign(&revoke).ok();
    let before = site.state();
    // Another change, by somebody who has not heard of it; and one that forgets bob altogether.
    site.write("README", "nothing of interest");
    site.push(Some(&site.alice), "not about bob");
    site.stays(&before, "lacks 1 revocation");
    fs::remove_file(site.path("bob.toml")).unwrap();
    site.push(Some(&site.alice), "forget bob");
    site.stays(&before, "lacks 1 revocation");
    // By bob's key nothing is let in meanwhile.
    site.clone().commit(Some(&bob), "by a stolen key");
    site.clone().push(&["main"]).assert_refused(&["bad-signature"]);
    site.clone().git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    fs::copy(site.gate.home.join("keyring/bob.toml"), site.path("bob.toml")).unwrap();
    let tip = site.push(Some(&site.alice), "as on the server");
    site.follows(&tip);
}

#[test]
fn a_source_that_cannot_be_guarded_does_not_load() {
    let gate = Gate::prepared(POLICY);
    let check = |policy: &str, why: &str| {
        gate.configure(policy);
        let ran = gate.countersign(&["config", "check"]);
        assert!(ran.code() == Some(2) && ran.stdout.contains(why), "{why}: {ran:?}");
    };
    check(&POLICY.replace("\"lax\"", "\"keyring-source\""), "keyring-source");
    check(&POLICY.replace("[\"group:admins\"]", "[]"), "without signers");
    check(&POLICY.replace("[\"group:admins\"]", "[\"nobody:x\"]"), "cannot be guarded");
    for repository in ["../escape", "infra/*", "/srv/x", "infra//trust", "re:.*", ""] {
        check(&POLICY.replace("infra/trust", repository), "is not used here");
    }
    check(&POLICY.replace("path = \"keyring\"", "path = \"../x\""), "is not used here");
    check(&POLICY.replace("ref = \"refs/heads/main\"", "ref = \"main\""), "no full ref name");
    check(&POLICY.replace("signers", "singers"), "singers");
    gate.configure(POLICY);
    let ran = gate.countersign(&["config", "check"]);
    assert!(ran.code() == Some(0), "{ran:?}");
    let shown = gate.countersign(&["config", "show", "--repo", "infra/trust", "--ref", "refs/heads/main"]);
    assert!(shown.stdout.contains("keyring-source"), "{shown:?}");
}
