//! State records: how what the broker decides gets into the same log, in the same order, as what it stores.

use super::encode::{EncodedRecord, Limits, RecordDraft};

/// The topic of state records. No client can name it: a slash is not allowed in their topics. Records of it take no queue
/// offset and are never delivered.
pub const STATE_TOPIC: &str = "kourou/state";

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
