//! Countersign: a Git push gatekeeper.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod domain;
pub mod policy;
pub mod signature;
