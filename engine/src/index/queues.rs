//! All queues of a store: their ranges, the entries of the live segment, and where the older entries are.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::RwLock;

use super::entry::{IndexEntry, Slot};
use super::{Damaged, Frozen, QueueKey, QueueName, Run, SegmentIndex};

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
    live: Run,
}

#[derive(Debug, Default)]
struct Inner {
    by_name: HashMap<QueueName, QueueNo, RandomState>,
    table: Vec<QueueState>,
    /// Queues with entries in the live segment.
    active: Vec<QueueNo>,
    /// Older segments, oldest first.
    segments: Vec<SegmentIndex>,
}

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

impl QueueIndex {
    /// An index from what a checkpoint kept, with the older segments' indexes.
    pub(crate) fn restored(queues: Vec<QueueRecord>, segments: Vec<SegmentIndex>) -> Self {
        let mut inner = Inner {
            segments,
            ..Inner::default()
        };
        for queue in queues {
            let no = inner.add(queue.name);
            inner.table[no.at()].min = queue.min;
            if !queue.live.slots.is_empty() {
                inner.active.push(no);
            }
            inner.table[no.at()].live = queue.live;
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
                    next_offset: inner.table[queue.at()].live.end(),
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

    /// Makes entries readable. Each must have the offset that [`QueueIndex::expect`] gave, counted on.
    pub(crate) fn publish(&self, entries: impl IntoIterator<Item = (QueueNo, Slot)>) {
        let mut inner = self.inner.write();
        for (queue, slot) in entries {
            let state = &mut inner.table[queue.at()];
            state.live.slots.push(slot);
            if state.live.slots.len() == 1 {
                inner.active.push(queue);
            }
        }
    }

    /// Moves a queue whose first known record is not its first record: what was before it has expired.
    pub(crate) fn begin_at(&self, queue: QueueNo, offset: u64) {
        let mut inner = self.inner.write();
        let state = &mut inner.table[queue.at()];
        debug_assert!(
            state.live.slots.is_empty(),
            "only a queue without entries can begin anew"
        );
        state.live.base = offset;
        state.min = offset;
    }

    /// The live segment `[start, data_end)` is complete: its entries become a [`Frozen`], and the next segment's begin.
    pub(crate) fn freeze(&self, segment_start: u64, data_end: u64) -> Arc<Frozen> {
        let mut inner = self.inner.write();
        let active = std::mem::take(&mut inner.active);
        let mut runs = Vec::with_capacity(active.len());
        for queue in active {
            let state = &mut inner.table[queue.at()];
            let next = Run {
                base: state.live.end(),
                slots: Vec::new(),
            };
            runs.push((state.name.clone(), std::mem::replace(&mut state.live, next)));
        }
        runs.sort_unstable_by(|(a, _), (b, _)| a.order_key().cmp(&b.order_key()));
        let frozen = Arc::new(Frozen {
            segment_start,
            data_end,
            runs,
        });
        inner.segments.push(SegmentIndex::Frozen(Arc::clone(&frozen)));
        frozen
    }

    /// Puts another form of a segment's index in the place of the one that is there.
    pub(crate) fn replace(&self, index: SegmentIndex) {
        let mut inner = self.inner.write();
        let start = index.segment_start();
        if let Ok(at) = inner
            .segments
            .binary_search_by_key(&start, SegmentIndex::segment_start)
        {
            inner.segments[at] = index;
        }
    }

    pub(crate) fn range(&self, key: QueueKey<'_>) -> Option<QueueRange> {
        let inner = self.inner.read();
        let state = inner.state(key)?;
        Some(QueueRange {
            min: state.min,
            max: state.live.end(),
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
            if from >= state.live.base {
                state.live.copy(from, max_count, out);
                return Ok(());
            }
            if from < state.min {
                return Ok(());
            }
            inner.segments.clone()
        };
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
        if let Some(state) = inner.state(key)
            && next >= state.live.base
        {
            state.live.copy(next, wanted - out.len(), out);
        }
        Ok(())
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
            max: state.live.end(),
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
                live: state.live.clone(),
            })
            .collect()
    }
}

impl Inner {
    fn state(&self, key: QueueKey<'_>) -> Option<&QueueState> {
        self.by_name.get(&key).map(|queue| &self.table[queue.at()])
    }

    fn add(&mut self, name: QueueName) -> QueueNo {
        // More than 4 billion queues do not fit any memory; the last number is then shared, which the table's own growth
        // makes unreachable.
        let queue = QueueNo(u32::try_from(self.table.len()).unwrap_or(u32::MAX));
        self.by_name.insert(name.clone(), queue);
        self.table.push(QueueState {
            name,
            min: 0,
            live: Run::default(),
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
