//! Whose an entry of an imported file is, and what it changes.

use super::entry::{Entry, Whose};
use super::{Fault, ImportRequest, Read};
use crate::domain::{Principal, text};
use crate::keyring::change::{Draft, Purpose};
use crate::keyring::document::{Diagnostic, Source};
use crate::keyring::edit::{self, EditError};
use crate::keyring::{Key, Keyring, Material, Windows, gravestone, principal_file};
use crate::signature::Scheme;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use toml_edit::{Array, ArrayOfTables, Datetime, Item, Table, value};

/// What was done to a principal's file.
#[derive(Clone, Copy, Default)]
pub(super) struct Touched {
    pub(super) created: bool,
    pub(super) added: usize,
    pub(super) updated: usize,
}

/// Who gets an entry.
struct Owner {
    name: String,
    /// Addresses and groups that a new principal gets from it; `None` for one with a file.
    made: Option<(Vec<String>, Vec<String>)>,
}

pub(super) struct Importer<'a, 'd> {
    pub(super) keyring: &'a Keyring,
    pub(super) draft: &'a mut Draft<'d>,
    pub(super) request: &'a ImportRequest,
    pub(super) source: &'a Source,
    pub(super) purpose: &'a Purpose,
    pub(super) state: State,
}

/// Most faults that are told: what has more of them is something else.
pub(super) const MAX_FAULTS: usize = 50;

/// What keys say of themselves and several of them say, with the fingerprints: it names none of them.
pub(super) fn ambiguous(all: &[(&ImportRequest, Source, Read)]) -> BTreeMap<String, BTreeSet<String>> {
    let mut by_label: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let entries = all.iter().flat_map(|(_, _, found)| &found.entries);
    for entry in entries.filter(|entry| entry.material.scheme() == Scheme::OpenPgp) {
        // Its key id, and the addresses in its user ids.
        let own = entry.labels.iter().skip(1).filter(|label| label.len() == 16 || label.contains('@'));
        for label in own {
            by_label.entry(label.clone()).or_default().insert(entry.material.fingerprint());
        }
    }
    by_label.retain(|_, keys| keys.len() > 1);
    by_label
}

/// What is known from one file to the next.
#[derive(Default)]
pub(super) struct State {
    pub(super) touched: BTreeMap<String, Touched>,
    /// Principals that this file makes.
    pub(super) made: BTreeMap<String, BTreeSet<String>>,
    /// What earlier lines of nobody known call their owners.
    pub(super) named: BTreeMap<String, String>,
    /// What several keys say of themselves, and which.
    pub(super) ambiguous: BTreeMap<String, BTreeSet<String>>,
    /// Keys and parts of keys of earlier entries, and who got them, with their windows.
    pub(super) seen: HashMap<Vec<u8>, (String, Windows)>,
}

impl Importer<'_, '_> {
    fn fault(&self, entry: &Entry, message: impl Into<String>) -> Diagnostic {
        entry.at.fault(self.source, message)
    }

    /// Who has the key, or a part of it.
    fn holder(&self, material: &Material) -> Option<&Key> {
        let index = match material {
            Material::Ssh(key) => self.keyring.ssh.get(key.blob()),
            Material::OpenPgp(_) => {
                let mut all = material.identities().into_iter();
                all.find_map(|one| self.keyring.openpgp.get(&one).and_then(|indexes| indexes.first()))
            }
        };
        index.map(|index| &self.keyring.keys()[*index])
    }

    /// Whether the entry is news.
    pub(super) fn entry(&mut self, entry: &Entry) -> Result<bool, Fault> {
        if let Whose::Authority(patterns) = &entry.whose {
            return self.authority(entry, patterns);
        }
        let held = self.holder(&entry.material).cloned();
        let owner = self.owner(entry, held.as_ref())?;
        if let Some(key) = &held {
            if key.principal.name != owner.name {
                let message =
                    format!("the key is held by `{}` already, at {}", key.principal.name, key.place);
                return Err(self.fault(entry, message).into());
            }
            return self.held(entry, key);
        }
        if let Material::Ssh(key) = &entry.material
            && self.keyring.authority_blobs.contains_key(key.blob())
        {
            return Err(self.fault(entry, "the key is an authority in the keyring").into());
        }
        for identity in entry.material.identities() {
            let seen = (owner.name.clone(), entry.windows.clone());
            match self.state.seen.insert(identity, seen.clone()) {
                None => {}
                Some(known) if known == seen && !entry.says_window => return Ok(false),
                Some((name, _)) if name != owner.name => {
                    let message = format!("the key is held by `{name}` already, by an earlier entry");
                    return Err(self.fault(entry, message).into());
                }
                Some(_) => {
                    let message =
                        "the key is in the file twice, and a principal's file has room for one window";
                    let help = "join the lines, or keep the file as a live source";
                    return Err(self.fault(entry, message).suggest(help).into());
                }
            }
        }
        let mut table = edit::key_table(entry.material.scheme(), &entry.written);
        put_windows(&mut table, &entry.windows);
        if entry.verified {
            table.insert("user-verification", value("required"));
        }
        self.put(&owner.name, owner.made, "key", table)?;
        Ok(true)
    }

    /// A key that its owner has already: a newer copy of a certificate takes the place of the one there.
    fn held(&mut self, entry: &Entry, key: &Key) -> Result<bool, Fault> {
        let (own, copy) = match (&key.material, &entry.material) {
            (Material::OpenPgp(own), Material::OpenPgp(copy)) => (own, copy),
            _ => {
                if entry.says_window && key.windows != entry.windows {
                    let message = format!("the key is there already with another window, at {}", key.place);
                    return Err(self.fault(entry, message).suggest("change the entry by hand").into());
                }
                return Ok(false);
            }
        };
        if own.fingerprint() != copy.fingerprint() {
            let message = format!("it shares a component key with {}, which is there already", key.id());
            return Err(self.fault(entry, message).into());
        }
        if own.minimal() == copy.minimal() {
            return Ok(false);
        }
        if let Err(error) = edit::refuse_lost_revocations(key, &entry.material, self.purpose.at) {
            return Err(self.fault(entry, error.to_string()).into());
        }
        if own.is_up_to_date_with(copy) {
            // An older copy says nothing new.
            return Ok(false);
        }
        let name = &key.principal.name;
        let path = self.draft.path(name);
        let same = |other: &&Key| other.place.file == path;
        let position = self.keyring.keys().iter().filter(same).position(|other| other.id() == key.id());
        let document = self.draft.document(name)?;
        let table = document
            .get_mut("key")
            .and_then(Item::as_array_of_tables_mut)
            .and_then(|tables| tables.get_mut(position?));
        let Some(table) = table else { return Err(uneditable(name)) };
        table.insert("openpgp", edit::multi_line(&entry.written));
        self.state.touched.entry(name.clone()).or_default().updated += 1;
        Ok(true)
    }

    fn authority(&mut self, entry: &Entry, patterns: &[String]) -> Result<bool, Fault> {
        let Material::Ssh(key) = &entry.material else { return Ok(false) };
        let groups = &self.request.file.groups;
        if let Some(index) = self.keyring.authority_blobs.get(key.blob()) {
            let known = &self.keyring.authorities()[*index];
            let same = known.scopes.iter().any(|scope| {
                scope.patterns == patterns && scope.windows == entry.windows && scope.groups == *groups
            });
            if same {
                return Ok(false);
            }
            let of_ours = known.place.file == self.draft.path(&self.request.authorities);
            if !of_ours {
                let message = format!("the authority is there already with other words, at {}", known.place);
                return Err(self.fault(entry, message).suggest("change the entry by hand").into());
            }
        }
        if self.keyring.ssh.contains_key(key.blob()) {
            let message = "the key signs for somebody of the keyring, so it cannot certify";
            return Err(self.fault(entry, message).into());
        }
        let list = |words: &[String]| value(words.iter().map(String::as_str).collect::<Array>());
        let mut table = Table::new();
        table.insert("ssh", value(&entry.written));
        table.insert("principals", list(patterns));
        if !groups.is_empty() {
            table.insert("groups", list(groups));
        }
        put_windows(&mut table, &entry.windows);
        if entry.verified {
            table.insert("user-verification", value("required"));
        }
        let name = self.request.authorities.clone();
        let known = self.keyring.parts.principals.iter().any(|one| one.name == name);
        self.put(&name, (!known).then(|| (Vec::new(), Vec::new())), "authority", table)?;
        Ok(true)
    }

    fn principal(&self, name: &str) -> Option<&Arc<Principal>> {
        self.keyring.parts.principals.iter().find(|one| one.name == name)
    }

    /// Who has this name or address, but for an address that is given again.
    fn called(&self, word: &str) -> impl Iterator<Item = &Arc<Principal>> {
        let reused = self.request.reused.iter().any(|one| gravestone::same(one, word));
        self.keyring.called(word).filter(move |one| !(reused && self.keyring.removed().contains(&one.name)))
    }

    /// Whose the entry is.
    fn owner(&mut self, entry: &Entry, held: Option<&Key>) -> Result<Owner, Fault> {
        if let Whose::Said(words) = &entry.whose {
            return self.said(entry, words, held);
        }
        let claimed = match &entry.whose {
            Whose::Claimed(addresses) => addresses.clone(),
            _ => Vec::new(),
        };
        let groups = self.request.file.groups.clone();
        let given = entry.labels.iter().find_map(|label| Some((label, self.request.names.get(label)?)));
        if let Some((label, name)) = given
            && let Some(keys) = self.state.ambiguous.get(label)
        {
            let (label, own) = (text::escape_short(label.as_bytes(), 60), &entry.labels[0]);
            let shown: Vec<&str> = keys.iter().take(5).map(String::as_str).collect();
            let message = format!("several keys go by `{label}`, which proves nothing: {}", shown.join(", "));
            let help = format!("name each by its fingerprint, this one by `--name {own}={name}`");
            return Err(self.fault(entry, message).suggest(help).into());
        }
        let given = given.map(|(_, name)| name);
        if let Some(name) = given.or(self.request.principal.as_ref()).cloned() {
            let made = self.principal(&name).is_none().then_some((claimed, groups));
            return Ok(Owner { name, made });
        }
        if let Some(key) = held {
            return Ok(Owner { name: key.principal.name.clone(), made: None });
        }
        let label = text::escape_short(entry.labels[0].as_bytes(), 60);
        let help =
            format!("say whose it is: `--name {label}=NAME`, or `--principal NAME` for the whole file");
        let name = match &entry.whose {
            Whose::Called(name) => name.clone(),
            Whose::Claimed(addresses) => {
                let mut names: Vec<String> = addresses.iter().map(|one| called_after(one)).collect();
                names.dedup();
                match &names[..] {
                    [name] => name.clone(),
                    _ => {
                        let shown = text::escape_short(addresses.join(", ").as_bytes(), 120);
                        let message = format!("{label} has several addresses, and they differ: {shown}");
                        return Err(self.fault(entry, message).suggest(help).into());
                    }
                }
            }
            _ => {
                let message = format!("nothing in the file says whose {label} is: comments prove nothing");
                return Err(self.fault(entry, message).suggest(help).into());
            }
        };
        if !principal_file::is_name(&name) {
            let shown = text::escape_short(name.as_bytes(), 60);
            let message = format!("`{shown}` cannot name a principal");
            return Err(self.fault(entry, message).suggest(help).into());
        }
        let named = |word: &String| self.called(word).next().map(|one| one.name.clone());
        if let Some(known) = claimed.iter().chain([&name]).find_map(named) {
            let message =
                format!("{label} claims to be of `{known}`, who is in the keyring, and that proves nothing");
            let help = format!("if it is so, say it: `--name {label}={known}`; give another name otherwise");
            return Err(self.fault(entry, message).suggest(help).into());
        }
        // In a file of one user that is the same user; among certificates it is a second one with the name.
        // Names of files and addresses are kept apart by a byte that no name has.
        let of_file = format!("\0{name}");
        let own = matches!(entry.whose, Whose::Called(_)).then_some(&of_file);
        let words = || claimed.iter().chain([&name, &of_file]);
        if words().any(|word| Some(word) != own && self.state.named.contains_key(word)) {
            let message = format!("an earlier entry of the file claims to be of `{name}`, too");
            return Err(self.fault(entry, message).suggest(help).into());
        }
        match own {
            Some(word) => self.state.named.insert(word.clone(), name.clone()).map_or((), drop),
            None => self
                .state
                .named
                .extend(claimed.iter().chain([&name]).map(|word| (word.clone(), name.clone()))),
        }
        Ok(Owner { name, made: Some((claimed, groups)) })
    }

    /// Whose a line is that names its principals.
    fn said(&mut self, entry: &Entry, words: &[String], held: Option<&Key>) -> Result<Owner, Fault> {
        let mut found: Vec<&Arc<Principal>> = Vec::new();
        for word in words {
            for principal in self.called(word) {
                if found.iter().all(|one| one.name != principal.name) {
                    found.push(principal);
                }
            }
        }
        match found[..] {
            [one] => return Ok(Owner { name: one.name.clone(), made: None }),
            [one, other, ..] => {
                let message =
                    format!("the line names `{}` and `{}`, and a key belongs to one", one.name, other.name);
                return Err(self.fault(entry, message).into());
            }
            [] => {}
        }
        let first = words.first().cloned().unwrap_or_default();
        let given = entry.labels.iter().find_map(|label| self.request.names.get(label));
        let given = given.or(self.request.principal.as_ref());
        let name = given.cloned().unwrap_or_else(|| called_after(&first));
        let given = given.is_some();
        let help = format!("give a name: `--name '{}=NAME'`", text::escape_short(first.as_bytes(), 60));
        if !principal_file::is_name(&name) {
            let shown = text::escape_short(name.as_bytes(), 60);
            let message = format!("`{shown}` cannot name a principal");
            return Err(self.fault(entry, message).suggest(help).into());
        }
        // Somebody else of that name, in the keyring or by an earlier line?
        if self.principal(&name).is_some() {
            if given || held.is_some_and(|key| key.principal.name == name) {
                return Ok(Owner { name, made: None });
            }
            let message = format!("`{name}` is in the keyring and has none of these addresses");
            return Err(self.fault(entry, message).suggest(help).into());
        }
        let known = words.iter().any(|word| self.state.named.get(word) == Some(&name));
        if !known && !given && self.state.named.values().any(|one| *one == name) {
            let message = format!("an earlier line is for another `{name}`");
            return Err(self.fault(entry, message).suggest(help).into());
        }
        self.state.named.extend(words.iter().map(|word| (word.clone(), name.clone())));
        let emails = words.iter().filter(|word| principal_file::is_email(word)).cloned().collect();
        Ok(Owner { name, made: Some((emails, self.request.file.groups.clone())) })
    }

    /// Adds a table to a principal's file, which `made` is for where it is new: addresses and groups.
    fn put(
        &mut self,
        name: &str,
        made: Option<(Vec<String>, Vec<String>)>,
        kind: &'static str,
        table: Table,
    ) -> Result<(), Fault> {
        if self.keyring.removed().iter().any(|removed| removed == name) {
            let message = format!(
                "`{name}` was removed, and the name is not given again: give another one, or bring the same person back \
                 with `countersign keyring add {name} --returning --reason TEXT` first"
            );
            return Err(EditError::Refused(message).into());
        }
        if let Some((emails, _)) = &made {
            let why = (self.purpose.reason.as_deref(), self.purpose.at);
            gravestone::hand_over(self.draft, name, emails, &self.request.reused, why)?;
        }
        let created = made.is_some() && !self.state.made.contains_key(name);
        let document = if created {
            self.state.made.insert(name.to_owned(), BTreeSet::new());
            self.draft.create(name, &format!("name = \"{name}\"\nkind = \"person\"\n"))?
        } else {
            self.draft.document(name)?
        };
        for (field, words) in
            made.into_iter().flat_map(|(emails, groups)| [("emails", emails), ("groups", groups)])
        {
            if words.is_empty() {
                continue;
            }
            let entry = document.entry(field).or_insert_with(|| value(Array::new()));
            let Some(list) = entry.as_array_mut() else { return Err(uneditable(name)) };
            for word in words {
                if !list.iter().any(|one| one.as_str() == Some(&word)) {
                    list.push(word);
                }
            }
        }
        let tables = document.entry(kind).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
        let Some(tables) = tables.as_array_of_tables_mut() else { return Err(uneditable(name)) };
        tables.push(table);
        let touched = self.state.touched.entry(name.to_owned()).or_default();
        touched.created |= created;
        touched.added += 1;
        Ok(())
    }
}

fn uneditable(name: &str) -> Fault {
    let message = format!("`{name}.toml` cannot be edited: write its keys as `[[key]]` tables first");
    Fault::Edit(EditError::Invalid(message))
}

/// What somebody is called of whom an address is known: the part before the `@`, in the letters of names.
pub(in crate::keyring) fn called_after(word: &str) -> String {
    let local = word.split('@').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    local.chars().map(plain).collect::<String>().to_ascii_lowercase()
}

fn put_windows(table: &mut Table, windows: &Windows) {
    for (name, time) in [("valid-from", windows.begins()), ("valid-until", windows.ends())] {
        if let Some(time) = time {
            let written = time.to_string();
            let item = written.parse::<Datetime>().map_or_else(|_| value(written), value);
            table.insert(name, item);
        }
    }
}
