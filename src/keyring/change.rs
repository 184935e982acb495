//! The one way in which the files of a keyring change: locked, checked whole, all or nothing.
//!
//! An edit works on documents in memory. When the keyring as it would be has passed its checks, the whole
//! change is written into one file, the *journal*, which is put in place by a rename: from then on the change
//! has happened. Readers take the files that it names from there. The files are then replaced one by one and
//! the journal goes away. A crash before that rename leaves the old state; after it, readers see the new one,
//! and the next edit finishes the work.

mod journal;

use super::document::Owner;
use super::edit::{self, EditError};
use super::load::Overlaid;
use super::{Key, Keyring, Scope, Sources, line_diff};
use crate::domain::{Timestamp, text};
use data_encoding::HEXLOWER;
pub(super) use journal::{JOURNAL, Journal, JournalFile, MARKER, read_journal};
use journal::{MAX_JOURNAL, Marker, SCHEMA, apply, digest, finish_interrupted, forget, journal_files};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use toml_edit::DocumentMut;

/// Longest reason, in characters.
const MAX_REASON: usize = 500;

/// Who changes a keyring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The name of the login, if it has one; escaped. A claim: the account decides.
    pub login: Option<String>,
    /// The user id of the process.
    pub uid: u32,
    /// Who signed the change, where somebody did: principal and fingerprint. A claim, unless it was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
}

/// What a change is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purpose {
    /// The command: `add`, `revoke`.
    pub action: &'static str,
    /// Whether the directory follows a ref, and this is not made there.
    pub local: bool,
    /// Who does it.
    pub by: Author,
    /// Why, in that person's words. Not escaped.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl Purpose {
    /// By the account that runs this, for no reason given.
    pub fn of(action: &'static str, at: Timestamp) -> Self {
        let uid = super::document::own_uid();
        Purpose { action, local: false, by: Author { login: None, uid, signer: None }, reason: None, at }
    }
}

/// Puts a change on record; what it gives back on failure is for people.
pub type Recorder<'a> = dyn Fn(&ChangeRecord) -> Result<(), String> + 'a;

/// Signs [`ChangeRecord::signed_text`]; gives an armored SSH signature. What it gives back on failure is for people.
pub type Signer<'a> = dyn Fn(&ChangeRecord) -> Result<String, String> + 'a;

/// How a change is made.
pub struct ChangeOptions<'a> {
    /// What for.
    pub purpose: Purpose,
    /// Whether nothing is written.
    pub dry_run: bool,
    /// Whether the change must not wait for the record: it only takes away.
    pub urgent: bool,
    /// Who puts it on record; `None` where nobody keeps one.
    pub recorder: Option<&'a Recorder<'a>>,
    /// Who signs it; `None` where nobody does.
    pub signer: Option<&'a Signer<'a>>,
}

impl ChangeOptions<'_> {
    /// Written, and on nobody's record.
    pub fn unrecorded(action: &'static str, at: Timestamp) -> Self {
        ChangeOptions {
            purpose: Purpose::of(action, at),
            dry_run: false,
            urgent: false,
            recorder: None,
            signer: None,
        }
    }
}

/// A change as it goes on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRecord {
    /// Made up for this change: one that a crash interrupted may come twice, with the same id.
    pub id: String,
    /// When it was made: RFC 3339, UTC.
    pub at: String,
    /// The command.
    pub action: String,
    /// Whether it was made past the ref that the keyring follows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
    /// Who.
    pub by: Author,
    /// Why; escaped.
    pub reason: Option<String>,
    /// Whose files changed.
    pub principals: Vec<String>,
    /// The fingerprints of keys and authorities that came, went, or of which the entry changed.
    pub keys: Vec<String>,
    /// The files.
    pub files: Vec<FileDigests>,
    /// The keyring's digest before.
    pub keyring_before: String,
    /// And after.
    pub keyring_after: String,
    /// An armored SSH signature over [`ChangeRecord::signed_text`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// One file of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigests {
    /// Its name in the directory.
    pub name: String,
    /// The SHA-256 of what it held, in hexadecimal; `None` where it was not there.
    pub before: Option<String>,
    /// Of what it holds now; `None` where it is gone.
    pub after: Option<String>,
}

/// A file that changed, or would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedFile {
    /// Whose.
    pub principal: String,
    /// Where.
    pub path: PathBuf,
    /// What it held; `None` where it was not there.
    pub before: Option<String>,
    /// What it holds now; `None` where it is gone.
    pub after: Option<String>,
}

impl ChangedFile {
    fn name(&self) -> String {
        format!("{}.toml", self.principal)
    }

    /// What changes in it, as a unified diff; not visible characters are escaped.
    pub fn diff(&self) -> String {
        line_diff::unified(&self.name(), self.before.as_deref(), self.after.as_deref())
    }
}

/// Whether a change is on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// There was nothing to put on record: nothing changed, or nothing was written.
    Nothing,
    /// Nobody keeps one.
    Nowhere,
    /// It is.
    Yes,
    /// It is not, and the change stands.
    Failed(String),
}

/// What became of an edit.
#[derive(Debug)]
pub struct Changed<T> {
    /// What the edit itself gives.
    pub value: T,
    /// The files, by name; empty where there was nothing to do.
    pub files: Vec<ChangedFile>,
    /// What went on record, or would.
    pub record: Option<ChangeRecord>,
    /// Whether it did.
    pub recorded: Recorded,
    /// An earlier change that a crash had interrupted and that is finished now, and whether it is on record.
    pub finished: Option<(ChangeRecord, Recorded)>,
    /// The keyring as it is now, or would be.
    pub keyring: Keyring,
}

/// An edit in memory.
pub(super) struct Draft<'a> {
    pub(super) sources: &'a Sources,
    /// As it is before the edit.
    pub(super) keyring: &'a Keyring,
    under_way: Vec<JournalFile>,
    files: BTreeMap<String, Slot>,
    marker: Option<String>,
}

struct Slot {
    before: Option<String>,
    after: Option<Text>,
}

enum Text {
    Edited(Box<DocumentMut>),
    /// Somebody else's, to the byte.
    Whole(String),
}

impl Draft<'_> {
    pub(super) fn path(&self, principal: &str) -> PathBuf {
        self.sources.dir.join(format!("{principal}.toml"))
    }

    /// The document of a principal who has a file.
    pub(super) fn document(&mut self, principal: &str) -> Result<&mut DocumentMut, EditError> {
        if !self.files.contains_key(principal) {
            let before = self.before(principal)?;
            let after = Text::Edited(Box::new(before.parse().map_err(|_| broken(principal))?));
            self.files.insert(principal.to_owned(), Slot { before: Some(before), after: Some(after) });
        }
        match self.files.get_mut(principal).and_then(|slot| slot.after.as_mut()) {
            Some(Text::Edited(document)) => Ok(document),
            _ => Err(broken(principal)),
        }
    }

    /// What the file of a principal who has one holds.
    fn before(&self, principal: &str) -> Result<String, EditError> {
        let path = self.path(principal);
        let under_way = self.under_way.iter().find(|file| Some(principal) == file.name.strip_suffix(".toml"));
        match under_way {
            Some(file) => file.after.clone().ok_or_else(|| broken(principal)),
            None => std::fs::read_to_string(&path).map_err(edit::io_error("read", &path)),
        }
    }

    /// Makes the file of a principal, who has one or not, this text.
    pub(super) fn put(&mut self, principal: &str, there: bool, text: &str) -> Result<(), EditError> {
        let before = if there { Some(self.before(principal)?) } else { None };
        let after = Some(Text::Whole(text.to_owned()));
        self.files.insert(principal.to_owned(), Slot { before, after });
        Ok(())
    }

    /// Says which commit the files are taken over from.
    pub(super) fn mark(&mut self, text: &str) {
        self.marker = Some(text.to_owned());
    }

    /// Gives a principal without a file one.
    pub(super) fn create(&mut self, principal: &str, text: &str) -> Result<&mut DocumentMut, EditError> {
        let document: DocumentMut = text.parse().map_err(|_| broken(principal))?;
        let slot = self.files.entry(principal.to_owned()).or_insert(Slot { before: None, after: None });
        match slot.after.insert(Text::Edited(Box::new(document))) {
            Text::Edited(document) => Ok(document),
            Text::Whole(_) => Err(broken(principal)),
        }
    }

    /// Takes a principal's file away.
    pub(super) fn remove(&mut self, principal: &str) -> Result<(), EditError> {
        if !self.files.contains_key(principal) {
            let before = Some(self.before(principal)?);
            self.files.insert(principal.to_owned(), Slot { before, after: None });
        }
        if let Some(slot) = self.files.get_mut(principal) {
            slot.after = None;
        }
        Ok(())
    }

    fn finish(self, dir: &Path) -> Vec<ChangedFile> {
        let files = self.files.into_iter().map(|(principal, slot)| {
            let path = dir.join(format!("{principal}.toml"));
            let after = slot.after.map(|text| match text {
                Text::Edited(document) => document.to_string(),
                Text::Whole(text) => text,
            });
            ChangedFile { principal, path, before: slot.before, after }
        });
        files.filter(|file| file.before != file.after).collect()
    }
}

/// A file that is not what the keyring was loaded from.
pub(super) fn broken(principal: &str) -> EditError {
    EditError::Invalid(format!("`{principal}.toml` changed while it was edited"))
}

/// Changes the keyring, see the module.
///
/// # Errors
/// See [`EditError`]; nothing was changed then, unless a file operation failed in the middle: readers see the
/// whole change from then on, and the next edit finishes it.
pub(super) fn change<T>(
    sources: &Sources,
    options: &ChangeOptions<'_>,
    edit: impl FnOnce(&mut Draft<'_>) -> Result<T, EditError>,
) -> Result<Changed<T>, EditError> {
    let dir = sources.dir.as_path();
    let purpose = &options.purpose;
    if let Some(reason) = &purpose.reason
        && (reason.trim().is_empty() || reason.chars().count() > MAX_REASON)
    {
        return Err(EditError::Invalid(format!("a reason has 1 to {MAX_REASON} characters")));
    }
    // What is only looked at needs no lock, which not everybody may take.
    let lock = if options.dry_run { None } else { Some(edit::lock(dir)?) };
    fault("locked");
    let loaded = Keyring::load(sources).map_err(EditError::Keyring)?.keyring;
    let finished = match &lock {
        Some(_) => finish_interrupted(dir, options)?,
        None => None,
    };
    // Only where it is not finished, because nothing is written.
    let under_way = read_journal(dir, Owner::RootOrSelf).map(|journal| journal.files).unwrap_or_default();
    let mut draft = Draft { sources, keyring: &loaded, under_way, files: BTreeMap::new(), marker: None };
    let value = edit(&mut draft)?;
    let marker = draft.marker.take().map(|after| Marker::of(dir, after)).filter(Marker::differs);
    let files = draft.finish(dir);
    if files.is_empty() {
        if let (Some(marker), true) = (&marker, lock.is_some()) {
            edit::replace(dir, &dir.join(MARKER), &marker.after)?;
            fault("marked");
        }
        let recorded = Recorded::Nothing;
        return Ok(Changed { value, files, record: None, recorded, finished, keyring: loaded });
    }
    if let Some(file) = files.iter().find(|file| file.path.is_symlink()) {
        return Err(EditError::Link(file.path.clone()));
    }
    let overlay: Vec<Overlaid> = files.iter().map(|file| (file.name(), file.after.clone())).collect();
    let keyring = Keyring::load_with(sources, &overlay).map_err(EditError::Result)?.keyring;
    let mut record = record_of(purpose, &loaded, &keyring, &files)?;
    if let Some(sign) = options.signer.filter(|_| lock.is_some()) {
        record.signature = Some(sign(&record).map_err(EditError::Signing)?);
        // By the old state: a change does not make its own signer.
        record.by.signer = super::signer_of(&loaded, &record, purpose.at).map_err(EditError::Refused)?;
    }
    let mut recorded = Recorded::Nothing;
    if lock.is_some() {
        let mut journal = Journal { schema: SCHEMA, record: record.clone(), files: journal_files(&files) };
        journal.files.extend(marker.map(Marker::into_journal));
        // Somebody may edit by hand, without the lock.
        if let Some(file) = journal.files.iter().find(|file| !file.is_before(dir)) {
            return Err(broken(file.name.strip_suffix(".toml").unwrap_or(&file.name)));
        }
        fault("checked");
        let text = serde_json::to_string(&journal).map_err(|error| EditError::Invalid(error.to_string()))?;
        if text.len() as u64 > MAX_JOURNAL {
            return Err(EditError::Invalid("this is too much for one change".to_owned()));
        }
        edit::replace(dir, &dir.join(JOURNAL), &text)?;
        fault("journal");
        apply(dir, &journal)?;
        recorded = put_on_record(&record, options.recorder);
        fault("recorded");
        forget(dir)?;
    }
    Ok(Changed { value, files, record: Some(record), recorded, finished, keyring })
}

fn put_on_record(record: &ChangeRecord, recorder: Option<&Recorder<'_>>) -> Recorded {
    match recorder.map(|recorder| recorder(record)) {
        None => Recorded::Nowhere,
        Some(Ok(())) => Recorded::Yes,
        Some(Err(why)) => Recorded::Failed(why),
    }
}

/// What a change is, told by what differs before and after, so that no command can leave anything out.
fn record_of(
    purpose: &Purpose,
    before: &Keyring,
    after: &Keyring,
    files: &[ChangedFile],
) -> Result<ChangeRecord, EditError> {
    let principals: Vec<String> = files.iter().map(|file| file.principal.clone()).collect();
    let ours: HashSet<&str> = principals.iter().map(String::as_str).collect();
    let paths: HashSet<&Path> = files.iter().map(|file| file.path.as_path()).collect();
    let entries = |keyring: &Keyring| {
        let said = |key: &Key| {
            let mut said = format!("{} {:?}", key.principal.name, (&key.windows, &key.roles, &key.fido));
            let _ = write!(said, "{:?} {:?}", key.revoked, key.material);
            if let Some(certificate) = key.material.certificate() {
                // A newer copy of a certificate is another entry.
                let _ = write!(said, "{} {}", digest(&certificate.minimal()), certificate.revocations());
            }
            (key.material.fingerprint(), said)
        };
        let keys = keyring.keys().iter().filter(|key| ours.contains(key.principal.name.as_str())).map(said);
        let in_files = |place: &super::document::Place| paths.contains(place.file.as_path());
        let authorities = keyring.authorities().iter().filter(|one| in_files(&one.place)).map(|one| {
            let scopes: Vec<_> = one
                .scopes
                .iter()
                .map(|scope| {
                    let Scope { patterns, windows, serials, groups, roles, fido, .. } = scope;
                    (patterns, windows, serials, groups, roles, fido)
                })
                .collect();
            (one.key.fingerprint(), format!("{:?} {scopes:?}", one.revoked))
        });
        keys.chain(authorities).collect::<BTreeSet<_>>()
    };
    let (old, new) = (entries(before), entries(after));
    let keys: BTreeSet<String> =
        old.symmetric_difference(&new).map(|(fingerprint, _)| fingerprint.clone()).collect();
    Ok(ChangeRecord {
        id: random()?,
        at: purpose.at.to_string(),
        action: purpose.action.to_owned(),
        local: purpose.local,
        by: purpose.by.clone(),
        reason: purpose.reason.as_ref().map(|reason| text::escape(reason.trim().as_bytes())),
        principals,
        keys: keys.into_iter().collect(),
        files: files
            .iter()
            .map(|file| FileDigests {
                name: file.name(),
                before: file.before.as_ref().map(|text| digest(text.as_bytes())),
                after: file.after.as_ref().map(|text| digest(text.as_bytes())),
            })
            .collect(),
        keyring_before: before.digest().to_owned(),
        keyring_after: after.digest().to_owned(),
        signature: None,
    })
}

fn random() -> Result<String, EditError> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(|error| {
        edit::io_error("name the change of", Path::new(JOURNAL))(io::Error::other(error.to_string()))
    })?;
    Ok(HEXLOWER.encode(&random))
}

/// Where a test can have the program killed.
#[cfg(test)]
pub(super) fn fault(point: &str) {
    tests::fault(point);
}

#[cfg(not(test))]
pub(super) const fn fault(_point: &str) {}

#[cfg(test)]
mod tests;
