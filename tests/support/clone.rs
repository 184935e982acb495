//! A pusher's work tree.

use super::gate::Gate;
use super::sandbox::{Ran, run};
use super::signers::Signer;
use super::snapshot::{Snapshot, assert_clean};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A work tree that pushes to one repository of a gate.
pub struct Clone<'g> {
    gate: &'g Gate,
    pub path: PathBuf,
    repository: PathBuf,
    url: String,
    environment: Vec<(String, String)>,
}

/// How a push ended.
#[derive(Debug)]
pub struct Push {
    pub ran: Ran,
    /// What the server's side said, line by line.
    pub remote: Vec<String>,
}

impl<'g> Clone<'g> {
    /// An empty work tree of the repository's object format.
    pub fn of(gate: &'g Gate, repository: &Path) -> Self {
        let format = gate.sandbox.git(repository, &["rev-parse", "--show-object-format"]).ok();
        let name = repository.file_stem().unwrap().to_str().unwrap();
        let free =
            (0..).map(|n| format!("work-{name}-{n}")).find(|n| !gate.sandbox.path(n).exists()).unwrap();
        let path = gate.sandbox.work_tree(&free, &[&format!("--object-format={}", format.line())]);
        let url = repository.to_str().unwrap().to_owned();
        Clone { gate, path, repository: repository.to_owned(), url, environment: Vec::new() }
    }

    /// A work tree that is there already.
    pub fn at(gate: &'g Gate, repository: &Path, path: &Path) -> Self {
        let url = repository.to_str().unwrap().to_owned();
        Clone { gate, path: path.to_owned(), repository: repository.to_owned(), url, environment: Vec::new() }
    }

    /// Pushes over another way from now on.
    pub fn over(mut self, url: String, ssh: &str) -> Self {
        self.url = url;
        self.environment.push(("GIT_SSH_COMMAND".to_owned(), ssh.to_owned()));
        self
    }

    /// Sets a variable for every push from now on.
    pub fn with_env(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn git(&self, arguments: &[&str]) -> Ran {
        self.gate.sandbox.git(&self.path, arguments)
    }

    /// What a revision is.
    pub fn id(&self, revision: &str) -> String {
        self.git(&["rev-parse", "--verify", revision]).ok().line().to_owned()
    }

    /// Adds a commit to the current branch.
    pub fn commit(&self, signer: Option<&Signer>, message: &str) -> String {
        self.sign(signer, &["commit", "--quiet", "--allow-empty", "-m", message]);
        self.id("HEAD")
    }

    /// Runs a git command that may sign: `commit`, `merge` and `tag`.
    pub fn sign(&self, signer: Option<&Signer>, arguments: &[&str]) {
        let command = self.gate.sandbox.command("git", &self.path);
        Self::sign_as(command, signer, arguments);
    }

    /// The same with the author's and committer's dates set.
    pub fn sign_at(&self, signer: Option<&Signer>, date: &str, arguments: &[&str]) {
        let mut command = self.gate.sandbox.command("git", &self.path);
        command.env("GIT_AUTHOR_DATE", date).env("GIT_COMMITTER_DATE", date);
        Self::sign_as(command, signer, arguments);
    }

    /// The same with some variables set, such as `GIT_COMMITTER_EMAIL`.
    pub fn sign_with(&self, signer: Option<&Signer>, environment: &[(&str, &str)], arguments: &[&str]) {
        let mut command = self.gate.sandbox.command("git", &self.path);
        command.envs(environment.iter().copied());
        Self::sign_as(command, signer, arguments);
    }

    fn sign_as(mut command: Command, signer: Option<&Signer>, arguments: &[&str]) {
        if let Some(signer) = signer {
            signer.configure(&mut command);
            command.args(["-c", "commit.gpgSign=true", "-c", "tag.gpgSign=true"]);
        }
        command.args(arguments);
        run(command, b"").ok();
    }

    /// Moves to a new branch at a revision.
    pub fn branch(&self, name: &str, at: &str) {
        self.git(&["checkout", "--quiet", "-B", name, at]).ok();
    }

    /// The push as a command that has not started.
    pub fn push_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.gate.sandbox.command("git", &self.path);
        command.arg("push");
        let options = arguments.iter().take_while(|argument| argument.starts_with('-'));
        let count = options.clone().count();
        command.args(options).arg(&self.url).args(&arguments[count..]);
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }

    /// Pushes; options first, then refspecs. Whatever the outcome, the repository must be sound, and
    /// after a refusal it must be as it was, to the last object.
    #[track_caller]
    pub fn push(&self, arguments: &[&str]) -> Push {
        let sandbox = &self.gate.sandbox;
        let before = Snapshot::of(sandbox, &self.repository);
        let push = Push::from(run(self.push_command(arguments), b""));
        if !push.ran.status.success() {
            let after = Snapshot::of(sandbox, &self.repository);
            assert_eq!(before, after, "a refused push has changed the repository: {}", push.text());
        }
        assert_clean(sandbox, &self.repository);
        push
    }

    /// Pushes what a setup needs.
    #[track_caller]
    pub fn accepted(&self, arguments: &[&str]) -> Push {
        self.push(arguments).assert_accepted()
    }

    /// The value of a ref of the repository.
    pub fn server(&self, name: &str) -> Option<String> {
        let ran = self.gate.sandbox.git(&self.repository, &["rev-parse", "--verify", "--quiet", name]);
        ran.status.success().then(|| ran.line().to_owned())
    }
}

impl From<Ran> for Push {
    fn from(ran: Ran) -> Self {
        let lines = ran.stderr.split(['\n', '\r']);
        let remote =
            lines.filter_map(|line| line.strip_prefix("remote: ")).map(|line| line.trim_end().to_owned());
        Push { remote: remote.collect(), ran }
    }
}

impl Push {
    /// Everything that the server's side said.
    pub fn text(&self) -> String {
        self.remote.join("\n")
    }

    /// The rules of the refusal.
    pub fn rules(&self) -> BTreeSet<&str> {
        let named = self.remote.iter().filter_map(|line| line.strip_prefix("error["));
        named.filter_map(|rest| rest.split_once("]: ")).map(|(rule, _)| rule).collect()
    }

    #[track_caller]
    pub fn assert_accepted(self) -> Self {
        assert!(self.ran.status.success(), "{}", self.ran.stderr);
        assert!(self.rules().is_empty() && !self.is_undecided(), "{}", self.ran.stderr);
        self
    }

    /// Refused for exactly these rules.
    #[track_caller]
    pub fn assert_refused(self, rules: &[&str]) -> Self {
        assert!(!self.ran.status.success(), "the push was let in\n{}", self.ran.stderr);
        assert!(!self.is_undecided(), "{}", self.ran.stderr);
        assert_eq!(self.rules(), rules.iter().copied().collect(), "{}", self.ran.stderr);
        self
    }

    /// An outage, told as one, with the id of the request and some words about the cause.
    #[track_caller]
    pub fn assert_undecided(self, cause: &str) -> Self {
        assert!(!self.ran.status.success(), "the push was let in\n{}", self.ran.stderr);
        assert!(self.is_undecided(), "{}", self.ran.stderr);
        assert!(self.rules().is_empty(), "an outage must not look like a refusal\n{}", self.ran.stderr);
        assert!(self.text().contains(cause), "no `{cause}` in\n{}", self.ran.stderr);
        self
    }

    fn is_undecided(&self) -> bool {
        self.remote.iter().any(|line| line.starts_with("countersign could not decide about this push."))
    }

    /// The request id that an undecided push shows.
    pub fn request_id(&self) -> Option<&str> {
        self.remote.iter().find_map(|line| line.trim_start().strip_prefix("request: "))
    }
}
