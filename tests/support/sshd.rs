//! A real sshd on the loopback interface, for the account that runs the tests.

use super::sandbox::{Sandbox, run};
use super::wait_for;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Stopped when dropped.
pub struct Sshd {
    child: Child,
    port: u16,
    user: String,
    client: String,
    directory: PathBuf,
}

/// What an sshd is to do beyond the ordinary.
#[derive(Default)]
pub struct Options<'a> {
    /// What every session gets, in sshd's `SetEnv` form.
    pub environment: &'a str,
    /// More lines for its configuration.
    pub lines: &'a str,
    /// Who may log in, instead of the one key that [`Sshd::client`] has.
    pub authorized_keys: Option<&'a Path>,
}

const PROGRAM: &str = "/usr/sbin/sshd";

impl Sshd {
    /// Starts it. `environment` is what every session gets, in sshd's `SetEnv` form.
    pub fn start(sandbox: &Sandbox, environment: &str) -> Self {
        Sshd::with(sandbox, &Options { environment, ..Options::default() })
    }

    /// Starts one that may differ.
    pub fn with(sandbox: &Sandbox, options: &Options<'_>) -> Self {
        assert!(Path::new(PROGRAM).exists(), "{PROGRAM} is missing: install openssh-server");
        let free = (0..).map(|n| sandbox.path(format!("sshd-{n}"))).find(|path| !path.exists());
        let directory = free.unwrap();
        fs::create_dir(&directory).unwrap();
        for key in ["host", "login"] {
            let mut command = sandbox.command("ssh-keygen", &directory);
            command.args(["-q", "-N", "", "-t", "ed25519", "-C", "test key", "-f", key]);
            run(command, b"").ok();
        }
        let port = free_port();
        let at = directory.display();
        let own = directory.join("login.pub");
        let authorized = options.authorized_keys.unwrap_or(&own).display();
        let Options { environment, lines, .. } = options;
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {at}/host\nAuthorizedKeysFile {authorized}\nPidFile none\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin yes\nSetEnv GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 LC_ALL=C {environment}\n\
             {lines}\n"
        );
        fs::write(directory.join("config"), config).unwrap();
        if rustix::process::getuid().is_root() {
            // Its privilege separation directory; a service manager would have made it.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let log = fs::File::create(directory.join("log")).unwrap();
        let mut child = Command::new(PROGRAM)
            .args(["-D", "-e", "-f"])
            .arg(directory.join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        wait_for("sshd to listen", Duration::from_secs(10), || {
            if let Some(status) = child.try_wait().unwrap() {
                let log = fs::read_to_string(directory.join("log")).unwrap();
                panic!("sshd ended: {status}\n{log}");
            }
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        let mut id = Command::new("id");
        id.arg("-un");
        let user = run(id, b"").ok().line().to_owned();
        let client = client(&directory, &[&directory.join("login")]);
        Sshd { child, port, user, client, directory }
    }

    /// The value of `GIT_SSH_COMMAND` that gets there with these private keys.
    pub fn client_with(&self, keys: &[&Path]) -> String {
        client(&self.directory, keys)
    }

    /// The address of a repository, for git.
    pub fn url(&self, repository: &Path) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", self.user, self.port, repository.display())
    }

    /// The value of `GIT_SSH_COMMAND` that gets there.
    pub fn client(&self) -> &str {
        &self.client
    }
}

fn client(directory: &Path, keys: &[&Path]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("-i {}", key.display())).collect();
    format!(
        "ssh -F none {} -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes -o StrictHostKeyChecking=no \
         -o UserKnownHostsFile={}/known_hosts -o LogLevel=ERROR",
        keys.join(" "),
        directory.display()
    )
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens at, and that is given out once: below those that the kernel hands to
/// clients, and each test process starts somewhere else.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = 12_000 + std::process::id() % 100 * 200;
    loop {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(start + offset % 200).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
