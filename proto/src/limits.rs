//! Every bound this crate holds a peer to.

/// Longest frame, its four length bytes included. The same as upstream's default.
pub const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// Longest command header. The longest honest field is a 32 KiB property string, whose separators take six bytes
/// each in JSON; this leaves room for several of them.
pub const MAX_HEADER_BYTES: usize = 1024 * 1024;

/// Most extension fields in one header. Real ones carry fewer than thirty.
pub const MAX_EXT_FIELDS: usize = 256;

/// Longest name of an extension field.
pub const MAX_EXT_KEY_BYTES: usize = 1024;

/// Deepest nesting of a JSON document.
pub const MAX_JSON_DEPTH: u32 = 32;

/// Most values (scalars, arrays, objects, keys that are objects) in one JSON document. A scalar takes at least two
/// bytes on the wire and some thirty in memory, so this bounds what a frame can grow to.
pub const MAX_JSON_VALUES: u32 = 2_000_000;

/// Most arrays and objects in one JSON document, which grow more than scalars do: an empty object takes three bytes on
/// the wire and may stand for a struct. The largest honest document is a registration of as many topics as fit a
/// frame, with two objects each.
pub const MAX_JSON_CONTAINERS: u32 = 300_000;

/// Longest set of offsets in one batch of acknowledgements: 65,536 of them.
pub const MAX_ACK_BITS_BYTES: usize = 8 * 1024;

/// Most bytes that a compressed registration may inflate to.
pub const MAX_INFLATED_BYTES: u64 = 64 * 1024 * 1024;

/// Longest single part of a compressed registration: one topic, or one mapping.
pub const MAX_INFLATED_PART_BYTES: u64 = 1024 * 1024;

const _: () = assert!(
    MAX_HEADER_BYTES < 1 << 24,
    "the header length has 24 bits on the wire"
);
const _: () = assert!(MAX_HEADER_BYTES < MAX_FRAME_BYTES, "a header has to fit a frame");
