//! Why a change of subscriptions was refused.

use kourou_engine::AppendError;
use thiserror::Error;

use super::LiteNameError;
use crate::code;
use crate::send::{append_code, append_remark};
use crate::text::Text;

/// Why a client's subscriptions are as they were.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SyncError {
    /// There is no such topic.
    #[error("topic[{topic}] not exist, apply first please!")]
    TopicNotExist {
        /// The topic.
        topic: Text,
    },
    /// The topic has no lite topics.
    #[error("the topic {topic} has no lite topics: its attribute message.type is not LITE")]
    NotLite {
        /// The topic.
        topic: Text,
    },
    /// There is no such group.
    #[error("subscription group [{group}] does not exist")]
    GroupNotExist {
        /// The group.
        group: Text,
    },
    /// The group consumes lite topics of another topic, or none.
    #[error(
        "the group {group} does not consume lite topics of {topic}: set its attribute lite.bind.topic to {topic}, e.g. by kourou \
         group create"
    )]
    NotBound {
        /// The group.
        group: Text,
        /// The topic.
        topic: Text,
    },
    /// A name is not a lite topic's.
    #[error("{name:?}: {source}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: LiteNameError,
    },
    /// The client subscribes to as many lite topics as it may.
    #[error(
        "the client would subscribe to more than {quota} lite topics, which is what the group {group} allows one client \
         (lite.sub.client.quota)"
    )]
    ClientQuota {
        /// The group.
        group: Text,
        /// The bound.
        quota: u32,
    },
    /// All clients together have as many subscriptions as there may be.
    #[error("the broker keeps {subscriptions_max} subscriptions to lite topics, no more are allowed")]
    TooMany {
        /// The bound.
        subscriptions_max: usize,
    },
    /// The log did not take it.
    #[error("{}", append_remark(.0))]
    Store(AppendError),
}

impl SyncError {
    /// The protocol's number for it.
    pub fn response_code(&self) -> i32 {
        match self {
            Self::TopicNotExist { .. } => code::TOPIC_NOT_EXIST,
            Self::GroupNotExist { .. } => code::SUBSCRIPTION_GROUP_NOT_EXIST,
            Self::NotLite { .. } | Self::NotBound { .. } | Self::Name { .. } => code::INVALID_PARAMETER,
            Self::ClientQuota { .. } | Self::TooMany { .. } => code::SYSTEM_BUSY,
            Self::Store(source) => append_code(source),
        }
    }
}
