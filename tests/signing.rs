//! A developer's machine: `countersign setup` and `countersign check --self`, with real git, OpenSSH and
//! GnuPG in a home of their own.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "signing/fixes.rs"]
mod fixes;
#[path = "support/mod.rs"]
mod support;

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::gate::PROGRAM;
use support::sandbox::{Ran, Sandbox, run};

/// A home with git's configuration in it, and a work tree.
struct Machine {
    sandbox: Sandbox,
    work: PathBuf,
    agent: Option<(String, String)>,
}

impl Machine {
    /// Of `dev@example.com`.
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let work = sandbox.work_tree("app", &[]);
        let machine = Machine { sandbox, work, agent: None };
        machine.git(&["config", "--global", "user.name", "Dev"]).ok();
        machine.git(&["config", "--global", "user.email", "dev@example.com"]).ok();
        machine
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.sandbox.command(program, &self.work);
        command.env("GIT_CONFIG_GLOBAL", self.sandbox.path("home/.gitconfig"));
        for name in ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"] {
            command.env_remove(name);
        }
        if let Some((socket, _)) = &self.agent {
            command.env("SSH_AUTH_SOCK", socket);
        }
        command
    }

    fn git(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command("git");
        command.args(arguments);
        run(command, b"")
    }

    fn config(&self, name: &str) -> String {
        self.git(&["config", "--get", name]).line().to_owned()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, b"")
    }

    fn run_with(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(PROGRAM);
        command.args(arguments);
        run(command, input)
    }

    /// `setup` with JSON, which has to succeed.
    #[track_caller]
    fn setup(&self, more: &[&str]) -> Value {
        let ran = self.run(&[&["setup", "--format", "json"], more].concat()).ok();
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// `check --self` with JSON: exit code and answer.
    #[track_caller]
    fn check(&self, more: &[&str]) -> (i32, Value) {
        let before = self.tree();
        let ran = self.run(&[&["check", "--self", "--format", "json"], more].concat());
        assert_eq!(self.tree(), before, "something was written into the repository");
        let value = serde_json::from_str(&ran.stdout);
        (ran.code().unwrap(), value.unwrap_or_else(|_| panic!("{}{}", ran.stdout, ran.stderr)))
    }

    /// Every file of the repository.
    fn tree(&self) -> Vec<(PathBuf, Vec<u8>)> {
        fn collect(at: &Path, out: &mut Vec<(PathBuf, Vec<u8>)>) {
            for entry in fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    out.push((path.clone(), Vec::new()));
                    collect(&path, out);
                } else {
                    out.push((path.clone(), fs::read(&path).unwrap()));
                }
            }
        }
        let mut out = Vec::new();
        collect(&self.work, &mut out);
        out.sort();
        out
    }

    /// An SSH key below `~/.ssh`; gives its public part.
    fn ssh(&self, name: &str, kind: &[&str], passphrase: &str) -> String {
        let dir = self.sandbox.path("home/.ssh");
        fs::create_dir_all(&dir).unwrap();
        let mut command = self.command("ssh-keygen");
        command.args(["-q", "-N", passphrase, "-C", "test key", "-t"]).args(kind);
        command.arg("-f").arg(dir.join(name));
        run(command, b"").ok();
        fs::read_to_string(dir.join(format!("{name}.pub"))).unwrap()
    }

    fn openpgp(&self, user: &str) {
        let home = self.sandbox.path("home/gnupg");
        fs::create_dir_all(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        let mut command = self.command("gpg");
        command.args([
            "--batch",
            "--quiet",
            "--passphrase",
            "",
            "--quick-generate-key",
            user,
            "ed25519",
            "sign",
            "1y",
        ]);
        run(command, b"").ok();
    }

    /// A keyring with one principal.
    fn keyring(&self, emails: &[&str], public: &str) -> String {
        let dir = self.sandbox.path("keyring");
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        let dir = dir.to_str().unwrap().to_owned();
        let mut add = vec!["keyring", "--keyring", &dir, "add", "dev", "--key", "-"];
        add.extend(emails.iter().flat_map(|email| ["--email", email]));
        self.run_with(&add, public.as_bytes()).ok();
        dir
    }

    fn start_agent(&mut self) {
        let socket = self.sandbox.path("home/agent.sock");
        let mut command = self.command("ssh-agent");
        command.args(["-s", "-a"]).arg(&socket);
        let said = run(command, b"").ok().stdout;
        let pid = said.split("SSH_AGENT_PID=").nth(1).unwrap().split(';').next().unwrap().to_owned();
        self.agent = Some((socket.to_str().unwrap().to_owned(), pid));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some((_, pid)) = &self.agent {
            let mut command = self.command("ssh-agent");
            command.arg("-k").env("SSH_AGENT_PID", pid).stdout(Stdio::null()).stderr(Stdio::null());
            let _ = command.status();
        }
    }
}

#[test]
fn nothing_is_found_and_the_command_that_makes_a_key_is_told() {
    let machine = Machine::new();
    let ran = machine.run(&["setup"]);
    assert_eq!(ran.code(), Some(1), "{ran:?}");
    assert!(ran.stderr.contains("ssh-keygen -t ed25519 -C dev@example.com -f ~/.ssh/id_ed25519"), "{ran:?}");
    let ran = machine.run(&["setup", "--signing", "openpgp"]);
    assert!(ran.stderr.contains("gpg --quick-generate-key '<dev@example.com>'"), "{ran:?}");
    // A short RSA key, and one whose private part is elsewhere, are none.
    machine.ssh("id_rsa", &["rsa", "-b", "2048"], "");
    machine.ssh("id_ed25519", &["ed25519"], "");
    fs::remove_file(machine.sandbox.path("home/.ssh/id_ed25519")).unwrap();
    let ran = machine.run(&["setup"]);
    assert_eq!(ran.code(), Some(1), "{ran:?}");
    assert!(ran.stderr.contains("its private part is not there"), "{ran:?}");
    assert_eq!(machine.run(&["setup", "--make"]).code(), Some(2), "only with --apply");
}

#[test]
fn files_are_preferred_by_their_kind() {
    let machine = Machine::new();
    for (name, kind, found) in [
        ("id_rsa", vec!["rsa", "-b", "3072"], "ssh-rsa"),
        ("id_ecdsa", vec!["ecdsa", "-b", "256"], "ecdsa-sha2-nistp256"),
        ("id_ed25519", vec!["ed25519"], "ssh-ed25519"),
    ] {
        machine.ssh(name, &kind, "");
        let said = machine.setup(&[]);
        assert_eq!((said["algorithm"].as_str(), said["found"].as_str()), (Some(found), Some("~/.ssh")));
    }
    assert_eq!(machine.config("user.signingkey"), "", "nothing is set without --apply");
    // What git is set to goes first, and what is named before that.
    let file = |name: &str| machine.sandbox.path(format!("home/.ssh/{name}")).to_str().unwrap().to_owned();
    machine.git(&["config", "--global", "gpg.format", "ssh"]).ok();
    machine.git(&["config", "--global", "user.signingkey", "~/.ssh/id_ecdsa.pub"]).ok();
    let said = machine.setup(&[]);
    assert_eq!(
        (said["algorithm"].as_str(), said["found"].as_str()),
        (Some("ecdsa-sha2-nistp256"), Some("user.signingkey"))
    );
    // The private part's file is named by its public part.
    let said = machine.run(&["setup", "--format", "json", "--key", &file("id_rsa")]);
    let value: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(value["settings"][1]["value"], file("id_rsa.pub"));
    assert!(!said.stdout.contains("PRIVATE"));
}

#[test]
fn a_key_of_the_agent_is_named_in_full() {
    let mut machine = Machine::new();
    let public = machine.ssh("work", &["ed25519"], "");
    machine.start_agent();
    let mut add = machine.command("ssh-add");
    add.arg(machine.sandbox.path("home/.ssh/work"));
    run(add, b"").ok();
    let said = machine.setup(&["--apply"]);
    assert_eq!(said["found"], "ssh-agent");
    assert_eq!(machine.config("user.signingkey"), format!("key::{}", public.trim()));
    let ring = machine.keyring(&["dev@example.com"], &public);
    fs::remove_file(machine.sandbox.path("home/.ssh/work")).unwrap();
    assert_eq!(machine.check(&["--keyring", &ring]).0, 0);
    // Without its agent the key is gone, and nobody can tell.
    let (_, pid) = machine.agent.take().unwrap();
    let mut kill = machine.command("ssh-agent");
    kill.arg("-k").env("SSH_AGENT_PID", pid);
    run(kill, b"").ok();
    let (code, said) = machine.check(&["--keyring", &ring]);
    assert_eq!((code, said["outcome"].as_str()), (3, Some("undecided")), "{said:#}");
    assert!(said["fix"].as_str().unwrap().contains("ssh-add"), "{said:#}");
}

#[test]
fn gnupgs_key_for_the_address_is_found_and_signs() {
    let machine = Machine::new();
    machine.openpgp("Test Key other <other@example.com>");
    assert_eq!(machine.run(&["setup"]).code(), Some(1), "that is somebody else's");
    machine.openpgp("Test Key dev <dev@example.com>");
    let said = machine.setup(&["--apply"]);
    assert_eq!((said["found"].as_str(), said["format"].as_str()), (Some("GnuPG"), Some("openpgp")));
    assert_eq!(machine.config("gpg.format"), "openpgp");
    assert_eq!(machine.config("user.signingkey"), said["key"].as_str().unwrap());
    let public = said["public"].as_str().unwrap();
    assert!(public.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----"), "{public}");
    let ring = machine.keyring(&["dev@example.com"], public);
    let (code, said) = machine.check(&["--keyring", &ring]);
    assert_eq!((code, said["principal"].as_str()), (0, Some("dev")), "{said:#}");
    // Without a keyring the user id speaks for the address.
    machine.git(&["config", "--local", "user.email", "elsewhere@example.com"]).ok();
    let (code, said) = machine.check(&[]);
    assert_eq!(code, 1, "{said:#}");
    assert_eq!(said["fix"], "git config --local user.email dev@example.com");
}

#[test]
fn apply_sets_it_and_again_changes_nothing() {
    let machine = Machine::new();
    let public = machine.ssh("id_ed25519", &["ed25519"], "");
    let said = machine.setup(&["--apply"]);
    assert_eq!((said["applied"].as_bool(), said["public"].as_str()), (Some(true), Some(&*public)));
    assert_eq!(machine.config("gpg.format"), "ssh");
    assert_eq!(machine.config("commit.gpgsign"), "true");
    assert_eq!(machine.config("tag.gpgsign"), "true");
    let before = fs::read(machine.sandbox.path("home/.gitconfig")).unwrap();
    let said = machine.setup(&["--apply"]);
    assert!(said["settings"].as_array().unwrap().iter().all(|one| one["state"] == "same"), "{said:#}");
    assert_eq!(fs::read(machine.sandbox.path("home/.gitconfig")).unwrap(), before);
    // And git does sign.
    machine.git(&["commit", "--quiet", "--allow-empty", "-m", "x"]).ok();
    assert!(machine.git(&["cat-file", "commit", "HEAD"]).stdout.contains("BEGIN SSH SIGNATURE"));
    // For one repository only.
    machine.setup(&["--apply", "--local"]);
    assert_eq!(machine.git(&["config", "--local", "gpg.format"]).line(), "ssh");
}

#[test]
fn what_differs_is_not_overwritten_unless_forced() {
    let machine = Machine::new();
    machine.ssh("id_ed25519", &["ed25519"], "");
    machine.git(&["config", "--global", "user.signingkey", "0123456789ABCDEF"]).ok();
    machine.git(&["config", "--global", "commit.gpgsign", "false"]).ok();
    let before = fs::read(machine.sandbox.path("home/.gitconfig")).unwrap();
    for more in [&["--apply"][..], &[]] {
        let ran = machine.run(&[&["setup"], more].concat());
        assert_eq!(ran.code(), Some(1), "{ran:?}");
        assert!(ran.stderr.contains("user.signingkey: is `0123456789ABCDEF`, which differs"), "{ran:?}");
        assert!(ran.stderr.contains("commit.gpgsign: is `false`"), "{ran:?}");
        assert_eq!(fs::read(machine.sandbox.path("home/.gitconfig")).unwrap(), before, "all or nothing");
    }
    let ran = machine.run(&["setup", "--apply", "--force"]).ok();
    assert!(ran.stderr.contains("user.signingkey: was `0123456789ABCDEF`"), "{ran:?}");
    assert!(machine.config("user.signingkey").ends_with("/.ssh/id_ed25519.pub"));
    assert_eq!(machine.config("commit.gpgsign"), "true");
}

#[test]
fn a_key_is_made_with_the_passphrase_that_is_typed() {
    let machine = Machine::new();
    let ran = machine.run_with(&["setup", "--apply", "--make"], b"correct horse\ncorrect horse\n").ok();
    assert!(ran.stdout.contains("ssh-ed25519 "), "{ran:?}");
    let private = machine.sandbox.path("home/.ssh/id_ed25519");
    let opens = |passphrase: &str| {
        let mut command = machine.command("ssh-keygen");
        command.args(["-y", "-P", passphrase, "-f"]).arg(&private);
        run(command, b"").status.success()
    };
    assert!(opens("correct horse") && !opens(""));
    assert!(!ran.stdout.contains("correct horse") && !ran.stderr.contains("correct horse"));
    assert_eq!(machine.config("gpg.format"), "ssh");
    // Nobody can type it here: the next commit cannot be signed, and nobody can tell.
    let (code, said) = machine.check(&[]);
    assert_eq!(code, 3, "{said:#}");
    let fix = said["fix"].as_str().unwrap();
    assert_eq!(fix, format!("ssh-add {}", private.display()));
}

#[test]
fn the_next_commit_by_a_keyring() {
    let machine = Machine::new();
    let public = machine.ssh("id_ed25519", &["ed25519"], "");
    let stranger = machine.ssh("other", &["ed25519"], "");
    let ring = machine.keyring(&["dev@example.com"], &public);
    // Not signed, and nothing set up.
    let (code, said) = machine.check(&["--keyring", &ring]);
    assert_eq!((code, said["fix"].as_str()), (1, Some("countersign setup --apply")), "{said:#}");
    machine.setup(&["--apply"]);
    let (code, said) = machine.check(&["--keyring", &ring]);
    assert_eq!(
        (code, said["outcome"].as_str(), said["principal"].as_str()),
        (0, Some("accept"), Some("dev")),
        "{said:#}"
    );
    // The file of one principal is a keyring, too.
    assert_eq!(machine.check(&["--keyring", &format!("{ring}/dev.toml")]).0, 0);
    // Without one, nobody knows whether the key is known.
    let (code, said) = machine.check(&[]);
    assert_eq!(
        (code, said["outcome"].as_str(), said["public"].as_str()),
        (3, Some("undecided"), Some(&*public)),
        "{said:#}"
    );
    assert!(said["steps"].as_array().unwrap().iter().all(|step| step["result"] != "failed"), "{said:#}");
    // Somebody else's address.
    machine.git(&["config", "--global", "user.email", "boss@example.com"]).ok();
    let (code, said) = machine.check(&["--keyring", &ring]);
    assert_eq!(
        (code, said["fix"].as_str()),
        (1, Some("git config --global user.email dev@example.com")),
        "{said:#}"
    );
    machine.git(&["config", "--global", "user.email", "dev@example.com"]).ok();
    // Switched off again.
    machine.git(&["config", "--local", "commit.gpgsign", "false"]).ok();
    let (code, said) = machine.check(&["--keyring", &ring]);
    assert_eq!(code, 1, "{said:#}");
    let fix = said["fix"].as_str().unwrap().split_once("git ").unwrap().1.to_owned();
    machine.git(&fix.split(' ').collect::<Vec<_>>()).ok();
    assert_eq!(machine.check(&["--keyring", &ring]).0, 0, "the one command did not fix it: {fix}");
    // An unknown key.
    let key = machine.sandbox.path("home/.ssh/other.pub");
    machine.setup_forced(key.to_str().unwrap());
    let (code, said) = machine.check(&["--keyring", &ring]);
    assert_eq!((code, said["public"].as_str()), (1, Some(&*stranger)), "{said:#}");
    assert!(said["fix"].as_str().unwrap().contains("countersign keyring add dev --key -"));
    // By OpenSSH's own file.
    let signers = machine.sandbox.path("allowed_signers");
    fs::write(&signers, format!("dev@example.com namespaces=\"git\" {stranger}")).unwrap();
    let signers = signers.to_str().unwrap();
    assert_eq!(machine.check(&["--allowed-signers", signers]).0, 0);
    machine.git(&["config", "--global", "user.email", "boss@example.com"]).ok();
    assert_eq!(machine.check(&["--allowed-signers", signers]).0, 1);
}

impl Machine {
    fn setup_forced(&self, key: &str) {
        self.run(&["setup", "--apply", "--force", "--key", key]).ok();
    }
}

#[test]
fn the_next_commit_by_rulesets() {
    let machine = Machine::new();
    let public = machine.ssh("id_ed25519", &["ed25519"], "");
    let home = machine.sandbox.path("gate");
    machine.run(&["init", home.to_str().unwrap()]).ok();
    let file = home.join("countersign.toml");
    let text = fs::read_to_string(&file).unwrap();
    let (head, _) = text.split_once("[policy]").unwrap();
    let policy = "[policy]\nuncovered = \"accept\"\n\n[[ruleset]]\nname = \"main\"\nrepositories = [\"app\"]\n\
                  refs = [\"refs/heads/main\"]\nenforcement = \"enforce\"\n\n[ruleset.refuse]\nunsigned-commit = true\n\
                  untrusted-signer = true\nidentity-mismatch = { match = [\"committer\"] }\nref-creation = true\n\
                  missing-ticket = { projects = [\"OPS\"], where = [\"subject\"] }\n";
    fs::write(&file, format!("{head}{policy}")).unwrap();
    let config = file.to_str().unwrap();
    let check = |more: &[&str]| machine.check(&[&["--config", config], more].concat());
    let (code, said) = check(&[]);
    assert_eq!((code, said["fix"].as_str()), (1, Some("countersign setup --apply")), "{said:#}");
    machine.setup(&["--apply"]);
    let (code, said) = check(&[]);
    assert_eq!((code, said["public"].as_str()), (1, Some(&*public)), "{said:#}");
    let add = ["--config", config, "keyring", "add", "dev", "--email", "dev@example.com", "--key", "-"];
    machine.run_with(&add, public.as_bytes()).ok();
    let (code, said) = check(&[]);
    assert_eq!(code, 0, "{said:#}");
    assert!(said["reason"].as_str().unwrap().contains("if its message"), "{said:#}");
    assert_eq!(check(&["--message", "OPS-1 mend it"]).0, 0);
    let (code, said) = check(&["--message", "mend it"]);
    assert_eq!(code, 1, "{said:#}");
    assert!(said["reason"].as_str().unwrap().starts_with("missing-ticket"), "{said:#}");
    // What no ruleset covers goes in unsigned.
    machine.git(&["config", "--global", "commit.gpgsign", "false"]).ok();
    assert_eq!(check(&["--ref", "refs/heads/topic"]).0, 0);
    assert_eq!(check(&[]).0, 1);
    machine.git(&["config", "--global", "commit.gpgsign", "true"]).ok();
    machine.git(&["config", "--global", "user.email", "boss@example.com"]).ok();
    let (code, said) = check(&["--message", "OPS-1 mend it"]);
    assert_eq!(
        (code, said["fix"].as_str()),
        (1, Some("git config --global user.email dev@example.com")),
        "{said:#}"
    );
}

#[test]
fn repositories_of_every_kind_are_looked_at_from_outside() {
    let mut machine = Machine::new();
    let public = machine.ssh("id_ed25519", &["ed25519"], "");
    let ring = machine.keyring(&["dev@example.com"], &public);
    machine.setup(&["--apply"]);
    machine.git(&["commit", "--quiet", "--allow-empty", "-m", "x"]).ok();
    machine.git(&["worktree", "add", "--quiet", "../linked"]).ok();
    let kinds = [
        machine.sandbox.path("linked"),
        machine.sandbox.bare("bare.git", &[]),
        machine.sandbox.work_tree("sha256", &["--object-format=sha256"]),
    ];
    for path in kinds {
        machine.work = path;
        let (code, said) = machine.check(&["--keyring", &ring]);
        assert_eq!(code, 0, "{}: {said:#}", machine.work.display());
    }
    // A variable about another repository says nothing about this one.
    let mut command = machine.command(PROGRAM);
    command.args(["check", "--self", "--keyring", &ring]).env("GIT_DIR", "/nonexistent");
    assert_eq!(run(command, b"").code(), Some(0));
}

#[test]
fn wrong_questions_are_usage_errors() {
    let machine = Machine::new();
    let code = |arguments: &[&str]| machine.run(arguments).code();
    assert_eq!(code(&["check", "--self", "--repo", "/"]), Some(2));
    assert_eq!(code(&["check", "--self", "--ref", "refs/tags/v1"]), Some(2));
    assert_eq!(code(&["check", "--self", "--keyring", "/nonexistent"]), Some(2));
    assert_eq!(code(&["check", "--self", "--keyring", "a", "--allowed-signers", "b"]), Some(2));
    assert_eq!(code(&["check", "--self", "A..B"]), Some(2));
    assert_eq!(code(&["check", "--repo", ".", "A..B"]), Some(2), "a range needs its ref");
    assert_eq!(
        code(&["check", "--repo", ".", "--ref", "refs/heads/main", "--keyring", "a", "A..B"]),
        Some(2)
    );
    assert_eq!(code(&["setup", "--local", "--repo", "/"]), Some(2));
    assert_eq!(code(&["setup", "--local", "--global"]), Some(2));
}
