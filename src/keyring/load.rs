//! Reading a keyring directory: whole, or not at all.

use super::document::{Diagnostic, Owner, Place, Reader, Source, Warning};
use super::document::{check_directory, read_checked, sort};
use super::principal_file::{self, PrincipalFile};
use super::{Key, Keyring};
use crate::domain::{Timestamp, text};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

/// Largest principal's file that is read, in bytes.
const MAX_FILE: u64 = 8 << 20;

/// A keyring, and what is odd about it.
#[derive(Clone, Debug)]
pub struct LoadedKeyring {
    /// The snapshot.
    pub keyring: Keyring,
    /// What the operator probably did not mean.
    pub warnings: Vec<Warning>,
}

/// Why a directory is not a keyring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// Everything that is wrong with it, by file and position.
    #[error("{}", report(diagnostics))]
    Invalid {
        /// Never empty.
        diagnostics: Vec<Diagnostic>,
    },
}

fn report(diagnostics: &[Diagnostic]) -> String {
    let all: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    all.join("\n\n")
}

impl KeyringError {
    /// Everything that is wrong, never empty.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        let KeyringError::Invalid { diagnostics } = self;
        diagnostics
    }
}

/// What was found in a directory, faults and all.
#[derive(Debug, Default)]
struct Scan {
    files: Vec<PrincipalFile>,
    bytes: Vec<(String, Vec<u8>)>,
    diagnostics: Vec<Diagnostic>,
    warnings: Vec<Warning>,
}

impl Keyring {
    /// Reads every `*.toml` file of a directory, each the file of the principal that it is called after.
    ///
    /// # Errors
    /// Every fault of every file: who else can write it, syntax, unknown keys, broken or private keys,
    /// the same key twice. One fault refuses the whole directory.
    pub fn load(dir: &Path) -> Result<LoadedKeyring, KeyringError> {
        Self::load_with(dir, None)
    }

    /// As [`Keyring::load`], as if the file `name` had that text.
    pub(super) fn load_with(
        dir: &Path,
        overlay: Option<(&str, &str)>,
    ) -> Result<LoadedKeyring, KeyringError> {
        let mut scan = Scan::of(dir, Owner::RootOrSelf, overlay);
        scan.refuse_duplicates();
        if !scan.diagnostics.is_empty() {
            let mut diagnostics = scan.diagnostics;
            sort(&mut diagnostics);
            return Err(KeyringError::Invalid { diagnostics });
        }
        for file in scan.files.iter().filter(|file| file.keys.is_empty()) {
            let message = format!("`{}` has no key", file.principal.name);
            scan.warnings.push(Warning::at(file.place.clone(), message));
        }
        for key in scan.files.iter().flat_map(|file| &file.keys) {
            for remark in key.material.remarks() {
                scan.warnings.push(Warning::at(key.place.clone(), format!("{}: {remark}", key.id())));
            }
        }
        let digest = digest_of(&scan.bytes);
        let (mut principals, mut keys) = (Vec::new(), Vec::new());
        for file in scan.files {
            principals.push(file.principal);
            keys.extend(file.keys);
        }
        Ok(LoadedKeyring { keyring: Self::build(principals, keys, digest), warnings: scan.warnings })
    }

    /// This keyring with every revocation that can be read from a directory that as a whole is
    /// rejected, and how many of them are news (N15).
    ///
    /// Revocations only make things stricter, so they count whoever could have written the file and
    /// whatever else is wrong with it; one that is itself illegible counts as a compromise, and so does
    /// one by which the owner of an OpenPGP certificate left nothing usable in it. Nothing else of the
    /// directory is taken.
    pub fn with_revocations_from(&self, dir: &Path) -> (Keyring, usize) {
        self.with_revocations_at(dir, Timestamp::now())
    }

    fn with_revocations_at(&self, dir: &Path, now: Timestamp) -> (Keyring, usize) {
        let scan = Scan::of(dir, Owner::Unchecked, None);
        let mut keys = self.keys.clone();
        let mut news = Vec::new();
        for found in scan.files.iter().flat_map(|file| &file.keys) {
            let Some(index) = self.names.get(&(found.material.scheme(), found.material.fingerprint())) else {
                continue;
            };
            let key = &mut keys[*index];
            let own =
                found.material.own_revocation(now).filter(|_| key.material.own_revocation(now).is_none());
            for revocation in [found.revoked.clone(), own].into_iter().flatten() {
                let joined = match key.revoked.clone() {
                    Some(known) => known.join(revocation),
                    None => revocation,
                };
                if key.revoked.as_ref() != Some(&joined) {
                    key.revoked = Some(joined);
                    news.push(*index);
                }
            }
        }
        news.sort_unstable();
        news.dedup();
        if news.is_empty() {
            return (self.clone(), 0);
        }
        // Another state needs another digest: records name the keyring by it.
        let states: Vec<(String, Vec<u8>)> = std::iter::once((self.digest.clone(), Vec::new()))
            .chain(news.iter().map(|index| {
                let key = &keys[*index];
                (key.material.fingerprint(), format!("{:?}", key.revoked).into_bytes())
            }))
            .collect();
        (Self::build(self.principals.clone(), keys, digest_of(&states)), news.len())
    }
}

impl Scan {
    fn of(dir: &Path, owner: Owner, overlay: Option<(&str, &str)>) -> Scan {
        let mut scan = Scan::default();
        match check_directory(dir, owner) {
            Ok(false) => {}
            Ok(true) => scan.warnings.push(Warning::at(
                Place::whole(dir),
                "the account that runs this can change the keyring; let root own it",
            )),
            Err(diagnostic) => scan.diagnostics.push(diagnostic),
        }
        let mut names = match list(dir) {
            Ok(names) => names,
            Err(error) => {
                // A directory that is not there was reported already.
                if scan.diagnostics.is_empty() {
                    let message = format!("cannot read the directory: {error}");
                    scan.diagnostics.push(Diagnostic::whole(dir, message));
                }
                return scan;
            }
        };
        if let Some((name, _)) = overlay
            && !names.iter().any(|one| one.as_encoded_bytes() == name.as_bytes())
        {
            names.push(name.into());
        }
        names.sort();
        let mut writable = 0;
        for name in names {
            let path = dir.join(&name);
            let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".toml")) else {
                let message = "ignored: a principal's file ends in `.toml`";
                scan.warnings.push(Warning::at(Place::whole(&path), message));
                continue;
            };
            let bytes = match overlay {
                Some((replaced, text)) if replaced.strip_suffix(".toml") == Some(stem) => text.into(),
                _ => match read_checked(&path, owner, MAX_FILE) {
                    Ok(checked) => {
                        writable += usize::from(checked.own_account_can_write);
                        checked.bytes
                    }
                    Err(diagnostic) => {
                        scan.diagnostics.push(diagnostic);
                        continue;
                    }
                },
            };
            scan.file(&path, stem, bytes);
        }
        if writable > 0 {
            let message =
                format!("the account that runs this can change {writable} of its files; let root own them");
            scan.warnings.push(Warning::at(Place::whole(dir), message));
        }
        scan
    }

    fn file(&mut self, path: &Path, stem: &str, bytes: Vec<u8>) {
        if !principal_file::is_name(stem) {
            let shown = text::escape_short(stem.as_bytes(), 60);
            let message = format!("`{shown}` cannot name a principal");
            let found = Diagnostic::whole(path, message);
            self.diagnostics.push(found.suggest("use lower-case letters, digits, `.`, `_` and `-`"));
        }
        let readable = String::from_utf8_lossy(&bytes);
        if let Err(error) = std::str::from_utf8(&bytes) {
            let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            let message = format!("the file is not UTF-8 text (line {line})");
            self.diagnostics.push(Diagnostic::whole(path, message));
        }
        let reader = Reader::new(Source::new(path, &readable));
        let file = principal_file::read(&reader, stem);
        self.diagnostics.extend(reader.into_diagnostics());
        self.files.push(file);
        self.bytes.push((stem.to_owned(), bytes));
    }

    /// A key that two principals have proves nothing about either; one listed twice would have two
    /// windows and two fates.
    fn refuse_duplicates(&mut self) {
        let mut seen: HashMap<Vec<u8>, &Key> = HashMap::new();
        for key in self.files.iter().flat_map(|file| &file.keys) {
            let mut first: Option<&Key> = None;
            for identity in key.material.identities() {
                match seen.entry(identity) {
                    Entry::Occupied(known) => {
                        first.get_or_insert(known.get());
                    }
                    Entry::Vacant(free) => {
                        free.insert(key);
                    }
                }
            }
            if let Some(first) = first {
                let owner = &first.principal.name;
                let message = format!("{} is held by `{owner}` already, at {}", key.id(), first.place);
                let place = key.place.clone();
                let found = Diagnostic::whole(&place.file, message).suggest("keep it in one place");
                self.diagnostics.push(Diagnostic { line: place.line, column: place.column, ..found });
            }
        }
    }
}

/// Names in the directory, without those that are ignored in silence.
fn list(dir: &Path) -> std::io::Result<Vec<std::ffi::OsString>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let bytes = name.as_encoded_bytes();
        if !bytes.starts_with(b".") && !bytes.starts_with(b"README") {
            names.push(name);
        }
    }
    Ok(names)
}

/// SHA-256 over names and contents, each with its length, so that nothing can move between them.
pub(super) fn digest_of(files: &[(String, Vec<u8>)]) -> String {
    let mut hash = Sha256::new();
    for (name, bytes) in files {
        for part in [name.as_bytes(), bytes] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    HEXLOWER.encode(&hash.finalize())
}
