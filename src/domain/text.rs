//! Making bytes from outside safe to show.

/// Escapes `bytes` for a terminal, a log line or a JSON string: control characters, bytes that are not
/// UTF-8, bidirectional overrides and invisible format characters become `\xNN` or `\u{...}`
/// (traps T9, T32). A backslash becomes two, so the result is unambiguous.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_ascii() && !c.is_ascii_control() => out.push(c),
                c if (c as u32) < 0x80 => out.push_str(&format!("\\x{:02x}", c as u32)),
                c if is_deceptive(c) => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// The bytes that [`escape`] made this of; `None` if it made no such text, a cut one for example.
pub fn unescape(escaped: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let code = &rest[at + 1..];
        let (byte, used) = match *code.as_bytes().first()? {
            b'\\' => (b'\\', 1),
            b'n' => (b'\n', 1),
            b'r' => (b'\r', 1),
            b't' => (b'\t', 1),
            b'x' => (u8::from_str_radix(code.get(1..3)?, 16).ok()?, 3),
            b'u' => {
                let hex = code.strip_prefix("u{")?.split_once('}')?.0;
                let c = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &code[hex.len() + 3..];
                continue;
            }
            _ => return None,
        };
        out.push(byte);
        rest = &code[used..];
    }
    out.extend_from_slice(rest.as_bytes());
    (escape(&out) == escaped).then_some(out)
}

/// [`escape`], cut to at most `max` characters with an ellipsis.
pub fn escape_short(bytes: &[u8], max: usize) -> String {
    // A character has at most four bytes, so this prefix is long enough and bounds the work.
    let window = &bytes[..bytes.len().min(max.saturating_mul(4))];
    let escaped = escape(window);
    if window.len() == bytes.len() && escaped.chars().count() <= max {
        return escaped;
    }
    let mut cut: String = escaped.chars().take(max).collect();
    cut.push('…');
    cut
}

/// C1 controls, bidirectional controls, zero-width and other invisible format characters, line and
/// paragraph separators, tags, and private or unassigned planes that terminals treat freely.
fn is_deceptive(c: char) -> bool {
    matches!(c as u32,
        0x80..=0x9f | 0xad | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f
        | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff
        | 0xffa0 | 0xfff0..=0xfffb | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_a_terminal_raw() {
        assert_eq!(escape(b"a\x1b[31mb"), "a\\x1b[31mb");
        assert_eq!(escape("x\u{202e}y".as_bytes()), "x\\u{202e}y");
        assert_eq!(escape(b"\xff\\"), "\\xff\\\\");
        assert_eq!(escape("über\n".as_bytes()), "über\\n");
        assert_eq!(escape("\u{9b}31m".as_bytes()), "\\u{9b}31m");
    }

    #[test]
    fn what_was_escaped_comes_back() {
        let mut bytes: Vec<u8> = (0..=255).collect();
        bytes.extend("ü\u{202e}\u{9b}\u{e0041}\\\\x41".as_bytes());
        assert_eq!(unescape(&escape(&bytes)).unwrap(), bytes);
        for wrong in ["\\", "\\q", "\\x4", "\\x41", "\\u{41}", "\\u{", "a\nb", "\\xzz", "\\u{d800}"] {
            assert_eq!(unescape(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn short_is_bounded() {
        assert_eq!(escape_short(b"abcdef", 3), "abc…");
        assert_eq!(escape_short(b"abc", 3), "abc");
        assert!(escape_short(&vec![b'x'; 1 << 20], 10).chars().count() == 11);
    }
}
