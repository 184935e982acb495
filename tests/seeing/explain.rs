//! `countersign explain`.

use crate::support::gate::Gate;
use crate::{POLICY, gate, json, named, place};

/// A work tree with a base, a commit that keeps all rules, and one that breaks two.
fn history(gate: &Gate, alice: &crate::support::signers::Signer) -> std::path::PathBuf {
    let bare = gate.bare("infra/app", &[]);
    let work = gate.clone_of(&bare);
    work.commit(Some(alice), "OPS-1: base");
    work.commit(Some(alice), "OPS-2: good");
    work.commit(None, "bad");
    work.path.clone()
}

fn run(gate: &Gate, repo: &std::path::Path, more: &[&str]) -> crate::support::sandbox::Ran {
    let repo = repo.to_str().unwrap();
    let mut arguments =
        vec!["explain", "--repo", repo, "--repository", "infra/app", "--ref", "refs/heads/main"];
    arguments.extend(more);
    gate.countersign(&arguments)
}

#[test]
fn every_rule_says_what_it_saw_and_why() {
    let (gate, alice) = gate(POLICY);
    let work = history(&gate, &alice);
    let ran = run(&gate, &work, &["HEAD~2..HEAD", "--format", "json"]);
    assert_eq!(ran.code(), Some(1), "{}", ran.stderr);
    let document = json(&ran);
    assert_eq!((&document["outcome"], &document["kind"]), (&"refuse".into(), &"update".into()));
    assert_eq!(document["coverage"], "ruleset");
    assert!(document["pusher"].is_null());

    let production = named(&document["rulesets"], "name", "production");
    assert_eq!(production["introduced"], 2);
    let rule = |name: &str| named(&production["rules"], "rule", name);
    for (name, result) in [
        ("bad-signature", "pass"),
        ("force-push", "pass"),
        ("missing-ticket", "refuse"),
        ("unsigned-commit", "refuse"),
    ] {
        assert_eq!(rule(name)["result"], result, "{name}");
    }
    assert_eq!(rule("unsigned-commit")["asked"]["commits"], 2);
    assert_eq!(rule("force-push")["asked"]["update"], true);
    let found = &rule("missing-ticket")["found"];
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert!(found[0]["seen"].as_str().unwrap().contains("\"bad\""), "{found}");
    assert!(found[0]["wanted"].as_str().unwrap().contains("OPS-123"), "{found}");
    let at = place(&gate, "missing-ticket = { projects = [\"OPS\"] }");
    assert!(rule("missing-ticket")["place"].as_str().unwrap().starts_with(&at), "{production:#}");

    let trial = named(&document["rulesets"], "name", "trial");
    assert_eq!(named(&trial["rules"], "rule", "untrusted-signer")["result"], "would-refuse");
    let by_default = named(&document["rulesets"], "name", "default");
    assert!(by_default["place"].is_null());
    for (name, by) in [("elsewhere", "repositories"), ("resting", "enforcement")] {
        assert_eq!(named(&document["others"], "name", name)["by"], by);
    }

    // The same for people, and as `check` judges it.
    let ran = run(&gate, &work, &["HEAD~2..HEAD"]);
    assert_eq!(ran.code(), Some(1));
    for line in [
        "  refuse        unsigned-commit: ",
        "  would-refuse  untrusted-signer: ",
        "  pass          force-push: ",
    ] {
        assert!(ran.stdout.contains(line), "no {line:?} in\n{}", ran.stdout);
    }
    assert!(ran.stdout.contains("the pusher is unknown"), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("would be refused: 2 violations\n"), "{}", ran.stdout);
    let repo = work.to_str().unwrap();
    let check =
        ["check", "--repo", repo, "--repository", "infra/app", "--ref", "refs/heads/main", "HEAD~2..HEAD"];
    assert!(gate.countersign(&check).stdout.contains("2 violations"));

    let ran = run(&gate, &work, &["HEAD~2..HEAD~1"]);
    assert_eq!(ran.code(), Some(0), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("would be accepted\n"), "{}", ran.stdout);
}

#[test]
fn a_pusher_is_supposed_and_said_to_be() {
    let (gate, alice) = gate(POLICY);
    let bare = gate.bare("infra/app", &[]);
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    work.commit(Some(&alice), "without a ticket");
    let ran = run(&gate, &work.path, &["HEAD~1..HEAD"]);
    assert_eq!(ran.code(), Some(1), "{}", ran.stdout);

    let ran = run(&gate, &work.path, &["HEAD~1..HEAD", "--as", "bob"]);
    assert_eq!(ran.code(), Some(0), "{}", ran.stdout);
    assert!(ran.stdout.starts_with("supposing that person:bob pushes, as --as says"), "{}", ran.stdout);
    assert!(ran.stdout.contains("  waived        missing-ticket: "), "{}", ran.stdout);
    assert!(ran.stdout.contains("waived: person:bob, by pusher: an incident cannot wait"), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("would be accepted, 1 waived by a bypass\n"), "{}", ran.stdout);
    let document = json(&run(&gate, &work.path, &["HEAD~1..HEAD", "--as", "person:bob", "--format", "json"]));
    assert_eq!(document["pusher"]["hypothetical"], true);
    assert_eq!((document["outcome"].as_str(), document["waived"].as_u64()), (Some("accept"), Some(1)));
    // A person is no bot, so the ruleset for bots judges nothing.
    assert_eq!(named(&document["rulesets"], "name", "robots")["exempt"], true);

    // Nobody else's bypass, and nobody that the keyring does not know.
    assert_eq!(run(&gate, &work.path, &["HEAD~1..HEAD", "--as", "alice"]).code(), Some(1));
    let ran = run(&gate, &work.path, &["HEAD~1..HEAD", "--as", "bop"]);
    assert_eq!(ran.code(), Some(2));
    assert!(
        ran.stderr.contains("nobody in the keyring is called `bop`; did you mean `bob`?"),
        "{}",
        ran.stderr
    );
    // Nothing of it is on record.
    assert!(!gate.state().join("audit.db").exists());
}

#[test]
fn without_a_range_it_says_what_would_judge() {
    let (gate, alice) = gate(POLICY);
    let work = history(&gate, &alice);
    let ran = run(&gate, &work, &["--as", "bob"]).ok();
    for line in [
        "refs/heads/main of infra/app: covered by a ruleset\n",
        "  refuses missing-ticket: ",
        "    person:bob is one of them\n",
        "  actors: kind:bot; person:bob is none: it judges nothing\n",
        "  elsewhere: its repositories are web/*",
        "  resting: its enforcement is `off`",
    ] {
        assert!(ran.stdout.contains(line), "no {line:?} in\n{}", ran.stdout);
    }
    let document = json(&run(&gate, &work, &["--format", "json"]).ok());
    let names: Vec<&str> =
        document["rulesets"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["production", "trial", "robots", "default"]);
}

#[test]
fn a_deletion_asks_no_rule_about_commits() {
    let (gate, alice) = gate(POLICY);
    let work = history(&gate, &alice);
    let document = json(&run(&gate, &work, &["HEAD..", "--format", "json"]));
    assert_eq!(
        (&document["kind"], &document["outcome"]),
        (&"delete".into(), &"refuse".into()),
        "{document:#}"
    );
    let production = named(&document["rulesets"], "name", "production");
    assert_eq!(named(&production["rules"], "rule", "unsigned-commit")["result"], "not-asked");
    let robots = named(&document["rulesets"], "name", "robots");
    assert_eq!(
        named(&robots["rules"], "rule", "ref-deletion")["result"],
        "refuse",
        "an unknown pusher is judged"
    );
}
