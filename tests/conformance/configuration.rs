//! Conformance cases Z: Configuration and denial of service.
