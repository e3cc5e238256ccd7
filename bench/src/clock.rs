//! The time of one run: nanoseconds since it began, the same for all its threads.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Counts from the moment it was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
    start_unix_ms: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            start: Instant::now(),
            start_unix_ms: saturated(unix.as_millis()),
        }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        ns(self.start.elapsed())
    }

    /// The wall clock at a time of the run.
    pub(crate) fn unix_ms(&self, now_ns: u64) -> u64 {
        self.start_unix_ms + now_ns / 1_000_000
    }

    /// How long until a time of the run; nothing if it has passed.
    pub(crate) fn until(&self, at_ns: u64) -> Duration {
        Duration::from_nanos(at_ns.saturating_sub(self.now_ns()))
    }
}

/// A duration in nanoseconds; 584 years at most.
pub(crate) fn ns(duration: Duration) -> u64 {
    saturated(duration.as_nanos())
}

fn saturated(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
