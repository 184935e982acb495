//! What a forge is told about a commit.

use super::call::{call, repository_path};
use super::{ApiToken, Call, CallError, ForgeKind, Method, Reply};
use crate::domain::{ObjectId, RefName, text};
use ring::digest;
use serde_json::{Value, json};

/// What a commit's status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Not known yet, or not to be found out at present.
    Pending,
    /// Accepted.
    Success,
    /// Refused.
    Failure,
    /// Could not be judged, and will not be without somebody's help.
    Error,
}

impl State {
    /// Every state.
    pub const ALL: [State; 4] = [State::Pending, State::Success, State::Failure, State::Error];

    /// The word in the store and in records.
    pub const fn name(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Success => "success",
            State::Failure => "failure",
            State::Error => "error",
        }
    }

    /// Reads the word.
    pub fn parse(name: &str) -> Option<Self> {
        State::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// One status of a commit. For each context the newest counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Of which commit.
    pub commit: ObjectId,
    /// Whose, and about which target: see [`context`].
    pub context: String,
    /// What.
    pub state: State,
    /// For people; escaped and cut by [`status`].
    pub description: String,
    /// Where more is to be read: made of the configuration alone.
    pub link: Option<String>,
    /// The target.
    pub reference: RefName,
    /// The ref whose tip the commit is, where that is known: what was pushed, or the branch that a proposal
    /// comes from. GitLab and Bitbucket show a status there.
    pub branch: Option<RefName>,
}

const PREFIX: &str = "countersign/";

/// Digits of the digest that stands for what a context cannot hold.
const DIGITS: usize = 20;

/// The context of a target (N28): `countersign/refs/heads/main`.
///
/// Two refs never have the same one, whatever the forge does with case, accents and length: a name that is
/// too long, or has anything but plain lower-case ASCII, ends in `~` and digits of its SHA-256. No ref's name
/// has a `~`.
pub fn context(forge: ForgeKind, reference: &RefName) -> String {
    let bytes = reference.as_bytes();
    // What is written in one way only by every reader.
    let plain = bytes.iter().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase());
    let shown = text::escape(bytes);
    let longest = longest_context(forge) - PREFIX.len();
    if plain && shown.len() <= longest {
        return format!("{PREFIX}{shown}");
    }
    let digest = data_encoding::HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref());
    format!("{PREFIX}{}~{}", start(&shown, longest - 1 - DIGITS), &digest[..DIGITS])
}

/// The longest context, in bytes.
const fn longest_context(forge: ForgeKind) -> usize {
    match forge {
        ForgeKind::BitbucketCloud => 40,
        _ => 255,
    }
}

/// The longest description, in characters.
const fn longest_description(forge: ForgeKind) -> usize {
    match forge {
        ForgeKind::GitHub => 140,
        _ => 255,
    }
}

/// At most `bytes` of the start of a text, whole characters.
fn start(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The description as it is sent: escaped, and cut to what the forge takes.
pub(super) fn description(forge: ForgeKind, given: &str) -> String {
    text::escape_short(given.as_bytes(), longest_description(forge) - 1)
}

/// The call that sets a commit's status. `repository` is the configured name.
///
/// # Errors
/// The name is not one of this forge; there is no such call (Gogs); a link is needed (both Bitbuckets).
pub fn status(
    forge: ForgeKind,
    repository: &str,
    status: &Status,
    token: &ApiToken,
) -> Result<Call, CallError> {
    let base = repository_path(forge, repository)?;
    let (commit, context) = (status.commit, &status.context);
    let description = description(forge, &status.description);
    let link = || status.link.as_ref().ok_or(CallError::Link(forge));
    let short = || {
        let bytes = status.branch.as_ref().and_then(|name| name.branch().or(name.tag()))?;
        std::str::from_utf8(bytes).ok()
    };
    let (path, body) = match forge {
        ForgeKind::GitHub | ForgeKind::Gitea | ForgeKind::Forgejo => (
            format!("{base}/statuses/{commit}"),
            json!({
                "state": status.state.name(),
                "context": context,
                "description": description,
                "target_url": status.link,
            }),
        ),
        ForgeKind::Gogs => return Err(CallError::Unsupported(forge)),
        ForgeKind::GitLab => (
            format!("{base}/statuses/{commit}"),
            json!({
                "state": match status.state {
                    State::Pending => "pending",
                    State::Success => "success",
                    State::Failure | State::Error => "failed",
                },
                "name": context,
                "description": description,
                "target_url": status.link,
                "ref": short(),
            }),
        ),
        ForgeKind::BitbucketCloud => (
            format!("{base}/commit/{commit}/statuses/build"),
            json!({
                "key": context,
                "state": bitbucket(status.state),
                "name": full_context(&status.reference),
                "description": description,
                "url": link()?,
                "refname": short(),
            }),
        ),
        ForgeKind::BitbucketDc => (
            format!("{base}/commits/{commit}/builds"),
            json!({
                "key": context,
                "state": bitbucket(status.state),
                "name": full_context(&status.reference),
                "description": description,
                "url": link()?,
                "ref": status.branch.as_ref().and_then(|name| std::str::from_utf8(name.as_bytes()).ok()),
                "parent": "countersign",
            }),
        ),
        ForgeKind::Generic => (
            "/statuses".to_owned(),
            json!({
                "repository": repository,
                "commit": commit.to_string(),
                "ref": status.reference.to_string(),
                "context": context,
                "state": status.state.name(),
                "description": description,
                "link": status.link,
            }),
        ),
    };
    call(forge, Method::Post, path, token, Some(without_nulls(body)))
}

/// Unknown is in progress: Bitbucket has nothing else that blocks and is not final.
const fn bitbucket(state: State) -> &'static str {
    match state {
        State::Pending => "INPROGRESS",
        State::Success => "SUCCESSFUL",
        State::Failure | State::Error => "FAILED",
    }
}

/// For people, so nothing is lost by cutting it.
fn full_context(reference: &RefName) -> String {
    start(&format!("{PREFIX}{reference}"), 255).to_owned()
}

/// The call that makes a check run; GitHub with an App's token only.
///
/// # Errors
/// As [`status`]; every forge but GitHub has none.
pub fn check_run(
    forge: ForgeKind,
    repository: &str,
    status: &Status,
    token: &ApiToken,
) -> Result<Call, CallError> {
    if forge != ForgeKind::GitHub {
        return Err(CallError::Unsupported(forge));
    }
    let path = format!("{}/check-runs", repository_path(forge, repository)?);
    let mut body = run(forge, status);
    body["head_sha"] = json!(status.commit.to_string());
    call(forge, Method::Post, path, token, Some(body))
}

/// The call that changes the check run `id` of the same commit and context.
///
/// # Errors
/// As [`check_run`].
pub fn change_check_run(
    forge: ForgeKind,
    repository: &str,
    id: u64,
    status: &Status,
    token: &ApiToken,
) -> Result<Call, CallError> {
    if forge != ForgeKind::GitHub {
        return Err(CallError::Unsupported(forge));
    }
    let path = format!("{}/check-runs/{id}", repository_path(forge, repository)?);
    call(forge, Method::Patch, path, token, Some(run(forge, status)))
}

/// Where a check run is, and how it ended.
const fn progress(state: State) -> (&'static str, Option<&'static str>) {
    match state {
        State::Pending => ("in_progress", None),
        State::Success => ("completed", Some("success")),
        State::Failure => ("completed", Some("failure")),
        State::Error => ("completed", Some("action_required")),
    }
}

fn run(forge: ForgeKind, status: &Status) -> Value {
    let (progress, conclusion) = progress(status.state);
    without_nulls(json!({
        "name": status.context,
        "status": progress,
        "conclusion": conclusion,
        "details_url": status.link,
        "output": {
            "title": description(forge, &status.description),
            "summary": text::escape_short(status.description.as_bytes(), 4000),
        },
    }))
}

/// Reads the answer to [`check_run`] and [`change_check_run`]: the id of the run, if it shows `state` now. A run
/// that is still green after it was to be opened again is none to go on with.
pub fn read_check_run(reply: &Reply, state: State) -> Option<u64> {
    let body: Value = serde_json::from_slice(&reply.body).ok()?;
    let shown = |name: &str| body.get(name).and_then(Value::as_str);
    let (progress, conclusion) = progress(state);
    let as_asked = shown("status") == Some(progress) && shown("conclusion") == conclusion;
    body.get("id")?.as_u64().filter(|_| as_asked)
}

/// What is not known is left out: some forges take `null` for a value.
pub(super) fn without_nulls(mut body: Value) -> Value {
    if let Value::Object(fields) = &mut body {
        fields.retain(|_, value| !value.is_null());
    }
    body
}
