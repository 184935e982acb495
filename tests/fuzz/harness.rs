//! What the fuzzer adds to a target: a limit on time.

use crate::targets::JUDGED;
use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The most processor time that reading one input may take, instrumented.
const LIMIT: Duration = Duration::from_millis(50);

/// What is added for each time that the target judges a signature: it does so again and again, by other
/// rules and over other bytes. One of ECDSA P-521 takes half of it, instrumented.
const EACH: Duration = Duration::from_millis(10);

/// How often an input that was too slow is tried again. A machine that is taken away for a moment, or a
/// cache that others emptied, is slow once; an input that is too expensive always is.
const AGAIN: usize = 3;

fn spent() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

/// What it took above the limit, by this thread's own clock.
fn excess(target: fn(&[u8]), data: &[u8]) -> Option<Duration> {
    JUDGED.store(0, Ordering::Relaxed);
    let before = spent();
    target(data);
    let took = spent() - before;
    let limit = LIMIT + EACH * JUDGED.load(Ordering::Relaxed);
    (took >= limit).then_some(took)
}

/// Runs a target and fails if it takes too long.
pub fn timed(target: fn(&[u8]), data: &[u8]) {
    let Some(took) = excess(target, data) else { return };
    let always = (0..AGAIN).all(|_| excess(target, data).is_some());
    assert!(!always, "{} bytes took {took:?} and again too long", data.len());
}
