//! The documented JSON for everything that has no form of its own: see `docs/webhook-formats.md`.

use super::values::{self, Id, Moves, read, text};
use super::{Outer, ParseError, Shape, push as pushed};
use crate::domain::ObjectId;
use crate::forge::{Claim, Event, ForgeRepository, Proposal, ProposalState};
use serde::Deserialize;
use serde_json::value::RawValue;

pub(super) fn shape(outer: &Outer<'_>) -> Option<Shape> {
    if outer.changes.is_some() {
        Some(Shape::Push)
    } else if outer.proposal.is_some() {
        Some(Shape::Proposal)
    } else if outer.ping.is_some() {
        Some(Shape::Ping)
    } else {
        None
    }
}

#[derive(Deserialize)]
struct Repository {
    id: Option<Id>,
    path: Option<String>,
}

#[derive(Deserialize)]
struct Account {
    login: Option<String>,
    id: Option<Id>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow, rename = "ref")]
    reference: Option<&'a RawValue>,
    before: Option<&'a RawValue>,
    after: Option<&'a RawValue>,
}

fn repository(outer: &Outer<'_>) -> Result<ForgeRepository, ParseError> {
    let found: Repository = read(outer.repository, "repository")?;
    values::repository(found.id.as_ref(), found.path).ok_or(ParseError::Field("repository"))
}

pub(super) fn push(outer: &Outer<'_>) -> Result<Event, ParseError> {
    let mut moves = Moves::default();
    for change in read::<Vec<&RawValue>>(outer.changes, "changes")? {
        moves.add(claim(change));
    }
    let account: Option<Account> = read(outer.actor, "actor").ok();
    let actor = account.and_then(|account| values::actor(account.login, account.id.as_ref()));
    Ok(pushed(repository(outer)?, moves, actor))
}

/// Nothing is `null` or left out, as well as zeros.
fn claim(change: &RawValue) -> Result<Option<Claim>, String> {
    const ODD: &str = "a change that is not what it has to be";
    let change: Change<'_> = serde_json::from_str(change.get()).map_err(|_| ODD.to_owned())?;
    let reference = values::full(&text(change.reference).ok_or("a change whose `ref` is not a text")?)?;
    let id = |raw: Option<&RawValue>| -> Result<Option<ObjectId>, String> {
        let Some(raw) = raw else { return Ok(None) };
        values::object(&text(Some(raw)).ok_or("a change whose id is not a text")?)
    };
    values::claim(reference, id(change.before)?, id(change.after)?)
}

#[derive(Deserialize)]
struct Told {
    number: u64,
    state: String,
    head: String,
    source: Option<String>,
    target: String,
}

pub(super) fn proposal(outer: &Outer<'_>) -> Result<Proposal, ParseError> {
    let found: Told = read(outer.proposal, "proposal")?;
    let state = match found.state.as_str() {
        "open" => ProposalState::Open,
        "closed" => ProposalState::Closed,
        _ => return Err(ParseError::Field("proposal.state")),
    };
    let head = values::object(&found.head).ok().flatten().ok_or(ParseError::Field("proposal.head"))?;
    let name = |name: &str, field| values::full(name).map_err(|_| ParseError::Field(field));
    Ok(Proposal {
        repository: repository(outer)?,
        number: found.number,
        state,
        head: Some(head),
        source: found.source.map(|source| name(&source, "proposal.source")).transpose()?,
        target: name(&found.target, "proposal.target")?,
    })
}
