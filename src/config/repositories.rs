//! Which repositories may ask, for which refs, and where the pusher's name comes from.

use super::values;
use crate::domain::{RefName, ServerKind, text};
use crate::keyring::document::{Item, Table};
use std::path::{Path, PathBuf};

/// The `[repositories]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repositories {
    /// The directory below which repositories lie, canonical: names are relative to it (N3).
    pub root: PathBuf,
    /// Where the pusher's identity comes from; `None` makes every pusher unknown (N18).
    pub server: Option<ServerKind>,
    /// Ref hierarchies that may be pushed at all, each from `refs/` to a final `/`.
    pub namespaces: Vec<String>,
    /// Whether a push to a symbolic ref is judged as one to its target, and not refused (N4).
    pub allow_symref_push: bool,
}

impl Repositories {
    /// The default of [`Repositories::namespaces`].
    pub const NAMESPACES: &'static [&'static str] = &["refs/heads/", "refs/tags/", "refs/notes/"];
    /// Hierarchies that change what git shows or keeps, and that nobody may push.
    pub const FORBIDDEN: &'static [&'static str] =
        &["refs/replace/", "refs/original/", "refs/bisect/", "refs/worktree/", "refs/rewritten/"];
}

/// Reads the table; `None` where the root is unusable.
pub(super) fn read(table: Table<'_, '_>, base: &Path) -> Option<Repositories> {
    let root = table
        .require("root", "write `root = \"/srv/git\"`, the directory that holds the bare repositories")
        .and_then(|item| root(&item, base));
    let words: Vec<(&'static str, ServerKind)> =
        ServerKind::ALL.iter().map(|kind| (kind.name(), *kind)).collect();
    let server = table.get("server").and_then(|item| item.word(&words));
    let namespaces = match table.get("namespaces") {
        Some(item) => namespaces(&item),
        None => Repositories::NAMESPACES.iter().map(|one| (*one).to_owned()).collect(),
    };
    let allow_symref_push = table.get("allow-symref-push").and_then(|item| item.boolean()).unwrap_or(false);
    table.finish();
    Some(Repositories { root: root?, server, namespaces, allow_symref_push })
}

fn root(item: &Item<'_, '_>, base: &Path) -> Option<PathBuf> {
    let path = values::path(item, base)?;
    let shown = text::escape(path.as_os_str().as_encoded_bytes());
    match std::fs::canonicalize(&path) {
        Ok(root) if root == Path::new("/") => {
            item.error_with(
                "the root of the file system cannot be the root of repositories",
                "name the directory that holds them",
            );
            None
        }
        Ok(root) if root.is_dir() => Some(root),
        Ok(_) => {
            item.error(format!("`{shown}` is not a directory"));
            None
        }
        Err(error) => {
            item.error_with(
                format!("cannot use `{shown}`: {error}"),
                "create it, or name the directory that holds the bare repositories",
            );
            None
        }
    }
}

fn namespaces(item: &Item<'_, '_>) -> Vec<String> {
    let before = item.reader.count();
    let mut list: Vec<String> = Vec::new();
    for (written, item) in item.strings() {
        let shown = text::escape_short(written.as_bytes(), 60);
        let clash =
            Repositories::FORBIDDEN.iter().find(|one| one.starts_with(written) || written.starts_with(*one));
        if written.contains(['*', '?']) {
            item.error_with(
                format!("`{shown}` is a pattern; a namespace is the beginning of ref names"),
                "write \"refs/heads/\"",
            );
        } else if !written.starts_with("refs/") {
            let help = format!("write \"refs/{}/\"", shown.trim_matches('/'));
            item.error_with(format!("`{shown}` does not start with `refs/`"), help);
        } else if !written.ends_with('/') {
            item.error_with(format!("`{shown}` does not end with `/`"), format!("write \"{shown}/\""));
        } else if let Some(forbidden) = clash {
            item.error_with(
                format!("`{shown}` would let `{forbidden}` be pushed, which changes what git shows or keeps"),
                "name the hierarchies that people push, such as \"refs/heads/\"",
            );
        } else if let Err(error) = RefName::parse(format!("{written}x").as_bytes()) {
            item.error(format!("`{shown}` cannot begin a ref name: {}", error.why));
        } else if list.iter().any(|one| one == written) {
            item.error(format!("`{shown}` is listed twice"));
        } else {
            list.push(written.to_owned());
        }
    }
    if list.is_empty() && item.reader.count() == before {
        item.error_with("without namespaces nothing can be pushed", "leave `namespaces` out for the default");
    }
    list
}
