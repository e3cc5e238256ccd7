//! What tools show: counts, positions, tables of text.

use std::collections::BTreeMap;

use super::message_queue::MessageQueue;
use super::object::json_object;

json_object! {
    /// Names and values: GET_BROKER_RUNTIME_INFO (28), GET_KVLIST_BY_NAMESPACE (219), REGISTER_BROKER (103).
    #[derive(Eq)]
    pub struct KvTable {
        /// The table.
        table: BTreeMap<String, String> => "table",
    }
}

json_object! {
    /// Answers GET_TOPIC_STATS_INFO (202).
    pub struct TopicStatsTable {
        /// By queue.
        offset_table: BTreeMap<MessageQueue, TopicOffset> => "offsetTable",
        /// Messages in per second.
        topic_put_tps: f64 => "topicPutTps",
    }
}

json_object! {
    /// The extent of a queue.
    #[derive(Eq)]
    pub struct TopicOffset {
        /// Store time of the last message, in milliseconds; 0 if there is none.
        last_update_timestamp_ms: i64 => "lastUpdateTimestamp",
        /// The next offset.
        max_offset: i64 => "maxOffset",
        /// The first offset.
        min_offset: i64 => "minOffset",
    }
}

json_object! {
    /// Answers GET_CONSUME_STATS (208).
    pub struct ConsumeStats {
        /// Messages out per second.
        consume_tps: f64 => "consumeTps",
        /// By queue.
        offset_table: BTreeMap<MessageQueue, OffsetWrapper> => "offsetTable",
    }
}

json_object! {
    /// How far a group is with a queue.
    #[derive(Eq)]
    pub struct OffsetWrapper {
        /// The queue's next offset.
        broker_offset: i64 => "brokerOffset",
        /// The group's offset.
        consumer_offset: i64 => "consumerOffset",
        /// Store time of the message at the group's offset, in milliseconds.
        last_timestamp_ms: i64 => "lastTimestamp",
        /// The offset that was last pulled up to.
        pull_offset: i64 => "pullOffset",
    }
}
