//! The files of one directory of a commit, from the object database alone: for what is taken over from there as a
//! whole, or compared.

use super::objects::Objects;
use super::tree::{EntryKind, Tree};
use super::{Content, GitError, blob_content};
use crate::domain::{FileMode, ObjectId, ObjectKind, text};

/// Deepest path.
const MAX_DEPTH: usize = 64;

/// How much is read.
#[derive(Clone, Copy, Debug)]
pub struct FileLimits {
    /// Most entries of a directory, on the way as well.
    pub entries: u64,
    /// Largest file, in bytes.
    pub file: u64,
    /// All files together, in bytes.
    pub total: u64,
}

/// Why the files cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The repository cannot be read, or an object is not what its id says.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The commit holds something that is not a plain directory of plain files.
    #[error("{0}")]
    Content(String),
}

/// A file's name, and what it holds.
pub type NamedFile = (Vec<u8>, Vec<u8>);

/// Names and contents of the files whose names `wanted` takes, directly in the directory `path` of a commit;
/// an empty path is the root. Every object is hashed again.
///
/// # Errors
/// A directory on the way is missing or malformed, or one beside it differs from it only in case: some work trees
/// would have them as one; a wanted name is anything but a plain file; too much.
pub fn files_in(
    objects: &Objects,
    commit: &ObjectId,
    path: &str,
    limits: FileLimits,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<Vec<NamedFile>, FilesError> {
    let content = |why: String| FilesError::Content(why);
    let mut buffer = Vec::new();
    read(objects, commit, ObjectKind::Commit, &mut buffer)?;
    let line = buffer.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let tree = line.strip_prefix(b"tree ").and_then(|hex| ObjectId::parse(hex).ok());
    let mut tree = tree.ok_or_else(|| content(format!("the commit {commit} names no tree")))?;
    if path.split('/').count() > MAX_DEPTH {
        return Err(content(format!("the path is deeper than {MAX_DEPTH}")));
    }
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let raw = directory(objects, &tree, limits.entries)?;
        let decoded = decode(objects, &raw, limits.entries)?;
        let found = decoded.entries.iter().find(|entry| entry.name == part.as_bytes());
        let same = |name: &[u8]| name != part.as_bytes() && name.eq_ignore_ascii_case(part.as_bytes());
        if let Some(other) = decoded.entries.iter().find(|entry| same(entry.name)) {
            let other = text::escape_short(other.name, 80);
            return Err(content(format!("`{other}` and `{part}` differ only in case")));
        }
        tree = match found {
            Some(entry) if entry.kind == EntryKind::Tree => entry.id,
            Some(_) => return Err(content(format!("`{part}` is no directory"))),
            None => return Err(content(format!("there is no directory `{part}`"))),
        };
    }
    let raw = directory(objects, &tree, limits.entries)?;
    let decoded = decode(objects, &raw, limits.entries)?;
    let (mut out, mut total) = (Vec::new(), 0_u64);
    for entry in decoded.entries.iter().filter(|entry| wanted(entry.name)) {
        let mut shown = text::escape_short(entry.name, 80);
        if !path.is_empty() {
            shown = format!("{path}/{shown}");
        }
        match entry.kind {
            EntryKind::Leaf(FileMode::File) => {}
            EntryKind::Leaf(FileMode::Symlink) => {
                return Err(content(format!("`{shown}` is a symbolic link")));
            }
            EntryKind::Leaf(FileMode::Submodule) => return Err(content(format!("`{shown}` is a submodule"))),
            EntryKind::Leaf(FileMode::Executable) => return Err(content(format!("`{shown}` is executable"))),
            EntryKind::Tree => return Err(content(format!("`{shown}` is a directory"))),
        }
        let bytes = match blob_content(objects, &entry.id, limits.file)? {
            Content::Whole(bytes) => bytes,
            Content::TooLong(size) => {
                let most = limits.file;
                return Err(content(format!("`{shown}` has {size} bytes, and {most} is the most")));
            }
        };
        total += bytes.len() as u64;
        if total > limits.total {
            return Err(content(format!("the files have more than {} bytes together", limits.total)));
        }
        out.push((entry.name.to_vec(), bytes));
    }
    Ok(out)
}

fn read(objects: &Objects, id: &ObjectId, kind: ObjectKind, buffer: &mut Vec<u8>) -> Result<(), GitError> {
    match objects.read(id, buffer)? {
        Some(found) if found == kind => Ok(()),
        Some(found) => {
            let why = format!("it is a {} and not a {}", found.name(), kind.name());
            Err(GitError::Object { id: *id, why })
        }
        None => Err(GitError::Missing { id: *id, child: None }),
    }
}

/// The smallest entry of a tree has its mode, a name, two separators and an id.
const LARGEST_ENTRY: u64 = 512;

fn directory(objects: &Objects, id: &ObjectId, entries: u64) -> Result<Vec<u8>, FilesError> {
    let size = objects.find(id)?.map_or(0, |found| found.size);
    if size > entries.saturating_mul(LARGEST_ENTRY) {
        return Err(FilesError::Content(format!("the directory {id} is too large")));
    }
    let mut buffer = Vec::new();
    read(objects, id, ObjectKind::Tree, &mut buffer)?;
    Ok(buffer)
}

fn decode<'a>(objects: &Objects, raw: &'a [u8], entries: u64) -> Result<Tree<'a>, FilesError> {
    let tree = Tree::decode(objects.format(), raw, entries)
        .map_err(|_| FilesError::Content(format!("a directory has more than {entries} entries")))?;
    match tree.faults.first() {
        Some(fault) => Err(FilesError::Content(format!("a directory is malformed: {fault}"))),
        None => Ok(tree),
    }
}
