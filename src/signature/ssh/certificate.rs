//! OpenSSH certificates (S10), read from their bytes. What they promise is judged in `authority`.

use super::super::wire::{Reader, WireError};
use super::key::{self, PublicKey, SshKeyError};
use crate::domain::text;

/// Most principals that OpenSSH puts into one.
const MAX_PRINCIPALS: usize = 256;
/// Most options of either kind.
const MAX_OPTIONS: usize = 256;

/// A named piece of data.
type Named<'a> = (&'a [u8], &'a [u8]);

/// A certificate's content. Nothing in it is worth anything before its authority is known and its
/// signature verifies.
#[derive(Debug)]
pub(super) struct Certificate<'a> {
    /// The certified key, as the plain key that it is.
    pub(super) key: PublicKey,
    pub(super) serial: u64,
    pub(super) kind: u32,
    pub(super) key_id: &'a [u8],
    pub(super) principals: Vec<String>,
    pub(super) valid_after: u64,
    pub(super) valid_before: u64,
    pub(super) critical: Vec<Named<'a>>,
    pub(super) extensions: Vec<Named<'a>>,
    pub(super) authority: PublicKey,
    /// What the authority signed.
    pub(super) signed: &'a [u8],
    pub(super) signature: &'a [u8],
}

/// Why bytes are not a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CertificateError {
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("certificates of type {0} are not supported")]
    Unsupported(String),
    #[error("the certified key: {0}")]
    Key(SshKeyError),
    #[error("the authority's key is itself a certificate")]
    Nested,
    #[error("the authority's key: {0}")]
    Authority(SshKeyError),
    #[error("a principal is empty, has control characters or is not UTF-8")]
    Principal,
    #[error("there are more than 256 principals")]
    TooManyPrincipals,
    #[error("the {0} are not in their order, or one is there twice")]
    Order(&'static str),
    #[error("there are more than 256 {0}")]
    TooManyOptions(&'static str),
}

/// Whether a key blob says that it is a certificate.
pub(super) fn is_certificate(blob: &[u8]) -> bool {
    let name = Reader::new(blob).string();
    name.is_ok_and(|name| matches!(key::check_name(name), Err(SshKeyError::Certificate(_))))
}

impl<'a> Certificate<'a> {
    pub(super) fn parse(blob: &'a [u8]) -> Result<Self, CertificateError> {
        let mut reader = Reader::new(blob);
        let name = reader.string()?;
        let plain = key::certified_type(name)
            .ok_or_else(|| CertificateError::Unsupported(text::escape_short(name, 60)))?;
        reader.string()?; // The nonce.
        let key = PublicKey::read_certified(plain, &mut reader).map_err(CertificateError::Key)?;
        let serial = reader.u64()?;
        let kind = reader.u32()?;
        let key_id = reader.string()?;
        let principals = principals(reader.string()?)?;
        let (valid_after, valid_before) = (reader.u64()?, reader.u64()?);
        let critical = options(reader.string()?, "critical options")?;
        let extensions = options(reader.string()?, "extensions")?;
        reader.string()?; // Reserved: to be ignored, and signed.
        let authority = reader.string()?;
        // Looked at before it is read: no recursion (X012).
        if is_certificate(authority) {
            return Err(CertificateError::Nested);
        }
        let authority = PublicKey::from_blob(authority).map_err(CertificateError::Authority)?;
        let signed = &blob[..blob.len() - reader.rest().len()];
        let signature = reader.string()?;
        reader.end()?;
        Ok(Self {
            key,
            serial,
            kind,
            key_id,
            principals,
            valid_after,
            valid_before,
            critical,
            extensions,
            authority,
            signed,
            signature,
        })
    }
}

fn principals(list: &[u8]) -> Result<Vec<String>, CertificateError> {
    let mut reader = Reader::new(list);
    let mut principals = Vec::new();
    while !reader.rest().is_empty() {
        let name = std::str::from_utf8(reader.string()?).map_err(|_| CertificateError::Principal)?;
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(CertificateError::Principal);
        }
        if principals.len() == MAX_PRINCIPALS {
            return Err(CertificateError::TooManyPrincipals);
        }
        principals.push(name.to_owned());
    }
    Ok(principals)
}

/// Names with their data, each name once and in the order of their bytes (X018). The data may be anything.
fn options<'a>(list: &'a [u8], what: &'static str) -> Result<Vec<Named<'a>>, CertificateError> {
    let mut reader = Reader::new(list);
    let mut options: Vec<Named<'_>> = Vec::new();
    while !reader.rest().is_empty() {
        let (name, data) = (reader.string()?, reader.string()?);
        if options.last().is_some_and(|(last, _)| name <= *last) {
            return Err(CertificateError::Order(what));
        }
        if options.len() == MAX_OPTIONS {
            return Err(CertificateError::TooManyOptions(what));
        }
        options.push((name, data));
    }
    Ok(options)
}
