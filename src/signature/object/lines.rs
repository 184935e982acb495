//! The header part of an object as lines (G1, G4 to G6).

use super::{GrammarError, MAX_HEADER, bad};

/// The header part with its last line feed, and what follows the empty line (G1, G4).
pub(super) fn split_header(raw: &[u8]) -> Result<(&[u8], &[u8]), GrammarError> {
    let window = &raw[..raw.len().min(MAX_HEADER + 2)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\n\n") else {
        return Err(if raw.len() > MAX_HEADER {
            bad("obj.header_too_large", "the header part is larger than 1 MiB")
        } else {
            bad("obj.no_header_end", "no empty line ends the header part")
        });
    };
    if raw.contains(&0) {
        return Err(bad("obj.nul", "there is a NUL byte, where git stops reading and a signature does not"));
    }
    Ok((&raw[..=end], &raw[end + 2..]))
}

/// One header line with its continuations.
#[derive(Clone)]
pub(super) struct Header<'a> {
    pub(super) name: &'a [u8],
    /// The value on the first line.
    pub(super) value: &'a [u8],
    /// The lines that continue it, each still with its leading space and line feed.
    pub(super) continuation: &'a [u8],
    /// Where the whole of it is in the header part, last line feed included.
    pub(super) range: std::ops::Range<usize>,
}

impl<'a> Header<'a> {
    /// The value of a header that has one line and no carriage return (G5).
    pub(super) fn fixed_value(&self) -> Result<&'a [u8], GrammarError> {
        if !self.continuation.is_empty() {
            return Err(bad("obj.bad_header", format!("the {} line is continued", self.shown())));
        }
        if self.value.contains(&b'\r') {
            return Err(bad(
                "obj.cr_header",
                format!("there is a carriage return in the {} line", self.shown()),
            ));
        }
        Ok(self.value)
    }

    pub(super) fn shown(&self) -> String {
        crate::domain::text::escape_short(self.name, 40)
    }

    /// The value with the single leading space of each continuation line removed.
    pub(super) fn unfolded(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.value.len() + 1 + self.continuation.len());
        out.extend_from_slice(self.value);
        out.push(b'\n');
        for line in self.continuation.split_inclusive(|byte| *byte == b'\n') {
            out.extend_from_slice(&line[1..]);
        }
        out
    }
}

/// Walks the header part, which ends with a line feed and has no empty line.
pub(super) struct HeaderLines<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> HeaderLines<'a> {
    pub(super) fn new(all: &'a [u8]) -> Self {
        Self { all, at: 0 }
    }

    fn line(&self, from: usize) -> &'a [u8] {
        let rest = &self.all[from..];
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
        &rest[..end]
    }

    /// The next header (G6).
    pub(super) fn next(&mut self) -> Result<Option<Header<'a>>, GrammarError> {
        if self.at >= self.all.len() {
            return Ok(None);
        }
        let start = self.at;
        let first = self.line(start);
        let text = first.strip_suffix(b"\n").unwrap_or(first);
        let mut end = start + first.len();
        while self.all.get(end) == Some(&b' ') {
            end += self.line(end).len();
        }
        self.at = end;
        let (name, value) = match text.iter().position(|byte| *byte == b' ') {
            Some(space) => (&text[..space], &text[space + 1..]),
            // What git's own test suite calls a bare signature header: empty, not absent (C012).
            None if text == b"gpgsig" || text == b"gpgsig-sha256" => (text, &text[text.len()..]),
            None => return Err(bad("obj.bad_header", "a header line has no space")),
        };
        let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'.' | b'-');
        if name.is_empty() || !name.iter().all(legal) {
            return Err(bad("obj.bad_header", "a header line does not begin with a header's name"));
        }
        let continuation = &self.all[start + first.len()..end];
        Ok(Some(Header { name, value, continuation, range: start..end }))
    }
}
