//! Handles as text, which clients make out of an answer, keep in a property of the message, and send back.
//!
//! ```text
//! start offset, pop time, invisible time, revive queue, kind of topic, broker, queue, offset    with spaces between them
//! ```

use std::fmt::Write;

use kourou_broker::Text;
use kourou_broker::delivery::{Handle, Popped, PoppedQueue, RetryKind};
use kourou_proto::ResponseCode;

use crate::refusal::Refusal;

/// The property that has a message's handle.
pub(super) const POP_CK: &str = "POP_CK";
/// Stands in a handle for "in order".
pub(super) const REVIVE_QUEUE_ORDERED: i32 = 999;
/// Stands there for any other.
const REVIVE_QUEUE: i32 = 0;

/// What a handle says beside the place of its message, which requests name themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HandleText {
    pub(super) pop_ms: i64,
    pub(super) invisible_ms: i64,
    pub(super) revive_queue_id: i32,
}

impl HandleText {
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let mut fields = text.split(' ').skip(1);
        let mut parsed = || {
            Some(Self {
                pop_ms: fields.next()?.parse().ok()?,
                invisible_ms: fields.next()?.parse().ok()?,
                revive_queue_id: fields.next()?.parse().ok()?,
            })
        };
        parsed().ok_or_else(|| {
            let text: String = text.chars().take(100).collect();
            let what = "extraInfo is not what a pop was answered with; it must be the message's POP_CK";
            Refusal::new(ResponseCode::SYSTEM_ERROR, format!("{what}: {text:?}"))
        })
    }

    /// The handle of the message at that place.
    pub(super) fn of(self, group: &str, topic: &str, queue_id: i32, offset: i64) -> Handle {
        Handle {
            group: Text::from(group),
            topic: Text::from(topic),
            queue_id,
            offset,
            pop_ms: self.pop_ms,
            invisible_ms: self.invisible_ms,
            ordered: self.is_ordered(),
        }
    }

    pub(super) const fn is_ordered(self) -> bool {
        self.revive_queue_id == REVIVE_QUEUE_ORDERED
    }
}

pub(super) const fn revive_queue(ordered: bool) -> i32 {
    if ordered {
        REVIVE_QUEUE_ORDERED
    } else {
        REVIVE_QUEUE
    }
}

/// How handles name the kind of topic that a message is stored in.
pub(super) const fn retry_text(kind: RetryKind) -> &'static str {
    match kind {
        RetryKind::Normal => "0",
        RetryKind::V1 => "1",
        RetryKind::V2 => "2",
    }
}

/// The kind that a handle names.
pub(super) fn retry_kind(text: &str) -> Option<RetryKind> {
    match text {
        "0" => Some(RetryKind::Normal),
        "1" => Some(RetryKind::V1),
        "2" => Some(RetryKind::V2),
        _ => None,
    }
}

/// The handle of one message of a queue.
pub(super) fn text_of(popped: &Popped, queue: &PoppedQueue, offset: u64, broker_name: &str) -> String {
    let start = queue.messages.first().map_or(offset, |first| first.offset);
    let (pop_ms, invisible_ms) = (popped.pop_ms, popped.invisible_ms);
    let (revive, kind) = (revive_queue(popped.ordered), retry_text(queue.retry));
    let queue_id = queue.queue_id;
    format!("{start} {pop_ms} {invisible_ms} {revive} {kind} {broker_name} {queue_id} {offset}")
}

/// What an answer says of its messages, for clients to make handles of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Infos {
    pub(super) start_offsets: String,
    pub(super) offsets: String,
    pub(super) order_counts: String,
}

impl Infos {
    pub(super) fn of(popped: &Popped) -> Self {
        let mut infos = Self::default();
        for queue in &popped.queues {
            infos.push(queue, popped.ordered);
        }
        infos
    }

    fn push(&mut self, queue: &PoppedQueue, ordered: bool) {
        let Some(first) = queue.messages.first() else {
            return;
        };
        let (kind, queue_id) = (retry_text(queue.retry), queue.queue_id);
        for text in [&mut self.start_offsets, &mut self.offsets] {
            if !text.is_empty() {
                text.push(';');
            }
        }
        // Writing to a string does not fail.
        let _ = write!(self.start_offsets, "{kind} {queue_id} {}", first.offset);
        let _ = write!(self.offsets, "{kind} {queue_id} ");
        for (at, message) in queue.messages.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let _ = write!(self.offsets, "{comma}{}", message.offset);
        }
        if !ordered {
            return;
        }
        for message in queue.messages.iter().filter(|message| message.times > 0) {
            self.separate_count();
            let _ = write!(
                self.order_counts,
                "{kind} qo{queue_id}%{} {}",
                message.offset, message.times
            );
        }
        // Old clients look for a count by queue.
        let least = queue.messages.iter().map(|message| message.times).min();
        self.separate_count();
        let _ = write!(self.order_counts, "{kind} {queue_id} {}", least.unwrap_or(0));
    }

    fn separate_count(&mut self) {
        if !self.order_counts.is_empty() {
            self.order_counts.push(';');
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kourou_broker::delivery::PoppedMessage;

    use super::*;

    fn queue(retry: RetryKind, queue_id: u32, messages: &[(u64, u32)]) -> PoppedQueue {
        PoppedQueue {
            topic: "t".into(),
            retry,
            queue_id,
            messages: messages
                .iter()
                .map(|(offset, times)| PoppedMessage {
                    offset: *offset,
                    times: *times,
                    record: Bytes::new(),
                })
                .collect(),
        }
    }

    #[test]
    fn texts_are_those_that_clients_take_apart() {
        let mut popped = Popped {
            pop_ms: 7,
            invisible_ms: 60,
            ordered: false,
            rest: 0,
            queues: vec![
                queue(RetryKind::Normal, 3, &[(5, 0), (9, 2)]),
                queue(RetryKind::V2, 0, &[(1, 0)]),
            ],
        };
        let infos = Infos::of(&popped);
        assert_eq!(infos.start_offsets, "0 3 5;2 0 1");
        assert_eq!(infos.offsets, "0 3 5,9;2 0 1");
        assert_eq!(infos.order_counts, "");
        let text = text_of(&popped, &popped.queues[0], 9, "b");
        assert_eq!(text, "5 7 60 0 0 b 3 9");
        let parsed = HandleText::parse(&text).unwrap();
        assert_eq!(
            (parsed.pop_ms, parsed.invisible_ms, parsed.is_ordered()),
            (7, 60, false)
        );
        for bad in ["", "5 7 60", "5 x 60 0 0 b 3 9"] {
            assert!(HandleText::parse(bad).is_err(), "{bad}");
        }
        popped.ordered = true;
        assert_eq!(Infos::of(&popped).order_counts, "0 qo3%9 2;0 3 0;2 0 0");
        let ordered = HandleText::parse(&text_of(&popped, &popped.queues[1], 1, "b")).unwrap();
        assert!(ordered.is_ordered());
    }
}
