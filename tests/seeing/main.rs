//! Commands that show the policy, run as people run them: which rules judge a ref and why, who may break them,
//! what a configuration may say, and whether it does what was meant.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "../support/mod.rs"]
mod support;

mod effective;
mod explain;
mod fixtures;
mod import;
mod replay;
mod schema;

use crate::support::gate::Gate;
use crate::support::sandbox::Ran;
use crate::support::signers::Signer;
use serde_json::Value;

/// What these tests look at: a ruleset with a bypass, one under evaluation with an exclusion, one for somebody's
/// pushes only.
const POLICY: &str = r#"
[policy]
uncovered = "refuse"

[policy.defaults]
ref-name = { allow = ["refs/heads/**", "refs/tags/v*"] }

[[ruleset]]
name = "production"
repositories = ["infra/**"]
refs = ["~DEFAULT", "refs/heads/release/**"]

[ruleset.refuse]
unsigned-commit = true
force-push = { help = "ask #platform" }
missing-ticket = { projects = ["OPS"] }

[[ruleset.bypass]]
who = ["group:oncall"]
proof = "pusher"
rules = ["missing-ticket"]
refs = ["~DEFAULT"]
reason = "an incident cannot wait"
expires = 2999-01-01T00:00:00Z

[[ruleset.bypass]]
who = ["person:bob"]
proof = "key"
rules = ["missing-ticket"]
reason = "the migration of 2020"
expires = 2020-12-31T00:00:00Z

[[ruleset]]
name = "trial"
repositories = ["**"]
refs = ["refs/heads/**", "!refs/heads/wip/**"]
enforcement = "evaluate"

[ruleset.refuse]
untrusted-signer = { allow = ["group:sre"] }

[[ruleset]]
name = "robots"
repositories = ["**"]
refs = ["refs/heads/**"]
actors = ["kind:bot"]

[ruleset.refuse]
ref-deletion = true

[[ruleset]]
name = "elsewhere"
repositories = ["web/*"]
refs = ["~ALL"]

[ruleset.refuse]
ref-creation = true

[[ruleset]]
name = "resting"
repositories = ["**"]
refs = ["~ALL"]
enforcement = "off"

[ruleset.refuse]
ref-creation = true
"#;

/// A gate that decides nothing, with alice (sre), who signs, and bob (oncall) in its keyring.
fn gate(policy: &str) -> (Gate, Signer) {
    let gate = Gate::prepared(policy);
    "server = \"gitolite\"".clone_into(&mut gate.repository_keys.borrow_mut());
    gate.configure(policy);
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    let bob = Signer::ssh(&gate.sandbox, "bob", &["ed25519"]);
    gate.trust(&alice, "sre");
    gate.trust(&bob, "oncall");
    (gate, alice)
}

/// What a command prints as JSON.
fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}\n{}\n{}", ran.stdout, ran.stderr))
}

/// `PART:LINE:` of a policy within the configuration of a gate.
fn place(gate: &Gate, line: &str) -> String {
    let text = std::fs::read_to_string(gate.config()).unwrap();
    let at = text.lines().position(|one| one == line).unwrap_or_else(|| panic!("no line {line}"));
    format!("{}:{}:", gate.config().display(), at + 1)
}

/// An element of a list by its name.
fn named<'v>(list: &'v Value, key: &str, name: &str) -> &'v Value {
    let found = list.as_array().unwrap().iter().find(|one| one[key] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list:#}"))
}
