//! What the README tells people to type works when it is typed.

use crate::support::gate::{Gate, PRODUCTION, PROGRAM};
use crate::support::sandbox::run;
use crate::support::signers::Signer;
use crate::support::wait_for;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

/// The blocks of one language, in order.
fn blocks(language: &str) -> Vec<String> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let mut found = Vec::new();
    let mut inside: Option<(bool, String)> = None;
    for line in readme.lines() {
        inside = match (inside, line.strip_prefix("```")) {
            (None, None) => None,
            (None, Some(name)) => Some((name == language, String::new())),
            (Some((wanted, text)), None) => Some((wanted, format!("{text}{line}\n"))),
            (Some((wanted, text)), Some(_)) => {
                found.extend(wanted.then_some(text));
                None
            }
        };
    }
    found
}

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_commands_of_the_readme_make_a_gate() {
    let gate = Gate::prepared(PRODUCTION);
    let sandbox = &gate.sandbox;
    let at = sandbox.path("typed");
    fs::create_dir(&at).unwrap();
    let alice = Signer::ssh(sandbox, "alice", &["ed25519"]);
    fs::copy(&alice.public, at.join("alice.pub")).unwrap();
    let blocks = blocks("sh");
    let typed = blocks.iter().find(|block| block.contains("countersign init gate")).unwrap();
    let mut daemon = None;
    let mut seen = 0;
    for line in typed.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if line.starts_with("cargo build") {
            continue;
        }
        let line = line.replace("target/release/countersign", PROGRAM);
        seen += 1;
        let mut command = sandbox.command("sh", &at);
        if let Some(line) = line.strip_suffix('&') {
            command.args(["-c", &format!("exec {line}")]).stdout(Stdio::null()).stderr(Stdio::null());
            daemon = Some(Daemon(command.spawn().unwrap()));
            wait_for("the daemon of the README", Duration::from_secs(20), || {
                at.join("gate/run/hook.sock").exists().then_some(())
            });
        } else {
            command.args(["-c", &line]);
            let ran = run(command, b"");
            assert!(ran.status.success(), "{line}\n{}{}", ran.stdout, ran.stderr);
        }
    }
    assert!(seen >= 5 && daemon.is_some(), "{typed}");
    let text = fs::read_to_string(at.join("gate/repositories/app.git/hooks/pre-receive")).unwrap();
    assert!(text.contains("hook pre-receive"), "{text}");
}

#[test]
fn the_policy_of_the_readme_loads() {
    let blocks = blocks("toml");
    let policy = blocks.iter().find(|block| block.contains("[[ruleset]]")).unwrap();
    let gate = Gate::prepared(policy);
    let ran = gate.countersign(&["config", "check"]);
    assert_eq!(ran.code(), Some(0), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn what_the_readme_shows_of_a_refusal_is_what_a_pusher_reads() {
    let gate = Gate::prepared(PRODUCTION);
    gate.daemon_keys.replace("contact = \"Questions: the platform team, #git-help\"".to_owned());
    gate.configure(&PRODUCTION.replace("[\"subject\"]", "[\"subject\", \"trailer\"]"));
    gate.start();
    let bare = gate.repository("infra/app");
    let work = gate.clone_of(&bare);
    work.commit(None, "fix the thing");
    let push = work.push(&["main"]).assert_refused(&["missing-ticket", "unsigned-commit"]);
    let shape = |line: &str| -> String {
        // Ids differ from push to push.
        let words = line.split(' ').map(|word| {
            let id = word.len() >= 10 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            if id { format!("<{}>", word.len()) } else { word.to_owned() }
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let block = blocks("").into_iter().find(|block| block.starts_with("$ git push origin main")).unwrap();
    let shown = block.lines().filter_map(|line| line.strip_prefix("remote: ")).map(shape);
    let mut shown: Vec<String> = shown.collect();
    let mut read: Vec<String> = push.remote.iter().map(|line| shape(line)).collect();
    shown.sort();
    read.sort();
    assert_eq!(shown, read);
}
