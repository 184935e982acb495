#![no_main]

#[path = "../harness.rs"]
mod harness;
#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| harness::timed(targets::delivery, data));
