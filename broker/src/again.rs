//! A stored message that is stored once more, under another name: delivered, committed, sent back, or dead.

use kourou_engine::record::{Limits, RecordDraft, RecordView, SYS_FLAG_TRANSACTION_MASK};

use crate::broker::Broker;

/// What was stored once is stored again, even if the limit is lower by now.
pub(crate) const AGAIN_LIMITS: Limits = Limits {
    body_size_bytes_max: usize::MAX,
};

impl Broker {
    /// The message of `stored` as another record, which names it in `prepared_transaction_offset`. It is of no transaction; what is
    /// different beside its place is the caller's to say.
    pub(crate) fn stored_again<'a>(
        &self,
        stored: &RecordView<'a>,
        topic: &'a str,
        queue_id: u32,
        properties: &'a [u8],
    ) -> RecordDraft<'a> {
        RecordDraft {
            topic,
            queue_id,
            flag: stored.flag(),
            sys_flag: stored.sys_flag() & !SYS_FLAG_TRANSACTION_MASK,
            born_ms: stored.born_ms(),
            born_host: stored.born_host(),
            store_host: self.options.store_host,
            reconsume_times: stored.reconsume_times(),
            // Positions are far from 2^63.
            prepared_transaction_offset: i64::try_from(stored.position()).unwrap_or(0),
            body: stored.body(),
            properties,
        }
    }
}
