//! `countersign config schema`, against the example, all cases, and the loader itself.

use crate::support::gate::Gate;
use countersign::config;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// What a schema says against a value; empty where it fits. Knows the keywords that the schema uses, and stops at any
/// other one.
fn against(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    const ANNOTATIONS: [&str; 6] = ["description", "default", "title", "$schema", "$defs", "$comment"];
    let mut wrong = Vec::new();
    let mut no = |why: String| wrong.push(format!("{at}: {why}"));
    for (keyword, wanted) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "type" => {
                let kind = match value {
                    Value::Object(_) => "object",
                    Value::Array(_) => "array",
                    Value::String(_) => "string",
                    Value::Bool(_) => "boolean",
                    Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
                    Value::Number(_) => "number",
                    Value::Null => "null",
                };
                if wanted != kind {
                    no(format!("it is {kind}, not {wanted}"));
                }
            }
            "enum" if !wanted.as_array().unwrap().contains(value) => {
                no(format!("{value} is none of {wanted}"))
            }
            "const" if wanted != value => no(format!("{value} is not {wanted}")),
            "minItems" | "minLength" | "minProperties" => {
                let length = match value {
                    Value::Array(all) => Some(all.len()),
                    Value::String(text) => Some(text.chars().count()),
                    Value::Object(all) => Some(all.len()),
                    _ => None,
                };
                if length.is_some_and(|length| (length as u64) < wanted.as_u64().unwrap()) {
                    no(format!("{keyword} is {wanted}"));
                }
            }
            "minimum" if value.as_i64().is_some_and(|n| n < wanted.as_i64().unwrap()) => {
                no(format!("under {wanted}"))
            }
            "maximum" if value.as_i64().is_some_and(|n| n > wanted.as_i64().unwrap()) => {
                no(format!("over {wanted}"))
            }
            "pattern" => {
                let pattern = regex::Regex::new(wanted.as_str().unwrap()).unwrap();
                if value.as_str().is_some_and(|text| !pattern.is_match(text)) {
                    no(format!("{value} does not match {wanted}"));
                }
            }
            "required" => {
                for name in wanted.as_array().unwrap() {
                    if value.as_object().is_some_and(|all| !all.contains_key(name.as_str().unwrap())) {
                        no(format!("{name} is missing"));
                    }
                }
            }
            "additionalProperties" => {
                assert_eq!(wanted, false);
                for name in value.as_object().into_iter().flat_map(Map::keys) {
                    if schema["properties"].get(name).is_none() {
                        no(format!("`{name}` is unknown"));
                    }
                }
            }
            "properties" | "items" | "anyOf" | "$ref" | "enum" | "const" | "minimum" | "maximum" => {}
            other => assert!(ANNOTATIONS.contains(&other), "the schema uses `{other}`"),
        }
    }
    if let Some(target) = schema.get("$ref") {
        let target = target.as_str().unwrap().strip_prefix('#').unwrap();
        let target = root.pointer(target).unwrap_or_else(|| panic!("{target} leads nowhere"));
        wrong.extend(against(root, target, value, at));
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        if let Some(schema) = schema["properties"].get(name) {
            wrong.extend(against(root, schema, inner, &format!("{at}/{name}")));
        }
    }
    if let (Some(items), Some(all)) = (schema.get("items"), value.as_array()) {
        for (index, inner) in all.iter().enumerate() {
            wrong.extend(against(root, items, inner, &format!("{at}/{index}")));
        }
    }
    if let Some(any) = schema.get("anyOf") {
        let each: Vec<_> = any.as_array().unwrap().iter().map(|one| against(root, one, value, at)).collect();
        if each.iter().all(|wrong| !wrong.is_empty()) {
            wrong.extend(each.into_iter().flatten());
        }
    }
    wrong
}

/// TOML as JSON, times as text.
fn as_json(value: &toml::Value) -> Value {
    match value {
        toml::Value::Datetime(time) => json!(time.to_string()),
        toml::Value::Array(all) => all.iter().map(as_json).collect(),
        toml::Value::Table(all) => all.iter().map(|(key, value)| (key.clone(), as_json(value))).collect(),
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(truth) => json!(truth),
    }
}

fn check(text: &str) -> Vec<String> {
    let schema = config::schema();
    against(&schema, &schema, &as_json(&toml::Value::Table(text.parse().unwrap())), "")
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    all.sort();
    all
}

#[test]
fn the_program_prints_it() {
    let gate = Gate::prepared(crate::POLICY);
    let printed = |arguments: &[&str]| crate::json(&gate.program(arguments).ok());
    assert_eq!(printed(&["config", "schema"]), config::schema());
    assert_eq!(printed(&["config", "schema", "--included"]), config::included_schema());
    let loaded = fs::read_to_string(gate.config()).unwrap();
    assert_eq!(check(&loaded), [""; 0], "what loads fits");
}

#[test]
fn the_example_fits_with_every_line_that_is_commented_out() {
    let text = fs::read_to_string(root("config/countersign.example.toml")).unwrap();
    assert_eq!(check(&text), [""; 0]);
    // `# key = value` and `# [table]` are what can be written there.
    let mut all = String::new();
    let mut uncommented = 0;
    for line in text.lines() {
        let rest = line.strip_prefix("# ").unwrap_or("");
        let key = rest.split(" = ").next().unwrap();
        let is_key = rest.contains(" = ") && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        if is_key || (rest.starts_with('[') && rest.ends_with(']')) {
            all.push_str(rest);
            uncommented += 1;
        } else {
            all.push_str(line);
        }
        all.push('\n');
    }
    assert!(uncommented > 20, "{uncommented}");
    assert_eq!(check(&all), [""; 0]);
}

#[test]
fn every_case_that_loads_fits() {
    let schema = config::schema();
    let refuse = schema.pointer("/$defs/ruleset/properties/refuse").unwrap();
    let mut fitting = 0;
    let mut wrong_and_unfit = 0;
    for path in files(&root("tests/cases")) {
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let case: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        let loads = case["expect"]["outcome"].as_str() != Some("load-error");
        let sets = case.get("ruleset").and_then(toml::Value::as_array).into_iter().flatten();
        let tables = case.get("refuse").into_iter().chain(sets.map(|set| &set["refuse"]));
        for table in tables {
            let wrong = against(&schema, refuse, &as_json(table), "");
            if loads {
                assert_eq!(wrong, [""; 0], "{}", path.display());
                fitting += 1;
            } else {
                wrong_and_unfit += usize::from(!wrong.is_empty());
            }
        }
    }
    assert!(fitting > 60, "{fitting}");
    // Words that no schema can tell, such as patterns that do not compile, remain.
    assert!(wrong_and_unfit > 15, "{wrong_and_unfit}");
}

#[test]
fn what_is_wrong_does_not_fit() {
    const BASE: &str = "[daemon]\nsocket = \"s\"\nstate = \"s\"\n[keyring]\npath = \"k\"\n[repositories]\nroot = \"r\"\n\
        [policy]\nuncovered = \"accept\"\n[[ruleset]]\nname = \"x\"\nrepositories = [\"**\"]\nrefs = [\"~ALL\"]\n\
        [ruleset.refuse]\nforce-push = true\n";
    assert_eq!(check(BASE), [""; 0]);
    for (from, to) in [
        ("socket = \"s\"", "sockets = \"s\""),
        ("uncovered = \"accept\"", "uncovered = \"perhaps\""),
        ("uncovered = \"accept\"", ""),
        ("name = \"x\"", "name = \"X y\""),
        ("refs = [\"~ALL\"]", "refs = [\"main\"]"),
        ("refs = [\"~ALL\"]", "refs = []"),
        ("refs = [\"~ALL\"]", "refs = \"~ALL\""),
        ("force-push = true", "force-pish = true"),
        ("force-push = true", "force-push = 1"),
        ("force-push = true", "force-push = { allow = true }"),
        ("force-push = true", "missing-ticket = true"),
        ("force-push = true", "missing-ticket = { projects = [\"OPS\"], where = [\"title\"] }"),
        ("force-push = true", "untrusted-signer = { allow = [\"sre\"] }"),
        ("force-push = true", "unsigned-commit = { effective-from = \"yesterday\" }"),
        ("[ruleset.refuse]\nforce-push = true", "[ruleset.refuse]"),
        ("[daemon]\nsocket = \"s\"\nstate = \"s\"", "daemon = 1"),
        ("[policy]", "[limits]\nrefs = 0\n[policy]"),
        ("[policy]", "[limits]\npush-bytes = \"1 GB\"\n[policy]"),
        ("root = \"r\"", "root = \"r\"\nserver = \"svn\""),
        ("[policy]", "[[source]]\nname = \"x\"\nforge = \"github\"\n[policy]"),
        ("[policy]", "[[source]]\nname = \"x\"\nforge = \"github\"\nsecrets = [\"s3cret\"]\n[policy]"),
        ("[policy]", "[[source]]\nname = \"x\"\nforge = \"svn\"\nsecrets = [{ env = \"A\" }]\n[policy]"),
    ] {
        assert!(BASE.contains(from), "{from}");
        assert!(!check(&BASE.replacen(from, to, 1)).is_empty(), "{to}");
    }
}

/// The loader says which keys it knows when it meets one that it does not: exactly those of the schema, table by
/// table.
#[test]
fn every_table_has_the_keys_that_the_loader_knows() {
    let gate = Gate::prepared("[policy]\nuncovered = \"accept\"\n");
    let base = fs::read_to_string(gate.config()).unwrap();
    let schema = config::schema();
    let table = "\n[[ruleset]]\nname = \"x\"\nrepositories = [\"**\"]\nrefs = [\"~ALL\"]\nrefuse = { force-push = true }\n";
    let odd = "zzzzzzzzzzzz = 1\n";
    let cases = [
        ("", format!("{odd}{base}")),
        ("/properties/daemon", base.replace("[daemon]\n", &format!("[daemon]\n{odd}"))),
        ("/properties/keyring", base.replace("[keyring]\n", &format!("[keyring]\n{odd}"))),
        ("/properties/repositories", base.replace("[repositories]\n", &format!("[repositories]\n{odd}"))),
        ("/properties/policy", base.replace("[policy]\n", &format!("[policy]\n{odd}"))),
        ("/properties/limits", format!("{base}[limits]\n{odd}")),
        ("/properties/signatures", format!("{base}[signatures]\n{odd}")),
        (
            "/properties/keyring/properties/allowed-signers/items",
            format!("{base}[[keyring.allowed-signers]]\n{odd}"),
        ),
        ("/properties/keyring/properties/revocation/items", format!("{base}[[keyring.revocation]]\n{odd}")),
        ("/properties/daemon/properties/tls", format!("{base}[daemon.tls]\n{odd}")),
        ("/properties/source/items", format!("{base}[[source]]\n{odd}")),
        (
            "/properties/source/items/properties/secrets/anyOf/1",
            format!("{base}[[source]]\nsecrets = {{ {} }}\n", odd.trim()),
        ),
        (
            "/properties/source/items/properties/repository/items",
            format!("{base}[[source]]\n[[source.repository]]\n{odd}"),
        ),
        ("/properties/source/items/properties/fetch", format!("{base}[[source]]\n[source.fetch]\n{odd}")),
        (
            "/properties/source/items/properties/fetch/properties/credential",
            format!("{base}[[source]]\n[source.fetch.credential]\n{odd}"),
        ),
        ("/properties/source/items/properties/report", format!("{base}[[source]]\n[source.report]\n{odd}")),
        (
            "/properties/source/items/properties/report/properties/app",
            format!("{base}[[source]]\n[source.report.app]\n{odd}"),
        ),
        ("/properties/policy/properties/tenant/items", format!("{base}[[policy.tenant]]\n{odd}")),
        ("/$defs/ruleset", format!("{base}{table}{odd}")),
        ("/$defs/ruleset/properties/bypass/items", format!("{base}{table}[[ruleset.bypass]]\n{odd}")),
    ];
    for (pointer, text) in cases {
        fs::write(gate.config(), text).unwrap();
        let error = config::load(&gate.config()).unwrap_err();
        let unknown = error.diagnostics().iter().find(|one| one.message.contains("zzzzzzzzzzzz"));
        let help = unknown.unwrap_or_else(|| panic!("{pointer}: {error}")).suggestion.as_ref().unwrap();
        let mut known: Vec<&str> = help.split('`').skip(1).step_by(2).collect();
        known.sort_unstable();
        known.dedup();
        let properties =
            schema.pointer(&format!("{pointer}/properties")).unwrap_or_else(|| panic!("{pointer}"));
        let mut listed: Vec<&str> = properties.as_object().unwrap().keys().map(String::as_str).collect();
        listed.sort_unstable();
        assert_eq!(listed, known, "{pointer}");
    }
}
