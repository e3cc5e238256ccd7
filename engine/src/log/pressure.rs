//! What is on its way to the disk and how long that takes: measured, for those who decide whether to take more.
//!
//! ```text
//!  append ---> waiting (bytes, since when) ---> being written (bytes, since when) ---> durable (how long it took)
//!                     \___ taken all at once ___/
//! ```
//!
//! Nothing here is exact to the byte while others append; everything is in the right order: a moment is set before the bytes that
//! it belongs to, so nobody ever seems to wait for longer than it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use crate::clock::Clock;

/// The measured time is kept in parts of a millisecond, so that smoothing does not round it away.
const PARTS: u64 = 16;
/// A new measurement counts for one in so many.
const SMOOTHING: i64 = 4;
/// One group in so many is measured: reading the clock for each would be felt by lone appends.
const MEASURED_EVERY: u32 = 4;

/// How busy the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pressure {
    /// Bytes of appends that are not durable yet: waiting, or being written.
    pub in_flight_bytes: u64,
    /// How long the oldest of them has been on its way; 0 if there is none.
    pub oldest_ms: u64,
    /// How long appends took lately from their arrival until they were durable: the oldest of every fourth group, smoothed.
    pub commit_ms: u64,
}

/// Measures.
#[derive(Debug)]
pub(super) struct Meter {
    clock: Arc<dyn Clock>,
    waiting_bytes: AtomicU64,
    waiting_since_ms: AtomicI64,
    writing_bytes: AtomicU64,
    writing_since_ms: AtomicI64,
    commit_parts: AtomicU64,
    groups: AtomicU32,
}

impl Meter {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            waiting_bytes: AtomicU64::new(0),
            waiting_since_ms: AtomicI64::new(0),
            writing_bytes: AtomicU64::new(0),
            writing_since_ms: AtomicI64::new(0),
            commit_parts: AtomicU64::new(0),
            groups: AtomicU32::new(0),
        }
    }

    /// An append waits; with it, `bytes` do. Called by one thread at a time.
    pub(super) fn waits(&self, is_first: bool, bytes: u64) {
        if is_first {
            self.waiting_since_ms
                .store(self.clock.elapsed_ms(), Ordering::Relaxed);
        }
        self.waiting_bytes.store(bytes, Ordering::Release);
    }

    /// All that waits is being written from now on. Called by one thread at a time, which excludes [`Meter::waits`].
    pub(super) fn taken(&self) {
        let since_ms = self.waiting_since_ms.load(Ordering::Relaxed);
        self.writing_since_ms.store(since_ms, Ordering::Relaxed);
        let bytes = self.waiting_bytes.load(Ordering::Relaxed);
        self.writing_bytes.store(bytes, Ordering::Release);
        self.waiting_bytes.store(0, Ordering::Release);
    }

    /// So many of the bytes that were taken are durable.
    pub(super) fn committed(&self, bytes: u64) {
        let group = self.groups.load(Ordering::Relaxed);
        self.groups.store(group.wrapping_add(1), Ordering::Relaxed);
        if group.is_multiple_of(MEASURED_EVERY) {
            self.measure();
        }
        let left = self.writing_bytes.load(Ordering::Relaxed).saturating_sub(bytes);
        self.writing_bytes.store(left, Ordering::Release);
    }

    /// Takes in how long the oldest of the bytes that were taken has been on its way.
    fn measure(&self) {
        let took_ms = self.clock.elapsed_ms() - self.writing_since_ms.load(Ordering::Relaxed);
        let before = self.commit_parts.load(Ordering::Relaxed);
        let change = took_ms.max(0).saturating_mul(PARTS as i64) - before as i64;
        // Rounded away from what was, so that it arrives.
        let step = change / SMOOTHING + change.signum();
        self.commit_parts
            .store(before.saturating_add_signed(step), Ordering::Relaxed);
    }

    /// Nothing that was taken is left, durable or refused.
    pub(super) fn rests(&self) {
        self.writing_bytes.store(0, Ordering::Release);
    }

    pub(super) fn in_flight_bytes(&self) -> u64 {
        self.writing_bytes
            .load(Ordering::Acquire)
            .saturating_add(self.waiting_bytes.load(Ordering::Acquire))
    }

    pub(super) fn pressure(&self) -> Pressure {
        let writing_bytes = self.writing_bytes.load(Ordering::Acquire);
        let waiting_bytes = self.waiting_bytes.load(Ordering::Acquire);
        let since_ms = if writing_bytes > 0 {
            Some(self.writing_since_ms.load(Ordering::Relaxed))
        } else if waiting_bytes > 0 {
            Some(self.waiting_since_ms.load(Ordering::Relaxed))
        } else {
            None
        };
        let oldest_ms = since_ms.map_or(0, |since_ms| self.clock.elapsed_ms() - since_ms);
        Pressure {
            in_flight_bytes: writing_bytes.saturating_add(waiting_bytes),
            oldest_ms: u64::try_from(oldest_ms).unwrap_or(0),
            commit_ms: self.commit_parts.load(Ordering::Relaxed) / PARTS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn what_is_measured_is_what_happens() {
        let clock = Arc::new(ManualClock::new(1_000));
        let meter = Meter::new(clock.clone());
        assert_eq!(meter.pressure(), Pressure::default());

        meter.waits(true, 100);
        clock.advance(30);
        meter.waits(false, 250);
        assert_eq!((meter.in_flight_bytes(), meter.pressure().oldest_ms), (250, 30));

        meter.taken();
        meter.waits(true, 40);
        clock.advance(10);
        assert_eq!((meter.in_flight_bytes(), meter.pressure().oldest_ms), (290, 40));

        meter.committed(250);
        let after = meter.pressure();
        assert_eq!(
            (after.in_flight_bytes, after.oldest_ms, after.commit_ms),
            (40, 10, 10),
            "a quarter of the way to 40"
        );
        meter.taken();
        meter.rests();
        assert_eq!((meter.in_flight_bytes(), meter.pressure().oldest_ms), (0, 0));
    }

    #[test]
    fn the_measured_time_arrives_where_commits_are() {
        let clock = Arc::new(ManualClock::new(0));
        let meter = Meter::new(clock.clone());
        for took_ms in [1_000, 3] {
            for _ in 0..40 * MEASURED_EVERY {
                meter.waits(true, 1);
                meter.taken();
                clock.advance(took_ms);
                meter.committed(1);
            }
            assert_eq!(meter.pressure().commit_ms, took_ms as u64);
        }
        // A clock that is set back measures nothing, and never less than that.
        meter.waits(true, 1);
        meter.taken();
        clock.advance(-500);
        assert_eq!(meter.pressure().oldest_ms, 0);
    }
}
