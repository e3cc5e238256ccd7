//! Receiving by pull: which records a consumer gets next, and what it is told when there are none.
//!
//! ```text
//!  pull ---> checks ---> queue range ---> entries, filtered by tag hash ---> slices of the tail cache      Found
//!                            |                                      \-----> on the disk: read later       Cold
//!                            \-- nothing there ----------------------------------------------------->     Empty
//!                                                                            hold, woken by the arrival that matches
//! ```

mod cold;
mod hold;
mod pull;
mod scan;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use kourou_engine::ReadError;
use thiserror::Error;

pub use cold::ColdPull;
pub(crate) use hold::Holds;
pub use hold::{HoldGuard, HoldResult};
pub(crate) use scan::{Room, Scan, Visit};

use crate::code;
use crate::filter::FilterError;
use crate::flow::FlowRefusal;
use crate::text::Text;

/// One pull, as any frontend has it.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// The consumer group.
    pub group: Text,
    /// The topic.
    pub topic: Text,
    /// The queue.
    pub queue_id: i32,
    /// The offset to begin at.
    pub offset: i64,
    /// Messages wanted at the most.
    pub messages_max: i32,
    /// The offset to commit for the group. To be given on the first pass of a request only, not when a held one is run again.
    pub commit_offset: Option<i64>,
    /// The subscription, if the request itself has it; else the one of the last heartbeat counts.
    pub subscription: Option<InlineSubscription>,
    /// Version of the consumer's subscription.
    pub sub_version: i64,
}

/// A subscription that a pull brings with it.
#[derive(Debug, Clone, Default)]
pub struct InlineSubscription {
    /// The filter expression; empty for all.
    pub expression: Text,
    /// Its language; empty for tags.
    pub expression_type: Text,
}

/// Where a queue stands, as every answer to a pull says. All of it, in every answer: clients fail without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullPlace {
    /// The offset to pull next.
    pub next_offset: u64,
    /// First offset of the queue.
    pub min_offset: u64,
    /// One past the last offset of the queue.
    pub max_offset: u64,
    /// The broker to pull from next.
    pub suggest_broker_id: i64,
    /// Flags of the topic.
    pub topic_sys_flag: i32,
    /// Flags of the group.
    pub group_sys_flag: i32,
}

/// Records that were found.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The records, in order, as stored and as they go on the wire: back to back.
    pub records: Vec<Bytes>,
    /// Their bytes in all.
    pub size_bytes: usize,
    /// Where the queue stands.
    pub place: PullPlace,
}

/// No records, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Empty {
    /// Why there are none.
    pub status: PullStatus,
    /// The protocol's number for it.
    pub code: i32,
    /// Where the queue stands.
    pub place: PullPlace,
}

impl Empty {
    /// Whether the request may be held until a message arrives.
    pub fn may_hold(&self) -> bool {
        self.code == code::PULL_NOT_FOUND
    }
}

/// Why a pull found no records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PullStatus {
    /// There are messages, but none of those looked at matches.
    NoMatchedMessage,
    /// The messages are being removed.
    MessageWasRemoving,
    /// The offset is the next one to be written.
    OffsetOverflowOne,
    /// The offset is beyond that.
    OffsetOverflowBadly,
    /// The offset is before the first one.
    OffsetTooSmall,
    /// The queue has never been written.
    NoMatchedLogicQueue,
    /// The queue holds nothing.
    NoMessageInQueue,
    /// The group's offset was set from outside.
    OffsetReset,
}

impl PullStatus {
    /// The name that answers carry as their remark.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoMatchedMessage => "NO_MATCHED_MESSAGE",
            Self::MessageWasRemoving => "MESSAGE_WAS_REMOVING",
            Self::OffsetOverflowOne => "OFFSET_OVERFLOW_ONE",
            Self::OffsetOverflowBadly => "OFFSET_OVERFLOW_BADLY",
            Self::OffsetTooSmall => "OFFSET_TOO_SMALL",
            Self::NoMatchedLogicQueue => "NO_MATCHED_LOGIC_QUEUE",
            Self::NoMessageInQueue => "NO_MESSAGE_IN_QUEUE",
            Self::OffsetReset => "OFFSET_RESET",
        }
    }

    pub(crate) const fn code(self, requested_offset: i64) -> i32 {
        match self {
            Self::NoMatchedMessage | Self::MessageWasRemoving => code::PULL_RETRY_IMMEDIATELY,
            Self::OffsetOverflowOne => code::PULL_NOT_FOUND,
            Self::OffsetOverflowBadly | Self::OffsetTooSmall | Self::OffsetReset => code::PULL_OFFSET_MOVED,
            Self::NoMatchedLogicQueue | Self::NoMessageInQueue => {
                if requested_offset == 0 {
                    code::PULL_NOT_FOUND
                } else {
                    code::PULL_OFFSET_MOVED
                }
            }
        }
    }
}

impl fmt::Display for PullStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a pull came to.
#[derive(Debug)]
pub enum PullOutcome {
    /// Records, from memory.
    Found(Pulled),
    /// No records.
    Empty(Empty),
    /// Records, on the disk: [`ColdPull::load`] reads them and may block.
    Cold(ColdPull),
}

/// Why a pull was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PullError {
    /// The broker may not be read.
    #[error("the broker[{broker}] pulling message is forbidden")]
    BrokerNotReadable {
        /// The broker.
        broker: SocketAddr,
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
    /// There is no such topic.
    #[error("topic[{topic}] not exist, apply first please!")]
    TopicNotExist {
        /// The topic.
        topic: Text,
    },
    /// The topic may not be read.
    #[error("the topic[{topic}] pulling message is forbidden")]
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
    /// The request's filter expression does not parse.
    #[error("parse the consumer's subscription failed: {0}")]
    Expression(FilterError),
    /// The filter of the group's subscription does not compile.
    #[error("the consumer's filter does not compile: {0}")]
    Filter(Arc<FilterError>),
    /// No consumer of the group has sent a heartbeat.
    #[error("the consumer's group info not exist")]
    GroupNotOnline,
    /// The group may not consume by broadcast.
    #[error("the consumer group[{group}] can not consume by broadcast way")]
    BroadcastForbidden {
        /// The group.
        group: Text,
    },
    /// The group's consumers do not subscribe to the topic.
    #[error("the consumer's subscription not exist")]
    SubscriptionNotExist,
    /// The consumer has a newer subscription than the broker.
    #[error("the consumer's subscription not latest")]
    SubscriptionNotLatest,
    /// Filters are tags or SQL92.
    #[error("The broker does not support consumer to filter message by {expression_type}")]
    FilterNotSupported {
        /// The language.
        expression_type: Text,
    },
    /// It is too much just now.
    #[error(transparent)]
    Flow(#[from] FlowRefusal),
    /// The log could not be read.
    #[error("the messages could not be read: {0}")]
    Read(ReadError),
}

impl PullError {
    /// The refusal of a filter that the request itself has.
    pub(crate) fn of_inline(error: FilterError) -> Self {
        match error {
            FilterError::UnknownLanguage { expression_type } => Self::FilterNotSupported { expression_type },
            error => Self::Expression(error),
        }
    }

    /// The refusal of a filter that was heard in a heartbeat.
    pub(crate) fn of_heartbeat(error: Arc<FilterError>) -> Self {
        match &*error {
            FilterError::UnknownLanguage { expression_type } => Self::FilterNotSupported {
                expression_type: expression_type.clone(),
            },
            _ => Self::Filter(error),
        }
    }

    /// The protocol's number for it.
    pub fn response_code(&self) -> i32 {
        match self {
            Self::BrokerNotReadable { .. }
            | Self::GroupForbidden { .. }
            | Self::TopicNotReadable { .. }
            | Self::BroadcastForbidden { .. } => code::NO_PERMISSION,
            Self::GroupNotExist { .. } => code::SUBSCRIPTION_GROUP_NOT_EXIST,
            Self::TopicNotExist { .. } => code::TOPIC_NOT_EXIST,
            Self::QueueNotExist { .. } => code::INVALID_PARAMETER,
            Self::Expression(error) => error.response_code(),
            Self::Filter(_) => code::FILTER_DATA_NOT_EXIST,
            Self::GroupNotOnline | Self::SubscriptionNotExist => code::SUBSCRIPTION_NOT_EXIST,
            Self::SubscriptionNotLatest => code::SUBSCRIPTION_NOT_LATEST,
            Self::Flow(refusal) => refusal.response_code(),
            Self::FilterNotSupported { .. } | Self::Read(_) => code::SYSTEM_ERROR,
        }
    }

    /// The `forbiddenType` that goes with the code, if any.
    pub fn forbidden_type(&self) -> Option<i32> {
        match self {
            Self::BrokerNotReadable { .. } => Some(code::forbidden::BROKER),
            Self::GroupForbidden { .. } => Some(code::forbidden::GROUP),
            Self::TopicNotReadable { .. } => Some(code::forbidden::TOPIC),
            Self::BroadcastForbidden { .. } => Some(code::forbidden::BROADCASTING),
            _ => None,
        }
    }
}
