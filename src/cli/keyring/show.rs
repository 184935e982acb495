//! `countersign keyring show`.

use super::super::common::{CliError, Format, write_table};
use super::print_json;
use super::view::{authority_json, fido_rows, key_json, revoked_text, serials, standing, suspension_json};
use crate::domain::{Timestamp, text};
use crate::keyring::{Authority, Key, Keyring, Sources};
use serde_json::{Value, json};
use std::io::{self, Write};

/// Whom to show.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  countersign keyring show alice")]
pub struct ShowArgs {
    /// The principal's name.
    pub name: String,
}

pub(super) fn run(
    args: &ShowArgs,
    sources: &Sources,
    keyring: &Keyring,
    now: Timestamp,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let principal = keyring.principal(&args.name).map_err(|near| {
        if let Some(gone) = keyring.suspension(&args.name).filter(|_| keyring.removed().contains(&args.name))
        {
            return CliError {
                message: format!("`{}` was removed from the keyring, {gone}", args.name),
                code: 1,
            };
        }
        let shown = text::escape_short(args.name.as_bytes(), 60);
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        CliError { message: format!("there is nobody called `{shown}` in the keyring{hint}"), code: 1 }
    })?;
    let keys: Vec<&Key> = keyring.keys().iter().filter(|key| key.principal.name == principal.name).collect();
    // An authority is nobody's key; it is shown with the file that it stands in.
    let file = sources.dir.join(format!("{}.toml", principal.name));
    let authorities = keyring.authorities().iter().filter(|one| one.place.file == file);
    let accounts: Vec<String> = keyring.accounts_of(&principal.name).map(ToString::to_string).collect();
    match format {
        Format::Json => {
            let keys: Vec<Value> = keys.iter().map(|key| key_json(key, now)).collect();
            let authorities: Vec<Value> = authorities.map(|one| authority_json(one, now)).collect();
            print_json(
                &json!({
                    "principal": principal.name,
                    "kind": principal.kind.name(),
                    "emails": principal.emails,
                    "groups": principal.groups,
                    "suspended": keyring.suspension(&principal.name).map(suspension_json),
                    "accounts": accounts,
                    "keys": keys,
                    "authorities": authorities,
                }),
                out,
            )?;
        }
        Format::Text => {
            let words = |words: &[String]| if words.is_empty() { "-".to_owned() } else { words.join(", ") };
            let mut rows = vec![
                ("principal", principal.name.clone()),
                ("kind", principal.kind.to_string()),
                ("emails", words(&principal.emails)),
                ("groups", words(&principal.groups)),
                ("accounts", words(&accounts)),
            ];
            if let Some(suspended) = keyring.suspension(&principal.name) {
                rows.push(("suspended", suspended.to_string()));
            }
            let rows: Vec<Vec<String>> =
                rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
            write_table(out, &rows)?;
            for key in keys {
                writeln!(out)?;
                let mut rows = vec![
                    vec!["key".to_owned(), key.material.fingerprint()],
                    vec![
                        "format".to_owned(),
                        format!("{} ({})", key.id().scheme.name(), key.material.algorithm()),
                    ],
                    vec!["standing".to_owned(), standing(&key.standing(now), now)],
                ];
                let mut row = |name: &str, value: Option<String>| {
                    rows.extend(value.map(|value| vec![name.to_owned(), value]));
                };
                row("valid from", key.windows.begins().map(|at| at.to_string()));
                row("valid until", key.windows.ends().map(|at| at.to_string()));
                row("roles", (!key.roles.is_all()).then(|| key.roles.to_string()));
                row("revoked", key.revoked.as_ref().map(revoked_text));
                fido_rows(&key.fido, &mut row);
                row("place", Some(key.place.to_string()));
                write_table(out, &rows)?;
            }
            for authority in authorities {
                writeln!(out)?;
                show_authority(authority, now, out)?;
            }
        }
    }
    Ok(0)
}

fn show_authority(authority: &Authority, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: Option<String>| {
        rows.extend(value.map(|value| vec![name.to_owned(), value]));
    };
    row("authority", Some(authority.key.fingerprint()));
    row("format", Some(format!("ssh ({})", authority.key.algorithm())));
    row("standing", Some(standing(&authority.standing(now), now)));
    row("revoked", authority.revoked.as_ref().map(revoked_text));
    for scope in &authority.scopes {
        row("certifies", Some(text::escape(scope.patterns.join(", ").as_bytes())));
        row("serials", (!scope.serials.is_empty()).then(|| serials(scope).join(", ")));
        row("groups", (!scope.groups.is_empty()).then(|| scope.groups.join(", ")));
        row("valid from", scope.windows.begins().map(|at| at.to_string()));
        row("valid until", scope.windows.ends().map(|at| at.to_string()));
        fido_rows(&scope.fido, &mut row);
        row("place", Some(scope.place.to_string()));
    }
    write_table(out, &rows)
}
