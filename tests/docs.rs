//! The pages: every command that they show is one that the program takes, and every link leads
//! somewhere.

#![allow(clippy::unwrap_used, clippy::panic)]

use clap::{CommandFactory, Parser};
use countersign::cli::Cli;
use countersign::config;
use countersign::policy::rules;
use std::fs;
use std::path::{Path, PathBuf};

fn pages() -> Vec<(PathBuf, String)> {
    fn collect(directory: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, out);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                out.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    collect(&root.join("docs"), &mut paths);
    paths.extend(["README.md", "tests/cases/README.md"].map(|page| root.join(page)));
    paths.sort();
    let read = |path: PathBuf| fs::read_to_string(&path).ok().map(|text| (path, text));
    paths.into_iter().filter_map(read).collect()
}

/// Command lines in fenced or indented blocks, and in backticks within a line.
fn commands(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in text.lines() {
        let plain = line.trim_start().trim_start_matches("$ ");
        let word = plain.split(' ').next().unwrap_or_default();
        if word == "countersign" || word.ends_with("/countersign") {
            out.push(plain.to_owned());
        }
        // `countersign adopt REPO`: odd pieces between backticks.
        let quoted = line.split('`').skip(1).step_by(2);
        // What the program says to a pusher begins with its name, too.
        for piece in quoted.filter(|piece| piece.starts_with("countersign ") && !piece.contains("this push"))
        {
            out.push(piece.to_owned());
        }
    }
    out
}

/// The words of a shell line, up to a pipe, a comment or an `&`; quotes are taken off.
fn words(command: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut quote = None;
    let mut between = true;
    for c in command.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c.is_ascii_whitespace() => {
                between = true;
                continue;
            }
            None if between && ['|', '&', '#', '>'].contains(&c) => return out,
            _ => {
                if between {
                    out.push(String::new());
                }
                out.last_mut().expect("one was begun").push(c);
            }
        }
        if quote.is_some() && between {
            out.push(String::new());
        }
        between = false;
    }
    out
}

#[test]
fn every_command_shown_is_one_that_the_program_takes() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (path, text) in pages() {
        for command in commands(&text) {
            let words = words(&command);
            // A mere mention of a subcommand, without its arguments, has to name one that exists.
            let result = Cli::try_parse_from(&words);
            let fits = match &result {
                Ok(_) => true,
                Err(error) => matches!(
                    error.kind(),
                    clap::error::ErrorKind::MissingRequiredArgument
                        | clap::error::ErrorKind::DisplayHelp
                        | clap::error::ErrorKind::DisplayVersion
                        | clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                        | clap::error::ErrorKind::MissingSubcommand
                ),
            };
            count += 1;
            if !fits {
                wrong.push(format!("{}: `{command}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "no such commands:\n{}", wrong.join("\n"));
    assert!(count > 30, "only {count} commands found");
}

/// Headings as the anchors that forges make of them.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let line = line.trim_start_matches('#').trim().to_lowercase();
            let kept = line.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for (path, text) in pages() {
        for (at, _) in text.match_indices("](") {
            let rest = &text[at + 2..];
            let target = rest.split(')').next().unwrap_or_default();
            if target.contains("://") || target.contains('\n') {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let page = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let found = match fs::read_to_string(&page) {
                Ok(text) => anchor.is_empty() || anchors(&text).iter().any(|one| one == anchor),
                Err(_) => page.is_dir() && anchor.is_empty(),
            };
            if !found {
                wrong.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
}

/// The TOML that a page shows.
fn examples(text: &str) -> impl Iterator<Item = &str> {
    text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap())
}

/// A whole configuration around what an example shows of one: before it what it does not say itself, and behind
/// it a ruleset where it has none.
fn whole(example: &str) -> String {
    let has = |table: &str| example.lines().any(|line| line.trim_end() == table);
    let mut out = String::new();
    let mut missing = |table: &str, rest: &str| {
        if !has(table) {
            out.push_str(&format!("{table}\n{rest}\n"));
        }
    };
    missing("[daemon]", "socket = \"run/hook.sock\"\nstate = \"state\"");
    missing("[keyring]", "path = \"keyring\"");
    missing("[repositories]", "root = \"repositories\"\nserver = \"gitolite\"");
    missing("[policy]", "uncovered = \"accept\"");
    let ruleset = "[[ruleset]]\nname = \"example\"\nrepositories = [\"**\"]\nrefs = [\"~ALL\"]\nenforcement = \"enforce\"\n";
    if has("[[ruleset]]") {
        out + example
    } else if example.starts_with("[ruleset.") {
        out + ruleset + example
    } else {
        out + example + ruleset + "[ruleset.refuse]\nunsigned-commit = true\n"
    }
}

#[test]
fn every_rule_that_a_page_shows_loads() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let own = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    own(place.path(), 0o755);
    for name in ["keyring", "repositories"] {
        fs::create_dir(place.path().join(name)).unwrap();
        own(&place.path().join(name), 0o755);
    }
    let file = place.path().join("countersign.toml");
    let mut faults = Vec::new();
    for (path, text) in pages() {
        if path.parent().is_none_or(|directory| !directory.ends_with("docs/rules")) {
            continue;
        }
        let rule = path.file_stem().unwrap().to_str().unwrap();
        let mut shown = 0;
        for example in examples(&text) {
            fs::write(&file, whole(example)).unwrap();
            own(&file, 0o644);
            match config::load(&file) {
                Ok(loaded) => {
                    shown += usize::from(loaded.config.policy.rulesets.iter().any(|set| set.has_rule(rule)))
                }
                Err(error) => faults.push(format!("{}: {error}\n{example}", path.display())),
            }
        }
        if rules::ALL.iter().any(|kind| kind.name == rule) && shown == 0 {
            faults.push(format!("{}: no example has the rule", path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The rows of docs/compare.md: id, answer, and the last column.
fn compared() -> Vec<(String, String, String)> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/compare.md")).unwrap();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        let [id, _, answer, why] = cells[..] else { return None };
        let is_id = id.len() <= 3 && id.as_bytes()[0].is_ascii_uppercase() && id[1..].parse::<u8>().is_ok();
        is_id.then(|| (id.to_owned(), answer.to_owned(), why.to_owned()))
    });
    rows.collect()
}

#[test]
fn the_comparison_has_every_feature_and_claims_nothing_without_a_test() {
    let counts = [
        ('A', 16),
        ('B', 14),
        ('C', 14),
        ('D', 16),
        ('E', 5),
        ('F', 8),
        ('G', 4),
        ('H', 5),
        ('I', 3),
        ('J', 5),
    ];
    let wanted = counts.iter().flat_map(|(letter, count)| (1..=*count).map(move |n| format!("{letter}{n}")));
    let rows = compared();
    assert_eq!(rows.iter().map(|(id, ..)| id.clone()).collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut wrong = Vec::new();
    for (id, answer, why) in &rows {
        match answer.as_str() {
            "no" => continue,
            "yes" | "partly" => {}
            other => wrong.push(format!("{id}: `{other}` is no answer")),
        }
        let mut links = Vec::new();
        for (at, _) in why.match_indices("](") {
            let label = why[..at].rsplit('[').next().unwrap();
            let target = why[at + 2..].split(')').next().unwrap();
            links.push((label, target));
        }
        let (tests, pages): (Vec<_>, Vec<_>) =
            links.into_iter().partition(|(_, target)| target.starts_with("../tests/"));
        if !pages.iter().any(|(_, target)| docs.join(target).is_file()) {
            wrong.push(format!("{id}: no page"));
        }
        if tests.is_empty() {
            wrong.push(format!("{id}: no test"));
        }
        for (label, target) in tests {
            let place = docs.join(target);
            let there = if place.is_dir() {
                // Cases are run by tests/cases.rs, all of them.
                target.starts_with("../tests/cases/")
                    && fs::read_dir(&place)
                        .unwrap()
                        .any(|one| one.unwrap().path().extension().is_some_and(|e| e == "toml"))
            } else {
                let code = fs::read_to_string(&place).unwrap_or_default();
                code.contains(&format!("#[test]\nfn {}()", label.trim_matches('`')))
            };
            if !there {
                wrong.push(format!("{id}: {label} in {target} is no test"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each trap and each decision on meaning has a test that says so by its name.
#[test]
fn every_trap_and_every_decision_has_a_test() {
    fn collect(directory: &Path, out: &mut String) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, out);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                out.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    for directory in ["src", "tests"] {
        collect(&root.join(directory), &mut code);
    }
    // A function of tests stands right below its attribute; several numbers may share one: `n28_n29_…`.
    let tests: Vec<&str> = code
        .split("#[test]\n")
        .skip(1)
        .filter_map(|rest| rest.trim_start().strip_prefix("fn ")?.split('(').next())
        .collect();
    let covered = |wanted: &str| {
        tests.iter().any(|name| {
            let number = |part: &&str| part.len() == 3 && part[1..].bytes().all(|byte| byte.is_ascii_digit());
            name.starts_with(&format!("{wanted}_"))
                || name.split('_').take_while(number).any(|part| part == wanted)
        })
    };
    let traps = (1..=32).map(|number| format!("trap_{number:02}"));
    let decisions = (1..=33).map(|number| format!("n{number:02}"));
    let missing: Vec<String> = traps.chain(decisions).filter(|one| !covered(one)).collect();
    assert!(missing.is_empty(), "no test begins with {missing:?}");
}

/// The examples of a command's help, each a line of its own, or behind a pipe.
fn taught(help: &str) -> Vec<String> {
    let Some((_, rest)) = help.split_once("Examples:").or_else(|| help.split_once("Example:")) else {
        return Vec::new();
    };
    let own = |line: &str| {
        let line = line.rsplit_once("| ").map_or(line, |(_, behind)| behind).trim();
        line.starts_with("countersign ").then(|| line.to_owned())
    };
    rest.lines().filter_map(own).collect()
}

/// Every command that is not a group of others, with its name as it is typed.
fn leaves(command: &clap::Command, path: &str, out: &mut Vec<(String, clap::Command)>) {
    let path = format!("{path}{}", command.get_name());
    let below: Vec<_> = command.get_subcommands().filter(|one| one.get_name() != "help").collect();
    if below.is_empty() {
        out.push((path, command.clone()));
        return;
    }
    for one in below {
        leaves(one, &format!("{path} "), out);
    }
}

/// The name of the command that a line chose.
fn chosen(matches: &clap::ArgMatches) -> String {
    let (mut path, mut at) = ("countersign".to_owned(), matches);
    while let Some((name, below)) = at.subcommand() {
        path.push_str(&format!(" {name}"));
        at = below;
    }
    path
}

#[test]
fn every_commands_help_teaches_with_an_example_of_it() {
    let mut root = Cli::command();
    root.build();
    let mut all = Vec::new();
    leaves(&root, "", &mut all);
    assert!(all.len() > 30, "{} commands", all.len());
    let mut wrong = Vec::new();
    for (path, command) in all {
        // Wide enough that no line is broken in two.
        let help = command.term_width(1000).render_long_help().to_string();
        let shown = taught(&help);
        let mut own = false;
        for line in &shown {
            match Cli::command().try_get_matches_from(words(line)) {
                Ok(matches) => own |= chosen(&matches) == path,
                Err(error) => wrong.push(format!("{path}: `{line}`: {error}")),
            }
        }
        if !own {
            wrong.push(format!("{path}: no example of it"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
