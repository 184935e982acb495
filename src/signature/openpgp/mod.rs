//! OpenPGP: certificates and the validity that the crate leaves to the caller (O1 to O14).
//!
//! The `pgp` crate computes: hashes, key encodings, signature numbers. It calls a signature by an
//! expired, revoked or SHA-1 using key good, so nothing it says about validity is asked for.
//! Framing, subpackets, binding, times and revocations are read here from the packets' own bytes.

mod blocks;
mod certificate;
mod components;
mod extract;
mod filing;
mod findings;
mod key;
mod loader;
mod packet;
mod revokers;
mod signature;
mod validity;
mod verify;

pub use certificate::{Certificate, CertificateError, Findings};
pub use components::ComponentKey;
pub use extract::{Piece, Signer, pieces};
pub use key::{KeyAlgorithm, MIN_RSA_BITS};
pub use validity::Standing;
pub use verify::{MAX_CANDIDATES, claimed_time, verify};

#[cfg(test)]
mod tests;
