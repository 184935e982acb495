//! Walks a parsed TOML document, collecting every fault instead of stopping at the first.

use super::{Diagnostic, Place, Source, nearest};
use crate::domain::{Timestamp, text};
use std::cell::{Cell, RefCell};
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// Most faults of one document that are told: what has more of them is something else, or is meant to cost time.
const MAX_FAULTS: usize = 100;

/// One document and what was found wrong with it so far.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) source: Source,
    found: RefCell<Vec<Diagnostic>>,
    /// How many there were, those among them that are not told.
    count: Cell<usize>,
}

impl Reader {
    pub(crate) fn new(source: Source) -> Self {
        Reader { source, found: RefCell::default(), count: Cell::new(0) }
    }

    /// Parses the text. Syntax errors are recorded; what could be read is given all the same.
    pub(crate) fn parse(&self) -> DeTable<'_> {
        let (document, errors) = DeTable::parse_recoverable(self.source.text());
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            // The parser's text may quote the document, and a private key must not be echoed.
            let message = if self.source.is_secret() {
                "the file is not valid TOML".to_owned()
            } else {
                text::escape(error.message().replace('\n', ", ").as_bytes())
            };
            self.error(&span, message);
        }
        document.into_inner()
    }

    /// Records an error at a span.
    pub(crate) fn error(&self, span: &Range<usize>, message: impl Into<String>) {
        self.add(|| self.source.diagnostic(span, message));
    }

    /// Records an error with what to do about it.
    pub(crate) fn error_with(
        &self,
        span: &Range<usize>,
        message: impl Into<String>,
        suggestion: impl Into<String>,
    ) {
        self.add(|| self.source.diagnostic(span, message).suggest(suggestion));
    }

    pub(crate) fn push(&self, diagnostic: Diagnostic) {
        self.add(|| diagnostic);
    }

    fn add(&self, diagnostic: impl FnOnce() -> Diagnostic) {
        self.count.set(self.count.get() + 1);
        if self.count.get() <= MAX_FAULTS {
            self.found.borrow_mut().push(diagnostic());
        }
    }

    pub(crate) fn place(&self, span: &Range<usize>) -> Place {
        self.source.place(span)
    }

    pub(crate) fn count(&self) -> usize {
        self.count.get()
    }

    pub(crate) fn into_diagnostics(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        let more = self.count.get() - found.len();
        if more > 0 {
            let message = format!("the file has {more} more faults than these {MAX_FAULTS}");
            found.push(Diagnostic::whole(self.source.file(), message));
        }
        found
    }
}

/// A table whose keys are asked for one by one; [`Table::finish`] refuses the others.
#[derive(Debug)]
pub(crate) struct Table<'r, 'd> {
    reader: &'r Reader,
    entries: &'d DeTable<'d>,
    span: Range<usize>,
    name: &'static str,
    known: RefCell<Vec<&'static str>>,
}

impl<'r, 'd> Table<'r, 'd> {
    /// `name` is how messages call it, such as `[daemon]`.
    pub(crate) fn new(
        reader: &'r Reader,
        entries: &'d DeTable<'d>,
        span: Range<usize>,
        name: &'static str,
    ) -> Self {
        Table { reader, entries, span, name, known: RefCell::default() }
    }

    /// The value of a key, if it is there.
    pub(crate) fn get(&self, key: &'static str) -> Option<Item<'r, 'd>> {
        self.known.borrow_mut().push(key);
        let (found, value) = self.entries.get_key_value(key)?;
        Some(Item {
            reader: self.reader,
            key: found.span(),
            span: value.span(),
            value: value.get_ref(),
            name: key,
        })
    }

    /// The value of a key that must be there.
    pub(crate) fn require(&self, key: &'static str, help: &str) -> Option<Item<'r, 'd>> {
        let item = self.get(key);
        if item.is_none() {
            let message = format!("`{key}` is missing in {}", self.name);
            if self.span.is_empty() {
                // The document as such has no place to point at.
                self.reader.push(Diagnostic::whole(self.reader.source.file(), message).suggest(help));
            } else {
                self.reader.error_with(&self.span, message, help);
            }
        }
        item
    }

    /// A table below this one.
    pub(crate) fn table(&self, key: &'static str, name: &'static str) -> Option<Table<'r, 'd>> {
        self.get(key)?.table(name)
    }

    /// Tables of an array of tables.
    pub(crate) fn tables(&self, key: &'static str, name: &'static str) -> Vec<Table<'r, 'd>> {
        let Some(item) = self.get(key) else { return Vec::new() };
        let DeValue::Array(array) = item.value else {
            let message = format!("`{key}` is {}, not a list of tables", kind(item.value));
            self.reader.error_with(&item.key, message, format!("write `{name}` above it"));
            return Vec::new();
        };
        let items = array.iter().map(|value| item.element(value));
        items.filter_map(|item| item.table(name)).collect()
    }

    /// Every entry, for tables whose keys are data.
    pub(crate) fn entries(&self) -> Vec<(&'d str, Item<'r, 'd>)> {
        let mut all: Vec<_> = self
            .entries
            .iter()
            .map(|(key, value)| {
                let item = Item {
                    reader: self.reader,
                    key: key.span(),
                    span: value.span(),
                    value: value.get_ref(),
                    name: "",
                };
                (key.get_ref().as_ref(), item)
            })
            .collect();
        all.sort_by_key(|(_, item)| item.key.start);
        all
    }

    pub(crate) fn span(&self) -> &Range<usize> {
        &self.span
    }

    pub(crate) fn reader(&self) -> &'r Reader {
        self.reader
    }

    /// Refuses every key that was not asked for.
    pub(crate) fn finish(self) {
        self.finish_with(|span, message| self.reader.source.diagnostic(span, message));
    }

    /// The same for a table in which somebody may have written a secret: its lines are not shown.
    pub(crate) fn finish_unseen(self) {
        self.finish_with(|span, message| Diagnostic::at(self.reader.place(span), message));
    }

    fn finish_with(&self, fault: impl Fn(&Range<usize>, String) -> Diagnostic) {
        let known = self.known.borrow();
        for (key, item) in self.entries() {
            if known.contains(&key) {
                continue;
            }
            let shown = text::escape_short(key.as_bytes(), 60);
            let suggestion = match nearest(key, known.iter().copied()) {
                Some(best) => format!("did you mean `{best}`?"),
                None => format!("known here: {}", list(known.iter().copied())),
            };
            let message = format!("unknown key `{shown}` in {}", self.name);
            self.reader.push(fault(&item.key, message).suggest(suggestion));
        }
    }
}

/// A value and where it and its key stand.
#[derive(Clone, Debug)]
pub(crate) struct Item<'r, 'd> {
    pub(crate) reader: &'r Reader,
    pub(crate) key: Range<usize>,
    pub(crate) span: Range<usize>,
    pub(crate) value: &'d DeValue<'d>,
    name: &'static str,
}

impl<'r, 'd> Item<'r, 'd> {
    pub(crate) fn error(&self, message: impl Into<String>) {
        self.reader.error(&self.span, message);
    }

    pub(crate) fn error_with(&self, message: impl Into<String>, suggestion: impl Into<String>) {
        self.reader.error_with(&self.span, message, suggestion);
    }

    fn wrong_type(&self, wanted: &str) {
        self.error(format!("`{}` is {}, not {wanted}", self.name, kind(self.value)));
    }

    fn element(&self, value: &'d toml::Spanned<DeValue<'d>>) -> Item<'r, 'd> {
        Item { span: value.span(), value: value.get_ref(), ..self.clone() }
    }

    pub(crate) fn string(&self) -> Option<&'d str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => {
                self.wrong_type("a string");
                None
            }
        }
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            _ => {
                self.wrong_type("`true` or `false`");
                None
            }
        }
    }

    /// A whole number that is not negative.
    pub(crate) fn number(&self) -> Option<u64> {
        match self.value {
            DeValue::Integer(number) => match u64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Some(number),
                Err(_) => {
                    self.error(format!("`{}` must be a whole number from 0 on", self.name));
                    None
                }
            },
            _ => {
                self.wrong_type("a whole number");
                None
            }
        }
    }

    pub(crate) fn table(&self, name: &'static str) -> Option<Table<'r, 'd>> {
        match self.value {
            DeValue::Table(entries) => Some(Table::new(self.reader, entries, self.span.clone(), name)),
            _ => {
                let message = format!("`{}` is {}, not a table", self.name, kind(self.value));
                self.reader.error_with(&self.key, message, format!("write it as {name}"));
                None
            }
        }
    }

    pub(crate) fn array(&self, wanted: &str) -> Option<Vec<Item<'r, 'd>>> {
        match self.value {
            DeValue::Array(array) => Some(array.iter().map(|value| self.element(value)).collect()),
            _ => {
                self.wrong_type(wanted);
                None
            }
        }
    }

    /// A list of strings, each with its place; elements of other types are errors and left out.
    pub(crate) fn strings(&self) -> Vec<(&'d str, Item<'r, 'd>)> {
        let items = match self.value {
            DeValue::String(text) => {
                let shown = text::escape_short(text.as_bytes(), 60);
                self.error_with(
                    format!("`{}` is a string, not a list of strings", self.name),
                    format!("write [\"{shown}\"]"),
                );
                return Vec::new();
            }
            _ => self.array("a list of strings").unwrap_or_default(),
        };
        items.into_iter().filter_map(|item| item.string().map(|text| (text, item))).collect()
    }

    /// One word of a fixed set.
    pub(crate) fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.string()?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let shown = text::escape_short(text.as_bytes(), 60);
            let names = || words.iter().map(|(word, _)| *word);
            let suggestion = match nearest(text, names()) {
                Some(best) => format!("did you mean \"{best}\"?"),
                None => {
                    let all: Vec<String> = names().map(|word| format!("\"{word}\"")).collect();
                    format!("one of {}", all.join(", "))
                }
            };
            self.error_with(format!("`{}` cannot be \"{shown}\"", self.name), suggestion);
        }
        found
    }

    /// A point in time: RFC 3339 with `Z` or an offset, as a TOML date-time or in a string.
    pub(crate) fn time(&self, name: &str) -> Option<Timestamp> {
        let written = match self.value {
            DeValue::Datetime(value) => value.to_string(),
            DeValue::String(text) => text.to_string(),
            _ => {
                self.error_with(
                    format!("`{name}` is not a time"),
                    format!("write `{name} = 2026-01-31T12:00:00Z`"),
                );
                return None;
            }
        };
        if let Ok(time) = written.parse::<Timestamp>() {
            return Some(time);
        }
        let shown = text::escape_short(written.as_bytes(), 60);
        let zoned = |candidate: String| candidate.parse::<Timestamp>().is_ok().then_some(candidate);
        let guess = zoned(format!("{written}T00:00:00Z")).or_else(|| zoned(format!("{written}Z")));
        match guess {
            Some(guess) => {
                self.error_with(
                    format!("`{shown}` has no time zone, so it means another moment on every machine"),
                    format!("add it: `{name} = {guess}`"),
                );
            }
            None => self.error_with(
                format!("`{shown}` is not a time"),
                format!("write `{name} = 2026-01-31T12:00:00Z`"),
            ),
        }
        None
    }
}

fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
