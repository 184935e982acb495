//! Lines of public keys: `.pub` files, a forge's `<user>.keys`, and `authorized_keys` with its options.

use super::super::document::{Diagnostic, Source};
use super::super::{Material, Windows};
use super::entry::{At, Entry, Whose, private};
use crate::domain::{Timestamp, text};
use crate::signature::ssh::{self, SshKeyError, allowed_signers};
use jiff::tz::TimeZone;

/// Options that only say what a login may do besides: nothing about signatures follows from them.
const ABOUT_SESSIONS: [&str; 13] = [
    "agent-forwarding",
    "no-agent-forwarding",
    "no-port-forwarding",
    "no-pty",
    "no-user-rc",
    "no-x11-forwarding",
    "port-forwarding",
    "pty",
    "restrict",
    "user-rc",
    "x11-forwarding",
    "permitopen",
    "permitlisten",
];

/// Options that say that the key is for something else than its owner's hands.
const NARROWING: [&str; 5] = ["command", "environment", "from", "no-touch-required", "tunnel"];

/// Most faults that are told: what has more of them is something else.
const MAX_FAULTS: usize = 50;

/// How lines are read.
pub(super) struct Reading<'a> {
    /// Whether options may stand in front of a key.
    pub(super) options: bool,
    /// Those of [`NARROWING`] that the operator says do not matter.
    pub(super) ignored: &'a [String],
    /// The zone of times that name none.
    pub(super) zone: Option<&'a TimeZone>,
    /// Whose the keys are, where the name of the file says so.
    pub(super) whose: Whose,
    /// Where the lines stand, if they are a part of another file.
    pub(super) at: Option<At>,
}

/// The name of an option at the beginning of a line of `authorized_keys`.
pub(super) fn begins_with_option(line: &str) -> bool {
    let end = line.find(['=', ',', ' ', '\t']).unwrap_or(line.len());
    let name = line[..end].to_ascii_lowercase();
    ["cert-authority", "principals", "expiry-time", "verify-required"]
        .iter()
        .chain(&ABOUT_SESSIONS)
        .chain(&NARROWING)
        .any(|known| *known == name)
}

/// The keys of some lines.
pub(super) fn read(
    bytes: &[u8],
    reading: &Reading<'_>,
    source: &Source,
) -> Result<Vec<Entry>, Vec<Diagnostic>> {
    let (mut entries, mut faults) = (Vec::new(), Vec::new());
    let lines = bytes.split(|byte| *byte == b'\n');
    for (index, line) in lines.enumerate() {
        if faults.len() >= MAX_FAULTS {
            break;
        }
        let at = reading.at.unwrap_or(At::line(index + 1));
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > allowed_signers::MAX_LINE {
            faults.push(At { shown: false, ..at }.fault(source, "the line is longer than 32 KiB"));
            continue;
        }
        if index >= allowed_signers::MAX_LINES {
            faults.push(at.fault(source, "the file has more than 100000 lines"));
            break;
        }
        let Ok(line) = std::str::from_utf8(line) else {
            faults.push(at.fault(source, "the line is not UTF-8").suggest("write the file in UTF-8"));
            continue;
        };
        let line = if index == 0 { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
        let begin = line.len() - line.trim_start().len();
        let written = line.trim();
        if written.is_empty() || written.starts_with('#') {
            continue;
        }
        let mut reader = LineReader { text: line, at: begin, reading, says: Says::default() };
        match reader.line() {
            Ok(entry) => entries.push(Entry { at, ..entry }),
            Err(Fault { what: What::Private, .. }) => return Err(vec![private(source, at)]),
            Err(Fault { column, what: What::Other(message), help }) => {
                let at = match reading.at {
                    Some(at) => at,
                    None => At { column: line[..column].chars().count() + 1, ..at },
                };
                let found = at.fault(source, message);
                faults.push(if help.is_empty() { found } else { found.suggest(help) });
            }
        }
    }
    if faults.is_empty() { Ok(entries) } else { Err(faults) }
}

struct Fault {
    /// In bytes, from 0.
    column: usize,
    what: What,
    help: String,
}

enum What {
    Private,
    Other(String),
}

fn fault(column: usize, message: impl Into<String>, help: impl Into<String>) -> Fault {
    Fault { column, what: What::Other(message.into()), help: help.into() }
}

/// What the options of a line say that matters here.
#[derive(Default)]
struct Says {
    authority: bool,
    principals: Option<Vec<String>>,
    until: Option<Timestamp>,
    verified: bool,
}

struct LineReader<'a> {
    text: &'a str,
    at: usize,
    reading: &'a Reading<'a>,
    says: Says,
}

impl LineReader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn line(&mut self) -> Result<Entry, Fault> {
        let first = self.rest().split([' ', '\t']).next().unwrap_or_default();
        let is_key = first.starts_with("ssh-") || first.starts_with("ecdsa-") || first.starts_with("sk-");
        if !is_key {
            if self.reading.options && begins_with_option(self.rest()) {
                self.options()?;
            } else if begins_with_option(self.rest()) {
                let help = "say `--as authorized-keys` if the file is one";
                return Err(fault(self.at, "there are options in front of the key", help));
            }
        }
        let at = self.at;
        let line = self.rest().trim().to_owned();
        let material = Material::ssh(&line).map_err(|error| match error {
            super::super::MaterialError::Private => {
                Fault { column: at, what: What::Private, help: String::new() }
            }
            super::super::MaterialError::Ssh(SshKeyError::Certificate(_)) => fault(
                at,
                error.to_string(),
                "certificates end; import the key of the authority that made it, with `cert-authority`",
            ),
            other => {
                fault(at, other.to_string(), "a line is: options if any, key type, key in base64, comment")
            }
        })?;
        let Material::Ssh(key) = &material else { return Err(fault(at, "this is not an SSH key", "")) };
        let whose = match (self.says.authority, self.says.principals.take()) {
            (false, None) => self.reading.whose.clone(),
            (true, Some(principals)) => Whose::Authority(principals),
            (true, None) => {
                let help =
                    "write `cert-authority,principals=\"alice,bob\"`, or import an allowed_signers file";
                return Err(fault(at, "the authority's line does not say whom it may certify", help));
            }
            (false, Some(_)) => {
                let message = "`principals` goes with `cert-authority` only";
                return Err(fault(at, message, "take the option away"));
            }
        };
        if self.says.verified && key.application().is_none() {
            let message = "`verify-required` is for FIDO keys, and this is none";
            return Err(fault(at, message, "take the option away"));
        }
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty()).skip(2);
        let comment = words.by_ref().collect::<Vec<_>>().join(" ");
        Ok(Entry {
            at: At::WHOLE,
            whose,
            labels: vec![key.fingerprint()],
            written: public_line(key, &comment),
            windows: Windows::one(None, self.says.until),
            says_window: self.says.until.is_some(),
            verified: self.says.verified,
            material,
        })
    }

    /// The options in front of a key, up to a blank outside of quotation marks.
    fn options(&mut self) -> Result<(), Fault> {
        loop {
            let at = self.at;
            let length = self.rest().find([' ', '\t', ',', '=']).unwrap_or(self.rest().len());
            let name = self.rest()[..length].to_ascii_lowercase();
            self.at += length;
            let value = if self.rest().starts_with('=') { Some(self.value()?) } else { None };
            self.option(at, &name, value)?;
            match self.rest().chars().next() {
                Some(',') => self.at += 1,
                Some(' ' | '\t') => {
                    self.at += self.rest().len() - self.rest().trim_start().len();
                    return Ok(());
                }
                None => return Err(fault(self.at, "there is no key behind the options", "")),
                Some(_) => return Err(fault(self.at, "there is something behind a quotation mark", "")),
            }
        }
    }

    /// The value behind `=`, in quotation marks, with `\"` for one inside.
    fn value(&mut self) -> Result<String, Fault> {
        let at = self.at;
        let Some(quoted) = self.rest().strip_prefix("=\"") else {
            return Err(fault(at, "the value of an option stands in quotation marks", ""));
        };
        let mut value = String::new();
        let mut letters = quoted.char_indices().peekable();
        while let Some((index, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.at = at + 2 + index + 1;
                    return Ok(value);
                }
                '\\' if letters.peek().is_some_and(|(_, next)| *next == '"') => {
                    letters.next();
                    value.push('"');
                }
                letter => value.push(letter),
            }
        }
        Err(fault(at + 1, "a quotation mark has no other one", ""))
    }

    fn option(&mut self, at: usize, name: &str, value: Option<String>) -> Result<(), Fault> {
        match (name, value) {
            ("cert-authority", None) => self.says.authority = true,
            ("verify-required", None) => self.says.verified = true,
            ("principals", Some(list)) => {
                let names: Vec<String> = list.split(',').map(str::to_owned).collect();
                // There they are names and no patterns.
                let plain = |name: &String| {
                    !name.is_empty()
                        && name.trim() == name
                        && !name.contains(['*', '?', '!'])
                        && visible(name)
                };
                if !names.iter().all(plain) {
                    let help = "write plain names with commas between them";
                    return Err(fault(at, "the principals cannot be read", help));
                }
                self.says.principals = Some(names);
            }
            ("expiry-time", Some(time)) => {
                let second = allowed_signers::instant(&time, self.reading.zone);
                let second = second.map_err(|error| fault(at, error.to_string(), error.suggestion()))?;
                let until = Timestamp::from_second(second);
                let until = until.map_err(|_| fault(at, "the time cannot be", ""))?;
                self.says.until = Some(self.says.until.map_or(until, |known| known.min(until)));
            }
            (name, _) if ABOUT_SESSIONS.contains(&name) => {}
            (name, _) if NARROWING.contains(&name) => {
                if !self.reading.ignored.iter().any(|ignored| ignored == name) {
                    let message = format!("the option `{name}` says that the key is not for everything");
                    let help = format!(
                        "take the line away, or say `--ignore-option {name}` if the key signs for its owner all the same"
                    );
                    return Err(fault(at, message, help));
                }
            }
            (name, _) => {
                let shown = text::escape_short(name.as_bytes(), 30);
                return Err(fault(
                    at,
                    format!("the option `{shown}` cannot be read, or lacks its value"),
                    "",
                ));
            }
        }
        Ok(())
    }
}

fn visible(text: &str) -> bool {
    text::escape(text.as_bytes()) == text
}

/// The key as a `.pub` file has it, with a comment that a line of TOML can hold.
pub(super) fn public_line(key: &ssh::PublicKey, comment: &str) -> String {
    let line = format!("{} {}", key.algorithm(), data_encoding::BASE64.encode(key.blob()));
    let comment = text::escape_short(comment.as_bytes(), 200);
    if comment.is_empty() { line } else { format!("{line} {comment}") }
}
