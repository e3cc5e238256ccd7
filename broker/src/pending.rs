//! What is still to happen to messages, by where they lie: for whoever carries a store over to another broker.

use std::sync::Arc;

use crate::broker::Broker;

/// A message that a group was given and has not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutMessage {
    /// The group.
    pub group: Arc<str>,
    /// The topic that it was popped from.
    pub topic: Arc<str>,
    /// The queue's number in it.
    pub queue_id: u32,
    /// The message's offset in the queue.
    pub offset: u64,
}

/// All of it, in no particular order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PendingMessages {
    /// Positions of the messages that wait for their time.
    pub timers: Vec<u64>,
    /// Positions of the half messages that nobody has decided.
    pub half_messages: Vec<u64>,
    /// Messages that are out. Those that are out in order are not among them: their group's offset has not passed them.
    pub out: Vec<OutMessage>,
}

impl Broker {
    /// What is still to happen to messages at this moment.
    pub fn pending_messages(&self) -> PendingMessages {
        PendingMessages {
            timers: self.state.timers.positions(),
            half_messages: self.state.transactions.places(),
            out: self.state.deliveries.out_messages(),
        }
    }
}
