//! SSHSIG: signatures by OpenSSH keys, by FIDO authenticators and under OpenSSH certificates (S1 to S12).
//!
//! Blobs, keys, certificates, `allowed_signers` files and revocation lists are read here, strictly; crates
//! get single keys and raw signatures.

pub mod allowed_signers;
mod authority;
mod certificate;
mod key;
mod login;
mod pattern;
mod raw;
pub mod revocation;
mod sshsig;
mod verify;

pub use key::{MAX_RSA_BITS, MIN_RSA_BITS, PublicKey, SshKeyError, Weakness, parse_public_key};
pub use login::{Login, login};
pub use pattern::{PatternError, PatternList};
pub use revocation::{Revocable, RevocationList, Revoked};
pub use verify::{verify, verify_in};

use super::SignatureStatus;

/// The namespace that git signs in (S1).
pub const NAMESPACE: &str = "git";

fn malformed(code: &'static str, why: impl Into<String>) -> SignatureStatus {
    SignatureStatus::Malformed { code, why: why.into() }
}

#[cfg(test)]
mod tests;
