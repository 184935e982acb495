//! Conformance cases R: Ref policy.
//!
//! Real pushes through a running gate. Some cases are about rules that do not exist yet; they hold that a
//! configuration that asks for one does not load, so that nobody believes to have it, and what holds without.

use crate::configuration::{assert_does_not_load, ruleset};
use crate::support::clone::Clone;
use crate::support::gate::{Gate, PRODUCTION};
use crate::support::history;
use crate::support::receive_pack;
use crate::support::sandbox::run;
use crate::support::signers::Signer;
use crate::support::snapshot::{Snapshot, assert_clean};
use std::fs;
use std::path::{Path, PathBuf};

/// A gate, a listed signer, and a repository whose `main` has one accepted commit.
fn scene(policy: &str) -> (Gate, Signer, PathBuf) {
    let (gate, alice) = Gate::with_alice(policy);
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    work.accepted(&["main"]);
    (gate, alice, bare)
}

/// Another listed principal of some kind.
fn enlist(gate: &Gate, name: &str, kind: &str, email: &str, group: &str) -> Signer {
    let signer = Signer::ssh(&gate.sandbox, name, &["ed25519"]);
    let key = signer.public.to_str().unwrap();
    let add = ["keyring", "add", name, "--kind", kind, "--email", email, "--group", group, "--key", key];
    gate.countersign(&add).ok();
    gate.reload();
    signer
}

/// A commit by `signer` whose committer has this address.
fn commit_as(work: &Clone<'_>, signer: &Signer, email: &str, message: &str) -> String {
    let named = [("GIT_COMMITTER_EMAIL", email)];
    work.sign_with(Some(signer), &named, &["commit", "--quiet", "--allow-empty", "-m", message]);
    work.id("HEAD")
}

/// Forgets the newest commit of the work tree.
fn drop_one(work: &Clone<'_>) {
    work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
}

#[test]
fn r001_an_unsigned_commit_does_not_come_by_way_of_another_branch() {
    let (gate, alice, bare) = scene(PRODUCTION);
    let work = gate.clone_at(&bare, "main");
    let unsigned = work.commit(None, "OPS-2: unsigned");
    work.accepted(&["main:wip/x"]);
    // What a hook sees that asks for "new to the repository": nothing that it would have to check.
    let new = gate.sandbox.git(&bare, &["rev-list", &unsigned, "--not", "--all"]).ok();
    assert_eq!(new.stdout, "");
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    work.commit(Some(&alice), "OPS-3: signed on top");
    work.accepted(&["main:wip/x"]);
    let push = work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    assert!(push.text().contains(&unsigned[..10]), "{}", push.text());
}

#[test]
fn r002_replacements_are_neither_taken_in_nor_looked_at() {
    let (gate, alice, bare) = scene(PRODUCTION);
    let work = gate.clone_at(&bare, "main");
    let signed = work.commit(Some(&alice), "OPS-2: signed");
    drop_one(&work);
    let unsigned = work.commit(None, "OPS-2: unsigned");
    let name = format!("refs/replace/{unsigned}");
    work.push(&[&format!("{signed}:{name}")]).assert_refused(&["ref-name", "unknown-namespace"]);

    // One that an administrator made. Git takes the signed commit for the unsigned one.
    work.accepted(&[&format!("{unsigned}:refs/heads/wip"), &format!("{signed}:refs/heads/wip2")]);
    gate.sandbox.git(&bare, &["update-ref", &name, &signed]).ok();
    let signers = gate.sandbox.path("allowed-signers");
    let key = fs::read_to_string(&alice.public).unwrap();
    fs::write(&signers, format!("alice@example.com {key}")).unwrap();
    let file = format!("gpg.ssh.allowedSignersFile={}", signers.display());
    let verify = ["-c", &file, "verify-commit", &unsigned];
    gate.sandbox.git(&bare, &verify).ok();
    let mut plain = gate.sandbox.command("git", &bare);
    plain.env("GIT_NO_REPLACE_OBJECTS", "1").args(verify);
    assert!(!run(plain, b"").status.success());
    let pushed = run(work.push_command(&[&format!("{unsigned}:main")]), b"");
    assert!(
        !pushed.status.success() && pushed.stderr.contains("error[unsigned-commit]"),
        "{}",
        pushed.stderr
    );
    // The other way round it takes nothing away either.
    gate.sandbox.git(&bare, &["update-ref", "-d", &name]).ok();
    gate.sandbox.git(&bare, &["update-ref", &format!("refs/replace/{signed}"), &unsigned]).ok();
    run(work.push_command(&[&format!("{signed}:main")]), b"").ok();
    assert_eq!(work.server("refs/heads/main"), Some(signed));
}

#[test]
fn r003_history_that_is_cut_by_shallow_files_or_grafts() {
    let (gate, alice, bare) = scene(PRODUCTION);
    let sandbox = &gate.sandbox;
    // A push out of a shallow clone, to a server that would take it.
    sandbox.git(&bare, &["config", "receive.shallowUpdate", "true"]).ok();
    let (origin, full) = (sandbox.bare("elsewhere.git", &[]), sandbox.work_tree("full", &[]));
    for n in 0..3 {
        sandbox.commit(&full, &format!("OPS-{n}: elsewhere"));
    }
    sandbox.git(&full, &["push", "--quiet", origin.to_str().unwrap(), "main"]).ok();
    let (from, shallow) = (format!("file://{}", origin.display()), sandbox.path("shallow"));
    sandbox.git(sandbox.root(), &["clone", "--quiet", "--depth=1", &from, shallow.to_str().unwrap()]).ok();
    let before = Snapshot::of(sandbox, &bare);
    let url = format!("file://{}", bare.display());
    let push = sandbox.git(&shallow, &["push", &url, "main:topic"]);
    assert!(!push.status.success() && push.stderr.contains("error[shallow-graft]"), "{}", push.stderr);
    assert_eq!(before, Snapshot::of(sandbox, &bare));

    // A graft on the server that hides the parents of a commit from git, and from nobody else.
    let work = gate.clone_at(&bare, "main");
    let hidden = work.commit(None, "OPS-2: unsigned");
    let tip = work.commit(Some(&alice), "OPS-3: signed on top");
    fs::create_dir_all(bare.join("info")).unwrap();
    fs::write(bare.join("info/grafts"), format!("{tip} {}\n", work.id("HEAD~2"))).unwrap();
    let push = run(work.push_command(&["main"]), b"");
    assert!(!push.status.success() && push.stderr.contains("error[unsigned-commit]"), "{}", push.stderr);
    assert!(push.stderr.contains(&hidden[..10]), "{}", push.stderr);
    fs::remove_file(bare.join("info/grafts")).unwrap();

    // A server that is shallow itself cannot tell.
    let main = work.server("refs/heads/main").unwrap();
    fs::write(bare.join("shallow"), format!("{main}\n")).unwrap();
    let push = run(work.push_command(&["main"]), b"");
    assert!(!push.status.success() && push.stderr.contains("could not decide"), "{}", push.stderr);
}

#[test]
fn r004_back_to_an_older_signed_tip() {
    let (gate, alice, bare) = scene(PRODUCTION);
    let work = gate.clone_at(&bare, "main");
    let older = work.id("main");
    let tip = work.commit(Some(&alice), "OPS-2: fixes something");
    work.accepted(&["main"]);
    let back = format!("{older}:main");
    work.push(&["--force", &back]).assert_refused(&["force-push"]);
    assert_eq!(work.server("refs/heads/main"), Some(tip));
}

#[test]
fn r005_pointing_a_branch_at_the_signed_tip_of_another() {
    let (gate, alice, bare) = scene(PRODUCTION);
    let work = gate.clone_at(&bare, "main");
    let base = work.id("main");
    work.commit(Some(&alice), "OPS-2: on main");
    work.accepted(&["main"]);
    work.branch("other", &base);
    let other = work.commit(Some(&alice), "OPS-3: on a release, signed as well");
    work.accepted(&["other:release/1"]);
    // Every commit is signed and accepted; that `main` would lose one is what is refused.
    work.push(&["--force", "other:main"]).assert_refused(&["force-push"]);
    // A branch that descends from `main` is what `main` may become.
    work.git(&["checkout", "--quiet", "main"]).ok();
    work.sign(Some(&alice), &["merge", "--quiet", "--no-ff", "-m", "OPS-4: merge", &other]);
    work.accepted(&["main:release/2"]);
    work.accepted(&["main"]);
}

#[test]
fn r006_deleting_a_branch_to_create_it_again_further_back() {
    let (gate, alice, bare) = scene(PRODUCTION);
    let work = gate.clone_at(&bare, "main");
    let older = work.id("main");
    let tip = work.commit(Some(&alice), "OPS-2: next");
    work.accepted(&["main"]);
    work.push(&[":main"]).assert_refused(&["ref-deletion"]);
    // Both at once, which git itself would not send.
    let zero = "0".repeat(40);
    let updates =
        [(tip.as_str(), zero.as_str(), &b"refs/heads/main"[..]), (&zero, &older, b"refs/heads/main")];
    let before = Snapshot::of(&gate.sandbox, &bare);
    let answer = receive_pack::push(&gate.sandbox, &bare, &work.path, &updates, &[], &[]);
    assert!(answer.rules().contains("malformed-update"), "{}", answer.text);
    assert_eq!(before, Snapshot::of(&gate.sandbox, &bare));

    // Where deleting is allowed, creating can be refused.
    gate.sandbox.git(&bare, &["config", "receive.denyDeleteCurrent", "ignore"]).ok();
    gate.reconfigure(&ruleset("unsigned-commit = true\nforce-push = true\nref-creation = true\n"));
    work.accepted(&[":main"]);
    work.push(&[&format!("{older}:refs/heads/main")]).assert_refused(&["ref-creation"]);
}

#[test]
fn r007_a_signed_commit_from_a_fork_is_what_it_was_signed_to_be() {
    let (gate, alice, bare) = scene(PRODUCTION);
    let fork = gate.repository("infra/fork");
    let work = gate.clone_of(&fork);
    let id = work.commit(Some(&alice), "OPS-2: meant for the fork");
    work.accepted(&["main"]);
    // The signature is over the commit and says nothing of a repository, so it is as good here.
    let here = gate.clone_of(&bare);
    here.git(&["fetch", "--quiet", fork.to_str().unwrap(), "main"]).ok();
    here.accepted(&["FETCH_HEAD:refs/heads/release/1"]);
    assert_eq!(here.server("refs/heads/release/1"), Some(id));
    // It does not become an ancestor of what it never had to do with.
    here.push(&["--force", "FETCH_HEAD:refs/heads/main"]).assert_refused(&["force-push"]);
}

/// A repository where `side` and `main` can be merged without conflict; gives the work tree, on `main`.
fn diverged<'g>(gate: &'g Gate, bare: &Path, alice: &Signer) -> Clone<'g> {
    let work = gate.clone_at(bare, "main");
    let commit = |name: &str| {
        fs::write(work.path.join(name), format!("{name}\n")).unwrap();
        work.git(&["add", "--all"]).ok();
        work.commit(Some(alice), &format!("OPS-2: {name}"))
    };
    work.branch("side", "main");
    commit("side");
    work.git(&["checkout", "--quiet", "main"]).ok();
    commit("main");
    work
}

/// Whoever signs a merge answers for its tree, unless `unclean-merge` compares it with the merge of its parents.
#[test]
fn r008_a_signed_merge_that_brings_content_of_its_own() {
    let (gate, alice, bare) = scene(PRODUCTION);
    let mallory = Signer::ssh(&gate.sandbox, "mallory", &["ed25519"]);
    let work = diverged(&gate, &bare, &alice);
    let start = work.id("main");
    let evil = |signer: Option<&Signer>| {
        work.git(&["reset", "--quiet", "--hard", &start]).ok();
        work.git(&["merge", "--quiet", "--no-ff", "--no-commit", "side"]).ok();
        fs::write(work.path.join("back-door"), "in neither parent\n").unwrap();
        work.git(&["add", "--all"]).ok();
        work.sign(signer, &["commit", "--quiet", "-m", "OPS-3: merge"]);
    };
    evil(None);
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    evil(Some(&mallory));
    work.push(&["main"]).assert_refused(&["untrusted-signer"]);
    evil(Some(&alice));
    gate.reconfigure(&format!("{PRODUCTION}unclean-merge = true\n"));
    let push = work.push(&["main"]).assert_refused(&["unclean-merge"]);
    assert!(push.text().contains("`back-door`"), "{}", push.text());
    gate.reconfigure(PRODUCTION);
    work.accepted(&["main"]);
    let record = gate.last_decision();
    let merge = work.id("main");
    let entry = record["commits"].as_array().unwrap().iter().find(|one| one["id"] == merge.as_str());
    assert_eq!(entry.expect("it is on record")["signer"], "alice", "{record}");
}

#[test]
fn r009_a_clean_merge() {
    let (gate, alice, bare) = scene(PRODUCTION);
    let work = diverged(&gate, &bare, &alice);
    work.sign(Some(&alice), &["merge", "--quiet", "--no-ff", "-m", "OPS-3: merge", "side"]);
    work.accepted(&["main"]);
    assert_eq!(work.server("refs/heads/main"), Some(work.id("main")));
}

/// Refused by the counted limit on parents, by `merge-commit` and by `unclean-merge`.
#[test]
fn r010_a_merge_of_three() {
    let (gate, alice, bare) = scene(&format!("{PRODUCTION}\n[limits]\nparents = 2\n"));
    let work = diverged(&gate, &bare, &alice);
    work.branch("third", "side~1");
    work.commit(Some(&alice), "OPS-2: third");
    work.git(&["checkout", "--quiet", "main"]).ok();
    work.sign(Some(&alice), &["merge", "--quiet", "--no-ff", "-m", "OPS-3: octopus", "side", "third"]);
    let push = work.push(&["main"]).assert_refused(&["push-too-large"]);
    assert!(push.text().contains("the commit has 3 parents"), "{}", push.text());
    for rule in ["merge-commit = { octopus = true }", "unclean-merge = true"] {
        gate.reconfigure(&format!("{PRODUCTION}{rule}\n"));
        work.push(&["main"]).assert_refused(&[rule.split(' ').next().unwrap()]);
    }
    drop_one(&work);
    work.sign(Some(&alice), &["merge", "--quiet", "--no-ff", "-m", "OPS-4: two", "side"]);
    work.accepted(&["main"]);
}

#[test]
fn r011_a_new_branch_without_a_base_is_judged_down_to_its_root() {
    let (gate, alice) = Gate::production();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let root = work.commit(None, "OPS-1: unsigned root");
    for n in 2..5 {
        work.commit(Some(&alice), &format!("OPS-{n}: signed"));
    }
    let push = work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    assert!(push.text().contains(&root[..10]) && push.text().contains("1 violation,"), "{}", push.text());
    // The same in a repository that has another history already.
    let other = gate.clone_of(&bare);
    other.commit(Some(&alice), "OPS-9: a start");
    other.accepted(&["main"]);
    work.push(&["main:release/1"]).assert_refused(&["unsigned-commit"]);
}

#[test]
fn r012_head_and_other_symbolic_refs_do_not_move_by_a_push() {
    let (gate, alice, bare) = scene(PRODUCTION);
    gate.sandbox.git(&bare, &["symbolic-ref", "refs/heads/alias", "refs/heads/main"]).ok();
    let work = gate.clone_at(&bare, "main");
    let main = work.id("main");
    let next = work.commit(Some(&alice), "OPS-2: signed");
    work.push(&["main:refs/heads/alias"]).assert_refused(&["symref-push"]);
    let before = Snapshot::of(&gate.sandbox, &bare);
    let zero = "0".repeat(40);
    for (old, name) in [(&main, &b"HEAD"[..]), (&zero, b"HEAD"), (&zero, b"FETCH_HEAD"), (&zero, b"config")] {
        let updates = [(old.as_str(), next.as_str(), name)];
        let answer = receive_pack::push(&gate.sandbox, &bare, &work.path, &updates, &[&next], &[]);
        let shown = String::from_utf8_lossy(name);
        assert!(!answer.moved(&shown), "{shown}: {}", answer.text);
        assert_eq!(before, Snapshot::of(&gate.sandbox, &bare), "{shown}");
    }
    let head = gate.sandbox.git(&bare, &["symbolic-ref", "HEAD"]).ok();
    assert_eq!(head.line(), "refs/heads/main");
}

/// No rule compares names across letters yet. Names are bytes: one that only looks like a covered one is not
/// covered, and `uncovered = "refuse"` is what keeps it out.
#[test]
fn r013_names_that_differ_by_case_or_by_composition() {
    let (gate, alice, bare) = scene(&PRODUCTION.replace("uncovered = \"accept\"", "uncovered = \"refuse\""));
    let work = gate.clone_at(&bare, "main");
    work.commit(Some(&alice), "OPS-2: signed");
    for name in ["refs/heads/Main", "refs/heads/MAIN", "refs/heads/ma\u{131}n", "refs/heads/m\u{430}in"] {
        work.push(&[&format!("main:{name}")]).assert_refused(&["uncovered-ref"]);
    }
    work.push(&["main:refs/Heads/main"]).assert_refused(&[
        "ref-shadowing",
        "uncovered-ref",
        "unknown-namespace",
    ]);
    // Below a covered pattern each is a ref of its own and judged as one.
    work.accepted(&["main:refs/heads/release/\u{e9}"]);
    work.commit(None, "OPS-3: unsigned");
    work.push(&["main:refs/heads/release/e\u{301}"]).assert_refused(&["unsigned-commit"]);
    // Where the rule is on, it is not.
    let strict = PRODUCTION.replace("[ruleset.refuse]", "[ruleset.refuse]\ncase-collision = true");
    gate.reconfigure(&strict);
    work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    for name in ["refs/heads/release/e\u{301}", "refs/heads/release/\u{c9}"] {
        work.push(&[&format!("main:{name}")]).assert_refused(&["case-collision"]);
    }
}

#[test]
fn r014_a_thousand_refs_of_which_one_is_at_fault() {
    let policy = "[policy]\nuncovered = \"refuse\"\n\n[[ruleset]]\nname = \"tickets\"\nrepositories = [\"**\"]\n\
                  refs = [\"refs/heads/**\"]\n\n[ruleset.refuse]\n\
                  missing-ticket = { projects = [\"OPS\"], where = [\"subject\"] }\n";
    let (gate, _) = Gate::with_alice(policy);
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let count = 1_000;
    let ids = history::line(&gate.sandbox, &work.path, "refs/import", count - 1);
    work.git(&["checkout", "--quiet", "--detach", &ids[400]]).ok();
    let fault = work.commit(None, "no ticket");
    let line = |(n, id): (usize, &String)| format!("create refs/heads/r/{n} {id}\n");
    let updates: String = ids.iter().enumerate().map(line).collect();
    let updates = format!("{updates}create refs/heads/r/odd {fault}\n");
    gate.sandbox.git_with_input(&work.path, &["update-ref", "--stdin"], updates.as_bytes()).ok();
    let push = work.push(&["refs/heads/r/*:refs/heads/r/*"]).assert_refused(&["missing-ticket"]);
    let blocks: Vec<&String> = push.remote.iter().filter(|line| line.starts_with("error[")).collect();
    let wanted = format!("error[missing-ticket]: commit {} on refs/heads/r/odd has ", &fault[..10]);
    assert!(blocks.len() == 1 && blocks[0].starts_with(&wanted), "{blocks:?}");
    assert!(push.text().contains("refused this push: 1 violation, "), "{}", push.text());
    let record = gate.last_decision();
    let left_out = record["truncated"]["refs"].as_u64().unwrap_or(0);
    assert_eq!(record["refs"].as_array().unwrap().len() as u64 + left_out, count as u64);
}

/// Policy and keyring are files of the server's operator. What a push brings is content.
#[test]
fn r015_a_push_that_brings_a_policy_is_judged_by_the_servers() {
    let (gate, alice, bare) = scene(PRODUCTION);
    let work = gate.clone_at(&bare, "main");
    for (name, text) in [
        ("countersign.toml", "[policy]\nuncovered = \"accept\"\n"),
        (".countersign/countersign.toml", "[policy]\nuncovered = \"accept\"\n"),
        ("keyring/mallory.toml", "name = \"mallory\"\n"),
        (".gitattributes", "* -countersign\n"),
    ] {
        let path = work.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    work.git(&["add", "--all"]).ok();
    let policy = work.commit(Some(&alice), "OPS-2: signed, and asks for less");
    work.commit(None, "OPS-3: unsigned");
    let refspecs = [format!("{policy}:refs/heads/policy"), "main".to_owned()];
    work.push(&[&refspecs[0], &refspecs[1]]).assert_refused(&["unsigned-commit"]);
    // Nor does it count once it is there.
    work.accepted(&[&refspecs[0], &format!("{policy}:main")]);
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    work.push(&["main:refs/meta/config"]).assert_refused(&["unknown-namespace"]);
}

/// Every commit is judged; there is no mode for less.
#[test]
fn r016_an_unsigned_commit_below_a_signed_tip() {
    for mode in ["tip", "first-parent", "all"] {
        assert_does_not_load(
            &format!("unsigned-commit = {{ mode = \"{mode}\" }}"),
            "it has no option `mode`",
        );
    }
    let (gate, alice, bare) = scene(PRODUCTION);
    let work = gate.clone_at(&bare, "main");
    let below = work.commit(None, "OPS-2: unsigned");
    work.commit(Some(&alice), "OPS-3: signed tip");
    let push = work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    assert!(push.text().contains(&below[..10]), "{}", push.text());
    // On a side branch of a signed merge as well.
    work.branch("side", "main~2");
    let side = work.commit(None, "OPS-4: unsigned, on the side");
    work.branch("main", "main~2");
    work.commit(Some(&alice), "OPS-5: signed");
    work.sign(Some(&alice), &["merge", "--quiet", "--no-ff", "-m", "OPS-6: merge", "side"]);
    let push = work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    assert!(push.text().contains(&side[..10]), "{}", push.text());
}

/// No option lets a forge in for merges only: it signs for nobody unless it is on the list, and then
/// for every commit. Asking for less than that does not load.
#[test]
fn r017_a_forge_signs_for_nobody_unless_it_is_listed() {
    for option in ["merges = [\"forge:web-flow\"]", "allow = [\"forge:web-flow\"], merges-only = true"] {
        assert_does_not_load(&format!("untrusted-signer = {{ {option} }}"), "unknown field `merges");
    }
    let people = PRODUCTION.replace("[\"group:sre\"]", "[\"kind:person\", \"kind:bot\", \"kind:agent\"]");
    assert_ne!(people, PRODUCTION);
    let (gate, alice, bare) = scene(&people);
    let forge = enlist(&gate, "web-flow", "forge", "noreply@forge.example", "sre");
    let work = diverged(&gate, &bare, &alice);
    work.sign(Some(&forge), &["merge", "--quiet", "--no-ff", "-m", "OPS-3: merge", "side"]);
    let push = work.push(&["main"]).assert_refused(&["untrusted-signer"]);
    assert!(push.text().contains("which is forge `web-flow`"), "{}", push.text());
    drop_one(&work);
    work.commit(Some(&forge), "OPS-4: an edit in the browser");
    work.push(&["main"]).assert_refused(&["untrusted-signer"]);
    // By name it is let in, and identity-mismatch still holds it to the address that it writes.
    let listed = PRODUCTION.replace("[\"group:sre\"]", "[\"kind:person\", \"forge:web-flow\"]");
    gate.reconfigure(
        &listed.replace("force-push", "identity-mismatch = { match = \"committer\" }\nforce-push"),
    );
    work.git(&["reset", "--quiet", "--hard", work.server("refs/heads/main").unwrap().as_str()]).ok();
    commit_as(&work, &forge, "alice@example.com", "OPS-5: an edit in alice's name");
    let push = work.push(&["main"]).assert_refused(&["identity-mismatch"]);
    assert!(push.text().contains("`except = [\"forge:web-flow\"]`"), "{}", push.text());
    drop_one(&work);
    commit_as(&work, &forge, "noreply@forge.example", "OPS-6: an edit by the forge");
    work.accepted(&["main"]);
}

#[test]
fn r018_the_committer_is_not_the_signer() {
    let rules =
        "unsigned-commit = true\nuntrusted-signer = { allow = [\"group:sre\"] }\nidentity-mismatch = true\n";
    let (gate, alice) = Gate::with_alice(&ruleset(rules));
    let bob = enlist(&gate, "bob", "person", "bob@example.com", "sre");
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    commit_as(&work, &alice, "alice@EXAMPLE.com", "her own");
    work.accepted(&["main"]);
    for email in ["bob@example.com", "Alice@example.com", "alice@example.com.example.net", "alice"] {
        let id = commit_as(&work, &alice, email, "in another name");
        let push = work.push(&["main"]).assert_refused(&["identity-mismatch"]);
        let seen = format!("which is person `alice`, and names the committer `{email}`");
        let wanted = "wanted: a committer with an e-mail of person `alice`: alice@example.com";
        for text in [&format!("commit {} on refs/heads/main has ", &id[..10]), &seen, wanted] {
            assert!(push.text().contains(text), "no `{text}` in\n{}", push.text());
        }
        drop_one(&work);
    }
    // The command that helps does.
    commit_as(&work, &bob, "alice@example.com", "by bob");
    let push = work.push(&["main"]).assert_refused(&["identity-mismatch"]);
    assert!(push.text().contains("`git commit --amend --no-edit -S`"), "{}", push.text());
    let named = [("GIT_COMMITTER_EMAIL", "bob@example.com")];
    work.sign_with(Some(&bob), &named, &["commit", "--quiet", "--amend", "--no-edit", "--allow-empty", "-S"]);
    work.accepted(&["main"]);
    // And so does the other: the keyring's keeper adds an address.
    commit_as(&work, &bob, "bob@corp.example", "from work");
    work.push(&["main"]).assert_refused(&["identity-mismatch"]);
    let key = bob.public.to_str().unwrap();
    gate.countersign(&["keyring", "add", "bob", "--email", "bob@corp.example", "--key", key]).ok();
    gate.reload();
    work.accepted(&["main"]);

    // A tag's tagger alike.
    gate.reconfigure(&ruleset(rules).replace("refs/heads/main", "refs/tags/**"));
    let named = [("GIT_COMMITTER_EMAIL", "bob@example.com")];
    work.sign_with(Some(&alice), &named, &["tag", "-s", "-m", "v1", "v1"]);
    let push = work.push(&["v1"]).assert_refused(&["identity-mismatch"]);
    let seen = "which is person `alice`, and names the tagger `bob@example.com`";
    assert!(
        push.text().contains(seen) && push.text().contains("error[identity-mismatch]: tag "),
        "{}",
        push.text()
    );
    work.sign_with(Some(&bob), &named, &["tag", "-s", "-f", "-m", "v1", "v1"]);
    work.accepted(&["v1"]);
}

#[test]
fn r019_a_mailmap_changes_nothing() {
    let (gate, alice) = Gate::with_alice(&ruleset("unsigned-commit = true\nidentity-mismatch = true\n"));
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let map = "Alice <alice@example.com> <mallory@example.com>\n";
    fs::write(work.path.join(".mailmap"), map).unwrap();
    work.git(&["add", "--all"]).ok();
    commit_as(&work, &alice, "alice@example.com", "a mailmap");
    work.accepted(&["main"]);
    commit_as(&work, &alice, "mallory@example.com", "by an address that the map makes hers");
    // Git shows her address, by the tree's map, and by one that the server is given.
    let shown = work.git(&["log", "-1", "--format=%cE"]).ok();
    assert_eq!(shown.line(), "alice@example.com");
    work.push(&["main"]).assert_refused(&["identity-mismatch"]);
    let file = gate.sandbox.path("mailmap");
    fs::write(&file, map).unwrap();
    gate.sandbox.git(&bare, &["config", "mailmap.file", file.to_str().unwrap()]).ok();
    gate.sandbox.git(&bare, &["config", "mailmap.blob", "main:.mailmap"]).ok();
    work.push(&["main"]).assert_refused(&["identity-mismatch"]);
    assert_clean(&gate.sandbox, &bare);
}
