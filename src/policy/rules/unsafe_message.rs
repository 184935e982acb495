//! `unsafe-message`: messages and names show as what they are.
//!
//! A message is printed to terminals, put into pages and read by programs. Control characters move the
//! cursor, bidirectional ones swap what stands left and right, invisible ones make two words out of one that
//! looks the same, and an encoding that is not what the header says shows every reader another text.

use super::{Finding, Judges, Kind, Rule, Scope, options, redo, retag, yes};
use crate::domain::text;
use crate::policy::charset::{Charset, NoCharset};
use crate::policy::facts::{CommitFacts, TagFacts};
use serde::Deserialize;
use std::borrow::Cow;

/// The rule's one word.
pub const NAME: &str = "unsafe-message";

/// The registry line.
pub const KIND: Kind = Kind {
    name: NAME,
    summary: "a message or name with control, bidirectional or invisible characters, or in an undeclared encoding",
    judges: Judges::Commit,
    build: |table| Ok(Box::new(UnsafeMessage::new(options(table)?)?)),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    allow: Vec<String>,
    encodings: Option<Vec<String>>,
    #[serde(default)]
    crlf: bool,
    #[serde(default = "yes")]
    tags: bool,
}

#[derive(Debug)]
struct UnsafeMessage {
    /// Characters that are let through.
    allow: Vec<char>,
    /// Encodings besides UTF-8 that a header may name, as written; `None` is every one that is known.
    encodings: Option<Vec<(String, Charset)>>,
    /// Whether a carriage return before a line feed is a line end.
    crlf: bool,
    tags: bool,
}

/// What kind of unsafe character it is, wherever it stands.
pub(super) fn class(c: char) -> Option<&'static str> {
    match u32::from(c) {
        0x1b => Some("an escape, which begins commands to a terminal"),
        0x0..=0x1f | 0x7f..=0x9f => Some("a control character"),
        0x61c | 0x200e | 0x200f | 0x202a..=0x202e | 0x2066..=0x2069 => Some("a bidirectional control"),
        0x2028 | 0x2029 => Some("a line separator"),
        0xad
        | 0x34f
        | 0x115f
        | 0x1160
        | 0x17b4
        | 0x17b5
        | 0x180b..=0x180f
        | 0x200b..=0x200d
        | 0x2060..=0x2065
        | 0x206a..=0x206f
        | 0x3164
        | 0xfe00..=0xfe0f
        | 0xfeff
        | 0xffa0
        | 0xfff0..=0xfffb
        | 0x1bca0..=0x1bca3
        | 0x1d173..=0x1d17a
        | 0xe0000..=0xe0fff => Some("an invisible character"),
        _ => None,
    }
}

/// Whether an invisible character stands where writing needs it: what makes a symbol an emoji, joins emoji,
/// picks the form of an ideograph, and the joiners of scripts whose letters change with their neighbours.
pub(super) fn belongs(before: Option<char>, c: char, after: Option<char>) -> bool {
    let symbol = |c: Option<char>| {
        c.is_some_and(|c| {
            matches!(u32::from(c), 0xa9 | 0xae | 0x203c | 0x2049 | 0x2122 | 0x2139 | 0x2190..=0x21ff
                | 0x2300..=0x27bf | 0x2900..=0x297f | 0x2b00..=0x2bff | 0x3030 | 0x303d | 0x3297 | 0x3299
                | 0x1f000..=0x1faff)
        })
    };
    let ideograph = |c: Option<char>| {
        c.is_some_and(|c| matches!(u32::from(c), 0x3400..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3ffff))
    };
    let joining = |c: Option<char>| c.is_some_and(|c| matches!(u32::from(c), 0x620..=0xdff));
    match u32::from(c) {
        0xfe0e | 0xfe0f => {
            let keycap =
                before.is_some_and(|c| matches!(c, '0'..='9' | '#' | '*')) && after == Some('\u{20e3}');
            symbol(before) || keycap
        }
        0xfe00..=0xfe02 | 0xe0100..=0xe01ef => ideograph(before),
        0x200d if symbol(after) => symbol(before) || before == Some('\u{fe0f}'),
        0x200c | 0x200d => joining(before) && joining(after),
        _ => false,
    }
}

/// What those see who read UTF-8 whatever the header says: web pages, terminals, `git cat-file`. Where each byte
/// is a character, one byte that is no UTF-8 hides nothing; where two or more make one, other text would look like
/// faults, so all of it has to be UTF-8.
fn as_utf8(charset: Charset, bytes: &[u8]) -> Option<Cow<'_, str>> {
    if charset == Charset::Utf8 || bytes.is_ascii() {
        None
    } else if charset.is_single_byte() {
        Some(String::from_utf8_lossy(bytes))
    } else {
        std::str::from_utf8(bytes).ok().map(Cow::Borrowed)
    }
}

/// Part of an object.
#[derive(Clone, Copy)]
struct Part<'a> {
    name: &'static str,
    bytes: &'a [u8],
    /// Whether tabs and line feeds may be in it.
    lines: bool,
}

impl UnsafeMessage {
    fn new(raw: Options) -> Result<Self, String> {
        let character = |written: &String| {
            let code = written.strip_prefix("U+").and_then(|hex| u32::from_str_radix(hex, 16).ok());
            let wrong =
                |why: &str| format!("`{}` in `allow` {why}", text::escape_short(written.as_bytes(), 30));
            match code.and_then(char::from_u32) {
                None => Err(wrong("is no character: write it as U+200C")),
                Some(c) if c.is_control() => {
                    Err(wrong("is a control character, and none of them is let through"))
                }
                Some(c) if class(c).is_none() => Err(wrong("is let through as it is")),
                Some(c) => Ok(c),
            }
        };
        let charset = |written: &String| {
            let shown = text::escape_short(written.as_bytes(), 40);
            match Charset::named(written.as_bytes()) {
                Ok(charset) => Ok((written.clone(), charset)),
                Err(NoCharset::Unknown) => {
                    Err(format!("`{shown}` in `encodings` is no encoding that is known"))
                }
                Err(NoCharset::NotAscii) => Err(format!(
                    "`{shown}` in `encodings` does not hold ASCII as ASCII, so that rules would misread it"
                )),
            }
        };
        Ok(UnsafeMessage {
            allow: raw.allow.iter().map(character).collect::<Result<_, _>>()?,
            encodings: raw
                .encodings
                .map(|all| all.iter().map(charset).collect::<Result<_, _>>())
                .transpose()?,
            crlf: raw.crlf,
            tags: raw.tags,
        })
    }

    /// What the header's encoding is, or what is wrong with it: seen and wanted.
    fn charset(&self, header: Option<&[u8]>) -> Result<Charset, (String, String)> {
        let Some(name) = header else { return Ok(Charset::Utf8) };
        let shown = text::escape_short(name, 40);
        let charset = Charset::named(name).map_err(|why| (why.seen(name), NoCharset::WANTED.to_owned()))?;
        match &self.encodings {
            Some(all) if charset != Charset::Utf8 && !all.iter().any(|(_, one)| *one == charset) => {
                let names: Vec<&str> =
                    ["UTF-8"].into_iter().chain(all.iter().map(|(name, _)| name.as_str())).collect();
                Err((format!("the encoding `{shown}`"), format!("a message in {}", names.join(" or "))))
            }
            _ => Ok(charset),
        }
    }

    /// The first unsafe character of a text, as people read of it, and how many there are.
    fn unsafe_in(&self, text: &str, part: Part<'_>) -> Option<String> {
        let (mut first, mut count, mut line) = (None, 0_usize, 1_usize);
        let mut before = None;
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            let after = rest.peek().copied();
            let expected = part.lines && matches!(c, '\n' | '\t')
                || part.lines && self.crlf && c == '\r' && after == Some('\n');
            if !expected
                && let Some(what) = class(c)
                && !belongs(before, c, after)
                && !self.allow.contains(&c)
            {
                first = first.or(Some((c, what, line)));
                count += 1;
            }
            line += usize::from(c == '\n');
            before = Some(c);
        }
        let (c, what, line) = first?;
        let place = if part.lines {
            format!("line {line} of the {}", part.name)
        } else {
            format!("the {}", part.name)
        };
        let more = if count > 1 { format!(", and {} more like it", count - 1) } else { String::new() };
        Some(format!("U+{:04X}, {what}, in {place}{more}", u32::from(c)))
    }

    /// What is wrong with an object: seen, wanted, and which part it is.
    fn faults(&self, header: Option<&[u8]>, parts: &[Part<'_>]) -> Vec<(String, String, &'static str)> {
        let mut out = Vec::new();
        let charset = match self.charset(header) {
            Ok(charset) => Some(charset),
            Err((seen, wanted)) => {
                out.push((seen, wanted, "message"));
                None
            }
        };
        for part in parts {
            let text = charset.and_then(|charset| charset.decode(part.bytes));
            if text.is_none() && charset.is_some() {
                let (seen, wanted) = match header.filter(|_| charset != Some(Charset::Utf8)) {
                    None => (
                        format!("bytes in the {} that are not UTF-8", part.name),
                        format!(
                            "UTF-8 in the {}, or an `encoding` header that says what else it is",
                            part.name
                        ),
                    ),
                    Some(name) => {
                        let shown = text::escape_short(name, 40);
                        (
                            format!("bytes in the {} that are not `{shown}`, as its header says", part.name),
                            format!("a header and bytes in the {} that agree", part.name),
                        )
                    }
                };
                out.push((seen, wanted, part.name));
            }
            // What could not be read is looked at as readers do who do not ask for the encoding.
            let text = text.unwrap_or_else(|| String::from_utf8_lossy(part.bytes));
            let seen = self.unsafe_in(&text, *part).or_else(|| {
                let other = as_utf8(charset?, part.bytes)?;
                let seen = self.unsafe_in(&other, *part)?;
                Some(format!("{seen}, for who reads it as UTF-8"))
            });
            if let Some(seen) = seen {
                out.push((seen, format!("plain characters in the {}", part.name), part.name));
            }
        }
        out
    }
}

impl Rule for UnsafeMessage {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn check_commit(&self, commit: &CommitFacts, scope: Scope<'_>) -> Vec<Finding> {
        let parts = [
            Part { name: "message", bytes: &commit.message, lines: true },
            Part { name: "author's name", bytes: &commit.author.name, lines: false },
            Part { name: "author's address", bytes: &commit.author.email, lines: false },
            Part { name: "committer's name", bytes: &commit.committer.name, lines: false },
            Part { name: "committer's address", bytes: &commit.committer.email, lines: false },
        ];
        let finding = |(seen, wanted, part): (String, String, &str)| {
            let help = match part {
                "message" => {
                    let again = redo(commit, scope.reference, "", "-i");
                    format!("reword it with {again}, in an editor that writes UTF-8, then push again")
                }
                _ => {
                    let again = redo(commit, scope.reference, "--no-edit --reset-author", "-i");
                    format!(
                        "set `user.name` and `user.email`, and make it again with {again}, then push again"
                    )
                }
            };
            Finding { path: None, seen, wanted, help }
        };
        self.faults(commit.encoding.as_deref(), &parts).into_iter().map(finding).collect()
    }

    /// A tag has no header for an encoding: it is UTF-8.
    fn check_tag(&self, tag: &TagFacts, _: Scope<'_>) -> Vec<Finding> {
        if !self.tags {
            return Vec::new();
        }
        let mut parts = vec![
            Part { name: "message", bytes: &tag.message, lines: true },
            Part { name: "tag's name", bytes: &tag.name, lines: false },
        ];
        if let Some(tagger) = &tag.tagger {
            parts.push(Part { name: "tagger's name", bytes: &tagger.name, lines: false });
            parts.push(Part { name: "tagger's address", bytes: &tagger.email, lines: false });
        }
        let help =
            format!("make it again with {}, in an editor that writes UTF-8, then push again", retag(tag));
        let finding = |(seen, wanted, _)| Finding { path: None, seen, wanted, help: help.clone() };
        self.faults(None, &parts).into_iter().map(finding).collect()
    }

    fn describe(&self) -> String {
        "messages, names and addresses of plain characters, in the encoding that they say".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(options: toml::Table) -> UnsafeMessage {
        UnsafeMessage::new(super::options(options).unwrap()).unwrap()
    }

    fn seen(rule: &UnsafeMessage, header: Option<&str>, message: &[u8]) -> String {
        let part = Part { name: "message", bytes: message, lines: true };
        let faults = rule.faults(header.map(str::as_bytes), &[part]);
        faults.into_iter().map(|(seen, ..)| seen).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_stray_byte_hides_nothing_from_who_reads_utf_8() {
        let rule = rule(toml::Table::new());
        let stray = [&b"\xff "[..], "\u{202e}".as_bytes()].concat();
        assert!(seen(&rule, Some("windows-1252"), &stray).contains("U+202E"));
        assert!(
            seen(&rule, Some("windows-1251"), "\u{200b}".as_bytes()).contains("for who reads it as UTF-8")
        );
        // What is a word in an encoding of two bytes is no soft hyphen.
        assert_eq!(seen(&rule, Some("gb2312"), b"\xcd\xb7\xb0\xa1\xc2\xad"), "");
    }

    #[test]
    fn what_people_write_is_plain() {
        let rule = rule(toml::Table::new());
        for plain in [
            "fix\n\n\tindented\n",
            "\u{fc}ber \u{4e2d}\u{6587} \u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{645}\u{631}\u{62d}\u{628}\u{627}\n",
            "\u{267b}\u{fe0f} \u{1f468}\u{200d}\u{1f4bb} \u{1f3f3}\u{fe0f}\u{200d}\u{1f308} 1\u{fe0f}\u{20e3}\n",
            "\u{1f44d}\u{1f3fd} \u{1f1e9}\u{1f1ea}\n",
            "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645} \u{915}\u{94d}\u{200d}\u{937}\n",
            "\u{845b}\u{e0100}\n",
            "e\u{301} a\u{a0}b\n",
        ] {
            assert_eq!(seen(&rule, None, plain.as_bytes()), "", "{plain:?}");
        }
    }

    #[test]
    fn what_deceives_is_not() {
        let rule = rule(toml::Table::new());
        for deceit in [
            "\x1b[31m",
            "a\x08",
            "\x07",
            "a\rb",
            "a\r\n",
            "\x7f",
            "\u{9b}31m",
            "\u{202e}x",
            "\u{2066}x\u{2069}",
            "\u{200e}",
            "\u{61c}",
            "OPS\u{200b}-1",
            "OP\u{200d}S",
            "x\u{fe0f}",
            "1\u{fe0f}",
            "\u{ad}",
            "\u{feff}x",
            "\u{2028}",
            "\u{e0041}",
            "\u{1f3f4}\u{e0067}",
            "\u{3164}",
            "a\u{200c}b",
            "\u{645}\u{200c}b",
            "a\u{e0100}",
            "\u{fff9}",
        ] {
            assert_ne!(seen(&rule, None, deceit.as_bytes()), "", "{deceit:?}");
        }
    }

    #[test]
    fn encodings_are_known_and_agree_with_the_bytes() {
        let rule = rule(toml::Table::new());
        let ok = |header: Option<&str>, bytes: &[u8]| seen(&rule, header, bytes).is_empty();
        assert!(!ok(None, b"caf\xe9\n"));
        for latin in
            ["ISO-8859-1", "latin1", "latin-1", "ISO8859-1", "CP1252", "cp819", "iso-8859-15", "KOI8-R"]
        {
            assert!(ok(Some(latin), b"caf\xe9\n"), "{latin}");
            assert!(ok(Some(latin), b"cafe\n"), "{latin}");
        }
        assert!(ok(Some("UTF-8"), "caf\u{e9}".as_bytes()) && ok(Some("utf8"), b"x"));
        assert!(!ok(Some("UTF-8"), b"caf\xe9"));
        assert!(!ok(Some("ASCII"), b"caf\xe9") && ok(Some("us-ascii"), b"cafe"));
        // To ISO these are controls, to Windows quotation marks.
        assert!(!ok(Some("ISO-8859-1"), b"\x9b31m") && !ok(Some("iso-8859-9"), b"\xe9\x9b"));
        assert!(!ok(Some("cp819"), b"\x9b31m"));
        assert!(ok(Some("windows-1252"), b"\x93x\x94") && !ok(Some("windows-1252"), b"\x81"));
        // What hides in an encoding is seen.
        assert!(ok(Some("EUC-JP"), b"\xc6\xfc\xcb\xdc\n") && !ok(Some("EUC-JP"), b"\xc6\n"));
        assert!(ok(Some("Shift_JIS"), b"\x93\xfa\x96\x7b\n") && ok(Some("cp932"), b"\x93\xfa\n"));
        assert!(!ok(Some("GB18030"), b"\x81\x36\xa7\x31"), "U+202E");
        assert!(!ok(Some("windows-1255"), b"x\xfdy"), "U+200E");
        for wrong in [
            "",
            " ",
            "x",
            "UTF-8 ",
            "utf-8\n x",
            "\u{fc}tf",
            "UTF-16",
            "UTF-7",
            "utf-32le",
            "UCS-2LE",
            "ISO-2022-JP",
            "ISO-2022-KR",
            "HZ-GB-2312",
            "EBCDIC-US",
            "IBM037",
            "x-user-defined",
            "replacement",
        ] {
            assert!(!ok(Some(wrong), b"x\n"), "{wrong:?}");
        }
        assert!(ok(Some("IBM866"), b"x\n"));
    }

    #[test]
    fn refusals_of_bytes_that_are_no_text_say_where() {
        let rule = rule(toml::Table::new());
        let parts = [
            Part { name: "message", bytes: b"caf\xe9\n", lines: true },
            Part { name: "author's name", bytes: b"Ren\xe9", lines: false },
        ];
        let faults = |header: Option<&str>| {
            let faults = rule.faults(header.map(str::as_bytes), &parts);
            faults.into_iter().map(|(seen, wanted, _)| format!("{seen} | {wanted}")).collect::<Vec<_>>()
        };
        assert_eq!(
            faults(None),
            [
                "bytes in the message that are not UTF-8 | UTF-8 in the message, or an `encoding` header that says \
                 what else it is",
                "bytes in the author's name that are not UTF-8 | UTF-8 in the author's name, or an `encoding` header \
                 that says what else it is",
            ]
        );
        assert_eq!(faults(Some("utf8")), faults(None));
        assert_eq!(
            faults(Some("EUC-KR")),
            [
                "bytes in the message that are not `EUC-KR`, as its header says | a header and bytes in the message \
                 that agree",
                "bytes in the author's name that are not `EUC-KR`, as its header says | a header and bytes in the \
                 author's name that agree",
            ]
        );
        assert!(faults(Some("latin1")).is_empty());
    }

    #[test]
    fn options_are_checked() {
        let build = |table: toml::Table| (KIND.build)(table).map(|_| ());
        assert!(build(toml::Table::new()).is_ok());
        assert!(
            build(toml::toml! { allow = ["U+200C"] encodings = ["latin1"] crlf = true tags = false }).is_ok()
        );
        for wrong in ["200C", "U+", "U+110000", "U+D800", "U+001B", "U+0041", "U+0085"] {
            let table = toml::Table::from_iter([("allow".to_owned(), toml::Value::from(vec![wrong]))]);
            assert!(build(table).is_err(), "{wrong}");
        }
        assert!(build(toml::toml! { encodings = ["UTF-16"] }).is_err());
        assert!(build(toml::toml! { encodings = ["klingon"] }).is_err());
        let none = rule(toml::toml! { encodings = [] });
        assert!(!seen(&none, Some("latin1"), b"x\n").is_empty());
        assert!(seen(&none, Some("UTF-8"), b"x\n").is_empty());
        let crlf = rule(toml::toml! { crlf = true });
        assert!(seen(&crlf, None, b"a\r\nb\r\n").is_empty());
        assert!(!seen(&crlf, None, b"a\rb\r\n").is_empty());
        let some = rule(toml::toml! { allow = ["U+200E"] });
        assert!(seen(&some, None, "\u{200e}".as_bytes()).is_empty());
    }

    #[test]
    fn hostile_messages_take_linear_time() {
        let rule = rule(toml::Table::new());
        for piece in ["\u{202e}", "\u{1f468}\u{200d}", "\n", "\x1b"] {
            let message = piece.repeat((2 << 20) / piece.len());
            for header in [None, Some("GB18030"), Some("latin1"), Some("ISO-2022-JP")] {
                let _ = seen(&rule, header, message.as_bytes());
            }
        }
        assert!(!seen(&rule, None, &[0xff; 2 << 20]).is_empty());
    }
}
