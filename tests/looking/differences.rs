//! `keyring diff`: what changed in meaning, and who gains and loses what.

use super::keys::{DAY, Gpg};
use super::{ANN, BOB, CY, NOW, Place, Ran, openpgp_with, ssh, ssh_with, time};
use serde_json::{Value, json};
use std::fs;

fn diff(place: &Place, more: &[&str]) -> Ran {
    let (old, new) = (place.path("old"), place.path("new"));
    place.run(&[&["diff", old.to_str().unwrap(), new.to_str().unwrap()], more].concat())
}

/// One principal, before and after; gives what changed: the words, and what was and is there.
fn changes(old: &str, new: &str) -> Vec<(String, Value, Value)> {
    let place = Place::new();
    place.write_in("old", "ann", old);
    place.write_in("new", "ann", new);
    let ran = diff(&place, &["json"]);
    let json = ran.json();
    let all = json["changes"].as_array().unwrap();
    assert_eq!(ran.code, u8::from(!all.is_empty()), "{ran:?}");
    assert_eq!(json["same"], all.is_empty());
    all.iter()
        .map(|one| (one["what"].as_str().unwrap().to_owned(), one["old"].clone(), one["new"].clone()))
        .collect()
}

fn words(old: &str, new: &str) -> Vec<String> {
    changes(old, new).into_iter().map(|(what, ..)| what).collect()
}

#[test]
fn spelling_order_and_comments_are_no_difference() {
    let old = format!("groups = [\"a\", \"b\"]\nemails = [\"a@b.c\"]\n{}{}", ssh(ANN), ssh(BOB));
    let new = format!(
        "# a comment\nkind = \"person\"\nemails = [ 'a@b.c' ]\ngroups = [\"b\", \"a\"]\n{}{}",
        ssh_with(&format!("{BOB} another comment"), "roles = [\"push\", \"tag\", \"commit\"]\n"),
        ssh(ANN)
    );
    assert!(words(&old, &new).is_empty());
    let (utc, offset) = ("valid-until = 2031-01-01T00:00:00Z\n", "valid-until = 2031-01-01T02:00:00+02:00\n");
    assert!(words(&ssh_with(ANN, utc), &ssh_with(ANN, offset)).is_empty());
}

#[test]
fn each_difference_has_its_word() {
    let plain = ssh(ANN);
    let cases: &[(&str, &str)] = &[
        ("kind = \"bot\"\n", "kind-changed"),
        ("emails = [\"a@b.c\"]\n", "email-added"),
        ("groups = [\"sre\"]\n", "group-added"),
        ("accounts = [\"ann\"]\n", "account-added"),
        ("suspended = { at = 2030-01-01T00:00:00Z, reason = \"x\" }\n", "suspended"),
    ];
    for (head, word) in cases {
        assert_eq!(words(&plain, &format!("{head}{plain}")), [*word]);
        let back = word.replace("-added", "-removed").replace("suspended", "resumed");
        assert_eq!(words(&format!("{head}{plain}"), &plain), [back]);
    }
    let revoked = "revoked = { at = 2030-01-01T00:00:00Z, reason = \"retired\" }\n";
    for (more, word, back) in [
        ("valid-until = 2031-01-01T00:00:00Z\n", "window-changed", "window-changed"),
        ("roles = [\"tag\"]\n", "roles-changed", "roles-changed"),
        (revoked, "revoked", "revocation-removed"),
    ] {
        assert_eq!(words(&plain, &ssh_with(ANN, more)), [word]);
        assert_eq!(words(&ssh_with(ANN, more), &plain), [back]);
    }
    let worse = revoked.replace("retired", "compromised");
    assert_eq!(words(&ssh_with(ANN, revoked), &ssh_with(ANN, &worse)), ["revocation-changed"]);
    let both = format!("{plain}{}", ssh(BOB));
    assert_eq!(words(&plain, &both), ["key-added"]);
    assert_eq!(words(&both, &plain), ["key-removed"]);
    assert_eq!(words(&plain, &format!("{plain}{}", ssh_with(BOB, revoked))), ["key-added", "revoked"]);
}

#[test]
fn windows_say_what_they_were() {
    let until = |end: &str| ssh_with(ANN, &format!("valid-until = {end}\n"));
    let seen = changes(&until("2031-01-01T00:00:00Z"), &until("2032-01-01T00:00:00Z"));
    let wanted = (
        "window-changed".to_owned(),
        json!("until 2031-01-01T00:00:00Z"),
        json!("until 2032-01-01T00:00:00Z"),
    );
    assert_eq!(seen, [wanted]);
}

#[test]
fn people_keys_and_authorities_come_go_and_move() {
    let place = Place::new();
    place.write_in("old", "ann", &ssh(ANN));
    place.write_in("old", "bob", &ssh(BOB));
    place.write_in("new", "bob", "accounts = [\"bob\"]\n");
    place.write_in("new", "cy", &ssh(BOB));
    place.write_in(
        "new",
        "ca",
        &format!("\n[[authority]]\nssh = \"{CY}\"\nprincipals = [\"*@example.org\"]\n"),
    );
    let json = diff(&place, &["json"]).json();
    let mut all: Vec<(String, String)> = json["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let word = |name: &str| one[name].as_str().unwrap_or("-").to_owned();
            (word("principal"), word("what"))
        })
        .collect();
    all.sort();
    let wanted = [
        ("-", "authority-added"),
        ("ann", "key-removed"),
        ("ann", "principal-removed"),
        ("bob", "account-added"),
        ("ca", "principal-added"),
        ("cy", "key-moved"),
        ("cy", "principal-added"),
    ];
    assert_eq!(all, wanted.map(|(who, what)| (who.to_owned(), what.to_owned())));
}

#[test]
fn a_newer_copy_of_a_certificate() {
    let gpg = Gpg::new();
    let now = time(NOW).as_second();
    let key = gpg.generate(now - 100 * DAY, "ed25519", "sign,cert", "110d");
    let export = || openpgp_with(&gpg.run(now, &["--armor", "--export", &key], b""), "");
    let first = export();
    gpg.run(now - DAY, &["--quick-set-expire", &key, "2y"], b"");
    let longer = export();
    assert_eq!(words(&first, &longer), ["certificate-changed", "subkey-changed"]);
    gpg.run(now - DAY, &["--quick-add-key", &key, "ed25519", "sign", "1y"], b"");
    assert_eq!(words(&longer, &export()), ["subkey-added"]);
    assert!(words(&first, &first).is_empty());
}

#[test]
fn who_gains_and_who_loses_by_the_rulesets() {
    let place = Place::new();
    place.policy(super::abilities::RULES);
    place.write_in("old", "ann", &format!("groups = [\"sre\"]\n{}", ssh(ANN)));
    place.write_in("old", "bob", &format!("groups = [\"oncall\"]\n{}", ssh(BOB)));
    // Ann's only key is revoked, so that she can sign nowhere; bob joins.
    let revoked = "revoked = { at = 2030-01-01T00:00:00Z, reason = \"retired\" }\n";
    place.write_in("new", "ann", &format!("groups = [\"sre\"]\n{}", ssh_with(ANN, revoked)));
    place.write_in("new", "bob", &format!("groups = [\"sre\", \"deployers\"]\n{}", ssh(BOB)));
    let ran = diff(&place, &["json"]);
    let json = ran.json();
    let told = |name: &str| -> Vec<String> {
        let word = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
        let all = json[name].as_array().unwrap().iter();
        all.map(|one| {
            let what = word(one, "what");
            let what = what.split(':').next().unwrap_or_default();
            format!("{} {} {what}", word(one, "principal"), word(one, "ruleset"))
        })
        .collect()
    };
    assert_eq!(
        told("gained"),
        ["bob production protected-path", "bob production sign commits", "bob production sign tags"]
    );
    assert_eq!(
        told("lost"),
        [
            "ann everybody sign commits",
            "ann everybody sign tags",
            "ann production sign commits",
            "ann production sign tags",
            "bob production bypass missing-ticket"
        ]
    );
    let text = diff(&place, &[]).out;
    assert!(text.contains("bob gains, by production: sign commits\n"), "{text}");
    assert!(text.contains("ann loses, by production: sign commits\n"), "{text}");
}

#[test]
fn a_role_or_a_suspension_takes_something_away() {
    let place = Place::new();
    place.policy(super::abilities::RULES);
    let lost = |new: &str| -> Vec<String> {
        place.write_in("old", "ann", &format!("groups = [\"sre\", \"oncall\"]\n{}", ssh(ANN)));
        place.write_in("new", "ann", &format!("groups = [\"sre\", \"oncall\"]\n{new}"));
        let json = diff(&place, &["json"]).json();
        assert_eq!(json["gained"], json!([]));
        let all = json["lost"].as_array().unwrap().iter();
        all.filter(|one| one["ruleset"] == "production")
            .map(|one| one["what"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(lost(&ssh_with(ANN, "roles = [\"tag\"]\n")), ["sign commits"]);
    assert_eq!(lost(""), ["sign commits", "sign tags"], "the server's word needs no key");
    let suspended = "suspended = { at = 2030-01-01T00:00:00Z, reason = \"x\" }\n";
    let all = ["bypass missing-ticket", "sign commits", "sign tags"];
    assert_eq!(lost(&format!("{suspended}{}", ssh(ANN))), all);
}

#[test]
fn without_a_configuration_the_rulesets_are_unknown_and_a_broken_one_is_an_error() {
    let place = Place::new();
    place.write_in("old", "ann", &ssh(ANN));
    place.write_in("new", "ann", &ssh(BOB));
    fs::write(place.path("countersign.toml"), "nonsense").unwrap();
    assert_eq!(diff(&place, &[]).code, 2);
    fs::remove_file(place.path("countersign.toml")).unwrap();
    let ran = diff(&place, &["json"]);
    assert_eq!((ran.code, &ran.json()["gained"]), (1, &Value::Null));
    place.write_in("new", "bob", "nonsense = 1\n");
    assert_eq!(diff(&place, &[]).code, 2);
}
