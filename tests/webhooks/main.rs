//! Repositories at a forge, judged from the outside: real git servers on loopback, real deliveries over HTTP, and what
//! the record says of it.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::print_stderr)]

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod forge;
mod judging;
mod queue;
mod servers;
