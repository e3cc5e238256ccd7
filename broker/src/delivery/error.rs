//! Why a pop, or what was said of one, was refused.

use std::net::SocketAddr;

use kourou_engine::{AppendError, ReadError};
use thiserror::Error;

use crate::code;
use crate::filter::FilterError;
use crate::flow::FlowRefusal;
use crate::send::{append_code, append_remark};
use crate::text::Text;
use crate::topic::TopicError;

/// Why a pop was refused. Nothing was handed out.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PopError {
    /// The broker may not be read.
    #[error("the broker[{broker}] pop message is forbidden")]
    BrokerNotReadable {
        /// The broker.
        broker: SocketAddr,
    },
    /// More messages than one pop may want.
    #[error("the broker[{broker}] pop message's num is greater than {max_messages}")]
    TooMany {
        /// The broker.
        broker: SocketAddr,
        /// The limit.
        max_messages: i32,
    },
    /// A time that is no time, or too long.
    #[error("invisibleTime is {invisible_ms} ms, it must be from 0 to {max_ms}")]
    Invisible {
        /// What was asked for.
        invisible_ms: i64,
        /// The limit.
        max_ms: i64,
    },
    /// There is no such topic.
    #[error("topic[{topic}] not exist, apply first please!")]
    TopicNotExist {
        /// The topic.
        topic: Text,
    },
    /// The topic may not be consumed.
    #[error("the topic[{topic}] peeking message is forbidden")]
    TopicNotReadable {
        /// The topic.
        topic: Text,
    },
    /// The topic has no such queue.
    #[error("queueId[{queue_id}] is illegal, topic:[{topic}] topicConfig.readQueueNums:[{queues}]")]
    QueueNotExist {
        /// The topic.
        topic: Text,
        /// What was asked for.
        queue_id: i32,
        /// What there is.
        queues: u32,
    },
    /// There is no such group.
    #[error("subscription group [{group}] does not exist")]
    GroupNotExist {
        /// The group.
        group: Text,
    },
    /// The group may not consume.
    #[error("subscription group no permission, {group}")]
    GroupForbidden {
        /// The group.
        group: Text,
    },
    /// The topic has no lite topics.
    #[error("the topic[{topic}] message type not match: it has no lite topics")]
    NotLite {
        /// The topic.
        topic: Text,
    },
    /// The group does not consume lite topics of the topic.
    #[error(
        "subscription bind topic not match, {group}: the group does not consume lite topics of {topic}; its attribute \
         lite.bind.topic says of which"
    )]
    NotBound {
        /// The group.
        group: Text,
        /// The topic.
        topic: Text,
    },
    /// The filter does not compile.
    #[error("parse the consumer's subscription failed: {0}")]
    Filter(#[from] FilterError),
    /// A quota is used up.
    #[error(transparent)]
    Flow(#[from] FlowRefusal),
    /// A message could not be read.
    #[error("the messages could not be read: {0}")]
    Read(#[from] ReadError),
    /// The log did not take the pop.
    #[error("{}", append_remark(.0))]
    Store(AppendError),
}

impl PopError {
    /// The protocol's number for it.
    pub fn response_code(&self) -> i32 {
        match self {
            Self::BrokerNotReadable { .. } | Self::TopicNotReadable { .. } | Self::GroupForbidden { .. } => {
                code::NO_PERMISSION
            }
            Self::TooMany { .. }
            | Self::Invisible { .. }
            | Self::QueueNotExist { .. }
            | Self::NotLite { .. }
            | Self::NotBound { .. } => code::INVALID_PARAMETER,
            Self::TopicNotExist { .. } => code::TOPIC_NOT_EXIST,
            Self::GroupNotExist { .. } => code::SUBSCRIPTION_GROUP_NOT_EXIST,
            Self::Filter(_) => code::SUBSCRIPTION_PARSE_FAILED,
            Self::Flow(refusal) => refusal.response_code(),
            Self::Read(_) => code::SYSTEM_ERROR,
            Self::Store(source) => append_code(source),
        }
    }
}

/// Why what was said of a delivery was refused. The delivery is as it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// There is no such topic.
    #[error("topic[{topic}] not exist, apply first please!")]
    TopicNotExist {
        /// The topic.
        topic: Text,
    },
    /// The topic has no such queue.
    #[error("queueId[{queue_id}] is illegal, topic:[{topic}] topicConfig.readQueueNums:[{queues}]")]
    QueueNotExist {
        /// The topic.
        topic: Text,
        /// What was asked for.
        queue_id: i32,
        /// What there is.
        queues: u32,
    },
    /// The queue has no message there.
    #[error("offset is illegal, key:{topic}@{queue_id}, commit:{offset}, store:{min}~{max}")]
    OffsetOutside {
        /// The topic.
        topic: Text,
        /// The queue.
        queue_id: i32,
        /// What was asked for.
        offset: i64,
        /// The queue's first offset.
        min: u64,
        /// One past its last.
        max: u64,
    },
    /// The message is not among those that were handed out in order.
    #[error("offset {offset} of {topic}@{queue_id} is not among those that the group was given in order")]
    NotGiven {
        /// The topic.
        topic: Text,
        /// The queue.
        queue_id: i32,
        /// What was asked for.
        offset: i64,
    },
    /// The message is not out under this handle.
    #[error(
        "the message at offset {offset} of {topic}@{queue_id} is not out under this handle: it was acknowledged, or its time \
         ended, or it has a newer handle"
    )]
    NotOut {
        /// The topic.
        topic: Text,
        /// The queue.
        queue_id: i32,
        /// What was asked for.
        offset: i64,
    },
    /// A time that is no time, or too long.
    #[error("invisibleTime is {invisible_ms} ms, it must be from 0 to {max_ms}")]
    Invisible {
        /// What was asked for.
        invisible_ms: i64,
        /// The limit.
        max_ms: i64,
    },
    /// The group's dead-letter topic could not be made.
    #[error("topic[{topic}] not exist: {source}")]
    NoDeadLetterTopic {
        /// The topic.
        topic: String,
        /// Why.
        source: TopicError,
    },
    /// The message could not be read.
    #[error("the message could not be read: {0}")]
    Read(#[from] ReadError),
    /// The message cannot be stored again.
    #[error("the message cannot be stored again: {why}")]
    Illegal {
        /// What is wrong with it.
        why: String,
    },
    /// The log did not take it.
    #[error("{}", append_remark(.0))]
    Store(AppendError),
}

impl DeliveryError {
    /// The protocol's number for it.
    pub fn response_code(&self) -> i32 {
        match self {
            Self::TopicNotExist { .. } => code::TOPIC_NOT_EXIST,
            Self::QueueNotExist { .. } | Self::NotGiven { .. } => code::MESSAGE_ILLEGAL,
            Self::OffsetOutside { .. } | Self::NotOut { .. } => code::NO_MESSAGE,
            Self::Invisible { .. } => code::INVALID_PARAMETER,
            Self::NoDeadLetterTopic { .. } | Self::Read(_) => code::SYSTEM_ERROR,
            Self::Illegal { .. } => code::MESSAGE_ILLEGAL,
            Self::Store(source) => append_code(source),
        }
    }
}
