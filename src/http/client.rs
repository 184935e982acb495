//! Carrying calls to the APIs of forges: to the configured address and nowhere else (N31). No redirects, no
//! proxy from the environment, a deadline for the whole call, and a reply of bounded size.

use crate::domain::text;
use crate::forge::{Call, Headers, Reply};
use crate::service::{Carrier, CarryError, Endpoint};
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request, Uri, header};
use hyper::body::{Body as _, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client as Pool, Error as PoolError, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Most of a reply's body that is kept, in bytes.
const MAX_BODY: usize = 1 << 20;
/// Most of a reply's head, in bytes and in fields.
const MAX_HEAD: usize = 64 << 10;
const MAX_FIELDS: usize = 100;
/// Largest file of certificates that is read.
const MAX_AUTHORITIES: u64 = 4 << 20;
/// For how long a connection is kept that nothing uses.
const IDLE: Duration = Duration::from_secs(30);
/// Characters of an error that are shown.
const SHOWN: usize = 200;
/// Fields of a reply that somebody reads.
const FIELDS: &[&str] = &["retry-after", "date", "content-type"];
const FIELD_PREFIXES: &[&str] = &["x-ratelimit-", "ratelimit-", "x-rate-limit-"];

type Connections = Pool<HttpsConnector<HttpConnector>, Body>;

/// The client, with a small runtime of its own, so that plain threads can use it.
pub(super) struct ApiClient {
    /// Gone only while it is dropped.
    runtime: Option<Runtime>,
    /// By file of certificates and what it looked like when it was read.
    pools: Mutex<HashMap<Key, Connections>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key(Option<(std::path::PathBuf, [i64; 5])>);

impl ApiClient {
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn new() -> std::io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).max_blocking_threads(4).thread_name("forge-calls");
        Ok(ApiClient { runtime: Some(runtime.enable_all().build()?), pools: Mutex::default() })
    }

    fn pool(&self, authority: Option<&Path>) -> Result<Connections, CarryError> {
        let key = Key(match authority {
            Some(path) => Some((path.to_owned(), stamp(path)?)),
            None => None,
        });
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&key) {
            return Ok(pool.clone());
        }
        let pool = connections(authority)?;
        // A file that was changed has its connections made anew; those of before go.
        pools.retain(|other, _| {
            other.0.as_ref().map(|(path, _)| path) != key.0.as_ref().map(|(path, _)| path)
        });
        pools.insert(key, pool.clone());
        Ok(pool)
    }
}

impl Drop for ApiClient {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl ApiClient {
    fn send(&self, to: &Endpoint, request: Request<Body>, deadline: Duration) -> Result<Reply, CarryError> {
        let pool = self.pool(to.authority.as_deref())?;
        let Some(runtime) = &self.runtime else { return Err(CarryError::Address("the client is closed")) };
        let work = async {
            let response = pool.request(request).await.map_err(|error| told(&error))?;
            let (head, body) = response.into_parts();
            let fields = head.headers.iter().filter(|(name, _)| is_read(name.as_str()));
            let fields = fields.filter_map(|(name, value)| {
                Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
            });
            let headers = fields.collect();
            Ok(Reply { status: head.status.as_u16(), headers, body: bounded(body).await? })
        };
        let answer = runtime.block_on(async { tokio::time::timeout(deadline, work).await });
        answer.unwrap_or(Err(CarryError::Deadline(deadline.as_secs().max(1))))
    }
}

impl Carrier for ApiClient {
    fn carry(&self, to: &Endpoint, call: &Call, deadline: Duration) -> Result<Reply, CarryError> {
        let mut reply = self.send(to, request(to, call)?, deadline)?;
        if let Some((_, secret)) = &call.authorization {
            reply.hide(secret);
        }
        Ok(reply)
    }

    fn deliver(
        &self,
        to: &Endpoint,
        path: &str,
        headers: &Headers,
        body: &[u8],
        deadline: Duration,
    ) -> Result<Reply, CarryError> {
        let mut request = Request::builder().method("POST").uri(uri(to, path)?);
        let unusable = |_| CarryError::Address("a field of the delivery is none of HTTP");
        for (name, value) in headers.iter() {
            let name: HeaderName =
                name.parse().map_err(|_| CarryError::Address("a field of the delivery has no name"))?;
            let mut value = HeaderValue::from_bytes(value).map_err(unusable)?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        let request = request.body(Body::from(body.to_vec()));
        self.send(to, request.map_err(|_| CarryError::Address("the delivery is none of HTTP"))?, deadline)
    }
}

fn is_read(name: &str) -> bool {
    FIELDS.contains(&name) || FIELD_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The address of a call, whose place is the configured one whatever its path says.
fn uri(to: &Endpoint, path: &str) -> Result<Uri, CarryError> {
    let base: Uri = to.base.parse().map_err(|_| CarryError::Address("the API's address is no URL"))?;
    let (Some(scheme), Some(place)) = (base.scheme_str(), base.authority()) else {
        return Err(CarryError::Address("the API's address has no scheme or no host"));
    };
    let wrong = |why| Err(CarryError::Address(why));
    if !matches!(scheme, "https" | "http") {
        return wrong("the API's address begins with neither `https://` nor `http://`");
    }
    if place.as_str().contains('@') || base.query().is_some() || to.base.contains('#') {
        return wrong("the API's address has a login, a query or a fragment");
    }
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#');
    if !path.starts_with('/') || path.starts_with("//") || !path.bytes().all(plain) {
        return wrong("the call has no path below the API's address");
    }
    let steps = path.split('?').next().unwrap_or_default();
    if steps.split('/').any(|part| matches!(part, "." | "..")) {
        return wrong("the call's path leaves the API's address");
    }
    let uri: Uri = format!("{}{}", to.base.trim_end_matches('/'), path)
        .parse()
        .map_err(|_| CarryError::Address("the call's path is none of a URL"))?;
    if uri.scheme() != base.scheme() || uri.authority() != base.authority() {
        return wrong("the call leaves the API's address");
    }
    Ok(uri)
}

fn request(to: &Endpoint, call: &Call) -> Result<Request<Body>, CarryError> {
    let mut request = Request::builder().method(call.method.name()).uri(uri(to, &call.path)?);
    let unusable = |_| CarryError::Address("a field of the call is none of HTTP");
    for (name, value) in &call.headers {
        let name: HeaderName =
            name.parse().map_err(|_| CarryError::Address("a field of the call has no name"))?;
        request = request.header(name, HeaderValue::from_str(value).map_err(unusable)?);
    }
    let has = |field: &str| call.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(field));
    if !has("user-agent") {
        request = request.header(header::USER_AGENT, concat!("countersign/", env!("CARGO_PKG_VERSION")));
    }
    if let Some((name, secret)) = &call.authorization {
        let mut value = HeaderValue::from_bytes(secret.expose())
            .map_err(|_| CarryError::Address("the credential of the API has bytes that HTTP cannot carry"))?;
        value.set_sensitive(true);
        let name: HeaderName =
            name.parse().map_err(|_| CarryError::Address("a field of the call has no name"))?;
        request = request.header(name, value);
    }
    if call.body.is_some() && !has("content-type") {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let body = call.body.clone().map_or_else(Body::empty, Body::from);
    request.body(body).map_err(|_| CarryError::Address("the call is none of HTTP"))
}

fn stamp(path: &Path) -> Result<[i64; 5], CarryError> {
    let found = std::fs::metadata(path).map_err(|error| CarryError::Authority(shown(&error)))?;
    let (device, inode) = (found.dev().cast_signed(), found.ino().cast_signed());
    Ok([device, inode, found.size().cast_signed(), found.mtime(), found.mtime_nsec()])
}

fn connections(authority: Option<&Path>) -> Result<Connections, CarryError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = authority {
        let mut pem = Vec::new();
        let read =
            std::fs::File::open(path).and_then(|file| file.take(MAX_AUTHORITIES).read_to_end(&mut pem));
        read.map_err(|error| CarryError::Authority(shown(&error)))?;
        let mut found = 0;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| CarryError::Authority(shown(&error)))?;
            roots.add(certificate).map_err(|error| CarryError::Authority(shown(&error)))?;
            found += 1;
        }
        if found == 0 {
            return Err(CarryError::Authority("there is no certificate in the file".to_owned()));
        }
    } else {
        // A machine may have broken ones among them. With none at all nobody is trusted.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| CarryError::Authority(shown(&error)))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
    let mut builder = Pool::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).pool_max_idle_per_host(2);
    // Whether a call is made again is decided where it is known what it was.
    builder.retry_canceled_requests(false);
    builder.http1_max_buf_size(MAX_HEAD).http1_max_headers(MAX_FIELDS);
    Ok(builder.build(connector))
}

/// The beginning of a body; what is beyond is never read.
async fn bounded(mut body: Incoming) -> Result<Vec<u8>, CarryError> {
    let mut out = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| CarryError::Broken(shown(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        let room = MAX_BODY - out.len();
        out.extend_from_slice(&data[..data.len().min(room)]);
        if out.len() == MAX_BODY {
            break;
        }
    }
    Ok(out)
}

fn shown(error: &(dyn std::error::Error + 'static)) -> String {
    text::escape_short(error.to_string().as_bytes(), SHOWN)
}

/// An error of the connection in words; the last cause says most.
fn told(error: &PoolError) -> CarryError {
    let mut cause: &(dyn std::error::Error + 'static) = error;
    let mut untrusted = false;
    loop {
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let inner = inner.map(|inner| inner as &(dyn std::error::Error + 'static));
        untrusted |= inner.is_some_and(|inner| inner.is::<rustls::Error>()) || cause.is::<rustls::Error>();
        match inner.or_else(|| cause.source()) {
            Some(next) => cause = next,
            None => break,
        }
    }
    let text = shown(cause);
    if untrusted {
        CarryError::Untrusted(text)
    } else if error.is_connect() {
        CarryError::Unreachable(text)
    } else {
        CarryError::Broken(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::{Method, Secret};
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Instant;

    const SECRET: &str = "token s3cr3t-of-the-test";

    fn call(path: &str) -> Call {
        Call {
            method: Method::Post,
            path: path.to_owned(),
            headers: vec![("accept", "application/json".to_owned())],
            authorization: Some(("authorization", Secret::new(SECRET.into()).unwrap())),
            body: Some("{}".to_owned()),
        }
    }

    fn endpoint(base: String) -> Endpoint {
        Endpoint { base, authority: None }
    }

    /// Answers each connection with the next of `replies`, and tells what was asked. It ends with the last one.
    fn server(replies: Vec<Vec<u8>>) -> (String, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (tell, told) = channel();
        std::thread::spawn(move || {
            for reply in replies {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut asked, mut line, mut length) = (String::new(), String::new(), 0);
                while reader.read_line(&mut line).unwrap() > 2 {
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    asked.push_str(&line);
                    line.clear();
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                asked.push_str(&String::from_utf8(body).unwrap());
                tell.send(asked).unwrap();
                let _ = stream.write_all(&reply);
            }
        });
        (base, told)
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn n31_a_redirect_comes_back_and_is_not_followed() {
        let (elsewhere, asked_elsewhere) =
            server(vec![b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()]);
        let redirect = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: {elsewhere}/taken\r\nset-cookie: a=b\r\n\
             x-ratelimit-remaining: 7\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"
        );
        let (base, asked) = server(vec![redirect.into_bytes()]);
        let client = ApiClient::new().unwrap();
        let reply = client.carry(&endpoint(format!("{base}/api/v3")), &call("/repos/a/b?x=y"), LONG).unwrap();
        assert_eq!((reply.status, reply.body.as_slice()), (307, b"no".as_slice()));
        assert_eq!(reply.headers, [("x-ratelimit-remaining".to_owned(), "7".to_owned())], "what is read");
        let asked = asked.recv().unwrap();
        assert!(asked.starts_with("POST /api/v3/repos/a/b?x=y HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains(SECRET) && asked.ends_with("{}"), "{asked}");
        assert!(asked_elsewhere.try_recv().is_err(), "nobody else hears of it");
    }

    #[test]
    fn n31_nothing_but_the_configured_address_is_asked() {
        let client = ApiClient::new().unwrap();
        let base = "https://api.example.org/v4";
        for path in [
            "repos",
            "//evil.example/x",
            "/a/../../x",
            "/a b",
            "/a\r\nhost: evil",
            "/a#b",
            "/\\evil",
            "",
            "/ü",
        ] {
            let found = client.carry(&endpoint(base.to_owned()), &call(path), LONG);
            assert!(matches!(found, Err(CarryError::Address(_))), "{path:?}: {found:?}");
        }
        for base in [
            "",
            "api.example.org",
            "ftp://x.example",
            "https://a:b@x.example",
            "https://x.example?a=b",
            "/api",
        ] {
            let found = client.carry(&endpoint(base.to_owned()), &call("/x"), LONG);
            assert!(matches!(found, Err(CarryError::Address(_))), "{base:?}: {found:?}");
        }
        let uri = request(&endpoint(base.to_owned()), &call("/projects/a%2fb/x?y=/../z")).unwrap();
        assert_eq!(uri.uri().to_string(), "https://api.example.org/v4/projects/a%2fb/x?y=/../z");
    }

    #[test]
    fn a_huge_reply_is_cut_and_a_huge_head_is_refused() {
        let mut huge = b"HTTP/1.1 200 OK\r\ncontent-length: 3145728\r\n\r\n".to_vec();
        huge.resize(huge.len() + (3 << 20), b'x');
        let mut head = b"HTTP/1.1 200 OK\r\nx-filler: ".to_vec();
        head.resize(head.len() + (1 << 20), b'x');
        let (base, _asked) = server(vec![huge, head]);
        let client = ApiClient::new().unwrap();
        let reply = client.carry(&endpoint(base.clone()), &call("/a"), LONG).unwrap();
        assert_eq!((reply.status, reply.body.len()), (200, MAX_BODY));
        let found = client.carry(&endpoint(base), &call("/a"), LONG);
        assert!(matches!(found, Err(CarryError::Broken(_))), "{found:?}");
    }

    /// A forge that answers every call but those to `/dropped`, which it reads and hangs up on. It keeps connections open
    /// as if for more, and closes them after `patience`. Tells the path of each call that it has read.
    fn forgetful(patience: Duration) -> (String, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (tell, told) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(mut stream), tell) = (stream, tell.clone()) else { return };
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    loop {
                        let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
                        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                                length = value.trim().parse().unwrap();
                            }
                            if first.is_empty() {
                                first.clone_from(&line);
                            }
                            line.clear();
                        }
                        if first.is_empty() || reader.read_exact(&mut vec![0; length]).is_err() {
                            return;
                        }
                        let path = first.split(' ').nth(1).unwrap().to_owned();
                        let dropped = path.starts_with("/dropped");
                        let _ = tell.send(path);
                        if dropped {
                            return;
                        }
                        stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").unwrap();
                        if !patience.is_zero() {
                            stream.set_read_timeout(Some(patience)).unwrap();
                        }
                    }
                });
            }
        });
        (base, told)
    }

    #[test]
    fn a_connection_that_the_forge_has_closed_costs_no_call() {
        let (base, asked) = forgetful(Duration::from_millis(50));
        let client = ApiClient::new().unwrap();
        for n in 0..5 {
            let reply = client.carry(&endpoint(base.clone()), &call(&format!("/{n}")), LONG).unwrap();
            assert_eq!(reply.status, 201);
            assert_eq!(asked.recv_timeout(LONG).unwrap(), format!("/{n}"));
            std::thread::sleep(Duration::from_millis(200));
        }
        assert!(asked.try_recv().is_err(), "each was sent once");
    }

    /// The forge may have done what it read and did not answer: whether it is asked again is not decided here.
    #[test]
    fn a_call_that_is_read_and_not_answered_is_not_sent_again() {
        let (base, asked) = forgetful(Duration::ZERO);
        let client = ApiClient::new().unwrap();
        for _ in 0..5 {
            assert_eq!(client.carry(&endpoint(base.clone()), &call("/kept"), LONG).unwrap().status, 201);
            let found = client.carry(&endpoint(base.clone()), &call("/dropped"), LONG);
            assert!(found.as_ref().is_err_and(CarryError::is_ambiguous), "{found:?}");
        }
        std::thread::sleep(Duration::from_millis(300));
        let asked: Vec<String> = asked.try_iter().collect();
        assert_eq!(asked, ["/kept", "/dropped"].repeat(5));
    }

    #[test]
    fn n31_a_credential_that_a_forge_says_back_goes_no_further() {
        let token = SECRET.strip_prefix("token ").unwrap();
        let body = format!("{{\"message\":\"bad header `{SECRET}`: {token}\"}}");
        let answer = |status: &str| {
            let length = body.len();
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
                .into_bytes()
        };
        let (base, _asked) = server(vec![answer("401 No"), answer("422 No")]);
        let client = ApiClient::new().unwrap();
        for _ in 0..2 {
            let reply = client.carry(&endpoint(base.clone()), &call("/a"), LONG).unwrap();
            let body = String::from_utf8(reply.body).unwrap();
            assert!(!body.contains("s3cr3t") && body.contains("bad header"), "{body}");
        }
    }

    #[test]
    fn a_slow_reply_is_cut_at_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (end, ended) = channel::<()>();
        let dripping = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 16]).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").unwrap();
            while ended.try_recv().is_err() && stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let client = ApiClient::new().unwrap();
        let started = Instant::now();
        let found = client.carry(&endpoint(base), &call("/a"), Duration::from_millis(1500));
        assert_eq!(found.unwrap_err(), CarryError::Deadline(1));
        assert!(started.elapsed() < LONG);
        let _ = end.send(());
        dripping.join().unwrap();
    }

    /// A certificate for `localhost` that vouches for itself, and its key, both PEM.
    fn certificate(place: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
        let (certificate, key) = (place.join("forge.pem"), place.join("forge.key"));
        let made = std::process::Command::new("openssl")
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
            .args([
                "-subj",
                "/CN=countersign test",
                "-addext",
                "subjectAltName=DNS:localhost",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
                "-keyout",
            ])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .stderr(std::process::Stdio::null())
            .status();
        assert!(made.unwrap().success());
        (certificate, key)
    }

    #[test]
    fn n31_a_forge_proves_who_it_is() {
        use rustls::pki_types::PrivateKeyDer;
        let place = tempfile::tempdir().unwrap();
        let (certificate, key) = certificate(place.path());
        let chain = vec![CertificateDer::from_pem_file(&certificate).unwrap()];
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(chain, PrivateKeyDer::from_pem_file(&key).unwrap())
                .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, told) = channel();
        std::thread::spawn(move || {
            for _ in 0..3 {
                let (stream, _) = listener.accept().unwrap();
                let mut stream = rustls::StreamOwned::new(
                    rustls::ServerConnection::new(Arc::clone(&config)).unwrap(),
                    stream,
                );
                let mut asked = [0; 1000];
                let Ok(length) = stream.read(&mut asked) else { continue };
                tell.send(String::from_utf8_lossy(&asked[..length]).into_owned()).unwrap();
                let _ = stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n");
            }
        });
        let client = ApiClient::new().unwrap();
        let asked = |host: &str, authority: Option<&Path>| {
            let to =
                Endpoint { base: format!("https://{host}:{port}"), authority: authority.map(Path::to_owned) };
            client.carry(&to, &call("/a"), LONG)
        };
        let unknown = asked("localhost", None);
        assert!(matches!(unknown, Err(CarryError::Untrusted(_))), "{unknown:?}");
        let other = asked("127.0.0.1", Some(&certificate));
        assert!(matches!(other, Err(CarryError::Untrusted(_))), "{other:?}");
        assert!(told.try_recv().is_err(), "no credential was sent to either");
        assert_eq!(asked("localhost", Some(&certificate)).unwrap().status, 201);
        assert!(told.recv().unwrap().contains(SECRET));
        for text in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let file = place.path().join("broken.pem");
            std::fs::write(&file, text).unwrap();
            let found = asked("localhost", Some(&file));
            assert!(matches!(found, Err(CarryError::Authority(_))), "{found:?}");
        }
        let found = asked("localhost", Some(&place.path().join("missing.pem")));
        assert!(matches!(found, Err(CarryError::Authority(_))), "{found:?}");
    }

    #[test]
    fn errors_say_what_it_was_and_name_no_secret() {
        let client = ApiClient::new().unwrap();
        let nobody = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            format!("http://{}", listener.local_addr().unwrap())
        };
        let (garbage, _asked) = server(vec![
            b"SSH-2.0-OpenSSH_9.2\x1b[31m\r\n".to_vec(),
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx".to_vec(),
        ]);
        let refused = client.carry(&endpoint(nobody), &call("/a"), LONG).unwrap_err();
        assert!(matches!(refused, CarryError::Unreachable(_)), "{refused:?}");
        assert!(!refused.is_ambiguous());
        let mut all = vec![refused];
        for _ in 0..2 {
            let broken = client.carry(&endpoint(garbage.clone()), &call("/a"), LONG).unwrap_err();
            assert!(matches!(broken, CarryError::Broken(_)) && broken.is_ambiguous(), "{broken:?}");
            all.push(broken);
        }
        let mut odd = call("/a");
        odd.authorization = Some(("authorization", Secret::new(b"s3cr3t\nx".to_vec()).unwrap()));
        all.push(client.carry(&endpoint(garbage), &odd, LONG).unwrap_err());
        for error in all {
            let text = format!("{error} {error:?}");
            assert!(!text.contains("s3cr3t") && !text.contains('\u{1b}'), "{text}");
        }
        assert!(
            !format!("{:?}", request(&endpoint("https://x.example".into()), &call("/a")).unwrap())
                .contains("s3cr3t")
        );
    }
}
