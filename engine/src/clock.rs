//! The clock seam: everything below the frontends asks this trait for the time, so that a test can hold it still,
//! move it forward, or make it jump.

use std::fmt::Debug;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall-clock time in milliseconds since the Unix epoch. It may jump in either direction, as real clocks do;
/// whoever needs order takes the maximum of what it has seen.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Milliseconds since the Unix epoch, UTC.
    fn now_ms(&self) -> i64;

    /// Milliseconds since some moment in the past, for spans of time: it goes on evenly when the wall clock is set. Unless a clock
    /// has something better, it is the wall clock.
    fn elapsed_ms(&self) -> i64 {
        self.now_ms()
    }
}

/// What the operating system's spans of time are counted from.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The operating system's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            // A clock set before 1970 is a fault of the machine that no caller can do anything about.
            Err(_) => 0,
        }
    }

    fn elapsed_ms(&self) -> i64 {
        let elapsed = ORIGIN.elapsed();
        // Seconds since the process began fit.
        elapsed.as_secs() as i64 * 1_000 + i64::from(elapsed.subsec_millis())
    }
}

/// A clock that stands still until it is told to move.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now_ms`.
    pub fn new(now_ms: i64) -> Self {
        Self(AtomicI64::new(now_ms))
    }

    /// Moves the clock by `by_ms`, which may be negative, and returns the new time.
    pub fn advance(&self, by_ms: i64) -> i64 {
        self.0.fetch_add(by_ms, Ordering::SeqCst) + by_ms
    }

    /// Sets the clock to `now_ms`.
    pub fn set(&self, now_ms: i64) {
        self.0.store(now_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}
