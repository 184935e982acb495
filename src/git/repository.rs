//! Opening a repository and reading its refs.

use super::{GitError, Objects, chain, refs};
use crate::domain::{ObjectFormat, ObjectId, RefName};
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A bare repository (or a work tree's git directory), opened for reading.
pub struct Repository {
    inner: gix::Repository,
    objects: Objects,
    common_dir: PathBuf,
}

/// What a ref name stands for right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefState {
    /// The ref that a push to the name would move: itself, or the target of a symbolic ref (N4).
    pub target: RefName,
    /// Whether the name is a symbolic ref.
    pub symbolic: bool,
    /// What it holds; `None` if it does not exist.
    pub value: Option<ObjectId>,
}

/// How many symbolic refs may follow each other; git stops at five, too.
const MAX_SYMREF_DEPTH: usize = 5;

impl Repository {
    /// Opens the repository whose git directory is `git_dir`, without looking at the environment, the
    /// user's or the system's configuration.
    ///
    /// `quarantine` is the object directory of a push in flight; it must lie directly in the
    /// repository's own object directory.
    ///
    /// # Errors
    /// Everything that would make reading unfaithful: reftable, unknown extensions, a `shallow` file.
    pub fn open(git_dir: &Path, quarantine: Option<&Path>) -> Result<Self, GitError> {
        let options = gix::open::Options::isolated().with(gix::sec::Trust::Full).open_path_as_is(true);
        let error = |why: String| GitError::Open { path: git_dir.to_owned(), why };
        let repository = gix::open_opts(git_dir, options).map_err(|e| error(chain(&e)))?;
        let common_dir = repository.common_dir().canonicalize().map_err(|e| error(e.to_string()))?;
        let format = check_format(&repository, &common_dir)?;
        if std::fs::metadata(common_dir.join("shallow")).is_ok_and(|file| file.len() > 0) {
            return Err(GitError::Shallow { path: common_dir });
        }
        let objects_dir = common_dir.join("objects");
        let quarantine = quarantine.map(|path| check_quarantine(&objects_dir, path)).transpose()?;
        let objects = Objects::open(format, &objects_dir, quarantine.as_deref())?;
        Ok(Repository { inner: repository, objects, common_dir })
    }

    /// The common git directory, as a physical path: a repository's identity (N3).
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// The repository's hash function.
    pub fn format(&self) -> ObjectFormat {
        self.objects.format()
    }

    /// The objects, those of the quarantine included.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// What a name stands for, symbolic refs followed.
    pub fn resolve(&self, name: &RefName) -> Result<RefState, GitError> {
        let mut target = name.clone();
        for depth in 0..=MAX_SYMREF_DEPTH {
            match self.raw(&target)? {
                None => return Ok(RefState { target, symbolic: depth > 0, value: None }),
                Some(gix::refs::Target::Object(id)) => {
                    let value = refs::object(&target, &id)?;
                    return Ok(RefState { target, symbolic: depth > 0, value: Some(value) });
                }
                Some(gix::refs::Target::Symbolic(next)) => {
                    target = RefName::parse(next.as_bstr())
                        .map_err(|e| GitError::Refs { why: format!("{target} points at {e}") })?;
                }
            }
        }
        Err(GitError::Refs { why: format!("{name}: more than {MAX_SYMREF_DEPTH} symbolic refs in a row") })
    }

    /// All refs that hold an object, symbolic ones left out (their targets are there themselves).
    ///
    /// # Errors
    /// One unreadable ref makes the whole list an error: a list that lacks a ref would be a lie.
    pub fn references(&self) -> Result<Vec<(RefName, ObjectId)>, GitError> {
        refs::all(&self.inner.refs)
    }

    /// The branch that HEAD points at, also where it is not born yet; `None` where HEAD holds a commit.
    /// A link in between is not followed.
    ///
    /// # Errors
    /// HEAD cannot be read, or points at something that is no ref name.
    pub fn default_branch(&self) -> Result<Option<RefName>, GitError> {
        let error = |why: String| GitError::Refs { why: format!("HEAD: {why}") };
        let path = self.common_dir.join("HEAD");
        // The oldest kind of symbolic ref is a link in the file system.
        if let Ok(target) = std::fs::read_link(&path) {
            let target = target.into_os_string();
            return RefName::parse(target.as_bytes()).map(Some).map_err(|e| error(e.to_string()));
        }
        let content = read_bounded(&path, MAX_REF_FILE).map_err(|e| error(e.to_string()))?;
        match content.strip_prefix(b"ref:") {
            Some(target) => RefName::parse(target.trim_ascii()).map(Some).map_err(|e| error(e.to_string())),
            None => ObjectId::parse(content.trim_ascii_end()).map(|_| None).map_err(|e| error(e.to_string())),
        }
    }

    /// The names of all refs, symbolic and broken ones included, in their order. What they hold is not
    /// read.
    ///
    /// # Errors
    /// A name that cannot be a ref's, a directory that cannot be read, or `packed-refs` that cannot be
    /// understood: a list that lacks a name would be a lie.
    pub fn ref_names(&self) -> Result<Vec<RefName>, GitError> {
        super::names::ref_names(&self.common_dir)
    }

    /// A link in the file system is the oldest kind of symbolic ref: git still follows it, the library
    /// does not see it. A link to anything but a ref name is nothing that a reader should guess about.
    fn linked(&self, name: &RefName) -> Result<Option<gix::refs::Target>, GitError> {
        let path = self.common_dir.join(OsStr::from_bytes(name.as_bytes()));
        let is_link =
            |path: &Path| std::fs::symlink_metadata(path).is_ok_and(|seen| seen.file_type().is_symlink());
        // A link to a directory gives every ref below it a second name that nothing here would connect.
        let mut above = path.ancestors().skip(1).take_while(|above| *above != self.common_dir);
        if let Some(link) = above.find(|above| is_link(above)) {
            return Err(GitError::Refs {
                why: format!("{name}: {} is a link in the file system", link.display()),
            });
        }
        match std::fs::symlink_metadata(&path).map(|seen| seen.file_type()) {
            Ok(kind) if kind.is_symlink() => {}
            // Opening a pipe waits until somebody writes into it.
            Ok(kind) if !kind.is_file() && !kind.is_dir() => {
                return Err(GitError::Refs { why: format!("{name}: it is no plain file") });
            }
            _ => return Ok(None),
        }
        let error =
            |why: String| GitError::Refs { why: format!("{name}: it is a link in the file system: {why}") };
        let target = std::fs::read_link(&path).map_err(|e| error(e.to_string()))?;
        let target = RefName::parse(target.as_os_str().as_bytes()).map_err(|e| error(e.to_string()))?;
        let target: gix::refs::FullName = gix::bstr::BStr::new(target.as_bytes())
            .try_into()
            .map_err(|_| error("not a ref name".to_owned()))?;
        Ok(Some(gix::refs::Target::Symbolic(target)))
    }

    fn raw(&self, name: &RefName) -> Result<Option<gix::refs::Target>, GitError> {
        match self.linked(name)? {
            Some(target) => Ok(Some(target)),
            None => refs::one(&self.inner.refs, name),
        }
    }
}

/// How long a file with one ref in it may be, bytes.
const MAX_REF_FILE: u64 = 8192;

/// A file that is not longer than this.
fn read_bounded(path: &Path, max: u64) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    std::fs::File::open(path)?.take(max + 1).read_to_end(&mut content)?;
    if content.len() as u64 > max {
        return Err(std::io::Error::other(format!("it has more than {max} bytes")));
    }
    Ok(content)
}

/// Refuses repositories that git itself would read differently from the library.
fn check_format(repository: &gix::Repository, common_dir: &Path) -> Result<ObjectFormat, GitError> {
    let unsupported = |feature: String| Err(GitError::Unsupported { path: common_dir.to_owned(), feature });
    let config = repository.config_snapshot();
    let version = config.integer("core.repositoryFormatVersion").unwrap_or(0);
    if !(0..=1).contains(&version) {
        return unsupported(format!("repository format version {version}"));
    }
    for section in config.plumbing().sections_by_name("extensions").into_iter().flatten() {
        for name in section.body().value_names() {
            let key = name.to_string().to_ascii_lowercase();
            let value = section.body().value(key.as_str()).map(|v| v.to_string().to_ascii_lowercase());
            let value = value.unwrap_or_default();
            let known = match key.as_str() {
                "noop" | "noop-v1" | "preciousobjects" | "worktreeconfig" | "relativeworktrees" => true,
                "objectformat" => value == "sha1" || value == "sha256",
                "refstorage" => value == "files",
                _ => false,
            };
            if !known {
                let shown = crate::domain::text::escape(format!("extensions.{key} = {value}").as_bytes());
                return unsupported(format!("`{shown}`"));
            }
        }
    }
    if common_dir.join("reftable").is_dir() {
        return unsupported("reftable".to_owned());
    }
    match repository.object_hash() {
        gix::hash::Kind::Sha1 => Ok(ObjectFormat::Sha1),
        gix::hash::Kind::Sha256 => Ok(ObjectFormat::Sha256),
        other => unsupported(format!("object format {other}")),
    }
}

/// The quarantine must be a directory directly below the object directory, after links are resolved.
fn check_quarantine(objects: &Path, quarantine: &Path) -> Result<PathBuf, GitError> {
    let error = |why: String| GitError::Quarantine { why };
    let objects = objects.canonicalize().map_err(|e| error(format!("{}: {e}", objects.display())))?;
    let physical = quarantine.canonicalize().map_err(|e| error(format!("{}: {e}", quarantine.display())))?;
    if physical.parent() != Some(objects.as_path()) || !physical.is_dir() {
        return Err(error(format!("{} is not a directory in {}", physical.display(), objects.display())));
    }
    Ok(physical)
}
