//! `[keyring]`: what the keyring is read from.

use super::trusted_source::{self, TrustedSource};
use super::values;
use crate::domain::text;
use crate::keyring::document::{Item, Table};
use crate::keyring::{AllowedSigners, RevocationFile, Sources, group_names, revocation_of};
use jiff::tz::TimeZone;
use std::path::Path;

/// Reads the table. Whether the files beside the directory are there and good is asked when the keyring is
/// read.
pub(super) fn read(table: Table<'_, '_>, base: &Path) -> Option<(Sources, Option<TrustedSource>)> {
    let found = parts(&table, base);
    let followed = table.table("source", "[keyring.source]").map(trusted_source::read);
    table.finish();
    let item = found.path?;
    let dir = values::path_outside(&item, base)?;
    if !dir.is_dir() {
        let shown = text::escape(dir.as_os_str().as_encoded_bytes());
        item.error_with(format!("`{shown}` is not a directory"), format!("mkdir -m 755 '{shown}'"));
        return None;
    }
    // What has a fault has none to show for it, and the fault refuses the configuration.
    let allowed_signers = found.allowed_signers.into_iter().collect::<Option<_>>()?;
    let revocations = found.revocations.into_iter().collect::<Option<_>>()?;
    // One with a fault has an error on record, which refuses the configuration.
    let followed = followed.flatten();
    Some((Sources { dir, allowed_signers, revocations }, followed))
}

/// Where a table that may have faults would have revocations read from (N15): everything that can be read
/// of it.
pub(super) fn read_revocations(table: &Table<'_, '_>, base: &Path) -> Sources {
    let found = parts(table, base);
    let dir = found.path.and_then(|item| values::path_outside(&item, base)).unwrap_or_default();
    let revocations = found.revocations.into_iter().flatten().collect();
    Sources { dir, allowed_signers: Vec::new(), revocations }
}

/// What the table holds; `None` is something with a fault.
struct Parts<'r, 'd> {
    path: Option<Item<'r, 'd>>,
    allowed_signers: Vec<Option<AllowedSigners>>,
    revocations: Vec<Option<RevocationFile>>,
}

fn parts<'r, 'd>(table: &Table<'r, 'd>, base: &Path) -> Parts<'r, 'd> {
    let path = table.require("path", "write `path = \"keyring\"`, a directory with one file per principal");
    let signers = table.tables("allowed-signers", "[[keyring.allowed-signers]]");
    let allowed_signers = signers.into_iter().map(|table| allowed_signers(table, base)).collect();
    let lists = table.tables("revocation", "[[keyring.revocation]]");
    let revocations = lists.into_iter().map(|table| revocation(table, base)).collect();
    Parts { path, allowed_signers, revocations }
}

fn allowed_signers(table: Table<'_, '_>, base: &Path) -> Option<AllowedSigners> {
    let path = table.require("path", "write `path = \"allowed_signers\"`");
    let path = path.and_then(|item| values::path_outside(&item, base));
    let groups = table.get("groups").map(|item| group_names(&item)).unwrap_or_default();
    let zone = table.get("timezone").map(|item| zone(&item));
    table.finish();
    let zone = match zone {
        Some(zone) => Some(zone?),
        None => None,
    };
    Some(AllowedSigners { path: path?, groups, zone })
}

fn zone(item: &Item<'_, '_>) -> Option<TimeZone> {
    let name = item.string()?;
    let found = if name == "UTC" { Ok(TimeZone::UTC) } else { TimeZone::get(name) };
    let known = found.ok().filter(|_| name != "Etc/Unknown" && !name.is_empty());
    if known.is_none() {
        let shown = text::escape_short(name.as_bytes(), 60);
        item.error_with(
            format!("`{shown}` is no time zone that is known here"),
            "write \"UTC\", or a name such as \"Europe/Berlin\"",
        );
    }
    known
}

fn revocation(table: Table<'_, '_>, base: &Path) -> Option<RevocationFile> {
    let path = table.require("path", "write `path = \"revoked_keys\"`");
    let path = path.and_then(|item| values::path_outside(&item, base));
    let revocation = revocation_of(&table);
    let allow_empty = table.get("allow-empty").and_then(|item| item.boolean()).unwrap_or(false);
    table.finish();
    Some(RevocationFile { path: path?, revocation, allow_empty })
}
