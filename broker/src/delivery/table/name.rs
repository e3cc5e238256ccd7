//! Whose delivery of which queue.

use std::sync::Arc;

use hashbrown::Equivalent;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct GroupQueue {
    pub(crate) group: Arc<str>,
    pub(crate) topic: Arc<str>,
    pub(crate) queue_id: u32,
}

/// A borrowed [`GroupQueue`]; finds an owned one in a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct GroupQueueKey<'a> {
    pub(crate) group: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) queue_id: u32,
}

impl GroupQueue {
    pub(crate) fn key(&self) -> GroupQueueKey<'_> {
        GroupQueueKey {
            group: &self.group,
            topic: &self.topic,
            queue_id: self.queue_id,
        }
    }
}

impl GroupQueueKey<'_> {
    pub(crate) fn to_owned_name(self) -> GroupQueue {
        GroupQueue {
            group: self.group.into(),
            topic: self.topic.into(),
            queue_id: self.queue_id,
        }
    }
}

impl Equivalent<GroupQueue> for GroupQueueKey<'_> {
    fn equivalent(&self, name: &GroupQueue) -> bool {
        self.queue_id == name.queue_id && *self.topic == *name.topic && *self.group == *name.group
    }
}
