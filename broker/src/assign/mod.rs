//! Which consumer of a group consumes which queues, and whether by pull or by pop, for consumers that leave it to the broker.

mod modes;
mod share;

use std::sync::Arc;

use kourou_engine::AppendError;
use thiserror::Error;

pub(crate) use modes::RequestModes;
pub use modes::{RequestMode, RequestModeConfig};
pub use share::{AssignError, Assigned, AssignedQueue, AssignmentRequest, ShareStrategy};

use crate::broker::Broker;
use crate::code;
use crate::name;
use crate::send::{append_code, append_remark};
use crate::state::Change;

/// Why a request mode was not set.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RequestModeError {
    /// Retry topics are always pulled.
    #[error("retry topic is not allowed to set mode")]
    RetryTopic,
    /// There is no such topic.
    #[error("topic[{topic}] not exist")]
    TopicNotExist {
        /// The topic.
        topic: String,
    },
    /// There is no such group.
    #[error("subscription group does not exist: {group}")]
    GroupNotExist {
        /// The group.
        group: String,
    },
    /// As many are set as may be.
    #[error("the request mode is set for {max_modes} pairs of topic and group, no more are allowed")]
    TooMany {
        /// The limit.
        max_modes: usize,
    },
    /// The change could not be stored.
    #[error("{}", append_remark(.0))]
    Store(AppendError),
}

impl RequestModeError {
    /// The protocol's number for it.
    pub fn response_code(&self) -> i32 {
        match self {
            Self::RetryTopic => code::NO_PERMISSION,
            Self::TopicNotExist { .. } => code::TOPIC_NOT_EXIST,
            Self::GroupNotExist { .. } => code::SUBSCRIPTION_GROUP_NOT_EXIST,
            Self::TooMany { .. } => code::SYSTEM_ERROR,
            Self::Store(source) => append_code(source),
        }
    }
}

impl Broker {
    /// Sets how the consumers of a group get the messages of a topic. When `done` hears of success it is durable.
    pub fn set_request_mode(
        self: &Arc<Self>,
        topic: &str,
        group: &str,
        config: RequestModeConfig,
        done: impl FnOnce(Result<(), RequestModeError>) + Send + 'static,
    ) {
        if name::is_retry_topic(topic) {
            return done(Err(RequestModeError::RetryTopic));
        }
        if !self.state.topics.contains(topic) {
            let topic = topic.to_owned();
            return done(Err(RequestModeError::TopicNotExist { topic }));
        }
        if self.group_in_use(group).is_none() {
            let group = group.to_owned();
            return done(Err(RequestModeError::GroupNotExist { group }));
        }
        let max_modes = self.options.limits.request_modes_max;
        if self.state.request_modes.get(topic, group).is_none()
            && self.state.request_modes.count() >= max_modes
        {
            return done(Err(RequestModeError::TooMany { max_modes }));
        }
        self.append_change(&Change::RequestMode { topic, group, config }, |stored| {
            done(stored.map_err(RequestModeError::Store));
        });
    }

    /// Every request mode that was set: topic, group, mode.
    pub fn request_modes(&self) -> Vec<(Arc<str>, Arc<str>, RequestModeConfig)> {
        self.state.request_modes.all()
    }
}
