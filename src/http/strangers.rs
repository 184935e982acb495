//! Connections over TCP: how many there are, and which of them give way.
//!
//! Nobody vouches for them, and hooks need file descriptors, too, so there are only so many places. Whoever just
//! keeps a connection does not keep others out: when all places are taken, one on which no request is under way
//! gives its own to the next that comes. What is under way is never cut for that.

use crate::service::peer_network;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Connections at a time.
const PLACES: usize = 256;

/// How many of them one address may have. A trusted proxy speaks for many.
const OF_ONE: usize = 128;

/// How many connections, beside those, may be on their way out.
const LEAVING: usize = 64;

/// All connections over TCP.
#[derive(Clone, Default)]
pub(super) struct Strangers(Arc<Shared>);

#[derive(Default)]
struct Shared {
    table: Mutex<Table>,
    /// Told once the last one has gone.
    empty: Notify,
}

#[derive(Default)]
struct Table {
    /// Counts whatever happens: what happened earlier has the smaller number.
    clock: u64,
    taken: HashMap<u64, Connection>,
    draining: bool,
}

struct Connection {
    /// Whose it is; `None` stands for a trusted proxy.
    peer: Option<IpAddr>,
    phase: Phase,
    /// Since when, by the table's clock.
    since: u64,
    leaving: bool,
    leave: Arc<Notify>,
}

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No whole head of a request has come yet.
    Silent,
    /// A request is under way.
    Asked,
    /// The last request was answered. The answer may be on its way still.
    Answered,
}

/// How a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// Nothing was asked, so nothing is owed.
    AtOnce,
    /// After what was asked has been answered.
    Answered,
}

impl Strangers {
    /// A place, if there is one left, or one to be had.
    pub(super) fn admit(&self, peer: IpAddr, trusted: bool) -> Option<Place> {
        let peer = (!trusted).then(|| peer_network(peer));
        let mut table = self.0.lock();
        if peer.is_some() && table.of(peer) >= OF_ONE {
            return None;
        }
        let leaving = table.taken.values().filter(|one| one.leaving).count();
        if table.taken.len() - leaving >= PLACES {
            if leaving >= LEAVING {
                return None;
            }
            table.make_room()?;
        }
        let number = table.tick();
        let leave = Arc::new(Notify::new());
        let connection = Connection {
            peer,
            phase: Phase::Silent,
            since: number,
            leaving: false,
            leave: Arc::clone(&leave),
        };
        table.taken.insert(number, connection);
        drop(table);
        Some(Place { shared: Arc::clone(&self.0), number, leave })
    }

    /// Ends them all, each once it has answered, and waits for that.
    pub(super) async fn drain(&self) {
        {
            let mut table = self.0.lock();
            table.draining = true;
            if table.taken.is_empty() {
                return;
            }
            for one in table.taken.values_mut() {
                one.leaving = true;
                one.leave.notify_one();
            }
        }
        self.0.empty.notified().await;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// How many connections somebody has.
    fn of(&self, peer: Option<IpAddr>) -> usize {
        self.taken.values().filter(|one| one.peer == peer).count()
    }

    /// Asks one connection to leave: of whoever has most of them, the one on which nothing has been asked for the
    /// longest time; of a trusted proxy only where nobody else has any. `None` where requests are under way on all.
    fn make_room(&mut self) -> Option<()> {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for peer in self.taken.values().filter_map(|one| one.peer) {
            *counts.entry(peer).or_default() += 1;
        }
        let has = |peer: Option<IpAddr>| peer.and_then(|peer| counts.get(&peer)).copied().unwrap_or(0);
        let idle = self.taken.values_mut().filter(|one| !one.leaving && one.phase != Phase::Asked);
        let first = idle.min_by_key(|one| (Reverse(has(one.peer)), one.since))?;
        first.leaving = true;
        first.leave.notify_one();
        Some(())
    }
}

/// The place of one connection, given back when it is dropped.
pub(super) struct Place {
    shared: Arc<Shared>,
    number: u64,
    leave: Arc<Notify>,
}

impl Place {
    /// Waits until the place is needed for somebody else, or the daemon ends.
    pub(super) async fn needed(&self) -> Leave {
        self.leave.notified().await;
        let table = self.shared.lock();
        let silent = table.taken.get(&self.number).is_some_and(|one| one.phase == Phase::Silent);
        if silent && !table.draining { Leave::AtOnce } else { Leave::Answered }
    }

    /// A request is under way until what is returned is dropped.
    pub(super) fn ask(self: &Arc<Self>) -> UnderWay {
        self.enter(Phase::Asked);
        UnderWay(Arc::clone(self))
    }

    fn enter(&self, phase: Phase) {
        let mut table = self.shared.lock();
        let since = table.tick();
        if let Some(one) = table.taken.get_mut(&self.number) {
            (one.phase, one.since) = (phase, since);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.shared.lock();
        table.taken.remove(&self.number);
        if table.draining && table.taken.is_empty() {
            self.shared.empty.notify_one();
        }
    }
}

/// A request of a connection.
pub(super) struct UnderWay(Arc<Place>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.enter(Phase::Answered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Connections on which requests are under way: `count` of one address.
    fn busy(strangers: &Strangers, peer: &str, count: usize) -> Vec<UnderWay> {
        let one = |_| Arc::new(strangers.admit(address(peer), false).unwrap()).ask();
        (0..count).map(one).collect()
    }

    fn leaving(place: &Place) -> bool {
        place.shared.lock().taken[&place.number].leaving
    }

    #[test]
    fn one_address_leaves_places_for_others_and_a_proxy_may_have_all() {
        let strangers = Strangers::default();
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let mut places = busy(&strangers, "192.0.2.1", OF_ONE);
        assert!(strangers.admit(one, false).is_none());
        let proxied = || Arc::new(strangers.admit(other, true).unwrap()).ask();
        let rest: Vec<UnderWay> = (OF_ONE..PLACES).map(|_| proxied()).collect();
        assert!(strangers.admit(other, true).is_none(), "there is an end to all of them");
        drop(rest);
        places.pop();
        assert!(strangers.admit(one, false).is_some());
        drop(places);
        let ipv6 = |n: usize| address(&format!("2001:db8::{n:x}"));
        let places: Vec<Place> = (0..OF_ONE).map(|n| strangers.admit(ipv6(n), false).unwrap()).collect();
        assert!(
            strangers.admit(ipv6(OF_ONE), false).is_none(),
            "whoever has one of these has a network of them"
        );
        assert!(strangers.admit(address("2001:db8:0:1::"), false).is_some());
        drop(places);
        assert!(strangers.0.lock().taken.is_empty(), "nobody is remembered for longer than needed");
    }

    #[test]
    fn who_has_most_gives_way_first_and_what_is_under_way_does_not() {
        let strangers = Strangers::default();
        let admit = |peer: &str| Arc::new(strangers.admit(address(peer), false).unwrap());
        let proxied = strangers.admit(address("192.0.2.9"), true).unwrap();
        let alone = admit("192.0.2.1");
        let _busy = busy(&strangers, "192.0.2.2", OF_ONE - 2);
        let (silent, answered) = (admit("192.0.2.2"), admit("192.0.2.2"));
        drop(silent.ask());
        drop(answered.ask());
        drop(silent.ask());
        let _rest = busy(&strangers, "192.0.2.3", PLACES - OF_ONE - 2);
        let mut came: Vec<UnderWay> = Vec::new();
        // The order in which they leave: of who has most the one that is idle for longest, then the others.
        for last in [&answered, &silent, &alone] {
            assert!(!leaving(last));
            came.push(admit("192.0.2.4").ask());
            assert!(leaving(last));
        }
        assert!(!leaving(&proxied), "a proxy speaks for others");
    }

    #[test]
    fn there_is_an_end_to_those_that_leave() {
        let strangers = Strangers::default();
        let places: Vec<Place> = (0..PLACES)
            .map(|n| strangers.admit(address(&format!("192.0.2.{}", n % 4)), false).unwrap())
            .collect();
        let more: Vec<Option<Place>> =
            (0..100).map(|_| strangers.admit(address("192.0.2.77"), false)).collect();
        assert_eq!(more.iter().flatten().count(), LEAVING);
        drop(places);
        assert!(strangers.admit(address("192.0.2.78"), false).is_some());
    }

    #[tokio::test]
    async fn draining_waits_for_all() {
        let strangers = Strangers::default();
        strangers.drain().await;
        let strangers = Strangers::default();
        let place = strangers.admit(address("192.0.2.1"), false).unwrap();
        let ended = tokio::spawn(async move { place.needed().await });
        strangers.drain().await;
        assert_eq!(ended.await.unwrap(), Leave::Answered, "who is asked to finish may finish");
    }
}
