//! One entry of a queue: where a record is and what a reader needs to know before it looks.

/// One record of a queue, as the index knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry {
    /// The record's offset in its queue.
    pub queue_offset: u64,
    /// The record's position in the log.
    pub position: u64,
    /// The record's size.
    pub size_bytes: u32,
    /// Hash of the record's tag, 0 for none.
    pub tags_code: i64,
    /// When it was stored, in milliseconds since the epoch.
    pub store_ms: i64,
    /// Whether the record is a batch: it takes an offset for each of its messages, with an entry like this one for each, see [`Engine::end_of_record`].
    ///
    /// [`Engine::end_of_record`]: crate::Engine::end_of_record
    pub spans: bool,
}

/// An entry without its offset, which is its place in the run. 24 bytes, in memory as in the file:
///
/// ```text
/// 0         8          16         20          24
/// | position| store_ms | size     | tags_code |      little-endian
/// ```
///
/// The highest bit of `size` says that the record is a batch.
///
/// A tag code is a 32-bit hash that the wire and the reference extend to 64 bits with its sign; the index keeps the 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) position: u64,
    pub(crate) store_ms: i64,
    size_and_spans: u32,
    pub(crate) tags_code: i32,
}

/// In a slot's size. Records are shorter: see `APPEND_SIZE_BYTES_MAX`.
const SPANS: u32 = 1 << 31;

impl Slot {
    pub(crate) const SIZE_BYTES: usize = 24;

    pub(crate) fn new(position: u64, store_ms: i64, size_bytes: u32, tags_code: i64) -> Self {
        Self {
            position,
            store_ms,
            size_and_spans: size_bytes & !SPANS,
            // A tags code is a sign-extended 32-bit hash; the low half is all of it.
            tags_code: tags_code as i32,
        }
    }

    /// The same, of a record that is a batch, or not.
    pub(crate) fn spanning(self, is_batch: bool) -> Self {
        let spans = if is_batch { SPANS } else { 0 };
        Self {
            size_and_spans: self.size_and_spans | spans,
            ..self
        }
    }

    pub(crate) fn encode_into(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.position.to_le_bytes());
        out.extend_from_slice(&self.store_ms.to_le_bytes());
        out.extend_from_slice(&self.size_and_spans.to_le_bytes());
        out.extend_from_slice(&self.tags_code.to_le_bytes());
    }

    /// Reads the slot at the start of `bytes`; `None` if there are too few.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = crate::fields::Fields::new(bytes);
        Some(Self {
            position: fields.u64().ok()?,
            store_ms: fields.i64().ok()?,
            size_and_spans: fields.u32().ok()?,
            tags_code: fields.i32().ok()?,
        })
    }

    pub(crate) fn at(self, queue_offset: u64) -> IndexEntry {
        IndexEntry {
            queue_offset,
            position: self.position,
            size_bytes: self.size_and_spans & !SPANS,
            tags_code: i64::from(self.tags_code),
            store_ms: self.store_ms,
            spans: self.size_and_spans & SPANS != 0,
        }
    }
}
