//! What the commands that change something share: who does it and why, the record, and the report.

use super::super::common::{CliError, Format};
use super::confirm::{Confirmed, confirm};
use super::print_json;
use super::sign::sign;
use crate::config::{Config, Naming};
use crate::domain::{Timestamp, text};
use crate::keyring::{
    self, Author, ChangeOptions, ChangeRecord, Changed, EditError, KeyRef, Keyring, Material, Purpose,
    Recorded, Sources, Taken,
};
use crate::service::keyring_changes::{self, ChangeRecorder, RecorderError};
use crate::service::keyring_live::{Confirmation, await_in_force};
use crate::service::shut;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// How long to wait for the daemon to load what it is to verify a signature by.
const VERIFIER: Duration = Duration::from_secs(10);

/// What every command that changes something takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ChangeArgs {
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Show what would change in the files, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Edit here although the keyring follows a ref of a repository; needs a reason.
    #[arg(long)]
    pub local: bool,
}

/// Where a command works.
pub(super) struct Ground<'a> {
    pub(super) sources: Sources,
    /// Without one, with `--keyring` that is, nobody keeps a record and no ruleset is looked at.
    pub(super) config: Option<Config>,
    /// The key that signs what is changed.
    pub(super) sign_with: Option<&'a Path>,
    pub(super) now: Timestamp,
    pub(super) format: Format,
    pub(super) out: &'a mut dyn Write,
    pub(super) err: &'a mut dyn Write,
}

/// How a change is made: the command, and whether it must not wait for the record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Action<'a> {
    pub(super) name: &'static str,
    pub(super) reason: Option<&'a str>,
    pub(super) dry_run: bool,
    /// It is meant to be made past the ref that the keyring follows.
    pub(super) local: bool,
    /// It only takes away: a log that cannot be written does not stop it.
    pub(super) urgent: bool,
}

impl<'a> Action<'a> {
    pub(super) fn of(name: &'static str, args: &'a ChangeArgs) -> Self {
        Action {
            name,
            reason: args.reason.as_deref(),
            dry_run: args.dry_run,
            local: args.local,
            urgent: false,
        }
    }
}

impl Ground<'_> {
    /// Makes a change, and has it put on record.
    pub(super) fn change<T>(
        &mut self,
        action: Action<'_>,
        edit: impl FnOnce(&Sources, &ChangeOptions<'_>) -> Result<Changed<T>, EditError>,
    ) -> Result<Changed<T>, CliError> {
        let local = self.past_its_source(action)?;
        let recorder = if action.dry_run { Ok(None) } else { self.recorder() };
        let recorder = match recorder {
            Ok(recorder) => Ok(recorder),
            Err(error) if action.urgent => Err(error.to_string()),
            Err(error) => {
                let message = format!("nothing was changed, because it would not be on record: {error}");
                return Err(CliError { message, code: 3 });
            }
        };
        let record = |change: &ChangeRecord| match &recorder {
            Ok(Some(recorder)) => recorder.record(change).map_err(|error| error.to_string()),
            Ok(None) => Ok(()),
            Err(why) => Err(why.clone()),
        };
        let purpose = Purpose {
            action: action.name,
            local,
            by: author(),
            reason: action.reason.map(str::to_owned),
            at: self.now,
        };
        let config = self.config.as_ref();
        let signer = self.sign_with.map(|key| {
            move |change: &ChangeRecord| {
                if let Some(config) = config {
                    can_verify(config, change)?;
                }
                sign(key, &change.signed_text())
            }
        });
        let options = ChangeOptions {
            purpose,
            dry_run: action.dry_run,
            urgent: action.urgent,
            signer: signer.as_ref().map(|sign| sign as &crate::keyring::Signer<'_>),
            recorder: if matches!(recorder, Ok(None)) { None } else { Some(&record) },
        };
        let done = edit(&self.sources, &options).map_err(refused)?;
        if let Some((earlier, recorded)) = &done.finished {
            let (action, principals) = (&earlier.action, earlier.principals.join(", "));
            writeln!(self.err, "an earlier `{action}` of {principals} was interrupted; it is finished now")?;
            if let Recorded::Failed(why) = recorded {
                writeln!(self.err, "warning: it is not on record: {why}")?;
            }
        }
        Ok(done)
    }

    /// Whether the change is made past the ref that the keyring follows; refused where that is not meant. What only
    /// takes away is never kept from counting at once (N15).
    fn past_its_source(&mut self, action: Action<'_>) -> Result<bool, CliError> {
        let source = self.config.as_ref().and_then(|config| config.keyring_source.as_ref());
        let marked = || match &self.config {
            Some(_) => None,
            None => Taken::is_marked(&self.sources.dir)
                .then(|| Taken::read(&self.sources.dir).ok().flatten().map(|(taken, _)| taken)),
        };
        let (repository, reference, path) = match (source, marked()) {
            (Some(source), _) => {
                (source.repository.clone(), source.reference.to_string(), source.path.clone())
            }
            (None, Some(Some(taken))) => (taken.repository, taken.reference, taken.path),
            (None, Some(None)) => ("another repository".to_owned(), String::new(), String::new()),
            (None, None) => return Ok(false),
        };
        let shown = |words: &str| text::escape_short(words.as_bytes(), 200);
        let (repository, reference) = (shown(&repository), shown(&reference));
        let place = if path.is_empty() { String::new() } else { format!("/{}", shown(&path)) };
        let there = format!(
            "in a clone of `{repository}`: `countersign keyring --keyring CLONE{place} {} ...`, commit, sign, push to \
             `{reference}`",
            action.name.replacen('-', " ", 1)
        );
        if action.urgent {
            writeln!(
                self.err,
                "note: the keyring follows `{repository}` {reference}, and nothing of it is taken over that lacks \
                 this; do the same {there}"
            )?;
            return Ok(true);
        }
        if !action.local {
            let message = format!(
                "refused: the keyring follows `{repository}` {reference}, whose next commit would overwrite this\n\
                 edit it {there}\nto recover on this server instead, add `--local --reason TEXT`; it is on record, \
                 and lasts until the next commit is taken over"
            );
            return Err(CliError { message, code: 1 });
        }
        if action.reason.is_none_or(|reason| reason.trim().is_empty()) {
            return Err(CliError::usage("an edit with `--local` needs `--reason TEXT`, for the audit log"));
        }
        Ok(true)
    }

    fn recorder(&self) -> Result<Option<Box<dyn ChangeRecorder>>, RecorderError> {
        let Some(config) = &self.config else { return Ok(None) };
        let Some(recorder) = keyring_changes::recorder(config)? else { return Ok(None) };
        recorder.ready()?;
        Ok(Some(recorder))
    }

    /// Says what was done: `said` and the files for people, `details` and what belongs to every change for
    /// programs. Gives the exit code.
    pub(super) fn report<T>(
        &mut self,
        action: Action<'_>,
        done: &Changed<T>,
        said: &[String],
        details: Value,
    ) -> Result<u8, CliError> {
        let confirmed = self.confirmed(action, done);
        match self.format {
            Format::Json => {
                let mut whole = json!({
                    "command": action.name,
                    "changed": !done.files.is_empty() && !action.dry_run,
                    "dry_run": action.dry_run,
                    "files": files_json(done, action.dry_run),
                    "recorded": recorded_json(&done.recorded),
                    "signer": done.record.as_ref().and_then(|record| record.by.signer.as_ref()),
                    "change": done.record.as_ref().filter(|_| !action.dry_run).map(|record| &record.id),
                });
                if let (Some(confirmed), Value::Object(whole)) = (&confirmed, &mut whole) {
                    whole.insert("daemon".to_owned(), confirmed.json.clone());
                }
                if let (Value::Object(whole), Value::Object(details)) = (&mut whole, details) {
                    whole.extend(details);
                }
                print_json(&whole, self.out)?;
            }
            Format::Text => {
                for line in said {
                    writeln!(self.out, "{line}")?;
                }
                if action.dry_run {
                    for file in &done.files {
                        write!(self.out, "{}", file.diff())?;
                    }
                } else {
                    for file in &done.files {
                        let verb = if file.after.is_some() { "wrote" } else { "removed" };
                        let path = text::escape(file.path.as_os_str().as_encoded_bytes());
                        writeln!(self.out, "{verb} {path}")?;
                    }
                }
            }
        }
        let recorded = self.unrecorded(&done.recorded)?;
        let Some(confirmed) = confirmed else { return Ok(recorded) };
        if confirmed.code != 0 {
            writeln!(self.err, "{}", confirmed.said)?;
        } else if self.format == Format::Text {
            writeln!(self.out, "{}", confirmed.said)?;
        }
        Ok(recorded.max(confirmed.code))
    }

    /// What only takes away is not done before the daemon says so (N15), also where the files said it already.
    fn confirmed<T>(&self, action: Action<'_>, done: &Changed<T>) -> Option<Confirmed> {
        let config = self.config.as_ref().filter(|_| action.urgent && !action.dry_run)?;
        Some(confirm(config, done.keyring.digest()))
    }

    /// Exit code 3 where a change stands that is not on record.
    pub(super) fn unrecorded(&mut self, recorded: &Recorded) -> Result<u8, CliError> {
        let Recorded::Failed(why) = recorded else { return Ok(0) };
        writeln!(self.err, "warning: the change stands and is not on record: {why}")?;
        Ok(3)
    }

    /// Where the configuration names somebody, as `wanted` says; with a note where there is none to look at.
    pub(super) fn namings(&mut self, wanted: impl Fn(&Naming) -> bool) -> Result<Vec<Naming>, CliError> {
        let Some(config) = &self.config else {
            writeln!(self.err, "note: with --keyring no configuration is read, so no ruleset was looked at")?;
            return Ok(Vec::new());
        };
        if let Some((tenant, _)) = config.tenant_faults().next() {
            return Err(CliError::usage(format!(
                "the files of the tenant `{}` cannot be read, so nobody knows whom they name; see `countersign config check`",
                tenant.tenant.name
            )));
        }
        Ok(crate::config::namings(config).into_iter().filter(wanted).collect())
    }
}

impl Ground<'_> {
    /// The rulesets that nobody can sign for, as the keyring is now.
    pub(super) fn shut(&self) -> Result<Vec<String>, CliError> {
        let Some(config) = &self.config else { return Ok(Vec::new()) };
        let keyring = Keyring::load(&self.sources).map_err(CliError::usage)?.keyring;
        Ok(shut(config, &keyring, self.now).into_iter().map(|(ruleset, _)| ruleset).collect())
    }

    /// What a change leaves behind: groups of these that nobody is in any more although something names them, and
    /// rulesets that nobody can sign for, but those of `before`.
    pub(super) fn left_behind(
        &mut self,
        keyring: &Keyring,
        groups: &[String],
        before: &[String],
    ) -> Result<Vec<String>, CliError> {
        let mut warnings = Vec::new();
        if self.config.is_none() {
            return Ok(warnings);
        }
        let there = keyring::groups(keyring);
        for group in groups.iter().filter(|group| !there.contains_key(*group)) {
            for naming in self.namings(|naming| naming.names_group(group))? {
                warnings.push(format!("nobody is in `{group}` now, which {naming} names"));
            }
        }
        let now = self.now;
        let shut = self.config.as_ref().map(|config| shut(config, keyring, now)).unwrap_or_default();
        for (ruleset, _) in shut.into_iter().filter(|(ruleset, _)| !before.contains(ruleset)) {
            let ruleset = text::escape_short(ruleset.as_bytes(), 60);
            warnings.push(format!(
                "nobody can sign for the ruleset `{ruleset}` now: what it covers cannot be pushed to"
            ));
        }
        for warning in &warnings {
            writeln!(self.err, "warning: {warning}")?;
        }
        Ok(warnings)
    }
}

pub(super) fn files_json<T>(done: &Changed<T>, with_diff: bool) -> Value {
    let digests = done.record.as_ref().map(|record| record.files.as_slice()).unwrap_or_default();
    let file = |(file, digests): (&crate::keyring::ChangedFile, &crate::keyring::FileDigests)| {
        let mut value = json!({
            "principal": file.principal,
            "file": file.path.to_string_lossy(),
            "before": digests.before,
            "after": digests.after,
        });
        if with_diff && let Value::Object(fields) = &mut value {
            fields.insert("diff".to_owned(), json!(file.diff()));
        }
        value
    };
    Value::Array(done.files.iter().zip(digests).map(file).collect())
}

/// `true`, `false`, or nothing where nobody keeps a record or nothing happened.
pub(super) fn recorded_json(recorded: &Recorded) -> Value {
    match recorded {
        Recorded::Yes => json!(true),
        Recorded::Failed(_) => json!(false),
        Recorded::Nothing | Recorded::Nowhere => Value::Null,
    }
}

/// The exit codes of edits that were not made.
pub(super) fn refused(error: EditError) -> CliError {
    let code = match error {
        EditError::Refused(_) => 1,
        EditError::Locked | EditError::Unrecorded(_) => 3,
        _ => 2,
    };
    CliError { message: error.to_string(), code }
}

/// A daemon that runs verifies the signature by the keyring as it was before, so it has to have just that one.
fn can_verify(config: &Config, change: &ChangeRecord) -> Result<(), String> {
    match await_in_force(config, &change.keyring_before, VERIFIER) {
        Confirmation::InForce(_) => Ok(()),
        Confirmation::Unknown(error) if error.is_absent() => Ok(()),
        Confirmation::Unknown(error) => Err(format!("nobody would verify it: {error}")),
        Confirmation::NotYet(_) => Err(
            "the daemon could not verify it, because it has loaded another keyring than these files; `countersign \
             keyring status` says why"
                .to_owned(),
        ),
    }
}

/// Who runs this: the account, and the login that it came from, which is a claim.
fn author() -> Author {
    let login = std::env::var("SUDO_USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    let login = text::escape_short(login.as_bytes(), 64);
    Author {
        login: (!login.is_empty()).then_some(login),
        uid: rustix::process::getuid().as_raw(),
        signer: None,
    }
}

/// A key by its fingerprint, a part of it, its key id, or a file that holds it.
pub(super) fn key_ref(named: &str) -> Result<KeyRef, CliError> {
    let error = match KeyRef::parse(named) {
        Ok(key) => return Ok(key),
        Err(error) => error,
    };
    if named != "-" && !Path::new(named).is_file() {
        return Err(CliError::usage(error));
    }
    let bytes = super::read_key(Path::new(named))?;
    let shown = text::escape_short(named.as_bytes(), 200);
    let (material, _) =
        Material::from_file(&bytes).map_err(|error| CliError::usage(format!("`{shown}`: {error}")))?;
    Ok(KeyRef::Key(Box::new(material)))
}
