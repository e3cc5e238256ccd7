//! Traces that the broker writes itself: of each message that it is sent, each delivery, and what came of it.
//!
//! ```text
//!  send, pull, pop, commit, ack, ... --Event--> pending, bounded; else dropped and counted
//!                                                  | tick
//!                                                  v
//!          lines in the format of Apache's clients --> messages of the trace topic, under ids and keys --> the log
//! ```
//!
//! Whoever does something only notes it: names, ids and keys, under a lock that is held for as long as it takes to move them. Lines
//! are made, and what was delivered is matched with what became of it, by whoever calls [`Broker::tick`](crate::Broker::tick). No
//! request waits for its trace, none fails for it, and nothing is read from the disk.
//!
//! Of the trace topic and of the system's topics nothing is noted.

mod batch;
mod event;
mod follow;
mod line;
mod note;
mod write;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kourou_engine::clock::Clock;
use parking_lot::Mutex;

pub(crate) use event::{Decided, Event, Outcome, Sent, SentMessage};
pub(crate) use note::SendTrace;

use crate::options::BrokerOptions;
use crate::state::State;
use event::Pending;
use follow::Following;

/// What became of the broker's traces, in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceCounts {
    /// Written: they are durable.
    pub written: u64,
    /// Dropped, because too many waited to be written or the log took none.
    pub dropped: u64,
    /// Outcomes of deliveries that are not remembered: too many were under way, or they were made before the broker started.
    pub unfollowed: u64,
}

/// What waits to be written, and what is followed.
pub(crate) struct Traces {
    clock: Arc<dyn Clock>,
    /// Knows who is to be woken.
    state: Arc<State>,
    pending: Mutex<Pending>,
    /// Held by whoever writes.
    following: Mutex<Following>,
    in_flight_size_bytes: AtomicU64,
    written: AtomicU64,
    dropped: AtomicU64,
    unfollowed: AtomicU64,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "traces: {:?}", self.counts())
    }
}

impl Traces {
    pub(crate) fn new(options: &BrokerOptions, clock: Arc<dyn Clock>, state: Arc<State>) -> Self {
        let limits = &options.limits;
        Self {
            clock,
            state,
            pending: Mutex::new(Pending::new(limits.traces_pending_size_bytes_max)),
            following: Mutex::new(Following::new(limits.traced_deliveries_max)),
            in_flight_size_bytes: AtomicU64::new(0),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            unfollowed: AtomicU64::new(0),
        }
    }

    /// Notes what happened; dropped and counted if too much waits to be written.
    fn note(&self, event: Event) {
        let records = event.records();
        let (took, is_much) = self.pending.lock().push(event);
        if !took {
            self.dropped.fetch_add(records, Ordering::Relaxed);
        }
        if is_much && let Some(listener) = self.state.listener.get() {
            // Before its time.
            listener.timer_due(self.clock.now_ms());
        }
    }

    /// Whether so much waits that it should be written before its time.
    pub(crate) fn has_much(&self) -> bool {
        self.pending.lock().is_much()
    }

    fn counts(&self) -> TraceCounts {
        TraceCounts {
            written: self.written.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            unfollowed: self.unfollowed.load(Ordering::Relaxed),
        }
    }
}
