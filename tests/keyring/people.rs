//! Who is there, who comes and who goes: accounts without keys, gravestones, addresses.

use super::ANN;
use super::edits::{fingerprint, json, refuses, says, text, two};

#[test]
fn words_are_added_without_a_key() {
    let ring = two();
    says(
        &ring,
        &["add", "ann", "--account", "gitlab:ann", "--email", "ann@example.org", "--group", "sre"],
        "updated `ann`\nwrote DIR/ann.toml\n",
    );
    let written = text(&ring, "ann.toml");
    assert!(written.contains("# since 2020") && written.contains("accounts = [\"gitlab:ann\"]"), "{written}");
    says(&ring, &["add", "ann", "--account", "gitlab:ann"], "`ann` has all of that already; nothing to do\n");
    let done = json(&ring, &["add", "ann", "--account", "gitea:#17"]);
    assert_eq!((&done["changed"], &done["key_added"]), (&true.into(), &false.into()));
    assert!(done["fingerprint"].is_null() && done["format"].is_null(), "{done}");
    refuses(&ring, &["add", "ann"], 2, "give `--key`, or something else");
    refuses(&ring, &["add", "ann", "--email", "nowhere"], 2, "is no address");
    refuses(&ring, &["add", "bob", "--account", "ann"], 2, "overlaps with `gitlab:ann`");
    refuses(&ring, &["add", "ann", "--kind", "bot", "--group", "x"], 2, "`ann` is a person, not a bot");
    // A mistyped name makes nobody.
    refuses(
        &ring,
        &["add", "an", "--account", "x"],
        1,
        "no file of `an` in the keyring (did you mean `ann`?)",
    );
    says(
        &ring,
        &["add", "deploy", "--kind", "bot", "--account", "deploy"],
        "created `deploy`\nwrote DIR/deploy.toml\n",
    );
    assert_eq!(ring.load().principal("deploy").unwrap().kind.name(), "bot");
    let before = fingerprint(ANN);
    assert_eq!(ring.load().keys().iter().filter(|key| key.material.fingerprint() == before).count(), 1);
}
