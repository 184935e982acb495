//! Rules about paths and contents.

use super::dialect;
use super::document::{list, string};
use serde_json::{Map, Value};

/// A rule of ours and its value, or why there is none.
type Made = Result<(&'static str, String), String>;

/// Most paths or endings in one rule.
const MOST: usize = 1_000;

/// What one of GitHub's rules about paths becomes: `None` if it is none.
pub(super) fn github(kind: &str, parameters: &Map<String, Value>) -> Option<Made> {
    let number = |key: &str| {
        let number = parameters.get(key).and_then(Value::as_u64);
        number.filter(|number| (1..=1 << 20).contains(number)).ok_or(format!("`{key}` is not understood"))
    };
    Some(match kind {
        "required_linear_history" => Ok(("merge-commit", "true".to_owned())),
        "file_path_restriction" => texts(parameters, "restricted_file_paths").and_then(|paths| {
            let convert = |path: &&str| dialect::fnmatch_path(path).map_err(|why| format!("\"{path}\": {}", why.0));
            let paths: Vec<String> = paths.iter().map(convert).collect::<Result<_, _>>()?;
            Ok(("forbidden-path", format!("{{ paths = {}, changes = [\"add\", \"modify\", \"delete\"] }}", list(paths))))
        }),
        "file_extension_restriction" => texts(parameters, "restricted_file_extensions").and_then(|endings| {
            let convert = |ending: &&str| {
                let bare = ending.strip_prefix('*').unwrap_or(ending);
                let bare = bare.strip_prefix('.').unwrap_or(bare);
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
                match !bare.is_empty() && bare.bytes().all(plain) {
                    true => Ok(format!("**/*.{bare}")),
                    false => Err(format!("\"{ending}\" is no plain ending")),
                }
            };
            let paths: Vec<String> = endings.iter().map(convert).collect::<Result<_, _>>()?;
            Ok(("forbidden-path", format!("{{ paths = {} }}", list(paths))))
        }),
        // The smaller of what a megabyte can be.
        "max_file_size" => number("max_file_size").map(|n| ("large-file", format!("{{ max = {} }}", n * 1_000_000))),
        "max_file_path_length" => number("max_file_path_length").map(|n| {
            let off = "git-names = false, windows = false, characters = false, encoding = false, duplicates = false";
            ("unsafe-path", format!("{{ {off}, component-max = {n}, path-max = {n} }}"))
        }),
        _ => return None,
    })
}

fn texts<'v>(parameters: &'v Map<String, Value>, key: &str) -> Result<Vec<&'v str>, String> {
    let wrong = || format!("`{key}` is not understood");
    let all = parameters.get(key).and_then(Value::as_array).ok_or_else(wrong)?;
    if all.is_empty() || all.len() > MOST {
        return Err(wrong());
    }
    all.iter().map(|one| one.as_str().ok_or_else(wrong)).collect()
}

/// The same for one of GitLab's push rules.
pub(super) fn gitlab(key: &str, value: &Value) -> Option<Made> {
    Some(match (key, value) {
        ("file_name_regex", Value::String(pattern)) => dialect::name_search(pattern)
            .map(|found| {
                let paths = string(&format!("re:{found}"));
                ("forbidden-path", format!("{{ paths = [{paths}], changes = [\"add\"] }}"))
            })
            .map_err(|why| why.0),
        ("max_file_size", Value::Number(number)) => {
            match number.as_u64().filter(|n| (1..=1 << 20).contains(n)) {
                Some(n) => Ok(("large-file", format!("{{ max = \"{n} MiB\" }}"))),
                None => Err("it is no number of megabytes".to_owned()),
            }
        }
        _ => return None,
    })
}
