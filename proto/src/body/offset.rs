//! Offset tables.

use std::collections::BTreeMap;

use super::message_queue::MessageQueue;
use super::object::json_object;
use super::topic::DataVersion;

json_object! {
    /// Answers GET_ALL_CONSUMER_OFFSET (43).
    pub struct ConsumerOffsetTable {
        /// When the table last changed.
        data_version: DataVersion => "dataVersion",
        /// By `topic@group`, then by queue.
        offset_table: BTreeMap<String, BTreeMap<i32, i64>> => "offsetTable",
    }
}

json_object! {
    /// RESET_CONSUMER_CLIENT_OFFSET (220), and the answer to INVOKE_BROKER_TO_RESET_OFFSET (222).
    pub struct ResetOffsetBody {
        /// The new offsets.
        offset_table: BTreeMap<MessageQueue, i64> => "offsetTable",
    }
}

json_object! {
    /// RESET_CONSUMER_CLIENT_OFFSET (220), for clients in C++: a list instead of a table with objects as keys.
    pub struct ResetOffsetList {
        /// The new offsets.
        offset_table: Vec<MessageQueueOffset> => "offsetTable",
    }
}

json_object! {
    /// An offset of one queue.
    #[derive(Eq)]
    pub struct MessageQueueOffset {
        /// The broker.
        broker_name: String => "brokerName",
        /// The offset.
        offset: i64 => "offset",
        /// The queue.
        queue_id: i32 => "queueId",
        /// The topic.
        topic: String => "topic",
    }
}

impl MessageQueueOffset {
    /// The offset of a queue.
    pub fn new(queue: MessageQueue, offset: i64) -> Self {
        Self {
            broker_name: queue.broker_name,
            offset,
            queue_id: queue.queue_id,
            topic: queue.topic,
        }
    }
}

json_object! {
    /// GET_CONSUMER_STATUS_FROM_CLIENT (221) as a client answers it, and the answer to INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223).
    pub struct ConsumerStatusBody {
        /// By client, by queue: how far it is.
        consumer_table: BTreeMap<String, BTreeMap<MessageQueue, i64>> => "consumerTable",
        /// By queue: how far this client is.
        message_queue_table: BTreeMap<MessageQueue, i64> => "messageQueueTable",
    }
}

json_object! {
    /// Answers QUERY_CORRECTION_OFFSET (308).
    #[derive(Eq)]
    pub struct CorrectionOffsets {
        /// By queue; `i64::MAX` where nothing is to be corrected.
        correction_offsets: BTreeMap<i32, i64> => "correctionOffsets",
    }
}
