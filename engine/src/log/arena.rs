//! The memory that groups are written from.
//!
//! Groups are built one behind the other in chunks. A group stays in its chunk while the tail cache or a reader has a slice of
//! it; when none has one of any group of a chunk, the chunk is used again. So a log that has filled its tail cache once
//! allocates no more, and nothing is copied from one place in memory to another.
//!
//! ```text
//!   oldest used                                  current
//!   [group|group|group|..]  [group|group|..]     [group|group|->        ]
//! ```

use std::collections::VecDeque;

use crate::disk::AlignedBuf;

/// Chunks of memory for groups.
#[derive(Debug)]
pub(crate) struct Arena {
    chunk_size_bytes: usize,
    chunks_max: usize,
    /// The chunk that is being filled, unless a group is being built in it.
    current: Option<AlignedBuf>,
    /// What is left of the chunks before it, oldest first: an empty end, by which the whole chunk can be had again.
    used: VecDeque<AlignedBuf>,
}

impl Arena {
    /// Memory for groups that are kept until they come to `kept_size_bytes` in all.
    pub(crate) fn new(chunk_size_bytes: usize, kept_size_bytes: u64) -> Self {
        let kept_chunks = kept_size_bytes / chunk_size_bytes.max(1) as u64;
        Self {
            chunk_size_bytes,
            // The oldest and the newest chunk are kept in part only.
            chunks_max: usize::try_from(kept_chunks)
                .unwrap_or(usize::MAX)
                .saturating_add(2),
            current: None,
            used: VecDeque::new(),
        }
    }

    /// An empty buffer with room for a group of `size_bytes`, which goes back to [`Arena::group`].
    pub(crate) fn buffer(&mut self, size_bytes: usize) -> AlignedBuf {
        if size_bytes > self.chunk_size_bytes {
            // Memory of its own: a chunk that large would be kept for small groups.
            return AlignedBuf::with_capacity(size_bytes);
        }
        match self.current.take() {
            Some(current) if current.capacity() >= size_bytes => current,
            Some(current) => {
                let next = self.chunk();
                self.used.push_back(current);
                // Somebody holds on to more groups than the tail cache does: whoever lets go last frees them.
                while self.used.len() > self.chunks_max {
                    self.used.pop_front();
                }
                next
            }
            None => self.chunk(),
        }
    }

    /// The group that was built in `buffer`, padded to whole blocks.
    pub(crate) fn group(&mut self, mut buffer: AlignedBuf) -> AlignedBuf {
        let group = buffer.split();
        if group.len() <= self.chunk_size_bytes {
            self.current.get_or_insert(buffer);
        }
        group
    }

    /// A chunk that nobody uses, or a new one.
    fn chunk(&mut self) -> AlignedBuf {
        if let Some(mut oldest) = self.used.pop_front() {
            if oldest.reclaim(self.chunk_size_bytes) {
                return oldest;
            }
            self.used.push_front(oldest);
        }
        AlignedBuf::with_capacity(self.chunk_size_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::disk::BLOCK_SIZE_BYTES;

    /// Appends groups of these sizes, in blocks, and keeps the last `kept` of them. Returns how many chunks there were.
    fn chunks_of(arena: &mut Arena, sizes: impl IntoIterator<Item = usize>, kept: usize) -> usize {
        let mut groups = VecDeque::new();
        let mut places = std::collections::BTreeSet::new();
        for (number, blocks) in sizes.into_iter().enumerate() {
            let mut buffer = arena.buffer(blocks * BLOCK_SIZE_BYTES);
            assert!(buffer.is_empty() && buffer.capacity() >= blocks * BLOCK_SIZE_BYTES);
            buffer.extend_from_slice(&vec![number as u8; blocks * BLOCK_SIZE_BYTES]);
            let group = arena.group(buffer).freeze();
            places.insert(group.as_ptr().addr());
            groups.push_back((number as u8, group));
            if groups.len() > kept {
                groups.pop_front();
            }
            for (number, group) in &groups {
                assert!(group.iter().all(|byte| byte == number));
            }
        }
        places.len()
    }

    #[test]
    fn memory_goes_round() {
        let mut arena = Arena::new(8 * BLOCK_SIZE_BYTES, 32 * BLOCK_SIZE_BYTES as u64);
        let places = chunks_of(&mut arena, std::iter::repeat_n(4, 200), 8);
        assert!(places <= 2 * 6, "{places} places for groups");
        assert!(arena.used.len() <= arena.chunks_max);
    }

    #[test]
    fn who_holds_on_to_groups_does_not_make_the_arena_grow() {
        let mut arena = Arena::new(8 * BLOCK_SIZE_BYTES, 16 * BLOCK_SIZE_BYTES as u64);
        chunks_of(&mut arena, std::iter::repeat_n(3, 100), usize::MAX);
        assert_eq!(arena.used.len(), arena.chunks_max);
    }

    #[test]
    fn a_group_may_be_larger_than_a_chunk() {
        let mut arena = Arena::new(2 * BLOCK_SIZE_BYTES, 16 * BLOCK_SIZE_BYTES as u64);
        chunks_of(&mut arena, [1, 9, 1, 1, 30, 2, 2, 9], 3);
    }
}
