//! One request and one answer over the daemon's socket: HTTP/1.1, as little of it as there is to need.

use super::client::Failure;
use super::wire::MAX_ANSWER;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// `GET`, `POST`.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// JSON; empty for none.
    pub body: &'a [u8],
    /// For connecting, writing and reading together.
    pub timeout: Duration,
}

/// Asks, and gives the status and the body. The process at the socket must run under an account that
/// `trusted` takes; its uid comes from the kernel. The error of `trusted` names the account that was wanted.
///
/// # Errors
/// Whatever keeps a whole answer from being read.
pub fn exchange(
    socket: &Path,
    trusted: impl FnOnce(u32) -> Result<(), u32>,
    ask: &Ask<'_>,
) -> Result<(u16, Vec<u8>), Failure> {
    let shown = socket.display().to_string();
    let until = Instant::now() + ask.timeout;
    let mut stream = UnixStream::connect(socket).map_err(|e| Failure::Connect(shown.clone(), e))?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).map_err(|e| Failure::Talk(e.into()))?;
    let found = peer.uid.as_raw();
    trusted(found).map_err(|wanted| Failure::Peer { socket: shown, found, wanted })?;
    let mut message = format!(
        "{} {} HTTP/1.1\r\nhost: countersign\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        ask.method,
        ask.path,
        ask.body.len()
    )
    .into_bytes();
    message.extend_from_slice(ask.body);
    let timeout = |error: std::io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::Timeout(ask.timeout),
        _ => Failure::Talk(error),
    };
    stream.set_write_timeout(Some(ask.timeout)).map_err(Failure::Talk)?;
    stream.write_all(&message).map_err(timeout)?;
    let received = read_all(&mut stream, until).map_err(timeout)?;
    let (status, body) = parse(&received).map_err(Failure::Answer)?;
    Ok((status, body.to_vec()))
}

fn read_all(stream: &mut UnixStream, until: Instant) -> std::io::Result<Vec<u8>> {
    let mut received = Vec::with_capacity(4096);
    let mut chunk = [0_u8; 16 << 10];
    loop {
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        stream.set_read_timeout(Some(left.ok_or(ErrorKind::TimedOut)?))?;
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(received),
            Ok(count) => received.extend_from_slice(&chunk[..count]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        if received.len() > MAX_ANSWER {
            return Err(std::io::Error::new(ErrorKind::InvalidData, "its answer is too long"));
        }
    }
}

/// The status and the body of a whole answer, or what is wrong with it.
pub(super) fn parse(received: &[u8]) -> Result<(u16, &[u8]), String> {
    if received.is_empty() {
        return Err("the connection was closed without one".to_owned());
    }
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(received) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Err("it breaks off in its head".to_owned()),
        Err(e) => return Err(format!("it is not HTTP: {e}")),
    };
    let header = |name: &str| {
        let mut found = response.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        let first = found.next();
        if found.next().is_some() {
            None
        } else {
            first.and_then(|header| std::str::from_utf8(header.value).ok())
        }
    };
    let length: usize = header("content-length")
        .and_then(|value| value.parse().ok())
        .ok_or_else(|| "it does not say how long it is".to_owned())?;
    let body = &received[head..];
    if body.len() != length {
        return Err(format!("it has {} bytes of {length}", body.len()));
    }
    let status = response.code.ok_or_else(|| "it has no status".to_owned())?;
    Ok((status, body))
}
