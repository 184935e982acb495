//! The hook client as a program of its own: small, so that it starts fast. Git starts it through the
//! hook files that `countersign install` writes.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A defect is an outage, too, and says so by the exit code.
    let run = || countersign::hook::client_main(std::env::args_os());
    ExitCode::from(std::panic::catch_unwind(run).unwrap_or(3))
}
