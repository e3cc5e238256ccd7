//! What tools show of groups and queues: times, entries, subscriptions, producers.

use std::collections::BTreeMap;

use super::heartbeat::SubscriptionData;
use super::message_queue::MessageQueue;
use super::object::json_object;
use super::stats::ConsumeStats;
use crate::remoting::language::Language;

json_object! {
    /// Answers QUERY_CONSUME_TIME_SPAN (303).
    pub struct ConsumeTimeSpans {
        /// By queue.
        consume_time_span_set: Vec<QueueTimeSpan> => "consumeTimeSpanSet",
    }
}

json_object! {
    /// Times of a queue and of a group in it, in milliseconds.
    #[derive(Eq)]
    pub struct QueueTimeSpan {
        /// When the message was stored that the group consumed last.
        consume_timestamp_ms: i64 => "consumeTimeStamp",
        /// For how long the next message waits.
        delay_time_ms: i64 => "delayTime",
        /// When the last message was stored.
        max_timestamp_ms: i64 => "maxTimeStamp",
        /// The queue.
        message_queue: MessageQueue => "messageQueue",
        /// When the first message was stored.
        min_timestamp_ms: i64 => "minTimeStamp",
    }
}

json_object! {
    /// Answers QUERY_SUBSCRIPTION_BY_CONSUMER (345).
    #[derive(Eq)]
    pub struct QuerySubscription {
        /// The group.
        group: String => "group",
        /// What its connected members subscribe to.
        subscription_data: Option<SubscriptionData> => "subscriptionData",
        /// The topic.
        topic: Option<String> => "topic",
    }
}

json_object! {
    /// Answers QUERY_CONSUME_QUEUE (321).
    #[derive(Eq)]
    pub struct ConsumeQueueEntries {
        /// About the filter, for people.
        filter_data: Option<String> => "filterData",
        /// The next offset.
        max_queue_index: i64 => "maxQueueIndex",
        /// The first offset.
        min_queue_index: i64 => "minQueueIndex",
        /// The entries.
        queue_data: Vec<ConsumeQueueEntry> => "queueData",
        /// The group's subscription.
        subscription_data: Option<SubscriptionData> => "subscriptionData",
    }
}

json_object! {
    /// One entry of a queue.
    #[derive(Eq)]
    pub struct ConsumeQueueEntry {
        /// Whether the group's filter may want it.
        eval: bool => "eval",
        /// Position of the message in the commit log.
        physic_offset: i64 => "physicOffset",
        /// Size of the message.
        physic_size: i32 => "physicSize",
        /// Hash of its tag.
        tags_code: i64 => "tagsCode",
    }
}

json_object! {
    /// Answers GET_ALL_PRODUCER_INFO (328).
    #[derive(Eq)]
    pub struct ProducerTable {
        /// By group.
        data: BTreeMap<String, Vec<ProducerInfo>> => "data",
    }
}

json_object! {
    /// One connected producer.
    #[derive(Eq)]
    pub struct ProducerInfo {
        /// The client.
        client_id: String => "clientId",
        /// What it is written in.
        language: Language => "language" or Language::Other,
        /// When it was last heard, in milliseconds.
        last_update_timestamp_ms: i64 => "lastUpdateTimestamp",
        /// Where from, `ip:port`.
        remote_ip: String => "remoteIP",
        /// Its protocol version.
        version: i32 => "version",
    }
}

json_object! {
    /// Answers GET_BROKER_CONSUME_STATS (317).
    pub struct ConsumeStatsList {
        /// The broker.
        broker_addr: String => "brokerAddr",
        /// Tables of one group each: for each of its topics, how far it is.
        consume_stats_list: Vec<BTreeMap<String, Vec<ConsumeStats>>> => "consumeStatsList",
        /// Messages that are not consumed.
        total_diff: i64 => "totalDiff",
        /// Messages that are pulled and not consumed.
        total_inflight_diff: i64 => "totalInflightDiff",
    }
}
