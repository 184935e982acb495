//! `ref-name`: names that people and tools read as what they are (T24).

use super::{Finding, Judges, Kind, Rule, Scope, options};
use crate::domain::{RefName, UpdateKind, text};
use crate::policy::Pattern;
use serde::Deserialize;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "ref-name",
    summary: "a new ref whose name misleads, or does not follow the pattern",
    judges: Judges::RefUpdate,
    build: |table| {
        let Options { allow } = options(table)?;
        let compile = |list: Vec<String>| {
            if list.is_empty() {
                return Err(
                    "`allow = []` would refuse every name; leave it out to allow all that do not mislead"
                        .into(),
                );
            }
            list.iter()
                .map(|one| Pattern::for_refs(one).map_err(|e| e.to_string()))
                .collect::<Result<Vec<_>, String>>()
        };
        Ok(Box::new(NameRule { allow: allow.map(compile).transpose()? }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    allow: Option<Vec<String>>,
}

#[derive(Debug)]
struct NameRule {
    /// Patterns of full names, one of which has to match; `None` for any name.
    allow: Option<Vec<Pattern>>,
}

impl NameRule {
    fn wanted(&self) -> String {
        match &self.allow {
            None => "a name that cannot be taken for something else".to_owned(),
            Some(allow) => {
                let shown: Vec<String> =
                    allow.iter().map(|one| text::escape(one.source().as_bytes())).collect();
                format!("a name like {}", shown.join(" or "))
            }
        }
    }
}

impl Rule for NameRule {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    /// A ref that exists keeps its name: only new ones are judged.
    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let reference = scope.reference;
        if reference.kind != UpdateKind::Create {
            return Vec::new();
        }
        let follows = |allow: &Vec<Pattern>| allow.iter().any(|one| one.is_match(reference.name.as_bytes()));
        let seen = match misleads(&reference.name) {
            Some(why) => format!("the name {why}"),
            None if self.allow.as_ref().is_none_or(follows) => return Vec::new(),
            None => "the name follows none of the patterns".to_owned(),
        };
        let help = "push under another name: `git push REMOTE LOCAL:refs/heads/NAME`".to_owned();
        vec![Finding { path: None, seen, wanted: self.wanted(), help }]
    }
}

/// What the name can be taken for, if it can.
fn misleads(name: &RefName) -> Option<&'static str> {
    let short = short(name);
    let hexadecimal = |part: &[u8]| part.iter().all(u8::is_ascii_hexdigit);
    let first = short.split(|byte| *byte == b'/').next().unwrap_or_default();
    let is_id = |part: &[u8]| hexadecimal(part) && (part.len() == 40 || part.len() == 64);
    // `git show 3f2a...` asks for an object before it asks for a ref, and other tools the other way round.
    let starts_like_one = first.len() > 40 && hexadecimal(&first[..40]) && !first[40].is_ascii_alphanumeric();
    if is_id(short) || is_id(first) || starts_like_one {
        return Some("looks like an object id");
    }
    if short.eq_ignore_ascii_case(b"HEAD") || ORDINARY.contains(&short) {
        return Some("is one that git uses for itself");
    }
    if short.split(|byte| *byte == b'/').any(|part| part.starts_with(b"-")) {
        return Some("has a part that begins with `-`, which programs take for an option");
    }
    if short == b"refs" || short.starts_with(b"refs/") {
        return Some("holds `refs/` again, as a full name does");
    }
    if std::str::from_utf8(short).is_ok_and(|shown| text::escape(short) != shown) {
        return Some("has characters that are not seen");
    }
    None
}

/// Names directly below the git directory that git resolves before any branch.
const ORDINARY: [&[u8]; 7] = [
    b"FETCH_HEAD",
    b"ORIG_HEAD",
    b"MERGE_HEAD",
    b"CHERRY_PICK_HEAD",
    b"REVERT_HEAD",
    b"REBASE_HEAD",
    b"AUTO_MERGE",
];

/// The name without its hierarchy: `main` of `refs/heads/main`.
fn short(name: &RefName) -> &[u8] {
    let below = name.as_bytes().strip_prefix(b"refs/").unwrap_or_default();
    match below.iter().position(|byte| *byte == b'/') {
        Some(at) => &below[at + 1..],
        None => below,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trap_24_names_that_mislead() {
        let misleads = |name: &str| misleads(&RefName::parse(name.as_bytes()).unwrap()).is_some();
        let id = "3f2a9c1d04".repeat(4);
        for name in ["HEAD", "head", "-x", "a/-b", "refs/heads/main", "refs/x", "FETCH_HEAD", "a\u{202e}b"] {
            assert!(misleads(&format!("refs/heads/{name}")), "{name}");
        }
        for name in [id.clone(), format!("{id}-fix"), format!("{id}/x"), "a".repeat(64)] {
            assert!(misleads(&format!("refs/heads/{name}")), "{name}");
        }
        for name in
            ["main", "a-b", "head-line", "feature/HEAD-start", "deadbeef", "refs-x", "\u{e4}", "x/refs/y"]
        {
            assert!(!misleads(&format!("refs/heads/{name}")), "{name}");
        }
        assert!(!misleads(&format!("refs/heads/{id}x")), "no id goes on with a letter");
    }
}
