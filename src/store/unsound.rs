//! Refs of forges whose last move was refused.
//!
//! The forge made that move all the same, so what was judged last is where it led. What the ref held before, its last
//! sound value, is kept until it is sound again: the next move is judged from there, because that is what a hook
//! would have seen.

use super::deliveries::time;
use super::error::{StoreError, sql};
use super::repositories::{object_id, ref_name};
use super::sql as q;
use super::{Store, writer::Txn};
use crate::domain::{ObjectId, RefName, RepositoryId, RequestId, Timestamp};
use rusqlite::params;

/// An account at a forge that has moved a ref.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mover {
    /// Its login name, not escaped.
    pub login: String,
    /// Its number or UUID there.
    pub id: Option<String>,
}

/// A ref of a forge whose last judged value was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsound {
    /// What it was judged at last, and holds.
    pub tip: Option<ObjectId>,
    /// The last value that was accepted, adopted or restored; `None` where there was no such ref.
    pub sound: Option<ObjectId>,
    /// The decision that refused what it holds.
    pub refused_by: RequestId,
    /// Since when it is so.
    pub since: Timestamp,
    /// Where refused moves have put it since, in order, and who made them, `None` where nobody vouches for that. What
    /// the same did twice is there once.
    pub moves: Vec<(Option<ObjectId>, Option<Mover>)>,
}

impl Store {
    /// The refs of a repository whose last judged value was refused, by name. All others are sound where they stand.
    pub fn unsound_refs(&self, repository: &RepositoryId) -> Result<Vec<(RefName, Unsound)>, StoreError> {
        let step = "list refs whose last move was refused";
        let reader = self.reader()?;
        let mut statement = reader.prepare_cached(q::LIST_UNSOUND).map_err(sql(step))?;
        let mut moves = reader.prepare_cached(q::LIST_REFUSED_MOVES).map_err(sql(step))?;
        let mut rows = statement.query([&repository.0]).map_err(sql(step))?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(sql(step))? {
            let value = |at| {
                let bytes: Option<Vec<u8>> = row.get(at).map_err(sql(step))?;
                bytes.as_deref().map(object_id).transpose()
            };
            let name: Vec<u8> = row.get(0).map_err(sql(step))?;
            let request: String = row.get(3).map_err(sql(step))?;
            let number: i64 = row.get(5).map_err(sql(step))?;
            type Row = (Option<Vec<u8>>, Option<String>, Option<String>);
            let made: Vec<Row> = moves
                .query_map([number], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .and_then(Iterator::collect)
                .map_err(sql(step))?;
            let made = made.into_iter().map(|(value, login, id)| {
                let value = value.as_deref().map(object_id).transpose()?;
                Ok((value, login.map(|login| Mover { login, id })))
            });
            let unsound = Unsound {
                tip: value(1)?,
                sound: value(2)?,
                refused_by: RequestId::parse(&request)
                    .ok_or_else(|| StoreError::Damaged("a stored request id".to_owned()))?,
                since: time(row.get(4).map_err(sql(step))?)?,
                moves: made.collect::<Result<_, StoreError>>()?,
            };
            all.push((ref_name(&name)?, unsound));
        }
        Ok(all)
    }

    /// How many such refs each repository has that has any, by its identity.
    pub fn unsound_figures(&self) -> Result<Vec<(RepositoryId, u64)>, StoreError> {
        let step = "count refs whose last move was refused";
        let reader = self.reader()?;
        let mut statement = reader.prepare_cached(q::COUNT_UNSOUND).map_err(sql(step))?;
        let rows = statement
            .query_map([], |row| Ok((RepositoryId(row.get(0)?), row.get::<_, i64>(1)?.cast_unsigned())));
        rows.and_then(Iterator::collect).map_err(sql(step))
    }
}

impl Txn<'_> {
    /// The last sound value of a ref that was judged last at `tip`.
    pub(super) fn sound(
        &self,
        reference: i64,
        tip: Option<&ObjectId>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let refused: Option<Option<Vec<u8>>> = self.value(q::SOUND_OF, [reference])?;
        Ok(refused.unwrap_or_else(|| tip.map(|tip| tip.as_bytes().to_vec())))
    }

    /// A ref is sound where it stands.
    pub(super) fn set_sound(&self, reference: i64) -> Result<(), StoreError> {
        self.run(q::DROP_REFUSED_MOVES, [reference])?;
        self.run(q::SET_SOUND, [reference])
    }

    /// All refs of a repository are.
    pub(super) fn set_all_sound(&self, repository: i64) -> Result<(), StoreError> {
        self.run(q::DROP_ALL_REFUSED_MOVES, [repository])?;
        self.run(q::SET_ALL_SOUND, [repository])
    }

    /// A decision refused what a ref holds. Its first sound value stays, and the time of its first refusal.
    pub(super) fn set_unsound(
        &self,
        reference: i64,
        sound: Option<&[u8]>,
        request: &str,
        at_ms: i64,
    ) -> Result<(), StoreError> {
        self.run(q::SET_UNSOUND, params![reference, sound, request, at_ms])
    }

    pub(super) fn add_refused_move(
        &self,
        reference: i64,
        value: Option<&ObjectId>,
        mover: Option<&Mover>,
    ) -> Result<(), StoreError> {
        let (login, id) =
            (mover.map(|mover| mover.login.as_str()), mover.and_then(|mover| mover.id.as_deref()));
        self.run(q::ADD_REFUSED_MOVE, params![reference, value.map(ObjectId::as_bytes), login, id])
    }
}
