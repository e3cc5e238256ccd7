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

header_fields! {
    /// CONSUME_MESSAGE_DIRECTLY (309), of an administrator and to the client.
    pub struct ConsumeDirectlyHeader<'a> {
        /// The group.
        consumer_group: &'a str => "consumerGroup",
        /// The client.
        client_id: Option<&'a str> => "clientId",
        /// The message's offset id.
        msg_id: Option<&'a str> => "msgId",
        /// The broker, for the client.
        broker_name: Option<&'a str> => "brokerName",
        /// The topic.
        topic: Option<&'a str> => "topic",
        /// Flags of the topic, for the client.
        topic_sys_flag: Option<i32> => "topicSysFlag",
        /// Flags of the group, for the client.
        group_sys_flag: Option<i32> => "groupSysFlag",
    }
}

header_fields! {
    /// INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223), GET_CONSUMER_STATUS_FROM_CLIENT (221, to the client).
    pub struct ConsumerStatusHeader<'a> {
        /// The topic.
        topic: &'a str => "topic",
        /// The group.
        group: &'a str => "group",
        /// Only this client, by its id whatever the name says.
        client_addr: Option<&'a str> => "clientAddr",
    }
}

header_fields! {
    /// INVOKE_BROKER_TO_RESET_OFFSET (222).
    pub struct AdminResetOffsetHeader<'a> {
        /// The topic.
        topic: &'a str => "topic",
        /// The group.
        group: &'a str => "group",
        /// A single queue, or a negative number for all.
        queue_id: i32 => "queueId" or -1,
        /// An offset to set, for a single queue; absent or -1 to go by time.
        offset: Option<i64> => "offset",
        /// The time to go to, in milliseconds; negative for the end.
        timestamp_ms: i64 => "timestamp",
        /// Whether going forward is allowed.
        force: bool => "isForce",
    }
}

header_fields! {
    /// QUERY_CONSUME_TIME_SPAN (303), QUERY_SUBSCRIPTION_BY_CONSUMER (345).
    pub struct TopicOfGroupHeader<'a> {
        /// The topic.
        topic: Option<&'a str> => "topic",
        /// The group.
        group: &'a str => "group",
    }
}

header_fields! {
    /// QUERY_CORRECTION_OFFSET (308).
    pub struct QueryCorrectionOffsetHeader<'a> {
        /// Groups that do not count, joined by commas.
        filter_groups: Option<&'a str> => "filterGroups",
        /// The group that is compared with the others.
        compare_group: &'a str => "compareGroup",
        /// The topic.
        topic: &'a str => "topic",
    }
}

header_fields! {
    /// CLONE_GROUP_OFFSET (314).
    pub struct CloneGroupOffsetHeader<'a> {
        /// Whose offsets are copied.
        src_group: &'a str => "srcGroup",
        /// Who gets them.
        dest_group: &'a str => "destGroup",
        /// Only this topic.
        topic: Option<&'a str> => "topic",
        /// Whether topics count that the group's connected members do not subscribe to.
        offline: bool => "offline" or false,
    }
}

header_fields! {
    /// QUERY_CONSUME_QUEUE (321).
    pub struct QueryConsumeQueueHeader<'a> {
        /// The topic.
        topic: &'a str => "topic",
        /// The queue.
        queue_id: i32 => "queueId",
        /// The first entry wanted.
        index: i64 => "index",
        /// Most entries wanted.
        count: i32 => "count",
        /// The group whose subscription is shown and tried.
        consumer_group: Option<&'a str> => "consumerGroup",
    }
}

header_fields! {
    /// GET_BROKER_CONSUME_STATS (317).
    pub struct GetBrokerConsumeStatsHeader {
        /// Only topics that are ordered.
        is_order: bool => "isOrder" or false,
    }
}

header_fields! {
    /// RESUME_CHECK_HALF_MESSAGE (323).
    pub struct ResumeCheckHalfMessageHeader<'a> {
        /// The topic.
        topic: Option<&'a str> => "topic",
        /// The message's offset id.
        msg_id: Option<&'a str> => "msgId",
    }
}
