//! The trusted base (N9): history that a person declared accepted.

use super::error::{StoreError, sql};
use super::frontier::Scope;
use super::repositories::{object_id, ref_name};
use super::sql as q;
use super::{Store, writer::Txn};
use crate::audit::{AdoptEntry, Event, EvidenceEntry, Record, RepositoryEntry, Tip};
use crate::domain::{ObjectId, RefName, RepositoryId, Timestamp, text};
use rusqlite::params;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The number that stands for "adopted" where a ref's number would be.
const BASE: i64 = 0;

/// One adoption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Number of its audit record.
    pub seq: u64,
    /// For which ruleset.
    pub ruleset: String,
    /// The adopted tips, sorted by ref.
    pub tips: Vec<(RefName, ObjectId)>,
    /// How many commits became trusted.
    pub commits: u64,
    /// Who did it.
    pub who: String,
    /// When.
    pub at: Timestamp,
}

/// Who vouches for history, and what was known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// The person, for the audit log.
    pub who: String,
    /// The reports that were shown; empty where there were none.
    pub evidence: Vec<EvidenceEntry>,
}

impl From<&str> for Voucher {
    /// Somebody who shows nothing.
    fn from(who: &str) -> Self {
        Voucher { who: who.to_owned(), evidence: Vec::new() }
    }
}

impl Store {
    /// Declares `commits`, which must be the whole history of `tips`, accepted by `ruleset` for all its
    /// refs, on behalf of somebody (N9). All or nothing, with its audit record, in one transaction; an
    /// empty history is fine. Returns how many commits there were.
    ///
    /// The commits are gathered in memory first (33 bytes each), because the transaction keeps other
    /// writers out and must not wait for a walk. They are inserted in the order of the index.
    pub fn adopt<E: std::error::Error + Send + Sync + 'static>(
        &self,
        repository: &RepositoryId,
        name: &str,
        ruleset: &str,
        tips: &[(RefName, ObjectId)],
        commits: &mut dyn Iterator<Item = Result<ObjectId, E>>,
        by: impl Into<Voucher>,
    ) -> Result<u64, StoreError> {
        if self.writer.is_none() {
            return Err(StoreError::ReadOnly);
        }
        let mut ids: Vec<ObjectId> =
            commits.collect::<Result<_, E>>().map_err(|e| StoreError::Commits(Arc::new(e)))?;
        ids.sort_unstable();
        ids.dedup();
        let mut tips = tips.to_vec();
        tips.sort();
        tips.dedup();
        if tips.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(StoreError::Invalid("a ref is adopted at two different tips"));
        }
        let (id, name) = (repository.0.clone(), text::escape(name.as_bytes()));
        let ruleset = ruleset.to_owned();
        let Voucher { who, evidence } = by.into();
        let who = text::escape_short(who.as_bytes(), 200);
        self.write(move |txn| {
            txn.guard()?;
            let at = txn.now();
            let repository = txn.intern_repository(&id, &name)?;
            let number = txn.intern_ruleset(repository, &ruleset)?;
            let count = ids.len() as u64;
            let entry = AdoptEntry {
                repository: RepositoryEntry { id, name },
                ruleset: text::escape(ruleset.as_bytes()),
                tips: Vec::new(),
                tips_total: tips.len() as u64,
                tips_digest: digest(&tips),
                commits: count,
                who: who.clone(),
                evidence,
            };
            let seq = append(txn, at, entry, &tips)?;
            let at_ms = at.as_millisecond();
            txn.run(
                q::ADD_ADOPTION,
                params![seq.cast_signed(), repository, number, count.cast_signed(), who, at_ms],
            )?;
            for (reference, tip) in &tips {
                let reference = txn.intern_ref(repository, reference)?;
                txn.run(q::ADD_ADOPTION_TIP, params![seq.cast_signed(), reference, tip.as_bytes()])?;
                txn.run(q::SET_TIP, params![reference, tip.as_bytes()])?;
            }
            for id in &ids {
                // Also where another ref brought it already: the base stands on its own.
                txn.run(q::ACCEPT, params![number, id.as_bytes(), BASE, Scope::Shared.column()])?;
            }
            txn.run(q::RULESET_ON_RECORD, [number])?;
            Ok(count)
        })
    }

    /// What was adopted in `repository`, oldest first.
    pub fn bases(&self, repository: &RepositoryId) -> Result<Vec<Base>, StoreError> {
        let reader = self.reader()?;
        let step = "list adopted bases";
        let mut adoptions = reader.prepare_cached(q::LIST_ADOPTIONS).map_err(sql(step))?;
        let rows = adoptions
            .query_map([&repository.0], |row| {
                Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get::<_, i64>(2)?, row.get(3)?, row.get(4)?))
            })
            .and_then(Iterator::collect::<Result<Vec<(i64, String, i64, String, i64)>, _>>)
            .map_err(sql(step))?;
        let mut tips = reader.prepare_cached(q::LIST_ADOPTION_TIPS).map_err(sql(step))?;
        let mut bases = Vec::with_capacity(rows.len());
        for (seq, ruleset, commits, who, at_ms) in rows {
            let raw = tips
                .query_map([seq], |row| Ok((row.get(0)?, row.get(1)?)))
                .and_then(Iterator::collect::<Result<Vec<(Vec<u8>, Vec<u8>)>, _>>)
                .map_err(sql(step))?;
            bases.push(Base {
                seq: seq.cast_unsigned(),
                ruleset,
                tips: raw.iter().map(|(name, id)| Ok((ref_name(name)?, object_id(id)?))).collect::<Result<
                    _,
                    StoreError,
                >>(
                )?,
                commits: commits.cast_unsigned(),
                who,
                at: Timestamp::from_millisecond(at_ms)
                    .map_err(|e| StoreError::Damaged(format!("the time of an adoption: {e}")))?,
            });
        }
        Ok(bases)
    }
}

/// `<id> <ref>\n` for each tip, hashed: what the record vouches for even where it cannot list all.
pub(super) fn digest(tips: &[(RefName, ObjectId)]) -> String {
    let mut hash = Sha256::new();
    for (name, id) in tips {
        hash.update(id.to_string());
        hash.update(b" ");
        hash.update(name.as_bytes());
        hash.update(b"\n");
    }
    data_encoding::HEXLOWER.encode(&hash.finalize())
}

/// Writes the record with as many tips as fit.
pub(super) fn append(
    txn: &mut Txn<'_>,
    at: Timestamp,
    mut entry: AdoptEntry,
    tips: &[(RefName, ObjectId)],
) -> Result<u64, StoreError> {
    let shown = serde_json::to_vec(&entry.evidence).map_or(0, |json| json.len());
    let mut room = txn.record_bytes().saturating_sub(2048 + shown);
    for (name, id) in tips {
        let tip = Tip { name: name.to_string(), id: id.to_string() };
        // 20 bytes of punctuation; a quote or backslash in the name takes two.
        let size = tip.name.len() * 2 + tip.id.len() + 20;
        if size > room {
            break;
        }
        room -= size;
        entry.tips.push(tip);
    }
    txn.append(&Record::new(at, Event::Adopt(entry)))
}
