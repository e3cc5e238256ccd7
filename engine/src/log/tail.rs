//! The tail cache: the very buffers that groups were written from, kept for readers until a bound.
//!
//! A group's buffer is frozen before it gets here and is never written again, so a slice of it is as good as the disk's copy:
//! nothing above the durable watermark is ever in the cache.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::RwLock;

#[derive(Debug)]
struct Group {
    /// Position of the first byte of `bytes`.
    start: u64,
    /// Position after the last record's last byte.
    end: u64,
    /// Whole blocks: what was already durable of the first block, the group's records, zeros.
    bytes: Bytes,
}

/// The most recent groups.
#[derive(Debug)]
pub(crate) struct TailCache {
    inner: RwLock<Inner>,
    size_bytes_max: u64,
}

#[derive(Debug, Default)]
struct Inner {
    groups: VecDeque<Group>,
    size_bytes: u64,
}

impl TailCache {
    pub(crate) fn new(size_bytes_max: u64) -> Self {
        Self {
            inner: RwLock::default(),
            size_bytes_max,
        }
    }

    /// Adds a durable group: `bytes` lies at `start`, and its records end at `end`. Evicts the oldest over the bound.
    pub(crate) fn push(&self, start: u64, end: u64, bytes: Bytes) {
        let mut inner = self.inner.write();
        inner.size_bytes += bytes.len() as u64;
        inner.groups.push_back(Group { start, end, bytes });
        while inner.size_bytes > self.size_bytes_max
            && let Some(oldest) = inner.groups.pop_front()
        {
            inner.size_bytes -= oldest.bytes.len() as u64;
        }
    }

    /// Forgets the groups that end at or before `position`: what has expired is not read from memory either.
    pub(crate) fn forget_before(&self, position: u64) {
        let mut inner = self.inner.write();
        while let Some(oldest) = inner.groups.front()
            && oldest.end <= position
        {
            inner.size_bytes -= oldest.bytes.len() as u64;
            inner.groups.pop_front();
        }
    }

    /// The bytes `[position, position + size_bytes)` if one group holds them all.
    pub(crate) fn slice(&self, position: u64, size_bytes: usize) -> Option<Bytes> {
        let inner = self.inner.read();
        let after = inner.groups.partition_point(|group| group.start <= position);
        let group = inner.groups.get(after.checked_sub(1)?)?;
        let end = position.checked_add(size_bytes as u64)?;
        if end > group.end {
            return None;
        }
        let from = usize::try_from(position - group.start).ok()?;
        Some(group.bytes.slice(from..from + size_bytes))
    }

    /// Whether the byte at `position` is in the cache.
    pub(crate) fn holds(&self, position: u64) -> bool {
        self.slice(position, 1).is_some()
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn slices_come_from_the_newest_group_that_begins_before_them() {
        let cache = TailCache::new(1 << 20);
        cache.push(0, 5, Bytes::from_static(b"aaaaa000"));
        // The next group rewrites the first block.
        cache.push(0, 8, Bytes::from_static(b"aaaaabbb"));
        cache.push(8, 12, Bytes::from_static(b"cccc0000"));
        assert_eq!(cache.slice(5, 3).unwrap(), "bbb");
        assert_eq!(cache.slice(0, 5).unwrap(), "aaaaa");
        assert_eq!(cache.slice(8, 4).unwrap(), "cccc");
        assert_eq!(cache.slice(8, 5), None, "nothing beyond the records");
        assert_eq!(cache.slice(6, 4), None, "no record crosses groups");
        assert_eq!(cache.slice(12, 1), None);
    }

    #[test]
    fn the_oldest_go_first() {
        let cache = TailCache::new(16);
        for start in [0, 8, 16] {
            cache.push(start, start + 8, Bytes::from_static(b"12345678"));
        }
        assert_eq!(cache.slice(0, 8), None);
        assert!(cache.holds(8) && cache.holds(23) && !cache.holds(24));
    }
}
