//! What is noted, and the bounded queue in which it waits to be written.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

/// Something that a trace tells of.
#[derive(Debug)]
pub(crate) enum Event {
    /// Messages were sent, or were refused.
    Sent(Sent),
    /// Messages were given to a group.
    Delivered(Delivered),
    /// A group has consumed a queue up to here.
    Committed {
        at_ms: i64,
        group: Arc<str>,
        topic: Arc<str>,
        queue_id: u32,
        /// The first offset that is not consumed.
        offset: u64,
    },
    /// Deliveries have ended one by one.
    Ended(Ended),
    /// A transaction was decided.
    Decided(Decided),
}

/// Messages of one send.
#[derive(Debug)]
pub(crate) struct Sent {
    /// When it came.
    pub(crate) at_ms: i64,
    /// How long it took until it was durable, or refused.
    pub(crate) cost_ms: i64,
    pub(crate) group: Box<str>,
    pub(crate) topic: Box<str>,
    pub(crate) client: SocketAddr,
    /// The kind of message, as a number of upstream's `MessageType`.
    pub(crate) kind: u8,
    pub(crate) stored: bool,
    pub(crate) messages: Vec<SentMessage>,
}

/// One of them.
#[derive(Debug, Default)]
pub(crate) struct SentMessage {
    pub(crate) id: Box<str>,
    pub(crate) tags: Box<str>,
    pub(crate) keys: Box<str>,
    pub(crate) body_size_bytes: usize,
    /// Where it is stored.
    pub(crate) position: u64,
}

/// Messages of one queue that were given to a group.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) at_ms: i64,
    pub(crate) group: Arc<str>,
    pub(crate) topic: Arc<str>,
    pub(crate) queue_id: u32,
    /// Whether the group says later what became of them.
    pub(crate) is_followed: bool,
    pub(crate) messages: Vec<DeliveredMessage>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct DeliveredMessage {
    pub(crate) offset: u64,
    pub(crate) id: Box<str>,
    pub(crate) keys: Box<str>,
    /// How often it was tried before.
    pub(crate) times: i32,
}

/// Deliveries that have ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) at_ms: i64,
    pub(crate) group: Arc<str>,
    pub(crate) topic: Arc<str>,
    pub(crate) queue_id: u32,
    pub(crate) offsets: Vec<u64>,
    pub(crate) outcome: Outcome,
}

/// What became of a delivery, as far as a broker can know. The numbers are those of upstream's `ConsumeReturnType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Acknowledged, or behind an offset that was committed.
    Success = 0,
    /// Its time was over; it is delivered again.
    TimedOut = 1,
    /// Sent back.
    Failed = 4,
}

/// A transaction that was decided.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) at_ms: i64,
    pub(crate) group: Box<str>,
    /// Where the half message is.
    pub(crate) position: u64,
    pub(crate) size_bytes: u32,
    pub(crate) committed: bool,
    /// Whether the producer was asked for it.
    pub(crate) from_check: bool,
}

impl Event {
    /// How many trace records it comes to at the most.
    pub(super) fn records(&self) -> u64 {
        match self {
            Self::Sent(sent) => sent.messages.len() as u64,
            Self::Delivered(delivered) => delivered.messages.len() as u64,
            Self::Ended(ended) => ended.offsets.len() as u64,
            Self::Committed { .. } | Self::Decided(_) => 1,
        }
    }

    /// About what it takes of memory.
    fn size_bytes(&self) -> usize {
        let more = match self {
            Self::Sent(sent) => {
                let text = |message: &SentMessage| message.id.len() + message.tags.len() + message.keys.len();
                let messages = sent.messages.iter();
                sent.group.len()
                    + sent.topic.len()
                    + messages
                        .map(|message| size_of::<SentMessage>() + text(message))
                        .sum::<usize>()
            }
            Self::Delivered(delivered) => delivered
                .messages
                .iter()
                .map(|message| size_of::<DeliveredMessage>() + message.id.len() + message.keys.len())
                .sum(),
            Self::Ended(ended) => size_of_val(ended.offsets.as_slice()),
            Self::Decided(decided) => decided.group.len(),
            Self::Committed { .. } => 0,
        };
        size_of::<Self>() + more
    }
}

/// Events that wait to be written.
#[derive(Debug)]
pub(super) struct Pending {
    events: VecDeque<Event>,
    size_bytes: usize,
    size_bytes_max: usize,
}

impl Pending {
    pub(super) fn new(size_bytes_max: usize) -> Self {
        Self {
            events: VecDeque::new(),
            size_bytes: 0,
            size_bytes_max,
        }
    }

    /// Takes an event if there is room: whether it did, and whether it made a quarter of what there may be.
    pub(super) fn push(&mut self, event: Event) -> (bool, bool) {
        let size_bytes = self.size_bytes + event.size_bytes();
        if size_bytes > self.size_bytes_max {
            return (false, false);
        }
        let was_much = self.is_much();
        self.size_bytes = size_bytes;
        self.events.push_back(event);
        (true, self.is_much() && !was_much)
    }

    /// Whether a quarter waits of what may.
    pub(super) fn is_much(&self) -> bool {
        self.size_bytes >= self.size_bytes_max / 4
    }

    /// The first of them.
    pub(super) fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if event.is_none() {
            // Whatever a burst took goes back.
            self.events = VecDeque::new();
        }
        self.size_bytes -= event.as_ref().map_or(0, Event::size_bytes);
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(offset: u64) -> Event {
        Event::Committed {
            at_ms: 0,
            group: "g".into(),
            topic: "t".into(),
            queue_id: 0,
            offset,
        }
    }

    #[test]
    fn no_more_waits_than_may() {
        let mut pending = Pending::new(8 * size_of::<Event>());
        let pushed: Vec<_> = (0..9).map(|offset| pending.push(commit(offset))).collect();
        assert_eq!(
            pushed.iter().position(|(_, much)| *much),
            Some(1),
            "a quarter, and said once"
        );
        assert_eq!(pushed.iter().position(|(took, _)| !took), Some(8));
        let mut left = 0;
        while let Some(Event::Committed { offset, .. }) = pending.pop() {
            assert_eq!(offset, left);
            left += 1;
        }
        assert_eq!((left, pending.size_bytes), (8, 0));
        assert!(pending.push(commit(9)).0);
    }
}
