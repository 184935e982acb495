//! Objects of a repository and of the quarantine of the push in flight.

use super::bases::Bases;
use super::head::{self, OwnPacks};
use super::{GitError, alternates};
use crate::domain::{ObjectFormat, ObjectId, ObjectKind};
use gix::objs::{Find as _, FindHeader as _};
use std::cell::{Cell, OnceCell, RefCell};
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
    /// What the repository's own packs hold, where that has to be told from what it borrows.
    own_packs: RefCell<Option<OwnPacks>>,
    listed_again: Cell<bool>,
}

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
    /// Whether only an alternate has it.
    pub borrowed: bool,
}

/// Whose store an object was found in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Quarantine,
    Own,
    Alternate,
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
            own_packs: RefCell::default(),
            listed_again: Cell::default(),
        })
    }

    /// The stores that may hold an object, with whose they are, in the order of looking.
    fn stores(&self) -> impl Iterator<Item = Result<(&Handle, Origin), GitError>> {
        let standing = std::iter::once_with(|| match self.standing() {
            Ok(stores) => (stores, None),
            Err(error) => (&[][..], Some(Err(error))),
        });
        let standing = standing.flat_map(|(stores, error)| {
            let own = |at| if at == 0 { Origin::Own } else { Origin::Alternate };
            stores.iter().enumerate().map(move |(at, store)| Ok((store, own(at)))).chain(error)
        });
        self.quarantine.iter().map(|store| Ok((store, Origin::Quarantine))).chain(standing)
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

    /// Whether the repository may borrow objects of others. What it borrows is not opened for that.
    pub fn borrows(&self) -> bool {
        // What cannot be looked at is looked at again by whoever needs it.
        self.directory.join("info/alternates").try_exists().unwrap_or(true)
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
            let (store, origin) = store?;
            let header = store.try_header(&oid).map_err(|e| unreadable(id, &e))?;
            if let Some(header) = header {
                let borrowed = match origin {
                    Origin::Quarantine => false,
                    // The library follows alternates by itself where it understands them, so a find here is not
                    // yet one of the repository's own.
                    Origin::Own => self.borrows() && !self.is_own(id)?,
                    Origin::Alternate => true,
                };
                return Ok(Some(Found {
                    kind: kind(header.kind),
                    size: header.size,
                    in_quarantine: origin == Origin::Quarantine,
                    borrowed,
                }));
            }
        }
        Ok(None)
    }

    /// Whether the repository's own directory has an object.
    fn is_own(&self, id: &ObjectId) -> Result<bool, GitError> {
        if head::is_loose(&self.directory, id) {
            return Ok(true);
        }
        let mut packs = self.own_packs.borrow_mut();
        if packs.as_ref().is_some_and(|packs| packs.has(id)) {
            return Ok(true);
        }
        let fresh = packs.is_none();
        let open = || OwnPacks::open(&self.directory, self.format).map_err(|why| unreadable(id, &why));
        // Packed since they were listed: they are listed once more, and no oftener, since what is borrowed is
        // never found.
        if fresh || !self.listed_again.replace(true) {
            return Ok(packs.insert(open()?).has(id));
        }
        Ok(false)
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

fn handle(format: ObjectFormat, directory: &Path) -> Result<Handle, GitError> {
    let kind = match format {
        ObjectFormat::Sha1 => gix::hash::Kind::Sha1,
        ObjectFormat::Sha256 => gix::hash::Kind::Sha256,
    };
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
