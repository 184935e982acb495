//! Listening, draining, reloading.

use super::routes::{Peer, Shared, hook_router, public_router};
use crate::service::{self, Gate};
use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::fs::Permissions;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener, UnixStream};
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
}

/// Connections over TCP at a time: nobody vouches for them, and hooks need file descriptors, too.
const STRANGERS: usize = 64;

/// How long a client may take to send the head of its request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

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
    let strangers = Arc::new(Semaphore::new(STRANGERS));
    let mut look = tokio::time::interval_at(tokio::time::Instant::now() + LOOK_AT_KEYS, LOOK_AT_KEYS);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let watching = service::watch(&gate)
        .map_err(|error| ServeError::Listen { place: "configuration and keyring".to_owned(), error })?;
    tracing::info!(socket = %socket.display(), listen = ?listen, "ready");
    loop {
        tokio::select! {
            accepted = hook.accept() => match accepted {
                Ok((stream, _)) => accept_hook(stream, &gate, &hook_routes, &graceful),
                Err(error) => backoff("hook socket", &error).await,
            },
            accepted = accept_tcp(tcp.as_ref()) => match accepted {
                Ok(stream) => match Arc::clone(&strangers).try_acquire_owned() {
                    Ok(place) => connection(TokioIo::new(stream), public_routes.clone(), &graceful, Some(place)),
                    Err(_) => gate.turned_away("too many connections"),
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
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tracing::info!("draining");
    drop(watching);
    drop(hook);
    let _ = std::fs::remove_file(&socket);
    let patience = gate.deadline() + Duration::from_secs(5);
    if tokio::time::timeout(patience, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish; their pushes are undecided");
    }
    gate.stopped();
    Ok(())
}

/// Only accounts that may ask as hooks, or operate the gate, get as far as HTTP (N22).
fn accept_hook(stream: UnixStream, gate: &Arc<Gate>, routes: &Router, graceful: &GracefulShutdown) {
    match stream.peer_cred() {
        Ok(cred) if gate.may_ask(cred.uid()) || gate.may_operate(cred.uid()) => {
            let routes = routes.clone().layer(Extension(Peer { uid: cred.uid(), pid: cred.pid() }));
            connection(TokioIo::new(stream), routes, graceful, None);
        }
        Ok(cred) => gate.turned_away(&format!("uid {}", cred.uid())),
        Err(error) => gate.turned_away(&format!("no credentials: {error}")),
    }
}

/// Serves one connection; `place` is given back at its end.
fn connection<S>(
    io: TokioIo<S>,
    routes: Router,
    graceful: &GracefulShutdown,
    place: Option<OwnedSemaphorePermit>,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let connection = builder.serve_connection(io, TowerToHyperService::new(routes));
    let watched = graceful.watch(connection);
    tokio::spawn(async move {
        let _place = place;
        if let Err(error) = watched.await {
            tracing::debug!(%error, "a connection ended early");
        }
    });
}

async fn accept_tcp(listener: Option<&TcpListener>) -> std::io::Result<tokio::net::TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
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
