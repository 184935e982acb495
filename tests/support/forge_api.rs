//! A forge's API over real sockets: it keeps what it is told, and answers as the test says.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// One request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub at: Instant,
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
}

impl Asked {
    /// A field of the JSON body.
    pub fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_default()
    }
}

/// One answer, or none.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Waits so long before the answer.
    pub wait: Duration,
    /// Closes the connection instead.
    pub cut: bool,
}

impl Answer {
    pub fn new(status: u16, body: &str) -> Self {
        Answer { status, headers: Vec::new(), body: body.into(), wait: Duration::ZERO, cut: false }
    }

    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

type Answers = dyn Fn(usize, &Asked) -> Answer + Send + Sync;

/// The forge. Its threads end with the test's process.
pub struct ForgeApi {
    port: u16,
    scheme: &'static str,
    /// The certificate that it proves itself with.
    pub certificate: Option<PathBuf>,
    asked: Arc<Mutex<Vec<Asked>>>,
    done: Arc<Mutex<Vec<Asked>>>,
}

impl ForgeApi {
    /// In the clear. `answers` is given how many requests came before, and the request.
    pub fn plain(answers: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static) -> Self {
        ForgeApi::serve(None, answers)
    }

    /// Behind TLS, with a certificate for `localhost` of its own making below `place`.
    pub fn tls(place: &Path, answers: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static) -> Self {
        ForgeApi::serve(Some(place), answers)
    }

    fn serve(
        place: Option<&Path>,
        answers: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let made = place.map(certificate);
        let tls = made.as_ref().map(|(certificate, key)| Arc::new(server_config(certificate, key)));
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let answers: Arc<Answers> = Arc::new(answers);
        let done: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (kept, finished) = (Arc::clone(&asked), Arc::clone(&done));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answers, tls) = (Arc::clone(&answers), tls.clone());
                let kept = (Arc::clone(&kept), Arc::clone(&finished));
                std::thread::spawn(move || match tls {
                    Some(config) => {
                        let connection = rustls::ServerConnection::new(config).unwrap();
                        talk(rustls::StreamOwned::new(connection, stream), &kept, &*answers);
                    }
                    None => talk(stream, &kept, &*answers),
                });
            }
        });
        let scheme = if place.is_some() { "https" } else { "http" };
        ForgeApi { port, scheme, certificate: made.map(|(certificate, _)| certificate), asked, done }
    }

    pub fn base(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.port)
    }

    /// Everything that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// What the forge has of a commit: the state that took effect last, which need not be the one that came last.
    pub fn shown(&self, commit: &str) -> Option<String> {
        let done = self.done.lock().unwrap();
        let last = done.iter().rfind(|one| one.path.ends_with(&format!("/statuses/{commit}")));
        last.map(|one| one.text("state").to_owned())
    }

    /// The statuses that were set: commit, context, state.
    pub fn statuses(&self) -> Vec<(String, String, String)> {
        let asked = self.asked();
        let statuses = asked.iter().filter(|one| one.path.contains("/statuses/"));
        let commit = |one: &Asked| one.path.rsplit('/').next().unwrap_or_default().to_owned();
        statuses
            .map(|one| (commit(one), one.text("context").to_owned(), one.text("state").to_owned()))
            .collect()
    }
}

type Kept = (Arc<Mutex<Vec<Asked>>>, Arc<Mutex<Vec<Asked>>>);

fn talk(stream: impl Read + Write, (kept, done): &Kept, answers: &Answers) {
    let mut stream = BufReader::new(stream);
    while let Some(asked) = read(&mut stream) {
        let count = {
            let mut kept = kept.lock().unwrap();
            kept.push(asked.clone());
            kept.len() - 1
        };
        let answer = answers(count, &asked);
        std::thread::sleep(answer.wait);
        if (200..300).contains(&answer.status) {
            done.lock().unwrap().push(asked);
        }
        if answer.cut {
            return;
        }
        let mut text =
            format!("HTTP/1.1 {} Whatever\r\ncontent-length: {}\r\n", answer.status, answer.body.len());
        for (name, value) in &answer.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let out = stream.get_mut();
        if out
            .write_all(text.as_bytes())
            .and_then(|()| out.write_all(&answer.body))
            .and_then(|()| out.flush())
            .is_err()
        {
            return;
        }
    }
}

fn read(stream: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let mut words = line.split_ascii_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut field = String::new();
        stream.read_line(&mut field).ok()?;
        let Some((name, value)) = field.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Asked { at: Instant::now(), method, path, headers, body })
}

/// A certificate for `localhost` that vouches for itself, and its key.
pub fn certificate(place: &Path) -> (PathBuf, PathBuf) {
    fs::create_dir_all(place).unwrap();
    let (certificate, key) = (place.join("forge.pem"), place.join("forge.key"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=countersign test", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    (certificate, key)
}

fn server_config(certificate: &Path, key: &Path) -> rustls::ServerConfig {
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap())
        .unwrap()
}

/// Connects and says nothing: for forges that are there and do not answer.
pub fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://localhost:{}", listener.local_addr().unwrap().port());
    (listener, base)
}

/// A connection to somewhere on this machine.
pub fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).unwrap()
}
