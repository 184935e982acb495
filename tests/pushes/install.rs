//! Commands around a push: hooks in and out, standalone, check, the keyring, exit codes.

use crate::support::clone::Push;
use crate::support::gate::{Gate, PRODUCTION};
use crate::support::sandbox::run;
use crate::support::signers::Signer;
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const ZERO: &str = "0000000000000000000000000000000000000000";

fn write_hook(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn hooks_that_were_there_run_first_and_can_refuse() {
    let (gate, alice) = Gate::production();
    let bare = gate.bare("infra/live", &[]);
    let seen = gate.sandbox.path("seen");
    let old =
        format!("#!/bin/sh\necho 'the old hook speaks'\ncat >> {0}\ntest ! -e {0}.no\n", seen.display());
    write_hook(&bare.join("hooks/pre-receive"), &old);
    let reported = gate.sandbox.path("reported");
    write_hook(&bare.join("hooks/post-receive"), &format!("#!/bin/sh\ncat >> {}\n", reported.display()));
    gate.install(&bare);
    // Again: what is chained stays chained.
    gate.install(&bare);
    assert_eq!(fs::read_to_string(bare.join("hooks/pre-receive.chained")).unwrap(), old);

    let work = gate.clone_of(&bare);
    let id = work.commit(Some(&alice), "OPS-1: base");
    let push = work.accepted(&["main"]);
    assert!(push.text().contains("the old hook speaks"), "{}", push.text());
    let line = format!("{ZERO} {id} refs/heads/main\n");
    assert_eq!(fs::read_to_string(&seen).unwrap(), line, "it reads what git wrote");
    assert_eq!(fs::read_to_string(&reported).unwrap(), line);

    // Its refusal is one, and not an outage of ours.
    fs::write(gate.sandbox.path("seen.no"), "").unwrap();
    work.commit(Some(&alice), "OPS-2: next");
    let decisions = gate.audit().len();
    let push = work.push(&["main"]);
    assert!(
        !push.ran.status.success() && !push.ran.stderr.contains("could not decide"),
        "{}",
        push.ran.stderr
    );
    assert_eq!(gate.audit().len(), decisions, "ours is not asked any more");
    fs::remove_file(gate.sandbox.path("seen.no")).unwrap();

    // And its consent does not replace ours.
    work.commit(None, "unsigned");
    work.push(&["main"]).assert_refused(&["missing-ticket", "unsigned-commit"]);
}

#[test]
fn uninstall_puts_back_what_was_there() {
    let (gate, _) = Gate::production();
    let bare = gate.bare("infra/live", &[]);
    let old = "#!/bin/sh\nexit 0\n";
    write_hook(&bare.join("hooks/pre-receive"), old);
    gate.install(&bare);
    assert!(fs::read_to_string(bare.join("hooks/post-receive")).unwrap().starts_with("#!"));
    gate.countersign(&["uninstall", bare.to_str().unwrap()]).ok();
    assert_eq!(fs::read_to_string(bare.join("hooks/pre-receive")).unwrap(), old);
    assert!(!bare.join("hooks/post-receive").exists());
    assert!(!bare.join("hooks/pre-receive.chained").exists());
    let work = gate.clone_of(&bare);
    work.commit(None, "unsigned");
    work.accepted(&["main"]);
    gate.countersign(&["uninstall", bare.to_str().unwrap()]).ok();
}

#[test]
fn the_installed_hook_says_where_the_daemon_is() {
    let (gate, _) = Gate::production();
    let bare = gate.repository("infra/live");
    for hook in ["pre-receive", "post-receive"] {
        let text = fs::read_to_string(bare.join("hooks").join(hook)).unwrap();
        let client = Path::new(env!("CARGO_BIN_EXE_countersign-hook"));
        assert!(text.starts_with(&format!("#!{}\n", client.display())), "{text}");
        assert!(text.contains(&format!("socket {}\n", gate.socket().display())), "{text}");
        assert!(text.contains(&format!("server-uid {}\n", rustix::process::getuid().as_raw())), "{text}");
    }
}

#[test]
fn install_refuses_what_would_not_protect() {
    let (gate, _) = Gate::production();
    let outside = gate.sandbox.bare("outside.git", &[]);
    let ran = gate.countersign(&["install", outside.to_str().unwrap()]);
    assert_eq!(ran.code(), Some(2), "{}{}", ran.stdout, ran.stderr);
    let bare = gate.bare("infra/elsewhere", &[]);
    gate.sandbox.git(&bare, &["config", "core.hooksPath", "/nowhere"]).ok();
    let ran = gate.countersign(&["install", bare.to_str().unwrap()]);
    assert_eq!(ran.code(), Some(2), "{}{}", ran.stdout, ran.stderr);
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("core.hooksPath"), "{}", ran.stdout);
}

#[test]
fn standalone_decides_in_the_hook_s_own_process() {
    let gate = Gate::prepared(PRODUCTION);
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    gate.trust(&alice, "sre");
    let bare = gate.bare("infra/live", &[]);
    gate.countersign(&["install", "--standalone", bare.to_str().unwrap()]).ok();
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    work.accepted(&["main"]);
    work.commit(None, "unsigned");
    work.push(&["main"]).assert_refused(&["missing-ticket", "unsigned-commit"]);
    assert_eq!(gate.last_decision()["outcome"], "refuse");
    work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    work.commit(Some(&alice), "OPS-2: next");
    work.accepted(&["main"]);

    // Without its state it cannot tell.
    fs::remove_dir_all(gate.state()).unwrap();
    fs::write(gate.state(), "in the way").unwrap();
    work.commit(Some(&alice), "OPS-3: next");
    work.push(&["main"]).assert_undecided("");
    fs::remove_file(gate.state()).unwrap();
    gate.configure("[policy]\nuncovered = \"perhaps\"\n");
    work.push(&["main"]).assert_undecided("");
}

#[test]
fn n24_the_hook_s_exit_codes() {
    let (gate, alice) = Gate::production();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let id = work.commit(Some(&alice), "OPS-1: base");
    work.accepted(&["main", "main:topic"]);
    let hook = |updates: &str| {
        let mut command = gate.sandbox.command(bare.join("hooks/pre-receive"), &bare);
        command.env("GIT_DIR", ".");
        run(command, updates.as_bytes())
    };
    let accepted = hook(&format!("{id} {ZERO} refs/heads/topic\n"));
    assert_eq!((accepted.code(), accepted.stderr.as_str()), (Some(0), ""));
    let refused = hook(&format!("{id} {ZERO} refs/heads/main\n"));
    assert_eq!(refused.code(), Some(1));
    assert!(refused.stderr.starts_with("error[ref-deletion]: "), "{}", refused.stderr);
    assert_eq!(hook("nonsense").code(), Some(1), "a malformed update is refused");
    assert_eq!(hook("").code(), Some(1), "no update at all is malformed");
    gate.stop();
    let undecided = hook(&format!("{id} {ZERO} refs/heads/topic\n"));
    assert_eq!(undecided.code(), Some(3));
    assert!(
        undecided.stderr.starts_with("countersign could not decide about this push."),
        "{}",
        undecided.stderr
    );
    let by_hand = run(gate.sandbox.command(env!("CARGO_BIN_EXE_countersign-hook"), &bare), b"");
    assert_eq!(by_hand.code(), Some(2), "a person has started it");
}

#[test]
fn check_judges_a_range_without_a_daemon_and_records_nothing() {
    let gate = Gate::prepared(PRODUCTION);
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    gate.trust(&alice, "sre");
    let bare = gate.bare("infra/live", &[]);
    let work = gate.clone_of(&bare);
    let base = work.commit(None, "OPS-0: unsigned base");
    let good = work.commit(Some(&alice), "OPS-1: good");
    let bad = work.commit(None, "bad");
    let repo = work.path.to_str().unwrap();
    let check = |range: &str, format: &str| {
        gate.countersign(&["check", "--repo", repo, "--ref", "refs/heads/main", range, "--format", format])
    };
    let accepted = check(&format!("{base}..{good}"), "json");
    assert_eq!(accepted.code(), Some(0), "{}{}", accepted.stdout, accepted.stderr);
    let verdict: serde_json::Value = serde_json::from_str(&accepted.stdout).unwrap();
    assert_eq!(verdict["outcome"], "accept", "{verdict}");
    assert_eq!(verdict["violations"], serde_json::json!([]));

    let refused = check(&format!("{good}..{bad}"), "json");
    assert_eq!(refused.code(), Some(1), "{}{}", refused.stdout, refused.stderr);
    let verdict: serde_json::Value = serde_json::from_str(&refused.stdout).unwrap();
    assert_eq!(verdict["outcome"], "refuse", "{verdict}");
    assert_eq!(verdict["request_id"].as_str().map(str::len), Some(32), "{verdict}");
    let reference = &verdict["refs"][0];
    let judges = reference["rulesets"].as_array().unwrap();
    let names: Vec<&str> =
        judges.iter().map(|judge| judge["name"].as_str().or(judge.as_str()).unwrap()).collect();
    assert_eq!(names, ["builtin", "production", "default"], "N1: {verdict}");
    let violations = verdict["violations"].as_array().unwrap();
    assert_eq!(violations.len(), 2, "{verdict}");
    for violation in violations {
        assert_eq!(violation["ref"], "refs/heads/main", "{violation}");
        assert_eq!(violation["commit"], bad.as_str(), "{violation}");
        for key in ["rule", "seen", "wanted", "help"] {
            assert!(violation[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {violation}");
        }
    }
    let text = check(&format!("{good}..{bad}"), "text");
    let said = format!("{}{}", text.stdout, text.stderr);
    assert!(said.contains("error[unsigned-commit]: ") && said.contains("record"), "{said}");
    // Branch names and HEAD will do, too.
    assert_eq!(check("HEAD~1..HEAD", "text").code(), Some(1));
    assert_eq!(check("nonsense", "text").code(), Some(2));
    let elsewhere = ["check", "--repo", "/nowhere", "--ref", "refs/heads/main", "a..b"];
    assert!(matches!(gate.countersign(&elsewhere).code(), Some(2 | 3)));
    let records = gate.countersign(&["audit", "log", "--format", "json"]);
    assert!(!records.stdout.contains(&bad), "{}", records.stdout);
}

#[test]
fn the_keyring_is_kept_by_commands() {
    let gate = Gate::prepared(PRODUCTION);
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    let olga = Signer::openpgp(&gate.sandbox, "olga", "ed25519", "1y", None);
    gate.trust(&alice, "sre");
    gate.trust(&olga, "sre");
    let list = gate.countersign(&["keyring", "list"]).ok().stdout;
    assert!(list.contains("alice") && list.contains("olga"), "{list}");
    let show = gate.countersign(&["keyring", "show", "alice"]).ok().stdout;
    assert!(show.contains("alice@example.com") && show.contains("SHA256:"), "{show}");
    let json = gate.countersign(&["keyring", "list", "--format", "json"]).ok().stdout;
    serde_json::from_str::<serde_json::Value>(&json).unwrap();
    let key = alice.public.to_str().unwrap();
    let again = gate.countersign(&["keyring", "add", "alice2", "--email", "a@example.com", "--key", key]);
    assert_eq!(again.code(), Some(2), "one key has one owner: {}{}", again.stdout, again.stderr);
    let weak = Signer::ssh(&gate.sandbox, "weak", &["rsa", "-b", "1024"]);
    let ran = gate.countersign(&[
        "keyring",
        "add",
        "weak",
        "--email",
        "w@example.com",
        "--key",
        weak.public.to_str().unwrap(),
    ]);
    assert!(
        ran.status.success() && format!("{}{}", ran.stdout, ran.stderr).contains("warning"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    gate.countersign(&["config", "check"]).ok();
}

#[test]
fn config_check_tells_warnings_from_errors() {
    let gate = Gate::prepared(PRODUCTION);
    let ran = gate.countersign(&["config", "check"]);
    assert_eq!(ran.code(), Some(0), "{}{}", ran.stdout, ran.stderr);
    gate.configure(&PRODUCTION.replace("force-push", "force-psuh"));
    let ran = gate.countersign(&["config", "check"]);
    assert_eq!(ran.code(), Some(2), "{}{}", ran.stdout, ran.stderr);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(
        said.contains("countersign.toml:") && said.contains("force-push") && said.contains('^'),
        "{said}"
    );
}

#[test]
fn n02_config_check_warns_of_selectors_that_match_nothing() {
    let gate = Gate::prepared(&PRODUCTION.replace("[\"**\"]", "[\"infra/**\"]"));
    gate.bare("other/app", &[]);
    let ran = gate.countersign(&["config", "check"]);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code(), Some(0), "{said}");
    assert!(said.contains("ruleset `production` matches none of the known repositories"), "{said}");
}

#[test]
fn the_configuration_is_named_before_or_after_the_command_or_by_a_variable() {
    let gate = Gate::prepared(PRODUCTION);
    let config = gate.config();
    let config = config.to_str().unwrap();
    gate.program(&["--config", config, "config", "check"]).ok();
    gate.program(&["config", "check", "--config", config]).ok();
    let mut command = gate.sandbox.command(crate::support::gate::PROGRAM, gate.sandbox.root());
    command.args(["config", "check"]).env("COUNTERSIGN_CONFIG", config);
    run(command, b"").ok();
    assert_eq!(gate.program(&["config", "check", "--config", "/nowhere"]).code(), Some(2));
    assert_eq!(gate.program(&["no-such-command"]).code(), Some(2));
}

#[test]
fn init_makes_what_loads_and_overwrites_nothing() {
    let gate = Gate::prepared(PRODUCTION);
    let fresh = gate.sandbox.path("fresh");
    let ran = gate.program(&["init", fresh.to_str().unwrap()]).ok();
    assert!(!ran.stdout.is_empty());
    let config = fresh.join("countersign.toml");
    let checked = gate.program(&["config", "check", "--config", config.to_str().unwrap()]);
    assert_eq!(checked.code(), Some(0), "{}{}", checked.stdout, checked.stderr);
    for directory in ["keyring", "repositories", "state"] {
        assert!(fresh.join(directory).is_dir(), "{directory}");
    }
    let text = fs::read_to_string(&config).unwrap();
    let again = gate.program(&["init", fresh.to_str().unwrap()]);
    assert!(!again.status.success());
    assert_eq!(fs::read_to_string(&config).unwrap(), text);
}

#[test]
fn the_audit_log_tells_who_what_when_and_why() {
    let (gate, alice) = Gate::production();
    let bare = gate.repository("infra/live");
    let other = gate.repository("infra/other");
    let work = gate.clone_of(&bare);
    let id = work.commit(Some(&alice), "OPS-1: base");
    work.accepted(&["main"]);
    let unsigned = work.commit(None, "unsigned");
    let push: Push = work.push(&["main"]).assert_refused(&["missing-ticket", "unsigned-commit"]);
    let there = gate.clone_of(&other);
    there.commit(Some(&alice), "OPS-2: elsewhere");
    there.accepted(&["main"]);

    let records = gate.audit();
    let decisions: Vec<_> = records.iter().filter(|record| record["kind"] == "decision").collect();
    assert_eq!(decisions.len(), 3, "{decisions:?}");
    let accepted = decisions[0].to_string();
    for part in ["accept", "infra/live", "refs/heads/main", &id, "alice", "SHA256:", "production"] {
        assert!(accepted.contains(part), "{part}: {accepted}");
    }
    let refused = decisions[1].to_string();
    for part in ["refuse", "unsigned-commit", "missing-ticket", &unsigned] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let shown = push.text();
    let request = decisions[1]["request_id"].as_str().unwrap();
    assert!(shown.contains(request), "the pusher reads the id of the record: {shown}");

    let one = gate.countersign(&["audit", "log", "--repository", "infra/other"]).ok().stdout;
    assert!(one.contains("infra/other") && !one.contains("infra/live"), "{one}");
    let json = |arguments: &[&str]| {
        let ran = gate.countersign(&[&["audit", "log", "--format", "json"], arguments].concat()).ok();
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<serde_json::Value>>()
    };
    assert_eq!(json(&[]).len(), records.len(), "one line a record");
    assert_eq!(json(&["--request", request]).len(), 1);
    assert_eq!(json(&["--outcome", "refuse"]).len(), 1);
    assert_eq!(json(&["--outcome", "refuse", "--ref", "refs/heads/main"]).len(), 1);
    assert_eq!(json(&["--outcome", "refuse", "--ref", "refs/heads/other"]).len(), 0);
    assert_eq!(json(&["--since", "2999-01-01T00:00:00Z"]).len(), 0);
    assert_eq!(json(&["--until", "2999-01-01T00:00:00Z"]).len(), records.len());
    let two = json(&["--repository", "infra/live", "--limit", "2"]);
    let all = json(&["--repository", "infra/live"]);
    assert_eq!(two, all[all.len() - 2..], "the last two, oldest first");
    assert_eq!(gate.countersign(&["audit", "log", "--repository", "nowhere"]).code(), Some(2));
    assert_eq!(gate.countersign(&["audit", "log", "--since", "yesterday"]).code(), Some(2));
    let raw = gate.sandbox.git(&bare, &["cat-file", "commit", &id]).ok().stdout;
    let digest: String = Sha256::digest(raw.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(decisions[0]["commits"][0]["sha256"], digest, "of the bytes that were judged");

    let last = gate.countersign(&["audit", "log", "--limit", "1", "--format", "json"]).ok().stdout;
    assert!(!last.contains(&unsigned), "{last}");
    let verified = gate.countersign(&["audit", "verify", "--format", "json"]).ok();
    let verified: serde_json::Value = serde_json::from_str(&verified.stdout).unwrap();
    let head = verified["head"].as_str().unwrap();
    gate.countersign(&["audit", "verify", "--known", head]).ok();
    let (seq, hash) = head.split_once(':').unwrap();
    let later = format!("{}:{hash}", seq.parse::<u64>().unwrap() + 1000);
    assert_eq!(gate.countersign(&["audit", "verify", "--known", &later]).code(), Some(1));
    let forged = format!("{seq}:{}", "0".repeat(64));
    assert_eq!(gate.countersign(&["audit", "verify", "--known", &forged]).code(), Some(1));
    assert_eq!(gate.countersign(&["audit", "verify", "--known", "nonsense"]).code(), Some(2));
}

#[test]
fn a_hook_that_decides_by_itself_needs_its_state() {
    let (gate, alice) = Gate::production();
    let bare = gate.repository("infra/live");
    gate.stop();
    gate.countersign(&["install", "--standalone", bare.to_str().unwrap()]).ok();
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    work.accepted(&["main"]);
    fs::rename(gate.state(), gate.state().with_extension("gone")).unwrap();
    work.commit(Some(&alice), "OPS-2: more");
    let pushed = run(work.push_command(&["main:uncovered"]), b"");
    assert!(!pushed.status.success() && pushed.stderr.contains("there is no state at"), "{}", pushed.stderr);
    assert!(!gate.state().exists(), "none was made");
    fs::rename(gate.state().with_extension("gone"), gate.state()).unwrap();
    work.accepted(&["main"]);
}

#[test]
fn a_chained_hook_that_was_killed_has_not_refused() {
    let (gate, alice) = Gate::production();
    let bare = gate.bare("infra/chained", &[]);
    let hook = bare.join("hooks/pre-receive");
    fs::create_dir_all(bare.join("hooks")).unwrap();
    fs::write(&hook, "#!/bin/sh\nkill -9 $$\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    gate.install(&bare);
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    let pushed = run(work.push_command(&["main"]), b"");
    assert!(!pushed.status.success() && pushed.stderr.contains("did not decide"), "{}", pushed.stderr);
    assert!(pushed.stderr.contains("not a policy decision"), "{}", pushed.stderr);
}
