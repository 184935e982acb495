//! `allowed_signers` files as a part of the keyring (S8).
//!
//! Each line counts as it stands: who its principals are depends on that line and on the principals'
//! files, never on other lines.

use super::authority::{Authority, Scope};
use super::document::{Diagnostic, Owner, Place, Source, Warning};
use super::fido::FidoDemands;
use super::sources::AllowedSigners;
use super::windows::Windows;
use super::{Key, Material, Roles, load};
use crate::domain::{Principal, PrincipalKind, Timestamp, text};
use crate::signature::ssh::{NAMESPACE, allowed_signers};
use allowed_signers::Line;
use std::collections::HashMap;
use std::sync::Arc;

/// Longest name that a line may give somebody, in bytes.
const MAX_NAME: usize = 320;

/// Most faults of a file that are told: what has more of them is something else.
const MAX_FAULTS: usize = 200;

/// What the files hold.
#[derive(Debug, Default)]
pub(super) struct Signers {
    pub(super) keys: Vec<Key>,
    pub(super) authorities: Vec<Authority>,
    /// Those whom no principal's file knows.
    pub(super) named: Vec<Arc<Principal>>,
    /// Where each of those was named first, and by which file's groups.
    by_name: HashMap<String, usize>,
    key_index: HashMap<Vec<u8>, usize>,
    authority_index: HashMap<Vec<u8>, usize>,
}

/// The principals with a file, by name and address.
pub(super) type Known<'a> = HashMap<&'a str, Vec<&'a Arc<Principal>>>;

impl Signers {
    /// Reads one file; gives its bytes, or everything that is wrong with it.
    pub(super) fn read(
        &mut self,
        file: &AllowedSigners,
        known: &Known<'_>,
        diagnostics: &mut Vec<Diagnostic>,
        warnings: &mut Vec<Warning>,
    ) -> Option<Vec<u8>> {
        let limit = allowed_signers::MAX_FILE as u64;
        let bytes = match load::read_trusted(&file.path, Owner::RootOrSelf, limit) {
            Ok(bytes) => bytes,
            Err(diagnostic) => {
                diagnostics.push(diagnostic);
                return None;
            }
        };
        let source = Source::new(&file.path, &String::from_utf8_lossy(&bytes));
        match parse(&bytes, file, &source) {
            Ok(lines) => {
                if !lines.iter().any(|line| line.signs_in(NAMESPACE)) {
                    let message = "no line of the file is for signatures by git, so it gives no key";
                    warnings.push(Warning::at(Place::whole(&file.path), message));
                }
                for line in lines {
                    if let Err(diagnostic) = self.line(line, file, known, &source) {
                        diagnostics.push(diagnostic);
                    }
                }
            }
            Err(mut found) => diagnostics.append(&mut found),
        }
        Some(bytes)
    }

    fn line(
        &mut self,
        line: Line,
        file: &AllowedSigners,
        known: &Known<'_>,
        source: &Source,
    ) -> Result<(), Diagnostic> {
        if !line.signs_in(NAMESPACE) {
            return Ok(());
        }
        let place = Place { file: file.path.clone(), line: line.line, column: 1 };
        let windows = windows(&line);
        if line.authority {
            let Some(list) = line.patterns() else {
                return Err(load::at_line(source, line.line, 1, "the principals are no list of patterns"));
            };
            let scope = Scope {
                patterns: line.principals,
                list,
                windows,
                serials: Vec::new(),
                groups: file.groups.clone(),
                roles: Roles::default(),
                fido: FidoDemands::default(),
                place: place.clone(),
            };
            match self.authority_index.get(line.key.blob()) {
                Some(index) => self.authorities[*index].scopes.push(scope),
                None => {
                    self.authority_index.insert(line.key.blob().to_vec(), self.authorities.len());
                    let revoked = None;
                    self.authorities.push(Authority { key: line.key, scopes: vec![scope], revoked, place });
                }
            }
            return Ok(());
        }
        let principal = self.person(&line, file, known, source)?;
        let material = Material::Ssh(line.key);
        let Material::Ssh(public) = &material else { return Ok(()) };
        match self.key_index.get(public.blob()) {
            Some(index) => {
                let first = &mut self.keys[*index];
                if first.principal.name != principal.name {
                    let owner = text::escape_short(first.principal.name.as_bytes(), 60);
                    let message = format!("{} is held by `{owner}` already, at {}", first.id(), first.place);
                    let found = load::at_line(source, line.line, 1, message);
                    return Err(found.suggest("one key belongs to one principal: keep one of the lines"));
                }
                first.windows = first.windows.clone().union(windows);
            }
            None => {
                self.key_index.insert(public.blob().to_vec(), self.keys.len());
                let fido = FidoDemands::default();
                self.keys.push(Key {
                    principal,
                    material,
                    windows,
                    roles: Roles::default(),
                    fido,
                    revoked: None,
                    suspended: None,
                    place,
                });
            }
        }
        Ok(())
    }

    /// Whose line it is: of the one principal with a file that it names, or of whom it names first.
    fn person(
        &mut self,
        line: &Line,
        file: &AllowedSigners,
        known: &Known<'_>,
        source: &Source,
    ) -> Result<Arc<Principal>, Diagnostic> {
        let mut found: Vec<&Arc<Principal>> = Vec::new();
        for word in &line.principals {
            for principal in known.get(word.as_str()).into_iter().flatten() {
                if found.iter().all(|one| one.name != principal.name) {
                    found.push(principal);
                }
            }
        }
        match found[..] {
            [one] => return Ok(Arc::clone(one)),
            [] => {}
            [one, other, ..] => {
                let message =
                    format!("the line names `{}` and `{}`, and a key belongs to one", one.name, other.name);
                let found = load::at_line(source, line.line, 1, message);
                return Err(found.suggest("name one of them"));
            }
        }
        let name = line.principals.first().cloned().unwrap_or_default();
        if name.is_empty() || name.len() > MAX_NAME || text::escape(name.as_bytes()) != name {
            let message = "the first principal is empty, too long or not visible, so it can name nobody";
            return Err(load::at_line(source, line.line, 1, message));
        }
        let emails = line.principals.iter().filter(|word| super::principal_file::is_email(word)).cloned();
        match self.by_name.get(&name) {
            Some(index) => {
                let one = Arc::make_mut(&mut self.named[*index]);
                if one.groups != file.groups {
                    let message = format!("`{name}` is in another file already, which gives other groups");
                    let found = load::at_line(source, line.line, 1, message);
                    return Err(found.suggest("give both files the same `groups`, or make a file for them"));
                }
                for email in emails {
                    if !one.emails.contains(&email) {
                        one.emails.push(email);
                    }
                }
                Ok(Arc::clone(&self.named[*index]))
            }
            None => {
                let made = Arc::new(Principal {
                    name: name.clone(),
                    kind: PrincipalKind::Person,
                    emails: emails.collect(),
                    groups: file.groups.clone(),
                });
                self.by_name.insert(name, self.named.len());
                self.named.push(Arc::clone(&made));
                Ok(made)
            }
        }
    }

    /// Every key gets its owner with all addresses, those of later lines included.
    pub(super) fn finish(mut self) -> Self {
        for key in &mut self.keys {
            if let Some(index) = self.by_name.get(&key.principal.name) {
                key.principal = Arc::clone(&self.named[*index]);
            }
        }
        self
    }
}

/// A file's lines, or its faults with their places.
pub(super) fn parse(
    bytes: &[u8],
    file: &AllowedSigners,
    source: &Source,
) -> Result<Vec<Line>, Vec<Diagnostic>> {
    allowed_signers::parse(bytes, file.zone.as_ref()).map_err(|faults| {
        let one = |fault: allowed_signers::LineError| {
            let message = fault.fault.to_string();
            load::at_line(source, fault.line, fault.column, message).suggest(fault.suggestion())
        };
        faults.into_iter().take(MAX_FAULTS).map(one).collect()
    })
}

/// OpenSSH's end is the last second that counts; ours is the first that does not (S010).
pub(super) fn windows(line: &Line) -> Windows {
    let time = |second: i64| Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
    let until = line.valid_before.and_then(|last| last.checked_add(1)).map(time);
    Windows::one(line.valid_after.map(time), until)
}
