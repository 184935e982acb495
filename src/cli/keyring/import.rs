//! `countersign keyring import`.

use super::super::common::{CliError, Format};
use super::apply::{Action, Ground, recorded_json};
use super::{gnupg, print_json, read_input};
use crate::domain::text;
use crate::keyring::{self, AllowedSigners, FileFormat, ImportRequest, ImportedFile, MAX_IMPORT};
use jiff::tz::TimeZone;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What to import, and how.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  countersign keyring import ~/.config/git/allowed_signers --dry-run
  countersign keyring import allowed_signers --group sre --timezone UTC --name 'a.smith@example.org=alice'
  countersign keyring import alice.pub --principal alice
  countersign keyring import alice.keys alice.gpg    # as https://git.example.org/alice.keys gave them
  countersign keyring import team.asc --name 0A1B2C3D4E5F60718293A4B5C6D7E8F901234567=alice
  countersign keyring import --gnupg-home /srv/git/.gnupg --dry-run
  countersign keyring import team.asc --only alice@example.org --only bob@example.org
  countersign keyring import argocd-gpg-keys-cm.yaml
  countersign keyring import --as flux flux-keys.yaml

Formats (--as): pub, authorized-keys, allowed-signers, openpgp, forge, argocd, flux.

A new principal is called after its address in an allowed_signers file or in a certificate's user ids, or
after the file of a forge. Nobody who is in the keyring gets a key because the key says so: that takes --name
or --principal. What is there already is left alone; a newer copy of a certificate replaces the one that is
there. One fault refuses every file. To go on using an allowed_signers file as it is, name it in the
configuration instead: `[[keyring.allowed-signers]]`.")]
pub struct ImportArgs {
    /// The files; `-` reads one from standard input.
    #[arg(required_unless_present = "gnupg_home")]
    pub files: Vec<PathBuf>,
    /// The format; without it, what the file seems to be.
    #[arg(long = "as", value_name = "FORMAT", value_parser = format_of)]
    pub read_as: Option<FileFormat>,
    /// The same as `--as allowed-signers`.
    #[arg(long, conflicts_with = "read_as")]
    pub allowed_signers: bool,
    /// Import the public keys of a GnuPG home, which is only read.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["files", "read_as", "allowed_signers"])]
    pub gnupg_home: Option<PathBuf>,
    /// Whose all of the keys are.
    #[arg(long, value_name = "NAME")]
    pub principal: Option<String>,
    /// Import only what goes by this fingerprint, key id, address or principal; may be repeated.
    #[arg(long, value_name = "WHO")]
    pub only: Vec<String>,
    /// Leave out certificates that cannot be read, name them, and import the others; exit code 1 then.
    #[arg(long)]
    pub skip_unreadable: bool,
    /// Show what would change, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Edit here although the keyring follows a ref of a repository; needs a reason.
    #[arg(long)]
    pub local: bool,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// A group that new principals join, and that holders of certificates get; may be repeated.
    #[arg(long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,
    /// The zone of times that name none: `UTC`, or a name such as `Europe/Berlin`.
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Who somebody is, by an address, a fingerprint or a key id; may be repeated.
    #[arg(long = "name", value_name = "WHO=NAME")]
    pub names: Vec<String>,
    /// An option of `authorized_keys` that is no reason to refuse a line: `command`, `from`, `environment`,
    /// `tunnel` or `no-touch-required`; may be repeated.
    #[arg(long = "ignore-option", value_name = "OPTION")]
    pub ignored_options: Vec<String>,
    /// An address of somebody who was removed that is somebody else's now; takes --reason; may be repeated.
    #[arg(long = "reuse-address", value_name = "ADDRESS", requires = "reason")]
    pub reused: Vec<String>,
    /// The principal in whose file authorities are written.
    #[arg(long, value_name = "NAME", default_value = "ssh-authorities")]
    pub authorities: String,
}

fn format_of(word: &str) -> Result<FileFormat, String> {
    let found = FileFormat::ALL.into_iter().find(|format| format.name() == word);
    found.ok_or_else(|| {
        let names: Vec<&str> = FileFormat::ALL.iter().map(|format| format.name()).collect();
        format!("the formats are {}", names.join(", "))
    })
}

/// What an entry of a file may go by. `SHA256:` fingerprints are as they are; those of OpenPGP come in both cases
/// and in groups.
fn label(who: &str) -> String {
    let hex: String = who.chars().filter(|c| *c != ' ').collect();
    let hex = hex.strip_prefix("0x").unwrap_or(&hex);
    let is_hex = matches!(hex.len(), 16 | 40 | 64) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex { hex.to_ascii_uppercase() } else { who.to_owned() }
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
        let (who, name) = pair.rsplit_once('=').ok_or_else(help)?;
        names.insert(label(who), name.to_owned());
    }
    if args.files.iter().filter(|file| *file == Path::new("-")).count() > 1 {
        return Err(CliError::usage("`-` can be given once"));
    }
    let request = |path: &Path, bytes: Vec<u8>, as_format: Option<FileFormat>| ImportRequest {
        file: AllowedSigners { path: path.to_owned(), groups: args.groups.clone(), zone: zone.clone() },
        bytes,
        format: as_format,
        principal: args.principal.clone(),
        names: names.clone(),
        ignored_options: args.ignored_options.clone(),
        only: args.only.iter().map(|who| label(who)).collect(),
        skip_unreadable: args.skip_unreadable,
        reused: args.reused.clone(),
        authorities: args.authorities.clone(),
        dry_run: args.dry_run,
    };
    let mut requests = Vec::new();
    if let Some(home) = &args.gnupg_home {
        requests.push(request(home, gnupg::export(home)?, Some(FileFormat::OpenPgp)));
    }
    let given = if args.allowed_signers { Some(FileFormat::AllowedSigners) } else { args.read_as };
    for file in &args.files {
        requests.push(request(file, read_input(file, MAX_IMPORT as u64 + 1)?, given));
    }
    let action = Action {
        name: "import",
        reason: args.reason.as_deref(),
        dry_run: args.dry_run,
        local: args.local,
        urgent: false,
    };
    let changed =
        ground.change(action, |sources, options| keyring::import_with(sources, &requests, options))?;
    let done = &changed.value;
    let unreadable: Vec<_> = done.sources.iter().flat_map(|source| &source.unreadable).collect();
    for one in &unreadable {
        writeln!(ground.err, "left out: {one}")?;
    }
    for warning in &done.warnings {
        writeln!(ground.err, "warning: {warning}")?;
    }
    let shown = |path: &Path| text::escape(path.as_os_str().as_encoded_bytes());
    match ground.format {
        Format::Json => {
            let file = |file: &ImportedFile| {
                json!({
                    "principal": file.name,
                    "file": file.path.to_string_lossy(),
                    "created": file.created,
                    "added": file.added,
                    "updated": file.updated,
                    "text": file.text,
                    "diff": file.diff,
                })
            };
            let source = |source: &keyring::ImportedSource| {
                json!({
                    "file": source.path.to_string_lossy(),
                    "format": source.format.name(),
                    "keys": source.entries,
                    "skipped_lines": source.skipped,
                    "unreadable": source.unreadable.iter().map(|one| &one.message).collect::<Vec<_>>(),
                })
            };
            let skipped = done.sources.iter().flat_map(|source| &source.skipped).collect::<Vec<_>>();
            let document = json!({
                "written": !args.dry_run && !done.files.is_empty(),
                "sources": done.sources.iter().map(source).collect::<Vec<_>>(),
                "files": done.files.iter().map(file).collect::<Vec<_>>(),
                "unchanged": done.unchanged,
                "skipped_lines": skipped,
                "warnings": done.warnings,
                "recorded": recorded_json(&changed.recorded),
            });
            print_json(&document, ground.out)?;
        }
        Format::Text => {
            for source in &done.sources {
                let count = match source.entries {
                    1 => "1 key".to_owned(),
                    count => format!("{count} keys"),
                };
                writeln!(ground.out, "{}: {}, {count}", shown(&source.path), source.format.described())?;
                if !source.skipped.is_empty() {
                    let lines: Vec<String> = source.skipped.iter().map(ToString::to_string).collect();
                    writeln!(
                        ground.out,
                        "left out, because they are not for git: lines {}",
                        lines.join(", ")
                    )?;
                }
            }
            for file in &done.files {
                let verb = match (args.dry_run, file.created) {
                    (true, true) => "would create",
                    (true, false) => "would change",
                    (false, true) => "created",
                    (false, false) => "changed",
                };
                let keys =
                    |count: usize| if count == 1 { "1 key".to_owned() } else { format!("{count} keys") };
                let parts = [
                    (file.added, format!("{} more", keys(file.added))),
                    (file.updated, format!("{} renewed", keys(file.updated))),
                ];
                let parts = parts.into_iter().filter(|(count, _)| *count > 0);
                let parts: Vec<String> = parts.map(|(_, text)| text).collect();
                writeln!(ground.out, "{verb} {}: {}", shown(&file.path), parts.join(", "))?;
                if args.dry_run {
                    writeln!(ground.out, "{}", file.diff)?;
                }
            }
            if done.files.is_empty() {
                writeln!(ground.out, "nothing to do: {} keys are in the keyring already", done.unchanged)?;
            }
        }
    }
    let code = ground.unrecorded(&changed.recorded)?;
    Ok(if code == 0 { u8::from(!unreadable.is_empty()) } else { code })
}
