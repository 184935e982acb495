//! From the path that a hook names to the repository it means (N3, N22).

use super::fault::Fault;
use crate::domain::{RepositoryId, RepositoryRef, RequestId};
use crate::git::Repository;
use crate::hook::wire::{Place, Request};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file in a repository's common directory that holds its identity.
const ID_FILE: &str = "countersign-id";

/// A repository found, checked and opened.
pub(super) struct Located {
    pub(super) repository: Repository,
    pub(super) reference: RepositoryRef,
    /// Device and inode of the common directory.
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// Opens the repository of a request and its quarantine, and proves that they are the directories that
/// the hook looked at.
pub(super) fn locate(root: &Path, request: &Request) -> Result<Located, Fault> {
    let git_dir = PathBuf::from(&request.git_dir.path);
    if !git_dir.is_absolute() {
        return Err(Fault::Protocol("the hook's path of the repository is not absolute".to_owned()));
    }
    let common = common_dir(&git_dir)?;
    let quarantine = request.quarantine.as_ref().map(|place| common.join(&place.path));
    let located = open(root, &git_dir, quarantine.as_deref())?;
    same_directory(&git_dir, &request.git_dir)?;
    if let (Some(path), Some(place)) = (&quarantine, &request.quarantine) {
        same_directory(path, place)?;
    }
    Ok(located)
}

/// Opens the repository at `git_dir`, which must lie below `root` and carry an identity.
pub(super) fn open(root: &Path, git_dir: &Path, quarantine: Option<&Path>) -> Result<Located, Fault> {
    let repository = Repository::open(git_dir, quarantine)?;
    let common = repository.common_dir().to_owned();
    let name = name_below(root, &common)?;
    let id = read_id(&common)?;
    let seen = fs::metadata(&common).map_err(|e| Fault::Identity(format!("{}: {e}", common.display())))?;
    Ok(Located { repository, reference: RepositoryRef { id, name }, device: seen.dev(), inode: seen.ino() })
}

/// The name that selectors match: the physical path below the root, `.git` dropped.
pub(super) fn name_below(root: &Path, common: &Path) -> Result<String, Fault> {
    let outside = || Fault::OutsideRoot { path: common.to_owned(), root: root.to_owned() };
    let relative = common.strip_prefix(root).map_err(|_| outside())?;
    let bytes = relative.as_os_str().as_bytes();
    // `infra/app/.git` is the repository `infra/app`, `infra/app.git` too.
    let bytes = bytes.strip_suffix(b"/.git").or_else(|| bytes.strip_suffix(b".git")).unwrap_or(bytes);
    let name = std::str::from_utf8(bytes)
        .map_err(|_| Fault::Identity(format!("the name of {} is not UTF-8", common.display())))?;
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(outside());
    }
    Ok(name.to_owned())
}

/// Reads the identity that `install` wrote.
pub(super) fn read_id(common: &Path) -> Result<RepositoryId, Fault> {
    let path = common.join(ID_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(Fault::Identity(format!(
                "the repository has no identity yet; run `countersign install {}` on the server",
                common.display()
            )));
        }
        Err(e) => return Err(Fault::Identity(format!("{}: {e}", path.display()))),
    };
    match RequestId::parse(text.trim_end()) {
        Some(id) => Ok(RepositoryId(id.as_str().to_owned())),
        None => Err(Fault::Identity(format!(
            "{} does not hold 32 hexadecimal digits; restore it, or remove it and run `countersign install` \
             and `countersign adopt`",
            path.display()
        ))),
    }
}

/// Whether the repository that is on record under `name` is still there, is another one than `here`, and
/// carries this identity: then one of the two is a copy.
pub(super) fn carries(root: &Path, name: &str, id: &RepositoryId, here: &Path) -> bool {
    let places = [root.join(name), root.join(format!("{name}.git")), root.join(name).join(".git")];
    places.iter().any(|place| place != here && read_id(place).is_ok_and(|found| found == *id))
}

/// Where the repository is that is on record under `name`, if it is still there and is still the same one.
pub(super) fn find(root: &Path, name: &str, id: &RepositoryId) -> Option<PathBuf> {
    let places = [root.join(format!("{name}.git")), root.join(name), root.join(name).join(".git")];
    places.into_iter().find(|place| read_id(place).is_ok_and(|found| found == *id))
}

/// Gives a repository an identity, if it has none. Returns it.
///
/// # Errors
/// A damaged file stays as it is: records hang on the identity, so nothing replaces it silently.
pub(super) fn ensure_id(common: &Path) -> Result<RepositoryId, Fault> {
    if !common.join(ID_FILE).exists() {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(|e| Fault::Identity(e.to_string()))?;
        let id = RequestId::from_random(random);
        let write = || -> std::io::Result<()> {
            let temporary = common.join(format!("{ID_FILE}.{}", std::process::id()));
            fs::write(&temporary, format!("{id}\n"))?;
            fs::File::open(&temporary)?.sync_all()?;
            // A link fails where the file came into being meanwhile; that one counts then.
            let linked = fs::hard_link(&temporary, common.join(ID_FILE));
            fs::remove_file(&temporary)?;
            match linked {
                Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(e),
                _ => Ok(()),
            }
        };
        write().map_err(|e| Fault::Identity(format!("cannot write {}/{ID_FILE}: {e}", common.display())))?;
    }
    read_id(common)
}

/// The common directory, before anything is opened.
fn common_dir(git_dir: &Path) -> Result<PathBuf, Fault> {
    match fs::read_to_string(git_dir.join("commondir")) {
        Ok(text) => Ok(git_dir.join(text.trim_end())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(git_dir.to_owned()),
        Err(e) => Err(Fault::Identity(format!("{}: {e}", git_dir.display()))),
    }
}

fn same_directory(path: &Path, place: &Place) -> Result<(), Fault> {
    let seen = fs::metadata(path).map_err(|e| Fault::Exchanged(format!("{} ({e})", path.display())))?;
    if (seen.dev(), seen.ino()) == (place.device, place.inode) {
        Ok(())
    } else {
        Err(Fault::Exchanged(path.display().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n03_names_are_below_the_root_without_git() {
        let name = |path: &str| name_below(Path::new("/srv/git"), Path::new(path));
        assert_eq!(name("/srv/git/infra/app.git").unwrap(), "infra/app");
        assert_eq!(name("/srv/git/infra/app/.git").unwrap(), "infra/app");
        assert_eq!(name("/srv/git/plain").unwrap(), "plain");
        assert!(matches!(name("/srv/other/x.git"), Err(Fault::OutsideRoot { .. })));
        assert!(matches!(name("/srv/git-evil/x.git"), Err(Fault::OutsideRoot { .. })));
        assert!(matches!(name("/srv/git"), Err(Fault::OutsideRoot { .. })));
    }

    #[test]
    fn n03_an_identity_is_written_once_and_never_replaced() {
        let tmp = tempfile::tempdir().unwrap();
        assert!(matches!(read_id(tmp.path()), Err(Fault::Identity(_))));
        let first = ensure_id(tmp.path()).unwrap();
        assert_eq!(ensure_id(tmp.path()).unwrap(), first);
        fs::write(tmp.path().join(ID_FILE), "damaged").unwrap();
        assert!(ensure_id(tmp.path()).is_err());
    }
}
