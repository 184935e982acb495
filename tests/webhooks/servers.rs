//! Real servers: git's own HTTP backend behind nginx, and sshd.

use crate::forge::{Forge, rules};
use crate::support::sshd::{Sshd, free_port};
use crate::support::wait_for;
use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Stopped when dropped.
pub struct Nginx {
    children: Vec<Child>,
    pub port: u16,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        for child in &mut self.children {
            let pid = rustix::process::Pid::from_child(child);
            // Asked, because its workers are processes of their own.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = child.wait();
        }
    }
}

/// `git http-backend` over everything in the sandbox, for whoever has the password.
pub fn nginx(forge: &Forge, user: &str, password: &str) -> Nginx {
    let sandbox = &forge.gate.sandbox;
    let at = sandbox.path("nginx");
    fs::create_dir(&at).unwrap();
    let backend = sandbox.git(sandbox.root(), &["--exec-path"]).ok();
    let backend = format!("{}/git-http-backend", backend.line());
    let port = free_port();
    let hashed = {
        let mut command = sandbox.command("openssl", sandbox.root());
        command.args(["passwd", "-apr1", password]);
        crate::support::sandbox::run(command, b"").ok().line().to_owned()
    };
    fs::write(at.join("users"), format!("{user}:{hashed}\n")).unwrap();
    let here = at.display();
    let config = format!(
        "daemon off; pid {here}/pid; error_log {here}/error.log; worker_processes 1;\n{root}\
         events {{ worker_connections 64; }}\n\
         http {{ access_log {here}/access.log; client_body_temp_path {here}/body; proxy_temp_path {here}/proxy;\n\
         fastcgi_temp_path {here}/fcgi; uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;\n\
         server {{ listen 127.0.0.1:{port}; auth_basic forge; auth_basic_user_file {here}/users;\n\
         location / {{ fastcgi_pass unix:{here}/fcgi.sock; fastcgi_param SCRIPT_FILENAME {backend};\n\
         fastcgi_param GIT_PROJECT_ROOT {project}; fastcgi_param GIT_HTTP_EXPORT_ALL 1;\n\
         fastcgi_param PATH_INFO $uri; fastcgi_param QUERY_STRING $query_string;\n\
         fastcgi_param REQUEST_METHOD $request_method; fastcgi_param CONTENT_TYPE $content_type;\n\
         fastcgi_param CONTENT_LENGTH $content_length; fastcgi_param REMOTE_USER $remote_user;\n\
         fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding; fastcgi_param GIT_PROTOCOL $http_git_protocol;\n\
         fastcgi_param REMOTE_ADDR $remote_addr; }} }} }}\n",
        root = if rustix::process::getuid().is_root() { "user root;\n" } else { "" },
        project = sandbox.root().display(),
    );
    fs::write(at.join("config"), config).unwrap();
    let start = |command: &mut Command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut children = Vec::new();
    let socket = at.join("fcgi.sock");
    let mut command = sandbox.command("fcgiwrap", sandbox.root());
    children.push(start(command.arg("-s").arg(format!("unix:{}", socket.display()))));
    wait_for("fcgiwrap to listen", Duration::from_secs(10), || {
        std::os::unix::net::UnixStream::connect(&socket).ok()
    });
    let mut command = Command::new("nginx");
    children.push(start(
        command.arg("-p").arg(&at).arg("-c").arg(at.join("config")).arg("-e").arg(at.join("error.log")),
    ));
    let mut made = Nginx { children, port };
    wait_for("nginx to listen", Duration::from_secs(10), || {
        if let Some(status) = made.children[1].try_wait().unwrap() {
            panic!("nginx ended: {status}\n{}", fs::read_to_string(at.join("error.log")).unwrap_or_default());
        }
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    made
}

/// Pushes a signed and an unsigned commit, tells of them, and wants to see both judged.
fn judges(forge: &Forge) {
    let work = forge.gate.clone_at(&forge.bare, "main");
    let start = work.id("HEAD");
    let good = work.commit(Some(&forge.alice), "OPS-2: signed");
    forge.push(&work, &["main"]);
    forge.tell("refs/heads/main", &start, &good, "alice");
    let one = forge.decided("refs/heads/main", &good);
    assert_eq!(
        (one["outcome"].as_str(), one["pusher"]["name"].as_str()),
        (Some("accept"), Some("alice")),
        "{one}"
    );
    let bad = work.commit(None, "OPS-3: unsigned");
    forge.push(&work, &["main"]);
    forge.tell("refs/heads/main", &good, &bad, "alice");
    assert_eq!(rules(&forge.decided("refs/heads/main", &bad)), ["unsigned-commit"]);
    forge.wait_idle();
}

#[test]
fn n31_a_repository_is_fetched_over_http_with_a_password_that_nobody_sees() {
    let mut forge = Forge::prepared();
    let password = "pass wort:@/%&\"'";
    let nginx = nginx(&forge, "robot", password);
    crate::forge::private(&forge.gate.sandbox.path("token"), password);
    forge.url = format!("http://127.0.0.1:{}/forge.git", nginx.port);
    forge.source = format!(
        "[source.fetch]\nuser = \"robot\"\ncredential = {{ file = \"{}\" }}\n",
        forge.gate.sandbox.path("token").display()
    );
    forge.start();
    forge.adopt();
    judges(&forge);
    assert!(!forge.gate.log().contains("wort"));
    // A wrong one is no empty repository, and says so.
    crate::forge::private(&forge.gate.sandbox.path("token"), "another");
    let work = forge.gate.clone_at(&forge.bare, "main");
    let before = work.id("HEAD");
    let next = work.commit(Some(&forge.alice), "OPS-4: later");
    forge.push(&work, &["main"]);
    forge.tell("refs/heads/main", &before, &next, "alice");
    let note = wait_for("why it waits", Duration::from_secs(30), || {
        forge.store().queued_deliveries(&forge.id()).unwrap().first()?.note.clone()
    });
    assert!(note.contains("uthentication failed") || note.contains("401"), "{note}");
    assert_eq!(forge.judged("refs/heads/main"), Some(before));
    crate::forge::private(&forge.gate.sandbox.path("token"), password);
    forge.wait_judged("refs/heads/main", Some(&next));
}

#[test]
fn n31_a_repository_is_fetched_over_ssh_with_a_pinned_host_key() {
    let mut forge = Forge::prepared();
    let sandbox = &forge.gate.sandbox;
    let sshd = Sshd::start(sandbox, "");
    forge.url = sshd.url(&forge.bare);
    let directory = sandbox.path("sshd-0");
    let port = forge.url.rsplit_once(':').unwrap().1.split('/').next().unwrap().to_owned();
    let host = fs::read_to_string(directory.join("host.pub")).unwrap();
    let known = sandbox.path("known hosts");
    fs::write(&known, format!("[127.0.0.1]:{port} {host}")).unwrap();
    let source = |known: &std::path::Path| {
        format!(
            "[source.fetch]\nknown-hosts = \"{}\"\ncredential = {{ file = \"{}\" }}\n",
            known.display(),
            directory.join("login").display()
        )
    };
    forge.source = source(&known);
    forge.start();
    forge.adopt();
    judges(&forge);
    // Another host's key: nobody is talked to.
    forge.gate.stop();
    let other = sandbox.path("other");
    let login = fs::read_to_string(directory.join("login.pub")).unwrap();
    fs::write(&other, format!("[127.0.0.1]:{port} {login}")).unwrap();
    forge.source = source(&other);
    forge.start();
    let tip = forge.git(&["rev-parse", "main"]);
    forge.tell("refs/heads/main", crate::forge::ZERO, &tip, "alice");
    let note = wait_for("why it waits", Duration::from_secs(30), || {
        forge.store().queued_deliveries(&forge.id()).unwrap().first()?.note.clone()
    });
    assert!(note.contains("ost key"), "{note}");
}
