//! Setting a group's offsets from outside: back or forth in a topic, or to where another group is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kourou_engine::{AppendError, Boundary};
use parking_lot::Mutex;
use thiserror::Error;

use super::resets::Taken;
use crate::broker::Broker;
use crate::client::OffsetsReset;
use crate::code;
use crate::send::{append_code, append_remark};
use crate::state::Change;
use crate::text::Text;
use crate::topic::TopicConfig;

/// Clients before this protocol version cannot be told to reset.
const CLIENT_VERSION_MIN: i32 = 28;

/// Where a group's offsets in a topic are to be set.
#[derive(Debug, Clone)]
pub struct ResetRequest {
    /// The group.
    pub group: Text,
    /// The topic.
    pub topic: Text,
    /// One queue; `None` for all.
    pub queue_id: Option<u32>,
    /// An offset, of one queue; `None` to go by time.
    pub offset: Option<i64>,
    /// The store time to go to; below 0 the end of the queue.
    pub timestamp_ms: i64,
    /// Whether connected consumers may be told to go forward. A reset that is done here goes both ways.
    pub force: bool,
    /// Whether whoever asks reads tables as lists; consumers are then told so too.
    pub as_list: bool,
}

/// Why offsets were not set.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ResetError {
    /// There is no such topic.
    #[error("Topic {topic} does not exist")]
    TopicNotExist {
        /// The topic.
        topic: Text,
    },
    /// There is no such group.
    #[error("Group {group} does not exist")]
    GroupNotExist {
        /// The group.
        group: Text,
    },
    /// The topic has no such queue.
    #[error("queue {queue_id} of topic {topic} does not exist, it has {queues}")]
    QueueNotExist {
        /// The topic.
        topic: Text,
        /// What was asked for.
        queue_id: u32,
        /// What there is.
        queues: u32,
    },
    /// The offset is outside the queue.
    #[error("Target offset {offset} not in consume queue range [{min}-{max}]")]
    OutOfRange {
        /// What was asked for.
        offset: i64,
        /// The first.
        min: u64,
        /// One past the last.
        max: u64,
    },
    /// The group has no offset in a queue, so connected consumers are not told to change it.
    #[error("THe consumer group <{group}> not exist")]
    NoOffset {
        /// The group.
        group: Text,
    },
    /// Nobody is connected who could be told.
    #[error(
        "Consumer not online, so can not reset offset, Group: {group} Topic: {topic} Timestamp: {timestamp_ms}"
    )]
    NotOnline {
        /// The group.
        group: Text,
        /// The topic.
        topic: Text,
        /// What was asked for.
        timestamp_ms: i64,
    },
    /// A connected consumer cannot be told.
    #[error("the client does not support this feature. version={version}")]
    ClientTooOld {
        /// Its version.
        version: i32,
    },
    /// The log did not take it.
    #[error("{}", append_remark(.0))]
    Store(AppendError),
}

impl ResetError {
    /// The protocol's number for it.
    pub fn response_code(&self) -> i32 {
        match self {
            Self::TopicNotExist { .. } => code::TOPIC_NOT_EXIST,
            Self::GroupNotExist { .. } => code::SUBSCRIPTION_GROUP_NOT_EXIST,
            Self::QueueNotExist { .. }
            | Self::OutOfRange { .. }
            | Self::NoOffset { .. }
            | Self::ClientTooOld { .. } => code::SYSTEM_ERROR,
            Self::NotOnline { .. } => code::CONSUMER_NOT_ONLINE,
            Self::Store(source) => append_code(source),
        }
    }
}

/// Offsets by queue.
type Offsets = Vec<(u32, u64)>;

impl Broker {
    /// Sets a group's offsets in a topic; `done` hears which, by queue.
    ///
    /// With [`crate::BrokerOptions::reset_offsets_here`] this is durable, and whether anybody is connected does not matter: queries
    /// tell the new offsets, and the group's next pull of each queue, held ones included, is sent there. What the group commits
    /// until then is ignored. Without, nothing changes here: the connected members are told to go there, and do so some seconds
    /// later.
    pub fn reset_offsets(
        self: &Arc<Self>,
        request: &ResetRequest,
        done: impl FnOnce(Result<Offsets, ResetError>) + Send + 'static,
    ) {
        let found = self.offsets_to_reset(request).and_then(|offsets| {
            if !self.options.reset_offsets_here {
                self.tell_to_reset(request, &offsets)?;
            }
            Ok(offsets)
        });
        let offsets = match found {
            Ok(offsets) if self.options.reset_offsets_here => offsets,
            told => return done(told),
        };
        let change = Change::OffsetsSet {
            group: &request.group,
            topic: &request.topic,
            until_pulled: true,
            offsets: &offsets,
        };
        let (kind, payload) = change.encode();
        self.append_state(kind, &payload, move |stored| {
            done(stored.map(|()| offsets).map_err(ResetError::Store));
        });
    }

    fn offsets_to_reset(&self, request: &ResetRequest) -> Result<Offsets, ResetError> {
        let Some(config) = self.state.topics.get(&request.topic) else {
            return Err(ResetError::TopicNotExist {
                topic: request.topic.clone(),
            });
        };
        if !self.options.reset_offsets_here {
            return self.offsets_to_tell(request, &config);
        }
        if self.state.groups.get(&request.group).is_none() {
            return Err(ResetError::GroupNotExist {
                group: request.group.clone(),
            });
        }
        let Some(queue_id) = request.queue_id else {
            let queues = 0..config.read_queues;
            return Ok(queues
                .map(|queue_id| (queue_id, self.offset_to_reset(request, queue_id)))
                .collect());
        };
        let queues = config.read_queues.max(config.write_queues);
        if queue_id >= queues {
            return Err(ResetError::QueueNotExist {
                topic: request.topic.clone(),
                queue_id,
                queues,
            });
        }
        let Some(offset) = request.offset else {
            return Ok(vec![(queue_id, self.offset_to_reset(request, queue_id))]);
        };
        let (min, max) = (
            self.min_offset(&request.topic, queue_id),
            self.max_offset(&request.topic, queue_id),
        );
        match u64::try_from(offset) {
            Ok(offset) if (min..=max + 1).contains(&offset) => Ok(vec![(queue_id, offset)]),
            _ => Err(ResetError::OutOfRange { offset, min, max }),
        }
    }

    fn offset_to_reset(&self, request: &ResetRequest, queue_id: u32) -> u64 {
        if request.timestamp_ms < 0 {
            self.max_offset(&request.topic, queue_id)
        } else {
            self.offset_by_time(&request.topic, queue_id, request.timestamp_ms, Boundary::Lower)
        }
    }

    fn offsets_to_tell(&self, request: &ResetRequest, config: &TopicConfig) -> Result<Offsets, ResetError> {
        let of_queue = |queue_id| {
            let Some(current) = self.state.offsets.get(&request.group, &request.topic, queue_id) else {
                return Err(ResetError::NoOffset {
                    group: request.group.clone(),
                });
            };
            let current = u64::try_from(current).unwrap_or(0);
            let wanted = self.offset_to_reset(request, queue_id);
            let offset = if request.force {
                wanted
            } else {
                wanted.min(current)
            };
            Ok((queue_id, offset))
        };
        (0..config.write_queues).map(of_queue).collect()
    }

    fn tell_to_reset(&self, request: &ResetRequest, offsets: &[(u32, u64)]) -> Result<(), ResetError> {
        let Some(members) = self.clients.consumer_connections(&request.group) else {
            return Err(ResetError::NotOnline {
                group: request.group.clone(),
                topic: request.topic.clone(),
                timestamp_ms: request.timestamp_ms,
            });
        };
        if let Some(old) = members
            .clients
            .iter()
            .find(|client| client.version < CLIENT_VERSION_MIN)
        {
            return Err(ResetError::ClientTooOld { version: old.version });
        }
        let reset = OffsetsReset {
            group: &request.group,
            topic: &request.topic,
            broker_name: &self.options.broker_name,
            timestamp_ms: request.timestamp_ms,
            offsets,
            as_list: request.as_list,
        };
        for client in &members.clients {
            if !client.channel.reset_offsets(&reset) {
                tracing::info!(
                    client = &*client.client_id,
                    group = &*request.group,
                    "a slow client was not told to reset its offsets"
                );
            }
        }
        Ok(())
    }

    /// Whether a reset waits for a group's next pull of a queue, so that commits there are ignored.
    pub fn reset_waits(&self, group: &str, topic: &str, queue_id: u32) -> bool {
        self.state.resets.waits(group, topic, queue_id)
    }

    /// Where a consumer has to go first, if a reset waits for it. From then on the group's commits count again. That it was taken
    /// is in the log before whatever the consumer commits after it.
    pub(crate) fn take_reset(self: &Arc<Self>, group: &str, topic: &str, queue_id: u32) -> Option<u64> {
        let Taken { offset, position } = self.state.resets.take(group, topic, queue_id)?;
        let change = Change::ResetTaken {
            group,
            topic,
            queue_id,
            position,
        };
        let (kind, payload) = change.encode();
        let (state, group, topic) = (self.state.clone(), group.to_owned(), topic.to_owned());
        self.append_state(kind, &payload, move |stored| {
            if stored.is_err() {
                state.resets.give_back(&group, &topic, queue_id, position);
            }
        });
        Some(offset)
    }

    /// Gives `to` the offsets that `from` has, in one topic or in all that it has offsets in. Unless `offline`, topics that the
    /// connected members of `from` do not subscribe to are left out. When `done` hears of success it is durable; resets of `to`
    /// that wait no longer count. Each topic is copied as a whole.
    pub fn clone_offsets(
        self: &Arc<Self>,
        from: &str,
        to: &str,
        topic: Option<&str>,
        offline: bool,
        done: impl FnOnce(Result<(), ResetError>) + Send + 'static,
    ) {
        if self.group_in_use(to).is_none() {
            return done(Err(ResetError::GroupNotExist { group: to.into() }));
        }
        let topics = match topic {
            Some(topic) => vec![topic.into()],
            None => self.state.offsets.topics_of(from),
        };
        let online = self.clients.subscribed(from, "").is_some();
        let wanted = topics.iter().filter(|topic| {
            let subscribed = || {
                let found = self.clients.subscribed(from, topic);
                found.is_some_and(|found| found.subscription.is_some())
            };
            self.state.topics.contains(topic) && (offline || !online || subscribed())
        });
        let copies: Vec<_> = wanted
            .map(|topic| (topic.clone(), self.state.offsets.queues_of(from, topic)))
            .filter(|(_, offsets)| !offsets.is_empty())
            .collect();
        if copies.is_empty() {
            return done(Ok(()));
        }
        let left = AtomicUsize::new(copies.len());
        let outcome = Arc::new((left, Mutex::new((Ok(()), Some(done)))));
        for (topic, offsets) in &copies {
            let change = Change::OffsetsSet {
                group: to,
                topic,
                until_pulled: false,
                offsets,
            };
            let outcome = outcome.clone();
            self.append_change(&change, move |stored| {
                let (left, end) = &*outcome;
                if let Err(error) = stored {
                    end.lock().0 = Err(ResetError::Store(error));
                }
                if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    let (result, done) = {
                        let mut end = end.lock();
                        (std::mem::replace(&mut end.0, Ok(())), end.1.take())
                    };
                    if let Some(done) = done {
                        done(result);
                    }
                }
            });
        }
    }
}
