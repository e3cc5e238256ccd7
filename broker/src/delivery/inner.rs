//! Batches that are one record: popped, each of their messages is a delivery of its own.
//!
//! Such a record takes an offset for each of its messages, and who pulls it takes it apart. A delivery is of one message, with a handle
//! and a count of its own, so pops hand out records made of the messages. They are made again whenever they are handed out: where
//! they lie there is only the batch.

use bytes::Bytes;
use kourou_engine::record::{RecordDraft, RecordView, SYS_FLAG_INNER_BATCH, SYS_FLAG_NEED_UNWRAP};

use crate::again::AGAIN_LIMITS;
use crate::send::batch::{self, BatchMessage};

/// One message of a batch.
pub(super) struct Inner {
    /// Its offset in the queue.
    pub(super) offset: u64,
    /// It alone, as it would have been stored at that offset.
    pub(super) record: Bytes,
}

/// The messages of a record from offset `from` on, if it is a batch: all of it as ever if it is none, or one whose messages are not
/// as many as the offsets that it takes.
pub(super) fn messages(record: &[u8], from: u64) -> Option<impl Iterator<Item = Inner>> {
    let view = RecordView::parse(record).ok().filter(RecordView::is_batch)?;
    let count = view.offsets() as usize;
    let whole = batch::messages(view.body(), count)
        .take_while(Result::is_ok)
        .count()
        == count;
    if !whole || batch::count(view.body()) != count as u64 {
        return None;
    }
    let first = view.queue_offset();
    let skipped = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
    let messages = batch::messages(view.body(), count)
        .map_while(Result::ok)
        .enumerate()
        .skip(skipped);
    Some(messages.map_while(move |(at, message)| {
        let offset = first + at as u64;
        Some(Inner {
            offset,
            record: alone(&view, &message, offset)?,
        })
    }))
}

/// What is at an offset that a record takes: one of its messages if it is a batch, else the record.
pub(super) fn at(record: Bytes, offset: u64) -> Bytes {
    let inner = messages(&record, offset).and_then(|mut messages| messages.next());
    match inner {
        Some(inner) if inner.offset == offset => inner.record,
        _ => record,
    }
}

fn alone(batch: &RecordView<'_>, message: &BatchMessage<'_>, offset: u64) -> Option<Bytes> {
    let draft = RecordDraft {
        topic: batch.topic(),
        queue_id: batch.queue_id(),
        flag: message.flag,
        sys_flag: batch.sys_flag() & !(SYS_FLAG_INNER_BATCH | SYS_FLAG_NEED_UNWRAP),
        born_ms: batch.born_ms(),
        born_host: batch.born_host(),
        store_host: batch.store_host(),
        reconsume_times: batch.reconsume_times(),
        prepared_transaction_offset: 0,
        body: message.body,
        properties: message.properties,
    };
    let encoded = draft.encode_within(&AGAIN_LIMITS).ok()?;
    let mut bytes = vec![0; encoded.size_bytes() as usize];
    encoded.write_into(&mut bytes, offset, batch.position(), batch.store_ms());
    Some(bytes.into())
}
