//! A test for each thing that `keyring check` finds.

use super::keys::{DAY, Gpg, Ssh};
use super::{ANN, BOB, CY, Place, Ran, openpgp_with, ssh, ssh_with, time};
use countersign::keyring::lint::CODES;

/// When the keys of these tests are looked at: what GnuPG makes is made before.
const NOW: &str = "2025-06-01T00:00:00Z";

fn now() -> i64 {
    time(NOW).as_second()
}

/// Codes with their severities, in the order of output; what depends on who runs the tests is left out.
fn found(ran: &Ran) -> Vec<(String, String)> {
    let json = ran.json();
    let findings = json["findings"].as_array().unwrap().clone();
    for one in &findings {
        for field in ["message", "remedy"] {
            assert!(one[field].as_str().is_some_and(|text| !text.is_empty()), "{one}");
        }
        assert!(one["place"]["file"].as_str().is_some(), "it has a place: {one}");
    }
    for one in &findings {
        assert!(CODES.iter().any(|code| one["code"] == *code), "{one}");
    }
    let word = |one: &serde_json::Value, field: &str| one[field].as_str().unwrap().to_owned();
    let all = findings.iter().map(|one| (word(one, "code"), word(one, "severity")));
    all.filter(|(code, _)| code != "loose-permissions").collect()
}

fn check(place: &Place) -> Ran {
    place.at(NOW, &["check", "json"])
}

#[track_caller]
fn assert_found(place: &Place, wanted: &[(&str, &str)], code: u8) -> Ran {
    let ran = check(place);
    let wanted: Vec<(String, String)> =
        wanted.iter().map(|(code, severity)| ((*code).to_owned(), (*severity).to_owned())).collect();
    assert_eq!(found(&ran), wanted, "{}", ran.out);
    assert_eq!(ran.code, code);
    assert_eq!(ran.json()["clean"], code == 0);
    ran
}

#[test]
fn every_code_is_told_of_and_tested() {
    let (page, tests) = (include_str!("../../docs/keyring.md"), include_str!("lints.rs"));
    let own = include_str!("../../src/keyring/lint.rs").split("mod tests").nth(1).unwrap();
    for code in CODES {
        assert!(page.contains(&format!("`{code}`")), "docs/keyring.md lacks {code}");
        assert!(format!("{tests}{own}").contains(&format!("\"{code}\"")), "no test has {code}");
    }
}

#[test]
fn what_loading_tells_is_told() {
    let place = Place::new();
    place.write("ann", &ssh(ANN));
    let file = place.path("allowed_signers");
    std::fs::write(&file, format!("bob namespaces=\"file\" {BOB}\n")).unwrap();
    super::chmod(&file, 0o644);
    let config = std::fs::read_to_string(place.path("countersign.toml")).unwrap();
    let named = format!("[[keyring.allowed-signers]]\npath = \"{}\"\n\n[repositories]", file.display());
    std::fs::write(place.path("countersign.toml"), config.replace("[repositories]", &named)).unwrap();
    assert_found(&place, &[("load-warning", "warning")], 1);
}

#[test]
fn a_clean_keyring_has_nothing() {
    let place = Place::new();
    place.write("ann", &ssh(ANN));
    let ran = assert_found(&place, &[], 0);
    assert_eq!(
        (ran.json()["principals"].as_u64(), ran.json()["rulesets_checked"].as_bool()),
        (Some(1), Some(true))
    );
    let text = place.at(NOW, &["check"]).out;
    assert!(text.lines().last().unwrap().starts_with("1 principal, 1 key: "), "{text}");
}

#[test]
fn keys_that_end_by_how_soon() {
    let place = Place::new();
    for (until, wanted) in [
        ("2025-07-01T00:00:01Z", None),
        ("2025-07-01T00:00:00Z", Some(("expires-in-30-days", "warning"))),
        ("2025-06-08T00:00:01Z", Some(("expires-in-30-days", "warning"))),
        ("2025-06-08T00:00:00Z", Some(("expires-in-7-days", "error"))),
        ("2025-06-01T00:00:01Z", Some(("expires-in-7-days", "error"))),
    ] {
        place.write("ann", &ssh_with(ANN, &format!("valid-until = {until}\n")));
        let wanted: Vec<_> = wanted.into_iter().collect();
        assert_found(&place, &wanted, u8::from(!wanted.is_empty()));
    }
    place.write("ann", &ssh_with(ANN, "valid-until = 2025-06-01T00:00:00Z\n"));
    assert_found(&place, &[("no-usable-key", "warning"), ("expired", "warning")], 1);
}

#[test]
fn a_key_with_a_successor_may_end() {
    let place = Place::new();
    let old = ssh_with(ANN, "valid-until = 2025-06-03T00:00:00Z\n");
    place.write("ann", &format!("{old}{}", ssh(BOB)));
    assert_found(&place, &[("expires-in-7-days", "note")], 0);
    assert_eq!(place.at(NOW, &["check", "--strict", "json"]).code, 1, "notes count with --strict");
    place.write("ann", &format!("{}{}", ssh_with(ANN, "valid-until = 2025-01-01T00:00:00Z\n"), ssh(BOB)));
    assert_found(&place, &[("expired", "note")], 0);
    // A successor that ends as well is none.
    let next = ssh_with(BOB, "valid-until = 2025-06-20T00:00:00Z\n");
    place.write("ann", &format!("{old}{next}"));
    assert_found(&place, &[("expires-in-7-days", "error"), ("expires-in-30-days", "warning")], 1);
    // What is revoked has no end to tell.
    let revoked =
        "valid-until = 2025-06-03T00:00:00Z\nrevoked = { at = 2025-01-01T00:00:00Z, reason = \"retired\" }\n";
    place.write("ann", &format!("{}{}", ssh_with(ANN, revoked), ssh(BOB)));
    assert_found(&place, &[], 0);
}

#[test]
fn weak_ssh_keys() {
    let place = Place::new();
    let tool = Ssh::new();
    let public = |name: &str, bits: &str| Ssh::public(&tool.generate(name, "rsa", bits)).trim().to_owned();
    place.write("ann", &ssh(&public("a", "1024")));
    assert_found(&place, &[("no-usable-key", "warning"), ("weak-key", "error")], 1);
    place.write("ann", &ssh(&public("b", "2048")));
    assert_found(&place, &[("weak-rsa", "warning")], 1);
    place.write("ann", &ssh(&public("c", "3072")));
    assert_found(&place, &[], 0);
}

#[test]
fn weak_openpgp_keys() {
    let place = Place::new();
    let gpg = Gpg::new();
    let key = gpg.generate(now() - 100 * DAY, "rsa2048", "sign,cert", "never");
    place.write("ann", &openpgp_with(&gpg.export(&key), ""));
    assert_found(&place, &[("weak-rsa", "warning")], 1);
    let key = gpg.generate(now() - 100 * DAY, "dsa2048", "sign,cert", "never");
    place.write("ann", &openpgp_with(&gpg.export(&key), ""));
    assert_found(&place, &[("no-usable-key", "warning"), ("weak-key", "error")], 1);
}

#[test]
fn self_signatures_by_sha_1() {
    let place = Place::new();
    let gpg = Gpg::new();
    let id = "Test Key SHA-1 (not a real one) <test@example.org>";
    let args = ["--cert-digest-algo", "SHA1", "--quick-gen-key", id, "ed25519", "sign,cert", "never"];
    gpg.run(now() - 100 * DAY, &args, b"");
    let key = gpg.fingerprints().remove(0);
    place.write("ann", &openpgp_with(&gpg.export(&key), ""));
    let wanted = [("no-usable-key", "warning"), ("sha1-self-signature", "warning"), ("weak-key", "error")];
    assert_found(&place, &wanted, 1);
    // Another one by SHA-256 makes it good, and the old one stays a matter for its owner.
    gpg.run(now() - DAY, &["--cert-digest-algo", "SHA256", "--quick-set-expire", &key, "10y"], b"");
    place.write("ann", &openpgp_with(&gpg.export(&key), ""));
    let seen = found(&check(&place));
    assert!(!seen.iter().any(|(code, _)| code == "weak-key"), "{seen:?}");
}

#[test]
fn a_certificate_that_cannot_sign() {
    let place = Place::new();
    let gpg = Gpg::new();
    let key = gpg.generate(now() - 100 * DAY, "ed25519", "cert", "never");
    gpg.run(now() - 100 * DAY, &["--quick-add-key", &key, "cv25519", "encr", "never"], b"");
    place.write("ann", &openpgp_with(&gpg.export(&key), ""));
    assert_found(&place, &[("no-usable-key", "warning"), ("cannot-sign", "error")], 1);
}

#[test]
fn a_certificate_about_to_lose_its_signing_subkey() {
    let place = Place::new();
    let gpg = Gpg::new();
    let key = gpg.generate(now() - 100 * DAY, "ed25519", "cert", "never");
    gpg.run(now() - 100 * DAY, &["--quick-add-key", &key, "ed25519", "sign", "120d"], b"");
    place.write("ann", &openpgp_with(&gpg.export(&key), ""));
    let ran = assert_found(&place, &[("signing-subkey-ends", "warning")], 1);
    let message = ran.json()["findings"].as_array().unwrap().last().unwrap()["message"].to_string();
    assert!(message.contains("in 20 days, and the certificate does not end"), "{message}");
    // Another subkey that lasts is enough.
    gpg.run(now() - 100 * DAY, &["--quick-add-key", &key, "ed25519", "sign", "never"], b"");
    place.write("ann", &openpgp_with(&gpg.export(&key), ""));
    assert_found(&place, &[], 0);
    // Where the whole certificate ends, that is what is told.
    let key = gpg.generate(now() - 100 * DAY, "ed25519", "sign,cert", "120d");
    place.write("ann", &openpgp_with(&gpg.export(&key), ""));
    assert_found(&place, &[("expires-in-30-days", "warning")], 1);
}

#[test]
fn windows_that_the_key_does_not_live_in() {
    let place = Place::new();
    let gpg = Gpg::new();
    let key = gpg.generate(now() - 100 * DAY, "ed25519", "sign,cert", "50d");
    place.write("ann", &openpgp_with(&gpg.export(&key), "valid-from = 2025-05-30T00:00:00Z\n"));
    let wanted = [("no-usable-key", "warning"), ("expired", "warning"), ("never-valid", "warning")];
    assert_found(&place, &wanted, 1);
    let key = gpg.generate(now() - 100 * DAY, "ed25519", "sign,cert", "never");
    place.write("ann", &openpgp_with(&gpg.export(&key), "valid-until = 2024-01-01T00:00:00Z\n"));
    assert_found(&place, &wanted, 1);
}

#[test]
fn one_address_of_two() {
    let place = Place::new();
    place.write("ann", &format!("emails = [\"a@example.org\"]\n{}", ssh(ANN)));
    place.write("bob", &format!("emails = [\"A@Example.org\", \"b@example.org\"]\n{}", ssh(BOB)));
    let ran = assert_found(&place, &[("same-email", "warning")], 1);
    assert!(ran.out.contains("`ann` and `bob` are the owners of one address, a@example.org"), "{}", ran.out);
    assert!(ran.out.contains("keyring/bob.toml"), "{}", ran.out);
}

#[test]
fn somebody_whose_keys_are_all_gone() {
    let place = Place::new();
    let revoked = "revoked = { at = 2025-01-01T00:00:00Z, reason = \"retired\" }\n";
    place.write("ann", &ssh_with(ANN, revoked));
    assert_found(&place, &[("no-usable-key", "note")], 0);
    place.write(
        "ann",
        &format!("suspended = {{ at = 2025-01-01T00:00:00Z, reason = \"leave\" }}\n{}", ssh(ANN)),
    );
    assert_found(&place, &[("no-usable-key", "note")], 0);
    // One that has not begun is on its way.
    place.write("ann", &ssh_with(ANN, "valid-from = 2026-01-01T00:00:00Z\n"));
    assert_found(&place, &[], 0);
    place.write("bob", "");
    assert_found(&place, &[("no-key", "warning")], 1);
    place.write("bob", "accounts = [\"bob\"]\n");
    assert_found(&place, &[], 0);
}

#[test]
fn files_that_are_no_principals() {
    let place = Place::new();
    place.write("ann", &ssh(ANN));
    std::fs::write(place.path("keyring/notes.txt"), "x").unwrap();
    assert_found(&place, &[("ignored-file", "warning")], 1);
}

#[test]
fn what_refuses_the_keyring_is_unreadable() {
    let place = Place::new();
    let faults = |wanted: &str| {
        let ran = check(&place);
        assert_eq!(ran.code, 2, "{}", ran.out);
        let json = ran.json();
        assert_eq!((&json["loads"], &json["clean"]), (&false.into(), &false.into()));
        let all = json["faults"].as_array().unwrap();
        assert!(all.iter().any(|one| one["message"].as_str().unwrap().contains(wanted)), "{json:#}");
        assert!(all.iter().all(|one| one["place"]["file"].as_str().is_some()), "{json:#}");
        let ran = place.at(NOW, &["check"]);
        assert!(ran.code == 2 && ran.out.is_empty() && ran.err.contains(wanted), "{ran:?}");
    };
    place.write("ann", &ssh(ANN));
    place.write("bob", &ssh(ANN));
    faults("held by");
    place.write(
        "bob",
        &ssh_with(BOB, "valid-from = 2026-01-01T00:00:00Z\nvalid-until = 2025-01-01T00:00:00Z\n"),
    );
    faults("never valid");
    place.write("bob", &ssh(BOB));
    super::chmod(&place.path("keyring/bob.toml"), 0o666);
    faults("written");
    let nowhere = place.at(NOW, &["--keyring", "/nowhere/at/all", "check", "json"]);
    assert_eq!((nowhere.code, nowhere.json()["loads"].as_bool()), (2, Some(false)));
}

const RULES: &str = r#"
[[ruleset]]
name = "production"
repositories = ["**"]
refs = ["refs/heads/main"]
enforcement = "enforce"

[ruleset.refuse]
untrusted-signer = { allow = ["group:sre"] }
missing-ticket = { projects = ["OPS"] }
"#;

fn bypass(who: &str) -> String {
    format!(
        "{RULES}\n[[ruleset.bypass]]\nwho = [\"{who}\"]\nproof = \"pusher\"\nrules = [\"missing-ticket\"]\n\
         reason = \"incidents\"\nexpires = 2999-01-01T00:00:00Z\n"
    )
}

#[test]
fn groups_that_no_ruleset_names() {
    let place = Place::new();
    place.policy(RULES);
    place.write("ann", &format!("groups = [\"sre\", \"chess\"]\n{}", ssh(ANN)));
    let ran = assert_found(&place, &[("unused-group", "warning")], 1);
    assert!(ran.out.contains("no ruleset names the group `chess`, which has 1 member"), "{}", ran.out);
    let alone = place.at(NOW, &["--keyring", place.path("keyring").to_str().unwrap(), "check", "json"]);
    assert_eq!((alone.code, alone.json()["rulesets_checked"].as_bool()), (0, Some(false)));
    place.policy(&bypass("group:chess"));
    assert_found(&place, &[], 0);
}

#[test]
fn selectors_that_name_nobody() {
    let place = Place::new();
    place.policy(RULES);
    place.write("ann", &ssh(ANN));
    let wanted = [("selector-matches-nobody", "warning"), ("nobody-can-sign", "error")];
    let ran = assert_found(&place, &wanted, 1);
    assert!(ran.out.contains("`group:sre` selects nobody in the keyring"), "{}", ran.out);
    assert!(ran.out.contains("PLACE/countersign.toml"), "{}", ran.out);
    place.write("ann", &format!("groups = [\"sre\"]\n{}", ssh(ANN)));
    place.policy(&bypass("person:bob"));
    let ran = assert_found(&place, &[("selector-matches-nobody", "warning")], 1);
    assert!(ran.out.contains("a bypass of ruleset `production`"), "{}", ran.out);
    // Whom an authority certifies has no file, and is somebody.
    let authority = format!("\n[[authority]]\nssh = \"{CY}\"\nprincipals = [\"bob\"]\ngroups = [\"sre\"]\n");
    place.write("ca", &authority);
    place.write("ann", &ssh(ANN));
    assert_found(&place, &[], 0);
}

#[test]
fn a_bypass_for_an_agent() {
    let place = Place::new();
    place.policy(&bypass("group:oncall"));
    place.write("ann", &format!("groups = [\"sre\", \"oncall\"]\n{}", ssh(ANN)));
    assert_found(&place, &[], 0);
    place.write("robot", &format!("kind = \"agent\"\ngroups = [\"oncall\"]\n{}", ssh(BOB)));
    let ran = assert_found(&place, &[("bypass-for-agent", "warning")], 1);
    assert!(ran.out.contains("is for `robot`, and nothing is waived for an agent"), "{}", ran.out);
}

#[test]
fn an_authority_that_ends() {
    let place = Place::new();
    let authority = format!(
        "\n[[authority]]\nssh = \"{CY}\"\nprincipals = [\"*\"]\nvalid-until = 2025-06-03T00:00:00Z\n"
    );
    place.write("ca", &authority);
    assert_found(&place, &[("expires-in-7-days", "error")], 1);
}

#[test]
fn a_ruleset_that_nobody_can_sign_for() {
    let place = Place::new();
    place.policy(RULES);
    let sre = |more: &str| place.write("ann", &format!("groups = [\"sre\"]\n{}", ssh_with(ANN, more)));
    sre("");
    assert_found(&place, &[], 0);
    sre("valid-until = 2025-01-01T00:00:00Z\n");
    assert!(check(&place).out.contains("nobody can sign for ruleset `production`"));
    sre("roles = [\"push\"]\n");
    assert_found(&place, &[("nobody-can-sign", "error")], 1);
    place.policy(&RULES.replace("enforcement = \"enforce\"", "enforcement = \"evaluate\""));
    assert_found(&place, &[("nobody-can-sign", "warning")], 1);
    place.policy(RULES);
    // An authority that certifies for it is somebody; one that certifies logins is not.
    let ca = |more: &str| {
        let table = format!("\n[[authority]]\nssh = \"{CY}\"\nprincipals = [\"*@example.org\"]\n{more}");
        place.write("ca", &table);
    };
    ca("groups = [\"sre\"]\n");
    assert_found(&place, &[], 0);
    ca("groups = [\"sre\"]\nroles = [\"push\"]\n");
    assert_found(&place, &[("nobody-can-sign", "error")], 1);
    // So it does for members of the group whom it may name.
    let ann = format!(
        "groups = [\"sre\"]\nemails = [\"ann@example.org\"]\n{}",
        ssh_with(ANN, "roles = [\"push\"]\n")
    );
    place.write("ann", &ann);
    ca("");
    assert_found(&place, &[], 0);
}

#[test]
fn removing_the_last_one_says_who_is_missing() {
    let place = Place::new();
    place.policy(RULES);
    place.write("ann", &format!("groups = [\"sre\"]\n{}", ssh(ANN)));
    place.write("bob", &format!("groups = [\"sre\"]\n{}", ssh(BOB)));
    let ran = place.run(&["remove", "ann", "--reason", "left", "json"]);
    assert_eq!((ran.code, ran.json()["warnings"].as_array().unwrap().len()), (0, 0), "{ran:?}");
    let dry = place.run(&["remove", "bob", "--reason", "left", "--dry-run"]);
    assert!(dry.err.contains("nobody can sign for the ruleset `production` now"), "{dry:?}");
    let ran = place.run(&["remove", "bob", "--reason", "left", "json"]);
    let warnings = ran.json()["warnings"].to_string();
    assert!(warnings.contains("nobody is in `sre` now, which ruleset `production`"), "{warnings}");
    assert!(warnings.contains("nobody can sign for the ruleset `production` now"), "{warnings}");
    // What was so before is no news.
    place.write("cy", &ssh(CY));
    let ran = place.run(&["remove", "cy", "--reason", "left", "json"]);
    assert_eq!(ran.json()["warnings"].as_array().unwrap().len(), 0, "{ran:?}");
}
