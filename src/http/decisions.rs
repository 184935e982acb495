//! `GET /decisions/<id>`: what was judged and why, for whoever has the link.

use super::listen::Client;
use super::proxy;
use super::routes::Shared;
use crate::service::{DECISION_NOT_FOUND, DECISION_POLICY, peer_network};
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Pages that one address may ask for at once, and how many more a second: people read slowly.
const BURST: f64 = 30.0;
const RATE: f64 = 2.0;
/// The same for everybody together.
const BURST_OF_ALL: f64 = 300.0;
const RATE_OF_ALL: f64 = 50.0;
/// Addresses that are remembered; of more, only the sum is bounded.
const ADDRESSES: usize = 10_000;
/// What programs are told where there is nothing.
const NOT_FOUND_JSON: &str = "{\"error\":\"not found\"}\n";

/// How many pages may still be asked for.
#[derive(Debug, Default)]
pub(super) struct Readers(Mutex<Left>);

#[derive(Debug, Default)]
struct Left {
    all: Option<(f64, Instant)>,
    of: HashMap<IpAddr, Option<(f64, Instant)>>,
}

impl Readers {
    fn take(&self, reader: IpAddr, now: Instant) -> bool {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Left { all, of } = &mut *left;
        if of.len() >= ADDRESSES {
            // Whoever could ask for as much as somebody new is forgotten.
            let full = |at: Instant| now.saturating_duration_since(at).as_secs_f64() * RATE >= BURST;
            of.retain(|_, state| state.is_some_and(|(_, at)| !full(at)));
        }
        let mut unknown = None;
        let own =
            if of.len() < ADDRESSES { of.entry(peer_network(reader)).or_default() } else { &mut unknown };
        spend(own, now, BURST, RATE) && spend(all, now, BURST_OF_ALL, RATE_OF_ALL)
    }
}

fn spend(state: &mut Option<(f64, Instant)>, now: Instant, burst: f64, rate: f64) -> bool {
    let (left, at) = state.unwrap_or((burst, now));
    let left = (left + now.saturating_duration_since(at).as_secs_f64() * rate).min(burst);
    let enough = left >= 1.0;
    *state = Some((if enough { left - 1.0 } else { left }, now));
    enough
}

/// The page, or the same answer for an id that is none, that nothing has, or that nobody may see.
pub(super) async fn decision(
    State(shared): State<Shared>,
    Extension(Client(peer)): Extension<Client>,
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let json = wants_json(&uri, &headers);
    let reader = proxy::client(peer, &headers, |address| shared.gate.is_trusted_proxy(address));
    if !shared.readers.take(reader, Instant::now()) {
        let mut response = answer(StatusCode::TOO_MANY_REQUESTS, json, String::new());
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        return response;
    }
    let id = path.map(|Path(id)| id).unwrap_or_default();
    let gate = shared.gate;
    let found = tokio::task::spawn_blocking(move || gate.decision_page(&id)).await;
    match found {
        Ok(Ok(Some(page))) if json => match serde_json::to_string_pretty(&page) {
            Ok(text) => answer(StatusCode::OK, true, text),
            Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR, true, String::new()),
        },
        Ok(Ok(Some(page))) => answer(StatusCode::OK, false, page.html()),
        Ok(Ok(None)) => {
            let text = if json { NOT_FOUND_JSON } else { DECISION_NOT_FOUND };
            answer(StatusCode::NOT_FOUND, json, text.to_owned())
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "a decision cannot be shown");
            answer(StatusCode::SERVICE_UNAVAILABLE, json, String::new())
        }
        Err(error) => {
            tracing::error!(%error, "a worker failed");
            answer(StatusCode::INTERNAL_SERVER_ERROR, json, String::new())
        }
    }
}

/// `?format=json` decides; without it `Accept`, where JSON comes before HTML.
fn wants_json(uri: &Uri, headers: &HeaderMap) -> bool {
    let formats = uri.query().into_iter().flat_map(|query| query.split('&'));
    if let Some(format) = formats.filter_map(|pair| pair.strip_prefix("format=")).next() {
        return format == "json";
    }
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
    kinds.find(|kind| matches!(*kind, "application/json" | "text/html")) == Some("application/json")
}

fn answer(status: StatusCode, json: bool, body: String) -> Response {
    let kind = if json { "application/json" } else { "text/html; charset=utf-8" };
    let fields: [(HeaderName, &'static str); 9] = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "accept"),
        (header::CONTENT_SECURITY_POLICY, DECISION_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    (status, fields, Body::from(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn who_wants_json_says_so() {
        let wants = |uri: &str, accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            wants_json(&uri.parse().unwrap(), &headers)
        };
        assert!(wants("/decisions/a", "application/json"));
        assert!(wants("/decisions/a?format=json", "text/html"));
        assert!(!wants("/decisions/a?format=html", "application/json"));
        assert!(!wants("/decisions/a", "text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8"));
        assert!(!wants("/decisions/a", "*/*"));
        assert!(wants("/decisions/a", "text/plain, application/json;q=1"));
    }

    #[test]
    fn readers_are_bounded_and_served_again() {
        let (readers, now) = (Readers::default(), Instant::now());
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let taken = |reader: IpAddr, now| (0..1000).filter(|_| readers.take(reader, now)).count();
        let later = now + Duration::from_secs(5);
        assert_eq!((taken(address("192.0.2.1"), now), taken(address("192.0.2.1"), later)), (30, 10));
        assert_eq!(taken(address("2001:db8::1"), later), 30, "others are served");
        assert_eq!(taken(address("2001:db8::2"), later), 0, "that is the same one");
        let many = (0..200_u32).map(|n| taken(IpAddr::from(n.to_be_bytes()), later)).sum::<usize>();
        assert!(many < 300, "{many} for everybody together");
    }
}
