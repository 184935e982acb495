//! A gate of its own: configuration, keyring, daemon, repositories, all in one temporary directory.

use super::clone::Clone;
use super::sandbox::{Ran, Sandbox, run};
use super::signers::Signer;
use super::sshd::free_port;
use super::wait_for;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the tests run.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_countersign");

/// The ruleset of the README: signed by the right people, with a ticket, forwards only.
pub const PRODUCTION: &str = r#"
[policy]
uncovered = "accept"

[[ruleset]]
name = "production"
repositories = ["**"]
refs = ["refs/heads/main", "refs/heads/release/**"]
enforcement = "enforce"

[ruleset.refuse]
unsigned-commit = true
untrusted-signer = { allow = ["group:sre"] }
force-push = true
ref-deletion = true
missing-ticket = { projects = ["OPS"], where = ["subject"] }
"#;

/// A gate. Its daemon is stopped when this is dropped.
pub struct Gate {
    pub sandbox: Sandbox,
    /// Where `countersign init` has put everything.
    pub home: PathBuf,
    /// More lines for `[daemon]`, `[repositories]`.
    pub daemon_keys: RefCell<String>,
    pub repository_keys: RefCell<String>,
    daemon: RefCell<Option<Daemon>>,
    port: u16,
}

struct Daemon {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Gate {
    /// Everything but a daemon that runs.
    pub fn prepared(policy: &str) -> Self {
        let sandbox = Sandbox::new();
        let home = sandbox.path("gate");
        let gate = Gate {
            sandbox,
            home,
            daemon_keys: RefCell::default(),
            repository_keys: RefCell::default(),
            daemon: RefCell::default(),
            port: free_port(),
        };
        gate.program(&["init", gate.home.to_str().unwrap()]).ok();
        gate.configure(policy);
        gate
    }

    /// A gate with a daemon that runs, and nobody in the keyring.
    pub fn running(policy: &str) -> Self {
        let gate = Gate::prepared(policy);
        gate.start();
        gate
    }

    /// [`PRODUCTION`], and `alice` of `group:sre`, who signs with SSH.
    pub fn production() -> (Self, Signer) {
        Gate::with_alice(PRODUCTION)
    }

    /// A running gate with `alice` of `group:sre`, who signs with SSH.
    pub fn with_alice(policy: &str) -> (Self, Signer) {
        let gate = Gate::prepared(policy);
        let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
        gate.trust(&alice, "sre");
        gate.start();
        (gate, alice)
    }

    pub fn config(&self) -> PathBuf {
        self.home.join("countersign.toml")
    }

    pub fn socket(&self) -> PathBuf {
        self.home.join("run/hook.sock")
    }

    /// Where the daemon serves HTTP.
    /// Where it listens for everybody.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn state(&self) -> PathBuf {
        self.home.join("state")
    }

    /// Writes the configuration; a daemon that runs does not know of it yet.
    pub fn configure(&self, policy: &str) {
        let text = format!(
            "[daemon]\nsocket = \"{socket}\"\nlisten = \"127.0.0.1:{port}\"\nstate = \"{state}\"\n{daemon}\n\
             [keyring]\npath = \"{home}/keyring\"\n\n[repositories]\nroot = \"{home}/repositories\"\n{repositories}\n\
             {policy}",
            socket = self.socket().display(),
            port = self.port,
            state = self.state().display(),
            daemon = self.daemon_keys.borrow(),
            home = self.home.display(),
            repositories = self.repository_keys.borrow(),
        );
        fs::write(self.config(), text).unwrap();
    }

    /// Runs `countersign` without a configuration.
    pub fn program(&self, arguments: &[&str]) -> Ran {
        let mut command = self.sandbox.command(PROGRAM, self.sandbox.root());
        command.args(arguments);
        run(command, b"")
    }

    /// Runs `countersign` with this gate's configuration.
    pub fn countersign(&self, arguments: &[&str]) -> Ran {
        let mut command = self.sandbox.command(PROGRAM, self.sandbox.root());
        command.args(arguments).arg("--config").arg(self.config());
        run(command, b"")
    }

    /// Puts a signer into the keyring.
    pub fn trust(&self, signer: &Signer, group: &str) {
        let email = format!("{}@example.com", signer.name);
        let key = signer.public.to_str().unwrap();
        let add = ["keyring", "add", &signer.name, "--email", &email, "--group", group, "--key", key];
        self.countersign(&add).ok();
    }

    // --- the daemon

    /// Starts the daemon and waits until it listens.
    pub fn start(&self) {
        let mut command = self.sandbox.command(PROGRAM, self.sandbox.root());
        command.arg("serve").arg("--config").arg(self.config());
        self.start_as(command);
    }

    /// Starts the daemon by a command of the caller's.
    pub fn start_as(&self, mut command: Command) {
        assert!(self.daemon.borrow().is_none(), "it runs already");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let mut stderr = child.stderr.take().unwrap();
        let sink = Arc::clone(&log);
        std::thread::spawn(move || {
            let mut chunk = [0_u8; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut chunk) {
                sink.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..count]));
            }
        });
        wait_for("the daemon to listen", Duration::from_secs(20), || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the daemon ended: {status}\n{}", log.lock().unwrap());
            }
            // What it says before it is ready has been read then.
            let ready = log.lock().unwrap().contains("ready");
            UnixStream::connect(self.socket()).ok().filter(|_| ready)
        });
        *self.daemon.borrow_mut() = Some(Daemon { child, log });
    }

    /// Starts the daemon anew so that [`Gate::limit_files`] does not kill it: the signal that comes with the limit
    /// is ignored.
    pub fn restart_for_limits(&self) {
        self.stop();
        let mut command = self.sandbox.command("sh", self.sandbox.root());
        command.args(["-c", "trap '' XFSZ; exec \"$0\" serve --config \"$1\"", PROGRAM]).arg(self.config());
        self.start_as(command);
    }

    /// Limits how large a file the daemon may write, which acts as a full disk does.
    pub fn limit_files(&self, bytes: Option<u64>) {
        self.limit(Resource::Fsize, bytes);
    }

    /// Limits a resource of the daemon that runs.
    pub fn limit(&self, resource: Resource, current: Option<u64>) {
        prlimit(Some(self.pid()), resource, Rlimit { current, maximum: None }).unwrap();
    }

    /// Runs `serve` to its end; for one that must not start.
    pub fn serve_fails(&self) -> Ran {
        let mut command = self.sandbox.command(PROGRAM, self.sandbox.root());
        command.arg("serve").arg("--config").arg(self.config());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let until = std::time::Instant::now() + Duration::from_secs(20);
        while child.try_wait().unwrap().is_none() {
            if std::time::Instant::now() > until {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("the daemon should have ended");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let output = child.wait_with_output().unwrap();
        Ran {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.daemon.borrow().as_ref().expect("the daemon runs").child);
        kill_process(pid, signal).unwrap();
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.daemon.borrow().as_ref().expect("the daemon runs").child)
    }

    /// Asks the daemon to end and waits until it has.
    pub fn stop(&self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Ends the daemon without asking.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        self.ended();
    }

    /// Waits until the daemon has ended.
    pub fn ended(&self) -> ExitStatus {
        let mut daemon = self.daemon.borrow_mut().take().expect("the daemon runs");
        wait_for("the daemon to end", Duration::from_secs(40), || daemon.child.try_wait().unwrap())
    }

    /// What the daemon has logged so far.
    pub fn log(&self) -> String {
        self.daemon.borrow().as_ref().map_or_else(String::new, |daemon| daemon.log.lock().unwrap().clone())
    }

    /// Makes the daemon read its configuration again and waits until it says so.
    pub fn reload(&self) {
        let before = self.log().len();
        self.signal(Signal::HUP);
        wait_for("the reload", Duration::from_secs(10), || {
            let log = self.log();
            log[before..].contains("configuration").then_some(())
        });
    }

    /// Writes the configuration and makes the daemon read it.
    pub fn reconfigure(&self, policy: &str) {
        self.configure(policy);
        self.reload();
    }

    /// `GET` on the daemon's HTTP address: status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: gate\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let body = text.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned());
        (status, body)
    }

    // --- repositories and records

    /// Where a repository lies.
    pub fn place(&self, name: &str) -> PathBuf {
        self.home.join("repositories").join(format!("{name}.git"))
    }

    /// A bare repository with the hooks installed.
    pub fn repository(&self, name: &str) -> PathBuf {
        self.repository_with(name, &[])
    }

    /// The same with options for `git init`.
    pub fn repository_with(&self, name: &str, options: &[&str]) -> PathBuf {
        let path = self.bare(name, options);
        self.install(&path);
        path
    }

    /// A bare repository below the root, without our hooks.
    pub fn bare(&self, name: &str, options: &[&str]) -> PathBuf {
        let path = self.place(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let relative = path.strip_prefix(self.sandbox.root()).unwrap().to_str().unwrap();
        self.sandbox.bare(relative, options)
    }

    pub fn install(&self, repository: &Path) {
        self.countersign(&["install", repository.to_str().unwrap()]).ok();
    }

    pub fn adopt(&self, repository: &Path) -> Ran {
        self.countersign(&["adopt", repository.to_str().unwrap(), "--yes"])
    }

    /// A work tree that pushes to the repository over a local path.
    pub fn clone_of(&self, repository: &Path) -> Clone<'_> {
        Clone::of(self, repository)
    }

    /// The same, standing where a branch of the repository stands.
    pub fn clone_at(&self, repository: &Path, branch: &str) -> Clone<'_> {
        let work = Clone::of(self, repository);
        work.git(&["fetch", "--quiet", work.url(), branch]).ok();
        work.git(&["checkout", "--quiet", "-B", branch, "FETCH_HEAD"]).ok();
        work
    }

    /// All records, oldest first.
    pub fn audit(&self) -> Vec<serde_json::Value> {
        let ran = self.countersign(&["audit", "log", "--format", "json"]).ok();
        let values = serde_json::Deserializer::from_str(&ran.stdout).into_iter::<serde_json::Value>();
        let mut records = Vec::new();
        for value in values.map(Result::unwrap) {
            match value {
                serde_json::Value::Array(many) => records.extend(many),
                one => records.push(one),
            }
        }
        records
    }

    /// The newest record of a decision.
    pub fn last_decision(&self) -> serde_json::Value {
        let records = self.audit();
        let mut decisions = records.into_iter().filter(|record| record["kind"] == "decision");
        decisions.next_back().expect("there is a decision on record")
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.borrow_mut().take() {
            let _ = daemon.child.kill();
            let _ = daemon.child.wait();
            if std::thread::panicking() {
                eprintln!("--- the daemon's log\n{}---", daemon.log.lock().unwrap());
            }
        }
    }
}
