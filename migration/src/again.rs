//! A stored message, once more.

use kourou_engine::record::{NAME_END, RecordDraft, RecordView, VALUE_END};

/// The message as another store has it. It ends no other record: positions are others there.
pub(crate) fn again<'a>(
    record: &RecordView<'a>,
    topic: &'a str,
    queue_id: u32,
    properties: &'a [u8],
) -> RecordDraft<'a> {
    RecordDraft {
        topic,
        queue_id,
        flag: record.flag(),
        sys_flag: record.sys_flag(),
        born_ms: record.born_ms(),
        born_host: record.born_host(),
        store_host: record.store_host(),
        reconsume_times: record.reconsume_times(),
        prepared_transaction_offset: 0,
        body: record.body(),
        properties,
    }
}

/// Properties but for one.
pub(crate) fn without(properties: &[u8], name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(properties.len());
    for entry in properties.split_inclusive(|byte| *byte == VALUE_END) {
        let found = entry.split(|byte| *byte == NAME_END).next();
        if found != Some(name.as_bytes()) {
            out.extend_from_slice(entry);
        }
    }
    out
}
