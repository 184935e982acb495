//! `missing-ticket`: every commit names a ticket of a known project.

use super::{Finding, Judges, Kind, Rule, Scope, options, readings, redo, retag};
use crate::domain::{UpdateKind, text};
use crate::policy::Selector;
use crate::policy::facts::{CommitFacts, Needs, TagFacts};
use crate::policy::message::{self, Exempt, Merges, Reverts, subject, trailers};
use serde::Deserialize;
use std::collections::BTreeSet;

/// The rule's one word.
pub const NAME: &str = "missing-ticket";

/// The registry line.
pub const KIND: Kind = Kind {
    name: NAME,
    summary: "a commit (or branch name) that names no ticket",
    judges: Judges::Commit,
    build: |table| Ok(Box::new(MissingTicket::new(options(table)?)?)),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    projects: Vec<String>,
    #[serde(rename = "where", default = "default_places")]
    places: Vec<Place>,
    #[serde(default)]
    trailers: Vec<String>,
    #[serde(default = "one")]
    minimum: usize,
    #[serde(default)]
    ignore: Vec<String>,
    #[serde(default)]
    merges: Merges,
    #[serde(default)]
    reverts: Reverts,
    except: Option<Vec<String>>,
    #[serde(default)]
    tags: bool,
}

fn default_places() -> Vec<Place> {
    vec![Place::Subject, Place::Trailer]
}

const fn one() -> usize {
    1
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Place {
    Subject,
    SubjectPrefix,
    Trailer,
    Anywhere,
    Branch,
}

/// Stands for every project in `projects`.
const ANY: &str = "*";

/// Most different tickets that can be asked for.
const MOST: usize = 10;

/// What is written like a ticket and is none; not looked at where a project of that name is listed.
const NO_PROJECTS: [&str; 40] = [
    "AES", "AGPL", "ASCII", "BSD", "CBC", "COVID", "CP", "CRC", "CVE", "CWE", "DES", "DIN", "ECMA", "EN",
    "EPL", "FIPS", "GMT", "GPL", "HTTP", "IEC", "IEEE", "IPV", "ISO", "LGPL", "MD", "MPL", "PEP", "PKCS",
    "PR", "RFC", "RSA", "SHA", "SHA3", "SSL", "TLS", "UCS", "USB", "UTC", "UTF", "WPA",
];

/// A project key as trackers have them: two or more of A-Z, 0-9 and _, a letter first.
fn is_project(key: &str) -> bool {
    let first = key.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase());
    first && key.len() >= 2 && key.bytes().all(in_key)
}

const fn in_key(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'
}

#[derive(Debug)]
struct MissingTicket {
    projects: Vec<String>,
    places: Vec<Place>,
    /// Trailers that count; empty means all of them.
    trailers: Vec<String>,
    /// How many different tickets there have to be.
    minimum: usize,
    /// Project keys and tickets that never count.
    ignore: Vec<String>,
    exempt: Exempt,
    tags: bool,
}

impl MissingTicket {
    fn new(raw: Options) -> Result<Self, String> {
        let shown = |word: &String| text::escape(word.as_bytes());
        if raw.projects.is_empty() {
            return Err("`projects` needs at least one project key, such as `projects = [\"OPS\"]`".into());
        }
        if let Some(project) = raw.projects.iter().find(|one| *one != ANY && !is_project(one)) {
            return Err(format!(
                "`{}` is no project key: two or more of A-Z, 0-9 and _, a letter first",
                shown(project)
            ));
        }
        if raw.places.is_empty() {
            return Err(
                "`where` cannot be empty: use \"subject\", \"subject-prefix\", \"trailer\", \"anywhere\" \
                        or \"branch\""
                    .into(),
            );
        }
        let branch = raw.places.contains(&Place::Branch);
        if branch && raw.places.iter().any(|place| *place != Place::Branch) {
            return Err(
                "\"branch\" stands alone in `where`: a commit let in because of its branch's name would \
                        count as judged on every other branch"
                    .into(),
            );
        }
        if let Some(trailer) = raw.trailers.iter().find(|one| !message::is_trailer_key(one)) {
            return Err(format!("`{}` is no trailer name: letters, digits and -", shown(trailer)));
        }
        if !raw.trailers.is_empty() && !raw.places.contains(&Place::Trailer) {
            return Err("`trailers` says which trailers count, and `where` has no \"trailer\"".into());
        }
        if !(1..=MOST).contains(&raw.minimum) {
            return Err(format!("`minimum` is a number of tickets from 1 to {MOST}"));
        }
        let is_ticket = |one: &String| tickets(one.as_bytes()).any(|ticket| ticket.text == one.as_bytes());
        if let Some(word) = raw.ignore.iter().find(|one| !is_project(one) && !is_ticket(one)) {
            return Err(format!(
                "`{}` in `ignore` is neither a project key such as `UTF` nor a ticket such as `HIGH-5`",
                shown(word)
            ));
        }
        if let Some(project) = raw.projects.iter().find(|one| raw.ignore.contains(one)) {
            return Err(format!("`{project}` is in `projects` and in `ignore`: keep one of them"));
        }
        let exempt = Exempt::new(raw.merges, raw.reverts, raw.except.as_deref())?;
        if branch && (raw.tags || !exempt.is_empty()) {
            return Err("`merges`, `reverts`, `except` and `tags` are about messages, and with \
                        `where = [\"branch\"]` no message is looked at"
                .into());
        }
        let Options { projects, places, trailers, minimum, ignore, tags, .. } = raw;
        Ok(MissingTicket { projects, places, trailers, minimum, ignore, exempt, tags })
    }

    fn counts(&self, ticket: Ticket<'_>) -> bool {
        let key = |one: &String| one.as_bytes() == ticket.project;
        if self.ignore.iter().any(|one| key(one) || one.as_bytes() == ticket.text) {
            return false;
        }
        let any = self.projects.iter().any(|one| one == ANY);
        let usual = NO_PROJECTS.iter().any(|one| one.as_bytes() == ticket.project);
        self.projects.iter().any(key) || (any && !usual)
    }

    /// Adds the tickets of `text` that count, until there are enough.
    fn gather(&self, place: Place, text: &[u8], found: &mut BTreeSet<Vec<u8>>) {
        let mut next = 0;
        for ticket in tickets(text) {
            // What stands before a ticket at the start, and between two of them.
            let joins = |byte: &u8| b" \t[](){},;:/&+".contains(byte);
            if place == Place::SubjectPrefix && !text[next..ticket.at].iter().all(joins) {
                return;
            }
            next = ticket.at + ticket.text.len();
            if self.counts(ticket) {
                found.insert(ticket.text.to_vec());
            }
            if found.len() >= self.minimum {
                return;
            }
        }
    }

    fn is_about_the_branch(&self) -> bool {
        self.places.contains(&Place::Branch)
    }

    /// The tickets of a message that count; not all of them where there are enough.
    fn in_message(&self, message: &[u8]) -> BTreeSet<Vec<u8>> {
        let mut found = BTreeSet::new();
        for place in &self.places {
            match place {
                Place::Subject | Place::SubjectPrefix => {
                    self.gather(*place, &subject(message), &mut found);
                }
                Place::Anywhere => self.gather(*place, message, &mut found),
                Place::Trailer => {
                    for trailer in trailers(message) {
                        if self.trailers.is_empty() || self.trailers.iter().any(|key| trailer.is(key)) {
                            self.gather(*place, &trailer.value, &mut found);
                        }
                    }
                }
                Place::Branch => {}
            }
        }
        found
    }

    fn example(&self) -> String {
        format!("{}-123", self.projects.iter().find(|one| *one != ANY).map_or("KEY", String::as_str))
    }

    fn wanted(&self) -> String {
        let listed = self.projects.iter().filter(|one| *one != ANY);
        let mut projects: Vec<String> = listed.map(|project| format!("{project}-123")).collect();
        if projects.len() < self.projects.len() {
            projects.push("KEY-123 of any project".to_owned());
        }
        let place = |place: &Place| match place {
            Place::Subject => "the subject".to_owned(),
            Place::SubjectPrefix => "the subject's beginning".to_owned(),
            Place::Trailer if self.trailers.is_empty() => "a trailer".to_owned(),
            Place::Trailer => {
                let names: Vec<String> = self.trailers.iter().map(|name| format!("`{name}:`")).collect();
                format!("a trailer {}", names.join(" or "))
            }
            Place::Anywhere => "the message".to_owned(),
            Place::Branch => "the branch name".to_owned(),
        };
        let places: Vec<String> = self.places.iter().map(place).collect();
        let count = match self.minimum {
            1 => "a ticket".to_owned(),
            many => format!("{many} different tickets"),
        };
        format!("{count} such as {} in {}", projects.join(" or "), places.join(" or "))
    }

    /// What was seen of tickets, where there are too few of them.
    fn too_few(&self, found: &BTreeSet<Vec<u8>>) -> String {
        match found.iter().next() {
            None => "no ticket".to_owned(),
            Some(_) => {
                let shown = found.iter().map(|one| text::escape_short(one, 30)).collect::<Vec<_>>();
                let plural = if found.len() == 1 { "" } else { "s" };
                format!("only {} ticket{plural} ({})", found.len(), shown.join(", "))
            }
        }
    }

    fn judge(&self, message: &[u8], again: impl FnOnce() -> String) -> Option<Finding> {
        let found = self.in_message(message);
        if found.len() >= self.minimum {
            return None;
        }
        let help =
            format!("reword it with {} (for example `{}: ...`), then push again", again(), self.example());
        let shown = text::escape_short(&subject(message), 60);
        let seen = format!("{}, the subject is \"{shown}\"", self.too_few(&found));
        Some(Finding { path: None, seen, wanted: self.wanted(), help })
    }
}

impl Rule for MissingTicket {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    /// With `where = ["branch"]` the rule is about the update, and the frontier has no say (N11).
    fn judges(&self) -> Judges {
        if self.is_about_the_branch() { Judges::RefUpdate } else { Judges::Commit }
    }

    fn check_commit(&self, commit: &CommitFacts, scope: Scope<'_>) -> Vec<Finding> {
        if self.is_about_the_branch() || self.exempt.commit(commit) {
            return Vec::new();
        }
        let again = || redo(commit, scope.reference, "", "-i");
        match readings(commit, scope) {
            Ok(all) => all.iter().find_map(|message| self.judge(message, again)).into_iter().collect(),
            Err(unreadable) => vec![unreadable],
        }
    }

    fn check_tag(&self, tag: &TagFacts, _: Scope<'_>) -> Vec<Finding> {
        let found = if self.tags { self.judge(&tag.message, || retag(tag)) } else { None };
        found.into_iter().collect()
    }

    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let reference = scope.reference;
        if !self.is_about_the_branch() || reference.kind == UpdateKind::Delete {
            return Vec::new();
        }
        let mut found = BTreeSet::new();
        if let Some(branch) = reference.name.branch() {
            self.gather(Place::Branch, branch, &mut found);
        }
        if found.len() >= self.minimum {
            return Vec::new();
        }
        let seen = match self.too_few(&found) {
            none if found.is_empty() => format!("the ref's name holds {none}"),
            few => format!("the ref's name holds {few}"),
        };
        let help = format!("push to a branch such as `{}-what-it-does`", self.example());
        vec![Finding { path: None, seen, wanted: self.wanted(), help }]
    }

    fn needs(&self) -> Needs {
        self.exempt.needs()
    }

    fn describe(&self) -> String {
        self.wanted()
    }

    fn selectors(&self) -> &[Selector] {
        self.exempt.selectors()
    }
}

/// What is written like a ticket.
#[derive(Clone, Copy, Debug)]
struct Ticket<'a> {
    /// Where it begins.
    at: usize,
    /// All of it.
    text: &'a [u8],
    /// The part before the `-`.
    project: &'a [u8],
}

/// Every `PROJECT-NUMBER` of `text` that is a word of its own: `OPS-0`, `OPS-1x` and `OPS-1-2` are none, and
/// in `XOPS-1` the project is XOPS.
fn tickets(text: &[u8]) -> impl Iterator<Item = Ticket<'_>> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || byte >= 0x80;
    let mut from = 0;
    std::iter::from_fn(move || {
        while from < text.len() {
            let at = from;
            let key = text[at..].iter().take_while(|byte| in_key(**byte)).count();
            // The key is passed at once: none begins inside another.
            from += key.max(1);
            let project = &text[at..at + key];
            let letter = project.first().is_some_and(u8::is_ascii_uppercase);
            if !letter || key < 2 || (at > 0 && word(text[at - 1])) {
                continue;
            }
            let Some(after) = text[at + key..].strip_prefix(b"-") else { continue };
            let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 || after[0] == b'0' {
                continue;
            }
            // A branch may go on: `OPS-12-fix-the-thing`; another number may not follow.
            let free = match &after[digits..] {
                [] => true,
                [b'-', next, ..] => !next.is_ascii_digit(),
                [next, ..] => *next == b'-' || !word(*next),
            };
            if free {
                return Some(Ticket { at, text: &text[at..at + key + 1 + digits], project });
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(options: toml::Table) -> MissingTicket {
        MissingTicket::new(super::options(options).unwrap()).unwrap()
    }

    #[test]
    fn tickets_are_whole_words_of_listed_projects() {
        let of = |text: &str| {
            rule(toml::toml! { projects = ["OPS"] where = ["anywhere"] }).in_message(text.as_bytes())
        };
        for yes in ["OPS-1", "fix: OPS-12: x", "(OPS-3)", "[OPS-4] x", "x OPS-5.", "OPS-6-fix-it", "a/OPS-7"]
        {
            assert_eq!(of(yes).len(), 1, "{yes}");
        }
        for no in
            ["XOPS-1", "OPS-0", "OPS-01", "OPS-", "OPS1", "ops-1", "OPS-1x", "OPS-1-2", "-OPS-1", "éOPS-1"]
        {
            assert!(of(no).is_empty(), "{no}");
        }
        assert_eq!(of("XOPS-1 OPS-2").len(), 1, "a later one counts");
    }

    #[test]
    fn the_beginning_of_a_subject_may_be_in_brackets_and_name_several() {
        let rule = rule(toml::toml! { projects = ["OPS"] where = ["subject-prefix"] minimum = 2 });
        let count = |text: &str| rule.in_message(text.as_bytes()).len();
        for (text, expected) in [
            ("OPS-1 OPS-2 x", 2),
            ("[OPS-1][OPS-2] x", 2),
            ("OPS-1, OPS-2: x", 2),
            ("OPS-1/OPS-1: x", 1),
            ("OPS-1 and OPS-2", 1),
            ("OPS-1: like OPS-2", 1),
            ("fix OPS-1", 0),
            ("fix(OPS-1): x", 0),
            ("\"OPS-1", 0),
        ] {
            assert_eq!(count(text), expected, "{text}");
        }
    }

    #[test]
    fn any_project_is_any_but_what_is_known_to_be_none() {
        let any = rule(toml::toml! { projects = ["*"] where = ["anywhere"] ignore = ["HIGH-5", "FOO"] });
        let has = |rule: &MissingTicket, text: &str| !rule.in_message(text.as_bytes()).is_empty();
        for no in ["UTF-8", "SHA-256", "CVE-2024-1234", "HIGH-5", "FOO-7", "X-1", "GPL-3"] {
            assert!(!has(&any, no), "{no}");
        }
        for yes in ["OPS-1", "HIGH-6", "A1-2", "A_B-3"] {
            assert!(has(&any, yes), "{yes}");
        }
        let listed = rule(toml::toml! { projects = ["*", "UTF"] where = ["anywhere"] });
        assert!(has(&listed, "UTF-8"), "a project that is listed is one");
        assert!(NO_PROJECTS.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn hostile_messages_take_linear_time() {
        let rule = rule(toml::toml! { projects = ["OPS"] where = ["subject", "anywhere"] minimum = 10 });
        for piece in ["OPS-", "OPS-1", "O", "1", "OPS-1 ", "OPS-0 ", "-", "OPS-1-", "OPS-9-9"] {
            let message = piece.repeat((1 << 20) / piece.len());
            assert!(rule.in_message(message.as_bytes()).len() < 10);
        }
    }

    #[test]
    fn look_alikes_of_other_projects_do_not_count() {
        let rule = rule(toml::toml! { projects = ["OPS"] });
        let names = |rule: &MissingTicket, message: &[u8]| !rule.in_message(message).is_empty();
        assert!(!names(&rule, b"UTF-8 and SHA-256 and CVE-2024-1\n"));
        assert!(names(&rule, b"OPS-9 x\n"));
    }

    #[test]
    fn places_are_what_they_say() {
        let message =
            b"Subject line\nsecond OPS-1 line\n\nBody OPS-2\n\nTicket: OPS-3\nCo-authored-by: x <y>\n";
        let names = |options: toml::Table, message: &[u8]| !rule(options).in_message(message).is_empty();
        assert!(names(toml::toml! { projects = ["OPS"] where = ["trailer"] }, message));
        assert!(!names(toml::toml! { projects = ["OPS"] where = ["trailer"] trailers = ["Refs"] }, message));
        assert!(!names(toml::toml! { projects = ["OPS"] where = ["subject"] }, b"x\n\nOPS-1\n"));
        assert!(names(toml::toml! { projects = ["OPS"] where = ["anywhere"] }, b"x\n\ny OPS-1\n"));
    }

    #[test]
    fn options_are_checked() {
        let build = |table: toml::Table| (KIND.build)(table).map(|_| ());
        assert!(build(toml::toml! { projects = [] }).is_err());
        assert!(build(toml::toml! { projects = ["ops"] }).is_err());
        assert!(build(toml::toml! { projects = ["OPS"] where = [] }).is_err());
        assert!(build(toml::toml! { projects = ["OPS"] where = ["title"] }).is_err());
        assert!(build(toml::toml! { projects = ["OPS"] where = ["branch", "subject"] }).is_err());
        assert!(build(toml::toml! { projects = ["OPS"] where = ["branch"] }).is_ok());
        assert!(build(toml::Table::new()).is_err(), "projects have no default");
        assert!(build(toml::toml! { projects = ["OPS"] extra = 1 }).is_err());
        assert!(build(toml::toml! { projects = ["OPS"] minimum = 0 }).is_err());
        assert!(build(toml::toml! { projects = ["OPS"] ignore = ["ops"] }).is_err());
        assert!(build(toml::toml! { projects = ["OPS"] ignore = ["OPS-1", "SEC"] }).is_ok());
    }
}
