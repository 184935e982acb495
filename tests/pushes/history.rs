//! Judging history that predates the gate, showing it when adopting, and what compromised keys left
//! behind (reference 1.9; N8, N9, N13, N14).

use crate::support::clone::Clone;
use crate::support::gate::{Gate, PRODUCTION};
use crate::support::sandbox::Ran;
use crate::support::signers::Signer;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What `check --history --format json` printed.
struct Report {
    code: i32,
    lines: Vec<Value>,
    summary: Value,
    text: String,
}

fn check(gate: &Gate, repository: &Path, reference: &str, more: &[&str]) -> Ran {
    let mut arguments =
        vec!["check", "--history", "--repo", repository.to_str().unwrap(), "--ref", reference];
    arguments.extend(more);
    gate.countersign(&arguments)
}

fn report(gate: &Gate, repository: &Path, reference: &str) -> Report {
    let ran = check(gate, repository, reference, &["--format", "json"]);
    let mut lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.pop().unwrap_or_else(|| panic!("{}", ran.stderr));
    assert!(last["summary"].is_object(), "{last} {}", ran.stderr);
    let before = ran.stdout.trim_end().rfind('\n').map_or(0, |end| end + 1);
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(&ran.stdout.as_bytes()[..before]));
    assert_eq!(last["summary"]["sha256"], digest.as_str());
    assert_eq!(last["summary"]["total"], lines.len());
    Report { code: ran.code().unwrap(), lines, summary: last["summary"].clone(), text: ran.stdout }
}

impl Report {
    /// Status and anchor by commit.
    fn verdicts(&self) -> BTreeMap<&str, (&str, &str)> {
        self.lines
            .iter()
            .map(|line| {
                let word = |key: &str| line[key].as_str().unwrap();
                (word("commit"), (word("status"), word("anchor")))
            })
            .collect()
    }

    #[track_caller]
    fn assert(&self, commit: &str, status: &str, anchor: &str) {
        assert_eq!(self.verdicts()[commit], (status, anchor), "{}", self.text);
    }
}

/// A repository without hooks, and a work tree of it.
fn old_repository<'g>(gate: &'g Gate, name: &str) -> (PathBuf, Clone<'g>) {
    let bare = gate.bare(name, &[]);
    let work = gate.clone_of(&bare);
    (bare, work)
}

/// Pushes where no gate is.
fn put(work: &Clone<'_>, refspecs: &[&str]) {
    crate::support::sandbox::run(work.push_command(refspecs), b"").ok();
}

/// Writes an object however malformed it is.
fn write_object(gate: &Gate, at: &Path, kind: &str, bytes: &[u8]) -> String {
    let arguments = ["hash-object", "-t", kind, "-w", "--literally", "--stdin"];
    gate.sandbox.git_with_input(at, &arguments, bytes).ok().line().to_owned()
}

/// Changes the first key of somebody's keyring file.
pub(crate) fn edit_key(gate: &Gate, name: &str, line: &str) {
    let file = gate.home.join(format!("keyring/{name}.toml"));
    let text = fs::read_to_string(&file).unwrap();
    let kept: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("revoked =") && !line.starts_with("valid-until ="))
        .collect();
    let text = kept.join("\n") + "\n";
    fs::write(&file, text.replacen("[[key]]\n", &format!("[[key]]\n{line}\n"), 1)).unwrap();
}

pub(crate) const STOLEN: &str = "revoked = { at = 2026-01-01T00:00:00Z, reason = \"compromised\" }";

#[test]
fn history_before_the_gate_is_judged_by_what_it_claims_and_called_unanchored() {
    let (gate, alice) = Gate::production();
    let stranger = Signer::ssh(&gate.sandbox, "mallory", &["ed25519"]);
    let (bare, work) = old_repository(&gate, "infra/old");
    let good = work.commit(Some(&alice), "signed");
    put(&work, &["main"]);
    let all_good = report(&gate, &bare, "refs/heads/main");
    assert_eq!(all_good.code, 0, "{}", all_good.text);
    assert_eq!(all_good.lines[0]["signer"], "alice");

    let unsigned = work.commit(None, "unsigned");
    let foreign = work.commit(Some(&stranger), "by a stranger");
    // The same signature over another message.
    let raw = gate.sandbox.git(&work.path, &["cat-file", "commit", &good]).ok().stdout;
    let forged =
        raw.replace("signed\n", "forged\n").replacen("author", &format!("parent {foreign}\nauthor"), 1);
    assert_ne!(raw, forged);
    let forged = write_object(&gate, &work.path, "commit", forged.as_bytes());
    work.branch("main", &forged);
    let tip = work.commit(Some(&alice), "signed again");
    put(&work, &["main"]);

    let found = report(&gate, &bare, "refs/heads/main");
    assert_eq!(found.code, 1);
    found.assert(&good, "verified", "unanchored");
    found.assert(&tip, "verified", "unanchored");
    found.assert(&unsigned, "unsigned", "unanchored");
    found.assert(&foreign, "unknown-key", "unanchored");
    found.assert(&forged, "bad", "unanchored");
    let summary = &found.summary;
    assert_eq!(summary["statuses"]["verified"], 2);
    assert_eq!((&summary["repository"], &summary["ref"]), (&"infra/old".into(), &"refs/heads/main".into()));
    assert_eq!((&summary["tip"], &summary["signers"]["alice"]["good"]), (&tip.as_str().into(), &2.into()));
    // A signature that does not verify is counted under the key that it names, and never under alice.
    assert_eq!(summary["signers"]["alice"]["bad"], 0);
    assert!(found.lines.iter().all(|line| line["signer"].is_null() == (line["status"] != "verified")));

    // The order is that of the walk, whoever verifies first.
    for jobs in ["1", "2", "7"] {
        let again = check(&gate, &bare, "refs/heads/main", &["--format", "json", "--jobs", jobs]);
        assert_eq!(again.stdout, found.text);
    }
    let text = check(&gate, &bare, "refs/heads/main", &["--first", "1"]);
    assert_eq!(text.code(), Some(1));
    for wanted in ["verified", "unsigned", "unanchored", "alice", "... and 2 more", "5 commits, 2 good"] {
        assert!(text.stdout.contains(wanted), "no `{wanted}` in\n{}", text.stdout);
    }
    assert!(text.stderr.contains("nothing is anchored"), "{}", text.stderr);
}

#[test]
fn hostile_history_is_counted_and_never_believed() {
    let (gate, alice) = Gate::production();
    let (bare, work) = old_repository(&gate, "infra/hostile");
    let signed = work.commit(Some(&alice), "signed");
    let tree = work.id("HEAD^{tree}");
    let who = "A <a@example.com> 1300000000 +0000";
    let twice = format!("tree {tree}\nparent {signed}\nauthor {who}\nauthor {who}\ncommitter {who}\n\nodd\n");
    let malformed = write_object(&gate, &work.path, "commit", twice.as_bytes());
    // The form of 2011: the whole signature inside the header, each line of it prefixed.
    let prefixed = format!(
        "tree {tree}\nparent {malformed}\nauthor {who}\ncommitter {who}\n\
         gpgsig gpgsig -----BEGIN PGP SIGNATURE-----\n gpgsig \n gpgsig iQ==\n gpgsig -----END PGP SIGNATURE-----\n\nold\n"
    );
    let prefixed = write_object(&gate, &work.path, "commit", prefixed.as_bytes());
    let no_begin =
        format!("tree {tree}\nparent {prefixed}\nauthor {who}\ncommitter {who}\ngpgsig nothing\n\nold\n");
    let no_begin = write_object(&gate, &work.path, "commit", no_begin.as_bytes());
    // Nobody reads a commit of that size for its signature; what is behind it is judged all the same.
    let large = format!(
        "tree {tree}\nparent {no_begin}\nauthor {who}\ncommitter {who}\n\n{}\n",
        "large ".repeat(300_000)
    );
    let large = write_object(&gate, &work.path, "commit", large.as_bytes());
    let side: Vec<String> = (0..3)
        .map(|n| {
            work.branch(&format!("side{n}"), &signed);
            work.commit(Some(&alice), &format!("side {n}"))
        })
        .collect();
    let parents: Vec<String> =
        std::iter::once(&large).chain(&side).map(|id| format!("parent {id}\n")).collect();
    let octopus = format!("tree {tree}\n{}author {who}\ncommitter {who}\n\noctopus\n", parents.concat());
    let octopus = write_object(&gate, &work.path, "commit", octopus.as_bytes());
    work.branch("main", &octopus);
    let tip = work.commit(Some(&alice), "tip");
    put(&work, &["main"]);
    // A replacement would put a signed commit where an unsigned one stands.
    gate.sandbox.git(&bare, &["update-ref", &format!("refs/replace/{octopus}"), &side[0]]).ok();
    work.sign(Some(&alice), &["tag", "-a", "-m", "annotated", "v1", &tip]);
    put(&work, &["v1"]);

    for reference in ["refs/heads/main", "refs/tags/v1"] {
        let found = report(&gate, &bare, reference);
        assert_eq!(found.code, 1);
        found.assert(&large, "too-large", "unanchored");
        assert_eq!(found.lines.len(), 10, "each once\n{}", found.text);
        found.assert(&malformed, "malformed-object", "unanchored");
        found.assert(&octopus, "unsigned", "unanchored");
        for id in [&prefixed, &no_begin] {
            let (status, _) = found.verdicts()[id.as_str()];
            assert!(!["verified", "unsigned"].contains(&status), "{status}: it claims to be signed");
        }
        for id in side.iter().chain([&signed, &tip]) {
            found.assert(id, "verified", "unanchored");
        }
        assert_eq!(found.summary["commit"], tip.as_str());
    }
    let tag = check(&gate, &bare, "refs/tags/v1", &[]);
    assert!(tag.stdout.contains("the tag itself is not judged here"), "{}", tag.stdout);
}

#[test]
fn history_of_sha256_repositories_is_judged_alike() {
    let (gate, alice) = Gate::production();
    let bare = gate.bare("infra/wide", &["--object-format=sha256"]);
    let work = gate.clone_of(&bare);
    let good = work.commit(Some(&alice), "signed");
    let unsigned = work.commit(None, "unsigned");
    put(&work, &["main"]);
    let found = report(&gate, &bare, "refs/heads/main");
    found.assert(&good, "verified", "unanchored");
    found.assert(&unsigned, "unsigned", "unanchored");
    assert_eq!((good.len(), found.code), (64, 1));
}

#[test]
fn history_that_cannot_be_read_whole_is_undecided_and_no_report() {
    let (gate, alice) = Gate::production();
    let undecided = |repository: &Path, cause: &str| {
        let ran = check(&gate, repository, "refs/heads/main", &[]);
        assert_eq!(ran.code(), Some(3), "{}", ran.stdout);
        assert!(ran.stderr.contains(cause), "no `{cause}` in {}", ran.stderr);
        let json = check(&gate, repository, "refs/heads/main", &["--format", "json"]);
        assert_eq!(json.code(), Some(3));
        let last: Value = serde_json::from_str(json.stdout.lines().last().unwrap()).unwrap();
        assert_eq!(last["outcome"], "undecided");
        assert!(!json.stdout.contains("\"summary\""));
        // And so nobody can show it for a report.
        let file = gate.home.join("unfinished.jsonl");
        fs::write(&file, json.stdout).unwrap();
        let (repository, file) = (repository.to_str().unwrap(), file.to_str().unwrap());
        let adopt = gate.countersign(&["adopt", repository, "--yes", "--evidence", file]);
        assert!(!adopt.status.success(), "{}", adopt.stdout);
    };
    let loose = |repository: &Path, id: &str| repository.join("objects").join(&id[..2]).join(&id[2..]);

    let (missing, work) = old_repository(&gate, "infra/missing");
    let first = work.commit(Some(&alice), "first");
    work.commit(Some(&alice), "second");
    put(&work, &["main"]);
    let (shallow, corrupt) = (gate.place("infra/shallow"), gate.place("infra/corrupt"));
    for copy in [&shallow, &corrupt] {
        gate.sandbox
            .git(&gate.home, &["clone", "--quiet", "--bare", work.url(), copy.to_str().unwrap()])
            .ok();
    }
    fs::remove_file(loose(&missing, &first)).unwrap();
    undecided(&missing, "is missing");

    fs::write(shallow.join("shallow"), format!("{first}\n")).unwrap();
    undecided(&shallow, "is shallow");

    // Sound as an object, but not the one that its id names.
    let other = work.commit(Some(&alice), "another");
    let file = loose(&corrupt, &first);
    let _ = fs::remove_file(&file);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::copy(loose(&work.path.join(".git"), &other), &file).unwrap();
    undecided(&corrupt, "does not have the content");

    let (broken, work) = old_repository(&gate, "infra/broken");
    let tree = gate.sandbox.git_with_input(&work.path, &["mktree"], b"").ok().line().to_owned();
    let who = "A <a@example.com> 1700000000 +0000";
    let raw = format!("tree {tree}\nparent nonsense\nauthor {who}\ncommitter {who}\n\nx\n");
    let id = write_object(&gate, &broken, "commit", raw.as_bytes());
    fs::write(broken.join("refs/heads/main"), format!("{id}\n")).unwrap();
    undecided(&broken, "parents cannot be read");

    // A blob where a parent belongs.
    let blob = write_object(&gate, &broken, "blob", b"x");
    let raw = format!("tree {tree}\nparent {blob}\nauthor {who}\ncommitter {who}\n\nx\n");
    let id = write_object(&gate, &broken, "commit", raw.as_bytes());
    fs::write(broken.join("refs/heads/main"), format!("{id}\n")).unwrap();
    undecided(&broken, "it is a blob");
}

#[test]
fn what_has_no_history_is_a_matter_of_usage() {
    let (gate, _) = Gate::production();
    let bare = gate.bare("infra/empty", &[]);
    let blob = write_object(&gate, &bare, "blob", b"x");
    gate.sandbox.git(&bare, &["update-ref", "refs/tags/blob", &blob]).ok();
    for (reference, cause) in
        [("refs/heads/main", "does not exist"), ("refs/tags/blob", "holds a blob"), ("main", "refs/")]
    {
        let ran = check(&gate, &bare, reference, &[]);
        assert_eq!(ran.code(), Some(2), "{}", ran.stdout);
        assert!(ran.stderr.contains(cause), "{}", ran.stderr);
    }
    let repo = bare.to_str().unwrap();
    let both = ["check", "--history", "--repo", repo, "--ref", "refs/heads/main", "a..b"];
    assert_eq!(gate.countersign(&both).code(), Some(2));
    assert_eq!(gate.countersign(&["check", "--repo", repo, "--ref", "refs/heads/main"]).code(), Some(2));
    let jobs = ["check", "--repo", repo, "--ref", "refs/heads/main", "a..b", "--jobs", "2"];
    let jobs = gate.countersign(&jobs);
    assert!(jobs.code() == Some(2) && jobs.stderr.contains("--history"), "{}", jobs.stderr);
}

#[test]
fn n09_evidence_is_about_exactly_what_is_adopted_and_is_put_on_record() {
    let (gate, alice) = Gate::production();
    let (bare, work) = old_repository(&gate, "infra/old");
    work.commit(None, "unsigned");
    work.commit(Some(&alice), "signed");
    put(&work, &["main", "main:refs/heads/release/1", "main:topic"]);
    let (other, elsewhere) = old_repository(&gate, "infra/other");
    elsewhere.git(&["fetch", "--quiet", work.url(), "main"]).ok();
    put(&elsewhere, &["FETCH_HEAD:refs/heads/main"]);
    gate.install(&bare);
    gate.install(&other);
    let file = |name: &str, text: &str| {
        let path = gate.home.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let adopt = |evidence: &[&str]| {
        let mut arguments = vec!["adopt", bare.to_str().unwrap(), "--yes"];
        evidence.iter().for_each(|file| arguments.extend(["--evidence", file]));
        gate.countersign(&arguments)
    };
    let good = report(&gate, &bare, "refs/heads/main").text;
    let good_file = file("good.jsonl", &good);
    let refused = |evidence: &[&str], cause: &str| {
        let ran = adopt(evidence);
        assert_eq!(ran.code(), Some(2), "{}\n{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(cause), "no `{cause}` in {}", ran.stderr);
        assert!(!gate.audit().iter().any(|record| record["kind"] == "adopt"), "{cause}");
    };
    refused(&[&file("1", &report(&gate, &other, "refs/heads/main").text)], "`infra/other`");
    refused(&[&file("2", &report(&gate, &bare, "refs/heads/topic").text)], "not adopted here");
    let forged = good.replacen("\"status\":\"unsigned\"", "\"status\":\"verified\"", 1);
    assert_ne!(forged, good);
    refused(&[&file("4", &forged)], "not the ones that its summary was made from");
    let without_summary = good.trim_end().rsplit_once('\n').unwrap().0;
    refused(&[&file("5", &format!("{without_summary}\n"))], "not finished");
    refused(&[&file("6", good.trim_end())], "no end");
    refused(&[&file("7", "")], "not finished");
    refused(&[&file("8", &format!("{good}{good}"))], "not a verdict");
    let counts = good.replace("\"total\":2", "\"total\":3");
    assert_ne!(counts, good);
    refused(&[&file("9", &counts)], "does not count");
    refused(&[&good_file, &good_file], "two files");
    refused(&["/does/not/exist"], "No such file");
    refused(&[&good_file, &file("10", &forged)], "not the ones");

    // A tip that moves makes the report one about something else.
    let stale = report(&gate, &bare, "refs/heads/release/1").text;
    let tip = work.id("HEAD");
    gate.sandbox.git(&bare, &["update-ref", "refs/heads/release/1", &work.id("HEAD~1")]).ok();
    refused(&[&good_file, &file("11", &stale)], "the ref holds");
    gate.sandbox.git(&bare, &["update-ref", "refs/heads/release/1", &tip]).ok();

    // Another keyring is told, and put on record.
    let olga = Signer::ssh(&gate.sandbox, "olga", &["ed25519"]);
    gate.trust(&olga, "sre");
    let ran = adopt(&[&good_file]).ok();
    assert!(ran.stdout.contains("1 unsigned, 1 verified"), "{}", ran.stdout);
    assert!(ran.stdout.contains("another keyring"), "{}", ran.stdout);
    let records = gate.audit();
    let adopted = records.iter().find(|record| record["kind"] == "adopt").unwrap();
    let evidence = &adopted["evidence"][0];
    assert_eq!(evidence["sha256"], data_encoding::HEXLOWER.encode(&Sha256::digest(&good)).as_str());
    assert_eq!((&evidence["ref"], &evidence["tip"]), (&"refs/heads/main".into(), &tip.as_str().into()));
    assert_eq!(evidence["statuses"], serde_json::json!({ "unsigned": 1, "verified": 1 }));
    assert_eq!(evidence["keyring_in_force"], false);

    // Without any, the record says so.
    gate.adopt(&bare).ok();
    let records = gate.audit();
    let last = records.iter().rfind(|record| record["kind"] == "adopt").unwrap();
    assert_eq!(last["evidence"], serde_json::json!([]));
    let log = gate.countersign(&["audit", "log"]).ok().stdout;
    assert!(log.contains("evidence about 1 tips") && log.contains("no evidence"), "{log}");
    gate.countersign(&["audit", "verify"]).ok();
}

#[test]
fn n14_what_a_compromised_key_left_is_listed_until_somebody_lets_it_stand() {
    let (gate, alice) = Gate::production();
    let carol = Signer::ssh(&gate.sandbox, "carol", &["ed25519"]);
    gate.trust(&carol, "sre");
    gate.reload();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let clean = work.commit(Some(&carol), "OPS-1: by somebody else");
    work.accepted(&["main"]);
    let first = work.commit(Some(&alice), "OPS-2: by a key that is stolen");
    let second = work.commit(Some(&alice), "OPS-3: by it, too");
    work.accepted(&["main"]);
    let list = |more: &[&str]| {
        let mut arguments = vec!["taint", "list"];
        arguments.extend(more);
        gate.countersign(&arguments)
    };
    let accept = |more: &[&str]| {
        let mut arguments =
            vec!["taint", "accept", "--repository", "infra/live", "--reason", "looked at, SEC-7"];
        arguments.extend(more);
        gate.countersign(&arguments)
    };
    let nothing = list(&[]);
    assert!(nothing.code() == Some(0) && nothing.stdout.contains("nothing on record is tainted"));
    // Nothing is let stand before it is tainted.
    let early = accept(&["--commit", &first, "--yes"]);
    assert!(early.code() == Some(2) && early.stderr.contains("is not tainted"), "{}", early.stderr);

    edit_key(&gate, "alice", STOLEN);
    gate.reload();
    let listed = list(&[]);
    assert_eq!(listed.code(), Some(1), "{}", listed.stderr);
    for wanted in ["infra/live", "of alice", "since always", "ref refs/heads/main", &first, &second] {
        assert!(listed.stdout.contains(wanted), "no `{wanted}` in {}", listed.stdout);
    }
    assert!(!listed.stdout.contains(&clean), "{}", listed.stdout);
    let json: Value = serde_json::from_str(&list(&["--format", "json"]).stdout).unwrap();
    let key = &json["repositories"][0]["keys"][0];
    assert_eq!(key["principal"], "alice");
    assert_eq!(key["refs"], serde_json::json!(["refs/heads/main"]));
    assert_eq!(key["commits"].as_array().unwrap().len(), 2);
    assert_eq!(key["commits"][0]["through"], serde_json::json!(["refs/heads/main"]));
    assert_eq!(list(&["--repository", "infra/none"]).code(), Some(2));
    let found = report(&gate, &bare, "refs/heads/main");
    assert_eq!(found.code, 1);
    found.assert(&first, "tainted", "recorded");
    found.assert(&clean, "verified", "recorded");

    // It is of its own ref alone (N8).
    work.push(&["main:release/1"]).assert_refused(&["bad-signature"]);
    let next = work.commit(Some(&carol), "OPS-4: on top, on its own ref");
    work.accepted(&["main"]);

    // Not without being asked, not without a reason, not what is clean, not what is unknown.
    let fingerprint = key["key"].as_str().unwrap().to_owned();
    assert_eq!(accept(&["--commit", &first]).code(), Some(1));
    let plain =
        ["taint", "accept", "--repository", "infra/live", "--commit", &first, "--yes", "--reason", " "];
    assert_eq!(gate.countersign(&plain).code(), Some(2));
    for wrong in [clean.as_str(), next.as_str(), &first[..12], &"1".repeat(40)] {
        let ran = accept(&["--yes", "--commit", &first, wrong]);
        assert_eq!(ran.code(), Some(2), "{wrong} {}", ran.stdout);
    }
    assert_eq!(accept(&["--yes", "--key", "SHA256:nobodys"]).code(), Some(2));
    assert_eq!(accept(&["--yes"]).code(), Some(2));
    assert_eq!(accept(&["--yes", "--key", &fingerprint, "--commit", &first]).code(), Some(2));
    assert!(!gate.audit().iter().any(|record| record["kind"] == "taint-accepted"));
    work.push(&["main:release/1"]).assert_refused(&["bad-signature"]);

    // One of two is not enough.
    accept(&["--yes", "--commit", &first]).ok();
    let left = list(&[]);
    assert!(left.stdout.contains(&second) && !left.stdout.contains(&first), "{}", left.stdout);
    work.push(&["main:release/1"]).assert_refused(&["bad-signature"]);
    let again = accept(&["--yes", "--commit", &first]);
    assert!(again.code() == Some(2) && again.stderr.contains("stand already"), "{}", again.stderr);

    // The daemon runs on and knows of it at once.
    accept(&["--yes", "--key", &fingerprint]).ok();
    assert_eq!(list(&[]).code(), Some(0));
    work.accepted(&["main:release/1"]);
    let records = gate.audit();
    let decided: Vec<_> = records.iter().filter(|record| record["kind"] == "taint-accepted").collect();
    assert_eq!(decided.len(), 2);
    assert_eq!(decided[0]["commits"], serde_json::json!([first]));
    assert_eq!(decided[0]["reason"], "looked at, SEC-7");
    assert!(decided[0]["who"].as_str().unwrap().starts_with("uid "));
    assert_eq!(decided[1]["keys"], serde_json::json!([fingerprint]));
    gate.countersign(&["audit", "verify"]).ok();
    let found = report(&gate, &bare, "refs/heads/main");
    found.assert(&first, "tainted-accepted", "recorded");
    assert_eq!((found.code, &found.summary["findings"]["taint.accepted"]), (0, &2.into()));

    // What the key signs anew is refused as before, and a further entry about it undoes nothing.
    work.commit(Some(&alice), "OPS-5: the thief again");
    work.push(&["main"]).assert_refused(&["bad-signature"]);
    work.branch("main", &next);
    edit_key(
        &gate,
        "alice",
        "revoked = { at = 2026-02-01T00:00:00Z, effective-from = 2020-01-01T00:00:00Z, reason = \"compromised\" }",
    );
    gate.reload();
    assert_eq!(list(&[]).code(), Some(0));
    work.accepted(&["main:release/2"]);
}

#[test]
fn n14_adopted_history_is_judged_when_somebody_asks_and_let_stand_by_name() {
    let (gate, alice) = Gate::production();
    let (bare, work) = old_repository(&gate, "infra/old");
    let old = work.commit(Some(&alice), "long before the gate");
    put(&work, &["main"]);
    gate.install(&bare);
    gate.adopt(&bare).ok();
    edit_key(&gate, "alice", STOLEN);
    gate.reload();
    // The record does not know who signed it, and says nothing; the history says it.
    assert_eq!(gate.countersign(&["taint", "list"]).code(), Some(0));
    let found = report(&gate, &bare, "refs/heads/main");
    found.assert(&old, "tainted", "unanchored");
    let accept =
        ["taint", "accept", "--repository", "infra/old", "--reason", "it was she", "--yes", "--commit", &old];
    gate.countersign(&accept).ok();
    let found = report(&gate, &bare, "refs/heads/main");
    found.assert(&old, "tainted-accepted", "unanchored");
    assert_eq!(found.code, 0);
    // Nothing was let in by that: what is not on record is judged wherever it goes.
    let other = gate.repository("infra/new");
    let elsewhere = Clone::at(&gate, &other, &work.path);
    elsewhere.push(&["main"]).assert_refused(&["bad-signature", "missing-ticket"]);
}

#[test]
fn n14_adopting_again_is_no_decision_about_tainted_commits() {
    let (gate, alice) = Gate::production();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: by a key that is stolen");
    work.accepted(&["main"]);
    edit_key(&gate, "alice", STOLEN);
    gate.reload();
    gate.adopt(&bare).ok();
    assert_eq!(gate.countersign(&["taint", "list"]).code(), Some(1));
    work.push(&["main:release/1"]).assert_refused(&["bad-signature"]);
}

#[test]
fn n14_a_key_that_its_owner_revoked_as_stolen_taints_what_it_left() {
    let (gate, alice) = Gate::production();
    let paul = Signer::openpgp(&gate.sandbox, "paul", "ed25519", "never", None);
    gate.trust(&paul, "sre");
    gate.reload();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let stolen = work.commit(Some(&paul), "OPS-1: by a key that is stolen");
    work.accepted(&["main"]);
    let gpg = |arguments: &[&str], answers: &str| gpg(&gate, arguments, answers);
    // Reason 1 of the dialogue: the key has been compromised.
    let user = "paul@example.com";
    let revocation = gpg(&["--passphrase", "", "--armor", "--gen-revoke", user], "y\n1\n\ny\n");
    let file = gate.sandbox.path("home/paul.rev");
    fs::write(&file, revocation).unwrap();
    gpg(&["--batch", "--import", file.to_str().unwrap()], "");
    fs::write(&paul.public, gpg(&["--armor", "--export", user], "")).unwrap();
    gate.trust(&paul, "sre");
    gate.reload();
    let listed = gate.countersign(&["taint", "list"]);
    assert!(
        listed.code() == Some(1) && listed.stdout.contains(&stolen),
        "{}{}",
        listed.stdout,
        listed.stderr
    );
    report(&gate, &bare, "refs/heads/main").assert(&stolen, "tainted", "recorded");
    work.commit(Some(&alice), "OPS-2: on top");
    work.push(&["main:release/1"]).assert_refused(&["bad-signature"]);
    work.accepted(&["main"]);
}

/// What GnuPG says in the sandbox's home; `answers` are what a person would type.
fn gpg(gate: &Gate, arguments: &[&str], answers: &str) -> String {
    let mut command = gate.sandbox.command("gpg", gate.sandbox.root());
    command.args(["--no-tty", "--quiet", "--command-fd", "0", "--pinentry-mode", "loopback"]);
    command.args(["--passphrase", ""]).args(arguments);
    crate::support::sandbox::run(command, answers.as_bytes()).ok().stdout
}

/// Fingerprints of somebody's primary key and subkeys, in their order.
fn fingerprints(gate: &Gate, user: &str) -> Vec<String> {
    let listed = gpg(gate, &["--with-colons", "--with-subkey-fingerprint", "--list-keys", user], "");
    let lines = listed.lines().filter_map(|line| line.strip_prefix("fpr:"));
    lines.map(|line| line.trim_matches(':').to_owned()).collect()
}

/// One of two signing subkeys was stolen. What it signed is tainted; what the certificate's other keys signed
/// counts as before, and they go on signing.
#[test]
fn n14_a_subkey_that_was_stolen_taints_what_it_signed_and_nothing_else() {
    let (gate, alice) = Gate::production();
    let paul = Signer::openpgp(&gate.sandbox, "paul", "ed25519", "never", None);
    let user = "paul@example.com";
    let primary = fingerprints(&gate, user)[0].clone();
    for _ in 0..2 {
        gpg(&gate, &["--batch", "--quick-add-key", &primary, "ed25519", "sign", "never"], "");
    }
    let all = fingerprints(&gate, user);
    assert_eq!(all.len(), 3, "{all:?}");
    let export = || fs::write(&paul.public, gpg(&gate, &["--armor", "--export", user], "")).unwrap();
    export();
    gate.trust(&paul, "sre");
    gate.reload();
    let (by_primary, lost, kept) = (paul.using(&all[0]), paul.using(&all[1]), paul.using(&all[2]));
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let clean = work.commit(Some(&by_primary), "OPS-1: by the primary key");
    let clean_too = work.commit(Some(&kept), "OPS-2: by a subkey that stays");
    work.accepted(&["main"]);
    let stolen = work.commit(Some(&lost), "OPS-3: by a subkey that is stolen");
    work.accepted(&["main"]);
    // GnuPG signs with no revoked key; the thief does.
    let thiefs = work.commit(Some(&lost), "OPS-4: the thief");
    work.branch("main", &stolen);

    // Reason 1 of the dialogue: the key has been compromised.
    gpg(&gate, &["--edit-key", user], "key 1\nrevkey\ny\n1\n\ny\nsave\n");
    export();
    gate.trust(&paul, "sre");
    gate.reload();
    let listed = gate.countersign(&["taint", "list", "--format", "json"]);
    assert_eq!(listed.code(), Some(1), "{}", listed.stderr);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let keys = listed["repositories"][0]["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert_eq!((&keys[0]["key"], &keys[0]["principal"]), (&all[1].as_str().into(), &"paul".into()));
    let commits: Vec<_> = keys[0]["commits"].as_array().unwrap().iter().map(|one| &one["commit"]).collect();
    assert_eq!(commits, [&stolen]);
    let found = report(&gate, &bare, "refs/heads/main");
    found.assert(&stolen, "tainted", "recorded");
    found.assert(&clean, "verified", "recorded");
    found.assert(&clean_too, "verified", "recorded");

    // What is clean is frontier for every ref; what is tainted, for its own alone (N8).
    work.accepted(&[&format!("{clean_too}:refs/heads/release/1")]);
    work.push(&["main:release/2"]).assert_refused(&["bad-signature"]);
    // The subkey signs nothing new that counts; the others do.
    work.push(&[&format!("{thiefs}:refs/heads/main")]).assert_refused(&["bad-signature"]);
    for signer in [&kept, &by_primary, &alice] {
        work.commit(Some(signer), "OPS-5: on top, on its own ref");
    }
    work.accepted(&["main"]);

    let accept = ["taint", "accept", "--repository", "infra/live", "--reason", "looked at", "--yes", "--key"];
    let by_key = |key: &str| gate.countersign(&[&accept[..], &[key]].concat());
    assert_eq!(by_key(&all[0]).code(), Some(2), "the certificate as a whole is not compromised");
    by_key(&all[1]).ok();
    assert_eq!(gate.countersign(&["taint", "list"]).code(), Some(0));
    work.accepted(&["main:release/2"]);
}

/// The keyring holds an authority; the key that it vouched for is known by its certificates alone.
#[test]
fn n14_a_certified_key_on_a_revocation_list_taints_what_it_left() {
    let gate = Gate::prepared(PRODUCTION);
    let ssh = |name: &str| Signer::ssh(&gate.sandbox, name, &["ed25519"]);
    let (authority, laptop, carol) = (ssh("authority"), ssh("laptop"), ssh("carol"));
    gate.trust(&carol, "sre");
    let line = fs::read_to_string(&authority.public).unwrap();
    let table = format!(
        "name = \"ca\"\n[[authority]]\nssh = \"{}\"\nprincipals = [\"*@example.org\"]\ngroups = [\"sre\"]\n",
        line.trim()
    );
    fs::write(gate.home.join("keyring/ca.toml"), table).unwrap();
    gate.start();
    let mut certify = gate.sandbox.command("ssh-keygen", gate.sandbox.root());
    certify.args(["-q", "-I", "laptop", "-n", "ann@example.org", "-V", "-1h:+1h", "-s"]);
    certify.arg(authority.public.with_extension("")).arg(&laptop.public);
    crate::support::sandbox::run(certify, b"").ok();
    let certificate = laptop.public.with_file_name("laptop-cert.pub");
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let key = format!("user.signingKey={}", certificate.display());
    let signed = ["-c", "gpg.format=ssh", "-c", &key, "-c", "commit.gpgSign=true", "commit", "-q"];
    work.git(&[&signed[..], &["--allow-empty", "-m", "OPS-1: by a certified key"]].concat()).ok();
    let stolen = work.id("HEAD");
    work.accepted(&["main"]);

    let list = gate.home.join("revoked_keys");
    fs::copy(&laptop.public, &list).unwrap();
    gate.reconfigure(&format!("{PRODUCTION}\n[[keyring.revocation]]\npath = \"{}\"\n", list.display()));
    report(&gate, &bare, "refs/heads/main").assert(&stolen, "tainted", "recorded");
    let listed = gate.countersign(&["taint", "list"]);
    assert!(listed.code() == Some(1) && listed.stdout.contains(&stolen), "{}", listed.stdout);
    assert!(
        listed.stdout.contains("of nobody of the keyring, compromised since always"),
        "{}",
        listed.stdout
    );
    work.commit(Some(&carol), "OPS-2: on top");
    work.push(&["main:release/1"]).assert_refused(&["bad-signature"]);
    work.accepted(&["main"]);

    // A repository that cannot be read does not keep the others' list from being told.
    fs::remove_file(bare.join("objects").join(&stolen[..2]).join(&stolen[2..])).ok();
    fs::write(bare.join("refs/heads/broken"), format!("{}\n", "1".repeat(40))).unwrap();
    let listed = gate.countersign(&["taint", "list"]);
    assert!(
        listed.code() == Some(1) && listed.stdout.contains(&stolen),
        "{}{}",
        listed.stdout,
        listed.stderr
    );
    assert!(listed.stdout.contains("its refs cannot be read"), "{}", listed.stdout);
}

#[test]
fn n27_receipts_of_a_record_that_was_rolled_back_are_not_used() {
    let (gate, alice) = Gate::production();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let first = work.commit(Some(&alice), "OPS-1: first");
    work.accepted(&["main"]);
    gate.stop();
    let (database, backup) = (gate.state().join("state.db"), gate.home.join("backup.db"));
    rusqlite::Connection::open(&database)
        .unwrap()
        .execute("vacuum into ?1", [backup.to_str().unwrap()])
        .unwrap();
    gate.start();
    work.commit(Some(&alice), "OPS-2: after the backup");
    work.accepted(&["main"]);
    report(&gate, &bare, "refs/heads/main").assert(&first, "verified", "recorded");
    gate.stop();
    for more in ["-wal", "-shm"] {
        let _ = fs::remove_file(gate.state().join(format!("state.db{more}")));
    }
    fs::write(&database, fs::read(&backup).unwrap()).unwrap();
    let ran = check(&gate, &bare, "refs/heads/main", &[]);
    assert!(ran.stderr.contains("nothing is anchored") && ran.stderr.contains("record"), "{}", ran.stderr);
    report(&gate, &bare, "refs/heads/main").assert(&first, "verified", "unanchored");
    let explained = ["verify", bare.to_str().unwrap(), &first, "--no-git", "--format", "json"];
    let explained: Value = serde_json::from_str(&gate.countersign(&explained).stdout).unwrap();
    assert_eq!(explained["times"]["receipt"], "now");
    assert!(explained["times"]["unrecorded"].is_string(), "{explained:#}");
}
