//! The pages: every command that they show is one that the program takes, and every link leads
//! somewhere.

#![allow(clippy::unwrap_used, clippy::panic)]

use clap::Parser;
use countersign::cli::Cli;
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

/// The words of a shell line, up to a pipe, a comment or an `&`; simple quotes are taken off.
fn words(command: &str) -> Vec<String> {
    let stop = |word: &&str| !["|", "&", "#", ">", "&&"].contains(word) && !word.starts_with('#');
    let words = command.split_ascii_whitespace().take_while(stop);
    words.map(|word| word.trim_matches(['\'', '"']).to_owned()).collect()
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
