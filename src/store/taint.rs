//! What compromised keys left on record, and decisions to let it stand (N14).

use super::Store;
use super::error::{StoreError, sql};
use super::repositories::{object_id, ref_name};
use super::sql as q;
use crate::audit::{Event, Record, RepositoryEntry, TaintEntry};
use crate::domain::{ObjectId, RefName, RepositoryId, Timestamp, text};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};
use std::collections::HashSet;

/// A commit on record that a compromised key signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tainted {
    /// Which commit.
    pub commit: ObjectId,
    /// When it was received.
    pub received: Timestamp,
    /// The refs that it came through, sorted.
    pub refs: Vec<RefName>,
}

/// From how many keys on it is cheaper to ask the record first which of them it knows.
const MANY: usize = 64;

/// Those of the keys that signed anything on record. A revocation list may name more keys than anybody has,
/// and each costs a question.
pub(super) fn signers<'k>(
    connection: &Connection,
    keys: &'k [(String, i64)],
) -> Result<Vec<&'k (String, i64)>, StoreError> {
    if keys.len() < MANY {
        return Ok(keys.iter().collect());
    }
    let step = "list who signed";
    let mut statement = connection.prepare_cached(q::SIGNERS).map_err(sql(step))?;
    let known = statement.query_map([], |row| row.get(0)).map_err(sql(step))?;
    let known: HashSet<String> = known.collect::<Result<_, _>>().map_err(sql(step))?;
    Ok(keys.iter().filter(|(key, _)| known.contains(key)).collect())
}

impl Store {
    /// Those of the keys that signed anything on record, in whatever repository.
    pub fn signers(&self, keys: &[(String, i64)]) -> Result<Vec<(String, i64)>, StoreError> {
        let reader = self.reader()?;
        Ok(signers(&reader, keys)?.into_iter().cloned().collect())
    }

    /// The commits on record in `repository` that the key signed and that were received from `from` on,
    /// milliseconds since the epoch, without those that somebody decided to let stand; oldest first. What
    /// a base brought was not judged, so it is not known here who signed it.
    pub fn tainted_by(
        &self,
        repository: &RepositoryId,
        key: &str,
        from: i64,
    ) -> Result<Vec<Tainted>, StoreError> {
        let step = "look up what a key signed";
        let reader = self.reader()?;
        let number: Option<i64> = reader
            .prepare_cached(q::FIND_REPOSITORY)
            .and_then(|mut s| s.query_row([&repository.0], |row| row.get(0)).optional())
            .map_err(sql(step))?;
        let Some(number) = number else { return Ok(Vec::new()) };
        let mut statement = reader.prepare_cached(q::TAINTED_IN).map_err(sql(step))?;
        let mut rows = statement.query(params![number, key, from]).map_err(sql(step))?;
        let mut out: Vec<Tainted> = Vec::new();
        while let Some(row) = rows.next().map_err(sql(step))? {
            let commit = object_id(&row.get::<_, Vec<u8>>(0).map_err(sql(step))?)?;
            if out.last().is_none_or(|last| last.commit != commit) {
                let received = Timestamp::from_millisecond(row.get(1).map_err(sql(step))?)
                    .map_err(|e| StoreError::Damaged(format!("the time of a receipt: {e}")))?;
                out.push(Tainted { commit, received, refs: Vec::new() });
            }
            let name: Option<Vec<u8>> = row.get(2).map_err(sql(step))?;
            if let (Some(name), Some(last)) = (name, out.last_mut()) {
                let name = ref_name(&name)?;
                if last.refs.last() != Some(&name) {
                    last.refs.push(name);
                }
            }
        }
        Ok(out)
    }

    /// Lets tainted commits stand, on behalf of `who`, because of `reason`: they count as judged for every
    /// ref again. `keys` are the compromised keys that signed them. One transaction with its audit record.
    /// Commits that were let stand before are skipped; returns how many were not, and nothing is
    /// recorded if there are none. Nothing undoes it: a further compromise of a key does not, because
    /// somebody looked at these very commits.
    pub fn accept_taint(
        &self,
        repository: &RepositoryId,
        name: &str,
        commits: &[ObjectId],
        keys: &[String],
        reason: &str,
        who: &str,
    ) -> Result<u64, StoreError> {
        let mut commits = commits.to_vec();
        commits.sort_unstable();
        commits.dedup();
        let (id, name) = (repository.0.clone(), text::escape(name.as_bytes()));
        let keys: Vec<String> =
            keys.iter().take(16).map(|key| text::escape_short(key.as_bytes(), 200)).collect();
        let reason = text::escape_short(reason.as_bytes(), crate::audit::MAX_TEXT);
        let who = text::escape_short(who.as_bytes(), 200);
        self.write(move |txn| {
            txn.guard()?;
            let repository = txn.intern_repository(&id, &name)?;
            let mut fresh = Vec::new();
            for commit in commits {
                let before: Option<i64> =
                    txn.value(q::TAINT_ACCEPTED, params![repository, commit.as_bytes()])?;
                if before.is_none() {
                    fresh.push(commit);
                }
            }
            if fresh.is_empty() {
                return Ok(0);
            }
            let mut digest = Sha256::new();
            for commit in &fresh {
                digest.update(format!("{commit}\n"));
            }
            // 67 bytes for each; the digest vouches for the rest.
            let fit = txn.record_bytes().saturating_sub(8192) / 68;
            let entry = TaintEntry {
                repository: RepositoryEntry { id, name },
                keys,
                commits: fresh.iter().take(fit).map(ObjectId::to_string).collect(),
                commits_total: fresh.len() as u64,
                commits_digest: data_encoding::HEXLOWER.encode(&digest.finalize()),
                reason,
                who,
            };
            let seq = txn.append(&Record::new(txn.now(), Event::TaintAccepted(entry)))?;
            for commit in &fresh {
                txn.run(q::ACCEPT_TAINT, params![repository, commit.as_bytes(), seq.cast_signed()])?;
            }
            Ok(fresh.len() as u64)
        })
    }
}
