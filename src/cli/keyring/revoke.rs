//! `countersign keyring revoke`, `suspend` and `resume`.

use super::super::common::CliError;
use super::apply::{Action, ChangeArgs, Ground, key_ref};
use super::view::{revocation_json, revoked_text};
use crate::domain::{Timestamp, text};
use crate::keyring::{self, Key, Reason, RevokeRequest, SuspendRequest, Suspended};
use serde_json::{Value, json};

/// What to revoke, and why.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign keyring revoke alice SHA256:9fKq2mPl --reason superseded
  countersign keyring revoke alice 4F1D2C3B --reason compromised --effective-from 2026-02-20T00:00:00Z
  countersign keyring revoke alice id_ed25519.pub --reason compromised --note 'laptop stolen, ticket 42'
  countersign keyring revoke alice --all --reason retired --dry-run

KEY is a fingerprint, its first eight characters or more, an OpenPGP key id, or a file with the key.
Superseded and retired keys are refused from --at on; what they signed before stays good. Compromised
ones are refused from --effective-from on, and without it always, and taint what they signed. Revoking
again changes nothing, and a revocation is never made weaker.")]
pub struct RevokeArgs {
    /// Whose key it is.
    pub name: String,
    /// The key.
    #[arg(value_name = "KEY", required_unless_present = "all")]
    pub key: Option<String>,
    /// All keys and authorities in the principal's file.
    #[arg(long, conflicts_with = "key")]
    pub all: bool,
    /// Why.
    #[arg(long, value_enum)]
    pub reason: RevocationReason,
    /// When it was learned [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Since when somebody else may have the key [default: always]
    #[arg(long, value_name = "TIME")]
    pub effective_from: Option<String>,
    /// A comment for the file and the audit log.
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Show what would change in the file, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Why a key is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RevocationReason {
    /// Another key took its place.
    Superseded,
    /// It is not used any more.
    Retired,
    /// Somebody else may have it.
    Compromised,
}

impl From<RevocationReason> for Reason {
    fn from(reason: RevocationReason) -> Self {
        match reason {
            RevocationReason::Superseded => Reason::Superseded,
            RevocationReason::Retired => Reason::Retired,
            RevocationReason::Compromised => Reason::Compromised,
        }
    }
}

/// Whom to suspend, and why.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign keyring suspend alice --reason 'laptop lost, ticket 42'
  countersign keyring suspend bot-7 --reason 'under investigation' --at 2026-03-01T09:00:00Z
  countersign keyring suspend carol@example.org --as carol --reason 'left'

Nothing of a suspended principal counts for what arrives from then on: no key, no certificate, no
account. What was received before stays good. `countersign keyring resume` takes it back; a key that
somebody else may have is to be revoked instead. Whom only lines of allowed_signers files name gets a
file of its own, which holds the suspension and outranks the lines.")]
pub struct SuspendArgs {
    /// Who: a name or an address.
    pub name: String,
    /// Why; it stands in the file and in the audit log.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// From when on [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// What somebody without a file is to be called [default: after the address]
    #[arg(long = "as", value_name = "NAME")]
    pub file_name: Option<String>,
    /// Suspend an address that nothing but an authority speaks for.
    #[arg(long)]
    pub certified: bool,
    /// Show what would change in the file, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Who counts again.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  countersign keyring resume alice --reason 'laptop found, disk was encrypted'

Revocations stay: this takes back a suspension and nothing else.")]
pub struct ResumeArgs {
    /// Who.
    pub name: String,
    /// How.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// A time as the command line has it.
pub(super) fn time(option: &str, written: Option<&String>) -> Result<Option<Timestamp>, CliError> {
    let Some(written) = written else { return Ok(None) };
    let shown = crate::domain::text::escape_short(written.as_bytes(), 60);
    let parsed = written.parse::<Timestamp>();
    parsed.map(Some).map_err(|_| {
        CliError::usage(format!("{option} `{shown}`: write a time with its zone, as 2026-01-31T12:00:00Z"))
    })
}

pub(super) fn run(args: &RevokeArgs, ground: &mut Ground<'_>) -> Result<u8, CliError> {
    let request = RevokeRequest {
        name: args.name.clone(),
        keys: args.key.as_deref().map(|key| key_ref(key).map(|key| vec![key])).transpose()?,
        reason: args.reason.into(),
        at: time("--at", args.at.as_ref())?,
        effective_from: time("--effective-from", args.effective_from.as_ref())?,
        note: args.note.clone(),
    };
    let why = match &args.note {
        Some(note) => format!("{}: {note}", request.reason),
        None => request.reason.name().to_owned(),
    };
    // A log that cannot be written must not keep a stolen key alive.
    let action =
        Action { name: "revoke", reason: Some(&why), dry_run: args.dry_run, local: true, urgent: true };
    let done = ground.change(action, |sources, options| keyring::revoke(sources, &request, options))?;
    let verb = if args.dry_run { "would revoke" } else { "revoked" };
    let said: Vec<String> = done
        .value
        .iter()
        .map(|key| {
            let (scheme, fingerprint) = (key.scheme.name(), &key.fingerprint);
            let state = revoked_text(&key.revocation);
            if key.changed {
                format!("{verb} {scheme} key {fingerprint} of `{}`: {state}", args.name)
            } else {
                format!("{scheme} key {fingerprint} of `{}` is revoked already: {state}", args.name)
            }
        })
        .collect();
    let keys: Vec<Value> = done
        .value
        .iter()
        .map(|key| {
            json!({
                "fingerprint": key.fingerprint,
                "format": key.scheme.name(),
                "changed": key.changed,
                "revoked": revocation_json(&key.revocation),
            })
        })
        .collect();
    // Lines of other files are not the keyring's to change.
    let file = ground.sources.dir.join(format!("{}.toml", args.name));
    let mut left = Vec::new();
    let ours = |key: &&Key| args.all && key.principal.name == args.name && key.place.file != file;
    for key in done.keyring.keys().iter().filter(ours).filter(|key| key.revoked.is_none()) {
        writeln!(
            ground.err,
            "warning: {} is a key of `{}` by {}, and is not revoked: take the line out or put the key into a \
             revocation list, or stop everything of `{1}` with `countersign keyring suspend`",
            key.id(),
            args.name,
            key.place
        )?;
        left.push(key.material.fingerprint());
    }
    let incomplete = !left.is_empty();
    let details = json!({ "principal": args.name, "keys": keys, "not_revoked": left });
    let code = ground.report(action, &done, &said, details)?;
    Ok(if code == 0 { u8::from(incomplete) } else { code })
}

pub(super) fn suspend(args: &SuspendArgs, ground: &mut Ground<'_>) -> Result<u8, CliError> {
    let request = SuspendRequest {
        name: args.name.clone(),
        at: time("--at", args.at.as_ref())?,
        reason: args.reason.clone(),
        file_name: args.file_name.clone(),
        certified: args.certified,
    };
    let action = Action {
        name: "suspend",
        reason: Some(&args.reason),
        dry_run: args.dry_run,
        local: true,
        urgent: true,
    };
    let done = ground.change(action, |sources, options| keyring::suspend(sources, &request, options))?;
    let Suspended { name, suspension, created, others } = &done.value;
    let mut said = vec![if done.files.is_empty() {
        format!("`{name}` is suspended already, {suspension}")
    } else if args.dry_run {
        format!("would suspend `{name}`, {suspension}")
    } else {
        format!("suspended `{name}`, {suspension}")
    }];
    let old = text::escape_short(args.name.as_bytes(), 60);
    let mut warnings = Vec::new();
    if *created {
        said.push(format!(
            "  `{name}` is a new file, for `{old}`, and the lines of other files are its lines by that"
        ));
        if *name != args.name && ground.config.is_some() {
            for naming in ground.namings(|naming| naming.names(&args.name))? {
                warnings.push(format!("`{old}` is called `{name}` from now on; change {naming}"));
            }
        }
    }
    for (fingerprint, owner) in others {
        let owner = text::escape_short(owner.as_bytes(), 60);
        warnings
            .push(format!("{fingerprint} of `{owner}` is suspended with it: its line has the same address"));
    }
    for warning in &warnings {
        writeln!(ground.err, "warning: {warning}")?;
    }
    let at = suspension.at.map(|at| at.to_string());
    let details = json!({
        "principal": name,
        "suspended": { "at": at, "reason": suspension.reason },
        "created": created,
        "warnings": warnings,
    });
    ground.report(action, &done, &said, details)
}

pub(super) fn resume(args: &ResumeArgs, ground: &mut Ground<'_>) -> Result<u8, CliError> {
    let action = Action::of("resume", &args.change);
    let done = ground.change(action, |sources, options| keyring::resume(sources, &args.name, options))?;
    let (name, was) = &done.value;
    let said = match was {
        None => format!("`{name}` is not suspended; nothing to do"),
        Some(was) if args.change.dry_run => format!("would let `{name}` count again, suspended {was}"),
        Some(was) => format!("`{name}` counts again; it was suspended {was}"),
    };
    let was = was.as_ref().map(|was| json!({ "at": was.at.map(|at| at.to_string()), "reason": was.reason }));
    ground.report(action, &done, &[said], json!({ "principal": name, "suspended": null, "was": was }))
}
