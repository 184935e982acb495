//! Conformance cases R: Ref policy.
