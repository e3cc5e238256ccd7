//! Where queues begin: it rises when the segment with their first entries expires.
//!
//! A queue's next offset never changes with that: one whose every record has expired is empty, and goes on where it was.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::super::{Damaged, QueueKey, SegmentIndex};
use super::{QUEUES_AT_ONCE, QueueIndex, QueueNo, QueueRange};

impl QueueIndex {
    /// The index of the oldest segment, which is not the live one.
    fn oldest(&self) -> Option<SegmentIndex> {
        self.inner.read().segments.first().cloned()
    }

    /// The oldest segment, which begins at `segment_start`, has expired: its queues begin behind it, and it is forgotten. Nobody waits
    /// long for this.
    pub(crate) fn expire(&self, segment_start: u64) {
        let Some(index) = self
            .oldest()
            .filter(|index| index.segment_start() == segment_start)
        else {
            return;
        };
        if let SegmentIndex::Frozen(frozen) = &index {
            self.order(frozen);
        }
        let mut runs = index.runs().peekable();
        while runs.peek().is_some() {
            let mut inner = self.inner.write();
            for (key, (_, end)) in runs.by_ref().take(QUEUES_AT_ONCE) {
                if let Some(queue) = inner.by_name.get(&key).copied() {
                    let state = &mut inner.table[queue.at()];
                    state.min = state.min.max(end);
                }
            }
        }
        // Not before: whoever finds that a queue begins at an offset finds its entry.
        let mut inner = self.inner.write();
        if inner.segments.first().map(SegmentIndex::segment_start) == Some(segment_start) {
            inner.segments.remove(0);
        }
    }

    /// What was known of the queues is of a time before segments expired: each begins with its first entry that there is.
    pub(crate) fn find_floors(&self) {
        let mut inner = self.inner.write();
        let inner = &mut *inner;
        let mut bases: HashMap<QueueNo, u64, RandomState> = HashMap::default();
        for segment in &inner.segments {
            for (key, (base, _)) in segment.runs() {
                if let Some(queue) = inner.by_name.get(&key) {
                    bases.entry(*queue).or_insert(base);
                }
            }
        }
        for (queue, run) in &inner.live {
            bases.entry(*queue).or_insert(run.base);
        }
        for queue in inner.by_name.values() {
            let state = &mut inner.table[queue.at()];
            let first = bases.get(queue).copied().unwrap_or(state.end);
            state.min = state.min.max(first);
        }
    }

    /// The first offset of a queue whose record lies at or behind `position`; its end if there is none. `None` for a queue that was
    /// never written.
    pub(crate) fn offset_from(&self, key: QueueKey<'_>, position: u64) -> Result<Option<u64>, Damaged> {
        let Some(QueueRange { min, max }) = self.range(key) else {
            return Ok(None);
        };
        let (mut low, mut high) = (min, max);
        let mut found = Vec::with_capacity(1);
        while low < high {
            let middle = low + (high - low) / 2;
            found.clear();
            self.copy(key, middle, 1, &mut found)?;
            if found.first().is_none_or(|entry| entry.position < position) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(Some(low))
    }
}
