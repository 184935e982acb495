//! `countersign keyring import`.

use super::super::common::{CliError, Format};
use super::apply::{Action, Ground, recorded_json};
use super::{print_json, read_input};
use crate::domain::text;
use crate::keyring::{self, AllowedSigners, ImportRequest, ImportedFile};
use crate::signature::ssh;
use jiff::tz::TimeZone;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What to import, and how.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign keyring import --allowed-signers ~/.config/git/allowed_signers --dry-run
  countersign keyring import --allowed-signers allowed_signers --group sre --timezone UTC
  countersign keyring import --allowed-signers allowed_signers --name 'a.smith@example.org=alice'

Each line becomes a `[[key]]` of the principal that it names, who is created if need be and called after
the part of the address before the `@`; lines with `cert-authority` become `[[authority]]` tables. What
is there already is left alone. One fault refuses the whole file. To go on using the file as it is, name
it in the configuration instead: `[[keyring.allowed-signers]]`.")]
pub struct ImportArgs {
    /// The file; `-` reads it from standard input.
    pub file: PathBuf,
    /// It is in OpenSSH's `allowed_signers` format.
    #[arg(long, required = true)]
    pub allowed_signers: bool,
    /// Show what would be written, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
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

pub(super) fn run(args: &ImportArgs, ground: &mut Ground<'_>) -> Result<u8, CliError> {
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
    let action =
        Action { name: "import", reason: args.reason.as_deref(), dry_run: args.dry_run, urgent: false };
    let changed =
        ground.change(action, |sources, options| keyring::import_with(sources, &request, options))?;
    let done = &changed.value;
    let shown = |path: &Path| text::escape(path.as_os_str().as_encoded_bytes());
    match ground.format {
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
                "recorded": recorded_json(&changed.recorded),
            });
            print_json(&document, ground.out)?;
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
                    ground.out,
                    "{verb} {path}: {} more",
                    if file.added == 1 { "1 key".to_owned() } else { format!("{} keys", file.added) }
                )?;
                if args.dry_run {
                    writeln!(ground.out, "{}", file.text)?;
                }
            }
            if !done.skipped.is_empty() {
                let lines: Vec<String> = done.skipped.iter().map(ToString::to_string).collect();
                writeln!(ground.out, "left out, because they are not for git: lines {}", lines.join(", "))?;
            }
            if done.files.is_empty() {
                writeln!(ground.out, "nothing to do: {} lines are in the keyring already", done.unchanged)?;
            }
        }
    }
    ground.unrecorded(&changed.recorded)
}
