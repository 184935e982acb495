//! What forges send: who is believed, what is understood of it, and what is sent back. Real payloads, the
//! published vectors, and what somebody would try who wants to be believed or overlooked.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr)]

#[path = "webhooks_parsing/bodies.rs"]
mod bodies;
#[path = "webhooks_parsing/calls.rs"]
mod calls;
#[path = "webhooks_parsing/events.rs"]
mod events;
#[path = "webhooks_parsing/fixtures.rs"]
mod fixtures;
#[path = "webhooks_parsing/headers.rs"]
mod headers;
#[path = "webhooks_parsing/properties.rs"]
mod properties;
#[path = "support/payloads.rs"]
mod real;
#[path = "webhooks_parsing/vectors.rs"]
mod vectors;

use countersign::domain::{ObjectId, RefName, Timestamp};
use countersign::forge::{
    AuthError, Authentic, Claim, Event, ForgeKind, Headers, ParseError, Push, Secret, SecretKind, Secrets,
    authenticate, parse, sign,
};

/// Not a real one, as it says.
pub const SECRET: &str = "test secret, not a real one";

/// Of 32 bytes, which spell that it is not a real one.
pub const SIGNING: &str = "whsec_dGVzdCBrZXksIG5vdCBhIHJlYWwgb25lISEhISEhISE=";

pub const ONE: &str = "1111111111111111111111111111111111111111";
pub const TWO: &str = "2222222222222222222222222222222222222222";
pub const ZERO: &str = "0000000000000000000000000000000000000000";

pub fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec()).unwrap()
}

/// One secret of the kind's usual sort.
pub fn secrets(forge: ForgeKind) -> Secrets {
    let text = if forge == ForgeKind::Generic { SIGNING } else { SECRET };
    of(forge, &[text])
}

pub fn of(forge: ForgeKind, texts: &[&str]) -> Secrets {
    let mut secrets = Secrets::new();
    for text in texts {
        let secret = secret(text);
        secrets.add(forge, Secrets::usual_kind(forge, &secret), &secret).unwrap();
    }
    secrets
}

/// The headers as the forge would send them.
pub fn headers(forge: ForgeKind, event: &str, body: &[u8]) -> Headers {
    sign(forge, &secrets(forge), event, "delivery-1", body, now())
}

/// The same fields as a list that can be changed.
pub fn fields(headers: &Headers) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
}

pub fn believed<'a>(
    forge: ForgeKind,
    fields: &[(String, Vec<u8>)],
    body: &'a [u8],
) -> Result<Authentic<'a>, AuthError> {
    authenticate(forge, &secrets(forge), &Headers::new(fields.to_vec()), body, now())
}

/// Signed as the forge would, sent, believed and parsed.
pub fn event(forge: ForgeKind, event: &str, body: &str) -> Result<Event, ParseError> {
    let headers = headers(forge, event, body.as_bytes());
    let delivery = authenticate(forge, &secrets(forge), &headers, body.as_bytes(), now());
    parse(&delivery.unwrap_or_else(|error| panic!("{forge:?} {event}: {error}")))
}

pub fn push(event: Result<Event, ParseError>) -> Push {
    match event {
        Ok(Event::Push(push)) => push,
        other => panic!("no push: {other:?}"),
    }
}

pub fn name(name: &str) -> RefName {
    RefName::parse(name.as_bytes()).unwrap()
}

pub fn id(hex: &str) -> Option<ObjectId> {
    ObjectId::parse_optional(hex.as_bytes()).unwrap()
}

pub fn claim(reference: &str, before: &str, after: &str) -> Claim {
    Claim { reference: name(reference), before: id(before), after: id(after) }
}

#[test]
fn what_signs_for_these_tests_is_a_secret_of_each_kind() {
    for forge in ForgeKind::ALL {
        assert!(!secrets(*forge).is_empty());
    }
    assert_eq!(Secrets::usual_kind(ForgeKind::GitLab, &secret(SIGNING)), SecretKind::Signing);
}
