//! Messages of commits and tags, read as git reads them: subject, body, trailers, and the forms that git
//! itself writes. Everything is bytes, and all work is linear in the message.
//!
//! `tests/messages.rs` holds this against `git log` and `git interpret-trailers`.

use super::charset;
use super::facts::{CommitFacts, Needs};
use super::selector::Selector;
use crate::domain::{PrincipalKind, text};
use serde::Deserialize;

/// What git takes for white space: no vertical tab, no form feed, nothing beyond ASCII.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// `bytes` without white space at either end, as git trims.
pub fn trim(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_space(*byte)).unwrap_or(bytes.len());
    trim_end(&bytes[start..])
}

fn trim_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1);
    &bytes[..end]
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| is_space(*byte))
}

/// The lines, each with its line feed; what stands behind the last one is a line if there is anything.
fn lines(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    message.split_inclusive(|byte| *byte == b'\n')
}

/// The message without the empty lines that it begins with.
fn skip_blank(message: &[u8]) -> &[u8] {
    let skipped: usize = lines(message).take_while(|line| is_blank(line)).map(<[u8]>::len).sum();
    &message[skipped..]
}

/// The lines of the first paragraph, without white space at their ends.
pub fn title(message: &[u8]) -> Vec<&[u8]> {
    lines(skip_blank(message)).take_while(|line| !is_blank(line)).map(trim_end).collect()
}

/// The first paragraph, its lines joined by a space: what `git log --format=%s` shows.
pub fn subject(message: &[u8]) -> Vec<u8> {
    title(message).join(&b' ')
}

/// What follows the first paragraph, trailers included: what `git log --format=%b` shows.
pub fn body(message: &[u8]) -> &[u8] {
    let message = skip_blank(message);
    let title: usize = lines(message).take_while(|line| !is_blank(line)).map(<[u8]>::len).sum();
    skip_blank(&message[title..])
}

/// What [`body`] gives without the trailers and what git ignores behind them.
pub fn prose(message: &[u8]) -> &[u8] {
    let body = body(message);
    let before = trailer_block(message).start.saturating_sub(message.len() - body.len());
    trim_end(&body[..before.min(body.len())])
}

/// A line such as `Signed-off-by: Alice <alice@example.org>` at the end of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailer<'a> {
    /// What stands before the colon.
    pub key: &'a [u8],
    /// What stands behind it, continuation lines joined by a space.
    pub value: Vec<u8>,
}

impl Trailer<'_> {
    /// Whether it has this name; case is nothing to trailers.
    pub fn is(&self, key: &str) -> bool {
        self.key.eq_ignore_ascii_case(key.as_bytes())
    }
}

/// The trailers that `git interpret-trailers --parse --no-divider` finds where nothing is configured.
pub fn trailers(message: &[u8]) -> Vec<Trailer<'_>> {
    let mut out = Vec::new();
    // Where the trailer begins that lines may still be added to, and its colon.
    let mut open: Option<(usize, usize)> = None;
    let mut close = |open: &mut Option<(usize, usize)>, at: usize| {
        if let Some((start, colon)) = open.take() {
            out.push(Trailer { key: trim(&message[start..colon]), value: unfold(&message[colon + 1..at]) });
        }
    };
    let block = trailer_block(message);
    let mut at = block.start;
    for line in lines(&message[block]) {
        if open.is_none() || !line.first().is_some_and(|byte| is_space(*byte)) {
            close(&mut open, at);
            open = separator(line).map(|colon| (at, at + colon));
        }
        at += line.len();
    }
    close(&mut open, at);
    out
}

/// Makes one line of a value: a line feed and the white space behind it are a space.
fn unfold(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut folded = false;
    for byte in trim(value) {
        if *byte == b'\n' && !folded {
            out.push(b' ');
            folded = true;
        } else if !(folded && is_space(*byte)) {
            out.push(*byte);
            folded = false;
        }
    }
    out
}

/// Whether `key` can be the name of a trailer.
pub fn is_trailer_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Where the colon of a trailer stands: behind letters, digits and `-`, then blanks at most.
fn separator(line: &[u8]) -> Option<usize> {
    let mut blank = false;
    for (at, byte) in line.iter().enumerate() {
        match byte {
            b':' => return (at > 0).then_some(at),
            b'-' if !blank => {}
            letter if !blank && letter.is_ascii_alphanumeric() => {}
            b' ' | b'\t' if at > 0 => blank = true,
            _ => return None,
        }
    }
    None
}

/// Lines of the last paragraph that git writes itself, which make it one of trailers.
const GENERATED: [&[u8]; 2] = [b"Signed-off-by: ", b"(cherry picked from commit "];

/// Where the trailers stand; empty, and at the end, where there are none. Git takes the last paragraph but
/// not the first one if all of it is trailers, or a quarter and one of them is a line that git writes itself.
fn trailer_block(message: &[u8]) -> std::ops::Range<usize> {
    let end = end_of_message(message);
    let message = &message[..end];
    let none = end..end;
    // Where the lines begin that follow the title: comments are part of no paragraph.
    let mut title = 0;
    for line in lines(message) {
        if is_blank(line) && !line.starts_with(b"#") {
            break;
        }
        title += line.len();
    }
    let (mut found, mut others, mut folded) = (0_usize, 0_usize, 0_usize);
    let (mut generated, mut started) = (false, false);
    let mut after = end;
    for line in lines(&message[title..]).collect::<Vec<_>>().into_iter().rev() {
        let start = after - line.len();
        let end_of_line = std::mem::replace(&mut after, start);
        if line.starts_with(b"#") {
            others += std::mem::take(&mut folded);
        } else if is_blank(line) {
            if !started {
                continue;
            }
            others += folded;
            let whole = found > 0 && others == 0;
            return if whole || (generated && found * 3 >= others) { end_of_line..end } else { none };
        } else {
            started = true;
            if GENERATED.iter().any(|prefix| line.starts_with(prefix)) {
                (found, folded, generated) = (found + 1, 0, true);
            } else if separator(line).is_some() {
                (found, folded) = (found + 1, 0);
            } else if is_space(line[0]) {
                folded += 1;
            } else {
                others += 1 + std::mem::take(&mut folded);
            }
        }
    }
    none
}

/// Where the message ends before what git ignores at its end: empty lines, comments, an old list of
/// conflicts, everything behind a scissors line.
fn end_of_message(message: &[u8]) -> usize {
    const SCISSORS: &[u8] = b"# ------------------------ >8 ------------------------\n";
    let mut at = 0;
    let (mut ignored, mut conflicts) = (None, false);
    for line in lines(message) {
        if line == SCISSORS {
            break;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        if text.is_empty() || text.starts_with(b"#") {
            ignored = ignored.or(Some(at));
        } else if text == b"Conflicts:" {
            conflicts = true;
            ignored = ignored.or(Some(at));
        } else if !(conflicts && text.starts_with(b"\t")) && ignored.is_some() {
            (ignored, conflicts) = (None, false);
        }
        at += line.len();
    }
    ignored.unwrap_or(at)
}

/// Which commit the message says that it reverts, as hexadecimal digits, where it is of the form that
/// `git revert` writes: `Revert "..."` or `Reapply "..."`, and `This reverts commit ID.` at the start of a
/// line of the body, with `, reversing` for merges. Anybody can write that.
pub fn claimed_revert(message: &[u8]) -> Option<&[u8]> {
    let subject = subject(message);
    let quoted = subject.strip_prefix(b"Revert \"").or_else(|| subject.strip_prefix(b"Reapply \""))?;
    quoted.strip_suffix(b"\"")?;
    lines(body(message)).find_map(|line| {
        let rest = line.strip_prefix(b"This reverts commit ")?;
        let digits = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).count();
        let (id, end) = rest.split_at(digits);
        let ends = end.starts_with(b".") || end.starts_with(b", reversing\n");
        (matches!(digits, 40 | 64) && ends).then_some(id)
    })
}

/// Whether merges are judged: `merges`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Merges {
    /// As every other commit.
    #[default]
    Check,
    /// Not where they are real, and their tree is what merging gives (N20).
    Skip,
}

/// Whether reverts are judged: `reverts`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reverts {
    /// As every other commit.
    #[default]
    Check,
    /// Not where the message is of the form that `git revert` writes, which proves nothing.
    SkipByMessage,
}

/// Which commits a rule about messages leaves alone.
#[derive(Debug, Default)]
pub struct Exempt {
    merges: Merges,
    reverts: Reverts,
    except: Vec<Selector>,
}

impl Exempt {
    /// From the options of the same names.
    ///
    /// # Errors
    /// What is wrong with `except`.
    pub fn new(merges: Merges, reverts: Reverts, except: Option<&[String]>) -> Result<Self, String> {
        if except.is_some_and(<[String]>::is_empty) {
            return Err("`except = []` exempts nobody; leave it out".into());
        }
        let one = |written: &String| match Selector::parse(written).map_err(|error| error.to_string())? {
            Selector::Named(PrincipalKind::Agent, _) | Selector::Kind(PrincipalKind::Agent) => Err(format!(
                "`{}` cannot be exempt: no rule gives way to an agent",
                text::escape(written.as_bytes())
            )),
            other => Ok(other),
        };
        let except = except.unwrap_or_default().iter().map(one).collect::<Result<_, _>>()?;
        Ok(Exempt { merges, reverts, except })
    }

    /// What has to be known to tell.
    pub fn needs(&self) -> Needs {
        let forge = |one: &Selector| {
            matches!(one, Selector::Kind(PrincipalKind::Forge) | Selector::Named(PrincipalKind::Forge, _))
        };
        let merges = self.merges == Merges::Skip || self.except.iter().any(forge);
        if merges { Needs::MERGES } else { Needs::NONE }
    }

    /// Whether the commit is left alone. Who signed counts by verified signature only; a forge is exempt for
    /// the merges that it makes (N20), and through a group for nothing, as an agent is.
    pub fn commit(&self, commit: &CommitFacts) -> bool {
        let merged = commit.merge.as_ref().is_some_and(|merge| merge.real && merge.clean);
        let named = |one: &Selector| matches!(one, Selector::Named(..) | Selector::Kind(_));
        let signed = commit.signature.verified_by().is_some_and(|signer| {
            let meant = |one: &&Selector| one.matches(signer);
            match signer.kind {
                PrincipalKind::Person | PrincipalKind::Bot => self.except.iter().any(|one| meant(&one)),
                PrincipalKind::Forge => merged && self.except.iter().any(|one| named(one) && meant(&one)),
                PrincipalKind::Agent => false,
            }
        });
        let id_length = commit.id.to_string().len();
        let reverts = self.reverts == Reverts::SkipByMessage
            && charset::readings(commit.encoding.as_deref(), &commit.message).is_ok()
            && claimed_revert(&commit.message).is_some_and(|id| id.len() == id_length);
        signed || reverts || (merged && self.merges == Merges::Skip)
    }

    /// Whether nothing is exempt.
    pub fn is_empty(&self) -> bool {
        self.merges == Merges::Check && self.reverts == Reverts::Check && self.except.is_empty()
    }

    /// Whom [`Exempt::commit`] may exempt.
    pub fn selectors(&self) -> &[Selector] {
        &self.except
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(message: &str) -> Vec<String> {
        let all = trailers(message.as_bytes());
        all.iter().map(|one| String::from_utf8_lossy(one.key).into_owned()).collect()
    }

    #[test]
    fn subject_body_and_prose_are_apart() {
        let message = b"\n \nsubject\t\n goes on\n\n\nbody\n\nSigned-off-by: a <b>\n";
        assert_eq!(subject(message), b"subject  goes on");
        assert_eq!(body(message), b"body\n\nSigned-off-by: a <b>\n");
        assert_eq!(prose(message), b"body");
        assert_eq!(prose(b"s\n\nSigned-off-by: a <b>\n"), b"");
        assert_eq!(prose(b"s\n\nnothing else\n"), b"nothing else");
        for empty in [&b""[..], b"\n", b" \n\t\n", b"s", b"s\n", b"s\n\n\n"] {
            assert_eq!(body(empty), b"", "{empty:?}");
            assert_eq!(prose(empty), b"", "{empty:?}");
            assert!(trailers(empty).is_empty(), "{empty:?}");
        }
    }

    #[test]
    fn trailers_are_the_last_paragraph_and_never_the_first() {
        assert!(keys("Ticket: OPS-1\n").is_empty());
        assert_eq!(keys("s\n\nTicket: OPS-1\nCo-authored-by: x <y>\n"), ["Ticket", "Co-authored-by"]);
        assert!(keys("s\n\nnot one\nTicket: OPS-1\n").is_empty());
        assert_eq!(keys("s\n\nnot one\nSigned-off-by: a <b>\n"), ["Signed-off-by"], "git writes that line");
        assert!(keys("s\n\n1\n2\n3\n4\nSigned-off-by: a <b>\n").is_empty(), "less than a quarter");
        assert!(keys("s\n\nTicket: OPS-1\n\nmore\n").is_empty());
        let folded = trailers(b"s\n\nTicket: OPS-1\n and\n  OPS-2\n");
        assert_eq!(folded, [Trailer { key: b"Ticket", value: b"OPS-1 and OPS-2".to_vec() }]);
    }

    #[test]
    fn reverts_are_known_by_the_form_that_git_writes() {
        let id = "3f2a9c1d04b5e6f708192a3b4c5d6e7f80910213";
        let yes = [
            format!("Revert \"x\"\n\nThis reverts commit {id}.\n"),
            format!("Reapply \"x\"\n\nThis reverts commit {id}.\n\nIt was right.\n"),
            format!("Revert \"Merge\"\n\nThis reverts commit {id}, reversing\nchanges made to {id}.\n"),
        ];
        for message in yes {
            assert_eq!(claimed_revert(message.as_bytes()), Some(id.as_bytes()), "{message}");
        }
        let no = [
            format!("Revert x\n\nThis reverts commit {id}.\n"),
            format!("revert \"x\"\n\nThis reverts commit {id}.\n"),
            format!("Revert \"x\n\nThis reverts commit {id}.\n"),
            "Revert \"x\"\n".to_owned(),
            format!("Revert \"x\"\nThis reverts commit {id}.\n"),
            format!("Revert \"x\"\n\n> This reverts commit {id}.\n"),
            format!("Revert \"x\"\n\nThis reverts commit {}.\n", &id[..12]),
            format!("Revert \"x\"\n\nThis reverts commit {}.\n", id.to_uppercase()),
            format!("Revert \"x\"\n\nThis reverts commit {id}0.\n"),
        ];
        for message in no {
            assert_eq!(claimed_revert(message.as_bytes()), None, "{message}");
        }
    }

    #[test]
    fn hostile_messages_take_linear_time() {
        // 1 MiB of each: what is quadratic would not end.
        for piece in ["\n", " \n", "a: b\n", " x\n", "#\n", "x", "Conflicts:\n", "Signed-off-by: ", "\r"] {
            let message = format!("s\n\n{}", piece.repeat((1 << 20) / piece.len()));
            let message = message.as_bytes();
            assert!(subject(message).len() <= message.len());
            assert!(prose(message).len() <= body(message).len());
            assert!(trailers(message).len() <= message.len());
            assert_eq!(claimed_revert(message), None);
        }
    }
}
