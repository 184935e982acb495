//! `[[policy.tenant]]`: who has files of rulesets of its own, for its own repositories.

use super::rulesets::patterns;
use super::{Diagnostic, Place};
use crate::domain::text;
use crate::keyring::document::{Item, Table};
use crate::policy::Tenant;
use std::path::PathBuf;
use std::sync::Arc;

/// A tenant, and how its files fared.
#[derive(Clone, Debug)]
pub struct TenantFiles {
    /// Who, and for which repositories.
    pub tenant: Arc<Tenant>,
    /// Where the configuration names it.
    pub place: Place,
    /// Its files, in the order in which they are read.
    pub files: Vec<PathBuf>,
    /// What is wrong with them. With any of them, none of the tenant's rulesets is in force and its
    /// repositories are undecided; the rest of the configuration serves.
    pub faults: Vec<Diagnostic>,
}

/// Reads one table; `include` is left to the caller, who knows how files are found. `None` with the errors on
/// record.
pub(super) fn read<'r, 'd>(
    table: Table<'r, 'd>,
    before: &[TenantFiles],
) -> Option<(TenantFiles, Item<'r, 'd>)> {
    let reader = table.reader();
    let errors = reader.count();
    let item = table.require("name", "write `name = \"acme\"`; its rulesets are called `acme/...`");
    let name = item.as_ref().and_then(Item::string);
    if let (Some(item), Some(name)) = (&item, name) {
        let shown = text::escape_short(name.as_bytes(), 60);
        if !Tenant::can_be_called(name) {
            item.error_with(
                format!("`{shown}` cannot name a tenant"),
                "use lower-case letters, digits, `.`, `_` and `-`, beginning with a letter or digit",
            );
        } else if let Some(first) = before.iter().find(|one| one.tenant.name == name) {
            item.error_with(
                format!("a tenant called `{shown}` is already at {}", first.place),
                "give each tenant a name of its own",
            );
        }
    }
    let place = reader.place(item.as_ref().map_or(table.span(), |item| &item.span));
    let repositories = table.require("repositories", "write `repositories = [\"acme/**\"]`");
    let repositories = repositories.map(|item| patterns(&item)).unwrap_or_default();
    let include = table.require("include", "write `include = \"tenants/acme/*.toml\"`");
    table.finish();
    if reader.count() > errors {
        return None;
    }
    let tenant = Arc::new(Tenant { name: name?.to_owned(), repositories });
    Some((TenantFiles { tenant, place, files: Vec::new(), faults: Vec::new() }, include?))
}
