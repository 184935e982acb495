//! `countersign keyring check`.

use super::super::common::{CliError, Format};
use super::apply::Ground;
use super::print_json;
use crate::domain::text;
use crate::keyring::document::{Diagnostic, Place};
use crate::keyring::lint::{Lint, Severity, lint, of_warnings};
use crate::keyring::{Keyring, KeyringError, LoadedKeyring};
use crate::service::keyring_lints;
use serde_json::{Value, json};
use std::io::{self, Write};

/// How strict to be.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = "\
Each finding has a code, a place and what to do about it; docs/keyring.md lists them. An error does
not work, or stops within 7 days; a warning should be seen to; a note is good to know. What refuses
the whole keyring, a key of two principals for example, is told as when it loads, and nothing else
is looked at then.

Examples:
  countersign keyring check
  countersign keyring check --strict --keyring ./keyring
  countersign keyring check --format json | jq '.findings[] | select(.severity == \"error\")'

Exits 0 when there is nothing but notes, 1 with an error or a warning, 2 when keyring or
configuration do not load.")]
pub struct CheckArgs {
    /// Exit with 1 for notes as well.
    #[arg(long)]
    pub strict: bool,
}

pub(super) fn run(args: &CheckArgs, ground: &mut Ground<'_>) -> Result<u8, CliError> {
    let Ground { sources, config, now, format, out, .. } = ground;
    let (now, format) = (*now, *format);
    let LoadedKeyring { keyring, warnings } = match Keyring::load(&*sources) {
        Ok(loaded) => loaded,
        Err(error) => return unreadable(&error, format, out),
    };
    let mut found = of_warnings(&warnings);
    found.extend(lint(&keyring, &sources.dir, now));
    if let Some(config) = config {
        found.extend(keyring_lints(config, &keyring, now));
    }
    let count = |severity| found.iter().filter(|one| one.severity == severity).count();
    let counts = [Severity::Error, Severity::Warning, Severity::Note].map(|one| (one, count(one)));
    let told = counts.iter().filter(|(severity, _)| args.strict || *severity != Severity::Note);
    let clean = told.map(|(_, count)| count).sum::<usize>() == 0;
    match format {
        Format::Json => {
            let findings: Vec<Value> = found.iter().map(lint_json).collect();
            let counted: serde_json::Map<String, Value> =
                counts.iter().map(|(severity, count)| (severity.name().to_owned(), json!(count))).collect();
            let document = json!({
                "loads": true,
                "clean": clean,
                "principals": keyring.principals().len(),
                "keys": keyring.keys().len(),
                "rulesets_checked": config.is_some(),
                "counts": counted,
                "findings": findings,
                "faults": [],
            });
            print_json(&document, out)?;
        }
        Format::Text => {
            found.iter().try_for_each(|one| print(one, out))?;
            let counted = counts.iter().filter(|(_, count)| *count > 0);
            let counted: Vec<String> = counted.map(|(one, count)| plural(*count, one.name())).collect();
            let counted = if counted.is_empty() { "nothing found".to_owned() } else { counted.join(", ") };
            let (people, keys) =
                (plural(keyring.principals().len(), "principal"), plural(keyring.keys().len(), "key"));
            writeln!(out, "{people}, {keys}: {counted}")?;
            if config.is_none() {
                writeln!(out, "rulesets were not looked at: there is no configuration")?;
            }
        }
    }
    Ok(u8::from(!clean))
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn print(one: &Lint, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}[{}]: {}", one.severity.name(), one.code, escaped(&one.message))?;
    if let Some(place) = &one.place {
        writeln!(out, "  --> {place}")?;
    }
    writeln!(out, "   = help: {}\n", escaped(&one.remedy))
}

fn escaped(line: &str) -> String {
    text::escape(line.as_bytes())
}

fn lint_json(one: &Lint) -> Value {
    json!({
        "code": one.code,
        "severity": one.severity.name(),
        "principal": one.principal,
        "key": one.key,
        "place": one.place.as_ref().map(place_json),
        "message": one.message,
        "remedy": one.remedy,
    })
}

fn place_json(place: &Place) -> Value {
    let number = |number: usize| (number > 0).then_some(number);
    json!({
        "file": place.file.to_string_lossy(),
        "line": number(place.line),
        "column": number(place.column),
    })
}

/// A keyring that does not load: what is wrong, as its loader says it.
fn unreadable(error: &KeyringError, format: Format, out: &mut dyn Write) -> Result<u8, CliError> {
    match format {
        Format::Text => Err(CliError::usage(error)),
        Format::Json => {
            let fault = |one: &Diagnostic| json!({ "place": place_json(&one.place()), "message": one.message, "remedy": one.suggestion });
            let faults: Vec<Value> = error.diagnostics().iter().map(fault).collect();
            print_json(&json!({ "loads": false, "clean": false, "findings": [], "faults": faults }), out)?;
            Ok(2)
        }
    }
}
