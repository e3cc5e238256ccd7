//! Records that lie close together, read together.

use bytes::Bytes;

use crate::index::IndexEntry;

/// How far apart records may lie that are read together: what a pull asks for, with what other queues have in between.
pub(super) const WINDOW_SIZE_BYTES_MAX: u64 = 1 << 20;

/// A stretch of a mapped segment that has been read into memory.
pub(super) struct Window {
    pub(super) start: u64,
    pub(super) bytes: Bytes,
}

impl Window {
    pub(super) const fn none() -> Self {
        Self {
            start: 0,
            bytes: Bytes::new(),
        }
    }

    fn range(&self, entry: &IndexEntry) -> Option<std::ops::Range<usize>> {
        let from = usize::try_from(entry.position.checked_sub(self.start)?).ok()?;
        let to = from.checked_add(entry.size_bytes as usize)?;
        (to <= self.bytes.len()).then_some(from..to)
    }

    pub(super) fn holds(&self, entry: &IndexEntry) -> bool {
        self.range(entry).is_some()
    }

    pub(super) fn slice(&self, entry: &IndexEntry) -> Option<Bytes> {
        self.range(entry).map(|range| self.bytes.slice(range))
    }
}
