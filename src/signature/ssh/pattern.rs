//! OpenSSH's pattern lists (S9): `*`, `?`, and `!` in front of what shall not match.

/// Longest list that is read, in bytes.
const MAX_LEN: usize = 8 * 1024;

/// A comma-separated list of patterns. Letters count as they are; a pattern behind `!` that matches
/// outweighs everything else; a list of nothing but such patterns matches nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternList {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    negated: bool,
    text: String,
}

/// Why text is not a pattern list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing between two commas, or nothing at all.
    #[error("there is an empty pattern in the list")]
    Empty,
    /// A blank at the beginning or the end of a pattern, as behind a comma: it would have to match.
    #[error("a pattern begins or ends with a blank")]
    Blank,
    /// Control characters.
    #[error("there is a control character in the list")]
    Control,
    /// More than 8 KiB.
    #[error("the list is longer than 8 KiB")]
    TooLong,
}

impl PatternList {
    /// Reads a list.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX_LEN {
            return Err(PatternError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(PatternError::Control);
        }
        let pattern = |word: &str| {
            let (negated, text) = word.strip_prefix('!').map_or((false, word), |rest| (true, rest));
            if text.is_empty() {
                return Err(PatternError::Empty);
            }
            if word.trim() != word || text.trim() != text {
                return Err(PatternError::Blank);
            }
            Ok(Pattern { negated, text: text.to_owned() })
        };
        Ok(Self { patterns: text.split(',').map(pattern).collect::<Result<_, _>>()? })
    }

    /// Whether the list matches `text`.
    pub fn matches(&self, text: &str) -> bool {
        let mut matched = false;
        for pattern in &self.patterns {
            if glob(pattern.text.as_bytes(), text.as_bytes()) {
                if pattern.negated {
                    return false;
                }
                matched = true;
            }
        }
        matched
    }
}

/// Whether one pattern without `!` matches; time grows with the product of the lengths at worst.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    // Where to go on when a later letter does not fit: behind the last `*`, one letter further.
    let mut retry: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                retry = Some((at, read));
            }
            Some(letter) if *letter == b'?' || *letter == text[read] => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((after, from)) = &mut retry else { return false };
                *from += 1;
                (at, read) = (*after, *from);
            }
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(list: &str, text: &str) -> bool {
        PatternList::parse(list).unwrap().matches(text)
    }

    #[test]
    fn negation_wins_and_alone_matches_nothing() {
        assert!(matches("git", "git"));
        assert!(!matches("git", "Git"), "letters count as they are");
        assert!(!matches("git", "git2"));
        assert!(matches("file,g?t", "git"));
        assert!(matches("*", "") && matches("**", "anything"));
        assert!(!matches("?", ""));
        assert!(!matches("!git,*", "git") && !matches("*,!git", "git"), "in any place");
        assert!(matches("!git,*", "file"));
        assert!(!matches("!file", "git"), "nothing but negations");
        assert!(matches("*@example.org", "a@example.org"));
        assert!(!matches("*@example.org", "a@example.org.evil"));
        assert!(!matches("*@example.org", "a@exampleXorg"));
        assert!(!matches("*@example.org,!root@*", "root@example.org"));
        assert!(matches("a*b*c", "aXbXbXc") && !matches("a*b*c", "aXcXb"));
    }

    #[test]
    fn malformed_lists() {
        for (list, wanted) in [
            ("", PatternError::Empty),
            ("a,,b", PatternError::Empty),
            ("a,", PatternError::Empty),
            (",a", PatternError::Empty),
            ("!", PatternError::Empty),
            ("a, b", PatternError::Blank),
            ("a ,b", PatternError::Blank),
            (" a", PatternError::Blank),
            ("! a", PatternError::Blank),
            ("a\u{a0}", PatternError::Blank),
            ("a\u{7}", PatternError::Control),
            ("a\nb", PatternError::Control),
            (&"a".repeat(MAX_LEN + 1), PatternError::TooLong),
        ] {
            assert_eq!(PatternList::parse(list), Err(wanted));
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let list = format!("{}b", "a*".repeat(4000));
        assert!(!matches(&list, &"a".repeat(8000)));
    }

    proptest! {
        /// The same answers as from the definition, written down as a recursion.
        #[test]
        fn as_defined(pattern in "[ab*?]{0,7}", text in "[ab]{0,7}") {
            fn defined(pattern: &[u8], text: &[u8]) -> bool {
                match (pattern.split_first(), text.split_first()) {
                    (None, rest) => rest.is_none(),
                    (Some((b'*', more)), rest) => {
                        defined(more, text) || rest.is_some_and(|(_, rest)| defined(pattern, rest))
                    }
                    (Some(_), None) => false,
                    (Some((letter, more)), Some((first, rest))) => {
                        (*letter == b'?' || letter == first) && defined(more, rest)
                    }
                }
            }
            prop_assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), defined(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
