//! Which format a file is in.

use super::super::document::{Diagnostic, Place, Source, looks_private};
use super::authorized_keys;
use super::entry::{At, private};
use std::path::Path;

/// A format that keys are imported from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// OpenSSH's `allowed_signers`.
    AllowedSigners,
    /// OpenSSH's `authorized_keys`.
    AuthorizedKeys,
    /// Public keys of OpenSSH, one a line.
    Pub,
    /// OpenPGP certificates, armored or binary.
    OpenPgp,
    /// What a forge says under `<user>.keys` or `<user>.gpg`: all of it is that user's.
    Forge,
    /// Argo CD's ConfigMap `argocd-gpg-keys-cm`.
    ArgoCd,
    /// A Secret of Flux.
    Flux,
}

impl FileFormat {
    /// All of them, with the words that they go by.
    pub const ALL: [FileFormat; 7] = [
        FileFormat::Pub,
        FileFormat::AuthorizedKeys,
        FileFormat::AllowedSigners,
        FileFormat::OpenPgp,
        FileFormat::Forge,
        FileFormat::ArgoCd,
        FileFormat::Flux,
    ];

    /// Its word on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            FileFormat::AllowedSigners => "allowed-signers",
            FileFormat::AuthorizedKeys => "authorized-keys",
            FileFormat::Pub => "pub",
            FileFormat::OpenPgp => "openpgp",
            FileFormat::Forge => "forge",
            FileFormat::ArgoCd => "argocd",
            FileFormat::Flux => "flux",
        }
    }

    /// What it is, for people.
    pub const fn described(self) -> &'static str {
        match self {
            FileFormat::AllowedSigners => "an allowed_signers file",
            FileFormat::AuthorizedKeys => "an authorized_keys file",
            FileFormat::Pub => "SSH public keys",
            FileFormat::OpenPgp => "OpenPGP certificates",
            FileFormat::Forge => "one user's keys from a forge",
            FileFormat::ArgoCd => "Argo CD's ConfigMap of keys",
            FileFormat::Flux => "a Secret of Flux",
        }
    }

    /// What a file seems to be, by its name and content.
    pub(super) fn detect(path: &Path, source: &Source, bytes: &[u8]) -> Result<Self, Diagnostic> {
        let unclear = |message: &str| {
            Diagnostic::whole(path, message).suggest("say what it is: `--as FORMAT`, see `--help`")
        };
        if bytes.get(8..12) == Some(b"KBXf") {
            return Err(Diagnostic::whole(path, "this is GnuPG's own key box")
                .suggest("name its directory instead: `--gnupg-home DIR`"));
        }
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if bytes.first().is_some_and(|first| *first >= 0x80) && !bytes.starts_with(b"\xef\xbb\xbf") {
            return Ok(FileFormat::OpenPgp);
        }
        let text = String::from_utf8_lossy(bytes);
        if looks_private(&text) || text.contains("PGP SECRET KEY") {
            let secret = |line: &str| looks_private(line) || line.contains("PGP SECRET KEY");
            let before = text.lines().take_while(|line| !secret(line)).count();
            return Err(private(source, At { line: before + 1, column: 1, shown: false }));
        }
        if let Err(error) = std::str::from_utf8(bytes) {
            let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            let place = Place { file: path.to_owned(), line, column: 1 };
            return Err(Diagnostic::at(place, "this is neither text nor OpenPGP"));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let Some(first) = lines().next() else { return Err(unclear("there is nothing in the file")) };
        if first.starts_with("-----BEGIN PGP") {
            return Ok(FileFormat::OpenPgp);
        }
        let kind = |word: &str| {
            lines().any(|line| {
                let line = line.trim_end_matches(',').replace(['"', ' '], "");
                line == format!("kind:{word}") || line.contains(&format!("kind:{word},"))
            })
        };
        let manifest = first.starts_with('{') || lines().any(|line| line.starts_with("apiVersion:"));
        if manifest && (kind("ConfigMap") || text.replace(' ', "").contains("\"kind\":\"ConfigMap\"")) {
            return Ok(FileFormat::ArgoCd);
        }
        if manifest && (kind("Secret") || text.replace(' ', "").contains("\"kind\":\"Secret\"")) {
            return Ok(FileFormat::Flux);
        }
        if manifest {
            return Err(unclear("this manifest is neither a ConfigMap nor a Secret"));
        }
        let is_key = |line: &str| ["ssh-", "ecdsa-", "sk-"].iter().any(|prefix| line.starts_with(prefix));
        let named = |name: &str| path.file_name().is_some_and(|found| found.to_string_lossy().contains(name));
        if extension == "keys" {
            Ok(FileFormat::Forge)
        } else if lines().any(authorized_keys::begins_with_option) || named("authorized_keys") {
            Ok(FileFormat::AuthorizedKeys)
        } else if lines().all(is_key) {
            Ok(FileFormat::Pub)
        } else if lines().any(|line| line.split([' ', '\t']).skip(1).any(is_key)) {
            Ok(FileFormat::AllowedSigners)
        } else {
            Err(unclear("the file is in no format that is known here"))
        }
    }
}
