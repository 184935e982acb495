//! The high-water mark: a small file beside the database that says how far the log once was (N27).
//!
//! It turns a restored backup, a deleted database or an exchanged one from "nothing ever happened" into
//! a finding. It does not help against somebody who can write both files; for that, heads are kept
//! elsewhere.

use super::error::{StoreError, io};
use super::open::Owner;
use crate::audit::chain::{Hash, Head};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Length of the file: below a disk sector, so that a write is never seen half done.
const LENGTH: usize = 256;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Which database it belongs to.
    pub(super) instance: String,
    /// How far its log was.
    pub(super) head: Head,
}

/// What was found in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No file, or an empty one.
    Nothing,
    /// Something that this program did not write.
    Unreadable,
    /// A mark.
    Mark(Mark),
}

/// The open file.
#[derive(Debug)]
pub(super) struct MarkFile {
    file: File,
    path: PathBuf,
}

/// Excludes other processes while it lives.
pub(super) struct Locked<'f>(&'f File);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Closing the file unlocks too, so a failure here only delays others.
        let _ = flock(self.0, FlockOperation::Unlock);
    }
}

impl MarkFile {
    /// Opens the file; `create` makes an empty one of `owner` where there is none.
    pub(super) fn open(path: &Path, create: bool, owner: &Owner) -> Result<Option<Self>, StoreError> {
        let mut options = OpenOptions::new();
        options.read(true).write(create).mode(0o600);
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        let step = "open the high-water mark";
        let opened = |file| Ok(Some(MarkFile { file, path: path.to_owned() }));
        match options.open(path) {
            Ok(file) => return opened(file),
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(io(step, path)(e)),
            Err(_) if !create => return Ok(None),
            Err(_) => {}
        }
        match options.create_new(true).open(path) {
            Ok(file) => {
                owner.give(&file).map_err(io("hand over", path))?;
                opened(file)
            }
            // Another process was faster.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                opened(options.create_new(false).open(path).map_err(io(step, path))?)
            }
            Err(e) => Err(io(step, path)(e)),
        }
    }

    /// About the file that is open, whatever its name stands for by now.
    pub(super) fn metadata(&self) -> Result<Metadata, StoreError> {
        self.file.metadata().map_err(io("look at", &self.path))
    }

    /// Waits until no other process is opening the state or moving the mark.
    pub(super) fn lock(&self) -> Result<Locked<'_>, StoreError> {
        flock(&self.file, FlockOperation::LockExclusive)
            .map_err(|e| io("lock the high-water mark", &self.path)(e.into()))?;
        Ok(Locked(&self.file))
    }

    /// Reads the mark, without a lock: a checksum tells a half-written one, which is read again.
    pub(super) fn read(&self) -> Result<Found, StoreError> {
        for _ in 0..5 {
            let mut bytes = vec![0; LENGTH + 1];
            let mut length = 0;
            loop {
                let n = self
                    .file
                    .read_at(&mut bytes[length..], length as u64)
                    .map_err(io("read the high-water mark", &self.path))?;
                length += n;
                if n == 0 || length == bytes.len() {
                    break;
                }
            }
            if length == 0 {
                return Ok(Found::Nothing);
            }
            if let Some(mark) = parse(&bytes[..length]) {
                return Ok(Found::Mark(mark));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(Found::Unreadable)
    }

    /// Writes `mark`, whatever the file says now. Not synced: after a power cut the file may be older
    /// than the log, never newer, because the log was made durable first. An older mark is a weaker
    /// check and no false alarm.
    pub(super) fn write(&self, mark: &Mark) -> Result<(), StoreError> {
        self.file.write_all_at(&render(mark), 0).map_err(io("write the high-water mark", &self.path))
    }

    /// Moves the mark forward to `mark`. Left alone where it is ahead already (another process was
    /// faster), or where it belongs to another database: only a person resolves that.
    pub(super) fn advance(&self, mark: &Mark) -> Result<(), StoreError> {
        let _lock = self.lock()?;
        match self.read()? {
            Found::Mark(present) if present.instance == mark.instance && present.head.seq < mark.head.seq => {
                self.write(mark)
            }
            _ => Ok(()),
        }
    }
}

fn render(mark: &Mark) -> Vec<u8> {
    let mut text = format!(
        "countersign high-water 1\ninstance {}\nseq {}\nhash {}\n",
        mark.instance, mark.head.seq, mark.head.hash
    );
    let sum = data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes())[..8]);
    text.push_str(&format!("sum {sum}\n"));
    let mut bytes = text.into_bytes();
    bytes.resize(LENGTH, b'\n');
    bytes
}

fn parse(bytes: &[u8]) -> Option<Mark> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.lines().skip(1);
    let instance = lines.next()?.strip_prefix("instance ")?.to_owned();
    let seq = lines.next()?.strip_prefix("seq ")?.parse().ok()?;
    let hash = Hash::parse(lines.next()?.strip_prefix("hash ")?)?;
    let mark = Mark { instance, head: Head { seq, hash } };
    // Rendering again checks the first line, the sum and the padding at once.
    (render(&mark) == bytes).then_some(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n27_moves_forward_only_and_within_one_instance() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("high-water");
        let owner = Owner::own();
        assert!(MarkFile::open(&path, false, &owner).unwrap().is_none());
        let file = MarkFile::open(&path, true, &owner).unwrap().unwrap();
        assert_eq!(file.read().unwrap(), Found::Nothing);
        let at =
            |instance: &str, seq| Mark { instance: instance.into(), head: Head { seq, hash: Hash([7; 32]) } };
        file.write(&at("a", 3)).unwrap();
        file.advance(&at("a", 9)).unwrap();
        file.advance(&at("a", 4)).unwrap();
        file.advance(&at("b", 99)).unwrap();
        assert_eq!(file.read().unwrap(), Found::Mark(at("a", 9)));
        file.file.write_all_at(b"8", 62).unwrap();
        assert_eq!(file.read().unwrap(), Found::Unreadable);
    }
}
