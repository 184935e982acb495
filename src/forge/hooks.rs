//! Webhooks at the forge: which there are, making one, changing it, and what was delivered.

use super::call::{call, escape_segment, repository_path};
use super::{ApiToken, Call, CallError, ForgeKind, Method, Reply, Secret, SecretKind};
use crate::domain::text;
use serde_json::{Value, json};

/// A webhook as the forge lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its id there, for [`update_hook`] and [`deliveries`].
    pub id: String,
    /// Where it sends to; not escaped.
    pub url: String,
}

/// Which page of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// How many pages there are before it.
    pub number: usize,
    /// How many webhooks they have.
    pub before: usize,
}

/// A page of webhooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Those that have an address.
    pub hooks: Vec<Hook>,
    /// How many there are on the page with the others.
    pub count: usize,
    /// Whether the forge says that it is the last one. An empty page is the last one of every forge.
    pub last: bool,
}

/// A webhook as it is to be.
#[derive(Clone, Debug)]
pub struct NewHook {
    /// Where it is to send to: our own public address, from the configuration.
    pub url: String,
    /// The newest secret, as it is configured.
    pub secret: Secret,
    /// What is done with it.
    pub kind: SecretKind,
}

/// Why an answer about webhooks cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// The forge said no, in its own words.
    #[error("the forge answered {0}: {1}")]
    Refused(u16, String),
    /// Not the JSON that it has to be.
    #[error("the forge's answer is not understood")]
    Reply,
}

fn hooks_path(forge: ForgeKind, repository: &str) -> Result<String, CallError> {
    let base = repository_path(forge, repository)?;
    match forge {
        ForgeKind::Generic => Err(CallError::Unsupported(forge)),
        ForgeKind::BitbucketDc => Ok(format!("{base}/webhooks")),
        _ => Ok(format!("{base}/hooks")),
    }
}

/// Lists the webhooks of a repository: one page of up to a hundred. Which one is said by a number of ours, whatever
/// links the page before had (N31).
///
/// # Errors
/// A name that is none of this forge; the generic kind has no API.
pub fn list_hooks(
    forge: ForgeKind,
    repository: &str,
    page: Page,
    token: &ApiToken,
) -> Result<Call, CallError> {
    let size = match forge {
        ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::Gogs => "limit=100",
        ForgeKind::BitbucketCloud => "pagelen=100",
        ForgeKind::BitbucketDc => "limit=100",
        _ => "per_page=100",
    };
    let which = match (page.number, forge) {
        (0, _) => String::new(),
        (_, ForgeKind::BitbucketDc) => format!("&start={}", page.before),
        (number, _) => format!("&page={}", number + 1),
    };
    let path = format!("{}?{size}{which}", hooks_path(forge, repository)?);
    call(forge, Method::Get, path, token, None)
}

/// Makes a webhook that sends what [`parse`](super::parse()) understands.
///
/// # Errors
/// As [`list_hooks`].
pub fn create_hook(
    forge: ForgeKind,
    repository: &str,
    hook: &NewHook,
    token: &ApiToken,
) -> Result<Call, CallError> {
    let path = hooks_path(forge, repository)?;
    call(forge, Method::Post, path, token, Some(wanted(forge, hook)?))
}

/// Makes the webhook `id` the one that is wanted: another address, another secret, the events of this
/// version.
///
/// # Errors
/// As [`list_hooks`].
pub fn update_hook(
    forge: ForgeKind,
    repository: &str,
    id: &str,
    hook: &NewHook,
    token: &ApiToken,
) -> Result<Call, CallError> {
    let path = format!("{}/{}", hooks_path(forge, repository)?, escape_segment(id));
    let method = match forge {
        ForgeKind::GitLab | ForgeKind::BitbucketCloud | ForgeKind::BitbucketDc => Method::Put,
        _ => Method::Patch,
    };
    call(forge, method, path, token, Some(wanted(forge, hook)?))
}

/// The events to subscribe to, as the forge's pages and API name them; for those who have to enter them.
pub const fn hook_events(forge: ForgeKind) -> &'static [&'static str] {
    match forge {
        ForgeKind::GitHub => &["push", "create", "delete", "pull_request"],
        ForgeKind::Gitea | ForgeKind::Forgejo => {
            &["push", "create", "delete", "pull_request", "pull_request_sync"]
        }
        ForgeKind::Gogs => &["push", "create", "delete", "pull_request"],
        ForgeKind::GitLab => &["push_events", "tag_push_events", "merge_requests_events"],
        ForgeKind::BitbucketCloud => &[
            "repo:push",
            "pullrequest:created",
            "pullrequest:updated",
            "pullrequest:fulfilled",
            "pullrequest:rejected",
        ],
        ForgeKind::BitbucketDc => &[
            "repo:refs_changed",
            "pr:opened",
            "pr:from_ref_updated",
            "pr:modified",
            "pr:merged",
            "pr:declined",
            "pr:deleted",
        ],
        ForgeKind::Generic => &[],
    }
}

fn wanted(forge: ForgeKind, hook: &NewHook) -> Result<Value, CallError> {
    // A secret that is no text cannot be entered anywhere, so it was not meant for this.
    let secret = std::str::from_utf8(hook.secret.expose()).map_err(|_| CallError::Token)?;
    let (url, events) = (&hook.url, hook_events(forge));
    Ok(match forge {
        ForgeKind::GitHub => json!({
            "name": "web",
            "active": true,
            "events": events,
            "config": { "url": url, "content_type": "json", "secret": secret, "insecure_ssl": "0" },
        }),
        ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::Gogs => json!({
            "type": forge.name(),
            "active": true,
            "events": events,
            "config": { "url": url, "content_type": "json", "secret": secret },
        }),
        ForgeKind::GitLab => {
            let mut body = json!({ "url": url, "enable_ssl_verification": true });
            for event in events {
                body[*event] = json!(true);
            }
            let field = if hook.kind == SecretKind::Signing { "signing_token" } else { "token" };
            body[field] = json!(secret);
            body
        }
        ForgeKind::BitbucketCloud => json!({
            "description": "countersign",
            "url": url,
            "active": true,
            "secret": secret,
            "events": events,
        }),
        ForgeKind::BitbucketDc => json!({
            "name": "countersign",
            "url": url,
            "active": true,
            "events": events,
            "configuration": { "secret": secret },
            "sslVerificationRequired": true,
        }),
        ForgeKind::Generic => return Err(CallError::Unsupported(forge)),
    })
}

fn body(reply: &Reply) -> Result<Value, HookError> {
    if !(200..300).contains(&reply.status) {
        return Err(HookError::Refused(reply.status, text::escape_short(&reply.body, 200)));
    }
    serde_json::from_slice(&reply.body).map_err(|_| HookError::Reply)
}

/// A number or a text, as text.
fn plain(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn hook(value: &Value) -> Option<Hook> {
    let id = plain(value.get("id").or_else(|| value.get("uuid")))?;
    let url = value.get("url").filter(|url| url.is_string() && value.get("config").is_none());
    let url = plain(value.pointer("/config/url").or(url))?;
    Some(Hook { id, url })
}

/// Reads the answer to [`list_hooks`]. A hook of a kind that has no address is passed over.
///
/// # Errors
/// A refusal, or no list.
pub fn read_hooks(reply: &Reply) -> Result<Hooks, HookError> {
    let body = body(reply)?;
    let list = body.as_array().or_else(|| body.get("values")?.as_array()).ok_or(HookError::Reply)?;
    // Bitbucket says it in either of two ways. How many the others put on a page is for their administrators to say.
    let last = body.get("isLastPage").map_or_else(
        || body.is_object() && body.get("next").is_none(),
        |last| last.as_bool().unwrap_or(false),
    );
    Ok(Hooks {
        hooks: list.iter().filter_map(hook).collect(),
        count: list.len(),
        last: last || list.is_empty(),
    })
}

/// Reads the answer to [`create_hook`] and [`update_hook`].
///
/// # Errors
/// A refusal, or no webhook.
pub fn read_hook(reply: &Reply) -> Result<Hook, HookError> {
    hook(&body(reply)?).ok_or(HookError::Reply)
}

/// A delivery as the forge lists it. All texts are the forge's, not escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The number of this attempt, for [`redeliver`].
    pub number: u64,
    /// The id that was sent along; every attempt has the same one.
    pub delivery: String,
    /// When, as the forge writes it; empty where it does not.
    pub at: String,
    /// The event.
    pub event: String,
    /// What we answered; 0 where it did not get here.
    pub status: u16,
}

/// Whether the forge documents how to have a delivery sent once more.
pub const fn can_redeliver(forge: ForgeKind) -> bool {
    matches!(forge, ForgeKind::GitHub | ForgeKind::GitLab)
}

fn deliveries_path(forge: ForgeKind, repository: &str, hook: &str) -> Result<String, CallError> {
    let hook = format!("{}/{}", hooks_path(forge, repository)?, escape_segment(hook));
    match forge {
        ForgeKind::GitHub => Ok(format!("{hook}/deliveries")),
        ForgeKind::GitLab => Ok(format!("{hook}/events")),
        _ => Err(CallError::Unsupported(forge)),
    }
}

/// Lists deliveries of a webhook, newest first; pages count from one, and there is an end to them. GitHub has one of a
/// hundred: the next has a name that only a header tells. GitLab has the bodies in its list, so few are asked for.
///
/// # Errors
/// A forge that has no such call.
pub fn deliveries(
    forge: ForgeKind,
    repository: &str,
    hook: &str,
    page: u32,
    token: &ApiToken,
) -> Result<Option<Call>, CallError> {
    let path = deliveries_path(forge, repository, hook)?;
    let path = match (forge, page) {
        (ForgeKind::GitHub, 1) => format!("{path}?per_page=100"),
        (ForgeKind::GitHub, _) => return Ok(None),
        _ => format!("{path}?per_page=20&page={page}"),
    };
    call(forge, Method::Get, path, token, None).map(Some)
}

/// Has a delivery sent once more: GitHub for three days, GitLab for seven.
///
/// # Errors
/// A forge that has no such call.
pub fn redeliver(
    forge: ForgeKind,
    repository: &str,
    hook: &str,
    number: u64,
    token: &ApiToken,
) -> Result<Call, CallError> {
    let verb = if forge == ForgeKind::GitLab { "resend" } else { "attempts" };
    let path = format!("{}/{number}/{verb}", deliveries_path(forge, repository, hook)?);
    call(forge, Method::Post, path, token, None)
}

/// Reads the answer to [`redeliver`].
///
/// # Errors
/// A refusal.
pub fn read_redelivered(reply: &Reply) -> Result<(), HookError> {
    match reply.status {
        200..=299 => Ok(()),
        status => Err(HookError::Refused(status, text::escape_short(&reply.body, 200))),
    }
}

/// Reads the answer to [`deliveries`].
///
/// # Errors
/// A refusal, or no list.
pub fn read_deliveries(forge: ForgeKind, reply: &Reply) -> Result<Vec<Delivered>, HookError> {
    let body = body(reply)?;
    let read = if forge == ForgeKind::GitLab { event_of_gitlab } else { delivery_of_github };
    body.as_array().ok_or(HookError::Reply)?.iter().map(|value| read(value).ok_or(HookError::Reply)).collect()
}

fn delivery_of_github(value: &Value) -> Option<Delivered> {
    let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
    Some(Delivered {
        number: value.get("id")?.as_u64()?,
        delivery: text("guid")?,
        at: text("delivered_at")?,
        event: text("event")?,
        status: value.get("status_code")?.as_u64()?.try_into().ok()?,
    })
}

fn event_of_gitlab(value: &Value) -> Option<Delivered> {
    let number = value.get("id")?.as_u64()?;
    let sent = |name: &str| value.get("request_headers")?.get(name)?.as_str().map(str::to_owned);
    let same = sent("Idempotency-Key").or_else(|| sent("X-Gitlab-Event-UUID"));
    Some(Delivered {
        number,
        delivery: same.unwrap_or_else(|| number.to_string()),
        at: plain(value.get("created_at")).unwrap_or_default(),
        event: plain(value.get("trigger")).unwrap_or_default(),
        // A number, the same as text, or words where nobody answered.
        status: plain(value.get("response_status"))?.parse().unwrap_or(0),
    })
}

/// Where the forge's pages have webhooks, for those who have no token.
pub const fn hook_page(forge: ForgeKind) -> &'static str {
    match forge {
        ForgeKind::GitHub => "Settings → Webhooks → Add webhook",
        ForgeKind::GitLab => "Settings → Webhooks → Add new webhook",
        ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::Gogs => "Settings → Webhooks → Add Webhook",
        ForgeKind::BitbucketCloud => "Repository settings → Webhooks → Add webhook",
        ForgeKind::BitbucketDc => "Repository settings → Webhooks → Create webhook",
        ForgeKind::Generic => "whatever sends it",
    }
}

/// Of a repository's webhooks the one that sends to `url`. Bitbucket and others may end it in a slash or not.
pub fn hook_for<'a>(hooks: &'a [Hook], url: &str) -> Option<&'a Hook> {
    let bare = |url: &str| url.trim_end_matches('/').to_owned();
    hooks.iter().find(|hook| bare(&hook.url) == bare(url))
}
