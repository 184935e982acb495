//! What tests with real git share. Every program runs with an environment made here, so that nothing
//! of the machine or of its user reaches a test.

// Each test program uses its own part of this.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::print_stderr)]

pub mod bulk;
pub mod clone;
pub mod deliveries;
pub mod forge_api;
pub mod gate;
pub mod history;
pub mod http;
pub mod quarantine;
pub mod receive_pack;
pub mod sandbox;
pub mod scene;
pub mod signers;
pub mod snapshot;
pub mod sshd;

use std::time::{Duration, Instant};

/// Asks until there is an answer; a test that waits longer than this fails by name.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "waited {limit:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
