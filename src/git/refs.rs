//! Reading refs while others move and pack them.
//!
//! Who packs a ref writes `packed-refs` first and then takes the loose file away. So loose files are read first and
//! `packed-refs` after them, from its file each time: the other way round, or with what was read before, a ref that is
//! packed meanwhile would seem to be absent, or to hold what it held before.

use super::{GitError, chain};
use crate::domain::{ObjectId, RefName};
use gix::refs::{Target, file};
use std::collections::BTreeMap;

/// What the ref of exactly this name holds; a link in the file system is not seen.
pub(super) fn one(store: &file::Store, name: &RefName) -> Result<Option<Target>, GitError> {
    let error = |why: String| GitError::Refs { why: format!("{name}: {why}") };
    let partial: &gix::refs::PartialNameRef =
        gix::bstr::BStr::new(name.as_bytes()).try_into().map_err(|_| error("not a ref name".to_owned()))?;
    // The library may guess prefixes for names that do not exist; only the exact name counts.
    let loose = store.try_find_loose(partial).map_err(|e| error(chain(&e)))?;
    if let Some(found) = loose.filter(|found| found.name.as_bstr() == name.as_bytes()) {
        return Ok(Some(found.target));
    }
    let Some(packed) = store.open_packed_buffer().map_err(|e| error(chain(&e)))? else { return Ok(None) };
    let found = packed.try_find(partial).map_err(|e| error(chain(&e)))?;
    Ok(found
        .filter(|found| found.name.as_bstr() == name.as_bytes())
        .map(|found| Target::Object(found.target())))
}

/// All refs that hold an object, by name; symbolic ones are left out.
pub(super) fn all(store: &file::Store) -> Result<Vec<(RefName, ObjectId)>, GitError> {
    let error = |why: String| GitError::Refs { why };
    let parse = |name: &[u8]| RefName::parse(name).map_err(|e| error(e.to_string()));
    let mut loose: BTreeMap<RefName, Option<ObjectId>> = BTreeMap::new();
    for reference in store.loose_iter().map_err(|e| error(chain(&e)))? {
        let reference = match reference {
            Ok(reference) => reference,
            // Packed since it was listed, or deleted: then it is in `packed-refs`, or nowhere.
            Err(e) if e.is_not_found() => continue,
            Err(e) => return Err(error(chain(&e))),
        };
        let name = parse(reference.name.as_bstr())?;
        let value = match reference.target {
            Target::Symbolic(_) => None,
            Target::Object(id) => Some(object(&name, &id)?),
        };
        loose.insert(name, value);
    }
    let mut found = Vec::new();
    if let Some(packed) = store.open_packed_buffer().map_err(|e| error(chain(&e)))? {
        for reference in packed.iter().map_err(|e| error(chain(&e)))? {
            let reference = reference.map_err(|e| error(chain(&e)))?;
            let name = parse(reference.name.as_bstr())?;
            if !loose.contains_key(&name) {
                let value = object(&name, &reference.target())?;
                found.push((name, value));
            }
        }
    }
    found.extend(loose.into_iter().filter_map(|(name, value)| Some((name, value?))));
    found.sort();
    Ok(found)
}

/// The library's id as ours.
pub(super) fn object(name: &RefName, id: &gix::oid) -> Result<ObjectId, GitError> {
    ObjectId::from_bytes(id.as_bytes()).map_err(|e| GitError::Refs { why: format!("{name}: {e}") })
}
