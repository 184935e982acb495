//! Deliveries of forges: everything about them that is HTTP.

use super::listen::Client;
use super::proxy;
use super::room::{Held, Memory};
use super::routes::Shared;
use crate::forge::Headers;
use crate::service::{Delivered, Listens, Received};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Extension, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// How long a body may take altogether. Forges give up after ten to thirty seconds.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long nothing of it may come.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Deliveries that are authenticated and queued at a time; the others wait.
const WORKERS: usize = 32;
/// When a forge may try again what could not be taken, in seconds.
const RETRY_AFTER: u64 = 60;

/// What all deliveries share.
#[derive(Clone)]
pub(super) struct Room {
    memory: Memory,
    workers: Arc<Semaphore>,
}

impl Room {
    pub(super) fn new() -> Self {
        Room { memory: Memory::new(), workers: Arc::new(Semaphore::new(WORKERS)) }
    }
}

/// Whatever is at no path of the gate's own.
pub(super) async fn deliver(
    State(shared): State<Shared>,
    Extension(Client(peer)): Extension<Client>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    // The path is compared as it was written: nothing in a configured one can be written otherwise.
    let Some(listens) = shared.gate.listens(parts.uri.path()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match take(shared, peer, listens, parts, body).await {
        Ok(response) => response,
        // What was not read to its end cannot be told from the next request.
        Err(mut response) => {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            response
        }
    }
}

async fn take(
    shared: Shared,
    peer: std::net::IpAddr,
    listens: Listens,
    parts: Parts,
    body: Body,
) -> Result<Response, Response> {
    if parts.method != Method::POST {
        let allow = [(header::ALLOW, "POST")];
        return Err((StatusCode::METHOD_NOT_ALLOWED, allow, "deliveries are posted\n").into_response());
    }
    if parts.uri.query().is_some() {
        return Err((StatusCode::BAD_REQUEST, "a delivery has no query\n").into_response());
    }
    let from = proxy::client(peer, &parts.headers, |address| shared.gate.is_trusted_proxy(address));
    if let Some(left) = shared.gate.not_listening(from) {
        let retry = [(header::RETRY_AFTER, (left.as_secs() + 1).to_string())];
        let why = "too many deliveries from this address were not authentic\n";
        return Err((StatusCode::TOO_MANY_REQUESTS, retry, why).into_response());
    }
    // A body in another coding than it was signed in: what would be signed, and what is read?
    if parts.headers.contains_key(header::CONTENT_ENCODING) {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Encoding is not taken\n").into_response());
    }
    let held = shared.room.memory.begin(from, shared.gate.is_trusted_proxy(from), listens.max_body);
    let (body, held) = read(body, listens.max_body, held).await?;
    let headers = headers(&parts.headers);
    let Ok(worker) = Arc::clone(&shared.room.workers).acquire_owned().await else {
        return Err(not_now("the gate is shutting down"));
    };
    let gate = Arc::clone(&shared.gate);
    let done = tokio::task::spawn_blocking(move || {
        let _held = (worker, held);
        let delivered = Delivered { source: &listens.source, from, headers: &headers, body: &body };
        gate.receive(&delivered)
    });
    match done.await {
        Ok(received) => Ok(answer(received)),
        Err(error) => {
            tracing::error!(%error, "a worker failed while taking a delivery");
            Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response())
        }
    }
}

fn answer(received: Received) -> Response {
    match received {
        Received::Queued => (StatusCode::ACCEPTED, "queued\n").into_response(),
        Received::Duplicate => (StatusCode::OK, "this delivery came before\n").into_response(),
        Received::Ping => (StatusCode::OK, "pong\n").into_response(),
        Received::Ignored(why) => (StatusCode::OK, format!("taken, and not used: {why}\n")).into_response(),
        Received::Unauthentic(why) => {
            (StatusCode::UNAUTHORIZED, format!("not authentic: {why}\n")).into_response()
        }
        Received::NotNow(why) => not_now(why),
    }
}

fn not_now(why: &str) -> Response {
    let retry = [(header::RETRY_AFTER, RETRY_AFTER.to_string())];
    (StatusCode::SERVICE_UNAVAILABLE, retry, format!("{why}; try again later\n")).into_response()
}

fn headers(fields: &HeaderMap) -> Headers {
    Headers::new(fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}

/// Reads a body of at most `most` bytes, and holds room in memory for what was read. Trailers are left.
async fn read(mut body: Body, most: usize, mut held: Held) -> Result<(Vec<u8>, Held), Response> {
    let too_large =
        || (StatusCode::PAYLOAD_TOO_LARGE, format!("a delivery has at most {most} bytes\n")).into_response();
    let hint = body.size_hint();
    if hint.lower() > most as u64 {
        return Err(too_large());
    }
    let until = Instant::now() + BODY_TIMEOUT;
    let mut bytes = Vec::new();
    loop {
        let next = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        let idle = Instant::now() + IDLE_TIMEOUT;
        let chunk: Bytes = match timeout_at(idle.min(until), next).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(chunk) => chunk,
                Err(_trailers) => continue,
            },
            Ok(Some(Err(_))) => return Err((StatusCode::BAD_REQUEST, "the body broke off\n").into_response()),
            Err(_) => return Err((StatusCode::REQUEST_TIMEOUT, "the body took too long\n").into_response()),
        };
        if bytes.len() + chunk.len() > most {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
        if !held.grow(chunk.len()).await {
            return Err(not_now("too much is being delivered at once"));
        }
    }
    Ok((bytes, held))
}
