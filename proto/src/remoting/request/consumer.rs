//! Consumers: who they are, what they hand back, what they are told.

use crate::remoting::fields::header_fields;

header_fields! {
    /// UNREGISTER_CLIENT (35).
    pub struct UnregisterClientHeader<'a> {
        /// The client.
        client_id: &'a str => "clientID",
        /// Leaves this producer group.
        producer_group: Option<&'a str> => "producerGroup",
        /// Leaves this consumer group.
        consumer_group: Option<&'a str> => "consumerGroup",
    }
}

header_fields! {
    /// GET_CONSUMER_LIST_BY_GROUP (38), GET_CONSUMER_CONNECTION_LIST (203), NOTIFY_CONSUMER_IDS_CHANGED (40, to the
    /// client).
    pub struct ConsumerGroupHeader<'a> {
        /// The group.
        consumer_group: &'a str => "consumerGroup",
    }
}

header_fields! {
    /// CONSUMER_SEND_MSG_BACK (36).
    pub struct ConsumerSendMsgBackHeader<'a> {
        /// Position of the message in the commit log.
        position: i64 => "offset",
        /// The group that could not consume it.
        group: &'a str => "group",
        /// 0 leaves the delay to the broker, negative sends to the dead letters.
        delay_level: i32 => "delayLevel",
        /// The message's first id.
        origin_msg_id: Option<&'a str> => "originMsgId",
        /// The topic it was consumed from.
        origin_topic: Option<&'a str> => "originTopic",
        /// Whether the consumer lives in a unit.
        unit_mode: bool => "unitMode" or false,
        /// The consumer's limit of attempts.
        max_reconsume_times: Option<i32> => "maxReconsumeTimes",
    }
}

header_fields! {
    /// GET_PRODUCER_CONNECTION_LIST (204).
    pub struct ProducerGroupHeader<'a> {
        /// The group.
        producer_group: &'a str => "producerGroup",
    }
}

header_fields! {
    /// GET_CONSUME_STATS (208).
    pub struct GetConsumeStatsHeader<'a> {
        /// The group.
        consumer_group: &'a str => "consumerGroup",
        /// Only this topic.
        topic: Option<&'a str> => "topic",
        /// Only these topics, joined by semicolons.
        topic_list: Option<&'a str> => "topicList",
    }
}

header_fields! {
    /// RESET_CONSUMER_CLIENT_OFFSET (220, to the client).
    pub struct ResetOffsetHeader<'a> {
        /// The topic.
        topic: &'a str => "topic",
        /// The group.
        group: &'a str => "group",
        /// A single queue, or -1 for all.
        queue_id: i32 => "queueId" or -1,
        /// An offset to set, for a single queue.
        offset: Option<i64> => "offset",
        /// The time to go to, in milliseconds.
        timestamp_ms: i64 => "timestamp" or -1,
        /// Whether going forward is allowed.
        force: bool => "isForce" or false,
    }
}

header_fields! {
    /// GET_CONSUMER_RUNNING_INFO (307).
    pub struct GetConsumerRunningInfoHeader<'a> {
        /// The group.
        consumer_group: &'a str => "consumerGroup",
        /// The client.
        client_id: &'a str => "clientId",
        /// Whether a thread dump is wanted.
        jstack: bool => "jstackEnable" or false,
    }
}
