//! LOCK_BATCH_MQ (41), UNLOCK_BATCH_MQ (42): queues for ordered consumption.

use super::message_queue::MessageQueue;
use super::object::json_object;

json_object! {
    /// Queues that a client wants to lock or unlock.
    pub struct LockBatchRequest {
        /// The client.
        client_id: String => "clientId",
        /// Its group.
        consumer_group: String => "consumerGroup",
        /// The queues.
        mq_set: Vec<MessageQueue> => "mqSet",
        /// Whether the broker may not ask its replicas.
        only_this_broker: bool => "onlyThisBroker",
    }
}

json_object! {
    /// Answers LOCK_BATCH_MQ.
    pub struct LockBatchResponse {
        /// The queues that are locked for the client now.
        lock_ok_mq_set: Vec<MessageQueue> => "lockOKMQSet",
    }
}
