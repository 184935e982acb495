//! Countersign: a Git push gatekeeper.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod audit;
pub mod domain;
pub mod facts;
pub mod git;
pub mod hook;
pub mod keyring;
pub mod policy;
pub mod signature;
pub mod store;
