//! The SSHSIG blob (S1): fields, and what the key signs.

use super::super::SignatureStatus;
use super::super::object::Payload;
use super::super::wire::{self, Reader, WireError};
use super::malformed;
use sha2::{Digest, Sha256, Sha512};

/// A parsed SSHSIG blob, slices of the armor's content.
pub(super) struct SshSig<'a> {
    pub(super) key: &'a [u8],
    pub(super) namespace: &'a [u8],
    pub(super) hash: &'a [u8],
    pub(super) signature: &'a [u8],
}

pub(super) fn broken(error: WireError) -> SignatureStatus {
    malformed("ssh.blob", format!("the SSH signature is broken: {error}"))
}

impl<'a> SshSig<'a> {
    pub(super) fn parse(blob: &'a [u8]) -> Result<Self, SignatureStatus> {
        let mut reader = Reader::new(blob);
        if reader.take(6).map_err(broken)? != b"SSHSIG" {
            return Err(malformed("ssh.blob", "the SSH signature does not begin with SSHSIG"));
        }
        // OpenSSH accepts version 0 as well and signs an empty `reserved` whatever the blob says (S1).
        if reader.u32().map_err(broken)? != 1 {
            return Err(malformed("ssh.version", "the SSH signature is not of version 1"));
        }
        let key = reader.string().map_err(broken)?;
        let namespace = reader.string().map_err(broken)?;
        if !reader.string().map_err(broken)?.is_empty() {
            return Err(malformed("ssh.reserved", "the reserved field of the SSH signature is not empty"));
        }
        let hash = reader.string().map_err(broken)?;
        let signature = reader.string().map_err(broken)?;
        reader.end().map_err(broken)?;
        Ok(Self { key, namespace, hash, signature })
    }

    /// What the key signs: the header once more, and the digest of the payload. `None` for a hash that is
    /// not accepted.
    pub(super) fn signed(&self, payload: &Payload<'_>) -> Option<Vec<u8>> {
        let digest = match self.hash {
            b"sha512" => digest::<Sha512>(payload),
            b"sha256" => digest::<Sha256>(payload),
            _ => return None,
        };
        let mut signed = b"SSHSIG".to_vec();
        for field in [self.namespace, b"", self.hash, &digest] {
            wire::put_string(&mut signed, field);
        }
        Some(signed)
    }
}

fn digest<D: Digest>(payload: &Payload<'_>) -> Vec<u8> {
    let mut hasher = D::new();
    hasher.update(payload.before);
    hasher.update(payload.after);
    hasher.finalize().to_vec()
}
