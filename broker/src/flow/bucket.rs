//! A token bucket: so much a second on average, and a second's worth at once.
//!
//! The clock is an argument, so a test can hold it still. A request that costs more than the bucket ever holds is let through by a
//! full one and leaves a debt, which is paid off before the next one: what is large is slow, not impossible.

use std::num::NonZeroU64;

use parking_lot::Mutex;

/// Balances are kept in thousandths, which is what one unit a second makes in a millisecond.
const PARTS: i64 = 1_000;
/// What was asked for is measured over so long.
const WINDOW_MS: i64 = 1_000;

/// One bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    rate_per_s: NonZeroU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    balance_parts: i64,
    at_ms: i64,
    window_start_ms: i64,
    asked: u64,
    asked_before: u64,
}

/// A bucket has too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dry {
    /// What it gives a second.
    pub(super) limit_per_s: u64,
    /// What was asked for in a second, this request included.
    pub(super) measured_per_s: u64,
    /// When it has enough again, if nobody else asks.
    pub(super) retry_after_ms: u64,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(rate_per_s: NonZeroU64, now_ms: i64) -> Self {
        Self {
            rate_per_s,
            state: Mutex::new(State {
                balance_parts: parts(rate_per_s.get()),
                at_ms: now_ms,
                window_start_ms: now_ms,
                asked: 0,
                asked_before: 0,
            }),
        }
    }

    /// Whether it has `cost`, which is not taken. A request that is refused counts as asked for.
    pub(super) fn has(&self, cost: u64, now_ms: i64) -> Result<(), Dry> {
        let full = parts(self.rate_per_s.get());
        let mut state = self.state.lock();
        state.refill(self.rate_per_s, now_ms);
        let wanted = parts(cost).min(full);
        if state.balance_parts >= wanted {
            return Ok(());
        }
        state.ask(cost, now_ms);
        let missing_parts = wanted.saturating_sub(state.balance_parts).unsigned_abs();
        Err(Dry {
            limit_per_s: self.rate_per_s.get(),
            measured_per_s: state.asked.max(state.asked_before),
            // A unit a second is a thousandth a millisecond.
            retry_after_ms: missing_parts.div_ceil(self.rate_per_s.get()),
        })
    }

    /// Takes `cost`, whether it is there or not.
    pub(super) fn take(&self, cost: u64, now_ms: i64) {
        let mut state = self.state.lock();
        state.refill(self.rate_per_s, now_ms);
        state.ask(cost, now_ms);
        state.balance_parts = state.balance_parts.saturating_sub(parts(cost));
    }

    /// Whether it is as a new one would be.
    pub(super) fn is_full(&self, now_ms: i64) -> bool {
        let mut state = self.state.lock();
        state.refill(self.rate_per_s, now_ms);
        state.balance_parts >= parts(self.rate_per_s.get())
    }
}

impl State {
    fn refill(&mut self, rate_per_s: NonZeroU64, now_ms: i64) {
        // Time that goes backwards gives nothing.
        let elapsed_ms = now_ms.saturating_sub(self.at_ms).max(0);
        let rate = i64::try_from(rate_per_s.get()).unwrap_or(i64::MAX);
        let full = parts(rate_per_s.get());
        self.balance_parts = self
            .balance_parts
            .saturating_add(elapsed_ms.saturating_mul(rate))
            .min(full);
        self.at_ms = now_ms;
    }

    fn ask(&mut self, cost: u64, now_ms: i64) {
        let elapsed_ms = now_ms.saturating_sub(self.window_start_ms);
        if !(0..WINDOW_MS).contains(&elapsed_ms) {
            let is_next = (WINDOW_MS..2 * WINDOW_MS).contains(&elapsed_ms);
            self.asked_before = if is_next { self.asked } else { 0 };
            self.asked = 0;
            self.window_start_ms = now_ms;
        }
        self.asked = self.asked.saturating_add(cost);
    }
}

fn parts(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX).saturating_mul(PARTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(rate: u64) -> Bucket {
        Bucket::new(NonZeroU64::new(rate).unwrap(), 0)
    }

    fn take(bucket: &Bucket, cost: u64, now_ms: i64) -> Result<(), Dry> {
        bucket.has(cost, now_ms)?;
        bucket.take(cost, now_ms);
        Ok(())
    }

    #[test]
    fn it_gives_its_rate_and_a_second_at_once() {
        let bucket = bucket(100);
        let mut given = 0;
        for now_ms in 0..10_000 {
            while take(&bucket, 1, now_ms).is_ok() {
                given += 1;
            }
        }
        assert_eq!(
            given,
            100 + 999,
            "a full bucket, and 100 a second until the last moment"
        );
    }

    #[test]
    fn a_refusal_says_what_there_is_and_when_it_is_enough() {
        let bucket = bucket(10);
        assert_eq!(take(&bucket, 10, 0), Ok(()));
        let dry = take(&bucket, 3, 0).unwrap_err();
        assert_eq!(
            dry,
            Dry {
                limit_per_s: 10,
                measured_per_s: 13,
                retry_after_ms: 300
            }
        );
        assert!(take(&bucket, 3, 299).is_err());
        assert_eq!(take(&bucket, 3, 300), Ok(()));
    }

    #[test]
    fn what_is_too_large_leaves_a_debt() {
        let bucket = bucket(10);
        assert_eq!(take(&bucket, 25, 0), Ok(()));
        let dry = take(&bucket, 1, 1_000).unwrap_err();
        assert_eq!(dry.retry_after_ms, 600, "15 owed, 10 of them paid, and one more");
        assert_eq!(take(&bucket, 1, 1_600), Ok(()));
        assert!(!bucket.is_full(2_500) && bucket.is_full(2_600));
    }

    #[test]
    fn a_clock_that_is_set_gives_a_second_at_most_and_takes_nothing() {
        let bucket = bucket(10);
        assert_eq!(take(&bucket, 10, 1_000_000), Ok(()));
        assert!(take(&bucket, 1, 0).is_err());
        assert!(take(&bucket, 1, 99).is_err());
        assert_eq!(take(&bucket, 1, 100), Ok(()));
        assert_eq!(take(&bucket, 10, i64::MAX), Ok(()));
        assert!(take(&bucket, 1, i64::MAX).is_err());
    }
}
