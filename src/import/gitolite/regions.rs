//! Sets of refs that the same rules are for, and what those rules let people do.

use super::{Groups, Rule};
use crate::import::dialect::{self, Subject, Unconvertible};
use crate::import::document::{Document, Ruleset, list};
use crate::import::{ImportError, Weight};
use crate::policy::Pattern;
use std::collections::BTreeSet;

/// Most expressions for refs of one repository: all pairs of them are looked at.
const MOST: usize = 200;

/// The names that one expression matches. Expressions are anchored at the start alone.
#[derive(Clone, Debug)]
enum Names {
    /// All that begin so.
    Prefix(String),
    /// This one.
    Exact(String),
    /// Something else: our pattern, and what all of them begin with.
    Other(Pattern, String),
}

impl PartialEq for Names {
    fn eq(&self, other: &Names) -> bool {
        match (self, other) {
            (Names::Prefix(one), Names::Prefix(other)) | (Names::Exact(one), Names::Exact(other)) => {
                one == other
            }
            (Names::Other(one, _), Names::Other(other, _)) => one.source() == other.source(),
            _ => false,
        }
    }
}

/// How two sets of names lie to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    Same,
    /// The first lies within the second.
    Within,
    /// The second lies within the first.
    Around,
    Apart,
    Unknown,
}

impl Names {
    fn read(refex: &str) -> Result<Names, Unconvertible> {
        // What is matched up to somewhere is matched however it goes on.
        let refex = refex.strip_suffix(".*").filter(|rest| !rest.ends_with('\\')).unwrap_or(refex);
        let made = dialect::expression(refex, Subject::Name)?;
        if made.start {
            return Err(Unconvertible("`^` after the beginning of a name".to_owned()));
        }
        if made.alternatives {
            return Err(Unconvertible(
                "`|` outside a group: the beginning belongs to the first alternative only".to_owned(),
            ));
        }
        Ok(match (made.plain, made.end) {
            (true, false) => Names::Prefix(made.literal),
            (true, true) => Names::Exact(made.literal),
            (false, end) => {
                let pattern = format!("re:(?:{}){}", made.body, if end { "" } else { ".*" });
                let pattern = Pattern::for_refs(&pattern);
                let pattern = pattern.map_err(|_| Unconvertible("it cannot be compiled here".to_owned()))?;
                Names::Other(pattern, made.literal)
            }
        })
    }

    fn pattern(&self) -> String {
        let plain = |text: &str| !text.contains(['*', '?', '[', ']', '{', '}', '!', '\\']);
        match self {
            Names::Exact(name) if plain(name) => name.clone(),
            Names::Exact(name) => format!("re:{}", regex::escape(name)),
            Names::Prefix(prefix) if prefix.ends_with('/') && plain(prefix) => format!("{prefix}**"),
            Names::Prefix(prefix) => format!("re:{}.*", regex::escape(prefix)),
            Names::Other(pattern, _) => pattern.source().to_owned(),
        }
    }

    fn holds(&self, name: &str) -> bool {
        match self {
            Names::Prefix(prefix) => name.starts_with(prefix),
            Names::Exact(own) => own == name,
            Names::Other(pattern, _) => pattern.is_match(name.as_bytes()),
        }
    }

    fn lies(&self, other: &Names) -> Lie {
        if self == other {
            return Lie::Same;
        }
        let within = |yes: bool| if yes { Lie::Within } else { Lie::Apart };
        let around = |yes: bool| if yes { Lie::Around } else { Lie::Apart };
        match (self, other) {
            (Names::Exact(name), _) => within(other.holds(name)),
            (_, Names::Exact(name)) => around(self.holds(name)),
            (Names::Prefix(one), Names::Prefix(other)) if one.starts_with(other) => Lie::Within,
            (Names::Prefix(one), Names::Prefix(other)) => around(other.starts_with(one)),
            (Names::Prefix(prefix), Names::Other(_, begin)) => match () {
                () if begin.starts_with(prefix) => Lie::Around,
                () if prefix.starts_with(begin) => Lie::Unknown,
                () => Lie::Apart,
            },
            (Names::Other(_, begin), Names::Prefix(prefix)) => match () {
                () if begin.starts_with(prefix) => Lie::Within,
                () if prefix.starts_with(begin) => Lie::Unknown,
                () => Lie::Apart,
            },
            (Names::Other(_, one), Names::Other(_, other))
                if one.starts_with(other) || other.starts_with(one) =>
            {
                Lie::Unknown
            }
            (Names::Other(..), Names::Other(..)) => Lie::Apart,
        }
    }
}

/// Who may do something.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    Everybody,
    These(Vec<String>),
}

/// Writes the rulesets of some repositories.
pub(super) fn rulesets(
    document: &mut Document,
    groups: &Groups,
    repositories: &[String],
    rules: &[Rule],
) -> Result<(), ImportError> {
    document.gap();
    let title = match repositories {
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        [] => return Ok(()),
    };
    document.comment(&format!("repo {title}"));
    if rules.iter().any(|rule| rule.has('M')) {
        let why = "who may push merges: `merge-commit` in a ruleset with `actors` comes near to it";
        document.note(Weight::Weaker, &format!("the letter M for {title}"), why);
    }
    // Both are always there: everything, and tags, whose every move is a rewrite to gitolite.
    let mut sets = vec![Names::Prefix("refs/".to_owned()), Names::Prefix("refs/tags/".to_owned())];
    let mut of_rules = Vec::new();
    for rule in rules {
        // Left out, an allowance decides nothing for those whom it is for, and the rules below it do.
        if rule.refex.contains("/USER/") {
            let weight = if rule.denies() { Weight::Weaker } else { Weight::Stricter };
            let what = format!("the rule for `{}` of {title} in line {}", rule.refex, rule.line);
            document.note(weight, &what, "`USER` is whoever pushes, and no ruleset says that");
            continue;
        }
        match Names::read(&rule.refex) {
            Ok(names) => {
                if !sets.contains(&names) {
                    sets.push(names.clone());
                }
                of_rules.push((names, rule));
            }
            Err(why) => {
                let what = format!(
                    "all rules for {title}, for want of the refs `{}` in line {}",
                    rule.refex, rule.line
                );
                document.note(Weight::Weaker, &what, &why.0);
                return Ok(());
            }
        }
    }
    if sets.len() > MOST {
        document.note(Weight::Weaker, &format!("all rules for {title}"), "there are too many different refs");
        return Ok(());
    }
    for (at, one) in sets.iter().enumerate() {
        if let Some(other) = sets[..at].iter().find(|other| one.lies(other) == Lie::Unknown) {
            let what = format!("all rules for {title}");
            let (one, other) = (one.pattern(), other.pattern());
            let why = format!(
                "it cannot be told which refs both {one} and {other} match, and the order decides there"
            );
            document.note(Weight::Weaker, &what, &why);
            return Ok(());
        }
    }
    for names in &sets {
        let inner: Vec<&Names> = sets.iter().filter(|other| names.lies(other) == Lie::Around).collect();
        let own: Vec<&Rule> = of_rules
            .iter()
            .filter(|(of, _)| [Lie::Same, Lie::Within].contains(&names.lies(of)))
            .map(|(_, rule)| *rule)
            .collect();
        region(document, groups, repositories, (names, &inner), (rules, &own))?;
    }
    Ok(())
}

fn region(
    document: &mut Document,
    groups: &Groups,
    repositories: &[String],
    (names, inner): (&Names, &[&Names]),
    (all, own): (&[Rule], &[&Rule]),
) -> Result<(), ImportError> {
    let separate = |letter: char| all.iter().any(|rule| rule.has(letter));
    let of_tags = Names::Prefix("refs/tags/".to_owned());
    let tags = [Lie::Same, Lie::Within].contains(&names.lies(&of_tags));
    let letters = [
        ("create", if separate('C') { 'C' } else { 'W' }),
        ("update", if tags { '+' } else { 'W' }),
        ("force", '+'),
        ("delete", if separate('D') { 'D' } else { '+' }),
    ];
    let mut may = Vec::new();
    let mut notes = BTreeSet::new();
    for (action, letter) in letters {
        may.push((action, allowed(groups, own, letter, &mut notes)?));
    }
    for (weight, what, why) in notes {
        document.note(weight, &format!("{what} for {}", names.pattern()), why);
    }
    if may.iter().all(|(_, who)| *who == Who::Everybody) {
        document.comment(&format!("everybody may do everything to {}", names.pattern()));
        return Ok(());
    }
    let mut made = Ruleset {
        repositories: repositories.to_vec(),
        refs: vec![names.pattern()],
        enforcement: "enforce",
        ..Ruleset::default()
    };
    made.refs.extend(inner.iter().map(|names| format!("!{}", names.pattern())));
    let kinds = ["kind:person", "kind:bot", "kind:agent", "kind:forge"];
    let mut parts = Vec::new();
    for (action, who) in &may {
        match who {
            Who::Everybody => parts.push(format!("{action} = {}", list(kinds))),
            Who::These(these) if these.is_empty() => {}
            Who::These(these) => parts.push(format!("{action} = {}", list(these))),
        }
    }
    if parts.is_empty() {
        made.rule("locked-ref", "true");
    } else {
        made.about.push(
            "needs `server = \"gitolite\"` in [repositories]; write bot: or agent: for who is no person"
                .to_owned(),
        );
        made.rule("unauthorized-pusher", format!("{{ {} }}", parts.join(", ")));
    }
    let first = repositories.first().map_or("", String::as_str);
    document.ruleset(&format!("{first}-{}", names.pattern().trim_start_matches("refs/")), &made);
    Ok(())
}

type Notes = BTreeSet<(Weight, String, &'static str)>;

/// Who may do what this letter stands for, by rules of which the first that fits decides.
fn allowed(groups: &Groups, rules: &[&Rule], letter: char, notes: &mut Notes) -> Result<Who, ImportError> {
    let asked: Vec<&&Rule> = rules.iter().filter(|rule| rule.denies() || rule.has(letter)).collect();
    // Whoever is no name of a person: of a group, of everybody, of a part that somebody plays.
    let mut named: Vec<(&Rule, Vec<&str>)> = Vec::new();
    for rule in asked {
        let mut users = Vec::new();
        for user in &rule.users {
            let weight = if rule.denies() { Weight::Weaker } else { Weight::Stricter };
            let what = || format!("`{user}` in line {}", rule.line);
            match user.strip_prefix('@') {
                None if ["CREATOR", "READERS", "WRITERS", "OWNERS"].contains(&user.as_str()) => {
                    notes.insert((weight, what(), "who that is, gitolite keeps in each repository"));
                    continue;
                }
                Some(group) if group != "all" && !groups.is_known(group) => {
                    notes.insert((weight, what(), "the group is not defined in this file"));
                }
                _ => {}
            }
            users.push(user.as_str());
        }
        named.push((rule, users));
    }
    if !named.iter().any(|(rule, _)| rule.denies()) {
        let users: BTreeSet<&str> = named.into_iter().flat_map(|(_, users)| users).collect();
        if users.contains("@all") {
            return Ok(Who::Everybody);
        }
        let selector = |user: &str| match user.strip_prefix('@') {
            Some(group) => format!("group:{group}"),
            None => format!("person:{user}"),
        };
        return Ok(Who::These(users.into_iter().map(selector).collect()));
    }
    let mut resolved: Vec<(bool, BTreeSet<String>)> = Vec::new();
    for (rule, users) in named {
        let mut who = BTreeSet::new();
        for user in users {
            match user.strip_prefix('@') {
                Some(group) if group != "all" => who.extend(groups.people(group)?),
                _ => drop(who.insert(user.to_owned())),
            }
        }
        resolved.push((rule.denies(), who));
    }
    let people: BTreeSet<&String> =
        resolved.iter().flat_map(|(_, who)| who).filter(|one| *one != "@all").collect();
    let decide = |one: &str| {
        let first = resolved.iter().find(|(_, who)| who.contains(one) || who.contains("@all"));
        first.is_some_and(|(denies, _)| !denies)
    };
    // Nobody can be called that: it stands for everybody whom the rules do not name.
    let others = decide("@");
    let may: Vec<&&String> = people.iter().filter(|one| decide(one)).collect();
    if others && may.len() == people.len() {
        return Ok(Who::Everybody);
    }
    if others {
        let why = "everybody but some cannot be said here: those whom the file names are listed";
        notes.insert((Weight::Stricter, "whoever is not named".to_owned(), why));
    }
    Ok(Who::These(may.into_iter().map(|one| format!("person:{one}")).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_names_lie_as_they_do() {
        let read = |refex: &str| Names::read(refex).unwrap();
        let lies = |one: &str, other: &str| read(one).lies(&read(other));
        assert_eq!(lies("refs/heads/master", "refs/heads/master.*"), Lie::Same);
        assert_eq!(lies("refs/heads/master$", "refs/heads/master"), Lie::Within);
        assert_eq!(lies("refs/.*", "refs/heads/x"), Lie::Around);
        assert_eq!(lies("refs/heads/a", "refs/heads/b"), Lie::Apart);
        assert_eq!(lies("refs/heads/v[0-9]", "refs/heads/"), Lie::Within);
        assert_eq!(lies("refs/heads/v[0-9]", "refs/heads/v1.0"), Lie::Unknown);
        assert_eq!(lies("refs/heads/v[0-9]", "refs/heads/v1\\.0$"), Lie::Around);
        assert_eq!(lies("refs/heads/v[0-9]", "refs/heads/v[a-z]"), Lie::Unknown);
        assert_eq!(lies("refs/heads/v[0-9]", "refs/heads/w[0-9]"), Lie::Apart);
        assert_eq!(lies("refs/(heads|tags)/x", "refs/"), Lie::Within);
        assert_eq!(lies("refs/(heads|tags)/x", "refs/tags/"), Lie::Unknown);
        assert_eq!(lies("refs/heads/(a|b)/", "refs/tags/"), Lie::Apart);
        assert!(Names::read("refs/heads/a|b").is_err(), "gitolite's `^` is of the first one only");
        assert_eq!(read("refs/heads/a").pattern(), "re:refs/heads/a.*");
        assert_eq!(read("refs/heads/a/").pattern(), "refs/heads/a/**");
    }
}
