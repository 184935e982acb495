//! Objects of a repository and of the quarantine of the push in flight.

use super::bases::Bases;
use super::{GitError, alternates};
use crate::domain::{ObjectFormat, ObjectId, ObjectKind};
use gix::objs::{Find as _, FindHeader as _};
use std::cell::OnceCell;
use std::path::{Path, PathBuf};

/// One reader over several object directories: the quarantine first, then the repository's own, then
/// its alternates, flattened. The library's own treatment of alternates is not relied on: it resolves
/// nested relative ones against the wrong directory.
pub struct Objects {
    format: ObjectFormat,
    directory: PathBuf,
    quarantine_directory: Option<PathBuf>,
    quarantine: Option<Handle>,
    /// Everything that the push did not bring, opened when it is first needed: most pushes to a branch
    /// never need it.
    standing: OnceCell<Vec<Handle>>,
    /// See [`Objects::own_packs`].
    own_packs: OnceCell<Option<Vec<PackIndex>>>,
}

type PackIndex = gix::odb::pack::index::File;

type Handle = gix::odb::HandleArc;

/// Largest object that is read, and largest one that an object which is read may be stored as a difference
/// to, in bytes. Commits and tags are the only objects that are read. In a pack, a small one may stand on a
/// huge one that costs a pusher next to nothing.
const MAX_READ: usize = 64 << 20;

/// Where and as what an object was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its size, bytes.
    pub size: u64,
    /// Whether the push in flight brought it.
    pub in_quarantine: bool,
}

impl Objects {
    pub(super) fn open(
        format: ObjectFormat,
        objects: &Path,
        quarantine: Option<&Path>,
    ) -> Result<Self, GitError> {
        let quarantine_directory = quarantine.map(Path::to_owned);
        let quarantine = quarantine.map(|path| handle(format, path)).transpose()?;
        let directory = objects.to_owned();
        Ok(Objects {
            format,
            directory,
            quarantine_directory,
            quarantine,
            standing: OnceCell::new(),
            own_packs: OnceCell::new(),
        })
    }

    /// The stores that may hold an object, and whether they are the quarantine, in the order of looking.
    fn stores(&self) -> impl Iterator<Item = Result<(&Handle, bool), GitError>> {
        let standing = std::iter::once_with(|| match self.standing() {
            Ok(stores) => (stores, None),
            Err(error) => (&[][..], Some(Err(error))),
        });
        let standing =
            standing.flat_map(|(stores, error)| stores.iter().map(|store| Ok((store, false))).chain(error));
        self.quarantine.iter().map(|store| Ok((store, true))).chain(standing)
    }

    fn standing(&self) -> Result<&[Handle], GitError> {
        if let Some(stores) = self.standing.get() {
            return Ok(stores);
        }
        let directories = alternates::flatten(&self.directory)?;
        let stores =
            directories.iter().map(|path| handle(self.format, path)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.standing.get_or_init(|| stores))
    }

    /// All object directories, in the order of looking.
    pub(super) fn directories(&self) -> Result<Vec<PathBuf>, GitError> {
        let mut out: Vec<PathBuf> = self.quarantine_directory.iter().cloned().collect();
        out.extend(alternates::flatten(&self.directory)?);
        Ok(out)
    }

    /// The repository's hash function.
    pub fn format(&self) -> ObjectFormat {
        self.format
    }

    /// Kind and size of an object without its content; `None` if it is nowhere.
    pub fn find(&self, id: &ObjectId) -> Result<Option<Found>, GitError> {
        let Some(oid) = self.oid(id) else { return Ok(None) };
        for store in self.stores() {
            let (store, in_quarantine) = store?;
            let header = store.try_header(&oid).map_err(|e| unreadable(id, &e))?;
            if let Some(header) = header {
                return Ok(Some(Found { kind: kind(header.kind), size: header.size, in_quarantine }));
            }
        }
        Ok(None)
    }

    /// Whether the repository may borrow objects of others. What it borrows is not opened for that.
    pub fn borrows(&self) -> bool {
        // What cannot be looked at is looked at again by whoever needs it.
        self.directory.join("info/alternates").try_exists().unwrap_or(true)
    }

    /// Whether only an alternate has an object that is there: neither the quarantine nor the repository itself.
    ///
    /// The library's stores look into alternates by themselves, so they do not tell. The files do.
    ///
    /// # Errors
    /// The object databases cannot be read.
    pub fn is_borrowed(&self, id: &ObjectId) -> Result<bool, GitError> {
        let Some(oid) = self.oid(id) else { return Ok(false) };
        if let Some(quarantine) = &self.quarantine
            && quarantine.try_header(&oid).map_err(|e| unreadable(id, &e))?.is_some()
        {
            return Ok(false);
        }
        let Some(packs) = self.own_packs()? else { return Ok(false) };
        let hex = oid.to_string();
        let loose = self.directory.join(&hex[..2]).join(&hex[2..]).exists();
        Ok(!loose && !packs.iter().any(|index| index.lookup(oid).is_some()))
    }

    /// The indexes of the repository's own packs, where it has alternates; `None` where all is its own.
    fn own_packs(&self) -> Result<Option<&[PackIndex]>, GitError> {
        if let Some(packs) = self.own_packs.get() {
            return Ok(packs.as_deref());
        }
        let failed = |path: &Path, why: String| GitError::Alternates { path: path.to_owned(), why };
        let kind = hash_kind(self.format);
        let mut packs = Vec::new();
        let alone = alternates::flatten(&self.directory)?.len() == 1;
        let directory = self.directory.join("pack");
        let entries = match std::fs::read_dir(&directory) {
            _ if alone => None,
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(&directory, error.to_string())),
        };
        for entry in entries.into_iter().flatten() {
            let path = entry.map_err(|e| failed(&directory, e.to_string()))?.path();
            if path.extension().is_some_and(|extension| extension == "idx") {
                match PackIndex::at(&path, kind) {
                    Ok(index) => packs.push(index),
                    // A repack beside us has taken it away; what was in it is in another one.
                    Err(_) if !path.exists() => {}
                    Err(error) => return Err(failed(&path, error.to_string())),
                }
            }
        }
        Ok(self.own_packs.get_or_init(|| (!alone).then_some(packs)).as_deref())
    }

    /// Whether the push in flight brought an object that was nowhere before. An object that is sent
    /// although the repository had it already is not brought.
    ///
    /// # Errors
    /// The object databases cannot be read.
    pub fn is_brought(&self, id: &ObjectId) -> Result<bool, GitError> {
        let (Some(oid), Some(quarantine)) = (self.oid(id), &self.quarantine) else { return Ok(false) };
        if quarantine.try_header(&oid).map_err(|e| unreadable(id, &e))?.is_none() {
            return Ok(false);
        }
        for store in self.standing()? {
            if store.try_header(&oid).map_err(|e| unreadable(id, &e))?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads an object into `buffer` without comparing content and id. For relations between commits
    /// only, never for anything that is judged.
    pub fn read_unchecked(
        &self,
        id: &ObjectId,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<ObjectKind>, GitError> {
        let Some(oid) = self.oid(id) else { return Ok(None) };
        for store in self.stores() {
            let (store, _) = store?;
            let data = store.try_find(&oid, buffer).map_err(|e| unreadable(id, &e))?;
            if let Some(found) = data.map(|data| kind(data.kind)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Reads an object and proves that `buffer` is what the id names: hashed again, with collision
    /// detection for SHA-1 (R4).
    pub fn read(&self, id: &ObjectId, buffer: &mut Vec<u8>) -> Result<Option<ObjectKind>, GitError> {
        let Some(found) = self.read_unchecked(id, buffer)? else { return Ok(None) };
        verify_id(id, found, buffer)?;
        Ok(Some(found))
    }

    /// An id of the other object format is not an error here: no such object exists.
    fn oid(&self, id: &ObjectId) -> Option<gix::ObjectId> {
        (id.format() == self.format).then(|| gix::ObjectId::from_bytes_or_panic(id.as_bytes()))
    }
}

/// Proves that a commit's bytes are what its id names; see [`Objects::read`].
pub fn verify_commit_id(id: &ObjectId, bytes: &[u8]) -> Result<(), GitError> {
    verify_id(id, ObjectKind::Commit, bytes)
}

const fn hash_kind(format: ObjectFormat) -> gix::hash::Kind {
    match format {
        ObjectFormat::Sha1 => gix::hash::Kind::Sha1,
        ObjectFormat::Sha256 => gix::hash::Kind::Sha256,
    }
}

fn handle(format: ObjectFormat, directory: &Path) -> Result<Handle, GitError> {
    let kind = hash_kind(format);
    let options = gix::odb::store::init::Options {
        current_dir: Some(directory.to_owned()),
        alloc_limit_bytes: Some(MAX_READ),
        ..Default::default()
    };
    let store = gix::odb::Store::at_opts(directory.to_owned(), kind, &mut None.into_iter(), options)
        .map_err(|e| GitError::Alternates { path: directory.to_owned(), why: e.to_string() })?;
    let mut handle = gix::odb::Cache::from(std::sync::Arc::new(store).to_handle_arc());
    // A repack beside us may remove a pack whose objects are still needed.
    handle.prevent_pack_unload();
    handle.set_pack_cache(|| Box::new(Bases::default()));
    Ok(handle)
}

fn verify_id(id: &ObjectId, found: ObjectKind, bytes: &[u8]) -> Result<(), GitError> {
    let hash = match id.format() {
        ObjectFormat::Sha1 => gix::hash::Kind::Sha1,
        ObjectFormat::Sha256 => gix::hash::Kind::Sha256,
    };
    let object_kind = match found {
        ObjectKind::Commit => gix::objs::Kind::Commit,
        ObjectKind::Tag => gix::objs::Kind::Tag,
        ObjectKind::Tree => gix::objs::Kind::Tree,
        ObjectKind::Blob => gix::objs::Kind::Blob,
    };
    let head = gix::objs::encode::loose_header(object_kind, bytes.len() as u64);
    prove(id, hash, &[&head, bytes])
}

/// Proves that these parts together are what an id names, with detection of collision attacks for SHA-1: then
/// two contents have the id, and nobody can say which of them is meant.
fn prove(id: &ObjectId, hash: gix::hash::Kind, parts: &[&[u8]]) -> Result<(), GitError> {
    let corrupt = |why: String| GitError::Corrupt { id: *id, why };
    let mut hasher = gix::hash::hasher(hash);
    parts.iter().for_each(|part| hasher.update(part));
    let computed = hasher.try_finalize().map_err(|e| corrupt(e.to_string()))?;
    if computed.as_slice() == id.as_bytes() {
        Ok(())
    } else {
        Err(corrupt(format!("its content hashes to {computed}")))
    }
}

fn unreadable(id: &ObjectId, error: &dyn std::fmt::Display) -> GitError {
    GitError::Object { id: *id, why: error.to_string() }
}

fn kind(kind: gix::objs::Kind) -> ObjectKind {
    match kind {
        gix::objs::Kind::Commit => ObjectKind::Commit,
        gix::objs::Kind::Tag => ObjectKind::Tag,
        gix::objs::Kind::Tree => ObjectKind::Tree,
        gix::objs::Kind::Blob => ObjectKind::Blob,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No collision of two commits is known. What proves an object's id refuses those that are known,
    /// although the digest is right.
    #[test]
    fn g045_a_collision_is_found_although_the_digest_is_right() {
        let strings = [
            include_str!("../../tests/vectors/sha1/collision-one.hex"),
            include_str!("../../tests/vectors/sha1/collision-two.hex"),
        ];
        let id = ObjectId::parse(b"f92d74e3874587aaf443d1db961d4e26dde13e9c").unwrap();
        for text in strings {
            let bytes = data_encoding::HEXLOWER.decode(text.replace('\n', "").as_bytes()).unwrap();
            for parts in [vec![&bytes[..]], vec![&bytes[..100], &bytes[100..]]] {
                let error = prove(&id, gix::hash::Kind::Sha1, &parts).unwrap_err().to_string();
                assert!(error.contains("collision") && !error.contains("hashes to"), "{error}");
            }
            let error = prove(&id, gix::hash::Kind::Sha1, &[&bytes[..256]]).unwrap_err().to_string();
            assert!(error.contains("hashes to"), "{error}");
        }
    }

    #[test]
    fn g044_the_kind_and_the_length_are_part_of_the_id() {
        // The empty tree's id.
        let id = ObjectId::parse(b"4b825dc642cb6eb9a060e54bf8d69288fbee4904").unwrap();
        verify_id(&id, ObjectKind::Tree, b"").unwrap();
        for (kind, bytes) in
            [(ObjectKind::Blob, &b""[..]), (ObjectKind::Commit, b""), (ObjectKind::Tree, b"\0")]
        {
            assert!(matches!(verify_id(&id, kind, bytes), Err(GitError::Corrupt { .. })));
        }
    }
}
