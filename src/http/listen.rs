//! Listening, draining, reloading.

use super::client::ApiClient;
use super::patient::Patient;
use super::routes::{Peer, Shared, hook_router, public_router};
use super::strangers::{Leave, Place, Strangers};
use super::tls::Tls;
use crate::service::{self, Gate};
use axum::{Extension, Router};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::fs::Permissions;
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

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
    let strangers = Strangers::default();
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
                        accept_stranger(stream, tls.as_deref(), routes, place);
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
    let all = async { tokio::join!(graceful.shutdown(), strangers.drain()) };
    if tokio::time::timeout(patience, all).await.is_err() {
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
fn connection(stream: UnixStream, routes: Router, graceful: &GracefulShutdown) {
    let watcher = graceful.watcher();
    tokio::spawn(async move {
        let connection = http().serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
        ended(watcher.watch(connection).await);
    });
}

fn http() -> hyper::server::conn::http1::Builder {
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder
}

fn ended(how: hyper::Result<()>) {
    if let Err(error) = how {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Serves a connection of somebody who is not known, in a task of its own: nobody waits for its handshake. Its place is
/// given back at its end.
fn accept_stranger(stream: TcpStream, tls: Option<&Tls>, routes: Router, place: Place) {
    let acceptor = tls.map(Tls::acceptor);
    tokio::spawn(async move {
        // Answers are short, and each is waited for.
        let _ = stream.set_nodelay(true);
        let stream = Patient::new(stream, READ_TIMEOUT);
        let Some(acceptor) = acceptor else { return serve_stranger(stream, routes, place).await };
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream));
        tokio::select! {
            made = handshake => match made {
                Ok(Ok(stream)) => serve_stranger(stream, routes, place).await,
                Ok(Err(error)) => tracing::debug!(%error, "no handshake"),
                Err(_) => tracing::debug!("a handshake took too long"),
            },
            _ = place.needed() => tracing::debug!("a handshake gave way"),
        }
    });
}

async fn serve_stranger<S>(io: S, routes: Router, place: Place)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let place = Arc::new(place);
    let asked = Arc::clone(&place);
    let routes = TowerToHyperService::new(routes);
    let routes = service_fn(move |request| {
        let under_way = asked.ask();
        let answer = routes.call(request);
        async move {
            let _under_way = under_way;
            answer.await
        }
    });
    let mut connection = pin!(http().serve_connection(TokioIo::new(io), routes));
    tokio::select! {
        how = connection.as_mut() => ended(how),
        leave = place.needed() => {
            if leave == Leave::Answered {
                connection.as_mut().graceful_shutdown();
                ended(connection.await);
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
