//! Whose key it is, by whatever name people know it.

use super::{Authority, Key, Keyring, Material, material};
use crate::domain::text;
use crate::signature::{KeyId, Scheme};
use data_encoding::{BASE64_NOPAD, HEXUPPER_PERMISSIVE};
use md5::{Digest, Md5};
use std::collections::BTreeSet;

/// A name of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// `SHA256:...`, as OpenSSH shows it.
    Sha256(String),
    /// `MD5:aa:bb:...`, as older programs show it. It finds a key; it proves nothing.
    Md5([u8; 16]),
    /// The fingerprint of an OpenPGP key or subkey: 40 or 64 digits.
    Fingerprint(String),
    /// A long key id: 16 digits. Several keys can have one (O6).
    KeyId([u8; 8]),
}

/// Why some text names no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// 8 digits: made to order within seconds.
    #[error(
        "a key id of 8 digits is anybody's: give all of the fingerprint, or at least the 16 digits of the long key id"
    )]
    ShortKeyId,
    /// `SHA256:` or `MD5:` with something else behind it.
    #[error("this is no whole fingerprint of an SSH key; `ssh-keygen -l -f FILE` shows one")]
    Cut,
    /// Nothing of this sort.
    #[error("this names no key: give a fingerprint, a long key id, a public key's file, or a commit or tag")]
    Unknown,
}

/// Whose it is.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'k> {
    /// A principal's key, or a subkey of it.
    Key(&'k Key),
    /// Nobody's key: it says whose others are.
    Authority(&'k Authority),
}

/// Reads a fingerprint or key id, in the spellings that programs use.
///
/// # Errors
/// See [`QueryError`].
pub fn parse(written: &str) -> Result<Query, QueryError> {
    let written = written.trim();
    if let Some(rest) = written.strip_prefix("SHA256:") {
        let rest = rest.trim_end_matches('=');
        let whole = BASE64_NOPAD.decode(rest.as_bytes()).is_ok_and(|digest| digest.len() == 32);
        return if whole { Ok(Query::Sha256(format!("SHA256:{rest}"))) } else { Err(QueryError::Cut) };
    }
    let (prefixed, rest) = match written.strip_prefix("MD5:") {
        Some(rest) => (true, rest),
        None => (false, written),
    };
    let octets: Vec<&str> = rest.split(':').collect();
    if prefixed || octets.len() == 16 {
        let two = octets.iter().all(|octet| octet.len() == 2);
        let digest = HEXUPPER_PERMISSIVE.decode(octets.concat().as_bytes()).ok().filter(|_| two);
        let digest = digest.and_then(|digest| <[u8; 16]>::try_from(digest).ok());
        return digest.map(Query::Md5).ok_or(QueryError::Cut);
    }
    let digits: String = written.chars().filter(|c| *c != ' ').collect();
    let digits = digits.strip_prefix("0x").unwrap_or(&digits).to_ascii_uppercase();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(QueryError::Unknown);
    }
    match digits.len() {
        8 => Err(QueryError::ShortKeyId),
        16 => {
            let bytes = HEXUPPER_PERMISSIVE.decode(digits.as_bytes()).ok();
            bytes.and_then(|bytes| bytes.try_into().ok()).map(Query::KeyId).ok_or(QueryError::Unknown)
        }
        40 | 64 => Ok(Query::Fingerprint(digits)),
        _ => Err(QueryError::Unknown),
    }
}

/// The fingerprint of a public key's file, as [`parse`] would have it.
pub fn of_file(material: &Material) -> Query {
    match material.scheme() {
        Scheme::Ssh => Query::Sha256(material.fingerprint()),
        Scheme::OpenPgp => Query::Fingerprint(material.fingerprint()),
    }
}

impl Keyring {
    /// Whose key is called so. More than one only for what is an index and no identity: key ids and MD5.
    pub fn whose(&self, query: &Query) -> Vec<Owner<'_>> {
        let named = |scheme, text: &String| self.find(&KeyId { scheme, text: text.clone() }).map(Owner::Key);
        match query {
            Query::Sha256(text) => {
                let authority = self.authority(text).map(Owner::Authority);
                named(Scheme::Ssh, text).into_iter().chain(authority).collect()
            }
            Query::Fingerprint(text) => named(Scheme::OpenPgp, text).into_iter().collect(),
            Query::KeyId(id) => {
                let indexes: BTreeSet<usize> = self.key_ids.get(id).into_iter().flatten().copied().collect();
                indexes.into_iter().map(|index| Owner::Key(&self.keys()[index])).collect()
            }
            Query::Md5(digest) => {
                let fits = |blob: &[u8]| Md5::digest(blob).as_slice() == digest;
                let keys = self.keys().iter().filter(|key| match &key.material {
                    Material::Ssh(public) => fits(public.blob()),
                    Material::OpenPgp(_) => false,
                });
                let authorities = self.authorities().iter().filter(|one| fits(one.key.blob()));
                keys.map(Owner::Key).chain(authorities.map(Owner::Authority)).collect()
            }
        }
    }

    /// The key or subkey that the query names within a key that it found, where that is a subkey.
    pub fn subkey_named(&self, query: &Query, key: &Key) -> Option<String> {
        let components = key.material.components();
        let mut subkeys = components.iter().skip(1);
        let found = subkeys.find(|(fingerprint, key_id)| match query {
            Query::Fingerprint(text) => material::hex(fingerprint) == *text,
            Query::KeyId(id) => key_id == id,
            Query::Sha256(_) | Query::Md5(_) => false,
        });
        found.map(|(fingerprint, _)| material::hex(fingerprint))
    }

    /// The revocation lists that name this SSH key, whether anybody here holds it or not.
    pub fn listed_as_revoked(&self, query: &Query) -> Vec<String> {
        let Query::Sha256(text) = query else { return Vec::new() };
        let naming = self.parts.lists.iter().filter(|list| list.names(text));
        naming.map(|list| text::escape(list.path().as_os_str().as_encoded_bytes())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_that_programs_use() {
        let digits = "0123456789ABCDEF0123456789ABCDEF01234567";
        let gpg = "0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567";
        for written in [digits, gpg, &digits.to_lowercase(), &format!("0x{digits}"), &format!(" {digits}\n")]
        {
            assert_eq!(parse(written), Ok(Query::Fingerprint(digits.to_owned())), "{written}");
        }
        assert_eq!(parse("0xABCDEF0123456789").unwrap(), parse("abcdef0123456789").unwrap());
        let colons = ["ab"; 16].join(":");
        assert_eq!(parse(&colons), Ok(Query::Md5([0xab; 16])));
        assert_eq!(parse(&format!("MD5:{colons}")), Ok(Query::Md5([0xab; 16])));
        let sha = format!("SHA256:{}", "A".repeat(43));
        assert_eq!(parse(&sha), Ok(Query::Sha256(sha.clone())));
        assert_eq!(parse(&format!("{sha}=")), Ok(Query::Sha256(sha)));
    }

    #[test]
    fn what_could_be_anybodys_is_refused() {
        assert_eq!(parse("DEADBEEF"), Err(QueryError::ShortKeyId));
        assert_eq!(parse("0xdeadbeef"), Err(QueryError::ShortKeyId));
        for cut in [
            "SHA256:AAAA",
            "SHA256:",
            "MD5:ab:cd",
            "MD5:",
            "MD5:a:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:999",
        ] {
            assert_eq!(parse(cut), Err(QueryError::Cut), "{cut}");
        }
        for other in ["", "alice", "0x", "12345", "HEAD", &"A".repeat(41), "SHA1:aa"] {
            assert_eq!(parse(other), Err(QueryError::Unknown), "{other}");
        }
    }
}
