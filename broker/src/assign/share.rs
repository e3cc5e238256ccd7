//! Sharing queues out among the members of a group, as clients would themselves.

use std::sync::Arc;

use thiserror::Error;

use super::{RequestMode, RequestModeConfig};
use crate::broker::Broker;
use crate::client::MessageModel;
use crate::name;
use crate::topic::perm;

/// How queues are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareStrategy {
    /// Neighbouring queues together.
    Average,
    /// One by one, in turn.
    AverageByCircle,
}

impl ShareStrategy {
    /// The strategy that clients call so.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "AVG" => Some(Self::Average),
            "AVG_BY_CIRCLE" => Some(Self::AverageByCircle),
            _ => None,
        }
    }

    /// The numbers of the queues, of `queues`, that member `at` of `members` gets.
    fn share(self, at: usize, members: usize, queues: usize) -> Vec<usize> {
        if members == 0 || at >= members {
            return Vec::new();
        }
        match self {
            Self::Average => {
                let (each, over) = (queues / members, queues % members);
                let start = at * each + at.min(over);
                (start..start + each + usize::from(at < over)).collect()
            }
            Self::AverageByCircle => (at..queues).step_by(members).collect(),
        }
    }
}

/// What a consumer asks.
#[derive(Debug, Clone)]
pub struct AssignmentRequest<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The consumer group.
    pub group: &'a str,
    /// The consumer.
    pub client_id: &'a str,
    /// How the group shares messages.
    pub model: MessageModel,
    /// How queues are shared out.
    pub strategy: Option<ShareStrategy>,
}

/// A queue, of whichever broker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AssignedQueue {
    /// The broker.
    pub broker_name: Arc<str>,
    /// The queue; `None` for any of the topic's on that broker.
    pub queue_id: Option<u32>,
}

/// What a consumer is to consume, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// How.
    pub mode: RequestMode,
    /// What.
    pub queues: Vec<AssignedQueue>,
}

/// Why nothing can be said. The consumer is to go on as it does.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AssignError {
    /// Nobody knows the topic.
    #[error("the topic {topic} does not exist")]
    TopicNotExist {
        /// The topic.
        topic: String,
    },
    /// The group has no connected member.
    #[error("the group {group} has no members here")]
    NoMembers {
        /// The group.
        group: String,
    },
    /// Nobody knows that way of sharing.
    #[error("queues are shared out by AVG or AVG_BY_CIRCLE")]
    UnknownStrategy,
}

impl Broker {
    /// Says which queues a consumer is to consume and how. `queues` are those of the topic, of all brokers.
    ///
    /// # Errors
    /// See [`AssignError`].
    pub fn assign(
        &self,
        request: &AssignmentRequest<'_>,
        mut queues: Vec<AssignedQueue>,
    ) -> Result<Assigned, AssignError> {
        let config = self.request_mode_of(request.topic, request.group);
        if queues.is_empty() {
            return Err(AssignError::TopicNotExist {
                topic: request.topic.to_owned(),
            });
        }
        queues.sort_unstable();
        queues.dedup();
        if request.model == MessageModel::Broadcasting {
            return Ok(Assigned {
                mode: config.mode,
                queues,
            });
        }
        let mut members = self.consumer_ids(request.group);
        if members.is_empty() {
            return Err(AssignError::NoMembers {
                group: request.group.to_owned(),
            });
        }
        members.sort_unstable();
        let strategy = request.strategy.ok_or(AssignError::UnknownStrategy)?;
        // One that has not told yet that it is a member has none, but for those that are shared by all.
        let at = members.iter().position(|id| **id == *request.client_id);
        let queues = match (config.mode, at) {
            (RequestMode::Pull, Some(at)) => pick(&queues, strategy.share(at, members.len(), queues.len())),
            (RequestMode::Pull, None) => Vec::new(),
            (RequestMode::Pop, at) => {
                share_pop(&queues, at, members.len(), strategy, config.pop_share_queues)
            }
        };
        Ok(Assigned {
            mode: config.mode,
            queues,
        })
    }

    fn request_mode_of(&self, topic: &str, group: &str) -> RequestModeConfig {
        if let Some(config) = self.state.request_modes.get(topic, group) {
            return config;
        }
        RequestModeConfig {
            // Retry topics are always pulled; by pop they come with their topic.
            mode: if name::is_retry_topic(topic) {
                RequestMode::Pull
            } else {
                self.options.default_request_mode
            },
            pop_share_queues: 0,
        }
    }

    /// The queues of a topic on this broker; none if they are not to be read.
    pub fn queues_here(&self, topic: &str) -> Vec<AssignedQueue> {
        let name: Arc<str> = self.options.broker_name.as_str().into();
        let queues = self
            .topic(topic)
            .filter(|config| perm::is_readable(config.perm) && perm::is_readable(self.options.perm))
            .map_or(0, |config| config.read_queues);
        (0..queues)
            .map(|queue_id| AssignedQueue {
                broker_name: name.clone(),
                queue_id: Some(queue_id),
            })
            .collect()
    }
}

fn pick(queues: &[AssignedQueue], numbers: Vec<usize>) -> Vec<AssignedQueue> {
    numbers
        .into_iter()
        .filter_map(|number| queues.get(number).cloned())
        .collect()
}

fn share_pop(
    queues: &[AssignedQueue],
    at: Option<usize>,
    members: usize,
    strategy: ShareStrategy,
    share: i32,
) -> Vec<AssignedQueue> {
    let neighbours = usize::try_from(share).unwrap_or(0);
    let mut shared: Vec<_> = if neighbours == 0 || neighbours + 1 >= members {
        let any = queues.iter().map(|queue| AssignedQueue {
            queue_id: None,
            ..queue.clone()
        });
        any.collect()
    } else if let Some(at) = at {
        share_with(neighbours, queues, at, members, strategy)
    } else {
        Vec::new()
    };
    shared.sort_unstable();
    shared.dedup();
    shared
}

fn share_with(
    neighbours: usize,
    queues: &[AssignedQueue],
    at: usize,
    members: usize,
    strategy: ShareStrategy,
) -> Vec<AssignedQueue> {
    if members <= queues.len() {
        let numbers = (at..=at + neighbours)
            .flat_map(|member| strategy.share(member % members, members, queues.len()))
            .collect();
        pick(queues, numbers)
    } else {
        // So that each has one.
        pick(queues, vec![at % queues.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(count: u32) -> Vec<AssignedQueue> {
        (0..count)
            .map(|queue_id| AssignedQueue {
                broker_name: "b".into(),
                queue_id: Some(queue_id),
            })
            .collect()
    }

    #[test]
    fn every_queue_goes_to_one_member() {
        use ShareStrategy::{Average, AverageByCircle};
        assert_eq!(Average.share(0, 3, 8), [0, 1, 2]);
        assert_eq!(Average.share(2, 3, 8), [6, 7]);
        assert_eq!(AverageByCircle.share(1, 3, 8), [1, 4, 7]);
        assert_eq!(Average.share(3, 5, 3), [0; 0]);
        for strategy in [Average, AverageByCircle] {
            for members in 1..7 {
                for count in 0..9 {
                    let mut all: Vec<_> = (0..members)
                        .flat_map(|at| strategy.share(at, members, count))
                        .collect();
                    all.sort_unstable();
                    assert_eq!(all, (0..count).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn by_pop_neighbours_share() {
        let ids = |shared: Vec<AssignedQueue>| shared.iter().map(|one| one.queue_id).collect::<Vec<_>>();
        let average = ShareStrategy::Average;
        for (share, at) in [(-1, Some(1)), (0, Some(1)), (2, Some(1)), (9, Some(1)), (0, None)] {
            assert_eq!(ids(share_pop(&queues(4), at, 3, average, share)), [None]);
        }
        assert_eq!(
            ids(share_pop(&queues(4), Some(3), 4, average, 1)),
            [Some(0), Some(3)]
        );
        assert_eq!(ids(share_pop(&queues(2), Some(3), 4, average, 1)), [Some(1)]);
        assert_eq!(ids(share_pop(&queues(4), None, 4, average, 1)), []);
    }
}
