//! How far groups are, in time and compared with each other.

use std::collections::BTreeMap;

use kourou_engine::IndexEntry;

use crate::broker::Broker;
use crate::queue::QueueName;

/// Most entries of a queue that are shown at once.
const ENTRIES_MAX: usize = 1_000;

/// The times of one queue and of a group in it, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeSpan {
    /// The queue.
    pub queue: QueueName,
    /// When its first message was stored; `None` if it holds none.
    pub first_ms: Option<i64>,
    /// When its last message was stored.
    pub last_ms: Option<i64>,
    /// When the message was stored that the group consumed last; that of the first one if it has consumed none.
    pub consumed_ms: Option<i64>,
    /// For how long the next message waits for the group; 0 if there is none.
    pub waits_ms: i64,
}

/// Entries of a queue as they are indexed.
#[derive(Debug, Clone)]
pub struct QueueEntries {
    /// First offset of the queue.
    pub min_offset: u64,
    /// One past the last offset of the queue.
    pub max_offset: u64,
    /// The entries, in order; a thousand at the most.
    pub entries: Vec<IndexEntry>,
}

impl Broker {
    /// The times of a topic's queues, as `group` sees them; `None` if there is no such topic.
    pub fn time_spans(&self, topic: &str, group: &str) -> Option<Vec<TimeSpan>> {
        let config = self.state.topics.get(topic)?;
        let now_ms = self.clock.now_ms();
        let span = |queue_id| {
            let stored_ms = |offset| self.entry(topic, queue_id, offset).map(|entry| entry.store_ms);
            let (min, max) = (self.min_offset(topic, queue_id), self.max_offset(topic, queue_id));
            let committed = self.state.offsets.get(group, topic, queue_id);
            let next = committed
                .and_then(|offset| u64::try_from(offset).ok())
                .unwrap_or(min);
            let first_ms = stored_ms(min);
            TimeSpan {
                queue: QueueName {
                    topic: config.name.clone(),
                    queue_id,
                },
                first_ms,
                last_ms: max.checked_sub(1).and_then(stored_ms),
                consumed_ms: next.checked_sub(1).and_then(stored_ms).or(first_ms),
                waits_ms: stored_ms(next).map_or(0, |stored_ms| now_ms.saturating_sub(stored_ms)),
            }
        };
        Some((0..config.write_queues).map(span).collect())
    }

    /// The entries of a queue from an offset on; `None` if it was never written.
    pub fn queue_entries(&self, topic: &str, queue_id: u32, from: u64, count: usize) -> Option<QueueEntries> {
        let range = self.queue_range(topic, queue_id)?;
        let mut entries = Vec::new();
        if (range.min..range.max).contains(&from) {
            let count = count.min(ENTRIES_MAX);
            self.engine.entries(topic, queue_id, from, count, &mut entries);
        }
        Some(QueueEntries {
            min_offset: range.min,
            max_offset: range.max,
            entries,
        })
    }

    /// By queue, the lowest offset that any group but `without` has in a topic. Offsets of messages that are gone do not count.
    /// Where `compared` is not ahead of it, there is nothing to correct, which `i64::MAX` says.
    pub fn correction_offsets(&self, topic: &str, without: &[&str], compared: &str) -> BTreeMap<u32, i64> {
        let mut lowest: BTreeMap<u32, i64> = BTreeMap::new();
        for group in self.state.offsets.groups_of(topic) {
            if without.contains(&&*group) {
                continue;
            }
            for (queue_id, offset) in self.state.offsets.queues_of(&group, topic) {
                if offset >= self.min_offset(topic, queue_id) {
                    let offset = i64::try_from(offset).unwrap_or(i64::MAX);
                    let lowest = lowest.entry(queue_id).or_insert(offset);
                    *lowest = offset.min(*lowest);
                }
            }
        }
        for (queue_id, offset) in self.state.offsets.queues_of(compared, topic) {
            let offset = i64::try_from(offset).unwrap_or(i64::MAX);
            if let Some(lowest) = lowest.get_mut(&queue_id)
                && *lowest > offset
            {
                *lowest = i64::MAX;
            }
        }
        lowest
    }
}
