//! Conformance cases D: Time.
