//! Patterns of other systems as patterns of ours: exactly, or not at all.

use regex::escape;

/// Why a pattern has no equal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unconvertible(pub String);

fn cannot<T>(why: impl Into<String>) -> Result<T, Unconvertible> {
    Err(Unconvertible(why.into()))
}

/// A character of UTF-8 that is none of ASCII, for expressions that look at bytes.
macro_rules! multibyte {
    () => {
        r"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
    };
}

/// One character that is no `/`, of a name in UTF-8, in an expression that looks at bytes.
const NO_SLASH: &str = concat!(r"(?:[\x00-.0-\x7f]|", multibyte!(), ")");
/// Any character but a line feed, alike.
const ANY: &str = concat!(r"(?:[\x00-\x09\x0b-\x7f]|", multibyte!(), ")");

/// Longest pattern, bytes.
const LONGEST: usize = 1_000;

fn fits(pattern: &str) -> Result<(), Unconvertible> {
    match pattern {
        "" => cannot("the pattern is empty"),
        long if long.len() > LONGEST => cannot("the pattern is too long"),
        pattern if pattern.chars().any(char::is_control) => cannot("the pattern has control characters"),
        _ => Ok(()),
    }
}

/// GitHub's patterns for refs: `File.fnmatch` of Ruby with `FNM_PATHNAME`, for full names below `hierarchy`.
pub fn fnmatch(pattern: &str, hierarchy: &str) -> Result<String, Unconvertible> {
    fits(pattern)?;
    if !pattern.starts_with(hierarchy) {
        return cannot(format!("it is no full name below {hierarchy}"));
    }
    glob(pattern, "the source says neither whether it is a set nor how")
}

/// The same for paths of files.
pub(super) fn fnmatch_path(pattern: &str) -> Result<String, Unconvertible> {
    fits(pattern)?;
    glob(pattern, "the source says neither whether it is a set nor how")
}

/// The same for the name of a repository, which has no `/`.
pub(super) fn fnmatch_name(pattern: &str) -> Result<String, Unconvertible> {
    fits(pattern)?;
    if pattern.contains('/') {
        return cannot("a repository's name has no `/`");
    }
    if pattern.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-*".contains(&byte))
        && !pattern.contains("**")
    {
        return Ok(pattern.to_owned());
    }
    cannot("only `*` is known to mean the same in the name of a repository")
}

fn glob(pattern: &str, set: &str) -> Result<String, Unconvertible> {
    if pattern.contains(['[', ']']) {
        return cannot(format!("`[` and `]`: {set}"));
    }
    if pattern.contains('\\') {
        return cannot("a backslash is not supported by the source");
    }
    if !pattern.contains(['*', '?', '{', '}', '!']) {
        return Ok(pattern.to_owned());
    }
    let mut out = String::from("re:");
    let mut rest = pattern;
    let mut at_start = true;
    while !rest.is_empty() {
        // `**/` at the start of a part stands for any number of parts, none included. Anywhere else `**` is `*`.
        if at_start && let Some(after) = rest.strip_prefix("**/") {
            out.push_str("(?:[^/]+/)*");
            rest = after.trim_start_matches("**/");
            continue;
        }
        let c = rest.chars().next().unwrap_or_default();
        at_start = c == '/';
        match c {
            '*' => {
                out.push_str("[^/]*");
                rest = rest.trim_start_matches('*');
                continue;
            }
            '?' => out.push_str(NO_SLASH),
            c => out.push_str(&escape(&c.to_string())),
        }
        rest = &rest[c.len_utf8()..];
    }
    Ok(out)
}

/// GitLab's wildcards for branches and tags: `*` is anything, `/` included, and there is nothing else.
pub fn gitlab_wildcard(pattern: &str, hierarchy: &str) -> Result<String, Unconvertible> {
    fits(pattern)?;
    let parts: Vec<String> = pattern.split('*').map(escape).collect();
    if parts.len() == 1 && !pattern.contains(['{', '}', '!', '?', '[', ']', '\\']) {
        return Ok(format!("{hierarchy}{pattern}"));
    }
    Ok(format!("re:{}{}", escape(hierarchy), parts.join(".*")))
}

/// What an expression is matched against, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The text of a message: a character is one of Unicode.
    Text,
    /// A name: bytes, on one line.
    Name,
}

/// An expression in RE2's or Perl's syntax, of which only that part is taken that means the same everywhere:
/// characters of ASCII, sets, groups, alternatives, repetitions, and `^` and `$` where they can be told to be the ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expression {
    /// The alternatives at the top, in our syntax, without the anchors.
    pub(super) body: String,
    /// It begins with `^`.
    pub(super) start: bool,
    /// It ends with `$`.
    pub(super) end: bool,
    /// There are alternatives at the top: whatever is put before or behind belongs to one of them only.
    pub(super) alternatives: bool,
    /// What the pattern begins with, if it begins with characters that stand for themselves.
    pub(super) literal: String,
    /// Nothing but that.
    pub(super) plain: bool,
}

/// Reads an expression.
pub(super) fn expression(pattern: &str, subject: Subject) -> Result<Expression, Unconvertible> {
    fits(pattern)?;
    if !pattern.is_ascii() {
        return cannot("an expression with other characters than ASCII");
    }
    let (mut rest, mut start, mut end) = (pattern, false, false);
    if let Some(after) = rest.strip_prefix('^') {
        (rest, start) = (after, true);
    }
    if let Some(before) = rest.strip_suffix('$') {
        let backslashes = before.bytes().rev().take_while(|byte| *byte == b'\\').count();
        if backslashes % 2 == 0 {
            (rest, end) = (before, true);
        }
    }
    let mut reader = Reader { rest, subject, depth: 0, top: false, literal: Some(String::new()) };
    let body = reader.alternatives()?;
    if !reader.rest.is_empty() {
        return cannot("a `)` without a `(`");
    }
    if reader.top && (start || end) {
        return cannot("`^` or `$` beside `|`: it belongs to one of the alternatives only");
    }
    let literal = reader.literal.clone().unwrap_or_default();
    let plain = escape_ascii(&literal) == body;
    let literal = match (plain, reader.top) {
        (true, _) => literal,
        (false, true) => String::new(),
        (false, false) => prefix(rest, subject),
    };
    Ok(Expression { body, start, end, alternatives: reader.top, literal, plain })
}

/// The characters at the beginning of an expression that stand for themselves, whatever follows.
fn prefix(pattern: &str, subject: Subject) -> String {
    let mut best = String::new();
    // A character that is repeated does not stand for itself, nor does one within a group.
    for (at, c) in pattern.char_indices() {
        let taken = &pattern[..at + c.len_utf8()];
        let next = pattern[taken.len()..].chars().next();
        if next.is_some_and(|next| "*+?{".contains(next)) {
            break;
        }
        let mut reader = Reader { rest: taken, subject, depth: 0, top: false, literal: Some(String::new()) };
        match reader.alternatives() {
            Ok(body) if reader.rest.is_empty() => {
                let literal = reader.literal.unwrap_or_default();
                if escape_ascii(&literal) == body {
                    best = literal;
                } else {
                    break;
                }
            }
            // In the middle of an escape.
            _ if c == '\\' => {}
            _ => break,
        }
    }
    best
}

/// A name that an expression is searched in, anywhere, as GitLab and gitolite do: as an expression for the whole of
/// it.
pub fn name_search(pattern: &str) -> Result<String, Unconvertible> {
    let made = expression(pattern, Subject::Name)?;
    let (before, after) = (if made.start { "" } else { ".*" }, if made.end { "" } else { ".*" });
    Ok(format!("{before}(?:{}){after}", made.body))
}

fn escape_ascii(text: &str) -> String {
    escape(text)
}

struct Reader<'a> {
    rest: &'a str,
    subject: Subject,
    depth: usize,
    /// There are alternatives at the top.
    top: bool,
    /// What was read, as long as it stands for itself.
    literal: Option<String>,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[1..];
        Some(c)
    }

    fn alternatives(&mut self) -> Result<String, Unconvertible> {
        if self.depth > 20 {
            return cannot("groups are nested too deep");
        }
        let mut out = String::new();
        let mut atom: Option<String> = None;
        while let Some(c) = self.rest.chars().next() {
            if c == ')' {
                break;
            }
            self.next();
            if "*+?{".contains(c) {
                let Some(before) = atom.take() else {
                    return cannot(format!("`{c}` with nothing before it"));
                };
                self.literal = None;
                out.push_str(&before);
                out.push_str(&self.repetition(c)?);
                continue;
            }
            out.extend(atom.take());
            match c {
                '|' => {
                    self.literal = None;
                    self.top |= self.depth == 0;
                    out.push('|');
                }
                '^' | '$' => return cannot(format!("`{c}` in the middle")),
                '(' => atom = Some(self.group()?),
                '[' => atom = Some(self.set()?),
                '.' => {
                    self.literal = None;
                    atom = Some(self.any().to_owned());
                }
                '\\' => atom = Some(self.escaped()?),
                '}' | ']' => return cannot(format!("`{c}` alone")),
                c if c.is_ascii_control() => return cannot("a control character"),
                c => {
                    if let Some(literal) = &mut self.literal {
                        literal.push(c);
                    }
                    atom = Some(escape_ascii(&c.to_string()));
                }
            }
        }
        out.extend(atom);
        Ok(out)
    }

    /// Any character but a line feed.
    fn any(&self) -> &'static str {
        match self.subject {
            Subject::Text => r"[^\n]",
            Subject::Name => ANY,
        }
    }

    fn group(&mut self) -> Result<String, Unconvertible> {
        self.literal = None;
        if self.rest.starts_with('?') {
            match self.rest.strip_prefix("?:") {
                Some(rest) => self.rest = rest,
                None => return cannot("`(?`: an option or a look around"),
            }
        }
        self.depth += 1;
        let inner = self.alternatives()?;
        self.depth -= 1;
        match self.next() {
            Some(')') => Ok(format!("(?:{inner})")),
            _ => cannot("a `(` without a `)`"),
        }
    }

    fn repetition(&mut self, c: char) -> Result<String, Unconvertible> {
        let mut out = c.to_string();
        if c == '{' {
            let Some((inside, rest)) = self.rest.split_once('}') else {
                return cannot("a `{` without a `}`");
            };
            let number =
                |text: &str| !text.is_empty() && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
            let fits = match inside.split_once(',') {
                None => number(inside),
                Some((low, "")) => number(low),
                Some((low, high)) => number(low) && number(high),
            };
            if !fits {
                return cannot("a `{` that is no repetition");
            }
            out.push_str(inside);
            out.push('}');
            self.rest = rest;
        }
        match self.rest.chars().next() {
            // Whether something matches does not hang on how much of it is taken.
            Some('?') => {
                self.next();
            }
            Some('+') => return cannot("a possessive repetition"),
            _ => {}
        }
        if self.rest.starts_with(['*', '+', '?', '{']) {
            return cannot("a repetition of a repetition");
        }
        Ok(out)
    }

    /// The members of a set that a letter after a backslash stands for.
    fn class(letter: char) -> Option<&'static str> {
        match letter {
            'd' => Some("0-9"),
            'w' => Some("0-9A-Za-z_"),
            _ => None,
        }
    }

    fn escaped(&mut self) -> Result<String, Unconvertible> {
        match self.next() {
            Some(c) if c.is_ascii_punctuation() => {
                if let Some(literal) = &mut self.literal {
                    literal.push(c);
                }
                Ok(escape_ascii(&c.to_string()))
            }
            Some(c) => match Self::class(c) {
                Some(members) => {
                    self.literal = None;
                    Ok(format!("[{members}]"))
                }
                // `\s` has a vertical tab in Perl and none in RE2; `\b`, `\A`, `\1` and so on have no equal everywhere.
                None => cannot(format!("`\\{c}`")),
            },
            None => cannot("a backslash at the end"),
        }
    }

    fn set(&mut self) -> Result<String, Unconvertible> {
        self.literal = None;
        let mut members = String::new();
        let negated = self.rest.starts_with('^');
        if negated {
            self.next();
        }
        let mut first = true;
        let mut open: Option<char> = None;
        loop {
            let Some(c) = self.next() else { return cannot("a `[` without a `]`") };
            match c {
                ']' if !first => break,
                ']' => return cannot("a `]` right after a `[`"),
                '[' => return cannot("a `[` within a set"),
                '&' | '~' if self.rest.starts_with(c) => return cannot("a set made of sets"),
                '\\' => match self.next() {
                    Some(c) if c.is_ascii_punctuation() => {
                        members.push('\\');
                        members.push(c);
                        open = Some(c);
                    }
                    Some(c) => match Self::class(c) {
                        Some(class) => {
                            members.push_str(class);
                            open = None;
                        }
                        None => return cannot(format!("`\\{c}` in a set")),
                    },
                    None => return cannot("a `[` without a `]`"),
                },
                '-' => {
                    // Between two characters it is a range, at the ends itself.
                    let next = self.rest.chars().next();
                    match (open, next) {
                        (Some(low), Some(high))
                            if high.is_ascii_alphanumeric() && low.is_ascii_alphanumeric() =>
                        {
                            if high < low {
                                return cannot("a range that goes backwards");
                            }
                            members.push('-');
                            members.push(high);
                            self.next();
                            open = None;
                        }
                        (None, _) if first => members.push_str("\\-"),
                        (_, Some(']')) => members.push_str("\\-"),
                        _ => return cannot("a `-` that is no range"),
                    }
                }
                c if c.is_ascii_graphic() || c == ' ' => {
                    if c.is_ascii_punctuation() {
                        members.push('\\');
                    }
                    members.push(c);
                    open = Some(c);
                }
                _ => return cannot("a control character"),
            }
            first = false;
        }
        Ok(match (negated, self.subject) {
            (false, _) => format!("[{members}]"),
            (true, Subject::Text) => format!("[^{members}]"),
            (true, Subject::Name) => format!("(?:[^{members}\\x80-\\xff]|{})", multibyte!()),
        })
    }
}

#[cfg(test)]
mod tests;
