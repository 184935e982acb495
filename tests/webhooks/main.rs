//! Forges that tell of pushes and are told what became of them, over real sockets.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "../support/mod.rs"]
mod support;

mod decisions;
mod reports;
