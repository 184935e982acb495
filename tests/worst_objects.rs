//! The objects that cost most, of each kind and at the caps of their size, are dealt with in bounded time. How long it takes
//! in an optimised build is measured by the bench `verify`; this holds that nothing is out of all proportion.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "support/crafted.rs"]
mod crafted;
#[path = "support/keys.rs"]
mod keys;
#[path = "support/ssh_craft.rs"]
mod ssh_craft;
#[path = "support/worst.rs"]
mod worst;

use std::time::{Duration, Instant};

/// For an unoptimised build on a busy machine: what is quadratic by mistake takes minutes.
#[test]
fn the_worst_of_each_kind_is_dealt_with_in_bounded_time() {
    for worst in worst::of_objects() {
        let begun = Instant::now();
        (worst.run)();
        let spent = begun.elapsed();
        println!("{:>8.1} ms  {}", spent.as_secs_f64() * 1e3, worst.name);
        assert!(spent < Duration::from_secs(10), "{}: {spent:?}", worst.name);
    }
}

#[test]
fn the_objects_are_at_the_caps() {
    for (name, raw) in worst::objects() {
        assert!((1 << 20) - 3_000 < raw.len() && raw.len() <= 1 << 20, "{name}: {}", raw.len());
    }
}
