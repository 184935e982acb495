//! Values with units.

use crate::domain::text;
use crate::keyring::document::Item;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use toml::Value;
use toml::de::DeValue;

/// Longest deadline, in seconds: git's side has given up long before.
const MAX_DEADLINE: u64 = 3600;

/// A duration such as `"30s"`, `"500ms"` or `"2m"`; a number alone means seconds.
pub(super) fn duration(item: &Item<'_, '_>) -> Option<Duration> {
    const HELP: &str = "write \"30s\", \"500ms\" or \"2m\"";
    let made = match item.value {
        DeValue::Integer(_) => Duration::from_secs(item.number()?),
        _ => {
            let written = item.string()?;
            let digits = written.bytes().take_while(u8::is_ascii_digit).count();
            let (number, unit) = written.split_at(digits);
            let scale = match unit.trim_start() {
                "ms" => Some(1),
                "s" => Some(1_000),
                "m" | "min" => Some(60_000),
                _ => None,
            };
            let millis = number.parse::<u64>().ok().zip(scale).and_then(|(n, s)| n.checked_mul(s));
            let Some(millis) = millis else {
                let shown = text::escape_short(written.as_bytes(), 60);
                item.error_with(format!("`{shown}` is not a duration"), HELP);
                return None;
            };
            Duration::from_millis(millis)
        }
    };
    if made.is_zero() {
        item.error_with("a deadline of zero would leave every push undecided", HELP);
        return None;
    }
    if made > Duration::from_secs(MAX_DEADLINE) {
        item.error_with("a deadline is at most one hour", HELP);
        return None;
    }
    Some(made)
}

/// Longest span of time between what belongs together, in seconds: a week.
const MAX_SPAN: u64 = 7 * 86_400;

/// A span of time of whole seconds, zero included: a number of seconds, or `"90s"`, `"5m"`, `"24h"`, `"2d"`.
pub(super) fn span(item: &Item<'_, '_>) -> Option<Duration> {
    const HELP: &str = "write seconds, or \"90s\", \"5m\", \"24h\", \"2d\"";
    let seconds = match item.value {
        DeValue::Integer(_) => item.number()?,
        _ => {
            let written = item.string()?;
            let digits = written.bytes().take_while(u8::is_ascii_digit).count();
            let (number, unit) = written.split_at(digits);
            let scale = match unit.trim_start() {
                "s" => Some(1),
                "m" | "min" => Some(60),
                "h" => Some(3_600),
                "d" => Some(86_400),
                _ => None,
            };
            let seconds = number.parse::<u64>().ok().zip(scale).and_then(|(n, s)| n.checked_mul(s));
            let Some(seconds) = seconds else {
                let shown = text::escape_short(written.as_bytes(), 60);
                item.error_with(format!("`{shown}` is not a span of time"), HELP);
                return None;
            };
            seconds
        }
    };
    if seconds > MAX_SPAN {
        item.error_with("this is at most a week", HELP);
        return None;
    }
    Some(Duration::from_secs(seconds))
}

/// A count or a size from 1 on: a number, or, for sizes, a string such as `"512 MiB"`.
pub(super) fn cap(item: &Item<'_, '_>, name: &str, bytes: bool) -> Option<u64> {
    let made = match item.value {
        DeValue::String(written) if bytes => {
            let digits = written.bytes().take_while(u8::is_ascii_digit).count();
            let (number, unit) = written.split_at(digits);
            let shift = match unit.trim_start() {
                "B" => Some(0_u32),
                "KiB" => Some(10),
                "MiB" => Some(20),
                "GiB" => Some(30),
                _ => None,
            };
            let size = number.parse::<u64>().ok().zip(shift).and_then(|(n, s)| n.checked_mul(1 << s));
            let Some(size) = size else {
                let shown = text::escape_short(written.as_bytes(), 60);
                item.error_with(
                    format!("`{shown}` is not a size"),
                    "write bytes, or \"64 KiB\", \"512 MiB\", \"1 GiB\"",
                );
                return None;
            };
            size
        }
        _ => item.number()?,
    };
    if made == 0 {
        item.error_with(
            format!("a limit of zero would refuse every push: `{name}` is at least 1"),
            "leave it out for the default",
        );
        return None;
    }
    Some(made)
}

/// As [`cap`], for counts in memory.
pub(super) fn count(item: &Item<'_, '_>, name: &str, bytes: bool) -> Option<usize> {
    let made = cap(item, name, bytes)?;
    match usize::try_from(made) {
        Ok(made) => Some(made),
        Err(_) => {
            item.error(format!("`{name}` is too large for this machine"));
            None
        }
    }
}

/// A path, relative to the directory of the file it stands in. `..` stays, because resolving it by
/// text is wrong behind symbolic links; `.` goes.
pub(super) fn path(item: &Item<'_, '_>, base: &Path) -> Option<PathBuf> {
    let written = item.string()?;
    if written.is_empty() || written.contains('\0') {
        item.error("a path cannot be empty or hold a NUL");
        return None;
    }
    if written.starts_with("~/") || written.starts_with('$') {
        item.error_with(
            "paths are taken as they are: `~` and variables are not expanded",
            "write the absolute path",
        );
        return None;
    }
    Some(base.join(written).components().filter(|part| *part != Component::CurDir).collect())
}

/// What to do about [`inside_git_directory`].
pub(super) const KEEP_OUTSIDE: &str = "keep what decides about pushes away from the repositories";

/// What is wrong with a place among a repository's own files: it is within reach of whatever serves the repository, and
/// of its other hooks.
pub(super) fn inside_git_directory(physical: &Path) -> Option<String> {
    let is_git =
        |dir: &&Path| dir.join("HEAD").exists() && dir.join("objects").is_dir() && dir.join("refs").is_dir();
    let found = physical.ancestors().find(is_git)?;
    let shown = text::escape(found.as_os_str().as_encoded_bytes());
    Some(format!("it lies inside a git directory, {shown}"))
}

/// As [`path`], for a file or directory that has a say in decisions: not among a repository's own files, by a symbolic
/// link either.
pub(super) fn path_outside(item: &Item<'_, '_>, base: &Path) -> Option<PathBuf> {
    let path = path(item, base)?;
    let physical = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
    match inside_git_directory(&physical) {
        None => Some(path),
        Some(message) => {
            item.error_with(message, KEEP_OUTSIDE);
            None
        }
    }
}

/// The options of a rule, as the rules read them.
pub(super) fn plain(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()?)
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().ok()?),
        DeValue::Boolean(truth) => Value::Boolean(*truth),
        DeValue::Datetime(time) => Value::Datetime(*time),
        DeValue::Array(items) => {
            Value::Array(items.iter().map(|item| plain(item.get_ref())).collect::<Option<_>>()?)
        }
        DeValue::Table(entries) => Value::Table(
            entries
                .iter()
                .map(|(key, value)| Some((key.get_ref().to_string(), plain(value.get_ref())?)))
                .collect::<Option<_>>()?,
        ),
    })
}
