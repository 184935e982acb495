//! Countersign: a Git push gatekeeper. It decides whether a ref may move, from who signed the commits,
//! who pushed, what the commits say and which ref they move.
//!
//! Every entry point does the same three things: collect facts ([`facts`]), evaluate them
//! ([`policy::evaluate`], pure and total), and record the decision durably ([`store`], [`audit`]) before
//! it is answered. "No" is a value; "I could not tell" is a different one, and it refuses the push, too.
//!
//! | module | what it owns |
//! | --- | --- |
//! | [`domain`] | plain values: object ids, ref names, updates, principals |
//! | [`signature`] | what a signature on a Git object means: bytes and keys in, status out |
//! | [`keyring`] | who owns which key, valid when, revoked why |
//! | [`policy`] | rulesets and rules; the decision |
//! | [`import`] | rules of other systems as rulesets of ours: text in, text out |
//! | [`git`] | reading repositories and quarantines; the only place that names gix |
//! | [`facts`] | everything about a push that rules may look at |
//! | [`audit`] | the record and its hash chain |
//! | [`store`] | durable state; the only place that names SQLite |
//! | [`forge`] | what forges send, and what is sent back: bytes in, values out |
//! | [`config`] | the configuration file |
//! | [`hook`] | what git runs, and what it says to the daemon |
//! | [`service`] | the use cases |
//! | [`http`] | the daemon's sockets; the only place that names hyper and axum |
//! | [`cli`] | the command line; the only place that names clap, and the one that prints |
//!
//! Arrows go one way, from the bottom of that table to its top; `tests/architecture.rs` holds them.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod audit;
pub mod cli;
pub mod config;
pub mod domain;
pub mod facts;
pub mod forge;
pub mod git;
pub mod hook;
pub mod http;
pub mod import;
pub mod keyring;
pub mod policy;
pub mod service;
pub mod signature;
pub mod store;
