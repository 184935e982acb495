//! A real gitolite behind a real sshd, with the gate as its pre-receive hook.

use crate::support::clone::Clone;
use crate::support::gate::{Gate, PRODUCTION};
use crate::support::sandbox::{Ran, run};
use crate::support::signers::Signer;
use crate::support::sshd::{Options, Sshd};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const CONFIG: &str = "
repo gitolite-admin
    RW+ = admin

repo infra/live
    RW+     = alice
    RW main = bob
    R       = carol
";

/// gitolite with the gate's directory as its home, so that its repositories are the gate's.
struct Gitolite {
    gate: Gate,
    sshd: Sshd,
    people: Vec<Signer>,
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn gitolite(gate: &Gate, arguments: &[&str]) -> Ran {
    assert!(Path::new("/usr/bin/gitolite").exists(), "gitolite is missing: install gitolite3");
    let mut command = gate.sandbox.command("gitolite", &gate.home);
    command.env("HOME", &gate.home).args(arguments);
    run(command, b"").ok()
}

impl Gitolite {
    /// As `docs/operations.md` has it.
    fn start() -> Self {
        let gate = Gate::prepared(PRODUCTION);
        gate.repository_keys.replace("server = \"gitolite\"".to_owned());
        gate.configure(PRODUCTION);
        let people: Vec<Signer> = ["admin", "alice", "bob", "carol"]
            .map(|name| Signer::ssh(&gate.sandbox, name, &["ed25519"]))
            .into();
        for signer in &people[1..3] {
            let account = format!("gitolite:{}", signer.name);
            let add = ["keyring", "add", &signer.name, "--group", "sre", "--account", &account, "--key"];
            gate.countersign(&[&add[..], &[signer.public.to_str().unwrap()]].concat()).ok();
        }
        gate.start();

        let at = gate.home.clone();
        gitolite(&gate, &["setup", "-pk", people[0].public.to_str().unwrap()]);
        let rc = at.join(".gitolite.rc");
        let text = fs::read_to_string(&rc).unwrap();
        let local =
            "%RC = (\n    LOCAL_CODE => \"$ENV{HOME}/local\",\n    POST_CREATE => [ 'countersign' ],\n";
        assert!(text.contains("%RC = (\n"), "{text}");
        fs::write(&rc, text.replacen("%RC = (\n", local, 1)).unwrap();
        for name in ["gitolite-admin", "testing"] {
            gate.install(&gate.place(name));
        }
        for hook in ["pre-receive", "post-receive"] {
            let installed = gate.place("gitolite-admin").join("hooks").join(hook);
            let text = fs::read_to_string(installed).unwrap();
            assert!(!text.contains("\nchain "), "{text}");
            write(&at.join("local/hooks/common").join(hook), &text, 0o755);
        }
        let trigger = format!(
            "#!/bin/sh\nexec '{}' install --config '{}' \"$HOME/repositories/$2.git\" >&2\n",
            crate::support::gate::PROGRAM,
            gate.config().display()
        );
        write(&at.join("local/triggers/countersign"), &trigger, 0o755);
        gitolite(&gate, &["setup", "--hooks-only"]);
        let hook = gate.place("gitolite-admin").join("hooks/pre-receive");
        assert!(hook.is_symlink(), "gitolite has put the common hook there");

        let environment = format!("HOME={}", at.display());
        let keys = at.join(".ssh/authorized_keys");
        // gitolite overrides what clients send, even where sshd takes it.
        let options =
            Options { environment: &environment, lines: "AcceptEnv GL_*", authorized_keys: Some(&keys) };
        let sshd = Sshd::with(&gate.sandbox, &options);
        Gitolite { gate, sshd, people }
    }

    fn person(&self, name: &str) -> &Signer {
        self.people.iter().find(|signer| signer.name == name).unwrap()
    }

    fn client(&self, name: &str) -> String {
        self.sshd.client_with(&[&self.person(name).public.with_extension("")])
    }

    /// A work tree that pushes as somebody.
    fn clone_as(&self, name: &str, repository: &str, path: &Path) -> Clone<'_> {
        let url = self.sshd.url(Path::new(&format!("/{repository}")));
        Clone::at(&self.gate, &self.gate.place(repository), path).over(url, &self.client(name))
    }

    /// Adds people and repositories as an administrator does: by a push.
    fn configure(&self) {
        let admin = self.gate.clone_at(&self.gate.place("gitolite-admin"), "master");
        write(&admin.path.join("conf/gitolite.conf"), CONFIG, 0o644);
        for signer in &self.people {
            let key = fs::read_to_string(&signer.public).unwrap();
            write(&admin.path.join(format!("keydir/{}.pub", signer.name)), &key, 0o644);
        }
        admin.git(&["add", "--all"]).ok();
        admin.commit(None, "people and a repository");
        // What is not covered by a ruleset goes in; who brought it is on record.
        let push = self.clone_as("admin", "gitolite-admin", &admin.path).accepted(&["master"]);
        assert!(self.gate.place("infra/live").exists(), "{}", push.text());
        assert_eq!(self.pusher()["name"], "admin");
        assert_eq!(self.pusher()["principal"], Value::Null);
    }

    fn pusher(&self) -> Value {
        self.gate.last_decision()["pusher"].clone()
    }
}

#[test]
fn n18_gitolite_with_real_users_and_keys() {
    let site = Gitolite::start();
    site.configure();
    let bare = site.gate.place("infra/live");
    assert!(bare.join("countersign-id").exists(), "the trigger has installed into the new repository");
    let work = site.gate.clone_of(&bare);
    let push_as = |name: &str| site.clone_as(name, "infra/live", &work.path);
    let (alice, bob) = (site.person("alice"), site.person("bob"));

    // Signed by one, pushed by the other: both are on record.
    let base = work.commit(Some(alice), "OPS-1: base");
    push_as("bob").accepted(&["main"]);
    let decision = site.gate.last_decision();
    let pusher = &decision["pusher"];
    assert_eq!((&pusher["name"], &pusher["source"]), (&json!("bob"), &json!("GL_USER")));
    assert_eq!((&pusher["principal"], &pusher["proof"]), (&json!("bob"), &json!("server")));
    assert!(pusher["details"]["GL_TID"].as_str().is_some_and(|tid| tid.parse::<u32>().is_ok()), "{pusher}");
    assert_eq!(decision["commits"][0]["signer"], "alice");
    assert!(decision["peer"]["address"].as_str().unwrap().starts_with("127.0.0.1 "), "{decision}");
    let shown = site.gate.countersign(&["audit", "log"]).ok().stdout;
    assert!(shown.contains("bob (principal bob, the server's word, GL_USER)"), "{shown}");

    // Refused by the gate, for somebody whom gitolite allows everything.
    let unsigned = work.commit(None, "OPS-2: unsigned");
    push_as("alice").push(&["main"]).assert_refused(&["unsigned-commit"]);
    assert_eq!(site.pusher()["principal"], "alice");
    assert_eq!(push_as("alice").server("refs/heads/main"), Some(base.clone()));

    // gitolite's own refusals: of a ref, after the gate had nothing against it, and of everything.
    let branch = format!("{unsigned}:refs/heads/topic");
    let ran = run(push_as("bob").push_command(&[&branch]), b"");
    assert!(!ran.status.success() && ran.stderr.contains("DENIED by"), "{}", ran.stderr);
    assert_eq!(push_as("bob").server("refs/heads/topic"), None);
    let decision = site.gate.last_decision();
    assert_eq!((&decision["outcome"], &decision["pusher"]["principal"]), (&json!("accept"), &json!("bob")));
    let id = &decision["request_id"];
    let applied =
        site.gate.audit().into_iter().any(|one| one["kind"] == "applied" && one["request_id"] == *id);
    assert!(!applied, "what gitolite has refused is not applied");
    let before = site.gate.audit().len();
    let ran = run(push_as("carol").push_command(&["main"]), b"");
    assert!(!ran.status.success() && ran.stderr.contains("DENIED by"), "{}", ran.stderr);
    assert_eq!(site.gate.audit().len(), before, "git was not even started");
    push_as("alice").accepted(&[&branch]);
    assert_eq!(site.pusher()["principal"], "alice");

    // Setting the hooks up again takes nothing away.
    gitolite(&site.gate, &["setup"]);
    push_as("alice").push(&["main"]).assert_refused(&["unsigned-commit"]);
    work.git(&["reset", "--quiet", "--hard", &base]).ok();
    work.commit(Some(bob), "OPS-3: signed");
    push_as("bob").accepted(&["main"]);
}

#[test]
fn n18_pushes_past_gitolite_have_no_pusher() {
    let site = Gitolite::start();
    site.configure();
    let work = site.gate.clone_of(&site.gate.place("infra/live"));
    work.commit(Some(site.person("alice")), "OPS-1: base");
    // The administrator's own way around gitolite's rules, and a push into the directory.
    let bypass = Clone::at(&site.gate, &site.gate.place("infra/live"), &work.path);
    bypass.with_env("GL_BYPASS_ACCESS_CHECKS", "1").push(&["main"]).assert_undecided("GL_USER is not set");
    let push = Clone::at(&site.gate, &site.gate.place("infra/live"), &work.path).push(&["main"]);
    assert!(!push.ran.status.success(), "{}", push.text());
    // A client cannot say who it is.
    let posing = format!("{} -o SetEnv=GL_USER=alice", site.client("bob"));
    let url = site.sshd.url(Path::new("/infra/live"));
    Clone::at(&site.gate, &site.gate.place("infra/live"), &work.path).over(url, &posing).accepted(&["main"]);
    assert_eq!(site.pusher()["principal"], "bob");
}
