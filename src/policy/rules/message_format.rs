//! `message-format`: messages have a form, and hold or do not hold what patterns say.

use super::{Finding, Judges, Kind, Rule, Scope, options, readings, redo, retag};
use crate::domain::text;
use crate::policy::Selector;
use crate::policy::facts::{CommitFacts, Needs, TagFacts};
use crate::policy::message::{self, Exempt, Merges, Reverts};
use regex::{Regex, RegexBuilder};
use serde::Deserialize;

/// The rule's one word.
pub const NAME: &str = "message-format";

/// The registry line.
pub const KIND: Kind = Kind {
    name: NAME,
    summary: "a commit whose message has not the form that is asked for",
    judges: Judges::Commit,
    build: |table| Ok(Box::new(MessageFormat::new(options(table)?)?)),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    subject_min: Option<usize>,
    subject_max: Option<usize>,
    #[serde(default)]
    blank_second_line: bool,
    #[serde(default)]
    body_required: bool,
    line_max: Option<usize>,
    #[serde(default)]
    required: Vec<Written>,
    #[serde(default)]
    forbidden: Vec<Written>,
    #[serde(default)]
    merges: Merges,
    #[serde(default)]
    reverts: Reverts,
    except: Option<Vec<String>>,
    #[serde(default)]
    tags: bool,
}

/// A pattern as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    target: String,
    matches: Option<String>,
    contains: Option<String>,
    about: Option<String>,
}

/// Most patterns of a rule.
const PATTERNS: usize = 50;
/// Longest pattern, bytes.
const PATTERN: usize = 1000;
/// Largest program that a pattern may become, bytes. Time to match is at most its size times the message's.
const PROGRAM: usize = 128 << 10;
/// Most characters of a pattern, and of a line, that are shown.
const SHOWN: usize = 120;
/// Longest line that can be asked for.
const LONGEST: usize = 10_000;

/// The text that a pattern is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Subject,
    Body,
    Message,
    Trailer(String),
}

impl Target {
    fn parse(written: &str) -> Result<Self, String> {
        match (written, written.strip_prefix("trailer:")) {
            ("subject", _) => Ok(Target::Subject),
            ("body", _) => Ok(Target::Body),
            ("message", _) => Ok(Target::Message),
            (_, Some(key)) if message::is_trailer_key(key) => Ok(Target::Trailer(key.to_owned())),
            _ => Err(format!(
                "`{}` is no target: use \"subject\", \"body\", \"message\" or \"trailer:\" and a trailer's name",
                text::escape(written.as_bytes())
            )),
        }
    }

    /// With its article.
    fn a(&self) -> String {
        match self {
            Target::Trailer(key) => format!("a trailer `{key}:`"),
            other => format!("a {}", other.name()),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Target::Subject => "subject",
            Target::Body => "body",
            Target::Message => "message",
            Target::Trailer(_) => "trailer",
        }
    }
}

/// A pattern: a regular expression on one target.
#[derive(Debug)]
struct Demand {
    target: Target,
    regex: Regex,
    /// Whether the whole target has to match, or some part of it.
    whole: bool,
    /// The expression, escaped.
    shown: String,
    /// What it is about, in the administrator's words, escaped.
    about: Option<String>,
}

impl Demand {
    fn new(written: &Written) -> Result<Self, String> {
        let target = Target::parse(&written.target)?;
        let (whole, source) = match (&written.matches, &written.contains) {
            (Some(source), None) => (true, source),
            (None, Some(source)) => (false, source),
            _ => {
                return Err(
                    "a pattern says either `matches` (the whole target) or `contains` (some part of it)"
                        .into(),
                );
            }
        };
        // Backslashes as the administrator wrote them: nothing here is from a push.
        let shown = text::escape_short(source.as_bytes(), SHOWN).replace("\\\\", "\\");
        if source.len() > PATTERN {
            return Err(format!("`{shown}` is longer than {PATTERN} bytes"));
        }
        let anchored = if whole { format!("\\A(?:{source})\\z") } else { source.clone() };
        let made = RegexBuilder::new(&anchored).size_limit(PROGRAM).dfa_size_limit(1 << 20).build();
        let regex = made.map_err(|error| {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim();
            format!(
                "`{shown}` is not a valid regular expression: {}",
                text::escape_short(why.as_bytes(), SHOWN)
            )
        })?;
        if !whole && regex.is_match("") {
            return Err(format!("`{shown}` is contained in every text, the empty one too: it says nothing"));
        }
        let about = written.about.as_ref().map(|about| text::escape_short(about.as_bytes(), SHOWN));
        Ok(Demand { target, regex, whole, shown, about })
    }

    /// What is wanted: that the target does or does not what the pattern says.
    fn wanted(&self, required: bool) -> String {
        let verb = match (required, self.whole) {
            (true, true) => "matches",
            (true, false) => "contains",
            (false, true) => "does not match",
            (false, false) => "does not contain",
        };
        let what = format!("{} that {verb} `{}`", self.target.a(), self.shown);
        match &self.about {
            Some(about) => format!("{about}: {what}"),
            None => what,
        }
    }

    /// Where a required text is missing: what is there instead, and what is wanted.
    fn missing(&self, parts: &Parts<'_>) -> Option<(String, String)> {
        let texts = parts.of(&self.target);
        if texts.iter().any(|text| self.regex.is_match(text)) {
            return None;
        }
        let first = texts.first().map(|text| text::escape_short(text.as_bytes(), 60));
        let seen = match (&self.target, first) {
            (Target::Trailer(key), None) => format!("no trailer `{key}:`"),
            (Target::Subject | Target::Trailer(_), Some(shown)) => {
                format!("{} that is not as asked for: \"{shown}\"", self.target.a())
            }
            (other, _) => format!("{} that is not as asked for", other.a()),
        };
        Some((seen, self.wanted(true)))
    }

    /// Where a forbidden text stands, and what is wanted. The text itself is not repeated: it may be there by
    /// mistake, and refusals are kept.
    fn present(&self, parts: &Parts<'_>) -> Option<(String, String)> {
        let texts = parts.of(&self.target);
        let (text, found) = texts.iter().find_map(|text| Some((text, self.regex.find(text)?)))?;
        let place = match &self.target {
            Target::Subject => "the subject".to_owned(),
            Target::Trailer(key) => format!("the trailer `{key}:`"),
            other => {
                let line = text[..found.start()].matches('\n').count() + 1;
                format!("line {line} of the {}", other.name())
            }
        };
        Some((format!("a forbidden text in {place}"), self.wanted(false)))
    }
}

/// A message's parts as text: bytes that are not UTF-8 are U+FFFD, line ends are line feeds.
struct Parts<'a> {
    raw: &'a [u8],
    subject: String,
    body: String,
    message: String,
    trailers: Vec<(&'a [u8], String)>,
}

impl<'a> Parts<'a> {
    fn new(raw: &'a [u8]) -> Self {
        let plain = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            if text.contains('\r') { text.replace("\r\n", "\n") } else { text.into_owned() }
        };
        Parts {
            raw,
            subject: plain(&message::subject(raw)),
            body: plain(message::body(raw)),
            message: plain(raw),
            trailers: message::trailers(raw).into_iter().map(|one| (one.key, plain(&one.value))).collect(),
        }
    }

    fn of(&self, target: &Target) -> Vec<&str> {
        match target {
            Target::Subject => vec![&self.subject],
            Target::Body => vec![&self.body],
            Target::Message => vec![&self.message],
            Target::Trailer(key) => {
                let own = self.trailers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key.as_bytes()));
                own.map(|(_, value)| value.as_str()).collect()
            }
        }
    }
}

#[derive(Debug)]
struct MessageFormat {
    subject_min: Option<usize>,
    subject_max: Option<usize>,
    blank_second_line: bool,
    body_required: bool,
    line_max: Option<usize>,
    required: Vec<Demand>,
    forbidden: Vec<Demand>,
    exempt: Exempt,
    tags: bool,
}

impl MessageFormat {
    fn new(raw: Options) -> Result<Self, String> {
        let lengths =
            [("subject-min", raw.subject_min), ("subject-max", raw.subject_max), ("line-max", raw.line_max)];
        for (name, length) in lengths {
            if length.is_some_and(|length| !(1..=LONGEST).contains(&length)) {
                return Err(format!("`{name}` is a number of characters from 1 to {LONGEST}"));
            }
        }
        if let (Some(min), Some(max)) = (raw.subject_min, raw.subject_max)
            && min > max
        {
            return Err(format!("no subject has at least {min} and at most {max} characters"));
        }
        if raw.required.len() + raw.forbidden.len() > PATTERNS {
            return Err(format!("there are more than {PATTERNS} patterns"));
        }
        let nothing = lengths.iter().all(|(_, length)| length.is_none())
            && !(raw.blank_second_line || raw.body_required)
            && raw.required.is_empty()
            && raw.forbidden.is_empty();
        if nothing {
            return Err(
                "it asks for nothing: give it one of `subject-min`, `subject-max`, `blank-second-line`, \
                        `body-required`, `line-max`, `required`, `forbidden`"
                    .into(),
            );
        }
        let demands = |all: &[Written]| all.iter().map(Demand::new).collect::<Result<Vec<_>, _>>();
        Ok(MessageFormat {
            required: demands(&raw.required)?,
            forbidden: demands(&raw.forbidden)?,
            exempt: Exempt::new(raw.merges, raw.reverts, raw.except.as_deref())?,
            subject_min: raw.subject_min,
            subject_max: raw.subject_max,
            blank_second_line: raw.blank_second_line,
            body_required: raw.body_required,
            line_max: raw.line_max,
            tags: raw.tags,
        })
    }

    /// What is wrong with a message: seen and wanted.
    fn faults(&self, raw: &[u8]) -> Vec<(String, String)> {
        let parts = Parts::new(raw);
        let mut out = Vec::new();
        let subject = &parts.subject;
        let length = subject.chars().count();
        let shown = || text::escape_short(subject.as_bytes(), 60);
        let characters = |count: usize| if count == 1 { "character" } else { "characters" };
        if let Some(min) = self.subject_min.filter(|min| length < *min) {
            let seen = match length {
                0 => "no subject".to_owned(),
                _ => format!("a subject of {length} {}: \"{}\"", characters(length), shown()),
            };
            out.push((seen, format!("a subject of at least {min} {}", characters(min))));
        }
        if let Some(max) = self.subject_max.filter(|max| length > *max) {
            let seen = format!("a subject of {length} characters: \"{}\"", shown());
            out.push((seen, format!("a subject of at most {max} {}", characters(max))));
        }
        if self.blank_second_line
            && let Some(second) = message::title(parts.raw).get(1)
        {
            let shown = text::escape_short(second, 60);
            out.push((
                format!("text on the line below the subject: \"{shown}\""),
                "a blank line below the subject, which is one line".to_owned(),
            ));
        }
        let prose = String::from_utf8_lossy(message::prose(parts.raw));
        if self.body_required && prose.trim().is_empty() {
            out.push(("no body".to_owned(), "a body, which trailers alone are not".to_owned()));
        }
        if let Some(max) = self.line_max {
            let long = prose.lines().enumerate().find(|(_, line)| line_length(line) > max);
            if let Some((at, line)) = long {
                let seen = format!("a line of {} characters, line {} of the body", line_length(line), at + 1);
                out.push((seen, format!("lines of at most {max} {} in the body", characters(max))));
            }
        }
        out.extend(self.required.iter().filter_map(|demand| demand.missing(&parts)));
        out.extend(self.forbidden.iter().filter_map(|demand| demand.present(&parts)));
        out
    }

    fn findings(&self, raw: &[u8], again: impl Fn() -> String) -> Vec<Finding> {
        let finding = |(seen, wanted)| {
            let help = format!("reword it with {}, then push again", again());
            Finding { path: None, seen, wanted, help }
        };
        self.faults(raw).into_iter().map(finding).collect()
    }
}

/// Characters of a line, web addresses not counted: they cannot be broken.
fn line_length(line: &str) -> usize {
    let line = line.trim_end();
    let addresses = line.split_ascii_whitespace().filter(|word| word.contains("://"));
    line.chars().count() - addresses.map(|word| word.chars().count()).sum::<usize>()
}

impl Rule for MessageFormat {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn check_commit(&self, commit: &CommitFacts, scope: Scope<'_>) -> Vec<Finding> {
        if self.exempt.commit(commit) {
            return Vec::new();
        }
        let again = || redo(commit, scope.reference, "", "-i");
        match readings(commit, scope) {
            Ok(all) => {
                let mut each = all.iter().map(|message| self.findings(message, again));
                each.find(|found| !found.is_empty()).unwrap_or_default()
            }
            Err(unreadable) => vec![unreadable],
        }
    }

    fn check_tag(&self, tag: &TagFacts, _: Scope<'_>) -> Vec<Finding> {
        if self.tags { self.findings(&tag.message, || retag(tag)) } else { Vec::new() }
    }

    fn needs(&self) -> Needs {
        self.exempt.needs()
    }

    fn describe(&self) -> String {
        let mut out = Vec::new();
        out.extend(self.subject_min.map(|min| format!("a subject of at least {min} characters")));
        out.extend(self.subject_max.map(|max| format!("a subject of at most {max} characters")));
        if self.blank_second_line {
            out.push("a blank line below the subject".to_owned());
        }
        if self.body_required {
            out.push("a body".to_owned());
        }
        out.extend(self.line_max.map(|max| format!("lines of at most {max} characters in the body")));
        out.extend(self.required.iter().map(|demand| demand.wanted(true)));
        out.extend(self.forbidden.iter().map(|demand| demand.wanted(false)));
        out.join("; ")
    }

    fn selectors(&self) -> &[Selector] {
        self.exempt.selectors()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(options: toml::Table) -> MessageFormat {
        MessageFormat::new(super::options(options).unwrap()).unwrap()
    }

    fn faults(options: toml::Table, message: &[u8]) -> usize {
        rule(options).faults(message).len()
    }

    #[test]
    fn lengths_are_characters() {
        assert_eq!(faults(toml::toml! { subject-max = 4 }, "\u{e9}\u{4e2d}\u{1f600}x\n".as_bytes()), 0);
        assert_eq!(faults(toml::toml! { subject-max = 4 }, b"\xff\xfe\xffab\n"), 1);
        assert_eq!(faults(toml::toml! { subject-max = 4 }, b"ab\ncd\n"), 1, "lines of a subject are one");
        assert_eq!(faults(toml::toml! { line-max = 10 }, b"s\n\n[1] https://example.org/a/b/c\n"), 0);
        assert_eq!(faults(toml::toml! { line-max = 10 }, b"s\n\nelevenchars\n"), 1);
        assert_eq!(faults(toml::toml! { line-max = 10 }, b"s\n\nKey: a trailer is not broken\n"), 0);
    }

    #[test]
    fn anchors_are_those_of_the_target() {
        let required = |word: &str, pattern: &str| {
            let text = format!("[[required]]\ntarget = \"message\"\n{word} = '{pattern}'\n");
            rule(toml::from_str(&text).unwrap())
        };
        let fits =
            |word: &str, pattern: &str, message: &[u8]| required(word, pattern).faults(message).is_empty();
        assert!(!fits("contains", "^b$", b"a\n\nb\n"), "`^` is the beginning of the text");
        assert!(fits("contains", "(?m)^b$", b"a\n\nb\n"));
        assert!(fits("contains", "(?m)^b$", b"a\r\n\r\nb\r\n"), "line ends are line feeds");
        assert!(!fits("matches", "a|b", b"ab"), "the whole of it");
        assert!(!fits("matches", "a.b", b"a\nb"));
        assert!(fits("matches", "(?s)a.b", b"a\nb"));
        assert!(fits("matches", "a.b", b"a\xffb"), "what is no text is one character");
    }

    #[test]
    fn options_are_checked() {
        let build = |text: &str| (KIND.build)(toml::from_str(text).unwrap()).map(|_| ());
        let pattern = |rest: &str| build(&format!("[[required]]\ntarget = \"subject\"\n{rest}\n"));
        assert!(build("").is_err());
        assert!(build("merges = \"skip\"").is_err());
        assert!(build("subject-max = 0").is_err());
        assert!(build("subject-min = 5\nsubject-max = 4").is_err());
        assert!(pattern("matches = 'a'").is_ok());
        assert!(pattern("").is_err());
        assert!(pattern("matches = 'a'\ncontains = 'a'").is_err());
        assert!(pattern("contains = 'a*'").is_err());
        assert!(pattern("matches = '('").is_err());
        assert!(pattern("matches = '((a{50}){50}){50}'").is_err(), "too large");
        assert!(pattern(&format!("matches = '{}'", "a".repeat(PATTERN + 1))).is_err());
        assert!(build("[[required]]\ntarget = \"trailer:a b\"\nmatches = 'a'").is_err());
    }

    #[test]
    fn hostile_messages_take_bounded_time() {
        // The largest that fits, of a kind for which no automaton of bounded memory can be kept: which `x` it
        // began with has to be remembered.
        let made = (1..500).rev().find_map(|tens| {
            let pattern = format!("x[xy]{{{}}}[zw]", tens * 10);
            let text = format!("[[forbidden]]\ntarget = \"message\"\ncontains = '{pattern}'\n");
            MessageFormat::new(toml::from_str(&text).unwrap()).ok()
        });
        let mut state = 1_u32;
        let letter = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state >> 31 == 0 { b'x' } else { b'y' }
        };
        let message: Vec<u8> = std::iter::repeat_with(letter).take(64 << 10).collect();
        assert!(made.unwrap().faults(&message).is_empty());
        let all =
            rule(toml::toml! { line-max = 5 subject-max = 5 body-required = true blank-second-line = true });
        for piece in ["\n", "x\n", "a: b\n", "\r", "\u{ff}", "https://"] {
            let message = format!("s\n\n{}", piece.repeat((64 << 10) / piece.len()));
            assert!(all.faults(message.as_bytes()).len() < 5);
        }
    }
}
