//! The typed headers of responses. Those without one here carry no fields.

use crate::remoting::fields::header_fields;

header_fields! {
    /// Answers every kind of send. Clients ask for its fields without looking whether there are any, so it goes out
    /// with every send that was stored, late flushes included.
    pub struct SendMessageResponse<'a> {
        /// The id made of the broker's address and the commit-log position; for a batch, a list joined by commas.
        msg_id: &'a str => "msgId",
        /// The queue.
        queue_id: i32 => "queueId",
        /// The offset in the queue, of the first message in a batch.
        queue_offset: i64 => "queueOffset",
        /// The message's unique key.
        transaction_id: Option<&'a str> => "transactionId",
        /// The unique key of a batch stored as one record.
        batch_uniq_id: Option<&'a str> => "batchUniqId",
        /// What to recall a timer message with.
        recall_handle: Option<&'a str> => "recallHandle",
        /// The broker's region, for traces.
        region_id: Option<&'a str> => "MSG_REGION",
        /// Whether traces are wanted.
        trace_on: Option<bool> => "TRACE_ON",
    }
}

header_fields! {
    /// Answers RECALL_MESSAGE (370).
    pub struct RecallMessageResponse<'a> {
        /// The message's unique key.
        msg_id: &'a str => "msgId",
        /// The broker's region, for traces.
        region_id: Option<&'a str> => "MSG_REGION",
    }
}

header_fields! {
    /// Answers a pull, also one that found nothing: clients take the first four for granted.
    pub struct PullMessageResponse {
        /// Which broker to pull from next time, 0 for the master.
        suggest_which_broker_id: i64 => "suggestWhichBrokerId",
        /// Where to continue.
        next_begin_offset: i64 => "nextBeginOffset",
        /// The queue's first offset.
        min_offset: i64 => "minOffset",
        /// The queue's next offset.
        max_offset: i64 => "maxOffset",
        /// What to add to each offset, for static topics.
        offset_delta: Option<i64> => "offsetDelta",
        /// Topic system flags.
        topic_sys_flag: Option<i32> => "topicSysFlag",
        /// Group system flags.
        group_sys_flag: Option<i32> => "groupSysFlag",
        /// Why there is no permission, see [`forbidden`].
        forbidden_type: Option<i32> => "forbiddenType",
    }
}

/// Values of [`PullMessageResponse::forbidden_type`].
pub mod forbidden {
    /// The broker is not readable.
    pub const BROKER: i32 = 1;
    /// The group may not consume.
    pub const GROUP: i32 = 2;
    /// The topic is not readable.
    pub const TOPIC: i32 = 3;
    /// The group may not broadcast.
    pub const BROADCASTING: i32 = 4;
    /// The group may not consume this topic.
    pub const SUBSCRIPTION: i32 = 5;
}

header_fields! {
    /// Answers 14, 29, 30 and 31.
    pub struct OffsetResponse {
        /// The offset.
        offset: i64 => "offset",
    }
}

header_fields! {
    /// Answers GET_EARLIEST_MSG_STORETIME (32).
    pub struct TimestampResponse {
        /// The store time in milliseconds.
        timestamp_ms: i64 => "timestamp",
    }
}

header_fields! {
    /// Answers HEART_BEAT (34).
    pub struct HeartbeatResponse {
        /// Whether the broker understands fingerprints.
        support_v2: bool => "IS_SUPPORT_HEART_BEAT_V2" or false,
        /// Whether the client has to send its subscriptions in full again.
        sub_change: bool => "IS_SUB_CHANGE" or true,
    }
}

header_fields! {
    /// Answers QUERY_MESSAGE (12).
    pub struct QueryMessageResponse {
        /// Store time of the last indexed message.
        index_last_update_timestamp_ms: i64 => "indexLastUpdateTimestamp",
        /// Its position.
        index_last_update_position: i64 => "indexLastUpdatePhyoffset",
    }
}

header_fields! {
    /// Answers REGISTER_BROKER (103); both are for replicas.
    pub struct RegisterBrokerResponse<'a> {
        /// Where the master serves its replicas.
        ha_server_addr: Option<&'a str> => "haServerAddr",
        /// The master.
        master_addr: Option<&'a str> => "masterAddr",
    }
}

header_fields! {
    /// Answers QUERY_DATA_VERSION (322).
    pub struct QueryDataVersionResponse {
        /// Whether the broker has to register.
        changed: bool => "changed",
    }
}

header_fields! {
    /// Answers GET_KV_CONFIG (101).
    pub struct GetKvConfigResponse<'a> {
        /// The value.
        value: Option<&'a str> => "value",
    }
}

header_fields! {
    /// Answers WIPE_WRITE_PERM_OF_BROKER (205).
    pub struct WipeWritePermResponse {
        /// How many topics were touched.
        wipe_topic_count: i32 => "wipeTopicCount",
    }
}

header_fields! {
    /// Answers ADD_WRITE_PERM_OF_BROKER (327).
    pub struct AddWritePermResponse {
        /// How many topics were touched.
        add_topic_count: i32 => "addTopicCount",
    }
}

header_fields! {
    /// Answers GET_ALL_TOPIC_CONFIG (21).
    pub struct GetAllTopicConfigResponse {
        /// How many topics there are altogether.
        total_topic_num: i32 => "totalTopicNum",
    }
}

header_fields! {
    /// Answers GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201).
    pub struct GetAllGroupConfigResponse {
        /// How many groups there are altogether.
        total_group_num: i32 => "totalGroupNum",
    }
}

header_fields! {
    /// Answers GET_BROKER_CONFIG (26).
    pub struct GetBrokerConfigResponse<'a> {
        /// The data version as JSON.
        version: &'a str => "version",
    }
}

header_fields! {
    /// Answers POP_MESSAGE (200050) and PEEK_MESSAGE (200052), also when nothing was found.
    pub struct PopMessageResponse<'a> {
        /// When the messages were handed out.
        pop_ms: i64 => "popTime",
        /// For how long.
        invisible_ms: i64 => "invisibleTime",
        /// 999 for messages in order; goes into handles.
        revive_qid: i32 => "reviveQid",
        /// Messages that are there beside these.
        rest_num: i64 => "restNum",
        /// For each queue where its messages begin.
        start_offset_info: Option<&'a str> => "startOffsetInfo",
        /// For each queue the offsets of its messages.
        msg_offset_info: Option<&'a str> => "msgOffsetInfo",
        /// For messages in order how often each was handed out before.
        order_count_info: Option<&'a str> => "orderCountInfo",
    }
}

header_fields! {
    /// Answers CHANGE_MESSAGE_INVISIBLETIME (200053): what the new handle is made of.
    pub struct ChangeInvisibleTimeResponse {
        /// When the message counts as handed out.
        pop_ms: i64 => "popTime",
        /// For how long.
        invisible_ms: i64 => "invisibleTime",
        /// As in the handle before.
        revive_qid: i32 => "reviveQid",
    }
}

header_fields! {
    /// Answers NOTIFICATION (200054).
    pub struct NotificationResponse {
        /// Whether there is a message.
        has_msg: bool => "hasMsg" or false,
        /// Whether as many wait as may.
        polling_full: bool => "pollingFull" or false,
    }
}

header_fields! {
    /// Answers POLLING_INFO (200055).
    pub struct PollingInfoResponse {
        /// Pops that wait.
        polling_num: i32 => "pollingNum",
    }
}
