//! `gitolite.conf`: who may do what to which refs of which repositories.
//!
//! There the first rule that fits decides; here all rulesets hold at once. So each set of refs that the same rules are
//! for gets a ruleset of its own, with exclusions, where it can be told which of two expressions lies within the other.

mod regions;

use super::dialect::{self, Subject, Unconvertible};
use super::document::{Document, shown};
use super::{ImportError, Weight};
use crate::policy::Pattern;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

/// Most lines, names and members: far more than anybody has.
const MOST: usize = 100_000;

/// Options that give an action a letter of its own.
const LETTERS: [&str; 3] = ["CREATE_IS_C", "DELETE_IS_D", "MERGE_CHECK"];

/// One line that lets somebody do something, or keeps them from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// `-`, or letters of `RW+CDM`.
    pub(super) perm: String,
    /// A full expression for refs.
    pub(super) refex: String,
    /// Users and groups, as written.
    pub(super) users: Vec<String>,
    pub(super) line: usize,
}

impl Rule {
    fn denies(&self) -> bool {
        self.perm == "-"
    }

    fn has(&self, letter: char) -> bool {
        self.perm.contains(letter)
    }
}

/// What the file says.
#[derive(Default)]
struct Conf {
    groups: Groups,
    /// The rules, and for which `repo` words each is.
    rules: Vec<(Vec<String>, Rule)>,
    /// All words after `repo`, in order.
    repos: Vec<String>,
}

pub(super) fn read(document: &mut Document, source: &str, said: &[String]) -> Result<(), ImportError> {
    if !said.is_empty() {
        return Err(ImportError::whole("gitolite.conf names its repositories: leave --repositories out"));
    }
    let conf = parse(document, source)?;
    let blocks = blocks(document, &conf)?;
    for (repositories, rules) in together(document, &conf, &blocks) {
        regions::rulesets(document, &conf.groups, &repositories, &rules)?;
    }
    document.gap();
    let users = conf.rules.iter().flat_map(|(_, rule)| &rule.users);
    let used: BTreeSet<&str> = users.filter_map(|user| user.strip_prefix('@')).collect();
    for (group, members) in conf.groups.members.iter().filter(|(group, _)| used.contains(group.as_str())) {
        document.comment(&format!("group:{} is @{0}: {}", shown(group), shown(&members.join(" "))));
    }
    Ok(())
}

fn is_word(word: &str, more: &[u8]) -> bool {
    let rest = word.strip_prefix('@').unwrap_or(word);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
    rest.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric()) && rest.bytes().all(fits)
}

fn parse(document: &mut Document, source: &str) -> Result<Conf, ImportError> {
    let mut conf = Conf::default();
    conf.groups.left = Cell::new(MOST * 20);
    let mut current: Vec<String> = Vec::new();
    let mut size = 0;
    for (number, line) in source.lines().enumerate() {
        let number = number + 1;
        let error = |why: &str| ImportError::at(number, &format!("{why}: `{}`", shown(line)));
        if let Some(at) = line.find(|c: char| c.is_control() && c != '\t') {
            return Err(ImportError { column: at + 1, ..ImportError::at(number, "a control character") });
        }
        if line.trim_end().ends_with('\\') {
            return Err(error("lines that go on in the next one are not read: join them"));
        }
        let line = without_comment(line);
        // The first `=` is a word, whatever stands beside it.
        let spaced = line.replacen('=', " = ", 1);
        let words: Vec<&str> = spaced.split_ascii_whitespace().collect();
        size += words.len() + 1;
        if size > MOST * 10 || number > MOST {
            return Err(ImportError::at(number, "the file is too large"));
        }
        let Some(first) = words.first() else { continue };
        let equals = words.iter().position(|word| *word == "=");
        match (*first, equals) {
            (group, Some(1)) if group.starts_with('@') => {
                let members = &words[2..];
                if !is_word(group, b"-._@+/") || group == "@all" {
                    return Err(error("this cannot name a group"));
                }
                if members.contains(&"@all") {
                    let why = "within a group gitolite takes `@all` for nobody, and so it is here";
                    document.note(Weight::Aside, line.trim(), why);
                }
                let undefined = |one: &&&str| {
                    **one != "@all" && one.strip_prefix('@').is_some_and(|one| !conf.groups.is_known(one))
                };
                for inner in members.iter().filter(undefined) {
                    let what = format!("{inner} within {group}, in line {number}");
                    document.note(Weight::Weaker, &what, "the group is not defined above it in this file");
                }
                conf.groups.define(&group[1..], members).map_err(error)?;
            }
            ("repo", None) if words.len() > 1 => {
                // gitolite warns of the ending, and goes without.
                let name = |one: &&str| one.strip_suffix(".git").unwrap_or(one).to_owned();
                current = words[1..].iter().map(name).collect();
                conf.repos.extend(current.iter().cloned());
            }
            ("option", _) if LETTERS.iter().any(|option| words.get(1) == Some(option)) => {
                let why = "which letter an action asks for is told by the rules of the repository alone here";
                document.note(Weight::Weaker, line.trim(), why);
            }
            ("config" | "option" | "desc" | "owner" | "category", _) => {
                document.note(Weight::Aside, line.trim(), "it says nothing about who may push what");
            }
            ("include" | "subconf", _) => {
                document.note(
                    Weight::Weaker,
                    line.trim(),
                    "other files are not read: import them as well, or join them",
                );
            }
            (perm, Some(equals)) if is_perm(perm) => {
                if current.is_empty() {
                    return Err(error("a rule before the first `repo`"));
                }
                let users: Vec<String> = words[equals + 1..].iter().map(|one| (*one).to_owned()).collect();
                if users.is_empty() {
                    return Err(error("a rule for nobody"));
                }
                if let Some(wrong) = users.iter().find(|user| !is_word(user, b"-._@+")) {
                    return Err(error(&format!("`{}` can be no user", shown(wrong))));
                }
                if perm == "R" || perm == "C" {
                    continue;
                }
                let refexes = if equals == 1 {
                    vec!["refs/.*".to_owned()]
                } else {
                    conf.groups.refexes(&words[1..equals]).map_err(error)?
                };
                for refex in refexes {
                    if refex.starts_with("VREF/") || refex.starts_with("NAME/") {
                        let why = "virtual refs are programs of gitolite's: it goes on asking them after us";
                        document.note(Weight::Weaker, line.trim(), why);
                        continue;
                    }
                    let full = if refex.starts_with("refs/") { refex } else { format!("refs/heads/{refex}") };
                    let rule =
                        Rule { perm: perm.to_owned(), refex: full, users: users.clone(), line: number };
                    conf.rules.push((current.clone(), rule));
                }
            }
            _ => return Err(error("this line is not understood")),
        }
    }
    Ok(conf)
}

/// The line without its comment; a `#` within double quotes begins none.
fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted => return &line[..at],
            _ => {}
        }
    }
    line
}

fn is_perm(word: &str) -> bool {
    if ["-", "C", "R"].contains(&word) {
        return true;
    }
    let Some(rest) = word.strip_prefix("RW") else { return false };
    let rest = rest.strip_prefix('+').unwrap_or(rest);
    let rest = rest.strip_suffix('M').unwrap_or(rest);
    ["", "C", "D", "CD", "DC"].contains(&rest)
}

/// The groups of a file. One that is part of another is what it was in the line that makes it so: what is added to it
/// below is not added there.
#[derive(Default)]
pub(super) struct Groups {
    members: BTreeMap<String, Vec<String>>,
    /// How many members may still be listed, all together.
    left: Cell<usize>,
}

impl Groups {
    /// Counts members that are listed.
    fn count(&self, members: usize) -> Result<(), &'static str> {
        let left = self.left.get().checked_sub(members);
        self.left
            .set(left.ok_or("its groups hold too many, all together: import fewer repositories at a time")?);
        Ok(())
    }

    /// Adds to a group; of groups that are not defined yet, nobody.
    fn define(&mut self, group: &str, words: &[&str]) -> Result<(), &'static str> {
        let mut new: Vec<String> = Vec::new();
        for word in words {
            match word.strip_prefix('@') {
                Some(inner) => new.extend(self.members.get(inner).into_iter().flatten().cloned()),
                None => new.push((*word).to_owned()),
            }
        }
        self.count(new.len())?;
        let into = self.members.entry(group.to_owned()).or_default();
        let known: BTreeSet<&String> = into.iter().collect();
        let mut seen = BTreeSet::new();
        let new: Vec<String> =
            new.iter().filter(|one| !known.contains(one) && seen.insert(*one)).cloned().collect();
        into.extend(new);
        Ok(())
    }

    /// Expressions for refs, groups of them as what they hold so far.
    fn refexes(&self, words: &[&str]) -> Result<Vec<String>, &'static str> {
        let mut made = Vec::new();
        for word in words {
            match word.strip_prefix('@') {
                None => made.push((*word).to_owned()),
                Some(group) => {
                    let members = self.members.get(group);
                    let members = members.ok_or("a group of refs that is not defined above it")?;
                    self.count(members.len())?;
                    made.extend(members.iter().cloned());
                }
            }
        }
        Ok(made)
    }

    fn is_known(&self, group: &str) -> bool {
        self.members.contains_key(group)
    }

    /// Whom a group holds.
    fn people(&self, group: &str) -> Result<BTreeSet<String>, ImportError> {
        let members = self.members.get(group).map(Vec::as_slice).unwrap_or_default();
        self.count(members.len()).map_err(ImportError::whole)?;
        Ok(members.iter().cloned().collect())
    }
}

/// Which repositories a block is for.
#[derive(Clone, Debug)]
enum Key {
    /// This one.
    Name(String),
    /// Those whose whole names an expression matches, and what they begin with.
    Wild(Pattern, String),
    /// Every one.
    All,
}

impl Key {
    fn pattern(&self) -> &str {
        match self {
            Key::Name(name) => name,
            Key::Wild(pattern, _) => pattern.source(),
            Key::All => "**",
        }
    }

    /// Whether there can be a repository that both are for, as far as can be told.
    fn may_meet(&self, other: &Key) -> bool {
        match (self, other) {
            (Key::All, _) | (_, Key::All) => true,
            (Key::Name(one), Key::Name(other)) => one == other,
            (Key::Wild(pattern, _), Key::Name(name)) | (Key::Name(name), Key::Wild(pattern, _)) => {
                pattern.is_match(name.as_bytes())
            }
            (Key::Wild(_, one), Key::Wild(_, other)) => one.starts_with(other) || other.starts_with(one),
        }
    }
}

/// The words after `repo`, by what they are for; in each, the key by its pattern.
type Blocks = BTreeMap<String, BTreeMap<String, Key>>;

/// The words after `repo`, as what they are for; what cannot be told is said.
fn blocks(document: &mut Document, conf: &Conf) -> Result<Blocks, ImportError> {
    let mut made = Blocks::new();
    for word in &conf.repos {
        if made.contains_key(word) {
            continue;
        }
        let names = match word.strip_prefix('@') {
            Some("all") => BTreeSet::from(["@all".to_owned()]),
            Some(group) => conf.groups.people(group)?,
            None => BTreeSet::from([word.clone()]),
        };
        if names.is_empty() {
            document.note(Weight::Weaker, &format!("repo {word}"), "the group is not defined in this file");
        }
        let keys = names.into_iter().filter_map(|name| match key(&name) {
            Ok(key) => Some((key.pattern().to_owned(), key)),
            Err(why) => {
                document.note(Weight::Weaker, &format!("repo {name}"), &why.0);
                None
            }
        });
        let keys = keys.collect();
        made.insert(word.clone(), keys);
    }
    Ok(made)
}

fn key(name: &str) -> Result<Key, Unconvertible> {
    if name == "@all" {
        return Ok(Key::All);
    }
    if name.split('/').any(|part| part == "CREATOR") {
        return Err(Unconvertible("who made a repository is gitolite's to know".to_owned()));
    }
    if is_word(name, b"-._@/+") && !name.starts_with('@') {
        return Ok(Key::Name(name.to_owned()));
    }
    let made = dialect::expression(name, Subject::Name)?;
    if made.alternatives {
        return Err(Unconvertible("`|` outside a group: the ends belong to one alternative only".to_owned()));
    }
    let pattern = Pattern::new(&format!("re:{}", made.body));
    let pattern = pattern.map_err(|_| Unconvertible("it cannot be compiled here".to_owned()))?;
    Ok(Key::Wild(pattern, made.literal))
}

/// Repositories with the same rules, and those rules in their order.
fn together(document: &mut Document, conf: &Conf, blocks: &Blocks) -> Vec<(Vec<String>, Vec<Rule>)> {
    let all: BTreeMap<&String, &Key> = blocks.values().flatten().collect();
    let mut of_words: BTreeMap<&String, Vec<usize>> = BTreeMap::new();
    for (at, (words, _)) in conf.rules.iter().enumerate() {
        for word in words {
            of_words.entry(word).or_default().push(at);
        }
    }
    // Blocks for more than single repositories: all of them are asked about each.
    let wide: Vec<(&Key, &String)> = blocks
        .iter()
        .flat_map(|(word, keys)| keys.values().map(move |key| (key, word)))
        .filter(|(key, _)| !matches!(key, Key::Name(_)))
        .collect();
    let mut words_of: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
    for (word, keys) in blocks {
        for pattern in keys.keys() {
            words_of.entry(pattern).or_default().insert(word);
        }
    }
    let mut made: BTreeMap<Vec<usize>, Vec<String>> = BTreeMap::new();
    for (pattern, key) in &all {
        if !matches!(key, Key::Name(_))
            && let Some((other, _)) = all.iter().find(|(other, one)| other != &pattern && key.may_meet(one))
        {
            let what = format!("repo {pattern} as far as no other block names the repository");
            let why = format!("repositories cannot be excluded, and {other} may be among them");
            document.note(Weight::Weaker, &what, &why);
            continue;
        }
        let mut words = words_of.get(pattern).cloned().unwrap_or_default();
        if matches!(key, Key::Name(_)) {
            words.extend(wide.iter().filter(|(one, _)| one.may_meet(key)).map(|(_, word)| *word));
        }
        let own: BTreeSet<usize> =
            words.iter().filter_map(|word| of_words.get(*word)).flatten().copied().collect();
        made.entry(own.into_iter().collect()).or_default().push((*pattern).clone());
    }
    let rules = |own: Vec<usize>| own.into_iter().map(|at| conf.rules[at].1.clone()).collect();
    made.into_iter().map(|(own, repositories)| (repositories, rules(own))).collect()
}
