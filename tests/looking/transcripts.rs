//! What each command prints, word for word, and its help.

use super::{ANN, BOB, CY, Place, golden, ssh, ssh_with};
use clap::CommandFactory;
use countersign::cli::Cli;

fn place() -> Place {
    let place = Place::new();
    place.policy(super::abilities::RULES);
    let about = "emails = [\"ann@example.org\"]\ngroups = [\"sre\", \"deployers\", \"oncall\"]\naccounts = [\"gitolite:ann\"]\n";
    place.write("ann", &format!("{about}{}", ssh_with(ANN, "valid-until = 2030-06-13T12:00:00Z\n")));
    let revoked = "revoked = { at = 2030-01-01T00:00:00Z, reason = \"retired\" }\n";
    place.write("bob", &format!("kind = \"bot\"\ngroups = [\"chess\"]\n{}", ssh_with(BOB, revoked)));
    place.write("ca", &format!("\n[[authority]]\nssh = \"{CY}\"\nprincipals = [\"*@example.org\"]\n"));
    place
}

/// A command and what it says, as a person sees it.
fn transcript(place: &Place, words: &[&str]) -> String {
    let ran = place.run(words);
    let line = words.join(" ").replace(place.path("").to_str().unwrap(), "PLACE/");
    // What depends on who runs the tests.
    let kept = |text: &str| -> String {
        let lines: Vec<&str> = text.lines().collect();
        let own = |at: usize| lines[at].contains("the account that runs this can change");
        let kept = (0..lines.len()).filter(|at| !(own(*at) || *at > 0 && own(at - 1)));
        kept.map(|at| format!("{}\n", lines[at])).collect()
    };
    let (out, err) = (ran.out, kept(&ran.err));
    format!("$ countersign keyring {line}\n{out}{err}[exit {}]\n", ran.code)
}

#[test]
fn list() {
    let place = place();
    let all = [
        transcript(&place, &["list"]),
        transcript(&place, &["list", "--expiring", "30d"]),
        transcript(&place, &["list", "--revoked"]),
        transcript(&place, &["list", "--never-used"]),
    ];
    golden("list", &all.join("\n"));
}

#[test]
fn show() {
    let place = place();
    golden("show", &[transcript(&place, &["show", "ann"]), transcript(&place, &["show", "anne"])].join("\n"));
}

#[test]
fn check() {
    let place = place();
    let mut all = transcript(&place, &["check"]);
    place.write("eve", &ssh(ANN));
    all.push_str(&format!("\n{}", transcript(&place, &["check"])));
    // Whoever runs this and is not root is told besides that they can change the keyring.
    let mut blocks: Vec<&str> = all.split("\n\n").collect();
    blocks.retain(|block| !block.contains("[loose-permissions]"));
    let lines = blocks
        .join("\n\n")
        .lines()
        .map(|line| match line.split_once(" warnings, ") {
            Some((counts, _)) => format!("{counts} warnings, NOTES\n"),
            None => format!("{line}\n"),
        })
        .collect::<String>();
    golden("check", &lines);
}

#[test]
fn diff() {
    let place = place();
    place.write_in("new", "ann", &format!("groups = [\"sre\"]\n{}", ssh(ANN)));
    place.write_in("new", "bob", &format!("kind = \"bot\"\ngroups = [\"sre\"]\n{}", ssh(BOB)));
    let (old, new) = (place.path("keyring"), place.path("new"));
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    golden(
        "diff",
        &[transcript(&place, &["diff", old, new]), transcript(&place, &["diff", new, new])].join("\n"),
    );
}

#[test]
fn whose() {
    let place = place();
    let ann = "SHA256:uNiVztksCsDhcc0u9e8BrUQXVUpKZIDTMczCvj3tD2s";
    let file = place.path("bob.pub");
    std::fs::write(&file, format!("{BOB}\n")).unwrap();
    let all = [
        transcript(&place, &["whose", file.to_str().unwrap()]),
        transcript(&place, &["whose", ann]),
        transcript(&place, &["whose", "DEADBEEF"]),
    ];
    golden("whose", &all.join("\n"));
}

#[test]
fn edits_of_a_keyring_that_follows_a_ref() {
    let place = place();
    let rules = super::abilities::RULES;
    place.policy(&format!(
        "{rules}\n[keyring.source]\nrepository = \"infra/trust\"\nref = \"refs/heads/main\"\npath = \"keyring\"\n\
         signers = [\"group:sre\"]\n"
    ));
    let all = [
        transcript(&place, &["group", "add", "oncall", "bob"]),
        transcript(&place, &["group", "add", "oncall", "bob", "--local"]),
        transcript(
            &place,
            &["group", "add", "oncall", "bob", "--dry-run", "--local", "--reason", "recovery"],
        ),
    ];
    golden("source", &all.join("\n"));
}

#[test]
fn help_teaches_with_an_example() {
    let mut root = Cli::command();
    root.build();
    let keyring = root.find_subcommand("keyring").unwrap();
    let mut seen = String::new();
    for name in ["list", "show", "check", "diff", "whose", "source"] {
        let mut command = keyring.find_subcommand(name).unwrap().clone().term_width(100);
        let help = command.render_long_help().to_string();
        assert!(help.contains("Example"), "{name}");
        assert!(help.contains("Exits 0"), "{name}");
        seen.push_str(&format!("$ countersign keyring {name} --help\n{help}\n"));
    }
    golden("help", &seen);
}
