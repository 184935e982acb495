//! The lines that git hands to `pre-receive`.

use super::faults::malformed_update;
use crate::domain::{ObjectId, RefName, RefUpdate, text};
use crate::policy::facts::BuiltinFault;
use std::collections::HashSet;

/// The updates of a push, and those that are none (N5).
#[derive(Debug, Default)]
pub struct Updates {
    /// Well-formed updates, in order.
    pub updates: Vec<RefUpdate>,
    /// What is wrong with the rest; one fault refuses the whole push.
    pub faults: Vec<BuiltinFault>,
}

/// Parses `<old> SP <new> SP <ref> LF` lines strictly. Nothing is skipped: a line that does not parse
/// is a `malformed-update`, and so is an unfinished last line, since the rest may be missing.
pub fn parse_updates(input: &[u8]) -> Updates {
    let mut parsed = Updates::default();
    let mut seen = HashSet::new();
    let body = match input.strip_suffix(b"\n") {
        Some(body) => body,
        None => {
            parsed
                .faults
                .push(malformed_update("", "the list of updates ends in the middle of a line".to_owned()));
            return parsed;
        }
    };
    for line in body.split(|byte| *byte == b'\n') {
        match parse_line(line) {
            Ok(update) => {
                if !seen.insert(update.name.clone()) {
                    let name = update.name.to_string();
                    parsed
                        .faults
                        .push(malformed_update(&name, "the push names this ref more than once".to_owned()));
                }
                parsed.updates.push(update);
            }
            Err((name, seen)) => parsed.faults.push(malformed_update(&name, seen)),
        }
    }
    parsed
}

fn parse_line(line: &[u8]) -> Result<RefUpdate, (String, String)> {
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let (Some(old), Some(new), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return Err((String::new(), format!("`{}` is not an update", text::escape_short(line, 120))));
    };
    let shown = text::escape_short(name, 200);
    let name = RefName::parse(name)
        .map_err(|e| (shown.clone(), format!("the name breaks git's rules: {}", e.why)))?;
    let id = |hex| {
        ObjectId::parse_optional(hex)
            .map_err(|e| (shown.clone(), format!("an id of the update is wrong: {e}")))
    };
    let (old, new) = (id(old)?, id(new)?);
    if old.is_none() && new.is_none() {
        return Err((shown, "both ids of the update are zero".to_owned()));
    }
    Ok(RefUpdate { name, old, new })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const Z: &str = "0000000000000000000000000000000000000000";

    fn seen(input: &str) -> String {
        parse_updates(input.as_bytes())
            .faults
            .iter()
            .map(|fault| fault.seen.clone())
            .collect::<Vec<_>>()
            .join("|")
    }

    #[test]
    fn n05_new_zero_is_a_deletion_whatever_old_says() {
        let parsed = parse_updates(format!("{A} {Z} refs/heads/x\n").as_bytes());
        assert_eq!(parsed.updates[0].new, None);
        assert!(parsed.faults.is_empty());
    }

    #[test]
    fn n05_malformed_lines_are_faults_never_skipped() {
        assert!(seen(&format!("{Z} {Z} refs/heads/x\n")).contains("both ids"));
        assert!(seen(&format!("{Z} {A} refs/heads/x")).contains("middle of a line"));
        assert!(seen("").contains("middle of a line"));
        assert!(seen(&format!("{Z} {A} refs/heads/a..b\n")).contains("`..`"));
        assert!(seen(&format!("{Z} {A} HEAD\n")).contains("refs/"));
        assert!(seen(&format!("{Z} {A}\n")).contains("not an update"));
        assert!(seen(&format!("{Z} abc refs/heads/x\n")).contains("id of the update"));
        assert!(seen(&format!("{Z} {A} refs/heads/x\n\n")).contains("not an update"));
        let twice = format!("{A} {Z} refs/heads/x\n{Z} {A} refs/heads/x\n");
        assert!(seen(&twice).contains("more than once"), "delete and create in one push is a force push");
    }

    #[test]
    fn a_newline_in_a_name_cannot_inject_an_update() {
        let parsed = parse_updates(format!("{Z} {A} refs/heads/x\n{A} {A}\n").as_bytes());
        assert_eq!(parsed.faults.len(), 1);
    }
}
