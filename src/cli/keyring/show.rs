//! `countersign keyring show`.

use super::super::common::{CliError, Format, write_table};
use super::apply::Ground;
use super::view::{
    Uses, authority_json, fido_rows, key_json, revoked_text, serials, standing, suspension_json,
};
use super::{load, print_json};
use crate::domain::{Principal, Timestamp, text};
use crate::keyring::lint::{days_until, in_days};
use crate::keyring::{Authority, Key, Keyring, Role, Standing};
use crate::service::{Ability, Naming, Waiving, abilities};
use serde_json::{Value, json};
use std::io::{self, Write};

/// Whom to show.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
With a configuration it also says what they may do: for each ruleset, whether it takes their
signature and on which refs, which rules and `protected-path` lists name them, and which bypasses
are theirs. What comes next is at the end: keys that begin and end, bypasses that end.

Examples:
  countersign keyring show alice
  countersign keyring show alice --format json | jq '.abilities[] | .ruleset, .signs'

Exits 0, 1 when there is nobody of that name, 2 when keyring or configuration do not load.")]
pub struct ShowArgs {
    /// The principal's name.
    pub name: String,
}

/// Something that will happen by itself.
struct Event {
    at: Timestamp,
    what: String,
}

pub(super) fn run(args: &ShowArgs, ground: &mut Ground<'_>) -> Result<u8, CliError> {
    let keyring = &load(&ground.sources, ground.err)?;
    let Ground { sources, config, now, format, out, err, .. } = ground;
    let (now, format) = (*now, *format);
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
    let authorities: Vec<&Authority> =
        keyring.authorities().iter().filter(|one| one.place.file == file).collect();
    let accounts: Vec<String> = keyring.accounts_of(&principal.name).map(ToString::to_string).collect();
    let suspended = keyring.suspension(&principal.name);
    let able = config.as_ref().map(|config| abilities(config, principal, now));
    let events = events(&keys, &authorities, able.as_deref().unwrap_or_default(), now);
    let uses = Uses::of(config.as_ref());
    let good = |key: &&Key| matches!(key.standing(now), Standing::Valid { .. });
    let can = |role| keys.iter().any(|key| good(key) && key.roles.has(role));
    match format {
        Format::Json => {
            let keys: Vec<Value> = keys.iter().map(|key| key_json(key, &uses, now)).collect();
            let authorities: Vec<Value> =
                authorities.iter().map(|one| authority_json(one, &uses, now)).collect();
            let next: Vec<Value> = events
                .iter()
                .map(|one| json!({ "at": one.at.to_string(), "days": days_until(one.at, now), "what": one.what }))
                .collect();
            print_json(
                &json!({
                    "principal": principal.name,
                    "kind": principal.kind.name(),
                    "emails": principal.emails,
                    "groups": principal.groups,
                    "accounts": accounts,
                    "suspended": suspended.map(suspension_json),
                    "keys": keys,
                    "authorities": authorities,
                    "can_sign": { "commit": can(Role::Commit), "tag": can(Role::Tag) },
                    "abilities": able,
                    "next": next,
                }),
                out,
            )?;
        }
        Format::Text => {
            uses.excuse(err)?;
            let (can_commit, can_tag) = (can(Role::Commit), can(Role::Tag));
            about(principal, &accounts, keyring, out)?;
            for key in keys {
                writeln!(out)?;
                show_key(key, &uses, now, out)?;
            }
            for authority in authorities {
                writeln!(out)?;
                show_authority(authority, now, out)?;
            }
            if let Some(able) = &able {
                let lacks: &str = match (can_commit, can_tag) {
                    (true, true) => "",
                    (true, false) => "; no key of theirs is good for tags now",
                    (false, true) => "; no key of theirs is good for commits now",
                    (false, false) => "; no key of theirs is good now",
                };
                writeln!(out, "\nwhat the rulesets say{lacks}")?;
                if able.is_empty() {
                    writeln!(out, "  there is no ruleset")?;
                }
                able.iter().try_for_each(|one| show_ability(one, out))?;
            }
            if !events.is_empty() {
                writeln!(out, "\nwhat comes next")?;
                let rows: Vec<Vec<String>> = events
                    .iter()
                    .map(|one| vec![format!("  {}", one.at), in_days(one.at, now), one.what.clone()])
                    .collect();
                write_table(out, &rows)?;
            }
        }
    }
    Ok(0)
}

fn about(
    principal: &Principal,
    accounts: &[String],
    keyring: &Keyring,
    out: &mut dyn Write,
) -> io::Result<()> {
    let words = |words: &[String]| if words.is_empty() { "-".to_owned() } else { words.join(", ") };
    let mut rows = vec![
        ("principal", principal.name.clone()),
        ("kind", principal.kind.to_string()),
        ("emails", words(&principal.emails)),
        ("groups", words(&principal.groups)),
        ("accounts", words(accounts)),
    ];
    rows.extend(keyring.suspension(&principal.name).map(|suspended| ("suspended", suspended.to_string())));
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    write_table(out, &rows)
}

fn show_key(key: &Key, uses: &Uses, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    let fingerprint = key.material.fingerprint();
    let mut rows = vec![
        vec!["key".to_owned(), fingerprint.clone()],
        vec!["format".to_owned(), format!("{} ({})", key.id().scheme.name(), key.material.algorithm())],
        vec!["standing".to_owned(), standing(&key.standing(now), now)],
    ];
    let mut row = |name: &str, value: Option<String>| {
        rows.extend(value.map(|value| vec![name.to_owned(), value]));
    };
    row("last used", Some(uses.last(&fingerprint)));
    row("roles", (!key.roles.is_all()).then(|| key.roles.to_string()));
    let several = key.windows.spans().len() > 1;
    for span in key.windows.spans() {
        row("valid from", span.from.map(|at| at.to_string()));
        row("valid until", span.until.map(|at| at.to_string()));
        if several && span.from.is_none() && span.until.is_none() {
            row("valid", Some("always".to_owned()));
        }
    }
    row("revoked", key.revoked.as_ref().map(revoked_text));
    fido_rows(&key.fido, &mut row);
    if let Some(certificate) = key.material.certificate() {
        for one in certificate.component_keys(now).iter().filter(|one| !one.primary) {
            row("subkey", Some(format!("{} ({}), {}", one.fingerprint, one.algorithm, one.standing)));
        }
    }
    row("place", Some(key.place.to_string()));
    write_table(out, &rows)
}

fn show_ability(one: &Ability, out: &mut dyn Write) -> io::Result<()> {
    let place = one.place.as_ref().map(|place| format!("  ({place})")).unwrap_or_default();
    let signs = match one.signs {
        "yes" => format!("takes their signature ({})", one.by),
        "no" => format!("does not take their signature ({})", one.by),
        _ => "asks for no signature".to_owned(),
    };
    writeln!(out, "  {} ({}): {signs}{place}", one.ruleset, one.enforcement)?;
    writeln!(out, "    repositories: {}", one.repositories.join(", "))?;
    writeln!(out, "    refs: {}", one.refs.join(", "))?;
    for Naming { rule, about, .. } in &one.named_by {
        writeln!(out, "    named by {rule}: {about}")?;
    }
    for Naming { rule, about, .. } in &one.kept_from {
        writeln!(out, "    not named by {rule}: {about}")?;
    }
    for Waiving { rules, proof, refs, expires, active, .. } in &one.bypasses {
        let refs = refs.as_ref().map(|refs| format!(", on {}", refs.join(", "))).unwrap_or_default();
        let until = match (expires, active) {
            (Some(time), true) => format!(", until {time}"),
            (Some(time), false) => format!(", expired {time}: does nothing"),
            (None, _) => ", without an end".to_owned(),
        };
        let proof = super::super::policy::proof(proof);
        writeln!(out, "    bypass of {}, {proof}{refs}{until}", rules.join(", "))?;
    }
    Ok(())
}

/// What will happen to the keys and bypasses if nobody does anything, the first thing first.
fn events(keys: &[&Key], authorities: &[&Authority], able: &[Ability], now: Timestamp) -> Vec<Event> {
    let mut all = Vec::new();
    let mut add = |at: Option<Timestamp>, what: String| {
        all.extend(at.filter(|at| *at > now).map(|at| Event { at, what }));
    };
    for key in keys {
        let fingerprint = key.material.fingerprint();
        let revoked_from = key.revoked.as_ref().map(|revoked| revoked.refused_from());
        let suspended_from = key.suspended.as_ref().map(|suspended| suspended.at);
        // What is refused already has nothing to come.
        if [revoked_from, suspended_from].into_iter().flatten().any(|from| from.is_none_or(|at| at <= now)) {
            continue;
        }
        add(revoked_from.flatten(), format!("{fingerprint} is revoked"));
        add(suspended_from.flatten(), "the principal is suspended".to_owned());
        for span in key.windows.spans() {
            add(span.from, format!("{fingerprint} begins to count"));
            add(span.until, format!("{fingerprint} ceases to count (`valid-until`)"));
        }
        let Some(certificate) = key.material.certificate() else { continue };
        let ends = certificate.ends(now);
        add(ends, format!("{fingerprint} expires"));
        for one in certificate.component_keys(now) {
            if let crate::signature::openpgp::Standing::Usable { until: Some(until) } = one.standing
                && !one.primary
                && ends.is_none_or(|ends| ends != until)
            {
                add(Some(until), format!("its subkey {} expires", one.fingerprint));
            }
        }
    }
    for authority in authorities {
        for scope in &authority.scopes {
            add(scope.windows.begins(), format!("authority {} begins", authority.key.fingerprint()));
            add(scope.windows.ends(), format!("authority {} ends", authority.key.fingerprint()));
        }
    }
    for (one, waiving) in able.iter().flat_map(|one| one.bypasses.iter().map(move |waiving| (one, waiving))) {
        let at = waiving.expires.as_ref().and_then(|time| time.parse().ok());
        add(at, format!("the bypass of {} in {} ends", waiving.rules.join(", "), one.ruleset));
    }
    all.sort_by(|a, b| (a.at, &a.what).cmp(&(b.at, &b.what)));
    all.dedup_by(|a, b| (a.at, &a.what) == (b.at, &b.what));
    all
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
        row("roles", (!scope.roles.is_all()).then(|| scope.roles.to_string()));
        row("valid from", scope.windows.begins().map(|at| at.to_string()));
        row("valid until", scope.windows.ends().map(|at| at.to_string()));
        fido_rows(&scope.fido, &mut row);
        row("place", Some(scope.place.to_string()));
    }
    write_table(out, &rows)
}
