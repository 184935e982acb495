//! Where a keyring comes from.

use super::Revocation;
use jiff::tz::TimeZone;
use std::path::{Path, PathBuf};

/// Everything that makes up one keyring.
#[derive(Clone, Debug, PartialEq)]
pub struct Sources {
    /// The directory with one file per principal.
    pub dir: PathBuf,
    /// Files in OpenSSH's `allowed_signers` format (S8).
    pub allowed_signers: Vec<AllowedSigners>,
    /// Lists of what is revoked (S11).
    pub revocations: Vec<RevocationFile>,
}

/// An `allowed_signers` file.
#[derive(Clone, Debug, PartialEq)]
pub struct AllowedSigners {
    /// The file.
    pub path: PathBuf,
    /// The groups of those whom it brings along, and of the holders of certificates by its authorities.
    pub groups: Vec<String>,
    /// The zone of times that name none (S012).
    pub zone: Option<TimeZone>,
}

/// A KRL, or a flat list of public keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationFile {
    /// The file.
    pub path: PathBuf,
    /// Why and since when what it lists is refused.
    pub revocation: Revocation,
    /// Whether a file that lists nothing is what was meant (S041).
    pub allow_empty: bool,
}

impl Sources {
    /// A directory and nothing else.
    pub fn directory(dir: impl Into<PathBuf>) -> Self {
        Sources { dir: dir.into(), allowed_signers: Vec::new(), revocations: Vec::new() }
    }
}

impl From<&Path> for Sources {
    fn from(dir: &Path) -> Self {
        Sources::directory(dir)
    }
}

impl From<&PathBuf> for Sources {
    fn from(dir: &PathBuf) -> Self {
        Sources::directory(dir)
    }
}

impl From<&Sources> for Sources {
    fn from(sources: &Sources) -> Self {
        sources.clone()
    }
}
