//! The modules under test, from their own files.

#[path = "../../src/domain/mod.rs"]
pub mod domain;
#[path = "../../src/signature/mod.rs"]
pub mod signature;
