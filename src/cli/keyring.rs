//! `countersign keyring`: who owns which key.

use super::common::{CliError, Format, write_table};
use crate::config;
use crate::domain::{PrincipalKind, Timestamp, text};
use crate::keyring::{
    self, AddRequest, AllowedSigners, Authority, FidoDemands, ImportRequest, ImportedFile, Key, Keyring,
};
use crate::keyring::{LoadedKeyring, Material, Revocation, Scope, Sources, Standing};
use crate::signature::{Demand, ssh};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Show and change who owns which key.
#[derive(Clone, Debug, clap::Args)]
pub struct KeyringArgs {
    /// The keyring's directory; by default the one that the configuration names.
    #[arg(long, value_name = "DIR", global = true)]
    pub keyring: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: KeyringCommand,
}

/// What to do with the keyring.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum KeyringCommand {
    /// Add a public key, and if need be its owner.
    #[command(after_help = "\
Examples:
  countersign keyring add alice --email alice@example.org --group sre --key id_ed25519.pub
  gpg --export --armor alice@example.org | countersign keyring add alice --key -
  countersign keyring add renovate --kind bot --key renovate.pub

The key is an OpenSSH public key, or an OpenPGP certificate, armored or binary. Adding a key again
changes nothing; adding a newer copy of an OpenPGP certificate updates it. A running daemon takes the
change over when it reloads.")]
    Add(AddArgs),
    /// Write what a file of another program says into the keyring.
    #[command(after_help = "\
Examples:
  countersign keyring import --allowed-signers ~/.config/git/allowed_signers --dry-run
  countersign keyring import --allowed-signers allowed_signers --group sre --timezone UTC
  countersign keyring import --allowed-signers allowed_signers --name 'a.smith@example.org=alice'

Each line becomes a `[[key]]` of the principal that it names, who is created if need be and called after
the part of the address before the `@`; lines with `cert-authority` become `[[authority]]` tables. What
is there already is left alone. One fault refuses the whole file. To go on using the file as it is, name
it in the configuration instead: `[[keyring.allowed-signers]]`.")]
    Import(ImportArgs),
    /// List every key and authority: whose it is and what it is worth.
    #[command(after_help = "\
Examples:
  countersign keyring list
  countersign keyring list --format json | jq '.keys[] | select(.standing == \"expired\")'")]
    List,
    /// Show one principal and its keys.
    #[command(after_help = "\
Example:
  countersign keyring show alice")]
    Show(ShowArgs),
}

/// What to add, and to whom.
#[derive(Clone, Debug, clap::Args)]
pub struct AddArgs {
    /// The principal's name: lower-case letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// An address of the principal; may be repeated.
    #[arg(long = "email", value_name = "ADDRESS")]
    pub emails: Vec<String>,
    /// A group to join, for selectors such as `group:sre`; may be repeated.
    #[arg(long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,
    /// What sort of actor this is; `person` unless said otherwise.
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,
    /// The file with the public key; `-` reads it from standard input.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
}

/// What to import, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct ImportArgs {
    /// The file; `-` reads it from standard input.
    pub file: PathBuf,
    /// It is in OpenSSH's `allowed_signers` format.
    #[arg(long, required = true)]
    pub allowed_signers: bool,
    /// Show what would be written, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// A group that new principals join, and that holders of certificates get; may be repeated.
    #[arg(long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,
    /// The zone of times that name none: `UTC`, or a name such as `Europe/Berlin`.
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// How somebody is to be called; may be repeated.
    #[arg(long = "name", value_name = "PRINCIPAL=NAME")]
    pub names: Vec<String>,
    /// The principal in whose file authorities are written.
    #[arg(long, value_name = "NAME", default_value = "ssh-authorities")]
    pub authorities: String,
}

/// Whom to show.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowArgs {
    /// The principal's name.
    pub name: String,
}

/// What sort of actor a principal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A human being.
    Person,
    /// Automation on a schedule or on events.
    Bot,
    /// Automation on its own judgement.
    Agent,
    /// A forge's own key.
    Forge,
}

impl From<Kind> for PrincipalKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Person => PrincipalKind::Person,
            Kind::Bot => PrincipalKind::Bot,
            Kind::Agent => PrincipalKind::Agent,
            Kind::Forge => PrincipalKind::Forge,
        }
    }
}

/// Runs `countersign keyring ...`; gives the exit code.
///
/// # Errors
/// Code 2 where the configuration or the keyring does not load, or the key cannot be added.
pub fn run(
    args: &KeyringArgs,
    config_path: &Path,
    format: Format,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, CliError> {
    let now = Timestamp::now();
    let sources = match &args.keyring {
        Some(dir) => Sources::directory(dir),
        None => config::load(config_path).map_err(CliError::usage)?.config.keyring,
    };
    match &args.command {
        KeyringCommand::Add(add) => run_add(add, &sources, now, format, out, err),
        KeyringCommand::Import(import) => run_import(import, &sources, format, out),
        KeyringCommand::List => {
            let keyring = load(&sources, err)?;
            let keys: Vec<&Key> = keyring.keys().iter().collect();
            match format {
                Format::Text => {
                    list(&keys, keyring.authorities(), now, out)?;
                    list_sources(&sources, &keyring, out)?;
                }
                Format::Json => {
                    let keys: Vec<Value> = keys.iter().map(|key| key_json(key, now)).collect();
                    let authorities = keyring.authorities().iter();
                    let authorities: Vec<Value> = authorities.map(|one| authority_json(one, now)).collect();
                    let all = json!({ "digest": keyring.digest(), "keys": keys, "authorities": authorities,
                        "sources": sources_json(&sources, &keyring) });
                    print_json(&all, out)?;
                }
            }
            Ok(0)
        }
        KeyringCommand::Show(show) => run_show(show, &sources, &load(&sources, err)?, now, format, out),
    }
}

fn load(sources: &Sources, err: &mut dyn Write) -> Result<Keyring, CliError> {
    let LoadedKeyring { keyring, warnings } = Keyring::load(sources).map_err(CliError::usage)?;
    for warning in warnings {
        writeln!(err, "{warning}")?;
    }
    Ok(keyring)
}

fn run_add(
    args: &AddArgs,
    sources: &Sources,
    now: Timestamp,
    format: Format,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, CliError> {
    let request = AddRequest {
        name: args.name.clone(),
        kind: args.kind.map(PrincipalKind::from),
        emails: args.emails.clone(),
        groups: args.groups.clone(),
        key: read_key(&args.key)?,
    };
    let shown = text::escape(args.key.as_os_str().as_encoded_bytes());
    let added = keyring::add(sources, &request, now).map_err(|error| match error {
        keyring::EditError::Key(error) => CliError::usage(format!("`{shown}`: {error}")),
        error => CliError::usage(error),
    })?;
    for warning in &added.warnings {
        writeln!(err, "warning: {warning}")?;
    }
    match format {
        Format::Json => print_json(
            &json!({
                "principal": args.name,
                "file": added.path.to_string_lossy(),
                "format": added.scheme.name(),
                "fingerprint": added.fingerprint,
                "created": added.created,
                "key_added": added.key_added,
                "key_updated": added.key_updated,
                "changed": added.changed,
                "warnings": added.warnings,
            }),
            out,
        )?,
        Format::Text => {
            let (name, scheme, key) = (&args.name, added.scheme.name(), &added.fingerprint);
            if added.created {
                writeln!(out, "created `{name}` with {scheme} key {key}")?;
            } else if added.key_added {
                writeln!(out, "added {scheme} key {key} to `{name}`")?;
            } else if added.key_updated {
                writeln!(out, "updated {scheme} key {key} of `{name}`")?;
            } else if added.changed {
                writeln!(out, "updated `{name}`, who has {scheme} key {key} already")?;
            } else {
                writeln!(out, "`{name}` has {scheme} key {key} already; nothing to do")?;
            }
            if added.changed {
                writeln!(out, "wrote {}", text::escape(added.path.as_os_str().as_encoded_bytes()))?;
            }
        }
    }
    Ok(0)
}

/// Reads at most one byte more than a key may have; the rest would be refused anyway.
fn read_key(path: &Path) -> Result<Vec<u8>, CliError> {
    read_input(path, Material::MAX_LEN as u64 + 1)
}

fn read_input(path: &Path, limit: u64) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    match read {
        Ok(_) => Ok(bytes),
        Err(error) => {
            let shown = text::escape(path.as_os_str().as_encoded_bytes());
            Err(CliError::usage(format!("cannot read `{shown}`: {error}")))
        }
    }
}

fn run_import(
    args: &ImportArgs,
    sources: &Sources,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let zone = match args.timezone.as_deref() {
        None => None,
        Some("UTC") => Some(TimeZone::UTC),
        Some(name) => Some(TimeZone::get(name).map_err(|_| {
            let shown = text::escape_short(name.as_bytes(), 60);
            CliError::usage(format!("`{shown}` is no time zone that is known here"))
        })?),
    };
    let mut names = BTreeMap::new();
    for pair in &args.names {
        let shown = text::escape_short(pair.as_bytes(), 60);
        let help = || CliError::usage(format!("`{shown}`: write --name 'a.smith@example.org=alice'"));
        let (principal, name) = pair.rsplit_once('=').ok_or_else(help)?;
        names.insert(principal.to_owned(), name.to_owned());
    }
    let limit = ssh::allowed_signers::MAX_FILE as u64 + 1;
    let request = ImportRequest {
        file: AllowedSigners { path: args.file.clone(), groups: args.groups.clone(), zone },
        bytes: read_input(&args.file, limit)?,
        names,
        authorities: args.authorities.clone(),
        dry_run: args.dry_run,
    };
    let done = keyring::import(sources, &request).map_err(CliError::usage)?;
    let shown = |path: &Path| text::escape(path.as_os_str().as_encoded_bytes());
    match format {
        Format::Json => {
            let file = |file: &ImportedFile| {
                json!({
                    "principal": file.name,
                    "file": file.path.to_string_lossy(),
                    "created": file.created,
                    "added": file.added,
                    "text": file.text,
                })
            };
            let document = json!({
                "written": !args.dry_run && !done.files.is_empty(),
                "files": done.files.iter().map(file).collect::<Vec<_>>(),
                "unchanged": done.unchanged,
                "skipped_lines": done.skipped,
            });
            print_json(&document, out)?;
        }
        Format::Text => {
            for file in &done.files {
                let verb = match (args.dry_run, file.created) {
                    (true, true) => "would create",
                    (true, false) => "would change",
                    (false, true) => "created",
                    (false, false) => "changed",
                };
                let path = shown(&file.path);
                writeln!(
                    out,
                    "{verb} {path}: {} more",
                    if file.added == 1 { "1 key".to_owned() } else { format!("{} keys", file.added) }
                )?;
                if args.dry_run {
                    writeln!(out, "{}", file.text)?;
                }
            }
            if !done.skipped.is_empty() {
                let lines: Vec<String> = done.skipped.iter().map(ToString::to_string).collect();
                writeln!(out, "left out, because they are not for git: lines {}", lines.join(", "))?;
            }
            if done.files.is_empty() {
                writeln!(out, "nothing to do: {} lines are in the keyring already", done.unchanged)?;
            }
        }
    }
    Ok(0)
}

fn run_show(
    args: &ShowArgs,
    sources: &Sources,
    keyring: &Keyring,
    now: Timestamp,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let principal = keyring.principal(&args.name).map_err(|near| {
        let shown = text::escape_short(args.name.as_bytes(), 60);
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        CliError { message: format!("there is nobody called `{shown}` in the keyring{hint}"), code: 1 }
    })?;
    let keys: Vec<&Key> = keyring.keys().iter().filter(|key| key.principal.name == principal.name).collect();
    // An authority is nobody's key; it is shown with the file that it stands in.
    let file = sources.dir.join(format!("{}.toml", principal.name));
    let authorities = keyring.authorities().iter().filter(|one| one.place.file == file);
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
                    "keys": keys,
                    "authorities": authorities,
                }),
                out,
            )?;
        }
        Format::Text => {
            let words = |words: &[String]| if words.is_empty() { "-".to_owned() } else { words.join(", ") };
            let rows = [
                ("principal", principal.name.clone()),
                ("kind", principal.kind.to_string()),
                ("emails", words(&principal.emails)),
                ("groups", words(&principal.groups)),
            ];
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

fn revoked_text(revoked: &Revocation) -> String {
    let from = revoked.refused_from();
    let from = from.map_or_else(|| "always".to_owned(), |from| format!("from {from}"));
    format!("{}, refused {from}", revoked.reason)
}

/// What an entry asks of FIDO signatures, where it says anything.
fn fido_rows(fido: &FidoDemands, row: &mut dyn FnMut(&str, Option<String>)) {
    row("touch", fido.touch.map(|demand| demand.name().to_owned()));
    row("user verification", fido.user_verification.map(|demand| demand.name().to_owned()));
    row("applications", fido.applications.as_ref().map(|names| text::escape(names.join(", ").as_bytes())));
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

fn serials(scope: &Scope) -> Vec<String> {
    let one = |range: &std::ops::RangeInclusive<u64>| match (range.start(), range.end()) {
        (from, to) if from == to => from.to_string(),
        (from, to) => format!("{from}-{to}"),
    };
    scope.serials.iter().map(one).collect()
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

fn revocation_json(revoked: &Revocation) -> Value {
    json!({
        "at": revoked.at.map(|at| at.to_string()),
        "effective_from": revoked.effective_from.map(|at| at.to_string()),
        "reason": revoked.reason.name(),
    })
}

fn fido_json(fido: &FidoDemands) -> Value {
    json!({
        "touch": fido.touch.map(Demand::name),
        "user_verification": fido.user_verification.map(Demand::name),
        "applications": fido.applications,
    })
}

fn list(keys: &[&Key], authorities: &[Authority], now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    if keys.is_empty() && authorities.is_empty() {
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
    write_table(out, &rows)
}

fn authority_json(authority: &Authority, now: Timestamp) -> Value {
    let standing = authority.standing(now);
    let scopes = authority.scopes.iter().map(|scope| {
        json!({
            "principals": scope.patterns,
            "groups": scope.groups,
            "serials": serials(scope),
            "valid_from": scope.windows.begins().map(|at| at.to_string()),
            "valid_until": scope.windows.ends().map(|at| at.to_string()),
            "fido": fido_json(&scope.fido),
            "file": scope.place.file.to_string_lossy(),
            "line": scope.place.line,
        })
    });
    json!({
        "fingerprint": authority.key.fingerprint(),
        "algorithm": authority.key.algorithm(),
        "standing": standing.name(),
        "standing_text": standing.to_string(),
        "revoked": authority.revoked.as_ref().map(|revoked| revoked.reason.name()),
        "scopes": scopes.collect::<Vec<_>>(),
    })
}

/// The standing as people plan by it: in days.
fn standing(standing: &Standing, now: Timestamp) -> String {
    let Standing::Valid { until: Some(at) } = standing else { return standing.to_string() };
    match (at.as_second() - now.as_second()) / 86_400 {
        0 => "valid, expires today".to_owned(),
        1 => "valid, expires in 1 day".to_owned(),
        days => format!("valid, expires in {days} days"),
    }
}

fn key_json(key: &Key, now: Timestamp) -> Value {
    let standing = key.standing(now);
    let until = match &standing {
        Standing::Valid { until } => until.map(|at| at.to_string()),
        _ => None,
    };
    json!({
        "principal": key.principal.name,
        "kind": key.principal.kind.name(),
        "groups": key.principal.groups,
        "format": key.material.scheme().name(),
        "algorithm": key.material.algorithm(),
        "fingerprint": key.material.fingerprint(),
        "standing": standing.name(),
        "standing_text": standing.to_string(),
        "expires": until,
        "valid_from": key.windows.begins().map(|at| at.to_string()),
        "valid_until": key.windows.ends().map(|at| at.to_string()),
        "revoked": key.revoked.as_ref().map(revocation_json),
        "fido": fido_json(&key.fido),
        "file": key.place.file.to_string_lossy(),
        "line": key.place.line,
    })
}

fn print_json(value: &Value, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{value:#}")
}
