//! `allowed_signers` files (S8), read strictly: every fault of every line, or the lines.
//!
//! OpenSSH skips a line that it does not understand and reads times in the zone of whoever looks. Here a
//! line that does not say clearly what it means refuses the file.

use super::key::{self, PublicKey, SshKeyError};
use super::pattern::{PatternError, PatternList};
use crate::domain::text;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Largest file that is read, in bytes.
pub const MAX_FILE: usize = 8 * 1024 * 1024;
/// Most lines that are read.
pub const MAX_LINES: usize = 100_000;
/// Longest line that is read, in bytes.
pub const MAX_LINE: usize = 32 * 1024;

const AUTHORITY: &str = "cert-authority";
const NAMESPACES: &str = "namespaces";
const AFTER: &str = "valid-after";
const BEFORE: &str = "valid-before";

/// One line that names a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it stands, from 1.
    pub line: usize,
    /// Whose key it is, word by word; for an authority, patterns that a certificate's principal must match
    /// as one list.
    pub principals: Vec<String>,
    /// The key is a certification authority's, and not one that may sign itself.
    pub authority: bool,
    /// The namespaces that the key may sign in; all of them without.
    pub namespaces: Option<PatternList>,
    /// First second in which it is valid, since the epoch.
    pub valid_after: Option<i64>,
    /// Last second in which it is valid, since the epoch: inclusive, as OpenSSH has it.
    pub valid_before: Option<i64>,
    /// The key.
    pub key: PublicKey,
    /// What stands behind the key. It proves nothing (S12).
    pub comment: String,
}

impl Line {
    /// Whether the line is for signatures in `namespace`.
    pub fn signs_in(&self, namespace: &str) -> bool {
        self.namespaces.as_ref().is_none_or(|list| list.matches(namespace))
    }

    /// Whether the line is in force at `time`, seconds since the epoch.
    pub fn covers(&self, time: i64) -> bool {
        self.valid_after.is_none_or(|after| after <= time)
            && self.valid_before.is_none_or(|before| time <= before)
    }

    /// The principals of an authority's line as the one list of patterns that they are.
    pub fn patterns(&self) -> Option<PatternList> {
        PatternList::parse(&self.principals.join(",")).ok()
    }
}

/// A fault, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {fault}")]
pub struct LineError {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// What is wrong.
    pub fault: Fault,
}

impl LineError {
    /// What to do about it.
    pub fn suggestion(&self) -> &'static str {
        self.fault.suggestion()
    }
}

/// What may be wrong with a line. No message repeats what may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More than [`MAX_FILE`] bytes.
    #[error("the file is larger than 8 MiB")]
    FileTooLarge,
    /// More than [`MAX_LINES`] lines.
    #[error("the file has more than 100000 lines")]
    TooManyLines,
    /// More than [`MAX_LINE`] bytes in a line.
    #[error("the line is longer than 32 KiB")]
    LineTooLong,
    /// Bytes that are not UTF-8.
    #[error("the line is not UTF-8")]
    NotUtf8,
    /// A control character.
    #[error("there is a control character in the line")]
    Control,
    /// A quote that is not closed, or one in the middle of a word.
    #[error("a quotation mark has no other one, or stands inside of a word")]
    Quote,
    /// Nothing between two commas of the principals.
    #[error("there is an empty principal")]
    EmptyPrincipal,
    /// A blank at the beginning or the end of a principal, as behind a comma in quotation marks.
    #[error("the principal `{0}` begins or ends with a blank")]
    BlankPrincipal(String),
    /// A character in a principal that nobody sees.
    #[error("the principal `{0}` has an invisible character in it")]
    InvisiblePrincipal(String),
    /// `*` or `?` for a plain key (S021).
    #[error("`{0}` is a pattern, and a plain key needs to be somebody's")]
    WildcardPrincipal(String),
    /// `!` for a plain key (S021).
    #[error("`{0}` says who it is not, and a plain key needs to be somebody's")]
    NegatedPrincipal(String),
    /// An authority for nobody.
    #[error("these principals match nobody: all are negated")]
    Nobody,
    /// The principals of an authority are no pattern list.
    #[error("the principals cannot be read: {0}")]
    Principals(PatternError),
    /// A word that is no option.
    #[error("unknown option `{0}`")]
    UnknownOption(String),
    /// The same option twice.
    #[error("the option {0} is there twice")]
    DuplicateOption(&'static str),
    /// Nothing between two commas of the options, or behind the last.
    #[error("there is an empty option")]
    EmptyOption,
    /// `name=value` without quotes, or without a value.
    #[error("the option {0} needs a value in quotation marks")]
    OptionValue(&'static str),
    /// A value where none belongs.
    #[error("the option {0} has no value")]
    SuperfluousValue(&'static str),
    /// The namespaces are no pattern list.
    #[error("the namespaces cannot be read: {0}")]
    Namespaces(PatternError),
    /// Not a time.
    #[error("the value of {0} is not a time")]
    Time(&'static str),
    /// A time without a zone (S012).
    #[error("the value of {0} names no time zone, and OpenSSH would take that of whoever looks")]
    LocalTime(&'static str),
    /// A time that the configured zone has twice, or not at all.
    #[error("the value of {0} is twice or not at all in the configured time zone")]
    AmbiguousTime(&'static str),
    /// `valid-before` not after `valid-after` (S013).
    #[error("valid-before is not later than valid-after")]
    Window,
    /// No key behind principals and options.
    #[error("there is no key in the line")]
    MissingKey,
    /// The key is none.
    #[error("{0}")]
    Key(#[from] SshKeyError),
}

impl Fault {
    /// What to do about it.
    pub fn suggestion(&self) -> &'static str {
        match self {
            Fault::FileTooLarge | Fault::TooManyLines => {
                "split the file, or list an authority instead of keys"
            }
            Fault::LineTooLong => "give the principals a line each, with the same key",
            Fault::NotUtf8 => "write the file in UTF-8",
            Fault::Control => "take the character away; lines end in a line feed",
            Fault::Quote => "write \"name one,name two\" with both quotation marks around the whole word",
            Fault::EmptyPrincipal => "take the superfluous comma away",
            Fault::BlankPrincipal(_) => {
                "take the blank away: principals have a comma between them and nothing else"
            }
            Fault::InvisiblePrincipal(_) => "write the principal anew instead of copying it",
            Fault::WildcardPrincipal(_) => {
                "name the owner exactly, or make the line one of an authority with cert-authority"
            }
            Fault::NegatedPrincipal(_) => "name the owner exactly; patterns are for cert-authority lines",
            Fault::Nobody => "add a pattern without `!`",
            Fault::Principals(_) => "write patterns with commas between them, such as *@example.org",
            Fault::UnknownOption(_) => {
                "the options are cert-authority, namespaces, valid-after and valid-before"
            }
            Fault::DuplicateOption(_) => "keep one; several namespaces go into one value, with commas",
            Fault::EmptyOption => "take the superfluous comma away",
            Fault::OptionValue(_) => "write the value like valid-before=\"20260101Z\"",
            Fault::SuperfluousValue(_) => "write the option's name alone",
            Fault::Namespaces(_) => "write namespaces=\"git\"",
            Fault::Time(_) => "write YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with Z behind it",
            Fault::LocalTime(_) => "add Z for UTC, or configure the time zone that the file was written for",
            Fault::AmbiguousTime(_) => "write the time in UTC, with Z behind it",
            Fault::Window => "exchange the two, or take one away",
            Fault::MissingKey => "a line is: principals, options if any, key type, key in base64, comment",
            Fault::Key(SshKeyError::PrivateKey) => {
                "take the private key away and treat it as known to others; its public key ends in .pub"
            }
            Fault::Key(SshKeyError::Certificate(_)) => {
                "list the key of the authority that made it, with cert-authority"
            }
            Fault::Key(SshKeyError::Unsupported(_)) => "use an Ed25519, ECDSA, RSA or FIDO key",
            Fault::Key(_) => "copy the line from the .pub file again",
        }
    }
}

/// Reads a whole file. Times without `Z` or `UTC` are taken to be in `zone`, where one is configured.
///
/// # Errors
/// All faults, in their order; one line may have several.
pub fn parse(file: &[u8], zone: Option<&TimeZone>) -> Result<Vec<Line>, Vec<LineError>> {
    let fault = |line: usize, column: usize, fault: Fault| LineError { line, column, fault };
    if file.len() > MAX_FILE {
        return Err(vec![fault(1, 1, Fault::FileTooLarge)]);
    }
    if file.iter().filter(|byte| **byte == b'\n').count() >= MAX_LINES && file.last() != Some(&b'\n')
        || file.iter().filter(|byte| **byte == b'\n').count() > MAX_LINES
    {
        return Err(vec![fault(MAX_LINES + 1, 1, Fault::TooManyLines)]);
    }
    let (mut lines, mut errors) = (Vec::new(), Vec::new());
    for (index, bytes) in file.split(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        // Editors of other systems leave a carriage return; everywhere else it is a control character.
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if bytes.len() > MAX_LINE {
            errors.push(fault(number, 1, Fault::LineTooLong));
            continue;
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
                errors.push(fault(number, valid.chars().count() + 1, Fault::NotUtf8));
                continue;
            }
        };
        if key::looks_private(text) {
            // Nothing else: what follows is the secret.
            return Err(vec![fault(number, 1, Fault::Key(SshKeyError::PrivateKey))]);
        }
        let mut reader = LineReader { text, at: 0, zone, faults: Vec::new() };
        let line = reader.line(number);
        let column = |at: usize| text[..at].chars().count() + 1;
        let faults = std::mem::take(&mut reader.faults);
        if faults.is_empty() {
            lines.extend(line);
        }
        errors.extend(faults.into_iter().map(|(at, what)| fault(number, column(at), what)));
    }
    if errors.is_empty() { Ok(lines) } else { Err(errors) }
}

/// The options of a line, each with where it stands.
#[derive(Default)]
struct Options {
    authority: Option<usize>,
    namespaces: Option<(usize, Option<PatternList>)>,
    after: Option<(usize, Option<i64>)>,
    before: Option<(usize, Option<i64>)>,
}

/// A position in a line, and what was wrong so far, by byte offset.
struct LineReader<'a> {
    text: &'a str,
    at: usize,
    zone: Option<&'a TimeZone>,
    faults: Vec<(usize, Fault)>,
}

const BLANKS: [char; 2] = [' ', '\t'];

impl<'a> LineReader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn fault(&mut self, at: usize, fault: Fault) {
        self.faults.push((at, fault));
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(BLANKS).len();
    }

    /// The next word, up to a blank, and where it stands.
    fn word(&mut self) -> (usize, &'a str) {
        self.skip_blanks();
        let (at, rest) = (self.at, self.rest());
        let word = rest.split(BLANKS).next().unwrap_or_default();
        self.at += word.len();
        (at, word)
    }

    fn line(&mut self, number: usize) -> Option<Line> {
        self.skip_blanks();
        if self.rest().is_empty() || self.rest().starts_with('#') {
            return None;
        }
        if let Some(at) = self.text.find(|c: char| c.is_control() && c != '\t') {
            self.fault(at, Fault::Control);
            return None;
        }
        let (principals_at, principals) = self.principals()?;
        let options = self.options()?;
        let key = self.key();
        let comment = self.rest().trim_matches(BLANKS).to_owned();
        let principals = self.check_principals(principals_at, principals, options.authority.is_some());
        Some(Line {
            line: number,
            principals,
            authority: options.authority.is_some(),
            namespaces: options.namespaces.and_then(|(_, list)| list),
            valid_after: options.after.and_then(|(_, time)| time),
            valid_before: options.before.and_then(|(_, time)| time),
            key: key?,
            comment,
        })
    }

    /// The first word, which may be in quotation marks; there are no escapes in it.
    fn principals(&mut self) -> Option<(usize, &'a str)> {
        let at = self.at;
        if let Some(quoted) = self.rest().strip_prefix('"') {
            let end = quoted.find('"');
            let closed =
                end.filter(|end| quoted[end + 1..].is_empty() || quoted[end + 1..].starts_with(BLANKS));
            let Some(end) = closed else {
                self.fault(at, Fault::Quote);
                return None;
            };
            self.at += end + 2;
            return Some((at + 1, &quoted[..end]));
        }
        let (at, word) = self.word();
        if let Some(quote) = word.find('"') {
            self.fault(at + quote, Fault::Quote);
            return None;
        }
        Some((at, word))
    }

    fn check_principals(&mut self, at: usize, list: &str, authority: bool) -> Vec<String> {
        let (mut offset, before) = (at, self.faults.len());
        let mut principals = Vec::new();
        for name in list.split(',') {
            let shown = || text::escape_short(name.as_bytes(), 60);
            if name.is_empty() {
                self.fault(offset, Fault::EmptyPrincipal);
            } else if name.trim() != name {
                self.fault(offset, Fault::BlankPrincipal(shown()));
            } else if text::escape(name.replace('\\', "").as_bytes()) != name.replace('\\', "") {
                self.fault(offset, Fault::InvisiblePrincipal(shown()));
            } else if !authority && name.starts_with('!') {
                self.fault(offset, Fault::NegatedPrincipal(shown()));
            } else if !authority && name.contains(['*', '?']) {
                self.fault(offset, Fault::WildcardPrincipal(shown()));
            }
            principals.push(name.to_owned());
            offset += name.len() + 1;
        }
        if authority && self.faults.len() == before {
            if let Err(error) = PatternList::parse(list) {
                self.fault(at, Fault::Principals(error));
            } else if principals.iter().all(|name| name.starts_with('!')) {
                self.fault(at, Fault::Nobody);
            }
        }
        principals
    }

    /// The options, if the next word is not the type of a key. `None` if what follows makes no sense.
    fn options(&mut self) -> Option<Options> {
        let start = self.at;
        let (_, word) = self.word();
        let (_, next) = self.word();
        self.at = start;
        self.skip_blanks();
        // Every key begins with the length of its name, so with zeros. An unknown word in front of one is
        // an unknown type of key; in front of anything else it is an option.
        let known = matches!(key::check_name(word.as_bytes()), Ok(()) | Err(SshKeyError::Certificate(_)));
        if known || key::is_type_name(word.as_bytes()) && next.starts_with("AAAA") {
            return Some(Options::default());
        }
        if word.is_empty() {
            self.fault(start, Fault::MissingKey);
            return None;
        }
        let mut options = Options::default();
        loop {
            let at = self.at;
            let length = self.rest().find([' ', '\t', ',', '=']).unwrap_or(self.rest().len());
            let name = &self.rest()[..length];
            self.at += length;
            let value = if self.rest().starts_with('=') { Some(self.value(name)?) } else { None };
            self.option(&mut options, at, name, value);
            match self.rest().chars().next() {
                Some(',') => self.at += 1,
                None | Some(' ' | '\t') => break,
                Some(_) => {
                    self.fault(self.at, Fault::Quote);
                    return None;
                }
            }
        }
        if let (Some((after_at, Some(after))), Some((before_at, Some(before)))) =
            (options.after, options.before)
            && before <= after
        {
            self.fault(after_at.max(before_at), Fault::Window);
        }
        Some(options)
    }

    /// The value behind `=`: in quotation marks, with `\"` for one inside. Where it stands, and what it is.
    fn value(&mut self, name: &str) -> Option<(usize, String)> {
        let Some(quoted) = self.rest().strip_prefix("=\"") else {
            let fault = match OPTIONS.iter().find(|known| known.eq_ignore_ascii_case(name)) {
                Some(known) => Fault::OptionValue(known),
                None => unknown(name),
            };
            self.fault(self.at, fault);
            return None;
        };
        let at = self.at + 2;
        let mut value = String::new();
        let mut letters = quoted.char_indices().peekable();
        while let Some((index, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.at = at + index + 1;
                    return Some((at, value));
                }
                '\\' if letters.peek().is_some_and(|(_, next)| *next == '"') => {
                    letters.next();
                    value.push('"');
                }
                letter => value.push(letter),
            }
        }
        self.fault(self.at + 1, Fault::Quote);
        None
    }

    fn option(&mut self, options: &mut Options, at: usize, name: &str, value: Option<(usize, String)>) {
        if name.is_empty() {
            return self.fault(at, Fault::EmptyOption);
        }
        let Some(name) = OPTIONS.into_iter().find(|known| known.eq_ignore_ascii_case(name)) else {
            return self.fault(at, unknown(name));
        };
        let twice = match name {
            AUTHORITY => options.authority.is_some(),
            NAMESPACES => options.namespaces.is_some(),
            AFTER => options.after.is_some(),
            _ => options.before.is_some(),
        };
        if twice {
            return self.fault(at, Fault::DuplicateOption(name));
        }
        match (name, value) {
            (AUTHORITY, None) => options.authority = Some(at),
            (AUTHORITY, Some(_)) => self.fault(at, Fault::SuperfluousValue(name)),
            (_, None) => self.fault(at, Fault::OptionValue(name)),
            (NAMESPACES, Some((value_at, value))) => {
                let list = PatternList::parse(&value)
                    .map_err(|error| self.fault(value_at, Fault::Namespaces(error)));
                options.namespaces = Some((at, list.ok()));
            }
            (_, Some((value_at, value))) => {
                let time = time(name, &value, self.zone).map_err(|fault| self.fault(value_at, fault));
                let field = if name == AFTER { &mut options.after } else { &mut options.before };
                *field = Some((at, time.ok()));
            }
        }
    }

    fn key(&mut self) -> Option<PublicKey> {
        let (name_at, name) = self.word();
        let (encoded_at, encoded) = self.word();
        if encoded.is_empty() {
            self.fault(name_at.min(self.text.len()), Fault::MissingKey);
            return None;
        }
        match super::parse_public_key(&format!("{name} {encoded}")) {
            Ok(key) => Some(key),
            Err(error) => {
                let of_name = matches!(
                    error,
                    SshKeyError::Line | SshKeyError::Certificate(_) | SshKeyError::Unsupported(_)
                );
                self.fault(if of_name { name_at } else { encoded_at }, Fault::Key(error));
                None
            }
        }
    }
}

const OPTIONS: [&str; 4] = [AUTHORITY, NAMESPACES, AFTER, BEFORE];

fn unknown(name: &str) -> Fault {
    Fault::UnknownOption(text::escape_short(name.as_bytes(), 30))
}

/// A time as OpenSSH writes it in the option `expiry-time` of `authorized_keys` and elsewhere, in seconds since
/// the epoch.
///
/// # Errors
/// What cannot be a time, and one without a zone where none is configured.
pub fn instant(value: &str, zone: Option<&TimeZone>) -> Result<i64, Fault> {
    time("expiry-time", value, zone)
}

/// `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, with `Z` or `UTC` behind it, or in a configured zone.
fn time(name: &'static str, value: &str, zone: Option<&TimeZone>) -> Result<i64, Fault> {
    let upper = value.to_ascii_uppercase();
    let (digits, utc) = match upper.strip_suffix('Z').or_else(|| upper.strip_suffix("UTC")) {
        Some(digits) => (digits, true),
        None => (upper.as_str(), false),
    };
    let wrong = || Fault::Time(name);
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let number = |from: usize, to: usize| match digits.get(from..to) {
        Some(part) => part.parse::<i16>().map_err(|_| wrong()),
        None => Ok(0),
    };
    let small = |from: usize| i8::try_from(number(from, from + 2)?).map_err(|_| wrong());
    let made = DateTime::new(number(0, 4)?, small(4)?, small(6)?, small(8)?, small(10)?, small(12)?, 0);
    let made = made.map_err(|_| wrong())?;
    let zone = match (utc, zone) {
        (true, _) => &TimeZone::UTC,
        (false, Some(zone)) => zone,
        (false, None) => return Err(Fault::LocalTime(name)),
    };
    let found = zone.to_ambiguous_timestamp(made).unambiguous().map_err(|_| Fault::AmbiguousTime(name))?;
    Ok(found.as_second())
}

#[cfg(test)]
mod tests;
