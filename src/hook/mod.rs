//! What git runs: the hook client and the request it sends.
//!
//! This module is linked into a small program of its own, because it starts once per push. It depends
//! on nothing but [`crate::domain`]: no configuration parser, no async runtime, no gix.

pub mod auth_info;
mod client;
mod environment;
mod exchange;
mod file;
pub mod wire;

pub use client::{Failure, ask, client_main, run_hook};
pub use environment::{ENVIRONMENT, gather};
pub use exchange::{Ask, exchange};
pub use file::{HookFile, HookFileError, HookKind};
