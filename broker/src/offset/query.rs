//! Asking for offsets: committed ones, and those of the queues themselves.

use kourou_engine::record::RecordView;
use kourou_engine::{Boundary, IndexEntry, QueueRange};

use crate::broker::Broker;
use crate::queue::QueueKey;

impl Broker {
    /// Where a group goes on in a queue, or begins: the committed offset; else, if `zero_if_not_found`, the start (0) when the
    /// queue still has its first entry and that is in memory, so that a new group on a young topic misses nothing; else nothing, and the
    /// client decides. In memory means: in the tail cache, or within [`crate::BrokerOptions::young_log_size_bytes`] of the end
    /// of the log.
    pub fn committed_offset(
        &self,
        group: &str,
        topic: &str,
        queue_id: u32,
        zero_if_not_found: bool,
    ) -> Option<i64> {
        if let Some(offset) = self.state.offsets.get(group, topic, queue_id) {
            return Some(offset);
        }
        zero_if_not_found
            .then(|| self.young_start(topic, queue_id))
            .flatten()
    }

    /// The first offset of a queue that has lost none and is in memory.
    fn young_start(&self, topic: &str, queue_id: u32) -> Option<i64> {
        let start = self.state.floors.get(QueueKey { topic, queue_id });
        let first = self
            .queue_range(topic, queue_id)
            .filter(|range| range.min == start)
            .and_then(|range| self.entry(topic, queue_id, range.min))?;
        let from_end = self.engine.watermark().saturating_sub(first.position);
        let in_memory = from_end <= self.options.young_log_size_bytes || self.engine.is_hot(first.position);
        in_memory.then(|| i64::try_from(start).ok()).flatten()
    }

    /// The readable offsets of a queue, without those of a topic of that name that was deleted; `None` if nothing was ever
    /// stored in it.
    pub(crate) fn queue_range(&self, topic: &str, queue_id: u32) -> Option<QueueRange> {
        let range = self.engine.queue_range(topic, queue_id)?;
        let floor = self.state.floors.get(QueueKey { topic, queue_id });
        Some(QueueRange {
            min: range.min.max(floor).min(range.max),
            ..range
        })
    }

    /// One past the last offset of a queue; 0 if it was never written.
    pub fn max_offset(&self, topic: &str, queue_id: u32) -> u64 {
        self.queue_range(topic, queue_id).map_or(0, |range| range.max)
    }

    /// The first offset of a queue; 0 if it was never written.
    pub fn min_offset(&self, topic: &str, queue_id: u32) -> u64 {
        self.queue_range(topic, queue_id).map_or(0, |range| range.min)
    }

    /// The offset of the message that was stored at `store_ms` or next to it on the side of `boundary`; the end of the queue
    /// if all are older.
    pub fn offset_by_time(&self, topic: &str, queue_id: u32, store_ms: i64, boundary: Boundary) -> u64 {
        self.engine
            .offset_by_time(topic, queue_id, store_ms, boundary)
            .unwrap_or_else(|| self.max_offset(topic, queue_id))
            .max(self.min_offset(topic, queue_id))
    }

    /// When the oldest message of a queue was stored; `None` if it holds none.
    pub fn earliest_store_ms(&self, topic: &str, queue_id: u32) -> Option<i64> {
        let min = self.queue_range(topic, queue_id)?.min;
        self.entry(topic, queue_id, min).map(|entry| entry.store_ms)
    }

    /// The record of a message at a position in the log, as stored. May block on the disk.
    ///
    /// # Errors
    /// If there is no record there, or it cannot be read.
    pub fn record_at(&self, position: u64) -> Result<bytes::Bytes, kourou_engine::ReadError> {
        let record = self.engine.read_at(position)?;
        match RecordView::parse(&record) {
            Ok(view) if view.indexed() => Ok(record),
            // State records are nobody's messages.
            _ => Err(kourou_engine::ReadError::Outside {
                position,
                first: self.engine.first_position(),
                end: self.engine.watermark(),
            }),
        }
    }

    pub(crate) fn entry(&self, topic: &str, queue_id: u32, offset: u64) -> Option<IndexEntry> {
        let mut found = Vec::with_capacity(1);
        self.engine.entries(topic, queue_id, offset, 1, &mut found);
        found
            .first()
            .copied()
            .filter(|entry| entry.queue_offset == offset)
    }
}
