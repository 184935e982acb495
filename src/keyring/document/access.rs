//! Who else could have written what we are about to trust.

use super::{Diagnostic, Place};
use rustix::fs::{Access, OFlags};
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

/// Which owners of a file are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Nothing is checked, the mode neither: for what can only make things stricter.
    Unchecked,
    /// Anybody: only the mode is checked.
    Any,
    /// Root, or the account that runs this program.
    RootOrSelf,
}

/// A file that passed.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Its content.
    pub(crate) bytes: Vec<u8>,
    /// Whether the account that runs this program could change it; never true for root.
    pub(crate) own_account_can_write: bool,
    /// Its owner.
    pub(crate) owner: u32,
    /// Which state of which file it was.
    pub(crate) identity: Identity,
}

/// Tells states of files apart: a file that was written or replaced in between has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    inode: (u64, u64),
    size: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Identity {
            inode: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Of what is there now; `None` where nothing is.
    pub(crate) fn now(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Identity::of(&metadata))
    }
}

/// Reads a regular file of at most `limit` bytes, and checks the file that was read, not the name: a
/// swap between check and reading changes nothing.
pub(crate) fn read_checked(path: &Path, owner: Owner, limit: u64) -> Result<Checked, Diagnostic> {
    let unreadable = |error: io::Error| {
        let found = Diagnostic::whole(path, format!("cannot read the file: {error}"));
        match error.kind() {
            io::ErrorKind::PermissionDenied => found.suggest("let the account that runs this read it"),
            _ => found,
        }
    };
    // Without O_NONBLOCK a named pipe put here would hang the reader.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).expect("both flags are low bits");
    let mut file: File = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Diagnostic::whole(path, "this is not a regular file"));
    }
    check(path, &metadata, owner, "file")?;
    let mut bytes = Vec::new();
    (&mut file).take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(Diagnostic::whole(path, format!("the file is larger than {limit} bytes")));
    }
    let own_account_can_write = own_account_can_write(path, &metadata);
    Ok(Checked { bytes, own_account_can_write, owner: metadata.uid(), identity: Identity::of(&metadata) })
}

/// Checks a directory; gives whether the account that runs this program could change it.
pub(crate) fn check_directory(path: &Path, owner: Owner) -> Result<bool, Diagnostic> {
    let metadata = std::fs::metadata(path)
        .map_err(|error| Diagnostic::whole(path, format!("cannot read the directory: {error}")))?;
    if !metadata.is_dir() {
        return Err(Diagnostic::whole(path, "this is not a directory"));
    }
    check(path, &metadata, owner, "directory")?;
    if owner == Owner::RootOrSelf {
        check_above(path, metadata.uid())?;
    }
    Ok(own_account_can_write(path, &metadata))
}

/// Most links on the way to a directory, as the system has it.
const MAX_LINKS: usize = 40;

/// Checks every directory on the way to this one, along every link: whoever can write one of them can put something
/// else in its place. In one with the sticky bit only the owner of an entry can, so that there the owner of a link is
/// one of the owners that are checked.
fn check_above(path: &Path, owner: u32) -> Result<(), Diagnostic> {
    let look = |at: &Path, error: &io::Error| {
        Diagnostic::whole(at, format!("cannot look at the directory: {error}"))
    };
    let trusted = |uid: u32| [0, own_uid(), owner].contains(&uid);
    let start = std::path::absolute(path).map_err(|error| look(path, &error))?;
    let mut todo: Vec<OsString> = steps(&start);
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    let mut checked = HashSet::new();
    while let Some(step) = todo.pop() {
        if step == ".." {
            at.pop();
            continue;
        }
        let metadata = std::fs::symlink_metadata(&at).map_err(|error| look(&at, &error))?;
        let sticky = metadata.mode() & 0o1000 != 0;
        if checked.insert(at.clone()) {
            check_one_above(path, &at, &metadata, trusted(metadata.uid()))?;
        }
        let next = at.join(&step);
        let found = std::fs::symlink_metadata(&next).map_err(|error| look(&next, &error))?;
        if !found.file_type().is_symlink() {
            at = next;
            continue;
        }
        if sticky && !trusted(found.uid()) {
            let message = format!(
                "the link belongs to user {}, who can have it lead elsewhere, and `{}` is behind it",
                found.uid(),
                Place::whole(path)
            );
            return Err(Diagnostic::whole(&next, message)
                .suggest(format!("make the link anew as root, or chown -h root '{}'", Place::whole(&next))));
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(Diagnostic::whole(&next, "there are too many links on the way to the directory"));
        }
        let target = std::fs::read_link(&next).map_err(|error| look(&next, &error))?;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        todo.extend(steps(&target));
    }
    Ok(())
}

/// The steps of a path, the first one last.
fn steps(path: &Path) -> Vec<OsString> {
    let step = |one: Component<'_>| match one {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    };
    path.components().rev().filter_map(step).collect()
}

fn check_one_above(path: &Path, at: &Path, metadata: &Metadata, trusted: bool) -> Result<(), Diagnostic> {
    let (mode, uid, shown) = (metadata.mode() & 0o7777, metadata.uid(), Place::whole(at));
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        let message = format!(
            "others can write this directory (mode {mode:04o}), so they can put another one in the place of `{}`",
            Place::whole(path)
        );
        return Err(Diagnostic::whole(at, message).suggest(format!("chmod go-w '{shown}'")));
    }
    if !trusted {
        let message = format!(
            "the directory belongs to user {uid}, who can put another one in the place of `{}`",
            Place::whole(path)
        );
        return Err(Diagnostic::whole(at, message).suggest(format!("chown root '{shown}'")));
    }
    Ok(())
}

fn check(path: &Path, metadata: &Metadata, owner: Owner, what: &str) -> Result<(), Diagnostic> {
    if owner == Owner::Unchecked {
        return Ok(());
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        let who = match (mode & 0o020 != 0, mode & 0o002 != 0) {
            (true, true) => "its group and everybody else",
            (true, false) => "its group",
            _ => "everybody",
        };
        let shown = Place::whole(path);
        return Err(Diagnostic::whole(path, format!("the {what} can be written by {who} (mode {mode:04o})"))
            .suggest(format!("chmod go-w '{shown}'")));
    }
    let (uid, own) = (metadata.uid(), own_uid());
    if owner == Owner::RootOrSelf && uid != 0 && uid != own {
        let wanted = if own == 0 { "root".to_owned() } else { format!("root or user {own}") };
        return Err(Diagnostic::whole(path, format!("the {what} belongs to user {uid}, not to {wanted}"))
            .suggest(format!("chown root '{}'", Place::whole(path))));
    }
    Ok(())
}

/// The owner can always give itself the right, so ownership counts as well as the mode.
fn own_account_can_write(path: &Path, metadata: &Metadata) -> bool {
    let own = own_uid();
    own != 0 && (metadata.uid() == own || rustix::fs::access(path, Access::WRITE_OK).is_ok())
}

/// The account that runs this program.
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}
