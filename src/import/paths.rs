//! Rules about paths and contents.

use serde_json::{Map, Value};

/// A rule of ours and its value, for one of GitHub's about paths: `None` if it is none, `Err` with why it has no
/// equal.
pub(super) fn github(
    kind: &str,
    parameters: &Map<String, Value>,
) -> Option<Result<(&'static str, String), String>> {
    let _ = parameters;
    match kind {
        "file_path_restriction"
        | "file_extension_restriction"
        | "max_file_size"
        | "max_file_path_length"
        | "required_linear_history" => Some(Err("there is no rule for it here".to_owned())),
        _ => None,
    }
}

/// The same for one of GitLab's push rules.
pub(super) fn gitlab(key: &str, value: &Value) -> Option<Result<(&'static str, String), String>> {
    let _ = value;
    match key {
        "file_name_regex" | "max_file_size" => Some(Err("there is no rule for it here".to_owned())),
        _ => None,
    }
}
