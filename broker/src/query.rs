//! Finding messages by a key.

use bytes::Bytes;
use kourou_engine::KeyQuery;
use kourou_engine::LastKey;
use kourou_engine::record::{KeyKind, RecordView};

use crate::broker::Broker;

/// Messages by a key, as a frontend asks for them.
#[derive(Debug, Clone, Copy)]
pub struct QueryRequest<'a> {
    /// The topic that the messages are stored under. Delayed and half messages are under the system's until they are delivered or
    /// committed.
    pub topic: &'a str,
    /// The key.
    pub key: &'a str,
    /// Whether only the unique key counts.
    pub unique: bool,
    /// Most messages; the broker has a limit of its own.
    pub messages_max: usize,
    /// Not stored before this, in milliseconds since the epoch.
    pub begin_ms: i64,
    /// Not stored after this.
    pub end_ms: i64,
}

/// The messages that were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryResult {
    /// The newest ones, in the order in which they were stored.
    pub records: Vec<Bytes>,
    /// How far the index has come.
    pub last: LastKey,
}

impl Broker {
    /// Looks up messages. Blocks on the disk for those that are no longer in memory, and for the indexes of older segments; how
    /// much it reads is bounded by [`Limits`](crate::Limits).
    pub fn query(&self, request: &QueryRequest<'_>) -> QueryResult {
        let limits = &self.options.limits;
        let messages_max = match request.messages_max {
            // Upstream replaces the number that comes with a unique key.
            _ if request.unique => limits.query_unique_messages_max,
            asked_for => asked_for.min(limits.query_messages_max),
        };
        let mut records = if messages_max == 0 {
            Vec::new()
        } else {
            self.engine.find_by_key(&KeyQuery {
                topic: request.topic,
                key: request.key,
                kind: if request.unique {
                    KeyKind::Unique
                } else {
                    KeyKind::Any
                },
                begin_ms: request.begin_ms,
                end_ms: request.end_ms,
                records_max: messages_max,
                size_bytes_max: limits.query_size_bytes_max,
                looks_max: messages_max.saturating_add(limits.query_extra_looks_max),
            })
        };
        records.retain(|record| RecordView::parse(record).is_ok_and(|record| self.is_kept(&record)));
        records.reverse();
        QueryResult {
            records,
            last: self.engine.last_key(),
        }
    }

    /// Whether a message is not of a topic of the same name that was deleted before.
    fn is_kept(&self, record: &RecordView<'_>) -> bool {
        !record.indexed() || record.queue_offset() >= self.min_offset(record.topic(), record.queue_id())
    }
}
