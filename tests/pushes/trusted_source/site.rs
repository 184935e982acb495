//! A gate whose keyring follows a branch of one of its repositories.

use crate::support::clone::Clone;
use crate::support::gate::Gate;
use crate::support::sandbox::Ran;
use crate::support::signers::Signer;
use crate::support::wait_for;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

pub(super) const SOON: Duration = Duration::from_secs(20);
/// Long enough for several looks.
pub(super) const A_WHILE: Duration = Duration::from_secs(4);

/// A second ruleset does its best to loosen the first.
pub(super) const POLICY: &str = r#"
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

pub(super) struct Site {
    pub(super) gate: Gate,
    pub(super) alice: Signer,
    pub(super) bare: PathBuf,
    pub(super) work: PathBuf,
}

pub(super) fn principal(signer: &Signer, group: &str, more: &str) -> String {
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
    pub(super) fn new() -> Self {
        Site::with(POLICY, |_| {})
    }

    /// The same under another policy, with more in the first commit.
    pub(super) fn with(policy: &str, more: impl FnOnce(&Site)) -> Self {
        let gate = Gate::prepared(POLICY);
        let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
        let key = alice.public.to_str().unwrap();
        let add =
            ["keyring", "add", "alice", "--email", "alice@example.com", "--group", "admins", "--key", key];
        gate.countersign(&[&add[..], &["--local", "--reason", "the first one"]].concat()).ok();
        let bare = gate.repository("infra/trust");
        gate.configure(policy);
        gate.start();
        let work = gate.clone_of(&bare).path.clone();
        let site = Site { gate, alice, bare, work };
        site.write("alice.toml", &fs::read_to_string(site.gate.home.join("keyring/alice.toml")).unwrap());
        more(&site);
        site.add();
        site.clone().commit(Some(&site.alice), "the keyring");
        site.clone().accepted(&["main"]);
        site
    }

    pub(super) fn accepted() -> Self {
        let site = Site::new();
        let tip = site.clone().id("HEAD");
        site.accept(&tip).ok();
        site
    }

    pub(super) fn clone(&self) -> Clone<'_> {
        Clone::at(&self.gate, &self.bare, &self.work)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.work.join("keyring").join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.work.join("keyring")).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    pub(super) fn add(&self) {
        self.clone().git(&["add", "--all"]).ok();
    }

    /// Commits what is in the work tree and pushes it.
    pub(super) fn push(&self, signer: Option<&Signer>, message: &str) -> String {
        self.add();
        self.clone().commit(signer, message);
        self.clone().accepted(&["main"]);
        self.clone().id("HEAD")
    }

    pub(super) fn accept(&self, commit: &str) -> Ran {
        self.gate.countersign(&["keyring", "source", "accept", commit, "--reason", "read by two"])
    }

    pub(super) fn source(&self) -> Value {
        let ran = self.gate.countersign(&["keyring", "source", "show", "--format", "json"]);
        let shown: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
        assert_eq!(ran.code(), Some(i32::from(shown["source"]["fault"].is_string())), "{ran:?}");
        shown["source"].clone()
    }

    /// Waits until the commit is what the keyring was taken over from.
    #[track_caller]
    pub(super) fn follows(&self, commit: &str) {
        wait_for("the state to be taken over", SOON, || {
            let now = self.source();
            (now["commit"] == commit && now["fault"].is_null()).then_some(())
        });
        self.gate.countersign(&["keyring", "status", "--wait", "15"]).ok();
    }

    /// Waits until it is said why the ref is not followed, and holds that nothing changed.
    #[track_caller]
    pub(super) fn stays(&self, before: &(Value, Vec<String>), why: &str) {
        wait_for(why, SOON, || {
            self.source()["fault"].as_str().is_some_and(|text| text.contains(why)).then_some(())
        });
        std::thread::sleep(A_WHILE);
        assert_eq!(self.state(), *before, "{why}");
        assert!(self.gate.log().contains("is not followed"));
    }

    /// The commit that was taken over, and who is in force.
    pub(super) fn state(&self) -> (Value, Vec<String>) {
        let keyring = self.gate.home.join("keyring");
        let mut names: Vec<String> = fs::read_dir(keyring)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".toml"))
            .collect();
        names.sort();
        // One that is being taken away is gone.
        let text = names
            .iter()
            .filter_map(|name| fs::read_to_string(self.gate.home.join("keyring").join(name)).ok());
        (self.source()["commit"].clone(), text.collect())
    }

    /// Pushes what is in the work tree, which must be refused as a state that cannot be taken over; gives what the
    /// pusher reads. The work tree is put back.
    #[track_caller]
    pub(super) fn broken(&self, signer: Option<&Signer>, what: &str) -> String {
        self.add();
        self.clone().commit(signer, what);
        let push = self.clone().push(&["main"]).assert_refused(&["broken-source"]);
        self.back();
        push.text()
    }

    /// The work tree as the server has it.
    pub(super) fn back(&self) {
        let tip = self.clone().server("refs/heads/main").unwrap();
        self.clone().git(&["reset", "--quiet", "--hard", &tip]).ok();
        self.clone().git(&["clean", "-ffdxq"]).ok();
    }

    pub(super) fn health(&self) -> Value {
        serde_json::from_str(&self.gate.get("/health").1).unwrap()
    }

    /// Where it is kept what was taken over.
    pub(super) fn marker(&self) -> PathBuf {
        self.gate.home.join("keyring/.source")
    }

    /// The records of a kind.
    pub(super) fn records(&self, kind: &str) -> Vec<Value> {
        self.gate.audit().into_iter().filter(|record| record["kind"] == kind).collect()
    }

    pub(super) fn in_bare(&self, arguments: &[&str]) {
        self.gate.sandbox.git(&self.bare, arguments).ok();
    }
}
