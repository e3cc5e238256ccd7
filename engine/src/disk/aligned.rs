//! A growable byte buffer whose first byte lies on a block boundary, as O_DIRECT asks of the memory it reads from.

use std::fmt;

use bytes::Bytes;

/// Alignment of memory, file positions and lengths in group writes. At least the logical block of any disk we know.
pub const BLOCK_SIZE_BYTES: usize = 4096;

/// Bytes that start at a multiple of [`BLOCK_SIZE_BYTES`] in memory.
///
/// It is a vector with a few bytes too many: the content starts at the first block boundary in it.
///
/// ```text
/// vec:   |..start..|content ... len|..spare..|
///                  ^ multiple of BLOCK_SIZE_BYTES
/// ```
pub struct AlignedBuf {
    /// Never reallocated while it has content: that would move the boundary.
    vec: Vec<u8>,
    start: usize,
}

impl AlignedBuf {
    /// An empty buffer that can take `capacity_bytes`, rounded up to whole blocks, without moving.
    pub fn with_capacity(capacity_bytes: usize) -> Self {
        let capacity_bytes = capacity_bytes.next_multiple_of(BLOCK_SIZE_BYTES);
        let mut vec: Vec<u8> = Vec::with_capacity(capacity_bytes + BLOCK_SIZE_BYTES - 1);
        let start = vec.as_ptr().addr().wrapping_neg() % BLOCK_SIZE_BYTES;
        vec.resize(start, 0);
        Self { vec, start }
    }

    /// As many zeros, rounded up to whole blocks. Many of them take no memory before they are written to.
    pub fn zeroed(size_bytes: usize) -> Self {
        let size_bytes = size_bytes.next_multiple_of(BLOCK_SIZE_BYTES);
        let mut vec = vec![0; size_bytes + BLOCK_SIZE_BYTES - 1];
        let start = vec.as_ptr().addr().wrapping_neg() % BLOCK_SIZE_BYTES;
        vec.truncate(start + size_bytes);
        Self { vec, start }
    }

    /// How many bytes it holds.
    pub fn len(&self) -> usize {
        self.vec.len() - self.start
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes it can hold without moving.
    pub fn capacity(&self) -> usize {
        self.vec.capacity() - self.start
    }

    /// Appends `bytes` and returns where they now are. Moves all content to a larger buffer if need be.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> &mut [u8] {
        self.reserve(bytes.len());
        let at = self.vec.len();
        self.vec.extend_from_slice(bytes);
        &mut self.vec[at..]
    }

    /// Appends zeros up to the next multiple of [`BLOCK_SIZE_BYTES`] and returns how many.
    pub fn pad_to_block(&mut self) -> usize {
        let missing = self.len().next_multiple_of(BLOCK_SIZE_BYTES) - self.len();
        self.reserve(missing);
        self.vec.resize(self.vec.len() + missing, 0);
        missing
    }

    /// Forgets all bytes from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.vec.truncate(self.start.saturating_add(len));
    }

    /// Forgets all bytes and keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.vec[self.start..]
    }

    /// The bytes.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.vec[self.start..]
    }

    /// The same memory as shared, immutable bytes; nothing is copied.
    pub fn freeze(self) -> Bytes {
        Bytes::from(self.vec).slice(self.start..)
    }

    fn reserve(&mut self, additional: usize) {
        let needed = self.len() + additional;
        if needed > self.capacity() {
            let mut larger = Self::with_capacity(needed.max(self.capacity() * 2));
            larger.vec.extend_from_slice(self.as_slice());
            *self = larger;
        }
    }
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
    fn zeros_are_aligned_whole_blocks() {
        for (size, held) in [(0, 0), (1, 4096), (4096, 4096), (1 << 20, 1 << 20)] {
            let buf = AlignedBuf::zeroed(size);
            assert_aligned(&buf);
            assert_eq!(buf.len(), held);
            assert!(buf.as_slice().iter().all(|byte| *byte == 0));
        }
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
