//! Names of queues, owned and borrowed.

use std::sync::Arc;

use hashbrown::Equivalent;

/// One queue of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueName {
    /// The topic.
    pub topic: Arc<str>,
    /// The queue's number in it.
    pub queue_id: u32,
}

/// A borrowed [`QueueName`]; finds an owned one in a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QueueKey<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The queue's number in it.
    pub queue_id: u32,
}

impl QueueName {
    /// The same name, borrowed.
    pub fn key(&self) -> QueueKey<'_> {
        QueueKey {
            topic: &self.topic,
            queue_id: self.queue_id,
        }
    }
}

impl QueueKey<'_> {
    pub(crate) fn to_name(self) -> QueueName {
        QueueName {
            topic: self.topic.into(),
            queue_id: self.queue_id,
        }
    }
}

impl Equivalent<QueueName> for QueueKey<'_> {
    fn equivalent(&self, name: &QueueName) -> bool {
        self.queue_id == name.queue_id && *self.topic == *name.topic
    }
}
