//! Whatever breaks, nothing gets in, and it is told as an outage (N24).

use crate::support::gate::{Gate, PRODUCTION};
use crate::support::history;
use crate::support::sandbox::run;
use crate::support::scene::Scene;
use crate::support::wait_for;
use countersign::hook::wire::{Bytes, PROTOCOL, Place, Request};
use rustix::process::{Signal, kill_process_group};
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn n24_the_daemon_is_absent() {
    let scene = Scene::new();
    scene.gate.stop();
    assert!(!scene.gate.socket().exists(), "it takes its socket with it");
    let push = scene.push().assert_undecided("cannot be reached");
    assert!(push.text().contains("not a policy decision"), "{}", push.text());
    scene.gate.start();
    scene.push().assert_accepted();
}

#[test]
fn n24_the_daemon_was_killed_and_its_socket_is_left_over() {
    let scene = Scene::new();
    scene.gate.kill();
    assert!(scene.gate.socket().exists());
    scene.push().assert_undecided("cannot be reached");
    scene.gate.start();
    scene.push().assert_accepted();
}

#[test]
fn n24_the_daemon_is_killed_half_way() {
    let scene = Scene::new();
    scene.gate.signal(Signal::STOP);
    let mut child = scene.clone().push_command(&["main"]);
    let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_quarantine(&scene.bare);
    // The client has connected and waits.
    std::thread::sleep(Duration::from_millis(300));
    scene.gate.kill();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("could not decide"), "{stderr}");
    scene.gate.start();
    scene.push().assert_accepted();
}

#[test]
fn n24_the_daemon_hangs() {
    let scene = Scene::new();
    scene.wait_at_most(2);
    scene.gate.signal(Signal::STOP);
    scene.push().assert_undecided("did not answer within 2 s");
    scene.gate.signal(Signal::CONT);
    scene.push().assert_accepted();
}

fn wait_for_quarantine(bare: &Path) {
    wait_for("the push to reach its hook", Duration::from_secs(20), || {
        let mut entries = fs::read_dir(bare.join("objects")).unwrap().flatten();
        entries.find(|entry| entry.file_name().to_string_lossy().starts_with("tmp_objdir"))
    });
}

/// Answers one connection in the daemon's place.
fn impostor(
    socket: &Path,
    answer: impl FnOnce(&str) -> Vec<u8> + Send + 'static,
) -> std::thread::JoinHandle<()> {
    let _ = fs::remove_file(socket);
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut request = Vec::new();
        let mut chunk = [0_u8; 4096];
        // Until the request is whole: its body ends with the only unbalanced brace.
        loop {
            let count = stream.read(&mut chunk).unwrap();
            request.extend_from_slice(&chunk[..count]);
            let text = String::from_utf8_lossy(&request);
            let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                length.is_some_and(|length| body.len() == length.parse::<usize>().unwrap())
            });
            if whole || count == 0 {
                break;
            }
        }
        let text = String::from_utf8_lossy(&request);
        let id = text.split("\"request_id\":\"").nth(1).map_or("", |rest| &rest[..32]).to_owned();
        let _ = stream.write_all(&answer(&id));
        let _ = stream.shutdown(Shutdown::Both);
    })
}

fn http(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn accept(id: &str, protocol: u32) -> String {
    format!(r#"{{"protocol":{protocol},"version":"9.9","request_id":"{id}","outcome":"accept","text":""}}"#)
}

#[test]
fn n24_only_a_whole_answer_to_this_request_lets_a_push_in() {
    let scene = Scene::new();
    scene.gate.stop();
    type Answer = fn(&str) -> Vec<u8>;
    let answers: [(&str, Answer, &str); 8] = [
        ("nothing", |_| Vec::new(), "closed without one"),
        ("half a head", |_| b"HTTP/1.1 200 OK\r\ncontent-le".to_vec(), "breaks off"),
        ("something else", |_| b"SSH-2.0-OpenSSH\r\n\r\n".to_vec(), "not HTTP"),
        ("a cut answer", |id| http(&accept(id, PROTOCOL))[..120].to_vec(), "bytes of"),
        ("another request's", |_| http(&accept(&"0".repeat(32), PROTOCOL)), "another request"),
        ("another version's", |id| http(&accept(id, PROTOCOL + 1)), "speaks protocol"),
        ("no outcome", |id| http(&accept(id, PROTOCOL).replace("accept", "perhaps")), "not understood"),
        ("an error", |_| b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno".to_vec(), "status 500"),
    ];
    for (what, answer, cause) in answers {
        let thread = impostor(&scene.gate.socket(), answer);
        let push = scene.push();
        thread.join().unwrap();
        assert!(push.request_id().is_some_and(|id| id.len() == 32), "{what}: {}", push.text());
        push.assert_undecided(cause);
    }
    // The same, answered well: it is the answer that counts.
    let thread = impostor(&scene.gate.socket(), |id| http(&accept(id, PROTOCOL)));
    let pushed = run(scene.clone().push_command(&["main"]), b"");
    thread.join().unwrap();
    assert!(pushed.status.success(), "{}", pushed.stderr);
}

#[test]
fn n22_an_answer_by_another_account_does_not_count() {
    let scene = Scene::new();
    let hook = scene.bare.join("hooks/pre-receive");
    let text = fs::read_to_string(&hook).unwrap();
    let uid = rustix::process::getuid().as_raw();
    let changed = text.replace(&format!("server-uid {uid}\n"), &format!("server-uid {}\n", uid + 1));
    assert_ne!(text, changed);
    fs::write(&hook, changed).unwrap();
    scene.push().assert_undecided("it is not the countersign daemon");
}

#[test]
fn n22_variables_of_the_pusher_do_not_steer_the_hook() {
    let scene = Scene::new();
    let elsewhere = scene.gate.sandbox.path("elsewhere.sock");
    let work = scene.clone();
    work.commit(None, "unsigned");
    let work = work
        .with_env("COUNTERSIGN_CONFIG", "/nowhere")
        .with_env("COUNTERSIGN_SOCKET", elsewhere.to_str().unwrap())
        .with_env("COUNTERSIGN_LOG", "off");
    work.push(&["main"]).assert_refused(&["missing-ticket", "unsigned-commit"]);
}

#[test]
fn n22_a_quarantine_that_is_not_the_one_the_hook_saw_is_undecided() {
    let scene = Scene::new();
    let seen = fs::metadata(&scene.bare).unwrap();
    let place = |path: &Path, inode: u64| Place {
        path: path.to_str().unwrap().to_owned(),
        device: seen.dev(),
        inode,
    };
    let request = Request {
        protocol: PROTOCOL,
        version: "0".to_owned(),
        request_id: "a".repeat(32),
        git_dir: place(&scene.bare, seen.ino() + 1),
        quarantine: None,
        updates: Bytes(b"x\n".to_vec()),
        push_options: Vec::new(),
        environment: Default::default(),
        ssh_user_auth: None,
    };
    let answer = post(&scene.gate.socket(), &serde_json::to_vec(&request).unwrap());
    assert!(
        answer.contains("\"undecided\"") && answer.contains("not the directory that the hook saw"),
        "{answer}"
    );

    for path in ["../../..", "objects/../../live.git/objects", "/tmp", "objects", "refs"] {
        let quarantine = Place { path: path.to_owned(), device: seen.dev(), inode: seen.ino() };
        let request = Request {
            git_dir: place(&scene.bare, seen.ino()),
            quarantine: Some(quarantine),
            ..request.clone()
        };
        let answer = post(&scene.gate.socket(), &serde_json::to_vec(&request).unwrap());
        assert!(answer.contains("\"undecided\""), "{path}: {answer}");
    }
}

/// One request by hand; the whole answer as text.
fn post(socket: &Path, body: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(&head(body.len())).unwrap();
    stream.write_all(body).unwrap();
    read(stream)
}

fn head(length: usize) -> Vec<u8> {
    format!(
        "POST /hook/v1/pre-receive HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n"
    )
    .into_bytes()
}

fn read(mut stream: UnixStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

#[test]
fn n26_a_flood_of_refusals_is_recorded_without_its_lists_in_the_end() {
    let scene = Scene::new();
    let seen = fs::metadata(&scene.bare).unwrap();
    let main = scene.clone().server("refs/heads/main").unwrap();
    let zero = "0".repeat(40);
    let request = Request {
        protocol: PROTOCOL,
        version: "0".to_owned(),
        request_id: "d".repeat(32),
        git_dir: Place {
            path: scene.bare.to_str().unwrap().to_owned(),
            device: seen.dev(),
            inode: seen.ino(),
        },
        quarantine: None,
        updates: Bytes(format!("{main} {zero} refs/heads/main\n{main} {zero} refs/heads/x\n").into_bytes()),
        push_options: Vec::new(),
        environment: Default::default(),
        ssh_user_auth: None,
    };
    // Two budgets of a minute, since a new minute may begin meanwhile.
    let count = 1300;
    for n in 0..count {
        let request = Request { request_id: format!("{n:032x}"), ..request.clone() };
        let answer = post(&scene.gate.socket(), &serde_json::to_vec(&request).unwrap());
        assert!(answer.contains("\"refuse\""), "{answer}");
    }
    let records = scene.gate.audit();
    let refused: Vec<_> = records.iter().filter(|record| record["outcome"] == "refuse").collect();
    assert_eq!(refused.len(), count, "every decision is on record");
    let full = refused
        .iter()
        .filter(|record| record["violations"].as_array().is_some_and(|all| all.len() == 2))
        .count();
    assert!((1..count).contains(&full), "{full} of {count} are written in full");
    scene.push().assert_accepted();
    scene.gate.countersign(&["audit", "verify"]).ok();
}

#[test]
fn n24_a_hook_of_another_version_is_told_so() {
    let scene = Scene::new();
    let id = "b".repeat(32);
    let body = format!(r#"{{"protocol":{},"request_id":"{id}","something":"new"}}"#, PROTOCOL + 1);
    let answer = post(&scene.gate.socket(), body.as_bytes());
    assert!(answer.contains("\"undecided\"") && answer.contains("install both from one release"), "{answer}");
    assert!(answer.contains(&id), "{answer}");
    let answer = post(&scene.gate.socket(), b"{}");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[test]
fn a_record_that_cannot_be_written_lets_nobody_in() {
    let scene = Scene::new();
    scene.gate.restart_for_limits();
    scene.gate.limit_files(Some(0));
    let push = scene.push().assert_undecided("audit");
    assert!(push.request_id().is_some(), "{}", push.text());
    // A refusal that cannot be recorded is none either.
    let work = scene.clone();
    work.commit(None, "unsigned");
    work.push(&["main"]).assert_undecided("audit");
    work.push(&["main:topic"]).assert_undecided("audit");
    scene.gate.limit_files(None);
    scene.clone().git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    scene.push().assert_accepted();
    scene.gate.countersign(&["audit", "verify"]).ok();
}

#[test]
fn a_state_that_was_taken_away_lets_nobody_in() {
    let scene = Scene::new();
    let records = scene.gate.audit().len();
    assert!(records > 0);
    for entry in fs::read_dir(scene.gate.state()).unwrap().flatten() {
        let _ = fs::remove_file(entry.path());
    }
    // The daemon holds the deleted file open: what it writes there would be gone with it.
    let push = run(scene.clone().push_command(&["main"]), b"");
    assert!(!push.status.success() && push.stderr.contains("could not decide"), "{}", push.stderr);
    let (status, body) = scene.gate.get("/health");
    assert!(status == 503 && body.contains("state_error"), "{body}");
}

#[test]
fn n27_a_record_that_was_rolled_back_is_undecided_until_somebody_adopts() {
    let scene = Scene::new();
    scene.gate.stop();
    let saved = scene.gate.sandbox.path("saved");
    copy_directory(&scene.gate.state(), &saved);
    scene.gate.start();
    scene.push().assert_accepted();
    scene.gate.stop();
    // Back to an older record; the mark that lies beside it is not part of a backup of the database.
    for entry in fs::read_dir(&saved).unwrap().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().contains("sqlite") || name.to_string_lossy().contains(".db") {
            for extra in ["-wal", "-shm"] {
                let _ =
                    fs::remove_file(scene.gate.state().join(format!("{}{extra}", name.to_string_lossy())));
            }
            fs::copy(entry.path(), scene.gate.state().join(&name)).unwrap();
        }
    }
    scene.gate.start();
    let work = scene.clone();
    work.commit(Some(&scene.alice), "OPS-3: after the rollback");
    scene.push().assert_undecided("audit");
    let (status, body) = scene.gate.get("/health");
    assert_eq!(status, 503, "{body}");
    let verified = scene.gate.countersign(&["audit", "verify"]);
    assert_eq!(verified.code(), Some(1), "{}", verified.stdout);
    // The daemon notices by itself that it was settled.
    scene.gate.adopt(&scene.bare).ok();
    scene.push().assert_accepted();
    scene.gate.countersign(&["audit", "verify"]).ok();
    assert!(scene.gate.audit().iter().any(|record| record["kind"] == "recovered"));
    let healthy = || scene.gate.get("/health").0 == 200;
    wait_for("the health to be good again", Duration::from_secs(5), || healthy().then_some(()));
}

#[test]
fn n10_an_accepted_push_that_git_refused_is_forgotten_in_the_end() {
    let scene = Scene::new();
    let update = scene.bare.join("hooks/update");
    fs::write(&update, "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(&update, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(!run(scene.clone().push_command(&["main"]), b"").status.success());
    assert_eq!(scene.gate.last_decision()["outcome"], "accept", "the gate let it in, git did not");
    fs::remove_file(&update).unwrap();
    scene.gate.stop();
    let database = || rusqlite::Connection::open(scene.gate.state().join("state.db")).unwrap();
    let pending = || -> i64 {
        database().query_row("select count(*) from pending_updates", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(pending(), 1);
    scene.gate.start();
    let elsewhere = || {
        let work = scene.clone();
        work.accepted(&["main:elsewhere"]);
        work.accepted(&[":elsewhere"]);
    };
    elsewhere();
    wait_for("all but the young one", Duration::from_secs(5), || (pending() == 1).then_some(()));
    scene.gate.stop();
    database().execute("update pending_updates set at_ms = at_ms - 91 * 24 * 3600 * 1000", []).unwrap();
    scene.gate.start();
    elsewhere();
    wait_for("the old one to go", Duration::from_secs(5), || (pending() == 0).then_some(()));
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn n06_a_shallow_repository_is_undecided_with_the_way_out() {
    let scene = Scene::new();
    let main = scene.clone().server("refs/heads/main").unwrap();
    fs::write(scene.bare.join("shallow"), format!("{main}\n")).unwrap();
    let push = run(scene.clone().push_command(&["main"]), b"");
    assert!(!push.status.success() && push.stderr.contains("could not decide"), "{}", push.stderr);
    assert!(push.stderr.contains("--unshallow"), "{}", push.stderr);
}

#[test]
fn a_repository_that_cannot_be_read_faithfully_is_undecided() {
    let scene = Scene::new();
    for (key, value) in [("core.repositoryFormatVersion", "1"), ("extensions.partialClone", "origin")] {
        scene.gate.sandbox.git(&scene.bare, &["config", key, value]).ok();
    }
    scene.push().assert_undecided("extensions.partialclone");
    scene.gate.sandbox.git(&scene.bare, &["config", "--unset", "extensions.partialClone"]).ok();
    fs::remove_file(scene.bare.join("countersign-id")).unwrap();
    scene.push().assert_undecided("countersign install");
}

#[test]
fn an_object_with_foreign_content_is_undecided() {
    let scene = Scene::new();
    // The tag is in the repository already, under a name that nobody covers, and then it changes.
    let work = scene.clone();
    work.sign(None, &["tag", "-a", "-m", "one", "one", "HEAD~1"]);
    work.accepted(&["one"]);
    let tag = work.id("refs/tags/one");
    let file = scene.bare.join("objects").join(&tag[..2]).join(&tag[2..]);
    work.sign(None, &["tag", "-a", "-m", "two", "two", "HEAD~1"]);
    let two = work.id("refs/tags/two");
    let other = fs::read(work.path.join(".git/objects").join(&two[..2]).join(&two[2..])).unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(&file, other).unwrap();
    let push = run(work.push_command(&["one:refs/tags/again"]), b"");
    assert!(!push.status.success(), "{}", push.stderr);
    assert!(!push.stderr.contains("error["), "{}", push.stderr);
}

#[test]
fn a_client_that_goes_away_harms_nobody() {
    let scene = Scene::new();
    scene.gate.signal(Signal::STOP);
    let mut command = scene.clone().push_command(&["main"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn().unwrap();
    wait_for_quarantine(&scene.bare);
    std::thread::sleep(Duration::from_millis(300));
    let group = rustix::process::Pid::from_child(&child);
    kill_process_group(group, Signal::KILL).unwrap();
    child.wait().unwrap();
    scene.gate.signal(Signal::CONT);
    let main = scene.clone().server("refs/heads/main");
    // Git cleans up after itself at its leisure when it is killed.
    for entry in fs::read_dir(scene.bare.join("objects")).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("tmp_objdir") {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    scene.push().assert_accepted();
    assert_ne!(scene.clone().server("refs/heads/main"), main);
}

#[test]
fn n23_a_deadline_that_passes_is_undecided() {
    let scene = Scene::new();
    scene.gate.reconfigure(&format!("{PRODUCTION}\n[limits]\ndeadline = \"1ms\"\n"));
    history::line(&scene.gate.sandbox, &scene.work, "refs/heads/long", 3000);
    let push = scene.clone().push(&["long:release/1"]).assert_undecided("deadline");
    assert!(push.request_id().is_some(), "{}", push.text());
}

#[test]
fn sigterm_lets_a_request_in_flight_finish() {
    let scene = Scene::new();
    let seen = fs::metadata(&scene.bare).unwrap();
    let request = Request {
        protocol: PROTOCOL,
        version: "0".to_owned(),
        request_id: "c".repeat(32),
        git_dir: Place {
            path: scene.bare.to_str().unwrap().to_owned(),
            device: seen.dev(),
            inode: seen.ino(),
        },
        quarantine: None,
        updates: Bytes(b"x\n".to_vec()),
        push_options: Vec::new(),
        environment: Default::default(),
        ssh_user_auth: None,
    };
    let body = serde_json::to_vec(&request).unwrap();
    let mut stream = UnixStream::connect(scene.gate.socket()).unwrap();
    stream.write_all(&head(body.len())).unwrap();
    stream.write_all(&body[..20]).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    scene.gate.signal(Signal::TERM);
    wait_for("the socket to go", Duration::from_secs(10), || (!scene.gate.socket().exists()).then_some(()));
    stream.write_all(&body[20..]).unwrap();
    let answer = read(stream);
    assert!(answer.contains(&"c".repeat(32)) && answer.contains("\"refuse\""), "{answer}");
    let started = Instant::now();
    assert!(scene.gate.ended().success());
    assert!(started.elapsed() < Duration::from_secs(5), "nothing is left to wait for");
}

#[test]
fn sighup_takes_a_good_configuration_and_leaves_a_bad_one() {
    let scene = Scene::new();
    let (status, good) = scene.gate.get("/health");
    assert_eq!(status, 200, "{good}");
    scene.gate.reconfigure("[policy]\nuncovered = \"perhaps\"\n");
    let (_, body) = scene.gate.get("/health");
    assert!(body.contains("reload_error") && body.contains("degraded"), "{body}");
    assert!(scene.gate.log().contains("perhaps"), "{}", scene.gate.log());
    scene.push().assert_accepted();
    let work = scene.clone();
    work.commit(None, "OPS-3: unsigned");
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);

    // A keyring that others can write is as bad.
    scene.gate.configure(PRODUCTION);
    let keyring = scene.gate.home.join("keyring");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(&keyring, open).unwrap();
    scene.gate.reload();
    let (_, body) = scene.gate.get("/health");
    assert!(body.contains("reload_error"), "{body}");
    fs::set_permissions(&keyring, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();

    scene.gate.reconfigure(
        &PRODUCTION.replace("unsigned-commit = true\nuntrusted-signer = { allow = [\"group:sre\"] }\n", ""),
    );
    let (_, body) = scene.gate.get("/health");
    assert!(!body.contains("reload_error"), "{body}");
    scene.push().assert_accepted();
}

#[test]
fn a_bad_configuration_does_not_start() {
    let gate = Gate::prepared("[policy]\nuncovered = \"perhaps\"\n");
    let ran = gate.serve_fails();
    assert_eq!(ran.code(), Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("countersign.toml:") && ran.stderr.contains("perhaps"), "{}", ran.stderr);
    assert!(!gate.socket().exists());
    gate.configure("[policy]\n");
    assert_eq!(gate.serve_fails().code(), Some(2), "`uncovered` has no default");
}

#[test]
fn two_daemons_do_not_share_a_socket() {
    let scene = Scene::new();
    let second = scene.gate.serve_fails();
    assert_eq!(second.code(), Some(2), "{}", second.stderr);
    scene.push().assert_accepted();
}

#[test]
fn every_outage_that_can_be_recorded_is() {
    let scene = Scene::new();
    for (key, value) in [("core.repositoryFormatVersion", "1"), ("extensions.partialClone", "origin")] {
        scene.gate.sandbox.git(&scene.bare, &["config", key, value]).ok();
    }
    let push = scene.push().assert_undecided("extensions");
    let id = push.request_id().unwrap().to_owned();
    let record = scene.gate.last_decision();
    assert_eq!(record["outcome"], "undecided", "{record}");
    assert_eq!(record["request_id"], id.as_str(), "{record}");
}
