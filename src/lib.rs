//! Countersign: a Git push gatekeeper.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cli;
pub mod config;
pub mod domain;
pub mod keyring;
pub mod policy;
pub mod signature;
