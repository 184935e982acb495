//! Turning an `allowed_signers` file into principals' files, once.

use super::change::{ChangeOptions, Changed, broken, change};
use super::document::{Diagnostic, Source};
use super::edit::EditError;
use super::sources::AllowedSigners;
use super::{Keyring, Material, Sources, load, principal_file, signers};
use crate::domain::{Principal, Timestamp, text};
use crate::signature::ssh::{NAMESPACE, allowed_signers::Line};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use toml_edit::{Array, ArrayOfTables, Datetime, DocumentMut, Item, Table, value};

/// What to import.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    /// The file: its path for messages, the zone of its times, and the groups that new principals join and
    /// holders of certificates get.
    pub file: AllowedSigners,
    /// What the file holds.
    pub bytes: Vec<u8>,
    /// How those are to be called whose first principal says it badly.
    pub names: BTreeMap<String, String>,
    /// The principal in whose file authorities are written.
    pub authorities: String,
    /// Whether nothing is written.
    pub dry_run: bool,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Files that were written, or would be, with their new texts.
    pub files: Vec<ImportedFile>,
    /// Lines whose keys and authorities the keyring has already, just so.
    pub unchanged: usize,
    /// Lines that are not for signatures by git.
    pub skipped: Vec<usize>,
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
    /// Its new text.
    pub text: String,
}

/// A file on its way.
struct Draft {
    document: DocumentMut,
    created: bool,
    added: usize,
}

/// Writes what an `allowed_signers` file says into the principals' files of a keyring.
///
/// Whose a line is, is decided as for a live file; a line of nobody known makes a principal called after
/// it. What the keyring has already is left alone, so a second run changes nothing. The whole keyring is
/// checked with all changes in place before anything is written, and all of them are one change.
///
/// # Errors
/// See [`EditError`]; a fault in the file names its line and column. Nothing was written then, unless a
/// file operation failed.
pub fn import(sources: impl Into<Sources>, request: &ImportRequest) -> Result<Imported, EditError> {
    let mut options = ChangeOptions::unrecorded("import", Timestamp::now());
    options.dry_run = request.dry_run;
    import_with(&sources.into(), request, &options).map(|changed| changed.value)
}

/// [`import`], with everything that belongs to a change. `options` say whether anything is written.
///
/// # Errors
/// See [`EditError`].
pub fn import_with(
    sources: &Sources,
    request: &ImportRequest,
    options: &ChangeOptions<'_>,
) -> Result<Changed<Imported>, EditError> {
    for name in request.names.values().chain([&request.authorities]).chain(&request.file.groups) {
        if !principal_file::is_name(name) {
            let shown = text::escape_short(name.as_bytes(), 60);
            return Err(EditError::Invalid(format!("`{shown}` cannot name a principal or a group")));
        }
    }
    let source = Source::new(&request.file.path, &String::from_utf8_lossy(&request.bytes));
    let lines = signers::parse(&request.bytes, &request.file, &source).map_err(EditError::Import)?;
    change(sources, options, |draft| {
        let done = drafted(draft.keyring, sources, request, source, &lines)?;
        for file in &done.files {
            if file.created {
                draft.create(&file.name, &file.text)?;
            } else {
                *draft.document(&file.name)? = file.text.parse().map_err(|_| broken(&file.name))?;
            }
        }
        Ok(done)
    })
}

fn drafted(
    keyring: &Keyring,
    sources: &Sources,
    request: &ImportRequest,
    source: Source,
    lines: &[Line],
) -> Result<Imported, EditError> {
    let mut importer =
        Importer { keyring, sources, request, source, drafts: BTreeMap::new(), named: BTreeMap::new() };
    let mut done = Imported { files: Vec::new(), unchanged: 0, skipped: Vec::new() };
    let mut faults = Vec::new();
    for line in lines {
        if !line.signs_in(NAMESPACE) {
            done.skipped.push(line.line);
            continue;
        }
        match importer.line(line) {
            Ok(true) => {}
            Ok(false) => done.unchanged += 1,
            Err(Fault::Line(diagnostic)) => faults.push(*diagnostic),
            Err(Fault::Edit(error)) => return Err(error),
        }
    }
    if !faults.is_empty() {
        return Err(EditError::Import(faults));
    }
    for (name, draft) in importer.drafts {
        if draft.created || draft.added > 0 {
            let path = sources.dir.join(format!("{name}.toml"));
            let Draft { document, created, added } = draft;
            done.files.push(ImportedFile { name, path, created, added, text: document.to_string() });
        }
    }
    Ok(done)
}

enum Fault {
    Line(Box<Diagnostic>),
    Edit(EditError),
}

impl From<Diagnostic> for Fault {
    fn from(diagnostic: Diagnostic) -> Self {
        Fault::Line(Box::new(diagnostic))
    }
}

struct Importer<'a> {
    keyring: &'a Keyring,
    sources: &'a Sources,
    request: &'a ImportRequest,
    source: Source,
    drafts: BTreeMap<String, Draft>,
    /// What earlier lines of nobody known call their owners.
    named: BTreeMap<String, String>,
}

impl Importer<'_> {
    fn fault(&self, line: &Line, message: impl Into<String>) -> Diagnostic {
        load::at_line(&self.source, line.line, 1, message)
    }

    /// Whether the line is news.
    fn line(&mut self, line: &Line) -> Result<bool, Fault> {
        if line.authority {
            return self.authority(line);
        }
        let (name, owner) = self.name(line)?;
        let windows = signers::windows(line);
        if let Some(key) = self.keyring.ssh.get(line.key.blob()).map(|index| &self.keyring.keys()[*index]) {
            if key.principal.name != name {
                let message =
                    format!("the key is held by `{}` already, at {}", key.principal.name, key.place);
                return Err(self.fault(line, message).into());
            }
            if key.windows != windows {
                let message = format!("the key is there already with another window, at {}", key.place);
                return Err(self.fault(line, message).suggest("change the entry by hand").into());
            }
            return Ok(false);
        }
        if self.keyring.authority_blobs.contains_key(line.key.blob()) {
            return Err(self.fault(line, "the key is an authority in the keyring").into());
        }
        let emails = line.principals.iter().filter(|word| principal_file::is_email(word)).cloned().collect();
        let mut table = Table::new();
        table.insert("ssh", value(public_line(line)));
        put_windows(&mut table, line);
        let made = owner.is_none().then_some((emails, self.request.file.groups.clone()));
        if self.wrote_before(&name, line) {
            let message = "the key is in the file twice, and a principal's file has room for one window";
            return Err(self
                .fault(line, message)
                .suggest("join the lines, or keep the file as a live source")
                .into());
        }
        self.put(&name, made, "key", table)?;
        Ok(true)
    }

    /// Whether an earlier line of the file brought the same key.
    fn wrote_before(&self, name: &str, line: &Line) -> bool {
        let tables = self.drafts.get(name).and_then(|draft| draft.document.get("key")?.as_array_of_tables());
        tables.into_iter().flatten().any(|table| {
            let written = table.get("ssh").and_then(Item::as_str);
            let written = written.and_then(|text| Material::ssh(text).ok());
            matches!(written, Some(Material::Ssh(key)) if key.blob() == line.key.blob())
        })
    }

    fn authority(&mut self, line: &Line) -> Result<bool, Fault> {
        let windows = signers::windows(line);
        let groups = &self.request.file.groups;
        if let Some(index) = self.keyring.authority_blobs.get(line.key.blob()) {
            let known = &self.keyring.authorities()[*index];
            let same = known.scopes.iter().any(|scope| {
                scope.patterns == line.principals && scope.windows == windows && scope.groups == *groups
            });
            if same {
                return Ok(false);
            }
            let of_ours =
                known.place.file == self.sources.dir.join(format!("{}.toml", self.request.authorities));
            if !of_ours {
                let message = format!("the authority is there already with other words, at {}", known.place);
                return Err(self.fault(line, message).suggest("change the entry by hand").into());
            }
        }
        if self.keyring.ssh.contains_key(line.key.blob()) {
            return Err(self
                .fault(line, "the key signs for somebody of the keyring, so it cannot certify")
                .into());
        }
        let list = |words: &[String]| value(words.iter().map(String::as_str).collect::<Array>());
        let mut table = Table::new();
        table.insert("ssh", value(public_line(line)));
        table.insert("principals", list(&line.principals));
        if !groups.is_empty() {
            table.insert("groups", list(groups));
        }
        put_windows(&mut table, line);
        let name = self.request.authorities.clone();
        let known = self.keyring.parts.principals.iter().any(|one| one.name == name);
        self.put(&name, (!known).then(|| (Vec::new(), Vec::new())), "authority", table)?;
        Ok(true)
    }

    /// How the owner of a line is called, and who that is where there is one.
    fn name(&mut self, line: &Line) -> Result<(String, Option<Arc<Principal>>), Fault> {
        let mut found: Vec<&Arc<Principal>> = Vec::new();
        for word in &line.principals {
            for principal in self.keyring.called(word) {
                if found.iter().all(|one| one.name != principal.name) {
                    found.push(principal);
                }
            }
        }
        match found[..] {
            [one] => return Ok((one.name.clone(), Some(Arc::clone(one)))),
            [one, other, ..] => {
                let message =
                    format!("the line names `{}` and `{}`, and a key belongs to one", one.name, other.name);
                return Err(self.fault(line, message).into());
            }
            [] => {}
        }
        let first = line.principals.first().cloned().unwrap_or_default();
        let given = line.principals.iter().find_map(|word| self.request.names.get(word));
        let name = match given {
            Some(name) => name.clone(),
            None => {
                let local = first.split('@').next().unwrap_or_default();
                let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
                local.chars().map(plain).collect::<String>().to_ascii_lowercase()
            }
        };
        let given = given.is_some();
        let help = format!("give a name: `--name '{}=NAME'`", text::escape_short(first.as_bytes(), 60));
        if !principal_file::is_name(&name) {
            let shown = text::escape_short(name.as_bytes(), 60);
            return Err(self.fault(line, format!("`{shown}` cannot name a principal")).suggest(help).into());
        }
        // Somebody else of that name, in the keyring or by an earlier line?
        let owner = self.keyring.parts.principals.iter().find(|one| one.name == name);
        if let Some(owner) = owner {
            let holder = self.keyring.ssh.get(line.key.blob()).map(|index| &self.keyring.keys()[*index]);
            if given || holder.is_some_and(|key| key.principal.name == name) {
                return Ok((name, Some(Arc::clone(owner))));
            }
            let message = format!("`{name}` is in the keyring and has none of these addresses");
            return Err(self.fault(line, message).suggest(help).into());
        }
        let known = line.principals.iter().any(|word| self.named.get(word) == Some(&name));
        if !known && !given && self.named.values().any(|one| *one == name) {
            let message = format!("an earlier line is for another `{name}`");
            return Err(self.fault(line, message).suggest(help).into());
        }
        self.named.extend(line.principals.iter().map(|word| (word.clone(), name.clone())));
        Ok((name, None))
    }

    /// Adds a table to a principal's file, which `made` is for where it is new: addresses and groups.
    fn put(
        &mut self,
        name: &str,
        made: Option<(Vec<String>, Vec<String>)>,
        kind: &'static str,
        table: Table,
    ) -> Result<(), Fault> {
        if !self.drafts.contains_key(name) {
            let path = self.sources.dir.join(format!("{name}.toml"));
            let (before, created) = match &made {
                Some(_) => (format!("name = \"{name}\"\nkind = \"person\"\n"), true),
                None => {
                    let read = std::fs::read_to_string(&path).map_err(|source| {
                        Fault::Edit(EditError::Io { step: "read", path: path.clone(), source })
                    })?;
                    (read, false)
                }
            };
            let document = before.parse().map_err(|_| self.broken(name))?;
            self.drafts.insert(name.to_owned(), Draft { document, created, added: 0 });
        }
        let broken = self.broken(name);
        let Some(draft) = self.drafts.get_mut(name) else { return Err(broken) };
        for (field, words) in
            made.into_iter().flat_map(|(emails, groups)| [("emails", emails), ("groups", groups)])
        {
            if words.is_empty() {
                continue;
            }
            let entry = draft.document.entry(field).or_insert_with(|| value(Array::new()));
            let Some(list) = entry.as_array_mut() else { return Err(broken) };
            for word in words {
                if !list.iter().any(|one| one.as_str() == Some(&word)) {
                    list.push(word);
                }
            }
        }
        let tables = draft.document.entry(kind).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
        let Some(tables) = tables.as_array_of_tables_mut() else { return Err(broken) };
        tables.push(table);
        draft.added += 1;
        Ok(())
    }

    fn broken(&self, name: &str) -> Fault {
        let message = format!("`{name}.toml` cannot be edited: write its keys as `[[key]]` tables first");
        Fault::Edit(EditError::Invalid(message))
    }
}

/// The key as a `.pub` file has it, with a comment that a line of TOML can hold.
fn public_line(line: &Line) -> String {
    let key = format!("{} {}", line.key.algorithm(), data_encoding::BASE64.encode(line.key.blob()));
    let comment = text::escape_short(line.comment.as_bytes(), 200);
    if comment.is_empty() { key } else { format!("{key} {comment}") }
}

fn put_windows(table: &mut Table, line: &Line) {
    let windows = signers::windows(line);
    for (name, time) in [("valid-from", windows.begins()), ("valid-until", windows.ends())] {
        if let Some(time) = time {
            let written = time.to_string();
            let item = written.parse::<Datetime>().map_or_else(|_| value(written), value);
            table.insert(name, item);
        }
    }
}
