//! How many authenticated deliveries a second the daemon takes over loopback, beside a server of the same shape whose
//! handler only reads the body. In turns; the ratio of the medians is what means anything elsewhere.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use countersign::domain::Timestamp;
use countersign::forge::{self, ForgeKind, Headers, Secret, SecretKind, Secrets};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_countersign");
const SECRET: &[u8] = b"test only: what this measurement signs with";
/// A push of a few commits.
const BODY: usize = 8 << 10;
/// Of one round; all of them together are fewer than what may wait.
const DELIVERIES: usize = 2_000;
const ROUNDS: usize = 7;

fn main() {
    if let Ok(port) = env::var("RECEIVING_BENCH_READER") {
        return reader(port.parse().unwrap());
    }
    let home = tempfile::tempdir().unwrap();
    for connections in [1, 8, 64] {
        measure(home.path(), connections);
    }
}

fn measure(home: &Path, connections: usize) {
    let (daemon_port, reader_port) = (free_port(), free_port());
    let daemon = daemon(&home.join(connections.to_string()), daemon_port);
    let reader = Running(
        Command::new(env::current_exe().unwrap())
            .env("RECEIVING_BENCH_READER", reader_port.to_string())
            .spawn()
            .unwrap(),
    );
    wait(daemon_port);
    wait(reader_port);
    let (mut taken, mut read) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let requests: Vec<Vec<u8>> = (0..DELIVERIES).map(|n| request(round * DELIVERIES + n)).collect();
        read.push(rate(reader_port, &requests, connections));
        taken.push(rate(daemon_port, &requests, connections));
    }
    let (taken, read) = (median(&mut taken), median(&mut read));
    println!(
        "{connections:3} connections: {taken:7.0} deliveries a second; {read:7.0} bodies that are only read; ratio {:.2}",
        taken / read
    );
    drop((daemon, reader));
}

/// Ends the process that it holds.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn daemon(home: &Path, port: u16) -> Running {
    let ended = Command::new(PROGRAM).args(["init", home.to_str().unwrap()]).stdout(Stdio::null()).status();
    assert!(ended.unwrap().success());
    let secret = home.join("secret");
    fs::write(&secret, SECRET).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let config = home.join("countersign.toml");
    let at = home.display();
    let text = format!(
        "[daemon]\nsocket = \"{at}/run/hook.sock\"\nlisten = \"127.0.0.1:{port}\"\nstate = \"{at}/state\"\n\
         [keyring]\npath = \"{at}/keyring\"\n[repositories]\nroot = \"{at}/repositories\"\n\
         [policy]\nuncovered = \"accept\"\n[[source]]\nname = \"forge\"\nforge = \"github\"\n\
         secrets = [{{ file = \"secret\" }}]\nrepositories = [\"acme/infra\"]\n\
         url = \"file:///nowhere/{{repository}}\"\nsweep = \"0s\"\n"
    );
    fs::write(&config, text).unwrap();
    let mut command = Command::new(PROGRAM);
    command.arg("serve").arg("--config").arg(&config).env("COUNTERSIGN_LOG", "error");
    Running(command.stderr(Stdio::null()).spawn().unwrap())
}

/// The same layers, and a handler that reads.
fn reader(port: u16) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let read = |body: Body| async {
            match to_bytes(body, 25 << 20).await {
                Ok(_) => (StatusCode::ACCEPTED, "read\n"),
                Err(_) => (StatusCode::BAD_REQUEST, "broke off\n"),
            }
        };
        let routes = Router::new().fallback(read);
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let routes = routes.clone();
            tokio::spawn(async move {
                let mut builder = hyper::server::conn::http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
                let _ =
                    builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes)).await;
            });
        }
    });
}

fn request(n: usize) -> Vec<u8> {
    let mut secrets = Secrets::new();
    let secret = Secret::new(SECRET.to_vec()).unwrap();
    secrets.add(ForgeKind::GitHub, SecretKind::Hmac, &secret).unwrap();
    let head = format!(
        "{{\"ref\":\"refs/heads/main\",\"before\":\"{:040x}\",\"after\":\"{:040x}\",\"repository\":{{\"id\":41,\
         \"full_name\":\"acme/infra\"}},\"pusher\":{{\"name\":\"alice\"}},\"sender\":{{\"login\":\"alice\",\"id\":7}},\
         \"commits\":[{{\"message\":\"",
        n + 1,
        n + 2
    );
    let tail = "\"}]}";
    let body = format!("{head}{}{tail}", "x".repeat(BODY - head.len() - tail.len()));
    let id = format!("{n:032x}");
    let headers: Headers =
        forge::sign(ForgeKind::GitHub, &secrets, "push", &id, body.as_bytes(), Timestamp::now());
    let mut raw = b"POST /hooks/forge HTTP/1.1\r\nhost: gate\r\n".to_vec();
    for (name, value) in headers.iter() {
        raw.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    raw.extend(format!("content-length: {}\r\n\r\n{body}", body.len()).bytes());
    raw
}

/// Answers a second.
fn rate(port: u16, requests: &[Vec<u8>], connections: usize) -> f64 {
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                stream.set_nodelay(true).unwrap();
                let mut answer = [0_u8; 1024];
                while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    stream.write_all(request).unwrap();
                    // Answers are short and come in one piece.
                    let count = stream.read(&mut answer).unwrap();
                    let text = String::from_utf8_lossy(&answer[..count]);
                    assert!(text.starts_with("HTTP/1.1 202 "), "{text}");
                }
            });
        }
    });
    requests.len() as f64 / begun.elapsed().as_secs_f64()
}

fn median(all: &mut [f64]) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn wait(port: u16) {
    let until = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "nobody listens");
        std::thread::sleep(Duration::from_millis(20));
    }
}
