//! Repositories with objects made by hand, some of them in the quarantine of a push.

use crate::support::sandbox::{Sandbox, run};
use countersign::domain::{Change, Entry, FileMode, ObjectFormat, ObjectId};
use countersign::git::{ChangeBudget, Comparison, Differ, Difference, GitError, Repository};
use std::path::{Path, PathBuf};

pub(crate) fn id(hex: &str) -> ObjectId {
    ObjectId::parse(hex.trim().as_bytes()).unwrap()
}

pub(crate) fn never() -> Result<(), GitError> {
    Ok(())
}

/// A repository and the quarantine of a push that never ends.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) bare: PathBuf,
    pub(crate) quarantine: PathBuf,
}

/// Where an object goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    Repository,
    Push,
}

impl World {
    pub(crate) fn new(format: ObjectFormat) -> Self {
        let sandbox = Sandbox::new();
        let bare = sandbox.bare("server.git", &[&format!("--object-format={}", format.name())]);
        let quarantine = bare.join("objects/tmp_objdir-incoming-x");
        std::fs::create_dir(&quarantine).unwrap();
        World { sandbox, bare, quarantine }
    }

    pub(crate) fn sha1() -> Self {
        World::new(ObjectFormat::Sha1)
    }

    /// Opened as during the push.
    pub(crate) fn open(&self) -> Repository {
        Repository::open(&self.bare, Some(&self.quarantine)).unwrap()
    }

    /// Runs git with its objects going to one of the two places.
    pub(crate) fn git(&self, to: To, arguments: &[&str], input: &[u8]) -> String {
        let mut command = self.sandbox.command("git", &self.bare);
        if to == To::Push {
            command.env("GIT_OBJECT_DIRECTORY", &self.quarantine);
            command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", self.bare.join("objects"));
        }
        command.args(arguments);
        run(command, input).ok().line().to_owned()
    }

    /// Writes an object as it is, whatever git thinks of it.
    pub(crate) fn object(&self, to: To, kind: &str, raw: &[u8]) -> ObjectId {
        id(&self.git(to, &["hash-object", "-w", "--literally", "-t", kind, "--stdin"], raw))
    }

    pub(crate) fn blob(&self, to: To, content: &[u8]) -> ObjectId {
        self.object(to, "blob", content)
    }

    /// Writes a tree of these entries in this order.
    pub(crate) fn tree(&self, to: To, entries: &[(&str, &[u8], ObjectId)]) -> ObjectId {
        self.object(to, "tree", &raw_tree(entries))
    }

    /// Compares with a budget that is never reached.
    pub(crate) fn compare(&self, old: Option<ObjectId>, new: Option<ObjectId>) -> Comparison {
        let repository = self.open();
        let mut differ = Differ::new(repository.objects(), ChangeBudget::default()).look_for_collisions();
        differ.compare(old, new, &never).unwrap()
    }
}

pub(crate) fn raw_tree(entries: &[(&str, &[u8], ObjectId)]) -> Vec<u8> {
    let one = |(mode, name, id): &(&str, &[u8], ObjectId)| {
        [mode.as_bytes(), b" ", name, b"\0", id.as_bytes()].concat()
    };
    entries.iter().flat_map(one).collect()
}

/// The difference of a comparison that came to its end.
#[track_caller]
pub(crate) fn complete(comparison: Comparison) -> Difference {
    match comparison {
        Comparison::Complete(difference) => difference,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn paths(difference: &Difference) -> Vec<&[u8]> {
    difference.changes.iter().map(|change| change.path.as_slice()).collect()
}

/// What `git diff-tree` says.
pub(crate) fn by_git(sandbox: &Sandbox, repository: &Path, old: &str, new: &str) -> Vec<Change> {
    let mut command = sandbox.command("git", repository);
    command.args(["diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", old, new]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    parse_raw(&output.stdout)
}

/// Reads the raw format with `-z`.
pub(crate) fn parse_raw(raw: &[u8]) -> Vec<Change> {
    let mut parts = raw.split(|byte| *byte == 0);
    let mut out = Vec::new();
    while let Some(head) = parts.next().filter(|head| !head.is_empty()) {
        let head = std::str::from_utf8(head).unwrap().strip_prefix(':').unwrap();
        let words: Vec<&str> = head.split(' ').collect();
        let side = |mode: &str, id: &str| {
            let id = ObjectId::parse_optional(id.as_bytes()).unwrap()?;
            let mode = match mode {
                "100644" => FileMode::File,
                "100755" => FileMode::Executable,
                "120000" => FileMode::Symlink,
                "160000" => FileMode::Submodule,
                other => panic!("{other}"),
            };
            Some(Entry { mode, id })
        };
        let path = parts.next().unwrap().to_vec();
        out.push(Change { path, old: side(words[0], words[2]), new: side(words[1], words[3]) });
    }
    out
}
