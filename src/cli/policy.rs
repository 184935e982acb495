//! Printing what judges a ref: for `explain`, `config show` and `bypass list`.

use crate::domain::Principal;
use crate::service::{Effective, EffectiveBypass, EffectiveRule, EffectiveRuleset};
use serde_json::{Map, Value};
use std::io::{self, Write};

/// All of it, for people.
pub(super) fn print(
    out: &mut dyn Write,
    effective: &Effective,
    pusher: Option<&Principal>,
) -> io::Result<()> {
    let Effective { repository, reference, .. } = effective;
    writeln!(out, "{reference} of {repository}: {}", coverage(effective.coverage))?;
    match &effective.default_branch {
        Some(branch) => writeln!(out, "default branch: {branch}")?,
        None => writeln!(out, "default branch: unknown, so `~DEFAULT` matches nothing")?,
    }
    if !effective.in_namespace {
        writeln!(
            out,
            "outside `namespaces` in [repositories]: every push to it is refused (unknown-namespace)"
        )?;
    }
    writeln!(out, "\nbuiltin, always: {}", effective.builtin.join(", "))?;
    for ruleset in &effective.rulesets {
        writeln!(out)?;
        head(out, ruleset)?;
        actors(out, ruleset, pusher)?;
        for rule in &ruleset.rules {
            print_rule(out, rule)?;
        }
        for bypass in &ruleset.bypass {
            print_bypass(out, bypass, pusher)?;
        }
    }
    others(out, effective)
}

fn coverage(word: &str) -> &str {
    match word {
        "uncovered-accept" => {
            "no enforcing ruleset covers it, and `uncovered = \"accept\"` lets it move (uncovered-accept)"
        }
        "uncovered-refuse" => {
            "no enforcing ruleset covers it, and `uncovered = \"refuse\"` refuses it (uncovered-refuse)"
        }
        _ => "covered by a ruleset",
    }
}

/// The line of a ruleset.
pub(super) fn head(out: &mut dyn Write, ruleset: &EffectiveRuleset) -> io::Result<()> {
    let place = match (&ruleset.place, ruleset.origin) {
        (Some(place), "configuration") => place.clone(),
        (Some(place), "included") => format!("{place}, an included file"),
        (Some(place), _) => format!("{place}, a tenant's file"),
        (None, _) => "comes with every configuration".to_owned(),
    };
    let effect =
        if ruleset.enforcement == "evaluate" { "evaluate: records, refuses nothing" } else { "enforce" };
    writeln!(out, "ruleset {} ({effect}), {place}", ruleset.name)?;
    let by_default = ruleset.origin == "default";
    if !by_default {
        writeln!(out, "  repositories: {}", ruleset.repositories.join(", "))?;
    }
    writeln!(out, "  refs: {}", ruleset.refs.join(", "))
}

fn actors(out: &mut dyn Write, ruleset: &EffectiveRuleset, pusher: Option<&Principal>) -> io::Result<()> {
    if ruleset.actors.is_empty() {
        return Ok(());
    }
    write!(out, "  actors: {}", ruleset.actors.join(", "))?;
    match pusher {
        Some(pusher) => {
            let selectors = ruleset.actors.iter().filter_map(|one| crate::policy::Selector::parse(one).ok());
            let meant = selectors.into_iter().any(|one| one.matches(pusher));
            writeln!(
                out,
                "; {}:{} {}",
                pusher.kind,
                pusher.name,
                if meant { "is one" } else { "is none: it judges nothing" }
            )
        }
        None => writeln!(out, "; and whoever is nobody of the keyring"),
    }
}

fn print_rule(out: &mut dyn Write, rule: &EffectiveRule) -> io::Result<()> {
    let place = match &rule.place {
        Some(place) => format!("  ({place})"),
        None => "  (implied)".to_owned(),
    };
    writeln!(out, "  refuses {}: {}{place}", rule.rule, rule.about)?;
    writeln!(out, "    judges: {}", rule.judges)?;
    for (name, value) in &rule.options {
        writeln!(out, "    {name} = {value}")?;
    }
    for (name, value) in &rule.defaults {
        writeln!(out, "    {name} = {}  (default)", value.as_str().unwrap_or_default())?;
    }
    if let Some(from) = &rule.effective_from {
        writeln!(out, "    effective-from = {from}")?;
    }
    if let Some(help) = &rule.help {
        writeln!(out, "    help = \"{help}\"")?;
    }
    Ok(())
}

fn print_bypass(out: &mut dyn Write, bypass: &EffectiveBypass, pusher: Option<&Principal>) -> io::Result<()> {
    let place = bypass.place.as_deref().unwrap_or_default();
    write!(
        out,
        "  bypass for {} of {}, {}",
        bypass.who.join(", "),
        bypass.rules.join(", "),
        proof(bypass.proof)
    )?;
    writeln!(out, ", {}  ({place})", until(bypass))?;
    writeln!(out, "    reason: {}", bypass.reason)?;
    if bypass.ask {
        writeln!(out, "    has to be asked for: git push -o 'countersign.bypass=RULE:REASON'")?;
    }
    if let Some(pusher) = pusher {
        let name = format!("{}:{}", pusher.kind, pusher.name);
        let word = if bypass.members.contains(&name) { "is one of them" } else { "is none of them" };
        writeln!(out, "    {name} {word}")?;
    }
    Ok(())
}

/// What shows that it is them, in words.
pub(super) fn proof(word: &str) -> &'static str {
    if word == "key" { "by their signature on the very object" } else { "by the server's word on who pushes" }
}

/// Until when a bypass holds.
pub(super) fn until(bypass: &EffectiveBypass) -> String {
    match (&bypass.expires, bypass.state) {
        (Some(expires), "expired") => format!("expired {expires}: does nothing"),
        (Some(expires), _) => format!("until {expires}"),
        (None, _) => "without an end".to_owned(),
    }
}

/// Rulesets that do not judge the ref, and why.
pub(super) fn others(out: &mut dyn Write, effective: &Effective) -> io::Result<()> {
    if effective.others.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nnot for this ref:")?;
    for one in &effective.others {
        let place = one.place.as_ref().map(|place| format!("  ({place})")).unwrap_or_default();
        writeln!(out, "  {}: {}{place}", one.name, one.why)?;
    }
    Ok(())
}

/// The same as a document.
pub(super) fn json(effective: &Effective, pusher: Option<&Principal>) -> Map<String, Value> {
    let mut document = match serde_json::to_value(effective) {
        Ok(Value::Object(document)) => document,
        _ => Map::new(),
    };
    document.insert("pusher".to_owned(), pusher_json(pusher));
    document
}

/// Who is taken to push, hypothetically.
pub(super) fn pusher_json(pusher: Option<&Principal>) -> Value {
    match pusher {
        None => Value::Null,
        Some(pusher) => serde_json::json!({
            "principal": format!("{}:{}", pusher.kind, pusher.name), "hypothetical": true,
        }),
    }
}
