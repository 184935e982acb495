//! `countersign config test`.

use crate::support::gate::Gate;
use crate::support::sandbox::Ran;
use crate::{POLICY, gate, json};
use std::fs;

const GOOD: &str = r#"
about = "a signed commit with a ticket moves main"
repository = "infra/app"

[[update]]
ref = "refs/heads/main"

[[commit]]
name = "fix"
by = "alice"
message = "OPS-7: fix it"
changes = ["M src/lib.rs"]

[expect]
outcome = "accept"
coverage = { "refs/heads/main" = "ruleset" }
"#;

const REFUSED: &str = r#"
about = "nobody rewrites main, and nothing goes in unsigned"
repository = "infra/app"
pusher = "alice"

[[update]]
ref = "refs/heads/main"
kind = "force"

[[commit]]
name = "fix"
message = "OPS-7: fix it"

[expect]
outcome = "refuse"

[[expect.violation]]
rule = "force-push"
ref = "refs/heads/main"

[[expect.violation]]
rule = "unsigned-commit"
commit = "fix"
ruleset = "production"

[[expect.advisory]]
rule = "untrusted-signer"
"#;

const WAIVED: &str = r#"
about = "who is on call needs no ticket"
repository = "infra/app"
pusher = "bob"
at = 2026-06-01T00:00:00Z

[[update]]
ref = "refs/heads/main"

[[commit]]
name = "fix"
by = "alice"
message = "fix it"

[expect]
outcome = "accept"

[[expect.waived]]
rule = "missing-ticket"
commit = "fix"
"#;

fn run(gate: &Gate, files: &[(&str, &str)]) -> Ran {
    let directory = gate.sandbox.path("policy-tests");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(directory.join("more")).unwrap();
    for (name, text) in files {
        fs::write(directory.join(name), text).unwrap();
    }
    gate.countersign(&["config", "test", directory.to_str().unwrap()])
}

#[test]
fn files_that_hold_pass() {
    let (gate, _) = gate(POLICY);
    let ran =
        run(&gate, &[("a.toml", GOOD), ("more/b.toml", REFUSED), ("c.toml", WAIVED), ("README.md", "x")]);
    assert_eq!(ran.code(), Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.ends_with("3 passed, 0 failed\n"), "{}", ran.stdout);
    // The same files find the fault of another policy.
    gate.configure(&POLICY.replace("unsigned-commit = true\n", ""));
    let directory = gate.sandbox.path("policy-tests");
    let ran = gate.countersign(&["config", "test", directory.to_str().unwrap()]);
    assert_eq!(ran.code(), Some(1), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("no violation is unsigned-commit, commit `fix`, ruleset `production`"),
        "{}",
        ran.stdout
    );
    let ran = gate.countersign(&["config", "test", directory.to_str().unwrap(), "--format", "json"]);
    let document = json(&ran);
    assert_eq!((&document["passed"], &document["failed"]), (&2.into(), &1.into()));
}

#[test]
fn every_way_to_fail_says_what_is_wrong() {
    let (gate, _) = gate(POLICY);
    let cases: &[(&str, &str, &str)] = &[
        ("by = \"alice\"", "", "unexpected violation unsigned-commit on refs/heads/main commit `fix`"),
        ("outcome = \"accept\"", "outcome = \"refuse\"", "it expects `refuse` and no violation"),
        ("outcome = \"accept\"", "outcome = \"perhaps\"", "the outcome `perhaps` is none"),
        ("outcome = \"accept\"", "outcome = \"undecided\"", "expected undecided, and the outcome is accept"),
        (
            "by = \"alice\"",
            "by = \"alise\"",
            "nobody in the keyring is called `alise`; did you mean `alice`?",
        ),
        ("by = \"alice\"", "by = \"alice\"\nstatus = \"god\"", "`status` cannot be `god`"),
        ("\"M src/lib.rs\"", "\"R src/lib.rs\"", "is no change"),
        ("repository =", "repositry =", "unknown field `repositry`"),
        ("ref = \"refs/heads/main\"", "ref = \"main\"", "it does not start with `refs/`"),
        ("ref = \"refs/heads/main\"", "ref = \"refs/odd/main\"", "unknown-namespace"),
        ("= \"ruleset\"", "= \"uncovered-accept\"", "expected coverage uncovered-accept of refs/heads/main"),
        ("name = \"fix\"", "name = \"fix\"\nparents = [\"zero\"]", "nothing is called `zero`"),
        ("about = \"a ", "about = a ", "FAILED"),
    ];
    for (from, to, expected) in cases {
        assert!(GOOD.contains(from), "{from}");
        let ran = run(&gate, &[("a.toml", &GOOD.replacen(from, to, 1))]);
        assert_eq!(ran.code(), Some(1), "{to}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(expected), "{to}: no {expected:?} in\n{}", ran.stdout);
        assert!(ran.stdout.ends_with("0 passed, 1 failed\n"), "{}", ran.stdout);
    }
}

#[test]
fn a_directory_without_files_tests_nothing() {
    let (gate, _) = gate(POLICY);
    assert_eq!(run(&gate, &[]).code(), Some(2));
    assert_eq!(gate.countersign(&["config", "test", "/no/such/directory"]).code(), Some(2));
}
