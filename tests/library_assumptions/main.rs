//! What the signature crates do that this program must not rely on, and what it does rely on.
//!
//! Every test states an assumption that code in `src/signature` answers to. One that fails after an
//! upgrade says: read the answer again, it may be needless or no longer enough.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/ssh_craft.rs"]
mod craft;
#[path = "../support/keys.rs"]
mod keys;

mod openpgp;
mod ssh;
mod ssh_key;

const PAYLOAD: &[u8] = b"signed data\n";
