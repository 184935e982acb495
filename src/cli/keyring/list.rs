//! `countersign keyring list`.

use super::super::common::{CliError, Format, write_table};
use super::add::Kind;
use super::apply::Ground;
use super::view::{Uses, authority_json, key_json, revocation_json, revoked_text, standing};
use super::{load, print_json};
use crate::domain::{PrincipalKind, Timestamp, text};
use crate::keyring::{Authority, Key, Keyring, Sources, Standing};
use crate::signature::Scheme;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

/// Which keys to list.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = "\
Several conditions list what meets all of them; one that is repeated, what meets either.
LAST USED is when the gate last accepted a signature by the key, on a commit or a tag: `never`
since its record began, `unknown` where that cannot be read. What was adopted was never judged
and does not count.

Examples:
  countersign keyring list
  countersign keyring list --group sre --expiring 30d
  countersign keyring list --kind bot --never-used
  countersign keyring list --format-of openpgp --weak
  countersign keyring list --format json | jq '.keys[] | select(.standing == \"expired\")'

Exits 0 whatever it finds, 2 when the keyring does not load, 3 when nobody can tell what was
never used.")]
pub struct ListArgs {
    /// Only keys of members of this group; may be repeated.
    #[arg(long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,
    /// Only keys of this sort of actor; may be repeated.
    #[arg(long = "kind", value_enum, value_name = "KIND")]
    pub kinds: Vec<Kind>,
    /// Only keys of this format, or authorities; may be repeated.
    #[arg(long = "format-of", value_enum, value_name = "FORMAT")]
    pub formats: Vec<OfFormat>,
    /// Only keys that are good now and end within this time: 12h, 30d, 2w.
    #[arg(long, value_name = "WITHIN")]
    pub expiring: Option<Within>,
    /// Only keys that are too weak, or weaker than is advised.
    #[arg(long)]
    pub weak: bool,
    /// Only keys that are revoked, or will be.
    #[arg(long)]
    pub revoked: bool,
    /// Only keys of which no signature was ever accepted.
    #[arg(long)]
    pub never_used: bool,
}

/// What sort of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OfFormat {
    /// OpenSSH keys.
    Ssh,
    /// OpenPGP certificates.
    Openpgp,
    /// SSH certification authorities.
    Authority,
}

/// A span of time: `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within {
    /// How long, in seconds.
    pub seconds: i64,
}

impl std::str::FromStr for Within {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        const HELP: &str = "write a number and a unit: 12h, 30d, 2w";
        let unit = match written.as_bytes().last() {
            Some(b'h') => 3600,
            Some(b'd') => 86_400,
            Some(b'w') => 7 * 86_400,
            _ => return Err(HELP.to_owned()),
        };
        let number: u32 = written[..written.len() - 1].parse().map_err(|_| HELP.to_owned())?;
        Ok(Within { seconds: i64::from(number) * unit })
    }
}

impl ListArgs {
    fn is_filter(&self) -> bool {
        let ListArgs { groups, kinds, formats, expiring, weak, revoked, never_used } = self;
        !(groups.is_empty() && kinds.is_empty() && formats.is_empty() && expiring.is_none())
            || *weak
            || *revoked
            || *never_used
    }

    fn ends_soon(&self, standing: &Standing, now: Timestamp) -> bool {
        self.expiring.is_none_or(|within| match standing {
            Standing::Valid { until: Some(end) } => end.as_second() - now.as_second() <= within.seconds,
            _ => false,
        })
    }

    fn is_of(&self, format: OfFormat) -> bool {
        self.formats.is_empty() || self.formats.contains(&format)
    }

    fn wants(&self, key: &Key, uses: &Uses, now: Timestamp) -> bool {
        let standing = key.standing(now);
        let format = match key.material.scheme() {
            Scheme::Ssh => OfFormat::Ssh,
            Scheme::OpenPgp => OfFormat::Openpgp,
        };
        let kind = |kind: &Kind| PrincipalKind::from(*kind) == key.principal.kind;
        let weak = || matches!(standing, Standing::Weak { .. }) || key.material.advice(now).is_some();
        let revoked = || key.revoked.is_some() || matches!(standing, Standing::Revoked { .. });
        self.is_of(format)
            && (self.groups.is_empty() || self.groups.iter().any(|one| key.principal.groups.contains(one)))
            && (self.kinds.is_empty() || self.kinds.iter().any(kind))
            && self.ends_soon(&standing, now)
            && (!self.weak || weak())
            && (!self.revoked || revoked())
            && (!self.never_used || uses.last(&key.material.fingerprint()) == "never")
    }

    fn wants_authority(&self, authority: &Authority, uses: &Uses, now: Timestamp) -> bool {
        let standing = authority.standing(now);
        let gives = |group: &String| authority.scopes.iter().any(|scope| scope.groups.contains(group));
        let revoked = || authority.revoked.is_some() || matches!(standing, Standing::Revoked { .. });
        self.is_of(OfFormat::Authority)
            && self.kinds.is_empty()
            && (self.groups.is_empty() || self.groups.iter().any(gives))
            && self.ends_soon(&standing, now)
            && (!self.weak || matches!(standing, Standing::Weak { .. }))
            && (!self.revoked || revoked())
            && (!self.never_used || uses.last(&authority.key.fingerprint()) == "never")
    }
}

pub(super) fn run(args: &ListArgs, ground: &mut Ground<'_>) -> Result<u8, CliError> {
    let keyring = &load(&ground.sources, ground.err)?;
    let Ground { sources, config, now, format, out, err, .. } = ground;
    let (now, format) = (*now, *format);
    let uses = Uses::of(config.as_ref());
    if let (true, Uses::Unknown(why)) = (args.never_used, &uses) {
        let why = why.as_deref().unwrap_or("no configuration says where it is");
        let message = format!("nobody can tell which keys were never used: the record cannot be read: {why}");
        return Err(CliError { message, code: 3 });
    }
    let keys: Vec<&Key> = keyring.keys().iter().filter(|key| args.wants(key, &uses, now)).collect();
    let authorities: Vec<&Authority> =
        keyring.authorities().iter().filter(|one| args.wants_authority(one, &uses, now)).collect();
    match format {
        Format::Text if args.is_filter() && keys.is_empty() && authorities.is_empty() => {
            writeln!(out, "no key is like that")?;
        }
        Format::Text => {
            uses.excuse(err)?;
            list(keyring, &keys, &authorities, &uses, now, out)?;
            if !args.is_filter() {
                list_accounts(keyring, out)?;
                list_sources(sources, keyring, out)?;
            }
        }
        Format::Json => {
            let keys: Vec<Value> = keys.iter().map(|key| key_json(key, &uses, now)).collect();
            let authorities: Vec<Value> =
                authorities.iter().map(|one| authority_json(one, &uses, now)).collect();
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
    let all = keyring.account_holders();
    all.map(|(one, accounts)| (one.name.as_str(), accounts.iter().map(ToString::to_string).collect()))
}

fn list(
    keyring: &Keyring,
    keys: &[&Key],
    authorities: &[&Authority],
    uses: &Uses,
    now: Timestamp,
    out: &mut dyn Write,
) -> io::Result<()> {
    if keys.is_empty() && authorities.is_empty() && with_accounts(keyring).next().is_none() {
        return writeln!(
            out,
            "the keyring is empty; add a key with `countersign keyring add NAME --key FILE`"
        );
    }
    let head = ["PRINCIPAL", "KIND", "GROUPS", "FORMAT", "FINGERPRINT", "LAST USED", "STANDING"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for key in keys {
        let principal = &key.principal;
        let groups = if principal.groups.is_empty() { "-".to_owned() } else { principal.groups.join(",") };
        let fingerprint = key.material.fingerprint();
        rows.push(vec![
            text::escape_short(principal.name.as_bytes(), 60),
            principal.kind.to_string(),
            groups,
            key.material.scheme().name().to_owned(),
            fingerprint.clone(),
            uses.last_day(&fingerprint),
            standing(&key.standing(now), now),
        ]);
    }
    for authority in authorities {
        let patterns = authority.scopes.iter().map(|scope| scope.patterns.join(","));
        let patterns = patterns.collect::<Vec<_>>().join(" or ");
        let fingerprint = authority.key.fingerprint();
        rows.push(vec![
            text::escape_short(patterns.as_bytes(), 60),
            "authority".to_owned(),
            "-".to_owned(),
            "ssh".to_owned(),
            fingerprint.clone(),
            uses.last_day(&fingerprint),
            standing(&authority.standing(now), now),
        ]);
    }
    write_table(out, &rows)
}

fn list_accounts(keyring: &Keyring, out: &mut dyn Write) -> io::Result<()> {
    let mut rows = vec![["PRINCIPAL", "ACCOUNTS"].map(str::to_owned).to_vec()];
    rows.extend(with_accounts(keyring).map(|(name, accounts)| vec![name.to_owned(), accounts.join(", ")]));
    if rows.len() > 1 {
        writeln!(out)?;
        write_table(out, &rows)?;
    }
    Ok(())
}
