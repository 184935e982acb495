//! What the fuzzer adds to a target: a limit on time.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// The most processor time that one input may take, instrumented.
const LIMIT: Duration = Duration::from_millis(50);

fn spent() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

/// Runs a target and fails if it took too long, by this thread's own clock: other load does not count.
pub fn timed(target: fn(&[u8]), data: &[u8]) {
    let before = spent();
    target(data);
    let took = spent() - before;
    assert!(took < LIMIT, "{} bytes took {took:?}", data.len());
}
