//! Conformance cases G: Object grammar, adversarial.
