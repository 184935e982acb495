//! What is cut off, and what is told to wait.

use crate::support::deliveries::{SECRET, Wire, head, push, request, with};
use crate::support::wait_for;
use crate::{INFRA, Site};
use countersign::forge::{ForgeKind, Headers};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[test]
fn deliveries_are_posted_to_their_path_as_they_are() {
    let site = Site::github();
    let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, 1);
    for method in ["GET", "TRACE", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let mut wire = site.wire();
        let mut raw = head(method, "/hooks/forge", &headers);
        raw.extend_from_slice(b"\r\n");
        wire.send(&raw).unwrap();
        let answer = wire.answer().unwrap();
        assert_eq!((answer.status, answer.header("allow")), (405, Some("post")), "{method}");
    }
    for path in [
        "/hooks/forge/",
        "/hooks",
        "/hooks/Forge",
        "//hooks/forge",
        "/hooks/%66orge",
        "/",
        "/hooks/forge/../forge",
    ] {
        assert_eq!(site.wire().post(path, &headers, &body).status, 404, "{path}");
    }
    assert_eq!(site.wire().post("/hooks/forge?x=1", &headers, &body).status, 400);
    for coding in ["gzip", "identity", "br", ""] {
        let coded = with(&headers, "content-encoding", coding);
        assert_eq!(site.wire().post("/hooks/forge", &coded, &body).status, 415, "{coding}");
    }
    assert!(site.queue().is_empty());
    // In pieces, with trailers.
    let mut wire = site.wire();
    let mut raw = head("POST", "/hooks/forge", &headers);
    raw.extend_from_slice(b"transfer-encoding: chunked\r\ntrailer: x-extra\r\n\r\n");
    for piece in body.chunks(100) {
        raw.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        raw.extend_from_slice(piece);
        raw.extend_from_slice(b"\r\n");
    }
    raw.extend_from_slice(b"0\r\nx-extra: 1\r\n\r\n");
    wire.send(&raw).unwrap();
    assert_eq!(wire.answer().unwrap().status, 202);
    // And another one over the same connection.
    let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, 2);
    assert_eq!(wire.post("/hooks/forge", &headers, &body).status, 202);
    // Two lengths are two requests to somebody.
    let mut raw = head("POST", "/hooks/forge", &headers);
    raw.extend_from_slice(
        format!("content-length: {}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", body.len()).as_bytes(),
    );
    let mut wire = site.wire();
    let _ = wire.send(&raw);
    let answer = wire.answer();
    assert!(answer.is_none_or(|answer| answer.status / 100 == 4));
    assert_eq!(site.queue().len(), 2);
}

#[test]
fn bodies_that_are_too_large_are_cut_off() {
    let site = Site::prepared(ForgeKind::GitHub);
    let text = site.source("forge", ForgeKind::GitHub, "{ file = \"secret\" }");
    site.configure(&text.replace("sweep", "max-body = \"16 KiB\"\nsweep"));
    site.gate.start();
    let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, 1);
    // Announced: nothing of it is read.
    let mut wire = site.wire();
    let mut raw = head("POST", "/hooks/forge", &headers);
    raw.extend_from_slice(b"content-length: 1000000000000\r\n\r\n");
    wire.send(&raw).unwrap();
    let answer = wire.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
    assert!(wire.is_closed());
    // Not announced: it ends where the limit is, however much follows.
    let mut wire = site.wire();
    let mut raw = head("POST", "/hooks/forge", &headers);
    raw.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
    wire.send(&raw).unwrap();
    let piece = [b"400\r\n".as_slice(), &[b'x'; 0x400], b"\r\n"].concat();
    let mut sent = 0;
    while sent < 64 << 20 && wire.send(&piece).is_ok() {
        sent += 0x400;
    }
    assert!(sent < 64 << 20, "somebody has to stop it");
    // One byte more, and one byte less.
    let secrets = crate::deliveries::secrets(ForgeKind::GitHub, SECRET);
    for (size, status) in [((16 << 10) + 1, 413), (16 << 10, 202)] {
        let mut padded = body.clone();
        padded.resize(size, b' ');
        let now = countersign::domain::Timestamp::now();
        let headers = countersign::forge::sign(ForgeKind::GitHub, &secrets, "push", "padded", &padded, now);
        assert_eq!(site.post(&headers, &padded), status, "{size}");
    }
}

#[test]
fn who_is_slow_is_cut_off_and_nobody_waits_for_it() {
    let site = Site::github();
    let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, 1);
    let begun = Instant::now();
    // A head that does not end, a body that does not come, and a connection on which nothing happens.
    let mut heads: Vec<Wire> = (0..20).map(|_| site.wire()).collect();
    for wire in &mut heads {
        wire.send(b"POST /hooks/forge HTTP/1.1\r\nhost: x\r\n").unwrap();
    }
    let mut bodies: Vec<Wire> = (0..20).map(|_| site.wire()).collect();
    for wire in &mut bodies {
        let raw = request("/hooks/forge", &headers, &body);
        wire.send(&raw[..raw.len() - 10]).unwrap();
    }
    let mut idle = site.wire();
    let mut kept = site.wire();
    assert_eq!(kept.post("/hooks/forge", &headers, &body).status, 202, "others are served meanwhile");
    // One that drips its head, byte by byte.
    let mut dripping = site.wire();
    dripping.send(b"POST /hooks/forge HTTP/1.1\r\nhost: x\r\nx-slow: ").unwrap();
    let mut drops = 0;
    while begun.elapsed() < Duration::from_secs(25) && dripping.send(b"x").is_ok() {
        drops += 1;
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(drops < 40, "dripping keeps no connection open");
    for wire in heads.iter_mut().chain([&mut idle, &mut kept]) {
        // Some words of goodbye are fine.
        while !wire.is_closed() {}
    }
    for wire in &mut bodies {
        assert_eq!(wire.answer().map(|answer| answer.status), Some(408));
        assert!(wire.is_closed());
    }
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    assert_eq!(site.queue().len(), 1);
}

/// Nobody knows who sends a body before it is there. One peer can have its share of the memory, and no more.
#[test]
fn n26_one_peer_with_many_slow_bodies_does_not_keep_others_out() {
    const WIRES: usize = 100;
    let site = Site::github();
    let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, 1);
    let mut slow: Vec<Wire> = (0..WIRES).map(|_| site.wire()).collect();
    let sent = AtomicUsize::new(0);
    let send = |wire: &mut Wire| {
        let mut raw = head("POST", "/hooks/forge", &headers);
        raw.extend_from_slice(b"content-length: 8000000\r\n\r\n");
        let _ = wire.send(&raw);
        // Most of it, and then nothing.
        for _ in 0..100 {
            if wire.send(&[b' '; 64 << 10]).is_err() {
                break;
            }
            sent.fetch_add(1, Ordering::Relaxed);
        }
        wire.answer().map(|answer| answer.status)
    };
    let statuses = std::thread::scope(|scope| {
        let send = &send;
        let all: Vec<_> = slow.iter_mut().map(|wire| scope.spawn(move || send(wire))).collect();
        // Nothing more of it is read: there is no room for it.
        let mut last = 0;
        wait_for("all room to be taken", Duration::from_secs(20), || {
            std::thread::sleep(Duration::from_millis(400));
            let before = std::mem::replace(&mut last, sent.load(Ordering::Relaxed));
            (last > 512 && before == last).then_some(())
        });
        let begun = Instant::now();
        let mut number = 100;
        while begun.elapsed() < Duration::from_secs(2) {
            let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, number);
            let asked = Instant::now();
            let mut other = Wire::from([127, 0, 0, 2].into(), site.gate.port());
            assert_eq!(other.post("/hooks/forge", &headers, &body).status, 202);
            assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
            number += 1;
            std::thread::sleep(Duration::from_millis(100));
        }
        all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    // All of it was given back.
    assert!(!statuses.contains(&Some(202)), "{statuses:?}");
    assert_eq!(site.post(&headers, &body), 202);
}

#[test]
fn n26_who_fails_too_often_is_not_listened_to_for_a_while() {
    let site = Site::prepared(ForgeKind::GitHub);
    *site.gate.daemon_keys.borrow_mut() = "trusted-proxies = [\"127.0.0.1\"]\n".to_owned();
    site.configure(&site.source("forge", ForgeKind::GitHub, "{ file = \"secret\" }"));
    site.gate.start();
    let records = site.gate.audit().len();
    let from = |headers: &Headers, address: &str| with(headers, "x-forwarded-for", address);
    let (good, body) = push(ForgeKind::GitHub, SECRET, INFRA, 1);
    let (bad, forged) = push(ForgeKind::GitHub, "a guess", INFRA, 2);
    let mut wire = site.wire();
    let mut post = |headers: &Headers, body: &[u8]| {
        let answer = wire.post("/hooks/forge", headers, body);
        if answer.header("connection") == Some("close") {
            wire = site.wire();
        }
        answer
    };
    for n in 0..30 {
        assert_eq!(post(&from(&bad, "203.0.113.9"), &forged).status, 401, "{n}");
    }
    let answer = post(&from(&bad, "203.0.113.9"), &forged);
    assert_eq!(answer.status, 429);
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&wait), "{wait}");
    // Whoever it says to be besides, the proxy's word counts.
    assert_eq!(post(&from(&bad, "198.51.100.1, 203.0.113.9"), &forged).status, 429);
    // Another one behind the same proxy is heard.
    assert_eq!(post(&from(&good, "203.0.113.10"), &body).status, 202);
    let health = wait_for("the figures", Duration::from_secs(5), || {
        let health = site.health();
        (health["webhooks"]["too_often"] == 2).then_some(health)
    });
    assert_eq!(health["webhooks"]["unauthentic"], 30);
    assert_eq!(site.gate.audit().len(), records, "nothing of it is in the record");
    assert_eq!(site.queue().len(), 1);
}

#[test]
fn n26_who_is_no_trusted_proxy_speaks_for_nobody() {
    let site = Site::github();
    let (bad, forged) = push(ForgeKind::GitHub, "a guess", INFRA, 2);
    let statuses: Vec<u16> = (0..40)
        .map(|n| site.post(&with(&bad, "x-forwarded-for", &format!("203.0.113.{n}")), &forged))
        .collect();
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 30, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 10, "{statuses:?}");
}

/// A forge sends for all of its users from the same addresses, and any of them can make a webhook to here.
#[test]
fn n26_a_forge_is_heard_however_often_others_misuse_it() {
    let site = Site::github();
    let (good, body) = push(ForgeKind::GitHub, SECRET, INFRA, 1);
    let (bad, forged) = push(ForgeKind::GitHub, "a guess", INFRA, 2);
    assert_eq!(site.post(&good, &body), 202);
    for n in 0..40 {
        assert_eq!(site.post(&bad, &forged), 401, "{n}");
    }
    let (good, body) = push(ForgeKind::GitHub, SECRET, INFRA, 3);
    assert_eq!(site.post(&good, &body), 202);
}

/// Each is answered, so that the other side has to write, and none of it is read.
#[test]
fn who_does_not_read_is_cut_off() {
    let site = Site::github();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", site.gate.port())).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let begun = Instant::now();
    let piece = b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1000);
    let mut stalled = false;
    let ended = loop {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is kept for ever");
        match std::io::Write::write(&mut stream, &piece) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => stalled = true,
            Err(error) => break error,
        }
    };
    assert!(stalled, "{ended}");
    let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, 1);
    assert_eq!(site.post(&headers, &body), 202, "others are served");
}

/// Each byte comes soon enough after the one before, and there is an end to all of them.
#[test]
fn a_body_that_drips_is_cut_off() {
    let site = Site::github();
    let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, 1);
    let mut wire = site.wire();
    let raw = request("/hooks/forge", &headers, &body);
    wire.send(&raw[..raw.len() - body.len()]).unwrap();
    let begun = Instant::now();
    for byte in &body {
        if wire.send(&[*byte]).is_err() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(45), "dripping keeps no delivery open");
        std::thread::sleep(Duration::from_secs(1));
    }
    assert!(begun.elapsed() > Duration::from_secs(20), "{:?}: who is slow has some time", begun.elapsed());
    assert!(site.queue().is_empty());
}

#[test]
fn n26_one_address_has_so_many_connections() {
    let site = Site::github();
    let mut wires: Vec<Wire> = (0..128).map(|_| site.wire()).collect();
    // They are all served, and the next one is not.
    let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, 1);
    let last = wires.last_mut().unwrap();
    assert_eq!(last.post("/hooks/forge", &headers, &body).status, 202);
    assert!(site.wire().is_closed(), "turned away");
    // Hooks are not touched by it.
    let ran = site.gate.countersign(&["keyring", "status"]);
    assert!(ran.status.success(), "{}", ran.stderr);
    drop(wires);
    wait_for("a place", Duration::from_secs(10), || {
        let mut wire = site.wire();
        let _ = wire.send(&request("/hooks/forge", &headers, &body));
        wire.answer()
    });
}

/// Good manners are enough to hold places: a connection that was answered, or asks nothing yet, gives way.
#[test]
fn n26_idle_connections_give_way_and_requests_do_not() {
    let site = Site::github();
    let from = |n: usize| Wire::from(Ipv4Addr::new(127, 0, 0, 2 + (n % 4) as u8), site.gate.port());
    // One of them is in the middle of its request.
    let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, 1);
    let raw = request("/hooks/forge", &headers, &body);
    let mut under_way = from(0);
    under_way.send(&raw[..raw.len() - 10]).unwrap();
    let mut others: Vec<Wire> = (1..256).map(from).collect();
    for (n, wire) in others.iter_mut().enumerate() {
        match n % 3 {
            0 => {}
            // A head that does not end.
            1 => wire.send(b"GET / HTTP/1.1\r\nhost: x\r\n").unwrap(),
            _ => {
                wire.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
                assert_eq!(wire.answer().unwrap().status, 404);
            }
        }
    }
    for n in 2..12 {
        let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, n);
        let begun = Instant::now();
        let mut wire = site.wire();
        assert_eq!(wire.post("/hooks/forge", &headers, &body).status, 202);
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        others.push(wire);
    }
    under_way.send(&raw[raw.len() - 10..]).unwrap();
    assert_eq!(under_way.answer().unwrap().status, 202, "it was not cut");
    assert_eq!(site.queue().len(), 11);
}

/// What is under way is not cut, so there is an end to places, and it is short.
#[test]
fn n26_requests_keep_their_places() {
    let site = Site::github();
    let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, 1);
    let raw = request("/hooks/forge", &headers, &body);
    let mut all: Vec<Wire> = (0..256)
        .map(|n| {
            let mut wire = Wire::from(Ipv4Addr::new(127, 0, 0, 2 + (n % 4) as u8), site.gate.port());
            wire.send(&raw[..raw.len() - 10]).unwrap();
            wire
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    assert!(site.wire().is_closed() && begun.elapsed() < Duration::from_secs(3), "turned away");
    all[255].send(&raw[raw.len() - 10..]).unwrap();
    assert_eq!(all[255].answer().unwrap().status, 202);
    let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, 2);
    assert_eq!(site.post(&headers, &body), 202, "the one that was answered gives way");
    assert!(all[255].is_closed());
}

/// Whoever has caught a delivery, or just knows the address, cannot fill the log with it.
#[test]
fn n26_the_log_does_not_grow_with_what_is_sent() {
    let site = Site::github();
    let secrets = crate::deliveries::secrets(ForgeKind::GitHub, SECRET);
    let now = countersign::domain::Timestamp::now();
    let body = b"{\"ref\": 7}";
    let caught = countersign::forge::sign(ForgeKind::GitHub, &secrets, "push", "1", body, now);
    let (other, replaced) = push(ForgeKind::GitHub, SECRET, ("99", "acme/infra"), 1);
    let (known, first) = push(ForgeKind::GitHub, SECRET, INFRA, 2);
    let mut wire = site.wire();
    assert_eq!(wire.post("/hooks/forge", &known, &first).status, 202);
    let before = site.gate.log().len();
    for _ in 0..200 {
        assert_eq!(wire.post("/hooks/forge", &caught, body).status, 200);
        assert_eq!(wire.post("/hooks/forge", &other, &replaced).status, 200);
    }
    // Without a secret nobody can be told from anybody.
    std::fs::remove_file(site.gate.home.join("secret")).unwrap();
    wait_for("the secret to be gone", Duration::from_secs(20), || {
        (wire.post("/hooks/forge", &known, &first).status == 503).then_some(())
    });
    for _ in 0..200 {
        let mut wire = site.wire();
        assert_eq!(wire.post("/hooks/forge", &Headers::default(), b"").status, 503);
    }
    let grown = site.gate.log().len() - before;
    assert!(grown < 4096, "{grown} bytes\n{}", site.gate.log());
    assert!(site.gate.log().contains("no secret can be read"), "{}", site.gate.log());
}

#[test]
fn a_full_disk_is_no_loss() {
    let site = Site::github();
    site.gate.restart_for_limits();
    let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, 1);
    site.gate.limit_files(Some(1));
    let answer = site.wire().post("/hooks/forge", &headers, &body);
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("60")), "{answer:?}");
    // What is not queued is not known either: the forge may try again.
    site.gate.limit_files(None);
    assert_eq!(site.post(&headers, &body), 202);
    assert_eq!(site.queue().len(), 1);
}
