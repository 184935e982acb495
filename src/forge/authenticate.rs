//! Whether a delivery is what the forge sent: over its raw bytes, in constant time, before anything of it is
//! understood.

use super::{ForgeKind, HeaderError, Headers, Secret, Secrets, form};
use crate::domain::{Timestamp, text};
use data_encoding::{BASE64, HEXLOWER};
use ring::{digest, hmac};
use std::borrow::Cow;

/// How far the signed time of a delivery may lie from ours, in seconds, in either direction.
pub const TOLERANCE: i64 = 300;

/// The most entries of `webhook-signature` that are looked at: old and new key, with room.
const MOST_SIGNATURES: usize = 8;

/// The longest delivery id or event name that any forge sends, in bytes, with room.
const LONGEST_NAME: usize = 256;

/// A delivery of which it is proven that somebody who has the secret made it. Only [`authenticate`] makes
/// one.
#[derive(Clone, Debug)]
pub struct Authentic<'a> {
    forge: ForgeKind,
    payload: Cow<'a, [u8]>,
    event: Option<String>,
    delivery: Option<String>,
    digest: [u8; 32],
    signed: bool,
}

impl Authentic<'_> {
    /// The kind of forge that was expected, and that it came from.
    pub fn forge(&self) -> ForgeKind {
        self.forge
    }

    /// The JSON.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// What the header calls the event. Signed by no forge.
    pub fn event(&self) -> Option<&str> {
        self.event.as_deref()
    }

    /// The delivery's id. Whether it is signed says [`Authentic::is_signed`].
    pub fn delivery(&self) -> Option<&str> {
        self.delivery.as_deref()
    }

    /// SHA-256 of the bytes that the secret vouches for: the raw body, or the JSON in it where a forge signs
    /// that, so that the same message in another wrapping has the same one.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Whether id and time of the delivery were signed along with the body.
    pub fn is_signed(&self) -> bool {
        self.signed
    }
}

/// Why a delivery is not believed. Names headers, never their values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is nothing to authenticate with.
    #[error("the source has no secret for this")]
    NoSecret,
    /// The header that has to be there is not.
    #[error("the header {0} is missing")]
    Missing(&'static str),
    /// A header that another kind of forge sends.
    #[error("the headers {0}* are not sent by this kind of forge")]
    Foreign(&'static str),
    /// A header that is there twice, or is not text.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Not exactly the form that the forge writes.
    #[error("the header {0} has not its exact form")]
    Form(&'static str),
    /// SHA-1 proves nothing any more.
    #[error("the only signature is one with SHA-1")]
    OnlySha1,
    /// The signature, or the token, is not by any of the secrets.
    #[error("the header {0} does not match")]
    Mismatch(&'static str),
    /// Two headers say different things where they must say the same.
    #[error("the header {0} differs from its like")]
    Disagree(&'static str),
    /// Signed long ago, or by a clock that goes wrong.
    #[error("it was signed {0} seconds away from now")]
    Time(i64),
    /// Neither JSON nor a form.
    #[error("the content type `{0}` is not taken")]
    ContentType(String),
    /// The form is not one field `payload`.
    #[error("the form is not one field `payload`")]
    NotForm,
}

/// Families of headers, each with the kinds of forges that send it.
const FAMILIES: &[(&str, &[ForgeKind])] = &[
    ("x-forgejo-", &[ForgeKind::Forgejo]),
    ("x-gitea-", &[ForgeKind::Gitea, ForgeKind::Forgejo]),
    ("x-gogs-", &[ForgeKind::Gogs, ForgeKind::Gitea, ForgeKind::Forgejo]),
    ("x-github-", &[ForgeKind::GitHub, ForgeKind::Gogs, ForgeKind::Gitea, ForgeKind::Forgejo]),
    (
        "x-hub-",
        &[
            ForgeKind::GitHub,
            ForgeKind::Gitea,
            ForgeKind::Forgejo,
            ForgeKind::BitbucketCloud,
            ForgeKind::BitbucketDc,
        ],
    ),
    ("x-gitlab-", &[ForgeKind::GitLab]),
    ("webhook-", &[ForgeKind::GitLab, ForgeKind::Generic]),
    ("x-event-key", &[ForgeKind::BitbucketCloud, ForgeKind::BitbucketDc]),
    ("x-hook-uuid", &[ForgeKind::BitbucketCloud]),
];

/// Believes a delivery, or says why not.
///
/// `body` is what came over the wire, `now` when. Every signature that is there must verify, by the same
/// secret: a delivery that is right by one header and wrong by another is not taken by either.
///
/// # Errors
/// See [`AuthError`]. Nothing about the content of the body is checked here.
pub fn authenticate<'a>(
    forge: ForgeKind,
    secrets: &Secrets,
    headers: &Headers,
    body: &'a [u8],
    now: Timestamp,
) -> Result<Authentic<'a>, AuthError> {
    for (family, kinds) in FAMILIES {
        if !kinds.contains(&forge) && headers.any(family) {
            return Err(AuthError::Foreign(family));
        }
    }
    let form = is_form(headers)?;
    if form && !matches!(forge, ForgeKind::GitHub | ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::Gogs) {
        return Err(AuthError::ContentType(FORM.to_owned()));
    }
    // Gitea and its kin sign the JSON that is in the form, GitHub the form.
    let inner = form && forge != ForgeKind::GitHub;
    let vouched =
        if inner { Cow::Owned(form::payload(body).ok_or(AuthError::NotForm)?) } else { Cow::Borrowed(body) };
    let (delivery, signed) = match forge {
        ForgeKind::GitHub => {
            by_hmac(secrets, headers, &vouched, HUB256, &[(HUB256, Shape::Prefixed), (HUB, Shape::Sha1)])?;
            (same(headers, &["x-github-delivery"])?, false)
        }
        ForgeKind::Gitea => {
            by_hmac(secrets, headers, &vouched, "x-gitea-signature", KIN)?;
            (same(headers, &["x-gitea-delivery", "x-gogs-delivery", "x-github-delivery"])?, false)
        }
        ForgeKind::Forgejo => {
            by_hmac(secrets, headers, &vouched, "x-forgejo-signature", KIN)?;
            let names = &["x-forgejo-delivery", "x-gitea-delivery", "x-gogs-delivery", "x-github-delivery"];
            (same(headers, names)?, false)
        }
        ForgeKind::Gogs => {
            by_hmac(secrets, headers, &vouched, "x-gogs-signature", KIN)?;
            (same(headers, &["x-gogs-delivery", "x-github-delivery"])?, false)
        }
        ForgeKind::BitbucketCloud => {
            by_hmac(secrets, headers, &vouched, HUB, &[(HUB, Shape::Prefixed), (HUB256, Shape::Prefixed)])?;
            (same(headers, &["x-request-uuid"])?, false)
        }
        ForgeKind::BitbucketDc => {
            by_hmac(secrets, headers, &vouched, HUB, &[(HUB, Shape::Prefixed), (HUB256, Shape::Prefixed)])?;
            (same(headers, &["x-request-id"])?, false)
        }
        ForgeKind::GitLab => gitlab(secrets, headers, body, now)?,
        ForgeKind::Generic => (Some(standard(secrets, headers, body, now)?), true),
    };
    let digest = sha256(&vouched);
    let payload = match form && !inner {
        true => Cow::Owned(form::payload(body).ok_or(AuthError::NotForm)?),
        false => vouched,
    };
    let event = same(headers, event_headers(forge))?;
    Ok(Authentic { forge, payload, event, delivery, digest, signed })
}

const HUB256: &str = "x-hub-signature-256";
const HUB: &str = "x-hub-signature";
const FORM: &str = "application/x-www-form-urlencoded";

/// What Gitea, Forgejo and Gogs send, the first ones with the families of those before them.
const KIN: &[(&str, Shape)] = &[
    ("x-forgejo-signature", Shape::Bare),
    ("x-gitea-signature", Shape::Bare),
    ("x-gogs-signature", Shape::Bare),
    (HUB256, Shape::Prefixed),
    (HUB, Shape::Sha1),
];

/// How a signature is written; in lower-case hexadecimal always.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// SHA-256, alone.
    Bare,
    /// SHA-256 after `sha256=`.
    Prefixed,
    /// SHA-1 after `sha1=`: proves nothing, and must not contradict.
    Sha1,
}

impl Shape {
    fn read(self, value: &str) -> Option<Vec<u8>> {
        let (prefix, bytes) = match self {
            Shape::Bare => ("", 32),
            Shape::Prefixed => ("sha256=", 32),
            Shape::Sha1 => ("sha1=", 20),
        };
        let hex = value.strip_prefix(prefix)?;
        (hex.len() == 2 * bytes).then(|| HEXLOWER.decode(hex.as_bytes()).ok())?
    }
}

fn by_hmac(
    secrets: &Secrets,
    headers: &Headers,
    bytes: &[u8],
    needed: &'static str,
    all: &[(&'static str, Shape)],
) -> Result<(), AuthError> {
    if secrets.hmac.is_empty() {
        return Err(AuthError::NoSecret);
    }
    let mut present = Vec::new();
    for (name, shape) in all {
        if let Some(value) = headers.one(name)? {
            present.push((*name, *shape, shape.read(value).ok_or(AuthError::Form(name))?));
        }
    }
    if !present.iter().any(|(name, ..)| *name == needed) {
        let only_sha1 = present.iter().any(|(_, shape, _)| *shape == Shape::Sha1);
        return Err(if only_sha1 { AuthError::OnlySha1 } else { AuthError::Missing(needed) });
    }
    // Of the secret that did best, the header that failed is told: most say that all of them did.
    let mut failed = None;
    for secret in &secrets.hmac {
        let tag = |algorithm| hmac::sign(&hmac::Key::new(algorithm, secret.expose()), bytes);
        let (sha256, mut sha1) = (tag(hmac::HMAC_SHA256), None);
        let wrong = present.iter().position(|(_, shape, signature)| {
            let right = match shape {
                Shape::Sha1 => *sha1.get_or_insert_with(|| tag(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY)),
                Shape::Bare | Shape::Prefixed => sha256,
            };
            !is_same(right.as_ref(), signature)
        });
        match wrong {
            None => return Ok(()),
            Some(at) => failed = failed.max(Some(at)),
        }
    }
    Err(AuthError::Mismatch(failed.and_then(|at| present.get(at)).map_or(needed, |(name, ..)| name)))
}

fn gitlab(
    secrets: &Secrets,
    headers: &Headers,
    body: &[u8],
    now: Timestamp,
) -> Result<(Option<String>, bool), AuthError> {
    const TOKEN: &str = "x-gitlab-token";
    let token = headers.one(TOKEN)?;
    // Once the forge signs, the token alone counts for nothing: no falling back.
    let signs = headers.one(SIGNATURE)?.is_some();
    let id = if signs { Some(standard(secrets, headers, body, now)?) } else { None };
    match token {
        Some(token) if !secrets.tokens.is_empty() => {
            if !is_token(&secrets.tokens, token.as_bytes()) {
                return Err(AuthError::Mismatch(TOKEN));
            }
        }
        // The signature has been verified, and there is nothing to compare the token with.
        _ if signs => {}
        _ if secrets.is_empty() => return Err(AuthError::NoSecret),
        _ if secrets.tokens.is_empty() => return Err(AuthError::Missing(SIGNATURE)),
        _ => return Err(AuthError::Missing(TOKEN)),
    }
    match id {
        Some(id) => match headers.one("idempotency-key")? {
            Some(key) if key != id => Err(AuthError::Disagree("idempotency-key")),
            _ => Ok((Some(id), true)),
        },
        // The UUIDs that it sends besides are the hook's, and one that chained events share.
        None => Ok((same(headers, &["idempotency-key", "webhook-id"])?, false)),
    }
}

/// Every one is tried, so that the time does not tell which it was.
fn is_token(tokens: &[Secret], given: &[u8]) -> bool {
    tokens.iter().filter(|token| is_same(token.expose(), given)).count() > 0
}

const SIGNATURE: &str = "webhook-signature";

/// Standard Webhooks: gives the signed id.
fn standard(secrets: &Secrets, headers: &Headers, body: &[u8], now: Timestamp) -> Result<String, AuthError> {
    let value = |name| headers.one(name)?.ok_or(AuthError::Missing(name));
    if secrets.signing.is_empty() {
        return Err(AuthError::NoSecret);
    }
    let signatures = value(SIGNATURE)?;
    let id = value("webhook-id")?;
    // With a dot in it, the signed text could be cut into its parts in two ways.
    if id.is_empty() || id.len() > LONGEST_NAME || id.contains(['.', ' ']) {
        return Err(AuthError::Form("webhook-id"));
    }
    let time = value("webhook-timestamp")?;
    let digits = (1..=12).contains(&time.len()) && time.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = time.parse::<i64>().ok().filter(|_| digits).ok_or(AuthError::Form("webhook-timestamp"))?;
    let mut given = Vec::new();
    for entry in signatures.split(' ') {
        match entry.split_once(',') {
            Some(("v1", base64)) => {
                let signature = BASE64.decode(base64.as_bytes()).ok().filter(|bytes| bytes.len() == 32);
                given.push(signature.ok_or(AuthError::Form(SIGNATURE))?);
            }
            // A version of the future, or `v1a`, whose keys we have not.
            Some((version, _)) if !version.is_empty() => {}
            _ => return Err(AuthError::Form(SIGNATURE)),
        }
    }
    if given.is_empty() || given.len() > MOST_SIGNATURES {
        return Err(AuthError::Form(SIGNATURE));
    }
    let verifies = secrets.signing.iter().any(|secret| {
        let mut right = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret.expose()));
        for part in [id.as_bytes(), b".", time.as_bytes(), b".", body] {
            right.update(part);
        }
        let right = right.sign();
        given.iter().any(|one| is_same(right.as_ref(), one))
    });
    if !verifies {
        return Err(AuthError::Mismatch(SIGNATURE));
    }
    let away = now.as_second() - seconds;
    if away.abs() > TOLERANCE {
        return Err(AuthError::Time(away));
    }
    Ok(id.to_owned())
}

/// Compares in constant time, and tells nothing of where they differ: by way of HMACs of both.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"countersign: comparing");
    hmac::verify(&key, one, hmac::sign(&key, other).as_ref()).is_ok()
}

fn is_form(headers: &Headers) -> Result<bool, AuthError> {
    let Some(value) = headers.one("content-type")? else { return Ok(false) };
    let essence = value.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        Ok(false)
    } else if essence.eq_ignore_ascii_case(FORM) {
        Ok(true)
    } else {
        Err(AuthError::ContentType(text::escape_short(essence.as_bytes(), 64)))
    }
}

/// The headers that name the event; all that are there must name the same.
const fn event_headers(forge: ForgeKind) -> &'static [&'static str] {
    match forge {
        ForgeKind::GitHub => &["x-github-event"],
        ForgeKind::GitLab => &["x-gitlab-event"],
        ForgeKind::Gitea => &["x-gitea-event", "x-gogs-event", "x-github-event"],
        ForgeKind::Forgejo => &["x-forgejo-event", "x-gitea-event", "x-gogs-event", "x-github-event"],
        ForgeKind::Gogs => &["x-gogs-event", "x-github-event"],
        ForgeKind::BitbucketCloud | ForgeKind::BitbucketDc => &["x-event-key"],
        ForgeKind::Generic => &[],
    }
}

/// The one value of headers that repeat each other.
fn same(headers: &Headers, names: &[&'static str]) -> Result<Option<String>, AuthError> {
    let mut found: Option<&str> = None;
    for name in names {
        let Some(value) = headers.one(name)? else { continue };
        if value.is_empty() || value.len() > LONGEST_NAME {
            return Err(AuthError::Form(name));
        }
        match found {
            Some(first) if first != value => return Err(AuthError::Disagree(name)),
            _ => found = Some(value),
        }
    }
    Ok(found.map(str::to_owned))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}
