//! The page about the command is true.

use crate::bench::Bench;
use countersign::service::differences::TABLE;
use serde_json::Value;
use std::fs;
use std::path::Path;

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// A line without what differs from run to run: ids, keys, times.
fn shape(line: &str) -> String {
    let word = |word: &str| {
        let core = word.trim_end_matches([':', ',', '`', ';']);
        let hex = core.len() >= 10 && core.bytes().all(|byte| byte.is_ascii_hexdigit());
        let time = core.len() >= 20 && core.contains('T') && core.ends_with('Z') && core.starts_with('2');
        let kind = if hex {
            "<id>"
        } else if core.starts_with("SHA256:") {
            "<key>"
        } else if time {
            "<time>"
        } else {
            core
        };
        format!("{kind}{}", &word[core.len()..])
    };
    line.split_ascii_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_example_is_what_the_program_prints() {
    for (name, lines) in [("docs/verify.md", 20), ("README.md", 8)] {
        let text = page(name);
        let block = text.split("```").find(|block| block.contains("$ countersign verify")).unwrap();
        let shown = block.lines().skip_while(|line| !line.starts_with('$'));
        let shown: Vec<String> = shown.skip(1).filter(|line| !line.trim().is_empty()).map(shape).collect();
        let bench = Bench::new();
        bench.keyring_entry("valid-until = 2026-01-01T00:00:00Z");
        bench.commit(Some(&bench.alice), Some("2025-12-24T18:00:00Z"));
        let ran = bench.program("HEAD", &[]);
        assert_eq!(ran.code(), Some(1), "{}", ran.stdout);
        let printed: Vec<String> =
            ran.stdout.lines().filter(|line| !line.trim().is_empty()).map(shape).collect();
        assert!(shown.len() >= lines, "{name}: {shown:?}");
        if name == "README.md" {
            // An extract: every line of it, in order.
            let mut rest = printed.iter();
            for line in shown.iter().filter(|line| *line != "...") {
                assert!(rest.any(|one| one == line), "{name}: {line:?} is not printed:\n{}", ran.stdout);
            }
        } else {
            assert_eq!(shown, printed, "{name}:\n{}", ran.stdout);
        }
    }
}

#[test]
fn every_key_of_the_json_is_documented() {
    fn keys(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| {
                out.push(key.clone());
                keys(value, out);
            }),
            Value::Array(list) => list.iter().for_each(|value| keys(value, out)),
            _ => {}
        }
    }
    let bench = Bench::new();
    bench.keyring_entry("valid-until = 2026-01-01T00:00:00Z");
    bench.commit(Some(&bench.alice), Some("2025-12-24T18:00:00Z"));
    bench.sign(Some(&bench.alice), None, &["tag", "-m", "release", "v1"]);
    let text = page("docs/verify.md");
    let mut found = Vec::new();
    for object in ["HEAD", "v1"] {
        keys(&bench.explain(object, &["--ref", "refs/tags/v1"]).value, &mut found);
    }
    assert!(found.len() > 40, "{found:?}");
    for key in found {
        assert!(text.contains(&format!("`{key}`")), "docs/verify.md does not say what `{key}` is");
    }
}

#[test]
fn every_kind_of_difference_is_listed() {
    let text = page("docs/verify.md");
    for one in TABLE {
        let attack = one.attack.unwrap_or("");
        let row = format!("| `{}` | {} |", one.code, attack);
        assert!(text.lines().any(|line| line.starts_with(&row.replace("  ", " "))), "no row for {row}");
    }
    let rows = text.lines().filter(|line| line.starts_with("| `git-") || line.contains("-after-receipt` |"));
    for row in rows {
        let code = row.split('`').nth(1).unwrap();
        assert!(TABLE.iter().any(|one| one.code == code), "`{code}` is no kind of difference");
    }
}
