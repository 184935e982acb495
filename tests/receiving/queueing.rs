//! Many at once, and what is left of them when the daemon is killed.

use crate::support::deliveries::{SECRET, Wire, push, request};
use crate::support::wait_for;
use crate::{INFRA, Site};
use countersign::domain::RepositoryId;
use countersign::forge::{ForgeKind, Headers};
use countersign::store::{Accepted, Mode, NewDelivery, Store};
use rustix::process::{Signal, kill_process};
use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Sends deliveries over so many connections at a time; gives the numbers of those that were taken.
fn burst(site: &Site, deliveries: &[(Headers, Vec<u8>)], connections: usize, stop: Option<u64>) -> Vec<u64> {
    let (port, pid) = (site.gate.port(), site.gate.pid());
    let next = AtomicU64::new(0);
    let taken = Mutex::new(Vec::new());
    let killing = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut wire = Wire::plain(port);
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some((headers, body)) = deliveries.get(n as usize) else { break };
                    let sent = wire.send(&request("/hooks/forge", headers, body));
                    let Some(answer) = sent.ok().and_then(|()| wire.answer()) else {
                        assert!(stop.is_some(), "{n} was not answered");
                        break;
                    };
                    assert_eq!(answer.status, 202, "{n}: {answer:?}");
                    taken.lock().unwrap().push(n);
                    if stop.is_some_and(|stop| killing.fetch_add(1, Ordering::Relaxed) + 1 == stop) {
                        kill_process(pid, Signal::KILL).unwrap();
                    }
                }
            });
        }
    });
    taken.into_inner().unwrap()
}

fn prepared(count: u64) -> Vec<(Headers, Vec<u8>)> {
    (0..count).map(|n| push(ForgeKind::GitHub, SECRET, INFRA, n)).collect()
}

/// The numbers of the pushes in the queue, in its order.
fn numbers(site: &Site) -> Vec<u64> {
    let number = |event: &str| {
        let after = event.split("\"after\":\"").nth(1).unwrap();
        u64::from_str_radix(&after[..40], 16).unwrap() - 2
    };
    site.queue().iter().map(|one| number(&one.event)).collect()
}

/// The most memory that the daemon ever had, in KiB.
fn peak(site: &Site) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", site.gate.pid().as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_thousand_at_once_are_all_queued_and_memory_stays_flat() {
    let site = Site::github();
    let deliveries = prepared(1000);
    // What the first ones take is what there is to take.
    let first = burst(&site, &deliveries[..64], 64, None);
    assert_eq!(first.len(), 64);
    let before = peak(&site);
    let started = Instant::now();
    let rest = burst(&site, &deliveries[64..], 64, None);
    let took = started.elapsed();
    assert_eq!(rest.len(), 936);
    let after = peak(&site);
    assert!(after < before + (48 << 10), "{before} KiB, then {after} KiB");
    assert!(took < Duration::from_secs(60), "{took:?}");
    let mut found = numbers(&site);
    found.sort_unstable();
    assert_eq!(found, (0..1000).collect::<Vec<_>>());
    eprintln!("936 deliveries over 64 connections: {took:?}; peak {before} KiB, then {after} KiB");
}

#[test]
fn one_repositorys_deliveries_keep_their_order() {
    let site = Site::github();
    let mut wire = site.wire();
    for (n, (headers, body)) in prepared(50).iter().enumerate() {
        assert_eq!(wire.post("/hooks/forge", headers, body).status, 202, "{n}");
    }
    assert_eq!(numbers(&site), (0..50).collect::<Vec<_>>());
}

#[test]
fn what_was_taken_is_there_once_after_a_kill() {
    let site = Site::github();
    let deliveries = prepared(500);
    let mut taken: BTreeSet<u64> = BTreeSet::new();
    for (round, kill_at) in [57, 140, 90].into_iter().enumerate() {
        let left: Vec<u64> = (0..500).filter(|n| !taken.contains(n)).collect();
        let sent: Vec<_> = left.iter().map(|n| deliveries[*n as usize].clone()).collect();
        // What was taken without an answer comes again, as forges do, and is a duplicate then: not in this burst.
        let known: BTreeSet<u64> = numbers(&site).into_iter().collect();
        let fresh: Vec<usize> = (0..left.len()).filter(|at| !known.contains(&left[*at])).collect();
        let sent: Vec<_> = fresh.iter().map(|at| sent[*at].clone()).collect();
        let answered = burst(&site, &sent, 16, Some(kill_at));
        taken.extend(answered.iter().map(|at| left[fresh[*at as usize]]));
        site.gate.ended();
        site.gate.start();
        let queued = numbers(&site);
        let once: BTreeSet<u64> = queued.iter().copied().collect();
        assert_eq!(queued.len(), once.len(), "round {round}: none is there twice");
        let lost: Vec<&u64> = taken.difference(&once).collect();
        assert!(lost.is_empty(), "round {round}: taken and lost: {lost:?}");
    }
    // The forge sends everything again.
    for (n, (headers, body)) in deliveries.iter().enumerate() {
        let status = site.post(headers, body);
        let expected =
            if taken.contains(&(n as u64)) { status == 200 } else { status == 200 || status == 202 };
        assert!(expected, "{n}: {status}");
    }
    let mut all = numbers(&site);
    all.sort_unstable();
    assert_eq!(all, (0..500).collect::<Vec<_>>());
}

/// Deliveries that came while the clock was wrong, to either side, are worked off like all others, in the order in
/// which they came.
#[test]
fn a_clock_that_jumps_loses_no_delivery() {
    let site = Site::github();
    site.gate.stop();
    let store = Store::open(&site.gate.state(), Mode::ReadWrite).unwrap();
    let repository = RepositoryId("forge:41".to_owned());
    let times =
        ["2100-01-01T00:00:00Z", "1971-01-01T00:00:00Z", "2100-01-01T00:00:00Z", "2026-01-01T00:00:00Z"];
    let mut numbers = Vec::new();
    for (n, time) in (0_u8..).zip(times) {
        let delivery = NewDelivery {
            source: "forge".to_owned(),
            id: Some(format!("id-{n}")),
            id_signed: false,
            digest: [n; 32],
            repository: repository.clone(),
            event: "{}".to_owned(),
            received: time.parse().unwrap(),
        };
        let Accepted::Queued(number) = store.accept_delivery(delivery).unwrap() else { panic!("{n}") };
        numbers.push(number);
    }
    let queued: Vec<u64> =
        store.queued_deliveries(&repository).unwrap().iter().map(|one| one.number).collect();
    assert_eq!(queued, numbers);
    assert_eq!(store.queued_repositories().unwrap()[0].waiting, 4);
    drop(store);
    // The daemon takes each of them up at once: it says of each why it waits.
    site.gate.start();
    wait_for("a look at all of them", Duration::from_secs(30), || {
        let noted = site.queue().iter().filter(|one| one.note.is_some() || one.done.is_some()).count();
        (noted == 4).then_some(())
    });
}
