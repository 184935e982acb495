//! `countersign keyring rotate` and `refresh`.

use super::super::common::CliError;
use super::apply::{Action, ChangeArgs, Ground, key_ref};
use super::read_key;
use super::revoke::time;
use crate::domain::text;
use crate::keyring::{self, RotateRequest, Until};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What takes the place of what.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign keyring rotate alice --key new.pub
  countersign keyring rotate alice --key new.pub --grace 12h --reason 'new laptop'
  countersign keyring rotate contractor --key new.pub --until 2026-12-31T00:00:00Z
  countersign keyring rotate alice --key new.asc --old 4F1D2C3B4F1D2C3B --grace 0

The new key counts at once, and is good for no more than the old one: it has its roles, its end, and what
is asked of it as a FIDO key, of several the strictest. The old one counts until the grace is over
(`valid-until`), and what it signed before stays good. Where the principal has several keys, --old says
which ends. Running it again changes nothing: an end is never put off.")]
pub struct RotateArgs {
    /// Whose.
    pub name: String,
    /// The file with the new public key; `-` reads it from standard input.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// A key that ends: a fingerprint, its first eight characters or more, a key id, or a file; may be repeated.
    #[arg(long, value_name = "KEY")]
    pub old: Vec<String>,
    /// How long the old key still counts: 7d, 12h, 30m, or 0.
    #[arg(long, value_name = "TIME", default_value = "7d")]
    pub grace: String,
    /// When the new key ends: a time, or `never` [default: as the old one]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Let a key that is no FIDO key take the place of one that is.
    #[arg(long)]
    pub without_fido: bool,
    /// How.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// A newer copy of a certificate.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign keyring refresh alice --key alice.asc
  gpg --export --armor alice@example.org | countersign keyring refresh alice --key - --dry-run

The same OpenPGP certificate with a later expiry, another subkey or a revocation takes the place of the
copy that is there; what the entry says besides stays. A copy that lacks a revocation is refused.")]
pub struct RefreshArgs {
    /// Whose.
    pub name: String,
    /// The file with the certificate; `-` reads it from standard input.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// How.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// A span such as `7d`; a number alone is an error, except nothing.
fn grace(written: &str) -> Result<SignedDuration, CliError> {
    let digits = written.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = written.split_at(digits);
    let scale = match unit {
        "d" => Some(86_400),
        "h" => Some(3_600),
        "m" => Some(60),
        "s" => Some(1),
        "" if number == "0" => Some(1),
        _ => None,
    };
    let seconds = number.parse::<i64>().ok().zip(scale).and_then(|(number, scale)| number.checked_mul(scale));
    seconds.map(SignedDuration::from_secs).ok_or_else(|| {
        let shown = text::escape_short(written.as_bytes(), 60);
        CliError::usage(format!("--grace `{shown}`: write 7d, 12h, 30m or 0"))
    })
}

/// An error about the key names its file.
fn about(path: &std::path::Path, error: keyring::EditError) -> keyring::EditError {
    match error {
        keyring::EditError::Key(error) => {
            let shown = text::escape(path.as_os_str().as_encoded_bytes());
            keyring::EditError::Invalid(format!("`{shown}`: {error}"))
        }
        error => error,
    }
}

pub(super) fn run(args: &RotateArgs, ground: &mut Ground<'_>) -> Result<u8, CliError> {
    let request = RotateRequest {
        name: args.name.clone(),
        key: read_key(&args.key)?,
        old: args.old.iter().map(|key| key_ref(key)).collect::<Result<_, _>>()?,
        grace: grace(&args.grace)?,
        until: match args.until.as_deref() {
            None => Until::Inherited,
            Some("never") => Until::Never,
            Some(_) => time("--until", args.until.as_ref())?.map_or(Until::Inherited, Until::At),
        },
        without_fido: args.without_fido,
    };
    let action = Action::of("rotate", &args.change);
    let done = ground.change(action, |sources, options| {
        keyring::rotate(sources, &request, options).map_err(|error| about(&args.key, error))
    })?;
    let (name, rotated, dry) = (&args.name, &done.value, args.change.dry_run);
    for warning in &rotated.warnings {
        writeln!(ground.err, "warning: {warning}")?;
    }
    let scheme = rotated.scheme.name();
    let mut said = Vec::new();
    said.push(match (rotated.added, dry) {
        (true, false) => format!("added {scheme} key {} to `{name}`", rotated.new),
        (true, true) => format!("would add {scheme} key {} to `{name}`", rotated.new),
        (false, _) => format!("`{name}` has {scheme} key {} already", rotated.new),
    });
    if let (true, Some(until)) = (rotated.added, rotated.until) {
        said.push(format!("  it ends at {until}"));
    }
    for old in &rotated.old {
        let (fingerprint, until) = (&old.fingerprint, old.until);
        said.push(match (old.changed, dry) {
            (true, false) => format!("key {fingerprint} counts until {until}"),
            (true, true) => format!("key {fingerprint} would count until {until}"),
            (false, _) => format!("key {fingerprint} counts until {until} already"),
        });
    }
    let old: Vec<Value> = rotated
        .old
        .iter()
        .map(|old| {
            json!({
                "fingerprint": old.fingerprint,
                "valid_until": old.until.to_string(),
                "changed": old.changed,
            })
        })
        .collect();
    let details = json!({
        "principal": name,
        "new": { "fingerprint": rotated.new, "format": scheme, "added": rotated.added,
            "valid_until": rotated.until.map(|at| at.to_string()) },
        "old": old,
        "warnings": rotated.warnings,
    });
    ground.report(action, &done, &said, details)
}

pub(super) fn refresh(args: &RefreshArgs, ground: &mut Ground<'_>) -> Result<u8, CliError> {
    let bytes = read_key(&args.key)?;
    let action = Action::of("refresh", &args.change);
    let done = ground.change(action, |sources, options| {
        keyring::refresh(sources, &args.name, &bytes, options).map_err(|error| about(&args.key, error))
    })?;
    let (name, refreshed) = (&args.name, &done.value);
    for warning in &refreshed.warnings {
        writeln!(ground.err, "warning: {warning}")?;
    }
    let fingerprint = &refreshed.fingerprint;
    let mut said = vec![match (done.files.is_empty(), args.change.dry_run) {
        (true, _) => format!("`{name}` has this copy of {fingerprint} already; nothing to do"),
        (false, true) => format!("would refresh {fingerprint} of `{name}`"),
        (false, false) => format!("refreshed {fingerprint} of `{name}`"),
    }];
    said.extend(refreshed.changes.iter().map(|change| format!("  {change}")));
    if !done.files.is_empty() && refreshed.changes.is_empty() {
        said.push("  it says nothing new that counts".to_owned());
    }
    let details = json!({
        "principal": name,
        "fingerprint": fingerprint,
        "changes": refreshed.changes,
        "warnings": refreshed.warnings,
    });
    ground.report(action, &done, &said, details)
}
