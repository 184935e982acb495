//! Bitbucket Cloud and Bitbucket Data Center, which have little more than the name in common.

use super::values::{self, Id, Moves, read, text};
use super::{Outer, ParseError, Shape, push};
use crate::domain::{ObjectId, RefName};
use crate::forge::{Actor, Claim, Event, ForgeRepository, Proposal, ProposalState};
use serde::Deserialize;
use serde_json::value::RawValue;

pub(super) fn shape(outer: &Outer<'_>) -> Option<Shape> {
    if outer.push.is_some() || outer.changes.is_some() && outer.repository.is_some() {
        Some(Shape::Push)
    } else if outer.pullrequest.is_some() || outer.pull_request_dc.is_some() {
        Some(Shape::Proposal)
    } else if outer.test.is_some() && outer.repository.is_none() {
        Some(Shape::Ping)
    } else {
        None
    }
}

const ODD: &str = "a change that is not what it has to be";

#[derive(Deserialize)]
struct CloudRepository {
    uuid: Option<Id>,
    full_name: Option<String>,
}

#[derive(Deserialize)]
struct CloudAccount {
    uuid: Option<Id>,
    nickname: Option<String>,
    username: Option<String>,
}

#[derive(Deserialize)]
struct CloudPush<'a> {
    #[serde(borrow)]
    changes: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct CloudChange {
    old: Option<CloudRef>,
    new: Option<CloudRef>,
}

#[derive(Deserialize)]
struct CloudRef {
    #[serde(rename = "type")]
    kind: Option<String>,
    name: String,
    target: Target,
}

#[derive(Deserialize)]
struct Target {
    hash: String,
}

fn cloud_repository(outer: &Outer<'_>) -> Result<ForgeRepository, ParseError> {
    let found: CloudRepository = read(outer.repository, "repository")?;
    values::repository(found.uuid.as_ref(), found.full_name).ok_or(ParseError::Field("repository"))
}

fn cloud_actor(outer: &Outer<'_>) -> Option<Actor> {
    let found: CloudAccount = read(outer.actor, "actor").ok()?;
    values::actor(found.nickname.or(found.username), found.uuid.as_ref())
}

pub(super) fn cloud_push(outer: &Outer<'_>) -> Result<Event, ParseError> {
    let repository = cloud_repository(outer)?;
    let found: CloudPush<'_> = read(outer.push, "push")?;
    let mut moves = Moves::default();
    for change in found.changes {
        moves.add(cloud_claim(change));
    }
    Ok(push(repository, moves, cloud_actor(outer)))
}

/// The ids are those of commits, of annotated tags, too: those do not say what the ref holds, and so match no
/// move that is found.
fn cloud_claim(change: &RawValue) -> Result<Option<Claim>, String> {
    let change: CloudChange = serde_json::from_str(change.get()).map_err(|_| ODD.to_owned())?;
    let side = |side: Option<CloudRef>| -> Result<(Option<RefName>, Option<ObjectId>), String> {
        let Some(side) = side else { return Ok((None, None)) };
        let name = values::short(side.kind.as_deref(), &side.name)?;
        let id = values::object(&side.target.hash)?.ok_or("a ref that holds the zero id")?;
        Ok((Some(name), Some(id)))
    };
    let ((old, before), (new, after)) = (side(change.old)?, side(change.new)?);
    let name = match (old, new) {
        (Some(old), Some(new)) if old != new => return Err(format!("{old} is said to have become {new}")),
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => return Err("a change of nothing".to_owned()),
    };
    values::claim(name, before, after)
}

#[derive(Deserialize)]
struct CloudProposal {
    id: u64,
    state: String,
    source: CloudSide,
    destination: CloudSide,
}

#[derive(Deserialize)]
struct CloudSide {
    commit: Option<Target>,
    branch: Option<Branch>,
    repository: Option<CloudRepository>,
}

#[derive(Deserialize)]
struct Branch {
    name: String,
}

/// `None` where nothing of interest happened to it.
pub(super) fn cloud_proposal(outer: &Outer<'_>) -> Result<Option<Proposal>, ParseError> {
    const FIELD: &str = "pullrequest";
    if [outer.comment, outer.approval, outer.changes_request].iter().any(Option::is_some) {
        return Ok(None);
    }
    let found: CloudProposal = read(outer.pullrequest, FIELD)?;
    let state = match found.state.as_str() {
        "OPEN" => ProposalState::Open,
        "MERGED" | "DECLINED" | "SUPERSEDED" => ProposalState::Closed,
        _ => return Ok(None),
    };
    let repository = cloud_repository(outer)?;
    let here = |side: &CloudSide| {
        let id = side.repository.as_ref().and_then(|found| found.uuid.as_ref()).and_then(Id::plain);
        id.is_some_and(|id| id == repository.id)
    };
    if found.destination.repository.is_some() && !here(&found.destination) {
        return Err(ParseError::Field("pullrequest.destination"));
    }
    let branch = found.destination.branch.ok_or(ParseError::Field("pullrequest.destination"))?;
    let target = values::branch(&branch.name).map_err(|_| ParseError::Field("pullrequest.destination"))?;
    let same = here(&found.source);
    let source = found.source.branch.filter(|_| same).and_then(|branch| values::branch(&branch.name).ok());
    // Twelve digits of it, as a rule: that names no object.
    let head = found.source.commit.and_then(|commit| values::object(&commit.hash).ok().flatten());
    Ok(Some(Proposal { repository, number: found.id, state, head, source, target }))
}

#[derive(Deserialize)]
struct DcRepository {
    id: Option<Id>,
    slug: Option<String>,
    project: Option<DcProject>,
}

impl DcRepository {
    fn named(self) -> Option<ForgeRepository> {
        let path = self.project.and_then(|project| Some(format!("{}/{}", project.key?, self.slug?)));
        values::repository(self.id.as_ref(), path)
    }
}

#[derive(Deserialize)]
struct DcProject {
    key: Option<String>,
}

#[derive(Deserialize)]
struct DcAccount {
    id: Option<Id>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct DcChange<'a> {
    #[serde(borrow, rename = "refId")]
    id: Option<&'a RawValue>,
    #[serde(rename = "ref")]
    reference: Option<DcRef>,
    #[serde(rename = "fromHash")]
    from: Option<&'a RawValue>,
    #[serde(rename = "toHash")]
    to: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct DcRef {
    id: String,
}

pub(super) fn dc_push(outer: &Outer<'_>) -> Result<Event, ParseError> {
    let found: DcRepository = read(outer.repository, "repository")?;
    let repository = found.named().ok_or(ParseError::Field("repository"))?;
    let mut moves = Moves::default();
    for change in read::<Vec<&RawValue>>(outer.changes, "changes")? {
        moves.add(dc_claim(change));
    }
    let account: Option<DcAccount> = read(outer.actor, "actor").ok();
    let actor = account.and_then(|account| values::actor(account.name, account.id.as_ref()));
    Ok(push(repository, moves, actor))
}

fn dc_claim(change: &RawValue) -> Result<Option<Claim>, String> {
    let change: DcChange<'_> = serde_json::from_str(change.get()).map_err(|_| ODD.to_owned())?;
    let claim = values::full_claim(change.id, change.from, change.to)?;
    match (&change.reference, text(change.id)) {
        (Some(reference), Some(id)) if reference.id != id => Err("a change of two refs".to_owned()),
        _ => Ok(claim),
    }
}

#[derive(Deserialize)]
struct DcProposal {
    id: u64,
    #[serde(rename = "fromRef")]
    from: DcSide,
    #[serde(rename = "toRef")]
    to: DcSide,
}

#[derive(Deserialize)]
struct DcSide {
    id: String,
    #[serde(rename = "latestCommit")]
    latest: Option<String>,
    repository: Option<DcRepository>,
}

/// `None` where nothing of interest happened to it.
pub(super) fn dc_proposal(outer: &Outer<'_>, header: Option<&str>) -> Result<Option<Proposal>, ParseError> {
    // What happened stands in the body as well, where it is signed.
    let key = text(outer.event_key).or_else(|| header.map(str::to_owned)).unwrap_or_default();
    let state = match key.as_str() {
        "pr:opened" | "pr:modified" | "pr:from_ref_updated" | "pr:reopened" => ProposalState::Open,
        "pr:merged" | "pr:declined" | "pr:deleted" => ProposalState::Closed,
        _ => return Ok(None),
    };
    let found: DcProposal = read(outer.pull_request_dc, "pullRequest")?;
    let repository = found.to.repository.and_then(DcRepository::named);
    let repository = repository.ok_or(ParseError::Field("pullRequest.toRef"))?;
    let from = found.from.repository.and_then(|from| from.id.as_ref().and_then(Id::plain));
    let same = from.is_some_and(|id| id == repository.id);
    let head = match found.from.latest {
        Some(id) => values::object(&id).map_err(|_| ParseError::Field("pullRequest.fromRef"))?,
        None => None,
    };
    let target = values::full(&found.to.id).map_err(|_| ParseError::Field("pullRequest.toRef"))?;
    let source = values::full(&found.from.id).ok().filter(|_| same);
    Ok(Some(Proposal { repository, number: found.id, state, head, source, target }))
}
