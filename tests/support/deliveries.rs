//! Deliveries over real sockets, as forges and others send them.

use countersign::domain::{ObjectId, RefName, Timestamp};
use countersign::forge::{self, Claim, ForgeKind, ForgeRepository, Headers, Secret, SecretKind, Secrets};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What the deliveries of these tests are signed with.
pub const SECRET: &str = "test only: what this forge signs with";

/// A connection to a listener.
pub struct Wire {
    stream: Box<dyn Stream>,
    left: Vec<u8>,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The value of a header, its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Wire {
    pub fn plain(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        Wire { stream: Box::new(stream), left: Vec::new() }
    }

    /// From another address of this machine.
    pub fn from(address: Ipv4Addr, port: u16) -> Self {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        bind(&socket, &SocketAddrV4::new(address, 0)).unwrap();
        connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Wire { stream: Box::new(stream), left: Vec::new() }
    }

    /// Over TLS, believing the certificate in `authority` and no other.
    pub fn tls(port: u16, authority: &Path) -> io::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        for one in CertificateDer::pem_slice_iter(&fs::read(authority).unwrap()) {
            roots.add(one.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("gate.example.org").unwrap();
        let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, tcp);
        stream.flush()?;
        Ok(Wire { stream: Box::new(stream), left: Vec::new() })
    }

    /// Writes bytes as they are. The other side may have had enough already.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// The next answer; `None` where the connection ends without one.
    pub fn answer(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.left.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            self.more()?;
        };
        let head = String::from_utf8(self.left[..end].to_vec()).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: String::new() };
        let length: usize = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.left.len() < end + 4 + length {
            self.more()?;
        }
        answer.body = String::from_utf8(self.left[end + 4..end + 4 + length].to_vec()).unwrap();
        self.left.drain(..end + 4 + length);
        Some(answer)
    }

    fn more(&mut self) -> Option<()> {
        let mut chunk = [0_u8; 4096];
        match self.stream.read(&mut chunk) {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                self.left.extend_from_slice(&chunk[..count]);
                Some(())
            }
        }
    }

    /// Whether the other side has closed, waiting for that.
    pub fn is_closed(&mut self) -> bool {
        self.more().is_none()
    }

    /// Posts, and waits for the answer.
    pub fn post(&mut self, path: &str, headers: &Headers, body: &[u8]) -> Answer {
        // Whoever refuses may do so before it has read everything.
        let _ = self.send(&request(path, headers, body));
        self.answer().expect("an answer")
    }
}

/// A request as it goes over the wire.
pub fn request(path: &str, headers: &Headers, body: &[u8]) -> Vec<u8> {
    let mut raw = head("POST", path, headers);
    raw.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    raw.extend_from_slice(body);
    raw
}

/// The beginning of a request, without the empty line that ends its head.
pub fn head(method: &str, path: &str, headers: &Headers) -> Vec<u8> {
    let mut raw = format!("{method} {path} HTTP/1.1\r\nhost: gate.example.org\r\n").into_bytes();
    for (name, value) in headers.iter() {
        raw.extend_from_slice(name.as_bytes());
        raw.extend_from_slice(b": ");
        raw.extend_from_slice(value);
        raw.extend_from_slice(b"\r\n");
    }
    raw
}

/// Headers with one changed, or added.
pub fn with(headers: &Headers, name: &str, value: &str) -> Headers {
    let others = without(headers, name);
    let fields = others.iter().map(|(name, value)| (name.to_owned(), value.to_vec()));
    Headers::new(fields.chain([(name.to_owned(), value.as_bytes().to_vec())]))
}

/// Headers without one.
pub fn without(headers: &Headers, name: &str) -> Headers {
    let kept = headers.iter().filter(|(field, _)| *field != name);
    Headers::new(kept.map(|(name, value)| (name.to_owned(), value.to_vec())))
}

/// Secrets of one kind, the first of which signs.
pub fn secrets(forge: ForgeKind, secret: &str) -> Secrets {
    let mut all = Secrets::new();
    let secret = Secret::new(secret.as_bytes().to_vec()).unwrap();
    all.add(forge, Secrets::usual_kind(forge, &secret), &secret).unwrap();
    all
}

/// The signing secret that Standard Webhooks publish a vector for.
pub const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A secret that a forge can have.
pub fn usual_secret(forge: ForgeKind) -> &'static str {
    match forge {
        ForgeKind::Generic => SIGNING,
        _ => SECRET,
    }
}

/// The kinds of a forge's secrets.
pub fn kind_of(secret: &str, forge: ForgeKind) -> SecretKind {
    Secrets::usual_kind(forge, &Secret::new(secret.as_bytes().to_vec()).unwrap())
}

/// A push of the `n`-th commit to a branch: no two have the same body.
pub fn push(forge: ForgeKind, secret: &str, repository: (&str, &str), n: u64) -> (Headers, Vec<u8>) {
    let id = |n: u64| ObjectId::parse(format!("{n:040x}").as_bytes()).unwrap();
    let claim = Claim {
        reference: RefName::parse(b"refs/heads/main").unwrap(),
        before: Some(id(n + 1)),
        after: Some(id(n + 2)),
    };
    let repository = ForgeRepository { id: repository.0.to_owned(), path: repository.1.to_owned() };
    forge::sample(forge, &secrets(forge, secret), &repository, &[claim], Timestamp::now())
}

/// Writes a file that nobody else can read.
pub fn write_secret(path: &Path, secret: &str) {
    // In one step: a watcher never finds half of it.
    let beside = path.with_extension("new");
    fs::write(&beside, secret).unwrap();
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&beside, path).unwrap();
}
