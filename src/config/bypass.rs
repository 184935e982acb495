//! `[[ruleset.bypass]]` tables and lists of selectors.

use crate::domain::{PrincipalKind, Timestamp, text};
use crate::keyring::document::{Item, Table, Warning, nearest};
use crate::policy::rules::{self, Configured, Judges};
use crate::policy::{Bypass, Proof, Selector};

const PROOFS: &[(&str, Proof)] = &[(Proof::Key.name(), Proof::Key), (Proof::Pusher.name(), Proof::Pusher)];

/// Longest reason, bytes.
const MAX_REASON: usize = 500;

/// Reads one bypass of a ruleset with these rules; `None` with the errors on record.
pub(super) fn read(
    table: Table<'_, '_>,
    rules: &[Configured],
    warnings: &mut Vec<Warning>,
) -> Option<Bypass> {
    let reader = table.reader();
    let before = reader.count();
    let who = table.require("who", "write `who = [\"group:release-managers\"]`");
    let who = who.map(|item| trusted(&item)).unwrap_or_default();
    let help = "write `proof = \"key\"` (their signature on the very commit) or `proof = \"pusher\"` (the server's word)";
    let proof = table.require("proof", help).and_then(|item| item.word(PROOFS));
    let listed = table.require("rules", "write `rules = [\"missing-ticket\"]`");
    let listed = listed.map(|item| rules_of(&item, rules, proof)).unwrap_or_default();
    let refs = table.get("refs").map(|item| super::rulesets::refs_of(&item));
    let reason = table.require("reason", "write why it is there: `reason = \"...\"`");
    let reason = reason.as_ref().and_then(reason_of);
    let expires = table.get("expires");
    let ask = table.get("ask").and_then(|item| item.boolean()).unwrap_or(false);
    let until = expires.as_ref().and_then(|item| item.time("expires"));
    table.finish();
    if reader.count() > before {
        return None;
    }
    if let (Some(item), Some(until)) = (&expires, until)
        && until <= Timestamp::now()
    {
        let message = format!("this bypass expired at {until} and does nothing; remove it");
        warnings.push(Warning::at(reader.place(&item.key), message));
    }
    let refs = match refs {
        Some(refs) => Some(refs?),
        None => None,
    };
    Some(Bypass { who, proof: proof?, rules: listed, refs, reason: reason?, expires: until, ask })
}

fn reason_of(item: &Item<'_, '_>) -> Option<String> {
    let reason = item.string()?;
    if reason.trim().is_empty() || reason.len() > MAX_REASON {
        item.error_with(
            format!("a reason has between 1 and {MAX_REASON} bytes"),
            "say why these may break the rule; the record repeats it",
        );
        return None;
    }
    Some(reason.to_owned())
}

/// Selectors of principals; at least one.
pub(super) fn selectors(item: &Item<'_, '_>) -> Vec<Selector> {
    let before = item.reader.count();
    let mut made = Vec::new();
    for (written, item) in item.strings() {
        match Selector::parse(written) {
            Ok(selector) => made.push(selector),
            Err(error) => item.error(text::escape(error.to_string().as_bytes())),
        }
    }
    if made.is_empty() && item.reader.count() == before {
        item.error_with("an empty list selects nobody", "name somebody, such as \"group:sre\"");
    }
    made
}

/// Selectors of those who may break rules: no agent is one of them (N19).
fn trusted(item: &Item<'_, '_>) -> Vec<Selector> {
    let made = selectors(item);
    let agent = |one: &Selector| {
        matches!(one, Selector::Kind(PrincipalKind::Agent) | Selector::Named(PrincipalKind::Agent, _))
    };
    if made.iter().any(agent) {
        item.error_with("an agent never bypasses a rule", "name the people who may");
    }
    made
}

fn rules_of(item: &Item<'_, '_>, own: &[Configured], proof: Option<Proof>) -> Vec<String> {
    let names = || own.iter().map(|one| one.rule.name());
    let mut made = Vec::new();
    let before = item.reader.count();
    for (written, item) in item.strings() {
        let Some(found) = own.iter().find(|one| one.rule.name() == written) else {
            let shown = text::escape_short(written.as_bytes(), 60);
            let all = rules::ALL.iter().map(|kind| kind.name).filter(|_| own.is_empty());
            let help = match nearest(written, names().chain(all)) {
                Some(best) => format!("did you mean \"{best}\"?"),
                None if own.is_empty() => "name rules that `[ruleset.refuse]` has".to_owned(),
                None => format!("its rules are: {}", names().collect::<Vec<_>>().join(", ")),
            };
            item.error_with(format!("`{shown}` is not a rule of this ruleset"), help);
            continue;
        };
        let rule = found.rule.as_ref();
        if proof == Some(Proof::Key) && rule.is_about_the_pusher() && rule.judges() != Judges::Commit {
            item.error_with(
                format!("a signature cannot show who may break `{written}`: the rule is about the push"),
                "write `proof = \"pusher\"`",
            );
            continue;
        }
        made.push(written.to_owned());
    }
    if made.is_empty() && item.reader.count() == before {
        item.error_with("an empty list waives nothing", "name the rules that may be broken");
    }
    made
}
