//! What is out: the deliveries that wait for their acknowledgement, by group and queue.
//!
//! Everything durable in here changes in `apply_*` alone, in the log's order, so that a restart finds the same. What is on its
//! way to the log is only marked: a delivery that is being ended is not ended a second time, and a queue that is being popped is
//! not popped by anybody else.

mod block;
mod checkpoint;
mod deliveries;
mod ending;
mod name;
mod popping;

use std::fmt;

use parking_lot::Mutex;

use deliveries::Deliveries;
pub(super) use ending::Overdue;
pub(crate) use name::{GroupQueue, GroupQueueKey};
pub(super) use popping::{Begun, OutLimits};

/// Stands for a queue's block in the list of what is due: no message has this offset.
const BLOCK: u64 = u64::MAX;

/// Which delivery of a message is meant: acknowledging one says nothing of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) offset: u64,
    /// When it was handed out.
    pub(crate) pop_ms: i64,
    /// When it ends.
    pub(crate) due_ms: i64,
}

/// The deliveries of one broker.
#[derive(Default)]
pub(crate) struct DeliveryTable(Mutex<Deliveries>);

impl fmt::Debug for DeliveryTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} deliveries", self.0.lock().out)
    }
}

#[cfg(test)]
mod tests;
