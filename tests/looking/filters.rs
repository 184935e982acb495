//! `keyring list`: which keys it lists.

use super::keys::{DAY, Gpg, Ssh};
use super::{ANN, BOB, CY, NOW, Place, openpgp_with, ssh, ssh_with, time};

/// Whose keys are listed, authorities by their first pattern.
fn listed(place: &Place, words: &[&str]) -> Vec<String> {
    let ran = place.run(&[&["list"], words, &["json"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    let json = ran.json();
    let keys =
        json["keys"].as_array().unwrap().iter().map(|one| one["principal"].as_str().unwrap().to_owned());
    let authorities = json["authorities"].as_array().unwrap().iter();
    keys.chain(authorities.map(|one| one["scopes"][0]["principals"][0].as_str().unwrap().to_owned()))
        .collect()
}

fn place() -> Place {
    let place = Place::new();
    place.write("ann", &format!("groups = [\"sre\", \"web\"]\n{}", ssh(ANN)));
    let ends = "valid-until = 2030-06-20T00:00:00Z\n";
    place.write("bot", &format!("kind = \"bot\"\ngroups = [\"web\"]\n{}", ssh_with(BOB, ends)));
    let authority =
        "principals = [\"*@example.org\"]\ngroups = [\"staff\"]\nvalid-until = 2030-06-10T00:00:00Z\n";
    place.write("ca", &format!("\n[[authority]]\nssh = \"{CY}\"\n{authority}"));
    let gpg = Gpg::new();
    let born = time(NOW).as_second() - 100 * DAY;
    let key = gpg.generate(born, "ed25519", "sign,cert", "never");
    let armor = gpg.run(time(NOW).as_second(), &["--armor", "--export", &key], b"");
    place.write("dan", &format!("kind = \"agent\"\n{}", openpgp_with(&armor, "")));
    let revoked = "revoked = { at = 2031-01-01T00:00:00Z, reason = \"retired\" }\n";
    let tool = Ssh::new();
    let public = |name: &str, bits: &str| Ssh::public(&tool.generate(name, "rsa", bits)).trim().to_owned();
    place.write("eve", &format!("{}{}", ssh_with(&public("a", "3072"), revoked), ssh(&public("b", "2048"))));
    place.write("frank", &ssh(&public("c", "1024")));
    place
}

#[test]
fn filters_hold_together() {
    let place = place();
    let all = ["ann", "bot", "dan", "eve", "eve", "frank", "*@example.org"];
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &all),
        (&["--group", "web"], &["ann", "bot"]),
        (&["--group", "web", "--group", "staff"], &["ann", "bot", "*@example.org"]),
        (&["--group", "nobody"], &[]),
        (&["--kind", "bot"], &["bot"]),
        (&["--kind", "bot", "--kind", "agent"], &["bot", "dan"]),
        (&["--kind", "bot", "--group", "sre"], &[]),
        (&["--format-of", "openpgp"], &["dan"]),
        (&["--format-of", "authority"], &["*@example.org"]),
        (&["--format-of", "ssh", "--kind", "person"], &["ann", "eve", "eve", "frank"]),
        (&["--expiring", "30d"], &["bot", "*@example.org"]),
        (&["--expiring", "19d"], &["bot", "*@example.org"]),
        (&["--expiring", "18d"], &["*@example.org"]),
        (&["--expiring", "2w"], &["*@example.org"]),
        (&["--expiring", "216h"], &["*@example.org"]),
        (&["--expiring", "215h"], &[]),
        (&["--weak"], &["eve", "frank"]),
        (&["--revoked"], &["eve"]),
        (&["--revoked", "--weak"], &[]),
    ];
    for (words, wanted) in cases {
        assert_eq!(listed(&place, words), *wanted, "{words:?}");
    }
    let ran = place.run(&["list", "--group", "nobody"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "no key is like that\n"));
}

#[test]
fn what_has_ended_does_not_end_soon() {
    let place = Place::new();
    place.write("ann", &ssh_with(ANN, "valid-until = 2030-05-31T00:00:00Z\n"));
    let revoked =
        "valid-until = 2030-06-02T00:00:00Z\nrevoked = { at = 2030-01-01T00:00:00Z, reason = \"retired\" }\n";
    place.write("bob", &ssh_with(BOB, revoked));
    assert!(listed(&place, &["--expiring", "30d"]).is_empty());
}

#[test]
fn spans_are_a_number_and_a_unit() {
    use countersign::cli::keyring::Within;
    for (text, seconds) in [("12h", 43_200), ("30d", 30 * 86_400), ("2w", 14 * 86_400), ("0d", 0)] {
        assert_eq!(text.parse::<Within>(), Ok(Within { seconds }));
    }
    for wrong in ["", "30", "d", "1.5d", "-1d", "5m", "30 d", "4294967296d", "١d"] {
        assert!(wrong.parse::<Within>().is_err(), "{wrong}");
    }
}
