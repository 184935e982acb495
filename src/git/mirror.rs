//! The private copy of a forge's repository that its updates are judged in (N30).
//!
//! It is a bare repository of our own making: its configuration is exactly what is written here, its refs are moved
//! by us alone, and are what was judged last. Objects come in by their ids. What is fetched lies in a quarantine,
//! like what a push brings, until it is judged; what was judged is kept for good. Two processes never use a mirror
//! at the same time.

use super::child::{self, Manner, Room, RunError};
use super::remote::{self, Into, Patience, Remote, RemoteError};
use super::{GitError, Repository};
use crate::domain::{ObjectFormat, ObjectId, RefName, RepositoryId};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The quarantine, below the object directory.
const INCOMING: &str = "incoming";

/// Why a mirror cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// Files cannot be made or read.
    #[error("the mirror at {path}: {error}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        error: io::Error,
    },
    /// Somebody else has it for too long.
    #[error("the mirror is in use by another process")]
    Busy,
    /// It is not what was left there. It is replaced.
    #[error("the mirror is damaged: {0}")]
    Damaged(String),
    /// Git cannot be run on it.
    #[error(transparent)]
    Git(#[from] RemoteError),
}

/// The place of one repository's mirror, ours until this is dropped.
#[derive(Debug)]
pub struct Place {
    directory: PathBuf,
    /// Held locked; the file stays, so that all lock the same one.
    _lock: File,
}

impl Place {
    /// Takes the place below `root` that is the repository's, once nobody else has it.
    ///
    /// # Errors
    /// [`MirrorError::Busy`] where that takes too long.
    pub fn take(root: &Path, repository: &RepositoryId, patience: Patience<'_>) -> Result<Self, MirrorError> {
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(failed(root))?;
        // An identity is text of the configuration and of a forge: its digest is a name of ours (N31).
        let name = HEXLOWER.encode(&Sha256::digest(repository.0.as_bytes()));
        let path = root.join(format!("{name}.lock"));
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed(&path))?;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Place { directory: root.join(name), _lock: lock }),
                Err(TryLockError::Error(error)) => return Err(failed(&path)(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            if Instant::now() >= patience.until || patience.stop.load(Ordering::Relaxed) {
                return Err(MirrorError::Busy);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The mirror, if there is one.
    ///
    /// # Errors
    /// [`MirrorError::Damaged`] where something is there that we did not leave there.
    pub fn mirror(&self) -> Result<Option<Mirror<'_>>, MirrorError> {
        match fs::symlink_metadata(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&self.directory)(error)),
            Ok(_) => {}
        }
        let format = check(&self.directory).map_err(MirrorError::Damaged)?;
        let mirror = Mirror { place: self, format };
        sweep_temporary(&mirror.objects_directory().join("pack"));
        // Its refs are of no authority, but what cannot be read is in doubt.
        let damaged = |error: GitError| MirrorError::Damaged(error.to_string());
        mirror.judged().and_then(|repository| repository.references()).map_err(damaged)?;
        Ok(Some(mirror))
    }

    /// Makes an empty mirror, in place of whatever is there.
    pub fn make(&self, format: ObjectFormat) -> Result<Mirror<'_>, MirrorError> {
        let path = &self.directory;
        self.remove()?;
        let make = || -> io::Result<()> {
            DirBuilder::new().mode(0o700).create(path)?;
            for directory in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
                DirBuilder::new().recursive(true).mode(0o700).create(path.join(directory))?;
            }
            write(&path.join("config"), settings(format).as_bytes())?;
            // The last file: without it, this is no repository.
            write(&path.join("HEAD"), UNKNOWN_HEAD.as_bytes())
        };
        make().map_err(failed(path))?;
        Ok(Mirror { place: self, format })
    }

    /// Removes whatever is there.
    pub fn clear(&self) -> Result<(), MirrorError> {
        self.remove()
    }

    fn remove(&self) -> Result<(), MirrorError> {
        let path = &self.directory;
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(path)(error)),
            // First out of the way, so that no half of it is taken for a mirror.
            Ok(_) => {
                let away = path.with_extension("old");
                let gone = |path: &Path| match fs::symlink_metadata(path) {
                    Ok(seen) if seen.is_dir() => fs::remove_dir_all(path),
                    Ok(_) => fs::remove_file(path),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    Err(error) => Err(error),
                };
                gone(&away).map_err(failed(&away))?;
                fs::rename(path, &away).map_err(failed(path))?;
                gone(&away).map_err(failed(&away))
            }
        }
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> MirrorError + '_ {
    |error| MirrorError::Io { path: path.to_owned(), error }
}

/// `HEAD` until the forge's is known: a name that can be read, of no branch and of nothing that is watched. Not every
/// forge says what its own is: it may hold a commit, or name a branch that is not there.
const UNKNOWN_HEAD: &str = "ref: refs/countersign/unknown-head\n";

/// All of a mirror's configuration.
fn settings(format: ObjectFormat) -> String {
    let version = if format == ObjectFormat::Sha1 { 0 } else { 1 };
    let mut text = format!(
        "[core]\n\trepositoryformatversion = {version}\n\tfilemode = true\n\tbare = true\n\tcommitGraph = false\n\
         \tmultiPackIndex = false\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"
    );
    if format == ObjectFormat::Sha256 {
        text.push_str("[extensions]\n\tobjectformat = sha256\n");
    }
    text
}

/// Whether a directory is a mirror as we leave it, and of which object format.
fn check(directory: &Path) -> Result<ObjectFormat, String> {
    let seen = fs::symlink_metadata(directory).map_err(|e| e.to_string())?;
    if !seen.is_dir() || seen.permissions().mode() & 0o077 != 0 {
        return Err("it is not a directory of our own alone".to_owned());
    }
    let config = fs::read_to_string(directory.join("config")).map_err(|e| format!("config: {e}"))?;
    let formats = [ObjectFormat::Sha1, ObjectFormat::Sha256];
    let format = formats.into_iter().find(|format| settings(*format) == config);
    let format = format.ok_or("its configuration is not ours")?;
    for foreign in [
        "shallow",
        "commondir",
        "config.worktree",
        "hooks",
        "info/grafts",
        "info/attributes",
        "objects/info/alternates",
        "objects/info/http-alternates",
        "objects/info/commit-graph",
        "objects/info/commit-graphs",
        "refs/replace",
        "reftable",
    ] {
        if fs::symlink_metadata(directory.join(foreign)).is_ok() {
            return Err(format!("it has `{foreign}`"));
        }
    }
    Ok(format)
}

/// Removes what programs left that were ended while they wrote. Returns the size of the largest such file.
fn sweep_temporary(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let mut largest = 0;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        // `.tmp-` is what `git repack` calls them.
        if name.starts_with(b"tmp_") || name.starts_with(b".tmp-") {
            largest = largest.max(entry.metadata().map_or(0, |seen| seen.len()));
            let _ = fs::remove_file(entry.path());
        }
    }
    largest
}

/// Writes a file so that it is there whole or not at all.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// What could not be fetched, and why.
pub type Unfetched = Vec<(ObjectId, RemoteError)>;

/// A mirror.
#[derive(Debug)]
pub struct Mirror<'p> {
    place: &'p Place,
    format: ObjectFormat,
}

impl Mirror<'_> {
    /// Its hash function.
    pub fn format(&self) -> ObjectFormat {
        self.format
    }

    fn objects_directory(&self) -> PathBuf {
        self.place.directory.join("objects")
    }

    fn incoming(&self) -> PathBuf {
        self.objects_directory().join(INCOMING)
    }

    /// The repository with what is fetched and not judged yet in quarantine.
    pub fn repository(&self) -> Result<Repository, GitError> {
        let incoming = self.incoming();
        let quarantine = incoming.is_dir().then_some(incoming.as_path());
        Repository::open(&self.place.directory, quarantine)
    }

    /// The repository as it was judged.
    pub fn judged(&self) -> Result<Repository, GitError> {
        Repository::open(&self.place.directory, None)
    }

    /// How much it takes, bytes.
    pub fn bytes(&self) -> Result<u64, MirrorError> {
        fn sum(directory: &Path) -> io::Result<u64> {
            let mut total = 0;
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                match entry.metadata() {
                    Ok(seen) if seen.is_dir() => total += sum(&entry.path())?,
                    Ok(seen) => total += seen.len(),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(total)
        }
        sum(&self.place.directory).map_err(failed(&self.place.directory))
    }

    /// Fetches objects with all that they reach into the quarantine. They are asked for together; where that fails, in
    /// halves, until each one that cannot be had is found: it blocks only itself (N30). Git checks the format of all
    /// that comes in.
    ///
    /// # Errors
    /// What concerns all of them: there is no time left, or no room: the mirror may have `most` bytes.
    pub fn fetch(
        &self,
        remote: &Remote,
        ids: &[ObjectId],
        most: u64,
        patience: Patience<'_>,
    ) -> Result<Unfetched, MirrorError> {
        let incoming = self.incoming();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(incoming.join("pack"))
            .map_err(failed(&incoming))?;
        self.fetch_into(remote, Some(&incoming), ids, most, patience)
    }

    /// The same past the quarantine and past git's check of the format: for what nobody judges, because it is adopted,
    /// or was judged already (N25).
    pub fn fetch_base(
        &self,
        remote: &Remote,
        ids: &[ObjectId],
        most: u64,
        patience: Patience<'_>,
    ) -> Result<Unfetched, MirrorError> {
        self.fetch_into(remote, None, ids, most, patience)
    }

    fn fetch_into(
        &self,
        remote: &Remote,
        quarantine: Option<&Path>,
        ids: &[ObjectId],
        most: u64,
        patience: Patience<'_>,
    ) -> Result<Unfetched, MirrorError> {
        let mut unfetched = Unfetched::new();
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        for id in ids.extract_if(.., |id| id.format() != self.format) {
            unfetched.push((id, RemoteError::Gone(id)));
        }
        let mut groups = vec![ids];
        while let Some(group) = groups.pop() {
            if group.is_empty() {
                continue;
            }
            let room = most.saturating_sub(self.bytes()?);
            if room == 0 {
                let why = format!("the mirror has the {most} bytes that it may have (`quota`)");
                return Err(RemoteError::TooMuch(why).into());
            }
            let into = Into {
                git_dir: &self.place.directory,
                quarantine,
                check: quarantine.is_some(),
                file_bytes: room,
            };
            let Err(error) = remote.fetch(&into, &group, patience) else { continue };
            // A program that filled its room was ended by the kernel, and nobody says so.
            let unfinished = sweep_temporary(&quarantine.unwrap_or(&self.objects_directory()).join("pack"));
            let error = match error {
                RemoteError::Failed(_) if unfinished >= room => RemoteError::TooMuch(format!(
                    "more than {room} bytes would have to be fetched, and the mirror may have {most} (`quota`)"
                )),
                error => error,
            };
            match error {
                RemoteError::Time | RemoteError::Stopped | RemoteError::Program(_) => {
                    return Err(error.into());
                }
                _ => {}
            }
            match group.as_slice() {
                [id] => unfetched.push((*id, error)),
                more => {
                    let (one, two) = more.split_at(more.len() / 2);
                    groups.push(two.to_vec());
                    groups.push(one.to_vec());
                }
            }
        }
        Ok(unfetched)
    }

    /// Takes objects that were judged, with all that they reach, out of quarantine for good. `standing` are tips that
    /// are out of it already.
    pub fn keep(
        &self,
        tips: &[ObjectId],
        standing: &[ObjectId],
        patience: Patience<'_>,
    ) -> Result<(), MirrorError> {
        let damaged = |error: GitError| MirrorError::Damaged(error.to_string());
        let repository = self.judged().map_err(damaged)?;
        let there = |id: &ObjectId| repository.objects().find(id).map(|found| found.is_some());
        let mut input = String::new();
        for id in tips {
            if !there(id).map_err(damaged)? {
                input.push_str(&format!("{id}\n"));
            }
        }
        if input.is_empty() {
            return Ok(());
        }
        for id in standing {
            if there(id).map_err(damaged)? {
                input.push_str(&format!("^{id}\n"));
            }
        }
        let mut command =
            self.git(&["pack-objects", "--revs", "--quiet", "--non-empty", "--delta-base-offset"])?;
        command.1.arg(self.objects_directory().join("pack/pack"));
        command.1.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", remote::quoted_alternate(&self.incoming()));
        self.run(command, input.as_bytes(), patience)
    }

    /// How many packs it has: one comes with everything that is kept.
    ///
    /// # Errors
    /// They cannot be counted.
    pub fn packs(&self) -> Result<usize, MirrorError> {
        Ok(self.pack_sizes()?.len())
    }

    fn pack_sizes(&self) -> Result<Vec<u64>, MirrorError> {
        let directory = self.objects_directory().join("pack");
        let read = || -> io::Result<Vec<u64>> {
            let mut sizes = Vec::new();
            for entry in fs::read_dir(&directory)? {
                let entry = entry?;
                if entry.file_name().as_encoded_bytes().ends_with(b".pack") {
                    sizes.push(entry.metadata()?.len());
                }
            }
            Ok(sizes)
        };
        read().map_err(failed(&directory))
    }

    /// Rolls small packs up into larger ones, each at least twice the one before: `git repack --geometric`. It moves
    /// whole packs together and asks for no ref, so nothing is dropped that was judged and no ref holds any more (N30).
    /// For a while both the old and the new are there, so it is not begun without room for that below `most` bytes.
    ///
    /// # Errors
    /// It was not done, or not to the end. What was there is there.
    pub fn roll_up(&self, most: u64, patience: Patience<'_>) -> Result<(), MirrorError> {
        let room = most.saturating_sub(self.bytes()?);
        let sizes = self.pack_sizes()?;
        // The largest is usually left alone.
        let needed = sizes.iter().sum::<u64>() - sizes.iter().max().unwrap_or(&0);
        if room < needed {
            let why = format!(
                "{needed} bytes are needed to roll packs up, and the mirror may have {most} (`quota`)"
            );
            return Err(RemoteError::TooMuch(why).into());
        }
        let mut command = self.git(&["-c", "repack.writeBitmaps=false", "repack"])?;
        command.1.args(["--geometric=2", "-d", "-l", "-n", "-q", "--no-write-bitmap-index"]);
        let done = self.run_within(command, b"", room, patience);
        if done.is_err() {
            sweep_temporary(&self.objects_directory().join("pack"));
        }
        done
    }

    /// Where the histories of two commits meet, what is in quarantine included; `None` where they do not.
    pub fn merge_base(
        &self,
        one: ObjectId,
        other: ObjectId,
        patience: Patience<'_>,
    ) -> Result<Option<ObjectId>, MirrorError> {
        let (_room, mut command) = self.git(&["merge-base"])?;
        command.arg(one.to_string()).arg(other.to_string());
        command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", remote::quoted_alternate(&self.incoming()));
        let usual = Manner::new(patience.until, 4 << 10);
        let ended = child::run_as(&mut command, &Manner { stop: Some(patience.stop), ..usual });
        let ended = ended.map_err(RemoteError::from)?;
        match ended.code {
            Some(0) => {
                let base = ObjectId::parse(ended.stdout.trim_ascii_end());
                base.map(Some).map_err(|e| MirrorError::Damaged(format!("git merge-base: {e}")))
            }
            Some(1) if ended.stderr.is_empty() => Ok(None),
            _ => Err(MirrorError::Damaged(format!("git: {}", remote::said(&ended)))),
        }
    }

    /// Moves its own refs; names go in as bytes.
    pub fn move_refs(
        &self,
        moves: &[(RefName, Option<ObjectId>)],
        patience: Patience<'_>,
    ) -> Result<(), MirrorError> {
        // What goes away may be in the way of what comes.
        let (gone, set): (Vec<_>, Vec<_>) = moves.iter().partition(|(_, id)| id.is_none());
        for group in [gone, set] {
            if group.is_empty() {
                continue;
            }
            let mut input = Vec::new();
            for (name, id) in group {
                input.extend_from_slice(if id.is_some() { b"update " } else { b"delete " });
                input.extend_from_slice(name.as_bytes());
                input.push(0);
                if let Some(id) = id {
                    input.extend_from_slice(id.to_string().as_bytes());
                    input.push(0);
                }
                // Whatever it holds now.
                input.push(0);
            }
            let command = self.git(&["update-ref", "--no-deref", "-z", "--stdin"])?;
            self.run(command, &input, patience)?;
        }
        Ok(())
    }

    /// Moves a branch back at the forge (N32): from `bad`, which it must hold still, to `good`.
    ///
    /// # Errors
    /// It is not moved, or nobody can tell.
    pub fn push_back(
        &self,
        remote: &Remote,
        reference: &RefName,
        bad: Option<ObjectId>,
        good: Option<ObjectId>,
        patience: Patience<'_>,
    ) -> Result<(), MirrorError> {
        Ok(remote.push_back(&self.place.directory, reference, bad, good, patience)?)
    }

    /// Says which branch is the default one.
    pub fn set_head(&self, name: &RefName) -> Result<(), MirrorError> {
        let path = self.place.directory.join("HEAD");
        let mut line = b"ref: ".to_vec();
        line.extend_from_slice(name.as_bytes());
        line.push(b'\n');
        if fs::read(&path).is_ok_and(|now| now == line) {
            return Ok(());
        }
        write(&path, &line).map_err(failed(&path))
    }

    /// Whether nobody has said yet which branch is the default one.
    pub fn is_head_unknown(&self) -> bool {
        fs::read(self.place.directory.join("HEAD")).is_ok_and(|now| now == UNKNOWN_HEAD.as_bytes())
    }

    /// Forgets what was fetched and not judged.
    pub fn discard(&self) -> Result<(), MirrorError> {
        let incoming = self.incoming();
        match fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&incoming)(error)),
            _ => Ok(()),
        }
    }

    fn git(&self, arguments: &[&str]) -> Result<(Room, Command), MirrorError> {
        let program = child::program("git").map_err(RemoteError::Program)?;
        let room = Room::new().map_err(failed(&self.place.directory))?;
        let mut command = child::command(&room, &program);
        command.arg("--git-dir").arg(&self.place.directory);
        command.args(["-c", "core.hooksPath=/dev/null", "-c", "core.logAllRefUpdates=false"]).args(arguments);
        Ok((room, command))
    }

    fn run(&self, command: (Room, Command), input: &[u8], patience: Patience<'_>) -> Result<(), MirrorError> {
        self.run_within(command, input, u64::MAX, patience)
    }

    fn run_within(
        &self,
        (_room, mut command): (Room, Command),
        input: &[u8],
        file_bytes: u64,
        patience: Patience<'_>,
    ) -> Result<(), MirrorError> {
        let usual = Manner::new(patience.until, 4 << 10);
        let manner = Manner { input, file_bytes, processors: 64, stop: Some(patience.stop), ..usual };
        match child::run_as(&mut command, &manner) {
            Ok(ended) if ended.code == Some(0) => Ok(()),
            Ok(ended) => Err(MirrorError::Damaged(format!("git: {}", remote::said(&ended)))),
            Err(RunError::Time) => Err(RemoteError::Time.into()),
            Err(error) => Err(RemoteError::from(error).into()),
        }
    }
}

#[cfg(test)]
mod tests;
