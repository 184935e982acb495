//! The ways a push can come, and the shapes it can have.

use crate::support::gate::{Gate, PRODUCTION};
use crate::support::history;
use crate::support::sandbox::run;
use crate::support::signers::Signer;
use crate::support::snapshot::assert_clean;
use crate::support::sshd::Sshd;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tickets only, so that histories made in bulk can be let in.
const TICKETS: &str = r#"
[policy]
uncovered = "accept"

[[ruleset]]
name = "tickets"
repositories = ["**"]
refs = ["refs/heads/main", "refs/heads/release/**"]

[ruleset.refuse]
missing-ticket = { projects = ["OPS"], where = ["subject"] }
force-push = true
"#;

/// One commit and five hundred, refused and let in.
fn small_and_large(format: &str, ssh: bool) {
    let (gate, _) = Gate::with_alice(TICKETS);
    let bare = gate.repository_with("infra/live", &[&format!("--object-format={format}")]);
    let mut work = gate.clone_of(&bare);
    let sshd = ssh.then(|| Sshd::start(&gate.sandbox, ""));
    if let Some(sshd) = &sshd {
        work = work.over(sshd.url(&bare), sshd.client());
    }
    let only = work.commit(None, "OPS-1: one");
    work.accepted(&["main"]);
    work.commit(None, "none");
    work.push(&["main"]).assert_refused(&["missing-ticket"]);

    let long = history::line(&gate.sandbox, &work.path, "refs/heads/long", 500);
    let last = long.last().unwrap().clone();
    work.accepted(&["long:release/1"]);
    assert_eq!(work.server("refs/heads/release/1").as_deref(), Some(last.as_str()));
    let packs = fs::read_dir(bare.join("objects/pack")).unwrap().count();
    assert!(packs > 0, "a large push stays packed");
    work.branch("long", "long");
    work.commit(None, "none");
    history::line(&gate.sandbox, &work.path, "refs/heads/other", 500);
    work.git(&["checkout", "--quiet", "--force", "other"]).ok();
    work.commit(None, "none, after many");
    let push = work.push(&["other:release/2"]).assert_refused(&["missing-ticket"]);
    assert!(push.text().contains("1 violation,"), "{}", push.text());
    assert_eq!(work.server("refs/heads/main"), Some(only));
    assert_eq!(work.server("refs/heads/release/2"), None);
}

#[test]
fn sha1_over_a_local_path() {
    small_and_large("sha1", false);
}

#[test]
fn sha256_over_a_local_path() {
    small_and_large("sha256", false);
}

#[test]
fn sha1_over_ssh() {
    small_and_large("sha1", true);
}

#[test]
fn sha256_over_ssh() {
    small_and_large("sha256", true);
}

#[test]
fn signatures_in_a_sha256_repository() {
    let gate = Gate::prepared(PRODUCTION);
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    let olga = Signer::openpgp(&gate.sandbox, "olga", "ed25519", "1y", None);
    gate.trust(&alice, "sre");
    gate.trust(&olga, "sre");
    gate.start();
    let bare = gate.repository_with("infra/live", &["--object-format=sha256"]);
    let work = gate.clone_of(&bare);
    for signer in [&alice, &olga] {
        work.commit(Some(signer), "OPS-1: signed");
        work.accepted(&["main"]);
    }
    work.commit(None, "OPS-2: unsigned");
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
}

#[test]
fn n18_over_ssh_the_pusher_is_the_account_of_the_login() {
    let gate = Gate::prepared(PRODUCTION);
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    gate.trust(&alice, "sre");
    gate.repository_keys.replace("server = \"sshd\"".to_owned());
    gate.configure(PRODUCTION);
    gate.start();
    let bare = gate.repository("infra/live");
    let sshd = Sshd::start(&gate.sandbox, "GATE_USER=alice-laptop");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    work.push(&["main"]).assert_undecided("GATE_USER");
    let work = work.over(sshd.url(&bare), sshd.client());
    work.accepted(&["main"]);
    assert!(gate.last_decision().to_string().contains("alice-laptop"));
}

/// Needs the rights to start a process as somebody else; without them there is nothing to test.
#[test]
fn n21_the_daemon_runs_under_its_own_account() {
    let gate = Gate::prepared(PRODUCTION);
    if !rustix::process::getuid().is_root() {
        eprintln!("not run: only root can start a daemon under another account");
        return;
    }
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    gate.trust(&alice, "sre");
    gate.daemon_keys.replace("clients = [0]".to_owned());
    gate.configure(PRODUCTION);
    let account = 65534;
    for place in ["run", "state"] {
        let place = gate.home.join(place);
        fs::create_dir_all(&place).unwrap();
        for entry in fs::read_dir(&place).unwrap().flatten() {
            std::os::unix::fs::chown(entry.path(), Some(account), Some(account)).unwrap();
        }
        std::os::unix::fs::chown(&place, Some(account), Some(account)).unwrap();
    }
    // The directories above are this test's alone; the capability is what reads through them.
    fs::set_permissions(gate.sandbox.root(), fs::Permissions::from_mode(0o711)).unwrap();
    let mut command = gate.sandbox.command("setpriv", gate.sandbox.root());
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]);
    command.args(["--bounding-set=-all,+dac_read_search", "--inh-caps=-all,+dac_read_search"]);
    command.args(["--ambient-caps=-all,+dac_read_search"]);
    command.arg(crate::support::gate::PROGRAM).arg("serve").arg("--config").arg(gate.config());
    gate.start_as(command);

    let bare = gate.repository("infra/live");
    let hook = fs::read_to_string(bare.join("hooks/pre-receive")).unwrap();
    assert!(hook.contains("server-uid 65534\n"), "{hook}");
    fs::set_permissions(&bare, fs::Permissions::from_mode(0o700)).unwrap();
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: read from a quarantine of mode 0700");
    work.accepted(&["main"]);
    work.commit(None, "OPS-2: unsigned");
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    let state = fs::metadata(gate.state()).unwrap();
    assert_eq!(state.permissions().mode() & 0o077, 0, "nobody else can look at the state");
    assert_eq!(gate.last_decision()["peer"]["uid"], 0);
    gate.stop();
}

#[test]
fn a_push_that_only_deletes() {
    let (gate, alice) = Gate::production();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    work.accepted(&["main", "main:topic", "main:other", "main:refs/tags/v1"]);
    work.push(&[":main"]).assert_refused(&["ref-deletion"]);
    work.accepted(&[":topic", ":refs/tags/v1"]);
    assert_eq!(work.server("refs/heads/topic"), None);
    // All or nothing, deletions too.
    work.push(&[":other", ":main"]).assert_refused(&["ref-deletion"]);
    assert!(work.server("refs/heads/other").is_some());
}

#[test]
fn one_bad_ref_stops_all_of_a_push() {
    let (gate, alice) = Gate::production();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let base = work.commit(Some(&alice), "OPS-1: base");
    work.accepted(&["main", "main:old"]);
    let next = work.commit(Some(&alice), "OPS-2: good");
    work.branch("bad", "main");
    work.commit(None, "OPS-3: unsigned");
    work.branch("fine", "main");
    work.commit(None, "an experiment");
    work.sign(Some(&alice), &["tag", "-m", "signed tag", "v1", "main"]);
    let everything = ["main", "bad:release/1", "fine", ":old", "v1"];
    let push = work.push(&everything).assert_refused(&["unsigned-commit"]);
    assert!(
        push.text().contains("refs/heads/release/1") && push.text().contains("1 violation,"),
        "{}",
        push.text()
    );
    assert_eq!(work.server("refs/heads/main"), Some(base));
    work.accepted(&["main", "main:release/1", "fine", ":old", "v1"]);
    assert_eq!(work.server("refs/heads/release/1"), Some(next));
    assert!(work.server("refs/tags/v1").is_some() && work.server("refs/heads/old").is_none());
}

#[test]
fn tags_of_every_sort() {
    let (gate, alice) = Gate::production();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    work.accepted(&["main"]);
    work.sign(Some(&alice), &["tag", "-m", "signed", "signed"]);
    work.sign(None, &["tag", "-a", "-m", "annotated", "annotated"]);
    work.sign(None, &["tag", "light"]);
    work.sign(None, &["tag", "-a", "-m", "a tag of a tag", "nested", "annotated"]);
    fs::write(work.path.join("file"), "content").unwrap();
    let blob = work.git(&["hash-object", "-w", "file"]).ok();
    work.sign(None, &["tag", "blob", blob.line()]);
    work.sign(None, &["tag", "tree", "HEAD^{tree}"]);
    work.accepted(&["signed", "annotated", "light", "nested", "blob", "tree"]);
    // Recorded with what is known of their signatures, whoever covers them.
    let record = gate.last_decision().to_string();
    assert!(record.contains("refs/tags/signed"), "{record}");
    work.accepted(&["--force", "main:refs/tags/annotated", ":refs/tags/light"]);
}

#[test]
fn a_tag_on_a_covered_name_brings_its_commits_before_the_judge() {
    let policy = PRODUCTION.replace("\"refs/heads/main\"", "\"refs/heads/main\", \"refs/tags/v*\"");
    let (gate, alice) = Gate::with_alice(&policy);
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(None, "OPS-1: unsigned");
    work.sign(Some(&alice), &["tag", "-m", "signed tag on an unsigned commit", "v1"]);
    work.sign(None, &["tag", "v2"]);
    work.push(&["v1"]).assert_refused(&["unsigned-commit"]);
    work.push(&["v2"]).assert_refused(&["unsigned-commit"]);
    work.accepted(&["v2:refs/tags/other"]);
}

#[test]
fn a_fork_that_borrows_from_a_pool_by_relative_alternates() {
    let (gate, alice) = Gate::production();
    let pool = gate.bare("pools/one", &[]);
    let base = gate.bare("pools/base", &[]);
    let bare = gate.repository("infra/fork");
    let origin = gate.clone_of(&base);
    origin.commit(Some(&alice), "OPS-1: in the base of the pool");
    origin.accepted(&["main"]);
    fs::write(pool.join("objects/info/alternates"), "../../base.git/objects\n").unwrap();
    fs::write(bare.join("objects/info/alternates"), "../../../pools/one.git/objects\n").unwrap();
    let unsigned = origin.commit(None, "OPS-2: unsigned, in the pool");
    let to_pool = ["push", "--quiet", pool.to_str().unwrap(), "main"];
    origin.git(&to_pool).ok();

    let work = origin_as_clone(&gate, &origin.path, &bare);
    // What the pool alone has is not the fork's to show (N12), unless its keeper says so.
    work.push(&["HEAD~1:refs/heads/main"]).assert_refused(&["foreign-object"]);
    gate.reconfigure(
        &PRODUCTION.replace("[[ruleset]]", "[policy.defaults]\nforeign-object = false\n[[ruleset]]"),
    );
    let push = work.push(&["HEAD~1:refs/heads/main"]).assert_accepted();
    assert!(push.rules().is_empty());
    // What the pool has is not known to the fork's record.
    let push = work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    assert!(push.text().contains(&unsigned[..10]), "{}", push.text());
    work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    work.commit(Some(&alice), "OPS-3: signed");
    work.accepted(&["main"]);
    assert_clean(&gate.sandbox, &bare);
}

/// A clone that has the same history and pushes elsewhere.
fn origin_as_clone<'g>(
    gate: &'g Gate,
    from: &std::path::Path,
    bare: &std::path::Path,
) -> crate::support::clone::Clone<'g> {
    let work = gate.clone_of(bare);
    work.git(&["fetch", "--quiet", from.to_str().unwrap(), "main:main", "--update-head-ok"]).ok();
    work.git(&["reset", "--quiet", "--hard"]).ok();
    work
}

#[test]
fn a_repository_is_repacked_between_and_beside_pushes() {
    let (gate, alice) = Gate::production();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let done = AtomicBool::new(false);
    let pushed = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                gate.sandbox.git(&bare, &["repack", "-q", "-a", "-d"]);
                gate.sandbox.git(&bare, &["pack-refs", "--all"]);
            }
        });
        let pushes = (0..8).map(|n| {
            work.commit(Some(&alice), &format!("OPS-{}: beside a repack", n + 1));
            run(work.push_command(&["main"]), b"")
        });
        let pushed: Vec<_> = pushes.collect();
        done.store(true, Ordering::Release);
        pushed
    });
    for ran in pushed {
        ran.ok();
    }
    assert_clean(&gate.sandbox, &bare);
}

#[test]
fn pushes_to_several_repositories_at_once() {
    let (gate, alice) = Gate::production();
    let repositories: Vec<_> = (0..4).map(|n| gate.repository(&format!("infra/r{n}"))).collect();
    let clones: Vec<_> = repositories.iter().map(|bare| gate.clone_of(bare)).collect();
    for work in &clones {
        work.commit(Some(&alice), "OPS-1: base");
    }
    let running: Vec<_> = clones
        .iter()
        .map(|work| {
            let mut command = work.push_command(&["main"]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    for child in running {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(gate.audit().iter().filter(|record| record["outcome"] == "accept").count(), 4);
    let verified = gate.countersign(&["audit", "verify"]).ok();
    assert!(!verified.stdout.is_empty());
}

#[test]
fn n12_what_is_built_on_what_another_repository_has_is_refused_without_a_word_of_it() {
    let (gate, alice) = Gate::production();
    let pool = gate.bare("pools/one", &[]);
    let bare = gate.repository("infra/fork");
    fs::write(bare.join("objects/info/alternates"), format!("{}/objects\n", pool.display())).unwrap();
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    work.accepted(&["main"]);
    let secret = work.commit(None, "the merger with Initech");
    work.git(&["push", "--quiet", pool.to_str().unwrap(), "main"]).ok();
    let own = work.commit(Some(&alice), "OPS-2: on top");
    for target in ["main", "main:refs/heads/scratch"] {
        let push = work.push(&[target]);
        assert!(push.rules().contains("foreign-object"), "{}", push.text());
        assert!(push.text().contains(&format!("builds on {}, which", &secret[..10])), "{}", push.text());
        assert!(!push.text().contains("Initech"), "{}", push.text());
        assert!(!gate.last_decision().to_string().contains("Initech"));
    }
    work.push(&[&format!("{secret}:refs/heads/scratch")]).assert_refused(&["foreign-object"]);
    work.sign(None, &["tag", "-a", "-m", "x", "v1", &secret]);
    let push = work.push(&["v1"]).assert_refused(&["foreign-object"]);
    assert!(push.text().contains(&secret[..10]), "{}", push.text());
    // Once a ref of the repository has it, it is judged as the repository's own.
    gate.sandbox.git(&bare, &["update-ref", "refs/heads/scratch", &secret]).ok();
    work.push(&["main"]).assert_refused(&["missing-ticket", "unsigned-commit"]);
    assert_eq!(work.id("main"), own);
}
