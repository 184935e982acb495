//! `countersign keyring add`.

use super::super::common::CliError;
use super::apply::{Action, ChangeArgs, Ground};
use super::read_key;
use crate::domain::{PrincipalKind, text};
use crate::keyring::{self, AddRequest};
use serde_json::json;
use std::path::PathBuf;

/// What to add, and to whom.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  countersign keyring add alice --email alice@example.org --group sre --key id_ed25519.pub
  gpg --export --armor alice@example.org | countersign keyring add alice --key -
  countersign keyring add renovate --kind bot --key renovate.pub
  countersign keyring add alice --account gitlab:alice
  countersign keyring add bob --returning --reason 'hired again' --key new.pub --group sre
  countersign keyring add deploy --kind bot --account deploy

The key is an OpenSSH public key, or an OpenPGP certificate, armored or binary. Without one, the rest is
added to a principal who is there; a new one without a key takes --kind. Adding a key again
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
    pub key: Option<PathBuf>,
    /// An address of somebody who was removed that is this principal's now; takes --reason; may be repeated.
    #[arg(long = "reuse-address", value_name = "ADDRESS", requires = "reason")]
    pub reused: Vec<String>,
    /// The principal was removed and comes back: its keys stay revoked; takes --reason.
    #[arg(long, requires = "reason")]
    pub returning: bool,
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
        key: args.key.as_deref().map(read_key).transpose()?,
        reused: args.reused.clone(),
        returning: args.returning,
    };
    if request.key.is_none()
        && [&args.emails, &args.groups, &args.accounts].iter().all(|all| all.is_empty())
        && args.kind.is_none()
        && !args.returning
    {
        return Err(CliError::usage(
            "give `--key`, or something else to add: `--email`, `--group`, `--account`",
        ));
    }
    let shown =
        args.key.as_ref().map(|key| text::escape(key.as_os_str().as_encoded_bytes())).unwrap_or_default();
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
    let name = &args.name;
    let would =
        |done: &str, would: &str| if args.change.dry_run { would.to_owned() } else { done.to_owned() };
    let key = added.key.as_ref().map(|id| format!("{} key {}", id.scheme.name(), id.text));
    let said = match (&key, added.created) {
        (Some(key), true) => format!("{} `{name}` with {key}", would("created", "would create")),
        (None, true) => format!("{} `{name}`", would("created", "would create")),
        (Some(key), _) if added.key_added => format!("{} {key} to `{name}`", would("added", "would add")),
        (Some(key), _) if added.key_updated => {
            format!("{} {key} of `{name}`", would("updated", "would update"))
        }
        (Some(key), _) if added.changed => {
            format!("{} `{name}`, who has {key} already", would("updated", "would update"))
        }
        (Some(key), _) => format!("`{name}` has {key} already; nothing to do"),
        (None, _) if added.changed => format!("{} `{name}`", would("updated", "would update")),
        (None, _) => format!("`{name}` has all of that already; nothing to do"),
    };
    let mut said = vec![said];
    if added.returned {
        said.insert(
            0,
            format!("`{name}` {} back, and what was revoked stays revoked", would("is", "would be")),
        );
    }
    let details = json!({
        "principal": args.name,
        "file": added.path.to_string_lossy(),
        "format": added.key.as_ref().map(|id| id.scheme.name()),
        "fingerprint": added.key.as_ref().map(|id| &id.text),
        "created": added.created,
        "returned": added.returned,
        "key_added": added.key_added,
        "key_updated": added.key_updated,
        "changed": added.changed,
        "warnings": added.warnings,
    });
    ground.report(action, &done, &said, details)
}
