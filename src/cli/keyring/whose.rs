//! `countersign keyring whose`.

use super::super::check::git_dir;
use super::super::common::{CliError, Format, write_table};
use super::apply::Ground;
use super::view::{revoked_text, standing};
use super::{load, print_json, read_key};
use crate::domain::{ObjectId, Timestamp, text};
use crate::git;
use crate::keyring::whose::{Owner, Query, QueryError, of_file, parse};
use crate::keyring::{Authority, Key, Keyring, Material};
use crate::service::{self, ExplainFault, ExplainRequest, Explanation, Snapshot, explain};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Which key.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
It takes every name that programs give a key: `SHA256:...`, the MD5 form with its colons, the
OpenPGP fingerprint of a key or subkey with blanks or without, a long key id, the public key's file
(`-` for standard input); and with --repo a commit or tag: whose signature is on it, and what that
is worth. A key id of 8 digits names nobody.

Examples:
  countersign keyring whose SHA256:hf9e7868RgiNCUdkmVmn8EqiXL/PcPkgPVzr3W6ELcM
  countersign keyring whose 0x0123456789ABCDEF
  countersign keyring whose id_ed25519.pub
  countersign keyring whose HEAD --repo .

Exits 0 when it is somebody's, and for a commit or tag when the signature counts; 1 when not; 2 for
a name that no key has; 3 when the repository cannot be read.")]
pub struct WhoseArgs {
    /// A fingerprint, a long key id, a public key's file, or a commit or tag.
    #[arg(value_name = "FINGERPRINT|KEYID|FILE|COMMIT")]
    pub name: String,
    /// The repository in which commits and tags are looked for.
    #[arg(long, value_name = "DIR")]
    pub repo: Option<PathBuf>,
}

pub(super) fn run(args: &WhoseArgs, config: &Path, ground: &mut Ground<'_>) -> Result<u8, CliError> {
    let keyring = &load(&ground.sources, ground.err)?;
    let config = ground.config.as_ref().map(|_| config);
    let Ground { now, format, out, .. } = ground;
    let (now, format) = (*now, *format);
    let usage = |why: String| {
        let shown = text::escape_short(args.name.as_bytes(), 100);
        CliError::usage(format!("`{shown}`: {why}"))
    };
    let parsed = parse(&args.name);
    if let Ok(query) = &parsed {
        let found = keyring.whose(query);
        // What could be a commit's id as well is one if no key is called so.
        let may_be_commit = args.repo.is_some() && matches!(query, Query::Fingerprint(_) | Query::KeyId(_));
        if !found.is_empty() || !may_be_commit {
            return answer(keyring, query, &found, now, format, out);
        }
    }
    let file = PathBuf::from(&args.name);
    if parsed == Err(QueryError::Unknown) && (args.name == "-" || file.is_file()) {
        let (material, _) =
            Material::from_file(&read_key(&file)?).map_err(|error| usage(error.to_string()))?;
        let query = of_file(&material);
        return answer(keyring, &query, &keyring.whose(&query), now, format, out);
    }
    match (&args.repo, parsed) {
        (Some(repo), _) => object(args, repo, keyring, config, format, out),
        (None, Err(error)) => Err(usage(format!("{error}; commits and tags are looked for in --repo DIR"))),
        (None, Ok(_)) => Err(usage(QueryError::Unknown.to_string())),
    }
}

fn answer(
    keyring: &Keyring,
    query: &Query,
    found: &[Owner<'_>],
    now: Timestamp,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let listed = keyring.listed_as_revoked(query);
    match format {
        Format::Json => {
            let owners: Vec<Value> = found.iter().map(|one| owner_json(keyring, query, *one, now)).collect();
            print_json(&json!({ "owners": owners, "revocation_lists": listed }), out)?;
        }
        Format::Text => {
            if found.is_empty() {
                writeln!(out, "nobody of the keyring has this key")?;
            }
            for (at, one) in found.iter().enumerate() {
                if at > 0 {
                    writeln!(out)?;
                }
                match one {
                    Owner::Key(key) => {
                        print_key(key, keyring.subkey_named(query, key), now, out)?;
                    }
                    Owner::Authority(authority) => print_authority(authority, now, out)?,
                }
            }
            if found.len() > 1 {
                writeln!(out, "\nseveral keys are called so: ask for the whole fingerprint")?;
            }
            for list in &listed {
                writeln!(out, "it is in the revocation list {list}")?;
            }
        }
    }
    Ok(u8::from(found.is_empty()))
}

fn print_key(key: &Key, subkey: Option<String>, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    let principal = &key.principal;
    let mut rows = vec![
        vec![
            "principal".to_owned(),
            format!("{}:{}", principal.kind, text::escape(principal.name.as_bytes())),
        ],
        vec!["key".to_owned(), key.material.fingerprint()],
    ];
    let mut row = |name: &str, value: Option<String>| {
        rows.extend(value.map(|value| vec![name.to_owned(), value]));
    };
    row("subkey", subkey);
    row("format", Some(format!("{} ({})", key.material.scheme().name(), key.material.algorithm())));
    row("groups", (!principal.groups.is_empty()).then(|| principal.groups.join(", ")));
    row("standing", Some(standing(&key.standing(now), now)));
    row("revoked", key.revoked.as_ref().map(revoked_text));
    row("place", Some(key.place.to_string()));
    write_table(out, &rows)
}

fn print_authority(authority: &Authority, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    let patterns = authority.scopes.iter().map(|scope| scope.patterns.join(", "));
    let patterns = patterns.collect::<Vec<_>>().join(" or ");
    let rows = [
        ("authority", authority.key.fingerprint()),
        ("certifies", text::escape(patterns.as_bytes())),
        ("standing", standing(&authority.standing(now), now)),
        ("place", authority.place.to_string()),
    ];
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    write_table(out, &rows)
}

fn owner_json(keyring: &Keyring, query: &Query, owner: Owner<'_>, now: Timestamp) -> Value {
    match owner {
        Owner::Key(key) => json!({
            "principal": key.principal.name,
            "kind": key.principal.kind.name(),
            "groups": key.principal.groups,
            "fingerprint": key.material.fingerprint(),
            "subkey": keyring.subkey_named(query, key),
            "format": key.material.scheme().name(),
            "standing": key.standing(now).name(),
            "file": key.place.file.to_string_lossy(),
            "line": key.place.line,
        }),
        Owner::Authority(authority) => json!({
            "authority": authority.key.fingerprint(),
            "standing": authority.standing(now).name(),
            "file": authority.place.file.to_string_lossy(),
            "line": authority.place.line,
        }),
    }
}

/// Whose signature is on a commit or tag.
fn object(
    args: &WhoseArgs,
    repo: &Path,
    keyring: &Keyring,
    config: Option<&Path>,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let usage = |why: String| CliError::usage(format!("error: {why}"));
    let git_dir = git_dir(repo).map_err(usage)?;
    let object = match ObjectId::parse(args.name.as_bytes()) {
        Ok(id) => id,
        Err(_) => git::command::rev_parse(&git_dir, &args.name).map_err(usage)?,
    };
    let snapshot;
    let ground = match config {
        // The gate's rules and its record of receipts as well.
        Some(config) => {
            snapshot = Snapshot::load(config).map_err(CliError::usage)?.0;
            service::Ground::Gate(&snapshot)
        }
        None => service::Ground::Keyring(keyring),
    };
    let request = ExplainRequest { git_dir: &git_dir, object, at: None, reference: None, with_git: false };
    let made = match explain(ground, &request) {
        Ok(made) => made,
        Err(ExplainFault::Object(why)) => return Err(usage(why)),
        Err(fault) => {
            let message = format!("nobody can tell whose signature it is: {fault}");
            return Err(CliError { message, code: 3 });
        }
    };
    print_object(&made, format, out)?;
    Ok(u8::from(!made.accepted()))
}

fn print_object(made: &Explanation, format: Format, out: &mut dyn Write) -> io::Result<()> {
    let principal = made.principal.as_ref();
    let named = principal.map(|one| format!("{}:{}", one.kind, text::escape(one.name.as_bytes())));
    // A signature that does not count proves nothing, and names whom it likes.
    let (proven, claimed) = if made.accepted() { (named, None) } else { (None, named) };
    if format == Format::Json {
        let document = json!({
            "object": made.object.to_string(),
            "kind": made.kind.name(),
            "counts": made.accepted(),
            "status": made.status_name(),
            "code": made.code(),
            "text": made.phrase(),
            "key": made.key.as_ref().map(|key| &key.text),
            "entry": made.entry,
            "signer": proven,
            "claims_to_be": claimed,
        });
        return print_json(&document, out);
    }
    let mut rows = vec![
        vec![made.kind.name().to_owned(), made.object.to_string()],
        vec!["signer".to_owned(), proven.unwrap_or_else(|| "nobody, as far as this proves".to_owned())],
    ];
    rows.extend(
        claimed.map(|name| vec!["it names".to_owned(), format!("a key of {name}, which proves nothing")]),
    );
    rows.extend(made.key.as_ref().map(|key| vec!["key".to_owned(), key.text.clone()]));
    rows.push(vec!["status".to_owned(), made.status_name().to_owned()]);
    rows.push(vec!["because".to_owned(), made.phrase()]);
    write_table(out, &rows)
}
