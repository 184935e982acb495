//! The hook client as a program of its own: small, so that it starts fast. Git starts it through the
//! hook files that `countersign install` writes.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(countersign::hook::client_main(std::env::args_os()))
}
