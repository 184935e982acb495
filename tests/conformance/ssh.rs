//! Conformance cases S: SSH keys and allowed_signers.
