//! State records: how what the broker decides gets into the same log, in the same order, as what it stores.

use super::encode::{EncodedRecord, Limits, RecordDraft};
use crate::fields::Fields;

/// The topic of state records. No client can name it: a slash is not allowed in their topics. Records of it take no queue
/// offset and are never delivered.
pub const STATE_TOPIC: &str = "kourou/state";

/// The kind of the state record that says where queues begin which were in another store before: see [`QueueStart`].
pub const QUEUES_BEGIN: u16 = 60;

/// The kind of the state record behind the last record that was imported: from there on store times do not go back.
pub const IMPORTED: u16 = 61;

/// Where a queue begins that was in another store before, and has lost its first records there.
///
/// A record of several is drawn so, little-endian: u8 version (1), u32 count, then for each u16 size of the topic, topic, u32 queue id,
/// u64 offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueStart<'a> {
    /// The queue's topic.
    pub topic: &'a str,
    /// The queue's number in it.
    pub queue_id: u32,
    /// The offset of its first record, or of the next one if it has none.
    pub offset: u64,
}

impl<'a> QueueStart<'a> {
    const VERSION: u8 = 1;

    /// The payload of a record of these.
    pub fn encode(starts: &[QueueStart<'_>]) -> Vec<u8> {
        let mut out = vec![Self::VERSION];
        // Both are bounded by what a record holds.
        out.extend_from_slice(&(starts.len() as u32).to_le_bytes());
        for start in starts {
            out.extend_from_slice(&(start.topic.len() as u16).to_le_bytes());
            out.extend_from_slice(start.topic.as_bytes());
            out.extend_from_slice(&start.queue_id.to_le_bytes());
            out.extend_from_slice(&start.offset.to_le_bytes());
        }
        out
    }

    /// Those of a payload, up to the first that is damaged.
    pub(crate) fn decode(payload: &'a [u8]) -> impl Iterator<Item = Self> {
        let mut fields = Fields::new(payload);
        let count = match fields.take(1) {
            Ok([Self::VERSION]) => fields.u32().unwrap_or(0),
            _ => 0,
        };
        (0..count).map_while(move |_| {
            let size = fields.u16().ok()?;
            let topic = std::str::from_utf8(fields.take(size.into()).ok()?).ok()?;
            Some(Self {
                topic,
                queue_id: fields.u32().ok()?,
                offset: fields.u64().ok()?,
            })
        })
    }
}

/// A record of a change of state: `kind` becomes its queue id, `payload` its body.
///
/// # Panics
/// If the payload is so large (2 GiB) that no record can hold it.
pub fn state(kind: u16, payload: &[u8], now_ms: i64) -> EncodedRecord {
    RecordDraft {
        born_ms: now_ms,
        ..RecordDraft::new(STATE_TOPIC, kind.into(), payload)
    }
    .encode_within(&Limits {
        body_size_bytes_max: usize::MAX,
    })
    // Everything but the body is fixed, and fits.
    .expect("a payload that fits a record")
}
