//! Rules of other systems as rulesets of ours. Text in, text out: nothing is read, nothing is asked, and nothing is
//! granted. What has no equal here is said, never dropped.
//!
//! Every text from outside ends up in a comment or in a string of TOML, and only through `document`, which
//! escapes it.

mod dialect;
mod document;
mod github;
mod gitlab;
mod gitolite;
mod json;
mod names;
mod paths;

pub use dialect::{Unconvertible, fnmatch, gitlab_wildcard, name_search};

use crate::domain::text;
use document::Document;

/// What comes of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Rulesets, as the text of a file that a configuration includes.
    pub toml: String,
    /// How many rulesets there are.
    pub rulesets: usize,
    /// What is not the same as in the source.
    pub notes: Vec<Note>,
}

/// Something that is not the same as in the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What it means.
    pub weight: Weight,
    /// What of the source it is about, escaped.
    pub what: String,
    /// Why, escaped.
    pub why: String,
}

/// What a difference means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// The source refuses something that the result lets in.
    Weaker,
    /// The result refuses something that the source lets in, until somebody fills it in.
    Stricter,
    /// Nothing about pushes.
    Aside,
}

impl Weight {
    /// The word in output.
    pub const fn name(self) -> &'static str {
        match self {
            Weight::Weaker => "weaker",
            Weight::Stricter => "stricter",
            Weight::Aside => "aside",
        }
    }
}

/// Why a file cannot be imported at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{why}", match (line, column) {
    (0, _) => String::new(),
    (line, 0) => format!("line {line}: "),
    (line, column) => format!("line {line}, column {column}: "),
})]
pub struct ImportError {
    /// Where, from 1; 0 for nowhere in particular.
    pub line: usize,
    /// Where in the line, from 1; 0 for nowhere in particular.
    pub column: usize,
    /// What is wrong, escaped.
    pub why: String,
}

impl ImportError {
    fn whole(why: &str) -> Self {
        ImportError { line: 0, column: 0, why: text::escape(why.as_bytes()) }
    }

    fn at(line: usize, why: &str) -> Self {
        ImportError { line, column: 0, why: text::escape(why.as_bytes()) }
    }
}

/// Largest file that is read, bytes.
pub const MAX_INPUT: usize = 8 << 20;

/// The formats that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A ruleset of GitHub as JSON, or an array of them.
    GithubRuleset,
    /// Push rules, protected branches and protected tags of GitLab as JSON.
    Gitlab,
    /// `gitolite.conf`.
    Gitolite,
}

/// Turns files of one format into rulesets. `repositories` are patterns of ours that say which repositories are meant,
/// where the source does not say it, or says it in other words.
///
/// # Errors
/// A file is not of the format: which one, counted from 0, and what is wrong. What merely has no equal is a [`Note`].
pub fn import(
    format: Format,
    files: &[Vec<u8>],
    repositories: &[String],
) -> Result<Imported, (usize, ImportError)> {
    let mut document = Document::new(format);
    for (at, bytes) in files.iter().enumerate() {
        one(&mut document, format, bytes, repositories).map_err(|error| (at, error))?;
    }
    Ok(document.finish())
}

fn one(
    document: &mut Document,
    format: Format,
    bytes: &[u8],
    repositories: &[String],
) -> Result<(), ImportError> {
    if bytes.len() > MAX_INPUT {
        return Err(ImportError::whole(&format!("it has more than {MAX_INPUT} bytes")));
    }
    let source = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        ImportError { line, column, why: "it is not UTF-8".to_owned() }
    })?;
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    match format {
        Format::GithubRuleset => github::read(document, source, repositories),
        Format::Gitlab => gitlab::read(document, source, repositories),
        Format::Gitolite => gitolite::read(document, source, repositories),
    }
}

/// What `serde_json` says, with its place.
fn json_error(error: &serde_json::Error) -> ImportError {
    // Its own text ends in the place.
    let why = error.to_string();
    let why = why.split(" at line ").next().unwrap_or(&why);
    ImportError { line: error.line(), column: error.column(), why: text::escape(why.as_bytes()) }
}

/// A bypass for somebody to fill in, as comments.
fn bypass_form(document: &mut Document, rules: &[&str]) {
    document.comment("to go below the ruleset that follows:");
    document.comment("[[ruleset.bypass]]");
    document.comment("who = [\"group:...\"]");
    document.comment("proof = \"pusher\"");
    document.comment(&format!("rules = {}", document::list(rules)));
    document.comment("reason = \"...\"");
}

/// Whether an expression for messages can be used here: it compiles, and says something.
fn usable(expression: &str) -> Result<(), Unconvertible> {
    let refused = |why: &str| Err(Unconvertible(why.to_owned()));
    match regex::Regex::new(expression) {
        Ok(made) if made.is_match("") => {
            refused("it is found in every text, the empty one too: it says nothing")
        }
        Ok(_) if expression.len() > 1_000 => refused("the expression becomes too long"),
        Ok(_) => Ok(()),
        Err(_) => refused("the expression cannot be compiled here"),
    }
}

/// A pattern for refs, if it can be used here.
fn usable_ref(pattern: &str) -> Result<String, Unconvertible> {
    match crate::policy::Refs::new([pattern]) {
        Ok(_) => Ok(pattern.to_owned()),
        Err(_) => Err(Unconvertible("the pattern cannot be compiled here".to_owned())),
    }
}

/// The domain of an expression that asks for addresses of one domain and nothing else.
fn domain_of(expression: &str) -> Option<String> {
    let rest = expression.strip_suffix('$')?;
    let rest = rest
        .strip_prefix('^')
        .map_or(Some(rest), |rest| rest.strip_prefix(".*").or(rest.strip_prefix(".+")))?;
    let rest = rest.strip_prefix('@')?;
    let mut domain = String::new();
    let mut characters = rest.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => domain.push(characters.next().filter(|c| b".-".contains(&(*c as u8)))?),
            '-' => domain.push(c),
            c if c.is_ascii_alphanumeric() => domain.push(c),
            // A bare dot is any character.
            _ => return None,
        }
    }
    Some(domain)
}

/// What `email-domain` takes for a domain.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}
