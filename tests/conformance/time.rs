//! Conformance cases D: Time.

use crate::support::clone::Clone;
use crate::support::gate::Gate;
use crate::support::signers::Signer;
use countersign::domain::{ObjectFormat, Timestamp};
use countersign::signature::object::parse_commit;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Puts a line into the first key of somebody's keyring file, in place of what stood there.
fn edit_key(gate: &Gate, name: &str, line: &str) {
    let file = gate.home.join(format!("keyring/{name}.toml"));
    let text = fs::read_to_string(&file).unwrap();
    let ours = |line: &&str| !line.starts_with("revoked =") && !line.starts_with("valid-until =");
    let text = text.lines().filter(ours).collect::<Vec<_>>().join("\n") + "\n";
    fs::write(&file, text.replacen("[[key]]\n", &format!("[[key]]\n{line}\n"), 1)).unwrap();
    gate.reload();
}

/// Status and anchor of a commit in the history of a ref, and the exit code for the whole.
fn history(gate: &Gate, repository: &Path, reference: &str, commit: &str) -> (String, String, i32) {
    let repository = repository.to_str().unwrap();
    let arguments = ["check", "--history", "--repo", repository, "--ref", reference, "--format", "json"];
    let ran = gate.countersign(&arguments);
    let lines = ran.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let found = lines.into_iter().find(|line| line["commit"] == commit);
    let found = found.unwrap_or_else(|| panic!("{commit} is not in\n{}{}", ran.stdout, ran.stderr));
    let word = |key: &str| found[key].as_str().unwrap().to_owned();
    (word("status"), word("anchor"), ran.code().unwrap())
}

fn is(status: &str, anchor: &str, code: i32) -> (String, String, i32) {
    (status.to_owned(), anchor.to_owned(), code)
}

/// A full second, in the form of keyring files, after everything that happened and not after now.
fn now() -> String {
    std::thread::sleep(Duration::from_millis(1100));
    Timestamp::from_second(Timestamp::now().as_second()).unwrap().to_string()
}

/// A commit on top that is signed with SSH and claims a time that git itself would not write.
fn commit_at(gate: &Gate, work: &Clone<'_>, signer: &Signer, time: i64) -> String {
    let who = format!("A <a@example.com> {time} +0000");
    let (tree, parent) = (work.id("HEAD^{tree}"), work.id("HEAD"));
    let head = format!("tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n");
    let message = "\nOPS-2: from the future\n";
    let private = signer.public.with_extension("");
    let mut command = gate.sandbox.command("ssh-keygen", gate.sandbox.root());
    command.args(["-q", "-Y", "sign", "-n", "git", "-f"]).arg(private);
    let signature = crate::support::sandbox::run(command, format!("{head}{message}").as_bytes()).ok().stdout;
    let folded = signature.trim_end().replace('\n', "\n ");
    let raw = format!("{head}gpgsig {folded}\n{message}");
    let arguments = ["hash-object", "-t", "commit", "-w", "--literally", "--stdin"];
    gate.sandbox.git_with_input(&work.path, &arguments, raw.as_bytes()).ok().line().to_owned()
}

/// The same commit where the gate has no record: a copy without the repository's identity.
fn copy(gate: &Gate, repository: &Path) -> std::path::PathBuf {
    let place = gate.place("copies/of");
    let _ = fs::remove_dir_all(&place);
    let (from, to) = (repository.to_str().unwrap(), place.to_str().unwrap());
    gate.sandbox.git(&gate.home, &["clone", "--quiet", "--bare", from, to]).ok();
    place
}

/// A gate with `alice`, who has pushed one commit to `main`.
fn scene(gate: &Gate, signer: &Signer) -> (std::path::PathBuf, String) {
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let commit = work.commit(Some(signer), "OPS-1: in time");
    work.accepted(&["main"]);
    (bare, commit)
}

fn on_top<'g>(gate: &'g Gate, bare: &Path, signer: &Signer) -> Clone<'g> {
    let work = gate.clone_at(bare, "main");
    work.commit(Some(signer), "OPS-2: on top");
    work
}

#[test]
fn d001_d010_a_signature_from_the_future_is_refused() {
    let (gate, alice) = Gate::production();
    let ahead = (Timestamp::now() + Duration::from_secs(3600)).strftime("%Y%m%dT%H%M%S!").to_string();
    let paul = Signer::openpgp(&gate.sandbox, "paul", "ed25519", "never", Some("20250101T000000!"));
    gate.trust(&paul, "sre");
    gate.reload();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let soon = Timestamp::now().as_second();
    // Five minutes of other people's clocks are borne, and no more.
    work.sign_at(
        Some(&alice),
        &format!("{} +0000", soon + 200),
        &["commit", "-q", "--allow-empty", "-m", "OPS-1: a little"],
    );
    work.accepted(&["main"]);
    let base = work.id("HEAD");
    let near = commit_at(&gate, &work, &alice, soon);
    work.accepted(&[&format!("{near}:refs/heads/release/1")]);
    for time in [soon + 3600, 253_402_214_400] {
        let commit = commit_at(&gate, &work, &alice, time);
        work.push(&[&format!("{commit}:refs/heads/main")]).assert_refused(&["bad-signature"]);
        // The same commit as history is from the future, too.
        let copied = copy(&gate, &bare);
        let push = [copied.to_str().unwrap(), &format!("{commit}:refs/heads/ahead")];
        gate.sandbox.git(&work.path, &["push", "--quiet", push[0], push[1]]).ok();
        assert_eq!(history(&gate, &copied, "refs/heads/ahead", &commit), is("malformed", "unanchored", 1));
    }
    // OpenPGP signatures carry a time of their own.
    let wrapper = gate.sandbox.path("home/gpg-paul");
    fs::write(&wrapper, format!("#!/bin/sh\nexec gpg --faked-system-time={ahead} \"$@\"\n")).unwrap();
    work.branch("main", &base);
    work.commit(Some(&paul), "OPS-3: signed by a clock that is ahead");
    work.push(&["main"]).assert_refused(&["bad-signature"]);
}

#[test]
fn d002_the_log_refuses_to_be_written_by_a_clock_that_runs_backwards() {
    let (gate, alice) = Gate::production();
    let (bare, _) = scene(&gate, &alice);
    let database = || rusqlite::Connection::open(gate.state().join("state.db")).unwrap();
    let written = || {
        let text: String = database()
            .query_row("select value from meta where name = 'clock'", [], |row| row.get(0))
            .unwrap();
        text.parse::<i64>().unwrap()
    };
    let set = |ahead: i64| {
        let at = Timestamp::now().as_millisecond() + ahead;
        let sql = "update meta set value = ?1 where name = 'clock'";
        database().execute(sql, [at.to_string()]).unwrap();
        at
    };
    let records = || gate.audit().len();
    // A small step back is what time servers do: nothing happens.
    let before = written();
    let far = set(240_000);
    on_top(&gate, &bare, &alice).accepted(&["main"]);
    assert!(far >= before && written() == far, "it never goes back by itself");

    set(7_200_000);
    let count = records();
    let work = on_top(&gate, &bare, &alice);
    work.push(&["main"]).assert_undecided("audit-unavailable");
    assert_eq!(records(), count, "nothing is written, not even that");
    let (status, health) = gate.get("/health");
    assert!(status == 503 && health.contains("the clock says"), "{status} {health}");
    let taint = ["taint", "accept", "--repository", "infra/live", "--key", "x", "--reason", "y", "--yes"];
    assert!(!gate.countersign(&taint).status.success());

    // Somebody says that the clock is right now.
    let asked = gate.countersign(&["adopt", bare.to_str().unwrap()]);
    assert!(!asked.status.success() && asked.stdout.contains("has run backwards"), "{}", asked.stdout);
    work.push(&["main"]).assert_undecided("audit-unavailable");
    gate.adopt(&bare).ok();
    assert!(gate.audit().iter().any(|record| record["kind"] == "recovered"));
    work.accepted(&["main"]);
    gate.countersign(&["audit", "verify"]).ok();
}

#[test]
fn d003_a_rebase_keeps_the_authors_date_and_has_a_committer_of_now() {
    let (gate, alice) = Gate::production();
    let (bare, _) = scene(&gate, &alice);
    let work = gate.clone_at(&bare, "main");
    let arguments =
        ["commit", "-q", "--allow-empty", "-m", "OPS-2: rebased", "--date", "2015-03-01T12:00:00Z"];
    work.sign(Some(&alice), &arguments);
    let author = work.git(&["log", "-1", "--format=%at"]).ok();
    assert!(author.line().parse::<i64>().unwrap() < 1_500_000_000);
    work.accepted(&["main"]);
}

#[test]
fn d004_an_old_signed_commit_that_comes_in_after_its_key_expired_is_refused() {
    let (gate, alice) = Gate::production();
    let (bare, _) = scene(&gate, &alice);
    let work = on_top(&gate, &bare, &alice);
    let commit = work.id("HEAD");
    edit_key(&gate, "alice", &format!("valid-until = {}", now()));
    // {git: Y, and G with a key in allowed_signers whose validity it asks for at the claimed time}
    work.push(&["main"]).assert_refused(&["bad-signature"]);
    // Nor does one that is made afterwards and dated back, by whichever clock.
    let paul = Signer::openpgp(&gate.sandbox, "paul", "ed25519", "30d", Some("20200101T120000!"));
    gate.trust(&paul, "sre");
    gate.reload();
    for (signer, date) in [(&alice, "2026-01-01T12:00:00Z"), (&paul, "2020-01-01T12:00:00Z")] {
        let back = gate.clone_at(&bare, "main");
        back.sign_at(Some(signer), date, &["commit", "-q", "--allow-empty", "-m", "OPS-3: dated back"]);
        let push = back.push(&["main"]);
        assert!(push.text().contains("expired"), "{}", push.text());
        push.assert_refused(&["bad-signature"]);
    }
    // Where there is no gate it is history: by what it claims it was in time, and that is said.
    let copied = copy(&gate, &bare);
    gate.sandbox.git(&work.path, &["push", "--quiet", copied.to_str().unwrap(), "main:late"]).ok();
    assert_eq!(history(&gate, &copied, "refs/heads/late", &commit), is("verified", "unanchored", 0));
}

/// The case expects that such a commit may be promoted by the log. It may not (N13): receipt times serve
/// re-verification, and never let an object in.
#[test]
fn d005_a_receipt_on_another_branch_lets_nothing_in() {
    let (gate, alice) = Gate::production();
    let (bare, _) = scene(&gate, &alice);
    let work = on_top(&gate, &bare, &alice);
    let commit = work.id("HEAD");
    work.accepted(&["main:topic"]);
    edit_key(&gate, "alice", &format!("valid-until = {}", now()));
    work.push(&["main"]).assert_refused(&["bad-signature"]);
    // No ruleset let it in, so there is no receipt that its verdict could rest on.
    assert_eq!(history(&gate, &bare, "refs/heads/topic", &commit), is("verified", "unanchored", 0));
    // What came in through one covered ref is judged for all of them.
    work.branch("main", "HEAD~1");
    work.accepted(&["main:release/1"]);
}

#[test]
fn d006_what_was_received_before_a_compromise_stands_and_what_came_after_does_not() {
    let (gate, alice) = Gate::production();
    let (bare, before) = scene(&gate, &alice);
    let stolen = now();
    let work = on_top(&gate, &bare, &alice);
    let after = work.id("HEAD");
    work.accepted(&["main"]);
    let line = format!("revoked = {{ at = {}, effective-from = {stolen}, reason = \"compromised\" }}", now());
    edit_key(&gate, "alice", &line);
    assert_eq!(history(&gate, &bare, "refs/heads/main", &before), is("verified", "recorded", 1));
    assert_eq!(history(&gate, &bare, "refs/heads/main", &after), is("tainted", "recorded", 1));
    // Without a receipt a claimed time proves nothing against a thief.
    let copied = copy(&gate, &bare);
    assert_eq!(history(&gate, &copied, "refs/heads/main", &before), is("tainted", "unanchored", 1));
    let listed = gate.countersign(&["taint", "list"]);
    assert!(listed.stdout.contains(&after) && !listed.stdout.contains(&before), "{}", listed.stdout);
    work.push(&[&format!("{after}:refs/heads/release/1")]).assert_refused(&["bad-signature"]);
    work.accepted(&[&format!("{before}:refs/heads/release/2")]);
}

/// Thresholds do not exist: whoever may write the state decides alone, and nobody else does.
#[test]
fn d007_d008_a_compromise_taints_what_stands_until_somebody_lets_it_stand() {
    let (gate, alice) = Gate::production();
    let bare = gate.bare("infra/old", &[]);
    let work = gate.clone_of(&bare);
    let old = work.commit(Some(&alice), "imported");
    crate::support::sandbox::run(work.push_command(&["main"]), b"").ok();
    gate.install(&bare);
    gate.adopt(&bare).ok();
    assert_eq!(history(&gate, &bare, "refs/heads/main", &old), is("verified", "unanchored", 0));
    edit_key(&gate, "alice", "revoked = { at = 2026-01-01T00:00:00Z, reason = \"compromised\" }");
    assert_eq!(history(&gate, &bare, "refs/heads/main", &old), is("tainted", "unanchored", 1));
    let accept =
        ["taint", "accept", "--repository", "infra/old", "--commit", &old, "--reason", "audited", "--yes"];
    gate.countersign(&accept).ok();
    assert_eq!(history(&gate, &bare, "refs/heads/main", &old), is("tainted-accepted", "unanchored", 0));

    // A configuration that asks for a number of auditors does not load, instead of asking for one.
    let policy = format!("{}\n[taint]\nthreshold = 2\n", crate::support::gate::PRODUCTION);
    gate.configure(&policy);
    let checked = gate.countersign(&["config", "check"]);
    assert_eq!(checked.code(), Some(2), "{}", checked.stdout);
    assert_eq!(gate.countersign(&accept).code(), Some(2));
}

#[test]
fn d009_zones_are_read_and_never_change_the_time() {
    let raw = |zone: &str| {
        let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
        let who = format!("A <a@example.com> 1700000000 {zone}");
        format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nx\n").into_bytes()
    };
    let time = |zone: &str| {
        let raw = raw(zone);
        parse_commit(ObjectFormat::Sha1, &raw).map(|commit| commit.committer.time).map_err(|e| e.code)
    };
    for zone in ["+0000", "-0000", "+1400", "-1400", "+0545", "-0330", "+1359"] {
        assert_eq!(time(zone), Ok(1_700_000_000), "{zone}");
    }
    for zone in ["+1401", "-1401", "+2400", "+0060", "+0199", "0000", "+000", "+00000", "UTC", "+ 100"] {
        assert_eq!(time(zone), Err("obj.bad_date"), "{zone}");
    }
}

/// {git: Y for the expired key, whenever the commit came in}
#[test]
fn k047_a_key_that_expired_after_the_receipt_leaves_history_as_it_is() {
    let (gate, _) = Gate::production();
    let paul = Signer::openpgp(&gate.sandbox, "paul", "ed25519", "seconds=15", None);
    let made = std::time::Instant::now();
    gate.trust(&paul, "sre");
    gate.reload();
    let (bare, commit) = scene(&gate, &paul);
    let work = on_top(&gate, &bare, &paul);
    let late = work.id("HEAD");
    assert_eq!(history(&gate, &bare, "refs/heads/main", &commit), is("verified", "recorded", 0));
    std::thread::sleep(Duration::from_secs(17).saturating_sub(made.elapsed()));
    work.push(&["main"]).assert_refused(&["bad-signature"]);
    assert_eq!(history(&gate, &bare, "refs/heads/main", &commit), is("verified", "recorded", 0));
    let shown = gate.sandbox.git(&work.path, &["log", "-1", "--format=%G?", &late]).ok();
    assert_eq!(shown.line(), "Y");
}

/// Soft revocations by the owner, of a subkey and of the whole key (reasons 1 and 3).
#[test]
fn k053_k056_a_key_that_was_retired_after_the_receipt_leaves_history_as_it_is() {
    let (gate, alice) = Gate::production();
    let (bare, commit) = scene(&gate, &alice);
    let work = on_top(&gate, &bare, &alice);
    for reason in ["superseded", "retired"] {
        edit_key(&gate, "alice", &format!("revoked = {{ at = {}, reason = \"{reason}\" }}", now()));
        assert_eq!(history(&gate, &bare, "refs/heads/main", &commit), is("verified", "recorded", 0));
        work.push(&["main"]).assert_refused(&["bad-signature"]);
    }
    // The key's owner says so in the key itself.
    for (who, kind, code) in [("paul", "primary", "2"), ("quinn", "primary", "3"), ("rosa", "subkey", "2")] {
        let owner = Signer::openpgp(&gate.sandbox, who, "ed25519", "never", None);
        let gpg = |arguments: &[&str], answers: &str| {
            let mut command = gate.sandbox.command("gpg", gate.sandbox.root());
            command.args(["--no-tty", "--quiet", "--command-fd", "0", "--pinentry-mode", "loopback"]);
            command.args(["--passphrase", ""]).args(arguments);
            crate::support::sandbox::run(command, answers.as_bytes()).ok().stdout
        };
        let user = format!("{who}@example.com");
        let listed = gpg(&["--with-colons", "--list-keys", &user], "");
        let fingerprint = listed.lines().find_map(|line| line.strip_prefix("fpr:")).unwrap();
        let fingerprint = fingerprint.trim_matches(':').to_owned();
        if kind == "subkey" {
            gpg(&["--batch", "--quick-add-key", &fingerprint, "ed25519", "sign", "never"], "");
            fs::write(&owner.public, gpg(&["--armor", "--export", &fingerprint], "")).unwrap();
        }
        gate.trust(&owner, "sre");
        gate.reload();
        let bare = gate.repository(&format!("infra/{who}"));
        let work = gate.clone_of(&bare);
        let commit = work.commit(Some(&owner), "OPS-1: before it was retired");
        work.accepted(&["main"]);
        let late = work.commit(Some(&owner), "OPS-2: after it");
        now();
        match kind {
            "subkey" => {
                let answers = format!("key 1\nrevkey\ny\n{code}\n\ny\nsave\n");
                gpg(&["--edit-key", &fingerprint], &answers);
            }
            _ => {
                let answers = format!("y\n{code}\n\ny\n");
                let revocation = gpg(&["--armor", "--gen-revoke", &fingerprint], &answers);
                let file = gate.sandbox.path(format!("home/{who}.rev"));
                fs::write(&file, revocation).unwrap();
                gpg(&["--batch", "--import", file.to_str().unwrap()], "");
            }
        }
        fs::write(&owner.public, gpg(&["--armor", "--export", &fingerprint], "")).unwrap();
        fs::remove_file(gate.home.join(format!("keyring/{who}.toml"))).unwrap();
        let copied = fs::read_to_string(&owner.public).unwrap();
        let file = format!(
            "name = \"{who}\"\nemails = [\"{user}\"]\ngroups = [\"sre\"]\n\n[[key]]\nopenpgp = \"\"\"\n{copied}\"\"\"\n"
        );
        fs::write(gate.home.join(format!("keyring/{who}.toml")), file).unwrap();
        gate.reload();
        assert_eq!(history(&gate, &bare, "refs/heads/main", &commit), is("verified", "recorded", 0), "{who}");
        work.push(&[&format!("{late}:refs/heads/main")]).assert_refused(&["bad-signature"]);
    }
}
