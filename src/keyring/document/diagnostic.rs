//! Findings about a file, printed as compilers do.

use crate::domain::text;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Longest part of a line that is shown, in characters.
const WINDOW: usize = 100;

/// A position in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1; 0 means the file (or directory) as a whole.
    pub line: usize,
    /// Column in characters, from 1; 0 means the line as a whole.
    pub column: usize,
}

impl Place {
    /// The file as a whole.
    pub fn whole(file: &Path) -> Self {
        Place { file: file.to_owned(), line: 0, column: 0 }
    }
}

impl fmt::Display for Place {
    /// `FILE:LINE:COLUMN`, escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.file))?;
        if self.line > 0 { write!(f, ":{}:{}", self.line, self.column) } else { Ok(()) }
    }
}

/// A path, escaped for terminals and logs.
fn shown(path: &Path) -> String {
    text::escape(path.as_os_str().as_encoded_bytes())
}

/// An error in a file: what is wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// Column in characters, from 1; 0 where the file as a whole is meant.
    pub column: usize,
    /// The line and, below it, a caret line, both without a prefix; empty where nothing can be shown.
    /// Never part of a file that holds a private key.
    pub snippet: String,
    /// What is wrong: lower case, no final period.
    pub message: String,
    /// What to write or do instead.
    pub suggestion: Option<String>,
}

impl Diagnostic {
    /// A finding about a file or directory as a whole.
    pub(crate) fn whole(file: &Path, message: impl Into<String>) -> Self {
        Diagnostic {
            file: file.to_owned(),
            line: 0,
            column: 0,
            snippet: String::new(),
            message: message.into(),
            suggestion: None,
        }
    }

    /// A finding at a place whose text is not at hand any more.
    pub(crate) fn at(place: Place, message: impl Into<String>) -> Self {
        let Place { file, line, column } = place;
        Diagnostic { line, column, ..Diagnostic::whole(&file, message) }
    }

    /// That a file is not UTF-8, of which the first `valid` bytes are.
    pub(crate) fn not_utf8(file: &Path, bytes: &[u8], valid: usize) -> Self {
        let source = Source::new(file, &String::from_utf8_lossy(bytes));
        source.diagnostic(&(valid..valid), "the file is not UTF-8 text").suggest("write the file in UTF-8")
    }

    /// Adds what to do.
    pub(crate) fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        Place { file: self.file.clone(), line: self.line, column: self.column }
    }
}

impl fmt::Display for Diagnostic {
    /// As compilers print it, several lines without a final newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\n  --> {}", self.message, self.place())?;
        let gutter = self.line.to_string();
        let blank = " ".repeat(gutter.len());
        if let Some((line, caret)) = self.snippet.split_once('\n') {
            write!(f, "\n {blank} |\n {gutter} | {line}\n {blank} | {caret}")?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "\n {blank} = help: {suggestion}")?;
        }
        Ok(())
    }
}

/// Something that loads, and that the operator probably did not mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What is odd: lower case, no final period.
    pub message: String,
    /// Where, if it has a place.
    pub place: Option<Place>,
}

impl Warning {
    /// A warning at a place.
    pub(crate) fn at(place: Place, message: impl Into<String>) -> Self {
        Warning { message: message.into(), place: Some(place) }
    }

    /// A warning about everything.
    pub(crate) fn general(message: impl Into<String>) -> Self {
        Warning { message: message.into(), place: None }
    }
}

impl Warning {
    /// What it says and where, for a log that says itself that it is a warning.
    pub fn told(&self) -> String {
        match &self.place {
            Some(place) => format!("{} ({place})", self.message),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for Warning {
    /// As compilers print it, without a final newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "warning: {}", self.message)?;
        match &self.place {
            Some(place) => write!(f, "\n  --> {place}"),
            None => Ok(()),
        }
    }
}

/// Sorts by file (in order of first mention), then by position.
pub(crate) fn sort(diagnostics: &mut [Diagnostic]) {
    let mut files: HashMap<PathBuf, usize> = HashMap::new();
    for one in diagnostics.iter() {
        let next = files.len();
        files.entry(one.file.clone()).or_insert(next);
    }
    diagnostics.sort_by_key(|one| (files.get(&one.file).copied(), one.line, one.column));
}

/// Whether this looks like a private key, or like part of one: the line that begins it, or the first
/// bytes of OpenSSH's format in base64, where somebody left that line out.
pub(crate) fn looks_private(text: &str) -> bool {
    ["PRIVATE KEY", "PuTTY-User-Key-File", "b3BlbnNzaC1rZXktdjE"].iter().any(|sign| text.contains(sign))
}

/// A file's text, to turn spans into places.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    file: Arc<Path>,
    text: Arc<str>,
    /// Holds a private key: no line of it is ever shown.
    secret: bool,
    /// Made when the first place is asked for.
    index: Arc<OnceLock<Index>>,
}

/// Where lines and characters are, so that a place costs as little at the end of a long text as at its beginning.
#[derive(Debug)]
struct Index {
    /// Where lines start.
    lines: Vec<usize>,
    /// How many characters begin before each [`BLOCK`] of the text.
    characters: Vec<usize>,
}

/// Bytes.
const BLOCK: usize = 1 << 12;

impl Index {
    fn of(text: &str) -> Self {
        let after = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let mut count = 0;
        let blocks = text.as_bytes().chunks(BLOCK).map(|block| {
            count += begun(block);
            count
        });
        let characters = std::iter::once(0).chain(blocks).collect();
        Index { lines: std::iter::once(0).chain(after).collect(), characters }
    }
}

/// How many characters begin in these bytes.
fn begun(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

impl Source {
    pub(crate) fn new(file: &Path, text: &str) -> Self {
        Source { file: file.into(), text: text.into(), secret: looks_private(text), index: Arc::default() }
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_secret(&self) -> bool {
        self.secret
    }

    pub(crate) fn place(&self, span: &Range<usize>) -> Place {
        let (line, start) = self.line_of(span.start);
        let column = self.characters(self.floor(span.start)) - self.characters(start) + 1;
        Place { file: self.file.to_path_buf(), line, column }
    }

    pub(crate) fn diagnostic(&self, span: &Range<usize>, message: impl Into<String>) -> Diagnostic {
        let place = self.place(span);
        let snippet = if self.secret { String::new() } else { self.snippet(span, place.column) };
        Diagnostic {
            snippet,
            line: place.line,
            column: place.column,
            ..Diagnostic::whole(&self.file, message)
        }
    }

    /// The line number of an offset and where that line starts.
    fn line_of(&self, offset: usize) -> (usize, usize) {
        let lines = &self.index().lines;
        let line = lines.partition_point(|start| *start <= self.floor(offset));
        (line, lines.get(line.saturating_sub(1)).copied().unwrap_or_default())
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| Index::of(&self.text))
    }

    /// How many characters begin before this boundary.
    fn characters(&self, at: usize) -> usize {
        let block = at / BLOCK;
        let before = self.index().characters.get(block).copied().unwrap_or_default();
        before + begun(&self.text.as_bytes()[block * BLOCK..at])
    }

    /// The nearest character boundary at or before `offset`, inside the text.
    fn floor(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }

    fn snippet(&self, span: &Range<usize>, column: usize) -> String {
        let (_, start) = self.line_of(span.start);
        let line = self.text[start..].lines().next().unwrap_or_default();
        let length = line.chars().count();
        let marked = self.text[self.floor(span.start)..self.floor(span.end.max(span.start))]
            .lines()
            .next()
            .map_or(0, |part| part.chars().count());
        // A window around the caret, for lines such as keys.
        let from = if length > WINDOW { (column - 1).saturating_sub(WINDOW / 4) } else { 0 };
        let to = (from + WINDOW).min(length);
        let lead = if from > 0 { "…" } else { "" };
        let tail = if to < length { "…" } else { "" };
        let part: String = line.chars().skip(from).take(to - from).map(printable).collect();
        let carets = marked.clamp(1, (to + 1).saturating_sub(column).max(1));
        let indent = " ".repeat(column - 1 - from + lead.chars().count());
        format!("{lead}{}{tail}\n{indent}{}", part.trim_end(), "^".repeat(carets))
    }
}

/// Keeps one column per character and anything deceptive off the terminal.
fn printable(c: char) -> char {
    match c {
        '\\' => c,
        '\t' => ' ',
        _ if text::escape(c.encode_utf8(&mut [0; 4]).as_bytes()).chars().eq([c]) => c,
        _ => '\u{fffd}',
    }
}

/// The candidate that a misspelt word probably means.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A long word cannot be a slip of the fingers, and comparing it would be quadratic.
    if word.chars().count() > 64 {
        return None;
    }
    let normal = |text: &str| text.to_lowercase().replace('_', "-");
    let word = normal(word);
    let scored = candidates.into_iter().map(|candidate| (distance(&word, &normal(candidate)), candidate));
    let (score, best) = scored.min()?;
    (score <= 1.max(best.chars().count() / 3)).then_some(best)
}

/// Edit distance with transpositions (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let swap = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + swap);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("socekt", "socket"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(nearest("force_push", ["force-push", "ref-deletion"]), Some("force-push"));
        assert_eq!(nearest("xyz", ["force-push", "ref-deletion"]), None);
        assert_eq!(nearest(&"x".repeat(1 << 20), ["x"]), None);
    }

    #[test]
    fn carets_stand_under_what_is_meant() {
        let source = Source::new(Path::new("f"), "a = 1\nüber = \"x\\y\"\t# \u{202e}\n");
        let at = source.text().find("\"x").unwrap();
        let one = source.diagnostic(&(at..at + 5), "m");
        assert_eq!((one.line, one.column), (2, 8));
        assert_eq!(one.snippet, "über = \"x\\y\" # \u{fffd}\n       ^^^^^");
        let end = source.text().len();
        assert_eq!(source.diagnostic(&(end..end + 9), "m").line, 3, "offsets beyond the end are harmless");
    }

    #[test]
    fn places_are_where_counting_finds_them() {
        let long = "ü€x".repeat(3000);
        for text in ["", "\n", "a", "\n\nb\n", "ü\r\nx", &long, &format!("{long}\n\n{long}\nend")] {
            let source = Source::new(Path::new("f"), text);
            let step = if text.len() > 1000 { 61 } else { 1 };
            for at in (0..=text.len()).step_by(step).filter(|at| text.is_char_boundary(*at)) {
                let before = &text[..at];
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
                let seen = source.place(&(at..at));
                assert_eq!((seen.line, seen.column), (line, column), "byte {at}");
            }
        }
    }

    #[test]
    fn long_lines_are_cut_around_the_caret() {
        let line = format!("k = \"{}\" !", "x".repeat(500));
        let source = Source::new(Path::new("f"), &line);
        let one = source.diagnostic(&(507..508), "m");
        let (shown, caret) = one.snippet.split_once('\n').unwrap();
        assert!(shown.chars().count() <= WINDOW + 2);
        assert_eq!(shown.chars().nth(caret.chars().count() - 1), Some('!'));
    }

    #[test]
    fn private_keys_are_never_shown() {
        let source = Source::new(Path::new("f"), "ssh = \"-----BEGIN OPENSSH PRIVATE KEY-----\"\n");
        assert_eq!(source.diagnostic(&(0..3), "m").snippet, "");
    }
}
