//! What differs between two trees.

use super::ObjectId;

/// What an entry of a tree is. Directories are expanded and are no entries here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileMode {
    /// A file.
    File,
    /// A file that can be executed.
    Executable,
    /// A symbolic link; its blob is the target.
    Symlink,
    /// A commit of another repository.
    Submodule,
}

/// One side of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// What it is.
    pub mode: FileMode,
    /// Its blob; for a submodule, the commit.
    pub id: ObjectId,
}

/// A path that two trees have differently. A rename is two changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Change {
    /// The whole path, raw bytes, parts separated by `/`.
    pub path: Vec<u8>,
    /// What was there.
    pub old: Option<Entry>,
    /// What is there now.
    pub new: Option<Entry>,
}
