//! What starts at a position of a segment: told from eight bytes.

use super::layout::{MAGIC_BLANK, MAGIC_V1, MAGIC_V2, RECORD_HEAD_SIZE_BYTES, RECORD_SIZE_BYTES_MIN};

/// What the first bytes at a position announce. Nothing behind them has been looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peek {
    /// A record of this total size, which may still be a lie: compare it with what is left of the segment.
    Message(u32),
    /// The rest of the segment is blank; this is its size, from this position to the segment's end.
    Blank(u32),
    /// Zeros: nothing has been written here.
    Zero,
    /// Neither of these.
    Invalid,
    /// Fewer than eight bytes were given.
    Short,
}

/// Looks at the head of a record.
pub fn peek_size(bytes: &[u8]) -> Peek {
    let Some(&[s0, s1, s2, s3, m0, m1, m2, m3]) = bytes.first_chunk::<RECORD_HEAD_SIZE_BYTES>() else {
        return Peek::Short;
    };
    let size = u32::from_be_bytes([s0, s1, s2, s3]);
    match u32::from_be_bytes([m0, m1, m2, m3]) {
        0 if size == 0 => Peek::Zero,
        MAGIC_V1 | MAGIC_V2 if size >= RECORD_SIZE_BYTES_MIN as u32 && size <= i32::MAX as u32 => {
            Peek::Message(size)
        }
        MAGIC_BLANK if size >= RECORD_HEAD_SIZE_BYTES as u32 => Peek::Blank(size),
        _ => Peek::Invalid,
    }
}

/// The head of a blank record that covers the last `size_bytes` of a segment. The bytes after it mean nothing.
pub const fn blank(size_bytes: u32) -> [u8; RECORD_HEAD_SIZE_BYTES] {
    let [s0, s1, s2, s3] = size_bytes.to_be_bytes();
    let [m0, m1, m2, m3] = MAGIC_BLANK.to_be_bytes();
    [s0, s1, s2, s3, m0, m1, m2, m3]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(size: u32, magic: u32) -> Vec<u8> {
        [size.to_be_bytes(), magic.to_be_bytes()].concat()
    }

    #[test]
    fn tells_the_kinds_apart() {
        assert_eq!(peek_size(&head(91, MAGIC_V1)), Peek::Message(91));
        assert_eq!(peek_size(&head(4000, MAGIC_V2)), Peek::Message(4000));
        assert_eq!(peek_size(&blank(8)), Peek::Blank(8));
        assert_eq!(peek_size(&blank(1 << 30)), Peek::Blank(1 << 30));
        assert_eq!(peek_size(&[0; 8]), Peek::Zero);
        assert_eq!(peek_size(&[0; 7]), Peek::Short);
    }

    #[test]
    fn refuses_sizes_that_cannot_be() {
        assert_eq!(peek_size(&head(90, MAGIC_V1)), Peek::Invalid);
        assert_eq!(peek_size(&head(0x8000_0000, MAGIC_V1)), Peek::Invalid);
        assert_eq!(peek_size(&blank(7)), Peek::Invalid);
        assert_eq!(peek_size(&head(5, 0)), Peek::Invalid);
        assert_eq!(peek_size(&head(0, MAGIC_V1)), Peek::Invalid);
    }
}
