//! What is going to happen, in order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::faults::Fault;
use crate::wire::{ClientId, Reply, Request, RequestId, Told};

/// One thing that happens.
#[derive(Debug)]
pub enum Event {
    /// A client begins.
    Begin(ClientId),
    /// A client's own reminder.
    Reminder(ClientId, u64),
    /// A request reaches the broker, on the connection of that number.
    Arrives {
        /// Who asks.
        client: ClientId,
        /// Over which connection.
        connection: u64,
        /// Under which number.
        id: RequestId,
        /// What.
        request: Box<Request>,
    },
    /// An answer reaches a client.
    Answered(RequestId, Box<Reply>),
    /// A client has waited long enough for an answer.
    GivenUp(RequestId),
    /// Something reaches a client that it did not ask for.
    Told(ClientId, u64, Box<Told>),
    /// A held request has waited long enough.
    HoldEnds(u64),
    /// The log's writer runs.
    Write,
    /// The broker's periodic work.
    Work,
    /// Something goes wrong.
    Fault(Fault),
    /// What went wrong is over.
    FaultEnds(Fault),
    /// The broker is started.
    Start,
    /// Nothing goes wrong any more; everybody finishes.
    Drain,
    /// Has everybody finished?
    Finished,
}

/// The events that are to come. Of two at the same moment the first that was planned comes first.
#[derive(Debug, Default)]
pub struct Schedule {
    order: BinaryHeap<Reverse<(i64, u64)>>,
    events: BTreeMap<u64, Event>,
    next: u64,
}

impl Schedule {
    /// Something is to happen.
    pub fn at(&mut self, at_ms: i64, event: Event) {
        self.order.push(Reverse((at_ms, self.next)));
        self.events.insert(self.next, event);
        self.next += 1;
    }

    /// What happens next, and when.
    pub fn next(&mut self) -> Option<(i64, Event)> {
        let Reverse((at_ms, number)) = self.order.pop()?;
        Some((at_ms, self.events.remove(&number)?))
    }
}
