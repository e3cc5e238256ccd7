//! The checks before a pop.

use std::sync::Arc;

use crate::broker::Broker;
use crate::delivery::{PopError, PopRequest};
use crate::filter::Filter;
use crate::group::GroupConfig;
use crate::topic::{TopicConfig, perm};

/// A pop that has passed the checks.
pub(super) struct Admitted {
    pub(super) topic: Arc<TopicConfig>,
    pub(super) group: Arc<GroupConfig>,
    pub(super) filter: Filter,
    pub(super) messages_max: usize,
}

impl Broker {
    pub(super) fn admit_pop(&self, request: &PopRequest) -> Result<Admitted, PopError> {
        let messages_max = self.check_pop(request)?;
        let (topic, group) = self.admit_popper(&request.group, &request.topic, request.queue_id)?;
        self.admit_receive(&topic, &group)?;
        let subscription = &request.subscription;
        let filter = if subscription.expression.is_empty() {
            Filter::All
        } else {
            Filter::compile(&subscription.expression_type, &subscription.expression)?
        };
        Ok(Admitted {
            topic,
            group,
            filter,
            messages_max,
        })
    }

    /// The checks that look at the request alone. How many messages it wants.
    pub(super) fn check_pop(&self, request: &PopRequest) -> Result<usize, PopError> {
        let broker = self.options.store_host;
        if !perm::is_readable(self.options.perm) {
            return Err(PopError::BrokerNotReadable { broker });
        }
        let max_messages = self.options.limits.pop_messages_max;
        if request.messages_max > max_messages {
            return Err(PopError::TooMany { broker, max_messages });
        }
        let max_ms = self.options.limits.invisible_max_ms;
        if !(0..=max_ms).contains(&request.invisible_ms) {
            return Err(PopError::Invisible {
                invisible_ms: request.invisible_ms,
                max_ms,
            });
        }
        Ok(usize::try_from(request.messages_max).unwrap_or(0).max(1))
    }

    /// The checks that pop, peek and those who wait for messages have in common.
    pub(in crate::delivery) fn admit_popper(
        &self,
        group: &crate::text::Text,
        topic: &crate::text::Text,
        queue_id: i32,
    ) -> Result<(Arc<TopicConfig>, Arc<GroupConfig>), PopError> {
        if !perm::is_readable(self.options.perm) {
            let broker = self.options.store_host;
            return Err(PopError::BrokerNotReadable { broker });
        }
        let Some(config) = self.state.topics.get(topic) else {
            return Err(PopError::TopicNotExist { topic: topic.clone() });
        };
        if !perm::is_readable(config.perm) {
            return Err(PopError::TopicNotReadable { topic: topic.clone() });
        }
        if u32::try_from(queue_id).is_ok_and(|queue_id| queue_id >= config.read_queues) {
            return Err(PopError::QueueNotExist {
                topic: topic.clone(),
                queue_id,
                queues: config.read_queues,
            });
        }
        let Some(found) = self.group_in_use(group) else {
            return Err(PopError::GroupNotExist { group: group.clone() });
        };
        if !found.consume_enable {
            return Err(PopError::GroupForbidden { group: group.clone() });
        }
        Ok((config, found))
    }
}
