//! What a commit changes: paths with the entry that each had before and has after.

use super::ObjectId;

/// What a tree says that a path is. Directories are never one of these: they are expanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileMode {
    /// A file, `100644`.
    File,
    /// A file that may be run, `100755`.
    Executable,
    /// A symbolic link, `120000`: its blob holds the target.
    Symlink,
    /// A submodule, `160000`: the id is that of a commit in another repository.
    Submodule,
}

impl FileMode {
    /// The mode as git writes it into trees.
    pub const fn octal(self) -> &'static str {
        match self {
            FileMode::File => "100644",
            FileMode::Executable => "100755",
            FileMode::Symlink => "120000",
            FileMode::Submodule => "160000",
        }
    }

    /// Whether the entry names a blob of this repository; a submodule does not.
    pub const fn has_blob(self) -> bool {
        !matches!(self, FileMode::Submodule)
    }
}

/// One side of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entry {
    /// What it is.
    pub mode: FileMode,
    /// The blob, or the submodule's commit.
    pub id: ObjectId,
}

/// A path whose entry is not the same on both sides. There are no renames: a file that moved is gone
/// from one path and new at another, so both can be matched (trap T5).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Change {
    /// From the root of the tree, bytes as they are in the trees, components joined by `/`. Nothing is
    /// said about them but that they have no zero byte: `.git`, `..` and control characters come as
    /// they are.
    pub path: Vec<u8>,
    /// Before; `None` where the path is new.
    pub old: Option<Entry>,
    /// After; `None` where the path is gone.
    pub new: Option<Entry>,
}

impl Change {
    /// The path's last component.
    pub fn name(&self) -> &[u8] {
        self.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }
}
