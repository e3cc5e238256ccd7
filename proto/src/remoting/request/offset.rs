//! Offsets of queues and of groups.

use crate::remoting::fields::header_fields;

header_fields! {
    /// QUERY_CONSUMER_OFFSET (14).
    pub struct QueryConsumerOffsetHeader<'a> {
        /// The group.
        consumer_group: &'a str => "consumerGroup",
        /// The topic.
        topic: &'a str => "topic",
        /// The queue.
        queue_id: i32 => "queueId",
        /// Whether a group without an offset may be told 0.
        set_zero_if_not_found: bool => "setZeroIfNotFound" or true,
    }
}

header_fields! {
    /// UPDATE_CONSUMER_OFFSET (15).
    pub struct UpdateConsumerOffsetHeader<'a> {
        /// The group.
        consumer_group: &'a str => "consumerGroup",
        /// The topic.
        topic: &'a str => "topic",
        /// The queue.
        queue_id: i32 => "queueId",
        /// The offset to continue from.
        commit_offset: i64 => "commitOffset",
    }
}

header_fields! {
    /// GET_MAX_OFFSET (30).
    pub struct GetMaxOffsetHeader<'a> {
        /// The topic.
        topic: &'a str => "topic",
        /// The queue.
        queue_id: i32 => "queueId",
        /// Whether only what consumers may see counts.
        committed: bool => "committed" or true,
    }
}

header_fields! {
    /// GET_MIN_OFFSET (31) and GET_EARLIEST_MSG_STORETIME (32).
    pub struct QueueHeader<'a> {
        /// The topic.
        topic: &'a str => "topic",
        /// The queue.
        queue_id: i32 => "queueId",
    }
}

header_fields! {
    /// SEARCH_OFFSET_BY_TIMESTAMP (29).
    pub struct SearchOffsetHeader<'a> {
        /// The topic.
        topic: &'a str => "topic",
        /// The queue.
        queue_id: i32 => "queueId",
        /// The store time to look for, in milliseconds.
        timestamp_ms: i64 => "timestamp",
        /// `lower` or `upper` in any case, see [`SearchOffsetHeader::upper`].
        boundary_type: Option<&'a str> => "boundaryType",
    }
}

impl SearchOffsetHeader<'_> {
    /// Whether the last message of that time is wanted rather than the first.
    pub fn upper(&self) -> bool {
        self.boundary_type
            .is_some_and(|boundary| boundary.eq_ignore_ascii_case("upper"))
    }
}
