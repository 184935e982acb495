//! The conformance cases: what a signature gatekeeper must accept and refuse, one test a case.
//!
//! The name of a test begins with the id of its case, or ids, such as `k003_`; what git makes of the
//! same object is told where it differs. Objects are made by git, gpg and ssh-keygen, and by this suite's
//! own code where no tool would make them.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

#[path = "../support/crafted.rs"]
mod crafted;
#[path = "../support/keys.rs"]
mod keys;
#[path = "../support/mod.rs"]
mod support;

mod certificates;
mod commits;
mod configuration;
mod fido;
mod grammar;
mod malleability;
mod mergetag;
mod objects;
mod openpgp;
mod refs;
mod ssh;
mod tags;
mod time;
