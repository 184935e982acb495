//! Secrets: where they are, how they change, and that nobody sees them.

use crate::support::deliveries::{self, SECRET, push, with};
use crate::support::wait_for;
use crate::{INFRA, Site};
use countersign::forge::ForgeKind;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

/// Whoever fails too often in a minute is not heard any more.
const PAUSE: Duration = Duration::from_secs(1);

#[test]
fn secrets_are_changed_while_it_runs() {
    let site = Site::prepared(ForgeKind::GitHub);
    site.write_secret("next", "test only: the next one");
    site.configure(&site.source("forge", ForgeKind::GitHub, "{ file = \"secret\" }, { file = \"next\" }"));
    site.gate.start();
    let mut n = 0;
    let mut status = |secret: &str| {
        n += 1;
        let (headers, body) = push(ForgeKind::GitHub, secret, INFRA, n);
        site.post(&headers, &body)
    };
    assert_eq!(status(SECRET), 202);
    assert_eq!(status("test only: the next one"), 202, "several at once");
    assert_eq!(status("test only: a third one"), 401);
    site.write_secret("secret", "test only: a third one");
    wait_for("the new secret", Duration::from_secs(20), || {
        std::thread::sleep(PAUSE);
        (status("test only: a third one") == 202).then_some(())
    });
    assert_eq!(status(SECRET), 401, "the old one is over");
    assert_eq!(status("test only: the next one"), 202);
    // One that is gone, or open to others, authenticates nobody any more, and that is told.
    fs::set_permissions(site.gate.home.join("next"), fs::Permissions::from_mode(0o644)).unwrap();
    wait_for("the secret to count no more", Duration::from_secs(20), || {
        (status("test only: the next one") == 401).then_some(())
    });
    fs::remove_file(site.gate.home.join("secret")).unwrap();
    wait_for("nothing to be left", Duration::from_secs(20), || {
        (status("test only: a third one") == 503).then_some(())
    });
    let told = wait_for("health", Duration::from_secs(5), || {
        let health = site.health();
        let told = health["webhooks"]["secret_errors"].as_str()?.to_owned();
        (health["status"] == "degraded" && told.contains("cannot read")).then_some(told)
    });
    assert!(told.contains("is open to everybody") && told.contains("cannot read"), "{told}");
    assert_eq!(site.health()["ready"], true, "pushes through hooks have nothing to do with it");
    site.write_secret("secret", SECRET);
    wait_for("the secret to be back", Duration::from_secs(20), || {
        std::thread::sleep(PAUSE);
        (status(SECRET) == 202).then_some(())
    });
}

#[test]
fn a_gate_without_a_secret_does_not_start() {
    let site = Site::prepared(ForgeKind::GitHub);
    let secret = site.gate.home.join("secret");
    let fails = |says: &str| {
        let ran = site.gate.serve_fails();
        assert_eq!(ran.code(), Some(2), "{}", ran.stderr);
        assert!(ran.stderr.contains(says) && ran.stderr.contains("countersign.toml:"), "{}", ran.stderr);
        assert!(!ran.stderr.contains(SECRET), "{}", ran.stderr);
        let ran = site.gate.countersign(&["config", "check"]);
        assert_eq!(ran.code(), Some(2), "{}", ran.stdout);
        assert!(ran.stdout.contains(says) && !ran.stdout.contains(SECRET), "{}", ran.stdout);
    };
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    fails("is open to everybody");
    fs::write(&secret, "\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    fails("is empty");
    fs::remove_file(&secret).unwrap();
    fails("cannot read");
    // What only the service has is no fault of the file's.
    site.configure(&site.source(
        "forge",
        ForgeKind::GitHub,
        "{ credential = \"hook\" }, { env = \"HOOK_SECRET\" }",
    ));
    let ran = site.gate.countersign(&["config", "check"]).ok();
    assert!(ran.stdout.contains("the daemon does not start without it"), "{}", ran.stdout);
    assert_eq!(site.gate.serve_fails().code(), Some(2));
}

#[test]
fn secrets_come_from_the_environment_and_from_systemd() {
    let site = Site::prepared(ForgeKind::GitHub);
    let credentials = site.gate.home.join("credentials");
    fs::create_dir(&credentials).unwrap();
    deliveries::write_secret(&credentials.join("hook"), "test only: of systemd\n");
    site.configure(&site.source(
        "forge",
        ForgeKind::GitHub,
        "{ credential = \"hook\" }, { env = \"HOOK_SECRET\" }",
    ));
    let mut command = site.gate.sandbox.command(crate::support::gate::PROGRAM, site.gate.sandbox.root());
    command.arg("serve").arg("--config").arg(site.gate.config());
    command.env("CREDENTIALS_DIRECTORY", &credentials).env("HOOK_SECRET", "test only: of the environment");
    site.gate.start_as(command);
    for (n, secret) in ["test only: of systemd", "test only: of the environment"].into_iter().enumerate() {
        let (headers, body) = push(ForgeKind::GitHub, secret, INFRA, n as u64);
        assert_eq!(site.post(&headers, &body), 202, "{secret}");
    }
    // Credentials can be renewed as well.
    deliveries::write_secret(&credentials.join("hook"), "test only: of systemd, the next");
    let mut n = 10;
    wait_for("the new credential", Duration::from_secs(20), || {
        std::thread::sleep(PAUSE);
        n += 1;
        let (headers, body) = push(ForgeKind::GitHub, "test only: of systemd, the next", INFRA, n);
        (site.post(&headers, &body) == 202).then_some(())
    });
}

#[test]
fn nobody_sees_secrets_or_payloads() {
    let site = Site::prepared(ForgeKind::GitLab);
    let mut command = site.gate.sandbox.command(crate::support::gate::PROGRAM, site.gate.sandbox.root());
    command.arg("serve").arg("--config").arg(site.gate.config()).env("COUNTERSIGN_LOG", "trace");
    site.gate.start_as(command);
    let (headers, body) = push(ForgeKind::GitLab, SECRET, INFRA, 1);
    let marked = String::from_utf8(body.clone()).unwrap().replacen('{', "{\"hunter2\":\"hunter2\",", 1);
    assert_eq!(site.post(&headers, marked.as_bytes()), 202);
    let wrong = with(&headers, "x-gitlab-token", "hunter2, and what else somebody tries");
    assert_eq!(site.post(&wrong, marked.as_bytes()), 401);
    let odd = with(&headers, "x-gitlab-token", "hunter2 \u{7} bell");
    assert_eq!(site.post(&odd, marked.as_bytes()) / 100, 4);
    let shown = site.gate.countersign(&["config", "check", "--format", "json"]).ok();
    let everything = [
        site.gate.log(),
        site.gate.get("/health").1,
        format!("{:?}", site.gate.audit()),
        format!("{:?}", site.queue()),
        shown.stdout,
        shown.stderr,
    ];
    for text in everything {
        assert!(!text.contains(SECRET) && !text.contains("hunter2"), "{text}");
    }
    assert!(site.gate.log().contains("not authentic"), "the log says as much as it can");
    // Nor does the state hold what was sent.
    for name in ["state.db", "state.db-wal"] {
        let bytes = fs::read(site.gate.state().join(name)).unwrap_or_default();
        assert!(!bytes.windows(7).any(|seven| seven == b"hunter2"), "{name}");
    }
}
