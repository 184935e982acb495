//! Room in memory for the bodies of deliveries. Whoever sends one is not known before it is there, so each peer has a share
//! of it, and nobody can take the room of all by sending slowly.

use crate::service::peer_network;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Bodies that are in memory at a time, in pieces of [`PIECE`].
const PIECES: usize = 2048;
/// What bodies are counted in, bytes.
const PIECE: usize = 64 << 10;
/// Pieces of one peer: a quarter. It is more where a single body may have more.
const SHARE: usize = PIECES / 4;
/// How long a delivery waits for room in memory.
const PATIENCE: Duration = Duration::from_secs(5);

/// The room of all deliveries.
#[derive(Clone)]
pub(super) struct Memory {
    all: Arc<Semaphore>,
    shares: Shares,
}

/// The share of each peer, and of how many pieces it is; only of those that have a body on the way.
type Shares = Arc<Mutex<HashMap<IpAddr, Share>>>;

struct Share {
    pieces: Arc<Semaphore>,
    size: usize,
    bodies: usize,
}

/// Room that one body has. It is given back when this is dropped.
pub(super) struct Held {
    memory: Memory,
    /// Whose share it is of; a trusted proxy that does not say whom it speaks for has none.
    peer: Option<(IpAddr, Arc<Semaphore>)>,
    bytes: usize,
    permits: Vec<OwnedSemaphorePermit>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Memory { all: Arc::new(Semaphore::new(PIECES)), shares: Shares::default() }
    }

    /// For a body of at most `most` bytes, nothing of which is there yet.
    pub(super) fn begin(&self, from: IpAddr, trusted: bool, most: usize) -> Held {
        let peer = (!trusted).then(|| {
            let (peer, size) = (peer_network(from), SHARE.max(most.div_ceil(PIECE)));
            let mut shares = lock(&self.shares);
            let new = || Share { pieces: Arc::new(Semaphore::new(size)), size, bodies: 0 };
            let share = shares.entry(peer).or_insert_with(new);
            share.pieces.add_permits(size.saturating_sub(share.size));
            share.size = share.size.max(size);
            share.bodies += 1;
            (peer, Arc::clone(&share.pieces))
        });
        Held { memory: self.clone(), peer, bytes: 0, permits: Vec::new() }
    }
}

impl Held {
    /// Makes room for `more` bytes that came; `false` where there is none for so long that it is of no use to wait.
    /// What is counted is what came, not what was announced: announcing costs nothing.
    pub(super) async fn grow(&mut self, more: usize) -> bool {
        let has = self.bytes.div_ceil(PIECE);
        self.bytes += more;
        let Ok(more) = u32::try_from(self.bytes.div_ceil(PIECE) - has) else { return false };
        if more == 0 {
            return true;
        }
        let wait = async {
            // The own share first: who waits for that is in nobody's way.
            let own = match &self.peer {
                Some((_, share)) => Some(Arc::clone(share).acquire_many_owned(more).await.ok()?),
                None => None,
            };
            let of_all = Arc::clone(&self.memory.all).acquire_many_owned(more).await.ok()?;
            Some((own, of_all))
        };
        let Ok(Some((own, of_all))) = timeout(PATIENCE, wait).await else { return false };
        self.permits.extend(own);
        self.permits.push(of_all);
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some((peer, _)) = &self.peer else { return };
        let mut shares = lock(&self.memory.shares);
        if let Some(share) = shares.get_mut(peer) {
            share.bodies -= 1;
            if share.bodies == 0 {
                // What this one holds goes back to a share that nobody uses any more.
                shares.remove(peer);
            }
        }
    }
}

fn lock(shares: &Shares) -> MutexGuard<'_, HashMap<IpAddr, Share>> {
    shares.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test)
    }

    #[test]
    fn one_peer_has_its_share_and_a_network_of_ipv6_is_one_peer() {
        run(async {
            let memory = Memory::new();
            let begin = |from: &str, trusted| memory.begin(from.parse().unwrap(), trusted, 1 << 20);
            let mut greedy: Vec<Held> =
                (1..=SHARE).map(|n| begin(&format!("2001:db8::{n:x}"), false)).collect();
            for held in &mut greedy {
                assert!(held.grow(PIECE).await);
            }
            let mut next = begin("2001:db8::ffff:1", false);
            assert!(!next.grow(1).await, "another address of the same network");
            let mut other = begin("2001:db8:0:1::1", false);
            assert!(other.grow(SHARE * PIECE).await, "another network");
            let mut proxy = begin("192.0.2.1", true);
            assert!(proxy.grow((PIECES - 2 * SHARE) * PIECE).await, "a proxy speaks for many");
            assert!(!begin("192.0.2.2", false).grow(1).await, "there is an end to all of it");
            drop(proxy);
            assert!(begin("192.0.2.2", false).grow(1).await);
            greedy.pop();
            assert!(next.grow(1).await, "room that was given back");
            drop((greedy, next, other));
            assert!(memory.shares.lock().unwrap().is_empty(), "nobody is remembered for longer than needed");
            assert_eq!(memory.all.available_permits(), PIECES);
        });
    }

    #[test]
    fn what_comes_in_small_pieces_is_counted_once() {
        run(async {
            let memory = Memory::new();
            // A body that is larger than a share has room as well.
            let mut held = memory.begin("192.0.2.1".parse().unwrap(), false, 2 * SHARE * PIECE);
            for _ in 0..100 {
                assert!(held.grow(1000).await);
            }
            assert_eq!(memory.all.available_permits(), PIECES - 2);
            assert!(held.grow(2 * SHARE * PIECE - 100_000).await);
            assert_eq!(memory.all.available_permits(), PIECES - 2 * SHARE);
        });
    }
}
