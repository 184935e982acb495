//! Writing TOML that nothing from outside can break out of.

use super::{Format, Imported, Note, Weight, names};
use crate::domain::text;
use crate::policy::{Pattern, Refs, rules};
use std::collections::BTreeSet;

/// Longest piece of the source in a comment, characters.
const QUOTED: usize = 300;
/// Notes of one file; more would tell nobody anything.
const MAX_NOTES: usize = 10_000;

/// A string of TOML. Everything but plain ASCII is written as an escape or as the character itself where it is a
/// visible one.
pub(super) fn string(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
            c if c.is_alphanumeric() => out.push(c),
            c => out.push_str(&format!("\\U{:08X}", c as u32)),
        }
    }
    out.push('"');
    out
}

/// A list of strings.
pub(super) fn list<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = values.into_iter().map(|value| string(value.as_ref())).collect();
    format!("[{}]", all.join(", "))
}

/// A piece of the source, on one line.
pub(super) fn shown(value: &str) -> String {
    text::escape_short(value.as_bytes(), QUOTED)
}

/// One ruleset that is being written.
#[derive(Debug, Default)]
pub(super) struct Ruleset {
    pub(super) about: Vec<String>,
    pub(super) repositories: Vec<String>,
    pub(super) refs: Vec<String>,
    pub(super) enforcement: &'static str,
    /// The rules, each with its value as TOML.
    pub(super) rules: Vec<(&'static str, String)>,
}

impl Ruleset {
    /// A rule with a value that is TOML already. One that is there already with another value is kept, too:
    /// [`Document::ruleset`] writes it to a ruleset of its own, and both hold.
    pub(super) fn rule(&mut self, name: &'static str, value: impl Into<String>) {
        let rule = (name, value.into());
        if !self.rules.contains(&rule) {
            self.rules.push(rule);
        }
    }
}

/// What would keep a configuration with this rule from loading.
fn unusable(rule: &str, value: &str) -> Option<String> {
    let parsed = format!("value = {value}").parse::<toml::Table>();
    let value = match parsed.as_ref().map(|table| table.get("value")) {
        Ok(Some(value)) => value,
        Ok(None) => return Some("its value is none".to_owned()),
        Err(error) => return Some(error.message().to_owned()),
    };
    rules::build(rule, value).err().map(|error| error.to_string())
}

/// The file that is being written.
pub(super) struct Document {
    body: String,
    names: BTreeSet<String>,
    rulesets: usize,
    notes: Vec<Note>,
    format: Format,
}

impl Document {
    pub(super) fn new(format: Format) -> Self {
        Document { body: String::new(), names: BTreeSet::new(), rulesets: 0, notes: Vec::new(), format }
    }

    /// One line of comment. The text is escaped here, whatever it was before.
    pub(super) fn comment(&mut self, line: &str) {
        push_comment(&mut self.body, line);
    }

    /// Says that something of the source is not here, in the file and to whoever imports.
    pub(super) fn note(&mut self, weight: Weight, what: &str, why: &str) {
        let note = Note { weight, what: shown(what), why: shown(why) };
        let word = match weight {
            Weight::Weaker => "not imported",
            Weight::Stricter => "to fill in",
            Weight::Aside => "left out",
        };
        if self.notes.len() < MAX_NOTES {
            self.raw_comment(&format!("{word}: {} ({})", note.what, note.why));
        }
        self.notes.push(note);
    }

    /// A comment whose text is escaped already.
    fn raw_comment(&mut self, line: &str) {
        self.body.push_str("# ");
        self.body.push_str(line);
        self.body.push('\n');
    }

    /// Writes a ruleset under a name made of `wanted`. One without rules is only its comments.
    pub(super) fn ruleset(&mut self, wanted: &str, ruleset: &Ruleset) {
        for line in &ruleset.about {
            self.comment(line);
        }
        let refs = Refs::new(ruleset.refs.iter().map(String::as_str)).err().map(|error| error.to_string());
        let wrong = ruleset.repositories.iter().find_map(|one| Pattern::new(one).err());
        if let Some(why) = refs.or(wrong.map(|error| error.to_string())) {
            self.note(Weight::Weaker, &format!("the whole of \"{wanted}\""), &why);
            return;
        }
        // Each rule once in a ruleset; what is left over goes to further ones.
        let mut parts: Vec<Vec<(&str, &str)>> = Vec::new();
        for (rule, value) in &ruleset.rules {
            if let Some(why) = unusable(rule, value) {
                self.note(Weight::Weaker, &format!("{rule} = {value} of \"{wanted}\""), &why);
                continue;
            }
            match parts.iter_mut().find(|part| part.iter().all(|(known, _)| known != rule)) {
                Some(part) => part.push((rule, value)),
                None => parts.push(vec![(rule, value)]),
            }
        }
        if parts.is_empty() {
            self.comment("no rule of it is left, so there is no ruleset");
            self.body.push('\n');
        }
        for part in parts {
            let name = names::unique(wanted, &mut self.names);
            self.rulesets += 1;
            self.body.push_str("[[ruleset]]\n");
            self.body.push_str(&format!("name = {}\n", string(&name)));
            self.body.push_str(&format!("repositories = {}\n", list(&ruleset.repositories)));
            self.body.push_str(&format!("refs = {}\n", list(&ruleset.refs)));
            self.body.push_str(&format!("enforcement = {}\n", string(ruleset.enforcement)));
            self.body.push_str("\n[ruleset.refuse]\n");
            for (rule, value) in part {
                self.body.push_str(&format!("{rule} = {value}\n"));
            }
            self.body.push('\n');
        }
    }

    /// An empty line.
    pub(super) fn gap(&mut self) {
        if !self.body.ends_with("\n\n") && !self.body.is_empty() {
            self.body.push('\n');
        }
    }

    pub(super) fn finish(self) -> Imported {
        let from = match self.format {
            Format::GithubRuleset => "rulesets of GitHub",
            Format::Gitlab => "push rules and protected refs of GitLab",
            Format::Gitolite => "gitolite.conf",
        };
        let count = |weight| self.notes.iter().filter(|note| note.weight == weight).count();
        let mut toml = format!(
            "# Imported from {from} by `countersign config import`. Include it from the main file: `include = \"...\"`\n\
             # in [policy]. Read it before you do: {} rulesets; {} parts of the source are not imported, so that the result\n\
             # is weaker there; {} parts are to be filled in, and stricter until then. Nobody is granted a bypass.\n\
             # Groups and principals that are named have to be in the keyring: whoever is not, is nobody.\n\n",
            self.rulesets,
            count(Weight::Weaker),
            count(Weight::Stricter),
        );
        toml.push_str(self.body.trim_end());
        toml.push('\n');
        Imported { toml, rulesets: self.rulesets, notes: self.notes }
    }
}

fn push_comment(out: &mut String, line: &str) {
    out.push_str("# ");
    // A backslash that is ours must stay one: only what would end the line or hide in it is escaped.
    for c in line.chars() {
        match c {
            ' '..='~' => out.push(c),
            c if c.is_alphanumeric() => out.push(c),
            c => out.push_str(&text::escape(c.encode_utf8(&mut [0; 4]).as_bytes())),
        }
    }
    out.push('\n');
}
