//! Routes and what they answer.

use crate::hook::wire::{
    Answer, MAX_REQUEST, Outcome, POST_RECEIVE_PATH, PRE_RECEIVE_PATH, PROTOCOL, Request,
};
use crate::service::{Fault, Gate};
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Who is at the other end of a hook connection, as the kernel says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) uid: u32,
}

/// What handlers share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) gate: Arc<Gate>,
    /// Bounds how many pushes are judged at once; the others wait, within their deadline.
    pub(super) workers: Arc<Semaphore>,
}

/// Time beyond the deadline after which a worker that does not come back is given up.
const GRACE: Duration = Duration::from_secs(2);

/// Routes of the hook socket.
pub(super) fn hook_router(shared: Shared) -> Router {
    Router::new()
        .route(PRE_RECEIVE_PATH, post(pre_receive))
        .route(POST_RECEIVE_PATH, post(post_receive))
        .route("/health", get(health))
        .with_state(shared)
}

/// Routes of the TCP listener.
pub(super) fn public_router(shared: Shared) -> Router {
    Router::new().route("/health", get(health)).with_state(shared)
}

/// Git's client waits for this hook, and nothing hangs on its end: the report is taken and looked into
/// afterwards. A push that comes in between sees for itself what was applied (N10).
async fn post_receive(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Response {
    let until = Instant::now() + shared.gate.deadline() + GRACE;
    let request = match read(body, until).await {
        Ok(request) => request,
        Err(response) => return response,
    };
    let answer = shared.gate.taken(&request);
    tokio::spawn(async move {
        let permit = shared.workers.acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            shared.gate.applied(&request, peer.uid, &AtomicBool::new(false));
        });
        if let Err(error) = done.await {
            tracing::error!(%error, "a worker failed while noting what was applied");
        }
    });
    reply(StatusCode::OK, &answer)
}

/// Reads a request within the deadline (N23), or says what is wrong with it.
async fn read(body: Body, until: Instant) -> Result<Request, Response> {
    let body = match tokio::time::timeout_at(until, axum::body::to_bytes(body, MAX_REQUEST)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            return Err(
                (StatusCode::PAYLOAD_TOO_LARGE, "the request is too large or broke off").into_response()
            );
        }
        Err(_) => return Err((StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response()),
    };
    serde_json::from_slice(&body).map_err(|error| protocol_error(&body, &error.to_string()))
}

/// Reads the request and decides on a worker thread, all of it within the deadline (N23).
/// Whatever goes wrong there, a panic included, is an answer that says "undecided".
async fn pre_receive(State(shared): State<Shared>, Extension(peer): Extension<Peer>, body: Body) -> Response {
    let gate = Arc::clone(&shared.gate);
    let until = Instant::now() + gate.deadline() + GRACE;
    let request = match read(body, until).await {
        Ok(request) => request,
        Err(response) => return response,
    };
    let abandoned = Abandon::new();
    let flag = abandoned.flag();
    let asked = request.clone();
    let work = async {
        let Ok(permit) = shared.workers.acquire_owned().await else { return Err(Fault::ShuttingDown) };
        let worker = Arc::clone(&gate);
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            worker.admit(&request, peer.uid, &flag)
        });
        done.await.map_err(|error| {
            tracing::error!(request_id = %asked.request_id, %error, "a worker failed");
            Fault::Internal
        })
    };
    let answer = match tokio::time::timeout_at(until, work).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(fault)) => failed(gate, asked, peer, fault).await,
        Err(_) => {
            // The worker must not record an accept that nobody hears of.
            drop(abandoned);
            let seconds = gate.deadline().as_secs();
            failed(gate, asked, peer, Fault::Deadline { seconds }).await
        }
    };
    reply(StatusCode::OK, &answer)
}

/// Records an outage, if that can be done in a moment, and answers it.
async fn failed(gate: Arc<Gate>, request: Request, peer: Peer, fault: Fault) -> Answer {
    let plain = gate.undecided(&request, &fault);
    let recorded = tokio::task::spawn_blocking(move || gate.fail(&request, peer.uid, &fault));
    match tokio::time::timeout(GRACE, recorded).await {
        Ok(Ok(answer)) => answer,
        _ => plain,
    }
}

async fn health(State(shared): State<Shared>) -> Response {
    // It may wait for the store.
    let Ok(health) = tokio::task::spawn_blocking(move || shared.gate.health()).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, serde_json::to_vec_pretty(&health))
}

/// A request that cannot be read may still be from a client that understands an answer: it gets one
/// that names both versions if it says its own.
fn protocol_error(body: &[u8], why: &str) -> Response {
    #[derive(serde::Deserialize)]
    struct Loose {
        protocol: u32,
        request_id: String,
    }
    let Ok(loose) = serde_json::from_slice::<Loose>(body) else {
        return (StatusCode::BAD_REQUEST, crate::domain::text::escape(why.as_bytes())).into_response();
    };
    let text = format!(
        "countersign could not decide about this push. This is not a policy decision.\n  cause[protocol]: \
         the hook speaks protocol {}, the daemon (version {}) speaks {PROTOCOL}; install both from one release\n",
        loose.protocol,
        env!("CARGO_PKG_VERSION"),
    );
    let answer = Answer {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        request_id: loose.request_id,
        outcome: Outcome::Undecided,
        text,
    };
    reply(StatusCode::OK, &answer)
}

fn reply(status: StatusCode, answer: &Answer) -> Response {
    json(status, serde_json::to_vec(answer))
}

fn json(status: StatusCode, body: serde_json::Result<Vec<u8>>) -> Response {
    match body {
        Ok(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Raises a flag when the handler is dropped, which is what happens when the client goes away.
struct Abandon(Arc<AtomicBool>);

impl Abandon {
    fn new() -> Self {
        Abandon(Arc::new(AtomicBool::new(false)))
    }

    fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
