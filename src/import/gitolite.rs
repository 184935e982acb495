//! `gitolite.conf`: who may do what to which refs of which repositories.
//!
//! There the first rule that fits decides; here all rulesets hold at once. So each set of refs that the same rules are
//! for gets a ruleset of its own, with exclusions, where it can be told which of two expressions lies within the other.

mod regions;

use super::dialect::{self, Subject};
use super::document::{Document, shown};
use super::{ImportError, Weight};
use std::collections::{BTreeMap, BTreeSet};

/// Most lines, names and members: far more than anybody has.
const MOST: usize = 100_000;

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
    groups: BTreeMap<String, Vec<String>>,
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
    let blocks = blocks(document, &conf);
    for (repositories, rules) in together(document, &conf, &blocks) {
        regions::rulesets(document, &conf.groups, &repositories, &rules);
    }
    document.gap();
    for (group, members) in conf.groups.iter().filter(|(group, _)| used_by_rules(&conf, group)) {
        document.comment(&format!("group:{} is @{0}: {}", shown(group), shown(&members.join(" "))));
    }
    Ok(())
}

fn used_by_rules(conf: &Conf, group: &str) -> bool {
    conf.rules.iter().any(|(_, rule)| rule.users.iter().any(|user| user.strip_prefix('@') == Some(group)))
}

fn is_word(word: &str, more: &[u8]) -> bool {
    let rest = word.strip_prefix('@').unwrap_or(word);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
    rest.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric()) && rest.bytes().all(fits)
}

fn parse(document: &mut Document, source: &str) -> Result<Conf, ImportError> {
    let mut conf = Conf::default();
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
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
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
                let into = conf.groups.entry(group[1..].to_owned()).or_default();
                into.extend(members.iter().map(|one| (*one).to_owned()));
            }
            ("repo", None) if words.len() > 1 => {
                current = words[1..].iter().map(|one| (*one).to_owned()).collect();
                conf.repos.extend(current.iter().cloned());
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
                let refexes = if equals == 1 { vec!["refs/.*"] } else { words[1..equals].to_vec() };
                for refex in refexes {
                    if refex.starts_with("VREF/") {
                        let why = "virtual refs are programs of gitolite's: it goes on asking them after us";
                        document.note(Weight::Weaker, line.trim(), why);
                        continue;
                    }
                    let full = if refex.starts_with("refs/") {
                        refex.to_owned()
                    } else {
                        format!("refs/heads/{refex}")
                    };
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

/// Whom a group holds, its own groups' members included. Groups that hold each other are walked once.
pub(super) fn members(groups: &BTreeMap<String, Vec<String>>, group: &str) -> BTreeSet<String> {
    let (mut out, mut seen, mut waiting) = (BTreeSet::new(), BTreeSet::new(), vec![group.to_owned()]);
    while let Some(group) = waiting.pop() {
        if !seen.insert(group.clone()) {
            continue;
        }
        for member in groups.get(&group).into_iter().flatten() {
            match member.strip_prefix('@') {
                Some(inner) if inner != "all" => waiting.push(inner.to_owned()),
                _ => {
                    out.insert(member.clone());
                }
            }
        }
    }
    out
}

/// Which repositories a block is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// This one.
    Name(String),
    /// Those whose whole names an expression matches: the expression, and what they begin with.
    Wild(String, String),
    /// Every one.
    All,
}

impl Key {
    fn holds(&self, name: &str) -> bool {
        match self {
            Key::Name(own) => own == name,
            Key::Wild(pattern, _) => {
                crate::policy::Pattern::new(pattern).is_ok_and(|pattern| pattern.is_match(name.as_bytes()))
            }
            Key::All => true,
        }
    }

    fn pattern(&self) -> String {
        match self {
            Key::Name(name) => name.clone(),
            Key::Wild(pattern, _) => pattern.clone(),
            Key::All => "**".to_owned(),
        }
    }

    /// Whether there can be a repository that both are for, as far as can be told.
    fn may_meet(&self, other: &Key) -> bool {
        match (self, other) {
            (Key::All, _) | (_, Key::All) => true,
            (one, Key::Name(name)) | (Key::Name(name), one) => one.holds(name),
            (Key::Wild(_, one), Key::Wild(_, other)) => one.starts_with(other) || other.starts_with(one),
        }
    }
}

/// The words after `repo`, as what they are for; what cannot be told is said.
fn blocks(document: &mut Document, conf: &Conf) -> BTreeMap<String, BTreeSet<Key>> {
    let mut made = BTreeMap::new();
    for word in &conf.repos {
        if made.contains_key(word) {
            continue;
        }
        let names = match word.strip_prefix('@') {
            Some("all") => {
                made.insert(word.clone(), BTreeSet::from([Key::All]));
                continue;
            }
            Some(group) => members(&conf.groups, group),
            None => BTreeSet::from([word.clone()]),
        };
        let mut keys = BTreeSet::new();
        if names.is_empty() {
            document.note(Weight::Weaker, &format!("repo {word}"), "the group is not defined in this file");
        }
        for name in names {
            if name == "@all" {
                keys.insert(Key::All);
            } else if name.split('/').any(|part| part == "CREATOR") {
                let why = "who made a repository is gitolite's to know";
                document.note(Weight::Weaker, &format!("repo {name}"), why);
            } else if is_word(&name, b"-._@/+") {
                keys.insert(Key::Name(name));
            } else {
                match dialect::expression(&name, Subject::Name) {
                    Ok(made) => {
                        let pattern = format!("re:{}", made.body);
                        match crate::policy::Pattern::new(&pattern) {
                            Ok(_) => drop(keys.insert(Key::Wild(pattern, made.literal))),
                            Err(_) => {
                                document.note(
                                    Weight::Weaker,
                                    &format!("repo {name}"),
                                    "it cannot be compiled here",
                                );
                            }
                        }
                    }
                    Err(why) => document.note(Weight::Weaker, &format!("repo {name}"), &why.0),
                }
            }
        }
        made.insert(word.clone(), keys);
    }
    made
}

/// Repositories with the same rules, and those rules in their order.
fn together(
    document: &mut Document,
    conf: &Conf,
    blocks: &BTreeMap<String, BTreeSet<Key>>,
) -> Vec<(Vec<String>, Vec<Rule>)> {
    let all: BTreeSet<&Key> = blocks.values().flatten().collect();
    let mut made: BTreeMap<Vec<usize>, Vec<String>> = BTreeMap::new();
    for key in &all {
        if !matches!(key, Key::Name(_))
            && let Some(other) = all.iter().find(|other| *other != key && key.may_meet(other))
        {
            let what = format!("repo {} as far as no other block names the repository", key.pattern());
            let why = format!("repositories cannot be excluded, and {} may be among them", other.pattern());
            document.note(Weight::Weaker, &what, &why);
            continue;
        }
        let holds = |word: &String| match (blocks.get(word), key) {
            (Some(keys), Key::Name(name)) => keys.iter().any(|one| one.holds(name)),
            (Some(keys), _) => keys.contains(*key),
            (None, _) => false,
        };
        let rules = conf.rules.iter().enumerate();
        let own: Vec<usize> =
            rules.filter(|(_, (words, _))| words.iter().any(holds)).map(|(at, _)| at).collect();
        made.entry(own).or_default().push(key.pattern());
    }
    let rules = |own: Vec<usize>| own.into_iter().map(|at| conf.rules[at].1.clone()).collect();
    made.into_iter().map(|(own, repositories)| (repositories, rules(own))).collect()
}
