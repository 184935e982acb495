//! Deliveries of our own making, signed as a forge would sign them: to try a source out, and for tests.

use super::{Claim, ForgeKind, ForgeRepository, Headers, Secrets, form};
use crate::domain::{ObjectFormat, ObjectId, Timestamp};
use data_encoding::{BASE64, HEXLOWER};
use ring::{digest, hmac};
use serde_json::{Value, json};

/// The account in a sample.
const LOGIN: &str = "countersign-test";

/// Signs a body as the forge would, with the first secret of each kind. Without any, the headers are there
/// and empty, as Gitea has them.
///
/// `delivery` is the id; two samples of the same id and body are the same delivery.
pub fn sign(
    forge: ForgeKind,
    secrets: &Secrets,
    event: &str,
    delivery: &str,
    body: &[u8],
    now: Timestamp,
) -> Headers {
    let mut fields = vec![("content-type", "application/json".to_owned())];
    let tag = |algorithm| match secrets.hmac.first() {
        Some(secret) => {
            HEXLOWER.encode(hmac::sign(&hmac::Key::new(algorithm, secret.expose()), body).as_ref())
        }
        None => String::new(),
    };
    let (sha256, sha1) = (tag(hmac::HMAC_SHA256), tag(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY));
    let mut family = |names: [&'static str; 3]| {
        fields.extend([
            (names[0], event.to_owned()),
            (names[1], delivery.to_owned()),
            (names[2], sha256.clone()),
        ]);
    };
    const FORGEJO: [&str; 3] = ["x-forgejo-event", "x-forgejo-delivery", "x-forgejo-signature"];
    const GITEA: [&str; 3] = ["x-gitea-event", "x-gitea-delivery", "x-gitea-signature"];
    const GOGS: [&str; 3] = ["x-gogs-event", "x-gogs-delivery", "x-gogs-signature"];
    match forge {
        ForgeKind::Forgejo => [FORGEJO, GITEA, GOGS].into_iter().for_each(&mut family),
        ForgeKind::Gitea => [GITEA, GOGS].into_iter().for_each(&mut family),
        ForgeKind::Gogs => family(GOGS),
        _ => {}
    }
    match forge {
        ForgeKind::GitHub | ForgeKind::Gitea | ForgeKind::Forgejo => fields.extend([
            ("x-github-event", event.to_owned()),
            ("x-github-delivery", delivery.to_owned()),
            ("x-hub-signature", format!("sha1={sha1}")),
            ("x-hub-signature-256", format!("sha256={sha256}")),
        ]),
        ForgeKind::BitbucketCloud => fields.extend([
            ("x-event-key", event.to_owned()),
            ("x-request-uuid", delivery.to_owned()),
            ("x-hub-signature", format!("sha256={sha256}")),
        ]),
        ForgeKind::BitbucketDc => fields.extend([
            ("x-event-key", event.to_owned()),
            ("x-request-id", delivery.to_owned()),
            ("x-hub-signature", format!("sha256={sha256}")),
        ]),
        ForgeKind::GitLab => {
            fields.extend([("x-gitlab-event", event.to_owned()), ("idempotency-key", delivery.to_owned())]);
            if let Some(token) = secrets.tokens.first() {
                fields.push(("x-gitlab-token", String::from_utf8_lossy(token.expose()).into_owned()));
            }
        }
        ForgeKind::Gogs | ForgeKind::Generic => {}
    }
    if let Some(secret) = secrets.signing.first() {
        let time = now.as_second().to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        let mut signed = hmac::Context::with_key(&key);
        for part in [delivery.as_bytes(), b".", time.as_bytes(), b".", body] {
            signed.update(part);
        }
        let signature = format!("v1,{}", BASE64.encode(signed.sign().as_ref()));
        fields.extend([
            ("webhook-id", delivery.to_owned()),
            ("webhook-timestamp", time),
            ("webhook-signature", signature),
        ]);
    }
    Headers::new(fields)
}

/// A push of `claims` to `repository`, signed: headers and body. Without claims it is a ping, where the forge
/// has such a thing, and else a push that moved nothing.
///
/// Forges that tell of one move in a delivery are told of the first claim only.
pub fn sample(
    forge: ForgeKind,
    secrets: &Secrets,
    repository: &ForgeRepository,
    claims: &[Claim],
    now: Timestamp,
) -> (Headers, Vec<u8>) {
    let (event, body) = push(forge, repository, claims, now);
    let body = body.to_string().into_bytes();
    // Of the body, so that the same sample is the same delivery, and of the time, so that it is none tomorrow.
    let digest = digest::digest(&digest::SHA256, &[&body, now.to_string().as_bytes()].concat());
    let delivery = format!("sample-{}", &HEXLOWER.encode(digest.as_ref())[..32]);
    (sign(forge, secrets, event, &delivery, &body, now), body)
}

/// The same body as a form, as GitHub, Gitea and their like can send it.
pub fn as_form(body: &[u8]) -> Vec<u8> {
    form::encode(body)
}

fn push(
    forge: ForgeKind,
    repository: &ForgeRepository,
    claims: &[Claim],
    now: Timestamp,
) -> (&'static str, Value) {
    let id = || match repository.id.parse::<u64>() {
        Ok(number) => json!(number),
        Err(_) => json!(repository.id),
    };
    let name = |claim: &Claim| String::from_utf8_lossy(claim.reference.as_bytes()).into_owned();
    let zeros = |claim: &Claim| {
        let format = claim.before.or(claim.after).map_or(ObjectFormat::Sha1, |id| id.format());
        "0".repeat(format.hex_len())
    };
    let hex = |claim: &Claim, id: Option<ObjectId>| id.map_or_else(|| zeros(claim), |id| id.to_string());
    let (owner, last) = repository.path.rsplit_once('/').unwrap_or(("", &repository.path));
    match forge {
        ForgeKind::GitHub | ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::Gogs => {
            let repository = json!({ "id": id(), "name": last, "full_name": repository.path });
            let account = json!({ "id": 1, "login": LOGIN, "username": LOGIN, "name": LOGIN });
            match claims.first() {
                Some(claim) => (
                    "push",
                    json!({
                        "ref": name(claim),
                        "before": hex(claim, claim.before),
                        "after": hex(claim, claim.after),
                        "commits": [],
                        "repository": repository,
                        "pusher": account,
                        "sender": account,
                    }),
                ),
                None => ("ping", json!({ "zen": "A test.", "hook_id": 0, "repository": repository })),
            }
        }
        ForgeKind::GitLab => {
            let changes: Vec<Value> = claims
                .iter()
                .map(|claim| {
                    json!({
                        "ref": name(claim),
                        "before": hex(claim, claim.before),
                        "after": hex(claim, claim.after),
                    })
                })
                .collect();
            (
                "System Hook",
                json!({
                    "event_name": "repository_update",
                    "user_id": 1,
                    "user_username": LOGIN,
                    "project_id": id(),
                    "project": { "id": id(), "path_with_namespace": repository.path },
                    "changes": changes,
                }),
            )
        }
        ForgeKind::BitbucketCloud => {
            let side = |claim: &Claim, id: Option<ObjectId>| {
                let (kind, short) = match (claim.reference.branch(), claim.reference.tag()) {
                    (Some(short), _) => ("branch", short),
                    (None, Some(short)) => ("tag", short),
                    (None, None) => ("other", claim.reference.as_bytes()),
                };
                let short = String::from_utf8_lossy(short).into_owned();
                id.map(|id| json!({ "type": kind, "name": short, "target": { "hash": id.to_string() } }))
            };
            let changes: Vec<Value> = claims
                .iter()
                .map(|claim| json!({ "old": side(claim, claim.before), "new": side(claim, claim.after) }))
                .collect();
            (
                "repo:push",
                json!({
                    "repository": {
                        "uuid": format!("{{{}}}", repository.id),
                        "full_name": repository.path,
                    },
                    "actor": { "uuid": "{00000000-0000-0000-0000-000000000001}", "nickname": LOGIN },
                    "push": { "changes": changes },
                }),
            )
        }
        ForgeKind::BitbucketDc if claims.is_empty() => ("diagnostics:ping", json!({ "test": true })),
        ForgeKind::BitbucketDc => {
            let changes: Vec<Value> = claims
                .iter()
                .map(|claim| {
                    json!({
                        "ref": { "id": name(claim) },
                        "refId": name(claim),
                        "fromHash": hex(claim, claim.before),
                        "toHash": hex(claim, claim.after),
                    })
                })
                .collect();
            (
                "repo:refs_changed",
                json!({
                    "eventKey": "repo:refs_changed",
                    "date": now.to_string(),
                    "actor": { "id": 1, "name": LOGIN },
                    "repository": { "id": id(), "slug": last, "project": { "key": owner } },
                    "changes": changes,
                }),
            )
        }
        ForgeKind::Generic => {
            let repository = json!({ "id": repository.id, "path": repository.path });
            if claims.is_empty() {
                return ("", json!({ "ping": true, "repository": repository }));
            }
            let text = |id: Option<ObjectId>| id.map(|id| id.to_string());
            let changes: Vec<Value> = claims
                .iter()
                .map(|claim| {
                    json!({ "ref": name(claim), "before": text(claim.before), "after": text(claim.after) })
                })
                .collect();
            (
                "",
                json!({
                    "repository": repository,
                    "actor": { "login": LOGIN, "id": "1" },
                    "changes": changes,
                }),
            )
        }
    }
}
