//! Sending back: a consumer could not consume a message and wants it again later, or given up.

mod run;

use kourou_engine::AppendError;
use kourou_engine::record::EncodeError;
use std::net::SocketAddr;
use thiserror::Error;

use crate::code;
use crate::send::{append_code, append_remark};
use crate::text::Text;
use crate::topic::TopicError;

/// One message sent back.
#[derive(Debug, Clone)]
pub struct SendBackRequest {
    /// The consumer group.
    pub group: Text,
    /// Position of the message in the log.
    pub position: i64,
    /// The delay level it asks for; 0 lets the broker choose by how often it was tried, below 0 gives the message up.
    pub delay_level: i32,
    /// How often the consumer wants the message tried; the group's number if absent.
    pub reconsume_times_max: Option<i32>,
    /// Whether the consumer works in a unit.
    pub unit_mode: bool,
}

/// Why a message could not be sent back.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SendBackError {
    /// There is no such group.
    #[error("subscription group not exist, {group}")]
    GroupNotExist {
        /// The group.
        group: Text,
    },
    /// The broker takes no messages.
    #[error("the broker[{broker}] sending message is forbidden")]
    BrokerNotWritable {
        /// The broker.
        broker: SocketAddr,
    },
    /// The group's retry topic takes no messages.
    #[error("the topic[{topic}] sending message is forbidden")]
    TopicNotWritable {
        /// The topic.
        topic: String,
    },
    /// The retry or dead-letter topic could not be made.
    #[error("topic[{topic}] not exist: {source}")]
    TopicNotCreated {
        /// The topic.
        topic: String,
        /// Why.
        source: TopicError,
    },
    /// There is no message at that position.
    #[error("look message by offset failed, {position}")]
    NotFound {
        /// The position.
        position: i64,
    },
    /// As many messages wait for their time as may.
    #[error("timer message is under flow control, max num limit is {max_timers}")]
    TooManyTimers {
        /// The limit.
        max_timers: usize,
    },
    /// The message with its new properties is too large.
    #[error("the message is illegal: {0}")]
    Illegal(EncodeError),
    /// The log did not take it.
    #[error("{}", append_remark(.0))]
    Store(AppendError),
}

impl SendBackError {
    /// The protocol's number for it.
    pub fn response_code(&self) -> i32 {
        match self {
            Self::GroupNotExist { .. } => code::SUBSCRIPTION_GROUP_NOT_EXIST,
            Self::BrokerNotWritable { .. } | Self::TopicNotWritable { .. } => code::NO_PERMISSION,
            Self::TopicNotCreated { .. } | Self::NotFound { .. } | Self::TooManyTimers { .. } => {
                code::SYSTEM_ERROR
            }
            Self::Illegal(_) => code::MESSAGE_ILLEGAL,
            Self::Store(source) => append_code(source),
        }
    }
}
