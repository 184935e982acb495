//! All that a push could change in a repository.

use super::sandbox::Sandbox;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The refs and the object files of a repository.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub refs: String,
    pub objects: BTreeSet<PathBuf>,
}

impl Snapshot {
    pub fn of(sandbox: &Sandbox, repository: &Path) -> Self {
        let format = "--format=%(objectname) %(refname) %(symref)";
        let refs = sandbox.git(repository, &["for-each-ref", format]).stdout;
        let mut objects = BTreeSet::new();
        collect(&repository.join("objects"), &mut objects);
        Snapshot { refs, objects }
    }
}

/// Every file and every directory, so that a quarantine left behind is seen, too.
fn collect(directory: &Path, out: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let incoming = entry.file_name().to_string_lossy().starts_with("tmp_objdir");
            if incoming {
                out.insert(path.clone());
            }
            collect(&path, out);
        } else {
            out.insert(path);
        }
    }
}

/// Fails the test unless git finds nothing wrong with the repository.
#[track_caller]
pub fn assert_clean(sandbox: &Sandbox, repository: &Path) {
    let fsck = sandbox.git(repository, &["fsck", "--full", "--strict", "--no-dangling"]);
    // A branch that does not exist yet is worth a notice to it, and nothing more.
    let mut said =
        fsck.stdout.lines().chain(fsck.stderr.lines()).filter(|line| !line.starts_with("notice: "));
    assert!(fsck.status.success() && said.next().is_none(), "{}{}", fsck.stdout, fsck.stderr);
}
