//! Calls that wait for their answers, by number.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, Ordering};

use kourou_proto::Command;
use parking_lot::Mutex;

/// What an answer is given to. Dropped without one when the connection ends.
pub(super) type Waiter = Box<dyn FnOnce(Command) + Send>;

#[derive(Default)]
pub(super) struct Pending {
    next_opaque: AtomicI32,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    waiters: HashMap<i32, Waiter>,
    closed: bool,
}

impl Pending {
    /// A number for a request, not in use.
    pub(super) fn next_opaque(&self) -> i32 {
        self.next_opaque.fetch_add(1, Ordering::Relaxed)
    }

    /// Remembers a call; false, with the waiter dropped, if the connection has ended.
    pub(super) fn add(&self, opaque: i32, waiter: Waiter) -> bool {
        let mut calls = self.calls.lock();
        if calls.closed {
            return false;
        }
        calls.waiters.insert(opaque, waiter);
        true
    }

    pub(super) fn remove(&self, opaque: i32) {
        let waiter = self.calls.lock().waiters.remove(&opaque);
        drop(waiter);
    }

    /// Gives an answer to whoever waits. One that nobody waits for any more is dropped.
    pub(super) fn complete(&self, answer: Command) {
        let waiter = self.calls.lock().waiters.remove(&answer.opaque());
        match waiter {
            Some(waiter) => waiter(answer),
            None => tracing::trace!(opaque = answer.opaque(), "a late answer"),
        }
    }

    /// Ends every call.
    pub(super) fn close(&self) {
        let waiters = {
            let mut calls = self.calls.lock();
            calls.closed = true;
            std::mem::take(&mut calls.waiters)
        };
        drop(waiters);
    }
}
