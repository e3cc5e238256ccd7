//! Consumer offsets: how far each group has consumed each queue.
//!
//! A commit is visible at once and becomes durable with the next flush, or, if its sender wants an answer, with a record of
//! its own before the answer.

mod commit;
mod query;
mod reset;
mod resets;
mod table;

use kourou_engine::AppendError;
use thiserror::Error;

pub use reset::{ResetError, ResetRequest};
pub(crate) use resets::ResetTable;
pub(crate) use table::{OffsetTable, QueueOfGroup};

use crate::code;
use crate::send::{append_code, append_remark};
use crate::text::Text;

/// Why an offset was not committed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommitError {
    /// There is no such topic.
    #[error("Topic {topic} not exist!")]
    TopicNotExist {
        /// The topic.
        topic: Text,
    },
    /// There is no such group.
    #[error("Group {group} not exist!")]
    GroupNotExist {
        /// The group.
        group: Text,
    },
    /// The queue or the offset is below 0.
    #[error("Invalid {what}: {value}")]
    Invalid {
        /// "queueId" or "commitOffset".
        what: &'static str,
        /// What was given.
        value: i64,
    },
    /// The commit is visible but could not be stored; the broker will try again.
    #[error("{}", append_remark(.0))]
    Store(AppendError),
}

impl CommitError {
    /// The protocol's number for it.
    pub fn response_code(&self) -> i32 {
        match self {
            Self::TopicNotExist { .. } => code::TOPIC_NOT_EXIST,
            Self::GroupNotExist { .. } => code::SUBSCRIPTION_GROUP_NOT_EXIST,
            Self::Invalid { .. } => code::INVALID_PARAMETER,
            Self::Store(source) => append_code(source),
        }
    }
}
