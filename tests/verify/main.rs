//! `countersign verify` on real repositories: every kind of verdict, what git says beside it, and objects
//! and surroundings that were made to deceive.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/ssh_craft.rs"]
mod craft;

#[allow(unreachable_pub)]
mod bench;
mod differences;
mod hostile;
mod page;
mod record;
mod verdicts;
