//! Making the keyring's directory what somebody else's files say, all at once.

use super::change::{ChangeOptions, Changed, MARKER, change, read_journal};
use super::document::{Diagnostic, Owner, read_checked};
use super::edit::EditError;
use super::lacking::{lacking, lacks};
use super::{Keyring, KeyringError, Sources, is_name};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Layout of the marker.
const SCHEMA: u32 = 1;
/// Largest marker that is read, in bytes.
const MAX_MARKER: u64 = 128 << 20;

/// From which commit of a guarded ref a keyring's directory was taken over, and what came with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    schema: u32,
    /// The repository's identity (N3): another one of that name is another one.
    pub repository_id: String,
    /// Its name.
    pub repository: String,
    /// The ref.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The directory of principals' files.
    pub path: String,
    /// The directory of rulesets, where they are taken over, too.
    pub rulesets_path: Option<String>,
    /// The commit.
    pub commit: String,
    /// The SHA-256 of each principal's file, in hexadecimal, by name.
    pub principals: BTreeMap<String, String>,
    /// The files of rulesets, by name.
    pub rulesets: BTreeMap<String, String>,
}

/// Where a state comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// See [`Taken::repository_id`].
    pub repository_id: String,
    /// See [`Taken::repository`].
    pub repository: String,
    /// See [`Taken::reference`].
    pub reference: String,
    /// See [`Taken::path`].
    pub path: String,
    /// See [`Taken::rulesets_path`].
    pub rulesets_path: Option<String>,
}

impl Taken {
    /// What is taken over with these files of principals and of rulesets.
    pub fn new(
        origin: &Origin,
        commit: &str,
        files: &BTreeMap<String, String>,
        rulesets: BTreeMap<String, String>,
    ) -> Self {
        Taken {
            schema: SCHEMA,
            repository_id: origin.repository_id.clone(),
            repository: origin.repository.clone(),
            reference: origin.reference.clone(),
            path: origin.path.clone(),
            rulesets_path: origin.rulesets_path.clone(),
            commit: commit.to_owned(),
            principals: files.iter().map(|(name, text)| (name.clone(), digest(text.as_bytes()))).collect(),
            rulesets,
        }
    }

    /// As the file holds it; the same for the same commit, always.
    ///
    /// # Errors
    /// It cannot be JSON.
    pub fn text(&self) -> Result<String, EditError> {
        serde_json::to_string(self).map_err(|error| EditError::Invalid(error.to_string()))
    }

    /// What tells it from all others.
    pub fn digest_of(text: &str) -> String {
        digest(text.as_bytes())
    }

    /// What the directory was taken over from, a change that is being made included, and the digest of that;
    /// `None` where it never was.
    ///
    /// # Errors
    /// The file, or the change under way, is none that this program wrote, or others could have written it.
    pub fn read(dir: &Path) -> Result<Option<(Taken, String)>, Diagnostic> {
        let under_way = if dir.join(super::change::JOURNAL).symlink_metadata().is_ok() {
            match read_journal(dir, Owner::RootOrSelf) {
                Ok(journal) => journal.files.into_iter().find(|file| file.name == MARKER),
                // It was finished meanwhile, or is a fault that the keyring has, too.
                Err(_) => None,
            }
        } else {
            None
        };
        let path = dir.join(MARKER);
        let bytes = match under_way.and_then(|file| file.after) {
            Some(text) => text.into_bytes(),
            None if path.symlink_metadata().is_err() => return Ok(None),
            None => read_checked(&path, Owner::RootOrSelf, MAX_MARKER)?.bytes,
        };
        let strange = |why: String| {
            Diagnostic::whole(&path, format!("this does not say what the keyring was taken over from: {why}"))
                .suggest("remove it; what is on record is taken over again")
        };
        let taken: Taken = serde_json::from_slice(&bytes).map_err(|error| strange(error.to_string()))?;
        if taken.schema != SCHEMA {
            return Err(strange(format!("its schema is {}, and this program knows {SCHEMA}", taken.schema)));
        }
        Ok(Some((taken, digest(&bytes))))
    }

    /// Whether the directory says that it was taken over from somewhere.
    pub fn is_marked(dir: &Path) -> bool {
        dir.join(MARKER).symlink_metadata().is_ok()
    }

    /// Where it was taken over from.
    pub fn origin(&self) -> Origin {
        Origin {
            repository_id: self.repository_id.clone(),
            repository: self.repository.clone(),
            reference: self.reference.clone(),
            path: self.path.clone(),
            rulesets_path: self.rulesets_path.clone(),
        }
    }

    /// Whose files of a keyring are other than they were taken over, sorted.
    pub fn changed_in(&self, keyring: &Keyring) -> Vec<String> {
        let there: BTreeMap<&str, String> = keyring
            .files()
            .iter()
            .filter(|(name, _)| is_name(name))
            .map(|(name, digest)| (name.as_str(), HEXLOWER.encode(digest)))
            .collect();
        let names: BTreeSet<&str> =
            there.keys().copied().chain(self.principals.keys().map(String::as_str)).collect();
        let differs = |name: &&str| there.get(name) != self.principals.get(*name);
        names.into_iter().filter(differs).map(str::to_owned).collect()
    }
}

fn digest(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// The keyring as it would be with exactly these principals' files in its directory, by name.
///
/// # Errors
/// It would not load.
pub fn as_if(sources: &Sources, files: &BTreeMap<String, String>) -> Result<Keyring, KeyringError> {
    let named = |name: &str| format!("{name}.toml");
    let mut overlay: BTreeMap<String, Option<String>> = BTreeMap::new();
    for entry in std::fs::read_dir(&sources.dir).into_iter().flatten().flatten() {
        if let Ok(name) = entry.file_name().into_string()
            && name.ends_with(".toml")
        {
            overlay.insert(name, None);
        }
    }
    // What a change under way would bring is not among the files yet.
    if let Ok(journal) = read_journal(&sources.dir, Owner::RootOrSelf) {
        overlay.extend(
            journal.files.into_iter().filter(|file| file.name != MARKER).map(|file| (file.name, None)),
        );
    }
    overlay.extend(files.iter().map(|(name, text)| (named(name), Some(text.clone()))));
    let overlay: Vec<_> = overlay.into_iter().collect();
    Ok(Keyring::load_with(sources, &overlay)?.keyring)
}

/// Makes the principals' files exactly `files`: the names of principals, and what their files hold, to the byte;
/// and, in the same step, the file that says where they are from.
///
/// # Errors
/// See [`EditError`]; nothing was changed then. [`EditError::Refused`] where a revocation or suspension that is
/// in force would be gone: what is to take it away has to hold it first.
pub fn take(
    sources: &Sources,
    files: &BTreeMap<String, String>,
    marker: &Taken,
    options: &ChangeOptions<'_>,
) -> Result<Changed<()>, EditError> {
    let wanted = as_if(sources, files).map_err(EditError::Result)?;
    let text = marker.text()?;
    change(sources, options, |draft| {
        // Under the lock, so that nobody revokes a key in between.
        let lost = lacks(draft.sources, &wanted, options.purpose.at);
        if !lost.is_empty() {
            return Err(EditError::Refused(lacking(&lost)));
        }
        let names = draft.keyring.files().iter().map(|(name, _)| name.clone());
        let there: BTreeSet<String> = names.filter(|name| is_name(name)).collect();
        for name in there.iter().filter(|name| !files.contains_key(*name)) {
            draft.remove(name)?;
        }
        for (name, text) in files {
            draft.put(name, there.contains(name), text)?;
        }
        draft.mark(&text);
        Ok(())
    })
}
