//! Strict reading of TOML files that people write: every fault is reported, with its place.
//!
//! The keyring and the configuration both read through here, so that both refuse unknown keys, point at
//! line and column, and never show a private key.

mod access;
mod diagnostic;
mod reader;

pub(crate) use access::{Identity, Owner, check_directory, own_uid, read_checked};
pub use diagnostic::{Diagnostic, Place, Warning};
pub(crate) use diagnostic::{Source, looks_private, nearest, sort};
pub(crate) use reader::{Item, Reader, Table};
