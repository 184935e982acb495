//! The names of all refs, cheaply: the files below `refs`, and `packed-refs` in one pass.

use super::GitError;
use crate::domain::{ObjectId, RefName, text};
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How deep directories below `refs` may be: a ref name has at most 1024 bytes.
const MAX_DEPTH: usize = 512;

pub(super) fn ref_names(common_dir: &Path) -> Result<Vec<RefName>, GitError> {
    let mut names = BTreeSet::new();
    // In this order: a ref that is packed meanwhile is found in both, and never in neither.
    loose(common_dir, &mut names)?;
    packed(common_dir, &mut names)?;
    Ok(names.into_iter().collect())
}

fn error(why: impl std::fmt::Display) -> GitError {
    GitError::Refs { why: why.to_string() }
}

fn parse(name: &[u8]) -> Result<RefName, GitError> {
    RefName::parse(name).map_err(error)
}

fn packed(common_dir: &Path, names: &mut BTreeSet<RefName>) -> Result<(), GitError> {
    let content = match fs::read(common_dir.join("packed-refs")) {
        Ok(content) => content,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(error(format!("packed-refs: {e}"))),
    };
    let Some(content) = content.strip_suffix(b"\n") else {
        return if content.is_empty() {
            Ok(())
        } else {
            Err(error("packed-refs has no end of line at its end"))
        };
    };
    let strange = |line: &[u8]| error(format!("packed-refs: `{}`", text::escape_short(line, 200)));
    for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
        match line {
            [b'#', ..] if index == 0 => {}
            // What the tag in the line above points at.
            [b'^', id @ ..] if index > 0 => drop(ObjectId::parse(id).map_err(|_| strange(line))?),
            _ => {
                let at = line.iter().position(|byte| *byte == b' ').ok_or_else(|| strange(line))?;
                ObjectId::parse(&line[..at]).map_err(|_| strange(line))?;
                names.insert(parse(&line[at + 1..])?);
            }
        }
    }
    Ok(())
}

fn loose(common_dir: &Path, names: &mut BTreeSet<RefName>) -> Result<(), GitError> {
    let mut directories = vec![(b"refs".to_vec(), 0)];
    while let Some((above, depth)) = directories.pop() {
        let path = common_dir.join(std::ffi::OsStr::from_bytes(&above));
        let shown = text::escape_short(&above, 200);
        let list = match fs::read_dir(&path) {
            Ok(list) => list,
            // Git removes directories that have become empty, also beside us.
            Err(e) if e.kind() == ErrorKind::NotFound && depth > 0 => continue,
            Err(e) => return Err(error(format!("{shown}: {e}"))),
        };
        if depth > MAX_DEPTH {
            return Err(error(format!("{shown}: directories are nested deeper than {MAX_DEPTH}")));
        }
        for entry in list {
            let entry = entry.map_err(|e| error(format!("{shown}: {e}")))?;
            let file = entry.file_name();
            // Locks of updates under way, and what git does not take for refs.
            if file.as_bytes().ends_with(b".lock") || file.as_bytes().starts_with(b".") {
                continue;
            }
            let name = [&above[..], b"/", file.as_bytes()].concat();
            let kind = entry.file_type().map_err(|e| error(format!("{shown}: {e}")))?;
            // A link is a symbolic ref if it points at a file, and another name of refs if at a directory.
            if kind.is_dir() {
                directories.push((name, depth + 1));
            } else if kind.is_symlink() && fs::metadata(entry.path()).is_ok_and(|at| at.is_dir()) {
                let shown = text::escape_short(&name, 200);
                return Err(error(format!("{shown} is a link in the file system to a directory")));
            } else {
                names.insert(parse(&name)?);
            }
        }
    }
    Ok(())
}
