//! What an authentic delivery says: the fields that are used, and no others.
//!
//! What a delivery is, its body says. The event's name stands in a header that no forge signs, so whoever has
//! caught a delivery can send it again under another name: a body that tells of a push is a push, whatever
//! the header says, and a header that promises more than the body holds is an error.

mod bitbucket;
mod generic;
mod gitlab;
mod hub;
mod values;

use super::{Actor, Authentic, Claim, Event, ForgeKind, ForgeRepository, Push};
use crate::domain::text;
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;
use values::Moves;

/// The most moves of one delivery that are kept. Of more, the refs themselves tell.
pub const MOST_CLAIMS: usize = 4096;

/// Why an authentic delivery is not understood. It never repeats what the body holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not UTF-8.
    #[error("the body is not UTF-8")]
    Encoding,
    /// Not JSON, or not an object.
    #[error("the body is not a JSON object: {what}, line {line}, column {column}")]
    Json {
        /// What is wrong with it.
        what: &'static str,
        /// Where, from 1.
        line: usize,
        /// Where in the line, from 1.
        column: usize,
    },
    /// A field that is used is not what it has to be, is missing, or is there twice.
    #[error("the field `{0}` is missing, there twice, or not what it has to be")]
    Field(&'static str),
    /// The header promises something that the body is not.
    #[error("the header calls it `{0}`, and the body is something else")]
    NotWhatItSays(String),
}

/// Understands a delivery.
///
/// # Errors
/// See [`ParseError`]. A move that cannot be read is none: see [`Push::unreadable`].
pub fn parse(delivery: &Authentic<'_>) -> Result<Event, ParseError> {
    let body = std::str::from_utf8(delivery.payload()).map_err(|_| ParseError::Encoding)?;
    let outer: Outer<'_> = serde_json::from_str(body).map_err(|error| not_json(&error))?;
    let shape = match delivery.forge() {
        ForgeKind::GitHub | ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::Gogs => hub::shape(&outer),
        ForgeKind::GitLab => gitlab::shape(&outer),
        ForgeKind::BitbucketCloud | ForgeKind::BitbucketDc => bitbucket::shape(&outer),
        ForgeKind::Generic => generic::shape(&outer),
    };
    let header = delivery.event();
    let promised = header.and_then(|name| promise(delivery.forge(), name));
    if shape != Some(Shape::Push)
        && let Some(name) = header
        && promised.is_some_and(|promised| Some(promised) != shape)
    {
        return Err(ParseError::NotWhatItSays(text::escape_short(name.as_bytes(), 64)));
    }
    let name = || Event::Ignored(event_name(header, &outer));
    match (delivery.forge(), shape) {
        (ForgeKind::GitHub, Some(Shape::Push)) => hub::github_push(&outer),
        (ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::Gogs, Some(Shape::Push)) => {
            hub::gitea_push(&outer)
        }
        (ForgeKind::GitLab, Some(Shape::Push)) => gitlab::push(&outer),
        (ForgeKind::BitbucketCloud, Some(Shape::Push)) => bitbucket::cloud_push(&outer),
        (ForgeKind::BitbucketDc, Some(Shape::Push)) => bitbucket::dc_push(&outer),
        (ForgeKind::Generic, Some(Shape::Push)) => generic::push(&outer),
        (forge, Some(Shape::Proposal)) => {
            let proposal = match forge {
                ForgeKind::GitHub | ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::Gogs => {
                    hub::proposal(&outer)?
                }
                ForgeKind::GitLab => gitlab::proposal(&outer)?,
                ForgeKind::BitbucketCloud => bitbucket::cloud_proposal(&outer)?,
                ForgeKind::BitbucketDc => bitbucket::dc_proposal(&outer, header)?,
                ForgeKind::Generic => Some(generic::proposal(&outer)?),
            };
            Ok(proposal.map_or_else(name, Event::Proposal))
        }
        (_, Some(Shape::Ping)) => Ok(Event::Ping(hub::repository(&outer).ok())),
        // Our own JSON has no other events, so this is a mistake in it.
        (ForgeKind::Generic, None) => Err(ParseError::Field("changes")),
        (_, None) => Ok(name()),
    }
}

/// What a body can be that is of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Push,
    Proposal,
    Ping,
}

/// What a header promises, if that is of interest.
fn promise(forge: ForgeKind, event: &str) -> Option<Shape> {
    match forge {
        ForgeKind::GitHub | ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::Gogs => match event {
            "push" | "create" | "delete" => Some(Shape::Push),
            "pull_request" => Some(Shape::Proposal),
            "ping" => Some(Shape::Ping),
            _ => None,
        },
        ForgeKind::GitLab => match event {
            "Push Hook" | "Tag Push Hook" => Some(Shape::Push),
            "Merge Request Hook" => Some(Shape::Proposal),
            _ => None,
        },
        ForgeKind::BitbucketCloud => match event {
            "repo:push" => Some(Shape::Push),
            "pullrequest:created"
            | "pullrequest:updated"
            | "pullrequest:fulfilled"
            | "pullrequest:rejected" => Some(Shape::Proposal),
            _ => None,
        },
        ForgeKind::BitbucketDc => match event {
            "repo:refs_changed" => Some(Shape::Push),
            "pr:opened"
            | "pr:modified"
            | "pr:from_ref_updated"
            | "pr:merged"
            | "pr:declined"
            | "pr:deleted" => Some(Shape::Proposal),
            "diagnostics:ping" => Some(Shape::Ping),
            _ => None,
        },
        ForgeKind::Generic => None,
    }
}

/// Every field of the outermost object that is used for any forge, not read yet. One that is there twice is
/// an error; others are passed over, however deep they are.
#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow, rename = "ref")]
    reference: Option<&'a RawValue>,
    ref_type: Option<&'a RawValue>,
    before: Option<&'a RawValue>,
    after: Option<&'a RawValue>,
    sha: Option<&'a RawValue>,
    action: Option<&'a RawValue>,
    number: Option<&'a RawValue>,
    pull_request: Option<&'a RawValue>,
    merge_group: Option<&'a RawValue>,
    repository: Option<&'a RawValue>,
    sender: Option<&'a RawValue>,
    pusher: Option<&'a RawValue>,
    zen: Option<&'a RawValue>,
    hook_id: Option<&'a RawValue>,
    object_kind: Option<&'a RawValue>,
    event_name: Option<&'a RawValue>,
    object_attributes: Option<&'a RawValue>,
    project: Option<&'a RawValue>,
    project_id: Option<&'a RawValue>,
    user_id: Option<&'a RawValue>,
    user_username: Option<&'a RawValue>,
    changes: Option<&'a RawValue>,
    push: Option<&'a RawValue>,
    pullrequest: Option<&'a RawValue>,
    approval: Option<&'a RawValue>,
    changes_request: Option<&'a RawValue>,
    comment: Option<&'a RawValue>,
    actor: Option<&'a RawValue>,
    #[serde(rename = "eventKey")]
    event_key: Option<&'a RawValue>,
    #[serde(rename = "pullRequest")]
    pull_request_dc: Option<&'a RawValue>,
    test: Option<&'a RawValue>,
    ping: Option<&'a RawValue>,
    proposal: Option<&'a RawValue>,
}

fn event_name(header: Option<&str>, outer: &Outer<'_>) -> String {
    let inside = || [outer.event_name, outer.object_kind, outer.event_key].into_iter().find_map(values::text);
    let name = header.map(str::to_owned).or_else(inside).unwrap_or_else(|| "unknown".to_owned());
    text::escape_short(name.as_bytes(), 64)
}

fn not_json(error: &serde_json::Error) -> ParseError {
    let what = match error.classify() {
        Category::Eof => "it ends too early",
        Category::Data => "it is no object, or has a field twice",
        Category::Syntax | Category::Io => "it is malformed",
    };
    ParseError::Json { what, line: error.line(), column: error.column() }
}

fn push(repository: ForgeRepository, moves: Moves, actor: Option<Actor>) -> Event {
    let (claims, unreadable): (Vec<Claim>, Vec<String>) = moves.finish();
    Event::Push(Push { repository, claims, unreadable, actor })
}
