//! The `encoding` header of a commit: what its bytes mean, as git and iconv read it.

use crate::domain::text;
use encoding_rs::Encoding;
use std::borrow::Cow;

/// How bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8.
    Utf8,
    /// Seven bits.
    Ascii,
    /// What the web reads so.
    Web(&'static Encoding),
    /// The ISO sibling of it, where the bytes 0x80 to 0x9f are controls.
    Iso(&'static Encoding),
}

/// Why the name of an encoding does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCharset {
    /// Nobody knows it.
    Unknown,
    /// Its bytes are not what they look like: a rule that reads them as ASCII sees another text.
    NotAscii,
}

impl NoCharset {
    /// What is seen of a header with that name.
    pub fn seen(self, name: &[u8]) -> String {
        let shown = text::escape_short(name, 40);
        match self {
            NoCharset::Unknown => format!("an `encoding` header with a name that is not known: \"{shown}\""),
            NoCharset::NotAscii => format!("the encoding `{shown}`, in which ASCII is not ASCII"),
        }
    }

    /// What is wanted instead.
    pub const WANTED: &str = "UTF-8, or an encoding that is known and holds ASCII as it is";
}

/// What iconv knows, and the web by other names.
const ALIASES: [(&str, &str); 16] = [
    ("cp932", "shift_jis"),
    ("cp936", "gbk"),
    ("cp949", "euc-kr"),
    ("cp950", "big5"),
    ("euccn", "gbk"),
    ("euc-cn", "gbk"),
    ("eucjp", "euc-jp"),
    ("euckr", "euc-kr"),
    ("koi8r", "koi8-r"),
    ("koi8u", "koi8-u"),
    ("latin-1", "iso-8859-1"),
    ("latin-2", "iso-8859-2"),
    ("latin-9", "iso-8859-15"),
    ("latin9", "iso-8859-15"),
    ("uhc", "euc-kr"),
    ("tis620", "tis-620"),
];

/// Beginnings of the names of encodings in which ASCII's bytes mean something else.
const NOT_ASCII: [&str; 12] =
    ["utf-7", "utf7", "utf-16", "utf16", "utf-32", "utf32", "ucs-", "ucs", "iso-2022", "hz", "ebcdic", "ibm"];

impl Charset {
    /// The one of that name, where its ASCII is ASCII.
    ///
    /// # Errors
    /// See [`NoCharset`].
    pub fn named(name: &[u8]) -> Result<Self, NoCharset> {
        let plain = !name.is_empty() && name.len() <= 40 && name.iter().all(u8::is_ascii_graphic);
        if !plain {
            return Err(NoCharset::Unknown);
        }
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let known =
            ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name.as_str(), |(_, label)| label);
        if matches!(known, "ascii" | "us-ascii" | "ansi_x3.4-1968" | "646") {
            return Ok(Charset::Ascii);
        }
        let Some(encoding) = Encoding::for_label_no_replacement(known.as_bytes()) else {
            let other = NOT_ASCII.iter().any(|start| known.starts_with(start));
            return Err(if other { NoCharset::NotAscii } else { NoCharset::Unknown });
        };
        if encoding == encoding_rs::UTF_8 {
            return Ok(Charset::Utf8);
        }
        if !encoding.is_ascii_compatible() || encoding == encoding_rs::X_USER_DEFINED {
            return Err(NoCharset::NotAscii);
        }
        let windows = known.contains("125") || known == "windows-874";
        let sibling = [encoding_rs::WINDOWS_1252, encoding_rs::WINDOWS_1254, encoding_rs::WINDOWS_874];
        let iso = !windows && sibling.contains(&encoding);
        Ok(if iso { Charset::Iso(encoding) } else { Charset::Web(encoding) })
    }

    /// Whether each byte is a character.
    pub fn is_single_byte(self) -> bool {
        match self {
            Charset::Utf8 => false,
            Charset::Ascii => true,
            Charset::Web(encoding) | Charset::Iso(encoding) => encoding.is_single_byte(),
        }
    }

    /// The text, or `None` where the bytes are not of this encoding.
    pub fn decode(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        match self {
            Charset::Utf8 => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Charset::Ascii => bytes.is_ascii().then(|| String::from_utf8_lossy(bytes)),
            Charset::Web(encoding) => encoding.decode_without_bom_handling_and_without_replacement(bytes),
            Charset::Iso(encoding) => {
                if !bytes.iter().any(|byte| (0x80..=0x9f).contains(byte)) {
                    return encoding.decode_without_bom_handling_and_without_replacement(bytes);
                }
                // The controls as themselves, the rest as the sibling has it.
                let one = |byte: &u8| match byte {
                    0x80..=0x9f => Some(char::from(*byte)),
                    _ => {
                        let single = std::slice::from_ref(byte);
                        encoding.decode_without_bom_handling_and_without_replacement(single)?.chars().next()
                    }
                };
                bytes.iter().map(one).collect::<Option<String>>().map(Cow::Owned)
            }
        }
    }
}

/// A commit's message as people read it: as the header says, which is what git shows; and, where another
/// encoding is declared and the bytes are UTF-8 all the same, as that, which is what those show who do not ask.
/// Bytes that are not of the declared encoding are shown as they are.
///
/// # Errors
/// Readers see another text than the bytes hold, or nobody knows which.
pub fn readings<'a>(header: Option<&[u8]>, message: &'a [u8]) -> Result<Vec<Cow<'a, [u8]>>, NoCharset> {
    let charset = header.map_or(Ok(Charset::Utf8), Charset::named)?;
    let raw = Cow::Borrowed(message);
    if message.is_ascii() || matches!(charset, Charset::Utf8 | Charset::Ascii) {
        return Ok(vec![raw]);
    }
    let Some(text) = charset.decode(message) else { return Ok(vec![raw]) };
    let mut out = vec![Cow::Owned(text.into_owned().into_bytes())];
    if std::str::from_utf8(message).is_ok() {
        out.push(raw);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_declared_and_as_it_is() {
        let read = |header: &str, bytes: &[u8]| {
            let all = readings(Some(header.as_bytes()), bytes)?;
            Ok(all.iter().map(|one| String::from_utf8_lossy(one).into_owned()).collect::<Vec<_>>())
        };
        assert_eq!(read("latin1", b"caf\xe9").unwrap(), ["caf\u{e9}"]);
        assert_eq!(
            read("windows-1252", "\u{202e}".as_bytes()).unwrap(),
            ["\u{e2}\u{20ac}\u{ae}", "\u{202e}"]
        );
        assert_eq!(read("UTF-8", b"x\xff").unwrap().len(), 1);
        assert_eq!(read("gbk", b"plain").unwrap(), ["plain"]);
        assert_eq!(read("utf-16", b"OPS-1 "), Err(NoCharset::NotAscii));
        assert_eq!(read("cp037", b"OPS-1 "), Err(NoCharset::Unknown));
        assert_eq!(read("", b"OPS-1 "), Err(NoCharset::Unknown));
        assert_eq!(readings(None, b"x\xff").unwrap(), [Cow::Borrowed(b"x\xff")]);
    }
}
