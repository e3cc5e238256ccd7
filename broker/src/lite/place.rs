//! Where a message of a lite topic goes.

use std::sync::Arc;

use super::LiteTable;
use crate::state::State;

/// There are as many lite topics as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) topics_max: usize,
}

/// A message on its way to a lite topic. While it lives, the lite topic's queue is nobody else's.
pub(crate) struct InFlight {
    state: Arc<State>,
    topic: Arc<str>,
    queue_id: u32,
}

impl std::fmt::Debug for InFlight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a message to {} of {}", self.queue_id, self.topic)
    }
}

impl InFlight {
    /// The queue of a lite topic, for one message; a lite topic that is not there is made by it.
    pub(crate) fn begin(state: &Arc<State>, topic: &Arc<str>, lite_topic: &str) -> Result<Self, Full> {
        let queue_id = state.lite.begin_send(topic, lite_topic)?;
        Ok(Self {
            state: state.clone(),
            topic: topic.clone(),
            queue_id,
        })
    }

    pub(crate) fn queue_id(&self) -> u32 {
        self.queue_id
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.state.lite.end_send(&self.topic, self.queue_id);
    }
}

impl LiteTable {
    fn begin_send(&self, topic: &str, lite_topic: &str) -> Result<u32, Full> {
        let mut lites = self.lock();
        let is_full = lites.topics >= self.topics_max;
        let parent = lites.parent(topic);
        let is_there = || {
            parent
                .entries
                .get(lite_topic)
                .is_some_and(|entry| entry.queue_id.is_some())
        };
        if is_full && !is_there() {
            return Err(Full {
                topics_max: self.topics_max,
            });
        }
        let (queue_id, is_new) = parent.begin_send(lite_topic);
        lites.topics += usize::from(is_new);
        Ok(queue_id)
    }

    fn end_send(&self, topic: &str, queue_id: u32) {
        let mut lites = self.lock();
        if lites.parent(topic).end_send(queue_id) {
            lites.topics -= 1;
        }
        lites.forget_unused(topic);
    }
}
