//! `keyring show`: what somebody may do, and what comes next.

use super::keys::{DAY, Gpg};
use super::{ANN, BOB, NOW, Place, openpgp_with, ssh, ssh_with, time};
use serde_json::{Value, json};

/// Rulesets of every sort that names people.
pub(crate) const RULES: &str = r#"
[[ruleset]]
name = "production"
repositories = ["infra/**"]
refs = ["refs/heads/main", "!refs/heads/main/wip"]
enforcement = "enforce"

[ruleset.refuse]
untrusted-signer = { allow = ["group:sre"], deny = ["person:eve"] }
missing-ticket = { projects = ["OPS"] }
protected-path = { paths = ["deploy/**"], allow = ["group:deployers"] }

[[ruleset.bypass]]
who = ["group:oncall"]
proof = "pusher"
rules = ["missing-ticket"]
reason = "incidents"
expires = 2030-06-13T00:00:00Z

[[ruleset]]
name = "everybody"
repositories = ["**"]
refs = ["refs/heads/**"]
enforcement = "evaluate"

[ruleset.refuse]
unsigned-commit = true

[[ruleset]]
name = "shape"
repositories = ["**"]
refs = ["~ALL"]
enforcement = "enforce"

[ruleset.refuse]
force-push = true
"#;

fn place() -> Place {
    let place = Place::new();
    place.policy(RULES);
    place.write(
        "ann",
        &format!("groups = [\"sre\", \"deployers\", \"oncall\"]\naccounts = [\"ann\"]\n{}", ssh(ANN)),
    );
    place.write("bob", &format!("groups = [\"oncall\"]\n{}", ssh(BOB)));
    place
}

fn show(place: &Place, name: &str) -> Value {
    let ran = place.run(&["show", name, "json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()
}

fn signs(shown: &Value) -> Vec<(&str, &str)> {
    let all = shown["abilities"].as_array().unwrap().iter();
    all.map(|one| (one["ruleset"].as_str().unwrap(), one["signs"].as_str().unwrap())).collect()
}

#[test]
fn rulesets_that_take_a_signature() {
    let place = place();
    let ann = show(&place, "ann");
    assert_eq!(signs(&ann), [("production", "yes"), ("everybody", "yes"), ("shape", "any")]);
    let production = &ann["abilities"][0];
    assert_eq!(production["by"], "untrusted-signer");
    assert_eq!(production["refs"], json!(["refs/heads/main", "!refs/heads/main/wip"]));
    assert_eq!(production["named_by"][0]["rule"], "protected-path");
    assert_eq!(production["kept_from"], json!([]));
    assert_eq!(production["bypasses"][0]["rules"], json!(["missing-ticket"]));
    assert_eq!(
        (&production["bypasses"][0]["active"], &ann["abilities"][1]["enforcement"]),
        (&json!(true), &json!("evaluate"))
    );
    let bob = show(&place, "bob");
    assert_eq!(signs(&bob), [("production", "no"), ("everybody", "yes"), ("shape", "any")]);
    assert_eq!(bob["abilities"][0]["kept_from"][0]["rule"], "protected-path");
    assert_eq!(bob["abilities"][0]["named_by"], json!([]));
    assert_eq!(bob["abilities"][0]["bypasses"].as_array().unwrap().len(), 1);
}

#[test]
fn who_is_denied_is_not_taken_and_an_agent_has_no_bypass() {
    let place = place();
    place.write("eve", &format!("groups = [\"sre\"]\n{}", ssh(BOB)));
    place.write("bob", &format!("kind = \"agent\"\ngroups = [\"oncall\", \"sre\"]\n{}", ssh(super::CY)));
    assert_eq!(signs(&show(&place, "eve"))[0], ("production", "no"));
    let agent = show(&place, "bob");
    assert_eq!(signs(&agent)[0], ("production", "yes"));
    assert_eq!(agent["abilities"][0]["bypasses"], json!([]));
}

#[test]
fn without_a_configuration_nobody_can_tell() {
    let place = place();
    let dir = place.path("keyring");
    let ran = place.run(&["--keyring", dir.to_str().unwrap(), "show", "ann", "json"]);
    assert_eq!((ran.code, &ran.json()["abilities"]), (0, &Value::Null));
    assert_eq!(ran.json()["keys"][0]["last_used"], "unknown");
}

#[test]
fn what_comes_next_in_its_order() {
    let place = place();
    let gpg = Gpg::new();
    let born = time(NOW).as_second() - 100 * DAY;
    let key = gpg.generate(born, "ed25519", "cert", "200d");
    gpg.run(born, &["--quick-add-key", &key, "ed25519", "sign", "112d"], b"");
    let armor = gpg.run(time(NOW).as_second(), &["--armor", "--export", &key], b"");
    let window = "valid-from = 2030-06-02T00:00:00Z\nvalid-until = 2031-01-01T00:00:00Z\n";
    place.write(
        "ann",
        &format!("groups = [\"oncall\"]\n{}{}", ssh_with(ANN, window), openpgp_with(&armor, "")),
    );
    let shown = show(&place, "ann");
    let next: Vec<(i64, &str)> = shown["next"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["days"].as_i64().unwrap(), one["what"].as_str().unwrap()))
        .collect();
    let words: Vec<(i64, &str)> =
        next.iter().map(|(days, what)| (*days, what.split_once(' ').unwrap().1)).collect();
    let subkey = words[1].1;
    assert!(next[1].1.starts_with("its subkey ") && subkey.ends_with(" expires"), "{next:?}");
    assert_eq!(
        (words[0], words[1].0, words[2], words[3], words[4]),
        (
            (1, "begins to count"),
            12,
            (12, "bypass of missing-ticket in production ends"),
            (100, "expires"),
            (214, "ceases to count (`valid-until`)")
        ),
    );
    let text = place.run(&["show", "ann"]).out;
    assert!(text.contains("  in 12 days   its subkey "), "{text}");
    // What is revoked already has nothing to come.
    let revoked =
        "valid-until = 2031-01-01T00:00:00Z\nrevoked = { at = 2030-01-01T00:00:00Z, reason = \"retired\" }\n";
    place.write("ann", &ssh_with(ANN, revoked));
    assert_eq!(show(&place, "ann")["next"], json!([]));
    let later = "revoked = { at = 2030-06-03T00:00:00Z, reason = \"retired\" }\n";
    place.write("ann", &ssh_with(ANN, later));
    assert!(show(&place, "ann")["next"][0]["what"].as_str().unwrap().ends_with("is revoked"));
}

#[test]
fn roles_suspensions_and_several_windows_are_shown() {
    let place = place();
    place.write(
        "ann",
        &format!(
            "suspended = {{ at = 2030-01-01T00:00:00Z, reason = \"parental leave\" }}\n{}",
            ssh_with(ANN, "roles = [\"tag\"]\n")
        ),
    );
    let text = place.run(&["show", "ann"]).out;
    for line in
        ["suspended  from 2030-01-01T00:00:00Z: parental leave", "roles      tag", "standing   suspended"]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
    let shown = show(&place, "ann");
    assert_eq!(shown["keys"][0]["roles"], json!(["tag"]));
    assert_eq!(shown["suspended"]["reason"], "parental leave");
    assert_eq!(place.run(&["show", "an"]).code, 1);
}
