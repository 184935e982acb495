//! `[keyring.source]`: a ref of a guarded repository that the keyring's directory follows.

use crate::domain::{RefName, text};
use crate::keyring::document::{Item, Table};
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
    /// Who has to sign: selectors.
    pub signers: Vec<String>,
}

pub(super) fn read(table: Table<'_, '_>) -> Option<TrustedSource> {
    let repository = table.require("repository", "write `repository = \"infra/trust\"`");
    let repository = repository.and_then(|item| {
        let written = item.string()?;
        plain(&item, written, "a repository's name below the root, such as \"infra/trust\"")
    });
    let reference = table.require("ref", "write `ref = \"refs/heads/main\"`");
    let reference = reference.and_then(|item| {
        let written = item.string()?;
        let name = plain(&item, written, "a full ref name, such as \"refs/heads/main\"")?;
        let parsed = RefName::parse(name.as_bytes()).ok().filter(|_| name.starts_with("refs/"));
        if parsed.is_none() {
            item.error_with("this is no full ref name", "write \"refs/heads/main\"");
        }
        parsed
    });
    let path = match table.get("path") {
        None => Some(String::new()),
        Some(item) => item
            .string()
            .and_then(|written| plain(&item, written, "a directory in the repository, such as \"keyring\"")),
    };
    let signers =
        table.require("signers", "write `signers = [\"group:admins\"]`: who has to sign each change");
    let signers = signers.and_then(|item| {
        let all = item.array("a list of selectors")?;
        let written: Vec<String> = all.iter().filter_map(|one| one.string().map(str::to_owned)).collect();
        if written.is_empty() {
            item.error_with("without signers nobody could change the keyring", "write [\"group:admins\"]");
        }
        (written.len() == all.len() && !written.is_empty()).then_some(written)
    });
    table.finish();
    Some(TrustedSource { repository: repository?, reference: reference?, path: path?, signers: signers? })
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
    /// The ruleset that guards it, which nothing in the configuration loosens: it enforces, has no bypass, and
    /// is one of those that all have to be content.
    pub(super) fn ruleset(&self) -> String {
        let list =
            |all: &[String]| Value::Array(all.iter().cloned().map(Value::String).collect()).to_string();
        format!(
            "[[ruleset]]\nname = \"{SOURCE_RULESET}\"\nrepositories = {}\nrefs = {}\nenforcement = \"enforce\"\n\
             [ruleset.refuse]\nunsigned-commit = true\nforce-push = true\nref-deletion = true\n\
             untrusted-signer = {{ allow = {} }}\n",
            list(std::slice::from_ref(&self.repository)),
            list(&[self.reference.to_string()]),
            list(&self.signers),
        )
    }
}
