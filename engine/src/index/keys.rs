//! The keys of one segment: for each key of each record, where the record is.
//!
//! ```text
//!  in memory   [ chunk of 8,192 | chunk | ... | the one that grows ]     in the log's order; searched from end to end
//!  in the file   ordered by hash, then by position; see key_table.rs
//! ```
//!
//! An entry takes eight bytes wherever it is. Adding one is a push: a look-up of a key in the live segment costs more, and pays
//! for it, about a millisecond for a million entries. The live segment holds at most [`LIVE_KEYS_MAX`](crate::limits::LIVE_KEYS_MAX) of them
//! and then one more group's: the log goes on in the next segment rather than let it grow.

use std::sync::Arc;

use crate::record::KeyHash;

/// Entries of a chunk: 64 KiB. Readers look through the one that grows while the writer waits, so it is small.
const CHUNK_ENTRIES: usize = 8_192;

/// One key of one record. A hash of 32 bits, then the record's place in its segment, which fits 31.
///
/// The order is that of the file: by hash, then by place, which is also the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyEntry(u64);

impl KeyEntry {
    /// The key of a record that begins `at` bytes behind the beginning of its segment.
    pub(crate) fn new(hash: KeyHash, at: u64) -> Self {
        debug_assert!(at < crate::limits::SEGMENT_SIZE_BYTES_MAX, "a place in a segment");
        Self(u64::from(Self::hash_of(hash)) << 32 | at & u64::from(u32::MAX))
    }

    /// The part of a hash that entries keep.
    pub(crate) fn hash_of(hash: KeyHash) -> u32 {
        (hash.value() >> 32) as u32
    }

    /// The first entry that a hash may have, and the first behind the last one; `None` if there is none behind.
    pub(crate) fn range(hash: u32) -> (Self, Option<Self>) {
        let next = hash.checked_add(1).map(|next| Self(u64::from(next) << 32));
        (Self(u64::from(hash) << 32), next)
    }

    pub(crate) fn hash(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// How far behind the segment's beginning the record begins.
    pub(crate) fn at(self) -> u64 {
        self.0 & u64::from(u32::MAX)
    }

    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// Entries in the log's order, with memory that is taken a chunk at a time.
#[derive(Debug, Default)]
pub(crate) struct KeyChunks {
    full: Vec<Arc<Vec<KeyEntry>>>,
    last: Vec<KeyEntry>,
}

impl KeyChunks {
    pub(crate) fn len(&self) -> usize {
        self.full.len() * CHUNK_ENTRIES + self.last.len()
    }

    pub(crate) fn extend(&mut self, entries: impl IntoIterator<Item = KeyEntry>) {
        for entry in entries {
            if self.last.len() == CHUNK_ENTRIES {
                let full = std::mem::replace(&mut self.last, Vec::with_capacity(CHUNK_ENTRIES));
                self.full.push(Arc::new(full));
            }
            self.last.push(entry);
        }
    }

    /// All entries, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = KeyEntry> {
        let full = self.full.iter().flat_map(|chunk| chunk.iter());
        full.chain(&self.last).copied()
    }

    /// The full chunks, which can be searched without holding up whoever adds to them; and the positions in the last one, newest
    /// first.
    pub(crate) fn split(&self, start: u64, hash: u32, below: u64, max: usize) -> (FullChunks, Vec<u64>) {
        let full = FullChunks(self.full.clone());
        (full, newest([self.last.as_slice()], start, hash, below, max))
    }

    /// The positions of the newest `max` entries below `below` with this hash, newest first; the segment begins at `start`.
    pub(crate) fn newest(&self, start: u64, hash: u32, below: u64, max: usize) -> Vec<u64> {
        let full = self.full.iter().rev().map(|chunk| chunk.as_slice());
        let chunks = std::iter::once(self.last.as_slice()).chain(full);
        newest(chunks, start, hash, below, max)
    }
}

/// Chunks that nobody adds to any more.
#[derive(Debug)]
pub(crate) struct FullChunks(Vec<Arc<Vec<KeyEntry>>>);

impl FullChunks {
    /// As [`KeyChunks::newest`].
    pub(crate) fn newest(&self, start: u64, hash: u32, below: u64, max: usize) -> Vec<u64> {
        newest(
            self.0.iter().rev().map(|chunk| chunk.as_slice()),
            start,
            hash,
            below,
            max,
        )
    }
}

/// Searches chunks, the newest first.
fn newest<'a>(
    chunks: impl IntoIterator<Item = &'a [KeyEntry]>,
    start: u64,
    hash: u32,
    below: u64,
    max: usize,
) -> Vec<u64> {
    let below = below.saturating_sub(start);
    let entries = chunks.into_iter().flat_map(|chunk| chunk.iter().rev());
    entries
        .filter(|entry| entry.hash() == hash && entry.at() < below)
        .take(max)
        .map(|entry| start + entry.at())
        .collect()
}

/// The keys that a group brings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewKeys<'a> {
    /// Of the segment that its records are in.
    pub(crate) segment_start: u64,
    /// When they were stored.
    pub(crate) store_ms: i64,
    pub(crate) entries: &'a [KeyEntry],
}

impl NewKeys<'_> {
    /// None.
    #[cfg(test)]
    pub(crate) const NONE: Self = NewKeys {
        segment_start: 0,
        store_ms: 0,
        entries: &[],
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_keep_all_in_order() {
        let mut chunks = KeyChunks::default();
        let hashes: Vec<_> = (0..7_u32)
            .map(|key| KeyHash::new("t", &key.to_le_bytes()))
            .collect();
        let all: Vec<_> = (0..30_000_u64)
            .map(|at| KeyEntry::new(hashes[at as usize % 7], at * 100))
            .collect();
        chunks.extend(all.iter().copied());
        assert_eq!(chunks.len(), all.len());
        assert!(chunks.iter().eq(all.iter().copied()));
        let hash = KeyEntry::hash_of(hashes[3]);
        let expected: Vec<_> = (3..30_000_u32)
            .step_by(7)
            .map(|at| 50 + u64::from(at) * 100)
            .rev()
            .collect();
        assert_eq!(chunks.newest(50, hash, u64::MAX, usize::MAX), expected);
        let (full, mut found) = chunks.split(50, hash, u64::MAX, usize::MAX);
        assert!(!found.is_empty());
        found.extend(full.newest(50, hash, u64::MAX, usize::MAX));
        assert_eq!(found, expected);
        let below = expected[20];
        assert_eq!(chunks.newest(50, hash, below, 10), expected[21..31]);
        assert_eq!(chunks.newest(50, hash, 49, 10), [0; 0]);
    }

    #[test]
    fn an_entry_says_hash_and_place() {
        let hash = KeyHash::new("t", b"k");
        let entry = KeyEntry::new(hash, (1 << 31) - 1);
        assert_eq!(
            (entry.hash(), entry.at()),
            (KeyEntry::hash_of(hash), (1 << 31) - 1)
        );
        let (first, behind) = KeyEntry::range(entry.hash());
        assert!(first <= entry && entry < behind.unwrap());
        assert_eq!(KeyEntry::range(u32::MAX).1, None);
    }
}
