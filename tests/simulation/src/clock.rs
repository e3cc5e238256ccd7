//! The clock of a simulation: time passes when an event says so, and the wall clock can be set.

use std::sync::atomic::{AtomicI64, Ordering};

use kourou_engine::clock::Clock;

/// The wall clock when a simulation begins, in milliseconds since 1970.
pub const START_MS: i64 = 1_700_000_000_000;

/// Time since the beginning, and how far the wall clock was set ahead of it.
#[derive(Debug, Default)]
pub struct SimClock {
    elapsed_ms: AtomicI64,
    ahead_ms: AtomicI64,
}

impl SimClock {
    /// Time has passed up to `elapsed_ms` since the beginning.
    pub fn pass_to(&self, elapsed_ms: i64) {
        self.elapsed_ms.store(elapsed_ms, Ordering::SeqCst);
    }

    /// Somebody sets the wall clock, forth or back.
    pub fn set_by(&self, by_ms: i64) {
        self.ahead_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn now_ms(&self) -> i64 {
        START_MS + self.elapsed_ms.load(Ordering::SeqCst) + self.ahead_ms.load(Ordering::SeqCst)
    }

    fn elapsed_ms(&self) -> i64 {
        self.elapsed_ms.load(Ordering::SeqCst)
    }
}
