//! Real pushes to real repositories behind a running gate, judged end to end.
//!
//! Every push goes through [`support::clone::Clone::push`], which holds after each refusal that refs and
//! objects of the repository are what they were, and after every push that `git fsck` finds no fault.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "../support/ssh_craft.rs"]
mod craft;
#[path = "../support/mod.rs"]
mod support;

mod budgets;
mod fail_closed;
mod fido;
mod fixes;
mod gitolite;
mod heavy;
mod history;
mod install;
mod keyring;
mod laundering;
mod live;
mod merged_paths;
mod messages;
mod metrics;
mod paths;
mod policy;
mod protocol;
mod pusher;
mod readme;
mod signers;
mod sources;
mod tenants;
mod transport;
mod traps;
mod trusted_source;
