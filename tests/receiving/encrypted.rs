//! TLS, with certificates made by openssl.

use crate::support::deliveries::{SECRET, Wire, push};
use crate::support::sandbox::run;
use crate::support::wait_for;
use crate::{INFRA, Site};
use countersign::forge::ForgeKind;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Makes a certificate that is its own authority; gives the paths of certificate and key.
fn certificate(site: &Site, name: &str) -> (PathBuf, PathBuf) {
    let (certificate, key) =
        (site.gate.home.join(format!("{name}.pem")), site.gate.home.join(format!("{name}.key")));
    let mut command = site.gate.sandbox.command("openssl", site.gate.sandbox.root());
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]);
    command.args(["-subj", "/CN=test only", "-addext", "subjectAltName=DNS:gate.example.org"]);
    // Its own authority, and none for others: clients do not take an authority's certificate for a server's.
    command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    command.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    run(command, b"").ok();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    (certificate, key)
}

fn prepared() -> (Site, PathBuf, PathBuf) {
    let site = Site::prepared(ForgeKind::GitHub);
    let (certificate, key) = certificate(&site, "in-use");
    *site.gate.daemon_keys.borrow_mut() =
        "[daemon.tls]\ncertificate = \"in-use.pem\"\nkey = \"in-use.key\"\n".to_owned();
    site.configure(&site.source("forge", ForgeKind::GitHub, "{ file = \"secret\" }"));
    (site, certificate, key)
}

#[test]
fn deliveries_come_over_tls_and_not_in_the_clear() {
    let (site, authority, _) = prepared();
    site.gate.start();
    let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, 1);
    let mut wire = Wire::tls(site.gate.port(), &authority).unwrap();
    assert_eq!(wire.post("/hooks/forge", &headers, &body).status, 202);
    let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, 2);
    assert_eq!(wire.post("/hooks/forge", &headers, &body).status, 202, "over the same connection");
    let mut clear = site.wire();
    let _ = clear.send(&crate::deliveries::request("/hooks/forge", &headers, &body));
    assert!(clear.answer().is_none(), "nothing is answered in the clear");
    let (other, _) = certificate(&site, "other");
    assert!(Wire::tls(site.gate.port(), &other).is_err(), "the test's client believes no other certificate");
    // Old protocols are not spoken.
    let mut command = site.gate.sandbox.command("openssl", site.gate.sandbox.root());
    let address = format!("127.0.0.1:{}", site.gate.port());
    command.args(["s_client", "-connect", &address, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    assert!(!run(command, b"").status.success());
    assert_eq!(site.queue().len(), 2);
}

#[test]
fn a_new_certificate_is_taken_while_it_runs_and_a_bad_one_is_not() {
    let (site, certificate_path, key_path) = prepared();
    site.gate.start();
    let (next, next_key) = certificate(&site, "next");
    let old = site.gate.home.join("old.pem");
    fs::copy(&certificate_path, &old).unwrap();
    let mut kept = Wire::tls(site.gate.port(), &old).unwrap();
    let mut n = 0;
    let mut post = |wire: &mut Wire| {
        n += 1;
        let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, n);
        wire.post("/hooks/forge", &headers, &body).status
    };
    assert_eq!(post(&mut kept), 202);
    // The certificate alone, without its key: what was there stays, and that is said.
    fs::copy(&next, &certificate_path).unwrap();
    wait_for("the fault to be told", Duration::from_secs(20), || {
        site.gate.log().contains("the one before stays").then_some(())
    });
    assert_eq!(post(&mut Wire::tls(site.gate.port(), &old).unwrap()), 202);
    assert!(Wire::tls(site.gate.port(), &next).is_err());
    let health = || {
        let mut wire =
            Wire::tls(site.gate.port(), &old).or_else(|_| Wire::tls(site.gate.port(), &next)).unwrap();
        wire.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        serde_json::from_str::<serde_json::Value>(&wire.answer().unwrap().body).unwrap()
    };
    wait_for("health", Duration::from_secs(5), || {
        let health = health();
        (health["status"] == "degraded" && health["webhooks"]["certificate_error"].is_string()).then_some(())
    });
    assert_eq!(health()["ready"], true);
    // With its key it is taken; who was connected already goes on.
    fs::copy(&next_key, &key_path).unwrap();
    wait_for("the new certificate", Duration::from_secs(20), || {
        Wire::tls(site.gate.port(), &next).ok().map(drop)
    });
    assert!(Wire::tls(site.gate.port(), &old).is_err());
    assert_eq!(post(&mut Wire::tls(site.gate.port(), &next).unwrap()), 202);
    wait_for("health", Duration::from_secs(5), || (health()["status"] == "ok").then_some(()));
    // A file that is gone is no certificate either.
    fs::remove_file(&certificate_path).unwrap();
    wait_for("the fault to be told", Duration::from_secs(20), || {
        health()["webhooks"]["certificate_error"]
            .as_str()
            .map(|told| assert!(told.contains("cannot read"), "{told}"))
    });
    assert_eq!(post(&mut Wire::tls(site.gate.port(), &next).unwrap()), 202);
}

#[test]
fn a_gate_with_a_bad_certificate_does_not_start() {
    let (site, certificate_path, key_path) = prepared();
    let fails = |says: &str| {
        let ran = site.gate.serve_fails();
        assert_ne!(ran.code(), Some(0));
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
        assert!(!ran.stderr.contains("PRIVATE KEY"), "{}", ran.stderr);
    };
    let good = (fs::read(&certificate_path).unwrap(), fs::read(&key_path).unwrap());
    fs::set_permissions(&key_path, fs::Permissions::from_mode(0o644)).unwrap();
    fails("is open to everybody");
    fs::set_permissions(&key_path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key_path, b"-----BEGIN PRIVATE KEY-----\nbm8=\n-----END PRIVATE KEY-----\n").unwrap();
    fails("cannot be used");
    fs::write(&key_path, b"not a key").unwrap();
    fails("not a private key in PEM");
    fs::write(&key_path, &good.1).unwrap();
    fs::write(&certificate_path, b"").unwrap();
    fails("there is no certificate in the file");
    let (_, other_key) = certificate(&site, "other");
    fs::write(&certificate_path, &good.0).unwrap();
    fs::copy(other_key, &key_path).unwrap();
    fails("cannot be used");
    fs::remove_file(&certificate_path).unwrap();
    fails("cannot read the certificate");
    // Opening it would wait for whoever writes to it.
    let pipe = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &certificate_path, pipe, rustix::fs::Mode::RUSR, 0).unwrap();
    fails("is not a regular file");
    // Whoever checks the configuration is told as much.
    let ran = site.gate.countersign(&["config", "check"]);
    assert!(ran.code() == Some(2) && ran.stdout.contains("is not a regular file"), "{ran:?}");
    fs::remove_file(&certificate_path).unwrap();
    fs::write(&certificate_path, &good.0).unwrap();
    fs::write(&key_path, &good.1).unwrap();
    site.gate.countersign(&["config", "check"]).ok();
    fs::set_permissions(&key_path, fs::Permissions::from_mode(0o644)).unwrap();
    let ran = site.gate.countersign(&["config", "check"]);
    assert!(ran.code() == Some(2) && ran.stdout.contains("is open to everybody"), "{ran:?}");
}

#[test]
fn who_does_not_shake_hands_is_cut_off() {
    let (site, authority, _) = prepared();
    site.gate.start();
    let begun = Instant::now();
    let silent: Vec<TcpStream> =
        (0..20).map(|_| TcpStream::connect(("127.0.0.1", site.gate.port())).unwrap()).collect();
    let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, 1);
    let mut wire = Wire::tls(site.gate.port(), &authority).unwrap();
    assert_eq!(wire.post("/hooks/forge", &headers, &body).status, 202, "others are served meanwhile");
    for stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut byte = [0];
        let read = std::io::Read::read(&mut &stream, &mut byte);
        assert!(
            matches!(read, Ok(0))
                || read.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
        );
    }
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
}
