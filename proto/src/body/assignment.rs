//! QUERY_ASSIGNMENT (400), SET_MESSAGE_REQUEST_MODE (401), GET_ALL_MESSAGE_REQUEST_MODE (402).

use std::collections::BTreeMap;

use super::message_queue::MessageQueue;
use super::names::MessageModel;
use super::object::{json_names, json_object};

json_names! {
    /// How consumers get their messages.
    pub enum MessageRequestMode {
        /// By queue.
        Pull = "PULL",
        /// One by one.
        Pop = "POP",
    }
}

json_object! {
    /// What a consumer asks that leaves balancing to the broker.
    pub struct QueryAssignmentRequest {
        /// The client.
        client_id: String => "clientId",
        /// Its group.
        consumer_group: String => "consumerGroup",
        /// How the group shares messages.
        message_model: MessageModel => "messageModel",
        /// `AVG` or `AVG_BY_CIRCLE`.
        strategy_name: String => "strategyName",
        /// The topic.
        topic: String => "topic",
    }
}

json_object! {
    /// One queue that a consumer is to consume.
    pub struct MessageQueueAssignment {
        /// The queue; its number is -1 for any of the broker.
        message_queue: MessageQueue => "messageQueue",
        /// How.
        mode: MessageRequestMode => "mode",
    }
}

json_object! {
    /// Answers QUERY_ASSIGNMENT. Without the member the consumer goes on as it does; with an empty one it has nothing.
    pub struct QueryAssignmentResponse {
        /// The queues.
        message_queue_assignments: Option<Vec<MessageQueueAssignment>> => "messageQueueAssignments",
    }
}

json_object! {
    /// SET_MESSAGE_REQUEST_MODE, and one entry of the table.
    pub struct SetMessageRequestMode {
        /// The group.
        consumer_group: String => "consumerGroup",
        /// How its consumers get messages.
        mode: MessageRequestMode => "mode",
        /// With how many neighbours a consumer shares its queues.
        pop_share_queue_num: i32 => "popShareQueueNum",
        /// The topic.
        topic: String => "topic",
    }
}

json_object! {
    /// Answers GET_ALL_MESSAGE_REQUEST_MODE: by topic, then by group.
    pub struct MessageRequestModeTable {
        /// The table.
        message_request_mode_map: BTreeMap<String, BTreeMap<String, SetMessageRequestMode>> => "messageRequestModeMap",
    }
}
