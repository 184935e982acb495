//! Whether every case has its test.
//!
//! Three sections of the list of cases are not here. Push certificates (P), X.509 and CMS signatures (Y), and thresholds (H)
//! are about things that the program does not take part in yet: there is no option that asks for them, and
//! signatures of the second kind are refused as unsupported, which G and T hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Sections by letter, and how many cases each has; they are numbered from 1.
const SECTIONS: [(char, usize); 11] = [
    ('c', 20), // commits
    ('g', 58), // object grammar
    ('t', 29), // tags
    ('m', 9),  // merged tags
    ('k', 78), // OpenPGP
    ('s', 50), // SSH keys and lists of them
    ('x', 18), // SSH certificates
    ('f', 11), // FIDO
    ('d', 10), // time
    ('r', 19), // refs
    ('z', 11), // configuration and denial of service
];

fn sources() -> BTreeMap<PathBuf, String> {
    fn collect(directory: &Path, out: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                collect(&path, out);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                out.insert(path.clone(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut out = BTreeMap::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance"), &mut out);
    out
}

/// The names of the functions that stand below `#[test]`, other attributes and comments between.
fn tests(source: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut marked = false;
    for line in source.lines().map(str::trim) {
        if line == "#[test]" {
            marked = true;
        } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| marked) {
            out.extend(rest.split('(').next());
            marked = false;
        } else if !line.starts_with("#[") && !line.starts_with("//") && !line.is_empty() {
            marked = false;
        }
    }
    out
}

/// The ids at the beginning of a test's name.
fn ids(name: &str) -> impl Iterator<Item = &str> {
    name.split('_').take_while(|word| {
        let (letter, digits) = word.split_at_checked(1).unwrap_or_default();
        letter.bytes().all(|byte| byte.is_ascii_lowercase())
            && digits.len() == 3
            && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[test]
fn every_case_has_a_test_that_runs() {
    let wanted: BTreeSet<String> = SECTIONS
        .iter()
        .flat_map(|(letter, count)| (1..=*count).map(move |number| format!("{letter}{number:03}")))
        .collect();
    let mut found = BTreeSet::new();
    let mut wrong = Vec::new();
    let sources = sources();
    let main = sources.iter().find(|(path, _)| path.ends_with("main.rs")).expect("the suite has a root").1;
    for (path, source) in &sources {
        let shown = path.file_name().unwrap().to_string_lossy();
        let stem = path.file_stem().unwrap().to_string_lossy();
        let top = path.parent().unwrap().ends_with("conformance");
        if top && stem != "main" && !main.lines().any(|line| line == format!("mod {stem};")) {
            wrong.push(format!("{shown} is not part of the suite: main.rs does not name it"));
        }
        for (number, line) in source.lines().enumerate() {
            let line = line.trim();
            let attribute = line.strip_prefix("#[").unwrap_or_default();
            if ["ignore", "cfg(", "cfg_attr("].iter().any(|name| attribute.starts_with(name)) {
                wrong.push(format!("{shown}:{}: `{line}` may keep a test from running", number + 1));
            }
        }
        for name in tests(source) {
            for id in ids(name) {
                if !wanted.contains(id) {
                    wrong.push(format!("{shown}: `{name}`: there is no case {}", id.to_uppercase()));
                }
                found.insert(id.to_owned());
            }
        }
    }
    let missing: Vec<String> = wanted.difference(&found).map(|id| id.to_uppercase()).collect();
    if !missing.is_empty() {
        wrong.push(format!(
            "{} of {} cases have no test: {}",
            missing.len(),
            wanted.len(),
            missing.join(" ")
        ));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_are_read_as_they_are_written() {
    let source = "#[test]\nfn k001_k002_a_key() {}\n\n#[test]\n#[allow(x)]\n/// About.\nfn s003_x() {\n}\n\
                  fn k004_helper() {}\n//#[test]\n//fn k005_gone() {}\n#[test]\nconst X: u8 = 1;\nfn k006_not() {}\n";
    assert_eq!(tests(source), ["k001_k002_a_key", "s003_x"]);
    assert_eq!(ids("k001_k002_a_key_k003").collect::<Vec<_>>(), ["k001", "k002"]);
    for name in ["", "k01_x", "k0001_x", "key_k001", "K001_x", "kk01_x", "\u{e9}001_x", "a"] {
        assert_eq!(ids(name).count(), 0, "{name}");
    }
}
