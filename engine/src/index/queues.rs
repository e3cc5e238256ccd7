//! All queues of a store: their ranges, the entries of the live segment, and where the older entries are.

mod begin;
mod floor;

use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::RwLock;

use super::entry::{IndexEntry, Slot};
use super::{Damaged, Frozen, KeyChunks, KeyEntry, NewKeys, QueueKey, QueueName, Run, SegmentIndex};

/// A queue's place in the table; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct QueueNo(u32);

impl QueueNo {
    pub(crate) fn at(self) -> usize {
        self.0 as usize
    }
}

/// Readable offsets of a queue: `[min, max)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueRange {
    /// The oldest readable offset.
    pub min: u64,
    /// The offset that the next readable record will have.
    pub max: u64,
}

/// Which record a moment in time points at, when records share a millisecond or none has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// The first record stored at or after the moment; the queue's end if there is none.
    Lower,
    /// The last record stored at or before the moment; the queue's start if there is none.
    Upper,
}

/// A queue's state as the checkpoint keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueRecord {
    pub(crate) name: QueueName,
    pub(crate) min: u64,
    /// Entries of the live segment; `live.end()` is the queue's next offset.
    pub(crate) live: Run,
}

impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        self.base == other.base && self.slots == other.slots
    }
}

impl Eq for Run {}

#[derive(Debug)]
struct QueueState {
    name: QueueName,
    min: u64,
    /// The offset after the last entry.
    end: u64,
    /// The segment, by number, in which the queue had its last entry, and its run's place there.
    last_in: u64,
    run: usize,
}

#[derive(Debug)]
struct Inner {
    by_name: HashMap<QueueName, QueueNo, RandomState>,
    table: Vec<QueueState>,
    /// Entries of the live segment: a run for each queue that has some.
    live: Vec<(QueueNo, Run)>,
    /// The keys of the live segment's records.
    keys: KeyChunks,
    /// Where the segment begins that `keys` are of.
    keys_start: u64,
    last_key: LastKey,
    /// The live segment's number, counted from 1.
    live_no: u64,
    /// Older segments, oldest first.
    segments: Vec<SegmentIndex>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            by_name: HashMap::default(),
            table: Vec::new(),
            live: Vec::new(),
            keys: KeyChunks::default(),
            keys_start: 0,
            last_key: LastKey::default(),
            live_no: 1,
            segments: Vec::new(),
        }
    }
}

/// Queues that are looked at under one lock by those who go through all of them.
const QUEUES_AT_ONCE: usize = 512;

/// The index. One lock for all: the writer takes it once a group, a reader once a look-up, and nobody does I/O under it.
#[derive(Debug, Default)]
pub(crate) struct QueueIndex {
    inner: RwLock<Inner>,
}

/// The next offset that the log expects for a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) queue: QueueNo,
    pub(crate) next_offset: u64,
}

/// How far the key index has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LastKey {
    /// Position of the last record that has a key.
    pub position: u64,
    /// When it was stored, in milliseconds since the epoch.
    pub store_ms: i64,
}

/// The keys of the live segment, as a checkpoint keeps them.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveKeys {
    pub(crate) segment_start: u64,
    pub(crate) entries: Vec<KeyEntry>,
}

impl QueueIndex {
    /// An index from what a checkpoint kept, with the older segments' indexes.
    pub(crate) fn restored(
        queues: Vec<QueueRecord>,
        segments: Vec<SegmentIndex>,
        keys: &LiveKeys,
        last_key: LastKey,
    ) -> Self {
        let mut inner = Inner {
            segments,
            keys_start: keys.segment_start,
            last_key,
            ..Inner::default()
        };
        inner.keys.extend(keys.entries.iter().copied());
        for queue in queues {
            let no = inner.add(queue.name);
            let state = &mut inner.table[no.at()];
            state.min = queue.min;
            state.end = queue.live.end();
            if !queue.live.slots.is_empty() {
                state.last_in = inner.live_no;
                state.run = inner.live.len();
                inner.live.push((no, queue.live));
            }
        }
        Self {
            inner: RwLock::new(inner),
        }
    }

    /// What offset the next record of a queue gets; the queue is made known if it is new.
    pub(crate) fn expect(&self, key: QueueKey<'_>) -> Expected {
        {
            let inner = self.inner.read();
            if let Some(&queue) = inner.by_name.get(&key) {
                return Expected {
                    queue,
                    next_offset: inner.table[queue.at()].end,
                };
            }
        }
        let mut inner = self.inner.write();
        let name = QueueName {
            topic: inner.topic(key.topic),
            queue_id: key.queue_id,
        };
        let queue = inner.add(name);
        Expected {
            queue,
            next_offset: 0,
        }
    }

    /// [`QueueIndex::publish`] without keys.
    #[cfg(test)]
    pub(crate) fn publish_slots(&self, entries: impl IntoIterator<Item = (QueueNo, Slot)>) {
        self.publish(entries, &NewKeys::NONE);
    }

    /// Makes entries and keys readable. Each entry must have the offset that [`QueueIndex::expect`] gave, counted on.
    pub(crate) fn publish(&self, entries: impl IntoIterator<Item = (QueueNo, Slot)>, keys: &NewKeys<'_>) {
        let mut inner = self.inner.write();
        let inner = &mut *inner;
        if let Some(last) = keys.entries.last() {
            inner.keys_start = keys.segment_start;
            inner.keys.extend(keys.entries.iter().copied());
            inner.last_key = LastKey {
                position: keys.segment_start + last.at(),
                store_ms: keys.store_ms,
            };
        }
        for (queue, slot) in entries {
            let state = &mut inner.table[queue.at()];
            if state.last_in != inner.live_no {
                state.last_in = inner.live_no;
                state.run = inner.live.len();
                let run = Run {
                    base: state.end,
                    slots: Vec::new(),
                };
                inner.live.push((queue, run));
            }
            inner.live[state.run].1.slots.push(slot);
            state.end += 1;
        }
    }

    /// Moves a queue whose first known record is not its first record: what was before it has expired.
    pub(crate) fn begin_at(&self, queue: QueueNo, offset: u64) {
        let mut inner = self.inner.write();
        let state = &mut inner.table[queue.at()];
        debug_assert!(state.last_in == 0, "only a queue without entries can begin anew");
        state.end = offset;
        state.min = offset;
    }

    /// The live segment `[start, data_end)` is complete: its entries become a [`Frozen`], and the next segment's begin. Takes
    /// no longer for more queues.
    pub(crate) fn freeze(&self, segment_start: u64, data_end: u64) -> Arc<Frozen> {
        let mut inner = self.inner.write();
        inner.live_no += 1;
        let frozen = Arc::new(Frozen {
            segment_start,
            data_end,
            runs: std::mem::take(&mut inner.live),
            keys: std::mem::take(&mut inner.keys),
            ordered: OnceLock::new(),
        });
        inner.segments.push(SegmentIndex::Frozen(Arc::clone(&frozen)));
        frozen
    }

    /// Orders what was frozen, so that it can be searched and written. It takes a while if there are many queues.
    pub(crate) fn order(&self, frozen: &Frozen) {
        frozen.ordered.get_or_init(|| {
            let mut ordered = Vec::with_capacity(frozen.runs.len());
            for some in frozen.runs.chunks(QUEUES_AT_ONCE) {
                let inner = self.inner.read();
                for (queue, _) in some {
                    ordered.push((inner.table[queue.at()].name.clone(), ordered.len()));
                }
            }
            ordered.sort_unstable_by(|(a, _), (b, _)| a.order_key().cmp(&b.order_key()));
            ordered
        });
    }

    /// Puts another form of a segment's index in the place of the one that is there; whether one was: the segment may have expired.
    pub(crate) fn replace(&self, index: SegmentIndex) -> bool {
        let mut inner = self.inner.write();
        let start = index.segment_start();
        if let Ok(at) = inner
            .segments
            .binary_search_by_key(&start, SegmentIndex::segment_start)
        {
            inner.segments[at] = index;
            true
        } else {
            false
        }
    }

    pub(crate) fn range(&self, key: QueueKey<'_>) -> Option<QueueRange> {
        let inner = self.inner.read();
        let state = inner.state(key)?;
        Some(QueueRange {
            min: state.min,
            max: state.end,
        })
    }

    /// Copies readable entries from `from` on, in order, at most `max_count`. Nothing if `from` is outside the range.
    pub(crate) fn copy(
        &self,
        key: QueueKey<'_>,
        from: u64,
        max_count: usize,
        out: &mut Vec<IndexEntry>,
    ) -> Result<(), Damaged> {
        let wanted = out.len() + max_count;
        let segments = {
            let inner = self.inner.read();
            let Some(state) = inner.state(key) else {
                return Ok(());
            };
            let live = inner.live_run(state);
            if from >= live.map_or(state.end, |run| run.base) {
                if let Some(run) = live {
                    run.copy(from, max_count, out);
                }
                return Ok(());
            }
            if from < state.min {
                return Ok(());
            }
            inner.segments.clone()
        };
        for segment in &segments {
            if let SegmentIndex::Frozen(frozen) = segment {
                self.order(frozen);
            }
        }
        // Newest first: readers are nearly always near the end.
        let Some(first) = segments
            .iter()
            .rposition(|segment| segment.range(key).is_some_and(|run| run.0 <= from))
        else {
            return Ok(());
        };
        let mut next = from;
        for segment in &segments[first..] {
            let before = out.len();
            segment.copy(key, next, wanted - out.len(), out)?;
            next += (out.len() - before) as u64;
            if out.len() == wanted {
                return Ok(());
            }
        }
        let inner = self.inner.read();
        if let Some(run) = inner.state(key).and_then(|state| inner.live_run(state))
            && next >= run.base
        {
            run.copy(next, wanted - out.len(), out);
        }
        Ok(())
    }

    /// How many keys the live segment's records have.
    pub(crate) fn live_key_count(&self) -> usize {
        self.inner.read().keys.len()
    }

    /// How far the key index has come.
    pub(crate) fn last_key(&self) -> LastKey {
        self.inner.read().last_key
    }

    /// The keys of the live segment, for a checkpoint.
    pub(crate) fn live_keys(&self) -> Vec<KeyEntry> {
        self.inner.read().keys.iter().collect()
    }

    /// Where the segments begin whose keys are known, newest first. The live one's may be missing if it has none.
    pub(crate) fn key_segments(&self) -> Vec<u64> {
        let inner = self.inner.read();
        let older = inner.segments.iter().rev().map(SegmentIndex::segment_start);
        let live = (inner.keys.len() > 0).then_some(inner.keys_start);
        live.into_iter().chain(older).collect()
    }

    /// The positions of the newest `max` records of a segment, below `below`, that have a key of this hash, newest first. May block
    /// on the disk.
    pub(crate) fn positions_of_key(
        &self,
        segment_start: u64,
        hash: u32,
        below: u64,
        max: usize,
    ) -> Result<Vec<u64>, Damaged> {
        let inner = self.inner.read();
        let sealed = inner
            .segments
            .binary_search_by_key(&segment_start, SegmentIndex::segment_start);
        if let Ok(at) = sealed {
            let segment = inner.segments[at].clone();
            drop(inner);
            return segment.positions_of_key(hash, below, max);
        }
        if inner.keys_start != segment_start {
            return Ok(Vec::new());
        }
        let (full, mut found) = inner.keys.split(segment_start, hash, below, max);
        drop(inner);
        found.extend(full.newest(segment_start, hash, below, max - found.len()));
        Ok(found)
    }

    /// The offset that a moment points at; `None` for a queue that was never written.
    pub(crate) fn offset_by_time(
        &self,
        key: QueueKey<'_>,
        store_ms: i64,
        boundary: Boundary,
    ) -> Result<Option<u64>, Damaged> {
        let Some(QueueRange { min, max }) = self.range(key) else {
            return Ok(None);
        };
        let mut low = min;
        let mut high = max;
        let mut found = Vec::with_capacity(1);
        // The first offset whose record was stored at or after the moment (Lower), or after it (Upper).
        while low < high {
            let middle = low + (high - low) / 2;
            found.clear();
            self.copy(key, middle, 1, &mut found)?;
            let before = match (found.first(), boundary) {
                (Some(entry), Boundary::Lower) => entry.store_ms < store_ms,
                (Some(entry), Boundary::Upper) => entry.store_ms <= store_ms,
                (None, _) => true,
            };
            if before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(Some(match boundary {
            Boundary::Lower => low,
            Boundary::Upper => low.saturating_sub(1).max(min),
        }))
    }

    /// All queues with their readable ranges.
    pub(crate) fn ranges(&self) -> Vec<(Arc<str>, u32, QueueRange)> {
        let inner = self.inner.read();
        let range = |state: &QueueState| QueueRange {
            min: state.min,
            max: state.end,
        };
        inner
            .table
            .iter()
            .map(|state| (Arc::clone(&state.name.topic), state.name.queue_id, range(state)))
            .collect()
    }

    /// What a checkpoint must keep.
    pub(crate) fn records(&self) -> Vec<QueueRecord> {
        let inner = self.inner.read();
        inner
            .table
            .iter()
            .map(|state| QueueRecord {
                name: state.name.clone(),
                min: state.min,
                live: inner.live_run(state).cloned().unwrap_or_else(|| Run {
                    base: state.end,
                    slots: Vec::new(),
                }),
            })
            .collect()
    }

    /// What a checkpoint at the beginning of the segment that follows `left` must keep, while that segment already grows. `None`
    /// if that is no longer the live one.
    ///
    /// Nobody waits long for this: what a queue had then can be told at any time until the segment is left.
    pub(crate) fn records_after(&self, left: &Frozen) -> Option<Vec<QueueRecord>> {
        let mut records = Vec::new();
        let mut from = 0;
        loop {
            let inner = self.inner.read();
            let newest = inner.segments.last().map(SegmentIndex::segment_start);
            if newest != Some(left.segment_start) {
                return None;
            }
            let some = &inner.table[from..inner.table.len().min(from + QUEUES_AT_ONCE)];
            if some.is_empty() {
                return Some(records);
            }
            from += some.len();
            let then = |state: &QueueState| {
                let base = inner.live_run(state).map_or(state.end, |run| run.base);
                // A queue without entries is not known to those who read the log from there.
                (base > 0).then(|| QueueRecord {
                    name: state.name.clone(),
                    min: state.min,
                    live: Run {
                        base,
                        slots: Vec::new(),
                    },
                })
            };
            records.extend(some.iter().filter_map(then));
        }
    }
}

impl Inner {
    fn state(&self, key: QueueKey<'_>) -> Option<&QueueState> {
        self.by_name.get(&key).map(|queue| &self.table[queue.at()])
    }

    /// The queue's entries in the live segment.
    fn live_run(&self, state: &QueueState) -> Option<&Run> {
        (state.last_in == self.live_no).then(|| &self.live[state.run].1)
    }

    fn add(&mut self, name: QueueName) -> QueueNo {
        // More than 4 billion queues do not fit any memory; the last number is then shared, which the table's own growth
        // makes unreachable.
        let queue = QueueNo(u32::try_from(self.table.len()).unwrap_or(u32::MAX));
        self.by_name.insert(name.clone(), queue);
        self.table.push(QueueState {
            name,
            min: 0,
            end: 0,
            last_in: 0,
            run: 0,
        });
        queue
    }

    /// The shared spelling of a topic, so that a topic with many queues is kept once.
    fn topic(&self, topic: &str) -> Arc<str> {
        match self.by_name.get_key_value(&QueueKey { topic, queue_id: 0 }) {
            Some((name, _)) => Arc::clone(&name.topic),
            None => topic.into(),
        }
    }
}

#[cfg(test)]
#[path = "queues_tests.rs"]
mod tests;
