//! The one pattern dialect: gitignore-like globs, or anchored regular expressions after `re:`.

use globset::{GlobBuilder, GlobMatcher};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A compiled pattern. `*` and `?` stop at `/`, `**` spans it; `re:` starts a regular expression that
/// must match the whole name. Matching is on bytes and case-sensitive.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: String,
    matcher: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    Glob(GlobMatcher),
    Regex(regex::bytes::Regex),
}

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing to match.
    #[error("a pattern cannot be empty")]
    Empty,
    /// The glob does not parse.
    #[error("`{pattern}` is not a valid glob: {why}")]
    Glob {
        /// As written.
        pattern: String,
        /// What the parser says.
        why: String,
    },
    /// The regular expression does not parse or is too large.
    #[error("`{pattern}` is not a valid regular expression: {why}")]
    Regex {
        /// As written.
        pattern: String,
        /// What the parser says.
        why: String,
    },
    /// A ref pattern that can match no full ref name.
    #[error("`{pattern}` can match no ref: patterns are matched against full names; write `{suggestion}`")]
    ShortRef {
        /// As written.
        pattern: String,
        /// The full name.
        suggestion: String,
    },
}

impl Pattern {
    /// Compiles a pattern for repository names or paths.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        Self::compile(source, false)
    }

    /// The same where the case of ASCII letters does not count. For what people see beyond that, match
    /// folded names as well, see [`crate::domain::fold_name`].
    pub fn without_case(source: &str) -> Result<Self, PatternError> {
        Self::compile(source, true)
    }

    fn compile(source: &str, any_case: bool) -> Result<Self, PatternError> {
        if source.is_empty() || source == "re:" {
            return Err(PatternError::Empty);
        }
        let matcher = match source.strip_prefix("re:") {
            Some(expression) => Matcher::Regex(
                // Names are bytes: with Unicode classes, `.` would not match a byte that is no UTF-8, and a
                // name with one would slip past the pattern.
                regex::bytes::RegexBuilder::new(&format!("\\A(?:{expression})\\z"))
                    .unicode(false)
                    .case_insensitive(any_case)
                    .dot_matches_new_line(true)
                    .size_limit(1 << 20)
                    .build()
                    .map_err(|e| PatternError::Regex { pattern: source.to_owned(), why: last_line(&e) })?,
            ),
            None => Matcher::Glob(
                GlobBuilder::new(source)
                    .case_insensitive(any_case)
                    .literal_separator(true)
                    .backslash_escape(true)
                    .build()
                    .map_err(|e| PatternError::Glob {
                        pattern: source.to_owned(),
                        why: e.kind().to_string(),
                    })?
                    .compile_matcher(),
            ),
        };
        Ok(Pattern { source: source.to_owned(), matcher })
    }

    /// Compiles a pattern for full ref names. A glob that does not start with `refs/` could only ever
    /// match nothing, which would silently unprotect a branch, so it is an error with a suggestion.
    pub fn for_refs(source: &str) -> Result<Self, PatternError> {
        let literal_start =
            source.starts_with("re:") || source.starts_with("refs/") || source.starts_with("**");
        if !literal_start && !source.is_empty() {
            let suggestion = match source.strip_prefix("heads/").or_else(|| source.strip_prefix("tags/")) {
                Some(_) => format!("refs/{source}"),
                None => format!("refs/heads/{source}"),
            };
            return Err(PatternError::ShortRef { pattern: source.to_owned(), suggestion });
        }
        Self::new(source)
    }

    /// Whether the whole of `name` matches.
    pub fn is_match(&self, name: &[u8]) -> bool {
        match &self.matcher {
            Matcher::Glob(glob) => glob.is_match(Path::new(OsStr::from_bytes(name))),
            Matcher::Regex(regex) => regex.is_match(name),
        }
    }

    /// As the operator wrote it.
    pub fn source(&self) -> &str {
        &self.source
    }
}

fn last_line(error: &regex::Error) -> String {
    error.to_string().lines().last().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_stops_at_a_slash_and_two_span_it() {
        let one = Pattern::for_refs("refs/heads/release/*").unwrap();
        assert!(one.is_match(b"refs/heads/release/1"));
        assert!(!one.is_match(b"refs/heads/release/1/x"));
        assert!(!one.is_match(b"refs/heads/release"));
        let two = Pattern::for_refs("refs/heads/release/**").unwrap();
        assert!(two.is_match(b"refs/heads/release/1/x"));
        assert!(Pattern::new("infra/**").unwrap().is_match(b"infra/a/b"));
        assert!(!Pattern::new("infra/**").unwrap().is_match(b"other/infra/a"));
        assert!(Pattern::new("**").unwrap().is_match(b"any/thing"));
    }

    #[test]
    fn expressions_match_the_whole_name() {
        let pattern = Pattern::for_refs("re:refs/heads/(main|master)").unwrap();
        assert!(pattern.is_match(b"refs/heads/main"));
        assert!(!pattern.is_match(b"refs/heads/main-evil"));
        assert!(!pattern.is_match(b"x/refs/heads/main"));
        assert!(Pattern::new("re:a|b").unwrap().is_match(b"b"));
        assert!(!Pattern::new("re:a|b").unwrap().is_match(b"bc"));
    }

    #[test]
    fn refuses_patterns_that_protect_nothing() {
        assert_eq!(
            Pattern::for_refs("main").unwrap_err().to_string(),
            "`main` can match no ref: patterns are matched against full names; write `refs/heads/main`"
        );
        assert!(matches!(Pattern::for_refs("tags/v*"), Err(PatternError::ShortRef { .. })));
        assert!(matches!(Pattern::new(""), Err(PatternError::Empty)));
        assert!(matches!(Pattern::new("a[").unwrap_err(), PatternError::Glob { .. }));
        assert!(matches!(Pattern::new("re:(").unwrap_err(), PatternError::Regex { .. }));
    }

    #[test]
    fn names_are_bytes_and_case_matters() {
        assert!(Pattern::for_refs("refs/heads/*").unwrap().is_match(b"refs/heads/\xff"));
        assert!(
            Pattern::for_refs("re:refs/heads/(main|release/.*)")
                .unwrap()
                .is_match(b"refs/heads/release/\xff")
        );
        assert!(Pattern::for_refs("re:refs/heads/[^/]+").unwrap().is_match("refs/heads/\u{e4}".as_bytes()));
        assert!(Pattern::for_refs("re:refs/heads/\u{e4}").unwrap().is_match("refs/heads/\u{e4}".as_bytes()));
        assert!(!Pattern::for_refs("refs/heads/main").unwrap().is_match(b"refs/heads/MAIN"));
    }

    #[test]
    fn case_can_be_left_out() {
        for source in ["a/*.Yml", "re:a/[^/]+\\.YML", "a/[w-z].yml", "{a,b}/x.yml"] {
            assert!(Pattern::without_case(source).unwrap().is_match(b"A/X.yML"), "{source}");
        }
        assert!(Pattern::without_case("a/*").unwrap().is_match(b"A/\xff"));
        assert!(!Pattern::without_case("a/*").unwrap().is_match(b"A/b/c"));
    }
}
