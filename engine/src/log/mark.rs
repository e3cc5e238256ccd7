//! The group mark: the first thing in each group.
//!
//! Groups reach the disk one after the other, so a whole mark proves that everything before it was durable. That is what tells
//! a torn tail, which is cut, from a damaged record in the middle, which is reported: behind the first there is no mark.
//!
//! ```text
//!   0  total size u32 = 32     4  magic u32 = "KGM1"     8  own position u64
//!  16  epoch u64              24  zero u32              28  crc32 of bytes 0..28 u32       big-endian, as records are
//! ```
//!
//! It begins like a record, with size and magic, so that whoever walks the log can step over it.

/// A mark's size.
pub(crate) const MARK_SIZE_BYTES: u64 = 32;

const MAGIC: u32 = u32::from_be_bytes(*b"KGM1");

/// A group's mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) position: u64,
    pub(crate) epoch: u64,
}

impl Mark {
    pub(crate) fn encode(self) -> [u8; MARK_SIZE_BYTES as usize] {
        let mut bytes = [0; MARK_SIZE_BYTES as usize];
        bytes[..4].copy_from_slice(&(MARK_SIZE_BYTES as u32).to_be_bytes());
        bytes[4..8].copy_from_slice(&MAGIC.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.position.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.epoch.to_be_bytes());
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// Whether `bytes` begin as a mark does.
    pub(crate) fn announced_by(bytes: &[u8]) -> bool {
        bytes.get(4..8) == Some(&MAGIC.to_be_bytes())
    }

    /// The mark at the start of `bytes`, if it is whole and says that it lies at `position`.
    pub(crate) fn decode(bytes: &[u8], position: u64) -> Option<Self> {
        let bytes = bytes.first_chunk::<{ MARK_SIZE_BYTES as usize }>()?;
        let field = |at: usize| {
            let mut field = [0; 8];
            field.copy_from_slice(&bytes[at..at + 8]);
            u64::from_be_bytes(field)
        };
        let mark = Self {
            position: field(8),
            epoch: field(16),
        };
        // Encoding again compares the checksum and every fixed byte at once.
        (mark.position == position && mark.encode() == *bytes).then_some(mark)
    }

    /// The magic, for a search through bytes.
    pub(crate) fn magic() -> [u8; 4] {
        MAGIC.to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_one_only_where_it_was_written_and_whole() {
        let mark = Mark {
            position: 4096,
            epoch: 3,
        };
        let clean = mark.encode();
        assert_eq!(Mark::decode(&clean, 4096), Some(mark));
        assert_eq!(Mark::decode(&clean, 8192), None);
        assert_eq!(Mark::decode(&clean[..31], 4096), None);
        for bit in 0..clean.len() * 8 {
            let mut bytes = clean;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Mark::decode(&bytes, 4096), None, "bit {bit}");
        }
    }
}
