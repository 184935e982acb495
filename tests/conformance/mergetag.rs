//! Conformance cases M: Merged tags.
