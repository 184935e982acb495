//! Conformance cases K: OpenPGP keys and signatures.
