//! What is promised, and what it looks like when a promise is broken.

use std::fmt;

/// A promise that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// Acknowledged is durable: it can be read where the answer said, after whatever happened since.
    AcknowledgedIsDurable,
    /// What anybody was given is durable.
    VisibleIsDurable,
    /// After a failed write nothing is acknowledged until the store was opened again.
    NothingAfterAFailedWrite,
    /// What is read is what was written, or an error.
    NothingWrongIsServed,
    /// A place in a queue holds one message, for ever; queues have no gaps; a producer's order is kept.
    OrderOfQueues,
    /// A message that was tried several times is stored once.
    StoredOnce,
    /// Committed offsets do not go back further than one flush, and are never ahead of what was committed.
    OffsetsStay,
    /// A timer is never early, comes once, and does not come once it was recalled.
    Timers,
    /// Rolled back is never visible; committed is visible once.
    Transactions,
    /// Acknowledged is never handed out again, all else is; attempts are counted; nobody else has it meanwhile.
    Deliveries,
    /// One member at a time has a queue that is consumed in order.
    Locks,
    /// A batch is stored as a whole and in one piece, or not at all.
    Batches,
    /// Of a lite topic a group is given nothing while something before it is not done with, and clients are given only what they
    /// subscribe to.
    LiteTopics,
    /// A message is where its priority belongs, and whoever receives by priority gets the most urgent first.
    Priorities,
    /// What was given up is among the dead letters, once.
    DeadLetters,
    /// What is refused is refused for what it is, or for a limit that was reached; nothing else is taken.
    Refusals,
    /// A client that waits for a reply has it if the one who replies is told so.
    Replies,
    /// Whoever is there is a member, and nobody else; queues are shared out among the members as was set.
    Members,
    /// A start reads a bounded part of the log.
    BoundedRestart,
    /// Whatever was acknowledged is received by every group, and everything comes to an end.
    Progress,
    /// What clients see of a queue is what a queue that handles one request after the other could have answered.
    Linearizable,
    /// A store that was not damaged opens.
    Opens,
    /// The broker does not panic.
    NoPanic,
    /// One seed gives one history.
    Determinism,
}

/// A promise was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// When, in milliseconds from the beginning.
    pub at_ms: i64,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {} ms: {}", self.promise, self.at_ms, self.what)
    }
}

impl std::error::Error for Violation {}
