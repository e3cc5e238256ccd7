//! Pulls whose records are on the disk.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use kourou_engine::{IndexEntry, ReadError};

use super::pull::Admitted;
use super::scan::{Room, Visit};
use super::{Empty, PullError, PullOutcome, PullPlace, PullStatus, Pulled};
use crate::broker::Broker;

/// A pull whose records are on the disk.
pub struct ColdPull {
    broker: Arc<Broker>,
    admitted: Admitted,
    place: PullPlace,
    offset: u64,
    messages_max: usize,
}

impl fmt::Debug for ColdPull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ColdPull")
            .field("topic", &self.admitted.topic.name)
            .field("queue_id", &self.admitted.queue_id)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

/// Records that were read one after the other, and what came after them.
#[derive(Default)]
struct Step {
    entries: Vec<IndexEntry>,
    records: Vec<Bytes>,
    /// The offset after the last entry that was looked at.
    after: u64,
    /// The entry that could not be read, and why.
    unread: Option<(IndexEntry, ReadError)>,
}

impl ColdPull {
    pub(super) fn new(
        broker: Arc<Broker>,
        admitted: Admitted,
        place: PullPlace,
        offset: u64,
        messages_max: usize,
    ) -> Self {
        Self {
            broker,
            admitted,
            place,
            offset,
            messages_max,
        }
    }

    /// Reads the records. Blocks on the disk: for one batch of the size that [`crate::Limits`] names for the disk or, if a
    /// filter must look at the records themselves, for as much as they allow it to look through.
    ///
    /// # Errors
    /// If the disk does not give the first record that is wanted. A later one ends the batch and is reported by the next pull. One that
    /// the disk gives but is damaged is passed over, like one that does not match: it can never be delivered, and whoever waited for
    /// it would wait for ever. The engine has told it.
    pub fn load(mut self) -> Result<PullOutcome, PullError> {
        let limits = &self.broker.options.limits;
        let room = Room::cold(limits, self.messages_max);
        // What is looked at is not what is wanted: a step is of full size, whatever was asked for.
        let step_room = if self.admitted.filter.reads_records() {
            Room::cold(limits, usize::MAX)
        } else {
            room
        };
        let (mut entries_left, mut bytes_left) = (
            limits.pull_scan_entries_max as u64,
            limits.pull_scan_size_bytes_max,
        );
        let mut records: Vec<Bytes> = Vec::new();
        let mut size_bytes = 0;
        let mut step = Step {
            after: self.offset,
            ..Step::default()
        };
        'steps: loop {
            let from = step.after;
            self.read(from, &step_room, &mut step);
            for (entry, record) in step.entries.iter().zip(step.records.drain(..)) {
                bytes_left = bytes_left.saturating_sub(record.len());
                if !self.admitted.filter.matches_record(&record) {
                    continue;
                }
                if !room.fits(records.len(), size_bytes, entry.size_bytes) {
                    self.place.next_offset = entry.queue_offset;
                    break 'steps;
                }
                size_bytes += record.len();
                records.push(record);
            }
            if let Some((unread, error)) = step.unread.take() {
                // The next pull begins with it, and reports it.
                self.place.next_offset = unread.queue_offset;
                if records.is_empty() {
                    return self.unreadable(&unread, error);
                }
                break;
            }
            self.place.next_offset = step.after;
            entries_left = entries_left.saturating_sub(step.after - from);
            if !self.admitted.filter.reads_records()
                || step.entries.is_empty()
                || records.len() >= room.messages_max
                || entries_left == 0
                || bytes_left == 0
            {
                break;
            }
        }
        if records.is_empty() {
            return Ok(self.empty(PullStatus::NoMatchedMessage));
        }
        let Admitted { topic, group, .. } = &self.admitted;
        self.broker.received(topic, group, records.len(), size_bytes);
        self.broker
            .trace_pulled(&group.name, &topic.name, self.admitted.queue_id, &records);
        Ok(PullOutcome::Found(Pulled {
            records,
            size_bytes,
            place: self.place,
        }))
    }

    /// Reads as many of the records from `from` on that may match as there is room for.
    fn read(&self, from: u64, room: &Room, step: &mut Step) {
        let entries = &mut step.entries;
        entries.clear();
        let mut wanted_bytes = 0;
        let scan = self.broker.scan(&self.admitted, room, self.messages_max);
        step.after = scan.run(from, |entry| {
            if !room.fits(entries.len(), wanted_bytes, entry.size_bytes) {
                return Visit::Left;
            }
            wanted_bytes += entry.size_bytes as usize;
            entries.push(*entry);
            if entries.len() < room.messages_max {
                Visit::Taken
            } else {
                Visit::TakenLast
            }
        });
        let read = self.broker.engine.read_many(entries, &mut step.records);
        if let (Err(error), Some(unread)) = (read, entries.get(step.records.len())) {
            step.unread = Some((*unread, error));
        }
    }

    fn unreadable(mut self, unread: &IndexEntry, error: ReadError) -> Result<PullOutcome, PullError> {
        match error {
            ReadError::Outside { .. } => {}
            ReadError::Corrupt { .. } if self.broker.options.pass_over_damage => {
                let Admitted { topic, queue_id, .. } = &self.admitted;
                self.place.next_offset = self.broker.engine.end_of_record(&topic.name, *queue_id, unread);
                return Ok(self.empty(PullStatus::NoMatchedMessage));
            }
            error => return Err(PullError::Read(error)),
        }
        // Its segment expired since the range was looked up; the queue begins later by now.
        let min = self
            .broker
            .min_offset(&self.admitted.topic.name, self.admitted.queue_id);
        (self.place.min_offset, self.place.next_offset) = (min, min.max(unread.queue_offset + 1));
        Ok(self.empty(PullStatus::MessageWasRemoving))
    }

    fn empty(&self, status: PullStatus) -> PullOutcome {
        PullOutcome::Empty(Empty {
            status,
            code: status.code(1),
            place: self.place,
        })
    }
}
