//! Deliveries: messages that are handed out for a time and acknowledged one by one.
//!
//! ```text
//!   queue --pop, durable before it is answered--> out --ack, durable before it is answered--> done
//!                                                 | ^ \-- change of its time --> out, under a new handle
//!                                  time is over   | |
//!                                                 v | pop
//!              the message once more, in the group's retry topic; tried too often: in its dead-letter topic
//! ```
//!
//! There is one state machine per group and queue, and it is kept as all state is: its changes are records of the log, a view
//! applies them, a checkpoint carries them. A pop moves the group's offset and says what is out, in one record. Whoever gets the
//! answer may acknowledge, also after a crash.
//!
//! A delivery that is not acknowledged in its time is ended by **one append**: the message itself, in the retry topic of the group,
//! with one attempt more counted in it, and a property that says which delivery it ends. Applying it removes that delivery, so a crash
//! leaves it out or delivered again, never both, and attempts are counted exactly. It is appended again rather than handed out again
//! where it lies because that is what clients look for: a consumer that goes back to pulling pulls the retry topic.
//!
//! A delivery whose message is about to expire is waited for, a while; then its message is delivered again early: `let_go.rs`.
//!
//! Consumers in order get the same messages again instead, where they lie, with their count beside them: `order.rs`.

mod bury;
mod end;
mod error;
mod handle;
mod hold;
mod inner;
mod let_go;
mod look;
mod order;
mod pop;
mod record;
mod redeliver;
mod retry;
mod table;

use std::sync::Arc;

use bytes::Bytes;

pub use end::{AckOutcome, Changed};
pub use error::{DeliveryError, PopError};
pub use handle::Handle;
pub(crate) use hold::PopHolds;
pub use hold::{PopHold, PopHoldGuard, Waiter};
pub use look::{PeekRequest, Peeked};
pub use pop::{PopStep, Reading, TakenPop};
pub(crate) use record::{ACKED_IN_ORDER, Applied, CHANGED, CHANGED_IN_ORDER, ENDED, POPPED, POPPED_IN_ORDER};
pub use retry::RetryKind;
pub(crate) use retry::{RETRY_OF, RetryOf};
pub(crate) use table::{DeliveryTable, GroupQueue, GroupQueueKey};

use crate::receive::InlineSubscription;
use crate::text::Text;

/// Where a group begins in a queue that it has never consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PopStart {
    /// At the first message.
    #[default]
    Min,
    /// At the last message; at the first, if the queue is young and still in memory.
    Max,
}

/// One pop, as any frontend has it.
#[derive(Debug, Clone)]
pub struct PopRequest {
    /// The consumer group.
    pub group: Text,
    /// The topic.
    pub topic: Text,
    /// The queue; below 0 for any.
    pub queue_id: i32,
    /// Messages wanted at the most.
    pub messages_max: i32,
    /// For how long nobody else gets them.
    pub invisible_ms: i64,
    /// Where a new group begins.
    pub start: PopStart,
    /// Which messages are wanted.
    pub subscription: InlineSubscription,
    /// Whether a queue's messages go to one consumer at a time, in their order.
    pub ordered: bool,
    /// Names the attempt, for a consumer in order that asks again because it heard no answer. Empty for none.
    pub attempt_id: Text,
}

/// What a pop handed out. It is durable.
#[derive(Debug, Clone)]
pub struct Popped {
    /// When.
    pub pop_ms: i64,
    /// For how long.
    pub invisible_ms: i64,
    /// Whether in order.
    pub ordered: bool,
    /// Messages that were there beside these, as far as somebody looked.
    pub rest: u64,
    /// The messages, by queue; none if somebody else set the group's offset meanwhile, who pops again finds them.
    pub queues: Vec<PoppedQueue>,
}

impl Popped {
    /// What its consumer says of one of the messages that `group` was given.
    pub fn handle(&self, group: &Text, queue: &PoppedQueue, message: &PoppedMessage) -> Handle {
        Handle {
            group: group.clone(),
            topic: Text::from(&*queue.topic),
            queue_id: i32::try_from(queue.queue_id).unwrap_or(i32::MAX),
            offset: i64::try_from(message.offset).unwrap_or(i64::MAX),
            pop_ms: self.pop_ms,
            invisible_ms: self.invisible_ms,
            ordered: self.ordered,
        }
    }

    /// The handles of all its messages, in their order.
    pub fn handles(&self, group: &Text) -> impl Iterator<Item = Handle> {
        let all = self
            .queues
            .iter()
            .flat_map(|queue| queue.messages.iter().map(move |message| (queue, message)));
        all.map(|(queue, message)| self.handle(group, queue, message))
    }
}

/// What a pop handed out of one queue.
#[derive(Debug, Clone)]
pub struct PoppedQueue {
    /// The topic that the messages are stored in: the one that was asked for, or a retry topic of it.
    pub topic: Arc<str>,
    /// Which of those it is.
    pub retry: RetryKind,
    /// The queue.
    pub queue_id: u32,
    /// The messages.
    pub messages: Vec<PoppedMessage>,
}

/// One message that was handed out.
#[derive(Debug, Clone)]
pub struct PoppedMessage {
    /// Its offset.
    pub offset: u64,
    /// How often a consumer in order has been given it before. Otherwise the record itself says it.
    pub times: u32,
    /// The record, as stored.
    pub record: Bytes,
}
