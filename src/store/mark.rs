//! The high-water mark beside the database (N27): which record was last known to exist.

use crate::audit::ChainHash;
use data_encoding::HEXLOWER;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What the mark says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) instance: String,
    pub(super) sequence: u64,
    pub(super) hash: ChainHash,
}

/// The mark's file; opened for writing on first use and kept open.
#[derive(Debug)]
pub(super) struct MarkFile {
    path: PathBuf,
    file: OnceLock<fs::File>,
}

impl MarkFile {
    pub(super) fn new(state: &Path) -> Self {
        MarkFile { path: state.join("high-water"), file: OnceLock::new() }
    }

    /// Reads the mark; `None` if there is none yet, an error if it is there and unreadable.
    pub(super) fn read(&self) -> Result<Option<Mark>, String> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(format!("{}: {e}", self.path.display())),
        };
        let mut words = text.split_ascii_whitespace();
        let parsed = (|| {
            let instance = words.next()?.to_owned();
            let sequence = words.next()?.parse().ok()?;
            let hash = ChainHash::from_bytes(&HEXLOWER.decode(words.next()?.as_bytes()).ok()?)?;
            Some(Mark { instance, sequence, hash })
        })();
        parsed.map(Some).ok_or_else(|| format!("{} is damaged", self.path.display()))
    }

    /// Writes the mark in place: one short line of fixed length in one block, so it is old or new, never
    /// half. It is not flushed: a mark that lags behind the database after a power failure is harmless,
    /// and only a database that lags behind its mark is a finding.
    pub(super) fn write(&self, mark: &Mark) -> std::io::Result<()> {
        let line = format!("{} {:020} {}\n", mark.instance, mark.sequence, mark.hash);
        let file = match self.file.get() {
            Some(file) => file,
            None => {
                let mut options = fs::OpenOptions::new();
                let opened = options.write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
                self.file.get_or_init(|| opened)
            }
        };
        file.write_all_at(line.as_bytes(), 0)
    }
}
