//! Listening, draining, reloading.

use super::client::ApiClient;
use super::patient::Patient;
use super::routes::{Peer, Shared, hook_router, public_router};
use super::tls::Tls;
use crate::service::{self, Gate};
use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::fs::Permissions;
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Somebody answers at the socket already.
    #[error("another process answers at {0}: is the daemon running already?")]
    Taken(PathBuf),
    /// The socket's path is something else.
    #[error("{0} exists and is not a socket")]
    NotASocket(PathBuf),
    /// A socket could not be set up.
    #[error("cannot listen at {place}: {error}")]
    Listen {
        /// Where.
        place: String,
        /// Why.
        error: std::io::Error,
    },
    /// The listener cannot prove itself.
    #[error("[daemon.tls]: {0}")]
    Certificate(String),
}

/// Connections over TCP at a time: nobody vouches for them, and hooks need file descriptors, too.
const STRANGERS: usize = 256;

/// How many of them one address, or network of IPv6, may have. A trusted proxy speaks for many.
const OF_ONE: usize = 128;

/// How long a client may take to send the head of its request, and how long it may be silent between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take until both sides know each other's keys.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may leave what it is answered unread.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the listener's certificate is looked at.
const LOOK_AT_CERTIFICATE: Duration = Duration::from_secs(2);

/// Who is at the other end of a connection over TCP; a proxy, perhaps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client(pub(super) IpAddr);

/// How often keys are looked at that end: what is due is told within the hour, each end once.
const LOOK_AT_KEYS: Duration = Duration::from_secs(3600);

/// Runs until SIGTERM or SIGINT, then lets the requests in flight finish. SIGHUP reloads configuration
/// and keyring.
pub async fn serve(gate: Arc<Gate>) -> Result<(), ServeError> {
    let (socket, listen, mode) = gate.addresses();
    // The socket comes last: where it is there, everything is.
    let tcp = match listen {
        Some(address) => {
            let error = |error| ServeError::Listen { place: address.to_string(), error };
            Some(TcpListener::bind(address).await.map_err(error)?)
        }
        None => None,
    };
    let tls = match Tls::start(&gate) {
        Some(Ok(tls)) => Some(Arc::new(tls)),
        Some(Err(error)) => return Err(ServeError::Certificate(error)),
        None => None,
    };
    let hook = bind_socket(&socket, mode).await?;
    let signal_error = |error| ServeError::Listen { place: "signals".to_owned(), error };
    let mut terminate = signal(SignalKind::terminate()).map_err(signal_error)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(signal_error)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(signal_error)?;

    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shared = Shared::new(Arc::clone(&gate), (cores * 4).max(8));
    let hook_routes = hook_router(shared.clone());
    let public_routes = public_router(shared);
    let graceful = GracefulShutdown::new();
    let strangers = Strangers::new();
    let mut certificate = tokio::time::interval(LOOK_AT_CERTIFICATE);
    certificate.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut look = tokio::time::interval_at(tokio::time::Instant::now() + LOOK_AT_KEYS, LOOK_AT_KEYS);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let watching = service::watch(&gate)
        .map_err(|error| ServeError::Listen { place: "configuration and keyring".to_owned(), error })?;
    let client = ApiClient::new()
        .map_err(|error| ServeError::Listen { place: "calls to forges".to_owned(), error })?;
    let sending = service::send_reports(Arc::clone(&gate), Arc::new(client))
        .map_err(|error| ServeError::Listen { place: "reports to forges".to_owned(), error })?;
    tracing::info!(socket = %socket.display(), listen = ?listen, "ready");
    loop {
        tokio::select! {
            accepted = hook.accept() => match accepted {
                Ok((stream, _)) => accept_hook(stream, &gate, &hook_routes, &graceful),
                Err(error) => backoff("hook socket", &error).await,
            },
            accepted = accept_tcp(tcp.as_ref()) => match accepted {
                Ok((stream, peer)) => match strangers.admit(peer, gate.is_trusted_proxy(peer)) {
                    Some(place) => {
                        let routes = public_routes.clone().layer(Extension(Client(peer)));
                        accept_stranger(stream, tls.as_deref(), routes, graceful.watcher(), place);
                    }
                    None => gate.turned_away("too many connections"),
                },
                Err(error) => backoff("tcp listener", &error).await,
            },
            _ = hangup.recv() => {
                let gate = Arc::clone(&gate);
                // Reading a large keyring takes a moment; requests go on meanwhile.
                tokio::task::spawn_blocking(move || gate.reload());
            }
            _ = look.tick() => {
                let gate = Arc::clone(&gate);
                tokio::task::spawn_blocking(move || gate.look_at_keys());
            }
            _ = certificate.tick(), if tls.is_some() => {
                if let Some(tls) = tls.clone() {
                    let gate = Arc::clone(&gate);
                    tokio::task::spawn_blocking(move || tls.look(&gate));
                }
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tracing::info!("draining");
    drop(watching);
    // It ends with the call that is on its way.
    let sending = tokio::task::spawn_blocking(move || drop(sending));
    drop(hook);
    let _ = std::fs::remove_file(&socket);
    let patience = gate.deadline() + Duration::from_secs(5);
    if tokio::time::timeout(patience, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish; their pushes are undecided");
    }
    let _ = sending.await;
    gate.stopped();
    Ok(())
}

/// Only accounts that may ask as hooks, or operate the gate, get as far as HTTP (N22).
fn accept_hook(stream: UnixStream, gate: &Arc<Gate>, routes: &Router, graceful: &GracefulShutdown) {
    match stream.peer_cred() {
        Ok(cred) if gate.may_ask(cred.uid()) || gate.may_operate(cred.uid()) => {
            let routes = routes.clone().layer(Extension(Peer { uid: cred.uid(), pid: cred.pid() }));
            connection(stream, routes, graceful);
        }
        Ok(cred) => gate.turned_away(&format!("uid {}", cred.uid())),
        Err(error) => gate.turned_away(&format!("no credentials: {error}")),
    }
}

/// Serves one connection.
fn connection<S>(io: S, routes: Router, graceful: &GracefulShutdown)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(serve_connection(io, routes, graceful.watcher()));
}

async fn serve_connection<S>(io: S, routes: Router, watcher: Watcher)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let connection = builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(routes));
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Serves a connection of somebody who is not known, in a task of its own: nobody waits for its handshake. Its place is
/// given back at its end.
fn accept_stranger(stream: TcpStream, tls: Option<&Tls>, routes: Router, watcher: Watcher, place: Place) {
    let acceptor = tls.map(Tls::acceptor);
    tokio::spawn(async move {
        let _place = place;
        // Answers are short, and each is waited for.
        let _ = stream.set_nodelay(true);
        let stream = Patient::new(stream, READ_TIMEOUT);
        let Some(acceptor) = acceptor else { return serve_connection(stream, routes, watcher).await };
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => serve_connection(stream, routes, watcher).await,
            Ok(Err(error)) => tracing::debug!(%error, "no handshake"),
            Err(_) => tracing::debug!("a handshake took too long"),
        }
    });
}

/// Connections over TCP, counted altogether and for each address.
#[derive(Clone)]
struct Strangers {
    all: Arc<Semaphore>,
    each: Each,
}

/// How many connections each address has; only those that have any.
type Each = Arc<Mutex<HashMap<IpAddr, usize>>>;

impl Strangers {
    fn new() -> Self {
        Strangers { all: Arc::new(Semaphore::new(STRANGERS)), each: Arc::default() }
    }

    /// A place, if there is one left.
    fn admit(&self, peer: IpAddr, trusted: bool) -> Option<Place> {
        let peer = service::peer_network(peer);
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        if !trusted {
            let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
            let count = each.entry(peer).or_insert(0);
            if *count >= OF_ONE {
                return None;
            }
            *count += 1;
        }
        let each = (!trusted).then(|| (Arc::clone(&self.each), peer));
        Some(Place { _all: all, each })
    }
}

/// The place of one connection, given back when it is dropped.
struct Place {
    _all: OwnedSemaphorePermit,
    each: Option<(Each, IpAddr)>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((each, peer)) = self.each.take() else { return };
        let mut each = each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = each.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                each.remove(&peer);
            }
        }
    }
}

async fn accept_tcp(listener: Option<&TcpListener>) -> std::io::Result<(TcpStream, IpAddr)> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, peer)| (stream, peer.ip().to_canonical())),
        None => std::future::pending().await,
    }
}

/// Out of file descriptors, mostly: wait for some to come back instead of spinning.
async fn backoff(what: &str, error: &std::io::Error) {
    tracing::warn!(what, %error, "cannot accept a connection");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

async fn bind_socket(path: &Path, mode: u32) -> Result<UnixListener, ServeError> {
    let error = |error| ServeError::Listen { place: path.display().to_string(), error };
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(ServeError::NotASocket(path.to_owned())),
        Ok(_) => {
            if UnixStream::connect(path).await.is_ok() {
                return Err(ServeError::Taken(path.to_owned()));
            }
            // Left over by a daemon that was killed.
            std::fs::remove_file(path).map_err(error)?;
        }
        Err(_) => {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(error)?;
            }
        }
    }
    // The socket appears under its name only once its mode is right.
    let temporary = path.with_extension("new");
    let _ = std::fs::remove_file(&temporary);
    let listener = UnixListener::bind(&temporary).map_err(error)?;
    std::fs::set_permissions(&temporary, Permissions::from_mode(mode)).map_err(error)?;
    std::fs::rename(&temporary, path).map_err(error)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_places_for_others_and_a_proxy_may_have_all() {
        let strangers = Strangers::new();
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let mut places: Vec<Place> = (0..OF_ONE).map(|_| strangers.admit(one, false).unwrap()).collect();
        assert!(strangers.admit(one, false).is_none());
        let rest: Vec<Place> = (OF_ONE..STRANGERS).map(|_| strangers.admit(other, true).unwrap()).collect();
        assert!(strangers.admit(other, true).is_none(), "there is an end to all of them");
        drop(rest);
        places.pop();
        assert!(strangers.admit(one, false).is_some());
        drop(places);
        let ipv6 = |n: usize| format!("2001:db8::{n:x}").parse().unwrap();
        let places: Vec<Place> = (0..OF_ONE).map(|n| strangers.admit(ipv6(n), false).unwrap()).collect();
        assert!(
            strangers.admit(ipv6(OF_ONE), false).is_none(),
            "whoever has one of these has a network of them"
        );
        assert!(strangers.admit("2001:db8:0:1::".parse().unwrap(), false).is_some());
        drop(places);
        assert!(strangers.each.lock().unwrap().is_empty(), "nobody is remembered for longer than needed");
    }
}
