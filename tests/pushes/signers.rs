//! Rules about who signed, with what, and who is named: on commits and on tags.

use crate::support::clone::Clone;
use crate::support::gate::Gate;
use crate::support::signers::Signer;
use std::fs;

fn ruleset(refs: &str, refuse: &str) -> String {
    format!(
        "[policy]\nuncovered = \"accept\"\n\n[[ruleset]]\nname = \"only\"\nrepositories = [\"**\"]\n\
         refs = [{refs}]\nenforcement = \"enforce\"\n\n[ruleset.refuse]\n{refuse}\n"
    )
}

/// Writes an object into a work tree, whatever git thinks of it.
fn store(gate: &Gate, work: &Clone<'_>, kind: &str, raw: &str) -> String {
    let hash = ["hash-object", "-t", kind, "-w", "--stdin", "--literally"];
    gate.sandbox.git_with_input(&work.path, &hash, raw.as_bytes()).ok().line().to_owned()
}

#[test]
fn n17_a_tag_is_what_somebody_who_may_tag_signed_under_its_own_name() {
    let refuse = "unsigned-tag = true\nlightweight-tag = true\ntag-name-mismatch = true\n\
                  untrusted-signer = { of = \"tag\", allow = [\"group:sre\"] }";
    let (gate, alice) = Gate::with_alice(&ruleset("\"refs/tags/v*\"", refuse));
    let dave = Signer::ssh(&gate.sandbox, "dave", &["ed25519"]);
    let stranger = Signer::openpgp(&gate.sandbox, "stranger", "ed25519", "1y", None);
    gate.trust(&dave, "developers");
    gate.reload();
    let work = gate.clone_of(&gate.repository("app"));
    // Nothing is asked of the commits, so that they need no record either.
    work.commit(None, "unsigned, on a branch that no ruleset covers");
    work.accepted(&["main"]);

    work.sign(None, &["tag", "v1"]);
    work.push(&["v1"]).assert_refused(&["lightweight-tag"]);
    for (signer, rule) in
        [(None, "unsigned-tag"), (Some(&dave), "untrusted-signer"), (Some(&stranger), "untrusted-signer")]
    {
        let kind = if signer.is_some() { "-s" } else { "-a" };
        work.sign(signer, &["tag", "-f", kind, "-m", "release", "v1"]);
        let push = work.push(&["v1"]).assert_refused(&[rule]);
        assert_eq!(
            push.remote.iter().filter(|line| line.starts_with("error[")).count(),
            1,
            "{}",
            push.text()
        );
    }
    work.sign(Some(&alice), &["tag", "-f", "-s", "-m", "release", "v1"]);
    let raw = work.git(&["cat-file", "tag", "v1"]).ok().stdout;
    let forged = store(&gate, &work, "tag", &raw.replacen("\n\nrelease", "\n\nforged", 1));
    work.push(&[&format!("{forged}:refs/tags/v1")]).assert_refused(&["bad-signature"]);
    // Validly signed, and git takes it for a release 9.
    work.push(&["v1:refs/tags/v9"]).assert_refused(&["tag-name-mismatch"]);
    work.accepted(&["v1"]);
    // A signed tag in front of an unsigned one, and the other way round.
    work.sign(None, &["tag", "-a", "-m", "inner", "inner"]);
    work.sign(Some(&alice), &["tag", "-s", "-m", "outer", "v2", "inner"]);
    work.push(&["v2"]).assert_refused(&["unsigned-tag"]);
    work.sign(None, &["tag", "-a", "-m", "outer", "v3", "v1"]);
    work.push(&["v3"]).assert_refused(&["unsigned-tag"]);
}

/// What one list lets in on one ref is judged again where another list holds.
#[test]
fn n07_a_list_for_some_refs_is_not_passed_by_way_of_others() {
    let refuse = "unsigned-commit = true\n\
                  untrusted-signer = { refs = { \"refs/heads/release/**\" = [\"group:sre\"] } }";
    let (gate, alice) = Gate::with_alice(&ruleset("\"refs/heads/**\"", refuse));
    let dave = Signer::ssh(&gate.sandbox, "dave", &["ed25519"]);
    gate.trust(&dave, "developers");
    gate.reload();
    let bare = gate.repository("app");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "base");
    work.accepted(&["main", "main:release/1"]);
    let daves = work.commit(Some(&dave), "let in on main");
    work.accepted(&["main"]);
    for target in ["release/1", "release/2"] {
        let push = work.push(&[&format!("main:{target}")]).assert_refused(&["untrusted-signer"]);
        assert!(push.text().contains(&daves[..10]) && push.text().contains("group:sre"), "{}", push.text());
    }
    // In one push with a ref that it is good for; and under something that somebody on the list signed.
    work.push(&["main:topic", "main:release/1"]).assert_refused(&["untrusted-signer"]);
    work.commit(Some(&alice), "on top");
    work.accepted(&["main"]);
    work.push(&["main:release/1"]).assert_refused(&["untrusted-signer"]);
    // What was let in on one such ref is let in on the next, and is judged once.
    let base = work.server("refs/heads/release/1").unwrap();
    work.accepted(&[&format!("{base}:refs/heads/release/3")]);
    let judged = gate.last_decision().to_string();
    assert!(judged.contains("only[refs/heads/release/**]"), "{judged}");
    // An unsigned one is one report, whichever of the two rulesets says it first.
    work.branch("next", &base);
    work.commit(None, "unsigned");
    let push = work.push(&["next:release/1"]).assert_refused(&["unsigned-commit"]);
    assert_eq!(push.remote.iter().filter(|line| line.starts_with("error[")).count(), 1, "{}", push.text());
    // History that was there before a list is adopted for it, like that of a new ruleset.
    gate.reconfigure(&ruleset("\"refs/heads/**\"", &refuse.replace("release/**", "main")));
    work.branch("main", &work.server("refs/heads/main").unwrap());
    work.commit(Some(&alice), "on the list");
    let push = work.push(&["main"]);
    assert!(push.text().contains("no trusted base"), "{}", push.text());
    let adopted = gate.adopt(&bare).ok();
    assert!((adopted.stdout + &adopted.stderr).contains("only[refs/heads/main]"));
    work.accepted(&["main"]);
    work.commit(Some(&dave), "not any more");
    work.push(&["main"]).assert_refused(&["untrusted-signer"]);
}

#[test]
fn what_a_signature_was_made_with_and_when() {
    let (gate, alice) = Gate::with_alice(&ruleset(
        "\"refs/heads/main\"",
        "weak-signature = true\nstale-signature = { days = 2 }",
    ));
    let small = Signer::ssh(&gate.sandbox, "small", &["rsa", "-b", "2048"]);
    let large = Signer::ssh(&gate.sandbox, "large", &["rsa", "-b", "3072"]);
    let pgp = Signer::openpgp(&gate.sandbox, "pgp", "rsa2048", "1y", None);
    for signer in [&small, &large, &pgp] {
        gate.trust(signer, "sre");
    }
    gate.reload();
    let work = gate.clone_of(&gate.repository("app"));
    work.commit(Some(&alice), "Ed25519");
    work.commit(Some(&large), "RSA with 3072 bits");
    work.accepted(&["main"]);
    for signer in [&small, &pgp] {
        work.commit(Some(signer), "RSA with 2048 bits");
        let push = work.push(&["main"]).assert_refused(&["weak-signature"]);
        assert!(push.text().contains("2048 bits"), "{}", push.text());
        work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    }
    let commit = ["commit", "--quiet", "--allow-empty", "-m", "signed long ago"];
    work.sign_at(Some(&alice), "2024-01-02T00:00:00Z", &commit);
    work.push(&["main"]).assert_refused(&["stale-signature"]);
    // The author's date is no matter: a rebase makes the commit anew.
    work.sign_with(Some(&alice), &[], &["commit", "--quiet", "--amend", "--no-edit", "--allow-empty"]);
    work.accepted(&["main"]);

    gate.reconfigure(&ruleset("\"refs/heads/main\"", "missing-user-presence = true"));
    work.commit(Some(&alice), "from a file");
    let push = work.push(&["main"]).assert_refused(&["missing-user-presence"]);
    assert!(push.text().contains("which is not a FIDO key"), "{}", push.text());
    gate.reconfigure(&ruleset("\"refs/heads/main\"", "missing-user-presence = { other-keys = \"accept\" }"));
    work.accepted(&["main"]);
    work.commit(None, "by nobody");
    work.push(&["main"]).assert_refused(&["missing-user-presence"]);
}

/// Whose address an address is, comes from the keyring; one that two have is nobody's.
#[test]
fn people_are_known_by_their_addresses() {
    let (gate, alice) =
        Gate::with_alice(&ruleset("\"refs/heads/main\", \"refs/tags/*\"", "unknown-identity = true"));
    let bob = Signer::ssh(&gate.sandbox, "bob", &["ed25519"]);
    let key = bob.public.to_str().unwrap();
    let emails = ["--email", "bob@example.com", "--email", "team@example.com"];
    gate.countersign(&[&["keyring", "add", "bob"], &emails[..], &["--key", key]].concat()).ok();
    gate.reload();
    let bare = gate.repository("app");
    let work = gate.clone_of(&bare);
    let named = |author: &str, committer: &str| {
        let named = [("GIT_AUTHOR_EMAIL", author), ("GIT_COMMITTER_EMAIL", committer)];
        work.sign_with(None, &named, &["commit", "--quiet", "--allow-empty", "-m", "x"]);
    };
    named("alice@EXAMPLE.com", "bob@example.com");
    named("team@example.com", "alice@example.com");
    work.accepted(&["main"]);
    for (author, committer) in [
        ("Alice@example.com", "bob@example.com"),
        ("alice@example.com", "alice@sub.example.com"),
        ("eve@example.net", "eve@example.net"),
    ] {
        named(author, committer);
        work.push(&["main"]).assert_refused(&["unknown-identity"]);
        work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    }
    let tag = |email: &str| {
        let named = [("GIT_COMMITTER_EMAIL", email)];
        work.sign_with(None, &named, &["tag", "-f", "-a", "-m", "x", "v1"]);
    };
    tag("eve@example.net");
    work.push(&["v1"]).assert_refused(&["unknown-identity"]);
    tag("bob@example.com");
    work.accepted(&["v1"]);
    // Once alice has it as well, it tells neither from the other.
    let key = fs::canonicalize(&alice.public).unwrap();
    let add = ["keyring", "add", "alice", "--email", "team@example.com", "--key", key.to_str().unwrap()];
    gate.countersign(&add).ok();
    gate.reload();
    named("alice@example.com", "team@example.com");
    let push = work.push(&["main"]).assert_refused(&["unknown-identity"]);
    assert!(push.text().contains("the committer `team@example.com`"), "{}", push.text());
}
