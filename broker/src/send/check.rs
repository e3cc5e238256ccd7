//! The checks of a send, in the order in which their failures are reported, and where the message goes.

use std::borrow::Cow;
use std::sync::Arc;

use super::{BatchError, SendError, SendRequest};
use crate::broker::Broker;
use crate::client::{SYS_FLAG_UNIT, SYS_FLAG_UNIT_SUBSCRIBED};
use crate::name;
use crate::property::Properties;
use crate::text::Text;
use crate::topic::{MessageType, TopicConfig, perm};

/// Queues of a dead-letter topic.
const DLQ_QUEUES: u32 = 1;
/// Queues of a retry topic that is made by a send to it.
const RETRY_QUEUES: u32 = 1;

/// Transaction bits of a message's flags.
const SYS_FLAG_TRANSACTION: i32 = 0xC;

/// What the checks came to.
#[derive(Debug)]
pub(super) enum Checked<'a> {
    /// The message goes there.
    Go(Place<'a>),
    /// This topic must be made first.
    Make(TopicConfig),
}

/// Where a message goes.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) topic: Cow<'a, str>,
    pub(super) queue_id: u32,
    pub(super) config: Arc<TopicConfig>,
    /// It has been tried often enough and goes to the dead letters.
    pub(super) is_dead: bool,
    /// It is half of a transaction and becomes visible when that is committed.
    pub(super) is_half: bool,
}

impl Broker {
    pub(super) fn check_send<'a>(
        &self,
        request: &'a SendRequest<'_>,
        properties: &Properties<'_>,
    ) -> Result<Checked<'a>, SendError> {
        let known = self.state.topics.get(&request.topic);
        if !perm::is_writable(self.options.perm) && known.as_ref().is_some_and(|config| config.order) {
            return Err(SendError::BrokerNotWritable {
                broker: self.options.store_host,
            });
        }
        // Only a name that has passed the check can be in the table.
        let Some(config) = known else {
            name::check_topic(&request.topic)?;
            let config = self.topic_of_first_send(request);
            let config = config.ok_or_else(|| SendError::TopicNotExist {
                topic: Text::from(&*request.topic),
            })?;
            return Ok(Checked::Make(config));
        };
        if !name::is_sendable(&request.topic) {
            return Err(SendError::TopicForbidden {
                topic: Text::from(&*request.topic),
            });
        }
        let queue_id = match urgency(request, properties) {
            // The more urgent, the higher the queue; whoever receives by priority begins with the highest.
            Some(priority) => priority.min(config.write_queues.saturating_sub(1)),
            None => self.queue_of_send(request, &config)?,
        };
        let mut is_half = false;
        if request.is_batch {
            check_batch(request, properties)?;
        } else {
            if let Some(group) = name::retry_group(&request.topic)
                && self.is_dead(group, request)?
            {
                return Ok(self.to_dead_letters(group));
            }
            // A message that its consumer sends back was committed before.
            let is_retry = request.reconsume_times > 0 && properties.delay_level > 0;
            is_half = properties.is_transaction && !is_retry;
            let is_flagged = request.sys_flag & SYS_FLAG_TRANSACTION != 0;
            if is_half && self.options.reject_transactions || is_flagged && !properties.is_transaction {
                return Err(SendError::TransactionForbidden {
                    broker: self.options.store_host,
                });
            }
        }
        Ok(Checked::Go(Place {
            topic: Cow::Borrowed(&*request.topic),
            queue_id,
            config,
            is_dead: false,
            is_half,
        }))
    }

    fn topic_of_first_send(&self, request: &SendRequest<'_>) -> Option<TopicConfig> {
        let is_retry = name::is_retry_topic(&request.topic);
        let sys_flag = match (request.unit_mode, is_retry) {
            (false, _) => 0,
            (true, true) => SYS_FLAG_UNIT_SUBSCRIBED,
            (true, false) => SYS_FLAG_UNIT,
        };
        self.topic_after_template(
            &request.topic,
            &request.default_topic,
            request.default_topic_queues,
            sys_flag,
        )
        .or_else(|| {
            is_retry.then(|| TopicConfig {
                sys_flag,
                ..TopicConfig::new(&*request.topic, RETRY_QUEUES)
            })
        })
    }

    fn queue_of_send(&self, request: &SendRequest<'_>, config: &TopicConfig) -> Result<u32, SendError> {
        let Ok(queue_id) = u32::try_from(request.queue_id) else {
            return Ok(self.choose_queue(config.write_queues));
        };
        // Either count: queues that are being closed for writing, or are not open for reading yet, still take messages.
        let queues = config.write_queues.max(config.read_queues);
        if queue_id >= queues {
            return Err(SendError::QueueNotExist {
                topic: Text::from(&*request.topic),
                queue_id: request.queue_id,
                queues,
                producer: request.born_host,
            });
        }
        Ok(queue_id)
    }

    /// Whether a message that is sent to its group's retry topic has been tried often enough, or cannot be tried later because
    /// the group consumes in order.
    fn is_dead(&self, group: &str, request: &SendRequest<'_>) -> Result<bool, SendError> {
        let Some(config) = self.group_in_use(group) else {
            return Err(SendError::GroupNotExist {
                group: group.to_owned(),
            });
        };
        let times_max = request.reconsume_times_max.unwrap_or(config.retry_times_max);
        let lease_ms = self.options.limits.lock_lease_ms;
        Ok(request.reconsume_times > times_max
            || self.locks.any_held(group, self.clock.elapsed_ms(), lease_ms))
    }

    fn to_dead_letters(&self, group: &str) -> Checked<'static> {
        let topic = name::dlq_topic(group);
        match self.state.topics.get(&topic) {
            Some(config) => Checked::Go(Place {
                topic: Cow::Owned(topic),
                queue_id: 0,
                config,
                is_dead: true,
                is_half: false,
            }),
            None => Checked::Make(TopicConfig::new(topic, DLQ_QUEUES)),
        }
    }
}

/// The priority of a message that has one and is nothing else that would decide where it goes.
fn urgency(request: &SendRequest<'_>, properties: &Properties<'_>) -> Option<u32> {
    let priority = properties.priority?;
    (!request.is_batch && MessageType::of(properties) == MessageType::Priority).then_some(priority)
}

fn check_batch(request: &SendRequest<'_>, properties: &Properties<'_>) -> Result<(), BatchError> {
    if name::is_retry_topic(&request.topic) {
        return Err(BatchError::RetryTopic {
            topic: Text::from(&*request.topic),
        });
    }
    if request.topic.len() > name::TOPIC_SIZE_BYTES_MAX {
        return Err(BatchError::TopicTooLong {
            size_bytes: request.topic.len(),
        });
    }
    if properties.delay_level > 0 {
        return Err(BatchError::Delayed);
    }
    if request.sys_flag & SYS_FLAG_TRANSACTION != 0 || properties.is_transaction {
        return Err(BatchError::Transaction);
    }
    Ok(())
}
