//! Author, committer and tagger lines (G13).

use super::{GrammarError, bad};

/// Latest time that an identity line may claim: the end of the year 9999.
const MAX_TIME: i64 = 253_402_300_799;

/// An author, committer or tagger line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The name, raw bytes.
    pub name: &'a [u8],
    /// The address between the last `<` and `>`, raw bytes.
    pub email: &'a [u8],
    /// Seconds since the epoch; claimed, never trusted.
    pub time: i64,
}

/// An author, committer or tagger line (G13).
///
/// Stricter than G13 in one point: a second `<` or `>` is refused. G13 takes the last pair; git shows the
/// address from the first `<` to the first `>` behind it, and other readers the last pair. Such a line has
/// two addresses, one for each reader, and no choice between them is one interpretation.
pub(super) fn identity(line: &[u8]) -> Result<Identity<'_>, GrammarError> {
    let ident = |why: &str| bad("obj.bad_ident", why);
    let open = line.iter().position(|byte| *byte == b'<').ok_or_else(|| ident("there is no `<`"))?;
    let close = line.iter().rposition(|byte| *byte == b'>').ok_or_else(|| ident("there is no `>`"))?;
    if close < open {
        return Err(ident("`>` stands before `<`"));
    }
    let email = &line[open + 1..close];
    if email.iter().chain(&line[close + 1..]).any(|byte| matches!(byte, b'<' | b'>')) {
        return Err(ident("there is more than one `<` or `>`"));
    }
    let name = match line[..open].split_last() {
        None => &line[..0],
        Some((b' ', name)) => name,
        Some(_) => return Err(ident("no space separates name and address")),
    };
    if name.contains(&b'>') {
        return Err(ident("there is more than one `<` or `>`"));
    }
    let date = |why: &str| bad("obj.bad_date", why);
    let stamp = line[close + 1..].strip_prefix(b" ").ok_or_else(|| date("there is no time"))?;
    let space = stamp.iter().position(|byte| *byte == b' ').ok_or_else(|| date("there is no time zone"))?;
    let (digits, zone) = (&stamp[..space], &stamp[space + 1..]);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(date("the time is not a decimal number of seconds"));
    }
    if digits.len() > 1 && digits[0] == b'0' {
        return Err(date("the time has leading zeros"));
    }
    let time = (digits.len() <= 12)
        .then(|| digits.iter().fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0')))
        .filter(|time| *time <= MAX_TIME)
        .ok_or_else(|| date("the time lies after the year 9999"))?;
    match zone {
        [b'+' | b'-', h1 @ b'0'..=b'1', h2 @ b'0'..=b'9', m1 @ b'0'..=b'5', m2 @ b'0'..=b'9']
            // No place on earth is further ahead or behind (D009).
            if [*h1, *h2, *m1, *m2] <= *b"1400" => {}
        [b'+' | b'-', digits @ ..] if digits.len() == 4 && digits.iter().all(u8::is_ascii_digit) => {
            return Err(date("there is no such time zone"));
        }
        _ => return Err(date("the time zone is not `+hhmm` or `-hhmm`")),
    }
    Ok(Identity { name, email, time })
}
