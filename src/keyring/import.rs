//! Turning files of other programs into principals' files, once.
//!
//! Whatever the format, a file becomes a list of [`Entry`]s with their places, or a list of faults. Whose an
//! entry is, and what it changes, is decided here. Nothing that a key or the name of a file says of itself
//! makes it that of a principal who is there already: only the operator does, or a list whose keeper named
//! its principals.

mod authorized_keys;
mod certificates;
mod entry;
mod formats;
mod importer;
pub(super) mod manifest;
mod yaml;

pub use formats::FileFormat;

use super::change::{ChangeOptions, Changed, Draft, Purpose, change};
use super::document::{Diagnostic, Source};
use super::edit::EditError;
use super::sources::AllowedSigners;
use super::{Material, Sources, gravestone, principal_file, signers};
use crate::domain::{Timestamp, text};
use crate::signature::ssh::NAMESPACE;
use entry::{At, Entry, Whose};
pub(super) use importer::called_after;
use importer::{Importer, MAX_FAULTS, State, Touched, ambiguous};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes.
pub const MAX_IMPORT: usize = certificates::MAX_FILE;

/// What to import.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    /// The file: its path for messages, the zone of its times, and the groups that new principals join and
    /// holders of certificates get.
    pub file: AllowedSigners,
    /// What the file holds.
    pub bytes: Vec<u8>,
    /// How it is written; `None` for what it seems to be.
    pub format: Option<FileFormat>,
    /// Whose all of its keys are.
    pub principal: Option<String>,
    /// How those are to be called of whom the file says it badly, by a principal, an address, a fingerprint,
    /// a key id or a name in a Secret.
    pub names: BTreeMap<String, String>,
    /// Options of `authorized_keys` that do not matter although they narrow what the key is for.
    pub ignored_options: Vec<String>,
    /// By fingerprint, key id, address or principal: what is imported; everything, where nothing is said.
    pub only: Vec<String>,
    /// Whether certificates that cannot be read are left out, and the others imported.
    pub skip_unreadable: bool,
    /// Addresses of people who were removed that others may get. That takes a reason.
    pub reused: Vec<String>,
    /// The principal in whose file authorities are written.
    pub authorities: String,
    /// Whether nothing is written.
    pub dry_run: bool,
}

impl ImportRequest {
    /// A file, and nothing said about it.
    pub fn of(path: &Path, bytes: Vec<u8>) -> Self {
        ImportRequest {
            file: AllowedSigners { path: path.to_owned(), groups: Vec::new(), zone: None },
            bytes,
            format: None,
            principal: None,
            names: BTreeMap::new(),
            ignored_options: Vec::new(),
            only: Vec::new(),
            skip_unreadable: false,
            reused: Vec::new(),
            authorities: "ssh-authorities".to_owned(),
            dry_run: false,
        }
    }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The files that were read.
    pub sources: Vec<ImportedSource>,
    /// Files that were written, or would be, with their new texts.
    pub files: Vec<ImportedFile>,
    /// Keys and authorities that the keyring has already, just so.
    pub unchanged: usize,
    /// What is worth knowing about what was done.
    pub warnings: Vec<String>,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedSource {
    /// The file.
    pub path: PathBuf,
    /// How it was read.
    pub format: FileFormat,
    /// How many keys and authorities it has.
    pub entries: usize,
    /// Lines that are not for signatures by git.
    pub skipped: Vec<usize>,
    /// Certificates that cannot be read and were left out, each with what is wrong with it.
    pub unreadable: Vec<Diagnostic>,
}

/// A principal's file that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedFile {
    /// Whose.
    pub name: String,
    /// Where.
    pub path: PathBuf,
    /// Whether it is new.
    pub created: bool,
    /// Keys and authorities that are new in it.
    pub added: usize,
    /// Certificates of which a newer copy took the place of the one that was there.
    pub updated: usize,
    /// Its new text.
    pub text: String,
    /// What changes in it, as a unified diff.
    pub diff: String,
}

/// Writes what files of other programs say into the principals' files of a keyring.
///
/// Whose a line of `allowed_signers` is, is decided as for a live file; a line of nobody known makes a
/// principal called after it. Certificates make principals called after the address in their user ids, and
/// the keys of a forge one called after the file. What the keyring has already is left alone, so a second run
/// changes nothing. The whole keyring is checked with all changes in place before anything is written, and
/// all of them are one change.
///
/// # Errors
/// See [`EditError`]; a fault in the file names its line and column. Nothing was written then, unless a
/// file operation failed.
pub fn import(sources: impl Into<Sources>, requests: &[ImportRequest]) -> Result<Imported, EditError> {
    let mut options = ChangeOptions::unrecorded("import", Timestamp::now());
    options.dry_run = requests.iter().any(|request| request.dry_run);
    import_with(&sources.into(), requests, &options).map(|changed| changed.value)
}

/// [`import`], with everything that belongs to a change. `options` say whether anything is written.
///
/// # Errors
/// See [`EditError`].
pub fn import_with(
    sources: &Sources,
    requests: &[ImportRequest],
    options: &ChangeOptions<'_>,
) -> Result<Changed<Imported>, EditError> {
    let (mut all, mut faults) = (Vec::new(), Vec::new());
    for request in requests {
        let names = request.names.values().chain(&request.principal).chain([&request.authorities]);
        for name in names.chain(&request.file.groups) {
            if !principal_file::is_name(name) {
                let shown = text::escape_short(name.as_bytes(), 60);
                return Err(EditError::Invalid(format!("`{shown}` cannot name a principal or a group")));
            }
        }
        // Nothing of what is binary is ever shown.
        let binary = request.bytes.first().is_some_and(|first| *first >= 0x80);
        let text = if binary || request.bytes.len() > MAX_IMPORT { &[] } else { &request.bytes[..] };
        let source = Source::new(&request.file.path, &String::from_utf8_lossy(text));
        match read(request, &source) {
            Ok(found) => all.push((request, source, found)),
            Err(found) => faults.extend(found),
        }
    }
    if !faults.is_empty() {
        return Err(EditError::Import(faults));
    }
    chosen(&mut all)?;
    let mut done = change(sources, options, |draft| drafted(draft, &all, &options.purpose))?;
    for file in &mut done.value.files {
        if let Some(changed) = done.files.iter().find(|changed| changed.principal == file.name) {
            file.text = changed.after.clone().unwrap_or_default();
            file.diff = changed.diff();
        }
    }
    let changed = |file: &ImportedFile| done.files.iter().any(|changed| changed.principal == file.name);
    done.value.files.retain(changed);
    done.value.warnings = given_again(&done, requests);
    Ok(done)
}

/// Of addresses of people who were removed that others have now, by this import.
fn given_again(done: &Changed<Imported>, requests: &[ImportRequest]) -> Vec<String> {
    let mut told = Vec::new();
    for file in &done.value.files {
        let Ok(principal) = done.keyring.principal(&file.name) else { continue };
        let has = |one: &&String| principal.emails.iter().any(|email| gravestone::same(email, one));
        let reused: BTreeSet<&String> =
            requests.iter().flat_map(|request| &request.reused).filter(has).collect();
        let reused: Vec<String> = reused.into_iter().cloned().collect();
        told.extend(gravestone::certified(&done.keyring, &file.name, &reused));
    }
    told
}

/// Keeps what was asked for. What was asked for and is in no file is told with what could not be read, which it may
/// be.
fn chosen(all: &mut [(&ImportRequest, Source, Read)]) -> Result<(), EditError> {
    let Some(only) = all.first().map(|(request, ..)| request.only.clone()).filter(|only| !only.is_empty())
    else {
        return Ok(());
    };
    let is = |word: &String, entry: &Entry| {
        entry
            .labels
            .iter()
            .any(|label| label == word || (word.contains('@') && label.eq_ignore_ascii_case(word)))
    };
    let known =
        |word: &String| all.iter().flat_map(|(_, _, found)| &found.entries).any(|entry| is(word, entry));
    let missing: Vec<String> = only
        .iter()
        .filter(|word| !known(word))
        .map(|word| format!("`{}`", text::escape_short(word.as_bytes(), 80)))
        .collect();
    if !missing.is_empty() {
        let unreadable = all.iter().flat_map(|(_, _, found)| &found.unreadable);
        let told: Vec<String> = unreadable.map(|one| format!("\n\n{one}")).collect();
        return Err(EditError::Invalid(format!(
            "nothing that can be read there goes by {}{}",
            missing.join(", "),
            told.concat()
        )));
    }
    for (_, _, found) in all {
        found.entries.retain(|entry| only.iter().any(|word| is(word, entry)));
        // Everything that was asked for is there, so that what cannot be read is something else.
        found.unreadable.clear();
    }
    Ok(())
}

fn drafted(
    draft: &mut Draft<'_>,
    all: &[(&ImportRequest, Source, Read)],
    purpose: &Purpose,
) -> Result<Imported, EditError> {
    let keyring = draft.keyring;
    let mut done = Imported { sources: Vec::new(), files: Vec::new(), unchanged: 0, warnings: Vec::new() };
    let mut state = State { ambiguous: ambiguous(all), ..State::default() };
    let mut faults = Vec::new();
    for (request, source, found) in all {
        let mut importer = Importer { keyring, draft: &mut *draft, request, source, purpose, state };
        for entry in &found.entries {
            if faults.len() >= MAX_FAULTS {
                break;
            }
            match importer.entry(entry) {
                Ok(true) => {}
                Ok(false) => done.unchanged += 1,
                Err(Fault::Entry(diagnostic)) => faults.push(*diagnostic),
                Err(Fault::Edit(error)) => return Err(error),
            }
        }
        state = importer.state;
        let (path, skipped) = (request.file.path.clone(), found.skipped.clone());
        let (format, entries) = (found.format, found.entries.len());
        let unreadable = found.unreadable.clone();
        done.sources.push(ImportedSource { path, format, entries, skipped, unreadable });
    }
    if !faults.is_empty() {
        return Err(EditError::Import(faults));
    }
    for (name, touched) in state.touched {
        let path = draft.path(&name);
        let Touched { created, added, updated } = touched;
        let (text, diff) = (String::new(), String::new());
        done.files.push(ImportedFile { name, path, created, added, updated, text, diff });
    }
    Ok(done)
}

/// What a file says.
struct Read {
    format: FileFormat,
    entries: Vec<Entry>,
    skipped: Vec<usize>,
    unreadable: Vec<Diagnostic>,
}

fn read(request: &ImportRequest, source: &Source) -> Result<Read, Vec<Diagnostic>> {
    let ImportRequest { file, bytes, .. } = request;
    if bytes.len() > MAX_IMPORT {
        return Err(vec![Diagnostic::whole(&file.path, "the file is larger than 64 MiB")]);
    }
    let format = match request.format {
        Some(format) => format,
        None => FileFormat::detect(&file.path, source, bytes).map_err(|fault| vec![fault])?,
    };
    let lines = |options: bool, whose: Whose| {
        let reading = authorized_keys::Reading {
            options,
            ignored: &request.ignored_options,
            zone: file.zone.as_ref(),
            whose,
            at: None,
        };
        authorized_keys::read(bytes, &reading, source)
    };
    let (mut skipped, mut unreadable) = (Vec::new(), Vec::new());
    let tolerant = request.skip_unreadable || !request.only.is_empty();
    let certificates = |unreadable: &mut Vec<Diagnostic>| match tolerant {
        false => certificates::read(bytes, At::WHOLE, source),
        true => {
            let (entries, others) = certificates::read_some(bytes, At::WHOLE, source, usize::MAX)?;
            unreadable.extend(others);
            Ok(entries)
        }
    };
    let entries = match format {
        FileFormat::AllowedSigners => {
            let lines = signers::parse(bytes, file, source)?;
            let (ours, others): (Vec<_>, Vec<_>) =
                lines.into_iter().partition(|line| line.signs_in(NAMESPACE));
            skipped = others.iter().map(|line| line.line).collect();
            let entry = |line: crate::signature::ssh::allowed_signers::Line| Entry {
                at: At::line(line.line),
                windows: signers::windows(&line),
                says_window: true,
                verified: false,
                labels: line.principals.iter().cloned().chain([line.key.fingerprint()]).collect(),
                written: authorized_keys::public_line(&line.key, &line.comment),
                material: Material::Ssh(line.key),
                whose: match line.authority {
                    true => Whose::Authority(line.principals),
                    false => Whose::Said(line.principals),
                },
            };
            ours.into_iter().map(entry).collect()
        }
        FileFormat::AuthorizedKeys => lines(true, Whose::Unsaid)?,
        FileFormat::Pub => lines(false, Whose::Unsaid)?,
        FileFormat::OpenPgp => certificates(&mut unreadable)?,
        FileFormat::Forge => {
            let stem = file.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let user = stem.to_ascii_lowercase();
            let whose = if principal_file::is_name(&user) { Whose::Called(user) } else { Whose::Unsaid };
            let text = bytes.iter().copied().find(|byte| !byte.is_ascii_whitespace());
            match text {
                Some(b'-' | 0x80..) => {
                    let mut all = certificates(&mut unreadable)?;
                    // Whose they are says the forge, not the user ids.
                    all.iter_mut().for_each(|entry| entry.whose = whose.clone());
                    all
                }
                _ => lines(false, whose)?,
            }
        }
        FileFormat::ArgoCd | FileFormat::Flux => manifest::read(bytes, format, file.zone.as_ref(), source)?,
    };
    if entries.is_empty() && !unreadable.is_empty() {
        // Leaving everything out is no import.
        return Err(unreadable);
    }
    if entries.is_empty() && skipped.is_empty() && format != FileFormat::AllowedSigners {
        return Err(vec![Diagnostic::whole(&file.path, "there is no key in the file")]);
    }
    Ok(Read { format, entries, skipped, unreadable })
}

enum Fault {
    Entry(Box<Diagnostic>),
    Edit(EditError),
}

impl From<Diagnostic> for Fault {
    fn from(diagnostic: Diagnostic) -> Self {
        Fault::Entry(Box::new(diagnostic))
    }
}

impl From<EditError> for Fault {
    fn from(error: EditError) -> Self {
        Fault::Edit(error)
    }
}
