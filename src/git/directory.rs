//! The files of one directory of a commit, read from the object database alone: nothing is checked out, git is not
//! run, and nothing that the repository configures counts.

use super::{Content, EntryKind, GitError, Objects, Repository, Tree, blob_content};
use crate::domain::{FileMode, ObjectId, ObjectKind, RefName, text};
use crate::signature::object::{parse_commit, parse_tag};

/// Most entries of a directory on the way.
const MAX_ENTRIES: u64 = 100_000;

/// Largest tree, and largest commit or tag, bytes.
const MAX_TREE: u64 = 16 << 20;
const MAX_OBJECT: u64 = 1 << 20;

/// Most bytes of all files together.
const MAX_BYTES: u64 = 256 << 20;

/// Deepest path, most tags in a row, most steps to a parent.
const MAX_DEPTH: usize = 64;
const MAX_TAGS: usize = 10;
const MAX_STEPS: usize = 10_000;

/// Why a directory of a revision cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The repository cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// There is no such revision or directory, or it is not one.
    #[error("{0}")]
    Named(String),
    /// It is larger than anything that is meant to be read so, or built to confuse readers.
    #[error("{0}")]
    Refused(String),
}

/// A file's name and its content.
pub type NamedFile = (Vec<u8>, Vec<u8>);

/// The regular files of the directory `path` in the revision `revision`, by name, those that `wanted` is for.
///
/// A revision is a full object id, a ref, a branch, a tag, or `HEAD` where that is a branch; `~`, `~N` and `^` behind it
/// go to first parents. A path is empty for the whole tree.
///
/// # Errors
/// See [`DirectoryError`]. A wanted name that is a link, a directory or a submodule is one, and so is a file of more
/// than `most` bytes.
pub fn directory_files(
    repository: &Repository,
    revision: &str,
    path: &str,
    most: u64,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<Vec<NamedFile>, DirectoryError> {
    let objects = repository.objects();
    let commit = commit_of(repository, revision)?;
    let raw = object(objects, &commit, ObjectKind::Commit, MAX_OBJECT)?;
    let parsed =
        parse_commit(objects.format(), &raw).map_err(|error| refused(&commit, &error.to_string()))?;
    let mut tree = parsed.tree;
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.len() > MAX_DEPTH {
        return Err(DirectoryError::Refused(format!("the path is deeper than {MAX_DEPTH}")));
    }
    for part in parts {
        let raw = object(objects, &tree, ObjectKind::Tree, MAX_TREE)?;
        let entries = decoded(objects, &tree, &raw)?.entries;
        let found = entries.iter().find(|entry| entry.name == part.as_bytes());
        match found {
            Some(entry) if entry.kind == EntryKind::Tree => tree = entry.id,
            _ => {
                let (path, revision) = (text::escape_short(path.as_bytes(), 200), shown(revision));
                return Err(DirectoryError::Named(format!("`{path}` is no directory in `{revision}`")));
            }
        }
    }
    let raw = object(objects, &tree, ObjectKind::Tree, MAX_TREE)?;
    let mut files = Vec::new();
    let mut left = MAX_BYTES;
    for entry in decoded(objects, &tree, &raw)?.entries.iter().filter(|entry| wanted(entry.name)) {
        let name = text::escape_short(entry.name, 100);
        if !matches!(entry.kind, EntryKind::Leaf(FileMode::File | FileMode::Executable)) {
            return Err(DirectoryError::Refused(format!("`{name}` is not a regular file")));
        }
        let limit = most.min(left);
        match blob_content(objects, &entry.id, limit)? {
            Content::Whole(bytes) => {
                left -= bytes.len() as u64;
                files.push((entry.name.to_vec(), bytes));
            }
            Content::TooLong(size) => {
                let message = format!("`{name}` has {size} bytes, and {limit} is the most here");
                return Err(DirectoryError::Refused(message));
            }
        }
    }
    Ok(files)
}

fn shown(word: &str) -> String {
    text::escape_short(word.as_bytes(), 100)
}

fn refused(id: &ObjectId, why: &str) -> DirectoryError {
    DirectoryError::Refused(format!("object {id}: {why}"))
}

/// An object of this kind and of at most this size, which is asked before it is read.
fn object(
    objects: &Objects,
    id: &ObjectId,
    wanted: ObjectKind,
    most: u64,
) -> Result<Vec<u8>, DirectoryError> {
    let found = objects.find(id)?.ok_or(GitError::Missing { id: *id, child: None })?;
    if found.kind != wanted {
        return Err(refused(id, &format!("it is a {} and not a {}", found.kind.name(), wanted.name())));
    }
    if found.size > most {
        return Err(refused(id, &format!("it has {} bytes, and {most} is the most here", found.size)));
    }
    let mut buffer = Vec::new();
    objects.read(id, &mut buffer)?.ok_or(GitError::Missing { id: *id, child: None })?;
    Ok(buffer)
}

/// A tree without a fault: one that two readers read differently is no ground for a comparison.
fn decoded<'a>(objects: &Objects, id: &ObjectId, raw: &'a [u8]) -> Result<Tree<'a>, DirectoryError> {
    let tree = Tree::decode(objects.format(), raw, MAX_ENTRIES)
        .map_err(|_| refused(id, &format!("the tree has more than {MAX_ENTRIES} entries")))?;
    match tree.faults.first() {
        Some(fault) => Err(refused(id, &format!("the tree is malformed: {fault}"))),
        None => Ok(tree),
    }
}

fn commit_of(repository: &Repository, revision: &str) -> Result<ObjectId, DirectoryError> {
    let objects = repository.objects();
    let end = revision.find(['~', '^']).unwrap_or(revision.len());
    let (base, steps) = revision.split_at(end);
    let mut id = named(repository, base)?;
    for _ in 0..=MAX_TAGS {
        let found = objects.find(&id)?.ok_or(GitError::Missing { id, child: None })?;
        match found.kind {
            ObjectKind::Tag => {
                let raw = object(objects, &id, ObjectKind::Tag, MAX_OBJECT)?;
                id = parse_tag(objects.format(), &raw)
                    .map_err(|error| refused(&id, &error.to_string()))?
                    .target;
            }
            ObjectKind::Commit => return ancestor(objects, id, revision, steps),
            _ => break,
        }
    }
    Err(DirectoryError::Named(format!("`{}` is no commit", shown(revision))))
}

fn ancestor(
    objects: &Objects,
    from: ObjectId,
    revision: &str,
    steps: &str,
) -> Result<ObjectId, DirectoryError> {
    let unread = || {
        DirectoryError::Named(format!("`{}`: only `~`, `~N` and `^` are read behind a name", shown(revision)))
    };
    let mut count = 0_usize;
    let mut rest = steps;
    while let Some(first) = rest.chars().next() {
        if !matches!(first, '~' | '^') {
            return Err(unread());
        }
        let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
        let number = &rest[1..=digits];
        count = count.saturating_add(match (first, number) {
            ('~' | '^', "") => 1,
            ('~', number) => number.parse().unwrap_or(usize::MAX),
            ('^', "1") => 1,
            _ => return Err(unread()),
        });
        rest = &rest[1 + digits..];
    }
    if count > MAX_STEPS {
        return Err(DirectoryError::Refused(format!(
            "`{}` is more than {MAX_STEPS} steps away",
            shown(revision)
        )));
    }
    let mut id = from;
    for _ in 0..count {
        let raw = object(objects, &id, ObjectKind::Commit, MAX_OBJECT)?;
        let parsed =
            parse_commit(objects.format(), &raw).map_err(|error| refused(&id, &error.to_string()))?;
        let none = || DirectoryError::Named(format!("`{}` goes behind the first commit", shown(revision)));
        id = *parsed.parents.first().ok_or_else(none)?;
    }
    Ok(id)
}

fn named(repository: &Repository, base: &str) -> Result<ObjectId, DirectoryError> {
    let nothing =
        || DirectoryError::Named(format!("`{}` names no ref, and is no whole object id", shown(base)));
    if let Ok(id) = ObjectId::parse(base.as_bytes()) {
        return Ok(id);
    }
    let value = |name: &RefName| Ok::<_, DirectoryError>(repository.resolve(name)?.value);
    if base == "HEAD" {
        let detached = || DirectoryError::Named("HEAD is no branch: give the commit's id".to_owned());
        let branch = repository.default_branch()?.ok_or_else(detached)?;
        return value(&branch)?.ok_or_else(nothing);
    }
    let candidates = match base.starts_with("refs/") {
        true => vec![base.to_owned()],
        false => ["heads", "tags", "remotes"].map(|kind| format!("refs/{kind}/{base}")).to_vec(),
    };
    let mut found = Vec::new();
    for candidate in candidates {
        let Ok(name) = RefName::parse(candidate.as_bytes()) else { continue };
        if let Some(id) = value(&name)? {
            found.push((candidate, id));
        }
    }
    match &found[..] {
        [(_, id)] => Ok(*id),
        [] => Err(nothing()),
        _ => {
            let all: Vec<String> = found.iter().map(|(name, _)| format!("`{}`", shown(name))).collect();
            Err(DirectoryError::Named(format!(
                "`{}` may be {}: write all of it",
                shown(base),
                all.join(" or ")
            )))
        }
    }
}
