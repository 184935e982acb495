//! What the tests here share: a gate without a daemon, a work tree, and objects made by hand.

use crate::support::gate::{Gate, PROGRAM};
use crate::support::sandbox::{Ran, run};
use crate::support::signers::Signer;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// Uncovered refs move freely, and nothing else.
pub const OPEN: &str = "[policy]\nuncovered = \"accept\"\n";

/// A gate with `alice`, who signs with SSH, and a repository with a work tree.
pub struct Bench {
    pub gate: Gate,
    pub alice: Signer,
    pub work: PathBuf,
}

/// An explanation: how the program ended, and its JSON.
#[derive(Debug)]
pub struct Explained {
    pub code: Option<i32>,
    pub value: Value,
}

impl Explained {
    pub fn text(&self, pointer: &str) -> &str {
        let found = self.value.pointer(pointer);
        found.and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} in {:#}", self.value))
    }

    pub fn status(&self) -> &str {
        self.text("/status")
    }

    /// Code of the difference with git, `same`, or why there is none to tell.
    pub fn difference(&self) -> &str {
        if self.value["git"]["compared"] != true {
            return "not compared";
        }
        self.value["difference"]["code"].as_str().unwrap_or("same")
    }

    /// Holds what holds for every explanation.
    fn sound(self) -> Self {
        let value = &self.value;
        let accepted = value["accepted"] == true;
        assert_eq!(self.code, Some(i32::from(!accepted)), "{value:#}");
        assert_eq!(accepted, value["status"] == "verified", "{value:#}");
        let checks = value["checks"].as_array().unwrap();
        let failed = checks.iter().any(|check| check["result"] == "failed");
        assert_eq!(failed, !accepted, "a refusal has a step that failed, and nothing else has: {value:#}");
        assert_ne!(self.difference(), "unexplained", "{value:#}");
        self
    }
}

impl Bench {
    pub fn new() -> Self {
        let gate = Gate::prepared(OPEN);
        let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
        gate.trust(&alice, "sre");
        let work = gate.sandbox.work_tree("work", &[]);
        Bench { gate, alice, work }
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        self.gate.sandbox.git(&self.work, arguments).ok().line().to_owned()
    }

    /// A commit or tag by a git command, and the id that it leads to.
    pub fn sign(&self, signer: Option<&Signer>, date: Option<&str>, arguments: &[&str]) {
        let mut command = self.gate.sandbox.command("git", &self.work);
        if let Some(date) = date {
            command.env("GIT_AUTHOR_DATE", date).env("GIT_COMMITTER_DATE", date);
        }
        if let Some(signer) = signer {
            signer.configure(&mut command);
            command.args(["-c", "commit.gpgSign=true", "-c", "tag.gpgSign=true"]);
        }
        command.args(arguments);
        run(command, b"").ok();
    }

    pub fn commit(&self, signer: Option<&Signer>, date: Option<&str>) -> String {
        self.sign(signer, date, &["commit", "--quiet", "--allow-empty", "-m", "OPS-1 change the thing"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// The bytes of an object.
    pub fn raw(&self, kind: &str, id: &str) -> Vec<u8> {
        let mut command = self.gate.sandbox.command("git", &self.work);
        command.args(["cat-file", kind, id]);
        command.output().unwrap().stdout
    }

    /// Stores bytes as an object, whatever they are.
    pub fn store(&self, kind: &str, raw: &[u8]) -> String {
        let arguments = ["hash-object", "-t", kind, "-w", "--stdin", "--literally"];
        self.gate.sandbox.git_with_input(&self.work, &arguments, raw).ok().line().to_owned()
    }

    /// A commit with these bytes, signed by alice's key over all of them, whatever they are.
    pub fn sign_bytes(&self, payload: &[u8]) -> String {
        let mut command = self.gate.sandbox.command("ssh-keygen", self.gate.sandbox.root());
        command.args(["-q", "-Y", "sign", "-n", "git", "-f"]).arg(self.alice.public.with_extension(""));
        let armor = run(command, payload).ok().stdout;
        let header = format!("gpgsig {}\n", armor.trim_end().replace('\n', "\n "));
        let end = payload.windows(2).position(|pair| pair == b"\n\n").unwrap() + 1;
        let raw = [&payload[..end], header.as_bytes(), &payload[end..]].concat();
        self.store("commit", &raw)
    }

    /// Lines for the keyring's entry of alice's key.
    pub fn keyring_entry(&self, lines: &str) {
        let file = self.gate.home.join("keyring/alice.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{}\n{lines}\n", text.trim_end())).unwrap();
    }

    /// Runs the program as is.
    pub fn program(&self, object: &str, more: &[&str]) -> Ran {
        let mut arguments = vec!["verify", self.work.to_str().unwrap(), object];
        arguments.extend(more);
        let mut command = self.gate.sandbox.command(PROGRAM, self.gate.sandbox.root());
        let rooms = self.gate.sandbox.path("tmp");
        fs::create_dir_all(&rooms).unwrap();
        command.env("TMPDIR", &rooms).args(arguments);
        if !more.contains(&"--keyring") {
            command.arg("--config").arg(self.gate.config());
        }
        let ran = run(command, b"");
        assert_eq!(fs::read_dir(&rooms).unwrap().count(), 0, "a private directory was left behind");
        for text in [&ran.stdout, &ran.stderr] {
            let raw = |c: char| c.is_control() && c != '\n';
            assert!(!text.contains(raw), "control characters reach the terminal: {text:?}");
        }
        ran
    }

    /// The explanation of an object.
    #[track_caller]
    pub fn explain(&self, object: &str, more: &[&str]) -> Explained {
        let ran = self.program(object, &[more, &["--format", "json"]].concat());
        let value = serde_json::from_str(&ran.stdout);
        let value = value.unwrap_or_else(|e| panic!("{e}: {}{}", ran.stdout, ran.stderr));
        Explained { code: ran.code(), value }.sound()
    }
}
