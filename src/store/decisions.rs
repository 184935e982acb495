//! Decided, then applied (N10).

use super::counters::CountedSignature;
use super::error::{StoreError, sql};
use super::frontier::Scope;
use super::repositories::{object_id, ref_name};
use super::sql as q;
use super::writer::Txn;
use super::{Store, lock};
use crate::audit::{
    AppliedEntry, AppliedRef, Decision, Event, How, Outcome, PusherEntry, Record, RepositoryEntry,
};
use crate::domain::{ObjectId, RefName, RepositoryId, RequestId, Timestamp, text};
use rusqlite::{OptionalExtension, params};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

/// Most pending updates that [`Store::pending`] returns.
const MAX_PENDING: i64 = 50_000;

/// One ref move of an accepted push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedUpdate {
    /// The ref.
    pub reference: RefName,
    /// What it held.
    pub old: Option<ObjectId>,
    /// What it shall hold.
    pub new: Option<ObjectId>,
}

/// What becomes frontier of a ruleset once the update of a ref is applied (N7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The ref; one of the decision's updates.
    pub reference: RefName,
    /// What it shall hold; the same as in the update.
    pub new: Option<ObjectId>,
    /// The ruleset, which accepted it in enforce mode.
    pub ruleset: String,
    /// For which refs the commits count (N8).
    pub scope: Scope,
    /// Every commit that is reachable from `new`, was not accepted before and is in no earlier grant of
    /// the decision for this ruleset. Their parents must all be here, in `builds_on` or accepted
    /// already: the set is closed under ancestry, and walks rely on that.
    pub introduced: Vec<ObjectId>,
    /// Commits of earlier grants of the decision for this ruleset, of scope [`Scope::Shared`], that these
    /// stand on. Should the refs
    /// of those not be applied, this grant lapses and its commits are judged again: refs of one push may
    /// share a history without each of them listing it.
    pub builds_on: Vec<ObjectId>,
    /// The keys, by the fingerprint that the keyring holds them under, of those introduced commits whose
    /// signature was verified (N8, N14).
    pub signed_by: Vec<(ObjectId, String)>,
}

/// An accepted update that is not known to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The request that it was part of.
    pub request_id: RequestId,
    /// The ref.
    pub reference: RefName,
    /// What it held.
    pub old: Option<ObjectId>,
    /// What it shall hold.
    pub new: Option<ObjectId>,
}

impl Store {
    /// Appends any record but a decision, durably: start, stop, reload.
    pub fn append(&self, record: Record) -> Result<u64, StoreError> {
        if record.as_decision().is_some() {
            return Err(StoreError::Invalid("a decision is recorded with its updates"));
        }
        self.write(move |txn| txn.append(&record))
    }

    /// Records a decision, durably, and returns the number of its record. Nobody is let in before this
    /// returned `Ok`.
    ///
    /// For an accepted push, `updates` are all its ref moves, covered or not, and `grants` what they add
    /// to the frontier once [`Store::mark_applied`] says that git made them. For others both are empty.
    /// In a rolled-back state only undecided ones are recorded (N27).
    pub fn record_decision(
        &self,
        record: Record,
        updates: Vec<DecidedUpdate>,
        grants: Vec<Grant>,
    ) -> Result<u64, StoreError> {
        self.record_full(record, updates, grants, Vec::new(), Vec::new())
    }

    pub(super) fn record_full(
        &self,
        mut record: Record,
        updates: Vec<DecidedUpdate>,
        grants: Vec<Grant>,
        counted: Vec<CountedSignature>,
        tagged_by: Vec<String>,
    ) -> Result<u64, StoreError> {
        let at: Timestamp =
            record.at.parse().map_err(|_| StoreError::Invalid("a record's time is not RFC 3339"))?;
        let at_ms = at.as_millisecond();
        let options = &self.shared.options;
        let Event::Decision(decision) = &mut record.event else {
            return Err(StoreError::Invalid("this record is no decision"));
        };
        let outcome = decision.outcome;
        if outcome == Outcome::Accept {
            check(&updates, &grants)?;
        } else {
            if !(updates.is_empty() && grants.is_empty() && counted.is_empty() && tagged_by.is_empty()) {
                return Err(StoreError::Invalid("only accepted pushes have updates and grants"));
            }
            self.shorten_over_budget(decision, at_ms);
        }
        record.fit(options.record_bytes)?;
        self.write(move |txn| {
            if outcome != Outcome::Undecided {
                txn.guard()?;
            }
            let seq = txn.append(&record)?;
            if let (Outcome::Accept, Some(decision)) = (outcome, record.as_decision()) {
                let (id, name) = (&decision.repository.id, &decision.repository.name);
                let repository = txn.intern_repository(id, name)?;
                let request = &decision.request_id;
                let refs =
                    txn.add_pending(seq.cast_signed(), repository, request, at_ms, &updates, &grants)?;
                txn.add_counters(seq.cast_signed(), &refs, &counted)?;
                let signers = grants.iter().flat_map(|grant| &grant.signed_by).map(|(_, key)| key);
                let keys: BTreeSet<String> = signers.chain(&tagged_by).cloned().collect();
                txn.use_keys(&keys, at_ms)?;
            }
            Ok(seq)
        })
    }

    /// Leaves out the lists of a refused or undecided push where there are too many of them (N26).
    pub(super) fn shorten_over_budget(&self, decision: &mut Decision, at_ms: i64) {
        let limit = self.shared.options.full_records_per_minute;
        // One budget for the repository, and one for whoever pushes, wherever to (N26).
        let pusher = match &decision.pusher {
            PusherEntry::Known { name, .. } => Some(format!("pusher {name}")),
            PusherEntry::Unknown => None,
        };
        let mut budgets = lock(&self.shared.budgets);
        let over = budgets.spend(&format!("repository {}", decision.repository.id), at_ms, limit);
        let over = over.max(pusher.and_then(|pusher| budgets.spend(&pusher, at_ms, limit)));
        drop(budgets);
        if let Some(over) = over {
            decision.compact(over);
        }
    }

    /// Accepted updates of `repository` that are neither applied nor superseded, newest first; at most
    /// 50,000.
    pub fn pending(&self, repository: &RepositoryId) -> Result<Vec<Pending>, StoreError> {
        let reader = self.reader()?;
        let step = "list pending updates";
        let mut statement = reader.prepare_cached(q::LIST_PENDING).map_err(sql(step))?;
        let mut rows = statement.query(params![repository.0, MAX_PENDING]).map_err(sql(step))?;
        let mut pending = Vec::new();
        while let Some(row) = rows.next().map_err(sql(step))? {
            let bytes = |at| row.get::<_, Option<Vec<u8>>>(at).map_err(sql(step));
            let request: String = row.get(0).map_err(sql(step))?;
            pending.push(Pending {
                request_id: RequestId::parse(&request)
                    .ok_or_else(|| StoreError::Damaged("a stored request id".to_owned()))?,
                reference: ref_name(&bytes(1)?.unwrap_or_default())?,
                old: bytes(2)?.as_deref().map(object_id).transpose()?,
                new: bytes(3)?.as_deref().map(object_id).transpose()?,
            });
        }
        Ok(pending)
    }

    /// Says that git made these accepted updates (N10): what they were granted becomes frontier, the
    /// refs' last known values are set, and older pending updates of the same refs are dropped as
    /// superseded. One transaction, with `applied` records. Updates that are not pending (any more) are
    /// skipped, so repeating it does nothing. Returns how many were new.
    pub fn mark_applied(
        &self,
        repository: &RepositoryId,
        updates: &[(RequestId, RefName)],
        how: How,
    ) -> Result<usize, StoreError> {
        if updates.is_empty() {
            return Ok(0);
        }
        let (id, updates) = (repository.0.clone(), updates.to_vec());
        self.write(move |txn| {
            txn.guard()?;
            let Some((repository, name)) = txn.repository(&id)? else { return Ok(0) };
            let mut applied: BTreeMap<&str, Vec<AppliedRef>> = BTreeMap::new();
            let mut count = 0;
            let mut due = Vec::new();
            for (request, reference) in &updates {
                if let Some(new) = txn.apply(repository, request.as_str(), reference, &mut due)? {
                    let entry = AppliedRef { name: reference.to_string(), new: new.map(|id| id.to_string()) };
                    applied.entry(request.as_str()).or_default().push(entry);
                    count += 1;
                }
            }
            txn.settle(repository, due)?;
            let entry = RepositoryEntry { id: id.clone(), name: text::escape(name.as_bytes()) };
            txn.append_applied(&entry, applied, how)?;
            Ok(count)
        })
    }

    /// The last value that `reference` is known to have been given by an applied update or an adoption:
    /// `None` where nothing is known, `Some(None)` for a deletion. A ref that holds something else has
    /// drifted (N7).
    pub fn judged_tip(
        &self,
        repository: &RepositoryId,
        reference: &RefName,
    ) -> Result<Option<Option<ObjectId>>, StoreError> {
        let tip: Option<Option<Vec<u8>>> = self
            .reader()?
            .prepare_cached(q::GET_TIP)
            .and_then(|mut s| {
                s.query_row(params![repository.0, reference.as_bytes()], |row| row.get(0)).optional()
            })
            .map_err(sql("read the last known value of a ref"))?;
        tip.map(|tip| tip.as_deref().map(object_id).transpose()).transpose()
    }

    /// [`Store::judged_tip`] of all refs of a repository, sorted by name.
    pub fn judged_tips(
        &self,
        repository: &RepositoryId,
    ) -> Result<Vec<(RefName, Option<ObjectId>)>, StoreError> {
        let reader = self.reader()?;
        let step = "list the last known values of refs";
        let mut statement = reader.prepare_cached(q::LIST_TIPS).map_err(sql(step))?;
        let rows = statement
            .query_map([&repository.0], |row| Ok((row.get(0)?, row.get(1)?)))
            .and_then(Iterator::collect::<Result<Vec<(Vec<u8>, Option<Vec<u8>>)>, _>>)
            .map_err(sql(step))?;
        rows.iter()
            .map(|(name, tip)| Ok((ref_name(name)?, tip.as_deref().map(object_id).transpose()?)))
            .collect()
    }

    /// Drops pending updates that were decided more than `age` before `now` (24 hours is right): git
    /// refused them after all. Returns how many. Look for applied ones first.
    pub fn drop_stale(&self, now: Timestamp, age: Duration) -> Result<usize, StoreError> {
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let before = now.as_millisecond().saturating_sub(age);
        self.write(move |txn| {
            let stale = txn
                .connection
                .prepare_cached(q::PENDING_BEFORE)
                .and_then(|mut s| {
                    s.query_map([before], |row| Ok((row.get(0)?, row.get(1)?)))?
                        .collect::<Result<Vec<(i64, i64)>, _>>()
                })
                .map_err(sql("find stale updates"))?;
            for (seq, reference) in &stale {
                txn.drop_pending(*seq, *reference)?;
            }
            Ok(stale.len())
        })
    }
}

/// A grant whose update was applied.
pub(super) struct Due {
    /// Decision and list: the order in which grants build on each other.
    order: (i64, i64),
    ruleset: i64,
    reference: i64,
    scope: Scope,
    /// Packed ids.
    commits: Vec<u8>,
    /// Packed ids.
    builds_on: Vec<u8>,
    /// Those of the commits whose signature was verified: packed ids.
    signed: Vec<u8>,
    /// When the decision was made, milliseconds since the epoch.
    at_ms: i64,
}

/// Every grant belongs to an update, and no ref moves twice.
pub(super) fn check(updates: &[DecidedUpdate], grants: &[Grant]) -> Result<(), StoreError> {
    let mut by_ref = HashMap::new();
    for update in updates {
        if by_ref.insert(&update.reference, update.new).is_some() {
            return Err(StoreError::Invalid("a ref moves twice in one decision"));
        }
    }
    if grants.iter().any(|grant| by_ref.get(&grant.reference) != Some(&grant.new)) {
        return Err(StoreError::Invalid("a grant has no update"));
    }
    Ok(())
}

/// Ids behind one another, after a byte with their length. All are of one format, as in a repository.
fn pack(ids: &[ObjectId]) -> Result<Vec<u8>, StoreError> {
    let Some(first) = ids.first() else { return Ok(Vec::new()) };
    let width = first.as_bytes().len();
    let mut packed = Vec::with_capacity(1 + width * ids.len());
    // 20 or 32.
    packed.push(width as u8);
    for id in ids {
        if id.as_bytes().len() != width {
            return Err(StoreError::Invalid("commits of two object formats in one grant"));
        }
        packed.extend_from_slice(id.as_bytes());
    }
    Ok(packed)
}

fn unpack(packed: &[u8]) -> Result<std::slice::ChunksExact<'_, u8>, StoreError> {
    match packed.split_first() {
        None => Ok(packed.chunks_exact(20)),
        Some((width @ (20 | 32), ids)) if ids.len() % usize::from(*width) == 0 => {
            Ok(ids.chunks_exact(usize::from(*width)))
        }
        Some(_) => Err(StoreError::Damaged("a stored list of commits".to_owned())),
    }
}

impl Txn<'_> {
    /// Gives the numbers of the refs.
    pub(super) fn add_pending<'u>(
        &self,
        seq: i64,
        repository: i64,
        request: &str,
        at_ms: i64,
        updates: &'u [DecidedUpdate],
        grants: &[Grant],
    ) -> Result<HashMap<&'u RefName, i64>, StoreError> {
        let mut refs: HashMap<&RefName, i64> = HashMap::with_capacity(updates.len());
        let mut rulesets: HashMap<&str, i64> = HashMap::new();
        for update in updates {
            let reference = self.intern_ref(repository, &update.reference)?;
            refs.insert(&update.reference, reference);
            let (old, new) = (update.old.as_ref(), update.new.as_ref());
            self.run(
                q::ADD_PENDING,
                params![
                    seq,
                    reference,
                    repository,
                    request,
                    old.map(ObjectId::as_bytes),
                    new.map(ObjectId::as_bytes),
                    at_ms
                ],
            )?;
        }
        // A push of many refs on the same history would otherwise store it many times.
        let mut lists: HashMap<&[ObjectId], i64> = HashMap::new();
        for grant in grants {
            let next = lists.len() as i64;
            let list = match lists.get(grant.introduced.as_slice()) {
                Some(list) => *list,
                None => {
                    self.run(q::ADD_LIST, params![seq, next, pack(&grant.introduced)?])?;
                    lists.insert(&grant.introduced, next);
                    next
                }
            };
            let reference =
                *refs.get(&grant.reference).ok_or(StoreError::Invalid("a grant has no update"))?;
            let ruleset = match rulesets.get(grant.ruleset.as_str()) {
                Some(number) => *number,
                None => {
                    let number = self.intern_ruleset(repository, &grant.ruleset)?;
                    rulesets.insert(&grant.ruleset, number);
                    number
                }
            };
            for (commit, key) in &grant.signed_by {
                self.run(q::ADD_SIGNED, params![key, commit.as_bytes(), at_ms])?;
            }
            let builds_on = pack(&grant.builds_on)?;
            let signed: Vec<ObjectId> = grant.signed_by.iter().map(|(commit, _)| *commit).collect();
            let scope = grant.scope.column();
            self.run(q::ADD_GRANT, params![seq, reference, ruleset, scope, list, builds_on, pack(&signed)?])?;
        }
        Ok(refs)
    }

    /// Applies one pending update; `None` where it is not pending, else its new value. What it was granted
    /// is put into `due`.
    pub(super) fn apply(
        &self,
        repository: i64,
        request: &str,
        reference: &RefName,
        due: &mut Vec<Due>,
    ) -> Result<Option<Option<ObjectId>>, StoreError> {
        let Some(reference) = self.find_ref(repository, reference)? else { return Ok(None) };
        let step = "apply a pending update";
        let found: Option<(i64, Option<Vec<u8>>, i64)> = self
            .connection
            .prepare_cached(q::FIND_PENDING)
            .and_then(|mut s| {
                s.query_row(params![repository, request, reference], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })
                .optional()
            })
            .map_err(sql(step))?;
        let Some((seq, new, at_ms)) = found else { return Ok(None) };
        let grants = self
            .connection
            .prepare_cached(q::GRANTS_OF)
            .and_then(|mut s| {
                s.query_map([seq, reference], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
                })?
                .collect::<Result<Vec<(i64, i64, i64, Vec<u8>, Vec<u8>)>, _>>()
            })
            .map_err(sql(step))?;
        for (ruleset, scope, list, builds_on, signed) in grants {
            self.run(q::RULESET_ON_RECORD, [ruleset])?;
            let scope = Scope::from_column(scope);
            let commits: Vec<u8> = self
                .value(q::LIST_IDS, [seq, list])?
                .ok_or_else(|| StoreError::Damaged("a grant lost its commits".to_owned()))?;
            let order = (seq, list);
            due.push(Due { order, ruleset, reference, scope, commits, builds_on, signed, at_ms });
        }
        self.apply_counters(seq, reference)?;
        self.run(q::SET_TIP, params![reference, new])?;
        // Older decisions about this ref can no longer be applied.
        let superseded = self
            .connection
            .prepare_cached(q::PENDING_UP_TO)
            .and_then(|mut s| {
                s.query_map([reference, seq], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()
            })
            .map_err(sql(step))?;
        for seq in superseded {
            self.drop_pending(seq, reference)?;
        }
        Ok(Some(new.as_deref().map(object_id).transpose()?))
    }

    /// Makes frontier of what applied updates were granted. Lists were numbered in the order of the
    /// decision, so what a grant builds on comes before it; a grant that builds on something that was not
    /// applied lapses, since its commits would not be closed under ancestry.
    pub(super) fn settle(&self, repository: i64, mut due: Vec<Due>) -> Result<(), StoreError> {
        due.sort_by_key(|grant| grant.order);
        let mut done = HashSet::new();
        for grant in due {
            let Due { order, ruleset, reference, scope, .. } = grant;
            if scope == Scope::Shared && !done.insert((order, ruleset)) {
                continue;
            }
            let mut closed = true;
            for commit in unpack(&grant.builds_on)? {
                let step = "look up an accepted commit";
                let mut statement = self.connection.prepare_cached(q::HAS_SHARED).map_err(sql(step))?;
                closed &= statement.exists(params![ruleset, commit]).map_err(sql(step))?;
            }
            if !closed {
                continue;
            }
            for commit in unpack(&grant.commits)? {
                self.accept(ruleset, commit, reference, scope)?;
            }
            for commit in unpack(&grant.signed)? {
                self.run(q::ADD_RECEIPT, params![repository, commit, grant.at_ms])?;
            }
        }
        Ok(())
    }

    fn drop_pending(&self, seq: i64, reference: i64) -> Result<(), StoreError> {
        self.run(q::DROP_PENDING, [seq, reference])?;
        self.run(q::DROP_GRANTS, [seq, reference])?;
        self.drop_counters(seq, reference)?;
        self.run(q::DROP_LISTS, [seq])
    }

    /// Appends `applied` records, in pieces that respect the size of a record: nothing is left out.
    pub(super) fn append_applied(
        &mut self,
        repository: &RepositoryEntry,
        applied: BTreeMap<&str, Vec<AppliedRef>>,
        how: How,
    ) -> Result<(), StoreError> {
        let at = Timestamp::now();
        let most = self.record_bytes().saturating_sub(2048);
        for (request, refs) in applied {
            let mut pieces: Vec<Vec<AppliedRef>> = Vec::new();
            let mut room = 0;
            for entry in refs {
                // 64 digits and punctuation; a quote or backslash in the name takes two bytes.
                let size = entry.name.len() * 2 + 100;
                match pieces.last_mut() {
                    Some(piece) if size <= room => {
                        room -= size;
                        piece.push(entry);
                    }
                    _ => {
                        room = most.saturating_sub(size);
                        pieces.push(vec![entry]);
                    }
                }
            }
            for refs in pieces {
                let entry = AppliedEntry {
                    request_id: request.to_owned(),
                    repository: repository.clone(),
                    how,
                    refs,
                };
                self.append(&Record::new(at, Event::Applied(entry)))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_pack_and_unpack() {
        let short = ObjectId::from_bytes(&[1; 20]).unwrap();
        let long = ObjectId::from_bytes(&[2; 32]).unwrap();
        assert_eq!(unpack(&pack(&[]).unwrap()).unwrap().len(), 0);
        for id in [short, long] {
            let packed = pack(&[id, id, id]).unwrap();
            let back: Vec<_> = unpack(&packed).unwrap().collect();
            assert_eq!(back, [id.as_bytes(); 3]);
        }
        assert!(matches!(pack(&[short, long]), Err(StoreError::Invalid(_))));
        assert!(unpack(&[20, 1, 2]).is_err());
        assert!(unpack(&[7; 8]).is_err());
    }
}
