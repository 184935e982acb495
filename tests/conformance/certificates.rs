//! Conformance cases X: SSH certificates.
