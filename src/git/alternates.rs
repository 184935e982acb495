//! Following `info/alternates`, nested and relative ones too, as git does: a relative path is relative
//! to the object directory whose file names it.

use super::GitError;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How many levels of alternates are followed; git stops after five, too.
const MAX_DEPTH: usize = 5;
/// How many object directories one repository may read from.
const MAX_DIRECTORIES: usize = 64;

/// All object directories that `objects` reads from, itself first, as physical paths without repeats.
pub(super) fn flatten(objects: &Path) -> Result<Vec<PathBuf>, GitError> {
    let error = |why: String| GitError::Alternates { path: objects.to_owned(), why };
    let first = objects.canonicalize().map_err(|e| error(e.to_string()))?;
    let mut seen = HashSet::from([first.clone()]);
    let mut out = vec![first.clone()];
    let mut level = vec![first];
    for depth in 0.. {
        let mut next = Vec::new();
        for directory in &level {
            for path in listed(directory).map_err(&error)? {
                if depth >= MAX_DEPTH {
                    return Err(error(format!("they are nested deeper than {MAX_DEPTH}")));
                }
                // Git goes on without an alternate that is gone; whatever is missing for it will be
                // missed by name when it is read.
                let Ok(physical) = directory.join(&path).canonicalize() else { continue };
                if seen.insert(physical.clone()) {
                    out.push(physical.clone());
                    next.push(physical);
                }
                if out.len() > MAX_DIRECTORIES {
                    return Err(error(format!("there are more than {MAX_DIRECTORIES}")));
                }
            }
        }
        if next.is_empty() {
            return Ok(out);
        }
        level = next;
    }
    Ok(out)
}

fn listed(objects: &Path) -> Result<Vec<PathBuf>, String> {
    let file = objects.join("info/alternates");
    let content = match fs::read(&file) {
        Ok(content) => content,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(e) => return Err(format!("{}: {e}", file.display())),
    };
    let lines = content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && line[0] != b'#');
    lines
        .map(|line| match line {
            [b'"', ..] => Err(format!("{}: quoted paths are not supported", file.display())),
            path => Ok(PathBuf::from(OsStr::from_bytes(path))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(at: &Path, alternates: &str) {
        fs::create_dir_all(at.join("info")).unwrap();
        if !alternates.is_empty() {
            fs::write(at.join("info/alternates"), alternates).unwrap();
        }
    }

    #[test]
    fn relative_ones_are_relative_to_who_names_them() {
        let tmp = tempfile::tempdir().unwrap();
        let root = tmp.path().canonicalize().unwrap();
        directory(&root.join("a/objects"), "../../deep/pool/objects\n# a comment\n\n");
        directory(&root.join("deep/pool/objects"), "../../base/objects\n");
        directory(&root.join("deep/base/objects"), "");
        let found = flatten(&root.join("a/objects")).unwrap();
        assert_eq!(
            found,
            [root.join("a/objects"), root.join("deep/pool/objects"), root.join("deep/base/objects")]
        );
    }

    #[test]
    fn circles_end_and_missing_ones_are_passed_over() {
        let tmp = tempfile::tempdir().unwrap();
        let root = tmp.path().canonicalize().unwrap();
        directory(&root.join("a"), "../b\n/nowhere/at/all\n");
        directory(&root.join("b"), "../a\n");
        assert_eq!(flatten(&root.join("a")).unwrap(), [root.join("a"), root.join("b")]);
    }

    #[test]
    fn too_deep_is_an_error() {
        let tmp = tempfile::tempdir().unwrap();
        for depth in 0..8 {
            directory(&tmp.path().join(depth.to_string()), &format!("../{}\n", depth + 1));
        }
        assert!(flatten(&tmp.path().join("0")).is_err());
        assert!(flatten(&tmp.path().join("5")).is_ok());
    }
}
