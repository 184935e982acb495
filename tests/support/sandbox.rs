//! A directory of its own, and commands that see nothing else.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// A temporary directory with a home for the programs that run in it.
pub struct Sandbox {
    directory: tempfile::TempDir,
    root: PathBuf,
}

/// What a program printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Fails the test unless the program succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.status.success(), "{}\n{}\n{}", self.status, self.stdout, self.stderr);
        self
    }

    /// The exit code; a signal is none.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Standard output without the line end.
    pub fn line(&self) -> &str {
        self.stdout.trim_end()
    }
}

impl Sandbox {
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("cs-").tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("home")).unwrap();
        Sandbox { directory, root }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// A command with a fixed environment, its working directory `at`.
    pub fn command(&self, program: impl AsRef<OsStr>, at: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(at)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("GNUPGHOME", self.path("home/gnupg"))
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_AUTHOR_NAME", "Test Author")
            .env("GIT_AUTHOR_EMAIL", "author@example.com")
            .env("GIT_COMMITTER_NAME", "Test Committer")
            .env("GIT_COMMITTER_EMAIL", "committer@example.com")
            .stdin(Stdio::null());
        command
    }

    /// Runs git to its end.
    pub fn git(&self, at: &Path, arguments: &[&str]) -> Ran {
        self.git_with_input(at, arguments, b"")
    }

    /// Runs git to its end with something on its standard input.
    pub fn git_with_input(&self, at: &Path, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command("git", at);
        command.args(arguments);
        run(command, input)
    }

    /// A bare repository; `options` go to `git init`.
    pub fn bare(&self, relative: &str, options: &[&str]) -> PathBuf {
        let path = self.path(relative);
        let mut arguments = vec!["init", "--quiet", "--bare", "-b", "main"];
        arguments.extend(options);
        arguments.push(path.to_str().unwrap());
        self.git(&self.root, &arguments).ok();
        path
    }

    /// An empty work tree; `options` go to `git init`.
    pub fn work_tree(&self, relative: &str, options: &[&str]) -> PathBuf {
        let path = self.path(relative);
        let mut arguments = vec!["init", "--quiet", "-b", "main"];
        arguments.extend(options);
        arguments.push(path.to_str().unwrap());
        self.git(&self.root, &arguments).ok();
        path
    }

    /// Adds an empty commit and gives its id.
    pub fn commit(&self, at: &Path, message: &str) -> String {
        self.git(at, &["commit", "--quiet", "--allow-empty", "-m", message]).ok();
        self.git(at, &["rev-parse", "HEAD"]).ok().line().to_owned()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let gnupg = self.path("home/gnupg");
        if gnupg.exists() {
            // The agent that gpg has started for this home, and no other.
            let mut command = self.command("gpgconf", &self.root);
            command.arg("--homedir").arg(gnupg).args(["--kill", "all"]);
            let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

/// Runs a command to its end and keeps what it prints.
pub fn run(mut command: Command, input: &[u8]) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // From a thread of its own: a program that prints while it reads must not wait for us.
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ran {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
