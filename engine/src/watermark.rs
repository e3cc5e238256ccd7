//! Watermarks: positions of the log that only ever move forward, and those who wait for them.
//!
//! `written >= durable`. Readers see what is below the durable one (in relaxed mode the engine raises it as soon as the page
//! cache has the bytes). The writer completes its own callers in the log's order, so the common acknowledgement needs no waiter
//! here; [`Watermark::wait_for`] serves those who follow the log's tail from outside.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

/// One watermark.
#[derive(Debug)]
pub(crate) struct Watermark {
    position: AtomicU64,
    waiting: Mutex<usize>,
    raised: Condvar,
}

impl Watermark {
    pub(crate) fn new(position: u64) -> Self {
        Self {
            position: AtomicU64::new(position),
            waiting: Mutex::new(0),
            raised: Condvar::new(),
        }
    }

    /// The first position that is not yet below the watermark. Everything that was written before [`Watermark::raise`] is
    /// visible to whoever reads the new position.
    pub(crate) fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    /// Moves the watermark forward.
    pub(crate) fn raise(&self, position: u64) {
        let before = self.position.swap(position, Ordering::Release);
        debug_assert!(
            before <= position,
            "a watermark never goes back: {before} to {position}"
        );
        if *self.waiting.lock() > 0 {
            self.raised.notify_all();
        }
    }

    /// Waits until the watermark is above `position`, at most `timeout`; returns where it is.
    pub(crate) fn wait_for(&self, position: u64, timeout: std::time::Duration) -> u64 {
        let mut waiting = self.waiting.lock();
        *waiting += 1;
        // Checked under the lock: a raise after this check finds the count and notifies.
        if self.position() <= position {
            self.raised
                .wait_while_for(&mut waiting, |_| self.position() <= position, timeout);
        }
        *waiting -= 1;
        self.position()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn a_waiter_is_woken_by_the_raise_that_passes_it() {
        let mark = Arc::new(Watermark::new(10));
        assert_eq!(mark.wait_for(9, Duration::from_secs(60)), 10);
        let waiter = std::thread::spawn({
            let mark = Arc::clone(&mark);
            move || mark.wait_for(20, Duration::from_secs(60))
        });
        mark.raise(20);
        mark.raise(21);
        assert_eq!(waiter.join().ok(), Some(21));
    }

    #[test]
    fn a_wait_ends() {
        assert_eq!(Watermark::new(5).wait_for(5, Duration::from_millis(1)), 5);
    }
}
