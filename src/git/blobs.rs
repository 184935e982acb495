//! Facts about blobs, without reading more of them than is needed.

use super::{GitError, Objects, head};
use crate::domain::{BlobFacts, HEAD_BYTES, ObjectId, ObjectKind};

/// The content of a blob, if it is not longer than asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// All of it, proved to be what the id names.
    Whole(Vec<u8>),
    /// It is longer; this is its size in bytes.
    TooLong(u64),
}

/// Up to this size a blob is read as a whole, and its id is proved; of a larger one only the beginning
/// is read, which proves nothing. Git has proved the ids of what a push brings before it asks us.
const READ_WHOLE: u64 = 1 << 20;

/// Most bytes of a link's target that are asked for; no system takes more.
pub const MAX_LINK_TARGET: u64 = 4096;

/// Size, kind and claims of a blob.
///
/// # Errors
/// It is missing, unreadable, not what its id says, or not a blob. Nothing is fetched for a partial
/// clone: what it lacks is missing.
pub fn blob_facts(objects: &Objects, id: &ObjectId) -> Result<BlobFacts, GitError> {
    let size = blob_size(objects, id)?;
    if size <= READ_WHOLE {
        return Ok(BlobFacts::of(size, &whole(objects, id)?));
    }
    let head = match head::read(objects, id, HEAD_BYTES)? {
        Some(head) => head,
        // Stored in a way of which no part can be had, or repacked just now.
        None => whole(objects, id)?,
    };
    if head.len() < HEAD_BYTES {
        return Err(GitError::Corrupt { id: *id, why: "it is shorter than its header says".to_owned() });
    }
    Ok(BlobFacts::of(size, &head))
}

/// The size of a blob in bytes, from its header.
///
/// # Errors
/// As [`blob_facts`].
pub fn blob_size(objects: &Objects, id: &ObjectId) -> Result<u64, GitError> {
    let found = objects.find(id)?.ok_or(GitError::Missing { id: *id, child: None })?;
    if found.kind != ObjectKind::Blob {
        return Err(not_a_blob(id, found.kind));
    }
    Ok(found.size)
}

/// All of a blob that has at most `max` bytes. For the target of a symbolic link, see
/// [`MAX_LINK_TARGET`].
///
/// # Errors
/// As [`blob_facts`].
pub fn blob_content(objects: &Objects, id: &ObjectId, max: u64) -> Result<Content, GitError> {
    let size = blob_size(objects, id)?;
    if size > max { Ok(Content::TooLong(size)) } else { Ok(Content::Whole(whole(objects, id)?)) }
}

fn whole(objects: &Objects, id: &ObjectId) -> Result<Vec<u8>, GitError> {
    let mut buffer = Vec::new();
    match objects.read(id, &mut buffer)? {
        Some(ObjectKind::Blob) => Ok(buffer),
        Some(other) => Err(not_a_blob(id, other)),
        None => Err(GitError::Missing { id: *id, child: None }),
    }
}

fn not_a_blob(id: &ObjectId, kind: ObjectKind) -> GitError {
    GitError::Object { id: *id, why: format!("it is a {} and not a blob", kind.name()) }
}
