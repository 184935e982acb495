//! `countersign keyring list`.

use super::super::common::{CliError, Format, write_table};
use super::print_json;
use super::view::{authority_json, key_json, revocation_json, revoked_text, standing};
use crate::domain::{Timestamp, text};
use crate::keyring::{Key, Keyring, Sources};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

/// What to list.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  countersign keyring list
  countersign keyring list --format json | jq '.keys[] | select(.standing == \"expired\")'")]
pub struct ListArgs {}

pub(super) fn run(
    _args: &ListArgs,
    sources: &Sources,
    keyring: &Keyring,
    now: Timestamp,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let keys: Vec<&Key> = keyring.keys().iter().collect();
    match format {
        Format::Text => {
            list(keyring, &keys, now, out)?;
            list_sources(sources, keyring, out)?;
        }
        Format::Json => {
            let keys: Vec<Value> = keys.iter().map(|key| key_json(key, now)).collect();
            let authorities = keyring.authorities().iter();
            let authorities: Vec<Value> = authorities.map(|one| authority_json(one, now)).collect();
            let accounts: BTreeMap<&str, Vec<String>> = with_accounts(keyring).collect();
            let all = json!({
                "digest": keyring.digest(),
                "keys": keys,
                "authorities": authorities,
                "accounts": accounts,
                "sources": sources_json(sources, keyring),
            });
            print_json(&all, out)?;
        }
    }
    Ok(0)
}

/// How many keys and authorities a file of lines gives.
fn given_by(file: &Path, keyring: &Keyring) -> (usize, usize) {
    let keys = keyring.keys().iter().filter(|key| key.place.file == file);
    (keys.count(), keyring.authorities().iter().filter(|one| one.place.file == file).count())
}

/// The files beside the directory, and what each is worth.
fn list_sources(sources: &Sources, keyring: &Keyring, out: &mut dyn Write) -> io::Result<()> {
    if sources.allowed_signers.is_empty() && sources.revocations.is_empty() {
        return Ok(());
    }
    let shown = |path: &Path| text::escape(path.as_os_str().as_encoded_bytes());
    let count = |number: usize, one: &str, many: &str| match number {
        1 => format!("1 {one}"),
        number => format!("{number} {many}"),
    };
    let mut rows = vec![["SOURCE", "KIND", "GIVES"].map(str::to_owned).to_vec()];
    for file in &sources.allowed_signers {
        let (keys, authorities) = given_by(&file.path, keyring);
        let groups = if file.groups.is_empty() {
            String::new()
        } else {
            format!("; groups {}", file.groups.join(","))
        };
        let gives = format!(
            "{}, {}{groups}",
            count(keys, "key", "keys"),
            count(authorities, "authority", "authorities")
        );
        rows.push(vec![shown(&file.path), "allowed signers".to_owned(), gives]);
    }
    for (path, revocation, list) in keyring.revocation_lists() {
        let gives = format!("{}: {}", count(list.len(), "entry", "entries"), revoked_text(revocation));
        rows.push(vec![shown(path), "revocation list".to_owned(), gives]);
    }
    writeln!(out)?;
    write_table(out, &rows)
}

fn sources_json(sources: &Sources, keyring: &Keyring) -> Value {
    let lines = sources.allowed_signers.iter().map(|file| {
        let (keys, authorities) = given_by(&file.path, keyring);
        json!({
            "path": file.path.to_string_lossy(),
            "groups": file.groups,
            "timezone": file.zone.as_ref().and_then(|zone| zone.iana_name()),
            "keys": keys,
            "authorities": authorities,
        })
    });
    let lists = keyring.revocation_lists().map(|(path, revocation, list)| {
        let header = list.header();
        json!({
            "path": path.to_string_lossy(),
            "revocation": revocation_json(revocation),
            "entries": list.len(),
            "version": header.version,
            "generated": header.generated,
            "comment": header.comment,
            "signed_by": header.signed_by,
        })
    });
    json!({
        "directory": sources.dir.to_string_lossy(),
        "allowed_signers": lines.collect::<Vec<_>>(),
        "revocation_lists": lists.collect::<Vec<_>>(),
    })
}

/// The principals that have accounts, and those.
fn with_accounts(keyring: &Keyring) -> impl Iterator<Item = (&str, Vec<String>)> {
    let named = keyring.principals().iter().map(|principal| principal.name.as_str());
    let listed =
        named.map(|name| (name, keyring.accounts_of(name).map(ToString::to_string).collect::<Vec<_>>()));
    listed.filter(|(_, accounts)| !accounts.is_empty())
}

fn list(keyring: &Keyring, keys: &[&Key], now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    let authorities = keyring.authorities();
    if keys.is_empty() && authorities.is_empty() && with_accounts(keyring).next().is_none() {
        return writeln!(
            out,
            "the keyring is empty; add a key with `countersign keyring add NAME --key FILE`"
        );
    }
    let head = ["PRINCIPAL", "KIND", "GROUPS", "FORMAT", "FINGERPRINT", "STANDING"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for key in keys {
        let principal = &key.principal;
        let groups = if principal.groups.is_empty() { "-".to_owned() } else { principal.groups.join(",") };
        rows.push(vec![
            text::escape_short(principal.name.as_bytes(), 60),
            principal.kind.to_string(),
            groups,
            key.material.scheme().name().to_owned(),
            key.material.fingerprint(),
            standing(&key.standing(now), now),
        ]);
    }
    for authority in authorities {
        let patterns = authority.scopes.iter().map(|scope| scope.patterns.join(","));
        let patterns = patterns.collect::<Vec<_>>().join(" or ");
        rows.push(vec![
            text::escape_short(patterns.as_bytes(), 60),
            "authority".to_owned(),
            "-".to_owned(),
            "ssh".to_owned(),
            authority.key.fingerprint(),
            standing(&authority.standing(now), now),
        ]);
    }
    write_table(out, &rows)?;
    let mut rows = vec![["PRINCIPAL", "ACCOUNTS"].map(str::to_owned).to_vec()];
    rows.extend(with_accounts(keyring).map(|(name, accounts)| vec![name.to_owned(), accounts.join(", ")]));
    if rows.len() > 1 {
        writeln!(out)?;
        write_table(out, &rows)?;
    }
    Ok(())
}
