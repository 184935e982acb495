//! What each command prints, word for word, and its help.

use super::{ANN, BOB, CY, EVE, Place, golden, ssh, ssh_with};
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
    let word = |word: &&str| match *word {
        "json" => "--format json".to_owned(),
        plain if plain.contains(' ') => format!("'{plain}'"),
        plain => plain.to_owned(),
    };
    let line = words.iter().map(word).collect::<Vec<_>>().join(" ");
    let line = line.replace(place.path("").to_str().unwrap(), "PLACE/");
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

/// Commands that change something, each where the ones before it left the keyring; text, then JSON.
fn changes(name: &str, place: &Place, steps: &[&[&str]]) {
    let all: Vec<String> = steps.iter().map(|words| transcript(place, words)).collect();
    let text = all.join("\n");
    // The id of a change is made anew each time.
    let lines = text.lines().map(|line| match line.split_once("\"change\": \"") {
        Some((before, rest)) if rest.len() >= 32 => format!("{before}\"change\": \"ID{}\n", &rest[32..]),
        _ => format!("{line}\n"),
    });
    golden(name, &lines.collect::<String>());
}

/// A public key in a file, below the place.
fn key_file(place: &Place, name: &str, text: &str) -> String {
    let path = place.path(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn add() {
    let place = place();
    let file = key_file(&place, "eve.pub", &format!("{EVE}\n"));
    let add = ["add", "eve", "--email", "eve@example.org", "--group", "sre", "--key", &file];
    changes(
        "add",
        &place,
        &[
            &[&add[..], &["--dry-run"]].concat(),
            &add,
            &add,
            &[&add[..], &["json"]].concat(),
            &["add", "fay", "--key", &file, "json"],
            &["add", "Fay", "--key", &file],
        ],
    );
}

#[test]
fn import() {
    let place = place();
    let lines = format!("eve@example.org namespaces=\"git\" {EVE}\n");
    let file = key_file(&place, "allowed_signers", &lines);
    let broken = key_file(&place, "broken", &format!("{lines}fay@example.org ssh-ed25519 AAAA\n"));
    changes(
        "import",
        &place,
        &[
            &["import", &file, "--as", "allowed-signers", "--dry-run"],
            &["import", &file, "--as", "allowed-signers"],
            &["import", &file, "--as", "allowed-signers", "json"],
            &["import", &broken, "--as", "allowed-signers"],
        ],
    );
}

#[test]
fn export() {
    let place = place();
    changes(
        "export",
        &place,
        &[
            &["export", "--to", "allowed-signers"],
            &["export", "--to", "allowed-signers", "json"],
            &["export", "--to", "argocd-appproject", "--url", "https://git.example.org/*"],
        ],
    );
}

#[test]
fn revoke() {
    let place = place();
    let key = "SHA256:uGYG/4RNZOKx4cxfCBO+rtHnu16yonPwTmN8ZRykyyw";
    let retired = ["revoke", "ann", key, "--reason", "retired", "--note", "new laptop"];
    changes(
        "revoke",
        &place,
        &[
            &[&retired[..], &["--dry-run"]].concat(),
            &retired,
            &[&retired[..], &["json"]].concat(),
            &[
                "revoke",
                "ann",
                key,
                "--reason",
                "compromised",
                "--effective-from",
                "2030-05-01T00:00:00Z",
                "json",
            ],
            &["revoke", "ann", "SHA256:AAAAAAAA", "--reason", "retired"],
            &["revoke", "ca", "--all", "--reason", "superseded"],
        ],
    );
}

#[test]
fn suspend() {
    let place = place();
    let suspend = ["suspend", "ann", "--reason", "laptop lost"];
    changes(
        "suspend",
        &place,
        &[
            &[&suspend[..], &["--dry-run"]].concat(),
            &suspend,
            &[&suspend[..], &["json"]].concat(),
            &["resume", "ann", "--reason", "found", "--dry-run"],
            &["resume", "ann", "--reason", "found"],
            &["resume", "ann", "json"],
            &["suspend", "zoe", "--reason", "left"],
        ],
    );
}

#[test]
fn rotate() {
    let place = place();
    let file = key_file(&place, "new.pub", &format!("{EVE}\n"));
    let rotate = ["rotate", "ann", "--key", &file, "--reason", "new laptop"];
    changes(
        "rotate",
        &place,
        &[
            &[&rotate[..], &["--dry-run"]].concat(),
            &rotate,
            &[&rotate[..], &["json"]].concat(),
            &["rotate", "zoe", "--key", &file],
        ],
    );
}

#[test]
fn refresh() {
    let place = place();
    // Two copies of one certificate: the second one ends later.
    let (old, new) = copies();
    place.write("rel", &super::openpgp_with(old.as_bytes(), ""));
    let file = key_file(&place, "rel.asc", new);
    let refresh = ["refresh", "rel", "--key", &file, "--reason", "prolonged"];
    let other = key_file(&place, "other.pub", &format!("{EVE}\n"));
    changes(
        "refresh",
        &place,
        &[
            &[&refresh[..], &["--dry-run"]].concat(),
            &refresh,
            &refresh,
            &[&refresh[..], &["json"]].concat(),
            &["refresh", "rel", "--key", &other],
        ],
    );
}

/// What `gpg` made for these tests, for a key with no use elsewhere (`tests/golden/keyring/refresh-*.asc`).
fn copies() -> (&'static str, &'static str) {
    (include_str!("../golden/keyring/refresh-old.asc"), include_str!("../golden/keyring/refresh-new.asc"))
}

#[test]
fn rename_remove_and_group() {
    let place = place();
    changes(
        "members",
        &place,
        &[
            &["group", "list"],
            &["group", "add", "night", "ann", "bob", "--dry-run"],
            &["group", "add", "night", "ann", "bob", "--reason", "new rota"],
            &["group", "add", "night", "ann", "json"],
            &["group", "remove", "night", "bob", "json"],
            &["group", "remove", "night", "zoe"],
            &["group", "list", "json"],
            &["rename", "bob", "robert", "--dry-run"],
            &["rename", "bob", "robert", "--reason", "his name"],
            &["rename", "robert", "ann"],
            &["remove", "robert", "--reason", "left", "--dry-run"],
            &["remove", "robert", "--reason", "left"],
            &["remove", "robert", "--reason", "left", "json"],
        ],
    );
}

#[test]
fn status() {
    let place = place();
    place.write("broken", "emails = 7\n");
    changes("status", &place, &[&["status"], &["status", "json"]]);
}

#[test]
fn json_of_what_only_looks() {
    let place = place();
    place.write_in("new", "ann", &format!("groups = [\"sre\"]\n{}", ssh(ANN)));
    let (old, new) = (place.path("keyring"), place.path("new"));
    let ann = "SHA256:uGYG/4RNZOKx4cxfCBO+rtHnu16yonPwTmN8ZRykyyw";
    changes(
        "json",
        &place,
        &[
            &["list", "json"],
            &["show", "ann", "json"],
            &["diff", old.to_str().unwrap(), new.to_str().unwrap(), "json"],
            &["whose", ann, "json"],
        ],
    );
}

#[test]
fn json_of_check() {
    let place = place();
    let mut said = place.run(&["check", "json"]).json();
    // Whoever runs this and is not root is told besides that they can change the keyring.
    said["findings"].as_array_mut().unwrap().retain(|one| one["code"] != "loose-permissions");
    golden("check-json", &format!("{said:#}\n"));
}

/// Every command of `keyring` has a page that the tests above know.
#[test]
fn help_of_every_command() {
    fn collect(command: &clap::Command, path: &str, out: &mut String) {
        for one in command.get_subcommands().filter(|one| one.get_name() != "help") {
            let path = format!("{path} {}", one.get_name());
            let help = one.clone().term_width(100).render_long_help().to_string();
            assert!(help.contains("Example"), "{path}");
            out.push_str(&format!("$ {path} --help\n{help}\n"));
            collect(one, &path, out);
        }
    }
    let mut root = Cli::command();
    root.build();
    let mut seen = String::new();
    collect(root.find_subcommand("keyring").unwrap(), "countersign keyring", &mut seen);
    golden("help", &seen);
}
