//! The queue of what forges told: durable, without duplicates, and bounded apart from the audit log (N26).

use super::error::{StoreError, sql};
use super::sql as q;
use super::writer::Txn;
use super::{Store, lock};
use crate::domain::{RepositoryId, Timestamp};
use rusqlite::{Row, params};
use std::collections::BTreeMap;
use std::time::Duration;

/// How much of what forges tell is kept. Each figure is for one source, so that a busy one does not close the
/// queue of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Deliveries that wait.
    pub waiting: u64,
    /// Bytes of the events of those that wait.
    pub waiting_bytes: u64,
    /// Judged deliveries that are kept, to recognize duplicates and to look at.
    pub kept: u64,
    /// Bytes of the events of judged ones.
    pub kept_bytes: u64,
    /// For how long a judged one is kept, and a body that came before is a duplicate.
    pub window: Duration,
    /// Nothing is queued where the file system has fewer bytes left than this, on top of what is reserved
    /// for the audit log.
    pub reserve_bytes: u64,
}

impl Default for QueueLimits {
    fn default() -> Self {
        QueueLimits {
            waiting: 20_000,
            waiting_bytes: 64 << 20,
            kept: 20_000,
            kept_bytes: 64 << 20,
            window: Duration::from_secs(7 * 24 * 3600),
            reserve_bytes: 64 << 20,
        }
    }
}

/// An authentic delivery that is to be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// The name of the source that it came in at.
    pub source: String,
    /// The forge's id of it, if it gave one.
    pub id: Option<String>,
    /// Whether the forge signed that id. Then the id alone tells deliveries apart. Else anybody may have given it that
    /// id, and the body tells: one that came before is the same delivery under any id, and no id makes another body one
    /// that came before.
    pub id_signed: bool,
    /// SHA-256 of the raw body.
    pub digest: [u8; 32],
    /// What it is about.
    pub repository: RepositoryId,
    /// What it says, in the form that `forge` reads back.
    pub event: String,
    /// When it came.
    pub received: Timestamp,
}

/// What became of a [`NewDelivery`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is on disk under this number, and will be judged.
    Queued(u64),
    /// It was delivered before under this number; nothing has changed.
    Duplicate(u64),
    /// There is no room; nothing has changed.
    Full,
}

/// A delivery on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its number here.
    pub number: u64,
    /// The source that it came in at.
    pub source: String,
    /// The forge's id of it.
    pub id: Option<String>,
    /// What it is about.
    pub repository: RepositoryId,
    /// What it says.
    pub event: String,
    /// When it came.
    pub received: Timestamp,
    /// When it was done with; `None` while it waits.
    pub done: Option<Timestamp>,
    /// How often judging it was tried in vain.
    pub attempts: u64,
    /// Why it waits, or what came of it.
    pub note: Option<String>,
}

/// A repository with deliveries that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedRepository {
    /// Which.
    pub repository: RepositoryId,
    /// The source that its deliveries came in at.
    pub source: String,
    /// How many wait.
    pub waiting: u64,
    /// The first of them.
    pub first: u64,
    /// When the oldest of them came.
    pub oldest: Timestamp,
}

/// How full the queue of a source is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueFigures {
    /// Which source.
    pub source: String,
    /// Deliveries that wait.
    pub waiting: u64,
    /// Bytes of their events.
    pub waiting_bytes: u64,
    /// Judged ones that are kept.
    pub kept: u64,
    /// When the oldest of those that wait came.
    pub oldest: Option<Timestamp>,
}

/// How often one thing happened to deliveries of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookCounter {
    /// Which source.
    pub source: String,
    /// What happened.
    pub result: String,
    /// How often.
    pub count: u64,
    /// When last.
    pub last: Timestamp,
}

/// What is counted and not on disk yet: how often, and when last.
pub(super) type Counts = BTreeMap<(String, &'static str), (u64, i64)>;

/// Most deliveries of one repository that are handed out at once.
const AT_ONCE: i64 = 1000;

impl Store {
    /// Puts a delivery into the queue, durably, unless it is there or was there before. An `Ok` of
    /// [`Accepted::Queued`] is a promise that survives a kill.
    ///
    /// # Errors
    /// The record cannot be written. A full disk is no error but [`Accepted::Full`].
    pub fn accept_delivery(&self, new: NewDelivery) -> Result<Accepted, StoreError> {
        let done = self.write(move |txn| txn.accept_delivery(&new));
        match done {
            Err(StoreError::Full(_)) => Ok(Accepted::Full),
            other => other,
        }
    }

    /// The repositories that have deliveries waiting, the one that waits longest first.
    pub fn queued_repositories(&self) -> Result<Vec<QueuedRepository>, StoreError> {
        let step = "list repositories with deliveries";
        let reader = self.reader()?;
        let mut statement = reader.prepare_cached(q::QUEUED_REPOSITORIES).map_err(sql(step))?;
        let mut rows = statement.query([]).map_err(sql(step))?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(sql(step))? {
            let number = |at| row.get::<_, i64>(at).map(i64::cast_unsigned).map_err(sql(step));
            all.push(QueuedRepository {
                repository: RepositoryId(row.get(0).map_err(sql(step))?),
                source: row.get(1).map_err(sql(step))?,
                waiting: number(2)?,
                first: number(3)?,
                oldest: time(row.get(4).map_err(sql(step))?)?,
            });
        }
        Ok(all)
    }

    /// The deliveries of a repository that wait, in the order in which they came; the first thousand of them.
    pub fn queued_deliveries(&self, repository: &RepositoryId) -> Result<Vec<Delivery>, StoreError> {
        self.deliveries_by(&q::deliveries_queued(), params![repository.0, AT_ONCE])
    }

    /// One delivery, while it is kept.
    pub fn delivery(&self, number: u64) -> Result<Option<Delivery>, StoreError> {
        Ok(self.deliveries_by(&q::delivery_one(), params![number.cast_signed()])?.pop())
    }

    /// The newest deliveries with a number below `below`, of one source or all: at most `limit`, newest first.
    pub fn deliveries(
        &self,
        source: Option<&str>,
        below: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let below = below.map_or(i64::MAX, u64::cast_signed);
        match source {
            Some(source) => self.deliveries_by(&q::deliveries_of(true), params![below, limit, source]),
            None => self.deliveries_by(&q::deliveries_of(false), params![below, limit]),
        }
    }

    /// Says why deliveries that wait could not be judged this time, and counts the attempt.
    pub fn deliveries_wait(&self, numbers: Vec<u64>, why: &str) -> Result<(), StoreError> {
        let why = why.to_owned();
        self.write(move |txn| {
            numbers
                .iter()
                .try_for_each(|number| txn.run(q::NOTE_DELIVERY, params![number.cast_signed(), why]))
        })
    }

    /// Ends deliveries that lead to no decision: `why` says what came of them. Those that are done already stay
    /// as they are.
    pub fn finish_deliveries(&self, numbers: Vec<u64>, at: Timestamp, why: &str) -> Result<(), StoreError> {
        let why = why.to_owned();
        self.write(move |txn| txn.finish_deliveries(&numbers, at, &why))
    }

    /// Puts a delivery that is done back into the queue, under its number. `false` where there is none.
    pub fn requeue_delivery(&self, number: u64) -> Result<bool, StoreError> {
        self.write(move |txn| txn.changed(q::REQUEUE_DELIVERY, [number.cast_signed()]))
    }

    /// How full the queue is, for each source that ever had a delivery; sorted by name.
    pub fn queue_figures(&self) -> Result<Vec<QueueFigures>, StoreError> {
        let step = "measure the queue";
        let reader = self.reader()?;
        let mut all: BTreeMap<String, QueueFigures> = BTreeMap::new();
        let mut statement = reader.prepare_cached(q::DELIVERY_ROOM).map_err(sql(step))?;
        let mut rows = statement.query([]).map_err(sql(step))?;
        while let Some(row) = rows.next().map_err(sql(step))? {
            let (source, room) = room(row).map_err(sql(step))?;
            let figures = all
                .entry(source.clone())
                .or_insert_with(|| QueueFigures { source, ..QueueFigures::default() });
            match room.done {
                true => figures.kept = room.count,
                false => (figures.waiting, figures.waiting_bytes) = (room.count, room.bytes),
            }
        }
        for figures in all.values_mut().filter(|figures| figures.waiting > 0) {
            let oldest: Option<i64> = reader
                .prepare_cached(q::OLDEST_QUEUED)
                .and_then(|mut s| s.query_row([&figures.source], |row| row.get(0)))
                .map_err(sql(step))?;
            figures.oldest = oldest.map(time).transpose()?;
        }
        Ok(all.into_values().collect())
    }

    /// Counts what happened to an authentic delivery. In memory, until [`Store::flush_webhook_counters`]: whoever
    /// has recorded one can send it again and again, and must not make the gate write to disk each time (N26).
    pub fn count_webhook(&self, source: &str, result: &'static str, at: Timestamp) {
        let mut counts = lock(&self.shared.webhooks);
        let (count, last) = counts.entry((source.to_owned(), result)).or_default();
        *count += 1;
        *last = (*last).max(at.as_millisecond());
    }

    /// Writes down what was counted since the last time.
    pub fn flush_webhook_counters(&self) -> Result<(), StoreError> {
        let counts = std::mem::take(&mut *lock(&self.shared.webhooks));
        if counts.is_empty() {
            return Ok(());
        }
        let back = counts.clone();
        let done = self.write(move |txn| {
            counts.iter().try_for_each(|((source, result), (count, at))| {
                txn.run(q::COUNT_WEBHOOK, params![source, result, count.cast_signed(), at])
            })
        });
        if done.is_err() {
            let mut counts = lock(&self.shared.webhooks);
            for (key, (more, at)) in back {
                let (count, last) = counts.entry(key).or_default();
                (*count, *last) = (*count + more, at.max(*last));
            }
        }
        done
    }

    /// What happened to authentic deliveries since the state was made, by source and result; sorted.
    pub fn webhook_counters(&self) -> Result<Vec<WebhookCounter>, StoreError> {
        let step = "read the counters of webhooks";
        // What is in memory first: a flush in between must not count twice; that it is missing once may be.
        let fresh = lock(&self.shared.webhooks).clone();
        let reader = self.reader()?;
        let mut statement = reader.prepare_cached(q::LIST_WEBHOOK_COUNTERS).map_err(sql(step))?;
        let rows = statement
            .query_map([], |row| {
                Ok(((row.get(0)?, row.get(1)?), (row.get::<_, i64>(2)?.cast_unsigned(), row.get(3)?)))
            })
            .and_then(Iterator::collect::<Result<BTreeMap<(String, String), (u64, i64)>, _>>)
            .map_err(sql(step))?;
        let mut all = rows;
        for ((source, result), (count, at)) in fresh {
            let (sum, last) = all.entry((source, result.to_owned())).or_default();
            (*sum, *last) = (*sum + count, at.max(*last));
        }
        let counter =
            |((source, result), (count, at))| Ok(WebhookCounter { source, result, count, last: time(at)? });
        all.into_iter().map(counter).collect()
    }

    fn deliveries_by(
        &self,
        statement: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<Delivery>, StoreError> {
        let step = "read deliveries";
        let reader = self.reader()?;
        let mut statement = reader.prepare_cached(statement).map_err(sql(step))?;
        let mut rows = statement.query(values).map_err(sql(step))?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(sql(step))? {
            all.push(delivery(row)?);
        }
        Ok(all)
    }
}

fn delivery(row: &Row<'_>) -> Result<Delivery, StoreError> {
    let step = "read a delivery";
    let number = |at| row.get::<_, i64>(at).map(i64::cast_unsigned).map_err(sql(step));
    Ok(Delivery {
        number: number(0)?,
        source: row.get(1).map_err(sql(step))?,
        id: row.get(2).map_err(sql(step))?,
        repository: RepositoryId(row.get(3).map_err(sql(step))?),
        event: row.get(4).map_err(sql(step))?,
        received: time(row.get(5).map_err(sql(step))?)?,
        done: row.get::<_, Option<i64>>(6).map_err(sql(step))?.map(time).transpose()?,
        attempts: number(7)?,
        note: row.get(8).map_err(sql(step))?,
    })
}

/// A time out of the database.
pub(super) fn time(ms: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(ms).map_err(|e| StoreError::Damaged(format!("a stored time: {e}")))
}

/// What one source has of one kind.
struct Room {
    done: bool,
    count: u64,
    bytes: u64,
}

fn room(row: &Row<'_>) -> rusqlite::Result<(String, Room)> {
    let number = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
    Ok((row.get(0)?, Room { done: row.get(1)?, count: number(2)?, bytes: number(3)? }))
}

impl Txn<'_> {
    fn accept_delivery(&self, new: &NewDelivery) -> Result<Accepted, StoreError> {
        let limits = self.options().queue;
        let received = new.received.as_millisecond();
        let window = i64::try_from(limits.window.as_millis()).unwrap_or(i64::MAX);
        if let Some(known) = self.known_delivery(new, received.saturating_sub(window))? {
            return Ok(Accepted::Duplicate(known.cast_unsigned()));
        }
        self.drop_old_deliveries(&new.source, received.saturating_sub(window))?;
        let waiting = self.delivery_room(&new.source)?.0;
        let bytes = new.event.len() as u64;
        let reserve = self.options().reserve_bytes.saturating_add(limits.reserve_bytes);
        if waiting.count >= limits.waiting
            || waiting.bytes.saturating_add(bytes) > limits.waiting_bytes
            || self.room()? < reserve
        {
            return Ok(Accepted::Full);
        }
        self.run(
            q::ADD_DELIVERY,
            params![
                new.source,
                new.id,
                new.digest,
                new.repository.0,
                new.event,
                received,
                new.id_signed && new.id.is_some()
            ],
        )?;
        Ok(Accepted::Queued(self.connection.last_insert_rowid().cast_unsigned()))
    }

    fn known_delivery(&self, new: &NewDelivery, since: i64) -> Result<Option<i64>, StoreError> {
        if let (true, Some(id)) = (new.id_signed, &new.id) {
            return self.value(q::KNOWN_SIGNED, params![new.source, id]);
        }
        let found: Option<Option<i64>> =
            self.value(q::KNOWN_DIGEST, params![new.source, new.digest, since, new.id])?;
        Ok(found.flatten())
    }

    /// What waits and what is kept.
    fn delivery_room(&self, source: &str) -> Result<(Room, Room), StoreError> {
        let step = "measure the queue";
        let mut waiting = Room { done: false, count: 0, bytes: 0 };
        let mut kept = Room { done: true, count: 0, bytes: 0 };
        let mut statement = self.connection.prepare_cached(q::DELIVERY_ROOM).map_err(sql(step))?;
        let mut rows = statement.query([]).map_err(sql(step))?;
        while let Some(row) = rows.next().map_err(sql(step))? {
            let (of, room) = room(row).map_err(sql(step))?;
            match room.done {
                _ if of != source => {}
                true => kept = room,
                false => waiting = room,
            }
        }
        Ok((waiting, kept))
    }

    /// Forgets judged deliveries of a source that are too old or too many, some at a time.
    fn drop_old_deliveries(&self, source: &str, before: i64) -> Result<(), StoreError> {
        let limits = self.options().queue;
        let mut kept = self.delivery_room(source)?.1;
        let over = |kept: &Room| kept.count > limits.kept || kept.bytes > limits.kept_bytes;
        let step = "find judged deliveries";
        let old = self
            .connection
            .prepare_cached(q::OLD_DELIVERIES)
            .and_then(|mut s| {
                let limit = if over(&kept) { 256 } else { 4 };
                s.query_map(params![source, limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                    .collect::<Result<Vec<(i64, i64, i64)>, _>>()
            })
            .map_err(sql(step))?;
        for (number, done_ms, bytes) in old {
            if done_ms >= before && !over(&kept) {
                break;
            }
            self.run(q::DROP_DELIVERY, [number])?;
            kept.count = kept.count.saturating_sub(1);
            kept.bytes = kept.bytes.saturating_sub(bytes.cast_unsigned());
        }
        Ok(())
    }

    /// Ends deliveries, in this transaction.
    pub(super) fn finish_deliveries(
        &self,
        numbers: &[u64],
        at: Timestamp,
        why: &str,
    ) -> Result<(), StoreError> {
        numbers.iter().try_for_each(|number| {
            self.run(q::FINISH_DELIVERY, params![number.cast_signed(), at.as_millisecond(), why])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Mode, Options};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn new(id: Option<&str>, body: u8, second: i64) -> NewDelivery {
        NewDelivery {
            source: "github".to_owned(),
            id: id.map(str::to_owned),
            id_signed: false,
            digest: [body; 32],
            repository: RepositoryId("github:1".to_owned()),
            event: format!("{{\"n\":{body}}}"),
            received: at(second),
        }
    }

    fn store(queue: QueueLimits) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { queue, ..Options::default() };
        let store = Store::open_with(dir.path(), Mode::ReadWrite, options).unwrap();
        (dir, store)
    }

    fn queued(store: &Store, new: NewDelivery) -> u64 {
        match store.accept_delivery(new).unwrap() {
            Accepted::Queued(number) => number,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_delivery_comes_once_by_its_body() {
        let (_dir, store) = store(QueueLimits::default());
        let first = queued(&store, new(Some("a"), 1, 0));
        let again = |new| assert_eq!(store.accept_delivery(new).unwrap(), Accepted::Duplicate(first));
        again(new(Some("a"), 1, 1));
        again(new(Some("another id, which nobody signed"), 1, 1));
        again(new(None, 1, 1));
        // It was judged meanwhile.
        store.finish_deliveries(vec![first], at(2), "judged").unwrap();
        again(new(Some("a"), 1, 3));
        again(new(Some("b"), 1, 3));
        // Another source is another matter.
        let other = NewDelivery { source: "other".to_owned(), ..new(Some("a"), 1, 3) };
        queued(&store, other);
        assert_eq!(store.deliveries(Some("github"), None, 10).unwrap().len(), 1);
    }

    #[test]
    fn an_id_that_nobody_signs_silences_no_other_body() {
        let (_dir, store) = store(QueueLimits::default());
        let first = queued(&store, new(Some("a"), 1, 0));
        let second = queued(&store, new(Some("a"), 2, 1));
        let again = |new, number| {
            assert_eq!(store.accept_delivery(new).unwrap(), Accepted::Duplicate(number));
        };
        again(new(Some("a"), 1, 2), first);
        again(new(Some("a"), 2, 2), second);
        store.finish_deliveries(vec![first, second], at(3), "judged").unwrap();
        let third = queued(&store, new(Some("a"), 3, 4));
        again(new(Some("a"), 3, 5), third);
        again(new(Some("a"), 1, 5), first);
    }

    #[test]
    fn an_id_that_nobody_signs_silences_no_signed_one() {
        let (_dir, store) = store(QueueLimits::default());
        let signed = |body| NewDelivery { id_signed: true, ..new(Some("a"), body, 1) };
        // Believed by a token that is still there: the id is whatever its sender wrote.
        let token = queued(&store, new(Some("a"), 1, 0));
        let real = queued(&store, signed(2));
        assert_eq!(store.accept_delivery(signed(2)).unwrap(), Accepted::Duplicate(real));
        assert_eq!(
            store.accept_delivery(signed(3)).unwrap(),
            Accepted::Duplicate(real),
            "an id is signed once"
        );
        // Nor does a signed one come again because somebody takes its signature away.
        assert_eq!(store.accept_delivery(new(None, 2, 2)).unwrap(), Accepted::Duplicate(real));
        assert_eq!(store.accept_delivery(new(Some("a"), 1, 2)).unwrap(), Accepted::Duplicate(token));
    }

    #[test]
    fn a_signed_id_tells_equal_bodies_apart() {
        let (_dir, store) = store(QueueLimits::default());
        let signed = |id| NewDelivery { id_signed: true, ..new(Some(id), 1, 0) };
        let first = queued(&store, signed("a"));
        queued(&store, signed("b"));
        assert_eq!(store.accept_delivery(signed("a")).unwrap(), Accepted::Duplicate(first));
        // Claiming that there is a signed id, without one, is nothing.
        let none = NewDelivery { id_signed: true, ..new(None, 1, 0) };
        assert!(matches!(store.accept_delivery(none).unwrap(), Accepted::Duplicate(_)));
    }

    #[test]
    fn bodies_may_come_again_after_the_window() {
        let window = Duration::from_secs(100);
        let (_dir, store) = store(QueueLimits { window, ..QueueLimits::default() });
        let first = queued(&store, new(Some("a"), 1, 0));
        // What waits is never forgotten, however long.
        assert_eq!(store.accept_delivery(new(Some("a"), 1, 5_000)).unwrap(), Accepted::Duplicate(first));
        store.finish_deliveries(vec![first], at(10), "judged").unwrap();
        assert_eq!(store.accept_delivery(new(Some("b"), 1, 100)).unwrap(), Accepted::Duplicate(first));
        let second = queued(&store, new(Some("b"), 1, 101));
        assert_ne!(first, second);
        queued(&store, new(Some("c"), 3, 5_000));
        assert_eq!(store.delivery(first).unwrap(), None, "forgotten");
        assert!(store.delivery(second).unwrap().is_some(), "waits");
    }

    #[test]
    fn n26_a_full_queue_takes_nothing_and_closes_no_other() {
        let limits = QueueLimits { waiting: 2, ..QueueLimits::default() };
        let (_dir, store) = store(limits);
        let first = queued(&store, new(Some("a"), 1, 0));
        queued(&store, new(Some("b"), 2, 0));
        assert_eq!(store.accept_delivery(new(Some("c"), 3, 0)).unwrap(), Accepted::Full);
        assert_eq!(store.accept_delivery(new(Some("a"), 1, 0)).unwrap(), Accepted::Duplicate(first));
        queued(&store, NewDelivery { source: "other".to_owned(), ..new(Some("c"), 3, 0) });
        store.finish_deliveries(vec![first], at(1), "judged").unwrap();
        queued(&store, new(Some("c"), 3, 1));
        let figures = store.queue_figures().unwrap();
        let of = |source: &str| figures.iter().find(|one| one.source == source).unwrap();
        assert_eq!((of("github").waiting, of("github").kept, of("other").waiting), (2, 1, 1));
        assert_eq!(of("github").waiting_bytes, 14);
        assert_eq!(of("github").oldest, Some(at(0)));
    }

    #[test]
    fn n26_the_queue_is_bounded_in_bytes_and_leaves_the_disk_to_the_record() {
        let (_dir, small) = store(QueueLimits { waiting_bytes: 10, ..QueueLimits::default() });
        queued(&small, new(Some("a"), 1, 0));
        assert_eq!(small.accept_delivery(new(Some("b"), 2, 0)).unwrap(), Accepted::Full);
        let (_dir, crowded) = store(QueueLimits { reserve_bytes: 1 << 60, ..QueueLimits::default() });
        assert_eq!(crowded.accept_delivery(new(Some("a"), 1, 0)).unwrap(), Accepted::Full);
        crowded.check_writable().unwrap();
    }

    #[test]
    fn judged_deliveries_are_kept_up_to_a_number() {
        let (_dir, store) = store(QueueLimits { kept: 5, ..QueueLimits::default() });
        for n in 0..40_u8 {
            let number = queued(&store, new(Some(&n.to_string()), n, n.into()));
            store.finish_deliveries(vec![number], at(n.into()), "judged").unwrap();
        }
        let figures = store.queue_figures().unwrap();
        assert!((5..=6).contains(&figures[0].kept), "{figures:?}");
        assert_eq!(store.deliveries(None, None, 100).unwrap().len() as u64, figures[0].kept);
        // Down to the last one when there is not even room for it.
        let (_dir, tiny) = self::store(QueueLimits { kept_bytes: 1, ..QueueLimits::default() });
        for n in 0..3_u8 {
            let number = queued(&tiny, new(None, n, 0));
            tiny.finish_deliveries(vec![number], at(0), "judged").unwrap();
        }
        queued(&tiny, new(None, 9, 0));
        assert_eq!(tiny.queue_figures().unwrap()[0].kept, 0);
    }

    #[test]
    fn what_waits_is_handed_out_in_order_and_says_why_it_waits() {
        let (_dir, store) = store(QueueLimits::default());
        let numbers: Vec<u64> = (0..4).map(|n| queued(&store, new(None, n, n.into()))).collect();
        let elsewhere = NewDelivery { repository: RepositoryId("github:2".to_owned()), ..new(None, 9, 9) };
        queued(&store, elsewhere);
        let all = store.queued_repositories().unwrap();
        let ids: Vec<_> = all.iter().map(|one| (one.repository.0.as_str(), one.waiting)).collect();
        assert_eq!(ids, [("github:1", 4), ("github:2", 1)]);
        assert_eq!((all[0].first, all[0].oldest, all[0].source.as_str()), (numbers[0], at(0), "github"));
        store.deliveries_wait(vec![numbers[0]], "the forge does not answer").unwrap();
        store.finish_deliveries(vec![numbers[1], numbers[1]], at(20), "judged").unwrap();
        store.finish_deliveries(vec![numbers[1]], at(30), "judged again").unwrap();
        let waiting = store.queued_deliveries(&all[0].repository).unwrap();
        let found: Vec<u64> = waiting.iter().map(|one| one.number).collect();
        assert_eq!(found, [numbers[0], numbers[2], numbers[3]]);
        assert_eq!((waiting[0].attempts, waiting[0].note.as_deref()), (1, Some("the forge does not answer")));
        let done = store.delivery(numbers[1]).unwrap().unwrap();
        assert_eq!((done.done, done.note.as_deref()), (Some(at(20)), Some("judged")));
        assert!(!store.requeue_delivery(numbers[0]).unwrap(), "it waits already");
        assert!(store.requeue_delivery(numbers[1]).unwrap());
        assert_eq!(store.queued_deliveries(&all[0].repository).unwrap().len(), 4);
        assert_eq!(store.queue_figures().unwrap()[0].waiting, 5);
    }

    #[test]
    fn n26_counting_writes_nothing_until_it_is_told_to() {
        let (dir, store) = store(QueueLimits::default());
        let before = store.stats();
        for n in 0..100 {
            store.count_webhook("github", "duplicate", at(n));
        }
        assert_eq!(store.stats(), before);
        let counted = |store: &Store| store.webhook_counters().unwrap();
        let expected =
            WebhookCounter { source: "github".into(), result: "duplicate".into(), count: 100, last: at(99) };
        assert_eq!(counted(&store), std::slice::from_ref(&expected));
        store.flush_webhook_counters().unwrap();
        store.flush_webhook_counters().unwrap();
        assert_eq!(counted(&store), std::slice::from_ref(&expected));
        drop(store);
        let store = Store::open(dir.path(), Mode::ReadWrite).unwrap();
        store.count_webhook("github", "duplicate", at(3));
        assert_eq!(counted(&store), [WebhookCounter { count: 101, ..expected }]);
    }
}
