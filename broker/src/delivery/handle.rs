//! What a consumer says of a message that it was given.

use crate::text::Text;

/// Names one delivery of one message. How it looks as text is the frontend's affair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handle {
    /// The consumer group.
    pub group: Text,
    /// The topic that the message is stored in; a retry topic, if it came from there.
    pub topic: Text,
    /// The queue.
    pub queue_id: i32,
    /// The message's offset.
    pub offset: i64,
    /// When it was handed out.
    pub pop_ms: i64,
    /// For how long.
    pub invisible_ms: i64,
    /// Whether in order.
    pub ordered: bool,
}

impl Handle {
    /// When the delivery ends.
    pub fn due_ms(&self) -> i64 {
        self.pop_ms.saturating_add(self.invisible_ms.max(0))
    }
}
