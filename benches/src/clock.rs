//! The machine's own clock and real pauses: a benchmark measures time.

use std::time::{Duration, Instant};

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "real servers take real time, and no executor runs here"
)]
pub(crate) fn pause(span: Duration) {
    std::thread::sleep(span);
}
