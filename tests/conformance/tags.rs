//! Conformance cases T: Tags.
