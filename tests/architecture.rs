//! Reads the sources and fails on an arrow that the design does not have: a module that uses one above
//! it, or an external crate outside the one module that may name it.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which modules a module may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("signature", &["domain"]),
    ("keyring", &["domain", "signature"]),
    ("policy", &["domain", "signature"]),
    ("import", &["domain", "policy"]),
    ("git", &["domain", "signature"]),
    ("hook", &["domain"]),
    ("audit", &["domain"]),
    ("store", &["domain", "audit"]),
    ("forge", &["domain"]),
    ("config", &["domain", "signature", "policy", "keyring", "forge"]),
    ("facts", &["domain", "signature", "keyring", "policy", "git"]),
    (
        "service",
        &[
            "domain",
            "signature",
            "keyring",
            "policy",
            "git",
            "facts",
            "store",
            "audit",
            "hook",
            "config",
            "forge",
        ],
    ),
    ("http", &["domain", "hook", "forge", "service"]),
    (
        "cli",
        &[
            "domain",
            "signature",
            "keyring",
            "policy",
            "git",
            "store",
            "audit",
            "hook",
            "config",
            "import",
            "forge",
            "service",
            "http",
        ],
    ),
];

/// Crates that only one module may name.
const OWNERS: &[(&str, &[&str])] = &[
    ("gix", &["git"]),
    ("regex_syntax", &["domain"]),
    ("unicode_normalization", &["domain"]),
    ("pgp", &["signature"]),
    ("ssh_key", &["signature"]),
    ("p256", &["signature"]),
    ("p384", &["signature"]),
    ("p521", &["signature"]),
    ("md5", &["keyring"]),
    ("rusqlite", &["store"]),
    ("axum", &["http"]),
    ("hyper", &["http"]),
    ("hyper_util", &["http"]),
    ("tokio", &["http", "cli"]),
    ("encoding_rs", &["policy"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("toml_edit", &["keyring", "config", "cli"]),
    ("saphyr_parser", &["keyring"]),
    ("httparse", &["hook"]),
    ("ring", &["forge"]),
    ("rustls", &["http"]),
    ("rustls_native_certs", &["http"]),
    ("tokio_rustls", &["http"]),
    ("hyper_rustls", &["http"]),
    ("tracing_subscriber", &["cli"]),
];

/// Modules that may not touch files, clocks, the environment, processes, threads or the network.
const PURE: &[&str] = &["domain", "signature", "policy", "audit", "import", "forge"];

/// What gives such a touch away.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "std::net",
    "std::thread",
    "std::os::unix::net",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "getrandom",
    "rustix",
    "tracing::",
];

fn sources(module: &str) -> Vec<(PathBuf, String)> {
    fn collect(directory: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, out);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                out.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(module);
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.into_iter().map(|path| (path.clone(), code(&fs::read_to_string(path).unwrap()))).collect()
}

/// The source without comments and without its tests, which may do as they like.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// Names that follow `crate::` in a source, grouped imports included.
fn used_modules(code: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => {
                let group = group.split('}').next().unwrap_or(group);
                out.extend(group.split(',').map(|item| first_word(item.trim())));
            }
            None => out.push(first_word(rest)),
        }
    }
    out
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn names_crate(code: &str, name: &str) -> bool {
    let found = |pattern: String| {
        code.match_indices(&pattern).any(|(at, _)| {
            let before = code[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
        })
    };
    found(format!("{name}::")) || found(format!("use {name};"))
}

#[test]
fn modules_use_only_what_lies_below_them() {
    let modules: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (module, allowed) in &modules {
        for (path, code) in sources(module) {
            for used in used_modules(&code) {
                if modules.contains_key(used.as_str()) && used != *module && !allowed.contains(&used.as_str())
                {
                    wrong.push(format!("{}: `{module}` uses `{used}`", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that the design does not have:\n{}", wrong.join("\n"));
}

#[test]
fn every_module_is_in_the_list() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "bin" {
            assert!(ARROWS.iter().any(|(module, _)| *module == name), "`{name}` has no arrows in this test");
        }
    }
}

#[test]
fn crates_are_named_by_their_owner_only() {
    let mut wrong = Vec::new();
    for (module, _) in ARROWS {
        for (path, code) in sources(module) {
            for (name, owners) in OWNERS {
                if !owners.contains(module) && names_crate(&code, name) {
                    wrong.push(format!("{}: `{module}` names `{name}`", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "crates outside their module:\n{}", wrong.join("\n"));
}

#[test]
fn pure_modules_touch_nothing() {
    let mut wrong = Vec::new();
    for module in PURE {
        for (path, code) in sources(module) {
            for pattern in IMPURE.iter().filter(|pattern| code.contains(**pattern)) {
                wrong.push(format!("{}: `{module}` names `{pattern}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "input or output in a pure module:\n{}", wrong.join("\n"));
}

#[test]
fn only_the_command_line_and_the_hook_print() {
    for (module, _) in ARROWS.iter().filter(|(module, _)| !["cli", "hook"].contains(module)) {
        for (path, code) in sources(module) {
            for pattern in ["println!", "eprintln!", "print!(", "stdout()", "stderr()"] {
                assert!(!code.contains(pattern), "{}: `{pattern}`", path.display());
            }
        }
    }
}

#[test]
fn every_rule_has_a_page_and_cases() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read =
        |path: PathBuf| fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let list = read(root.join("docs/rules/README.md"));
    let matrix = read(root.join("tests/golden/matrix.txt"));
    let page = |name: &str| {
        let text = read(root.join("docs/rules").join(format!("{name}.md")));
        assert!(text.starts_with(&format!("# {name}\n")), "{name}.md starts with the rule's name");
        assert!(list.contains(&format!("[{name}]({name}.md)")), "docs/rules/README.md lists {name}");
    };
    for kind in countersign::policy::rules::ALL {
        page(kind.name);
        assert!(list.contains(kind.summary), "docs/rules/README.md has the summary of {}", kind.name);
        let cases = root.join("tests/cases").join(kind.name);
        assert!(cases.is_dir(), "{} is missing", cases.display());
        let column =
            matrix.lines().any(|line| line.strip_suffix(kind.name).is_some_and(|l| l.ends_with("|  ")));
        assert!(column, "the golden matrix has no column for {}", kind.name);
    }
    // What these judge is in repositories and objects, not in facts: the matrix has real ones.
    for rule in countersign::policy::facts::BuiltinRule::ALL {
        page(rule.name());
        let line = format!("  {} -> ", rule.name());
        assert!(matrix.lines().any(|one| one.starts_with(&line)), "no situation is a {}", rule.name());
    }
}

#[test]
fn the_checks_of_this_test_can_fail() {
    assert_eq!(used_modules("use crate::{policy::X, git}; crate::store::y"), ["policy", "git", "store"]);
    assert!(names_crate("use gix::open;", "gix"));
    assert!(names_crate("let x = gix::open();", "gix"));
    assert!(!names_crate("let x = notgix::open();", "gix"));
    assert!(!code("a // std::fs\n").contains("std::fs"));
}
