//! GitHub, and Gogs, Gitea and Forgejo, which speak alike.

use super::values::{self, Id, Moves, read, text};
use super::{Outer, ParseError, Shape, push};
use crate::forge::{Actor, Event, ForgeRepository, Proposal, ProposalState};
use serde::Deserialize;

pub(super) fn shape(outer: &Outer<'_>) -> Option<Shape> {
    let moved = outer.before.is_some() && outer.after.is_some();
    if outer.reference.is_some() && (moved || outer.ref_type.is_some()) {
        Some(Shape::Push)
    } else if outer.merge_group.is_some() || outer.pull_request.is_some() && outer.number.is_some() {
        Some(Shape::Proposal)
    } else if outer.zen.is_some() && outer.hook_id.is_some() {
        Some(Shape::Ping)
    } else {
        None
    }
}

#[derive(Deserialize)]
struct Account {
    id: Option<Id>,
    login: Option<String>,
    username: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Repository {
    id: Option<Id>,
    full_name: Option<String>,
    name: Option<String>,
    owner: Option<Account>,
}

pub(super) fn repository(outer: &Outer<'_>) -> Result<ForgeRepository, ParseError> {
    let found: Repository = read(outer.repository, "repository")?;
    let spelled = || {
        let owner = found.owner.as_ref()?;
        let owner = owner.login.as_ref().or(owner.username.as_ref())?;
        Some(format!("{owner}/{}", found.name.as_ref()?))
    };
    let path = found.full_name.clone().or_else(spelled);
    values::repository(found.id.as_ref(), path).ok_or(ParseError::Field("repository"))
}

/// `pusher` has the name only, `sender` the number, too. Where they are not the same account, nobody knows.
fn github_actor(outer: &Outer<'_>) -> Option<Actor> {
    let account = |raw| read::<Account>(raw, "account").ok();
    let pusher = account(outer.pusher).and_then(|account| account.name);
    let Some(sender) = account(outer.sender) else {
        return if outer.sender.is_none() { values::actor(pusher, None) } else { None };
    };
    let same = outer.pusher.is_none() || pusher == sender.login;
    if same { values::actor(sender.login, sender.id.as_ref()) } else { None }
}

/// `pusher` and `sender` are both whole accounts.
fn gitea_actor(outer: &Outer<'_>) -> Option<Actor> {
    let account = |raw| {
        let account = read::<Account>(raw, "account").ok()?;
        values::actor(account.login.or(account.username), account.id.as_ref())
    };
    match (outer.pusher, outer.sender) {
        (None, raw) | (raw, None) => account(raw),
        (pusher, sender) => account(pusher).filter(|pusher| Some(pusher) == account(sender).as_ref()),
    }
}

pub(super) fn github_push(outer: &Outer<'_>) -> Result<Event, ParseError> {
    Ok(push(repository(outer)?, moves(outer), github_actor(outer)))
}

pub(super) fn gitea_push(outer: &Outer<'_>) -> Result<Event, ParseError> {
    Ok(push(repository(outer)?, moves(outer), gitea_actor(outer)))
}

/// Of a push both ids are told. Of a branch or tag that was made or went away at most the new one: without
/// any, the delivery only says that something moved there.
fn moves(outer: &Outer<'_>) -> Moves {
    let Some(kind) = outer.ref_type.filter(|_| outer.before.is_none() || outer.after.is_none()) else {
        return Moves::of(values::full_claim(outer.reference, outer.before, outer.after));
    };
    let made = || {
        let name = text(outer.reference).ok_or("a ref whose name is not a text")?;
        let reference = values::short(text(Some(kind)).as_deref(), &name)?;
        let Some(sha) = outer.sha else { return Ok(None) };
        let after = values::object(&text(Some(sha)).ok_or("a new id that is not a text")?)?;
        if after.is_none() { Ok(None) } else { values::claim(reference, None, after) }
    };
    Moves::of(made())
}

#[derive(Deserialize)]
struct PullRequest {
    head: Option<Side>,
    base: Option<Side>,
    head_branch: Option<String>,
    base_branch: Option<String>,
    head_repo: Option<Identified>,
    base_repo: Option<Identified>,
}

#[derive(Deserialize)]
struct Side {
    #[serde(rename = "ref")]
    reference: Option<String>,
    sha: Option<String>,
    repo_id: Option<Id>,
    repo: Option<Identified>,
}

#[derive(Deserialize)]
struct Identified {
    id: Option<Id>,
}

#[derive(Deserialize)]
struct MergeGroup {
    head_sha: String,
    head_ref: String,
    base_ref: String,
}

/// `None` where nothing of interest happened to it.
pub(super) fn proposal(outer: &Outer<'_>) -> Result<Option<Proposal>, ParseError> {
    let action = text(outer.action).unwrap_or_default();
    if outer.merge_group.is_some() {
        return merge_group(outer, &action);
    }
    let state = match action.as_str() {
        "opened" | "reopened" | "edited" | "synchronize" | "synchronized" | "ready_for_review" => {
            ProposalState::Open
        }
        "closed" => ProposalState::Closed,
        _ => return Ok(None),
    };
    let number = read(outer.number, "number")?;
    let repository = repository(outer)?;
    let found: PullRequest = read(outer.pull_request, "pull_request")?;
    let id = |side: &Option<Side>, old: &Option<Identified>| {
        let inside = side.as_ref().and_then(|side| {
            side.repo_id.as_ref().or(side.repo.as_ref().and_then(|repo| repo.id.as_ref())).and_then(Id::plain)
        });
        inside.or_else(|| old.as_ref()?.id.as_ref()?.plain())
    };
    let base_id = id(&found.base, &found.base_repo).unwrap_or_else(|| repository.id.clone());
    if base_id != repository.id {
        return Err(ParseError::Field("pull_request.base"));
    }
    let same = id(&found.head, &found.head_repo).is_some_and(|head| head == repository.id);
    let name = |side: &Option<Side>| side.as_ref().and_then(|side| side.reference.clone());
    let target = name(&found.base).or(found.base_branch).ok_or(ParseError::Field("pull_request.base"))?;
    let target = values::branch(&target).map_err(|_| ParseError::Field("pull_request.base"))?;
    let source = name(&found.head).or(found.head_branch).filter(|_| same);
    let head = match found.head.and_then(|side| side.sha).filter(|sha| !sha.is_empty()) {
        Some(sha) => values::object(&sha).map_err(|_| ParseError::Field("pull_request.head"))?,
        None => None,
    };
    let source = source.and_then(|name| values::branch(&name).ok());
    Ok(Some(Proposal { repository, number, state, head, source, target }))
}

/// What a merge queue is about to put upon a branch.
fn merge_group(outer: &Outer<'_>, action: &str) -> Result<Option<Proposal>, ParseError> {
    const FIELD: &str = "merge_group";
    let state = match action {
        "checks_requested" => ProposalState::Open,
        "destroyed" => ProposalState::Closed,
        _ => return Ok(None),
    };
    let found: MergeGroup = read(outer.merge_group, FIELD)?;
    let name = |name: &str| values::full(name).map_err(|_| ParseError::Field(FIELD));
    let head = values::object(&found.head_sha).map_err(|_| ParseError::Field(FIELD))?;
    // gh-readonly-queue/<target>/pr-<number>-<base>
    let number = found.head_ref.rsplit('/').next().and_then(|last| {
        let digits = last.strip_prefix("pr-")?.split('-').next()?;
        digits.parse().ok()
    });
    Ok(Some(Proposal {
        repository: repository(outer)?,
        number: number.unwrap_or(0),
        state,
        head,
        source: Some(name(&found.head_ref)?),
        target: name(&found.base_ref)?,
    }))
}
