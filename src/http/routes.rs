//! Routes and what they answer.

use super::decisions::{Readers, decision};
use super::webhooks::{self, Room};
use crate::hook::wire::{
    Answer, MAX_REQUEST, Outcome, POST_RECEIVE_PATH, PRE_RECEIVE_PATH, PROTOCOL, Request,
};
use crate::service::webhook::{
    OperateError, WEBHOOK_REDELIVER_PATH, WEBHOOK_REGISTER_PATH, WEBHOOK_RESEND_PATH, WEBHOOK_STATUS_PATH,
    WEBHOOK_SWEEP_PATH, WEBHOOK_TEST_PATH,
};
use crate::service::{
    CHANGES_PATH, ChangeError, Fault, Gate, MAX_CHANGE, METRICS_TYPE, Noted, RELOAD_PATH, SOURCE_PATH,
    STATUS_PATH, SourceError,
};
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
    /// The process that connected, where the kernel says.
    pub(super) pid: Option<i32>,
}

/// What handlers share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) gate: Arc<Gate>,
    /// Bounds how many pushes are judged at once; the others wait, within their deadline.
    pub(super) workers: Arc<Semaphore>,
    /// One operator's request at a time, so that they never keep pushes waiting.
    pub(super) operators: Arc<Semaphore>,
    /// The same for what an operator asks about webhooks, which may need an answer of a forge.
    pub(super) callers: Arc<Semaphore>,
    /// Bounds how often decisions are looked at.
    pub(super) readers: Arc<Readers>,
    /// Bounds what deliveries take.
    pub(super) room: Room,
}

impl Shared {
    pub(super) fn new(gate: Arc<Gate>, workers: usize) -> Self {
        Shared {
            gate,
            workers: Arc::new(Semaphore::new(workers)),
            operators: Arc::new(Semaphore::new(1)),
            callers: Arc::new(Semaphore::new(1)),
            readers: Arc::default(),
            room: Room::new(),
        }
    }
}

/// Time beyond the deadline after which a worker that does not come back is given up.
const GRACE: Duration = Duration::from_secs(2);

/// Routes of the hook socket.
pub(super) fn hook_router(shared: Shared) -> Router {
    Router::new()
        .route(PRE_RECEIVE_PATH, post(pre_receive))
        .route(POST_RECEIVE_PATH, post(post_receive))
        .route(STATUS_PATH, get(keyring_status))
        .route(RELOAD_PATH, post(keyring_reload))
        .route(CHANGES_PATH, post(keyring_change))
        .route(SOURCE_PATH, post(keyring_source))
        .route(WEBHOOK_STATUS_PATH, get(webhook_status))
        .route(WEBHOOK_SWEEP_PATH, post(webhook_sweep))
        .route(WEBHOOK_REDELIVER_PATH, post(webhook_redeliver))
        .route(WEBHOOK_RESEND_PATH, post(webhook_resend))
        .route(WEBHOOK_REGISTER_PATH, post(webhook_register))
        .route(WEBHOOK_TEST_PATH, post(webhook_test))
        .merge(about())
        .with_state(shared)
}

/// Routes of the TCP listener.
pub(super) fn public_router(shared: Shared) -> Router {
    about().route("/decisions/{id}", get(decision)).fallback(webhooks::deliver).with_state(shared)
}

/// What the daemon says about itself, to whoever may connect.
fn about() -> Router<Shared> {
    Router::new().route("/health", get(health)).route("/metrics", get(metrics))
}

/// For how long an operator's request may take to arrive, and to have its turn.
const OPERATOR_PATIENCE: Duration = Duration::from_secs(20);

/// Runs what an operator asks for, if the peer is one (N22): the Git account is none.
async fn operate<T: Send + 'static>(
    shared: Shared,
    peer: Peer,
    until: Instant,
    work: impl FnOnce(&Gate) -> T + Send + 'static,
) -> Result<T, Response> {
    if !shared.gate.may_operate(peer.uid) {
        shared.gate.turned_away(&format!("uid {} as an operator", peer.uid));
        return Err((StatusCode::FORBIDDEN, "this account may not operate the gate").into_response());
    }
    let turn = tokio::time::timeout_at(until, shared.operators.acquire_owned()).await;
    let Ok(Ok(turn)) = turn else {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "too many requests at once").into_response());
    };
    let gate = shared.gate;
    let done = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work(&gate)
    });
    done.await.map_err(|error| {
        tracing::error!(%error, "a worker failed");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}

async fn keyring_status(State(shared): State<Shared>, Extension(peer): Extension<Peer>) -> Response {
    let until = Instant::now() + OPERATOR_PATIENCE;
    match operate(shared, peer, until, Gate::keyring_status).await {
        Ok(status) => json(StatusCode::OK, serde_json::to_vec_pretty(&status)),
        Err(response) => response,
    }
}

async fn keyring_reload(State(shared): State<Shared>, Extension(peer): Extension<Peer>) -> Response {
    let until = Instant::now() + OPERATOR_PATIENCE;
    let work = |gate: &Gate| {
        gate.reload();
        gate.keyring_status()
    };
    match operate(shared, peer, until, work).await {
        Ok(status) => json(StatusCode::OK, serde_json::to_vec_pretty(&status)),
        Err(response) => response,
    }
}

async fn keyring_change(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Response {
    // Nothing is read from whom nobody listens to.
    if !shared.gate.may_operate(peer.uid) {
        let until = Instant::now();
        return operate(shared, peer, until, |_| ()).await.err().unwrap_or_default();
    }
    let until = Instant::now() + OPERATOR_PATIENCE;
    let body = match take(body, until, MAX_CHANGE).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let work = move |gate: &Gate| {
        let seq = gate.record_change(&body, peer.uid, peer.pid)?;
        Ok(Noted { seq })
    };
    let gate = Arc::clone(&shared.gate);
    match operate(shared, peer, until, work).await {
        Ok(Ok(noted)) => {
            // Reading a large keyring takes a moment; whoever has to know that it is in force asks.
            tokio::task::spawn_blocking(move || gate.reload());
            json(StatusCode::OK, serde_json::to_vec(&noted))
        }
        Ok(Err(error)) => {
            let status = match error {
                ChangeError::Unreadable(_) | ChangeError::Malformed(_) | ChangeError::Signature(_) => {
                    StatusCode::BAD_REQUEST
                }
                ChangeError::TooMany => StatusCode::TOO_MANY_REQUESTS,
                ChangeError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            (status, crate::domain::text::escape_short(error.to_string().as_bytes(), 300)).into_response()
        }
        Err(response) => response,
    }
}

/// What an operator accepts, and why.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Accept {
    commit: String,
    reason: String,
}

/// Largest acceptance, bytes.
const MAX_ACCEPT: usize = 16 << 10;

async fn keyring_source(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Response {
    let until = Instant::now() + OPERATOR_PATIENCE;
    if !shared.gate.may_operate(peer.uid) {
        return operate(shared, peer, until, |_| ()).await.err().unwrap_or_default();
    }
    let accept: Accept = match take(body, until, MAX_ACCEPT).await {
        Ok(body) => match serde_json::from_slice(&body) {
            Ok(accept) => accept,
            Err(error) => {
                let why = crate::domain::text::escape_short(error.to_string().as_bytes(), 300);
                return (StatusCode::BAD_REQUEST, why).into_response();
            }
        },
        Err(response) => return response,
    };
    let work = move |gate: &Gate| {
        gate.accept_source(&accept.commit, &accept.reason, peer.uid, peer.pid)?;
        Ok::<_, SourceError>(gate.keyring_status())
    };
    match operate(shared, peer, until, work).await {
        Ok(Ok(status)) => json(StatusCode::OK, serde_json::to_vec_pretty(&status)),
        Ok(Err(error)) => {
            let why = crate::domain::text::escape_short(error.to_string().as_bytes(), 4000);
            (StatusCode::CONFLICT, why).into_response()
        }
        Err(response) => response,
    }
}

/// Largest request of an operator about webhooks, in bytes.
const MAX_OPERATION: usize = 16 << 10;

/// Answers what an operator asks about webhooks.
async fn operation<T: serde::Serialize + Send + 'static>(
    shared: Shared,
    peer: Peer,
    body: Body,
    work: impl FnOnce(&Gate, &[u8]) -> Result<T, OperateError> + Send + 'static,
) -> Response {
    // Nothing is read from whom nobody listens to.
    if !shared.gate.may_operate(peer.uid) {
        let until = Instant::now();
        return operate(shared, peer, until, |_| ()).await.err().unwrap_or_default();
    }
    let until = Instant::now() + OPERATOR_PATIENCE;
    let body = match take(body, until, MAX_OPERATION).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    // Calls to forges take a while: what is asked about the keyring does not wait for them.
    let shared = Shared { operators: Arc::clone(&shared.callers), ..shared };
    match operate(shared, peer, until, move |gate| work(gate, &body)).await {
        Ok(Ok(done)) => json(StatusCode::OK, serde_json::to_vec_pretty(&done)),
        Ok(Err(error)) => {
            let status = match error {
                OperateError::Request(_) => StatusCode::BAD_REQUEST,
                OperateError::Unknown(_) => StatusCode::NOT_FOUND,
                OperateError::Impossible(_) => StatusCode::UNPROCESSABLE_ENTITY,
                OperateError::Failed(_) => StatusCode::BAD_GATEWAY,
                OperateError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            (status, crate::domain::text::escape_short(error.to_string().as_bytes(), 300)).into_response()
        }
        Err(response) => response,
    }
}

async fn webhook_status(State(shared): State<Shared>, Extension(peer): Extension<Peer>) -> Response {
    operation(shared, peer, Body::empty(), |gate, _| gate.webhook_status()).await
}

async fn webhook_sweep(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Response {
    operation(shared, peer, body, Gate::operate_sweep).await
}

async fn webhook_redeliver(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Response {
    operation(shared, peer, body, Gate::operate_redeliver).await
}

async fn webhook_resend(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Response {
    operation(shared, peer, body, Gate::operate_resend).await
}

async fn webhook_register(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Response {
    operation(shared, peer, body, Gate::operate_register).await
}

async fn webhook_test(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Response {
    operation(shared, peer, body, Gate::operate_test).await
}

/// The answer to a peer that may not ask as a hook; operators may connect without.
fn refusal(shared: &Shared, peer: Peer) -> Option<Response> {
    if shared.gate.may_ask(peer.uid) {
        return None;
    }
    shared.gate.turned_away(&format!("uid {} as a hook", peer.uid));
    Some((StatusCode::FORBIDDEN, "this account is not in `clients`").into_response())
}

/// Git's client waits for this hook, and nothing hangs on its end: the report is taken and looked into
/// afterwards. A push that comes in between sees for itself what was applied (N10).
async fn post_receive(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Response {
    if let Some(response) = refusal(&shared, peer) {
        return response;
    }
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
    let body = take(body, until, MAX_REQUEST).await?;
    serde_json::from_slice(&body).map_err(|error| protocol_error(&body, &error.to_string()))
}

async fn take(body: Body, until: Instant, most: usize) -> Result<axum::body::Bytes, Response> {
    match tokio::time::timeout_at(until, axum::body::to_bytes(body, most)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => {
            Err((StatusCode::PAYLOAD_TOO_LARGE, "the request is too large or broke off").into_response())
        }
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response()),
    }
}

async fn pre_receive(State(shared): State<Shared>, Extension(peer): Extension<Peer>, body: Body) -> Response {
    if let Some(response) = refusal(&shared, peer) {
        return response;
    }
    let arrived = Instant::now();
    let until = arrived + shared.gate.deadline() + GRACE;
    let gate = Arc::clone(&shared.gate);
    match read(body, until).await {
        Ok(request) => {
            let answer = decide(shared, peer, request, until, Gate::admit).await;
            gate.answered_after(arrived.elapsed());
            reply(StatusCode::OK, &answer)
        }
        Err(response) => {
            gate.not_understood();
            response
        }
    }
}

/// Decides on a worker thread, within the deadline (N23). Whatever goes wrong there, a panic included, is
/// an answer that says "undecided".
async fn decide(
    shared: Shared,
    peer: Peer,
    request: Request,
    until: Instant,
    judge: impl FnOnce(&Gate, &Request, u32, &AtomicBool) -> Answer + Send + 'static,
) -> Answer {
    let gate = Arc::clone(&shared.gate);
    let abandoned = Abandon::new();
    let flag = abandoned.flag();
    let asked = request.clone();
    let work = async {
        let Ok(permit) = shared.workers.acquire_owned().await else { return Err(Fault::ShuttingDown) };
        let worker = Arc::clone(&gate);
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            judge(&worker, &request, peer.uid, &flag)
        });
        done.await.map_err(|error| {
            tracing::error!(request_id = %asked.request_id, %error, "a worker failed");
            Fault::Internal
        })
    };
    match tokio::time::timeout_at(until, work).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(fault)) => failed(gate, asked, peer, fault).await,
        Err(_) => {
            // The worker must not record an accept that nobody hears of.
            drop(abandoned);
            let seconds = gate.deadline().as_secs();
            failed(gate, asked, peer, Fault::Deadline { seconds }).await
        }
    }
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

async fn metrics(State(shared): State<Shared>) -> Response {
    // It may wait for the store.
    match tokio::task::spawn_blocking(move || shared.gate.metrics()).await {
        Ok(Ok(text)) => (StatusCode::OK, [(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::wire::{Bytes, Place};

    fn shared(place: &std::path::Path) -> Shared {
        for directory in ["keyring", "repositories"] {
            std::fs::create_dir(place.join(directory)).unwrap();
        }
        let config = place.join("countersign.toml");
        let text = "[daemon]\nsocket = \"hook.sock\"\nstate = \"state\"\n[keyring]\npath = \"keyring\"\n\
                    [repositories]\nroot = \"repositories\"\n[policy]\nuncovered = \"accept\"\n";
        std::fs::write(&config, text).unwrap();
        Shared::new(Arc::new(Gate::start(&config).unwrap()), 1)
    }

    fn request() -> Request {
        Request {
            protocol: PROTOCOL,
            version: String::new(),
            request_id: "a".repeat(32),
            git_dir: Place { path: "/x".into(), device: 0, inode: 0 },
            quarantine: None,
            updates: Bytes(Vec::new()),
            push_options: Vec::new(),
            environment: Default::default(),
            ssh_user_auth: None,
        }
    }

    #[tokio::test]
    async fn a_panic_in_a_worker_is_undecided_and_the_next_push_is_judged() {
        let place = tempfile::tempdir().unwrap();
        let shared = shared(place.path());
        let (peer, until) = (Peer { uid: 0, pid: None }, Instant::now() + Duration::from_secs(30));
        let answer = decide(shared.clone(), peer, request(), until, |_, _, _, _| panic!("on purpose")).await;
        assert_eq!((answer.outcome, answer.request_id), (Outcome::Undecided, "a".repeat(32)));
        assert!(answer.text.contains("cause[internal]"), "{}", answer.text);
        let next =
            decide(shared.clone(), peer, request(), until, |gate, asked, _, _| gate.taken(asked)).await;
        assert_eq!(next.outcome, Outcome::Accept, "the worker's place is free again");
        assert!(shared.gate.health().ready);
    }

    #[tokio::test]
    async fn n23_a_worker_that_takes_too_long_is_undecided_and_told_so() {
        let place = tempfile::tempdir().unwrap();
        let shared = shared(place.path());
        let until = Instant::now() + Duration::from_millis(50);
        let (tell, told) = std::sync::mpsc::channel();
        let slow = move |gate: &Gate, asked: &Request, _: u32, abandoned: &AtomicBool| {
            while !abandoned.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
            }
            tell.send(()).unwrap();
            gate.taken(asked)
        };
        let answer = decide(shared, Peer { uid: 0, pid: None }, request(), until, slow).await;
        assert_eq!(answer.outcome, Outcome::Undecided);
        assert!(answer.text.contains("cause[deadline]"), "{}", answer.text);
        told.recv_timeout(Duration::from_secs(30)).expect("the worker learns that nobody waits");
    }
}
