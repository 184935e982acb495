//! `missing-ticket`: every commit names a ticket of a known project.

use super::{Finding, Judges, Kind, Rule, Scope, options, redo};
use crate::domain::{UpdateKind, text};
use crate::policy::facts::CommitFacts;
use serde::Deserialize;

/// The rule's one word.
pub const NAME: &str = "missing-ticket";

/// The registry line.
pub const KIND: Kind = Kind {
    name: NAME,
    summary: "a commit (or branch name) that names no ticket",
    judges: Judges::Commit,
    build: |table| {
        let raw: Options = options(table)?;
        if raw.projects.is_empty() {
            return Err("`projects` needs at least one project key, such as `projects = [\"OPS\"]`".into());
        }
        for project in &raw.projects {
            let rest = project.as_bytes().get(1..).unwrap_or_default();
            let upper = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
            let first = project.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase());
            if !first || rest.is_empty() || !rest.iter().all(|byte| upper(*byte)) {
                let shown = text::escape(project.as_bytes());
                return Err(format!(
                    "`{shown}` is no project key: two or more of A-Z, 0-9 and _, a letter first"
                ));
            }
        }
        if raw.places.is_empty() {
            return Err(
                "`where` cannot be empty: use \"subject\", \"trailer\", \"anywhere\" or \"branch\"".into()
            );
        }
        if raw.places.contains(&Place::Branch) && raw.places.iter().any(|place| *place != Place::Branch) {
            return Err(
                "\"branch\" stands alone in `where`: a commit let in because of its branch's name would \
                        count as judged on every other branch"
                    .into(),
            );
        }
        for trailer in &raw.trailers {
            if trailer.is_empty() || !trailer.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            {
                return Err(format!(
                    "`{}` is no trailer name: letters, digits and -",
                    text::escape(trailer.as_bytes())
                ));
            }
        }
        Ok(Box::new(MissingTicket { projects: raw.projects, places: raw.places, trailers: raw.trailers }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    projects: Vec<String>,
    #[serde(rename = "where", default = "default_places")]
    places: Vec<Place>,
    #[serde(default)]
    trailers: Vec<String>,
}

fn default_places() -> Vec<Place> {
    vec![Place::Subject, Place::Trailer]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Place {
    Subject,
    Trailer,
    Anywhere,
    Branch,
}

#[derive(Debug)]
struct MissingTicket {
    projects: Vec<String>,
    places: Vec<Place>,
    /// Trailers that count; empty means all of them.
    trailers: Vec<String>,
}

impl MissingTicket {
    fn names_ticket(&self, text: &[u8]) -> bool {
        self.projects.iter().any(|project| names_ticket_of(project.as_bytes(), text))
    }

    fn is_about_the_branch(&self) -> bool {
        self.places.contains(&Place::Branch)
    }

    fn commit_names_ticket(&self, message: &[u8]) -> bool {
        self.places.iter().any(|place| match place {
            Place::Subject => self.names_ticket(&subject(message)),
            Place::Anywhere => self.names_ticket(message),
            Place::Trailer => trailers(message).iter().any(|(key, value)| {
                let counts = |name: &String| name.as_bytes().eq_ignore_ascii_case(key);
                (self.trailers.is_empty() || self.trailers.iter().any(counts)) && self.names_ticket(value)
            }),
            Place::Branch => false,
        })
    }

    fn wanted(&self) -> String {
        let projects: Vec<String> = self.projects.iter().map(|project| format!("{project}-123")).collect();
        let places: Vec<&str> = self
            .places
            .iter()
            .map(|place| match place {
                Place::Subject => "the subject",
                Place::Trailer => "a trailer",
                Place::Anywhere => "the message",
                Place::Branch => "the branch name",
            })
            .collect();
        format!("a ticket such as {} in {}", projects.join(" or "), places.join(" or "))
    }
}

impl Rule for MissingTicket {
    fn name(&self) -> &'static str {
        NAME
    }

    /// With `where = ["branch"]` the rule is about the update, and the frontier has no say (N11).
    fn judges(&self) -> Judges {
        if self.is_about_the_branch() { Judges::RefUpdate } else { Judges::Commit }
    }

    fn check_commit(&self, commit: &CommitFacts, scope: Scope<'_>) -> Vec<Finding> {
        if self.is_about_the_branch() || self.commit_names_ticket(&commit.message) {
            return Vec::new();
        }
        let example = format!("{}-123", self.projects.first().map_or("KEY", String::as_str));
        let reword = redo(commit, scope.reference, "", "-i");
        let help = format!("reword it with {reword} (for example `{example}: ...`), then push again");
        let shown = text::escape_short(&subject(&commit.message), 60);
        let seen = format!("no ticket, the subject is \"{shown}\"");
        vec![Finding { path: None, seen, wanted: self.wanted(), help }]
    }

    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let reference = scope.reference;
        let named = reference.name.branch().is_some_and(|branch| self.names_ticket(branch));
        if !self.is_about_the_branch() || reference.kind == UpdateKind::Delete || named {
            return Vec::new();
        }
        let example = format!("{}-123", self.projects.first().map_or("KEY", String::as_str));
        vec![Finding {
            path: None,
            seen: "the ref's name holds no ticket".to_owned(),
            wanted: self.wanted(),
            help: format!("push to a branch such as `{example}-what-it-does`"),
        }]
    }
}

/// Whether `text` holds `PROJECT-NUMBER` as a word of its own: `XOPS-1`, `OPS-1x`, `OPS-0` and
/// `OPS-1-2` do not count.
fn names_ticket_of(project: &[u8], text: &[u8]) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || byte >= 0x80;
    let mut start = 0;
    while let Some(found) = text[start..].windows(project.len()).position(|window| window == project) {
        let at = start + found;
        start = at + 1;
        let after = &text[at + project.len()..];
        let digits = after.iter().skip(1).take_while(|byte| byte.is_ascii_digit()).count();
        let free_before = at == 0 || !word(text[at - 1]);
        let number = after.first() == Some(&b'-') && digits > 0 && after[1] != b'0';
        // A branch may go on: `OPS-12-fix-the-thing`; another number may not follow.
        let rest = after.get(1 + digits..).unwrap_or_default();
        let free_after = match rest {
            [] => true,
            [b'-', next, ..] => !next.is_ascii_digit(),
            [next, ..] => *next == b'-' || !word(*next),
        };
        if free_before && number && free_after {
            return true;
        }
    }
    false
}

/// The first paragraph, its lines joined by a space: what `git log --format=%s` shows.
fn subject(message: &[u8]) -> Vec<u8> {
    let lines = message.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let paragraph: Vec<&[u8]> =
        lines.skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty()).collect();
    paragraph.join(&b' ')
}

/// The `Key: value` lines of the last paragraph, if that is not the subject and all of its lines are
/// trailers or their continuations.
fn trailers(message: &[u8]) -> Vec<(&[u8], &[u8])> {
    let lines: Vec<&[u8]> = message.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).collect();
    let Some(end) = lines.iter().rposition(|line| !line.is_empty()) else { return Vec::new() };
    let Some(start) = lines[..end].iter().rposition(|line| line.is_empty()) else { return Vec::new() };
    if lines[..start].iter().all(|line| line.is_empty()) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for line in &lines[start + 1..=end] {
        let colon = line.iter().position(|byte| *byte == b':');
        let name = |key: &[u8]| {
            !key.is_empty() && key.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        };
        match colon.map(|at| (line[..at].trim_ascii_end(), line[at + 1..].trim_ascii())) {
            Some((key, value)) if name(key) => found.push((key, value)),
            _ if line.starts_with(b" ") || line.starts_with(b"\t") => {}
            _ => return Vec::new(),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(options: toml::Table) -> MissingTicket {
        let raw: Options = super::options(options).unwrap();
        MissingTicket { projects: raw.projects, places: raw.places, trailers: raw.trailers }
    }

    #[test]
    fn tickets_are_whole_words_of_listed_projects() {
        for yes in ["OPS-1", "fix: OPS-12: x", "(OPS-3)", "[OPS-4] x", "x OPS-5.", "OPS-6-fix-it", "a/OPS-7"]
        {
            assert!(names_ticket_of(b"OPS", yes.as_bytes()), "{yes}");
        }
        for no in
            ["XOPS-1", "OPS-0", "OPS-01", "OPS-", "OPS1", "ops-1", "OPS-1x", "OPS-1-2", "-OPS-1", "éOPS-1"]
        {
            assert!(!names_ticket_of(b"OPS", no.as_bytes()), "{no}");
        }
        assert!(names_ticket_of(b"OPS", b"XOPS-1 OPS-2"), "a later one counts");
    }

    #[test]
    fn look_alikes_of_other_projects_do_not_count() {
        let rule = rule(toml::toml! { projects = ["OPS"] });
        assert!(!rule.commit_names_ticket(b"UTF-8 and SHA-256 and CVE-2024-1\n"));
        assert!(rule.commit_names_ticket(b"OPS-9 x\n"));
    }

    #[test]
    fn places_are_what_they_say() {
        let message =
            b"Subject line\nsecond OPS-1 line\n\nBody OPS-2\n\nTicket: OPS-3\nCo-authored-by: x <y>\n";
        assert_eq!(subject(message), b"Subject line second OPS-1 line");
        assert_eq!(trailers(message).len(), 2);
        assert!(rule(toml::toml! { projects = ["OPS"] where = ["trailer"] }).commit_names_ticket(message));
        let named = rule(toml::toml! { projects = ["OPS"] where = ["trailer"] trailers = ["Refs"] });
        assert!(!named.commit_names_ticket(message));
        assert!(
            !rule(toml::toml! { projects = ["OPS"] where = ["subject"] })
                .commit_names_ticket(b"x\n\nOPS-1\n")
        );
        assert!(
            rule(toml::toml! { projects = ["OPS"] where = ["anywhere"] })
                .commit_names_ticket(b"x\n\ny OPS-1\n")
        );
        assert!(trailers(b"Ticket: OPS-1\n").is_empty(), "the subject is no trailer");
        assert!(trailers(b"s\n\nnot a trailer\nTicket: OPS-1\n").is_empty());
        assert!(trailers(b"").is_empty());
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
    }
}
