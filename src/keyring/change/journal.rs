//! What makes a change happen at once: the journal, and finishing what a crash interrupted.

use super::super::document::{Diagnostic, Owner, read_checked};
use super::super::edit::{self, EditError};
use super::super::{KeyringError, load, principal_file};
use super::{ChangeOptions, ChangeRecord, ChangedFile, Recorded, fault, put_on_record};
use crate::domain::text;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io;
use std::path::Path;

/// The journal's file. Its name begins with a dot, so that it is no principal's.
pub(in crate::keyring) const JOURNAL: &str = ".change";

/// The file that says which commit of a guarded ref the files were taken over from. It changes together with them.
pub(in crate::keyring) const MARKER: &str = ".source";

/// Largest journal that is read, in bytes.
pub(super) const MAX_JOURNAL: u64 = 256 << 20;

/// Layout of the journal.
pub(super) const SCHEMA: u32 = 1;

pub(super) fn digest(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// A change that has happened and of which files may still be missing.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::keyring) struct Journal {
    pub(super) schema: u32,
    pub(super) record: ChangeRecord,
    pub(in crate::keyring) files: Vec<JournalFile>,
}

/// One file of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::keyring) struct JournalFile {
    pub(in crate::keyring) name: String,
    before: Option<String>,
    pub(in crate::keyring) after: Option<String>,
}

impl JournalFile {
    /// Whether what is there is what the change found or what it leaves.
    pub(in crate::keyring) fn fits(&self, found: Option<&[u8]>) -> bool {
        let found = found.map(digest);
        found == self.before || found == self.after.as_ref().map(|text| digest(text.as_bytes()))
    }

    pub(super) fn is_before(&self, dir: &Path) -> bool {
        std::fs::read(dir.join(&self.name)).ok().map(|bytes| digest(&bytes)) == self.before
    }

    /// How far the change is with this file, for people.
    fn state(&self, dir: &Path) -> &'static str {
        let Ok(found) = present(&dir.join(&self.name)) else { return "cannot be read" };
        let after = self.after.as_ref().map(|text| digest(text.as_bytes()));
        match found {
            found if found == after => "done",
            found if found == self.before => match (&self.before, &self.after) {
                (None, _) => "not made yet",
                (_, None) => "not removed yet",
                _ => "not written yet",
            },
            _ => "changed since",
        }
    }
}

/// The digest of what is there; nothing where nothing is.
fn present(path: &Path) -> Result<Option<String>, Diagnostic> {
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    read_checked(path, Owner::Unchecked, load::MAX_FILE).map(|found| Some(digest(&found.bytes)))
}

impl Journal {
    /// The finding about a file that is neither what the change found nor what it leaves.
    pub(in crate::keyring) fn strange(&self, dir: &Path, file: &JournalFile) -> Diagnostic {
        let message = "an edit of the keyring was interrupted, and this file was changed since";
        let action = text::escape_short(self.record.action.as_bytes(), 40);
        let at = text::escape_short(self.record.at.as_bytes(), 40);
        let states: Vec<String> =
            self.files.iter().map(|file| format!("`{}`: {}", file.name, file.state(dir))).collect();
        let help = format!(
            "do not remove `{JOURNAL}` yet, the rest of the change is only there. It is `{action}` of {at}: {}. Make each of \
             these files what it should be, with what {KEPT}; then remove `{JOURNAL}` and run the command again, which \
             tells whether anything is missing",
            states.join(", ")
        );
        Diagnostic::whole(&dir.join(&file.name), message).suggest(help)
    }
}

/// Where a journal has what it makes of the files.
const KEPT: &str = "`files` in it has as `after` (`null`: the file goes away)";

/// What the marker holds, and what it is to hold.
pub(super) struct Marker {
    before: Option<String>,
    pub(super) after: String,
}

impl Marker {
    pub(super) fn of(dir: &Path, after: String) -> Self {
        let before = std::fs::read(dir.join(MARKER)).ok().map(|bytes| digest(&bytes));
        Marker { before, after }
    }

    pub(super) fn differs(&self) -> bool {
        self.before.as_ref() != Some(&digest(self.after.as_bytes()))
    }

    pub(super) fn into_journal(self) -> JournalFile {
        JournalFile { name: MARKER.to_owned(), before: self.before, after: Some(self.after) }
    }
}

pub(super) fn journal_files(files: &[ChangedFile]) -> Vec<JournalFile> {
    let file = |file: &ChangedFile| JournalFile {
        name: file.name(),
        before: file.before.as_ref().map(|text| digest(text.as_bytes())),
        after: file.after.clone(),
    };
    files.iter().map(file).collect()
}

/// Reads the journal, which must be as safe as a principal's file.
pub(in crate::keyring) fn read_journal(dir: &Path, owner: Owner) -> Result<Journal, Diagnostic> {
    let path = dir.join(JOURNAL);
    let checked = read_checked(&path, owner, MAX_JOURNAL)?;
    // It came here whole or not at all, so this is no leftover of a crash. Half of what it says may have been done.
    let strange = |why: String| {
        let help = format!(
            "do not remove it yet: files that a change has not reached are changed nowhere else. If another release wrote \
             it, let that one finish: any of its commands that change the keyring does. Otherwise copy it to another \
             place, make the principals' files what they should be with what {KEPT}, and remove it then. What was to \
             be revoked may not be yet: run such a command again"
        );
        Diagnostic::whole(&path, format!("this is no edit of a keyring that can be finished: {why}"))
            .suggest(help)
    };
    let mut journal: Journal =
        serde_json::from_slice(&checked.bytes).map_err(|error| strange(error.to_string()))?;
    let named = |file: &JournalFile| {
        let stem = file.name.strip_suffix(".toml");
        stem.is_some_and(principal_file::is_name) || file.name == MARKER
    };
    if owner == Owner::Unchecked {
        // What it revokes is revoked, whatever else it says (N15).
        journal.files.retain(named);
        return Ok(journal);
    }
    if journal.schema != SCHEMA {
        return Err(strange(format!("its schema is {}, and this program knows {SCHEMA}", journal.schema)));
    }
    if !journal.files.iter().all(named) {
        return Err(strange("it names a file that is no principal's".to_owned()));
    }
    Ok(journal)
}

/// Finishes the change that a crash interrupted, if one did.
pub(super) fn finish_interrupted(
    dir: &Path,
    options: &ChangeOptions<'_>,
) -> Result<Option<(ChangeRecord, Recorded)>, EditError> {
    let path = dir.join(JOURNAL);
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    // The keyring has just been loaded with it, so that it is readable and fits.
    let journal = read_journal(dir, Owner::RootOrSelf)
        .map_err(|found| EditError::Keyring(KeyringError::Invalid { diagnostics: vec![found] }))?;
    apply(dir, &journal)?;
    let recorded = put_on_record(&journal.record, options.recorder);
    if let (Recorded::Failed(why), false) = (&recorded, options.urgent) {
        return Err(EditError::Unrecorded(why.clone()));
    }
    forget(dir)?;
    Ok(Some((journal.record, recorded)))
}

/// Puts every file in place; doing it twice does no harm.
pub(super) fn apply(dir: &Path, journal: &Journal) -> Result<(), EditError> {
    for file in &journal.files {
        let path = dir.join(&file.name);
        match &file.after {
            Some(text) => {
                if std::fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
                    continue;
                }
                edit::replace(dir, &path, text)?;
            }
            None => match std::fs::remove_file(&path) {
                Ok(()) => edit::flush(dir)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(edit::io_error("remove", &path)(error)),
            },
        }
        fault("file");
    }
    Ok(())
}

pub(super) fn forget(dir: &Path) -> Result<(), EditError> {
    let path = dir.join(JOURNAL);
    std::fs::remove_file(&path).map_err(edit::io_error("remove", &path))?;
    fault("forgotten");
    edit::flush(dir)
}
