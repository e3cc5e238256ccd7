//! Marks: what begins a group, and what begins a batch in it.
//!
//! Groups reach the disk one after the other, so a whole group mark proves that everything before it was durable. That is what tells
//! a torn tail, which is cut, from a damaged record in the middle, which is reported: behind the first there is no group mark.
//!
//! A batch is an append of several records, which are in the log all or not at all. A power cut may leave the first of them whole, so
//! the mark before them says how far they reach: recovery takes them in together, or cuts them off together. A record with no
//! such mark before it stands for itself. A batch's mark proves nothing of what is before it: a torn write may leave the end of a
//! group without its beginning.
//!
//! ```text
//!   0  total size u32 = 32     4  magic u32 = "KGM1", "KBM1"       8  own position u64
//!  16  epoch u64              24  size of the batch's records u32 (of a group's mark 0)
//!  28  crc32 of bytes 0..28 u32                                  big-endian, as records are
//! ```
//!
//! Both begin like a record, with size and magic, so that whoever walks the log can step over them.

/// A mark's size.
pub(crate) const MARK_SIZE_BYTES: u64 = 32;

const GROUP_MAGIC: [u8; 4] = *b"KGM1";
const BATCH_MAGIC: [u8; 4] = *b"KBM1";

/// What a mark begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    /// What reaches the disk in one write.
    Group,
    /// Records of this size together, which stand or fall together.
    Batch { size_bytes: u32 },
}

/// A mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) position: u64,
    pub(crate) epoch: u64,
    pub(crate) begins: Begins,
}

impl Mark {
    pub(crate) fn encode(self) -> [u8; MARK_SIZE_BYTES as usize] {
        let (magic, size_bytes) = match self.begins {
            Begins::Group => (GROUP_MAGIC, 0),
            Begins::Batch { size_bytes } => (BATCH_MAGIC, size_bytes),
        };
        let mut bytes = [0; MARK_SIZE_BYTES as usize];
        bytes[..4].copy_from_slice(&(MARK_SIZE_BYTES as u32).to_be_bytes());
        bytes[4..8].copy_from_slice(&magic);
        bytes[8..16].copy_from_slice(&self.position.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[24..28].copy_from_slice(&size_bytes.to_be_bytes());
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// Whether `bytes` begin as a mark does.
    pub(crate) fn announced_by(bytes: &[u8]) -> bool {
        matches!(bytes.get(4..8), Some(magic) if magic == GROUP_MAGIC || magic == BATCH_MAGIC)
    }

    /// The mark at the start of `bytes`, if it is whole and says that it lies at `position`.
    pub(crate) fn decode(bytes: &[u8], position: u64) -> Option<Self> {
        let bytes = bytes.first_chunk::<{ MARK_SIZE_BYTES as usize }>()?;
        let field = |at: usize| {
            let mut field = [0; 8];
            field.copy_from_slice(&bytes[at..at + 8]);
            u64::from_be_bytes(field)
        };
        let begins = if bytes[4..8] == BATCH_MAGIC {
            Begins::Batch {
                size_bytes: (field(24) >> 32) as u32,
            }
        } else {
            Begins::Group
        };
        let mark = Self {
            position: field(8),
            epoch: field(16),
            begins,
        };
        // Encoding again compares the checksum and every fixed byte at once.
        (mark.position == position && mark.encode() == *bytes).then_some(mark)
    }

    /// What a group's mark has in the place of the magic, for a search through bytes.
    pub(crate) fn group_magic() -> [u8; 4] {
        GROUP_MAGIC
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_one_only_where_it_was_written_and_whole() {
        for begins in [Begins::Group, Begins::Batch { size_bytes: 70_000 }] {
            let mark = Mark {
                position: 4096,
                epoch: 3,
                begins,
            };
            let clean = mark.encode();
            assert!(Mark::announced_by(&clean));
            assert_eq!(Mark::decode(&clean, 4096), Some(mark));
            assert_eq!(Mark::decode(&clean, 8192), None);
            assert_eq!(Mark::decode(&clean[..31], 4096), None);
            for bit in 0..clean.len() * 8 {
                let mut bytes = clean;
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Mark::decode(&bytes, 4096), None, "{begins:?} bit {bit}");
            }
        }
    }
}
