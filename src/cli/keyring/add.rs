//! `countersign keyring add`.

use super::super::common::CliError;
use super::apply::{Action, ChangeArgs, Ground};
use super::read_key;
use crate::domain::{PrincipalKind, text};
use crate::keyring::{self, AddRequest};
use serde_json::json;
use std::path::PathBuf;

/// What to add, and to whom.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign keyring add alice --email alice@example.org --group sre --key id_ed25519.pub
  gpg --export --armor alice@example.org | countersign keyring add alice --key -
  countersign keyring add renovate --kind bot --key renovate.pub
  countersign keyring add alice --account gitlab:alice --key id_ed25519.pub

The key is an OpenSSH public key, or an OpenPGP certificate, armored or binary. Adding a key again
changes nothing; adding a newer copy of an OpenPGP certificate updates it. A running daemon takes the
change over at once.")]
pub struct AddArgs {
    /// The principal's name: lower-case letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// An address of the principal; may be repeated.
    #[arg(long = "email", value_name = "ADDRESS")]
    pub emails: Vec<String>,
    /// A group to join, for selectors such as `group:sre`; may be repeated.
    #[arg(long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,
    /// An account of the principal on the server, such as `alice` or `gitlab:alice`; may be repeated.
    #[arg(long = "account", value_name = "NAME")]
    pub accounts: Vec<String>,
    /// What sort of actor this is; `person` unless said otherwise.
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,
    /// The file with the public key; `-` reads it from standard input.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// How.
    #[command(flatten)]
    pub change: ChangeArgs,
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

pub(super) fn run(args: &AddArgs, ground: &mut Ground<'_>) -> Result<u8, CliError> {
    let request = AddRequest {
        name: args.name.clone(),
        kind: args.kind.map(PrincipalKind::from),
        emails: args.emails.clone(),
        groups: args.groups.clone(),
        accounts: args.accounts.clone(),
        key: read_key(&args.key)?,
    };
    let shown = text::escape(args.key.as_os_str().as_encoded_bytes());
    let action = Action::of("add", &args.change);
    let done = ground.change(action, |sources, options| {
        keyring::add_with(sources, &request, options).map_err(|error| match error {
            keyring::EditError::Key(error) => keyring::EditError::Invalid(format!("`{shown}`: {error}")),
            error => error,
        })
    })?;
    let added = &done.value;
    for warning in &added.warnings {
        writeln!(ground.err, "warning: {warning}")?;
    }
    let (name, scheme, key) = (&args.name, added.scheme.name(), &added.fingerprint);
    let would =
        |done: &str, would: &str| if args.change.dry_run { would.to_owned() } else { done.to_owned() };
    let said = if added.created {
        format!("{} `{name}` with {scheme} key {key}", would("created", "would create"))
    } else if added.key_added {
        format!("{} {scheme} key {key} to `{name}`", would("added", "would add"))
    } else if added.key_updated {
        format!("{} {scheme} key {key} of `{name}`", would("updated", "would update"))
    } else if added.changed {
        format!("{} `{name}`, who has {scheme} key {key} already", would("updated", "would update"))
    } else {
        format!("`{name}` has {scheme} key {key} already; nothing to do")
    };
    let details = json!({
        "principal": args.name,
        "file": added.path.to_string_lossy(),
        "format": scheme,
        "fingerprint": key,
        "created": added.created,
        "key_added": added.key_added,
        "key_updated": added.key_updated,
        "changed": added.changed,
        "warnings": added.warnings,
    });
    ground.report(action, &done, &[said], details)
}
