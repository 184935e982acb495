//! `countersign setup`: a machine that signs.

use super::common::{CliError, Format};
use crate::domain::text;
use crate::service::setup::{Candidate, Existing, Signing, State, choose, quoted, settings};
use crate::service::workstation::{Level, Workstation, make_command};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Find a signing key on this machine and have git sign with it.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Looked at, in this order: what --key names; what git is set to; ~/.ssh/id_*.pub and ssh-agent (FIDO Ed25519,
Ed25519, ECDSA, RSA from 3072 bits); GnuPG's secret keys for user.email. Nothing is fetched and nothing is sent.
Without --apply nothing is changed: the commands are printed.

Exit codes: 0 done or printed, 1 no key found, or a value that differs would be replaced, 2 usage.

Examples:
  countersign setup
  countersign setup --apply
  countersign setup --apply --make
  countersign setup --signing openpgp --local --apply
  countersign setup --key ~/.ssh/work.pub --apply --force")]
pub struct SetupArgs {
    /// Set it, instead of printing the commands
    #[arg(long)]
    apply: bool,
    /// Make an SSH key where there is none; ssh-keygen asks for its passphrase
    #[arg(long, requires = "apply", conflicts_with = "key")]
    make: bool,
    /// The kind of signature [default: whichever key is found first]
    #[arg(long, value_enum)]
    signing: Option<Kind>,
    /// The key: a public key's file, `SHA256:...`, or the fingerprint of an OpenPGP key
    #[arg(long, value_name = "FILE|FPR")]
    key: Option<String>,
    /// Set it for all repositories of this user: the default
    #[arg(long, conflicts_with = "local")]
    global: bool,
    /// Set it for one repository
    #[arg(long)]
    local: bool,
    /// The repository that --local is about
    #[arg(long, value_name = "DIR", default_value = ".")]
    repo: PathBuf,
    /// Name this file to git as the one with whose keys count here, for `git log --show-signature`
    #[arg(long, value_name = "FILE")]
    allowed_signers: Option<PathBuf>,
    /// Replace values that differ
    #[arg(long)]
    force: bool,
}

/// The kind of signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// SSH
    Ssh,
    /// OpenPGP
    Openpgp,
}

impl From<Kind> for Signing {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Ssh => Signing::Ssh,
            Kind::Openpgp => Signing::OpenPgp,
        }
    }
}

/// Runs `countersign setup`; gives the exit code.
///
/// # Errors
/// Code 1 where no key is found or something would be replaced, 2 where git cannot be asked or set.
pub fn run(
    args: &SetupArgs,
    format: Format,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, CliError> {
    let usage = |text: String| CliError::usage(format!("error: {text}"));
    let here = Workstation::new(&args.repo);
    if !args.repo.is_dir() {
        return Err(usage(format!("`{}` is not a directory", shown(&args.repo))));
    }
    let level = if args.local { Level::Local } else { Level::Global };
    if args.local && !here.is_repository() {
        return Err(usage(format!(
            "`{}` is not a repository that git takes; --local is about one",
            shown(&args.repo)
        )));
    }
    let key = find(args, &here, err)?;
    let allowed = match &args.allowed_signers {
        None => None,
        Some(path) => {
            let path = path.canonicalize().map_err(|e| usage(format!("`{}`: {e}", shown(path))))?;
            Some(path.to_str().ok_or_else(|| usage("the path is not UTF-8".to_owned()))?.to_owned())
        }
    };
    let mut fault = None;
    let plan = settings(&key, allowed.as_deref(), |name| {
        here.existing(level, name).unwrap_or_else(|why| {
            fault.get_or_insert(why);
            Existing::default()
        })
    });
    if let Some(why) = fault {
        return Err(usage(format!("git's configuration cannot be read: {why}")));
    }
    let option = level.option();
    let different: Vec<_> = plan.iter().filter(|one| one.state() == State::Different).collect();
    let stopped = !different.is_empty() && !args.force;
    if args.apply && !stopped {
        for setting in plan.iter().filter(|one| one.state() != State::Same) {
            here.set(level, setting.name, &setting.value)
                .map_err(|why| usage(format!("`{}`: {why}", setting.command(option))))?;
        }
    }
    let applied = args.apply && !stopped;
    for setting in &different {
        let old = text::escape(setting.existing.here.as_deref().unwrap_or_default().as_bytes());
        let done = if applied { "was" } else { "is" };
        writeln!(
            err,
            "{}: {done} `{old}`, which {}",
            setting.name,
            if applied { "was replaced" } else { "differs" }
        )?;
    }
    for setting in &plan {
        if let Some(other) =
            setting.overruled().filter(|_| level == Level::Global && setting.state() != State::Different)
        {
            let other = text::escape(other.as_bytes());
            writeln!(
                err,
                "warning: {}: `{other}` of another level is in effect here; try --local",
                setting.name
            )?;
        }
    }
    let email = here.email();
    if email.is_none() {
        writeln!(err, "warning: git has no address for you: git config {option} user.email ADDRESS")?;
    }
    let address = quoted(email.as_deref().unwrap_or("ADDRESS"));
    let hand_over = format!("countersign keyring add NAME --email {address} --key -");
    let code = u8::from(stopped);
    if format == Format::Json {
        let state = |state| match state {
            State::Same => "same",
            State::New => "new",
            State::Different => "different",
        };
        let settings: Vec<_> = plan
            .iter()
            .map(|one| {
                json!({
                    "name": one.name, "value": one.value, "was": one.existing.here, "state": state(one.state()),
                    "command": one.command(option),
                })
            })
            .collect();
        let value = json!({
            "key": key.material.fingerprint(), "format": key.signing().name(), "algorithm": key.material.algorithm(),
            "found": key.origin.name(), "level": option.trim_start_matches('-'), "applied": applied,
            "refused": stopped, "settings": settings, "email": email, "public": key.public, "administrator": hand_over,
        });
        writeln!(out, "{value:#}")?;
        return Ok(code);
    }
    let (fingerprint, algorithm) = (key.material.fingerprint(), key.material.algorithm());
    writeln!(out, "key: {fingerprint} ({algorithm}), found in: {}\n", key.origin.name())?;
    if stopped {
        let names: Vec<_> = different.iter().map(|one| one.name).collect();
        writeln!(
            out,
            "nothing was set: {} would be replaced, with --force. The commands are:",
            names.join(" and ")
        )?;
    } else if applied {
        writeln!(out, "set:")?;
    } else {
        writeln!(out, "git signs with it after these commands, or `countersign setup --apply`:")?;
    }
    for setting in &plan {
        let note = if setting.state() == State::Same { "   # is so already" } else { "" };
        writeln!(out, "  {}{note}", setting.command(option))?;
    }
    writeln!(out, "\nyour public key, for whoever keeps the keyring:\n")?;
    write!(out, "{}", key.public)?;
    writeln!(out, "\nwho adds it with:\n  {hand_over}")?;
    writeln!(out, "\nthen see whether it works: countersign check --self")?;
    Ok(code)
}

/// The key that is to sign.
fn find(args: &SetupArgs, here: &Workstation, err: &mut dyn Write) -> Result<Candidate, CliError> {
    let signing = args.signing.map(Signing::from);
    let mut all = Vec::new();
    let mut notes = Vec::new();
    match &args.key {
        Some(word) => all.push(here.named(word).map_err(|why| {
            CliError::usage(format!("error: --key `{}`: {why}", text::escape(word.as_bytes())))
        })?),
        None => {
            match here.configured() {
                Some(Ok(one)) => all.push(one),
                Some(Err(why)) => notes.push(why),
                None => {}
            }
            let (found, more) = here.found();
            all.extend(found);
            notes.extend(more);
        }
    }
    let none = |all: &[Candidate]| {
        let email = here.email();
        let mut message = "error: no key was found that git could sign with".to_owned();
        for one in all {
            let (key, what) = (one.material.fingerprint(), one.material.algorithm());
            let why =
                one.material.weakness().unwrap_or_else(|| "not what is proposed or asked for".to_owned());
            message.push_str(&format!("\n  {key} ({what}): {why}"));
        }
        message.push_str(&format!("\n  make one: {}", make_command(signing, email.as_deref())));
        if signing != Some(Signing::OpenPgp) {
            message.push_str("\n  or let it be made: countersign setup --apply --make");
        }
        CliError { message, code: 1 }
    };
    for note in &notes {
        writeln!(err, "note: {note}")?;
    }
    match choose(&all, signing) {
        Some(one) => Ok(one.clone()),
        None if args.make && signing != Some(Signing::OpenPgp) => make(here),
        None => Err(none(&all)),
    }
}

/// Has ssh-keygen make a key. The passphrase is a matter between it and the terminal.
fn make(here: &Workstation) -> Result<Candidate, CliError> {
    use std::os::unix::fs::DirBuilderExt;
    let usage = |text: String| CliError::usage(format!("error: {text}"));
    let home = std::env::var_os("HOME").ok_or_else(|| usage("HOME is not set".to_owned()))?;
    let dir = Path::new(&home).join(".ssh");
    let path = dir.join("id_ed25519");
    if path.symlink_metadata().is_ok() {
        return Err(usage(format!("`{}` exists, and is not replaced", shown(&path))));
    }
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    made.map_err(|e| usage(format!("`{}`: {e}", shown(&dir))))?;
    let comment = here.email().unwrap_or_else(|| "signing key".to_owned());
    let status = Command::new("ssh-keygen")
        .args(["-t", "ed25519", "-C", &comment, "-f"])
        .arg(&path)
        // What is printed here is for programs, perhaps; a dialogue is not.
        .stdout(std::io::stderr())
        .status()
        .map_err(|e| usage(format!("ssh-keygen cannot be run: {e}")))?;
    if !status.success() {
        return Err(usage("ssh-keygen made no key".to_owned()));
    }
    let public = format!("{}.pub", path.display());
    here.named(&public).map_err(|why| usage(format!("`{public}`: {why}")))
}

fn shown(path: &Path) -> String {
    text::escape(path.as_os_str().as_encoded_bytes())
}
