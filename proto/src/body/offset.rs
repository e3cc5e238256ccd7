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
