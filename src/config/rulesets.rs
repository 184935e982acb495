//! `[[ruleset]]` tables.

use super::{bypass, values};
use crate::domain::{Timestamp, text};
use crate::keyring::document::{Item, Place, Table, Warning, nearest};
use crate::policy::rules::{self, BuildError, Configured, Shape, bad_signature};
use crate::policy::{Bypass, Enforcement, Pattern, PatternError, Refs, Ruleset, SpecError, Tenant};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use toml::de::DeValue;

/// Where rulesets and their parts stand, by ruleset name and key. Only for messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RulesetPlaces {
    places: HashMap<(String, String), Place>,
}

impl RulesetPlaces {
    /// Where a ruleset's key (`name`, `repositories`, the name of a rule, `bypass 0`) stands.
    pub fn of(&self, ruleset: &str, key: &str) -> Option<&Place> {
        self.places.get(&(ruleset.to_owned(), key.to_owned()))
    }
}

const ENFORCEMENTS: &[(&str, Enforcement)] = &[
    (Enforcement::Enforce.name(), Enforcement::Enforce),
    (Enforcement::Evaluate.name(), Enforcement::Evaluate),
    (Enforcement::Off.name(), Enforcement::Off),
];

/// The rulesets read so far, over all files.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) rulesets: Vec<Ruleset>,
    pub(super) places: RulesetPlaces,
    pub(super) warnings: Vec<Warning>,
    names: HashMap<String, Place>,
}

impl Collected {
    /// Reads one `[[ruleset]]`, of a tenant's file where there is one.
    pub(super) fn read(&mut self, table: Table<'_, '_>, tenant: Option<&Arc<Tenant>>) {
        let reader = table.reader();
        let mut places = Vec::new();
        let mut note = |key: &str, span: &Range<usize>| places.push((key.to_owned(), reader.place(span)));

        let name_item = table.require("name", "write `name = \"production\"`; records hang on it");
        let name = name_item.as_ref().and_then(Item::string);
        let full = |name: &str| tenant.map_or(name.to_owned(), |tenant| format!("{}/{name}", tenant.name));
        if let (Some(item), Some(name)) = (&name_item, name) {
            note("name", &item.span);
            if let Some(first) = self.names.get(&full(name)) {
                let shown = text::escape_short(name.as_bytes(), 60);
                item.error_with(
                    format!("a ruleset called `{shown}` is already at {first}"),
                    "give each ruleset a name of its own",
                );
            }
        }
        let repositories = table.require("repositories", "write `repositories = [\"**\"]` for all of them");
        if let Some(item) = &repositories {
            note("repositories", &item.key);
        }
        let repositories = repositories.map(|item| patterns(&item)).unwrap_or_default();
        let refs = table.require("refs", "write `refs = [\"refs/heads/main\"]`");
        if let Some(item) = &refs {
            note("refs", &item.key);
        }
        let refs = refs.and_then(|item| refs_of(&item));
        let enforcement =
            table.get("enforcement").map_or(Some(Enforcement::Enforce), |e| e.word(ENFORCEMENTS));
        let help = "write `[ruleset.refuse]` and below it, for example, `unsigned-commit = true`";
        let refuse = table.require("refuse", help).and_then(|item| item.table("[ruleset.refuse]"));
        let mut rules = Vec::new();
        let before = reader.count();
        let actors = table.get("actors").map(|item| {
            note("actors", &item.key);
            bypass::selectors(&item)
        });
        let bypasses = table.tables("bypass", "[[ruleset.bypass]]");
        for (index, bypass) in bypasses.iter().enumerate() {
            if index == 0 {
                note("bypass", bypass.span());
            }
            note(&format!("bypass {index}"), bypass.span());
        }
        let refuse_span = refuse.as_ref().map_or_else(|| table.span().clone(), |table| table.span().clone());
        let mut waived = None;
        let has_refuse = refuse.is_some();
        if let Some(refuse) = refuse {
            for (rule, item) in refuse.entries() {
                note(rule, &item.key);
                if rule == bad_signature::NAME && matches!(item.value, DeValue::Boolean(false)) {
                    waived = Some(reader.place(&item.key));
                }
                rules.extend(build(rule, &item));
            }
        }
        let all_built = has_refuse && reader.count() == before;
        let bypass: Vec<Bypass> = bypasses
            .into_iter()
            .filter_map(|table| bypass::read(table, &rules, &mut self.warnings))
            .collect();
        let span = table.span().clone();
        table.finish();

        // A ruleset is put together even where parts of it are faulty, to find further faults; nothing
        // of it is used then, because the file does not load.
        let spare = |refs: Option<Refs>| refs.unwrap_or_default();
        let Some(name) = name else { return };
        if all_built || !rules.is_empty() {
            let enforcement = enforcement.unwrap_or(Enforcement::Enforce);
            match Ruleset::new(name, repositories, spare(refs), enforcement, rules) {
                Ok(mut ruleset) => {
                    ruleset.actors = actors.unwrap_or_default();
                    ruleset.bypass = bypass;
                    if let Some(place) = waived.filter(|_| ruleset.has_rule(bad_signature::NAME)) {
                        let message = "`bad-signature` belongs to every ruleset with a signature rule; `false` changes nothing";
                        self.warnings.push(Warning::at(place, message));
                    }
                    let ruleset = match tenant {
                        Some(tenant) => ruleset.of_tenant(tenant),
                        None => ruleset,
                    };
                    self.rulesets.extend(ruleset.split());
                }
                Err(error @ SpecError::Name(_)) => {
                    let span = name_item.map_or(span, |item| item.span);
                    let shown = text::escape_short(name.as_bytes(), 60);
                    reader.error_with(&span, format!("`{shown}` cannot name a ruleset"), name_help(&error));
                }
                Err(SpecError::NoRules(_)) => {
                    let help = "name a rule, such as `unsigned-commit = true`";
                    reader.error_with(&refuse_span, "this ruleset refuses nothing", help);
                }
            }
        }
        if let Some((_, place)) = places.iter().find(|(key, _)| key == "name") {
            self.names.entry(full(name)).or_insert_with(|| place.clone());
        }
        self.places.places.extend(places.into_iter().map(|(key, place)| ((full(name), key), place)));
    }
}

/// The rules of the ruleset that comes with every configuration: all of [`rules::BY_DEFAULT`], as
/// `[policy.defaults]` changes them.
pub(super) fn defaults(table: Option<Table<'_, '_>>, places: &mut RulesetPlaces) -> Vec<Configured> {
    let mut made: HashMap<&str, Option<Configured>> = HashMap::new();
    for (name, item) in table.iter().flat_map(|table| table.entries()) {
        match rules::BY_DEFAULT.iter().find(|one| **one == name) {
            Some(known) => {
                let key = (Ruleset::DEFAULT.to_owned(), name.to_owned());
                places.places.insert(key, item.reader.place(&item.key));
                made.insert(*known, build(name, &item));
            }
            None => {
                let shown = text::escape_short(name.as_bytes(), 60);
                item.reader.error_with(
                    &item.key,
                    format!("`{shown}` is no rule that is on by default"),
                    format!("those are: {}; name others in a ruleset", rules::BY_DEFAULT.join(", ")),
                );
            }
        }
    }
    let default = |name: &&str| rules::build(name, &toml::Value::Boolean(true)).ok().flatten();
    rules::BY_DEFAULT.iter().filter_map(|name| made.remove(name).unwrap_or_else(|| default(name))).collect()
}

fn name_help(error: &SpecError) -> &'static str {
    match error {
        SpecError::Name(name) if name == Ruleset::BUILTIN => {
            "`builtin` is the name of the rules that no configuration turns off"
        }
        _ => "use lower-case letters, digits, `.`, `_` and `-`, beginning with a letter or digit",
    }
}

/// Patterns for repository names; at least one.
pub(super) fn patterns(item: &Item<'_, '_>) -> Vec<Pattern> {
    let before = item.reader.count();
    let mut made = Vec::new();
    for (written, item) in item.strings() {
        if let Some(rest) = written.strip_prefix('!') {
            let shown = text::escape_short(rest.as_bytes(), 60);
            item.error_with(
                "repositories cannot be excluded",
                format!("list what is meant; `!` is for `refs` only (`{shown}` here)"),
            );
            continue;
        }
        let starts = ["/", "./", "../", "~/"].iter().any(|start| written.starts_with(start));
        if !written.starts_with("re:") && (starts || written.ends_with('/') || written.contains("//")) {
            let shown = text::escape_short(written.as_bytes(), 60);
            item.error_with(
                format!("`{shown}` can match no repository"),
                "names are paths below `root`, without a slash at either end: write \"infra/app\" or \"infra/**\"",
            );
            continue;
        }
        match Pattern::new(written) {
            Ok(pattern) => made.push(pattern),
            Err(error) => pattern_error(&item, "", error),
        }
    }
    if made.is_empty() && item.reader.count() == before {
        item.error_with("an empty list matches no repository", "write [\"**\"] for all of them");
    }
    made
}

pub(super) fn refs_of(item: &Item<'_, '_>) -> Option<Refs> {
    let before = item.reader.count();
    let sources = item.strings();
    for (written, item) in &sources {
        let (mark, pattern) = match written.strip_prefix('!') {
            Some(rest) => ("!", rest),
            None => ("", *written),
        };
        if let Err(error) = Refs::new([pattern]) {
            pattern_error(item, mark, error);
        }
    }
    if item.reader.count() > before {
        return None;
    }
    let made = Refs::new(sources.iter().map(|(written, _)| *written));
    if made.is_err() {
        let message = if sources.is_empty() {
            "an empty list matches no ref"
        } else {
            "these patterns only exclude, so they match no ref"
        };
        item.error_with(message, "add a pattern that includes, such as \"refs/heads/**\"");
    }
    made.ok()
}

fn pattern_error(item: &Item<'_, '_>, mark: &str, error: PatternError) {
    match error {
        PatternError::ShortRef { pattern, suggestion } => {
            let shown = text::escape_short(pattern.as_bytes(), 60);
            let suggestion = text::escape_short(suggestion.as_bytes(), 80);
            item.error_with(
                format!("`{shown}` can match no ref: patterns are matched against full names"),
                format!("write \"{mark}{suggestion}\""),
            );
        }
        // The regex crate begins its own text with that word.
        other => item.error(text::escape(other.to_string().replace(": error: ", ": ").as_bytes())),
    }
}

/// Builds a rule; records what is wrong with it at the best place there is.
fn build(name: &str, item: &Item<'_, '_>) -> Option<Configured> {
    let Some(value) = values::plain(item.value) else {
        item.error("a number here is too large");
        return None;
    };
    match rules::build(name, &value) {
        Ok(rule) => {
            let from = rule.as_ref().and_then(|rule| rule.effective_from);
            if let Some(from) = from.filter(|from| *from > Timestamp::now()) {
                future(item, from);
                return None;
            }
            rule
        }
        Err(BuildError::Unknown(shown)) => {
            let names = || rules::ALL.iter().map(|kind| kind.name);
            let help = match nearest(name, names()) {
                Some(best) => format!("did you mean `{best}`?"),
                None => format!("the rules are: {}", names().collect::<Vec<_>>().join(", ")),
            };
            item.reader.error_with(&item.key, format!("there is no rule `{shown}`"), help);
            None
        }
        Err(BuildError::Options { rule, why }) => {
            option_error(item, rule, &why);
            None
        }
    }
}

/// Until that time comes, whatever is let into a repository by a weaker ruleset would be exempt here for good.
fn future(item: &Item<'_, '_>, from: Timestamp) {
    let mut span = item.span.clone();
    if let DeValue::Table(entries) = item.value
        && let Some((key, _)) = entries.iter().find(|(key, _)| key.get_ref() == "effective-from")
    {
        span = key.span();
    }
    item.reader.error_with(
        &span,
        format!("`effective-from` is in the future: {from}"),
        "it exempts what the record has from before; write a time that has passed, or add the rule when it is to begin",
    );
}

/// Sorts of values that options have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shapes {
    Flag,
    Number,
    Text,
    List,
}

impl Shapes {
    const fn name(self) -> &'static str {
        match self {
            Shapes::Flag => "`true` or `false`",
            Shapes::Number => "a number",
            Shapes::Text => "a text",
            Shapes::List => "a list",
        }
    }
}

/// What a value is, with its article.
fn sort(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Boolean(_) => "`true` or `false`".to_owned(),
        DeValue::Integer(_) => "a number".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        other => format!("a {}", other.type_str()),
    }
}

type Spanned<'d> = toml::Spanned<DeValue<'d>>;

/// An option whose value is of another sort than the rule takes, and which sort that is. `expected` is what the rule
/// says of it, without its name.
fn mistaken<'v, 'd>(
    rule: &str,
    expected: &str,
    key: &'v str,
    value: &'v Spanned<'d>,
) -> Option<(&'v str, &'v Spanned<'d>, Shapes)> {
    let option = rules::options_of(rule).iter().find(|one| one.name == key)?;
    let wanted = match option.shape {
        Shape::Flag => Shapes::Flag,
        Shape::Count(_) => Shapes::Number,
        Shape::Text | Shape::Word(_) => Shapes::Text,
        Shape::Texts
        | Shape::AnyTexts
        | Shape::Selectors
        | Shape::Named
        | Shape::Refs
        | Shape::Patterns
        | Shape::Words(_) => Shapes::List,
        // A form of its own, of which only this much is said.
        Shape::Special if expected.ends_with("expected a sequence") => Shapes::List,
        Shape::Size | Shape::Span | Shape::Time | Shape::WordOrWords(_) | Shape::Special => return None,
    };
    let fits = match value.get_ref() {
        DeValue::Boolean(_) => wanted == Shapes::Flag,
        DeValue::Integer(_) => wanted == Shapes::Number,
        DeValue::String(_) => wanted == Shapes::Text,
        DeValue::Array(_) => wanted == Shapes::List,
        _ => false,
    };
    (!fits).then_some((key, value, wanted))
}

/// A rule says in words what is wrong with its options. Where the words name one of them, that is
/// where the caret goes; where they name what would have been right, that is the suggestion.
fn option_error(item: &Item<'_, '_>, rule: &str, why: &str) {
    let quoted: Vec<&str> = why.split('`').skip(1).step_by(2).collect();
    let mut span = item.span.clone();
    if let DeValue::Table(entries) = item.value {
        let named = |key: &str| quoted.first().is_some_and(|first| *first == key);
        if let Some((key, _)) = entries.iter().find(|(key, _)| named(key.get_ref())) {
            span = key.span();
        } else {
            let holds = |value: &DeValue<'_>, word: &str| value.as_str() == Some(word);
            let all = entries.iter().flat_map(|(_, value)| match value.get_ref() {
                DeValue::Array(array) => array.iter().collect(),
                _ => vec![value],
            });
            let found =
                all.into_iter().find(|one| quoted.first().is_some_and(|word| holds(one.get_ref(), word)));
            if let Some(value) = found {
                span = value.span();
            }
        }
    }
    if let Some(expected) = why.strip_prefix("invalid type: ")
        && let DeValue::Table(entries) = item.value
        && let Some((key, value, wanted)) =
            entries.iter().find_map(|(key, value)| mistaken(rule, expected, key.get_ref(), value))
    {
        let key = text::escape_short(key.as_bytes(), 60);
        let message = format!("rule `{rule}`: `{key}` is {}, not {}", sort(value.get_ref()), wanted.name());
        let help = match (value.get_ref(), wanted) {
            (DeValue::String(one), Shapes::List) => {
                Some(format!("write [\"{}\"]", text::escape_short(one.as_bytes(), 60)))
            }
            (DeValue::String(digits), Shapes::Number) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(format!("write {digits}"))
            }
            _ => None,
        };
        match help {
            Some(help) => item.reader.error_with(&value.span(), message, help),
            None => item.reader.error(&value.span(), message),
        }
        return;
    }
    let message = format!("rule `{rule}`: {}", text::escape(why.as_bytes()).replace("\\\\", "\\"));
    if why.starts_with("missing field")
        && let Some(option) = rules::options_of(rule).iter().find(|one| quoted.first() == Some(&one.name))
    {
        item.reader.error_with(&span, message, format!("`{}` is required: {}", option.name, option.about));
        return;
    }
    let suggestion = why.split_once(", expected ").and_then(|_| {
        let (wrong, right) = quoted.split_first()?;
        nearest(wrong, right.iter().copied())
    });
    match suggestion {
        Some(best) => item.reader.error_with(&span, message, format!("did you mean `{best}`?")),
        None => item.reader.error(&span, message),
    }
}
