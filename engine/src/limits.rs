//! Bounds that hold everywhere in the engine.

use crate::disk::BLOCK_SIZE_BYTES;

/// Longest append, single or batch, in encoded bytes: what one group can hold at the most. Recovery relies on it: a
/// power cut tears at most one group, so whatever is broken further than this below a whole record was not torn, it rotted.
pub const APPEND_SIZE_BYTES_MAX: u64 = 16 << 20;

/// Smallest segment: it must hold the longest append, its end-of-segment record and a block to spare.
pub const SEGMENT_SIZE_BYTES_MIN: u64 = 64 << 10;

/// Largest segment: index entries address a segment with 32 bits.
pub const SEGMENT_SIZE_BYTES_MAX: u64 = 1 << 31;

/// In relaxed mode, the longest time that a written byte waits for its sync while the process lives.
pub const RELAXED_SYNC_INTERVAL_MS: u64 = 500;

/// The first stretch that is zero-written in a new store: small, because the first append waits for it.
pub const AHEAD_FIRST_STEP_BYTES: u64 = 256 << 10;

/// The stretch that is zero-written at a time afterwards.
pub const AHEAD_STEP_BYTES: u64 = 1 << 20;

/// What is zero-written at once of a step. It is short because the file system lets no group into a file that is being extended.
pub const AHEAD_WRITE_BYTES: u64 = 256 << 10;

/// Checkpoints are written and synced in steps of this size, for the same reason.
pub const CHECKPOINT_WRITE_BYTES: usize = 256 << 10;

/// On a full disk, messages are refused while this much zero-written space is left, so that state records (offsets, topics,
/// groups) still find room.
pub const STATE_RESERVE_BYTES: u64 = 1 << 20;

/// Keys of the records of the live segment that are kept in memory, eight bytes each. With more the log goes on in the next segment,
/// so that the memory is bounded by this, what one group adds, and the same again while the segment's index file is written.
pub const LIVE_KEYS_MAX: usize = 8 << 20;

/// Most segments that are removed in one go, as upstream's `deleteFileBatchMax`; the work behind the log waits for it.
pub const SEGMENTS_EXPIRED_AT_ONCE_MAX: usize = 10;

/// With less than this free, a full disk gives up its oldest segment, see [`crate::Retention::disk_percent_max`].
pub const FULL_FREE_SIZE_BYTES: u64 = 2 * AHEAD_STEP_BYTES + STATE_RESERVE_BYTES;

/// Bytes that the end-of-segment record needs: total size and magic.
pub const BLANK_SIZE_BYTES: u64 = 8;

const _: () = assert!(
    AHEAD_FIRST_STEP_BYTES.is_multiple_of(BLOCK_SIZE_BYTES as u64),
    "zeroing stops at block edges"
);
const _: () = assert!(
    AHEAD_STEP_BYTES.is_multiple_of(BLOCK_SIZE_BYTES as u64),
    "zeroing stops at block edges"
);
const _: () = assert!(
    AHEAD_WRITE_BYTES.is_multiple_of(BLOCK_SIZE_BYTES as u64),
    "a write past the page cache is whole blocks"
);
const _: () = assert!(
    SEGMENT_SIZE_BYTES_MIN.is_multiple_of(BLOCK_SIZE_BYTES as u64),
    "a segment is whole blocks"
);
const _: () = assert!(
    APPEND_SIZE_BYTES_MAX < SEGMENT_SIZE_BYTES_MAX,
    "some segment holds the longest append"
);
