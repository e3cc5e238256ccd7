//! State records: how what the broker decides gets into the same log, in the same order, as what it stores.

use std::net::{Ipv4Addr, SocketAddr};

use super::encode::{EncodedRecord, Limits, RecordDraft};

/// The topic of state records. No client can name it: a slash is not allowed in their topics. Records of it take no queue
/// offset and are never delivered.
pub const STATE_TOPIC: &str = "kourou/state";

/// A record of a change of state: `kind` becomes its queue id, `payload` its body.
///
/// # Panics
/// If the payload is so large (2 GiB) that no record can hold it.
pub fn state(kind: u16, payload: &[u8], now_ms: i64) -> EncodedRecord {
    let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    RecordDraft {
        topic: STATE_TOPIC,
        queue_id: kind.into(),
        flag: 0,
        sys_flag: 0,
        born_ms: now_ms,
        born_host: nobody,
        store_host: nobody,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: payload,
        properties: b"",
    }
    .encode_within(&Limits {
        body_size_bytes_max: usize::MAX,
    })
    // Everything but the body is fixed, and fits.
    .expect("a payload that fits a record")
}
