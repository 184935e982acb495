//! Files that the main one includes: rulesets of the operator's, and of tenants, who may be no friends of each other.

use super::super::{TenantFiles, Warning, values};
use super::Loading;
use crate::domain::text;
use crate::keyring::document::{Diagnostic, Item, Reader, Source, Table, sort};
use crate::policy::{Pattern, Tenant};
use globset::GlobBuilder;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::de::DeValue;

/// Most files that `include` may bring.
const MAX_INCLUDES: usize = 1000;
/// Most files of one tenant: it may be no friend of the others, and all of them are held in memory together.
const MAX_TENANT_FILES: usize = 100;
/// Most memory that the patterns of one tenant may need, bytes: what tenants write must not be able to end the daemon
/// of all of them (N15).
const MAX_TENANT_WEIGHT: usize = 128 << 20;
/// What an expression for messages is taken for, bytes: the most that one can become.
const MAX_MESSAGE_WEIGHT: usize = 128 << 10;

impl Loading {
    /// The files that an `include` pattern names, sorted: wildcards only in the last part. What is wrong with the
    /// pattern is an error of the file that it stands in; what is wrong with the directory is given back.
    pub(super) fn expand(&mut self, item: &Item<'_, '_>, base: &Path, tenant: bool) -> Found {
        let most = if tenant { MAX_TENANT_FILES } else { MAX_INCLUDES };
        let mut found = Found::default();
        let Some(pattern) = values::path(item, base) else { return found };
        let wild = |part: &str| part.contains(['*', '?', '[', '{']);
        let name = pattern.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let dir = pattern.parent().unwrap_or(base).to_owned();
        let shown = |path: &Path| text::escape(path.as_os_str().as_encoded_bytes());
        // Only what the operator wrote may hold wildcards; the base is a real directory whatever its name.
        let written = item.string().unwrap_or_default();
        if written.rsplit_once('/').is_some_and(|(dir, _)| wild(dir)) {
            item.error_with(
                "only the last part of `include` may have wildcards",
                "write \"rulesets.d/*.toml\"",
            );
            return found;
        }
        let glob = match GlobBuilder::new(&name).literal_separator(true).build() {
            Ok(glob) => glob.compile_matcher(),
            Err(error) => {
                item.error(format!("`include` is not a valid glob: {}", error.kind()));
                return found;
            }
        };
        let fault = |message: String| item.reader.source.diagnostic(&item.span, message);
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) => {
                found.faults.push(fault(format!("cannot read `{}`: {error}", shown(&dir))));
                return found;
            }
        };
        let mut files = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => {
                    let name = entry.file_name();
                    if !name.as_encoded_bytes().starts_with(b".") && glob.is_match(Path::new(&name)) {
                        files.push(entry.path());
                    }
                }
                // A directory half read could lack the ruleset that protects something.
                Err(error) => {
                    found.faults.push(fault(format!("cannot read `{}`: {error}", shown(&dir))));
                }
            }
        }
        files.sort();
        if files.is_empty() && tenant {
            // What protects the tenant's repositories is gone, or its name is mistyped.
            found.faults.push(fault(format!("there is no `{}`", shown(&pattern))));
        } else if files.is_empty() {
            let place = item.reader.place(&item.span);
            self.warnings.push(Warning::at(place, "`include` matches no file"));
        }
        if files.len() > most {
            found.faults.push(fault(format!("`include` matches more than {most} files")));
            files.clear();
        }
        if files.iter().any(|file| file == item.reader.source.file()) {
            found.faults.push(fault("`include` matches the file that it stands in".to_owned()));
        }
        files.retain(|file| file != item.reader.source.file());
        found.files = files;
        found
    }

    /// Reads a tenant's files. Whatever is wrong with them is put aside as the tenant's own: it leaves the
    /// tenant's repositories undecided, and nobody else's.
    pub(super) fn tenant(&mut self, index: usize) {
        let TenantFiles { tenant, files, .. } = self.tenants[index].clone();
        let (diagnostics, rulesets) = (self.diagnostics.len(), self.collected.rulesets.len());
        let checked = self.checked.len();
        self.weight = 0;
        for file in &files {
            self.included(file, Some(&tenant));
        }
        let faults = self.diagnostics.split_off(diagnostics);
        if !faults.is_empty() {
            self.collected.rulesets.truncate(rulesets);
            // Another tenant's files may lie in the same directory, and what is wrong with it is said once each.
            self.checked.truncate(checked);
        }
        self.tenants[index].faults.extend(faults);
        sort(&mut self.tenants[index].faults);
    }

    /// Reads an included file, which can only tighten: it holds rulesets and nothing else.
    pub(super) fn included(&mut self, path: &Path, tenant: Option<&Arc<Tenant>>) {
        if let Some(source) = self.read(path) {
            self.rulesets_of(source, tenant);
        }
    }

    pub(super) fn rulesets_of(&mut self, source: Source, tenant: Option<&Arc<Tenant>>) {
        let path = source.file().to_owned();
        let reader = Reader::new(source);
        {
            let document = reader.parse();
            if tenant.is_some() {
                document.iter().for_each(|(_, value)| weigh(value.get_ref(), &mut self.weight));
            }
            if self.weight > MAX_TENANT_WEIGHT {
                let message = format!(
                    "the patterns of this tenant need more than {} MiB of memory, up to this file",
                    MAX_TENANT_WEIGHT >> 20
                );
                self.diagnostics.push(
                    Diagnostic::whole(&path, message).suggest(
                        "write fewer or simpler patterns: `{1,900}` is as long as what it stands for",
                    ),
                );
                return;
            }
            let top =
                Table::new(&reader, &document, 0..0, "an included file, which only holds `[[ruleset]]`");
            let before = self.collected.rulesets.len();
            for ruleset in top.tables("ruleset", "[[ruleset]]") {
                self.collected.read(ruleset, tenant);
            }
            self.collected.rulesets[before..].iter_mut().for_each(|ruleset| ruleset.included = true);
            top.finish();
        }
        self.diagnostics.extend(reader.into_diagnostics());
    }
}

/// Adds about how much memory a value of a tenant's file comes to, where all of its texts are patterns; not all of it
/// where that is too much already.
fn weigh(value: &DeValue<'_>, weight: &mut usize) {
    if *weight > MAX_TENANT_WEIGHT {
        return;
    }
    match value {
        DeValue::String(text) => *weight += Pattern::weight(text),
        DeValue::Array(all) => all.iter().for_each(|one| weigh(one.get_ref(), weight)),
        DeValue::Table(entries) => entries.iter().for_each(|(key, value)| {
            let key: &str = key.get_ref();
            *weight += key.len();
            match value.get_ref() {
                // Expressions for messages stand without `re:`.
                DeValue::String(_) if ["matches", "contains"].contains(&key) => *weight += MAX_MESSAGE_WEIGHT,
                value => weigh(value, weight),
            }
        }),
        _ => *weight += 16,
    }
}

/// What an `include` pattern names, and what keeps it from being all of it.
#[derive(Default)]
pub(super) struct Found {
    pub(super) files: Vec<PathBuf>,
    pub(super) faults: Vec<Diagnostic>,
}
