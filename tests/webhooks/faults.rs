//! What goes wrong at a forge, on the way, or here.

use crate::forge::{Forge, moved, rules};
use crate::support::forge_api::{Answer, ForgeApi};
use crate::support::wait_for;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The note of the delivery that waits.
fn why(forge: &Forge) -> String {
    wait_for("a delivery to say why it waits", Duration::from_secs(60), || {
        forge.store().queued_deliveries(&forge.id()).unwrap().first()?.note.clone()
    })
}

#[test]
fn n30_a_forge_that_shows_no_refs_has_lost_none() {
    let forge = Forge::running();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let start = work.id("HEAD");
    forge.push(&work, &["main:refs/heads/side"]);
    forge.wait_judged("refs/heads/side", Some(&start));
    forge.git(&["update-ref", "-d", "refs/heads/side"]);
    forge.git(&["update-ref", "-d", "refs/heads/main"]);
    forge.tell("refs/heads/main", &start, crate::forge::ZERO, "mallory");
    let one = forge.decision("the fault", |one| one["fault"]["code"] == "refs-vanished");
    assert_eq!(one["outcome"], "undecided");
    assert!(why(&forge).contains("no refs"), "{}", why(&forge));
    // Others in their place are no better.
    forge.git(&["update-ref", "refs/heads/other", &start]);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(forge.judged("refs/heads/main"), Some(start.clone()));
    assert_eq!(forge.judged("refs/heads/side"), Some(start.clone()));
    // Somebody says that it is so.
    let ran = forge.gate.countersign(&["adopt", crate::forge::NAME, "--anew", "--yes"]).ok();
    assert!(ran.stdout.contains("refs/heads/other"), "{}", ran.stdout);
    forge.wait_idle();
    assert_eq!(forge.judged("refs/heads/main"), None);
    assert_eq!(forge.judged("refs/heads/other"), Some(start));
}

/// It holds a commit, or names a branch that is not there: forges need not say which branch is the default one.
#[test]
fn n30_a_forge_without_a_default_branch_is_judged_all_the_same() {
    let mut forge = Forge::prepared();
    forge.git(&["symbolic-ref", "HEAD", "refs/heads/nowhere"]);
    forge.start();
    forge.adopt();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let bad = work.commit(None, "OPS-2: unsigned");
    forge.push(&work, &["main"]);
    assert_eq!(rules(&forge.decided("refs/heads/main", &bad)), ["unsigned-commit"]);
    // Where a ruleset is about that branch, nobody knows what it covers: nothing passes, and it is said why.
    forge.gate.stop();
    forge.policy = forge.policy.replace("refs/heads/main", "~DEFAULT");
    forge.start();
    let next = work.commit(None, "OPS-3: unsigned");
    forge.push(&work, &["main"]);
    let status = wait_for("the status to say so", Duration::from_secs(30), || {
        let ran = forge.gate.countersign(&["webhook", "status"]);
        ran.stdout.contains("which branch is the default one").then_some(ran.stdout)
    });
    assert!(status.contains("cannot be judged"), "no delivery waits for it: {status}");
    assert_eq!(forge.judged("refs/heads/main"), Some(bad));
    // Once it is known, it is judged.
    forge.git(&["symbolic-ref", "HEAD", "refs/heads/main"]);
    assert_eq!(rules(&forge.decided("refs/heads/main", &next)), ["unsigned-commit"]);
    wait_for("the status to be well", Duration::from_secs(30), || {
        let ran = forge.gate.countersign(&["webhook", "status"]);
        (!ran.stdout.contains("cannot be judged")).then_some(())
    });
}

#[test]
fn n30_one_bad_ref_blocks_only_itself() {
    let forge = Forge::running();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let good = work.commit(Some(&forge.alice), "OPS-2: signed");
    forge.push(&work, &["main"]);
    // A commit that git's own check refuses, and names that are anything but harmless.
    let tree = work.id("HEAD^{tree}");
    let raw = format!("tree {tree}\nauthor a <a@x> 1 +0000\n\nno committer\n");
    let sandbox = &forge.gate.sandbox;
    let write = ["hash-object", "-t", "commit", "-w", "--literally", "--stdin"];
    let bad = sandbox.git_with_input(&forge.bare, &write, raw.as_bytes()).ok().line().to_owned();
    std::fs::write(forge.bare.join("refs/heads/broken"), format!("{bad}\n")).unwrap();
    use std::os::unix::ffi::OsStrExt;
    for name in [&b"--upload-pack=x"[..], b"\xff\xfe", b"$(touch x)", b"'; touch x; '", b"main.lock.x"] {
        let path = forge.bare.join("refs/heads").join(std::ffi::OsStr::from_bytes(name));
        std::fs::write(path, format!("{good}\n")).unwrap();
    }
    // History that is replaced for whoever believes it.
    let start = work.id("HEAD~1");
    forge.git(&["update-ref", &format!("refs/replace/{good}"), &start]);
    assert_eq!(forge.decided("refs/heads/main", &good)["outcome"], "accept");
    for name in ["refs/heads/--upload-pack=x", "refs/heads/\\xff\\xfe", "refs/heads/main.lock.x"] {
        forge.decided(name, &good);
    }
    let one = forge.decided("refs/heads/broken", &bad);
    assert_eq!(
        (one["outcome"].as_str(), one["fault"]["code"].as_str()),
        (Some("undecided"), Some("forge-unreadable"))
    );
    // Later pushes are judged beside it.
    let next = work.commit(None, "OPS-3: unsigned");
    // Not even git would push there any more.
    let raw = work.git(&["cat-file", "commit", &next]).ok().stdout;
    let write = ["hash-object", "-t", "commit", "-w", "--stdin"];
    assert_eq!(sandbox.git_with_input(&forge.bare, &write, raw.as_bytes()).ok().line(), next);
    forge.git(&["update-ref", "refs/heads/main", &next]);
    assert_eq!(rules(&forge.decided("refs/heads/main", &next)), ["unsigned-commit"]);
    let broken = forge.decisions().iter().filter(|one| moved(one, "refs/heads/broken", &bad)).count();
    assert_eq!(broken, 1, "it is said once");
    assert!(!forge.decisions().iter().any(|one| one.to_string().contains("refs/replace")));
    assert!(!forge.gate.sandbox.path("x").exists());
}

#[test]
fn n30_a_mirror_that_is_damaged_is_made_anew_and_makes_no_base() {
    let forge = Forge::running();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let bad = work.commit(None, "OPS-2: unsigned");
    forge.push(&work, &["main"]);
    forge.decided("refs/heads/main", &bad);
    forge.gate.stop();
    let mirrors = forge.gate.state().join("mirrors");
    let mirror = std::fs::read_dir(&mirrors)
        .unwrap()
        .map(|one| one.unwrap().path())
        .find(|path| path.is_dir())
        .unwrap();
    for entry in std::fs::read_dir(mirror.join("objects/pack")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "garbage").unwrap();
    }
    let next = work.commit(Some(&forge.alice), "OPS-3: on top of it");
    forge.push(&work, &["main"]);
    forge.gate.start();
    let one = forge.decided("refs/heads/main", &next);
    assert_eq!(
        rules(&one),
        ["unsigned-commit"],
        "what was refused is not trusted because it was there: {one}"
    );
    // Gone altogether.
    forge.gate.stop();
    std::fs::remove_dir_all(&mirrors).unwrap();
    let last = work.commit(Some(&forge.alice), "OPS-4: and on");
    forge.push(&work, &["main"]);
    forge.gate.start();
    assert_eq!(rules(&forge.decided("refs/heads/main", &last)), ["unsigned-commit"]);
}

/// A server that answers every request the same, and keeps what it was asked.
fn server(answer: String) -> (u16, Arc<Mutex<Vec<String>>>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let count = Arc::new(AtomicUsize::new(0));
    let (keep, counted) = (Arc::clone(&asked), Arc::clone(&count));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            counted.fetch_add(1, Ordering::Relaxed);
            let mut chunk = [0_u8; 8192];
            let read = stream.read(&mut chunk).unwrap_or(0);
            keep.lock().unwrap().push(String::from_utf8_lossy(&chunk[..read]).into_owned());
            let _ = stream.write_all(answer.as_bytes());
            if answer.is_empty() {
                // It keeps the connection and says nothing.
                std::mem::forget(stream);
            }
        }
    });
    (port, asked, count)
}

#[test]
fn n31_redirects_are_not_followed_and_credentials_stay() {
    let (thief, _, stolen) =
        server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into());
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{thief}/x.git/info/refs?service=git-upload-pack\r\n\
         content-length: 0\r\nconnection: close\r\n\r\n"
    );
    let (port, asked, _) = server(redirect);
    let mut forge = Forge::prepared();
    crate::forge::private(&forge.gate.sandbox.path("token"), "geheimes-wort");
    forge.url = format!("http://127.0.0.1:{port}/acme/infra.git");
    forge.source = format!(
        "[source.fetch]\ncredential = {{ file = \"{}\" }}\n",
        forge.gate.sandbox.path("token").display()
    );
    forge.start();
    let id = forge.git(&["rev-parse", "main"]);
    forge.tell("refs/heads/main", crate::forge::ZERO, &id, "alice");
    assert!(why(&forge).contains("302") || why(&forge).contains("redirect"), "{}", why(&forge));
    assert!(!asked.lock().unwrap().is_empty());
    assert_eq!(stolen.load(Ordering::Relaxed), 0);
    assert!(!why(&forge).contains("geheim") && !forge.gate.log().contains("geheim"));
}

#[test]
fn n31_a_forge_that_cannot_prove_itself_gets_no_credential_whatever_the_environment_says() {
    let mut forge = Forge::prepared();
    let sandbox = &forge.gate.sandbox;
    let thief =
        ForgeApi::tls(sandbox.root(), |_, _| Answer::new(401, "").with("www-authenticate", "Basic realm=x"));
    crate::forge::private(&sandbox.path("token"), "geheimes-wort");
    let token = format!("credential = {{ file = \"{}\" }}\n", sandbox.path("token").display());
    forge.url = format!("{}/acme/infra.git", thief.base());
    forge.source = format!("[source.fetch]\n{token}");
    forge.configure();
    let (proxy, _, proxied) =
        server("HTTP/1.1 502 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into());
    let start = |forge: &Forge| {
        let gate = &forge.gate;
        let mut command = gate.sandbox.command(crate::support::gate::PROGRAM, gate.sandbox.root());
        command.arg("serve").arg("--config").arg(gate.config());
        let proxy = format!("http://127.0.0.1:{proxy}");
        for name in ["https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy"] {
            command.env(name, &proxy);
        }
        command.env("GIT_SSL_NO_VERIFY", "1").env("GIT_CURL_VERBOSE", "1").env("GIT_TRACE_REDACT", "0");
        command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "http.sslVerify");
        command.env("GIT_CONFIG_VALUE_0", "false");
        gate.start_as(command);
    };
    start(&forge);
    let id = forge.git(&["rev-parse", "main"]);
    forge.tell("refs/heads/main", crate::forge::ZERO, &id, "alice");
    assert!(why(&forge).contains("certificate"), "{}", why(&forge));
    assert!(thief.asked().is_empty(), "{:?}", thief.asked());
    // Its own authority is believed, where it is configured.
    forge.gate.stop();
    let authority = thief.certificate.as_ref().unwrap().display().to_string();
    forge.source = format!("[source.fetch]\nauthority = \"{authority}\"\n{token}");
    forge.configure();
    start(&forge);
    let asked = wait_for("the credential", Duration::from_secs(60), || {
        thief.asked().into_iter().find(|one| one.headers.contains_key("authorization"))
    });
    assert!(asked.path.starts_with("/acme/infra.git/"), "{asked:?}");
    assert_eq!(proxied.load(Ordering::Relaxed), 0, "no proxy of the environment was asked");
    assert!(!forge.gate.log().contains("geheim"), "{}", forge.gate.log());
}

#[test]
fn n31_a_forge_that_hangs_is_cut_off_and_keeps_nobody_waiting() {
    let (port, _, count) = server(String::new());
    let mut forge = Forge::prepared();
    forge.url = format!("http://127.0.0.1:{port}/acme/infra.git");
    forge.source = "[source.fetch]\ndeadline = \"1s\"\n".to_owned();
    forge.start();
    let id = forge.git(&["rev-parse", "main"]);
    forge.tell("refs/heads/main", crate::forge::ZERO, &id, "alice");
    assert!(why(&forge).contains("no answer in time"), "{}", why(&forge));
    wait_for("another try", Duration::from_secs(30), || (count.load(Ordering::Relaxed) > 1).then_some(()));
    let started = std::time::Instant::now();
    forge.gate.stop();
    assert!(started.elapsed() < Duration::from_secs(10), "it ends without waiting for the forge");
}

/// The credential is in a file while git runs: a killed daemon leaves it, and the next one takes it away.
#[test]
fn a_credential_does_not_outlive_a_kill() {
    let unauthorized = "HTTP/1.1 401 No\r\nwww-authenticate: Basic realm=x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut chunk = [0_u8; 8192];
            let read = stream.read(&mut chunk).unwrap_or(0);
            if String::from_utf8_lossy(&chunk[..read]).to_ascii_lowercase().contains("authorization:") {
                // It has the credential, and says nothing.
                let _ = tell.send(());
                kept.push(stream);
            } else {
                let _ = stream.write_all(unauthorized.as_bytes());
            }
        }
    });
    let mut forge = Forge::prepared();
    forge.url = format!("http://127.0.0.1:{port}/acme/infra.git");
    let sandbox = &forge.gate.sandbox;
    crate::forge::private(&sandbox.path("token"), "geheimes-wort");
    forge.source =
        format!("[source.fetch]\ncredential = {{ file = \"{}\" }}\n", sandbox.path("token").display());
    forge.configure();
    let temporary = sandbox.path("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let start = || {
        let gate = &forge.gate;
        let mut command = gate.sandbox.command(crate::support::gate::PROGRAM, gate.sandbox.root());
        command.arg("serve").arg("--config").arg(gate.config()).env("TMPDIR", &temporary);
        gate.start_as(command);
    };
    let rooms = || -> Vec<std::path::PathBuf> {
        let all = std::fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| path.join(".git-credentials").exists()).collect()
    };
    start();
    let id = forge.git(&["rev-parse", "main"]);
    forge.tell("refs/heads/main", crate::forge::ZERO, &id, "alice");
    told.recv_timeout(Duration::from_secs(60)).unwrap();
    forge.gate.kill();
    let left = rooms();
    assert!(!left.is_empty(), "nothing was left, and so nothing is tested");
    start();
    wait_for("the files to be gone", Duration::from_secs(60), || {
        left.iter().all(|room| !room.exists()).then_some(())
    });
    forge.gate.stop();
    assert!(rooms().is_empty());
}
