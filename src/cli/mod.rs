//! The command line.

pub mod common;
pub mod config_check;
pub mod init;
pub mod keyring;
