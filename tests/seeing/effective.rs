//! `countersign config show`, `config match`, `bypass list`.

use crate::{POLICY, gate, json, named, place};

#[test]
fn config_show_has_options_defaults_places_and_bypasses() {
    let (gate, _) = gate(POLICY);
    gate.bare("infra/app", &[]);
    let show = ["config", "show", "--repo", "infra/app", "--ref", "refs/heads/main"];
    let json_too = [&show[..], &["--format", "json"]].concat();
    let document = json(&gate.countersign(&json_too).ok());
    assert_eq!(document["default_branch"], "refs/heads/main");
    assert_eq!(document["coverage"], "ruleset");
    assert!(document["builtin"].as_array().unwrap().len() >= 6);
    let production = named(&document["rulesets"], "name", "production");
    let ticket = named(&production["rules"], "rule", "missing-ticket");
    assert_eq!(ticket["options"]["projects"][0], "OPS");
    assert_eq!(ticket["defaults"]["where"], "[\"subject\", \"trailer\"]");
    assert!(ticket["defaults"].get("projects").is_none());
    assert_eq!(named(&production["rules"], "rule", "force-push")["help"], "ask #platform");
    // What came with another rule is written nowhere.
    assert!(named(&production["rules"], "rule", "bad-signature")["place"].is_null());
    let bypass = production["bypass"].as_array().unwrap();
    assert_eq!(bypass.len(), 2);
    assert_eq!((&bypass[0]["state"], &bypass[1]["state"]), (&"active".into(), &"expired".into()));
    assert_eq!(bypass[0]["members"][0], "person:bob");
    let by_default = named(&document["rulesets"], "name", "default");
    let at = place(&gate, "ref-name = { allow = [\"refs/heads/**\", \"refs/tags/v*\"] }");
    let name_rule = named(&by_default["rules"], "rule", "ref-name");
    assert!(name_rule["place"].as_str().unwrap().starts_with(&at), "{name_rule:#}");

    let ran = gate.countersign(&show).ok();
    for line in [
        "ruleset production (enforce), ",
        "ruleset trial (evaluate: records, refuses nothing), ",
        "    where = [\"subject\", \"trailer\"]  (default)\n",
        "    projects = [\"OPS\"]\n",
        "  bypass for group:oncall of missing-ticket, by the server's word on who pushes, until 2999-01-01",
        "  bypass for person:bob of missing-ticket, by their signature on the very object, expired 2020-12-31",
    ] {
        assert!(ran.stdout.contains(line), "no {line:?} in\n{}", ran.stdout);
    }

    // A bypass of other refs is none here; what nothing covers says so.
    let release =
        ["config", "show", "--repo", "infra/app", "--ref", "refs/heads/release/1", "--format", "json"];
    let document = json(&gate.countersign(&release).ok());
    assert_eq!(named(&document["rulesets"], "name", "production")["bypass"].as_array().unwrap().len(), 1);
    let tag = ["config", "show", "--repo", "infra/app", "--ref", "refs/tags/v1", "--format", "json"];
    let document = json(&gate.countersign(&tag).ok());
    assert_eq!(document["coverage"], "uncovered-refuse");
    assert_eq!(named(&document["others"], "name", "trial")["by"], "refs");
    let odd = gate.countersign(&["config", "show", "--repo", "infra/app", "--ref", "refs/custom/x"]).ok();
    assert!(odd.stdout.contains("outside `namespaces`"), "{}", odd.stdout);
    assert_eq!(gate.countersign(&["config", "show", "--repo", "infra/app", "--ref", "main"]).code(), Some(2));
}

#[test]
fn config_show_takes_the_default_branch_from_head_or_from_whoever_asks() {
    let (gate, _) = gate(POLICY);
    let bare = gate.bare("infra/app", &[]);
    gate.sandbox.git(&bare, &["symbolic-ref", "HEAD", "refs/heads/trunk"]).ok();
    let names = |arguments: &[&str]| -> Vec<String> {
        let all = [&["config", "show", "--format", "json", "--ref"], arguments].concat();
        let document = json(&gate.countersign(&all).ok());
        let sets = document["rulesets"].as_array().unwrap().iter();
        sets.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let has = |names: Vec<String>| names.iter().any(|name| name == "production");
    assert!(!has(names(&["refs/heads/main", "--repo", "infra/app"])));
    assert!(has(names(&["refs/heads/trunk", "--repo", "infra/app"])));
    assert!(!has(names(&["refs/heads/main", "--repo", "infra/new"])), "nobody knows its default branch");
    assert!(has(names(&["refs/heads/main", "--repo", "infra/new", "--default-branch", "refs/heads/main"])));
}

#[test]
fn config_match_shows_what_a_pattern_hits() {
    let (gate, alice) = gate(POLICY);
    let bare = gate.bare("infra/app", &[]);
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    for name in ["wip/x", "release/1", "release/2/fix"] {
        work.git(&["branch", name]).ok();
    }
    work.git(&["tag", "v1"]).ok();
    let repo = work.path.to_str().unwrap();
    let run = |arguments: &[&str]| gate.program(&[&["config", "match", "--repo", repo], arguments].concat());
    let matched = |arguments: &[&str]| -> Vec<String> {
        let document = json(&run(&[arguments, &["--format", "json"]].concat()));
        let list = document["matched"].as_array().unwrap().iter();
        list.map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(matched(&["refs/heads/release/*"]), ["refs/heads/release/1"]);
    assert_eq!(matched(&["refs/heads/release/**"]), ["refs/heads/release/1", "refs/heads/release/2/fix"]);
    assert_eq!(matched(&["~DEFAULT"]), ["refs/heads/main"]);
    assert_eq!(
        matched(&["!refs/heads/wip/**", "~ALL", "!~DEFAULT", "!re:refs/heads/release/.*"]),
        ["refs/tags/v1"]
    );
    let ran = run(&["refs/heads/**", "!refs/heads/wip/**"]).ok();
    assert!(ran.stdout.contains("refs/heads/wip/x  (excluded)\n"), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("3 of 5 refs match, 1 excluded\n"), "{}", ran.stdout);
    assert_eq!(run(&["refs/heads/mian"]).code(), Some(1), "nothing matches");
    let short = run(&["main"]);
    assert_eq!(short.code(), Some(2));
    assert!(short.stderr.contains("write `refs/heads/main`"), "{}", short.stderr);
    assert_eq!(run(&["!refs/heads/x"]).code(), Some(2), "only exclusions match nothing");

    let table = ["config", "match", "--repo", repo, "--repository", "infra/app"];
    let ran = gate.countersign(&table).ok();
    let row = |name: &str| -> Vec<String> {
        let line = ran.stdout.lines().find(|line| line.starts_with(name)).unwrap();
        line.split("  ").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    assert_eq!(
        row("refs/heads/main"),
        ["refs/heads/main (~DEFAULT)", "production, robots, default", "trial", "ruleset"]
    );
    assert_eq!(row("refs/heads/wip/x"), ["refs/heads/wip/x", "robots, default", "-", "ruleset"]);
    assert_eq!(row("refs/tags/v1"), ["refs/tags/v1", "default", "-", "uncovered-refuse"]);
}

#[test]
fn bypass_list_tells_active_from_expired_and_who() {
    let (gate, _) = gate(POLICY);
    let list = |arguments: &[&str]| {
        let all = [&["bypass", "list", "--format", "json"], arguments].concat();
        json(&gate.countersign(&all).ok())["bypasses"].as_array().unwrap().clone()
    };
    let all = list(&[]);
    assert_eq!(all.len(), 2);
    assert_eq!((&all[0]["state"], &all[0]["who"][0]), (&"expired".into(), &"person:bob".into()));
    assert_eq!((&all[1]["state"], &all[1]["proof"]), (&"active".into(), &"pusher".into()));
    assert_eq!(all[1]["members"][0], "person:bob");
    assert!(all[1]["place"].as_str().unwrap().starts_with(gate.config().to_str().unwrap()));
    assert!(list(&["--expiring", "30"]).is_empty(), "an expired one does not expire any more");
    assert_eq!(list(&["--expiring", "500000"]).len(), 1);
    assert_eq!(list(&["--repo", "infra/app"]).len(), 2);
    assert!(list(&["--repo", "web/app"]).is_empty());
    let ran = gate.countersign(&["bypass", "list"]).ok();
    assert!(ran.stdout.contains("an incident cannot wait"), "{}", ran.stdout);
    assert!(ran.stdout.contains("person:bob, by the server's word on who pushes"), "{}", ran.stdout);
}
