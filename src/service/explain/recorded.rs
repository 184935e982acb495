//! What the gate's record says of an object: when it was received, and what was decided about it.

use crate::audit::{Event, Outcome};
use crate::domain::{ObjectId, ObjectKind, RepositoryId, Timestamp};
use crate::git::Repository;
use crate::service::gate::Snapshot;
use crate::service::locate;
use crate::signature::Finding;
use crate::store::{Filter, FrontierReader, Mode, Store, StoreError};

/// Why the record says nothing.
pub(super) fn unusable(error: &StoreError) -> String {
    format!("the record cannot be read: {error}")
}

/// The gate's record about a repository.
pub(super) struct Recorded {
    store: Store,
    repository: RepositoryId,
}

impl Recorded {
    /// Opens it, where there is one; `Err` says why it cannot be used. The object is judged as if it came in
    /// now then, which is the stricter question.
    pub(super) fn open(snapshot: &Snapshot, repository: &Repository) -> Result<Option<Recorded>, String> {
        let state = &snapshot.config.daemon.state;
        if !Store::exists(state) {
            return Ok(None);
        }
        let common = repository.common_dir();
        if locate::name_below(&snapshot.config.repositories.root, common).is_err() {
            return Err("the repository is not below the configured root".to_owned());
        }
        let repository = locate::read_id(common).map_err(|e| e.to_string())?;
        let store = Store::open(state, Mode::ReadOnly).map_err(|error| unusable(&error))?;
        match store.rolled_back() {
            Some(why) => Err(why),
            None => Ok(Some(Recorded { store, repository })),
        }
    }

    /// What was let in before, as one push would see it.
    pub(super) fn frontier(&self) -> Result<FrontierReader, StoreError> {
        self.store.frontier(&self.repository)
    }

    /// When the gate received the object.
    pub(super) fn receipt(
        &self,
        id: &ObjectId,
        kind: ObjectKind,
        findings: &mut Vec<Finding>,
    ) -> Result<Option<Timestamp>, StoreError> {
        if kind == ObjectKind::Tag {
            return tag_receipt(&self.store, &self.repository, id);
        }
        let Some(receipts) = self.store.receipts(&self.repository)? else { return Ok(None) };
        if let Some(seq) = receipts.taint_accepted(id)? {
            let why = format!("somebody decided to let this tainted commit stand: audit record {seq}");
            findings.push(Finding::new("taint.accepted", why));
        }
        receipts.received(id)
    }
}

/// Tags are in the log only: the first push that set a ref to the tag and was applied.
fn tag_receipt(
    store: &Store,
    repository: &RepositoryId,
    id: &ObjectId,
) -> Result<Option<Timestamp>, StoreError> {
    let id = id.to_string();
    let filter = Filter { repository: Some(repository.clone()), ..Filter::default() };
    let mut accepted: Vec<(String, String, Timestamp)> = Vec::new();
    for entry in store.log(filter)? {
        let entry = entry?;
        // Most records are about something else; they are not worth parsing.
        if !entry.json.contains(&id) {
            continue;
        }
        let record = entry.record()?;
        match &record.event {
            Event::Decision(decision) if decision.outcome == Outcome::Accept => {
                let Ok(at) = record.at.parse() else { continue };
                let refs = decision.refs.iter().filter(|one| one.new.as_deref() == Some(id.as_str()));
                accepted.extend(refs.map(|one| (decision.request_id.clone(), one.name.clone(), at)));
            }
            Event::Applied(applied) => {
                let set = |request: &str, name: &str| {
                    applied.request_id == request
                        && applied.refs.iter().any(|one| one.name == name && one.new.as_deref() == Some(&*id))
                };
                let found = accepted.iter().filter(|(request, name, _)| set(request, name));
                if let Some(at) = found.map(|(_, _, at)| *at).min() {
                    return Ok(Some(at));
                }
            }
            _ => {}
        }
    }
    Ok(None)
}
