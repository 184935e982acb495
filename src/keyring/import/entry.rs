//! What a file to import says, whatever its format.

use super::super::document::{Diagnostic, Place, Source};
use super::super::{Material, Windows, load};
use crate::signature::openpgp::CertificateError;

/// One key or authority of the file.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) at: At,
    pub(super) whose: Whose,
    /// What `--name` may call it by, the first of them in messages.
    pub(super) labels: Vec<String>,
    pub(super) material: Material,
    /// The key as it is written into a principal's file.
    pub(super) written: String,
    pub(super) windows: Windows,
    /// Whether the format could have said something else about the window.
    pub(super) says_window: bool,
    /// It asks for a PIN or a finger.
    pub(super) verified: bool,
}

/// Who the file says an entry is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The file's keeper names its principals.
    Said(Vec<String>),
    /// The authority of whoever these patterns match.
    Authority(Vec<String>),
    /// The key itself claims these addresses.
    Claimed(Vec<String>),
    /// The name of the file, or of the place in it, says so.
    Called(String),
    /// Nobody says.
    Unsaid,
}

/// Where an entry stands: line and column from 1; line 0 is the file as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct At {
    pub(super) line: usize,
    pub(super) column: usize,
    /// Whether the line may be shown: not where it may be an encoded secret.
    pub(super) shown: bool,
}

impl At {
    pub(super) const WHOLE: At = At { line: 0, column: 0, shown: false };

    pub(super) fn line(line: usize) -> Self {
        At { line, column: 1, shown: true }
    }

    /// A finding there.
    pub(super) fn fault(self, source: &Source, message: impl Into<String>) -> Diagnostic {
        match self {
            At { line: 0, .. } => Diagnostic::whole(source.file(), message),
            At { line, column, shown: true } => load::at_line(source, line, column, message),
            At { line, column, shown: false } => {
                Diagnostic::at(Place { file: source.file().to_owned(), line, column }, message)
            }
        }
    }
}

/// That it is a private key: the same words for all formats, and never a line of the file.
pub(super) fn private(source: &Source, at: At) -> Diagnostic {
    let message = "there is a private key in the file: treat it as known to others";
    At { shown: false, ..at }.fault(source, message).suggest("import the public key, and make a new pair")
}

/// A fault of a key file. `at` is where the file stands in the one that is imported, with lines of its own
/// below it.
pub(super) fn openpgp_fault(source: &Source, at: At, error: &CertificateError) -> Diagnostic {
    let lines = match error {
        CertificateError::SecretKey => return private(source, at),
        CertificateError::OutsideBlock { line } | CertificateError::Armor { line } => Some(*line),
        _ => None,
    };
    let at = match lines {
        Some(line) if at == At::WHOLE => At { line, column: 1, shown: false },
        _ => at,
    };
    let found = at.fault(source, error.to_string());
    match error {
        CertificateError::TooLarge | CertificateError::TooMany => {
            found.suggest("export it with `gpg --export-options export-minimal --export --armor FINGERPRINT`")
        }
        CertificateError::StrayRevocation => found.suggest("put the key that it revokes into the same file"),
        _ => found,
    }
}
