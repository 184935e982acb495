//! A daemon that notices changes by itself (N15), says what is in force, and is told of changes by those who
//! may (N21, N22, N26).

use crate::support::gate::{Gate, PRODUCTION, PROGRAM};
use crate::support::sandbox::{Ran, run};
use crate::support::scene::Scene;
use crate::support::signers::Signer;
use crate::support::wait_for;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Within so long a change of files that are left alone is in force, on a machine that is busy with other
/// tests: a look is 5 seconds after another at most, the next a second later, and each may take its time.
const SOON: Duration = Duration::from_secs(40);
/// The account that plays git's.
const GIT: u32 = 65534;

fn status(gate: &Gate) -> (Option<i32>, Value) {
    let ran = gate.countersign(&["keyring", "status", "--format", "json"]);
    let document = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    (ran.code(), document)
}

fn health(gate: &Gate) -> Value {
    serde_json::from_str(&gate.get("/health").1).unwrap()
}

/// Waits until what is on disk is in force.
#[track_caller]
fn settled(gate: &Gate) -> Value {
    wait_for("the files to be in force", SOON, || {
        let (code, document) = status(gate);
        (code == Some(0)).then_some(document)
    })
}

#[track_caller]
fn rejected(gate: &Gate) -> Value {
    wait_for("the files to be rejected", SOON, || {
        Some(health(gate)).filter(|now| !now["reload_error"].is_null())
    })
}

fn kinds(gate: &Gate, kind: &str) -> Vec<Value> {
    gate.audit().into_iter().filter(|record| record["kind"] == kind).collect()
}

fn file(gate: &Gate, name: &str) -> PathBuf {
    gate.home.join("keyring").join(format!("{name}.toml"))
}

/// What a principal's file holds, without writing it.
fn principal(signer: &Signer) -> String {
    let key = fs::read_to_string(&signer.public).unwrap();
    let name = &signer.name;
    format!(
        "name = \"{name}\"\nkind = \"person\"\nemails = [\"{name}@example.com\"]\ngroups = [\"sre\"]\n\n\
         [[key]]\nssh = \"{}\"\n",
        key.trim()
    )
}

fn answer(gate: &Gate, method: &str, path: &str, body: &[u8]) -> (u16, String) {
    let mut stream = UnixStream::connect(gate.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // What is too large is answered before all of it was sent.
    let _ = stream.write_all(body);
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    let code = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (code, text.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

/// Runs a program as the account that plays git's.
fn as_git(gate: &Gate, program: &str, arguments: &[&str]) -> Ran {
    let mut command = gate.sandbox.command("setpriv", gate.sandbox.root());
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--no-new-privs",
        "--bounding-set=-all",
    ]);
    command.arg(program).args(arguments);
    run(command, b"")
}

fn change(reason: &str) -> Value {
    json!({
        "id": "a".repeat(32), "at": "1999-01-01T00:00:00Z", "action": "revoke",
        "by": { "login": "mallory", "uid": 4711 }, "reason": reason, "principals": ["alice"],
        "keys": [], "files": [], "keyring_before": "b".repeat(64), "keyring_after": "c".repeat(64),
    })
}

#[test]
fn n15_a_hand_edit_is_in_force_within_seconds_and_on_record() {
    let scene = Scene::new();
    let gate = &scene.gate;
    let bob = Signer::ssh(&gate.sandbox, "bob", &["ed25519"]);
    let work = scene.clone();
    work.commit(Some(&bob), "OPS-3: by somebody new");
    work.push(&["main"]).assert_refused(&["untrusted-signer"]);
    let before = health(gate)["keyring"].clone();
    let started = Instant::now();
    fs::write(file(gate, "bob"), principal(&bob)).unwrap();
    let now = settled(gate);
    assert!(started.elapsed() < SOON);
    assert_eq!(now["state"], "in-force");
    assert_eq!(now["daemon"]["keyring"]["principals"], 2);
    assert_eq!(now["daemon"]["keyring"]["digest"], now["files"]["keyring"]["digest"]);
    work.accepted(&["main"]);
    let found = wait_for("the record", SOON, || kinds(gate, "keyring-found").pop());
    assert_eq!(found["keyring_before"], before, "{found}");
    assert_eq!(found["keyring_after"], now["daemon"]["keyring"]["digest"]);
    assert_eq!(found["principals"], json!(["bob"]));
    assert_eq!(found["files"][0]["name"], "bob.toml");
    assert!(found["files"][0]["before"].is_null() && found["files"][0]["after"].is_string(), "{found}");
    // What is gone counts no more.
    fs::remove_file(file(gate, "bob")).unwrap();
    settled(gate);
    work.commit(Some(&bob), "OPS-4: by somebody who left");
    work.push(&["main"]).assert_refused(&["untrusted-signer"]);
    gate.countersign(&["audit", "verify"]).ok();
}

#[test]
fn n15_a_broken_file_changes_nothing_but_what_it_revokes_and_can_be_put_right() {
    let scene = Scene::new();
    let gate = &scene.gate;
    let good = fs::read_to_string(file(gate, "alice")).unwrap();
    fs::write(file(gate, "broken"), "name = \"broken\"\nkind = [\n").unwrap();
    let now = rejected(gate);
    assert_eq!(now["status"], "degraded");
    let (code, told) = status(gate);
    assert_eq!((code, &told["state"]), (Some(1), &json!("rejected")));
    let rejection = &told["daemon"]["rejected"];
    assert!(rejection["faults"][0]["file"].as_str().unwrap().ends_with("broken.toml"), "{told}");
    assert!(rejection["faults"][0]["line"].as_u64().unwrap() > 0, "{told}");
    assert!(rejection["since"].is_string() && told["daemon"]["last_good_until"].is_string(), "{told}");
    assert_eq!(rejection["revocations_taken"], 0);
    let text = gate.countersign(&["keyring", "status"]);
    assert!(text.stdout.contains("rejected:") && text.stdout.contains("broken.toml:"), "{}", text.stdout);
    assert!(gate.log().contains("last good one stays in force"));
    let reloads = kinds(gate, "reload").len();
    scene.push().assert_accepted();

    // What is rejected as a whole still revokes.
    let revoked = "revoked = { at = 2026-01-01T00:00:00Z, reason = \"compromised\" }\n";
    fs::write(file(gate, "alice"), format!("{good}{revoked}")).unwrap();
    wait_for("the revocation", SOON, || {
        (status(gate).1["daemon"]["rejected"]["revocations_taken"] == 1).then_some(())
    });
    let work = scene.clone();
    work.commit(Some(&scene.alice), "OPS-3: by a stolen key");
    work.push(&["main"]).assert_refused(&["bad-signature"]);
    let since = status(gate).1["daemon"]["rejected"]["since"].clone();
    assert_eq!(since, rejection["since"], "it was never mended in between");
    assert!(kinds(gate, "reload").len() > reloads, "the revocation is on record");

    // Put right: both are as they were.
    fs::write(file(gate, "alice"), good).unwrap();
    fs::remove_file(file(gate, "broken")).unwrap();
    let now = settled(gate);
    assert!(now["daemon"]["rejected"].is_null() && now["daemon"]["last_good_until"].is_null(), "{now}");
    work.accepted(&["main"]);
}

#[test]
fn n15_a_file_that_is_saved_in_steps_is_taken_once_and_whole() {
    let scene = Scene::new();
    let gate = &scene.gate;
    let bob = Signer::ssh(&gate.sandbox, "bob", &["ed25519"]);
    let whole = principal(&bob) + "revoked = { at = 2026-01-01T00:00:00Z, reason = \"compromised\" }\n";
    let before = kinds(gate, "reload").len();
    // Each step but the first loads: without the last line the key would count.
    let mut out = fs::File::create(file(gate, "bob")).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let started = Instant::now();
    for line in lines {
        out.write_all(line.as_bytes()).unwrap();
        out.sync_all().unwrap();
        std::thread::sleep(Duration::from_millis(250));
        let now = health(gate);
        let principals = now["principals"].as_u64().unwrap();
        let slow = started.elapsed() > Duration::from_secs(8);
        assert!(slow || (principals == 1 && now["reload_error"].is_null()), "half a file was taken: {now}");
    }
    drop(out);
    settled(gate);
    let reloads = kinds(gate, "reload");
    assert!(reloads.len() - before <= 2, "{reloads:?}");
    let work = scene.clone();
    work.commit(Some(&bob), "OPS-3: by a key that is revoked in the last line");
    work.push(&["main"]).assert_refused(&["bad-signature"]);
}

#[test]
fn n15_a_directory_that_is_gone_keeps_the_last_good_one() {
    let scene = Scene::new();
    let gate = &scene.gate;
    let (keyring, away) = (gate.home.join("keyring"), gate.home.join("away"));
    fs::rename(&keyring, &away).unwrap();
    rejected(gate);
    let (code, told) = status(gate);
    assert_eq!((code, told["daemon"]["keyring"]["principals"].as_u64()), (Some(1), Some(1)), "{told}");
    scene.push().assert_accepted();
    fs::rename(&away, &keyring).unwrap();
    settled(gate);
    // The same for one that others may write to.
    fs::set_permissions(&keyring, fs::Permissions::from_mode(0o777)).unwrap();
    rejected(gate);
    fs::set_permissions(&keyring, fs::Permissions::from_mode(0o755)).unwrap();
    settled(gate);
    // And for one below such a directory.
    fs::set_permissions(gate.sandbox.root(), fs::Permissions::from_mode(0o777)).unwrap();
    let told = rejected(gate);
    assert!(told["reload_error"].as_str().unwrap().contains("others can write this directory"), "{told}");
    fs::set_permissions(gate.sandbox.root(), fs::Permissions::from_mode(0o755)).unwrap();
    settled(gate);
}

#[test]
fn n26_a_burst_of_changes_is_read_a_few_times_only() {
    let scene = Scene::new();
    let gate = &scene.gate;
    let before = kinds(gate, "reload").len();
    let bob = Signer::ssh(&gate.sandbox, "bob", &["ed25519"]);
    let started = Instant::now();
    for round in 0..300 {
        fs::write(file(gate, "bob"), format!("# {round}\n{}", principal(&bob))).unwrap();
        std::thread::sleep(Duration::from_millis(10));
    }
    let busy = started.elapsed().as_secs();
    settled(gate);
    let reloads = kinds(gate, "reload").len() - before;
    let most = 2 + usize::try_from(busy).unwrap() / 10;
    assert!((1..=most).contains(&reloads), "{reloads} reloads in {busy} s");
    // A flood of signals is no flood of readings either, and every one of the last is served.
    let before = kinds(gate, "reload").len();
    for _ in 0..2000 {
        gate.signal(Signal::HUP);
    }
    wait_for("a reload", SOON, || (kinds(gate, "reload").len() > before).then_some(()));
    fs::write(file(gate, "bob"), format!("# the last\n{}", principal(&bob))).unwrap();
    settled(gate);
    assert!(kinds(gate, "reload").len() - before < 300);
}

#[test]
fn n15_includes_and_the_files_beside_the_keyring_are_watched_too() {
    let scene = Scene::new();
    let gate = &scene.gate;
    let rules = gate.home.join("rulesets.d");
    fs::create_dir(&rules).unwrap();
    let signers = gate.home.join("allowed_signers");
    let bob = Signer::ssh(&gate.sandbox, "bob", &["ed25519"]);
    let key = fs::read_to_string(&bob.public).unwrap();
    fs::write(&signers, format!("bob@example.com namespaces=\"git\" {key}")).unwrap();
    let policy = PRODUCTION.replace("[policy]\n", "[policy]\ninclude = \"rulesets.d/*.toml\"\n");
    gate.configure(&format!(
        "{policy}\n[[keyring.allowed-signers]]\npath = \"allowed_signers\"\ngroups = [\"sre\"]\n"
    ));
    settled(gate);
    let work = scene.clone();
    work.commit(Some(&bob), "OPS-3: by a line of a file");
    work.accepted(&["main"]);
    // The line goes.
    fs::write(&signers, format!("carol@example.com namespaces=\"git\" {}", other_key(gate))).unwrap();
    settled(gate);
    work.commit(Some(&bob), "OPS-4: without a line");
    work.push(&["main"]).assert_refused(&["untrusted-signer"]);
    // A file that is included is new.
    let strict = "[[ruleset]]\nname = \"frozen\"\nrepositories = [\"**\"]\nrefs = [\"refs/heads/frozen\"]\n\
                  enforcement = \"enforce\"\n[ruleset.refuse]\nref-creation = true\n";
    fs::write(rules.join("frozen.toml"), strict).unwrap();
    settled(gate);
    work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    work.push(&["HEAD:refs/heads/frozen"]).assert_refused(&["ref-creation"]);
}

fn other_key(gate: &Gate) -> String {
    let carol = Signer::ssh(&gate.sandbox, "carol", &["ed25519"]);
    fs::read_to_string(&carol.public).unwrap()
}

#[test]
fn n15_a_command_tells_the_daemon_and_a_revocation_waits_for_it() {
    let scene = Scene::new();
    let gate = &scene.gate;
    let bob = Signer::ssh(&gate.sandbox, "bob", &["ed25519"]);
    gate.trust(&bob, "sre");
    settled(gate);
    let key = bob.public.to_str().unwrap();
    let revoke = ["keyring", "revoke", "bob", key, "--reason", "compromised", "--note", "laptop lost"];
    let ran = gate.countersign(&revoke).ok();
    assert!(ran.stdout.contains("in force since"), "{}", ran.stdout);
    // At once, not at the next look.
    assert_eq!(status(gate).0, Some(0));
    let work = scene.clone();
    work.commit(Some(&bob), "OPS-3: by a stolen key");
    work.push(&["main"]).assert_refused(&["bad-signature"]);
    let told = kinds(gate, "keyring-changed");
    let actions: Vec<_> = told.iter().map(|record| record["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["add", "revoke"]);
    let by = &told[1]["by"];
    assert_eq!(by["uid"], rustix::process::getuid().as_raw(), "{by}");
    assert!(by["account"].is_string(), "{by}");
    assert!(told[1]["reason"].as_str().unwrap().contains("laptop lost"));
    // Once more: still confirmed, and nothing new on record.
    gate.countersign(&revoke).ok();
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(kinds(gate, "keyring-changed").len(), 2);
    assert_eq!(kinds(gate, "keyring-found"), Vec::<Value>::new(), "commands told of everything");

    // While newer files are rejected the revocation counts, and the keyring as a whole is not confirmed.
    gate.stop();
    let ran = gate.countersign(&["keyring", "suspend", "alice", "--reason", "left"]);
    assert_eq!(ran.code(), Some(3), "{ran:?}");
    assert!(ran.stderr.contains("no daemon runs"), "{}", ran.stderr);
    assert_eq!(kinds(gate, "keyring-changed").len(), 3, "it is on record without a daemon, too");
    gate.start();
    assert_eq!(kinds(gate, "keyring-found"), Vec::<Value>::new());
    scene.push().assert_refused(&["bad-signature"]);
}

#[test]
fn n15_a_daemon_that_answers_another_digest_confirms_nothing() {
    let scene = Scene::new();
    let gate = &scene.gate;
    // Another configuration for the same socket, with another keyring: what it changes is not what runs.
    let other = gate.home.join("other");
    fs::create_dir(&other).unwrap();
    for entry in fs::read_dir(gate.home.join("keyring")).unwrap().flatten() {
        fs::copy(entry.path(), other.join(entry.file_name())).unwrap();
    }
    let text = fs::read_to_string(gate.config()).unwrap();
    let config = gate.home.join("other.toml");
    fs::write(&config, text.replace("/keyring\"", "/other\"")).unwrap();
    let config = config.to_str().unwrap();
    let arguments = ["--config", config, "keyring", "suspend", "alice", "--reason", "left"];
    let ran = gate.program(&arguments);
    assert_eq!(ran.code(), Some(3), "{ran:?}");
    assert!(ran.stderr.contains("NOT IN FORCE YET"), "{}", ran.stderr);
    scene.push().assert_accepted();
    let ran = gate.program(&["--config", config, "keyring", "status"]);
    assert_eq!(ran.code(), Some(1), "{ran:?}");
}

#[test]
fn what_changed_while_no_daemon_ran_is_on_record() {
    let scene = Scene::new();
    let gate = &scene.gate;
    gate.stop();
    let (code, told) = status(gate);
    assert_eq!((code, &told["state"]), (Some(3), &json!("unreachable")), "{told}");
    assert!(told["daemon"].is_null() && told["files"]["keyring"]["principals"] == 1, "{told}");
    let text = gate.countersign(&["keyring", "status"]);
    assert!(text.stdout.contains("no daemon runs") && text.stdout.contains("would be in force"), "{text:?}");
    let before = told["files"]["keyring"]["digest"].clone();
    let bob = Signer::ssh(&gate.sandbox, "bob", &["ed25519"]);
    fs::write(file(gate, "bob"), principal(&bob)).unwrap();
    gate.start();
    let found = kinds(gate, "keyring-found");
    assert_eq!((found.len(), &found[0]["keyring_before"]), (1, &before), "{found:?}");
    gate.kill();
    gate.start();
    assert_eq!(kinds(gate, "keyring-found").len(), 1, "and once only");
}

#[test]
fn a_status_is_to_be_had_where_the_configuration_itself_is_broken() {
    let scene = Scene::new();
    let gate = &scene.gate;
    gate.configure("[policy]\nuncovered = \"perhaps\"\n");
    rejected(gate);
    let (code, told) = status(gate);
    assert_eq!((code, &told["state"]), (Some(1), &json!("rejected")), "{told}");
    let faults = &told["daemon"]["rejected"]["faults"];
    assert!(faults[0]["message"].as_str().unwrap().contains("perhaps"), "{faults}");
    scene.push().assert_accepted();
    gate.configure(PRODUCTION);
    settled(gate);
    fs::write(gate.config(), "nothing = \"of use\"\n").unwrap();
    assert_eq!(gate.countersign(&["keyring", "status"]).code(), Some(2));
}

#[test]
fn n26_bad_changes_are_refused_and_bounded() {
    let scene = Scene::new();
    let gate = &scene.gate;
    let path = "/keyring/v1/changes";
    for bad in ["", "{}", "[", "null", "{\"id\": 7}"] {
        assert_eq!(answer(gate, "POST", path, bad.as_bytes()).0, 400, "{bad}");
    }
    let mut odd = change("why");
    odd["principals"] = json!(["../../etc/passwd"]);
    assert_eq!(answer(gate, "POST", path, odd.to_string().as_bytes()).0, 400);
    odd = change("why");
    odd["action"] = json!("\u{1b}[31m");
    let (code, body) = answer(gate, "POST", path, odd.to_string().as_bytes());
    assert!(code == 400 && !body.contains('\u{1b}'), "{code} {body}");
    let large = change(&"x".repeat(9 << 20)).to_string();
    let code = answer(gate, "POST", path, large.as_bytes()).0;
    assert!(code == 413 || code == 0, "{code}");
    assert_eq!(answer(gate, "GET", path, b"").0, 405);
    assert_eq!(kinds(gate, "keyring-changed"), Vec::<Value>::new(), "none of them is on record");

    // A claim stays one, and no text reaches a terminal.
    let told = change("because\u{1b}[31m of\nthis").to_string();
    assert_eq!(answer(gate, "POST", path, told.as_bytes()).0, 200);
    let record = kinds(gate, "keyring-changed").pop().unwrap();
    assert_eq!(record["by"]["uid"], rustix::process::getuid().as_raw(), "not the uid that it claims");
    assert!(!record["at"].as_str().unwrap().starts_with("1999"), "the gate's clock: {record}");
    let shown = gate.countersign(&["audit", "log"]).ok().stdout;
    assert!(!shown.contains('\u{1b}') && shown.contains("(mallory)"), "{shown}");

    // A flood ends, and pushes go on meanwhile.
    let mut codes = Vec::new();
    for _ in 0..1600 {
        codes.push(answer(gate, "POST", path, change("again").to_string().as_bytes()).0);
        if codes.ends_with(&[429, 429, 429]) {
            break;
        }
    }
    assert!(codes.ends_with(&[429]) || codes.len() == 1600, "{:?}", codes.last());
    scene.push().assert_accepted();
    // Over TCP nobody is an operator.
    for path in ["/keyring/v1/status", "/keyring/v1/reload", "/keyring/v1/changes"] {
        assert_eq!(gate.get(path).0, 404, "{path}");
    }
}

/// Needs the rights to start a process as somebody else; without them there is nothing to test.
#[test]
fn n21_the_git_account_is_no_operator_and_an_operator_no_hook() {
    if !rustix::process::getuid().is_root() {
        eprintln!("not run: only root can ask as another account");
        return;
    }
    let gate = Gate::prepared(PRODUCTION);
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    gate.trust(&alice, "sre");
    gate.daemon_keys.replace(format!("clients = [{GIT}]"));
    gate.configure(PRODUCTION);
    gate.start();
    fs::set_permissions(gate.sandbox.root(), fs::Permissions::from_mode(0o711)).unwrap();
    let socket = gate.socket();
    let socket = socket.to_str().unwrap();
    let ask = |method: &str, path: &str, body: &str| {
        let url = format!("http://gate{path}");
        let code = ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", socket, "-X", method];
        let mut arguments = code.to_vec();
        arguments.extend(["-d", body, &url]);
        as_git(&gate, "curl", &arguments).ok().stdout
    };
    assert_eq!(ask("GET", "/health", ""), "200", "it may ask as a hook");
    let body = change("by the git account").to_string();
    assert_eq!(ask("POST", "/keyring/v1/changes", &body), "403");
    assert_eq!(ask("POST", "/keyring/v1/reload", ""), "403");
    assert_eq!(ask("GET", "/keyring/v1/status", ""), "403");
    assert_eq!(kinds(&gate, "keyring-changed"), Vec::<Value>::new());
    assert!(health(&gate)["turned_away"].as_u64().unwrap() >= 3);

    // Root operates, and is no client here: no push comes from it.
    assert_eq!(answer(&gate, "POST", "/hook/v1/pre-receive", b"{}").0, 403);
    assert_eq!(answer(&gate, "POST", "/hook/v1/post-receive", b"{}").0, 403);
    assert_eq!(answer(&gate, "POST", "/keyring/v1/changes", body.as_bytes()).0, 200);
    assert_eq!(kinds(&gate, "keyring-changed").pop().unwrap()["by"]["uid"], 0);

    // Somebody else's gate at that socket confirms nothing.
    gate.stop();
    let config = fs::read_to_string(gate.config()).unwrap();
    for place in ["run", "forged"] {
        fs::create_dir_all(gate.home.join(place)).unwrap();
        std::os::unix::fs::chown(gate.home.join(place), Some(GIT), Some(GIT)).unwrap();
    }
    let forged = config.replace("/state\"", "/forged\"").replace(&format!("clients = [{GIT}]"), "");
    fs::write(gate.home.join("forged.toml"), forged).unwrap();
    let mut command = gate.sandbox.command("setpriv", gate.sandbox.root());
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", PROGRAM, "serve", "--config"]);
    gate.start_as({
        command.arg(gate.home.join("forged.toml"));
        command
    });
    let ran = gate.countersign(&["keyring", "status"]);
    assert_eq!(ran.code(), Some(3), "{ran:?}");
    assert!(ran.stdout.contains("not the countersign daemon"), "{ran:?}");
    let ran = gate.countersign(&["keyring", "suspend", "alice", "--reason", "left"]);
    assert!(ran.code() == Some(3) && ran.stderr.contains("NOT CONFIRMED"), "{ran:?}");
}

/// A keyring that an earlier daemon left is loaded whole by the next, whatever was going on.
#[test]
fn n15_two_writers_and_a_daemon_that_reads_meanwhile_never_meet_half_a_change() {
    let scene = Scene::new();
    let gate = &scene.gate;
    let signers: Vec<Signer> =
        (0..4).map(|n| Signer::ssh(&gate.sandbox, &format!("bot{n}"), &["ed25519"])).collect();
    std::thread::scope(|scope| {
        for half in signers.chunks(2) {
            let (config, root) = (gate.config(), gate.sandbox.root().to_owned());
            scope.spawn(move || {
                for signer in half {
                    let mut command = std::process::Command::new(PROGRAM);
                    command.current_dir(&root).arg("--config").arg(&config);
                    command.args(["keyring", "add", &signer.name, "--group", "sre", "--key"]);
                    let ran = command.arg(&signer.public).output().unwrap();
                    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
                }
            });
        }
        for _ in 0..20 {
            let now = health(gate);
            assert!(now["reload_error"].is_null(), "{now}");
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let now = settled(gate);
    assert_eq!(now["daemon"]["keyring"]["principals"], 5);
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(kinds(gate, "keyring-changed").len(), 4);
    assert_eq!(kinds(gate, "keyring-found"), Vec::<Value>::new(), "all of it was told");
}

/// Who signed a change is what the daemon has verified by the state before, never what somebody sends.
#[test]
fn the_signer_of_a_change_is_verified_by_the_daemon() {
    let scene = Scene::new();
    let gate = &scene.gate;
    let bob = Signer::ssh(&gate.sandbox, "bob", &["ed25519"]);
    gate.trust(&bob, "web");
    settled(gate);
    let key = bob.public.with_extension("");
    let key = key.to_str().unwrap();
    gate.countersign(&["keyring", "group", "add", "sre", "bob", "--sign-with", key]).ok();
    // At once again: the daemon has to have loaded the first to verify the second.
    gate.countersign(&["keyring", "group", "remove", "sre", "bob", "--sign-with", key]).ok();
    let told = kinds(gate, "keyring-changed");
    let signers: Vec<_> = told.iter().rev().take(2).map(|one| one["by"]["signer"].clone()).collect();
    let line = fs::read_to_string(&bob.public).unwrap();
    let print = countersign::keyring::Material::ssh(line.trim()).unwrap().fingerprint();
    let wanted = format!("bob {print}");
    assert_eq!(signers, [json!(wanted), json!(wanted)], "{told:?}");
    // A claim without a signature is not written down; a signature that does not verify is refused.
    let before = status(gate).1["daemon"]["keyring"]["digest"].clone();
    let mut claim = change("claimed");
    claim["keyring_before"] = before;
    claim["by"]["signer"] = json!(wanted);
    assert_eq!(answer(gate, "POST", "/keyring/v1/changes", claim.to_string().as_bytes()).0, 200);
    let told = kinds(gate, "keyring-changed");
    assert!(told.last().unwrap()["by"]["signer"].is_null(), "{told:?}");
    claim["signature"] = json!("-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n");
    assert_eq!(answer(gate, "POST", "/keyring/v1/changes", claim.to_string().as_bytes()).0, 400);
    assert_eq!(kinds(gate, "keyring-changed").len(), told.len());
}
