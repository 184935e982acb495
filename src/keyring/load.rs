//! Reading a keyring directory: whole, or not at all.

use super::accounts;
use super::authority::Authority;
use super::change::{self, JournalFile};
use super::document::{Diagnostic, Identity, Owner, Place, Reader, Source, Warning};
use super::document::{check_directory, read_checked, sort};
use super::lists::{Listed, join};
use super::principal_file::{self, PrincipalFile};
use super::signers::{Known, Signers};
use super::{Key, Keyring, Material, Parts, Revocation, Sources, Suspension};
use crate::domain::text;
use crate::signature::Scheme;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::path::Path;

/// Largest principal's file that is read, in bytes.
pub const MAX_FILE: u64 = 8 << 20;

/// How warnings begin and end that `keyring check` tells apart.
pub(super) const OWN_ACCOUNT: &str = "the account that runs this can change";
pub(super) const IGNORED: &str = "ignored: a principal's file ends in `.toml`";
pub(super) const NO_KEY: &str = "has no key";

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
pub(super) struct Scan {
    pub(super) files: Vec<PrincipalFile>,
    bytes: Vec<(String, Vec<u8>)>,
    /// Which journal and which files these were.
    seen: (Option<Identity>, Vec<(OsString, Option<Identity>)>),
    diagnostics: Vec<Diagnostic>,
    warnings: Vec<Warning>,
}

impl Keyring {
    /// Reads a keyring: every `*.toml` file of the directory, each the file of the principal that it is
    /// called after, and the `allowed_signers` files and revocation lists beside it.
    ///
    /// # Errors
    /// Every fault of every file: who else can write it, syntax, unknown keys, broken or private keys,
    /// the same key twice, a revocation list that cannot be read. One fault refuses the whole keyring.
    pub fn load(sources: impl Into<Sources>) -> Result<LoadedKeyring, KeyringError> {
        Self::load_with(&sources.into(), &[])
    }

    /// As [`Keyring::load`], as if these files of the directory had those texts, or were not there.
    pub(super) fn load_with(sources: &Sources, overlay: &[Overlaid]) -> Result<LoadedKeyring, KeyringError> {
        Self::scanned(sources, Scan::of(&sources.dir, Owner::RootOrSelf, overlay))
    }

    /// As [`Keyring::load`], from files that are no files of a directory: `label` stands for it in messages.
    ///
    /// # Errors
    /// As [`Keyring::load`], but for who could have written them.
    pub fn of_files(label: &Path, files: Vec<(String, Vec<u8>)>) -> Result<LoadedKeyring, KeyringError> {
        let mut scan = Scan::default();
        for (name, bytes) in files {
            let path = label.join(&name);
            if bytes.len() as u64 > MAX_FILE {
                let message = format!("the file is larger than {MAX_FILE} bytes");
                scan.diagnostics.push(Diagnostic::whole(&path, message));
            } else if let Some(stem) = name.strip_suffix(".toml") {
                scan.file(&path, stem, bytes);
            } else {
                scan.warnings.push(Warning::at(Place::whole(&path), IGNORED));
            }
        }
        Self::scanned(&Sources::directory(label), scan)
    }

    fn scanned(sources: &Sources, mut scan: Scan) -> Result<LoadedKeyring, KeyringError> {
        let mut signers = Signers::default();
        let mut known: Known<'_> = HashMap::new();
        for file in &scan.files {
            for word in std::iter::once(&file.principal.name).chain(&file.principal.emails) {
                known.entry(word.as_str()).or_default().push(&file.principal);
            }
        }
        let mut bytes = Vec::new();
        for file in &sources.allowed_signers {
            if let Some(read) = signers.read(file, &known, &mut scan.diagnostics, &mut scan.warnings) {
                let zone = file.zone.as_ref().and_then(|zone| zone.iana_name());
                let said = format!("allowed-signers {:?} {:?} {zone:?}", file.path, file.groups);
                bytes.push((said, read));
            }
        }
        let Signers { keys: line_keys, authorities: line_authorities, named, .. } = signers.finish();
        let mut lists = Vec::new();
        for file in &sources.revocations {
            match Listed::read(file, Owner::RootOrSelf) {
                Ok((listed, read)) => {
                    bytes.push((format!("revocation {:?} {}", file.path, listed.digest), read));
                    lists.push(listed);
                }
                Err(diagnostic) => scan.diagnostics.push(diagnostic),
            }
        }
        let merged = scan.merge_authorities(line_authorities);
        scan.refuse_duplicates(&line_keys, &merged);
        scan.refuse_shared_accounts();
        if !scan.diagnostics.is_empty() {
            let mut diagnostics = scan.diagnostics;
            sort(&mut diagnostics);
            return Err(KeyringError::Invalid { diagnostics });
        }
        let keyless = |file: &&PrincipalFile| file.keys.is_empty() && file.authorities.is_empty();
        for file in scan.files.iter().filter(|file| !file.removed).filter(keyless) {
            let by_line = line_keys.iter().any(|key| key.principal.name == file.principal.name);
            let by_name = !merged.is_empty();
            if !by_line && !by_name && file.accounts.is_empty() {
                let message = format!("`{}` {NO_KEY}", file.principal.name);
                scan.warnings.push(Warning::at(file.place.clone(), message));
            }
        }
        for key in scan.files.iter().flat_map(|file| &file.keys) {
            for remark in key.material.remarks() {
                scan.warnings.push(Warning::at(key.place.clone(), format!("{}: {remark}", key.id())));
            }
        }
        for listed in lists.iter().filter(|listed| listed.is_empty()) {
            scan.warnings.push(Warning::at(Place::whole(listed.path()), "the revocation list is empty"));
        }
        scan.bytes.extend(bytes);
        let digest = digest_of(&scan.bytes);
        let files =
            scan.bytes.iter().map(|(name, bytes)| (name.clone(), Sha256::digest(bytes).into())).collect();
        let (mut principals, mut accounts, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        let (mut suspended, mut removed) = (HashMap::new(), Vec::new());
        for file in scan.files {
            keys.extend(file.keys);
            if file.removed {
                removed.push(file.principal.name.clone());
            }
            if let Some(suspension) = file.suspended {
                suspended.insert(file.principal.name.clone(), suspension);
            }
            principals.push(file.principal);
            accounts.push(file.accounts.into_iter().map(|listed| listed.account).collect());
        }
        let of_files = keys.len();
        keys.extend(line_keys);
        mark_suspended(&mut keys, &suspended);
        let mut authorities = merged;
        for listed in &lists {
            listed.mark(&mut keys, &mut authorities);
        }
        let parts = Parts {
            principals,
            accounts,
            suspended,
            removed,
            named_by_lines: named,
            keys,
            of_files,
            authorities,
            lists,
            files,
            digest,
        };
        Ok(LoadedKeyring { keyring: Self::build(parts), warnings: scan.warnings })
    }

    /// This keyring with every revocation that can be read from sources that as a whole are rejected, and
    /// how many of them are news (N15).
    ///
    /// Revocations only make things stricter, so they count whoever could have written the file and
    /// whatever else is wrong with it; one that is itself illegible counts as a compromise. Those that the
    /// owner of an OpenPGP certificate put into a copy of it, of subkeys too, are added to the certificate
    /// that is known, and mean there what they mean in any. Of a revocation list that is broken, what can be
    /// read counts. Nothing else is taken.
    pub fn with_revocations_from(&self, sources: impl Into<Sources>) -> (Keyring, usize) {
        let sources = sources.into();
        let scan = Scan::of(&sources.dir, Owner::Unchecked, &[]);
        let mut parts = self.parts.clone();
        let mut news = Vec::new();
        for found in scan.files.iter().flat_map(|file| &file.keys) {
            let id = (found.material.scheme(), found.material.fingerprint());
            if let Some(index) = self.names.get(&id) {
                let key = &mut parts.keys[*index];
                let by_keeper = found.revoked.as_ref().is_some_and(|found| join(&mut key.revoked, found));
                if key.material.take_revocations_of(&found.material) || by_keeper {
                    news.push(key.material.fingerprint());
                }
            }
        }
        // Whether a table calls the key a signer's or an authority's: it is the key that is revoked.
        let authorities = scan.files.iter().flat_map(|file| &file.authorities);
        let authorities = authorities.map(|found| (found.key.fingerprint(), &found.revoked));
        let keys = scan.files.iter().flat_map(|file| &file.keys);
        let keys = keys.map(|found| (found.material.fingerprint(), &found.revoked));
        for (fingerprint, revoked) in authorities.chain(keys) {
            let Some(revoked) = revoked else { continue };
            let authority =
                self.authority_names.get(&fingerprint).map(|index| &mut parts.authorities[*index].revoked);
            let key = self
                .names
                .get(&(Scheme::Ssh, fingerprint.clone()))
                .map(|index| &mut parts.keys[*index].revoked);
            for known in [authority, key].into_iter().flatten() {
                if join(known, revoked) {
                    news.push(fingerprint.clone());
                }
            }
        }
        // A key that no entry of the last good keyring is for may still be a certified one.
        let unheld = scan.files.iter().flat_map(|file| &file.keys).filter_map(|found| {
            let (Material::Ssh(public), Some(revoked)) = (&found.material, &found.revoked) else {
                return None;
            };
            let held = self.ssh.contains_key(public.blob());
            (!held).then(|| Listed::of_key(&found.place.file, revoked, public.blob()))
        });
        for listed in sources.revocations.iter().filter_map(Listed::salvage).chain(unheld) {
            if parts.lists.iter().any(|known| known.digest == listed.digest) {
                continue;
            }
            // It may also revoke certificates, which nothing here can count.
            news.push(listed.digest.clone());
            listed.mark(&mut parts.keys, &mut parts.authorities);
            parts.lists.push(listed);
        }
        for file in &scan.files {
            let Some(found) = &file.suspended else { continue };
            // Whom only lines or certificates name in the last good state may be the one whom this file is for:
            // then an address is the name.
            let meant = std::iter::once(&file.principal.name).chain(&file.principal.emails);
            for name in meant.cloned() {
                let known = parts.suspended.get(&name).cloned();
                let joined = known.clone().map_or_else(|| found.clone(), |known| known.join(found.clone()));
                if known.as_ref() != Some(&joined) {
                    news.push(format!("suspended {name}"));
                    parts.suspended.insert(name, joined);
                }
            }
        }
        mark_suspended(&mut parts.keys, &parts.suspended);
        news.sort_unstable();
        news.dedup();
        if news.is_empty() {
            return (self.clone(), 0);
        }
        // Another state needs another digest: records name the keyring by it.
        let said = |revoked: &Option<Revocation>, inside: String| format!("{revoked:?}{inside}");
        let keys = parts
            .keys
            .iter()
            .map(|key| (key.material.fingerprint(), said(&key.revoked, key.material.revocations())));
        let authorities = parts.authorities.iter();
        let authorities = authorities.map(|one| (one.key.fingerprint(), said(&one.revoked, String::new())));
        let states: Vec<(String, Vec<u8>)> = std::iter::once((parts.digest.clone(), Vec::new()))
            .chain(
                keys.chain(authorities)
                    .filter(|(fingerprint, _)| news.contains(fingerprint))
                    .map(|(fingerprint, said)| (fingerprint, said.into_bytes())),
            )
            .chain(news.iter().map(|one| (one.clone(), Vec::new())))
            .collect();
        parts.digest = digest_of(&states);
        (Self::build(parts), news.len())
    }
}

/// A file that is read as if it had this text, or were not there.
pub(super) type Overlaid = (String, Option<String>);

/// How often a directory is read that is changed meanwhile.
const PATIENCE: usize = 50;

impl Scan {
    /// The directory as it was at one moment: read again where a file changed meanwhile, because a change of
    /// several files is one change. An edit that is under way counts as done from the moment at which a crash
    /// could not undo it.
    pub(super) fn of(dir: &Path, owner: Owner, overlay: &[Overlaid]) -> Scan {
        for _ in 1..PATIENCE {
            let scan = Scan::once(dir, owner, overlay);
            if scan.still_so(dir) {
                return scan;
            }
        }
        // Revocations count whatever is wrong; everything else waits until the directory is left alone.
        let mut scan = Scan::once(dir, owner, overlay);
        if owner != Owner::Unchecked && !scan.still_so(dir) {
            scan.diagnostics.push(Diagnostic::whole(dir, "its files change all the time; try again"));
        }
        scan
    }

    /// Whether every file is still the one that was read, and there is none besides.
    fn still_so(&self, dir: &Path) -> bool {
        let Ok(mut names) = list(dir) else { return true };
        names.retain(|name| name.to_str().is_some_and(|name| name.ends_with(".toml")));
        let journal = dir.join(change::JOURNAL);
        self.seen.0 == Identity::now(&journal)
            && names.len() == self.seen.1.len()
            && self.seen.1.iter().all(|(name, identity)| *identity == Identity::now(&dir.join(name)))
    }

    fn once(dir: &Path, owner: Owner, overlay: &[Overlaid]) -> Scan {
        let mut scan = Scan::default();
        match check_directory(dir, owner) {
            Ok(false) => {}
            Ok(true) => scan
                .warnings
                .push(Warning::at(Place::whole(dir), format!("{OWN_ACCOUNT} the keyring; let root own it"))),
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
        scan.seen.0 = Identity::now(&dir.join(change::JOURNAL));
        let journal = match scan.seen.0.map(|_| change::read_journal(dir, owner)) {
            Some(Ok(journal)) => Some(journal),
            Some(Err(diagnostic)) => {
                scan.diagnostics.push(diagnostic);
                None
            }
            None => None,
        };
        let overlay: HashMap<&str, Option<&String>> =
            overlay.iter().map(|(name, text)| (name.as_str(), text.as_ref())).collect();
        let changing = journal.as_ref().map(|journal| journal.files.as_slice()).unwrap_or_default();
        let changing: HashMap<&str, &JournalFile> = changing
            .iter()
            .filter(|file| file.name != change::MARKER)
            .map(|file| (file.name.as_str(), file))
            .collect();
        let there: HashSet<OsString> = names.iter().cloned().collect();
        let more: BTreeSet<&str> = overlay.keys().chain(changing.keys()).copied().collect();
        names.extend(more.into_iter().map(OsString::from).filter(|name| !there.contains(name)));
        names.sort();
        let mut writable = 0;
        for name in names {
            let path = dir.join(&name);
            let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".toml")) else {
                scan.warnings.push(Warning::at(Place::whole(&path), IGNORED));
                continue;
            };
            let file_name = name.to_str().unwrap_or_default();
            if let Some(text) = overlay.get(file_name) {
                let there = Identity::now(&path);
                scan.seen.1.extend(there.map(|there| (name.clone(), Some(there))));
                if let Some(text) = text {
                    scan.file(&path, stem, (*text).clone().into_bytes());
                }
                continue;
            }
            let under_way = changing.get(file_name);
            let there = path.symlink_metadata().is_ok();
            let mut found = None;
            if there || under_way.is_none() {
                match read_checked(&path, owner, MAX_FILE) {
                    Ok(checked) => {
                        writable += usize::from(checked.own_account_can_write);
                        scan.seen.1.push((name.clone(), Some(checked.identity)));
                        found = Some(checked.bytes);
                    }
                    Err(diagnostic) => {
                        scan.seen.1.push((name.clone(), Identity::now(&path)));
                        scan.diagnostics.push(diagnostic);
                        continue;
                    }
                }
            }
            let bytes = match under_way {
                None => found,
                Some(file) => {
                    if !file.fits(found.as_deref()) {
                        scan.diagnostics.extend(journal.as_ref().map(|journal| journal.strange(dir, file)));
                    }
                    if owner == Owner::Unchecked
                        && let Some(bytes) = found
                    {
                        // What either of them revokes is revoked.
                        scan.file(&path, stem, bytes);
                    }
                    file.after.clone().map(String::into_bytes)
                }
            };
            let Some(bytes) = bytes else { continue };
            scan.file(&path, stem, bytes);
        }
        if writable > 0 {
            let message = format!("{OWN_ACCOUNT} {writable} of its files; let root own them");
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
            self.diagnostics.push(Diagnostic::not_utf8(path, &bytes, error.valid_up_to()));
        }
        let reader = Reader::new(Source::new(path, &readable));
        let file = principal_file::read(&reader, stem);
        self.diagnostics.extend(reader.into_diagnostics());
        self.files.push(file);
        self.bytes.push((stem.to_owned(), bytes));
    }

    /// The authorities of all files, each with everything that one file says about it, and those of lines.
    fn merge_authorities(&mut self, of_lines: Vec<Authority>) -> Vec<Authority> {
        let mut merged: Vec<Authority> = Vec::new();
        let mut index: HashMap<Vec<u8>, (usize, usize)> = HashMap::new();
        let of_files = self.files.iter().enumerate();
        let of_files =
            of_files.flat_map(|(file, one)| one.authorities.iter().map(move |found| (file, found.clone())));
        let lines = self.files.len();
        for (source, found) in of_files.chain(of_lines.into_iter().map(|found| (lines, found))) {
            match index.entry(found.key.blob().to_vec()) {
                Entry::Vacant(free) => {
                    free.insert((source, merged.len()));
                    merged.push(found);
                }
                Entry::Occupied(known) if known.get().0 == source => {
                    let first = &mut merged[known.get().1];
                    first.scopes.extend(found.scopes);
                    if let Some(revoked) = &found.revoked {
                        join(&mut first.revoked, revoked);
                    }
                }
                Entry::Occupied(known) => {
                    let first = &merged[known.get().1];
                    let message = format!("{} is an authority already, at {}", first.id(), first.place);
                    self.diagnostics.push(at_place(&found.place, message).suggest("keep it in one file"));
                }
            }
        }
        merged
    }

    /// A key that two principals have proves nothing about either; one listed twice would have two
    /// windows and two fates; one that signs and certifies could make certificates for others.
    fn refuse_duplicates(&mut self, of_lines: &[Key], authorities: &[Authority]) {
        let mut seen: HashMap<Vec<u8>, &Key> = HashMap::new();
        let authorities: HashMap<&[u8], &Authority> =
            authorities.iter().map(|one| (one.key.blob(), one)).collect();
        let mut found = Vec::new();
        for key in self.files.iter().flat_map(|file| &file.keys).chain(of_lines) {
            let mut first: Option<&Key> = None;
            for identity in key.material.identities() {
                if let Some(authority) = authorities.get(identity.as_slice()) {
                    let message = format!("{} is an authority, at {}", key.id(), authority.place);
                    let help = "use one key to sign and another to certify";
                    found.push(at_place(&key.place, message).suggest(help));
                }
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
                let owner = text::escape_short(first.principal.name.as_bytes(), 60);
                let message = format!("{} is held by `{owner}` already, at {}", key.id(), first.place);
                found.push(at_place(&key.place, message).suggest("keep it in one place"));
            }
        }
        self.diagnostics.extend(found);
    }
}

impl Scan {
    /// An account that two principals list would let one push as the other.
    fn refuse_shared_accounts(&mut self) {
        let mut seen: HashMap<&str, Vec<(&PrincipalFile, &accounts::Listed)>> = HashMap::new();
        let mut found = Vec::new();
        for file in &self.files {
            for listed in &file.accounts {
                let known = seen.entry(listed.account.name.as_str()).or_default();
                let first = known.iter().find(|(other, one)| {
                    other.principal.name != file.principal.name && one.account.overlaps(&listed.account)
                });
                if let Some((other, one)) = first {
                    let message = format!(
                        "the account `{}` overlaps with `{}` of `{}`, at {}",
                        listed.account, one.account, other.principal.name, one.place
                    );
                    let help = "one account belongs to one principal; with its server in front, as in \
                                \"gitlab:alice\", it is of that server only";
                    found.push(at_place(&listed.place, message).suggest(help));
                }
                known.push((file, listed));
            }
        }
        self.diagnostics.extend(found);
    }
}

/// Every key says that its owner is suspended, lines of other files among them.
fn mark_suspended(keys: &mut [Key], suspended: &HashMap<String, Suspension>) {
    if suspended.is_empty() {
        return;
    }
    for key in keys {
        key.suspended = suspended.get(&key.principal.name).cloned();
    }
}

fn at_place(place: &Place, message: String) -> Diagnostic {
    let found = Diagnostic::whole(&place.file, message);
    Diagnostic { line: place.line, column: place.column, ..found }
}

/// A finding at a line and a column, both from 1, of a file that is not TOML.
pub(super) fn at_line(source: &Source, line: usize, column: usize, message: impl Into<String>) -> Diagnostic {
    let text = source.text();
    let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
    let start = starts.take(line.max(1)).last().unwrap_or(0);
    let rest = text[start..].lines().next().unwrap_or_default();
    let from = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
    let width = rest[from..].find([' ', '\t', ',']).filter(|width| *width > 0).unwrap_or(rest.len() - from);
    let found = source.diagnostic(&(start + from..start + from + width), message);
    Diagnostic { line, column, ..found }
}

/// Reads a file beside the directory of principals. Its own directory must be as safe as the file, the one
/// that a link leads to as well.
pub(super) fn read_trusted(path: &Path, owner: Owner, limit: u64) -> Result<Vec<u8>, Diagnostic> {
    let checked = read_checked(path, owner, limit)?;
    let physical = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    for dir in [path.parent(), physical.parent()].into_iter().flatten() {
        check_directory(dir, owner)?;
    }
    Ok(checked.bytes)
}

/// Names in the directory, without those that are ignored in silence.
fn list(dir: &Path) -> std::io::Result<Vec<OsString>> {
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
