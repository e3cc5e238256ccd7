//! The single writer: gives each record its place, writes groups, makes them visible, completes their callers.
//!
//! ```text
//!  pending appends --take all--> [ mark | append | append | ... | zeros to the block's end ] --one durable write-->
//!      views, tail cache, index, watermark, arrivals, callers                     (in this order, and only after Ok)
//! ```
//!
//! A group begins in the block where the last one ended: the durable bytes of that block are written again, unchanged, so that
//! a torn write leaves each of them as it was.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::arena::Arena;
use super::group::{Arrivals, Group, Room, arrival, block_end, block_start, last_block};
use super::mark::{Begins, MARK_SIZE_BYTES, Mark};
use super::pending::{Append, Appended, Shut};
use crate::disk::{AlignedBuf, BLOCK_SIZE_BYTES, GroupWriter};
use crate::error::{AppendError, StopReason};
use crate::index::{KeyEntry, NewKeys, QueueKey, QueueNo, Slot};
use crate::limits::{APPEND_SIZE_BYTES_MAX, BLANK_SIZE_BYTES, LIVE_KEYS_MAX, STATE_RESERVE_BYTES};
use crate::options::Threads;
use crate::planted::{self, Bug};
use crate::record::{STATE_TOPIC, Unstamped, blank};
use crate::segment::Segment;
use crate::shared::{Job, Shared};

/// Lists of appends keep memory for this many; what a burst needed beyond it is given back.
const KEPT_APPENDS_MAX: usize = 4096;

/// The writer's own state. One thread has it at a time.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    groups: Box<dyn GroupWriter>,
    segment: Arc<Segment>,
    /// Where the next group begins.
    tail: u64,
    /// How many keys the segment's records have.
    segment_keys: usize,
    /// The bytes of the block that the tail lies in.
    partial: Vec<u8>,
    last_store_ms: i64,
    epoch: u64,
    waiting: VecDeque<Append>,
    taken: Vec<Append>,
    /// Offsets that the group being built has given out; cleared with each group.
    assigned: HashMap<QueueNo, u64, RandomState>,
    arena: Arena,
    arrivals: Arrivals,
    /// A group without content, for its memory.
    spare: Group,
}

/// Why an append cannot be put into the current segment now.
enum NoRoom {
    Full,
    Failed(io::Error),
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        groups: Box<dyn GroupWriter>,
        segment: Arc<Segment>,
        tail: u64,
        partial: Vec<u8>,
        last_store_ms: i64,
        epoch: u64,
    ) -> Self {
        let options = &shared.options;
        let chunk_size_bytes = options
            .group_size_bytes_max
            .min(options.tail_cache_size_bytes / 8);
        // Bounded by the longest append.
        let arena = Arena::new(chunk_size_bytes as usize, options.tail_cache_size_bytes);
        Self {
            segment_keys: shared.index.live_key_count(),
            shared,
            groups,
            segment,
            tail,
            partial,
            last_store_ms,
            epoch,
            waiting: VecDeque::new(),
            taken: Vec::new(),
            assigned: HashMap::default(),
            arena,
            arrivals: Arrivals::default(),
            spare: Group::default(),
        }
    }

    /// Writes all that waits now, and what their completions append.
    pub(crate) fn run_pending(&mut self) {
        while self.run_once() {}
    }

    /// Writes what waits now; whether there was anything.
    pub(crate) fn run_once(&mut self) -> bool {
        self.shared.pending.take(&mut self.taken);
        if self.taken.is_empty() {
            return false;
        }
        self.write_taken();
        self.shared.pending.rests();
        true
    }

    /// Whether a group of so many bytes of records can be written with nothing else to wait for.
    pub(crate) fn is_ready_for(&self, size_bytes: u64) -> bool {
        self.room().holds(MARK_SIZE_BYTES + size_bytes) && self.segment_keys < LIVE_KEYS_MAX
    }

    /// The state that a checkpoint at the tail keeps.
    pub(crate) fn checkpoint(&self) -> crate::view::checkpoint::Checkpoint {
        self.shared
            .checkpoint_at(self.tail, self.last_store_ms, self.epoch)
    }

    /// Makes the live segment durable, for a relaxed log that is being closed.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.segment.file.sync()
    }

    fn write_taken(&mut self) {
        // Somebody else may have stopped the log: a failed sync of a relaxed one.
        if let Some(Shut::Stopped(reason)) = self.shared.pending.why_shut() {
            for append in self.taken.drain(..) {
                append.fail(AppendError::Stopped(Arc::clone(&reason)));
            }
            return;
        }
        self.queue_taken();
        while let Some(next) = self.waiting.front() {
            let size_bytes = next.size_bytes();
            if let Err(error) = self.check_size(size_bytes) {
                self.fail_front(error);
                continue;
            }
            match self.prepare(size_bytes) {
                Ok(()) => {}
                Err(NoRoom::Full) => {
                    self.shared.set_full(true);
                    self.fail_front(AppendError::Full {
                        dir: self.shared.layout.root.clone(),
                    });
                    continue;
                }
                Err(NoRoom::Failed(error)) => {
                    self.stop(self.tail, error, Vec::new());
                    return;
                }
            }
            if let Err((group, error)) = self.write() {
                self.stop(group.start, error, group.appends);
                return;
            }
        }
        self.waiting.shrink_to(KEPT_APPENDS_MAX);
    }

    fn queue_taken(&mut self) {
        self.waiting.extend(self.taken.drain(..));
        self.taken.shrink_to(KEPT_APPENDS_MAX);
    }

    /// Writes a group, whose first append has been prepared for.
    fn write(&mut self) -> Result<(), (Group, io::Error)> {
        let (group, buffer) = self.gather();
        let offset = self.segment.offset(group.start);
        let (buffer, outcome) = self.groups.write(&self.segment.file, offset, buffer);
        if let Err(error) = outcome
            && !planted::is(Bug::AcknowledgesAfterAFailedWrite)
        {
            return Err((group, error));
        }
        self.publish(group, buffer);
        Ok(())
    }

    /// Where the next group can be written without more ado.
    fn room(&self) -> Room {
        let segment_end = self.segment_end();
        let zeroed_end = self.shared.ahead.zeroed_end();
        Room {
            tail: self.tail,
            records_end: segment_end - BLANK_SIZE_BYTES,
            blocks_end: if zeroed_end < segment_end {
                zeroed_end.saturating_sub(STATE_RESERVE_BYTES)
            } else {
                segment_end
            },
        }
    }

    fn check_size(&self, size_bytes: u64) -> Result<(), AppendError> {
        let segment_holds = self.shared.segment_size_bytes - MARK_SIZE_BYTES - BLANK_SIZE_BYTES;
        let max_bytes = APPEND_SIZE_BYTES_MAX.min(segment_holds);
        if size_bytes > max_bytes {
            Err(AppendError::TooLarge {
                size_bytes,
                max_bytes,
            })
        } else {
            Ok(())
        }
    }

    fn fail_front(&mut self, error: AppendError) {
        if let Some(append) = self.waiting.pop_front() {
            append.fail(error);
        }
    }

    fn segment_end(&self) -> u64 {
        self.segment.start + self.shared.segment_size_bytes
    }

    /// Makes sure that the front append can be written at the tail: in this segment or, if it does not fit, the next.
    fn prepare(&mut self, size_bytes: u64) -> Result<(), NoRoom> {
        let fits = |tail: u64, segment_end: u64| {
            tail + MARK_SIZE_BYTES + size_bytes + BLANK_SIZE_BYTES <= segment_end
        };
        if !fits(self.tail, self.segment_end()) || self.segment_keys >= LIVE_KEYS_MAX {
            self.roll()?;
        }
        let end = block_end(self.tail + MARK_SIZE_BYTES + size_bytes);
        let is_state = |append: &Append| {
            append.is_reserved || append.records.iter().all(|record| record.topic() == STATE_TOPIC)
        };
        let reserve = if self.waiting.front().is_some_and(is_state) {
            0
        } else {
            STATE_RESERVE_BYTES
        };
        self.make_room((end + reserve).min(self.segment_end()))?;
        // A message that just fits says nothing; space that could be made does.
        if self.shared.is_full() && !self.shared.ahead.was_full() {
            self.shared.set_full(false);
        }
        Ok(())
    }

    /// Makes sure that zeros have been written up to `end`.
    fn make_room(&self, end: u64) -> Result<(), NoRoom> {
        let ahead = &self.shared.ahead;
        if ahead.zeroed_end() >= end {
            return Ok(());
        }
        let outcome = match self.shared.options.threads {
            Threads::Background => ahead.wait_for(end).map_err(io::Error::from),
            Threads::Manual => ahead.fill_to(end),
        };
        outcome.map_err(NoRoom::from)
    }

    /// Ends the segment and begins the next.
    fn roll(&mut self) -> Result<(), NoRoom> {
        let segment_end = self.segment_end();
        let data_end = self.tail;
        self.make_room(block_end(self.tail + BLANK_SIZE_BYTES))?;
        self.shared.ahead.leave(segment_end);
        self.make_room(segment_end + BLOCK_SIZE_BYTES as u64)?;
        let Some(next) = self.shared.ahead.take_next() else {
            return Err(NoRoom::Failed(io::ErrorKind::NotFound.into()));
        };

        let start = block_start(self.tail);
        let mut buffer = AlignedBuf::with_capacity(2 * BLOCK_SIZE_BYTES);
        buffer.extend_from_slice(&self.partial);
        // A segment is at most 2 GiB.
        buffer.extend_from_slice(&blank((segment_end - self.tail) as u32));
        buffer.pad_to_block();
        let offset = self.segment.offset(start);
        let (_, outcome) = self.groups.write(&self.segment.file, offset, buffer);
        outcome.map_err(NoRoom::Failed)?;
        self.partial.clear();
        self.tail = segment_end;
        self.shared.segments.push(Arc::clone(&next));
        self.shared.durable.raise(segment_end);
        self.shared.ahead.advance(segment_end);

        let sealed = std::mem::replace(&mut self.segment, next);
        let frozen = self.shared.index.freeze(sealed.start, data_end);
        self.segment_keys = 0;
        self.shared.submit(Job::Seal {
            segment: sealed,
            frozen: Arc::clone(&frozen),
        });
        let checkpoint = self
            .shared
            .bare_checkpoint(self.tail, self.last_store_ms, self.epoch);
        self.shared.submit(Job::Checkpoint {
            left: frozen,
            checkpoint,
            view: self.shared.view.checkpoint_later(),
        });
        Ok(())
    }

    /// Takes appends from the front into one group: at least the first, whose room is there.
    fn gather(&mut self) -> (Group, AlignedBuf) {
        let group_max = self.shared.options.group_size_bytes_max;
        let (count, size_bytes) = self.room().fill(group_max, &self.waiting);
        let mut group = std::mem::take(&mut self.spare);
        group.appends.extend(self.waiting.drain(..count));
        group.start = block_start(self.tail);
        // Fits memory: bounded by the pending bytes.
        let mut buffer = self
            .arena
            .buffer(block_end(self.partial.len() as u64 + size_bytes) as usize);
        buffer.extend_from_slice(&self.partial);
        let epoch = self.epoch;
        let mark = |position, begins| {
            Mark {
                position,
                epoch,
                begins,
            }
            .encode()
        };
        buffer.extend_from_slice(&mark(self.tail, Begins::Group));

        let now_ms = self.last_store_ms.max(self.shared.clock.now_ms());
        let segment_start = self.segment.start;
        let mut position = self.tail + MARK_SIZE_BYTES;
        self.assigned.clear();
        for append in &group.appends {
            let store_ms = append.stored_ms.unwrap_or(now_ms);
            self.last_store_ms = self.last_store_ms.max(store_ms);
            if append.is_batch() {
                // No longer than an append may be.
                let size_bytes = append.records.size_bytes() as u32;
                buffer.extend_from_slice(&mark(position, Begins::Batch { size_bytes }));
                position += MARK_SIZE_BYTES;
            }
            for record in append.records.iter() {
                let size_bytes = record.size_bytes();
                let queue_offset = if record.indexed() {
                    let offsets = record.offsets();
                    let (queue, queue_offset) = self.next_offset(record, offsets);
                    let slot = Slot::new(position, store_ms, size_bytes, record.tags_code())
                        .spanning(record.is_batch());
                    for _ in 0..offsets {
                        group.slots.push((queue, slot));
                    }
                    queue_offset
                } else {
                    0
                };
                let place = position - segment_start;
                let keys = record.keys().iter().map(|key| KeyEntry::new(*key, place));
                group.keys.extend(keys);
                let copy = buffer.extend_from_slice(record.bytes());
                record.stamp(copy, queue_offset, position, store_ms);
                group.appended.push(Appended {
                    position,
                    size_bytes,
                    queue_offset,
                    store_ms,
                });
                position += u64::from(size_bytes);
            }
        }
        group.end = position;
        self.tail = position;
        self.segment_keys += group.keys.len();
        let buffer = self.arena.group(buffer);
        self.partial.clear();
        self.partial
            .extend_from_slice(last_block(&buffer, group.start, group.end));
        (group, buffer)
    }

    fn next_offset(&mut self, record: Unstamped<'_>, offsets: u32) -> (QueueNo, u64) {
        let expected = self.shared.index.expect(QueueKey {
            topic: record.topic(),
            queue_id: record.queue_id(),
        });
        let next = self
            .assigned
            .entry(expected.queue)
            .or_insert(expected.next_offset);
        let queue_offset = *next;
        *next += u64::from(offsets);
        (expected.queue, queue_offset)
    }

    /// Makes a durable group visible and completes its callers.
    fn publish(&mut self, mut group: Group, buffer: AlignedBuf) {
        let bytes = buffer.freeze();
        let (segment_start, store_ms) = (self.segment.start, self.last_store_ms);
        let shared = &self.shared;
        let view = shared.view.as_ref();
        let mut slots = group.slots.iter();
        let arrivals = group.records(&bytes).filter_map(|record| {
            shared.index.begin_queues(&record);
            view.apply(&record);
            let (_, slot) = record
                .indexed()
                .then(|| slots.nth(record.offsets() as usize - 1))??;
            Some(arrival(&record, slot))
        });
        self.arrivals.with(arrivals, |arrivals| {
            shared.tail_cache.push(group.start, group.end, bytes.clone());
            let keys = NewKeys {
                segment_start,
                store_ms,
                entries: &group.keys,
            };
            shared.index.publish(group.slots.iter().copied(), &keys);
            shared.durable.raise(group.end);
            shared.ahead.advance(group.end);
            if !arrivals.is_empty() {
                view.arrived(arrivals);
            }
        });
        shared.pending.committed(group.size_bytes());
        group.slots.clear();
        group.keys.clear();
        group.complete();
        group.appended.clear();
        if group.appended.capacity() <= KEPT_APPENDS_MAX && group.keys.capacity() <= 4 * KEPT_APPENDS_MAX {
            self.spare = group;
        }
    }

    /// A write failed. What is on the disk is unknown, so nothing is written over it: every append from here on fails, until
    /// the store is opened again and says what it finds.
    fn stop(&mut self, position: u64, source: io::Error, in_flight: Vec<Append>) {
        tracing::error!(position, error = %source, "the commit log has stopped: a write failed");
        let reason = Arc::new(StopReason { position, source });
        self.shared.pending.shut(Shut::Stopped(Arc::clone(&reason)));
        self.shared.pending.take(&mut self.taken);
        for append in in_flight
            .into_iter()
            .chain(self.waiting.drain(..))
            .chain(self.taken.drain(..))
        {
            append.fail(AppendError::Stopped(Arc::clone(&reason)));
        }
    }
}

impl From<io::Error> for NoRoom {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Failed(error),
        }
    }
}
