//! The modules under test, from their own files.

#[path = "../../src/domain/mod.rs"]
pub mod domain;
#[path = "../../src/forge/mod.rs"]
pub mod forge;
#[path = "../../src/signature/mod.rs"]
pub mod signature;

/// Of the module that reads repositories, what reads bytes. It has no directory of its own here.
#[path = "."]
pub mod git {
    #[path = "../../src/git/tree.rs"]
    mod tree;
    pub use tree::{EntryKind, TooManyEntries, Tree, TreeEntry, TreeFault, TreeFaultCode};
}
