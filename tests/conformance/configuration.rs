//! Conformance cases Z: Configuration and denial of service.

use crate::support::gate::Gate;

/// One enforcing ruleset on `refs/heads/main` with these rules; other refs move freely.
pub(crate) fn ruleset(refuse: &str) -> String {
    format!(
        "[policy]\nuncovered = \"accept\"\n\n[[ruleset]]\nname = \"only\"\nrepositories = [\"**\"]\n\
         refs = [\"refs/heads/main\"]\n\n[ruleset.refuse]\n{refuse}\n"
    )
}

/// A configuration with this rule does not load, and says so in these words; no daemon starts by it.
#[track_caller]
pub(crate) fn assert_does_not_load(refuse: &str, says: &str) {
    let gate = Gate::prepared(&ruleset(&format!("unsigned-commit = true\n{refuse}")).replacen(
        "unsigned-commit = true\nunsigned-commit",
        "unsigned-commit",
        1,
    ));
    let ran = gate.countersign(&["config", "check"]);
    assert_eq!(ran.code(), Some(2), "{refuse} loads\n{}", ran.stdout);
    assert!(ran.stdout.contains(says), "no `{says}` in\n{}", ran.stdout);
    let ran = gate.serve_fails();
    assert_eq!(ran.code(), Some(2), "{}", ran.stderr);
    assert!(!gate.socket().exists());
}
