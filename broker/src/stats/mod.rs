//! Figures for administrators: how far topics are written and groups have consumed.

mod spans;

use std::sync::Arc;

pub use spans::{QueueEntries, TimeSpan};

use crate::broker::Broker;
use crate::queue::{QueueKey, QueueName};

/// Where one queue of a topic stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueStats {
    /// The queue.
    pub queue: QueueName,
    /// First offset.
    pub min_offset: u64,
    /// One past the last offset.
    pub max_offset: u64,
    /// When the last message was stored; 0 without one.
    pub last_store_ms: i64,
}

/// How far a group has consumed one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueProgress {
    /// The queue.
    pub queue: QueueName,
    /// One past the last offset of the queue.
    pub broker_offset: u64,
    /// What the group has committed; the start of the queue without a commit.
    pub consumer_offset: u64,
    /// When the last consumed message was stored; 0 if that is not known.
    pub last_store_ms: i64,
}

impl QueueProgress {
    /// Messages that are not consumed.
    pub fn lag(&self) -> u64 {
        self.broker_offset.saturating_sub(self.consumer_offset)
    }
}

impl Broker {
    /// Where the queues of a topic stand; `None` if there is no such topic.
    pub fn topic_stats(&self, topic: &str) -> Option<Vec<QueueStats>> {
        let config = self.state.topics.get(topic)?;
        let queues = config.write_queues.max(config.read_queues);
        let stats = |queue_id| {
            let (min_offset, max_offset) =
                (self.min_offset(topic, queue_id), self.max_offset(topic, queue_id));
            let last = max_offset
                .checked_sub(1)
                .and_then(|last| self.entry(topic, queue_id, last));
            QueueStats {
                queue: QueueName {
                    topic: config.name.clone(),
                    queue_id,
                },
                min_offset,
                max_offset,
                last_store_ms: last.map_or(0, |entry| entry.store_ms),
            }
        };
        Some((0..queues).map(stats).collect())
    }

    /// How far a group has consumed, in one topic or in all in which it has offsets and which its members, if there are any,
    /// still subscribe to.
    pub fn consume_stats(&self, group: &str, topic: Option<&str>) -> Vec<QueueProgress> {
        let topics: Vec<Arc<str>> = match topic {
            Some(topic) => vec![topic.into()],
            None => self.state.offsets.topics_of(group),
        };
        let members = self.clients.consumer_connections(group);
        let is_consumed = |topic: &str| {
            members.as_ref().is_none_or(|members| {
                members.subscriptions.is_empty() || members.subscriptions.iter().any(|one| one.topic == topic)
            })
        };
        let mut progress = Vec::new();
        for topic in topics.iter().filter(|topic| is_consumed(topic)) {
            let Some(config) = self.state.topics.get(topic) else {
                continue;
            };
            progress.extend((0..config.read_queues).map(|queue_id| {
                let committed = self.state.offsets.get(group, topic, queue_id);
                let committed = committed.and_then(|offset| u64::try_from(offset).ok());
                let start = || self.state.floors.get(QueueKey { topic, queue_id });
                let consumer_offset = committed.unwrap_or_else(start);
                let last = consumer_offset
                    .checked_sub(1)
                    .and_then(|last| self.entry(topic, queue_id, last));
                QueueProgress {
                    queue: QueueName {
                        topic: config.name.clone(),
                        queue_id,
                    },
                    broker_offset: self.max_offset(topic, queue_id),
                    consumer_offset,
                    last_store_ms: last.map_or(0, |entry| entry.store_ms),
                }
            }));
        }
        progress.sort_unstable_by(|a, b| a.queue.cmp(&b.queue));
        progress
    }

    /// The groups that consume a topic: by their offsets or by their members' subscriptions.
    pub fn groups_of_topic(&self, topic: &str) -> Vec<Arc<str>> {
        let mut groups = self.state.offsets.groups_of(topic);
        groups.extend(self.clients.groups_subscribed_to(topic));
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// The topics that a group has offsets in.
    pub fn topics_of_group(&self, group: &str) -> Vec<Arc<str>> {
        let mut topics = self.state.offsets.topics_of(group);
        topics.sort_unstable();
        topics
    }
}
