//! Merges: whether a commit is one (N20), and what its tree would be if nobody had touched it.
//!
//! The recomputed tree is git's own, by `git merge-tree` of 2.38 or later. Git is not let near the
//! repository: it works in an empty one of its own, in a private directory, and finds objects in the
//! object directories of the repository and of the push. So the repository's configuration, attributes,
//! hooks, grafts and replace refs have no say, nor have those of the system or of a user. A merge that was
//! made with a merge driver, with other options or by another strategy is therefore not a clean one here.

use super::child::{self, Ended, Room, RunError};
use super::relation::descends;
use super::{GitError, Objects, Relation};
use crate::domain::{ObjectFormat, ObjectId, text};
use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

/// What a commit's parents make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeShape {
    /// It has no or one parent.
    NotAMerge,
    /// It names this parent more than once.
    Repeated(ObjectId),
    /// This parent is an ancestor of another one, so that there was nothing to merge.
    Ancestor(ObjectId),
    /// A real merge: distinct parents, none an ancestor of another.
    Real,
}

/// Whether a commit with these parents is a real merge (N20).
///
/// # Errors
/// History that cannot be read, and what `stop` says; it is asked now and then.
pub fn merge_shape<E: From<GitError>>(
    objects: &Objects,
    parents: &[ObjectId],
    stop: &dyn Fn() -> Result<(), E>,
) -> Result<MergeShape, E> {
    if parents.len() < 2 {
        return Ok(MergeShape::NotAMerge);
    }
    let mut seen = HashSet::new();
    if let Some(repeated) = parents.iter().find(|parent| !seen.insert(**parent)) {
        return Ok(MergeShape::Repeated(*repeated));
    }
    for parent in parents {
        let others: Vec<ObjectId> = parents.iter().filter(|other| *other != parent).copied().collect();
        if descends(objects, *parent, &others, stop)? == Relation::Descends {
            return Ok(MergeShape::Ancestor(*parent));
        }
    }
    Ok(MergeShape::Real)
}

/// What a three-way merge of two commits gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recomputed {
    /// This tree, without a conflict.
    Clean(ObjectId),
    /// Conflicts.
    Conflict {
        /// The tree with what could be merged, and with conflict markers in files that could not.
        tree: ObjectId,
        /// The paths in conflict, as git names them.
        paths: Vec<Vec<u8>>,
        /// Whether there are more of them.
        more: bool,
    },
    /// The commits have no common ancestor.
    Unrelated,
}

/// Why a merge was not recomputed: undecided, never an answer.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The repository cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Git cannot be run here, or not as it must.
    #[error("the merge cannot be recomputed: {0}")]
    Program(String),
    /// The time was over.
    #[error("the merge was not recomputed in time")]
    Time,
}

/// Most bytes of conflicting paths that are kept.
const KEPT: usize = 256 << 10;

/// Recomputes merges for one push.
#[derive(Debug)]
pub struct Merger {
    room: Room,
    git: PathBuf,
    format: ObjectFormat,
}

impl Merger {
    /// Makes the private repository that the merges of one push are computed in.
    ///
    /// # Errors
    /// Git is not installed, the private directory cannot be made, or the alternates not followed.
    pub fn new(objects: &Objects) -> Result<Self, MergeError> {
        let git = child::program("git").map_err(MergeError::Program)?;
        let failed =
            |e: std::io::Error| MergeError::Program(format!("a private directory cannot be used: {e}"));
        let room = Room::new().map_err(failed)?;
        let mut alternates = Vec::new();
        for directory in objects.directories()? {
            let path = directory.canonicalize().map_err(failed)?;
            let path = path.as_os_str().as_bytes();
            // One path a line; an absolute one is neither a comment nor quoted.
            if path.contains(&b'\n') {
                return Err(MergeError::Program("an object directory has a newline in its path".to_owned()));
            }
            alternates.extend_from_slice(path);
            alternates.push(b'\n');
        }
        let format = objects.format();
        let fill = || {
            fs::create_dir_all(room.path("merge.git/objects/info"))?;
            fs::create_dir_all(room.path("merge.git/refs"))?;
            fs::write(room.path("merge.git/HEAD"), "ref: refs/heads/none\n")?;
            fs::write(room.path("merge.git/config"), settings(format))?;
            fs::write(room.path("merge.git/objects/info/alternates"), &alternates)
        };
        fill().map_err(failed)?;
        Ok(Merger { room, git, format })
    }

    /// Merges two commits as `git merge` with its default settings does, the first one being ours.
    ///
    /// # Errors
    /// Git cannot tell, because an object is missing or for whatever reason, or not before `until`.
    pub fn recompute(
        &self,
        ours: ObjectId,
        theirs: ObjectId,
        until: Instant,
    ) -> Result<Recomputed, MergeError> {
        let options = ["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages"];
        let ended = self.ask(&options, ours, theirs, until)?;
        match ended.code {
            Some(code @ (0 | 1)) => self.answer(code, &ended),
            _ => {
                // Git refuses to merge unrelated histories, and says so in words only.
                let bases = self.ask(&["merge-base"], ours, theirs, until)?;
                let none = bases.code == Some(1) && bases.stdout.is_empty() && bases.stderr.is_empty();
                if none { Ok(Recomputed::Unrelated) } else { Err(said(&ended)) }
            }
        }
    }

    fn answer(&self, code: i32, ended: &Ended) -> Result<Recomputed, MergeError> {
        let strange = || MergeError::Program("git's answer is not understood".to_owned());
        let mut parts = ended.stdout.split(|byte| *byte == 0);
        let tree = parts.next().and_then(|hex| ObjectId::parse(hex.trim_ascii_end()).ok());
        let tree = tree.filter(|tree| tree.format() == self.format).ok_or_else(strange)?;
        let mut paths: Vec<Vec<u8>> = parts.map(<[u8]>::to_vec).collect();
        // After the last zero byte there is nothing, or what was cut off.
        let rest = paths.pop();
        if code == 1 {
            return Ok(Recomputed::Conflict { tree, paths, more: ended.cut });
        }
        if paths.is_empty() && rest.is_none_or(|rest| rest.is_empty()) {
            Ok(Recomputed::Clean(tree))
        } else {
            Err(strange())
        }
    }

    /// The objects of the repository and of the push together with those that the merges made, for
    /// comparing a recomputed tree with another. It does not know what the push brought.
    ///
    /// # Errors
    /// The private repository cannot be read.
    pub fn objects(&self) -> Result<Objects, GitError> {
        Objects::open(self.format, &self.room.path("merge.git/objects"), None)
    }

    fn ask(
        &self,
        what: &[&str],
        ours: ObjectId,
        theirs: ObjectId,
        until: Instant,
    ) -> Result<Ended, MergeError> {
        let mut command: Command = child::command(&self.room, &self.git);
        command.arg("--git-dir").arg(self.room.path("merge.git"));
        command.args(what).arg(ours.to_string()).arg(theirs.to_string());
        match child::run(&mut command, until, KEPT) {
            Ok(ended) => Ok(ended),
            Err(RunError::Time | RunError::Stopped) => Err(MergeError::Time),
            Err(RunError::Failed(why)) => Err(MergeError::Program(why)),
        }
    }
}

/// The configuration of the private repository. The commit graph is a file of the repository that
/// nobody has compared with the commits, so it is not used.
fn settings(format: ObjectFormat) -> String {
    let version = if format == ObjectFormat::Sha1 { 0 } else { 1 };
    let mut text = format!(
        "[core]\n\trepositoryformatversion = {version}\n\tbare = true\n\tcommitGraph = false\n\
         \tattributesFile = /dev/null\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"
    );
    if format == ObjectFormat::Sha256 {
        text.push_str("[extensions]\n\tobjectformat = sha256\n");
    }
    text
}

fn said(ended: &Ended) -> MergeError {
    let words = text::escape_short(ended.stderr.trim_ascii(), 300);
    MergeError::Program(match ended.code {
        Some(129) => "git is older than 2.38 and has no `merge-tree --write-tree`".to_owned(),
        Some(code) => format!("git ended with {code}: {words}"),
        None => format!("git was ended by a signal: {words}"),
    })
}
