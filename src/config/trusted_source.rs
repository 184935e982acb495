//! `[keyring.source]`: a ref of a guarded repository that the keyring's directory follows, and rulesets with it.

use super::{Config, Diagnostic, Place};
use crate::domain::{RefName, Timestamp, text};
use crate::keyring::document::{Item, Table};
use crate::keyring::{Keyring, Role, Standing, Taken, is_name};
use toml::Value;

/// The name of the ruleset that guards it. No other may have it.
pub const SOURCE_RULESET: &str = "keyring-source";

/// Where the keyring comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedSource {
    /// The repository, by its name below the root.
    pub repository: String,
    /// The ref.
    pub reference: RefName,
    /// The directory with the principals' files; empty for the root.
    pub path: String,
    /// The directory with files of rulesets, where they come from there as well.
    pub rulesets: Option<String>,
    /// Who has to sign: names of groups.
    pub groups: Vec<String>,
    /// Where the configuration says so.
    pub place: Place,
}

/// What the keyring's directory was taken over from, as it stands on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenState {
    /// What it says.
    pub taken: Taken,
    /// What tells it from all others.
    pub digest: String,
}

pub(super) fn read(table: Table<'_, '_>) -> Option<TrustedSource> {
    let place = table.reader().place(table.span());
    let repository = table.require("repository", "write `repository = \"infra/trust\"`");
    let repository = repository.and_then(|item| {
        let written = item.string()?;
        plain(&item, written, "a repository's name below the root, such as \"infra/trust\"")
    });
    let reference = table.require("ref", "write `ref = \"refs/heads/main\"`");
    let reference = reference.and_then(|item| {
        let written = item.string()?;
        let name = plain(&item, written, "a full ref name, such as \"refs/heads/main\"")?;
        let parsed = RefName::parse(name.as_bytes()).ok().filter(|_| name.starts_with("refs/heads/"));
        if parsed.is_none() {
            item.error_with("this is no full ref name of a branch", "write \"refs/heads/main\"");
        }
        parsed
    });
    let directory = |name: &'static str, example: &str| {
        let item = table.get(name)?;
        Some(item.string().and_then(|written| {
            plain(&item, written, &format!("a directory in the repository, such as \"{example}\""))
        }))
    };
    let path = directory("path", "keyring").unwrap_or(Some(String::new()));
    let rulesets = match directory("rulesets", "rulesets") {
        None => Some(None),
        Some(read) => read.map(Some),
    };
    let signers =
        table.require("signers", "write `signers = [\"group:admins\"]`: who has to sign each change");
    let groups = signers.and_then(|item| {
        let all = item.array("a list of groups")?;
        let read: Vec<String> = all.iter().filter_map(|one| group(one)).collect();
        if all.is_empty() {
            item.error_with("without signers nobody could change the keyring", "write [\"group:admins\"]");
        }
        (read.len() == all.len() && !read.is_empty()).then_some(read)
    });
    table.finish();
    Some(TrustedSource {
        repository: repository?,
        reference: reference?,
        path: path?,
        rulesets: rulesets?,
        groups: groups?,
        place,
    })
}

/// One group by its name: a pattern or a person would be a back door that no list of members shows.
fn group(item: &Item<'_, '_>) -> Option<String> {
    let written = item.string()?;
    let name = written.strip_prefix("group:").filter(|name| is_name(name));
    if name.is_none() {
        let shown = text::escape_short(written.as_bytes(), 60);
        item.error_with(format!("`{shown}` names no group"), "write \"group:admins\"");
    }
    name.map(str::to_owned)
}

/// A name without anything that a pattern, a path or a terminal would take for something else.
fn plain(item: &Item<'_, '_>, written: &str, what: &str) -> Option<String> {
    let fine = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    if written.len() <= 200 && written.split('/').all(fine) {
        return Some(written.to_owned());
    }
    let shown = text::escape_short(written.as_bytes(), 60);
    item.error_with(
        format!("`{shown}` is not used here"),
        format!("write {what}, of letters, digits, `.`, `_`, `-` and `/`"),
    );
    None
}

impl TrustedSource {
    /// A fault of it, at its place in the configuration.
    pub fn fault(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(self.place.clone(), message)
    }

    /// The ruleset that guards it, which nothing in the configuration loosens: it enforces, has no bypass, and
    /// is one of those that all have to be content.
    pub(super) fn ruleset(&self) -> String {
        let list = |all: Vec<String>| Value::Array(all.into_iter().map(Value::String).collect()).to_string();
        format!(
            "[[ruleset]]\nname = \"{SOURCE_RULESET}\"\nrepositories = {}\nrefs = {}\nenforcement = \"enforce\"\n\
             [ruleset.refuse]\nunsigned-commit = true\nforce-push = true\nref-deletion = true\n\
             untrusted-signer = {{ allow = {} }}\n",
            list(vec![self.repository.clone()]),
            list(vec![self.reference.to_string()]),
            list(self.signers()),
        )
    }

    /// Who has to sign, as selectors.
    pub fn signers(&self) -> Vec<String> {
        self.groups.iter().map(|group| format!("group:{group}")).collect()
    }

    /// Whether something was taken over from this very place, in whichever repository of that name.
    pub fn is_where(&self, taken: &Taken) -> bool {
        let origin = taken.origin();
        origin.repository == self.repository
            && origin.reference == self.reference.to_string()
            && origin.path == self.path
            && origin.rulesets_path == self.rulesets
    }

    /// Why nobody could change the keyring any more if it were this one; `None` where somebody could.
    pub fn locks_out(&self, keyring: &Keyring, now: Timestamp) -> Option<String> {
        let principals = keyring.principals();
        let member = |groups: &[String]| self.groups.iter().any(|group| groups.contains(group));
        let signs = |standing: &Standing| matches!(standing, Standing::Valid { .. });
        let by_key = keyring.keys().iter().any(|key| {
            member(&key.principal.groups) && key.roles.has(Role::Commit) && signs(&key.standing(now))
        });
        // Whoever is certified is somebody of the keyring, or a holder whom the table puts into the group.
        let by_certificate =
            keyring.authorities().iter().filter(|one| signs(&one.standing(now))).any(|one| {
                one.scopes.iter().any(|scope| {
                    member(&scope.groups)
                        || principals.iter().any(|principal| {
                            member(&principal.groups)
                                && keyring.suspension(&principal.name).is_none_or(|found| !found.applies(now))
                                && std::iter::once(&principal.name)
                                    .chain(&principal.emails)
                                    .any(|name| scope.list.matches(name))
                        })
                })
            });
        let shown: Vec<String> = self.groups.iter().map(|group| format!("`group:{group}`")).collect();
        (!by_key && !by_certificate)
            .then(|| format!("nobody of {} could sign the next commit", shown.join(", ")))
    }
}

/// Why the ref that the keyring follows is not guarded by this configuration with this keyring: nobody could sign
/// what is pushed there, or nothing could be pushed.
pub fn source_faults(config: &Config, keyring: &Keyring) -> Vec<Diagnostic> {
    let Some(source) = &config.keyring_source else { return Vec::new() };
    let fault = |message: String| source.fault(message);
    let mut faults = Vec::new();
    for group in &source.groups {
        let member = |groups: &[String]| groups.contains(group);
        let people = keyring.principals().iter().any(|principal| member(&principal.groups));
        let holders = keyring.authorities().iter().flat_map(|one| &one.scopes).any(|one| member(&one.groups));
        if !people && !holders {
            let help = format!(
                "put somebody in first: `countersign keyring add NAME --group {group} --key FILE --local --reason \
                 TEXT`"
            );
            faults.push(
                fault(format!(
                    "nobody is in `group:{group}`, which has to sign what [keyring.source] follows"
                ))
                .suggest(help),
            );
        }
    }
    let name = source.reference.to_string();
    if !config.repositories.namespaces.iter().any(|namespace| name.starts_with(namespace.as_str())) {
        faults.push(
            fault(format!("`{name}` is in none of the `namespaces` that may be pushed"))
                .suggest("name another ref, or add its hierarchy to `namespaces` in [repositories]"),
        );
    }
    faults
}
