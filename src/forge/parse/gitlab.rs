//! GitLab: hooks of projects and groups, and system hooks, whose bodies are alike.

use super::values::{self, Id, Moves, read, text};
use super::{Outer, ParseError, Shape, push as pushed};
use crate::forge::{Actor, Event, ForgeRepository, Proposal, ProposalState};
use serde::Deserialize;
use serde_json::value::RawValue;

const SEVERAL: &str = "repository_update";

pub(super) fn shape(outer: &Outer<'_>) -> Option<Shape> {
    let named = |name: &str| {
        [outer.object_kind, outer.event_name].into_iter().any(|raw| text(raw).as_deref() == Some(name))
    };
    let moved = outer.reference.is_some() && outer.before.is_some() && outer.after.is_some();
    if moved || named("push") || named("tag_push") || named(SEVERAL) {
        Some(Shape::Push)
    } else if named("merge_request") && outer.object_attributes.is_some() {
        Some(Shape::Proposal)
    } else {
        None
    }
}

#[derive(Deserialize)]
struct Project {
    id: Option<Id>,
    path_with_namespace: Option<String>,
}

fn repository(outer: &Outer<'_>) -> Result<ForgeRepository, ParseError> {
    let project: Project = read(outer.project, "project")?;
    let inside = project.id.as_ref().and_then(Id::plain);
    let outside: Option<Id> = outer.project_id.map(|raw| read(Some(raw), "project_id")).transpose()?;
    if let (Some(inside), Some(outside)) = (&inside, &outside)
        && Some(inside) != outside.plain().as_ref()
    {
        return Err(ParseError::Field("project_id"));
    }
    let id = project.id.as_ref().or(outside.as_ref());
    values::repository(id, project.path_with_namespace).ok_or(ParseError::Field("project"))
}

fn actor(outer: &Outer<'_>) -> Option<Actor> {
    let id: Option<Id> = read(outer.user_id, "user_id").ok();
    values::actor(text(outer.user_username), id.as_ref())
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow, rename = "ref")]
    reference: Option<&'a RawValue>,
    before: Option<&'a RawValue>,
    after: Option<&'a RawValue>,
}

pub(super) fn push(outer: &Outer<'_>) -> Result<Event, ParseError> {
    let mut moves = Moves::default();
    if outer.reference.is_some() {
        moves.add(values::full_claim(outer.reference, outer.before, outer.after));
    } else {
        for change in read::<Vec<&RawValue>>(outer.changes, "changes")? {
            moves.add(match serde_json::from_str::<Change<'_>>(change.get()) {
                Ok(change) => values::full_claim(change.reference, change.before, change.after),
                Err(_) => Err("a change that is not what it has to be".to_owned()),
            });
        }
    }
    Ok(pushed(repository(outer)?, moves, actor(outer)))
}

#[derive(Deserialize)]
struct MergeRequest {
    iid: u64,
    action: Option<String>,
    state: Option<String>,
    source_branch: Option<String>,
    target_branch: String,
    source_project_id: Option<Id>,
    target_project_id: Option<Id>,
    last_commit: Option<Commit>,
}

#[derive(Deserialize)]
struct Commit {
    id: String,
}

/// `None` where nothing of interest happened to it.
pub(super) fn proposal(outer: &Outer<'_>) -> Result<Option<Proposal>, ParseError> {
    const FIELD: &str = "object_attributes";
    let found: MergeRequest = read(outer.object_attributes, FIELD)?;
    let state = match (found.action.as_deref(), found.state.as_deref()) {
        (Some("open" | "reopen" | "update"), _) | (None, Some("opened")) => ProposalState::Open,
        (Some("merge" | "close"), _) | (None, Some("merged" | "closed")) => ProposalState::Closed,
        _ => return Ok(None),
    };
    let repository = repository(outer)?;
    let here = |id: &Option<Id>| id.as_ref().and_then(Id::plain).is_some_and(|id| id == repository.id);
    if found.target_project_id.is_some() && !here(&found.target_project_id) {
        return Err(ParseError::Field("object_attributes.target_project_id"));
    }
    let source = found.source_branch.filter(|_| here(&found.source_project_id));
    let head = match found.last_commit {
        Some(commit) => values::object(&commit.id).map_err(|_| ParseError::Field("last_commit"))?,
        None => None,
    };
    let target = values::branch(&found.target_branch).map_err(|_| ParseError::Field("target_branch"))?;
    let source = source.and_then(|name| values::branch(&name).ok());
    Ok(Some(Proposal { repository, number: found.iid, state, head, source, target }))
}
