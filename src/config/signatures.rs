//! `[signatures]`: what an operator may set about how signatures are judged.

use super::values;
use crate::domain::text;
use crate::keyring::document::{Item, Table};
use crate::signature::{Demand, MergeTags, Rules, Strictness};

const DEMANDS: &[(&str, Demand)] = &[("required", Demand::Required), ("any", Demand::Any)];
const STRICTNESS: &[(&str, Strictness)] = &[("report", Strictness::Report), ("refuse", Strictness::Refuse)];
const MERGE_TAGS: &[(&str, MergeTags)] =
    &[("ignore", MergeTags::Ignore), ("report", MergeTags::Report), ("refuse", MergeTags::Refuse)];
/// Longest name of a FIDO application, in bytes.
const MAX_APPLICATION: usize = 256;

/// Reads the table; what has a fault keeps its default, and the fault refuses the file.
pub(super) fn read(table: Table<'_, '_>) -> Rules {
    let mut rules = Rules::default();
    let seconds = |name: &'static str, field: &mut i64| {
        if let Some(span) = table.get(name).and_then(|item| values::span(&item)) {
            *field = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        }
    };
    seconds("max-future", &mut rules.max_future);
    seconds("max-skew", &mut rules.max_skew);
    seconds("certificate-grace", &mut rules.certificate_grace);
    let flag = |name: &'static str, field: &mut bool| {
        if let Some(value) = table.get(name).and_then(|item| item.boolean()) {
            *field = value;
        }
    };
    flag("text-signatures", &mut rules.text_signatures);
    flag("sha1-bindings", &mut rules.sha1_bindings);
    flag("trailing-timestamps", &mut rules.trailing_timestamps);
    let word = |name: &'static str, field: &mut Demand| {
        if let Some(value) = table.get(name).and_then(|item| item.word(DEMANDS)) {
            *field = value;
        }
    };
    word("touch", &mut rules.touch);
    word("user-verification", &mut rules.user_verification);
    if let Some(item) = table.get("fido-applications") {
        rules.fido_applications = applications(&item);
    }
    let strictness = |name: &'static str, field: &mut Strictness| {
        if let Some(value) = table.get(name).and_then(|item| item.word(STRICTNESS)) {
            *field = value;
        }
    };
    strictness("fido-counter", &mut rules.fido_counter);
    strictness("endless-certificates", &mut rules.endless_certificates);
    if let Some(value) = table.get("merge-tags").and_then(|item| item.word(MERGE_TAGS)) {
        rules.merge_tags = value;
    }
    table.finish();
    rules
}

fn applications(item: &Item<'_, '_>) -> Vec<String> {
    let mut out = Vec::new();
    for (name, place) in item.strings() {
        let stem = name.strip_suffix('*').unwrap_or(name);
        let plain = text::escape(stem.as_bytes()) == stem && !stem.contains('*');
        if name.is_empty() || name.len() > MAX_APPLICATION || !plain {
            let shown = text::escape_short(name.as_bytes(), 60);
            place.error_with(
                format!("`{shown}` cannot be the name of a FIDO application"),
                "write it as `ssh-keygen -O application=` has it, \"ssh:\" for example; a final `*` stands for any rest",
            );
        } else {
            out.push(name.to_owned());
        }
    }
    if out.is_empty() {
        item.error_with("without an application no FIDO key counts", "write [\"ssh:*\"]");
    }
    out
}
