//! The system flags of messages, pulls, topics, and the permission bits.

/// The body is compressed, see [`Compression`].
pub const COMPRESSED: i32 = 0x1;
/// The message has several tags.
pub const MULTI_TAGS: i32 = 0x2;
/// The transaction bits.
pub const TRANSACTION_MASK: i32 = 0xC;
/// Half of a transaction.
pub const TRANSACTION_PREPARED: i32 = 0x4;
/// The message a transaction ended with.
pub const TRANSACTION_COMMIT: i32 = 0x8;
/// The end of a transaction that left no message.
pub const TRANSACTION_ROLLBACK: i32 = 0xC;
/// The producer's address has sixteen bytes.
pub const BORN_HOST_V6: i32 = 0x10;
/// The broker's address has sixteen bytes.
pub const STORE_HOST_V6: i32 = 0x20;
/// The client has to unwrap a batch.
pub const NEED_UNWRAP: i32 = 0x40;
/// The record is a batch.
pub const INNER_BATCH: i32 = 0x80;
/// Where the kind of compression stands.
pub const COMPRESSION_MASK: i32 = 0x700;

/// How a body is compressed. The broker passes bodies through; only clients look inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// An LZ4 frame.
    Lz4,
    /// A Zstandard frame.
    Zstd,
    /// A zlib stream; also what old clients mean when they say nothing.
    Zlib,
    /// A kind nobody has defined.
    Unknown(i32),
}

impl Compression {
    /// What the flags of a message say; `None` if its body is not compressed.
    pub const fn of(sys_flag: i32) -> Option<Self> {
        if sys_flag & COMPRESSED == 0 {
            return None;
        }
        Some(match (sys_flag & COMPRESSION_MASK) >> 8 {
            1 => Self::Lz4,
            2 => Self::Zstd,
            0 | 3 => Self::Zlib,
            other => Self::Unknown(other),
        })
    }

    /// The flags to set on a message.
    pub const fn flags(self) -> i32 {
        COMPRESSED
            | match self {
                Self::Lz4 => 0x100,
                Self::Zstd => 0x200,
                Self::Zlib => 0x300,
                Self::Unknown(kind) => (kind << 8) & COMPRESSION_MASK,
            }
    }
}

/// Flags of a pull request.
pub mod pull {
    /// The commit offset counts.
    pub const COMMIT_OFFSET: i32 = 1;
    /// The request may be held while there is nothing.
    pub const SUSPEND: i32 = 2;
    /// The filter is in the request.
    pub const SUBSCRIPTION: i32 = 4;
    /// A filter class decides.
    pub const CLASS_FILTER: i32 = 8;
    /// The request comes from a lite pull consumer.
    pub const LITE_PULL: i32 = 16;
}

/// Permission bits of topics and brokers.
pub mod perm {
    /// New topics may take this one's settings over.
    pub const INHERIT: i32 = 1;
    /// May be written.
    pub const WRITE: i32 = 2;
    /// May be read.
    pub const READ: i32 = 4;
    /// Is preferred.
    pub const PRIORITY: i32 = 8;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_kinds() {
        assert_eq!(Compression::of(0x300), None);
        assert_eq!(Compression::of(COMPRESSED), Some(Compression::Zlib));
        for kind in [
            Compression::Lz4,
            Compression::Zstd,
            Compression::Zlib,
            Compression::Unknown(5),
        ] {
            assert_eq!(Compression::of(kind.flags()), Some(kind));
        }
    }
}
