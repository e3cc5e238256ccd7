//! Delivering timers that are due.

use std::sync::Arc;

use bytes::Bytes;
use kourou_engine::record::{EncodeError, EncodedRecords, RecordError, RecordView};
use kourou_engine::{IndexEntry, ReadError};

use super::sorted::Timer;
use crate::again::AGAIN_LIMITS;
use crate::broker::Broker;
use crate::name::TIMER_TOPIC;
use crate::property::{self, REAL_QID, REAL_TOPIC};

/// Deliveries that are appended together: they share what an append costs beside its bytes. A larger one goes alone.
const TOGETHER_MAX: usize = 64;
const TOGETHER_SIZE_BYTES_MAX: u64 = 32 << 10;
/// About what a delivery is longer than its timer.
const DELIVERY_MORE_SIZE_BYTES: u64 = 128;

impl Broker {
    /// Starts delivering the timers that are due. Returns when it should be called next; `None` if no timer waits. A timer
    /// that is added later and is due earlier is told to [`crate::topic::Listener::timer_due`].
    ///
    /// May block on the disk, for records that are no longer in memory; must not run on the engine's writer thread.
    pub fn deliver_due(self: &Arc<Self>) -> Option<i64> {
        let _one_at_a_time = self.deliveries.lock();
        let now_ms = self.clock.now_ms();
        let (timers, limits) = (&self.state.timers, &self.options.limits);
        let due = timers.take_due(
            now_ms,
            limits.timers_in_flight_max,
            limits.timers_taken_size_bytes_max,
        );
        // A few at a time, so that the first need not wait until the last has been read.
        for some in due.chunks(limits.timers_read_max.max(1)) {
            self.deliver(some, now_ms);
        }
        // With as many in flight as may be, the next one is overdue: ask again soon.
        timers.next_due_ms().map(|next_ms| next_ms.max(now_ms + 1))
    }

    /// Messages that wait for their time.
    pub fn timers_pending(&self) -> usize {
        self.state.timers.pending()
    }

    /// When the next timer is due.
    pub fn next_timer_ms(&self) -> Option<i64> {
        self.state.timers.next_due_ms()
    }

    /// Whether one more message may wait; the limit if not.
    pub(crate) fn check_room_for_timer(&self) -> Result<(), usize> {
        let max_timers = self.options.limits.timers_max;
        if self.state.timers.pending() < max_timers {
            Ok(())
        } else {
            Err(max_timers)
        }
    }

    /// Appends the deliveries of these, in this order.
    fn deliver(self: &Arc<Self>, due: &[Timer], now_ms: i64) {
        let mut together = Together::default();
        for (timer, read) in due.iter().zip(self.read_timers(due)) {
            let position = timer.position;
            let size_bytes = read.as_ref().map_or(0, Bytes::len) as u64;
            if !together.has_room(size_bytes + DELIVERY_MORE_SIZE_BYTES) {
                self.append_deliveries(std::mem::take(&mut together));
            }
            let put = read
                .map_err(Undeliverable::Read)
                .and_then(|bytes| self.put_delivery(&mut together.records, &bytes, now_ms));
            match put {
                Ok(()) => together.positions.push(position),
                Err(why) => {
                    tracing::error!(position, due_ms = timer.due_ms, %why, "a delayed message cannot be delivered; it stays in the log");
                    self.state.timers.park(position);
                }
            }
        }
        if !together.positions.is_empty() {
            self.append_deliveries(together);
        }
    }

    /// The records of these timers, each or why it cannot be read. What lies together on the disk is read together.
    pub(super) fn read_timers(&self, timers: &[Timer]) -> Vec<Result<Bytes, ReadError>> {
        let mut by_position: Vec<usize> = (0..timers.len()).collect();
        by_position.sort_unstable_by_key(|at| timers[*at].position);
        let entries: Vec<IndexEntry> = by_position.iter().map(|at| entry_of(&timers[*at])).collect();
        let mut records = Vec::with_capacity(timers.len());
        let mut failed = Vec::new();
        while let Some(entry) = entries.get(records.len()) {
            let done = records.len();
            // A size that is not known is found at the record's head.
            let read = if entry.size_bytes == 0 {
                self.engine
                    .read_at(entry.position)
                    .map(|record| records.push(record))
            } else {
                let known = entries[done..]
                    .iter()
                    .take_while(|entry| entry.size_bytes > 0)
                    .count();
                self.engine.read_many(&entries[done..done + known], &mut records)
            };
            if let Err(error) = read {
                failed.push((records.len(), error));
                records.push(Bytes::new());
            }
        }
        let mut read: Vec<Result<Bytes, ReadError>> = records.into_iter().map(Ok).collect();
        for (at, error) in failed {
            read[at] = Err(error);
        }
        // Back into the order in which they are due.
        let mut in_order: Vec<(usize, Result<Bytes, ReadError>)> =
            by_position.into_iter().zip(read).collect();
        in_order.sort_unstable_by_key(|(at, _)| *at);
        in_order.into_iter().map(|(_, read)| read).collect()
    }

    fn append_deliveries(self: &Arc<Self>, together: Together) {
        let Together { records, positions } = together;
        let broker = self.clone();
        self.engine.append_batch(records, move |appended| {
            if let Err(error) = appended {
                let retry_ms = broker
                    .clock
                    .now_ms()
                    .saturating_add(broker.options.limits.timer_retry_ms);
                tracing::debug!(timers = positions.len(), %error, "delayed messages wait longer");
                broker.state.timers.give_back(positions, retry_ms);
            }
        });
    }

    /// Puts the record that delivers the delayed message in `bytes` into `records`: the same message, under its real topic.
    /// Its properties stay as they are, those that delayed it included.
    fn put_delivery(
        &self,
        records: &mut EncodedRecords,
        bytes: &[u8],
        now_ms: i64,
    ) -> Result<(), Undeliverable> {
        let delayed = RecordView::parse(bytes)?;
        let topic = delayed.property(REAL_TOPIC).ok_or(Undeliverable::NoTopic)?;
        let queue_id = delayed
            .property(REAL_QID)
            .and_then(|id| id.parse().ok())
            .ok_or(Undeliverable::NoQueue)?;
        let mut properties = delayed.properties();
        let mut more = Vec::new();
        if delayed.topic() == TIMER_TOPIC {
            more.extend_from_slice(properties);
            property::end_last(&mut more);
            push_number(&mut more, property::TIMER_ENQUEUE_MS, delayed.store_ms());
            push_number(&mut more, property::TIMER_DEQUEUE_MS, now_ms);
            // They are worth less than the message.
            if more.len() <= self.options.limits.properties_size_bytes_max {
                properties = &more;
            }
        }
        let queue_id = self.queue_there_is(topic, queue_id);
        let record = self.stored_again(&delayed, topic, queue_id, properties);
        Ok(records.push(&record, &AGAIN_LIMITS)?)
    }

    /// A queue of the topic, which may have fewer than when the message was sent. The messages of a topic that was deleted meanwhile
    /// go where they would have gone; if it is made again they are there.
    fn queue_there_is(&self, topic: &str, queue_id: u32) -> u32 {
        match self.state.topics.get(topic) {
            Some(config) if queue_id >= config.read_queues.max(config.write_queues) => {
                queue_id % config.read_queues.max(1)
            }
            _ => queue_id,
        }
    }
}

/// Deliveries to be appended together.
#[derive(Default)]
struct Together {
    records: EncodedRecords,
    positions: Vec<u64>,
}

impl Together {
    fn has_room(&self, size_bytes: u64) -> bool {
        let fits = self.records.size_bytes() + size_bytes <= TOGETHER_SIZE_BYTES_MAX;
        self.positions.is_empty() || fits && self.positions.len() < TOGETHER_MAX
    }
}

fn entry_of(timer: &Timer) -> IndexEntry {
    IndexEntry {
        queue_offset: 0,
        position: timer.position,
        size_bytes: timer.size_bytes,
        tags_code: 0,
        store_ms: 0,
        spans: false,
    }
}

fn push_number(out: &mut Vec<u8>, name: &str, number: i64) {
    property::push(out, name, number.to_string().as_bytes());
}

/// Why a delayed message cannot be delivered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undeliverable {
    #[error("it has no topic to go to")]
    NoTopic,
    #[error("it has no queue to go to")]
    NoQueue,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
