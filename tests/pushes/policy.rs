//! Rules, and what a pusher reads of them.

use crate::support::clone::Clone;
use crate::support::gate::{Gate, PRODUCTION};
use crate::support::history;
use crate::support::signers::Signer;

/// One ruleset on `refs/heads/main` with these rules.
fn ruleset(refuse: &str) -> String {
    format!(
        "[policy]\nuncovered = \"accept\"\n\n[[ruleset]]\nname = \"only\"\nrepositories = [\"**\"]\n\
         refs = [\"refs/heads/main\"]\nenforcement = \"enforce\"\n\n[ruleset.refuse]\n{refuse}\n"
    )
}

#[test]
fn signatures_of_every_supported_kind_are_let_in() {
    let gate = Gate::prepared(PRODUCTION);
    let sandbox = &gate.sandbox;
    let signers = [
        Signer::ssh(sandbox, "ssh-ed25519", &["ed25519"]),
        Signer::ssh(sandbox, "ssh-p256", &["ecdsa", "-b", "256"]),
        Signer::ssh(sandbox, "ssh-p384", &["ecdsa", "-b", "384"]),
        Signer::ssh(sandbox, "ssh-rsa", &["rsa", "-b", "3072"]),
        Signer::openpgp(sandbox, "pgp-ed25519", "ed25519", "1y", None),
        Signer::openpgp(sandbox, "pgp-rsa", "rsa3072", "1y", None),
        Signer::openpgp(sandbox, "pgp-p256", "nistp256", "never", None),
    ];
    for signer in &signers {
        gate.trust(signer, "sre");
    }
    gate.start();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    for signer in &signers {
        let id = work.commit(Some(signer), &format!("OPS-1: by {}", signer.name));
        work.accepted(&["main"]);
        assert_eq!(work.server("refs/heads/main"), Some(id));
    }
}

#[test]
fn n17_each_fault_of_a_signature_is_reported_once_by_the_rule_that_says_it_best() {
    let (gate, alice) = Gate::production();
    let dave = Signer::ssh(&gate.sandbox, "dave", &["ed25519"]);
    let mallory = Signer::ssh(&gate.sandbox, "mallory", &["ed25519"]);
    let strange = Signer::openpgp(&gate.sandbox, "strange", "ed25519", "1y", None);
    gate.trust(&dave, "developers");
    gate.reload();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    work.accepted(&["main"]);
    for (signer, rule) in [
        (None, "unsigned-commit"),
        (Some(&mallory), "untrusted-signer"),
        (Some(&strange), "untrusted-signer"),
        (Some(&dave), "untrusted-signer"),
    ] {
        work.branch("main", "HEAD");
        let id = work.commit(signer, "OPS-2: next");
        let push = work.push(&["main"]).assert_refused(&[rule]);
        let blocks = push.remote.iter().filter(|line| line.starts_with("error["));
        assert_eq!(blocks.count(), 1, "{}", push.text());
        assert!(push.text().contains(&format!("commit {} on refs/heads/main", &id[..10])), "{}", push.text());
        assert!(push.text().contains("  help: "), "{}", push.text());
        work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    }
    // The bytes are not those that were signed.
    work.commit(Some(&alice), "OPS-3: signed");
    let signed = work.git(&["cat-file", "commit", "HEAD"]).ok().stdout;
    let changed = signed.replace("OPS-3: signed", "OPS-3: forged");
    let forged = gate.sandbox.git_with_input(
        &work.path,
        &["hash-object", "-t", "commit", "-w", "--stdin"],
        changed.as_bytes(),
    );
    let refspec = format!("{}:main", forged.ok().line());
    work.push(&[&refspec]).assert_refused(&["bad-signature"]);
}

#[test]
fn n17_an_unknown_key_is_a_bad_signature_where_nobody_lists_the_signers() {
    let (gate, alice) = Gate::with_alice(&ruleset("unsigned-commit = true"));
    let mallory = Signer::ssh(&gate.sandbox, "mallory", &["ed25519"]);
    let bare = gate.repository("app");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "by somebody known");
    work.accepted(&["main"]);
    work.commit(Some(&mallory), "by nobody known");
    work.push(&["main"]).assert_refused(&["bad-signature"]);
}

#[test]
fn n13_a_key_that_has_expired_signs_nothing_new_whatever_the_dates_say() {
    let gate = Gate::prepared(PRODUCTION);
    let old = Signer::openpgp(&gate.sandbox, "old", "ed25519", "30d", Some("20240101T000000"));
    gate.trust(&old, "sre");
    gate.start();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    // Signed, and dated, while the key was still valid; received now.
    work.sign_at(
        Some(&old),
        "2024-01-02T00:00:00Z",
        &["commit", "--quiet", "--allow-empty", "-m", "OPS-1: late"],
    );
    let push = work.push(&["main"]).assert_refused(&["bad-signature"]);
    assert!(push.text().contains("expired"), "{}", push.text());
}

#[test]
fn all_faults_of_a_push_are_named_at_once() {
    let (gate, alice) = Gate::production();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    work.commit(Some(&alice), "OPS-2: dropped soon");
    work.accepted(&["main"]);
    work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    let first = work.commit(None, "no ticket");
    let second = work.commit(None, "OPS-3: only unsigned");
    let push = work.push(&["--force", "main"]);
    let push = push.assert_refused(&["force-push", "missing-ticket", "unsigned-commit"]);
    let text = push.text();
    for id in [&first, &second] {
        assert!(
            text.contains(&format!("error[unsigned-commit]: commit {} on refs/heads/main", &id[..10])),
            "{text}"
        );
    }
    assert!(text.contains("4 violations"), "{text}");
    assert!(text.find("error[").unwrap() < text.find("countersign refused this push").unwrap());
}

#[test]
fn violations_are_capped_and_counted() {
    let (gate, _) =
        Gate::with_alice(&format!("{}\n[limits]\nviolations = 10\n", ruleset("unsigned-commit = true")));
    let bare = gate.repository("app");
    let work = gate.clone_of(&bare);
    history::line(&gate.sandbox, &work.path, "refs/heads/long", 500);
    let push = work.push(&["long:main"]).assert_refused(&["unsigned-commit"]);
    assert_eq!(push.remote.iter().filter(|line| line.starts_with("error[")).count(), 10);
    assert!(push.text().contains("490 more"), "{}", push.text());
    assert!(push.text().contains("500 violations"), "{}", push.text());
}

#[test]
fn tickets_are_looked_for_where_the_ruleset_says() {
    let (gate, _) =
        Gate::with_alice(&ruleset("missing-ticket = { projects = [\"OPS\"], where = [\"trailer\"] }"));
    let bare = gate.repository("app");
    let work = gate.clone_of(&bare);
    work.commit(None, "a subject\n\nTicket: OPS-12");
    work.accepted(&["main"]);
    work.commit(None, "OPS-13: in the subject only");
    work.push(&["main"]).assert_refused(&["missing-ticket"]);

    gate.reconfigure(&ruleset("missing-ticket = { projects = [\"OPS\"], where = [\"subject\"] }"));
    work.accepted(&["main"]);
    for subject in
        ["SEC-1: another project", "OPSX-1: a longer name", "XOPS-1: another one", "OPS-: no number"]
    {
        work.commit(None, subject);
        work.push(&["main"]).assert_refused(&["missing-ticket"]);
        work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    }
}

#[test]
fn n11_a_ticket_in_the_branch_name_is_judged_for_the_update_and_not_for_commits() {
    let policy = "[policy]\nuncovered = \"accept\"\n\n[[ruleset]]\nname = \"topics\"\nrepositories = [\"**\"]\n\
                  refs = [\"refs/heads/topic/**\"]\n\n[ruleset.refuse]\n\
                  missing-ticket = { projects = [\"OPS\"], where = [\"branch\"] }\n";
    let (gate, _) = Gate::with_alice(policy);
    let bare = gate.repository("app");
    let work = gate.clone_of(&bare);
    work.commit(None, "no ticket here");
    work.accepted(&["main:topic/OPS-1-first"]);
    // The commits are judged and applied already; the name still counts.
    work.push(&["main:topic/second"]).assert_refused(&["missing-ticket"]);
}

#[test]
fn n11_rules_about_the_update_see_all_of_it_however_much_was_judged_before() {
    let (gate, alice) = Gate::production();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let base = work.commit(Some(&alice), "OPS-1: base");
    work.commit(Some(&alice), "OPS-2: next");
    work.accepted(&["main"]);
    let back = format!("{base}:main");
    work.push(&["--force", &back]).assert_refused(&["force-push"]);
    work.push(&[":main"]).assert_refused(&["ref-deletion"]);
}

#[test]
fn refs_are_created_only_where_the_ruleset_allows_it() {
    let (gate, _) = Gate::with_alice(&ruleset("ref-creation = true"));
    let bare = gate.repository("app");
    let work = gate.clone_of(&bare);
    work.commit(None, "first");
    work.push(&["main"]).assert_refused(&["ref-creation"]);
    work.accepted(&["main:other"]);
}

#[test]
fn n02_an_uncovered_ref_is_let_in_or_refused_as_the_policy_says_and_recorded_as_uncovered() {
    let (gate, _) = Gate::production();
    let bare = gate.repository("app");
    let work = gate.clone_of(&bare);
    work.commit(None, "anything");
    work.accepted(&["main:topic"]);
    let record = gate.last_decision();
    assert!(record.to_string().contains("uncovered-accept"), "{record}");
    assert!(record.to_string().contains("builtin"), "N1: {record}");

    gate.reconfigure(&PRODUCTION.replace("uncovered = \"accept\"", "uncovered = \"refuse\""));
    work.commit(None, "more");
    work.push(&["main:topic"]).assert_refused(&["uncovered-ref"]);
}

#[test]
fn what_is_only_evaluated_refuses_nothing_and_is_recorded() {
    let (gate, _) = Gate::with_alice(&PRODUCTION.replace("\"enforce\"", "\"evaluate\""));
    let bare = gate.repository("app");
    let work = gate.clone_of(&bare);
    work.commit(None, "no ticket, no signature");
    let push = work.accepted(&["main"]);
    assert!(push.text().contains("`production` under evaluation would refuse"), "{}", push.text());
    let record = gate.last_decision().to_string();
    assert!(record.contains("unsigned-commit") && record.contains("missing-ticket"), "{record}");
}

#[test]
fn a_merge_brings_its_whole_side_branch_before_the_judge() {
    let (gate, alice) = Gate::production();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    work.accepted(&["main"]);
    work.branch("side", "main");
    let hidden = work.commit(None, "OPS-2: unsigned, on the side");
    work.commit(Some(&alice), "OPS-3: signed on top");
    work.branch("main", "main");
    work.commit(Some(&alice), "OPS-4: meanwhile");
    work.sign(Some(&alice), &["merge", "--quiet", "--no-ff", "-m", "OPS-5: merge", "side"]);
    let push = work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    assert!(push.text().contains(&hidden[..10]), "{}", push.text());
    assert!(push.text().contains("1 violation,"), "{}", push.text());
}

#[test]
fn nothing_from_a_push_reaches_a_terminal_unescaped() {
    let (gate, alice) = Gate::production();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "red \u{1b}[31m\u{7} \u{202e}backwards\u{9b}31m");
    let push = work.push(&["main"]).assert_refused(&["missing-ticket"]);
    for bad in ['\u{1b}', '\u{7}', '\u{202e}', '\u{9b}'] {
        assert!(!push.ran.stderr.contains(bad), "{:?}", push.ran.stderr);
    }
    assert!(push.text().contains("backwards"), "{}", push.text());
}

#[test]
fn the_contact_line_comes_last() {
    let gate = Gate::prepared(PRODUCTION);
    gate.daemon_keys.replace("contact = \"Ask #git-help\"".to_owned());
    gate.configure(PRODUCTION);
    gate.start();
    let bare = gate.repository("app");
    let work = gate.clone_of(&bare);
    work.commit(None, "x");
    let push = work.push(&["main"]).assert_refused(&["missing-ticket", "unsigned-commit"]);
    let last = push.remote.iter().rfind(|line| !line.is_empty());
    assert_eq!(last.map(String::as_str), Some("Ask #git-help"), "{}", push.text());
}

#[test]
fn n16_trust_is_never_cached() {
    let (gate, alice) = Gate::production();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    work.accepted(&["main"]);
    work.commit(Some(&alice), "OPS-2: next");
    work.accepted(&["main:topic", "main:refs/heads/release/1"]);
    std::fs::remove_file(gate.home.join("keyring/alice.toml")).unwrap();
    gate.reload();
    work.commit(Some(&alice), "OPS-3: after she left");
    work.push(&["main"]).assert_refused(&["untrusted-signer"]);
}

#[test]
fn n18_the_pusher_comes_from_the_variable_of_the_configured_server_and_from_no_other() {
    let gate = Gate::prepared(PRODUCTION);
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    gate.trust(&alice, "sre");
    gate.repository_keys.replace("server = \"git-http-backend\"".to_owned());
    gate.configure(PRODUCTION);
    gate.start();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    let push = work.push(&["main"]);
    push.assert_undecided("REMOTE_USER");

    let work = work.with_env("REMOTE_USER", "carol").with_env("GL_USER", "somebody-else");
    work.accepted(&["main"]);
    let record = gate.last_decision().to_string();
    assert!(record.contains("carol") && !record.contains("somebody-else"), "{record}");
}

#[test]
fn push_options_are_recorded_and_obeyed_by_nobody() {
    let (gate, _) = Gate::production();
    let bare = gate.repository("infra/live");
    gate.sandbox.git(&bare, &["config", "receive.advertisePushOptions", "true"]).ok();
    let work = gate.clone_of(&bare);
    work.commit(None, "unsigned");
    let options = ["--push-option=skip-all", "--push-option=red\u{1b}[31m=1"];
    work.push(&[options[0], options[1], "main"]).assert_refused(&["missing-ticket", "unsigned-commit"]);
    let record = gate.last_decision()["push_options"].to_string();
    assert!(record.contains("skip-all") && record.contains("red") && !record.contains("\\u001b"), "{record}");
}

#[test]
fn n23_counted_budgets_are_refusals_that_name_the_figures() {
    let policy = format!("{PRODUCTION}\n[limits]\nrefs = 3\ncommits = 20\n");
    let (gate, _) = Gate::with_alice(&policy);
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(None, "x");
    let push = work.push(&["main:a", "main:b", "main:c", "main:d"]).assert_refused(&["push-too-large"]);
    assert!(push.text().contains("4 refs") && push.text().contains("at most 3"), "{}", push.text());
    history::line(&gate.sandbox, &work.path, "refs/heads/long", 21);
    let push = work.push(&["long:main"]);
    assert!(push.rules().contains("push-too-large"), "{}", push.text());
    assert!(push.text().contains("more than 20 commits"), "{}", push.text());
}

#[test]
fn n02_an_included_file_opens_nothing_that_is_uncovered() {
    let policy = "[policy]\nuncovered = \"refuse\"\ninclude = \"rulesets.d/*.toml\"\n\n[[ruleset]]\nname = \"main\"\n\
                  repositories = [\"**\"]\nrefs = [\"refs/heads/main\"]\n\n[ruleset.refuse]\nforce-push = true\n";
    let (gate, _) = Gate::with_alice(&policy.replace("include = \"rulesets.d/*.toml\"\n", ""));
    let included = gate.config().parent().unwrap().join("rulesets.d");
    std::fs::create_dir(&included).unwrap();
    let ruleset = "[[ruleset]]\nname = \"tenant\"\nrepositories = [\"**\"]\nrefs = [\"refs/heads/**\"]\n\n\
                   [ruleset.refuse]\nref-deletion = true\n";
    std::fs::write(included.join("tenant.toml"), ruleset).unwrap();
    gate.reconfigure(policy);
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(None, "anything");
    work.accepted(&["main"]);
    work.push(&["main:dev"]).assert_refused(&["uncovered-ref"]);
    work.push(&[":main"]).assert_refused(&["ref-deletion"]);
}

#[test]
fn what_is_odd_and_counts_all_the_same_is_one_line_and_on_record() {
    let (gate, alice) = Gate::production();
    let stranger = Signer::ssh(&gate.sandbox, "stranger", &["ed25519"]);
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    let push = work.accepted(&["main"]);
    assert_eq!(push.text(), "", "nothing is odd yet");
    // Merges whose commits are good and whose merged tags are by nobody known.
    let mut merges = Vec::new();
    for n in 0..2 {
        work.branch("side", "main");
        work.commit(Some(&alice), "OPS-2: on the side");
        work.sign(Some(&stranger), &["tag", "-s", "-m", "x", &format!("v{n}")]);
        work.git(&["checkout", "--quiet", "main"]).ok();
        work.sign(Some(&alice), &["merge", "--quiet", "--no-ff", "-m", "OPS-3: merge", &format!("v{n}")]);
        merges.push(work.id("main"));
    }
    let push = work.accepted(&["main"]);
    assert_eq!(push.remote.len(), 1, "{}", push.text());
    let record = gate.last_decision();
    let findings = record["findings"].as_array().unwrap();
    let mut on: Vec<&str> = findings.iter().map(|one| one["commit"].as_str().unwrap()).collect();
    on.sort_unstable();
    merges.sort();
    assert_eq!(on, merges, "{record}");
    let code = findings[0]["code"].as_str().unwrap();
    assert!(code.starts_with("mergetag.") && !findings[0]["text"].as_str().unwrap().is_empty(), "{record}");
    let note = format!("note: 2 findings on record ({code}), nothing is refused for it");
    assert_eq!(push.text(), note);
    gate.countersign(&["audit", "verify"]).ok();
}

/// What came in through a ruleset that asks for less is exempt from a rule that another one gets later: in this
/// repository, and while its signature counts.
#[test]
fn n13_effective_from_is_about_what_this_repository_received_and_still_verifies() {
    let topics = "[policy]\nuncovered = \"accept\"\n\n[[ruleset]]\nname = \"topics\"\nrepositories = [\"**\"]\n\
                  refs = [\"refs/heads/topic/**\"]\n\n[ruleset.refuse]\nunsigned-commit = true\n";
    let (gate, alice) = Gate::with_alice(topics);
    let carol = Signer::ssh(&gate.sandbox, "carol", &["ed25519"]);
    gate.trust(&carol, "sre");
    gate.reload();
    let (here, elsewhere) = (gate.repository("infra/live"), gate.repository("infra/fork"));
    let work = gate.clone_of(&here);
    let other = Clone::at(&gate, &elsewhere, &work.path);
    let root = work.commit(Some(&alice), "no ticket, by alice");
    work.accepted(&["main:topic/a"]);
    work.branch("carols", &root);
    work.commit(Some(&carol), "no ticket, by carol");
    work.accepted(&["carols:topic/c"]);
    // The record has milliseconds, a configuration is written in seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let now = countersign::domain::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let main = format!(
        "{topics}\n[[ruleset]]\nname = \"main\"\nrepositories = [\"**\"]\nrefs = [\"refs/heads/main\", \"refs/heads/next\"]\n\n\
         [ruleset.refuse]\nmissing-ticket = {{ projects = [\"OPS\"], effective-from = {now} }}\n"
    );
    gate.reconfigure(&main);
    // Another repository has received nothing, and does not by what this one did.
    other.push(&["main"]).assert_refused(&["missing-ticket"]);
    other.accepted(&["main:topic/a"]);
    other.push(&["main"]).assert_refused(&["missing-ticket"]);
    // A date that the commit claims exempts it from nothing.
    work.branch("late", &root);
    work.sign_at(
        Some(&alice),
        "2020-01-01T00:00:00Z",
        &["commit", "--quiet", "--allow-empty", "-m", "no ticket, and an old date"],
    );
    work.push(&["late:main"]).assert_refused(&["missing-ticket"]);
    work.accepted(&["main"]);
    // Carol's key is gone: what it signed is not exempt any more.
    std::fs::remove_file(gate.home.join("keyring/carol.toml")).unwrap();
    gate.reload();
    let push = work.push(&["carols:next"]).assert_refused(&["missing-ticket"]);
    assert!(push.text().contains("1 violation,"), "{}", push.text());
}
