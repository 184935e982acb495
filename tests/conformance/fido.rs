//! Conformance cases F: FIDO.
