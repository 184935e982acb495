//! How often somebody may fail to authenticate.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Failures that one address may have in [`WINDOW`].
const MOST: u32 = 30;
/// For how long they count.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered. Of more, nobody knows how often they failed; each of their deliveries is
/// authenticated all the same.
const MOST_PEERS: usize = 10_000;

/// For how long an address that sent something authentic is listened to, however often it fails: a forge sends for all
/// of its users from the same few addresses, and any of them could have it fail as often as they like.
const TRUST: Duration = Duration::from_secs(24 * 3600);

/// Failures by address.
#[derive(Debug, Default)]
pub(super) struct Failures {
    peers: HashMap<IpAddr, (Instant, u32)>,
    /// When an address last sent something authentic that nobody had sent before.
    heard: HashMap<IpAddr, Instant>,
}

impl Failures {
    /// How long an address that failed too often is not listened to yet.
    pub(super) fn over(&self, peer: IpAddr, now: Instant) -> Option<Duration> {
        let (since, count) = self.peers.get(&peer_network(peer))?;
        let left = WINDOW.checked_sub(now.saturating_duration_since(*since))?;
        let trusted =
            self.heard.get(&peer_network(peer)).is_some_and(|at| now.saturating_duration_since(*at) < TRUST);
        (*count >= MOST && !left.is_zero() && !trusted).then_some(left)
    }

    /// Notes something authentic, and new: who has caught a delivery and sends it again is not heard for that.
    pub(super) fn heard(&mut self, peer: IpAddr, now: Instant) {
        let peer = peer_network(peer);
        if self.heard.len() >= MOST_PEERS && !self.heard.contains_key(&peer) {
            self.heard.retain(|_, at| now.saturating_duration_since(*at) < TRUST);
            if self.heard.len() >= MOST_PEERS {
                return;
            }
        }
        self.heard.insert(peer, now);
    }

    /// Counts one.
    pub(super) fn note(&mut self, peer: IpAddr, now: Instant) {
        let old = |since: &Instant| now.saturating_duration_since(*since) >= WINDOW;
        let peer = peer_network(peer);
        if self.peers.len() >= MOST_PEERS && !self.peers.contains_key(&peer) {
            self.peers.retain(|_, (since, _)| !old(since));
            if self.peers.len() >= MOST_PEERS {
                return;
            }
        }
        let (since, count) = self.peers.entry(peer).or_insert((now, 0));
        if old(since) {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
    }
}

/// What one peer is: whoever has one address of IPv6 has a network of them.
pub fn peer_network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_that_fails_too_often_waits_and_others_do_not() {
        let mut failures = Failures::default();
        let start = Instant::now();
        let peer = ip("192.0.2.7");
        for n in 0..MOST {
            assert_eq!(failures.over(peer, start), None, "{n}");
            failures.note(peer, start + Duration::from_secs(1));
        }
        let later = start + Duration::from_secs(11);
        assert_eq!(failures.over(peer, later), Some(Duration::from_secs(50)));
        assert!(failures.over(ip("::ffff:192.0.2.7"), later).is_some(), "the same address");
        assert_eq!(failures.over(ip("192.0.2.8"), later), None);
        assert_eq!(failures.over(peer, start + Duration::from_secs(61)), None);
        failures.note(peer, start + Duration::from_secs(62));
        assert_eq!(failures.over(peer, start + Duration::from_secs(63)), None, "counted anew");
    }

    #[test]
    fn who_sent_something_authentic_is_listened_to() {
        let mut failures = Failures::default();
        let now = Instant::now();
        let (forge, other) = (ip("192.0.2.7"), ip("192.0.2.8"));
        failures.heard(forge, now);
        for _ in 0..10 * MOST {
            failures.note(forge, now);
            failures.note(other, now);
        }
        assert_eq!(failures.over(forge, now), None, "others use the same forge, and mean ill");
        assert!(failures.over(other, now).is_some());
        let later = now + TRUST;
        for _ in 0..MOST {
            failures.note(forge, later);
        }
        assert!(failures.over(forge, later).is_some(), "not for ever");
        for n in 0..MOST_PEERS as u32 + 500 {
            failures.heard(IpAddr::V4(n.into()), later);
        }
        assert_eq!(failures.heard.len(), MOST_PEERS);
    }

    #[test]
    fn a_network_of_ipv6_is_one() {
        let mut failures = Failures::default();
        let now = Instant::now();
        for n in 0..MOST {
            failures.note(ip(&format!("2001:db8::{n:x}")), now);
        }
        assert!(failures.over(ip("2001:db8::ffff"), now).is_some());
        assert!(failures.over(ip("2001:db8:0:1::1"), now).is_none());
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let mut failures = Failures::default();
        let now = Instant::now();
        for n in 0..MOST_PEERS as u32 + 500 {
            failures.note(IpAddr::V4(n.into()), now);
        }
        assert_eq!(failures.peers.len(), MOST_PEERS);
        failures.note(ip("192.0.2.7"), now + WINDOW);
        assert_eq!(failures.peers.len(), 1);
    }
}
