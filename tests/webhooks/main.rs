//! Repositories at a forge, judged from the outside: real git servers on loopback, real deliveries over HTTP, what the
//! record says of it, and what the forge is told.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::print_stderr)]

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod decisions;
mod faults;
mod forge;
mod judging;
mod queue;
mod reports;
mod restore;
mod servers;
mod sound;
mod twice;
mod whole_way;
