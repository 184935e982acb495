//! Full ref names, checked by the rules of `git check-ref-format`.

use super::text;
use std::fmt;

/// The full name of a ref, for example `refs/heads/main`: bytes, not necessarily UTF-8.
///
/// Holding one proves that the name follows git's ref format, so it has no control bytes, no newline
/// and no `..` (semantics N5).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RefName(Vec<u8>);

/// Why some bytes are not a ref name; the rule of `git check-ref-format` that they break.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a valid ref name: {why}")]
pub struct RefNameError {
    /// The name, escaped.
    pub name: String,
    /// The rule it breaks.
    pub why: &'static str,
}

impl RefName {
    /// Longest name that is accepted, in bytes; longer ones could not be stored as files either.
    pub const MAX_LEN: usize = 1024;

    /// Checks `name` against git's rules for full ref names; it must lie below `refs/`.
    pub fn parse(name: &[u8]) -> Result<Self, RefNameError> {
        match fault(name) {
            None => Ok(RefName(name.to_vec())),
            Some(why) => Err(RefNameError { name: text::escape(name), why }),
        }
    }

    /// The name's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// `main` of `refs/heads/main`, or `None` where this is no branch.
    pub fn branch(&self) -> Option<&[u8]> {
        self.0.strip_prefix(b"refs/heads/")
    }

    /// `v1` of `refs/tags/v1`, or `None` where this is no tag.
    pub fn tag(&self) -> Option<&[u8]> {
        self.0.strip_prefix(b"refs/tags/")
    }
}

fn fault(name: &[u8]) -> Option<&'static str> {
    if name.len() > RefName::MAX_LEN {
        return Some("it is longer than 1024 bytes");
    }
    let Some(rest) = name.strip_prefix(b"refs/") else {
        return Some("it does not start with `refs/`");
    };
    if rest.is_empty() {
        return Some("nothing follows `refs/`");
    }
    if name.iter().any(|byte| *byte < 0x20 || *byte == 0x7f) {
        return Some("it has a control character");
    }
    if name.iter().any(|byte| b" ~^:?*[\\".contains(byte)) {
        return Some("it has one of: space ~ ^ : ? * [ \\");
    }
    if name.windows(2).any(|pair| pair == b"..") {
        return Some("it has `..`");
    }
    if name.windows(2).any(|pair| pair == b"@{") {
        return Some("it has `@{`");
    }
    if name.ends_with(b".") {
        return Some("it ends with `.`");
    }
    for component in name.split(|byte| *byte == b'/') {
        if component.is_empty() {
            return Some("it has an empty component");
        }
        if component.starts_with(b".") {
            return Some("a component starts with `.`");
        }
        if component.ends_with(b".lock") {
            return Some("a component ends with `.lock`");
        }
    }
    None
}

impl fmt::Display for RefName {
    /// The name, escaped for terminals and logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::escape(&self.0))
    }
}

impl fmt::Debug for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_git_accepts() {
        for name in ["refs/heads/main", "refs/tags/v1.0", "refs/heads/feature/x-y", "refs/heads/@", "refs/x"]
        {
            assert!(RefName::parse(name.as_bytes()).is_ok(), "{name}");
        }
        assert!(RefName::parse(b"refs/heads/\xff").is_ok(), "bytes beyond ASCII are legal");
    }

    #[test]
    fn n05_refuses_malformed_names() {
        for name in [
            "main",
            "HEAD",
            "refs/",
            "refs//x",
            "refs/heads/a..b",
            "refs/heads/a\nb",
            "refs/heads/a b",
            "refs/heads/.a",
            "refs/heads/a.lock",
            "refs/heads/a.",
            "refs/heads/a@{1}",
            "refs/heads/a\\b",
            "refs/heads/a~1",
            "refs/heads/",
            "refs/heads/a\u{7f}",
            "refs/heads/a.lock/b",
        ] {
            assert!(RefName::parse(name.as_bytes()).is_err(), "{name:?}");
        }
    }
}
