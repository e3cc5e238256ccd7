//! Scrubbing: the log is read over and over, slowly, so that damage is told before somebody misses a message.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kourou_engine::{ScrubError, Scrubbed};
use parking_lot::Mutex;

use crate::broker::Broker;

/// What there is to know between two looks.
#[derive(Debug, Default)]
pub(crate) struct Scrubbing {
    is_running: AtomicBool,
    round: Mutex<Round>,
}

/// Once through the log.
#[derive(Debug, Default)]
struct Round {
    /// When the next look is due, by the clock that is never set; the first is at once.
    due_ms: i64,
    /// When this round was begun.
    begun_ms: Option<i64>,
    /// When something was looked at last.
    last_ms: Option<i64>,
}

impl Broker {
    /// Has a part of the log scrubbed if that is due. How long until the next is, in milliseconds; `None` if nothing is scrubbed.
    pub(crate) fn tick_scrub(self: &Arc<Self>) -> Option<i64> {
        let rate = self.options.scrub_bytes_per_s;
        if rate == 0 {
            return None;
        }
        let now_ms = self.clock.elapsed_ms();
        let interval_ms = self.options.limits.scrub_interval_ms.max(1);
        let mut round = self.scrubbing.round.lock();
        if now_ms < round.due_ms {
            return Some(round.due_ms - now_ms);
        }
        round.due_ms = now_ms.saturating_add(interval_ms);
        if self.scrubbing.is_running.swap(true, Ordering::Acquire) {
            return Some(interval_ms);
        }
        round.begun_ms.get_or_insert(now_ms);
        let since_ms = round.last_ms.map_or(interval_ms, |last_ms| now_ms - last_ms);
        round.last_ms = Some(now_ms);
        // After a pause it does not make up for it.
        let since_ms = u64::try_from(since_ms.clamp(0, 2 * interval_ms)).unwrap_or(0);
        drop(round);
        let broker = Arc::downgrade(self);
        self.engine
            .scrub(rate.saturating_mul(since_ms) / 1_000, move |outcome| {
                if let Some(broker) = broker.upgrade() {
                    broker.scrubbed(now_ms, outcome);
                }
            });
        Some(interval_ms)
    }

    /// A look has ended.
    fn scrubbed(&self, now_ms: i64, outcome: Result<Scrubbed, ScrubError>) {
        if let Ok(scrubbed) = outcome
            && scrubbed.has_ended
        {
            let mut round = self.scrubbing.round.lock();
            let begun_ms = round.begun_ms.take().unwrap_or(now_ms);
            let limits = &self.options.limits;
            // A log that has no complete segment yet will have one before long.
            let pause_ms = if scrubbed.looked_bytes == 0 && begun_ms == now_ms {
                limits.scrub_interval_ms.saturating_mul(60)
            } else {
                limits.scrub_again_ms
            };
            round.due_ms = round.due_ms.max(begun_ms.saturating_add(pause_ms));
        }
        self.scrubbing.is_running.store(false, Ordering::Release);
    }
}
