//! JSON bodies of requests and responses.
//!
//! Every type has `decode` and `encode`. Reading takes what Java, Go and others send: members in any order, unknown
//! ones passed over, absent ones left at their default. Writing gives what a Java peer reads, members sorted by name.

mod assignment;
mod client;
mod connection;
mod group;
mod heartbeat;
mod lock;
mod message_queue;
mod names;
mod object;
mod offset;
mod pop;
mod progress;
mod raw;
mod register;
mod route;
mod stats;
mod topic;

pub use assignment::{
    MessageQueueAssignment, MessageRequestMode, MessageRequestModeTable, QueryAssignmentRequest,
    QueryAssignmentResponse, SetMessageRequestMode,
};
pub use client::{CheckClientConfig, ConsumerList};
pub use connection::{Connection, ConsumerConnection, ProducerConnection};
pub use group::{GroupList, SubscriptionGroupConfig, SubscriptionGroupTable};
pub use heartbeat::{ConsumerData, HeartbeatData, ProducerData, SubscriptionData};
pub use lock::{LockBatchRequest, LockBatchResponse};
pub use message_queue::MessageQueue;
pub use names::{ConsumeFromWhere, ConsumeType, MessageModel};
pub use offset::{
    ConsumerOffsetTable, ConsumerStatusBody, CorrectionOffsets, MessageQueueOffset, ResetOffsetBody,
    ResetOffsetList,
};
pub use pop::{AckBits, BatchAck, BatchAckRequest};
pub use progress::{
    ConsumeQueueEntries, ConsumeQueueEntry, ConsumeStatsList, ConsumeTimeSpans, ProducerInfo, ProducerTable,
    QuerySubscription, QueueTimeSpan,
};
pub use raw::RawJson;
pub use register::{RegisterBodyError, RegisterBrokerBody};
pub use route::{
    BrokerData, BrokerMemberGroup, BrokerMemberGroupBody, ClusterInfo, QueueData, TopicQueueMappingInfo,
    TopicRouteData,
};
pub use stats::{ConsumeStats, KvTable, OffsetWrapper, TopicOffset, TopicStatsTable};
pub use topic::{DataVersion, TopicConfig, TopicConfigTable, TopicList};

#[cfg(test)]
mod tests;
