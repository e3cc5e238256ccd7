//! A growable byte buffer whose first byte lies on a block boundary, as O_DIRECT asks of the memory it reads from.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Alignment of memory, file positions and lengths in group writes. At least the logical block of any disk we know.
pub const BLOCK_SIZE_BYTES: usize = 4096;

/// Bytes that start at a multiple of [`BLOCK_SIZE_BYTES`] in memory.
///
/// It has a few bytes too many: the content starts at the first block boundary in them. What was written can be split off and
/// frozen, and the memory behind it filled further; once all that was split off is gone, all of the memory can be had again.
///
/// ```text
/// memory:  |.....|split off|split off|content ... len|..spare..|
///                ^ multiples of BLOCK_SIZE_BYTES
/// ```
pub struct AlignedBuf {
    /// Never reallocated while it has content: that would move the boundary.
    bytes: BytesMut,
}

impl AlignedBuf {
    /// An empty buffer that can take `capacity_bytes`, rounded up to whole blocks, without moving.
    pub fn with_capacity(capacity_bytes: usize) -> Self {
        let mut buf = Self {
            bytes: BytesMut::with_capacity(with_slack(capacity_bytes)),
        };
        buf.align();
        buf
    }

    /// How many bytes it holds.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes it can hold without moving.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Appends `bytes` and returns where they now are. Moves all content to a larger buffer if need be.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> &mut [u8] {
        self.reserve(bytes.len());
        let at = self.len();
        self.bytes.extend_from_slice(bytes);
        &mut self.bytes[at..]
    }

    /// Appends zeros up to the next multiple of [`BLOCK_SIZE_BYTES`] and returns how many.
    pub fn pad_to_block(&mut self) -> usize {
        let missing = self.len().next_multiple_of(BLOCK_SIZE_BYTES) - self.len();
        self.reserve(missing);
        self.bytes.put_bytes(0, missing);
        missing
    }

    /// Forgets all bytes from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// Forgets all bytes and keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The same memory as shared, immutable bytes; nothing is copied.
    pub fn freeze(self) -> Bytes {
        self.bytes.freeze()
    }

    /// Pads the content to whole blocks and takes it out; this one goes on behind it. Nothing is copied.
    #[must_use]
    pub fn split(&mut self) -> Self {
        self.pad_to_block();
        Self {
            bytes: self.bytes.split(),
        }
    }

    /// Makes room for `capacity_bytes`, rounded up to whole blocks, in the memory that it was made with, if nothing that was
    /// split off is left and it is that large. It must be empty. Whether it succeeded.
    pub fn reclaim(&mut self, capacity_bytes: usize) -> bool {
        let reclaimed = self.is_empty() && self.bytes.try_reclaim(with_slack(capacity_bytes));
        if reclaimed {
            self.align();
        }
        reclaimed
    }

    /// Moves an empty buffer to the next block boundary.
    fn align(&mut self) {
        let slack = to_boundary(&self.bytes);
        self.bytes.put_bytes(0, slack);
        self.bytes.advance(slack);
    }

    fn reserve(&mut self, additional: usize) {
        let needed = self.len() + additional;
        if needed > self.capacity() {
            let mut larger = Self::with_capacity(needed.max(self.capacity() * 2));
            larger.bytes.extend_from_slice(self.as_slice());
            *self = larger;
        }
    }
}

/// Bytes in which some block boundary leaves room for `size_bytes` in whole blocks.
fn with_slack(size_bytes: usize) -> usize {
    size_bytes.next_multiple_of(BLOCK_SIZE_BYTES) + BLOCK_SIZE_BYTES - 1
}

/// Bytes from the start of `bytes` to a block boundary.
fn to_boundary(bytes: &BytesMut) -> usize {
    bytes.as_ptr().addr().wrapping_neg() % BLOCK_SIZE_BYTES
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_aligned(buf: &AlignedBuf) {
        assert_eq!(buf.as_slice().as_ptr().addr() % BLOCK_SIZE_BYTES, 0);
    }

    #[test]
    fn is_aligned_at_any_capacity_and_stays_so() {
        for capacity in [0, 1, 100, 4095, 4096, 4097, 1 << 20] {
            let mut buf = AlignedBuf::with_capacity(capacity);
            assert_aligned(&buf);
            assert!(buf.capacity() >= capacity);
            let mut expected = Vec::new();
            for round in 0..40_u8 {
                let piece = vec![round; 997];
                buf.extend_from_slice(&piece);
                expected.extend_from_slice(&piece);
                assert_aligned(&buf);
            }
            assert_eq!(buf.as_slice(), expected);
        }
    }

    #[test]
    fn does_not_move_within_its_capacity() {
        let mut buf = AlignedBuf::with_capacity(8192);
        let before = buf.as_slice().as_ptr();
        buf.extend_from_slice(&[1; 8191]);
        buf.pad_to_block();
        assert_eq!(buf.len(), 8192);
        assert_eq!(buf.as_slice().as_ptr(), before);
        buf.clear();
        assert!(buf.is_empty());
        assert_eq!(buf.as_slice().as_ptr(), before);
    }

    #[test]
    fn pads_with_zeros_to_whole_blocks() {
        let mut buf = AlignedBuf::with_capacity(1);
        assert_eq!(buf.pad_to_block(), 0);
        buf.extend_from_slice(&[7; 4097]);
        assert_eq!(buf.pad_to_block(), 4095);
        assert_eq!(buf.len(), 8192);
        assert!(buf.as_slice()[4097..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn freezing_does_not_copy() {
        let mut buf = AlignedBuf::with_capacity(4096);
        buf.extend_from_slice(b"abc")[0] = b'x';
        buf.as_mut_slice()[1] = b'y';
        let at = buf.as_slice().as_ptr();
        let bytes = buf.freeze();
        assert_eq!(&bytes[..], b"xyc");
        assert_eq!(bytes.as_ptr(), at);
    }

    #[test]
    fn what_is_split_off_stays_and_its_memory_comes_back_when_it_is_gone() {
        const CAPACITY: usize = 3 * BLOCK_SIZE_BYTES;
        let mut buf = AlignedBuf::with_capacity(CAPACITY);
        let memory = buf.as_slice().as_ptr();
        for round in 0..5_u8 {
            buf.extend_from_slice(&[round; 10]);
            let first = buf.split();
            buf.extend_from_slice(&[round + 1; 5000]);
            let second = buf.split();
            assert!(buf.is_empty());
            for (part, size) in [(&first, 4096), (&second, 8192)] {
                assert_aligned(part);
                assert_eq!(part.len(), size);
            }
            let (first, second) = (first.freeze(), second.freeze());
            assert_eq!((first.as_ptr(), first[9], first[10]), (memory, round, 0));
            assert_eq!((second[4999], second[5000]), (round + 1, 0));
            drop(first);
            let slice = second.slice(7..8);
            drop(second);
            assert!(!buf.reclaim(CAPACITY), "a slice is left");
            drop(slice);
            assert!(buf.reclaim(CAPACITY));
            assert!(buf.capacity() >= CAPACITY);
        }
        assert!(!buf.reclaim(1 << 20), "it never was that large");
    }

    #[test]
    fn truncates() {
        let mut buf = AlignedBuf::with_capacity(4096);
        buf.extend_from_slice(b"abcdef");
        buf.truncate(4);
        buf.truncate(100);
        assert_eq!(buf.as_slice(), b"abcd");
    }
}
