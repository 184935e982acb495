//! From file to [`Config`].

mod include;

use super::rulesets::{self, Collected};
use super::trusted_source::{TakenState, TrustedSource};
use super::{
    Config, Daemon, Place, TenantFiles, Warning, daemon, keyring_sources, repositories, signatures, sources,
    tenants, values,
};
use crate::domain::text;
use crate::keyring::document::{Diagnostic, Item, Owner, Reader, Source, Table};
use crate::keyring::document::{check_directory, own_uid, read_checked, sort};
use crate::keyring::{Sources, Taken};
use crate::policy::rules::Configured;
use crate::policy::{Limits, Proof, Ruleset, Rulesets, Tenant, Uncovered};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Largest configuration file, in bytes.
const MAX_FILE: u64 = 4 << 20;
/// Longest contact line, in characters.
const MAX_CONTACT: usize = 200;

/// A configuration, and what is odd about it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What the operator probably did not mean.
    pub warnings: Vec<Warning>,
}

/// Why a configuration does not load.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Everything that is wrong with it, by file and position.
    #[error("{}", report(diagnostics))]
    Invalid {
        /// Never empty.
        diagnostics: Vec<Diagnostic>,
    },
}

impl ConfigError {
    /// Everything that is wrong, never empty.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        let ConfigError::Invalid { diagnostics } = self;
        diagnostics
    }
}

fn report(diagnostics: &[Diagnostic]) -> String {
    let all: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    all.join("\n\n")
}

/// What is gathered while files are read.
#[derive(Debug, Default)]
struct Loading {
    diagnostics: Vec<Diagnostic>,
    warnings: Vec<Warning>,
    digest: Sha256,
    checked: Vec<PathBuf>,
    collected: Collected,
    /// The rules that come with every configuration, as `[policy.defaults]` leaves them.
    defaults: Vec<Configured>,
    tenants: Vec<TenantFiles>,
    /// How much the files of the tenant that is read now have asked for so far.
    weight: usize,
    /// Files of rulesets that are to count in place of those that were taken over.
    proposed: Option<BTreeMap<String, String>>,
}

/// Reads and validates a configuration file and what it includes.
///
/// Relative paths in it are relative to its directory. The files and their directories must not be
/// writable by group or others.
///
/// # Errors
/// Every fault that can be found, sorted by place.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    Loading::default().load(path)
}

/// The same as if these files of rulesets, by name, had been taken over from the ref that is followed.
///
/// # Errors
/// As [`load`].
pub fn load_proposing(path: &Path, rulesets: BTreeMap<String, String>) -> Result<Loaded, ConfigError> {
    Loading { proposed: Some(rulesets), ..Loading::default() }.load(path)
}

fn finished(mut loading: Loading, path: &Path) -> Result<Loaded, ConfigError> {
    let parts = loading.main(path);
    match parts {
        Some(config) if loading.diagnostics.is_empty() => {
            if config.policy.rulesets.is_empty() {
                loading.warnings.push(Warning::at(
                    Place::whole(&config.source),
                    "there are no rulesets: only the built-in rules judge pushes",
                ));
            }
            // Where all repositories are a forge's, nobody pushes to here.
            let hosts = config.sources.is_empty() || !is_empty(&config.repositories.root);
            if config.repositories.server.is_none() && hosts {
                loading.warnings.push(Warning::at(
                    Place::whole(&config.source),
                    "`server` is not set in [repositories]: every pusher is recorded as unknown",
                ));
            }
            Ok(Loaded { config, warnings: loading.warnings })
        }
        _ => {
            let mut diagnostics = loading.diagnostics;
            sort(&mut diagnostics);
            Err(ConfigError::Invalid { diagnostics })
        }
    }
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

/// Where a configuration that is rejected as a whole would have revocations read from: they count all the
/// same (N15), whoever could have written the file. `None` where nothing in it can be understood.
pub fn revocation_sources(path: &Path) -> Option<Sources> {
    let path = std::path::absolute(path).ok()?;
    let base = path.parent().unwrap_or(Path::new("/"));
    let bytes = read_checked(&path, Owner::Unchecked, MAX_FILE).ok()?.bytes;
    let reader = Reader::new(Source::new(&path, &String::from_utf8_lossy(&bytes)));
    let document = reader.parse();
    let top = Table::new(&reader, &document, 0..0, "the configuration");
    let table = top.table("keyring", "[keyring]")?;
    Some(keyring_sources::read_revocations(&table, base))
}

impl Loading {
    fn load(self, path: &Path) -> Result<Loaded, ConfigError> {
        finished(self, path)
    }

    /// Reads a file and checks who else could have written it. `None` after recording an error.
    fn read(&mut self, path: &Path) -> Option<Source> {
        // A symbolic link is as good as both directories: the one it is in and the one it leads to.
        let physical = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        for dir in [path.parent(), physical.parent()].into_iter().flatten() {
            if self.checked.iter().any(|one| one == dir) {
                continue;
            }
            self.checked.push(dir.to_owned());
            match check_directory(dir, Owner::Any) {
                Ok(false) => {}
                Ok(true) => self.warnings.push(Warning::at(
                    Place::whole(dir),
                    "the account that runs this can change its own configuration; let root own it",
                )),
                // A file that is not there is the better message.
                Err(_) if !physical.exists() => {}
                Err(diagnostic) => self.diagnostics.push(diagnostic),
            }
        }
        let checked = match read_checked(path, Owner::Any, MAX_FILE) {
            Ok(checked) => checked,
            Err(diagnostic) => {
                self.diagnostics.push(diagnostic);
                return None;
            }
        };
        if let Some(message) = values::inside_git_directory(&physical) {
            self.diagnostics.push(Diagnostic::whole(path, message).suggest(values::KEEP_OUTSIDE));
            return None;
        }
        let place = Place::whole(path);
        if checked.own_account_can_write {
            self.warnings.push(Warning::at(
                place,
                "the account that runs this can change its own configuration; let root own it",
            ));
        } else if checked.owner != 0 && checked.owner != own_uid() {
            let message =
                format!("the file belongs to user {}, who can change what is refused", checked.owner);
            self.warnings.push(Warning::at(place, message));
        }
        self.digest.update(&checked.bytes);
        match String::from_utf8(checked.bytes) {
            Ok(text) => Some(Source::new(path, &text)),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                self.diagnostics.push(Diagnostic::not_utf8(path, error.as_bytes(), valid));
                None
            }
        }
    }

    fn main(&mut self, path: &Path) -> Option<Config> {
        let path = match std::path::absolute(path) {
            Ok(path) => path,
            Err(error) => {
                let message = format!("cannot read the file: {error}");
                self.diagnostics.push(Diagnostic::whole(path, message));
                return None;
            }
        };
        let base = path.parent().unwrap_or(Path::new("/")).to_owned();
        let source = self.read(&path)?;
        let reader = Reader::new(source);
        let (partial, include) = self.document(&reader, &base);
        self.diagnostics.extend(reader.into_diagnostics());
        for file in include {
            self.included(&file, None);
        }
        for index in 0..self.tenants.len() {
            self.tenant(index);
        }
        let mut partial = partial?;
        if let Some(source) = partial.keyring_source.clone() {
            self.follow(&source, &mut partial);
            self.guard(&source, &path);
        } else if Taken::is_marked(&partial.keyring.dir) {
            self.no_longer_followed(&partial.keyring.dir, &path);
        }
        let collected = std::mem::take(&mut self.collected);
        self.warnings.extend(collected.warnings);
        partial.source = path;
        partial.digest = HEXLOWER.encode(&std::mem::take(&mut self.digest).finalize());
        partial.policy.rulesets = collected.rulesets;
        partial.places = collected.places;
        self.need_pushers(&partial);
        partial.tenants = std::mem::take(&mut self.tenants);
        let faulty = |tenant: &Arc<Tenant>| {
            partial.tenants.iter().any(|one| !one.faults.is_empty() && one.tenant.name == tenant.name)
        };
        partial.policy.rulesets.retain(|ruleset| !ruleset.tenant.as_ref().is_some_and(faulty));
        let defaults = std::mem::take(&mut self.defaults);
        partial.policy.rulesets.extend(Ruleset::by_default(&partial.policy.rulesets, defaults));
        Some(partial)
    }

    /// What was taken over from the ref that is followed, rulesets among it.
    fn follow(&mut self, source: &TrustedSource, partial: &mut Config) {
        let found = match Taken::read(&partial.keyring.dir) {
            Ok(found) => found.map(|(taken, digest)| TakenState { taken, digest }),
            Err(fault) => {
                self.diagnostics.push(fault);
                return;
            }
        };
        let found = found.filter(|found| source.is_where(&found.taken));
        let Some(directory) = &source.rulesets else {
            partial.keyring_taken = found;
            return;
        };
        let files = match (self.proposed.take(), &found) {
            (Some(proposed), _) => proposed,
            (None, Some(found)) => found.taken.rulesets.clone(),
            // Whoever decides has to find out that there are none yet.
            (None, None) => BTreeMap::new(),
        };
        for (name, text) in &files {
            for part in [name, text] {
                self.digest.update((part.len() as u64).to_be_bytes());
                self.digest.update(part);
            }
            self.rulesets_of(Source::new(&Path::new(directory).join(name), text), None);
        }
        partial.keyring_taken = found;
    }

    /// Says that what came from a ref is nobody's any more: rulesets that came with it are gone.
    fn no_longer_followed(&mut self, keyring: &Path, path: &Path) {
        let rulesets = Taken::read(keyring).ok().flatten().map_or(0, |(taken, _)| taken.rulesets.len());
        let gone = match rulesets {
            0 => String::new(),
            1 => ", and a file of rulesets that came from there is not in force".to_owned(),
            many => format!(", and {many} files of rulesets that came from there are not in force"),
        };
        let marker = keyring.join(".source");
        self.warnings.push(Warning::at(
            Place::whole(path),
            format!(
                "the keyring was taken over from a ref, and no [keyring.source] follows it now{gone}; where this is \
                 meant, remove {}",
                text::escape_short(marker.as_os_str().as_bytes(), 300)
            ),
        ));
    }

    /// The ruleset that guards the ref which the keyring follows, last of all, so that another one of its name is
    /// found out.
    fn guard(&mut self, source: &TrustedSource, path: &Path) {
        let reader = Reader::new(Source::new(path, &source.ruleset()));
        {
            let document = reader.parse();
            let top = Table::new(&reader, &document, 0..0, "the ruleset of [keyring.source]");
            for ruleset in top.tables("ruleset", "[[ruleset]]") {
                self.collected.read(ruleset, None);
            }
            top.finish();
        }
        // Places in a text that nobody wrote would mislead.
        let found = reader.into_diagnostics().into_iter().map(|found| {
            let message = format!("[keyring.source] cannot be guarded: {}", found.message);
            let whole = Diagnostic::whole(path, message);
            match found.suggestion {
                Some(help) => whole.suggest(help),
                None => whole,
            }
        });
        self.diagnostics.extend(found);
    }

    /// What rests on who pushes is an error where the server does not say so: such a rule would refuse
    /// everybody, such a bypass nobody could use (N18).
    fn need_pushers(&mut self, config: &Config) {
        // A forge says who pushed, in its deliveries.
        let told = config.sources.iter().any(|source| source.forge.accounts().is_some());
        if config.repositories.server.is_some() || told {
            return;
        }
        for ruleset in config.policy.rulesets.iter().filter(|set| set.part_of.is_none()) {
            let rules =
                ruleset.rules().iter().filter(|one| one.rule.needs_pusher()).map(|one| one.rule.name());
            let actors = (!ruleset.actors.is_empty()).then_some("actors");
            let bypass = ruleset.bypass.iter().any(|one| one.proof == Proof::Pusher).then_some("bypass");
            for key in rules.chain(actors).chain(bypass) {
                let place = config.places.of(&ruleset.name, key);
                let place = place.cloned().unwrap_or_else(|| Place::whole(&config.source));
                let message = format!(
                    "`{key}` of ruleset `{}` needs to know who pushes, and no server says so",
                    ruleset.name
                );
                let help = "write `server = \"...\"` in [repositories]";
                let fault = Diagnostic::at(place, message).suggest(help);
                match &ruleset.tenant {
                    None => self.diagnostics.push(fault),
                    Some(tenant) => {
                        let own = self.tenants.iter_mut().filter(|one| one.tenant.name == tenant.name);
                        own.for_each(|one| one.faults.push(fault.clone()));
                    }
                }
            }
        }
    }

    /// Reads the main file. The configuration lacks its rulesets and digest; included files are named.
    fn document(&mut self, reader: &Reader, base: &Path) -> (Option<Config>, Vec<PathBuf>) {
        let document = reader.parse();
        let top = Table::new(reader, &document, 0..0, "the configuration");
        let contact = top.get("contact");
        let daemon = top
            .require("daemon", "write `[daemon]` with `socket` and `state`")
            .and_then(|item| item.table("[daemon]"));
        let (daemon, inner_contact) = match daemon {
            Some(table) => daemon::read(table, base),
            None => (None, None),
        };
        if let (Some(_), Some(item)) = (&contact, &inner_contact) {
            reader.error_with(&item.key, "`contact` is given twice", "keep one of them");
        }
        let contact = contact.or(inner_contact).and_then(|item| contact_line(&item));
        let keyring = top
            .require("keyring", "write `[keyring]` with `path`")
            .and_then(|item| item.table("[keyring]"))
            .and_then(|table| keyring_sources::read(table, base));
        let repositories = top
            .require("repositories", "write `[repositories]` with `root`")
            .and_then(|item| item.table("[repositories]"))
            .and_then(|table| repositories::read(table, base));
        const POLICY: &str = "write `[policy]` with `uncovered = \"accept\"` or `uncovered = \"refuse\"`";
        let policy = top.require("policy", POLICY).and_then(|item| item.table("[policy]"));
        let (uncovered, include) = match policy {
            Some(table) => self.read_policy(table, base),
            None => (None, Vec::new()),
        };
        let (limits, deadline) = match top.table("limits", "[limits]") {
            Some(table) => read_limits(table),
            None => (Limits::default(), None),
        };
        let signatures = top.table("signatures", "[signatures]").map(signatures::read).unwrap_or_default();
        for ruleset in top.tables("ruleset", "[[ruleset]]") {
            self.collected.read(ruleset, None);
        }
        let listen = daemon.as_ref().is_some_and(|daemon| daemon.listen.is_some());
        let sources = top.tables("source", "[[source]]");
        let sources = sources::read(sources, base, listen, &mut self.warnings);
        if let Some(daemon) = &daemon {
            self.warnings.extend(daemon::in_the_clear(daemon, &sources));
        }
        top.finish();
        let build = || {
            let mut daemon = daemon?;
            daemon.deadline = deadline.unwrap_or(Daemon::DEADLINE);
            let (keyring, keyring_source) = keyring?;
            Some(Config {
                source: PathBuf::new(),
                digest: String::new(),
                daemon,
                keyring,
                keyring_source,
                keyring_taken: None,
                repositories: repositories?,
                policy: Rulesets { rulesets: Vec::new(), uncovered: uncovered? },
                signatures,
                limits,
                contact,
                places: super::RulesetPlaces::default(),
                tenants: Vec::new(),
                sources,
            })
        };
        (build(), include)
    }

    fn read_policy(&mut self, table: Table<'_, '_>, base: &Path) -> (Option<Uncovered>, Vec<PathBuf>) {
        let help = "write `uncovered = \"accept\"` or `uncovered = \"refuse\"`: what becomes of refs that no \
                    enforcing ruleset covers";
        let words = [("accept", Uncovered::Accept), ("refuse", Uncovered::Refuse)];
        let uncovered = table.require("uncovered", help).and_then(|item| item.word(&words));
        let include = match table.get("include") {
            Some(item) => {
                let found = self.expand(&item, base, false);
                found.faults.into_iter().for_each(|fault| item.reader.push(fault));
                found.files
            }
            None => Vec::new(),
        };
        let defaults = table.table("defaults", "[policy.defaults]");
        self.defaults = rulesets::defaults(defaults, &mut self.collected.places);
        for table in table.tables("tenant", "[[policy.tenant]]") {
            let Some((mut files, item)) = tenants::read(table, &self.tenants) else { continue };
            // What is wrong with the tenant's directory is the tenant's own fault.
            let found = self.expand(&item, base, true);
            files.files = found.files;
            files.faults = found.faults;
            self.tenants.push(files);
        }
        table.finish();
        (uncovered, include)
    }
}

fn contact_line(item: &Item<'_, '_>) -> Option<String> {
    let written = item.string()?;
    let bare = written.replace('\\', "");
    if written.trim().is_empty() {
        item.error("`contact` is empty");
    } else if text::escape(bare.as_bytes()) != bare {
        item.error("`contact` is one line of visible characters");
    } else if written.chars().count() > MAX_CONTACT {
        item.error(format!("`contact` has at most {MAX_CONTACT} characters"));
    } else {
        return Some(written.trim().to_owned());
    }
    None
}

fn read_limits(table: Table<'_, '_>) -> (Limits, Option<Duration>) {
    let mut limits = Limits::default();
    let count = |name: &'static str, field: &mut usize, bytes: bool| {
        if let Some(number) = table.get(name).and_then(|item| values::count(&item, name, bytes)) {
            *field = number;
        }
    };
    count("refs", &mut limits.refs, false);
    count("commits", &mut limits.commits, false);
    count("parents", &mut limits.parents, false);
    count("object-bytes", &mut limits.object_bytes, true);
    count("message-bytes", &mut limits.message_bytes, true);
    count("tag-depth", &mut limits.tag_depth, false);
    count("violations", &mut limits.violations, false);
    let cap = |name: &'static str, field: &mut u64, bytes: bool| {
        if let Some(number) = table.get(name).and_then(|item| values::cap(&item, name, bytes)) {
            *field = number;
        }
    };
    cap("push-bytes", &mut limits.push_bytes, true);
    cap("tree-entries", &mut limits.tree_entries, false);
    cap("tree-bytes", &mut limits.tree_bytes, true);
    cap("one-tree-bytes", &mut limits.one_tree_bytes, true);
    cap("tree-depth", &mut limits.tree_depth, false);
    cap("changed-paths", &mut limits.changed_paths, false);
    cap("changed-path-bytes", &mut limits.changed_path_bytes, true);
    cap("one-path-bytes", &mut limits.one_path_bytes, true);
    cap("blobs", &mut limits.blobs, false);
    cap("blob-bytes", &mut limits.blob_bytes, true);
    let largest = [("object-bytes", limits.object_bytes as u64), ("one-tree-bytes", limits.one_tree_bytes)];
    for (name, _) in largest.into_iter().filter(|(_, bytes)| *bytes > Limits::LARGEST_OBJECT) {
        if let Some(item) = table.get(name) {
            item.error(format!("`{name}` is at most 64 MiB: no larger object is read"));
        }
    }
    let deadline = table.get("deadline").and_then(|item| values::duration(&item));
    table.finish();
    (limits, deadline)
}
