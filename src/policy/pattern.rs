//! The one pattern dialect: gitignore-like globs, or anchored regular expressions after `re:`.

use crate::domain::RefName;
use globset::{GlobBuilder, GlobMatcher};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A compiled pattern. `*` and `?` stop at `/`, `**` spans it; `re:` starts a regular expression that
/// must match the whole name. Matching is on bytes and case-sensitive.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: String,
    /// How many bytes of `source` every match begins with. Most patterns match little of what they are asked
    /// about, and this says so without the matcher.
    literal: usize,
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
    /// A ref pattern that can match no ref for another reason.
    #[error("`{pattern}` can match no ref: {why}")]
    NoRef {
        /// As written.
        pattern: String,
        /// Why.
        why: String,
    },
}

/// What a byte of a glob becomes, in bytes, and more than that.
const GLOB: usize = 64;

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
        let literal = if any_case { 0 } else { literal_start(source) };
        Ok(Pattern { source: source.to_owned(), literal, matcher })
    }

    /// Compiles a pattern for full ref names. One that could only ever match nothing would silently unprotect a
    /// branch, so it is an error, with a suggestion where there is one.
    pub fn for_refs(source: &str) -> Result<Self, PatternError> {
        if source.starts_with('~') {
            let meant = if source.to_ascii_lowercase().starts_with("~al") { "~ALL" } else { "~DEFAULT" };
            return Err(PatternError::ShortRef { pattern: source.to_owned(), suggestion: meant.to_owned() });
        }
        if let Some(expression) = source.strip_prefix("re:") {
            check_alternatives(source, expression)?;
        } else if source.starts_with("refs/")
            && let Some(why) = never(source)
        {
            return Err(PatternError::NoRef { pattern: source.to_owned(), why });
        }
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

    /// About how many bytes the pattern takes once it is compiled. It may be none, which costs little.
    pub fn weight(source: &str) -> usize {
        let Some(expression) = source.strip_prefix("re:") else { return source.len() * GLOB };
        let fits = |limit: &usize| {
            let mut builder = regex::bytes::RegexBuilder::new(expression);
            !matches!(builder.unicode(false).size_limit(*limit).build(), Err(regex::Error::CompiledTooBig(_)))
        };
        [1 << 12, 1 << 14, 1 << 16, 1 << 18].into_iter().find(fits).unwrap_or(1 << 20)
    }

    /// Whether the whole of `name` matches.
    pub fn is_match(&self, name: &[u8]) -> bool {
        if !name.starts_with(&self.source.as_bytes()[..self.literal]) {
            return false;
        }
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

/// How many bytes of a pattern stand for themselves at its start. The slash before `**` is not counted: whether
/// there has to be one is the matcher's to say.
fn literal_start(source: &str) -> usize {
    if source.starts_with("re:") {
        return 0;
    }
    let start = source.split(['*', '?', '[', ']', '{', '}', '\\']).next().unwrap_or_default();
    if start.len() == source.len() { start.len() } else { start.trim_end_matches('/').len() }
}

/// Why a glob can match no ref name, where that can be told without looking into its sets.
fn never(glob: &str) -> Option<String> {
    if glob.contains(['[', ']', '{', '}', '\\']) {
        return None;
    }
    // A wildcard can stand for any letter, and what is no name then is none at all; `**` for parts as well.
    let name = glob.replace("**", "*").replace(['*', '?'], "a");
    RefName::parse(name.as_bytes()).err().map(|error| error.why.to_owned())
}

/// Looks at what each alternative of an expression for refs begins with: `re:refs/heads/a|b` does not hold the branch
/// `b`, whatever its reader thinks.
fn check_alternatives(source: &str, expression: &str) -> Result<(), PatternError> {
    const START: &str = "refs/";
    let lost = |part: &&str| {
        let begin = literal_begin(part);
        !START.starts_with(begin.as_str()) && !begin.starts_with(START)
    };
    let parts = alternatives(expression);
    let Some(first) = parts.iter().copied().find(|part| lost(part)) else { return Ok(()) };
    let pattern = source.to_owned();
    if parts.iter().all(lost) {
        let bare = expression.trim_start_matches('^');
        let bare = bare.strip_suffix('$').filter(|bare| !bare.ends_with('\\')).unwrap_or(bare);
        return Err(PatternError::ShortRef { pattern, suggestion: format!("re:refs/heads/({bare})") });
    }
    let why = format!(
        "its part `{first}` is all of a name, since `|` divides the whole expression, and names begin with `refs/`; \
         put what `|` is to divide into a group, such as `re:refs/heads/(main|master)`"
    );
    Err(PatternError::NoRef { pattern, why })
}

/// The parts of an expression between the `|` that stand in no group and no set.
fn alternatives(expression: &str) -> Vec<&str> {
    let (mut parts, mut from, mut depth, mut set, mut escaped) = (Vec::new(), 0, 0_usize, false, false);
    for (at, c) in expression.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => set = true,
            ']' => set = false,
            _ if set => {}
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => {
                parts.push(&expression[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&expression[from..]);
    parts
}

/// What every match of an expression begins with, as far as its characters stand for themselves.
fn literal_begin(part: &str) -> String {
    let mut begin = String::new();
    let mut rest = part.trim_start_matches('^').chars().peekable();
    while let Some(c) = rest.next() {
        let c = match c {
            '\\' => match rest.next() {
                Some(c) if c.is_ascii_punctuation() => c,
                _ => break,
            },
            '.' | '[' | '(' | '$' | '^' | '|' | '*' | '+' | '?' | '{' | ')' => break,
            c => c,
        };
        // What may be left out begins nothing.
        if rest.peek().is_some_and(|next| "*?{".contains(*next)) {
            break;
        }
        begin.push(c);
    }
    begin
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
    fn what_a_pattern_begins_with_decides_nothing_that_the_matcher_would_not() {
        let names = [
            "", "a", "a/", "a/b", "a/b/c", "ab", "abc", "a*", "a**", "a?b", "[a]", "{a,b}", "b", "A/B", "/a",
            "a//b", "re:a",
        ];
        let patterns = [
            "a",
            "a/b",
            "a/*",
            "a/**",
            "a/**/c",
            "**/b",
            "**",
            "a*",
            "a?b",
            "[a]b",
            "a[b]c",
            "{a,b}",
            "a{b,}",
            "\\[a\\]",
            "\\{a,b\\}",
            "a\\*",
            "re:a.*",
            "re:re:a",
        ];
        for pattern in patterns {
            for pattern in [Pattern::new(pattern).unwrap(), Pattern::without_case(pattern).unwrap()] {
                let alone = Pattern { literal: 0, ..pattern.clone() };
                for name in names {
                    let (found, wanted) =
                        (pattern.is_match(name.as_bytes()), alone.is_match(name.as_bytes()));
                    assert_eq!(found, wanted, "{} {name}", pattern.source());
                }
            }
        }
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
    fn expressions_that_hold_no_ref_protect_nothing_either() {
        for (wrong, right) in [
            ("re:main", "re:refs/heads/(main)"),
            ("re:main|release/.*", "re:refs/heads/(main|release/.*)"),
            ("re:^heads/x$", "re:refs/heads/(heads/x)"),
            ("~default", "~DEFAULT"),
            ("~DEFAULT_BRANCH", "~DEFAULT"),
            ("~All", "~ALL"),
        ] {
            match Pattern::for_refs(wrong) {
                Err(PatternError::ShortRef { suggestion, .. }) => assert_eq!(suggestion, right),
                other => panic!("{wrong}: {other:?}"),
            }
        }
        for wrong in [
            "re:refs/heads/main|master",
            "re:a|refs/heads/b",
            "refs/heads/main ",
            "refs/heads/",
            "refs/heads/**/",
            "refs/heads//x",
            "refs/heads/a..b",
            "refs/heads/x.lock",
        ] {
            assert!(matches!(Pattern::for_refs(wrong), Err(PatternError::NoRef { .. })), "{wrong}");
        }
        for right in [
            "re:refs/heads/main|refs/heads/master",
            "re:refs/heads/(main|master)",
            "re:(refs/heads/a|b)",
            "re:(?i)refs/heads/a",
            "re:refs/heads/[|]x",
            "re:refs\\/heads\\/x",
            "re:.*main",
            "re:r.*|refs/x",
            "re:x?refs/heads/a",
            "re:^refs/heads/x$",
            "refs/heads/**",
            "refs/**",
            "refs/heads/**/*",
            "refs/heads/v?.*",
            "refs/heads/[ab].lock",
            "**/main",
        ] {
            assert!(Pattern::for_refs(right).is_ok(), "{right}");
        }
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
